//! Wake-ups from other threads: none is lost, and none does harm.
//!
//! The thread that polls parks until it is woken, with a limit in time that only tells a lost wake-up from a late one.
//! There are no sleeps; the moments are random because the threads are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};
use std::{hint, iter};

use futures::future::{Either, pending};
use futures::stream::{Stream, StreamExt};
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Pool, SlotSet, UnorderedSet};

/// After this a wake-up is lost.
const LIMIT: Duration = Duration::from_secs(20);

/// Parks the thread it was made on until its waker is called.
struct Parker {
    state: Arc<Unpark>,
    waker: Waker,
}

struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Parker {
    fn new() -> Self {
        let state = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&state)), state }
    }

    /// Polls up to the end, or until there is reason to wait.
    fn poll<St: Stream + Unpin>(&self, stream: &mut St, items: &mut Vec<St::Item>) -> Poll<()> {
        loop {
            self.state.is_woken.store(false, SeqCst);
            match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Some(item)) => items.push(item),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    #[track_caller]
    fn park(&self) {
        let start = Instant::now();
        while !self.state.is_woken.load(SeqCst) {
            let left = LIMIT.checked_sub(start.elapsed()).expect("a wake-up was lost");
            thread::park_timeout(left);
        }
    }

    /// Polls to the end.
    #[track_caller]
    fn drain<St: Stream + Unpin>(&self, mut stream: St) -> Vec<St::Item> {
        let mut items = Vec::new();
        while self.poll(&mut stream, &mut items).is_pending() {
            self.park();
        }
        items
    }
}

/// A scrambled sequence of numbers.
struct Scramble(u64);

impl Scramble {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// A future that one of the other threads completes: it is handed to that thread when it is first polled.
struct Event {
    item: usize,
    state: Arc<Mutex<State>>,
    to: Option<Sender<Handle>>,
}

#[derive(Default)]
struct State {
    is_done: bool,
    waker: Option<Waker>,
}

struct Handle(Arc<Mutex<State>>);

impl Future for Event {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state.lock().unwrap();
        if state.is_done {
            return Poll::Ready(self.item);
        }
        state.waker = Some(cx.waker().clone());
        drop(state);
        if let Some(to) = self.to.take() {
            to.send(Handle(Arc::clone(&self.state))).expect("the thread waits for events");
        }
        Poll::Pending
    }
}

impl Handle {
    fn complete(self) {
        let mut state = self.0.lock().unwrap();
        state.is_done = true;
        let waker = state.waker.take();
        drop(state);
        waker.expect("it has been polled").wake();
    }

    /// Wakes for nothing.
    fn disturb(&self) {
        let waker = self.0.lock().unwrap().waker.clone();
        waker.expect("it has been polled").wake_by_ref();
    }
}

/// Threads that complete events, each its share of them, at random moments and in random order.
struct Threads {
    to: Vec<Sender<Handle>>,
}

impl Threads {
    fn new<'scope>(count: usize, scope: &'scope Scope<'scope, '_>) -> Self {
        let to = (0..count).map(|seed| {
            let (to, events) = channel();
            scope.spawn(move || complete_all(&events, Scramble(seed as u64)));
            to
        });
        Self { to: to.collect() }
    }

    fn event(&self, item: usize) -> Event {
        Event { item, state: Arc::default(), to: Some(self.to[item % self.to.len()].clone()) }
    }

    /// The closure for `pool_map`. The threads end with it, and with its futures.
    fn events(self) -> impl FnMut(usize) -> Event + Send {
        move |item| self.event(item)
    }
}

fn complete_all(events: &Receiver<Handle>, mut scramble: Scramble) {
    let mut open = Vec::new();
    loop {
        if open.is_empty() {
            // Only with empty hands: otherwise both sides might wait.
            let Ok(event) = events.recv() else { return };
            open.push(event);
        }
        open.extend(events.try_iter().take(64));
        for _ in 0..scramble.below(300) {
            hint::spin_loop();
        }
        for _ in 0..=scramble.below(4).min(open.len() - 1) {
            let chosen = scramble.below(open.len());
            match scramble.below(10) {
                0 => open[chosen].disturb(),
                _ => open.swap_remove(chosen).complete(),
            }
            if open.is_empty() {
                break;
            }
        }
    }
}

/// Runs `items` events through a stream of the caller's making, and gives the results.
#[track_caller]
fn run_events<St: Stream<Item = usize> + Unpin>(threads: usize, stream: impl FnOnce(Threads) -> St) -> Vec<usize> {
    thread::scope(|scope| Parker::new().drain(stream(Threads::new(threads, scope))))
}

fn assert_all(items: usize, mut results: Vec<usize>) {
    results.sort_unstable();
    assert!(results.into_iter().eq(0..items), "each output comes out exactly once");
}

