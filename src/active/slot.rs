//! [`SlotVec`]: slots on the heap, made when they are first needed and reused from then on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::local::PollGuard;
use super::ready::ReadyBits;
use super::{Entry, Keep, NONE, Set, Woken};

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
    #[inline]
    fn new(number: u64) -> Self {
        Self(number.to_ne_bytes())
    }

    #[inline]
    fn get(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }

    #[inline]
    fn link(slot: usize) -> Self {
        Self::new(slot as u64)
    }

    #[inline]
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
    fn grow<'a>(slots: &'a mut Vec<Pin<Box<Slot<F>>>>, ready: &mut ReadyBits) -> &'a mut Pin<Box<Slot<F>>> {
        let index = slots.len();
        let waker = ready.waker(index);
        slots.push(Box::pin(Slot { future: None, number: Number::link(NONE), waker }));
        &mut slots[index]
    }
}

/// A slot that was found.
pub struct SlotEntry<'a, F> {
    slot: Pin<&'a mut Slot<F>>,
    index: usize,
    vacant: &'a mut usize,
    polling: &'a mut usize,
}

impl<F: Future> Entry for SlotEntry<'_, F> {
    type Output = F::Output;

    #[inline]
    fn slot(&self) -> usize {
        self.index
    }

    #[inline]
    fn poll(self, _: &mut Context<'_>, outputs: &mut impl Keep<F::Output>) -> Option<Poll<()>> {
        let mut slot = self.slot.project();
        let future = slot.future.as_mut().as_pin_mut()?;
        *self.polling = self.index;
        let poll = future.poll(&mut Context::from_waker(slot.waker));
        *self.polling = NONE;
        if let Poll::Ready(output) = poll {
            outputs.keep(slot.number.get(), output);
            *slot.number = Number::link(mem::replace(self.vacant, self.index));
            slot.future.set(None);
            return Some(Poll::Ready(()));
        }
        Some(Poll::Pending)
    }
}

impl<F: Future> Set for SlotVec<F> {
    type Future = F;
    type Guard = PollGuard;
    type Entry<'a>
        = SlotEntry<'a, F>
    where
        Self: 'a;

    #[inline]
    fn enter(self: Pin<&mut Self>) -> PollGuard {
        let this = self.get_mut();
        this.ready.unpark();
        this.ready.enter()
    }

    #[inline]
    fn insert(self: Pin<&mut Self>, number: u64, future: F) -> SlotEntry<'_, F> {
        let this = self.get_mut();
        let (index, slot) = if this.vacant < this.slots.len() {
            (this.vacant, &mut this.slots[this.vacant])
        } else {
            (this.slots.len(), Self::grow(&mut this.slots, &mut this.ready))
        };
        let mut slot = slot.as_mut();
        let mut fields = slot.as_mut().project();
        this.vacant = mem::replace(fields.number, Number::new(number)).as_link();
        fields.future.set(Some(future));
        SlotEntry { slot, index, vacant: &mut this.vacant, polling: &mut this.polling }
    }

    #[inline]
    fn next_woken(self: Pin<&mut Self>, _: &mut Context<'_>, _: usize) -> Woken<SlotEntry<'_, F>, F::Output> {
        let this = self.get_mut();
        let Some(index) = this.ready.next() else { return Woken::None(0) };
        // A slot that is no longer there was woken late.
        let Some(slot) = this.slots.get_mut(index) else { return Woken::Late };
        Woken::Slot(SlotEntry { slot: slot.as_mut(), index, vacant: &mut this.vacant, polling: &mut this.polling })
    }

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
        drop(mem::take(&mut this.slots));
    }

    #[inline]
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, is_empty: bool) -> bool {
        self.get_mut().ready.park_task(cx, is_empty)
    }

    #[inline]
    fn wake(&self) {
        self.ready.wake();
    }

    fn recover(mut self: Pin<&mut Self>) -> Option<(u64, usize)> {
        let index = mem::replace(&mut self.polling, NONE);
        let number = self.slots.get(index)?.number.get();
        self.vacate(index);
        Some((number, index))
    }
}
