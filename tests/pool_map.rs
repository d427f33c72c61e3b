//! `pool_map` on iterators and on streams: what the chain form promises.
//!
//! The futures are under hand control ([`Lab`]), and what has become of them is read from their own log, not from the
//! counts of the stream under test. Tests that take a `set` run on both active sets.

#[allow(clippy::similar_names)]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::{pending, ready};
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use std::{iter, thread, vec};

use common::{Wakes, poll_next};
use futures::channel::oneshot;
use futures::future::{self, FutureExt, LocalBoxFuture};
use futures::stream::{self, FusedStream, Stream, StreamExt};
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Panic, PoolMap, UnorderedSet, yield_when};
use tokio::time::{Instant, sleep, timeout};

/// The most futures that one call may poll.
const POLLS: usize = 64;

crate::on_both_sets! {
    never_more_than_size_futures_are_active_and_never_fewer_while_items_wait,
    the_law_holds_when_several_finish_between_two_polls,
    the_law_holds_on_a_stream_that_is_pending_now_and_then,
    unordered_gives_results_as_they_finish,
    an_item_is_pulled_only_when_there_is_a_slot_for_it,
    a_freed_slot_is_filled_and_polled_before_the_result_is_handed_over,
    ordered_with_a_slow_head_keeps_all_slots_busy,
    sixteen_results_for_each_slot_are_held_behind_a_slow_head,
    awaited_results_are_held_without_a_bound_behind_a_slow_head,
    the_default_max_finished_is_the_size,
    max_finished_zero_refills_only_once_the_last_result_is_taken,
    max_finished_n_starts_while_at_most_n_results_are_held,
    a_max_finished_counts_results_that_wait_for_their_turn,
    max_finished_max_stops_at_nothing_but_the_polls_of_one_call,
    growing_wakes_the_task_that_last_polled_and_fills_the_new_slots,
    shrinking_lets_the_surplus_finish,
    a_wake_up_reaches_the_task_that_polled_last,
    a_wake_up_in_the_middle_of_parking_is_not_lost,
    a_wake_up_of_one_future_by_another_is_not_lost,
    a_wake_up_by_the_source_or_the_closure_is_not_lost,
    one_poll_polls_at_most_64_futures_it_starts_then_wakes_itself,
    one_poll_polls_at_most_64_woken_futures_then_wakes_itself,
    await_on_ready_futures_comes_up_for_air,
    a_woken_future_is_not_starved_by_those_that_wake_themselves,
    a_waiting_item_is_not_starved_by_those_that_wake_themselves,
    an_active_future_is_not_starved_by_items_that_are_always_ready,
    an_active_future_is_not_starved_behind_a_stuck_head,
    a_panic_of_a_future_at_its_first_poll_passes_through_and_the_rest_continues,
    a_panic_of_a_woken_future_passes_through_and_the_rest_continues,
    a_panic_of_the_closure_passes_through_and_the_rest_continues,
    a_panic_of_the_source_passes_through_and_the_rest_continues,
    after_a_panic_the_slot_is_free_and_filled_again,
    a_destructor_that_panics_at_the_first_poll_loses_no_output,
    a_destructor_that_panics_does_not_save_the_others_from_being_dropped,
    a_destructor_that_panics_does_not_hold_up_fail_fast,
    every_item_may_panic,
    catch_unwind_makes_an_item_of_a_panic_at_any_poll,
    catch_unwind_makes_an_item_of_a_destructor_that_panics,
    fail_fast_yields_the_first_error_to_happen_ahead_of_any_order,
    fail_fast_yields_an_error_at_the_first_poll_and_starts_nothing_more,
    fail_fast_without_an_error_is_like_any_other,
    size_hint_is_exact_all_along,
    dropping_the_stream_at_any_point_drops_every_future_once,
    dropping_the_await_at_any_point_drops_every_future_once,
    futures_that_wake_one_another_when_dropped_are_harmless,
    late_wakers_are_harmless,
    a_late_waker_does_no_harm_to_the_next_future_in_its_slot,
}

/// Futures under hand control, one for each item, and the log of what becomes of them.
#[derive(Clone, Default)]
struct Lab(Rc<RefCell<Log>>);

#[derive(Default)]
struct Log {
    /// What the polls of an item's future do from now on: pending without an entry, unless there is one for all.
    fates: HashMap<usize, Fate>,
    fate_of_all: Option<Fate>,
    /// The items whose futures panic when they are dropped.
    bombs: BTreeSet<usize>,
    /// The waker that each future was last polled with, while pending.
    wakers: HashMap<usize, Waker>,
    /// The items whose futures were made, in that order.
    made: Vec<usize>,
    /// The items of all polls, in their order.
    polled: Vec<usize>,
    /// Polled at least once, not ended, not dropped.
    active: BTreeSet<usize>,
    most_active: usize,
    /// The items whose futures were dropped, in that order.
    dropped: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Fate {
    Finish,
    /// Ends with an error, where it can.
    Fail,
    Panic,
    /// Wakes itself this many times, then finishes.
    Yield(usize),
}

const FOREVER: Fate = Fate::Yield(usize::MAX);

impl Lab {
    /// A lab in which every future shares one fate, but for those that get one of their own.
    fn of_all(fate: Fate) -> Self {
        let lab = Self::default();
        lab.0.borrow_mut().fate_of_all = Some(fate);
        lab
    }

    fn step(&self, item: usize) -> Step {
        self.0.borrow_mut().made.push(item);
        Step { item, lab: self.clone() }
    }

    /// The closure for `pool_map`.
    fn steps(&self) -> impl Fn(usize) -> Step + use<> {
        let lab = self.clone();
        move |item| lab.step(item)
    }

    /// The closure for `pool_map`, where results are wanted.
    fn tries(&self) -> impl Fn(usize) -> Try + use<> {
        let lab = self.clone();
        move |item| Try(lab.step(item))
    }

    fn plan(&self, item: usize, fate: Fate) {
        self.0.borrow_mut().fates.insert(item, fate);
    }

    fn plan_bomb(&self, item: usize) {
        self.0.borrow_mut().bombs.insert(item);
    }

    fn now(&self, item: usize, fate: Fate) {
        self.plan(item, fate);
        let waker = self.0.borrow_mut().wakers.remove(&item);
        waker.expect("the future is pending").wake();
    }

    fn finish(&self, item: usize) {
        self.now(item, Fate::Finish);
    }

    fn made(&self) -> usize {
        self.0.borrow().made.len()
    }

    fn polls(&self) -> usize {
        self.0.borrow().polled.len()
    }

    fn polls_of(&self, item: usize) -> usize {
        self.0.borrow().polled.iter().filter(|&&polled| polled == item).count()
    }

    fn active(&self) -> Vec<usize> {
        self.0.borrow().active.iter().copied().collect()
    }

    fn most_active(&self) -> usize {
        self.0.borrow().most_active
    }

    fn dropped(&self) -> Vec<usize> {
        let mut dropped = self.0.borrow().dropped.clone();
        dropped.sort_unstable();
        dropped
    }

    #[track_caller]
    fn assert_each_dropped_once(&self) {
        let mut made = self.0.borrow().made.clone();
        made.sort_unstable();
        assert_eq!(self.dropped(), made);
    }
}

/// A future of the lab.
struct Step {
    item: usize,
    lab: Lab,
}

impl Step {
    /// Whether it ends well.
    fn poll_fate(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let item = self.item;
        let mut log = self.lab.0.borrow_mut();
        log.polled.push(item);
        log.active.insert(item);
        log.most_active = log.most_active.max(log.active.len());
        let fate = log.fates.get(&item).copied().or(log.fate_of_all);
        match fate {
            None => {
                log.wakers.insert(item, cx.waker().clone());
                return Poll::Pending;
            }
            Some(Fate::Yield(left)) if left > 0 => {
                log.fates.insert(item, Fate::Yield(left - 1));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(_) => log.active.remove(&item),
        };
        drop(log);
        if let Some(Fate::Panic) = fate {
            boom(item);
        }
        Poll::Ready(!matches!(fate, Some(Fate::Fail)))
    }
}

impl Future for Step {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        self.poll_fate(cx).map(|_| self.item)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let mut log = self.lab.0.borrow_mut();
        log.active.remove(&self.item);
        log.dropped.push(self.item);
        let bomb = log.bombs.contains(&self.item);
        drop(log);
        // Not while a test fails, which would be the end of all tests.
        if bomb && !thread::panicking() {
            boom(self.item);
        }
    }
}

/// A future of the lab that gives a `Result`.
struct Try(Step);

impl Future for Try {
    type Output = Result<usize, usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_fate(cx).map(|ok| if ok { Ok(self.0.item) } else { Err(self.0.item) })
    }
}

/// Panics without a message on the terminal.
fn boom(item: usize) -> ! {
    resume_unwind(Box::new(format!("boom {item}")))
}

/// What one poll has come to.
#[derive(Debug, PartialEq)]
enum Came<T> {
    Item(T),
    End,
    Pending,
    Panic(String),
}

/// Polls a stream once, and catches its panic.
fn poll_caught<St: Stream + Unpin>(stream: &mut St, waker: &Waker) -> Came<St::Item> {
    let poll = || Pin::new(stream).poll_next(&mut Context::from_waker(waker));
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Ready(Some(item))) => Came::Item(item),
        Ok(Poll::Ready(None)) => Came::End,
        Ok(Poll::Pending) => Came::Pending,
        Err(payload) => Came::Panic(*payload.downcast::<String>().expect("a panic of the lab")),
    }
}

/// Polls a stream for as long as it has reason to be polled, panics included, up to its end or until it waits: gives
/// all that came, the last of it being `End` or `Pending`.
fn drain<St: Stream + Unpin>(stream: &mut St) -> Vec<Came<St::Item>> {
    let (woken, waker) = Wakes::new();
    let mut all = Vec::new();
    loop {
        let before = woken.count();
        match poll_caught(stream, &waker) {
            Came::Pending if woken.count() > before => {}
            last @ (Came::Pending | Came::End) => {
                all.push(last);
                return all;
            }
            came => all.push(came),
        }
    }
}

/// [`drain`], of a stream that must come to its end without a panic.
#[track_caller]
fn drain_items<St: Stream + Unpin>(stream: &mut St) -> Vec<St::Item> {
    let mut came = drain(stream);
    assert!(matches!(came.pop(), Some(Came::End)), "pending, and nothing will wake it");
    came.into_iter().map(|came| if let Came::Item(item) = came { item } else { panic!("a panic") }).collect()
}

