//! The law by itself, without a future: every course that it can take, for small numbers.
//!
//! A [`Run`] plays the driver, step by step as `run.rs` does. What the driver gets from the user's types is chosen here:
//! whether a future finishes, wakes itself or waits, whether the source has an item, how far the pools upstream come.
//! [`explore`] makes every choice in every state, and remembers where it has been; so it comes to an end without a bound on
//! the number of calls.
//!
//! A [`Pool`] keeps its own account of what is active, lent, claimed and held, and nothing that is expected is read from the
//! law. What is asserted, and where:
//!
//! 1. *No more*: [`Run::start`].
//! 2. *No less*: [`Run::start`], and [`Run::check_end`] for the end of each call.
//! 3. The task is parked only when all futures known to be woken were polled: [`Run::rest`]. Each call comes to an end, within
//!    a number of steps that is proportional to its budget: [`Explorer::explore`].
//! 4. *Fair*: [`Waits`]. With small budgets the turns end with the calls; those of [`QUOTA`] polls have tests of their own.
//! 5. A due result is handed over as soon as the slots are filled: [`Run::check_end`].
//!
//! A failure prints the states between the calls, and the steps of the last call, that led to it.
//!
//! [`Law::count_polls`] is left out, as the number would make every state a new one; it decides nothing.

use core::fmt;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::{HashMap, HashSet};
use std::string::String;
use std::vec::Vec;
use std::{eprintln, format, vec};

use super::call::{Call, Counts, Goal, Nothing};
use super::law::{Law, QUOTA, Step};

/// By default, a future is started only while at most this many times the size of results are held.
const HELD_PER_SLOT: usize = 16;

/// Each poll takes at most so many steps, and so does the end of a call.
const STEPS: usize = 15;

const ALL_GOALS: &[Goal] = &[Goal::Next, Goal::Progress, Goal::Until];

/// What is explored: a kind of pool, and what may happen to it.
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
#[derive(Clone, Debug)]
struct Setup {
    set: Set,
    /// Each pool is explored with each of these; or from the first, if the settings change between the calls.
    sizes: &'static [usize],
    max_finished: &'static [Option<usize>],
    changes_settings: bool,
    goals: &'static [Goal],
    budgets: &'static [usize],
    /// With so many futures active or held, the source has no more.
    most: usize,
    is_ordered: bool,
    has_upstream: bool,
    lends: bool,
    /// Whether a result may be the last one that is wanted.
    fails_fast: bool,
    /// Whether a poll, the source or a destructor may panic.
    panics: bool,
    /// Whether an active future may be cancelled between two calls.
    cancels: bool,
    /// Whether what waits may not be eligible before a future has ended.
    has_keys: bool,
    /// What a future may weigh.
    weights: &'static [usize],
    /// Whether futures, source and upstream always have something to do.
    is_busy: bool,
    /// Then for how many turns of others at most somebody waits.
    most_turns: usize,
}

/// A pool with nothing that only some pools have.
const PLAIN: Setup = Setup {
    set: Set::Slots,
    sizes: &[1, 2, 3],
    max_finished: &[None, Some(0), Some(1), Some(2)],
    changes_settings: false,
    goals: ALL_GOALS,
    budgets: &[0, 1, 2, 3, 4],
    most: 4,
    is_ordered: false,
    has_upstream: false,
    lends: false,
    fails_fast: false,
    panics: false,
    cancels: false,
    has_keys: false,
    weights: &[1],
    is_busy: false,
    most_turns: 2,
};

/// How an active set finds and polls woken futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Tells which one is woken. One that wakes itself is found again in the same call.
    Slots,
    /// Polls them by itself until one has finished. One that has started counts as woken.
    PollsThem,
    /// Takes each for woken when a call begins, and polls it once. The last polls of a budget are free.
    Inline,
}

impl Set {
    const fn free_polls(self) -> usize {
        if matches!(self, Self::Inline) { 8 } else { 0 }
    }
}

// The pool, by its own account.

/// The last result that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Last {
    NotFound,
    /// Everything else is still to be dropped.
    Found,
    Due,
    Taken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pool {
    law: Law,
    size: usize,
    max_finished: Option<usize>,
    is_paused: bool,
    /// Active futures that are not woken, and those that are.
    idle: usize,
    woken: usize,
    /// How many of them weigh 1, 2 and 3.
    weights: [usize; 3],
    /// What the waiting one weighs, if it was pulled and did not fit.
    head: Option<usize>,
    /// Whether the result of the waiting one is the next to be handed over.
    head_is_next: bool,
    lent: usize,
    claims: usize,
    /// Results whose turn has come, and results held ahead of their turn.
    due: usize,
    ahead: usize,
    last: Last,
    waits: Waits,
}

impl Pool {
    fn new(size: usize, max_finished: Option<usize>) -> Self {
        let mut law = Law::new(size, usize::MAX, usize::MAX);
        if let Some(results) = max_finished {
            law.set_max_finished(results);
        }
        Self {
            law,
            size,
            max_finished,
            is_paused: false,
            idle: 0,
            woken: 0,
            weights: [0; 3],
            head: None,
            head_is_next: false,
            lent: 0,
            claims: 0,
            due: 0,
            ahead: 0,
            last: Last::NotFound,
            waits: Waits::default(),
        }
    }

    fn active(&self) -> usize {
        self.idle + self.woken
    }

    fn counts(&self) -> Counts {
        Counts { due: self.due, ahead: self.ahead }
    }

    /// Returns what the waiting future weighs: never more than the size.
    fn head_weight(&self) -> usize {
        self.head.map_or(1, |weight| weight.min(self.size))
    }

