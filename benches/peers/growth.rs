//! How the time an item takes grows with the number of items, with the size, and with what is queued.

use std::fmt;

use crate::cell::{Cell, measure};
use crate::common::jobs::Yields;
use crate::common::{Contestant, Origin, Workload, names};
use crate::options::Effort;
use crate::queues;

pub(crate) const NAME: &str = "growth";

/// What all of it is measured with: all slots are in use.
const WORKLOAD: &str = "yield-1";

/// Those who are put into the first two tables.
const CONTESTANTS: [&str; 5] = [
    names::POOL_MAP,
    names::POOL_MAP_ORDERED,
    names::POOL,
    names::BUFFER_UNORDERED,
    "futures-buffered `buffered_unordered`",
];

static QUEUED: Workload = Workload {
    name: NAME,
    contestants: queues::contestants::<Yields<1, 0>>,
    ..Workload::streams::<Yields<1, 0>>(NAME, "futures that wake themselves once")
};

pub(crate) struct Growth {
    about: String,
    /// What grows.
    grows: &'static str,
    /// From here on, what is held at once does not fit into a processor's own cache, so that memory sets the pace.
    memory: u32,
    rows: Vec<Row>,
}

struct Row {
    value: u32,
    cells: Vec<Cell>,
}

/// How a contestant has grown.
pub(crate) struct Worst {
    pub(crate) contestant: Contestant,
    /// How many times as much an item takes as at some smaller value.
    pub(crate) factor: f64,
    /// The value at which it does.
    pub(crate) at: u32,
}

impl Growth {
    /// One table after the other, as they are measured.
    pub(crate) fn all(quick: bool, effort: &Effort) -> impl Iterator<Item = Self> {
        let tables: [fn(bool, &Effort) -> Self; 3] = [Self::by_items, Self::by_size, Self::by_queue];
        tables.into_iter().map(move |measure| measure(quick, effort))
    }

    fn by_items(quick: bool, effort: &Effort) -> Self {
        let workload = Workload::named(WORKLOAD);
        let values: &[u32] =
            if quick { &[10_000, 100_000, 1_000_000] } else { &[10_000, 100_000, 1_000_000, 10_000_000] };
        let row = |&items: &u32| Row::new(workload, &CONTESTANTS, items, 64, items);
        let about = format!("{}, size 64", workload.futures);
        Self::measure(about, "items", u32::MAX, values.iter().map(row).collect(), effort)
    }

    fn by_size(quick: bool, effort: &Effort) -> Self {
        let workload = Workload::named(WORKLOAD);
        let (items, exponents) = if quick { (300_000, 16) } else { (1_000_000, 20) };
        let row = |exponent: u32| {
            let size = 1 << exponent;
            Row::new(workload, &CONTESTANTS, size, size as usize, items.max(4 * size))
        };
        let about = format!("{}, {items} items, or 4 times the size", workload.futures);
        Self::measure(about, "size", 1 << 13, (0..=exponents).step_by(4).map(row).collect(), effort)
    }

    fn by_queue(quick: bool, effort: &Effort) -> Self {
        let values: &[u32] = if quick { &[10_000, 100_000] } else { &[10_000, 100_000, 1_000_000] };
        let contestants = (QUEUED.contestants)();
        let names: Vec<_> = contestants.iter().map(|contestant| contestant.name).collect();
        let row = |&items: &u32| Row::new(&QUEUED, &names, items, 64, items);
        let about = format!("{}, size 64, all of them pushed before the first is polled", QUEUED.futures);
        Self::measure(about, "queued", u32::MAX, values.iter().map(row).collect(), effort)
    }

    fn measure(about: String, grows: &'static str, memory: u32, rows: Vec<Row>, effort: &Effort) -> Self {
        let columns = rows[0].cells.len();
        let values: Vec<_> = rows.iter().map(|row| row.value).collect();
        let mut cells: Vec<_> = rows.into_iter().flat_map(|row| row.cells).collect();
        measure(&mut cells, effort);
        let mut cells = cells.into_iter();
        let rows = values.into_iter().map(|value| Row { value, cells: cells.by_ref().take(columns).collect() });
        Self { about, grows, memory, rows: rows.collect() }
    }

    pub(crate) fn name(&self) -> String {
        format!("{NAME} of {}", self.grows)
    }

    /// How many times as much a cell takes as the least of those above it.
    fn factor(&self, row: usize, column: usize) -> Option<f64> {
        let above = self.rows[..row].iter().map(|row| &row.cells[column]);
        let least = above.min_by(|one, other| one.median().total_cmp(&other.median()))?;
        Some(self.rows[row].cells[column].over(least))
    }

    /// Where those of ours have grown most, memory not setting the pace.
    pub(crate) fn worst(&self) -> impl Iterator<Item = Worst> {
        let columns = self.rows[0].cells.iter().enumerate();
        columns.filter(|(_, cell)| cell.contestant.origin == Origin::Ours).filter_map(|(column, cell)| {
            let rows = self.rows.iter().enumerate().filter(|(_, row)| row.value < self.memory);
            let factors = rows.filter_map(|(index, row)| Some((self.factor(index, column)?, row.value)));
            let (factor, at) = factors.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
            Some(Worst { contestant: cell.contestant, factor, at })
        })
    }
}

impl Row {
    fn new(workload: &'static Workload, names: &[&str], value: u32, size: usize, items: u32) -> Self {
        let contestants = (workload.contestants)();
        let find = |name: &&str| contestants.iter().find(|contestant| contestant.name == *name);
        let cells = names.iter().filter_map(find).map(|&contestant| Cell::new(workload, contestant, size, items));
        Self { value, cells: cells.collect() }
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{NAME}` of {}: {}. ns/item (times the least above it).\n", self.grows, self.about)?;
        let heads = self.rows[0].cells.iter().map(|cell| cell.contestant.name);
        let heads: Vec<_> = heads.map(|name| format!("{name:>15}")).collect();
        writeln!(f, "| {:>8} | {} |", self.grows, heads.join(" | "))?;
        let lines: Vec<_> = heads.iter().map(|head| format!("{:->1$}", ":", head.chars().count())).collect();
        writeln!(f, "| {:->8} | {} |", ":", lines.join(" | "))?;
        for (index, row) in self.rows.iter().enumerate() {
            write!(f, "| {:>8} |", row.value)?;
            for (column, cell) in row.cells.iter().enumerate() {
                let factor = self.factor(index, column).map_or(String::new(), |factor| format!(" ({factor:.2})"));
                let text = format!("{:.1}{factor}", cell.median());
                write!(f, " {text:>0$} |", heads[column].chars().count())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
