//! [`FreeNumbers`]: which numbers are free, for the lowest to be given out.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

/// A set of free numbers.
pub trait FreeNumbers {
    /// Returns the lowest.
    fn lowest(&mut self) -> usize;

    /// Takes a number out.
    fn take(&mut self, number: usize);

    /// Puts a number in again.
    fn release(&mut self, number: usize);
}

/// From 0 to 31, a bit for each that is taken.
impl FreeNumbers for u32 {
    fn lowest(&mut self) -> usize {
        self.trailing_ones() as usize
    }

    fn take(&mut self, number: usize) {
        *self |= 1 << number;
    }

    fn release(&mut self, number: usize) {
        *self &= !(1 << number);
    }
}

#[cfg(feature = "alloc")]
const WIDTH: usize = usize::BITS as usize;

/// Any number, a bit for each that is taken.
#[cfg(feature = "alloc")]
pub struct Numbers {
    words: Vec<usize>,
    /// No word before this one has a free number.
    first: usize,
}

#[cfg(feature = "alloc")]
impl Numbers {
    pub(crate) const fn new() -> Self {
        Self { words: Vec::new(), first: 0 }
    }
}

#[cfg(feature = "alloc")]
impl FreeNumbers for Numbers {
    fn lowest(&mut self) -> usize {
        while let Some(&word) = self.words.get(self.first) {
            if word != usize::MAX {
                return self.first * WIDTH + word.trailing_ones() as usize;
            }
            self.first += 1;
        }
        self.words.len() * WIDTH
    }

    fn take(&mut self, number: usize) {
        if number / WIDTH == self.words.len() {
            self.words.push(0);
        }
        self.words[number / WIDTH] |= 1 << (number % WIDTH);
    }

    fn release(&mut self, number: usize) {
        self.words[number / WIDTH] &= !(1 << (number % WIDTH));
        self.first = self.first.min(number / WIDTH);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set that is searched from 0.
        #[test]
        fn the_lowest_number_is_given_out(steps in prop::collection::vec((any::<bool>(), 0..300_usize), 0..600)) {
            let mut numbers = Numbers::new();
            let mut taken = BTreeSet::new();
            for (takes, index) in steps {
                if takes || taken.is_empty() {
                    let lowest = (0..=taken.len()).find(|number| !taken.contains(number)).unwrap();
                    prop_assert_eq!(numbers.lowest(), lowest);
                    numbers.take(lowest);
                    taken.insert(lowest);
                } else {
                    let number = *taken.iter().nth(index % taken.len()).unwrap();
                    numbers.release(number);
                    taken.remove(&number);
                }
            }
        }
    }
}