/// What `.await` makes of a chain. As a method, `StreamExt::into_future` would be in the way.
fn awaited<F: IntoFuture>(chain: F) -> F::IntoFuture {
    chain.into_future()
}

/// [`common::run`] on what can be awaited.
#[track_caller]
fn run<F: IntoFuture>(future: F) -> F::Output {
    common::run(future.into_future())
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items
}

/// A scrambled sequence of numbers.
struct Scramble(u64);

impl Scramble {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What a [`Script`] says when it is polled.
enum Say {
    Item(usize),
    /// Pending, until its waker is called.
    Wait,
    Panic,
}

/// A stream that goes by a script, and insists on not being polled after its end.
struct Script {
    says: VecDeque<Say>,
    ended: bool,
    hint: (usize, Option<usize>),
    waker: Rc<Cell<Option<Waker>>>,
}

impl Script {
    fn new(says: impl IntoIterator<Item = Say>) -> Self {
        Self { says: says.into_iter().collect(), ended: false, hint: (0, None), waker: Rc::default() }
    }
}

impl Stream for Script {
    type Item = usize;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        assert!(!self.ended, "the source was polled after its end");
        match self.says.pop_front() {
            Some(Say::Item(item)) => Poll::Ready(Some(item)),
            Some(Say::Wait) => {
                self.says.push_front(Say::Wait);
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            Some(Say::Panic) => boom(1000),
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.hint
    }
}

/// A source whose size hint is a lie.
struct Liar<I>(I, (usize, Option<usize>));

impl<I: Iterator> Iterator for Liar<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

#[test]
fn ordered_gives_results_in_the_order_of_the_items() {
    let lab = Lab::default();
    let mut stream = (0..4).pool_map(4, lab.steps());
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    for late in [3, 1, 0, 2] {
        lab.finish(late);
    }
    assert_eq!(drain_items(&mut stream), [0, 1, 2, 3]);
}

fn unordered_gives_results_as_they_finish<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut stream = (0..4).pool_map(4, lab.steps()).with_set(set()).unordered();
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    for item in [3, 1, 0, 2] {
        lab.finish(item);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(item)));
    }
    assert_eq!(poll_next(&mut stream), Poll::Ready(None));
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_n_takes_as_long_as_n_workers_would() {
    let work = async |millis: u64| sleep(Duration::from_millis(millis)).await;
    // Two slots: 30 ends at 30, 10 at 10, 20 (after 10) at 30, 40 (after 30) at 70, 10 (after 20) at 40.
    for ordered in [true, false] {
        let start = Instant::now();
        let stream = [30, 10, 20, 40, 10].into_iter().pool_map(2, work);
        let all = async { if ordered { stream.await.len() } else { stream.unordered().await.len() } };
        assert_eq!(timeout(Duration::from_secs(1), all).await.expect("a wake-up was lost"), 5);
        assert_eq!(start.elapsed(), Duration::from_millis(70), "ordered: {ordered}");
    }
}

#[test]
fn anything_that_can_be_iterated_over_is_a_source() {
    let words = vec!["a".to_string(), "bc".to_string()];
    assert_eq!(run(words.iter().pool_map(2, async |word| word.len())), [1, 2]);
    assert_eq!(run((&words).pool_map(2, async |word| word.len())), [1, 2]);
    assert_eq!(run(words.pool_map(2, async |word| word.len())), [1, 2]);
    assert_eq!(run(Some(7).pool_map(2, async |x| x)), [7]);
    assert_eq!(run(BTreeMap::from([(1, 2), (3, 4)]).pool_map(2, async |(x, y)| x * y)), [2, 12]);
}

#[test]
fn a_stream_that_is_not_unpin_is_a_source_once_pinned() {
    let source = stream::unfold(0, async |n| (n < 5).then_some((n, n + 1)));
    let mut stream = pin!(source.pool_map(2, async |n| n * 10));
    assert_eq!(run(stream.by_ref().collect::<Vec<_>>()), [0, 10, 20, 30, 40]);
    let mut source = pin!(stream::unfold(0, async |n| (n < 5).then_some((n, n + 1))));
    assert_eq!(run(source.as_mut().pool_map(2, async |n| n)), [0, 1, 2, 3, 4]);
}

#[test]
fn the_closure_may_keep_state_and_its_futures_may_borrow_from_the_stack() {
    let (mut sum, log) = (0, RefCell::new(Vec::new()));
    let sums = run((1..=4).pool_map(2, |x| {
        sum += x;
        ready(sum)
    }));
    assert_eq!(sums, [1, 3, 6, 10]);
    let results = run((1..=3).pool_map(2, async |x| {
        log.borrow_mut().push(x);
        &log
    }));
    assert_eq!((results.len(), log.borrow().len()), (3, 3));
}

#[test]
fn an_empty_source_gives_nothing_at_once() {
    assert_eq!(run([0; 0].into_iter().pool_map(4, ready)), [0; 0]);
    assert_eq!(poll_next(&mut iter::empty::<()>().pool_map(4, ready)), Poll::Ready(None));
    assert_eq!(poll_next(&mut stream::empty::<()>().pool_map(4, ready).unordered()), Poll::Ready(None));
}

#[test]
fn an_endless_source_can_be_taken_from() {
    let firsts: Vec<_> = run((0..).pool_map(4, ready).take(200).collect());
    assert_eq!(firsts, (0..200).collect::<Vec<_>>());
    let lab = Lab::of_all(Fate::Finish);
    let firsts: Vec<_> = run((0..).pool_map(4, lab.steps()).unordered().take(200).collect());
    assert_eq!((firsts.len(), lab.most_active()), (200, 1));
}

