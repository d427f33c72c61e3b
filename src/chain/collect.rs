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

/// The most results that room is made for in advance: a size hint may lie, and an endless source has none to keep to.
const RESERVED: usize = 1024;

/// The future of `.await` on a chain: all results in a `Vec`.
///
/// It polls at most 64 futures before it lets other tasks run, even if everything is always ready.
///
/// # Cancel safety
///
/// Dropping it drops the futures and the results in it.
///
/// # Examples
///
/// ```
/// use futures::future::join;
/// use futures_pool::{chain::Collect, prelude::*};
/// use std::future::ready;
///
/// # futures::executor::block_on(async {
/// // For where a future is asked for, and not only something to `.await`.
/// let numbers: Collect<_, u32> = [1, 2].into_iter().pool_map(2, ready).into_future();
/// let words = ["a", "b"].into_iter().pool_map(2, ready).into_future();
/// assert_eq!(join(numbers, words).await, (vec![1, 2], vec!["a", "b"]));
/// # });
/// ```
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
///
/// # Examples
///
/// ```
/// use futures_pool::{chain::TryCollect, prelude::*};
/// use tokio::time::{Duration, sleep, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let ping = async |t| { sleep(ms(t)).await; if t < 50 { Ok(t) } else { Err("too far") } };
/// let pings: TryCollect<_, u64, _> = [10, 90, 20].into_iter().pool_map(3, ping).fail_fast().into_future();
/// assert_eq!(timeout(ms(100), pings).await, Ok(Err("too far")));
/// let pings = [10, 90, 20].into_iter().pool_map(3, ping).fail_fast().into_future();
/// assert!(timeout(ms(50), pings).await.is_err()); // dropped, and what it held with it
/// # }
/// ```
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

/// Makes room for what is known to come.
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
