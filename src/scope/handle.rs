//! [`Scope`]: the handle, and the operations that wait.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::future::{BoxFuture, LocalBoxFuture};

use super::control::{Control, EndWait, RoomWait};
use super::iterwait::{Arriving, IterWait, iterwait};
use super::task::{Cell, Task, TaskError, Tracked};
use crate::engine::POLL_BUDGET;
use crate::future::PoolFuture;
use crate::lock::Lock;
use crate::sync::Arc;

/// The handle of a scope: pushes tasks into it, from its body, from its tasks, or from elsewhere.
///
/// It can be cloned, and all clones are the same. Those that tasks hold make no leak: when the scope has ended, a handle
/// is an empty shell, and what is spawned on it is [`Cancelled`](TaskError::Cancelled).
///
/// The operations that wait, called inside a task of the same scope, lend the task's slot meanwhile; see the
/// [module](super).
///
/// # Examples
///
/// ```
/// use futures_pool::{Scope, Task, local_scope, scope};
///
/// /// Gives work to a scope that others use, too.
/// struct Desk<'env> {
///     pool: Scope<'env>,
/// }
///
/// impl<'env> Desk<'env> {
///     fn count(&self, text: &'env str) -> Task<usize> {
///         self.pool.spawn_n(async move { text.split(' ').count() })
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let text = String::from("to be borrowed");
/// let words = scope(2, async |pool| {
///     let desk = Desk { pool: pool.clone() };
///     desk.count(&text).await.unwrap()
/// });
/// assert_eq!(words.await, 3);
///
/// let ended = local_scope(1, async |pool| pool.clone()).await;
/// assert!(ended.spawn_n(async {}).await.unwrap_err().is_cancelled());
/// # });
/// ```
#[doc(alias = "AioPool")]
pub struct Scope<'env, B = BoxFuture<'env, ()>> {
    hub: Arc<Hub<B>>,
    env: PhantomData<&'env ()>,
}

/// The handle of a [`local_scope`](super::local_scope): a [`Scope`] whose tasks need not be `Send`.
///
/// # Examples
///
/// ```
/// use futures_pool::{LocalScope, local_scope};
/// use std::cell::Cell;
///
/// fn count_down<'env>(pool: LocalScope<'env>, left: &'env Cell<u32>) {
///     if left.replace(left.get() - 1) > 1 {
///         pool.clone().spawn_n(async move { count_down(pool, left) });
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let left = Cell::new(10); // not to be shared between threads
/// local_scope(1, |pool| { count_down(pool, &left); async {} }).await;
/// assert_eq!(left.get(), 0);
/// # });
/// ```
pub type LocalScope<'env> = Scope<'env, LocalBoxFuture<'env, ()>>;

/// What the handles of a scope share with it.
pub(super) struct Hub<B> {
    pub(super) control: Arc<Control>,
    pub(super) inbox: Lock<Inbox<B>>,
}

/// The tasks that were spawned since the scope last looked.
pub(super) struct Inbox<B> {
    pub(super) tasks: Vec<B>,
    /// Whether the scope has been told to look.
    pub(super) announced: bool,
    /// Whether the scope has ended.
    pub(super) closed: bool,
    /// The number of the next task.
    next: u64,
}

/// A task in its box, with its cell.
struct Packed<T, B> {
    task: B,
    cell: Arc<Cell<T>>,
}

/// The cell of a task that was pushed, and whether the scope has yet to be told.
struct Spawned<T> {
    cell: Arc<Cell<T>>,
    announce: bool,
}

impl<T> Spawned<T> {
    fn announce(self, control: &Control) -> Task<T> {
        if self.announce {
            control.wake();
        }
        Task::new(self.cell)
    }
}

impl<B> Inbox<B> {
    fn push<T>(&mut self, Packed { task, cell }: Packed<T, B>, control: &Control) -> Spawned<T> {
        cell.spawned(self.next);
        self.tasks.push(task);
        self.next += 1;
        control.count_spawned(self.next);
        Spawned { cell, announce: !mem::replace(&mut self.announced, true) }
    }
}

impl<B> Hub<B> {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self { control, inbox: Lock::new(Inbox { tasks: Vec::new(), announced: false, closed: false, next: 0 }) }
    }
}

