//! The scope: [`local_scope`] and its handle, and the tasks' handles. What needs `Send` is in `scope_send.rs`.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use common::{Wakes, run, yield_now};
use futures::channel::oneshot;
use futures::future::{Either, FusedFuture, FutureExt, LocalBoxFuture, join, join_all, select};
use futures::stream::{FusedStream, FuturesUnordered, Stream, StreamExt};
use futures_pool::{LocalScope, Task, TaskError, iterwait, local_scope, prelude::*, yield_when};
use proptest::prelude::*;

/// A future that is polled by hand.
struct Hand<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl<F: Future> Hand<F> {
    fn new(future: F) -> Self {
        let (wakes, waker) = Wakes::new();
        Self { future: Box::pin(future), wakes, waker }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls for as long as it is woken.
    fn settle(&mut self) -> Poll<F::Output> {
        for _ in 0..100_000 {
            let before = self.wakes.count();
            let poll = self.poll();
            if poll.is_ready() || self.wakes.count() == before {
                return poll;
            }
        }
        panic!("it wakes itself for ever");
    }
}

/// Counts its drops.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn counter() -> (Rc<Cell<usize>>, impl Fn() -> Counted + Clone) {
    let drops = Rc::new(Cell::new(0));
    let make = {
        let drops = Rc::clone(&drops);
        move || Counted(Rc::clone(&drops))
    };
    (drops, make)
}

/// Calls its closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// How many run at a time.
#[derive(Clone, Default)]
struct Meter(Rc<Cell<(usize, usize)>>);

impl Meter {
    fn enter(&self) {
        let (now, most) = self.0.get();
        self.0.set((now + 1, most.max(now + 1)));
    }

    fn leave(&self) {
        let (now, most) = self.0.get();
        self.0.set((now - 1, most));
    }

    fn most(&self) -> usize {
        self.0.get().1
    }

    /// Awaits something of the scope's: the task does not run meanwhile.
    async fn lend<F: Future>(&self, future: F) -> F::Output {
        self.leave();
        let output = future.await;
        self.enter();
        output
    }

    /// Runs as part of a task.
    async fn run<F: Future>(&self, future: F) -> F::Output {
        self.enter();
        let output = future.await;
        self.leave();
        output
    }
}

fn is_cancelled<T>(result: &Result<T, TaskError>) -> bool {
    matches!(result, Err(TaskError::Cancelled))
}

// Body and tasks.

#[test]
fn gives_the_output_of_the_body() {
    assert_eq!(run(local_scope(4, async |_| 7)), 7);
    assert_eq!(run(local_scope(4, |_| ready("plain closure"))), "plain closure");
}

#[test]
fn the_body_is_called_at_once_and_polled_with_the_scope() {
    let called = Cell::new(0);
    let polled = Cell::new(0);
    let scope = local_scope(1, |_| {
        called.set(called.get() + 1);
        async { polled.set(polled.get() + 1) }
    });
    assert_eq!((called.get(), polled.get()), (1, 0));
    run(scope);
    assert_eq!((called.get(), polled.get()), (1, 1));
}

#[test]
fn tasks_make_progress_whatever_the_body_awaits() {
    let done = Cell::new(0);
    let (send, receive) = oneshot::channel::<()>();
    let mut hand = Hand::new(local_scope(2, async |pool| {
        let _ = pool.map_n(0..10, |_| async {
            yield_now().await;
            done.set(done.get() + 1);
        });
        receive.await.unwrap();
    }));
    assert!(hand.settle().is_pending());
    assert_eq!(done.get(), 10);
    send.send(()).unwrap();
    assert!(hand.settle().is_ready());
}

#[test]
fn the_body_makes_progress_while_tasks_do() {
    let (send, receive) = oneshot::channel::<()>();
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let task = pool.spawn(receive).await;
        for _ in 0..200 {
            yield_now().await;
        }
        send.send(()).unwrap();
        task.await.unwrap().unwrap();
    }));
    assert!(hand.settle().is_ready());
}

#[test]
fn leaving_the_body_joins() {
    let done = Rc::new(Cell::new(0));
    let mut hand = Hand::new(local_scope(2, async |pool| {
        for _ in 0..5 {
            let (pool2, done) = (pool.clone(), Rc::clone(&done));
            drop(pool.spawn_n(async move {
                yield_now().await;
                done.set(done.get() + 1);
                let done = Rc::clone(&done);
                drop(pool2.spawn_n(async move { done.set(done.get() + 1) }));
            }));
        }
        "out"
    }));
    assert_eq!(hand.settle(), Poll::Ready("out"));
    assert_eq!(done.get(), 10);
}

#[test]
#[should_panic(expected = "polled after its end")]
fn polling_after_the_end_panics() {
    let mut hand = Hand::new(local_scope(1, async |_| ()));
    assert!(hand.poll().is_ready());
    let _ = hand.poll();
}

#[test]
fn unlike_tasks_borrow_what_lives_outside() {
    let text = String::from("some text");
    let numbers = [1, 2, 3];
    let out = run(local_scope(2, async |pool| {
        let a = pool.spawn(async { text.len() }).await;
        let b = pool.spawn_n(async { numbers.iter() });
        let c = pool.spawn_n(ready("x"));
        (a.await.unwrap(), b.await.unwrap().sum::<i32>(), c.await.unwrap())
    }));
    assert_eq!(out, (9, 6, "x"));
}

#[test]
fn a_size_of_0_is_taken_as_1() {
    let meter = Meter::default();
    run(local_scope(0, async |pool| {
        assert_eq!(pool.size(), 1);
        drop(pool.map_n(0..5, |_| meter.run(yield_now())));
    }));
    assert_eq!(meter.most(), 1);
}

// No more, no less.

#[test]
fn as_many_as_the_size_are_active_and_a_freed_slot_is_filled_at_once() {
    for size in [1, 3, 64, 200] {
        let senders = RefCell::new(Vec::new());
        let mut hand = Hand::new(local_scope(size, async |pool| {
            let tasks = pool.map_n(0..300, |_| {
                let (send, receive) = oneshot::channel::<()>();
                let senders = &senders;
                async move {
                    senders.borrow_mut().push(Some(send));
                    receive.await.unwrap();
                }
            });
            assert_eq!((pool.waiting(), pool.active()), (300, 0));
            pending::<()>().await;
            drop(tasks);
        }));
        assert!(hand.settle().is_pending());
        assert_eq!(senders.borrow().len(), size);
        for round in 0..300 - size {
            // The middle one of those that run.
            let index = round + size / 2;
            let sender = senders.borrow_mut()[index].take();
            sender.or_else(|| senders.borrow_mut()[round].take()).unwrap().send(()).unwrap();
            assert!(hand.poll().is_pending());
            assert_eq!(senders.borrow().len(), size + round + 1, "one poll, one more started");
        }
    }
}

#[test]
fn a_poll_of_the_scope_polls_at_most_64_times() {
    let polls = Cell::new(0);
    let mut hand = Hand::new(local_scope(1000, async |pool| {
        drop(pool.map_n(0..1000, |_| {
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                cx.waker().wake_by_ref();
                if polls.get() > 5000 { Poll::Ready(()) } else { Poll::Pending }
            })
        }));
        loop {
            polls.set(polls.get() + 1);
            yield_now().await;
            if polls.get() > 4000 {
                return;
            }
        }
    }));
    loop {
        let (before, wakes) = (polls.get(), hand.wakes.count());
        let poll = hand.poll();
        assert!(polls.get() - before <= 64, "{} polls", polls.get() - before);
        if poll.is_ready() {
            break;
        }
        assert!(hand.wakes.count() > wakes, "has more to do");
    }
}

#[test]
fn a_task_that_is_always_ready_and_a_body_that_is_do_not_starve_each_other() {
    let (body, task) = (Cell::new(0_u32), Cell::new(0_u32));
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let _task = pool.spawn_n(async {
            loop {
                task.set(task.get() + 1);
                yield_now().await;
            }
        });
        loop {
            body.set(body.get() + 1);
            yield_now().await;
        }
    }));
    for _ in 0..100 {
        let (b, t) = (body.get(), task.get());
        assert!(hand.poll().is_pending());
        assert!(body.get() > b && task.get() > t);
    }
}

#[test]
fn tasks_start_in_the_order_of_spawning() {
    let order = RefCell::new(Vec::new());
    run(local_scope(3, async |pool| {
        drop(pool.map_n(0..50, |x| {
            order.borrow_mut().clear();
            let order = &order;
            async move {
                order.borrow_mut().push(x);
                yield_now().await;
            }
        }));
    }));
    assert_eq!(*order.borrow(), (0..50).collect::<Vec<_>>());
}

#[test]
fn growing_starts_more_and_shrinking_lets_the_surplus_finish() {
    let started = Cell::new(0);
    let senders = RefCell::new(Vec::new());
    let handle = RefCell::new(None);
    let mut hand = Hand::new(local_scope(2, async |pool| {
        drop(pool.map_n(0..10, |_| {
            let (send, receive) = oneshot::channel::<()>();
            senders.borrow_mut().push(send);
            let started = &started;
            async move {
                started.set(started.get() + 1);
                let _ = receive.await;
            }
        }));
        *handle.borrow_mut() = Some(pool);
        pending::<()>().await;
    }));
    assert!(hand.settle().is_pending());
    assert_eq!(started.get(), 2);
    let pool = handle.borrow().clone().unwrap();
    let wakes = hand.wakes.count();
    pool.set_size(5);
    assert_eq!(pool.size(), 5);
    assert!(hand.wakes.count() > wakes, "growing wakes the scope");
    assert!(hand.settle().is_pending());
    assert_eq!((started.get(), pool.active()), (5, 5));
    pool.set_size(1);
    assert!(hand.settle().is_pending());
    assert_eq!(pool.active(), 5);
    for left in (1..5).rev() {
        senders.borrow_mut().remove(0).send(()).unwrap();
        assert!(hand.settle().is_pending());
        assert_eq!((started.get(), pool.active()), (5, left));
    }
    senders.borrow_mut().remove(0).send(()).unwrap();
    assert!(hand.settle().is_pending());
    assert_eq!((started.get(), pool.active()), (6, 1));
}

