//! Four workers. One is killed, one server of the cluster is stopped and started again, one worker is told to stop. No job is
//! lost; and all the time the fleet runs no more and no fewer than it may.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::ProgressBar;
use tokio::time::sleep;

use super::fleet::{Fleet, Sample, Worked};
use super::{Stage, until};
use crate::Failure;
use crate::account::Account;
use crate::job::Job;
use crate::table;

const SIZE: usize = 8;
const WORKERS: [&str; 4] = ["w0", "w1", "w2", "w3"];
const FLEET: usize = SIZE * WORKERS.len();
/// Longer than a cluster takes to agree on a new leader.
const LEASE: Duration = Duration::from_secs(6);
/// These jobs take longer than that.
const LONG: [u64; 4] = [40, 50, 60, 70];
const LONG_WORK: u64 = 9_000;
/// One of so many fails at its first attempt.
const FAILING: u64 = 50;
/// How long nothing is broken.
const CALM: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// When what was done.
struct Story {
    killed_at: u64,
    stopped_at: u64,
    left_then: usize,
    said: String,
}

pub(super) async fn run(stage: &mut Stage, count: u64) -> Result<(), Failure> {
    let fleet = Fleet::new(stage, "faults", 1).await?;
    let jobs = (0..count as usize).map(|id| {
        let id = id as u64;
        let work_ms = if LONG.contains(&id) { LONG_WORK } else { 75 + id * 37 % 150 };
        Job { id, key: id, work_ms, fails: u64::from(id % FAILING == FAILING - 1) }
    });
    println!("\n{count} jobs, {} workers of {SIZE}: the fleet has {FLEET} slots", WORKERS.len());
    let enqueued = fleet.enqueue(jobs.clone()).await?;
    stage.check(enqueued.added == count, format!("{} jobs were put into the stream", enqueued.added));
    let enqueued = fleet.enqueue(jobs).await?;
    stage.check(enqueued.known == count, format!("put there once more, {} were there already", enqueued.known));

    let story = match select(pin!(tell(stage, &fleet, count)), pin!(fleet.sample())).await {
        Either::Left((story, _)) => story?,
        Either::Right((never, _)) => never,
    };
    report(stage, &fleet.account()?, &fleet.samples(), &story, count);
    fleet.remove().await
}

async fn tell(stage: &mut Stage, fleet: &Fleet, count: u64) -> Result<Story, Failure> {
    for name in WORKERS {
        fleet.start(name, Worked { size: SIZE, fleet: FLEET, partition: None, lease: LEASE })?;
    }
    until("all slots are held", PATIENCE, async || Ok(fleet.held(None)? == FLEET)).await?;
    sleep(CALM).await;

    until("all slots of w1 are held", PATIENCE, async || Ok(fleet.held(Some("w1"))? == SIZE)).await?;
    fleet.kill("w1").await?;
    let killed_at = table::now();
    println!("  w1 was killed");

    if stage.replicas > 1
        && let Some(servers) = &mut stage.servers
    {
        sleep(Duration::from_millis(300)).await;
        let leader = fleet.leader().await?;
        servers.stop(&leader).await?;
        println!("  the server {leader}, which led the stream, was stopped");
        sleep(Duration::from_millis(1_500)).await;
        servers.restart(&leader).await?;
        println!("  and started again");
    }

    until("all slots of w2 are held", PATIENCE, async || Ok(fleet.held(Some("w2"))? == SIZE)).await?;
    let stopped_at = table::now();
    let left_then = fleet.samples().last().map_or(0, |sample| sample.counts.left);
    let said = fleet.stop("w2").await?;
    println!("  w2 was told to stop, and did");

    let bar = ProgressBar::new(count);
    let all = fleet.empty(None, PATIENCE);
    let shown = async {
        loop {
            bar.set_position(fleet.account().map_or(0, |account| account.done().len() as u64));
            sleep(Duration::from_millis(200)).await;
        }
    };
    match select(pin!(all), pin!(shown)).await {
        Either::Left((done, _)) => done?,
        Either::Right(((), _)) => {}
    }
    bar.finish_and_clear();
    fleet.stop_all().await?;
    Ok(Story { killed_at, stopped_at, left_then, said })
}

