//! `SharedSize`: a size that is set from outside, while something else has the pool.

// It is there with it.
#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use common::{Wakes, poll_next, run, run_parked, yield_now};
use futures::channel::oneshot;
use futures::future::FutureExt;
use futures::stream::StreamExt;
use futures_pool::inline::Slots;
use futures_pool::{ActiveSet, Pool, Progress, SharedSize, prelude::*, yield_when};

on_both_sets! {
    growing_wakes_whoever_polls_the_chain,
    growing_wakes_whoever_polls_the_pool,
    shrinking_lets_the_surplus_finish,
}

/// Counts futures that were started and never end.
fn stuck(started: &Cell<usize>) -> impl Fn(u32) -> std::future::Pending<()> + Copy {
    |_| {
        started.set(started.get() + 1);
        pending()
    }
}

/// Polls a future, grows the size, and checks that it is woken then, and starts as many as the size says.
#[track_caller]
fn grows(size: &SharedSize, started: &Cell<usize>, future: impl Future) {
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let mut future = pin!(future);
    size.set(2);
    started.set(0);
    // A `FuturesUnordered` may want to be polled again.
    while future.as_mut().poll(cx).is_pending() && started.get() < 2 {}
    assert!(future.as_mut().poll(cx).is_pending());
    assert_eq!(started.get(), 2);
    for grown in [3, 7, 100] {
        let before = wakes.count();
        size.set(grown);
        assert!(wakes.count() > before, "not woken");
        let mut polls = 0;
        while started.get() < grown {
            assert!(future.as_mut().poll(cx).is_pending());
            polls += 1;
            assert!(polls < 10, "size {grown}, {} started", started.get());
        }
        assert_eq!(started.get(), grown);
    }
    // Shrinking need not wake it, and nothing more is started.
    let before = wakes.count();
    size.set(1);
    assert_eq!(wakes.count(), before);
    assert!(future.as_mut().poll(cx).is_pending());
    assert_eq!(started.get(), 100);
    drop(future.as_mut().poll(cx));
}

fn growing_wakes_whoever_polls_the_chain<S: ActiveSet>(set: impl Fn() -> S) {
    let (size, started) = (SharedSize::new(2), Cell::new(0));
    let chain = || (0..).pool_map(5, stuck(&started)).with_set(set()).resized_by(&size);
    grows(&size, &started, chain().next());
    grows(&size, &started, chain().into_future());
    grows(&size, &started, chain().for_each(ready));
    grows(&size, &started, chain().consume(|items| items.for_each(ready)));
    grows(&size, &started, chain().consume(|items| items.for_each_concurrent(2, ready)));
    grows(&size, &started, chain().consume(|_| pending::<()>()));
    grows(&size, &started, chain().drive(pending::<()>()));
    grows(&size, &started, chain().batches(yield_when::all_completed).next());
    grows(&size, &started, chain().batches(yield_when::all_completed).timeout(pending::<()>).for_each(|_| ready(())));
    grows(&size, &started, chain().unordered().indexed().for_each(|_| ready(())));
    grows(&size, &started, chain().pool_map(2, ready).for_each(ready));
    grows(&size, &started, chain().map(|()| ()).driven().pool_map(2, ready).for_each(ready));
    // The options keep it, whatever comes first.
    let fallible = || (0..).pool_map(5, |n| stuck(&started)(n).map(Ok::<(), ()>)).resized_by(&size);
    grows(&size, &started, fallible().catch_unwind().with_set(set()).next());
    grows(&size, &started, fallible().fail_fast().with_set(set()).into_future());
    grows(
        &size,
        &started,
        fallible().with_set(set()).fail_fast().resized_by(&SharedSize::new(9)).resized_by(&size).next(),
    );
    // A consumer that is busy with an item, while the bound on results lets futures start.
    let first_is_ready = |n| if n == 0 { ready(()).left_future() } else { stuck(&started)(n).right_future() };
    let busy = (0..).pool_map(5, first_is_ready).with_set(set()).resized_by(&size).for_each(|()| pending());
    grows(&size, &started, busy);
}

