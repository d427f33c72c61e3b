//! Panics, wherever code of the user's runs: at each such place, one is planted in its k-th call, for every k that there is.
//!
//! The places are those of [`SITES`], the uses of the library the tables [`chain_forms`], [`pool_forms`], [`inline_forms`] and
//! `scopes`. Each use is polled by hand, on through the panic, to its end. Then nothing may be lost but what the panic
//! was about, nothing dropped twice, nothing left, and the counts have to be right; and at every poll in between the law
//! holds, and whoever sleeps is woken. A panic that is not the planted one fails the test.
//!
//! What is known not to hold is stated in [`Exceptions`].

mod common;
#[path = "common/probes.rs"]
mod probes;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use cooked_waker::{IntoWaker, WakeRef};
use fastrand::Rng;
use futures::future::FutureExt;
use futures::stream::{Stream, StreamExt};
use futures_pool::inline::Slots;
use futures_pool::{ActiveSet, InlinePool, Pool, SlotSet, UnorderedSet, prelude::*};

use probes::{Job, Lab, MaxFinished, OUTSIDE, Output, Role, Site, Source, Stage, is_planted};

/// Every place at which code of the user's runs.
const SITES: [Site; 30] = [
    Site::Poll(Role::Pooled, Stage::Waiting),
    Site::Poll(Role::Pooled, Stage::Active),
    Site::Poll(Role::Timer, Stage::Waiting),
    Site::Poll(Role::Timer, Stage::Active),
    Site::Poll(Role::Item, Stage::Waiting),
    Site::Poll(Role::Item, Stage::Active),
    Site::Poll(Role::Driven, Stage::Waiting),
    Site::Poll(Role::Driven, Stage::Active),
    Site::Poll(Role::Callback, Stage::Waiting),
    Site::Poll(Role::Callback, Stage::Active),
    Site::Drop(Role::Pooled, Stage::Waiting),
    Site::Drop(Role::Pooled, Stage::Active),
    Site::Drop(Role::Pooled, Stage::Finished),
    Site::Drop(Role::Timer, Stage::Active),
    Site::Drop(Role::Timer, Stage::Finished),
    Site::Drop(Role::Item, Stage::Finished),
    Site::Drop(Role::Callback, Stage::Finished),
    Site::OutputDrop,
    Site::Closure(Role::Pooled),
    Site::Closure(Role::Timer),
    Site::Closure(Role::Item),
    Site::Closure(Role::Callback),
    Site::When,
    Site::SourceNext,
    Site::SourceHint,
    Site::SourceDrop,
    Site::WakerClone,
    Site::WakerWake,
    Site::WakerWakeByRef,
    Site::WakerDrop,
];

// Wakers.

/// Says at which of its calls a waker is, and counts how often its task was woken.
struct Bell {
    lab: Lab,
    rings: Arc<AtomicUsize>,
}

impl Bell {
    fn ring(&self, site: Site) {
        // First, as nobody else can tell its own task that its waker has panicked.
        self.rings.fetch_add(1, SeqCst);
        self.lab.touch(site);
    }
}

impl Clone for Bell {
    fn clone(&self) -> Self {
        self.lab.touch(Site::WakerClone);
        Self { lab: self.lab.clone(), rings: Arc::clone(&self.rings) }
    }
}

impl WakeRef for Bell {
    fn wake_by_ref(&self) {
        self.ring(Site::WakerWakeByRef);
    }
}

impl cooked_waker::Wake for Bell {
    fn wake(self) {
        self.ring(Site::WakerWake);
    }
}

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring(Site::WakerWake);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring(Site::WakerWakeByRef);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.lab.touch(Site::WakerDrop);
    }
}

// Runs.

/// One run.
#[derive(Clone, Copy)]
struct Plan {
    form: &'static str,
    size: usize,
    seed: u64,
    /// Whether each clone of a waker is another one, as if each poll were by another task; else all are the same.
    changes: bool,
    site: Site,
    /// How many calls pass before the panic.
    after: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, size, seed, changes, site, after } = self;
        write!(f, "{form} of size {size}, seed {seed}, panic in {site:?} after {after}, wakers change: {changes}")
    }
}

/// What is known not to hold.
#[derive(Clone, Copy)]
struct Exceptions {
    /// `UnorderedSet`: a future that has finished later than at its first poll, and whose destructor panics, loses its
    /// output; for `FuturesUnordered` drops the future before it gives the output.
    loses_output: bool,
    /// `UnorderedSet`: a waker that panics when it is cloned or dropped leaves the registrations of `FuturesUnordered` in
    /// disorder, and its later wakes go nowhere; whoever polls on gets everything.
    goes_deaf: bool,
    /// `UnorderedSet`, and what is inside the value: a future that wakes itself or another one of its pool wakes the task
    /// immediately. If that panics, it does so in the poll of this future, whose own panic it is then.
    wakes_inside: bool,
}

const NONE: Exceptions = Exceptions { loses_output: false, goes_deaf: false, wakes_inside: false };

/// A run under way.
struct Bench {
    lab: Lab,
    plan: Plan,
    exceptions: Exceptions,
    /// The account of the pool.
    pool: usize,
    rings: Arc<AtomicUsize>,
    /// The task's waker, if it stays the same.
    waker: RefCell<Option<Waker>>,
    rng: RefCell<Rng>,
    calls: Cell<usize>,
    /// Whether the last call has panicked.
    panicked: Cell<bool>,
}

