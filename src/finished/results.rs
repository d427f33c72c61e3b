//! [`Results`]: those of a chain, on the heap.
//!
//! Results whose turn has come are in one queue, [`due`](Results::due), from which they are handed over. Without an order that
//! is every result. With one, a result that came ahead of an earlier one waits in a second queue, [`ahead`](Results::ahead),
//! with an entry for each future from the next in turn to the last that has ended. It moves to the first queue when nothing
//! before it is missing any more.
//!
//! Where all results are [collected](Results::collect_all), for `.await`, which holds them in any case, each is written to its
//! place among all, and none is due before the end.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use super::{ChainResults, Finished, Gathering};

/// See the [module](self).
pub struct Results<T> {
    /// The results whose turn has come, each with its number.
    due: VecDeque<(u64, T)>,
    /// How many of these, at the front, are gathered: the batch under way.
    gathered: usize,
    /// How many results are no longer in the queue, but count as if they were due.
    taken: usize,
    /// How many of the results that are due do not count, `gathered` less `taken`; wraps around.
    uncounted: usize,
    /// What came ahead of its turn. If there is anything, the first entry is the next in turn, and open.
    ahead: VecDeque<Place<T>>,
    /// How many of these are results.
    ahead_held: usize,
    /// The number of the future that is the next in turn, if there is an order.
    next: u64,
    is_unordered: bool,
    /// Whether there is neither an order nor a last result, nor are they collected: follows from the other fields.
    is_plain: bool,
    is_collecting: bool,
    /// The results that are collected, each at the place of its number; without an order, as they finish.
    collected: Vec<Option<T>>,
    /// Which result is the last one that is wanted.
    is_error: Option<fn(&T) -> bool>,
}

/// What has become of a future.
enum Place<T> {
    /// It has not ended.
    Open,
    /// It has finished.
    Held(T),
    /// It will never have a result.
    Skipped,
}

impl<T> Results<T> {
    pub(crate) fn new() -> Self {
        Self {
            due: VecDeque::new(),
            gathered: 0,
            taken: 0,
            uncounted: 0,
            ahead: VecDeque::new(),
            ahead_held: 0,
            next: 0,
            is_unordered: false,
            is_plain: false,
            is_collecting: false,
            collected: Vec::new(),
            is_error: None,
        }
    }

    /// Creates one without an order.
    pub(crate) fn unordered() -> Self {
        Self { is_unordered: true, is_plain: true, ..Self::new() }
    }

    #[inline]
    fn push_due(&mut self, number: u64, output: T) {
        if self.due.len() == self.due.capacity() {
            grow_and_push(&mut self.due, (number, output));
        } else {
            self.due.push_back((number, output));
        }
    }

    /// Collects all results from now on, of so many futures or more. None may have been started.
    pub(crate) fn collect_all(&mut self, futures: usize) {
        (self.is_collecting, self.is_plain) = (true, false);
        self.collected.reserve_exact(futures);
    }

    /// Takes the results that were collected, in order.
    #[expect(clippy::filter_map_identity, reason = "what `flatten` gives is not collected in the memory that it is in")]
    pub(crate) fn take_collected(&mut self) -> impl Iterator<Item = T> + use<T> {
        mem::take(&mut self.collected).into_iter().filter_map(|result| result)
    }

    /// Returns how many results were collected.
    pub(crate) fn collected(&self) -> usize {
        self.collected.iter().flatten().count()
    }

    /// Writes a result to its place.
    #[inline(never)]
    fn collect(&mut self, number: u64, output: T) {
        // A future for which there could be no place was never made.
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if self.is_unordered || place == self.collected.len() {
            self.collected.push(Some(output));
            return;
        }
        while self.collected.len() <= place {
            self.collected.push(None);
        }
        self.collected[place] = Some(output);
    }

    /// Changes how many results are gathered, and how many taken.
    fn count(&mut self, gathered: usize, taken: usize) {
        (self.gathered, self.taken, self.uncounted) = (gathered, taken, gathered.wrapping_sub(taken));
    }

    /// Keeps an output if there is an order, or a last result, or if they are collected.
    #[inline(never)]
    fn push_in_order(&mut self, number: u64, output: T) -> bool {
        if let Some(is_error) = self.is_error {
            if is_error(&output) {
                // Ahead of any order. The others are dropped when the driver gets to it.
                self.push_due(number, output);
                return true;
            }
        }
        if self.is_collecting {
            self.collect(number, output);
        } else if self.is_unordered {
            self.push_due(number, output);
        } else if number == self.next {
            self.push_due(number, output);
            self.next += 1;
            if !self.ahead.is_empty() {
                self.advance();
            }
        } else {
            self.push_ahead(number, Place::Held(output));
        }
        false
    }

