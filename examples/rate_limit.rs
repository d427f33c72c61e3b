//! Starts at most so many per second, and has at most so many at once: by the crate `governor`.
//!
//! ```text
//! cargo run --example rate_limit
//! ```
//!
//! The idea: two limits, and two places for them. The size of the pool bounds what is active; the limiter stands in the
//! source, and bounds how often something starts. The pool asks its source only when it has a free slot, so no permit is
//! taken too early, and only one waits for the limiter at any time.
//!
//! The pitfalls: `until_ready` inside the futures does as well, and has to be there if each of several requests of a future
//! counts; but then as many as have a slot wait for one permit, and wake up for it in vain. And it has a timer of its own,
//! which knows nothing of tokio's paused clock; hence this example takes real time.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use futures_pool::prelude::*;
use governor::{Quota, RateLimiter};
use tokio::time::sleep;

const ITEMS: u32 = 40;
const SIZE: usize = 4;
const BURST: u32 = 6;
const INTERVAL: Duration = Duration::from_millis(5);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // One each 5 ms; after a lull, at most 6 in a row.
    let burst = NonZeroU32::new(BURST).expect("not 0");
    let quota = Quota::with_period(INTERVAL).expect("not 0").allow_burst(burst);
    let limiter = RateLimiter::direct(quota);

    let (active, most) = (Cell::new(0), Cell::new(0));
    let request = async |item| {
        let started = Instant::now();
        active.set(active.get() + 1);
        most.set(most.get().max(active.get()));
        sleep(2 * INTERVAL).await;
        active.set(active.get() - 1);
        (item, started)
    };

    let begin = Instant::now();
    let source = stream::iter(0..ITEMS).then(async |item| {
        limiter.until_ready().await;
        item
    });
    let results = source.pool_map(SIZE, request).await;

    println!("{ITEMS} requests in {:.0?}, at most {} at once", begin.elapsed(), most.get());
    for (item, started) in &results {
        let (since, earliest) = (*started - begin, (item + 1).saturating_sub(BURST) * INTERVAL);
        if item % 8 == 0 {
            println!("request {item:2} at {since:>8.1?}, allowed from {earliest:?} on");
        }
        assert!(since >= earliest, "request {item} after {since:?}");
    }
    assert!(results.iter().map(|(item, _)| *item).eq(0..ITEMS));
    assert_eq!(most.get(), SIZE, "the burst fills all slots, and no more");
}
