//! `.await` on a chain: [`Collect`] and [`TryCollect`].

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

use super::{FailFast, Indexed, PoolMap};
use crate::active::PinnedSet;
use crate::engine::POLLS;
use crate::finished::Order;
use crate::progress::Progress;
use crate::source::Source;

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
/// use futures_pool::{map::Collect, prelude::*};
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
pub struct Collect<P, T> {
    #[pin]
    stream: P,
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
/// use futures_pool::{map::TryCollect, prelude::*};
/// use tokio::time::{Duration, sleep, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let ping = async |t| { sleep(ms(t)).await; if t < 50 { Ok(t) } else { Err("too far") } };
/// let pings: TryCollect<_, u64> = [10, 90, 20].into_iter().pool_map(3, ping).fail_fast().into_future();
/// assert_eq!(timeout(ms(100), pings).await, Ok(Err("too far")));
/// let pings = [10, 90, 20].into_iter().pool_map(3, ping).fail_fast().into_future();
/// assert!(timeout(ms(50), pings).await.is_err()); // dropped, and what it held with it
/// # }
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct TryCollect<P, T> {
    #[pin]
    stream: P,
    items: Vec<T>,
}

impl<P: Progress<Item = T>, T> Future for Collect<P, T> {
    type Output = Vec<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        let mut this = self.project();
        let mut polls = POLLS;
        while let Some(item) = ready!(this.stream.as_mut().poll_next_within(cx, &mut polls)) {
            this.items.push(item);
        }
        Poll::Ready(mem::take(this.items))
    }
}

impl<P: Progress<Item = Result<T, E>>, T, E> Future for TryCollect<P, T> {
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Vec<T>, E>> {
        let mut this = self.project();
        let mut polls = POLLS;
        while let Some(item) = ready!(this.stream.as_mut().poll_next_within(cx, &mut polls)?) {
            this.items.push(item);
        }
        Poll::Ready(Ok(mem::take(this.items)))
    }
}

impl<Src, Fut, R, S, T> IntoFuture for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = T>,
    R: Order<Output = T>,
    S: PinnedSet<Fut>,
{
    type Output = Vec<T>;
    type IntoFuture = Collect<Self, T>;

    fn into_future(self) -> Collect<Self, T> {
        Collect { items: Vec::with_capacity(self.size_hint().0.min(RESERVED)), stream: self }
    }
}

impl<Src, Fut, R, S, T> IntoFuture for Indexed<PoolMap<Src, Fut, R, S>>
where
    Src: Source<Fut>,
    Fut: Future<Output = T>,
    R: Order<Output = T>,
    S: PinnedSet<Fut>,
{
    type Output = Vec<(usize, T)>;
    type IntoFuture = Collect<Self, (usize, T)>;

    fn into_future(self) -> Self::IntoFuture {
        Collect { items: Vec::with_capacity(self.size_hint().0.min(RESERVED)), stream: self }
    }
}

impl<Src, Fut, R, S, U, E> IntoFuture for PoolMap<Src, Fut, FailFast<R, Result<U, E>>, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = Result<U, E>>,
    R: Order<Output = Result<U, E>>,
    S: PinnedSet<Fut>,
{
    type Output = Result<Vec<U>, E>;
    type IntoFuture = TryCollect<Self, U>;

    fn into_future(self) -> TryCollect<Self, U> {
        TryCollect { items: Vec::with_capacity(self.size_hint().0.min(RESERVED)), stream: self }
    }
}

impl<P: fmt::Debug, T> fmt::Debug for Collect<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Collect", &self.stream, self.items.len(), f)
    }
}

impl<P: fmt::Debug, T> fmt::Debug for TryCollect<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("TryCollect", &self.stream, self.items.len(), f)
    }
}

fn debug(name: &str, stream: &dyn fmt::Debug, collected: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name).field("stream", stream).field("collected", &collected).finish_non_exhaustive()
}
