//! [`HeapResults`]: those of a chain, on the heap.
//!
//! Mostly they are in the queue of [`Results`]. Two things are added to it. For `.await`, which holds all results in any case,
//! each is written to its place among all, and nothing is handed over before the end. For `consume`, which takes several
//! results at a time, those count that were taken and not yet asked for.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use super::{ChainResults, Finished, Gathering, Results};

/// See the [module](self).
pub struct HeapResults<T> {
    queue: Results<T>,
    /// How many results were taken that still count as held and due.
    taken: usize,
    /// The results of all futures, each at the place of its number, if they are collected. In an unordered chain, as they
    /// finish.
    all: Vec<Option<T>>,
    is_collecting: bool,
    is_unordered: bool,
    /// Which result is the last one that is wanted.
    is_error: Option<fn(&T) -> bool>,
}

impl<T> HeapResults<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: Results::new(),
            taken: 0,
            all: Vec::new(),
            is_collecting: false,
            is_unordered: false,
            is_error: None,
        }
    }

    /// Collects all results from now on, for so many futures or more. None may have been started.
    pub(crate) fn collect_all(&mut self, futures: usize) {
        self.is_collecting = true;
        self.all.reserve_exact(futures);
    }

    /// Takes the results that were collected, in order.
    #[expect(clippy::filter_map_identity, reason = "what `flatten` gives is not collected in the memory that it is in")]
    pub(crate) fn take_collected(&mut self) -> impl Iterator<Item = T> + use<T> {
        mem::take(&mut self.all).into_iter().filter_map(|result| result)
    }

    /// Returns how many results were collected.
    pub(crate) fn collected(&self) -> usize {
        self.all.iter().flatten().count()
    }

    /// Writes a result to its place.
    #[inline(never)]
    fn place(&mut self, number: u64, output: T) {
        // A future for which there could be no place was never made.
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if self.is_unordered || place == self.all.len() {
            self.all.push(Some(output));
            return;
        }
        while self.all.len() <= place {
            self.all.push(None);
        }
        self.all[place] = Some(output);
    }
}

impl<T> Finished for HeapResults<T> {
    type Output = T;

    #[inline(always)]
    fn started(&mut self, number: u64, slot: usize) {
        self.queue.started(number, slot);
    }

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) -> bool {
        if self.is_collecting && !self.is_error.is_some_and(|is_error| is_error(&output)) {
            self.place(number, output);
            return false;
        }
        self.queue.push(number, output)
    }

    fn skip(&mut self, number: u64) {
        if !self.is_collecting {
            self.queue.skip(number);
        }
    }

    fn skip_range(&mut self, numbers: Range<u64>) {
        if !self.is_collecting {
            self.queue.skip_range(numbers);
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.queue.len()
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.queue.due() + self.taken
    }

    #[inline(always)]
    fn held(&self) -> usize {
        self.queue.held() + self.taken
    }

    fn drop_rest(&mut self) {
        self.queue.drop_rest();
        self.all.clear();
    }
}

impl<T> ChainResults for HeapResults<T> {
    type Of<U> = HeapResults<U>;
    const COUNTS_TAKEN: bool = true;

    fn renew<U>(&self) -> HeapResults<U> {
        HeapResults { queue: self.queue.renew(), is_unordered: self.is_unordered, ..HeapResults::new() }
    }

    #[inline]
    fn make_unordered(&mut self) {
        self.is_unordered = true;
        self.queue.make_unordered();
    }

    fn close_at(&mut self, is_error: fn(&T) -> bool) {
        self.is_error = Some(is_error);
        self.queue.close_at(is_error);
    }

    fn may_close(&self) -> bool {
        self.queue.may_close()
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<T> {
        self.queue.pop()
    }

    #[inline(always)]
    fn pop_numbered(&mut self) -> Option<(u64, T)> {
        self.queue.pop_numbered()
    }

    #[inline(always)]
    fn is_collecting(&self) -> bool {
        self.is_collecting
    }

    #[inline(always)]
    fn count_taken(&mut self, results: usize) {
        self.taken = results;
    }
}

impl<T> Gathering for HeapResults<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        self.queue.gather(when)
    }

    fn gathered(&self) -> usize {
        self.queue.gathered()
    }

    fn ungather(&mut self) {
        self.queue.ungather();
    }
}
