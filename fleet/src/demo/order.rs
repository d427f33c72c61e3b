//! Order per key over a fleet: each key is in one partition, each partition has one worker, and that has one job of a key at a
//! time. A worker is killed; the one that takes its place waits for the leases, and keeps the order.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::fleet::{Fleet, Share, Worked};
use super::{Stage, until};
use crate::Failure;
use crate::job::{self, Job};

const PARTITIONS: u32 = 4;
const SIZE: usize = 6;
const KEYS: u64 = 24;
const JOBS: u64 = 480;
const LEASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
/// A job that takes long. The next ones of its key are with the same worker meanwhile, and wait for their turn.
const LONG: u64 = 3 * KEYS;
const LONG_WORK: u64 = 1_500;
/// When the worker of that job is killed: just after the lease of that job was renewed, and before those of the others of its key
/// are, so that these run out first.
const KILLED_AFTER: Duration = Duration::from_millis(1_370);

pub(super) async fn run(stage: &mut Stage) -> Result<(), Failure> {
    println!("\n{JOBS} jobs of {KEYS} keys in {PARTITIONS} partitions, a worker of {SIZE} for each");
    let fleet = Fleet::new(stage, "order", PARTITIONS).await?;
    let job = |id| {
        let work_ms = if id == LONG { LONG_WORK } else { 5 + id * 37 % 30 };
        Job { id, key: id % KEYS, work_ms, fails: u64::from(id % 40 == 39) }
    };
    fleet.enqueue(JOBS, job).await?;
    let worked = |partition| Worked { size: SIZE, share: Share::Partition(partition), lease: LEASE };
    for partition in 0..PARTITIONS {
        fleet.prepare(worked(partition)).await?;
    }
    for partition in 0..PARTITIONS {
        fleet.start(&format!("p{partition}"), worked(partition))?;
    }
    until("the long job runs", PATIENCE, async || Ok(fleet.entries()?.iter().any(|entry| entry.job == LONG))).await?;
    sleep(KILLED_AFTER).await;
    fleet.kill("p0").await?;
    fleet.start("p0-successor", worked(0))?;
    println!("  p0 was killed, and its successor started");
    fleet.settled(JOBS, PATIENCE).await?;
    fleet.stop_all().await?;

    let account = fleet.account()?;
    let lost = account.lost(0..JOBS).len();
    stage.check(lost == 0, format!("{} jobs were done, {lost} lost", JOBS - lost as u64));
    let wrong = account.out_of_order();
    stage.check(wrong.is_none(), wrong.unwrap_or_else(|| "those of a key one after the other, in order".to_owned()));
    let places: BTreeSet<_> = account.attempts.iter().map(|attempt| (attempt.key, &attempt.worker)).collect();
    let right =
        places.iter().all(|(key, worker)| worker.starts_with(&format!("p{}", job::partition(*key, PARTITIONS))));
    stage.check(right, "each key with the worker of its partition");
    let taken_over = account.attempts.iter().filter(|attempt| attempt.worker == "p0-successor").count();
    let in_flight = account.in_flight("p0").len();
    stage.check(
        taken_over > in_flight && in_flight > 0,
        format!("the successor did {taken_over} jobs, {in_flight} of which p0 had when it was killed"),
    );
    let most = account.most_active();
    stage.check(most > SIZE, format!("jobs of different keys at the same time, at most {most}"));
    fleet.remove().await
}
