//! A channel as the source: the pool works on what several senders send, and holds them up when it is full.
//!
//! ```text
//! cargo run --example channel
//! ```
//!
//! The idea: a receiver is a stream, by `poll_fn` (or the crate `tokio-stream`). The pool receives only when it has a free
//! slot; so what is under way is bounded by the size and the capacity of the channel, and senders wait.
//!
//! The pitfall: the stream ends when all senders are gone. One that is forgotten, here or in a future of the pool, keeps it
//! open for ever. For work that makes more work, take a scope.

use std::cell::Cell;

use futures::stream;
use futures_pool::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};

const SENDERS: usize = 3;
const JOBS: usize = 30;
const CAPACITY: usize = 2;
const SIZE: usize = 4;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let (under_way, most, waited) = (Cell::new(0), Cell::new(0), Cell::new(Duration::ZERO));

    // They send as fast as they can; each sender is dropped after the last of its jobs.
    let send = async |(sender, first): (mpsc::Sender<usize>, usize)| {
        for job in (first..JOBS).step_by(SENDERS) {
            let asked = Instant::now();
            sender.send(job).await.expect("the pool takes all");
            waited.set(waited.get() + asked.elapsed());
            under_way.set(under_way.get() + 1);
            most.set(most.get().max(under_way.get()));
        }
    };
    let senders: Vec<_> = (0..SENDERS).map(|first| (sender.clone(), first)).collect();
    drop(sender); // or else the pool waits for it

    let work = async |job| {
        sleep(Duration::from_millis(10)).await;
        under_way.set(under_way.get() - 1);
        job
    };
    let jobs = stream::poll_fn(|cx| receiver.poll_recv(cx));
    let results = jobs.pool_map(SIZE, work).unordered();

    let (_, mut done) = tokio::join!(senders.into_iter().pool_map(usize::MAX, send), results);

    println!("{} jobs in {:?}, at most {} sent and not done", done.len(), start.elapsed(), most.get());
    println!("{SENDERS} senders have waited for {:?} in all", waited.get());
    done.sort_unstable();
    assert!(done.into_iter().eq(0..JOBS), "each job is done once");
    assert_eq!(most.get(), SIZE + CAPACITY);
    assert!(waited.get() > Duration::ZERO);
}
