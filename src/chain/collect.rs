//! `.await` on a chain: [`Collect`] and [`TryCollect`].
//!
//! Where the chain is new, and no bound on results was set, each result is written to its place as soon as it is there, and
//! the stream only says when all are. Otherwise results come out of it one by one.

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

#[cfg(feature = "std")]
use super::fail_fast::Caught;
use super::{Chain, FailFast};
use crate::engine::POLL_BUDGET;
use crate::finished::{InlineResults, Results};
#[cfg(feature = "std")]
use crate::panic::Panic;
use crate::stream::{PoolMap, Wanted};

/// The most results that capacity is reserved for in advance: a size hint may lie, and an endless source has none to
/// keep to.
const RESERVED: usize = 1024;

/// The future of `.await` on a chain: all results in a `Vec`.
///
/// It polls at most 64 futures before it lets other tasks run, even if everything is always ready.
///
/// # Cancel safety
///
/// Dropping it drops the futures and the results in it.
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct Collect<M, T> {
    #[pin]
    stream: PoolMap<M, T>,
    /// Those that have come out of the stream.
    items: Vec<T>,
    placed: Placed<M, T>,
}

/// The future of `.await` on a chain that fails fast: all results in a `Vec`, or the first error to happen.
///
/// It polls at most 64 futures before it lets other tasks run, even if everything is always ready.
///
/// # Cancel safety
///
/// Dropping it drops the futures and the results in it.
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct TryCollect<M, I, T, O> {
    #[pin]
    stream: PoolMap<M, I>,
    items: Vec<T>,
    placed: Placed<M, T>,
    keep: fn(I) -> Result<T, O>,
    end: fn(Vec<T>) -> O,
}

/// The results that were written to their places in a chain `M`.
struct Placed<M, T> {
    take: fn(Pin<&mut M>) -> Vec<T>,
    len: fn(&M) -> usize,
}

impl<M, T> Placed<M, T> {
    /// For a chain out of which all results come.
    const NONE: Self = Self { take: |_| Vec::new(), len: |_| 0 };
}

impl<M, T> Future for Collect<M, T> {
    type Output = Vec<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        let mut this = self.project();
        let mut budget = POLL_BUDGET;
        while let Some(item) = ready!(this.stream.as_mut().poll(cx, &mut budget, Wanted::Collected)) {
            this.items.push(item);
        }
        Poll::Ready(all(this.items, || (this.placed.take)(this.stream.machine_mut())))
    }
}

impl<M, I, T, O> Future for TryCollect<M, I, T, O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let mut this = self.project();
        let mut budget = POLL_BUDGET;
        while let Some(item) = ready!(this.stream.as_mut().poll(cx, &mut budget, Wanted::Collected)) {
            match (this.keep)(item) {
                Ok(item) => this.items.push(item),
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Ready((this.end)(all(this.items, || (this.placed.take)(this.stream.machine_mut()))))
    }
}

/// Returns those that have come out of the stream, or the others: never are there both.
fn all<T>(items: &mut Vec<T>, take: impl FnOnce() -> Vec<T>) -> Vec<T> {
    if items.is_empty() { take() } else { mem::take(items) }
}

/// Returns how many results are known to come, as far as capacity is reserved for them.
fn expected(stream: &impl Stream) -> usize {
    stream.size_hint().0.min(RESERVED)
}

/// As a future.
impl<M, T> PoolMap<M, T> {
    /// Returns the future of `.await`, for what takes futures: `join!`, `join_all`, `select!`, a timeout.
    ///
    /// A chain is not a future itself, but can be turned into one, as [`IntoFuture`] says. This is the same as a method of the
    /// chain's own: that of the trait could not be told from `StreamExt::into_future`, which gives the next item and the rest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the futures and the results in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, future::join_all};
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let tables = (1..=3).map(|n| (1..=3).pool_map(2, move |x| async move { n * x }).into_future());
    /// assert_eq!(join_all(tables).await, [[1, 2, 3], [2, 4, 6], [3, 6, 9]]);
    /// # });
    /// ```
    pub fn into_future(self) -> <Self as IntoFuture>::IntoFuture
    where
        Self: IntoFuture,
    {
        IntoFuture::into_future(self)
    }
}

/// Of a chain, `.await` gives all results.
impl<Src, S, T> IntoFuture for PoolMap<Chain<Src, S, Results<T>>, T> {
    type Output = Vec<T>;
    type IntoFuture = Collect<Chain<Src, S, Results<T>>, T>;

    fn into_future(mut self) -> Self::IntoFuture {
        let expected = expected(&self);
        self.machine.collect(expected);
        let take = |chain: Pin<&mut Chain<Src, S, Results<T>>>| chain.take_collected().collect();
        let placed = Placed { take, len: Chain::collected };
        Collect { items: Vec::new(), stream: self, placed }
    }
}

/// Of a chain with positions, `.await` gives all pairs.
impl<Src, S, T> IntoFuture for PoolMap<Chain<Src, S, Results<T>>, (usize, T)> {
    type Output = Vec<(usize, T)>;
    type IntoFuture = Collect<Chain<Src, S, Results<T>>, (usize, T)>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.take_all_results();
        Collect { items: Vec::with_capacity(expected(&self)), stream: self, placed: Placed::NONE }
    }
}

