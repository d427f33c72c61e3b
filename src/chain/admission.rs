//! The options of admission: which of the waiting items may start.

#[cfg(feature = "std")]
use core::hash::Hash;

use super::{Chain, ChainMachine, FailFast};
use crate::active::Set;
use crate::finished::{ChainResults, Gathering};
use crate::source::Admittable;
#[cfg(feature = "std")]
use crate::source::LookAhead;
use crate::stream::PoolMap;

/// Machines that take options of admission.
#[diagnostic::on_unimplemented(
    message = "this is no chain that takes weights or keys",
    note = "they are for chains on the heap, those of `pool_map` and `pool_map_slot`, and come before the views"
)]
pub trait Admission<T>: ChainMachine<T> {
    /// What is admitted.
    type Item;

    /// The same machine with weights.
    type Weighted<W: FnMut(&Self::Item) -> usize>;

    /// Has items weighed.
    fn weighted<W: FnMut(&Self::Item) -> usize>(stream: PoolMap<Self, T>, weigh: W) -> PoolMap<Self::Weighted<W>, T>;

    /// The same machine with keys.
    #[cfg(feature = "std")]
    type PerKey<K: Hash + Eq, F: FnMut(&Self::Item) -> K>;

    /// Has at most `most` futures of one key active.
    #[cfg(feature = "std")]
    #[track_caller]
    fn per_key<K: Hash + Eq, F: FnMut(&Self::Item) -> K>(
        stream: PoolMap<Self, T>,
        most: usize,
        key: F,
    ) -> PoolMap<Self::PerKey<K, F>, T>;
}

/// Machines with keys.
#[cfg(feature = "std")]
#[diagnostic::on_unimplemented(message = "this is no chain with keys", note = "`look_ahead` comes after `per_key`")]
pub trait WithKeys {
    /// Changes how many items may be set aside.
    fn set_look_ahead(&mut self, items: usize);
}

impl<Src, S, R, T> Admission<T> for Chain<Src, S, R>
where
    Src: Admittable<S::Future>,
    S: Set<Future: Future<Output = T>>,
    R: ChainResults<Output = T> + Gathering,
{
    type Item = Src::Item;
    type Weighted<W: FnMut(&Self::Item) -> usize> = Chain<Src::Weighted<W>, S, R>;

    fn weighted<W: FnMut(&Self::Item) -> usize>(stream: PoolMap<Self, T>, weigh: W) -> PoolMap<Self::Weighted<W>, T> {
        let (source, mut engine, follow) = stream.machine.into_parts();
        engine.law.set_weighted();
        Chain::from_parts((source.weighted(weigh), engine, follow))
    }

    #[cfg(feature = "std")]
    type PerKey<K: Hash + Eq, F: FnMut(&Self::Item) -> K> = Chain<Src::PerKey<K, F>, S, R>;

    #[cfg(feature = "std")]
    #[track_caller]
    fn per_key<K: Hash + Eq, F: FnMut(&Self::Item) -> K>(
        stream: PoolMap<Self, T>,
        most: usize,
        key: F,
    ) -> PoolMap<Self::PerKey<K, F>, T> {
        let (source, engine, follow) = stream.machine.into_parts();
        Chain::from_parts((source.per_key(most, key), engine, follow))
    }
}

#[cfg(feature = "std")]
impl<Src: LookAhead, S, R> WithKeys for Chain<Src, S, R> {
    fn set_look_ahead(&mut self, items: usize) {
        self.source_mut().set_look_ahead(items);
    }
}

impl<M: Admission<T>, T> Admission<T> for FailFast<M, T> {
    type Item = M::Item;
    type Weighted<W: FnMut(&Self::Item) -> usize> = FailFast<M::Weighted<W>, T>;

    fn weighted<W: FnMut(&Self::Item) -> usize>(stream: PoolMap<Self, T>, weigh: W) -> PoolMap<Self::Weighted<W>, T> {
        FailFast { chain: M::weighted(stream.machine.chain, weigh) }.into_stream()
    }

    #[cfg(feature = "std")]
    type PerKey<K: Hash + Eq, F: FnMut(&Self::Item) -> K> = FailFast<M::PerKey<K, F>, T>;

    #[cfg(feature = "std")]
    #[track_caller]
    fn per_key<K: Hash + Eq, F: FnMut(&Self::Item) -> K>(
        stream: PoolMap<Self, T>,
        most: usize,
        key: F,
    ) -> PoolMap<Self::PerKey<K, F>, T> {
        FailFast { chain: M::per_key(stream.machine.chain, most, key) }.into_stream()
    }
}

