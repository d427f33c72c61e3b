//! The counts and the settings of a [`Pool`].

use super::Pool;
use crate::active::ActiveSet;
use crate::finished::Finished;
#[cfg(feature = "std")]
use crate::size::SharedSize;

impl<F: Future, K: ActiveSet> Pool<F, K> {
    /// Returns how many futures are waiting or active.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let keys: Vec<_> = pool.map_n(0..3, async |x| if x > 0 { pending().await }).collect();
    /// assert_eq!(pool.len(), 3);
    /// assert_eq!(pool.next().await, Some((keys[0], ())));
    /// assert_eq!((pool.len(), pool.active(), pool.waiting()), (2, 1, 1));
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.waiting() + self.active()
    }

    /// Returns whether no future is waiting or active. There may be results.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let key = pool.spawn_n(ready("a"));
    /// assert!(!pool.is_empty());
    /// pool.join().await;
    /// assert!(pool.is_empty());
    /// assert_eq!(pool.take_result(key), Some("a"));
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether as many futures are waiting or active as may be active at once, or more.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(1);
    /// assert!(!pool.is_full());
    /// let key = pool.spawn_n(pending::<()>()); // waiting is enough
    /// assert!(pool.is_full());
    /// pool.cancel(key);
    /// assert!(!pool.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.len() >= self.size()
    }

    /// Returns how many futures are waiting: in the queue, not started.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(2);
    /// let _ = pool.map_n(0..5, |_| pending::<()>());
    /// assert_eq!(pool.waiting(), 5); // nothing starts unless the pool is polled
    /// assert!(pool.next().now_or_never().is_none());
    /// assert_eq!(pool.waiting(), 3);
    /// ```
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many futures are active: started, not finished, not cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(2);
    /// let _ = pool.map_n(0..5, |_| pending::<()>());
    /// assert!(pool.next().now_or_never().is_none());
    /// assert_eq!(pool.active(), 2);
    /// pool.set_size(1); // what has started is left to finish
    /// assert_eq!(pool.active(), 2);
    /// ```
    #[doc(alias = "n_active")]
    pub fn active(&self) -> usize {
        self.engine.law.active()
    }

    /// Returns how many results are in the pool, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let _ = pool.map_n(1..=5, ready);
    /// assert!(pool.next().await.is_some());
    /// assert_eq!((pool.finished(), pool.waiting()), (1, 3)); // the bound on results is 1: the stream starts no more
    /// pool.join().await;
    /// assert_eq!((pool.finished(), pool.waiting()), (4, 0)); // `join` does, whatever the bound on results
    /// # });
    /// ```
    pub fn finished(&self) -> usize {
        self.engine.finished.len()
    }

    /// Returns how many futures have run to their end since the pool was made, without those that were cancelled or
    /// have panicked. Beyond `usize::MAX` it wraps around.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(4);
    /// let keys: Vec<_> = pool.map_n(["a", "b", "c"], ready).collect();
    /// assert!(pool.cancel(keys[1]));
    /// pool.join().await;
    /// assert_eq!(pool.take_result(keys[0]), Some("a"));
    /// assert_eq!((pool.executed(), pool.finished()), (2, 1));
    /// # });
    /// ```
    pub fn executed(&self) -> usize {
        self.engine.finished.executed()
    }

    /// Returns how many futures may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// assert_eq!(Pool::<Ready<()>>::new(100).size(), 100);
    /// assert_eq!(Pool::<Ready<()>>::new(0).size(), 1);
    /// assert_eq!(Pool::<Ready<()>>::default().size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        let law = &self.engine.law;
        self.follow.size().map_or(law.size(), |size| law.limited(size))
    }

    /// Has the size follow a [`SharedSize`], in the place of the one that the pool has.
    ///
    /// So it can be changed from anywhere while a method has the pool. Growing wakes the task, shrinking lets the surplus finish,
    /// and [`max_finished`](Self::max_finished) follows, too, unless it was set. [`set_size`](Self::set_size) sets the size that
    /// is followed.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Pool, SharedSize};
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let size = SharedSize::new(8);
    /// let mut pool = Pool::new(1).resized_by(&size);
    /// assert_eq!(pool.size(), 8);
    /// size.set(2);
    /// assert_eq!(pool.size(), 2);
    /// pool.set_size(4);
    /// assert_eq!(size.get(), 4);
    /// assert_eq!(pool.exec(ready("done")).await, "done");
    /// # });
    /// ```
    #[cfg(feature = "std")]
    pub fn resized_by(mut self, size: &SharedSize) -> Self {
        self.follow.begin(size);
        self
    }

    /// Changes how many futures may be active at once. A size of 0 is taken as 1.
    ///
    /// Growing wakes the task that last polled the pool; shrinking lets the surplus finish, so that more futures than the new
    /// size are active until then. If the pool follows a `SharedSize`, that is set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// let mut pool = Pool::<Ready<()>>::new(4);
    /// pool.set_size(0);
    /// assert_eq!(pool.size(), 1);
    /// ```
    pub fn set_size(&mut self, size: usize) {
        self.engine.set_size(size);
        self.follow.set(size);
    }

    /// Returns how many results may be in the pool while its stream starts a future: the size, unless it was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// let mut pool = Pool::<Ready<()>>::new(4);
    /// pool.set_size(8);
    /// assert_eq!(pool.max_finished(), 8);
    /// pool.set_max_finished(2);
    /// pool.set_size(16);
    /// assert_eq!(pool.max_finished(), 2);
    /// ```
    pub fn max_finished(&self) -> usize {
        if self.engine.law.has_bound() { self.engine.law.max_finished() } else { self.size() }
    }

    /// Changes how many results may be in the pool while its stream starts a future, the one about to be handed over
    /// included.
    ///
    /// With 0, a slot is refilled only once the last result is taken. With `usize::MAX` there is no bound. Once set, it
    /// no longer follows the size. Wakes the task that last polled the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// let mut pool = Pool::<Ready<()>>::new(4);
    /// assert_eq!(pool.max_finished(), 4);
    /// pool.set_max_finished(0);
    /// assert_eq!(pool.max_finished(), 0);
    /// ```
    pub fn set_max_finished(&mut self, results: usize) {
        self.engine.set_max_finished(results);
    }

    /// Starts nothing new from now on; what is active continues when polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::Pool;
    ///
    /// let mut pool = Pool::new(4);
    /// pool.spawn_n(async { 7 });
    /// pool.pause();
    /// assert!(pool.next().now_or_never().is_none());
    /// pool.resume();
    /// assert!(pool.next().now_or_never().is_some());
    /// ```
    pub fn pause(&mut self) {
        self.engine.set_paused(true);
    }

    /// Starts futures again. Wakes the task that last polled the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::FutureExt;
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// let mut pool = Pool::new(4);
    /// let key = pool.spawn_n(ready(7));
    /// pool.pause();
    /// assert!(pool.join().now_or_never().is_none());
    /// pool.resume();
    /// assert!(pool.join().now_or_never().is_some());
    /// assert_eq!(pool.take_result(key), Some(7));
    /// ```
    pub fn resume(&mut self) {
        self.engine.set_paused(false);
    }

    /// Returns whether the pool is paused.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// let mut pool = Pool::<Ready<()>>::new(4);
    /// pool.pause();
    /// pool.set_size(8);
    /// assert!(pool.is_paused()); // still: a size does not resume
    /// assert_eq!(pool.size(), 8);
    /// ```
    pub fn is_paused(&self) -> bool {
        self.engine.law.is_paused()
    }
}
