//! The law: decides what the engine does next, from numbers alone.
//!
//! [`Law`] is what a pool remembers between calls, [`Call`] (`call.rs`) what it knows of the call under way. Both are plain
//! values: no type parameter, no future, no waker. The driver (`run.rs`) does the [`Step`] that it is told to do, reports
//! what came of it, and is told the next step.
//!
//! # What is promised, and where
//!
//! 1. **No more.** The only place that lets a future start is [`Law::may_start`]; the only place that counts it is
//!    [`Law::started`], which asserts that there was a free slot. So at most `size` futures are active.
//! 2. **No less.** While polls are left, a call ends by [`Step::Offer`] or [`Step::Rest`] only when `may_start` is false or
//!    the source has nothing to start, which is asserted. So a free slot is filled before a result is handed over. Without
//!    polls left, a call hands over what is due, or wakes its task by [`Step::Yield`], and the next call continues.
//! 3. **Fair.** A call has a budget of [`POLL_BUDGET`] polls. Within it, three parties take turns of at most [`QUOTA`] polls:
//!    the woken futures, those that wait to start, and what is upstream (the pools that feed this one). The rotation
//!    continues from call to call: when the budget is used up, the first turn of the next call is the next party's. So no
//!    party is starved, however small the budget and however busy the others are.
//!
//! `law_tests.rs` makes every choice in every state, for small numbers, and asserts these three without reading the law.
//!
//! # The inputs that only some pools have
//!
//! *Weights*: the active futures weigh `active + extra_weight`, and the one that waits at the head weighs `head_weight`.
//! *Lent slots*: `lent` active futures do not use their slots at present, `claims` of these want theirs back and are counted
//! as if they used them. *Order*: when the future that may start is the one whose result is the next to be handed over, it
//! starts however many results are held, because they all wait for it.

use core::mem;

use super::call::{Budget, Call, Counts, Goal, Party, Source, Upstream};

/// The most futures that one call polls, those that it starts included.
pub(crate) const POLL_BUDGET: usize = 64;

/// The most polls of one turn.
pub(crate) const QUOTA: usize = 16;

/// By default, an ordered pool starts nothing more while it holds more results than this many times its size.
const HELD_PER_SLOT: usize = 16;

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Poll one woken future.
    PollWoken,
    /// Take one future from the source, and poll it.
    Start,
    /// Let the pools upstream make progress, with at most [`Budget::turn`] polls.
    PollUpstream,
    /// Hand over a result, or, if the goal is [`Goal::Until`], ask whether it is reached.
    Offer,
    /// Nothing can be done now. Return if nothing is left at all; otherwise park the task.
    Rest,
    /// The budget is used up. Wake the task, and return `Pending`.
    Yield,
    /// Drop everything but the result that is still wanted.
    Close,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct Law {
    size: usize,
    is_paused: bool,
    /// The most results that may be held while a future is started, if that was set.
    max_finished: Option<usize>,
    /// The largest size, and the largest bound on results, that there is room for.
    most_slots: usize,
    most_results: usize,
    /// How many futures are active.
    active: usize,
    /// What the active futures weigh beyond 1 each.
    extra_weight: usize,
    /// What the future weighs that would start next.
    head_weight: usize,
    /// How many active futures have lent their slots, and how many of these claim one.
    lent: usize,
    claims: usize,
    /// Whether the future that would start next is the one whose result is the next to be handed over.
    head_is_next: bool,
    /// Whether no more results are wanted, apart from one that is due.
    is_closed: bool,
    /// Whose turn comes first in the next call.
    first: Party,
    /// Whether the next call is a straight line: woken futures first, and no slots lent. Follows from the fields above.
    is_straight: bool,
    /// A future starts only while fewer than this are active: follows from the fields above.
    max_active: usize,
    /// A future starts only while no more results are due, and held, than this: follow from the fields above.
    max_due: usize,
    max_held: usize,
    /// How many polls there were in all calls, those upstream not included; wraps around.
    polls_used: usize,
}

