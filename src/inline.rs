//! Pools that are all in one value, for where there is no allocator: [`pool_map_inline`], [`InlinePool`], [`InlineSet`].
//!
//! They are the same pool, on the same engine and under the same law, with these differences:
//!
//! - **They are pinned by their user**, with [`pin!`](core::pin::pin) or as a part of something that is, before they are
//!   polled; the futures are inside. `for_each` takes the stream itself, and pins it.
//! - **A size is a type**, [`Slots<1>`](Slots) to `Slots<32>`. [`InlineSet`] says what wakes what: each call polls the active
//!   futures one after the other, woken or not.
//! - **They hold at most `2 * N` results.** So the size and `max_finished` are at most `N`, and in order, too, every result counts
//!   against it: one slow future idles the other slots once more than `N` results wait behind it.
//! - **The size and `max_finished` are set before the value is pinned**: `set_size` and `set_max_finished` take `&mut self`.
//! - There are no batches, which would be made on the heap, and `.await` on the chain, which makes a `Vec`, takes the feature
//!   `alloc`. `catch_unwind` goes back to slots on the heap.
//! - A stage is put on the stream itself, not on a pinned reference to it: `pool.as_mut().pool_map_inline(..)` is the method
//!   of any stream, which does not keep the upstream stage going.
//!
//! The value is about as large as `N` futures and `2 * N` results, each with eight to sixteen bytes of its own, and for an
//! `InlinePool` `QUEUE` futures more.
//!
//! ```
//! use futures::stream::StreamExt;
//! use futures_pool::{inline::Slots, prelude::*};
//! use std::pin::pin;
//!
//! async fn read(sensor: u8) -> u32 {
//!     u32::from(sensor) * 10
//! }
//!
//! # futures::executor::block_on(async {
//! // As a stream …
//! let mut readings = pin!((0..100).pool_map_inline(Slots::<4>, read).unordered());
//! assert_eq!(readings.next().await, Some(0));
//!
//! // … or to its end.
//! let mut sum = 0;
//! (0..100).pool_map_inline(Slots::<4>, read).for_each(|reading| { sum += reading; std::future::ready(()) }).await;
//! assert_eq!(sum, 49_500);
//! # });
//! ```
//!
//! # Without the feature `alloc`
//!
//! What is in this module is there, and with it everything that needs no heap: the options of the chain, `indexed`,
//! `for_each`, `drive`, `driven`, stages, `callback`. What needs the heap is not: `pool_map`, `SlotSet`, `UnorderedSet`,
//! `Pool`, `local_scope`, batches, and `.await` on a chain. Nor are there any atomics, so it runs where there is no
//! compare-and-swap, as on a Cortex-M0.
//!
//! [`pool_map_inline`]: crate::IterPoolExt::pool_map_inline

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

pub use crate::active::{InlineSet, SlotCount, Slots};
use crate::active::{InlineSlots, Set};
use crate::consumer::stages;
#[cfg(feature = "alloc")]
use crate::consumer::{Consume, PoolItems};
use crate::engine::{Engine, Goal, POLL_BUDGET, Unconditional};
use crate::finished::{ChainResults, Finished, InlineResults};
#[cfg(feature = "alloc")]
use crate::future::{IsFuture, PoolFuture};
use crate::key::Key;
use crate::progress::{PoolCounts, Progress, debug_counts};
use crate::ring::{ClearOnDrop, Ring};
use crate::source::Source;

/// A pool of futures of one type, with results by key, all inside the value: `N` futures are active at once, no more and no
/// less, and up to `QUEUE` wait.
///
/// Futures are pushed into its queue by [`try_spawn`](Self::try_spawn), which gives a future back if the queue is full.
/// Results are taken as they finish, the pool being a [`Stream`] of `(Key, T)`, or by
/// [`take_result`](Self::take_result). It is the [`Pool`](crate::Pool) for where there is no allocator, and has to be
/// pinned; see the [module](self).
///
/// **Nothing runs unless the pool is polled.** In `while let Some(x) = pool.next().await { slow().await }` its futures
/// stall while `slow` runs; [`drive`](crate::ProgressExt::drive) keeps them going.
///
/// There is no `spawn`, `exec`, `wait` or `join`: they would have to hold any number of results of others. Where the queue
/// is full, take a result (`next`), and try again.
///
/// # The bound on results
///
/// The pool starts a future only while it holds at most `N` results, or as many as [`set_max_finished`](Self::set_max_finished) says.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the pool is dropped before it completes. Dropping the pool drops the
/// futures in it.
///
/// # Panics
///
/// If a future panics, the panic passes through whichever call was polling; its place is free, its key finds nothing,
/// and the pool can be used on.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::InlinePool;
/// use std::{future::ready, pin::pin};
///
/// # futures::executor::block_on(async {
/// let mut pool = pin!(InlinePool::<_, 2, 3>::new());
/// let key = pool.as_mut().try_spawn(ready("a")).unwrap();
/// assert_eq!(pool.next().await, Some((key, "a")));
/// assert_eq!(pool.next().await, None);
/// # });
/// ```
#[must_use = "a pool does nothing unless polled: use it as a `Stream`"]
#[pin_project]
pub struct InlinePool<F: Future, const N: usize, const QUEUE: usize>
where
    Slots<N>: SlotCount,
{
    waiting: InlineQueue<F, QUEUE>,
    #[pin]
    engine: Engine<InlineSlots<F, N>, InlineResults<F::Output, N>>,
}