    /// Tells the law of the waiting future, which only those pools do that admit by weight or by key.
    fn tell_head(&mut self, setup: &Setup) {
        if setup.has_keys || setup.weights.len() > 1 {
            self.law.set_head(self.head_weight(), self.head_is_next);
        }
    }

    fn has_slot(&self) -> bool {
        let weight: usize = self.weights.iter().zip(1..).map(|(futures, weight)| futures * weight).sum();
        let used = weight - self.lent + self.claims;
        !self.is_paused && self.last == Last::NotFound && used + self.head_weight() <= self.size
    }

    fn has_result_room(&self, goal: Goal) -> bool {
        let (most_due, most_held) = match self.max_finished {
            Some(results) => (results, results),
            None => (self.size, self.size * HELD_PER_SLOT),
        };
        let has_room = self.due <= most_due && self.due + self.ahead <= most_held;
        has_room || goal == Goal::Until || self.head_is_next
    }

    /// Returns whether a future may start if one waits.
    fn has_room(&self, goal: Goal) -> bool {
        self.has_slot() && self.has_result_room(goal)
    }

    /// Returns whether the source may have one more.
    fn has_more(&self, setup: &Setup) -> bool {
        self.active() + self.due + self.ahead < setup.most
    }

    /// A future starts.
    fn started(&mut self, setup: &Setup) {
        let weight = self.head_weight();
        self.law.started();
        if weight > 1 {
            self.law.started_weighing(weight);
        }
        self.weights[weight - 1] += 1;
        (self.head, self.head_is_next) = (None, false);
        self.tell_head(setup);
    }

    /// A future that is not counted any more has ended, with or without a result.
    fn ended(&mut self, setup: &Setup, choices: &mut Choices, has_result: bool) {
        let weights: Vec<usize> = (0..3).filter(|&index| self.weights[index] > 0).collect();
        let weight = weights[choices.of(weights.len())];
        self.weights[weight] -= 1;
        if weight > 0 {
            self.law.ended_weighing(weight + 1);
        }
        // While no future is active, no result is held ahead of its turn.
        if has_result && setup.is_ordered && self.active() > 0 && choices.yes() {
            self.ahead += 1;
        } else {
            let others = if self.active() == 0 { self.ahead } else { choices.of(self.ahead + 1) };
            self.ahead -= others;
            self.due += others + usize::from(has_result);
        }
        if setup.is_ordered && setup.has_keys && choices.yes() {
            self.head_is_next = true;
            self.tell_head(setup);
        }
    }

    /// A slot may be lent, claimed or given back, and the law is told.
    fn lend(&mut self, setup: &Setup, choices: &mut Choices) {
        if !setup.lends {
            return;
        }
        // The one that has ended may have been the only one that lent its slot.
        self.lent = self.lent.min(self.active());
        self.claims = self.claims.min(self.lent);
        let (lent, claims) = (self.lent, self.claims);
        let mut cases = vec![(lent, claims)];
        if lent < self.active() {
            cases.push((lent + 1, claims));
        }
        if claims < lent {
            // One claims its slot, or has stopped waiting in another way, with or without a slot.
            cases.extend([(lent, claims + 1), (lent - 1, claims)]);
        }
        if claims > 0 && self.active() - lent < self.size {
            cases.push((lent - 1, claims - 1));
        }
        (self.lent, self.claims) = cases[choices.of(cases.len())];
        self.law.set_lent(self.lent, self.claims);
    }

    /// An idle future may be woken. Returns whether one was.
    fn wake(&mut self, setup: &Setup, choices: &mut Choices) -> bool {
        // In place all are woken when the next call begins, and not before.
        let is_woken = setup.set != Set::Inline && self.idle > 0 && choices.yes();
        if is_woken {
            self.idle -= 1;
            self.woken += 1;
        }
        is_woken
    }

    /// A due result is taken.
    fn take_result(&mut self) {
        self.due -= 1;
        if self.last == Last::Due {
            self.last = Last::Taken;
        }
    }

    /// Something may happen between two calls. Returns what.
    fn meanwhile(&mut self, setup: &Setup, choices: &mut Choices) -> String {
        match choices.of(if setup.changes_settings { 7 } else { 4 }) {
            0 if self.wake(setup, choices) => "a future is woken".into(),
            1 if self.due > 0 && !setup.is_busy => {
                self.take_result();
                "a result is taken".into()
            }
            2 if setup.cancels && self.active() > 0 && self.last == Last::NotFound => {
                if self.idle > 0 && (self.woken == 0 || choices.yes()) {
                    self.idle -= 1;
                } else {
                    self.woken -= 1;
                }
                self.law.cancelled(1);
                self.ended(setup, choices, false);
                "a future is cancelled".into()
            }
            3 if setup.lends => {
                self.lend(setup, choices);
                "slots are lent or claimed".into()
            }
            4 => {
                self.size = setup.sizes[choices.of(setup.sizes.len())];
                self.law.set_size(self.size);
                self.tell_head(setup);
                format!("the size is {}", self.size)
            }
            5 => {
                let cases = setup.max_finished;
                if let Some(results) = cases[choices.of(cases.len())] {
                    self.max_finished = Some(results);
                    self.law.set_max_finished(results);
                }
                format!("the bound on results is {:?}", self.max_finished)
            }
            #[cfg(feature = "alloc")]
            6 => {
                self.is_paused = !self.is_paused;
                self.law.set_paused(self.is_paused);
                (if self.is_paused { "paused" } else { "resumed" }).into()
            }
            _ => "nothing".into(),
        }
    }
}

// The driver.

