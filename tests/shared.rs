//! The scope without a body, and its driver.

#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures_pool::scope::{Driver, LocalDriver};
use futures_pool::{LocalScope, Scope, Task, local_shared, scope, shared};
use tokio::time::{Duration, sleep, timeout};

use common::{Wakes, poll, run, yield_now};

/// A driver that is polled by hand.
struct Hand {
    driver: LocalDriver,
    wakes: Arc<Wakes>,
    waker: std::task::Waker,
}

impl Hand {
    fn new(size: usize) -> (LocalScope<'static>, Self) {
        let (pool, driver) = local_shared(size);
        let (wakes, waker) = Wakes::new();
        (pool, Self { driver, wakes, waker })
    }

    /// Polls while it is woken.
    fn settle(&mut self) -> Poll<()> {
        loop {
            let before = self.wakes.count();
            let poll = Pin::new(&mut self.driver).poll(&mut Context::from_waker(&self.waker));
            if poll.is_ready() || self.wakes.count() == before {
                return poll;
            }
        }
    }
}

#[test]
fn it_ends_when_all_handles_are_gone_and_all_tasks_have_ended() {
    let (pool, mut hand) = Hand::new(2);
    let (send, receive) = oneshot::channel::<()>();
    let task = pool.spawn_n(async { receive.await.unwrap() });
    let other = pool.clone();
    assert!(hand.settle().is_pending());
    drop(pool);
    assert!(hand.settle().is_pending(), "there is another handle");
    let before = hand.wakes.count();
    drop(other);
    assert!(hand.wakes.count() > before, "it is woken");
    assert!(hand.settle().is_pending(), "there is a task");
    send.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert!(run(task).is_ok());
}

#[test]
fn a_handle_in_a_task_keeps_it_as_long_as_the_task_lives() {
    let (pool, mut hand) = Hand::new(1);
    let ended = Rc::new(Cell::new(0));
    let (own, count) = (pool.clone(), Rc::clone(&ended));
    pool.spawn_n(async move {
        for _ in 0..3 {
            yield_now().await;
            let count = Rc::clone(&count);
            drop(own.spawn_n(async move { count.set(count.get() + 1) }));
        }
    });
    drop(pool);
    assert!(hand.settle().is_ready());
    assert_eq!(ended.get(), 3);
}

#[test]
fn a_handle_that_spawns_and_goes_is_not_forgotten() {
    let (pool, mut hand) = Hand::new(1);
    assert!(hand.settle().is_pending());
    let task = pool.spawn_n(ready(7));
    drop(pool);
    assert!(hand.settle().is_ready());
    assert_eq!(run(task).unwrap(), 7);
}

#[test]
fn closed_it_ends_with_its_tasks_and_takes_no_more_from_outside() {
    let (pool, mut hand) = Hand::new(1);
    let (send, receive) = oneshot::channel::<()>();
    let late = Rc::new(RefCell::new(None));
    let (own, shared) = (pool.clone(), Rc::clone(&late));
    let first = pool.spawn_n(async move {
        receive.await.unwrap();
        // Their children included.
        let inner = own.clone();
        let child = own.exec(async move { inner.exec(ready(1)).await.unwrap() + 1 }).await.unwrap();
        shared.replace(Some(own.spawn_n(ready(child + 1))));
        assert!(own.spawn(ready(())).await.await.is_ok());
        assert_eq!(own.map(0..3, ready).await.iter().filter(|result| result.is_ok()).count(), 3);
        child
    });
    let second = pool.spawn_n(ready(5));
    assert!(hand.settle().is_pending());
    pool.close();
    pool.close();
    for refused in [pool.spawn_n(ready(0)), pool.try_spawn(ready(0)).unwrap()] {
        assert!(refused.is_finished());
        assert!(run(refused).unwrap_err().is_cancelled());
    }
    assert!(run(pool.exec(ready(0))).unwrap_err().is_cancelled());
    assert!(run(pool.map(0..100, ready)).iter().all(Result::is_err));
    assert_eq!(pool.len(), 2);
    assert!(hand.settle().is_pending());
    send.send(()).unwrap();
    assert!(hand.settle().is_ready(), "whatever handles there are");
    assert_eq!((run(first).unwrap(), run(second).unwrap()), (2, 5));
    assert_eq!(run(late.take().unwrap()).unwrap(), 3);
}