/// The boxes in which a scope keeps its tasks: those of [`scope`](super::scope()) take what is `Send`, those of
/// [`local_scope`](super::local_scope) take everything.
///
/// It is sealed: use it in bounds only.
///
/// # Examples
///
/// ```
/// use futures_pool::{Scope, Task, local_scope, scope, scope::TaskBox};
/// use std::future::{Ready, ready};
///
/// /// Spawns on a scope of either kind.
/// fn double<B: TaskBox<Ready<u32>>>(pool: &Scope<'_, B>, x: u32) -> Task<u32> {
///     pool.spawn_n(ready(2 * x))
/// }
///
/// # futures::executor::block_on(async {
/// let four = scope(1, async |pool| double(&pool, 2).await.unwrap());
/// assert_eq!(four.await, 4);
/// let six = local_scope(1, async |pool| double(&pool, 3).await.unwrap());
/// assert_eq!(six.await, 6);
/// # });
/// ```
pub trait TaskBox<F: Future>: Future<Output = ()> + sealed::Sealed {
    /// Puts a task into its box.
    fn pin(task: Tracked<F, F::Output>) -> Self;
}

mod sealed {
    use futures_util::future::{BoxFuture, LocalBoxFuture};

    pub trait Sealed {}

    impl Sealed for BoxFuture<'_, ()> {}
    impl Sealed for LocalBoxFuture<'_, ()> {}
}

#[cfg(feature = "std")]
impl<'env, F> TaskBox<F> for BoxFuture<'env, ()>
where
    F: Future + Send + 'env,
    F::Output: Send + 'env,
{
    fn pin(task: Tracked<F, F::Output>) -> Self {
        Box::pin(task)
    }
}

impl<'env, F> TaskBox<F> for LocalBoxFuture<'env, ()>
where
    F: Future + 'env,
    F::Output: 'env,
{
    fn pin(task: Tracked<F, F::Output>) -> Self {
        Box::pin(task)
    }
}

impl<'env, B> Scope<'env, B> {
    pub(super) fn new(hub: Arc<Hub<B>>) -> Self {
        Self { hub, env: PhantomData }
    }

    fn control(&self) -> &Control {
        &self.hub.control
    }

    /// Pushes a task into the queue; gives the future back if there has to be room and is none.
    fn push<F: Future>(&self, future: F, only_with_room: bool) -> Result<Task<F::Output>, F>
    where
        B: TaskBox<F>,
    {
        let control = &self.hub.control;
        let pushed = self.hub.inbox.with(|inbox| {
            let number = inbox.next;
            if inbox.closed {
                inbox.next = number + 1;
                return Err((future, Some(number)));
            }
            if only_with_room && self.is_full() {
                return Err((future, None));
            }
            let packed = self.pack(future);
            Ok(inbox.push(packed, control))
        });
        match pushed {
            Ok(spawned) => Ok(spawned.announce(control)),
            Err((future, None)) => Err(future),
            Err((future, Some(number))) => {
                drop(future);
                Ok(Task::new(Arc::new(Cell::cancelled(number, Arc::clone(control)))))
            }
        }
    }

    /// Puts a future into the box of its task, which has yet to be spawned.
    fn pack<F: Future>(&self, future: F) -> Packed<F::Output, B>
    where
        B: TaskBox<F>,
    {
        let cell = Arc::new(Cell::new(Arc::clone(&self.hub.control)));
        Packed { task: B::pin(Tracked::new(future, Arc::clone(&cell))), cell }
    }

    /// Pushes a task into the queue.
    fn push_packed<T>(&self, packed: Packed<T, B>) -> Task<T> {
        let control = &self.hub.control;
        let pushed = self.hub.inbox.with(|inbox| {
            if inbox.closed {
                let number = inbox.next;
                inbox.next = number + 1;
                return Err((packed, number));
            }
            Ok(inbox.push(packed, control))
        });
        match pushed {
            Ok(spawned) => spawned.announce(control),
            Err((packed, number)) => {
                drop(packed);
                Task::new(Arc::new(Cell::cancelled(number, Arc::clone(control))))
            }
        }
    }

    /// Pushes a task into the queue. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     let number = pool.spawn_n(async { 7 });
    ///     let word = pool.spawn_n(async { "seven" });
    ///     assert_eq!((number.await.unwrap(), word.await.unwrap()), (7, "seven"));
    /// })
    /// .await;
    /// # });
    /// ```
    #[doc(alias = "push")]
    pub fn spawn_n<F: Future>(&self, future: F) -> Task<F::Output>
    where
        B: TaskBox<F>,
    {
        match self.push(future, false) {
            Ok(task) => task,
            Err(_) => unreachable!("the queue always has room"),
        }
    }

