//! The usage examples of the Python package asyncio-pool, one by one.
//!
//! ```text
//! cargo run --release --example usage
//! ```
//!
//! Each function is named as in the README of the original. What is `async with AioPool(size) as pool:` there is
//! [`scope`] here, and its futures are handles: [`Task`]. A handle gives a result, which is an error if the task was
//! cancelled or has panicked; errors of the worker's own are part of its output.
//!
//! [`Task`]: futures_pool::Task

use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use futures_pool::{Scope, TaskError, iterwait, prelude::*, scope, yield_when};
use tokio::time::{Instant, sleep};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    spawn_n_usage().await?;
    spawn_usage().await?;
    map_usage().await?;
    itermap_usage().await?;
    callbacks_usage().await?;
    exec_usage().await?;
    cancel_usage().await?;
    details().await
}

const UNIT: Duration = Duration::from_millis(100);

/// Does as if it worked: the higher the number, the shorter.
async fn worker(n: u32) -> u32 {
    sleep(UNIT / n).await;
    n
}

#[derive(Debug, PartialEq)]
struct DivisionByZero;

/// The same, for numbers that may be 0.
async fn fallible_worker(n: u32) -> Result<u32, DivisionByZero> {
    if n == 0 {
        return Err(DivisionByZero);
    }
    Ok(worker(n).await)
}

/// `spawn_n` queues: it never waits, and nothing starts before the body awaits something.
async fn spawn_n_usage() -> Result<()> {
    let tasks = scope(20, async |pool| {
        let mut tasks = Vec::new();
        for numbers in [1..51, 51..101, 101..200] {
            for n in numbers {
                tasks.push(pool.spawn_n(worker(n)));
            }
        }
        println!("spawn_n:  {} tasks are waiting, {} are active", pool.waiting(), pool.active());
        assert_eq!((pool.waiting(), pool.active()), (199, 0));
        tasks
        // The scope joins here: it ends when all its tasks have ended, in one way or another.
    })
    .await;

    let mut sum = 0;
    for task in tasks {
        assert!(task.is_finished());
        sum += task.await?;
    }
    println!("          all have finished; the sum of their outputs is {sum}");
    assert_eq!(sum, (1..200).sum());
    Ok(())
}

/// `spawn` waits until a slot is free, so there are never more tasks than fit.
async fn spawn_usage() -> Result<()> {
    let start = Instant::now();
    let tasks = scope(2, async |pool| {
        let mut tasks = Vec::new();
        for n in 1..4 {
            tasks.push(pool.spawn(worker(n)).await); // immediately for 1 and 2; 3 needs the slot of 2
            println!("spawn:    {n} was started after {:?}", start.elapsed());
            assert_eq!(pool.waiting(), 0);
        }
        assert!(start.elapsed() >= UNIT / 2);
        tasks
    })
    .await;

    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    assert_eq!(sum, 1 + 2 + 3);
    Ok(())
}

/// `map` does that for each item, and gives the results in the order of the items.
async fn map_usage() -> Result<()> {
    let results = scope(10, async |pool| pool.map(0..100, fallible_worker).await).await;
    // A task that is cancelled or panics would be an error here; all have an output, and one of these is an error.
    let outputs = results.into_iter().collect::<Result<Vec<_>, TaskError>>()?;
    let sum: u32 = outputs.iter().flatten().sum();
    println!("map:      the first result is {:?}, the last {:?}; the sum is {sum}", outputs[0], outputs[99]);
    assert_eq!(outputs[0], Err(DivisionByZero));
    assert!(outputs[1..].iter().flatten().eq(&(1..100).collect::<Vec<_>>()));
    Ok(())
}

