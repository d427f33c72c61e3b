//! `lend` and `idle`; who is next in a scope; and what it costs when many wait.

#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::{join, join_all, select};
use futures_pool::{LocalScope, Scope, iterwait, local_scope, scope, shared};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Duration, Instant, sleep, timeout};

use common::{Wakes, poll, run, yield_now};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Whether it ends, on a paused clock.
async fn ends(future: impl Future) -> bool {
    timeout(ms(3_600_000), future).await.is_ok()
}

/// Polls a future while it is woken.
fn settle<F: Future + Unpin>(future: &mut F, wakes: &Wakes, waker: &std::task::Waker) -> Poll<F::Output> {
    loop {
        let before = wakes.count();
        let poll = Pin::new(&mut *future).poll(&mut Context::from_waker(waker));
        if poll.is_ready() || wakes.count() == before {
            return poll;
        }
    }
}

// What tasks wait for other than by the scope.

#[tokio::test(start_paused = true)]
async fn tasks_wait_for_each_other_by_a_once_cell() {
    for size in 1..=8 {
        let cell = &OnceCell::new();
        let all = local_scope(size, async |pool| {
            let all = pool.clone();
            pool.map_n(0..8, move |_| {
                let all = all.clone();
                async move {
                    let init = async { cell.get_or_init(|| async { all.exec(async { 7 }).await.unwrap() }).await };
                    assert_eq!(*all.lend(init).await, 7);
                }
            });
        });
        assert!(ends(all).await, "size {size}");
    }
    // Without, it cannot end.
    let cell = &OnceCell::new();
    assert!(
        !ends(local_scope(4, async |pool| {
            let all = pool.clone();
            pool.map_n(0..8, move |_| {
                let all = all.clone();
                async move {
                    cell.get_or_init(|| async { all.exec(async { 7 }).await.unwrap() }).await;
                }
            });
        }))
        .await
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_wait_for_each_other_by_a_oneshot_and_by_a_mutex() {
    for size in 1..=8 {
        let counter = &Mutex::new(0);
        let all = local_scope(size, async |pool| {
            let mut before: Option<oneshot::Receiver<u32>> = None;
            // Each waits for the one that is spawned after it.
            for n in 0..20 {
                let (send, receive) = oneshot::channel();
                let (own, next) = (pool.clone(), before.replace(receive));
                pool.spawn_n(async move {
                    let mut guard = own.lend(counter.lock()).await;
                    yield_now().await;
                    *guard += 1;
                    drop(guard);
                    if let Some(next) = next {
                        assert_eq!(own.lend(next).await, Ok(n - 1));
                    }
                    send.send(n).ok();
                });
            }
        });
        assert!(ends(all).await, "size {size}");
        assert_eq!(*counter.lock().await, 20);
    }
    // A task waits for one that is behind it in the queue.
    for size in 1..=4 {
        assert!(
            ends(local_scope(size, async |pool| {
                let (sends, waits): (Vec<_>, Vec<_>) = (0..8).map(|_| oneshot::channel::<()>()).unzip();
                for wait in waits {
                    let own = pool.clone();
                    pool.spawn_n(async move { own.lend(wait).await.unwrap() });
                }
                for send in sends {
                    pool.spawn_n(async move { send.send(()).unwrap() });
                }
            }))
            .await
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_scopes_in_both_orders() {
    for size in 1..=3 {
        let both = local_scope(size, async |a| {
            let a = &a;
            local_scope(size, async |b| {
                let (a2, b2) = (a.clone(), b.clone());
                let all = (0..6).map(|n| {
                    let (a, b, a2, b2) = (a.clone(), b.clone(), a2.clone(), b2.clone());
                    async move {
                        if n % 2 == 0 {
                            let own = a.clone();
                            a.exec(async move {
                                sleep(ms(1)).await;
                                own.lend(b2.exec(async { sleep(ms(1)).await })).await.unwrap();
                            })
                            .await
                        } else {
                            let own = b.clone();
                            b.exec(async move {
                                sleep(ms(1)).await;
                                own.lend(a2.exec(async { sleep(ms(1)).await })).await.unwrap();
                            })
                            .await
                        }
                    }
                });
                assert!(join_all(all).await.iter().all(Result::is_ok));
            })
            .await;
        });
        assert!(ends(both).await, "size {size}");
    }
    // Without, each holds the slot that the other waits for.
    assert!(
        !ends(local_scope(1, async |a| {
            let a = &a;
            local_scope(1, async |b| {
                let (a2, b2) = (a.clone(), b.clone());
                let _ = join(
                    a.exec(async move {
                        sleep(ms(1)).await;
                        b2.exec(async {}).await
                    }),
                    b.exec(async move {
                        sleep(ms(1)).await;
                        a2.exec(async {}).await
                    }),
                )
                .await;
            })
            .await;
        }))
        .await
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_backs_off_holds_no_slot() {
    let took = async |lends: bool| {
        let start = Instant::now();
        local_scope(2, async |pool| {
            pool.map_n(0..10, |_| {
                let own = pool.clone();
                async move {
                    sleep(ms(10)).await;
                    if lends {
                        own.lend(sleep(ms(100))).await;
                    } else {
                        sleep(ms(100)).await;
                    }
                    sleep(ms(10)).await;
                }
            });
        })
        .await;
        start.elapsed()
    };
    assert_eq!(took(false).await, ms(600));
    assert_eq!(took(true).await, ms(160));
}

// The rules of `lend`.

#[test]
fn outside_of_a_task_it_just_runs_the_future() {
    assert_eq!(
        run(local_scope(1, async |pool| {
            let stuck = pool.spawn(pending::<()>()).await;
            let seven = pool.lend(async {
                yield_now().await;
                7
            });
            let seven = seven.await;
            stuck.cancel();
            seven
        })),
        7
    );
    let ended = run(local_scope(1, async |pool| pool));
    assert_eq!(run(ended.lend(ready(1))), 1);
}

/// A scope of size 1, its handle, and a task that runs as it is told.
fn lender<F: Future<Output = ()> + 'static>(
    task: impl FnOnce(LocalScope<'static>) -> F + 'static,
) -> (Pin<Box<impl Future<Output = ()>>>, LocalScope<'static>) {
    let handle = Rc::new(RefCell::new(None));
    let own = Rc::clone(&handle);
    let mut scope = Box::pin(local_scope(1, async move |pool: LocalScope<'static>| {
        own.replace(Some(pool.clone()));
        drop(pool.spawn_n(task(pool.clone())));
        pending::<()>().await;
    }));
    assert!(poll(&mut scope).is_pending());
    (scope, handle.take().unwrap())
}

#[test]
fn it_holds_the_output_back_until_there_is_a_slot_ahead_of_all_that_waits() {
    let (send, receive) = oneshot::channel::<u8>();
    let (free, blocked) = oneshot::channel::<()>();
    let log = Rc::new(RefCell::new(String::new()));
    let note = |name: char| {
        let log = Rc::clone(&log);
        async move { log.borrow_mut().push(name) }
    };
    let own_note = note('l');
    let (mut scope, pool) = lender(async move |own| {
        assert_eq!(own.lend(receive).await, Ok(7));
        own_note.await;
    });
    let (wakes, waker) = Wakes::new();
    pool.spawn_n(blocked);
    drop(pool.spawn_n(note('w')));
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!((pool.active(), pool.waiting(), pool.len()), (1, 1, 3));
    send.send(7).unwrap();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!((pool.active(), pool.len()), (1, 3), "its output is ready, and there is no slot");
    assert_eq!(*log.borrow(), "");
    free.send(()).unwrap();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!(*log.borrow(), "lw");
    assert!(pool.is_empty());
}

#[test]
fn an_output_that_is_held_back_is_dropped_with_the_task() {
    let output = Rc::new(());
    let (send, receive) = oneshot::channel::<Rc<()>>();
    let (mut scope, pool) = lender(async move |own| drop(own.lend(receive).await));
    let (wakes, waker) = Wakes::new();
    pool.spawn_n(pending::<()>());
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    send.send(Rc::clone(&output)).unwrap();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!(Rc::strong_count(&output), 2);
    pool.cancel_all();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!(Rc::strong_count(&output), 1);
}

#[test]
fn nested_it_counts_once_and_operations_in_it_need_no_slot() {
    let (go, gone) = oneshot::channel::<()>();
    let stage = Rc::new(Cell::new(0));
    let seen = Rc::clone(&stage);
    let (mut scope, pool) = lender(async move |own| {
        own.lend(async {
            own.lend(yield_now()).await;
            seen.set(1);
            assert!(own.exec(ready(())).await.is_ok());
            // While another task has the only slot.
            drop(own.spawn_n(pending::<()>()));
            yield_now().await;
            let cancelled = own.spawn_n(ready(()));
            cancelled.cancel();
            assert!(cancelled.await.is_err());
            seen.set(2);
            gone.await.unwrap();
        })
        .await;
        seen.set(3);
    });
    let (wakes, waker) = Wakes::new();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!((stage.get(), pool.active(), pool.len()), (2, 1, 2));
    go.send(()).unwrap();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!(stage.get(), 2, "it wants its slot back");
    pool.set_size(2);
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!((stage.get(), pool.active(), pool.len()), (3, 1, 1));
}

#[test]
fn a_panic_or_a_cancellation_ends_it() {
    for panics in [false, true] {
        let (mut scope, pool) = lender(async move |own| {
            own.lend(async {
                yield_now().await;
                if panics {
                    std::panic::resume_unwind(Box::new("no"));
                }
                pending::<()>().await;
            })
            .await;
        });
        let (wakes, waker) = Wakes::new();
        assert!(settle(&mut scope, &wakes, &waker).is_pending());
        if !panics {
            assert_eq!((pool.active(), pool.len()), (0, 1));
            pool.cancel_all();
        }
        assert!(settle(&mut scope, &wakes, &waker).is_pending());
        let (active, len) = (pool.active(), pool.len());
        assert_eq!((active, len, pool.executed()), (0, 0, usize::from(panics)));
        pool.map_n(0..3, |_| pending::<()>());
        assert!(settle(&mut scope, &wakes, &waker).is_pending());
        assert_eq!((pool.active(), pool.waiting()), (1, 2), "no slot is lent, and none lost");
    }
}

#[test]
fn one_that_is_dropped_before_its_end_lends_no_more() {
    let (mut scope, pool) = lender(async move |own| {
        let mut late = pin!(yield_now());
        {
            let lend = pin!(own.lend(pending::<()>()));
            select(lend, late.as_mut()).await;
        }
        pending::<()>().await;
    });
    pool.spawn_n(pending::<()>());
    let (wakes, waker) = Wakes::new();
    assert!(settle(&mut scope, &wakes, &waker).is_pending());
    assert_eq!(pool.active() + pool.waiting(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_lend_on_an_executor_with_threads() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let shared_lock = Arc::new(Mutex::new(0));
    let (pool, driver) = shared(3);
    let driver = tokio::spawn(driver);
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (pool, now, most, lock) = (pool.clone(), now.clone(), most.clone(), Arc::clone(&shared_lock));
            tokio::spawn(async move {
                let own: Scope<'static> = pool.clone();
                pool.exec(async move {
                    let child = own.exec(async { tokio::task::yield_now().await }).await;
                    child.unwrap();
                    *own.lend(lock.lock()).await += 1;
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, SeqCst);
                    own.lend(tokio::time::sleep(ms(1))).await;
                })
                .await
                .unwrap();
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    drop(pool);
    driver.await.unwrap();
    assert_eq!(*shared_lock.lock().await, 100);
    assert!(most.load(SeqCst) <= 3, "{most:?}");
}

// `idle`.

#[tokio::test(start_paused = true)]
async fn idle_waits_for_what_runs_on_a_paused_scope() {
    let start = Instant::now();
    local_scope(2, async |pool| {
        pool.idle().await;
        let tasks = pool.map_n([10, 30, 10], async |n| sleep(ms(n)).await);
        sleep(ms(1)).await;
        pool.pause();
        pool.idle().await;
        assert_eq!((start.elapsed(), pool.active(), pool.waiting()), (ms(30), 0, 1));
        pool.idle().await;
        pool.resume();
        // What may start is started meanwhile.
        pool.idle().await;
        assert_eq!((start.elapsed(), pool.len()), (ms(40), 0));
        drop(tasks);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn idle_counts_who_lends_by_lend_and_who_claims_but_not_who_waits_for_the_scope() {
    let start = Instant::now();
    local_scope(2, async |pool| {
        let own = pool.clone();
        pool.spawn_n(async move { own.lend(sleep(ms(50))).await });
        sleep(ms(1)).await;
        assert_eq!(pool.active(), 0);
        pool.idle().await;
        assert_eq!((start.elapsed(), pool.len()), (ms(50), 0));
        // It waits for a task that cannot start.
        let own = pool.clone();
        pool.spawn_n(async move {
            own.lend(sleep(ms(10))).await;
            own.exec(async {}).await.unwrap();
        });
        sleep(ms(1)).await;
        pool.pause();
        pool.idle().await;
        assert_eq!((start.elapsed(), pool.len(), pool.waiting()), (ms(60), 2, 1));
        pool.resume();
    })
    .await;
}

#[test]
fn idle_inside_a_task_waits_for_the_others() {
    for size in 1..4 {
        let order = RefCell::new(String::new());
        run(local_scope(size, async |pool| {
            for _ in 0..2 {
                let (own, order) = (pool.clone(), &order);
                pool.spawn_n(async move {
                    own.idle().await;
                    order.borrow_mut().push('i');
                });
            }
            let (own, order) = (pool.clone(), &order);
            pool.spawn_n(async move {
                own.lend(own.idle()).await;
                order.borrow_mut().push('l');
            });
            pool.map_n(0..5, |_| async {
                yield_now().await;
                order.borrow_mut().push('w');
            });
        }));
        let order = order.into_inner();
        assert!(order.starts_with("wwwww") && order.len() == 8, "{order}");
    }
}

#[test]
fn idle_from_outside_is_woken_and_ends_with_the_scope() {
    let handle = RefCell::new(None);
    let mut future = Box::pin(local_scope(1, async |pool: LocalScope<'_>| {
        handle.replace(Some(pool));
        pending::<()>().await;
    }));
    assert!(poll(&mut future).is_pending());
    let pool = handle.take().unwrap();
    assert!(poll(&mut pool.idle()).is_ready());
    let task = pool.spawn_n(pending::<()>());
    let (wakes, waker) = Wakes::new();
    let mut idle = pool.idle();
    assert!(Pin::new(&mut idle).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(poll(&mut future).is_pending());
    assert_eq!(wakes.count(), 0);
    task.cancel();
    assert!(poll(&mut future).is_pending());
    assert_eq!(wakes.count(), 1);
    assert!(poll(&mut idle).is_ready());
    pool.spawn_n(pending::<()>());
    let mut idle = pool.idle();
    assert!(poll(&mut idle).is_pending());
    drop(future);
    assert!(poll(&mut idle).is_ready());
}

// Who is next.

#[tokio::test(start_paused = true)]
async fn a_map_needs_no_slot_to_learn_that_its_items_have_ended() {
    let stuck_scope = local_scope(1, async |pool| {
        pool.spawn(pending::<()>()).await;
        assert!(pool.map(Vec::<u32>::new(), ready).await.is_empty());
        // An iterator that cannot tell.
        assert!(pool.map((0..9).filter(|n| *n > 9), ready).await.is_empty());
        pool.pause();
        assert!(pool.map((0..9).filter(|n| *n > 9), ready).await.is_empty());
        pool.resume();
        pool.cancel_all();
        // Inside a task.
        let own = pool.clone();
        pool.exec(async move { own.map((0..9).filter(|n| *n > 9), ready).await.len() }).await.unwrap();
        // After its last item, when others fill the scope.
        let (send, receive) = oneshot::channel::<()>();
        let fill = pool.clone();
        let items = (0..2).filter(|_| true);
        let map = pool.map(items, |n| {
            let fill = fill.clone();
            async move {
                if n == 1 {
                    fill.map_n(0..3, |_| pending::<()>());
                }
                n
            }
        });
        assert_eq!(map.await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1]);
        drop((send, receive));
        pool.cancel_all();
    });
    assert!(ends(stuck_scope).await);
}

#[test]
fn a_map_and_loops_of_spawn_take_turns() {
    let (spawned, mapped, early) = (Cell::new(0), Cell::new(0), Cell::new(None));
    run(local_scope(4, async |pool| {
        let spawns = async || {
            for _ in 0..1000 {
                pool.spawn(async {
                    spawned.set(spawned.get() + 1);
                    yield_now().await;
                })
                .await;
            }
        };
        let map = pool.map(0..10, |_| {
            mapped.set(mapped.get() + 1);
            if mapped.get() == 10 {
                early.set(Some(spawned.get()));
            }
            yield_now()
        });
        futures::join!(spawns(), spawns(), spawns(), spawns(), map);
    }));
    assert!(early.get().unwrap() < 200, "{early:?}");
    // Nor does a map starve them.
    let (spawned, late) = (Cell::new(0), Cell::new(0));
    run(local_scope(2, async |pool| {
        let map = pool.map(0..1000, |n| {
            late.set(if spawned.get() < 20 { n } else { late.get() });
            yield_now()
        });
        let spawns = async {
            for _ in 0..20 {
                pool.spawn(yield_now()).await;
                spawned.set(spawned.get() + 1);
            }
        };
        join(map, spawns).await;
    }));
    assert!(late.get() < 100, "{late:?}");
}

#[test]
fn a_pending_join_wakes_nobody() {
    let handle = RefCell::new(None);
    let scope = local_scope(1, async |pool: LocalScope<'_>| {
        handle.replace(Some(pool.clone()));
        pool.spawn_n(pending::<()>());
        pending::<()>().await;
    });
    let mut scope = Box::pin(scope);
    assert!(poll(&mut scope).is_pending());
    let pool = handle.take().unwrap();
    let mut both = Box::pin(join(scope, join(pool.join(), pool.idle())));
    let (wakes, waker) = Wakes::new();
    for _ in 0..10 {
        assert!(settle(&mut both, &wakes, &waker).is_pending());
    }
    let before = wakes.count();
    for _ in 0..10 {
        assert!(poll_with(&mut both, &waker).is_pending());
    }
    assert_eq!(wakes.count(), before, "a wait that is polled again has nothing to tell");
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &std::task::Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

// What it costs: counted by polls and wakes, not timed.

#[test]
fn many_joins_outside_cost_nothing_while_a_task_joins_often() {
    const MANY: usize = 2000;
    let wakes: Vec<_> = (0..MANY).map(|_| Wakes::new()).collect();
    let scope = local_scope(2, async |pool| {
        let own = pool.clone();
        let task = pool.spawn_n(async move {
            for _ in 0..MANY {
                own.join().await;
            }
        });
        let mut joins: Vec<_> = wakes.iter().map(|_| pool.join()).collect();
        for (join, (_, waker)) in joins.iter_mut().zip(&wakes) {
            assert!(poll_with(join, waker).is_pending());
        }
        task.await.unwrap();
    });
    run(scope);
    assert!(wakes.iter().all(|(wakes, _)| wakes.count() <= 1), "each is woken once, at the end");
}

#[test]
fn tasks_of_many_scopes_are_awaited_together() {
    const MANY: usize = 300;
    let mut scopes = Vec::new();
    let tasks = RefCell::new(Vec::new());
    for n in 0..MANY {
        scopes.push(local_scope(1, |pool: LocalScope<'_>| {
            tasks.borrow_mut().push(pool.spawn_n(async move { n }));
            tasks.borrow_mut().push(pool.spawn_n(async move { n }));
            ready(())
        }));
    }
    let results = iterwait(tasks.take());
    let all = run(join(join_all(scopes), futures::StreamExt::collect::<Vec<_>>(results))).1;
    let mut all: Vec<usize> = all.into_iter().map(Result::unwrap).collect();
    all.sort_unstable();
    assert!(all.iter().enumerate().all(|(place, n)| place / 2 == *n));
}

#[test]
fn the_send_scope_lends_as_well() {
    let sum = run(scope(1, async |pool| {
        let own = pool.clone();
        let task = pool.spawn_n(async move {
            let (send, receive) = oneshot::channel();
            own.spawn_n(async move { send.send(5).unwrap() });
            own.lend(receive).await.unwrap()
        });
        task.await.unwrap()
    }));
    assert_eq!(sum, 5);
}
