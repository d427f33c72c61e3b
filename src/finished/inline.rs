//! Results without an allocator: [`InlineUnordered`] and [`InlineOrdered`], which keep them in a ring inside the value.
//!
//! With `N` slots, at most `N` results are held while a future is started, so there are never more than `2 * N`: that many
//! places the rings have. Every result counts against the backlog, in order or not, since there is no more room. Batches are
//! for results on the heap: they would not fit in here.

use super::{Finished, IntoUnordered, Order};
use crate::ring::Ring;

/// What a ring is never short of.
const ROOM: &str = "no future is started unless there is room for its result";

/// Results in the order in which the futures finished, inside the value: at most `2 * N`.
///
/// [`InlineOrdered`] has an example.
#[derive(Debug)]
pub struct InlineUnordered<T, const N: usize> {
    results: Ring<(u64, T), N, 2>,
}

/// Results in the order of the source, inside the value: at most `2 * N` futures have been started whose results were not
/// taken.
///
/// # Examples
///
/// ```
/// use futures::stream::{self, StreamExt};
/// use futures_pool::inline::{InlineSet, Slots};
/// use futures_pool::{PoolMap, map::{InlineOrdered, Mapped, Plain}, prelude::*};
/// use std::{future::Ready, future::ready, ops::Range, pin::pin};
///
/// type Sensors = Mapped<Plain<stream::Iter<Range<u8>>>, fn(u8) -> Ready<u32>>;
/// /// A chain with its name in full, as a `static` needs it.
/// type Readings = PoolMap<Sensors, Ready<u32>, InlineOrdered<u32, 4>, InlineSet<Ready<u32>, 4>>;
///
/// # futures::executor::block_on(async {
/// let readings: Readings = (0..9).pool_map_inline(Slots::<4>, |sensor| ready(u32::from(sensor) * 10));
/// assert_eq!(pin!(readings).skip(1).next().await, Some(10));
/// # });
/// ```
#[derive(Debug)]
pub struct InlineOrdered<T, const N: usize> {
    /// What was started, in its order, with its result if it has finished.
    started: Ring<(u64, Option<T>), N, 2>,
    /// How many at the front have finished: their turn has come.
    run: usize,
    /// How many have finished.
    held: usize,
}

impl<T, const N: usize> InlineUnordered<T, N> {
    /// Takes the result with this number, if it is there.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let index = self.results.iter().position(|result| result.0 == number)?;
        self.results.remove(index).map(|(_, output)| output)
    }
}

impl<T, const N: usize> Finished for InlineUnordered<T, N> {
    type Output = T;

    #[inline(always)]
    fn started(&mut self, _: u64, _: usize) {}

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) {
        assert!(self.results.push_back((number, output)).is_ok(), "{ROOM}");
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(u64, T)> {
        self.results.pop_front()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.results.len()
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.results.len()
    }

    fn room(&self) -> usize {
        N
    }
}

impl<T, const N: usize> InlineOrdered<T, N> {
    /// Finds a future that has not finished.
    #[inline(always)]
    fn find(&self, number: u64) -> Option<usize> {
        (self.run..self.started.len()).find(|&index| self.started.get(index).is_some_and(|it| it.0 == number))
    }

    /// Lengthens the run by those behind it that have finished.
    #[inline(always)]
    fn run_on(&mut self) {
        while let Some((_, Some(_))) = self.started.get(self.run) {
            self.run += 1;
        }
    }
}

impl<T, const N: usize> Finished for InlineOrdered<T, N> {
    type Output = T;

    #[inline(always)]
    fn started(&mut self, number: u64, _slot: usize) {
        assert!(self.started.push_back((number, None)).is_ok(), "{ROOM}");
    }

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) {
        self.held += 1;
        match self.find(number).and_then(|index| self.started.get_mut(index)) {
            Some(started) => started.1 = Some(output),
            // It has finished at its first poll.
            None => assert!(self.started.push_back((number, Some(output))).is_ok(), "{ROOM}"),
        }
        self.run_on();
    }

    fn skip(&mut self, number: u64) {
        if let Some(index) = self.find(number) {
            drop(self.started.remove(index));
            self.run_on();
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(u64, T)> {
        if self.run == 0 {
            return None;
        }
        let (number, output) = self.started.pop_front()?;
        self.run -= 1;
        self.held -= 1;
        output.map(|output| (number, output))
    }

    fn len(&self) -> usize {
        self.held
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.run
    }

    #[inline(always)]
    fn held(&self) -> usize {
        self.held
    }

    fn room(&self) -> usize {
        N
    }
}

impl<T, const N: usize> Default for InlineUnordered<T, N> {
    fn default() -> Self {
        Self { results: Ring::new() }
    }
}

impl<T, const N: usize> Default for InlineOrdered<T, N> {
    fn default() -> Self {
        Self { started: Ring::new(), run: 0, held: 0 }
    }
}

impl<T, const N: usize> Order for InlineUnordered<T, N> {
    type Of<U> = InlineUnordered<U, N>;
}

impl<T, const N: usize> Order for InlineOrdered<T, N> {
    type Of<U> = InlineOrdered<U, N>;
}

impl<T, const N: usize> IntoUnordered for InlineUnordered<T, N> {
    type Unordered = Self;

    fn into_unordered(self) -> Self {
        self
    }
}

impl<T, const N: usize> IntoUnordered for InlineOrdered<T, N> {
    type Unordered = InlineUnordered<T, N>;

    #[inline]
    fn into_unordered(mut self) -> InlineUnordered<T, N> {
        let mut unordered = InlineUnordered::default();
        while let Some((number, started)) = self.started.pop_front() {
            if let Some(output) = started {
                unordered.push(number, output);
            }
        }
        unordered
    }
}
