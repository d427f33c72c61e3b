//! The options and views of a chain.

#[cfg(feature = "std")]
use super::CatchingChain;
use super::{ChainMachine, FailFast, PlainChain};
#[cfg(feature = "alloc")]
use crate::active::ActiveSet;
#[cfg(feature = "alloc")]
use crate::batches::{Batches, Gather};
#[cfg(feature = "std")]
use crate::panic::Panic;
#[cfg(feature = "std")]
use crate::size::SharedSize;
use crate::stream::{PoolMap, Want};

/// The options. They come before the views, and before the stream is polled, but for `unordered` and `max_finished`, which
/// make sense at any time.
impl<M, T> PoolMap<M, T> {
    /// Gives results as they finish, not in the order of the source.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use tokio::time::{Duration, sleep};
    ///
    /// let slow_first = [30, 10, 20].iter().pool_map(3, async |&ms| {
    ///     sleep(Duration::from_millis(ms)).await;
    ///     ms
    /// });
    /// assert_eq!(slow_first.unordered().await, [10, 20, 30]);
    /// # }
    /// ```
    #[doc(alias = "buffer_unordered")]
    #[inline(always)]
    pub fn unordered(mut self) -> Self
    where
        M: ChainMachine<T>,
    {
        self.machine.make_unordered();
        self
    }

    /// Starts a new future only while the stream holds at most `results` results, the one about to be handed over
    /// included.
    ///
    /// Counts every result, in an ordered stream also those that wait for an earlier one: so a bound here lets one slow
    /// future idle the other slots sooner than the default does. With 0, a slot is refilled
    /// only once the last result is taken. With `usize::MAX` there is no bound.
    ///
    /// At most `results + size` results are ever held.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    /// use std::cell::Cell;
    ///
    /// # futures::executor::block_on(async {
    /// let started = Cell::new(0);
    /// let mut one_by_one = (0..100).pool_map(1, async |x| { started.set(started.get() + 1); x }).max_finished(0);
    /// one_by_one.next().await;
    /// assert_eq!(started.get(), 1);
    /// # });
    /// ```
    pub fn max_finished(mut self, results: usize) -> Self
    where
        M: ChainMachine<T>,
    {
        self.machine.set_max_finished(results);
        self
    }

    /// Has the size follow a [`SharedSize`], in the place of the size that the chain was made with.
    ///
    /// So it can be changed from anywhere while `for_each`, [`consume`](Self::consume) or `.await` has the stream. Growing wakes
    /// the task, shrinking lets the surplus finish, and the default [bound on results](Self#the-bound-on-results) is that of the
    /// current size. [`set_size`](Self::set_size) on a stream that follows a size sets that. [`size`](Self::size) returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{SharedSize, prelude::*};
    /// use tokio::time::{Duration, sleep, timeout};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let ms = Duration::from_millis;
    /// let size = SharedSize::new(8);
    /// let all = (0..1000).pool_map(1, async |_| {
    ///     // Too slow: half as many. Well: one more.
    ///     let answer = timeout(ms(50), sleep(ms(10 * size.get() as u64))).await;
    ///     size.set(if answer.is_ok() { size.get() + 1 } else { size.get() / 2 });
    /// });
    /// all.unordered().resized_by(&size).for_each(|()| std::future::ready(())).await;
    /// assert!((1..=8).contains(&size.get()));
    /// # }
    /// ```
    #[cfg(feature = "std")]
    pub fn resized_by(mut self, size: &SharedSize) -> Self
    where
        M: ChainMachine<T>,
    {
        self.machine.resized_by(size);
        self
    }

