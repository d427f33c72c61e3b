//! Random schedules of a scope that one thread polls while others use its handles.
//!
//! Each thread polls by hand, and parks while it has not been woken: if a wake-up is lost, shuttle finds that all threads are
//! parked, and fails.
//!
//! Each test is run with as many schedules as `SHUTTLE_ITERATIONS` says (by default 500 times its weight, which is 1 or
//! more), half of them random, half of them with few changes of thread, at random places (`PCT`). To run a schedule once more
//! that has failed: see `shuttle::replay`.

use std::boxed::Box;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::string::ToString;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};
use std::vec::Vec;
use std::{env, eprintln, vec};

use ::shuttle::rand::{Rng, thread_rng};
use ::shuttle::sync::Mutex;
use ::shuttle::sync::atomic::AtomicBool;
use ::shuttle::thread::{self, JoinHandle, Thread, spawn};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::StreamExt;

use crate::{Scope, Task, TaskError, iterwait, scope};

/// Runs so many random schedules of a test.
fn check(weight: usize, test: impl Fn() + Send + Sync + 'static) {
    let schedules = env::var("SHUTTLE_ITERATIONS").map_or(500, |number| number.parse().expect("a number"));
    let test = Arc::new(test);
    let [random, pct] = [(); 2].map(|()| Arc::clone(&test));
    ::shuttle::check_random(move || random(), schedules * weight / 2);
    ::shuttle::check_pct(move || pct(), schedules * weight / 2, 3);
    eprintln!("{}: {} schedules", std::thread::current().name().unwrap_or(""), schedules * weight);
}

