//! The workloads: what kind of futures, and who runs them.

use super::contestant::Contestant;
use super::jobs::{Messages, Remote, Timer, Woken, Yields};
use super::{Job, consumers, scopes, streams};

/// One kind of futures, for all contestants of some forms.
pub(crate) struct Workload {
    /// Words with hyphens between.
    pub(crate) name: &'static str,
    /// What the futures do.
    pub(crate) futures: &'static str,
    /// Makes what the futures of a run need.
    pub(crate) prepare: fn(items: u64),
    /// The first of them is the measure of how many items make a run long enough.
    pub(crate) contestants: fn() -> Vec<Contestant>,
}

impl Workload {
    pub(crate) const fn streams<F: Job>(name: &'static str, futures: &'static str) -> Self {
        Self { name, futures, prepare: F::prepare, contestants: streams::contestants::<F> }
    }

    /// Returns the one of [`WORKLOADS`] that is called this.
    pub(crate) fn named(name: &str) -> &'static Self {
        WORKLOADS.iter().find(|workload| workload.name == name).expect("a workload")
    }
}

/// How many bytes make a future of 16 bytes one of a kibibyte.
const TO_KIB: usize = 1024 - 16;

const READY: &str = "futures that finish at their first poll";
const ONCE: &str = "futures that wake themselves once";

pub(crate) const WORKLOADS: [Workload; 13] = [
    Workload::streams::<Yields<0, 0>>("ready", READY),
    Workload::streams::<Yields<1, 0>>("yield-1", ONCE),
    Workload::streams::<Yields<10, 0>>("yield-10", "futures that wake themselves ten times"),
    Workload::streams::<Woken<1>>("wake-1", "futures that wait; when all do, a random one is woken"),
    Workload::streams::<Woken<16>>("wake-16", "futures that wait; when all do, 16 random ones are woken"),
    Workload::streams::<Timer>("timers", "futures that sleep for 1 to 16 ms by tokio's paused clock"),
    Workload::streams::<Yields<0, TO_KIB>>("large-ready", "futures of 1 KiB that finish at their first poll"),
    Workload::streams::<Yields<1, TO_KIB>>("large-yield-1", "futures of 1 KiB that wake themselves once"),
    Workload::streams::<Remote>("thread", "futures that are woken from another thread"),
    Workload {
        contestants: consumers::contestants::<Yields<0, 0>>,
        ..Workload::streams::<Yields<0, 0>>("consumer-ready", READY)
    },
    Workload {
        contestants: consumers::contestants::<Yields<1, 0>>,
        ..Workload::streams::<Yields<1, 0>>("consumer-yield-1", ONCE)
    },
    Workload {
        contestants: scopes::contestants::<Yields<0, 0>>,
        ..Workload::streams::<Yields<0, 0>>("tasks-ready", READY)
    },
    Workload {
        contestants: scopes::contestants::<Yields<1, 0>>,
        ..Workload::streams::<Yields<1, 0>>("tasks-yield-1", ONCE)
    },
];

/// Apart from the others, as it counts polls, and takes long where these are many.
pub(crate) const COOP: Workload =
    Workload::streams::<Messages>("coop", "futures that receive four messages that are there, within tokio's budget");