fn check_both_orders<S: ActiveSet>(size: usize, items: usize, threads: usize, set: impl Fn() -> S) {
    let unordered = |threads: Threads| (0..items).pool_map(size, threads.events()).with_set(set()).unordered();
    assert_all(items, run_events(threads, unordered));
    let ordered = |threads: Threads| (0..items).pool_map(size, threads.events()).with_set(set());
    assert!(run_events(threads, ordered).into_iter().eq(0..items));
}

#[test]
fn no_wake_up_is_lost_in_one_slot() {
    check_both_orders(1, 4000, 2, SlotSet::default);
    check_both_orders(1, 1000, 2, UnorderedSet::default);
}

#[test]
fn no_wake_up_is_lost_in_16_slots() {
    check_both_orders(16, 20_000, 3, SlotSet::default);
    check_both_orders(16, 5000, 3, UnorderedSet::default);
}

#[test]
fn no_wake_up_is_lost_in_100_slots_which_is_more_than_a_word() {
    check_both_orders(100, 20_000, 4, SlotSet::default);
    check_both_orders(100, 5000, 4, UnorderedSet::default);
}

#[test]
fn no_wake_up_is_lost_in_5000_slots() {
    check_both_orders(5000, 30_000, 4, SlotSet::default);
    check_both_orders(5000, 10_000, 4, UnorderedSet::default);
}

