//! Results in batches: [`Batches`], [`TimedBatches`], and the rules in [`yield_when`].
//!
//! The batch under way is not taken out of the pool. It is *gathered* where the finished results are, and leaves when it
//! is yielded; so nothing is lost when a batch stream is dropped and the pool is kept, or when a rule panics.

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

use crate::engine::POLLS;
use crate::progress::{Progress, stages};

/// The usual rules for `batches`, named after those of Python's `asyncio.wait`.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{prelude::*, yield_when};
///
/// # futures::executor::block_on(async {
/// let stream = ["1", "2", "x", "4"].into_iter().pool_map(1, async |s| s.parse::<i32>()).backlog(0);
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
    /// let stream = ["1", "2", "x", "4"].into_iter().pool_map(1, async |s| s.parse::<i32>()).backlog(0);
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

/// A stream of results that can be made a stream of batches: what [`Batches`] asks of its stream.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures::{Stream, StreamExt};
/// use futures_pool::{Batches, Gather, prelude::*, yield_when};
/// use tokio::time::{Duration, sleep};
///
/// /// Lets no result wait for longer than a second.
/// fn in_time<P: Gather, W: FnMut(&P::Item) -> bool>(batches: Batches<P, W>) -> impl Stream<Item = Vec<P::Item>> {
///     batches.timeout(|| sleep(Duration::from_secs(1)))
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let stream = [300, 1500].into_iter().pool_map(2, async |ms| { sleep(Duration::from_millis(ms)).await; ms });
/// let batches = in_time(stream.batches(yield_when::all_completed));
/// assert_eq!(batches.collect::<Vec<_>>().await, [[300], [1500]]);
/// # }
/// ```
pub trait Gather: FusedStream {
    /// Gathers results until `when` returns `true`, which gives `Ready(true)`, or until the end: `Ready(false)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Gather, prelude::*};
    /// use std::{future::poll_fn, future::ready, pin::Pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut stream = (1..=3).pool_map(1, ready).backlog(0);
    /// let even = poll_fn(|cx| Pin::new(&mut stream).poll_gather(cx, &mut 64, &mut |x| x % 2 == 0)).await;
    /// assert!(even);
    /// assert_eq!(stream.finished(), 2); // still in the stream
    /// # });
    /// ```
    fn poll_gather(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        when: &mut impl FnMut(&Self::Item) -> bool,
    ) -> Poll<bool>;

    /// Returns how many results are gathered: the batch under way.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Gather, prelude::*};
    /// use std::{future::poll_fn, future::ready, pin::Pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut stream = (1..=3).pool_map(1, ready).backlog(0);
    /// poll_fn(|cx| Pin::new(&mut stream).poll_gather(cx, &mut 64, &mut |x| x % 2 == 0)).await;
    /// assert_eq!(stream.gathered(), 2);
    /// # });
    /// ```
    fn gathered(&self) -> usize;

    /// Takes all results that are there, gathered or not.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Gather, prelude::*};
    /// use std::{future::poll_fn, future::ready, pin::Pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut stream = (1..=3).pool_map(1, ready).backlog(0);
    /// poll_fn(|cx| Pin::new(&mut stream).poll_gather(cx, &mut 64, &mut |x| x % 2 == 0)).await;
    /// assert_eq!(Pin::new(&mut stream).take_all(), [1, 2]);
    /// assert_eq!(stream.finished(), 0);
    /// # });
    /// ```
    fn take_all(self: Pin<&mut Self>) -> Vec<Self::Item>;
}

/// A stream of a pool's results that knows the pool's counts.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures_pool::{Batches, Counts, prelude::*, yield_when};
/// use tokio::time::{Duration, sleep};
///
/// /// How much of a pool is in use, in per cent.
/// fn load<P: Counts, W>(batches: &Batches<P, W>) -> usize {
///     100 * batches.active() / batches.size()
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let mut batches = [10, 20, 30].into_iter().pool_map(2, async |t| sleep(ms(t)).await).batches(yield_when::all_completed);
/// batches.drive(sleep(ms(15))).await;
/// assert_eq!(load(&batches), 100);
/// batches.drive(sleep(ms(15))).await;
/// assert_eq!(load(&batches), 50);
/// # }
/// ```
pub trait Counts {
    /// Returns the numbers of active futures, of finished results, and the size.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{Counts, prelude::*};
    /// use std::future::ready;
    ///
    /// assert_eq!((0..9).pool_map(4, ready).counts(), [0, 0, 4]);
    /// ```
    fn counts(&self) -> [usize; 3];
}

