//! Futures that are ready, within tokio's budget: how often each contestant polls them in vain.

use std::fmt;

use crate::cell::{Cell, measure};
use crate::common::jobs::{MESSAGES, Messages};
use crate::common::{COOP, Form, Origin};
use crate::options::Effort;

pub(crate) struct Coop {
    rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) polls_per_message: f64,
}

impl Coop {
    /// All `futures` are in flight at once.
    pub(crate) fn measure(futures: u16, effort: &Effort) -> Self {
        let contestants = (COOP.contestants)().into_iter();
        let cell = |contestant| Cell::new(&COOP, contestant, futures.into(), futures.into());
        let mut cells: Vec<_> = contestants.map(cell).collect();
        measure(&mut cells, effort);
        Self { rows: cells.into_iter().map(Row::count).collect() }
    }

    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.cell.contestant.name == name)
    }

    /// Those of a form that are not ours.
    pub(crate) fn peers(&self, form: Form) -> impl Iterator<Item = &Cell> {
        let of_form = self.rows.iter().map(|row| &row.cell).filter(move |cell| cell.contestant.form == form);
        of_form.filter(|cell| cell.contestant.origin != Origin::Ours)
    }
}

impl Row {
    /// Counts polls in a run of its own.
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    fn count(cell: Cell) -> Self {
        Messages::polls();
        cell.run(cell.items);
        let polls_per_message = Messages::polls() as f64 / (MESSAGES as f64 * f64::from(cell.items));
        Self { cell, polls_per_message }
    }
}

impl fmt::Display for Coop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.cell.contestant.name.len()).max().unwrap_or(0);
        let futures = self.rows[0].cell.items;
        writeln!(f, "`{}`: {futures} {}, all in flight at once.\n", COOP.name, COOP.futures)?;
        writeln!(f, "| {:width$} | polls/message |      ms | ratio |", "contestant")?;
        writeln!(f, "| {:-<width$} | ------------: | ------: | ----: |", "")?;
        for Row { cell, polls_per_message } in &self.rows {
            let name = cell.contestant.name;
            let ms = cell.median() * f64::from(cell.items) / 1e6;
            let ratio = self.row(cell.contestant.form.ours()).map_or(f64::NAN, |ours| cell.over(&ours.cell));
            writeln!(f, "| {name:width$} | {polls_per_message:13.2} | {ms:7.1} | {ratio:5.2} |")?;
        }
        Ok(())
    }
}
