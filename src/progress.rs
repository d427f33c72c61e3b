//! The pool goes on while its consumer is busy: [`Progress`], [`Driven`], [`ForEach`], [`Drive`].
//!
//! A stream works only while it is polled. So whoever awaits something else between two items leaves everything in
//! flight unpolled: requests time out, and if the something waits for a lock that one of them holds, nothing ever goes on
//! (this is known as *futurelock*). The cure is to poll both. [`Progress::poll_progress`] does what `poll_next` does
//! short of yielding an item; everything else here calls it:
//!
//! - `for_each` while the future for an item runs;
//! - [`drive`](ProgressExt::drive) while any future runs;
//! - a `pool_map` stage for the stage before it, also while it is full itself;
//! - [`driven`](ProgressExt::driven) for the pool below an adaptor that has a future of its own.

use core::fmt;
use core::mem;
use core::ops::DerefMut;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::future::TryFuture;
use futures_util::stream::{self, FusedStream, Stream, TryStream};
use pin_project::pin_project;

use crate::engine::POLLS;

/// A stream that can work on without yielding an item.
///
/// It is implemented for the streams of a pool, and passes through those adaptors of `futures_util` that hold one stream
/// and show it. After one of these, [`driven`](ProgressExt::driven) keeps the pool going:
///
/// - of [`StreamExt`](stream::StreamExt): `buffered`, `buffer_unordered`, `chunks`, `enumerate`, `filter`, `filter_map`,
///   `flat_map`, `flat_map_unordered`, `flatten`, `flatten_unordered`, `fuse`, `inspect`, `map`, `peekable`,
///   `ready_chunks`, `scan`, `skip`, `skip_while`, `take`, `take_until`, `take_while`, `then`;
/// - of [`TryStreamExt`](stream::TryStreamExt): `and_then`, `err_into`, `inspect_err`, `inspect_ok`, `into_stream`,
///   `map_err`, `map_ok`, `or_else`, `try_buffered`, `try_buffer_unordered`, `try_chunks`, `try_filter`,
///   `try_filter_map`, `try_flatten`, `try_flatten_unordered`, `try_ready_chunks`, `try_skip_while`, `try_take_while`.
///
/// It cannot pass through those that do not show their stream, or have several: `boxed`, `boxed_local`, `chain`, `cycle`,
/// `forward`, `select`, `split`, `zip`; nor through `StreamExt::catch_unwind`, for which there is
/// [`PoolMap::catch_unwind`](crate::PoolMap::catch_unwind).
///
/// A function that takes or returns a stream that is to keep this says `impl Progress<Item = T>`. On that, and on a stream by
/// reference (`pin!(stream)`, `stream.by_ref()`), `for_each` and `pool_map` are those of the traits, which leave the pool standing
/// still: here, too, [`driven`](ProgressExt::driven) comes first.
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
    /// While the backlog is full nothing new is started, and what is in flight is polled all the same.
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
    /// assert_eq!(stream.finished(), 3); // one more than the backlog
    /// assert_eq!(stream.next().await, Some(1));
    /// # });
    /// ```
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Returns whether it never has anything in flight after its end, so that it may be dropped then. All others return
    /// `None` whenever they are polled after their end.
    #[doc(hidden)]
    fn is_idle_for_good(&self) -> bool {
        false
    }

    /// `poll_next`, within what is left of the caller's polls.
    #[doc(hidden)]
    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, _polls: &mut usize) -> Poll<Option<Self::Item>> {
        self.poll_next(cx)
    }

    /// `poll_progress`, within what is left of the caller's polls.
    #[doc(hidden)]
    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, _polls: &mut usize) -> Poll<()> {
        self.poll_progress(cx)
    }

    /// Returns how many polls its calls have used up so far, which goes round: so that they are known also where an adaptor
    /// has called `poll_next`, which has its own.
    #[doc(hidden)]
    fn polled(&self) -> usize {
        0
    }
}

