//! [`Control`]: what a scope, its handles and its tasks share, apart from the waiting tasks themselves.
//!
//! # Counts
//!
//! Nothing is counted twice: there are counters of what has happened, each written by one party, and what is waiting or
//! active follows from them. The counters of the hot path are written by the scope alone (or, as tasks are spawned, under
//! the lock of its inbox), so they need no locked operation.
//!
//! # Lending
//!
//! A task that waits for its own scope *lends* its slot: it is not active meanwhile, and another task may run. So work
//! that forks and joins needs no slot to wait in, and ends at any size.
//!
//! - The operations that wait (a [`Task`](super::Task), `exec`, `map`, `itermap`, `join`) know whether they are polled
//!   inside a task of their scope, by the mark that the task leaves while it is polled; the mark names the thread, so a
//!   handle that was moved elsewhere is not mistaken for the task. While they are pending, each is entered as a *wait* of
//!   that task, until it is over or dropped. The entry outlives a single poll, since a combinator in between need not
//!   poll it every time.
//! - A task that returns `Pending` with a wait entered is lent.
//! - A lent task that is woken takes a free slot again before it continues. If there is none it *claims* one: claims are
//!   served in their order, and before anything that waits to start.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::Waker;

use hashbrown::HashMap;

use crate::finished::NumberHasher;
use crate::lock::Lock;
use crate::panic::{contain_and_forget, wake_and_contain};
#[cfg(feature = "std")]
use crate::sync::per_thread;
use crate::sync::{AtomicBool, AtomicUsize};

/// How often the scope looks before it offers room that was offered to one who does not answer to the next.
const PATIENCE: u8 = 32;

/// Identifies a task among those that are alive: the low bits of its number.
pub(super) type Id = usize;

/// See the [module](self).
pub(super) struct Control {
    size: AtomicUsize,
    paused: AtomicBool,
    /// Whether the scope has yet to learn of any of these, or that all tasks are cancelled.
    stale: AtomicBool,
    /// How many tasks were spawned.
    spawned: AtomicUsize,
    /// How many were started.
    started: AtomicUsize,
    /// How many of these have run to their end.
    ended: AtomicUsize,
    /// How many were cancelled before they were started.
    cancelled_waiting: AtomicUsize,
    /// How many were cancelled after that.
    cancelled_started: AtomicUsize,
    /// How many tasks have lent their slots; written under the lock.
    lent: AtomicUsize,
    /// How many of these claim a slot; written under the lock.
    claims: AtomicUsize,
    /// How many tasks have an entry in `lenders`; written under the lock.
    lenders: AtomicUsize,
    /// How many operations wait for room or for the end; written under the lock.
    waiters: AtomicUsize,
    /// Whether all tasks with numbers below `cancel_before` are cancelled, and the scope has yet to drop them.
    cancelling: AtomicBool,
    cancel_before: AtomicUsize,
    /// `cancelled_waiting` when they were.
    cancel_base: AtomicUsize,
    /// How many of those tasks the scope has dropped so far; they are added to the counters above when all are.
    swept_waiting: AtomicUsize,
    swept_started: AtomicUsize,
    /// Whether the scope has ended.
    closed: AtomicBool,
    /// The thread on which the scope is being polled, or 0.
    scope_thread: AtomicUsize,
    /// The thread on which a task is being polled, or 0; and that task.
    polling_thread: AtomicUsize,
    polling_task: AtomicUsize,
    /// Wakes the scope to look for requests.
    scope: Waker,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    /// Tasks that were cancelled and whose futures the scope has yet to drop.
    cancelled: Vec<u64>,
    lenders: HashMap<u64, Lender, BuildHasherDefault<NumberHasher>>,
    /// Tasks that claim a slot, in their order, with their wakers.
    claims: BTreeMap<u64, (Id, Waker)>,
    /// How many tasks are waiting for all the others.
    joining: usize,
    /// Who waits for the end of tasks. An entry whose end has come is gone.
    joins: BTreeMap<u64, JoinWait>,
    /// Who waits for room, in their order.
    room: BTreeMap<u64, Waker>,
    /// The one who was taken out of these, as room was offered to it, and how often the scope has looked since.
    offered: Option<(u64, u8)>,
    /// The key of the next entry in these three.
    next_key: u64,
}

/// A task with waits entered, or that has lent its slot.
#[derive(Default)]
struct Lender {
    /// How many operations that the task polls wait for its own scope.
    waits: usize,
    /// How many of these are joins.
    joins: usize,
    lent: bool,
    /// The task's entry in `claims`, while it claims a slot.
    claim: Option<u64>,
}