/// Such as `select(server.pool_map(..), shutdown)`: an `.await` that is meant to be dropped.
#[test]
fn await_on_an_endless_source_runs_until_it_is_dropped() {
    let lab = Lab::of_all(Fate::Finish);
    let mut endless = pin!(awaited((0..).pool_map(4, lab.steps())));
    let (woken, waker) = Wakes::new();
    for polls in 1..=10 {
        assert!(endless.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(woken.count() >= polls && lab.polls() <= polls * POLLS);
    }
    assert!(lab.made() > 5 * POLLS);
}

#[test]
fn a_size_hint_that_lies_does_no_harm() {
    let lies = [
        (0, None),
        (0, Some(0)),
        (2, Some(2)),
        (1000, Some(1000)),
        (usize::MAX, None),
        (9, Some(usize::MAX)),
        (5, Some(1)),
    ];
    for lie in lies {
        let lab = Lab::of_all(Fate::Yield(1));
        assert_eq!(drain_items(&mut Liar(0..5, lie).pool_map(2, lab.steps())), [0, 1, 2, 3, 4], "{lie:?}");
        assert_eq!(drain_items(&mut Liar(0..5, lie).pool_map(2, lab.steps()).unordered()).len(), 5, "{lie:?}");
        let mut source = Script::new((0..5).map(Say::Item));
        source.hint = lie;
        let mut stream = source.pool_map(2, lab.steps());
        for left in (0..5).rev() {
            let _ = stream.size_hint(); // a lie in its turn, but no overflow
            assert!(run(stream.next()).is_some(), "{lie:?} with {left} to come");
        }
        assert_eq!(run(stream.next()), None);
    }
}

#[test]
fn a_size_hint_that_lies_does_no_harm_to_an_await() {
    for lie in [(0, Some(0)), (1000, Some(1000)), (usize::MAX, None)] {
        assert_eq!(run(Liar(0..5, lie).pool_map(2, ready)), [0, 1, 2, 3, 4], "{lie:?}");
        assert_eq!(run(Liar(0..5, lie).pool_map(2, ready).indexed()).len(), 5, "{lie:?}");
    }
}

#[test]
fn a_source_is_not_polled_after_its_end() {
    // `Script` asserts it.
    let mut stream = Script::new((0..5).map(Say::Item)).pool_map(2, Lab::of_all(Fate::Yield(1)).steps());
    assert_eq!(drain_items(&mut stream), [0, 1, 2, 3, 4]);
    for _ in 0..3 {
        assert_eq!(poll_next(&mut stream), Poll::Ready(None));
    }
    let mut calls = 0;
    let restless = iter::from_fn(|| {
        calls += 1;
        (calls != 3).then_some(calls)
    });
    assert_eq!(drain_items(&mut restless.pool_map(2, Lab::of_all(Fate::Yield(2)).steps())), [1, 2]);
}

#[test]
fn a_source_that_ends_while_futures_are_active_ends_the_stream_only_after_them() {
    let lab = Lab::default();
    let mut stream = Script::new([Say::Item(0), Say::Item(1)]).pool_map(4, lab.steps()).unordered();
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    lab.finish(1);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    lab.finish(0);
    assert_eq!(drain(&mut stream), [Came::Item(0), Came::End]);
}

#[test]
fn a_pending_source_wakes_the_task_and_holds_nothing_up() {
    let lab = Lab::default();
    let source = Script::new([Say::Item(0), Say::Wait]);
    let (woken, waker) = Wakes::new();
    let (later, latest) = Wakes::new();
    let source_waker = Rc::clone(&source.waker);
    let mut stream = source.pool_map(2, lab.steps());
    assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
    assert_eq!(lab.active(), [0]);
    // An active future is polled while the source is pending.
    lab.finish(0);
    assert_eq!(poll_caught(&mut stream, &waker), Came::Item(0));
    // The source is given the waker of the last poll.
    assert_eq!(poll_caught(&mut stream, &latest), Came::Pending);
    let before = (woken.count(), later.count());
    source_waker.take().expect("the source was polled").wake();
    assert_eq!((woken.count(), later.count()), (before.0, before.1 + 1));
}

/// Finishes active futures, `burst` at a time and in a scrambled order, and checks the law after every poll.
fn check_law(
    lab: &Lab,
    size: usize,
    items: usize,
    burst: usize,
    ordered: bool,
    mut stream: impl Stream<Item = usize> + Unpin,
) {
    let (woken, waker) = Wakes::new();
    let mut scramble = Scramble(7);
    let mut results = Vec::new();
    loop {
        let (before, polls) = (woken.count(), lab.polls());
        let came = poll_caught(&mut stream, &waker);
        let (active, waiting) = (lab.active(), items - lab.made());
        assert!(lab.most_active() <= size, "more than {size} active");
        // The results that count, the one handed over by this poll included.
        let has_finished = |item: &usize| *item < lab.made() && !active.contains(item);
        let held = if ordered {
            (results.len()..items).take_while(has_finished).count()
        } else {
            lab.made() - active.len() - results.len()
        };
        let active = active.len();
        let is_out_of_polls = lab.polls() - polls == POLLS && (came != Came::Pending || woken.count() > before);
        assert!(
            active == size || waiting == 0 || held > size || is_out_of_polls,
            "{active} of {size} active, {waiting} waiting, {held} results, after {came:?}"
        );
        match came {
            Came::Item(item) => results.push(item),
            Came::End => break,
            Came::Pending if woken.count() > before => {}
            Came::Pending => {
                let before = woken.count();
                for _ in 0..burst {
                    let mut pending: Vec<_> = lab.0.borrow().wakers.keys().copied().collect();
                    if !pending.is_empty() {
                        pending.sort_unstable();
                        lab.finish(pending[scramble.below(pending.len())]);
                    }
                }
                assert!(woken.count() > before, "a wake-up was lost");
            }
            Came::Panic(_) => unreachable!(),
        }
    }
    assert!(!ordered || results.is_sorted());
    results.sort_unstable();
    assert_eq!(results, (0..items).collect::<Vec<_>>());
}

fn check_law_in_both_orders<S: ActiveSet>(burst: usize, set: impl Fn() -> S) {
    for size in [1, 2, 5, 63] {
        let items = 5 * size + 3;
        let lab = Lab::default();
        check_law(&lab, size, items, burst, true, (0..items).pool_map(size, lab.steps()).with_set(set()));
        let lab = Lab::default();
        let unordered = (0..items).pool_map(size, lab.steps()).with_set(set()).unordered();
        check_law(&lab, size, items, burst, false, unordered);
    }
}

fn never_more_than_size_futures_are_active_and_never_fewer_while_items_wait<S: ActiveSet>(set: impl Fn() -> S) {
    check_law_in_both_orders(1, set);
}

fn the_law_holds_when_several_finish_between_two_polls<S: ActiveSet>(set: impl Fn() -> S) {
    check_law_in_both_orders(3, set);
}

fn the_law_holds_on_a_stream_that_is_pending_now_and_then<S: ActiveSet>(set: impl Fn() -> S) {
    for size in [1, 3, 8] {
        let (lab, mut polls, mut item) = (Lab::default(), 0, 0);
        let source = stream::poll_fn(|cx| {
            polls += 1;
            if polls % 3 == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            item += 1;
            Poll::Ready((item <= 20).then_some(item - 1))
        });
        let mut stream = source.pool_map(size, lab.steps()).with_set(set()).unordered();
        let mut results = Vec::new();
        while results.len() < 20 {
            let came = drain(&mut stream);
            assert!(lab.most_active() <= size);
            // What has woken the task by itself, the source, was polled until it had nothing more to wake for.
            assert_eq!(lab.active().len(), size.min(20 - results.len() - (came.len() - 1)));
            results.extend(
                came.into_iter().filter_map(|came| if let Came::Item(item) = came { Some(item) } else { None }),
            );
            if let Some(first) = lab.active().first() {
                lab.finish(*first);
            }
        }
        assert_eq!(results, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_runs_before_the_first_poll() {
    let lab = Lab::of_all(Fate::Finish);
    let pulled = Cell::new(0);
    let items = (0..3).inspect(|_| pulled.set(pulled.get() + 1));
    let collect = awaited(items.pool_map(2, lab.steps()).unordered().max_finished(1));
    assert_eq!((pulled.get(), lab.made()), (0, 0));
    assert_eq!(run(collect).len(), 3);
}

fn an_item_is_pulled_only_when_there_is_a_slot_for_it<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, pulled: &Cell<usize>, mut stream: impl Stream<Item = usize> + Unpin) {
        for finished in 0..7 {
            assert_eq!(poll_next(&mut stream), Poll::Pending);
            assert_eq!((pulled.replace(0), lab.made()), (if finished == 0 { 3 } else { 0 }, 3 + finished));
            lab.finish(finished);
            assert_eq!(poll_next(&mut stream), Poll::Ready(Some(finished)));
            assert_eq!((pulled.replace(0), lab.made()), (1, 4 + finished));
        }
    }
    let (lab, pulled) = (Lab::default(), Cell::new(0));
    let items = (0..10).inspect(|_| pulled.set(pulled.get() + 1));
    check(&lab, &pulled, items.pool_map(3, lab.steps()).with_set(set()).unordered());
    let (lab, pulled) = (Lab::default(), Cell::new(0));
    let mut item = 0;
    let items = stream::poll_fn(|_| {
        pulled.set(pulled.get() + 1);
        item += 1;
        Poll::Ready((item <= 10).then_some(item - 1))
    });
    check(&lab, &pulled, items.pool_map(3, lab.steps()).with_set(set()));
}

fn a_freed_slot_is_filled_and_polled_before_the_result_is_handed_over<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut stream = (0..10).pool_map(2, lab.steps()).with_set(set());
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    assert_eq!(lab.active(), [0, 1]);
    lab.finish(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(lab.active(), [1, 2]);

    // Also for one that is finished at its first poll: others are started behind it.
    let lab = Lab::default();
    lab.plan(0, Fate::Finish);
    lab.plan(2, Fate::Finish);
    let mut stream = (0..10).pool_map(2, lab.steps()).with_set(set()).unordered();
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(lab.active(), [1, 3]);
}

fn ordered_with_a_slow_head_keeps_all_slots_busy<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut stream = (0..30).pool_map(3, lab.steps()).with_set(set());
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    for item in 1..20 {
        lab.finish(item);
        assert_eq!(drain(&mut stream), [Came::Pending]);
        assert_eq!(lab.active(), [0, item + 1, item + 2]);
    }
    lab.finish(0);
    let came: Vec<_> = (0..20).map(Came::Item).chain([Came::Pending]).collect();
    assert_eq!(drain(&mut stream), came);
}

fn sixteen_results_for_each_slot_are_held_behind_a_slow_head<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    (1..200).for_each(|item| lab.plan(item, Fate::Finish));
    let mut stream = (0..200).pool_map(2, lab.steps()).with_set(set());
    assert_eq!(drain(&mut stream), [Came::Pending]);
    // With exactly 16 for each slot, one more is started.
    assert_eq!((lab.made(), stream.finished(), lab.active()), (34, 33, vec![0]));
    lab.finish(0);
    assert_eq!(drain_items(&mut stream), (0..200).collect::<Vec<_>>());
}

fn awaited_results_are_held_without_a_bound_behind_a_slow_head<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    (1..200).for_each(|item| lab.plan(item, Fate::Finish));
    let mut all = pin!(IntoFuture::into_future((0..200).pool_map(2, lab.steps()).with_set(set())));
    while lab.made() < 200 {
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(lab.active(), [0]);
    lab.finish(0);
    assert_eq!(run(all), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_size_of_zero_is_taken_as_one() {
    let lab = Lab::default();
    let mut stream = (0..3).pool_map(0, lab.steps());
    assert_eq!(stream.size(), 1);
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    assert_eq!(lab.active(), [0]);
    assert_eq!(run((0..3).pool_map(0, ready).unordered()), [0, 1, 2]);
    assert_eq!(run([0; 0].iter().pool_map(0, async |x| *x)), [0; 0]);
}

#[test]
fn a_size_of_usize_max_costs_nothing_and_starts_everything() {
    let lab = Lab::default();
    let mut stream = (0..1000).pool_map(usize::MAX, lab.steps());
    assert_eq!(stream.size(), usize::MAX);
    assert_eq!(drain(&mut stream), [Came::Pending]);
    assert_eq!(lab.active().len(), 1000);
    (0..1000).rev().for_each(|item| lab.finish(item));
    assert_eq!(drain_items(&mut stream), (0..1000).collect::<Vec<_>>());
}

#[test]
fn the_counts_are_those_of_the_futures() {
    let lab = Lab::default();
    let mut stream = (0..10).pool_map(3, lab.steps());
    assert_eq!((stream.active(), stream.finished(), stream.size()), (0, 0, 3));
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    lab.finish(1);
    lab.finish(2);
    assert_eq!(drain(&mut stream), [Came::Pending]);
    assert_eq!((stream.active(), stream.finished(), stream.size()), (3, 2, 3));
    lab.finish(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!((stream.active(), stream.finished(), stream.size()), (3, 2, 3));
    let indexed = stream.indexed();
    assert_eq!((indexed.active(), indexed.finished(), indexed.size()), (3, 2, 3));
}

fn the_default_max_finished_is_the_size<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, mut stream: impl Stream<Item = usize> + Unpin) {
        // With four results, the one about to be handed over included, there are more than three: nothing is started.
        for taken in 0..20 {
            assert_eq!(poll_next(&mut stream), Poll::Ready(Some(taken)));
            assert_eq!(lab.made(), taken + 4);
        }
    }
    let lab = Lab::of_all(Fate::Finish);
    check(&lab, (0..100).pool_map(3, lab.steps()).with_set(set()));
    let lab = Lab::of_all(Fate::Finish);
    check(&lab, (0..100).pool_map(3, lab.steps()).with_set(set()).unordered());
}

fn max_finished_zero_refills_only_once_the_last_result_is_taken<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, mut stream: impl Stream<Item = usize> + Unpin) {
        assert_eq!(poll_next(&mut stream), Poll::Pending);
        assert_eq!(lab.active(), [0, 1]);
        lab.finish(0);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
        assert_eq!(lab.active(), [1]);
        assert_eq!(poll_next(&mut stream), Poll::Pending);
        assert_eq!(lab.active(), [1, 2]);
        // Two that finish immediately: the slots are refilled when both results are taken.
        lab.finish(1);
        lab.finish(2);
        for _ in 0..2 {
            assert!(poll_next(&mut stream).is_ready());
            assert_eq!(lab.made(), 3);
        }
        assert_eq!(poll_next(&mut stream), Poll::Pending);
        assert_eq!(lab.active(), [3, 4]);
    }
    let lab = Lab::default();
    check(&lab, (0..9).pool_map(2, lab.steps()).with_set(set()).max_finished(0));
    let lab = Lab::default();
    check(&lab, (0..9).pool_map(2, lab.steps()).with_set(set()).unordered().max_finished(0));
}

