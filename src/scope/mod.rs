//! The scope: tasks of unlike types, handles, and work that spawns work. See [`scope()`].
//!
//! One future polls the body and the tasks. So the pool makes progress whatever the body awaits, a task may
//! borrow what lives outside the scope, and dropping the scope drops everything in it. Nothing is spawned on an executor.
//!
//! # Guarantees
//!
//! - **No more and no less** than the size of the tasks are active at once; the body is not one of them. Tasks start in
//!   the order in which they were spawned.
//! - **No deadlock of its own making.** A task that waits for its own scope (for a [`Task`], [`exec`](Scope::exec),
//!   [`map`](Scope::map), [`itermap`](Scope::itermap), [`join`](Scope::join)) lends its slot while it waits: it is not
//!   active then, and another may run. It takes a free slot again, ahead of everything that waits to start, before it
//!   continues. So recursion that forks and joins ends at any size, 1 included. [`spawn`](Scope::spawn) inside a task
//!   does not wait for a free slot.
//! - **A panic stays with its task**, as [`TaskError::Panicked`] (feature `std`); the body and the others continue. A
//!   panic of the body drops the tasks and passes on.
//! - **Cancelling is dropping.** A cancelled task is settled and counted out immediately, and its future dropped before the
//!   scope's current or next poll returns. Unlike a coroutine of Python's, a future cannot catch that.
//! - No lock is held while code of the user's runs.
//!
//! A task counts as waiting for its scope from when an operation that waits has returned `Pending` in it until that is
//! polled again, or dropped. So if a handle is polled for a while (by a `select!`, or in a timeout by reference), and then
//! kept, the task's slot is lent whenever the task waits for anything: drop the handle, or keep it outside of the task.
//!
//! # What a handle may do where
//!
//! Handles may leave the scope: other tasks of the executor, and other threads, may spawn, wait and cancel, and are not
//! mistaken for tasks of the scope. What they wait for comes about only while the scope is polled.
//!
//! What is spawned on a scope that has ended is cancelled. So where tasks of one scope feed another, that other one has
//! to be the outer one, or its body has to wait for the first.
//!
//! # Recursion
//!
//! A recursive `async fn` can be a task of [`local_scope`]. It cannot be one of [`scope`](scope()), since the compiler
//! cannot tell whether it is `Send` before it knows whether it is: write a function that returns a boxed future.
//!
//! ```
//! # #[cfg(feature = "std")] fn main() {
//! use futures::future::{BoxFuture, FutureExt};
//! use futures_pool::{Scope, scope};
//!
//! fn count(pool: Scope<'_>, depth: u32) -> BoxFuture<'_, u32> {
//!     async move {
//!         if depth == 0 { return 1 }
//!         let branches = pool.map(0..3, |_| count(pool.clone(), depth - 1)).await;
//!         1 + branches.into_iter().map(Result::unwrap).sum::<u32>()
//!     }
//!     .boxed()
//! }
//!
//! # futures::executor::block_on(async {
//! let nodes = scope(1, async |pool| pool.exec(count(pool.clone(), 3)).await);
//! assert_eq!(nodes.await.unwrap(), 40);
//! # });
//! # }
//! # #[cfg(not(feature = "std"))] fn main() {}
//! ```
//!
//! # Cost
//!
//! A task costs two allocations: one box for its future, one for what it shares with its handle.

mod control;
mod handle;
mod iterwait;
mod task;

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

#[cfg(feature = "std")]
use futures_util::future::BoxFuture;
use futures_util::future::LocalBoxFuture;
use pin_project::pin_project;

use self::control::{Control, Id, is_before};
use self::handle::Hub;
pub use self::handle::{Exec, Join, LocalScope, Scope, Spawn, TaskBox};
pub use self::iterwait::{IterWait, KeyedIterWait, iterwait};
pub use self::task::{Task, TaskError};
use crate::active::sealed::Kind;
use crate::active::{ReadyBits, Set, SlotSet, SlotVec};
use crate::engine::{Engine, Goal, POLL_BUDGET};
use crate::finished::{Finished, Tally};
use crate::future::PoolFuture;
use crate::key::Key;
use crate::source::{Queue, Source};
use crate::sync::Arc;