    /// Moves what is next in turn to the results that are due, after `next` has ended.
    #[cold]
    #[inline(never)]
    fn advance(&mut self) {
        // Its own entry, which is open.
        self.ahead.pop_front();
        while let Some(Place::Held(_) | Place::Skipped) = self.ahead.front() {
            if let Some(Place::Held(output)) = self.ahead.pop_front() {
                self.ahead_held -= 1;
                self.push_due(self.next, output);
            }
            self.next += 1;
        }
    }

    /// Records what has become of a future that is not the next in turn.
    fn push_ahead(&mut self, number: u64, place: Place<T>) {
        // What has ended is not told of again, so no number is below the next in turn; and a distance that does not fit could
        // not have been filled.
        #[allow(clippy::cast_possible_truncation)]
        let index = (number - self.next) as usize;
        while self.ahead.len() <= index {
            if self.ahead.len() == self.ahead.capacity() {
                grow_and_push(&mut self.ahead, Place::Open);
            } else {
                self.ahead.push_back(Place::Open);
            }
        }
        self.ahead_held += usize::from(matches!(place, Place::Held(_)));
        self.ahead[index] = place;
    }

    /// Makes due whatever came ahead of its turn.
    #[cold]
    #[inline(never)]
    fn take_ahead(&mut self) {
        while !self.ahead.is_empty() {
            self.next += 1;
            self.advance();
        }
    }
}

/// Makes room for half as many again: by itself a queue would begin with four and double, which is much for a small pool.
#[cold]
#[inline(never)]
fn grow_and_push<T>(queue: &mut VecDeque<T>, value: T) {
    queue.reserve_exact((queue.len() / 2).max(2));
    queue.push_back(value);
}

impl<T> Finished for Results<T> {
    type Output = T;

    /// An entry is made only when a later future ends before this one.
    #[inline]
    fn started(&mut self, _: u64, _: usize) {}

    #[inline]
    fn push(&mut self, number: u64, output: T) -> bool {
        if self.is_plain {
            self.push_due(number, output);
            return false;
        }
        self.push_in_order(number, output)
    }

    #[cold]
    fn skip(&mut self, number: u64) {
        if self.is_unordered || self.is_collecting {
            return;
        }
        if number == self.next {
            self.next += 1;
            self.advance();
        } else {
            self.push_ahead(number, Place::Skipped);
        }
    }

    #[cold]
    #[inline(never)]
    fn skip_range(&mut self, numbers: Range<u64>) {
        numbers.for_each(|number| self.skip(number));
    }

    #[inline]
    fn len(&self) -> usize {
        self.due.len() + self.ahead_held
    }

    #[inline]
    fn due(&self) -> usize {
        self.due.len().wrapping_sub(self.uncounted)
    }

    #[inline]
    fn ahead(&self) -> usize {
        self.ahead_held
    }

    fn is_next(&self, number: u64) -> bool {
        !self.is_unordered && number == self.next && self.due.is_empty()
    }

    #[inline(never)]
    fn drop_rest(&mut self) {
        self.is_unordered = true;
        self.count(0, 0);
        self.collected.clear();
        // One by one: if a destructor panics, this is called again.
        while let Some(place) = self.ahead.pop_front() {
            self.ahead_held -= usize::from(matches!(place, Place::Held(_)));
        }
        while self.due.len() > 1 {
            drop(self.due.pop_front());
        }
    }
}

impl<T> ChainResults for Results<T> {
    type Of<U> = Results<U>;
    const COUNTS_TAKEN: bool = true;

    fn renew<U>(&self) -> Results<U> {
        if self.is_unordered { Results::unordered() } else { Results::new() }
    }

    #[inline]
    fn make_unordered(&mut self) {
        self.is_unordered = true;
        self.is_plain = self.is_error.is_none() && !self.is_collecting;
        if !self.ahead.is_empty() {
            self.take_ahead();
        }
    }

    fn close_at(&mut self, is_error: fn(&T) -> bool) {
        (self.is_error, self.is_plain) = (Some(is_error), false);
    }

    fn may_close(&self) -> bool {
        self.is_error.is_some()
    }

    #[inline]
    fn pop_numbered(&mut self) -> Option<(u64, T)> {
        self.due.pop_front()
    }

    fn is_collecting(&self) -> bool {
        self.is_collecting
    }

    fn count_taken(&mut self, results: usize) {
        self.count(self.gathered, results);
    }
}

impl<T> Gathering for Results<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while let Some((_, output)) = self.due.get(self.gathered) {
            self.gathered += 1;
            self.uncounted = self.uncounted.wrapping_add(1);
            if when(output) {
                return true;
            }
        }
        false
    }

    fn gathered(&self) -> usize {
        self.gathered
    }

    fn ungather(&mut self) {
        self.count(0, self.taken);
    }
}