/// Wakes a thread that polls.
struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// Polls a future to its end, with a waker of its own, while that is woken.
fn run<F: Future>(future: F) -> F::Output {
    let task = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&task));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !task.is_woken.swap(false, SeqCst) {
            thread::park();
        }
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until another thread, made for this alone, has come so far.
async fn event() {
    let state = Arc::new(Mutex::new((false, None::<Waker>)));
    let other = Arc::clone(&state);
    spawn(move || {
        let waker = {
            let mut state = other.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    poll_fn(|cx| {
        let mut state = state.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// A scope whose body waits until the threads that have its handles are done; and then joins, as every scope does.
fn with_threads(size: usize, threads: Vec<Box<dyn FnOnce(&Scope<'static>) + Send>>) -> usize {
    let (done, is_done) = oneshot::channel();
    let mut handle = None;
    let future = scope(size, |pool: Scope<'static>| {
        handle = Some(pool.clone());
        async move {
            is_done.await.expect("the threads end");
            pool.join().await;
            assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
            pool.executed()
        }
    });
    let handle = handle.expect("the body is called immediately");
    let threads = threads
        .into_iter()
        .map(|thread| {
            let handle = handle.clone();
            spawn(move || thread(&handle))
        })
        .collect();
    spawn(move || {
        join(threads);
        done.send(()).expect("the body waits for this");
    });
    let executed = run(future);
    assert_eq!((handle.len(), handle.active(), handle.waiting()), (0, 0, 0));
    assert!(matches!(run(handle.spawn_n(async {})), Err(TaskError::Cancelled)), "the scope has ended");
    executed
}

macro_rules! threads {
    ($($thread:expr),* $(,)?) => { vec![$(Box::new($thread) as Box<dyn FnOnce(&Scope<'static>) + Send>),*] };
}

/// The register-then-look of a handle: a thread waits for its task, which the scope ends meanwhile.
#[test]
fn threads_spawn_and_wait() {
    fn spawn_and_wait(pool: &Scope<'static>) {
        let first = pool.spawn_n(async { 1 });
        let second = pool.spawn_n(async {
            yield_now().await;
            2
        });
        let third = pool.spawn_n(async {
            event().await;
            3
        });
        assert_eq!((run(second).unwrap(), run(first).unwrap(), run(third).unwrap()), (2, 1, 3));
    }
    check(1, || {
        let executed = with_threads(2, threads![spawn_and_wait, spawn_and_wait]);
        assert_eq!(executed, 6);
    });
}

/// `spawn` and `exec` wait for a free slot, in line; nobody is forgotten, and the size is kept.
#[test]
fn threads_wait_for_room() {
    check(1, || {
        let active = Arc::new(Count::new(0));
        let thread = |times: usize| {
            let active = Arc::clone(&active);
            move |pool: &Scope<'static>| {
                let work = || {
                    let active = Arc::clone(&active);
                    async move {
                        assert_eq!(active.fetch_add(1, SeqCst), 0, "more than the size");
                        yield_now().await;
                        active.fetch_sub(1, SeqCst);
                    }
                };
                let tasks: Vec<_> = (0..times).map(|_| run(pool.spawn(work()))).collect();
                run(pool.exec(work())).unwrap();
                let results = run(pool.map(0..times, |_| work()));
                assert!(results.iter().all(Result::is_ok));
                for task in tasks {
                    run(task).unwrap();
                }
            }
        };
        assert_eq!(with_threads(1, threads![thread(1), thread(2)]), 3 + 5);
    });
}

/// A thread gets in line for room while the scope, for which nothing else is left to do, goes to rest.
#[test]
fn a_thread_waits_for_room_alone() {
    check(1, || {
        let executed = with_threads(
            1,
            threads![|pool: &Scope<'static>| {
                let task = pool.spawn_n(yield_now());
                assert_eq!(run(pool.map(0..2, |_| yield_now())).len(), 2);
                run(task).unwrap();
            }],
        );
        assert_eq!(executed, 3);
    });
}

/// One of those who wait for room gives up: what was offered to it goes to the next.
#[test]
fn a_thread_gives_up_waiting_for_room() {
    check(1, || {
        let executed = with_threads(
            1,
            threads![
                |pool: &Scope<'static>| {
                    run(pool.exec(event())).unwrap();
                },
                |pool: &Scope<'static>| {
                    // May be ready: the other threads may have come so far that its item ends within this call.
                    let mut map = pool.map(0..1, |_| event());
                    let _ = Pin::new(&mut map).poll(&mut Context::from_waker(Waker::noop()));
                },
                |pool: &Scope<'static>| assert!(run(pool.map(0..1, |_| event())).iter().all(Result::is_ok)),
            ],
        );
        assert!((2..=3).contains(&executed));
    });
}

/// Counts its drops.
struct Guard(Arc<Count>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Two threads cancel a task that may be waiting, active or finished: it is cancelled once, or finishes, and its future goes.
#[test]
fn a_task_is_cancelled_by_two_threads() {
    check(2, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Guard(Arc::clone(&dropped));
        let cancels = Arc::new(Count::new(0));
        let shared = Arc::new(Mutex::new(None::<Arc<Task<u8>>>));
        let (to, tasks) = oneshot::channel();
        let other = {
            let (shared, cancels) = (Arc::clone(&shared), Arc::clone(&cancels));
            move |pool: &Scope<'static>| {
                let task = shared.lock().unwrap().clone();
                let Some(task) = task else { return };
                cancels.fetch_add(usize::from(pool.cancel([&*task]) == 1), SeqCst);
                assert!(task.is_finished());
            }
        };
        let counted = Arc::clone(&cancels);
        let executed = with_threads(
            1,
            threads![
                move |pool: &Scope<'static>| {
                    let task = Arc::new(pool.spawn_n(async move {
                        let _guard = guard;
                        yield_now().await;
                        7
                    }));
                    *shared.lock().unwrap() = Some(Arc::clone(&task));
                    counted.fetch_add(usize::from(task.cancel()), SeqCst);
                    assert!(task.is_finished());
                    drop(shared);
                    assert!(to.send(task).is_ok());
                },
                other,
                |pool: &Scope<'static>| assert_eq!(run(pool.exec(async { 8 })).unwrap(), 8),
            ],
        );
        let cancels = cancels.load(SeqCst);
        let mut task = run(tasks).unwrap();
        let task = loop {
            match Arc::try_unwrap(task) {
                Ok(task) => break task,
                Err(shared) => task = shared,
            }
            thread::yield_now();
        };
        match run(task) {
            Ok(7) => assert_eq!((cancels, executed), (0, 2)),
            Err(TaskError::Cancelled) => assert_eq!((cancels, executed), (1, 1)),
            other => panic!("{other:?}"),
        }
        assert_eq!(dropped.load(SeqCst), 1, "the future is dropped before the scope ends");
    });
}

/// All tasks are cancelled while others are spawned: what comes after is not.
#[test]
fn all_tasks_are_cancelled_while_others_are_spawned() {
    check(4, || {
        let dropped = Arc::new(Count::new(0));
        let guarded = |dropped: &Arc<Count>| {
            let guard = Guard(Arc::clone(dropped));
            async move {
                let _guard = guard;
                event().await;
                5
            }
        };
        let [first, second] = [(); 2].map(|()| Arc::clone(&dropped));
        with_threads(
            2,
            threads![
                move |pool: &Scope<'static>| {
                    let before = pool.spawn_n(guarded(&first));
                    pool.cancel_all();
                    assert!(before.is_finished());
                    let after = pool.spawn_n(guarded(&first));
                    assert_eq!(run(after).unwrap(), 5, "it was spawned later");
                    assert!(before.is_finished(), "once, and for ever");
                    assert!(matches!(run(before), Ok(5) | Err(TaskError::Cancelled)));
                },
                move |pool: &Scope<'static>| {
                    let tasks = pool.map_n(0..2, |_| guarded(&second));
                    for task in tasks {
                        assert!(matches!(run(task), Ok(5) | Err(TaskError::Cancelled)));
                    }
                },
            ],
        );
        assert_eq!(dropped.load(SeqCst), 4);
    });
}

/// A join does not end early: what was spawned before it has ended, whatever others cancel meanwhile.
#[test]
fn a_join_alongside_cancellations_sees_the_end() {
    check(4, || {
        let cancels = |pool: &Scope<'static>| {
            for _ in 0..2 {
                pool.spawn_n(yield_now()).cancel();
            }
        };
        with_threads(
            2,
            threads![
                |pool: &Scope<'static>| {
                    for _ in 0..2 {
                        pool.cancel_all();
                        let task = pool.spawn_n(yield_now());
                        run(pool.join());
                        assert!(task.is_finished(), "the join has ended early");
                    }
                },
                cancels,
                move |pool: &Scope<'static>| {
                    cancels(pool);
                    pool.cancel_waiting();
                },
            ],
        );
    });
}

