//! Who is woken, from where: futures that wake themselves and each other inside of a poll, wakers called between polls on
//! the thread that polls, pools inside one another, and one task after another.
//!
//! Other threads are in `threads.rs`.

mod common;

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::{Wakes, run, yield_now};
use futures::stream::{self, Stream, StreamExt};
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Progress, SlotSet, UnorderedSet};
use proptest::prelude::*;

/// Sizes around the ends of a word, of a block of words, and of what a summary stands for, where words have 64 bits.
const SIZES: [usize; 9] = [1, 2, 63, 64, 65, 1024, 1025, 2100, 66_000];

/// Doors, one for each future: it waits until its door is open.
#[derive(Default)]
struct Hall {
    doors: RefCell<Vec<Door>>,
}

#[derive(Default)]
struct Door {
    is_open: bool,
    waker: Option<Waker>,
    polls: usize,
}

impl Hall {
    fn new(doors: usize) -> Self {
        let hall = Self::default();
        hall.doors.borrow_mut().resize_with(doors, Door::default);
        hall
    }

    /// Waits until the door is open.
    async fn pass(&self, number: usize) -> usize {
        poll_fn(|cx| {
            let door = &mut self.doors.borrow_mut()[number];
            door.polls += 1;
            if door.is_open {
                return Poll::Ready(());
            }
            door.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        number
    }

    fn open(&self, number: usize) {
        self.doors.borrow_mut()[number].is_open = true;
        self.wake(number);
    }

    /// Wakes the future, if it waits at its door.
    fn wake(&self, number: usize) {
        let waker = self.doors.borrow()[number].waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns who waits at a door that is not open.
    fn waiting(&self) -> Vec<usize> {
        let doors = self.doors.borrow();
        let waits = |door: &Door| !door.is_open && door.waker.is_some();
        doors.iter().enumerate().filter(|(_, door)| waits(door)).map(|(number, _)| number).collect()
    }

    /// Returns which futures have been polled since this was last called.
    fn take_polled(&self) -> Vec<usize> {
        let mut doors = self.doors.borrow_mut();
        doors
            .iter_mut()
            .enumerate()
            .filter_map(|(number, door)| (std::mem::take(&mut door.polls) > 0).then_some(number))
            .collect()
    }
}

/// A task: its waker, and how often it was woken.
struct Task {
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let (wakes, waker) = Wakes::new();
        Self { wakes, waker }
    }

    fn poll<St: Stream + Unpin>(&self, stream: &mut St) -> Poll<Option<St::Item>> {
        Pin::new(stream).poll_next(&mut Context::from_waker(&self.waker))
    }

    /// Polls, taking items, until the stream is pending and has not woken the task meanwhile.
    fn settle<St: Stream + Unpin>(&self, stream: &mut St) -> Vec<St::Item> {
        let mut items = Vec::new();
        loop {
            let before = self.wakes.count();
            match self.poll(stream) {
                Poll::Ready(Some(item)) => items.push(item),
                Poll::Ready(None) => return items,
                Poll::Pending if self.wakes.count() == before => return items,
                Poll::Pending => {}
            }
        }
    }
}

#[test]
fn all_that_wake_themselves_are_polled_again() {
    fn check<S: ActiveSet, F: Future<Output = usize>>(size: usize, set: S, future: impl Fn(usize) -> F) {
        let mut results = run((0..3 * size).pool_map(size, future).with_set(set).unordered().collect::<Vec<_>>());
        results.sort_unstable();
        assert!(results.into_iter().eq(0..3 * size), "size {size}");
    }

    let twice = async |number| {
        yield_now().await;
        yield_now().await;
        number
    };
    for size in SIZES {
        check(size, SlotSet, twice);
    }
    for size in [1, 2, 65] {
        check(size, UnorderedSet, twice);
    }
}

#[test]
fn futures_wake_each_other_inside_of_a_poll() {
    for size in SIZES {
        let hall = Hall::new(size);
        let mut stream = (0..size)
            .pool_map(size, async |number| {
                hall.pass(number).await;
                if number > 0 {
                    hall.open(number - 1);
                }
                number
            })
            .unordered();
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), []);
        let before = task.wakes.count();
        hall.open(size - 1);
        assert_eq!(task.wakes.count(), before + 1, "size {size}");
        assert!(task.settle(&mut stream).into_iter().eq((0..size).rev()), "size {size}");
    }
}