/// Where the driver is in `run.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// In the loop of a turn.
    Turn,
    /// Behind that loop. It was left because nothing more can start, or for another reason.
    AfterTurn { is_filled: bool },
    /// Before what else there is to do.
    NextStep,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The goal is reached.
    Reached,
    /// It cannot be.
    NothingLeft,
    Parked,
    Yielded,
    Panicked,
}

/// What came of a poll.
enum Polled {
    Ready,
    Pending,
    Panicked,
}

/// The driver within a call.
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
#[derive(Clone, PartialEq, Eq, Hash)]
struct Run {
    pool: Pool,
    goal: Goal,
    call: Call,
    /// What is next, unless it is a turn.
    step: Option<Step>,
    is_start: bool,
    at: At,
    /// That the source has nothing that may start, if it was asked.
    nothing: Option<Nothing>,
    /// Whether the pools upstream may have more to do, and whether they had when their turn was over.
    is_behind: bool,
    is_out_of_budget: bool,
    /// Whether a future was woken by somebody whom the law cannot know of.
    is_woken_elsewhere: bool,
    /// Whether nothing was polled since the goal was last asked for.
    is_idle: bool,
}

impl Run {
    fn begin(setup: &Setup, mut pool: Pool, goal: Goal, given: usize) -> Self {
        if setup.set == Set::Inline {
            (pool.idle, pool.woken) = (0, pool.active());
        }
        pool.waits.polled = None;
        if setup.is_busy {
            pool.stop_waiting(setup, goal);
        }
        pool.law.set_lent(pool.lent, pool.claims);
        let mut call = Call::new(goal, setup.has_upstream, given);
        let mut is_start = false;
        let is_turn = pool.law.begin(&mut call, &mut is_start);
        let step = if is_turn { None } else { Some(pool.law.begin_elsewhere(&mut call, pool.counts())) };
        let run = Self {
            pool,
            goal,
            call,
            step,
            is_start,
            at: if is_turn { At::Turn } else { At::NextStep },
            nothing: None,
            is_behind: setup.has_upstream,
            is_out_of_budget: false,
            is_woken_elsewhere: false,
            is_idle: false,
        };
        if is_turn {
            run.check_turn();
        }
        run
    }

    /// Does one step. Returns how the call has ended, if it has.
    fn advance(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        let end = match self.at {
            At::Turn if self.is_start => self.start(setup, choices),
            At::Turn => self.poll_woken(setup, choices),
            At::AfterTurn { is_filled } => self.after_turn(setup, is_filled),
            At::NextStep => self.next_step(setup, choices),
        };
        assert_eq!(self.pool.law.active(), self.pool.active());
        if setup.is_busy {
            self.pool.stop_waiting(setup, self.goal);
        } else {
            self.pool.waits = Waits::default();
        }
        if let Some(end) = end {
            self.check_end(end);
        }
        end
    }

    fn check_turn(&self) {
        assert!(self.call.turn_left() <= QUOTA, "a turn of {} polls", self.call.turn_left());
    }

    /// The loop of a turn is left.
    fn leave_turn(&mut self, is_filled: bool) -> Option<End> {
        self.at = At::AfterTurn { is_filled };
        None
    }

    /// A future may start.
    fn start(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        let may_start = self.pool.law.may_start(self.goal, self.pool.counts());
        assert_eq!(may_start, self.pool.has_room(self.goal), "no more, and no less");
        if !may_start {
            return self.leave_turn(true);
        }
        if !self.call.has_turn() {
            return self.leave_turn(false);
        }
        assert_eq!(self.nothing, None, "it has said so");
        self.call.polled(1);
        if setup.has_upstream {
            self.take_from_upstream(setup, choices);
        }
        if setup.panics && choices.yes() {
            return Some(End::Panicked);
        }
        self.nothing = self.pull(setup, choices);
        self.call.asked_source(setup.has_upstream);
        if let Some(nothing) = self.nothing {
            self.call.give_back();
            self.call.nothing_to_start(nothing);
            // A stream that is pending has polled what is upstream.
            self.is_behind &= nothing != Nothing::Pending;
            return self.leave_turn(true);
        }
        assert!(self.pool.has_room(self.goal), "no more");
        self.pool.started(setup);
        self.pool.waits.polled(Party::Waiting);
        self.poll_future(setup, choices)
    }

    /// The source asks the pools upstream for an item, and they may poll futures for that.
    fn take_from_upstream(&mut self, setup: &Setup, choices: &mut Choices) {
        let left = self.call.left();
        let polls = if setup.is_busy { [1, left][choices.of(2)].min(left) } else { choices.of(left + 1) };
        self.call.polled(polls);
        (self.is_behind, self.is_out_of_budget) = (true, false);
        if polls > 0 {
            // This is part of the turn of those that wait to start.
            self.pool.waits.turns[Party::Upstream as usize] = 0;
        }
    }

    /// The source is asked for a future. Returns why there is none.
    fn pull(&mut self, setup: &Setup, choices: &mut Choices) -> Option<Nothing> {
        let pool = &mut self.pool;
        let mut cases = vec![];
        let has_more = pool.has_more(setup);
        if has_more {
            cases.push(None);
        }
        if !(has_more && setup.is_busy) {
            cases.extend([Some(Nothing::Pending), Some(Nothing::Empty)]);
        }
        if setup.has_keys && pool.active() > 0 {
            cases.push(Some(Nothing::NotEligible));
        }
        let nothing = cases[choices.of(cases.len())];
        if nothing.is_none() && pool.head.is_none() && setup.weights.len() > 1 {
            pool.head = Some(setup.weights[choices.of(setup.weights.len())]);
            pool.tell_head(setup);
            let may_start = pool.law.may_start(self.goal, pool.counts());
            assert_eq!(may_start, pool.has_room(self.goal), "as much as it weighs");
            if !may_start {
                return Some(Nothing::NotEligible);
            }
        }
        nothing
    }

