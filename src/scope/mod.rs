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
use self::machine::ScopeMachine;
#[cfg(feature = "std")]
pub use self::shared::shared;
pub use self::shared::{Driver, LocalDriver, local_shared};
pub use self::spawn::{Exec, Spawn};
pub use self::task::Task;
#[cfg(feature = "std")]
pub use self::try_scope::try_scope;
pub use self::try_scope::{LocalTryScope, TryScope, local_try_scope};
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
