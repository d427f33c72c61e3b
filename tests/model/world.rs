//! Futures, a source, a timer and a consumer under the property's control, and the trace of what happened to them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;

use futures::Stream;

/// Identifies a job: its position in the order of making.
pub type Id = usize;

/// The output of a job: its id, as an error if it ended by [`Then::Fail`].
pub type Out = Result<Id, Id>;

pub fn id_of(output: Out) -> Id {
    match output {
        Ok(id) | Err(id) => id,
    }
}

/// What the message of a planned panic begins with. The job's id follows, if it is a job that panics.
pub const PLANNED: &str = "planned ";

fn panic_as_planned(job: Option<Id>) -> ! {
    resume_unwind(Box::new(format!("{PLANNED}{}", job.map(|id| id.to_string()).unwrap_or_default())))
}

/// What happened, in the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A future is being polled.
    Polled(Id),
    /// It was woken.
    Woken(Id),
    /// It returned its output.
    Ended(Id),
    /// It returned an error.
    Failed(Id),
    /// It panicked.
    Panicked(Id),
    /// The closure was called with its item, and panicked.
    ClosurePanicked(Id),
    /// It was dropped.
    Dropped(Id),
    /// The source has woken its task instead of giving what it has.
    SourceSlept,
    /// The rule of the batches was asked about its result, and said this.
    Judged(Id, bool),
    /// The timer of the batches has fired.
    TimerFired,
    /// Its result was handed to the consumer of `for_each`.
    Handed(Id),
    /// The closure of a second stage was called with the first one's result, and made the second one.
    Passed(Id, Id),
}

/// How a future behaves: it wakes itself a number of times, and then does one of three things.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub yields: u8,
    /// Each time that it is polled, it wakes the job that was made this many before it.
    pub nudges: Option<u8>,
    /// When it is dropped, it wakes the job that was made this many before it.
    pub farewell: Option<u8>,
    /// Whether all that it wakes is woken on another thread.
    pub abroad: bool,
    pub then: Then,
}

impl Plan {
    pub const fn new(then: Then) -> Self {
        Self { yields: 0, nudges: None, farewell: None, abroad: false, then }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Wait,
    Finish,
    Fail,
    Panic,
}

struct Job {
    plan: Plan,
    waker: Option<Waker>,
    /// Whether its future exists.
    alive: bool,
}

#[derive(Default)]
struct Inner {
    jobs: Vec<Job>,
    events: Vec<Event>,
    /// Wakers of futures that have gone.
    late: Vec<Waker>,
    supply: VecDeque<Supply>,
    source_waker: Option<Waker>,
    /// How many more times the source wakes its task instead of giving what it has.
    source_sleeps: usize,
    closed: bool,
    /// Whether the source has said that it is at its end.
    ended: bool,
    timer: Gate,
    consumer: Gate,
    /// What the second stage's futures do, in turn.
    next_plans: VecDeque<Plan>,
}

/// What something waits for, other than a job.
#[derive(Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

/// An item of the source.
#[derive(Clone, Copy, Debug)]
pub enum Supply {
    Job(Id),
    /// The closure panics over this one.
    Broken(Id),
}

/// Another thread, which wakes what it is sent.
struct Abroad {
    wakers: Sender<Waker>,
    woken: Receiver<()>,
}

impl Abroad {
    fn new() -> Self {
        let (wakers, to_wake) = channel::<Waker>();
        let (done, woken) = channel();
        thread::spawn(move || {
            for waker in to_wake {
                waker.wake();
                // If nobody waits for it, the test is over.
                let _ = done.send(());
            }
        });
        Self { wakers, woken }
    }

