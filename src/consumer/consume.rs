//! [`Consume`]: any consumer of a pool's items, while the pool makes progress; and [`PoolItems`], the stream that it gets.
//!
//! The stream stays in one place, which the consumer's future and [`PoolItems`] share. An item is asked for where it is needed,
//! in the middle of the consumer's poll, and goes straight from the pool to the consumer: so it leaves the pool no sooner than
//! that.
//!
//! A consumer that asks for one item after the other in one poll would pay for the lock each time, which is as much as the item.
//! So from the second one on, others that are due come along, twice as many each time; until they are asked for, they count
//! against the bound on results. That is for streams that are dropped with the consumer. What is borrowed from a pool that is
//! kept is taken one by one, so that nothing is lost.
//!
//! Only one of the two polls the stream at a time, behind a lock that nobody waits for. Both poll it with the waker of the task
//! that polls the consumer, as a pool wakes but the last task that polled it. Where the items are awaited under another waker (of a
//! `FuturesUnordered`, say), that one is kept, and woken when an item is due.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;
use core::iter;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

use crate::engine::POLL_BUDGET;
use crate::future::{IsFuture, PoolFuture};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::stream::PoolMap;
use crate::sync::{Arc, AtomicBool, AtomicUsize};

/// The most items that come along with one that was asked for.
const MOST_AHEAD: usize = 15;

/// The machine of `consume` on a pool's stream.
#[pin_project]
pub struct Consume<S, Fut> {
    #[pin]
    consumer: Fut,
    /// Dropped after the consumer.
    stream: Owner<S>,
}

