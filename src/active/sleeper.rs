//! The task that polls a set, and how it is woken: [`Sleeper`], which all wakers share, and [`Bed`], the poller's side.
//!
//! - A waker makes known what it has to say, and then calls [`rouse`](Sleeper::rouse), which wakes the task if it sleeps.
//! - The poller calls [`lie_down`](Bed::lie_down), and then looks once more whether there is anything to do.
//!
//! What the two write first, and what they then read, is sequentially consistent: at least one of them sees the other,
//! so no wake-up is lost. Only one waker wakes the task each time that it sleeps.
//!
//! Nearly every pool is polled by the same task for all its life. That one's waker is kept in a place that is written once,
//! and read without a locked operation; for any other task there is an [`AtomicWaker`]. The poller owns the waker, so what
//! the wakers share does not keep a task in memory that is long gone.

#[cfg(feature = "std")]
use alloc::sync::{Arc, Weak};
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::task::Waker;
#[cfg(feature = "std")]
use std::sync::OnceLock;

use futures_util::task::AtomicWaker;

/// The task is at work, or has been woken.
const AWAKE: u8 = 0;
/// The usual task sleeps.
#[cfg(feature = "std")]
const USUAL: u8 = 1;
/// Another task sleeps.
const OTHER: u8 = 2;

/// What the wakers see of the task. See the [module](self).
pub(super) struct Sleeper {
    state: AtomicU8,
    #[cfg(feature = "std")]
    usual: OnceLock<Weak<Waker>>,
    other: AtomicWaker,
}

impl Sleeper {
    pub(super) const fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            #[cfg(feature = "std")]
            usual: OnceLock::new(),
            other: AtomicWaker::new(),
        }
    }

    /// Wakes the task if it sleeps.
    #[inline(always)]
    pub(super) fn rouse(&self) {
        if self.state.load(SeqCst) != AWAKE {
            self.wake();
        }
    }

    #[inline(never)]
    fn wake(&self) {
        match self.state.swap(AWAKE, SeqCst) {
            #[cfg(feature = "std")]
            USUAL => {
                if let Some(waker) = self.usual.get().and_then(Weak::upgrade) {
                    waker.wake_by_ref();
                }
            }
            OTHER => self.other.wake(),
            _ => {}
        }
    }
}

/// The poller's side. See the [module](self).
pub(super) struct Bed {
    /// The waker of the usual task: of the first that slept, until another one does.
    #[cfg(feature = "std")]
    usual: Option<Arc<Waker>>,
    /// Whether the task sleeps, as far as the poller knows.
    taken: bool,
}

impl Bed {
    pub(super) const fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            usual: None,
            taken: false,
        }
    }

    /// Says that the task is at work and need not be woken.
    #[inline(always)]
    pub(super) fn get_up(&mut self, sleeper: &Sleeper) {
        if self.taken {
            self.taken = false;
            sleeper.state.store(AWAKE, Relaxed);
        }
    }

    /// Says that the task has to be woken. Then the poller has to look whether there is anything to do by now.
    pub(super) fn lie_down(&mut self, sleeper: &Sleeper, waker: &Waker) {
        let state = self.register(sleeper, waker);
        self.taken = true;
        sleeper.state.store(state, SeqCst);
    }

    /// Keeps the waker where [`Sleeper::rouse`] will find it, and returns which place that is.
    fn register(&mut self, sleeper: &Sleeper, waker: &Waker) -> u8 {
        #[cfg(feature = "std")]
        {
            match &self.usual {
                Some(usual) if usual.will_wake(waker) => return USUAL,
                Some(_) => self.usual = None,
                None if sleeper.usual.get().is_none() => {
                    let usual = Arc::new(waker.clone());
                    let shared = sleeper.usual.get_or_init(|| Arc::downgrade(&usual));
                    debug_assert!(shared.ptr_eq(&Arc::downgrade(&usual)), "only one poller");
                    self.usual = Some(usual);
                    return USUAL;
                }
                None => {}
            }
        }
        sleeper.other.register(waker);
        OTHER
    }

    /// Lets go of the task, which wakers that live longer would otherwise keep in memory.
    pub(super) fn leave(&mut self, sleeper: &Sleeper) {
        #[cfg(feature = "std")]
        drop(self.usual.take());
        drop(sleeper.other.take());
    }
}
