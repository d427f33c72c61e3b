//! When a task of a scope lends its slot, and when it stops: with the operation that waits for the scope, also if that is
//! dropped before completion, moved to another task, or cancelled together with its task.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures_pool::{LocalScope, iterwait, local_scope};

use common::{Wakes, poll, run, yield_now};

/// Polls a future once, in the task around.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Lets the scope make progress until it rests, or for a while.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Runs a task in a scope of size 2 until that rests, and returns how many are active then.
fn active<F: Future<Output = ()> + 'static>(task: impl FnOnce(LocalScope<'static>) -> F + 'static) -> usize {
    let handle = Rc::new(RefCell::new(None));
    let own = Rc::clone(&handle);
    let mut scope = Box::pin(local_scope(2, async move |pool: LocalScope<'static>| {
        pool.spawn_n(task(pool.clone()));
        *own.borrow_mut() = Some(pool);
    }));
    let (wakes, waker) = Wakes::new();
    let mut before = usize::MAX;
    while wakes.count() != before {
        before = wakes.count();
        assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let pool: LocalScope<'_> = handle.take().unwrap();
    assert_eq!(pool.waiting(), 0);
    pool.active()
}

#[test]
fn a_task_lends_its_slot_as_long_as_it_waits_for_its_scope() {
    // It is not active, and the other one is.
    assert_eq!(active(async |pool| drop(pool.spawn_n(pending::<()>()).await)), 1);
    assert_eq!(active(async |pool| drop(iterwait([pool.spawn_n(pending::<()>())]).next().await)), 1);
    // Both are.
    assert_eq!(
        active(async |pool| {
            pool.spawn_n(pending::<()>());
            pending::<()>().await;
        }),
        2
    );
}

#[test]
fn a_task_that_got_a_batch_when_a_timer_fired_waits_no_more() {
    assert_eq!(
        active(async |pool| {
            let tasks = pool.map_n([true, false], async |ends| {
                if !ends {
                    pending::<()>().await;
                }
            });
            // It fires at its second poll, and would only fire again.
            let timer = || yield_now();
            let mut batches = pin!(iterwait(tasks).batches(|_| false).timeout(timer));
            assert_eq!(batches.next().await.map(|batch| batch.len()), Some(1));
            pending::<()>().await;
        }),
        2
    );
}

#[test]
fn all_who_have_what_they_waited_for_continue_before_a_waiting_task_starts() {
    // More of them than have a turn where nobody has lent a slot.
    const SIZE: usize = 20;
    let (opened, asleep, log) = (&Cell::new(false), &RefCell::new(Vec::new()), &RefCell::new(String::new()));
    let gate = || {
        poll_fn(|cx| {
            if opened.get() {
                return Poll::Ready(());
            }
            asleep.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
    };
    run(local_scope(SIZE, async |pool| {
        for _ in 0..SIZE {
            let own = pool.clone();
            pool.spawn_n(async move {
                own.exec(gate()).await.unwrap();
                log.borrow_mut().push('p');
            });
        }
        while asleep.borrow().len() < SIZE {
            yield_now().await;
        }
        let _ = pool.map_n(0..3, async |_| log.borrow_mut().push('w'));
        settle().await;
        opened.set(true);
        asleep.take().into_iter().for_each(Waker::wake);
    }));
    assert_eq!(log.take(), "p".repeat(SIZE) + "www");
}

#[test]
fn an_operation_that_was_dropped_is_not_waited_for() {
    assert_eq!(
        active(async |pool| {
            let mut task = pool.spawn_n(pending::<()>());
            assert!(poll_once(&mut task).await.is_pending());
            drop(task);
            pending::<()>().await;
        }),
        2
    );
    assert_eq!(
        active(async |pool| {
            let mut all = iterwait([pool.spawn_n(pending::<()>())]);
            assert!(poll_once(&mut all.next()).await.is_pending());
            drop(all);
            pending::<()>().await;
        }),
        2
    );
    assert_eq!(
        active(async |pool| {
            pool.spawn_n(pending::<()>());
            let mut join = pool.join();
            assert!(poll_once(&mut join).await.is_pending());
            drop(join);
            pending::<()>().await;
        }),
        2
    );
}

#[test]
fn a_task_that_waits_for_the_tasks_of_another_scope_lends_nothing_there() {
    let active = Rc::new(Cell::new(0));
    let seen = Rc::clone(&active);
    let inner = Rc::new(RefCell::new(None));
    let handle = Rc::clone(&inner);
    let mut other = Box::pin(local_scope(1, async move |pool: LocalScope<'static>| {
        *handle.borrow_mut() = Some(pool.clone());
        pending::<()>().await;
    }));
    assert!(poll(&mut other).is_pending());
    let elsewhere = inner.take().unwrap();
    let mut scope = Box::pin(local_scope(1, async move |pool: LocalScope<'static>| {
        let own = pool.clone();
        pool.spawn_n(async move {
            // One of its own scope, which ends, and one that does not.
            let mut all = iterwait([own.spawn_n(yield_now()), elsewhere.spawn_n(pending())]);
            assert!(all.next().await.is_some());
            assert!(all.next().await.is_none());
        });
        settle().await;
        // The first one has ended, so it waits for nothing here.
        pool.spawn_n(pending::<()>());
        settle().await;
        seen.set(10 * pool.active() + pool.waiting());
    }));
    for _ in 0..50 {
        assert!(poll(&mut scope).is_pending());
    }
    assert_eq!(active.get(), 11, "one active, one waiting");
}

