//! Results in batches: [`Batches`], [`TimedBatches`], and the rules in [`yield_when`].
//!
//! The batch under way is not taken out of the pool. It is *gathered* where the finished results are, and leaves when it
//! is yielded; so nothing is lost when a batch stream is dropped and the pool is kept, or when a rule panics.

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::FusedStream;
use pin_project::pin_project;

use crate::stream::{Look, PoolMap, Want, Wanted};

/// The usual rules for `batches`, named after those of Python's `asyncio.wait`.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{prelude::*, yield_when};
///
/// # futures::executor::block_on(async {
/// let stream = ["1", "2", "x", "4"].into_iter().pool_map(1, async |s| s.parse::<i32>()).max_finished(0);
/// let batches: Vec<_> = stream.batches(yield_when::first_error).collect().await;
/// assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
/// # });
/// ```
pub mod yield_when {
    /// Yields as soon as a future has finished, with all that have finished by then.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let wait = async |ms| { sleep(Duration::from_millis(ms)).await; ms };
    /// let mut batches = [10, 20, 30].into_iter().pool_map(3, wait).batches(yield_when::first_completed);
    /// assert_eq!(batches.next().await, Some(vec![10]));
    /// batches.drive(wait(50)).await; // meanwhile the others finish
    /// assert_eq!(batches.next().await, Some(vec![20, 30]));
    /// # }
    /// ```
    #[doc(alias = "FIRST_COMPLETED")]
    pub fn first_completed<T>(_: &T) -> bool {
        true
    }

    /// Yields when a future has finished with an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    ///
    /// # futures::executor::block_on(async {
    /// let stream = ["1", "2", "x", "4"].into_iter().pool_map(1, async |s| s.parse::<i32>()).max_finished(0);
    /// let mut batches = stream.batches(yield_when::first_error);
    /// let batch = batches.next().await.unwrap();
    /// assert_eq!(batch[..2], [Ok(1), Ok(2)]); // what has finished before comes along
    /// assert!(batch[2].is_err());
    /// # });
    /// ```
    #[doc(alias = "FIRST_EXCEPTION")]
    pub fn first_error<T, E>(result: &Result<T, E>) -> bool {
        result.is_err()
    }

    /// Yields once, at the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut batches = (0..100).pool_map(4, ready).batches(yield_when::all_completed);
    /// assert_eq!(batches.next().await.map(|batch| batch.len()), Some(100));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[doc(alias = "ALL_COMPLETED")]
    pub fn all_completed<T>(_: &T) -> bool {
        false
    }
}

/// A stream of results that can be made a stream of batches.
#[diagnostic::on_unimplemented(
    message = "batches are of results on the heap",
    note = "a chain of `pool_map_inline` has no room for a batch; use `pool_map`"
)]
pub trait Gather: FusedStream {
    /// Polls until there is a result to gather, or until the end.
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()>;

    /// Lets what is in flight make progress; ready when nothing is.
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()>;

    /// Gathers results until `when` returns `true`; returns whether it has.
    fn gather(self: Pin<&mut Self>, when: &mut impl FnMut(&Self::Item) -> bool) -> bool;

    /// Returns whether there is a result to gather.
    fn has_ungathered(&self) -> bool;

    /// Returns how many results are gathered: the batch under way.
    fn gathered(&self) -> usize;

    /// Ready when what is gathered may be handed over: the task of a scope in which this is polled may need a slot for that.
    fn poll_hand_over(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Takes the results that are there, gathered or not, but at most so many, which are at least those gathered.
    fn take_batch(self: Pin<&mut Self>, most: usize) -> Vec<Self::Item>;

    /// Tells what can be told without polling it.
    fn look(&self, want: Want) -> Look;
}

/// The machine of `batches`, of a chain, an `itermap` or an `iterwait`.
#[pin_project]
pub struct Batches<P, W> {
    #[pin]
    stream: P,
    when: W,
    /// How many results a batch has at most; at least 1.
    most: usize,
    /// Whether a batch is to be yielded, and if so whether more may come after it.
    due: Option<bool>,
}

/// The machine of `batches` with a [`timeout`](PoolMap::timeout).
#[pin_project]
pub struct TimedBatches<P, W, N, D> {
    #[pin]
    batches: Batches<P, W>,
    new_timer: N,
    /// The timer that runs, if one does.
    #[pin]
    timer: Option<D>,
}

impl<P: Gather, W: FnMut(&P::Item) -> bool> Batches<P, W> {
    pub(crate) fn new(stream: P, when: W) -> PoolMap<Self, Vec<P::Item>> {
        PoolMap::from_parts(Self { stream, when, most: usize::MAX, due: None }, run, look)
    }

