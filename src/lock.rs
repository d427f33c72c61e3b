//! [`Lock`]: the lock around what the handles of a scope share, and the two sides of `consume`.
//!
//! In a scope it is held for a few instructions at a time, and never while code of the user's runs: no poll, no destructor, no
//! closure, no waker. In `consume` it is held while the pool is polled, and nobody waits for it.

#[cfg(not(feature = "std"))]
use core::cell::RefCell;
use core::ops::DerefMut;
#[cfg(feature = "std")]
use std::sync::{PoisonError, TryLockError};

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

    /// Locks the value, unless it is locked.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<impl DerefMut<Target = T>> {
        match self.value.try_lock() {
            Ok(value) => Some(value),
            Err(TryLockError::Poisoned(value)) => Some(value.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
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

    /// Locks the value, unless it is locked.
    pub(crate) fn try_lock(&self) -> Option<impl DerefMut<Target = T>> {
        self.value.try_borrow_mut().ok()
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
