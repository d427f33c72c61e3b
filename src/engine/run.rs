//! The driver: does what the [law](super::law) says.
//!
//! It stands once in the code of each pool, and each thing that it does with the user's types stands once in it. It decides
//! nothing: after each step it tells the law what came of it, and is told the next one.

use core::pin::Pin;
use core::task::{Context, Poll};

use super::Engine;
use super::call::{Counts, Goal, Nothing};
use super::law::{Law, Step};
use crate::active::{Set, Woken};
use crate::finished::Finished;
use crate::source::Source;

/// The caller's condition for the end of a call with the goal [`Goal::Until`].
pub(crate) trait Condition<E, Src> {
    /// Returns whether it is reached; `is_idle` tells that no future was polled since it was last asked.
    fn is_reached(&mut self, engine: Pin<&mut E>, source: &Src, is_idle: bool) -> bool;
}

impl<E, Src, C: FnMut(Pin<&mut E>, &Src, bool) -> bool + ?Sized> Condition<E, Src> for C {
    fn is_reached(&mut self, engine: Pin<&mut E>, source: &Src, is_idle: bool) -> bool {
        self(engine, source, is_idle)
    }
}

/// The condition of calls with another goal, which is never asked for.
pub(crate) struct Unconditional;

impl<E, Src> Condition<E, Src> for Unconditional {
    #[inline(always)]
    fn is_reached(&mut self, _: Pin<&mut E>, _: &Src, _: bool) -> bool {
        true
    }
}