/// The items of a pool, while something else keeps it going: the stream that [`consume`](crate::PoolMap::consume) gives to
/// its consumer.
///
/// `S` is the stream of the pool, `T` the type of its items. An item leaves the pool when this is asked for it, and counts
/// against the [bound on results](crate::PoolMap#the-bound-on-results) until then. It ends when the pool does, and when the future of
/// `consume` is dropped. As with [`PoolMap`](crate::PoolMap), the impls have no bounds, and both parameters are invariant.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on it is dropped before it completes, nor when it is itself: what it has not
/// yielded is still in the pool.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{PoolItems, prelude::*};
///
/// async fn first_two<S>(mut items: PoolItems<S, u32>) -> Option<(u32, u32)> {
///     Some((items.next().await?, items.next().await?))
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!((1..).pool_map(4, async |x| x * x).consume(first_two).await, Some((1, 4)));
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct PoolItems<S, T> {
    shared: Arc<Shared<S>>,
    /// Items that came along, and were not asked for yet.
    ahead: VecDeque<T>,
    poll_next: fn(Pin<&mut S>, &mut Context<'_>, &mut usize) -> Poll<Option<T>>,
    take_another: fn(Pin<&mut S>) -> Option<T>,
    size_hint: fn(&S) -> (usize, Option<usize>),
    has_ended: bool,
}

/// What the two share.
struct Shared<S> {
    state: Lock<State<S>>,
    /// How many items are ahead.
    ahead: AtomicUsize,
    /// Whether the future of `consume` was dropped.
    is_closed: AtomicBool,
}

struct State<S> {
    /// Pinned; there as long as the future of `consume` is.
    stream: Option<Pin<Box<S>>>,
    /// The task that polls the future of `consume`.
    task: Waker,
    /// Whoever waits for an item, if that is not simply the task.
    waiting: Option<Waker>,
    /// What is left of the poll budget of the call under way. Each item taken is one poll.
    budget: usize,
    /// How many items were taken in the call under way.
    taken: usize,
    /// Whether an item was asked for in vain, with nothing taken since: then the pool was polled, and will wake the task.
    is_polled: bool,
}

/// Drops the stream when it is dropped, however long the consumer keeps the items.
struct Owner<S>(Arc<Shared<S>>);

/// Any consumer, while the stream makes progress.
impl<M, T> PoolMap<M, T> {
    /// Hands the items to any consumer of a stream, and runs that to its end; **the pool makes progress meanwhile**, within its
    /// bound on results.
    ///
    /// The closure gets a stream of the items, and returns a future; that and the pool are polled together. So each consumer
    /// that takes a stream keeps the pool going, which would stall if it was called on the stream itself: `try_for_each`,
    /// `fold`, `try_fold`, `forward`, `try_for_each_concurrent`, `then`, `chunks`, a loop over `next`. Of `for_each` and
    /// [`try_for_each`](PoolMap::try_for_each) the pool has its own, which cost less.
    ///
    /// Items are pulled: each leaves the pool when it is asked for. The stream of items is `Unpin`, and may be dropped early: the
    /// pool makes progress within its bound on results until the consumer has ended.
    ///
    /// At most 64 items are asked for, and futures polled, before other tasks run; with an adaptor upstream
    /// [more](crate::PoolMap). So a consumer that never waits does not keep the thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the consumer, then the stream; items kept elsewhere end then.
    ///
    /// # Panics
    ///
    /// If the closure, the consumer, or a future of the pool does. A panic of a pool's future passes through the consumer if
    /// that has just asked for an item; [`catch_unwind`](PoolMap::catch_unwind) makes an item of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use futures_pool::prelude::*;
    /// use tokio::time::{Duration, Instant, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), &'static str> {
    /// let ms = Duration::from_millis;
    /// let fetch = async |_| {
    ///     let start = Instant::now();
    ///     sleep(ms(10)).await;
    ///     sleep(ms(10)).await;
    ///     Ok(start.elapsed())
    /// };
    /// let longest = |longest: Duration, took: Duration| async move {
    ///     sleep(ms(100)).await; // nothing stalls meanwhile
    ///     Ok::<_, &str>(longest.max(took))
    /// };
    /// let longest = (0..8).pool_map(4, fetch).consume(|items| items.try_fold(ms(0), longest)).await?;
    /// assert_eq!(longest, ms(20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn consume<Consumer, Fut, O>(self, consumer: Consumer) -> PoolFuture<Consume<Self, Fut>, O>
    where
        Consumer: FnOnce(PoolItems<Self, T>) -> Fut,
        Fut: IsFuture<Output = O>,
    {
        Consume::new(self, consumer)
    }
}

impl<S: Progress<Item = T>, T, Fut: Future> Consume<S, Fut> {
    pub(crate) fn new(stream: S, consumer: impl FnOnce(PoolItems<S, T>) -> Fut) -> PoolFuture<Self, Fut::Output> {
        let state = State {
            stream: Some(Box::pin(stream)),
            task: Waker::noop().clone(),
            waiting: None,
            budget: 0,
            taken: 0,
            is_polled: false,
        };
        let shared =
            Arc::new(Shared { state: Lock::new(state), ahead: AtomicUsize::new(0), is_closed: AtomicBool::new(false) });
        // From here on, a panic of the closure drops the stream.
        let stream = Owner(Arc::clone(&shared));
        let items = PoolItems {
            shared,
            ahead: VecDeque::new(),
            poll_next: S::poll_next_with_budget,
            take_another: S::take_another,
            size_hint: S::size_hint,
            has_ended: false,
        };
        PoolFuture::new(Self { consumer: consumer(items), stream }, run::<S, Fut>)
    }
}

fn run<S: Progress, Fut: Future>(consume: Pin<&mut Consume<S, Fut>>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
    let this = consume.project();
    let shared = &*this.stream.0;
    let has_begun = shared.state.try_lock().map(|mut state| state.begin(cx)).is_some();
    let poll = this.consumer.poll(cx);
    if poll.is_pending() {
        let has_ended = shared.state.try_lock().map(|mut state| state.poll_progress(cx, shared)).is_some();
        if !(has_begun && has_ended) {
            // The items were being polled on another thread, which may not know of this task.
            cx.waker().wake_by_ref();
        }
    }
    poll
}

impl<S: Progress> State<S> {
    /// Begins a call, in which no item was asked for so far.
    fn begin(&mut self, cx: &mut Context<'_>) {
        (self.budget, self.taken, self.is_polled) = (POLL_BUDGET, 0, false);
        if !self.task.will_wake(cx.waker()) {
            self.task = cx.waker().clone();
        }
        if self.waiting.is_some() && self.poll_due(cx) {
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
        }
    }

    /// Polls until an item is due, or the end.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        let poll = stream.as_mut().poll_due(cx, &mut self.budget);
        self.is_polled = poll.is_pending();
        poll.is_ready()
    }

    /// Ends a call in which the consumer has not come to its end.
    fn poll_progress(&mut self, cx: &mut Context<'_>, shared: &Shared<S>) {
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.is_polled) {
            let ahead = shared.ahead.load(Relaxed);
            let _ = stream.as_mut().poll_progress_beside(cx, &mut self.budget, ahead);
        }
    }
}

