//! Batches: of a chain, ordered and not, and of an `itermap` on each of the active sets.

mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::future::{pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::{FusedStream, Stream};
use futures_pool::{
    ActiveSet, InlineSet, Pool, Progress, SlotSet, UnorderedSet, iterwait, local_scope, prelude::*, yield_when,
};
use tokio::time::{Duration, Instant, sleep, timeout};

use common::{Wakes, run};

// The forms.

type AnyBatches<'a, T> = dyn FusedStream<Item = Vec<T>> + Unpin + 'a;

/// One of the streams of results that batches can be made of.
trait Form {
    /// Gives the test the batches of these futures' results.
    fn with<F: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        test: impl FnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R;

    /// The same, with a limit in time.
    async fn with_timer<F: Future, D: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        timer: impl FnMut() -> D,
        test: impl AsyncFnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R;
}

struct OrderedChain;

impl Form for OrderedChain {
    fn with<F: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        test: impl FnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        test(&mut pin!(futures.into_iter().pool_map(size, |future| future).batches(when)))
    }

    async fn with_timer<F: Future, D: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        timer: impl FnMut() -> D,
        test: impl AsyncFnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        test(&mut pin!(futures.into_iter().pool_map(size, |future| future).batches(when).timeout(timer))).await
    }
}

struct UnorderedChain;

impl Form for UnorderedChain {
    fn with<F: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        test: impl FnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        test(&mut pin!(futures.into_iter().pool_map(size, |future| future).unordered().batches(when)))
    }

    async fn with_timer<F: Future, D: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        timer: impl FnMut() -> D,
        test: impl AsyncFnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        let results = futures.into_iter().pool_map(size, |future| future).unordered();
        test(&mut pin!(results.batches(when).timeout(timer))).await
    }
}

/// An active set for futures of any type; as a form, an `itermap` on it.
trait Set {
    type Kind: ActiveSet + Default;

    fn pool<F: Future>(size: usize) -> Pool<F, Self::Kind> {
        Pool::with_set(size, Self::Kind::default())
    }
}

struct Slots;

impl Set for Slots {
    type Kind = SlotSet;
}

struct Unordered;

impl Set for Unordered {
    type Kind = UnorderedSet;
}

impl<S: Set> Form for S {
    fn with<F: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        test: impl FnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        let mut pool = S::pool(size);
        test(&mut pin!(pool.itermap(futures, |future| future).batches(when)))
    }

    async fn with_timer<F: Future, D: Future, R>(
        size: usize,
        futures: Vec<F>,
        when: impl FnMut(&F::Output) -> bool,
        timer: impl FnMut() -> D,
        test: impl AsyncFnOnce(&mut AnyBatches<'_, F::Output>) -> R,
    ) -> R {
        let mut pool = S::pool(size);
        test(&mut pin!(pool.itermap(futures, |future| future).batches(when).timeout(timer))).await
    }
}

