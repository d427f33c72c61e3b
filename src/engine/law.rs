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

use super::call::{Call, Counts, Goal, Party, Source, Upstream};

/// The most futures that one call polls, those that it starts included.
pub(crate) const POLL_BUDGET: usize = 64;

/// The most polls of one turn.
pub(crate) const QUOTA: usize = 16;

/// By default, an ordered pool starts nothing more while it holds more results than this many times its size.
const HELD_PER_SLOT: usize = 16;

/// A budget of weights counts as no more than this where something is a multiple of the size.
const MOST_FOR_DEFAULTS: usize = 64;

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Poll one woken future.
    PollWoken,
    /// Take one future from the source, and poll it.
    Start,
    /// Let the pools upstream make progress, with at most [`Call::turn_left`] polls.
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
    /// Whether the size is a budget of weights: it may be very large then, and is no measure for how many results to hold.
    is_weighted: bool,
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
            is_weighted: false,
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
    #[inline(never)]
    fn settings_changed(&mut self) {
        let slots = if self.is_paused || self.is_closed { 0 } else { self.size };
        let taken = self.claims.saturating_add(self.extra_weight).saturating_add(self.head_weight.min(self.size) - 1);
        self.max_active = slots.saturating_add(self.lent).saturating_sub(taken);
        (self.max_due, self.max_held) = match self.max_finished {
            _ if self.head_is_next => (usize::MAX, usize::MAX),
            Some(most) => (most, most),
            // Results inside the value all count, as there is no more room.
            None if self.most_results < usize::MAX => (self.size, self.size),
            None => (self.size_for_defaults(), self.size_for_defaults().saturating_mul(HELD_PER_SLOT)),
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

    /// The size that defaults are multiples of.
    pub(crate) fn size_for_defaults(&self) -> usize {
        if self.is_weighted { self.size.min(MOST_FOR_DEFAULTS) } else { self.size }
    }

    /// From now on, the size is a budget of weights.
    #[cfg(feature = "alloc")]
    pub(crate) fn set_weighted(&mut self) {
        self.is_weighted = true;
        self.settings_changed();
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
        self.max_finished.unwrap_or(self.size_for_defaults())
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
    #[inline]
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
    #[inline]
    fn has_result_room(&self, goal: Goal, counts: Counts) -> bool {
        // Mostly no result is ahead of its turn, and `max_due <= max_held`.
        (counts.due <= self.max_due && (counts.ahead == 0 || counts.due + counts.ahead <= self.max_held))
            || goal == Goal::Until
    }

    /// Returns whether a future may start if the source has one: **no more** than `size` are active because it is asked before
    /// each start, and **no less** because no call ends while it says yes and the source may have one.
    #[inline]
    pub(crate) fn may_start(&self, goal: Goal, counts: Counts) -> bool {
        self.active < self.max_active && self.has_result_room(goal, counts)
    }

    fn wants_to_start(&self, call: &Call, counts: Counts) -> bool {
        call.source == Source::Unknown && self.may_start(call.goal, counts)
    }

    /// A future was taken from the source: it is active now.
    #[inline]
    pub(crate) fn started(&mut self) {
        debug_assert!(self.active < self.max_active, "no more");
        self.active += 1;
    }

    /// The future that would start next weighs so much, at most the size, and its result is the next to be handed over, or not.
    pub(crate) fn set_head(&mut self, weight: usize, is_next: bool) {
        if (self.head_weight, self.head_is_next) != (weight, is_next) {
            (self.head_weight, self.head_is_next) = (weight, is_next);
            self.settings_changed();
        }
    }

    /// The future that was just started weighs so much.
    pub(crate) fn started_weighing(&mut self, weight: usize) {
        if weight != 1 {
            self.extra_weight += weight - 1;
            self.settings_changed();
        }
    }

    /// A future that weighs so much has ended.
    pub(crate) fn ended_weighing(&mut self, weight: usize) {
        if weight != 1 {
            debug_assert!(self.extra_weight >= weight - 1);
            self.extra_weight -= weight - 1;
            self.settings_changed();
        }
    }

    /// A future was started for which the caller has found a free slot.
    #[cfg(feature = "alloc")]
    pub(crate) fn started_now(&mut self) {
        debug_assert!(self.active < self.size, "no more");
        self.active += 1;
    }

    /// An active future has finished.
    #[inline]
    pub(crate) fn finished(&mut self) {
        debug_assert!(self.active > 0);
        self.active -= 1;
    }

    // The course of a call: the straight line. The woken futures are polled until one has finished, the slots are filled, and
    // a result is handed over.

    /// Begins a call with a turn: of the woken futures, or, while nothing is active, of those that wait. Returns `false` if the
    /// driver has to ask [where to begin](Self::begin_elsewhere).
    #[inline]
    pub(crate) fn begin(&self, call: &mut Call, is_start: &mut bool) -> bool {
        call.begin_turn(QUOTA);
        *is_start = self.active == 0;
        self.is_straight && call.left > 0
    }

    /// Returns whether the turn of the woken futures continues.
    #[inline]
    pub(crate) fn may_poll_woken(&self, call: &Call) -> bool {
        self.active > 0 && call.has_turn()
    }

    /// A woken future has finished: returns whether its turn is over.
    #[inline]
    pub(crate) fn is_enough(&self, goal: Goal, call: &mut Call) -> bool {
        if self.lent > 0 {
            // Those who were woken by the one that has finished come before what waits to start.
            call.begin_turn(self.quota_of(Party::Woken));
            return false;
        }
        // With a result to hand over, the rest of the call is for filling the slots.
        goal == Goal::Next
    }

    /// The turn of the woken futures is over: gives those that wait one, unless that is decided elsewhere.
    #[inline]
    pub(crate) fn fill_slots_next(&self, call: &mut Call) -> bool {
        if call.source != Source::Unknown || self.lent > 0 {
            return false;
        }
        call.begin_turn(QUOTA);
        true
    }

    /// The turn of those that wait is over, and no more can start. Returns what is next where that is plain: a result is handed
    /// over, the woken futures have another turn, or there is nothing to do.
    #[inline]
    pub(crate) fn slots_filled(&self, call: &mut Call, goal: Goal, counts: Counts, has_upstream: bool) -> Option<Step> {
        if goal != Goal::Next || call.left == 0 {
            return None;
        }
        if counts.due > 0 {
            return (!has_upstream || call.upstream != Upstream::OutOfBudget).then_some(Step::Offer);
        }
        if has_upstream {
            return None;
        }
        if !call.woken || self.active == 0 {
            return Some(Step::Rest);
        }
        (call.turn, call.had_turn) = (Party::Woken, true);
        call.begin_turn(QUOTA);
        Some(Step::PollWoken)
    }

    /// Returns whether only one future may start in a turn, so that others can claim its slot.
    #[inline]
    pub(crate) fn has_lent(&self) -> bool {
        self.lent > 0
    }

    // The rest of it: whose turn is next, or how the call ends.

    #[cold]
    #[inline(never)]
    pub(crate) fn begin_elsewhere(&mut self, call: &mut Call, counts: Counts) -> Step {
        if self.first == Party::Closing {
            return Step::Close;
        }
        // Those who want their slots back come before what waits to start, as long as that has polls left for it, too.
        let reclaims_first = self.lent > 0 && call.left > self.quota_of(Party::Woken);
        call.turn = if reclaims_first { Party::Woken } else { self.first }.before();
        self.set_first(Party::Woken);
        // The parties that were left out the last time come before a result is handed over.
        (call.just_asked, call.had_turn) = (call.left > 0, false);
        self.next(call, counts)
    }

    /// Passes the turn to the next party that wants it, or ends the call.
    #[cold]
    #[inline(never)]
    pub(crate) fn next(&mut self, call: &mut Call, counts: Counts) -> Step {
        if self.first == Party::Closing {
            return Step::Close;
        }
        if call.left == 0 {
            // The next call begins with the turn of the next party.
            self.set_first(call.turn.next());
            return match call.goal {
                Goal::Next if counts.due > 0 => Step::Offer,
                Goal::Until if !mem::take(&mut call.just_asked) => Step::Offer,
                _ => Step::Yield,
            };
        }
        if call.turn == Party::Waiting && !mem::take(&mut call.just_asked) && self.may_offer(call, counts) {
            return Step::Offer;
        }
        let last = call.turn;
        loop {
            call.turn = call.turn.next();
            call.begin_turn(self.quota_of(call.turn));
            match call.turn {
                Party::Woken if self.wants_to_poll(call, counts) => {
                    call.had_turn = true;
                    return Step::PollWoken;
                }
                Party::Waiting if self.wants_to_start(call, counts) => return Step::Start,
                Party::Waiting if self.may_offer(call, counts) => return Step::Offer,
                Party::Upstream if call.upstream_is_behind() => {
                    if call.goal == Goal::Next && counts.due > 0 {
                        // The result is only held back so that the pools upstream can fill their slots, too.
                        call.begin_turn(call.left);
                    }
                    return Step::PollUpstream;
                }
                _ if call.turn == last => break,
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
    fn may_offer(&self, call: &Call, counts: Counts) -> bool {
        match call.goal {
            Goal::Next => {
                counts.due > 0 && call.upstream != Upstream::OutOfBudget && !self.wants_to_start(call, counts)
            }
            Goal::Progress => false,
            // Once more when nothing was polled since, as then the call is about to end.
            Goal::Until => (!call.is_idle() || !call.asked_idle) && !self.wants_to_start(call, counts),
        }
    }

    // What has happened outside of the straight line.

    /// The last result that is wanted has come.
    #[cold]
    #[inline(never)]
    pub(crate) fn close(&mut self) {
        (self.is_closed, self.first) = (true, Party::Closing);
        self.settings_changed();
    }

    /// Everything is dropped but a result that may be due.
    #[cold]
    #[inline(never)]
    pub(crate) fn closed(&mut self, call: &mut Call, counts: Counts) -> Step {
        self.set_first(Party::Woken);
        (call.source, call.upstream) = (Source::Empty, Upstream::Absent);
        (call.turn, call.woken) = (Party::Waiting, false);
        self.next(call, counts)
    }

    /// The goal is not reached.
    #[cold]
    #[inline(never)]
    pub(crate) fn declined(&mut self, call: &mut Call, counts: Counts) -> Step {
        call.asked_idle = call.is_idle();
        // A future may have been woken while the question was answered.
        (call.asked_at, call.just_asked, call.woken) = (call.left, true, true);
        if call.left > 0 {
            call.turn = Party::Waiting;
        }
        self.next(call, counts)
    }

    /// The pools upstream were polled so often, and may have more to do.
    #[cold]
    #[inline(never)]
    pub(crate) fn upstream_polled(&mut self, call: &mut Call, counts: Counts, polls: usize, has_more: bool) -> Step {
        call.upstream = if has_more { Upstream::OutOfBudget } else { Upstream::UpToDate };
        call.left = call.left.saturating_sub(polls);
        self.next(call, counts)
    }

    /// The task was not parked, since a future was woken meanwhile. Maybe for nothing: late wake-ups count as polls, or this
    /// could continue for ever.
    #[cold]
    #[inline(never)]
    pub(crate) fn not_parked(&mut self, call: &mut Call, counts: Counts) -> Step {
        call.left -= 1;
        (call.woken, call.turn) = (true, Party::Upstream);
        self.next(call, counts)
    }

    /// So many futures were polled in a call that is over.
    #[inline]
    pub(crate) fn count_polls(&mut self, polls: usize) {
        self.polls_used = self.polls_used.wrapping_add(polls);
    }
}
