//! Computing on threads, under one pool: some of it by the crate `rayon`, some by tokio's `spawn_blocking`.
//!
//! ```text
//! cargo run --release --example cpu_work
//! ```
//!
//! The idea: a future that only waits for work that is done on another thread. The pool bounds how much of it there is at
//! once, whichever thread does it, and what is not begun costs nothing: neither of the two has a bound of its own for what
//! is queued.
//!
//! The pitfalls: dropping such a future does not stop the work, which continues without a slot; long work has to look
//! at a flag from time to time. And a panic in `rayon::spawn` ends the process, so it is caught there and resumed here.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, ThreadId};

use futures::channel::oneshot;
use futures_pool::prelude::*;
use tokio::task::spawn_blocking;

const SIZE: usize = 3;

static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Runs the work on one of rayon's threads, on which it may use those of all.
async fn on_rayon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    rayon::spawn(move || {
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work))); // nobody may be there any more
    });
    receiver.await.expect("it sends").unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs the work on one of tokio's threads for that, which may also sleep, or wait for files.
async fn on_tokio<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// Counts the steps of Collatz from `n` numbers, and tells on which thread.
fn compute(n: u64) -> (u64, ThreadId) {
    MOST.fetch_max(ACTIVE.fetch_add(1, SeqCst) + 1, SeqCst);
    let step = |x: &u64| (*x > 1).then(|| if x % 2 == 0 { x / 2 } else { 3 * x + 1 });
    let steps = (1..=n).map(|x| std::iter::successors(Some(x), step).count() as u64 - 1).sum();
    ACTIVE.fetch_sub(1, SeqCst);
    (steps, thread::current().id())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sizes = || (1..=40).map(|n| n * 100);
    let on_a_thread =
        async |n| if n % 200 == 0 { on_rayon(move || compute(n)).await } else { on_tokio(move || compute(n)).await };
    let results = sizes().pool_map(SIZE, on_a_thread).await;

    let threads: HashSet<_> = results.iter().map(|(_, thread)| *thread).collect();
    println!("{} results from {} threads, at most {} at once", results.len(), threads.len(), MOST.load(SeqCst));
    assert!(!threads.contains(&thread::current().id()), "the runtime's own thread is free for others");
    assert!(MOST.load(SeqCst) <= SIZE);
    assert!(results.into_iter().map(|(steps, _)| steps).eq(sizes().map(|n| compute(n).0)), "in order");

    println!("and one that panics:");
    let results =
        [7].into_iter().pool_map(SIZE, async |n| on_rayon(move || assert_eq!(n, 8)).await).catch_unwind().await;
    assert!(results[0].is_err(), "the panic came through, and the process continues");
}
