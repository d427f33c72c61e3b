//! What of the scope needs the standard library: [`scope`] with tasks that are `Send`, threads, and panics.

mod common;

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{run, yield_now};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::StreamExt;
use futures_pool::{Scope, Task, TaskError, iterwait, local_scope, prelude::*, scope};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}

const _: () = {
    is_send::<Scope<'static>>();
    is_sync::<Scope<'static>>();
    is_send::<Task<std::cell::Cell<u8>>>();
    is_sync::<Task<u8>>();
    is_send::<TaskError>();
    is_sync::<TaskError>();
    is_send::<futures_pool::scope::IterWait<u8>>();
};

#[allow(dead_code, reason = "it only has to compile")]
fn a_scope_is_send() {
    fn is_send(_: impl Send) {}
    is_send(scope(1, |_| std::future::ready(0)));
}

fn panicked<T>(result: Result<T, TaskError>) -> futures_pool::Panic {
    match result {
        Err(TaskError::Panicked(panic)) => panic,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("no panic"),
    }
}

/// Counts its drops, on whichever thread.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

// Inside `tokio::spawn`, with borrowed data.

async fn length(text: &str) -> usize {
    tokio::task::yield_now().await;
    text.len()
}

#[tokio::test]
async fn runs_inside_tokio_spawn_with_borrowed_data_and_an_async_closure() {
    let total = tokio::spawn(async {
        let texts = vec![String::from("a"), String::from("bc"), String::from("def")];
        let words: Vec<&str> = texts.iter().map(String::as_str).collect();
        scope(2, async |pool| {
            let one = pool.spawn(length(&texts[0])).await;
            let two = pool.spawn_n(length(words[1]));
            let three = pool.exec(length(&texts[2])).await.unwrap();
            let mapped: usize = pool.map(&texts, |text| length(text)).await.into_iter().map(Result::unwrap).sum();
            let mut stream = pool.itermap(words.iter(), async |word| length(word).await);
            let mut streamed = 0;
            while let Some(result) = stream.next().await {
                streamed += result.unwrap();
            }
            let tasks = pool.map_n(&words, |word| length(word).callback(async |length, factor| length * factor, 10));
            let waited: usize = iterwait(tasks).map(Result::unwrap).fold(0, async |a, b| a + b).await;
            pool.join().await;
            one.await.unwrap() + two.await.unwrap() + three + mapped + streamed + waited
        })
        .await
    });
    assert_eq!(total.await.unwrap(), 1 + 2 + 3 + 6 + 6 + 60);
}

#[tokio::test]
async fn runs_inside_tokio_spawn_with_a_plain_closure() {
    let total = tokio::spawn(async {
        let text = String::from("plain");
        let text = &text;
        scope(2, |pool: Scope<'_>| async move {
            let inner = pool.clone();
            let task = pool.spawn_n(async move { inner.exec(length(text)).await.unwrap() });
            task.await.unwrap()
        })
        .await
    });
    assert_eq!(total.await.unwrap(), 5);
}

#[tokio::test]
async fn recursion_by_a_function_that_returns_a_boxed_future() {
    fn count<'env>(pool: Scope<'env>, depth: u32, nodes: &'env AtomicUsize) -> BoxFuture<'env, ()> {
        async move {
            nodes.fetch_add(1, SeqCst);
            if depth > 0 {
                let tasks = pool.map_n(0..3, |_| count(pool.clone(), depth - 1, nodes));
                for task in tasks {
                    task.await.unwrap();
                }
            }
        }
        .boxed()
    }
    let nodes = AtomicUsize::new(0);
    scope(1, async |pool| pool.exec(count(pool.clone(), 4, &nodes)).await.unwrap()).await;
    assert_eq!(nodes.load(SeqCst), 121);
}

// Panics.

