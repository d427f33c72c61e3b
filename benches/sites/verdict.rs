//! What was aimed at, and whether it was met.

use std::fmt;

use crate::contestant::{BUFFER_UNORDERED, POOL_MAP};
use crate::table::{Cost, Table};

/// How many times as much as with `buffer_unordered` a site of ours may cost, at most.
const TARGET: Cost = Cost { ms: 1.25, kb: 1.0 };

/// A ratio, and what it may be.
struct Check {
    profile: &'static str,
    what: &'static str,
    ratio: f64,
    most: f64,
}

#[derive(Default)]
pub(crate) struct Verdict {
    checks: Vec<Check>,
}

impl Verdict {
    pub(crate) fn add_table(&mut self, table: &Table) {
        let (profile, ratio) = (table.profile.name(), table.ratio(POOL_MAP));
        self.checks.extend([
            Check { profile, what: "time to compile", ratio: ratio.ms, most: TARGET.ms },
            Check { profile, what: "machine code", ratio: ratio.kb, most: TARGET.kb },
        ]);
    }
}

impl Check {
    fn met(&self) -> bool {
        self.ratio <= self.most
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{POOL_MAP} over {BUFFER_UNORDERED}, and the target.\n")?;
        writeln!(f, "| profile | what | ratio | target | |\n| :------ | :--- | ----: | -----: |-|")?;
        for check in &self.checks {
            let Check { profile, what, ratio, most } = check;
            let word = if check.met() { "met" } else { "**missed**" };
            writeln!(f, "| {profile} | {what} | {ratio:.2} | ≤ {most:.2} | {word} |")?;
        }
        let met = self.checks.iter().filter(|check| check.met()).count();
        writeln!(f, "\n{met} of {} targets are met.", self.checks.len())
    }
}
