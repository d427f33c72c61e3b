//! The law as a property: random schedules of push, finish, wake, cancel, resize, pause, poll and drop, compared after
//! every step with the naive model in `reference.rs`.
//!
//! On the keyed pools and on the chain, ordered and not, on every active set, and with results on the heap and in place.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod reference;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures::Stream;
use futures_pool::inline::{InlinePool, InlineSet, SlotCount, Slots};
use futures_pool::{ActiveSet, Key, Pool, SlotSet, UnorderedSet, prelude::*};
use proptest::prelude::*;
use proptest::sample::Index;

use common::Wakes;
use reference::{Outcome, Reference};
use world::{Event, Id, Plan, Scripted, Scripts, Supply, Then, World};

#[derive(Clone, Debug)]
enum Op {
    Push(Plan),
    PushMany(Plan, usize),
    TrySpawn(Plan),
    /// Lets a job end when it is polled next.
    Complete(Index, Then),
    CompleteMany(usize),
    Wake(Index),
    WakeLate(Index),
    Cancel(Index),
    CancelAll,
    Take(Index),
    SetSize(usize),
    SetBacklog(usize),
    Pause,
    Resume,
    Poll(usize),
    /// Async methods, polled once and dropped.
    Join,
    Wait(Index),
    Spawn(Plan),
    Exec(Plan),
    MapAll(Plan, usize),
    /// The source's closure or iterator panics at this item.
    Broken,
    Close,
}

fn plan() -> impl Strategy<Value = Plan> {
    let then = prop_oneof![6 => Just(Then::Wait), 3 => Just(Then::Finish), 1 => Just(Then::Panic)];
    let yields = prop_oneof![4 => Just(0), 1 => 0..4u8, 1 => Just(u8::MAX)];
    (yields, proptest::option::weighted(0.2, 0..4u8), then).prop_map(|(yields, nudges, then)| Plan {
        yields,
        nudges,
        then,
    })
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..6usize, 2 => 60..70usize, 2 => 1..=200usize, 1 => Just(usize::MAX)]
}

fn backlog() -> impl Strategy<Value = usize> {
    prop_oneof![0..4usize, 0..100usize, Just(usize::MAX)]
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![4 => Just(Then::Finish), 1 => Just(Then::Panic)];
    prop_oneof![
        8 => plan().prop_map(Op::Push),
        3 => (plan(), 1..150usize).prop_map(|(plan, count)| Op::PushMany(plan, count)),
        1 => plan().prop_map(Op::TrySpawn),
        8 => (any::<Index>(), end).prop_map(|(job, then)| Op::Complete(job, then)),
        3 => (1..150usize).prop_map(Op::CompleteMany),
        3 => any::<Index>().prop_map(Op::Wake),
        1 => any::<Index>().prop_map(Op::WakeLate),
        2 => any::<Index>().prop_map(Op::Cancel),
        1 => Just(Op::CancelAll),
        2 => any::<Index>().prop_map(Op::Take),
        1 => size().prop_map(Op::SetSize),
        1 => backlog().prop_map(Op::SetBacklog),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        16 => (1..8usize).prop_map(Op::Poll),
        1 => Just(Op::Join),
        1 => any::<Index>().prop_map(Op::Wait),
        1 => plan().prop_map(Op::Spawn),
        1 => plan().prop_map(Op::Exec),
        1 => (plan(), 0..10usize).prop_map(|(plan, count)| Op::MapAll(plan, count)),
        1 => Just(Op::Broken),
        1 => Just(Op::Close),
    ]
}

/// What the two drivers share: the world, the model, and the task that polls.
struct Bench {
    world: World,
    model: Reference,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// The count of wakes when the last poll returned `Pending`; `None` if it returned something else.
    parked: Option<usize>,
}

impl Bench {
    fn new(model: Reference) -> Self {
        let (wakes, waker) = Wakes::new();
        Self { world: World::default(), model, wakes, waker, parked: None }
    }

    /// Brings the model up to date.
    fn settle(&mut self) {
        for event in self.world.take_events() {
            self.model.happened(event);
        }
    }