/// The destructor of a future that has finished runs inside of a poll, too.
#[test]
fn a_future_wakes_its_neighbour_from_its_destructor() {
    struct Opens<'a>(&'a Hall, usize);

    impl Drop for Opens<'_> {
        fn drop(&mut self) {
            self.0.open(self.1);
        }
    }

    let hall = Hall::new(2);
    let mut stream = (0..2).pool_map(2, async |number| {
        let _opens = (number == 1).then(|| Opens(&hall, 0));
        hall.pass(number).await
    });
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), []);
    hall.open(1);
    assert_eq!(task.settle(&mut stream), [0, 1]);
}

#[test]
fn between_polls_a_waker_wakes_the_task_once_and_its_own_future_alone() {
    for size in SIZES {
        let hall = Hall::new(size);
        let mut stream = (0..size).pool_map(size, |number| hall.pass(number));
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), []);
        hall.take_polled();
        let some = [0, size / 2, size - 1];
        for number in some {
            let before = task.wakes.count();
            hall.wake(number);
            hall.wake(number);
            assert_eq!(task.wakes.count(), before + 1, "size {size}");
            assert_eq!(task.settle(&mut stream), []);
            assert_eq!(hall.doors.borrow()[number].polls, 1, "size {size}");
            assert_eq!(hall.take_polled(), [number], "size {size}");
        }
        // All at once: the first is told to the task as it is woken, the others are not.
        let before = task.wakes.count();
        for number in some {
            hall.wake(number);
        }
        assert_eq!(task.wakes.count(), before + 1, "size {size}");
        assert_eq!(task.settle(&mut stream), []);
        let mut all = some.to_vec();
        all.dedup();
        assert_eq!(hall.take_polled(), all, "size {size}");
    }
}

/// Also if the task was polled meanwhile without having been woken by the pool.
#[test]
fn a_waker_wakes_the_task_each_time_that_it_sleeps() {
    let hall = Hall::new(2);
    let mut stream = (0..2).pool_map(2, |number| hall.pass(number));
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), []);
    hall.take_polled();
    for number in [0, 1, 1, 0] {
        assert!(task.poll(&mut stream).is_pending());
        assert!(task.poll(&mut stream).is_pending());
        assert_eq!(hall.take_polled(), []);
        let before = task.wakes.count();
        hall.wake(number);
        assert_eq!(task.wakes.count(), before + 1);
        assert!(task.poll(&mut stream).is_pending());
        assert_eq!(hall.take_polled(), [number]);
    }
}

#[test]
fn after_a_result_was_handed_over_a_waker_is_heard_by_the_next_poll() {
    let hall = Hall::new(3);
    let mut stream = (0..3).pool_map(3, |number| hall.pass(number)).unordered();
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), []);
    hall.open(1);
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(1)));
    hall.take_polled();
    hall.open(2);
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(2)));
    assert_eq!(hall.take_polled(), [2]);
}

#[test]
fn a_late_waker_of_a_pool_without_futures_does_not_keep_the_task_busy() {
    let hall = Hall::new(1);
    let mut stream = stream::iter([0]).chain(stream::pending()).pool_map(1, |number| hall.pass(number));
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), []);
    hall.open(0);
    assert_eq!(task.settle(&mut stream), [0]);
    // Told as the task is woken, and then in addition to that.
    hall.wake(0);
    hall.wake(0);
    let before = task.wakes.count();
    assert!(task.poll(&mut stream).is_pending());
    assert_eq!(task.wakes.count(), before);
}