impl<P: Progress + Unpin + ?Sized> Progress for &mut P {
    fn poll_progress(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut **self).poll_progress(cx)
    }

    fn is_idle_for_good(&self) -> bool {
        (**self).is_idle_for_good()
    }

    fn poll_next_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<P::Item>> {
        Pin::new(&mut **self).poll_next_within(cx, polls)
    }

    fn poll_progress_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        Pin::new(&mut **self).poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        (**self).polled()
    }
}

impl<P: DerefMut<Target: Progress> + Unpin> Progress for Pin<P> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.as_deref_mut().poll_progress(cx)
    }

    fn is_idle_for_good(&self) -> bool {
        (**self).is_idle_for_good()
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<Self::Item>> {
        self.as_deref_mut().poll_next_within(cx, polls)
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        self.as_deref_mut().poll_progress_within(cx, polls)
    }

    fn polled(&self) -> usize {
        (**self).polled()
    }
}

/// What an adaptor has of the stream that it shows.
macro_rules! progress_of_the_stream {
    () => {
        fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.get_pin_mut().poll_progress(cx)
        }

        fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
            self.get_pin_mut().poll_progress_within(cx, polls)
        }

        fn polled(&self) -> usize {
            self.get_ref().polled()
        }
    };
}

/// Passes progress through adaptors that show their one stream. `St: TryStream` is for those whose types ask for it.
macro_rules! pass_through {
    ($($adaptor:ident<St $(: $bound:ident)? $(, $other:ident)*> [$($bounds:tt)*])*) => {$(
        impl<St: Progress $(+ $bound)? $(, $other)*> Progress for stream::$adaptor<St $(, $other)*>
        where
            Self: Stream,
            $($bounds)*
        {
            progress_of_the_stream!();
        }
    )*};
}

pass_through! {
    Enumerate<St> []
    Filter<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    FilterMap<St, Fut, F> [F: FnMut(St::Item) -> Fut, Fut: Future]
    FlatMap<St, U, F> []
    Flatten<St> [St::Item: Stream]
    Fuse<St> []
    Inspect<St, F> [F: FnMut(&St::Item)]
    Map<St, F> []
    Peekable<St> []
    Skip<St> []
    SkipWhile<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    Take<St> []
    TakeUntil<St, Fut> [Fut: Future]
    TakeWhile<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    Then<St, Fut, F> [F: FnMut(St::Item) -> Fut, Fut: Future]

    AndThen<St, Fut, F> [St: TryStream, F: FnMut(St::Ok) -> Fut, Fut: TryFuture<Error = St::Error>]
    ErrInto<St, E> [St: TryStream, St::Error: Into<E>]
    InspectErr<St, F> [St: TryStream, F: FnMut(&St::Error)]
    InspectOk<St, F> [St: TryStream, F: FnMut(&St::Ok)]
    IntoStream<St> [St: TryStream]
    MapErr<St, F> [St: TryStream]
    MapOk<St, F> [St: TryStream]
    OrElse<St, Fut, F> [St: TryStream, F: FnMut(St::Error) -> Fut, Fut: TryFuture<Ok = St::Ok>]
    TryFilterMap<St, Fut, F> []

    TryFlatten<St: TryStream> [St::Ok: TryStream, <St::Ok as TryStream>::Error: From<St::Error>]
    TryFilter<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: Future<Output = bool>]
    TrySkipWhile<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: TryFuture<Ok = bool, Error = St::Error>]
    TryTakeWhile<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: TryFuture<Ok = bool, Error = St::Error>]
}

