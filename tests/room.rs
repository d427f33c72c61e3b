//! Who is next when there is room in a scope: those who wait for it have it in their order, also those that do not come for it.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_pool::{LocalScope, local_scope};

use common::{Wakes, poll, run, yield_now};

/// Polls a future once, in the task around.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Spawns a task that is woken all the time, and returns how often it has been polled by now.
fn restless(pool: &LocalScope<'_>) -> Rc<Cell<usize>> {
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    pool.spawn_n(async move {
        loop {
            count.set(count.get() + 1);
            yield_now().await;
        }
    });
    polls
}

#[test]
fn room_goes_past_one_that_does_not_come_for_it_before_the_scope_rests() {
    run(local_scope(1, async |pool| {
        pool.spawn_n(yield_now());
        let (mut first, mut second) = (pin!(pool.map([1], ready)), pin!(pool.map([2], ready)));
        assert!(poll_once(&mut first).await.is_pending());
        assert!(poll_once(&mut second).await.is_pending());
        // Only the second is polled from here on.
        assert_eq!(second.await.len(), 1);
    }));
}

#[test]
fn room_goes_past_one_that_does_not_come_for_it_in_a_scope_that_never_rests() {
    run(local_scope(2, async |pool| {
        let polls = restless(&pool);
        pool.spawn_n(yield_now());
        let (mut first, mut second) = (pin!(pool.map([1], ready)), pin!(pool.map([2], ready)));
        assert!(poll_once(&mut first).await.is_pending());
        assert!(poll_once(&mut second).await.is_pending());
        while poll_once(&mut second).await.is_pending() {
            assert!(polls.get() < 10_000, "room is kept for one that does not come");
            yield_now().await;
        }
        pool.cancel_all();
    }));
}

#[test]
fn what_is_in_hand_starts_in_its_turn_whether_its_map_is_polled_or_not() {
    let log = RefCell::new(String::new());
    run(local_scope(2, async |pool| {
        let polls = restless(&pool);
        let leaves = pool.spawn_n(pending::<()>());
        while polls.get() < 10 {
            yield_now().await;
        }
        let note = |name| {
            let log = &log;
            move |_| async move { log.borrow_mut().push(name) }
        };
        let (mut first, mut second) = (pin!(pool.map([1], note('a'))), pin!(pool.map([2], note('b'))));
        assert!(poll_once(&mut first).await.is_pending());
        pool.spawn_n(note('-')(0));
        assert!(poll_once(&mut second).await.is_pending());
        assert_eq!(pool.waiting(), 1, "nothing is queued by a map");
        leaves.cancel();
        while poll_once(&mut second).await.is_pending() {
            assert!(polls.get() < 10_000, "room is kept for one that does not come");
            yield_now().await;
        }
        assert_eq!(*log.borrow(), "a-b");
        pool.cancel_all();
    }));
}

#[test]
fn one_that_waits_outside_of_the_scope_is_heard_while_the_scope_rests() {
    let handle = RefCell::new(None);
    let gate = Cell::new(false);
    let mut scope = Box::pin(local_scope(1, async |pool| {
        *handle.borrow_mut() = Some(pool.clone());
        poll_fn(|_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }));
    let (wakes, waker) = Wakes::new();
    let mut scope_wakes = usize::MAX;
    let mut run_scope = || {
        while wakes.count() != scope_wakes {
            scope_wakes = wakes.count();
            let _ = scope.as_mut().poll(&mut Context::from_waker(&waker));
        }
    };
    run_scope();
    let pool = handle.take().unwrap();
    let occupies = pool.spawn_n(pending::<()>());
    run_scope();
    // The first is offered the room that there is then, and does not come for it.
    let mut first = pool.map([1], ready);
    assert!(poll(&mut first).is_pending());
    run_scope();
    assert!(occupies.cancel());
    run_scope();
    let (second_wakes, waker) = Wakes::new();
    let mut second = pool.map([2], ready);
    for _ in 0..4 {
        let before = second_wakes.count();
        if Pin::new(&mut second).poll(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
        run_scope();
        assert!(second_wakes.count() > before, "the second waits, and nothing will wake it");
    }
    panic!("the second has not got the room");
}
