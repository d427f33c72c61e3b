//! A fleet: a stream, the workers on it, and the table that they write.

use std::cell::RefCell;
use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{Stage, until};
use crate::Failure;
use crate::account::Account;
use crate::broker::{Broker, Counts, Place};
use crate::enqueue::{self, Enqueued};
use crate::job::Job;
use crate::servers;
use crate::table::{self, Entry};

/// How often the broker is asked for its counts.
const SAMPLES: Duration = Duration::from_millis(20);
/// How long jobs may still take when their worker is told to stop; those that take longer are given back.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How long a worker may take until it has ended.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Fleet {
    pub(super) broker: Broker,
    pub(super) place: Place,
    replicas: usize,
    partitions: u32,
    directory: TempDir,
    workers: RefCell<Vec<Worker>>,
    killed: RefCell<Vec<(String, u64)>>,
    samples: RefCell<Vec<Sample>>,
}

struct Worker {
    name: String,
    child: Child,
}

/// What the broker counted, and when.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: u64,
    pub(super) counts: Counts,
}

/// What a worker is started with.
#[derive(Clone, Copy)]
pub(super) struct Worked {
    pub(super) size: usize,
    pub(super) share: Share,
    pub(super) lease: Duration,
}

/// Which jobs a worker has a share in.
#[derive(Clone, Copy)]
pub(super) enum Share {
    /// All; so many may run at once with all workers together.
    Of(usize),
    /// Those of a partition, alone.
    Partition(u32),
}

impl Fleet {
    /// Makes what there is without workers.
    pub(super) async fn new(stage: &Stage, name: &str, partitions: u32) -> Result<Self, Failure> {
        // A connection of its own: the one that is closed with it is not needed by others.
        let broker = Broker::connect(&stage.urls).await?;
        let place = Place { server: stage.urls.clone(), stream: format!("fleet-{name}-{}", stage.run) };
        let fleet = Self {
            broker,
            place,
            replicas: stage.replicas,
            partitions,
            directory: tempfile::Builder::new().prefix("fleet-").tempdir()?,
            workers: RefCell::default(),
            killed: RefCell::default(),
            samples: RefCell::default(),
        };
        // A cluster takes a moment until it agrees on anything.
        until("a stream can be made", PATIENCE, async || {
            Ok(fleet.broker.stream(&fleet.place.stream, fleet.replicas).await.is_ok())
        })
        .await?;
        Ok(fleet)
    }

    /// Puts `count` jobs into the stream.
    pub(super) async fn enqueue(&self, count: u64, job: impl Fn(u64) -> Job) -> Result<Enqueued, Failure> {
        let args = enqueue::Args {
            place: self.place.clone(),
            count,
            work_ms: 0,
            keys: 0,
            failing: 0,
            partitions: self.partitions,
            replicas: self.replicas,
            name: "demo".to_owned(),
        };
        enqueue::enqueue(&self.broker, &args, (0..count).map(job), || ()).await
    }

    /// Makes the consumer of workers that are to start. In a cluster, it takes a moment until it has a leader; what it is asked
    /// before is lost, and asked again only later.
    pub(super) async fn prepare(&self, worked: Worked) -> Result<(), Failure> {
        let (partition, limit) = match worked.share {
            Share::Of(fleet) => (None, fleet),
            Share::Partition(partition) => (Some(partition), worked.size),
        };
        self.broker.consumer(&self.place.stream, partition, Some(limit), worked.lease).await?;
        until("the consumer answers", PATIENCE, async || {
            Ok(self.broker.counts(&self.place.stream, partition).await.is_ok_and(|counts| counts.left > 0))
        })
        .await
    }

    /// Starts a worker.
    pub(super) fn start(&self, name: &str, worked: Worked) -> Result<(), Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.args([
            "--quiet",
            "worker",
            "--name",
            name,
            "--server",
            &self.place.server,
            "--stream",
            &self.place.stream,
        ]);
        command.arg("--table").arg(self.table());
        for (option, value) in [
            ("--size", worked.size.to_string()),
            ("--lease-ms", worked.lease.as_millis().to_string()),
            ("--grace-ms", GRACE.as_millis().to_string()),
        ] {
            command.args([option, &value]);
        }
        match worked.share {
            Share::Of(fleet) => command.args(["--fleet", &fleet.to_string()]),
            Share::Partition(partition) => command.args(["--partition", &partition.to_string()]),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        self.workers.borrow_mut().push(Worker { name: name.to_owned(), child });
        Ok(())
    }

