//! One contestant at one workload and one size, and the times that were taken of it.

use std::hint::black_box;
use std::time::Duration;

use fastrand::Rng;

use crate::common::{Contestant, Total, Workload};
use crate::options::Effort;

pub(crate) struct Cell {
    pub(crate) workload: &'static Workload,
    pub(crate) contestant: Contestant,
    pub(crate) size: usize,
    pub(crate) items: u32,
    /// Nanoseconds an item, one entry for each round; only one of a contestant that is too slow for more.
    nanos: Vec<f64>,
}

impl Cell {
    pub(crate) fn new(workload: &'static Workload, contestant: Contestant, size: usize, items: u32) -> Self {
        Self { workload, contestant, size, items, nanos: Vec::new() }
    }

    /// Runs it once, with so many items, and checks what came out.
    pub(crate) fn run(&self, items: u32) -> Duration {
        let items = u64::from(items);
        tidy_up();
        (self.workload.prepare)(items);
        let measured = (self.contestant.run)(self.size, items);
        assert_eq!(measured.total, Total::expected(items), "{} at size {}", self.contestant.name, self.size);
        measured.time
    }

    /// Runs it once with a part of the items, and returns how long it takes with all of them; `None` if that is too
    /// long, and this run is to be the only one.
    fn warm_up(&mut self, patience: Duration) -> Option<Duration> {
        const PART: u32 = 4;
        let items = self.items.div_ceil(PART);
        let time = self.run(items);
        if PART * time > patience {
            self.nanos.push(nanos(time, items));
            return None;
        }
        Some(PART * time)
    }

    pub(crate) fn median(&self) -> f64 {
        quartile(self.nanos.clone(), 2)
    }

    /// The middle half of the rounds, as a part of the median; `None` if it was so slow that it was run only once.
    pub(crate) fn spread(&self) -> Option<f64> {
        let [low, high] = [1, 3].map(|part| quartile(self.nanos.clone(), part));
        (self.nanos.len() > 1).then(|| (high - low) / self.median())
    }

    /// How many times as long as `other` this one took: the median over the rounds of the ratio within a round.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        if self.nanos.len() == other.nanos.len() {
            let rounds = self.nanos.iter().zip(&other.nanos);
            quartile(rounds.map(|(own, other)| own / other).collect(), 2)
        } else {
            self.median() / other.median()
        }
    }
}

/// Has the allocator put together what the last run has freed in small pieces. That of glibc does so only when it is
/// asked for something larger: the next contestant would pay for it, or get memory in pieces.
fn tidy_up() {
    drop(black_box(Vec::<u8>::with_capacity(1 << 16)));
}

fn nanos(time: Duration, items: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(items)
}

/// The value that `part` of four quarters of the values do not exceed.
fn quartile(mut values: Vec<f64>, part: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * part / 4]
}

/// Warms up, then runs all cells in rounds: in each round every cell once, in another order each time. Returns how many
/// rounds there were: more than the least if they are short.
///
/// Who is very slow takes no part in the rounds.
pub(crate) fn measure(cells: &mut [Cell], effort: &Effort) -> u16 {
    const MOST: u16 = 101;
    let mut in_rounds = Vec::new();
    let mut round = Duration::ZERO;
    for cell in cells {
        if let Some(time) = cell.warm_up(effort.patience) {
            round += time;
            in_rounds.push(cell);
        }
    }
    let mut rounds = effort.rounds;
    while rounds < MOST && u32::from(rounds + 2) * round < effort.time {
        rounds += 2;
    }
    for round in 0..rounds {
        Rng::with_seed(round.into()).shuffle(&mut in_rounds);
        for cell in &mut in_rounds {
            let time = cell.run(cell.items);
            cell.nanos.push(nanos(time, cell.items));
        }
    }
    rounds
}
