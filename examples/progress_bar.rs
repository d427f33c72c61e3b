//! A progress bar, by the crate `indicatif`.
//!
//! ```text
//! cargo run --example progress_bar
//! ```
//!
//! The idea: the stream knows how long it is (`size_hint`), and each result moves the bar by one, in `for_each`.
//!
//! The pitfall: results in order come in order. While the first one is slow, the bar stalls, though the others are done.
//! Take them `.unordered()`, or, where the order is wanted, count inside the future.
//!
//! Where there is no terminal, nothing is drawn, and the clock is paused: nobody watches.

use std::cell::Cell;

use futures::stream::{self, Stream};
use futures_pool::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Duration, sleep};

const ITEMS: u64 = 100;

/// Does its work: the first item is slow.
async fn work(item: u64) -> u64 {
    sleep(Duration::from_millis(if item == 0 { 600 } else { 15 })).await;
    item
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if ProgressBar::new(0).is_hidden() {
        tokio::time::pause();
    }
    // Where the bar is when the first item is counted.
    let at_first = Cell::new(None);
    let count = |bar: &ProgressBar, item| {
        if item == 0 {
            at_first.set(Some(bar.position()));
        }
        bar.inc(1);
    };

    let results = (0..ITEMS).pool_map(8, work).unordered();
    let bar = progress_bar("unordered", &results);
    results.for_each(async |item| count(&bar, item)).await;
    finish(&bar, at_first.take(), ITEMS - 1);

    let bar = progress_bar("in order, counted within", &stream::iter(0..ITEMS));
    let counted = async |item| count(&bar, work(item).await);
    (0..ITEMS).pool_map(8, counted).await;
    finish(&bar, at_first.take(), ITEMS - 1);

    let results = (0..ITEMS).pool_map(8, work);
    let bar = progress_bar("in order: the pitfall", &results);
    results.for_each(async |item| count(&bar, item)).await;
    finish(&bar, at_first.take(), 0);
}

fn progress_bar<T>(name: &'static str, stream: &impl Stream<Item = T>) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len}").expect("the template is right");
    let (length, _) = stream.size_hint();
    ProgressBar::new(length as u64).with_style(style).with_message(name)
}

/// Checks that the bar is at its end, and where it was at the first item. By `suspend`, what is printed is not in its way;
/// within, it is locked.
fn finish(bar: &ProgressBar, at_first: Option<u64>, expected: u64) {
    let name = bar.message();
    bar.suspend(|| println!("{name:24} {expected:2} of {ITEMS} counted before the first item"));
    assert_eq!((at_first, bar.position(), bar.length()), (Some(expected), ITEMS, Some(ITEMS)));
    bar.finish_and_clear();
}
