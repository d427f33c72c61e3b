//! `Pool`, member by member, on each of the active sets.
//!
//! The futures do what the test's hand tells them, and the pool is polled by hand.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::Debug;
use std::future::{Pending, Ready, pending, ready};
use std::hash::Hash;
use std::iter;
use std::marker::PhantomPinned;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use futures::channel::oneshot;
use futures::stream::{FusedStream, Stream, StreamExt};
use futures_pool::{ActiveSet, Key, Keys, Pool, Progress, SlotSet, UnorderedSet, yield_when};

use common::{Wakes, poll_next, run};

// The sets.

/// An active set for futures of any type.
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

/// Makes a test on each set of each function named; one that is not named here is dead code to the compiler.
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

/// Controls one future, and knows what was done with it.
#[derive(Clone, Default)]
struct Hand(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    output: Option<u32>,
    does: Does,
    panics_in_drop: bool,
    polls: usize,
    dropped: bool,
    waker: Option<Waker>,
}

/// What else a poll does.
#[derive(Clone, Copy, Default, PartialEq)]
enum Does {
    #[default]
    Nothing,
    WakeItself,
    Panic,
}

/// The future. `!Unpin`, so that nothing in a pool may rely on moving it.
struct Job(Hand, PhantomPinned);

impl Hand {
    fn job(&self) -> Job {
        Job(self.clone(), PhantomPinned)
    }

    fn wake(&self) {
        let waker = self.0.borrow().waker.clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    fn finish(&self, output: u32) {
        self.0.borrow_mut().output = Some(output);
        self.wake();
    }

    /// Has the next poll panic.
    fn panic(&self) {
        self.0.borrow_mut().does = Does::Panic;
        self.wake();
    }

    /// Has the destructor panic.
    fn panic_in_drop(&self) {
        self.0.borrow_mut().panics_in_drop = true;
    }

    fn spin(&self) {
        self.0.borrow_mut().does = Does::WakeItself;
        self.wake();
    }

    fn polls(&self) -> usize {
        self.0.borrow().polls
    }

    fn is_dropped(&self) -> bool {
        self.0.borrow().dropped
    }

    fn is_waiting(&self) -> bool {
        self.polls() == 0 && !self.is_dropped()
    }

    fn is_active(&self) -> bool {
        self.polls() > 0 && !self.is_dropped()
    }
}

impl Future for Job {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let mut state = self.0.0.borrow_mut();
        state.polls += 1;
        state.waker = Some(cx.waker().clone());
        if state.does == Does::WakeItself {
            cx.waker().wake_by_ref();
        }
        assert!(state.does != Does::Panic, "on purpose, in poll");
        state.output.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut state = self.0.0.borrow_mut();
        state.dropped = true;
        let panics = state.panics_in_drop;
        drop(state);
        assert!(!panics, "on purpose, in drop");
    }
}

fn hands<const N: usize>() -> [Hand; N] {
    std::array::from_fn(|_| Hand::default())
}

fn job(hand: &Hand) -> Job {
    hand.job()
}

/// A future that finishes at its first poll.
fn done(output: u32) -> Job {
    let hand = Hand::default();
    hand.finish(output);
    hand.job()
}

/// A future that never finishes.
fn stuck() -> Job {
    Hand::default().job()
}

fn total_polls(hands: &[Hand]) -> usize {
    hands.iter().map(Hand::polls).sum()
}

// Polling.

/// Polls a future once, and drops it.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a pinned future once.
fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a stream once, with this waker.
fn poll_next_as<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

/// Polls the pool once, and takes no result.
fn drive<F: Future, A: ActiveSet>(pool: &mut Pool<F, A>) {
    let _ = poll_once(pool.join());
}

/// Polls the pool until nothing is waiting, with however many calls that takes.
#[track_caller]
fn start_all<F: Future, A: ActiveSet>(pool: &mut Pool<F, A>) {
    let mut calls = 0;
    while pool.waiting() > 0 {
        drive(pool);
        calls += 1;
        assert!(calls < 1000, "they do not get started: {pool:?}");
    }
}

/// Takes the outputs that the stream gives until it is pending or at its end, in ascending order.
fn outputs<F: Future<Output = u32>, A: ActiveSet>(pool: &mut Pool<F, A>) -> Vec<u32> {
    let mut outputs = Vec::new();
    while let Poll::Ready(Some((_, output))) = poll_next(pool) {
        outputs.push(output);
    }
    outputs.sort_unstable();
    outputs
}

#[track_caller]
fn assert_panics<T>(f: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "a panic did not pass through");
}

/// Asserts that a pool, in which nothing may be waiting or active, still has `size` slots and all of them work.
#[track_caller]
fn assert_sound<A: ActiveSet>(pool: &mut Pool<Job, A>) {
    assert_eq!(pool.len(), 0);
    let jobs: Vec<_> = iter::repeat_with(Hand::default).take(pool.size() + 1).collect();
    let keys: Vec<_> = pool.map_n(&jobs, job).collect();
    drive(pool);
    assert_eq!((pool.active(), pool.waiting()), (pool.size(), 1), "a slot was lost, or one gained");
    (1000..).zip(&jobs).for_each(|(output, job)| job.finish(output));
    run(pool.join());
    for (output, key) in (1000..).zip(keys) {
        assert_eq!(pool.take_result(key), Some(output));
    }
}

fn counts<F: Future, A: ActiveSet>(pool: &Pool<F, A>) -> [usize; 4] {
    [pool.waiting(), pool.active(), pool.finished(), pool.executed()]
}

// Pushing.

fn spawn_n_neither_waits_nor_polls<S: Set>() {
    let mut pool = S::pool(1);
    let jobs: [_; 3] = hands();
    for job in &jobs {
        pool.spawn_n(job.job());
    }
    assert!(jobs.iter().all(Hand::is_waiting));
    assert_eq!(pool.waiting(), 3);
}

fn map_n_makes_all_futures_at_once_and_polls_none<S: Set>() {
    let mut pool = S::pool(1);
    let jobs: [_; 3] = hands();
    let mut made = 0;
    let keys = pool.map_n(&jobs, |hand| {
        made += 1;
        hand.job()
    });
    assert_eq!((made, keys.len()), (3, 3));
    assert!(jobs.iter().all(Hand::is_waiting));
}

fn the_keys_of_map_n_are_those_of_its_items_in_their_order<S: Set>() {
    let mut pool = S::pool(2);
    pool.spawn_n(done(9));
    let mut keys = pool.map_n([10, 20, 30], done);
    run(pool.join());
    for (left, output) in [(2, 10), (1, 20), (0, 30)] {
        let key = keys.next().unwrap();
        assert_eq!((keys.len(), keys.size_hint()), (left, (left, Some(left))));
        assert_eq!(pool.take_result(key), Some(output));
    }
    assert_eq!(keys.next(), None);
    assert_eq!(outputs(&mut pool), [9]);
}

fn map_n_of_nothing_pushes_nothing<S: Set>() {
    let mut pool = S::pool(2);
    assert_eq!(pool.map_n([], done).count(), 0);
    assert!(pool.is_terminated());
}

fn extend_pushes_every_future_and_polls_none<S: Set>() {
    let mut pool = S::pool(1);
    let jobs: [_; 3] = hands();
    pool.extend(jobs.iter().map(job));
    assert!(jobs.iter().all(Hand::is_waiting));
    let after = pool.spawn_n(done(3));
    assert_eq!(counts(&pool), [4, 0, 0, 0]);
    (0..).zip(&jobs).for_each(|(output, job)| job.finish(output));
    let results: Vec<_> = run(pool.by_ref().collect());
    assert_eq!(results.iter().map(|(_, output)| *output).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(results.is_sorted() && results[3].0 == after, "{results:?}");
}

fn keys_rise_in_the_order_of_spawning_and_are_never_reused<S: Set>() {
    let mut pool = S::pool(2);
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(pool.spawn_n(done(0)));
        keys.extend(pool.map_n([1, 2], done));
        keys.push(run(pool.spawn(done(3))));
        run(pool.join());
        keys.push(pool.try_spawn(done(4)).ok().unwrap());
        assert!(pool.cancel(*keys.last().unwrap()));
        run(pool.exec(done(5)));
        run(pool.map_all([6, 7], done));
        keys.extend(run(pool.itermap([8, 9], done).keyed().map(|(key, _)| key).collect::<Vec<_>>()));
        keys.push(pool.spawn_n(stuck()));
        drive(&mut pool);
        keys.push(pool.spawn_n(stuck()));
        assert_eq!(pool.cancel_all(), 2);
        assert_eq!(outputs(&mut pool), [0, 1, 2, 3]);
    }
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    let distinct: HashSet<_> = keys.iter().copied().collect();
    assert_eq!(distinct.len(), keys.len());
}

fn a_push_wakes_the_task_that_last_polled<S: Set>() {
    let mut pool = S::pool(2);
    pool.spawn_n(stuck());
    let (wakes, task) = Wakes::new();
    for how in 0..3 {
        assert!(poll_next_as(&mut pool, &task).is_pending());
        let before = wakes.count();
        match how {
            0 => {
                pool.spawn_n(done(1));
            }
            1 => {
                pool.map_n([1], done);
            }
            _ => pool.extend([done(1)]),
        }
        assert!(wakes.count() > before, "nobody would start the new future");
        assert_eq!(outputs(&mut pool), [1]);
    }
}

// spawn.

fn spawn_starts_the_future_at_once_where_there_is_room<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    assert!(poll_once(pool.spawn(a.job())).is_ready());
    assert!(a.is_active());
    assert_eq!(counts(&pool), [0, 1, 0, 0]);
}

fn spawn_waits_for_room_and_then_starts_the_future_at_once<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    pool.spawn_n(a.job());
    let (wakes, task) = Wakes::new();
    let key = {
        let mut spawn = pin!(pool.spawn(b.job()));
        assert!(spawn.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
        assert!(a.is_active() && b.is_waiting());
        let before = wakes.count();
        a.finish(1);
        assert!(wakes.count() > before);
        let Poll::Ready(key) = poll(&mut spawn) else { panic!("a slot is free") };
        key
    };
    assert!(b.is_active());
    assert_eq!(counts(&pool), [0, 1, 1, 1]);
    b.finish(2);
    assert_eq!(run(pool.wait(key)), Some(2));
}