#[test]
fn a_join_that_was_dropped_joins_no_more() {
    run(local_scope(2, async |pool| {
        let (busy, own) = (pool.clone(), pool.clone());
        let over = Rc::new(Cell::new(false));
        let first_is_over = Rc::clone(&over);
        pool.spawn_n(async move {
            // It waits for the other one for a moment, and then does something else.
            assert!(poll_once(&mut busy.join()).await.is_pending());
            settle().await;
            over.set(true);
        });
        let joins = pool.spawn_n(async move {
            yield_now().await;
            own.join().await;
            assert!(first_is_over.get(), "the first task was not joining any more");
        });
        joins.await.unwrap();
    }));
}

#[test]
fn two_joins_of_a_task_are_one_task_that_joins() {
    run(local_scope(3, async |pool| {
        let (busy, own) = (pool.clone(), pool.clone());
        let over = Rc::new(Cell::new(false));
        let third_is_over = Rc::clone(&over);
        let joins = pool.spawn_n(async move {
            let (mut one, mut two) = (busy.join(), busy.join());
            assert!(poll_once(&mut one).await.is_pending());
            assert!(poll_once(&mut two).await.is_pending());
            drop(one);
            two.await;
            assert!(over.get(), "the third task was not joining");
        });
        pool.spawn_n(async move { own.join().await });
        pool.spawn_n(async move {
            settle().await;
            third_is_over.set(true);
        });
        joins.await.unwrap();
    }));
}

#[test]
fn a_task_that_was_cancelled_joins_no_more() {
    let gate = Rc::new(Cell::new(false));
    run(local_scope(3, async |pool| {
        let (joins, own) = (pool.clone(), pool.clone());
        let (opened, seen) = (Rc::clone(&gate), Rc::clone(&gate));
        let cancelled = pool.spawn_n(async move { joins.join().await });
        pool.spawn_n(async move {
            while !opened.get() {
                yield_now().await;
            }
        });
        settle().await;
        assert!(cancelled.cancel());
        settle().await;
        let joins = pool.spawn_n(async move {
            own.join().await;
            assert!(seen.get(), "the task that waits for the gate does not join");
        });
        settle().await;
        gate.set(true);
        joins.await.unwrap();
    }));
}

#[test]
fn a_join_that_moves_into_a_task_waits_for_the_others_only() {
    let scope = local_scope(2, async |pool| {
        let own = pool.clone();
        let busy = pool.spawn_n(async { settle().await });
        let mut join = Box::pin(async move { own.join().await });
        assert!(poll_once(&mut join).await.is_pending());
        // From here on it is the task that joins; it does not wait for itself.
        pool.spawn_n(async move {
            join.await;
            assert!(busy.is_finished());
        })
        .await
        .unwrap();
    });
    run(pin!(scope));
}
