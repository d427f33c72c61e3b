//! That no call of a scope runs for ever, and that each has its turn: the body, the tasks, and what is asked of the scope
//! by its handles.

mod common;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::{StreamExt, stream::FusedStream};
use futures_pool::{LocalScope, Task, TaskError, iterwait, local_scope};

use common::{Wakes, poll, run, yield_now};

/// Polls a future once, in the task around.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// When it is dropped, it spawns another like itself, and cancels that.
struct Undead {
    pool: LocalScope<'static>,
    deaths: Rc<Cell<usize>>,
}

impl Drop for Undead {
    fn drop(&mut self) {
        self.deaths.set(self.deaths.get() + 1);
        if self.deaths.get() % 1000 != 0 {
            let next = Undead { pool: self.pool.clone(), deaths: Rc::clone(&self.deaths) };
            next.spawn_and_cancel();
        }
    }
}

impl Undead {
    fn spawn_and_cancel(self) {
        let pool = self.pool.clone();
        let task = pool.spawn_n(async move {
            let _undead = &self;
            pending::<()>().await;
        });
        assert!(task.cancel());
    }
}

#[test]
fn requests_without_end_do_not_hang_the_scope() {
    let deaths = Rc::new(Cell::new(0));
    let count = Rc::clone(&deaths);
    let mut scope = Box::pin(local_scope(1, async |pool| {
        Undead { pool, deaths: count }.spawn_and_cancel();
    }));
    let (wakes, waker) = Wakes::new();
    assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!((1..1000).contains(&deaths.get()), "{} requests were served in one call", deaths.get());
    assert_eq!(wakes.count(), 1);
    // It lives for 1000 deaths.
    run(scope);
    assert_eq!(deaths.get(), 1000);
}

#[test]
fn a_body_that_was_not_woken_is_not_polled() {
    let polls = Cell::new(0);
    let scope = local_scope(2, async |pool| {
        let mut all = pool.join();
        pool.map_n(0..10, |_| async {
            for _ in 0..10 {
                yield_now().await;
            }
        });
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            Pin::new(&mut all).poll(cx)
        })
        .await;
    });
    run(scope);
    assert_eq!(polls.get(), 2, "once to wait, and once at the end");
}

#[test]
fn a_map_takes_no_more_than_64_items_at_a_time() {
    let taken = Cell::new(0);
    let mut scope = Box::pin(local_scope(usize::MAX, async |pool| {
        let mut all = pool.map((0..).inspect(|_| taken.set(taken.get() + 1)), ready);
        assert!(poll_once(&mut all).await.is_pending());
        assert_eq!(taken.get(), 64);
        // It has woken the body, since it has not come to where it has to wait.
        let before = taken.get();
        poll_fn(|cx| if taken.get() == before { Pin::new(&mut all).poll(cx).map(drop) } else { Poll::Ready(()) }).await;
        assert_eq!(taken.get(), 128);
    }));
    run(&mut scope);
}

#[test]
fn a_scope_does_not_end_while_a_task_waits_in_it() {
    let handle = RefCell::new(None);
    let mut scope = Box::pin(local_scope(2, async |pool| {
        pool.pause();
        *handle.borrow_mut() = Some(pool.clone());
        Some(pool.spawn_n(ready(1)))
    }));
    for _ in 0..10 {
        assert!(poll(&mut scope).is_pending());
    }
    let pool = handle.take().unwrap();
    assert_eq!((pool.waiting(), pool.active()), (1, 0));
    pool.resume();
    assert_eq!(run(run(scope).unwrap()).unwrap(), 1);
}

#[test]
fn what_is_spawned_on_a_scope_that_has_ended_is_cancelled() {
    let handle = RefCell::new(None);
    let mut scope = Box::pin(local_scope(2, async |pool| *handle.borrow_mut() = Some(pool)));
    run(&mut scope);
    // It is still in memory.
    let pool = handle.take().unwrap();
    let mut task = pool.spawn_n(ready(1));
    assert!(matches!(poll(&mut task), Poll::Ready(Err(TaskError::Cancelled))));
    assert!(matches!(poll(&mut pool.exec(ready(1))), Poll::Ready(Err(TaskError::Cancelled))));
    drop(scope);
}