/// Inside of the inner pool's poll a waker of the outer pool is not one of the pool being polled; after it, it is again.
#[test]
fn pools_inside_one_another_do_not_take_each_others_wake_ups() {
    for size in [2, 65, 1100] {
        let (outer, inner) = (Hall::new(size), Hall::new(size));
        let mut stream = (0..size)
            .pool_map(size, async |number| {
                if number + 1 < size {
                    return outer.pass(number).await;
                }
                let results = (0..size).pool_map(size, async |number| {
                    yield_now().await;
                    if number > 0 {
                        outer.open(number - 1);
                        inner.pass(number).await;
                    }
                    if number + 1 < size {
                        inner.open(number + 1);
                    }
                });
                results.unordered().await;
                number
            })
            .unordered();
        let task = Task::new();
        let mut results = task.settle(&mut stream);
        results.sort_unstable();
        assert!(results.into_iter().eq(0..size), "size {size}");
    }
}

#[test]
fn a_future_of_one_pool_wakes_one_of_another_that_sleeps() {
    let (hall, other_hall) = (Hall::new(1), Hall::new(1));
    let mut other = [0].into_iter().pool_map(1, |number| other_hall.pass(number));
    let (task, other_task) = (Task::new(), Task::new());
    let mut stream = [0].into_iter().pool_map(1, async |number| {
        hall.pass(number).await;
        other_hall.open(0);
    });
    assert_eq!(other_task.settle(&mut other), []);
    assert_eq!(task.settle(&mut stream), []);
    let before = other_task.wakes.count();
    hall.open(0);
    assert_eq!(task.settle(&mut stream), [()]);
    assert_eq!(other_task.wakes.count(), before + 1);
    assert_eq!(other_task.settle(&mut other), [0]);
}

#[test]
fn after_a_panic_wakers_are_no_longer_inside_of_the_poll() {
    let hall = Hall::new(2);
    let mut stream = (0..2)
        .pool_map(2, async |number| {
            hall.pass(number).await;
            assert_ne!(number, 1, "door 1 leads nowhere");
        })
        .unordered();
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), []);
    hall.open(1);
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll(&mut stream).is_ready())).is_err());
    assert_eq!(task.settle(&mut stream), []);
    let before = task.wakes.count();
    hall.open(0);
    assert_eq!(task.wakes.count(), before + 1, "the task sleeps, and has to be woken");
    assert_eq!(task.settle(&mut stream), [()]);
}

#[test]
fn the_task_that_polled_last_is_woken_and_no_other_is_kept() {
    let hall = Hall::new(3);
    let mut stream = (0..3).pool_map(3, |number| hall.pass(number));
    let tasks = [(); 4].map(|()| Task::new());
    for polls_last in [0, 1, 2, 0, 3, 3, 0, 1] {
        assert_eq!(tasks[polls_last].settle(&mut stream), []);
        let before = tasks.each_ref().map(|task| task.wakes.count());
        hall.wake(polls_last % 3);
        for (number, task) in tasks.iter().enumerate() {
            assert_eq!(task.wakes.count() - before[number], usize::from(number == polls_last), "task {number}");
        }
    }
    // It is woken, so not even that one has to be known any more; asleep, it would be.
    assert_eq!(tasks[1].settle(&mut stream), []);
    let late = hall.doors.borrow()[0].waker.clone();
    for (number, task) in tasks.iter().enumerate().filter(|(number, _)| *number != 1) {
        // Its own waker has one, too.
        assert_eq!(Arc::strong_count(&task.wakes), 2, "task {number}");
    }
    drop(stream);
    assert_eq!(Arc::strong_count(&tasks[1].wakes), 2, "a waker that lives longer keeps the task in memory");
    drop(late);
}

