//! [`InlineSlots`]: slots inside the value, and no allocator.

use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::tree::{Slot, SlotCount, Slots, Tree};
use super::{Entry, Keep, NONE, Set, Woken};

/// What an [`InlineSet`](super::InlineSet) is.
#[pin_project]
pub struct InlineSlots<F, const N: usize>
where
    Slots<N>: SlotCount,
{
    #[pin]
    slots: <Slots<N> as SlotCount>::Of<F>,
    /// Which slots hold a future, a bit for each.
    active: u32,
    /// Which slots are still to be polled in this call, if there is a future.
    unpolled: u32,
    /// The slot to look at next.
    next: u32,
    /// The slot whose future is being polled, or was when a panic passed through.
    polling: usize,
    /// The task that was last parked.
    task: Option<Waker>,
    /// Whether no call has begun since.
    is_parked: bool,
}

impl<F, const N: usize> InlineSlots<F, N>
where
    Slots<N>: SlotCount,
{
    /// Creates an empty set.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { slots: Default::default(), active: 0, unpolled: 0, next: 0, polling: NONE, task: None, is_parked: false }
    }
}

/// A slot that was found.
pub struct InlineEntry<'a, F> {
    slot: Pin<&'a mut Slot<F>>,
    index: usize,
    active: &'a mut u32,
    polling: &'a mut usize,
}

impl<F: Future> Entry for InlineEntry<'_, F> {
    type Output = F::Output;

    #[inline]
    fn slot(&self) -> usize {
        self.index
    }

    #[inline]
    fn poll(self, cx: &mut Context<'_>, outputs: &mut impl Keep<F::Output>) -> Option<Poll<()>> {
        let mut slot = self.slot.project();
        let future = slot.future.as_mut().as_pin_mut()?;
        *self.polling = self.index;
        let poll = future.poll(cx);
        *self.polling = NONE;
        if let Poll::Ready(output) = poll {
            outputs.keep(*slot.number, output);
            *self.active &= !(1 << self.index);
            slot.future.set(None);
            return Some(Poll::Ready(()));
        }
        Some(Poll::Pending)
    }
}

impl<F: Future, const N: usize> Set for InlineSlots<F, N>
where
    Slots<N>: SlotCount,
{
    type Future = F;
    type Guard = ();
    type Entry<'a>
        = InlineEntry<'a, F>
    where
        Self: 'a;

    /// The set has to be able to poll all futures, as any of them may have been woken; if that used up the budget, a pool at
    /// rest would wake itself for ever. More than one poll is free, as each stage reserves some for the stage upstream.
    const FREE_POLLS: usize = 8;

    #[inline]
    fn enter(self: Pin<&mut Self>) {
        let this = self.project();
        *this.unpolled = *this.active;
        *this.is_parked = false;
    }

    fn capacity(&self) -> usize {
        N
    }

    #[inline]
    fn insert(self: Pin<&mut Self>, number: u64, future: F) -> InlineEntry<'_, F> {
        let this = self.project();
        let index = this.active.trailing_ones() as usize;
        debug_assert!(index < N, "a future is started only while a slot is free");
        *this.active |= 1 << index;
        let mut slot = this.slots.slot_mut(index);
        let mut fields = slot.as_mut().project();
        *fields.number = number;
        fields.future.set(Some(future));
        InlineEntry { slot, index, active: this.active, polling: this.polling }
    }

    #[inline]
    fn next_woken(self: Pin<&mut Self>, _: &mut Context<'_>, _: usize) -> Woken<InlineEntry<'_, F>, F::Output> {
        let this = self.project();
        let unpolled = *this.unpolled & *this.active;
        if unpolled == 0 {
            return Woken::None(0);
        }
        let later = unpolled & (u32::MAX << *this.next);
        let index = if later == 0 { unpolled } else { later }.trailing_zeros();
        *this.next = (index + 1) % u32::BITS;
        *this.unpolled = unpolled & !(1 << index);
        let index = index as usize;
        let slot = this.slots.slot_mut(index);
        Woken::Slot(InlineEntry { slot, index, active: this.active, polling: this.polling })
    }

    #[inline]
    fn vacate(self: Pin<&mut Self>, slot: usize) {
        let this = self.project();
        *this.active &= !(1 << slot);
        this.slots.slot_mut(slot).project().future.set(None);
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for index in (0..N).filter(|index| self.active >> index & 1 == 1) {
            visit(index, self.slots.slot(index).number);
        }
    }

    fn clear(self: Pin<&mut Self>) {
        let mut this = self.project();
        (*this.active, *this.unpolled) = (0, 0);
        // All at once: a destructor that panics does not save the others.
        this.slots.set(Default::default());
    }

    /// The futures have the task's waker, if all were polled in this call.
    #[inline]
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, _: bool) -> bool {
        let this = self.project();
        if *this.unpolled & *this.active != 0 {
            return false;
        }
        match this.task {
            Some(task) => task.clone_from(cx.waker()),
            None => *this.task = Some(cx.waker().clone()),
        }
        *this.is_parked = true;
        true
    }

    fn wake(&self) {
        if self.is_parked {
            self.task.iter().for_each(Waker::wake_by_ref);
        }
    }

    #[inline]
    fn recover(mut self: Pin<&mut Self>) -> Option<(u64, usize)> {
        let slot = mem::replace(self.as_mut().project().polling, NONE);
        if slot == NONE {
            return None;
        }
        let number = self.slots.slot(slot).number;
        self.vacate(slot);
        Some((number, slot))
    }
}
