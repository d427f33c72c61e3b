//! What can be asked for, and how much work goes into it.

use clap::Parser;

/// What a call site costs its user: time to compile, and machine code
#[derive(Parser)]
pub(crate) struct Options {
    /// Within a minute: fewer sites, one build each, no verdict
    #[arg(long)]
    pub(crate) quick: bool,
    /// How many call sites each program has
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    sites: Option<u16>,
    /// How many builds of each program are timed
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    builds: Option<u8>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn effort(&self) -> Effort {
        let effort = if self.quick { Effort { sites: 12, builds: 1 } } else { Effort { sites: 60, builds: 3 } };
        Effort { sites: self.sites.unwrap_or(effort.sites), builds: self.builds.unwrap_or(effort.builds) }
    }
}

pub(crate) struct Effort {
    /// Each program has so many.
    pub(crate) sites: u16,
    /// So many of each program are timed.
    pub(crate) builds: u8,
}
