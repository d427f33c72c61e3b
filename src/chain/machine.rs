//! What a chain is made of: [`Chain`].

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use super::{Inline, InlineNumbered};
#[cfg(feature = "alloc")]
use super::{OnSlots, OnSlotsNumbered};
#[cfg(feature = "alloc")]
use crate::active::SlotSet;
use crate::active::sealed::Kind;
use crate::active::{InlineSlots, Set, SlotCount, Slots};
#[cfg(feature = "alloc")]
use crate::batches::Gather;
use crate::engine::{Engine, Goal, Unconditional};
use crate::finished::{ChainResults, Finished, InlineResults};
#[cfg(feature = "alloc")]
use crate::finished::{Gathering, Results};
#[cfg(feature = "std")]
use crate::panic::{CatchUnwind, Catching, Panic};
use crate::progress::{PoolCounts, debug_counts};
use crate::size::Follow;
#[cfg(feature = "std")]
use crate::size::SharedSize;
#[cfg(feature = "alloc")]
use crate::source::Numbers;
use crate::source::{Admission, InOrder, InlineActive, Items, Mapped, Numbered, Source, Unweighted};
use crate::stream::{Look, PoolMap, Want, Wanted};

/// The machine of a chain: a source, an active set, and its results.
#[pin_project]
pub struct Chain<Src, S, R> {
    #[pin]
    source: Src,
    #[pin]
    engine: Engine<S, R>,
    follow: Follow,
}

/// The output of the futures of a set.
type OutputOf<S> = <<S as Set>::Future as Future>::Output;

#[cfg(feature = "alloc")]
impl<It, F, Fut> PoolMap<OnSlots<It, F, Fut, Fut::Output>, Fut::Output>
where
    It: Items,
    F: FnMut(It::Item) -> Fut,
    Fut: Future,
{
    #[inline(always)]
    pub(crate) fn new(items: It, size: usize, f: F) -> Self {
        let engine = Engine::new(size, SlotSet.make(), Results::new());
        Chain { source: Mapped::new(items, f), engine, follow: Follow::default() }.into_stream()
    }
}

#[cfg(feature = "alloc")]
impl<It, F, Fut> PoolMap<OnSlotsNumbered<It, It::Item, F, Fut, Fut::Output>, Fut::Output>
where
    It: Items,
    F: FnMut(usize, It::Item) -> Fut,
    Fut: Future,
{
    pub(crate) fn new_numbered(items: It, size: usize, f: F) -> Self {
        let make = Numbered::new(f, Numbers::new());
        let source = Admission::new(Some(items), Unweighted, InOrder::new(), make, alloc::vec::Vec::new());
        Chain { source, engine: Engine::new(size, SlotSet.make(), Results::new()), follow: Follow::default() }
            .into_stream()
    }
}

impl<It, F, Fut, const N: usize> PoolMap<InlineNumbered<It, It::Item, F, Fut, Fut::Output, N>, Fut::Output>
where
    It: Items,
    F: FnMut(usize, It::Item) -> Fut,
    Fut: Future,
    Slots<N>: SlotCount,
{
    pub(crate) fn new_inline_numbered(items: It, f: F) -> Self {
        let make = Numbered::new(f, 0);
        let source = Admission::new(Some(items), Unweighted, InOrder::new(), make, InlineActive::new());
        let engine = Engine::new(N, InlineSlots::new(), InlineResults::new(false));
        Chain { source, engine, follow: Follow::default() }.into_stream()
    }
}

impl<It, F, Fut, const N: usize> PoolMap<Inline<It, F, Fut, Fut::Output, N>, Fut::Output>
where
    It: Items,
    F: FnMut(It::Item) -> Fut,
    Fut: Future,
    Slots<N>: SlotCount,
{
    #[inline(always)]
    pub(crate) fn new_inline(items: It, f: F) -> Self {
        let engine = Engine::new(N, InlineSlots::new(), InlineResults::new(false));
        Chain { source: Mapped::new(items, f), engine, follow: Follow::default() }.into_stream()
    }
}

