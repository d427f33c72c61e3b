//! Source: where waiting futures come from. A queue; or something that yields items, and a closure that makes a future of
//! each.

mod admission;
mod numbers;
#[cfg(feature = "std")]
mod per_key;
#[cfg(feature = "alloc")]
mod queue;

use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

pub(crate) use self::admission::{Admission, InOrder, InlineActive, Numbered, Unweighted};
#[cfg(feature = "alloc")]
pub(crate) use self::admission::{Admitted, Plain, Weighted};
#[cfg(feature = "alloc")]
pub(crate) use self::numbers::Numbers;
#[cfg(feature = "std")]
pub(crate) use self::per_key::PerKey;
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

    /// Whether it decides which future may start next, by weight or by key, and is told which have started and ended.
    const ADMITS: bool = false;

    /// If it [admits](Self::ADMITS): finds the future that may start next, if its weight fits.
    ///
    /// `budget` is what is left of the caller's poll budget, of which each item takes one poll that is set aside.
    /// Defaults are multiples of `size`.
    fn poll_head(self: Pin<&mut Self>, _cx: &mut Context<'_>, _budget: &mut usize, _size: usize) -> Poll<Admit> {
        Poll::Ready(Admit::Empty)
    }

    /// If it admits: returns the future that may start next, if that is known without pulling an item.
    fn head(&self) -> Option<Head> {
        None
    }

    /// If it admits: the future that was taken last is in this slot of the active set, and weighs so much.
    fn started(self: Pin<&mut Self>, _slot: usize, _weight: usize) {}

    /// If it admits: the future in this slot has ended. Returns what it weighed.
    fn ended(self: Pin<&mut Self>, _slot: usize) -> usize {
        1
    }

    /// If it admits: returns the number of an item that was lost, as a closure has panicked, once.
    fn take_lost(self: Pin<&mut Self>) -> Option<u64> {
        None
    }

    /// Returns how many items were pulled and have not started.
    fn waiting(&self) -> usize {
        0
    }

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

/// The future that is to start next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub(crate) number: u64,
    /// As the user's closure says: neither at least 1 nor at most the size.
    pub(crate) weight: usize,
}

/// What a source that admits has for the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    Head(Head),
    /// What waits must not start before a future has ended.
    NotEligible,
    /// Nothing waits, and nothing will.
    Empty,
    /// The budget is used up.
    OutOfBudget,
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

/// A source that takes options of admission, before the first item was pulled.
#[cfg(feature = "alloc")]
pub trait Admittable<Fut>: Source<Fut> {
    /// What is admitted.
    type Item;

    /// The same with weights.
    type Weighted<W>: Source<Fut>
    where
        W: FnMut(&Self::Item) -> usize;

    /// Has items weighed.
    fn weighted<W: FnMut(&Self::Item) -> usize>(self, weigh: W) -> Self::Weighted<W>;

    /// The same with keys.
    #[cfg(feature = "std")]
    type PerKey<K, F>: Source<Fut>
    where
        K: core::hash::Hash + Eq,
        F: FnMut(&Self::Item) -> K;

    /// Has at most `most` futures of one key active.
    #[cfg(feature = "std")]
    #[track_caller]
    fn per_key<K, F>(self, most: usize, key: F) -> Self::PerKey<K, F>
    where
        K: core::hash::Hash + Eq,
        F: FnMut(&Self::Item) -> K;
}

/// A source with keys.
#[cfg(feature = "std")]
pub trait LookAhead {
    /// Changes how many items may be set aside.
    fn set_look_ahead(&mut self, items: usize);
}

#[cfg(feature = "alloc")]
impl<It: Items, F: FnMut(It::Item) -> Fut, Fut> Mapped<It, F, Fut> {
    fn into_admission(self) -> Admission<It, Unweighted, InOrder<It::Item>, Plain<F>, alloc::vec::Vec<Admitted>, Fut> {
        Admission::new(self.items, Unweighted, InOrder::new(), Plain(self.make), alloc::vec::Vec::new())
    }
}

#[cfg(feature = "alloc")]
impl<It: Items, F: FnMut(It::Item) -> Fut, Fut> Admittable<Fut> for Mapped<It, F, Fut> {
    type Item = It::Item;
    type Weighted<W>
        = Admission<It, Weighted<W>, InOrder<It::Item>, Plain<F>, alloc::vec::Vec<Admitted>, Fut>
    where
        W: FnMut(&It::Item) -> usize;

    fn weighted<W: FnMut(&It::Item) -> usize>(self, weigh: W) -> Self::Weighted<W> {
        self.into_admission().weighted(weigh)
    }

    #[cfg(feature = "std")]
    type PerKey<K, KeyOf>
        = Admission<It, Unweighted, PerKey<K, KeyOf, It::Item>, Plain<F>, alloc::vec::Vec<Admitted>, Fut>
    where
        K: core::hash::Hash + Eq,
        KeyOf: FnMut(&It::Item) -> K;

    #[cfg(feature = "std")]
    fn per_key<K, KeyOf>(self, most: usize, key: KeyOf) -> Self::PerKey<K, KeyOf>
    where
        K: core::hash::Hash + Eq,
        KeyOf: FnMut(&It::Item) -> K,
    {
        self.into_admission().per_key(most, key)
    }
}
