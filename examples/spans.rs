//! A span of the crate `tracing` for each item, so that each line of the log says which item it is about.
//!
//! ```text
//! cargo run --example spans
//! ```
//!
//! The idea: `instrument` puts a span around the future, which is entered at each poll and left after it. What the future
//! calls needs to know nothing of the item.
//!
//! The pitfall: a guard of `span.enter()` that is held over an `.await` stays entered while the others are polled, and
//! their lines get its name.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_pool::prelude::*;
use tokio::time::{Duration, sleep};
use tracing::{Instrument, info, info_span};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Writes the log where it can be looked at; by default it goes to the standard output.
struct Log;

impl Log {
    fn lines() -> MutexGuard<'static, Vec<u8>> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::lines().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fetches a page in two steps. The field `of` is for the check below: what comes before it is the subscriber's.
async fn fetch(page: u64) {
    info!(of = page, "asked");
    sleep(Duration::from_millis(10 + page * 7 % 10)).await;
    info!(of = page, "answered");
    sleep(Duration::from_millis(5)).await;
    info!(of = page, "stored");
}

async fn wrong(page: u64) {
    let _entered = info_span!("page", number = page).entered();
    fetch(page).await;
}

/// Takes the lines out of the log; returns those in the wrong span, and what was logged of each page, in order.
fn check(show: usize) -> (usize, BTreeMap<String, Vec<String>>) {
    let text = String::from_utf8(std::mem::take(&mut *Log::lines())).expect("text");
    let (mut wrong, mut pages) = (0, BTreeMap::<_, Vec<_>>::new());
    for (nth, line) in text.lines().enumerate() {
        if nth < show {
            println!("   {line}");
        }
        let (before, page) = line.split_once(" of=").expect("each line has the field");
        wrong += usize::from(!before.contains(&format!(" page{{number={page}}}: ")));
        let step = before.rsplit(' ').next().unwrap_or_default();
        pages.entry(page.to_owned()).or_default().push(step.to_owned());
    }
    (wrong, pages)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    tracing_subscriber::fmt().with_writer(|| Log).with_target(false).without_time().with_ansi(false).init();

    (0..6).pool_map(3, |page| fetch(page).instrument(info_span!("page", number = page))).await;
    println!("with `instrument`:");
    let (misplaced, pages) = check(9);
    assert_eq!(misplaced, 0);
    assert_eq!(pages.len(), 6);
    assert!(pages.values().all(|steps| steps == &["asked", "answered", "stored"]));

    (0..6).pool_map(3, wrong).await;
    println!("with a guard that is held over `.await`:");
    let (misplaced, pages) = check(3);
    println!("{misplaced} of {} lines are in a wrong span", pages.values().map(Vec::len).sum::<usize>());
    assert!(misplaced > 0);
}
