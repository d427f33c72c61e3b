//! [`Cell`]: what a task shares with its handle.

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::Waker;

use super::arriving::Arrivals;
use super::control::{Control, Id};
use super::error::TaskError;
use super::lending::Waiter;
use crate::lock::Lock;
use crate::panic::{contain_and_forget, wake_and_contain};
use crate::sync::{Arc, AtomicU8, AtomicUsize};

/// Where a task's output goes, and who waits for it.
///
/// Locks are taken in this order: that of the cell, that of the [`Control`], that of [`Arrivals`].
pub(super) struct Cell<T> {
    pub(super) number: Number,
    pub(super) control: Arc<Control>,
    /// One of the following. Rises only, under the lock of the [`Control`], in the critical section in which the task is
    /// counted. Becomes `AWAITED` and `SETTLED` under the lock of the cell as well.
    pub(super) status: AtomicU8,
    pub(super) slot: Lock<Slot<T>>,
}

/// Not started.
const WAITING: u8 = 0;
/// Not started, and somebody is to be told when it is.
pub(super) const AWAITED: u8 = 1;
/// The same for an item that `map` still holds.
pub(super) const RESERVED: u8 = 2;
/// Started.
pub(super) const ACTIVE: u8 = 3;
/// Finished, panicked, or cancelled.
pub(super) const SETTLED: u8 = 4;

pub(super) struct Slot<T> {
    /// `Some` from when the task is settled until its result is taken.
    pub(super) result: Option<Result<T, TaskError>>,
    /// A number that rises as tasks end.
    pub(super) order: usize,
    pub(super) notify: Notify,
    /// Whether the handle is gone, and nobody wants the result.
    pub(super) detached: bool,
}

/// Who is told that a task has started, if that was asked for, and that it is settled.
pub(super) enum Notify {
    Nobody,
    /// A task, perhaps of the same scope.
    Waker(Waker, Waiter),
    /// Many handles are waited for, of which this one has the place.
    Arrivals(Arc<Arrivals>, usize),
}

/// The number of a task, which it gets when it is spawned: after its cell was made, and before anybody else sees the cell.
pub(super) struct Number {
    low: AtomicUsize,
    #[cfg(not(target_pointer_width = "64"))]
    high: AtomicUsize,
}

impl Number {
    /// Stands for no number yet.
    pub(super) const NONE: u64 = u64::MAX;

    fn new() -> Self {
        let number = Self {
            low: AtomicUsize::new(0),
            #[cfg(not(target_pointer_width = "64"))]
            high: AtomicUsize::new(0),
        };
        number.set(Self::NONE);
        number
    }

    #[expect(clippy::cast_possible_truncation)]
    fn set(&self, number: u64) {
        self.low.store(number as usize, Relaxed);
        #[cfg(not(target_pointer_width = "64"))]
        self.high.store((number >> 32) as usize, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        let number = self.low.load(Relaxed) as u64;
        #[cfg(not(target_pointer_width = "64"))]
        let number = (self.high.load(Relaxed) as u64) << 32 | number;
        number
    }

    /// Its low bits.
    #[inline(always)]
    fn id(&self) -> Id {
        self.low.load(Relaxed)
    }
}

impl Notify {
    /// The task has ended, or is just being settled: returns which task of the scope has what it has waited for.
    #[inline(always)]
    fn waiter(&self, control: &Control) -> Waiter {
        match self {
            Self::Nobody => Waiter::NOBODY,
            Self::Waker(_, waiter) => *waiter,
            Self::Arrivals(arrivals, _) => arrivals.count_down(control),
        }
    }

    #[inline(always)]
    fn notify(self) {
        if !matches!(self, Self::Nobody) {
            self.notify_somebody();
        }
    }

    fn notify_somebody(self) {
        match self {
            Self::Nobody => {}
            Self::Waker(waker, _) => wake_and_contain(waker),
            Self::Arrivals(arrivals, place) => arrivals.push(place),
        }
    }
}

/// How far a task may have come to be cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    NotStarted,
    NotEnded,
}

