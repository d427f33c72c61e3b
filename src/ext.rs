//! The extension traits: `pool_map` on iterators and on streams.

use futures_util::stream::Stream;

use crate::active::{SlotCount, Slots};
use crate::chain::{Inline, InlineNumbered};
#[cfg(feature = "alloc")]
use crate::chain::{OnSlots, OnSlotsNumbered};
use crate::future::IsFuture;
use crate::source::{IterItems, StreamItems};
use crate::stream::PoolMap;

/// Adds [`pool_map`](Self::pool_map) to everything that can be iterated over.
///
/// # Examples
///
/// ```
/// use futures_pool::prelude::*;
/// use std::{collections::BTreeMap, future::ready};
///
/// # futures::executor::block_on(async {
/// assert_eq!((1..=3).pool_map(2, ready).await, [1, 2, 3]);
/// assert_eq!(Some("one").pool_map(2, ready).await, ["one"]);
/// let ages = BTreeMap::from([("Ann", 7), ("Bob", 9)]);
/// assert_eq!(ages.iter().pool_map(2, async |(name, age)| format!("{name}: {age}")).await, ["Ann: 7", "Bob: 9"]);
/// # });
/// ```
pub trait IterPoolExt: IntoIterator {
    /// Maps the items through an async function, with at most `size` of its futures active at once: a stream of the
    /// results, in the order of the items.
    ///
    /// It is lazy: an item is taken, and its future made, only when there is a slot for it, and nothing runs unless the
    /// stream is polled. A size of 0 is taken as 1. See [`PoolMap`] for the options, the order and the bound on results.
    ///
    /// In `while let Some(x) = stream.next().await { slow().await }` its futures stall while `slow` runs;
    /// [`for_each`](PoolMap::for_each) keeps them going.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when a call of `next` on the stream is dropped before it completes. Dropping the stream drops
    /// the futures in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let lengths = ["a", "bc", "def"].iter().pool_map(2, async |word| word.len()).await;
    /// assert_eq!(lengths, [1, 2, 3]);
    /// # });
    /// ```
    #[doc(alias = "map")]
    #[doc(alias = "buffered")]
    #[doc(alias = "buffer_unordered")]
    #[cfg(feature = "alloc")]
    fn pool_map<F, Fut, T>(self, size: usize, f: F) -> PoolMap<OnSlots<IterItems<Self::IntoIter>, F, Fut, T>, T>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
    {
        PoolMap::new(IterItems(self.into_iter()), size, f)
    }

    /// Maps the items as [`pool_map`](Self::pool_map) does, in a pool of `N` slots that is inside the value: it needs no
    /// allocator, and has to be pinned before it is polled.
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
    /// use futures::stream::StreamExt;
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::pin::pin;
    ///
    /// # futures::executor::block_on(async {
    /// let mut lengths = pin!(["a", "bc", "def"].iter().pool_map_inline(Slots::<2>, async |word| word.len()));
    /// assert_eq!(lengths.next().await, Some(1));
    /// # });
    /// ```
    fn pool_map_inline<F, Fut, T, const N: usize>(
        self,
        slots: Slots<N>,
        f: F,
    ) -> PoolMap<Inline<IterItems<Self::IntoIter>, F, Fut, T, N>, T>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
        Slots<N>: SlotCount,
    {
        let Slots = slots;
        PoolMap::new_inline(IterItems(self.into_iter()), f)
    }