    /// Waits for a free slot, starts the task in it, and gives its handle.
    ///
    /// It is first come, first served: the task goes to the end of the queue, and is counted as waiting, until it
    /// starts. Inside a task of the same scope it never waits, since the slots could all be held by tasks that do. On a
    /// [paused](Self::pause) scope it waits until that is resumed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the task has started, it drops the task and nothing else. Dropped later, the task is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(2, async |pool| {
    ///     for x in 0..10 {
    ///         pool.spawn(async move { x }).await; // never holds more than two unfinished tasks
    ///     }
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn spawn<F: Future>(&self, future: F) -> Spawn<'_, 'env, F::Output, B>
    where
        B: TaskBox<F>,
    {
        Spawn { scope: self, packed: Some(self.pack(future)), task: None }
    }

    /// Pushes a task into the queue if there is room for it: if fewer than [`size`](Self::size) are waiting or active.
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Gives the future back if there is no room.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     assert!(pool.try_spawn(ready(1)).is_ok());
    ///     assert!(pool.try_spawn(ready(2)).is_err());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn try_spawn<F: Future>(&self, future: F) -> Result<Task<F::Output>, F>
    where
        B: TaskBox<F>,
    {
        self.push(future, true)
    }

    /// Runs a task and waits for its output.
    ///
    /// # Errors
    ///
    /// If the task was cancelled or has panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the task has started, it drops the task and nothing else. Dropped later, the task is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let sum = local_scope(1, async |pool| pool.exec(async { 1 + 1 }).await);
    /// assert_eq!(sum.await.unwrap(), 2);
    /// # });
    /// ```
    pub fn exec<F: Future>(&self, future: F) -> Exec<'_, 'env, F::Output, B>
    where
        B: TaskBox<F>,
    {
        Exec { spawn: self.spawn(future) }
    }

    /// Pushes a task `f(item)` into the queue for each item. Never waits.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does; the tasks pushed before are detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     let tasks = pool.map_n(["a", "bc"], async |word| word.len());
    ///     for (task, length) in tasks.into_iter().zip(1..) {
    ///         assert_eq!(task.await.unwrap(), length);
    ///     }
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn map_n<I, F>(&self, items: I, mut f: impl FnMut(I::Item) -> F) -> Vec<Task<F::Output>>
    where
        I: IntoIterator,
        F: Future,
        B: TaskBox<F>,
    {
        items.into_iter().map(|item| self.spawn_n(f(item))).collect()
    }