    /// A woken future is polled, or as many as the set polls by itself.
    fn poll_woken(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        let may_poll = self.pool.law.may_poll_woken(&self.call);
        assert_eq!(may_poll, self.pool.active() > 0 && self.call.has_turn());
        let may_find = may_poll && self.pool.woken > 0;
        if may_find && setup.set == Set::PollsThem {
            return self.polls_them(setup, choices);
        }
        if !may_find {
            return self.found_none(0);
        }
        self.call.polled(1);
        self.pool.woken -= 1;
        self.pool.waits.polled(Party::Woken);
        self.poll_future(setup, choices)
    }

    fn polls_them(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        let mut polls = 0;
        while self.pool.woken > 0 && polls < self.call.turn_left() {
            polls += 1;
            self.pool.woken -= 1;
            match self.poll(setup, choices) {
                Polled::Pending => {}
                Polled::Panicked => return Some(self.panicked(setup, choices)),
                Polled::Ready => {
                    self.call.polled(polls);
                    return self.finished(setup, choices);
                }
            }
        }
        self.found_none(polls)
    }

    fn found_none(&mut self, polls: usize) -> Option<End> {
        self.call.polled(polls);
        self.call.none_woken(polls == 0 && self.call.has_turn());
        self.fill_slots_next()
    }

    fn fill_slots_next(&mut self) -> Option<End> {
        if !self.pool.law.fill_slots_next(&mut self.call) {
            return self.leave_turn(false);
        }
        assert_eq!(self.pool.lent, 0, "those who claim their slots come first");
        self.is_start = true;
        self.check_turn();
        None
    }

    /// Polls a future that was counted out of those that are woken, or that has just started.
    fn poll_future(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        match self.poll(setup, choices) {
            Polled::Ready => return self.finished(setup, choices),
            Polled::Panicked => return Some(self.panicked(setup, choices)),
            Polled::Pending => {}
        }
        if !self.is_start && self.call.left() < setup.set.free_polls() {
            self.call.give_back();
        }
        self.pool.lend(setup, choices);
        self.after_poll(setup)
    }

    fn after_poll(&mut self, setup: &Setup) -> Option<End> {
        if setup.lends && self.is_start && self.pool.law.has_lent() { self.leave_turn(false) } else { None }
    }

    /// A future is polled: it finishes, or it is woken again, or not. It may wake another one.
    fn poll(&mut self, setup: &Setup, choices: &mut Choices) -> Polled {
        self.is_idle = false;
        if setup.panics && choices.yes() {
            return Polled::Panicked;
        }
        self.pool.wake(setup, choices);
        if choices.yes() {
            return Polled::Ready;
        }
        let is_woken = match setup.set {
            Set::Slots => setup.is_busy || choices.yes(),
            // It is found at least once after its first poll.
            Set::PollsThem => self.is_start || choices.yes(),
            // It is polled in the next call at any rate.
            Set::Inline => false,
        };
        if is_woken {
            self.pool.woken += 1;
        } else {
            self.pool.idle += 1;
        }
        Polled::Pending
    }

    fn finished(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        self.pool.law.finished();
        if setup.fails_fast && choices.yes() {
            self.pool.last = Last::Found;
            self.pool.law.close();
            // The destructor of the future may panic.
            return if setup.panics && choices.yes() { Some(End::Panicked) } else { self.leave_turn(false) };
        }
        self.pool.ended(setup, choices, true);
        self.call.has_ended();
        if self.nothing == Some(Nothing::NotEligible) {
            self.nothing = None;
        }
        self.pool.lend(setup, choices);
        if !self.is_start && self.pool.law.is_enough(self.goal, &mut self.call) {
            return self.fill_slots_next();
        }
        assert!(self.is_start || self.goal != Goal::Next || self.pool.lent > 0, "one result is enough");
        self.after_poll(setup)
    }

    fn panicked(&mut self, setup: &Setup, choices: &mut Choices) -> End {
        self.pool.law.cancelled(1);
        self.pool.ended(setup, choices, false);
        End::Panicked
    }

    fn after_turn(&mut self, setup: &Setup, is_filled: bool) -> Option<End> {
        let counts = self.pool.counts();
        let law = &mut self.pool.law;
        let next =
            if is_filled { law.slots_filled(&mut self.call, self.goal, counts, setup.has_upstream) } else { None };
        self.step = Some(next.unwrap_or_else(|| law.next(&mut self.call, counts)));
        self.at = At::NextStep;
        None
    }

    fn next_step(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        match self.step.expect("there is one behind a turn") {
            Step::PollWoken | Step::Start => {
                self.is_start = self.step == Some(Step::Start);
                self.at = At::Turn;
                assert!(self.call.has_turn(), "a turn of no polls");
                if self.pool.lent == 0 {
                    self.check_turn();
                } else if self.is_start {
                    assert_eq!(self.call.turn_left(), 1, "nobody can claim a slot");
                }
            }
            Step::Offer => return self.offer(setup, choices),
            Step::PollUpstream => self.poll_upstream(setup, choices),
            Step::Rest => return self.rest(setup, choices),
            Step::Yield => return Some(End::Yielded),
            Step::Close => return self.close(setup, choices),
        }
        None
    }