/// A thread that never blocks completes the one event there is, at about the time when the poller is about to park;
/// with so many other slots held below that the event's own is in the first word, in another, under another summary.
fn check_on_the_way_to_park<S: ActiveSet>(held: usize, items: usize, set: S) {
    let results = thread::scope(|scope| {
        let (to, events) = channel::<Handle>();
        scope.spawn(move || {
            let mut scramble = Scramble(5);
            loop {
                match events.try_recv() {
                    Ok(event) => {
                        for _ in 0..scramble.below(100) {
                            hint::spin_loop();
                        }
                        event.complete();
                    }
                    Err(TryRecvError::Empty) => hint::spin_loop(),
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        });
        let threads = Threads { to: vec![to] };
        let mut stream = (0..held + items)
            .pool_map(held + 1, |item| match usize::checked_sub(item, held) {
                None => Either::Left(pending()),
                Some(item) => Either::Right(threads.event(item)),
            })
            .with_set(set)
            .unordered();
        let parker = Parker::new();
        let mut results = Vec::new();
        while results.len() < items {
            if parker.poll(&mut stream, &mut results).is_pending() && results.len() < items {
                parker.park();
            }
        }
        drop(stream);
        drop(threads);
        results
    });
    assert_all(items, results);
}

#[test]
fn no_wake_up_is_lost_on_the_way_to_park() {
    for held in [0, 63, 64, 200, 4200] {
        check_on_the_way_to_park(held, 20_000, SlotSet);
    }
    check_on_the_way_to_park(64, 5000, UnorderedSet);
}

#[test]
fn no_wake_up_is_lost_in_a_keyed_pool() {
    fn check<S: ActiveSet>(size: usize, items: usize, set: S) {
        let results = run_events(3, |threads| {
            let mut pool = Pool::with_set(size, set);
            let _ = pool.map_n(0..items, threads.events());
            pool.map(|(_, item)| item)
        });
        assert_all(items, results);
    }
    for size in [1, 16, 100] {
        check(size, 2000, SlotSet);
        check(size, 2000, UnorderedSet);
    }
}

#[test]
fn no_wake_up_is_lost_in_two_stages() {
    let items = 5000;
    let results = thread::scope(|scope| {
        let (first, second) = (Threads::new(2, scope), Threads::new(2, scope));
        let stages = (0..items).pool_map(7, first.events()).unordered().pool_map(70, second.events());
        Parker::new().drain(stages)
    });
    assert_all(items, results);
}

#[test]
fn no_wake_up_of_the_source_is_lost() {
    // Items come from one thread, and their futures are completed by others.
    let items = 5000;
    let results = thread::scope(|scope| {
        let (to, source) = futures::channel::mpsc::unbounded();
        scope.spawn(move || {
            let mut scramble = Scramble(9);
            for item in 0..items {
                to.unbounded_send(item).unwrap();
                for _ in 0..scramble.below(300) {
                    hint::spin_loop();
                }
            }
        });
        Parker::new().drain(source.pool_map(5, Threads::new(2, scope).events()).unordered())
    });
    assert_all(items, results);
}

#[test]
fn a_stream_may_be_polled_by_another_thread_each_time() {
    fn check<St: Stream<Item = usize> + Send + Unpin>(items: usize, stream: impl FnOnce(Threads) -> St) {
        let (done, results) = channel();
        thread::scope(|scope| {
            let (to, mut from): (VecDeque<_>, Vec<_>) = iter::repeat_with(channel).take(3).unzip();
            let first = to[0].clone();
            let mut next = to;
            for from in from.drain(..) {
                next.rotate_left(1);
                let (next, done) = (next[0].clone(), done.clone());
                scope.spawn(move || {
                    let parker = Parker::new();
                    while let Ok((mut stream, mut results)) = from.recv() {
                        if parker.poll(&mut stream, &mut results).is_ready() {
                            done.send(results).unwrap();
                            return;
                        }
                        // The wake-up comes to this thread; what it leads to is done by the next.
                        parker.park();
                        if next.send((stream, results)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(next);
            first.send((stream(Threads::new(2, scope)), Vec::new())).ok().unwrap();
            drop(first);
        });
        assert_all(items, results.try_recv().expect("it came to its end on one of the threads"));
    }
    let items = 3000;
    check(items, |threads| (0..items).pool_map(10, threads.events()));
    check(items, |threads| (0..items).pool_map(100, threads.events()).unordered());
    check(items, |threads| (0..items).pool_map(10, threads.events()).with_set(UnorderedSet).unordered());
}

/// Wakes a waker for ever: until it is told to stop, or has reason to believe that it never will be.
fn hammer(waker: &Waker, stop: &AtomicBool) {
    let start = Instant::now();
    while !stop.load(SeqCst) {
        assert!(start.elapsed() < LIMIT, "the poller does not come to its end");
        for _ in 0..1000 {
            waker.wake_by_ref();
        }
    }
}

/// Gives its waker away, and ends immediately or after so many more polls.
struct GivesWaker {
    to: Sender<Waker>,
    polls: usize,
    others: Option<Event>,
}

impl Future for GivesWaker {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(event) = &mut self.others {
            return Pin::new(event).poll(cx);
        }
        if self.polls > 0 {
            self.polls -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Only the waker of a second poll is sure to stand for the slot.
        let _ = self.to.send(cx.waker().clone());
        Poll::Ready(0)
    }
}

/// The first future finishes, and is woken for ever by three threads; the others have to get through all the same.
fn check_hammered<S: ActiveSet>(size: usize, items: usize, set: impl Fn() -> S) {
    let stop = AtomicBool::new(false);
    let results = thread::scope(|scope| {
        let (to, wakers) = channel::<Waker>();
        let stop = &stop;
        scope.spawn(move || {
            let Ok(waker) = wakers.recv() else { return };
            thread::scope(|scope| {
                scope.spawn(|| hammer(&waker, stop));
                scope.spawn(|| hammer(&waker, stop));
                hammer(&waker, stop);
            });
        });
        let threads = Threads::new(2, scope);
        let make = move |item| {
            let others = (item > 0).then(|| threads.event(item));
            GivesWaker { to: to.clone(), polls: 2, others }
        };
        let results = Parker::new().drain((0..items).pool_map(size, make).with_set(set()).unordered());
        stop.store(true, SeqCst);
        results
    });
    assert_all(items, results);
}

#[test]
fn an_empty_slot_that_is_woken_for_ever_holds_nobody_up() {
    // As many items as slots: the slot of the first stays empty.
    for size in [3, 50, 500] {
        check_hammered(size, size, SlotSet::default);
        check_hammered(size, size, UnorderedSet::default);
    }
}

#[test]
fn a_slot_that_is_woken_for_ever_on_behalf_of_a_former_future_holds_nobody_up() {
    for size in [1, 3, 100] {
        check_hammered(size, 1000, SlotSet::default);
        check_hammered(size, 1000, UnorderedSet::default);
    }
}

/// Never ends; gives its waker away at each poll; counts itself out.
struct Stuck<'a> {
    to: Sender<Waker>,
    dropped: &'a AtomicUsize,
}

impl Future for Stuck<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.to.send(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

#[test]
fn wakers_may_be_used_while_the_pool_is_dropped_and_after() {
    fn check<S: ActiveSet>(size: usize, dropped: &AtomicUsize, set: impl Fn() -> S) {
        for _ in 0..30 {
            dropped.store(0, SeqCst);
            let is_dropped = AtomicBool::new(false);
            thread::scope(|scope| {
                let mut to = Vec::new();
                for _ in 0..3 {
                    let (sender, wakers) = channel::<Waker>();
                    to.push(sender);
                    let is_dropped = &is_dropped;
                    scope.spawn(move || {
                        let mut held = Vec::new();
                        while !is_dropped.load(SeqCst) {
                            held.extend(wakers.try_iter().take(1000));
                            held.iter().for_each(Waker::wake_by_ref);
                        }
                        held.into_iter().for_each(Waker::wake);
                    });
                }
                let make = |item: usize| Stuck { to: to[item % 3].clone(), dropped };
                let mut stream = (0..size).pool_map(size, make).with_set(set());
                let parker = Parker::new();
                for _ in 0..10 {
                    assert!(parker.poll(&mut stream, &mut Vec::new()).is_pending());
                }
                drop(stream);
                assert_eq!(dropped.load(SeqCst), size);
                is_dropped.store(true, SeqCst);
            });
            assert_eq!(dropped.load(SeqCst), size);
        }
    }
    let dropped = AtomicUsize::new(0);
    for size in [1, 60, 150] {
        check(size, &dropped, SlotSet::default);
        check(size, &dropped, UnorderedSet::default);
    }
}
