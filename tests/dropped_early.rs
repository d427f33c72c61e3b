//! Every async member and every stream is dropped after its k-th poll, for every k until it completes before that.
//!
//! The members are in tables, by what holds them: [`pool_members`], [`chain_members`], [`inline_members`],
//! `inline_pool_members` and `scope_members!`. Each runs over futures that yield, wait to be woken by the test or by one
//! another, and finish, at several sizes and bounds on results, on both active sets, and is dropped at each point. At every poll the
//! law is checked. Afterwards the counts are what the trace of the futures says, what the docs of the member say under
//! "Cancel safety" has come about, no more and no less, and what is left runs to its end with every result.
//!
//! `DROPPED_EARLY_SEEDS` says how many schedules there are of each; a few by default.

mod common;
#[path = "common/probes.rs"]
mod probes;

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use futures::task::AtomicWaker;
use futures_pool::inline::{SlotCount, Slots};
use futures_pool::{
    ActiveSet, InlinePool, Key, Pool, Progress, SlotSet, TaskError, UnorderedSet, iterwait, prelude::*, yield_when,
};

use common::{Wakes, yield_now};
use probes::{Job, Lab, MaxFinished, OUTSIDE, Output, Role, Source, Stage};

// Scenarios.

/// One run: what there is, and how it goes.
#[derive(Clone, Copy)]
struct Scenario {
    member: &'static str,
    size: usize,
    /// `None` is the default.
    max_finished: Option<usize>,
    seed: u64,
    /// After which poll the member is dropped.
    polls: usize,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, size, max_finished, seed, polls } = self;
        write!(f, "{member} of size {size}, max_finished {max_finished:?}, seed {seed}, dropped after poll {polls}")
    }
}

impl Scenario {
    fn max_finished(&self) -> usize {
        self.max_finished.unwrap_or(self.size)
    }

    fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }
}

/// How many schedules there are of each.
fn seeds() -> u64 {
    env::var("DROPPED_EARLY_SEEDS").map_or(3, |seeds| seeds.parse().expect("DROPPED_EARLY_SEEDS is a number"))
}

/// Calls `test` for each k, size, bound on results and schedule, until it says that the member has ended before.
fn each_scenario(member: &'static str, sizes: &[usize], mut test: impl FnMut(Scenario) -> bool) {
    for &size in sizes {
        // The large ones are there for more than one call's worth of polls, and for more than one word of slots.
        let seeds = if size > 8 { seeds().min(3) } else { seeds() };
        for seed in 0..seeds {
            let all = [None, Some(0), Some(1), Some(usize::MAX)];
            let bounds = if size > 8 { &all[..1] } else { &all[..] };
            for &max_finished in bounds {
                let ends = |polls| test(Scenario { member, size, max_finished, seed, polls });
                assert!((0..5_000).any(ends), "{member} of size {size} does not end");
            }
        }
    }
}

const SIZES: [usize; 4] = [1, 2, 3, 64];

// Polling by hand.

/// Polls a future so many times, and drops it then; returns whether it has ended.
///
/// Between the polls, doors are opened before and after somebody waits there, futures are woken for nothing, and so is the
/// whole. If it is asleep, opening a door at which an active future waits has to wake it.
fn run_cut(lab: &Lab, rng: &mut Rng, polls: usize, future: impl Future<Output = ()>) -> bool {
    let mut future = Box::pin(future);
    let (wakes, waker) = Wakes::new();
    for _ in 0..polls {
        lab.begin_call();
        let before = wakes.count();
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        let woken = wakes.count() > before;
        lab.at_rest(woken || poll.is_ready());
        if poll.is_ready() {
            return true;
        }
        stir(lab, rng, woken, || wakes.count());
    }
    lab.begin_call();
    false
}

/// Does something to the futures between two polls.
fn stir(lab: &Lab, rng: &mut Rng, woken: bool, wakes: impl Fn() -> usize) {
    let choice = rng.usize(..1 << 16);
    match rng.u8(..8) {
        0 => lab.open_ahead(choice),
        1 => lab.wake_one(choice),
        2 => {
            lab.open_one(choice);
            lab.open_one(choice + 1);
        }
        3..6 if woken => {}
        _ => {
            let before = wakes();
            if !lab.open_one(choice) && !woken {
                lab.fault("asleep, and nobody will wake it");
            }
            if !woken && wakes() == before {
                lab.fault("asleep, and not woken when a door was opened");
            }
        }
    }
}

/// Polls a stream to its end, and gives its items to `each`.
fn drain<St: Stream>(lab: &Lab, rng: &mut Rng, stream: St, mut each: impl FnMut(St::Item)) {
    let mut stream = pin!(stream);
    let ended = run_cut(
        lab,
        rng,
        50_000,
        poll_fn(|cx| match stream.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => {
                each(item);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }),
    );
    if !ended {
        lab.fault("what is left does not end");
    }
}

/// Gives the items of a stream to `each`, one at each poll.
async fn take_all<St: Stream>(stream: St, mut each: impl FnMut(St::Item)) {
    let mut stream = pin!(stream);
    while let Some(item) = stream.next().await {
        each(item);
        yield_now().await;
    }
}

/// What a member works with.
struct Desk {
    lab: Lab,
    /// The account of the pool.
    pool: usize,
    scenario: Scenario,
    /// The member's own future, if it has one.
    own: Cell<Option<usize>>,
    keys: RefCell<Vec<(Key, usize)>>,
}

impl Desk {
    fn new(scenario: Scenario, max_finished: MaxFinished) -> Self {
        let lab = Lab::new(scenario.seed);
        let pool = lab.account(scenario.size, max_finished);
        Self { lab, pool, scenario, own: Cell::default(), keys: RefCell::default() }
    }

    fn job(&self) -> Job {
        self.lab.job(self.pool)
    }

    fn own_job(&self) -> Job {
        let job = self.job();
        self.own.set(Some(job.id()));
        job
    }

    /// A timer, the future for an item, or one to be driven.
    async fn outside(&self, role: Role) {
        self.lab.deliver(self.lab.job_for(OUTSIDE, role).await);
    }

    /// A future to be driven. In the call in which it finishes, the pool is not polled.
    async fn driven(&self) {
        self.outside(Role::Driven).await;
        self.lab.exempt_call();
    }

    /// As many items as there are to be.
    fn items(&self) -> Source {
        self.lab.source(self.pool, self.scenario.size.min(40) + 4)
    }

    fn deliver(&self, output: Output) {
        self.lab.deliver(output);
    }

    fn deliver_all(&self, outputs: impl IntoIterator<Item = Output>) {
        outputs.into_iter().for_each(|output| self.deliver(output));
    }

