//! What is shared between threads, and with interrupts: `Arc`, `Wake`, atomics, and what is made of these.
//!
//! They are those of the language, or with the feature `portable-atomic` those of the crates of that name, for targets
//! without compare-and-swap. In the tests of schedules they are those that loom or shuttle see: see `schedules/model.rs`.

#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::sync::{Arc, Weak};
#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::task::Wake;

#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic_util::{Arc, Weak, task::Wake};

#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use self::real::*;
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use crate::schedules::model::*;

#[cfg(not(all(test, any(loom, shuttle))))]
mod real {
    #[cfg(not(feature = "portable-atomic"))]
    pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
    #[cfg(feature = "std")]
    pub(crate) use std::sync::{Mutex, OnceLock};

    pub(crate) use futures_util::task::AtomicWaker;
    #[cfg(feature = "portable-atomic")]
    pub(crate) use portable_atomic::{AtomicBool, AtomicU8, AtomicUsize};

    /// An `Arc` that other threads upgrade from a `Weak`, where schedules are explored.
    #[cfg(feature = "std")]
    pub(crate) mod tracked {
        pub(crate) use crate::sync::{Arc, Weak};
    }

    /// Declares a variable of each thread's own.
    #[cfg(feature = "std")]
    macro_rules! per_thread {
        ($(#[$attr:meta])* static $name:ident: $type:ty = $value:expr;) => {
            std::thread_local! {
                $(#[$attr])*
                static $name: $type = const { $value };
            }
        };
    }

    #[cfg(feature = "std")]
    pub(crate) use per_thread;
}

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
