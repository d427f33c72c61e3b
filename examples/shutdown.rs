//! Shuts down on Ctrl-C: takes nothing new, lets what is active finish within a grace period, and drops the rest.
//!
//! ```text
//! cargo run --example shutdown
//! ```
//!
//! The idea: the signal ends the *source*, by `take_until`. For the pool that is the end of its work, like any other: it
//! finishes what it has begun. The grace period is a second future, which counts from the same signal.
//!
//! The pitfalls: `take_until` behind the pool would drop all that is active at once. And from the first poll of
//! `ctrl_c` on, Ctrl-C does not end the process any more, so something has to be there that always ends: here the grace
//! period.
//!
//! On Unix the process sends itself the signal; elsewhere, in its place, a timer fires.

use std::cell::RefCell;
use std::future::{pending, ready};
use std::pin::pin;

use futures::future::{FutureExt, select};
use futures::stream::{self, StreamExt};
use futures_pool::prelude::*;
use tokio::time::{Duration, sleep};

const JOBS: u32 = 1_000;
const STUCK: u32 = 7;
const SIZE: usize = 4;

/// Sends the signal of Ctrl-C to this very process.
fn interrupt() {
    #[cfg(unix)]
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).expect("it is our own");
}

async fn interrupted() {
    let elsewhere = async {
        #[cfg(unix)]
        pending::<()>().await;
        sleep(Duration::from_millis(200)).await;
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.expect("a handler can be set"),
        () = elsewhere => {}
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (started, mut done) = (RefCell::new(Vec::new()), Vec::new());
    let work = async |job| {
        started.borrow_mut().push(job);
        sleep(Duration::from_millis(5)).await;
        if job == STUCK {
            pending::<()>().await;
        }
        job
    };

    let signal = interrupted().shared();
    let mut jobs = stream::iter(0..JOBS);
    let all = jobs.by_ref().take_until(signal.clone()).pool_map(SIZE, work).unordered().for_each(|job| {
        done.push(job);
        if done.len() == 40 {
            interrupt();
        }
        ready(())
    });
    let grace = async {
        signal.await;
        println!("interrupted: nothing new is begun");
        sleep(Duration::from_millis(300)).await;
    };
    // The first of the two is polled first: what finishes at the last moment is kept.
    select(pin!(all), pin!(grace)).await;

    // Nothing is lost: each job is done, or abandoned, or still in the source.
    let mut abandoned = started.into_inner();
    abandoned.retain(|job| !done.contains(job));
    let left: Vec<_> = jobs.collect().await;
    println!("{} jobs done, {abandoned:?} abandoned, {} not begun", done.len(), left.len());
    assert_eq!(abandoned, [STUCK], "all others have finished within the grace period");
    assert!(!done.is_empty() && !left.is_empty());
    let mut all: Vec<_> = done.into_iter().chain(abandoned).chain(left).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..JOBS));
}