/// `itermap` gives results as they finish: one by one, or in batches by time or by rule.
async fn itermap_usage() -> Result<()> {
    let (order, batches) = scope(10, async |pool| {
        let mut order = Vec::new();
        let mut results = pool.itermap(1..11, worker);
        while let Some(result) = results.next().await {
            order.push(result?);
        }

        let mut batches = Vec::new();
        let results = pool.itermap(1..11, worker).batches(yield_when::all_completed);
        let mut results = Box::pin(results.timeout(|| sleep(UNIT * 7 / 10)));
        while let Some(batch) = results.next().await {
            batches.push(batch.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
        Ok::<_, TaskError>((order, batches))
    })
    .await?;

    println!("itermap:  one by one {order:?}");
    println!("          every 70 ms {batches:?}");
    assert_eq!(order.iter().sum::<u32>(), (1..11).sum());
    assert_eq!(batches.concat().iter().sum::<u32>(), (1..11).sum());
    assert!(batches.iter().all(|batch| !batch.is_empty()));
    Ok(())
}

/// A callback continues in the slot of its future, with the output (an error maybe) and with a context of any type.
async fn callbacks_usage() -> Result<()> {
    async fn callback(output: Result<u32, DivisionByZero>, ctx: (Scope<'_>, u32)) -> Result<u32, DivisionByZero> {
        let (pool, n) = ctx;
        assert!(pool.active() <= pool.size());
        let output = output?; // the worker's error for 0
        fallible_worker(n - 1).await?; // an error of the callback for 1
        Ok(output + n)
    }

    let tasks = scope(2, async |pool| {
        let mut tasks = Vec::new();
        for n in 0..5 {
            tasks.push(pool.spawn_n(fallible_worker(n).callback(callback, (pool.clone(), n))));
        }
        tasks
    })
    .await;

    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await?);
    }
    println!("callback: {outputs:?}");
    assert_eq!(outputs, [Err(DivisionByZero), Err(DivisionByZero), Ok(4), Ok(6), Ok(8)]);
    Ok(())
}

/// `exec` waits for a free slot and for the output; it comes after what is in the queue, and holds up nobody.
async fn exec_usage() -> Result<()> {
    let (tasks, one_more) = scope(4, async |pool| {
        let tasks = pool.map_n(1..11, worker);
        let important = pool.exec(worker(20)).await?;
        println!(
            "exec:     {important} came back when {} of the {} queued before it had finished",
            pool.executed() - 1,
            tasks.len()
        );
        assert_eq!(important, 20);
        // And on as usual.
        let one_more = pool.spawn(worker(10)).await;
        Ok::<_, TaskError>((tasks, one_more))
    })
    .await?;

    assert_eq!(one_more.await?, 10);
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    assert_eq!(sum, (1..11).sum());
    Ok(())
}

/// `cancel` drops tasks, whether they are waiting or active. What they have to clean up belongs into a destructor.
async fn cancel_usage() -> Result<()> {
    async fn long(_: u32) {
        sleep(UNIT * 600).await;
    }

    scope(2, async |pool| {
        let quick = pool.spawn_n(async { sleep(UNIT / 5).await });
        let first = pool.spawn(long(1)).await;
        let second = pool.spawn_n(long(2));
        let rest = pool.map_n(3..6, long);
        quick.await?;

        // Dropping a handle does not cancel its task, but detaches it. A single one has `cancel` as well.
        let cancelled = pool.cancel([&first, &rest[2]]);
        println!("cancel:   {cancelled} tasks, of which one was active; {} are left", pool.len());
        assert_eq!((cancelled, pool.len()), (2, 3));
        assert!(first.await.is_err_and(|error| error.is_cancelled()));

        let cancelled = pool.cancel_all();
        println!("          then all {cancelled} of them");
        assert_eq!((cancelled, pool.len()), (3, 0));
        assert!(second.await.is_err_and(|error| error.is_cancelled()));
        pool.join().await; // nothing to wait for
        Ok(())
    })
    .await
}

/// What a handle is good for.
async fn details() -> Result<()> {
    scope(5, async |pool| {
        // These two do the same.
        let mut one: Vec<_> = (1..11).map(|n| pool.spawn_n(worker(n))).collect();
        let mut two = pool.map_n(1..11, worker);

        // A handle may be awaited at any time, in any order.
        let third = one.remove(2).await?;
        assert_eq!(third, 3);

        // Some of them, in batches as they finish.
        let mut important = Vec::new();
        let mut batches = iterwait([one.remove(1), two.remove(1), two.remove(1)]).batches(yield_when::first_completed);
        while let Some(batch) = batches.next().await {
            for result in batch {
                important.push(result?);
            }
        }
        important.sort_unstable();
        println!("details:  {third} by itself, {important:?} in batches");
        assert_eq!(important, [2, 2, 3]);

        // In the body this waits for all tasks; the end of the scope would do as well.
        pool.join().await;
        let mut sum = third + important.iter().sum::<u32>();
        for task in one.into_iter().chain(two) {
            assert!(task.is_finished());
            sum += task.await?;
        }
        println!("          {sum} in all");
        assert_eq!(sum, 2 * (1..11).sum::<u32>());
        Ok(())
    })
    .await
}