    /// Does something that polls, and checks it.
    fn call(&mut self, bounded: bool, call: impl FnOnce(&mut Context<'_>) -> Poll<Outcome>) -> Outcome {
        self.model.begin(bounded);
        let before = self.wakes.count();
        let waker = self.waker.clone();
        let outcome = match catch_unwind(AssertUnwindSafe(|| call(&mut Context::from_waker(&waker)))) {
            Ok(Poll::Pending) => Outcome::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) if payload.downcast_ref() == Some(&"planned") => Outcome::Panicked,
            Err(payload) => std::panic::resume_unwind(payload),
        };
        self.settle();
        self.model.at_rest(outcome, self.wakes.count() > before);
        self.parked = (outcome == Outcome::Pending).then_some(before);
        outcome
    }

    /// Polls an async method, which is not bound by the backlog and hands nothing over.
    fn method(&mut self, poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) {
        self.call(false, |cx| poll(cx).map(|()| Outcome::Done));
    }

    /// Checks that what has just been done has woken the task, if that was parked.
    fn must_have_woken(&self) {
        if let Some(before) = self.parked {
            assert!(self.wakes.count() > before, "a wake-up was lost");
        }
    }

    fn complete(&mut self, id: Id, then: Then) {
        self.world.complete(id, then);
        self.woken();
    }

    /// Brings the model up to date after wake-ups from outside a poll.
    fn woken(&mut self) {
        let events = self.world.take_events();
        if events.iter().any(|event| matches!(event, Event::Woken(_))) {
            self.must_have_woken();
        }
        for event in events {
            self.model.happened(event);
        }
    }

    /// Does what has nothing to do with the form of the pool; gives the other operations back.
    fn common(&mut self, op: Op) -> Option<Op> {
        let jobs = self.world.jobs();
        match op {
            Op::Complete(job, then) if jobs > 0 => self.complete(job.index(jobs), then),
            Op::CompleteMany(count) => {
                for id in jobs.saturating_sub(count)..jobs {
                    self.complete(id, Then::Finish);
                }
            }
            Op::Wake(job) if jobs > 0 => {
                self.world.wake(job.index(jobs));
                self.woken();
            }
            Op::WakeLate(choice) => self.world.wake_late(choice.index(1000)),
            other => return Some(other),
        }
        None
    }
}

/// Drives a keyed pool.
struct Keyed<S: ActiveSet<Scripted>> {
    bench: Bench,
    pool: Pool<Scripted, S>,
    /// The keys of the jobs, by id; `None` for those that never got one.
    keys: Vec<Option<Key>>,
    newest: Option<Key>,
}

impl<S: ActiveSet<Scripted>> Keyed<S> {
    fn new(size: usize, set: S, slack: usize) -> Self {
        let mut model = Reference::new(size.max(1), None, false);
        model.slack = slack;
        Self { bench: Bench::new(model), pool: Pool::with_set(size, set), keys: vec![], newest: None }
    }

    fn job(&mut self, plan: Plan) -> Scripted {
        let id = self.bench.world.job(plan);
        self.keys.push(None);
        self.bench.world.future(id)
    }

    fn pushed(&mut self, key: Key) {
        let last = self.keys.len() - 1;
        assert!(self.newest.replace(key) < Some(key), "keys do not rise");
        self.keys[last] = Some(key);
        self.bench.model.waiting.push(last);
        self.bench.must_have_woken();
    }

    fn push(&mut self, plan: Plan) {
        let future = self.job(plan);
        let key = self.pool.spawn_n(future);
        self.pushed(key);
    }

    fn poll(&mut self) -> Outcome {
        let Self { bench, pool, keys, .. } = self;
        bench.call(true, |cx| {
            let next = ready!(Pin::new(pool).poll_next(cx));
            Poll::Ready(Outcome::Ready(next.map(|(key, id)| {
                assert!(keys[id].is_none_or(|own| own == key), "the key of another");
                id
            })))
        })
    }

