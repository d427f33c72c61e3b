//! [`try_scope`]: the scope that ends with the first error.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::future::{BoxFuture, LocalBoxFuture};
use pin_project::pin_project;

use super::control::Control;
use super::error::TaskError;
use super::handle::{Scope, TaskBox};
use super::iterwait::{IterWait, iterwait};
use super::machine::ScopeMachine;
use super::map::{Map, Wrap};
use super::spawn::{Exec, Spawn};
use super::task::Task;
use crate::future::PoolFuture;
use crate::lock::Lock;
use crate::sync::Arc;

/// Runs `body` together with the tasks that it spawns, as [`scope`](super::scope()) does, and ends with the first error of any of
/// them.
///
/// The body gives a `Result<T, E>`, and so do the tasks that are spawned on its handle, with the same `E`. The first `Err` to
/// happen, of the body or of a task, is the result: body and tasks are dropped before it is returned. Without one, the result is
/// the body's output when all tasks have ended.
///
/// The error goes to the scope. So a task of a future of `Result<U, E>` is a `Task<U>`, and whoever awaits it gets
/// `Result<U, TaskError>`, as in [`scope`](super::scope()); nobody inside lives to see that it has failed, and to a handle outside
/// it is [`Cancelled`](TaskError::Cancelled). A future whose errors shall not end the scope is spawned by
/// [`spawn_any`](TryScope::spawn_any). A panic is that task's own, and ends nothing.
///
/// # Errors
///
/// The first error of the body or a task.
///
/// # Cancel safety
///
/// Dropping it drops the body and all tasks.
///
/// # Panics
///
/// If the body does; the tasks are dropped before the panic passes on.
///
/// # Examples
///
/// ```
/// use futures_pool::try_scope;
/// use tokio::time::{Duration, Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let start = Instant::now();
/// let work = |n: u64| async move {
///     sleep(Duration::from_millis(10 * n)).await;
///     if n == 3 { Err(format!("{n} has failed")) } else { Ok(n) }
/// };
/// let result = try_scope(4, async |pool| {
///     let mut sum = 0;
///     for task in pool.map_n(1..=100, work) {
///         sum += task.await.map_err(|error| error.to_string())?;
///     }
///     Ok(sum)
/// });
/// assert_eq!(result.await, Err("3 has failed".to_owned()));
/// assert_eq!(start.elapsed(), Duration::from_millis(30));
/// # }
/// ```
#[cfg(feature = "std")]
pub fn try_scope<'env, F, Fut, T, E>(
    size: usize,
    body: F,
) -> PoolFuture<TryScopeMachine<Fut, T, E, BoxFuture<'env, ()>>, Result<T, E>>
where
    F: FnOnce(TryScope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    TryScopeMachine::new(size, body)
}

/// Does the same as [`try_scope`] for tasks that need not be `Send`.
///
/// # Errors
///
/// The first error of the body or a task.
///
/// # Cancel safety
///
/// Dropping it drops the body and all tasks.
///
/// # Panics
///
/// If the body does; the tasks are dropped before the panic passes on. Without the feature `std`, also if a task does.
///
/// # Examples
///
/// ```
/// use futures_pool::local_try_scope;
/// use std::num::ParseIntError;
///
/// async fn sum(texts: &[&str]) -> Result<i32, ParseIntError> {
///     local_try_scope(2, async |pool| {
///         let numbers = pool.map(texts, async |text| text.parse::<i32>()).await;
///         Ok(numbers.into_iter().flatten().sum())
///     })
///     .await
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(sum(&["1", "2"]).await, Ok(3));
/// assert!(sum(&["1", "x", "2"]).await.is_err());
/// # });
/// ```
pub fn local_try_scope<'env, F, Fut, T, E>(
    size: usize,
    body: F,
) -> PoolFuture<TryScopeMachine<Fut, T, E, LocalBoxFuture<'env, ()>>, Result<T, E>>
where
    F: FnOnce(LocalTryScope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    TryScopeMachine::new(size, body)
}

/// The machine of a [`try_scope`].
#[pin_project]
pub struct TryScopeMachine<Fut, T, E, B: Future<Output = ()>> {
    #[pin]
    scope: ScopeMachine<Fut, Result<T, E>, B>,
    failure: Arc<Failure<E>>,
}

