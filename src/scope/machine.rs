//! [`ScopeMachine`]: polls the body of a scope, and its tasks.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project::pin_project;

use super::control::Control;
use super::counts::{Cuts, is_before};
use super::handle::Scope;
use super::hub::{Accepts, Hub};
use crate::active::sealed::Kind;
use crate::active::{ReadyBits, Set, SlotSet, SlotVec};
use crate::engine::{Engine, Goal, POLL_BUDGET};
use crate::finished::{Finished, Tally};
use crate::future::PoolFuture;
use crate::key::Key;
use crate::source::{Queue, Source};
use crate::sync::Arc;

/// The machine of a scope: its body, and its tasks.
#[pin_project]
pub struct ScopeMachine<Fut, T, B: Future<Output = ()>> {
    /// `None` after its end.
    #[pin]
    body: Option<Fut>,
    /// The body's output, until the tasks have ended.
    output: Option<T>,
    /// Returns whether the scope ends with that output at once.
    is_end: fn(&T) -> bool,
    tasks: Tasks<B>,
}

/// The tasks of a scope, and what else wakes it.
struct Tasks<B: Future<Output = ()>> {
    engine: Engine<SlotVec<B>, Tally>,
    queue: Queue<B>,
    /// The inbox to come, empty.
    spare: Vec<B>,
    /// Wakes the scope for the body, and for requests of its handles.
    ready: ReadyBits,
    body_waker: Waker,
    /// Whether the body has been woken since it was last polled.
    body_woken: bool,
    /// Whether handles have made requests: spawned, cancelled, or changed settings.
    requests: bool,
    /// Tasks that were cancelled, and are to be dropped.
    cancelled: VecDeque<u64>,
    hub: Arc<Hub<B>>,
}

/// How many rounds of the engine the body and the requests wait for, unless nothing else is to be done: most tasks that
/// end are awaited by the body, and it need not be polled for each.
const ROUNDS: usize = 16;

/// The largest inbox that is kept for later, in tasks.
const SPARE: usize = 1024;

/// The place of the body among the ready bits, and that of the requests.
const BODY: usize = 0;
const REQUESTS: usize = 1;

impl<Fut: Future<Output = T>, T, B: Future<Output = ()>> ScopeMachine<Fut, T, B> {
    pub(super) fn new<'env>(size: usize, body: impl FnOnce(Scope<'env, B>) -> Fut) -> PoolFuture<Self, T> {
        PoolFuture::new(Self::with_body(size, body, |_| false), Self::run)
    }

    /// Creates the machine, and calls the body, whose output may end it at once.
    pub(super) fn with_body<'env>(
        size: usize,
        body: impl FnOnce(Scope<'env, B>) -> Fut,
        is_end: fn(&T) -> bool,
    ) -> Self {
        let tasks = Tasks::new(size, false);
        let body = body(Scope::new(Arc::clone(&tasks.hub)));
        Self { body: Some(body), output: None, is_end, tasks }
    }

    /// Creates a machine without a body, which ends with `output` once no handle is left, or it was closed. Returns the first handle.
    pub(super) fn without_body(size: usize, output: T) -> (Scope<'static, B>, Self) {
        let tasks = Tasks::new(size, true);
        let scope = Scope::keeping(Arc::clone(&tasks.hub));
        (scope, Self { body: None, output: Some(output), is_end: |_| false, tasks })
    }

    pub(super) fn control(&self) -> &Control {
        &self.tasks.hub.control
    }

    /// Drops the body, and then the tasks, before the end.
    pub(super) fn abandon(self: Pin<&mut Self>) {
        let mut this = self.project();
        let abandon = Abandon { tasks: this.tasks };
        this.body.set(None);
        drop(abandon);
    }

    /// Polls body and tasks. If [a task has failed](Control::fail), it returns `Pending` without more ado.
    pub(super) fn run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let (mut body, tasks) = (this.body, this.tasks);
        assert!(body.is_some() || this.output.is_some(), "a scope was polled after its end");
        let hub = Arc::clone(&tasks.hub);
        let _mark = hub.control.enter_scope();
        let mut budget = POLL_BUDGET;
        // Other threads may make requests without end, which take no polls.
        let mut turns = 2 * POLL_BUDGET;
        tasks.ready.unpark();
        while budget > 0 && turns > 0 {
            turns -= 1;
            tasks.look();
            if mem::take(&mut tasks.body_woken) && body.is_some() {
                budget -= 1;
                let abandon = Abandon { tasks };
                let mut cx = Context::from_waker(&abandon.tasks.body_waker);
                let poll = body.as_mut().as_pin_mut().map(|body| body.poll(&mut cx));
                if let Some(Poll::Ready(output)) = poll {
                    *this.output = Some(output);
                    body.set(None);
                }
                mem::forget(abandon);
                if this.output.as_ref().is_some_and(|output| (this.is_end)(output)) {
                    tasks.abandon();
                    return this.output.take().map_or(Poll::Pending, Poll::Ready);
                }
                tasks.look();
            }
            tasks.serve_requests();
            let poll = tasks.poll(cx, &mut budget);
            if hub.control.has_failed() {
                return Poll::Pending;
            }
            if tasks.body_woken || tasks.requests {
                continue;
            }
            if poll == Poll::Ready(false) && body.is_none() && tasks.close() {
                return this.output.take().map_or(Poll::Pending, Poll::Ready);
            }
            if budget > 0 {
                if tasks.ready.park(cx.waker()) {
                    return Poll::Pending;
                }
                // Woken for nothing, maybe: late wake-ups count as well, or this could loop for ever.
                budget -= 1;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Drops the tasks if the body panics.
struct Abandon<'a, B: Future<Output = ()>> {
    tasks: &'a mut Tasks<B>,
}

impl<B: Future<Output = ()>> Drop for Abandon<'_, B> {
    fn drop(&mut self) {
        self.tasks.abandon();
    }
}