fn max_finished_n_starts_while_at_most_n_results_are_held<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, max_finished: usize, mut stream: impl Stream<Item = usize> + Unpin) {
        for taken in 0..20 {
            assert_eq!(poll_next(&mut stream), Poll::Ready(Some(taken)));
            assert_eq!(lab.made(), taken + max_finished + 1);
        }
    }
    for max_finished in [0, 1, 2, 7] {
        let lab = Lab::of_all(Fate::Finish);
        check(&lab, max_finished, (0..100).pool_map(3, lab.steps()).with_set(set()).max_finished(max_finished));
        let lab = Lab::of_all(Fate::Finish);
        check(
            &lab,
            max_finished,
            (0..100).pool_map(3, lab.steps()).with_set(set()).max_finished(max_finished).unordered(),
        );
    }
}

fn a_max_finished_counts_results_that_wait_for_their_turn<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    (1..100).for_each(|item| lab.plan(item, Fate::Finish));
    let mut stream = (0..100).pool_map(3, lab.steps()).with_set(set()).max_finished(5);
    assert_eq!(drain(&mut stream), [Came::Pending]);
    assert_eq!((lab.made(), stream.finished()), (7, 6)); // the head, and six results, which are more than five
    lab.finish(0);
    assert_eq!(drain_items(&mut stream), (0..100).collect::<Vec<_>>());
}

fn max_finished_max_stops_at_nothing_but_the_polls_of_one_call<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, mut stream: impl Stream<Item = usize> + Unpin) {
        for taken in 0..3 {
            assert_eq!(poll_next(&mut stream), Poll::Ready(Some(taken)));
            assert_eq!(lab.made(), (taken + 1) * POLLS);
        }
    }
    let lab = Lab::of_all(Fate::Finish);
    check(&lab, (0..1000).pool_map(2, lab.steps()).with_set(set()).max_finished(usize::MAX));
    let lab = Lab::of_all(Fate::Finish);
    check(&lab, (0..1000).pool_map(2, lab.steps()).with_set(set()).max_finished(usize::MAX).unordered());
}

fn growing_wakes_the_task_that_last_polled_and_fills_the_new_slots<S: ActiveSet>(set: impl Fn() -> S) {
    let (lab, (first, first_waker), (last, last_waker)) = (Lab::default(), Wakes::new(), Wakes::new());
    let mut stream = (0..10).pool_map(1, lab.steps()).with_set(set());
    assert_eq!(poll_caught(&mut stream, &first_waker), Came::Pending);
    assert_eq!(poll_caught(&mut stream, &last_waker), Came::Pending);
    let before = (first.count(), last.count());
    stream.set_size(3);
    assert_eq!(stream.size(), 3);
    assert_eq!(first.count(), before.0);
    assert!(last.count() > before.1);
    assert_eq!(poll_caught(&mut stream, &last_waker), Came::Pending);
    assert_eq!(lab.active(), [0, 1, 2]);
    // Again, after a wake-up that was already used.
    let before = last.count();
    stream.set_size(4);
    assert!(last.count() > before);
}

fn shrinking_lets_the_surplus_finish<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut stream = (0..6).pool_map(4, lab.steps()).with_set(set()).unordered();
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    stream.set_size(0);
    assert_eq!(stream.size(), 1);
    for (item, active) in [(0, vec![1, 2, 3]), (2, vec![1, 3]), (3, vec![1]), (1, vec![4]), (4, vec![5])] {
        lab.finish(item);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(item)));
        assert_eq!(lab.active(), active);
    }
    lab.finish(5);
    assert_eq!(drain(&mut stream), [Came::Item(5), Came::End]);
}

#[test]
fn the_default_max_finished_follows_the_size() {
    let lab = Lab::of_all(Fate::Finish);
    let mut stream = (0..100).pool_map(1, lab.steps());
    stream.set_size(5);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(lab.made(), 6);
}

fn a_wake_up_reaches_the_task_that_polled_last<S: ActiveSet>(set: impl Fn() -> S) {
    let (lab, (first, first_waker), (last, last_waker)) = (Lab::default(), Wakes::new(), Wakes::new());
    let mut stream = (0..2).pool_map(2, lab.steps()).with_set(set());
    assert_eq!(poll_caught(&mut stream, &first_waker), Came::Pending);
    assert_eq!(poll_caught(&mut stream, &last_waker), Came::Pending);
    let before = (first.count(), last.count());
    // The future itself was not polled again, so its waker is the one it got at first.
    lab.finish(1);
    assert_eq!(first.count(), before.0);
    assert!(last.count() > before.1);
}

/// A task that sends as the last reference to its waker goes.
struct LastWill(#[expect(dead_code)] oneshot::Sender<()>);

impl Wake for LastWill {
    fn wake(self: Arc<Self>) {}
}

fn a_wake_up_in_the_middle_of_parking_is_not_lost<S: ActiveSet>(set: impl Fn() -> S) {
    // In the first word of slots, in another, under another summary.
    for held in [0, 63, 64, 200, 4200] {
        let (will, end) = oneshot::channel();
        let mut futures: Vec<LocalBoxFuture<'static, usize>> = vec![end.map(move |_| held).boxed_local()];
        futures.extend((0..held).map(|_| pending().boxed_local()));
        let futures = futures.into_iter().rev();
        let mut stream = futures.pool_map(held + 1, |future| future).with_set(set()).unordered();
        assert_eq!(drain(&mut stream), [Came::Pending]);
        let task = Waker::from(Arc::new(LastWill(will)));
        assert_eq!(poll_caught(&mut stream, &task), Came::Pending);
        drop(task);
        // The stream has the last of that task, and lets it go when it registers another: after it has looked for
        // woken futures, and before it is ready to be woken itself.
        assert_eq!(drain(&mut stream)[0], Came::Item(held));
    }
}

/// Futures of which each waits for the one before it to be dropped, and the first for `head`; in rising or in falling
/// order.
fn linked(
    count: usize,
    rising: bool,
    head: Option<oneshot::Receiver<()>>,
) -> impl Iterator<Item = LocalBoxFuture<'static, usize>> {
    let (mut link, mut futures) = (head, Vec::new());
    for item in 0..count {
        let (ends, next) = oneshot::channel::<()>();
        let previous = link.replace(next);
        let future: LocalBoxFuture<'static, usize> = Box::pin(async move {
            let _ends = ends;
            if let Some(previous) = previous {
                let _ = previous.await;
            }
            item
        });
        futures.push(future);
    }
    if !rising {
        futures.reverse();
    }
    futures.into_iter()
}

fn a_wake_up_of_one_future_by_another_is_not_lost<S: ActiveSet>(set: impl Fn() -> S) {
    let all: Vec<_> = (0..200).collect();
    for (size, rising) in [(1, true), (3, true), (200, true), (200, false)] {
        let mut stream = linked(200, rising, None).pool_map(size, |future| future).with_set(set()).unordered();
        assert_eq!(drain_items(&mut stream), all);
    }
}

fn a_wake_up_by_the_source_or_the_closure_is_not_lost<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut polls = 0;
    let source = stream::poll_fn(|_| {
        polls += 1;
        match polls {
            1 => return Poll::Ready(Some(0)),
            2 => lab.finish(0),
            _ => {}
        }
        Poll::Pending
    });
    let mut stream = source.pool_map(2, lab.steps()).with_set(set());
    assert_eq!(drain(&mut stream), [Came::Item(0), Came::Pending]);

    let lab = Lab::default();
    let make = |item| {
        if item == 2 {
            lab.finish(0);
        }
        lab.step(item)
    };
    let mut stream = (0..3).pool_map(3, make).with_set(set());
    assert_eq!(drain(&mut stream), [Came::Item(0), Came::Pending]);
}

fn one_poll_polls_at_most_64_futures_it_starts_then_wakes_itself<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, mut stream: impl Stream<Item = usize> + Unpin) {
        let (woken, waker) = Wakes::new();
        while lab.active().len() < 1000 {
            let before = (woken.count(), lab.polls());
            assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
            assert!(lab.polls() - before.1 <= POLLS);
            assert!(lab.active().len() == 1000 || woken.count() > before.0);
        }
    }
    let lab = Lab::default();
    check(&lab, (0..1000).pool_map(2000, lab.steps()).with_set(set()));
    let lab = Lab::default();
    check(&lab, (0..1000).pool_map(2000, lab.steps()).with_set(set()).unordered());
    // Finished immediately, but behind a head that is not: there is nothing to return either.
    let lab = Lab::of_all(Fate::Finish);
    lab.plan(0, FOREVER);
    let mut stream = (0..1000).pool_map(2, lab.steps()).with_set(set());
    let (woken, waker) = Wakes::new();
    for _ in 0..10 {
        let before = (woken.count(), lab.polls());
        assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
        assert!(lab.polls() - before.1 <= POLLS && woken.count() > before.0);
    }
}

fn one_poll_polls_at_most_64_woken_futures_then_wakes_itself<S: ActiveSet>(set: impl Fn() -> S) {
    for size in [1, 2, 3, 64, 65, 300] {
        let (lab, (woken, waker)) = (Lab::of_all(FOREVER), Wakes::new());
        let mut stream = (0..size).pool_map(size, lab.steps()).with_set(set()).unordered();
        for _ in 0..20 {
            let before = (woken.count(), lab.polls());
            assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
            let polls = lab.polls() - before.1;
            assert!(polls <= POLLS, "{polls} polls in one call");
            assert!(woken.count() > before.0, "it has to be polled again");
        }
        assert!((0..size).all(|item| lab.polls_of(item) > 1), "some of {size} were left out");
    }
}

