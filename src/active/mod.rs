//! The active set: where started futures live until they have finished.
//!
//! A set stores futures, wakes, and polls. It knows nothing of sizes, order or limits: those are the engine's. What the
//! engine asks of a set is small enough to be one trait, [`Set`]. Users choose a set by a marker, an [`ActiveSet`], as they
//! choose the hasher of a `HashMap`; the marker does not name the type of the futures, so that the type of a pool does not
//! say anything about it twice.

mod inline;
#[cfg(feature = "alloc")]
mod local;
#[cfg(feature = "alloc")]
mod parker;
#[cfg(feature = "alloc")]
mod ready;
#[cfg(feature = "alloc")]
mod slot;
mod tree;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
mod unordered;

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::pin::Pin;
use core::task::{Context, Poll};

pub(crate) use self::inline::InlineSlots;
#[cfg(feature = "alloc")]
pub(crate) use self::ready::ReadyBits;
#[cfg(feature = "alloc")]
pub(crate) use self::slot::SlotVec;
pub use self::tree::{SlotCount, Slots};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub(crate) use self::unordered::CappedUnordered;

/// The active sets that a pool can be on: [`SlotSet`], the default, [`UnorderedSet`], and [`InlineSet`].
///
/// There is seldom a reason to name anything but the default. This trait is sealed: use it in bounds only.
///
/// # Examples
///
/// ```
/// use futures_pool::{ActiveSet, Pool, UnorderedSet};
/// use std::future::{Ready, ready};
///
/// /// The same on any set.
/// async fn sum<K: ActiveSet>(mut pool: Pool<Ready<u32>, K>) -> u32 {
///     pool.map_all(1..=9, ready).await.into_iter().sum()
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(sum(Pool::new(2)).await, 45);
/// assert_eq!(sum(Pool::with_set(2, UnorderedSet)).await, 45);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an active set",
    label = "not an active set",
    note = "they are `SlotSet`, the default, `UnorderedSet`, and `InlineSet::<N>`"
)]
pub trait ActiveSet: sealed::Kind {}

/// What the markers stand for. Not to be named outside of this crate.
pub(crate) mod sealed {
    use super::Set;

    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not an active set",
        label = "not an active set",
        note = "they are `SlotSet`, the default, `UnorderedSet`, and `InlineSet::<N>`"
    )]
    pub trait Kind {
        /// The set itself, which can be moved.
        type Of<F: Future>: Set<Future = F> + Unpin;

        /// Makes an empty one.
        fn make<F: Future>(self) -> Self::Of<F>;
    }
}

/// The default active set: as many slots as were ever active at once, reused, with no allocation per future.
///
/// A slot is one heap block that holds a future in place, together with a waker of its own; both are made when the slot
/// is first needed, and serve every later future. So a pool allocates while it grows to its size, and never again. A
/// size of `usize::MAX` costs nothing in itself.
///
/// Waking a future sets one bit; see the figures in the [crate's documentation](crate).
///
/// # Examples
///
/// ```
/// use futures_pool::{Pool, SlotSet};
/// use std::future::Ready;
///
/// let pool: Pool<Ready<u32>, SlotSet> = Pool::with_set(4, SlotSet); // what `Pool::new(4)` does
/// assert_eq!(pool.size(), 4);
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotSet;

/// An active set made of a [`FuturesUnordered`](futures_util::stream::FuturesUnordered): the well-known one, for comparison.
///
/// Every law of the pool holds on it as on [`SlotSet`], against which it is tested, with these differences:
///
/// - it allocates once per future, and costs several times as much time per item and per wake-up;
/// - cancelling an active future looks at every active future;
/// - a future that is started is polled once more than needed: immediately, with a waker that does nothing, and again
///   in its turn, since only then does `FuturesUnordered` give it a waker;
/// - it wakes its task more often than needed, when two or more futures wake themselves;
/// - if the destructor of a future panics that has finished later than at its first poll, its output is lost.
///
/// # Examples
///
/// ```
/// use futures_pool::{Pool, UnorderedSet, prelude::*};
/// use std::future::ready;
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::with_set(4, UnorderedSet);
/// assert_eq!(pool.exec(ready(7)).await, 7);
/// assert_eq!((1..=3).pool_map(2, ready).with_set(UnorderedSet).await, [1, 2, 3]);
/// # });
/// ```
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
#[derive(Clone, Copy, Debug, Default)]
pub struct UnorderedSet;