/// A join ends, and nothing is counted any more, whatever was cancelled by whom when the scope goes.
#[test]
fn a_join_ends_though_tasks_are_cancelled_and_the_scope_goes() {
    check(4, || {
        let mut handle = None;
        let polls = thread_rng().gen_range(0..6);
        let future = scope(1, |pool: Scope<'static>| {
            handle = Some(pool.clone());
            std::future::pending::<()>()
        });
        let handle = handle.expect("the body is called immediately");
        let on_thread = |thread: fn(&Scope<'static>)| {
            let pool = handle.clone();
            spawn(move || thread(&pool))
        };
        let threads = vec![
            on_thread(|pool| {
                for _ in 0..3 {
                    pool.spawn_n(yield_now()).cancel();
                }
            }),
            on_thread(|pool| _ = pool.cancel_all()),
            on_thread(|pool| {
                let own = pool.clone();
                pool.spawn_n(async move { own.join().await });
                run(pool.join());
            }),
        ];
        let mut future = Box::pin(future);
        for _ in 0..polls {
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            thread::yield_now();
        }
        drop(future);
        join(threads);
        assert_eq!((handle.len(), handle.active(), handle.waiting()), (0, 0, 0));
    });
}

/// While a task is there, no thread counts none, also while all tasks before it are cancelled.
#[test]
fn a_task_that_is_there_is_counted() {
    check(4, || {
        let alive = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&alive);
        with_threads(
            1,
            threads![
                move |pool: &Scope<'static>| {
                    pool.map_n(0..2, |_| yield_now());
                    pool.cancel_all();
                    let task = pool.spawn_n(std::future::pending::<()>());
                    alive.store(true, SeqCst);
                    thread::yield_now();
                    alive.store(false, SeqCst);
                    task.cancel();
                },
                move |pool: &Scope<'static>| {
                    for _ in 0..4 {
                        let before = seen.load(SeqCst);
                        let (len, apart) = (pool.len(), (pool.waiting(), pool.active()));
                        assert!(!before || len > 0 || !seen.load(SeqCst), "{len} {apart:?}");
                    }
                },
            ],
        );
    });
}

