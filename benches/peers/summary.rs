//! One size at a glance: the ratios of all contestants at all workloads.

use std::fmt;

use crate::common::{Form, names};
use crate::table::Table;

pub(crate) struct Summary<'a> {
    size: usize,
    tables: Vec<&'a Table>,
}

impl<'a> Summary<'a> {
    /// Of the workloads whose results come as streams.
    pub(crate) fn new(tables: &'a [Table], size: usize) -> Self {
        let of_size = tables.iter().filter(|table| table.size == size);
        Self { size, tables: of_size.filter(|table| table.ours(Form::Unordered).is_some()).collect() }
    }

    /// Contestants that do not take part everywhere included.
    fn contestants(&self) -> Vec<(&'static str, Form)> {
        let mut contestants = Vec::new();
        for cell in self.tables.iter().flat_map(|table| table.cells()) {
            let contestant = (cell.contestant.name, cell.contestant.form);
            if !contestants.contains(&contestant) {
                contestants.push(contestant);
            }
        }
        contestants.sort_by_key(|(_, form)| *form != Form::Unordered);
        contestants
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() {
            return Ok(());
        }
        let [unordered, ordered] = [Form::Unordered, Form::Ordered].map(Form::ours);
        writeln!(
            f,
            "Size {}: how many times as long as {unordered} takes, and below {} as {ordered} takes.\n",
            self.size,
            names::BUFFERED,
        )?;
        write!(f, "| contestant |")?;
        for table in &self.tables {
            write!(f, " {} |", table.workload.name)?;
        }
        writeln!(f, "\n|---|{}", "--:|".repeat(self.tables.len()))?;
        for (name, form) in self.contestants() {
            write!(f, "| {name} |")?;
            for table in &self.tables {
                match (table.cell(name), table.ours(form)) {
                    (Some(cell), _) if name == form.ours() => write!(f, " {:.1} ns |", cell.median())?,
                    (Some(cell), Some(ours)) => write!(f, " {:.2} |", cell.over(ours))?,
                    _ => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