impl<B: Future<Output = ()>> Tasks<B> {
    // Without the standard library, a scope and its handles stay on one thread, and an `Arc` is a slower `Rc`.
    #[cfg_attr(not(feature = "std"), allow(clippy::arc_with_non_send_sync))]
    fn new(size: usize, is_kept: bool) -> Self {
        let mut ready = ReadyBits::new();
        let body_waker = ready.waker(BODY);
        let control = Arc::new(Control::new(size, is_kept, ready.waker(REQUESTS)));
        Self {
            engine: Engine::new(size, SlotSet.make(), Tally::default()),
            queue: Queue::new(),
            spare: Vec::new(),
            ready,
            body_waker,
            body_woken: true,
            requests: false,
            cancelled: VecDeque::new(),
            hub: Arc::new(Hub::new(control)),
        }
    }

    /// Records who was woken.
    fn look(&mut self) {
        look(&mut self.ready, &mut self.body_woken, &mut self.requests);
    }

    /// Does what handles have asked for.
    fn serve_requests(&mut self) {
        if !self.requests {
            return;
        }
        let hub = Arc::clone(&self.hub);
        let control = &*hub.control;
        control.refresh();
        // Before the inbox: a task that was spawned and then cancelled meanwhile is in the queue when it is to be dropped.
        control.take_cancelled(&mut self.cancelled);
        let cuts = control.cuts();
        let mut spawned = hub.inbox.with(|inbox| {
            inbox.announced = false;
            mem::replace(&mut inbox.tasks, mem::take(&mut self.spare))
        });
        for task in spawned.drain(..) {
            self.queue.push(task);
        }
        if spawned.capacity() <= SPARE {
            self.spare = spawned;
        }
        // One at a time: if a destructor panics, the others are dropped by the next poll.
        while let Some(number) = self.cancelled.pop_front() {
            self.remove(number);
        }
        if let Some(cuts) = cuts {
            self.sweep(cuts);
            control.swept(cuts);
        }
        // These wake the task. If its waker panics, they are looked at again.
        if control.size() != self.engine.law.size() {
            self.engine.set_size(control.size());
        }
        if control.is_paused() != self.engine.law.is_paused() {
            self.engine.set_paused(control.is_paused());
        }
        self.requests = false;
    }

    /// Drops a task that was cancelled.
    fn remove(&mut self, number: u64) {
        if let Some(task) = self.queue.remove(Key(number)) {
            drop(task);
        } else if let Some(slot) = self.engine.finished.slot(number, |visit| self.engine.active.for_each(visit)) {
            self.engine.finished.skip(number);
            Pin::new(&mut self.engine).cancel(slot);
        }
    }

