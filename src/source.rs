//! Where waiting futures come from: a queue, or a stream and a closure.

use alloc::collections::VecDeque;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::Stream;
use pin_project::pin_project;

use crate::key::Key;
use crate::progress::Progress;

/// Gives out the futures that wait, each with its number: what [`PoolMap`](super::PoolMap) asks of its source.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// Numbers rise by one from each item of the source to the next. A number that is left out belongs to an item that came
/// to nothing, because it was cancelled or because the user's closure panicked over it.
pub trait Source<Fut> {
    /// Takes the next future. `None` says that there is none now; a queue may have one again later.
    ///
    /// `polls` is what is left of the caller's polls, for a source that polls futures itself.
    fn poll_take(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<(u64, Fut)>>;

    /// Lets a source that has futures itself go on while nothing is taken from it.
    fn poll_progress(self: Pin<&mut Self>, _cx: &mut Context<'_>, _polls: &mut usize) -> Poll<()> {
        Poll::Ready(())
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

/// The futures pushed into a pool and not started, in their order.
pub(crate) struct Queue<F> {
    /// A cancelled future leaves a hole, which goes when it comes to the front, or when there are more holes than futures.
    futures: VecDeque<Option<F>>,
    /// The numbers of `futures`, if they do not simply follow one another up to `next`: holes were taken out.
    numbers: Option<VecDeque<u64>>,
    /// The number that the next future pushed will get.
    next: u64,
    /// How many of `futures` are not holes.
    len: usize,
}

/// So many holes are never too many.
const HOLES: usize = 32;

impl<F> Queue<F> {
    pub(crate) fn new() -> Self {
        Self { futures: VecDeque::new(), numbers: None, next: 0, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, future: F) -> Key {
        self.futures.push_back(Some(future));
        if let Some(numbers) = &mut self.numbers {
            numbers.push_back(self.next);
        }
        self.len += 1;
        self.next += 1;
        Key(self.next - 1)
    }

    /// Pushes a future for each item, and returns the number of the first.
    ///
    /// If the iterator or the closure panics, what was pushed before stays.
    pub(crate) fn extend(&mut self, items: impl Iterator<Item = F>) -> u64 {
        let first = self.next;
        self.futures.reserve(items.size_hint().0);
        for future in items {
            self.push(future);
        }
        first
    }

    /// Takes a number for a future that does not go through the queue, which must be empty.
    pub(crate) fn claim(&mut self) -> Key {
        debug_assert!(self.futures.is_empty(), "numbers go by the places in the queue");
        let key = Key(self.next);
        self.next += 1;
        key
    }

    /// The number that the next future will get.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    fn place(&self, key: Key) -> Option<usize> {
        if let Some(numbers) = &self.numbers {
            return numbers.binary_search(&key.0).ok();
        }
        let from_back = usize::try_from(self.next.checked_sub(key.0)?).ok()?;
        self.futures.len().checked_sub(from_back)
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.place(key).and_then(|place| self.futures.get(place)).is_some_and(Option::is_some)
    }

    /// Takes one future out of the queue.
    pub(crate) fn remove(&mut self, key: Key) -> Option<F> {
        let place = self.place(key)?;
        let future = self.futures.get_mut(place)?.take()?;
        self.len -= 1;
        self.drop_holes();
        if self.futures.len() > 2 * self.len + HOLES {
            self.close_ranks();
        }
        Some(future)
    }

    /// Takes everything out, and returns it to be dropped.
    pub(crate) fn take_all(&mut self) -> impl Sized + use<F> {
        self.len = 0;
        self.numbers = None;
        mem::take(&mut self.futures)
    }

    /// The number of the future at the front; that of the next one pushed if there is none.
    pub(crate) fn first_number(&self) -> u64 {
        match &self.numbers {
            Some(numbers) => numbers.front().copied().unwrap_or(self.next),
            None => self.next - self.futures.len() as u64,
        }
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(u64, F)> {
        let number = self.first_number();
        let future = self.futures.pop_front()??;
        self.forget_first_number();
        self.len -= 1;
        self.drop_holes();
        Some((number, future))
    }

    /// Called when the front has been taken out.
    #[inline(always)]
    fn forget_first_number(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.pop_front();
            if numbers.is_empty() {
                self.numbers = None;
            }
        }
    }

    /// Keeps holes away from the front, so that the front is a future unless the queue is empty.
    #[inline(always)]
    fn drop_holes(&mut self) {
        while let Some(None) = self.futures.front() {
            self.futures.pop_front();
            self.forget_first_number();
        }
    }

    /// Takes all holes out. From then on the numbers are kept, until the queue is empty.
    #[cold]
    fn close_ranks(&mut self) {
        let first = self.first_number();
        let numbers = self.numbers.take().unwrap_or_else(|| (first..self.next).collect());
        let futures = self.futures.iter().zip(numbers);
        self.numbers = Some(futures.filter(|(future, _)| future.is_some()).map(|(_, number)| number).collect());
        self.futures.retain(Option::is_some);
        self.futures.shrink_to(2 * self.len);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map from numbers to what is in the queue.
        #[test]
        fn a_queue_is_an_ordered_map(steps in prop::collection::vec((0..10_u8, any::<prop::sample::Index>()), 0..600)) {
            let mut queue = Queue::new();
            let mut map = BTreeMap::new();
            for (step, index) in steps {
                match step {
                    0..4 => {
                        let Key(number) = queue.push(step);
                        prop_assert!(map.insert(number, step).is_none());
                    }
                    4..9 if !map.is_empty() => {
                        // Mostly the later ones, so that holes stay.
                        let place = index.index(map.len()).max(map.len().min(3) - 1);
                        let number = *map.keys().nth(place).unwrap();
                        prop_assert_eq!(queue.remove(Key(number)), map.remove(&number));
                        prop_assert_eq!(queue.remove(Key(number)), None);
                    }
                    _ => prop_assert_eq!(queue.pop(), map.pop_first()),
                }
                prop_assert_eq!(queue.len(), map.len());
                prop_assert_eq!(queue.first_number(), map.keys().next().copied().unwrap_or(queue.next_number()));
                prop_assert!(map.keys().all(|&number| queue.contains(Key(number))));
                prop_assert!(!queue.contains(Key(queue.next_number())));
                prop_assert!(queue.futures.len() <= 2 * map.len() + HOLES, "holes: {}", queue.futures.len() - map.len());
            }
        }
    }
}

impl<F> Source<F> for &mut Queue<F> {
    fn poll_take(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut usize) -> Poll<Option<(u64, F)>> {
        Poll::Ready(self.get_mut().pop())
    }

    fn is_done(&self) -> bool {
        self.len == 0
    }
}

/// A queue, and behind it an iterator whose items become futures as they are taken.
pub(crate) struct QueueThen<'a, F, I, G> {
    pub(crate) queue: &'a mut Queue<F>,
    /// `None` after its end.
    pub(crate) items: &'a mut Option<I>,
    pub(crate) make: &'a mut G,
    /// How many items were taken.
    pub(crate) taken: &'a mut u64,
}

impl<F, I: Iterator, G> QueueThen<'_, F, I, G> {
    /// Returns whether the items are known to be at their end. An iterator that can tell is not asked for an item to
    /// find out, which would take a free slot.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.items.as_ref().is_none_or(|items| items.size_hint().1 == Some(0))
    }
}

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
        self.queue.len == 0 && self.is_exhausted()
    }
}

/// A stream of items and the closure that makes a future of each: the source of a [`PoolMap`](super::PoolMap).
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
