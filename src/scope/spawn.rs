//! The operations that spawn one task, or many at once.

use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::error::TaskError;
use super::handle::{Scope, TaskBox};
use super::hub::Packed;
use super::iterwait::{IterWait, iterwait};
use super::task::Task;

impl<'env, B> Scope<'env, B> {
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
        match self.hub.spawn(future, false, |future| self.pack(future)) {
            Ok(task) => task,
            Err(_) => unreachable!("the queue always has room"),
        }
    }

    /// Waits for a free slot, starts the task in it, and gives its handle.
    ///
    /// It is first come, first served: the task goes to the end of the queue, and is counted as waiting, until it
    /// starts. On a [paused](Self::pause) scope it waits until that is resumed.
    ///
    /// Inside a task of the same scope it never waits, since the slots could all be held by tasks that do. So a loop of it
    /// there queues all that it spawns: await the handles, or use [`map`](Self::map), which takes an item only as room comes.
    ///
    /// What is put around the future runs from now on, and not only when it starts: see [timeouts](super#what-a-handle-may-do-where).
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
        self.hub.spawn(future, true, |future| self.pack(future))
    }

    /// Runs a task and waits for its output. Inside a task of the same scope, the slot of that is lent meanwhile.
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
            self.task = Some(self.scope.hub.spawn_packed(packed));
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