impl Bench {
    fn new(plan: Plan, exceptions: Exceptions) -> Self {
        let lab = Lab::new(plan.seed);
        let pool = lab.account(plan.size, MaxFinished::KeptAtTimes(plan.size));
        let (rings, waker) = (Arc::default(), RefCell::default());
        lab.plant(plan.site, plan.after);
        let rng = RefCell::new(Rng::with_seed(plan.seed));
        Self { lab, plan, exceptions, pool, rings, waker, rng, calls: Cell::new(0), panicked: Cell::new(false) }
    }

    fn job(&self) -> Job {
        self.lab.job(self.pool)
    }

    /// Makes a future for an item, in a closure.
    fn make(&self) -> Job {
        self.lab.touch(Site::Closure(Role::Pooled));
        self.job()
    }

    fn items(&self) -> Source {
        self.lab.source(self.pool, self.plan.size + 4)
    }

    fn deliver(&self, output: Output) {
        self.lab.deliver(output);
    }

    fn deliver_all(&self, outputs: Vec<Output>) {
        for output in outputs {
            self.deliver(output);
        }
    }

    /// Consumes an item, in a closure.
    fn consume(&self, outputs: Vec<Output>) -> impl Future<Output = ()> + use<> {
        for output in outputs {
            self.deliver(output);
        }
        self.lab.touch(Site::Closure(Role::Item));
        outside(&self.lab, Role::Item)
    }

    fn timer(&self) -> impl Future<Output = ()> + use<> {
        self.lab.touch(Site::Closure(Role::Timer));
        outside(&self.lab, Role::Timer)
    }

    fn when(&self, output: &Output) -> bool {
        self.lab.touch(Site::When);
        output.id() % 3 == 0
    }

    fn fault(&self, what: impl Into<String>) {
        self.lab.fault(what);
    }

    /// Calls `f`, and catches the planted panic: `None`.
    fn guard<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => Some(result),
            Err(payload) if self.lab.fired() && is_planted(&*payload) => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn drop_waker(&self) {
        let waker = self.waker.take();
        self.guard(|| drop(waker));
    }

    fn new_waker(&self) -> Waker {
        self.waker_of(&self.rings)
    }

    /// Makes the waker of another task.
    fn waker_of(&self, rings: &Arc<AtomicUsize>) -> Waker {
        let bell = Bell { lab: self.lab.clone(), rings: Arc::clone(rings) };
        if self.plan.changes { Box::new(bell).into_waker() } else { Waker::from(Arc::new(bell)) }
    }

    /// Polls something: `None` if the planted panic came out. Opens doors if it is asleep.
    fn call<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<Poll<T>> {
        self.calls.set(self.calls.get() + 1);
        assert!(self.calls.get() < 5_000, "{}: no end", self.plan);
        if self.panicked.replace(false) {
            self.lab.begin_call_again();
        } else {
            self.lab.begin_call();
        }
        let before = self.rings.load(SeqCst);
        let mut waker = self.waker.take().unwrap_or_else(|| self.new_waker());
        if !self.plan.changes && self.calls.get() % 5 == 0 {
            // From now on, it is another task.
            self.guard(|| drop(mem::replace(&mut waker, self.new_waker())));
        }
        let fired = self.lab.fired();
        let result = self.guard(|| poll(&mut Context::from_waker(&waker)));
        if self.plan.changes {
            self.guard(|| drop(waker));
        } else {
            self.waker.replace(Some(waker));
        }
        let Some(polled) = result else {
            assert!(!fired, "{}: a panic comes twice", self.plan);
            self.panicked.set(true);
            return None;
        };
        let woken = self.rings.load(SeqCst) > before;
        self.lab.at_rest(woken || polled.is_ready());
        if polled.is_pending() {
            self.stir(woken);
        }
        Some(polled)
    }

    /// Opens a door, at which an active future waits if the task is asleep: then it has to be woken.
    fn stir(&self, woken: bool) {
        let choice = self.rng.borrow_mut().usize(..1 << 16);
        if woken && choice % 3 != 0 {
            return;
        }
        let (before, fired) = (self.rings.load(SeqCst), self.lab.fired());
        let opened = self.guard(|| self.lab.open_one(choice));
        if woken || self.lab.fired() != fired || (self.lab.fired() && self.exceptions.goes_deaf) {
            return;
        }
        if opened != Some(true) {
            self.fault("asleep, and nobody will wake it");
        }
        if self.rings.load(SeqCst) == before {
            self.fault("asleep, and not woken when a door was opened");
        }
    }

    /// Polls a stream to its end, on through the panic, and drops it.
    fn stream<St: Stream>(&self, stream: St, mut each: impl FnMut(St::Item)) {
        let mut stream = Box::pin(stream);
        loop {
            match self.call(|cx| stream.as_mut().poll_next(cx)) {
                Some(Poll::Ready(Some(item))) => each(item),
                Some(Poll::Ready(None)) => break,
                Some(Poll::Pending) | None => {}
            }
        }
        self.guard(|| drop(stream));
    }

    /// Polls a future to its end, on through the panic, and drops it.
    fn future<F: Future>(&self, future: F) -> F::Output {
        let mut future = Box::pin(future);
        let output = loop {
            if let Some(Poll::Ready(output)) = self.call(|cx| future.as_mut().poll(cx)) {
                break output;
            }
        };
        self.guard(|| drop(future));
        output
    }

