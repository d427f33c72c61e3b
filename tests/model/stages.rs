//! Drives a chain of two stages, the second directly on the first or behind an adaptor: each keeps the law, and the first
//! makes progress while the second is full.

use std::collections::HashSet;
use std::future::pending;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::StreamExt;
use futures_pool::{Progress, prelude::*};

use crate::bench::Bench;
use crate::program::Op;
use crate::reference::{Call, Outcome, POLLS, Reference};
use crate::world::{Event, Id, Out, Plan, Scripts, Supply, Then, World, id_of};

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub ordered: bool,
    pub next_ordered: bool,
    /// Whether there is an adaptor between the two.
    pub driven: bool,
    pub next_size: usize,
}

struct Stages {
    /// Its model is that of the first stage.
    bench: Bench,
    next: Reference,
    driven: bool,
    stream: Pin<Box<dyn Progress<Item = Out>>>,
    /// The jobs of the second stage.
    of_next: HashSet<Id>,
    /// Whether the first stage has handed something over in the last call.
    handed_over: bool,
    /// Results that have left the first stage and not come to the second.
    between: Vec<Id>,
}

impl Stages {
    fn feed(&mut self, item: Supply) {
        let (Supply::Job(id) | Supply::Broken(id)) = item;
        self.bench.model.waiting.push(id);
        self.bench.world.feed(item);
    }

    fn push(&mut self, plan: Plan) {
        let id = self.bench.world.job(plan);
        self.bench.world.plan_next(plan);
        self.feed(Supply::Job(id));
    }

    /// Brings both models up to date.
    fn settle(&mut self) {
        let mut handed_over = false;
        for event in self.bench.world.take_events() {
            match event {
                Event::Handed(id) => {
                    self.bench.model.hand_over(id);
                    handed_over = true;
                    self.between.push(id);
                    assert_eq!(self.between.len(), 1, "more than one item ahead");
                }
                Event::Passed(id, next) => {
                    if self.driven {
                        assert_eq!(self.between.pop(), Some(id));
                    } else {
                        self.bench.model.hand_over(id);
                        handed_over = true;
                    }
                    self.of_next.insert(next);
                    self.next.waiting.push(next);
                }
                Event::Polled(id)
                | Event::Woken(id)
                | Event::Ended(id)
                | Event::Failed(id)
                | Event::Panicked(id)
                | Event::Dropped(id)
                    if self.of_next.contains(&id) =>
                {
                    self.next.happened(event);
                }
                _ => self.bench.model.happened(event),
            }
        }
        self.handed_over = handed_over;
    }

