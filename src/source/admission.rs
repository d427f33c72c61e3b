//! Admission: which of the waiting items may start, by weight and by key, and with which number.
//!
//! [`Admission`] is the source of a chain with one of the options `weighted` and `per_key`, or of `pool_map_slot`. It pulls
//! items and holds them until they may start. The pool tells it which future has started in which slot of the active set, and
//! which has ended, however it has: finished, panicked, cancelled.
//!
//! # The rule
//!
//! In the order of the source, items whose key is full are set aside. The first other one is the *head*. If the weight of the
//! head fits, it starts. If not, nothing starts, nothing is pulled, and nobody overtakes it. Which of the items is the head is
//! decided here; whether it fits, by the [law](crate::engine).
//!
//! So the source is asked for an item only while it has no head, and while fewer items are set aside than `look_ahead`.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project::pin_project;

#[cfg(feature = "alloc")]
use super::Admittable;
use super::numbers::FreeNumbers;
use super::{Admit, Head, Items, Source};

/// Items that wait to be admitted: the source of a chain. `W` weighs them, `Q` is the [queue](Waiting) of those that were
/// pulled, `M` makes futures of them, `A` keeps [what is active](Active).
#[pin_project]
pub struct Admission<It, W, Q, M, A, Fut> {
    /// `None` once no more of it is wanted.
    #[pin]
    items: Option<It>,
    /// Whether they are at their end.
    has_ended: bool,
    weigh: W,
    waiting: Q,
    make: M,
    /// How many items were pulled.
    pulled: u64,
    /// The number of an item that was lost, as a closure has panicked, until the pool has heard of it.
    lost: Option<u64>,
    /// What each active future has, by its slot in the active set.
    active: A,
    /// What the future has that was taken last.
    taken: Admitted,
    futures: PhantomData<fn() -> Fut>,
}

/// What an active future holds, and gives back when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    weight: usize,
    /// Which key it is one of.
    key: usize,
    /// The number that the closure was told.
    number: usize,
}

/// Keeps what the active futures hold, by their slots.
pub trait Active {
    /// Keeps it for the future in this slot.
    fn set(&mut self, slot: usize, admitted: Admitted);

    /// Returns what was kept for the future in this slot.
    fn get(&self, slot: usize) -> Admitted;
}

#[cfg(feature = "alloc")]
impl Active for Vec<Admitted> {
    fn set(&mut self, slot: usize, admitted: Admitted) {
        if self.len() <= slot {
            self.resize(slot + 1, Admitted::default());
        }
        self[slot] = admitted;
    }

    fn get(&self, slot: usize) -> Admitted {
        self[slot]
    }
}

/// In a pool inside the value, where there are neither weights nor keys: the numbers alone.
pub struct InlineActive([u8; 32]);

impl InlineActive {
    pub(crate) const fn new() -> Self {
        Self([0; 32])
    }
}

impl Active for InlineActive {
    #[allow(clippy::cast_possible_truncation, reason = "there are at most 32 numbers")]
    fn set(&mut self, slot: usize, admitted: Admitted) {
        self.0[slot] = admitted.number as u8;
    }

    fn get(&self, slot: usize) -> Admitted {
        Admitted { weight: 1, key: 0, number: self.0[slot].into() }
    }
}

/// Weighs an item.
pub trait Weigh<I> {
    /// Returns the weight. Not limited yet.
    fn weigh(&mut self, item: &I) -> usize;
}

/// Every item weighs 1.
pub struct Unweighted;

impl<I> Weigh<I> for Unweighted {
    fn weigh(&mut self, _: &I) -> usize {
        1
    }
}

/// The user's weights.
#[cfg(feature = "alloc")]
pub struct Weighted<W>(pub(crate) W);

#[cfg(feature = "alloc")]
impl<I, W: FnMut(&I) -> usize> Weigh<I> for Weighted<W> {
    fn weigh(&mut self, item: &I) -> usize {
        (self.0)(item)
    }
}

/// Makes the future of an item.
pub trait Make<I> {
    /// The future.
    type Future;

    /// Makes it, and returns it with its number, which it has until that is [released](Self::release).
    fn make(&mut self, item: I) -> (Self::Future, usize);

    /// The future with this number has ended.
    fn release(&mut self, _number: usize) {}
}

/// The closure of `pool_map`.
#[cfg(feature = "alloc")]
pub struct Plain<F>(pub(crate) F);

#[cfg(feature = "alloc")]
impl<I, Fut, F: FnMut(I) -> Fut> Make<I> for Plain<F> {
    type Future = Fut;

    fn make(&mut self, item: I) -> (Fut, usize) {
        ((self.0)(item), 0)
    }
}