    /// Chooses a key, now and then one that is unknown.
    fn choose(&self, choice: Index) -> Option<(Id, Key)> {
        let id = choice.index(self.keys.len().max(1));
        self.keys.get(id).copied().flatten().map(|key| (id, key))
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        let Self { bench, pool, .. } = self;
        match op {
            Op::Push(plan) => self.push(plan),
            Op::PushMany(plan, count) => (0..count).for_each(|_| self.push(plan)),
            Op::TrySpawn(plan) => {
                let fits = bench.model.len() < bench.model.size;
                let future = self.job(plan);
                match self.pool.try_spawn(future) {
                    Ok(key) => {
                        assert!(fits);
                        self.pushed(key);
                    }
                    Err(future) => {
                        assert!(!fits);
                        drop(future);
                    }
                }
            }
            Op::Cancel(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let cancelled = self.bench.model.cancel(id);
                    assert_eq!(self.pool.cancel(key), cancelled);
                    self.freed();
                }
            }
            Op::CancelAll => {
                let count = bench.model.len();
                for id in [bench.model.waiting.clone(), bench.model.active.clone()].concat() {
                    bench.model.cancel(id);
                }
                assert_eq!(pool.cancel_all(), count);
                self.freed();
            }
            Op::Take(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let taken = self.bench.model.take(id);
                    assert_eq!(self.pool.take_result(key), taken.then_some(id));
                }
            }
            Op::SetSize(size) => {
                let grows = size > bench.model.size;
                bench.model.set_size(size);
                pool.set_size(size);
                if grows {
                    bench.must_have_woken();
                }
            }
            Op::SetBacklog(results) => {
                bench.model.backlog = Some(results);
                pool.set_backlog(results);
            }
            Op::Pause => {
                bench.model.paused = true;
                pool.pause();
            }
            Op::Resume => {
                bench.model.paused = false;
                pool.resume();
                bench.must_have_woken();
            }
            Op::Poll(times) => {
                for _ in 0..times {
                    self.poll();
                }
            }
            Op::Join => {
                let mut join = pin!(pool.join());
                bench.call(false, |cx| join.as_mut().poll(cx).map(|()| Outcome::Ready(None)));
            }
            Op::Wait(choice) => self.wait(choice),
            Op::Spawn(plan) => self.spawn(plan, false),
            Op::Exec(plan) => self.spawn(plan, true),
            Op::MapAll(plan, count) => self.map_all(plan, count),
            _ => {}
        }
    }

    /// After cancelling: the destructors ran, and if something waits the task has been woken to start it.
    fn freed(&mut self) {
        self.bench.settle();
        let model = &self.bench.model;
        if !model.paused && !model.waiting.is_empty() && model.active.len() < model.size {
            self.bench.must_have_woken();
        }
    }

    fn wait(&mut self, choice: Index) {
        let Some((id, key)) = self.choose(choice) else { return };
        let Self { bench, pool, .. } = self;
        let held = [&bench.model.waiting, &bench.model.active].iter().any(|list| list.contains(&id));
        if held {
            let mut wait = pin!(pool.wait(key));
            let mut got = None;
            bench.method(|cx| wait.as_mut().poll(cx).map(|result| got = result));
            if let Some(output) = got {
                assert_eq!(output, id);
                assert!(bench.model.take(id));
            }
        } else {
            let finished = bench.model.take(id);
            let mut wait = pin!(pool.wait(key));
            let result = wait.as_mut().poll(&mut Context::from_waker(&bench.waker));
            assert_eq!(result, Poll::Ready(finished.then_some(id)));
        }
    }

    /// `spawn` or `exec`, polled once and dropped.
    fn spawn(&mut self, plan: Plan, exec: bool) {
        let future = self.job(plan);
        let id = self.keys.len() - 1;
        let Self { bench, pool, keys, .. } = self;
        // It comes after all that waits. If it is not started, it is gone again.
        bench.model.waiting.push(id);
        bench.model.in_hand = Some(id);
        let mut got = None;
        if exec {
            let mut exec = pin!(pool.exec(future));
            bench.method(|cx| exec.as_mut().poll(cx).map(|output| got = Some(output)));
        } else {
            let mut spawn = pin!(pool.spawn(future));
            bench.method(|cx| spawn.as_mut().poll(cx).map(|key| keys[id] = Some(key)));
        }
        bench.model.waiting.retain(|&other| other != id);
        bench.model.in_hand = None;
        if let Some(output) = got {
            assert_eq!(output, id);
            assert!(bench.model.take(id));
        }
        bench.settle();
    }

    fn map_all(&mut self, plan: Plan, count: usize) {
        let first = self.keys.len();
        let ids: Vec<Id> = (0..count).map(|_| self.bench.world.job(plan)).collect();
        self.keys.resize(first + count, None);
        let Self { bench, pool, .. } = self;
        bench.model.waiting.extend(&ids);
        let world = bench.world.clone();
        let mut map = pin!(pool.map_all(ids.iter().copied(), |id| world.future(id)));
        let mut got = None;
        bench.method(|cx| map.as_mut().poll(cx).map(|results| got = Some(results)));
        bench.model.waiting.retain(|id| !ids.contains(id));
        if let Some(results) = got {
            assert_eq!(results, ids);
            for &id in &ids {
                assert!(bench.model.take(id));
            }
        }
    }

    fn compare(&self) {
        let (model, pool) = (&self.bench.model, &self.pool);
        assert_eq!(pool.waiting(), model.waiting.len(), "waiting");
        assert_eq!(pool.active(), model.active.len(), "active");
        assert_eq!(pool.finished(), model.finished.len(), "finished");
        assert_eq!(pool.executed(), model.executed, "executed");
        assert_eq!(pool.size(), model.size, "size");
        assert_eq!(pool.len(), model.len(), "len");
        assert_eq!(pool.is_full(), model.len() >= model.size, "is_full");
        assert_eq!(pool.is_paused(), model.paused, "is_paused");
        let left = model.len() + model.finished.len();
        assert_eq!(pool.size_hint(), (left, Some(left)), "size_hint");
        assert_eq!(self.bench.world.alive(), model.len(), "futures alive");
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Resume);
        for id in 0..self.bench.world.jobs() {
            self.bench.complete(id, Then::Finish);
        }
        loop {
            match self.poll() {
                Outcome::Ready(None) => break,
                Outcome::Pending => self.bench.must_have_woken(),
                Outcome::Ready(Some(_)) | Outcome::Panicked | Outcome::Done => {}
            }
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
    }

    fn drop_half_way(self) {
        drop(self.pool);
        self.bench.gone();
    }
}

