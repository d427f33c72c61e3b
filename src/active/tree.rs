//! Slots inside a value: [`Slot`], and the tree of [`Pair`]s that a number of them is made of.
//!
//! Safe code can pin the fields of a struct, but not the elements of an array. So `N` slots are a tree of structs with two
//! fields each, and a slot is found by going down from the root; all of it lies in one piece, as an array would.

use core::pin::Pin;

use pin_project::pin_project;

/// A number of slots: `Slots::<4>` is what [`pool_map_inline`](crate::IterPoolExt::pool_map_inline) takes for a size.
///
/// A pool inside a value has from 1 to 32 slots. A function that leaves the number open says
/// `where Slots<N>: SlotCount`.
///
/// # Examples
///
/// ```
/// use futures_pool::inline::{InlinePool, SlotCount, Slots};
/// use std::future::Ready;
///
/// fn bytes<F: Future, const N: usize>() -> usize
/// where
///     Slots<N>: SlotCount,
/// {
///     size_of::<InlinePool<F, N, 1>>()
/// }
///
/// assert!(bytes::<Ready<u8>, 8>() > bytes::<Ready<u8>, 4>());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Slots<const N: usize>;

/// The numbers of slots that there may be inside a value: [`Slots<1>`](Slots) to `Slots<32>`.
///
/// It is sealed, and of use in bounds only.
///
/// # Examples
///
/// ```
/// use futures::{Stream, StreamExt};
/// use futures_pool::{inline::{SlotCount, Slots}, prelude::*};
/// use std::pin::pin;
///
/// /// Leaves the number of slots to the caller.
/// fn squares<const N: usize>() -> impl Stream<Item = u32>
/// where
///     Slots<N>: SlotCount,
/// {
///     (1..=3).pool_map_inline(Slots::<N>, async |x| x * x)
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(pin!(squares::<2>()).collect::<Vec<_>>().await, [1, 4, 9]);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "a pool inside a value has from 1 to 32 slots",
    label = "not known to be from 1 to 32 slots",
    note = "each wake-up polls all of them; for larger pools there is `SlotSet`, on the heap",
    note = "where the number is open, say `where Slots<N>: SlotCount`"
)]
pub trait SlotCount: sealed::Sealed {
    #[doc(hidden)]
    type Of<F>: Tree<F>;
}

mod sealed {
    pub trait Sealed {}

    impl<const N: usize> Sealed for super::Slots<N> {}
}

/// A slot, or a tree of slots.
#[allow(unreachable_pub, reason = "a bound of what is public")]
pub trait Tree<F>: Default {
    /// The number of slots.
    const LEN: usize;

    /// Finds a slot. There has to be one with this index, or it is another slot.
    fn slot(&self, index: usize) -> &Slot<F>;

    /// Finds a slot as [`slot`](Self::slot) does.
    fn slot_mut(self: Pin<&mut Self>, index: usize) -> Pin<&mut Slot<F>>;
}

/// A place for a future.
#[pin_project(project = SlotProject)]
pub struct Slot<F> {
    /// The number that the future was started with.
    pub(super) number: u64,
    #[pin]
    pub(super) future: Option<F>,
}

/// Two trees.
#[derive(Default)]
#[pin_project]
pub struct Pair<A, B> {
    #[pin]
    left: A,
    #[pin]
    right: B,
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self { number: 0, future: None }
    }
}

impl<F> Tree<F> for Slot<F> {
    const LEN: usize = 1;

    #[inline]
    fn slot(&self, _: usize) -> &Self {
        self
    }

    #[inline]
    fn slot_mut(self: Pin<&mut Self>, _: usize) -> Pin<&mut Self> {
        self
    }
}

impl<F, A: Tree<F>, B: Tree<F>> Tree<F> for Pair<A, B> {
    const LEN: usize = A::LEN + B::LEN;

    #[inline]
    fn slot(&self, index: usize) -> &Slot<F> {
        if index < A::LEN { self.left.slot(index) } else { self.right.slot(index - A::LEN) }
    }

    #[inline]
    fn slot_mut(self: Pin<&mut Self>, index: usize) -> Pin<&mut Slot<F>> {
        let this = self.project();
        if index < A::LEN { this.left.slot_mut(index) } else { this.right.slot_mut(index - A::LEN) }
    }
}

impl SlotCount for Slots<1> {
    type Of<F> = Slot<F>;
}

/// Trees of two halves that are as alike as can be.
macro_rules! pairs {
    ($($n:literal = $left:literal + $right:literal),*) => {$(
        impl SlotCount for Slots<$n> {
            type Of<F> = Pair<<Slots<$left> as SlotCount>::Of<F>, <Slots<$right> as SlotCount>::Of<F>>;
        }
    )*};
}

pairs! {
    2 = 1 + 1, 3 = 2 + 1, 4 = 2 + 2, 5 = 3 + 2, 6 = 3 + 3, 7 = 4 + 3, 8 = 4 + 4, 9 = 5 + 4, 10 = 5 + 5, 11 = 6 + 5,
    12 = 6 + 6, 13 = 7 + 6, 14 = 7 + 7, 15 = 8 + 7, 16 = 8 + 8, 17 = 9 + 8, 18 = 9 + 9, 19 = 10 + 9, 20 = 10 + 10,
    21 = 11 + 10, 22 = 11 + 11, 23 = 12 + 11, 24 = 12 + 12, 25 = 13 + 12, 26 = 13 + 13, 27 = 14 + 13, 28 = 14 + 14,
    29 = 15 + 14, 30 = 15 + 15, 31 = 16 + 15, 32 = 16 + 16
}

#[cfg(test)]
mod tests {
    use core::pin::pin;

    use super::*;

    fn every_slot_has_its_index<const N: usize>()
    where
        Slots<N>: SlotCount,
    {
        type Of<const N: usize> = <Slots<N> as SlotCount>::Of<usize>;
        let mut slots = pin!(Of::<N>::default());
        assert_eq!(<Of<N> as Tree<usize>>::LEN, N);
        for index in 0..N {
            slots.as_mut().slot_mut(index).project().future.set(Some(index));
        }
        assert!((0..N).all(|index| slots.slot(index).future == Some(index)));
    }

    macro_rules! every_size {
        ($($n:literal)*) => {$( every_slot_has_its_index::<$n>(); )*};
    }

    #[test]
    fn every_slot_of_every_size_has_its_index() {
        every_size!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    }
}
