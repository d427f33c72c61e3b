//! The chain form: [`PoolMap`] and its views.

#[cfg(feature = "alloc")]
mod collect;
mod indexed;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "alloc")]
use core::iter;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

#[cfg(feature = "alloc")]
pub use self::collect::{Collect, TryCollect};
pub use self::indexed::Indexed;
#[cfg(feature = "alloc")]
use crate::active::SlotSet;
use crate::active::{InlineSet, PinnedSet, SlotCount, Slots};
#[cfg(feature = "alloc")]
use crate::batches::{Batches, Counts, Gather};
use crate::engine::{Call, Engine, POLLS};
pub use crate::finished::{FailFast, Finished, InlineOrdered, InlineUnordered, IntoUnordered, Order};
#[cfg(feature = "alloc")]
pub use crate::finished::{Gathering, Ordered, Unordered};
#[cfg(feature = "std")]
use crate::panic::Panic;
#[cfg(feature = "std")]
pub use crate::panic::{CatchUnwind, Catching};
use crate::progress::{Progress, stages};
pub use crate::source::{IsFuture, Mapped, Plain, Source};

/// There is no default set without an allocator: all chains are on an [`InlineSet`], and say so.
#[cfg(not(feature = "alloc"))]
type SlotSet<Fut> = PhantomData<Fut>;

/// The stream that `pool_map` makes of an [iterator](crate::IterPoolExt::pool_map) or a
/// [stream](crate::StreamPoolExt::pool_map): maps each item to a future, and keeps no more and no less than `size` of
/// these futures active.
///
/// # What it does when
///
/// Nothing runs unless the stream is polled. When it is, it polls the futures that were woken, pulls an item and starts
/// its future for each slot that is free, and then returns a result. So a slot that has become free is filled before a
/// result is handed over. One poll of the stream polls at most 64 futures, those of stages directly below included; then
/// it returns what it has, or wakes its task and returns `Pending`. (Behind an adaptor with
/// [`driven`](crate::ProgressExt::driven), at most 64 more; without, a pool below has 64 for each item that is asked for.)
///
/// Dropping the stream drops the futures in it.
///
/// **While you do something else, nothing in the stream goes on.** In `while let Some(x) = s.next().await { slow().await }`
/// the futures stand still while `slow` runs. With [`for_each`](Self::for_each), with
/// [`drive`](crate::ProgressExt::drive), and below another stage ([`pool_map`](Self::pool_map)), they go on; behind an
/// adaptor of `StreamExt`, put [`driven`](crate::ProgressExt::driven) first.
///
/// # Order
///
/// Results come in the order of the source; after [`unordered`](Self::unordered), as they finish.
///
/// # Backlog
///
/// A future is started only while the stream holds at most `size` results, the one about to be handed over included.
/// In an ordered stream, results that wait only for an earlier one to finish do not count: one slow future never idles
/// the other slots.
///
/// **So results pile up, without a bound, behind a future that does not end.** [`backlog`](Self::backlog) sets another
/// bound, and counts every result.
///
/// Where the results are [inside the value](crate::inline), there is room for so many only: every result counts, and size
/// and backlog are at most `N`.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the stream is dropped half-way: the futures stay in it.
///
/// # Panics
///
/// If a future, the closure, or the source panics, the panic passes through. The item it was about is lost; the stream
/// can be polled on, and goes on with the rest. [`catch_unwind`](Self::catch_unwind) makes items of the panics of
/// futures.
///
/// # Type parameters
///
/// `Src` is where the futures come from ([`Mapped`]: a stream and a closure), `Fut` is their type, `R` is the order of
/// results and their type ([`Ordered<T>`], [`Unordered<T>`], [`FailFast`]), and `S` is the active set. A function that
/// returns such a stream says `impl Stream<Item = T>`.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::prelude::*;
///
/// # futures::executor::block_on(async {
/// let mut squares = (1..).pool_map(4, async |x: u32| x * x).unordered().backlog(16);
/// assert_eq!(squares.next().await, Some(1));
/// # });
/// ```
#[must_use = "streams do nothing unless polled: `.await` it, or use it as a `Stream`"]
#[pin_project]
pub struct PoolMap<Src, Fut, R, S = SlotSet<Fut>> {
    #[pin]
    source: Src,
    #[pin]
    engine: Engine<S, R>,
    futures: PhantomData<fn() -> Fut>,
}

