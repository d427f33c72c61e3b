//! Fleets of workers on this machine: each worker is a process of its own, started from this very program.

mod faults;
mod fleet;
mod limit;
mod order;
mod speed;

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use clap::ValueEnum;
use futures::future::{Either, select};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::Broker;
use crate::servers::Servers;
use crate::{Failure, stop_signal};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(150);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Use these servers, separated by commas, instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "cluster")]
    server: Option<String>,
    /// Start three servers as a cluster; one of them is stopped and started again
    #[arg(long)]
    cluster: bool,
    /// How many jobs the fleet has that is broken
    #[arg(long, default_value_t = 1_500)]
    jobs: u64,
    /// Run this part alone
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A worker is killed, a server and another worker are stopped
    Faults,
    /// The workers have more slots than the fleet may use
    Limit,
    /// Jobs of a key are in order
    Order,
    /// Throughput, and what the pool costs
    Speed,
}

/// What the parts of the demo need.
struct Stage {
    urls: String,
    /// On how many servers each job is kept.
    replicas: usize,
    servers: Option<Servers>,
    /// What makes the names of streams differ from those of other runs.
    run: u64,
    failures: Vec<String>,
}

/// The command.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    // When it ends before completion, its processes and its files have to go, too.
    let stop = stop_signal()?;
    match select(pin!(timeout(LIMIT, all(args))), pin!(stop)).await {
        Either::Left((Ok(outcome), _)) => outcome,
        Either::Left((Err(_), _)) => Err(format!("not done within {LIMIT:?}").into()),
        Either::Right(_) => Err("stopped by a signal".into()),
    }
}

async fn all(args: &Args) -> Result<(), Failure> {
    let began = Instant::now();
    let mut stage = Stage::new(args).await?;
    for part in Part::value_variants() {
        if args.only.is_none_or(|only| only == *part) {
            match part {
                Part::Faults => faults::run(&mut stage, args.jobs).await?,
                Part::Limit => limit::run(&mut stage).await?,
                Part::Order => order::run(&mut stage).await?,
                Part::Speed => speed::run(&mut stage).await?,
            }
        }
    }
    println!("\n{:.0} s in all", began.elapsed().as_secs_f64());
    match &stage.failures[..] {
        [] => Ok(()),
        failures => Err(format!("{} checks failed: {}", failures.len(), failures.join("; ")).into()),
    }
}

impl Stage {
    async fn new(args: &Args) -> Result<Self, Failure> {
        let count = if args.cluster { 3 } else { 1 };
        let servers = match &args.server {
            Some(_) => None,
            None => Some(Servers::start(count).await?),
        };
        let urls = args.server.clone().or_else(|| Some(servers.as_ref()?.urls())).expect("one of them is there");
        let broker = Broker::connect(&urls).await?;
        let version = broker.client.server_info().version;
        let what = match &servers {
            Some(_) if args.cluster => "a cluster of 3 servers, each job on all of them",
            Some(_) => "a server",
            None => "the server given",
        };
        println!("NATS {version}: {what}");
        Ok(Self { urls, replicas: count, servers, run: crate::table::now(), failures: Vec::new() })
    }

    /// Prints what was checked, and whether it is so.
    fn check(&mut self, is_so: bool, what: impl Display) {
        println!("  {} {what}", if is_so { "ok    " } else { "FAILED" });
        if !is_so {
            self.failures.push(what.to_string());
        }
    }
}

/// Asks until the answer is yes.
async fn until(
    what: &str,
    limit: Duration,
    mut is_so: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_so().await? {
        if began.elapsed() > limit {
            return Err(format!("not within {limit:?}: {what}").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