/// The first error of a task.
pub struct Failure<E> {
    error: Lock<Option<E>>,
}

impl<E> Failure<E> {
    /// Ends the scope with an error, unless it does already.
    fn fail(&self, error: E, control: &Control) {
        let unused = self.error.with(|first| if first.is_none() { first.replace(error) } else { Some(error) });
        control.fail();
        drop(unused);
    }
}

impl<Fut: Future<Output = Result<T, E>>, T, E, B: Future<Output = ()>> TryScopeMachine<Fut, T, E, B> {
    fn new<'env>(size: usize, body: impl FnOnce(TryScope<'env, E, B>) -> Fut) -> PoolFuture<Self, Result<T, E>> {
        let failure = Arc::new(Failure { error: Lock::new(None) });
        let shared = Arc::clone(&failure);
        let body = |scope| body(TryScope { scope, failure: shared });
        let scope = ScopeMachine::with_body(size, body, Result::is_err);
        PoolFuture::new(Self { scope, failure }, Self::run)
    }

    fn run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        let poll = this.scope.as_mut().run(cx);
        if !this.scope.control().has_failed() {
            return poll;
        }
        let Some(error) = this.failure.error.with(Option::take) else { panic!("a scope was polled after its end") };
        this.scope.abandon();
        Poll::Ready(Err(error))
    }
}

impl<Fut, T, E, B: Future<Output = ()>> fmt::Debug for TryScopeMachine<Fut, T, E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.fmt(f)
    }
}

/// The handle of a [`try_scope`]: a [`Scope`] that ends with the first error of a task that is spawned on it.
///
/// It derefs to the [`Scope`] for all that has nothing to do with errors: [`join`](Scope::join), [`lend`](Scope::lend), counts and
/// settings. On that one, too, tasks can be spawned whose output is not looked at.
///
/// # Examples
///
/// ```
/// use futures_pool::{Task, TryScope, try_scope};
/// use std::num::ParseIntError;
///
/// fn parse<'env>(pool: &TryScope<'env, ParseIntError>, text: &'env str) -> Task<i32> {
///     pool.spawn_n(async move { text.parse() })
/// }
///
/// # futures::executor::block_on(async {
/// let sum = try_scope(2, async |pool| Ok(parse(&pool, "1").await.unwrap() + parse(&pool, "2").await.unwrap()));
/// assert_eq!(sum.await, Ok(3));
/// # });
/// ```
pub struct TryScope<'env, E, B = BoxFuture<'env, ()>> {
    scope: Scope<'env, B>,
    failure: Arc<Failure<E>>,
}

/// The handle of a [`local_try_scope`]: a [`TryScope`] whose tasks need not be `Send`.
///
/// # Examples
///
/// ```
/// use futures_pool::{LocalTryScope, local_try_scope};
/// use std::rc::Rc;
///
/// fn fail_at(pool: &LocalTryScope<'_, Rc<str>>, n: u32) {
///     pool.map_n(0..10, |x| async move { if x == n { Err(Rc::from("too much")) } else { Ok(x) } });
/// }
///
/// # futures::executor::block_on(async {
/// let result = local_try_scope(1, async |pool| { fail_at(&pool, 3); Ok(()) });
/// assert_eq!(&*result.await.unwrap_err(), "too much");
/// # });
/// ```
pub type LocalTryScope<'env, E> = TryScope<'env, E, LocalBoxFuture<'env, ()>>;

impl<'env, E, B> TryScope<'env, E, B> {
    fn wrap<F: Future<Output = Result<T, E>>, T>(&self, future: F) -> Fallible<F, T, E> {
        self.failure.wrap(future, &self.scope)
    }

    /// Pushes a task into the queue, whose error ends the scope. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let result: Result<(), u8> = local_try_scope(1, async |pool| {
    ///     let seven = pool.spawn_n(async { Ok(7) }).await.unwrap();
    ///     pool.spawn_n(async move { Err::<(), _>(seven) });
    ///     std::future::pending().await
    /// })
    /// .await;
    /// assert_eq!(result, Err(7));
    /// # });
    /// ```
    pub fn spawn_n<F: Future<Output = Result<T, E>>, T>(&self, future: F) -> Task<T>
    where
        B: TaskBox<Fallible<F, T, E>>,
    {
        self.scope.spawn_n(self.wrap(future))
    }