#[test]
fn a_paused_scope_starts_nothing_and_finishes_what_is_active() {
    let handle = RefCell::new(None);
    let (send, receive) = oneshot::channel::<()>();
    let mut hand = Hand::new(local_scope(2, async |pool| {
        *handle.borrow_mut() = Some(pool.clone());
        let first = pool.spawn(receive).await;
        pool.pause();
        let second = pool.spawn_n(async { 2 });
        first.await.unwrap().unwrap();
        second.await.unwrap()
    }));
    assert!(hand.settle().is_pending());
    let pool = handle.borrow().clone().unwrap();
    assert!(pool.is_paused());
    send.send(()).unwrap();
    assert!(hand.settle().is_pending());
    assert_eq!((pool.waiting(), pool.active(), pool.executed()), (1, 0, 1));
    pool.resume();
    assert!(!pool.is_paused());
    assert_eq!(hand.settle(), Poll::Ready(2));
}

#[test]
fn counts_go_through_a_life() {
    run(local_scope(2, async |pool| {
        let counts = |pool: &LocalScope<'_>| (pool.len(), pool.waiting(), pool.active(), pool.executed());
        assert_eq!(counts(&pool), (0, 0, 0, 0));
        assert!(pool.is_empty() && !pool.is_full());
        let tasks = pool.map_n(0..3, |_| async {});
        assert_eq!(counts(&pool), (3, 3, 0, 0));
        assert!(pool.is_full() && !pool.is_empty());
        let stuck = pool.spawn(pending::<()>()).await;
        assert_eq!(counts(&pool), (1, 0, 1, 3));
        assert!(!pool.is_full() && !pool.is_empty());
        assert!(tasks.iter().all(Task::is_finished));
        assert!(stuck.cancel());
        assert_eq!(counts(&pool), (0, 0, 0, 3));
        let inside = pool.clone();
        let seen = pool.exec(async move { (inside.len(), inside.waiting(), inside.active(), inside.executed()) }).await;
        assert_eq!(seen.unwrap(), (1, 0, 1, 3));
        assert_eq!(counts(&pool), (0, 0, 0, 4));
    }));
}

// Pushing.

#[test]
fn try_spawn_gives_the_future_back_when_there_is_no_room() {
    run(local_scope(2, async |pool| {
        let a = pool.try_spawn(ready(1)).unwrap();
        let b = pool.try_spawn(ready(2)).unwrap();
        assert_eq!(pool.try_spawn(ready(3)).unwrap_err().into_inner(), 3);
        assert_eq!(a.await.unwrap() + b.await.unwrap(), 3);
        assert!(pool.try_spawn(ready(4)).is_ok());
    }));
}

#[test]
fn spawn_gives_the_handle_once_the_task_has_its_slot() {
    let started = Cell::new(0);
    let (send, receive) = oneshot::channel::<()>();
    let spawned = Cell::new(0);
    let mut hand = Hand::new(local_scope(2, async |pool| {
        let first = pool
            .spawn(async {
                started.set(1);
                receive.await
            })
            .await;
        assert_eq!((started.get(), pool.active()), (1, 1));
        spawned.set(1);
        let second = pool.spawn(pending::<()>()).await;
        spawned.set(2);
        let third = pool.spawn(async { started.set(3) }).await;
        spawned.set(3);
        first.await.unwrap().unwrap();
        third.await.unwrap();
        second.cancel();
    }));
    assert!(hand.settle().is_pending());
    assert_eq!((spawned.get(), started.get()), (2, 1), "no room for the third");
    send.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert_eq!((spawned.get(), started.get()), (3, 3));
}

#[test]
fn spawn_is_first_come_first_served() {
    let order = RefCell::new(Vec::new());
    let note = |x| {
        let order = &order;
        async move {
            order.borrow_mut().push(x);
            yield_now().await;
        }
    };
    run(local_scope(1, async |pool| {
        drop(pool.spawn_n(note(0)));
        let spawns = join_all([pool.spawn(note(1)), pool.spawn(note(2)), pool.spawn(note(3))]);
        let (_, ()) = join(spawns, async { drop(pool.spawn_n(note(4))) }).await;
    }));
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_spawn_dropped_before_the_start_drops_the_task_and_nothing_else() {
    let (drops, make) = counter();
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let (one, two, three, four) = (make(), make(), make(), make());
        let stuck = pool.spawn(async { drop((pending::<()>().await, one)) }).await;
        {
            let mut spawn = pin!(pool.spawn(async { drop(two) }));
            assert!((&mut spawn).now_or_never().is_none());
            assert_eq!((pool.waiting(), drops.get()), (1, 0));
        }
        assert_eq!(pool.waiting(), 0);
        drop(pool.spawn(async { drop(three) }));
        assert_eq!((pool.waiting(), drops.get()), (0, 1), "never pushed, so dropped immediately");
        {
            let mut exec = pin!(pool.exec(async { drop(four) }));
            assert!((&mut exec).now_or_never().is_none());
        }
        yield_now().await;
        assert_eq!((pool.len(), drops.get()), (1, 3));
        stuck.cancel();
    }));
    assert!(hand.settle().is_ready());
    assert_eq!(drops.get(), 4);
}

#[test]
fn an_exec_dropped_after_the_start_detaches_the_task() {
    let done = Cell::new(false);
    let (send, receive) = oneshot::channel::<()>();
    run(local_scope(1, async |pool| {
        {
            let exec = pin!(pool.exec(async {
                receive.await.unwrap();
                done.set(true);
            }));
            drop(
                select(
                    exec,
                    pin!(async {
                        while pool.active() == 0 {
                            yield_now().await;
                        }
                    }),
                )
                .await,
            );
        }
        assert_eq!((pool.active(), done.get()), (1, false));
        send.send(()).unwrap();
        pool.join().await;
    }));
    assert!(done.get());
}

#[test]
fn exec_runs_alongside_the_others() {
    run(local_scope(2, async |pool| {
        let stuck = pool.spawn(pending::<()>()).await;
        assert_eq!(pool.exec(async { 5 }).await.unwrap(), 5);
        stuck.cancel();
    }));
}

#[test]
fn map_keeps_the_order_and_takes_items_as_room_comes() {
    for size in [1, 2, 7, 500] {
        let taken = Cell::new(0);
        let ended = Cell::new(0);
        let most = Cell::new(0);
        let items = (0..100).inspect(|_| {
            taken.set(taken.get() + 1);
            most.set(most.get().max(taken.get() - ended.get()));
        });
        let results = run(local_scope(size, async |pool| {
            pool.map(items, |x: usize| {
                let ended = &ended;
                async move {
                    for _ in 0..x % 5 {
                        yield_now().await;
                    }
                    ended.set(ended.get() + 1);
                    x
                }
            })
            .await
        }));
        let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        // One poll starts at most 64. One item may be in hand.
        assert!(most.get() <= size + 1 && most.get() >= size.min(64), "size {size}: {}", most.get());
    }
}

#[test]
fn map_of_nothing_is_an_empty_vec_also_on_a_full_scope() {
    run(local_scope(1, async |pool| {
        let stuck = pool.spawn(pending::<()>()).await;
        let nothing = pool.map(std::iter::empty::<i32>(), async |x| x);
        let (results, _) = join(nothing, async { stuck.cancel() }).await;
        assert!(results.is_empty());
    }));
}

#[test]
fn map_waits_for_what_is_in_the_queue_and_continues_alongside_others() {
    let order = RefCell::new(Vec::new());
    let note = |x| {
        let order = &order;
        async move {
            order.borrow_mut().push(x);
            yield_now().await;
        }
    };
    run(local_scope(1, async |pool| {
        drop(pool.map_n(0..3, note));
        pool.map(3..6, note).await;
        let (a, b) = join(pool.map(10..13, note), pool.map(20..23, note)).await;
        assert_eq!((a.len(), b.len()), (3, 3));
    }));
    assert_eq!(order.borrow()[..6], [0, 1, 2, 3, 4, 5]);
    assert_eq!(order.borrow().len(), 12);
}

#[test]
fn a_map_dropped_early_drops_the_rest_of_its_items() {
    let (drops, make) = counter();
    let started = Cell::new(0);
    let items: Vec<_> = (0..10).map(|_| make()).collect();
    run(local_scope(2, async |pool| {
        {
            let mut map = pin!(pool.map(items, |item| {
                let started = &started;
                async move {
                    started.set(started.get() + 1);
                    yield_now().await;
                    drop(item);
                }
            }));
            assert!((&mut map).now_or_never().is_none());
        }
        assert_eq!(drops.get(), 8);
        pool.join().await;
        assert_eq!((drops.get(), started.get()), (10, 2), "what was spawned continues");
    }));
}

#[test]
fn itermap_gives_results_as_they_finish_and_cancels_the_rest_when_dropped() {
    let (drops, make) = counter();
    run(local_scope(4, async |pool| {
        let mut results = pool.itermap([3, 1, 2, 9], |x| {
            let counted = make();
            async move {
                for _ in 0..x * 3 {
                    yield_now().await;
                }
                if x == 9 {
                    pending::<()>().await;
                }
                drop(counted);
                x
            }
        });
        assert_eq!(results.size_hint(), (4, Some(4)));
        for x in [1, 2, 3] {
            assert_eq!(results.next().await.unwrap().unwrap(), x);
        }
        assert_eq!((results.size_hint(), pool.len(), drops.get()), ((1, Some(1)), 1, 3));
        drop(results);
        assert_eq!(pool.len(), 0);
        yield_now().await;
        assert_eq!(drops.get(), 4);
    }));
}

#[test]
fn a_panic_of_the_closure_leaves_the_scope_in_order() {
    let out = run(local_scope(1, async |pool| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = pool.map_n(0..5, |x| if x == 3 { panic!("closure") } else { ready(x) });
        }));
        assert!(caught.is_err());
        assert_eq!(pool.waiting(), 3);
        pool.join().await;
        pool.executed()
    }));
    assert_eq!(out, 3);
}

// Handles.

