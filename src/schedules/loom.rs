//! Every schedule of wakers and a poller: no wake-up is lost, and what the waker's thread wrote before it is seen.
//!
//! A wake-up is a promise that the future is polled *after* it. So each waker first writes something with an access that
//! orders nothing (`Relaxed`), and each poll looks for it the same way: if the order of the ready bits were too weak, the poll
//! might miss it, and loom would find the run in which it does.
//!
//! Threads are joined before the poller continues for as long as its task has been woken; so a wake-up that is lost
//! fails, and does not hang. A word has 2 bits here and a block 2 words (see `active/ready.rs`): slots 0 and 1 are in
//! the first word, 2 and 3 in the first block, 4 in the second, and 8 is under the second summary.
//!
//! Each test tells how many schedules there were; `LOOM_MAX_PREEMPTIONS` sets a bound, or another than that of the test.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use std::vec::Vec;
use std::{eprintln, thread};

use ::loom::model::Builder;
use ::loom::sync::atomic::AtomicUsize;
use ::loom::thread::{JoinHandle, spawn};
use futures::Stream;

use crate::active::ReadyBits;
use crate::prelude::*;
use crate::{Key, Pool};

/// Runs every schedule, or every one with at most so many preemptions.
fn check(bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(bound);
    let bound = builder.preemption_bound;
    let count = Arc::new(Count::new(0));
    let counted = Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let thread = thread::current();
    eprintln!("{}: {} schedules, preemptions: {bound:?}", thread.name().unwrap_or(""), count.load(Relaxed));
}

/// A task: how often it was woken, and how many of these wake-ups its executor has recorded. It records them only
/// when all threads have ended, so loom need not see it.
#[derive(Default)]
struct Task {
    woken: Count,
    noted: Count,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Relaxed);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::<Self>::default();
        (Arc::clone(&task), Waker::from(task))
    }

    /// Returns whether it was woken since this was last called.
    fn is_woken(&self) -> bool {
        let woken = self.woken.load(Relaxed);
        self.noted.swap(woken, Relaxed) != woken
    }
}

/// What a waker's thread writes before it wakes: how often it has done so.
#[derive(Default)]
struct Event {
    steps: AtomicUsize,
}

impl Event {
    fn wake(&self, waker: &Waker) {
        self.steps.fetch_add(1, Relaxed);
        waker.wake_by_ref();
    }
}

/// The ready bits as a set uses them, and an event for each of some slots.
struct Slots {
    ready: ReadyBits,
    slots: Vec<Slot>,
}

struct Slot {
    number: usize,
    waker: Waker,
    event: Arc<Event>,
    /// How far the event was when the slot was last polled.
    seen: usize,
    polls: usize,
}

impl Slots {
    fn new(numbers: &[usize]) -> Self {
        let mut ready = ReadyBits::new();
        let wakers: Vec<_> = (0..=*numbers.last().unwrap()).map(|number| ready.waker(number)).collect();
        let slot =
            |&number: &usize| Slot { number, waker: wakers[number].clone(), event: Arc::default(), seen: 0, polls: 0 };
        let slots = numbers.iter().map(slot).collect();
        Self { ready, slots }
    }

    /// Has another thread wake each slot so many times.
    fn wake_each(&self, times: usize) -> Vec<JoinHandle<()>> {
        self.slots.iter().map(|slot| slot.wake_elsewhere(times)).collect()
    }

    /// Polls what is woken, until the task may sleep.
    fn poll(&mut self, waker: &Waker) {
        self.ready.unpark();
        loop {
            while let Some(number) = self.ready.next() {
                let slot = self.slots.iter_mut().find(|slot| slot.number == number).expect("somebody has woken it");
                slot.seen = slot.event.steps.load(Relaxed);
                slot.polls += 1;
            }
            if self.ready.park(waker) {
                return;
            }
        }
    }

    /// Polls for as long as the task is woken.
    fn drain(&mut self, task: &Task, waker: &Waker) {
        while task.is_woken() {
            self.poll(waker);
        }
    }

    /// Asserts that each slot was polled after the last time that it was woken, and not more often than it was woken.
    fn assert_seen(&self, times: usize) {
        for slot in &self.slots {
            assert_eq!(slot.seen, times, "slot {} was not polled after the last time that it was woken", slot.number);
            assert!(slot.polls <= times, "slot {} was polled {} times", slot.number, slot.polls);
        }
    }
}