    /// Waits for a free slot, starts a task in it whose error ends the scope, and gives its handle: see [`Scope::spawn`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before the task has started, it drops the task and nothing else. Dropped later, the task is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let started = std::cell::Cell::new(0);
    /// let result: Result<(), u32> = local_try_scope(2, async |pool| {
    ///     for n in 0..1000 {
    ///         let started = &started;
    ///         pool.spawn(async move { started.set(n); if n == 5 { Err(n) } else { Ok(()) } }).await;
    ///     }
    ///     Ok(())
    /// })
    /// .await;
    /// assert_eq!((result, started.get()), (Err(5), 5));
    /// # });
    /// ```
    pub fn spawn<F: Future<Output = Result<T, E>>, T>(&self, future: F) -> Spawn<'_, 'env, T, B>
    where
        B: TaskBox<Fallible<F, T, E>>,
    {
        self.scope.spawn(self.wrap(future))
    }

    /// Pushes a task into the queue if there is room for it, whose error ends the scope: see [`Scope::try_spawn`].
    ///
    /// # Errors
    ///
    /// Gives the future back if there is no room.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let result = local_try_scope(1, async |pool| {
    ///     assert!(pool.try_spawn(ready(Ok(1))).is_ok());
    ///     assert!(pool.try_spawn(ready(Err::<(), _>("not spawned"))).is_err());
    ///     Ok(())
    /// });
    /// assert_eq!(result.await, Ok(()));
    /// # });
    /// ```
    pub fn try_spawn<F: Future<Output = Result<T, E>>, T>(&self, future: F) -> Result<Task<T>, F>
    where
        B: TaskBox<Fallible<F, T, E>>,
    {
        self.scope.hub.spawn(future, true, |future| self.scope.pack(self.wrap(future)))
    }

    /// Runs a task whose error ends the scope, and waits for its output: see [`Scope::exec`].
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
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let result = local_try_scope(1, async |pool| Ok::<_, String>(pool.exec(async { Ok(1 + 1) }).await.unwrap()));
    /// assert_eq!(result.await, Ok(2));
    /// # });
    /// ```
    pub fn exec<F: Future<Output = Result<T, E>>, T>(&self, future: F) -> Exec<'_, 'env, T, B>
    where
        B: TaskBox<Fallible<F, T, E>>,
    {
        self.scope.exec(self.wrap(future))
    }

    /// Pushes a task `f(item)` into the queue for each item, whose errors end the scope. Never waits.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does; the tasks pushed before are detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let result = local_try_scope(4, async |pool| {
    ///     pool.map_n(["1", "x", "3"], async |text| text.parse::<u32>());
    ///     Ok(())
    /// });
    /// assert_eq!(result.await.unwrap_err().to_string(), "invalid digit found in string");
    /// # });
    /// ```
    pub fn map_n<I, F, T>(&self, items: I, mut f: impl FnMut(I::Item) -> F) -> Vec<Task<T>>
    where
        I: IntoIterator,
        F: Future<Output = Result<T, E>>,
        B: TaskBox<Fallible<F, T, E>>,
    {
        items.into_iter().map(|item| self.spawn_n(f(item))).collect()
    }

    /// Maps the items through an async function whose errors end the scope, and returns the results in the order of the items:
    /// see [`Scope::map`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before completion, it drops the items not taken, and the one in hand; the tasks that there are are detached.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does. A panic in a task is that item's result.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let squares = local_try_scope(4, async |pool| {
    ///     let square = async |x: u8| x.checked_mul(x).ok_or(x);
    ///     Ok(pool.map(10..20, square).await.len())
    /// });
    /// assert_eq!(squares.await, Err(16));
    /// # });
    /// ```
    pub fn map<I, G, F, T>(
        &self,
        items: I,
        f: G,
    ) -> PoolFuture<Map<'_, 'env, I::IntoIter, G, Fallible<F, T, E>, T, Arc<Failure<E>>, B>, Vec<Result<T, TaskError>>>
    where
        I: IntoIterator,
        G: FnMut(I::Item) -> F,
        F: Future<Output = Result<T, E>>,
        B: TaskBox<Fallible<F, T, E>>,
    {
        Map::new(&self.scope, items.into_iter(), f, Arc::clone(&self.failure))
    }

