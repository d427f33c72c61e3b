//! `.await` on a chain: [`Collect`] and [`TryCollect`].

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

use super::{Chain, FailFast};
use crate::engine::POLL_BUDGET;
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
    items: Vec<T>,
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
pub struct TryCollect<M, T, E> {
    #[pin]
    stream: PoolMap<M, Result<T, E>>,
    items: Vec<T>,
}

impl<M, T> Future for Collect<M, T> {
    type Output = Vec<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        let mut this = self.project();
        let mut budget = POLL_BUDGET;
        while let Some(item) = ready!(this.stream.as_mut().poll(cx, &mut budget, Wanted::Item)) {
            this.items.push(item);
        }
        Poll::Ready(mem::take(this.items))
    }
}

impl<M, T, E> Future for TryCollect<M, T, E> {
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Vec<T>, E>> {
        let mut this = self.project();
        let mut budget = POLL_BUDGET;
        while let Some(item) = ready!(this.stream.as_mut().poll(cx, &mut budget, Wanted::Item)) {
            this.items.push(item?);
        }
        Poll::Ready(Ok(mem::take(this.items)))
    }
}

/// Reserves capacity for what is known to come.
fn reserve<T>(stream: &impl Stream) -> Vec<T> {
    Vec::with_capacity(stream.size_hint().0.min(RESERVED))
}

/// Of a chain, `.await` gives all results.
impl<Src, S, R, T> IntoFuture for PoolMap<Chain<Src, S, R>, T> {
    type Output = Vec<T>;
    type IntoFuture = Collect<Chain<Src, S, R>, T>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.take_all_results();
        Collect { items: reserve(&self), stream: self }
    }
}

/// Of a chain that fails fast, `.await` gives all results, or the first error to happen.
impl<Src, S, R, T, E> IntoFuture for PoolMap<FailFast<Chain<Src, S, R>, Result<T, E>>, Result<T, E>> {
    type Output = Result<Vec<T>, E>;
    type IntoFuture = TryCollect<FailFast<Chain<Src, S, R>, Result<T, E>>, T, E>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.machine.chain.machine.take_all_results();
        TryCollect { items: reserve(&self), stream: self }
    }
}

impl<M: fmt::Debug, T> fmt::Debug for Collect<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Collect", &self.stream, self.items.len(), f)
    }
}

impl<M: fmt::Debug, T, E> fmt::Debug for TryCollect<M, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("TryCollect", &self.stream, self.items.len(), f)
    }
}

fn debug(name: &str, stream: &dyn fmt::Debug, collected: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name).field("stream", stream).field("collected", &collected).finish_non_exhaustive()
}