#[test]
fn a_panic_of_a_task_is_its_own_and_the_others_continue() {
    let out = run(scope(2, async |pool| {
        let text = pool.spawn_n(async { panic!("no {}", 7) }.map(|()| ()));
        let value = pool.spawn_n(async { panic_any(8_u8) }.map(|()| ()));
        let late = pool.spawn_n(async {
            yield_now().await;
            assert_eq!(1, 2, "late");
        });
        let right = pool.spawn_n(async {
            for _ in 0..10 {
                yield_now().await;
            }
            5
        });
        let text = panicked(text.await);
        assert_eq!((text.message(), text.to_string().contains("no 7")), (Some("no 7"), true));
        assert_eq!(panicked(value.await).into_payload().downcast_ref(), Some(&8_u8));
        assert!(panicked(late.await).message().unwrap().contains("late"));
        let right = right.await.unwrap();
        assert_eq!((pool.len(), pool.executed()), (0, 4));
        right
    }));
    assert_eq!(out, 5);
}

#[test]
fn a_panic_that_nobody_looks_at_is_counted_and_the_scope_ends() {
    let pool = run(scope(1, async |pool| {
        drop(pool.map_n(0..3, |x| async move { assert_ne!(x, 1, "nobody looks") }));
        pool
    }));
    assert_eq!((pool.executed(), pool.len(), pool.active()), (3, 0, 0));
}

#[test]
fn map_and_itermap_give_panics_in_their_places() {
    run(scope(2, async |pool| {
        let odd = |x: i32| async move {
            assert!(x % 2 == 0, "odd");
            x
        };
        let results = pool.map(0..4, odd).await;
        assert!(matches!(results[..], [Ok(0), Err(TaskError::Panicked(_)), Ok(2), Err(TaskError::Panicked(_))]));
        let results: Vec<_> = pool.itermap(0..4, odd).collect().await;
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);
    }));
}

#[test]
fn a_task_that_panics_while_it_lends_or_after_gives_its_slot_back() {
    let most = AtomicUsize::new(0);
    let now = AtomicUsize::new(0);
    run(scope(1, async |pool| {
        let inner = pool.clone();
        let parent = pool.spawn_n(async move {
            inner.exec(async {}).await.unwrap();
            let _child = inner.spawn_n(pending::<()>());
            panic!("after");
        });
        assert!(parent.await.is_err());
        assert_eq!((pool.active(), pool.waiting()), (0, 1));
        pool.cancel_all();
        pool.map(0..5, |_| async {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            yield_now().await;
            now.fetch_sub(1, SeqCst);
        })
        .await;
    }));
    assert_eq!(most.load(SeqCst), 1);
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "bomb");
    }
}

#[test]
fn panics_of_destructors_stay_with_their_tasks() {
    run(scope(2, async |pool| {
        // Of the future, when it has finished.
        let bomb = Bomb;
        let finished = pool.spawn_n(async move {
            let _bomb = bomb;
            ready(()).await;
        });
        assert!(finished.await.is_err());
        // Of the future, when it is cancelled, waiting and active.
        let tasks = pool.map_n(0..4, |_| {
            let bomb = Bomb;
            async move { drop((pending::<()>().await, bomb)) }
        });
        while pool.active() < 2 {
            yield_now().await;
        }
        assert_eq!(pool.cancel(&tasks), 4);
        yield_now().await;
        for task in tasks {
            assert!(matches!(task.await, Err(TaskError::Cancelled)));
        }
        // Of an output that nobody wants.
        drop(pool.spawn_n(ready(Bomb)));
        pool.join().await;
        // Of an output that came too late.
        let slot = Arc::new(Mutex::new(None::<Task<Bomb>>));
        let own = Arc::clone(&slot);
        *slot.lock().unwrap() = Some(pool.spawn_n(async move {
            own.lock().unwrap().as_ref().unwrap().cancel();
            Bomb
        }));
        pool.join().await;
        assert_eq!(pool.len(), 0);
        assert_eq!(pool.exec(async { 1 }).await.unwrap(), 1);
    }));
}

/// Has an output; panics when dropped.
struct Explodes<T>(Option<T>);

impl<T: Unpin> Future for Explodes<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(self.0.take().expect("an output, once"))
    }
}

impl<T> Drop for Explodes<T> {
    fn drop(&mut self) {
        panic!("future");
    }
}

/// Panics when dropped, whatever else panics.
#[derive(Debug)]
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("output");
    }
}

