//! What can be asked for, and how much work goes into it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::common::{COOP, WORKLOADS};
use crate::growth;

/// What the pool costs compared with its peers
#[derive(Parser)]
pub(crate) struct Options {
    /// Within a minute: fewer sizes, shorter and fewer rounds
    #[arg(long)]
    pub(crate) quick: bool,
    /// How many rounds the medians are of; more if they are short
    #[arg(long, value_parser = clap::value_parser!(u16).range(7..=1000))]
    rounds: Option<u16>,
    /// Only the workloads that are called this, or this and more behind a hyphen
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = known)]
    only: Vec<String>,
    /// How many futures are held at once, one table each
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    sizes: Vec<u32>,
    /// Draw the ratios at size 64 into this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) chart: Option<PathBuf>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn effort(&self) -> Effort {
        let ms = Duration::from_millis;
        let effort = if self.quick {
            Effort { rounds: 7, least: ms(1), time: ms(500), patience: ms(100) }
        } else {
            Effort { rounds: 9, least: ms(4), time: ms(3000), patience: ms(1000) }
        };
        Effort { rounds: self.rounds.unwrap_or(effort.rounds), ..effort }
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        let sizes: &[u32] = match (&self.sizes[..], self.quick) {
            ([], true) => &[1, 64, 1024],
            ([], false) => &[1, 4, 16, 64, 256, 1024, 16384],
            (sizes, _) => sizes,
        };
        sizes.iter().map(|&size| size as usize).collect()
    }

    pub(crate) fn includes(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| names(only, workload))
    }
}

/// Whether a workload is called this, or this and more behind a hyphen.
fn names(only: &str, workload: &str) -> bool {
    workload.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn known(only: &str) -> Result<String, String> {
    let mut workloads = WORKLOADS.iter().map(|workload| workload.name).chain([COOP.name, growth::NAME]);
    if workloads.clone().any(|workload| names(only, workload)) {
        Ok(only.to_owned())
    } else {
        let known = workloads.by_ref().collect::<Vec<_>>().join(", ");
        Err(format!("there is no such workload; there are: {known}"))
    }
}

/// How much time goes into each cell.
pub(crate) struct Effort {
    /// There are at least so many.
    pub(crate) rounds: u16,
    /// A run of a table's first contestant takes at least this long.
    pub(crate) least: Duration,
    /// There are more rounds as long as they all take less than this.
    pub(crate) time: Duration,
    /// Who takes longer than this for a run takes no part in the rounds.
    pub(crate) patience: Duration,
}