/// Each task is counted once, whoever cancels it, one by one, all those that wait, or all, while it may be ending.
#[test]
fn every_task_is_counted_once() {
    check(4, || {
        let cancelled = Arc::new(Count::new(0));
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&cancelled));
        let executed = with_threads(
            2,
            threads![
                move |pool: &Scope<'static>| {
                    let tasks = pool.map_n(0..3, |_| yield_now());
                    first.fetch_add(pool.cancel(&tasks), SeqCst);
                },
                move |pool: &Scope<'static>| {
                    let task = pool.spawn_n(async {});
                    second.fetch_add(pool.cancel_all(), SeqCst);
                    assert!(task.is_finished());
                },
                move |pool: &Scope<'static>| {
                    let task = pool.spawn_n(event());
                    third.fetch_add(pool.cancel_waiting(), SeqCst);
                    let _ = run(task);
                },
            ],
        );
        assert_eq!(executed + cancelled.load(SeqCst), 5);
    });
}

/// Tasks that lend, by a handle that another thread drops or cancels, and by `lend`; in a scope of size 1.
#[test]
fn tasks_lend_while_threads_cancel_and_drop() {
    check(4, || {
        let busy = Arc::new(Count::new(0));
        let thread = |drops: bool| {
            let busy = Arc::clone(&busy);
            move |pool: &Scope<'static>| {
                let (own, busy) = (pool.clone(), Arc::clone(&busy));
                let (to, handle) = oneshot::channel();
                let task = pool.spawn_n(async move {
                    let child = Arc::new(Mutex::new(Some(own.spawn_n(event()))));
                    let _ = to.send(Arc::clone(&child));
                    poll_fn(|cx| match &mut *child.lock().unwrap() {
                        Some(child) => Pin::new(child).poll(cx).map(drop),
                        None => Poll::Ready(()),
                    })
                    .await;
                    own.lend(event()).await;
                    assert_eq!(busy.fetch_add(1, SeqCst), 0, "more than the size have a slot");
                    yield_now().await;
                    busy.fetch_sub(1, SeqCst);
                });
                let child = run(handle).unwrap();
                let child = child.lock().unwrap();
                if drops {
                    // Its task would not be woken.
                    let _ = run(std::future::ready(child.as_ref().map(Task::cancel)));
                } else if let Some(child) = &*child {
                    child.cancel();
                }
                drop(child);
                run(task).unwrap();
            }
        };
        with_threads(1, threads![thread(false), thread(true)]);
    });
}

/// Whoever waits until nothing is active, is told.
#[test]
fn threads_wait_until_nothing_is_active() {
    check(2, || {
        with_threads(
            1,
            threads![
                |pool: &Scope<'static>| {
                    let own = pool.clone();
                    let task = pool.spawn_n(async move {
                        own.exec(event()).await.unwrap();
                        own.lend(event()).await;
                    });
                    run(pool.idle());
                    assert!(task.is_finished());
                },
                |pool: &Scope<'static>| {
                    pool.spawn_n(yield_now());
                    run(pool.idle());
                },
            ],
        );
    });
}

