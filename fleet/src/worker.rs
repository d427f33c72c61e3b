//! A worker: a pool over the messages of the broker.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::process;
use std::time::Duration;

use futures::future::{Either, FutureExt, Shared, select};
use futures::stream::{self, StreamExt, TryStreamExt};
use futures_pool::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::broker::{Broker, Place};
use crate::job::Job;
use crate::lease::Lease;
use crate::pull::{Delivery, Pull};
use crate::table::{Kind, Table};
use crate::turns::Turns;
use crate::{Failure, stop_signal};

/// How much later than a lease ends the broker may notice.
const LEASE_SLACK: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many jobs this worker runs at once
    #[arg(long, default_value_t = 8)]
    pub(crate) size: usize,
    /// How many jobs all workers together may run at once: makes the consumer, or changes it. Without it, the consumer has to
    /// be there
    #[arg(long, value_name = "SIZE", conflicts_with = "partition")]
    pub(crate) fleet: Option<usize>,
    /// Work on this partition alone, and on one job of a key at a time, in order. There has to be one worker for each partition,
    /// and no more
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
    /// For how many milliseconds the broker waits for a sign of life before it gives a job to another worker; not changed without --fleet or --partition
    #[arg(long, default_value_t = 30_000)]
    pub(crate) lease_ms: u64,
    /// After how many milliseconds a job that failed is tried again
    #[arg(long, default_value_t = 300)]
    pub(crate) retry_ms: u64,
    /// How many milliseconds jobs may still take after the signal to stop; then they are given back
    #[arg(long, default_value_t = 10_000)]
    pub(crate) grace_ms: u64,
    /// Append what happens to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    /// The name of this worker in the table
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// The command.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    // Before anything else: a signal that comes early is not to be missed.
    let stop = stop_signal()?;
    let worked = work(args, stop).await?;
    println!("{worked}");
    Ok(())
}

/// What a worker did.
#[derive(Default)]
struct Worked {
    done: Cell<usize>,
    failed: Cell<usize>,
    /// Given back because the worker was stopped: those that had started, and those that had not.
    given_back: Cell<usize>,
    /// Done, but the broker may not know.
    unconfirmed: Cell<usize>,
}

impl fmt::Display for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, given_back, unconfirmed } = self;
        write!(f, "{} done, {} failed, ", done.get(), failed.get())?;
        write!(f, "{} given back, {} not confirmed", given_back.get(), unconfirmed.get())
    }
}

/// Works on jobs until `stop`.
async fn work(args: &Args, stop: impl Future<Output = ()>) -> Result<Worked, Failure> {
    let broker = Broker::connect(&args.place.server).await?;
    let lease = Duration::from_millis(args.lease_ms);
    // Alone on a partition, it is the whole fleet.
    let limit = args.fleet.or_else(|| args.partition.map(|_| args.size));
    let consumer = broker.consumer(&args.place.stream, args.partition, limit, lease).await?;
    let name = args.name.clone().unwrap_or_else(|| process::id().to_string());
    let grace = Duration::from_millis(args.grace_ms);
    let stop = stop.shared();
    let handler = Handler {
        table: Table::open(args.table.as_deref(), &name)?,
        turns: args.partition.map(|_| Turns::default()),
        lease: consumer.lease(),
        retry: Duration::from_millis(args.retry_ms),
        out_of_time: stop.clone().then(move |()| sleep(grace)).shared(),
        worked: Worked::default(),
    };
    info!(worker = name, size = args.size, "works");

    let mut pull = Pull::new(consumer, &broker.client, args.size.max(1)).await?;
    let inherited = match args.partition {
        None => Vec::new(),
        Some(partition) => {
            match select(pin!(take_over(args, partition, &broker, &mut pull, handler.lease)), stop.clone()).await {
                Either::Left((inherited, _)) => inherited?,
                Either::Right(_) => Vec::new(),
            }
        }
    };
    let pull = RefCell::new(pull);
    let messages = stream::poll_fn(|cx| pull.borrow_mut().poll_next_unpin(cx));
    let messages = stream::iter(inherited).chain(messages).take_until(stop);
    // Once the signal has come, and while the pool finishes what it has: a request that is still at the broker is taken back,
    // and what comes in answer to it is handed back. (The pool asks for this as soon as a slot is free. While none is, there are
    // no requests.)
    let hand_back = async {
        let handing_back = pull.borrow_mut().hand_back();
        add(&handler.worked.given_back, handing_back.await);
    };
    let rest = stream::once(hand_back).filter_map(|()| async { None });

    messages
        .chain(rest)
        .pool_map(args.size, |delivery| handler.handle(delivery))
        .unordered()
        .for_each(async |()| ())
        .await;

    broker.client.drain().await?;
    info!(worker = name, "has stopped");
    Ok(handler.worked)
}

