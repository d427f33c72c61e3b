//! Finished: where outputs are, from the end of their future until they are taken.
//!
//! What a pool keeps them in is the last of its parts: [`Results`] for chains, ordered or not; [`InlineResults`] for the same
//! without an allocator; [`Keyed`] for a [`Pool`](crate::Pool); and [`Tally`] for a scope, whose tasks keep their own.

mod inline;
#[cfg(feature = "alloc")]
mod keyed;
#[cfg(feature = "alloc")]
mod results;
#[cfg(feature = "alloc")]
mod tally;

use core::ops::Range;

pub(crate) use self::inline::InlineResults;
#[cfg(feature = "alloc")]
pub(crate) use self::keyed::{Keyed, NumberHasher, Place};
#[cfg(feature = "alloc")]
pub(crate) use self::results::Results;
#[cfg(feature = "alloc")]
pub(crate) use self::tally::Tally;

/// Keeps the outputs of futures that have ended, each with its number.
pub trait Finished {
    /// What the futures return.
    type Output;

    /// Records that a future was started, and did not end immediately.
    fn started(&mut self, number: u64, slot: usize);

    /// Keeps an output. Returns whether it is the last one that is wanted: then nothing else is to be pushed.
    fn push(&mut self, number: u64, output: Self::Output) -> bool;

    /// Records that a future that was started will never have an output: it panicked, or was cancelled.
    fn skip(&mut self, _number: u64) {}

    /// Records that there never was a future with these numbers. An order must not wait for them.
    fn skip_range(&mut self, _numbers: Range<u64>) {}

    /// Returns the number of all results.
    fn len(&self) -> usize;

    /// Returns the number of results not gathered whose turn has come.
    fn due(&self) -> usize;

    /// Returns the number of results that came ahead of their turn.
    fn ahead(&self) -> usize {
        0
    }

    /// Returns whether the result with this number is the next to be handed over, once it is there.
    fn is_next(&self, _number: u64) -> bool {
        false
    }

    /// Returns how large the size and the bound on results can be, so that the results of as many active futures fit alongside
    /// as many that are held.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Drops the results that are no longer wanted, once the last one was pushed.
    fn drop_rest(&mut self) {}
}

/// The results of a chain.
pub trait ChainResults: Finished {
    /// The same for other outputs.
    type Of<U>: ChainResults<Output = U>;

    /// Whether results may be taken several at a time, and still be counted.
    const COUNTS_TAKEN: bool = false;

    /// Returns an empty one in the same order, which fails fast no more.
    fn renew<U>(&self) -> Self::Of<U>;

    /// Gives up the order. Keeps all results.
    fn make_unordered(&mut self);

    /// Makes the first output for which this returns `true` the last one that is wanted.
    fn close_at(&mut self, is_error: fn(&Self::Output) -> bool);

    /// Returns whether the last result that is wanted was pushed, or [`close_at`](Self::close_at) was called.
    fn may_close(&self) -> bool;

    /// Takes the next result whose turn has come. None may be gathered.
    fn pop(&mut self) -> Option<Self::Output> {
        self.pop_numbered().map(|(_, output)| output)
    }

    /// Takes the next result whose turn has come, with its number.
    fn pop_numbered(&mut self) -> Option<(u64, Self::Output)>;

    /// Returns whether results are collected, and none is handed over before the end.
    #[cfg(feature = "alloc")]
    fn is_collecting(&self) -> bool {
        false
    }

    /// Has so many results count as held and due that were taken before.
    fn count_taken(&mut self, _results: usize) {}
}

/// Results that may be *gathered*: looked at, as the batch under way, while they stay where they are. What has been gathered
/// counts as handed over, not against the bound on results.
#[cfg(feature = "alloc")]
#[diagnostic::on_unimplemented(
    message = "batches are of results on the heap",
    note = "a chain of `pool_map_inline` has no room for a batch; use `pool_map`"
)]
pub trait Gathering: Finished {
    /// Calls `when` with each result whose turn has come and that was not gathered yet, up to the first for which it
    /// returns `true`; returns whether there was one.
    fn gather(&mut self, when: &mut impl FnMut(&Self::Output) -> bool) -> bool;

    /// Returns how many results are gathered.
    fn gathered(&self) -> usize;

    /// Takes back what `gather` did, so that results can be taken.
    fn ungather(&mut self);
}
