//! [`Ordered`]: results in the order of the source.

use alloc::collections::VecDeque;
use core::mem;
use core::ops::Range;

use super::{Finished, IntoUnordered, Order, Unordered};

/// Results in the order of the source: a window over the numbers from the next one to be handed over to the last one
/// that has finished.
#[derive(Debug)]
pub struct Ordered<T> {
    window: VecDeque<Place<T>>,
    /// The number of the place at the front.
    first: u64,
    /// How many places at the front are not open: their turn has come.
    run: usize,
    /// How many of these were gathered.
    gathered: usize,
    /// How many of these are results.
    gathered_results: usize,
    /// How many results there are in the run and not gathered.
    due: usize,
    /// How many results there are.
    len: usize,
    /// Whether results count against the backlog before their turn.
    count_all: bool,
}

/// What is known of one number.
#[derive(Debug)]
enum Place<T> {
    /// Its future has not ended.
    Open,
    /// Its future has ended.
    Held(T),
    /// It will never have a result.
    Skipped,
}

impl<T> Ordered<T> {
    /// Settles an open place.
    #[inline]
    fn settle(&mut self, number: u64, place: Place<T>) {
        // Places before the front were handed over, so a number is never below it; and a distance that does not fit
        // could not have been filled.
        let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if index == self.window.len() {
            self.window.push_back(place);
        } else {
            self.settle_apart(index, place);
        }
        if index == self.run {
            self.lengthen_run();
        }
    }

    /// Settles a place that is not the next one of the window.
    fn settle_apart(&mut self, index: usize, place: Place<T>) {
        if index > self.window.len() {
            self.window.resize_with(index, || Place::Open);
            self.window.push_back(place);
        } else {
            self.window[index] = place;
        }
    }

    /// Counts in the places behind the run that are no longer open.
    fn lengthen_run(&mut self) {
        loop {
            match self.window.get(self.run) {
                Some(Place::Held(_)) => self.due += 1,
                Some(Place::Skipped) => {}
                Some(Place::Open) | None => return,
            }
            self.run += 1;
        }
    }
}

impl<T> Finished for Ordered<T> {
    type Output = T;

    fn push(&mut self, number: u64, output: T) {
        self.len += 1;
        self.settle(number, Place::Held(output));
    }

    fn skip(&mut self, number: u64) {
        self.settle(number, Place::Skipped);
    }

    fn leave_out(&mut self, numbers: Range<u64>) {
        numbers.for_each(|number| self.skip(number));
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        while self.run > 0 {
            let place = self.window.pop_front()?;
            let number = self.first;
            self.first += 1;
            self.run -= 1;
            if let Place::Held(output) = place {
                self.len -= 1;
                self.due -= 1;
                return Some((number, output));
            }
        }
        None
    }

    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while self.gathered < self.run {
            let place = &self.window[self.gathered];
            self.gathered += 1;
            if let Place::Held(output) = place {
                self.due -= 1;
                self.gathered_results += 1;
                if when(output) {
                    return true;
                }
            }
        }
        false
    }

    fn ungather(&mut self) {
        self.due += mem::take(&mut self.gathered_results);
        self.gathered = 0;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn due(&self) -> usize {
        self.due
    }

    fn held(&self) -> usize {
        if self.count_all { self.len - self.gathered_results } else { self.due }
    }

    fn count_all(&mut self) {
        self.count_all = true;
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            window: VecDeque::new(),
            first: 0,
            run: 0,
            gathered: 0,
            gathered_results: 0,
            due: 0,
            len: 0,
            count_all: false,
        }
    }
}

impl<T> Order for Ordered<T> {
    type Of<U> = Ordered<U>;
}

impl<T> IntoUnordered for Ordered<T> {
    type Unordered = Unordered<T>;

    fn into_unordered(self) -> Unordered<T> {
        let mut unordered = Unordered::default();
        for (number, place) in (self.first..).zip(self.window) {
            if let Place::Held(output) = place {
                unordered.push(number, output);
            }
        }
        unordered
    }
}