    /// Wakes on the other thread, and waits until that is done.
    fn wake(&self, waker: Waker) {
        self.wakers.send(waker).expect("the other thread runs");
        self.woken.recv().expect("a waker has panicked");
    }
}

thread_local! {
    static ABROAD: Abroad = Abroad::new();
}

fn wake(waker: Waker, abroad: bool) {
    if abroad { ABROAD.with(|thread| thread.wake(waker)) } else { waker.wake() }
}

#[derive(Clone, Default)]
pub struct World(Rc<RefCell<Inner>>);

impl World {
    /// Makes a job; its future comes later, if ever.
    pub fn job(&self, plan: Plan) -> Id {
        let mut inner = self.0.borrow_mut();
        inner.jobs.push(Job { plan, waker: None, alive: false });
        inner.jobs.len() - 1
    }

    pub fn future(&self, id: Id) -> Scripted {
        self.0.borrow_mut().jobs[id].alive = true;
        Scripted { id, world: self.clone() }
    }

    pub fn note(&self, event: Event) {
        self.0.borrow_mut().events.push(event);
    }

    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().events)
    }

    /// Lets a job end when it is next polled, and wakes it if it waits.
    pub fn complete(&self, id: Id, then: Then) {
        {
            let plan = &mut self.0.borrow_mut().jobs[id].plan;
            if plan.then != Then::Wait {
                return;
            }
            plan.then = then;
        }
        self.wake(id, false);
    }

    /// Wakes a job, if it has been polled and is still there.
    pub fn wake(&self, id: Id, abroad: bool) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            let Some(waker) = inner.jobs[id].waker.clone() else { return };
            inner.events.push(Event::Woken(id));
            waker
        };
        wake(waker, abroad);
    }

    /// Wakes with a waker of a future that has gone.
    pub fn wake_late(&self, choice: usize, abroad: bool) {
        let waker = {
            let inner = self.0.borrow();
            if inner.late.is_empty() {
                return;
            }
            inner.late[choice % inner.late.len()].clone()
        };
        wake(waker, abroad);
    }

    pub fn feed(&self, item: Supply) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            inner.supply.push_back(item);
            inner.source_waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn close(&self) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            inner.closed = true;
            inner.source_waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Lets the source wake its task this many times instead of giving what it has.
    pub fn source_sleeps(&self, times: usize) {
        self.0.borrow_mut().source_sleeps = times;
    }

    pub fn jobs(&self) -> usize {
        self.0.borrow().jobs.len()
    }

    pub fn alive(&self) -> usize {
        self.0.borrow().jobs.iter().filter(|job| job.alive).count()
    }

    /// What the chain's closure does.
    pub fn make(&self, item: Supply) -> Scripted {
        match item {
            Supply::Job(id) => self.future(id),
            Supply::Broken(id) => {
                self.note(Event::ClosurePanicked(id));
                panic_as_planned(None);
            }
        }
    }

    /// The rule of the batches: about every fourth result ends one.
    pub fn judge(&self, id: Id) -> bool {
        let verdict = id % 4 == 3;
        self.note(Event::Judged(id, verdict));
        verdict
    }

    /// Says what the next future of the second stage does.
    pub fn plan_next(&self, plan: Plan) {
        self.0.borrow_mut().next_plans.push_back(plan);
    }

    /// What the closure of a second stage does.
    pub fn pass(&self, id: Id) -> Scripted {
        let plan = self.0.borrow_mut().next_plans.pop_front().unwrap_or(Plan::new(Then::Wait));
        let next = self.job(plan);
        self.note(Event::Passed(id, next));
        self.future(next)
    }

    /// What the consumer does with a result. It takes its time over every other one.
    pub fn consume(&self, id: Id) -> Gated {
        self.note(Event::Handed(id));
        self.0.borrow_mut().consumer.open = id % 2 == 0;
        Gated { world: self.clone(), gate: |inner| &mut inner.consumer, fired: None }
    }

    /// Whether the consumer is at work.
    pub fn consumer_is_busy(&self) -> bool {
        self.0.borrow().consumer.waker.is_some()
    }

    /// Lets the consumer come to its end.
    pub fn release_consumer(&self) {
        self.open(|inner| &mut inner.consumer);
    }

    pub fn timer(&self) -> Gated {
        Gated { world: self.clone(), gate: |inner| &mut inner.timer, fired: Some(Event::TimerFired) }
    }

    /// Lets the timer fire.
    pub fn fire(&self) {
        self.open(|inner| &mut inner.timer);
    }

    fn open(&self, gate: fn(&mut Inner) -> &mut Gate) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            let gate = gate(&mut inner);
            gate.open = true;
            gate.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A future that ends when it is let through its gate.
