//! The keyed form: [`Pool`], into which futures are pushed, and whose results are taken as they finish or by key.

mod itermap;
mod keys;
mod settings;
mod stream;

use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

pub(crate) use self::itermap::IterMap;
pub use self::keys::Keys;
use crate::active::sealed::Kind;
use crate::active::{ActiveSet, Set, SlotSet};
use crate::engine::{Engine, Goal, POLL_BUDGET, Unconditional};
use crate::finished::{Finished, Keyed, Place};
use crate::key::Key;
use crate::size::Follow;
use crate::source::{Queue, QueueThen};
use crate::stream::PoolMap;

/// A pool of futures of one type, with results by key: no more and no less than `size` of them are active at once.
/// (More are only after the size was made smaller, until the surplus has finished.)
///
/// Futures are pushed into its queue ([`spawn_n`](Self::spawn_n), [`map_n`](Self::map_n)) or started as soon as there is a
/// free slot ([`spawn`](Self::spawn), [`exec`](Self::exec)). Results are taken as they finish, the pool being a
/// [`Stream`](futures_util::Stream) of `(Key, T)`, or by key ([`wait`](Self::wait), [`take_result`](Self::take_result)).
///
/// **Nothing runs unless the pool is polled**: by its stream, or by an `async` method while that is awaited. There are
/// no tasks, and no handles that would drive the pool; a pool that is left alone stalls. So do its futures in
/// `while let Some(x) = pool.next().await { slow().await }` while `slow` runs; [`drive`](Self::drive) and
/// [`for_each`](Self::for_each) are the cure, and [`consume`](Self::consume) for any other consumer: `fold`, `forward`,
/// `try_for_each`, `then` and the like stall the pool when they are called on it.
///
/// Dropping the pool drops the futures in it. It keeps the memory that it once needed, for later futures and results.
///
/// A pool wakes the task that last polled it and was not given an answer. Where several tasks take turns with one pool,
/// the one that polls last has to see to the others.
///
/// # The bound on results
///
/// As a stream, the pool starts a future only while it holds at most [`max_finished`](Self::max_finished) results. The `async`
/// methods start futures whatever the bound on results is, since nobody else could take results meanwhile.
///
/// # One type of futures
///
/// An async closure makes futures of one type where you call it, and of another where [`map_n`](Self::map_n),
/// [`map_all`](Self::map_all) or [`itermap`](Self::itermap) does. For a pool that is to hold both, take an `async fn`,
/// or a closure that returns an async block; for futures that differ anyhow, box them.
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
/// use futures_pool::Pool;
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(2);
/// let keys: Vec<_> = pool.map_n(1..=3, async |x| x * x).collect();
/// assert_eq!(pool.waiting(), 3);
/// assert_eq!(pool.wait(keys[1]).await, Some(4));
/// let rest: Vec<_> = pool.map(|(_, square)| square).collect().await;
/// assert_eq!(rest, [1, 9]);
/// # });
/// ```
#[doc(alias = "AioPool")]
#[doc(alias = "JoinSet")]
#[must_use = "a pool does nothing unless polled: await one of its methods, or use it as a `Stream`"]
pub struct Pool<F: Future, K: ActiveSet = SlotSet> {
    waiting: Queue<F>,
    engine: Engine<K::Of<F>, Keyed<F::Output>>,
    follow: Follow,
}

/// The engine of a pool.
type PoolEngine<F, K> = Engine<<K as Kind>::Of<F>, Keyed<<F as Future>::Output>>;

// Futures are pinned inside the active set, never in the pool itself.
impl<F: Future, K: ActiveSet> Unpin for Pool<F, K> {}

impl<F: Future> Pool<F> {
    /// Creates a pool in which `size` futures may be active at once. A size of 0 is taken as 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::Ready;
    ///
    /// let pool = Pool::<Ready<()>>::new(16);
    /// assert_eq!(pool.size(), 16);
    /// ```
    pub fn new(size: usize) -> Self {
        Self::with_set(size, SlotSet)
    }
}

impl<F: Future, K: ActiveSet + Default> Default for Pool<F, K> {
    /// Creates a pool of size 4.
    fn default() -> Self {
        Self::with_set(4, K::default())
    }
}