    /// Drops all tasks below these cuts.
    #[expect(clippy::cast_possible_truncation)]
    fn sweep(&mut self, cuts: Cuts) {
        while self.queue.len() > 0 && cuts.reach(self.queue.first_number() as usize, false) {
            drop(self.queue.pop());
        }
        let Some(all) = cuts.all else { return };
        if self.engine.law.active() == 0 {
            return;
        }
        // Without the standard library, destructors may panic here: then one at a time, as two at once would abort the program.
        if cfg!(feature = "std") && !is_before(all, self.engine.next_number() as usize) {
            // None has started since: all slots at once, so that the next time it does not take long to find those in use.
            self.engine.finished.forget_all();
            return Pin::new(&mut self.engine).cancel_all();
        }
        let mut slots = Vec::new();
        self.engine.active.for_each(&mut |slot, number| {
            if cuts.reach(number as usize, true) {
                slots.push((slot, number));
            }
        });
        for (slot, number) in slots {
            self.engine.finished.skip(number);
            Pin::new(&mut self.engine).cancel(slot);
        }
    }

    /// Polls and starts tasks. `Ready(false)`: no task is left. Afterwards there may be something to do for the body, or
    /// for handles.
    fn poll(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<bool> {
        let Self { engine, queue, ready, body_woken, requests, hub, .. } = self;
        let control = &*hub.control;
        let mut source = Waiting { queue, control };
        let mut rounds = 0;
        let mut is_wanted_elsewhere = |_: Pin<&mut _>, _: &Waiting<'_, B>, is_idle| {
            control.serve();
            look(ready, body_woken, requests);
            rounds += 1;
            control.has_failed() || ((is_idle || rounds >= ROUNDS) && (*body_woken || *requests))
        };
        Pin::new(engine).run(cx, Pin::new(&mut source), budget, Goal::Until, &mut is_wanted_elsewhere)
    }

    /// Ends the scope, unless a task has been spawned meanwhile, or may be by a handle that keeps it.
    fn close(&mut self) -> bool {
        // In this order: the last handle may have spawned something before it was dropped.
        let is_kept = self.hub.control.is_kept();
        let closed = self.hub.inbox.with(|inbox| {
            let may_close = inbox.tasks.is_empty() && (!is_kept || inbox.accepts != Accepts::Everybodys);
            if may_close {
                inbox.accepts = Accepts::Nobodys;
            }
            may_close
        });
        if closed {
            self.hub.control.close();
        }
        closed
    }

    /// Ends the scope, and drops all tasks.
    fn abandon(&mut self) {
        let spawned = self.hub.inbox.with(|inbox| {
            inbox.accepts = Accepts::Nobodys;
            mem::take(&mut inbox.tasks)
        });
        let waiting = self.queue.take_all();
        Pin::new(&mut self.engine).cancel_all();
        drop((waiting, spawned));
        self.hub.control.close();
    }
}

/// Records who was woken.
fn look(ready: &mut ReadyBits, body_woken: &mut bool, requests: &mut bool) {
    while let Some(woken) = ready.next() {
        match woken {
            BODY => *body_woken = true,
            _ => *requests = true,
        }
    }
}

// Breaks the circles of tasks that hold handles.
impl<B: Future<Output = ()>> Drop for Tasks<B> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The queue of a scope, as the engine sees it.
struct Waiting<'a, B> {
    queue: &'a mut Queue<B>,
    control: &'a Control,
}

impl<B> Source<B> for Waiting<'_, B> {
    const LENDS: bool = true;

    fn poll_take<T>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut usize,
        start: impl FnOnce(u64, B) -> T,
    ) -> Poll<Option<T>> {
        // The engine goes by what it knew when requests were last served.
        let next = if self.control.is_stale() { None } else { self.get_mut().queue.pop() };
        Poll::Ready(next.map(|(number, task)| start(number, task)))
    }

    fn is_done(&self) -> bool {
        self.queue.len() == 0
    }

    fn lent(&self) -> (usize, usize) {
        self.control.lent()
    }
}

impl<Fut, T, B: Future<Output = ()>> fmt::Debug for ScopeMachine<Fut, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = &self.tasks.hub.control;
        f.debug_struct("ScopeFuture")
            .field("size", &control.size())
            .field("waiting", &control.waiting())
            .field("active", &control.active())
            .finish_non_exhaustive()
    }
}