#[test]
fn an_output_outlives_the_panic_of_its_futures_destructor() {
    run(local_scope(1, async |pool| {
        assert_eq!(pool.spawn_n(Explodes(Some(7))).await.unwrap(), 7);
        std::mem::forget(pool.spawn_n(Explodes(Some(Loud))).await.unwrap());
        drop(pool.spawn_n(Explodes(Some(Loud))));
        pool.join().await;
    }));
    let caught = run(async { [()].into_iter().pool_map(1, |()| Explodes(Some(Loud))).catch_unwind().await });
    assert_eq!(caught[0].as_ref().unwrap_err().message(), Some("future"));
}

#[test]
fn a_payload_whose_destructor_panics_does_not_escape() {
    struct Twice;
    impl Future for Twice {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic!("poll")
        }
    }
    impl Drop for Twice {
        fn drop(&mut self) {
            panic_any(Loud);
        }
    }
    run(local_scope(1, async |pool| {
        assert_eq!(panicked(pool.spawn_n(Twice).await).message(), Some("poll"));
        assert_eq!(pool.exec(async { 1 }).await.unwrap(), 1);
    }));
}

#[test]
fn a_panic_of_the_body_drops_the_tasks_and_passes_on() {
    let drops = Arc::new(AtomicUsize::new(0));
    let outside = Mutex::new(None);
    let mut future = Box::pin(scope(2, async |pool| {
        let tasks = pool.map_n(0..5, |_| {
            let counted = Counted(Arc::clone(&drops));
            async move { drop((pending::<()>().await, counted)) }
        });
        while pool.active() < 2 {
            yield_now().await;
        }
        *outside.lock().unwrap() = Some((pool.clone(), tasks));
        panic!("body");
    }));
    let poll = catch_unwind(AssertUnwindSafe(|| run(future.as_mut().map(|()| ()))));
    assert_eq!(poll.unwrap_err().downcast_ref(), Some(&"body"));
    assert_eq!(drops.load(SeqCst), 5, "before the panic passes on");
    let (pool, tasks) = outside.lock().unwrap().take().unwrap();
    assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
    assert!(tasks.into_iter().map(run).all(|result| matches!(result, Err(TaskError::Cancelled))));
    drop(future);
    assert_eq!(drops.load(SeqCst), 5);
}

#[test]
fn a_panic_of_the_body_with_tasks_whose_destructors_panic_does_not_abort() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("also while panicking");
        }
    }
    let caught = catch_unwind(|| {
        run(scope(1, async |pool| {
            let tasks = pool.map_n(0..3, |_| {
                let loud = Loud;
                async move { drop((pending::<()>().await, loud)) }
            });
            while pool.active() < 1 {
                yield_now().await;
            }
            drop(tasks);
            panic!("body");
        }));
    });
    let payload = caught.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"body"));
}

#[test]
fn stopped_is_an_error_that_says_what_happened() {
    let errors = run(scope(1, async |pool| {
        let task = pool.spawn_n(pending::<()>());
        task.cancel();
        [task.await.unwrap_err(), pool.exec(async { panic!("why") }).await.unwrap_err()]
    }));
    let texts = errors.each_ref().map(ToString::to_string);
    assert_eq!(texts, ["the task was cancelled", "the task panicked: why"]);
    assert!(errors[0].is_cancelled() && errors[1].is_panic());
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(errors.into_iter().next_back().unwrap());
    assert!(boxed.source().is_some());
}

// Threads.