fn spawn_starts_what_is_queued_and_then_its_own_in_one_call<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 3] = hands();
    let _ = pool.map_n(&jobs[..2], job);
    assert!(poll_once(pool.spawn(jobs[2].job())).is_ready());
    assert!(jobs.iter().all(Hand::is_active));
}

fn spawn_comes_after_all_that_is_queued<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c, d] = hands();
    let _ = pool.map_n([&a, &b, &c], job);
    let mut spawn = pin!(pool.spawn(d.job()));
    assert!(poll(&mut spawn).is_pending());
    a.finish(1);
    assert!(poll(&mut spawn).is_pending(), "the slot is that of the third in the queue");
    assert!(c.is_active() && d.is_waiting());
    c.finish(3);
    assert!(poll(&mut spawn).is_ready());
    assert!(b.is_active() && d.is_active());
}

/// One call starts at most 64 futures, so the queue is not empty when the first call ends.
fn spawn_behind_a_queue_longer_than_the_polls_of_one_call_mixes_up_no_keys<S: Set>() {
    let mut pool = S::pool(1000);
    let jobs: [_; 201] = hands();
    let mut keys: Vec<_> = pool.map_n(&jobs[..200], job).collect();
    keys.push(run(pool.spawn(jobs[200].job())));
    assert!(jobs[200].is_active());
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    drive(&mut pool);
    (0..).zip(&jobs).for_each(|(output, job)| job.finish(output));
    run(pool.join());
    for (output, key) in (0..).zip(keys) {
        assert_eq!(pool.take_result(key), Some(output), "{key:?}");
    }
}

fn spawn_starts_futures_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let _ = pool.map_n([1, 2, 3], done);
    run(pool.spawn(done(4)));
    assert_eq!(counts(&pool), [0, 0, 4, 4]);
}

fn spawn_dropped_while_it_waits_drops_its_future_and_nothing_else<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b, c] = hands();
    let _ = pool.map_n([&a, &b], job);
    assert!(poll_once(pool.spawn(c.job())).is_pending());
    assert!(c.is_dropped());
    assert_eq!(c.polls(), 0);
    assert!(a.is_active() && b.is_waiting());
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    a.finish(1);
    b.finish(2);
    assert_eq!(outputs(&mut pool), [1, 2]);
    assert_sound(&mut pool);
}

fn spawn_dropped_before_its_first_poll_has_done_nothing<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    pool.spawn_n(a.job());
    drop(pool.spawn(b.job()));
    assert!(b.is_dropped() && a.is_waiting());
    assert_eq!(counts(&pool), [1, 0, 0, 0]);
}

fn spawn_whose_future_finishes_at_its_first_poll_keeps_the_result<S: Set>() {
    let mut pool = S::pool(1);
    let Poll::Ready(key) = poll_once(pool.spawn(done(7))) else { panic!("a slot is free") };
    assert_eq!(pool.take_result(key), Some(7));
}

// try_spawn.

fn try_spawn_gives_the_future_back_unpolled_where_len_is_size<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    pool.spawn_n(a.job());
    drive(&mut pool);
    pool.spawn_n(b.job());
    // One is active, one is waiting: both count.
    let refused = pool.try_spawn(c.job());
    assert!(refused.is_err_and(|job| Rc::ptr_eq(&job.0.0, &c.0)));
    assert_eq!(c.polls(), 0);
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    a.finish(1);
    drive(&mut pool);
    assert!(pool.try_spawn(stuck()).is_ok(), "the finished one does not count");
}

fn try_spawn_pushes_and_does_not_poll<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    let key = pool.try_spawn(a.job()).ok().unwrap();
    assert!(a.is_waiting());
    assert_eq!(pool.waiting(), 1);
    a.finish(7);
    assert_eq!(run(pool.wait(key)), Some(7));
}

// exec.

fn exec_runs_alongside_the_others_which_keep_their_results<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    let keys: Vec<_> = pool.map_n([&a, &b], job).collect();
    {
        let mut exec = pin!(pool.exec(c.job()));
        assert!(poll(&mut exec).is_pending());
        a.finish(1);
        assert!(poll(&mut exec).is_pending());
        assert!(c.is_active());
        b.finish(2);
        assert!(poll(&mut exec).is_pending());
        assert!(b.is_dropped(), "the others continue");
        c.finish(3);
        assert_eq!(poll(&mut exec), Poll::Ready(3));
    }
    assert_eq!(counts(&pool), [0, 0, 2, 3]);
    assert_eq!(keys.iter().map(|&key| pool.take_result(key)).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

fn exec_ends_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let _ = pool.map_n([1, 2], done);
    assert_eq!(run(pool.exec(done(3))), 3);
    assert_eq!(outputs(&mut pool), [1, 2]);
}

fn exec_dropped_while_it_waits_for_room_drops_its_future_and_nothing_else<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    pool.spawn_n(a.job());
    assert!(poll_once(pool.exec(b.job())).is_pending());
    assert!(b.is_dropped() && a.is_active());
    assert_eq!(b.polls(), 0);
    assert_eq!(counts(&pool), [0, 1, 0, 0]);
}

fn exec_dropped_after_the_start_leaves_its_future_in_the_pool<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    assert!(poll_once(pool.exec(a.job())).is_pending());
    assert!(a.is_active());
    a.finish(1);
    assert_eq!(outputs(&mut pool), [1]);
}

// wait and take_result.

fn wait_gives_the_result_of_one_that_is_waiting_active_or_finished<S: Set>() {
    for polls_before in 0..3 {
        let mut pool = S::pool(1);
        let [a, b, c] = hands();
        let keys: Vec<_> = pool.map_n([&a, &b, &c], job).collect();
        a.finish(1);
        if polls_before > 0 {
            drive(&mut pool);
        }
        b.finish(2);
        if polls_before > 1 {
            drive(&mut pool);
        }
        assert_eq!(run(pool.wait(keys[1])), Some(2), "after {polls_before} polls");
        assert!(c.is_active(), "the freed slot is filled before the result is handed over");
        assert_eq!(pool.take_result(keys[0]), Some(1), "the others keep their results");
        assert_eq!(counts(&pool), [0, 1, 0, 2]);
    }
}

fn wait_is_none_at_once_for_what_the_pool_does_not_hold<S: Set>() {
    let mut pool = S::pool(1);
    let mut other = S::pool(1);
    let unknown = other.map_n(0..100, done).next_back().unwrap();
    let taken = pool.spawn_n(done(1));
    assert_eq!(run(pool.wait(taken)), Some(1));
    let cancelled_waiting = pool.spawn_n(stuck());
    assert!(pool.cancel(cancelled_waiting));
    let cancelled_active = run(pool.spawn(stuck()));
    assert!(pool.cancel(cancelled_active));
    let hand = Hand::default();
    hand.panic();
    let panicked = pool.spawn_n(hand.job());
    assert_panics(|| poll_next(&mut pool));
    // Such that it would wait for ever if it waited at all.
    let _ = pool.map_n(0..2, |_| stuck());
    for key in [unknown, taken, cancelled_waiting, cancelled_active, panicked] {
        assert_eq!(poll_once(pool.wait(key)), Poll::Ready(None), "{key:?}");
    }
}

fn wait_starts_futures_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let keys: Vec<_> = pool.map_n(0..5, done).collect();
    assert_eq!(run(pool.wait(keys[4])), Some(4));
    assert_eq!(outputs(&mut pool), [0, 1, 2, 3]);
}

fn wait_dropped_early_loses_nothing<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    let keys: Vec<_> = pool.map_n([&a, &b], job).collect();
    assert!(poll_once(pool.wait(keys[1])).is_pending());
    a.finish(1);
    assert!(poll_once(pool.wait(keys[1])).is_pending());
    b.finish(2);
    assert_eq!(run(pool.wait(keys[1])), Some(2));
    assert_eq!(run(pool.wait(keys[0])), Some(1));
}

fn take_result_is_none_until_the_future_has_finished_and_after_it_was_taken<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    let key = pool.spawn_n(a.job());
    assert_eq!(pool.take_result(key), None);
    assert!(a.is_waiting());
    drive(&mut pool);
    assert_eq!(pool.take_result(key), None);
    assert!(a.is_active());
    a.finish(1);
    assert_eq!(pool.take_result(key), None, "it does not poll");
    drive(&mut pool);
    assert_eq!(pool.take_result(key), Some(1));
    assert_eq!(pool.take_result(key), None);
    assert!(pool.is_terminated());
}

/// A pool may begin to keep account of places only when it is first asked for one.
fn a_key_finds_what_was_started_and_finished_before_the_pool_was_asked_for_any<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b] = hands();
    let keys: Vec<_> = [done(1), done(2), a.job(), b.job()].into_iter().map(|job| pool.spawn_n(job)).collect();
    drive(&mut pool);
    assert_eq!(pool.take_result(keys[0]), Some(1));
    assert_eq!(run(pool.wait(keys[1])), Some(2));
    assert!(pool.cancel(keys[2]));
    b.finish(4);
    assert_eq!(run(pool.wait(keys[3])), Some(4));
}

/// If it were not in constant time, this would take minutes.
fn take_result_is_in_constant_time_however_many_results_are_held<S: Set>() {
    const N: u32 = 200_000;
    let mut pool = S::pool(64);
    let keys: Vec<_> = pool.map_n(0..N, ready).collect();
    run(pool.join());
    for i in 0..u64::from(N) {
        // 7919 and 200 000 have no common factor, so this comes by each number once, in no apparent order.
        let number = i * 7919 % u64::from(N);
        let number = usize::try_from(number).unwrap();
        assert_eq!(pool.take_result(keys[number]).map(|output| output as usize), Some(number));
    }
    assert!(pool.is_terminated());
}

