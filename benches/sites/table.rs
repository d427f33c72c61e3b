//! All contestants in one profile.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::contestant::{BUFFER_UNORDERED, CONTESTANTS, EMPTY};
use crate::options::Effort;
use crate::package::{self, Package, Profile};

/// What one site costs.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) ms: f64,
    pub(crate) kb: f64,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    cost: Cost,
}

pub(crate) struct Table {
    pub(crate) profile: Profile,
    sites: u16,
    builds: u8,
    rows: Vec<Row>,
}

/// What a whole program costs.
struct Program {
    name: &'static str,
    time: Duration,
    text: u32,
}

impl Table {
    pub(crate) fn measure(
        package: &Package,
        profile: Profile,
        &Effort { sites, builds }: &Effort,
        bar: &ProgressBar,
    ) -> Result<Self, Box<dyn Error>> {
        let build = |program: &str| {
            bar.set_message(format!("{program}, {}", profile.name()));
            let build = package.build(program, profile);
            bar.inc(1);
            build
        };
        let mut programs = Vec::new();
        for name in [EMPTY].into_iter().chain(CONTESTANTS.map(|contestant| contestant.program)) {
            let executable = build(name)?.executable;
            package::run(&executable)?;
            programs.push(Program { name, time: Duration::MAX, text: package::text(&executable)? });
        }
        for _ in 0..builds {
            for program in &mut programs {
                let build = build(program.name)?;
                if build.with_others {
                    return Err("the library has been changed since the first build".into());
                }
                program.time = program.time.min(build.time);
            }
        }
        let empty = &programs[0];
        let row = |(name, program): (_, &Program)| Row { name, cost: program.cost(empty, sites) };
        let rows = CONTESTANTS.map(|contestant| contestant.name).into_iter().zip(&programs[1..]).map(row).collect();
        Ok(Self { profile, sites, builds, rows })
    }

    fn cost(&self, name: &str) -> Cost {
        self.rows.iter().find(|row| row.name == name).expect("one of the contestants").cost
    }

    /// How many times as much as with `buffer_unordered` a site costs.
    pub(crate) fn ratio(&self, name: &str) -> Cost {
        let (cost, reference) = (self.cost(name), self.cost(BUFFER_UNORDERED));
        Cost { ms: cost.ms / reference.ms, kb: cost.kb / reference.kb }
    }
}

impl Program {
    fn cost(&self, empty: &Self, sites: u16) -> Cost {
        let seconds = self.time.as_secs_f64() - empty.time.as_secs_f64();
        let bytes = f64::from(self.text) - f64::from(empty.text);
        let sites = f64::from(sites);
        Cost { ms: 1000.0 * seconds / sites, kb: bytes / 1024.0 / sites }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let (profile, sites) = (self.profile.name(), self.sites);
        let builds =
            if self.builds == 1 { "one build".to_owned() } else { format!("the shortest of {} builds", self.builds) };
        writeln!(f, "Profile `{profile}`: {sites} sites, {builds}.\n")?;
        writeln!(f, "| {:width$} | ms/site | ratio | KB/site | ratio |", "contestant")?;
        writeln!(f, "| {:-<width$} | ------: | ----: | ------: | ----: |", "")?;
        for Row { name, cost } in &self.rows {
            let ratio = self.ratio(name);
            writeln!(f, "| {name:width$} | {:7.1} | {:5.2} | {:7.2} | {:5.2} |", cost.ms, ratio.ms, cost.kb, ratio.kb)?;
        }
        Ok(())
    }
}