/// The futures that wait, with their numbers.
struct InlineQueue<F, const QUEUE: usize> {
    futures: Ring<(u64, F), QUEUE>,
    /// The number of the next future.
    next: u64,
}

impl<F, const QUEUE: usize> Source<F> for &mut InlineQueue<F, QUEUE> {
    fn poll_take<T>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut usize,
        start: impl FnOnce(u64, F) -> T,
    ) -> Poll<Option<T>> {
        Poll::Ready(self.get_mut().futures.pop_front().map(|(number, future)| start(number, future)))
    }

    fn is_done(&self) -> bool {
        self.futures.len() == 0
    }
}

impl<F: Future, const N: usize, const QUEUE: usize> InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    /// Creates an empty pool.
    ///
    /// A `QUEUE` of 0 does not compile: every future waits until the pool is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::future::Ready;
    ///
    /// let pool = InlinePool::<Ready<()>, 4, 8>::new();
    /// assert_eq!((pool.size(), pool.len()), (4, 0));
    /// ```
    pub fn new() -> Self {
        const { assert!(QUEUE > 0, "a pool needs a queue of at least 1") };
        Self {
            waiting: InlineQueue { futures: Ring::new(), next: 0 },
            engine: Engine::new(N, InlineSlots::new(), InlineResults::new(true)),
        }
    }

    /// Pushes a future into the queue if that has a free slot: if `waiting() < QUEUE`. Never waits, and never polls.
    ///
    /// # Errors
    ///
    /// Gives the future back if the queue is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::{future::ready, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 4, 1>::new());
    /// assert!(pool.as_mut().try_spawn(ready(1)).is_ok());
    /// let refused = pool.as_mut().try_spawn(ready(2)).unwrap_err();
    /// assert_eq!(refused.into_inner(), 2);
    /// ```
    pub fn try_spawn(self: Pin<&mut Self>, future: F) -> Result<Key, F> {
        let this = self.project();
        let number = this.waiting.next;
        this.waiting.futures.push_back((number, future)).map_err(|(_, future)| future)?;
        this.waiting.next = number + 1;
        this.engine.active.wake();
        Ok(Key(number))
    }

    /// Takes the result of the future with this key, if it has finished. Never waits, and never polls.
    ///
    /// It looks at all results, of which there are at most `2 * N`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::InlinePool;
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = pin!(InlinePool::<_, 2, 2>::new());
    /// let [first, second] = ["a", "b"].map(|x| pool.as_mut().try_spawn(ready(x)).unwrap());
    /// assert_eq!(pool.as_mut().take_result(second), None); // not even started
    /// assert_eq!(pool.next().await, Some((first, "a")));
    /// assert_eq!(pool.as_mut().take_result(second), Some("b"));
    /// # });
    /// ```
    pub fn take_result(self: Pin<&mut Self>, key: Key) -> Option<F::Output> {
        let mut this = self.project();
        let output = this.engine.as_mut().finished_mut().take(key.0);
        if output.is_some() && this.waiting.futures.len() > 0 {
            this.engine.active.wake();
        }
        output
    }

    /// Drops the future with this key, if it is waiting or active, and frees its place immediately; returns whether it was.
    ///
    /// `false` for one that has finished, was taken, or is unknown; a result stays to be taken.
    ///
    /// # Panics
    ///
    /// If the future's destructor does; it is cancelled all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 1, 1>::new());
    /// let key = pool.as_mut().try_spawn(pending::<()>()).unwrap();
    /// assert!(pool.as_mut().cancel(key));
    /// assert!(!pool.as_mut().cancel(key));
    /// assert!(pool.is_empty());
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(self: Pin<&mut Self>, key: Key) -> bool {
        let this = self.project();
        let mut slot = None;
        this.engine.active.for_each(&mut |index, number| {
            if number == key.0 {
                slot = Some(index);
            }
        });
        if let Some(slot) = slot {
            this.engine.active.wake();
            this.engine.cancel(slot);
            return true;
        }
        let futures = &mut this.waiting.futures;
        let place = futures.iter().position(|waiting| waiting.0 == key.0);
        place.and_then(|place| futures.remove(place)).is_some()
    }

    /// Drops all futures that are waiting or active, and returns how many these were. The results stay to be taken.
    ///
    /// # Panics
    ///
    /// If the destructor of a future does; all are cancelled all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 1, 2>::new());
    /// assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    /// assert_eq!(pool.as_mut().cancel_all(), 1);
    /// ```
    #[doc(alias = "abort_all")]
    #[doc(alias = "clear")]
    pub fn cancel_all(self: Pin<&mut Self>) -> usize {
        let len = self.len();
        let this = self.project();
        this.engine.active.wake();
        let _waiting = ClearOnDrop(&mut this.waiting.futures);
        this.engine.cancel_all();
        len
    }

    /// Returns how many futures are waiting or active.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 1, 2>::new());
    /// assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    /// assert!(pool.as_mut().try_spawn(pending()).is_ok());
    /// assert!(pool.next().now_or_never().is_none());
    /// assert_eq!((pool.len(), pool.active(), pool.waiting()), (2, 1, 1));
    /// ```
    pub fn len(&self) -> usize {
        self.waiting() + self.active()
    }

    /// Returns whether no future is waiting or active. There may be results.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::InlinePool;
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = pin!(InlinePool::<_, 2, 2>::new());
    /// assert!(pool.is_empty());
    /// for x in 1..=2 {
    ///     assert!(pool.as_mut().try_spawn(ready(x)).is_ok());
    /// }
    /// assert!(pool.next().await.is_some());
    /// assert!(pool.is_empty() && pool.next().await.is_some()); // there was one more result
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the queue is full: then [`try_spawn`](Self::try_spawn) gives the future back.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 2, 1>::new());
    /// assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    /// assert!(pool.is_full());
    /// assert!(pool.next().now_or_never().is_none()); // it has left the queue for the slot
    /// assert!(!pool.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.waiting() == QUEUE
    }

    /// Returns how many futures are waiting: in the queue, not started.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 2, 3>::new());
    /// for _ in 0..3 {
    ///     assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    /// }
    /// assert_eq!(pool.waiting(), 3); // nothing starts unless the pool is polled
    /// assert!(pool.next().now_or_never().is_none());
    /// assert_eq!(pool.waiting(), 1);
    /// ```
    pub fn waiting(&self) -> usize {
        self.waiting.futures.len()
    }

    /// Returns how many futures are active: started, not finished, not cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::InlinePool;
    /// use std::{future::pending, pin::pin};
    ///
    /// let mut pool = pin!(InlinePool::<_, 2, 3>::new());
    /// for _ in 0..3 {
    ///     assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    /// }
    /// assert!(pool.next().now_or_never().is_none());
    /// assert_eq!(pool.active(), 2);
    /// ```
    pub fn active(&self) -> usize {
        self.engine.law.active()
    }

    /// Returns how many results are in the pool, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::InlinePool;
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = pin!(InlinePool::<_, 1, 4>::new());
    /// for x in 1..=4 {
    ///     assert!(pool.as_mut().try_spawn(ready(x)).is_ok());
    /// }
    /// assert!(pool.next().await.is_some());
    /// assert_eq!((pool.finished(), pool.waiting()), (1, 2)); // `max_finished` is 1: it starts no more
    /// # });
    /// ```
    pub fn finished(&self) -> usize {
        self.engine.finished.len()
    }

    /// Returns how many futures may be active at once: `N`, unless it was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::future::Ready;
    ///
    /// assert_eq!(InlinePool::<Ready<()>, 4, 8>::new().size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        self.engine.law.size()
    }

    /// Changes how many futures may be active at once, before the pool is pinned. A size of 0 is taken as 1, one above `N`
    /// as `N`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::future::Ready;
    ///
    /// let mut pool = InlinePool::<Ready<()>, 4, 8>::new();
    /// pool.set_size(2);
    /// assert_eq!(pool.size(), 2);
    /// pool.set_size(100); // there are no more than four slots
    /// assert_eq!(pool.size(), 4);
    /// ```
    pub fn set_size(&mut self, size: usize) {
        self.engine.set_size(size);
    }

    /// Returns how many results may be in the pool while it starts a future: the size, unless it was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::future::Ready;
    ///
    /// let mut pool = InlinePool::<Ready<()>, 4, 8>::new();
    /// assert_eq!(pool.max_finished(), 4);
    /// pool.set_size(2);
    /// assert_eq!(pool.max_finished(), 2);
    /// ```
    pub fn max_finished(&self) -> usize {
        self.engine.law.max_finished()
    }

    /// Changes how many results may be in the pool while it starts a future, before the pool is pinned. One above `N` is
    /// taken as `N`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::InlinePool;
    /// use std::{future::Ready, pin::pin};
    ///
    /// let mut pool = InlinePool::<Ready<()>, 4, 8>::new();
    /// pool.set_max_finished(0); // a slot is refilled only once the last result is taken
    /// let pool = pin!(pool);
    /// assert_eq!(pool.max_finished(), 0);
    /// ```
    pub fn set_max_finished(&mut self, results: usize) {
        self.engine.set_max_finished(results);
    }
}

