//! Drives a chain: `pool_map` with every option, set and view, and `for_each`.

use std::future::pending;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;
use futures_pool::inline::{InlineSet, Slots};
use futures_pool::{Panic, Progress, UnorderedSet, prelude::*};

use crate::bench::{Bench, UNORDERED_SLACK, forwarding, slots_for};
use crate::program::Op;
use crate::reference::{Call, Outcome, Reference};
use crate::world::{Id, Out, PLANNED, Plan, Scripts, ScriptsIter, Supply, Then, World};

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub ordered: bool,
    pub source: Source,
    pub set: Set,
    pub option: Opt,
    pub view: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stream,
    Iter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Slot,
    Unordered,
    /// The set in place, the results on the heap.
    Inline,
    /// Both in place.
    AllInline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Plain,
    Catch,
    FailFast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Flat,
    Indexed,
    Batches,
    Timed,
    ForEach,
}

impl Kind {
    /// The kind that is meant where not all are built: each costs time to compile.
    pub fn that_exists(mut self) -> Self {
        if cfg!(not(feature = "std")) && self.option == Opt::Catch {
            self.option = Opt::Plain;
        }
        if self.source == Source::Iter {
            (self.set, self.option, self.view) = (Set::Slot, Opt::Plain, View::Flat);
        }
        match self.set {
            Set::Slot | Set::Unordered => {}
            Set::Inline => (self.option, self.view) = (Opt::Plain, View::Flat),
            Set::AllInline => {
                if self.option == Opt::Catch {
                    self.option = Opt::Plain;
                }
                if matches!(self.view, View::Batches | View::Timed) {
                    self.view = View::Flat;
                }
            }
        }
        self
    }
}

/// What has been handed over: positions in the source, where they are told, and jobs.
type Items = Vec<(Option<usize>, Id)>;

/// A chain of any type.
trait Subject {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Items>>;

    fn progress(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Active, finished, and size, where they can be asked for.
    fn counts(&self) -> Option<[usize; 3]>;

    fn size_hint(&self) -> Option<(usize, Option<usize>)>;

    fn is_terminated(&self) -> Option<bool>;

    /// Returns whether that can be done.
    fn set_size(&mut self, size: usize) -> bool;
}

struct Streaming<P: Stream> {
    stream: P,
    read: fn(P::Item) -> Items,
    counts: fn(&P) -> [usize; 3],
    set_size: Option<fn(&mut P, usize)>,
    /// Whether each item is one result.
    flat: bool,
}

impl<P: Progress + FusedStream + Unpin> Subject for Streaming<P> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Items>> {
        Pin::new(&mut self.stream).poll_next(cx).map(|item| item.map(self.read))
    }

    fn progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_progress(cx)
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(self.stream.drive(pending())).poll(cx)
    }

    fn counts(&self) -> Option<[usize; 3]> {
        Some((self.counts)(&self.stream))
    }

    fn size_hint(&self) -> Option<(usize, Option<usize>)> {
        self.flat.then(|| self.stream.size_hint())
    }

    fn is_terminated(&self) -> Option<bool> {
        Some(self.stream.is_terminated())
    }

    fn set_size(&mut self, size: usize) -> bool {
        self.set_size.map(|set_size| set_size(&mut self.stream, size)).is_some()
    }
}

/// `for_each`: what it hands over is in the trace.
struct Consuming<F>(Pin<Box<F>>);

impl<F: Future<Output = ()>> Subject for Consuming<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Items>> {
        self.0.as_mut().poll(cx).map(|()| None)
    }

    fn progress(&mut self, _: &mut Context<'_>) -> Poll<()> {
        unreachable!("it is no stream")
    }

    fn drive(&mut self, _: &mut Context<'_>) -> Poll<()> {
        unreachable!("it is no stream")
    }

    fn counts(&self) -> Option<[usize; 3]> {
        None
    }

    fn size_hint(&self) -> Option<(usize, Option<usize>)> {
        None
    }

    fn is_terminated(&self) -> Option<bool> {
        None
    }

    fn set_size(&mut self, _: usize) -> bool {
        false
    }
}

fn consuming(future: impl Future<Output = ()> + 'static) -> Box<dyn Subject> {
    Box::new(Consuming(Box::pin(future)))
}

/// Reads the id out of a result, whatever the options have made of it.
trait HasId {
    fn id(&self) -> Id;
}

impl HasId for Out {
    fn id(&self) -> Id {
        match *self {
            Ok(id) | Err(id) => id,
        }
    }
}

impl HasId for Result<Out, Panic> {
    fn id(&self) -> Id {
        match self {
            Ok(out) => out.id(),
            Err(panic) => {
                let job = panic.message().and_then(|message| message.strip_prefix(PLANNED));
                job.and_then(|id| id.parse().ok()).expect("the planned panic of a job")
            }
        }
    }
}