struct JoinWait {
    waker: Waker,
    /// The task that joins, if it is one of the scope's own.
    task: Option<Id>,
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

/// Returns whether a difference of numbers that go round is less than 0.
fn is_negative(difference: usize) -> bool {
    difference > usize::MAX / 2
}

/// Returns whether a task was spawned before another, of numbers of which only the low bits are known.
pub(super) fn is_before(task: Id, other: Id) -> bool {
    is_negative(task.wrapping_sub(other))
}

/// How often counters are read again that another thread is changing.
const TRIES: usize = 16;

/// A difference of counters that another thread may be changing: what was at one moment, or, if they never keep still,
/// rather too little; what would be less than 0 is taken as 0.
fn difference<T: Copy + PartialEq>(all: impl Fn() -> usize, gone: impl Fn() -> T, count: fn(T) -> usize) -> usize {
    let mut before = gone();
    let mut tries = TRIES;
    loop {
        let all = all();
        let after = gone();
        tries -= 1;
        if after == before || tries == 0 {
            let difference = all.wrapping_sub(count(after));
            return if is_negative(difference) { 0 } else { difference };
        }
        before = after;
    }
}

/// Counts one up. Only one thread at a time may write this counter.
fn count_up(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Release);
}

impl Control {
    pub(super) fn new(size: usize, scope: Waker) -> Self {
        let zero = AtomicUsize::default;
        Self {
            size: AtomicUsize::new(size.max(1)),
            paused: AtomicBool::new(false),
            stale: AtomicBool::new(false),
            spawned: zero(),
            started: zero(),
            ended: zero(),
            cancelled_waiting: zero(),
            cancelled_started: zero(),
            lent: zero(),
            claims: zero(),
            lenders: zero(),
            waiters: zero(),
            cancelling: AtomicBool::new(false),
            cancel_before: zero(),
            cancel_base: zero(),
            swept_waiting: zero(),
            swept_started: zero(),
            closed: AtomicBool::new(false),
            scope_thread: zero(),
            polling_thread: zero(),
            polling_task: zero(),
            scope,
            state: Lock::new(State::default()),
        }
    }

