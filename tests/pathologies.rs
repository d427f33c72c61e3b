//! What other pools do wrong, one test for each: that ours does not, and, where a peer is at hand, that the case is
//! hard enough to show it in the peer.

#[allow(clippy::similar_names)]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Wakes, poll_next, run};
use futures::future;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt, TryStreamExt};
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Panic, Pool};
use tokio::sync::mpsc;
use tokio::time::timeout;

crate::on_both_sets! {
    a_freed_slot_does_not_stay_empty_until_the_next_poll,
    what_is_started_is_polled_at_once,
    a_slow_head_idles_no_slot,
    a_panic_costs_no_slot,
    the_limit_is_kept,
    a_wake_up_in_a_pool_of_1024_polls_one_future,
    a_wake_up_in_a_keyed_pool_of_1024_polls_one_future,
    a_cancelled_item_leaves_its_place_in_the_queue_at_once,
    a_future_that_was_removed_leaves_no_husk,
}

/// Futures that stay shut until they are opened, and the count of their polls.
#[derive(Clone, Default)]
struct Gates(Rc<RefCell<BTreeMap<usize, State>>>);

#[derive(Default)]
struct State {
    is_open: bool,
    polls: usize,
    is_active: bool,
    waker: Option<Waker>,
}

struct Gate {
    item: usize,
    gates: Gates,
}

impl Gates {
    fn gate(&self, item: usize) -> Gate {
        Gate { item, gates: self.clone() }
    }

    /// The closure for `pool_map`.
    fn all(&self) -> impl Fn(usize) -> Gate + use<> {
        let gates = self.clone();
        move |item| gates.gate(item)
    }

    fn open(&self, item: usize) {
        let mut states = self.0.borrow_mut();
        let state = states.entry(item).or_default();
        state.is_open = true;
        let waker = state.waker.take();
        drop(states);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn polls(&self, item: usize) -> usize {
        self.0.borrow().get(&item).map_or(0, |state| state.polls)
    }

    fn all_polls(&self) -> usize {
        self.0.borrow().values().map(|state| state.polls).sum()
    }

    /// Those that were polled, and are neither at their end nor dropped.
    fn active(&self) -> Vec<usize> {
        self.0.borrow().iter().filter(|(_, state)| state.is_active).map(|(&item, _)| item).collect()
    }
}

impl Future for Gate {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let mut states = self.gates.0.borrow_mut();
        let state = states.entry(self.item).or_default();
        state.polls += 1;
        state.is_active = !state.is_open;
        if state.is_open {
            return Poll::Ready(self.item);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(state) = self.gates.0.borrow_mut().get_mut(&self.item) {
            state.is_active = false;
        }
    }
}

/// Polls while there is reason to; gives the items, and whether it has come to the end.
fn drain<St: Stream + Unpin>(stream: &mut St) -> (Vec<St::Item>, bool) {
    let (woken, waker) = Wakes::new();
    let mut items = Vec::new();
    loop {
        let before = woken.count();
        match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(item)) => items.push(item),
            Poll::Ready(None) => return (items, true),
            Poll::Pending if woken.count() > before => {}
            Poll::Pending => return (items, false),
        }
    }
}

// Row: quadratic under tokio's coop budget.

/// A future that receives four messages, all there already; counts its polls.
fn receive_four(polls: &Rc<Cell<usize>>) -> impl Future<Output = ()> + use<> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    (0..4).for_each(|message| sender.send(message).unwrap());
    let polls = Rc::clone(polls);
    let mut receive = Box::pin(async move {
        for expected in 0..4 {
            assert_eq!(receiver.recv().await, Some(expected));
        }
    });
    future::poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        receive.as_mut().poll(cx)
    })
}

const MANY: usize = 16384;

/// How often a future may be polled: four times for each of its messages.
const ENOUGH: usize = 4 * 4;