/// Builds the chain.
#[allow(clippy::too_many_lines)]
fn build(kind: Kind, size: usize, max_finished: Option<usize>, world: &World) -> Box<dyn Subject> {
    let make = {
        let world = world.clone();
        move |item| world.make(item)
    };
    /// With size and bound on results, and without a view.
    macro_rules! plain {
        ($stream:expr) => {{
            let mut stream = $stream;
            stream.set_size(size);
            match max_finished {
                Some(results) => stream.max_finished(results),
                None => stream,
            }
        }};
    }
    macro_rules! streaming {
        ($stream:expr, $flat:expr, $set_size:expr, $read:expr) => {
            Box::new(Streaming {
                stream: $stream,
                read: $read,
                counts: |stream| [stream.active(), stream.finished(), stream.size()],
                set_size: $set_size,
                flat: $flat,
            })
        };
    }
    macro_rules! flat {
        ($stream:expr) => {
            streaming!(plain!($stream), true, Some(|stream, size| stream.set_size(size)), |out| vec![(None, out.id())])
        };
    }
    /// With each of those views that every chain has.
    macro_rules! view {
        ($stream:expr) => {
            match kind.view {
                View::Flat => flat!($stream),
                View::Indexed => {
                    streaming!(plain!($stream).indexed(), true, None, |(place, out)| vec![(Some(place), out.id())])
                }
                View::ForEach => {
                    let world = world.clone();
                    consuming(plain!($stream).for_each(move |out| world.consume(out.id())))
                }
                View::Batches | View::Timed => unreachable!("no batches of results in place"),
            }
        };
    }
    /// With any view.
    macro_rules! view_or_batches {
        ($stream:expr) => {{
            let read = |batch: Vec<_>| batch.iter().map(|out| (None, HasId::id(out))).collect();
            let judging = world.clone();
            match kind.view {
                View::Batches => {
                    let batches = plain!($stream).batches(move |out| judging.judge(out.id()));
                    streaming!(batches, false, None, read)
                }
                View::Timed => {
                    let timing = world.clone();
                    let batches = plain!($stream).batches(move |out| judging.judge(out.id()));
                    streaming!(batches.timeout(move || timing.timer()), false, None, read)
                }
                _ => view!($stream),
            }
        }};
    }
    macro_rules! set {
        ($stream:expr) => {
            match kind.set {
                Set::Unordered => view_or_batches!($stream.with_set(UnorderedSet)),
                _ => view_or_batches!($stream),
            }
        };
    }
    macro_rules! option {
        ($stream:expr) => {
            match (kind.set, kind.option) {
                (Set::Inline, _) if size > 5 => flat!($stream.with_set(InlineSet::<32>)),
                (Set::Inline, _) => flat!($stream.with_set(InlineSet::<3>)),
                (_, Opt::Plain) => set!($stream),
                #[cfg(feature = "std")]
                (_, Opt::Catch) => set!($stream.catch_unwind()),
                #[cfg(not(feature = "std"))]
                (_, Opt::Catch) => unreachable!("without the standard library no panic is caught"),
                (_, Opt::FailFast) => set!($stream.fail_fast()),
            }
        };
    }
    macro_rules! in_place {
        ($stream:expr) => {
            match kind.option {
                Opt::FailFast => view!($stream.fail_fast()),
                _ => view!($stream),
            }
        };
    }
    macro_rules! all_in_place {
        ($($n:literal)*) => {
            match (slots_for(size), kind.ordered) {
                $(
                    ($n, true) => in_place!(Scripts(world.clone()).pool_map_inline(Slots::<$n>, make)),
                    ($n, false) => in_place!(Scripts(world.clone()).pool_map_inline(Slots::<$n>, make).unordered()),
                )*
                _ => unreachable!("no such number of slots"),
            }
        };
    }
    match (kind.source, kind.set, kind.ordered) {
        (Source::Iter, _, true) => flat!(ScriptsIter(world.clone()).pool_map(size, make)),
        (Source::Iter, _, false) => flat!(ScriptsIter(world.clone()).pool_map(size, make).unordered()),
        (_, Set::AllInline, _) => all_in_place!(1 3 5 32),
        (_, _, true) => option!(Scripts(world.clone()).pool_map(size, make)),
        (_, _, false) => option!(Scripts(world.clone()).pool_map(size, make).unordered()),
    }
}

struct Chain {
    bench: Bench,
    kind: Kind,
    subject: Box<dyn Subject>,
    /// The jobs, and broken items, by their positions in the source.
    fed: Vec<Id>,
}

impl Chain {
    fn feed(&mut self, item: Supply) {
        let (Supply::Job(id) | Supply::Broken(id)) = item;
        let model = &mut self.bench.model;
        let watched = model.has_room() && model.waiting.is_empty();
        model.waiting.push(id);
        self.fed.push(id);
        self.bench.world.feed(item);
        if watched {
            self.bench.must_have_woken();
        }
    }

    fn push(&mut self, plan: Plan) {
        let id = self.bench.world.job(plan);
        self.feed(Supply::Job(id));
    }