#[cfg(feature = "alloc")]
pass_through! {
    Chunks<St> []
    ReadyChunks<St> []
    TryChunks<St: TryStream> []
    TryReadyChunks<St: TryStream> []
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pass_through! {
    BufferUnordered<St> [St::Item: Future]
    Buffered<St> [St::Item: Future]
    FlatMapUnordered<St, U, F> [F: FnMut(St::Item) -> U, U: Stream + Unpin]
    FlattenUnordered<St> [St::Item: Stream + Unpin]
    TryBufferUnordered<St: TryStream> [St::Ok: TryFuture]
    TryBuffered<St: TryStream> [St::Ok: TryFuture]
    TryFlattenUnordered<St: TryStream> [St::Ok: TryStream + Unpin, <St::Ok as TryStream>::Error: From<St::Error>]
}

impl<St: Progress, S, Fut, F, B> Progress for stream::Scan<St, S, Fut, F>
where
    F: FnMut(&mut S, St::Item) -> Fut,
    Fut: Future<Output = Option<B>>,
{
    progress_of_the_stream!();
}

/// Adds [`driven`](Self::driven) and [`drive`](Self::drive) to every stream with progress.
///
/// # Examples
///
/// ```
/// use futures_pool::prelude::*;
/// use tokio::time::{Duration, sleep};
///
/// /// Waits, with any stream of a pool in the background.
/// async fn pause<P: futures_pool::Progress + Unpin>(stream: &mut P) {
///     stream.drive(sleep(Duration::from_millis(50))).await;
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let mut stream = [10, 20].into_iter().pool_map(1, async |ms| sleep(Duration::from_millis(ms)).await);
/// pause(&mut stream).await;
/// assert_eq!(stream.finished(), 2);
/// # }
/// ```
pub trait ProgressExt: Progress {
    /// Keeps the pool below an adaptor going, and gives the methods back that a pool's stream has: `pool_map`,
    /// `for_each` and `drive` that keep all stages before them going.
    ///
    /// Adaptors such as `then` and `filter` hold a future of their own, which only they can poll, and which the pool
    /// below does not wait for. So this polls the adaptor one item ahead of its consumer, and the pool below it on every
    /// poll, also after the adaptor's end.
    ///
    /// It is needed after an adaptor. Without it, the adaptor's own methods are those of `StreamExt`, which leave the
    /// pool unpolled while the consumer is busy.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when a call of `next` on the stream is dropped half-way. Dropping the stream drops the item that it has
    /// ahead, and all below.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let mut stored = Vec::new();
    /// ["1", "x", "3"]
    ///     .into_iter()
    ///     .pool_map(4, async |text| text.parse::<u32>())
    ///     .filter_map(async |number| number.ok())
    ///     .driven()
    ///     .pool_map(2, async |number| number * 10)
    ///     .for_each(|number| { stored.push(number); ready(()) })
    ///     .await;
    /// assert_eq!(stored, [10, 30]);
    /// # });
    /// ```
    fn driven(self) -> Driven<Self, Self::Item>
    where
        Self: Sized,
    {
        Driven { stream: self, ahead: None, ended: false }
    }

    /// Runs a future to its end while the stream goes on, within its backlog. No item is taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the future; the stream is as good as before.
    ///
    /// # Panics
    ///
    /// If the future does, or one of the pool's.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    /// use tokio::time::{Duration, Instant, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let ms = Duration::from_millis;
    /// let start = Instant::now();
    /// let mut stream = [10, 20].into_iter().pool_map(1, async |t| sleep(ms(t)).await);
    /// stream.drive(sleep(ms(100))).await;
    /// assert_eq!((start.elapsed(), stream.finished()), (ms(100), 2)); // both have finished meanwhile
    /// # }
    /// ```
    fn drive<Fut: Future>(&mut self, future: Fut) -> Drive<'_, Self, Fut>
    where
        Self: Unpin,
    {
        Drive { stream: self, future }
    }
}

impl<P: Progress + ?Sized> ProgressExt for P {}

/// A stream of a pool behind adaptors, polled one item ahead: what [`ProgressExt::driven`] makes.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{prelude::*, progress::Driven};
/// use std::{cell::Cell, future::ready};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let seen = Cell::new(0);
/// let tens = (1..=9).pool_map(1, ready).map(|x| { seen.set(x); x * 10 });
/// let mut tens: Driven<_, i32> = tens.driven();
/// assert_eq!((tens.next().await, seen.get()), (Some(10), 1));
/// tens.drive(tokio::task::yield_now()).await;
/// assert_eq!(seen.get(), 2); // one ahead, and no more
/// # }
/// ```
#[must_use = "streams do nothing unless polled: use `for_each`, or `next` of `StreamExt`"]
#[pin_project]
pub struct Driven<S, T> {
    #[pin]
    stream: S,
    /// An item that came while the consumer was busy.
    ahead: Option<T>,
    /// Whether the adaptor has ended. The pool below may still have futures in flight.
    ended: bool,
}

impl<S: Progress<Item = T>, T> Stream for Driven<S, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_next_within(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ahead = usize::from(self.ahead.is_some());
        let (lower, upper) = if self.ended { (0, Some(0)) } else { self.stream.size_hint() };
        (lower.saturating_add(ahead), upper.and_then(|upper| upper.checked_add(ahead)))
    }
}