fn growing_wakes_whoever_polls_the_pool<S: ActiveSet>(set: impl Fn() -> S) {
    let (size, started) = (SharedSize::new(2), Cell::new(0));
    let started_ref = &started;
    // It counts when it is polled.
    let lazily = |n| async move { stuck(started_ref)(n).await };
    macro_rules! grows {
        (|$pool:ident| $future:expr) => {
            let mut $pool = Pool::with_set(5, set()).resized_by(&size);
            let first = $pool.map_n(0..200, lazily).next().unwrap();
            assert!($pool.finished() == 0 && $pool.cancel(first));
            grows(&size, &started, $future);
        };
    }
    grows!(|pool| pool.next());
    grows!(|pool| pool.join());
    grows!(|pool| pool.idle());
    grows!(|pool| pool.drive(pending::<()>()));
    grows!(|pool| pool.exec(lazily(1)));
    grows!(|pool| pool.consume(|items| items.for_each(|_| ready(()))));
    grows!(|pool| pool.map_all(0..9, lazily));
    grows!(|pool| pool.itermap(0..9, lazily).for_each(ready));
}

fn shrinking_lets_the_surplus_finish<S: ActiveSet>(set: impl Fn() -> S) {
    let size = SharedSize::new(4);
    let (send, receive): (Vec<_>, Vec<_>) = (0..9).map(|_| oneshot::channel::<()>()).unzip();
    let mut stream = receive.into_iter().pool_map(1, |door| door).with_set(set()).resized_by(&size);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((stream.active(), stream.size()), (4, 4));
    size.set(2);
    assert_eq!((stream.active(), stream.size()), (4, 2));
    let mut send = send.into_iter();
    for active in [3, 2, 2, 2] {
        send.next().unwrap().send(()).unwrap();
        assert!(poll_next(&mut stream).is_ready());
        assert_eq!(stream.active(), active);
    }
    size.set(3);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(stream.active(), 3);
}

#[test]
fn the_size_of_the_stream_and_that_of_the_handle_are_one() {
    let size = SharedSize::new(0);
    assert_eq!(size.get(), 1);
    size.set(0);
    assert_eq!((size.get(), format!("{size:?}")), (1, "SharedSize(1)".to_owned()));
    let mut stream = (0..9).pool_map(5, ready).resized_by(&size);
    let mut pool = Pool::<std::future::Ready<()>>::new(5).resized_by(&size.clone());
    assert_eq!((stream.size(), pool.size(), pool.max_finished()), (1, 1, 1));
    size.set(3);
    assert_eq!((stream.size(), pool.size(), pool.max_finished()), (3, 3, 3));
    stream.set_size(4);
    assert_eq!((stream.size(), pool.size(), size.get()), (4, 4, 4));
    pool.set_size(6);
    pool.set_max_finished(2);
    assert_eq!((stream.size(), pool.size(), pool.max_finished(), size.get()), (6, 6, 2, 6));
    // In place there is no room for more.
    let inline = (0..9).pool_map_inline(Slots::<4>, ready).resized_by(&size);
    assert_eq!((inline.size(), size.get()), (4, 6));
}

#[test]
fn the_bound_on_results_is_that_of_the_current_size() {
    let size = SharedSize::new(2);
    let started = Cell::new(0);
    let stuck_head = async |n| {
        started.set(started.get() + 1);
        if n == 0 {
            pending::<()>().await;
        }
    };
    let mut stream = (0..).pool_map(64, stuck_head).resized_by(&size);
    for grown in [2, 3, 8] {
        size.set(grown);
        for _ in 0..20 {
            assert!(poll_next(&mut stream).is_pending());
        }
        assert_eq!(started.get(), 1 + 16 * grown + 1);
    }
}

#[test]
fn a_future_of_the_pool_may_set_it() {
    let size = SharedSize::new(1);
    let active = Cell::new(0);
    let most = RefCell::new(vec![]);
    let all = (0..20).pool_map(9, async |n: usize| {
        active.set(active.get() + 1);
        if n == 3 {
            size.set(4);
        }
        yield_now().await;
        most.borrow_mut().push(active.get());
        active.set(active.get() - 1);
    });
    run(all.unordered().resized_by(&size).for_each(ready));
    let most = most.into_inner();
    assert_eq!((most[..3].iter().max(), most[3..].iter().max()), (Some(&1), Some(&4)));
}

