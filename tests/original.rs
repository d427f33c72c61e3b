//! The Python original, asyncio-pool: what of its behaviour is kept, and what is not, as far as a `Pool` can show it.
//!
//! Callbacks, and tasks that spawn tasks, are the scope's.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Ready, pending, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures::channel::oneshot;
use futures_pool::{Pool, prelude::*, yield_when};
use tokio::time::{Duration, Instant, sleep, timeout};

use common::{poll_next, run};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Makes a test of each function named, on a clock that does not advance while anything can be done.
///
/// It reaches the limit immediately when nothing is left to do, so a lost wake-up fails, and does not hang.
macro_rules! on_a_paused_clock {
    ($($name:ident),* $(,)?) => {
        mod timed {
            $(#[tokio::test(start_paused = true)] async fn $name() {
                let limit = super::ms(3_600_000);
                super::timeout(limit, super::$name()).await.expect("nobody will wake it");
            })*
        }
    };
}

/// Polls a future once, and drops it.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Calls its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

// Kept.

/// Keep: `spawn` waits for a free slot.
async fn spawn_waits_until_there_is_room() {
    let start = Instant::now();
    let mut pool = Pool::new(2);
    let mut spawned = Vec::new();
    for _ in 0..6 {
        pool.spawn(async { sleep(ms(100)).await }).await;
        spawned.push(start.elapsed().as_millis());
    }
    assert_eq!(spawned, [0, 0, 100, 100, 200, 200]);
    assert_eq!((pool.active(), pool.waiting()), (2, 0));
}

/// Keep: `spawn_n` never waits; what it spawns starts when a slot is free.
async fn spawn_n_never_waits() {
    let start = Instant::now();
    let mut pool = Pool::new(2);
    for _ in 0..6 {
        pool.spawn_n(sleep(ms(100)));
    }
    assert_eq!((start.elapsed(), pool.waiting(), pool.len()), (ms(0), 6, 6));
    pool.join().await;
    assert_eq!(pool.executed(), 6);
}

/// Keep: `exec` runs alongside the others, and gives the result.
async fn exec_runs_alongside_the_others() {
    let start = Instant::now();
    let job = async |(time, output)| {
        sleep(ms(time)).await;
        output
    };
    let mut pool = Pool::new(2);
    let other = pool.spawn_n(job((150, "other")));
    assert_eq!(pool.exec(job((100, "own"))).await, "own");
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(pool.wait(other).await, Some("other"));
    assert_eq!(start.elapsed(), ms(150), "it was not held up");
}

/// Keep: `map` gives the results in the order of the items.
async fn map_keeps_the_order() {
    let job = async |time| {
        sleep(ms(time)).await;
        time
    };
    let mut pool = Pool::new(3);
    assert_eq!(pool.map_all([30, 10, 20, 5], job).await, [30, 10, 20, 5]);
    assert_eq!([30, 10, 20, 5].into_iter().pool_map(3, job).await, [30, 10, 20, 5]);
}

/// Keep: `map` takes items as slots free.
async fn map_takes_an_item_only_as_room_comes() {
    let start = Instant::now();
    let taken = RefCell::new(Vec::new());
    let items = [100; 6].iter().inspect(|_| taken.borrow_mut().push(start.elapsed().as_millis()));
    let mut pool = Pool::new(2);
    pool.map_all(items, |&time| sleep(ms(time))).await;
    assert_eq!(*taken.borrow(), [0, 0, 100, 100, 200, 200]);
}

/// Keep: `map_n` spawns all at once, and gives what is needed to find the results.
#[test]
fn map_n_gives_a_key_for_each_item_at_once() {
    let mut pool = Pool::new(2);
    let keys = pool.map_n(0..5, ready);
    assert_eq!((keys.len(), pool.waiting()), (5, 5));
    run(pool.join());
    assert!(keys.map(|key| pool.take_result(key).unwrap()).eq(0..5));
}

/// Keep: `itermap` gives results as they finish.
async fn itermap_gives_results_as_they_finish() {
    let job = async |time| {
        sleep(ms(time)).await;
        time
    };
    let mut pool = Pool::new(3);
    // The last starts when the second has finished.
    assert_eq!(pool.itermap([30, 10, 25, 5], job).collect::<Vec<_>>().await, [10, 5, 25, 30]);
}

/// Keep: `itermap` gives batches by time: what has finished since the last one.
async fn itermap_gives_what_has_finished_within_the_time_limit() {
    let job = async |time| {
        sleep(ms(time)).await;
        time
    };
    let mut pool = Pool::new(4);
    let batches = pool.itermap([10, 20, 40, 45], job).batches(yield_when::all_completed);
    let batches: Vec<_> = batches.timeout(|| sleep(ms(25))).take(100).collect().await;
    assert_eq!(batches, [[10, 20], [40, 45]]);
}