    fn deliver_keyed(&self, (key, output): (Key, Output)) {
        let mut keys = self.keys.borrow_mut();
        match keys.iter().find(|known| known.0 == key) {
            Some(&(_, id)) if id != output.id() => self.lab.fault("a result has the key of another future"),
            Some(_) => {}
            None => keys.push((key, output.id())),
        }
        drop(keys);
        self.deliver(output);
    }

    /// Delivers an output that has to be that of the next item.
    fn deliver_next(&self, next: &Cell<usize>, output: Output) {
        if output.number() != next.replace(output.number() + 1) {
            self.lab.fault("out of order");
        }
        self.deliver(output);
    }

    #[track_caller]
    fn assert_sound(&self) {
        self.lab.assert_sound(&self.scenario);
    }
}

/// A rule for batches.
fn every_third(output: &Output) -> bool {
    output.id() % 3 == 0
}

// The pool.

trait Set {
    type Kind: ActiveSet + Default;
}

struct SlotSets;

impl Set for SlotSets {
    type Kind = SlotSet;
}

struct UnorderedSets;

impl Set for UnorderedSets {
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

type PoolOf<S> = Pool<Job, <S as Set>::Kind>;

/// What its docs say of a member that is dropped.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// Everything stays in the pool.
    Stays,
    /// Its own future is dropped if it has not started. All else stays in the pool.
    OwnGoes,
    /// Everything is dropped.
    AllGoes,
}

struct PoolMember<S: Set> {
    name: &'static str,
    fate: Fate,
    /// Whether futures are started whatever the bound on results is.
    max_finished: fn(usize) -> MaxFinished,
    run: for<'a> fn(&'a mut PoolOf<S>, &'a Desk) -> LocalBoxFuture<'a, ()>,
}

/// The members of `Pool` that can be dropped before they complete.
#[expect(clippy::too_many_lines, reason = "a table")]
fn pool_members<S: Set>() -> Vec<PoolMember<S>> {
    let ignored: fn(usize) -> MaxFinished = |_| MaxFinished::Ignored;
    macro_rules! members {
        ($($name:literal, $fate:ident, $max_finished:expr, |$pool:ident, $desk:ident| $run:expr;)*) => {
            vec![$(PoolMember {
                name: $name,
                fate: Fate::$fate,
                max_finished: $max_finished,
                run: |$pool, $desk| async move { $run }.boxed_local(),
            }),*]
        };
    }
    members! {
        "spawn", OwnGoes, ignored, |pool, desk| {
            let job = desk.own_job();
            let id = job.id();
            let key = pool.spawn(job).await;
            desk.keys.borrow_mut().push((key, id));
        };
        "exec", OwnGoes, ignored, |pool, desk| desk.deliver(pool.exec(desk.own_job()).await);
        "wait for the first", Stays, ignored, |pool, desk| wait(pool, desk, 0).await;
        "wait for one in the middle", Stays, ignored, |pool, desk| wait(pool, desk, desk.scenario.size).await;
        "wait for the last", Stays, ignored, |pool, desk| wait(pool, desk, usize::MAX).await;
        "join", Stays, ignored, |pool, _desk| pool.join().await;
        "idle", Stays, ignored, |pool, _desk| pool.idle().await;
        "map_all", Stays, ignored, |pool, desk| {
            let next = Cell::new(desk.lab.made(desk.pool));
            for output in pool.map_all(desk.items(), |_| desk.job()).await {
                desk.deliver_next(&next, output);
            }
        };
        "drive", Stays, MaxFinished::Kept, |pool, desk| pool.drive(desk.driven()).await;
        "the stream", Stays, MaxFinished::Kept, |pool, desk| take_all(pool, |pair| desk.deliver_keyed(pair)).await;
        "for_each", AllGoes, MaxFinished::Kept, |pool, desk| {
            let pool = std::mem::take(pool);
            let each = |pair| {
                desk.deliver_keyed(pair);
                desk.outside(Role::Item)
            };
            pool.for_each(each).await;
        };
        "consume", Stays, MaxFinished::Kept, |pool, desk| {
            pool.consume(|items| take_all(items, |pair| desk.deliver_keyed(pair))).await;
        };
        "consume, busy", Stays, MaxFinished::Kept, |pool, desk| {
            let each = |pair| {
                desk.deliver_keyed(pair);
                desk.outside(Role::Item)
            };
            pool.consume(|items| items.for_each(each)).await;
        };
        "consume, dropped, then drive", Stays, MaxFinished::Kept, |pool, desk| {
            pool.consume(async |mut items| {
                if let Some(pair) = items.next().await {
                    desk.deliver_keyed(pair);
                }
                drop(items);
                desk.outside(Role::Item).await;
            })
            .await;
            pool.drive(desk.driven()).await;
        };
        "itermap", Stays, ignored, |pool, desk| {
            take_all(pool.itermap(desk.items(), |_| desk.job()), |output| desk.deliver(output)).await;
        };
        "itermap, keyed", Stays, ignored, |pool, desk| {
            take_all(pool.itermap(desk.items(), |_| desk.job()).keyed(), |pair| desk.deliver_keyed(pair)).await;
        };
        "itermap, batches", Stays, ignored, |pool, desk| {
            let batches = pool.itermap(desk.items(), |_| desk.job()).batches(every_third);
            take_all(batches, |batch| desk.deliver_all(batch)).await;
        };
        "itermap, batches, timeout", Stays, ignored, |pool, desk| {
            let batches = pool.itermap(desk.items(), |_| desk.job()).batches(|_| false);
            take_all(batches.timeout(|| desk.outside(Role::Timer)), |batch| desk.deliver_all(batch)).await;
        };
        "itermap, batches, dropped, then drive", Stays, MaxFinished::KeptAtTimes, |pool, desk| {
            take_all(&mut *pool, |pair| desk.deliver_keyed(pair)).await;
            let before = desk.lab.made(desk.pool);
            {
                let mut batches = pool.itermap(desk.items(), |_| desk.job()).batches(|_| false);
                // Until some results are in the batch.
                while desk.lab.counts(desk.pool)[3] < before + 2 {
                    let batch = poll_fn(|cx| Poll::Ready(batches.poll_next_unpin(cx))).await;
                    if let Poll::Ready(Some(batch)) = batch {
                        desk.deliver_all(batch);
                    }
                    yield_now().await;
                }
            }
            // Their stream has given them up, so they count again.
            desk.lab.set_max_finished(desk.pool, MaxFinished::Kept(desk.scenario.max_finished()));
            pool.drive(desk.driven()).await;
        };
        "itermap, for_each", Stays, MaxFinished::KeptAtTimes, |pool, desk| {
            let each = |output| {
                desk.deliver(output);
                desk.outside(Role::Item)
            };
            pool.itermap(desk.items(), |_| desk.job()).for_each(each).await;
        };
        "itermap, keyed, for_each", Stays, MaxFinished::KeptAtTimes, |pool, desk| {
            let each = |pair| {
                desk.deliver_keyed(pair);
                desk.outside(Role::Item)
            };
            pool.itermap(desk.items(), |_| desk.job()).keyed().for_each(each).await;
        };
        "itermap, batches, for_each", Stays, MaxFinished::KeptAtTimes, |pool, desk| {
            let each = |batch| {
                desk.deliver_all(batch);
                desk.outside(Role::Item)
            };
            pool.itermap(desk.items(), |_| desk.job()).batches(every_third).for_each(each).await;
        };
        "itermap, drive", Stays, MaxFinished::Kept, |pool, desk| {
            pool.itermap(desk.items(), |_| desk.job()).drive(desk.driven()).await;
        };
    }
}