    /// Wakes the scope to look for requests. A panic of its task's waker is no affair of whoever makes them.
    pub(super) fn wake(&self) {
        contain_and_forget(|| self.scope.wake_by_ref());
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

    // Counts.

    /// How many tasks were spawned, less so many and those that were cancelled before they were started.
    fn spawned_less(&self, more: impl Fn() -> usize) -> usize {
        let gone = || {
            let is_cancelling = self.is_cancelling();
            let cancelled = self.cancelled_waiting.load(Acquire);
            let gone = if is_cancelling {
                self.cancel_before.load(Acquire).wrapping_sub(self.cancel_base.load(Acquire))
            } else {
                more()
            };
            (is_cancelling, gone.wrapping_add(cancelled))
        };
        difference(|| self.spawned.load(Acquire), gone, |(_, gone)| gone)
    }

    /// How many tasks have ended that were started: by themselves, or as they were cancelled.
    fn gone(&self) -> usize {
        self.ended.load(Acquire).wrapping_add(self.cancelled_started.load(Acquire))
    }

    pub(super) fn waiting(&self) -> usize {
        self.spawned_less(|| self.started.load(Acquire))
    }

    pub(super) fn active(&self) -> usize {
        if self.is_cancelling() {
            return 0;
        }
        difference(
            || self.started.load(Acquire),
            || (self.gone(), self.lent.load(Acquire)),
            |(gone, lent)| gone.wrapping_add(lent),
        )
    }

    /// How many tasks have not ended: those waiting and active, and those that have lent their slots.
    ///
    /// Not a sum of these, which another thread would read at two moments, and so count a task twice or not at all that
    /// starts in between.
    pub(super) fn len(&self) -> usize {
        self.spawned_less(|| self.gone())
    }

    pub(super) fn executed(&self) -> usize {
        self.ended.load(Acquire)
    }

    /// How many tasks were settled: ended by themselves, or cancelled. Rises with each.
    pub(super) fn settled(&self) -> usize {
        let settled = self.gone().wrapping_add(self.cancelled_waiting.load(Acquire));
        settled.wrapping_add(self.swept_waiting.load(Acquire)).wrapping_add(self.swept_started.load(Acquire))
    }

    /// How many tasks have lent their slots, and how many of these claim one.
    pub(super) fn lent(&self) -> (usize, usize) {
        // Another thread may be taking one off both, first off the first.
        let claims = self.claims.load(Acquire);
        let lent = self.lent.load(Acquire);
        (lent, claims.min(lent))
    }

    /// Returns whether the scope has yet to learn of new settings, or of a cancellation of all tasks.
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

    /// How many items may be made tasks by the caller. A task may fill its own slot, which it lends as soon as it waits.
    pub(super) fn room(&self) -> usize {
        if self.closed.load(Acquire) {
            // What is spawned now is cancelled immediately.
            return usize::MAX;
        }
        if self.is_paused() {
            return 0;
        }
        let own = usize::from(self.polling().is_some());
        let taken = self.spawned_less(|| self.gone().wrapping_add(self.lent.load(Acquire)));
        self.size().saturating_add(own).saturating_sub(taken)
    }

    pub(super) fn count_spawned(&self, total: u64) {
        // Counters go round where a word has 32 bits, and so do their differences.
        #[expect(clippy::cast_possible_truncation)]
        self.spawned.store(total as usize, Release);
    }

    pub(super) fn count_started(&self) {
        count_up(&self.started);
    }

    /// Counts a task out that has ended by itself.
    pub(super) fn count_ended(&self, task: Id) {
        // First, so that in between there is rather one active too many than too few.
        self.forget(task);
        count_up(&self.ended);
    }

    /// Counts a task out that was cancelled: by itself, or with all others.
    pub(super) fn count_cancelled(&self, task: Id, was_started: bool, with_all: bool) {
        let counter = match (was_started, with_all) {
            (false, false) => &self.cancelled_waiting,
            (true, false) => &self.cancelled_started,
            (false, true) => &self.swept_waiting,
            (true, true) => &self.swept_started,
        };
        self.forget(task);
        counter.fetch_add(1, Release);
    }

    // Cancelling.

    /// Asks the scope to drop a task that was cancelled.
    pub(super) fn drop_soon(&self, number: u64) {
        self.state.with(|state| state.cancelled.push(number));
        self.wake();
    }

    pub(super) fn take_cancelled(&self) -> Vec<u64> {
        self.state.with(|state| mem::take(&mut state.cancelled))
    }

    /// Cancels all tasks spawned so far, and returns how many there were.
    pub(super) fn cancel_all(&self) -> usize {
        let len = self.state.with(|_| {
            let len = self.len();
            self.cancel_before.store(self.spawned.load(Acquire), Release);
            self.cancel_base.store(self.cancelled_waiting.load(Acquire), Release);
            self.cancelling.store(true, Release);
            len
        });
        self.make_stale();
        len
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancelling.load(Acquire)
    }

    /// Returns whether a task that is not settled was cancelled by [`cancel_all`](Self::cancel_all).
    pub(super) fn is_cancelled(&self, task: Id) -> bool {
        self.is_cancelling() && is_before(task, self.cancel_before())
    }

    /// Returns the number before which all tasks are cancelled and have to be dropped.
    pub(super) fn cancel_before(&self) -> Id {
        self.cancel_before.load(Acquire)
    }

    /// Records that all tasks with numbers below `before` are dropped.
    pub(super) fn finish_cancelling(&self, before: Id) {
        self.state.with(|_| {
            let waiting = self.swept_waiting.swap(0, Relaxed);
            self.cancelled_waiting.fetch_add(waiting, Release);
            self.cancelled_started.fetch_add(self.swept_started.swap(0, Relaxed), Release);
            if self.cancel_before() == before {
                self.cancelling.store(false, Release);
            } else {
                // All were cancelled once more meanwhile.
                self.cancel_base.fetch_add(waiting, Release);
            }
        });
    }

    // Lending.

    /// Marks the scope as being polled, until the guard is dropped.
    pub(super) fn enter_scope(&self) -> Mark<'_> {
        self.scope_thread.store(this_thread(), Relaxed);
        Mark { thread: &self.scope_thread }
    }