/// The closure of `pool_map_slot`, which is told a number.
pub struct Numbered<F, N> {
    make: F,
    numbers: N,
}

impl<F, N> Numbered<F, N> {
    pub(crate) fn new(make: F, numbers: N) -> Self {
        Self { make, numbers }
    }
}

impl<I, Fut, F: FnMut(usize, I) -> Fut, N: FreeNumbers> Make<I> for Numbered<F, N> {
    type Future = Fut;

    fn make(&mut self, item: I) -> (Fut, usize) {
        // If the closure panics, the number is free again.
        let number = self.numbers.lowest();
        let future = (self.make)(number, item);
        self.numbers.take(number);
        (future, number)
    }

    fn release(&mut self, number: usize) {
        self.numbers.release(number);
    }
}

/// The items that were pulled and have not started.
pub trait Waiting<I> {
    /// Whether items wait for their keys.
    const HAS_KEYS: bool = false;

    /// Keeps an item, which has come after all others.
    fn push(&mut self, item: Pulled<I>);

    /// Returns the weight and the number of the head.
    fn head(&self) -> Option<Head>;

    /// Takes the head, and returns it with the key that it counts for.
    fn pop(&mut self) -> Option<(Pulled<I>, usize)>;

    /// A future of this key has ended.
    fn ended(&mut self, _key: usize) {}

    /// Returns how many items there are.
    fn len(&self) -> usize;

    /// Returns whether another item may be pulled while there is no head. Defaults are multiples of `size`.
    fn has_room(&self, size: usize) -> bool;

    /// Drops all items. Destructors may panic: then this is called again.
    fn clear(&mut self);
}

/// An item that was pulled.
pub struct Pulled<I> {
    pub(crate) item: I,
    pub(crate) head: Head,
}

/// No item has to wait for a key: there is at most the head.
pub struct InOrder<I>(Option<Pulled<I>>);

impl<I> InOrder<I> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }
}

impl<I> Waiting<I> for InOrder<I> {
    fn push(&mut self, item: Pulled<I>) {
        debug_assert!(self.0.is_none(), "nothing is pulled while there is a head");
        self.0 = Some(item);
    }

    fn head(&self) -> Option<Head> {
        self.0.as_ref().map(|pulled| pulled.head)
    }

    fn pop(&mut self) -> Option<(Pulled<I>, usize)> {
        self.0.take().map(|pulled| (pulled, 0))
    }

