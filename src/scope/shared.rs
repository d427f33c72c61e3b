//! [`shared`]: the scope without a body, and its [`Driver`].

use core::fmt;
use core::future::Pending;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::future::{BoxFuture, LocalBoxFuture};

use super::handle::LocalScope;
#[cfg(feature = "std")]
use super::handle::Scope;
use super::machine::ScopeMachine;

/// Makes a scope without a body: a handle to be cloned to wherever tasks are spawned, as the state of a server, and a
/// [`Driver`], which is to be awaited or spawned, and runs the tasks. A size of 0 is taken as 1.
///
/// The driver ends when all handles are gone and all tasks have ended; or, after [`close`](Scope::close), when all tasks
/// have. Dropping it cancels all tasks, as dropping a scope does.
///
/// # Requests that go away
///
/// A task whose [`Task`](super::Task) is dropped is detached: it runs to its end, and nobody gets its output. One that is of
/// no use without its caller is tied to it by [`cancel_on_drop`](super::Task::cancel_on_drop). With
/// [`exec`](Scope::exec), a task that has not started is dropped with its caller, and one that has is detached. So in the
/// handler of a request:
///
/// - `pool.spawn_n(work).await`: the work is done in any case;
/// - `pool.exec(work).await`: it is done unless the request goes away while it waits for a slot;
/// - `pool.spawn_n(work).cancel_on_drop().await`: it is stopped with the request.
///
/// # Examples
///
/// ```
/// use futures_pool::shared;
///
/// # #[tokio::main] async fn main() {
/// let (pool, driver) = shared(16);
/// let driver = tokio::spawn(driver);
/// let requests = (0..100).map(|n| {
///     let pool = pool.clone();
///     tokio::spawn(async move { pool.exec(async move { n * n }).await })
/// });
/// let mut sum = 0;
/// for request in requests.collect::<Vec<_>>() {
///     sum += request.await.unwrap().unwrap();
/// }
/// assert_eq!(sum, 328_350);
/// pool.close(); // or `drop(pool)`, as it is the last handle
/// driver.await.unwrap();
/// # }
/// ```
#[cfg(feature = "std")]
pub fn shared(size: usize) -> (Scope<'static>, Driver) {
    let (scope, machine) = ScopeMachine::without_body(size, ());
    (scope, Driver { machine })
}

/// Does the same as [`shared`] for tasks that need not be `Send`.
///
/// # Examples
///
/// ```
/// use futures_pool::local_shared;
/// use std::rc::Rc;
///
/// # futures::executor::block_on(async {
/// let (pool, driver) = local_shared(2);
/// let one = Rc::new(1);
/// let task = pool.spawn_n({ let one = Rc::clone(&one); async move { *one } });
/// drop(pool);
/// driver.await;
/// assert_eq!(task.await.unwrap(), 1);
/// # });
/// ```
pub fn local_shared(size: usize) -> (LocalScope<'static>, LocalDriver) {
    let (scope, machine) = ScopeMachine::without_body(size, ());
    (scope, Driver { machine })
}

/// Runs the tasks of a scope without a body: see [`shared`].
///
/// # Cancel safety
///
/// Dropping it cancels all tasks.
///
/// # Panics
///
/// If it is polled after its end. Without the feature `std`, also if a task does.
///
/// # Examples
///
/// ```
/// use futures_pool::{scope::Driver, shared};
///
/// # futures::executor::block_on(async {
/// let (pool, driver): (_, Driver) = shared(1);
/// let task = pool.spawn_n(async { 7 });
/// drop(driver);
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it, or spawn it"]
pub struct Driver<B: Future<Output = ()> = BoxFuture<'static, ()>> {
    machine: ScopeMachine<Pending<()>, (), B>,
}

/// The driver of [`local_shared`].
///
/// # Examples
///
/// ```
/// use futures_pool::{LocalScope, local_shared, scope::LocalDriver};
///
/// # futures::executor::block_on(async {
/// let (pool, driver): (LocalScope<'_>, LocalDriver) = local_shared(1);
/// pool.spawn_n(async {});
/// pool.close();
/// driver.await;
/// assert_eq!(pool.executed(), 1);
/// # });
/// ```
pub type LocalDriver = Driver<LocalBoxFuture<'static, ()>>;

impl<B: Future<Output = ()>> Future for Driver<B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().machine).run(cx)
    }
}

impl<B: Future<Output = ()>> fmt::Debug for Driver<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = self.machine.control();
        f.debug_struct("Driver")
            .field("size", &control.size())
            .field("waiting", &control.waiting())
            .field("active", &control.active())
            .finish_non_exhaustive()
    }
}