impl<F: Future, K: ActiveSet> Pool<F, K> {
    /// Creates a pool on an active set of one's choice. A size of 0 is taken as 1, one above the set's capacity as that.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Pool, UnorderedSet};
    /// use std::future::Ready;
    ///
    /// let pool = Pool::<Ready<()>, _>::with_set(16, UnorderedSet);
    /// assert_eq!(pool.size(), 16);
    /// ```
    pub fn with_set(size: usize, set: K) -> Self {
        Self { waiting: Queue::new(), engine: Engine::new(size, set.make(), Keyed::new()), follow: Follow::default() }
    }

    /// Pushes a future into the queue. Never waits, and never polls.
    ///
    /// A timer in the future may count from here: that of `tokio::time::timeout(d, f())`, say, is over `d` after the call, even if
    /// the future has waited in the queue all the time. An async block begins when it has a slot:
    /// `async { timeout(d, f()).await }`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let key = pool.spawn_n(async { 7 });
    /// pool.join().await;
    /// assert_eq!(pool.take_result(key), Some(7));
    /// # });
    /// ```
    #[doc(alias = "push")]
    #[inline]
    pub fn spawn_n(&mut self, future: F) -> Key {
        let key = self.waiting.push(future);
        // Last, as the task's waker may panic: the future is not lost then.
        self.engine.active.wake();
        key
    }

    /// Pushes `f(item)` into the queue for each item. Never waits, and never polls.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does; the futures made before stay in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(4);
    /// let keys = pool.map_n(["a", "bc"], async |word: &str| word.len());
    /// pool.join().await;
    /// let lengths: Vec<_> = keys.map(|key| pool.take_result(key)).collect();
    /// assert_eq!(lengths, [Some(1), Some(2)]);
    /// # });
    /// ```
    pub fn map_n<I: IntoIterator>(&mut self, items: I, f: impl FnMut(I::Item) -> F) -> Keys {
        self.engine.active.wake();
        let first = self.waiting.extend(items.into_iter().map(f));
        Keys(first..self.waiting.next_number())
    }

    /// Drives the pool until there is a free slot, then starts the future in it.
    ///
    /// What is in the queue comes first. On a [paused](Self::pause) pool it never ends. A loop of `spawn`s over futures
    /// that are always ready does not let other tasks run, and keeps every result until it is taken. A timeout around the future
    /// [counts while it waits](Self::spawn_n): put it inside an async block.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it drops the future, which has not been started, and nothing else.
    ///
    /// # Panics
    ///
    /// If the future does when it is first polled, or another future of the pool meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(2);
    /// for x in 1..=10 {
    ///     pool.spawn(async move { x }).await; // never holds more than two unfinished futures
    /// }
    /// pool.join().await;
    /// assert_eq!(pool.finished(), 10);
    /// # });
    /// ```
    pub async fn spawn(&mut self, future: F) -> Key {
        let mut future = Some(future);
        poll_fn(|cx| self.poll_spawn(cx, &mut POLL_BUDGET.clone(), &mut future)).await
    }

