//! [`SlotSet`]: slots that are made when first needed, and then reused.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::inside::Inside;
use super::ready::ReadyBits;
use super::{NONE, Panicking, PinnedSet};

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
    /// How many slots hold a future that has not finished.
    active: usize,
    /// The first of the vacant slots, which are linked: the one emptied last, while it is in the cache.
    vacant: usize,
    /// The slot whose future has panicked, until [`recover`](PinnedSet::recover) is called.
    panicked: usize,
    /// See [`PinnedSet::polled`].
    polled: usize,
}

/// The number of a future, or the link from one vacant slot to the next. In bytes, for which 32-bit targets need no padding.
#[derive(Clone, Copy)]
struct Number([u8; 8]);

/// How many late wake-ups are passed over at a time.
const LATE: usize = 64;

// In this order, the rest shares a line of the cache with the beginning of a large future.
#[pin_project]
#[repr(C)]
struct Slot<F> {
    waker: Waker,
    /// The number that the future was started with; while there is none, the vacant slot after this one.
    number: Number,
    #[pin]
    future: Option<F>,
}

impl Number {
    #[inline(always)]
    fn new(number: u64) -> Self {
        Self(number.to_ne_bytes())
    }

    #[inline(always)]
    fn get(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }

    #[inline(always)]
    fn link(slot: usize) -> Self {
        Self::new(slot as u64)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn as_link(self) -> usize {
        self.get() as usize
    }
}

impl<F> SlotSet<F> {
    /// Creates an empty set. Allocates only what the wakers share.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Pool, SlotSet, prelude::*};
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::with_set(4, SlotSet::new()); // what `Pool::new(4)` does
    /// assert_eq!(pool.map_all(1..=3, ready).await, [1, 2, 3]);
    /// # });
    /// ```
    pub fn new() -> Self {
        Self { ready: ReadyBits::new(), slots: Vec::new(), active: 0, vacant: NONE, panicked: NONE, polled: 0 }
    }

    /// Makes a slot, since none is vacant.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let slot = self.slots.len();
        let waker = self.ready.waker(slot);
        self.slots.push(Box::pin(Slot { future: None, number: Number::link(NONE), waker }));
        self.vacant = slot;
    }

    /// Links all vacant slots anew.
    #[cold]
    fn link_vacant(&mut self) {
        self.vacant = NONE;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.future.is_none() {
                *slot.as_mut().project().number = Number::link(self.vacant);
                self.vacant = index;
            }
        }
    }

    /// Empties the slot of a future that is active. The slot is vacant even if the future's destructor panics.
    #[inline(always)]
    fn empty(&mut self, index: usize) {
        let mut slot = self.slots[index].as_mut().project();
        *slot.number = Number::link(mem::replace(&mut self.vacant, index));
        self.active -= 1;
        slot.future.set(None);
    }
}

impl<F: Future> PinnedSet<F> for SlotSet<F> {
    type Inside = Inside;

    #[inline(always)]
    fn enter(self: Pin<&mut Self>) -> Inside {
        self.ready.enter()
    }

    fn len(&self) -> usize {
        self.active
    }

    #[inline(always)]
    fn start(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        number: u64,
        future: F,
        keep: impl FnOnce(F::Output),
    ) -> Option<usize> {
        let this = self.get_mut();
        if this.vacant >= this.slots.len() {
            this.grow();
        }
        let index = this.vacant;
        let mut slot = this.slots[index].as_mut().project();
        let link = mem::replace(slot.number, Number::new(number));
        slot.future.set(Some(future));
        let panicking = Panicking { panicked: &mut this.panicked, slot: index };
        let poll = match slot.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(&mut Context::from_waker(slot.waker)),
            None => Poll::Pending,
        };
        mem::forget(panicking);
        if let Poll::Ready(output) = poll {
            // Most futures of a fast source finish here, and need not take the slot at all.
            *slot.number = link;
            keep(output);
            slot.future.set(None);
            return None;
        }
        this.vacant = link.as_link();
        this.active += 1;
        Some(index)
    }

    #[inline(always)]
    fn poll_woken(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        polls: &mut usize,
        least: usize,
        keep: impl FnOnce(u64, F::Output),
    ) -> bool {
        let this = self.get_mut();
        this.ready.unpark();
        if this.active == 0 {
            return false;
        }
        while *polls > least {
            let Some(index) = this.ready.next() else { break };
            // A late wake-up may be for a slot that is empty by now, or no longer there.
            let Some(slot) = this.slots.get_mut(index) else { continue };
            let mut slot = slot.as_mut().project();
            let Some(future) = slot.future.as_mut().as_pin_mut() else { continue };
            *polls -= 1;
            this.polled = this.polled.wrapping_add(1);
            let panicking = Panicking { panicked: &mut this.panicked, slot: index };
            let poll = future.poll(&mut Context::from_waker(slot.waker));
            mem::forget(panicking);
            if let Poll::Ready(output) = poll {
                keep(slot.number.get(), output);
                *slot.number = Number::link(mem::replace(&mut this.vacant, index));
                this.active -= 1;
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
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.future.is_some() {
                visit(index, slot.number.get());
            }
        }
    }

    fn remove(self: Pin<&mut Self>, slot: usize) {
        let this = self.get_mut();
        this.empty(slot);
    }

    fn clear(self: Pin<&mut Self>) {
        let this = self.get_mut();
        // Dropping the slots rather than emptying them one by one: a destructor that panics does not save the others.
        (this.active, this.vacant) = (0, NONE);
        drop(mem::take(&mut this.slots));
    }

    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.get_mut();
        if this.active == 0 {
            // All wake-ups are late. There may be no end of them.
            for _ in 0..LATE {
                if this.ready.next().is_none() {
                    break;
                }
            }
        }
        this.ready.park(cx.waker())
    }

    #[inline(always)]
    fn wake(&self) {
        self.ready.wake();
    }

    fn recover(self: Pin<&mut Self>) -> Option<u64> {
        let this = self.get_mut();
        let index = mem::replace(&mut this.panicked, NONE);
        let slot = this.slots.get_mut(index)?;
        let number = slot.number.get();
        if this.vacant == index {
            // It was the first poll: the slot is still the first vacant one, and its link has been overwritten.
            slot.as_mut().project().future.set(None);
            this.link_vacant();
        } else {
            this.empty(index);
        }
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
            .field("active", &self.active)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}