impl Law {
    /// Creates the law of an empty pool. A size of 0 is taken as 1, and one above `most_slots` as that.
    #[inline]
    pub(crate) fn new(size: usize, most_slots: usize, most_results: usize) -> Self {
        let mut law = Self {
            size: size.clamp(1, most_slots),
            is_paused: false,
            max_finished: None,
            most_slots,
            most_results,
            active: 0,
            extra_weight: 0,
            head_weight: 1,
            lent: 0,
            claims: 0,
            head_is_next: false,
            is_closed: false,
            first: Party::Woken,
            is_straight: true,
            max_active: 0,
            max_due: 0,
            max_held: 0,
            polls_used: 0,
        };
        law.settings_changed();
        law
    }

    // Settings.

    /// Computes what the straight line compares with.
    #[inline]
    fn settings_changed(&mut self) {
        let slots = if self.is_paused || self.is_closed { 0 } else { self.size };
        let taken = self.claims.saturating_add(self.extra_weight).saturating_add(self.head_weight.min(self.size) - 1);
        self.max_active = slots.saturating_add(self.lent).saturating_sub(taken);
        (self.max_due, self.max_held) = match self.max_finished {
            Some(most) => (most, most),
            // Results inside the value all count, as there is no more room.
            None if self.most_results < usize::MAX => (self.size, self.size),
            None => (self.size, self.size.saturating_mul(HELD_PER_SLOT)),
        };
        self.is_straight = self.lent == 0 && self.first == Party::Woken;
    }