    /// Maps the items through an async function, and returns the results in the order of the items.
    ///
    /// An item is taken only as room comes, after what is in the queue, so a million items queue nothing. On a
    /// [paused](Self::pause) scope it waits until that is resumed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before completion, it drops the items not taken; the tasks that there are are detached.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does. A panic in a task is that item's result.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     let squares = pool.map(1..=3, async |x| x * x).await;
    ///     let squares: Result<Vec<_>, _> = squares.into_iter().collect();
    ///     assert_eq!(squares.unwrap(), [1, 4, 9]);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn map<I, G, F>(
        &self,
        items: I,
        f: G,
    ) -> PoolFuture<Map<'_, 'env, I::IntoIter, G, F::Output, B>, Vec<Result<F::Output, TaskError>>>
    where
        I: IntoIterator,
        G: FnMut(I::Item) -> F,
        F: Future,
        B: TaskBox<F>,
    {
        let map = Map {
            scope: self,
            items: Some(items.into_iter()),
            make: f,
            arriving: Arriving::new(),
            results: Vec::new(),
            wait: RoomWait::default(),
        };
        PoolFuture::new(map, run_map::<I::IntoIter, G, F, B>)
    }

    /// Pushes a task `f(item)` into the queue for each item, and returns a stream of their results as they finish.
    ///
    /// Dropping the stream cancels what is left of it. [`keyed`](IterWait::keyed) and [`batches`](IterWait::batches) are
    /// the other modes.
    ///
    /// # Cancel safety
    ///
    /// The stream loses nothing when a call of `next` on it is dropped before it completes. Dropping the stream cancels
    /// what is left of it.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does; the tasks pushed before are detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let squares: Vec<_> = pool.itermap(1..=3, async |x| x * x).map(Result::unwrap).collect().await;
    ///     assert_eq!(squares, [1, 4, 9]);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn itermap<I, F>(&self, items: I, f: impl FnMut(I::Item) -> F) -> IterWait<F::Output>
    where
        I: IntoIterator,
        F: Future,
        B: TaskBox<F>,
    {
        iterwait(self.map_n(items, f)).cancelling()
    }

    /// Waits until no task is left. Inside a task of the same scope: until none is left but those that join as well.
    ///
    /// Tasks spawned meanwhile are waited for, too. The scope does the same by itself when its body has ended. While it
    /// is [paused](Self::pause) with tasks in the queue, this does not end; nor does it inside a task that another one waits
    /// for, other than by a join.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(2, async |pool| {
    ///     let tasks = pool.map_n(0..10, async |x| x);
    ///     pool.join().await;
    ///     assert!(tasks.iter().all(|task| task.is_finished()));
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn join(&self) -> Join<'_, 'env, B> {
        Join { scope: self, wait: EndWait::default() }
    }

    /// Cancels tasks, as [`Task::cancel`] does; returns how many of them had not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.cancel(&tasks[1..]), 2);
    ///     assert_eq!(pool.cancel(&tasks), 1);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn cancel<'t, T: 't>(&self, tasks: impl IntoIterator<Item = &'t Task<T>>) -> usize {
        tasks.into_iter().filter(|task| task.cancel()).count()
    }

    /// Cancels all tasks that there are, the calling one included; returns how many there were.
    ///
    /// They are counted out immediately, and dropped before the scope's current or next poll returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.cancel_all(), 3);
    ///     assert!(tasks.iter().all(|task| task.is_finished()));
    /// })
    /// .await;
    /// # });
    /// ```
    #[doc(alias = "abort_all")]
    pub fn cancel_all(&self) -> usize {
        self.control().cancel_all()
    }

    /// Returns how many tasks have not ended: those that are waiting, active, or have lent their slots.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.len(), 3);
    ///     tasks[0].cancel(); // counts out immediately
    ///     assert_eq!(pool.len(), 2);
    ///     pool.cancel_all();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.control().len()
    }

    /// Returns whether all tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(async { 7 });
    ///     assert!(!pool.is_empty());
    ///     pool.join().await;
    ///     assert!(pool.is_empty());
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether as many tasks are waiting or active as may be active at once, or more.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     assert!(!pool.is_full());
    ///     let task = pool.spawn_n(ready(1));
    ///     assert!(pool.is_full());
    ///     task.await.unwrap();
    ///     assert!(!pool.is_full());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_full(&self) -> bool {
        self.waiting() + self.active() >= self.size()
    }

    /// Returns how many tasks are waiting: spawned, not started.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     pool.spawn(pending::<()>()).await; // holds the slot
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.waiting(), 3);
    ///     pool.cancel(&tasks);
    ///     assert_eq!(pool.waiting(), 0);
    ///     pool.cancel_all();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn waiting(&self) -> usize {
        self.control().waiting()
    }

    /// Returns how many tasks are active: started, not ended, and not waiting for this scope themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let inner = pool.clone();
    ///     let outer = pool.exec(async move {
    ///         // The task waits for its own scope, and lends its slot to the other.
    ///         let seen = inner.exec({ let inner = inner.clone(); async move { (inner.active(), inner.len()) } }).await;
    ///         assert_eq!(seen.unwrap(), (1, 2));
    ///         inner.active()
    ///     });
    ///     assert_eq!(outer.await.unwrap(), 1);
    /// })
    /// .await;
    /// # });
    /// ```
    #[doc(alias = "n_active")]
    pub fn active(&self) -> usize {
        self.control().active()
    }

    /// Returns how many tasks have run to their end since the scope began, those that have panicked included and those
    /// that were cancelled not. Beyond `usize::MAX` it wraps around.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(2, async |pool| {
    ///     let tasks = pool.map_n([2, 0, 5], async |x| 10 / x);
    ///     assert!(tasks[2].cancel());
    ///     pool.join().await;
    ///     assert_eq!(pool.executed(), 2);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn executed(&self) -> usize {
        self.control().executed()
    }

    /// Returns how many tasks may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// assert_eq!(local_scope(16, async |pool| pool.size()).await, 16);
    /// assert_eq!(local_scope(0, async |pool| pool.size()).await, 1);
    /// # });
    /// ```
    pub fn size(&self) -> usize {
        self.control().size()
    }

    /// Changes how many tasks may be active at once. A size of 0 is taken as 1.
    ///
    /// Growing wakes the scope; shrinking lets the surplus finish.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     pool.set_size(0);
    ///     assert_eq!(pool.size(), 1);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn set_size(&self, size: usize) {
        self.control().set_size(size);
    }

    /// Starts nothing new from now on; what is active continues.
    ///
    /// A scope that is paused with tasks in the queue does not end.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     pool.pause();
    ///     let task = pool.spawn_n(async { 7 });
    ///     assert!(pool.is_paused());
    ///     pool.resume();
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn pause(&self) {
        self.control().set_paused(true);
    }

    /// Starts tasks again.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// local_scope(1, async |pool| {
    ///     pool.pause();
    ///     let task = pool.spawn_n(async { 7 });
    ///     sleep(Duration::from_secs(1)).await;
    ///     assert!(!task.is_finished());
    ///     pool.resume();
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # }
    /// ```
    pub fn resume(&self) {
        self.control().set_paused(false);
    }

    /// Returns whether the scope is paused.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let same = pool.clone();
    ///     same.pause();
    ///     assert!(pool.is_paused());
    ///     pool.set_size(8);
    ///     assert!(pool.is_paused()); // still: a size does not resume
    ///     pool.resume();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_paused(&self) -> bool {
        self.control().is_paused()
    }
}

