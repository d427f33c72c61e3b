//! [`Control`]: what a scope, its handles and its tasks share, apart from the tasks themselves.
//!
//! Everything that is decided, is decided under its one lock: [what is counted](super::counts), [who lends](super::lending) and
//! [who waits for an end](super::ends). What is also read at each poll of a task is published in atomics, which are written under
//! the lock.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::Waker;

use super::counts::{Counts, Cuts};
use super::ends::Ends;
use super::lending::{Claim, Lending, Waiter};
use crate::lock::Lock;
use crate::panic::{contain_and_forget, wake_and_contain};
#[cfg(feature = "std")]
use crate::sync::per_thread;
use crate::sync::{AtomicBool, AtomicU8, AtomicUsize};

/// Identifies a task among those that are alive: the low bits of its number.
pub(super) type Id = usize;

/// Which cuts there are: none, one of those that wait, or one of all.
const NO_CUT: u8 = 0;
const CUT_WAITING: u8 = 1;
const CUT: u8 = 2;

/// See the [module](self).
pub(super) struct Control {
    size: AtomicUsize,
    paused: AtomicBool,
    /// Whether the scope has yet to learn of any of these, or that tasks were cancelled by a cut.
    stale: AtomicBool,
    /// How many tasks were spawned: written under the lock of the inbox.
    spawned: AtomicUsize,
    // Published: written under the lock.
    /// How many tasks have lent their slots, how many of these claim one, and of how many something is known.
    lent: AtomicUsize,
    claims: AtomicUsize,
    lenders: AtomicUsize,
    /// How many operations wait for an end.
    waiters: AtomicUsize,
    /// The cuts, as long as there may be tasks below them.
    sweeping: AtomicU8,
    cut: AtomicUsize,
    cut_waiting: AtomicUsize,
    /// Whether handles keep the scope from ending.
    kept: AtomicBool,
    /// Whether a task has failed, with which the scope ends.
    failed: AtomicBool,
    /// The thread on which the scope is being polled, or 0.
    scope_thread: AtomicUsize,
    // Written by whoever polls a task.
    /// The thread on which a task is being polled, or 0; that task; and its waker.
    polling_thread: AtomicUsize,
    polling_task: AtomicUsize,
    polling_waker: AtomicUsize,
    /// How deep that poll is in operations of `lend`.
    lends: AtomicUsize,
    /// Wakes the scope to look for requests.
    scope: Waker,
    state: Lock<State>,
}

/// What the lock is around.
#[derive(Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) lending: Lending,
    pub(super) ends: Ends,
    /// Tasks that were cancelled and whose futures the scope has yet to drop.
    cancelled: Vec<u64>,
    /// Whether the scope has ended.
    pub(super) is_closed: bool,
}

/// Identifies the thread: not 0.
fn this_thread() -> usize {
    #[cfg(feature = "std")]
    {
        use core::ptr;
        per_thread! {
            static MARK: u8 = 0;
        }
        MARK.with(|mark| ptr::from_ref(mark).addr())
    }
    // Without the standard library, no handle can leave its thread.
    #[cfg(not(feature = "std"))]
    1
}

impl State {
    pub(super) fn active(&self) -> usize {
        self.counts.active(self.lending.lent())
    }

    pub(super) fn len(&self, control: &Control) -> usize {
        self.counts.len(control.spawned())
    }

    /// Has the scope drop a task that was cancelled.
    pub(super) fn drop_soon(&mut self, number: u64) {
        self.cancelled.push(number);
    }

    /// Returns whether a task was cancelled by itself or another, and is yet to be dropped.
    #[expect(clippy::cast_possible_truncation)]
    fn is_to_be_dropped(&self, task: Id) -> bool {
        self.cancelled.iter().any(|&number| number as Id == task)
    }

    /// Returns whether fewer tasks are active than may be.
    fn has_room(&self, control: &Control) -> bool {
        self.active() < control.size()
    }

    /// An operation is over that a task may have waited for.
    pub(super) fn done(&mut self, control: &Control, waiter: Waiter) {
        if waiter != Waiter::NOBODY {
            // On another thread, the scope may be starting a task in the slot that is free here.
            let has_room = control.is_in_scope() && self.has_room(control);
            self.lending.done(waiter, has_room);
        }
    }
}