fn report(stage: &mut Stage, account: &Account, samples: &[Sample], story: &Story, count: u64) {
    let broker = samples.iter().map(|sample| sample.counts.with_workers).max().unwrap_or(0);
    let most = account.most_active();
    println!("no more:");
    stage.check(
        (1..=FLEET).contains(&broker),
        format!(
            "by the broker's count, in {} samples, the workers had at most {broker} jobs of {FLEET}",
            samples.len()
        ),
    );
    stage.check((1..=FLEET).contains(&most), format!("by the workers' table, they worked on at most {most} at once"));

    println!("no less, until the first fault:");
    let load = account.load(FLEET, story.killed_at);
    let calm: Vec<_> =
        samples.iter().filter(|it| it.at < story.killed_at && account.load(FLEET, it.at).is_some()).collect();
    let left = calm.iter().map(|sample| sample.counts.left).min().unwrap_or(0);
    stage.check(left > 0, format!("there were jobs left, {left} of them at the end"));
    let broker = mean(calm.iter().map(|sample| sample.counts.with_workers));
    let table = mean(calm.iter().map(|sample| account.active_at(sample.at)));
    println!(
        "         on average in {} samples, {broker:.1} by the broker's count; at the same moments, {table:.1} at work",
        calm.len()
    );
    let (full, held) = load.map_or((0.0, 0.0), |load| (load.full, load.mean));
    stage.check(
        held > 0.9 * FLEET as f64,
        format!("{held:.1} slots of {FLEET} were held on average, all of them {:.1} % of the time", full * 100.0),
    );

    println!("nothing lost:");
    let lost = account.lost(0..count);
    stage.check(
        lost.is_empty(),
        format!("{} of {count} jobs were done, {} lost", count - lost.len() as u64, lost.len()),
    );
    let in_flight = account.in_flight("w1");
    let repeated = account.repeated();
    let of_others = repeated.iter().filter(|attempt| !(attempt.worker == "w1" && in_flight.contains(&attempt.job)));
    let of_others: Vec<_> = of_others.map(|attempt| format!("job {} of {}", attempt.job, attempt.worker)).collect();
    stage.check(
        !in_flight.is_empty() && in_flight.iter().all(|job| repeated.iter().any(|attempt| attempt.job == *job)),
        format!("the {} jobs that w1 had when it was killed were started again", in_flight.len()),
    );
    stage.check(of_others.is_empty(), format!("others that were: {}{}", of_others.len(), list(&of_others)));
    let twice: usize = account.done().values().map(|times| times - 1).sum();
    stage.check(twice <= in_flight.len(), format!("{twice} jobs were done twice, of at most {}", in_flight.len()));
    let second = account.attempts.iter().filter(|it| it.done && it.job % FAILING == FAILING - 1).count();
    let tried = account.attempts.iter().filter(|it| it.job % FAILING == FAILING - 1).count();
    stage.check(tried >= 2 * second && second > 0, format!("{second} jobs that failed at first were done later"));

    println!("stopped:");
    let late =
        account.attempts.iter().filter(|it| it.worker == "w2" && it.start > story.stopped_at + 1_000_000).count();
    stage.check(
        late == 0 && story.left_then > 0,
        format!("w2 started nothing more, though {} jobs were left", story.left_then),
    );
    let open = account.in_flight("w2").len() + repeated.iter().filter(|attempt| attempt.worker == "w2").count();
    stage.check(open == 0, format!("it left {open} jobs without an end: {}", story.said));
}

fn list(items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!(" ({})", items.join(", ")) }
}

#[expect(clippy::cast_precision_loss, reason = "these are small")]
fn mean(counts: impl ExactSizeIterator<Item = usize>) -> f64 {
    let count = counts.len().max(1) as f64;
    counts.sum::<usize>() as f64 / count
}
