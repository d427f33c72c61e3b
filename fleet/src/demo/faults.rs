//! Four workers. One is killed, one server of the cluster is stopped and started again, one worker is told to stop. No job is
//! lost; and all the time the fleet runs no more and no fewer than it may.

use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::ProgressBar;
use tokio::time::sleep;

use super::fleet::{Fleet, GRACE, Sample, Share, Worked};
use super::{Stage, until};
use crate::Failure;
use crate::account::{Account, Attempt};
use crate::job::Job;
use crate::table;

const SIZE: usize = 8;
const WORKERS: [&str; 4] = ["w0", "w1", "w2", "w3"];
const FLEET: usize = SIZE * WORKERS.len();
/// For how long the broker waits for a sign of life of a worker: in a cluster, longer than it takes to agree on a new leader.
const LEASE: Duration = Duration::from_secs(3);
const LEASE_IN_CLUSTER: Duration = Duration::from_secs(8);
/// These jobs take half as long again as the lease is.
const LONG: [u64; 8] = [40, 50, 60, 70, 80, 90, 100, 110];
/// Of the second half of the jobs, one of so many fails at its first attempt. (While it waits for the next one, it holds no slot,
/// but for the broker it is with the workers; so the fleet is one job short.)
const FAILING: u64 = 25;
/// How long nothing is broken.
const CALM: Duration = Duration::from_secs(2);
/// How many slots are to be held on average, at least, while there are jobs left and nothing is broken.
/// (With workers that prefetch, fewer are.)
const ENOUGH: f64 = 0.94 * 32.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// When what was done.
struct Story {
    killed_at: u64,
    /// From a little before the server was stopped until a little after another one led.
    down: Option<Range<u64>>,
    stopped_at: u64,
    ended_at: u64,
    left_then: usize,
    said: String,
}

pub(super) async fn run(stage: &mut Stage, count: u64) -> Result<(), Failure> {
    let fleet = Fleet::new(stage, "faults", 1).await?;
    let lease = if stage.replicas > 1 { LEASE_IN_CLUSTER } else { LEASE };
    let long = u64::try_from(lease.as_millis())? * 3 / 2;
    let job = |id| {
        let work_ms = if LONG.contains(&id) { long } else { 75 + id * 37 % 150 };
        Job { id, key: id, work_ms, fails: u64::from(fails(id, count)) }
    };
    println!("\n{count} jobs, {} workers of {SIZE}: the fleet has {FLEET} slots", WORKERS.len());
    let enqueued = fleet.enqueue(count, job).await?;
    stage.check(enqueued.added == count, format!("{} jobs were put into the stream", enqueued.added));
    let enqueued = fleet.enqueue(count, job).await?;
    stage.check(enqueued.known == count, format!("put there once more, {} were there already", enqueued.known));

    let story = match select(pin!(tell(stage, &fleet, count, lease)), pin!(fleet.sample())).await {
        Either::Left((story, _)) => story?,
        Either::Right((never, _)) => never,
    };
    report(stage, &fleet.account()?, &fleet.samples(), &story, count);
    fleet.remove().await
}