    fn poll(&mut self) -> Outcome {
        let Self { bench, kind, subject, fed } = self;
        bench.model.begin(Call::Next);
        if kind.view == View::ForEach {
            // One poll is kept for the consumer's future, whether it has one or not.
            bench.model.count_poll();
        }
        bench.call_begun(|cx| {
            let Poll::Ready(next) = subject.poll(cx) else { return Poll::Pending };
            let Some(items) = next else { return Poll::Ready(Outcome::Ready(None)) };
            for &(position, id) in &items {
                assert!(position.is_none_or(|position| fed[position] == id), "the position of another");
            }
            let ids: Vec<Id> = items.into_iter().map(|(_, id)| id).collect();
            let batches = matches!(kind.view, View::Batches | View::Timed);
            Poll::Ready(if batches { Outcome::Batch(ids) } else { Outcome::Ready(Some(ids[0])) })
        })
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        let open = self.bench.model.open;
        let feeds = open && self.kind.source == Source::Stream;
        let consumed = self.kind.view == View::ForEach;
        let Self { bench, subject, .. } = self;
        match op {
            Op::Push(plan) if feeds => self.push(plan),
            Op::PushMany(plan, count) if feeds => (0..count).for_each(|_| self.push(plan)),
            Op::Broken if feeds => {
                let id = bench.world.job(Plan::new(Then::Finish));
                self.feed(Supply::Broken(id));
            }
            Op::SourceSleeps(times) => bench.world.source_sleeps(times),
            Op::Close => {
                bench.model.open = false;
                bench.world.close();
            }
            Op::SetSize(size) => {
                let before = bench.model.size;
                if !subject.set_size(size) {
                    return;
                }
                bench.model.set_size(size);
                if bench.model.size > before {
                    bench.must_have_woken();
                }
            }
            Op::Fire if self.kind.view == View::Timed => bench.world.fire(),
            Op::Release => bench.world.release_consumer(),
            Op::Poll(times) => (0..times).for_each(|_| {
                self.poll();
            }),
            Op::Progress(times) if !consumed => {
                for _ in 0..times {
                    bench.call(Call::Progress, |cx| subject.progress(cx).map(|()| Outcome::Idle));
                }
            }
            Op::Drive if !consumed => bench.drive(|cx| subject.drive(cx)),
            _ => {}
        }
    }

    fn compare(&self) {
        let model = &self.bench.model;
        let expected = [model.active.len(), model.finished.len(), model.size];
        assert!(self.subject.counts().is_none_or(|counts| counts == expected), "active, finished, size: {expected:?}");
        assert_eq!(self.bench.world.alive(), model.active.len(), "futures alive");
        let left = model.len() + model.finished.len();
        let lower = if model.fail_fast { left.min(1) } else { left };
        let bounded = !model.open || self.kind.source == Source::Iter;
        let expected = (lower, bounded.then_some(left));
        assert!(self.subject.size_hint().is_none_or(|hint| hint == expected), "size_hint: {expected:?}");
        if self.subject.is_terminated() == Some(true) {
            assert!(left == 0 && !model.open, "terminated with something left");
        }
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Close);
        self.apply(Op::CompleteMany(usize::MAX));
        loop {
            match self.poll() {
                Outcome::Ready(None) => break,
                Outcome::Pending if self.bench.world.consumer_is_busy() => self.apply(Op::Release),
                Outcome::Pending => self.bench.must_have_woken(),
                _ => {}
            }
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
        if self.kind.view != View::ForEach {
            assert_eq!(self.subject.is_terminated(), Some(true), "ended, and not terminated");
            assert_eq!(self.poll(), Outcome::Ready(None), "fused");
        }
    }
}

pub fn run(kind: Kind, size: usize, max_finished: Option<usize>, ops: Vec<Op>, finish: bool) {
    let mut model = Reference::new(1, max_finished, kind.ordered);
    model.open = true;
    model.catching = kind.option == Opt::Catch;
    model.fail_fast = kind.option == Opt::FailFast;
    match kind.set {
        Set::Slot => {}
        Set::Unordered => model.slack = UNORDERED_SLACK,
        Set::Inline => forwarding(&mut model, if size > 5 { 32 } else { 3 }),
        Set::AllInline => {
            forwarding(&mut model, slots_for(size));
            model.bounded_results = true;
        }
    }
    model.set_size(size);
    let bench = Bench::new(model);
    let subject = build(kind, size, max_finished, &bench.world);
    let mut chain = Chain { bench, kind, subject, fed: vec![] };
    let mut ops = ops;
    if kind.source == Source::Iter {
        // Its items are all there from the beginning.
        let (fed, others) = ops.into_iter().partition(|op| matches!(op, Op::Push(_) | Op::PushMany(..) | Op::Broken));
        ops = others;
        chain.kind.source = Source::Stream;
        for op in Vec::into_iter(fed) {
            chain.apply(op);
        }
        chain.kind.source = Source::Iter;
        chain.bench.model.open = false;
    }
    for op in ops {
        chain.apply(op);
        chain.compare();
    }
    if finish {
        chain.finish();
    } else {
        drop(chain.subject);
        chain.bench.gone();
    }
}
