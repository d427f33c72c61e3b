//! What a message says: the job, its key, and the partition where the jobs of that key are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A job, as the body of a message has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Job {
    /// Its number among those that were enqueued together; those of one key are in the order of their numbers.
    pub(crate) id: u64,
    /// What it is about: of jobs with the same key, an ordered worker runs one at a time.
    pub(crate) key: u64,
    /// How long it takes, in milliseconds.
    pub(crate) work_ms: u64,
    /// How many of its first attempts fail.
    #[serde(default)]
    pub(crate) fails: u64,
}

impl Job {
    /// Reads the body of a message.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Writes the body of a message.
    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers can be written")
    }

    /// How long it takes.
    pub(crate) fn work(&self) -> Duration {
        Duration::from_millis(self.work_ms)
    }
}

/// The partition of a key, the same on every machine and in every version: the bits of the key, mixed as in `splitmix64`, then
/// modulo.
pub(crate) fn partition(key: u64, partitions: u32) -> u32 {
    let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((mixed ^ (mixed >> 31)) % u64::from(partitions.max(1))).expect("less than a u32")
}

/// The subject of a partition.
pub(crate) fn subject(stream: &str, partition: u32) -> String {
    format!("{stream}.{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_it_was_written() {
        let job = Job { id: 7, key: 3, work_ms: 20, fails: 1 };
        assert_eq!(Job::parse(&job.body()).unwrap(), job);
        assert_eq!(job.work(), Duration::from_millis(20));
    }

    #[test]
    fn a_body_without_failures_has_none() {
        assert_eq!(Job::parse(br#"{"id":1,"key":2,"work_ms":3}"#).unwrap().fails, 0);
    }

    #[test]
    fn what_is_no_job_is_an_error() {
        for body in [&b""[..], b"{}", b"id 1", br#"{"id":-1,"key":2,"work_ms":3}"#] {
            assert!(Job::parse(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn partitions_never_change() {
        // Jobs in a stream were put there by other versions of this program.
        let found: Vec<_> = (0..8).map(|key| partition(key, 4)).collect();
        assert_eq!(found, [0, 1, 2, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn partitions_are_of_about_the_same_size() {
        let mut sizes = [0; 4];
        for key in 0..10_000 {
            sizes[partition(key, 4) as usize] += 1;
        }
        assert!(sizes.iter().all(|size| (2_250..2_750).contains(size)), "{sizes:?}");
    }

    #[test]
    fn no_partitions_are_one() {
        assert_eq!(partition(5, 0), 0);
        assert_eq!(subject("jobs", 3), "jobs.3");
    }
}
