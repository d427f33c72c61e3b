//! The scope: tasks of unlike types, handles, and work that spawns work. See [`scope()`].
//!
//! One future polls the body and the tasks. So the pool makes progress whatever the body awaits, a task may
//! borrow what lives outside the scope, and dropping the scope drops everything in it. Nothing is spawned on an executor.
//!
//! | which | ends |
//! |---|---|
//! | [`scope()`], [`local_scope`] | when its body and all tasks have ended |
//! | [`try_scope`], [`local_try_scope`] | the same, or with the first error of any of them |
//! | [`shared`], [`local_shared`] | has no body: when all handles are gone, or it was [closed](Scope::close), and all tasks have ended |
//!
//! The first of each asks `Send` of the tasks, and needs the feature `std`.
//!
//! # Guarantees
//!
//! - **No more and no less** than the size of the tasks are active at once; the body is not one of them. Tasks start in
//!   the order in which they were spawned, the items of [`map`](Scope::map) by turns with them. (More are active only after
//!   the size was made smaller, or as [described below](#lending), until the surplus has ended.)
//! - **No deadlock of its own making.** A task that waits for its own scope (for a [`Task`], [`exec`](Scope::exec),
//!   [`map`](Scope::map), [`itermap`](Scope::itermap), [`join`](Scope::join), [`idle`](Scope::idle)) lends its slot while it
//!   waits: it is not active then, and another may run. It takes a free slot again, ahead of everything that waits to start,
//!   before it continues. So recursion that forks and joins ends at any size, 1 included. [`spawn`](Scope::spawn) inside a
//!   task does not wait for a free slot.
//! - **A panic stays with its task**, as [`TaskError::Panicked`] (feature `std`); the body and the others continue. A
//!   panic of the body drops the tasks and passes on.
//! - **Cancelling is dropping.** A cancelled task is settled and counted out immediately, and its future dropped before the
//!   scope's current or next poll returns. Unlike a coroutine of Python's, a future cannot catch that.
//! - **One order of events.** What is started, ended and cancelled is the same, in the same order, for every thread: a task is
//!   counted once, a finished one is counted out before its handle is ready, a [`join`](Scope::join) ends neither early nor never,
//!   and ends in any case when the scope has gone.
//! - No lock is held while code of the user's runs.
//!
//! # Lending
//!
//! - **A task that lends is polled when it is woken**, slot or not: so a `timeout` or a `select!` beside a handle also fires in a full
//!   scope. While it still waits for the scope it needs no slot.
//! - **What it waits for**, when that has come about, takes a free slot unless another task claims one already; else it claims
//!   one, and stays pending until there is one. So a handle may be pending of which [`is_finished`](Task::is_finished) is true,
//!   and a timeout may win against it. Claims are served while fewer tasks than the size are active, also on a paused scope.
//! - **If it stops waiting in another way** (the timeout has fired, the other branch of the `select!` was chosen, or somebody has dropped the
//!   handle), it is active from then on, even if there is no free slot. Then nothing is started until fewer than the size are active.
//! - **A handle that is kept** lends only while it is polled. One that is polled with the task's own waker, directly or by `select!`,
//!   `timeout`, `join!`, counts as waited for if the task's latest poll has polled it. (A task that lends and is
//!   woken by something else may be polled twice to find out.) Under another waker (`FuturesUnordered`, `buffered`, `join_all` of many), it counts until it is
//!   over or dropped, since these poll only what was woken.
//!
//! What does not lend: other primitives, such as channels and locks, unless they are awaited inside of [`lend`](Scope::lend); other
//! scopes, likewise; and anything that the task waits for across a task of the executor's (`tokio::spawn`), which is no task of
//! the scope. Where tasks of several scopes wait for each other, either lend, or take the scopes in one order everywhere.
//!
//! # What a handle may do where
//!
//! Handles may leave the scope: other tasks of the executor, and other threads, may spawn, wait and cancel, and are not
//! mistaken for tasks of the scope. What they wait for comes about only while the scope is polled.
//!
//! What is spawned on a scope that has ended is cancelled. So where tasks of one scope feed another, that other one has
//! to be the outer one, or its body has to wait for the first.
//!
//! A task's clock starts when you start it: `pool.exec(timeout(d, work()))` makes the timeout before the task has a slot, so that
//! it may fire in the queue; `pool.exec(async { timeout(d, work()).await })` makes it when the task runs.
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
//! A task costs two allocations: one box for its future, one for what it shares with its handle. Waiting for tasks inside a
//! task costs a lookup under a lock for each handle that is polled. An [`iterwait`] over the tasks of many scopes asks each
//! of these, at each poll, whether it is polled in one of its tasks: with 4,096 scopes of one task each, that took 16 ms in all,
//! with 16,384 of them 170 ms.

mod arriving;
mod cell;
mod control;
mod counts;
mod ends;
mod error;
mod handle;
mod hub;
mod iterwait;
mod join;
mod lend;
mod lending;
mod machine;
mod map;
mod settings;
mod shared;
mod spawn;
mod task;
mod tracked;
mod try_scope;

#[cfg(feature = "std")]
use futures_util::future::BoxFuture;
use futures_util::future::LocalBoxFuture;

pub use self::error::TaskError;
pub use self::handle::{LocalScope, Scope, TaskBox};
pub use self::iterwait::{IterWait, KeyedIterWait, iterwait};
pub use self::join::{Idle, Join};
pub use self::machine::ScopeMachine;
#[cfg(feature = "std")]
pub use self::shared::shared;
pub use self::shared::{Driver, LocalDriver, local_shared};
pub use self::spawn::{Exec, Spawn};
pub use self::task::Task;
#[cfg(feature = "std")]
pub use self::try_scope::try_scope;
pub use self::try_scope::{LocalTryScope, TryScope, TryScopeMachine, local_try_scope};
use crate::future::PoolFuture;

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