fn results_taken_by_key_do_not_come_again_and_leave_the_rest_in_order<S: Set>() {
    let mut pool = S::pool(1);
    let keys: Vec<_> = pool.map_n(0..8, done).collect();
    run(pool.join());
    for number in [0, 3, 4, 7] {
        assert_eq!(pool.take_result(keys[number]), Some(u32::try_from(number).unwrap()));
    }
    pool.spawn_n(done(8));
    let rest: Vec<_> = run(pool.by_ref().map(|(_, output)| output).collect());
    assert_eq!(rest, [1, 2, 5, 6, 8]);
}

// join.

fn a_result_taken_by_its_key_makes_room_and_wakes_the_task_that_last_polled<S: Set>() {
    let mut pool = S::pool(2);
    pool.set_max_finished(0);
    let jobs: [_; 3] = hands();
    let keys: Vec<_> = pool.map_n(&jobs, job).collect();
    let (wakes, task) = Wakes::new();
    assert!(Pin::new(&mut pool).poll_progress(&mut Context::from_waker(&task)).is_pending());
    jobs[0].finish(1);
    assert!(Pin::new(&mut pool).poll_progress(&mut Context::from_waker(&task)).is_pending());
    assert_eq!((pool.waiting(), pool.active(), pool.finished()), (1, 1, 1));
    let before = wakes.count();
    assert_eq!(pool.take_result(keys[0]), Some(1));
    assert!(wakes.count() > before);
    assert!(Pin::new(&mut pool).poll_progress(&mut Context::from_waker(&task)).is_pending());
    assert!(jobs[2].is_active());
    let before = wakes.count();
    assert_eq!(pool.take_result(keys[1]), None);
    jobs[1].finish(2);
    assert!(Pin::new(&mut pool).poll_progress(&mut Context::from_waker(&task)).is_pending());
    let after = wakes.count();
    assert_eq!((pool.take_result(keys[1]), wakes.count()), (Some(2), after), "nothing waits: there is nobody to start");
    assert!(after > before);
}

fn join_ends_once_nothing_is_waiting_or_active_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(2);
    pool.set_max_finished(0);
    let [last] = hands();
    let keys: Vec<_> = pool.map_n(0..100, done).collect();
    pool.spawn_n(last.job());
    let mut join = Box::pin(pool.join());
    for _ in 0..10 {
        assert!(poll_once(&mut join).is_pending());
    }
    assert!(last.is_active());
    last.finish(100);
    assert!(poll_once(&mut join).is_ready());
    drop(join);
    assert_eq!(counts(&pool), [0, 0, 101, 101]);
    for (output, key) in (0..).zip(keys) {
        assert_eq!(pool.take_result(key), Some(output));
    }
}

fn join_of_an_empty_pool_ends_at_once<S: Set>() {
    let mut pool = S::pool(2);
    assert!(poll_once(pool.join()).is_ready());
    run(pool.spawn(done(1)));
    assert!(poll_once(pool.join()).is_ready(), "a result is nothing to wait for");
    assert_eq!(outputs(&mut pool), [1]);
}

fn join_dropped_early_loses_nothing<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    let _ = pool.map_n([&a, &b], job);
    assert!(poll_once(pool.join()).is_pending());
    a.finish(1);
    assert!(poll_once(pool.join()).is_pending());
    assert_eq!(counts(&pool), [0, 1, 1, 1]);
    b.finish(2);
    assert_eq!(outputs(&mut pool), [1, 2]);
}

// map_all.

fn map_all_gives_results_in_the_order_of_the_items<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 3] = hands();
    let mut map_all = pin!(pool.map_all(&jobs, job));
    assert!(poll(&mut map_all).is_pending());
    for i in [2, 0, 1] {
        assert!(poll(&mut map_all).is_pending());
        jobs[i].finish(u32::try_from(i).unwrap());
    }
    assert_eq!(poll(&mut map_all), Poll::Ready(vec![0, 1, 2]));
}

fn map_all_takes_an_item_only_as_a_slot_frees<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 4] = hands();
    let pulled = Cell::new(0);
    let mut map_all = pin!(pool.map_all(jobs.iter().inspect(|_| pulled.set(pulled.get() + 1)), job));
    assert_eq!(pulled.get(), 0, "nothing is taken before the first poll");
    for (finished, expected) in [2, 3, 4, 4].into_iter().enumerate() {
        assert!(poll(&mut map_all).is_pending());
        assert_eq!(pulled.get(), expected);
        jobs[finished].finish(0);
    }
    assert_eq!(poll(&mut map_all), Poll::Ready(vec![0; 4]));
}

fn map_all_of_a_million_items_queues_nothing<S: Set>() {
    const N: usize = 1_000_000;
    let (pulled, ended) = (Cell::new(0), Cell::new(0));
    let mut pool = S::pool(4);
    let items = (0..N).inspect(|_| {
        pulled.set(pulled.get() + 1);
        assert!(pulled.get() - ended.get() <= 4, "{} of {} have ended", ended.get(), pulled.get());
    });
    let count_end = |item| {
        let ended = &ended;
        async move {
            ended.set(ended.get() + 1);
            item
        }
    };
    let results = run(pool.map_all(items, count_end));
    assert!(results.into_iter().eq(0..N));
}

fn map_all_of_nothing_is_empty<S: Set>() {
    let mut pool = S::pool(1);
    assert_eq!(run(pool.map_all([], done)), [0; 0]);
}

/// The iterator says that it is empty, so there is no slot to wait for.
fn map_all_of_nothing_waits_for_nobody<S: Set>() {
    let mut pool = S::pool(1);
    run(pool.spawn(stuck()));
    assert_eq!(poll_once(pool.map_all([], done)), Poll::Ready(vec![]));
}

fn map_all_runs_alongside_the_others_which_keep_their_results<S: Set>() {
    let mut pool = S::pool(2);
    let [slow, queued] = hands();
    let before: Vec<_> = [run(pool.spawn(slow.job())), pool.spawn_n(queued.job())].into();
    {
        let mut map_all = pin!(pool.map_all([1, 2, 3], done));
        assert!(poll(&mut map_all).is_pending());
        assert!(queued.is_active(), "what is in the queue comes first");
        queued.finish(20);
        assert_eq!(poll(&mut map_all), Poll::Ready(vec![1, 2, 3]));
    }
    assert_eq!(counts(&pool), [0, 1, 1, 4]);
    slow.finish(10);
    run(pool.join());
    assert_eq!(before.iter().map(|&key| pool.take_result(key)).collect::<Vec<_>>(), [Some(10), Some(20)]);
}

fn map_all_ends_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let _ = pool.map_n([1, 2], done);
    assert_eq!(run(pool.map_all(3..10, done)), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(outputs(&mut pool), [1, 2]);
}

fn map_all_dropped_early_leaves_what_was_started_and_takes_no_more<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 5] = hands();
    let pulled = Rc::new(Cell::new(0));
    let mut items = jobs.iter();
    let counted = Rc::clone(&pulled);
    let source = iter::from_fn(move || {
        counted.set(counted.get() + 1);
        items.next()
    });
    {
        let mut map_all = pin!(pool.map_all(source, job));
        assert!(poll(&mut map_all).is_pending());
        jobs[1].finish(1);
        assert!(poll(&mut map_all).is_pending());
    }
    assert_eq!(Rc::strong_count(&pulled), 1, "the rest of the source is dropped");
    assert_eq!(pulled.get(), 3);
    assert_eq!(counts(&pool), [0, 2, 1, 1]);
    jobs[0].finish(0);
    jobs[2].finish(2);
    assert_eq!(outputs(&mut pool), [0, 1, 2]);
    assert_sound(&mut pool);
}

fn map_all_after_one_that_was_dropped_gives_its_own_results_only<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    assert!(poll_once(pool.map_all([&a], job)).is_pending());
    a.finish(1);
    assert_eq!(run(pool.map_all([2, 3], done)), [2, 3]);
    assert_eq!(outputs(&mut pool), [1]);
}

// itermap.

fn itermap_pushes_all_at_once_and_gives_results_as_they_finish<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 4] = hands();
    let mut made = 0;
    let mut results = pool.itermap(&jobs, |hand| {
        made += 1;
        hand.job()
    });
    assert!(poll_next(&mut results).is_pending());
    assert!(jobs[2].is_active() && jobs[3].is_waiting());
    for i in [2, 0, 3, 1] {
        assert!(poll_next(&mut results).is_pending());
        jobs[i].finish(u32::try_from(i).unwrap());
        assert_eq!(poll_next(&mut results), Poll::Ready(Some(u32::try_from(i).unwrap())));
    }
    assert_eq!(poll_next(&mut results), Poll::Ready(None));
    assert_eq!(made, 4);
}

fn itermap_keyed_gives_the_keys_under_which_the_pool_knows_them<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b] = hands();
    let before = pool.spawn_n(done(9));
    let mut results = pool.itermap([&a, &b], job).keyed();
    b.finish(2);
    let Poll::Ready(Some((second, 2))) = poll_next(&mut results) else { panic!("it has finished") };
    assert!(poll_next(&mut results).is_pending());
    drop(results);
    a.finish(1);
    let [(_, 9), (first, 1)] = run(pool.by_ref().collect::<Vec<_>>())[..] else { panic!("these two are left") };
    assert!(before < first && first < second);
}

fn itermap_gives_its_own_results_only_while_the_others_make_progress<S: Set>() {
    let mut pool = S::pool(3);
    let [early, queued, own] = hands();
    let keys = [run(pool.spawn(early.job())), pool.spawn_n(queued.job())];
    let mut results = pool.itermap([&own], job);
    early.finish(1);
    queued.finish(2);
    assert!(poll_next(&mut results).is_pending());
    assert!(early.is_dropped() && queued.is_dropped());
    own.finish(3);
    assert_eq!(poll_next(&mut results), Poll::Ready(Some(3)));
    assert_eq!(poll_next(&mut results), Poll::Ready(None));
    drop(results);
    assert_eq!(keys.map(|key| pool.take_result(key)), [Some(1), Some(2)]);
}