pub struct Gated {
    world: World,
    gate: fn(&mut Inner) -> &mut Gate,
    fired: Option<Event>,
}

impl Future for Gated {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.0.borrow_mut();
        let gate = (self.gate)(&mut inner);
        if std::mem::take(&mut gate.open) {
            gate.waker = None;
            inner.events.extend(self.fired);
            return Poll::Ready(());
        }
        gate.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The future of a job. Its output is its id.
pub struct Scripted {
    id: Id,
    world: World,
}

impl Future for Scripted {
    type Output = Out;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Out> {
        let id = self.id;
        let plan = {
            let mut inner = self.world.0.borrow_mut();
            inner.events.push(Event::Polled(id));
            inner.jobs[id].plan
        };
        if let Some(sibling) = plan.nudges.and_then(|back| id.checked_sub(1 + usize::from(back))) {
            self.world.wake(sibling, plan.abroad);
        }
        {
            let mut inner = self.world.0.borrow_mut();
            let job = &mut inner.jobs[id];
            job.waker = Some(cx.waker().clone());
            job.plan.yields = plan.yields.saturating_sub(1);
        }
        if plan.yields > 0 {
            self.world.wake(id, plan.abroad);
            return Poll::Pending;
        }
        let (event, poll) = match plan.then {
            Then::Wait => return Poll::Pending,
            Then::Finish => (Event::Ended(id), Poll::Ready(Ok(id))),
            Then::Fail => (Event::Failed(id), Poll::Ready(Err(id))),
            Then::Panic => (Event::Panicked(id), Poll::Pending),
        };
        self.world.note(event);
        if plan.then == Then::Panic {
            panic_as_planned(Some(id));
        }
        poll
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let farewell = {
            let mut inner = self.world.0.borrow_mut();
            inner.events.push(Event::Dropped(self.id));
            let job = &mut inner.jobs[self.id];
            assert!(std::mem::take(&mut job.alive), "dropped twice");
            let waker = job.waker.take();
            let plan = job.plan;
            inner.late.extend(waker);
            plan.farewell.map(|back| (1 + usize::from(back), plan.abroad))
        };
        if let Some((back, abroad)) = farewell {
            if let Some(sibling) = self.id.checked_sub(back) {
                self.world.wake(sibling, abroad);
            }
        }
    }
}

/// The chain's source: what was fed to it.
pub struct Scripts(pub World);

impl Stream for Scripts {
    type Item = Supply;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Supply>> {
        let mut inner = self.0.0.borrow_mut();
        assert!(!inner.ended, "polled after its end");
        if inner.source_sleeps > 0 {
            inner.source_sleeps -= 1;
            inner.events.push(Event::SourceSlept);
            drop(inner);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(item) = inner.supply.pop_front() {
            return Poll::Ready(Some(item));
        }
        if inner.closed {
            inner.ended = true;
            return Poll::Ready(None);
        }
        inner.source_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let inner = self.0.0.borrow();
        let len = inner.supply.len();
        (len, inner.closed.then_some(len))
    }
}

/// The same as an iterator, which cannot wait: all has to be fed before it is first asked.
pub struct ScriptsIter(pub World);

impl Iterator for ScriptsIter {
    type Item = Supply;

    fn next(&mut self) -> Option<Supply> {
        let mut inner = self.0.0.borrow_mut();
        assert!(!inner.ended, "asked after its end");
        let item = inner.supply.pop_front();
        inner.ended = item.is_none();
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.0.0.borrow().supply.len();
        (len, Some(len))
    }
}