/// Keep: `cancel` reaches waiting and active tasks; `None` for "all" is `cancel_all`, and the counts say how many.
#[test]
fn cancel_reaches_the_waiting_and_the_active() {
    let dropped = Cell::new(0);
    let job = |()| {
        let guard = OnDrop(|| dropped.set(dropped.get() + 1));
        async move {
            let _guard = &guard;
            pending::<()>().await;
        }
    };
    let mut pool = Pool::new(2);
    let keys: Vec<_> = pool.map_n([(); 5], job).collect();
    assert!(poll_once(pool.join()).is_pending());
    let some = [keys[0], keys[4]];
    assert_eq!(some.into_iter().filter(|&key| pool.cancel(key)).count(), 2);
    assert_eq!((dropped.get(), pool.len()), (2, 3));
    assert_eq!(pool.cancel_all(), 3);
    assert_eq!((dropped.get(), pool.len()), (5, 0));
}

/// Keep: results and errors stand side by side. `flat` is the output as it is; an error ends nobody else's work.
#[test]
fn errors_stand_next_to_the_results() {
    let parse = |text: &'static str| ready(text.parse::<u32>().map_err(|_| text));
    let mut pool = Pool::new(2);
    assert_eq!(run(pool.map_all(["1", "x", "3"], parse)), [Ok(1), Err("x"), Ok(3)]);
    assert_eq!(run(pool.itermap(["1", "x", "3"], parse).collect::<Vec<_>>()), [Ok(1), Err("x"), Ok(3)]);
    assert_eq!(run(pool.exec(parse("x"))), Err("x"));
    assert_eq!(pool.executed(), 7, "an error is a result");
}

/// Keep: `pair` is a pair of options.
#[test]
fn errors_and_results_come_in_pairs_if_so_wished() {
    let parse = |text: &'static str| ready(text.parse::<u32>().map_err(|_| text));
    let mut pool = Pool::new(2);
    let pairs: Vec<_> = run(pool.itermap(["1", "x"], parse).map(|result| (result.ok(), result.err())).collect());
    assert_eq!(pairs, [(Some(1), None), (None, Some("x"))]);
}

/// Keep: leaving the `async with` block joins, whatever was spawned in whichever way.
async fn join_ends_when_all_have_ended() {
    let start = Instant::now();
    let job = |time| async move { sleep(ms(time)).await };
    let mut pool = Pool::new(2);
    let _ = pool.map_n([100; 4], job);
    pool.spawn(job(100)).await;
    pool.join().await;
    assert_eq!((start.elapsed(), pool.executed(), pool.len()), (ms(300), 5, 0));
}

/// Keep: the counts. `n_active`, as the original has it, counts what waits as well.
#[test]
fn the_counts_of_the_original() {
    let mut pool = Pool::new(2);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel::<()>()).unzip();
    assert!(pool.is_empty() && !pool.is_full());
    let _ = pool.map_n(receivers, |receiver| receiver);
    assert_eq!((pool.len(), pool.size(), pool.executed()), (3, 2, 0));
    assert!(pool.is_full() && !pool.is_empty());
    for sender in senders {
        sender.send(()).unwrap();
    }
    run(pool.join());
    assert_eq!((pool.len(), pool.executed()), (0, 3));
    assert!(pool.is_empty() && !pool.is_full());
}

/// Keep: what its load test measures, for each method: so many tasks of one duration take as long as they must.
///
/// On a clock that does not advance while anything can be done, the overhead is nothing at all.
async fn the_load_test_takes_the_ideal_time_by_each_method() {
    const TASKS: usize = 1000;
    const SIZE: usize = 64;
    // Sixteen rounds, the last of them not full.
    let ideal = ms(200) * 16;
    // Not `sleep` itself, whose time runs from when it is made.
    let job = |_| async { sleep(ms(200)).await };

    let mut pool = Pool::new(SIZE);
    let start = Instant::now();
    for i in 0..TASKS {
        pool.spawn(job(i)).await;
    }
    pool.join().await;
    assert_eq!(start.elapsed(), ideal, "spawn");

    let start = Instant::now();
    for i in 0..TASKS {
        pool.spawn_n(job(i));
    }
    pool.join().await;
    assert_eq!(start.elapsed(), ideal, "spawn_n");

    let start = Instant::now();
    pool.map_all(0..TASKS, job).await;
    assert_eq!(start.elapsed(), ideal, "map");

    let start = Instant::now();
    assert_eq!(pool.itermap(0..TASKS, job).count().await, TASKS);
    assert_eq!(start.elapsed(), ideal, "itermap");
}

/// Keep: the size is 4 unless said otherwise, as in its README.
#[test]
fn the_default_size_is_that_of_the_readme() {
    assert_eq!(Pool::<Ready<()>>::default().size(), 4);
}

// Not kept.

