//! A paused pool sleeps: what waits for it to start something is woken when it is resumed, and not before.

mod common;

use std::cell::Cell;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures_pool::{ActiveSet, Pool};

use common::{Wakes, poll, poll_next, run};

on_both_sets! {
    spawn_sleeps_on_a_paused_pool,
    map_all_sleeps_on_a_paused_pool,
    idle_on_a_paused_pool_waits_for_what_runs,
    idle_on_a_pool_that_is_not_paused_runs_everything,
    what_waits_is_cancelled_and_what_runs_is_not,
    cancelling_what_waits_survives_a_destructor_that_panics,
}

fn spawn_sleeps_on_a_paused_pool<S: ActiveSet>(set: impl FnOnce() -> S) {
    let mut pool = Pool::with_set(1, set());
    pool.pause();
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(pin!(pool.spawn(ready(1))).poll(cx).is_pending());
    assert!(pin!(pool.exec(ready(2))).poll(cx).is_pending());
    assert_eq!((wakes.count(), pool.len(), pool.executed()), (0, 0, 0));
    pool.resume();
    assert_eq!((wakes.count(), run(pool.exec(ready(3)))), (1, 3));
}

fn map_all_sleeps_on_a_paused_pool<S: ActiveSet>(set: impl FnOnce() -> S) {
    let mut pool = Pool::with_set(1, set());
    pool.pause();
    let taken = Cell::new(0);
    let make = |n| {
        taken.set(taken.get() + 1);
        ready(n)
    };
    let (wakes, waker) = Wakes::new();
    assert!(pin!(pool.map_all(0..3, make)).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!((wakes.count(), taken.get()), (0, 0));
    // Without items there is nothing to wait for.
    assert_eq!(poll(&mut pin!(pool.map_all(0..0, make))), Poll::Ready(vec![]));
    pool.resume();
    assert_eq!(run(pool.map_all(0..3, make)), [0, 1, 2]);
}

fn idle_on_a_paused_pool_waits_for_what_runs<S: ActiveSet>(set: impl FnOnce() -> S) {
    let mut pool = Pool::with_set(1, set());
    let (send, receive) = oneshot::channel();
    let running = pool.spawn_n(receive);
    let (_never, receive) = oneshot::channel::<u32>();
    pool.spawn_n(receive);
    assert!(poll_next(&mut pool).is_pending());
    pool.pause();
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    {
        let mut idle = pin!(pool.idle());
        assert!(idle.as_mut().poll(cx).is_pending());
        send.send(7).unwrap();
        assert_eq!(wakes.count(), 1);
        assert!(idle.poll(cx).is_ready());
    }
    assert_eq!((pool.active(), pool.waiting(), pool.finished()), (0, 1, 1));
    assert!(pin!(pool.join()).poll(cx).is_pending(), "something waits that must not start");
    assert!(poll(&mut pin!(pool.idle())).is_ready(), "nothing runs");
    assert_eq!(pool.take_result(running), Some(Ok(7)));
    // Dropped before it is ready, it has done nothing.
    pool.resume();
    assert!(poll(&mut pin!(pool.idle())).is_pending());
    assert_eq!((pool.active(), pool.waiting()), (1, 0));
}

fn idle_on_a_pool_that_is_not_paused_runs_everything<S: ActiveSet>(set: impl FnOnce() -> S) {
    let mut pool = Pool::with_set(2, set());
    assert!(poll(&mut pin!(pool.idle())).is_ready(), "it is empty");
    // More than one call polls, always ready, and whatever the bound on results.
    pool.set_max_finished(0);
    let _ = pool.map_n(0..200, ready);
    run(pool.idle());
    assert_eq!((pool.active(), pool.waiting(), pool.finished()), (0, 0, 200));
}

fn what_waits_is_cancelled_and_what_runs_is_not<S: ActiveSet>(set: impl FnOnce() -> S) {
    let mut pool = Pool::with_set(2, set());
    let (send, receive): (Vec<_>, Vec<_>) = (0..5).map(|_| oneshot::channel::<u32>()).unzip();
    let keys: Vec<_> = pool.map_n(receive, |receive| receive).collect();
    assert!(poll_next(&mut pool).is_pending());
    assert!(pool.cancel(keys[3]));
    assert_eq!(pool.cancel_waiting(), 2);
    assert_eq!((pool.active(), pool.waiting(), pool.len()), (2, 0, 2));
    assert_eq!(send.iter().map(oneshot::Sender::is_canceled).collect::<Vec<_>>(), [false, false, true, true, true]);
    assert_eq!(pool.cancel_waiting(), 0);
    assert!(!pool.cancel(keys[4]));
    for send in send.into_iter().take(2) {
        send.send(1).unwrap();
    }
    // Those pushed later have later keys.
    let (send, receive) = oneshot::channel();
    send.send(2).unwrap();
    let later = pool.spawn_n(receive);
    assert!(later > keys[4]);
    run(pool.join());
    assert_eq!(pool.take_result(later), Some(Ok(2)));
    assert_eq!((pool.finished(), pool.executed()), (2, 3));
}

fn cancelling_what_waits_survives_a_destructor_that_panics<S: ActiveSet>(set: impl FnOnce() -> S) {
    struct Boom(bool);
    impl Drop for Boom {
        fn drop(&mut self) {
            assert!(!self.0);
        }
    }
    let mut pool = Pool::with_set(1, set());
    let _ = pool.map_n(0..3, |n| {
        let boom = Boom(n == 1);
        async move { drop(boom) }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| pool.cancel_waiting())).is_err());
    assert!(pool.is_empty());
}