#[test]
fn one_that_is_set_while_the_pool_is_polled_counts_at_once() {
    let size = SharedSize::new(1);
    let started = Cell::new(0);
    let stream = (0..9).pool_map(9, |n| {
        started.set(started.get() + 1);
        if n == 0 {
            size.set(3);
        }
        pending::<()>()
    });
    // Its task is not known before the first poll is over.
    let mut stream = stream.resized_by(&size);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(started.get(), 3);
}

#[test]
fn from_another_thread_while_for_each_has_the_stream() {
    let size = &SharedSize::new(1);
    let (active, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let reaches = |active| {
        let start = Instant::now();
        while most.load(SeqCst) < active && start.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        most.load(SeqCst) >= active
    };
    thread::scope(|scope| {
        let (send, receive): (Vec<_>, Vec<_>) = (0..8).map(|_| oneshot::channel::<()>()).unzip();
        let stream = receive.into_iter().pool_map(9, async |door: oneshot::Receiver<()>| {
            most.fetch_max(active.fetch_add(1, SeqCst) + 1, SeqCst);
            door.await.unwrap();
            active.fetch_sub(1, SeqCst);
        });
        scope.spawn(move || {
            for grown in 2..=8 {
                // It has started as many as it may; then it has, or is about to fall asleep.
                if !reaches(grown - 1) {
                    break;
                }
                size.set(grown);
            }
            reaches(8);
            for send in send {
                send.send(()).unwrap();
            }
        });
        run_parked(stream.resized_by(size).for_each(async |()| {}));
    });
    assert_eq!((active.load(SeqCst), most.load(SeqCst)), (0, 8));
}

#[test]
fn pools_that_are_gone_are_not_woken() {
    let size = SharedSize::new(1);
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let mut first = (0..9).pool_map(1, |_: u8| pending::<()>()).resized_by(&size);
    let mut second = (0..9).pool_map(1, |_: u8| pending::<()>()).resized_by(&size);
    assert!(first.poll_next_unpin(cx).is_pending() && second.poll_next_unpin(cx).is_pending());
    drop(first);
    size.set(2);
    assert_eq!(wakes.count(), 1);
    drop(second);
    size.set(3);
    assert_eq!(wakes.count(), 1);
    drop(waker);
    assert_eq!(std::sync::Arc::strong_count(&wakes), 1);
}

#[test]
fn progress_that_is_done_for_now_is_woken_as_well() {
    let size = SharedSize::new(2);
    let mut stream = (0..).pool_map(1, ready).resized_by(&size);
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    assert_eq!(Pin::new(&mut stream).poll_progress(cx), Poll::Ready(()));
    assert_eq!(stream.finished(), 3);
    size.set(4);
    assert_eq!(wakes.count(), 1);
    assert_eq!(Pin::new(&mut stream).poll_progress(cx), Poll::Ready(()));
    assert_eq!(stream.finished(), 5);
}

#[test]
fn it_can_be_sent_and_shared() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let size = SharedSize::new(1);
    is_send_and_sync(&size);
    is_send_and_sync(&(0..3).pool_map(2, ready).resized_by(&size));
}

#[tokio::test(start_paused = true)]
async fn for_each_sets_the_size_of_the_stream_that_it_has() {
    let size = SharedSize::new(8);
    let active = &Cell::new(0);
    let answers = (0..40).pool_map(8, async |n| {
        assert!(active.replace(active.get() + 1) < 8);
        tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
        active.set(active.get() - 1);
        n
    });
    let mut seen = vec![];
    let each = |n: usize| {
        size.set(if n % 2 == 0 { 4 } else { 2 });
        seen.push(active.get());
        ready(())
    };
    answers.unordered().resized_by(&size).for_each(each).await;
    // Once the eight have finished that had started before, there are never more than four.
    assert!(seen.len() == 40 && seen[8..].iter().all(|active| *active <= 4), "{seen:?}");
}