#[test]
fn threads_spawn_wait_and_cancel() {
    const THREADS: usize = 4;
    const TASKS: usize = 300;
    let (now, most, done, cancelled) =
        (&AtomicUsize::new(0), &AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let (done, cancelled) = (&done, &cancelled);
    let task = |x: usize| async move {
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        // Counts out also when it is cancelled.
        let _guard = futures_guard(now);
        for _ in 0..x % 3 {
            yield_now().await;
        }
        x
    };
    thread::scope(|threads| {
        let (send, receive) = oneshot::channel();
        let barrier = Arc::new(Barrier::new(THREADS));
        let pool = threads.spawn(move || {
            block_on(scope(3, async |pool| {
                send.send(pool.clone()).unwrap();
                // Ends when every thread has let go of its work.
                while done.load(SeqCst) < THREADS {
                    yield_now().await;
                }
                pool.join().await;
                (pool.executed(), pool.len(), pool.active(), pool.waiting())
            }))
        });
        let handle = block_on(receive).unwrap();
        for number in 0..THREADS {
            let (handle, barrier) = (handle.clone(), Arc::clone(&barrier));
            threads.spawn(move || {
                barrier.wait();
                block_on(async {
                    for x in 0..TASKS {
                        match (x + number) % 6 {
                            0 => assert_eq!(handle.exec(task(x)).await.unwrap(), x),
                            1 => assert_eq!(handle.spawn(task(x)).await.await.unwrap(), x),
                            2 => drop(handle.spawn_n(task(x))),
                            3 => {
                                let victim = handle.spawn_n(task(x));
                                let own = victim.cancel();
                                cancelled.fetch_add(usize::from(own), SeqCst);
                                assert_eq!(victim.await.is_err(), own);
                            }
                            4 => {
                                let results = handle.map(0..3, task).await;
                                assert_eq!(results.into_iter().map(Result::unwrap).sum::<usize>(), 3);
                            }
                            _ => {
                                let both = handle.map_n([x, x], task);
                                let results: Vec<_> = iterwait(both).map(Result::unwrap).collect().await;
                                assert_eq!(results, [x, x]);
                            }
                        }
                    }
                });
                done.fetch_add(1, SeqCst);
            });
        }
        let (executed, len, active, waiting) = pool.join().unwrap();
        let spawned = THREADS * (TASKS / 6) * (4 + 3 + 2);
        assert_eq!((executed + cancelled.load(SeqCst), len, active, waiting), (spawned, 0, 0, 0));
    });
    assert!(most.load(SeqCst) <= 3);
}

/// Counts one down when dropped.
fn futures_guard(count: &AtomicUsize) -> impl Drop {
    struct Down<'a>(&'a AtomicUsize);
    impl Drop for Down<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    Down(count)
}

#[test]
fn a_thread_that_waits_for_room_is_not_mistaken_for_a_task() {
    // A task of the scope is being polled while another thread spawns: that one has to wait for room all the same.
    let (entered, leave) = (&Barrier::new(2), &Barrier::new(2));
    let (pool_send, pool_receive) = std::sync::mpsc::channel();
    thread::scope(|threads| {
        threads.spawn(move || {
            block_on(scope(1, async |pool| {
                pool_send.send(pool.clone()).unwrap();
                pool.exec(async {
                    entered.wait();
                    leave.wait();
                })
                .await
                .unwrap();
            }));
        });
        let pool: Scope<'_> = pool_receive.recv().unwrap();
        entered.wait();
        let mut spawn = Box::pin(pool.spawn(async { 1 }));
        assert!(spawn.as_mut().now_or_never().is_none(), "there is no room");
        let mut exec = Box::pin(pool.exec(async { 2 }));
        assert!(exec.as_mut().now_or_never().is_none());
        assert_eq!(pool.active(), 1, "it was not this thread's wait that lent the slot");
        leave.wait();
        assert_eq!(block_on(block_on(spawn)).unwrap(), 1);
        assert_eq!(block_on(exec).unwrap(), 2);
    });
}