impl<F: Future, const N: usize, const QUEUE: usize> InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn run(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize, goal: Goal) -> Poll<bool> {
        let this = self.project();
        let mut waiting = this.waiting;
        this.engine.run(cx, Pin::new(&mut waiting), budget, goal, &mut Unconditional)
    }
}

impl<F: Future, const N: usize, const QUEUE: usize> Default for InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn default() -> Self {
        Self::new()
    }
}

/// The results as they finish: `None` when nothing is waiting, active or finished, and `Some` again after a new push.
impl<F: Future, const N: usize, const QUEUE: usize> Stream for InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    type Item = (Key, F::Output);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_with_budget(cx, &mut POLL_BUDGET.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len() + self.finished();
        (left, Some(left))
    }
}

impl<F: Future, const N: usize, const QUEUE: usize> Progress for InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_with_budget(cx, &mut POLL_BUDGET.clone())
    }

    fn poll_next_with_budget(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Poll<Option<Self::Item>> {
        if !ready!(self.as_mut().run(cx, budget, Goal::Next)) {
            return Poll::Ready(None);
        }
        let next = self.project().engine.finished_mut().pop_numbered();
        Poll::Ready(next.map(|(number, output)| (Key(number), output)))
    }

    fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.run(cx, budget, Goal::Progress).map(|_| ())
    }

    #[cfg(feature = "alloc")]
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.run(cx, budget, Goal::Next).map(|_| ())
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

