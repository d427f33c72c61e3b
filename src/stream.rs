//! [`PoolMap`]: the stream of a pool.
//!
//! It is a machine and two function pointers. The pointers are taken where the stream is made, where the types of its parts are
//! known to fit; so the impls of [`Stream`] and the like have no bounds at all. That makes them hold inside of a coroutine
//! whose regions are erased (`tokio::spawn`), where a bound between two parameters does not; and it makes the engine stand once
//! in the code of each chain, however many places poll it.

use core::fmt;
use core::pin::Pin;
#[cfg(feature = "alloc")]
use core::task::Waker;
use core::task::{Context, Poll};

use futures_util::stream::{FusedStream, Stream};
use pin_project::pin_project;

use crate::engine::POLL_BUDGET;
use crate::progress::{PoolCounts, Progress};

/// The stream that `pool_map` makes of an [iterator](crate::IterPoolExt::pool_map) or a
/// [stream](crate::StreamPoolExt::pool_map): maps each item to a future, and keeps no more and no less than `size` of
/// these futures active. (More are active only after the size was made smaller, until the surplus has finished.)
///
/// # What it does when
///
/// Nothing runs unless the stream is polled. When it is, it polls the futures that were woken, pulls an item and starts
/// its future for each slot that is free, and then returns a result. So a slot that has become free is filled before a
/// result is handed over. One poll of the stream polls at most 64 futures, those of stages directly upstream included; then
/// it returns what it has, or wakes its task and returns `Pending`. (Behind an adaptor with
/// [`driven`](crate::ProgressExt::driven), at most 64 more; without, a pool upstream has 64 for each item that is asked for.)
///
/// Dropping the stream drops the futures in it.
///
/// **While you do something else, nothing in the stream makes progress.** In `while let Some(x) = s.next().await { slow().await }`
/// the futures stall while `slow` runs. So they do in the consumers of `StreamExt` and `TryStreamExt` when these are called on the
/// stream: `fold`, `try_fold`, `then`, `and_then`, `forward`, `try_for_each_concurrent`, and `for_each` and `try_for_each` behind an
/// adaptor. With [`for_each`](Self::for_each) and [`try_for_each`](Self::try_for_each) of its own, by
/// [`consume`](Self::consume) with any of these, with [`drive`](crate::ProgressExt::drive), and upstream of another stage
/// ([`pool_map`](Self::pool_map)), they make progress; behind an adaptor of `StreamExt`, put [`driven`](crate::ProgressExt::driven)
/// first.
///
/// | stalls | does not |
/// |---|---|
/// | a loop over `next` | `s.consume(async \|mut items\| while let Some(x) = items.next().await { … })` |
/// | `s.fold(init, f)`, `s.try_fold(init, f)` | `s.consume(\|items\| items.fold(init, f))` |
/// | `s.forward(sink)` | `s.consume(\|items\| items.map(Ok).forward(sink))` |
/// | `s.try_for_each_concurrent(n, f)` | `s.consume(\|items\| items.try_for_each_concurrent(n, f))` |
/// | `s.then(f)`, `s.and_then(f)` | `s.consume(\|items\| items.then(f).collect())` |
///
/// # Order
///
/// Results come in the order of the source; after [`unordered`](Self::unordered), as they finish.
///
/// # The bound on results
///
/// A future is started only while at most `size` results are due, the one about to be handed over included. An ordered
/// stream also holds results that wait for an earlier one to finish: it starts a future only while it holds at most 16 × `size`
/// in all. So a slow future idles the other slots only once it has taken as long as sixteen of theirs, and results do not pile
/// up without a bound behind a future that does not end. [`max_finished`](Self::max_finished) sets another bound, and counts
/// every result. `.await` has no bound unless one was set, since it has to hold all results anyway.
///
/// Where the results are [inside the value](crate::inline), there is room for so many only: every result counts, and the size
/// and the bound are at most `N`.
///
/// # Cancel safety
///
/// Nothing is lost when a call of `next` on the stream is dropped before it completes: the futures stay in it.
///
/// # Panics
///
/// If a future, the closure, or the source panics, the panic passes through. The item it was about is lost; the stream
/// remains usable, and continues with the rest. [`catch_unwind`](Self::catch_unwind) makes items of the panics of
/// futures.
///
/// # Type parameters
///
/// `M` is the machine: what the stream is made of. `T` is the type of its items. Both are invariant. A function that returns
/// such a stream says `impl Stream<Item = T>`, or `impl Progress<Item = T>` if a stage or `driven` shall follow.
///
/// The traits of the stream ask for nothing: what they need to know of the types was checked where the stream was made. That
/// is why it can be used in a `tokio::spawn` wherever it stands, where other streams of closures are refused with
/// "implementation of `FnOnce` is not general enough".
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::prelude::*;
///
/// # futures::executor::block_on(async {
/// let mut squares = (1..).pool_map(4, async |x: u32| x * x).unordered().max_finished(16);
/// assert_eq!(squares.next().await, Some(1));
/// # });
/// ```
#[must_use = "streams do nothing unless polled: `.await` it, or use it as a `Stream`"]
#[pin_project]
pub struct PoolMap<M, T> {
    #[pin]
    pub(crate) machine: M,
    run: Run<M, T>,
    look: fn(&M, Want) -> Look,
}

