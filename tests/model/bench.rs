//! What all drivers share: the world, the model, and the task that polls.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::common::Wakes;
use crate::program::Op;
use crate::reference::{self, Call, Outcome, Reference};
use crate::world::{Event, Id, PLANNED, Then, World};

pub struct Bench {
    pub world: World,
    pub model: Reference,
    pub wakes: Arc<Wakes>,
    pub waker: Waker,
    /// The count of wakes when the last poll returned `Pending`; `None` if it returned something else.
    pub parked: Option<usize>,
}

impl Bench {
    pub fn new(model: Reference) -> Self {
        let (wakes, waker) = Wakes::new();
        Self { world: World::default(), model, wakes, waker, parked: None }
    }

    /// Brings the model up to date.
    pub fn settle(&mut self) {
        for event in self.world.take_events() {
            self.model.happened(event);
        }
    }

    /// Does something that polls, and checks it.
    pub fn call(&mut self, call: Call, f: impl FnOnce(&mut Context<'_>) -> Poll<Outcome>) -> Outcome {
        self.model.begin(call);
        self.call_begun(f)
    }

    /// The same, where the model knows of the call already.
    pub fn call_begun(&mut self, f: impl FnOnce(&mut Context<'_>) -> Poll<Outcome>) -> Outcome {
        let before = self.wakes.count();
        let outcome = self.attempt(f);
        self.settle();
        self.model.consumer_is_busy = self.world.consumer_is_busy();
        self.rest(&outcome, before);
        outcome
    }

    /// Checks what must hold at rest.
    fn rest(&mut self, outcome: &Outcome, before: usize) {
        self.model.at_rest(outcome, self.wakes.count() > before);
        self.parked = (*outcome == Outcome::Pending).then_some(before);
    }

    /// Calls `f` with the task, and catches its panic if that was planned.
    pub fn attempt(&self, f: impl FnOnce(&mut Context<'_>) -> Poll<Outcome>) -> Outcome {
        match catch_unwind(AssertUnwindSafe(|| f(&mut Context::from_waker(&self.waker)))) {
            Ok(Poll::Pending) => Outcome::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) if is_planned(&*payload) => Outcome::Panicked,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Polls an async method, which is not bound by the bound on results and hands nothing over, and says whether it is over.
    pub fn method(&mut self, poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) -> bool {
        self.call(Call::Until, |cx| poll(cx).map(|()| Outcome::Done)) != Outcome::Pending
    }

    /// Polls an async method a number of times, unless it is over before; something happens between the polls.
    pub fn methods(&mut self, times: usize, mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
        for _ in 0..times {
            if self.method(&mut poll) {
                break;
            }
            if let Some(&oldest) = self.model.active.first() {
                self.complete(oldest, Then::Finish);
            }
        }
    }

    /// `drive`, which is pending whether or not anything is left in flight.
    pub fn drive(&mut self, poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) {
        self.model.begin(Call::Progress);
        let before = self.wakes.count();
        let mut outcome = self.attempt(|cx| poll(cx).map(|()| Outcome::Done));
        self.settle();
        if outcome == Outcome::Pending && self.model.is_idle() {
            outcome = Outcome::Idle;
        }
        self.rest(&outcome, before);
    }

    /// Checks that what has just been done has woken the task, if that was parked.
    pub fn must_have_woken(&self) {
        if let Some(before) = self.parked {
            assert!(self.wakes.count() > before, "a wake-up was lost");
        }
    }

    pub fn complete(&mut self, id: Id, then: Then) {
        self.world.complete(id, then);
        self.woken();
    }

    /// Brings the model up to date after what was done outside of a poll: if that has woken a future, the task is woken.
    pub fn woken(&mut self) {
        let events = self.world.take_events();
        let woken = |event: &Event| matches!(event, Event::Woken(id) if self.model.active.contains(id));
        if events.iter().any(woken) {
            self.must_have_woken();
        }
        for event in events {
            self.model.happened(event);
        }
    }

    /// Does what has nothing to do with the form of the pool; gives the other operations back.
    pub fn common(&mut self, op: Op) -> Option<Op> {
        let jobs = self.world.jobs();
        match op {
            Op::Complete(job, then) if jobs > 0 => self.complete(job.index(jobs), then),
            Op::CompleteMany(count) => {
                for id in jobs.saturating_sub(count)..jobs {
                    self.complete(id, Then::Finish);
                }
            }
            Op::Wake(job, abroad) if jobs > 0 => {
                self.world.wake(job.index(jobs), abroad);
                self.woken();
            }
            Op::WakeLate(choice, abroad) => self.world.wake_late(choice.index(1000), abroad),
            other => return Some(other),
        }
        None
    }

    /// The pool has been dropped.
    pub fn gone(&self) {
        assert_eq!(self.world.alive(), 0, "futures outlived their pool");
        let before = self.wakes.count();
        (0..50).for_each(|choice| self.world.wake_late(choice, choice == 0));
        if !self.model.forwards {
            assert_eq!(self.wakes.count(), before, "a pool that is gone woke its task");
        }
    }
}

fn is_planned(payload: &(dyn Any + Send)) -> bool {
    payload.downcast_ref::<String>().is_some_and(|message| message.starts_with(PLANNED))
}

/// A `FuturesUnordered` is stopped by two futures that wake themselves instead of being polled.
pub const UNORDERED_SLACK: usize = 2;

/// What is different where the futures have the task's own waker.
pub fn forwarding(model: &mut Reference, slots: usize) {
    model.most = slots;
    model.forwards = true;
    // A future that wakes itself wakes the task, and is polled in the next call.
    model.slack = reference::POLLS;
}

/// How many slots a pool in place gets that is asked for this size; it has that size then.
pub fn slots_for(size: usize) -> usize {
    match size {
        0..=1 => 1,
        2..=3 => 3,
        4..=5 => 5,
        _ => 32,
    }
}