async fn tell(stage: &mut Stage, fleet: &Fleet, count: u64, lease: Duration) -> Result<Story, Failure> {
    let worked = Worked { size: SIZE, share: Share::Of(FLEET), lease };
    fleet.prepare(worked).await?;
    for name in WORKERS {
        fleet.start(name, worked)?;
    }
    until("all slots are held", PATIENCE, async || Ok(fleet.held(None)? == FLEET)).await?;
    sleep(CALM).await;

    until("all slots of w1 are held", PATIENCE, async || Ok(fleet.held(Some("w1"))? == SIZE)).await?;
    fleet.kill("w1").await?;
    let killed_at = table::now();
    println!("  w1 was killed");

    let mut down = None;
    if stage.replicas > 1
        && let Some(servers) = &mut stage.servers
    {
        sleep(Duration::from_millis(300)).await;
        let leader = fleet.leader().await?;
        let from = table::now() - 1_000_000;
        servers.stop(&leader).await?;
        println!("  the server {leader}, which led the consumer, was stopped");
        sleep(Duration::from_millis(1_500)).await;
        servers.restart(&leader).await?;
        println!("  and started again");
        until("the consumer has a leader", PATIENCE, async || Ok(fleet.leader().await.is_ok())).await?;
        down = Some(from..table::now() + 1_000_000);
    }

    // A message that was on its way when the server stopped is with nobody until its lease runs out; so not all may be held.
    until("w2 has jobs", PATIENCE, async || Ok(fleet.held(Some("w2"))? > SIZE / 2)).await?;
    let stopped_at = table::now();
    let left_then = fleet.samples().last().map_or(0, |sample| sample.counts.left);
    let said = fleet.stop("w2").await?;
    let ended_at = table::now();
    println!("  w2 was told to stop, and did");

    let bar = ProgressBar::new(count);
    let all = fleet.settled(count, PATIENCE);
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
    Ok(Story { killed_at, down, stopped_at, ended_at, left_then, said })
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
        held > ENOUGH,
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
    // A leader that stops may have confirmed an acknowledgement that the other servers have not heard of yet.
    let hit = |it: &Attempt| {
        story.down.as_ref().is_some_and(|down| it.start < down.end && it.end.is_some_and(|(at, _)| at > down.start))
    };
    let (of_killed, others): (Vec<&Attempt>, Vec<_>) =
        repeated.iter().partition(|it| it.worker == "w1" && in_flight.contains(&it.job));
    let (of_leader, of_others): (Vec<_>, Vec<_>) = others.into_iter().partition(|attempt| hit(attempt));
    stage.check(
        !in_flight.is_empty() && in_flight.iter().all(|job| of_killed.iter().any(|attempt| attempt.job == *job)),
        format!("the {} jobs that w1 had when it was killed were started again", in_flight.len()),
    );
    if story.down.is_some() {
        let count = of_leader.len();
        stage.check(
            count <= FLEET,
            format!("so were {count} more, whose acknowledgement only the server that was stopped had heard of"),
        );
    }
    let names: Vec<_> =
        of_others.iter().map(|attempt| format!(", job {} of {}", attempt.job, attempt.worker)).collect();
    stage.check(names.is_empty(), format!("so were {} others{}", names.len(), names.concat()));
    let twice: usize = account.done().values().map(|times| times - 1).sum();
    let lost_with_leader = of_leader.iter().filter(|attempt| attempt.done).count();
    stage.check(
        twice <= in_flight.len() + lost_with_leader,
        format!(
            "{twice} jobs were done twice; w1 had {}, and the server that was stopped {lost_with_leader}",
            in_flight.len()
        ),
    );
    let second = account.attempts.iter().filter(|it| it.done && fails(it.job, count)).count();
    let tried = account.attempts.iter().filter(|it| fails(it.job, count)).count();
    stage.check(tried >= 2 * second && second > 0, format!("{second} jobs that failed at first were done later"));

    println!("stopped:");
    let late =
        account.attempts.iter().filter(|it| it.worker == "w2" && it.start > story.stopped_at + 1_000_000).count();
    stage.check(
        late == 0 && story.left_then > 0,
        format!("w2 started nothing more, though {} jobs were left", story.left_then),
    );
    let took = Duration::from_micros(story.ended_at - story.stopped_at);
    stage.check(
        took < GRACE + Duration::from_secs(1),
        format!("it ended after {:.1} s, of {} s", took.as_secs_f64(), GRACE.as_secs()),
    );
    let open = account.in_flight("w2").len() + of_others.iter().filter(|attempt| attempt.worker == "w2").count();
    stage.check(open == 0, format!("it left {open} jobs without an end: {}", story.said));
}

/// Whether a job fails at its first attempt.
fn fails(job: u64, count: u64) -> bool {
    job >= count / 2 && job.is_multiple_of(FAILING)
}

#[expect(clippy::cast_precision_loss, reason = "these are small")]
fn mean(counts: impl ExactSizeIterator<Item = usize>) -> f64 {
    let count = counts.len().max(1) as f64;
    counts.sum::<usize>() as f64 / count
}
