//! [`PoolFuture`], the futures of a pool's operations; and [`IsFuture`], a future that explains itself.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

/// The future of an operation on a pool, which gives an `O`: of `for_each`, `drive` and the like.
///
/// `M` is the machine: what the operation is made of. As with [`PoolMap`](crate::PoolMap), a function pointer is taken where
/// the future is made, and the impl of `Future` asks for nothing.
///
/// # Cancel safety
///
/// The methods that return it say what happens when it is dropped before it completes.
///
/// # Examples
///
/// ```
/// use futures::future::join;
/// use futures_pool::prelude::*;
/// use std::future::ready;
///
/// # futures::executor::block_on(async {
/// let sum = std::cell::Cell::new(0);
/// let add = |x: u32| { sum.set(sum.get() + x); ready(()) };
/// join((1..=3).pool_map(2, ready).for_each(add), (4..=6).pool_map(2, ready).for_each(add)).await;
/// assert_eq!(sum.get(), 21);
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct PoolFuture<M, O> {
    #[pin]
    machine: M,
    run: fn(Pin<&mut M>, &mut Context<'_>) -> Poll<O>,
}

impl<M, O> PoolFuture<M, O> {
    pub(crate) fn new(machine: M, run: fn(Pin<&mut M>, &mut Context<'_>) -> Poll<O>) -> Self {
        Self { machine, run }
    }
}

impl<M, O> Future for PoolFuture<M, O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = self.project();
        (this.run)(this.machine, cx)
    }
}

impl<M: fmt::Debug, O> fmt::Debug for PoolFuture<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.fmt(f)
    }
}

/// A future, as a closure for `pool_map` or `for_each` has to return one: every future.
///
/// It says no more than [`Future`] does, but it says what to do where a closure returns something else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future: the closure has to be an async one",
    label = "its closure returns `{Self}`, which is not a future",
    note = "write `async |item| ..`, or `|item| async move {{ .. }}`; for what need not wait, `|item| std::future::ready(..)`"
)]
pub trait IsFuture: Future {}

impl<F: Future> IsFuture for F {}