async fn wait<A: ActiveSet>(pool: &mut Pool<Job, A>, desk: &Desk, which: usize) {
    let (key, id) = {
        let keys = desk.keys.borrow();
        keys[which.min(keys.len() - 1)]
    };
    if desk.lab.stage(id) == Stage::Finished {
        desk.lab.exempt_call(); // it takes the result, and does not poll the pool
    }
    match pool.wait(key).await {
        Some(output) if output.id() == id => desk.deliver(output),
        _ => desk.lab.fault("`wait` has given another result, or none"),
    }
}

/// Fills a pool with futures, and lets some of them make progress and finish.
fn populate<A: ActiveSet>(pool: &mut Pool<Job, A>, desk: &Desk, rng: &mut Rng) {
    let Scenario { size, seed, max_finished, .. } = desk.scenario;
    if let Some(max_finished) = max_finished {
        pool.set_max_finished(max_finished);
    }
    desk.lab.set_max_finished(desk.pool, MaxFinished::Kept(pool.max_finished()));
    for _ in 0..size.min(70) + 3 {
        let job = desk.job();
        let id = job.id();
        desk.keys.borrow_mut().push((pool.spawn_n(job), id));
    }
    // Some begin with an untouched pool.
    let polls = [0, 2, 1, 4][usize::try_from(seed % 4).unwrap()];
    for _ in 0..polls {
        let (wakes, waker) = Wakes::new();
        desk.lab.begin_call();
        assert!(
            Pin::new(&mut *pool).poll_progress(&mut Context::from_waker(&waker)).is_pending() || pool.active() == 0
        );
        desk.lab.at_rest(wakes.count() > 0);
        desk.lab.open_one(rng.usize(..100));
    }
}

#[track_caller]
fn assert_counts<A: ActiveSet>(pool: &Pool<Job, A>, desk: &Desk) {
    let counts = [pool.waiting(), pool.active(), pool.finished(), pool.executed()];
    assert_eq!(counts, desk.lab.counts(desk.pool), "{}", desk.scenario);
    assert_eq!(pool.len(), pool.waiting() + pool.active(), "{}", desk.scenario);
    assert_eq!(pool.size_hint(), (pool.len() + pool.finished(), Some(pool.len() + pool.finished())));
}

fn a_member_of_the_pool<S: Set>() {
    for member in pool_members::<S>() {
        each_scenario(member.name, &SIZES, |scenario| drop_early(&member, scenario));
    }
}

fn drop_early<S: Set>(member: &PoolMember<S>, scenario: Scenario) -> bool {
    let desk = Desk::new(scenario, MaxFinished::Ignored);
    let mut rng = scenario.rng();
    let mut pool = Pool::with_set(scenario.size, S::Kind::default());
    populate(&mut pool, &desk, &mut rng);
    desk.lab.set_max_finished(desk.pool, (member.max_finished)(pool.max_finished()));
    let ended = run_cut(&desk.lab, &mut rng, scenario.polls, (member.run)(&mut pool, &desk));
    desk.assert_sound();

    // What the docs say of it.
    if member.fate == Fate::AllGoes {
        let left = if scenario.polls == 0 { desk.lab.made(desk.pool) } else { 0 };
        assert_eq!(desk.lab.alive(), left, "{scenario}");
        return ended;
    }
    let gone = desk.lab.undelivered(desk.pool).into_iter().filter(|(_, stage)| *stage == Stage::Gone);
    let gone: Vec<_> = gone.map(|(id, _)| id).collect();
    if member.fate == Fate::OwnGoes && !ended {
        let started = desk.own.get().is_none_or(|own| desk.lab.stage(own) != Stage::Gone);
        let expected: Vec<_> = desk.own.get().filter(|_| !started).into_iter().collect();
        assert_eq!(gone, expected, "{scenario}");
    } else {
        assert_eq!(gone, [0; 0], "{scenario}");
    }
    assert_eq!(desk.lab.counts(OUTSIDE)[..2], [0, 0], "{scenario}: what it had of its own is dropped");
    assert_counts(&pool, &desk);

    // All the rest is there, in whichever way it is asked for.
    let mut cancelled = None;
    match scenario.polls % 4 {
        0 => {}
        1 => take_by_key(&mut pool, &desk),
        2 => cancelled = cancel_one(&mut pool, &desk),
        _ => {
            desk.lab.set_max_finished(desk.pool, MaxFinished::Ignored);
            assert!(run_cut(&desk.lab, &mut rng, 50_000, pool.join()), "{scenario}: it does not join");
            assert_counts(&pool, &desk);
            take_by_key(&mut pool, &desk);
        }
    }
    assert_counts(&pool, &desk);
    desk.lab.set_max_finished(desk.pool, MaxFinished::Kept(pool.max_finished()));
    drain(&desk.lab, &mut rng, &mut pool, |pair| desk.deliver_keyed(pair));
    desk.assert_sound();
    assert_counts(&pool, &desk);
    let mut undelivered: Vec<_> = desk.lab.undelivered(desk.pool).into_iter().map(|(id, _)| id).collect();
    undelivered.retain(|id| !gone.contains(id) && Some(*id) != cancelled);
    assert_eq!(undelivered, [0; 0], "{scenario}: lost");
    assert_eq!(desk.lab.alive(), 0, "{scenario}");
    ended
}

/// Takes every second result that there is, by its key, last ones first.
fn take_by_key<A: ActiveSet>(pool: &mut Pool<Job, A>, desk: &Desk) {
    let keys: Vec<_> = desk.keys.borrow().iter().copied().rev().step_by(2).collect();
    for (key, id) in keys {
        let there = desk.lab.stage(id) == Stage::Finished && !desk.lab.is_delivered(id);
        let output = pool.take_result(key);
        assert_eq!(output.as_ref().map(Output::id), there.then_some(id), "{}", desk.scenario);
        if let Some(output) = output {
            desk.deliver(output);
        }
        assert!(pool.take_result(key).is_none());
    }
}