    /// Marks a task as being polled, until the guard is dropped.
    pub(super) fn enter(&self, task: Id) -> Mark<'_> {
        self.polling_task.store(task, Relaxed);
        self.polling_thread.store(this_thread(), Relaxed);
        Mark { thread: &self.polling_thread }
    }

    /// Called when something was entered that the scope serves before it rests: wakes it unless this is called inside of
    /// it. Elsewhere the scope may be about to rest, and miss the entry.
    fn entered(&self) {
        if self.scope_thread.load(Relaxed) != this_thread() {
            self.wake();
        }
    }

    /// Returns the task inside which this is called, if it is one of this scope's.
    pub(super) fn polling(&self) -> Option<Id> {
        // Whoever reads its own thread there has written it, or the scope has on this thread, further up the stack.
        let thread = self.polling_thread.load(Relaxed);
        (thread != 0 && thread == this_thread()).then(|| self.polling_task.load(Relaxed))
    }

    /// Called before a task is polled: returns whether it has a slot. If not it will be woken when it has one.
    #[inline(always)]
    pub(super) fn regain(&self, task: Id, waker: &Waker) -> bool {
        self.lenders.load(Relaxed) == 0 || self.regain_lent(task, waker)
    }

    #[cold]
    fn regain_lent(&self, task: Id, waker: &Waker) -> bool {
        let has_slot = self.state.with(|state| {
            let free = self.claims.load(Relaxed) == 0 && self.active() < self.size();
            let Some(lender) = state.lenders.get_mut(&(task as u64)) else { return Some(true) };
            if lender.lent && lender.claim.is_none() {
                if !free {
                    return None;
                }
                lender.lent = false;
                self.lent.fetch_sub(1, Release);
            }
            Some(!lender.lent)
        });
        has_slot.unwrap_or_else(|| {
            let waker = waker.clone();
            self.state.with(|state| {
                let key = state.new_key();
                let Some(lender) = state.lenders.get_mut(&(task as u64)) else { return true };
                lender.claim = Some(key);
                state.claims.insert(key, (task, waker));
                self.claims.fetch_add(1, Release);
                false
            })
        })
    }

    /// Called when a task has returned `Pending`: lends its slot if it waits for its own scope.
    #[inline(always)]
    pub(super) fn lend(&self, task: Id) {
        if self.lenders.load(Relaxed) != 0 {
            self.lend_if_waiting(task);
        }
    }

    #[cold]
    fn lend_if_waiting(&self, task: Id) {
        self.state.with(|state| {
            if let Some(lender) = state.lenders.get_mut(&(task as u64)) {
                if lender.waits == 0 {
                    self.remove_lender(state, task);
                } else if !lender.lent {
                    lender.lent = true;
                    self.lent.fetch_add(1, Release);
                }
            }
        });
    }

    /// Gives free slots to those who claim one, and wakes them.
    fn grant(&self) {
        while self.claims.load(Relaxed) != 0 {
            let waker = self.state.with(|state| {
                if self.active() >= self.size() {
                    return None;
                }
                let (_, (task, claim)) = state.claims.pop_first()?;
                if let Some(lender) = state.lenders.get_mut(&(task as u64)) {
                    lender.claim = None;
                    lender.lent = false;
                }
                self.lent.fetch_sub(1, Release);
                self.claims.fetch_sub(1, Release);
                Some(claim)
            });
            let Some(waker) = waker else { break };
            waker.wake();
        }
    }

    /// Enters a wait of a task.
    fn begin_wait(&self, task: Id) {
        self.state.with(|state| {
            let lenders = &mut state.lenders;
            lenders.entry(task as u64).or_default().waits += 1;
            self.lenders.store(lenders.len(), Release);
        });
    }

    /// Takes a wait back. Does nothing if the task has ended.
    fn end_wait(&self, task: Id) {
        self.state.with(|state| {
            let Some(lender) = state.lenders.get_mut(&(task as u64)) else { return };
            lender.waits = lender.waits.saturating_sub(1);
            // One that has lent its slot keeps the entry until it has one again.
            if lender.waits == 0 && !lender.lent {
                self.remove_lender(state, task);
            }
        });
    }

    fn remove_lender(&self, state: &mut State, task: Id) -> Option<Lender> {
        let lender = state.lenders.remove(&(task as u64));
        self.lenders.store(state.lenders.len(), Release);
        lender
    }

    /// Takes all entries of a task back that has ended.
    #[inline(always)]
    pub(super) fn forget(&self, task: Id) {
        if self.lenders.load(Acquire) != 0 {
            self.forget_lender(task);
        }
    }

    #[cold]
    fn forget_lender(&self, task: Id) {
        let claim = self.state.with(|state| {
            let lender = self.remove_lender(state, task)?;
            state.joining -= usize::from(lender.joins > 0);
            self.lent.fetch_sub(usize::from(lender.lent), Release);
            let claim = lender.claim.and_then(|key| state.claims.remove(&key));
            self.claims.fetch_sub(usize::from(claim.is_some()), Release);
            claim
        });
        drop(claim);
    }

    // Waiting for room, and for the end.

    /// Called before the scope rests, and now and then: grants claims, and wakes those whose room or end has come.
    /// `queued` is the number of tasks in the queue; `is_idle` says that the scope is about to rest.
    pub(super) fn serve(&self, queued: usize, is_idle: bool) {
        self.grant();
        if self.waiters.load(Relaxed) != 0 {
            self.serve_joins();
            self.serve_room(queued, is_idle);
        }
    }

    /// Offers room to the first of those who wait for it, if there is any.
    ///
    /// Nobody behind it takes room before it has answered. But one that does not answer, as its task is busy or stuck,
    /// does not keep the others waiting for long.
    fn serve_room(&self, queued: usize, is_idle: bool) {
        if queued > 0 || self.room() == 0 {
            return;
        }
        let waker = self.state.with(|state| {
            if let Some((_, looks)) = &mut state.offered {
                if !is_idle && *looks < PATIENCE {
                    *looks += 1;
                    return None;
                }
                state.offered = None;
            }
            let first = state.room.pop_first();
            state.offered = first.as_ref().map(|(key, _)| (*key, 0));
            self.count_waiters(state);
            first
        });
        if let Some((_, waker)) = waker {
            wake_and_contain(waker);
        }
    }

    /// Wakes those who wait for the end of tasks, if it has come.
    fn serve_joins(&self) {
        let wakers = self.state.with(|state| self.end_joins(state));
        for waker in wakers {
            wake_and_contain(waker);
        }
    }

    /// Takes out all joins whose end has come, and returns whom to wake.
    fn end_joins(&self, state: &mut State) -> Vec<Waker> {
        let len = self.len();
        let mut wakers = Vec::new();
        if len > state.joining || state.joins.is_empty() {
            return wakers;
        }
        let ended = if len == 0 {
            mem::take(&mut state.joins)
        } else {
            let (inside, outside) = mem::take(&mut state.joins).into_iter().partition(|(_, join)| join.task.is_some());
            state.joins = outside;
            inside
        };
        for join in ended.into_values() {
            wakers.push(join.waker);
            state.end_join(join.task);
        }
        self.count_waiters(state);
        wakers
    }

    fn count_waiters(&self, state: &State) {
        let offered = usize::from(state.offered.is_some());
        self.waiters.store(state.joins.len() + state.room.len() + offered, Release);
    }

    /// Wakes whoever waits for anything, as the scope has ended.
    pub(super) fn close(&self) {
        self.closed.store(true, Release);
        self.serve_joins();
        let room = self.state.with(|state| {
            let room = mem::take(&mut state.room);
            self.count_waiters(state);
            room
        });
        for waker in room.into_values() {
            wake_and_contain(waker);
        }
    }
}

