//! What the table says when all is over: what was done, how often, by whom, and how many at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use crate::table::{Entry, Kind};

/// A job with a worker, from its start until its slot is free, or until its worker was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) job: u64,
    pub(crate) key: u64,
    pub(crate) worker: String,
    pub(crate) start: u64,
    /// When its work was over.
    pub(crate) worked: Option<u64>,
    pub(crate) done: bool,
    pub(crate) end: Option<(u64, Kind)>,
}

/// The table, job by job.
pub(crate) struct Account {
    pub(crate) attempts: Vec<Attempt>,
    /// When each worker that was killed was.
    killed: HashMap<String, u64>,
}

/// Of what all slots were held in a time, and how many were on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) full: f64,
    pub(crate) mean: f64,
}

impl Account {
    /// Reads the entries, of which those of a worker are in order.
    pub(crate) fn new(entries: &[Entry], killed: impl IntoIterator<Item = (String, u64)>) -> Result<Self, String> {
        let mut attempts = Vec::<Attempt>::new();
        // Those that have not ended.
        let mut open = HashMap::<(u64, &str), usize>::new();
        for entry in entries {
            let id = (entry.job, &*entry.worker);
            if entry.kind == Kind::Start {
                if open.insert(id, attempts.len()).is_some() {
                    return Err(format!("job {} was started by {} while it had it", entry.job, entry.worker));
                }
                let (worker, start) = (entry.worker.clone(), entry.at);
                attempts.push(Attempt {
                    job: entry.job,
                    key: entry.key,
                    worker,
                    start,
                    worked: None,
                    done: false,
                    end: None,
                });
                continue;
            }
            let Some(&index) = open.get(&id) else {
                // Given back before its turn came.
                if entry.kind == Kind::GivenBack {
                    continue;
                }
                return Err(format!("job {} never started: {entry}", entry.job));
            };
            let attempt = &mut attempts[index];
            match entry.kind {
                Kind::Start => {}
                Kind::Failed => attempt.worked = Some(entry.at),
                Kind::Done => (attempt.worked, attempt.done) = (Some(entry.at), true),
                Kind::Acknowledged | Kind::GivenBack | Kind::Unconfirmed => {
                    attempt.end = Some((entry.at, entry.kind));
                    open.remove(&id);
                }
            }
        }
        Ok(Self { attempts, killed: killed.into_iter().collect() })
    }

