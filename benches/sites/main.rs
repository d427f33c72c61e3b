//! What a call site costs its user: time to compile, and machine code.
//!
//! ```text
//! cargo bench --bench sites                        # 60 sites, three builds each: some three minutes
//! cargo bench --bench sites -- --quick             # 12 sites, one build each: within a minute; noisier, no verdict
//! cargo bench --bench sites --profile dev          # the same figures; does not optimise the bench itself
//! ```
//!
//! Each contestant has a program of many call sites. Every site is a function of its own, with a closure of its own,
//! and a loop over `next`. The results are of six types in turn. All programs are in one package in a temporary
//! directory. It has the library by path, and the versions of this repository's `Cargo.lock`. Cargo builds it offline,
//! without incremental compilation, `RUSTFLAGS`, wrappers of rustc, and settings of profiles from the environment.
//! There is one table for the profile `release`, one for `dev`, both with cargo's defaults. In the end come the
//! targets, and whether they were met.
//!
//! - **Time** is that of `cargo build` after nothing but the program has changed. The first build of each program is
//!   not timed: it compiles the dependencies. Then come rounds. Each builds every program once, one after the other.
//!   What counts is the shortest build of each program, less that of a program without sites, over the number of sites.
//! - **Size** is that of the section `.text`, less that of the program without sites, over the number of sites. A KB is
//!   1024 bytes. `size -A` of binutils reads it.
//! - **The ratio** is over the same of futures `buffer_unordered`: less than 1 is cheaper.
//!
//! What a program has only once, however many sites it has, is shared between all its sites: so with few sites, as in a
//! hurry, each seems to cost more. What is read only, such as tables and what unwinding needs, is not in `.text`. The
//! fewer others use the machine, the better: time is by the clock, and rustc uses all processors.

mod contestant;
mod options;
mod package;
mod table;
mod verdict;

use std::error::Error;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use self::contestant::CONTESTANTS;
use self::options::Options;
use self::package::{Package, Profile};
use self::table::Table;
use self::verdict::Verdict;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let effort = options.effort();
    let package = Package::new(effort.sites)?;

    let profiles = [Profile::Release, Profile::Dev];
    let builds = profiles.len() * (1 + CONTESTANTS.len()) * (1 + usize::from(effort.builds));
    let bar = ProgressBar::new(builds as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}, {elapsed}, {eta} left: {msg}")?);

    let mut verdict = Verdict::default();
    for profile in profiles {
        let table = Table::measure(&package, profile, &effort, &bar)?;
        verdict.add_table(&table);
        bar.suspend(|| println!("{table}"));
    }
    bar.finish_and_clear();
    if !options.quick {
        println!("{verdict}");
    }
    Ok(())
}
