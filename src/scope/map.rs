//! [`Scope::map`].

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use super::arriving::{Arriving, Awaited};
use super::error::TaskError;
use super::handle::{Scope, TaskBox};
use super::lending::Wait;
use super::task::Task;
use crate::engine::POLL_BUDGET;
use crate::future::PoolFuture;
use crate::lock::Lock;
use crate::sync::Arc;

impl<'env, B> Scope<'env, B> {
    /// Maps the items through an async function, and returns the results in the order of the items.
    ///
    /// An item is taken only as room comes, so a million items queue nothing. When there is none, one item is taken in hand,
    /// with a place in the line after what is in the queue; the next is taken when that one has started. So items start by
    /// turns with the tasks of [`spawn`](Self::spawn) and of other maps, and it takes no slot to learn that there are no more of
    /// them. What is in hand is not counted as waiting, and is not cancelled with the tasks. On a [paused](Self::pause) scope it
    /// waits until that is resumed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before completion, it drops the items not taken, and the one in hand; the tasks that there are are detached.
    ///
    /// # Panics
    ///
    /// If the iterator or the closure does. A panic in a task is that item's result.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(4, async |pool| {
    ///     let squares = pool.map(1..=3, async |x| x * x).await;
    ///     let squares: Result<Vec<_>, _> = squares.into_iter().collect();
    ///     assert_eq!(squares.unwrap(), [1, 4, 9]);
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn map<I, G, F>(
        &self,
        items: I,
        f: G,
    ) -> PoolFuture<Map<'_, 'env, I::IntoIter, G, F, F::Output, (), B>, Vec<Result<F::Output, TaskError>>>
    where
        I: IntoIterator,
        G: FnMut(I::Item) -> F,
        F: Future,
        B: TaskBox<F>,
    {
        Map::new(self, items.into_iter(), f, ())
    }
}

/// How a future of the closure's becomes that of a task.
pub(super) trait Wrap<F> {
    /// The future of the task.
    type Task: Future;

    /// Makes it.
    fn wrap<B>(&self, future: F, scope: &Scope<'_, B>) -> Self::Task;
}

impl<F: Future> Wrap<F> for () {
    type Task = F;

    #[inline]
    fn wrap<B>(&self, future: F, _: &Scope<'_, B>) -> F {
        future
    }
}

/// The one future that a map holds until it is its turn.
type Hand<F> = Arc<Lock<Option<F>>>;

/// The future of a task that has a place in the queue before it has a future.
///
/// Use it in bounds only.
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project(project = HeldProjection)]
pub struct Held<F> {
    hand: Option<Hand<F>>,
    /// Taken out of the hand by the first poll.
    #[pin]
    future: Option<F>,
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(hand) = this.hand.take() {
            this.future.set(hand.with(Option::take));
        }
        this.future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }
}

impl<F> fmt::Debug for Held<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// The machine of [`Scope::map`].
///
/// As long as there is room, its items become tasks. Otherwise it has one of them *in hand*, with a place in the queue, and
/// takes the next one when that has started, but not in a poll in which it has found room. So it is in one line with `spawn`,
/// by turns, holds at most one item that has not started, and learns of the end of its items without a slot.
pub struct Map<'a, 'env, I, G, F, T, W, B> {
    scope: &'a Scope<'env, B>,
    /// `None` after their end.
    items: Option<I>,
    make: G,
    wrap: W,
    hand: Hand<F>,
    /// The place in the queue of what is in hand. It may have started.
    reserved: Option<Task<T>>,
    arriving: Arriving<T>,
    /// The results by the places of their items.
    results: Vec<Option<Result<T, TaskError>>>,
    wait: Wait,
}

impl<'a, 'env, I: Iterator, G, F: Future, W, B> Map<'a, 'env, I, G, F, F::Output, W, B> {
    pub(super) fn new<Fut>(
        scope: &'a Scope<'env, B>,
        items: I,
        make: G,
        wrap: W,
    ) -> PoolFuture<Self, Vec<Result<F::Output, TaskError>>>
    where
        G: FnMut(I::Item) -> Fut,
        W: Wrap<Fut, Task = F>,
        B: TaskBox<F>,
    {
        let map = Self {
            scope,
            items: Some(items),
            make,
            wrap,
            hand: Arc::default(),
            reserved: None,
            arriving: Arriving::new(),
            results: Vec::new(),
            wait: Wait::new(),
        };
        PoolFuture::new(map, run_map::<I, G, Fut, F, W, B>)
    }
}

