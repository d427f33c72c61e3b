//! The table of what was done, which the handlers write: a line for each thing that happened to a job.
//!
//! All workers append to one file. A line is one `write`, so lines of several processes do not mix, and those of a process that
//! was killed stay.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A worker began to work on it.
    Start,
    /// Its work is done.
    Done,
    /// Its work has failed.
    Failed,
    /// The broker has confirmed that it is done; its slot is free.
    Acknowledged,
    /// It was given back to the broker; its slot is free.
    GivenBack,
    /// The broker has not confirmed that it is done; its slot is free.
    Unconfirmed,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Start, "start"),
    (Kind::Done, "done"),
    (Kind::Failed, "failed"),
    (Kind::Acknowledged, "acknowledged"),
    (Kind::GivenBack, "given-back"),
    (Kind::Unconfirmed, "unconfirmed"),
];

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Microseconds since 1970, by the clock of the machine.
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    pub(crate) job: u64,
    pub(crate) key: u64,
    pub(crate) worker: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, kind) = KINDS.iter().find(|(kind, _)| *kind == self.kind).expect("all kinds are listed");
        write!(f, "{} {kind} {} {} {}", self.at, self.job, self.key, self.worker)
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("not a line of the table: {line:?}");
        let fields: Vec<_> = line.split(' ').collect();
        let [at, kind, job, key, worker] = fields[..] else { return Err(wrong()) };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        let (kind, _) = KINDS.into_iter().find(|(_, name)| *name == kind).ok_or_else(wrong)?;
        Ok(Self { at: number(at)?, kind, job: number(job)?, key: number(key)?, worker: worker.to_owned() })
    }
}

/// The table, as a worker writes it.
pub(crate) struct Table {
    file: Option<File>,
    worker: String,
}

impl Table {
    /// Opens the table, if there is to be one.
    pub(crate) fn open(path: Option<&Path>, worker: &str) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().append(true).create(true).open(path)).transpose()?;
        Ok(Self { file, worker: worker.to_owned() })
    }

    /// Appends a line.
    pub(crate) fn note(&self, kind: Kind, job: u64, key: u64) {
        if let Some(mut file) = self.file.as_ref() {
            let entry = Entry { at: now(), kind, job, key, worker: self.worker.clone() };
            file.write_all(format!("{entry}\n").as_bytes()).expect("the table can be written");
        }
    }
}

/// Reads a table.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The last line may be on its way.
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::parse).collect()
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    u64::try_from(since.as_micros()).expect("not in the next half a million years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        for (kind, _) in KINDS {
            let entry = Entry { at: 17, kind, job: 3, key: 1, worker: "w2".to_owned() };
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        for line in ["", "17 start 3 1", "17 begin 3 1 w2", "x start 3 1 w2", "17 start 3 1 w2 more"] {
            assert!(line.parse::<Entry>().is_err(), "{line}");
        }
    }

    #[test]
    fn several_workers_write_one_table() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        let tables = ["a", "b"].map(|worker| Table::open(Some(&path), worker).unwrap());
        for job in 0..10 {
            tables[job % 2].note(Kind::Start, job as u64, 5);
        }
        let entries = read(&path).unwrap();
        assert!(entries.iter().map(|entry| entry.job).eq(0..10));
        assert!(entries.iter().zip(["a", "b"].iter().cycle()).all(|(entry, worker)| entry.worker == *worker));
        assert!(entries.is_sorted_by_key(|entry| entry.at));
    }

    #[test]
    fn a_line_on_its_way_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        fs::write(&path, "17 start 3 1 w2\n18 do").unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        assert!(read(&directory.path().join("none")).unwrap_err().contains("none"));
    }
}
