//! What came out of a run.

use std::cell::Cell;
use std::hint::black_box;

/// How many results came, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Total {
    count: u64,
    sum: u64,
}

impl Total {
    /// Of the numbers below `items`, each of them once.
    pub(crate) fn expected(items: u64) -> Self {
        Self { count: items, sum: (0..items).sum() }
    }

    pub(crate) fn add(&mut self, item: u64) {
        self.count += 1;
        self.sum += black_box(item);
    }

    /// Adds to a total that is shared by closures.
    pub(crate) fn add_to(total: &Cell<Self>, item: u64) {
        let mut sum = total.get();
        sum.add(item);
        total.set(sum);
    }
}
