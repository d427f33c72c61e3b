//! What the benches share: the contestants, and the workloads that they are put through.
//!
//! A *contestant* holds at most `size` futures at once, out of a number of items, and makes each future only when it has
//! room for it. A *workload* is a kind of futures, together with what wakes them; every contestant gets the same. Each
//! future gives its own number as its result, and each run tells how many results came, and their sum: who loses or
//! repeats one is found out. Who forgets to wake is found out, too: a contestant is polled again only after a wake-up.

#![allow(dead_code, unused_imports, reason = "no bench uses all of it")]

mod alone;
mod consumers;
mod contestant;
mod drive;
mod job;
pub(crate) mod jobs;
mod scopes;
mod streams;
mod total;
mod workload;

pub(crate) use self::alone::{Alone, contestant};
pub(crate) use self::contestant::{Contestant, Form, Origin, Run, names};
pub(crate) use self::drive::{Flag, Measured};
pub(crate) use self::job::Job;
pub(crate) use self::total::Total;
pub(crate) use self::workload::{COOP, WORKLOADS, Workload};
