//! Tries again, with backoff, what has failed for a while only: by the crate `backon`.
//!
//! ```text
//! cargo run --example retry
//! ```
//!
//! The idea: the retries are a loop inside the future, so the pool has one future an item, and never more tries
//! under way than slots.
//!
//! The pitfall: such a future keeps its slot while it waits for its next try. That is right where a failure means that the
//! other side has enough to do. Where slots are scarce, the second way gives the slot back: what has failed waits in a
//! pool without a limit, and then is pushed again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};
use futures::StreamExt;
use futures_pool::{Pool, prelude::*};
use tokio::time::{Duration, Instant, sleep};

const SIZE: usize = 4;
const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Busy,
    NotFound,
}

/// A service that is busy at the first two requests for each third page, and at all for page 20; it has no page 10.
#[derive(Default)]
struct Service {
    tries: RefCell<HashMap<u32, u32>>,
    active: Cell<usize>,
}

impl Service {
    async fn fetch(&self, page: u32) -> Result<u32, Failure> {
        let attempt = *self.tries.borrow_mut().entry(page).and_modify(|tries| *tries += 1).or_insert(1);
        self.active.set(self.active.get() + 1);
        assert!(self.active.get() <= SIZE);
        sleep(10 * MS).await;
        self.active.set(self.active.get() - 1);
        match page {
            10 => Err(Failure::NotFound),
            20 => Err(Failure::Busy),
            _ if page % 3 == 0 && attempt <= 2 => Err(Failure::Busy),
            _ => Ok(page),
        }
    }

    /// Checks that what can be had was had, after just as many tries as it takes.
    fn check(&self, mut results: Vec<(u32, Result<u32, Failure>)>) {
        results.sort_by_key(|(page, _)| *page);
        assert!(results.iter().map(|(page, _)| *page).eq(0..30), "each page once");
        for (page, result) in results {
            let (tries, expected) = match page {
                10 => (1, Err(Failure::NotFound)), // trying again is of no use
                20 => (4, Err(Failure::Busy)),     // given up
                _ => (if page % 3 == 0 { 3 } else { 1 }, Ok(page)),
            };
            assert_eq!((self.tries.borrow()[&page], result), (tries, expected), "page {page}");
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    // 100, 200 and 400 ms. Where many clients fail at the same time, add `.with_jitter()`.
    let backoff = ExponentialBuilder::new().with_min_delay(100 * MS).with_max_times(3);

    // The slot is kept.
    let (start, service) = (Instant::now(), &Service::default());
    let fetch = |page| (move || service.fetch(page)).retry(backoff).when(|failure| *failure == Failure::Busy);
    let results = (0..30).pool_map(SIZE, fetch).await;
    let kept = start.elapsed();
    println!("{SIZE} slots, kept between tries:       {kept:?}");
    service.check((0..).zip(results).collect());

    // The slot is given back.
    let (start, service) = (Instant::now(), &Service::default());
    let attempt =
        |(page, backoff): (u32, ExponentialBackoff)| async move { (page, backoff, service.fetch(page).await) };
    let mut results = Vec::new();
    let mut tries = Pool::new(SIZE);
    let mut pauses = Pool::new(usize::MAX); // what only waits needs no limit
    let _ = tries.map_n((0..30).map(|page| (page, backoff.build())), attempt);
    loop {
        tokio::select! {
            Some((_, (page, mut backoff, result))) = tries.next() => match (result, backoff.next()) {
                (Err(Failure::Busy), Some(pause)) => {
                    pauses.spawn_n(async move { sleep(pause).await; (page, backoff) });
                }
                (result, _) => results.push((page, result)),
            },
            Some((_, again)) = pauses.next() => { tries.spawn_n(attempt(again)); }
            else => break,
        }
    }
    let given_back = start.elapsed();
    println!("{SIZE} slots, given back between tries: {given_back:?}");
    service.check(results);
    assert!(given_back < kept);
}