/// Makes a test of each function named, on each form.
macro_rules! on_each_form {
    ($($name:ident),* $(,)?) => {
        mod ordered_chain {
            $(#[test] fn $name() { super::$name::<super::OrderedChain>(); })*
        }
        mod unordered_chain {
            $(#[test] fn $name() { super::$name::<super::UnorderedChain>(); })*
        }
        mod itermap_on_slot_set {
            $(#[test] fn $name() { super::$name::<super::Slots>(); })*
        }
        mod itermap_on_unordered_set {
            $(#[test] fn $name() { super::$name::<super::Unordered>(); })*
        }
    };
}

/// The same, on a clock that does not advance while anything can be done.
macro_rules! on_each_form_and_a_paused_clock {
    ($($name:ident),* $(,)?) => {
        mod timed_ordered_chain {
            $(#[tokio::test(start_paused = true)] async fn $name() { super::in_time(super::$name::<super::OrderedChain>()).await; })*
        }
        mod timed_unordered_chain {
            $(#[tokio::test(start_paused = true)] async fn $name() { super::in_time(super::$name::<super::UnorderedChain>()).await; })*
        }
        mod timed_itermap_on_slot_set {
            $(#[tokio::test(start_paused = true)] async fn $name() { super::in_time(super::$name::<super::Slots>()).await; })*
        }
        mod timed_itermap_on_unordered_set {
            $(#[tokio::test(start_paused = true)] async fn $name() { super::in_time(super::$name::<super::Unordered>()).await; })*
        }
    };
}

/// Makes a test of each function named, on such a clock.
macro_rules! on_a_paused_clock {
    ($($name:ident),* $(,)?) => {
        mod timed {
            $(#[tokio::test(start_paused = true)] async fn $name() { super::in_time(super::$name()).await; })*
        }
    };
}

/// Makes a test of each function named, on each set.
macro_rules! on_each_set {
    ($($name:ident),* $(,)?) => {
        mod slot_set {
            $(#[test] fn $name() { super::$name::<super::Slots>(); })*
        }
        mod unordered_set {
            $(#[test] fn $name() { super::$name::<super::Unordered>(); })*
        }
    };
}

// Futures under hand control.

struct Hand<T>(Rc<State<T>>);

struct State<T> {
    output: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
    polls: Cell<usize>,
    panics: Cell<bool>,
}

impl<T> Hand<T> {
    fn new() -> Self {
        Self(Rc::new(State {
            output: RefCell::new(None),
            waker: RefCell::new(None),
            polls: Cell::new(0),
            panics: Cell::new(false),
        }))
    }

    fn job(&self) -> impl Future<Output = T> + use<T> {
        let state = Rc::clone(&self.0);
        poll_fn(move |cx| {
            state.polls.set(state.polls.get() + 1);
            state.waker.replace(Some(cx.waker().clone()));
            assert!(!state.panics.get(), "on purpose, in poll");
            state.output.take().map_or(Poll::Pending, Poll::Ready)
        })
    }

    fn wake(&self) {
        let waker = self.0.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn finish(&self, output: T) {
        self.0.output.replace(Some(output));
        self.wake();
    }

    /// Has the next poll panic.
    fn panic(&self) {
        self.0.panics.set(true);
        self.wake();
    }

    fn is_started(&self) -> bool {
        self.0.polls.get() > 0
    }
}

fn hands<T, const N: usize>() -> [Hand<T>; N] {
    std::array::from_fn(|_| Hand::new())
}

fn jobs<T>(hands: &[Hand<T>]) -> Vec<impl Future<Output = T> + use<T>> {
    hands.iter().map(Hand::job).collect()
}

/// Futures that finish at their first poll, and how often they were polled.
fn always_ready(count: u32) -> (Vec<impl Future<Output = u32>>, Rc<Cell<usize>>) {
    let polls = Rc::new(Cell::new(0));
    let future = |output| {
        let polls = Rc::clone(&polls);
        async move {
            polls.set(polls.get() + 1);
            output
        }
    };
    ((0..count).map(future).collect(), Rc::clone(&polls))
}

/// Futures that sleep for so many milliseconds, and return that number.
fn sleepers<const N: usize>(sleeps: [u64; N]) -> Vec<impl Future<Output = u64>> {
    sleeps
        .into_iter()
        .map(async |time| {
            sleep(ms(time)).await;
            time
        })
        .collect()
}

// Polling.

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Polls a stream once, whatever it is.
fn poll_next<St: Stream + Unpin + ?Sized>(stream: &mut St) -> Poll<Option<St::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Gives up after a day of the paused clock, which is soon when nothing else is left to do: a lost wake-up must not hang.
async fn in_time<F: Future>(test: F) -> F::Output {
    timeout(ms(24 * 3_600_000), test).await.expect("nobody will wake it")
}

/// Collects the batches, each with the millisecond in which it came.
async fn timetable<T>(start: Instant, batches: &mut AnyBatches<'_, T>) -> Vec<(u128, Vec<T>)> {
    let mut timetable = Vec::new();
    while let Some(batch) = batches.next().await {
        assert!(!batch.is_empty());
        timetable.push((start.elapsed().as_millis(), batch));
    }
    timetable
}

/// Collects the batches by polling for as long as woken.
#[track_caller]
fn collect<T>(batches: &mut AnyBatches<'_, T>) -> Vec<Vec<T>> {
    // More would be empty ones, without end.
    run(batches.take(10_000).collect())
}

#[track_caller]
fn assert_yields<T: Debug + PartialEq>(batches: &mut AnyBatches<'_, T>, expected: &[T]) {
    match poll_next(batches) {
        Poll::Ready(Some(batch)) => assert_eq!(batch, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[track_caller]
fn assert_ended<T: Debug + PartialEq>(batches: &mut AnyBatches<'_, T>) {
    assert_eq!(poll_next(batches), Poll::Ready(None));
    assert!(batches.is_terminated());
}

#[track_caller]
fn assert_panics<T>(f: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "a panic did not pass through");
}

// The rules.

fn first_completed_yields_as_soon_as_one_has_finished<C: Form>() {
    let hands: [Hand<u32>; 3] = hands();
    C::with(2, jobs(&hands), yield_when::first_completed, |batches| {
        for (output, hand) in (0..).zip(&hands) {
            assert!(poll_next(batches).is_pending());
            hand.finish(output);
            assert_yields(batches, &[output]);
        }
        assert_ended(batches);
    });
}

/// Those that finish as they are started: a freed slot is filled before the batch is handed over, until the bound on results is
/// full, which is when it holds one more than its limit.
fn a_batch_holds_all_that_is_finished_by_then<C: Form>() {
    let (futures, _) = always_ready(10);
    C::with(3, futures, yield_when::first_completed, |batches| {
        let Poll::Ready(Some(batch)) = poll_next(batches) else { panic!("some are finished") };
        assert!(batch.len() >= 4, "{batch:?}");
        let rest = collect(batches).concat();
        assert_eq!([batch, rest].concat(), (0..10).collect::<Vec<_>>());
    });
}

fn first_error_yields_when_an_error_joins_the_batch<C: Form>() {
    let hands: [Hand<Result<u32, u32>>; 5] = hands();
    C::with(5, jobs(&hands), yield_when::first_error, |batches| {
        for output in [Ok(0), Ok(1), Err(2)] {
            assert!(poll_next(batches).is_pending());
            hands[output.unwrap_or(2) as usize].finish(output);
        }
        assert_yields(batches, &[Ok(0), Ok(1), Err(2)]);
        assert!(poll_next(batches).is_pending());
        hands[3].finish(Ok(3));
        assert!(poll_next(batches).is_pending());
        hands[4].finish(Ok(4));
        assert_yields(batches, &[Ok(3), Ok(4)]);
        assert_ended(batches);
    });
}

/// Many times what the size and the bound on results allow, so that a batch under way that counted would stop everything.
fn all_completed_yields_once_at_the_end_however_many_there_are<C: Form>() {
    let (futures, _) = always_ready(1000);
    C::with(2, futures, yield_when::all_completed, |batches| {
        assert_eq!(collect(batches), [(0..1000).collect::<Vec<_>>()]);
    });
}

fn a_rule_of_ones_own_may_keep_count<C: Form>() {
    let hands: [Hand<u32>; 5] = hands();
    let mut count = 0;
    let every_second = |_: &u32| {
        count += 1;
        count % 2 == 0
    };
    C::with(1, jobs(&hands), every_second, |batches| {
        for (i, expected) in [None, Some([0, 1]), None, Some([2, 3])].into_iter().enumerate() {
            assert!(poll_next(batches).is_pending());
            hands[i].finish(u32::try_from(i).unwrap());
            if let Some(expected) = expected {
                assert_yields(batches, &expected);
            }
        }
        hands[4].finish(4);
        assert_yields(batches, &[4]);
        assert_ended(batches);
    });
}

fn the_rule_is_asked_of_each_result_once_as_it_joins_the_batch<C: Form>() {
    let hands: [Hand<u32>; 4] = hands();
    let asked = RefCell::new(Vec::new());
    let ask = |&output: &u32| {
        asked.borrow_mut().push(output);
        false
    };
    C::with(2, jobs(&hands), ask, |batches| {
        for (output, hand) in (0..).zip(&hands) {
            assert!(poll_next(batches).is_pending());
            assert!(poll_next(batches).is_pending());
            assert!(asked.borrow().iter().copied().eq(0..output));
            hand.finish(output);
        }
        assert_yields(batches, &[0, 1, 2, 3]);
    });
    assert_eq!(*asked.borrow(), [0, 1, 2, 3]);
}

fn an_empty_source_gives_no_batch<C: Form>() {
    C::with(2, jobs::<u32>(&[]), yield_when::all_completed, |batches| {
        assert_ended(batches);
    });
}

fn slots_are_refilled_while_a_batch_is_under_way<C: Form>() {
    let hands: [Hand<u32>; 8] = hands();
    C::with(2, jobs(&hands), yield_when::all_completed, |batches| {
        for finished in 0..8 {
            assert!(poll_next(batches).is_pending());
            let started = hands.iter().filter(|hand| hand.is_started()).count();
            assert_eq!(started, usize::min(finished + 2, 8));
            hands[finished].finish(0);
        }
        assert_yields(batches, &[0; 8]);
    });
}

/// And its slots are full by the time that the batch is handed over.
fn slots_are_refilled_before_a_batch_is_handed_over<C: Form>() {
    let hands: [Hand<u32>; 3] = hands();
    C::with(1, jobs(&hands), yield_when::first_completed, |batches| {
        assert!(poll_next(batches).is_pending());
        hands[0].finish(0);
        assert_yields(batches, &[0]);
        assert!(hands[1].is_started() && !hands[2].is_started());
    });
}

fn the_size_hint_bounds_the_number_of_batches<C: Form>() {
    for every in 1..=5 {
        let (futures, _) = always_ready(10);
        let when = |output: &u32| (output + 1) % every == 0;
        C::with(1, futures, when, |batches| {
            let mut hints = Vec::new();
            for calls in 0.. {
                assert!(calls < 1000, "never ends");
                hints.push(batches.size_hint());
                match poll_next(batches) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => break,
                    Poll::Pending => assert!(hints.pop().is_some()),
                }
            }
            for (left, (lower, upper)) in (0..hints.len()).rev().zip(hints) {
                assert!(lower <= left && left <= upper.unwrap(), "{left} are left, and the hint is {lower}..{upper:?}");
            }
        });
    }
}

fn a_batch_stream_is_fused<C: Form>() {
    let (futures, _) = always_ready(1);
    C::with(1, futures, yield_when::all_completed, |batches| {
        assert!(!batches.is_terminated());
        assert_yields(batches, &[0]);
        for _ in 0..3 {
            assert_ended(batches);
        }
    });
}

fn a_finished_future_wakes_the_task_that_waits_for_a_batch<C: Form>() {
    let hands: [Hand<u32>; 1] = hands();
    C::with(1, jobs(&hands), yield_when::all_completed, |mut batches| {
        let (wakes, task) = Wakes::new();
        assert!(Pin::new(&mut batches).poll_next(&mut Context::from_waker(&task)).is_pending());
        let before = wakes.count();
        hands[0].finish(0);
        assert!(wakes.count() > before);
        assert_yields(batches, &[0]);
    });
}

// Coming up for air.

/// One poll of the stream polls at most 64 futures, and returns; pending, only with the task woken.
#[track_caller]
fn assert_comes_up_for_air<T>(mut batches: &mut AnyBatches<'_, T>, polls: &Cell<usize>, total: usize) {
    let (wakes, task) = Wakes::new();
    for calls in 0.. {
        assert!(calls < 10_000, "never ends");
        let before = (polls.get(), wakes.count());
        let poll = Pin::new(&mut batches).poll_next(&mut Context::from_waker(&task));
        let polled = polls.get() - before.0;
        assert!(polled <= 64, "{polled} polls in one call");
        match poll {
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => break,
            Poll::Pending => assert!(wakes.count() > before.1, "pending, and nothing will wake it"),
        }
    }
    assert_eq!(polls.get(), total);
}

fn a_batch_that_is_always_ready_to_grow_comes_up_for_air<C: Form>() {
    for size in [1, 10, 1000] {
        let (futures, polls) = always_ready(1000);
        C::with(size, futures, yield_when::all_completed, |batches| {
            assert_comes_up_for_air(batches, &polls, 1000);
        });
    }
}

fn a_timed_batch_that_is_always_ready_to_grow_comes_up_for_air<C: Form>() {
    let (futures, polls) = always_ready(1000);
    run(C::with_timer(10, futures, yield_when::all_completed, pending::<()>, async |batches| {
        assert_comes_up_for_air(batches, &polls, 1000);
    }));
}

fn a_timer_that_always_fires_at_once_comes_up_for_air_and_yields_no_empty_batch<C: Form>() {
    let hands: [Hand<u32>; 1] = hands();
    let timers = Cell::new(0);
    let new_timer = || {
        timers.set(timers.get() + 1);
        assert!(timers.get() < 1000, "hangs");
        ready(())
    };
    run(C::with_timer(1, jobs(&hands), yield_when::all_completed, new_timer, async |mut batches| {
        let (wakes, task) = Wakes::new();
        for _ in 0..3 {
            let before = wakes.count();
            assert!(Pin::new(&mut batches).poll_next(&mut Context::from_waker(&task)).is_pending());
            assert!(wakes.count() > before, "the next timer fires immediately, and nobody will look at it");
        }
        hands[0].finish(7);
        assert_yields(batches, &[7]);
        assert_ended(batches);
    }));
}

/// They use up all the polls of each call.
fn futures_that_are_always_woken_do_not_keep_the_timer_from_firing<C: Form>() {
    let done = Hand::new();
    done.finish(7);
    let timer = Rc::new(Hand::<()>::new());
    let mut futures: Vec<Pin<Box<dyn Future<Output = u32>>>> = vec![Box::pin(done.job())];
    for _ in 0..100 {
        futures.push(Box::pin(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
    }
    let new_timer = || timer.job();
    run(C::with_timer(200, futures, yield_when::all_completed, new_timer, async |batches| {
        for _ in 0..10 {
            assert!(poll_next(batches).is_pending());
        }
        timer.finish(());
        assert_yields(batches, &[7]);
    }));
}

// Nothing is lost.

/// Whichever result the rule panics over, of those that it is sure to be asked of.
fn a_rule_that_panics_loses_nothing<C: Form>() {
    for victim in 0..3 {
        let (futures, _) = always_ready(5);
        let mut has_panicked = false;
        let when = |&output: &u32| {
            assert!(output != victim || mem::replace(&mut has_panicked, true), "on purpose");
            output == 2
        };
        C::with(2, futures, when, |batches| {
            let mut outputs = Vec::new();
            let mut calls = 0;
            while !batches.is_terminated() {
                calls += 1;
                assert!(calls < 100, "stuck with {outputs:?}");
                let poll = catch_unwind(AssertUnwindSafe(|| poll_next(batches)));
                if let Ok(Poll::Ready(Some(batch))) = poll {
                    assert!(!batch.is_empty());
                    outputs.extend(batch);
                }
            }
            assert_eq!(outputs, [0, 1, 2, 3, 4], "the rule has panicked over {victim}");
        });
        assert!(has_panicked);
    }
}

fn a_future_that_panics_loses_nothing_but_itself<C: Form>() {
    let hands: [Hand<u32>; 4] = hands();
    C::with(2, jobs(&hands), yield_when::all_completed, |batches| {
        assert!(poll_next(batches).is_pending());
        hands[0].finish(0);
        assert!(poll_next(batches).is_pending());
        hands[1].panic();
        assert_panics(|| poll_next(batches));
        assert!(poll_next(batches).is_pending());
        hands[2].finish(2);
        hands[3].finish(3);
        let [batch] = &mut collect(batches)[..] else { panic!("it ends with one batch") };
        batch.sort_unstable();
        assert_eq!(*batch, [0, 2, 3]);
    });
}

/// When the first timer is made, and when the next one is made since a batch is handed over.
fn a_timer_closure_that_panics_loses_nothing<C: Form>() {
    for victim in 1..=2 {
        let hands: [Hand<u32>; 2] = hands();
        let mut timers = 0;
        let new_timer = || {
            timers += 1;
            assert!(timers != victim, "on purpose");
            pending::<()>()
        };
        run(C::with_timer(2, jobs(&hands), yield_when::first_completed, new_timer, async |batches| {
            hands[0].finish(0);
            assert_panics(|| poll_next(batches));
            let mut outputs = Vec::new();
            if let Poll::Ready(Some(batch)) = poll_next(batches) {
                outputs.extend(batch);
            }
            hands[1].finish(1);
            outputs.extend(collect(batches).concat());
            assert_eq!(outputs, [0, 1], "timer {victim}");
        }));
    }
}

/// The rule has said so, and will not be asked again.
fn a_batch_that_was_due_when_a_timer_closure_panicked_is_yielded_by_the_next_poll<C: Form>() {
    let hands: [Hand<u32>; 2] = hands();
    let mut timers = 0;
    let new_timer = || {
        timers += 1;
        assert!(timers != 2, "on purpose");
        pending::<()>()
    };
    run(C::with_timer(2, jobs(&hands), yield_when::first_completed, new_timer, async |batches| {
        assert!(poll_next(batches).is_pending());
        hands[0].finish(0);
        assert_panics(|| poll_next(batches));
        assert_yields(batches, &[0]);
    }));
}

fn a_timer_that_panics_loses_nothing<C: Form>() {
    let hands: [Hand<u32>; 2] = hands();
    let timer = Hand::<()>::new();
    run(C::with_timer(
        2,
        jobs(&hands),
        yield_when::all_completed,
        || timer.job(),
        async |batches| {
            hands[0].finish(0);
            assert!(poll_next(batches).is_pending());
            timer.panic();
            assert_panics(|| poll_next(batches));
            timer.0.panics.set(false);
            hands[1].finish(1);
            assert_yields(batches, &[0, 1]);
            assert_ended(batches);
        },
    ));
}

on_each_form! {
    first_completed_yields_as_soon_as_one_has_finished,
    a_batch_holds_all_that_is_finished_by_then,
    first_error_yields_when_an_error_joins_the_batch,
    all_completed_yields_once_at_the_end_however_many_there_are,
    a_rule_of_ones_own_may_keep_count,
    the_rule_is_asked_of_each_result_once_as_it_joins_the_batch,
    an_empty_source_gives_no_batch,
    slots_are_refilled_while_a_batch_is_under_way,
    slots_are_refilled_before_a_batch_is_handed_over,
    the_size_hint_bounds_the_number_of_batches,
    a_batch_stream_is_fused,
    a_finished_future_wakes_the_task_that_waits_for_a_batch,
    a_batch_that_is_always_ready_to_grow_comes_up_for_air,
    a_timed_batch_that_is_always_ready_to_grow_comes_up_for_air,
    a_timer_that_always_fires_at_once_comes_up_for_air_and_yields_no_empty_batch,
    futures_that_are_always_woken_do_not_keep_the_timer_from_firing,
    a_rule_that_panics_loses_nothing,
    a_future_that_panics_loses_nothing_but_itself,
    a_timer_closure_that_panics_loses_nothing,
    a_batch_that_was_due_when_a_timer_closure_panicked_is_yielded_by_the_next_poll,
    a_timer_that_panics_loses_nothing,
}

// The limit in time.

async fn when_the_timer_fires_what_has_finished_is_yielded<C: Form>() {
    let start = Instant::now();
    let every_25 = || sleep(ms(25));
    let batches = C::with_timer(4, sleepers([10, 20, 30, 70]), yield_when::all_completed, every_25, async |batches| {
        timetable(start, batches).await
    });
    assert_eq!(batches.await, [(25, vec![10, 20]), (50, vec![30]), (70, vec![70])]);
}

async fn when_the_timer_fires_and_nothing_has_finished_it_starts_again<C: Form>() {
    let start = Instant::now();
    let every_25 = || sleep(ms(25));
    let batches = C::with_timer(2, sleepers([60, 210]), yield_when::all_completed, every_25, async |batches| {
        timetable(start, batches).await
    });
    assert_eq!(batches.await, [(75, vec![60]), (210, vec![210])]);
}

/// Not when the next one is asked for: the consumer may be away for a while.
async fn the_timer_starts_when_the_batch_before_was_handed_over<C: Form>() {
    let start = Instant::now();
    let every_25 = || sleep(ms(25));
    let jobs = sleepers([10, 30, 40, 100]);
    C::with_timer(4, jobs, yield_when::all_completed, every_25, async |batches| {
        assert_eq!((batches.next().await, start.elapsed()), (Some(vec![10]), ms(25)));
        sleep(ms(20)).await;
        assert_eq!((batches.next().await, start.elapsed()), (Some(vec![30, 40]), ms(50)));
        sleep(ms(70)).await;
        assert_eq!((batches.next().await, start.elapsed()), (Some(vec![100]), ms(120)), "it is long due");
        assert_eq!(batches.next().await, None);
    })
    .await;
}

async fn the_timer_starts_anew_after_a_batch_that_the_rule_has_asked_for<C: Form>() {
    let start = Instant::now();
    let every_25 = || sleep(ms(25));
    let batches = C::with_timer(
        3,
        sleepers([10, 30, 90]),
        |&time| time == 10,
        every_25,
        async |batches| timetable(start, batches).await,
    );
    assert_eq!(batches.await, [(10, vec![10]), (35, vec![30]), (90, vec![90])]);
}

async fn a_timed_batch_stream_ends_with_its_last_result_and_not_with_the_timer<C: Form>() {
    let start = Instant::now();
    for jobs in [vec![], sleepers([10])] {
        let hour = || sleep(ms(3_600_000));
        C::with_timer(1, jobs, yield_when::all_completed, hour, async |batches| {
            timetable(start, batches).await;
            assert!(batches.is_terminated());
            assert_eq!(batches.next().await, None);
        })
        .await;
    }
    assert_eq!(start.elapsed(), ms(10));
}

on_each_form_and_a_paused_clock! {
    when_the_timer_fires_what_has_finished_is_yielded,
    when_the_timer_fires_and_nothing_has_finished_it_starts_again,
    the_timer_starts_when_the_batch_before_was_handed_over,
    the_timer_starts_anew_after_a_batch_that_the_rule_has_asked_for,
    a_timed_batch_stream_ends_with_its_last_result_and_not_with_the_timer,
}

// The chain.

#[test]
fn an_ordered_batch_holds_only_results_whose_turn_has_come() {
    let hands: [Hand<u32>; 4] = hands();
    OrderedChain::with(4, jobs(&hands), yield_when::first_completed, |batches| {
        assert!(poll_next(batches).is_pending());
        hands[1].finish(1);
        assert!(poll_next(batches).is_pending());
        hands[3].finish(3);
        assert!(poll_next(batches).is_pending());
        hands[0].finish(0);
        assert_yields(batches, &[0, 1]);
        assert!(poll_next(batches).is_pending());
        hands[2].finish(2);
        assert_yields(batches, &[2, 3]);
        assert_ended(batches);
    });
}

#[test]
fn an_ordered_rule_is_asked_of_a_result_only_when_its_turn_has_come() {
    let hands: [Hand<Result<u32, u32>>; 2] = hands();
    OrderedChain::with(2, jobs(&hands), yield_when::first_error, |batches| {
        assert!(poll_next(batches).is_pending());
        hands[1].finish(Err(1));
        assert!(poll_next(batches).is_pending());
        hands[0].finish(Ok(0));
        assert_yields(batches, &[Ok(0), Err(1)]);
    });
}

#[test]
fn an_ordered_batch_continues_past_a_future_that_has_panicked() {
    let hands: [Hand<u32>; 3] = hands();
    OrderedChain::with(3, jobs(&hands), yield_when::first_completed, |batches| {
        assert!(poll_next(batches).is_pending());
        hands[1].finish(1);
        assert!(poll_next(batches).is_pending());
        hands[0].panic();
        assert_panics(|| poll_next(batches));
        assert_yields(batches, &[1]);
    });
}

/// There is no result to wait for.
#[test]
fn batches_continue_past_an_item_over_which_the_closure_or_the_source_has_panicked() {
    let closure = (0..5).pool_map(2, |item| {
        assert!(item != 1, "on purpose");
        ready(item)
    });
    let source = (0..5).inspect(|&item| assert!(item != 1, "on purpose"));
    let mut closure = closure.batches(yield_when::all_completed);
    let mut source = source.pool_map(2, ready).batches(yield_when::all_completed);
    let both: [&mut AnyBatches<'_, _>; 2] = [&mut closure, &mut source];
    for batches in both {
        assert_panics(|| poll_next(batches));
        assert_yields(batches, &[0, 2, 3, 4]);
        assert_ended(batches);
    }
}

async fn an_ordered_batch_leaves_behind_at_the_time_limit_what_waits_for_an_earlier_one() {
    let start = Instant::now();
    let every_25 = || sleep(ms(25));
    let jobs = sleepers([10, 40, 20]);
    let batches = OrderedChain::with_timer(3, jobs, yield_when::all_completed, every_25, async |batches| {
        timetable(start, batches).await
    });
    assert_eq!(batches.await, [(25, vec![10]), (40, vec![40, 20])]);
}

fn an_unordered_batch_is_in_the_order_of_finishing<C: Form>() {
    let hands: [Hand<u32>; 4] = hands();
    C::with(4, jobs(&hands), yield_when::all_completed, |batches| {
        for i in [2, 0, 3, 1] {
            assert!(poll_next(batches).is_pending());
            hands[i].finish(u32::try_from(i).unwrap());
        }
        assert_yields(batches, &[2, 0, 3, 1]);
    });
}

#[test]
fn an_unordered_batch_of_a_chain_is_in_the_order_of_finishing() {
    an_unordered_batch_is_in_the_order_of_finishing::<UnorderedChain>();
}

#[test]
fn a_batch_under_way_does_not_count_against_a_max_finished_that_was_set() {
    for max_finished in [0, 1, 5] {
        let all: Vec<_> = (0..1000).collect();
        let ordered = all.iter().copied().pool_map(3, ready).max_finished(max_finished);
        assert_eq!(collect(&mut ordered.batches(yield_when::all_completed)), std::slice::from_ref(&all));
        let unordered = all.iter().copied().pool_map(3, ready).max_finished(max_finished).unordered();
        assert_eq!(collect(&mut unordered.batches(yield_when::all_completed)), [all]);
    }
}

/// With none allowed in the bound on results, there is exactly one by the time that the rule has its say.
#[test]
fn a_batch_takes_along_no_more_than_the_max_finished_allows() {
    let mut batches = (0..5).pool_map(2, ready).max_finished(0).batches(yield_when::first_completed);
    assert_eq!(collect(&mut batches), [[0], [1], [2], [3], [4]]);
}

#[test]
fn batches_of_a_source_that_is_pending_end_when_it_does() {
    let (sender, source) = mpsc::unbounded();
    let mut batches = source.pool_map(2, ready).batches(yield_when::first_error);
    sender.unbounded_send(Ok(1)).unwrap();
    assert!(poll_next(&mut batches).is_pending());
    sender.unbounded_send(Err(2)).unwrap();
    assert_yields(&mut batches, &[Ok(1), Err(2)]);
    sender.unbounded_send(Ok(3)).unwrap();
    assert!(poll_next(&mut batches).is_pending());
    drop(sender);
    assert_yields(&mut batches, &[Ok(3)]);
    assert_ended(&mut batches);
}

async fn the_timer_fires_while_the_source_is_pending() {
    let start = Instant::now();
    let (sender, source) = mpsc::unbounded();
    let batches = source.pool_map(2, ready).batches(yield_when::all_completed).timeout(|| sleep(ms(25)));
    let mut batches = pin!(batches);
    sender.unbounded_send(1).unwrap();
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![1]), ms(25)));
    sender.unbounded_send(2).unwrap();
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![2]), ms(50)));
}

async fn a_timer_that_fires_over_nothing_starts_again_also_while_the_consumer_is_busy() {
    let start = Instant::now();
    let wait = async |t| {
        sleep(ms(t)).await;
        t
    };
    let batches =
        [30, 40, 70].into_iter().pool_map(3, wait).batches(yield_when::all_completed).timeout(|| sleep(ms(25)));
    let mut batches = pin!(batches);
    batches.drive(sleep(ms(35))).await;
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![30, 40]), ms(50)), "at 25, and so again at 50");
    batches.drive(sleep(ms(24))).await;
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![70]), ms(74)), "at the end");
}

async fn a_timer_fires_over_what_a_chain_that_fails_fast_has_so_far() {
    let start = Instant::now();
    let wait = async |t| {
        sleep(ms(t)).await;
        if t < 70 { Ok(t) } else { Err(t) }
    };
    let chain = [30, 40, 70, 99].into_iter().pool_map(4, wait).fail_fast();
    let mut batches = pin!(chain.batches(yield_when::first_error).timeout(|| sleep(ms(25))));
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![Ok(30), Ok(40)]), ms(50)));
    assert_eq!((batches.next().await, start.elapsed()), (Some(vec![Err(70)]), ms(70)));
    assert_eq!(batches.next().await, None);
}

#[test]
fn a_limit_in_time_that_comes_late_forgets_no_batch_that_is_due() {
    let mut batches = (0..9).pool_map(1, ready).max_finished(0).batches(|x| x % 3 == 2);
    let _ = Pin::new(&mut batches).poll_progress(&mut Context::from_waker(Waker::noop()));
    // And one more, as the batch under way does not count against the bound on results.
    assert_eq!(batches.finished(), 4);
    let mut timed = pin!(batches.timeout(pending::<()>));
    assert_eq!(poll_next(&mut timed), Poll::Ready(Some(vec![0, 1, 2, 3])));
}

#[test]
fn batches_of_a_chain_that_fails_fast_end_with_the_error() {
    let hands: [Hand<Result<u32, u32>>; 5] = hands();
    let token = Rc::new(());
    let futures = hands.iter().map(|hand| {
        let (job, token) = (hand.job(), Rc::clone(&token));
        async move {
            let output = job.await;
            drop(token);
            output
        }
    });
    let chain = futures.pool_map(3, |future| future).fail_fast();
    let mut batches = chain.batches(yield_when::first_error);
    assert!(poll_next(&mut batches).is_pending());
    hands[2].finish(Err(2));
    let Poll::Ready(Some(batch)) = poll_next(&mut batches) else { panic!("an error is yielded immediately") };
    assert_eq!(batch.last(), Some(&Err(2)));
    assert_eq!(Rc::strong_count(&token), 1, "all other futures are dropped");
    assert_ended(&mut batches);
}

#[cfg(feature = "std")]
#[test]
fn batches_of_a_chain_that_catches_panics_hold_them_as_errors() {
    let hands: [Hand<u32>; 3] = hands();
    let chain = hands.iter().pool_map(3, Hand::job).catch_unwind();
    let mut batches = chain.batches(yield_when::first_error);
    assert!(poll_next(&mut batches).is_pending());
    hands[0].finish(0);
    assert!(poll_next(&mut batches).is_pending());
    hands[1].panic();
    let Poll::Ready(Some(batch)) = poll_next(&mut batches) else { panic!("it counts as an error") };
    assert_eq!(batch.iter().map(|result| result.as_ref().ok()).collect::<Vec<_>>(), [Some(&0), None]);
}

#[test]
fn batches_have_the_counts_of_their_stream_and_the_batch_under_way_is_finished() {
    let hands: [Hand<u32>; 5] = hands();
    let mut batches = hands.iter().pool_map(2, Hand::job).batches(yield_when::all_completed);
    assert_eq!((batches.size(), batches.active(), batches.finished()), (2, 0, 0));
    assert!(poll_next(&mut batches).is_pending());
    hands[0].finish(0);
    assert!(poll_next(&mut batches).is_pending());
    assert_eq!((batches.size(), batches.active(), batches.finished()), (2, 2, 1));
    let batches = batches.timeout(pending::<()>);
    assert_eq!((batches.size(), batches.active(), batches.finished()), (2, 2, 1), "`timeout` loses nothing");
}

/// Prints nothing, and so do the closures.
struct Mute;

#[test]
fn debug_asks_nothing_of_the_results() {
    let batches = [()].into_iter().pool_map(2, async |()| Mute).batches(|_| true);
    assert!(format!("{batches:?}").contains("size: 2"));
    let timed = batches.timeout(async || ());
    assert!(format!("{timed:?}").contains("size: 2"));
    let mut pool = Pool::new(3);
    assert!(format!("{:?}", pool.itermap([()], async |()| Mute).batches(|_| true)).contains("size: 3"));
}

/// Which compiles only if what they hold is `Send`, and if the compiler can see it.
async fn batches_of_borrowed_items_can_be_awaited_inside_of_a_spawned_task() {
    let task = tokio::spawn(async {
        let words = ["a".to_owned(), "bc".to_owned()];
        let lengths = words.iter().pool_map(2, async |word: &String| {
            sleep(ms(1)).await;
            word.len()
        });
        let timed = lengths.batches(yield_when::all_completed).timeout(|| sleep(ms(25)));
        let mut pool = Pool::new(2);
        let keyed = pool.itermap(words.iter(), async |word: &String| word.len()).batches(yield_when::all_completed);
        (timed.take(9).collect::<Vec<_>>().await, keyed.take(9).collect::<Vec<_>>().await)
    });
    assert_eq!(task.await.unwrap(), (vec![vec![1, 2]], vec![vec![1, 2]]));
}

// The batches of an `itermap`.

fn an_itermap_batch_is_in_the_order_of_finishing<S: Set>() {
    an_unordered_batch_is_in_the_order_of_finishing::<S>();
}

fn itermap_batches_hold_their_own_results_only_while_the_others_make_progress<S: Set>() {
    let mut pool = S::pool(3);
    let hands: [Hand<u32>; 4] = hands();
    let keys = [pool.spawn_n(hands[0].job()), pool.spawn_n(hands[1].job())];
    let mut batches = pool.itermap(&hands[2..], Hand::job).batches(yield_when::first_completed);
    for hand in [0, 1] {
        assert!(poll_next(&mut batches).is_pending());
        hands[hand].finish(u32::try_from(hand).unwrap());
    }
    assert!(poll_next(&mut batches).is_pending());
    for hand in [2, 3] {
        hands[hand].finish(u32::try_from(hand).unwrap());
        assert_yields(&mut batches, &[u32::try_from(hand).unwrap()]);
    }
    assert_ended(&mut batches);
    drop(batches);
    assert_eq!(keys.map(|key| pool.take_result(key)), [Some(0), Some(1)]);
}

#[test]
fn itermap_batches_make_progress_while_none_is_taken() {
    let mut pool = Pool::new(2);
    let mut batches = pin!(pool.itermap(0..9, ready).batches(|&x| x == 1));
    assert_eq!(batches.as_mut().poll_progress(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    assert_eq!(batches.active(), 0);
    assert_eq!(poll_next(&mut batches), Poll::Ready(Some((0..9).collect())));
}

fn itermap_batches_that_are_dropped_leave_the_batch_under_way_in_the_pool<S: Set>() {
    for with_timer in [false, true] {
        let mut pool = S::pool(2);
        let hands: [Hand<u32>; 5] = hands();
        {
            let batches = pool.itermap(&hands, Hand::job).batches(|&output| output == 0);
            let test = |batches: &mut AnyBatches<'_, u32>| {
                for (output, hand) in (0..3).zip(&hands) {
                    assert!(poll_next(batches).is_pending());
                    hand.finish(output);
                    if output == 0 {
                        assert_yields(batches, &[0]);
                    }
                }
                assert!(poll_next(batches).is_pending());
            };
            if with_timer {
                test(&mut pin!(batches.timeout(pending::<()>)));
            } else {
                test(&mut pin!(batches));
            }
        }
        assert_eq!((pool.finished(), pool.active()), (2, 2));
        hands[3].finish(3);
        hands[4].finish(4);
        let mut outputs: Vec<_> = run(pool.map(|(_, output)| output).collect());
        outputs.sort_unstable();
        assert_eq!(outputs, [1, 2, 3, 4]);
    }
}

/// Their stream has given them up, so they count again.
fn what_dropped_batches_leave_counts_against_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let hands: [Hand<u32>; 4] = hands();
    let mut batches = pool.itermap(&hands[..3], Hand::job).batches(yield_when::all_completed);
    for (output, hand) in (0..2).zip(&hands) {
        assert!(poll_next(&mut batches).is_pending());
        hand.finish(output);
    }
    assert!(poll_next(&mut batches).is_pending());
    drop(batches);
    hands[2].finish(2);
    pool.spawn_n(hands[3].job());
    for output in 0..3 {
        let Poll::Ready(Some((_, next))) = poll_next(&mut pool) else { panic!("three have finished") };
        assert_eq!(next, output);
        assert!(!hands[3].is_started(), "{output} was the last result");
    }
    assert!(poll_next(&mut pool).is_pending());
    assert!(hands[3].is_started());
}

fn batches_after_some_that_were_dropped_hold_their_own_results_only<S: Set>() {
    let mut pool = S::pool(3);
    let hands: [Hand<u32>; 3] = hands();
    let mut batches = pool.itermap(&hands[..2], Hand::job).batches(yield_when::all_completed);
    hands[0].finish(0);
    assert!(poll_next(&mut batches).is_pending());
    drop(batches);
    let mut batches = pool.itermap(&hands[2..], Hand::job).batches(yield_when::first_completed);
    hands[1].finish(1);
    assert!(poll_next(&mut batches).is_pending());
    hands[2].finish(2);
    assert_yields(&mut batches, &[2]);
    assert_ended(&mut batches);
    drop(batches);
    assert_eq!(run(pool.map(|(_, output)| output).collect::<Vec<_>>()), [0, 1]);
}

fn itermap_batches_ignore_a_full_max_finished_of_other_results<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let _ = pool.map_n(0..5, ready);
    run(pool.join());
    let mut batches = pool.itermap(5..8, ready).batches(yield_when::all_completed);
    assert_eq!(collect(&mut batches), [[5, 6, 7]]);
}

