//! Which set this thread is polling: [`PollGuard`]; and the bits that only this thread touches: [`LocalBits`].
//!
//! A future that wakes itself, or another one of its pool, does so inside of a poll of the pool, so on the one thread
//! that has the pool to itself. A waker that knows this needs no locked operation, and no task has to be woken. The id of the
//! set being polled is in a thread-local variable, so no other thread can be mistaken about it; and it is restored when the
//! poll ends, also by a panic.
//!
//! Without the standard library there are no thread-local variables: there no poll is ever known to be under way, and ids and
//! bits take no space.

use core::marker::PhantomData;
#[cfg(feature = "std")]
use core::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "std")]
use std::cell::Cell;

#[cfg(feature = "std")]
use crate::sync::{AtomicUsize, per_thread};

#[cfg(feature = "std")]
per_thread! {
    /// The id of the set being polled, the innermost if polls are nested; 0 if there is none.
    static POLLED: Cell<usize> = Cell::new(0);
}

/// Identifies the set that a thread is polling.
#[derive(Clone, Copy)]
pub(super) struct PollerId {
    #[cfg(feature = "std")]
    address: usize,
}

impl PollerId {
    /// The id of the set whose shared part is here.
    #[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "there is nowhere to record it"))]
    pub(super) fn new<T>(shared: *const T) -> Self {
        Self {
            #[cfg(feature = "std")]
            address: shared.addr(),
        }
    }

    /// Returns whether this thread is polling the set with this id.
    #[inline]
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "no poll is known"))]
    pub(super) fn is_polling(self) -> bool {
        #[cfg(feature = "std")]
        return POLLED.with(Cell::get) == self.address;
        #[cfg(not(feature = "std"))]
        false
    }
}

/// As long as it lives, this thread is polling a set.
#[must_use]
#[derive(Debug)]
pub struct PollGuard {
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
    /// The id of the set that was being polled before.
    #[cfg(feature = "std")]
    before: usize,
}

impl PollGuard {
    /// Records that this thread polls the set with this id.
    #[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "there is nowhere to record it"))]
    #[inline]
    pub(super) fn enter(id: PollerId) -> Self {
        Self {
            thread: PhantomData,
            #[cfg(feature = "std")]
            before: POLLED.with(|polled| polled.replace(id.address)),
        }
    }
}

impl Drop for PollGuard {
    #[inline]
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        POLLED.with(|polled| polled.set(self.before));
    }
}

/// A word of bits that are set and taken only during a poll, by the polling thread.
#[derive(Default)]
pub(super) struct LocalBits {
    #[cfg(feature = "std")]
    bits: AtomicUsize,
}

#[cfg(feature = "std")]
impl LocalBits {
    #[inline]
    pub(super) fn set(&self, bit: usize) {
        self.bits.store(self.bits.load(Relaxed) | bit, Relaxed);
    }

    #[inline]
    pub(super) fn take(&self) -> usize {
        let bits = self.bits.load(Relaxed);
        if bits != 0 {
            self.bits.store(0, Relaxed);
        }
        bits
    }

    #[inline]
    pub(super) fn get(&self) -> usize {
        self.bits.load(Relaxed)
    }
}

#[cfg(not(feature = "std"))]
#[expect(clippy::unused_self, reason = "there are no bits")]
impl LocalBits {
    pub(super) fn set(&self, _: usize) {}

    pub(super) fn take(&self) -> usize {
        0
    }

    pub(super) fn get(&self) -> usize {
        0
    }
}
