//! [`Lock`]: the lock around what the handles of a scope share.
//!
//! It is held for a few instructions at a time, and never while code of the user's runs: no poll, no destructor, no
//! closure, no waker.

#[cfg(not(feature = "std"))]
use core::cell::RefCell;
#[cfg(feature = "std")]
use std::sync::PoisonError;

#[cfg(feature = "std")]
use crate::sync::Mutex;

/// A mutex with the standard library; without it, a cell that keeps its owner on one thread.
pub(crate) struct Lock<T> {
    #[cfg(feature = "std")]
    value: Mutex<T>,
    #[cfg(not(feature = "std"))]
    value: RefCell<T>,
}

#[cfg(feature = "std")]
impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: Mutex::new(value) }
    }

    /// Calls `f`, which must be short and must not call code of the user's, with the value.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(feature = "std"))]
impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: RefCell::new(value) }
    }

    /// Calls `f`, which must be short and must not call code of the user's, with the value.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.value.borrow_mut())
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