    /// The jobs that were done, and how often.
    pub(crate) fn done(&self) -> BTreeMap<u64, usize> {
        let mut done = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|attempt| attempt.done) {
            *done.entry(attempt.job).or_default() += 1;
        }
        done
    }

    /// The jobs that were not done.
    pub(crate) fn lost(&self, jobs: Range<u64>) -> Vec<u64> {
        let done = self.done();
        jobs.filter(|job| !done.contains_key(job)).collect()
    }

    /// What a worker had when it was killed.
    pub(crate) fn in_flight(&self, worker: &str) -> BTreeSet<u64> {
        self.attempts.iter().filter(|it| it.worker == worker && it.end.is_none()).map(|it| it.job).collect()
    }

    /// The attempts that were not the last one of their job, though their worker had not given it back: after each of them the
    /// job was started once more than it should have been.
    pub(crate) fn repeated(&self) -> Vec<&Attempt> {
        let mut last = HashMap::<u64, &Attempt>::new();
        let mut repeated = Vec::new();
        for attempt in &self.attempts {
            if let Some(before) = last.insert(attempt.job, attempt) {
                // It is also once too often if the job was given back only after it had been started elsewhere.
                if !before
                    .end
                    .is_some_and(|(at, kind)| kind == Kind::GivenBack && !before.done && at <= attempt.start + SKEW)
                {
                    repeated.push(before);
                }
            }
        }
        repeated
    }

    /// How many jobs were worked on at the same time, at most.
    pub(crate) fn most_active(&self) -> usize {
        let (mut active, mut most) = (0_usize, 0);
        for (_, is_start) in self.changes(|attempt| attempt.worked) {
            active = if is_start { active + 1 } else { active - 1 };
            most = most.max(active);
        }
        most
    }

    /// How many jobs were worked on at a time.
    pub(crate) fn active_at(&self, at: u64) -> usize {
        let is_active = |it: &&Attempt| it.start <= at && self.end(it, it.worked).is_none_or(|end| at < end);
        self.attempts.iter().filter(is_active).count()
    }

    /// How many of `size` slots were held, from the first moment when all were until `until`.
    pub(crate) fn load(&self, size: usize, until: u64) -> Option<Load> {
        let (mut held, mut full, mut sum) = (0_usize, 0_u64, 0_u64);
        let mut from = None;
        let mut before = 0;
        for (at, is_start) in self.changes(|attempt| attempt.end.map(|(at, _)| at)) {
            let at = at.min(until);
            if from.is_some() {
                sum += (at - before) * held as u64;
                full += if held >= size { at - before } else { 0 };
            }
            held = if is_start { held + 1 } else { held - 1 };
            if held == size && from.is_none() {
                from = Some(at);
            }
            before = at;
        }
        let time = until.checked_sub(from?).filter(|time| *time > 0)?;
        Some(Load { full: ratio(full, time), mean: ratio(sum, time) })
    }

    /// How many microseconds the work of a job took on average, and then its acknowledgement.
    pub(crate) fn means(&self) -> (u64, u64) {
        let times = self.attempts.iter().filter_map(|it| Some((it.worked? - it.start, it.end?.0 - it.worked?)));
        let (count, work, rest) =
            times.fold((0, 0, 0), |(count, work, rest), it| (count + 1, work + it.0, rest + it.1));
        (work / count.max(1), rest / count.max(1))
    }

    /// The first job that was started before the one of the same key before it had been done.
    pub(crate) fn out_of_order(&self) -> Option<String> {
        let mut attempts: Vec<_> = self.attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.start);
        // For each key, the highest job that was done, and when.
        let mut done = HashMap::<u64, Vec<&Attempt>>::new();
        for attempt in attempts {
            let earlier = done.entry(attempt.key).or_default();
            for other in earlier.iter() {
                let others_end = self.end(other, other.worked).unwrap_or(u64::MAX);
                if other.job > attempt.job && !earlier.iter().any(|it| it.job == attempt.job && it.done) {
                    return Some(format!("job {} was started after job {} of the same key", attempt.job, other.job));
                }
                if others_end > attempt.start {
                    return Some(format!(
                        "job {} was started while job {} of the same key ran",
                        attempt.job, other.job
                    ));
                }
            }
            earlier.push(attempt);
        }
        None
    }

    /// The times at which something started, or ended as `end` tells; ends first where both are at the same time.
    fn changes(&self, end: impl Fn(&Attempt) -> Option<u64>) -> Vec<(u64, bool)> {
        let starts = self.attempts.iter().map(|attempt| (attempt.start, true));
        let ends = self.attempts.iter().filter_map(|it| Some((self.end(it, end(it))?, false)));
        let mut changes: Vec<_> = starts.chain(ends).collect();
        changes.sort_unstable();
        changes
    }

    fn end(&self, attempt: &Attempt, end: Option<u64>) -> Option<u64> {
        // After it was killed, nothing more can have been written.
        end.or_else(|| self.killed.get(&attempt.worker).copied()).map(|end| end.max(attempt.start))
    }
}

/// By how many microseconds a line may come later than what it tells of: a job that was given back can be with another worker
/// before the worker that had it hears that the broker knows.
const SKEW: u64 = 2_000_000;