    /// Kills a worker: it has no time to do anything.
    pub(super) async fn kill(&self, name: &str) -> Result<(), Failure> {
        let mut worker = self.take(name)?;
        worker.child.kill().await?;
        self.killed.borrow_mut().push((worker.name, table::now()));
        Ok(())
    }

    /// Stops a worker by a signal, and waits until it has ended. Tells what it says about its work.
    pub(super) async fn stop(&self, name: &str) -> Result<String, Failure> {
        let mut worker = self.take(name)?;
        if let Some(status) = worker.child.try_wait()? {
            return Err(format!("the worker {name} has ended by itself: {status}").into());
        }
        servers::end(&mut worker.child, PATIENCE).await?;
        let status = worker.child.wait().await?;
        if !status.success() {
            return Err(format!("the worker {name} has failed: {status}").into());
        }
        let mut said = String::new();
        worker.child.stdout.take().expect("it is piped").read_to_string(&mut said).await?;
        Ok(said.trim().to_owned())
    }

    /// Stops all workers that are left.
    pub(super) async fn stop_all(&self) -> Result<(), Failure> {
        let names: Vec<_> = self.workers.borrow().iter().map(|worker| worker.name.clone()).collect();
        for name in names {
            self.stop(&name).await?;
        }
        Ok(())
    }

    fn take(&self, name: &str) -> Result<Worker, Failure> {
        let mut workers = self.workers.borrow_mut();
        let index = workers.iter().position(|worker| worker.name == name);
        Ok(workers.swap_remove(index.ok_or_else(|| format!("there is no worker {name}"))?))
    }

    fn table(&self) -> PathBuf {
        self.directory.path().join("table")
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, Failure> {
        Ok(if self.table().exists() { table::read(&self.table())? } else { Vec::new() })
    }

    /// What the table says.
    pub(super) fn account(&self) -> Result<Account, Failure> {
        Ok(Account::new(&self.entries()?, self.killed.borrow().iter().cloned())?)
    }

    /// How many slots of a worker, or of all, are held.
    pub(super) fn held(&self, name: Option<&str>) -> Result<usize, Failure> {
        let account = self.account()?;
        let is_meant = |worker: &str| name.is_none_or(|name| worker == name);
        Ok(account.attempts.iter().filter(|attempt| attempt.end.is_none() && is_meant(&attempt.worker)).count())
    }

    /// Waits until `jobs` jobs are done, and the broker knows; no longer than `limit`, as jobs that were lost never are.
    pub(super) async fn settled(&self, jobs: u64, limit: Duration) -> Result<(), Failure> {
        let partitions: Vec<_> =
            if self.partitions == 1 { vec![None] } else { (0..self.partitions).map(Some).collect() };
        let settled = until("the jobs are done", limit, async || {
            for partition in &partitions {
                // There may be no leader at the moment, or one that does not know of anything yet.
                match self.broker.counts(&self.place.stream, *partition).await {
                    Ok(Counts { left: 0, with_workers: 0 }) => {}
                    _ => return Ok(false),
                }
            }
            Ok(self.account()?.done().len() as u64 >= jobs)
        });
        settled.await.or_else(|error| {
            println!("  {error}");
            self.account().map(drop)
        })
    }

    /// Asks the broker for its counts, again and again.
    pub(super) async fn sample(&self) -> ! {
        loop {
            let before = table::now();
            if let Ok(counts) = self.broker.counts(&self.place.stream, None).await {
                let at = u64::midpoint(before, table::now());
                self.samples.borrow_mut().push(Sample { at, counts });
            }
            sleep(SAMPLES).await;
        }
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.borrow().clone()
    }

    /// The server that leads the consumer, in a cluster.
    pub(super) async fn leader(&self) -> Result<String, Failure> {
        Ok(self.broker.leader(&self.place.stream, None).await?.ok_or("the consumer has no leader")?)
    }

    /// Removes the stream, which has to be done with.
    pub(super) async fn remove(self) -> Result<(), Failure> {
        self.broker.context.delete_stream(&self.place.stream).await?;
        Ok(())
    }
}
