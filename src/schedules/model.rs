//! What [`sync`](crate::sync) has under loom and shuttle: types whose every access is a place where another thread may run.
//!
//! `Arc` and `Waker` themselves stay those of the language. Their counts are taken to be right; what is checked is the order
//! of what the crate does itself. Nothing here depends on which thread drops the last of them, except for what is
//! [`tracked`], which is therefore seen.

#[cfg(loom)]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8};
#[cfg(shuttle)]
use std::mem;
#[cfg(loom)]
pub(crate) use std::sync::Mutex;
use std::sync::OnceLock as Once;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Waker;

#[cfg(shuttle)]
pub(crate) use ::shuttle::sync::Mutex;
#[cfg(shuttle)]
pub(crate) use ::shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};

#[cfg(loom)]
pub(crate) use self::seq_cst::AtomicUsize;

/// Declares a variable of each thread's own. The threads of both checkers are coroutines on one thread of the system.
#[cfg(loom)]
macro_rules! per_thread {
    ($($item:tt)*) => { ::loom::thread_local! { $($item)* } };
}

#[cfg(shuttle)]
macro_rules! per_thread {
    ($($item:tt)*) => { ::shuttle::thread_local! { $($item)* } };
}

pub(crate) use per_thread;

#[cfg(loom)]
mod seq_cst {
    use core::ops::Deref;
    use core::sync::atomic::Ordering::SeqCst;

    /// Loom's, with its beginning in the one order of what is sequentially consistent.
    ///
    /// Loom has a load that is sequentially consistent skip a store only if there is a later one and both of these are, too.
    /// What an atomic is created with is not, so it might be read even after a later store, which no machine does: the
    /// creation happens before all else.
    pub(crate) struct AtomicUsize(::loom::sync::atomic::AtomicUsize);

    impl AtomicUsize {
        pub(crate) fn new(value: usize) -> Self {
            let atomic = ::loom::sync::atomic::AtomicUsize::new(value);
            atomic.store(value, SeqCst);
            Self(atomic)
        }
    }

    impl Default for AtomicUsize {
        fn default() -> Self {
            Self::new(0)
        }
    }

    impl Deref for AtomicUsize {
        type Target = ::loom::sync::atomic::AtomicUsize;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }
}

/// A `OnceLock` that one thread fills. Whether another sees that is up to its flag.
pub(crate) struct OnceLock<T> {
    value: Once<T>,
    is_filled: AtomicUsize,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self { value: Once::new(), is_filled: AtomicUsize::new(0) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_filled.load(Acquire) == 0 { None } else { self.value.get() }
    }

    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(value);
        self.is_filled.store(1, Release);
        value
    }
}

/// The contract of the `AtomicWaker` of `futures`, whose own atomics the checker does not see: if it is woken while a waker
/// is being registered, that one is woken.
pub(crate) struct AtomicWaker {
    #[cfg(loom)]
    waker: ::loom::future::AtomicWaker,
    #[cfg(shuttle)]
    waker: Mutex<Option<Waker>>,
}

#[cfg(loom)]
impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self { waker: ::loom::future::AtomicWaker::new() }
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.waker.take_waker()
    }
}

#[cfg(shuttle)]
impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self { waker: Mutex::new(None) }
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let waker = Some(waker.clone());
        drop(mem::replace(&mut *self.waker.lock().unwrap(), waker));
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.waker.lock().unwrap().take()
    }
}

/// An `Arc` that other threads look for by a `Weak`, and find or not: the checker sees whether it is still there.
pub(crate) mod tracked {
    use std::ops::Deref;
    use std::sync;
    use std::sync::atomic::Ordering::{Acquire, Release};

    use crate::sync::AtomicUsize;

    /// The one that is not found by a `Weak`, but was there before.
    pub(crate) struct Arc<T> {
        value: sync::Arc<T>,
        is_gone: sync::Arc<AtomicUsize>,
    }

    pub(crate) struct Weak<T> {
        value: sync::Weak<T>,
        is_gone: sync::Arc<AtomicUsize>,
    }

    impl<T> Arc<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { value: sync::Arc::new(value), is_gone: sync::Arc::default() }
        }

        pub(crate) fn downgrade(this: &Self) -> Weak<T> {
            Weak { value: sync::Arc::downgrade(&this.value), is_gone: sync::Arc::clone(&this.is_gone) }
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> Drop for Arc<T> {
        fn drop(&mut self) {
            self.is_gone.store(1, Release);
        }
    }

    impl<T> Weak<T> {
        pub(crate) fn upgrade(&self) -> Option<sync::Arc<T>> {
            if self.is_gone.load(Acquire) == 0 { self.value.upgrade() } else { None }
        }
    }
}
