//! A fleet of workers that share the jobs of a NATS `JetStream`, each with a pool of `futures-pool`: see `README.md`.
//!
//! ```text
//! cargo run --release -p futures-pool-fleet -- demo --cluster
//! ```

mod account;
mod broker;
mod demo;
mod enqueue;
mod job;
mod lease;
mod pull;
mod servers;
mod table;
mod turns;
mod worker;

use std::error::Error;
use std::io;
use std::iter;
use std::pin::pin;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures::future::select;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Why a command failed.
type Failure = Box<dyn Error + Send + Sync>;

/// Runs jobs on a fleet of workers, which share them by a stream of NATS `JetStream`.
#[derive(Parser)]
#[command(name = "fleet")]
struct Args {
    /// Log only errors
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts jobs into the stream; those that are in it already are not put there again
    Enqueue(enqueue::Args),
    /// Works on jobs, `--size` at once, until a signal stops it
    Worker(worker::Args),
    /// Runs fleets of workers on this machine, breaks parts of them, and checks that nothing is lost
    Demo(demo::Args),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (own, others) = if args.quiet { (Level::ERROR, Level::ERROR) } else { (Level::INFO, Level::WARN) };
    // The client tells of each connection.
    let levels = Targets::new().with_default(others).with_target(env!("CARGO_CRATE_NAME"), own);
    tracing_subscriber::registry().with(fmt::layer().with_writer(io::stderr)).with(levels).init();
    let outcome = match args.command {
        Command::Enqueue(args) => enqueue::run(&args).await,
        Command::Worker(args) => worker::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Listens for the signals that ask a process to end, from now on; the future ends at the first one.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        select(pin!(terminate.recv()), pin!(interrupt.recv())).await;
    })
}

/// The error and its causes, in a line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    let mut texts: Vec<_> = errors.map(ToString::to_string).collect();
    // Some errors repeat their cause in their own text.
    texts.dedup_by(|cause, text| text.contains(&**cause));
    texts.join(": ")
}