impl<Src, S, R> Chain<Src, S, R>
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>>,
{
    /// Puts one together that was [taken apart](Self::into_parts).
    #[cfg(feature = "alloc")]
    pub(super) fn from_parts((source, engine, follow): (Src, Engine<S, R>, Follow)) -> PoolMap<Self, R::Output> {
        Self { source, engine, follow }.into_stream()
    }

    #[inline(always)]
    fn into_stream(self) -> PoolMap<Self, R::Output> {
        PoolMap::from_parts(self, run, look)
    }
}

/// Runs a chain whose items are the results.
fn run<Src, S, R>(
    chain: Pin<&mut Chain<Src, S, R>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<R::Output>>
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>>,
{
    run_with(chain, cx, budget, wanted, R::pop)
}

/// Runs a chain whose items are pairs of a position and a result.
fn run_indexed<Src, S, R>(
    chain: Pin<&mut Chain<Src, S, R>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<(usize, R::Output)>>
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>>,
{
    // Positions beyond `usize::MAX` wrap around, as they do in `enumerate`.
    #[allow(clippy::cast_possible_truncation)]
    let pop = |results: &mut R| results.pop_numbered().map(|(number, output)| (number as usize, output));
    run_with(chain, cx, budget, wanted, pop)
}

#[inline]
fn run_with<Src, S, R, T>(
    chain: Pin<&mut Chain<Src, S, R>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
    pop: impl FnOnce(&mut R) -> Option<T>,
) -> Poll<Option<T>>
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>>,
{
    let mut chain = chain.project();
    let mut goal = Goal::Next;
    if wanted == Wanted::Progress {
        goal = Goal::Progress;
    }
    #[cfg(feature = "alloc")]
    if wanted == Wanted::Collected && chain.engine.finished.is_collecting() {
        // No result is due before the end, so there is nothing to stop for.
        goal = Goal::Progress;
    }
    #[cfg(feature = "alloc")]
    if let Wanted::Another | Wanted::Taken = wanted {
        let results = chain.engine.finished_mut();
        if wanted == Wanted::Taken {
            results.count_taken(*budget);
        }
        return Poll::Ready(if R::COUNTS_TAKEN && wanted == Wanted::Another && results.due() > 0 {
            pop(results)
        } else {
            None
        });
    }
    let poll = loop {
        if let Some(size) = chain.follow.changed() {
            chain.engine.as_mut().law_mut().set_size(size);
        }
        let poll = chain.engine.as_mut().run(cx, chain.source.as_mut(), budget, goal, &mut Unconditional);
        let waits = poll.is_pending() || goal == Goal::Progress;
        if !(waits && chain.follow.wait(cx)) {
            break poll;
        }
    };
    match poll {
        Poll::Pending => Poll::Pending,
        Poll::Ready(true) if wanted == Wanted::Item => Poll::Ready(pop(chain.engine.finished_mut())),
        // None of its futures is active, and none will be before a result is taken. But something upstream may be, also after
        // the end of the source.
        Poll::Ready(_) if wanted == Wanted::Progress => chain.source.poll_progress(cx, budget).map(|()| None),
        #[cfg(feature = "alloc")]
        Poll::Ready(_) if wanted == Wanted::Collected => Poll::Ready(pop(chain.engine.finished_mut())),
        Poll::Ready(_) => Poll::Ready(None),
    }
}

fn look<Src, S, R>(chain: &Chain<Src, S, R>, want: Want) -> Look
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>>,
{
    let inside = chain.engine.law.active() + chain.engine.finished.len();
    let (lower, upper) = if want == Want::SizeHint { chain.source.size_hint() } else { (0, None) };
    // The first error may be the last item.
    let lower = lower.saturating_add(inside).min(if chain.engine.finished.may_close() { 1 } else { usize::MAX });
    Look {
        size_hint: (lower, upper.and_then(|upper| upper.checked_add(inside))),
        is_terminated: inside == 0 && chain.source.is_done(),
        polls_used: chain.engine.law.polls_used().wrapping_add(chain.source.polls_used()),
        waiting: chain.source.waiting(),
        visits: 0,
        counts: chain.counts(),
    }
}

/// Machines of chains, which take options and views.
pub trait ChainMachine<T>: Sized {
    /// What the futures return.
    type Output;

    /// The same machine, for pairs of a position and a result.
    type Indexed;

    /// Gives up the order.
    fn make_unordered(&mut self);

    /// Sets the bound on results.
    fn set_max_finished(&mut self, results: usize);

    /// Sets the size, also the one that is followed.
    fn set_size(&mut self, size: usize);

    /// Follows a size from now on.
    #[cfg(feature = "std")]
    fn resized_by(&mut self, size: &SharedSize);

    /// The same machine on another active set.
    type On<K: Kind>;

    /// Returns whether it has not started any future.
    fn is_fresh(&self) -> bool;

    /// Changes the active set.
    fn with_set<K: Kind>(stream: PoolMap<Self, T>, set: K) -> PoolMap<Self::On<K>, T>;

    /// Has each result paired with its position.
    fn indexed(stream: PoolMap<Self, T>) -> PoolMap<Self::Indexed, (usize, T)>;
}

impl<Src, S, R, T> ChainMachine<T> for Chain<Src, S, R>
where
    Src: Source<S::Future>,
    S: Set<Future: Future<Output = T>>,
    R: ChainResults<Output = T>,
{
    type Output = T;
    type Indexed = Self;

    #[inline]
    fn make_unordered(&mut self) {
        self.engine.finished.make_unordered();
    }

    fn set_max_finished(&mut self, results: usize) {
        self.engine.set_max_finished(results);
    }

    fn set_size(&mut self, size: usize) {
        self.engine.set_size(size);
        self.follow.set(size);
    }

    #[cfg(feature = "std")]
    fn resized_by(&mut self, size: &SharedSize) {
        self.follow.begin(size);
    }

    type On<K: Kind> = Chain<Src, K::Of<S::Future>, R>;

    fn is_fresh(&self) -> bool {
        self.engine.is_fresh()
    }

    fn with_set<K: Kind>(stream: PoolMap<Self, T>, set: K) -> PoolMap<Self::On<K>, T> {
        let Self { source, engine, follow } = stream.machine;
        Chain { source, engine: engine.with_parts(set.make(), |finished| finished), follow }.into_stream()
    }

    #[inline]
    fn indexed(stream: PoolMap<Self, T>) -> PoolMap<Self, (usize, T)> {
        PoolMap::from_parts(stream.machine, run_indexed, look)
    }
}

/// Machines of chains that do not fail fast.
#[diagnostic::on_unimplemented(
    message = "this is not a chain, or one that fails fast already",
    note = "`fail_fast` is called once, before or after `catch_unwind`, and the views come last"
)]
pub trait PlainChain<T>: ChainMachine<T> {
    /// Has the first output for which this returns `true` end the chain.
    fn close_at(&mut self, is_error: fn(&T) -> bool);
}