/// A waker whose destructor panics when the task changes.
#[test]
fn a_panicking_destructor_of_a_waker_does_not_deafen_the_pool() {
    struct Bad;

    impl Wake for Bad {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(thread::panicking(), "the destructor of a waker");
        }
    }

    let hall = Hall::new(1);
    let mut stream = [0].into_iter().pool_map(1, |number| hall.pass(number));
    let tasks = [(); 3].map(|()| Task::new());
    assert_eq!(tasks[0].settle(&mut stream), []);
    let bad = Waker::from(Arc::new(Bad));
    assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&bad)).is_pending());
    drop(bad);
    assert!(catch_unwind(AssertUnwindSafe(|| tasks[1].poll(&mut stream).is_ready())).is_err());
    assert_eq!(tasks[2].settle(&mut stream), []);
    hall.open(0);
    assert_eq!(tasks[2].wakes.count(), 1);
    assert_eq!(tasks[2].settle(&mut stream), [0]);
}

/// Upstream, 0 to 2 are ready and the rest waits. Downstream, 0 waits, and 1 frees a slot in a later round of the same
/// call. So the upstream stage, which had not been polled meanwhile, gives one more item and starts another future.
#[test]
fn an_upstream_stage_is_heard_after_it_gave_an_item_in_a_later_round() {
    let (upstream, downstream) = (Hall::new(8), Hall::new(8));
    for number in 0..3 {
        upstream.open(number);
    }
    let mut stream = (0..8).pool_map(2, |number| upstream.pass(number)).pool_map(2, async |number| {
        if number == 1 {
            yield_now().await;
            number
        } else {
            downstream.pass(number).await
        }
    });
    let task = Task::new();
    assert!(task.poll(&mut stream).is_pending());
    assert_eq!((stream.active(), task.wakes.count()), (2, 0));
    upstream.open(3);
    assert_eq!(task.wakes.count(), 1);
}

proptest! {
    /// Chains of three stages whose futures wake themselves and wait at doors: whenever the task sleeps, opening any door
    /// wakes it.
    #[test]
    fn in_a_chain_of_stages_every_future_is_heard(
        sizes in prop::array::uniform3(1..5_usize),
        unordered in any::<[bool; 3]>(),
        futures in prop::collection::vec((0..3_u8, any::<bool>()), 90),
        doors in prop::collection::vec(any::<prop::sample::Index>(), 90),
    ) {
        fn stage<'a, St>(stream: St, size: usize, unordered: bool, futures: &'a [(u8, bool)], hall: &'a Hall)
            -> Pin<Box<dyn Progress<Item = usize> + 'a>>
        where
            St: Progress<Item = usize> + 'a,
        {
            let stream = stream.driven().pool_map(size, async move |number| {
                for _ in 0..futures[number].0 {
                    yield_now().await;
                }
                if futures[number].1 { hall.pass(number).await } else { number }
            });
            if unordered { Box::pin(stream.unordered()) } else { Box::pin(stream) }
        }

        let halls = [(); 3].map(|()| Hall::new(30));
        let source = (0..30_usize).pool_map(1, async |number| number);
        let first = stage(source, sizes[0], unordered[0], &futures[..30], &halls[0]);
        let second = stage(first, sizes[1], unordered[1], &futures[30..60], &halls[1]);
        let mut third = stage(second, sizes[2], unordered[2], &futures[60..], &halls[2]);
        let task = Task::new();
        let mut results = task.settle(&mut third);
        let mut doors = doors.into_iter();
        while results.len() < 30 {
            let waiting: Vec<_> = halls.iter().flat_map(|hall| hall.waiting().into_iter().map(move |n| (hall, n))).collect();
            let (hall, number) = doors.next().unwrap().get(&waiting);
            let before = task.wakes.count();
            hall.open(*number);
            prop_assert_eq!(task.wakes.count(), before + 1, "door {} is not heard", number);
            results.extend(task.settle(&mut third));
        }
        results.sort_unstable();
        prop_assert!(results.into_iter().eq(0..30));
    }
}
