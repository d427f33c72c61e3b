//! The task that polls a set, and how it is woken: [`ParkedTask`], which all wakers share, and [`Parker`], the poller's side.
//!
//! - A waker that finds the task parked [wakes it](ParkedTask::wake_for) and tells it the slot with the same step. One that
//!   does not, or comes too late for that, publishes elsewhere what it has to say, and then checks again whether the task is
//!   [parked](ParkedTask::wake) by now.
//! - The poller calls [`park`](Parker::park), and then checks once more whether there is anything to do. When it is polled
//!   again, [`unpark`](Parker::unpark) returns the slot that it was told.
//!
//! What the two write first, and what they then read, is sequentially consistent: at least one of them sees the other,
//! so no wake-up is lost. Only one waker wakes the task each time that it is parked.
//!
//! Nearly every pool is polled by the same task for all its life. The waker of that task is kept in a place that is written
//! once, and read without a lock; for any other task there is an [`AtomicWaker`]. The poller owns the waker, so what the
//! wakers share does not keep a task in memory that ended long ago.

use core::sync::atomic::Ordering::SeqCst;
use core::task::Waker;

#[cfg(feature = "std")]
use crate::sync::{Arc, OnceLock, tracked, wake_by_slot};
use crate::sync::{AtomicUsize, AtomicWaker};

/// The task is running, or was woken without being told a slot.
const RUNNING: usize = 0;
/// The usual task is parked.
#[cfg(feature = "std")]
const PARKED: usize = 1;
/// Another task is parked.
const PARKED_OTHER: usize = 2;
/// From here on: the task was woken, and told the slot that is the state less this.
const NOTIFIED: usize = 3;

/// What the wakers see of the task. See the [module](self).
pub(super) struct ParkedTask {
    state: AtomicUsize,
    #[cfg(feature = "std")]
    usual: OnceLock<tracked::Weak<Waker>>,
    other: AtomicWaker,
}

impl ParkedTask {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(RUNNING),
            #[cfg(feature = "std")]
            usual: OnceLock::new(),
            other: AtomicWaker::new(),
        }
    }

    /// If the task is parked, wakes it because of a slot. Returns whether the task was told the slot.
    #[inline]
    pub(super) fn wake_for(&self, slot: usize) -> bool {
        self.wake_if_parked(NOTIFIED + slot)
    }

    /// Releases the task, which wakers that live longer would otherwise keep in memory. The usual one is the poller's.
    pub(super) fn forget(&self) {
        drop(self.other.take());
    }

    /// Wakes the task if it is parked.
    #[inline]
    pub(super) fn wake(&self) {
        self.wake_if_parked(RUNNING);
    }

    #[inline]
    fn wake_if_parked(&self, state_after: usize) -> bool {
        let state = self.state.load(SeqCst);
        is_parked(state) && self.wake_from(state, state_after)
    }

    #[inline(never)]
    fn wake_from(&self, parked: usize, state_after: usize) -> bool {
        // If this fails somebody else has woken the task, or it has been polled since.
        if self.state.compare_exchange(parked, state_after, SeqCst, SeqCst).is_err() {
            return false;
        }
        if parked == PARKED_OTHER {
            self.other.wake();
        }
        #[cfg(feature = "std")]
        if parked == PARKED {
            if let Some(waker) = self.usual.get().and_then(tracked::Weak::upgrade) {
                waker.wake_by_ref();
            }
        }
        true
    }
}

#[inline]
fn is_parked(state: usize) -> bool {
    state != RUNNING && state < NOTIFIED
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
pub(super) struct Parker {
    /// The waker of the usual task: the first one that was parked, until another one is.
    #[cfg(feature = "std")]
    usual: Option<tracked::Arc<Waker>>,
    /// The waker of the other task that was parked last.
    #[cfg(feature = "std")]
    other: Option<Arc<Relay>>,
    /// Whether the task was parked, and not unparked since.
    is_parked: bool,
}

impl Parker {
    pub(super) const fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            usual: None,
            #[cfg(feature = "std")]
            other: None,
            is_parked: false,
        }
    }

    /// Publishes that the task is running and need not be woken. Returns the slot that it was told, if any.
    #[inline]
    pub(super) fn unpark(&mut self, parked_task: &ParkedTask) -> Option<usize> {
        if self.is_parked { self.unpark_parked(parked_task) } else { None }
    }

    #[inline(never)]
    fn unpark_parked(&mut self, parked_task: &ParkedTask) -> Option<usize> {
        self.is_parked = false;
        let mut state = parked_task.state.load(SeqCst);
        if is_parked(state) {
            state = parked_task.state.swap(RUNNING, SeqCst);
        }
        state.checked_sub(NOTIFIED)
    }

    /// Publishes that the task has to be woken. After that, the poller has to check whether there is anything to do by now. It
    /// must have been unparked before.
    #[inline]
    pub(super) fn park(&mut self, parked_task: &ParkedTask, waker: &Waker) {
        let state = self.register(parked_task, waker);
        self.is_parked = true;
        parked_task.state.store(state, SeqCst);
    }

    /// Stores the waker where wakers find it, and returns the state that says where.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "there is but one place"))]
    fn register(&mut self, parked_task: &ParkedTask, waker: &Waker) -> usize {
        #[cfg(feature = "std")]
        {
            match &self.usual {
                Some(usual) if usual.will_wake(waker) => return PARKED,
                Some(_) => self.usual = None,
                None if parked_task.usual.get().is_none() => {
                    let usual = tracked::Arc::new(waker.clone());
                    parked_task.usual.get_or_init(|| tracked::Arc::downgrade(&usual));
                    self.usual = Some(usual);
                    return PARKED;
                }
                None => {}
            }
        }
        // The waker of the task before goes first, so that a panic of its destructor finds nothing half done.
        parked_task.forget();
        #[cfg(feature = "std")]
        parked_task.other.register(&self.relay_to(waker));
        #[cfg(not(feature = "std"))]
        parked_task.other.register(waker);
        PARKED_OTHER
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