/// Drives a chain.
struct Chain<P> {
    bench: Bench,
    stream: P,
    counts: fn(&P) -> [usize; 3],
    set_size: fn(&mut P, usize),
}

impl<P: Stream<Item = Id> + Unpin> Chain<P> {
    fn feed(&mut self, item: Supply) {
        let (Supply::Job(id) | Supply::Broken(id)) = item;
        let model = &mut self.bench.model;
        let watched = model.has_room() && model.waiting.is_empty();
        model.waiting.push(id);
        self.bench.world.feed(item);
        if watched {
            self.bench.must_have_woken();
        }
    }

    fn poll(&mut self) -> Outcome {
        let stream = Pin::new(&mut self.stream);
        self.bench.call(true, |cx| stream.poll_next(cx).map(Outcome::Ready))
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        let open = self.bench.model.open;
        match op {
            Op::Push(plan) if open => {
                let id = self.bench.world.job(plan);
                self.feed(Supply::Job(id));
            }
            Op::PushMany(plan, count) if open => {
                for _ in 0..count {
                    let id = self.bench.world.job(plan);
                    self.feed(Supply::Job(id));
                }
            }
            Op::Broken if open => {
                let id = self.bench.world.job(Plan { yields: 0, nudges: None, then: Then::Finish });
                self.feed(Supply::Broken(id));
            }
            Op::Close => {
                self.bench.model.open = false;
                self.bench.world.close();
            }
            Op::SetSize(size) => {
                let before = self.bench.model.size;
                self.bench.model.set_size(size);
                let grows = self.bench.model.size > before;
                (self.set_size)(&mut self.stream, size);
                if grows {
                    self.bench.must_have_woken();
                }
            }
            Op::Poll(times) => {
                for _ in 0..times {
                    self.poll();
                }
            }
            _ => {}
        }
    }