fn itermap_that_is_dropped_leaves_all_the_rest_in_the_pool<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 5] = hands();
    let mut results = pool.itermap(&jobs, job);
    assert!(poll_next(&mut results).is_pending());
    jobs[0].finish(1);
    jobs[1].finish(2);
    let Poll::Ready(Some(first)) = poll_next(&mut results) else { panic!("two are woken") };
    drop(results);
    // Which of the two came first, and whether the other was polled as well, is not promised.
    drive(&mut pool);
    assert_eq!(counts(&pool), [1, 2, 1, 2]);
    jobs[2].finish(3);
    jobs[3].finish(4);
    jobs[4].finish(5);
    assert_eq!(outputs(&mut pool), [3 - first, 3, 4, 5]);
    assert_sound(&mut pool);
}

fn itermap_of_nothing_ends_at_once_even_in_a_full_pool<S: Set>() {
    let mut pool = S::pool(1);
    run(pool.spawn(stuck()));
    let mut results = pool.itermap([], done);
    assert!(results.is_terminated());
    assert_eq!(poll_next(&mut results), Poll::Ready(None));
}

fn itermap_has_an_exact_size_hint_and_says_when_it_has_ended<S: Set>() {
    let mut pool = S::pool(1);
    let [other, a, b] = hands();
    other.finish(0);
    pool.spawn_n(other.job());
    let mut results = pool.itermap([&a, &b], job);
    for (left, hand) in [(2, &a), (1, &b)] {
        assert_eq!((results.size_hint(), results.is_terminated()), ((left, Some(left)), false));
        assert!(poll_next(&mut results).is_pending());
        assert_eq!((results.size_hint(), results.is_terminated()), ((left, Some(left)), false));
        hand.finish(1);
        assert!(poll_next(&mut results).is_ready());
    }
    assert_eq!((results.size_hint(), results.is_terminated()), ((0, Some(0)), true));
    assert_eq!(poll_next(&mut results), Poll::Ready(None));
    assert_eq!(poll_next(&mut results), Poll::Ready(None), "it stays at its end");
}

fn itermap_ends_whatever_the_max_finished<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let _ = pool.map_n([1, 2], done);
    assert_eq!(run(pool.itermap(3..8, done).collect::<Vec<_>>()), [3, 4, 5, 6, 7]);
    assert_eq!(outputs(&mut pool), [1, 2]);
}

fn itermap_after_one_that_was_dropped_gives_its_own_results_only<S: Set>() {
    let mut pool = S::pool(4);
    let [a, b] = hands();
    let mut first = pool.itermap([&a, &b], job);
    assert!(poll_next(&mut first).is_pending());
    a.finish(1);
    drop(first);
    let mut second = pool.itermap([3], done);
    assert_eq!(poll_next(&mut second), Poll::Ready(Some(3)));
    b.finish(2);
    assert_eq!(poll_next(&mut second), Poll::Ready(None));
    drop(second);
    assert_eq!(outputs(&mut pool), [1, 2]);
}

// The stream.

fn the_stream_gives_each_result_with_its_key_as_it_finishes<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 3] = hands();
    let keys: Vec<_> = pool.map_n(&jobs, job).collect();
    for i in [1, 2, 0] {
        assert!(poll_next(&mut pool).is_pending());
        jobs[i].finish(u32::try_from(i).unwrap());
        assert_eq!(poll_next(&mut pool), Poll::Ready(Some((keys[i], u32::try_from(i).unwrap()))));
    }
    assert_eq!(poll_next(&mut pool), Poll::Ready(None));
}

fn the_stream_is_at_its_end_when_the_pool_is_empty_and_continues_after_a_push<S: Set>() {
    let mut pool = S::pool(1);
    for output in 0..3 {
        assert!(pool.is_terminated());
        assert_eq!(poll_next(&mut pool), Poll::Ready(None));
        let key = pool.spawn_n(done(output));
        assert!(!pool.is_terminated());
        assert_eq!(poll_next(&mut pool), Poll::Ready(Some((key, output))));
    }
}

fn the_stream_is_not_at_its_end_while_a_result_is_left<S: Set>() {
    let mut pool = S::pool(1);
    run(pool.spawn(done(1)));
    assert!(pool.is_empty() && !pool.is_terminated());
    assert!(matches!(poll_next(&mut pool), Poll::Ready(Some((_, 1)))));
    assert!(pool.is_terminated());
}

fn the_size_hint_is_exact<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b, c] = hands();
    let _ = pool.map_n([&a, &b, &c], job);
    assert_eq!(pool.size_hint(), (3, Some(3)));
    a.finish(1);
    drive(&mut pool);
    assert_eq!(counts(&pool), [1, 1, 1, 1]);
    assert_eq!(pool.size_hint(), (3, Some(3)));
    assert_eq!(outputs(&mut pool), [1]);
    assert_eq!(pool.size_hint(), (2, Some(2)));
    pool.cancel_all();
    assert_eq!(pool.size_hint(), (0, Some(0)));
}

fn a_freed_slot_is_filled_and_its_future_polled_before_a_result_is_handed_over<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c, d] = hands();
    let _ = pool.map_n([&a, &b, &c, &d], job);
    assert!(poll_next(&mut pool).is_pending());
    a.finish(1);
    assert!(poll_next(&mut pool).is_ready());
    assert!(b.is_active() && c.is_active() && d.is_waiting());
}

fn results_come_in_the_order_in_which_they_finished_also_those_an_itermap_left<S: Set>() {
    let mut pool = S::pool(3);
    let [a, b, c] = hands();
    pool.spawn_n(a.job());
    let mut batches = pool.itermap([&b, &c], job).batches(yield_when::all_completed);
    assert!(poll_next(&mut batches).is_pending());
    b.finish(1);
    assert!(poll_next(&mut batches).is_pending());
    drop(batches);
    a.finish(2);
    drive(&mut pool);
    c.finish(3);
    let order: Vec<_> = run(pool.by_ref().map(|(_, output)| output).collect());
    assert_eq!(order, [1, 2, 3]);
}

// The bound on results.

fn the_max_finished_is_the_size_until_it_is_set<S: Set>() {
    let mut pool = S::pool::<Ready<()>>(3);
    assert_eq!(pool.max_finished(), 3);
    pool.set_size(5);
    assert_eq!(pool.max_finished(), 5);
    pool.set_max_finished(2);
    pool.set_size(7);
    assert_eq!(pool.max_finished(), 2);
}

/// Futures that finish at their first poll, so that the bound on results is all that stops the pool.
fn the_stream_starts_a_future_while_at_most_a_max_finished_of_results_is_held<S: Set>() {
    for (max_finished, executed) in [(None, 3), (Some(0), 1), (Some(1), 2), (Some(5), 6), (Some(usize::MAX), 20)] {
        let mut pool = S::pool(2);
        if let Some(max_finished) = max_finished {
            pool.set_max_finished(max_finished);
        }
        let _ = pool.map_n(0..20, done);
        for taken in 1..=20 {
            assert!(poll_next(&mut pool).is_ready());
            let executed = usize::min(executed + taken - 1, 20);
            assert_eq!(counts(&pool), [20 - executed, 0, executed - taken, executed], "{max_finished:?}");
        }
    }
}

fn with_a_max_finished_of_0_a_slot_is_refilled_only_once_the_last_result_is_taken<S: Set>() {
    let mut pool = S::pool(1);
    pool.set_max_finished(0);
    let [a, b] = hands();
    let _ = pool.map_n([&a, &b], job);
    assert!(poll_next(&mut pool).is_pending());
    a.finish(1);
    assert!(matches!(poll_next(&mut pool), Poll::Ready(Some((_, 1)))));
    assert!(b.is_waiting());
    assert!(poll_next(&mut pool).is_pending());
    assert!(b.is_active());
}

/// Results in the pool from a `join`, so that the bound on results is full; the futures in flight do not wait for it.
fn a_full_max_finished_does_not_stop_what_is_active<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b] = hands();
    pool.spawn_n(a.job());
    let _ = pool.map_n(0..5, done);
    drive(&mut pool);
    assert_eq!(counts(&pool), [0, 1, 5, 5]);
    pool.spawn_n(b.job());
    a.finish(5);
    assert!(poll_next(&mut pool).is_ready());
    assert!(a.is_dropped() && b.is_waiting());
}

// Pause and resume.

fn a_paused_pool_starts_nothing_and_finishes_what_is_active<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b] = hands();
    let key = run(pool.spawn(a.job()));
    assert!(!pool.is_paused());
    pool.pause();
    assert!(pool.is_paused());
    let waiting = pool.spawn_n(b.job());
    let [c, d] = hands();
    assert!(poll_next(&mut pool).is_pending());
    assert!(poll_once(pool.spawn(c.job())).is_pending());
    assert!(poll_once(pool.exec(d.job())).is_pending());
    assert!(poll_once(pool.wait(waiting)).is_pending());
    assert!(poll_once(pool.join()).is_pending());
    assert!(b.is_waiting());
    assert_eq!((c.polls(), d.polls()), (0, 0));
    a.finish(1);
    assert_eq!(run(pool.wait(key)), Some(1));
    assert_eq!(counts(&pool), [1, 0, 0, 1]);
    assert!(poll_next(&mut pool).is_pending(), "what waits is not lost");
}

/// With nothing active there is a free slot, but it is not to be had.
fn spawn_into_an_empty_paused_pool_does_not_start<S: Set>() {
    let mut pool = S::pool(2);
    pool.pause();
    let [a] = hands();
    assert!(poll_once(pool.spawn(a.job())).is_pending());
    assert_eq!(a.polls(), 0);
    assert!(a.is_dropped() && pool.is_terminated());
}

fn a_paused_pool_stays_so_when_its_size_or_max_finished_changes<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    pool.spawn_n(a.job());
    pool.pause();
    pool.set_size(2);
    pool.set_max_finished(5);
    assert!(pool.is_paused());
    assert!(poll_next(&mut pool).is_pending());
    assert!(a.is_waiting());
    pool.resume();
    assert_eq!((pool.size(), pool.max_finished()), (2, 5));
}

