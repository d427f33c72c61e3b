//! The driver: does what the [law](super::law) says.
//!
//! It stands once in the code of each pool, and each thing that it does with the user's types stands once in it. It decides
//! nothing: after each step it tells the law what came of it, and is told the next one.

use core::mem;
use core::pin::Pin;
use core::sync::atomic::{Ordering, compiler_fence};
use core::task::{Context, Poll};

use super::Engine;
use super::call::{Call, Counts, Goal, Nothing};
use super::law::{Law, Step};
use crate::active::{Entry, Keep, NONE, Set, Woken};
use crate::finished::Finished;
use crate::source::{Admit, Head, Source};

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
    #[inline]
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        budget: &mut usize,
        goal: Goal,
        condition: &mut C,
    ) -> Poll<bool> {
        let _polling = self.as_mut().project().active.enter();
        let mut guard = RunGuard(self);
        let mut used_upstream = 0;
        let mut call = Call::new(goal, Src::HAS_UPSTREAM, *budget);
        let mut is_start = false;
        let mut step = None;
        {
            let engine = guard.0.as_mut().project();
            if Src::ADMITS {
                settle(source.as_mut(), engine.law, engine.finished, engine.unsettled);
            }
            tell_law(&*source, engine.law, engine.finished);
            if !engine.law.begin(&mut call, &mut is_start) {
                step = Some(engine.law.begin_elsewhere(&mut call, counts(engine.finished)));
            }
        }
        let poll = 'call: loop {
            let next = if let Some(next) = step {
                next
            } else {
                // A turn of the woken futures, and then one of those that wait; or the second alone. One loop for both, so that what
                // is done with a future stands once in the code of each pool.
                let is_filled = 'turn: loop {
                    // The loop mostly runs once or twice. So what it reads and writes is not worth loading before it.
                    compiler_fence(Ordering::AcqRel);
                    let engine = guard.0.as_mut().project();
                    let mut outputs = Outputs { law: engine.law, finished: engine.finished, has_last: false };
                    let entry;
                    let mut slot = NONE;
                    if is_start {
                        if !outputs.law.may_start(goal, counts(outputs.finished)) {
                            break 'turn true;
                        }
                        if !call.has_turn() {
                            break 'turn false;
                        }
                        // The poll for the future itself is reserved, as the source may use up what is left.
                        call.polled(1);
                        let before = call.left();
                        let mut weight = 1;
                        if Src::ADMITS {
                            let size = outputs.law.size_for_defaults();
                            let admit = source.as_mut().poll_head(cx, call.left_mut(), size);
                            call.asked_source(Src::HAS_UPSTREAM);
                            let nothing = match admit {
                                Poll::Ready(Admit::Head(head)) => {
                                    weight = set_head(outputs.law, head, outputs.finished);
                                    None
                                }
                                Poll::Ready(Admit::OutOfBudget) => break 'turn false,
                                Poll::Ready(Admit::NotEligible) => Some(Nothing::NotEligible),
                                Poll::Ready(Admit::Empty) => Some(Nothing::Empty),
                                Poll::Pending => Some(Nothing::Pending),
                            };
                            if let Some(nothing) = nothing {
                                call.nothing_to_start(nothing);
                            }
                            if nothing.is_some() || !outputs.law.may_start(goal, counts(outputs.finished)) {
                                if Src::HAS_UPSTREAM {
                                    used_upstream += before - call.left();
                                }
                                call.give_back();
                                break 'turn true;
                            }
                        }
                        let taken = source.as_mut().poll_take(cx, call.left_mut(), |number, future| {
                            outputs.law.started();
                            if Src::ADMITS {
                                *engine.next = (*engine.next).max(number + 1);
                            } else {
                                if *engine.next != number {
                                    outputs.finished.skip_range(*engine.next..number);
                                }
                                *engine.next = number + 1;
                            }
                            engine.active.insert(number, future)
                        });
                        if Src::HAS_UPSTREAM {
                            used_upstream += before - call.left();
                        }
                        call.asked_source(Src::HAS_UPSTREAM);
                        entry = match taken {
                            Poll::Ready(Some(entry)) => {
                                if Src::ADMITS {
                                    source.as_mut().started(entry.slot(), weight);
                                    outputs.law.started_weighing(weight);
                                }
                                Some(entry)
                            }
                            nothing => {
                                call.give_back();
                                let is_pending = nothing.is_pending();
                                call.nothing_to_start(if is_pending { Nothing::Pending } else { Nothing::Empty });
                                break 'turn true;
                            }
                        };
                    } else {
                        let woken = if outputs.law.may_poll_woken(&call) {
                            engine.active.next_woken(cx, call.turn_left())
                        } else {
                            Woken::None(0)
                        };
                        match woken {
                            Woken::Slot(woken) => {
                                call.polled(1);
                                entry = Some(woken);
                            }
                            Woken::Late => continue 'turn,
                            Woken::Finished(finished, number, output, polls) => {
                                call.polled(polls);
                                outputs.keep(number, output);
                                slot = finished;
                                entry = None;
                            }
                            Woken::None(polls) => {
                                call.polled(polls);
                                let is_short = call.turn_left() <= S::KEPT_POLLS && call.left() > S::KEPT_POLLS;
                                call.none_woken(polls == 0 && !is_short);
                                is_start = outputs.law.fill_slots_next(&mut call);
                                if is_start {
                                    continue 'turn;
                                }
                                break 'turn false;
                            }
                        }
                    }
                    let poll = match entry {
                        Some(entry) => {
                            slot = entry.slot();
                            if Src::ADMITS {
                                *engine.unsettled = slot;
                            }
                            entry.poll(cx, &mut outputs)
                        }
                        None => Some(Poll::Ready(())),
                    };
                    let Outputs { law, finished, has_last } = outputs;
                    if Src::ADMITS {
                        *engine.unsettled = NONE;
                        if poll == Some(Poll::Ready(())) {
                            law.ended_weighing(source.as_mut().ended(slot));
                            call.has_ended();
                        }
                    }
                    tell_law(&*source, law, finished);
                    match poll {
                        Some(Poll::Ready(())) if has_last => break 'turn false,
                        Some(Poll::Ready(())) if !is_start && law.is_enough(goal, &mut call) => {
                            is_start = law.fill_slots_next(&mut call);
                            if !is_start {
                                break 'turn false;
                            }
                            continue 'turn;
                        }
                        Some(Poll::Ready(())) => {}
                        Some(Poll::Pending) if is_start => finished.started(*engine.next - 1, slot),
                        Some(Poll::Pending) => {
                            if call.left() < S::FREE_POLLS {
                                // Of the last polls, those are free that leave the future active, if the set says so.
                                call.give_back();
                            }
                        }
                        // Nobody is there: a wake-up that came late.
                        None => call.give_back(),
                    }
                    if Src::LENDS && is_start && law.has_lent() {
                        break 'turn false;
                    }
                };
                let engine = guard.0.as_mut().project();
                let counts = counts(engine.finished);
                let next =
                    if is_filled { engine.law.slots_filled(&mut call, goal, counts, Src::HAS_UPSTREAM) } else { None };
                match next {
                    Some(next) => next,
                    None => engine.law.next(&mut call, counts),
                }
            };
            let engine = guard.0.as_mut().project();
            step = Some(match next {
                Step::PollWoken | Step::Start => {
                    is_start = next == Step::Start;
                    step = None;
                    continue 'call;
                }
                Step::Offer => {
                    if condition.is_reached(guard.0.as_mut(), &source, call.is_idle()) {
                        break 'call Poll::Ready(true);
                    }
                    let engine = guard.0.as_mut().project();
                    tell_law(&*source, engine.law, engine.finished);
                    if engine.law.active() == 0 && source.is_done() {
                        break 'call Poll::Ready(false);
                    }
                    engine.law.declined(&mut call, counts(engine.finished))
                }
                Step::PollUpstream if Src::HAS_UPSTREAM => {
                    let (given, before) = (call.turn_left(), source.polls_used());
                    let mut left = given;
                    let _ = source.as_mut().poll_progress(cx, &mut left);
                    // An adaptor does not tell the pool upstream how many polls are left, but that pool counts them.
                    let polls = source.polls_used().wrapping_sub(before).max(given - left);
                    used_upstream += polls.min(call.left());
                    engine.law.upstream_polled(&mut call, counts(engine.finished), polls, left == 0)
                }
                Step::Rest => {
                    let counts = counts(engine.finished);
                    let is_empty = engine.law.active() == 0;
                    let none_can_start =
                        || source.is_done() || goal == Goal::Progress && !engine.law.may_start(goal, counts);
                    if is_empty && none_can_start() {
                        break 'call Poll::Ready(false);
                    }
                    if engine.active.park(cx, is_empty) {
                        break 'call Poll::Pending;
                    }
                    engine.law.not_parked(&mut call, counts)
                }
                Step::Close => {
                    source.as_mut().close();
                    (guard.0.close)(guard.0.as_mut());
                    let engine = guard.0.as_mut().project();
                    engine.law.closed(&mut call, counts(engine.finished))
                }
                Step::PollUpstream | Step::Yield => {
                    wake(cx);
                    break 'call Poll::Pending;
                }
            });
        };
        guard.0.as_mut().project().law.count_polls(*budget - call.left() - used_upstream);
        *budget = call.left();
        mem::forget(guard);
        poll
    }

    /// Starts one future, whatever the size and the bound on results: one poll.
    #[cfg(feature = "alloc")]
    pub(crate) fn start_now(mut self: Pin<&mut Self>, cx: &mut Context<'_>, number: u64, future: S::Future) {
        let _polling = self.as_mut().project().active.enter();
        let mut guard = RunGuard(self);
        let engine = guard.0.as_mut().project();
        *engine.next = number + 1;
        engine.law.started_now();
        let entry = engine.active.insert(number, future);
        let slot = entry.slot();
        let mut outputs = Outputs { law: engine.law, finished: engine.finished, has_last: false };
        if entry.poll(cx, &mut outputs) == Some(Poll::Pending) {
            outputs.finished.started(number, slot);
        }
        mem::forget(guard);
    }
}