on_each_set! {
    an_itermap_batch_is_in_the_order_of_finishing,
    itermap_batches_hold_their_own_results_only_while_the_others_make_progress,
    itermap_batches_that_are_dropped_leave_the_batch_under_way_in_the_pool,
    what_dropped_batches_leave_counts_against_the_max_finished,
    batches_after_some_that_were_dropped_hold_their_own_results_only,
    itermap_batches_ignore_a_full_max_finished_of_other_results,
}

on_a_paused_clock! {
    an_ordered_batch_leaves_behind_at_the_time_limit_what_waits_for_an_earlier_one,
    the_timer_fires_while_the_source_is_pending,
    a_timer_that_fires_over_nothing_starts_again_also_while_the_consumer_is_busy,
    a_timer_fires_over_what_a_chain_that_fails_fast_has_so_far,
    batches_of_borrowed_items_can_be_awaited_inside_of_a_spawned_task,
}

#[test]
fn results_that_were_there_before_make_room_when_they_join_a_batch() {
    let mut stream = (0..10).pool_map(2, ready);
    run(stream.drive(common::yield_now()));
    assert_eq!((stream.active(), stream.finished()), (0, 3));
    // Nothing is active: if the slots were not filled once more, nothing would ever wake the task.
    let mut batches = stream.batches(yield_when::all_completed);
    assert_eq!(run(batches.next()), Some((0..10).collect()));
}

