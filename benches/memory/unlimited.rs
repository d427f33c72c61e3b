//! What it costs to have no limit.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures::stream::{Stream, StreamExt};
use futures_pool::prelude::*;
use futures_pool::{Pool, scope};

use crate::common::jobs::Yields;
use crate::common::{Flag, names};
use crate::heap::{Change, change};

const ITEMS: u64 = 1024;
const LIMIT: usize = 1024;

type Item = Yields<1, 0>;

/// What is measured of a size and bound on results: when just made, and while it runs.
type Measure = fn(size: usize) -> [Change; 2];

/// Prints the table, and returns what was aimed at and whether it was met.
pub(crate) fn print() -> Vec<(String, bool)> {
    let rows: [(&str, Measure); 4] = [
        (names::POOL_MAP, |size| stream(|| (0..ITEMS).pool_map(size, Item::from).unordered().max_finished(size))),
        (names::POOL_MAP_ORDERED, |size| stream(|| (0..ITEMS).pool_map(size, Item::from).max_finished(size))),
        ("`Pool`, `spawn_n`", |size| {
            let (mut pool, made) = change(|| {
                let mut pool = Pool::new(size);
                pool.set_max_finished(size);
                pool
            });
            let ((), ran) = change(|| {
                for item in 0..ITEMS {
                    pool.spawn_n(Item::from(item));
                }
                drain(pool);
            });
            [made, ran]
        }),
        ("`scope`, `spawn_n`", |size| {
            let (scope, made) = change(|| {
                scope(size, async |pool| {
                    for item in 0..ITEMS {
                        pool.spawn_n(Item::from(item));
                    }
                })
            });
            [made, change(|| finish(scope)).1]
        }),
    ];
    println!("Bytes allocated, for {ITEMS} futures that wake themselves once.\n");
    println!("| size and max_finished | `usize::MAX`: made | and run | {LIMIT}: made | and run |");
    println!("|:---|---:|---:|---:|---:|");
    let mut met = true;
    for (name, measure) in rows {
        let [[made, ran], [made_small, ran_small]] =
            [usize::MAX, LIMIT].map(measure).map(|changes| changes.map(|change| change.allocated));
        println!("| {name} | {made} | {ran} | {made_small} | {ran_small} |");
        met &= made <= made_small && ran <= ran_small;
    }
    println!();
    vec![("`usize::MAX` as a size and a max_finished costs nothing".to_owned(), met)]
}

fn stream<S: Stream>(make: impl FnOnce() -> S) -> [Change; 2] {
    let (stream, made) = change(make);
    [made, change(|| drain(stream)).1]
}

fn drain(stream: impl Stream) {
    finish(stream.for_each(async |_| ()));
}

/// Polls again only after a wake-up.
fn finish(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&woken));
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert!(woken.take(), "pending, and nobody will wake it");
    }
}