/// Polls a machine for what is wanted of it, within what is left of a poll budget. `Ready(None)`, if an item is wanted, says that
/// there are no more; otherwise that what is wanted is done.
pub(crate) type Run<M, T> = fn(Pin<&mut M>, &mut Context<'_>, &mut usize, Wanted) -> Poll<Option<T>>;

/// What a machine is polled for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The next item.
    Item,
    /// That there is an item, or something to gather, which is not taken.
    #[cfg(feature = "alloc")]
    Due,
    /// Progress, while no item is taken: see [`Progress::poll_progress`].
    Progress,
    /// The next item, where all of them are collected: then that is an error, or there is none before all have ended.
    #[cfg(feature = "alloc")]
    Collected,
    /// An item that is due, without anything being polled. `None` also where only one can be taken at a time.
    #[cfg(feature = "alloc")]
    Another,
    /// Nothing. The budget says how many items were taken that count from now on as if they had not been.
    #[cfg(feature = "alloc")]
    Taken,
}

/// What is asked of a machine without polling it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "alloc"), allow(unreachable_pub, reason = "only batches are public that name it"))]
pub enum Want {
    /// Everything but the bounds on the number of items, for which the user's source is asked.
    State,
    /// Everything.
    SizeHint,
}

/// What can be told of a machine without polling it.
#[cfg_attr(not(feature = "alloc"), allow(unreachable_pub, reason = "only batches are public that name it"))]
pub struct Look {
    /// Bounds on the number of items to come.
    pub(crate) size_hint: (usize, Option<usize>),
    /// Whether there will be no more.
    pub(crate) is_terminated: bool,
    /// How many polls it has used so far; wraps around.
    pub(crate) polls_used: usize,
    /// How many items were pulled and have not started.
    pub(crate) waiting: usize,
    /// How often it has polled all that is upstream, if it does so on each poll; wraps around.
    pub(crate) visits: usize,
    pub(crate) counts: PoolCounts,
}

impl<M, T> PoolMap<M, T> {
    #[inline(always)]
    pub(crate) fn from_parts(machine: M, run: Run<M, T>, look: fn(&M, Want) -> Look) -> Self {
        Self { machine, run, look }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn machine_mut(self: Pin<&mut Self>) -> Pin<&mut M> {
        self.project().machine
    }

    #[inline]
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
        wanted: Wanted,
    ) -> Poll<Option<T>> {
        let this = self.project();
        (this.run)(this.machine, cx, budget, wanted)
    }

    pub(crate) fn look(&self, want: Want) -> Look {
        (self.look)(&self.machine, want)
    }
}

impl<M, T> Stream for PoolMap<M, T> {
    type Item = T;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(cx, &mut POLL_BUDGET.clone(), Wanted::Item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.look(Want::SizeHint).size_hint
    }
}

impl<M, T> FusedStream for PoolMap<M, T> {
    fn is_terminated(&self) -> bool {
        self.look(Want::State).is_terminated
    }
}

impl<M, T> Progress for PoolMap<M, T> {
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_progress_with_budget(cx, &mut POLL_BUDGET.clone())
    }

    #[inline]
    fn poll_next_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<Option<T>> {
        self.poll(cx, budget, Wanted::Item)
    }

    fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Progress).map(|_| ())
    }

    #[cfg(feature = "alloc")]
    fn take_another(self: Pin<&mut Self>) -> Option<T> {
        match self.poll(&mut Context::from_waker(Waker::noop()), &mut 0, Wanted::Another) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    #[cfg(feature = "alloc")]
    fn poll_progress_beside(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        budget: &mut usize,
        taken: usize,
    ) -> Poll<()> {
        let _ = self.as_mut().poll(cx, &mut { taken }, Wanted::Taken);
        let mut stream = CountsAgain(self);
        stream.0.as_mut().poll(cx, budget, Wanted::Progress).map(|_| ())
    }

    #[cfg(feature = "alloc")]
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Due).map(|_| ())
    }

    fn polls_used(&self) -> usize {
        self.look(Want::State).polls_used
    }

    fn visits(&self) -> usize {
        self.look(Want::State).visits
    }

    fn counts(&self) -> PoolCounts {
        let look = self.look(Want::State);
        PoolCounts { polls_used: look.polls_used, ..look.counts }
    }
}

impl<M: fmt::Debug, T> fmt::Debug for PoolMap<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.fmt(f)
    }
}

/// When it is dropped, also by a panic, no items count any more that were taken.
#[cfg(feature = "alloc")]
struct CountsAgain<'a, M, T>(Pin<&'a mut PoolMap<M, T>>);

#[cfg(feature = "alloc")]
impl<M, T> Drop for CountsAgain<'_, M, T> {
    fn drop(&mut self) {
        let _ = self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()), &mut 0, Wanted::Taken);
    }
}