/// Runs `count` of these to their end under tokio, which `run` does; returns how often each was polled.
///
/// The clock is paused, so a lost wake-up is told by the time limit immediately.
async fn polls_each<Fut: Future<Output = usize>>(count: usize, run: impl FnOnce(Rc<Cell<usize>>) -> Fut) -> usize {
    let polls = Rc::new(Cell::new(0));
    let done = timeout(Duration::from_secs(1), run(Rc::clone(&polls))).await;
    assert_eq!(done.expect("a wake-up was lost"), count);
    polls.get().div_ceil(count)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quadratic_under_the_coop_budget_in_a_chain() {
    let chain = |polls| (0..MANY).pool_map(MANY, move |_| receive_four(&polls));
    let polls = polls_each(MANY, |polls| chain(polls).count()).await;
    assert!(polls <= ENOUGH, "{polls} polls each, ordered");
    let polls = polls_each(MANY, |polls| chain(polls).unordered().count()).await;
    assert!(polls <= ENOUGH, "{polls} polls each, unordered");
    let polls = polls_each(MANY, async |polls| chain(polls).await.len()).await;
    assert!(polls <= ENOUGH, "{polls} polls each, awaited");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quadratic_under_the_coop_budget_on_futures_unordered_as_the_set() {
    let set = futures_pool::UnorderedSet;
    let chain = |polls| (0..MANY).pool_map(MANY, move |_| receive_four(&polls)).with_set(set).unordered();
    let polls = polls_each(MANY, |polls| chain(polls).count()).await;
    assert!(polls <= ENOUGH, "{polls} polls each");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quadratic_under_the_coop_budget_in_a_keyed_pool() {
    let join = async |polls| {
        let mut pool = Pool::new(MANY);
        let _ = pool.map_n(0..MANY, |_| receive_four(&polls));
        pool.join().await;
        pool.finished()
    };
    let polls = polls_each(MANY, join).await;
    assert!(polls <= ENOUGH, "{polls} polls each");
    let map_all = async |polls| Pool::new(MANY).map_all(0..MANY, |_| receive_four(&polls)).await.len();
    let polls = polls_each(MANY, map_all).await;
    assert!(polls <= ENOUGH, "{polls} polls each");
}

#[tokio::test(start_paused = true)]
async fn twin_buffer_unordered_is_quadratic_under_the_coop_budget() {
    // Twice as many futures, twice as many polls each.
    let mut before = 4;
    for few in [MANY / 8, MANY / 4, MANY / 2] {
        let chain = |polls| stream::iter(0..few).map(move |_| receive_four(&polls)).buffer_unordered(few);
        let polls = polls_each(few, |polls| chain(polls).count()).await;
        assert!(polls > ENOUGH && polls > before + before / 2, "{polls} polls each");
        before = polls;
    }
}

// Row: a freed slot stays empty until the next poll.

fn a_freed_slot_does_not_stay_empty_until_the_next_poll<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut stream = (0..9).pool_map(2, gates.all()).with_set(set()).unordered();
    assert!(poll_next(&mut stream).is_pending());
    gates.open(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(gates.active(), [1, 2]);
}

#[test]
fn twin_buffer_unordered_leaves_a_freed_slot_empty() {
    let gates = Gates::default();
    let mut stream = stream::iter(0..9).map(gates.all()).buffer_unordered(2);
    assert!(poll_next(&mut stream).is_pending());
    gates.open(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(gates.active(), [1]);
}

// Row: new futures are pushed but not polled.

fn what_is_started_is_polled_at_once<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    gates.open(0);
    let mut stream = (0..9).pool_map(3, gates.all()).with_set(set());
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(gates.active(), [1, 2, 3]);
}

#[test]
fn twin_buffer_unordered_does_not_poll_what_it_has_pushed() {
    let gates = Gates::default();
    gates.open(0);
    let mut stream = stream::iter(0..9).map(gates.all()).buffer_unordered(3);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(gates.active(), []);
}

// Row: up to n - 1 slots idle behind one slow head.

fn a_slow_head_idles_no_slot<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut stream = (0..9).pool_map(4, gates.all()).with_set(set());
    assert!(poll_next(&mut stream).is_pending());
    (1..4).for_each(|item| gates.open(item));
    assert_eq!(drain(&mut stream), (vec![], false));
    assert_eq!(gates.active(), [0, 4, 5, 6]);
}

#[test]
fn twin_buffered_idles_behind_a_slow_head() {
    let gates = Gates::default();
    let mut stream = stream::iter(0..9).map(gates.all()).buffered(4);
    assert!(poll_next(&mut stream).is_pending());
    (1..4).for_each(|item| gates.open(item));
    assert_eq!(drain(&mut stream), (vec![], false));
    assert_eq!(gates.active(), [0]);
}

#[test]
fn twin_futures_buffered_leaves_a_freed_slot_empty_and_idles_behind_a_slow_head() {
    use futures_buffered::BufferedStreamExt;

    let gates = Gates::default();
    let mut stream = stream::iter(0..9).map(gates.all()).buffered_unordered(3);
    assert!(poll_next(&mut stream).is_pending());
    gates.open(1);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(gates.active(), [0, 2]);

    let gates = Gates::default();
    let mut stream = stream::iter(0..9).map(gates.all()).buffered_ordered(4);
    assert!(poll_next(&mut stream).is_pending());
    (1..4).for_each(|item| gates.open(item));
    assert_eq!(drain(&mut stream), (vec![], false));
    assert_eq!(gates.active(), [0]);
}

// Row: size 0 hangs.

#[test]
fn a_size_of_zero_does_not_hang() {
    let none: [usize; 0] = [];
    assert_eq!(drain(&mut none.into_iter().pool_map(none.len(), ready)), (vec![], true));
    assert_eq!(drain(&mut stream::iter(none).pool_map(none.len(), ready).unordered()), (vec![], true));
    assert_eq!(drain(&mut (0..3).pool_map(0, ready)), (vec![0, 1, 2], true));
    let mut pool = Pool::new(0);
    assert_eq!(run(pool.map_all(none, ready)), []);
    assert_eq!(run(pool.map_all(0..3, ready)), [0, 1, 2]);
}

#[test]
fn twin_buffer_unordered_of_zero_hangs() {
    let none: [usize; 0] = [];
    assert_eq!(drain(&mut stream::iter(none).map(ready).buffer_unordered(0)), (vec![], false));
    assert_eq!(drain(&mut stream::iter(0..3).map(ready).buffer_unordered(0)), (vec![], false));
}

#[test]
fn twin_futures_buffered_of_zero_hangs() {
    use futures_buffered::BufferedStreamExt;

    let none: [usize; 0] = [];
    assert_eq!(drain(&mut stream::iter(none).map(ready).buffered_unordered(0)), (vec![], false));
    assert_eq!(drain(&mut stream::iter(0..3).map(ready).buffered_unordered(0)), (vec![], false));
}

// Row: after a panic the slot is lost and the stream never ends.

/// What comes out, with a `None` for each panic, and whether it has come to the end.
fn drain_through_panics<St: Stream + Unpin>(mut stream: St) -> (Vec<Option<St::Item>>, bool) {
    let mut all = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| drain(&mut stream.by_ref().take(1)))) {
            Ok((items, has_ended)) if items.is_empty() => return (all, has_ended),
            Ok((items, _)) => all.extend(items.into_iter().map(Some)),
            Err(_) => all.push(None),
        }
    }
}