/// A join sees the end of all that was spawned before it, by tasks as well.
#[test]
fn threads_join() {
    check(1, || {
        let thread = |pool: &Scope<'static>| {
            let inner = pool.clone();
            let task = pool.spawn_n(async move {
                let more = [inner.spawn_n(event())];
                yield_now().await;
                inner.exec(async {}).await.unwrap();
                more
            });
            run(pool.join());
            assert!(task.is_finished());
            assert!(run(task).unwrap()[0].is_finished());
        };
        assert_eq!(with_threads(1, threads![thread, thread]), 6);
    });
}

/// Size and pause change while tasks come and go. Counts that another thread reads never show more than was allowed.
#[test]
fn settings_change_and_counts_are_read() {
    check(2, || {
        let executed = with_threads(
            1,
            threads![
                |pool: &Scope<'static>| {
                    pool.pause();
                    let task = pool.spawn_n(event());
                    pool.set_size(2);
                    pool.resume();
                    run(task).unwrap();
                    pool.set_size(0);
                    assert_eq!(pool.size(), 1);
                    run(pool.exec(yield_now())).unwrap();
                },
                |pool: &Scope<'static>| {
                    let tasks = pool.map_n(0..3, |_| yield_now());
                    assert!(pool.active() <= 3, "one of size 1 and two of size 2");
                    assert!(
                        pool.waiting() <= 4 && pool.len() <= 4 && pool.executed() <= 5,
                        "one of five after the other four"
                    );
                    drop(tasks);
                    pool.pause();
                    pool.resume();
                },
            ],
        );
        assert_eq!(executed, 5);
    });
}

/// Without changes of the size, another thread never sees more active than that, lent slots or not.
#[test]
fn no_more_than_the_size_are_seen_active() {
    check(2, || {
        let executed = with_threads(
            1,
            threads![
                |pool: &Scope<'static>| {
                    let inner = pool.clone();
                    let task = pool.spawn_n(async move { inner.exec(yield_now()).await.unwrap() });
                    pool.spawn_n(yield_now());
                    run(task).unwrap();
                },
                |pool: &Scope<'static>| {
                    for _ in 0..4 {
                        let (active, waiting) = (pool.active(), pool.waiting());
                        assert!(active <= 1, "{active} active");
                        assert!(waiting <= 3, "{waiting} waiting");
                        thread::yield_now();
                    }
                },
            ],
        );
        assert_eq!(executed, 3);
    });
}

/// Streams over handles, in threads: `iterwait` and `itermap`, one of them left before its end.
#[test]
fn threads_take_results_as_they_finish() {
    check(1, || {
        with_threads(
            2,
            threads![
                |pool: &Scope<'static>| {
                    let tasks = pool.map_n(0..3, async |x| {
                        event().await;
                        x
                    });
                    let mut results: Vec<_> = run(iterwait(tasks).map(Result::unwrap).collect());
                    results.sort_unstable();
                    assert_eq!(results, [0, 1, 2]);
                },
                |pool: &Scope<'static>| {
                    let mut stream = pool.itermap(0..3, async |x| {
                        yield_now().await;
                        x
                    });
                    assert!(run(stream.next()).expect("there are three").is_ok());
                },
            ],
        );
    });
}

/// A handle is polled on one thread, and then on another: the last one is woken.
#[test]
fn a_handle_goes_from_thread_to_thread() {
    check(1, || {
        with_threads(
            1,
            threads![|pool: &Scope<'static>| {
                let mut task = pool.spawn_n(async {
                    event().await;
                    6
                });
                let polled = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
                let other = match polled {
                    Poll::Ready(result) => return assert_eq!(result.unwrap(), 6),
                    Poll::Pending => spawn(move || assert_eq!(run(task).unwrap(), 6)),
                };
                other.join().unwrap();
            }],
        );
    });
}