    fn compare(&self) {
        let model = &self.bench.model;
        let expected = [model.active.len(), model.finished.len(), model.size];
        assert_eq!((self.counts)(&self.stream), expected, "active, finished, size");
        assert_eq!(self.bench.world.alive(), model.active.len(), "futures alive");
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Close);
        loop {
            for id in 0..self.bench.world.jobs() {
                self.bench.complete(id, Then::Finish);
            }
            match self.poll() {
                Outcome::Ready(None) => break,
                Outcome::Pending => self.bench.must_have_woken(),
                Outcome::Ready(Some(_)) | Outcome::Panicked | Outcome::Done => {}
            }
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
        assert_eq!(self.poll(), Outcome::Ready(None), "fused");
    }

    fn drop_half_way(self) {
        drop(self.stream);
        self.bench.gone();
    }
}

impl Bench {
    /// The pool has been dropped.
    fn gone(&self) {
        assert_eq!(self.world.alive(), 0, "futures outlived their pool");
        let before = self.wakes.count();
        (0..50).for_each(|choice| self.world.wake_late(choice));
        if !self.model.forwards {
            assert_eq!(self.wakes.count(), before, "a pool that is gone woke its task");
        }
    }
}

/// A `FuturesUnordered` is stopped by two futures that wake themselves instead of being polled.
const UNORDERED_SLACK: usize = 2;

fn keyed(size: usize, set: impl ActiveSet<Scripted>, slack: usize, ops: Vec<Op>, finish: bool) {
    let mut keyed = Keyed::new(size, set, slack);
    for op in ops {
        keyed.apply(op);
        keyed.compare();
    }
    if finish { keyed.finish() } else { keyed.drop_half_way() }
}

/// Makes a chain of each kind, and drives it.
fn chain(kind: Kind, size: usize, backlog: Option<usize>, ops: Vec<Op>, finish: bool) {
    let mut model = Reference::new(1, backlog, kind.ordered);
    model.open = true;
    match kind.set {
        Set::Slot => {}
        Set::Unordered => model.slack = UNORDERED_SLACK,
        Set::Inline | Set::AllInline => {
            forwarding(&mut model, slots_for(size));
            model.bounded_results = matches!(kind.set, Set::AllInline);
        }
    }
    model.set_size(size);
    let bench = Bench::new(model);
    let (scripts, world) = (Scripts(bench.world.clone()), bench.world.clone());
    macro_rules! drive {
        ($stream:expr) => {{
            let mut stream = $stream;
            stream.set_size(size);
            if let Some(results) = backlog {
                stream = stream.backlog(results);
            }
            let mut chain = Chain {
                bench,
                stream,
                counts: |stream| [stream.active(), stream.finished(), stream.size()],
                set_size: |stream, size| stream.set_size(size),
            };
            for op in ops {
                chain.apply(op);
                chain.compare();
            }
            if finish { chain.finish() } else { chain.drop_half_way() }
        }};
    }
    let make = move |item| world.make(item);
    macro_rules! drive_inline {
        ($($n:literal)*) => {
            match (slots_for(size), kind.ordered, kind.set) {
                $(
                    ($n, true, Set::AllInline) => drive!(scripts.pool_map_inline(Slots::<$n>, make)),
                    ($n, false, Set::AllInline) => drive!(scripts.pool_map_inline(Slots::<$n>, make).unordered()),
                    ($n, true, _) => drive!(scripts.pool_map(size, make).with_set(InlineSet::<_, $n>::new())),
                    ($n, false, _) => {
                        drive!(scripts.pool_map(size, make).unordered().with_set(InlineSet::<_, $n>::new()));
                    }
                )*
                _ => unreachable!("no such number of slots"),
            }
        };
    }
    match (kind.ordered, kind.set) {
        (true, Set::Slot) => drive!(scripts.pool_map(size, make)),
        (true, Set::Unordered) => drive!(scripts.pool_map(size, make).with_set(UnorderedSet::default())),
        (false, Set::Slot) => drive!(scripts.pool_map(size, make).unordered()),
        (false, Set::Unordered) => drive!(scripts.pool_map(size, make).unordered().with_set(UnorderedSet::default())),
        (_, Set::Inline | Set::AllInline) => drive_inline!(1 3 5 32),
    }
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    ordered: bool,
    set: Set,
}