#[test]
fn a_handle_may_be_polled_by_reference_and_tells_its_key() {
    run(local_scope(2, async |pool| {
        let mut first = pool.spawn_n(async { 1 });
        let second = pool.spawn_n(async { 2 });
        assert!(first.key() < second.key());
        assert!(!first.is_finished() && !first.is_terminated());
        assert!((&mut first).now_or_never().is_none());
        let key = first.key();
        assert_eq!((&mut first).await.unwrap(), 1);
        assert!(first.is_finished() && first.is_terminated() && !first.cancel());
        assert_eq!(first.key(), key);
        assert_eq!(second.await.unwrap(), 2);
    }));
}

#[test]
#[should_panic(expected = "polled after its end")]
fn a_handle_polled_after_its_result_panics() {
    run(local_scope(1, async |pool| {
        let mut task = pool.spawn_n(async {});
        (&mut task).await.unwrap();
        let _ = task.await;
    }));
}

#[test]
fn dropping_a_handle_detaches_the_task_and_drops_its_output() {
    let (drops, make) = counter();
    run(local_scope(1, async |pool| {
        let make = make.clone();
        drop(pool.spawn_n(async move { make() }));
        pool.join().await;
        assert_eq!((pool.executed(), drops.get()), (1, 1));
    }));
}

#[test]
fn an_output_not_taken_is_dropped_with_its_handle() {
    let (drops, make) = counter();
    let task = run(local_scope(1, async |pool| pool.spawn_n(async { make() })));
    assert!(task.is_finished());
    assert_eq!(drops.get(), 0);
    drop(task);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_future_is_dropped_before_its_handle_is_ready() {
    let (drops, make) = counter();
    run(local_scope(1, async |pool| {
        let held = make();
        let task = pool.spawn_n(async {
            let _held = held;
            yield_now().await;
        });
        task.await.unwrap();
        assert_eq!(drops.get(), 1);
    }));
}

#[test]
fn handles_outlive_their_scope() {
    let (task, pool) = run(local_scope(1, async |pool| (pool.spawn_n(async { 5 }), pool.clone())));
    assert_eq!(run(task).unwrap(), 5);
    let late = pool.spawn_n(async { 6 });
    assert!(late.is_finished() && !late.cancel());
    assert!(is_cancelled(&run(late)));
    assert!(is_cancelled(&run(pool.exec(async { 7 }))));
    assert!(is_cancelled(&run(run(pool.spawn(async { 7 })))));
    assert!(run(pool.map(0..3, async |x| x)).iter().all(is_cancelled));
    assert!(run(pool.itermap(0..3, async |x| x).collect::<Vec<_>>()).iter().all(is_cancelled));
    run(pool.join());
    assert_eq!((pool.len(), pool.cancel_all()), (0, 0));
}

// Dropping the scope.

#[test]
fn a_scope_dropped_at_any_poll_drops_everything_and_leaks_nothing() {
    fn nested(pool: LocalScope<'_>, make: Rc<dyn Fn() -> Counted>, depth: u32) -> LocalBoxFuture<'_, ()> {
        async move {
            let _counted = make();
            yield_now().await;
            if depth > 0 {
                let tasks = pool.map_n(0..3, |_| nested(pool.clone(), Rc::clone(&make), depth - 1));
                for task in tasks {
                    let _ = task.await;
                }
            }
        }
        .boxed_local()
    }
    for size in [1, 2, 5] {
        let mut ended = false;
        for polls in 0.. {
            let made = Rc::new(Cell::new(0));
            let (drops, make) = counter();
            let make: Rc<dyn Fn() -> Counted> = {
                let made = Rc::clone(&made);
                Rc::new(move || {
                    made.set(made.get() + 1);
                    make()
                })
            };
            let outside = RefCell::new(None);
            let mut hand = Hand::new(local_scope(size, async |pool| {
                let task = pool.spawn_n(nested(pool.clone(), Rc::clone(&make), 3));
                *outside.borrow_mut() = Some((task, pool.clone()));
                pool.join().await;
            }));
            for _ in 0..polls {
                ended = ended || hand.poll().is_ready();
                if ended {
                    break;
                }
            }
            drop(hand);
            assert_eq!(drops.get(), made.get(), "size {size}, dropped after poll {polls}");
            if let Some((task, pool)) = outside.take() {
                assert!(task.is_finished());
                assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
                assert_eq!(is_cancelled(&run(task)), !ended);
            }
            // Nobody holds what the tasks held.
            assert_eq!(Rc::strong_count(&make), 1, "size {size}, dropped after poll {polls}");
            if ended {
                break;
            }
        }
        assert!(ended);
    }
}

#[test]
fn a_scope_dropped_before_its_first_poll_drops_what_was_spawned() {
    let (drops, make) = counter();
    let tasks = RefCell::new(Vec::new());
    drop(local_scope(1, |pool| {
        *tasks.borrow_mut() = pool.map_n(0..3, |_| {
            let counted = make();
            async move { drop(counted) }
        });
        ready(())
    }));
    assert_eq!(drops.get(), 3);
    assert!(tasks.take().into_iter().map(run).all(|result| is_cancelled(&result)));
}

#[test]
fn whoever_waits_outside_is_woken_when_the_scope_is_dropped() {
    let outside = RefCell::new(None);
    let mut hand = Hand::new(local_scope(1, async |pool| {
        *outside.borrow_mut() = Some((pool.spawn_n(pending::<()>()), pool));
        pending::<()>().await;
    }));
    assert!(hand.settle().is_pending());
    let (task, pool) = outside.take().unwrap();
    let mut task = Hand::new(task);
    let mut join = Hand::new(pool.join());
    let mut spawn = Hand::new(pool.spawn(async {}));
    let mut map = Hand::new(pool.map(0..3, async |x| x));
    assert!(task.poll().is_pending() && join.poll().is_pending());
    assert!(spawn.poll().is_pending() && map.poll().is_pending());
    drop(hand);
    for wakes in [&task.wakes, &join.wakes, &spawn.wakes, &map.wakes] {
        assert!(wakes.count() > 0);
    }
    assert!(task.settle().map(|result| is_cancelled(&result)) == Poll::Ready(true));
    assert!(join.settle().is_ready() && spawn.settle().is_ready() && map.settle().is_ready());
}

#[test]
fn late_wakers_are_harmless() {
    let wakers = RefCell::new(Vec::new());
    let mut hand = Hand::new(local_scope(4, async |pool| {
        drop(pool.map_n(0..4, |_| {
            poll_fn(|cx| {
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            })
        }));
        poll_fn(|cx| {
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }));
    assert!(hand.settle().is_pending());
    let wakes = Arc::clone(&hand.wakes);
    drop(hand);
    let before = wakes.count();
    for waker in wakers.take() {
        waker.wake();
    }
    assert_eq!(wakes.count(), before);
    assert_eq!(Arc::strong_count(&wakes), 1, "nobody holds on to the task");
}

// Lending.

fn tree(pool: LocalScope<'_>, meter: Meter, depth: u32, how: u32) -> LocalBoxFuture<'_, usize> {
    async move {
        meter.enter();
        yield_now().await;
        let mut nodes = 1;
        if depth > 0 {
            let child = |_| tree(pool.clone(), meter.clone(), depth - 1, how);
            nodes += match how {
                0 => {
                    let tasks = pool.map_n(0..3, child);
                    let mut sum = 0;
                    for task in tasks {
                        sum += meter.lend(task).await.unwrap();
                    }
                    sum
                }
                1 => meter.lend(pool.map(0..3, child)).await.into_iter().map(Result::unwrap).sum(),
                2 => {
                    let mut results = pool.itermap(0..3, child);
                    let mut sum = 0;
                    while let Some(result) = meter.lend(results.next()).await {
                        sum += result.unwrap();
                    }
                    sum
                }
                3 => {
                    let mut sum = 0;
                    for x in 0..3 {
                        sum += meter.lend(pool.exec(child(x))).await.unwrap();
                    }
                    sum
                }
                4 => {
                    let mut tasks = Vec::new();
                    for x in 0..3 {
                        tasks.push(pool.spawn(child(x)).await);
                    }
                    meter.lend(join_all(tasks)).await.into_iter().map(Result::unwrap).sum()
                }
                // A combinator that does not poll every handle each time.
                _ => {
                    let mut tasks: FuturesUnordered<_> = pool.map_n(0..3, child).into_iter().collect();
                    let mut sum = 0;
                    while let Some(result) = meter.lend(tasks.next()).await {
                        sum += result.unwrap();
                    }
                    sum
                }
            };
            yield_now().await;
        }
        meter.leave();
        nodes
    }
    .boxed_local()
}

#[test]
fn recursion_that_forks_and_joins_ends_at_any_size() {
    for how in 0..6 {
        for size in [1, 2, 3, 8] {
            let meter = Meter::default();
            let mut hand = Hand::new(local_scope(size, async |pool| {
                pool.exec(tree(pool.clone(), meter.clone(), 4, how)).await.unwrap()
            }));
            assert_eq!(hand.settle(), Poll::Ready(121), "way {how}, size {size}");
            assert!(meter.most() <= size, "way {how}, size {size}: {} ran", meter.most());
        }
    }
}

#[test]
fn with_slots_lent_there_are_no_fewer_active_than_the_size() {
    for size in [1, 2, 5] {
        let handle = RefCell::new(None);
        let mut hand = Hand::new(local_scope(size, async |pool| {
            *handle.borrow_mut() = Some(pool.clone());
            drop(pool.map_n(0..3, |_| {
                let pool = pool.clone();
                async move { pool.map(0..4, |_| pending::<()>()).await }
            }));
        }));
        assert!(hand.settle().is_pending());
        let pool = handle.take().unwrap();
        assert_eq!(pool.active(), size);
        assert!(pool.len() > size, "some have lent their slots");
    }
}

#[test]
fn join_all_over_many_handles_lends_too() {
    // More than 30: `join_all` then polls only those that were woken.
    for size in [1, 2] {
        let out = run(local_scope(size, async |pool| {
            let inner = pool.clone();
            pool.exec(async move {
                let tasks = inner.map_n(0..100, |x| async move {
                    yield_now().await;
                    x
                });
                join_all(tasks).await.into_iter().map(Result::unwrap).sum::<i32>()
            })
            .await
        }));
        assert_eq!(out.unwrap(), 4950);
    }
}

#[test]
fn a_task_that_lends_is_not_active_and_another_runs() {
    let log = RefCell::new(Vec::new());
    run(local_scope(1, async |pool| {
        let inner = pool.clone();
        let log = &log;
        pool.exec(async move {
            let probe = inner.clone();
            let child = inner.spawn_n(async move {
                log.borrow_mut().push((probe.len(), probe.active(), probe.waiting()));
            });
            log.borrow_mut().push((inner.len(), inner.active(), inner.waiting()));
            child.await.unwrap();
            log.borrow_mut().push((inner.len(), inner.active(), inner.waiting()));
        })
        .await
        .unwrap();
    }));
    assert_eq!(*log.borrow(), [(2, 1, 1), (2, 1, 0), (1, 1, 0)]);
}

#[test]
fn a_lent_slot_is_taken_back_ahead_of_those_that_wait_to_start() {
    let order = RefCell::new(Vec::new());
    run(local_scope(1, async |pool| {
        let order = &order;
        let inner = pool.clone();
        let parent = pool.spawn_n(async move {
            inner.spawn_n(async move { order.borrow_mut().push("child") }).await.unwrap();
            order.borrow_mut().push("parent continues");
        });
        drop(pool.map_n(0..3, |_| async move { order.borrow_mut().push("other") }));
        parent.await.unwrap();
    }));
    // The others were spawned before the child.
    assert_eq!(*order.borrow(), ["other", "other", "other", "child", "parent continues"]);
    order.borrow_mut().clear();
    run(local_scope(1, async |pool| {
        let order = &order;
        let inner = pool.clone();
        let parent = pool.spawn_n(async move {
            let child = inner.spawn_n(async move { order.borrow_mut().push("child") });
            drop(inner.map_n(0..3, |_| async move { order.borrow_mut().push("other") }));
            child.await.unwrap();
            order.borrow_mut().push("parent continues");
        });
        parent.await.unwrap();
    }));
    assert_eq!(*order.borrow(), ["child", "parent continues", "other", "other", "other"]);
}

#[test]
fn a_lent_slot_is_taken_back_also_when_several_tasks_end_at_once() {
    let order = RefCell::new(Vec::new());
    let (end_child, child_ends) = oneshot::channel::<()>();
    let (end_other, other_ends) = oneshot::channel::<()>();
    let mut hand = Hand::new(local_scope(2, async |pool| {
        let order = &order;
        let inner = pool.clone();
        let parent = pool.spawn_n(async move {
            inner.exec(child_ends).await.unwrap().unwrap();
            order.borrow_mut().push("parent continues");
        });
        while pool.len() < 2 {
            yield_now().await;
        }
        drop(pool.spawn(other_ends).await);
        drop(pool.spawn_n(async move { order.borrow_mut().push("waiting") }));
        parent.await.unwrap();
    }));
    assert!(hand.settle().is_pending());
    assert!(order.borrow().is_empty());
    end_child.send(()).unwrap();
    end_other.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert_eq!(*order.borrow(), ["parent continues", "waiting"]);
}

#[test]
fn claims_of_slots_are_served_in_their_order() {
    let order = RefCell::new(Vec::new());
    let (wake_a, a) = oneshot::channel::<()>();
    let (wake_b, b) = oneshot::channel::<()>();
    let (end_c, c) = oneshot::channel::<()>();
    let handle = RefCell::new(None);
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let order = &order;
        let lender = |name, wake: oneshot::Receiver<()>| {
            let pool = pool.clone();
            async move {
                drop(select(pin!(pool.join()), wake).await);
                order.borrow_mut().push(name);
                yield_now().await;
                order.borrow_mut().push(name);
            }
        };
        let tasks = (pool.spawn_n(lender("a", a)), pool.spawn_n(c), ());
        *handle.borrow_mut() = Some(pool.clone());
        while pool.len() - pool.active() != 1 {
            yield_now().await;
        }
        pool.set_size(2);
        let last = pool.spawn(lender("b", b)).await;
        pool.set_size(1);
        last.await.unwrap();
        drop(tasks);
    }));
    assert!(hand.settle().is_pending());
    let pool = handle.take().unwrap();
    assert_eq!((pool.len(), pool.active(), pool.size()), (3, 1, 1));
    wake_a.send(()).unwrap();
    assert!(hand.settle().is_pending());
    // The slot comes free, and is wanted by one who comes later, in the same poll.
    end_c.send(()).unwrap();
    wake_b.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert_eq!(*order.borrow(), ["a", "a", "b", "b"]);
}

#[test]
fn a_task_woken_by_something_else_while_it_lends_continues_without_a_slot() {
    let (send, receive) = oneshot::channel::<()>();
    let (free, blocked) = oneshot::channel::<()>();
    let (end, ends) = oneshot::channel::<()>();
    let (went_on, started) = (Cell::new(false), Cell::new(false));
    let handle = RefCell::new(None);
    let mut hand = Hand::new(local_scope(1, async |pool: LocalScope<'_>| {
        let inner = pool.clone();
        let went_on = &went_on;
        let task = pool.spawn_n(async move {
            let child = inner.spawn_n(blocked);
            drop(select(child, receive).await);
            went_on.set(true);
            ends.await.unwrap();
        });
        *handle.borrow_mut() = Some(pool.clone());
        task.await.unwrap();
    }));
    assert!(hand.settle().is_pending());
    let pool = handle.take().unwrap();
    assert_eq!((pool.active(), pool.len()), (1, 2), "the child has the only slot");
    send.send(()).unwrap();
    assert!(hand.settle().is_pending());
    assert!(went_on.get());
    assert_eq!((pool.active(), pool.len()), (2, 2), "one more than the size");
    let next = pool.spawn_n(async { started.set(true) });
    free.send(()).unwrap();
    assert!(hand.settle().is_pending());
    assert_eq!((pool.active(), pool.waiting()), (1, 1), "nothing starts until fewer than the size are active");
    end.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert!(started.get() && next.is_finished());
    assert_eq!(pool.executed(), 3);
}

#[test]
fn a_paused_scope_gives_slots_back_to_those_who_lent_them() {
    let (send, receive) = oneshot::channel::<()>();
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let inner = pool.clone();
        let parent = pool.spawn_n(async move { inner.exec(receive).await });
        while pool.executed() == 0 && pool.active() == 0 {
            yield_now().await;
        }
        yield_now().await;
        pool.pause();
        parent.await.unwrap().unwrap().unwrap();
    }));
    assert!(hand.settle().is_pending());
    send.send(()).unwrap();
    assert!(hand.settle().is_ready());
}

