//! [`SlotSet`]: slots that are made when first needed, and then reused.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::ready::ReadyBits;
use super::{ActiveSet, Ended};

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
/// use std::future::{Ready, ready};
///
/// let pool: Pool<Ready<u32>, SlotSet<Ready<u32>>> = Pool::with_set(4, SlotSet::default());
/// assert_eq!(pool.size(), 4);
/// ```
pub struct SlotSet<F> {
    // Dropped first: what the futures do in their destructors must not wake the task.
    ready: ReadyBits,
    slots: Vec<Pin<Box<Slot<F>>>>,
    /// The empty slots; the one emptied last is filled first, while it is in the cache.
    free: Vec<usize>,
    /// The slot whose future is being polled: set on entry, cleared on return, so still set if that panicked.
    polling: usize,
}

/// No slot.
const NONE: usize = usize::MAX;

#[pin_project]
struct Slot<F> {
    #[pin]
    future: Option<F>,
    /// The number that the future was started with.
    number: u64,
    waker: Waker,
}

impl<F> SlotSet<F> {
    /// Creates an empty set. Allocates only what the wakers share.
    pub fn new() -> Self {
        Self { ready: ReadyBits::new(), slots: Vec::new(), free: Vec::new(), polling: NONE }
    }

    /// Returns an empty slot: the last of the free ones.
    #[inline(always)]
    fn vacant(&mut self) -> usize {
        self.free.last().copied().unwrap_or_else(|| self.grow())
    }

    /// Makes a slot.
    #[cold]
    fn grow(&mut self) -> usize {
        let slot = self.slots.len();
        let waker = self.ready.waker(slot);
        self.slots.push(Box::pin(Slot { future: None, number: 0, waker }));
        self.free.push(slot);
        slot
    }

    /// Empties a slot. The slot is free even if the future's destructor panics.
    #[inline(always)]
    fn empty(&mut self, slot: usize) {
        // A future that has finished at its first poll has left its slot among the free ones.
        if self.free.last() != Some(&slot) {
            self.free.push(slot);
        }
        self.slots[slot].as_mut().project().future.set(None);
    }
}

impl<F: Future> ActiveSet<F> for SlotSet<F> {
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline(always)]
    fn start(&mut self, _: &mut Context<'_>, number: u64, future: F) -> (usize, Poll<F::Output>) {
        let index = self.vacant();
        let mut slot = self.slots[index].as_mut().project();
        slot.future.set(Some(future));
        *slot.number = number;
        self.polling = index;
        let poll = match slot.future.as_pin_mut() {
            Some(future) => future.poll(&mut Context::from_waker(slot.waker)),
            None => Poll::Pending,
        };
        self.polling = NONE;
        // Most futures of a fast source finish here, and need not take the slot at all.
        if poll.is_pending() {
            self.free.pop();
        }
        (index, poll)
    }

    #[inline(always)]
    fn poll_woken(&mut self, _: &mut Context<'_>, polls: &mut usize, least: usize) -> Option<Ended<F::Output>> {
        self.ready.unpark();
        while *polls > least {
            let index = self.ready.next()?;
            // A late wake-up may be for a slot that is empty by now, or no longer there.
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let slot = slot.as_mut().project();
            let Some(future) = slot.future.as_pin_mut() else { continue };
            *polls -= 1;
            self.polling = index;
            let poll = future.poll(&mut Context::from_waker(slot.waker));
            self.polling = NONE;
            if let Poll::Ready(output) = poll {
                return Some(Ended { slot: index, number: *slot.number, output });
            }
        }
        None
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.future.is_some() {
                visit(index, slot.number);
            }
        }
    }

    #[inline(always)]
    fn release(&mut self, slot: usize) {
        self.empty(slot);
    }

    fn remove(&mut self, slot: usize) {
        self.empty(slot);
    }

    fn clear(&mut self) {
        // Dropping the slots rather than emptying them one by one: a destructor that panics does not save the others.
        self.free.clear();
        drop(mem::take(&mut self.slots));
    }

    fn park(&mut self, cx: &mut Context<'_>) -> bool {
        self.ready.park(cx.waker())
    }

    fn wake(&self) {
        self.ready.wake();
    }

    fn recover(&mut self) -> Option<u64> {
        let slot = mem::replace(&mut self.polling, NONE);
        let number = self.slots.get(slot)?.number;
        self.empty(slot);
        Some(number)
    }
}

impl<F> Default for SlotSet<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for SlotSet<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotSet")
            .field("active", &(self.slots.len() - self.free.len()))
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}
