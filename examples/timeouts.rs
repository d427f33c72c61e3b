//! A time limit for each item, and one for all of them that keeps what is done by then.
//!
//! ```text
//! cargo run --example timeouts
//! ```
//!
//! The idea: the limit for an item is a future around its future; the limit for all is one around `for_each`, which puts
//! what has finished where it survives. (A `timeout` around `.await` or `collect` throws all results away with it.)
//!
//! The pitfall: `timeout` counts from when it is made. `pool_map` makes a future only when there is a slot for it; but
//! what is put into the queue of a `Pool` or a scope has to make it inside of an async block, or it times out while it
//! waits.

use std::cell::Cell;
use std::future::ready;

use futures_pool::{Pool, prelude::*};
use tokio::time::{Duration, Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

/// Takes 20 ms, but one in five hangs.
async fn request(n: u32) -> u32 {
    sleep(if n % 5 == 4 { 3_600_000 } else { 20 } * MS).await;
    n
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    // For each item: what hangs is an `Err(Elapsed)`, and holds up no other.
    let results = (0..20).pool_map(4, |n| timeout(50 * MS, request(n))).await;
    let failed: Vec<_> = (0..20).filter(|n| results[*n].is_err()).collect();
    println!("each item, pool_map:                 {failed:?} took too long");
    assert_eq!(failed, [4, 9, 14, 19]);
    assert!((0..20).zip(results).all(|(n, result)| result.is_err() || result == Ok(n)));

    // The same in a queue, wrong and right.
    let mut pool = Pool::new(4);
    let results = pool.map_n(0..20, |n| timeout(50 * MS, request(n))).collect::<Vec<_>>();
    pool.join().await;
    let wrong = results.into_iter().filter(|key| pool.take_result(*key).is_some_and(|result| result.is_err())).count();
    println!("each item, Pool, made immediately:   {wrong} took too long, most of them in the queue");
    assert!(wrong > 4);

    let mut pool = Pool::new(4);
    let results = pool.map_n(0..20, |n| async move { timeout(50 * MS, request(n)).await }).collect::<Vec<_>>();
    pool.join().await;
    let right = results.into_iter().filter(|key| pool.take_result(*key).is_some_and(|result| result.is_err())).count();
    println!("each item, Pool, in an async block:  {right} took too long");
    assert_eq!(right, 4);

    // For all together, and what is done by then is kept, each result with its position.
    let (start, started, mut done) = (Instant::now(), Cell::new(0), Vec::new());
    let work = async |n: u32| {
        started.set(started.get() + 1);
        sleep((10 + n % 3) * MS).await;
        n * n
    };
    let all = (0..1_000).pool_map(4, work).unordered().indexed().for_each(|result| {
        done.push(result);
        ready(())
    });
    let in_time = timeout(100 * MS, all).await.is_ok();
    println!(
        "all together: after {:?}, {} of 1000 are done, and {} were dropped early",
        start.elapsed(),
        done.len(),
        started.get() - done.len()
    );
    assert!(!in_time && start.elapsed() == 100 * MS);
    assert!((32..=40).contains(&done.len()) && started.get() == done.len() + 4);
    assert!(done.iter().all(|(n, square)| n * n == *square as usize));
}
