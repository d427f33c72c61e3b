//! [`iterwait`]: the results of many handles, as they come in.

use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasherDefault;
use core::iter;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};

use futures_util::future::FusedFuture;
use futures_util::stream::{FusedStream, Stream};
use hashbrown::HashMap;

use super::arriving::{Arriving, Awaited};
use super::control::Control;
use super::error::TaskError;
use super::lending::Wait;
use super::task::Task;
use crate::batches::{Batches, Gather};
use crate::finished::{ChainResults, Finished, Gathering, NumberHasher, Results};
use crate::key::Key;
use crate::progress::PoolCounts;
use crate::stream::{Look, PoolMap, Want};
use crate::sync::Arc;

/// Waits for tasks: a stream of their results, in the order in which they finish.
///
/// The tasks may be of different scopes, but have outputs of one type; those whose results were given already are left
/// out. Dropping the stream detaches those that have not
/// finished, as dropping their handles would. See [`IterWait`] for pairs with keys, and for batches.
///
/// It is the original's function of that name.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the stream is dropped before it completes.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{iterwait, local_scope};
///
/// # futures::executor::block_on(async {
/// local_scope(1, async |pool| {
///     let tasks = pool.map_n(1..=3, async |x| x * x);
///     let squares: Vec<_> = iterwait(tasks).map(Result::unwrap).collect().await;
///     assert_eq!(squares, [1, 4, 9]);
/// })
/// .await;
/// # });
/// ```
#[doc(alias = "as_completed")]
pub fn iterwait<T>(tasks: impl IntoIterator<Item = Task<T>>) -> IterWait<T> {
    let mut stream = IterWait {
        arriving: Arriving::new(),
        scopes: Scopes::default(),
        results: Results::unordered(),
        cancels: false,
    };
    let mut early = Vec::new();
    for mut task in tasks {
        match task.take() {
            Some((order, result)) => early.push((order, task.key(), result)),
            None if task.is_terminated() => {}
            None => stream.push(task),
        }
    }
    early.sort_by_key(|(order, ..)| *order);
    for (_, Key(number), result) in early {
        stream.results.push(number, result);
    }
    stream
}

fn address(control: &Arc<Control>) -> u64 {
    Arc::as_ptr(control).addr() as u64
}

/// A scope that some of the tasks are of.
struct OfScope {
    control: Arc<Control>,
    wait: Wait,
    /// How many of the tasks have not ended.
    left: usize,
}

/// The scopes that the tasks are of, and what is entered with them.
///
/// Those inside whose tasks the stream is polled are found by asking each: with very many scopes, that is what a poll costs.
#[derive(Default)]
struct Scopes {
    all: Vec<OfScope>,
    /// Where each is, by its address, if there are several.
    places: HashMap<u64, usize, BuildHasherDefault<NumberHasher>>,
    /// That of each task, if there are several.
    of_tasks: Vec<usize>,
}

impl Scopes {
    /// Adds a task: the one after those that were added before.
    fn push(&mut self, control: &Arc<Control>) {
        let is_same = |scope: &OfScope| Arc::ptr_eq(&scope.control, control);
        if self.all.len() == 1 && self.of_tasks.is_empty() {
            if is_same(&self.all[0]) {
                self.all[0].left += 1;
                return;
            }
            self.places.insert(address(&self.all[0].control), 0);
            self.of_tasks.resize(self.all[0].left, 0);
        }
        let place = if self.all.is_empty() {
            0
        } else {
            let next = self.all.len();
            let place = *self.places.entry(address(control)).or_insert(next);
            self.of_tasks.push(place);
            place
        };
        if place == self.all.len() {
            self.all.push(OfScope { control: Arc::clone(control), wait: Wait::new(), left: 0 });
        }
        self.all[place].left += 1;
    }

    /// The task with this place has ended.
    fn ended(&mut self, task: usize) {
        let place = self.of_tasks.get(task).copied().unwrap_or(0);
        self.all[place].left -= 1;
    }

    /// Enters that the caller waits for the next result. Returns what that is for the task that it is polled in.
    fn begin(&mut self, waker: &Waker) -> Awaited {
        let mut awaited = Awaited::default();
        for OfScope { control, wait, left } in &mut self.all {
            if *left > 0 {
                wait.begin(control, waker);
                let new = Awaited::new(control, wait.waiter(control), 1);
                if new.is_by_somebody() {
                    awaited = new;
                }
            } else {
                wait.end(control);
            }
        }
        awaited
    }

