//! [`Ordered`]: results in the order of the source.

use alloc::collections::VecDeque;
use core::mem;
use core::ops::Range;

use super::{Finished, Gathering, IntoUnordered, Order, Unordered};

/// Results in the order of the source: a window over the numbers from the next one to be handed over to the last one
/// that has finished.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{PoolMap, map::{Ordered, Source}, prelude::*};
/// use std::{future::ready, pin::pin};
///
/// /// Asks for results in the order of the source: the last is that of the last item.
/// async fn last<Src: Source<Fut>, Fut: Future>(chain: PoolMap<Src, Fut, Ordered<Fut::Output>>) -> Option<Fut::Output> {
///     pin!(chain).fold(None, |_, result| ready(Some(result))).await
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(last((1..=3).pool_map(2, ready)).await, Some(3));
/// # });
/// ```
#[derive(Debug)]
pub struct Ordered<T> {
    window: VecDeque<Place<T>>,
    /// The number after that of the last place.
    next: u64,
    /// How many places at the front are not open: their turn has come. The first of them is a result.
    run: usize,
    /// How many of these are skipped, or are results that were gathered.
    not_due: usize,
    /// How many places of the run were looked at, to gather what is there.
    looked_at: usize,
    /// How many of these are results: the batch under way.
    gathered: usize,
    /// How many results there are behind the run.
    ahead: usize,
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
    /// The number of the place at the front.
    fn first(&self) -> u64 {
        self.next - self.window.len() as u64
    }

    /// Settles an open place.
    #[inline(always)]
    fn settle(&mut self, number: u64, place: Place<T>) {
        if number == self.next && self.run == self.window.len() && matches!(place, Place::Held(_)) {
            self.next += 1;
            self.run += 1;
            self.window.push_back(place);
        } else {
            self.settle_apart(number, place);
        }
    }

    /// Settles a place that is not a result, or not the next one of both the run and the window.
    fn settle_apart(&mut self, number: u64, place: Place<T>) {
        self.ahead += usize::from(matches!(place, Place::Held(_)));
        // Places before the front were handed over, so a number is never below it; and a distance that does not fit
        // could not have been filled.
        let index = usize::try_from(number - self.first()).unwrap_or(usize::MAX);
        if index < self.window.len() {
            self.window[index] = place;
        } else {
            self.window.resize_with(index, || Place::Open);
            self.window.push_back(place);
            self.next = number + 1;
        }
        // If it is the next one of the run, the run goes on up to the next open place.
        while index <= self.run {
            match self.window.get(self.run) {
                Some(Place::Held(_)) => self.ahead -= 1,
                Some(Place::Skipped) => self.not_due += 1,
                Some(Place::Open) | None => break,
            }
            self.run += 1;
        }
        self.drop_skipped();
    }

    /// Drops the skipped places at the front.
    fn drop_skipped(&mut self) {
        while let Some(Place::Skipped) = self.window.front() {
            self.window.pop_front();
            self.run -= 1;
            self.not_due -= 1;
        }
    }
}

impl<T> Finished for Ordered<T> {
    type Output = T;

    #[inline(always)]
    fn started(&mut self, _: u64, _: usize) {}

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) {
        self.settle(number, Place::Held(output));
    }

    fn skip(&mut self, number: u64) {
        self.settle(number, Place::Skipped);
    }

    fn leave_out(&mut self, numbers: Range<u64>) {
        numbers.for_each(|number| self.skip(number));
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(u64, T)> {
        if self.run == 0 {
            return None;
        }
        let number = self.first();
        let Some(Place::Held(output)) = self.window.pop_front() else { return None };
        self.run -= 1;
        if self.not_due > 0 {
            self.drop_skipped();
        }
        Some((number, output))
    }

    fn len(&self) -> usize {
        self.due() + self.gathered + self.ahead
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.run - self.not_due
    }

    #[inline(always)]
    fn held(&self) -> usize {
        if self.count_all { self.due() + self.ahead } else { self.due() }
    }

    fn count_all(&mut self) {
        self.count_all = true;
    }
}

impl<T> Gathering for Ordered<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while self.looked_at < self.run {
            let place = &self.window[self.looked_at];
            self.looked_at += 1;
            if let Place::Held(output) = place {
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
        self.not_due -= mem::take(&mut self.gathered);
        self.looked_at = 0;
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            window: VecDeque::new(),
            next: 0,
            run: 0,
            not_due: 0,
            looked_at: 0,
            gathered: 0,
            ahead: 0,
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
        for (number, place) in (self.first()..).zip(self.window) {
            if let Place::Held(output) = place {
                unordered.push(number, output);
            }
        }
        unordered
    }
}
