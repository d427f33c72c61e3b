//! How many instructions the pool takes for an item: a figure that hardly depends on the machine, so that a change which
//! makes the pool slower shows in a test.
//!
//! ```text
//! cargo bench --profile release --bench instructions
//! ```
//!
//! Needs `valgrind`. Each case runs under its `callgrind`, as a process of its own, with some number of items and with
//! twice as many; the difference, divided by that number, is what an item takes, without what is done once. It fails if a
//! case takes more than its limit, which is a few per cent above what it took when it was last set, with the profile
//! `release` of a compiler of its time. A limit that is far too high is to be lowered: that is said, too.
//!
//! Instructions are not time: a locked operation is one instruction and takes as long as dozens of others. So `peers` has
//! the last word.

#[path = "common/mod.rs"]
mod common;

use std::process::{Command, ExitCode};

use clap::Parser;
use common::{Total, Workload, names};

const SIZE: usize = 64;
const ITEMS: u64 = 25_600;

/// Workload, the peer that is counted alongside, and contestants, each with the most instructions that an item may take.
const LIMITS: [(&str, &str, &[(&str, u64)]); 8] = [
    ("ready", names::BUFFER_UNORDERED, &[(names::POOL_MAP, 241), (names::POOL, 297)]),
    ("ready", names::BUFFERED, &[(names::POOL_MAP_ORDERED, 276)]),
    ("yield-1", names::BUFFER_UNORDERED, &[(names::POOL_MAP, 309), (names::POOL, 385)]),
    ("yield-1", names::BUFFERED, &[(names::POOL_MAP_ORDERED, 344)]),
    ("yield-10", names::BUFFER_UNORDERED, &[(names::POOL_MAP, 898)]),
    ("wake-1", names::BUFFER_UNORDERED, &[(names::POOL_MAP, 816)]),
    ("tasks-ready", names::JOIN_SET, &[(names::SCOPE, 1258)]),
    ("tasks-yield-1", names::JOIN_SET, &[(names::SCOPE, 1448)]),
];

/// Instructions an item, counted by callgrind
#[derive(Parser)]
struct Options {
    /// Runs this case once, instead of counting
    #[arg(long, hide = true, num_args = 3, value_names = ["WORKLOAD", "CONTESTANT", "ITEMS"])]
    run: Option<Vec<String>>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(case) = Options::parse().run {
        let items = case[2].parse().expect("a number of items");
        let workload = Workload::named(&case[0]);
        let contestants = (workload.contestants)();
        let contestant = contestants.iter().find(|contestant| contestant.name == case[1]).expect("a contestant");
        (workload.prepare)(items);
        let total = (contestant.run)(SIZE, items).total;
        assert_eq!(total, Total::expected(items));
        return ExitCode::SUCCESS;
    }
    println!("Instructions an item, size {SIZE}.\n\n| workload | contestant | instructions | limit |");
    println!("|:---|:---|--:|--:|");
    let mut exceeded = Vec::new();
    for (workload, peer, contestants) in LIMITS {
        for &(name, limit) in contestants {
            let count = per_item(workload, name);
            println!("| {workload} | {name} | {count} | {limit} |");
            if count > limit {
                exceeded.push(format!("{workload}, {name}: {count} instructions an item, more than {limit}"));
            } else if count * 10 < limit * 9 {
                println!("   the limit may be lowered");
            }
        }
        println!("| {workload} | {peer} | {} | |", per_item(workload, peer));
    }
    println!();
    for exceeded in &exceeded {
        println!("{exceeded}");
    }
    if exceeded.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn per_item(workload: &str, name: &str) -> u64 {
    let [few, more] = [ITEMS, 2 * ITEMS].map(|items| count(workload, name, items));
    (more - few) / ITEMS
}

/// Counts the instructions of a whole process.
fn count(workload: &str, name: &str, items: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(["--run", workload, name, &items.to_string()])
        .output()
        .expect("valgrind is installed");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let collected = messages.lines().find_map(|line| line.split_once("Collected : "));
    collected.expect("callgrind counts").1.trim().parse().expect("a number of instructions")
}