#[test]
fn spawn_inside_a_task_never_waits_for_room() {
    run(local_scope(1, async |pool| {
        let inner = pool.clone();
        let tasks = pool
            .exec(async move {
                let mut tasks = Vec::new();
                for x in 0..10 {
                    tasks.push(inner.spawn(async move { x }).await);
                }
                assert_eq!((inner.active(), inner.waiting()), (1, 10));
                tasks
            })
            .await
            .unwrap();
        for (x, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), x);
        }
    }));
}

#[test]
fn join_inside_a_task_waits_for_those_that_do_not_join() {
    for size in [1, 2, 4] {
        let log = RefCell::new(Vec::new());
        run(local_scope(size, async |pool| {
            let log = &log;
            let joiner = |name| {
                let pool = pool.clone();
                pool.clone().spawn_n(async move {
                    pool.join().await;
                    log.borrow_mut().push(name);
                })
            };
            let (_a, _b) = (joiner("join"), joiner("join"));
            drop(pool.map_n(0..5, |_| async {
                yield_now().await;
                log.borrow_mut().push("work");
            }));
            pool.join().await;
            log.borrow_mut().push("body");
        }));
        let mut expected = vec!["work"; 5];
        expected.extend(["join", "join", "body"]);
        assert_eq!(*log.borrow(), expected, "size {size}");
    }
}

#[test]
fn tasks_that_join_are_released_together() {
    // If the first to continue kept the others joined, it would wait for them, and they for it.
    let out = run(local_scope(1, async |pool| {
        let (send, receive) = oneshot::channel();
        let (one, two) = (pool.clone(), pool.clone());
        let first = pool.spawn_n(async move {
            one.join().await;
            receive.await.unwrap()
        });
        // Holds its slot while it waits for the other, so there have to be two.
        pool.set_size(2);
        let second = pool.spawn_n(async move {
            two.join().await;
            send.send(5).unwrap();
        });
        second.await.unwrap();
        first.await.unwrap()
    }));
    assert_eq!(out, 5);
}

#[test]
fn a_callback_that_spawns_into_its_own_pool_ends() {
    fn node<'env>(pool: LocalScope<'env>, depth: u32, count: &'env Cell<u32>) -> LocalBoxFuture<'env, ()> {
        ready(depth)
            .callback(
                async move |depth, pool: LocalScope<'env>| {
                    count.set(count.get() + 1);
                    yield_now().await;
                    for _ in 0..if depth > 0 { 4 } else { 0 } {
                        let task = pool.spawn(node(pool.clone(), depth - 1, count)).await;
                        drop(task);
                    }
                },
                pool,
            )
            .boxed_local()
    }
    for size in [10, 1] {
        let count = Cell::new(0);
        run(local_scope(size, async |pool| {
            for _ in 0..4 {
                drop(pool.spawn(node(pool.clone(), 3, &count)).await);
            }
        }));
        assert_eq!(count.get(), 340, "size {size}");
    }
}

