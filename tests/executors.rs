//! The same tests on several executors: the pool needs nothing of them but polls and wakers.
//!
//! No future here sleeps, and none needs a timer or a driver of its executor: what takes time is done by another thread, and
//! so are the wake-ups. Each test has a thread of its own, so that one that waits for ever fails.

mod common;

use std::future::pending;
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures::channel::{mpsc as channel, oneshot};
use futures::executor::LocalPool;
use futures::future::{BoxFuture, FutureExt, LocalBoxFuture};
use futures::stream::{self, StreamExt};
use futures::task::{LocalSpawnExt, SpawnExt};
use futures_pool::inline::{InlinePool, Slots};
use futures_pool::{LocalScope, Pool, Scope, TaskError, iterwait, local_scope, prelude::*, scope, yield_when};

use common::yield_now;

// The executors.

type Local = LocalBoxFuture<'static, ()>;
type Sendable = BoxFuture<'static, ()>;

fn tokio_current_thread(test: Local) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

fn tokio_multi_thread(test: Local) {
    two_workers().block_on(test);
}

fn smol_block_on(test: Local) {
    smol::block_on(test);
}

fn smol_executor(test: Local) {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(executor.spawn(test)));
}

fn futures_block_on(test: Local) {
    futures::executor::block_on(test);
}

fn futures_local_pool(test: Local) {
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(test).unwrap();
    pool.run();
}

fn pollster_block_on(test: Local) {
    pollster::block_on(test);
}

/// A loop that sleeps until its thread is unparked.
fn by_hand(mut test: Local) {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    while test.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park();
    }
}

fn tokio_spawn(test: Sendable) {
    let runtime = two_workers();
    runtime.block_on(runtime.spawn(test)).unwrap();
}

fn tokio_spawn_local(test: Sendable) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(async { tokio::task::spawn_local(test).await.unwrap() }));
}

fn two_workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// An executor that two threads run, neither of which is the one that waits.
fn smol_spawn(test: Sendable) {
    let executor = smol::Executor::new();
    let task = executor.spawn(test);
    let (stop, stopped) = smol::channel::unbounded::<()>();
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        smol::block_on(task);
        drop(stop);
    });
}

fn futures_spawn(test: Sendable) {
    let mut pool = LocalPool::new();
    let handle = pool.spawner().spawn_with_handle(test).unwrap();
    pool.run_until(handle);
}

/// Runs a test on a thread, and fails if it has not ended after a time that is long enough for the slowest machine.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _end = end;
        test();
    });
    let end = ended.recv_timeout(Duration::from_secs(60));
    assert_ne!(end, Err(RecvTimeoutError::Timeout), "it still waits: a wake-up was lost");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// Makes a test of each function, an async one, on each executor.
macro_rules! on_each {
    ($executors:tt $tests:tt) => { on_each! { @each $executors $tests } };
    (@each [$($executor:ident),*] $tests:tt) => { $(on_each! { @tests $executor $tests })* };
    (@tests $executor:ident [$($name:ident),* $(,)?]) => {
        mod $executor {
            $(#[test] fn $name() { super::watched(|| super::$executor(Box::pin(super::$name()))); })*
        }
    };
}

// Work that is done elsewhere.

/// Gives its output after a while, from another thread.
async fn far<T: Send + 'static>(output: T) -> T {
    type Job = Box<dyn FnOnce() + Send>;

    static THREAD: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || queue.into_iter().for_each(|job| job()));
        jobs
    });

    let (sender, receiver) = oneshot::channel();
    let job = move || {
        thread::yield_now();
        let _ = sender.send(output);
    };
    THREAD.send(Box::new(job)).unwrap();
    receiver.await.unwrap()
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

fn up_to(end: u32) -> Vec<u32> {
    (0..end).collect()
}

// The tests whose futures are `Send`.

async fn a_chain() {
    assert_eq!((0..100).pool_map(8, far).await, up_to(100));
    assert_eq!(sorted((0..100).pool_map(8, far).unordered().await), up_to(100));
    assert_eq!(sorted((0..100).pool_map(usize::MAX, far).unordered().collect().await), up_to(100));
    let pairs = (0..100).pool_map(8, |x: usize| far(x)).unordered().indexed().await;
    assert!(pairs.len() == 100 && pairs.iter().all(|(index, x)| index == x));

    let words = ["a", "bc", "def"].map(String::from);
    assert_eq!(words.iter().pool_map(2, async |word| far(word.len()).await).await, [1, 2, 3]);
}