/// Wakes the task that polls.
#[cold]
#[inline(never)]
fn wake(cx: &Context<'_>) {
    cx.waker().wake_by_ref();
}

/// Tells the law what it has to know of the source: how many slots are lent, if it lends any; and which future is the head, if
/// it admits.
#[inline]
fn tell_law<Fut, Src: Source<Fut>, R: Finished>(source: &Src, law: &mut Law, finished: &R) {
    if Src::LENDS {
        let (lent, claims) = source.lent();
        law.set_lent(lent, claims);
    }
    if Src::ADMITS {
        match source.head() {
            Some(head) => _ = set_head(law, head, finished),
            None => law.set_head(1, false),
        }
    }
}

/// Tells the law which future is the head. Returns what that weighs: at least 1, and at most the size.
fn set_head<R: Finished>(law: &mut Law, head: Head, finished: &R) -> usize {
    let weight = head.weight.clamp(1, law.size());
    law.set_head(weight, finished.is_next(head.number));
    weight
}

/// Tells the source of a future that ended when a panic passed through, and the results of an item that was lost then.
fn settle<Fut, Src: Source<Fut>, R: Finished>(
    mut source: Pin<&mut Src>,
    law: &mut Law,
    finished: &mut R,
    unsettled: &mut usize,
) {
    let slot = mem::replace(unsettled, NONE);
    if slot != NONE {
        law.ended_weighing(source.as_mut().ended(slot));
    }
    if let Some(number) = source.take_lost() {
        finished.skip(number);
    }
}