impl Control {
    pub(super) fn new(size: usize, is_kept: bool, scope: Waker) -> Self {
        let zero = AtomicUsize::default;
        Self {
            size: AtomicUsize::new(size.max(1)),
            paused: AtomicBool::new(false),
            stale: AtomicBool::new(false),
            spawned: zero(),
            lent: zero(),
            claims: zero(),
            lenders: zero(),
            waiters: zero(),
            sweeping: AtomicU8::new(NO_CUT),
            cut: zero(),
            cut_waiting: zero(),
            kept: AtomicBool::new(is_kept),
            failed: AtomicBool::new(false),
            scope_thread: zero(),
            polling_thread: zero(),
            polling_task: zero(),
            polling_waker: zero(),
            lends: zero(),
            scope,
            state: Lock::new(State::default()),
        }
    }

    /// Wakes the scope to look for requests. A panic of its task's waker is no affair of whoever makes them.
    pub(super) fn wake(&self) {
        contain_and_forget(|| self.scope.wake_by_ref());
    }

    // The lock.

    /// Calls `f`, which must be short and must not call code of the user's, with what is decided here, and publishes what it has
    /// changed.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(|state| {
            let result = f(state);
            self.publish(state);
            result
        })
    }

    fn publish(&self, state: &State) {
        self.claims.store(state.lending.claims(), Release);
        self.lent.store(state.lending.lent(), Release);
        self.lenders.store(state.lending.lenders(), Release);
        self.waiters.store(state.ends.len(), Release);
    }

    /// The same for what changes the counts alone.
    #[inline(always)]
    pub(super) fn count<R>(&self, f: impl FnOnce(&mut Counts) -> R) -> R {
        self.state.with(|state| f(&mut state.counts))
    }

    /// The same for the entries of operations. `f` is also told whether a slot is free.
    pub(super) fn lending<R>(&self, f: impl FnOnce(&mut Lending, bool) -> R) -> R {
        self.with(|state| {
            let has_room = state.has_room(self);
            f(&mut state.lending, has_room)
        })
    }

    // Settings.

    pub(super) fn size(&self) -> usize {
        self.size.load(Acquire)
    }

    pub(super) fn set_size(&self, size: usize) {
        self.size.store(size.max(1), Release);
        self.make_stale();
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Acquire)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Release);
        self.make_stale();
    }

    /// Returns whether the scope has yet to learn of new settings, or of a cut.
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Acquire)
    }

    /// Called before the scope looks at these.
    pub(super) fn refresh(&self) {
        self.stale.store(false, Release);
    }

    /// Tells the scope of them.
    fn make_stale(&self) {
        self.stale.store(true, Release);
        self.wake();
    }

    // Counts.

    pub(super) fn spawned(&self) -> usize {
        self.spawned.load(Acquire)
    }

    /// Called under the lock of the inbox.
    pub(super) fn count_spawned(&self, total: u64) {
        // Counters wrap around where a word has 32 bits, and so do their differences.
        #[expect(clippy::cast_possible_truncation)]
        self.spawned.store(total as usize, Release);
    }

    pub(super) fn waiting(&self) -> usize {
        self.count(|counts| counts.waiting(self.spawned()))
    }

    pub(super) fn active(&self) -> usize {
        self.state.with(|state| state.active())
    }

    /// How many tasks have not ended: those waiting and active, and those that have lent their slots.
    pub(super) fn len(&self) -> usize {
        self.count(|counts| counts.len(self.spawned()))
    }

    pub(super) fn executed(&self) -> usize {
        self.count(|counts| counts.executed())
    }

    /// Returns whether as many are waiting or active as may be active.
    pub(super) fn is_full(&self) -> bool {
        self.state.with(|state| state.counts.waiting(self.spawned()) + state.active() >= self.size())
    }

    /// How many items `map` may make tasks without waiting for its turn. A task may fill its own slot, which it lends as soon
    /// as it waits.
    pub(super) fn room(&self) -> usize {
        let own = usize::from(self.polling().is_some());
        self.state.with(|state| {
            if state.is_closed {
                // What is spawned now is cancelled immediately.
                return usize::MAX;
            }
            if self.is_paused() {
                return 0;
            }
            let taken = state.counts.waiting(self.spawned()) + state.counts.reserved() + state.active();
            self.size().saturating_add(own).saturating_sub(taken)
        })
    }

    /// How many tasks have lent their slots, and how many of these claim one: for the engine, at each poll.
    pub(super) fn lent(&self) -> (usize, usize) {
        // Another thread may be taking one off both, first off the first.
        let claims = self.claims.load(Acquire);
        let lent = self.lent.load(Acquire);
        (lent, claims.min(lent))
    }

    // Cancelling.

    /// Counts a task that has run to its end, unless it was cancelled: by a cut, or by a settlement after which it is not active
    /// any more. Returns the number of its turn in being settled.
    ///
    /// `settle` is called to record it, and returns who has waited for that.
    #[inline(always)]
    pub(super) fn end_of(
        &self,
        task: Id,
        is_active: impl FnOnce() -> bool,
        settle: impl FnOnce() -> Waiter,
    ) -> Option<usize> {
        let (order, claim) = self.state.with(|state| {
            if !is_active() || state.counts.is_cut(task, true) {
                return None;
            }
            state.counts.ended();
            let waiter = settle();
            let claim = if state.lending.lenders() == 0 { None } else { self.end_of_lender(state, task, waiter) };
            Some((state.counts.settled(), claim))
        })?;
        drop(claim);
        Some(order)
    }

    /// The same for what is known of the tasks that lend.
    #[cold]
    fn end_of_lender(&self, state: &mut State, task: Id, waiter: Waiter) -> Option<Claim> {
        let claim = state.lending.forget(task);
        state.done(self, waiter);
        self.publish(state);
        claim
    }

    /// Takes the tasks that were cancelled and have yet to be dropped.
    pub(super) fn take_cancelled(&self, into: &mut VecDeque<u64>) {
        let cancelled = self.state.with(|state| mem::take(&mut state.cancelled));
        into.extend(cancelled);
    }

    /// Cancels all tasks spawned so far, and returns how many there were.
    pub(super) fn cancel_all(&self) -> usize {
        let (len, dropped) = self.with(|state| {
            let dropped = state.lending.forget_all();
            let len = state.counts.cancel_all(self.spawned());
            self.publish_cuts(&state.counts);
            (len, dropped)
        });
        drop(dropped);
        self.make_stale();
        len
    }

    /// Cancels all tasks spawned so far that have not started, and returns how many there were.
    pub(super) fn cancel_waiting(&self) -> usize {
        let waiting = self.with(|state| {
            let waiting = state.counts.cancel_waiting(self.spawned());
            self.publish_cuts(&state.counts);
            waiting
        });
        self.make_stale();
        waiting
    }

    fn publish_cuts(&self, counts: &Counts) {
        if let Some(cuts) = counts.cuts() {
            self.cut_waiting.store(cuts.waiting, Release);
            self.cut.store(cuts.all.unwrap_or(0), Release);
            self.sweeping.store(if cuts.all.is_some() { CUT } else { CUT_WAITING }, Release);
        }
    }

    /// Returns the cuts as long as there may be tasks below them.
    #[inline(always)]
    pub(super) fn cuts(&self) -> Option<Cuts> {
        let sweeping = self.sweeping.load(Acquire);
        if sweeping == NO_CUT {
            return None;
        }
        let all = (sweeping == CUT).then(|| self.cut.load(Acquire));
        Some(Cuts { waiting: self.cut_waiting.load(Acquire), all })
    }

    /// Returns whether a task is below a cut. What it returns for one that is not settled, holds.
    #[inline(always)]
    pub(super) fn is_cut(&self, task: Id, has_started: bool) -> bool {
        self.cuts().is_some_and(|cuts| cuts.reach(task, has_started))
    }

    /// Records that all tasks below these cuts are dropped.
    pub(super) fn swept(&self, cuts: Cuts) {
        self.state.with(|state| {
            if state.counts.swept(cuts) {
                self.sweeping.store(NO_CUT, Release);
            }
        });
    }

    // The end.

    /// A task has failed, and the scope ends with that: all tasks are cancelled.
    pub(super) fn fail(&self) {
        self.failed.store(true, Release);
        self.cancel_all();
    }

    #[inline(always)]
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// No handle keeps the scope any more.
    pub(super) fn release(&self) {
        self.kept.store(false, Release);
        self.wake();
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Acquire)
    }

    // Where a poll is.

    /// Marks the scope as being polled, until the guard is dropped.
    pub(super) fn enter_scope(&self) -> Mark<'_> {
        self.scope_thread.store(this_thread(), Relaxed);
        Mark { thread: &self.scope_thread }
    }

    /// Returns whether this is called inside a poll of the scope.
    fn is_in_scope(&self) -> bool {
        self.scope_thread.load(Relaxed) == this_thread()
    }

    /// Marks a task as being polled, until the guard is dropped.
    #[inline(always)]
    pub(super) fn enter(&self, task: Id, waker: &Waker) -> Mark<'_> {
        if self.lenders.load(Relaxed) != 0 {
            self.begin_poll(task);
        }
        self.polling_task.store(task, Relaxed);
        self.polling_waker.store(address(waker), Relaxed);
        self.polling_thread.store(this_thread(), Relaxed);
        Mark { thread: &self.polling_thread }
    }

    #[cold]
    fn begin_poll(&self, task: Id) {
        let expired = self.with(|state| state.lending.begin_poll(task));
        drop(expired);
    }

    /// Called when a poll of a task has ended that is pending. Returns whether it has to be polled once more.
    #[inline(always)]
    pub(super) fn end_poll(&self, task: Id) -> bool {
        self.lenders.load(Relaxed) != 0 && self.end_poll_of_lender(task)
    }

    #[cold]
    fn end_poll_of_lender(&self, task: Id) -> bool {
        let (again, dropped) = self.with(|state| state.lending.end_poll(task));
        drop(dropped);
        again
    }

    /// Returns the task inside which this is called, if it is one of this scope's.
    #[inline(always)]
    pub(super) fn polling(&self) -> Option<Id> {
        // Whoever reads its own thread there has written it, or the scope has on this thread, further up the stack.
        let thread = self.polling_thread.load(Relaxed);
        (thread != 0 && thread == this_thread()).then(|| self.polling_task.load(Relaxed))
    }

    /// Returns whether this is the waker of the task inside which this is called.
    pub(super) fn is_polling_with(&self, waker: &Waker) -> bool {
        self.polling_waker.load(Relaxed) == address(waker)
    }

    /// Marks a future of `lend` as being polled, until the guard is dropped.
    pub(super) fn enter_lend(&self) -> Option<LendMark<'_>> {
        self.polling()?;
        self.lends.store(self.lends.load(Relaxed) + 1, Relaxed);
        Some(LendMark { lends: &self.lends })
    }

    /// Returns whether this is called inside a future of `lend`, in a task.
    pub(super) fn is_lending(&self) -> bool {
        self.lends.load(Relaxed) > 0 && self.polling().is_some()
    }

    // Lending.

    /// Enters an operation that is pending in the task that is being polled, unless that is cancelled.
    pub(super) fn enter_wait(&self, task: Id, old: Waiter, is_own: bool, is_lend: bool) -> Waiter {
        self.with(|state| {
            if state.counts.is_cut(task, true) || (!state.lending.knows(task) && state.is_to_be_dropped(task)) {
                return Waiter::NOBODY;
            }
            state.lending.enter(task, old, is_own, is_lend)
        })
    }

    /// Takes all entries of a task back that has ended.
    #[inline(always)]
    pub(super) fn forget(&self, task: Id) {
        if self.lenders.load(Acquire) != 0 {
            let claim = self.with(|state| state.lending.forget(task));
            drop(claim);
        }
    }

    // Serving.

    /// Called before the scope rests, and now and then: grants claims, and wakes those whose end has come.
    #[inline(always)]
    pub(super) fn serve(&self) {
        if self.claims.load(Relaxed) != 0 {
            self.grant();
        }
        if self.waiters.load(Relaxed) != 0 {
            self.end_waits();
        }
    }

    /// Gives free slots to those who claim one, and wakes them.
    #[cold]
    fn grant(&self) {
        loop {
            let granted = self.with(|state| if state.has_room(self) { state.lending.grant() } else { None });
            let Some(wakers) = granted else { break };
            for waker in wakers {
                wake_and_contain(waker);
            }
        }
    }

    /// Wakes those who wait for an end that has come.
    #[cold]
    fn end_waits(&self) {
        let mut wakers = Vec::new();
        self.with(|state| state.end_waits(self, &mut wakers));
        for waker in wakers {
            wake_and_contain(waker);
        }
    }

    /// The scope has ended: wakes whoever waits for anything.
    pub(super) fn close(&self) {
        let mut wakers = Vec::new();
        let dropped = self.with(|state| {
            state.is_closed = true;
            let dropped = state.lending.forget_all();
            state.counts.cancel_all(self.spawned());
            self.publish_cuts(&state.counts);
            state.end_waits(self, &mut wakers);
            dropped
        });
        drop(dropped);
        for waker in wakers {
            wake_and_contain(waker);
        }
    }
}

/// Identifies a waker among those that are alive.
#[inline(always)]
fn address(waker: &Waker) -> usize {
    waker.data().addr()
}

/// The scope, or a task, is being polled on this thread.
pub(super) struct Mark<'a> {
    thread: &'a AtomicUsize,
}

impl Drop for Mark<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.thread.store(0, Relaxed);
    }
}

/// A future of `lend` is being polled on this thread.
pub(super) struct LendMark<'a> {
    lends: &'a AtomicUsize,
}

impl Drop for LendMark<'_> {
    fn drop(&mut self) {
        self.lends.store(self.lends.load(Relaxed) - 1, Relaxed);
    }
}