/// The scope, or a task, is being polled on this thread.
pub(super) struct Mark<'a> {
    thread: &'a AtomicUsize,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.thread.store(0, Relaxed);
    }
}

/// Enters with the scope that the task in which an operation is polled waits for it.
///
/// The owner of this and the next two takes everything back with `end` before they are dropped.
#[derive(Default)]
pub(super) struct Wait {
    task: Option<Id>,
}

impl Wait {
    /// Enters that the operation is pending: to be called whenever it is about to return so.
    #[inline(always)]
    pub(super) fn begin(&mut self, control: &Control) {
        let task = control.polling();
        if self.task != task {
            self.move_to(control, task);
        }
    }

    /// Takes everything back.
    #[inline(always)]
    pub(super) fn end(&mut self, control: &Control) {
        if self.task.is_some() {
            self.move_to(control, None);
        }
    }

    #[cold]
    fn move_to(&mut self, control: &Control, task: Option<Id>) {
        if let Some(task) = mem::replace(&mut self.task, task) {
            control.end_wait(task);
        }
        if let Some(task) = task {
            control.begin_wait(task);
        }
    }
}

/// Enters with the scope that an operation waits for room.
#[derive(Default)]
pub(super) struct RoomWait {
    wait: Wait,
    /// The entry. If it is gone, room is, or was, offered.
    key: Option<u64>,
}