fn await_on_ready_futures_comes_up_for_air<S: ActiveSet>(set: impl Fn() -> S) {
    fn check<T>(lab: &Lab, chain: impl IntoFuture<Output = Vec<T>>) {
        let (woken, waker) = Wakes::new();
        let mut collect = pin!(awaited(chain));
        for polls in 1.. {
            let before = (woken.count(), lab.polls());
            let poll = collect.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(lab.polls() - before.1 <= POLLS);
            if let Poll::Ready(items) = poll {
                assert_eq!(items.len(), 1000);
                assert!(polls > 1000 / POLLS && polls <= 1000 / POLLS + 2, "{polls} polls");
                return;
            }
            assert!(woken.count() > before.0);
        }
    }
    for size in [1, 100, 1000] {
        let lab = Lab::of_all(Fate::Finish);
        let stream = || (0..1000).pool_map(size, lab.steps()).with_set(set());
        check(&lab, stream());
        check(&lab, stream().max_finished(0));
        check(&lab, stream().unordered());
        check(&lab, stream().indexed());
        check(&lab, stream().unordered().indexed());
    }
    let lab = Lab::of_all(Fate::Finish);
    let tries = || (0..1000).pool_map(10, lab.tries()).fail_fast();
    check(&lab, async { tries().await.unwrap() });
    check(&lab, async { tries().unordered().await.unwrap() });
    check(&lab, (0..1000).pool_map(10, lab.steps()).catch_unwind());
}

fn a_woken_future_is_not_starved_by_those_that_wake_themselves<S: ActiveSet>(set: impl Fn() -> S) {
    for size in [2, 3, 64, 100, 300] {
        for quiet in [0, size / 2, size - 1] {
            let lab = Lab::default();
            (0..size).filter(|&item| item != quiet).for_each(|item| lab.plan(item, FOREVER));
            let mut stream = (0..size).pool_map(size, lab.steps()).with_set(set()).unordered();
            for _ in 0..20 {
                assert_eq!(poll_next(&mut stream), Poll::Pending);
            }
            lab.finish(quiet);
            let before = lab.polls();
            while poll_next(&mut stream) == Poll::Pending {
                assert!(lab.polls() - before <= 3 * size + 2 * POLLS, "{quiet} of {size} is starved");
            }
        }
    }
}

fn a_waiting_item_is_not_starved_by_those_that_wake_themselves<S: ActiveSet>(set: impl Fn() -> S) {
    for restless in [1, 2, 63, 64, 100] {
        let lab = Lab::of_all(Fate::Finish);
        (0..restless).for_each(|item| lab.plan(item, FOREVER));
        let mut stream = (0..restless + 50).pool_map(restless + 1, lab.steps()).with_set(set()).unordered();
        let mut results = Vec::new();
        for _ in 0..1000 {
            if let Poll::Ready(Some(item)) = poll_next(&mut stream) {
                results.push(item);
            }
        }
        assert_eq!(results, (restless..restless + 50).collect::<Vec<_>>());
    }
}

fn an_active_future_is_not_starved_by_items_that_are_always_ready<S: ActiveSet>(set: impl Fn() -> S) {
    // One that wakes itself a hundred times, and one that is woken from outside, alongside an endless supply.
    for max_finished in [0, 2, usize::MAX] {
        let lab = Lab::of_all(Fate::Finish);
        lab.plan(0, Fate::Yield(100));
        let mut stream = (0..).pool_map(2, lab.steps()).with_set(set()).unordered().max_finished(max_finished);
        let mut before = 0;
        while lab.active() == [0] || lab.made() == 0 {
            assert!(poll_next(&mut stream).is_ready());
            assert!(lab.polls_of(0) > before, "passed over by {}", lab.made());
            before = lab.polls_of(0);
        }
        assert!(before <= 102);
    }
    let lab = Lab::default();
    (1..10_000).for_each(|item| lab.plan(item, Fate::Finish));
    let mut stream = (0..10_000).pool_map(2, lab.steps()).with_set(set()).unordered();
    assert!(poll_next(&mut stream).is_ready());
    lab.finish(0);
    let ahead = iter::from_fn(|| Some(poll_next(&mut stream))).position(|poll| poll == Poll::Ready(Some(0)));
    assert!(ahead.unwrap() <= POLLS);
}

fn an_active_future_is_not_starved_behind_a_stuck_head<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::of_all(Fate::Finish);
    lab.plan(0, Fate::Yield(50));
    let mut stream = (0..).pool_map(2, lab.steps()).with_set(set());
    while poll_next(&mut stream).is_pending() {
        assert!(lab.polls() < 60 * POLLS, "polled {} times after {} others", lab.polls_of(0), lab.polls());
    }
}

#[test]
fn indexed_gives_each_result_the_position_of_its_item() {
    let lab = Lab::default();
    let mut stream = (10..14).pool_map(4, lab.steps()).unordered().indexed();
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    for item in [12, 10, 13, 11] {
        lab.finish(item);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some((item - 10, item))));
    }
    assert_eq!(run(["a", "b", "c"].into_iter().pool_map(2, ready).indexed()), [(0, "a"), (1, "b"), (2, "c")]);
}

#[test]
fn await_on_each_form_gives_what_collect_would() {
    let lab = Lab::of_all(Fate::Finish);
    (0..5).step_by(2).for_each(|item| lab.plan(item, Fate::Yield(1)));
    let steps = || (0..5).pool_map(5, lab.steps());
    assert_eq!(run(steps()), [0, 1, 2, 3, 4]);
    assert_eq!(run(steps().indexed()), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]);
    let caught = run(steps().catch_unwind());
    assert_eq!(caught.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let caught = run(steps().catch_unwind().indexed());
    assert_eq!(caught.into_iter().map(|(i, x)| (i, x.unwrap())).collect::<Vec<_>>(), run(steps().indexed()));
    let caught: Result<Vec<usize>, Panic> = run(steps().catch_unwind().fail_fast());
    assert_eq!(caught.unwrap(), [0, 1, 2, 3, 4]);

    assert_eq!(sorted(run(steps().unordered())), [0, 1, 2, 3, 4]);
    assert_eq!(sorted(run(steps().unordered().indexed())), run(steps().indexed()));
    let caught = run(steps().unordered().catch_unwind());
    assert_eq!(sorted(caught.into_iter().map(Result::unwrap)), [0, 1, 2, 3, 4]);
    assert_eq!(sorted(run(steps().unordered().catch_unwind().fail_fast()).unwrap()), [0, 1, 2, 3, 4]);

    let tries = || (0..5).pool_map(5, lab.tries());
    assert_eq!(run(tries()), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(run(tries().fail_fast()), Ok(vec![0, 1, 2, 3, 4]));
    assert_eq!(run(tries().fail_fast().unordered()).map(sorted), Ok(vec![0, 1, 2, 3, 4]));
    lab.plan(3, Fate::Fail);
    assert_eq!(run(tries()), [Ok(0), Ok(1), Ok(2), Err(3), Ok(4)]);
    assert_eq!(run(tries().fail_fast()), Err(3));
    assert_eq!(run(tries().fail_fast().unordered()), Err(3));
    assert_eq!(run(tries().unordered().fail_fast()), Err(3));
}

#[test]
fn options_combine_in_any_order_and_a_view_comes_last() {
    let lab = Lab::of_all(Fate::Finish);
    lab.plan(2, Fate::Panic);
    let steps = || (0..5).pool_map(2, lab.steps());
    let message = |panic: Panic| panic.message().map(str::to_owned);
    let boom = Some("boom 2".to_string());

    let first = run(steps().catch_unwind().unordered().max_finished(0).fail_fast()).map_err(message);
    assert_eq!(first, Err(boom.clone()));
    let second = run(steps().unordered().max_finished(0).catch_unwind().fail_fast()).map_err(message);
    assert_eq!(second, Err(boom.clone()));
    let third = run(steps().max_finished(0).catch_unwind().fail_fast().unordered()).map_err(message);
    assert_eq!(third, Err(boom.clone()));

    let mut pairs = steps().max_finished(0).catch_unwind().fail_fast().unordered().indexed();
    let pairs: Vec<_> = drain_items(&mut pairs).into_iter().map(|(i, item)| (i, item.map_err(message))).collect();
    assert_eq!(pairs, [(0, Ok(0)), (1, Ok(1)), (2, Err(boom))]);
    let batches = steps().catch_unwind().max_finished(usize::MAX).batches(yield_when::all_completed);
    let batches: Vec<_> = run(batches.collect::<Vec<_>>());
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [5]);
}

#[test]
fn an_option_set_before_another_still_holds_after_it() {
    // The bound on results, through everything that changes the type.
    let lab = Lab::of_all(Fate::Finish);
    let mut stream = (0..9).pool_map(3, lab.tries()).max_finished(1).unordered().fail_fast().indexed();
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some((0, Ok(0)))));
    assert_eq!(lab.made(), 2);
    let lab = Lab::of_all(Fate::Finish);
    let mut stream = (0..9).pool_map(3, lab.tries()).max_finished(1).catch_unwind();
    assert!(poll_next(&mut stream).is_ready());
    assert_eq!((lab.made(), stream.size()), (2, 3));
    // The size.
    let mut stream = (0..9).pool_map(3, lab.steps());
    stream.set_size(2);
    assert_eq!(stream.unordered().catch_unwind().with_set(UnorderedSet).size(), 2);
}

#[test]
fn unordered_dropped_early_loses_nothing() {
    let lab = Lab::default();
    let mut stream = (0..6).pool_map(3, lab.steps());
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    for item in [1, 2] {
        lab.finish(item);
        assert_eq!(drain(&mut stream), [Came::Pending]);
    }
    let mut stream = stream.unordered();
    assert_eq!(drain(&mut stream), [Came::Item(1), Came::Item(2), Came::Pending]);
    for item in [4, 0, 3, 5] {
        lab.finish(item);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(item)));
    }
    assert_eq!(poll_next(&mut stream), Poll::Ready(None));
}

#[test]
fn two_stages_each_keep_their_size_and_the_order() {
    let (first, second) = (Lab::default(), Lab::default());
    let mut stream = (0..10).pool_map(3, first.steps()).pool_map(2, second.steps());
    let (woken, waker) = Wakes::new();
    let mut scramble = Scramble(3);
    let mut results = Vec::new();
    loop {
        let before = woken.count();
        match poll_caught(&mut stream, &waker) {
            Came::Item(item) => results.push(item),
            Came::End => break,
            Came::Pending if woken.count() > before => {}
            _ => {
                assert!(first.most_active() <= 3 && second.most_active() <= 2);
                assert!(first.active().len() == 3 || first.made() == 10 || second.active().len() == 2);
                let lab = if second.active().is_empty() || scramble.below(2) == 0 { &first } else { &second };
                let active = lab.active();
                if !active.is_empty() {
                    lab.finish(active[scramble.below(active.len())]);
                }
            }
        }
    }
    assert_eq!(results, (0..10).collect::<Vec<_>>());
}