    fn call(
        &mut self,
        call: Call,
        f: impl FnOnce(Pin<&mut dyn Progress<Item = Out>>, &mut Context<'_>) -> Poll<Outcome>,
    ) -> Outcome {
        self.bench.model.begin(call);
        self.next.begin(call);
        let before = self.bench.wakes.count();
        let stream = self.stream.as_mut();
        let outcome = self.bench.attempt(|cx| f(stream, cx));
        self.settle();
        let woke = self.bench.wakes.count() > before;
        let (polls, next_polls) = (self.bench.model.polls(), self.next.polls());
        // Each stage keeps one poll back for a future that it may get.
        (self.bench.model.elsewhere, self.next.elsewhere) = (next_polls + 2, polls);
        assert!(polls + next_polls <= most_polls(self.driven), "too many polls in one call");
        if outcome != Outcome::Panicked {
            // A call that hands over need not have polled the first stage, which hands nothing to the caller.
            let handed_over = matches!(outcome, Outcome::Ready(_));
            if !handed_over || self.handed_over {
                self.bench.model.just_handed_over = handed_over;
                self.bench.model.at_rest(&Outcome::Done, woke);
                self.bench.model.just_handed_over = false;
            }
            let ready = self.between.len() + self.bench.model.due();
            let idle = self.next.has_room() && ready > 0;
            // Behind an adaptor the second stage may hear of what the first has done only in the next call.
            let out_of_polls = polls + next_polls + 1 >= POLLS && (woke || handed_over);
            assert!(
                !idle || out_of_polls || (self.driven && woke),
                "the second stage is idle: {polls} and {next_polls} polls"
            );
        }
        if outcome != Outcome::Pending {
            self.next.at_rest(&outcome, woke);
        } else if !woke {
            // What the second stage wakes of the first, after that has been polled, wakes the task.
            assert!(self.bench.model.is_asleep() && self.next.is_asleep(), "woken and not polled");
            assert!(call != Call::Next || self.next.due() == 0, "pending with a result");
            assert!(call != Call::Next || self.left() > 0 || self.bench.model.has_more(), "pending over nothing");
        }
        self.bench.parked = (outcome == Outcome::Pending).then_some(before);
        outcome
    }

    /// How many futures and results are left.
    fn left(&self) -> usize {
        let models = [&self.bench.model, &self.next];
        self.between.len() + models.iter().map(|model| model.len() + model.finished.len()).sum::<usize>()
    }

    fn poll(&mut self) -> Outcome {
        let outcome =
            self.call(Call::Next, |stream, cx| stream.poll_next(cx).map(|item| Outcome::Ready(item.map(id_of))));
        if outcome == Outcome::Ready(None) {
            assert_eq!(self.left(), 0, "ended with something left");
        }
        outcome
    }

    fn complete(&mut self, id: Id, then: Then) {
        self.bench.world.complete(id, then);
        self.woken();
    }

    fn woken(&mut self) {
        let parked = self.bench.parked;
        self.settle();
        if let (Some(before), false) = (parked, self.bench.model.is_asleep() && self.next.is_asleep()) {
            assert!(self.bench.wakes.count() > before, "a wake-up was lost");
        }
    }

    fn apply(&mut self, op: Op) {
        let jobs = self.bench.world.jobs();
        let open = self.bench.model.open;
        match op {
            Op::Complete(job, then) if jobs > 0 => self.complete(job.index(jobs), then),
            Op::CompleteMany(count) => {
                for id in jobs.saturating_sub(count)..jobs {
                    self.complete(id, Then::Finish);
                }
            }
            Op::Wake(job, abroad) if jobs > 0 => {
                self.bench.world.wake(job.index(jobs), abroad);
                self.woken();
            }
            Op::WakeLate(choice, abroad) => self.bench.world.wake_late(choice.index(1000), abroad),
            Op::Push(plan) if open => self.push(plan),
            Op::PushMany(plan, count) if open => (0..count).for_each(|_| self.push(plan)),
            Op::Broken if open => {
                let id = self.bench.world.job(Plan::new(Then::Finish));
                self.feed(Supply::Broken(id));
            }
            Op::SourceSleeps(times) => self.bench.world.source_sleeps(times),
            Op::Close => {
                self.bench.model.open = false;
                self.bench.world.close();
            }
            Op::Poll(times) => (0..times).for_each(|_| {
                self.poll();
            }),
            Op::Progress(times) => {
                for _ in 0..times {
                    // What is left may be in flight in either stage.
                    self.call(Call::Progress, |stream, cx| stream.poll_progress(cx).map(|()| Outcome::Done));
                }
            }
            Op::Drive => {
                self.call(Call::Progress, |mut stream, cx| {
                    pin!(stream.drive(pending::<()>())).poll(cx).map(|()| Outcome::Done)
                });
            }
            _ => {}
        }
    }

    fn compare(&self) {
        let active = self.bench.model.active.len() + self.next.active.len();
        assert_eq!(self.bench.world.alive(), active, "futures alive");
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Close);
        let mut completed = 0;
        loop {
            // Those of the second stage are made as it goes.
            for id in completed..self.bench.world.jobs() {
                self.complete(id, Then::Finish);
            }
            completed = self.bench.world.jobs();
            match self.poll() {
                Outcome::Ready(None) => break,
                Outcome::Pending if completed == self.bench.world.jobs() => self.bench.must_have_woken(),
                _ => {}
            }
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
        assert_eq!(self.poll(), Outcome::Ready(None), "fused");
    }
}

/// The most futures that one call may poll. An adaptor asks the upstream pool for an item without telling how many
/// polls are left.
fn most_polls(driven: bool) -> usize {
    if driven { 2 * POLLS - 1 } else { POLLS }
}

/// Makes the chain.
fn build(kind: Kind, size: usize, max_finished: Option<usize>, world: &World) -> Pin<Box<dyn Progress<Item = Out>>> {
    let (making, passing, leaving) = (world.clone(), world.clone(), world.clone());
    let make = move |item| making.make(item);
    let pass = move |out| passing.pass(id_of(out));
    let leave = move |&out: &Out| leaving.note(Event::Handed(id_of(out)));
    macro_rules! next {
        ($first:expr) => {{
            let first = match max_finished {
                Some(results) => $first.max_finished(results),
                None => $first,
            };
            match (kind.driven, kind.next_ordered) {
                (false, true) => Box::pin(first.pool_map(kind.next_size, pass)),
                (false, false) => Box::pin(first.pool_map(kind.next_size, pass).unordered()),
                (true, true) => Box::pin(first.inspect(leave).driven().pool_map(kind.next_size, pass)),
                (true, false) => Box::pin(first.inspect(leave).driven().pool_map(kind.next_size, pass).unordered()),
            }
        }};
    }
    let scripts = Scripts(world.clone());
    if kind.ordered { next!(scripts.pool_map(size, make)) } else { next!(scripts.pool_map(size, make).unordered()) }
}

pub fn run(kind: Kind, size: usize, max_finished: Option<usize>, ops: Vec<Op>, finish: bool) {
    let mut model = Reference::new(size.max(1), max_finished, kind.ordered);
    model.open = true;
    model.most_polls = most_polls(kind.driven);
    let bench = Bench::new(model);
    let stream = build(kind, size, max_finished, &bench.world);
    let next = Reference::new(kind.next_size, None, kind.next_ordered);
    let mut stages = Stages {
        bench,
        next,
        driven: kind.driven,
        stream,
        of_next: HashSet::new(),
        handed_over: false,
        between: vec![],
    };
    for op in ops {
        stages.apply(op);
        stages.compare();
    }
    if finish {
        stages.finish();
    } else {
        drop(stages.stream);
        stages.bench.gone();
    }
}