    /// Pushes a task `f(item)` into the queue for each item, whose errors end the scope, and returns a stream of their results as
    /// they finish: see [`Scope::itermap`].
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
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let sum = local_try_scope(1, async |pool| {
    ///     let squares: Vec<_> = pool.itermap(1..=3, async |x| Ok::<_, ()>(x * x)).map(Result::unwrap).collect().await;
    ///     Ok(squares.iter().sum())
    /// });
    /// assert_eq!(sum.await, Ok(14));
    /// # });
    /// ```
    pub fn itermap<I, F, T>(&self, items: I, f: impl FnMut(I::Item) -> F) -> IterWait<T>
    where
        I: IntoIterator,
        F: Future<Output = Result<T, E>>,
        B: TaskBox<Fallible<F, T, E>>,
    {
        iterwait(self.map_n(items, f)).cancelling()
    }

    /// Waits for a free slot, starts a task in it whose output does not matter to the scope, whether it is a `Result` or
    /// not, and gives its handle: see [`Scope::spawn`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before the task has started, it drops the task and nothing else. Dropped later, the task is detached.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let result = local_try_scope(1, async |pool| {
    ///     let task = pool.spawn_any(async { "7x".parse::<u32>() }).await;
    ///     Ok::<_, String>(task.await.unwrap().unwrap_or_default())
    /// });
    /// assert_eq!(result.await, Ok(0));
    /// # });
    /// ```
    pub fn spawn_any<F: Future>(&self, future: F) -> Spawn<'_, 'env, F::Output, B>
    where
        B: TaskBox<F>,
    {
        self.scope.spawn(future)
    }

    /// Pushes a task into the queue whose output does not matter to the scope, whether it is a `Result` or not. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_try_scope;
    ///
    /// # futures::executor::block_on(async {
    /// let result = local_try_scope(1, async |pool| {
    ///     let error = pool.spawn_any_n(async { Err::<(), _>("to be looked at") });
    ///     Ok::<_, ()>(error.await.unwrap())
    /// });
    /// assert_eq!(result.await, Ok(Err("to be looked at")));
    /// # });
    /// ```
    pub fn spawn_any_n<F: Future>(&self, future: F) -> Task<F::Output>
    where
        B: TaskBox<F>,
    {
        self.scope.spawn_n(future)
    }
}

impl<'env, E, B> Deref for TryScope<'env, E, B> {
    type Target = Scope<'env, B>;

    fn deref(&self) -> &Scope<'env, B> {
        &self.scope
    }
}

impl<E, B> Clone for TryScope<'_, E, B> {
    fn clone(&self) -> Self {
        Self { scope: self.scope.clone(), failure: Arc::clone(&self.failure) }
    }
}

impl<E, B> fmt::Debug for TryScope<'_, E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope")
            .field("size", &self.size())
            .field("waiting", &self.waiting())
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}

/// A future whose error ends its scope.
///
/// Use it in bounds only.
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct Fallible<F, T, E> {
    /// `None` after its error.
    #[pin]
    future: Option<F>,
    failure: Arc<Failure<E>>,
    control: Arc<Control>,
    output: core::marker::PhantomData<fn() -> T>,
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for Fallible<F, T, E> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        match this.future.as_mut().as_pin_mut().map(|future| future.poll(cx)) {
            Some(Poll::Ready(Ok(output))) => Poll::Ready(output),
            Some(Poll::Ready(Err(error))) => {
                this.failure.fail(error, this.control);
                this.future.set(None);
                Poll::Pending
            }
            // It is cancelled, with all other tasks.
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl<F, T, E> fmt::Debug for Fallible<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallible").finish_non_exhaustive()
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Wrap<F> for Arc<Failure<E>> {
    type Task = Fallible<F, T, E>;

    fn wrap<B>(&self, future: F, scope: &Scope<'_, B>) -> Self::Task {
        let control = Arc::clone(&scope.hub.control);
        let (failure, output) = (Arc::clone(self), core::marker::PhantomData);
        Fallible { future: Some(future), failure, control, output }
    }
}
