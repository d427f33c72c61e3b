//! [`IterMap`]: the results of one `itermap`, as they finish.

use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};

use super::Pool;
use crate::active::{ActiveSet, SlotSet};
use crate::batches::{Batches, Counts, Gather};
use crate::engine::{Call, Engine, POLLS};
use crate::finished::{Gathering, Keyed};
use crate::key::Key;
use crate::progress::{Progress, stages};

/// The stream that [`Pool::itermap`] makes: the results of its futures, as they finish.
///
/// What it leaves when it is dropped stays in the pool.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{Pool, pool::IterMap};
/// use std::future::{Ready, ready};
///
/// async fn first(mut results: IterMap<'_, Ready<u32>>) -> Option<u32> {
///     results.next().await
/// }
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(1);
/// assert_eq!(first(pool.itermap(1..=3, ready)).await, Some(1));
/// let left: Vec<_> = pool.map(|(_, x)| x).collect().await;
/// assert_eq!(left, [2, 3]);
/// # });
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
pub struct IterMap<'a, F: Future, S = SlotSet<F>> {
    pool: &'a mut Pool<F, S>,
    /// How many futures it began with.
    count: u64,
}

/// The stream that [`IterMap::keyed`] makes: results with their keys.
///
/// What it leaves when it is dropped stays in the pool.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{Key, Pool, pool::KeyedIterMap};
/// use std::future::{Ready, ready};
///
/// async fn cheapest(offers: KeyedIterMap<'_, Ready<u32>>) -> Option<(Key, u32)> {
///     offers.collect::<Vec<_>>().await.into_iter().min_by_key(|(_, price)| *price)
/// }
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(2);
/// let other = pool.spawn_n(ready(5));
/// let (key, price) = cheapest(pool.itermap([30, 10, 20], ready).keyed()).await.unwrap();
/// assert_eq!(price, 10);
/// assert!(key > other);
/// # });
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
pub struct KeyedIterMap<'a, F: Future, S = SlotSet<F>>(IterMap<'a, F, S>);

impl<'a, F: Future, S: ActiveSet<F>> IterMap<'a, F, S> {
    pub(super) fn new(pool: &'a mut Pool<F, S>, numbers: Range<u64>) -> Self {
        let count = numbers.end - numbers.start;
        pool.engine.finished.focus(numbers);
        Self { pool, count }
    }

    /// Gives pairs `(Key, T)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let results: Vec<_> = pool.itermap(["a", "b"], async |x| x).keyed().collect().await;
    /// assert!(results[0].0 < results[1].0);
    /// # });
    /// ```
    pub fn keyed(self) -> KeyedIterMap<'a, F, S> {
        KeyedIterMap(self)
    }

    /// Gives results in batches: a stream of non-empty `Vec<T>`.
    ///
    /// The batch under way is yielded when a result for which `when` returns `true` joins it, together with all that is
    /// finished by then, and at the end. See [`yield_when`](crate::yield_when) for the usual rules, and
    /// [`Batches::timeout`] for a limit in time. If the stream is dropped, the batch under way stays in the pool.
    ///
    /// # Panics
    ///
    /// The stream panics if `when` does; the results stay in the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{Pool, yield_when};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(2);
    /// let batches = pool.itermap(1..=4, async |x| x).batches(yield_when::all_completed);
    /// assert_eq!(batches.collect::<Vec<_>>().await, [[1, 2, 3, 4]]);
    /// # });
    /// ```
    pub fn batches<W: FnMut(&F::Output) -> bool>(self, when: W) -> Batches<Self, W> {
        Batches::new(self, when)
    }

    /// Returns how many futures of the pool are active.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(3);
    /// pool.spawn_n(pending::<()>()); // counts, too
    /// let mut results = pool.itermap(0..5, |_| pending());
    /// assert!(results.next().now_or_never().is_none());
    /// assert_eq!(results.active(), 3);
    /// ```
    pub fn active(&self) -> usize {
        self.pool.active()
    }

    /// Returns how many results are in the pool, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(2);
    /// pool.spawn_n(ready(1));
    /// pool.join().await;
    /// let results = pool.itermap(2..=3, ready);
    /// assert_eq!(results.finished(), 1); // not one of the stream's own
    /// # });
    /// ```
    pub fn finished(&self) -> usize {
        self.pool.finished()
    }

    /// Returns how many futures may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// let mut pool = Pool::new(2);
    /// assert_eq!(pool.itermap(0..100, ready).size(), 2);
    /// ```
    pub fn size(&self) -> usize {
        self.pool.size()
    }

    /// Polls until `wish` is granted, or all futures of this stream have ended.
    fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        polls: &mut usize,
        mut wish: impl FnMut(&mut Keyed<F::Output>) -> bool,
    ) -> Poll<bool> {
        let count = self.count;
        let mut granted = false;
        let mut waiting = &mut self.pool.waiting;
        let wish = |engine: Pin<&mut Engine<S, Keyed<F::Output>>>, _: &_, _| {
            let finished = engine.finished_mut();
            granted = wish(finished);
            granted || finished.focus_ended() == count
        };
        ready!(Pin::new(&mut self.pool.engine).poll_until(cx, Pin::new(&mut waiting), polls, Call::Until, wish));
        Poll::Ready(granted)
    }

    fn poll_pair(&mut self, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<(u64, F::Output)>> {
        ready!(self.poll_until(cx, polls, |finished| finished.focused_len() > 0));
        Poll::Ready(self.pool.engine.finished.pop_focused())
    }

    /// Returns how many results are left.
    fn left(&self) -> usize {
        let finished = &self.pool.engine.finished;
        let running = self.count - finished.focus_ended();
        usize::try_from(running).unwrap_or(usize::MAX) + finished.focused_len()
    }
}