impl<T> Cell<T> {
    /// Creates the cell of a task that has yet to be spawned.
    pub(super) fn new(control: Arc<Control>) -> Self {
        let slot = Slot { result: None, order: 0, notify: Notify::Nobody, detached: false };
        Self { number: Number::new(), control, status: AtomicU8::new(WAITING), slot: Lock::new(slot) }
    }

    /// Creates that of a place in the queue, which has yet to be taken.
    pub(super) fn reserved(control: Arc<Control>) -> Self {
        let mut cell = Self::new(control);
        *cell.status.get_mut() = RESERVED;
        cell
    }

    /// A task that never was.
    pub(super) fn cancelled(number: u64, control: Arc<Control>) -> Self {
        let mut cell = Self::new(control);
        cell.number.set(number);
        *cell.status.get_mut() = SETTLED;
        cell.slot.get_mut().result = Some(Err(TaskError::Cancelled));
        cell
    }

    /// Gives the task its number, as it is spawned.
    pub(super) fn spawned(&self, number: u64) {
        self.number.set(number);
    }

    #[inline(always)]
    pub(super) fn id(&self) -> Id {
        self.number.id()
    }

    /// Returns whether the task was cancelled by a cut, and nobody has settled it yet.
    #[inline(always)]
    fn is_cut(&self) -> bool {
        // In this order: one that has not started by the time of a cut never starts.
        let cuts = self.control.cuts();
        cuts.is_some_and(|cuts| {
            let status = self.status.load(Acquire);
            status != SETTLED && cuts.reach(self.id(), status == ACTIVE)
        })
    }

    /// Returns whether the task has ended.
    pub(super) fn is_settled(&self) -> bool {
        // In this order: the scope settles all below a cut, and then takes the cut back.
        self.is_cut() || self.status.load(Acquire) == SETTLED
    }

    /// Counts the task as started, unless it has been cancelled. Returns the status before.
    #[inline(always)]
    pub(super) fn start(&self) -> u8 {
        self.control.count(|counts| {
            let before = self.status.load(Relaxed);
            if before >= ACTIVE {
                return before;
            }
            if counts.is_cut(self.id(), false) {
                return SETTLED;
            }
            self.status.store(ACTIVE, Release);
            counts.started(before == RESERVED);
            before
        })
    }

    /// Ends a task that has run to its end: what mostly happens, and then as [`settle`](Self::settle) does.
    #[inline(always)]
    pub(super) fn finish(&self, result: Result<T, TaskError>) {
        let mut result = Some(result);
        let notify = self.slot.with(|slot| {
            if slot.detached {
                return None;
            }
            let is_active = || self.status.load(Relaxed) == ACTIVE;
            let settle = || {
                self.status.store(SETTLED, Release);
                slot.notify.waiter(&self.control)
            };
            slot.order = self.control.end_of(self.id(), is_active, settle)?;
            slot.result = result.take();
            Some(mem::replace(&mut slot.notify, Notify::Nobody))
        });
        match notify {
            Some(notify) => notify.notify(),
            None => {
                self.settle(result, Limit::NotEnded, false);
            }
        }
    }