    /// Polls a future to its end or to the panic, and drops it: an `async fn` cannot continue after a panic.
    fn once<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        let output = loop {
            match self.call(|cx| future.as_mut().poll(cx)) {
                Some(Poll::Ready(output)) => break Some(output),
                Some(Poll::Pending) => {}
                None => break None,
            }
        };
        self.guard(|| drop(future));
        output
    }

    /// Checks what has become of everything. `own` may be gone before it has started, or after a panic.
    #[track_caller]
    fn assert_nothing_lost(&self, own: Option<usize>) {
        let Plan { form, site, .. } = self.plan;
        self.drop_waker();
        self.lab.assert_sound(&self.plan);
        let mut lost = self.lab.undelivered(self.pool);
        lost.retain(|(id, _)| Some(*id) != own);
        let fired = self.lab.fired();
        let most = match site {
            // The future, or what its callback was given and gives no more.
            Site::Poll(Role::Pooled | Role::Callback, _) | Site::Closure(Role::Callback) => usize::from(fired),
            Site::Drop(Role::Pooled | Role::Callback, Stage::Finished) => {
                // The destructor of a future with a callback runs in a poll: that of both. A caught panic is the item.
                usize::from(fired && (self.exceptions.loses_output || [CALLBACKS, CATCHING].contains(&form)))
            }
            Site::WakerClone | Site::WakerWake | Site::WakerWakeByRef | Site::WakerDrop => {
                usize::from(fired && self.exceptions.wakes_inside)
            }
            _ => 0,
        };
        assert!(lost.len() <= most, "{}: lost {lost:?}", self.plan);
        if let Site::Poll(Role::Pooled, _) = site {
            assert!(lost.iter().all(|(_, stage)| *stage == Stage::Gone), "{}: lost {lost:?}", self.plan);
        }
        assert_eq!(self.lab.alive(), 0, "{}: not everything is dropped", self.plan);
    }
}

/// A future that belongs to no pool. No `async` block: one leaks an output if the destructor of what it awaits panics.
fn outside(lab: &Lab, role: Role) -> impl Future<Output = ()> + use<> {
    let (job, lab) = (lab.job_for(OUTSIDE, role), lab.clone());
    job.map(move |output| {
        lab.deliver(output);
        if role == Role::Driven {
            lab.exempt_call(); // as it has finished, the pool is not polled
        }
    })
}

/// Runs a form with the panic at each site, in each call, until there is no such call; and returns at how many sites it
/// has panicked.
fn each_plan(form: &'static str, sizes: &[usize], mut run: impl FnMut(Plan) -> bool) -> usize {
    let mut sites = 0;
    for site in SITES {
        let mut any = false;
        for &size in sizes {
            for seed in [0, 1, 5] {
                for changes in [false, true] {
                    for after in 0..10_000 {
                        if !run(Plan { form, size, seed, changes, site, after }) {
                            break;
                        }
                        any = true;
                    }
                }
            }
        }
        sites += usize::from(any);
    }
    sites
}

const SIZES: [usize; 2] = [1, 3];

// The sets.

trait Set {
    const EXCEPTIONS: Exceptions;
    type Kind: ActiveSet + Default;
}

struct SlotSets;

impl Set for SlotSets {
    // Without `std` it has an `AtomicWaker` for every task, as `UnorderedSet` has.
    const EXCEPTIONS: Exceptions = Exceptions { goes_deaf: cfg!(not(feature = "std")), ..NONE };
    type Kind = SlotSet;
}

struct UnorderedSets;

impl Set for UnorderedSets {
    const EXCEPTIONS: Exceptions = Exceptions { loses_output: true, goes_deaf: true, wakes_inside: true };
    type Kind = UnorderedSet;
}