#[test]
fn two_stages_give_exact_size_hints_and_pass_panics_on() {
    let (first, second) = (Lab::of_all(Fate::Yield(1)), Lab::of_all(Fate::Yield(2)));
    first.plan(1, Fate::Panic);
    second.plan(3, Fate::Panic);
    let mut stream = (0..5).pool_map(2, first.steps()).unordered().pool_map(2, second.steps()).indexed();
    let mut left = 5;
    let (_, waker) = Wakes::new();
    let mut panics = Vec::new();
    loop {
        assert_eq!(stream.size_hint(), (left, Some(left)));
        match poll_caught(&mut stream, &waker) {
            Came::Item(_) => left -= 1,
            Came::Panic(panic) => {
                panics.push(panic);
                left -= 1;
            }
            Came::End => break,
            Came::Pending => {}
        }
    }
    assert_eq!((left, panics), (0, vec!["boom 1".to_string(), "boom 3".to_string()]));
}

fn fail_fast_yields_the_first_error_to_happen_ahead_of_any_order<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, source: &Rc<()>, mut stream: impl FusedStream<Item = Result<usize, usize>> + Unpin) {
        assert_eq!(poll_next(&mut stream), Poll::Pending);
        // Three will fail too, but later.
        lab.plan(3, Fate::Fail);
        lab.now(2, Fate::Fail);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(Err(2))));
        // By then, everything else is gone, and the source with it.
        assert_eq!((lab.dropped(), lab.active()), (vec![0, 1, 2, 3], vec![]));
        assert_eq!(Rc::strong_count(source), 1);
        assert!(stream.is_terminated());
        assert_eq!(poll_next(&mut stream), Poll::Ready(None));
        assert_eq!(lab.made(), 4);
    }
    let source = Rc::new(());
    let items = || {
        let source = Rc::clone(&source);
        (0..10).inspect(move |_| _ = &source)
    };
    let lab = Lab::default();
    check(&lab, &source, items().pool_map(4, lab.tries()).with_set(set()).fail_fast());
    let lab = Lab::default();
    check(&lab, &source, items().pool_map(4, lab.tries()).with_set(set()).fail_fast().unordered());
    let lab = Lab::default();
    check(&lab, &source, items().pool_map(4, lab.tries()).unordered().with_set(set()).fail_fast());
}

fn fail_fast_yields_an_error_at_the_first_poll_and_starts_nothing_more<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    lab.plan(2, Fate::Fail);
    let mut stream = (0..10).pool_map(5, lab.tries()).with_set(set()).fail_fast();
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(Err(2))));
    assert_eq!((lab.made(), lab.dropped()), (3, vec![0, 1, 2]));
    assert_eq!(poll_next(&mut stream), Poll::Ready(None));
}

fn fail_fast_without_an_error_is_like_any_other<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::of_all(Fate::Yield(2));
    let mut stream = (0..10).pool_map(3, lab.tries()).with_set(set()).fail_fast();
    assert_eq!(drain_items(&mut stream), (0..10).map(Ok).collect::<Vec<_>>());
    assert_eq!(lab.most_active(), 3);
}

#[test]
fn fail_fast_drops_results_that_were_not_yet_taken() {
    let token = Rc::new(());
    let make = |item: usize| ready(if item == 4 { Err(item) } else { Ok(Rc::clone(&token)) });
    // In the very call that would have given the first of them.
    let mut stream = (0..10).pool_map(10, make).fail_fast();
    assert!(matches!(poll_next(&mut stream), Poll::Ready(Some(Err(4)))));
    assert_eq!(Rc::strong_count(&token), 1);
    assert_eq!(stream.finished(), 0);
    let mut stream = (0..10).pool_map(1, make).unordered().fail_fast();
    for ok in 0..3 {
        assert!(matches!(poll_next(&mut stream), Poll::Ready(Some(Ok(_)))), "{ok}");
    }
    // Three is held when four is started, and fails.
    assert_eq!(Rc::strong_count(&token), 2);
    assert!(matches!(poll_next(&mut stream), Poll::Ready(Some(Err(4)))));
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn fail_fast_has_a_lower_size_hint_of_at_most_one() {
    let lab = Lab::of_all(Fate::Yield(1));
    let mut stream = (0..5).pool_map(2, lab.tries()).fail_fast().indexed();
    for left in (1..=5).rev() {
        assert_eq!(stream.size_hint(), (1, Some(left)));
        assert!(run(stream.next()).is_some());
    }
    assert_eq!(stream.size_hint(), (0, Some(0)));
    lab.plan(0, Fate::Fail);
    let mut stream = (0..5).pool_map(2, lab.tries()).fail_fast();
    assert_eq!(run(stream.next()), Some(Err(0)));
    assert_eq!(stream.size_hint(), (0, Some(0)));
    assert_eq!((0..).pool_map(2, lab.tries()).fail_fast().size_hint(), (1, None));
    assert_eq!((0..0).pool_map(2, lab.tries()).fail_fast().size_hint(), (0, Some(0)));
}

#[test]
fn fail_fast_does_not_take_a_panic_for_an_error() {
    let lab = Lab::of_all(Fate::Finish);
    lab.plan(1, Fate::Panic);
    lab.plan(3, Fate::Fail);
    let mut stream = (0..5).pool_map(1, lab.tries()).max_finished(0).fail_fast();
    let came = [Came::Item(Ok(0)), Came::Panic("boom 1".into()), Came::Item(Ok(2)), Came::Item(Err(3)), Came::End];
    assert_eq!(drain(&mut stream), came);
}

#[test]
fn await_on_fail_fast_drops_everything_with_its_error() {
    let (lab, (_, waker)) = (Lab::default(), Wakes::new());
    lab.plan(0, Fate::Finish);
    let mut all = pin!(awaited((0..10).pool_map(4, lab.tries()).fail_fast()));
    assert!(all.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(lab.active(), [1, 2, 3, 4]);
    lab.now(3, Fate::Fail);
    assert_eq!(all.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Err(3)));
    assert_eq!(lab.dropped(), [0, 1, 2, 3, 4]);
}

/// The futures' fates: `panicking` panics, the others wake themselves `yields` times and finish.
fn lab_with_panics(panicking: &[usize], yields: usize) -> Lab {
    let lab = Lab::of_all(Fate::Finish);
    if yields > 0 {
        (0..20).for_each(|item| lab.plan(item, Fate::Yield(yields)));
    }
    for &item in panicking {
        lab.plan(item, Fate::Panic);
    }
    lab
}

/// Drains an indexed stream of 20, of which `panicking` panic, in the order of the source or not.
fn check_panics(panicking: &[usize], ordered: bool, mut stream: impl Stream<Item = (usize, usize)> + Unpin) {
    let (_, waker) = Wakes::new();
    let (mut left, mut results, mut panics) = (20, Vec::new(), Vec::new());
    for polls in 0.. {
        assert!(polls < 1000, "after {results:?} and {panics:?} it does not come to its end");
        assert_eq!(stream.size_hint(), (left, Some(left)));
        match poll_caught(&mut stream, &waker) {
            Came::Item((index, item)) => {
                assert_eq!(index, item);
                results.push(item);
                left -= 1;
            }
            Came::Panic(panic) => {
                panics.push(panic);
                left -= 1;
            }
            Came::Pending => {}
            Came::End => break,
        }
    }
    assert_eq!(left, 0);
    if !ordered {
        results.sort_unstable();
        panics.sort_unstable();
    }
    assert_eq!(results, (0..20).filter(|item| !panicking.contains(item)).collect::<Vec<_>>());
    let mut booms: Vec<_> = panicking.iter().map(|item| format!("boom {item}")).collect();
    booms.sort_unstable();
    panics.sort_unstable();
    assert_eq!(panics, booms);
}

const PANICKING: [&[usize]; 5] = [&[0], &[19], &[5, 6, 7], &[0, 1, 18, 19], &[2, 4, 6, 8, 10]];

fn a_panic_of_a_future_at_its_first_poll_passes_through_and_the_rest_continues<S: ActiveSet>(set: impl Fn() -> S) {
    for panicking in PANICKING {
        for (size, yields) in [(1, 0), (3, 0), (3, 2), (20, 1)] {
            let lab = lab_with_panics(panicking, yields);
            let stream = || (0..20).pool_map(size, lab.steps()).with_set(set());
            check_panics(panicking, true, stream().indexed());
            let lab = lab_with_panics(panicking, yields);
            let stream = || (0..20).pool_map(size, lab.steps()).with_set(set());
            check_panics(panicking, false, stream().unordered().indexed());
            lab.assert_each_dropped_once();
        }
    }
}

fn a_panic_of_a_woken_future_passes_through_and_the_rest_continues<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let mut stream = (0..8).pool_map(4, lab.steps()).with_set(set());
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    // Others are woken at the same time, and one has finished already.
    lab.finish(3);
    assert_eq!(drain(&mut stream), [Came::Pending]);
    lab.now(1, Fate::Panic);
    lab.finish(0);
    lab.now(2, Fate::Panic);
    (4..8).for_each(|item| lab.plan(item, Fate::Finish));
    // Four was started and is pending.
    lab.finish(4);
    let mut came = drain(&mut stream);
    assert_eq!(came.pop(), Some(Came::End));
    let (panics, items): (Vec<_>, Vec<_>) = came.into_iter().partition(|came| matches!(came, Came::Panic(_)));
    assert_eq!(panics.len(), 2);
    assert_eq!(items, [0, 3, 4, 5, 6, 7].map(Came::Item));
    lab.assert_each_dropped_once();
}

fn a_panic_of_the_closure_passes_through_and_the_rest_continues<S: ActiveSet>(set: impl Fn() -> S) {
    for panicking in PANICKING {
        for (size, yields) in [(1, 0), (3, 0), (3, 2), (20, 1)] {
            let (one, other) = (lab_with_panics(&[], yields), lab_with_panics(&[], yields));
            let make = |lab: &Lab| {
                let lab = lab.clone();
                move |item| if panicking.contains(&item) { boom(item) } else { lab.step(item) }
            };
            check_panics(panicking, true, (0..20).pool_map(size, make(&one)).with_set(set()).indexed());
            check_panics(panicking, false, (0..20).pool_map(size, make(&other)).with_set(set()).unordered().indexed());
            assert!(one.most_active() <= size);
        }
    }
}