/// Results in batches: what [`PoolMap::batches`](crate::map::PoolMap::batches),
/// [`IterMap::batches`](crate::pool::IterMap::batches) and [`IterWait::batches`](crate::scope::IterWait::batches) make.
///
/// An empty batch is never yielded.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the stream is dropped half-way. Dropping the stream drops the one below, and does
/// with the batch under way what that does with its other results.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{Batches, Gather, prelude::*};
/// use std::future::ready;
///
/// /// Takes what comes out of a pool to a server, several at a time.
/// struct Upload<P, W> {
///     batches: Batches<P, W>,
///     requests: usize,
/// }
///
/// impl<P: Gather + Unpin, W: FnMut(&P::Item) -> bool> Upload<P, W> {
///     async fn send(&mut self) -> Option<Vec<P::Item>> {
///         let batch = self.batches.next().await?;
///         self.requests += 1;
///         Some(batch)
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let batches = (1..=5).pool_map(1, ready).backlog(0).batches(|x| x % 3 == 0);
/// let mut upload = Upload { batches, requests: 0 };
/// assert_eq!(upload.send().await, Some(vec![1, 2, 3]));
/// assert_eq!(upload.send().await, Some(vec![4, 5]));
/// assert_eq!((upload.send().await, upload.requests), (None, 2));
/// # });
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
#[pin_project]
pub struct Batches<P, W> {
    #[pin]
    stream: P,
    when: W,
    /// Whether a batch is to be yielded, and if so whether more may come after it.
    due: Option<bool>,
}

/// Batches with a limit in time: what [`Batches::timeout`] makes.
///
/// # Cancel safety
///
/// As with [`Batches`]; the timer goes on.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{TimedBatches, prelude::*, yield_when};
/// use std::{future::pending, pin::pin};
/// use tokio::time::{Duration, Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let start = Instant::now();
/// let stream = [10, 99].into_iter().pool_map(2, async |t| if t < 50 { sleep(ms(t)).await } else { pending().await });
/// let batches: TimedBatches<_, _, _, _> = stream.batches(yield_when::all_completed).timeout(|| sleep(ms(25)));
/// let mut batches = pin!(batches); // as tokio's timers are to be pinned
/// assert_eq!(batches.next().await, Some(vec![()]));
/// assert_eq!((start.elapsed(), batches.active()), (ms(25), 1));
/// # }
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
#[pin_project]
pub struct TimedBatches<P, W, N, D> {
    #[pin]
    stream: P,
    when: W,
    new_timer: N,
    /// The timer that runs, if one does.
    #[pin]
    timer: Option<D>,
    /// Whether a batch is to be yielded, and if so whether more may come after it.
    due: Option<bool>,
}

impl<P: Gather, W: FnMut(&P::Item) -> bool> Batches<P, W> {
    pub(crate) fn new(stream: P, when: W) -> Self {
        Self { stream, when, due: None }
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
    pub fn timeout<N: FnMut() -> D, D: Future>(self, new_timer: N) -> TimedBatches<P, W, N, D> {
        TimedBatches { stream: self.stream, when: self.when, new_timer, timer: None, due: self.due }
    }
}

/// Drops the timer if its poll panics: it must not be polled again.
struct Armed<'a, D>(Pin<&'a mut Option<D>>);

impl<D> Drop for Armed<'_, D> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Takes all results that are there, unless there are none.
fn take_batch<P: Gather>(stream: Pin<&mut P>) -> Option<Vec<P::Item>> {
    Some(stream.take_all()).filter(|batch| !batch.is_empty())
}

/// Bounds on the number of batches: at least one if there is anything, at most one for each result.
fn batches_hint((lower, upper): (usize, Option<usize>)) -> (usize, Option<usize>) {
    (lower.min(1), upper)
}

impl<P: Gather, W: FnMut(&P::Item) -> bool> Batches<P, W> {
    /// Polls until a batch is to be yielded.
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let this = self.project();
        if this.due.is_none() {
            *this.due = Some(ready!(this.stream.poll_gather(cx, polls, this.when)));
        }
        Poll::Ready(())
    }

    fn poll_batch(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Vec<P::Item>>> {
        ready!(self.as_mut().poll_due(cx, polls));
        let this = self.project();
        *this.due = None;
        Poll::Ready(take_batch(this.stream))
    }
}

impl<P: Gather, W: FnMut(&P::Item) -> bool> Stream for Batches<P, W> {
    type Item = Vec<P::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_batch(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        batches_hint(self.stream.size_hint())
    }
}