fn resume_wakes_the_task_that_last_polled_and_starts_what_waits<S: Set>() {
    let mut pool = S::pool(2);
    let [a] = hands();
    pool.spawn_n(a.job());
    pool.pause();
    let (wakes, task) = Wakes::new();
    assert!(poll_next_as(&mut pool, &task).is_pending());
    let before = wakes.count();
    pool.resume();
    assert!(!pool.is_paused());
    assert!(wakes.count() > before);
    assert!(poll_next(&mut pool).is_pending());
    assert!(a.is_active());
}

// The size.

fn a_size_of_0_is_taken_as_1<S: Set>() {
    let mut pool = S::pool(0);
    assert_eq!(pool.size(), 1);
    pool.set_size(3);
    pool.set_size(0);
    assert_eq!(pool.size(), 1);
    let _ = pool.map_n([1, 2], done);
    assert_eq!(outputs(&mut pool), [1, 2]);
    assert_eq!(Pool::<Ready<()>>::new(0).size(), 1);
}

fn a_size_of_usize_max_costs_nothing_and_starts_everything<S: Set>() {
    let mut pool = S::pool(usize::MAX);
    assert_eq!(pool.size(), usize::MAX);
    let jobs: [_; 1000] = hands();
    let _ = pool.map_n(&jobs, job);
    start_all(&mut pool);
    assert!(jobs.iter().all(Hand::is_active));
    assert!(!pool.is_full());
    run(pool.spawn(stuck()));
    assert_eq!(pool.active(), 1001);
}

fn the_default_size_is_4<S: Set>() {
    assert_eq!(Pool::<Ready<()>, S::Kind>::default().size(), 4);
}

fn no_more_and_no_less_than_size_are_active<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 10] = hands();
    let _ = pool.map_n(&jobs, job);
    for finished in 0..=10 {
        assert!(finished == 10 || poll_next(&mut pool).is_pending());
        let active = jobs.iter().filter(|job| job.is_active()).count();
        assert_eq!((active, pool.active()), (usize::min(3, 10 - finished), active));
        if let Some(job) = jobs.iter().rfind(|job| job.is_active()) {
            job.finish(0);
            assert!(poll_next(&mut pool).is_ready());
        }
    }
}

fn growing_wakes_the_task_that_last_polled_and_starts_more<S: Set>() {
    let mut pool = S::pool(1);
    let jobs: [_; 4] = hands();
    let _ = pool.map_n(&jobs, job);
    let (wakes, task) = Wakes::new();
    assert!(poll_next_as(&mut pool, &task).is_pending());
    let before = wakes.count();
    pool.set_size(3);
    assert!(wakes.count() > before);
    assert!(poll_next(&mut pool).is_pending());
    assert_eq!(jobs.each_ref().map(Hand::is_active), [true, true, true, false]);
}

fn shrinking_lets_the_surplus_finish_and_starts_none_until_it_has<S: Set>() {
    let mut pool = S::pool(3);
    let jobs: [_; 4] = hands();
    let _ = pool.map_n(&jobs, job);
    assert!(poll_next(&mut pool).is_pending());
    pool.set_size(1);
    assert_eq!((pool.size(), pool.active()), (1, 3));
    for (i, waits) in [true, true, false].into_iter().enumerate() {
        jobs[i].finish(0);
        assert!(poll_next(&mut pool).is_ready());
        assert!(jobs[i + 1..3].iter().all(Hand::is_active), "the surplus is left alone");
        assert_eq!(jobs[3].is_waiting(), waits);
    }
}

// Cancelling.

fn cancel_drops_a_waiting_future_at_once_and_frees_its_place<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    let keys: Vec<_> = pool.map_n([&a, &b, &c], job).collect();
    assert!(pool.is_full());
    assert!(pool.cancel(keys[1]));
    assert!(b.is_dropped());
    assert!(pool.cancel(keys[0]));
    assert_eq!(counts(&pool), [1, 0, 0, 0]);
    assert!(pool.try_spawn(stuck()).is_ok());
    assert_eq!((a.polls(), b.polls()), (0, 0));
}

/// Every set of futures out of a queue of six, front, middle and end, cancelled in either direction.
fn whatever_is_cancelled_in_the_queue_the_others_keep_their_order_and_keys<S: Set>() {
    const N: u32 = 6;
    for cancelled in 0..1_u32 << N {
        let is_cancelled = |i: &u32| cancelled & 1 << i != 0;
        for forwards in [true, false] {
            let mut pool = S::pool(1);
            let keys: Vec<_> = pool.map_n(0..N, done).collect();
            let mut victims: Vec<_> = (0..N).filter(is_cancelled).collect();
            if !forwards {
                victims.reverse();
            }
            for &i in &victims {
                assert!(pool.cancel(keys[i as usize]));
                assert!(!pool.cancel(keys[i as usize]));
            }
            assert_eq!(pool.waiting(), N as usize - victims.len());
            let last = pool.spawn_n(done(N));
            let left: Vec<_> = run(pool.collect());
            let expected: Vec<_> =
                (0..N).filter(|i| !is_cancelled(i)).map(|i| (keys[i as usize], i)).chain([(last, N)]).collect();
            assert_eq!(left, expected);
        }
    }
}

fn cancel_drops_an_active_future_at_once_and_its_slot_is_free<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 3] = hands();
    let keys: Vec<_> = pool.map_n(&jobs, job).collect();
    let (wakes, task) = Wakes::new();
    assert!(poll_next_as(&mut pool, &task).is_pending());
    let before = wakes.count();
    assert!(pool.cancel(keys[0]));
    assert!(jobs[0].is_dropped());
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    assert!(wakes.count() > before, "there is a slot to be filled");
    assert!(poll_next(&mut pool).is_pending());
    assert!(jobs[1].is_active() && jobs[2].is_active());
}

fn cancel_of_what_is_neither_waiting_nor_active_is_false<S: Set>() {
    let mut pool = S::pool(1);
    let unknown = S::pool(1).map_n(0..100, done).next_back().unwrap();
    let [taken, finished] = [1, 2].map(|output| pool.spawn_n(done(output)));
    run(pool.join());
    assert_eq!(pool.take_result(taken), Some(1));
    let stale = run(pool.spawn(stuck()));
    assert!(pool.cancel(stale));
    // What has come into the place of the stale one must not suffer.
    let [next] = hands();
    run(pool.spawn(next.job()));
    for key in [unknown, taken, finished, stale] {
        assert!(!pool.cancel(key), "{key:?}");
    }
    assert!(next.is_active());
    assert_eq!(pool.take_result(finished), Some(2));
}

fn a_stale_key_finds_nothing_where_another_has_come_into_its_place<S: Set>() {
    let mut pool = S::pool(1);
    let cancelled = run(pool.spawn(stuck()));
    assert!(pool.cancel(cancelled));
    let taken = run(pool.spawn(done(1)));
    assert_eq!(pool.take_result(taken), Some(1));
    run(pool.spawn(done(2)));
    run(pool.spawn(stuck()));
    for stale in [cancelled, taken] {
        assert_eq!(pool.take_result(stale), None);
        assert_eq!(poll_once(pool.wait(stale)), Poll::Ready(None));
        assert!(!pool.cancel(stale));
    }
    assert_eq!(counts(&pool), [0, 1, 1, 2]);
}

fn cancel_all_drops_what_is_waiting_and_active_and_counts_it<S: Set>() {
    // A pool may begin to keep account of places only when it is first asked for one.
    for ask_before in [false, true] {
        let mut pool = S::pool(2);
        let jobs: [_; 4] = hands();
        run(pool.spawn(done(7)));
        let keys: Vec<_> = pool.map_n(&jobs, job).collect();
        drive(&mut pool);
        assert!(pool.cancel(keys[3]));
        if ask_before {
            assert_eq!(pool.take_result(keys[0]), None);
        }
        assert_eq!(pool.cancel_all(), 3);
        assert!(jobs.iter().all(Hand::is_dropped));
        assert_eq!(counts(&pool), [0, 0, 1, 1]);
        assert_eq!(pool.cancel_all(), 0);
        for key in keys {
            assert!(!pool.cancel(key));
            assert_eq!(poll_once(pool.wait(key)), Poll::Ready(None));
        }
        assert_eq!(outputs(&mut pool), [7], "results stay");
        assert_sound(&mut pool);
    }
}

fn after_cancel_all_the_stream_ends_for_the_task_that_waits_for_it<S: Set>() {
    let mut pool = S::pool(1);
    let _ = pool.map_n(0..2, |_| stuck());
    let (wakes, task) = Wakes::new();
    assert!(poll_next_as(&mut pool, &task).is_pending());
    let before = wakes.count();
    pool.cancel_all();
    assert!(wakes.count() > before);
    assert_eq!(poll_next(&mut pool), Poll::Ready(None));
}

fn after_the_last_cancel_the_stream_of_a_paused_pool_ends_for_the_task_that_waits_for_it<S: Set>() {
    let mut pool = S::pool(1);
    let key = pool.spawn_n(stuck());
    pool.pause();
    let (wakes, task) = Wakes::new();
    assert!(poll_next_as(&mut pool, &task).is_pending());
    let before = wakes.count();
    assert!(pool.cancel(key));
    assert!(wakes.count() > before, "the end of the stream is news");
    assert_eq!(poll_next(&mut pool), Poll::Ready(None));
}

fn what_was_cancelled_is_never_polled_again_however_late_it_is_woken<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    let key = pool.spawn_n(a.job());
    drive(&mut pool);
    a.wake();
    assert!(pool.cancel(key));
    let polls = a.polls();
    pool.spawn_n(b.job());
    drive(&mut pool);
    a.wake();
    drive(&mut pool);
    assert_eq!(a.polls(), polls);
    assert!(b.is_active());
    b.finish(1);
    a.wake();
    assert_eq!(outputs(&mut pool), [1]);
}

// Counts.

