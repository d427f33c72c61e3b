//! [`SlotVec`]: slots on the heap, made when they are first needed and reused from then on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::local::PollGuard;
use super::ready::ReadyBits;
use super::{NONE, Set, Woken};

/// What a [`SlotSet`](super::SlotSet) is.
pub struct SlotVec<F> {
    // Dropped first: what the futures do in their destructors must not wake the task.
    ready: ReadyBits,
    slots: Vec<Pin<Box<Slot<F>>>>,
    /// The first of the vacant slots, which are linked: the one vacated last, while it is in the cache.
    vacant: usize,
    /// The slot whose future is being polled, or was when a panic passed through.
    polling: usize,
}

/// The number of a future, or the link from one vacant slot to the next. In bytes, for which 32-bit targets need no padding.
#[derive(Clone, Copy)]
struct Number([u8; 8]);

/// How many late wake-ups are skipped at a time.
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

impl<F> SlotVec<F> {
    /// Creates an empty set. Allocates only what the wakers share.
    pub(super) fn new() -> Self {
        Self { ready: ReadyBits::new(), slots: Vec::new(), vacant: NONE, polling: NONE }
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
}

impl<F: Future> Set for SlotVec<F> {
    type Future = F;
    type Guard = PollGuard;

    #[inline(always)]
    fn enter(self: Pin<&mut Self>) -> PollGuard {
        let this = self.get_mut();
        this.ready.unpark();
        this.ready.enter()
    }

    #[inline(always)]
    fn insert(self: Pin<&mut Self>, number: u64, future: F) -> usize {
        let this = self.get_mut();
        if this.vacant >= this.slots.len() {
            this.grow();
        }
        let index = this.vacant;
        let mut slot = this.slots[index].as_mut().project();
        this.vacant = mem::replace(slot.number, Number::new(number)).as_link();
        slot.future.set(Some(future));
        index
    }

    #[inline(always)]
    fn next_woken(self: Pin<&mut Self>, _: &mut Context<'_>, _: usize) -> Woken<F::Output> {
        let this = self.get_mut();
        while let Some(index) = this.ready.next() {
            // A late wake-up may be for a slot that is vacant by now, or no longer there.
            if this.slots.get(index).is_some_and(|slot| slot.future.is_some()) {
                return Woken::Slot(index);
            }
        }
        Woken::None(0)
    }

    #[inline(always)]
    fn poll_slot(self: Pin<&mut Self>, _: &mut Context<'_>, index: usize) -> Poll<(u64, F::Output)> {
        let this = self.get_mut();
        let Some(slot) = this.slots.get_mut(index) else { return Poll::Pending };
        let slot = slot.as_mut().project();
        let Some(future) = slot.future.as_pin_mut() else { return Poll::Pending };
        this.polling = index;
        let poll = future.poll(&mut Context::from_waker(slot.waker));
        this.polling = NONE;
        poll.map(|output| (slot.number.get(), output))
    }

    #[inline(always)]
    fn vacate(self: Pin<&mut Self>, index: usize) {
        let this = self.get_mut();
        let Some(slot) = this.slots.get_mut(index) else { return };
        let mut slot = slot.as_mut().project();
        *slot.number = Number::link(mem::replace(&mut this.vacant, index));
        slot.future.set(None);
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.future.is_some() {
                visit(index, slot.number.get());
            }
        }
    }

    fn clear(self: Pin<&mut Self>) {
        let this = self.get_mut();
        // All at once: a destructor that panics does not save the others.
        this.vacant = NONE;
        this.slots.clear();
    }

    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, is_empty: bool) -> bool {
        let this = self.get_mut();
        if is_empty {
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

    #[inline(always)]
    fn recover(self: Pin<&mut Self>) -> Option<u64> {
        if self.polling == NONE { None } else { Some(self.get_mut().remove_panicked()) }
    }
}

impl<F: Future> SlotVec<F> {
    #[cold]
    #[inline(never)]
    fn remove_panicked(&mut self) -> u64 {
        let slot = mem::replace(&mut self.polling, NONE);
        let number = self.slots[slot].number.get();
        Pin::new(self).vacate(slot);
        number
    }
}
