//! Which set this thread is polling: [`Inside`].
//!
//! A future that wakes itself, or another one of its pool, does so inside of a poll of the pool, so on the one thread
//! that has the pool to itself. A waker that knows this needs no locked operation, and nobody has to be told. The mark is
//! the thread's own, so no other thread can be mistaken about it; and it is taken back on the way out, also by a panic.
//!
//! Without the standard library there are no variables of a thread's own: there nobody is ever inside.

use core::marker::PhantomData;
#[cfg(feature = "std")]
use std::cell::Cell;

#[cfg(feature = "std")]
std::thread_local! {
    /// The mark of the set being polled, the innermost of those inside one another; 0 if there is none.
    static POLLED: Cell<usize> = const { Cell::new(0) };
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
    /// Notes that this thread polls the set with this mark, which is not 0.
    #[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "there is nowhere to note it"))]
    #[inline(always)]
    pub(super) fn enter(mark: usize) -> Self {
        Self {
            thread: PhantomData,
            #[cfg(feature = "std")]
            around: POLLED.replace(mark),
        }
    }

    /// Returns whether this thread is polling the set with this mark.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(super) fn is(mark: usize) -> bool {
        POLLED.get() == mark
    }

    /// Returns `false`.
    #[cfg(not(feature = "std"))]
    #[inline(always)]
    pub(super) fn is(_: usize) -> bool {
        false
    }
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        POLLED.set(self.around);
    }
}