/// Cancels the first future with a key that can be, and returns which one that was.
fn cancel_one<A: ActiveSet>(pool: &mut Pool<Job, A>, desk: &Desk) -> Option<usize> {
    for &(key, id) in &*desk.keys.borrow() {
        let runs = matches!(desk.lab.stage(id), Stage::Waiting | Stage::Active);
        assert_eq!(pool.cancel(key), runs, "{}", desk.scenario);
        if runs {
            assert!(desk.lab.stage(id) == Stage::Gone && !pool.cancel(key), "{}", desk.scenario);
            return Some(id);
        }
    }
    None
}

// The chain.

struct ChainMember {
    name: &'static str,
    /// Whether only results whose turn has come count against the default bound on results.
    ordered: bool,
    max_finished: fn(usize) -> MaxFinished,
    run: for<'a> fn(&'a Desk) -> LocalBoxFuture<'a, ()>,
}

/// A chain on a set, with its bound on results set if it is not to be the default.
macro_rules! chain {
    ($desk:expr) => {
        bound!($desk, $desk.items().pool_map($desk.scenario.size, |_| $desk.job()).with_set(S::Kind::default()))
    };
}

macro_rules! bound {
    ($desk:expr, $chain:expr) => {{
        let chain = $chain;
        match $desk.scenario.max_finished {
            Some(max_finished) => chain.max_finished(max_finished),
            None => chain,
        }
    }};
}

/// Says that results are taken in the call in which their turn comes, though they are delivered at the end.
fn collect(desk: &Desk, ordered: bool) {
    let max_finished = match desk.scenario.max_finished {
        Some(max_finished) if ordered => MaxFinished::KeptAtTimes(max_finished),
        _ => MaxFinished::Ignored,
    };
    desk.lab.set_max_finished(desk.pool, max_finished);
}

/// An upper stage of two slots, in the account made for it.
fn put_stage_above(desk: &Desk) -> usize {
    let upper = desk.lab.account(2, MaxFinished::Kept(2));
    desk.lab.count_due_only(upper);
    upper
}

/// What makes of each result of one stage a future of the next.
fn next_stage(desk: &Desk, upper: usize) -> impl FnMut(Output) -> Job + use<'_> {
    move |output| {
        desk.deliver(output);
        desk.lab.job(upper)
    }
}

/// A future that fails for one of the items.
async fn fallible(job: Job, fails: bool) -> Result<Output, Output> {
    let output = job.await;
    if fails { Err(output) } else { Ok(output) }
}