/// A future that was woken together with another one has its turn, though many new ones finish immediately in between,
/// and all join the batch.
fn woken_alongside_one_that_finishes<S: ActiveSet>(set: S) {
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| futures::channel::oneshot::channel()).unzip();
    let mut items: Vec<Answer> = receivers.into_iter().map(Answer::Later).collect();
    items.reverse();
    let items = Rc::new(RefCell::new(items));
    // After the first two it is pending, and does not wake: the pool hears of what comes later when it is woken itself.
    let source = futures::stream::poll_fn({
        let items = Rc::clone(&items);
        move |_| items.borrow_mut().pop().map_or(Poll::Pending, |item| Poll::Ready(Some(item)))
    });
    let batches = source.pool_map(4, |answer| answer).unordered().max_finished(usize::MAX).with_set(set);
    let mut batches = pin!(batches.batches(|&output| output == 7));
    assert!(batches.as_mut().poll_next(cx).is_pending());
    items.borrow_mut().extend((0..16).map(|_| Answer::Now(100)));
    for (sender, output) in senders.into_iter().zip([1, 7]) {
        sender.send(output).unwrap();
    }
    let mut seen = 0;
    loop {
        assert!(wakes.count() > seen, "pending, and nothing will wake it; active: {}", batches.active());
        seen = wakes.count();
        if let Poll::Ready(batch) = batches.as_mut().poll_next(cx) {
            assert!(batch.unwrap().contains(&7));
            break;
        }
    }
}

