//! [`Unordered`]: results as they finish.

use alloc::collections::VecDeque;

use super::{Finished, IntoUnordered, Order};

/// Results in the order in which the futures finished.
#[derive(Debug)]
pub struct Unordered<T> {
    results: VecDeque<(u64, T)>,
    /// How many results at the front were gathered.
    gathered: usize,
}

impl<T> Finished for Unordered<T> {
    type Output = T;

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) {
        self.results.push_back((number, output));
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(u64, T)> {
        self.results.pop_front()
    }

    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while let Some((_, output)) = self.results.get(self.gathered) {
            self.gathered += 1;
            if when(output) {
                return true;
            }
        }
        false
    }

    fn ungather(&mut self) {
        self.gathered = 0;
    }

    fn len(&self) -> usize {
        self.results.len()
    }

    fn due(&self) -> usize {
        self.results.len() - self.gathered
    }
}

impl<T> Default for Unordered<T> {
    fn default() -> Self {
        Self { results: VecDeque::new(), gathered: 0 }
    }
}

impl<T> Order for Unordered<T> {
    type Of<U> = Unordered<U>;
}

impl<T> IntoUnordered for Unordered<T> {
    type Unordered = Self;

    fn into_unordered(self) -> Self {
        self
    }
}