    fn poll_spawn(&mut self, cx: &mut Context<'_>, budget: &mut usize, future: &mut Option<F>) -> Poll<Key> {
        // One poll is reserved for the future itself.
        *budget -= 1;
        let room = self.run_until(cx, budget, &mut |engine, queue| {
            !engine.law.is_paused() && queue.len() == 0 && engine.law.active() < engine.law.size()
        });
        if !ready!(room) && self.engine.law.is_paused() {
            if !Pin::new(&mut self.engine.active).park(cx, true) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let Some(future) = future.take() else { return Poll::Pending };
        let key = self.waiting.claim();
        Pin::new(&mut self.engine).start_now(cx, key.0, future);
        Poll::Ready(key)
    }

    /// Pushes a future into the queue if there is a free slot for it: if `len() < size()`. Never waits, and never polls.
    ///
    /// # Errors
    ///
    /// Gives the future back if there is no free slot.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    /// use std::future::ready;
    ///
    /// let mut pool = Pool::new(1);
    /// assert!(pool.try_spawn(ready(1)).is_ok());
    /// let refused = pool.try_spawn(ready(2)).unwrap_err();
    /// assert_eq!(refused.into_inner(), 2);
    /// ```
    pub fn try_spawn(&mut self, future: F) -> Result<Key, F> {
        if self.is_full() { Err(future) } else { Ok(self.spawn_n(future)) }
    }

    /// Starts the future as [`spawn`](Self::spawn) does, drives the pool until it has finished, and returns its output.
    ///
    /// The other futures continue meanwhile, and keep their results. On a [paused](Self::pause) pool it never ends. A timeout
    /// around the future [counts while it waits](Self::spawn_n): `exec(async { timeout(d, f()).await })`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the future has started, it drops that future and nothing else. Dropped later, the future stays in
    /// the pool, and its result will come out of the pool's stream.
    ///
    /// # Panics
    ///
    /// If the future does, or another future of the pool meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// assert_eq!(pool.exec(async { 1 + 1 }).await, 2);
    /// # });
    /// ```
    pub async fn exec(&mut self, future: F) -> F::Output {
        let mut future = Some(future);
        let mut key = None;
        let output = poll_fn(|cx| {
            let mut budget = POLL_BUDGET;
            let key = match key {
                Some(key) => key,
                None => *key.insert(ready!(self.poll_spawn(cx, &mut budget, &mut future))),
            };
            self.poll_wait(cx, &mut budget, key)
        });
        output.await.expect("a future that was started has a result, unless its panic has passed through here")
    }

    /// Drives the pool until the future with this key has finished, and returns its output: `None` immediately if the
    /// pool does not hold it.
    ///
    /// The other futures continue meanwhile, and keep their results. For a future in the queue of a [paused](Self::pause)
    /// pool it never ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing but drive the pool; the result stays to be taken.
    ///
    /// # Panics
    ///
    /// If the future does, or another future of the pool meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let [first, second] = ["a", "b"].map(|x| pool.spawn_n(async move { x }));
    /// assert_eq!(pool.wait(second).await, Some("b"));
    /// assert_eq!(pool.wait(second).await, None);
    /// assert_eq!(pool.take_result(first), Some("a"));
    /// # });
    /// ```
    pub async fn wait(&mut self, key: Key) -> Option<F::Output> {
        poll_fn(|cx| self.poll_wait(cx, &mut POLL_BUDGET.clone(), key)).await
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>, budget: &mut usize, key: Key) -> Poll<Option<F::Output>> {
        let place = self.find(key);
        if matches!(place, Some(Place::Active(_))) || self.waiting.contains(key) {
            ready!(self.run_until(cx, budget, &mut |engine, _| {
                !matches!(engine.finished.find(key.0), None | Some(Place::Active(_)))
            }));
        }
        Poll::Ready(self.take_result(key))
    }

    /// Takes the result of the future with this key, if it has finished. Never waits, and never polls.
    ///
    /// In constant time, however many results are held. Wakes the task that last polled the pool if a future is waiting, as
    /// the bound on results may allow it now.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let key = pool.spawn_n(async { 7 });
    /// assert_eq!(pool.take_result(key), None);
    /// pool.join().await;
    /// assert_eq!(pool.take_result(key), Some(7));
    /// assert_eq!(pool.take_result(key), None);
    /// # });
    /// ```
    pub fn take_result(&mut self, key: Key) -> Option<F::Output> {
        self.find(key);
        let output = self.engine.finished.take(key.0);
        if output.is_some() && self.waiting() > 0 {
            self.engine.active.wake();
        }
        output
    }

    /// Drives the pool until nothing is waiting or active. The results stay to be taken.
    ///
    /// On a [paused](Self::pause) pool with a future in the queue it never ends; there, [`idle`](Self::idle) waits for what runs.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing but drive the pool.
    ///
    /// # Panics
    ///
    /// If a future does; the others stay in the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(2);
    /// let _ = pool.map_n(0..10, async |x| x);
    /// pool.join().await;
    /// assert_eq!((pool.len(), pool.finished()), (0, 10));
    /// # });
    /// ```
    pub async fn join(&mut self) {
        poll_fn(|cx| self.run_until(cx, &mut POLL_BUDGET.clone(), &mut |_, _| false)).await;
    }

    /// Drives the pool until nothing is active. The results stay to be taken.
    ///
    /// What may start is started meanwhile, whatever the bound on results. So futures are waiting at its end only on a
    /// [paused](Self::pause) pool: there it waits for what runs, where [`join`](Self::join) would wait for what may not start.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing but drive the pool.
    ///
    /// # Panics
    ///
    /// If a future does; the others stay in the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let work = async |ms| { sleep(Duration::from_millis(ms)).await; ms };
    /// let mut pool = Pool::new(2);
    /// let _ = pool.map_n([10, 20, 30, 40], work);
    /// pool.next().await;
    /// pool.pause();
    /// pool.idle().await; // what has started, has finished
    /// assert_eq!((pool.active(), pool.finished(), pool.waiting()), (0, 2, 1));
    /// # }
    /// ```
    #[doc(alias = "drain")]
    pub async fn idle(&mut self) {
        let mut is_idle = |engine: &mut PoolEngine<F, K>, queue: &Queue<F>| {
            engine.law.active() == 0 && (queue.len() == 0 || engine.law.is_paused())
        };
        poll_fn(|cx| self.run_until(cx, &mut POLL_BUDGET.clone(), &mut is_idle)).await;
    }

    /// Polls until the condition is reached, or nothing is waiting or active: `Ready(false)`.
    fn run_until(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut usize,
        condition: &mut dyn FnMut(&mut PoolEngine<F, K>, &Queue<F>) -> bool,
    ) -> Poll<bool> {
        loop {
            self.resize();
            let mut waiting = &mut self.waiting;
            let mut condition =
                |engine: Pin<&mut PoolEngine<F, K>>, queue: &&mut Queue<F>, _| condition(engine.get_mut(), queue);
            let engine = Pin::new(&mut self.engine);
            let poll = engine.run(cx, Pin::new(&mut waiting), budget, Goal::Until, &mut condition);
            if poll.is_ready() || !self.follow.wait(cx) {
                return poll;
            }
        }
    }

    /// Has the size that is followed, if one is.
    #[inline]
    fn resize(&mut self) {
        if let Some(size) = self.follow.changed() {
            self.engine.law.set_size(size);
        }
    }

    /// Polls until a result is due, or for progress alone. Results are taken by the stream or by nobody, so none is in focus.
    ///
    /// For the next item it is compiled where it is called, which saves a quarter of its instructions.
    #[inline(always)]
    fn run(&mut self, cx: &mut Context<'_>, budget: &mut usize, goal: Goal) -> Poll<bool> {
        loop {
            self.resize();
            let mut waiting = &mut self.waiting;
            let poll = Pin::new(&mut self.engine).run(cx, Pin::new(&mut waiting), budget, goal, &mut Unconditional);
            let waits = poll.is_pending() || goal == Goal::Progress;
            if !(waits && self.follow.wait(cx)) {
                return poll;
            }
        }
    }

    /// The same for what is called less often.
    #[inline(never)]
    fn run_beside(&mut self, cx: &mut Context<'_>, budget: &mut usize, goal: Goal) -> Poll<bool> {
        self.run(cx, budget, goal)
    }

    /// Maps the items through an async function, and returns the results in the order of the items.
    ///
    /// An item is taken only as a slot frees, after what is in the queue, so a million items queue nothing. The other
    /// futures of the pool continue meanwhile, and keep their results. On a [paused](Self::pause) pool it never ends.
    ///
    /// It is the original's `map`, a name that belongs to `StreamExt` on a type that is a stream.
    ///
    /// # Cancel safety
    ///
    /// Dropped before completion, it drops the items not taken; the futures already started, and the results there are,
    /// stay in the pool.
    ///
    /// # Panics
    ///
    /// If the closure, the iterator, or one of the futures does; what was started stays in the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(4);
    /// assert_eq!(pool.map_all(1..=3, async |x| x * x).await, [1, 4, 9]);
    /// # });
    /// ```
    #[doc(alias = "map")]
    pub async fn map_all<I: IntoIterator>(&mut self, items: I, mut f: impl FnMut(I::Item) -> F) -> Vec<F::Output> {
        let first = self.waiting.next_number();
        self.engine.finished.focus(first..u64::MAX);
        let mut items = Some(items.into_iter());
        let mut taken = 0;
        poll_fn(|cx| {
            let mut budget = POLL_BUDGET;
            loop {
                self.resize();
                let (queue, items) = (&mut self.waiting, &mut items);
                let mut source = QueueThen { queue, items, make: &mut f, taken: &mut taken };
                let has_all = |engine: Pin<&mut PoolEngine<F, K>>, source: &QueueThen<'_, F, I::IntoIter, _>, _| {
                    source.is_exhausted() && engine.finished.focus_ended() == *source.taken
                };
                let engine = Pin::new(&mut self.engine);
                let poll = engine.run(cx, Pin::new(&mut source), &mut budget, Goal::Until, &mut { has_all });
                if poll.is_ready() || !self.follow.wait(cx) {
                    break poll;
                }
            }
        })
        .await;
        let mut results: Vec<_> = core::iter::from_fn(|| self.engine.finished.pop_focused()).collect();
        self.engine.finished.unfocus();
        results.sort_unstable_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, output)| output).collect()
    }

    /// Pushes `f(item)` into the queue for each item, and returns a stream of their results as they finish.
    ///
    /// The other futures of the pool continue while the stream is polled, and keep their results. What the stream leaves
    /// when it is dropped stays in the pool: futures and results, those of a batch under way included.
    ///
    /// [`keyed`](PoolMap::keyed) and [`batches`](PoolMap::batches) are the other modes. In
    /// `while let Some(x) = results.next().await { slow().await }` the futures stall while `slow` runs;
    /// [`for_each`](PoolMap::for_each) and [`drive`](crate::ProgressExt::drive) keep them going.
    ///
    /// # Cancel safety
    ///
    /// The stream loses nothing when a call of `next` on it is dropped before it completes.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does; the futures made before stay in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let squares: Vec<_> = pool.itermap(1..=3, async |x| x * x).collect().await;
    /// assert_eq!(squares, [1, 4, 9]);
    /// # });
    /// ```
    pub fn itermap<I: IntoIterator>(
        &mut self,
        items: I,
        f: impl FnMut(I::Item) -> F,
    ) -> PoolMap<IterMap<'_, F, K>, F::Output> {
        let Keys(numbers) = self.map_n(items, f);
        IterMap::new(self, numbers)
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
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(1);
    /// let key = pool.spawn_n(pending::<()>());
    /// assert!(pool.cancel(key));
    /// assert!(!pool.cancel(key));
    /// assert!(pool.is_empty());
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(&mut self, key: Key) -> bool {
        if let Some(future) = self.waiting.remove(key) {
            self.engine.active.wake();
            drop(future);
        } else if let Some(Place::Active(slot)) = self.find(key) {
            self.engine.active.wake();
            self.engine.finished.skip(key.0);
            Pin::new(&mut self.engine).cancel(slot);
        } else {
            return false;
        }
        true
    }

    /// Drops all futures that are waiting, and returns how many these were. What is active continues, and the results stay to
    /// be taken.
    ///
    /// # Panics
    ///
    /// If the destructor of a future does; all are cancelled all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(1);
    /// let _ = pool.map_n(0..3, |_| pending::<()>());
    /// assert!(pool.next().now_or_never().is_none()); // one is active
    /// assert_eq!(pool.cancel_waiting(), 2);
    /// assert_eq!((pool.active(), pool.waiting()), (1, 0));
    /// ```
    #[doc(alias = "clear_queue")]
    pub fn cancel_waiting(&mut self) -> usize {
        let len = self.waiting();
        self.engine.active.wake();
        let _waiting = self.waiting.take_all();
        len
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
    /// use futures_pool::Pool;
    /// use std::future::pending;
    ///
    /// let mut pool = Pool::new(1);
    /// let _ = pool.map_n(0..3, |_| pending::<()>());
    /// assert_eq!(pool.cancel_all(), 3);
    /// ```
    #[doc(alias = "abort_all")]
    #[doc(alias = "clear")]
    pub fn cancel_all(&mut self) -> usize {
        let len = self.len();
        self.engine.active.wake();
        self.engine.finished.forget_active();
        // Dropped on the way out, also if dropping what is active panics.
        let _waiting = self.waiting.take_all();
        Pin::new(&mut self.engine).cancel_all();
        len
    }

    /// Returns where a future is that has left the queue.
    fn find(&mut self, key: Key) -> Option<Place> {
        let Engine { active, finished, .. } = &mut self.engine;
        finished.need_index(|visit| active.for_each(visit));
        finished.find(key.0)
    }
}
