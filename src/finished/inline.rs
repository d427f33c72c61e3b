//! [`InlineResults`]: those of a chain or a pool without an allocator, in a ring inside the value.
//!
//! With `N` slots, at most `N` results are held while a future is started, so there are never more than `2 * N`: that many
//! places the ring has. Every result counts against the bound, in order or not, since there is no more room. Batches are for
//! results on the heap: they would not fit in here.

use core::ops::Range;

use super::{ChainResults, Finished};
use crate::ring::Ring;

/// What a ring never lacks.
const ROOM: &str = "no future is started unless there is room for its result";

/// The results, and in an ordered chain also the futures that are active, in the order of the source.
pub struct InlineResults<T, const N: usize> {
    /// Each with its number; `None` as long as the future is active.
    window: Ring<(u64, Option<T>), N, 2>,
    /// How many at the front have finished: their turn has come.
    run: usize,
    /// How many have finished.
    held: usize,
    is_unordered: bool,
    /// Which result is the last one that is wanted.
    is_error: Option<fn(&T) -> bool>,
}

impl<T, const N: usize> InlineResults<T, N> {
    #[inline(always)]
    pub(crate) const fn new(is_unordered: bool) -> Self {
        Self { window: Ring::new(), run: 0, held: 0, is_unordered, is_error: None }
    }

    /// Takes the result with this number, if it is there.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let index = self.window.iter().position(|(other, output)| *other == number && output.is_some())?;
        self.run -= 1;
        self.held -= 1;
        self.window.remove(index)?.1
    }

    /// Finds a future that has not finished.
    #[inline]
    fn find(&self, number: u64) -> Option<usize> {
        (self.run..self.window.len()).find(|&index| self.window.get(index).is_some_and(|entry| entry.0 == number))
    }

    /// Extends the run by those behind it that have finished.
    #[inline]
    fn extend_run(&mut self) {
        while let Some((_, Some(_))) = self.window.get(self.run) {
            self.run += 1;
        }
    }

    #[inline]
    fn push_back(&mut self, number: u64, output: Option<T>) {
        assert!(self.window.push_back((number, output)).is_ok(), "{ROOM}");
    }
}

impl<T, const N: usize> Finished for InlineResults<T, N> {
    type Output = T;

    #[inline]
    fn started(&mut self, number: u64, _: usize) {
        if !self.is_unordered {
            self.push_back(number, None);
        }
    }

    #[inline]
    fn push(&mut self, number: u64, output: T) -> bool {
        if self.is_error.is_some_and(|is_error| is_error(&output)) {
            // The others are dropped when the driver gets to it. Its own entry makes room.
            if let Some(index) = self.find(number) {
                drop(self.window.remove(index));
            }
            self.push_back(number, Some(output));
            return true;
        }
        self.held += 1;
        let index = if self.is_unordered { None } else { self.find(number) };
        match index.and_then(|index| self.window.get_mut(index)) {
            Some(entry) => entry.1 = Some(output),
            // It has finished at its first poll, or there is no order.
            None => self.push_back(number, Some(output)),
        }
        self.extend_run();
        false
    }

    fn skip(&mut self, number: u64) {
        if let Some(index) = self.find(number) {
            drop(self.window.remove(index));
            self.extend_run();
        }
    }

    fn skip_range(&mut self, _: Range<u64>) {}

    #[inline]
    fn len(&self) -> usize {
        self.held
    }

    #[inline]
    fn due(&self) -> usize {
        self.run
    }

    #[inline]
    fn ahead(&self) -> usize {
        self.held - self.run
    }

    fn capacity(&self) -> usize {
        N
    }

    fn drop_rest(&mut self) {
        (self.is_unordered, self.run, self.held) = (true, 1, 1);
        // One by one: if a destructor panics, this is called again.
        while self.window.len() > 1 {
            drop(self.window.pop_front());
        }
    }
}

impl<T, const N: usize> ChainResults for InlineResults<T, N> {
    type Of<U> = InlineResults<U, N>;

    fn renew<U>(&self) -> InlineResults<U, N> {
        InlineResults::new(self.is_unordered)
    }

    #[inline]
    fn make_unordered(&mut self) {
        self.is_unordered = true;
        if self.window.len() > 0 {
            self.drop_open();
        }
    }

    fn close_at(&mut self, is_error: fn(&T) -> bool) {
        self.is_error = Some(is_error);
    }

    fn may_close(&self) -> bool {
        self.is_error.is_some()
    }

    #[inline]
    fn pop_numbered(&mut self) -> Option<(u64, T)> {
        if self.run == 0 {
            return None;
        }
        let (number, output) = self.window.pop_front()?;
        self.run -= 1;
        self.held -= 1;
        output.map(|output| (number, output))
    }
}

impl<T, const N: usize> InlineResults<T, N> {
    /// Drops the entries of futures that are active.
    #[cold]
    fn drop_open(&mut self) {
        let mut index = self.window.len();
        while index > self.run {
            index -= 1;
            if self.window.get(index).is_some_and(|(_, output)| output.is_none()) {
                drop(self.window.remove(index));
            }
        }
        self.run = self.window.len();
    }
}
