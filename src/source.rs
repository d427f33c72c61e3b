//! Where waiting futures come from: a queue, or a stream and a closure.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

use crate::progress::Progress;
#[cfg(feature = "alloc")]
use crate::queue::Queue;

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

/// Gives out the futures that wait, each with its number: what [`PoolMap`](super::PoolMap) asks of its source.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// Numbers rise by one from each item of the source to the next. A number that is left out belongs to an item that came
/// to nothing, because it was cancelled or because the user's closure panicked over it.
///
/// [`Finished`](crate::map::Finished) and the other traits beside it have examples of such bounds.
pub trait Source<Fut> {
    /// Takes the next future. `None` says that there is none now; a queue may have one again later.
    ///
    /// `polls` is what is left of the caller's polls, for a source that polls futures itself.
    fn poll_take(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<(u64, Fut)>>;

    /// Lets a source that has futures itself go on while nothing is taken from it.
    fn poll_progress(self: Pin<&mut Self>, _cx: &mut Context<'_>, _polls: &mut usize) -> Poll<()> {
        Poll::Ready(())
    }

    /// Returns how many polls it has used up so far, which goes round.
    fn polled(&self) -> usize {
        0
    }

    /// Returns whether `poll_take` would return `None`.
    fn is_done(&self) -> bool;

    /// Returns bounds on the number of futures to come.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }

    /// Returns how many active futures have lent their slots to others.
    fn lent(&self) -> usize {
        0
    }

    /// Drops all that waits, as no more of it is wanted.
    fn close(self: Pin<&mut Self>) {}
}

#[cfg(feature = "alloc")]
impl<F> Source<F> for &mut Queue<F> {
    #[inline(always)]
    fn poll_take(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut usize) -> Poll<Option<(u64, F)>> {
        Poll::Ready(self.get_mut().pop())
    }

    fn is_done(&self) -> bool {
        self.len() == 0
    }
}

/// A queue, and behind it an iterator whose items become futures as they are taken.
#[cfg(feature = "alloc")]
pub(crate) struct QueueThen<'a, F, I, G> {
    pub(crate) queue: &'a mut Queue<F>,
    /// `None` after its end.
    pub(crate) items: &'a mut Option<I>,
    pub(crate) make: &'a mut G,
    /// How many items were taken.
    pub(crate) taken: &'a mut u64,
}

#[cfg(feature = "alloc")]
impl<F, I: Iterator, G> QueueThen<'_, F, I, G> {
    /// Returns whether the items are known to be at their end. An iterator that can tell is not asked for an item to
    /// find out, which would take a free slot.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.items.as_ref().is_none_or(|items| items.size_hint().1 == Some(0))
    }
}

#[cfg(feature = "alloc")]
impl<F, I: Iterator, G: FnMut(I::Item) -> F> Source<F> for QueueThen<'_, F, I, G> {
    fn poll_take(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut usize) -> Poll<Option<(u64, F)>> {
        let this = self.get_mut();
        if let Some(first) = this.queue.pop() {
            return Poll::Ready(Some(first));
        }
        let Some(items) = this.items else { return Poll::Ready(None) };
        let Some(item) = items.next() else {
            *this.items = None;
            return Poll::Ready(None);
        };
        let key = this.queue.claim();
        *this.taken += 1;
        Poll::Ready(Some((key.0, (this.make)(item))))
    }

    fn is_done(&self) -> bool {
        self.queue.len() == 0 && self.is_exhausted()
    }
}

/// A stream of items and the closure that makes a future of each: the source of a [`PoolMap`](super::PoolMap).
///
/// # Examples
///
/// ```
/// use futures::stream::{self, StreamExt};
/// use futures_pool::{PoolMap, map::{Mapped, Ordered, Plain}, prelude::*};
/// use std::future::{Ready, ready};
/// use std::ops::Range;
///
/// type Source = Mapped<Plain<stream::Iter<Range<u32>>>, fn(u32) -> Ready<u32>>;
///
/// /// A chain as a field, with its name in full instead of in a box.
/// struct Squares {
///     stream: PoolMap<Source, Ready<u32>, Ordered<u32>>,
/// }
///
/// # futures::executor::block_on(async {
/// let mut squares = Squares { stream: (3..5).pool_map(2, |x| ready(x * x)) };
/// assert_eq!(squares.stream.next().await, Some(9));
/// # });
/// ```
#[pin_project]
pub struct Mapped<St, F> {
    /// `None` once no more of it is wanted.
    #[pin]
    stream: Option<St>,
    /// Whether it has ended. It is kept all the same if it may have futures in flight.
    ended: bool,
    make: F,
    /// How many items were taken.
    taken: u64,
}

impl<St, F> Mapped<St, F> {
    pub(crate) fn new(stream: St, make: F) -> Self {
        Self { stream: Some(stream), ended: false, make, taken: 0 }
    }
}

impl<St: Progress, F: FnMut(St::Item) -> Fut, Fut> Source<Fut> for Mapped<St, F> {
    fn poll_take(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<(u64, Fut)>> {
        let mut this = self.project();
        let Some(mut stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(item) = ready!(stream.as_mut().poll_next_within(cx, polls)) else {
            *this.ended = true;
            if stream.is_idle_for_good() {
                this.stream.set(None);
            }
            return Poll::Ready(None);
        };
        let number = *this.taken;
        *this.taken += 1;
        Poll::Ready(Some((number, (this.make)(item))))
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let stream = self.project().stream.as_pin_mut();
        stream.map_or(Poll::Ready(()), |stream| stream.poll_progress_within(cx, polls))
    }

    fn polled(&self) -> usize {
        self.stream.as_ref().map_or(0, Progress::polled)
    }

    fn is_done(&self) -> bool {
        self.ended || self.stream.is_none()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.as_ref().filter(|_| !self.ended).map_or((0, Some(0)), Stream::size_hint)
    }

    fn close(self: Pin<&mut Self>) {
        self.project().stream.set(None);
    }
}

impl<St, F> fmt::Debug for Mapped<St, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// A stream with nothing in flight, so far as we know.
///
/// [`Mapped`] has an example.
#[derive(Debug)]
#[pin_project]
pub struct Plain<St> {
    #[pin]
    stream: St,
}

impl<St> Plain<St> {
    pub(crate) fn new(stream: St) -> Self {
        Self { stream }
    }
}

impl<St: Stream> Stream for Plain<St> {
    type Item = St::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<St::Item>> {
        self.project().stream.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<St: Stream> Progress for Plain<St> {
    fn poll_progress(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn is_idle_for_good(&self) -> bool {
        true
    }
}
