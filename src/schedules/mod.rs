//! Tests of what is shared between threads, run under schedules that a model checker chooses.
//!
//! - `loom.rs`, under `--cfg loom`: every schedule, and every value that a weak memory may give, for the ready bits and the
//!   task that they wake;
//! - `shuttle.rs`, under `--cfg shuttle`: many random schedules for what the handles of a scope share.
//!
//! They are in the crate, and not in `tests/`, as what a checker does not see it cannot interleave: [`model`] puts its
//! types in the place of the real ones, for these tests only. Nobody who depends on the crate gets them, whatever `--cfg`
//! the build has.

#[cfg(loom)]
mod loom;
pub(crate) mod model;
#[cfg(shuttle)]
mod shuttle;