    fn len(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn has_room(&self, _: usize) -> bool {
        true
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

impl<It, W, Q, M, A, Fut> Admission<It, W, Q, M, A, Fut> {
    /// Creates one for items of which none was pulled, `None` if no more are wanted.
    pub(crate) fn new(items: Option<It>, weigh: W, waiting: Q, make: M, active: A) -> Self {
        Self {
            items,
            has_ended: false,
            weigh,
            waiting,
            make,
            pulled: 0,
            lost: None,
            active,
            taken: Admitted::default(),
            futures: PhantomData,
        }
    }

    /// Changes how items are weighed, and where they wait, before the first was pulled.
    #[cfg(feature = "alloc")]
    pub(crate) fn with<W2, Q2>(
        self,
        weigh: impl FnOnce(W) -> W2,
        waiting: impl FnOnce(Q) -> Q2,
    ) -> Admission<It, W2, Q2, M, A, Fut> {
        Admission {
            items: self.items,
            has_ended: self.has_ended,
            weigh: weigh(self.weigh),
            waiting: waiting(self.waiting),
            make: self.make,
            pulled: self.pulled,
            lost: self.lost,
            active: self.active,
            taken: self.taken,
            futures: PhantomData,
        }
    }
}

impl<It, W, Q, M, A> Source<M::Future> for Admission<It, W, Q, M, A, M::Future>
where
    A: Active,
    It: Items,
    W: Weigh<It::Item>,
    Q: Waiting<It::Item>,
    M: Make<It::Item>,
{
    const HAS_UPSTREAM: bool = It::IS_POOL;
    const ADMITS: bool = true;

    fn poll_head(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize, size: usize) -> Poll<Admit> {
        let mut this = self.project();
        loop {
            if let Some(head) = this.waiting.head() {
                return Poll::Ready(Admit::Head(head));
            }
            if !this.waiting.has_room(size) {
                return Poll::Ready(Admit::NotEligible);
            }
            let items = if *this.has_ended { None } else { this.items.as_mut().as_pin_mut() };
            let item = match items {
                Some(items) => ready!(items.poll_item(cx, budget)),
                None => None,
            };
            let Some(item) = item else {
                *this.has_ended = true;
                if !It::IS_POOL {
                    this.items.set(None);
                }
                return Poll::Ready(if this.waiting.len() == 0 { Admit::Empty } else { Admit::NotEligible });
            };
            let number = *this.pulled;
            *this.pulled += 1;
            // If a closure panics, the item is lost. Another one is not pulled before the pool has heard of it.
            *this.lost = Some(number);
            let weight = this.weigh.weigh(&item);
            this.waiting.push(Pulled { item, head: Head { number, weight } });
            *this.lost = None;
            if this.waiting.head().is_none() {
                // It was set aside.
                let Some(left) = budget.checked_sub(1) else { return Poll::Ready(Admit::OutOfBudget) };
                *budget = left;
            }
        }
    }

    fn head(&self) -> Option<Head> {
        self.waiting.head()
    }

    fn poll_take<T>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut usize,
        start: impl FnOnce(u64, M::Future) -> T,
    ) -> Poll<Option<T>> {
        let this = self.project();
        let Some((Pulled { item, head }, key)) = this.waiting.pop() else { return Poll::Ready(None) };
        *this.lost = Some(head.number);
        *this.taken = Admitted { weight: head.weight, key, number: usize::MAX };
        let (future, number) = this.make.make(item);
        this.taken.number = number;
        *this.lost = None;
        Poll::Ready(Some(start(head.number, future)))
    }

    fn started(self: Pin<&mut Self>, slot: usize, weight: usize) {
        let this = self.project();
        this.active.set(slot, Admitted { weight, ..*this.taken });
    }

    fn ended(self: Pin<&mut Self>, slot: usize) -> usize {
        let this = self.project();
        let Admitted { weight, key, number } = this.active.get(slot);
        this.waiting.ended(key);
        this.make.release(number);
        weight
    }

    fn take_lost(self: Pin<&mut Self>) -> Option<u64> {
        let this = self.project();
        let lost = this.lost.take()?;
        if this.taken.number == usize::MAX {
            // The closure has panicked that makes the future.
            this.taken.number = 0;
            this.waiting.ended(this.taken.key);
        }
        Some(lost)
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        match self.project().items.as_pin_mut() {
            Some(items) => items.poll_progress(cx, budget),
            None => Poll::Ready(()),
        }
    }

    fn polls_used(&self) -> usize {
        match &self.items {
            Some(items) => items.polls_used(),
            None => 0,
        }
    }

    fn is_done(&self) -> bool {
        (self.has_ended || self.items.is_none()) && self.waiting.len() == 0
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let waiting = self.waiting.len();
        let (lower, upper) = match &self.items {
            Some(items) if !self.has_ended => items.size_hint(),
            _ => (0, Some(0)),
        };
        (lower.saturating_add(waiting), upper.and_then(|upper| upper.checked_add(waiting)))
    }

    fn close(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.items.set(None);
        this.waiting.clear();
    }
}

#[cfg(feature = "alloc")]
impl<It, W, Q, M> Admittable<M::Future> for Admission<It, W, Q, M, Vec<Admitted>, M::Future>
where
    It: Items,
    W: Weigh<It::Item>,
    Q: Waiting<It::Item>,
    M: Make<It::Item>,
{
    type Item = It::Item;
    type Weighted<W2>
        = Admission<It, Weighted<W2>, Q, M, Vec<Admitted>, M::Future>
    where
        W2: FnMut(&It::Item) -> usize;

    fn weighted<W2: FnMut(&It::Item) -> usize>(self, weigh: W2) -> Self::Weighted<W2> {
        self.with(|_| Weighted(weigh), |waiting| waiting)
    }

    #[cfg(feature = "std")]
    type PerKey<K, F>
        = Admission<It, W, super::PerKey<K, F, It::Item>, M, Vec<Admitted>, M::Future>
    where
        K: core::hash::Hash + Eq,
        F: FnMut(&It::Item) -> K;

    #[cfg(feature = "std")]
    #[track_caller]
    fn per_key<K, F>(self, most: usize, key: F) -> Self::PerKey<K, F>
    where
        K: core::hash::Hash + Eq,
        F: FnMut(&It::Item) -> K,
    {
        assert!(!Q::HAS_KEYS, "`per_key` can be called once");
        self.with(|weigh| weigh, |_| super::PerKey::new(most, key))
    }
}

#[cfg(feature = "std")]
impl<It, W, K, F, I, M, A, Fut> super::LookAhead for Admission<It, W, super::PerKey<K, F, I>, M, A, Fut> {
    fn set_look_ahead(&mut self, items: usize) {
        self.waiting.set_look_ahead(items);
    }
}