#[expect(clippy::cast_precision_loss, reason = "microseconds of a few minutes")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account of lines without times, of which each is a millisecond after the one before: `start 3 w1`.
    fn account(lines: &str, killed: &[(&str, u64)]) -> Account {
        try_account(lines, killed).unwrap()
    }

    fn try_account(lines: &str, killed: &[(&str, u64)]) -> Result<Account, String> {
        let entry = |(at, line): (usize, &str)| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // The key is the last digit of the job.
            let key = fields[1].parse::<u64>().unwrap() % 10;
            format!("{} {} {} {key} {}", at * 1_000, fields[0], fields[1], fields[2]).parse().unwrap()
        };
        let entries: Vec<Entry> = lines.split(';').enumerate().map(entry).collect();
        Account::new(&entries, killed.iter().map(|(worker, at)| ((*worker).to_owned(), *at)))
    }

    #[test]
    fn what_is_done_once_is_not_lost() {
        let account =
            account("start 0 a; done 0 a; acknowledged 0 a; start 1 a; done 1 a; acknowledged 1 a; start 2 a", &[]);
        assert_eq!(account.lost(0..4), [2, 3]);
        assert_eq!(account.done(), BTreeMap::from([(0, 1), (1, 1)]));
        assert!(account.repeated().is_empty());
        assert_eq!(account.in_flight("a"), BTreeSet::from([2]));
    }

    #[test]
    fn what_is_given_back_may_start_again() {
        let account = account("start 0 a; failed 0 a; given-back 0 a; start 0 b; done 0 b; acknowledged 0 b", &[]);
        assert!(account.repeated().is_empty());
        assert!(account.lost(0..1).is_empty());
    }

    #[test]
    fn what_is_not_given_back_may_not() {
        for lines in [
            "start 0 a; start 0 b",
            "start 0 a; done 0 a; start 0 b; done 0 b",
            "start 0 a; done 0 a; acknowledged 0 a; start 0 b; done 0 b; acknowledged 0 b",
            "start 0 a; done 0 a; unconfirmed 0 a; start 0 a",
        ] {
            let account = account(lines, &[]);
            let repeated: Vec<_> = account.repeated().iter().map(|attempt| (attempt.job, &*attempt.worker)).collect();
            assert_eq!(repeated, [(0, "a")], "{lines}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_is_an_error() {
        assert!(try_account("done 0 a", &[]).is_err());
        assert!(try_account("start 0 a; start 0 a", &[]).is_err());
        assert!(try_account("start 0 a; done 0 b", &[]).is_err());
        assert!(try_account("given-back 0 a", &[]).is_ok()); // before its turn came
    }

    #[test]
    fn active_is_what_is_worked_on_and_ends_where_its_worker_does() {
        let lines = "start 0 a; start 1 b; done 0 a; start 2 b; acknowledged 0 a; failed 2 b";
        assert_eq!(account(lines, &[]).most_active(), 2);
        assert_eq!(account(lines, &[]).active_at(1_500), 2);
        assert_eq!(account(lines, &[]).active_at(9_000), 1);
        assert_eq!(account(lines, &[("b", 5_500)]).active_at(9_000), 0);
        assert_eq!(account("start 0 a; start 1 b; start 2 b", &[("a", 1_500)]).most_active(), 2);
        assert_eq!(account("start 0 a; start 1 b; start 2 b", &[]).most_active(), 3);
    }

    #[test]
    fn the_load_is_that_of_the_time_from_the_first_moment_when_all_are_held() {
        // Both are held from 1 to 3 and from 4 to 5.
        let lines =
            "start 0 a; start 1 a; done 0 a; acknowledged 0 a; start 2 a; done 1 a; acknowledged 1 a; start 3 a";
        assert_eq!(account(lines, &[]).load(2, 5_000), Some(Load { full: 0.75, mean: 1.75 }));
        assert_eq!(account(lines, &[]).load(2, 1_000), None);
        assert_eq!(account(lines, &[]).load(3, 5_000), None);
    }

    #[test]
    fn work_and_acknowledgement_have_their_means() {
        let lines = "start 0 a; start 1 a; done 0 a; done 1 a; acknowledged 1 a; acknowledged 0 a; start 2 a";
        assert_eq!(account(lines, &[]).means(), (2_000, 2_000));
        assert_eq!(account("start 0 a", &[]).means(), (0, 0));
    }

    #[test]
    fn jobs_of_a_key_are_in_order_if_each_is_done_before_the_next_starts() {
        for lines in [
            "start 3 a; start 4 a; done 3 a; acknowledged 3 a; start 13 a; done 13 a",
            "start 3 a; failed 3 a; given-back 3 a; start 3 a; done 3 a; acknowledged 3 a; start 13 a",
        ] {
            assert_eq!(account(lines, &[]).out_of_order(), None, "{lines}");
        }
        for lines in [
            "start 13 a; done 13 a; acknowledged 13 a; start 3 a",
            "start 3 a; start 13 a; done 3 a",
            "start 3 a; start 13 b; done 3 a",
            "start 3 a; failed 3 a; given-back 3 a; start 13 a; done 13 a; acknowledged 13 a; start 3 a",
        ] {
            assert!(account(lines, &[]).out_of_order().is_some(), "{lines}");
        }
    }

    #[test]
    fn order_holds_where_a_worker_was_killed_and_another_does_its_jobs_again() {
        let lines = "start 3 a; start 4 a; start 3 b; done 3 b; acknowledged 3 b; start 13 b; done 13 b";
        assert_eq!(account(lines, &[("a", 1_500)]).out_of_order(), None);
        assert!(account(lines, &[("a", 2_500)]).out_of_order().is_some());
        // What was done already may be done again, but not while another one runs.
        let again = "start 3 a; done 3 a; acknowledged 3 a; start 13 a; done 13 a; acknowledged 13 a; start 3 b";
        assert_eq!(account(again, &[]).out_of_order(), None);
    }
}