#[derive(Clone, Copy, Debug)]
enum Set {
    Slot,
    Unordered,
    /// The set in place, the results on the heap.
    Inline,
    /// Both in place.
    AllInline,
}

/// How many slots a pool in place gets that is asked for this size; it has that size then.
fn slots_for(size: usize) -> usize {
    match size {
        0..=1 => 1,
        2..=3 => 3,
        4..=5 => 5,
        _ => 32,
    }
}

/// What is different where the futures have the task's own waker.
fn forwarding(model: &mut Reference, slots: usize) {
    model.most = slots;
    model.forwards = true;
    // A future that wakes itself wakes the task, and is polled in the next call.
    model.slack = reference::POLLS;
}

fn kind() -> impl Strategy<Value = Kind> {
    let set = prop_oneof![Just(Set::Slot), Just(Set::Unordered), Just(Set::Inline), Just(Set::AllInline)];
    (any::<bool>(), set).prop_map(|(ordered, set)| Kind { ordered, set })
}

/// Drives a keyed pool in place.
struct KeyedInline<const N: usize, const QUEUE: usize>
where
    Slots<N>: SlotCount,
{
    bench: Bench,
    pool: Pin<Box<InlinePool<Scripted, N, QUEUE>>>,
    /// The keys of the jobs, by id; `None` for those that were given back.
    keys: Vec<Option<Key>>,
}

