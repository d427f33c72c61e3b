//! What a task may do while it lends its slot: it is polled when it is woken, slot or not; it gets its slot back, or claims one,
//! when what it waits for has come about; and it is active from when it stops waiting in another way.

#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures::future::{join, join_all, select};
use futures::stream::FuturesUnordered;
use futures_pool::{LocalScope, Task, iterwait, local_scope};
use tokio::time::{Duration, Instant, sleep, timeout};

use common::{Wakes, run, yield_now};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Whether it ends, on a paused clock.
async fn ends(future: impl Future) -> bool {
    timeout(ms(3_600_000), future).await.is_ok()
}

/// Polls a future once, in the task around.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// A scope that is polled by hand, and its handle.
struct Bench {
    scope: Pin<Box<dyn Future<Output = ()>>>,
    pool: LocalScope<'static>,
    wakes: std::sync::Arc<Wakes>,
    waker: Waker,
}

impl Bench {
    fn new(size: usize) -> Self {
        let handle = Rc::new(RefCell::new(None));
        let own = Rc::clone(&handle);
        let scope = Box::pin(local_scope(size, async move |pool: LocalScope<'static>| {
            own.replace(Some(pool));
            pending::<()>().await;
        }));
        let (wakes, waker) = Wakes::new();
        let mut bench = Self { scope, pool: local_scope_that_has_ended(), wakes, waker };
        bench.rest();
        bench.pool = handle.take().expect("the body was polled");
        bench
    }

    /// Polls the scope until it rests; returns its counts: active, waiting, all.
    fn rest(&mut self) -> (usize, usize, usize) {
        for _ in 0..10_000 {
            let before = self.wakes.count();
            assert!(self.scope.as_mut().poll(&mut Context::from_waker(&self.waker)).is_pending());
            if self.wakes.count() == before {
                return (self.pool.active(), self.pool.waiting(), self.pool.len());
            }
        }
        panic!("it does not come to rest");
    }
}

fn local_scope_that_has_ended() -> LocalScope<'static> {
    run(local_scope(1, async |pool| pool))
}

/// A gate that opens once, and wakes whoever waits.
#[derive(Clone, Default)]
struct Gate(Rc<(Cell<bool>, RefCell<Vec<Waker>>)>);

impl Gate {
    fn open(&self) {
        self.0.0.set(true);
        self.0.1.take().into_iter().for_each(Waker::wake);
    }

    /// Wakes those who wait, for nothing.
    fn knock(&self) {
        self.0.1.take().into_iter().for_each(Waker::wake);
    }