#[cfg(feature = "alloc")]
impl<St, F, Fut: Future> PoolMap<Mapped<St, F>, Fut, Ordered<Fut::Output>> {
    pub(crate) fn new(stream: St, size: usize, f: F) -> Self {
        Self::from_parts(Mapped::new(stream, f), Engine::new(size, SlotSet::new(), Ordered::default()))
    }
}

impl<St, F, Fut, const N: usize> PoolMap<Mapped<St, F>, Fut, InlineOrdered<Fut::Output, N>, InlineSet<Fut, N>>
where
    Fut: Future,
    Slots<N>: SlotCount,
{
    pub(crate) fn new_inline(stream: St, f: F) -> Self {
        Self::from_parts(Mapped::new(stream, f), Engine::new(N, InlineSet::new(), InlineOrdered::default()))
    }
}

impl<Src, Fut, R, S> PoolMap<Src, Fut, R, S> {
    #[inline(always)]
    fn from_parts(source: Src, engine: Engine<S, R>) -> Self {
        Self { source, engine, futures: PhantomData }
    }
}

/// The options. They come before the views, and before the stream is polled, but for `unordered` and `backlog`, which
/// make sense at any time.
impl<Src, Fut, R, S> PoolMap<Src, Fut, R, S>
where
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    #[track_caller]
    fn assert_fresh(&self, option: &str) {
        assert!(self.engine.is_fresh(), "`{option}` has to be called before the stream is polled");
    }

    /// Gives results as they finish, not in the order of the source.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use tokio::time::{Duration, sleep};
    ///
    /// let slow_first = [30, 10, 20].iter().pool_map(3, async |&ms| {
    ///     sleep(Duration::from_millis(ms)).await;
    ///     ms
    /// });
    /// assert_eq!(slow_first.unordered().await, [10, 20, 30]);
    /// # }
    /// ```
    #[doc(alias = "buffer_unordered")]
    #[inline]
    pub fn unordered(self) -> PoolMap<Src, Fut, R::Unordered, S>
    where
        R: IntoUnordered,
    {
        let engine = self.engine.map_finished(IntoUnordered::into_unordered);
        PoolMap::from_parts(self.source, engine)
    }

    /// Starts a new future only while the stream holds at most `results` results, the one about to be handed over
    /// included.
    ///
    /// Counts every result, in an ordered stream also those that wait for an earlier one: so a bound here lets one slow
    /// future idle the other slots, where the default would let results pile up behind it. With 0, a slot is refilled
    /// only once the last result is taken. With `usize::MAX` there is no bound.
    ///
    /// At most `results + size` results are ever held.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    /// use std::cell::Cell;
    ///
    /// # futures::executor::block_on(async {
    /// let started = Cell::new(0);
    /// let mut one_by_one = (0..100).pool_map(1, async |x| { started.set(started.get() + 1); x }).backlog(0);
    /// one_by_one.next().await;
    /// assert_eq!(started.get(), 1);
    /// # });
    /// ```
    pub fn backlog(mut self, results: usize) -> Self {
        self.engine.set_backlog::<Fut>(results);
        self
    }

    /// Makes items of the panics of futures: a stream of `Result<T, Panic>`.
    ///
    /// Only panics of the futures, while they are polled or dropped after their end, are caught. A panic of the closure
    /// or of the source passes through.
    ///
    /// It comes before [`fail_fast`](Self::fail_fast) and the views: behind them, the name is that of `StreamExt`'s method,
    /// which is for a panic of the whole stream, and mostly does not compile.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// let results = [1, 0].iter().pool_map(2, async |x| 10 / x).catch_unwind().await;
    /// assert_eq!(*results[0].as_ref().unwrap(), 10);
    /// assert_eq!(results[1].as_ref().unwrap_err().message(), Some("attempt to divide by zero"));
    /// # });
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn catch_unwind<T>(self) -> PoolMap<Catching<Src, Fut>, CatchUnwind<Fut>, R::Of<Result<T, Panic>>>
    where
        R: Order<Output = T>,
    {
        self.assert_fresh("catch_unwind");
        let engine = self.engine.with_active(SlotSet::new()).map_finished(|_| Default::default());
        PoolMap::from_parts(Catching::new(self.source), engine)
    }

    /// Ends with the first error: the first one to *happen* is the next item, ahead of any order, and the last.
    ///
    /// When it happens, all other futures, the source, and the results not yet taken are dropped. `.await` gives a
    /// `Result<Vec<U>, E>`.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let parsed = ["1", "2", "x"].iter().pool_map(2, async |s| s.parse::<i32>()).fail_fast().await;
    /// assert!(parsed.is_err());
    /// let parsed = ["1", "2", "3"].iter().pool_map(2, async |s| s.parse::<i32>()).fail_fast().await;
    /// assert_eq!(parsed, Ok(vec![1, 2, 3]));
    /// # });
    /// ```
    #[doc(alias = "try_buffered")]
    #[doc(alias = "try_buffer_unordered")]
    #[track_caller]
    pub fn fail_fast<U, E>(self) -> PoolMap<Src, Fut, FailFast<R, Result<U, E>>, S>
    where
        R: Order<Output = Result<U, E>>,
    {
        self.assert_fresh("fail_fast");
        let engine = self.engine.map_finished(FailFast::new);
        PoolMap::from_parts(self.source, engine)
    }

    /// Uses another active set than [`SlotSet`].
    ///
    /// For comparison, or for a set of one's own. It is made for futures of one type, so it comes after
    /// [`catch_unwind`](Self::catch_unwind), which goes back to `SlotSet`.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{UnorderedSet, prelude::*};
    ///
    /// # futures::executor::block_on(async {
    /// let doubled = [1, 2, 3].iter().pool_map(2, async |x| x * 2).with_set(UnorderedSet::default());
    /// assert_eq!(doubled.await, [2, 4, 6]);
    /// # });
    /// ```
    #[track_caller]
    pub fn with_set<S2: PinnedSet<Fut>>(self, set: S2) -> PoolMap<Src, Fut, R, S2> {
        self.assert_fresh("with_set");
        PoolMap::from_parts(self.source, self.engine.with_active(set))
    }
}