fn the_counts_say_where_each_future_is<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 4] = hands();
    let assert_counts = |pool: &Pool<_, _>, expected, is_full, is_empty| {
        assert_eq!(counts(pool), expected);
        assert_eq!(pool.len(), pool.waiting() + pool.active());
        assert_eq!((pool.is_full(), pool.is_empty()), (is_full, is_empty), "{pool:?}");
    };
    assert_counts(&pool, [0, 0, 0, 0], false, true);
    pool.spawn_n(jobs[0].job());
    assert_counts(&pool, [1, 0, 0, 0], false, false);
    let _ = pool.map_n(&jobs[1..], job);
    assert_counts(&pool, [4, 0, 0, 0], true, false);
    drive(&mut pool);
    assert_counts(&pool, [2, 2, 0, 0], true, false);
    jobs[..3].iter().for_each(|job| job.finish(0));
    drive(&mut pool);
    assert_counts(&pool, [0, 1, 3, 3], false, false);
    jobs[3].finish(0);
    drive(&mut pool);
    assert_counts(&pool, [0, 0, 4, 4], false, true);
    assert_eq!(outputs(&mut pool).len(), 4);
    assert_counts(&pool, [0, 0, 0, 4], false, true);
}

fn a_pool_with_more_than_size_is_full<S: Set>() {
    let mut pool = S::pool(2);
    let _ = pool.map_n(0..2, |_| stuck());
    assert!(pool.is_full());
    pool.set_size(3);
    assert!(!pool.is_full());
    pool.set_size(1);
    assert!(pool.is_full());
}

fn executed_counts_those_that_ran_to_their_end_and_no_others<S: Set>() {
    let mut pool = S::pool(4);
    let [a, b, panics] = hands();
    let keys: Vec<_> = pool.map_n([&a, &b, &panics], job).collect();
    drive(&mut pool);
    pool.cancel(keys[0]);
    panics.panic();
    assert_panics(|| poll_next(&mut pool));
    assert_eq!(pool.executed(), 0);
    b.finish(1);
    assert_eq!(run(pool.wait(keys[1])), Some(1));
    assert_eq!(pool.executed(), 1);
    assert_eq!(run(pool.exec(done(2))), 2);
    assert_eq!(run(pool.map_all([3, 4], done)), [3, 4]);
    assert_eq!(pool.executed(), 4);
}

// Fairness.

/// The bound holds for each call, whatever it is, in a pool where everything is always woken and much is waiting.
#[track_caller]
fn assert_one_call_polls_at_most_64<S: Set>(call: impl FnOnce(&mut Pool<Job, S::Kind>, &mut Context<'_>) -> bool) {
    let mut pool = S::pool(1000);
    let jobs: [_; 400] = hands();
    jobs.iter().for_each(Hand::spin);
    let _ = pool.map_n(&jobs[..200], job);
    start_all(&mut pool);
    let _ = pool.map_n(&jobs[200..], job);
    let before = total_polls(&jobs);
    let (wakes, task) = Wakes::new();
    let is_pending = call(&mut pool, &mut Context::from_waker(&task));
    let polls = total_polls(&jobs) - before;
    assert!(polls <= 64, "{polls} polls");
    assert!(!is_pending || wakes.count() > 0, "pending with work to do, and has not woken itself");
}

fn one_poll_of_the_stream_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| Pin::new(pool).poll_next(cx).is_pending());
}

fn one_poll_of_spawn_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| pin!(pool.spawn(stuck())).poll(cx).is_pending());
}

fn one_poll_of_exec_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| pin!(pool.exec(stuck())).poll(cx).is_pending());
}

fn one_poll_of_wait_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| {
        let key = pool.spawn_n(stuck());
        pin!(pool.wait(key)).poll(cx).is_pending()
    });
}

fn one_poll_of_join_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| pin!(pool.join()).poll(cx).is_pending());
}

fn one_poll_of_map_all_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| pin!(pool.map_all(0..1000, done)).poll(cx).is_pending());
}

fn one_poll_of_itermap_polls_at_most_64_futures<S: Set>() {
    assert_one_call_polls_at_most_64::<S>(|pool, cx| pool.itermap(0..1000, done).poll_next_unpin(cx).is_pending());
}

/// Whatever the length of the queue before it, so that in one case its own poll would be the one too many.
fn one_poll_of_spawn_counts_that_of_its_own_future<S: Set>() {
    for queued in 60..70 {
        let mut pool = S::pool(1000);
        let jobs: [_; 70] = hands();
        let _ = pool.map_n(&jobs[..queued], job);
        let own = Hand::default();
        let mut spawn = pin!(pool.spawn(own.job()));
        let mut calls = 0;
        loop {
            let before = total_polls(&jobs) + own.polls();
            let is_ready = poll(&mut spawn).is_ready();
            let polls = total_polls(&jobs) + own.polls() - before;
            assert!(polls <= 64, "{polls} polls behind {queued} in the queue");
            calls += 1;
            assert!(calls < 10, "it does not start");
            if is_ready {
                break;
            }
        }
        assert!(own.is_active());
    }
}

/// Such a future is woken again immediately, each time that it is polled.
fn futures_that_wake_themselves_keep_neither_the_waiting_nor_the_woken_from_their_turn<S: Set>() {
    let mut pool = S::pool(200);
    let spinners: [_; 150] = hands();
    spinners.iter().for_each(Hand::spin);
    let [active, waiting] = hands();
    let _ = pool.map_n(&spinners, job);
    pool.spawn_n(active.job());
    start_all(&mut pool);
    active.finish(1);
    pool.spawn_n(waiting.job());
    let mut calls = 0;
    while !(active.is_dropped() && waiting.is_active()) {
        drive(&mut pool);
        calls += 1;
        assert!(calls < 20, "left out: {pool:?}");
    }
}

// Panics.

fn a_panic_of_a_future_passes_through_and_the_pool_continues_with_the_rest<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    let keys: Vec<_> = pool.map_n([&a, &b, &c], job).collect();
    assert!(poll_next(&mut pool).is_pending());
    a.panic();
    assert_panics(|| poll_next(&mut pool));
    assert!(a.is_dropped());
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    assert_eq!(poll_once(pool.wait(keys[0])), Poll::Ready(None));
    assert!(!pool.cancel(keys[0]));
    assert!(poll_next(&mut pool).is_pending());
    assert!(c.is_active(), "the slot is free");
    b.finish(2);
    c.finish(3);
    assert_eq!(outputs(&mut pool), [2, 3]);
    assert!(pool.is_terminated());
    assert_sound(&mut pool);
}

fn a_panic_at_the_first_poll_passes_through_the_call_that_starts_the_future<S: Set>() {
    let bad = || {
        let hand = Hand::default();
        hand.panic();
        hand.job()
    };
    let mut pool = S::pool(1);
    assert_panics(|| poll_once(pool.spawn(bad())));
    assert_panics(|| poll_once(pool.exec(bad())));
    pool.spawn_n(bad());
    assert_panics(|| poll_once(pool.join()));
    let key = pool.spawn_n(bad());
    assert_panics(|| poll_once(pool.wait(key)));
    pool.spawn_n(bad());
    assert_panics(|| poll_next(&mut pool));
    assert_panics(|| poll_once(pool.map_all([0], |_| bad())));
    assert_panics(|| poll_next(&mut pool.itermap([0], |_| bad())));
    assert_eq!(counts(&pool), [0, 0, 0, 0]);
    assert_sound(&mut pool);
}

/// A slot lost with each panic, were it in whichever way, would stop the pool after the second.
fn no_slot_is_lost_however_often_futures_panic<S: Set>() {
    let mut pool = S::pool(2);
    for _ in 0..50 {
        let jobs: [_; 4] = hands();
        jobs[0].panic();
        jobs[3].panic_in_drop();
        let _ = pool.map_n(&jobs, job);
        assert_panics(|| poll_once(pool.join()));
        drive(&mut pool);
        jobs[1].panic();
        assert_panics(|| poll_once(pool.join()));
        jobs[2].finish(2);
        drive(&mut pool);
        jobs[3].finish(3);
        assert_panics(|| poll_once(pool.join()));
        assert_eq!(pool.len(), 0);
    }
    assert_sound(&mut pool);
}

// Not on `UnorderedSet`, as its docs say: `FuturesUnordered` drops the future before it gives the output.
#[test]
fn the_output_of_a_future_whose_destructor_panics_is_kept() {
    let mut pool = Slots::pool(1);
    let [a] = hands();
    a.panic_in_drop();
    let key = pool.spawn_n(a.job());
    drive(&mut pool);
    a.finish(1);
    assert_panics(|| poll_next(&mut pool));
    assert_eq!(pool.active(), 0);
    assert_eq!(pool.take_result(key), Some(1));
    assert_eq!(pool.executed(), 1);
}

fn the_output_of_a_future_that_finishes_at_once_and_whose_destructor_panics_is_kept<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    a.panic_in_drop();
    a.finish(1);
    let key = pool.spawn_n(a.job());
    assert_panics(|| poll_next(&mut pool));
    assert_eq!(pool.active(), 0);
    assert_eq!(pool.take_result(key), Some(1));
}

fn a_future_whose_destructor_panics_is_cancelled_all_the_same<S: Set>() {
    let mut pool = S::pool(1);
    let [a, b] = hands();
    let keys: Vec<_> = [&a, &b].map(|hand| pool.spawn_n(hand.job())).into();
    a.panic_in_drop();
    b.panic_in_drop();
    drive(&mut pool);
    for key in keys {
        assert_panics(|| pool.cancel(key));
        assert!(!pool.cancel(key));
    }
    assert_eq!(pool.len(), 0);
    assert_sound(&mut pool);
}

fn cancel_all_drops_all_even_if_a_destructor_panics<S: Set>() {
    for victim in 0..5 {
        let mut pool = S::pool(3);
        let jobs: [_; 5] = hands();
        let _ = pool.map_n(&jobs, job);
        drive(&mut pool);
        jobs[victim].panic_in_drop();
        assert_panics(|| pool.cancel_all());
        let left: Vec<_> = (0..5).filter(|&i| !jobs[i].is_dropped()).collect();
        assert_eq!(left, [0; 0], "not dropped, since number {victim} has panicked");
        assert_sound(&mut pool);
    }
}