    /// Maps the items as [`pool_map`](Self::pool_map) does, and tells `f` a number as well: the lowest that no other active future
    /// has, so below `size`. It is for a connection, a port, a GPU, a browser each.
    ///
    /// The future that had the number before is dropped when `f` is called. After the size was made smaller, what is active
    /// keeps its numbers.
    ///
    /// # Cancel safety
    ///
    /// As with [`pool_map`](Self::pool_map).
    ///
    /// # Panics
    ///
    /// If `f` panics, the item is lost, and its number is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::cell::RefCell;
    ///
    /// # futures::executor::block_on(async {
    /// let connections = [RefCell::new(vec![]), RefCell::new(vec![])];
    /// ["a", "b", "c"].into_iter().pool_map_slot(2, async |slot, job| connections[slot].borrow_mut().push(job)).await;
    /// assert_eq!(connections.iter().map(|jobs| jobs.borrow().len()).sum::<usize>(), 3);
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    fn pool_map_slot<F, Fut, T>(
        self,
        size: usize,
        f: F,
    ) -> PoolMap<OnSlotsNumbered<IterItems<Self::IntoIter>, Self::Item, F, Fut, T>, T>
    where
        Self: Sized,
        F: FnMut(usize, Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
    {
        PoolMap::new_numbered(IterItems(self.into_iter()), size, f)
    }

    /// Maps the items as [`pool_map_inline`](Self::pool_map_inline) does, and tells `f` a number below `N` as
    /// [`pool_map_slot`](Self::pool_map_slot) does.
    ///
    /// # Cancel safety
    ///
    /// As with [`pool_map`](Self::pool_map).
    ///
    /// # Panics
    ///
    /// If `f` panics, the item is lost, and its number is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pairs = pin!(["a", "b", "c"].into_iter().pool_map_inline_slot(Slots::<2>, |slot, job| ready((slot, job))));
    /// assert_eq!(pairs.next().await, Some((0, "a")));
    /// # });
    /// ```
    fn pool_map_inline_slot<F, Fut, T, const N: usize>(
        self,
        slots: Slots<N>,
        f: F,
    ) -> PoolMap<InlineNumbered<IterItems<Self::IntoIter>, Self::Item, F, Fut, T, N>, T>
    where
        Self: Sized,
        F: FnMut(usize, Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
        Slots<N>: SlotCount,
    {
        let Slots = slots;
        PoolMap::new_inline_numbered(IterItems(self.into_iter()), f)
    }
}

impl<I: IntoIterator> IterPoolExt for I {}

/// Adds [`pool_map`](Self::pool_map) to every stream.
///
/// # Examples
///
/// ```
/// use futures::channel::mpsc;
/// use futures_pool::prelude::*;
///
/// # futures::executor::block_on(async {
/// let (sender, jobs) = mpsc::unbounded();
/// for job in 1..=3 {
///     sender.unbounded_send(job).unwrap();
/// }
/// drop(sender); // ends the stream
/// assert_eq!(jobs.pool_map(2, async |job| job * 10).await, [10, 20, 30]);
/// # });
/// ```
pub trait StreamPoolExt: Stream {
    /// Maps the items through an async function, with at most `size` of its futures active at once: a stream of the
    /// results, in the order of the items.
    ///
    /// It is lazy: an item is pulled, and its future made, only when there is a slot for it, and nothing runs unless
    /// the stream is polled. A size of 0 is taken as 1. See [`PoolMap`] for the options, the order and the bound on results.
    ///
    /// In `while let Some(x) = stream.next().await { slow().await }` its futures stall while `slow` runs;
    /// [`for_each`](PoolMap::for_each) keeps them going.
    ///
    /// This is the method for streams that are no pool's. On a pool's own stream, that one's own
    /// [`pool_map`](PoolMap::pool_map) keeps the upstream stage going, too; behind an adaptor, put
    /// [`driven`](crate::ProgressExt::driven) before it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when a call of `next` on the stream is dropped before it completes. Dropping the stream drops
    /// the futures in it, and the upstream one.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use futures_pool::prelude::*;
    ///
    /// # futures::executor::block_on(async {
    /// let words = stream::iter(["a", "bc", "def"]);
    /// let lengths = words.pool_map(2, async |word| word.len()).pool_map(1, async |len| len * 10);
    /// assert_eq!(lengths.collect::<Vec<_>>().await, [10, 20, 30]);
    /// # });
    /// ```
    #[doc(alias = "map")]
    #[doc(alias = "buffered")]
    #[doc(alias = "buffer_unordered")]
    #[cfg(feature = "alloc")]
    fn pool_map<F, Fut, T>(self, size: usize, f: F) -> PoolMap<OnSlots<StreamItems<Self>, F, Fut, T>, T>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
    {
        PoolMap::new(StreamItems(self), size, f)
    }

    /// Maps the items as [`pool_map`](Self::pool_map) does, in a pool of `N` slots that is inside the value: it needs no
    /// allocator, and has to be pinned before it is polled.
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
    /// use futures::stream::StreamExt;
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::pin::pin;
    ///
    /// # futures::executor::block_on(async {
    /// let mut lengths = pin!(futures::stream::iter(["a", "bc", "def"]).pool_map_inline(Slots::<2>, async |word| word.len()));
    /// assert_eq!(lengths.next().await, Some(1));
    /// # });
    /// ```
    fn pool_map_inline<F, Fut, T, const N: usize>(
        self,
        slots: Slots<N>,
        f: F,
    ) -> PoolMap<Inline<StreamItems<Self>, F, Fut, T, N>, T>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
        Slots<N>: SlotCount,
    {
        let Slots = slots;
        PoolMap::new_inline(StreamItems(self), f)
    }

    /// Maps the items as [`pool_map`](Self::pool_map) does, and tells `f` a number as well: the lowest that no other active future
    /// has, so below `size`. It is for a connection, a port, a GPU, a browser each.
    ///
    /// The future that had the number before is dropped when `f` is called. After the size was made smaller, what is active
    /// keeps its numbers.
    ///
    /// # Cancel safety
    ///
    /// As with [`pool_map`](Self::pool_map).
    ///
    /// # Panics
    ///
    /// If `f` panics, the item is lost, and its number is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::cell::RefCell;
    ///
    /// # futures::executor::block_on(async {
    /// let connections = [RefCell::new(vec![]), RefCell::new(vec![])];
    /// futures::stream::iter(["a", "b", "c"]).pool_map_slot(2, async |slot, job| connections[slot].borrow_mut().push(job)).await;
    /// assert_eq!(connections.iter().map(|jobs| jobs.borrow().len()).sum::<usize>(), 3);
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    fn pool_map_slot<F, Fut, T>(
        self,
        size: usize,
        f: F,
    ) -> PoolMap<OnSlotsNumbered<StreamItems<Self>, Self::Item, F, Fut, T>, T>
    where
        Self: Sized,
        F: FnMut(usize, Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
    {
        PoolMap::new_numbered(StreamItems(self), size, f)
    }

    /// Maps the items as [`pool_map_inline`](Self::pool_map_inline) does, and tells `f` a number below `N` as
    /// [`pool_map_slot`](Self::pool_map_slot) does.
    ///
    /// # Cancel safety
    ///
    /// As with [`pool_map`](Self::pool_map).
    ///
    /// # Panics
    ///
    /// If `f` panics, the item is lost, and its number is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::{inline::Slots, prelude::*};
    /// use std::{future::ready, pin::pin};
    ///
    /// # futures::executor::block_on(async {
    /// let mut pairs = pin!(futures::stream::iter(["a", "b", "c"]).pool_map_inline_slot(Slots::<2>, |slot, job| ready((slot, job))));
    /// assert_eq!(pairs.next().await, Some((0, "a")));
    /// # });
    /// ```
    fn pool_map_inline_slot<F, Fut, T, const N: usize>(
        self,
        slots: Slots<N>,
        f: F,
    ) -> PoolMap<InlineNumbered<StreamItems<Self>, Self::Item, F, Fut, T, N>, T>
    where
        Self: Sized,
        F: FnMut(usize, Self::Item) -> Fut,
        Fut: IsFuture<Output = T>,
        Slots<N>: SlotCount,
    {
        let Slots = slots;
        PoolMap::new_inline_numbered(StreamItems(self), f)
    }
}

impl<St: Stream> StreamPoolExt for St {}
