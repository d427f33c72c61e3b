//! A paused pool sleeps: what waits for it to start something is woken when it is resumed, and not before.

mod common;

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll};

use futures_pool::{ActiveSet, Pool};

use common::{Wakes, poll, run};

on_both_sets! {
    spawn_sleeps_on_a_paused_pool,
    map_all_sleeps_on_a_paused_pool,
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