fn run_map<I, G, Fut, F, W, B>(
    map: Pin<&mut Map<'_, '_, I, G, F, F::Output, W, B>>,
    cx: &mut Context<'_>,
) -> Poll<Vec<Result<F::Output, TaskError>>>
where
    I: Iterator,
    G: FnMut(I::Item) -> Fut,
    F: Future,
    W: Wrap<Fut, Task = F>,
    B: TaskBox<F>,
{
    let this = map.get_mut();
    let control = this.scope.control();
    let mut budget = POLL_BUDGET;
    loop {
        this.take_results(cx, Awaited::default());
        if this.reserved.as_ref().is_some_and(|task| !task.poll_started(cx.waker())) {
            break;
        }
        if let Some(task) = this.reserved.take() {
            this.leave_hand(task);
            continue;
        }
        let Some(items) = &mut this.items else { break };
        if items.size_hint().1 == Some(0) {
            this.items = None;
            break;
        }
        // Others who want the room that there was get into the line first.
        let is_others_turn = budget < POLL_BUDGET && control.room() == 0;
        if budget == 0 || is_others_turn {
            cx.waker().wake_by_ref();
            break;
        }
        budget -= 1;
        if let Some(item) = items.next() {
            let future = (this.make)(item);
            let future = this.wrap.wrap(future, this.scope);
            this.place(future);
        } else {
            this.items = None;
        }
    }
    if !this.is_over() {
        this.wait.begin(control, cx.waker());
        let left = if this.items.is_some() || this.reserved.is_some() { usize::MAX } else { this.arriving.left() };
        this.take_results(cx, Awaited::new(control, this.wait.waiter(control), left));
        if !this.is_over() {
            return Poll::Pending;
        }
    }
    if !this.wait.regain(control, cx.waker()) {
        return Poll::Pending;
    }
    Poll::Ready(mem::take(&mut this.results).into_iter().flatten().collect())
}

impl<I, G, F, T, W, B> Map<'_, '_, I, G, F, T, W, B> {
    fn is_over(&self) -> bool {
        self.items.is_none() && self.reserved.is_none() && self.arriving.left() == 0
    }

    fn take_results(&mut self, cx: &mut Context<'_>, awaited: Awaited) {
        while let Poll::Ready(Some((place, _, result))) = self.arriving.poll_next(cx, awaited) {
            self.results[place] = Some(result);
        }
    }

    /// Makes an item a task, or takes it in hand.
    fn place(&mut self, future: F)
    where
        F: Future<Output = T>,
        B: TaskBox<F>,
    {
        let scope = self.scope;
        if scope.control().room() > 0 {
            return self.push(scope.spawn_n(future));
        }
        self.hand.with(|hand| *hand = Some(future));
        let held = Held { hand: Some(Arc::clone(&self.hand)), future: None };
        self.reserved = scope.hub.reserve(scope.pack_held(held));
        if self.reserved.is_none() {
            // Not accepted, and so a task that is cancelled.
            if let Some(future) = self.hand.with(Option::take) {
                self.push(scope.spawn_n(future));
            }
        }
    }

    /// What was in hand has started, or was cancelled before that, as all that waits was, which is not meant for it.
    fn leave_hand(&mut self, task: Task<T>)
    where
        F: Future<Output = T>,
        B: TaskBox<F>,
    {
        let is_cancelled = task.is_finished();
        let (future, is_left) = self.hand.with(|hand| {
            let is_left = hand.is_some();
            (if is_cancelled { hand.take() } else { None }, is_left)
        });
        if let Some(future) = future {
            return self.place(future);
        }
        if is_left {
            // Another thread is about to take it.
            self.hand = Arc::default();
        }
        self.push(task);
    }

    fn push(&mut self, task: Task<T>) {
        self.results.push(None);
        self.arriving.push(task);
    }
}

// Nothing is pinned in it: the futures are in their boxes.
impl<I, G, F, T, W, B> Unpin for Map<'_, '_, I, G, F, T, W, B> {}

impl<I, G, F, T, W, B> Drop for Map<'_, '_, I, G, F, T, W, B> {
    fn drop(&mut self) {
        self.wait.end(self.scope.control());
        if let Some(task) = &self.reserved {
            if task.cancel_waiting() {
                let in_hand = self.hand.with(Option::take);
                drop(in_hand);
            }
        }
    }
}

impl<I, G, F, T, W, B> fmt::Debug for Map<'_, '_, I, G, F, T, W, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("running", &self.arriving.left())
            .field("finished", &(self.results.len() - self.arriving.left()))
            .finish_non_exhaustive()
    }
}