/// Do not keep: `map` over an empty iterable raises.
#[test]
fn map_over_nothing_gives_nothing() {
    let mut pool = Pool::new(2);
    assert_eq!(run(pool.map_all([(); 0], ready)), []);
    assert_eq!(run(pool.itermap([], ready).collect::<Vec<_>>()), []);
    assert_eq!(pool.map_n([], ready).len(), 0);
    assert_eq!(run(async { [(); 0].into_iter().pool_map(2, ready).await }), []);
}

/// Do not keep: size 0 hangs.
#[test]
fn size_0_does_not_hang() {
    let mut pool = Pool::new(0);
    run(pool.spawn(ready(1)));
    assert_eq!(run(pool.exec(ready(2))), 2);
    assert_eq!(run(pool.map_all([3, 4], ready)), [3, 4]);
    run(pool.join());
    assert_eq!(pool.executed(), 4);
    assert_eq!(run(async { [1, 2].into_iter().pool_map(0, ready).await }), [1, 2]);
}

/// Do not keep: cancelling a `spawn` that is waiting counts it, and runs it all the same.
#[test]
fn a_spawn_that_is_given_up_is_neither_counted_nor_run() {
    let mut pool = Pool::new(1);
    let was_run = Rc::new(Cell::new(false));
    let (sender, receiver) = oneshot::channel::<()>();
    let job = |receiver: Option<oneshot::Receiver<()>>| {
        let was_run = Rc::clone(&was_run);
        async move {
            match receiver {
                Some(receiver) => receiver.await.unwrap(),
                None => was_run.set(true),
            }
        }
    };
    run(pool.spawn(job(Some(receiver))));
    assert!(poll_once(pool.spawn(job(None))).is_pending());
    assert!(poll_once(pool.exec(job(None))).is_pending());
    assert_eq!((pool.len(), pool.waiting()), (1, 0));
    sender.send(()).unwrap();
    run(pool.join());
    assert_eq!((pool.executed(), was_run.get()), (1, false));
}

/// Do not keep: cancelling a waiting future leaves `join` hanging.
#[test]
fn join_ends_after_a_waiting_future_was_cancelled() {
    let mut pool = Pool::new(1);
    let (sender, receiver) = oneshot::channel::<()>();
    run(pool.spawn(receiver));
    let (_never, receiver) = oneshot::channel();
    let waiting = pool.spawn_n(receiver);
    assert!(poll_once(pool.join()).is_pending());
    assert!(pool.cancel(waiting));
    sender.send(()).unwrap();
    run(pool.join());
    assert_eq!(pool.executed(), 1);
}

/// Do not keep: `itermap` with a time limit yields empty batches.
async fn itermap_with_a_time_limit_yields_no_empty_batch() {
    let mut pool = Pool::new(2);
    let batches = pool.itermap([100, 300], |time| sleep(ms(time))).batches(yield_when::all_completed);
    let batches: Vec<_> = batches.timeout(|| sleep(ms(10))).take(100).collect().await;
    assert_eq!(batches, [[()], [()]]);
}

/// Do not keep: leaving an `itermap` loop early leaves its tasks running.
///
/// They stay in the pool, where nothing runs unless it is polled, and where they can be cancelled.
#[test]
fn leaving_an_itermap_early_leaves_nothing_that_runs_by_itself() {
    let started = Cell::new(0);
    let mut pool = Pool::new(2);
    let job = |output| {
        let started = &started;
        async move {
            started.set(started.get() + 1);
            if output > 0 {
                pending::<()>().await;
            }
            output
        }
    };
    let mut results = pool.itermap(0..10, job);
    assert_eq!(poll_next(&mut results), Poll::Ready(Some(0)));
    drop(results);
    let before = started.get();
    assert_eq!(pool.cancel_all(), 9);
    run(pool.join());
    assert_eq!((pool.len(), started.get()), (0, before));
}

/// Do not keep: a cancelled task can catch its cancellation and finish. A dropped future cannot.
#[test]
fn a_cancelled_future_never_runs_again() {
    let polls = Cell::new(0);
    let (sender, mut receiver) = oneshot::channel::<()>();
    let stubborn = poll_fn(|cx| {
        polls.set(polls.get() + 1);
        std::pin::Pin::new(&mut receiver).poll(cx)
    });
    let mut pool = Pool::new(1);
    let key = run(pool.spawn(stubborn));
    assert!(pool.cancel(key));
    let before = polls.get();
    run(pool.join());
    assert_eq!((polls.get(), pool.executed()), (before, 0));
    drop(pool);
    assert_eq!(sender.send(()), Ok(()), "what the future had borrowed is free again");
}

on_a_paused_clock! {
    spawn_waits_until_there_is_room,
    spawn_n_never_waits,
    exec_runs_alongside_the_others,
    map_keeps_the_order,
    map_takes_an_item_only_as_room_comes,
    itermap_gives_results_as_they_finish,
    itermap_gives_what_has_finished_within_the_time_limit,
    join_ends_when_all_have_ended,
    the_load_test_takes_the_ideal_time_by_each_method,
    itermap_with_a_time_limit_yields_no_empty_batch,
}
