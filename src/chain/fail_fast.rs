//! [`FailFast`]: the machine of a chain that ends with its first error.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use super::ChainMachine;
#[cfg(feature = "std")]
use super::{CatchingChain, PlainChain};
use crate::active::sealed::Kind;
#[cfg(feature = "alloc")]
use crate::batches::Gather;
#[cfg(feature = "std")]
use crate::panic::Panic;
#[cfg(feature = "std")]
use crate::size::SharedSize;
use crate::stream::{Look, PoolMap, Want, Wanted};

/// The machine of a chain that [fails fast](PoolMap::fail_fast).
///
/// The chain itself knows which result is its last one. This is around it for the sake of `.await`, which gives a `Result`.
#[pin_project]
pub struct FailFast<M, T> {
    #[pin]
    pub(super) chain: PoolMap<M, T>,
}

impl<M, T> FailFast<M, T> {
    pub(super) fn into_stream(self) -> PoolMap<Self, T> {
        PoolMap::from_parts(self, run, look)
    }
}

fn run<M, T>(
    machine: Pin<&mut FailFast<M, T>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<T>> {
    machine.project().chain.poll(cx, budget, wanted)
}

fn look<M, T>(machine: &FailFast<M, T>, want: Want) -> Look {
    machine.chain.look(want)
}

impl<M: ChainMachine<T>, T> ChainMachine<T> for FailFast<M, T> {
    type Output = M::Output;
    type Indexed = FailFast<M::Indexed, (usize, T)>;

    fn make_unordered(&mut self) {
        self.chain.machine.make_unordered();
    }

    fn set_max_finished(&mut self, results: usize) {
        self.chain.machine.set_max_finished(results);
    }

    fn set_size(&mut self, size: usize) {
        self.chain.machine.set_size(size);
    }

    #[cfg(feature = "std")]
    fn resized_by(&mut self, size: &SharedSize) {
        self.chain.machine.resized_by(size);
    }

    type On<K: Kind> = FailFast<M::On<K>, T>;

    fn is_fresh(&self) -> bool {
        self.chain.machine.is_fresh()
    }

    fn with_set<K: Kind>(stream: PoolMap<Self, T>, set: K) -> PoolMap<Self::On<K>, T> {
        FailFast { chain: M::with_set(stream.machine.chain, set) }.into_stream()
    }

    fn indexed(stream: PoolMap<Self, T>) -> PoolMap<Self::Indexed, (usize, T)> {
        FailFast { chain: M::indexed(stream.machine.chain) }.into_stream()
    }
}

/// Panics are errors, too, then: the first error or panic ends the chain.
///
/// It is one around the other for the sake of `.await`, which gives a `Result` of a `Result`. The other way round, a chain that
/// catches panics fails fast at these alone.
#[cfg(feature = "std")]
impl<M, U, E> CatchingChain<Result<U, E>> for FailFast<M, Result<U, E>>
where
    M: CatchingChain<Result<U, E>, Catching: PlainChain<Caught<U, E>>>,
{
    type Catching = FailFast<FailFast<M::Catching, Caught<U, E>>, Caught<U, E>>;

    fn catch_unwind(self) -> PoolMap<Self::Catching, Caught<U, E>> {
        let mut chain = self.chain.machine.catch_unwind();
        chain.machine.close_at(|result| !matches!(result, Ok(Ok(_))));
        FailFast { chain: FailFast { chain }.into_stream() }.into_stream()
    }
}

/// The result of a future that fails, or panics.
#[cfg(feature = "std")]
pub(super) type Caught<U, E> = Result<Result<U, E>, Panic>;

#[cfg(feature = "alloc")]
impl<M, T> Gather for PoolMap<FailFast<M, T>, T>
where
    PoolMap<M, T>: Gather<Item = T>,
{
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.machine_mut().project().chain.poll_due(cx, budget)
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        Gather::poll_progress(self.machine_mut().project().chain, cx, budget)
    }

    fn gather(self: Pin<&mut Self>, when: &mut impl FnMut(&T) -> bool) -> bool {
        self.machine_mut().project().chain.gather(when)
    }

    fn has_ungathered(&self) -> bool {
        self.machine.chain.has_ungathered()
    }

    fn gathered(&self) -> usize {
        self.machine.chain.gathered()
    }

    fn take_batch(self: Pin<&mut Self>, most: usize) -> alloc::vec::Vec<T> {
        self.machine_mut().project().chain.take_batch(most)
    }

    fn look(&self, want: Want) -> Look {
        self.look(want)
    }
}

impl<M: fmt::Debug, T> fmt::Debug for FailFast<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain.fmt(f)
    }
}
