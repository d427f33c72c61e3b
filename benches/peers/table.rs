//! All contestants at one workload and one size.

use std::fmt;
use std::time::Duration;

use crate::cell::{Cell, measure};
use crate::common::{Form, Origin, Workload};
use crate::options::Effort;

pub(crate) struct Table {
    pub(crate) workload: &'static Workload,
    pub(crate) size: usize,
    rounds: u16,
    cells: Vec<Cell>,
}

impl Table {
    pub(crate) fn measure(workload: &'static Workload, size: usize, effort: &Effort) -> Self {
        let contestants = (workload.contestants)();
        let items = enough(Cell::new(workload, contestants[0], size, 0), effort.least);
        let cell = |contestant| Cell::new(workload, contestant, size, items);
        let mut cells: Vec<_> = contestants.into_iter().map(cell).collect();
        let rounds = measure(&mut cells, effort);
        Self { workload, size, rounds, cells }
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter()
    }

    pub(crate) fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.contestant.name == name)
    }

    /// Who of ours stands for a form, in tables that have it.
    pub(crate) fn ours(&self, form: Form) -> Option<&Cell> {
        self.cell(form.ours())
    }

    /// Those of a form that are not ours.
    pub(crate) fn peers(&self, form: Form) -> impl Iterator<Item = &Cell> {
        let of_form = self.cells.iter().filter(move |cell| cell.contestant.form == form);
        of_form.filter(|cell| cell.contestant.origin != Origin::Ours)
    }
}

/// How many items a cell needs to take at least so long, and eight times as many as it holds at once.
fn enough(mut cell: Cell, least: Duration) -> u32 {
    cell.items = u32::try_from(8 * cell.size).expect("a size below 2^29").max(256);
    loop {
        let time = cell.run(cell.items);
        if time >= least {
            return cell.items;
        }
        let factor = (1.2 * least.as_secs_f64() / time.as_secs_f64()).clamp(1.2, 16.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "up to 16 times a small number")]
        {
            cell.items = (f64::from(cell.items) * factor).ceil() as u32;
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cells.iter().map(|cell| cell.contestant.name.len()).max().unwrap_or(0);
        let Workload { name, futures, .. } = self.workload;
        let (size, items, rounds) = (self.size, self.cells[0].items, self.rounds);
        writeln!(f, "`{name}`: {futures}. Size {size}, {items} items, {rounds} rounds.\n")?;
        writeln!(f, "| {:width$} |    ns/item | spread | ratio |", "contestant")?;
        writeln!(f, "| {:-<width$} | ---------: | -----: | ----: |", "")?;
        for cell in &self.cells {
            let (name, ns) = (cell.contestant.name, cell.median());
            let ratio = self.ours(cell.contestant.form).map_or(f64::NAN, |ours| cell.over(ours));
            let spread = cell.spread().map_or("1 run".to_owned(), |part| format!("{:.0} %", 100.0 * part));
            writeln!(f, "| {name:width$} | {ns:10.1} | {spread:>6} | {ratio:5.2} |")?;
        }
        Ok(())
    }
}