impl<const N: usize, const QUEUE: usize> KeyedInline<N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn new(size: usize, backlog: Option<usize>) -> Self {
        let mut model = Reference::new(N, backlog, false);
        forwarding(&mut model, N);
        model.bounded_results = true;
        model.set_size(size);
        let mut pool = InlinePool::new();
        pool.set_size(size);
        if let Some(results) = backlog {
            pool.set_backlog(results);
        }
        Self { bench: Bench::new(model), pool: Box::pin(pool), keys: vec![] }
    }

    fn push(&mut self, plan: Plan) {
        let Self { bench, pool, keys } = self;
        let id = bench.world.job(plan);
        let fits = bench.model.waiting.len() < QUEUE;
        assert_eq!(pool.is_full(), !fits);
        match pool.as_mut().try_spawn(bench.world.future(id)) {
            Ok(key) => {
                assert!(fits && keys.iter().flatten().all(|&other| other < key));
                keys.push(Some(key));
                bench.model.waiting.push(id);
                bench.must_have_woken();
            }
            Err(future) => {
                assert!(!fits);
                keys.push(None);
                drop(future);
            }
        }
    }

    fn poll(&mut self) -> Outcome {
        let Self { bench, pool, keys } = self;
        bench.call(true, |cx| {
            let next = ready!(pool.as_mut().poll_next(cx));
            Poll::Ready(Outcome::Ready(next.map(|(key, id)| {
                assert_eq!(keys[id], Some(key));
                id
            })))
        })
    }

    fn choose(&self, choice: Index) -> Option<(Id, Key)> {
        let id = choice.index(self.keys.len().max(1));
        self.keys.get(id).copied().flatten().map(|key| (id, key))
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        match op {
            Op::Push(plan) | Op::TrySpawn(plan) => self.push(plan),
            Op::PushMany(plan, count) => (0..count).for_each(|_| self.push(plan)),
            Op::Cancel(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let cancelled = self.bench.model.cancel(id);
                    assert_eq!(self.pool.as_mut().cancel(key), cancelled);
                    self.freed();
                }
            }
            Op::CancelAll => {
                let model = &mut self.bench.model;
                let count = model.len();
                for id in [model.waiting.clone(), model.active.clone()].concat() {
                    model.cancel(id);
                }
                assert_eq!(self.pool.as_mut().cancel_all(), count);
                self.freed();
            }
            Op::Take(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let taken = self.bench.model.take(id);
                    assert_eq!(self.pool.as_mut().take_result(key), taken.then_some(id));
                }
            }
            Op::Poll(times) => {
                for _ in 0..times {
                    self.poll();
                }
            }
            _ => {}
        }
    }

    /// After cancelling: if something waits, the task has been woken to start it.
    fn freed(&mut self) {
        self.bench.settle();
        let model = &self.bench.model;
        if !model.waiting.is_empty() && model.active.len() < model.size {
            self.bench.must_have_woken();
        }
    }

    fn compare(&self) {
        let (model, pool) = (&self.bench.model, &self.pool);
        assert_eq!(pool.waiting(), model.waiting.len(), "waiting");
        assert_eq!(pool.active(), model.active.len(), "active");
        assert_eq!(pool.finished(), model.finished.len(), "finished");
        assert_eq!(pool.size(), model.size, "size");
        let left = model.len() + model.finished.len();
        assert_eq!(pool.size_hint(), (left, Some(left)), "size_hint");
        assert_eq!(self.bench.world.alive(), model.len(), "futures alive");
    }

    fn run(mut self, ops: Vec<Op>, finish: bool) {
        for op in ops {
            self.apply(op);
            self.compare();
        }
        if finish {
            for id in 0..self.bench.world.jobs() {
                self.bench.complete(id, Then::Finish);
            }
            while self.poll() != Outcome::Ready(None) {
                if self.bench.parked.is_some() {
                    self.bench.must_have_woken();
                }
                self.compare();
            }
        }
        drop(self.pool);
        self.bench.gone();
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn keyed_pool_on_slot_set(size in size(), ops in ops(), finish: bool) {
        keyed(size, SlotSet::default(), 0, ops, finish);
    }

    #[test]
    fn keyed_pool_on_unordered_set(size in size(), ops in ops(), finish: bool) {
        keyed(size, UnorderedSet::default(), UNORDERED_SLACK, ops, finish);
    }

    #[test]
    fn chain_of_any_kind(
        kind in kind(),
        size in size(),
        backlog in proptest::option::of(backlog()),
        ops in ops(),
        finish: bool,
    ) {
        chain(kind, size, backlog, ops, finish);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn keyed_pool_in_place(
        size in size(),
        backlog in proptest::option::of(backlog()),
        ops in ops(),
        finish: bool,
    ) {
        match slots_for(size) {
            1 => KeyedInline::<1, 1>::new(size, backlog).run(ops, finish),
            3 => KeyedInline::<3, 70>::new(size, backlog).run(ops, finish),
            5 => KeyedInline::<5, 2>::new(size, backlog).run(ops, finish),
            _ => KeyedInline::<32, 100>::new(size, backlog).run(ops, finish),
        }
    }
}

/// Enough futures for many words of ready bits and more than one summary.
fn many() -> impl Strategy<Value = Vec<Op>> {
    let wait = Plan { yields: 0, nudges: None, then: Then::Wait };
    let woken = prop_oneof![
        (any::<Index>(), Just(Then::Finish)).prop_map(|(job, then)| Op::Complete(job, then)),
        any::<Index>().prop_map(Op::Wake),
        (1..3usize).prop_map(Op::Poll),
    ];
    (4200..6000usize, proptest::collection::vec(woken, 40..80)).prop_map(move |(count, mut ops)| {
        let filled = count.div_ceil(reference::POLLS) + 1;
        ops.splice(0..0, [Op::PushMany(wait, count), Op::Poll(filled)]);
        ops
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn beyond_one_summary(ops in many(), ordered: bool, slots: bool) {
        let set = if slots { Set::Slot } else { Set::Unordered };
        chain(Kind { ordered, set }, usize::MAX, None, ops.clone(), false);
        keyed(usize::MAX, SlotSet::default(), 0, ops, false);
    }
}