// Items are never pinned in it.
impl<S, T> Unpin for PoolItems<S, T> {}

impl<S, T> Stream for PoolItems<S, T> {
    type Item = T;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        if this.has_ended || this.shared.is_closed.load(Relaxed) {
            this.has_ended = true;
            this.ahead.clear();
            this.shared.close();
            return Poll::Ready(None);
        }
        if let Some(item) = this.ahead.pop_front() {
            this.shared.ahead.store(this.ahead.len(), Relaxed);
            return Poll::Ready(Some(item));
        }
        let Some(mut state) = this.shared.state.try_lock() else {
            // The pool is being polled: on another thread, or by one of its own futures.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let State { stream, task, waiting, budget, taken, is_polled } = &mut *state;
        let poll = match stream {
            // The consumer has to let other tasks run, however much is ready.
            Some(_) if *budget == 0 => {
                task.wake_by_ref();
                Poll::Pending
            }
            Some(stream) => {
                *budget -= 1;
                let poll = (this.poll_next)(stream.as_mut(), &mut Context::from_waker(task), budget);
                if let Poll::Ready(Some(_)) = poll {
                    let more = (*taken).min(MOST_AHEAD).min(*budget);
                    this.ahead.extend(iter::from_fn(|| (this.take_another)(stream.as_mut())).take(more));
                    this.shared.ahead.store(this.ahead.len(), Relaxed);
                    *taken += 1 + this.ahead.len();
                    *budget -= this.ahead.len();
                }
                poll
            }
            None => Poll::Ready(None),
        };
        *is_polled = poll.is_pending();
        match &poll {
            Poll::Pending => {
                if !task.will_wake(cx.waker()) {
                    *waiting = Some(cx.waker().clone());
                }
            }
            Poll::Ready(next) => {
                this.has_ended = next.is_none();
                if waiting.is_some() {
                    *waiting = None;
                }
            }
        }
        poll
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.has_ended {
            return (0, Some(0));
        }
        let Some(state) = self.shared.state.try_lock() else { return (0, None) };
        let (lower, upper) = state.stream.as_ref().map_or((0, Some(0)), |stream| (self.size_hint)(stream));
        let ahead = self.ahead.len();
        (lower.saturating_add(ahead), upper.and_then(|upper| upper.checked_add(ahead)))
    }
}

impl<S, T> FusedStream for PoolItems<S, T> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<S> Shared<S> {
    /// Drops the stream. If it is being polled on another thread, that is done when it is next asked for an item, or dropped.
    #[cold]
    #[inline(never)]
    fn close(&self) {
        if self.is_closed.load(Relaxed) {
            let stream = self.state.try_lock().and_then(|mut state| state.stream.take());
            drop(stream);
        }
    }
}

impl<S> Drop for Owner<S> {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Relaxed);
        self.0.close();
    }
}

impl<S: fmt::Debug> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.try_lock() {
            Some(state) => state.stream.fmt(f),
            None => f.write_str("<polled>"),
        }
    }
}

impl<S: fmt::Debug, Fut> fmt::Debug for Consume<S, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consume").field("stream", &self.stream.0).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, T> fmt::Debug for PoolItems<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolItems").field("stream", &self.shared).finish_non_exhaustive()
    }
}
