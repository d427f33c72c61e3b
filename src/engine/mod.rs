//! The engine: the one state machine behind every form of the pool.
//!
//! Data flows one way: **source → active set → finished → consumer**. The engine takes waiting futures from the source,
//! starts them in the active set, keeps what has finished, refills the freed slots, and only then hands over.
//!
//! [`law`] decides, [`run`] does. "No more, no less" is proved in the first, on one page; the second is all that is compiled
//! for each pool.

mod call;
mod law;
#[cfg(all(test, not(any(loom, shuttle))))]
mod law_tests;
mod run;

use core::pin::Pin;

use pin_project::pin_project;

pub(crate) use self::call::Goal;
pub(crate) use self::law::{Law, POLL_BUDGET};
pub(crate) use self::run::Unconditional;
use crate::active::{NONE, Set};
use crate::finished::{ChainResults, Finished};

/// See the [module](self).
#[pin_project]
pub(crate) struct Engine<S, R> {
    #[pin]
    pub(crate) active: S,
    pub(crate) finished: R,
    pub(crate) law: Law,
    /// The number after that of the last future started.
    next: u64,
    /// The slot of a future that has ended without the source having been told, as a panic has passed through.
    unsettled: usize,
    /// Drops everything but the last result, in an engine that may close. Others do without this code.
    close: fn(Pin<&mut Self>),
}

impl<S: Set, R: Finished> Engine<S, R> {
    /// Creates an engine. A size of 0 is taken as 1, one that there is no room for as the largest that there is.
    #[inline(always)]
    pub(crate) fn new(size: usize, active: S, finished: R) -> Self {
        let most_results = finished.capacity();
        let law = Law::new(size, active.capacity().min(most_results), most_results);
        Self { active, finished, law, next: 0, unsettled: NONE, close: |_| {} }
    }

    /// Exchanges the active set and the results for others, before anything was started. Keeps the settings.
    pub(crate) fn with_parts<S2: Set, R2: ChainResults>(self, active: S2, map: impl FnOnce(R) -> R2) -> Engine<S2, R2> {
        let Self { mut law, finished, next, .. } = self;
        let finished = map(finished);
        law.set_capacity(active.capacity().min(finished.capacity()), finished.capacity());
        let close = if finished.may_close() { Engine::close_now } else { |_: Pin<&mut _>| {} };
        Engine { active, finished, law, next, unsettled: NONE, close }
    }

    /// Has the first output for which `is_error` returns `true` end everything: it is the last result.
    pub(crate) fn close_at(&mut self, is_error: fn(&R::Output) -> bool)
    where
        R: ChainResults,
    {
        self.finished.close_at(is_error);
        self.close = Self::close_now;
    }

    /// Drops everything but the last result. Destructors may panic: then the next call comes here again.
    fn close_now(self: Pin<&mut Self>) {
        let this = self.project();
        this.law.cancelled(this.law.active());
        this.finished.drop_rest();
        this.active.clear();
    }

    /// Changes the size. Growing wakes the task that last polled; shrinking lets the surplus finish.
    pub(crate) fn set_size(&mut self, size: usize) {
        self.law.set_size(size);
        self.active.wake();
    }

    /// Changes how many results may be held while a future is started. Wakes the task that last polled.
    pub(crate) fn set_max_finished(&mut self, results: usize) {
        self.law.set_max_finished(results);
        self.active.wake();
    }

    /// Stops starting futures, or starts again, which wakes the task that last polled.
    #[cfg(feature = "alloc")]
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.law.set_paused(paused);
        self.active.wake();
    }

    /// Drops an active future, and frees its slot.
    pub(crate) fn cancel(self: Pin<&mut Self>, slot: usize) {
        let this = self.project();
        this.law.cancelled(1);
        this.active.vacate(slot);
    }

    /// Drops all active futures.
    pub(crate) fn cancel_all(self: Pin<&mut Self>) {
        let this = self.project();
        this.law.cancelled(this.law.active());
        this.active.clear();
    }
}

impl<S, R> Engine<S, R> {
    /// Returns the number after that of the last future started.
    #[cfg(feature = "alloc")]
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Returns whether no future was started yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.next == 0
    }

    pub(crate) fn finished_mut(self: Pin<&mut Self>) -> &mut R {
        self.project().finished
    }

    /// Returns the law, to have it know of a size without waking anybody.
    pub(crate) fn law_mut(self: Pin<&mut Self>) -> &mut Law {
        self.project().law
    }
}