impl<S: Progress<Item = T>, T> FusedStream for Driven<S, T> {
    fn is_terminated(&self) -> bool {
        self.ended && self.ahead.is_none()
    }
}

impl<S: Progress<Item = T>, T> Progress for Driven<S, T> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_within(cx, &mut POLLS.clone())
    }

    fn poll_next_within(mut self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<T>> {
        let _ = self.as_mut().poll_progress_within(cx, polls);
        let this = self.project();
        match this.ahead.take() {
            None if !*this.ended => Poll::Pending,
            next => Poll::Ready(next),
        }
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let mut this = self.project();
        let mut waits = this.ahead.is_none() && !*this.ended;
        if waits && *polls == 0 {
            // Asked all the same, an adaptor would have polls that nobody has left for it.
            cx.waker().wake_by_ref();
        } else if waits {
            let (most, before) = (*polls, this.stream.polled());
            let next = this.stream.as_mut().poll_next_within(cx, polls);
            // An adaptor does not tell the pool below how many are left.
            *polls = most.saturating_sub(this.stream.polled().wrapping_sub(before));
            if let Poll::Ready(next) = next {
                waits = false;
                *this.ended = next.is_none();
                *this.ahead = next;
            }
        }
        // The adaptor may have a future of its own, or have ended, and not have polled the pool at all.
        let below = this.stream.poll_progress_within(cx, polls);
        if waits { Poll::Pending } else { below }
    }

    fn polled(&self) -> usize {
        self.stream.polled()
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Driven<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven")
            .field("stream", &self.stream)
            .field("ahead", &self.ahead.is_some())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The future of `for_each` on a pool's stream.
///
/// # Cancel safety
///
/// Dropping it drops the stream, and the future for the item under way.
///
/// # Examples
///
/// ```
/// use futures_pool::{prelude::*, progress::ForEach};
/// use std::{cell::Cell, future::ready};
/// use tokio::time::{Duration, sleep, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let ms = Duration::from_millis;
/// let ticks = Cell::new(0);
/// let ticking: ForEach<_, _, _> = (0..).pool_map(4, ready).for_each(async |_: u64| {
///     ticks.set(ticks.get() + 1);
///     sleep(ms(10)).await;
/// });
/// assert!(timeout(ms(45), ticking).await.is_err()); // it has no end, and is dropped half-way
/// assert_eq!(ticks.get(), 5);
/// # }
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct ForEach<S, Fut, F> {
    #[pin]
    stream: S,
    f: F,
    /// The future for the item under way.
    #[pin]
    item: Option<Fut>,
}

impl<S, Fut, F> ForEach<S, Fut, F> {
    pub(crate) fn new(stream: S, f: F) -> Self {
        Self { stream, f, item: None }
    }
}

/// Drops a future if its poll panics: it must not be polled again.
struct Unwinding<'a, Fut>(Pin<&'a mut Option<Fut>>);

impl<Fut> Drop for Unwinding<'_, Fut> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl<S, Fut, F> Future for ForEach<S, Fut, F>
where
    S: Progress,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = ()>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let mut polls = POLLS;
        loop {
            if polls == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // One poll is kept back for the item's future.
            polls -= 1;
            let mut unwinding = Unwinding(this.item.as_mut());
            if let Some(item) = unwinding.0.as_mut().as_pin_mut() {
                if item.poll(cx).is_pending() {
                    mem::forget(unwinding);
                    let _ = this.stream.poll_progress_within(cx, &mut polls);
                    return Poll::Pending;
                }
            }
            drop(unwinding);
            match ready!(this.stream.as_mut().poll_next_within(cx, &mut polls)) {
                Some(item) => this.item.set(Some((this.f)(item))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl<S: fmt::Debug, Fut, F> fmt::Debug for ForEach<S, Fut, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach")
            .field("stream", &self.stream)
            .field("busy", &self.item.is_some())
            .finish_non_exhaustive()
    }
}

/// The future of [`ProgressExt::drive`].
///
/// # Cancel safety
///
/// Dropping it drops the future; the stream is as good as before.
///
/// # Examples
///
/// ```
/// use futures_pool::{Progress, prelude::*, progress::Drive};
/// use std::future::{Ready, ready};
///
/// fn answer<P: Progress + Unpin>(stream: &mut P) -> Drive<'_, P, Ready<u32>> {
///     stream.drive(ready(42))
/// }
///
/// # futures::executor::block_on(async {
/// let mut stream = (0..9).pool_map(2, ready);
/// assert_eq!(answer(&mut stream).await, 42);
/// assert_eq!(stream.finished(), 0); // a future that is ready leaves the stream no time
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct Drive<'a, S: ?Sized, Fut> {
    stream: &'a mut S,
    #[pin]
    future: Fut,
}

impl<S: Progress + Unpin + ?Sized, Fut: Future> Future for Drive<'_, S, Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let this = self.project();
        let poll = this.future.poll(cx);
        if poll.is_pending() {
            let _ = Pin::new(&mut **this.stream).poll_progress(cx);
        }
        poll
    }
}