/// Returns how many results are due and held.
#[inline]
fn counts<R: Finished>(finished: &R) -> Counts {
    Counts { due: finished.due(), ahead: finished.ahead() }
}

/// What the output of a future goes through.
struct Outputs<'a, R> {
    law: &'a mut Law,
    finished: &'a mut R,
    /// Whether there was the last one that is wanted.
    has_last: bool,
}

impl<R: Finished> Keep<R::Output> for Outputs<'_, R> {
    // The output is kept, and the future counted out, before its destructor runs, which may panic.
    #[inline]
    fn keep(&mut self, number: u64, output: R::Output) {
        self.law.finished();
        if self.finished.push(number, output) {
            self.law.close();
            self.has_last = true;
        }
    }
}

/// Removes the future that has panicked, if one has.
#[cold]
#[inline(never)]
fn recover<S: Set, R: Finished>(engine: Pin<&mut Engine<S, R>>) {
    let engine = engine.project();
    if let Some((number, slot)) = engine.active.recover() {
        engine.law.cancelled(1);
        engine.finished.skip(number);
        *engine.unsettled = slot;
    }
}

/// Dropped only if a panic passes through: removes the future that has panicked.
struct RunGuard<'a, S: Set, R: Finished>(Pin<&'a mut Engine<S, R>>);

impl<S: Set, R: Finished> Drop for RunGuard<'_, S, R> {
    #[inline]
    fn drop(&mut self) {
        recover(self.0.as_mut());
    }
}