/// The streams that `pool_map` makes, and what is made of them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn chain_members<S: Set>() -> Vec<ChainMember> {
    macro_rules! members {
        ($($(#[$attr:meta])* $name:literal, $ordered:literal, $max_finished:ident, |$desk:ident| $run:expr;)*) => {
            vec![$($(#[$attr])* ChainMember {
                name: $name,
                ordered: $ordered,
                max_finished: MaxFinished::$max_finished,
                run: |$desk| async move { $run }.boxed_local(),
            }),*]
        };
    }
    members! {
        "the ordered stream", true, Kept, |desk| {
            let next = Cell::new(0);
            take_all(chain!(desk), |output| desk.deliver_next(&next, output)).await;
        };
        "the unordered stream", false, Kept, |desk| {
            take_all(chain!(desk).unordered(), |output| desk.deliver(output)).await;
        };
        ".await", true, Kept, |desk| {
            collect(desk, true);
            let next = Cell::new(0);
            chain!(desk).await.into_iter().for_each(|output| desk.deliver_next(&next, output));
        };
        ".await, unordered", false, Kept, |desk| {
            collect(desk, false);
            desk.deliver_all(chain!(desk).unordered().await);
        };
        "for_each", true, Kept, |desk| {
            let next = Cell::new(0);
            let each = |output| {
                desk.deliver_next(&next, output);
                desk.outside(Role::Item)
            };
            chain!(desk).for_each(each).await;
        };
        "consume", true, Kept, |desk| {
            let next = Cell::new(0);
            let each = |output| {
                desk.deliver_next(&next, output);
                desk.outside(Role::Item)
            };
            chain!(desk).consume(|items| items.for_each(each)).await;
        };
        "consume, never busy", true, Kept, |desk| {
            let next = Cell::new(0);
            chain!(desk).consume(|items| take_all(items, |output| desk.deliver_next(&next, output))).await;
        };
        "consume, under another waker", false, Kept, |desk| {
            chain!(desk).unordered().consume(|items| async {
                let take = take_all(items, |output| desk.deliver(output));
                FuturesUnordered::from_iter([take]).next().await;
            }).await;
        };
        "try_for_each", true, Kept, |desk| {
            let next = Cell::new(0);
            let each = |output| {
                desk.deliver_next(&next, output);
                desk.outside(Role::Item).map(Ok::<_, Output>)
            };
            let stream = desk.items().pool_map(desk.scenario.size, |_| desk.job().map(Ok));
            assert!(bound!(desk, stream).try_for_each(each).await.is_ok());
        };
        "for_each, unordered", false, Kept, |desk| {
            let each = |output| {
                desk.deliver(output);
                desk.outside(Role::Item)
            };
            chain!(desk).unordered().for_each(each).await;
        };
        "indexed", true, Kept, |desk| {
            let next = Cell::new(0);
            let each = |(index, output): (usize, Output)| {
                assert_eq!(index, output.number());
                desk.deliver_next(&next, output);
            };
            take_all(chain!(desk).indexed(), each).await;
        };
        ".await on indexed", false, Kept, |desk| {
            collect(desk, false);
            desk.deliver_all(chain!(desk).unordered().indexed().await.into_iter().map(|(_, output)| output));
        };
        "indexed, for_each", false, Kept, |desk| {
            let each = |(_, output)| {
                desk.deliver(output);
                desk.outside(Role::Item)
            };
            chain!(desk).unordered().indexed().for_each(each).await;
        };
        "batches", true, KeptAtTimes, |desk| {
            take_all(chain!(desk).batches(every_third), |batch| desk.deliver_all(batch)).await;
        };
        "batches, unordered", false, KeptAtTimes, |desk| {
            take_all(chain!(desk).unordered().batches(every_third), |batch| desk.deliver_all(batch)).await;
        };
        "batches, for_each", false, KeptAtTimes, |desk| {
            let each = |batch| {
                desk.deliver_all(batch);
                desk.outside(Role::Item)
            };
            chain!(desk).unordered().batches(every_third).for_each(each).await;
        };
        "batches, timeout", false, KeptAtTimes, |desk| {
            let batches = chain!(desk).unordered().batches(|_| false);
            take_all(batches.timeout(|| desk.outside(Role::Timer)), |batch| desk.deliver_all(batch)).await;
        };
        "batches, timeout, for_each", false, KeptAtTimes, |desk| {
            let each = |batch| {
                desk.deliver_all(batch);
                desk.outside(Role::Item)
            };
            let batches = chain!(desk).unordered().batches(|_| false);
            batches.timeout(|| desk.outside(Role::Timer)).for_each(each).await;
        };
        "fail_fast, and none fails", true, Kept, |desk| {
            let next = Cell::new(0);
            let chain = desk.items().pool_map(desk.scenario.size, |_| fallible(desk.job(), false));
            let chain = bound!(desk, chain).fail_fast().with_set(S::Kind::default());
            take_all(chain, |result| desk.deliver_next(&next, result.unwrap_or_else(|_| panic!("none fails")))).await;
        };
        "fail_fast", false, KeptAtTimes, |desk| {
            let chain = desk.items().pool_map(desk.scenario.size, |item| fallible(desk.job(), item == 3));
            let chain = bound!(desk, chain).fail_fast().with_set(S::Kind::default());
            take_all(chain, |result| match result {
                Ok(output) => desk.deliver(output),
                Err(output) => fail_fast(desk, output),
            })
            .await;
        };
        ".await on fail_fast", false, KeptAtTimes, |desk| {
            let chain = desk.items().pool_map(desk.scenario.size, |item| fallible(desk.job(), item == 3));
            match chain.fail_fast().with_set(S::Kind::default()).await {
                Ok(_) => desk.lab.fault("the error is lost"),
                Err(output) => fail_fast(desk, output),
            }
        };
        #[cfg(feature = "std")]
        "catch_unwind", true, Kept, |desk| {
            let next = Cell::new(0);
            let chain = desk.items().pool_map(desk.scenario.size, |_| desk.job()).catch_unwind();
            let chain = bound!(desk, chain).with_set(S::Kind::default());
            take_all(chain, |result| desk.deliver_next(&next, result.expect("none panics"))).await;
        };
        "a stage above", true, Kept, |desk| {
            let (next, upper) = (Cell::new(0), put_stage_above(desk));
            desk.lab.put_upstream(desk.pool, upper);
            let stream = chain!(desk).pool_map(2, next_stage(desk, upper)).with_set(S::Kind::default());
            take_all(stream, |output| desk.deliver_next(&next, output)).await;
        };
        "a stage above, for_each", true, Kept, |desk| {
            let (next, upper) = (Cell::new(0), put_stage_above(desk));
            desk.lab.put_upstream(desk.pool, upper);
            let each = |output| {
                desk.deliver_next(&next, output);
                desk.outside(Role::Item)
            };
            chain!(desk).pool_map(2, next_stage(desk, upper)).with_set(S::Kind::default()).for_each(each).await;
        };
        "driven behind an adaptor, for_each", false, KeptAtTimes, |desk| {
            let behind = async |output| {
                desk.outside(Role::Item).await;
                output
            };
            let each = |output| {
                desk.deliver(output);
                desk.outside(Role::Item)
            };
            chain!(desk).unordered().then(behind).driven().for_each(each).await;
        };
        "driven behind an adaptor, upstream of a stage", true, KeptAtTimes, |desk| {
            let (next, upper) = (Cell::new(0), put_stage_above(desk));
            let stream = chain!(desk).map(|output| output).driven();
            let stream = stream.pool_map(2, next_stage(desk, upper)).with_set(S::Kind::default());
            take_all(stream, |output| desk.deliver_next(&next, output)).await;
        };
        "callbacks", true, Kept, |desk| {
            let next = Cell::new(0);
            let callback = async |output, desk: &Desk| {
                desk.outside(Role::Callback).await;
                output
            };
            let chain = desk.items().pool_map(desk.scenario.size, |_| desk.job().callback(callback, desk));
            let chain = chain.max_finished(usize::MAX).with_set(S::Kind::default());
            // When the future has finished, its slot continues with the callback.
            desk.lab.set_max_finished(desk.pool, MaxFinished::Unknown);
            take_all(chain, |output| desk.deliver_next(&next, output)).await;
        };
    }
}

/// Delivers the error of a chain that fails fast. Everything else is gone before it is seen.
fn fail_fast(desk: &Desk, error: Output) {
    if desk.lab.alive() != 1 {
        desk.lab.fault("when the error is seen, not all else is gone");
    }
    desk.deliver(error);
    desk.own.set(Some(0)); // for: it has failed
}

fn a_chain<S: Set>() {
    for member in chain_members::<S>() {
        each_scenario(member.name, &SIZES, |scenario| drop_chain(&member, scenario, member.run));
    }
}

fn drop_chain(
    member: &ChainMember,
    scenario: Scenario,
    run: impl for<'a> FnOnce(&'a Desk) -> LocalBoxFuture<'a, ()>,
) -> bool {
    let desk = Desk::new(scenario, (member.max_finished)(scenario.max_finished()));
    if member.ordered && scenario.max_finished.is_none() {
        desk.lab.count_due_only(desk.pool);
    }
    let ended = run_cut(&desk.lab, &mut scenario.rng(), scenario.polls, run(&desk));
    desk.assert_sound();
    assert_eq!(desk.lab.alive(), 0, "{scenario}: not everything is dropped");
    if ended && desk.own.get().is_none() {
        assert_eq!(desk.lab.undelivered(desk.pool), [], "{scenario}: lost");
    }
    ended
}

/// `drive` on a chain: whenever it is dropped, the stream remains usable.
fn drive_on_a_chain<S: Set>() {
    each_scenario("drive on a chain", &SIZES, |scenario| {
        let desk = Desk::new(scenario, MaxFinished::Kept(scenario.max_finished()));
        if scenario.max_finished.is_none() {
            desk.lab.count_due_only(desk.pool);
        }
        let mut rng = scenario.rng();
        let mut stream = chain!(desk);
        let ended = run_cut(&desk.lab, &mut rng, scenario.polls, stream.drive(desk.driven()));
        desk.assert_sound();
        let [_, active, finished, _] = desk.lab.counts(desk.pool);
        assert_eq!((stream.active(), stream.finished()), (active, finished), "{scenario}");
        let next = Cell::new(0);
        drain(&desk.lab, &mut rng, stream, |output| desk.deliver_next(&next, output));
        desk.assert_sound();
        assert_eq!((desk.lab.undelivered(desk.pool), desk.lab.alive()), (vec![], 0), "{scenario}");
        ended
    });
}

