//! [`Scope`]: the handle. What can be done with it is in files of its own: [spawning](super::spawn), [`map`](super::map),
//! [waiting and cancelling](super::join), [counts and settings](super::settings), [lending](super::lend).

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

use futures_util::future::{BoxFuture, LocalBoxFuture};

use super::cell::Cell;
use super::control::Control;
use super::hub::{Hub, Packed};
use super::map::Held;
use super::tracked::Tracked;
use crate::sync::Arc;

/// The handle of a scope: pushes tasks into it, from its body, from its tasks, or from elsewhere.
///
/// It can be cloned, and all clones are the same. Those that tasks hold make no leak: when the scope has ended, a handle
/// is an empty shell, and what is spawned on it is [`Cancelled`](super::TaskError::Cancelled).
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
    pub(super) hub: Arc<Hub<B>>,
    /// Of a scope without a body.
    keeper: Option<Arc<Keeper>>,
    env: PhantomData<&'env ()>,
}

/// What the handles share that keep a scope without a body from ending.
struct Keeper {
    control: Arc<Control>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.control.release();
    }
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

    /// Does the same for an item that `map` holds until its turn.
    fn pin_held(task: Tracked<Held<F>, F::Output>) -> Self;
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

    fn pin_held(task: Tracked<Held<F>, F::Output>) -> Self {
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

    fn pin_held(task: Tracked<Held<F>, F::Output>) -> Self {
        Box::pin(task)
    }
}

impl<B> Scope<'_, B> {
    pub(super) fn new(hub: Arc<Hub<B>>) -> Self {
        Self { hub, keeper: None, env: PhantomData }
    }

    /// Creates the first of the handles that keep the scope from ending.
    #[cfg_attr(
        not(feature = "std"),
        allow(clippy::arc_with_non_send_sync, reason = "without `std` there are only scopes of one thread")
    )]
    pub(super) fn keeping(hub: Arc<Hub<B>>) -> Self {
        let keeper = Keeper { control: Arc::clone(&hub.control) };
        Self { hub, keeper: Some(Arc::new(keeper)), env: PhantomData }
    }

    pub(super) fn control(&self) -> &Control {
        &self.hub.control
    }

    /// Puts a future into the box of its task, which has yet to be spawned.
    pub(super) fn pack<F: Future>(&self, future: F) -> Packed<F::Output, B>
    where
        B: TaskBox<F>,
    {
        let cell = Arc::new(Cell::new(Arc::clone(&self.hub.control)));
        Packed { task: B::pin(Tracked::new(future, Arc::clone(&cell))), cell }
    }

    /// Does the same with the place in the queue of a future that is held elsewhere.
    pub(super) fn pack_held<F: Future>(&self, future: Held<F>) -> Packed<F::Output, B>
    where
        B: TaskBox<F>,
    {
        let cell = Arc::new(Cell::reserved(Arc::clone(&self.hub.control)));
        Packed { task: B::pin_held(Tracked::new(future, Arc::clone(&cell))), cell }
    }
}

impl<B> Clone for Scope<'_, B> {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), keeper: self.keeper.clone(), env: PhantomData }
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
