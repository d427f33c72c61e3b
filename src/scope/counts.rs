//! [`Counts`]: how many tasks wait, are active and have ended, by one equation.
//!
//! ```text
//! spawned = passed + waiting
//!    live = active + lent
//!     len = waiting + live
//! ```
//!
//! | term | what it is | where it changes |
//! |---|---|---|
//! | `spawned` | the tasks that were ever spawned, which is the number of the next one | [`Inbox`](super::hub::Inbox), under its lock; it only rises |
//! | `passed` | those that do not wait any more: started, or cancelled before that | [`started`](Counts::started), [`cancelled`](Counts::cancelled), [`cancel_waiting`](Counts::cancel_waiting) |
//! | `live` | those started that have not ended | [`started`](Counts::started), [`ended`](Counts::ended), [`cancelled`](Counts::cancelled), [`cancel_all`](Counts::cancel_all) |
//! | `lent` | those live whose slots are lent | [`Lending::change`](super::lending::Lending::change) |
//!
//! `waiting`, `active` and `len` are not counted, they follow. All terms but `spawned` are behind the one lock of
//! [`Control`](super::control::Control), under which it is also decided what becomes of a task: a task is counted as started,
//! ended or cancelled by whoever changes its status, in the same critical section. So there is one order of these events
//! for all threads, and each task is in one term, once. `spawned` only rises: whoever reads it under the lock sees all tasks
//! whose other events were counted.
//!
//! All tasks are cancelled by a *cut*: those with numbers below it are counted out at once, by two assignments, and none of
//! them is counted any more, whatever happens to it later.
//!
//! A *reservation*, which is the place in the queue that `map` has for an item it still holds, is a task that has passed
//! from the beginning: it does not count as waiting, and when it starts, it is live.

use super::control::Id;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Counts {
    passed: usize,
    live: usize,
    /// How many reservations there are that have neither started nor been given up.
    reserved: usize,
    /// How many tasks have run to their end, ever; wraps around.
    executed: usize,
    /// How many were settled, ever: the order in which they were. Wraps around.
    settled: usize,
    /// Below which numbers tasks were cancelled together, as long as some of these may still be somewhere.
    cuts: Option<Cuts>,
}

/// The numbers below which tasks are cancelled: those that had not started; and all, if there is such a cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) waiting: Id,
    pub(super) all: Option<Id>,
}

impl Cuts {
    /// Returns whether a task is cancelled that had started, or had not.
    pub(super) fn reach(self, task: Id, has_started: bool) -> bool {
        if has_started { self.all.is_some_and(|all| is_before(task, all)) } else { is_before(task, self.waiting) }
    }
}

/// Returns whether a difference of numbers that wrap around is less than 0.
fn is_negative(difference: usize) -> bool {
    difference > usize::MAX / 2
}

/// Returns whether a task was spawned before another, of numbers of which only the low bits are known.
pub(super) fn is_before(task: Id, other: Id) -> bool {
    is_negative(task.wrapping_sub(other))
}

impl Counts {
    pub(super) fn waiting(&self, spawned: usize) -> usize {
        spawned.wrapping_sub(self.passed)
    }

    pub(super) fn active(&self, lent: usize) -> usize {
        debug_assert!(lent <= self.live, "only live tasks lend");
        self.live - lent
    }

    pub(super) fn len(&self, spawned: usize) -> usize {
        self.waiting(spawned) + self.live
    }

    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    pub(super) fn executed(&self) -> usize {
        self.executed
    }

    /// A place in the queue was reserved: `spawned` has risen by one, or is about to.
    pub(super) fn reserve(&mut self) {
        self.passed = self.passed.wrapping_add(1);
        self.reserved += 1;
    }

    /// A task has started that is not below a cut.
    #[inline(always)]
    pub(super) fn started(&mut self, was_reserved: bool) {
        self.live += 1;
        if was_reserved {
            self.reserved -= 1;
        } else {
            self.passed = self.passed.wrapping_add(1);
        }
    }

    /// A task has run to its end that is not below a cut.
    #[inline(always)]
    pub(super) fn ended(&mut self) {
        self.live -= 1;
        self.executed = self.executed.wrapping_add(1);
    }

    /// A task was cancelled that is not below a cut.
    pub(super) fn cancelled(&mut self, had_started: bool, was_reserved: bool) {
        if had_started {
            self.live -= 1;
        } else if was_reserved {
            self.reserved -= 1;
        } else {
            self.passed = self.passed.wrapping_add(1);
        }
    }

    /// A task was settled: returns the number of its turn in that.
    #[inline(always)]
    pub(super) fn settled(&mut self) -> usize {
        self.settled = self.settled.wrapping_add(1);
        self.settled
    }

    /// Cancels all tasks that have not started; returns how many there were.
    pub(super) fn cancel_waiting(&mut self, spawned: usize) -> usize {
        let waiting = self.waiting(spawned);
        self.passed = spawned;
        self.reserved = 0;
        self.cuts = Some(Cuts { waiting: spawned, all: self.cuts.and_then(|cuts| cuts.all) });
        waiting
    }

    /// Cancels all tasks; returns how many there were. No slots may be lent any more.
    pub(super) fn cancel_all(&mut self, spawned: usize) -> usize {
        let len = self.cancel_waiting(spawned) + self.live;
        self.live = 0;
        self.cuts = Some(Cuts { waiting: spawned, all: Some(spawned) });
        len
    }

    /// Returns the cuts as long as there may be tasks below them.
    pub(super) fn cuts(&self) -> Option<Cuts> {
        self.cuts
    }

    /// Returns whether a task is below a cut, and so was counted out.
    #[inline(always)]
    pub(super) fn is_cut(&self, task: Id, has_started: bool) -> bool {
        self.cuts.is_some_and(|cuts| cuts.reach(task, has_started))
    }

    /// All tasks below these cuts are gone. Returns whether these are all the cuts that there are.
    pub(super) fn swept(&mut self, cuts: Cuts) -> bool {
        self.cuts = self.cuts.filter(|&later| later != cuts);
        self.cuts.is_none()
    }
}
