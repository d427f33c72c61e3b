//! Which set this thread is polling: [`Inside`]; and the bits that only this thread touches: [`InnerBits`].
//!
//! A future that wakes itself, or another one of its pool, does so inside of a poll of the pool, so on the one thread
//! that has the pool to itself. A waker that knows this needs no locked operation, and nobody has to be told. The mark is
//! the thread's own, so no other thread can be mistaken about it; and it is taken back on the way out, also by a panic.
//!
//! Without the standard library there are no variables of a thread's own: there nobody is ever inside, and marks and bits
//! take no room.

use core::marker::PhantomData;
#[cfg(feature = "std")]
use core::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "std")]
use std::cell::Cell;

#[cfg(feature = "std")]
use crate::sync::{AtomicUsize, per_thread};

#[cfg(feature = "std")]
per_thread! {
    /// The mark of the set being polled, the innermost of those inside one another; 0 if there is none.
    static POLLED: Cell<usize> = Cell::new(0);
}

/// What a thread that polls a set is known by.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    #[cfg(feature = "std")]
    address: usize,
}

impl Mark {
    /// The mark of the set whose shared part is here.
    #[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "there is nowhere to note it"))]
    pub(super) fn new<T>(shared: *const T) -> Self {
        Self {
            #[cfg(feature = "std")]
            address: shared.addr(),
        }
    }

    /// Returns whether this thread is polling the set with this mark.
    #[inline(always)]
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "nobody is inside"))]
    pub(super) fn is_inside(self) -> bool {
        #[cfg(feature = "std")]
        return POLLED.with(Cell::get) == self.address;
        #[cfg(not(feature = "std"))]
        false
    }
}

/// As long as it lives, this thread is polling a set.
#[must_use]
#[derive(Debug)]
pub struct Inside {
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
    /// The mark of the set around it.
    #[cfg(feature = "std")]
    around: usize,
}

impl Inside {
    /// Notes that this thread polls the set with this mark.
    #[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "there is nowhere to note it"))]
    #[inline(always)]
    pub(super) fn enter(mark: Mark) -> Self {
        Self {
            thread: PhantomData,
            #[cfg(feature = "std")]
            around: POLLED.with(|polled| polled.replace(mark.address)),
        }
    }
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        POLLED.with(|polled| polled.set(self.around));
    }
}

/// A word of bits that are set and taken from inside of a poll only.
#[derive(Default)]
pub(super) struct InnerBits {
    #[cfg(feature = "std")]
    bits: AtomicUsize,
}

#[cfg(feature = "std")]
impl InnerBits {
    #[inline(always)]
    pub(super) fn set(&self, bit: usize) {
        self.bits.store(self.bits.load(Relaxed) | bit, Relaxed);
    }

    #[inline(always)]
    pub(super) fn take(&self) -> usize {
        let bits = self.bits.load(Relaxed);
        if bits != 0 {
            self.bits.store(0, Relaxed);
        }
        bits
    }

    #[inline(always)]
    pub(super) fn get(&self) -> usize {
        self.bits.load(Relaxed)
    }
}

#[cfg(not(feature = "std"))]
#[expect(clippy::unused_self, reason = "there are no bits")]
impl InnerBits {
    pub(super) fn set(&self, _: usize) {}

    pub(super) fn take(&self) -> usize {
        0
    }

    pub(super) fn get(&self) -> usize {
        0
    }
}