#[test]
fn all_that_are_cancelled_are_settled_at_once() {
    run(local_scope(1, async |pool| {
        let mut started = pool.spawn(pending::<()>()).await;
        let mut waiting = pool.spawn_n(pending::<()>());
        let mut all = iterwait([pool.spawn_n(pending::<()>())]);
        assert!(poll_once(&mut started).await.is_pending());
        assert!(poll_once(&mut all.next()).await.is_pending());
        assert_eq!(pool.cancel_all(), 3);
        // The scope has not been polled since.
        assert!(started.is_finished() && waiting.is_finished());
        assert!(matches!(poll(&mut started), Poll::Ready(Err(TaskError::Cancelled))));
        assert!(matches!(poll(&mut waiting), Poll::Ready(Err(TaskError::Cancelled))));
        assert!(matches!(all.next().await, Some(Err(TaskError::Cancelled))));
        assert!(all.is_terminated());
    }));
}

/// How often a task is polled after another one has cancelled it, in the very turn in which it was woken.
fn polls_after(cancel: impl Fn(&LocalScope<'_>, &Task<()>)) -> usize {
    let polls = Cell::new(0);
    run(local_scope(3, async |pool| {
        let (own, victim) = (pool.clone(), Rc::new(RefCell::new(None::<Task<()>>)));
        let cancelled = Rc::clone(&victim);
        let (cancel, polls) = (&cancel, &polls);
        pool.spawn_n(async move {
            yield_now().await;
            yield_now().await;
            let task = cancelled.take().unwrap();
            cancel(&own, &task);
            assert!(task.is_finished());
            polls.set(0);
        });
        *victim.borrow_mut() = Some(pool.spawn_n(async move {
            loop {
                polls.set(polls.get() + 1);
                yield_now().await;
            }
        }));
        for _ in 0..9 {
            yield_now().await;
        }
    }));
    polls.get()
}

#[test]
fn a_task_that_was_cancelled_is_not_polled_again() {
    assert_eq!(polls_after(|_, task| assert!(task.cancel())), 0);
    assert_eq!(polls_after(|pool, _| assert!(pool.cancel_all() >= 2)), 0);
}

#[test]
fn handles_wake_the_task_that_has_polled_them_last() {
    let tasks = RefCell::new(None);
    let mut scope = Box::pin(local_scope(3, async |pool| {
        let gate = Rc::new(Cell::new(0));
        let job = |n| {
            let gate = Rc::clone(&gate);
            async move {
                while gate.get() < n {
                    yield_now().await;
                }
            }
        };
        *tasks.borrow_mut() = Some((pool.spawn_n(job(1)), iterwait([pool.spawn_n(job(1)), pool.spawn_n(job(2))])));
        yield_now().await;
        yield_now().await;
        gate.set(1);
        for _ in 0..9 {
            yield_now().await;
        }
        gate.set(2);
    }));
    while tasks.borrow().is_none() {
        assert!(poll(&mut scope).is_pending());
    }
    let (mut task, mut all) = tasks.take().unwrap();
    let (first, first_waker) = Wakes::new();
    let (second, second_waker) = Wakes::new();
    for waker in [&first_waker, &second_waker] {
        let cx = &mut Context::from_waker(waker);
        assert!(Pin::new(&mut task).poll(cx).is_pending());
        assert!(all.poll_next_unpin(cx).is_pending());
    }
    run(scope);
    assert_eq!((first.count(), second.count()), (0, 2));
    assert!(matches!(poll(&mut task), Poll::Ready(Ok(()))));
    assert_eq!(run(all.count()), 2);
}

#[test]
fn why_a_task_has_stopped_is_told() {
    let cancelled = TaskError::Cancelled;
    assert_eq!((cancelled.is_cancelled(), cancelled.is_panic()), (true, false));
    assert!(cancelled.source().is_none());
}

#[cfg(feature = "std")]
#[test]
fn why_a_task_has_panicked_is_told() {
    let end = run(local_scope(1, async |pool| pool.exec(async { panic!("out of luck") }).await));
    let panicked = match end {
        Ok(()) => unreachable!("it has panicked"),
        Err(panicked) => panicked,
    };
    assert_eq!((panicked.is_cancelled(), panicked.is_panic()), (false, true));
    assert_eq!(panicked.source().unwrap().to_string(), "a future panicked: out of luck");
}
