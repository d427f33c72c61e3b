//! Finished results, from when a future has ended until its output is handed over: the order in which that happens, and
//! how much of it counts against the backlog.

mod fail_fast;
mod inline;
#[cfg(feature = "alloc")]
mod keyed;
#[cfg(feature = "alloc")]
mod ordered;
#[cfg(feature = "alloc")]
mod tally;
#[cfg(feature = "alloc")]
mod unordered;

use core::ops::Range;

pub use self::fail_fast::FailFast;
pub use self::inline::{InlineOrdered, InlineUnordered};
#[cfg(feature = "alloc")]
pub(crate) use self::keyed::{Keyed, NumberHasher, Place};
#[cfg(feature = "alloc")]
pub use self::ordered::Ordered;
#[cfg(feature = "alloc")]
pub(crate) use self::tally::Tally;
#[cfg(feature = "alloc")]
pub use self::unordered::Unordered;

/// Keeps the outputs of futures that have ended, each with its number: what [`PoolMap`](crate::PoolMap) asks of its order
/// of results.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures_pool::{PinnedSet, PoolMap, map::{Finished, Source}, prelude::*};
///
/// /// Tells how busy a chain is, whatever it is made of.
/// fn report<Src, Fut, R, S>(chain: &PoolMap<Src, Fut, R, S>) -> String
/// where
///     Src: Source<Fut>,
///     Fut: Future<Output = R::Output>,
///     R: Finished,
///     S: PinnedSet<Fut>,
/// {
///     format!("{} of {} active", chain.active(), chain.size())
/// }
///
/// let parse = async |text: &'static str| text.parse::<u32>();
/// assert_eq!(report(&["1"].into_iter().pool_map(4, parse)), "0 of 4 active");
/// assert_eq!(report(&["1"].into_iter().pool_map(2, parse).unordered().fail_fast()), "0 of 2 active");
/// ```
pub trait Finished {
    /// What the futures return.
    type Output;

    /// Takes note that a future was started, and has not ended at once.
    fn started(&mut self, number: u64, slot: usize);

    /// Keeps an output.
    fn push(&mut self, number: u64, output: Self::Output);

    /// Takes note that a future that was started will never have an output: it panicked, or was cancelled.
    fn skip(&mut self, _number: u64) {}

    /// Takes note that there never was a future with these numbers. An order must not wait for them.
    fn leave_out(&mut self, _numbers: Range<u64>) {}

    /// Takes the next result whose turn has come. None may be [gathered](Gathering).
    fn pop(&mut self) -> Option<(u64, Self::Output)>;

    /// Returns the number of all results.
    fn len(&self) -> usize;

    /// Returns whether there is no result.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of results not gathered whose turn has come.
    fn due(&self) -> usize;

    /// Returns the number of results that count against the backlog.
    fn held(&self) -> usize {
        self.due()
    }

    /// Returns how large size and backlog can be, so that the results of as many active futures fit beside as many that are
    /// held.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Counts results against the backlog also before their turn.
    fn count_all(&mut self) {}

    /// Returns whether no further result is wanted, apart from what `pop` gives next.
    fn is_closed(&self) -> bool {
        false
    }

    /// Drops the results that are no longer wanted.
    fn drop_rest(&mut self) {}

    /// Turns the number of results that may come into how many will be handed over.
    fn size_hint(&self, hint: (usize, Option<usize>)) -> (usize, Option<usize>) {
        hint
    }
}

/// Results that may be *gathered*: looked at, as the batch under way, while they stay where they are. What has been
/// gathered is as good as handed over, and does not count against the backlog.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures::{Stream, StreamExt};
/// use futures_pool::{PinnedSet, PoolMap, map::{Gathering, Source}, prelude::*};
/// use std::future::ready;
///
/// /// Makes batches of what has to be told apart: up to and including each 0.
/// fn lines<Src, Fut, R, S>(chain: PoolMap<Src, Fut, R, S>) -> impl Stream<Item = Vec<u8>>
/// where
///     Src: Source<Fut>,
///     Fut: Future<Output = u8>,
///     R: Gathering<Output = u8>,
///     S: PinnedSet<Fut>,
/// {
///     chain.batches(|&byte| byte == 0)
/// }
///
/// # futures::executor::block_on(async {
/// let bytes = [1, 2, 0, 3, 0].into_iter().pool_map(1, ready).backlog(0);
/// assert_eq!(lines(bytes).collect::<Vec<_>>().await, [vec![1, 2, 0], vec![3, 0]]);
/// # });
/// ```
#[cfg(feature = "alloc")]
#[diagnostic::on_unimplemented(
    message = "batches are of results on the heap",
    note = "a chain of `pool_map_inline` has no room for a batch; use `pool_map`"
)]
pub trait Gathering: Finished {
    /// Calls `when` with each result whose turn has come and that was not gathered yet, up to the first for which it
    /// returns `true`; returns whether there was one.
    fn gather(&mut self, when: &mut impl FnMut(&Self::Output) -> bool) -> bool;

    /// Returns how many results are gathered.
    fn gathered(&self) -> usize;

    /// Takes back what `gather` did, so that results can be taken.
    fn ungather(&mut self);
}

/// Results of a chain that does not fail fast: [`Ordered`] or [`Unordered`], or what they are
/// without an allocator.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures_pool::{PinnedSet, PoolMap, map::{Order, Source}, prelude::*};
/// use std::future::ready;
///
/// /// Awaits a chain, ordered or not.
/// async fn sum<Src, Fut, R, S>(chain: PoolMap<Src, Fut, R, S>) -> u32
/// where
///     Src: Source<Fut>,
///     Fut: Future<Output = u32>,
///     R: Order<Output = u32>,
///     S: PinnedSet<Fut>,
/// {
///     chain.await.into_iter().sum()
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(sum((1..=3).pool_map(2, ready)).await, 6);
/// assert_eq!(sum((1..=3).pool_map(2, ready).unordered()).await, 6);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "results that fail fast already are of no use here",
    note = "`fail_fast` is called once, after `catch_unwind`"
)]
pub trait Order: Finished + Default {
    /// The same order for other outputs.
    type Of<U>: Order<Output = U>;
}

/// What a chain's results become when order no longer matters.
///
/// Of use for bounds; not meant to be implemented outside of this crate.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{PinnedSet, PoolMap, map::{IntoUnordered, Source}, prelude::*};
/// use std::pin::pin;
///
/// /// What has finished first, also of a chain that fails fast.
/// async fn race<Src, Fut, R, S>(chain: PoolMap<Src, Fut, R, S>) -> Option<R::Output>
/// where
///     Src: Source<Fut>,
///     Fut: Future<Output = R::Output>,
///     R: IntoUnordered,
///     S: PinnedSet<Fut>,
/// {
///     pin!(chain.unordered()).next().await
/// }
///
/// # futures::executor::block_on(async {
/// let slow = async |x: u32| if x == 0 { std::future::pending().await } else { Ok::<_, ()>(x) };
/// assert_eq!(race((0..3).pool_map(2, slow).fail_fast()).await, Some(Ok(1)));
/// # });
/// ```
pub trait IntoUnordered: Finished {
    /// The same results, unordered.
    type Unordered: Finished<Output = Self::Output>;

    /// Gives up the order. Keeps all results.
    fn into_unordered(self) -> Self::Unordered;
}