impl Slot {
    fn wake_elsewhere(&self, times: usize) -> JoinHandle<()> {
        let (event, waker) = (Arc::clone(&self.event), self.waker.clone());
        spawn(move || (0..times).for_each(|_| event.wake(&waker)))
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

// Register, then look: wakers, and a poller that polls once meanwhile, whether it is woken or not.

fn register_then_look(slots: &[usize], asleep: bool, times: usize) {
    let (task, waker) = Task::new();
    let mut slots = Slots::new(slots);
    if asleep {
        slots.poll(&waker);
    }
    let threads = slots.wake_each(times);
    slots.poll(&waker);
    join(threads);
    slots.drain(&task, &waker);
    slots.assert_seen(times);
}

macro_rules! register_then_look {
    ($($name:ident: $slots:expr, asleep $asleep:literal, times $times:literal, bound $bound:expr;)*) => {$(
        #[test]
        fn $name() {
            check($bound, || register_then_look(&$slots, $asleep, $times));
        }
    )*};
}

register_then_look! {
    one_waker_that_wakes_twice: [0], asleep false, times 2, bound None;
    a_waker_in_a_block: [2], asleep true, times 1, bound None;
    two_wakers_in_the_first_word_and_a_poller_about_to_sleep: [0, 1], asleep false, times 1, bound Some(5);
    two_wakers_in_the_first_word_and_a_poller_asleep: [0, 1], asleep true, times 1, bound Some(5);
    two_wakers_in_one_word_of_a_block: [2, 3], asleep false, times 1, bound Some(5);
    two_wakers_in_one_word_of_a_block_and_a_poller_asleep: [2, 3], asleep true, times 1, bound Some(4);
    two_wakers_in_the_first_word_and_a_block: [0, 2], asleep false, times 1, bound Some(5);
    two_wakers_in_two_blocks: [2, 4], asleep false, times 1, bound Some(5);
    two_wakers_under_two_summaries: [4, 8], asleep false, times 1, bound Some(5);
    three_wakers_in_the_first_word_and_two_blocks: [0, 2, 4], asleep true, times 1, bound Some(2);
}

/// No more than is needed, so that every schedule can be tried, without a bound: the wakers say nothing but that they wake,
/// and the poller lies down and looks once more.
#[test]
fn every_schedule_of_two_wakers_and_a_poller_that_lies_down() {
    check(None, || {
        let (task, waker) = Task::new();
        let mut ready = ReadyBits::new();
        let threads = [0, 1].map(|slot| {
            let waker = ready.waker(slot);
            spawn(move || waker.wake())
        });
        let mut sleeps = ready.park(&waker);
        join(threads.into());
        let mut polled = [0, 0];
        while !sleeps || task.is_woken() {
            ready.unpark();
            while let Some(slot) = ready.next() {
                polled[slot] += 1;
            }
            sleeps = ready.park(&waker);
        }
        assert_eq!(polled, [1, 1], "each is polled once");
    });
}

// The task.

/// One waker wakes, so long as it does not know which, the task that polled last.
fn change_of_task(tasks: &[usize], bound: Option<usize>) {
    let tasks = tasks.to_vec();
    check(bound, move || {
        let pairs = [Task::new(), Task::new()];
        let mut slots = Slots::new(&[0]);
        slots.poll(&pairs[tasks[0]].1);
        let threads = slots.wake_each(1);
        for &task in &tasks[1..] {
            slots.poll(&pairs[task].1);
        }
        join(threads);
        let (task, waker) = &pairs[*tasks.last().unwrap()];
        slots.drain(task, waker);
        slots.assert_seen(1);
        // What the wakers share keeps no task in memory when the poller has gone.
        let wakers: Vec<_> = slots.slots.iter().map(|slot| slot.waker.clone()).collect();
        drop(slots);
        assert!(pairs.iter().all(|(task, _)| Arc::strong_count(task) == 2), "a task is kept in memory");
        drop(wakers);
    });
}

#[test]
fn from_the_usual_task_to_another() {
    change_of_task(&[0, 1], None);
}

#[test]
fn from_another_task_to_one_more() {
    change_of_task(&[0, 1, 0], Some(4));
}

#[test]
fn from_the_usual_task_to_another_and_back() {
    change_of_task(&[0, 1, 0, 1], Some(3));
}

/// The poller goes while others wake: they do no harm, neither then nor later, and keep no task in memory.
fn dropped_while_wakers_wake(slots: &[usize], polls: usize, bound: Option<usize>) {
    let slots = slots.to_vec();
    check(bound, move || {
        let pairs = [Task::new(), Task::new()];
        let mut slots = Slots::new(&slots);
        for (_, waker) in pairs.iter().take(polls) {
            slots.poll(waker);
        }
        let wakers: Vec<_> = slots.slots.iter().map(|slot| slot.waker.clone()).collect();
        let threads = slots.wake_each(1);
        drop(slots);
        join(threads);
        assert!(pairs.iter().all(|(task, _)| Arc::strong_count(task) == 2), "a task is kept in memory");
        let before: Vec<_> = pairs.iter().map(|(task, _)| task.woken.load(Relaxed)).collect();
        assert!(before.iter().sum::<usize>() <= 1, "more than one has woken a task that slept once");
        wakers.iter().for_each(Waker::wake_by_ref);
        assert!(pairs.iter().zip(before).all(|((task, _), woken)| task.woken.load(Relaxed) == woken), "woken too late");
    });
}

#[test]
fn dropped_while_the_usual_task_is_woken() {
    dropped_while_wakers_wake(&[0, 1], 1, None);
}

#[test]
fn dropped_while_another_task_is_woken() {
    dropped_while_wakers_wake(&[0, 2], 2, None);
}

// From inside of a poll.

/// The future in a slot wakes itself and another one, while both are woken from outside.
fn from_inside_and_outside(slots: &[usize], bound: Option<usize>) {
    let slots = slots.to_vec();
    check(bound, move || {
        let (task, waker) = Task::new();
        let mut slots = Slots::new(&slots);
        let threads = slots.wake_each(1);
        let inside = slots.ready.enter();
        slots.slots.iter().for_each(|slot| slot.event.wake(&slot.waker));
        slots.poll(&waker);
        drop(inside);
        join(threads);
        slots.drain(&task, &waker);
        for slot in &slots.slots {
            assert_eq!(slot.seen, 2, "slot {}", slot.number);
        }
    });
}

#[test]
fn woken_from_inside_and_outside_in_the_first_word() {
    from_inside_and_outside(&[0], None);
}

#[test]
fn woken_from_inside_and_outside_in_a_block() {
    from_inside_and_outside(&[3], None);
}

#[test]
fn two_slots_woken_from_inside_and_outside() {
    from_inside_and_outside(&[1, 2], Some(3));
}

/// Two threads that each poll a set of their own, and wake the other's: neither takes the other for itself.
#[test]
fn two_pollers_that_wake_each_other() {
    fn poll_and_wake(slots: &mut Slots, task: &Waker, event: &Event, other: &Waker) {
        let inside = slots.ready.enter();
        event.wake(other);
        slots.poll(task);
        drop(inside);
    }
    check(Some(4), || {
        let pairs = [Task::new(), Task::new()];
        let [mut first, mut second] = [&[0], &[0]].map(|slots| Slots::new(slots));
        let (first_event, first_waker) = (Arc::clone(&first.slots[0].event), first.slots[0].waker.clone());
        let (event, waker) = (Arc::clone(&second.slots[0].event), second.slots[0].waker.clone());
        let second_task = pairs[1].1.clone();
        let thread = spawn(move || {
            poll_and_wake(&mut second, &second_task, &first_event, &first_waker);
            second
        });
        poll_and_wake(&mut first, &pairs[0].1, &event, &waker);
        let second = thread.join().unwrap();
        for (mut slots, (task, waker)) in [first, second].into_iter().zip(&pairs) {
            slots.drain(task, waker);
            slots.assert_seen(1);
        }
    });
}

/// What one thread was woken to from inside of a poll, and left, the next one that polls finds.
#[test]
fn polled_by_two_threads_in_turn() {
    check(Some(3), || {
        let (task, waker) = Task::new();
        let slots = Slots::new(&[2]);
        let threads = slots.wake_each(1);
        let poller = spawn(move || {
            let inside = slots.ready.enter();
            slots.slots.iter().for_each(|slot| slot.event.wake(&slot.waker));
            drop(inside);
            slots
        });
        let mut slots = poller.join().unwrap();
        slots.poll(&waker);
        join(threads);
        slots.drain(&task, &waker);
        for slot in &slots.slots {
            assert_eq!(slot.seen, 2, "slot {}", slot.number);
        }
    });
}

// The same by the public interface.

/// A future that is ready when its event has happened so many times.
struct Until {
    event: Arc<Event>,
    steps: usize,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.event.steps.load(Relaxed) >= self.steps {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Until {
    fn new(steps: usize) -> Self {
        Self { event: Arc::default(), steps, waker: Rc::default() }
    }

    /// Returns a closure that has another thread bring the event about, once the future has been polled.
    fn bringer(&self) -> impl FnOnce() -> JoinHandle<()> + use<> {
        let (event, steps, waker) = (Arc::clone(&self.event), self.steps, Rc::clone(&self.waker));
        move || {
            let waker = waker.borrow().clone().expect("it has been polled");
            spawn(move || (0..steps).for_each(|_| event.wake(&waker)))
        }
    }
}

/// Polls a stream until it is pending, or at its end, and returns whether it is.
fn take_all<St: Stream + Unpin>(stream: &mut St, waker: &Waker, items: &mut Vec<St::Item>) -> bool {
    loop {
        match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(waker)) {
            Poll::Ready(Some(item)) => items.push(item),
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}

/// Polls for as long as the task is woken, and asserts that this is the end.
fn drain<St: Stream + Unpin>(stream: &mut St, task: &Task, waker: &Waker, items: &mut Vec<St::Item>) {
    let mut ended = false;
    while !ended && task.is_woken() {
        ended = take_all(stream, waker, items);
    }
    assert!(ended || take_all(stream, waker, items) && items.is_empty(), "pending, and nothing will wake it");
}

/// A pool whose futures come about on a thread each while it is polled.
fn pool_of(futures: usize, steps: usize, bound: Option<usize>) {
    check(bound, move || {
        let (task, waker) = Task::new();
        let mut pool = Pool::new(futures);
        let mut bringers = Vec::new();
        let keys: Vec<_> = (0..futures)
            .map(|_| {
                let future = Until::new(steps);
                bringers.push(future.bringer());
                pool.spawn_n(future)
            })
            .collect();
        let mut results = Vec::new();
        assert!(!take_all(&mut pool, &waker, &mut results));
        let threads = bringers.into_iter().map(|bringer| bringer()).collect();
        let ended = take_all(&mut pool, &waker, &mut results);
        join(threads);
        if !ended {
            drain(&mut pool, &task, &waker, &mut results);
        }
        let mut finished: Vec<Key> = results.into_iter().map(|(key, ())| key).collect();
        finished.sort_unstable();
        assert_eq!(finished, keys, "each result comes once");
        assert!(pool.is_empty());
    });
}

#[test]
fn a_pool_of_one_that_is_woken_for_nothing_first() {
    pool_of(1, 2, Some(5));
}

#[test]
fn a_pool_of_two() {
    pool_of(2, 1, Some(4));
}

#[test]
fn a_pool_of_three_one_of_them_in_a_block() {
    pool_of(3, 1, Some(2));
}

/// In an ordered stream the second future may end first, and its slot goes to the third.
#[test]
fn pool_map_refills_while_others_wake() {
    check(Some(4), || {
        let (task, waker) = Task::new();
        let (futures, bringers): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| Until::new(1))
            .map(|future| {
                let bringer = future.bringer();
                (Some(future), bringer)
            })
            .unzip();
        let mut futures = futures;
        let mut started = 0;
        let mut stream = (0..3).pool_map(2, |index: usize| {
            started += 1;
            let future = futures.get_mut(index).and_then(Option::take);
            async move {
                if let Some(future) = future {
                    future.await;
                }
                index
            }
        });
        // `pool_map` wants no pinning of its own; the futures are in their slots.
        let mut results = Vec::new();
        assert!(!take_all(&mut stream, &waker, &mut results));
        let threads = bringers.into_iter().map(|bringer| bringer()).collect();
        let ended = take_all(&mut stream, &waker, &mut results);
        join(threads);
        if !ended {
            drain(&mut stream, &task, &waker, &mut results);
        }
        drop(stream);
        assert_eq!((results, started), (std::vec![0, 1, 2], 3));
    });
}

/// A future is cancelled while it is woken, and its slot has another one: that is not lost, nor is it taken for ready.
#[test]
fn a_slot_has_another_future_when_the_wake_up_of_the_first_comes() {
    check(Some(5), || {
        let (task, waker) = Task::new();
        let mut pool = Pool::new(1);
        let (first, second) = (Until::new(1), Until::new(1));
        let bringers = [first.bringer(), second.bringer()];
        let first = pool.spawn_n(first);
        let second = pool.spawn_n(second);
        let mut results = Vec::new();
        assert!(!take_all(&mut pool, &waker, &mut results));
        let [bring_first, bring_second] = bringers;
        let late = bring_first();
        assert!(pool.cancel(first));
        assert!(!take_all(&mut pool, &waker, &mut results));
        let thread = bring_second();
        let ended = take_all(&mut pool, &waker, &mut results);
        join(std::vec![late, thread]);
        if !ended {
            drain(&mut pool, &task, &waker, &mut results);
        }
        assert_eq!(results, [(second, ())]);
    });
}

/// The pool goes while its futures are woken.
#[test]
fn a_pool_is_dropped_while_others_wake() {
    check(None, || {
        let (task, waker) = Task::new();
        let mut pool = Pool::new(2);
        let futures = [Until::new(1), Until::new(2)];
        let bringers = [futures[0].bringer(), futures[1].bringer()];
        pool.map_n(futures, |future| future);
        assert!(!take_all(&mut pool, &waker, &mut Vec::new()));
        let threads = bringers.into_iter().map(|bringer| bringer()).collect();
        drop(pool);
        join(threads);
        assert!(task.woken.load(Relaxed) <= 1, "more than one has woken a task that slept once");
        assert_eq!(Arc::strong_count(&task), 2, "the task is kept in memory");
    });
}