/// An active set of `N` slots inside the value itself, from 1 to 32: no allocator, and no atomics.
///
/// It is the set of [`pool_map_inline`](crate::IterPoolExt::pool_map_inline) and of [`InlinePool`](crate::InlinePool). There
/// the futures are in the value, so it is pinned together with the stream that it is part of, by whoever polls that. Elsewhere
/// it can be chosen by this marker, and is in one box then, so that the stream or the [`Pool`](crate::Pool) can be moved.
///
/// A waker of each slot's own would take an allocator, or `unsafe`. So all futures get the waker of the task, and **each
/// call polls the active futures one after the other, woken or not**, until one finishes. Where most of them are woken at a
/// time, that costs nothing; where one is, [`SlotSet`] is cheaper from two slots on, if there is a heap: see the
/// [figures](crate::guide::performance#on-a-cortex-m3). What else is different:
///
/// - Of the 64 polls of a call, those by which a future does not finish count only while more than 8 are left. So each time
///   that a stage is asked for an item, it may poll its `N` futures once more than that.
/// - A waker that outlives its future wakes the task, for nothing.
///
/// # Examples
///
/// ```
/// use futures_pool::{inline::{InlineSet, Slots}, prelude::*};
/// use std::pin::pin;
///
/// # futures::executor::block_on(async {
/// use futures::StreamExt;
///
/// let mut squares = pin!((1..=3).pool_map_inline(Slots::<2>, async |x| x * x));
/// assert_eq!(squares.next().await, Some(1));
/// let mut squares = (1..=3).pool_map(2, async |x| x * x).with_set(InlineSet::<2>);
/// assert_eq!(squares.next().await, Some(1));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineSet<const N: usize>;

#[cfg(feature = "alloc")]
impl ActiveSet for SlotSet {}

#[cfg(feature = "alloc")]
impl sealed::Kind for SlotSet {
    type Of<F: Future> = SlotVec<F>;

    fn make<F: Future>(self) -> SlotVec<F> {
        SlotVec::new()
    }
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl ActiveSet for UnorderedSet {}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl sealed::Kind for UnorderedSet {
    type Of<F: Future> = CappedUnordered<F>;

    fn make<F: Future>(self) -> CappedUnordered<F> {
        CappedUnordered::new()
    }
}

#[cfg(feature = "alloc")]
impl<const N: usize> ActiveSet for InlineSet<N> where Slots<N>: SlotCount {}

#[cfg(feature = "alloc")]
impl<const N: usize> sealed::Kind for InlineSet<N>
where
    Slots<N>: SlotCount,
{
    type Of<F: Future> = Pin<Box<InlineSlots<F, N>>>;

    fn make<F: Future>(self) -> Self::Of<F> {
        Box::pin(InlineSlots::new())
    }
}

/// Stores the active futures of a pool, and polls them.
///
/// A set keeps each future at one place, its *slot*, from [`insert`](Self::insert) until it is [vacated](Self::vacate), and
/// remembers the number that the pool gave it. Slots are small integers, reused.
///
/// The pool relies on the following:
///
/// - A wake-up of a future is never lost: after it, `next_woken` finds that future, or the task given to the last
///   successful `park` is woken.
/// - A woken future is found after a bounded number of others.
/// - A slot that was vacated may be found once more for each late wake-up of its last future; to poll it does nothing.
/// - If a future panics while it is polled, the set remains usable, and `recover` tells which one it was.
pub trait Set {
    /// The futures.
    type Future: Future;

    /// What [`enter`](Self::enter) returns: as long as it lives, the set is being polled.
    type Guard;

    /// A slot that was found, mostly with a future in it.
    type Entry<'a>: Entry<Output = <Self::Future as Future>::Output>
    where
        Self: 'a;

    /// So many polls at the end of a call's budget are free if they leave the future active.
    const FREE_POLLS: usize = 0;

    /// So many polls at the end of a turn are for futures that were passed over before. With no more than that, it may seem
    /// that none is woken.
    const KEPT_POLLS: usize = 0;