#[cfg(feature = "alloc")]
impl<F: Future, const N: usize, const QUEUE: usize> InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    /// Hands the results, with their keys, to any consumer of a stream, and runs that to its end; **the pool makes progress
    /// meanwhile**, within its bound on results.
    ///
    /// As [`Pool::consume`](crate::Pool::consume). What the two share is on the heap.
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
    /// use futures_pool::InlinePool;
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = pin!(InlinePool::<_, 2, 3>::new());
    /// for x in 1..=3 {
    ///     pool.as_mut().try_spawn(ready(x)).unwrap();
    /// }
    /// assert_eq!(pool.as_mut().consume(|items| items.fold(0, async |sum, (_key, x)| sum + x)).await, 6);
    /// # });
    /// ```
    pub fn consume<'a, Consumer, Fut, O>(
        self: Pin<&'a mut Self>,
        consumer: Consumer,
    ) -> PoolFuture<Consume<Pin<&'a mut Self>, Fut>, O>
    where
        Consumer: FnOnce(PoolItems<Pin<&'a mut Self>, (Key, F::Output)>) -> Fut,
        Fut: IsFuture<Output = O>,
    {
        Consume::new(self, consumer)
    }
}

stages!([F: Future, const N: usize, const QUEUE: usize] InlinePool<F, N, QUEUE>, (Key, F::Output), where Slots<N>: SlotCount);

impl<F: Future, const N: usize, const QUEUE: usize> FusedStream for InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn is_terminated(&self) -> bool {
        self.is_empty() && self.finished() == 0
    }
}

impl<F: Future, const N: usize, const QUEUE: usize> fmt::Debug for InlinePool<F, N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_counts("InlinePool", Some(self.waiting()), self.counts(), f)
    }
}
