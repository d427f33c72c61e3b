//! [`Ring`]: a queue of bounded length, in place.

use core::fmt;
use core::mem;

/// A queue of at most `N * M` values, inside the value itself.
///
/// `M` is there because a length cannot be computed from another one in a type.
pub(crate) struct Ring<T, const N: usize, const M: usize = 1> {
    places: [[Option<T>; N]; M],
    /// The place of the first value.
    first: usize,
    len: usize,
}

impl<T, const N: usize, const M: usize> Ring<T, N, M> {
    pub(crate) const CAPACITY: usize = N * M;

    pub(crate) const fn new() -> Self {
        Self { places: [const { [const { None }; N] }; M], first: 0, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place of the value with this index. The index is at most the capacity.
    #[inline]
    fn place(&self, index: usize) -> usize {
        let place = self.first + index;
        if place < Self::CAPACITY { place } else { place - Self::CAPACITY }
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index < self.len { self.places.as_flattened()[self.place(index)].as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let place = self.place(index);
        if index < self.len { self.places.as_flattened_mut()[place].as_mut() } else { None }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// Puts a value at the end, or gives it back if the queue is full.
    #[inline]
    pub(crate) fn push_back(&mut self, value: T) -> Result<(), T> {
        if self.len == Self::CAPACITY {
            return Err(value);
        }
        let place = self.place(self.len);
        self.places.as_flattened_mut()[place] = Some(value);
        self.len += 1;
        Ok(())
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let value = self.places.as_flattened_mut().get_mut(self.first)?.take()?;
        self.first = self.place(1);
        self.len -= 1;
        Some(value)
    }

    /// Takes a value out of the middle; those behind it move up.
    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len {
            return None;
        }
        let value = {
            let place = self.place(index);
            self.places.as_flattened_mut()[place].take()
        };
        for index in index + 1..self.len {
            let (to, from) = (self.place(index - 1), self.place(index));
            self.places.as_flattened_mut().swap(to, from);
        }
        self.len -= 1;
        value
    }
}

/// Drops all values of a queue when it is dropped itself, where they are: so also if what comes before that panics, or the
/// destructor of one of them.
pub(crate) struct ClearOnDrop<'a, T, const N: usize, const M: usize = 1>(pub(crate) &'a mut Ring<T, N, M>);

impl<T, const N: usize, const M: usize> Drop for ClearOnDrop<'_, T, N, M> {
    fn drop(&mut self) {
        let rest = ClearOnDrop(&mut *self.0);
        while let Some(value) = rest.0.pop_front() {
            drop(value);
        }
        mem::forget(rest);
    }
}

impl<T, const N: usize, const M: usize> fmt::Debug for Ring<T, N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("len", &self.len).field("capacity", &Self::CAPACITY).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a queue without a bound.
        #[test]
        fn a_ring_is_a_queue(steps in prop::collection::vec((0..8_u8, any::<u8>(), 0..8_usize), 0..300)) {
            let mut ring = Ring::<u8, 3, 2>::new();
            let mut queue = VecDeque::new();
            for (step, value, index) in steps {
                match step {
                    0..4 => match ring.push_back(value) {
                        Ok(()) => queue.push_back(value),
                        Err(back) => prop_assert_eq!((back, queue.len()), (value, 6)),
                    },
                    4..6 => prop_assert_eq!(ring.pop_front(), queue.pop_front()),
                    _ => prop_assert_eq!(ring.remove(index), queue.remove(index)),
                }
                if let Some(place) = ring.get_mut(index) {
                    *place = place.wrapping_add(1);
                    queue[index] = queue[index].wrapping_add(1);
                }
                prop_assert!(ring.len() <= 6 && ring.iter().eq(&queue));
                prop_assert_eq!(ring.get(index), queue.get(index));
            }
        }
    }
}