    fn offer(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        assert_ne!(self.goal, Goal::Progress, "no goal is asked for");
        let is_never_reached = setup.is_busy && setup.has_upstream;
        if self.goal == Goal::Next || !is_never_reached && choices.yes() {
            return Some(End::Reached);
        }
        // Those who answer may wake a future, or settle whose the slots are.
        self.pool.wake(setup, choices);
        self.pool.lend(setup, choices);
        if self.has_ended(choices) {
            return Some(End::NothingLeft);
        }
        self.is_idle = true;
        let counts = self.pool.counts();
        self.step = Some(self.pool.law.declined(&mut self.call, counts));
        None
    }

    fn poll_upstream(&mut self, setup: &Setup, choices: &mut Choices) {
        assert!(self.is_behind, "upstream has nothing to do");
        let given = self.call.turn_left();
        assert!(given > 0, "a turn of no polls");
        if self.goal == Goal::Next && self.pool.due > 0 {
            assert_eq!(given, self.call.left(), "a result is held back for more than one turn");
        }
        // More to do than given; nothing, or nearly as much. An adaptor does not tell how much it uses, may use more than
        // given, and wakes the task if there is more to do.
        let cases = [(given, true), (0, false), (given - 1, false), (given + 1, false)];
        let (polls, has_more) = cases[if setup.is_busy { 0 } else { choices.of(cases.len()) }];
        (self.is_behind, self.is_out_of_budget) = (has_more, has_more);
        self.is_idle &= polls == 0;
        self.is_woken_elsewhere |= self.pool.wake(setup, choices);
        self.pool.waits.polled(Party::Upstream);
        let counts = self.pool.counts();
        let law = &mut self.pool.law;
        self.step = Some(law.upstream_polled(&mut self.call, counts, polls, has_more));
    }

    fn rest(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        assert!(self.call.left() > 0, "rests though it does not know whether a future is woken");
        assert!(self.pool.woken == 0 || self.is_woken_elsewhere, "a woken future was not polled");
        assert!(!self.is_behind || self.nothing == Some(Nothing::Pending), "upstream has more to do");
        assert!(self.goal != Goal::Until || self.is_idle, "the goal was not asked for since the last poll");
        let may_start = self.pool.law.may_start(self.goal, self.pool.counts());
        let is_no_progress = self.goal == Goal::Progress && self.pool.active() == 0 && !may_start;
        if self.has_ended(choices) || is_no_progress {
            return Some(End::NothingLeft);
        }
        let finds_woken = match setup.set {
            // A future may be woken in the last moment, and one that has ended may be woken late.
            Set::Slots => self.pool.wake(setup, choices) || self.pool.woken > 0 || choices.yes(),
            // It wakes the task by itself.
            Set::PollsThem => false,
            Set::Inline => self.pool.woken > 0,
        };
        if !finds_woken {
            return Some(End::Parked);
        }
        self.is_woken_elsewhere = false;
        let counts = self.pool.counts();
        self.step = Some(self.pool.law.not_parked(&mut self.call, counts));
        None
    }

    /// Returns whether the pool has come to its end: no future is active, and the source is empty, asked or not.
    fn has_ended(&mut self, choices: &mut Choices) -> bool {
        if self.pool.active() == 0 && self.pool.head.is_none() && self.nothing.is_none() && choices.yes() {
            self.nothing = Some(Nothing::Empty);
        }
        self.pool.active() == 0 && self.nothing == Some(Nothing::Empty)
    }

    fn close(&mut self, setup: &Setup, choices: &mut Choices) -> Option<End> {
        let pool = &mut self.pool;
        assert_eq!(pool.last, Last::Found, "closed for nothing");
        pool.law.cancelled(pool.law.active());
        (pool.idle, pool.woken, pool.weights) = (0, 0, [0; 3]);
        (pool.due, pool.ahead) = (1, 0);
        if setup.panics && choices.yes() {
            return Some(End::Panicked);
        }
        pool.last = Last::Due;
        self.nothing = Some(Nothing::Empty);
        (self.is_behind, self.is_out_of_budget) = (false, false);
        self.step = Some(pool.law.closed(&mut self.call, pool.counts()));
        None
    }

    /// Checks what holds at the end of a call. A result that is handed over is taken.
    fn check_end(&mut self, end: End) {
        if end == End::Panicked {
            return;
        }
        let has_budget = self.call.left() > 0;
        assert!(end != End::Parked || has_budget, "parks though it does not know whether a future is woken");
        assert!(end != End::Yielded || !has_budget, "yields before the budget is used up");
        if has_budget {
            assert!(self.nothing.is_some() || !self.pool.has_room(self.goal), "no less");
        }
        let pool = &mut self.pool;
        if self.goal == Goal::Next {
            assert_eq!(end == End::Reached, pool.due > 0, "what is due is handed over");
            assert!(!(has_budget && self.is_out_of_budget), "upstream cannot fill its slots");
            if end == End::Reached {
                pool.take_result();
            }
        }
        if pool.last != Last::NotFound {
            assert_eq!(pool.active(), 0, "all else is dropped");
            assert_eq!(pool.due, usize::from(pool.last == Last::Due), "the last result comes once");
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, step, is_start, nothing, is_behind, call, .. } = self;
        let Pool { idle, woken, lent, claims, due, ahead, last, waits, .. } = self.pool;
        write!(f, "{at:?}, {step:?}, start {is_start}, source {nothing:?}, behind {is_behind}; ")?;
        write!(
            f,
            "{idle} idle, {woken} woken, {lent} lent, {claims} claims, {due} due, {ahead} ahead, {last:?}, {waits:?}; "
        )?;
        write!(f, "{call:?}")
    }
}

// Fairness.

/// Who takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Party {
    Woken,
    Waiting,
    Upstream,
}

/// How many turns of others each party has waited for that wanted to be polled all the time. A turn ends when another party is
/// polled, or with the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Waits {
    polled: Option<Party>,
    turns: [usize; 3],
}