impl<P: Gather + Progress, W: FnMut(&P::Item) -> bool> Progress for Batches<P, W> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_within(cx, &mut POLLS.clone())
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Self::Item>> {
        self.poll_batch(cx, polls)
    }

    fn poll_progress_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let _ = self.as_mut().poll_due(cx, polls);
        self.project().stream.poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        self.stream.polled()
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
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<bool> {
        let mut this = self.project();
        if let Some(more) = *this.due {
            return Poll::Ready(more);
        }
        if this.timer.is_none() && !this.stream.is_terminated() {
            this.timer.set(Some((this.new_timer)()));
        }
        let more = if let Poll::Ready(more) = this.stream.as_mut().poll_gather(cx, polls, this.when) {
            more
        } else {
            let mut armed = Armed(this.timer.as_mut());
            let Some(timer) = armed.0.as_mut().as_pin_mut() else { return Poll::Pending };
            let fired = timer.poll(cx);
            mem::forget(armed);
            ready!(fired);
            if this.stream.gathered() == 0 {
                this.timer.set(None);
                this.timer.set(Some((this.new_timer)()));
                // The new one has to be polled as well, and other tasks get their turn in case it fires at once.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            true
        };
        Poll::Ready(*this.due.insert(more))
    }

    fn poll_batch(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Vec<P::Item>>> {
        let more = ready!(self.as_mut().poll_due(cx, polls));
        let mut this = self.project();
        // The results leave the pool only after all that may panic.
        this.timer.set(None);
        if more {
            this.timer.set(Some((this.new_timer)()));
        }
        *this.due = None;
        Poll::Ready(take_batch(this.stream))
    }
}

impl<P, W, N, D> Stream for TimedBatches<P, W, N, D>
where
    P: Gather,
    W: FnMut(&P::Item) -> bool,
    N: FnMut() -> D,
    D: Future,
{
    type Item = Vec<P::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_batch(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        batches_hint(self.stream.size_hint())
    }
}

impl<P, W, N, D> Progress for TimedBatches<P, W, N, D>
where
    P: Gather + Progress,
    W: FnMut(&P::Item) -> bool,
    N: FnMut() -> D,
    D: Future,
{
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_within(cx, &mut POLLS.clone())
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Self::Item>> {
        self.poll_batch(cx, polls)
    }

    fn poll_progress_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let _ = self.as_mut().poll_due(cx, polls);
        self.project().stream.poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        self.stream.polled()
    }
}

stages!([P: Gather + Progress, W: FnMut(&P::Item) -> bool] Batches<P, W> []);
stages!([P, W, N, D] TimedBatches<P, W, N, D> [
    P: Gather + Progress, W: FnMut(&P::Item) -> bool, N: FnMut() -> D, D: Future
]);

impl<P: Gather, W: FnMut(&P::Item) -> bool> FusedStream for Batches<P, W> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<P, W, N, D> FusedStream for TimedBatches<P, W, N, D>
where
    P: Gather,
    W: FnMut(&P::Item) -> bool,
    N: FnMut() -> D,
    D: Future,
{
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

/// The counts, for each of the types that are given.
macro_rules! counts {
    ($($type:ident<P $(, $other:ident)*>),*) => {$(
        impl<P: Counts $(, $other)*> $type<P $(, $other)*> {
            /// Returns how many futures are active: started, and not finished.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures::{FutureExt, StreamExt};
            /// use futures_pool::{prelude::*, yield_when};
            /// use std::future::pending;
            ///
            /// let mut batches = (0..9).pool_map(3, |_| pending::<()>()).batches(yield_when::first_completed);
            /// assert!(batches.next().now_or_never().is_none());
            /// assert_eq!(batches.active(), 3);
            /// ```
            pub fn active(&self) -> usize {
                self.stream.counts()[0]
            }

            /// Returns how many results are in the pool, not yet taken; the batch under way is among them.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::{prelude::*, yield_when};
            /// use tokio::time::{Duration, sleep};
            ///
            /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
            /// let wait = async |ms| { sleep(Duration::from_millis(ms)).await; ms };
            /// let mut batches = [10, 20, 90].into_iter().pool_map(3, wait).batches(yield_when::all_completed);
            /// batches.drive(wait(50)).await;
            /// assert_eq!(batches.finished(), 2);
            /// # }
            /// ```
            pub fn finished(&self) -> usize {
                self.stream.counts()[1]
            }

            /// Returns how many futures may be active at once.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::{prelude::*, yield_when};
            /// use std::future::{pending, ready};
            ///
            /// let batches = (0..9).pool_map(3, ready).batches(yield_when::first_completed);
            /// assert_eq!(batches.size(), 3);
            /// assert_eq!(batches.timeout(pending::<()>).size(), 3);
            /// ```
            pub fn size(&self) -> usize {
                self.stream.counts()[2]
            }
        }

        impl<P: fmt::Debug $(, $other)*> fmt::Debug for $type<P $(, $other)*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).field("stream", &self.stream).finish_non_exhaustive()
            }
        }
    )*};
}

counts!(Batches<P, W>, TimedBatches<P, W, N, D>);