    /// Makes items of the panics of futures: a stream of `Result<T, Panic>`.
    ///
    /// Only panics of the futures, while they are polled or dropped after their end, are caught. A panic of the closure
    /// or of the source passes through.
    ///
    /// It comes before or after [`fail_fast`](Self::fail_fast), which makes a difference:
    ///
    /// | | ends at | items | `.await` gives |
    /// |---|---|---|---|
    /// | `.fail_fast().catch_unwind()` | the first error or panic, whichever happens first | `Result<Result<U, E>, Panic>` | `Result<Result<Vec<U>, E>, Panic>` |
    /// | `.catch_unwind().fail_fast()` | the first panic alone; an error is a result like any other | `Result<Result<U, E>, Panic>` | `Result<Vec<Result<U, E>>, Panic>` |
    ///
    /// It comes before the views: behind them, the name is that of `StreamExt`'s method, which is for a panic of the whole stream,
    /// and mostly does not compile.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// let results = [1, 0].iter().pool_map(2, async |x| 10 / x).catch_unwind().await;
    /// assert_eq!(*results[0].as_ref().unwrap(), 10);
    /// assert_eq!(results[1].as_ref().unwrap_err().message(), Some("attempt to divide by zero"));
    ///
    /// let divide = async |x: &i32| if *x < 0 { Err("negative") } else { Ok(10 / x) };
    /// let first = [1, -1, 0].iter().pool_map(1, divide).fail_fast().catch_unwind().await;
    /// assert_eq!(first.unwrap(), Err("negative"));
    /// let first = [1, -1, 0].iter().pool_map(1, divide).catch_unwind().fail_fast().await;
    /// assert!(first.is_err()); // the panic; the error before it did not end it
    /// # });
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn catch_unwind(self) -> PoolMap<M::Catching, Result<T, Panic>>
    where
        M: CatchingChain<T>,
    {
        self.assert_fresh("catch_unwind");
        self.machine.catch_unwind()
    }

    /// Uses another active set than [`SlotSet`](crate::SlotSet).
    ///
    /// It comes after [`catch_unwind`](Self::catch_unwind), which goes back to `SlotSet`.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{UnorderedSet, prelude::*};
    ///
    /// # futures::executor::block_on(async {
    /// let doubled = [1, 2, 3].iter().pool_map(2, async |x| x * 2).with_set(UnorderedSet);
    /// assert_eq!(doubled.await, [2, 4, 6]);
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn with_set<K: ActiveSet>(self, set: K) -> PoolMap<M::On<K>, T>
    where
        M: ChainMachine<T>,
    {
        self.assert_fresh("with_set");
        M::with_set(self, set)
    }

    #[track_caller]
    pub(super) fn assert_fresh(&self, option: &str)
    where
        M: ChainMachine<T>,
    {
        assert!(self.machine.is_fresh(), "`{option}` has to be called before the stream is polled");
    }
}

/// For a stream of results.
impl<M, U, E> PoolMap<M, Result<U, E>> {
    /// Ends with the first error: the first one to *happen* is the next item, ahead of any order, and the last.
    ///
    /// When it happens, all other futures, the source, and the results not yet taken are dropped. `.await` gives a
    /// `Result<Vec<U>, E>`. To end at the first panic as well, [`catch_unwind`](Self::catch_unwind) comes after it.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let parsed = ["1", "2", "x"].iter().pool_map(2, async |s| s.parse::<i32>()).fail_fast().await;
    /// assert!(parsed.is_err());
    /// let parsed = ["1", "2", "3"].iter().pool_map(2, async |s| s.parse::<i32>()).fail_fast().await;
    /// assert_eq!(parsed, Ok(vec![1, 2, 3]));
    /// # });
    /// ```
    #[doc(alias = "try_buffered")]
    #[doc(alias = "try_buffer_unordered")]
    #[track_caller]
    pub fn fail_fast(mut self) -> PoolMap<FailFast<M, Result<U, E>>, Result<U, E>>
    where
        M: PlainChain<Result<U, E>>,
    {
        self.assert_fresh("fail_fast");
        self.machine.close_at(Result::is_err);
        FailFast { chain: self }.into_stream()
    }
}

/// The views, and the counts.
impl<M, T> PoolMap<M, T> {
    /// Gives pairs `(usize, T)`: the item's position in the source, alongside its result.
    ///
    /// After [`fail_fast`](Self::fail_fast) it is a stream, which cannot be awaited.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pairs = ["a", "b"].into_iter().pool_map(2, async |x| x).unordered().indexed().await;
    /// pairs.sort();
    /// assert_eq!(pairs, [(0, "a"), (1, "b")]);
    /// # });
    /// ```
    #[doc(alias = "enumerate")]
    pub fn indexed(self) -> PoolMap<M::Indexed, (usize, T)>
    where
        M: ChainMachine<T>,
    {
        M::indexed(self)
    }