impl Waits {
    fn polled(&mut self, party: Party) {
        if self.polled != Some(party) {
            self.polled = Some(party);
            self.turns.iter_mut().for_each(|turns| *turns += 1);
        }
        self.turns[party as usize] = 0;
    }
}

impl Pool {
    /// Those that do not want to be polled do not wait.
    fn stop_waiting(&mut self, setup: &Setup, goal: Goal) {
        let wants = [self.woken > 0, self.has_room(goal) && self.has_more(setup), setup.has_upstream];
        for (turns, wants) in self.waits.turns.iter_mut().zip(wants) {
            *turns *= usize::from(wants);
        }
        if goal == Goal::Until {
            // The caller takes what it waits for.
            self.due = 0;
        }
        assert!(self.waits.turns.iter().all(|turns| *turns <= setup.most_turns), "{:?}", self.waits);
    }
}

// Every choice in every state.

/// Those made so far; from then on the first of each.
#[derive(Debug, Default)]
struct Choices {
    /// Which one, and of how many.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// Chooses a number below `cases`.
    fn of(&mut self, cases: usize) -> usize {
        assert!(cases > 0);
        if cases == 1 {
            return 0;
        }
        if self.next == self.made.len() {
            self.made.push((0, cases));
        }
        self.next += 1;
        self.made[self.next - 1].0
    }

    fn yes(&mut self) -> bool {
        self.of(2) == 1
    }

    /// Goes on to the next ones. Returns whether there are any.
    fn go_on(&mut self) -> bool {
        self.next = 0;
        while let Some((which, cases)) = self.made.last_mut() {
            *which += 1;
            if which < cases {
                return true;
            }
            self.made.pop();
        }
        false
    }
}

/// Is fast in a debug build.
#[derive(Default)]
struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.unsigned_abs() as u64);
    }
}

type FastState = BuildHasherDefault<FastHasher>;

struct Explorer<'a> {
    setup: &'a Setup,
    /// The states between two calls: how each was reached, and from which.
    pools: Vec<(Pool, String, usize)>,
    seen_pools: HashSet<Pool, FastState>,
    /// The states within a call, and in how many steps at most it ends from there, unless that is being explored.
    runs: HashMap<Run, Option<usize>, FastState>,
    /// Where the exploration is.
    pool: usize,
    path: Vec<Run>,
}

impl<'a> Explorer<'a> {
    fn new(setup: &'a Setup, pool: Pool) -> Self {
        let pools = vec![(pool, "new".into(), 0)];
        Self { setup, pools, seen_pools: HashSet::default(), runs: HashMap::default(), pool: 0, path: vec![] }
    }

    /// Goes on from each state between two calls.
    fn explore(&mut self) {
        while self.pool < self.pools.len() {
            let (setup, pool) = (self.setup, self.pools[self.pool].0.clone());
            for goal in [Goal::Next, Goal::Progress, Goal::Until] {
                assert_eq!(pool.law.may_start(goal, pool.counts()), pool.has_room(goal), "between two calls");
            }
            let mut choices = Choices::default();
            loop {
                let mut pool = pool.clone();
                let how = pool.meanwhile(setup, &mut choices);
                self.found(pool, || how);
                if !choices.go_on() {
                    break;
                }
            }
            for &goal in setup.goals {
                for &budget in setup.budgets {
                    let steps = self.finish_call((goal, budget), Run::begin(setup, pool.clone(), goal, budget));
                    assert!(steps <= STEPS * (budget + 1), "{steps} steps for {budget} polls");
                }
            }
            self.pool += 1;
        }
    }

    /// Goes on to the end of a call, in every way. Returns how many steps it takes at most.
    fn finish_call(&mut self, call: (Goal, usize), run: Run) -> usize {
        match self.runs.get(&run) {
            Some(Some(steps)) => return *steps,
            Some(None) => panic!("a call without an end"),
            None => {}
        }
        self.runs.insert(run.clone(), None);
        self.path.push(run.clone());
        let mut steps = 0;
        let mut choices = Choices::default();
        loop {
            let mut next = run.clone();
            match next.advance(self.setup, &mut choices) {
                Some(end) => self.found(next.pool, || format!("a call {call:?} has {end:?}")),
                None => steps = steps.max(self.finish_call(call, next)),
            }
            if !choices.go_on() {
                break;
            }
        }
        self.path.pop();
        self.runs.insert(run, Some(steps + 1));
        steps + 1
    }

    fn found(&mut self, pool: Pool, how: impl FnOnce() -> String) {
        if !self.seen_pools.contains(&pool) {
            self.seen_pools.insert(pool.clone());
            self.pools.push((pool, how(), self.pool));
        }
    }
}

/// Prints what led to a failure.
impl Drop for Explorer<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut pools = vec![self.pool];
        while pools[pools.len() - 1] != 0 {
            pools.push(self.pools[pools[pools.len() - 1]].2);
        }
        eprintln!("{:?}", self.setup);
        for &pool in pools.iter().rev() {
            eprintln!("- {}: {:?}", self.pools[pool].1, self.pools[pool].0);
        }
        for run in &self.path {
            eprintln!("  - {run:?}");
        }
    }
}

/// Explores all states. Returns how many there are.
fn explore(setup: &Setup) -> usize {
    let mut states = 0;
    for &size in setup.sizes {
        for &max_finished in setup.max_finished {
            let mut explorer = Explorer::new(setup, Pool::new(size, max_finished));
            explorer.explore();
            states += explorer.runs.len();
            if setup.changes_settings {
                return states;
            }
        }
    }
    states
}