    /// Polls until a batch is to be yielded. Ready with whether more may come after it.
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<bool> {
        let mut this = self.project();
        if let Some(more) = *this.due {
            return Poll::Ready(more);
        }
        loop {
            // The batch may be full by now: after a panic of the rule, or where the limit was set late.
            let mut left = this.most.saturating_sub(this.stream.gathered());
            if left == 0 {
                return Poll::Ready(*this.due.insert(true));
            }
            ready!(this.stream.as_mut().poll_due(cx, budget));
            if !this.stream.has_ungathered() {
                return Poll::Ready(*this.due.insert(false));
            }
            let mut when = |item: &P::Item| {
                left -= 1;
                (this.when)(item) || left == 0
            };
            if this.stream.as_mut().gather(&mut when) {
                return Poll::Ready(*this.due.insert(true));
            }
        }
    }

    /// Changes how many results a batch has at most.
    fn set_most(&mut self, results: usize) {
        self.most = results.max(1);
    }

    /// Takes the batch that is due, unless it is empty.
    fn take_batch(self: Pin<&mut Self>) -> Option<Vec<P::Item>> {
        let this = self.project();
        *this.due = None;
        Some(this.stream.take_batch(*this.most)).filter(|batch| !batch.is_empty())
    }

    fn look(&self, want: Want) -> Look {
        // At least as many as there are if each is as large as it may be, at most one for each result.
        let look = self.stream.look(want);
        Look { size_hint: (look.size_hint.0.div_ceil(self.most), look.size_hint.1), ..look }
    }
}

fn run<P: Gather, W: FnMut(&P::Item) -> bool>(
    mut batches: Pin<&mut Batches<P, W>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<Vec<P::Item>>> {
    if matches!(wanted, Wanted::Another | Wanted::Taken) {
        return Poll::Ready(None);
    }
    let due = batches.as_mut().poll_due(cx, budget);
    if wanted == Wanted::Progress {
        return batches.project().stream.poll_progress(cx, budget).map(|()| None);
    }
    ready!(due);
    ready!(batches.as_mut().project().stream.poll_hand_over(cx));
    Poll::Ready(if wanted == Wanted::Due { None } else { batches.take_batch() })
}

fn look<P: Gather, W: FnMut(&P::Item) -> bool>(batches: &Batches<P, W>, want: Want) -> Look {
    batches.look(want)
}

impl<P: Gather, W: FnMut(&P::Item) -> bool> PoolMap<Batches<P, W>, Vec<P::Item>> {
    /// Yields a batch also as soon as it has `results` results, and never one that has more. 0 is taken as 1.
    ///
    /// What has finished beyond that is the next batch's. The count starts anew with each batch. With
    /// [`timeout`](Self::timeout), that makes "as many, or what there is after a while".
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let batches = (0..25).pool_map(64, ready).batches(yield_when::all_completed).at_most(10);
    /// assert_eq!(batches.map(|batch| batch.len()).collect::<Vec<_>>().await, [10, 10, 5]);
    /// # });
    /// ```
    #[doc(alias = "chunks")]
    #[doc(alias = "chunks_timeout")]
    pub fn at_most(mut self, results: usize) -> Self {
        self.machine.set_most(results);
        self
    }

    /// Also yields what has finished each time that a timer fires.
    ///
    /// The timer is any future, made by `new_timer`; the first is made when the stream is first polled, and each later
    /// one as soon as the batch before is handed over. When it fires and nothing has finished, a new one is made, and
    /// nothing is yielded. A stream with timers that are not `Unpin`, such as tokio's, has to be pinned (`pin!`) before
    /// `next` can be called on it.
    ///
    /// # Panics
    ///
    /// The stream panics if `new_timer` or a timer does; the results stay where they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let ms = Duration::from_millis;
    /// let stream = [10, 20, 70].into_iter().pool_map(3, async |t| { sleep(ms(t)).await; t });
    /// let batches = stream.batches(yield_when::all_completed).timeout(|| sleep(ms(25)));
    /// assert_eq!(batches.collect::<Vec<_>>().await, [vec![10, 20], vec![70]]);
    /// # }
    /// ```
    pub fn timeout<N: FnMut() -> D, D: Future>(self, new_timer: N) -> PoolMap<TimedBatches<P, W, N, D>, Vec<P::Item>> {
        let machine = TimedBatches { batches: self.machine, new_timer, timer: None };
        PoolMap::from_parts(machine, run_timed, look_timed)
    }
}

impl<P, W, N, D> PoolMap<TimedBatches<P, W, N, D>, Vec<P::Item>>
where
    P: Gather,
    W: FnMut(&P::Item) -> bool,
{
    /// Yields a batch also as soon as it has `results` results, and never one that has more: [`at_most`](Self::at_most) after
    /// [`timeout`](Self::timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{prelude::*, yield_when};
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let ms = Duration::from_millis;
    /// let stream = [1, 2, 3, 9].into_iter().pool_map(4, async |t| { sleep(ms(10 * t)).await; t });
    /// let batches = stream.batches(yield_when::all_completed).timeout(|| sleep(ms(45))).at_most(2);
    /// assert_eq!(batches.collect::<Vec<_>>().await, [vec![1, 2], vec![3], vec![9]]);
    /// # }
    /// ```
    pub fn at_most(mut self, results: usize) -> Self {
        self.machine.batches.set_most(results);
        self
    }
}

/// Drops the timer if its poll panics: it must not be polled again.
struct DropOnUnwind<'a, D>(Pin<&'a mut Option<D>>);

impl<D> Drop for DropOnUnwind<'_, D> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl<P, W, N, D> TimedBatches<P, W, N, D>
where
    P: Gather,
    W: FnMut(&P::Item) -> bool,
    N: FnMut() -> D,
    D: Future,
{
    /// Polls until a batch is to be yielded. Ready with whether more may come after it.
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<bool> {
        let mut this = self.project();
        let is_due = this.batches.due.is_some();
        if !is_due && this.timer.is_none() && !this.batches.stream.is_terminated() {
            this.timer.set(Some((this.new_timer)()));
        }
        if let Poll::Ready(more) = this.batches.as_mut().poll_due(cx, budget) {
            return Poll::Ready(more);
        }
        let mut guard = DropOnUnwind(this.timer.as_mut());
        let Some(timer) = guard.0.as_mut().as_pin_mut() else { return Poll::Pending };
        let fired = timer.poll(cx);
        mem::forget(guard);
        ready!(fired);
        if this.batches.stream.gathered() == 0 {
            this.timer.set(None);
            this.timer.set(Some((this.new_timer)()));
            // The new one has to be polled as well, and other tasks get their turn in case it fires immediately.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(*this.batches.project().due.insert(true))
    }
}

fn run_timed<P, W, N, D>(
    mut timed: Pin<&mut TimedBatches<P, W, N, D>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<Vec<P::Item>>>
where
    P: Gather,
    W: FnMut(&P::Item) -> bool,
    N: FnMut() -> D,
    D: Future,
{
    if matches!(wanted, Wanted::Another | Wanted::Taken) {
        return Poll::Ready(None);
    }
    let due = timed.as_mut().poll_due(cx, budget);
    let mut this = timed.project();
    if wanted == Wanted::Progress {
        return this.batches.project().stream.poll_progress(cx, budget).map(|()| None);
    }
    let more = ready!(due);
    ready!(this.batches.as_mut().project().stream.poll_hand_over(cx));
    if wanted == Wanted::Due {
        return Poll::Ready(None);
    }
    // The results leave the pool only after all that may panic.
    this.timer.set(None);
    if more {
        this.timer.set(Some((this.new_timer)()));
    }
    Poll::Ready(this.batches.take_batch())
}

fn look_timed<P: Gather, W: FnMut(&P::Item) -> bool, N, D>(timed: &TimedBatches<P, W, N, D>, want: Want) -> Look {
    timed.batches.look(want)
}

impl<P: fmt::Debug, W> fmt::Debug for Batches<P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<P: fmt::Debug, W, N, D> fmt::Debug for TimedBatches<P, W, N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBatches").field("stream", &self.batches.stream).finish_non_exhaustive()
    }
}