/// The views.
impl<Src, Fut, R, S> PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    /// Gives pairs `(usize, T)`: the item's position in the source, beside its result.
    ///
    /// After [`fail_fast`](Self::fail_fast) it is a stream, which cannot be awaited.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pairs = ["a", "b"].into_iter().pool_map(2, async |x| x).unordered().indexed().await;
    /// pairs.sort();
    /// assert_eq!(pairs, [(0, "a"), (1, "b")]);
    /// # });
    /// ```
    #[doc(alias = "enumerate")]
    pub fn indexed(self) -> Indexed<Self> {
        Indexed::new(self)
    }

    /// Gives results in batches: a stream of non-empty `Vec<T>`.
    ///
    /// The batch under way is yielded when a result for which `when` returns `true` joins it, together with all that is
    /// finished by then, and at the end. See [`yield_when`](crate::yield_when) for the usual rules, and
    /// [`Batches::timeout`] for a limit in time. The batch under way does not count against the backlog; hence batches are
    /// not for results that are held [inside the value](crate::inline).
    ///
    /// # Panics
    ///
    /// The stream panics if `when` does; the results stay in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let mut batches = (1..=5).pool_map(1, async |x| x).backlog(0).batches(|x| x % 2 == 0);
    /// assert_eq!(batches.next().await, Some(vec![1, 2]));
    /// assert_eq!(batches.next().await, Some(vec![3, 4]));
    /// assert_eq!(batches.next().await, Some(vec![5]));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[doc(alias = "chunks")]
    #[doc(alias = "ready_chunks")]
    #[cfg(feature = "alloc")]
    pub fn batches<W: FnMut(&R::Output) -> bool>(self, when: W) -> Batches<Self, W>
    where
        R: Gathering,
    {
        Batches::new(self, when)
    }

    /// Returns how many futures are active: started, and not finished.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let mut stream = (0..).pool_map(3, |_: u32| pending::<()>());
    /// assert_eq!(stream.active(), 0); // nothing starts unless the stream is polled
    /// assert!(stream.next().now_or_never().is_none());
    /// assert_eq!(stream.active(), 3);
    /// ```
    pub fn active(&self) -> usize {
        self.engine.active.len()
    }

    /// Returns how many results are in the stream, not yet taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let slow_head = async |x: u32| if x == 0 { pending::<()>().await };
    /// let mut stream = (0..5).pool_map(2, slow_head);
    /// assert!(stream.next().now_or_never().is_none());
    /// assert_eq!((stream.active(), stream.finished()), (1, 4)); // these wait for their turn
    /// ```
    pub fn finished(&self) -> usize {
        self.engine.finished.len()
    }

    /// Returns how many futures may be active at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::future::ready;
    ///
    /// assert_eq!((0..9).pool_map(2, ready).size(), 2);
    /// assert_eq!((0..9).pool_map(0, ready).size(), 1);
    /// assert_eq!((0..9).pool_map_inline(Slots::<4>, ready).size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        self.engine.size()
    }

    /// Changes how many futures may be active at once. A size of 0 is taken as 1.
    ///
    /// Growing wakes the task that last polled the stream and was not given an item; shrinking lets the surplus finish.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// let mut stream = (0..10).pool_map(4, async |x| x);
    /// stream.set_size(8);
    /// assert_eq!(stream.size(), 8);
    /// ```
    pub fn set_size(&mut self, size: usize) {
        self.engine.set_size::<Fut>(size);
    }

    /// `poll_next`, within what is left of the caller's polls, with the number of the item.
    pub(crate) fn poll_numbered(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
    ) -> Poll<Option<(u64, R::Output)>> {
        let this = self.project();
        let mut next = None;
        let has_next = |engine: Pin<&mut Engine<S, R>>, _: &_, _| {
            next = engine.finished_mut().pop();
            next.is_some()
        };
        ready!(this.engine.poll_until(cx, this.source, polls, Call::Next, has_next));
        Poll::Ready(next)
    }
}