/// Explores all states, of which there are at least so many: a mistake in the setup must not leave most of them out.
#[track_caller]
fn explore_at_least(least: usize, setup: &Setup) {
    let states = explore(setup);
    assert!(states >= least, "only {states} states");
}

#[test]
fn plain_pools_whose_settings_change() {
    let budgets = &[0, 1, 2, 3];
    explore_at_least(100_000, &Setup { changes_settings: true, cancels: true, budgets, ..PLAIN });
}

#[test]
fn with_an_order() {
    let max_finished = &[None, Some(0), Some(1)];
    explore_at_least(50_000, &Setup { is_ordered: true, cancels: true, sizes: &[3], max_finished, ..PLAIN });
}

#[test]
fn with_pools_upstream() {
    explore_at_least(50_000, &Setup { has_upstream: true, sizes: &[1, 2], max_finished: &[None, Some(0)], ..PLAIN });
}

#[test]
fn with_a_set_that_polls_by_itself() {
    explore_at_least(50_000, &Setup { set: Set::PollsThem, max_finished: &[None, Some(0)], ..PLAIN });
}

#[test]
fn in_place() {
    // The law takes it that something was polled if the budget has changed, which free polls do not do. No such pool has a
    // goal to be asked for.
    let (goals, budgets) = (&[Goal::Next, Goal::Progress], &[0, 1, 2, 4, 9, 10]);
    let max_finished = &[None, Some(0)];
    explore_at_least(20_000, &Setup { set: Set::Inline, has_upstream: true, goals, budgets, max_finished, ..PLAIN });
}

#[test]
fn with_lent_slots() {
    let (sizes, max_finished) = (&[1, 2], &[None, Some(0)]);
    explore_at_least(50_000, &Setup { lends: true, budgets: &[0, 1, 2, 3], most: 3, sizes, max_finished, ..PLAIN });
}

#[test]
fn closed_by_a_result() {
    let max_finished = &[None, Some(0)];
    explore_at_least(50_000, &Setup { fails_fast: true, is_ordered: true, budgets: &[0, 1, 3], max_finished, ..PLAIN });
}

#[test]
fn with_panics() {
    let (sizes, max_finished, budgets) = (&[1, 2], &[None, Some(0)], &[0, 1, 3]);
    let setup = Setup { fails_fast: true, panics: true, has_upstream: true, sizes, max_finished, budgets, ..PLAIN };
    explore_at_least(20_000, &setup);
}

#[test]
fn with_keys() {
    let (sizes, max_finished) = (&[2], &[None, Some(0)]);
    explore_at_least(50_000, &Setup { has_keys: true, is_ordered: true, sizes, max_finished, ..PLAIN });
}

#[test]
fn with_weights() {
    let (weights, max_finished) = (&[1, 2, 3], &[None, Some(0)]);
    let setup = Setup { weights, changes_settings: true, budgets: &[1, 2], most: 3, max_finished, ..PLAIN };
    explore_at_least(50_000, &setup);
}

#[test]
fn with_turns_of_a_whole_quota() {
    let (sizes, max_finished, budgets) = (&[1], &[Some(QUOTA + 1)], &[QUOTA + 2]);
    explore_at_least(50_000, &Setup { most: QUOTA + 2, sizes, max_finished, budgets, ..PLAIN });
}

#[test]
fn with_turns_of_a_whole_quota_and_pools_upstream() {
    let (sizes, max_finished, budgets, goals) = (&[1], &[None, Some(0)], &[QUOTA + 4], &[Goal::Next]);
    let setup = Setup { most: 3, has_upstream: true, sizes, max_finished, budgets, goals, ..PLAIN };
    explore_at_least(3000, &setup);
}

/// Everyone always has something to do. Then nobody waits for more turns of others than there are other parties; with one
/// exception: a result that is handed over ends the turn of those that wait, and those upstream wait for one turn more.
#[test]
fn fair_with_every_goal() {
    let busy = Setup { is_busy: true, sizes: &[1, 2], budgets: &[1, 2, 3, 4], most: usize::MAX, ..PLAIN };
    for goals in [&[Goal::Next], &[Goal::Progress], &[Goal::Until]] {
        explore_at_least(1000, &Setup { goals, most_turns: 1, ..busy.clone() });
        let most_turns = if goals == &[Goal::Next] { 3 } else { 2 };
        explore_at_least(1000, &Setup { goals, has_upstream: true, most_turns, ..busy.clone() });
    }
    explore_at_least(1000, &Setup { most_turns: 1, ..busy });
}

/// The same, with calls that have more than one quota.
#[test]
fn fair_within_a_call() {
    for (has_upstream, most_turns) in [(false, 1), (true, 2)] {
        let (goals, budgets) = (&[Goal::Progress, Goal::Until], &[QUOTA + 1, 2 * QUOTA + 1]);
        let (sizes, max_finished) = (&[1], &[Some(1)]);
        let setup = Setup { is_busy: true, has_upstream, most_turns, goals, budgets, sizes, max_finished, ..PLAIN };
        explore_at_least(1000, &setup);
    }
}

/// Where slots are lent, as many futures may be active as lend theirs, so the source has to end.
#[test]
fn fair_with_lent_slots() {
    let setup = Setup { is_busy: true, lends: true, most_turns: 1, sizes: &[1, 2], budgets: &[1, 2, 3], ..PLAIN };
    explore_at_least(1000, &setup);
}

// One thing at a time.