    /// Called when a call begins that polls the set: the task need not be woken for now.
    fn enter(self: Pin<&mut Self>) -> Self::Guard;

    /// How many futures there is room for.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Puts a future into a vacant slot. There must be room for it.
    fn insert(self: Pin<&mut Self>, number: u64, future: Self::Future) -> Self::Entry<'_>;

    /// Finds a future that was woken. A set that polls such futures by itself polls at most `polls`.
    fn next_woken(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: usize,
    ) -> Woken<Self::Entry<'_>, <Self::Future as Future>::Output>;

    /// Drops the future in this slot. The slot is vacant even if the destructor of the future panics.
    fn vacate(self: Pin<&mut Self>, slot: usize);

    /// Calls `visit` with the slot and the number of each future.
    fn for_each(&self, visit: &mut dyn FnMut(usize, u64));

    /// Drops all futures.
    fn clear(self: Pin<&mut Self>);

    /// Arranges for the task to be woken when a future is, unless one is woken already; returns whether it has.
    /// `is_empty` tells that there is no future.
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, is_empty: bool) -> bool;

    /// Wakes the task if it is parked.
    fn wake(&self);

    /// If a panic has passed through the poll of a future, drops that, frees its slot, and returns its number and its slot.
    fn recover(self: Pin<&mut Self>) -> Option<(u64, usize)>;
}

/// A set that is pinned in a box.
#[cfg(feature = "alloc")]
impl<S: Set> Set for Pin<Box<S>> {
    type Future = S::Future;
    type Guard = S::Guard;
    type Entry<'a>
        = S::Entry<'a>
    where
        Self: 'a;

    const FREE_POLLS: usize = S::FREE_POLLS;
    const KEPT_POLLS: usize = S::KEPT_POLLS;

    fn enter(self: Pin<&mut Self>) -> S::Guard {
        self.as_deref_mut().enter()
    }

    fn capacity(&self) -> usize {
        (**self).capacity()
    }

    fn insert(self: Pin<&mut Self>, number: u64, future: S::Future) -> S::Entry<'_> {
        self.as_deref_mut().insert(number, future)
    }

    fn next_woken(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: usize,
    ) -> Woken<S::Entry<'_>, <S::Future as Future>::Output> {
        self.as_deref_mut().next_woken(cx, polls)
    }

    fn vacate(self: Pin<&mut Self>, slot: usize) {
        self.as_deref_mut().vacate(slot);
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        (**self).for_each(visit);
    }

    fn clear(self: Pin<&mut Self>) {
        self.as_deref_mut().clear();
    }

    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, is_empty: bool) -> bool {
        self.as_deref_mut().park(cx, is_empty)
    }

    fn wake(&self) {
        (**self).wake();
    }

    fn recover(self: Pin<&mut Self>) -> Option<(u64, usize)> {
        self.as_deref_mut().recover()
    }
}

/// Keeps the output of a future that has finished.
#[allow(unreachable_pub, reason = "a bound of what is public")]
pub trait Keep<T> {
    /// Keeps the output of the future with this number.
    fn keep(&mut self, number: u64, output: T);
}

/// A slot that was found. It is vacant if the wake-up that led to it came late.
#[allow(unreachable_pub, reason = "a bound of what is public")]
pub trait Entry {
    /// What the future returns.
    type Output;

    /// Returns which slot it is.
    fn slot(&self) -> usize;

    /// Polls the future; `None` if there is none. If it has finished, its number and its output are kept, and then it is
    /// dropped: the slot is vacant even if its destructor panics.
    fn poll(self, cx: &mut Context<'_>, outputs: &mut impl Keep<Self::Output>) -> Option<Poll<()>>;
}

/// What [`Set::next_woken`] has found.
pub enum Woken<E, T> {
    /// A slot.
    Slot(E),
    /// A future that was polled already, with so many others, and has finished: its slot, which is vacant, its number and its
    /// output.
    Finished(usize, u64, T, usize),
    /// None is woken, or at least none was found by so many polls.
    None(usize),
    /// A slot that is no longer there.
    Late,
}

/// Stands for no slot.
pub(crate) const NONE: usize = usize::MAX;