#[test]
fn a_handle_that_left_its_task_is_not_mistaken_for_it() {
    // A task gives away the handle that it has awaited for a while. Whoever polls it now does not lend for the task.
    let (give, take) = oneshot::channel::<Task<u8>>();
    let (send, receive) = oneshot::channel::<u8>();
    let (go, wait) = oneshot::channel::<()>();
    let handle = RefCell::new(None);
    let mut hand = Hand::new(local_scope(2, async |pool| {
        *handle.borrow_mut() = Some(pool.clone());
        let inner = pool.clone();
        let task = pool.spawn_n(async move {
            let mut child = inner.spawn_n(async { receive.await.unwrap() });
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut child).poll(cx).is_pending())).await);
            give.send(child).unwrap();
            wait.await.unwrap();
        });
        task.await.unwrap();
    }));
    assert!(hand.settle().is_pending());
    let pool = handle.borrow().clone().unwrap();
    let mut child = Hand::new(take.now_or_never().unwrap().unwrap());
    assert!(child.poll().is_pending());
    assert_eq!(pool.len(), 2);
    // The handle was polled outside, so the task no longer waits for its scope: once it continues it lends no more.
    go.send(()).unwrap();
    assert!(hand.settle().is_pending());
    assert_eq!((pool.len(), pool.active()), (1, 1));
    send.send(3).unwrap();
    assert!(hand.settle().is_ready());
    assert_eq!(child.settle().map(Result::unwrap), Poll::Ready(3));
}

#[test]
fn a_scope_inside_a_task_of_another_may_wait_for_the_outer_one() {
    for size in [1, 2] {
        let out = run(local_scope(size, async |outer| {
            let handle = outer.clone();
            outer
                .exec(async move {
                    local_scope(size, async |inner| {
                        let (handle, nested) = (handle.clone(), inner.clone());
                        inner
                            .exec(async move {
                                let a = handle.exec(async { 1 }).await.unwrap();
                                let b = nested.exec(async { 2 }).await.unwrap();
                                a + b
                            })
                            .await
                            .unwrap()
                    })
                    .await
                })
                .await
                .unwrap()
        }));
        assert_eq!(out, 3);
    }
}

// Cancelling.

#[test]
fn cancelling_reaches_those_that_wait_and_those_that_are_active() {
    let (drops, make) = counter();
    let mut hand = Hand::new(local_scope(2, async |pool| {
        let tasks = pool.map_n(0..5, |_| {
            let counted = make();
            async move { drop((pending::<()>().await, counted)) }
        });
        yield_now().await;
        while pool.active() < 2 {
            yield_now().await;
        }
        assert_eq!((pool.active(), pool.waiting()), (2, 3));
        assert!(tasks[4].cancel() && tasks[4].is_finished());
        assert_eq!((pool.active(), pool.waiting()), (2, 2), "counted out immediately");
        assert!(tasks[0].cancel() && tasks[0].is_finished());
        assert_eq!((pool.active(), pool.waiting()), (1, 2), "counted out immediately");
        assert!(!tasks[0].cancel() && !tasks[4].cancel(), "twice is harmless");
        yield_now().await;
        assert_eq!((pool.active(), pool.waiting(), drops.get()), (2, 1, 2), "the slot is filled again");
        assert_eq!(pool.cancel(&tasks), 3);
        assert_eq!((pool.len(), pool.executed()), (0, 0));
        for task in tasks {
            assert!(is_cancelled(&task.await));
        }
    }));
    assert!(hand.settle().is_ready());
    assert_eq!(drops.get(), 5);
}

#[test]
fn a_cancelled_future_is_dropped_before_the_current_or_the_next_poll_returns() {
    let (drops, make) = counter();
    let outside = RefCell::new(None);
    let mut hand = Hand::new(local_scope(100, async |pool| {
        let tasks = pool.map_n(0..200, |_| {
            let counted = make();
            async move { drop((pending::<()>().await, counted)) }
        });
        *outside.borrow_mut() = Some(tasks);
        pending::<()>().await;
        drop(pool);
    }));
    assert!(hand.settle().is_pending());
    let tasks = outside.take().unwrap();
    let wakes = hand.wakes.count();
    assert!(tasks.iter().all(Task::cancel));
    assert!(hand.wakes.count() > wakes);
    assert_eq!(drops.get(), 0);
    assert!(hand.poll().is_pending());
    assert_eq!(drops.get(), 200, "all of them in one poll");
}

#[test]
fn a_callback_that_is_running_is_cancelled() {
    let reached = Cell::new(false);
    run(local_scope(1, async |pool| {
        let task = pool.spawn_n(ready(1).callback(
            async |_, reached: &Cell<bool>| {
                reached.set(true);
                pending::<()>().await;
            },
            &reached,
        ));
        while !reached.get() {
            yield_now().await;
        }
        assert_eq!(pool.active(), 1);
        assert!(task.cancel());
        assert_eq!(pool.len(), 0);
        assert!(is_cancelled(&task.await));
    }));
}

#[test]
fn a_task_may_cancel_itself() {
    let handle = RefCell::new(None);
    let (drops, make) = counter();
    let went_on = Cell::new(false);
    run(local_scope(1, async |pool| {
        let counted = make();
        let (handle, went_on) = (&handle, &went_on);
        let task = pool.spawn_n(async move {
            let own: Task<()> = handle.borrow_mut().take().unwrap();
            assert!(own.cancel());
            assert!(!own.cancel());
            yield_now().await;
            went_on.set(true);
            drop(counted);
        });
        *handle.borrow_mut() = Some(task);
        pool.join().await;
        assert_eq!((pool.executed(), pool.len()), (0, 0));
        assert!(!went_on.get());
        // And one that ends in the same poll.
        let task = pool.spawn_n(async move {
            assert!(handle.borrow().as_ref().unwrap().cancel());
        });
        *handle.borrow_mut() = Some(task);
        pool.join().await;
        let task = handle.borrow_mut().take().unwrap();
        assert!(is_cancelled(&task.await));
        assert_eq!((pool.executed(), pool.len()), (0, 0));
    }));
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_task_may_cancel_itself_while_it_joins_and_wait_on() {
    let went_on = Cell::new(false);
    run(local_scope(2, async |pool| {
        let (go, wait) = oneshot::channel::<()>();
        let own = Rc::new(RefCell::new(None::<Task<()>>));
        let (inner, slot, went_on) = (pool.clone(), Rc::clone(&own), &went_on);
        let task = pool.spawn_n(async move {
            let mut child = inner.spawn_n(pending::<()>());
            let mut join = Box::pin(inner.join());
            let _ = select(&mut join, wait).await;
            assert!(slot.borrow().as_ref().unwrap().cancel());
            // Still in the poll in which it was cancelled: a wait, and the end of the join.
            assert!((&mut child).now_or_never().is_none());
            drop(join);
            went_on.set(true);
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(task);
        while pool.active() != 1 || pool.len() != 2 {
            yield_now().await;
        }
        go.send(()).unwrap();
        while pool.len() != 1 {
            yield_now().await;
        }
        assert_eq!((pool.cancel_all(), pool.active(), pool.len()), (1, 0, 0));
        let inner = pool.clone();
        pool.exec(async move { inner.join().await }).await.unwrap();
        assert!(went_on.get());
    }));
}

#[test]
fn cancelling_a_task_that_lends_gives_no_slot_twice() {
    for victim in ["parent", "child"] {
        let meter = Meter::default();
        run(local_scope(1, async |pool| {
            let inner = pool.clone();
            let child = Rc::new(RefCell::new(None));
            let slot = Rc::clone(&child);
            let parent = pool.spawn_n(async move {
                let task = inner.spawn_n(pending::<()>());
                let mut waits = inner.spawn_n(pending::<()>());
                *slot.borrow_mut() = Some((task, inner.clone()));
                let _ = (&mut waits).await;
            });
            while pool.active() != 1 || pool.waiting() != 1 || pool.len() != 3 {
                yield_now().await;
            }
            let (task, _) = child.borrow_mut().take().unwrap();
            if victim == "parent" {
                assert!(parent.cancel());
                assert!(task.cancel());
            } else {
                assert!(task.cancel());
                assert!(parent.cancel());
            }
            assert_eq!(pool.cancel_all(), 1);
            assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
            pool.map(0..5, |_| meter.run(yield_now())).await;
            assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
        }));
        assert_eq!(meter.most(), 1, "{victim}");
    }
}

#[test]
fn cancel_all_takes_what_there_is_and_nothing_later() {
    let (drops, make) = counter();
    run(local_scope(2, async |pool| {
        let many = |count: usize| {
            pool.map_n(0..count, |_| {
                let counted = make();
                async move { drop((pending::<()>().await, counted)) }
            })
        };
        let first = many(5);
        while pool.active() < 2 {
            yield_now().await;
        }
        assert!(first[3].cancel());
        assert_eq!(pool.cancel_all(), 4);
        assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
        assert!(first.iter().all(Task::is_finished));
        assert!(!first[0].cancel() && !first[4].cancel());
        assert_eq!(pool.cancel_all(), 0);
        // Later ones, before the scope has looked.
        let second = many(3);
        let third = pool.spawn_n(async { 3 });
        assert!(second[0].cancel());
        assert_eq!((pool.waiting(), pool.len()), (3, 3));
        assert!(second.iter().skip(1).all(|task| !task.is_finished()));
        for task in first {
            assert!(is_cancelled(&task.await));
        }
        while pool.active() < 2 {
            yield_now().await;
        }
        assert_eq!((pool.waiting(), drops.get()), (1, 6));
        assert_eq!(pool.cancel(&second), 2);
        assert_eq!(third.await.unwrap(), 3);
        assert_eq!((pool.len(), pool.executed()), (0, 1));
    }));
    assert_eq!(drops.get(), 8);
}

#[test]
fn cancel_all_inside_a_task_includes_it() {
    run(local_scope(2, async |pool| {
        let inner = pool.clone();
        let others = pool.map_n(0..3, |_| pending::<()>());
        pool.set_size(5);
        let own = pool.spawn_n(async move {
            assert_eq!(inner.cancel_all(), 4);
            assert_eq!(inner.len(), 0);
        });
        assert!(is_cancelled(&own.await));
        for task in others {
            assert!(is_cancelled(&task.await));
        }
        assert_eq!((pool.len(), pool.executed()), (0, 0));
        assert_eq!(pool.exec(async { 1 }).await.unwrap(), 1);
    }));
}

#[test]
fn cancel_all_inside_a_task_drops_all_that_wait_in_the_same_poll() {
    let (drops, make) = counter();
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let inner = pool.clone();
        let own = pool.spawn_n(async move { inner.cancel_all() });
        drop(pool.map_n(0..1000, |_| {
            let counted = make();
            async move { drop(counted) }
        }));
        assert!(is_cancelled(&own.await));
        pending::<()>().await;
    }));
    assert!(hand.poll().is_pending());
    assert_eq!(drops.get(), 1000);
}