fn a_panic_of_the_source_passes_through_and_the_rest_continues<S: ActiveSet>(set: impl Fn() -> S) {
    for yields in [0, 2] {
        let script = || {
            let items =
                (0..20).flat_map(|item| iter::once(Say::Item(item)).chain((item % 5 == 4).then_some(Say::Panic)));
            Script::new(iter::once(Say::Panic).chain(items))
        };
        let check = |mut stream: Pin<&mut dyn Stream<Item = (usize, usize)>>| {
            let came = drain(&mut stream);
            let boom = |came: &&Came<_>| **came == Came::Panic("boom 1000".into());
            assert_eq!(came.iter().filter(boom).count(), 5);
            let items = (0..20).map(|item| Came::Item((item, item)));
            assert!(items.eq(came.into_iter().filter(|came| matches!(came, Came::Item(_)))));
        };
        let lab = lab_with_panics(&[], yields);
        check(pin!(script().pool_map(3, lab.steps()).with_set(set()).indexed()));
        let lab = lab_with_panics(&[], yields);
        check(pin!(script().pool_map(1, lab.steps()).with_set(set()).unordered().indexed()));
    }
    // An iterator as well.
    let mut calls = 0;
    let panics_once = iter::from_fn(|| {
        calls += 1;
        if calls == 3 { boom(calls) } else { (calls < 6).then_some(calls) }
    });
    let mut came = drain(&mut panics_once.pool_map(2, Lab::of_all(Fate::Finish).steps()).with_set(set()));
    came.retain(|came| *came != Came::Panic("boom 3".into()));
    assert_eq!(came, [Came::Item(1), Came::Item(2), Came::Item(4), Came::Item(5), Came::End]);
}

fn after_a_panic_the_slot_is_free_and_filled_again<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    let make = {
        let steps = lab.steps();
        move |item| if item == 5 { boom(item) } else { steps(item) }
    };
    let mut stream = (0..10).pool_map(3, make).with_set(set()).unordered();
    assert_eq!(drain(&mut stream), [Came::Pending]);
    lab.now(1, Fate::Panic);
    assert_eq!(drain(&mut stream), [Came::Panic("boom 1".into()), Came::Pending]);
    assert_eq!(lab.active(), [0, 2, 3]);
    lab.plan(4, Fate::Panic);
    lab.finish(0);
    let came = drain(&mut stream);
    assert_eq!(came.iter().filter(|came| matches!(came, Came::Panic(_))).count(), 2);
    assert!(came.contains(&Came::Item(0)));
    assert_eq!(lab.active(), [2, 3, 6]);
    assert_eq!(lab.most_active(), 3);
}

fn a_destructor_that_panics_at_the_first_poll_loses_no_output<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::of_all(Fate::Finish);
    lab.plan_bomb(1);
    let mut stream = (0..4).pool_map(2, lab.steps()).with_set(set()).indexed();
    let mut came = drain(&mut stream);
    came.retain(|came| *came != Came::Panic("boom 1".into()));
    let items = (0..4).map(|item| Came::Item((item, item)));
    assert_eq!(came, items.chain([Came::End]).collect::<Vec<_>>());
    lab.assert_each_dropped_once();
}

// Not on `UnorderedSet`, as its docs say: `FuturesUnordered` drops the future before it gives the output.
#[test]
fn a_destructor_that_panics_after_a_wake_up_loses_no_output() {
    let lab = Lab::of_all(Fate::Finish);
    (0..4).for_each(|item| lab.plan(item, Fate::Yield(2)));
    lab.plan_bomb(1);
    let mut stream = (0..8).pool_map(2, lab.steps()).indexed();
    let mut came = drain(&mut stream);
    came.retain(|came| *came != Came::Panic("boom 1".into()));
    let items = (0..8).map(|item| Came::Item((item, item)));
    assert_eq!(came, items.chain([Came::End]).collect::<Vec<_>>());
    assert_eq!(lab.most_active(), 2);
    lab.assert_each_dropped_once();
}

fn a_destructor_that_panics_does_not_save_the_others_from_being_dropped<S: ActiveSet>(set: impl Fn() -> S) {
    for bomb in [0, 2, 4] {
        let lab = Lab::default();
        lab.plan_bomb(bomb);
        let mut stream = (0..10).pool_map(5, lab.steps()).with_set(set());
        assert_eq!(poll_next(&mut stream), Poll::Pending);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(stream))).is_err());
        assert_eq!(lab.dropped(), [0, 1, 2, 3, 4], "with a bomb in {bomb}");
    }
}

fn a_destructor_that_panics_does_not_hold_up_fail_fast<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    lab.plan_bomb(1);
    let mut stream = (0..10).pool_map(5, lab.tries()).with_set(set()).fail_fast();
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    lab.now(3, Fate::Fail);
    assert_eq!(drain(&mut stream), [Came::Panic("boom 1".into()), Came::Item(Err(3)), Came::End]);
    lab.assert_each_dropped_once();
}

fn every_item_may_panic<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::of_all(Fate::Panic);
    let mut stream = (0..100).pool_map(3, lab.steps()).with_set(set());
    let came = drain(&mut stream);
    assert_eq!(came.len(), 101);
    assert_eq!(came.last(), Some(&Came::End));
    assert!(stream.is_terminated());
    let mut stream = (0..100).pool_map(3, |item| -> Step { boom(item) }).with_set(set());
    assert_eq!(drain(&mut stream).len(), 101);
}

#[test]
fn an_await_continues_after_a_panic() {
    let (lab, (_, waker)) = (lab_with_panics(&[3, 7], 1), Wakes::new());
    let mut all = pin!(awaited((0..20).pool_map(2, lab.steps())));
    let mut panics = 0;
    let results = loop {
        let poll = || all.as_mut().poll(&mut Context::from_waker(&waker));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(results)) => break results,
            Ok(Poll::Pending) => {}
            Err(_) => panics += 1,
        }
    };
    assert_eq!(panics, 2);
    assert_eq!(results, (0..20).filter(|item| ![3, 7].contains(item)).collect::<Vec<_>>());
}

fn catch_unwind_makes_an_item_of_a_panic_at_any_poll<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = Lab::default();
    lab.plan(1, Fate::Panic);
    let mut stream = (0..5).pool_map(3, lab.steps()).catch_unwind().with_set(set()).indexed();
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(lab.active(), [0, 2, 3]);
    lab.now(0, Fate::Panic);
    lab.finish(2);
    lab.finish(3);
    lab.plan(4, Fate::Panic);
    let mut results = Vec::new();
    for left in (0..5).rev() {
        let Poll::Ready(Some((index, result))) = poll_next(&mut stream) else { panic!("nothing is pending") };
        results.push((index, result.map_err(|panic| *panic.into_payload().downcast::<String>().unwrap())));
        assert_eq!(stream.size_hint(), (left, Some(left)));
    }
    let boom = |item| (item, Err(format!("boom {item}")));
    assert_eq!(results, [boom(0), boom(1), (2, Ok(2)), (3, Ok(3)), boom(4)]);
    assert!(matches!(poll_next(&mut stream), Poll::Ready(None)));
    lab.assert_each_dropped_once();
}

fn catch_unwind_makes_an_item_of_a_destructor_that_panics<S: ActiveSet>(set: impl Fn() -> S) {
    let lab = lab_with_panics(&[3, 4], 1);
    // After a panic, after an end, and twice: two panics in one future.
    for item in [1, 3, 5] {
        lab.plan_bomb(item);
    }
    lab.plan(5, Fate::Finish);
    let mut stream = (0..8).pool_map(2, lab.steps()).catch_unwind().with_set(set());
    let came: Vec<_> =
        drain_items(&mut stream).into_iter().map(|result| result.map_err(|panic| panic.to_string())).collect();
    let boom = |item| Err(format!("a future panicked: boom {item}"));
    assert_eq!(came, [Ok(0), boom(1), Ok(2), boom(3), boom(4), boom(5), Ok(6), Ok(7)]);
    lab.assert_each_dropped_once();
}

#[test]
fn catch_unwind_does_not_catch_the_closure_or_the_source() {
    let lab = Lab::of_all(Fate::Finish);
    let steps = lab.steps();
    let source = Script::new([Say::Item(0), Say::Item(1), Say::Panic, Say::Item(2)]);
    let mut stream = source.pool_map(1, |item| if item == 1 { boom(item) } else { steps(item) }).catch_unwind();
    let (_, waker) = Wakes::new();
    let came: Vec<_> = iter::from_fn(|| match poll_caught(&mut stream, &waker) {
        Came::Item(result) => Some(result.map_err(|panic| panic.to_string())),
        Came::Panic(panic) => Some(Err(panic)),
        _ => None,
    })
    .collect();
    // Zero waits in the bound on results when the panics pass by.
    assert_eq!(sorted(came.clone()), [Ok(0), Ok(2), Err("boom 1".into()), Err("boom 1000".into())], "{came:?}");
}

#[test]
fn a_caught_panic_can_be_told_from_others_and_resumed() {
    let raise: [fn(); 3] = [
        || resume_unwind(Box::new("text")),
        || resume_unwind(Box::new(String::from("owned"))),
        || resume_unwind(Box::new(42_u64)),
    ];
    let mut caught = run(raise.into_iter().pool_map(2, |raise| future::lazy(move |_| raise())).catch_unwind());
    let number = caught.pop().unwrap().unwrap_err();
    assert_eq!((number.message(), number.to_string()), (None, "a future panicked".into()));
    let again = catch_unwind(AssertUnwindSafe(|| -> () { number.resume() })).unwrap_err();
    assert_eq!(again.downcast_ref::<u64>(), Some(&42));
    let messages: Vec<_> = caught.iter().map(|result| result.as_ref().unwrap_err().message()).collect();
    assert_eq!(messages, [Some("text"), Some("owned")]);
}

fn size_hint_is_exact_all_along<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, mut left: usize, mut stream: impl Stream<Item = usize> + Unpin) {
        while left > 0 {
            assert_eq!(stream.size_hint(), (left, Some(left)));
            match poll_next(&mut stream) {
                Poll::Ready(Some(_)) => left -= 1,
                Poll::Ready(None) => panic!("{left} are missing"),
                Poll::Pending => {
                    let active = lab.active();
                    lab.finish(active[active.len() / 2]);
                }
            }
        }
        assert_eq!(stream.size_hint(), (0, Some(0)));
        assert_eq!(poll_next(&mut stream), Poll::Ready(None));
        assert_eq!(stream.size_hint(), (0, Some(0)));
    }
    for (size, max_finished) in [(1, 1), (3, 0), (3, 5), (100, usize::MAX)] {
        let lab = Lab::default();
        check(&lab, 10, (0..10).pool_map(size, lab.steps()).with_set(set()).max_finished(max_finished));
        let lab = Lab::default();
        check(&lab, 10, (0..10).pool_map(size, lab.steps()).with_set(set()).max_finished(max_finished).unordered());
        let lab = Lab::default();
        check(&lab, 10, stream::iter(0..10).pool_map(size, lab.steps()).with_set(set()).max_finished(max_finished));
    }
}

