//! A [`Pool`] as a stream of its results.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};

use super::Pool;
use crate::active::ActiveSet;
use crate::consumer::{Consume, PoolItems, stages};
use crate::engine::{Goal, POLL_BUDGET};
use crate::future::{IsFuture, PoolFuture};
use crate::key::Key;
use crate::progress::{PoolCounts, Progress, debug_counts};

/// Pushes each future into the queue, as [`spawn_n`](Pool::spawn_n) does. Their keys come with the results; those who need
/// them before have [`map_n`](Pool::map_n).
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::Pool;
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(2);
/// pool.extend((1..=3).map(async |x| x * x));
/// let squares: Vec<_> = pool.map(|(_key, square)| square).collect().await;
/// assert_eq!(squares, [1, 4, 9]);
/// # });
/// ```
impl<F: Future, K: ActiveSet> Extend<F> for Pool<F, K> {
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        let _ = self.map_n(futures, |future| future);
    }
}

/// The results as they finish: `None` when nothing is waiting, active or finished, and `Some` again after a new push.
impl<F: Future, K: ActiveSet> Stream for Pool<F, K> {
    type Item = (Key, F::Output);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_with_budget(cx, &mut POLL_BUDGET.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len() + self.finished();
        (left, Some(left))
    }
}

impl<F: Future, K: ActiveSet> Progress for Pool<F, K> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_with_budget(cx, &mut POLL_BUDGET.clone())
    }

    #[inline]
    fn poll_next_with_budget(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.engine.finished.unfocus();
        if !ready!(this.run(cx, budget, Goal::Next)) {
            return Poll::Ready(None);
        }
        Poll::Ready(this.engine.finished.pop().map(|(number, output)| (Key(number), output)))
    }

    fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        let this = self.get_mut();
        // What batches that were dropped have gathered counts against the bound on results again.
        this.engine.finished.unfocus();
        this.run_beside(cx, budget, Goal::Progress).map(|_| ())
    }

    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        let this = self.get_mut();
        this.engine.finished.unfocus();
        this.run_beside(cx, budget, Goal::Next).map(|_| ())
    }

    fn polls_used(&self) -> usize {
        self.engine.law.polls_used()
    }

    fn counts(&self) -> PoolCounts {
        PoolCounts {
            active: self.active(),
            finished: self.finished(),
            size: self.size(),
            polls_used: Progress::polls_used(self),
        }
    }
}

impl<F: Future, K: ActiveSet> Pool<F, K> {
    /// Hands the results, with their keys, to any consumer of a stream, and runs that to its end; **the pool makes progress
    /// meanwhile**, within its bound on results.
    ///
    /// As [`consume`](crate::PoolMap::consume) on a chain, with the pool borrowed. The stream of items ends when nothing is waiting,
    /// active or finished; what the consumer has not taken stays in the pool.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the consumer; the pool remains usable, and no result is lost that the consumer has not taken.
    ///
    /// # Panics
    ///
    /// If the closure, the consumer, or a future of the pool does. The pool remains usable.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(2);
    /// let _ = pool.map_n(1..=4, async |x| x * x);
    /// let two = pool.consume(|items| items.take(2).fold(0, async |sum, (_key, square)| sum + square)).await;
    /// let rest = pool.consume(|items| items.fold(0, async |sum, (_key, square)| sum + square)).await;
    /// assert_eq!(two + rest, 30);
    /// # });
    /// ```
    pub fn consume<'a, Consumer, Fut, O>(&'a mut self, consumer: Consumer) -> PoolFuture<Consume<&'a mut Self, Fut>, O>
    where
        Consumer: FnOnce(PoolItems<&'a mut Self, (Key, F::Output)>) -> Fut,
        Fut: IsFuture<Output = O>,
    {
        Consume::new(self, consumer)
    }
}

stages!([F: Future, K: ActiveSet] Pool<F, K>, (Key, F::Output));

impl<F: Future, K: ActiveSet> FusedStream for Pool<F, K> {
    fn is_terminated(&self) -> bool {
        self.is_empty() && self.finished() == 0
    }
}

impl<F: Future, K: ActiveSet> fmt::Debug for Pool<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_counts("Pool", Some(self.waiting()), self.counts(), f)
    }
}
