//! What every stream of a pool has of its own: `for_each`, `drive`, and further stages.

use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::stream::Stream;
use pin_project::pin_project;

use crate::progress::Progress;
use crate::source::Items;

/// The items of another pool's stream, which makes progress while none is taken.
#[pin_project]
pub struct StageItems<P>(#[pin] P);

impl<P> StageItems<P> {
    pub(crate) fn new(stream: P) -> Self {
        Self(stream)
    }
}

impl<P: Progress> Items for StageItems<P> {
    type Item = P::Item;
    const IS_POOL: bool = true;

    fn poll_item(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<Option<P::Item>> {
        self.project().0.poll_next_with_budget(cx, budget)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        Stream::size_hint(&self.0)
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.project().0.poll_progress_with_budget(cx, budget)
    }

    fn polls_used(&self) -> usize {
        self.0.polls_used()
    }
}

/// Gives a pool's stream `for_each` and `pool_map` of its own, which win over those of the traits.
macro_rules! stages {
    ([$($generics:tt)*] $type:ty, $item:ty $(, where $($bounds:tt)*)?) => {
        /// While something else is awaited, the stream makes progress.
        impl<$($generics)*> $type
        $(where $($bounds)*)?
        {
            /// Calls `f` with each item, and runs the future that it returns before the next; **the pool makes
            /// progress meanwhile**, within its bound on results.
            ///
            /// That is what sets it apart from `StreamExt::for_each`, and from `while let Some(x) = s.next().await`,
            /// which leave everything in flight unpolled while the consumer is busy. Behind an adaptor of `StreamExt`
            /// (`.map(g).for_each(h)`) it is that other one: put [`driven`](crate::ProgressExt::driven) between.
            /// So do `try_fold`, `fold`, `then`, `and_then`, `forward` and `try_for_each_concurrent`, wherever they stand: use
            /// [`consume`](crate::PoolMap::consume). For streams of `Result`s there is
            /// [`try_for_each`](crate::PoolMap::try_for_each).
            ///
            /// It polls at most 64 futures, behind an adaptor [more](crate::PoolMap), then lets other tasks run.
            ///
            /// # Cancel safety
            ///
            /// Dropping it drops the stream, and the future for the current item.
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
            pub fn for_each<Each, EachFut>(
                self,
                f: Each,
            ) -> $crate::future::PoolFuture<$crate::consumer::ForEach<Self, EachFut, Each>, ()>
            where
                Each: FnMut($item) -> EachFut,
                EachFut: $crate::future::IsFuture<Output = ()>,
            {
                $crate::consumer::ForEach::new(self, f)
            }

            /// Collects all items, as `StreamExt::collect` does.
            ///
            /// It is here because the future of that one is refused in `join!` and the like inside of a `tokio::spawn`, where
            /// the items are borrowed. It polls at most 64 futures, then lets other tasks run.
            ///
            /// # Cancel safety
            ///
            /// Dropping it drops the stream, and the items collected.
            ///
            /// # Examples
            ///
            /// ```
            /// use futures_pool::prelude::*;
            /// use std::collections::BTreeSet;
            ///
            /// # futures::executor::block_on(async {
            /// let lengths = ["a", "bc", "d"].iter().pool_map(2, async |word| word.len()).unordered();
            /// assert_eq!(lengths.collect::<BTreeSet<_>>().await, BTreeSet::from([1, 2]));
            /// # });
            /// ```
            pub fn collect<Items>(self) -> $crate::future::PoolFuture<$crate::consumer::CollectItems<Self, Items>, Items>
            where
                Items: Default + Extend<$item>,
            {
                $crate::consumer::CollectItems::new(self)
            }

            /// Runs a future to completion while the stream makes progress, within its bound on results. No item is taken.
            ///
            /// A stream that is not `Unpin` has to be pinned first (`pin!`).
            ///
            /// # Cancel safety
            ///
            /// Dropping it drops the future; the stream remains usable.
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
            pub fn drive<DriveFut: Future<Output = DriveT>, DriveT>(
                &mut self,
                future: DriveFut,
            ) -> $crate::future::PoolFuture<$crate::consumer::Drive<'_, Self, DriveFut>, DriveT>
            where
                Self: Unpin,
            {
                $crate::consumer::ProgressExt::drive(self, future)
            }

            /// Maps the items through another async function, with at most `size` of its futures active at once: a
            /// stage that keeps the stages upstream making progress, also while it is full itself.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost when a call of `next` on the stream is dropped before it completes. Dropping the stream drops all stages, and
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
            ) -> $crate::PoolMap<$crate::chain::OnSlots<$crate::consumer::StageItems<Self>, Map, MapFut, MapT>, MapT>
            where
                Map: FnMut($item) -> MapFut,
                MapFut: $crate::future::IsFuture<Output = MapT>,
            {
                $crate::PoolMap::new($crate::consumer::StageItems::new(self), size, f)
            }

            /// Maps the items as [`pool_map`](Self::pool_map) does, and tells `f` a number as well: the lowest that no other active
            /// future has, so below `size`. See [`IterPoolExt::pool_map_slot`](crate::IterPoolExt::pool_map_slot).
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
            ///
            /// # futures::executor::block_on(async {
            /// let texts = ["1", "2"].into_iter().pool_map(8, async |text| text);
            /// let parsed = texts.pool_map_slot(2, async |slot, text| (slot < 2, text.parse::<u32>().unwrap()));
            /// assert_eq!(parsed.await, [(true, 1), (true, 2)]);
            /// # });
            /// ```
            #[cfg(feature = "alloc")]
            pub fn pool_map_slot<Map, MapFut, MapT>(
                self,
                size: usize,
                f: Map,
            ) -> $crate::PoolMap<
                $crate::chain::OnSlotsNumbered<$crate::consumer::StageItems<Self>, $item, Map, MapFut, MapT>,
                MapT,
            >
            where
                Map: FnMut(usize, $item) -> MapFut,
                MapFut: $crate::future::IsFuture<Output = MapT>,
            {
                $crate::PoolMap::new_numbered($crate::consumer::StageItems::new(self), size, f)
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
            ) -> $crate::PoolMap<$crate::chain::Inline<$crate::consumer::StageItems<Self>, Map, MapFut, MapT, SIZE>, MapT>
            where
                Map: FnMut($item) -> MapFut,
                MapFut: $crate::future::IsFuture<Output = MapT>,
                $crate::inline::Slots<SIZE>: $crate::inline::SlotCount,
            {
                let $crate::inline::Slots = slots;
                $crate::PoolMap::new_inline($crate::consumer::StageItems::new(self), f)
            }
        }
    };
}

pub(crate) use stages;
