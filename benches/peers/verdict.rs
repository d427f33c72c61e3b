//! What was aimed at, and whether it was met.

use std::fmt;

use crate::cell::Cell;
use crate::common::{COOP, Form, Origin, names};
use crate::coop::Coop;
use crate::growth::Growth;
use crate::table::Table;

/// How many times as long as ours the peers have to take, at least, for sizes up to `LARGEST`.
struct Target {
    workload: &'static str,
    futures: f64,
    futures_buffered: f64,
    others: f64,
}

const TARGETS: [Target; 7] = [
    Target { workload: "ready", futures: 15.0, futures_buffered: 6.0, others: 2.7 },
    Target { workload: "yield-1", futures: 13.0, futures_buffered: 5.0, others: 4.5 },
    Target { workload: "yield-10", futures: 6.0, futures_buffered: 2.2, others: 2.2 },
    Target { workload: "wake-1", futures: 2.6, futures_buffered: 1.5, others: 1.4 },
    Target { workload: "wake-16", futures: 4.0, futures_buffered: 2.2, others: 2.0 },
    Target { workload: "timers", futures: 1.35, futures_buffered: 1.1, others: 1.05 },
    Target { workload: "large-yield-1", futures: 6.0, futures_buffered: 2.2, others: 2.0 },
];
const LARGEST: usize = 1024;

/// What part of these targets each of ours has to reach, and whom it is compared with.
const OURS: [(&str, Form, &str, f64); 3] = [
    (names::POOL_MAP, Form::Unordered, names::BUFFER_UNORDERED, 1.0),
    (names::POOL, Form::Unordered, names::BUFFER_UNORDERED, 2.0 / 3.0),
    (names::POOL_MAP_ORDERED, Form::Ordered, names::BUFFERED, 0.8),
];

/// From this size on, nobody may be faster, whatever the workload.
const HUGE: usize = 16384;

/// With the wake-ups from another thread, nobody may be faster.
const THREAD: (&str, [usize; 3]) = ("thread", [1, 16, 1024]);

/// How many times as long as a task of a scope one of a `JoinSet` has to take.
const TASK: f64 = 3.0;

const POLLS_PER_MESSAGE: f64 = 3.0;

const GROWTH: f64 = 1.3;

/// A figure, and what it has to be.
struct Check {
    figure: f64,
    bound: Bound,
    /// What it is of, or at.
    of: String,
}

#[derive(Clone, Copy)]
enum Bound {
    Least(f64),
    Most(f64),
}

impl Check {
    fn met(&self) -> bool {
        match self.bound {
            Bound::Least(bound) => self.figure >= bound,
            Bound::Most(bound) => self.figure <= bound,
        }
    }
}

/// The checks of one of ours in one table.
struct Row {
    ours: &'static str,
    place: String,
    checks: Vec<Check>,
}

/// All the checks that the figures at hand allow.
#[derive(Default)]
pub(crate) struct Verdict {
    /// With up to three checks each: against futures, against futures-buffered, against others.
    targets: Vec<Row>,
    /// With one check each.
    bounds: Vec<Row>,
}

impl Verdict {
    pub(crate) fn add_table(&mut self, table: &Table) {
        let place = format!("`{}`, {}", table.workload.name, table.size);
        for (name, form, reference, part) in OURS {
            let Some(ours) = table.cell(name) else { continue };
            let target = TARGETS.iter().find(|target| target.workload == table.workload.name);
            if let Some(target) = target.filter(|_| table.size <= LARGEST) {
                let least = |target: f64| Bound::Least(target * part);
                let others = |peer: &&Cell| {
                    peer.contestant.name != reference && peer.contestant.origin != Origin::FuturesBuffered
                };
                let checks = [
                    table.cell(reference).and_then(|peer| fastest(ours, [peer], least(target.futures))),
                    fastest(
                        ours,
                        table.peers(form).filter(|peer| peer.contestant.origin == Origin::FuturesBuffered),
                        least(target.futures_buffered),
                    ),
                    fastest(ours, table.peers(form).filter(others), least(target.others)),
                ];
                let checks = checks.into_iter().flatten().collect();
                self.targets.push(Row { ours: name, place: place.clone(), checks });
            } else if table.size >= HUGE || table.workload.name == THREAD.0 && THREAD.1.contains(&table.size) {
                let checks = fastest(ours, table.peers(form), Bound::Least(1.0)).into_iter().collect();
                self.bounds.push(Row { ours: name, place: place.clone(), checks });
            }
        }
        if let Some(ours) = table.ours(Form::Tasks) {
            let checks = fastest(ours, table.peers(Form::Tasks), Bound::Least(TASK)).into_iter().collect();
            self.bounds.push(Row { ours: names::SCOPE, place, checks });
        }
    }