    async fn pass(self) {
        poll_fn(|cx| {
            if self.0.0.get() {
                return Poll::Ready(());
            }
            self.0.1.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beside_a_handle_fires_in_a_full_scope() {
    for size in [1, 2, 4] {
        let fired = Cell::new(0);
        let all = local_scope(size, async |pool| {
            let tasks = pool.map_n(0..2 * size, |_| {
                let (own, fired) = (pool.clone(), &fired);
                async move {
                    let start = Instant::now();
                    let stuck = own.exec(pending::<()>());
                    assert!(timeout(ms(10), stuck).await.is_err());
                    assert_eq!(start.elapsed(), ms(10));
                    fired.set(fired.get() + 1);
                }
            });
            join_all(tasks).await;
            // Those that had started were detached, and hold their slots.
            pool.cancel_all();
        });
        assert!(ends(all).await, "size {size}");
        assert_eq!(fired.get(), 2 * size);
    }
}

#[tokio::test(start_paused = true)]
async fn a_select_beside_a_handle_goes_on_in_a_full_scope_and_may_cancel_it() {
    for size in [1, 4] {
        let all = local_scope(size, async |pool| {
            let tasks = pool.map_n(0..size, |_| {
                let own = pool.clone();
                async move {
                    let task = own.spawn_n(pending::<()>());
                    let mut task = pin!(task);
                    tokio::select! {
                        _ = &mut task => unreachable!("it never ends"),
                        () = sleep(ms(5)) => assert!(task.cancel()),
                    }
                    assert!(task.await.unwrap_err().is_cancelled());
                }
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(ends(all).await, "size {size}");
    }
}

#[test]
fn while_it_still_waits_a_task_that_is_woken_needs_no_slot() {
    let mut bench = Bench::new(1);
    let gate = Gate::default();
    let polls = Rc::new(Cell::new(0));
    let (own, count, other) = (bench.pool.clone(), Rc::clone(&polls), gate.clone());
    bench.pool.spawn_n(async move {
        let both = join(own.spawn_n(pending::<()>()), async {
            poll_fn(|_| {
                count.set(count.get() + 1);
                Poll::Ready(())
            })
            .await;
            other.pass().await;
            count.set(100);
        });
        both.await.0.unwrap();
    });
    assert_eq!(bench.rest(), (1, 0, 2));
    assert_eq!(polls.get(), 1);
    gate.open();
    assert_eq!(bench.rest(), (1, 0, 2), "it lends as before");
    assert_eq!(polls.get(), 100, "it was polled");
}

#[test]
fn what_has_come_about_takes_a_free_slot_or_claims_one() {
    let mut bench = Bench::new(1);
    let (gate, went_on) = (Gate::default(), Rc::new(Cell::new(false)));
    let child = Rc::new(RefCell::new(None::<Task<()>>));
    let (own, went, shared) = (bench.pool.clone(), Rc::clone(&went_on), Rc::clone(&child));
    let holder = gate.clone();
    bench.pool.spawn_n(async move {
        own.spawn_n(async move { holder.pass().await });
        shared.replace(Some(own.spawn_n(pending::<()>())));
        let waits = poll_fn(|cx| Pin::new(shared.borrow_mut().as_mut().unwrap()).poll(cx));
        assert!(waits.await.is_err());
        went.set(true);
    });
    assert_eq!(bench.rest(), (1, 1, 3));
    let child = child.borrow_mut();
    let task = child.as_ref().unwrap();
    assert!(task.cancel());
    drop(child);
    let starts = Rc::new(Cell::new(0));
    let started = Rc::clone(&starts);
    bench.pool.spawn_n(async move { started.set(1) });
    assert_eq!(bench.rest(), (1, 1, 3), "the handle is finished, and the task claims a slot");
    assert!(!went_on.get());
    gate.open();
    assert_eq!(bench.rest(), (0, 0, 0));
    assert!(went_on.get() && starts.get() == 1);
}

#[test]
fn a_claim_comes_before_whatever_waits_also_among_many_busy_tasks() {
    const SIZE: usize = 100;
    let log = Rc::new(RefCell::new(String::new()));
    let mut bench = Bench::new(SIZE);
    let gate = Gate::default();
    for _ in 0..SIZE - 1 {
        bench.pool.spawn_n(async {
            loop {
                yield_now().await;
            }
        });
    }
    let (own, door, parent) = (bench.pool.clone(), gate.clone(), Rc::clone(&log));
    bench.pool.spawn_n(async move {
        own.exec(door.pass()).await.unwrap();
        parent.borrow_mut().push('p');
    });
    let poll = |bench: &mut Bench| {
        assert!(bench.scope.as_mut().poll(&mut Context::from_waker(&bench.waker)).is_pending());
    };
    for _ in 0..20 {
        poll(&mut bench);
    }
    let starts = Rc::clone(&log);
    bench.pool.spawn_n(async move { starts.borrow_mut().push('w') });
    for _ in 0..20 {
        poll(&mut bench);
    }
    assert_eq!(bench.pool.waiting(), 1);
    gate.open();
    for _ in 0..20 {
        poll(&mut bench);
    }
    assert_eq!(*log.borrow(), "pw");
}

#[test]
fn a_handle_dropped_by_somebody_else_ends_the_wait() {
    let mut bench = Bench::new(1);
    let child = Rc::new(RefCell::new(None::<Task<()>>));
    let (own, shared) = (bench.pool.clone(), Rc::clone(&child));
    bench.pool.spawn_n(async move {
        shared.replace(Some(own.spawn_n(pending::<()>())));
        poll_fn(|cx| match shared.borrow_mut().as_mut() {
            Some(task) => Pin::new(task).poll(cx).map(drop),
            None => Poll::Pending,
        })
        .await;
    });
    assert_eq!(bench.rest(), (1, 0, 2));
    drop(child.take());
    assert_eq!(bench.pool.active(), 2, "at that moment");
    bench.pool.spawn_n(async {});
    assert_eq!(bench.rest(), (2, 1, 3), "nothing starts until fewer than the size are active");
}

#[test]
fn an_iterwait_takes_over_from_a_handle_that_was_polled() {
    // Under another waker, so that the wait would hold until the handle is polled there again.
    let mut bench = Bench::new(1);
    let gate = Gate::default();
    let (own, door) = (bench.pool.clone(), gate.clone());
    bench.pool.spawn_n(async move {
        let mut task = own.spawn_n(pending::<()>());
        let mut one: FuturesUnordered<_> = [&mut task].into_iter().collect();
        assert!(poll_once(&mut one.next()).await.is_pending());
        drop(one);
        let mut all = iterwait([task]);
        door.pass().await;
        all.next().await;
    });
    bench.pool.spawn_n(pending::<()>());
    assert_eq!(bench.rest(), (1, 2, 3), "nobody waits for the handle");
    gate.open();
    assert_eq!(bench.rest(), (1, 1, 3), "it lends");
}

#[test]
fn a_handle_that_is_kept_lends_no_more() {
    let mut bench = Bench::new(1);
    let (gate, door) = (Gate::default(), Gate::default());
    let (own, first, second) = (bench.pool.clone(), gate.clone(), door.clone());
    bench.pool.spawn_n(async move {
        let mut task = own.spawn_n(pending::<()>());
        // Polled with the task's own waker, for a while.
        let other = matches!(select(&mut task, pin!(first.pass())).await, futures::future::Either::Right(..));
        assert!(other, "the task has not ended");
        second.pass().await;
        task.await.unwrap();
    });
    bench.pool.spawn_n(pending::<()>());
    assert_eq!(bench.rest(), (1, 1, 3));
    gate.open();
    assert_eq!(bench.rest(), (2, 1, 3), "it works on something else");
    door.open();
    assert_eq!(bench.rest(), (1, 1, 3), "it waits again");
}

#[test]
fn a_handle_under_another_waker_lends_until_it_is_over_or_dropped() {
    let mut bench = Bench::new(1);
    let (gate, door) = (Gate::default(), Gate::default());
    let (own, first, second) = (bench.pool.clone(), gate.clone(), door.clone());
    bench.pool.spawn_n(async move {
        let mut all: FuturesUnordered<_> = own.map_n(0..2, |_| pending::<()>()).into_iter().collect();
        assert!(poll_once(&mut all.next()).await.is_pending());
        // It is not polled here, and would not be by a combinator that polls what was woken.
        first.pass().await;
        drop(all);
        second.pass().await;
    });
    assert_eq!(bench.rest(), (1, 1, 3));
    gate.knock();
    assert_eq!(bench.rest(), (1, 1, 3), "it lends as before");
    gate.open();
    assert_eq!(bench.rest(), (2, 1, 3), "it was dropped");
    door.open();
    bench.rest();
    assert_eq!(bench.pool.executed(), 1);
}

#[test]
fn a_handle_that_was_polled_once_lends_until_the_task_is_polled_without_it() {
    let mut bench = Bench::new(1);
    let gate = Gate::default();
    let (own, door) = (bench.pool.clone(), gate.clone());
    bench.pool.spawn_n(async move {
        let mut task = own.spawn_n(pending::<()>());
        assert!(poll_once(&mut task).await.is_pending());
        yield_now().await;
        door.pass().await;
        drop(task);
    });
    bench.pool.spawn_n(pending::<()>());
    assert_eq!(bench.pool.waiting(), 2);
    let (active, waiting, len) = bench.rest();
    assert_eq!(len, 3);
    assert!(active + waiting == 3, "nobody lends: {active} {waiting}");
}

#[test]
fn a_task_that_ends_while_it_lends_has_been_executed() {
    let mut bench = Bench::new(1);
    let gate = Gate::default();
    let (own, door) = (bench.pool.clone(), gate.clone());
    let task = bench.pool.spawn_n(async move {
        let stuck = own.spawn_n(pending::<()>());
        let _ = select(stuck, pin!(door.pass())).await;
    });
    assert_eq!(bench.rest(), (1, 0, 2));
    gate.open();
    assert_eq!(bench.rest(), (1, 0, 1));
    assert!(task.is_finished());
    assert_eq!(bench.pool.executed(), 1);
}

#[test]
fn fork_and_join_by_combinators_that_poll_what_was_woken_ends_at_any_size() {
    for size in 1..5 {
        let ended = Cell::new(0);
        run(local_scope(size, async |pool| {
            pool.map_n(0..3, |_| {
                let (own, ended) = (pool.clone(), &ended);
                async move {
                    let unordered: FuturesUnordered<_> = own.map_n(0..10, |_| yield_now()).into_iter().collect();
                    assert_eq!(unordered.count().await, 10);
                    assert_eq!(join_all(own.map_n(0..100, |_| yield_now())).await.len(), 100);
                    let handles = futures::stream::iter(own.map_n(0..10, |_| yield_now()));
                    assert_eq!(handles.buffer_unordered(3).count().await, 10);
                    ended.set(ended.get() + 1);
                }
            });
        }));
        assert_eq!(ended.get(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn handles_kept_by_many_tasks() {
    // The tasks stop waiting at the same moment, and are active from then on.
    let (now, most) = (&Cell::new(0), &Cell::new(0));
    let handle = &RefCell::new(None);
    let seen = &Cell::new((0, 0));
    local_scope(2, async |pool| {
        handle.replace(Some(pool.clone()));
        pool.map_n(0..8, |_| {
            let pool = pool.clone();
            async move {
                let mut slow = pool.spawn_n(sleep(ms(5000)));
                if timeout(ms(1), &mut slow).await.is_err() {
                    now.set(now.get() + 1);
                    most.set(now.get().max(most.get()));
                    sleep(ms(50)).await;
                    now.set(now.get() - 1);
                    let _ = slow.await;
                }
            }
        });
        sleep(ms(20)).await;
        seen.set((pool.active(), pool.waiting()));
        handle.take();
    })
    .await;
    // Two of what they wait for have slots, and the eight.
    assert_eq!((most.get(), seen.get()), (8, (10, 6)));
}