/// Waits until nobody works on a partition any more, and gives the jobs that were left in the middle, in order.
///
/// Another worker had them, and was killed. The broker gives them away again one by one, as their leases run out, and between
/// them those that nobody has had yet: not in order. So the leases are waited for, and those jobs taken first.
async fn take_over(
    args: &Args,
    partition: u32,
    broker: &Broker,
    pull: &mut Pull,
    lease: Duration,
) -> Result<Vec<Delivery>, Failure> {
    let count = async || Ok::<_, Failure>(broker.counts(&args.place.stream, Some(partition)).await?.with_workers);
    let began = Instant::now();
    let mut left = count().await?;
    while left > 0 && began.elapsed() < lease + LEASE_SLACK {
        info!(left, "waits for the leases of the worker before");
        sleep(lease / 8).await;
        left = count().await?;
    }
    if left > args.size {
        return Err(
            format!("a worker before had {left} jobs of the partition in the middle: --size {left} is needed").into()
        );
    }
    let inherited = pull.take(left).map(|delivery| {
        let info = delivery.message.info().map_err(|error| error.to_string())?;
        if info.delivered < 2 {
            return Err("another worker works on the partition".to_owned());
        }
        Ok((info.stream_sequence, delivery))
    });
    let inherited: Result<Vec<_>, _> =
        timeout(lease, inherited.try_collect()).await.map_err(|_| "another worker works on the partition")?;
    let mut inherited = inherited?;
    inherited.sort_unstable_by_key(|(sequence, _)| *sequence);
    Ok(inherited.into_iter().map(|(_, delivery)| delivery).collect())
}

/// What a job's future needs.
struct Handler<O: Future<Output = ()>> {
    table: Table,
    /// Whose turn it is, where jobs of a key are to be in order.
    turns: Option<Turns>,
    lease: Duration,
    retry: Duration,
    /// When jobs are to be given back, since the worker is to end.
    out_of_time: Shared<O>,
    worked: Worked,
}

enum Outcome {
    Done,
    Failed,
}

impl<O: Future<Output = ()>> Handler<O> {
    /// All that is done with a message, the acknowledgement included: when this future ends, its slot is free, and the broker
    /// knows.
    async fn handle(&self, delivery: Delivery) {
        let message = &delivery.message;
        let lease = Lease { message, length: self.lease };
        let (job, attempt) = match (Job::parse(&message.payload), message.info()) {
            (Ok(job), Ok(info)) => (job, u64::try_from(info.delivered).unwrap_or(1)),
            (Err(error), _) => {
                warn!(%error, "a message is no job, and is discarded");
                return lease.discard().await;
            }
            (_, Err(error)) => {
                warn!(%error, "a message is not from a stream");
                return lease.discard().await;
            }
        };
        let note = |kind| self.table.note(kind, job.id, job.key);
        let turn = async {
            match &self.turns {
                Some(turns) => Some(turns.take(job.key).await),
                None => None,
            }
        };
        let work = async {
            let turn = turn.await;
            note(Kind::Start);
            let mut outcome = do_job(&job, attempt).await;
            let mut again = attempt;
            while let (Outcome::Failed, Some(_)) = (&outcome, &turn) {
                // In order, it has to be tried again before the next one of its key: here, in its slot.
                note(Kind::Failed);
                add(&self.worked.failed, 1);
                sleep(self.retry).await;
                again += 1;
                outcome = do_job(&job, again).await;
            }
            note(match outcome {
                Outcome::Done => Kind::Done,
                Outcome::Failed => Kind::Failed,
            });
            // The next one of its key is not to start before the broker knows that this one is done.
            (outcome, turn)
        };
        match select(self.out_of_time.clone(), pin!(lease.keep(work))).await {
            Either::Left(((), _)) => {
                lease.give_back(None).await;
                add(&self.worked.given_back, 1);
                note(Kind::GivenBack);
            }
            Either::Right(((Outcome::Done, _turn), _)) => match lease.confirm().await {
                Ok(()) => {
                    add(&self.worked.done, 1);
                    note(Kind::Acknowledged);
                }
                Err(error) => {
                    warn!(%error, job = job.id, "is done, but the broker may not know, and may deliver it again");
                    add(&self.worked.unconfirmed, 1);
                    note(Kind::Unconfirmed);
                }
            },
            Either::Right(((Outcome::Failed, _turn), _)) => {
                // The slot is not held until it is tried again.
                lease.give_back(Some(self.retry)).await;
                add(&self.worked.failed, 1);
                note(Kind::GivenBack);
            }
        }
    }
}

/// The work itself, which fails as often as the job says.
async fn do_job(job: &Job, attempt: u64) -> Outcome {
    sleep(job.work()).await;
    if attempt <= job.fails { Outcome::Failed } else { Outcome::Done }
}

fn add(counter: &Cell<usize>, more: usize) {
    counter.set(counter.get() + more);
}
