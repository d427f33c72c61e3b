//! Counts what is allocated.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What happened on the heap while something ran.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    /// How often something was allocated, or reallocated.
    pub(crate) allocations: u32,
    /// How many bytes were allocated.
    pub(crate) allocated: u32,
    /// How many bytes there are more than before.
    pub(crate) held: i64,
}

/// Runs something; what it returns is among what it holds.
pub(crate) fn change<T>(run: impl FnOnce() -> T) -> (T, Change) {
    let region = Region::new(ALLOCATOR);
    let output = run();
    let Stats { allocations, reallocations, bytes_allocated, bytes_deallocated, .. } = region.change();
    let [new, gone] =
        [bytes_allocated, bytes_deallocated].map(|bytes| i64::try_from(bytes).expect("far less than 2^63"));
    let change = Change {
        allocations: u32::try_from(allocations + reallocations).expect("a few an item"),
        allocated: u32::try_from(bytes_allocated).expect("less than 4 GiB"),
        held: new - gone,
    };
    (output, change)
}