impl<S: fmt::Debug + ?Sized, Fut> fmt::Debug for Drive<'_, S, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Gives a pool's stream `for_each` and `pool_map` of its own, which win over those of the traits.
macro_rules! stages {
    ([$($generics:tt)*] $type:ty [$($bounds:tt)*]) => {
        /// While something else is awaited, the stream goes on.
        impl<$($generics)*> $type
        where
            $($bounds)*
        {
            /// Calls `f` with each item, and runs the future that it returns before the next; **the pool goes on
            /// meanwhile**, within its backlog.
            ///
            /// That is what sets it apart from `StreamExt::for_each`, and from `while let Some(x) = s.next().await`,
            /// which leave everything in flight unpolled while the consumer is busy. Behind an adaptor of `StreamExt`
            /// (`.map(g).for_each(h)`) it is that other one: put [`driven`](crate::ProgressExt::driven) between.
            ///
            /// It polls at most 64 futures, behind an adaptor [more](crate::PoolMap), then lets other tasks run.
            ///
            /// # Cancel safety
            ///
            /// Dropping it drops the stream, and the future for the item under way.
            ///
            /// # Panics
            ///
            /// If the closure, its future, or a future of the pool does.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::prelude::*;
            /// use tokio::time::{Duration, Instant, sleep};
            ///
            /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
            /// let ms = Duration::from_millis;
            /// let fetch = async |_| {
            ///     let start = Instant::now();
            ///     sleep(ms(10)).await;
            ///     sleep(ms(10)).await;
            ///     start.elapsed()
            /// };
            /// let stream = (0..4).pool_map(2, fetch);
            /// stream.for_each(async |took| {
            ///     assert_eq!(took, ms(20)); // not held up
            ///     sleep(ms(100)).await;
            /// })
            /// .await;
            /// # }
            /// ```
            pub fn for_each<Each, EachFut>(self, f: Each) -> $crate::progress::ForEach<Self, EachFut, Each>
            where
                Self: Sized,
                Each: FnMut(<Self as futures_util::stream::Stream>::Item) -> EachFut,
                EachFut: $crate::map::IsFuture<Output = ()>,
            {
                $crate::progress::ForEach::new(self, f)
            }

            /// Runs a future to its end while the stream goes on, within its backlog. No item is taken.
            ///
            /// A stream that is not `Unpin` has to be pinned first (`pin!`).
            ///
            /// # Cancel safety
            ///
            /// Dropping it drops the future; the stream is as good as before.
            ///
            /// # Panics
            ///
            /// If the future does, or one of the pool's.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::prelude::*;
            /// use tokio::time::{Duration, sleep};
            ///
            /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
            /// let ms = Duration::from_millis;
            /// let mut stream = [10, 20].into_iter().pool_map(1, async |t| sleep(ms(t)).await);
            /// stream.drive(sleep(ms(100))).await;
            /// assert_eq!(stream.finished(), 2); // both have finished meanwhile
            /// # }
            /// ```
            pub fn drive<DriveFut: Future>(&mut self, future: DriveFut) -> $crate::progress::Drive<'_, Self, DriveFut>
            where
                Self: Unpin,
            {
                $crate::progress::ProgressExt::drive(self, future)
            }

            /// Maps the items through another async function, with at most `size` of its futures active at once: a
            /// stage that keeps the stages before it going, also while it is full itself.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost when a call of `next` on the stream is dropped half-way. Dropping the stream drops all stages, and
            /// the futures in them.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::prelude::*;
            ///
            /// # futures::executor::block_on(async {
            /// let numbers = ["1", "2"].into_iter().pool_map(8, async |text| text.parse::<u32>().unwrap());
            /// assert_eq!(numbers.pool_map(2, async |number| number * 10).await, [10, 20]);
            /// # });
            /// ```
            #[cfg(feature = "alloc")]
            pub fn pool_map<Map, MapFut, MapT>(
                self,
                size: usize,
                f: Map,
            ) -> $crate::map::PoolMap<$crate::map::Mapped<Self, Map>, MapFut, $crate::map::Ordered<MapT>>
            where
                Self: Sized,
                Map: FnMut(<Self as futures_util::stream::Stream>::Item) -> MapFut,
                MapFut: $crate::map::IsFuture<Output = MapT>,
            {
                $crate::map::PoolMap::new(self, size, f)
            }

            /// Maps the items as [`pool_map`](Self::pool_map) does, in a pool of `SIZE` slots that is inside the
            /// value: it needs no allocator, and has to be pinned before it is polled.
            ///
            /// See [`inline`](crate::inline) for what is different.
            ///
            /// # Cancel safety
            ///
            /// As with [`pool_map`](Self::pool_map).
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::{inline::Slots, prelude::*};
            ///
            /// # futures::executor::block_on(async {
            /// let numbers = ["1", "2"].into_iter().pool_map(8, async |text| text.parse::<u32>().unwrap());
            /// let mut sum = 0;
            /// let tens = numbers.pool_map_inline(Slots::<2>, async |number| number * 10);
            /// tens.for_each(|ten| { sum += ten; std::future::ready(()) }).await;
            /// assert_eq!(sum, 30);
            /// # });
            /// ```
            pub fn pool_map_inline<Map, MapFut, MapT, const SIZE: usize>(
                self,
                slots: $crate::inline::Slots<SIZE>,
                f: Map,
            ) -> $crate::map::PoolMap<
                $crate::map::Mapped<Self, Map>,
                MapFut,
                $crate::map::InlineOrdered<MapT, SIZE>,
                $crate::inline::InlineSet<MapFut, SIZE>,
            >
            where
                Self: Sized,
                Map: FnMut(<Self as futures_util::stream::Stream>::Item) -> MapFut,
                MapFut: $crate::map::IsFuture<Output = MapT>,
                $crate::inline::Slots<SIZE>: $crate::inline::SlotCount,
            {
                let $crate::inline::Slots = slots;
                $crate::map::PoolMap::new_inline(self, f)
            }
        }
    };
}

pub(crate) use stages;

stages!([S: Progress<Item = T>, T] Driven<S, T> []);