    /// Returns whether the caller, who has what it waited for, may continue.
    fn regain(&mut self, waker: &Waker) -> bool {
        // All of them, so that each knows.
        let mut all = true;
        for scope in &mut self.all {
            all &= scope.wait.regain(&scope.control, waker);
        }
        all
    }

    /// The caller does not wait.
    fn end(&mut self) {
        for scope in &mut self.all {
            scope.wait.end(&scope.control);
        }
    }
}

/// The results of tasks, as they finish: what [`iterwait`] and [`Scope::itermap`](super::Scope::itermap) make.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the stream is dropped before it completes. Dropping the stream detaches the
/// tasks that have not finished if [`iterwait`] has made it, and cancels them if `itermap` has.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{LocalScope, local_scope, scope::IterWait};
/// use tokio::time::{Duration, sleep};
///
/// fn race(pool: &LocalScope<'_>) -> IterWait<u64> {
///     pool.itermap([30, 10, 20], async |ms| { sleep(Duration::from_millis(ms)).await; ms })
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// local_scope(3, async |pool| {
///     let winner = race(&pool).next().await;
///     assert_eq!(winner.unwrap().unwrap(), 10);
///     assert!(pool.is_empty()); // the others were cancelled with the stream
/// })
/// .await;
/// # }
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
pub struct IterWait<T> {
    arriving: Arriving<T>,
    scopes: Scopes,
    /// Results that have come in, not yet yielded.
    results: Results<Result<T, TaskError>>,
    /// Whether dropping the stream cancels the tasks that have not finished.
    cancels: bool,
}

/// The results of tasks with their keys: what [`IterWait::keyed`] makes.
///
/// # Cancel safety
///
/// As with [`IterWait`].
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{Key, iterwait, local_scope, scope::KeyedIterWait};
/// use std::future::ready;
///
/// async fn failed<T, E>(mut results: KeyedIterWait<Result<T, E>>) -> Vec<Key> {
///     let mut failed = Vec::new();
///     while let Some((key, result)) = results.next().await {
///         if !matches!(result, Ok(Ok(_))) {
///             failed.push(key);
///         }
///     }
///     failed
/// }
///
/// # futures::executor::block_on(async {
/// local_scope(2, async |pool| {
///     let tasks = pool.map_n(["1", "x", "3"], |text| ready(text.parse::<u32>()));
///     let wrong = tasks[1].key();
///     assert_eq!(failed(iterwait(tasks).keyed()).await, [wrong]);
/// })
/// .await;
/// # });
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
pub struct KeyedIterWait<T>(IterWait<T>);

impl<T> IterWait<T> {
    /// Has the tasks that have not finished cancelled when the stream is dropped.
    pub(super) fn cancelling(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// Gives pairs `(Key, Result<T, TaskError>)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{iterwait, local_scope};
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(1..=2, async |x| x);
    ///     let keys: Vec<_> = tasks.iter().map(|task| task.key()).collect();
    ///     let pairs: Vec<_> = iterwait(tasks).keyed().map(|(key, result)| (key, result.unwrap())).collect().await;
    ///     assert_eq!(pairs, [(keys[0], 1), (keys[1], 2)]);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn keyed(self) -> KeyedIterWait<T> {
        KeyedIterWait(self)
    }

    /// Gives results in batches: a stream of non-empty `Vec<Result<T, TaskError>>`.
    ///
    /// The batch under way is yielded when a result for which `when` returns `true` joins it, together with all that
    /// have come in by then, and at the end. See [`yield_when`](crate::yield_when) for the usual rules, and
    /// [`timeout`](PoolMap::timeout) for a limit in time.
    ///
    /// # Panics
    ///
    /// The stream panics if `when` does; no result is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{iterwait, local_scope, yield_when};
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let tasks = pool.map_n(1..=3, async |x| x);
    ///     let batches: Vec<_> = iterwait(tasks).batches(yield_when::all_completed).collect().await;
    ///     assert_eq!((batches.len(), batches[0].len()), (1, 3));
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn batches<W: FnMut(&Result<T, TaskError>) -> bool>(
        self,
        when: W,
    ) -> PoolMap<Batches<Self, W>, Vec<Result<T, TaskError>>> {
        Batches::new(self, when)
    }