impl<S: Set, R: Finished<Output = <S::Future as Future>::Output>> Engine<S, R> {
    /// Makes the pool do what it can, until the goal is reached.
    ///
    /// - `Ready(true)`: it is reached. With [`Goal::Next`], a result is due.
    /// - `Ready(false)`: it is not, and no future is active, and none waits. With [`Goal::Progress`]: no future is active, and
    ///   none can start before a result is taken.
    /// - `Pending`: it is not; the task will be woken, or has been if the budget is used up.
    ///
    /// `budget` is what is left of the caller's poll budget.
    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "it stands once in the code of each pool, and so does each thing in it")]
    pub(crate) fn run<Src: Source<S::Future>, C: Condition<Self, Src> + ?Sized>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        budget: &mut usize,
        goal: Goal,
        condition: &mut C,
    ) -> Poll<bool> {
        let mut guard = RunGuard::new(self);
        let given = *budget;
        let (left, mut used_upstream) = (budget, 0);
        tell_lent(&*source, guard.engine.as_mut().project().law);
        // The straight line is the first round: no step is asked for as long as everything is as it mostly is.
        let (mut call, mut budget, first) = guard.engine.law.begin(goal, Src::HAS_UPSTREAM, given);
        let mut is_straight = first.is_some();
        let mut step = if let Some(step) = first {
            step
        } else {
            let engine = guard.engine.as_mut().project();
            let step;
            (step, budget) = engine.law.begin_elsewhere(&mut call, budget, counts(engine.finished));
            step
        };
        let poll = 'call: loop {
            if matches!(step, Step::PollWoken | Step::Start) {
                let mut is_start = step == Step::Start;
                // One turn, or on the straight line those of the woken futures and of those that wait. One loop for both, so that
                // what is done with a future stands once in the code of each pool.
                let is_filled = 'turn: loop {
                    let mut engine = guard.engine.as_mut().project();
                    let slot = if is_start {
                        let counts = counts(engine.finished);
                        if !engine.law.may_start(goal, counts) {
                            break 'turn true;
                        }
                        if !budget.has_turn() {
                            break 'turn false;
                        }
                        // The poll for the future itself is reserved, as the source may use up what is left.
                        budget.left -= 1;
                        let before = budget.left;
                        let taken = source.as_mut().poll_take(cx, &mut budget.left, |number, future| {
                            engine.law.started();
                            if *engine.next != number {
                                engine.finished.skip_range(*engine.next..number);
                            }
                            *engine.next = number + 1;
                            engine.active.as_mut().insert(number, future)
                        });
                        call.may_be_woken();
                        if Src::HAS_UPSTREAM {
                            used_upstream += before - budget.left;
                            call.asked_upstream();
                        }
                        match taken {
                            Poll::Ready(Some(slot)) => slot,
                            Poll::Ready(None) => {
                                budget.left += 1;
                                call.nothing_to_start(Nothing::Empty);
                                break 'turn true;
                            }
                            Poll::Pending => {
                                budget.left += 1;
                                call.nothing_to_start(Nothing::Pending);
                                break 'turn true;
                            }
                        }
                    } else {
                        let woken = if engine.law.may_poll_woken(budget) {
                            engine.active.as_mut().next_woken(cx, budget.turn())
                        } else {
                            Woken::None(0)
                        };
                        match woken {
                            Woken::Slot(slot) => {
                                budget.left -= 1;
                                slot
                            }
                            Woken::None(polls) => {
                                budget.left -= polls;
                                call.none_woken(
                                    polls == 0 && (budget.turn() > S::KEPT_POLLS || budget.left <= S::KEPT_POLLS),
                                );
                                if !is_straight || !engine.law.fill_slots_next(&mut call, &mut budget) {
                                    break 'turn false;
                                }
                                is_start = true;
                                continue 'turn;
                            }
                            Woken::Finished(number, output, polls) => {
                                budget.left -= polls;
                                engine.law.finished();
                                if engine.finished.push(number, output) {
                                    (step, budget) = engine.law.close(budget);
                                    break 'turn false;
                                }
                                tell_lent(&*source, engine.law);
                                if engine.law.is_enough(goal, &mut budget) {
                                    if !is_straight || !engine.law.fill_slots_next(&mut call, &mut budget) {
                                        break 'turn false;
                                    }
                                    is_start = true;
                                }
                                continue 'turn;
                            }
                        }
                    };
                    if let Poll::Ready((number, output)) = engine.active.as_mut().poll_slot(cx, slot) {
                        // The output is kept, and the future counted out, before its destructor runs, which may panic.
                        engine.law.finished();
                        let is_last = engine.finished.push(number, output);
                        if is_last {
                            (step, budget) = engine.law.close(budget);
                        }
                        engine.active.as_mut().vacate(slot);
                        tell_lent(&*source, engine.law);
                        if is_last {
                            break 'turn false;
                        }
                        if !is_start && engine.law.is_enough(goal, &mut budget) {
                            if !is_straight || !engine.law.fill_slots_next(&mut call, &mut budget) {
                                break 'turn false;
                            }
                            is_start = true;
                            continue 'turn;
                        }
                    } else {
                        if is_start {
                            engine.finished.started(*engine.next - 1, slot);
                        } else if budget.left < S::FREE_POLLS {
                            // Of the last polls, those are free that leave the future active, if the set says so.
                            budget.left += 1;
                        }
                        tell_lent(&*source, engine.law);
                    }
                    if Src::LENDS && is_start && engine.law.has_lent() {
                        break 'turn false;
                    }
                };
                let engine = guard.engine.as_mut().project();
                let counted = counts(engine.finished);
                if is_straight && is_filled && Law::hands_over_next(goal, budget, counted) {
                    break 'call Poll::Ready(true);
                }
                if step != Step::Close {
                    (step, budget) = engine.law.next(&mut call, budget, counted);
                }
            }
            is_straight = false;
            // What else there is to do, one step after the other, until it is another turn.
            loop {
                let engine = guard.engine.as_mut().project();
                (step, budget) = match step {
                    Step::PollWoken | Step::Start => continue 'call,
                    Step::Offer => {
                        if condition.is_reached(guard.engine.as_mut(), &source, call.is_idle(budget)) {
                            break 'call Poll::Ready(true);
                        }
                        let engine = guard.engine.as_mut().project();
                        tell_lent(&*source, engine.law);
                        if engine.law.active() == 0 && source.is_done() {
                            break 'call Poll::Ready(false);
                        }
                        engine.law.declined(&mut call, budget, counts(engine.finished))
                    }
                    Step::PollUpstream => {
                        let (given, before) = (budget.turn(), source.polls_used());
                        let mut left = given;
                        let _ = source.as_mut().poll_progress(cx, &mut left);
                        // An adaptor does not tell the pool upstream how many polls are left, but that pool counts them.
                        let polls = source.polls_used().wrapping_sub(before).max(given - left);
                        used_upstream += polls.min(budget.left);
                        engine.law.upstream_polled(&mut call, budget, counts(engine.finished), polls, left == 0)
                    }
                    Step::Rest => {
                        let counts = counts(engine.finished);
                        let can_start =
                            !source.is_done() && (goal != Goal::Progress || engine.law.may_start(goal, counts));
                        if engine.law.active() == 0 && !can_start {
                            break 'call Poll::Ready(false);
                        }
                        if engine.active.park(cx, engine.law.active() == 0) {
                            break 'call Poll::Pending;
                        }
                        engine.law.not_parked(&mut call, budget, counts)
                    }
                    Step::Yield => {
                        cx.waker().wake_by_ref();
                        break 'call Poll::Pending;
                    }
                    Step::Close => {
                        guard.engine.as_mut().close(source.as_mut());
                        let engine = guard.engine.as_mut().project();
                        engine.law.closed(&mut call, budget, counts(engine.finished))
                    }
                };
            }
        };
        guard.engine.as_mut().project().law.count_polls(given - budget.left - used_upstream);
        *left = budget.left;
        poll
    }

    /// Drops everything but the last result. Destructors may panic: then the next call comes here again.
    #[cold]
    #[inline(never)]
    fn close<Src: Source<S::Future>>(self: Pin<&mut Self>, source: Pin<&mut Src>) {
        let engine = self.project();
        engine.law.cancelled(engine.law.active());
        engine.finished.drop_rest();
        source.close();
        engine.active.clear();
    }

    /// Starts one future, whatever the size and the bound on results: one poll.
    #[cfg(feature = "alloc")]
    pub(crate) fn start_now(self: Pin<&mut Self>, cx: &mut Context<'_>, number: u64, future: S::Future) {
        let mut guard = RunGuard::new(self);
        let mut engine = guard.engine.as_mut().project();
        *engine.next = number + 1;
        engine.law.started_now();
        let slot = engine.active.as_mut().insert(number, future);
        match engine.active.as_mut().poll_slot(cx, slot) {
            Poll::Pending => engine.finished.started(number, slot),
            Poll::Ready((number, output)) => {
                engine.law.finished();
                engine.finished.push(number, output);
                engine.active.vacate(slot);
            }
        }
    }
}