/// `drive` on batches: what has been gathered stays in them.
fn drive_on_batches<S: Set>() {
    each_scenario("drive on batches", &SIZES, |scenario| {
        let desk = Desk::new(scenario, MaxFinished::KeptAtTimes(scenario.max_finished()));
        let mut rng = scenario.rng();
        let mut stream = chain!(desk).unordered().batches(every_third);
        let ended = run_cut(&desk.lab, &mut rng, scenario.polls, stream.drive(desk.driven()));
        drain(&desk.lab, &mut rng, stream, |batch| desk.deliver_all(batch));
        desk.assert_sound();
        assert_eq!((desk.lab.undelivered(desk.pool), desk.lab.alive()), (vec![], 0), "{scenario}");
        ended
    });
}

on_each_set!(a_member_of_the_pool, a_chain, drive_on_a_chain, drive_on_batches);

// Inside the value.

/// The streams that `pool_map_inline` makes. Their sizes are types.
fn inline_members<const N: usize>() -> Vec<ChainMember>
where
    Slots<N>: SlotCount,
{
    macro_rules! members {
        ($($name:literal, |$desk:ident| $run:expr;)*) => {
            vec![$(ChainMember {
                name: $name,
                ordered: false,
                max_finished: MaxFinished::Kept,
                run: |$desk| async move { $run }.boxed_local(),
            }),*]
        };
    }
    members! {
        "inline, ordered", |desk| {
            let next = Cell::new(0);
            let stream = desk.items().pool_map_inline(Slots::<N>, |_| desk.job());
            take_all(bound!(desk, stream), |output| desk.deliver_next(&next, output)).await;
        };
        "inline, unordered", |desk| {
            let stream = desk.items().pool_map_inline(Slots::<N>, |_| desk.job());
            take_all(bound!(desk, stream).unordered(), |output| desk.deliver(output)).await;
        };
        "inline, indexed", |desk| {
            let stream = bound!(desk, desk.items().pool_map_inline(Slots::<N>, |_| desk.job())).unordered();
            take_all(stream.indexed(), |(_, output)| desk.deliver(output)).await;
        };
        "inline, for_each", |desk| {
            let each = |output| {
                desk.deliver(output);
                desk.outside(Role::Item)
            };
            bound!(desk, desk.items().pool_map_inline(Slots::<N>, |_| desk.job())).for_each(each).await;
        };
        "inline, fail_fast", |desk| {
            desk.lab.set_max_finished(desk.pool, MaxFinished::KeptAtTimes(desk.scenario.max_finished()));
            let stream = desk.items().pool_map_inline(Slots::<N>, |item| fallible(desk.job(), item == 3));
            take_all(bound!(desk, stream).fail_fast(), |result| match result {
                Ok(output) => desk.deliver(output),
                Err(output) => fail_fast(desk, output),
            })
            .await;
        };
        "inline, drive", |desk| {
            let mut stream = pin!(bound!(desk, desk.items().pool_map_inline(Slots::<N>, |_| desk.job())));
            stream.drive(desk.driven()).await;
            take_all(stream, |output| desk.deliver(output)).await;
        };
    }
}

fn a_chain_inside_the_value<const N: usize>()
where
    Slots<N>: SlotCount,
{
    for member in inline_members::<N>() {
        each_scenario(member.name, &[N], |mut scenario| {
            // There is capacity for as many results only.
            scenario.max_finished = scenario.max_finished.map(|max_finished| max_finished.min(N));
            drop_chain(&member, scenario, member.run)
        });
    }
}

/// What can be dropped before it completes of an `InlinePool`, which stays: all that it holds comes out afterwards.
fn an_inline_pool<const N: usize>()
where
    Slots<N>: SlotCount,
{
    for streams in [false, true] {
        each_scenario("an inline pool", &[N], |scenario| {
            let max_finished = scenario.max_finished().min(N);
            let desk = Desk::new(scenario, MaxFinished::Kept(max_finished));
            let mut rng = scenario.rng();
            let mut pool = InlinePool::<_, N, 5>::new();
            pool.set_max_finished(max_finished);
            let mut pool = pin!(pool);
            while !pool.is_full() {
                let job = desk.job();
                let id = job.id();
                let Ok(key) = pool.as_mut().try_spawn(job) else { panic!("a slot is free") };
                desk.keys.borrow_mut().push((key, id));
            }
            let ended = if streams {
                run_cut(&desk.lab, &mut rng, scenario.polls, take_all(pool.as_mut(), |pair| desk.deliver_keyed(pair)))
            } else {
                run_cut(&desk.lab, &mut rng, scenario.polls, pool.drive(desk.driven()))
            };
            let [waiting, active, finished, _] = desk.lab.counts(desk.pool);
            assert_eq!([pool.waiting(), pool.active(), pool.finished()], [waiting, active, finished], "{scenario}");
            let keys = desk.keys.borrow().clone();
            for (key, id) in keys.into_iter().step_by(2) {
                let there = desk.lab.stage(id) == Stage::Finished && !desk.lab.is_delivered(id);
                let output = pool.as_mut().take_result(key);
                assert_eq!(output.as_ref().map(Output::id), there.then_some(id), "{scenario}");
                if let Some(output) = output {
                    desk.deliver(output);
                }
            }
            drain(&desk.lab, &mut rng, pool.as_mut(), |pair| desk.deliver_keyed(pair));
            desk.assert_sound();
            assert_eq!((desk.lab.undelivered(desk.pool), desk.lab.alive()), (vec![], 0), "{scenario}");
            ended
        });
    }
}

#[test]
fn inside_the_value() {
    a_chain_inside_the_value::<1>();
    a_chain_inside_the_value::<2>();
    a_chain_inside_the_value::<3>();
    a_chain_inside_the_value::<32>();
    an_inline_pool::<1>();
    an_inline_pool::<2>();
    an_inline_pool::<3>();
    an_inline_pool::<32>();
}

// The scope.

/// Where a member of the scope's handle is awaited, and dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Body,
    /// In a task of the same scope, which lends its slot meanwhile.
    Task,
    /// In another task of the executor.
    Outside,
}

/// The accounts of a scope's run, in something that may be `Send`.
#[derive(Clone)]
struct Ledger {
    lab: Lab,
    pool: usize,
    /// The futures of the member's own: they may be gone, as its docs say.
    own: Arc<Mutex<Vec<usize>>>,
    /// Those of them that may go no further, as the member was dropped.
    stopped: Arc<Mutex<Vec<usize>>>,
}

