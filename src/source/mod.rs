//! Source: where waiting futures come from. A queue; or something that yields items, and a closure that makes a future of
//! each.

#[cfg(feature = "alloc")]
mod queue;

use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

#[cfg(feature = "alloc")]
pub(crate) use self::queue::Queue;

/// Gives out the futures that wait, each with its number.
///
/// Numbers rise by one from each item of the source to the next. A number that is left out belongs to an item that never
/// became a future, because it was cancelled or because the user's closure panicked.
pub trait Source<Fut> {
    /// Whether something upstream may have futures in flight.
    const HAS_UPSTREAM: bool = false;

    /// Whether active futures may lend their slots to others.
    const LENDS: bool = false;

    /// Takes the next future. `None` says that there is none now; a queue may have one again later.
    ///
    /// `budget` is what is left of the caller's poll budget, for a source that polls futures itself.
    ///
    /// `start` is given the number and the future, and its result is returned. So a future is moved once, from where the
    /// closure has put it together into its slot: to return it in a tuple costs a stalled load.
    fn poll_take<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
        start: impl FnOnce(u64, Fut) -> T,
    ) -> Poll<Option<T>>;

    /// Lets a source that has futures itself make progress while nothing is taken from it.
    fn poll_progress(self: Pin<&mut Self>, _cx: &mut Context<'_>, _budget: &mut usize) -> Poll<()> {
        Poll::Ready(())
    }

    /// Returns how many polls it has used so far; wraps around.
    fn polls_used(&self) -> usize {
        0
    }

    /// Returns whether `poll_take` would return `None`.
    fn is_done(&self) -> bool;

    /// Returns bounds on the number of futures to come.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }

    /// Returns how many active futures have lent their slots to others, and how many of these claim one.
    fn lent(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Drops all that waits, as no more of it is wanted.
    fn close(self: Pin<&mut Self>) {}
}

#[cfg(feature = "alloc")]
impl<F> Source<F> for &mut Queue<F> {
    #[inline]
    fn poll_take<T>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut usize,
        start: impl FnOnce(u64, F) -> T,
    ) -> Poll<Option<T>> {
        Poll::Ready(self.get_mut().pop().map(|(number, future)| start(number, future)))
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
    fn poll_take<T>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut usize,
        start: impl FnOnce(u64, F) -> T,
    ) -> Poll<Option<T>> {
        let this = self.get_mut();
        if let Some((number, future)) = this.queue.pop() {
            return Poll::Ready(Some(start(number, future)));
        }
        let Some(items) = this.items else { return Poll::Ready(None) };
        let Some(item) = items.next() else {
            *this.items = None;
            return Poll::Ready(None);
        };
        let key = this.queue.claim();
        *this.taken += 1;
        Poll::Ready(Some(start(key.0, (this.make)(item))))
    }

    fn is_done(&self) -> bool {
        self.queue.len() == 0 && self.is_exhausted()
    }
}

/// What yields the items of a chain: an iterator, any stream, or another pool's stream, which is then *upstream*.
pub trait Items {
    /// What it yields.
    type Item;

    /// Whether it may have futures in flight.
    const IS_POOL: bool;

    /// Yields the next item. `budget` is what is left of the caller's poll budget.
    fn poll_item(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<Option<Self::Item>>;

    /// Returns bounds on the number of items to come.
    fn size_hint(&self) -> (usize, Option<usize>);

    /// Lets it make progress while no item is taken.
    fn poll_progress(self: Pin<&mut Self>, _cx: &mut Context<'_>, _budget: &mut usize) -> Poll<()> {
        Poll::Ready(())
    }

    /// Returns how many polls it has used so far; wraps around.
    fn polls_used(&self) -> usize {
        0
    }
}

/// The items of an iterator.
pub struct IterItems<I>(pub(crate) I);

// Nothing is pinned in it.
impl<I> Unpin for IterItems<I> {}

impl<I: Iterator> Items for IterItems<I> {
    type Item = I::Item;
    const IS_POOL: bool = false;

    #[inline]
    fn poll_item(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut usize) -> Poll<Option<I::Item>> {
        Poll::Ready(self.get_mut().0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// The items of a stream that has nothing in flight, as far as is known.
#[pin_project]
pub struct StreamItems<St>(#[pin] pub(crate) St);

impl<St: Stream> Items for StreamItems<St> {
    type Item = St::Item;
    const IS_POOL: bool = false;

    #[inline]
    fn poll_item(self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut usize) -> Poll<Option<St::Item>> {
        self.project().0.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// Items, and the closure that makes a future of each: the source of a chain.
#[pin_project]
pub struct Mapped<It, F, Fut> {
    /// `None` once no more of it is wanted.
    #[pin]
    items: Option<It>,
    /// Whether they are at their end. What yields them is kept all the same if it may have futures in flight.
    has_ended: bool,
    make: F,
    /// How many items were taken.
    taken: u64,
    futures: PhantomData<fn() -> Fut>,
}

impl<It, F, Fut> Mapped<It, F, Fut> {
    pub(crate) fn new(items: It, make: F) -> Self {
        Self { items: Some(items), has_ended: false, make, taken: 0, futures: PhantomData }
    }
}

impl<It: Items, F: FnMut(It::Item) -> Fut, Fut> Source<Fut> for Mapped<It, F, Fut> {
    const HAS_UPSTREAM: bool = It::IS_POOL;

    #[inline]
    fn poll_take<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
        start: impl FnOnce(u64, Fut) -> T,
    ) -> Poll<Option<T>> {
        let mut this = self.project();
        let Some(items) = this.items.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(item) = ready!(items.poll_item(cx, budget)) else {
            *this.has_ended = true;
            if !It::IS_POOL {
                this.items.set(None);
            }
            return Poll::Ready(None);
        };
        let number = *this.taken;
        *this.taken += 1;
        Poll::Ready(Some(start(number, (this.make)(item))))
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        match self.project().items.as_pin_mut() {
            Some(items) => items.poll_progress(cx, budget),
            None => Poll::Ready(()),
        }
    }

    fn polls_used(&self) -> usize {
        match &self.items {
            Some(items) => items.polls_used(),
            None => 0,
        }
    }

    fn is_done(&self) -> bool {
        self.has_ended || self.items.is_none()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.items {
            Some(items) if !self.has_ended => items.size_hint(),
            _ => (0, Some(0)),
        }
    }

    fn close(self: Pin<&mut Self>) {
        self.project().items.set(None);
    }
}