#[test]
fn an_iterwait_keeps_what_spawn_gave_while_the_task_was_first_polled() {
    let (handle, handles) = std::sync::mpsc::channel();
    let (entered, is_entered) = std::sync::mpsc::channel();
    let (resume, may_resume) = std::sync::mpsc::channel::<()>();
    let (end, ends) = oneshot::channel::<()>();
    let (all_done, is_done) = oneshot::channel::<()>();
    let scope = thread::spawn(move || {
        block_on(scope(1, async move |pool: Scope<'static>| {
            handle.send(pool).unwrap();
            is_done.await.unwrap();
        }));
    });
    let pool = handles.recv().unwrap();
    let mut spawn = Box::pin(pool.spawn(async move {
        entered.send(()).unwrap();
        may_resume.recv().unwrap();
        ends.await.unwrap();
        7
    }));
    let cx = &mut Context::from_waker(Waker::noop());
    let first = spawn.as_mut().poll(cx);
    is_entered.recv().unwrap();
    let Poll::Ready(task) = (if first.is_pending() { spawn.as_mut().poll(cx) } else { first }) else {
        panic!("it has started");
    };
    let mut stream = iterwait([task]);
    assert!(stream.poll_next_unpin(cx).is_pending());
    resume.send(()).unwrap();
    end.send(()).unwrap();
    assert!(matches!(block_on(stream.next()), Some(Ok(7))));
    all_done.send(()).unwrap();
    scope.join().unwrap();
}

#[test]
fn lenders_cancelled_from_another_thread() {
    let (handle, handles) = std::sync::mpsc::channel();
    let (end, mut ended) = oneshot::channel::<()>();
    let scope = thread::spawn(move || {
        block_on(scope(1, async move |pool: Scope<'static>| {
            handle.send(pool).unwrap();
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                ended.poll_unpin(cx)
            })
            .await
            .unwrap();
        }));
    });
    let pool: Scope<'static> = handles.recv().unwrap();
    let too_many = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let (busy, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let lenders: Vec<_> = (0..40)
            .map(|_| {
                let (pool2, busy, too_many, go) = (pool.clone(), busy.clone(), too_many.clone(), go.clone());
                pool.spawn_n(async move {
                    let mut entered = None;
                    let mut child = pool2.spawn_n(poll_fn(move |_| {
                        if entered.is_none() {
                            busy.fetch_add(1, SeqCst);
                            let busy = Arc::clone(&busy);
                            entered = Some(on_drop(move || {
                                busy.fetch_sub(1, SeqCst);
                            }));
                        }
                        too_many.fetch_add(usize::from(busy.load(SeqCst) > 1), SeqCst);
                        Poll::<()>::Pending
                    }));
                    poll_fn(|cx| {
                        if go.load(SeqCst) == 0 {
                            cx.waker().wake_by_ref();
                        }
                        child.poll_unpin(cx)
                    })
                    .await
                })
            })
            .collect();
        while busy.load(SeqCst) == 0 && !scope.is_finished() {
            thread::yield_now();
        }
        for lender in &lenders {
            lender.cancel();
        }
        pool.cancel_all();
        while Arc::strong_count(&busy) > 1 && !scope.is_finished() {
            thread::yield_now();
        }
    }
    end.send(()).unwrap();
    scope.join().expect("the scope has not panicked");
    assert_eq!(too_many.load(SeqCst), 0, "never more than one was active");
}

/// Calls its closure when dropped.
fn on_drop<F: FnMut()>(f: F) -> impl Sized {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    OnDrop(f)
}

#[test]
fn what_a_thread_has_cancelled_stays_cancelled() {
    let (handle, handles) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let scope = thread::spawn(move || {
        block_on(scope(2, async move |pool: Scope<'static>| {
            handle.send(pool).unwrap();
            ended.await.unwrap();
        }));
    });
    let pool: Scope<'static> = handles.recv().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for round in 0..3000 {
        let task = |_| {
            let (ran, counted) = (Arc::clone(&ran), Counted(Arc::clone(&ran)));
            async move {
                pending::<()>().await;
                drop((ran, counted));
            }
        };
        let first = pool.map_n(0..2, task);
        pool.cancel_all();
        let second = pool.map_n(0..2, task);
        pool.cancel_all();
        assert!(first.iter().chain(&second).all(Task::is_finished));
        assert_eq!(block_on(pool.exec(async move { round })).unwrap(), round, "there is room again");
        assert!(first.iter().chain(&second).all(Task::is_finished));
        assert_eq!(pool.len(), 0);
    }
    end.send(()).unwrap();
    scope.join().unwrap();
    assert_eq!(ran.load(SeqCst), 3000 * 4, "all were dropped");
}

/// Counts one up when it is dropped, also by a panic.
struct AddOne<'a>(&'a AtomicUsize);