fn panic_at_first(gates: &Gates) -> impl Fn(usize) -> future::Either<Gate, Boom> + use<> {
    let gates = gates.clone();
    move |item| if item == 0 { future::Either::Right(Boom) } else { future::Either::Left(gates.gate(item)) }
}

struct Boom;

impl Future for Boom {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        resume_unwind(Box::new("boom"))
    }
}

fn a_panic_costs_no_slot<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    (0..4).for_each(|item| gates.open(item));
    let stream = (0..4).pool_map(1, panic_at_first(&gates)).with_set(set());
    assert_eq!(drain_through_panics(stream), (vec![None, Some(1), Some(2), Some(3)], true));
}

#[test]
fn twin_buffer_unordered_continues_after_a_panic() {
    let gates = Gates::default();
    (0..4).for_each(|item| gates.open(item));
    let stream = stream::iter(0..4).map(panic_at_first(&gates)).buffer_unordered(1);
    assert_eq!(drain_through_panics(stream), (vec![None, Some(1), Some(2), Some(3)], true));
    let stream = stream::iter(0..4).map(panic_at_first(&gates)).buffered(1);
    assert_eq!(drain_through_panics(stream), (vec![None], false));
}

#[test]
fn twin_futures_buffered_loses_a_slot_with_a_panic() {
    use futures_buffered::BufferedStreamExt;

    let gates = Gates::default();
    (0..4).for_each(|item| gates.open(item));
    let stream = stream::iter(0..4).map(panic_at_first(&gates)).buffered_unordered(1);
    assert_eq!(drain_through_panics(stream), (vec![None], false));
}

