//! [`Indexed`]: results with the positions of their items.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

use super::PoolMap;
use crate::active::PinnedSet;
use crate::engine::POLLS;
use crate::finished::Finished;
use crate::progress::{Progress, stages};
use crate::source::Source;

/// The view that [`PoolMap::indexed`] makes: a stream of `(usize, T)`.
///
/// Positions count from 0. An item whose future, or whose turn in the closure, panicked has a position, and no pair.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::prelude::*;
///
/// # futures::executor::block_on(async {
/// let parsed = ["1", "x", "3", ""].iter().pool_map(2, async |text| text.parse::<u32>());
/// let wrong = parsed.indexed().filter_map(async |(line, number)| number.is_err().then_some(line));
/// assert_eq!(wrong.collect::<Vec<_>>().await, [1, 3]);
/// # });
/// ```
#[must_use = "streams do nothing unless polled: `.await` it, or use it as a `Stream`"]
#[derive(Debug)]
#[pin_project]
pub struct Indexed<P> {
    #[pin]
    stream: P,
}

impl<P> Indexed<P> {
    pub(super) fn new(stream: P) -> Self {
        Self { stream }
    }
}

impl<Src, Fut, R, S> Indexed<PoolMap<Src, Fut, R, S>>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    /// Returns how many futures are active: started, and not finished.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let mut pairs = (0..).pool_map(3, |_: u32| pending::<()>()).indexed();
    /// assert!(pairs.next().now_or_never().is_none());
    /// assert_eq!(pairs.active(), 3);
    /// ```
    pub fn active(&self) -> usize {
        self.stream.active()
    }

    /// Returns how many results are in the stream, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pairs = ["a", "b", "c"].into_iter().pool_map(1, ready).indexed();
    /// assert_eq!(pairs.next().await, Some((0, "a")));
    /// assert_eq!(pairs.finished(), 1); // "b"; the backlog of 1 keeps "c" from starting
    /// # });
    /// ```
    pub fn finished(&self) -> usize {
        self.stream.finished()
    }

    /// Returns how many futures may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::future::ready;
    ///
    /// assert_eq!((0..9).pool_map(3, ready).indexed().size(), 3);
    /// ```
    pub fn size(&self) -> usize {
        self.stream.size()
    }
}

impl<Src, Fut, R, S> Stream for Indexed<PoolMap<Src, Fut, R, S>>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    type Item = (usize, R::Output);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_within(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<Src, Fut, R, S> FusedStream for Indexed<PoolMap<Src, Fut, R, S>>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<Src, Fut, R, S> Progress for Indexed<PoolMap<Src, Fut, R, S>>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().stream.poll_progress(cx)
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Self::Item>> {
        let next = ready!(self.project().stream.poll_numbered(cx, polls));
        // Positions beyond `usize::MAX` wrap around, as they do in `enumerate`.
        #[allow(clippy::cast_possible_truncation)]
        Poll::Ready(next.map(|(number, output)| (number as usize, output)))
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        self.project().stream.poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        self.stream.polled()
    }
}

stages!([Src, Fut, R, S] Indexed<PoolMap<Src, Fut, R, S>> [
    Src: Source<Fut>, Fut: Future<Output = R::Output>, R: Finished, S: PinnedSet<Fut>
]);