enum Answer {
    Now(u8),
    Later(futures::channel::oneshot::Receiver<u8>),
}

impl Future for Answer {
    type Output = u8;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u8> {
        match &mut *self {
            Self::Now(output) => Poll::Ready(*output),
            Self::Later(receiver) => Pin::new(receiver).poll(cx).map(Result::unwrap),
        }
    }
}

#[test]
fn a_woken_future_has_its_turn_though_results_join_the_batch() {
    woken_alongside_one_that_finishes(SlotSet);
    woken_alongside_one_that_finishes(UnorderedSet);
    woken_alongside_one_that_finishes(InlineSet::<4>);
}

// At most so many.

/// How many results each batch has.
fn lens<T>(batches: impl Stream<Item = Vec<T>>) -> Vec<usize> {
    run(batches.map(|batch| batch.len()).collect())
}

#[test]
fn a_batch_has_at_most_so_many_results_and_what_is_beyond_is_the_next_ones() {
    let twenty = [10; 20];
    let chain = || (0..200).pool_map(64, ready);
    assert_eq!(lens(chain().batches(|_| false).at_most(10)), twenty);
    assert_eq!(lens(chain().unordered().batches(|_| false).at_most(10)), twenty);
    assert_eq!(lens(chain().with_set(UnorderedSet).batches(|_| false).at_most(10)), twenty);
    assert_eq!(lens(chain().batches(|_| false).timeout(pending::<()>).at_most(10)), twenty);
    assert_eq!(lens(chain().batches(|_| false).at_most(10).timeout(pending::<()>)), twenty);
    assert_eq!(
        lens((0..200).pool_map(64, |n| ready(Ok::<_, ()>(n))).fail_fast().batches(|_| false).at_most(10)),
        twenty
    );
    assert_eq!(lens(Pool::new(64).itermap(0..200, ready).batches(|_| false).at_most(10)), twenty);
    assert_eq!(lens(Pool::with_set(64, UnorderedSet).itermap(0..200, ready).batches(|_| false).at_most(10)), twenty);
    let (of_scope, of_handles) = run(local_scope(64, async |pool| {
        let of_scope = pool.itermap(0..200, ready).batches(|_| false).at_most(10);
        let of_scope: Vec<_> = of_scope.map(|batch| batch.len()).collect().await;
        let of_handles = iterwait(pool.map_n(0..200, ready)).batches(|_| false).at_most(10);
        (of_scope, of_handles.map(|batch| batch.len()).collect::<Vec<_>>().await)
    }));
    assert_eq!((&of_scope[..], &of_handles[..]), (&twenty[..], &twenty[..]));

    // Whatever the rule: what has finished comes along up to the limit.
    assert_eq!(lens(chain().batches(yield_when::first_completed).at_most(7)).into_iter().max(), Some(7));
    let every_fourth = |n: &usize| n % 4 == 3;
    assert_eq!(lens((0..10).pool_map(1, ready).max_finished(0).batches(every_fourth).at_most(3)), [3, 1, 3, 1, 2]);
    assert_eq!(lens((0..3).pool_map(2, ready).batches(|_| false).at_most(0)), [1, 1, 1], "0 is taken as 1");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_yielded_as_soon_as_it_has_so_many() {
    let start = Instant::now();
    let work = async |t: u64| {
        sleep(Duration::from_millis(t)).await;
        t
    };
    let at = |batch: Vec<u64>| (start.elapsed().as_millis(), batch);
    let stream = [10, 20, 30, 40, 50].into_iter().pool_map(5, work).batches(yield_when::all_completed).at_most(2);
    let batches: Vec<_> = stream.map(at).collect().await;
    assert_eq!(batches, [(20, vec![10, 20]), (40, vec![30, 40]), (50, vec![50])]);
}

#[tokio::test(start_paused = true)]
async fn the_count_starts_anew_with_each_batch_also_with_one_that_the_timer_ended() {
    let work = async |t: u64| {
        sleep(Duration::from_millis(t)).await;
        t
    };
    let timer = || sleep(Duration::from_millis(45));
    let times = [10, 20, 30, 70, 80, 81, 200];
    let batches = [vec![10, 20], vec![30], vec![70, 80], vec![81], vec![200]];
    let all = yield_when::all_completed;
    let stream = times.into_iter().pool_map(7, work).batches(all).at_most(2).timeout(timer);
    assert_eq!(stream.collect::<Vec<_>>().await, batches);
    let stream = times.into_iter().pool_map(7, work).unordered().batches(all).timeout(timer).at_most(2);
    assert_eq!(stream.collect::<Vec<_>>().await, batches);
    let mut pool = Pool::new(7);
    let stream = pool.itermap(times, work).batches(all).timeout(timer).at_most(2);
    assert_eq!(stream.collect::<Vec<_>>().await, batches);
}

#[test]
fn what_a_limited_batch_leaves_stays_in_the_pool() {
    let mut pool = Pool::new(8);
    let keys: Vec<_> = pool.map_n(0..3, ready).collect();
    {
        let mut batches = pool.itermap(3..8, ready).batches(yield_when::all_completed).at_most(2);
        assert_eq!(run(batches.next()), Some(vec![3, 4]));
        assert_eq!(batches.size_hint(), (2, Some(3)));
    }
    let mut left: Vec<_> = run(pool.collect());
    left.sort();
    assert_eq!(left.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 1, 2, 5, 6, 7]);
    assert_eq!(left[0].0, keys[0]);
}