async fn a_chain_that_fails() {
    let fallible = async |x: u32| if far(x).await == 50 { Err(x) } else { Ok(x) };
    assert_eq!((0..).pool_map(8, fallible).fail_fast().await, Err(50));

    let panics = async |x: u32| if far(x).await == 7 { resume_unwind(Box::new("on purpose")) } else { x };
    let results = (0..20).pool_map(4, panics).catch_unwind().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 19);
    assert_eq!(results[7].as_ref().unwrap_err().message(), Some("on purpose"));
}

async fn stages() {
    let mut seen = Vec::new();
    stream::iter(0..100)
        .pool_map(8, far)
        .pool_map(2, |x: u32| far(x + 1))
        .filter_map(|x| far((x % 2 == 0).then_some(x)))
        .driven()
        .pool_map(4, far)
        .for_each(|x| {
            seen.push(x);
            far(())
        })
        .await;
    assert_eq!(seen, (1..=100).filter(|x| x % 2 == 0).collect::<Vec<_>>());
}

async fn a_stream_that_is_fed_from_another_thread() {
    let (sender, receiver) = channel::unbounded();
    let feeder = thread::spawn(move || {
        for x in 0..200 {
            sender.unbounded_send(x).unwrap();
            thread::yield_now();
        }
    });
    assert_eq!(receiver.pool_map(8, far).collect::<Vec<_>>().await, up_to(200));
    feeder.join().unwrap();
}

async fn wake_ups_of_many_threads() {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..200).map(|_| oneshot::channel::<usize>()).unzip();
    let mut shares = [const { Vec::new() }; 4];
    for (number, sender) in senders.into_iter().enumerate() {
        shares[number * 7 % 4].push((number, sender));
    }
    let threads = shares.map(|share| {
        thread::spawn(move || {
            for (number, sender) in share {
                thread::yield_now();
                sender.send(number).unwrap();
            }
        })
    });
    let results = receivers.into_iter().pool_map(16, |receiver| receiver).await;
    assert!(results.into_iter().map(Result::unwrap).eq(0..200));
    for thread in threads {
        thread.join().unwrap();
    }
}

async fn futures_that_wake_themselves() {
    let restless = async |x: u32| {
        for _ in 0..x % 5 {
            yield_now().await;
        }
        x
    };
    assert_eq!((0..1000).pool_map(64, restless).await, up_to(1000));
    // More than may be polled in one call are ready at any time.
    let mut pool = Pool::new(500);
    pool.extend((0..1000).map(restless));
    pool.join().await;
    assert_eq!(pool.executed(), 1000);
}

async fn a_pool() {
    let mut pool = Pool::new(3);
    let keys: Vec<_> = (0..5).map(|x| pool.spawn_n(far(x).boxed())).collect();
    let never = pool.spawn_n(pending().boxed());
    assert_eq!(pool.exec(far(100).boxed()).await, 100);
    assert_eq!(pool.wait(keys[4]).await, Some(4));
    assert!(pool.cancel(never));
    for x in 5..20 {
        pool.spawn(far(x).boxed()).await;
    }
    pool.join().await;
    assert_eq!(pool.take_result(keys[0]), Some(0));
    assert_eq!(pool.map_all(200..203, |x| far(x).boxed()).await, [200, 201, 202]);
    assert_eq!(sorted(pool.itermap(0..9, |x| far(x).boxed()).collect().await), up_to(9));
    let rest: Vec<_> = pool.map(|(_, output)| output).collect().await;
    assert_eq!(sorted(rest), [1, 2, 3].into_iter().chain(5..20).collect::<Vec<_>>());
}

async fn a_pool_in_a_select() {
    let (sender, mut jobs) = channel::unbounded();
    let feeder = thread::spawn(move || {
        for x in 0..100 {
            thread::yield_now();
            sender.unbounded_send(x).unwrap();
        }
    });
    let mut pool = Pool::new(4);
    let mut results = Vec::new();
    loop {
        futures::select! {
            job = jobs.select_next_some() => {
                pool.spawn_n(far(job));
            }
            (_key, result) = pool.select_next_some() => results.push(result),
            complete => break,
        }
    }
    assert_eq!(sorted(results), up_to(100));
    feeder.join().unwrap();
}

async fn a_pool_inside_a_value() {
    let all: Vec<_> = pin!((0..50).pool_map_inline(Slots::<4>, far)).collect().await;
    assert_eq!(all, up_to(50));
    let mut pool = pin!(InlinePool::<_, 4, 8>::new());
    for x in 0..8 {
        assert!(pool.as_mut().try_spawn(far(x)).is_ok());
    }
    assert_eq!(sorted(pool.map(|(_, output)| output).collect().await), up_to(8));
}

