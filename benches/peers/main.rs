//! What the pool costs compared with its peers, in time.
//!
//! ```text
//! cargo bench --bench peers                      # all workloads, sizes 1 to 16384: some ten minutes
//! cargo bench --bench peers -- --quick           # within a minute, and noisier
//! cargo bench --bench peers -- --only ready,coop --sizes 1,64
//! cargo bench --bench peers --profile release    # without link-time optimisation, as programs are built by default
//! ```
//!
//! There is one table for each workload and size, with all contestants in it. (`benches/common` has them, and says what
//! they are.) Each prints as soon as it is there; in the end come the ratios of size 64 at a glance, and what was aimed
//! at, and whether it was met.
//!
//! - **Time** is that of making, draining and dropping what runs the futures, for the same number of items in the whole
//!   table: as many as keep its first contestant busy for some milliseconds, and at least eight times the size. Each
//!   round runs every contestant once, one after the other, in another order each time, so that noise hits all alike,
//!   and nobody always comes after the one who leaves most behind. What is printed is the median of the rounds, of which
//!   there are at least seven, and more where they are short. The spread is the middle half of them, as a part of the
//!   median.
//! - **The ratio** says how many times as long as ours somebody takes: the median of the ratios within the rounds.
//!   "Ours" is, for what is unordered, `pool_map(..).unordered()`; for what is in order, `pool_map(..)`; for tasks with
//!   handles, `spawn_n` in a `scope`; for consumers, `for_each` of the pool's own. So more than 1 is slower than ours.
//! - **Slow ones**, whose runs would take more than a second, are left at one run with a quarter of the items: "1 run".
//!
//! Nothing counts allocations here, so nobody who allocates pays for the counting; `cargo bench --bench memory` does
//! that. The futures do next to nothing, so the differences are as large as they get. Who pushes into a set by hand
//! does so in a loop, as its users do.
//!
//! Who is not here, and why:
//!
//! - `limit` of futures-concurrency with `map` and `collect` does not keep its limit. `for_each` does, and takes part,
//!   alongside a `FutureGroup` that a loop keeps filled.
//! - The `JoinSet` on two threads has no part where the futures are woken by what only one thread knows of: `wake`,
//!   `coop`, and `timers`, since tokio's clock can be paused only on a runtime with one thread.
//! - The optional `tokio-coop` of futures-buffered is off, as it is by default.
//!
//! Worth knowing when reading the figures:
//!
//! - What forms of a stream hold at once is up to `size`, not always `size`: who polls each future as soon as it is made
//!   (`for_each_concurrent` of both crates) has few in flight where futures wake themselves.
//! - `UnorderedSet` polls each future once more than needed, right after its start; futures that wake themselves take
//!   that for the answer to a wake-up.
//! - `thread` measures the system's scheduler, too: at size 1 each item takes two threads that wake each other.

mod cell;
mod chart;
#[path = "../common/mod.rs"]
mod common;
mod coop;
mod growth;
mod options;
mod queues;
mod summary;
mod table;
mod verdict;

use std::error::Error;
use std::fmt::Display;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use self::common::{COOP, WORKLOADS};
use self::coop::Coop;
use self::growth::Growth;
use self::options::Options;
use self::summary::Summary;
use self::table::Table;
use self::verdict::Verdict;

/// The size of the summary and the chart.
const SHOWN: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let effort = options.effort();
    let sizes = options.sizes();
    let workloads: Vec<_> = WORKLOADS.iter().filter(|workload| options.includes(workload.name)).collect();
    let [with_coop, with_growth] = [COOP.name, growth::NAME].map(|name| options.includes(name));

    let steps = workloads.len() * sizes.len() + usize::from(with_coop) + 3 * usize::from(with_growth);
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}, {elapsed}, {eta} left: {msg}")?);
    let done = |table: &dyn Display| {
        bar.suspend(|| println!("{table}"));
        bar.inc(1);
    };

    let mut verdict = Verdict::default();
    let mut tables = Vec::new();
    for workload in workloads {
        for &size in &sizes {
            bar.set_message(format!("{}, size {size}", workload.name));
            let table = Table::measure(workload, size, &effort);
            verdict.add_table(&table);
            done(&table);
            tables.push(table);
        }
    }
    if with_coop {
        bar.set_message(COOP.name);
        let coop = Coop::measure(if options.quick { 4096 } else { 16384 }, &effort);
        verdict.add_coop(&coop);
        done(&coop);
    }
    if with_growth {
        bar.set_message(growth::NAME);
        for growth in Growth::all(options.quick, &effort) {
            verdict.add_growth(&growth);
            done(&growth);
        }
    }
    bar.finish_and_clear();

    println!("{}", Summary::new(&tables, SHOWN));
    println!("{verdict}");
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!(
        "ratio: time over that of ours. Medians of at least {} rounds. Arguments of `cargo bench --bench peers --`: {}",
        effort.rounds,
        if arguments.is_empty() { "none".to_owned() } else { arguments.join(" ") },
    );
    if let Some(file) = &options.chart {
        if !chart::draw(&tables, SHOWN, file)? {
            return Err(format!("there is nothing of size {SHOWN} to draw").into());
        }
    }
    Ok(())
}