#[test]
fn who_was_left_out_comes_before_a_result_is_handed_over() {
    let mut law = Law::new(1, usize::MAX, usize::MAX);
    law.set_max_finished(0);
    let begin = |law: &Law, budget| {
        let mut call = Call::new(Goal::Next, true, budget);
        let mut is_start = false;
        let is_turn = law.begin(&mut call, &mut is_start);
        (call, is_turn, is_start)
    };
    let (mut call, is_turn, is_start) = begin(&law, 1);
    assert!(is_turn && is_start);
    // The budget is used up, and one of two results is handed over.
    call.polled(1);
    law.started();
    call.asked_source(true);
    law.finished();
    assert_eq!(law.next(&mut call, Counts { due: 2, ahead: 0 }), Step::Offer);

    let one = Counts { due: 1, ahead: 0 };
    let (mut call, is_turn, _) = begin(&law, 3 * QUOTA);
    assert!(!is_turn);
    let step = law.begin_elsewhere(&mut call, one);
    // Upstream gets the rest of the call, as the result waits for nothing else.
    assert_eq!((step, call.turn_left()), (Step::PollUpstream, 3 * QUOTA));
    assert_eq!(law.upstream_polled(&mut call, one, 1, false), Step::Offer);
    let (_, is_turn, is_start) = begin(&law, 3 * QUOTA);
    assert!(is_turn && is_start);
}

/// Starts so many futures of this weight, whatever the size.
fn start(law: &mut Law, futures: usize, weight: usize) {
    let size = law.size();
    law.set_size(100);
    for _ in 0..futures {
        law.set_head(weight, false);
        law.started();
        law.started_weighing(weight);
    }
    law.set_head(1, false);
    law.set_size(size);
}

#[test]
fn weights_lent_slots_and_claims_add_up() {
    let none = Counts { due: 0, ahead: 0 };
    for case in 0..4 * 4 * 4 * 4 * 4 {
        let [size, light, heavy, lent, claims] = [1, 4, 16, 64, 256].map(|place| case / place % 4);
        if size == 0 || lent > light + heavy || claims > lent {
            continue;
        }
        for weight in 1..=size {
            let mut law = Law::new(size, usize::MAX, usize::MAX);
            start(&mut law, light, 1);
            start(&mut law, heavy, 3);
            law.set_head(weight, false);
            law.set_lent(lent, claims);
            let used = light + 3 * heavy + claims - lent;
            assert_eq!(law.may_start(Goal::Next, none), used + weight <= size, "{law:?}");
            if heavy > 0 {
                law.finished();
                law.ended_weighing(3);
                law.set_lent(0, 0);
                assert_eq!(law.may_start(Goal::Next, none), light + 3 * heavy - 3 + weight <= size, "{law:?}");
            }
        }
    }
}

/// Returns the largest number for which this is true, which is so up to there.
fn last(is_true: impl Fn(usize) -> bool) -> Option<usize> {
    let first_false = (0..1000).find(|&number| !is_true(number)).unwrap_or(usize::MAX);
    first_false.checked_sub(1)
}

#[test]
fn the_bounds_on_results() {
    let mut law = Law::new(3, usize::MAX, usize::MAX);
    let due = |law: &Law, goal| last(|due| law.may_start(goal, Counts { due, ahead: 0 }));
    let held = |law: &Law, goal| last(|held| law.may_start(goal, Counts { due: 0, ahead: held }));
    assert_eq!((due(&law, Goal::Next), held(&law, Goal::Next)), (Some(3), Some(48)));
    assert_eq!((due(&law, Goal::Progress), held(&law, Goal::Progress)), (Some(3), Some(48)));
    assert_eq!(due(&law, Goal::Until), Some(usize::MAX - 1));
    law.set_size(2);
    assert_eq!((due(&law, Goal::Next), held(&law, Goal::Next)), (Some(2), Some(32)));
    // The one that all others wait for is no reason to wait.
    law.set_head(1, true);
    assert_eq!(due(&law, Goal::Next), Some(usize::MAX - 1));
    law.set_head(1, false);

    law.set_max_finished(1);
    law.set_size(5);
    assert_eq!((due(&law, Goal::Next), held(&law, Goal::Next), law.max_finished()), (Some(1), Some(1), 1));
    law.set_max_finished(0);
    assert_eq!((due(&law, Goal::Next), held(&law, Goal::Next), law.max_finished()), (Some(0), Some(0), 0));
}

#[cfg(feature = "alloc")]
#[test]
fn a_caller_that_takes_all_results_lifts_the_bound_that_nobody_has_set() {
    let most = Counts { due: 999, ahead: 0 };
    let mut law = Law::new(1, usize::MAX, usize::MAX);
    law.take_all_results();
    assert!(law.may_start(Goal::Next, most));

    let mut law = Law::new(1, usize::MAX, usize::MAX);
    law.set_max_finished(998);
    law.take_all_results();
    assert!(!law.may_start(Goal::Next, most));
}

#[test]
fn size_and_bound_are_kept_within_what_there_is_room_for() {
    let mut law = Law::new(0, 4, 6);
    assert_eq!((law.size(), law.max_finished()), (1, 1));
    law.set_size(9);
    law.set_max_finished(9);
    assert_eq!((law.size(), law.max_finished()), (4, 6));
    law.set_capacity(2, 3);
    assert_eq!((law.size(), law.max_finished()), (2, 3));
    law.set_size(0);
    assert_eq!(law.size(), 1);
    // With so little room, those held ahead of their turn count like the others, bound or not.
    let law = Law::new(3, 4, 6);
    assert_eq!(last(|held| law.may_start(Goal::Next, Counts { due: 0, ahead: held })), Some(3));
}

#[test]
fn the_count_of_polls_wraps_around() {
    let mut law = Law::new(1, 1, 1);
    law.count_polls(usize::MAX);
    law.count_polls(3);
    assert_eq!(law.polls_used(), 2);
}
