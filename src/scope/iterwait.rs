//! [`iterwait`]: the results of many handles, as they come in.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};

use futures_util::future::FusedFuture;
use futures_util::stream::{FusedStream, Stream};

use super::control::{Control, Wait};
use super::task::{Task, TaskError};
use crate::batches::{Batches, Gather};
use crate::finished::{ChainResults, Finished, Gathering, Results};
use crate::key::Key;
use crate::lock::Lock;
use crate::panic::wake_and_contain;
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
    let mut stream = IterWait { arriving: Arriving::new(), results: Results::unordered(), cancels: false };
    let mut early = Vec::new();
    for mut task in tasks {
        match task.take() {
            Some((order, result)) => early.push((order, task.key(), result)),
            None if task.is_terminated() => {}
            None => stream.arriving.push(task),
        }
    }
    early.sort_by_key(|(order, ..)| *order);
    for (_, Key(number), result) in early {
        stream.results.push(number, result);
    }
    stream
}

/// The places of tasks that have ended, and who is told of them.
#[derive(Default)]
pub(super) struct Arrivals {
    state: Lock<(VecDeque<usize>, Option<Waker>)>,
}

impl Arrivals {
    /// Called when the task with this place is settled.
    pub(super) fn push(&self, place: usize) {
        let waker = self.state.with(|(places, waker)| {
            places.push_back(place);
            waker.take()
        });
        if let Some(waker) = waker {
            wake_and_contain(waker);
        }
    }

    /// Takes all places that there are; if there are none, `waker` will be woken when there are.
    fn poll(&self, taken: &mut VecDeque<usize>, waker: &Waker) {
        let mut new = None;
        loop {
            let (done, old) = self.state.with(|(places, registered)| {
                if !places.is_empty() {
                    mem::swap(places, taken);
                    return (true, None);
                }
                match registered {
                    Some(registered) if registered.will_wake(waker) => (true, None),
                    _ => match new.take() {
                        Some(new) => (true, registered.replace(new)),
                        None => (false, None),
                    },
                }
            });
            drop(old);
            if done {
                return;
            }
            new = Some(waker.clone());
        }
    }
}

/// Tasks of which we are told as they end.
pub(super) struct Arriving<T> {
    /// The tasks by their places; `None` once the result is taken.
    tasks: Vec<Option<Task<T>>>,
    /// How many there are.
    left: usize,
    arrivals: Arc<Arrivals>,
    /// Places taken out of `arrivals`, whose results are still with their tasks.
    arrived: VecDeque<usize>,
    /// What is entered with each scope that tasks are of, and how many these are.
    scopes: Vec<(Arc<Control>, Wait, usize)>,
}

impl<T> Arriving<T> {
    pub(super) fn new() -> Self {
        Self { tasks: Vec::new(), left: 0, arrivals: Arc::default(), arrived: VecDeque::new(), scopes: Vec::new() }
    }

    /// Adds a task. Places rise by one from each task to the next.
    pub(super) fn push(&mut self, task: Task<T>) {
        let place = self.tasks.len();
        if let Some(scope) = self.scope(&task) {
            scope.2 += 1;
        } else if let Some(control) = task.control() {
            self.scopes.push((Arc::clone(control), Wait::default(), 1));
        }
        self.left += 1;
        if task.announce(&self.arrivals, place) {
            self.arrivals.push(place);
        }
        self.tasks.push(Some(task));
    }

    /// Finds the entry of the scope that a task is of.
    fn scope(&mut self, task: &Task<T>) -> Option<&mut (Arc<Control>, Wait, usize)> {
        let control = task.control()?;
        self.scopes.iter_mut().find(|scope| Arc::ptr_eq(&scope.0, control))
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Returns how many tasks there were.
    fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Takes the next result: the task's place, its number, and the result. `None` if there is no task left.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, u64, Result<T, TaskError>)>> {
        loop {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            if self.arrived.is_empty() {
                self.arrivals.poll(&mut self.arrived, cx.waker());
            }
            let Some(place) = self.arrived.pop_front() else { return Poll::Pending };
            let Some(mut task) = self.tasks.get_mut(place).and_then(Option::take) else { continue };
            let control = task.control().cloned();
            let Some((_, result)) = task.take() else {
                // Not ended, then: kept until it has.
                self.tasks[place] = Some(task);
                continue;
            };
            if let Some(scope) =
                self.scopes.iter_mut().find(|scope| control.as_ref().is_some_and(|it| Arc::ptr_eq(it, &scope.0)))
            {
                scope.2 -= 1;
            }
            self.left -= 1;
            return Poll::Ready(Some((place, task.key().0, result)));
        }
    }

    /// Enters with the scopes whether the caller, who gets `poll`, waits for tasks.
    pub(super) fn enter<U>(&mut self, poll: Poll<U>) -> Poll<U> {
        for (control, wait, left) in &mut self.scopes {
            if poll.is_pending() && *left > 0 {
                wait.begin(control);
            } else {
                wait.end(control);
            }
        }
        poll
    }

    fn cancel(&self) {
        for task in self.tasks.iter().flatten() {
            task.cancel();
        }
    }
}

impl<T> Drop for Arriving<T> {
    fn drop(&mut self) {
        for (control, wait, _) in &mut self.scopes {
            wait.end(control);
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

    /// Takes over all results that have come in.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((_, number, result))) = self.arriving.poll_next(cx) {
            self.results.push(number, result);
        }
    }

    fn poll_pair(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Result<T, TaskError>)>> {
        if self.results.len() == 0 {
            self.collect(cx);
        }
        let next = self.results.pop_numbered();
        let poll = if next.is_some() || self.arriving.left() == 0 { Poll::Ready(next) } else { Poll::Pending };
        self.arriving.enter(poll)
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
        this.collect(cx);
        let is_due = this.has_ungathered() || this.arriving.left() == 0;
        this.arriving.enter(if is_due { Poll::Ready(()) } else { Poll::Pending })
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
            counts: PoolCounts {
                active: self.arriving.left(),
                finished: self.results.len(),
                size: self.arriving.len(),
            },
        }
    }

    fn gathered(&self) -> usize {
        self.results.gathered()
    }

    fn take_batch(self: Pin<&mut Self>, most: usize) -> Vec<Self::Item> {
        let Self { arriving, results, .. } = self.get_mut();
        // Nobody waits any more, also where a timer has fired and this has not.
        let _ = arriving.enter(Poll::Ready(()));
        results.ungather();
        iter::from_fn(|| results.pop()).take(most).collect()
    }
}

impl<T> Drop for IterWait<T> {
    fn drop(&mut self) {
        if self.cancels {
            self.arriving.cancel();
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