impl Ledger {
    fn job(&self) -> Job {
        self.lab.job(self.pool)
    }

    fn own_job(&self) -> Job {
        let job = self.job();
        self.own.lock().unwrap().push(job.id());
        job
    }

    fn settle(&self, result: Result<Output, TaskError>) {
        match result {
            Ok(output) => self.lab.deliver(output),
            Err(error) => self.lab.fault(format!("{error}")),
        }
    }

    /// Cuts a member off, and records what that has to stop.
    async fn cut(self, left: Left, polls: usize, member: impl Future<Output = ()>) -> bool {
        let ended = cut(polls, member).await;
        if !ended {
            for &id in &*self.own.lock().unwrap() {
                let stops = match left {
                    Left::Unstarted => !self.lab.was_started(id),
                    Left::Detached | Left::DetachedButOne => false,
                    Left::Cancelled => !self.lab.has_finished(id),
                };
                if stops {
                    self.stopped.lock().unwrap().push(id);
                }
            }
        }
        ended
    }
}

/// Lets a future be polled so many times, and drops it then; returns whether it has ended.
async fn cut(polls: usize, future: impl Future<Output = ()>) -> bool {
    let (mut future, mut left) = (Box::pin(future), polls);
    poll_fn(move |cx| {
        if left > 0 && future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
}

/// What its docs say of a member of a scope's handle that is dropped.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    /// Its task is dropped if it has not started, and detached else.
    Unstarted,
    /// Its tasks are detached.
    Detached,
    /// They are detached, but what it has in hand is dropped.
    DetachedButOne,
    /// Its tasks are cancelled.
    Cancelled,
}

/// What a waker has to be told of: the scope, and the task outside.
fn run_scope(ledger: &Ledger, seed: u64, scope: impl Future<Output = ()>, outside: impl Future<Output = ()>) {
    let mut tasks: [Pin<Box<dyn Future<Output = ()> + '_>>; 2] = [Box::pin(scope), Box::pin(outside)];
    let wakers = [(); 2].map(|()| Wakes::new());
    let (mut heard, mut ended) = ([usize::MAX; 2], [false; 2]);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..50_000 {
        let mut any = false;
        for (index, task) in tasks.iter_mut().enumerate() {
            let rings = wakers[index].0.count();
            // Now and then it is polled for nothing.
            if !ended[index] && (heard[index] != rings || rng.u8(..16) == 0) {
                any |= heard[index] != rings;
                heard[index] = rings;
                ended[index] = task.as_mut().poll(&mut Context::from_waker(&wakers[index].1)).is_ready();
            }
        }
        if ended == [true; 2] {
            return;
        }
        if !any {
            ledger.lab.begin_call();
            ledger.lab.at_rest(false);
            if !ledger.lab.open_one(rng.usize(..100)) {
                ledger.lab.fault("all sleep, and nobody will wake them");
                return;
            }
        }
    }
    ledger.lab.fault("the scope does not end");
}

/// The members of a scope's handle, on both kinds of scopes, awaited in each place.
macro_rules! scope_members {
    ($($name:ident, $left:ident, |$pool:ident, $ledger:ident| $run:block)*) => {
        scope_members!(@kind local_scopes, local_scope, LocalScope, $($name, $left, $pool, $ledger, $run;)*);
        #[cfg(feature = "std")]
        scope_members!(@kind send_scopes, scope, Scope, $($name, $left, $pool, $ledger, $run;)*);
    };
    (@kind $kind:ident, $open:ident, $handle:ident, $($name:ident, $left:ident, $pool:ident, $ledger:ident, $run:block;)*) => {
        mod $kind {
            use super::*;
            use futures_pool::{$handle, $open};

            $(#[test]
            fn $name() {
                async fn member($pool: $handle<'static>, $ledger: Ledger) $run

                for place in [Place::Body, Place::Task, Place::Outside] {
                    each_scenario(stringify!($name), &[1, 2, 5], |scenario| {
                        if scenario.max_finished.is_some() {
                            return true;
                        }
                        let lab = Lab::new(scenario.seed);
                        let pool = lab.account(scenario.size, MaxFinished::Ignored);
                        let ledger = Ledger { lab, pool, own: Arc::default(), stopped: Arc::default() };
                        let ended = Arc::new(AtomicUsize::new(0));
                        let handle = RefCell::new(None);
                        let gate = Arc::new((AtomicBool::new(place != Place::Outside), AtomicWaker::new()));
                        let body = |pool: $handle<'static>| {
                            handle.replace(Some(pool.clone()));
                            let (ledger, ended, gate) = (ledger.clone(), Arc::clone(&ended), Arc::clone(&gate));
                            async move {
                                let mut others = pool.map_n(0..scenario.size + 2, |_| ledger.job());
                                let member = member(pool.clone(), ledger.clone());
                                let cut = ledger.clone().cut(Left::$left, scenario.polls, member);
                                match place {
                                    Place::Body => ended.store(usize::from(cut.await), SeqCst),
                                    Place::Task => {
                                        let (inner, own) = (pool.clone(), ledger.clone());
                                        let task = async move {
                                            ended.store(usize::from(cut.await), SeqCst);
                                            // It may have stopped waiting while another had its slot.
                                            inner.lend(yield_now()).await;
                                            // It waits for nobody any more, so that its slot is its own.
                                            own.lab.deliver(own.job().await);
                                        };
                                        let task = pool.spawn_n(task);
                                        others.extend(pool.map_n(0..scenario.size + 2, |_| ledger.job()));
                                        task.await.unwrap();
                                    }
                                    Place::Outside => {}
                                }
                                for task in others {
                                    ledger.settle(task.await);
                                }
                                poll_fn(|cx| {
                                    gate.1.register(cx.waker());
                                    if gate.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                                })
                                .await;
                                // Whoever was dropped is in nobody's way.
                                for result in pool.map([()], |()| ledger.job()).await {
                                    ledger.settle(result);
                                }
                            }
                        };
                        let scope = $open(scenario.size, body);
                        let pool = handle.take().unwrap();
                        let outside = async {
                            if place == Place::Outside {
                                let member = member(pool.clone(), ledger.clone());
                                let how = ledger.clone().cut(Left::$left, scenario.polls, member).await;
                                ended.store(usize::from(how), SeqCst);
                                gate.0.store(true, SeqCst);
                                gate.1.wake();
                            }
                        };
                        run_scope(&ledger, scenario.seed, scope, outside);
                        let what = format!("in {place:?}, {scenario}");
                        ledger.lab.assert_sound(&what);
                        assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0), "{what}");
                        assert_eq!(ledger.lab.alive(), 0, "{what}: not everything is dropped");
                        let ended = ended.load(SeqCst) == 1;
                        ledger.check(Left::$left, ended, &what);
                        // The task in which the member was is the one that has run a future itself.
                        assert_eq!(pool.executed(), ledger.lab.executed(ledger.pool), "{what}");
                        ended
                    });
                }
            })*
        }
    };
}