fn dropping_the_pool_drops_all_even_if_a_destructor_panics<S: Set>() {
    for victim in 0..5 {
        let mut pool = S::pool(3);
        let jobs: [_; 5] = hands();
        let _ = pool.map_n(&jobs, job);
        drive(&mut pool);
        jobs[victim].panic_in_drop();
        assert_panics(|| drop(pool));
        let left: Vec<_> = (0..5).filter(|&i| !jobs[i].is_dropped()).collect();
        assert_eq!(left, [0; 0], "not dropped, since number {victim} has panicked");
    }
}

fn a_closure_or_source_that_panics_in_map_n_or_itermap_leaves_what_was_made_before<S: Set>() {
    let third = |i: u32| {
        assert!(i != 2, "on purpose");
        i
    };
    let mut pool = S::pool(1);
    assert_panics(|| pool.map_n(0..5, |i| done(third(i))).len());
    assert_panics(|| pool.map_n((10..15).map(|i| 10 + third(i - 10)), done).len());
    assert_panics(|| drop(pool.itermap(20..25, |i| done(20 + third(i - 20)))));
    assert_panics(|| drop(pool.itermap((30..35).map(|i| 30 + third(i - 30)), done)));
    assert_eq!(pool.waiting(), 8);
    assert_eq!(outputs(&mut pool), [0, 1, 10, 11, 20, 21, 30, 31]);
    assert_sound(&mut pool);
}

fn a_closure_that_panics_in_map_all_leaves_what_was_started<S: Set>() {
    let mut pool = S::pool(2);
    let [a] = hands();
    assert_panics(|| {
        poll_once(pool.map_all(0..5, |i| {
            assert!(i != 1, "on purpose");
            a.job()
        }))
    });
    assert!(a.is_active());
    a.finish(1);
    assert_eq!(outputs(&mut pool), [1]);
    assert_sound(&mut pool);
}

fn a_source_that_panics_in_map_all_leaves_what_was_started<S: Set>() {
    let mut pool = S::pool(2);
    let [a] = hands();
    let source = (0..5).inspect(|&i| assert!(i != 1, "on purpose"));
    assert_panics(|| poll_once(pool.map_all(source, |_| a.job())));
    assert!(a.is_active());
    a.finish(1);
    assert_eq!(outputs(&mut pool), [1]);
    assert_sound(&mut pool);
}

/// Those started before it, and those of others, come out of the pool's stream.
fn a_future_that_panics_in_map_all_leaves_what_was_started<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    a.finish(1);
    {
        let mut map_all = pin!(pool.map_all([&a, &b, &c], job));
        assert!(poll(&mut map_all).is_pending());
        b.panic();
        assert_panics(|| poll(&mut map_all));
    }
    assert_eq!(counts(&pool), [0, 1, 1, 1]);
    c.finish(3);
    assert_eq!(outputs(&mut pool), [1, 3]);
    assert_sound(&mut pool);
}

fn a_future_that_panics_in_itermap_leaves_the_stream_going<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    let mut results = pool.itermap([&a, &b, &c], job);
    assert!(poll_next(&mut results).is_pending());
    a.panic();
    assert_panics(|| poll_next(&mut results));
    assert_eq!(results.size_hint(), (2, Some(2)));
    for (hand, output) in [(&b, 2), (&c, 3)] {
        assert!(poll_next(&mut results).is_pending());
        hand.finish(output);
        assert_eq!(poll_next(&mut results), Poll::Ready(Some(output)));
    }
    assert_eq!(poll_next(&mut results), Poll::Ready(None));
}

/// `exec`'s own future is as innocent as any other.
fn the_panic_of_another_future_during_exec_leaves_its_future_in_the_pool<S: Set>() {
    let mut pool = S::pool(2);
    let [other, own] = hands();
    pool.spawn_n(other.job());
    {
        let mut exec = pin!(pool.exec(own.job()));
        assert!(poll(&mut exec).is_pending());
        other.panic();
        assert_panics(|| poll(&mut exec));
    }
    assert!(own.is_active());
    own.finish(1);
    assert_eq!(outputs(&mut pool), [1]);
}

// Dropping and waking.

fn dropping_the_pool_drops_what_is_waiting_active_and_finished<S: Set>() {
    let token = Rc::new(());
    let mut pool = S::pool(2);
    let held = |stuck: bool| {
        let token = Rc::clone(&token);
        async move {
            if stuck {
                pending::<()>().await;
            }
            token
        }
    };
    let _ = pool.map_n([false, true, true, true], held);
    drive(&mut pool);
    assert_eq!(counts(&pool), [1, 2, 1, 1]);
    assert_eq!(Rc::strong_count(&token), 5);
    drop(pool);
    assert_eq!(Rc::strong_count(&token), 1);
}

fn wakers_that_outlive_the_pool_are_harmless<S: Set>() {
    let mut pool = S::pool(2);
    let jobs: [_; 3] = hands();
    let _ = pool.map_n(&jobs, job);
    let (wakes, task) = Wakes::new();
    jobs[0].finish(0);
    assert!(poll_next_as(&mut pool, &task).is_ready());
    assert!(poll_next_as(&mut pool, &task).is_pending());
    drop(pool);
    let before = wakes.count();
    jobs.iter().for_each(Hand::wake);
    assert_eq!(wakes.count(), before, "there is nothing to be woken for");
    drop(task);
    assert_eq!(Arc::strong_count(&wakes), 1, "the task is kept in memory by nobody");
}

fn a_late_wake_up_of_a_finished_future_does_not_poll_it_and_loses_no_other<S: Set>() {
    let mut pool = S::pool(2);
    let [a, b, c] = hands();
    let _ = pool.map_n([&a, &b, &c], job);
    drive(&mut pool);
    a.finish(1);
    assert_eq!(outputs(&mut pool), [1]);
    let polls = a.polls();
    a.wake();
    c.finish(3);
    a.wake();
    assert_eq!(outputs(&mut pool), [3]);
    a.wake();
    drive(&mut pool);
    assert_eq!(a.polls(), polls);
    assert!(b.is_active());
}

/// So many that a set which finds them by bits needs words, words over words, and more than one of those.
fn a_future_wakes_the_task_whichever_place_it_has_in_the_set<S: Set>() {
    const N: usize = 4200;
    let mut pool = S::pool(N);
    let jobs: Vec<_> = iter::repeat_with(Hand::default).take(N).collect();
    let keys: Vec<_> = pool.map_n(&jobs, job).collect();
    start_all(&mut pool);
    let (wakes, task) = Wakes::new();
    for i in (0..200).chain(4000..N) {
        for calls in 0.. {
            let before = wakes.count();
            assert!(poll_next_as(&mut pool, &task).is_pending());
            if wakes.count() == before {
                break;
            }
            assert!(calls < 1000, "does not come to rest");
        }
        let before = wakes.count();
        jobs[i].finish(7);
        assert!(wakes.count() > before, "the wake-up of number {i} is lost");
        assert_eq!(poll_next(&mut pool), Poll::Ready(Some((keys[i], 7))));
    }
}

/// The pool may be handed from task to task between two polls.
fn the_task_that_polled_last_is_woken<S: Set>() {
    let mut pool = S::pool(1);
    let [a] = hands();
    pool.spawn_n(a.job());
    let [(first, first_task), (last, last_task)] = [Wakes::new(), Wakes::new()];
    assert!(poll_next_as(&mut pool, &first_task).is_pending());
    assert!(poll_next_as(&mut pool, &last_task).is_pending());
    let before = (first.count(), last.count());
    a.finish(1);
    assert!(last.count() > before.1);
    assert_eq!(first.count(), before.0);
}

fn no_wake_up_from_another_thread_is_lost<S: Set>() {
    const N: usize = 2000;
    let mut pool = S::pool(N);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..N).map(|_| oneshot::channel()).unzip();
    let _ = pool.map_n(receivers, |receiver| receiver);
    start_all(&mut pool);
    let mut senders: Vec<_> = senders.into_iter().enumerate().collect();
    let others = senders.split_off(N / 2);
    let threads = [senders, others].map(|senders| {
        thread::spawn(move || senders.into_iter().for_each(|(output, sender)| sender.send(output).unwrap()))
    });
    let (wakes, task) = Wakes::new();
    let mut outputs = HashSet::new();
    loop {
        let before = wakes.count();
        match poll_next_as(&mut pool, &task) {
            Poll::Ready(Some((_, output))) => assert!(outputs.insert(output.unwrap()), "delivered twice"),
            Poll::Ready(None) => break,
            Poll::Pending => {
                while wakes.count() == before && !threads.iter().all(thread::JoinHandle::is_finished) {
                    thread::yield_now();
                }
                assert!(wakes.count() > before, "pending, and the last to send has not woken it: {pool:?}");
            }
        }
    }
    assert_eq!(outputs.len(), N);
}

// Debug.

/// Prints nothing, and so do its outputs.
struct Mute;

impl Future for Mute {
    type Output = Mute;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Mute> {
        Poll::Pending
    }
}

fn debug_prints_the_counts_and_asks_nothing_of_the_outputs<S: Set>() {
    let mut pool = S::pool(2);
    let _ = pool.map_n(0..5, |_| Mute);
    drive(&mut pool);
    let printed = format!("{pool:?}");
    for count in ["size: 2", "waiting: 3", "active: 2", "finished: 0"] {
        assert!(printed.contains(count), "{printed}");
    }
    assert!(format!("{:?}", pool.itermap([Mute], |mute| mute)).contains("waiting: 4"));
}

#[test]
fn all_that_a_pool_makes_is_debug_whatever_its_futures_are() {
    fn is_debug<T: Debug>(_: &T) {}
    let mut pool = Pool::<Mute>::new(1);
    is_debug(&pool);
    is_debug(&pool.itermap([Mute], |mute| mute));
    is_debug(&pool.itermap([Mute], |mute| mute).keyed());
}

// Promises that the compiler keeps.

const fn assert_key<K: Copy + Ord + Hash + Debug + Send + Sync + Unpin + 'static>() {}

const fn assert_keys<I: ExactSizeIterator<Item = Key> + Send + Sync + 'static>() {
    // What needs no dropping owns no memory.
    assert!(!mem::needs_drop::<I>());
}

const fn assert_send_sync<T: Send + Sync>() {}

const fn assert_unpin<T: Unpin>() {}