impl Drop for AddOne<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn counts_that_another_thread_reads_are_those_of_one_moment() {
    let stop = &AtomicUsize::new(0);
    thread::scope(|threads| {
        let (send, receive) = std::sync::mpsc::channel();
        threads.spawn(move || {
            let _stop = AddOne(stop);
            block_on(scope(4, async |pool| {
                send.send(pool.clone()).unwrap();
                for _ in 0..20_000 {
                    let tasks = pool.map_n(0..8, |_| {
                        let pool = pool.clone();
                        async move { pool.exec(yield_now()).await.unwrap() }
                    });
                    join_all(tasks).await;
                }
            }));
        });
        let pool = receive.recv().unwrap();
        while stop.load(SeqCst) == 0 {
            let (active, waiting) = (pool.active(), pool.waiting());
            assert!(active <= 4, "{active} active");
            assert!(waiting <= 16, "{waiting} waiting");
        }
    });
}

#[test]
fn cancel_all_from_threads_while_tasks_start_and_end() {
    let stop = AtomicUsize::new(0);
    let drops = Arc::new(AtomicUsize::new(0));
    let made = AtomicUsize::new(0);
    thread::scope(|threads| {
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, made) = (&stop, &made);
        let drops2 = Arc::clone(&drops);
        let pool = threads.spawn(move || {
            block_on(scope(4, async |pool| {
                for _ in 0..2 {
                    send.send(pool.clone()).unwrap();
                }
                while stop.load(SeqCst) < 2 {
                    let tasks = pool.map_n(0..8, |x| {
                        made.fetch_add(1, SeqCst);
                        let counted = Counted(Arc::clone(&drops2));
                        let pool = pool.clone();
                        async move {
                            let _counted = counted;
                            if x % 2 == 0 {
                                let _ = pool.exec(yield_now()).await;
                            }
                            yield_now().await;
                        }
                    });
                    join_all(tasks).await;
                }
                pool.join().await;
                (pool.len(), pool.active(), pool.waiting())
            }))
        });
        for _ in 0..2 {
            let pool = receive.recv().unwrap();
            threads.spawn(move || {
                let _stop = AddOne(stop);
                for _ in 0..2000 {
                    pool.cancel_all();
                    thread::yield_now();
                    // Never more than there can be, whatever else happens.
                    assert!(pool.active() <= 4 && pool.waiting() < 100 && pool.len() < 100, "{pool:?}");
                }
            });
        }
        assert_eq!(pool.join().unwrap(), (0, 0, 0));
    });
    assert_eq!(made.load(SeqCst), drops.load(SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_in_other_tasks_of_the_executor() {
    let pool_slot = Arc::new(Mutex::new(None::<Scope<'static>>));
    let slot = Arc::clone(&pool_slot);
    let runner = tokio::spawn(scope(2, async move |pool: Scope<'static>| {
        *slot.lock().unwrap() = Some(pool.clone());
        let (send, receive) = oneshot::channel::<()>();
        // A task of the scope that waits for a task of the executor, which runs more in the scope.
        let inner = pool.clone();
        let task = pool.spawn_n(async move {
            let other = tokio::spawn(async move {
                let results = inner.map(0..50, async |x| x).await;
                send.send(()).unwrap();
                results.into_iter().map(Result::unwrap).sum::<i32>()
            });
            other.await.unwrap()
        });
        receive.await.unwrap();
        task.await.unwrap()
    }));
    assert_eq!(runner.await.unwrap(), 1225);
    let pool = pool_slot.lock().unwrap().take().unwrap();
    assert!(pool.exec(async {}).await.is_err(), "it has ended");
}

#[test]
fn a_task_of_a_local_scope_may_be_awaited_on_another_thread() {
    let (send, receive) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        let task: Task<u8> = receive.recv().unwrap();
        block_on(task).unwrap()
    });
    run(local_scope(1, async |pool| {
        let task = pool.spawn_n(async {
            yield_now().await;
            7
        });
        send.send(task).unwrap();
    }));
    assert_eq!(waiter.join().unwrap(), 7);
}
