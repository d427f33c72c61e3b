//! Consumers that keep a pool polled while they are busy, and the way to them from behind an adaptor.

mod collect;
#[cfg(feature = "alloc")]
mod consume;
mod drive;
mod driven;
mod for_each;
mod stages;

pub(crate) use self::collect::CollectItems;
#[cfg(feature = "alloc")]
pub(crate) use self::consume::Consume;
#[cfg(feature = "alloc")]
pub use self::consume::PoolItems;
pub(crate) use self::drive::Drive;
pub(crate) use self::driven::Driven;
pub(crate) use self::for_each::ForEach;
pub(crate) use self::stages::{StageItems, stages};
use crate::future::PoolFuture;
use crate::progress::Progress;
use crate::stream::PoolMap;

/// Adds [`driven`](Self::driven) and [`drive`](Self::drive) to every stream with progress.
///
/// # Examples
///
/// ```
/// use futures_pool::prelude::*;
/// use tokio::time::{Duration, sleep};
///
/// /// Waits, with any stream of a pool making progress.
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
    /// Keeps the pool upstream of an adaptor polled, and gives the methods back that a pool's stream has: `pool_map`,
    /// `for_each` and `drive` that keep all stages upstream making progress.
    ///
    /// Adaptors such as `then` and `filter` hold a future of their own, which only they can poll, and which the pool
    /// upstream does not know of. So this polls the adaptor one item ahead of its consumer, and the pool upstream on every
    /// poll, also after the adaptor has ended.
    ///
    /// It is needed after an adaptor. Without it, the adaptor's own methods are those of `StreamExt`, which leave the
    /// pool unpolled while the consumer is busy.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when a call of `next` on the stream is dropped before it completes. Dropping the stream drops the item that it has
    /// ahead, and all that is upstream.
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
    fn driven<T>(self) -> PoolMap<Driven<Self, T>, T>
    where
        Self: Sized + Progress<Item = T>,
    {
        Driven::new(self)
    }

    /// Runs a future to completion while the stream makes progress, within its bound on results. No item is taken.
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
    fn drive<Fut: Future<Output = O>, O>(&mut self, future: Fut) -> PoolFuture<Drive<'_, Self, Fut>, O>
    where
        Self: Unpin,
    {
        Drive::new(self, future)
    }
}

impl<P: Progress + ?Sized> ProgressExt for P {}