impl<B> Clone for Scope<'_, B> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.hub))
    }
}

impl<B> fmt::Debug for Scope<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("size", &self.size())
            .field("waiting", &self.waiting())
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}

/// The future of [`Scope::spawn`].
///
/// # Cancel safety
///
/// See [`Scope::spawn`].
///
/// # Panics
///
/// If it is polled again after its end.
///
/// # Examples
///
/// ```
/// use futures::poll;
/// use futures_pool::{local_scope, scope::Spawn};
/// use std::future::{pending, ready};
///
/// # futures::executor::block_on(async {
/// local_scope(1, async |pool| {
///     pool.spawn(pending::<()>()).await; // holds the slot
///     let mut next: Spawn<'_, '_, u32, _> = pool.spawn(ready(7));
///     assert_eq!(pool.waiting(), 0); // nothing happens before it is polled
///     assert!(poll!(&mut next).is_pending());
///     assert_eq!(pool.waiting(), 1);
///     drop(next); // gives up its place in the queue
///     assert_eq!(pool.waiting(), 0);
///     pool.cancel_all();
/// })
/// .await;
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
pub struct Spawn<'a, 'env, T, B> {
    scope: &'a Scope<'env, B>,
    /// The task, until the first poll pushes it into the queue.
    packed: Option<Packed<T, B>>,
    /// `Some` from then on, up to the end.
    task: Option<Task<T>>,
}

impl<T, B> Spawn<'_, '_, T, B> {
    /// Returns the task, which is pushed the first time.
    fn task(&mut self) -> &mut Task<T> {
        if let Some(packed) = self.packed.take() {
            self.task = Some(self.scope.push_packed(packed));
        }
        self.task.as_mut().expect("polled after its end")
    }
}

impl<T, B> Future for Spawn<'_, '_, T, B> {
    type Output = Task<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Task<T>> {
        let this = self.get_mut();
        let inside = this.scope.control().polling().is_some();
        let task = this.task();
        if !inside && !task.poll_started(cx.waker()) {
            return Poll::Pending;
        }
        this.task.take().map_or(Poll::Pending, Poll::Ready)
    }
}

// The future is pinned in its box.
impl<T, B> Unpin for Spawn<'_, '_, T, B> {}

impl<T, B> Drop for Spawn<'_, '_, T, B> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.cancel_waiting();
        }
    }
}

impl<T, B> fmt::Debug for Spawn<'_, '_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn").field("task", &self.task).finish_non_exhaustive()
    }
}

/// The future of [`Scope::exec`].
///
/// # Cancel safety
///
/// See [`Scope::exec`].
///
/// # Panics
///
/// If it is polled again after its end.
///
/// # Examples
///
/// ```
/// use futures_pool::{local_scope, scope::Exec};
/// use std::cell::Cell;
/// use tokio::time::{Duration, sleep, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let done = &Cell::new(false);
/// local_scope(1, async |pool| {
///     let slow: Exec<'_, '_, (), _> = pool.exec(async move { sleep(ms(20)).await; done.set(true) });
///     assert!(timeout(ms(10), slow).await.is_err());
/// })
/// .await; // the task had started, and was left to finish
/// assert!(done.get());
/// # }
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
pub struct Exec<'a, 'env, T, B> {
    spawn: Spawn<'a, 'env, T, B>,
}

