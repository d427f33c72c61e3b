//! [`Progress`]: a stream that makes progress while its consumer is busy.

mod adaptors;

use core::fmt;
use core::ops::DerefMut;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::stream::Stream;

/// A stream that can make progress without yielding an item.
///
/// It is implemented for the streams of a pool, and passes through those adaptors of `futures_util` that hold one stream
/// and show it. After one of these, [`driven`](crate::ProgressExt::driven) keeps the pool polled:
///
/// - of [`StreamExt`](futures_util::stream::StreamExt): `buffered`, `buffer_unordered`, `chunks`, `enumerate`, `filter`, `filter_map`,
///   `flat_map`, `flat_map_unordered`, `flatten`, `flatten_unordered`, `fuse`, `inspect`, `map`, `peekable`,
///   `ready_chunks`, `scan`, `skip`, `skip_while`, `take`, `take_until`, `take_while`, `then`;
/// - of [`TryStreamExt`](futures_util::stream::TryStreamExt): `and_then`, `err_into`, `inspect_err`, `inspect_ok`, `into_stream`,
///   `map_err`, `map_ok`, `or_else`, `try_buffered`, `try_buffer_unordered`, `try_chunks`, `try_filter`,
///   `try_filter_map`, `try_flatten`, `try_flatten_unordered`, `try_ready_chunks`, `try_skip_while`, `try_take_while`.
///
/// It cannot pass through those that do not show their stream, or have several: `boxed`, `boxed_local`, `chain`, `cycle`,
/// `forward`, `select`, `split`, `zip`; nor through `StreamExt::catch_unwind`, for which there is
/// [`PoolMap::catch_unwind`](crate::PoolMap::catch_unwind).
///
/// A function that takes or returns a stream that is to keep this says `impl Progress<Item = T>`. On that, and on a stream by
/// reference (`pin!(stream)`, `stream.by_ref()`), `for_each` and `pool_map` are those of the traits, which stall the
/// pool between items: here, too, [`driven`](crate::ProgressExt::driven) comes first.
///
/// # Examples
///
/// ```
/// use futures_pool::{Progress, prelude::*};
///
/// fn squares(size: usize) -> impl Progress<Item = u64> {
///     (1..=4).pool_map(size, async |x: u64| x * x)
/// }
///
/// # futures::executor::block_on(async {
/// let mut sum = 0;
/// squares(2).driven().for_each(|x| { sum += x; std::future::ready(()) }).await;
/// assert_eq!(sum, 30);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pool's stream, or does not show the pool in it",
    note = "`.boxed()` and `BoxStream` forget the pool: hand the stream on as `impl Progress<Item = T>`"
)]
pub trait Progress: Stream {
    /// Does all that `poll_next` does short of yielding an item.
    ///
    /// - `Pending`: something is in flight; the task will be woken when there is more to do.
    /// - `Ready`: nothing is in flight for which this would have to be called again, before an item is taken.
    ///
    /// While the [bound on results](crate::PoolMap#the-bound-on-results) is reached, nothing new is started, and what is in flight is
    /// still polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{Progress, prelude::*};
    /// use std::{future::poll_fn, future::ready, pin::Pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut stream = (1..=9).pool_map(2, ready);
    /// poll_fn(|cx| Pin::new(&mut stream).poll_progress(cx)).await;
    /// assert_eq!(stream.finished(), 3); // one more than `max_finished`
    /// assert_eq!(stream.next().await, Some(1));
    /// # });
    /// ```
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// `poll_next`, within what is left of the caller's poll budget.
    #[doc(hidden)]
    fn poll_next_with_budget(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _budget: &mut usize,
    ) -> Poll<Option<Self::Item>> {
        self.poll_next(cx)
    }

    /// `poll_progress`, within what is left of the caller's poll budget.
    #[doc(hidden)]
    fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, _budget: &mut usize) -> Poll<()> {
        self.poll_progress(cx)
    }

    /// Takes an item that is due, without polling anything; `None` also where only one can be taken at a time.
    #[doc(hidden)]
    #[cfg(feature = "alloc")]
    fn take_another(self: Pin<&mut Self>) -> Option<Self::Item> {
        None
    }

    /// `poll_progress`, where so many items were taken by `take_another` that count as if they had not.
    #[doc(hidden)]
    #[cfg(feature = "alloc")]
    fn poll_progress_beside(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize, _taken: usize) -> Poll<()> {
        self.poll_progress_with_budget(cx, budget)
    }

    /// Polls until an item is due, which is not taken, or until the end. Only for the streams of a pool themselves.
    #[doc(hidden)]
    #[cfg(feature = "alloc")]
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll_progress_with_budget(cx, budget)
    }

    /// Returns how many polls its calls have used so far, which wraps around: so that they are known also where an adaptor
    /// has called `poll_next`, which has a budget of its own.
    #[doc(hidden)]
    fn polls_used(&self) -> usize {
        0
    }

    /// Returns how often its calls have polled all that is upstream, if each of them does, as with
    /// [`driven`](crate::ProgressExt::driven); wraps around.
    #[doc(hidden)]
    fn visits(&self) -> usize {
        0
    }

    /// Returns the counts of the pool, or of the one upstream.
    #[doc(hidden)]
    fn counts(&self) -> PoolCounts {
        PoolCounts::default()
    }
}

/// The counts of a pool.
#[derive(Clone, Copy, Default)]
pub struct PoolCounts {
    pub(crate) active: usize,
    pub(crate) finished: usize,
    pub(crate) size: usize,
    /// The same as [`polls_used`](Progress::polls_used), to be had by one call.
    pub(crate) polls_used: usize,
}

impl<P: Progress + Unpin + ?Sized> Progress for &mut P {
    fn poll_progress(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut **self).poll_progress(cx)
    }

    fn poll_next_with_budget(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Poll<Option<P::Item>> {
        Pin::new(&mut **self).poll_next_with_budget(cx, budget)
    }

    fn poll_progress_with_budget(mut self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        Pin::new(&mut **self).poll_progress_with_budget(cx, budget)
    }

    #[cfg(feature = "alloc")]
    fn poll_due(mut self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        Pin::new(&mut **self).poll_due(cx, budget)
    }

    fn polls_used(&self) -> usize {
        (**self).polls_used()
    }

    fn visits(&self) -> usize {
        (**self).visits()
    }

    fn counts(&self) -> PoolCounts {
        (**self).counts()
    }
}

impl<P: DerefMut<Target: Progress> + Unpin> Progress for Pin<P> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.as_deref_mut().poll_progress(cx)
    }

    fn poll_next_with_budget(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Poll<Option<Self::Item>> {
        self.as_deref_mut().poll_next_with_budget(cx, budget)
    }

    fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.as_deref_mut().poll_progress_with_budget(cx, budget)
    }

    #[cfg(feature = "alloc")]
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.as_deref_mut().poll_due(cx, budget)
    }

    fn polls_used(&self) -> usize {
        (**self).polls_used()
    }

    fn visits(&self) -> usize {
        (**self).visits()
    }

    fn counts(&self) -> PoolCounts {
        (**self).counts()
    }
}

/// Prints the counts of a pool.
pub(crate) fn debug_counts(
    name: &str,
    waiting: Option<usize>,
    counts: PoolCounts,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut debug = f.debug_struct(name);
    debug.field("size", &counts.size);
    if let Some(waiting) = waiting {
        debug.field("waiting", &waiting);
    }
    debug.field("active", &counts.active).field("finished", &counts.finished).finish_non_exhaustive()
}