/// The scope goes, or ends, while threads spawn and wait: each gets an answer, and nothing is kept.
#[test]
fn the_scope_goes_while_threads_wait() {
    check(2, || {
        let dropped = Arc::new(Count::new(0));
        let mut handle = None;
        let polls = thread_rng().gen_range(0..4);
        let ends = thread_rng().gen_range(0..2) == 0;
        let future = scope(1, |pool: Scope<'static>| {
            handle = Some(pool.clone());
            async move {
                if !ends {
                    std::future::pending::<()>().await;
                }
            }
        });
        let handle = handle.expect("the body is called immediately");
        let threads = [0, 1].map(|number| {
            let (pool, dropped) = (handle.clone(), Arc::clone(&dropped));
            spawn(move || {
                let guards = [(); 2].map(|()| Guard(Arc::clone(&dropped)));
                let [first, second] = guards.map(|guard| {
                    pool.spawn_n(async move {
                        let _guard = guard;
                        event().await;
                        number
                    })
                });
                let result = run(pool.exec(async move { number }));
                assert!(matches!(result, Err(TaskError::Cancelled)) || result.is_ok_and(|it| it == number));
                run(pool.join());
                for task in [second, first] {
                    assert!(task.is_finished());
                    let result = run(task);
                    assert!(matches!(result, Err(TaskError::Cancelled)) || result.is_ok_and(|it| it == number));
                }
            })
        });
        let mut future = Box::pin(future);
        for _ in 0..polls {
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
            thread::yield_now();
        }
        drop(future);
        join(threads.into());
        assert_eq!((handle.len(), handle.active(), handle.waiting()), (0, 0, 0));
        assert_eq!(dropped.load(SeqCst), 4, "every future is dropped");
    });
}

/// The scope ends while a thread spawns: before, or not before that task has run. It is not dropped until all is settled.
#[test]
fn the_scope_ends_while_a_thread_spawns() {
    check(1, || {
        let mut handle = None;
        let future = scope(1, |pool: Scope<'static>| {
            handle = Some(pool);
            async {}
        });
        let handle = handle.expect("the body is called immediately");
        let thread = spawn(move || {
            let result = run(handle.spawn_n(yield_now()));
            assert!(result.is_ok() || result.unwrap_err().is_cancelled());
        });
        let mut future = pin!(future);
        run(future.as_mut());
        thread.join().unwrap();
    });
}

/// The scope is polled by one thread after another, as an executor with several does.
#[test]
fn the_scope_goes_from_thread_to_thread() {
    check(1, || {
        let mut handle = None;
        let (done, is_done) = oneshot::channel::<()>();
        let future = scope(2, |pool: Scope<'static>| {
            handle = Some(pool.clone());
            async move {
                let own = pool.spawn_n(event());
                is_done.await.unwrap();
                own.await.unwrap();
                pool.executed()
            }
        });
        let handle = handle.expect("the body is called immediately");
        let user = spawn(move || {
            let tasks = handle.map_n(0..2, |_| event());
            run(handle.join());
            assert!(tasks.iter().all(Task::is_finished));
            done.send(()).unwrap();
        });
        let mut future: BoxFuture<'static, usize> = Box::pin(future);
        let first = spawn(move || match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(executed) => Ok(executed),
            Poll::Pending => Err(future),
        });
        assert_eq!(first.join().unwrap().unwrap_or_else(run), 3);
        user.join().unwrap();
    });
}

/// A panic of a task is its handle's, whichever thread has that.
#[test]
fn a_thread_learns_of_a_panic() {
    check(1, || {
        with_threads(
            1,
            threads![|pool: &Scope<'static>| {
                let task = pool.spawn_n(async {
                    event().await;
                    std::panic::resume_unwind(Box::new("no"));
                });
                let result: Result<(), _> = run(task);
                assert_eq!(result.unwrap_err().to_string(), "the task panicked: no");
            }],
        );
    });
}

