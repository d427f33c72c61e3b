//! [`InlineSlots`]: slots inside the value, and no allocator.

use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::tree::{SlotCount, Slots, Tree};
use super::{NONE, Set, Woken};

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

impl<F: Future, const N: usize> Set for InlineSlots<F, N>
where
    Slots<N>: SlotCount,
{
    type Future = F;
    type Guard = ();

    /// The set has to be able to poll all futures, as any of them may have been woken; if that used up the budget, a pool at
    /// rest would wake itself for ever. More than one poll is free, as each stage reserves some for the stage upstream.
    const FREE_POLLS: usize = 8;

    #[inline(always)]
    fn enter(self: Pin<&mut Self>) {
        let this = self.project();
        *this.unpolled = *this.active;
        *this.is_parked = false;
    }

    fn capacity(&self) -> usize {
        N
    }

    #[inline(always)]
    fn insert(self: Pin<&mut Self>, number: u64, future: F) -> usize {
        let this = self.project();
        let index = this.active.trailing_ones() as usize;
        debug_assert!(index < N, "a future is started only while a slot is free");
        *this.active |= 1 << index;
        let mut slot = this.slots.slot_mut(index).project();
        *slot.number = number;
        slot.future.set(Some(future));
        index
    }

    #[inline(always)]
    fn next_woken(self: Pin<&mut Self>, _: &mut Context<'_>, _: usize) -> Woken<F::Output> {
        let this = self.project();
        let unpolled = *this.unpolled & *this.active;
        if unpolled == 0 {
            return Woken::None(0);
        }
        let later = unpolled & (u32::MAX << *this.next);
        let index = if later == 0 { unpolled } else { later }.trailing_zeros();
        *this.next = (index + 1) % u32::BITS;
        *this.unpolled = unpolled & !(1 << index);
        Woken::Slot(index as usize)
    }

    #[inline(always)]
    fn poll_slot(self: Pin<&mut Self>, cx: &mut Context<'_>, index: usize) -> Poll<(u64, F::Output)> {
        let this = self.project();
        let slot = this.slots.slot_mut(index).project();
        let Some(future) = slot.future.as_pin_mut() else { return Poll::Pending };
        *this.polling = index;
        let poll = future.poll(cx);
        *this.polling = NONE;
        poll.map(|output| (*slot.number, output))
    }

    #[inline(always)]
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
    #[inline(always)]
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

    #[inline(always)]
    fn recover(mut self: Pin<&mut Self>) -> Option<u64> {
        let slot = mem::replace(self.as_mut().project().polling, NONE);
        if slot == NONE {
            return None;
        }
        let number = self.slots.slot(slot).number;
        self.vacate(slot);
        Some(number)
    }
}