async fn batches_when_a_timer_fires() {
    let (open, door) = oneshot::channel::<()>();
    let mut door = Some(door);
    let stream = (0..3).pool_map(3, |x: u32| {
        let door = if x == 2 { door.take() } else { None };
        async move {
            match door {
                Some(door) => door.await.unwrap(),
                None => far(()).await,
            }
            x
        }
    });
    let mut batches = pin!(stream.batches(yield_when::all_completed).timeout(|| far(())));
    // The last is stuck until these have been handed over, which only the timer does.
    let mut got = Vec::new();
    while got.len() < 2 {
        got.extend(batches.next().await.unwrap());
    }
    open.send(()).unwrap();
    assert_eq!(batches.next().await, Some(vec![2]));
    assert_eq!(batches.next().await, None);
    assert_eq!(got, [0, 1]);
}

async fn a_scope() {
    fn count(pool: Scope<'_>, depth: u32) -> BoxFuture<'_, u32> {
        async move {
            if depth == 0 {
                return far(1).await;
            }
            let branches = pool.map(0..3, |_| count(pool.clone(), depth - 1)).await;
            1 + branches.into_iter().map(Result::unwrap).sum::<u32>()
        }
        .boxed()
    }

    let text = String::from("borrowed");
    let total = scope(2, async |pool| {
        let length = pool.spawn(async { far(text.len()).await }).await;
        let more = pool.clone();
        let inner = pool.spawn_n(async move { more.exec(far(7)).await.unwrap() });
        let never = pool.spawn_n(pending::<()>());
        let nodes = pool.exec(count(pool.clone(), 3)).await.unwrap();
        assert!(never.cancel() && matches!(never.await, Err(TaskError::Cancelled)));
        let ends: Vec<_> = iterwait(pool.map_n(0..20, far)).map(Result::unwrap).collect().await;
        assert_eq!(sorted(ends), up_to(20));
        assert_eq!(length.await.unwrap(), 8);
        nodes + inner.await.unwrap()
    });
    assert_eq!(total.await, 40 + 7);
}

async fn a_scope_with_a_handle_on_another_thread() {
    let sum = scope(2, |pool: Scope<'static>| async move {
        let (sender, receiver) = oneshot::channel();
        let other = thread::spawn(move || {
            let tasks = pool.map_n(0..50, far);
            let _ = sender.send(tasks);
        });
        let mut sum = 0;
        for task in receiver.await.unwrap() {
            sum += task.await.unwrap();
        }
        other.join().unwrap();
        sum
    });
    assert_eq!(sum.await, 49 * 50 / 2);
}

// Those whose futures are not.

async fn what_is_not_send() {
    fn count(pool: LocalScope<'_>, depth: u32) -> LocalBoxFuture<'_, u32> {
        async move {
            if depth == 0 {
                return far(1).await;
            }
            let branches = pool.map(0..3, |_| count(pool.clone(), depth - 1)).await;
            1 + branches.into_iter().map(Result::unwrap).sum::<u32>()
        }
        .boxed_local()
    }

    let shared = Rc::new(10);
    let tens = (0..20).pool_map(4, async |x| *shared * far(x).await).await;
    assert_eq!(tens.iter().sum::<u32>(), 1900);
    let total = local_scope(1, async |pool| {
        let task = pool.spawn_n(async { Rc::new(far(*shared).await) });
        pool.exec(count(pool.clone(), 3)).await.unwrap() + *task.await.unwrap()
    });
    assert_eq!(total.await, 40 + 10);
    assert_eq!(Rc::strong_count(&shared), 1);
}

async fn a_scope_alongside_others() {
    let (sum, product) = futures::join!(
        local_scope(2, async |pool| pool.map(1..=4, far).await.into_iter().map(Result::unwrap).sum::<u32>()),
        local_scope(2, async |pool| pool.map(1..=4, far).await.into_iter().map(Result::unwrap).product::<u32>()),
    );
    assert_eq!((sum, product), (10, 24));
}

on_each! {
    [
        tokio_current_thread, tokio_multi_thread, smol_block_on, smol_executor, futures_block_on, futures_local_pool,
        pollster_block_on, by_hand, tokio_spawn, tokio_spawn_local, smol_spawn, futures_spawn
    ]
    [
        a_chain,
        a_chain_that_fails,
        stages,
        a_stream_that_is_fed_from_another_thread,
        wake_ups_of_many_threads,
        futures_that_wake_themselves,
        a_pool,
        a_pool_in_a_select,
        a_pool_inside_a_value,
        batches_when_a_timer_fires,
        a_scope,
        a_scope_with_a_handle_on_another_thread,
    ]
}

mod not_send {
    use super::*;

    on_each! {
        [tokio_current_thread, tokio_multi_thread, smol_block_on, smol_executor, futures_block_on, futures_local_pool,
        pollster_block_on, by_hand]
        [what_is_not_send, a_scope_alongside_others]
    }
}