    pub(crate) fn add_coop(&mut self, coop: &Coop) {
        for (name, form, ..) in OURS {
            let Some(row) = coop.row(name) else { continue };
            let place = format!("`{}`, {}", COOP.name, row.cell.items);
            let bound = Bound::Most(POLLS_PER_MESSAGE);
            let checks = vec![Check { figure: row.polls_per_message, bound, of: "polls a message".to_owned() }];
            self.bounds.push(Row { ours: name, place: place.clone(), checks });
            if row.cell.size >= HUGE {
                let checks = fastest(&row.cell, coop.peers(form), Bound::Least(1.0)).into_iter().collect();
                self.bounds.push(Row { ours: name, place, checks });
            }
        }
    }

    pub(crate) fn add_growth(&mut self, growth: &Growth) {
        for worst in growth.worst() {
            let of = format!("times as long, at {}", worst.at);
            let checks = vec![Check { figure: worst.factor, bound: Bound::Most(GROWTH), of }];
            self.bounds.push(Row { ours: worst.contestant.name, place: growth.name(), checks });
        }
    }
}

/// Against the peer that takes the least time.
fn fastest<'a>(ours: &Cell, peers: impl IntoIterator<Item = &'a Cell>, bound: Bound) -> Option<Check> {
    let checks = peers.into_iter().map(|peer| (peer.over(ours), peer.contestant.name));
    let (figure, name) = checks.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(Check { figure, bound, of: name.to_owned() })
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least(bound) => write!(f, "≥ {bound:.2}"),
            Self::Most(bound) => write!(f, "≤ {bound:.2}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.targets.is_empty() {
            writeln!(f, "How many times as long as ours the peers take, and the target.\n")?;
            writeln!(f, "| ours | workload, size | futures | futures-buffered | the best other | |")?;
            writeln!(f, "| :--- | :------------- | ------: | ---------------: | -------------: |-|")?;
        }
        for row in &self.targets {
            write!(f, "| {} | {} |", row.ours, row.place)?;
            for place in 0..3 {
                match row.checks.get(place) {
                    Some(Check { figure, bound, .. }) if place == 0 => write!(f, " {figure:.2} ({bound}) |")?,
                    Some(Check { figure, bound, of }) => write!(f, " {figure:.2} ({bound}), {of} |")?,
                    None => write!(f, " |")?,
                }
            }
            writeln!(f, " {} |", row.word())?;
        }
        if !self.bounds.is_empty() {
            writeln!(f, "\n| ours | workload, size | figure | target | of | |")?;
            writeln!(f, "| :--- | :------------- | -----: | -----: | :- |-|")?;
        }
        for row in &self.bounds {
            for Check { figure, bound, of } in &row.checks {
                writeln!(f, "| {} | {} | {figure:.2} | {bound} | {of} | {} |", row.ours, row.place, row.word())?;
            }
        }
        let checks = || self.targets.iter().chain(&self.bounds).flat_map(|row| &row.checks);
        if checks().next().is_some() {
            let (met, all) = (checks().filter(|check| check.met()).count(), checks().count());
            writeln!(f, "\n{met} of {all} targets are met.")?;
        }
        Ok(())
    }
}

impl Row {
    fn word(&self) -> &'static str {
        if self.checks.iter().all(Check::met) { "met" } else { "**missed**" }
    }
}