#[test]
fn a_task_cancelled_while_it_claims_a_slot_leaves_no_claim() {
    let meter = Meter::default();
    // The parent lends, and while another task has its slot, what it waits for is cancelled.
    let (end, ends) = oneshot::channel::<()>();
    let (waits, others) = (Rc::new(RefCell::new(None)), RefCell::new(None));
    let own_waits = Rc::clone(&waits);
    let mut hand = Hand::new(local_scope(1, async |pool: LocalScope<'_>| {
        let (inner, waits) = (pool.clone(), Rc::clone(&own_waits));
        let claims = pool.spawn_n(async move {
            yield_now().await;
            let child = inner.spawn_n(pending::<()>());
            waits.replace(Some(inner.clone()));
            let cancelled = child.await;
            assert!(is_cancelled(&cancelled));
        });
        let holds = pool.spawn_n(ends);
        others.replace(Some(claims));
        holds.await.unwrap().unwrap();
        pool.map(0..5, |_| meter.run(yield_now())).await;
    }));
    assert!(hand.settle().is_pending());
    let pool: LocalScope<'_> = waits.take().unwrap();
    assert_eq!((pool.len(), pool.active(), pool.waiting()), (3, 1, 1));
    assert_eq!(pool.cancel_waiting(), 1);
    assert!(hand.settle().is_pending());
    assert_eq!((pool.len(), pool.active()), (2, 1), "it claims a slot");
    assert!(others.take().unwrap().cancel());
    assert_eq!((pool.len(), pool.active()), (1, 1));
    end.send(()).unwrap();
    assert!(hand.settle().is_ready());
    assert_eq!(meter.most(), 1);
}

/// With the standard library, it does not come out of the scope.
#[cfg(not(feature = "std"))]
#[test]
fn a_destructor_that_panics_keeps_no_cancelled_task_from_being_dropped() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Panics(Rc<Cell<usize>>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            std::panic::resume_unwind(Box::new("no"));
        }
    }
    for all in [false, true] {
        let drops = Rc::new(Cell::new(0));
        let handle = RefCell::new(None);
        let mut hand = Hand::new(local_scope(2, async |pool: LocalScope<'_>| {
            let tasks = pool.map_n(0..5, |_| {
                let panics = Panics(Rc::clone(&drops));
                async move {
                    let _panics = panics;
                    pending::<()>().await;
                }
            });
            handle.replace(Some((pool, tasks)));
            pending::<()>().await;
        }));
        assert!(hand.settle().is_pending());
        let (pool, tasks) = handle.take().unwrap();
        assert_eq!(if all { pool.cancel_all() } else { pool.cancel(&tasks) }, 5);
        let mut panics = 0;
        while catch_unwind(AssertUnwindSafe(|| hand.poll())).is_err() {
            panics += 1;
            assert!(panics <= 5);
        }
        assert_eq!((drops.get(), pool.len()), (5, 0));
        assert!(tasks.iter().all(Task::is_finished));
        drop(pool.spawn_n(ready(())));
        assert!(hand.settle().is_pending());
        assert_eq!(pool.executed(), 1, "it remains usable");
    }
}

#[test]
fn whoever_awaits_a_task_is_woken_when_it_is_cancelled() {
    let outside = RefCell::new(None);
    let mut hand = Hand::new(local_scope(1, async |pool| {
        let first = pool.spawn_n(pending::<()>());
        let second = pool.spawn_n(pending::<()>());
        let third = pool.spawn_n(pending::<()>());
        *outside.borrow_mut() = Some((first, second, third));
        pending::<()>().await;
    }));
    assert!(hand.settle().is_pending());
    let (first, second, third) = outside.take().unwrap();
    let mut second = Hand::new(second);
    assert!(second.poll().is_pending());
    let mut both = iterwait([first, third]);
    assert!(both.next().now_or_never().is_none());
    assert!(second.future.cancel());
    assert_eq!(second.wakes.count(), 1);
    assert!(matches!(second.poll(), Poll::Ready(Err(TaskError::Cancelled))));
}

#[test]
fn cancel_all_in_a_destructor_reaches_what_was_spawned_there() {
    for how in ["one", "all"] {
        let ran = Cell::new(false);
        let finished = Cell::new(false);
        run(local_scope(1, async |pool| {
            let (inner, ran, finished) = (pool.clone(), &ran, &finished);
            let guard = OnDrop(move || {
                let late = inner.spawn_n(async move {
                    yield_now().await;
                    ran.set(true);
                });
                inner.cancel_all();
                finished.set(late.is_finished());
            });
            let task = pool.spawn_n(async move { drop((pending::<()>().await, guard)) });
            while pool.active() == 0 {
                yield_now().await;
            }
            if how == "one" {
                task.cancel();
            } else {
                pool.cancel_all();
            }
            for _ in 0..10 {
                yield_now().await;
            }
        }));
        assert!(finished.get() && !ran.get(), "{how}");
    }
}

#[test]
fn settings_made_in_a_task_hold_at_once() {
    let started = Cell::new(0);
    run(local_scope(1, async |pool| {
        let inner = pool.clone();
        drop(pool.spawn_n(async move { inner.pause() }));
        drop(pool.spawn_n(async { started.set(1) }));
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(started.get(), 0);
        pool.resume();
    }));
    assert_eq!(started.get(), 1);
    started.set(0);
    let mut hand = Hand::new(local_scope(4, async |pool| {
        let inner = pool.clone();
        let _first = pool.spawn_n(async move {
            inner.set_size(1);
            pending::<()>().await;
        });
        let _others = pool.map_n(0..3, |_| async { started.set(started.get() + 1) });
        pending::<()>().await;
    }));
    assert!(hand.settle().is_pending());
    assert_eq!(started.get(), 0);
}

#[test]
fn a_lent_slot_is_taken_back_first_among_many_that_wake_themselves() {
    for spinners in [0, 5, 14, 19, 40] {
        let order = RefCell::new(Vec::new());
        let stop = Cell::new(false);
        run(local_scope(spinners + 1, async |pool| {
            let (order, stop) = (&order, &stop);
            drop(pool.map_n(0..spinners, |_| async {
                while !stop.get() {
                    yield_now().await;
                }
            }));
            let inner = pool.clone();
            drop(pool.spawn_n(async move {
                let child = inner.spawn_n(async {
                    yield_now().await;
                    yield_now().await;
                });
                drop(inner.spawn_n(async move {
                    order.borrow_mut().push("waiting");
                    while !stop.get() {
                        yield_now().await;
                    }
                }));
                child.await.unwrap();
                order.borrow_mut().push("parent");
                stop.set(true);
            }));
        }));
        assert_eq!(order.borrow()[0], "parent", "{spinners} others");
    }
}

#[test]
fn maps_take_turns() {
    let log = RefCell::new(String::new());
    run(local_scope(1, async |pool| {
        let map = |name| {
            let log = &log;
            pool.map(0..4, move |_| async move {
                yield_now().await;
                log.borrow_mut().push(name);
            })
        };
        join(map('a'), map('b')).await;
    }));
    // Each goes to the end of the line for its next item.
    assert_eq!(*log.borrow(), "abababab");
    log.borrow_mut().clear();
    run(local_scope(1, async |pool| {
        let tasks = ['a', 'b', 'c'].map(|name| {
            let (inner, log) = (pool.clone(), &log);
            pool.spawn_n(async move {
                let map = inner.map(0..3, |_| async move {
                    yield_now().await;
                    log.borrow_mut().push(name);
                });
                assert_eq!(map.await.len(), 3);
            })
        });
        join_all(tasks).await;
    }));
    let log = log.into_inner();
    assert_eq!((log.len(), &log[..3]), (9, "abc"), "{log}");
}

#[test]
fn room_that_was_offered_and_is_not_wanted_is_passed_on() {
    for give_up in [false, true] {
        let (gate, opened) = oneshot::channel::<()>();
        let (send, receive) = oneshot::channel::<()>();
        let handle = RefCell::new(None);
        let mut hand = Hand::new(local_scope(1, async |pool: LocalScope<'_>| {
            *handle.borrow_mut() = Some(pool.clone());
            opened.await.unwrap();
            pool.map(0..3, async |x| x).await.len()
        }));
        assert!(hand.settle().is_pending());
        let pool = handle.borrow().clone().unwrap();
        let mut receive = Some(receive);
        let mut outside = Hand::new(pool.map(0..1, |_| receive.take().unwrap()));
        assert!(outside.settle().is_pending());
        assert!(hand.settle().is_pending());
        gate.send(()).unwrap();
        assert!(hand.settle().is_pending(), "the body is in line behind the one outside");
        send.send(()).unwrap();
        let before = hand.wakes.count();
        let mut end = hand.settle();
        if end.is_pending() {
            let before = hand.wakes.count();
            if give_up {
                drop(outside);
            } else {
                assert!(outside.settle().is_ready());
            }
            assert!(hand.wakes.count() > before, "the scope is woken for the next in line");
            end = hand.settle();
        }
        assert!(hand.wakes.count() >= before);
        assert_eq!(end, Poll::Ready(3));
        handle.take();
    }
}

#[test]
fn a_map_on_a_scope_that_ended_while_paused_ends() {
    let pool = run(local_scope(1, async |pool| {
        pool.pause();
        pool
    }));
    assert!(run(pool.map(0..200, async |x| x)).iter().all(is_cancelled));
}

