//! The operations on all tasks, or many: waiting for their end, and cancelling.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::ends::{End, EndWait};
use super::handle::Scope;
use super::task::Task;

impl<'env, B> Scope<'env, B> {
    /// Waits until no task is left. Inside a task of the same scope: until none is left but those that join as well.
    ///
    /// Tasks spawned meanwhile are waited for, too. The scope does the same by itself when its body has ended. While it
    /// is [paused](Self::pause) with tasks in the queue, this does not end; nor does it inside a task that another one waits
    /// for, other than by a join. It ends in any case when the scope has gone.
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
        Join { scope: self, wait: EndWait::new(End::Join) }
    }

    /// Waits until no task is active; what may start is started meanwhile. So only on a [paused](Self::pause) scope does anything
    /// wait to start when this ends, and there it is how one waits for what runs.
    ///
    /// A task counts as active here also while it lends its slot by [`lend`](Self::lend), or wants it back. Tasks that wait
    /// for the scope itself do not count: on a paused one, they may not be able to continue. Inside a task of the same scope
    /// it is the others that are waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// local_scope(2, async |pool| {
    ///     let tasks = pool.map_n([10, 20, 10, 10], async |ms| sleep(Duration::from_millis(ms)).await);
    ///     sleep(Duration::from_millis(5)).await;
    ///     pool.pause();
    ///     pool.idle().await; // whereas `join` would not end
    ///     assert_eq!((pool.executed(), pool.waiting()), (2, 2));
    ///     pool.resume();
    ///     drop(tasks);
    /// })
    /// .await;
    /// # }
    /// ```
    pub fn idle(&self) -> Idle<'_, 'env, B> {
        Idle { scope: self, wait: EndWait::new(End::Idle) }
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

    /// Cancels all tasks that have not started, and leaves those that have; returns how many there were.
    ///
    /// They are counted out immediately, and dropped before the scope's current or next poll returns. What a
    /// [`map`](Self::map) has in hand is not in the scope yet, and keeps.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// local_scope(2, async |pool| {
    ///     let tasks = pool.map_n([30, 20, 10, 10], async |ms| sleep(Duration::from_millis(ms)).await);
    ///     sleep(Duration::from_millis(5)).await;
    ///     assert_eq!(pool.cancel_waiting(), 2);
    ///     pool.join().await;
    ///     assert_eq!(pool.executed(), 2);
    ///     assert_eq!(tasks.into_iter().filter(|task| task.is_finished()).count(), 4);
    /// })
    /// .await;
    /// # }
    /// ```
    pub fn cancel_waiting(&self) -> usize {
        self.control().cancel_waiting()
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

/// The future of [`Scope::idle`].
///
/// # Cancel safety
///
/// See [`Scope::idle`].
///
/// # Examples
///
/// ```
/// use futures::poll;
/// use futures_pool::{local_scope, scope::Idle};
///
/// # futures::executor::block_on(async {
/// local_scope(1, async |pool| {
///     let task = pool.spawn_n(async {});
///     let mut idle: Idle<'_, '_, _> = pool.idle();
///     assert!(poll!(&mut idle).is_pending()); // it may start, and so is waited for
///     idle.await;
///     assert!(task.is_finished());
/// })
/// .await;
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
pub struct Idle<'a, 'env, B> {
    scope: &'a Scope<'env, B>,
    wait: EndWait,
}

impl<B> Future for Idle<'_, '_, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { scope, wait } = self.get_mut();
        if wait.poll(scope.control(), cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<B> Drop for Idle<'_, '_, B> {
    fn drop(&mut self) {
        self.wait.end(self.scope.control());
    }
}

impl<B> fmt::Debug for Idle<'_, '_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("scope", &self.scope).finish_non_exhaustive()
    }
}
