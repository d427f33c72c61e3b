//! [`InlineSet`]: slots inside the value, and no allocator.

use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::tree::{SlotCount, Slots, Tree};
use super::{NONE, Panicking, PinnedSet};

/// An active set of `N` slots inside the value itself, from 1 to 32: no allocator, and no atomics.
///
/// The futures are in the set, so it is pinned together with the stream that it is part of, by whoever polls that.
///
/// A waker of each slot's own would take an allocator, or `unsafe`. So all futures get the waker of the task, and **each
/// call polls the active futures one after the other, woken or not**, until one finishes. Where most of them are woken at a
/// time, that costs nothing; where one is, [`SlotSet`](crate::SlotSet) is cheaper from two slots on, if there is a heap: see
/// the figures in the [crate's documentation](crate#without-a-system). What else is different:
///
/// - Of the 64 polls of a call, those by which a future does not finish count only while more than 8 are left. So each time
///   that a stage is asked for an item, it may poll its `N` futures once more than that.
/// - A waker that outlives its future wakes the task, for nothing.
///
/// # Examples
///
/// ```
/// use futures_pool::{inline::InlineSet, prelude::*};
/// use std::pin::pin;
///
/// # futures::executor::block_on(async {
/// use futures::StreamExt;
///
/// // The set alone; the results are on the heap. `pool_map_inline` does without the heap.
/// let mut squares = pin!((1..=3).pool_map(2, async |x| x * x).with_set(InlineSet::<_, 2>::new()));
/// assert_eq!(squares.next().await, Some(1));
/// # });
/// ```
#[pin_project]
pub struct InlineSet<F, const N: usize>
where
    Slots<N>: SlotCount,
{
    #[pin]
    slots: <Slots<N> as SlotCount>::Of<F>,
    /// Which slots hold a future that has not finished, a bit for each.
    active: u32,
    /// How many these are: not every target has an instruction to count bits, and this is asked several times an item.
    len: usize,
    /// Which slots are still to be polled in this call, if there is a future.
    due: u32,
    /// The slot to look at next.
    next: u32,
    /// The slot whose future has panicked, until [`recover`](PinnedSet::recover) is called.
    panicked: usize,
    /// See [`PinnedSet::polled`].
    polled: usize,
    /// The task that was last parked.
    task: Option<Waker>,
    /// Whether no call has begun since.
    parked: bool,
}

impl<F, const N: usize> InlineSet<F, N>
where
    Slots<N>: SlotCount,
{
    /// Creates an empty set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Pool, inline::InlineSet};
    /// use std::future::{Ready, ready};
    ///
    /// # futures::executor::block_on(async {
    /// // What is `Unpin` may be moved also in here, so a `Pool` can be on such a set. It has no more than 4 slots.
    /// let mut pool = Pool::with_set(100, InlineSet::<Ready<u32>, 4>::new());
    /// assert_eq!(pool.size(), 4);
    /// assert_eq!(pool.map_all(1..=9, ready).await.len(), 9);
    /// # });
    /// ```
    pub fn new() -> Self {
        Self {
            slots: Default::default(),
            active: 0,
            len: 0,
            due: 0,
            next: 0,
            panicked: NONE,
            polled: 0,
            task: None,
            parked: false,
        }
    }

    /// Empties the slot of a future that is active. The slot is vacant even if the future's destructor panics.
    fn empty(self: Pin<&mut Self>, slot: usize) {
        let this = self.project();
        *this.active &= !(1 << slot);
        *this.len = this.active.count_ones() as usize;
        this.slots.slot_mut(slot).project().future.set(None);
    }
}

/// Of the last polls that a call has, those after which a future goes on being active are free. It has to be able to poll
/// all futures, as any of them may have been woken; if that used up its polls, a pool at rest would wake itself for ever. More
/// than one, as each stage keeps some back for the stage below.
const FREE: usize = 8;

impl<F: Future, const N: usize> PinnedSet<F> for InlineSet<F, N>
where
    Slots<N>: SlotCount,
{
    type Inside = ();

    #[inline(always)]
    fn enter(self: Pin<&mut Self>) {
        let this = self.project();
        *this.due = *this.active;
        *this.parked = false;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        N
    }

    #[inline(always)]
    fn start(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        number: u64,
        future: F,
        keep: impl FnOnce(F::Output),
    ) -> Option<usize> {
        let this = self.project();
        let index = this.active.trailing_ones() as usize;
        debug_assert!(index < N, "a future is started only while there is room");
        let mut slot = this.slots.slot_mut(index).project();
        *slot.number = number;
        slot.future.set(Some(future));
        let panicking = Panicking { panicked: this.panicked, slot: index };
        let poll = match slot.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        };
        mem::forget(panicking);
        if let Poll::Ready(output) = poll {
            keep(output);
            slot.future.set(None);
            return None;
        }
        *this.active |= 1 << index;
        *this.len += 1;
        Some(index)
    }

    #[inline(always)]
    fn poll_woken(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        least: usize,
        keep: impl FnOnce(u64, F::Output),
    ) -> bool {
        let mut this = self.project();
        while *this.due != 0 && *polls > least {
            let later = *this.due & (u32::MAX << *this.next);
            let index = if later == 0 { *this.due } else { later }.trailing_zeros();
            *this.next = (index + 1) % u32::BITS;
            *this.due &= !(1 << index);
            let index = index as usize;
            let mut slot = this.slots.as_mut().slot_mut(index).project();
            let Some(future) = slot.future.as_mut().as_pin_mut() else { continue };
            let panicking = Panicking { panicked: this.panicked, slot: index };
            let poll = future.poll(cx);
            mem::forget(panicking);
            if poll.is_ready() || *polls > FREE {
                *polls -= 1;
                *this.polled = this.polled.wrapping_add(1);
            }
            if let Poll::Ready(output) = poll {
                keep(*slot.number, output);
                *this.active &= !(1 << index);
                *this.len -= 1;
                slot.future.set(None);
                return true;
            }
        }
        false
    }

    fn polled(&self) -> usize {
        self.polled
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for index in (0..N).filter(|index| self.active >> index & 1 == 1) {
            visit(index, self.slots.slot(index).number);
        }
    }

    fn remove(self: Pin<&mut Self>, slot: usize) {
        self.empty(slot);
    }

    fn clear(self: Pin<&mut Self>) {
        let mut this = self.project();
        (*this.active, *this.len, *this.due) = (0, 0, 0);
        // All at once: a destructor that panics does not save the others.
        this.slots.set(Default::default());
    }

    /// The futures have the task's waker, if all were polled in this call.
    #[inline(always)]
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        if *this.due & *this.active != 0 {
            return false;
        }
        match this.task {
            Some(task) => task.clone_from(cx.waker()),
            None => *this.task = Some(cx.waker().clone()),
        }
        *this.parked = true;
        true
    }

    fn wake(&self) {
        if self.parked {
            self.task.iter().for_each(Waker::wake_by_ref);
        }
    }

    fn recover(mut self: Pin<&mut Self>) -> Option<u64> {
        let this = self.as_mut().project();
        let slot = mem::replace(this.panicked, NONE);
        if slot == NONE {
            return None;
        }
        let number = this.slots.slot(slot).number;
        // If it was the first poll, the slot is not among the active ones yet.
        self.empty(slot);
        Some(number)
    }
}

impl<F, const N: usize> Default for InlineSet<F, N>
where
    Slots<N>: SlotCount,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<F, const N: usize> fmt::Debug for InlineSet<F, N>
where
    Slots<N>: SlotCount,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineSet").field("active", &self.len).field("slots", &N).finish_non_exhaustive()
    }
}
