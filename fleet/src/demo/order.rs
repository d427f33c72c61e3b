//! Order per key over a fleet: each key is in one partition, each partition has one worker, and that has one job of a key at a
//! time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Stage;
use super::fleet::{Fleet, Worked};
use crate::Failure;
use crate::job::{self, Job};

const PARTITIONS: u32 = 4;
const SIZE: usize = 6;
const KEYS: u64 = 24;
const JOBS: u64 = 480;
const LEASE: Duration = Duration::from_secs(3);

pub(super) async fn run(stage: &mut Stage) -> Result<(), Failure> {
    println!("\n{JOBS} jobs of {KEYS} keys in {PARTITIONS} partitions, a worker of {SIZE} for each");
    let fleet = Fleet::new(stage, "order", PARTITIONS).await?;
    let jobs = (0..JOBS as usize).map(|id| {
        let id = id as u64;
        Job { id, key: id % KEYS, work_ms: 5 + id * 37 % 30, fails: u64::from(id % 40 == 39) }
    });
    fleet.enqueue(jobs).await?;
    for partition in 0..PARTITIONS {
        let worked = Worked { size: SIZE, fleet: SIZE, partition: Some(partition), lease: LEASE };
        fleet.start(&format!("p{partition}"), worked)?;
    }
    for partition in 0..PARTITIONS {
        fleet.empty(Some(partition), Duration::from_secs(30)).await?;
    }
    fleet.stop_all().await?;

    let account = fleet.account()?;
    let lost = account.lost(0..JOBS).len();
    stage.check(lost == 0, format!("{} jobs were done, {lost} lost", JOBS - lost as u64));
    let wrong = account.out_of_order();
    stage.check(wrong.is_none(), wrong.unwrap_or_else(|| "those of a key one after the other, in order".to_owned()));
    let places: BTreeSet<_> = account.attempts.iter().map(|attempt| (attempt.key, &attempt.worker)).collect();
    let right = places.iter().all(|(key, worker)| **worker == format!("p{}", job::partition(*key, PARTITIONS)));
    stage.check(right && places.len() as u64 == KEYS, format!("{} pairs of a key and a worker", places.len()));
    let most = account.most_active();
    stage.check(most > SIZE, format!("beside each other, at most {most} of different keys"));
    fleet.remove().await
}