/// Anything that threads may do, in any order.
#[test]
fn any_program() {
    check(8, || {
        let size = thread_rng().gen_range(1..3);
        let started = Arc::new(Count::new(0));
        let ended = Arc::new(Count::new(0));
        let threads = (0..thread_rng().gen_range(1..4)).map(|_| {
            let (started, ended) = (Arc::clone(&started), Arc::clone(&ended));
            Box::new(move |pool: &Scope<'static>| any_operations(pool, &started, &ended)) as Box<_>
        });
        with_threads(size, threads.collect());
        assert_eq!(started.load(SeqCst), ended.load(SeqCst), "what was started has gone");
    });
}

/// A task of a random kind, whose output tells which.
fn any_task(pool: &Scope<'static>, started: &Arc<Count>, ended: &Arc<Count>) -> (usize, BoxFuture<'static, usize>) {
    let kind = thread_rng().gen_range(0..9);
    started.fetch_add(1, SeqCst);
    let guard = Guard(Arc::clone(ended));
    let pool = pool.clone();
    let future = async move {
        let _guard = guard;
        match kind {
            0 => {}
            1 => yield_now().await,
            2 => event().await,
            3 => drop(pool.exec(yield_now()).await),
            4 => {
                let task = pool.spawn_n(event());
                yield_now().await;
                drop(task.await);
            }
            5 => {
                pool.spawn_n(async {});
                pool.join().await;
            }
            6 => pool.lend(event()).await,
            7 => {
                // Stops waiting in another way.
                let task = pool.spawn_n(event());
                let mut late = pin!(yield_now());
                futures::future::select(task, late.as_mut()).await;
                yield_now().await;
            }
            _ => {
                let _ = pool.map(0..2, |_| yield_now()).await;
            }
        }
        kind
    };
    (kind, Box::pin(future))
}

fn any_operations(pool: &Scope<'static>, started: &Arc<Count>, ended: &Arc<Count>) {
    let mut tasks = Vec::new();
    let any_task = || any_task(pool, started, ended);
    let check = |kind: usize, result: Result<usize, TaskError>| match result {
        Ok(output) => assert_eq!(output, kind),
        Err(error) => assert!(error.is_cancelled(), "{error:?}"),
    };
    for _ in 0..thread_rng().gen_range(1..5) {
        match thread_rng().gen_range(0..13) {
            0 | 1 => {
                let (kind, task) = any_task();
                tasks.push((kind, pool.spawn_n(task)));
            }
            2 => drop(pool.spawn_n(any_task().1)),
            3 => {
                let (kind, task) = any_task();
                tasks.push((kind, run(pool.spawn(task))));
            }
            4 => {
                let (kind, task) = any_task();
                check(kind, run(pool.exec(task)));
            }
            5 => {
                let (kind, task) = any_task();
                if let Ok(task) = pool.try_spawn(task) {
                    tasks.push((kind, task));
                }
            }
            6 => {
                if let Some((kind, task)) = tasks.pop() {
                    if task.cancel() {
                        assert!(run(task).unwrap_err().is_cancelled());
                    } else {
                        check(kind, run(task));
                    }
                }
            }
            7 => {
                if let Some((kind, task)) = tasks.pop() {
                    check(kind, run(task));
                }
            }
            8 => pool.set_size(thread_rng().gen_range(0..4)),
            9 => {
                pool.pause();
                pool.resume();
            }
            10 => run(pool.join()),
            11 => drop(pool.cancel_waiting()),
            _ => {
                if thread_rng().gen_range(0..3) == 0 {
                    pool.cancel_all();
                } else {
                    let results = run(pool.map(0..2, async |x| {
                        yield_now().await;
                        x
                    }));
                    assert_eq!(results.len(), 2);
                }
            }
        }
    }
    for (kind, task) in tasks {
        check(kind, run(task));
    }
}