    fn push(&mut self, mut task: Task<T>) {
        task.hand_over();
        if let Some(control) = task.control() {
            self.scopes.push(control);
        }
        self.arriving.push(task);
    }

    /// Takes over all results that have come in.
    fn collect(&mut self, cx: &mut Context<'_>, awaited: Awaited) {
        while let Poll::Ready(Some((place, number, result))) = self.arriving.poll_next(cx, awaited) {
            self.scopes.ended(place);
            self.results.push(number, result);
        }
    }

    /// Takes over all results that have come in, if there `is_none` yet. Ready when there is one, or will be none.
    fn poll_results(&mut self, cx: &mut Context<'_>, is_none: impl Fn(&Self) -> bool) -> Poll<()> {
        if is_none(self) && self.arriving.left() > 0 {
            self.collect(cx, Awaited::default());
            if is_none(self) && self.arriving.left() > 0 {
                let awaited = self.scopes.begin(cx.waker());
                if awaited.is_by_somebody() {
                    self.collect(cx, awaited);
                }
                if is_none(self) && self.arriving.left() > 0 {
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_pair(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Result<T, TaskError>)>> {
        ready!(self.poll_results(cx, |this| this.results.len() == 0));
        if !self.scopes.regain(cx.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(self.results.pop_numbered())
    }

    /// Returns how many results are left.
    fn left(&self) -> usize {
        self.arriving.left() + self.results.len()
    }
}

impl<T> Stream for IterWait<T> {
    type Item = Result<T, TaskError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.get_mut().poll_pair(cx));
        Poll::Ready(next.map(|(_, result)| result))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left(), Some(self.left()))
    }
}

impl<T> Stream for KeyedIterWait<T> {
    type Item = (Key, Result<T, TaskError>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.get_mut().0.poll_pair(cx));
        Poll::Ready(next.map(|(number, result)| (Key(number), result)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> FusedStream for IterWait<T> {
    fn is_terminated(&self) -> bool {
        self.left() == 0
    }
}

impl<T> FusedStream for KeyedIterWait<T> {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl<T> Gather for IterWait<T> {
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut usize) -> Poll<()> {
        let this = self.get_mut();
        this.collect(cx, Awaited::default());
        this.poll_results(cx, |this| !this.has_ungathered())
    }

    /// Their scopes see to the tasks.
    fn poll_progress(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut usize) -> Poll<()> {
        if self.arriving.left() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn gather(self: Pin<&mut Self>, when: &mut impl FnMut(&Self::Item) -> bool) -> bool {
        self.get_mut().results.gather(when)
    }

    fn has_ungathered(&self) -> bool {
        self.results.due() > 0
    }

    fn look(&self, _: Want) -> Look {
        Look {
            size_hint: self.size_hint(),
            is_terminated: self.is_terminated(),
            polls_used: 0,
            waiting: 0,
            visits: 0,
            counts: PoolCounts {
                active: self.arriving.left(),
                finished: self.results.len(),
                size: self.arriving.len(),
                ..PoolCounts::default()
            },
        }
    }

    fn gathered(&self) -> usize {
        self.results.gathered()
    }

    fn poll_hand_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.get_mut().scopes.regain(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take_batch(self: Pin<&mut Self>, most: usize) -> Vec<Self::Item> {
        let results = &mut self.get_mut().results;
        results.ungather();
        iter::from_fn(|| results.pop()).take(most).collect()
    }
}

impl<T> Drop for IterWait<T> {
    fn drop(&mut self) {
        self.scopes.end();
        if self.cancels {
            for task in self.arriving.tasks() {
                task.cancel();
            }
        }
    }
}

// Outputs are never pinned in the stream.
impl<T> Unpin for IterWait<T> {}
impl<T> Unpin for KeyedIterWait<T> {}

impl<T> fmt::Debug for IterWait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterWait")
            .field("running", &self.arriving.left())
            .field("finished", &self.results.len())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for KeyedIterWait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedIterWait").field(&self.0).finish()
    }
}