impl<T, B> Future for Exec<'_, '_, T, B> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let poll = Pin::new(this.spawn.task()).poll(cx);
        if poll.is_ready() {
            this.spawn.task = None;
        }
        poll
    }
}

impl<T, B> fmt::Debug for Exec<'_, '_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("task", &self.spawn.task).finish_non_exhaustive()
    }
}

/// The machine of [`Scope::map`].
pub struct Map<'a, 'env, I, G, T, B> {
    scope: &'a Scope<'env, B>,
    /// `None` after their end.
    items: Option<I>,
    make: G,
    arriving: Arriving<T>,
    /// The results by the places of their items.
    results: Vec<Option<Result<T, TaskError>>>,
    wait: RoomWait,
}

fn run_map<I, G, F, B>(
    map: Pin<&mut Map<'_, '_, I, G, F::Output, B>>,
    cx: &mut Context<'_>,
) -> Poll<Vec<Result<F::Output, TaskError>>>
where
    I: Iterator,
    G: FnMut(I::Item) -> F,
    F: Future,
    B: TaskBox<F>,
{
    let this = map.get_mut();
    let control = this.scope.control();
    let mut budget = POLL_BUDGET;
    loop {
        while let Poll::Ready(Some((place, _, result))) = this.arriving.poll_next(cx) {
            this.results[place] = Some(result);
        }
        let Some(items) = &mut this.items else { break };
        if !this.wait.may_take(control) {
            this.wait.begin(control, cx.waker());
            break;
        }
        if budget == 0 {
            cx.waker().wake_by_ref();
            break;
        }
        budget -= 1;
        let unused = this.wait.end(control).then(|| Unused { control });
        if let Some(item) = items.next() {
            let future = (this.make)(item);
            mem::forget(unused);
            this.results.push(None);
            this.arriving.push(this.scope.spawn_n(future));
        } else {
            this.items = None;
        }
    }
    let poll = if this.items.is_none() && this.arriving.left() == 0 {
        Poll::Ready(mem::take(&mut this.results).into_iter().flatten().collect())
    } else {
        Poll::Pending
    };
    this.arriving.enter(poll)
}

/// Room that was offered. It goes to the next in line when this is dropped: at the end of the items, or by their panic. Is
/// forgotten if it is used.
struct Unused<'a> {
    control: &'a Control,
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        self.control.wake();
    }
}

// Nothing is pinned in it: the futures are in their boxes.
impl<I, G, T, B> Unpin for Map<'_, '_, I, G, T, B> {}

impl<I, G, T, B> Drop for Map<'_, '_, I, G, T, B> {
    fn drop(&mut self) {
        self.wait.give_up(self.scope.control());
    }
}

impl<I, G, T, B> fmt::Debug for Map<'_, '_, I, G, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("running", &self.arriving.left())
            .field("finished", &(self.results.len() - self.arriving.left()))
            .finish_non_exhaustive()
    }
}

/// The future of [`Scope::join`].
///
/// # Cancel safety
///
/// See [`Scope::join`].
///
/// # Examples
///
/// ```
/// use futures_pool::{local_scope, scope::Join};
/// use tokio::time::{Duration, sleep, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// local_scope(1, async |pool| {
///     let tasks = pool.map_n(0..3, async |_| sleep(ms(10)).await);
///     let all: Join<'_, '_, _> = pool.join();
///     assert!(timeout(ms(25), all).await.is_err());
///     assert_eq!((pool.len(), pool.executed()), (1, 2)); // dropping it has stopped nothing
///     drop(tasks);
/// })
/// .await;
/// # }
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
pub struct Join<'a, 'env, B> {
    scope: &'a Scope<'env, B>,
    wait: EndWait,
}

impl<B> Future for Join<'_, '_, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { scope, wait } = self.get_mut();
        if wait.poll(scope.control(), cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<B> Drop for Join<'_, '_, B> {
    fn drop(&mut self) {
        self.wait.end(self.scope.control());
    }
}

impl<B> fmt::Debug for Join<'_, '_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("scope", &self.scope).finish_non_exhaustive()
    }
}