    /// Sets whose turn comes first in the next call.
    fn set_first(&mut self, party: Party) {
        self.first = party;
        self.is_straight = self.lent == 0 && party == Party::Woken;
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns what a size comes to with the limits of [`new`](Self::new).
    #[inline]
    pub(crate) fn limited(&self, size: usize) -> usize {
        size.clamp(1, self.most_slots)
    }

    /// Changes the size, with the same limits as [`new`](Self::new).
    pub(crate) fn set_size(&mut self, size: usize) {
        self.size = size.clamp(1, self.most_slots);
        self.settings_changed();
    }

    pub(crate) fn max_finished(&self) -> usize {
        self.max_due
    }

    /// Changes how many results may be held while a future is started. From now on every result held counts.
    pub(crate) fn set_max_finished(&mut self, results: usize) {
        self.max_finished = Some(results.min(self.most_results));
        self.settings_changed();
    }

    /// Returns whether a bound on results was set.
    #[cfg(feature = "alloc")]
    pub(crate) fn has_bound(&self) -> bool {
        self.max_finished.is_some()
    }

    /// Lifts the bound on results unless one was set: for a caller that takes each result at once and keeps them all.
    #[cfg(feature = "alloc")]
    pub(crate) fn take_all_results(&mut self) {
        self.max_finished.get_or_insert(self.most_results);
        self.settings_changed();
    }

    /// Changes for how much there is room. The size and the bound on results are kept within that.
    pub(crate) fn set_capacity(&mut self, most_slots: usize, most_results: usize) {
        (self.most_slots, self.most_results) = (most_slots, most_results);
        self.max_finished = self.max_finished.map(|results| results.min(most_results));
        self.set_size(self.size);
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Stops starting futures, or starts again.
    #[cfg(feature = "alloc")]
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.is_paused = paused;
        self.settings_changed();
    }

    /// Tells how many active futures have lent their slots, and how many of these claim one.
    #[inline(always)]
    pub(crate) fn set_lent(&mut self, lent: usize, claims: usize) {
        if (self.lent, self.claims) != (lent, claims) {
            (self.lent, self.claims) = (lent, claims);
            self.settings_changed();
        }
    }

    // Counts.

    #[inline]
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// Tells that so many active futures were cancelled.
    #[inline]
    pub(crate) fn cancelled(&mut self, futures: usize) {
        debug_assert!(futures <= self.active);
        self.active -= futures;
    }

    /// How many polls there were so far; wraps around.
    #[inline]
    pub(crate) fn polls_used(&self) -> usize {
        self.polls_used
    }

    // Who may start.

    /// Returns whether the bound on results lets a future start.
    #[inline(always)]
    fn has_result_room(&self, goal: Goal, counts: Counts) -> bool {
        // With none held but those that are due, one comparison is enough, as `max_due <= max_held`.
        (counts.due <= self.max_due && (counts.held == counts.due || counts.held <= self.max_held))
            || goal == Goal::Until
            || self.head_is_next
    }

    /// Returns whether a future may start if the source has one: **no more** than `size` are active because it is asked before
    /// each start, and **no less** because no call ends while it says yes and the source may have one.
    #[inline(always)]
    pub(crate) fn may_start(&self, goal: Goal, counts: Counts) -> bool {
        self.active < self.max_active && self.has_result_room(goal, counts)
    }

    fn wants_to_start(&self, call: &Call, counts: Counts) -> bool {
        call.source == Source::Unknown && self.may_start(call.goal, counts)
    }

    /// A future was taken from the source: it is active now.
    #[inline(always)]
    pub(crate) fn started(&mut self) {
        debug_assert!(self.active < self.max_active, "no more");
        self.active += 1;
    }

    /// The future that would start next weighs so much, at most the size, and its result is the next to be handed over, or not.
    #[allow(dead_code, reason = "for admission by weight and by key")]
    pub(super) fn set_head(&mut self, weight: usize, is_next: bool) {
        self.head_weight = weight.max(1);
        self.head_is_next = is_next;
        self.settings_changed();
    }

    /// The future that was just started weighs as much as the head did.
    #[allow(dead_code, reason = "for admission by weight")]
    pub(super) fn started_weighing(&mut self, weight: usize) {
        self.extra_weight += weight - 1;
        self.settings_changed();
    }

    /// A future that weighs so much has ended.
    #[allow(dead_code, reason = "for admission by weight")]
    pub(super) fn ended_weighing(&mut self, weight: usize) {
        debug_assert!(self.extra_weight >= weight - 1);
        self.extra_weight -= weight - 1;
        self.settings_changed();
    }

    /// A future was started for which the caller has found a free slot.
    #[cfg(feature = "alloc")]
    pub(crate) fn started_now(&mut self) {
        debug_assert!(self.active < self.size, "no more");
        self.active += 1;
    }

    /// An active future has finished.
    #[inline(always)]
    pub(crate) fn finished(&mut self) {
        debug_assert!(self.active > 0);
        self.active -= 1;
    }

    // The course of a call: the straight line. The woken futures are polled until one has finished, the slots are filled, and
    // a result is handed over.

    /// Begins a call. Returns the first step of the straight line, or `None` if the driver has to ask
    /// [where to begin](Self::begin_elsewhere). While nothing is active, that is the turn of those that wait.
    #[inline(always)]
    pub(crate) fn begin(&self, goal: Goal, has_upstream: bool, budget: usize) -> (Call, Budget, Option<Step>) {
        let is_empty = self.active == 0;
        let call = Call {
            goal,
            turn: if is_empty { Party::Waiting } else { Party::Woken },
            woken: true,
            had_turn: true,
            source: Source::Unknown,
            upstream: if has_upstream { Upstream::NotPolled } else { Upstream::Absent },
            just_asked: false,
            asked_at: budget,
            asked_idle: false,
        };
        let mut budget = Budget { left: budget, turn_end: 0 };
        budget.begin_turn(QUOTA);
        let step = if is_empty { Step::Start } else { Step::PollWoken };
        (call, budget, (self.is_straight && budget.left > 0).then_some(step))
    }

    /// Returns whether the turn of the woken futures continues.
    #[inline(always)]
    pub(crate) fn may_poll_woken(&self, budget: Budget) -> bool {
        self.active > 0 && budget.has_turn()
    }

    /// A woken future has finished: returns whether its turn is over.
    #[inline(always)]
    pub(crate) fn is_enough(&self, goal: Goal, budget: &mut Budget) -> bool {
        if self.lent > 0 {
            // Those who were woken by the one that has finished come before what waits to start.
            budget.begin_turn(self.quota_of(Party::Woken));
            return false;
        }
        // With a result to hand over, the rest of the call is for filling the slots.
        goal == Goal::Next
    }

    /// The turn of the woken futures is over, on the straight line: gives those that wait a turn, unless the budget is used up.
    #[inline(always)]
    pub(crate) fn fill_slots_next(&self, call: &mut Call, budget: &mut Budget) -> bool {
        if budget.left == 0 || self.lent > 0 {
            return false;
        }
        call.turn = Party::Waiting;
        budget.begin_turn(QUOTA);
        true
    }

    /// The turn of those that wait is over, on the straight line, and no more can start: returns whether a result is handed
    /// over now.
    #[inline(always)]
    pub(crate) fn hands_over_next(goal: Goal, budget: Budget, counts: Counts) -> bool {
        goal == Goal::Next && counts.due > 0 && budget.left > 0
    }

    /// Returns whether only one future may start in a turn, so that others can claim its slot.
    #[inline(always)]
    pub(crate) fn has_lent(&self) -> bool {
        self.lent > 0
    }

    // The rest of it: whose turn is next, or how the call ends.

    #[cold]
    #[inline(never)]
    pub(crate) fn begin_elsewhere(&mut self, call: &mut Call, budget: Budget, counts: Counts) -> (Step, Budget) {
        if self.first == Party::Closing {
            return (Step::Close, budget);
        }
        // Those who want their slots back come before what waits to start, as long as that has polls left for it, too.
        let reclaims_first = self.lent > 0 && budget.left > self.quota_of(Party::Woken);
        call.turn = if reclaims_first { Party::Woken } else { self.first }.before();
        self.set_first(Party::Woken);
        // The parties that were left out the last time come before a result is handed over.
        (call.just_asked, call.had_turn) = (budget.left > 0, false);
        self.next(call, budget, counts)
    }

    /// Passes the turn to the next party that wants it, or ends the call.
    #[cold]
    #[inline(never)]
    pub(crate) fn next(&mut self, call: &mut Call, mut budget: Budget, counts: Counts) -> (Step, Budget) {
        let step = self.pass_turn(call, &mut budget, counts);
        (step, budget)
    }

    fn pass_turn(&mut self, call: &mut Call, budget: &mut Budget, counts: Counts) -> Step {
        if budget.left == 0 {
            // The next call begins with the turn of the next party.
            self.set_first(call.turn.next());
            return match call.goal {
                Goal::Next if counts.due > 0 => Step::Offer,
                Goal::Until if !mem::take(&mut call.just_asked) => Step::Offer,
                _ => Step::Yield,
            };
        }
        if call.turn == Party::Waiting && !mem::take(&mut call.just_asked) && self.may_offer(call, *budget, counts) {
            return Step::Offer;
        }
        for _ in 0..3 {
            call.turn = call.turn.next();
            budget.begin_turn(self.quota_of(call.turn));
            match call.turn {
                Party::Woken if self.wants_to_poll(call, counts) => {
                    call.had_turn = true;
                    return Step::PollWoken;
                }
                Party::Waiting if self.wants_to_start(call, counts) => return Step::Start,
                Party::Waiting if self.may_offer(call, *budget, counts) => return Step::Offer,
                Party::Upstream if call.upstream_is_behind() => {
                    if call.goal == Goal::Next && counts.due > 0 {
                        // The result is only held back so that the pools upstream can fill their slots, too.
                        budget.begin_turn(budget.left);
                    }
                    return Step::PollUpstream;
                }
                _ => {}
            }
        }
        debug_assert!(!self.wants_to_start(call, counts), "no less");
        Step::Rest
    }

    fn quota_of(&self, party: Party) -> usize {
        match party {
            // One poll for each, so that those who want their slots back come before what waits to start.
            Party::Woken if self.lent > 0 => self.active.clamp(QUOTA, POLL_BUDGET - QUOTA),
            Party::Waiting if self.lent > 0 => 1,
            _ => QUOTA,
        }
    }

    /// Returns whether woken futures want a turn. With a result to hand over, one is enough.
    fn wants_to_poll(&self, call: &Call, counts: Counts) -> bool {
        call.woken && self.active > 0 && (call.goal != Goal::Next || counts.due == 0 || !call.had_turn)
    }

    /// Returns whether it is time to hand over, or to ask whether the goal is reached.
    fn may_offer(&self, call: &Call, budget: Budget, counts: Counts) -> bool {
        match call.goal {
            Goal::Next => {
                counts.due > 0 && call.upstream != Upstream::OutOfBudget && !self.wants_to_start(call, counts)
            }
            Goal::Progress => false,
            // Once more when nothing was polled since, as then the call is about to end.
            Goal::Until => (call.asked_at != budget.left || !call.asked_idle) && !self.wants_to_start(call, counts),
        }
    }

    // What has happened outside of the straight line.

    /// The last result that is wanted has come.
    #[cold]
    #[inline(never)]
    pub(crate) fn close(&mut self, budget: Budget) -> (Step, Budget) {
        (self.is_closed, self.first) = (true, Party::Closing);
        self.settings_changed();
        (Step::Close, budget)
    }

    /// Everything is dropped but a result that may be due.
    #[cold]
    #[inline(never)]
    pub(crate) fn closed(&mut self, call: &mut Call, budget: Budget, counts: Counts) -> (Step, Budget) {
        self.set_first(Party::Woken);
        (call.source, call.upstream) = (Source::Empty, Upstream::Absent);
        (call.turn, call.woken) = (Party::Waiting, false);
        self.next(call, budget, counts)
    }

    /// The goal is not reached.
    #[cold]
    #[inline(never)]
    pub(crate) fn declined(&mut self, call: &mut Call, budget: Budget, counts: Counts) -> (Step, Budget) {
        call.asked_idle = call.is_idle(budget);
        // A future may have been woken while the question was answered.
        (call.asked_at, call.just_asked, call.woken) = (budget.left, true, true);
        if budget.left > 0 {
            call.turn = Party::Waiting;
        }
        self.next(call, budget, counts)
    }

    /// The pools upstream were polled so often, and may have more to do.
    #[cold]
    #[inline(never)]
    pub(crate) fn upstream_polled(
        &mut self,
        call: &mut Call,
        mut budget: Budget,
        counts: Counts,
        polls: usize,
        has_more: bool,
    ) -> (Step, Budget) {
        call.upstream = if has_more { Upstream::OutOfBudget } else { Upstream::UpToDate };
        budget.left = budget.left.saturating_sub(polls);
        self.next(call, budget, counts)
    }

    /// The task was not parked, since a future was woken meanwhile. Maybe for nothing: late wake-ups count as polls, or this
    /// could continue for ever.
    #[cold]
    #[inline(never)]
    pub(crate) fn not_parked(&mut self, call: &mut Call, mut budget: Budget, counts: Counts) -> (Step, Budget) {
        budget.left -= 1;
        (call.woken, call.turn) = (true, Party::Upstream);
        self.next(call, budget, counts)
    }

    /// So many futures were polled in a call that is over.
    #[inline(always)]
    pub(crate) fn count_polls(&mut self, polls: usize) {
        self.polls_used = self.polls_used.wrapping_add(polls);
    }
}