    /// Gives results in batches: a stream of non-empty `Vec<T>`.
    ///
    /// The batch under way is yielded when a result for which `when` returns `true` joins it, together with all that is
    /// finished by then, and at the end. See [`yield_when`](crate::yield_when) for the usual rules, and
    /// [`timeout`](crate::PoolMap::timeout) for a limit in time. The batch under way does not count against the bound on results; hence batches are
    /// not for results that are held [inside the value](crate::inline).
    ///
    /// # Panics
    ///
    /// The stream panics if `when` does; the results stay in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let mut batches = (1..=5).pool_map(1, async |x| x).max_finished(0).batches(|x| x % 2 == 0);
    /// assert_eq!(batches.next().await, Some(vec![1, 2]));
    /// assert_eq!(batches.next().await, Some(vec![3, 4]));
    /// assert_eq!(batches.next().await, Some(vec![5]));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[doc(alias = "chunks")]
    #[doc(alias = "ready_chunks")]
    #[cfg(feature = "alloc")]
    pub fn batches<W: FnMut(&T) -> bool>(self, when: W) -> PoolMap<Batches<Self, W>, alloc::vec::Vec<T>>
    where
        Self: Gather<Item = T>,
    {
        Batches::new(self, when)
    }

    /// Returns how many futures are active: started, and not finished.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let mut stream = (0..).pool_map(3, |_: u32| pending::<()>());
    /// assert_eq!(stream.active(), 0); // nothing starts unless the stream is polled
    /// assert!(stream.next().now_or_never().is_none());
    /// assert_eq!(stream.active(), 3);
    /// ```
    pub fn active(&self) -> usize {
        self.look(Want::State).counts.active
    }

    /// Returns how many items were pulled and have not started: those that [`per_key`](Self::per_key) has set aside, and the one
    /// that waits for its [weight](Self::weighted) to fit. Without these options it is 0, as an item is pulled only when there
    /// is a slot for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let mut stream = [3, 2, 1].into_iter().pool_map(4, |_| pending::<()>()).weighted(|&weight| weight);
    /// assert!(stream.next().now_or_never().is_none());
    /// assert_eq!((stream.active(), stream.waiting()), (1, 1)); // 2 does not fit, and nobody overtakes it
    /// ```
    pub fn waiting(&self) -> usize {
        self.look(Want::State).waiting
    }

    /// Returns how many results are in the stream, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let slow_head = async |x: u32| if x == 0 { pending::<()>().await };
    /// let mut stream = (0..5).pool_map(2, slow_head);
    /// assert!(stream.next().now_or_never().is_none());
    /// assert_eq!((stream.active(), stream.finished()), (1, 4)); // these wait for their turn
    /// ```
    pub fn finished(&self) -> usize {
        self.look(Want::State).counts.finished
    }

    /// Returns how many futures may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::future::ready;
    ///
    /// assert_eq!((0..9).pool_map(2, ready).size(), 2);
    /// assert_eq!((0..9).pool_map(0, ready).size(), 1);
    /// assert_eq!((0..9).pool_map_inline(Slots::<4>, ready).size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        self.look(Want::State).counts.size
    }

    /// Changes how many futures may be active at once. A size of 0 is taken as 1.
    ///
    /// Growing wakes the task that last polled the stream and was not given an item; shrinking lets the surplus finish, so that
    /// more futures than the new size are active until then. If the stream follows a [`SharedSize`](crate::SharedSize), that is set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// let mut stream = (0..10).pool_map(4, async |x| x);
    /// stream.set_size(8);
    /// assert_eq!(stream.size(), 8);
    /// ```
    pub fn set_size(&mut self, size: usize)
    where
        M: ChainMachine<T>,
    {
        self.machine.set_size(size);
    }
}