#[cfg(feature = "std")]
impl<M: WithKeys, T> WithKeys for FailFast<M, T> {
    fn set_look_ahead(&mut self, items: usize) {
        self.chain.machine.set_look_ahead(items);
    }
}

/// Which of the waiting items may start. Before the views, and before the stream is polled.
impl<M, T> PoolMap<M, T> {
    /// Makes the size a budget: the weights of the active futures add up to at most `size`.
    ///
    /// `weigh` is called once for each item, when it is pulled. A weight of 0 is taken as 1, one above the size as the size.
    /// An item whose weight does not fit waits until it does, and all others wait behind it: a heavy one is never
    /// overtaken for ever. Until then nothing is pulled.
    ///
    /// A size of 10¹² bytes costs no memory. The default bounds on results, which are multiples of the size, take it as 64 at
    /// most. When the size [changes](Self::set_size), the item that waits is limited to the new one; what is active keeps its
    /// weight.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already. A panic of `weigh` passes through the stream, and its item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::cell::Cell;
    /// use tokio::time::{Duration, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let in_use = Cell::new(0);
    /// let unpack = async |bytes: usize| {
    ///     in_use.set(in_use.get() + bytes);
    ///     assert!(in_use.get() <= 1000);
    ///     sleep(Duration::from_millis(10)).await;
    ///     in_use.set(in_use.get() - bytes);
    /// };
    /// [600, 300, 500, 100].into_iter().pool_map(1000, unpack).weighted(|&bytes| bytes).await;
    /// # }
    /// ```
    #[doc(alias = "future_queue")]
    #[track_caller]
    pub fn weighted<W>(self, weigh: W) -> PoolMap<M::Weighted<W>, T>
    where
        M: Admission<T>,
        W: FnMut(&M::Item) -> usize,
    {
        self.assert_fresh("weighted");
        M::weighted(self, weigh)
    }

    /// Has at most `n` futures of one key active at once, in the order of the source for each key.
    ///
    /// An item whose key is full is set aside **without taking a slot**, and the next one starts whose key is not. With 1, the
    /// items of a key run one after the other. An `n` of 0 is taken as 1. Keys need not be known beforehand, and leave
    /// nothing behind when nobody uses them any more.
    ///
    /// At most 16 times the size of items are set aside, or as many as [`look_ahead`](Self::look_ahead) says; then the
    /// source is not pulled until one of them has started. So an endless source of one full key is pulled so far, and no
    /// further. An item that is set aside counts as one of the 64 polls of a call.
    ///
    /// Results come in the order of the source, or as they finish, as without keys; and the item whose turn is next may start
    /// however many results are held.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already, and if it is called a second time. A panic of `key`, or of `Hash` or `Eq` of a
    /// key, passes through the stream, and its item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// # use tokio::time::{Duration, Instant, sleep};
    /// let fetch = async |url: &str| { sleep(Duration::from_millis(10)).await; url.len() };
    /// let host = |url: &&str| url.split('/').next().unwrap_or_default().to_owned();
    ///
    /// let start = Instant::now();
    /// let urls = ["a.example/1", "a.example/2", "b.example/1"];
    /// urls.into_iter().pool_map(8, fetch).per_key(1, host).await; // one request at a time to each host
    /// assert_eq!(start.elapsed().as_millis(), 20);
    /// # }
    /// ```
    #[doc(alias = "future_queue_grouped")]
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn per_key<K, F>(self, n: usize, key: F) -> PoolMap<M::PerKey<K, F>, T>
    where
        M: Admission<T>,
        K: Hash + Eq,
        F: FnMut(&M::Item) -> K,
    {
        self.assert_fresh("per_key");
        M::per_key(self, n, key)
    }

    /// Changes how many items [`per_key`](Self::per_key) may set aside. Without it, 16 times the size; 0 is taken as 1.
    ///
    /// The more there are, the longer the slots stay in use behind a run of items of one key. Each takes the memory of an
    /// item.
    ///
    /// # Panics
    ///
    /// If the stream has been polled already.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use futures_pool::prelude::*;
    /// use std::future::pending;
    ///
    /// let same = (0..).pool_map(8, |_: u32| pending::<()>()).per_key(1, |_| "one key");
    /// let mut same = same.look_ahead(100);
    /// while same.waiting() < 100 {
    ///     assert!(same.next().now_or_never().is_none());
    /// }
    /// assert!(same.next().now_or_never().is_none());
    /// assert_eq!((same.active(), same.waiting()), (1, 100)); // no more are pulled
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn look_ahead(mut self, items: usize) -> Self
    where
        M: ChainMachine<T> + WithKeys,
    {
        self.assert_fresh("look_ahead");
        self.machine.set_look_ahead(items);
        self
    }
}
