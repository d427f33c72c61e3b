//! How fast it is: on jobs that only wait, with more and more workers; and what the pool costs, compared with
//! `for_each_concurrent`.

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use futures::stream::StreamExt;
use futures_pool::prelude::*;
use tokio::time::Instant;

use super::Stage;
use super::fleet::{Fleet, Share, Worked};
use crate::Failure;
use crate::job::Job;
use crate::lease::Lease;
use crate::pull::{Delivery, Pull};

const SIZE: usize = 4;
const WORK_MS: u64 = 5;
/// How many jobs a worker would do in the time of the measurement.
const JOBS: u64 = 1_200;
/// For the comparison of what the pool costs.
const ROUNDS: usize = 5;
const ROUND: usize = 600;
const LEASE: Duration = Duration::from_secs(30);

pub(super) async fn run(stage: &mut Stage) -> Result<(), Failure> {
    println!("\njobs that wait for {WORK_MS} ms, workers of {SIZE}");
    for workers in [1, 2, 4] {
        throughput(stage, workers).await?;
    }
    overhead(stage).await
}

#[expect(clippy::cast_precision_loss, reason = "these are small")]
async fn throughput(stage: &mut Stage, workers: usize) -> Result<(), Failure> {
    let fleet = Fleet::new(stage, &format!("speed{workers}"), 1).await?;
    let count = JOBS * workers as u64;
    fleet.enqueue(count, |id| Job { id, key: 0, work_ms: WORK_MS, fails: 0 }).await?;
    let worked = Worked { size: SIZE, share: Share::Of(SIZE * workers), lease: LEASE };
    fleet.prepare(worked).await?;
    for worker in 0..workers {
        fleet.start(&format!("w{worker}"), worked)?;
    }
    fleet.settled(count, Duration::from_secs(60)).await?;
    fleet.stop_all().await?;
    let account = fleet.account()?;
    // From when all workers are there until one of them finds nothing more to do.
    let names = (0..workers).map(|worker| format!("w{worker}"));
    let times: Vec<_> = names
        .map(|name| account.attempts.iter().filter(|it| it.worker == name).map(|it| it.start).collect::<Vec<_>>())
        .collect();
    let from = times.iter().filter_map(|times| times.iter().min()).max().copied().unwrap_or(0);
    let to = times.iter().filter_map(|times| times.iter().max()).min().copied().unwrap_or(0);
    let done = account.attempts.iter().filter(|it| it.done && (from..to).contains(&it.start)).count();
    let seconds = to.saturating_sub(from) as f64 / 1e6;
    let (rate, ideal) = (done as f64 / seconds, (workers * SIZE) as f64 * 1000.0 / WORK_MS as f64);
    let lost = account.lost(0..count).len();
    stage.check(
        lost == 0 && rate <= ideal * 1.02,
        format!("{workers} workers: {rate:5.0} jobs/s, {:.0} % of {ideal:.0}; {lost} lost", 100.0 * rate / ideal),
    );
    let (work, rest) = account.means();
    let (work, rest) = (work as f64 / 1e3, rest as f64 / 1e3);
    let possible = (workers * SIZE) as f64 * 1000.0 / work;
    println!(
        "         by the clock of the runtime, {WORK_MS} ms were {work:.1} ms: {:.0} % of what that allows; \
         {rest:.1} ms for the acknowledgement",
        100.0 * rate / possible
    );
    fleet.remove().await
}

/// The same messages, from the same consumer, by the pool and by `for_each_concurrent`, in turn; both acknowledge, and do
/// nothing else.
#[expect(clippy::cast_precision_loss, reason = "it is small")]
async fn overhead(stage: &mut Stage) -> Result<(), Failure> {
    let size = SIZE * 4;
    println!("\n{ROUND} jobs without work, {size} at once, in one process; the median of {ROUNDS} rounds of each kind");
    let fleet = Fleet::new(stage, "overhead", 1).await?;
    let jobs = (2 * ROUNDS * ROUND) as u64;
    fleet.enqueue(jobs, |id| Job { id, key: 0, work_ms: 0, fails: 0 }).await?;
    let consumer = fleet.broker.consumer(&fleet.place.stream, None, Some(size), LEASE).await?;
    let mut pull = Pull::new(consumer, &fleet.broker.client, size).await?;
    let handle = async |delivery: Delivery| {
        let lease = Lease { message: &delivery.message, length: LEASE };
        if let Err(error) = lease.confirm().await {
            eprintln!("not confirmed: {error}");
        }
    };
    let (mut by_pool, mut by_other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        Pin::new(&mut pull).take(ROUND).pool_map(size, handle).unordered().for_each(ready).await;
        by_pool.push(began.elapsed());
        let began = Instant::now();
        Pin::new(&mut pull).take(ROUND).for_each_concurrent(size, handle).await;
        by_other.push(began.elapsed());
    }
    let each = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6 / ROUND as f64
    };
    let (pool, other) = (each(&mut by_pool), each(&mut by_other));
    println!(
        "         a message takes {pool:.1} µs by pool_map, {other:.1} µs by for_each_concurrent: {:+.1} µs",
        pool - other
    );
    let counts = fleet.broker.counts(&fleet.place.stream, None).await?;
    stage.check(counts.left == 0 && counts.with_workers == 0, "all of them were acknowledged");
    fleet.remove().await
}
