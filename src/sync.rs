//! What is shared between threads, and with interrupts: `Arc`, `Wake` and atomics.
//!
//! They are those of the language, or with the feature `portable-atomic` those of the crates of that name, for targets
//! without compare-and-swap.

#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::sync::{Arc, Weak};
#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::task::Wake;
#[cfg(not(feature = "portable-atomic"))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};

#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic::{AtomicBool, AtomicU8, AtomicUsize};
#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic_util::{Arc, Weak, task::Wake};

/// Implements [`Wake`], whose methods have a receiver or not, by a method `wake_slot(&self)`.
macro_rules! wake_by_slot {
    ($($type:ty),*) => {$(
        #[cfg(not(feature = "portable-atomic"))]
        impl $crate::sync::Wake for $type {
            #[inline]
            fn wake(self: $crate::sync::Arc<Self>) {
                self.wake_slot();
            }

            #[inline]
            fn wake_by_ref(self: &$crate::sync::Arc<Self>) {
                self.wake_slot();
            }
        }

        #[cfg(feature = "portable-atomic")]
        impl $crate::sync::Wake for $type {
            fn wake(this: $crate::sync::Arc<Self>) {
                this.wake_slot();
            }

            fn wake_by_ref(this: &$crate::sync::Arc<Self>) {
                this.wake_slot();
            }
        }
    )*};
}

pub(crate) use wake_by_slot;