/// Of a chain inside the value, `.await` gives all results.
impl<Src, S, U, T, const N: usize> IntoFuture for PoolMap<Chain<Src, S, InlineResults<U, N>>, T> {
    type Output = Vec<T>;
    type IntoFuture = Collect<Chain<Src, S, InlineResults<U, N>>, T>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.take_all_results();
        Collect { items: Vec::with_capacity(expected(&self)), stream: self, placed: Placed::NONE }
    }
}

/// A chain that fails fast, on the heap or inside the value.
type FailsFast<Src, S, R, I> = FailFast<Chain<Src, S, R>, I>;

/// Of a chain that fails fast, `.await` gives all results, or the first error to happen.
impl<Src, S, T, E> IntoFuture for PoolMap<FailsFast<Src, S, Results<Result<T, E>>, Result<T, E>>, Result<T, E>> {
    type Output = Result<Vec<T>, E>;
    type IntoFuture = TryCollect<FailsFast<Src, S, Results<Result<T, E>>, Result<T, E>>, Result<T, E>, T, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        // Because of a possible error, the stream does not say how many there are.
        self.machine.chain.machine.collect(0);
        let placed = Placed {
            take: |fail_fast: Pin<&mut FailsFast<Src, S, Results<Result<T, E>>, _>>| {
                fail_fast.project().chain.machine_mut().take_collected().filter_map(Result::ok).collect()
            },
            len: |fail_fast| fail_fast.chain.machine().collected(),
        };
        TryCollect { stream: self, items: Vec::new(), placed, keep: |item| item.map_err(Err), end: Ok }
    }
}

/// Of a chain inside the value that fails fast, `.await` gives all results, or the first error to happen.
impl<Src, S, U, T, E, const N: usize> IntoFuture
    for PoolMap<FailsFast<Src, S, InlineResults<U, N>, Result<T, E>>, Result<T, E>>
{
    type Output = Result<Vec<T>, E>;
    type IntoFuture = TryCollect<FailsFast<Src, S, InlineResults<U, N>, Result<T, E>>, Result<T, E>, T, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.chain.machine.take_all_results();
        let items = Vec::with_capacity(expected(&self));
        TryCollect { stream: self, items, placed: Placed::NONE, keep: |item| item.map_err(Err), end: Ok }
    }
}

/// A chain that fails fast at errors and at panics.
#[cfg(feature = "std")]
type FailsFastCaught<Src, S, R, I> = FailFast<FailsFast<Src, S, R, I>, I>;

/// Of a chain that fails fast and catches panics, `.await` gives all results, or the first error or panic to happen.
#[cfg(feature = "std")]
impl<Src, S, T, E> IntoFuture for PoolMap<FailsFastCaught<Src, S, Results<Caught<T, E>>, Caught<T, E>>, Caught<T, E>> {
    type Output = Result<Result<Vec<T>, E>, Panic>;
    type IntoFuture =
        TryCollect<FailsFastCaught<Src, S, Results<Caught<T, E>>, Caught<T, E>>, Caught<T, E>, T, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.chain.machine.chain.machine.collect(0);
        let placed = Placed {
            take: |fail_fast: Pin<&mut FailsFastCaught<Src, S, Results<Caught<T, E>>, _>>| {
                let chain = fail_fast.project().chain.machine_mut().project().chain.machine_mut();
                chain.take_collected().filter_map(|result| result.ok()?.ok()).collect()
            },
            len: |fail_fast| fail_fast.chain.machine().chain.machine().collected(),
        };
        TryCollect { stream: self, items: Vec::new(), placed, keep: keep_caught, end: |items| Ok(Ok(items)) }
    }
}

/// Of a chain that was inside the value, fails fast and catches panics, `.await` gives all results, or the first error or panic to
/// happen.
#[cfg(feature = "std")]
impl<Src, S, U, T, E, const N: usize> IntoFuture
    for PoolMap<FailsFastCaught<Src, S, InlineResults<U, N>, Caught<T, E>>, Caught<T, E>>
{
    type Output = Result<Result<Vec<T>, E>, Panic>;
    type IntoFuture =
        TryCollect<FailsFastCaught<Src, S, InlineResults<U, N>, Caught<T, E>>, Caught<T, E>, T, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.chain.machine.chain.machine.take_all_results();
        let items = Vec::with_capacity(expected(&self));
        TryCollect { stream: self, items, placed: Placed::NONE, keep: keep_caught, end: |items| Ok(Ok(items)) }
    }
}

/// Tells a value from an error and a panic.
#[cfg(feature = "std")]
fn keep_caught<T, U, E>(result: Caught<T, E>) -> Result<T, Result<Result<U, E>, Panic>> {
    match result {
        Ok(Ok(item)) => Ok(item),
        Ok(Err(error)) => Err(Ok(Err(error))),
        Err(panic) => Err(Err(panic)),
    }
}

impl<M: fmt::Debug, T> fmt::Debug for Collect<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Collect", &self.stream, self.items.len() + (self.placed.len)(self.stream.machine()), f)
    }
}

impl<M: fmt::Debug, I, T, O> fmt::Debug for TryCollect<M, I, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("TryCollect", &self.stream, self.items.len() + (self.placed.len)(self.stream.machine()), f)
    }
}

fn debug(name: &str, stream: &dyn fmt::Debug, collected: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name).field("stream", stream).field("collected", &collected).finish_non_exhaustive()
}