impl RoomWait {
    /// Returns whether there is room, and this operation's turn to take it: nobody is in line before it. After the end of
    /// the scope there is no line.
    pub(super) fn may_take(&self, control: &Control) -> bool {
        if control.room() == 0 {
            return false;
        }
        self.key.is_none() && control.waiters.load(Acquire) == 0
            || control.closed.load(Acquire)
            || control.state.with(|state| match self.key {
                Some(key) => {
                    state.room.first_key_value().is_none_or(|(&first, _)| key <= first)
                        && state.offered.is_none_or(|(first, _)| key <= first)
                }
                None => state.room.is_empty() && state.offered.is_none(),
            })
    }

    /// Enters that the operation waits. One to whom room was offered that has gone meanwhile is the first in line.
    pub(super) fn begin(&mut self, control: &Control, waker: &Waker) {
        self.wait.begin(control);
        let entry = waker.clone();
        let old = control.state.with(|state| {
            let key = *self.key.get_or_insert_with(|| state.new_key());
            let old = state.room.insert(key, entry);
            state.offered = state.offered.filter(|(offered, _)| *offered != key);
            control.count_waiters(state);
            old
        });
        if control.closed.load(Acquire) {
            // The scope has ended meanwhile, on another thread, and may not have seen the entry.
            waker.wake_by_ref();
        } else if old.is_none() {
            control.entered();
        }
    }

    /// Takes the entry back, as the room was taken or is not wanted any more; returns whether it had been offered.
    pub(super) fn end(&mut self, control: &Control) -> bool {
        self.wait.end(control);
        let Some(key) = self.key.take() else { return false };
        let old = control.state.with(|state| {
            let old = state.room.remove(&key);
            state.offered = state.offered.filter(|(offered, _)| *offered != key);
            control.count_waiters(state);
            old
        });
        old.is_none()
    }

    /// Takes the entry back; room that was offered goes to the next in line.
    pub(super) fn give_up(&mut self, control: &Control) {
        if self.end(control) {
            control.wake();
        }
    }
}

/// Enters with the scope that an operation waits for the end of its tasks.
#[derive(Default)]
pub(super) struct EndWait {
    wait: Wait,
    /// The entry. If it is gone, the end has come.
    key: Option<u64>,
}

impl EndWait {
    /// Returns whether what a join waits for has come about: no other task, or inside a task no other but those that
    /// join as well. Enters it if not.
    pub(super) fn poll(&mut self, control: &Control, waker: &Waker) -> bool {
        let task = control.polling();
        if self.wait.task != task {
            self.end(control);
        }
        self.wait.begin(control);
        let waker = waker.clone();
        // The entry gets its waker last, so that it is not woken for what this call finds out.
        let (over, wakers, unused) = control.state.with(|state| {
            let mut wakers = Vec::new();
            let key = *self.key.get_or_insert_with(|| {
                let key = state.new_key();
                state.joins.insert(key, JoinWait { waker: Waker::noop().clone(), task });
                state.begin_join(task);
                control.count_waiters(state);
                wakers = control.end_joins(state);
                key
            });
            match state.joins.get_mut(&key) {
                Some(join) => (false, wakers, mem::replace(&mut join.waker, waker)),
                None => (true, wakers, waker),
            }
        });
        for waker in wakers {
            wake_and_contain(waker);
        }
        if over {
            self.end(control);
        } else {
            control.entered();
        }
        drop(unused);
        over
    }

    pub(super) fn end(&mut self, control: &Control) {
        let old = self.key.take().and_then(|key| {
            control.state.with(|state| {
                let old = state.joins.remove(&key);
                state.end_join(old.as_ref().and_then(|join| join.task));
                control.count_waiters(state);
                old
            })
        });
        self.wait.end(control);
        drop(old);
    }
}

impl State {
    fn new_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// Records that a join waits inside a task, or elsewhere.
    fn begin_join(&mut self, task: Option<Id>) {
        if let Some(lender) = task.and_then(|task| self.lenders.get_mut(&(task as u64))) {
            lender.joins += 1;
            self.joining += usize::from(lender.joins == 1);
        }
    }

    /// Records that it does so no more. The task may have been cancelled, and its entry be a new one.
    fn end_join(&mut self, task: Option<Id>) {
        let lender = task.and_then(|task| self.lenders.get_mut(&(task as u64)));
        if let Some(lender) = lender.filter(|lender| lender.joins > 0) {
            lender.joins -= 1;
            self.joining -= usize::from(lender.joins == 0);
        }
    }
}