impl Ledger {
    /// Checks what has become of all futures.
    #[track_caller]
    fn check(&self, left: Left, ended: bool, what: &str) {
        let own = self.own.lock().unwrap();
        for &id in &*self.stopped.lock().unwrap() {
            assert!(!self.lab.has_finished(id), "{what}: {id} continues");
        }
        let unstarted = own.iter().filter(|&&id| !self.lab.was_started(id)).count();
        assert!(left != Left::DetachedButOne || unstarted <= 1, "{what}: {unstarted} are dropped");
        for (id, stage) in self.lab.undelivered(self.pool) {
            let is_own = own.contains(&id);
            assert!(is_own && (!ended || left == Left::Unstarted), "{what}: {id} is lost");
            let may_be_gone = match left {
                Left::Unstarted | Left::DetachedButOne => !self.lab.was_started(id),
                Left::Detached => false,
                Left::Cancelled => true,
            };
            assert!(stage == Stage::Finished || may_be_gone, "{what}: {id} is dropped");
        }
    }
}

/// The scope itself, dropped before it completes: with it go all tasks, also those that hold handles, and all handles
/// have an answer.
macro_rules! a_scope_that_is_dropped {
    ($name:ident, $open:ident, $handle:ident) => {
        #[test]
        fn $name() {
            use futures_pool::{$handle, $open};

            each_scenario(stringify!($open), &[1, 2, 5], |scenario| {
                if scenario.max_finished.is_some() {
                    return true;
                }
                let lab = Lab::new(scenario.seed);
                let account = lab.account(scenario.size, MaxFinished::Ignored);
                let ledger = Ledger { lab, pool: account, own: Arc::default(), stopped: Arc::default() };
                let (handle, tasks) = (RefCell::new(None), Arc::new(Mutex::new(Vec::new())));
                let scope = $open(scenario.size, |pool: $handle<'static>| {
                    handle.replace(Some(pool.clone()));
                    let (ledger, tasks) = (ledger.clone(), Arc::clone(&tasks));
                    async move {
                        tasks.lock().unwrap().extend(pool.map_n(0..scenario.size + 2, |_| ledger.job()));
                        let (inner, own) = (pool.clone(), ledger.clone());
                        let nested = pool.spawn_n(async move { own.settle(inner.exec(own.job()).await) });
                        let job = ledger.job();
                        ledger.settle(pool.exec(job).await);
                        nested.await.unwrap();
                    }
                });
                let pool = handle.take().unwrap();
                let mut rng = Rng::with_seed(scenario.seed);
                let ended = run_cut(&ledger.lab, &mut rng, scenario.polls, scope);
                assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0), "{scenario}");
                let late = run_now(pool.exec(ledger.own_job()));
                assert!(matches!(late, Some(Err(TaskError::Cancelled))), "{scenario}");
                for task in tasks.lock().unwrap().drain(..) {
                    match run_now(task) {
                        Some(Ok(output)) => ledger.lab.deliver(output),
                        result => assert!(!ended && matches!(result, Some(Err(TaskError::Cancelled))), "{scenario}"),
                    }
                }
                ledger.lab.assert_sound(&scenario);
                assert_eq!(ledger.lab.alive(), 0, "{scenario}: not everything is dropped");
                ended
            });
        }
    };
}

/// Polls once.
fn run_now<F: Future>(future: F) -> Option<F::Output> {
    match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

a_scope_that_is_dropped!(a_local_scope_that_is_dropped, local_scope, LocalScope);
#[cfg(feature = "std")]
a_scope_that_is_dropped!(a_send_scope_that_is_dropped, scope, Scope);

scope_members! {
    spawn, Unstarted, |pool, ledger| {
        drop(pool.spawn(ledger.own_job()).await);
    }
    exec, Unstarted, |pool, ledger| {
        let job = ledger.own_job();
        ledger.settle(pool.exec(job).await);
    }
    exec_with_callback, Unstarted, |pool, ledger| {
        let job = ledger.own_job();
        ledger.settle(pool.exec(job.callback(async |output, ()| output, ())).await);
    }
    task, Detached, |pool, ledger| {
        let task = pool.spawn_n(ledger.own_job());
        ledger.settle(task.await);
    }
    map, DetachedButOne, |pool, ledger| {
        let items = ledger.lab.source(ledger.pool, 4);
        for result in pool.map(items, |_| ledger.own_job()).await {
            ledger.settle(result);
        }
    }
    itermap, Cancelled, |pool, ledger| {
        let mut results = pool.itermap(0..4, |_| ledger.own_job());
        while let Some(result) = results.next().await {
            ledger.settle(result);
            yield_now().await;
        }
    }
    itermap_batches, Cancelled, |pool, ledger| {
        let mut batches = pool.itermap(0..4, |_| ledger.own_job()).batches(|_| false);
        while let Some(batch) = batches.next().await {
            for result in batch { ledger.settle(result); }
            yield_now().await;
        }
    }
    iterwait_keyed, Detached, |pool, ledger| {
        let tasks = pool.map_n(0..4, |_| ledger.own_job());
        let mut results = iterwait(tasks).keyed();
        while let Some((_, result)) = results.next().await {
            ledger.settle(result);
            yield_now().await;
        }
    }
    iterwait_batches_timeout, Detached, |pool, ledger| {
        let tasks = pool.map_n(0..4, |_| ledger.own_job());
        let batches = iterwait(tasks).batches(yield_when::first_completed);
        let mut batches = pin!(batches.timeout(|| ledger.lab.job_for(OUTSIDE, Role::Timer)));
        while let Some(batch) = batches.next().await {
            for result in batch { ledger.settle(result); }
            yield_now().await;
        }
    }
    join, Detached, |pool, _ledger| {
        pool.join().await;
    }
    idle, Detached, |pool, _ledger| {
        pool.idle().await;
    }
    lend, Detached, |pool, _ledger| {
        for _ in 0..3 {
            pool.lend(yield_now()).await;
        }
    }
    lend_exec, Unstarted, |pool, ledger| {
        let job = ledger.own_job();
        ledger.settle(pool.lend(pool.exec(job)).await);
    }
    task_cancelled_on_drop, Cancelled, |pool, ledger| {
        let task = pool.spawn_n(ledger.own_job()).cancel_on_drop();
        ledger.settle(task.await);
    }
}