#[test]
fn a_map_that_has_an_item_in_hand_when_its_scope_ends_ends() {
    for abandon in [false, true] {
        let (handle, leave) = (Rc::new(RefCell::new(None)), Rc::new(RefCell::new(None)));
        let (handing, leaving) = (Rc::clone(&handle), Rc::clone(&leave));
        let mut scope = Hand::new(local_scope(1, async move |pool: LocalScope<'static>| {
            handing.replace(Some(pool));
            let (sender, receiver) = oneshot::channel::<()>();
            leaving.replace(Some(sender));
            let _ = receiver.await;
        }));
        assert!(scope.poll().is_pending());
        let pool = handle.take().unwrap();
        let (drops, make) = counter();
        let items: Vec<_> = (0..4).map(|_| make()).collect();
        let mut slow = Hand::new(pool.map(items, async |item| drop(item)));
        // One has room, and one is in hand.
        assert!(slow.poll().is_pending());
        assert!(slow.poll().is_pending());
        assert_eq!((pool.len(), pool.waiting()), (1, 1), "what is in hand is not in the scope");
        if abandon {
            drop(scope);
        } else {
            assert!(scope.settle().is_pending());
            assert_eq!(drops.get(), 2);
            drop(leave.take());
            assert!(scope.settle().is_ready());
        }
        let Poll::Ready(results) = slow.settle() else { panic!("it waits for a scope that has ended") };
        let expected = if abandon { [false; 4] } else { [true, true, false, false] };
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
        assert_eq!(drops.get(), 4);
    }
}

#[test]
fn keys_on_a_scope_that_has_ended_differ() {
    let pool = run(local_scope(1, async |pool| {
        drop(pool.spawn_n(async {}));
        pool
    }));
    assert!(pool.spawn_n(async {}).key() < pool.spawn_n(async {}).key());
}

#[test]
fn any_number_of_joins() {
    run(local_scope(1, async |pool| {
        drop(pool.spawn_n(async {
            for _ in 0..5 {
                yield_now().await;
            }
        }));
        join_all((0..1000).map(|_| pool.join())).await;
        let inner = pool.clone();
        pool.exec(async move { join_all((0..1000).map(|_| inner.join())).await }).await.unwrap();
        assert!(pool.is_empty());
    }));
}

// Nothing is locked while code of the user's runs.

/// Does everything that there is to do with a handle.
fn everything(pool: &LocalScope<'_>) {
    let _ = (pool.len(), pool.waiting(), pool.active(), pool.executed(), pool.size(), pool.is_full());
    pool.set_size(2);
    pool.pause();
    pool.resume();
    drop(pool.spawn_n(async {}));
    let _ = pool.try_spawn(async {});
    let task = pool.spawn_n(pending::<()>());
    let had_ended = task.is_finished();
    assert_eq!(pool.cancel([&task]), usize::from(!had_ended));
    let _ = pool.join().now_or_never();
    let _ = pool.exec(async {}).now_or_never();
    let _ = pool.spawn(async {}).now_or_never();
    let _ = pool.map(0..3, async |x| x).now_or_never();
    let _ = pool.itermap(0..3, async |x| x).next().now_or_never();
}

#[test]
fn user_code_may_call_back_from_anywhere() {
    struct CallsBack(RefCell<Option<LocalScope<'static>>>, Cell<usize>);

    impl CallsBack {
        fn call(&self) {
            let pool = self.0.borrow().clone();
            if let Some(pool) = pool {
                self.1.set(self.1.get() + 1);
                everything(&pool);
            }
        }
    }

    thread_local! {
        static CALLS: Rc<CallsBack> = Rc::new(CallsBack(RefCell::default(), Cell::default()));
    }

    struct LoudWaker;

    impl Wake for LoudWaker {
        fn wake(self: Arc<Self>) {
            CALLS.with(Rc::clone).call();
        }
    }

    impl Drop for LoudWaker {
        fn drop(&mut self) {
            CALLS.with(Rc::clone).call();
        }
    }

    let calls = CALLS.with(Rc::clone);
    let mut scope = Box::pin(local_scope(2, async |pool: LocalScope<'static>| {
        *CALLS.with(Rc::clone).0.borrow_mut() = Some(pool.clone());
        let tasks = pool.map_n(0..4, |x| {
            let on_drop = OnDrop(|| CALLS.with(Rc::clone).call());
            CALLS.with(Rc::clone).call();
            async move {
                CALLS.with(Rc::clone).call();
                yield_now().await;
                if x == 3 {
                    pending::<()>().await;
                }
                drop(on_drop);
                OnDrop(|| CALLS.with(Rc::clone).call())
            }
        });
        // Woken by tasks that end, with a waker that calls back.
        for (x, task) in tasks.into_iter().enumerate() {
            let mut task = Box::pin(task);
            let waker = Waker::from(Arc::new(LoudWaker));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                let waker = Waker::from(Arc::new(LoudWaker));
                let _ = task.as_mut().poll(&mut Context::from_waker(&waker));
            }
            if x < 3 {
                while !task.is_finished() {
                    yield_now().await;
                }
                drop(task);
            } else {
                assert!(task.cancel());
                assert!(is_cancelled(&task.await));
            }
        }
        let waker = Waker::from(Arc::new(LoudWaker));
        let mut join = Box::pin(pool.join());
        let mut map = Box::pin(pool.map(0..3, |x| {
            CALLS.with(Rc::clone).call();
            ready(x)
        }));
        let _ = join.as_mut().poll(&mut Context::from_waker(&waker));
        let _ = map.as_mut().poll(&mut Context::from_waker(&waker));
        yield_now().await;
        let waker = Waker::from(Arc::new(LoudWaker));
        let _ = join.as_mut().poll(&mut Context::from_waker(&waker));
        let _ = map.as_mut().poll(&mut Context::from_waker(&waker));
        drop((join, map, waker));
        let before = CALLS.with(|calls| calls.1.get());
        CALLS.with(|calls| calls.0.borrow_mut().take());
        before
    }));
    let waker = Waker::from(Arc::new(LoudWaker));
    let mut polls = 0;
    let called = loop {
        polls += 1;
        assert!(polls < 10_000);
        if let Poll::Ready(called) = scope.as_mut().poll(&mut Context::from_waker(&waker)) {
            break called;
        }
    };
    assert!(called > 20, "{called} calls");
    assert_eq!(calls.1.get(), called);
}

#[test]
fn destructors_may_spawn_on_a_scope_that_is_dropped() {
    let late = RefCell::new(Vec::new());
    {
        let mut hand = Hand::new(local_scope(1, async |pool| {
            let late = &late;
            let tasks = pool.map_n(0..3, |_| {
                let pool = pool.clone();
                let on_drop = OnDrop(move || late.borrow_mut().push(pool.spawn_n(async { 1 })));
                async move { drop((pending::<()>().await, on_drop)) }
            });
            pending::<()>().await;
            drop(tasks);
        }));
        assert!(hand.settle().is_pending());
    }
    let late = late.take();
    assert_eq!(late.len(), 3);
    assert!(late.into_iter().map(run).all(|result| is_cancelled(&result)));
}

// iterwait.

#[test]
fn iterwait_yields_in_the_order_of_finishing_also_what_finished_before() {
    run(local_scope(10, async |pool| {
        let tasks = pool.map_n([5, 1, 4, 2, 3, 30, 10, 20], |x| async move {
            for _ in 0..x {
                yield_now().await;
            }
            x
        });
        while pool.executed() < 5 {
            yield_now().await;
        }
        let stream = iterwait(tasks);
        assert_eq!(stream.size_hint(), (8, Some(8)));
        assert!(!stream.is_terminated());
        let results: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(results, [1, 2, 3, 4, 5, 10, 20, 30]);
        let mut nothing = iterwait(Vec::<Task<u8>>::new());
        assert!(nothing.is_terminated() && nothing.next().await.is_none());
    }));
}

#[test]
fn iterwait_yields_cancelled_tasks_in_their_turn() {
    run(local_scope(1, async |pool| {
        let tasks = pool.map_n(0..4, async |x| x);
        let keys: Vec<_> = tasks.iter().map(Task::key).collect();
        assert!(tasks[3].cancel());
        assert!(tasks[2].cancel());
        pool.join().await;
        let ended: Vec<_> = iterwait(tasks).keyed().map(|(key, _)| key).collect().await;
        assert_eq!(ended, [keys[3], keys[2], keys[0], keys[1]]);
    }));
}

#[test]
fn iterwait_over_tasks_of_two_scopes_and_of_tasks_whose_results_are_gone() {
    run(local_scope(1, async |one| {
        local_scope(1, async |two| {
            let mut taken = one.spawn_n(async { 0 });
            (&mut taken).await.unwrap();
            let tasks = [taken, one.spawn_n(async { 1 }), two.spawn_n(async { 2 }), one.spawn_n(async { 3 })];
            let results: BTreeSet<_> = iterwait(tasks).map(Result::unwrap).collect().await;
            assert_eq!(results, BTreeSet::from([1, 2, 3]));
        })
        .await;
    }));
}

#[test]
fn iterwait_in_batches_and_with_keys() {
    run(local_scope(2, async |pool| {
        let make = |x: i32| async move { if x == 3 { Err(x) } else { Ok(x) } };
        let failed = |result: &Result<Result<i32, i32>, TaskError>| !matches!(result, Ok(Ok(_)));
        let (send, receive) = oneshot::channel::<()>();
        let mut tasks = pool.map_n(0..7, make);
        tasks.push(pool.spawn_n(async { Ok(receive.await.map_or(0, |()| 1)) }.map(|result: Result<i32, i32>| result)));
        let mut batches = iterwait(tasks).batches(failed);
        let first = batches.next().await.unwrap();
        assert!(first.iter().any(failed) && first.len() >= 4);
        let mut next = batches.next();
        assert!((&mut next).now_or_never().is_none());
        send.send(()).unwrap();
        let rest = next.await.unwrap();
        assert!(!rest.iter().any(failed));
        assert_eq!(first.len() + rest.len(), 8);
        assert!(batches.next().await.is_none());

        let all: Vec<_> = pool.itermap(0..8, make).batches(yield_when::all_completed).collect().await;
        assert_eq!(all.len(), 1);
        let none: Vec<_> = pool.itermap(0..0, make).batches(yield_when::all_completed).collect().await;
        assert!(none.is_empty(), "an empty batch is never yielded");

        let tasks = pool.map_n(0..8, make);
        let keys: Vec<_> = tasks.iter().map(Task::key).collect();
        let pairs: Vec<_> = iterwait(tasks).keyed().collect().await;
        let mut seen: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
        seen.sort_unstable();
        assert_eq!(seen, keys);
    }));
}

