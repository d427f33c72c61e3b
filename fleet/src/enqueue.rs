//! Puts jobs into the stream.

use std::pin::pin;

use async_nats::jetstream::message::PublishMessage;
use futures::stream::{self, StreamExt};
use futures_pool::prelude::*;
use indicatif::ProgressBar;

use crate::Failure;
use crate::broker::{Broker, Place};
use crate::job::{self, Job};

/// How many jobs wait at once for the broker to say that it has them.
const UNCONFIRMED: usize = 64;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many jobs
    #[arg(long, default_value_t = 1_000)]
    pub(crate) count: u64,
    /// How long a job takes, in milliseconds; they differ, from half to one and a half times as long
    #[arg(long, default_value_t = 100)]
    pub(crate) work_ms: u64,
    /// How many keys there are
    #[arg(long, default_value_t = 100)]
    pub(crate) keys: u64,
    /// How many of the jobs, spread evenly, fail at their first attempt
    #[arg(long, default_value_t = 0)]
    pub(crate) failing: u64,
    /// Over how many subjects to spread the keys, one for each worker that keeps the order per key
    #[arg(long, default_value_t = 1)]
    pub(crate) partitions: u32,
    /// On how many servers of a cluster each job is kept
    #[arg(long, default_value_t = 1)]
    pub(crate) replicas: usize,
    /// The name of these jobs. The same jobs under the same name, within two minutes, are not put there twice
    #[arg(long, default_value = "batch")]
    pub(crate) name: String,
}

/// How many jobs were put there, and how many were there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enqueued {
    pub(crate) added: u64,
    pub(crate) known: u64,
}

/// The command.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let broker = Broker::connect(&args.place.server).await?;
    let bar = ProgressBar::new(args.count);
    let enqueued = enqueue(&broker, args, jobs(args), || bar.inc(1)).await?;
    bar.finish_and_clear();
    let Enqueued { added, known } = enqueued;
    println!("{added} jobs added to {:?}; {known} were there already", args.place.stream);
    Ok(())
}

/// The jobs that `args` ask for, the same each time.
pub(crate) fn jobs(args: &Args) -> impl Iterator<Item = Job> + use<> {
    let Args { count, work_ms, keys, failing, .. } = *args;
    (0..count).map(move |id| Job {
        id,
        key: id % keys.max(1),
        work_ms: work_ms / 2 + id * 37 % (work_ms + 1),
        // The ids at which `failing * id / count` becomes larger.
        fails: u64::from((id + 1) * failing / count > id * failing / count),
    })
}

/// Sends jobs in order, and waits until the broker has them all. The id of a message is the name of the batch and the number
/// of the job; so the broker drops what is sent again.
pub(crate) async fn enqueue(
    broker: &Broker,
    args: &Args,
    jobs: impl Iterator<Item = Job>,
    mut confirmed: impl FnMut(),
) -> Result<Enqueued, Failure> {
    broker.stream(&args.place.stream, args.replicas).await?;
    let send = async |job: Job| {
        let subject = job::subject(&args.place.stream, job::partition(job.key, args.partitions));
        let id = format!("{}-{}", args.name, job.id);
        let message = PublishMessage::build().message_id(id).payload(job.body().into());
        broker.context.send_publish(subject, message).await
    };
    let mut enqueued = Enqueued { added: 0, known: 0 };
    let answers = stream::iter(jobs)
        .then(send)
        .pool_map(UNCONFIRMED, async |sent| Ok::<_, Failure>(sent?.await?))
        .unordered()
        .fail_fast();
    let mut answers = pin!(answers);
    while let Some(answer) = answers.next().await {
        *(if answer?.duplicate { &mut enqueued.known } else { &mut enqueued.added }) += 1;
        confirmed();
    }
    Ok(enqueued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Args {
        Line::parse_from(line.split_whitespace()).args
    }

    #[test]
    fn the_jobs_are_those_that_were_asked_for() {
        let args = parse("enqueue --count 200 --work-ms 10 --keys 7 --failing 5");
        let jobs: Vec<_> = jobs(&args).collect();
        assert!(jobs.iter().map(|job| job.id).eq(0..200));
        assert!(jobs.iter().all(|job| job.key < 7 && (5..=15).contains(&job.work_ms)));
        assert_eq!(jobs.iter().map(|job| job.fails).sum::<u64>(), 5);
        assert!((1_900..2_100).contains(&jobs.iter().map(|job| job.work_ms).sum::<u64>()));
    }

    #[test]
    fn no_keys_are_one_and_no_work_is_none() {
        let jobs: Vec<_> = jobs(&parse("enqueue --count 3 --work-ms 0 --keys 0")).collect();
        assert!(jobs.iter().all(|job| (job.key, job.work_ms, job.fails) == (0, 0, 0)));
    }
}