#[test]
fn size_hint_is_that_of_the_source_and_what_is_inside() {
    let mut source = Script::new((0..4).map(Say::Item));
    source.hint = (2, Some(10));
    let mut stream = source.pool_map(2, Lab::default().steps());
    assert_eq!(stream.size_hint(), (2, Some(10)));
    assert_eq!(poll_next(&mut stream), Poll::Pending);
    // The source of this test does not learn; what is active counts on top.
    assert_eq!(stream.size_hint(), (4, Some(12)));
    assert_eq!((0..).pool_map(2, ready).size_hint(), (usize::MAX, None));
}

#[test]
fn it_is_terminated_when_it_has_ended_and_not_before() {
    fn check(mut stream: impl FusedStream<Item: PartialEq + std::fmt::Debug> + Unpin) {
        while stream.size_hint().0 > 0 {
            assert!(!stream.is_terminated());
            assert!(run(stream.next()).is_some());
        }
        assert_eq!(poll_next(&mut stream), Poll::Ready(None));
        assert!(stream.is_terminated());
        assert_eq!(poll_next(&mut stream), Poll::Ready(None));
        assert!(stream.is_terminated());
    }
    let lab = Lab::of_all(Fate::Finish);
    lab.plan(0, Fate::Yield(1));
    check((0..5).pool_map(2, lab.steps()));
    check((0..5).pool_map(2, lab.steps()).unordered());
    check((0..5).pool_map(2, lab.steps()).max_finished(0).indexed());
    check((0..5).pool_map(2, lab.tries()).fail_fast());
    check((0..5).pool_map(2, lab.steps()).batches(yield_when::first_completed));
    check((0..0).pool_map(2, lab.steps()));
    // All that is left is a future that does not end.
    let mut stuck = (0..1).pool_map(2, async |_| pending::<()>().await);
    assert_eq!(poll_next(&mut Box::pin(&mut stuck)), Poll::Pending);
    assert!(!stuck.is_terminated());
}

#[test]
fn debug_prints_counts_and_asks_nothing_of_the_types() {
    struct Opaque(#[expect(dead_code)] usize);
    let lab = Lab::default();
    let chain = |lab: &Lab| {
        let steps = lab.steps();
        (0..5).pool_map(2, move |item| {
            let step = steps(item);
            Box::pin(async { Opaque(step.await) })
        })
    };
    let mut stream = chain(&lab);
    assert!(poll_next(&mut stream).is_pending());
    lab.finish(1);
    assert!(poll_next(&mut stream).is_pending());
    let text = format!("{stream:?}");
    assert!(["size: 2", "active: 2", "finished: 1"].iter().all(|count| text.contains(count)), "{text}");
    for text in [
        format!("{:?}", chain(&lab).unordered().max_finished(1)),
        format!("{:?}", chain(&lab).indexed()),
        format!("{:?}", chain(&lab).catch_unwind()),
        format!("{:?}", chain(&lab).batches(|_| true)),
        format!("{:?}", awaited(chain(&lab))),
        format!("{:?}", awaited((0..5).pool_map(2, async |_| Err::<Opaque, _>(Opaque(0))).fail_fast())),
    ] {
        assert!(text.contains("size: 2"), "{text}");
    }
}

const _: () = {
    /// Neither `Unpin` nor `Debug` nor anything else, but `Send`.
    struct Held(PhantomPinned);

    impl Future for Held {
        type Output = Result<Held, Held>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }

    fn is_send_and_unpin<T: Send + Unpin>(value: T) -> T {
        value
    }

    const fn is_error<T: std::error::Error + Send + Sync + 'static>() {}

    fn chain() -> PoolMap<impl Send + Unpin, Result<Held, Held>> {
        fn make(_: String) -> Held {
            unreachable!("only the type is asked for")
        }
        is_send_and_unpin(vec![String::new()].into_iter().pool_map(2, make))
    }

    #[allow(dead_code, reason = "it only has to compile")]
    fn all() {
        fn items() -> vec::IntoIter<Held> {
            vec![].into_iter()
        }
        let make = || items().pool_map(2, |held| held);
        drop(is_send_and_unpin(chain()));
        drop(is_send_and_unpin(make().unordered()));
        drop(is_send_and_unpin(make().with_set(UnorderedSet)));
        drop(is_send_and_unpin(make().fail_fast()));
        drop(is_send_and_unpin(make().indexed()));
        drop(is_send_and_unpin(IntoFuture::into_future(make())));
        drop(is_send_and_unpin(IntoFuture::into_future(make().fail_fast())));
        drop(is_send_and_unpin(make().batches(|_| true)));
    }

    is_error::<Panic>();
};

fn dropping_the_stream_at_any_point_drops_every_future_once<S: ActiveSet>(set: impl Fn() -> S) {
    fn check(lab: &Lab, polls: usize, mut stream: impl Stream<Item = usize> + Unpin) -> bool {
        let mut ended = false;
        for _ in 0..polls {
            match poll_next(&mut stream) {
                Poll::Ready(item) => ended = item.is_none(),
                Poll::Pending => lab.finish(lab.active()[0]),
            }
        }
        drop(stream);
        lab.assert_each_dropped_once();
        assert_eq!(lab.active(), []);
        ended
    }
    for polls in 0.. {
        let lab = Lab::default();
        let ended = check(&lab, polls, (0..8).pool_map(3, lab.steps()).with_set(set()));
        let lab = Lab::default();
        if check(&lab, polls, (0..8).pool_map(3, lab.steps()).with_set(set()).unordered().indexed().map(|(i, _)| i))
            && ended
        {
            return;
        }
    }
}

fn dropping_the_await_at_any_point_drops_every_future_once<S: ActiveSet>(set: impl Fn() -> S) {
    for polls in 0.. {
        let (lab, token) = (Lab::default(), Rc::new(()));
        let make = {
            let (lab, token) = (lab.clone(), Rc::clone(&token));
            move |item: usize| -> LocalBoxFuture<'static, Rc<()>> {
                // Two points to wait at, and what is held over both of them.
                let (first, second, token) = (lab.step(2 * item), lab.step(2 * item + 1), Rc::clone(&token));
                Box::pin(async move {
                    first.await;
                    second.await;
                    token
                })
            }
        };
        let mut all = Box::pin(awaited((0..5).pool_map(2, make).with_set(set())));
        let mut ended = None;
        for _ in 0..polls {
            match all.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(tokens) => {
                    ended = Some(tokens);
                    break;
                }
                Poll::Pending => lab.finish(*lab.active().last().unwrap()),
            }
        }
        drop(all);
        lab.assert_each_dropped_once();
        assert_eq!(Rc::strong_count(&token), 1 + ended.as_ref().map_or(0, Vec::len));
        if ended.is_some() {
            return;
        }
    }
}

#[test]
fn results_that_nobody_took_are_dropped_with_the_stream() {
    let token = Rc::new(());
    let mut stream = (0..20).pool_map(5, |_| ready(Rc::clone(&token))).max_finished(9);
    assert!(poll_next(&mut stream).is_ready());
    assert_eq!(Rc::strong_count(&token), 10);
    drop(stream);
    assert_eq!(Rc::strong_count(&token), 1);
}

fn futures_that_wake_one_another_when_dropped_are_harmless<S: ActiveSet>(set: impl Fn() -> S) {
    for rising in [true, false] {
        let (_held, head) = oneshot::channel();
        let token = Rc::new(());
        let hold = |future: LocalBoxFuture<'static, usize>| {
            let token = Rc::clone(&token);
            future.inspect(move |_| drop(token)).boxed_local()
        };
        let mut stream = linked(100, rising, Some(head)).pool_map(100, hold).with_set(set());
        assert_eq!(drain(&mut stream), [Came::Pending]);
        assert_eq!(Rc::strong_count(&token), 101);
        drop(stream);
        assert_eq!(Rc::strong_count(&token), 1);
    }
}

fn late_wakers_are_harmless<S: ActiveSet>(set: impl Fn() -> S) {
    let (lab, (woken, waker)) = (Lab::default(), Wakes::new());
    let mut stream = (0..100).pool_map(70, lab.steps()).with_set(set());
    while lab.active().len() < 70 {
        let _ = poll_caught(&mut stream, &waker);
    }
    assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
    let wakers: Vec<_> = lab.0.borrow_mut().wakers.drain().collect();
    drop(stream);
    let before = woken.count();
    for (_, waker) in &wakers {
        waker.wake_by_ref();
    }
    thread::spawn(move || wakers.into_iter().for_each(|(_, waker)| waker.wake())).join().unwrap();
    assert_eq!(woken.count(), before, "a task was woken for a stream that is gone");
    drop(waker);
    assert_eq!(Arc::strong_count(&woken), 1, "a task is held for a stream that is gone");
}

fn a_late_waker_does_no_harm_to_the_next_future_in_its_slot<S: ActiveSet>(set: impl Fn() -> S) {
    let (lab, (_, waker)) = (Lab::default(), Wakes::new());
    let mut stream = (0..4).pool_map(1, lab.steps()).with_set(set());
    let mut late = Vec::new();
    for item in 0..4 {
        assert_eq!(poll_caught(&mut stream, &waker), Came::Pending);
        late.push(lab.0.borrow().wakers[&item].clone());
        late.iter().for_each(Waker::wake_by_ref);
        assert_eq!(drain(&mut stream), [Came::Pending]);
        lab.finish(item);
        late.iter().for_each(Waker::wake_by_ref);
        assert_eq!(poll_caught(&mut stream, &waker), Came::Item(item));
        late.iter().for_each(Waker::wake_by_ref);
    }
    assert_eq!(drain(&mut stream), [Came::End]);
    late.iter().for_each(Waker::wake_by_ref);
    assert_eq!(drain(&mut stream), [Came::End]);
    lab.assert_each_dropped_once();
}