// Row: the limit is not kept.

fn the_limit_is_kept<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut pool = Pool::with_set(3, set());
    assert_eq!(pool.map_n(0..20, gates.all()).len(), 20);
    for item in 0..20 {
        assert_eq!(drain(&mut pool), (vec![], false));
        assert_eq!(gates.active(), (item..20.min(item + 3)).collect::<Vec<_>>());
        gates.open(item);
        assert!(poll_next(&mut pool).is_ready());
    }
    assert_eq!(drain(&mut pool), (vec![], true));
}

// Row: cancelling a queued item leaves it in its place, or never settles its handle.

fn a_cancelled_item_leaves_its_place_in_the_queue_at_once<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut pool = Pool::with_set(1, set());
    let keys: Vec<_> = pool.map_n(0..4, gates.all()).collect();
    assert_eq!(drain(&mut pool), (vec![], false));
    let futures = Rc::strong_count(&gates.0);
    assert!(pool.cancel(keys[1]) && pool.cancel(keys[2]));
    assert_eq!((pool.waiting(), pool.active(), Rc::strong_count(&gates.0)), (1, 1, futures - 2));
    // Settled: whoever asks for one gets an answer immediately.
    assert_eq!((run(pool.wait(keys[1])), pool.take_result(keys[2]), pool.cancel(keys[1])), (None, None, false));
    // The next in the queue is the next to start.
    gates.open(0);
    assert_eq!(drain(&mut pool), (vec![(keys[0], 0)], false));
    assert_eq!(gates.active(), [3]);
    gates.open(3);
    assert_eq!(drain(&mut pool), (vec![(keys[3], 3)], true));
    assert_eq!((gates.polls(1), gates.polls(2)), (0, 0));
}

// Row: fail-fast waits for everything, or "all has really stopped" cannot be known.

#[test]
fn when_fail_fast_gives_its_error_everything_has_stopped() {
    let gates = Gates::default();
    let steps = gates.all();
    let failing = |item| {
        let gate = steps(item);
        async move { if gate.await == 2 { Err("two") } else { Ok(()) } }
    };
    let mut all = Box::pin(IntoFuture::into_future((0..9).pool_map(4, failing).fail_fast()));
    assert!(common::poll(&mut all).is_pending());
    assert_eq!(gates.active(), [0, 1, 2, 3]);
    gates.open(2);
    assert_eq!(common::poll(&mut all), Poll::Ready(Err("two")));
    assert_eq!(gates.active(), []);
}

#[test]
fn twin_try_buffer_unordered_gives_its_error_while_the_others_are_held() {
    let gates = Gates::default();
    let steps = gates.all();
    let failing = |item| {
        let gate = steps(item);
        async move { if gate.await == 2 { Err("two") } else { Ok(()) } }
    };
    let mut all = Box::pin(stream::iter((0..9).map(Ok)).map_ok(failing).try_buffer_unordered(4));
    assert!(poll_next(&mut all).is_pending());
    gates.open(2);
    assert_eq!(poll_next(&mut all), Poll::Ready(Some(Err("two"))));
    assert_eq!(gates.active(), [0, 1, 3]);
}

// Row: names that clash when several extension traits are imported.