    /// Ends the task, unless it has ended or come further than `limit`. Without a result it is cancelled. With `drop_soon`, the
    /// scope is asked to drop it.
    ///
    /// Returns whether it is this call that has ended the task.
    pub(super) fn settle(&self, result: Option<Result<T, TaskError>>, limit: Limit, drop_soon: bool) -> bool {
        // What is not kept is dropped, and those concerned are notified, when the locks are released.
        let mut result = result;
        let settled = self.slot.with(|slot| {
            let settled = self.control.with(|state| {
                let before = self.status.load(Relaxed);
                if before == SETTLED || (before == ACTIVE && limit == Limit::NotStarted) {
                    return None;
                }
                let is_cut = state.counts.is_cut(self.id(), before == ACTIVE);
                let has_ended = result.is_some() && before == ACTIVE && !is_cut;
                let mut claim = None;
                if !is_cut {
                    claim = state.lending.forget(self.id());
                    if has_ended {
                        state.counts.ended();
                    } else {
                        state.counts.cancelled(before == ACTIVE, before == RESERVED);
                    }
                    if drop_soon {
                        state.drop_soon(self.number.get());
                    }
                }
                slot.order = state.counts.settled();
                self.status.store(SETTLED, Release);
                state.done(&self.control, slot.notify.waiter(&self.control));
                Some((has_ended, is_cut, claim))
            });
            let (has_ended, is_cut, claim) = settled?;
            if !slot.detached {
                slot.result = if has_ended { result.take() } else { Some(Err(TaskError::Cancelled)) };
            }
            Some((mem::replace(&mut slot.notify, Notify::Nobody), is_cut, claim))
        });
        if result.is_some() {
            // A panic of an output's destructor stays with the task.
            contain_and_forget(|| drop(result));
        }
        let Some((notify, is_cut, claim)) = settled else { return false };
        drop(claim);
        notify.notify();
        !is_cut
    }

    /// Cancels the task, unless it has come further than `limit`.
    pub(super) fn cancel(&self, limit: Limit) -> bool {
        let cancelled = self.settle(None, limit, true);
        if cancelled {
            self.control.wake();
        }
        cancelled
    }

    /// Returns whether the task has ended, and settles it if it was cancelled by a cut.
    #[inline(always)]
    pub(super) fn is_settled_now(&self) -> bool {
        self.status.load(Acquire) == SETTLED || (self.is_cut() && self.settle_cut())
    }

    #[cold]
    fn settle_cut(&self) -> bool {
        self.settle(None, Limit::NotEnded, false);
        true
    }

    /// Settles the task if it was cancelled by a cut.
    #[inline(always)]
    fn look_whether_cancelled(&self) {
        if self.is_cut() {
            self.settle_cut();
        }
    }

    /// Returns whether the task has ended, or has only been started if that is enough. If not, `waker` will be woken
    /// when it has; when it has ended, `waiter` gets a slot or claims one.
    pub(super) fn poll(&self, waker: &Waker, waiter: Waiter, start_is_enough: bool) -> bool {
        self.look_whether_cancelled();
        let mut new = None;
        loop {
            let registered = self.slot.with(|slot| {
                let status = if start_is_enough { self.await_start() } else { self.status.load(Acquire) };
                if status == SETTLED || (start_is_enough && status == ACTIVE) {
                    return Some((true, Notify::Nobody));
                }
                match &mut slot.notify {
                    Notify::Waker(old, for_whom) if old.will_wake(waker) => {
                        *for_whom = waiter;
                        Some((false, Notify::Nobody))
                    }
                    _ => new.take().map(|new| (false, mem::replace(&mut slot.notify, Notify::Waker(new, waiter)))),
                }
            });
            match registered {
                // The old waker is dropped here, after the lock.
                Some((done, _)) => return done,
                None => new = Some(waker.clone()),
            }
        }
    }

    /// Asks to be told when the task starts. Returns the status.
    fn await_start(&self) -> u8 {
        self.control.count(|_| {
            let status = self.status.load(Relaxed);
            if status == WAITING {
                self.status.store(AWAITED, Release);
            }
            status
        })
    }

    /// Tells whoever waits for the start that it has come.
    pub(super) fn tell_of_start(&self) {
        // Who has got the handle meanwhile waits for the end, and need not be a waker.
        let notify = self.slot.with(|slot| match slot.notify {
            Notify::Waker(..) => mem::replace(&mut slot.notify, Notify::Nobody),
            _ => Notify::Nobody,
        });
        if let Notify::Waker(waker, _) = notify {
            wake_and_contain(waker);
        }
    }
}