#[test]
fn after_a_panic_of_the_rule_or_with_a_limit_set_late_no_batch_is_too_large() {
    let mut panics = 0;
    let rule = |n: &usize| {
        panics += usize::from(*n == 2);
        assert!(*n != 2 || panics != 1);
        false
    };
    let mut batches = (0..7).pool_map(8, ready).batches(rule).at_most(3);
    assert!(catch_unwind(AssertUnwindSafe(|| run(batches.next()))).is_err());
    assert_eq!(run(batches.collect::<Vec<_>>()), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);

    let mut batches = (0..7).pool_map(8, async |n| if n > 4 { pending().await } else { n }).batches(|_| false);
    assert!(common::poll_next(&mut batches).is_pending()); // five are gathered
    let mut batches = batches.at_most(2);
    assert_eq!(run(batches.next()), Some(vec![0, 1]));
    assert_eq!(run(batches.next()), Some(vec![2, 3]));
    assert!(common::poll_next(&mut batches).is_pending());
}

#[test]
fn with_a_limit_an_endless_source_is_held_within_it() {
    let started = Cell::new(0);
    let count = |n| {
        started.set(started.get() + 1);
        ready(n)
    };
    let mut batches = (0..).pool_map(4, count).batches(yield_when::all_completed).at_most(10);
    for taken in (10..200).step_by(10) {
        assert_eq!(run(batches.next()).map(|batch: Vec<usize>| batch.len()), Some(10));
        assert!(started.get() <= taken + 5, "{} started, {taken} taken", started.get());
    }
    // While the consumer is busy, one batch is made ready, and the bound is for what comes after it.
    for _ in 0..20 {
        let _ = Pin::new(&mut batches).poll_progress(&mut Context::from_waker(Waker::noop()));
    }
    assert_eq!((started.get(), batches.finished()), (190 + 15, 15));
}