#[test]
fn closing_wakes_a_driver_that_rests() {
    let (pool, mut hand) = Hand::new(1);
    assert!(hand.settle().is_pending());
    let before = hand.wakes.count();
    pool.close();
    assert!(hand.wakes.count() > before);
    assert!(hand.settle().is_ready());
    assert!(pool.is_empty());
}

#[test]
fn dropping_the_driver_cancels() {
    let (pool, mut hand) = Hand::new(1);
    let tasks = pool.map_n(0..3, |_| pending::<()>());
    assert!(hand.settle().is_pending());
    drop(hand);
    for task in tasks {
        assert!(run(task).unwrap_err().is_cancelled());
    }
    assert!(run(pool.spawn_n(ready(1))).unwrap_err().is_cancelled());
    run(pool.join());
    run(pool.idle());
}

#[test]
#[should_panic(expected = "polled after its end")]
fn polling_after_the_end_panics() {
    let (pool, mut hand) = Hand::new(1);
    drop(pool);
    assert!(hand.settle().is_ready());
    let _ = poll(&mut hand.driver);
}

#[test]
fn a_paused_one_does_not_end_with_tasks_in_the_queue() {
    let (pool, mut hand) = Hand::new(1);
    pool.pause();
    let task = pool.spawn_n(ready(1));
    pool.close();
    assert!(hand.settle().is_pending());
    pool.resume();
    assert!(hand.settle().is_ready());
    assert_eq!(run(task).unwrap(), 1);
}

#[test]
fn its_types_are_what_a_server_needs() {
    fn is_handle<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_driver<T: Send + Unpin + 'static>(_: &T) {}
    let (pool, driver): (Scope<'static>, Driver) = shared(0);
    is_handle(&pool);
    is_driver(&driver);
    assert_eq!(pool.size(), 1);
    assert!(format!("{driver:?}").starts_with("Driver { size: 1, waiting: 0, active: 0"));
}

#[test]
fn close_of_a_scope_with_a_body_refuses_what_the_body_spawns() {
    let ran = run(scope(1, async |pool| {
        let own = pool.clone();
        let task = pool.spawn_n(async move { own.exec(ready(3)).await });
        pool.close();
        assert!(pool.spawn_n(ready(1)).await.unwrap_err().is_cancelled());
        task.await.unwrap().unwrap()
    }));
    assert_eq!(ran, 3);
}

#[tokio::test(start_paused = true)]
async fn a_task_tied_to_its_handle_goes_with_it() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (pool, driver) = shared(1);
    let driver = tokio::spawn(driver);
    let work = || {
        let guard = Guard(Arc::clone(&dropped));
        async move {
            sleep(Duration::from_millis(20)).await;
            drop(guard);
        }
    };
    let ms = Duration::from_millis;
    // Detached: it is done in any case.
    assert!(timeout(ms(10), pool.spawn_n(work())).await.is_err());
    // Dropped, before it has started, and after that.
    let (waits, runs) = (pool.spawn_n(work()).cancel_on_drop(), pool.spawn_n(work()).cancel_on_drop());
    drop(waits);
    assert_eq!(pool.waiting(), 1);
    assert!(timeout(ms(20), runs).await.is_err());
    assert!(pool.is_empty());
    // One that has ended is not affected.
    assert!(pool.spawn_n(work()).cancel_on_drop().await.is_ok());
    let ended = pool.spawn_n(ready(4)).cancel_on_drop();
    pool.join().await;
    drop(ended);
    assert_eq!(pool.executed(), 3);
    drop(pool);
    driver.await.unwrap();
    assert_eq!(dropped.load(SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_many_threads_share_it() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (pool, driver) = shared(16);
    let driver = tokio::spawn(driver);
    let requests: Vec<_> = (0..500_usize)
        .map(|n| {
            let (pool, now, most) = (pool.clone(), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let work = async move {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    for _ in 0..n % 7 {
                        tokio::task::yield_now().await;
                    }
                    now.fetch_sub(1, SeqCst);
                    n
                };
                match n % 3 {
                    0 => pool.exec(work).await.unwrap(),
                    1 => pool.spawn_n(work).await.unwrap(),
                    _ => {
                        let task: Task<usize> = pool.spawn(work).await;
                        task.await.unwrap()
                    }
                }
            })
        })
        .collect();
    for (n, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap(), n);
    }
    drop(pool);
    driver.await.unwrap();
    assert!(most.load(SeqCst) <= 16, "{most:?}");
}
