//! The task that polls a set, and how it is woken: [`Sleeper`], which all wakers share, and [`Bed`], the poller's side.
//!
//! - A waker that finds the task asleep [wakes it](Sleeper::wake_for) and tells it the slot with the same step. One that
//!   does not, or comes too late for that, makes known elsewhere what it has to say, and then looks again whether the task
//!   [sleeps](Sleeper::wake) by now.
//! - The poller calls [`lie_down`](Bed::lie_down), and then looks once more whether there is anything to do. When it is
//!   polled again, [`get_up`](Bed::get_up) returns the slot that it was told.
//!
//! What the two write first, and what they then read, is sequentially consistent: at least one of them sees the other,
//! so no wake-up is lost. Only one waker wakes the task each time that it sleeps.
//!
//! Nearly every pool is polled by the same task for all its life. That one's waker is kept in a place that is written once,
//! and read without a lock; for any other task there is an [`AtomicWaker`]. The poller owns the waker, so what the wakers
//! share does not keep a task in memory that is long gone.

use core::sync::atomic::Ordering::SeqCst;
use core::task::Waker;

#[cfg(feature = "std")]
use crate::sync::{Arc, OnceLock, sought, wake_by_slot};
use crate::sync::{AtomicUsize, AtomicWaker};

/// The task is at work, or has been woken and told nothing.
const AWAKE: usize = 0;
/// The usual task sleeps.
#[cfg(feature = "std")]
const USUAL: usize = 1;
/// Another task sleeps.
const OTHER: usize = 2;
/// The task has been woken and told the slot which is that much less.
const TOLD: usize = 3;

/// What the wakers see of the task. See the [module](self).
pub(super) struct Sleeper {
    state: AtomicUsize,
    #[cfg(feature = "std")]
    usual: OnceLock<sought::Weak<Waker>>,
    other: AtomicWaker,
}

impl Sleeper {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(AWAKE),
            #[cfg(feature = "std")]
            usual: OnceLock::new(),
            other: AtomicWaker::new(),
        }
    }

    /// If the task sleeps, wakes it because of a slot. Returns whether it will hear of the slot.
    #[inline(always)]
    pub(super) fn wake_for(&self, slot: usize) -> bool {
        self.turn(TOLD + slot)
    }

    /// Lets go of the task, which wakers that live longer would otherwise keep in memory. The usual one is the poller's.
    pub(super) fn forget(&self) {
        drop(self.other.take());
    }

    /// Wakes the task if it sleeps.
    #[inline(always)]
    pub(super) fn wake(&self) {
        self.turn(AWAKE);
    }

    #[inline(always)]
    fn turn(&self, awake: usize) -> bool {
        let state = self.state.load(SeqCst);
        sleeps(state) && self.wake_from(state, awake)
    }

    #[inline(never)]
    fn wake_from(&self, asleep: usize, awake: usize) -> bool {
        // If this fails somebody else has woken the task, or it has been polled since.
        if self.state.compare_exchange(asleep, awake, SeqCst, SeqCst).is_err() {
            return false;
        }
        if asleep == OTHER {
            self.other.wake();
        }
        #[cfg(feature = "std")]
        if asleep == USUAL {
            if let Some(waker) = self.usual.get().and_then(sought::Weak::upgrade) {
                waker.wake_by_ref();
            }
        }
        true
    }
}

#[inline(always)]
fn sleeps(state: usize) -> bool {
    state != AWAKE && state < TOLD
}

/// A waker that is not cloned itself when it is registered: if that panics, an `AtomicWaker` is left in the middle of a
/// registration, and nobody is woken any more.
#[cfg(feature = "std")]
struct Relay(Waker);

#[cfg(feature = "std")]
impl Relay {
    #[inline]
    fn wake_slot(&self) {
        self.0.wake_by_ref();
    }
}

#[cfg(feature = "std")]
wake_by_slot!(Relay);

/// The poller's side. See the [module](self).
pub(super) struct Bed {
    /// The waker of the usual task: of the first that slept, until another one does.
    #[cfg(feature = "std")]
    usual: Option<sought::Arc<Waker>>,
    /// The waker of the other task that slept last.
    #[cfg(feature = "std")]
    other: Option<Arc<Relay>>,
    /// Whether the task has lain down and not got up.
    taken: bool,
}

impl Bed {
    pub(super) const fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            usual: None,
            #[cfg(feature = "std")]
            other: None,
            taken: false,
        }
    }

    /// Says that the task is at work and need not be woken. Returns the slot that it was told, if it was.
    #[inline(always)]
    pub(super) fn get_up(&mut self, sleeper: &Sleeper) -> Option<usize> {
        if !self.taken {
            return None;
        }
        self.taken = false;
        let mut state = sleeper.state.load(SeqCst);
        if sleeps(state) {
            state = sleeper.state.swap(AWAKE, SeqCst);
        }
        state.checked_sub(TOLD)
    }

    /// Says that the task has to be woken. Then the poller has to look whether there is anything to do by now. It must
    /// have got up before.
    #[inline]
    pub(super) fn lie_down(&mut self, sleeper: &Sleeper, waker: &Waker) {
        let state = self.register(sleeper, waker);
        self.taken = true;
        sleeper.state.store(state, SeqCst);
    }

    /// Keeps the waker where a waker will find it, and returns which place that is.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "there is but one place"))]
    fn register(&mut self, sleeper: &Sleeper, waker: &Waker) -> usize {
        #[cfg(feature = "std")]
        {
            match &self.usual {
                Some(usual) if usual.will_wake(waker) => return USUAL,
                Some(_) => self.usual = None,
                None if sleeper.usual.get().is_none() => {
                    let usual = sought::Arc::new(waker.clone());
                    sleeper.usual.get_or_init(|| sought::Arc::downgrade(&usual));
                    self.usual = Some(usual);
                    return USUAL;
                }
                None => {}
            }
        }
        // The waker of the task before goes first, so that a panic of its destructor finds nothing half done.
        sleeper.forget();
        #[cfg(feature = "std")]
        sleeper.other.register(&self.relay_to(waker));
        #[cfg(not(feature = "std"))]
        sleeper.other.register(waker);
        OTHER
    }

    /// Returns a waker of the same task, to be cloned without a call of the task's.
    #[cfg(feature = "std")]
    fn relay_to(&mut self, waker: &Waker) -> Waker {
        if let Some(other) = self.other.as_ref().filter(|other| other.0.will_wake(waker)) {
            return Waker::from(Arc::clone(other));
        }
        self.other = None;
        let other = Arc::new(Relay(waker.clone()));
        Waker::from(Arc::clone(self.other.insert(other)))
    }
}