#[test]
#[allow(unused_imports)] // that they are imported is the point
fn the_names_coexist_with_those_of_other_extension_traits() {
    use futures::prelude::*;
    use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
    use futures_buffered::{BufferedStreamExt as _, BufferedTryStreamExt as _, IterExt as _};
    use futures_pool::{IterPoolExt as _, StreamPoolExt as _};

    let lengths = run(async { ["a", "bc"].iter().pool_map(2, async |word| word.len()).await });
    assert_eq!(lengths, [1, 2]);
    let stages = stream::iter([1, 2]).pool_map(2, async |x| x * 2).pool_map(2, async |x| x + 1).max_finished(3);
    assert_eq!(run(stages.unordered().collect::<Vec<_>>()), [3, 5]);
    // `StreamExt` has a `catch_unwind` too, of another type.
    let caught: Vec<Result<i32, Panic>> = run(stream::iter([1]).pool_map(2, ready).catch_unwind().collect());
    assert!(caught[0].is_ok());
    // And the pool's own methods are not taken over by those that take a stream by value.
    let mut pool = Pool::new(2);
    let key = pool.spawn_n(ready(7));
    assert_eq!(run(pool.wait(key)), Some(7));
    assert_eq!(run(pool.map_all([1, 2], ready)), [1, 2]);
    assert_eq!(run(pool.next()), None);
}

// Row: removing a future from a `FuturesUnordered` leaves a tombstone that still counts and never ends.

fn a_future_that_was_removed_leaves_no_husk<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut pool = Pool::with_set(3, set());
    let keys: Vec<_> = pool.map_n(0..3, gates.all()).collect();
    assert_eq!(drain(&mut pool), (vec![], false));
    assert!(pool.cancel(keys[1]));
    assert_eq!((pool.active(), pool.size_hint(), gates.active()), (2, (2, Some(2)), vec![0, 2]));
    gates.open(0);
    assert_eq!(drain(&mut pool), (vec![(keys[0], 0)], false));
    assert!(pool.cancel(keys[2]));
    assert_eq!(drain(&mut pool), (vec![], true));
    // Its place can be taken again.
    let _ = pool.map_n(3..6, gates.all());
    assert_eq!(drain(&mut pool), (vec![], false));
    assert_eq!(gates.active(), [3, 4, 5]);
}

#[test]
fn twin_futures_unordered_keeps_a_husk() {
    let gates = Gates::default();
    let mut tombstones: FuturesUnordered<_> = [future::OptionFuture::from(Some(gates.gate(0)))].into_iter().collect();
    assert!(poll_next(&mut tombstones).is_pending());
    tombstones.iter_mut().for_each(|tombstone| *tombstone = future::OptionFuture::from(None));
    assert_eq!((drain(&mut tombstones), tombstones.len()), ((vec![], false), 1));
}

// Row: per-wake cost proportional to size.

fn a_wake_up_in_a_pool_of_1024_polls_one_future<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut stream = (0..1024).pool_map(1024, gates.all()).with_set(set()).unordered();
    assert_eq!(drain(&mut stream), (vec![], false));
    for item in [1023, 0, 512, 63, 64] {
        let before = gates.all_polls();
        gates.open(item);
        assert_eq!(drain(&mut stream), (vec![item], false));
        assert_eq!(gates.all_polls(), before + 1);
        // And a poll without a wake-up polls none.
        assert!(poll_next(&mut stream).is_pending());
        assert_eq!(gates.all_polls(), before + 1);
    }
}

fn a_wake_up_in_a_keyed_pool_of_1024_polls_one_future<S: ActiveSet>(set: impl Fn() -> S) {
    let gates = Gates::default();
    let mut pool = Pool::with_set(1024, set());
    let keys: Vec<_> = pool.map_n(0..1024, gates.all()).collect();
    assert_eq!(drain(&mut pool), (vec![], false));
    for item in [1023, 0, 512, 63, 64] {
        let before = gates.all_polls();
        gates.open(item);
        assert_eq!(drain(&mut pool), (vec![(keys[item], item)], false));
        assert_eq!(gates.all_polls(), before + 1);
    }
}

#[test]
fn twin_select_all_polls_everything_at_each_wake_up() {
    let gates = Gates::default();
    let mut first = future::select_all((0..1024).map(gates.all()));
    assert!(common::poll(&mut first).is_pending());
    let before = gates.all_polls();
    gates.open(1023);
    assert!(common::poll(&mut first).is_ready());
    assert_eq!(gates.all_polls(), before + 1024);
}