#[test]
fn an_iterwait_that_is_dropped_detaches() {
    let done = Cell::new(0);
    run(local_scope(1, async |pool| {
        let tasks = pool.map_n(0..3, |_| async { done.set(done.get() + 1) });
        let mut stream = iterwait(tasks);
        stream.next().await.unwrap().unwrap();
        drop(stream);
    }));
    assert_eq!(done.get(), 3);
}

// Callbacks.

#[test]
fn a_callback_gets_output_and_context_and_gives_the_output() {
    async fn note(result: Result<u8, String>, log: &RefCell<Vec<String>>) -> String {
        log.borrow_mut().push(format!("{result:?}"));
        yield_now().await;
        result.map_or_else(|error| error, |value| value.to_string())
    }
    let log = RefCell::new(Vec::new());
    let work = |x: u8| async move { if x == 2 { Err(String::from("two")) } else { Ok(x) } };
    let out = run(local_scope(1, async |pool| {
        let mut out = Vec::new();
        for result in pool.map(1..=3, |x| work(x).callback(note, &log)).await {
            out.push(result.unwrap());
        }
        out
    }));
    assert_eq!(out, ["1", "two", "3"]);
    assert_eq!(*log.borrow(), ["Ok(1)", "Err(\"two\")", "Ok(3)"]);
    let chain: Vec<_> = run(async { (1..=3).pool_map(2, |x| work(x).callback(note, &log)).await });
    assert_eq!(chain, ["1", "two", "3"]);
}

#[test]
fn the_future_is_dropped_before_its_callback_is_called() {
    let (drops, make) = counter();
    let counted = make();
    let future = async move {
        ready(()).await;
        drop(counted);
    };
    run(future.callback(
        |(), drops: Rc<Cell<usize>>| {
            let _: () = assert_eq!(drops.get(), 1);
            ready(())
        },
        drops,
    ));
}

#[test]
fn a_callback_keeps_the_slot() {
    let meter = Meter::default();
    run(local_scope(2, async |pool| {
        drop(pool.map_n(0..10, |_| {
            let work = async {
                meter.enter();
                yield_now().await;
            };
            work.callback(
                async |(), meter: &Meter| {
                    yield_now().await;
                    meter.leave();
                },
                &meter,
            )
        }));
    }));
    assert_eq!(meter.most(), 2);
}

// Everything at once.

/// What a task does, step by step.
#[derive(Clone, Debug)]
enum Step {
    Yield,
    Exec(Vec<Step>),
    Detach(Vec<Step>),
    /// Spawns the children, awaits them in this order.
    Fork(Vec<Vec<Step>>, bool),
    Map(Vec<Vec<Step>>),
    IterMap(Vec<Vec<Step>>, usize),
    Spawn(Vec<Step>),
    CancelChild(Vec<Step>),
    CancelAll,
    CancelWaiting,
    SetSize(usize),
    /// Lends its slot while it yields so often.
    Lend(usize),
    /// Lends its slot while it waits for a task that yields so often.
    LendExec(usize),
    /// Awaits a child, but not for longer than so many yields; keeps its handle, or not.
    Within(Vec<Step>, usize, bool),
    Idle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        8 => Just(Step::Yield),
        1 => (0..5_usize).prop_map(Step::SetSize),
        1 => Just(Step::CancelAll),
        1 => Just(Step::CancelWaiting),
        2 => (0..3_usize).prop_map(Step::Lend),
        1 => (0..3_usize).prop_map(Step::LendExec),
        1 => Just(Step::Idle),
    ];
    let leaf = prop::collection::vec(leaf, 0..4);
    leaf.prop_recursive(4, 60, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..5);
        let step = prop_oneof![
            3 => Just(Step::Yield),
            2 => inner.clone().prop_map(Step::Exec),
            2 => inner.clone().prop_map(Step::Detach),
            3 => (many.clone(), any::<bool>()).prop_map(|(many, rev)| Step::Fork(many, rev)),
            2 => many.clone().prop_map(Step::Map),
            2 => (many, 0..4_usize).prop_map(|(many, take)| Step::IterMap(many, take)),
            1 => inner.clone().prop_map(Step::Spawn),
            2 => (inner.clone(), 0..4_usize, any::<bool>()).prop_map(|(steps, polls, keep)| Step::Within(steps, polls, keep)),
            1 => inner.prop_map(Step::CancelChild),
        ];
        prop::collection::vec(step, 0..5)
    })
}

/// What is running, by what the tasks themselves say.
#[derive(Default)]
struct World {
    running: Cell<usize>,
    made: Cell<usize>,
    dropped: Cell<usize>,
    /// Whether a task has changed the size or cancelled others.
    meddled: Cell<bool>,
    /// Whether tasks were cancelled, which may be dropped only by the next poll.
    cancelled: Cell<bool>,
}

struct Alive<'env>(&'env World, Cell<bool>);

impl Alive<'_> {
    fn set_running(&self, running: bool) {
        if self.1.replace(running) != running {
            self.0.running.set(if running { self.0.running.get() + 1 } else { self.0.running.get() - 1 });
        }
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.set_running(false);
        self.0.dropped.set(self.0.dropped.get() + 1);
    }
}

fn perform<'env>(pool: LocalScope<'env>, world: &'env World, steps: Vec<Step>) -> LocalBoxFuture<'env, ()> {
    world.made.set(world.made.get() + 1);
    let alive = Alive(world, Cell::new(false));
    async move {
        let check = || {
            alive.set_running(true);
            assert!(world.meddled.get() || world.running.get() <= pool.size(), "no more");
        };
        check();
        let child = |steps| perform(pool.clone(), world, steps);
        for step in steps {
            check();
            // While it awaits the scope, the task does not run.
            match step {
                Step::Yield => yield_now().await,
                Step::Exec(steps) => {
                    alive.set_running(false);
                    let _ = pool.exec(child(steps)).await;
                }
                Step::Detach(steps) => drop(pool.spawn_n(child(steps))),
                Step::Fork(many, backwards) => {
                    let mut tasks = pool.map_n(many, child);
                    if backwards {
                        tasks.reverse();
                    }
                    for task in tasks {
                        alive.set_running(false);
                        let _ = task.await;
                        check();
                    }
                }
                Step::Map(many) => {
                    alive.set_running(false);
                    pool.map(many, child).await;
                }
                Step::IterMap(many, take) => {
                    world.cancelled.set(world.cancelled.get() || take < many.len());
                    let mut results = pool.itermap(many, child);
                    for _ in 0..take {
                        alive.set_running(false);
                        let _ = results.next().await;
                        check();
                    }
                }
                Step::Spawn(steps) => drop(pool.spawn(child(steps)).await),
                Step::CancelChild(steps) => {
                    let task = pool.spawn_n(child(steps));
                    yield_now().await;
                    world.cancelled.set(true);
                    task.cancel();
                }
                Step::CancelAll => {
                    world.meddled.set(true);
                    world.cancelled.set(true);
                    pool.cancel_all();
                }
                Step::CancelWaiting => drop(pool.cancel_waiting()),
                Step::Lend(yields) => {
                    alive.set_running(false);
                    pool.lend(yield_often(yields)).await;
                }
                Step::LendExec(yields) => {
                    alive.set_running(false);
                    let _ = pool.lend(async { pool.exec(yield_often(yields)).await }).await;
                }
                Step::Within(steps, polls, keep) => {
                    alive.set_running(false);
                    let task = pool.spawn_n(child(steps));
                    if let Either::Right(((), task)) = select(task, pin!(yield_often(polls))).await {
                        // It continues without a slot, if there is none.
                        world.meddled.set(true);
                        if keep {
                            // From the next poll on, which does not poll the handle, the slot is not lent.
                            yield_now().await;
                            alive.set_running(true);
                            yield_now().await;
                            alive.set_running(false);
                            let _ = task.await;
                        }
                    }
                }
                Step::Idle => {
                    alive.set_running(false);
                    pool.idle().await;
                }
                Step::SetSize(size) => {
                    world.meddled.set(true);
                    pool.set_size(size);
                }
            }
            check();
        }
    }
    .boxed_local()
}

async fn yield_often(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

proptest! {
    #[test]
    fn any_program_ends_and_keeps_the_law(program in prop::collection::vec(steps(), 0..6), size in 1..5_usize) {
        let world = World::default();
        let handle = RefCell::new(None);
        let mut hand = Hand::new(local_scope(size, async |pool| {
            *handle.borrow_mut() = Some(pool.clone());
            let tasks = pool.map_n(program, |steps| perform(pool.clone(), &world, steps));
            for task in tasks {
                let _ = task.await;
            }
        }));
        loop {
            let wakes = hand.wakes.count();
            let poll = hand.poll();
            let woken = hand.wakes.count() > wakes;
            let pool = handle.borrow().clone().expect("the body has been polled");
            prop_assert!(world.meddled.get() || pool.active() <= size);
            let running = world.running.get();
            prop_assert!(world.cancelled.get() || running <= pool.active(), "{running} run: {pool:?}");
            if poll.is_ready() {
                break;
            }
            // At rest: no room, or nothing waits, or the scope will be polled immediately.
            prop_assert!(woken || pool.active() >= pool.size() || pool.waiting() == 0);
            prop_assert!(woken, "stuck: {pool:?}");
        }
        let pool = handle.borrow().clone().expect("the body has been polled");
        prop_assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
        drop(hand);
        prop_assert_eq!(world.made.get(), world.dropped.get());
        prop_assert_eq!(world.running.get(), 0);
    }
}

#[cfg(feature = "std")]
#[test]
fn the_payload_of_a_panic_can_be_taken_out_of_the_error() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    let ended = futures_pool::local_scope(1, async |pool| {
        let panicked = pool.exec(async { std::panic::panic_any(7_u8) }).await;
        let pending = pool.spawn_n(std::future::pending::<()>());
        pending.cancel();
        (panicked, pending.await)
    });
    let (panicked, cancelled) = futures::executor::block_on(ended);
    assert_eq!(panicked.unwrap_err().into_panic().downcast_ref(), Some(&7_u8));
    assert!(catch_unwind(AssertUnwindSafe(|| cancelled.unwrap_err().into_panic())).is_err());
}