/// Runs `body` together with the tasks that it spawns, of which at most `size` are active at once; gives the body's
/// output when all tasks have ended.
///
/// It is `async with AioPool(size) as pool:` of the original. The body is called immediately, with a handle that may be
/// cloned, also into tasks; it is polled, as the tasks are, when the scope is. Leaving the body joins. Tasks borrow what
/// lives outside the scope, but not the body's own locals, as with `std::thread::scope`. A size of 0 is taken as 1.
///
/// The tasks have to be `Send`, and so the scope is `Send` if its body is: it may run in `tokio::spawn`. For others there
/// is [`local_scope`].
///
/// See the [module](self) for its guarantees.
///
/// # Cancel safety
///
/// Dropping the scope drops the body and all tasks. Handles that live on give [`TaskError::Cancelled`].
///
/// # Panics
///
/// If the body does; the tasks are dropped before the panic passes on.
///
/// # Examples
///
/// ```
/// async fn length(text: &str) -> usize {
///     text.len()
/// }
///
/// # futures::executor::block_on(async {
/// let text = String::from("borrowed");
/// let total = futures_pool::scope(4, async |pool| {
///     let a = pool.spawn(length(&text)).await; // a slot was free, it runs
///     let b = pool.spawn_n(async { [1, 2, 3] }); // queued; of another type
///     let c = pool.clone(); // for tasks that spawn more
///     pool.spawn_n(async move { c.exec(length("more")).await });
///     a.await.unwrap() + b.await.unwrap().len()
/// });
/// assert_eq!(total.await, 11);
/// # });
/// ```
#[cfg(feature = "std")]
#[doc(alias = "AioPool")]
#[doc(alias = "nursery")]
pub fn scope<'env, F, Fut, T>(size: usize, body: F) -> PoolFuture<ScopeMachine<Fut, T, BoxFuture<'env, ()>>, T>
where
    F: FnOnce(Scope<'env>) -> Fut,
    Fut: Future<Output = T>,
{
    ScopeMachine::new(size, body)
}

/// Does the same as [`scope`](scope()) for tasks that need not be `Send`.
///
/// # Cancel safety
///
/// As with [`scope`](scope()): dropping it drops the body and all tasks.
///
/// # Panics
///
/// If the body does; the tasks are dropped before the panic passes on. Without the feature `std`, also if a task does.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// # futures::executor::block_on(async {
/// let shared = Rc::new(7);
/// let sum = futures_pool::local_scope(2, async |pool| {
///     let tasks = pool.map_n(0..3, |x| { let shared = Rc::clone(&shared); async move { x + *shared } });
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum.await, 24);
/// # });
/// ```
pub fn local_scope<'env, F, Fut, T>(
    size: usize,
    body: F,
) -> PoolFuture<ScopeMachine<Fut, T, LocalBoxFuture<'env, ()>>, T>
where
    F: FnOnce(LocalScope<'env>) -> Fut,
    Fut: Future<Output = T>,
{
    ScopeMachine::new(size, body)
}

/// The machine of a scope: its body, and its tasks.
#[pin_project]
pub struct ScopeMachine<Fut, T, B: Future<Output = ()>> {
    /// `None` after its end.
    #[pin]
    body: Option<Fut>,
    /// The body's output, until the tasks have ended.
    output: Option<T>,
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
    fn new<'env>(size: usize, body: impl FnOnce(Scope<'env, B>) -> Fut) -> PoolFuture<Self, T> {
        let tasks = Tasks::new(size);
        let body = body(Scope::new(Arc::clone(&tasks.hub)));
        PoolFuture::new(Self { body: Some(body), output: None, tasks }, Self::run)
    }

    fn run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let (mut body, tasks) = (this.body, this.tasks);
        assert!(body.is_some() || this.output.is_some(), "`scope` polled after its end");
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
                tasks.look();
            }
            tasks.serve_requests();
            let poll = tasks.poll(cx, &mut budget);
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
    fn new(size: usize) -> Self {
        let mut ready = ReadyBits::new();
        let body_waker = ready.waker(BODY);
        let control = Arc::new(Control::new(size, ready.waker(REQUESTS)));
        Self {
            engine: Engine::new(size, SlotSet.make(), Tally::default()),
            queue: Queue::new(),
            spare: Vec::new(),
            ready,
            body_waker,
            body_woken: true,
            requests: false,
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
        let cancelled = control.take_cancelled();
        let cancel_before = control.is_cancelling().then(|| control.cancel_before());
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
        for number in cancelled {
            self.remove(number);
        }
        if let Some(before) = cancel_before {
            self.remove_all_before(before);
            control.finish_cancelling(before);
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

    /// Drops all tasks with numbers before this.
    #[expect(clippy::cast_possible_truncation)]
    fn remove_all_before(&mut self, before: Id) {
        let is_before = |number: u64| is_before(number as Id, before);
        while self.queue.len() > 0 && is_before(self.queue.first_number()) {
            drop(self.queue.pop());
        }
        let mut slots = Vec::new();
        self.engine.active.for_each(&mut |slot, number| {
            if is_before(number) {
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
        let mut is_wanted_elsewhere = |_: Pin<&mut _>, source: &Waiting<'_, B>, is_idle| {
            control.serve(source.queue.len(), is_idle);
            look(ready, body_woken, requests);
            rounds += 1;
            (is_idle || rounds >= ROUNDS) && (*body_woken || *requests)
        };
        Pin::new(engine).run(cx, Pin::new(&mut source), budget, Goal::Until, &mut is_wanted_elsewhere)
    }

    /// Ends the scope, unless a task has been spawned meanwhile.
    fn close(&mut self) -> bool {
        let closed = self.hub.inbox.with(|inbox| {
            inbox.closed = inbox.tasks.is_empty();
            inbox.closed
        });
        if closed {
            self.hub.control.close();
        }
        closed
    }

    /// Ends the scope, and drops all tasks.
    fn abandon(&mut self) {
        let spawned = self.hub.inbox.with(|inbox| {
            inbox.closed = true;
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
