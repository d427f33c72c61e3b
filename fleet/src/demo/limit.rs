//! Workers with more slots than the fleet may use: the limit is the broker's to keep.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::time::Instant;

use super::fleet::{Fleet, Share, Worked};
use super::{Stage, until};
use crate::Failure;
use crate::job::Job;

const LIMIT: usize = 20;
const SIZE: usize = 8;
const WORKERS: [&str; 4] = ["w0", "w1", "w2", "w3"];
const LEASE: Duration = Duration::from_secs(10);
const JOBS: u64 = 1_200;

pub(super) async fn run(stage: &mut Stage) -> Result<(), Failure> {
    println!("\n{JOBS} jobs, {} workers of {SIZE}, but a limit of {LIMIT} for all together", WORKERS.len());
    let fleet = Fleet::new(stage, "limit", 1).await?;
    fleet.enqueue(JOBS, |id| Job { id, key: id, work_ms: 30, fails: 0 }).await?;
    let began = Instant::now();
    let work = async {
        let worked = Worked { size: SIZE, share: Share::Of(LIMIT), lease: LEASE };
        fleet.prepare(worked).await?;
        for name in WORKERS {
            fleet.start(name, worked)?;
        }
        until("a third is done", LEASE, async || Ok(fleet.account()?.done().len() as u64 > JOBS / 3)).await?;
        fleet.stop("w3").await?;
        fleet.settled(JOBS, 3 * LEASE).await?;
        fleet.stop_all().await
    };
    match select(pin!(work), pin!(fleet.sample())).await {
        Either::Left((done, _)) => done?,
        Either::Right((never, _)) => never,
    }
    let account = fleet.account()?;
    let lost = account.lost(0..JOBS).len() as u64;
    stage.check(lost == 0, format!("{} jobs were done, {lost} lost", JOBS - lost));
    let broker = fleet.samples().iter().map(|sample| sample.counts.with_workers).max().unwrap_or(0);
    let most = account.most_active();
    stage.check(
        most == LIMIT && broker <= LIMIT,
        format!("at most {broker} by the broker's count, {most} by the workers' table"),
    );
    let busy = WORKERS.iter().filter(|name| account.attempts.iter().any(|attempt| attempt.worker == **name)).count();
    stage.check(busy == WORKERS.len(), format!("{busy} workers had a share"));
    let took = began.elapsed();
    stage.check(
        took < LEASE,
        format!("w3 was told to stop while it had free slots, and kept no message: {:.1} s in all", took.as_secs_f64()),
    );
    fleet.remove().await
}