/// Makes a test of each function named, on each set.
macro_rules! on_each_set {
    ($($name:ident),* $(,)?) => {
        mod slot_set {
            $(#[test] fn $name() { super::$name::<super::SlotSets>(); })*
        }
        mod unordered_set {
            $(#[test] fn $name() { super::$name::<super::UnorderedSets>(); })*
        }
    };
}

type Form = (&'static str, fn(&Bench));

const CALLBACKS: &str = "callbacks";
const CATCHING: &str = "catch_unwind";

// The chain.

macro_rules! chain {
    ($set:ident, $bench:ident) => {
        $bench.items().pool_map($bench.plan.size, |_| $bench.make()).with_set($set::Kind::default())
    };
}

/// The streams and futures of the chain, run to their ends.
fn chain_forms<S: Set>() -> Vec<Form> {
    #[cfg_attr(not(feature = "std"), expect(unused_mut))]
    let mut forms: Vec<Form> = vec![
        ("ordered", |bench| bench.stream(chain!(S, bench), |output| bench.deliver(output))),
        ("unordered", |bench| bench.stream(chain!(S, bench).unordered(), |output| bench.deliver(output))),
        ("max_finished of 0", |bench| {
            bench.lab.set_max_finished(bench.pool, MaxFinished::Kept(0));
            bench.stream(chain!(S, bench).max_finished(0), |output| bench.deliver(output));
        }),
        ("indexed", |bench| bench.stream(chain!(S, bench).indexed(), |(_, output)| bench.deliver(output))),
        (".await", |bench| {
            if let Some(outputs) =
                bench.guard(|| IntoFuture::into_future(chain!(S, bench))).map(|all| bench.future(all))
            {
                bench.deliver_all(outputs);
            } else if bench.plan.site != Site::SourceHint {
                bench.fault("`.await` has not ended");
            }
        }),
        ("for_each", |bench| {
            bench.future(chain!(S, bench).for_each(|output| bench.consume(vec![output])));
        }),
        ("consume", |bench| {
            let each = |output| bench.deliver_all(vec![output]);
            bench.future(chain!(S, bench).consume(|items| items.map(each).count()));
        }),
        ("batches", |bench| {
            let batches = chain!(S, bench).unordered().batches(|output: &Output| bench.when(output));
            bench.stream(batches, |batch| bench.deliver_all(batch));
        }),
        ("batches, ordered", |bench| {
            let batches = chain!(S, bench).batches(|output: &Output| bench.when(output));
            bench.stream(batches, |batch| bench.deliver_all(batch));
        }),
        ("batches, timeout", |bench| {
            let batches = chain!(S, bench).batches(|output: &Output| bench.when(output)).timeout(|| bench.timer());
            bench.stream(batches, |batch| bench.deliver_all(batch));
        }),
        ("batches, timeout, for_each", |bench| {
            let batches = chain!(S, bench).batches(|_| false).timeout(|| bench.timer());
            bench.future(batches.for_each(|batch| bench.consume(batch)));
        }),
        ("drive", |bench| {
            let mut stream = chain!(S, bench);
            bench.once(stream.drive(outside(&bench.lab, Role::Driven)));
            bench.stream(stream, |output| bench.deliver(output));
        }),
        ("a stage above", |bench| {
            let upper = bench.lab.account(2, MaxFinished::Kept(2));
            bench.lab.count_due_only(upper);
            let stage = |output| {
                bench.deliver(output);
                bench.lab.job(upper)
            };
            let stream = chain!(S, bench).pool_map(2, stage).with_set(S::Kind::default());
            bench.stream(stream, |output| bench.deliver(output));
        }),
        (CALLBACKS, |bench| {
            // The slot is taken for longer than the account knows.
            bench.lab.set_max_finished(bench.pool, MaxFinished::Unknown);
            let follow = |output: Output, bench: &Bench| {
                bench.lab.touch(Site::Closure(Role::Callback));
                outside(&bench.lab, Role::Callback).map(|()| output)
            };
            let make = |_| bench.make().callback(follow, bench);
            let stream = bench.items().pool_map(bench.plan.size, make).with_set(S::Kind::default());
            bench.stream(stream, |output| bench.deliver(output));
        }),
        ("driven behind an adaptor", |bench| {
            let stream = chain!(S, bench).then(async |output| output).driven();
            bench.future(stream.for_each(|output| bench.consume(vec![output])));
        }),
    ];
    #[cfg(feature = "std")]
    forms.push((CATCHING, |bench| {
        // A panic is held like a result, of which the account does not know.
        bench.lab.set_max_finished(bench.pool, MaxFinished::Unknown);
        bench.stream(chain!(S, bench).catch_unwind(), |result| {
            if let Ok(output) = result {
                bench.deliver(output);
            }
        });
    }));
    forms
}

fn a_chain<S: Set>() {
    let mut sites = 0;
    for (name, form) in chain_forms::<S>() {
        sites += each_plan(name, &SIZES, |plan| {
            let bench = Bench::new(plan, S::EXCEPTIONS);
            form(&bench);
            bench.assert_nothing_lost(None);
            bench.lab.fired()
        });
    }
    assert!(sites > 100, "panics at {sites} sites only");
}

/// A chain with futures, results and items in it, dropped.
fn a_chain_that_is_dropped<S: Set>() {
    each_plan("a chain, dropped", &SIZES, |plan| {
        let bench = Bench::new(plan, S::EXCEPTIONS);
        let mut stream = Box::pin(chain!(S, bench).max_finished(3));
        for _ in 0..4 {
            if let Some(Poll::Ready(Some(output))) = bench.call(|cx| stream.as_mut().poll_next(cx)) {
                bench.deliver(output);
            }
        }
        bench.guard(|| drop(stream));
        bench.lab.assert_sound(&plan);
        assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
        bench.drop_waker();
        bench.lab.fired()
    });
}

/// A chain that fails fast: whatever panics while it drops all the rest, the error comes.
fn a_chain_that_fails_fast<S: Set>() {
    each_plan("fail_fast", &SIZES, |plan| {
        let bench = Bench::new(plan, S::EXCEPTIONS);
        let fails = |job: Job, item| job.map(move |output| if item == 2 { Err(output) } else { Ok(output) });
        let chain = bench.items().pool_map(plan.size, |item| fails(bench.make(), item));
        bench.lab.set_max_finished(bench.pool, MaxFinished::KeptAtTimes(1));
        let mut error = false;
        bench.stream(chain.max_finished(1).fail_fast().with_set(S::Kind::default()), |result| match result {
            Ok(output) => bench.deliver(output),
            Err(output) => {
                assert_eq!(bench.lab.alive(), 1, "{plan}: when the error is seen, not all else is gone");
                error = true;
                bench.deliver(output);
            }
        });
        // The panic may have been about the item that was to fail.
        let spared = match plan.site {
            Site::Poll(..) | Site::Drop(_, Stage::Finished) | Site::Closure(_) | Site::SourceNext => true,
            _ => S::EXCEPTIONS.wakes_inside,
        };
        assert!(error || spared, "{plan}: the error is lost");
        bench.lab.assert_sound(&plan);
        assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
        bench.drop_waker();
        bench.lab.fired()
    });
}

// The pool.

type PoolForm<S> = (&'static str, fn(&Bench, &mut Pool<Job, <S as Set>::Kind>) -> Option<usize>);

/// The uses of a pool that has futures in it. They return the future that may be gone after the panic.
fn pool_forms<S: Set>() -> Vec<PoolForm<S>> {
    vec![
        ("the stream", |_, _| None),
        ("spawn", |bench, pool| {
            let job = bench.job();
            let own = job.id();
            bench.once(pool.spawn(job));
            Some(own)
        }),
        ("exec", |bench, pool| {
            let job = bench.job();
            let own = job.id();
            let output = bench.once(pool.exec(job));
            if let Some(output) = output {
                bench.deliver(output);
            }
            Some(own)
        }),
        ("wait", |bench, pool| {
            let key = pool.spawn_n(bench.job());
            if let Some(Some(output)) = bench.once(pool.wait(key)) {
                bench.deliver(output);
            }
            None
        }),
        ("join", |bench, pool| {
            bench.lab.set_max_finished(bench.pool, MaxFinished::Ignored);
            bench.once(pool.join());
            None
        }),
        ("map_all", |bench, pool| {
            let all = bench.guard(|| pool.map_all(bench.items(), |_| bench.make()));
            if let Some(outputs) = all.and_then(|all| bench.once(all)) {
                bench.deliver_all(outputs);
            }
            None
        }),
        ("drive", |bench, pool| {
            bench.once(pool.drive(outside(&bench.lab, Role::Driven)));
            None
        }),
        ("idle", |bench, pool| {
            bench.lab.set_max_finished(bench.pool, MaxFinished::Ignored);
            bench.once(pool.idle());
            None
        }),
        ("consume", |bench, pool| {
            bench.once(pool.consume(|items| items.map(|(_, output)| bench.deliver(output)).count()));
            None
        }),
        ("map_n", |bench, pool| {
            bench.guard(|| pool.map_n(bench.items(), |_| bench.make()));
            None
        }),
        ("itermap", |bench, pool| {
            if let Some(stream) = bench.guard(|| pool.itermap(bench.items(), |_| bench.make())) {
                bench.stream(stream, |output| bench.deliver(output));
            }
            None
        }),
        ("itermap, batches, timeout", |bench, pool| {
            if let Some(stream) = bench.guard(|| pool.itermap(bench.items(), |_| bench.make())) {
                let batches = stream.batches(|output: &Output| bench.when(output)).timeout(|| bench.timer());
                bench.stream(batches, |batch| bench.deliver_all(batch));
            }
            None
        }),
        ("itermap, for_each", |bench, pool| {
            if let Some(stream) = bench.guard(|| pool.itermap(bench.items(), |_| bench.make())) {
                bench.future(stream.for_each(|output| bench.consume(vec![output])));
            }
            None
        }),
        ("set_size", |bench, pool| {
            let size = pool.size();
            bench.guard(|| pool.set_size(size));
            bench.guard(|| pool.set_max_finished(size));
            bench.guard(|| pool.pause());
            bench.guard(|| pool.resume());
            pool.resume();
            None
        }),
    ]
}

#[track_caller]
fn assert_counts<A: ActiveSet>(bench: &Bench, pool: &Pool<Job, A>) {
    let counts = [pool.waiting(), pool.active(), pool.finished(), pool.executed()];
    assert_eq!(counts, bench.lab.counts(bench.pool), "{}", bench.plan);
}

/// Fills a pool, and lets some of the futures make progress.
fn populate<A: ActiveSet>(bench: &Bench, pool: &mut Pool<Job, A>) {
    for _ in 0..bench.plan.size + 2 {
        let job = bench.job();
        bench.guard(|| pool.spawn_n(job));
    }
    if let Some(Poll::Ready(Some((_, output)))) = bench.call(|cx| pool.poll_next_unpin(cx)) {
        bench.deliver(output);
    }
    let job = bench.job();
    bench.guard(|| pool.spawn_n(job)); // wakes the task
}

fn a_pool<S: Set>() {
    let mut sites = 0;
    for (name, form) in pool_forms::<S>() {
        sites += each_plan(name, &SIZES, |plan| {
            let bench = Bench::new(plan, S::EXCEPTIONS);
            let mut pool = Pool::with_set(plan.size, S::Kind::default());
            populate(&bench, &mut pool);
            assert_counts(&bench, &pool);
            let own = form(&bench, &mut pool);
            assert_counts(&bench, &pool);
            bench.lab.set_max_finished(bench.pool, MaxFinished::Kept(plan.size));
            bench.stream(&mut pool, |(_, output)| bench.deliver(output));
            assert_counts(&bench, &pool);
            bench.guard(|| drop(pool));
            bench.assert_nothing_lost(own);
            bench.lab.fired()
        });
    }
    assert!(sites > 80, "panics at {sites} sites only");
}

/// Cancelling, one by one and all: each is cancelled, or the call has done nothing; and the pool continues.
fn a_pool_that_cancels<S: Set>() {
    each_plan("cancel", &SIZES, |plan| {
        let mut fired = false;
        for all in [false, true] {
            let bench = Bench::new(plan, S::EXCEPTIONS);
            let mut pool = Pool::with_set(plan.size, S::Kind::default());
            let keys: Vec<_> = (0..plan.size + 3).map(|_| pool.spawn_n(bench.job())).collect();
            if let Some(Poll::Ready(Some((_, output)))) = bench.call(|cx| pool.poll_next_unpin(cx)) {
                bench.deliver(output);
            }
            if all {
                bench.guard(|| pool.cancel_all());
            } else {
                for &key in keys.iter().rev().step_by(2) {
                    bench.guard(|| pool.cancel(key));
                    assert_counts(&bench, &pool);
                }
            }
            assert_counts(&bench, &pool);
            pool.spawn_n(bench.job());
            bench.stream(&mut pool, |(_, output)| bench.deliver(output));
            assert_counts(&bench, &pool);
            bench.guard(|| drop(pool));
            bench.lab.assert_sound(&plan);
            assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
            bench.drop_waker();
            fired |= bench.lab.fired();
        }
        fired
    });
}

/// A pool with everything in it, dropped.
fn a_pool_that_is_dropped<S: Set>() {
    each_plan("a pool, dropped", &SIZES, |plan| {
        let bench = Bench::new(plan, S::EXCEPTIONS);
        let mut pool = Pool::with_set(plan.size, S::Kind::default());
        populate(&bench, &mut pool);
        bench.call(|cx| pin!(pool.join()).poll(cx));
        bench.guard(|| drop(pool));
        bench.lab.assert_sound(&plan);
        assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
        bench.drop_waker();
        bench.lab.fired()
    });
}

on_each_set!(
    a_chain,
    a_chain_that_is_dropped,
    a_chain_that_fails_fast,
    a_pool,
    a_pool_that_cancels,
    a_pool_that_is_dropped,
);

// Inside the value.

const INLINE: Exceptions = Exceptions { wakes_inside: true, ..NONE };

fn inline_forms() -> Vec<Form> {
    macro_rules! inline {
        ($bench:ident, |$stream:ident| $run:expr) => {
            match $bench.plan.size {
                1 => {
                    let $stream = $bench.items().pool_map_inline(Slots::<1>, |_| $bench.make());
                    $run;
                }
                _ => {
                    let $stream = $bench.items().pool_map_inline(Slots::<3>, |_| $bench.make());
                    $run;
                }
            }
        };
    }
    vec![
        ("inline, ordered", |bench| inline!(bench, |stream| bench.stream(stream, |output| bench.deliver(output)))),
        ("inline, unordered", |bench| {
            inline!(bench, |stream| bench.stream(stream.unordered(), |output| bench.deliver(output)));
        }),
        ("inline, for_each", |bench| {
            inline!(bench, |stream| bench.future(stream.for_each(|output| bench.consume(vec![output]))));
        }),
        ("inline, drive", |bench| {
            inline!(bench, |stream| {
                // On the heap, so that it can be dropped with its panic caught.
                let mut stream = Box::pin(stream);
                bench.once(stream.drive(outside(&bench.lab, Role::Driven)));
                bench.stream(stream, |output| bench.deliver(output));
            });
        }),
    ]
}

#[test]
fn a_chain_inside_the_value() {
    let mut sites = 0;
    for (name, form) in inline_forms() {
        sites += each_plan(name, &SIZES, |plan| {
            let bench = Bench::new(plan, INLINE);
            form(&bench);
            bench.assert_nothing_lost(None);
            bench.lab.fired()
        });
    }
    assert!(sites > 20, "panics at {sites} sites only");
}

/// Used as a stream, or cancelled all at once, or dropped with all that is in it.
#[test]
fn an_inline_pool() {
    for end in ["an inline pool", "an inline pool, cancel_all", "an inline pool, cancel", "an inline pool, dropped"] {
        each_plan(end, &[2], |plan| {
            let bench = Bench::new(plan, INLINE);
            // On the heap, so that it can be dropped with its panic caught.
            let mut pool = Box::pin(InlinePool::<Job, 2, 4>::new());
            let mut keys = Vec::new();
            while !pool.is_full() {
                let job = bench.job();
                keys.extend(bench.guard(|| pool.as_mut().try_spawn(job).ok()).flatten());
            }
            if let Some(Poll::Ready(Some((_, output)))) = bench.call(|cx| pool.as_mut().poll_next(cx)) {
                bench.deliver(output);
            }
            let job = bench.job();
            bench.guard(|| pool.as_mut().try_spawn(job).is_ok());
            match end {
                "an inline pool, cancel_all" => {
                    bench.guard(|| pool.as_mut().cancel_all());
                }
                "an inline pool, cancel" => {
                    for key in keys.into_iter().rev().step_by(2) {
                        bench.guard(|| pool.as_mut().cancel(key));
                    }
                }
                _ => {}
            }
            let [waiting, active, finished, _] = bench.lab.counts(bench.pool);
            assert_eq!([pool.waiting(), pool.active(), pool.finished()], [waiting, active, finished], "{plan}");
            if end != "an inline pool, dropped" {
                bench.stream(pool.as_mut(), |(_, output)| bench.deliver(output));
            }
            bench.guard(|| drop(pool));
            if end == "an inline pool" {
                bench.assert_nothing_lost(None);
            }
            bench.drop_waker();
            bench.lab.assert_sound(&plan);
            assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
            bench.lab.fired()
        });
    }
}

// The scope. Panics of tasks can only be contained with `std`.

#[cfg(feature = "std")]
mod scopes {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use futures::task::AtomicWaker;
    use futures_pool::{LocalScope, TaskError, iterwait, local_scope};

    use super::*;

    /// One task of an executor's.
    struct Actor<'a> {
        name: &'static str,
        poll: Box<dyn FnMut(&mut Context<'_>) -> Poll<()> + 'a>,
        rings: Arc<AtomicUsize>,
        /// How many of these were heard.
        heard: usize,
        waker: Option<Waker>,
        mortal: bool,
    }

    /// Opens the gate when it is dropped, if it is the last.
    struct Leaves<'a> {
        bench: &'a Bench,
        gate: Rc<Gate>,
        left: Rc<Cell<usize>>,
    }

    impl Drop for Leaves<'_> {
        fn drop(&mut self) {
            self.left.set(self.left.get() - 1);
            if self.left.get() == 0 {
                self.gate.open.store(true, SeqCst);
                self.bench.guard(|| self.gate.waker.wake());
            }
        }
    }

    impl<'a> Actor<'a> {
        fn new(name: &'static str, poll: impl FnMut(&mut Context<'_>) -> Poll<()> + 'a) -> Self {
            Self {
                name,
                poll: Box::new(poll),
                rings: Arc::new(AtomicUsize::new(1)),
                heard: 0,
                waker: None,
                mortal: false,
            }
        }

        /// Awaits one thing.
        fn future<F: Future + 'a>(name: &'static str, future: F, mut then: impl FnMut(F::Output) + 'a) -> Self {
            let mut future = Box::pin(future);
            Self::new(name, move |cx| future.as_mut().poll(cx).map(&mut then))
        }

        /// Takes the items of a stream.
        fn stream<St: Stream + 'a>(name: &'static str, stream: St, mut each: impl FnMut(St::Item) + 'a) -> Self {
            let mut stream = Box::pin(stream);
            Self::new(name, move |cx| {
                while let Some(item) = std::task::ready!(stream.as_mut().poll_next(cx)) {
                    each(item);
                }
                Poll::Ready(())
            })
        }

        /// Opens the gate at its end, if it is the last.
        fn then_open(self, bench: &'a Bench, gate: &Rc<Gate>, left: &Rc<Cell<usize>>) -> Self {
            left.set(left.get() + 1);
            let (leaves, mut poll) = (Leaves { bench, gate: Rc::clone(gate), left: Rc::clone(left) }, self.poll);
            let poll = Box::new(move |cx: &mut Context<'_>| {
                let _ = &leaves;
                poll(cx)
            });
            Self { poll, ..self }
        }

        /// Dropped if a panic comes out of it.
        fn mortal(self) -> Self {
            Self { mortal: true, ..self }
        }

        /// Polls it if it was woken, on through the panic; returns whether it was, and whether it has ended.
        fn turn(&mut self, bench: &Bench) -> (bool, bool) {
            if self.rings.load(SeqCst) == self.heard {
                return (false, false);
            }
            self.heard = self.rings.load(SeqCst);
            let waker = self.waker.take().unwrap_or_else(|| bench.waker_of(&self.rings));
            let polled = bench.guard(|| (self.poll)(&mut Context::from_waker(&waker)));
            if bench.plan.changes {
                bench.guard(|| drop(waker));
            } else {
                self.waker = Some(waker);
            }
            if polled.is_none() {
                // Who catches a panic polls again.
                self.heard = usize::MAX;
            }
            (true, polled == Some(Poll::Ready(())) || (polled.is_none() && self.mortal))
        }
    }

    /// Runs actors as an executor does: those that were woken. If all sleep, a door is opened; if there is none, somebody was
    /// not woken.
    fn run_all(bench: &Bench, actors: &mut Vec<Actor<'_>>) {
        for _ in 0..5_000 {
            let mut any = false;
            let mut index = 0;
            while index < actors.len() {
                let (was_woken, has_ended) = actors[index].turn(bench);
                any |= was_woken;
                if has_ended {
                    let actor = actors.remove(index);
                    bench.guard(|| drop(actor));
                } else {
                    index += 1;
                }
            }
            if actors.is_empty() {
                return;
            }
            if !any && bench.guard(|| bench.lab.open_one(0)) == Some(false) {
                let names: Vec<_> = actors.iter().map(|actor| actor.name).collect();
                bench.fault(format!("all sleep, and nobody will wake {names:?}"));
                return;
            }
        }
        bench.fault("no end");
    }

    /// What a body waits for.
    #[derive(Default)]
    struct Gate {
        open: AtomicBool,
        waker: AtomicWaker,
    }

    impl Gate {
        async fn wait(self: Rc<Self>) {
            std::future::poll_fn(|cx| {
                self.waker.register(cx.waker());
                if self.open.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    type Results = Rc<RefCell<[usize; 2]>>;

    /// Delivers an output, or counts that it was cancelled, or has panicked.
    fn settle(bench: &Bench, results: &Results, result: Result<Output, TaskError>) {
        match result {
            Ok(output) => bench.deliver(output),
            Err(TaskError::Cancelled) => results.borrow_mut()[0] += 1,
            Err(TaskError::Panicked(_)) => results.borrow_mut()[1] += 1,
        }
    }

    /// All that handles can wait for, each in another task than the scope and all at once.
    fn actors<'a>(bench: &'a Bench, pool: &'a LocalScope<'static>, results: &'a Results) -> Vec<Actor<'a>> {
        let settle = move |result| settle(bench, results, result);
        let mut actors = vec![
            Actor::future("join", pool.join(), |()| {}),
            Actor::future("exec", pool.exec(bench.job()), settle),
            Actor::future("spawn", pool.spawn(bench.job()).then(|task| task), settle),
            Actor::future("task", pool.spawn_n(bench.job()), settle),
            Actor::future("another join", pool.join(), |()| {}),
            Actor::future("idle", pool.idle(), |()| {}),
            Actor::future("lend", pool.lend(pool.exec(bench.job())), settle),
        ];
        for name in ["map", "another map"] {
            if let Some(map) = bench.guard(|| pool.map(bench.items(), |_| bench.make())) {
                actors.push(Actor::future(name, map, move |results| results.into_iter().for_each(settle)));
            }
        }
        actors.push(Actor::stream("iterwait", iterwait(pool.map_n(0..2, |_| bench.job())), settle));
        let batches = pool
            .itermap(0..3, |_| bench.job())
            .batches(|result: &Result<Output, TaskError>| result.as_ref().is_ok_and(|output| bench.when(output)));
        let batches = batches.timeout(|| bench.timer());
        actors.push(Actor::stream("itermap", batches, move |batch| batch.into_iter().for_each(settle)));
        actors
    }

    #[test]
    fn handles_outside() {
        let sites = each_plan("a scope, handles outside", &SIZES, |plan| {
            let bench = Bench::new(plan, NONE);
            bench.lab.set_max_finished(bench.pool, MaxFinished::Unknown);
            let (gate, results) = (Rc::new(Gate::default()), Results::default());
            let mut handle = None;
            let scope = local_scope(plan.size, |pool: LocalScope<'static>| {
                handle = Some(pool);
                Rc::clone(&gate).wait()
            });
            let pool = handle.unwrap();
            let (bench, results) = (&bench, &results);
            let others = actors(bench, &pool, results);
            let victim = pool.spawn_n(bench.job());
            let left = Rc::default();
            let mut all = vec![Actor::future("scope", scope, |()| {})];
            // The body continues when all others have ended, so that nothing is spawned too late.
            // Cancels a task that another one awaits.
            let (victim, mut polls) = (Rc::new(RefCell::new(victim)), 0);
            let cancelled = Rc::clone(&victim);
            let canceller = Actor::new("canceller", move |cx| {
                polls += 1;
                if polls < 3 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                cancelled.borrow().cancel();
                Poll::Ready(())
            });
            let waits = Actor::new("victim", move |cx| {
                let polled = victim.borrow_mut().poll_unpin(cx);
                polled.map(|result| settle(bench, results, result))
            });
            all.extend(others.into_iter().chain([canceller, waits]).map(|actor| actor.then_open(bench, &gate, &left)));
            run_all(bench, &mut all);
            drop(all);
            bench.lab.assert_sound(&plan);
            assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0), "{plan}");
            let [cancelled, panicked] = *results.borrow();
            let lost = bench.lab.undelivered(bench.pool);
            assert_eq!(lost.len(), cancelled + panicked, "{plan}: lost {lost:?}");
            assert!(lost.iter().all(|(_, stage)| *stage == Stage::Gone), "{plan}: lost {lost:?}");
            let of_a_task = matches!(plan.site, Site::Poll(Role::Pooled, _));
            assert_eq!(panicked, usize::from(of_a_task && bench.lab.fired()), "{plan}");
            assert!(cancelled <= 1, "{plan}");
            assert_eq!(pool.executed(), bench.lab.made(bench.pool) - cancelled, "{plan}");
            assert_eq!(bench.lab.alive(), 0, "{plan}: not everything is dropped");
            bench.lab.fired()
        });
        assert!(sites > 10, "panics at {sites} sites only");
    }

    /// If the closure of one `map` panics when room was offered to it, and it is dropped, the next in line has the room.
    #[test]
    fn a_map_that_is_dropped_after_its_panic() {
        each_plan("two maps", &SIZES, |plan| {
            let bench = &Bench::new(plan, NONE);
            bench.lab.set_max_finished(bench.pool, MaxFinished::Unknown);
            let (gate, mut handle) = (Rc::new(Gate::default()), None);
            let scope = local_scope(plan.size, |pool: LocalScope<'static>| {
                handle = Some(pool);
                Rc::clone(&gate).wait()
            });
            let pool = handle.unwrap();
            let left = Rc::default();
            let mut all = vec![Actor::future("scope", scope, |()| {})];
            for name in ["map", "another map"] {
                if let Some(map) = bench.guard(|| pool.map(bench.items(), |_| bench.make())) {
                    let deliver =
                        |results: Vec<_>| results.into_iter().flatten().for_each(|output| bench.deliver(output));
                    all.push(Actor::future(name, map, deliver).mortal().then_open(bench, &gate, &left));
                }
            }
            run_all(bench, &mut all);
            drop(all);
            bench.lab.assert_sound(&plan);
            assert_eq!((pool.len(), bench.lab.alive()), (0, 0), "{plan}");
            bench.lab.fired()
        });
    }
}
