//! The counts of a scope, and its settings.

use super::handle::Scope;

impl<B> Scope<'_, B> {
    /// Returns how many tasks have not ended: those that are waiting, active, or have lent their slots.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.len(), 3);
    ///     tasks[0].cancel(); // counts out immediately
    ///     assert_eq!(pool.len(), 2);
    ///     pool.cancel_all();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.control().len()
    }

    /// Returns whether all tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(async { 7 });
    ///     assert!(!pool.is_empty());
    ///     pool.join().await;
    ///     assert!(pool.is_empty());
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether as many tasks are waiting or active as may be active at once, or more.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     assert!(!pool.is_full());
    ///     let task = pool.spawn_n(ready(1));
    ///     assert!(pool.is_full());
    ///     task.await.unwrap();
    ///     assert!(!pool.is_full());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_full(&self) -> bool {
        self.control().is_full()
    }

    /// Returns how many tasks are waiting: spawned, not started.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     pool.spawn(pending::<()>()).await; // holds the slot
    ///     let tasks = pool.map_n(0..3, |_| pending::<()>());
    ///     assert_eq!(pool.waiting(), 3);
    ///     pool.cancel(&tasks);
    ///     assert_eq!(pool.waiting(), 0);
    ///     pool.cancel_all();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn waiting(&self) -> usize {
        self.control().waiting()
    }

    /// Returns how many tasks are active: started, not ended, and not waiting for this scope themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let inner = pool.clone();
    ///     let outer = pool.exec(async move {
    ///         // The task waits for its own scope, and lends its slot to the other.
    ///         let seen = inner.exec({ let inner = inner.clone(); async move { (inner.active(), inner.len()) } }).await;
    ///         assert_eq!(seen.unwrap(), (1, 2));
    ///         inner.active()
    ///     });
    ///     assert_eq!(outer.await.unwrap(), 1);
    /// })
    /// .await;
    /// # });
    /// ```
    #[doc(alias = "n_active")]
    pub fn active(&self) -> usize {
        self.control().active()
    }

    /// Returns how many tasks have run to their end since the scope began, those that have panicked included and those
    /// that were cancelled not. Beyond `usize::MAX` it wraps around.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(2, async |pool| {
    ///     let tasks = pool.map_n([2, 0, 5], async |x| 10 / x);
    ///     assert!(tasks[2].cancel());
    ///     pool.join().await;
    ///     assert_eq!(pool.executed(), 2);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn executed(&self) -> usize {
        self.control().executed()
    }

    /// Returns how many tasks may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// assert_eq!(local_scope(16, async |pool| pool.size()).await, 16);
    /// assert_eq!(local_scope(0, async |pool| pool.size()).await, 1);
    /// # });
    /// ```
    pub fn size(&self) -> usize {
        self.control().size()
    }

    /// Changes how many tasks may be active at once. A size of 0 is taken as 1.
    ///
    /// Growing wakes the scope; shrinking lets the surplus finish.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     pool.set_size(0);
    ///     assert_eq!(pool.size(), 1);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn set_size(&self, size: usize) {
        self.control().set_size(size);
    }

    /// Starts nothing new from now on; what is active continues.
    ///
    /// A scope that is paused with tasks in the queue does not end.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     pool.pause();
    ///     let task = pool.spawn_n(async { 7 });
    ///     assert!(pool.is_paused());
    ///     pool.resume();
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn pause(&self) {
        self.control().set_paused(true);
    }

    /// Starts tasks again.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// local_scope(1, async |pool| {
    ///     pool.pause();
    ///     let task = pool.spawn_n(async { 7 });
    ///     sleep(Duration::from_secs(1)).await;
    ///     assert!(!task.is_finished());
    ///     pool.resume();
    ///     assert_eq!(task.await.unwrap(), 7);
    /// })
    /// .await;
    /// # }
    /// ```
    pub fn resume(&self) {
        self.control().set_paused(false);
    }

    /// Returns whether the scope is paused.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let same = pool.clone();
    ///     same.pause();
    ///     assert!(pool.is_paused());
    ///     pool.set_size(8);
    ///     assert!(pool.is_paused()); // still: a size does not resume
    ///     pool.resume();
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_paused(&self) -> bool {
        self.control().is_paused()
    }

    /// Accepts only what tasks of the scope spawn from now on; what others spawn is [`Cancelled`](super::TaskError::Cancelled)
    /// immediately. What there is runs to its end, with all that it spawns, and then the [`Driver`](super::Driver) of a
    /// [`shared`](super::shared) scope ends, whatever handles there still are.
    ///
    /// A scope with a body ends as it does otherwise, with its body and its tasks. While a scope is [paused](Self::pause) with
    /// tasks in the queue, it does not end.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_shared;
    ///
    /// # futures::executor::block_on(async {
    /// let (pool, driver) = local_shared(1);
    /// let own = pool.clone();
    /// let first = pool.spawn_n(async move { own.exec(async { 7 }).await });
    /// pool.close();
    /// let late = pool.spawn_n(async {});
    /// driver.await;
    /// assert_eq!(first.await.unwrap().unwrap(), 7);
    /// assert!(late.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn close(&self) {
        self.hub.close();
    }
}