impl<Src, Fut, R, S> Stream for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    type Item = R::Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R::Output>> {
        self.poll_next_within(cx, &mut POLLS.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let inside = self.active() + self.finished();
        let (lower, upper) = self.source.size_hint();
        let hint = (lower.saturating_add(inside), upper.and_then(|upper| upper.checked_add(inside)));
        self.engine.finished.size_hint(hint)
    }
}

impl<Src, Fut, R, S> FusedStream for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn is_terminated(&self) -> bool {
        self.source.is_done() && self.active() + self.finished() == 0
    }
}

impl<Src, Fut, R, S> Progress for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_within(cx, &mut POLLS.clone())
    }

    fn poll_next_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<Option<R::Output>> {
        let next = ready!(self.poll_numbered(cx, polls));
        Poll::Ready(next.map(|(_, output)| output))
    }

    fn poll_progress_within(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: &mut usize) -> Poll<()> {
        let this = self.project();
        this.engine.poll_progress(cx, this.source, polls)
    }

    fn polled(&self) -> usize {
        self.engine.polled::<Fut>().wrapping_add(self.source.polled())
    }
}

stages!([Src, Fut, R, S] PoolMap<Src, Fut, R, S> [
    Src: Source<Fut>, Fut: Future<Output = R::Output>, R: Finished, S: PinnedSet<Fut>
]);

#[cfg(feature = "alloc")]
impl<Src, Fut, R, S> Gather for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Gathering,
    S: PinnedSet<Fut>,
{
    fn poll_gather(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        when: &mut impl FnMut(&R::Output) -> bool,
    ) -> Poll<bool> {
        let this = self.project();
        this.engine.poll_until(cx, this.source, polls, Call::Next, |engine, _, _| engine.finished_mut().gather(when))
    }

    fn gathered(&self) -> usize {
        self.engine.finished.gathered()
    }

    fn take_all(self: Pin<&mut Self>) -> Vec<R::Output> {
        let finished = self.project().engine.finished_mut();
        finished.ungather();
        iter::from_fn(|| finished.pop()).map(|(_, output)| output).collect()
    }
}

#[cfg(feature = "alloc")]
impl<Src, Fut, R, S> Counts for PoolMap<Src, Fut, R, S>
where
    Src: Source<Fut>,
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn counts(&self) -> [usize; 3] {
        [self.active(), self.finished(), self.size()]
    }
}

impl<Src, Fut, R, S> fmt::Debug for PoolMap<Src, Fut, R, S>
where
    Fut: Future<Output = R::Output>,
    R: Finished,
    S: PinnedSet<Fut>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.debug::<Fut>("PoolMap", None, f)
    }
}