/// Machines of chains whose futures' panics can be made items.
#[cfg(feature = "std")]
#[diagnostic::on_unimplemented(
    message = "this is not a chain, or one that catches panics and fails fast already",
    note = "`catch_unwind` is called before or after `fail_fast`, and the views come last"
)]
pub trait CatchingChain<T>: ChainMachine<T> {
    /// The same machine for futures that catch panics.
    type Catching;

    /// Has panics caught.
    fn catch_unwind(self) -> PoolMap<Self::Catching, Result<T, Panic>>;
}

impl<Src, S, R, T> PlainChain<T> for Chain<Src, S, R>
where
    Src: Source<S::Future>,
    S: Set<Future: Future<Output = T>>,
    R: ChainResults<Output = T>,
{
    fn close_at(&mut self, is_error: fn(&T) -> bool) {
        self.engine.close_at(is_error);
    }
}

#[cfg(feature = "std")]
impl<Src, S, R, T> CatchingChain<T> for Chain<Src, S, R>
where
    Src: Source<S::Future>,
    S: Set<Future: Future<Output = T>>,
    R: ChainResults<Output = T>,
{
    type Catching =
        Chain<Catching<Src, S::Future>, <SlotSet as Kind>::Of<CatchUnwind<S::Future>>, R::Of<Result<T, Panic>>>;

    fn catch_unwind(self) -> PoolMap<Self::Catching, Result<T, Panic>> {
        let engine = self.engine.with_parts(SlotSet.make(), |finished| finished.renew());
        Chain { source: Catching::new(self.source), engine, follow: self.follow }.into_stream()
    }
}