impl<F: Future, S: ActiveSet<F>> Stream for IterMap<'_, F, S> {
    type Item = F::Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.poll_next_within(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left();
        (left, Some(left))
    }
}

impl<F: Future, S: ActiveSet<F>> Stream for KeyedIterMap<'_, F, S> {
    type Item = (Key, F::Output);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_within(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<F: Future, S: ActiveSet<F>> Progress for IterMap<'_, F, S> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_within(cx, &mut POLLS.clone())
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<F::Output>> {
        let next = ready!(self.get_mut().poll_pair(cx, polls));
        Poll::Ready(next.map(|(_, output)| output))
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        self.get_mut().pool.go_on(cx, polls)
    }

    fn polled(&self) -> usize {
        self.pool.engine.polled::<F>()
    }
}

impl<F: Future, S: ActiveSet<F>> Progress for KeyedIterMap<'_, F, S> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll_progress(cx)
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Self::Item>> {
        let next = ready!(self.get_mut().0.poll_pair(cx, polls));
        Poll::Ready(next.map(|(number, output)| (Key(number), output)))
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        self.0.polled()
    }
}

stages!([F: Future, S: ActiveSet<F>] IterMap<'_, F, S> []);
stages!([F: Future, S: ActiveSet<F>] KeyedIterMap<'_, F, S> []);

impl<F: Future, S: ActiveSet<F>> FusedStream for IterMap<'_, F, S> {
    fn is_terminated(&self) -> bool {
        self.left() == 0
    }
}

impl<F: Future, S: ActiveSet<F>> FusedStream for KeyedIterMap<'_, F, S> {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl<F: Future, S: ActiveSet<F>> Gather for IterMap<'_, F, S> {
    fn poll_gather(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        when: &mut impl FnMut(&F::Output) -> bool,
    ) -> Poll<bool> {
        self.get_mut().poll_until(cx, polls, |finished| finished.gather(when))
    }

    fn gathered(&self) -> usize {
        self.pool.engine.finished.gathered()
    }

    fn take_all(self: Pin<&mut Self>) -> Vec<F::Output> {
        let finished = &mut self.get_mut().pool.engine.finished;
        finished.ungather();
        iter::from_fn(|| finished.pop_focused()).map(|(_, output)| output).collect()
    }
}

impl<F: Future, S: ActiveSet<F>> Counts for IterMap<'_, F, S> {
    fn counts(&self) -> [usize; 3] {
        [self.active(), self.finished(), self.size()]
    }
}

impl<F: Future, S: ActiveSet<F>> fmt::Debug for IterMap<'_, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMap").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<F: Future, S: ActiveSet<F>> fmt::Debug for KeyedIterMap<'_, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedIterMap").field(&self.0).finish()
    }
}
