//! [`Results`]: those of a chain, on the heap.
//!
//! They are in one queue, the *window*, ordered or not. In an ordered chain its entries stand for the futures in the order of
//! the source, from the next one to be handed over to the last one that has ended; the result of a future is put into its
//! entry. In an unordered chain an entry is made when a future finishes. The entries at the front that do not wait for any
//! other are the *run*: their turn has come.

use alloc::collections::VecDeque;
use core::mem;
use core::ops::Range;

use super::{ChainResults, Finished, Gathering};

/// See the [module](self).
pub(crate) struct Results<T> {
    window: VecDeque<Entry<T>>,
    /// The number of the first entry, if there is an order.
    first: u64,
    /// How many results in the run were not gathered. The first entry of the run is a result.
    due: usize,
    /// How many entries in the run are skipped, or are results that were gathered.
    not_due: usize,
    /// How many results there are behind the run.
    ahead: usize,
    is_unordered: bool,
    /// How many entries of the run were looked at, to gather what is there.
    looked_at: usize,
    /// How many of these are results: the batch under way.
    gathered: usize,
    /// Which result is the last one that is wanted.
    is_error: Option<fn(&T) -> bool>,
}

struct Entry<T> {
    number: u64,
    place: Place<T>,
}

enum Place<T> {
    /// The future has not ended.
    Open,
    /// The future has finished.
    Held(T),
    /// The future will never have a result.
    Skipped,
}

impl<T> Results<T> {
    pub(crate) fn new() -> Self {
        Self {
            window: VecDeque::new(),
            first: 0,
            due: 0,
            not_due: 0,
            ahead: 0,
            is_unordered: false,
            looked_at: 0,
            gathered: 0,
            is_error: None,
        }
    }

    /// Creates one without an order.
    pub(crate) fn unordered() -> Self {
        Self { is_unordered: true, ..Self::new() }
    }

    /// Returns where the entry with this number is, or will be.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn index(&self, number: u64) -> usize {
        // The entries before the first were handed over, so a number is never below it; and a distance that does not fit
        // could not have been filled.
        if self.is_unordered { self.window.len() } else { (number - self.first) as usize }
    }

    /// Returns how many entries the run has.
    #[inline(always)]
    fn run(&self) -> usize {
        self.due + self.not_due
    }

    /// Reserves capacity for half as many again: by itself a queue would begin with four and double, which is much for
    /// a small pool.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.window.reserve_exact((self.window.len() / 2).max(2));
    }

    #[inline(always)]
    fn push_back(&mut self, number: u64, place: Place<T>) {
        if self.window.len() == self.window.capacity() {
            self.grow();
        }
        self.window.push_back(Entry { number, place });
    }

    /// Fills an entry that is not the one after the last.
    #[inline(never)]
    fn fill(&mut self, number: u64, place: Place<T>) {
        let index = self.index(number);
        while self.window.len() <= index {
            self.push_back(self.first + self.window.len() as u64, Place::Open);
        }
        self.ahead += usize::from(matches!(place, Place::Held(_)));
        self.window[index].place = place;
        // If it is the next one of the run, that now extends up to the next open entry.
        while let Some(entry) = self.window.get(self.run()) {
            match entry.place {
                Place::Open => break,
                Place::Held(_) => (self.due, self.ahead) = (self.due + 1, self.ahead - 1),
                Place::Skipped => self.not_due += 1,
            }
        }
        self.drop_skipped();
    }

    /// Drops the skipped entries at the front.
    #[cold]
    #[inline(never)]
    fn drop_skipped(&mut self) {
        while let Some(Entry { place: Place::Skipped, .. }) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
            self.not_due -= 1;
        }
    }

    /// Drops the entries that hold no result.
    #[cold]
    #[inline(never)]
    fn drop_open(&mut self) {
        for _ in 0..self.window.len() {
            if let Some(Entry { number, place: place @ Place::Held(_) }) = self.window.pop_front() {
                self.push_back(number, place);
            }
        }
        (self.due, self.ahead) = (self.window.len(), 0);
        (self.not_due, self.looked_at, self.gathered) = (0, 0, 0);
    }

    /// Takes the entry at the front.
    #[inline(always)]
    fn pop_entry(&mut self) -> Option<Entry<T>> {
        if self.due == 0 {
            return None;
        }
        let entry = self.window.pop_front();
        self.first += 1;
        self.due -= 1;
        if self.not_due > 0 {
            self.drop_skipped();
        }
        entry
    }
}

impl<T> Finished for Results<T> {
    type Output = T;

    /// An entry is made only when a later future ends before this one.
    #[inline(always)]
    fn started(&mut self, _: u64, _: usize) {}

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) -> bool {
        if let Some(is_error) = self.is_error {
            if is_error(&output) {
                // The others are dropped when the driver gets to it.
                self.push_back(number, Place::Held(output));
                return true;
            }
        }
        let len = self.window.len();
        if self.index(number) == len {
            self.push_back(number, Place::Held(output));
            if self.run() == len {
                self.due += 1;
            } else {
                self.ahead += 1;
            }
        } else {
            self.fill(number, Place::Held(output));
        }
        false
    }

    #[cold]
    fn skip(&mut self, number: u64) {
        if !self.is_unordered {
            self.fill(number, Place::Skipped);
        }
    }

    #[cold]
    fn skip_range(&mut self, numbers: Range<u64>) {
        numbers.for_each(|number| self.skip(number));
    }

    #[inline]
    fn len(&self) -> usize {
        self.held() + self.gathered
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.due
    }

    #[inline(always)]
    fn held(&self) -> usize {
        self.due + self.ahead
    }

    fn drop_rest(&mut self) {
        self.is_unordered = true;
        (self.due, self.not_due, self.ahead, self.looked_at, self.gathered) = (1, 0, 0, 0, 0);
        // One by one: if a destructor panics, this is called again.
        while self.window.len() > 1 {
            drop(self.window.pop_front());
        }
    }
}

impl<T> ChainResults for Results<T> {
    type Of<U> = Results<U>;

    fn renew<U>(&self) -> Results<U> {
        Results { is_unordered: self.is_unordered, ..Results::new() }
    }

    #[inline]
    fn make_unordered(&mut self) {
        self.is_unordered = true;
        if !self.window.is_empty() {
            self.drop_open();
        }
    }

    fn close_at(&mut self, is_error: fn(&T) -> bool) {
        self.is_error = Some(is_error);
    }

    fn may_close(&self) -> bool {
        self.is_error.is_some()
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<T> {
        match self.pop_entry()?.place {
            Place::Held(output) => Some(output),
            Place::Open | Place::Skipped => None,
        }
    }

    #[inline(always)]
    fn pop_numbered(&mut self) -> Option<(u64, T)> {
        let entry = self.pop_entry()?;
        match entry.place {
            Place::Held(output) => Some((entry.number, output)),
            Place::Open | Place::Skipped => None,
        }
    }
}

impl<T> Gathering for Results<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while self.looked_at < self.run() {
            let entry = &self.window[self.looked_at];
            self.looked_at += 1;
            if let Place::Held(output) = &entry.place {
                self.due -= 1;
                self.not_due += 1;
                self.gathered += 1;
                if when(output) {
                    return true;
                }
            }
        }
        false
    }

    fn gathered(&self) -> usize {
        self.gathered
    }

    fn ungather(&mut self) {
        let gathered = mem::take(&mut self.gathered);
        self.not_due -= gathered;
        self.due += gathered;
        self.looked_at = 0;
    }
}