/// Tells the law how many slots are lent, if the source lends any.
#[inline(always)]
fn tell_lent<Fut, Src: Source<Fut>>(source: &Src, law: &mut Law) {
    if Src::LENDS {
        let (lent, claims) = source.lent();
        law.set_lent(lent, claims);
    }
}

/// Returns how many results are due and held.
#[inline(always)]
fn counts<R: Finished>(finished: &R) -> Counts {
    Counts { due: finished.due(), held: finished.held() }
}

/// As long as it lives, the pool is being polled. If a panic passes through, it removes the future that has panicked.
struct RunGuard<'a, S: Set, R: Finished> {
    engine: Pin<&'a mut Engine<S, R>>,
    _polling: S::Guard,
}

impl<'a, S: Set, R: Finished> RunGuard<'a, S, R> {
    #[inline(always)]
    fn new(mut engine: Pin<&'a mut Engine<S, R>>) -> Self {
        let polling = engine.as_mut().project().active.enter();
        Self { engine, _polling: polling }
    }
}

impl<S: Set, R: Finished> Drop for RunGuard<'_, S, R> {
    #[inline(always)]
    fn drop(&mut self) {
        let engine = self.engine.as_mut().project();
        if let Some(number) = engine.active.recover() {
            engine.law.cancelled(1);
            engine.finished.skip(number);
        }
    }
}