#[cfg(feature = "alloc")]
impl<Src, S, R> Chain<Src, S, R> {
    /// Takes it apart, before it was polled, for another source.
    pub(super) fn into_parts(self) -> (Src, Engine<S, R>, Follow) {
        (self.source, self.engine, self.follow)
    }

    #[cfg(feature = "std")]
    pub(super) fn source_mut(&mut self) -> &mut Src {
        &mut self.source
    }

    /// Lifts the bound on results, unless one was set.
    pub(super) fn take_all_results(&mut self) {
        self.engine.law.take_all_results();
    }
}

#[cfg(feature = "alloc")]
impl<Src, S, T> Chain<Src, S, Results<T>> {
    /// Has all results collected, of which so many are expected, if the chain is new and no bound was set. Otherwise they come
    /// out of the stream. Lifts the bound on results, unless one was set.
    pub(super) fn collect(&mut self, expected: usize) {
        if self.engine.is_fresh() && !self.engine.law.has_bound() {
            self.engine.finished.collect_all(expected);
        }
        self.take_all_results();
    }

    /// Returns how many results were collected.
    pub(super) fn collected(&self) -> usize {
        self.engine.finished.collected()
    }

    /// Takes the results that were collected.
    pub(super) fn take_collected(self: Pin<&mut Self>) -> impl Iterator<Item = T> + use<Src, S, T> {
        self.project().engine.finished_mut().take_collected()
    }
}

#[cfg(feature = "alloc")]
impl<Src, S, R> Gather for PoolMap<Chain<Src, S, R>, R::Output>
where
    Src: Source<S::Future>,
    S: Set,
    R: ChainResults<Output = OutputOf<S>> + Gathering,
{
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Due).map(|_| ())
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Progress).map(|_| ())
    }

    fn gather(self: Pin<&mut Self>, when: &mut impl FnMut(&R::Output) -> bool) -> bool {
        self.machine_mut().project().engine.finished_mut().gather(when)
    }

    fn has_ungathered(&self) -> bool {
        self.machine().engine.finished.due() > 0
    }

    fn gathered(&self) -> usize {
        self.machine().engine.finished.gathered()
    }

    fn take_batch(self: Pin<&mut Self>, most: usize) -> alloc::vec::Vec<R::Output> {
        let finished = self.machine_mut().project().engine.finished_mut();
        finished.ungather();
        core::iter::from_fn(|| finished.pop()).take(most).collect()
    }

    fn look(&self, want: Want) -> Look {
        self.look(want)
    }
}

impl<Src, S, R: Finished> Chain<Src, S, R> {
    fn counts(&self) -> PoolCounts {
        PoolCounts {
            active: self.engine.law.active(),
            finished: self.engine.finished.len(),
            size: self.follow.size().map_or(self.engine.law.size(), |size| self.engine.law.limited(size)),
            ..PoolCounts::default()
        }
    }
}

impl<Src, S, R: Finished> fmt::Debug for Chain<Src, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_counts("PoolMap", None, self.counts(), f)
    }
}
