//! The active set: where started futures live until they have finished.
//!
//! A set stores futures, wakes, and polls. It knows nothing of sizes, order or backlog: those are the engine's. What
//! the engine asks of a set is small enough to be one trait, [`PinnedSet`], and a pool is generic over it as a
//! `HashMap` is over its hasher. A set that keeps its futures on the heap may be moved while it holds some; such a one
//! is an [`ActiveSet`].

mod inline;
#[cfg(feature = "alloc")]
mod inside;
#[cfg(feature = "alloc")]
mod ready;
#[cfg(feature = "alloc")]
mod sleeper;
#[cfg(feature = "alloc")]
mod slot;
mod tree;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
mod unordered;

use core::pin::Pin;
use core::task::Context;

pub use self::inline::InlineSet;
#[cfg(feature = "alloc")]
pub(crate) use self::ready::ReadyBits;
#[cfg(feature = "alloc")]
pub use self::slot::SlotSet;
pub use self::tree::{SlotCount, Slots};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use self::unordered::UnorderedSet;

/// Stores the active futures of a pool, and polls those that were woken.
///
/// A set keeps each future at one place, its *slot*, from [`start`](Self::start) until it has finished or is
/// [removed](Self::remove), and remembers the number that the pool gave it. Slots are small integers, reused.
///
/// The output of a future that has finished is given to a closure, `keep`, before the future is dropped: so it is in
/// safety when the future's destructor, which may panic, runs.
///
/// There is seldom a reason to name anything but the default, [`SlotSet`]; [`UnorderedSet`] is there for comparison, and
/// [`InlineSet`] for where there is no allocator.
///
/// Its methods take the set pinned, as there are sets that hold the futures themselves. [`ActiveSet`] is the name for
/// those that do not.
///
/// # For implementors
///
/// The pool relies on the following; each method says more.
///
/// - A wake-up of a future is never lost: after it, `poll_woken` polls that future, or the task given to the last
///   successful `park` is woken.
/// - A woken future is polled after a bounded number of polls of others.
/// - A future that has finished, or was removed, is not polled again, however late it is woken.
/// - If a future panics while it is polled, the set stays usable, and `recover` tells which one it was.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an active set for futures of the type `{F}`",
    label = "not an active set for these futures",
    note = "those of this crate are `SlotSet`, the default, `UnorderedSet`, and `InlineSet`"
)]
pub trait PinnedSet<F: Future> {
    /// What a call that polls futures holds on to until it returns.
    type Inside;

    /// Called when a call begins that may poll futures, on the thread that will do so.
    fn enter(self: Pin<&mut Self>) -> Self::Inside;

    /// Returns the number of futures held.
    fn len(&self) -> usize;

    /// Returns whether no future is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the most futures that this set can hold. A pool's size is never larger.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Puts a future into a free slot and polls it. Returns the slot, or `None` if the future has finished.
    ///
    /// Only called with `len() < capacity()`.
    fn start(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        number: u64,
        future: F,
        keep: impl FnOnce(F::Output),
    ) -> Option<usize>;

    /// Polls woken futures, each once, until one has finished, none is woken, or `polls` is down to `least`. Returns
    /// whether one has finished; `keep` is given its number, too.
    ///
    /// Takes one off `polls` for each poll of a future. A set that polls futures which were not woken may leave out the last
    /// of those, so that a pool at rest does not use up its polls.
    fn poll_woken(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        least: usize,
        keep: impl FnOnce(u64, F::Output),
    ) -> bool;

    /// Calls `visit` with the slot and the number of each future held.
    fn for_each(&self, visit: &mut dyn FnMut(usize, u64));

    /// Drops the future in a slot, which has not finished, and frees the slot.
    fn remove(self: Pin<&mut Self>, slot: usize);

    /// Drops all futures and frees all slots.
    fn clear(self: Pin<&mut Self>);

    /// Arranges for the task of `cx` to be woken when a future is; returns `false` if one has been woken already.
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool;

    /// Wakes the task that [`park`](Self::park) was last called with, if the set has not been polled since.
    fn wake(&self);

    /// Called while a panic passes through: if a future was being polled, drops it, frees its slot, and returns its
    /// number.
    fn recover(self: Pin<&mut Self>) -> Option<u64>;
}

/// A [`PinnedSet`] that may be moved while it holds futures, as these are on the heap: what a [`Pool`](crate::Pool) can be
/// on.
///
/// It is implemented for every `PinnedSet` that is `Unpin`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an active set for futures of the type `{F}` that can be moved",
    label = "not an active set, or has to be pinned",
    note = "those of this crate are `SlotSet`, the default, and `UnorderedSet`"
)]
pub trait ActiveSet<F: Future>: PinnedSet<F> + Unpin {}

impl<F: Future, S: PinnedSet<F> + Unpin> ActiveSet<F> for S {}

/// No slot.
const NONE: usize = usize::MAX;

/// Notes, if the poll of a future panics, which slot it is in. Is forgotten otherwise.
struct Panicking<'a> {
    panicked: &'a mut usize,
    slot: usize,
}

impl Drop for Panicking<'_> {
    fn drop(&mut self) {
        *self.panicked = self.slot;
    }
}
