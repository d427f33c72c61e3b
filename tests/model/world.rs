//! Futures and a source under the property's control, and the trace of what happened to them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// Identifies a job: its position in the order of making.
pub type Id = usize;

/// What happened, in the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A future is being polled.
    Polled(Id),
    /// It was woken.
    Woken(Id),
    /// It returned its output.
    Ended(Id),
    /// It panicked.
    Panicked(Id),
    /// The closure was called with its item, and panicked.
    ClosurePanicked(Id),
    /// It was dropped.
    Dropped(Id),
}

/// How a future behaves: it wakes itself a number of times, and then does one of three things.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub yields: u8,
    /// Each time that it is polled, it wakes the job that was made this many before it.
    pub nudges: Option<u8>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Wait,
    Finish,
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
    closed: bool,
    /// Whether the source has said that it is at its end.
    ended: bool,
}

/// An item of the source.
#[derive(Clone, Copy, Debug)]
pub enum Supply {
    Job(Id),
    /// The closure panics over this one.
    Broken(Id),
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
        self.wake(id);
    }

    /// Wakes a job, if it has been polled and is still there.
    pub fn wake(&self, id: Id) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            let Some(waker) = inner.jobs[id].waker.clone() else { return };
            inner.events.push(Event::Woken(id));
            waker
        };
        waker.wake();
    }

    /// Wakes with a waker of a future that has gone.
    pub fn wake_late(&self, choice: usize) {
        let waker = {
            let inner = self.0.borrow();
            if inner.late.is_empty() {
                return;
            }
            inner.late[choice % inner.late.len()].clone()
        };
        waker.wake();
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
                self.0.borrow_mut().events.push(Event::ClosurePanicked(id));
                resume_unwind(Box::new("planned"));
            }
        }
    }
}

/// The future of a job. Its output is its id.
pub struct Scripted {
    id: Id,
    world: World,
}

impl Future for Scripted {
    type Output = Id;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Id> {
        let id = self.id;
        let nudged = {
            let mut inner = self.world.0.borrow_mut();
            inner.events.push(Event::Polled(id));
            inner.jobs[id].plan.nudges.and_then(|back| id.checked_sub(1 + usize::from(back)))
        };
        if let Some(sibling) = nudged {
            self.world.wake(sibling);
        }
        let plan = {
            let mut inner = self.world.0.borrow_mut();
            let job = &mut inner.jobs[id];
            job.waker = Some(cx.waker().clone());
            let plan = job.plan;
            job.plan.yields = plan.yields.saturating_sub(1);
            plan
        };
        if plan.yields > 0 {
            self.world.wake(id);
            return Poll::Pending;
        }
        let mut inner = self.world.0.borrow_mut();
        match plan.then {
            Then::Wait => Poll::Pending,
            Then::Finish => {
                inner.events.push(Event::Ended(id));
                Poll::Ready(id)
            }
            Then::Panic => {
                inner.events.push(Event::Panicked(id));
                drop(inner);
                resume_unwind(Box::new("planned"))
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let mut inner = self.world.0.borrow_mut();
        inner.events.push(Event::Dropped(self.id));
        let job = &mut inner.jobs[self.id];
        assert!(std::mem::take(&mut job.alive), "dropped twice");
        let waker = job.waker.take();
        inner.late.extend(waker);
    }
}

/// The chain's source: what was fed to it.
pub struct Scripts(pub World);

impl Stream for Scripts {
    type Item = Supply;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Supply>> {
        let mut inner = self.0.0.borrow_mut();
        assert!(!inner.ended, "polled after its end");
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
}