/// For all futures, not only for those that are tried out below.
const fn pools_are_send_and_sync_when_their_futures_are<F>()
where
    F: Future<Output: Send + Sync> + Send + Sync,
{
    assert_send_sync::<Pool<F>>();
    assert_send_sync::<Pool<F, UnorderedSet>>();
}

const fn pools_are_unpin_whatever_their_futures_are<F: Future>() {
    assert_unpin::<Pool<F>>();
    assert_unpin::<Pool<F, UnorderedSet>>();
}

const _: () = {
    assert_key::<Key>();
    assert_keys::<Keys>();
    pools_are_send_and_sync_when_their_futures_are::<Pending<u32>>();
    pools_are_unpin_whatever_their_futures_are::<Job>();
};

/// `Send`, and not `Sync`, as most async blocks are.
struct OnlySend(Cell<()>);

impl Future for OnlySend {
    type Output = Cell<u32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Cell<u32>> {
        self.0.set(());
        Poll::Ready(Cell::new(7))
    }
}

/// So that they can be awaited inside of `tokio::spawn`, with borrowed items.
#[test]
fn what_a_pool_of_send_futures_returns_is_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }

    macro_rules! check {
        ($set:expr) => {{
            let make = |()| OnlySend(Cell::new(()));
            let items = [(); 3];
            let mut pool = send(Pool::with_set(2, $set));
            let key = run(send(pool.spawn(make(()))));
            run(send(pool.exec(make(()))));
            run(send(pool.map_all(items.iter().copied(), make)));
            run(send(pool.wait(key)));
            run(send(pool.join()));
            drop(send(pool.itermap(items.iter().copied(), make).keyed()));
            drop(send(pool.itermap(items.iter().copied(), make).batches(yield_when::all_completed)));
        }};
    }

    check!(SlotSet);
    check!(UnorderedSet);
}

on_each_set! {
    spawn_n_neither_waits_nor_polls,
    map_n_makes_all_futures_at_once_and_polls_none,
    the_keys_of_map_n_are_those_of_its_items_in_their_order,
    map_n_of_nothing_pushes_nothing,
    extend_pushes_every_future_and_polls_none,
    keys_rise_in_the_order_of_spawning_and_are_never_reused,
    a_push_wakes_the_task_that_last_polled,
    spawn_starts_the_future_at_once_where_there_is_room,
    spawn_waits_for_room_and_then_starts_the_future_at_once,
    spawn_starts_what_is_queued_and_then_its_own_in_one_call,
    spawn_comes_after_all_that_is_queued,
    spawn_behind_a_queue_longer_than_the_polls_of_one_call_mixes_up_no_keys,
    spawn_starts_futures_whatever_the_max_finished,
    spawn_dropped_while_it_waits_drops_its_future_and_nothing_else,
    spawn_dropped_before_its_first_poll_has_done_nothing,
    spawn_whose_future_finishes_at_its_first_poll_keeps_the_result,
    try_spawn_gives_the_future_back_unpolled_where_len_is_size,
    try_spawn_pushes_and_does_not_poll,
    exec_runs_alongside_the_others_which_keep_their_results,
    exec_ends_whatever_the_max_finished,
    exec_dropped_while_it_waits_for_room_drops_its_future_and_nothing_else,
    exec_dropped_after_the_start_leaves_its_future_in_the_pool,
    wait_gives_the_result_of_one_that_is_waiting_active_or_finished,
    wait_is_none_at_once_for_what_the_pool_does_not_hold,
    wait_starts_futures_whatever_the_max_finished,
    wait_dropped_early_loses_nothing,
    take_result_is_none_until_the_future_has_finished_and_after_it_was_taken,
    a_key_finds_what_was_started_and_finished_before_the_pool_was_asked_for_any,
    take_result_is_in_constant_time_however_many_results_are_held,
    results_taken_by_key_do_not_come_again_and_leave_the_rest_in_order,
    a_result_taken_by_its_key_makes_room_and_wakes_the_task_that_last_polled,
    join_ends_once_nothing_is_waiting_or_active_whatever_the_max_finished,
    join_of_an_empty_pool_ends_at_once,
    join_dropped_early_loses_nothing,
    map_all_gives_results_in_the_order_of_the_items,
    map_all_takes_an_item_only_as_a_slot_frees,
    map_all_of_a_million_items_queues_nothing,
    map_all_of_nothing_is_empty,
    map_all_of_nothing_waits_for_nobody,
    map_all_runs_alongside_the_others_which_keep_their_results,
    map_all_ends_whatever_the_max_finished,
    map_all_dropped_early_leaves_what_was_started_and_takes_no_more,
    map_all_after_one_that_was_dropped_gives_its_own_results_only,
    itermap_pushes_all_at_once_and_gives_results_as_they_finish,
    itermap_keyed_gives_the_keys_under_which_the_pool_knows_them,
    itermap_gives_its_own_results_only_while_the_others_make_progress,
    itermap_that_is_dropped_leaves_all_the_rest_in_the_pool,
    itermap_of_nothing_ends_at_once_even_in_a_full_pool,
    itermap_has_an_exact_size_hint_and_says_when_it_has_ended,
    itermap_ends_whatever_the_max_finished,
    itermap_after_one_that_was_dropped_gives_its_own_results_only,
    the_stream_gives_each_result_with_its_key_as_it_finishes,
    the_stream_is_at_its_end_when_the_pool_is_empty_and_continues_after_a_push,
    the_stream_is_not_at_its_end_while_a_result_is_left,
    the_size_hint_is_exact,
    a_freed_slot_is_filled_and_its_future_polled_before_a_result_is_handed_over,
    results_come_in_the_order_in_which_they_finished_also_those_an_itermap_left,
    the_max_finished_is_the_size_until_it_is_set,
    the_stream_starts_a_future_while_at_most_a_max_finished_of_results_is_held,
    with_a_max_finished_of_0_a_slot_is_refilled_only_once_the_last_result_is_taken,
    a_full_max_finished_does_not_stop_what_is_active,
    a_paused_pool_starts_nothing_and_finishes_what_is_active,
    spawn_into_an_empty_paused_pool_does_not_start,
    a_paused_pool_stays_so_when_its_size_or_max_finished_changes,
    resume_wakes_the_task_that_last_polled_and_starts_what_waits,
    a_size_of_0_is_taken_as_1,
    a_size_of_usize_max_costs_nothing_and_starts_everything,
    the_default_size_is_4,
    no_more_and_no_less_than_size_are_active,
    growing_wakes_the_task_that_last_polled_and_starts_more,
    shrinking_lets_the_surplus_finish_and_starts_none_until_it_has,
    cancel_drops_a_waiting_future_at_once_and_frees_its_place,
    whatever_is_cancelled_in_the_queue_the_others_keep_their_order_and_keys,
    cancel_drops_an_active_future_at_once_and_its_slot_is_free,
    cancel_of_what_is_neither_waiting_nor_active_is_false,
    a_stale_key_finds_nothing_where_another_has_come_into_its_place,
    cancel_all_drops_what_is_waiting_and_active_and_counts_it,
    after_cancel_all_the_stream_ends_for_the_task_that_waits_for_it,
    after_the_last_cancel_the_stream_of_a_paused_pool_ends_for_the_task_that_waits_for_it,
    what_was_cancelled_is_never_polled_again_however_late_it_is_woken,
    the_counts_say_where_each_future_is,
    a_pool_with_more_than_size_is_full,
    executed_counts_those_that_ran_to_their_end_and_no_others,
    one_poll_of_the_stream_polls_at_most_64_futures,
    one_poll_of_spawn_polls_at_most_64_futures,
    one_poll_of_spawn_counts_that_of_its_own_future,
    one_poll_of_exec_polls_at_most_64_futures,
    one_poll_of_wait_polls_at_most_64_futures,
    one_poll_of_join_polls_at_most_64_futures,
    one_poll_of_map_all_polls_at_most_64_futures,
    one_poll_of_itermap_polls_at_most_64_futures,
    futures_that_wake_themselves_keep_neither_the_waiting_nor_the_woken_from_their_turn,
    a_panic_of_a_future_passes_through_and_the_pool_continues_with_the_rest,
    a_panic_at_the_first_poll_passes_through_the_call_that_starts_the_future,
    no_slot_is_lost_however_often_futures_panic,
    the_output_of_a_future_that_finishes_at_once_and_whose_destructor_panics_is_kept,
    a_future_whose_destructor_panics_is_cancelled_all_the_same,
    cancel_all_drops_all_even_if_a_destructor_panics,
    dropping_the_pool_drops_all_even_if_a_destructor_panics,
    a_closure_or_source_that_panics_in_map_n_or_itermap_leaves_what_was_made_before,
    a_closure_that_panics_in_map_all_leaves_what_was_started,
    a_source_that_panics_in_map_all_leaves_what_was_started,
    a_future_that_panics_in_map_all_leaves_what_was_started,
    a_future_that_panics_in_itermap_leaves_the_stream_going,
    the_panic_of_another_future_during_exec_leaves_its_future_in_the_pool,
    dropping_the_pool_drops_what_is_waiting_active_and_finished,
    wakers_that_outlive_the_pool_are_harmless,
    a_late_wake_up_of_a_finished_future_does_not_poll_it_and_loses_no_other,
    a_future_wakes_the_task_whichever_place_it_has_in_the_set,
    the_task_that_polled_last_is_woken,
    no_wake_up_from_another_thread_is_lost,
    debug_prints_the_counts_and_asks_nothing_of_the_outputs,
}

#[tokio::test(start_paused = true)]
async fn whoever_pushes_in_a_loop_sees_an_error_early_by_taking_results() {
    let upload = async |part: u64| {
        tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
        if part == 2 { Err(part) } else { Ok(part) }
    };
    let (mut pool, mut parts) = (Pool::new(8), 0..1000);
    let mut failed = None;
    for part in parts.by_ref() {
        pool.spawn_n(upload(part));
        if pool.is_full() {
            failed = pool.next().await.and_then(|(_, result)| result.err());
            if failed.is_some() {
                break;
            }
        }
    }
    assert_eq!((failed, parts.start), (Some(2), 10));
}
