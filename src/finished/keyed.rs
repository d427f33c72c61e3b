//! [`Keyed`]: results as they finish, or by key.
//!
//! Results are in a queue, in the order in which they finished. One taken from its middle leaves a tombstone. That is
//! removed when it comes to the front, or when there are more tombstones than results. Each result has a *rank*, which
//! is how many had finished before it, less the tombstones that were removed; so the place of a result in the queue
//! follows from its rank.
//!
//! Those in *focus*, which an `itermap` or `map_all` waits for, also have a queue of their own.
//!
//! The index from numbers to ranks is made when somebody first asks for a future or a result by its key, and kept from
//! then on: a pool that is only used as a stream does without.

use alloc::collections::VecDeque;
use core::hash::{BuildHasherDefault, Hasher};
use core::ops::Range;

use hashbrown::HashMap;

use super::{Finished, Gathering};

/// The finished results of a [`Pool`](crate::Pool), and where each future is that has left the queue.
pub(crate) struct Keyed<T> {
    /// Each result with its number. The first is not a tombstone.
    results: VecDeque<Option<(u64, T)>>,
    /// How many of these are tombstones.
    tombstones: usize,
    /// How many results there ever were: the rank of the next one.
    executed: usize,
    /// The numbers in focus.
    focus: Range<u64>,
    /// How many of these have ended, with or without a result.
    focus_ended: u64,
    /// The ranks of those that have a result, in the order in which they finished.
    focused: VecDeque<usize>,
    /// How many of these were gathered.
    gathered: usize,
    index: Option<HashMap<u64, Place, BuildHasherDefault<NumberHasher>>>,
}

/// Where a future, or its result, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this slot of the active set.
    Active(usize),
    /// Among the results, with this rank.
    Finished(usize),
}

/// So many tombstones are never too many.
const TOMBSTONES: usize = 32;

impl<T> Keyed<T> {
    pub(crate) fn new() -> Self {
        Self {
            results: VecDeque::new(),
            tombstones: 0,
            executed: 0,
            focus: 0..0,
            focus_ended: 0,
            focused: VecDeque::new(),
            gathered: 0,
            index: None,
        }
    }

    pub(crate) fn executed(&self) -> usize {
        self.executed
    }

    /// Keeps account of these numbers from now on. None of them may have ended yet.
    pub(crate) fn focus(&mut self, numbers: Range<u64>) {
        self.unfocus();
        self.focus = numbers;
    }

    /// Keeps account of no numbers any more.
    #[inline]
    pub(crate) fn unfocus(&mut self) {
        if self.focus.end != 0 {
            self.focus = 0..0;
            self.focus_ended = 0;
            self.focused.clear();
            self.gathered = 0;
        }
    }

    /// Returns how many of the numbers in focus have ended.
    pub(crate) fn focus_ended(&self) -> u64 {
        self.focus_ended
    }

    /// Returns how many results in focus wait to be taken.
    pub(crate) fn focused_len(&self) -> usize {
        self.focused.len()
    }

    /// Returns whether a result in focus was not gathered yet.
    pub(crate) fn has_ungathered(&self) -> bool {
        self.gathered < self.focused.len()
    }

    /// Takes the first result in focus.
    pub(crate) fn pop_focused(&mut self) -> Option<(u64, T)> {
        let rank = self.focused.pop_front()?;
        self.take_ranked(rank)
    }

    /// Makes the index, if there is none yet, from what is active according to `for_each_active`.
    pub(crate) fn need_index(&mut self, for_each_active: impl FnOnce(&mut dyn FnMut(usize, u64))) {
        if self.index.is_none() {
            let mut index = HashMap::default();
            for_each_active(&mut |slot, number| {
                index.insert(number, Place::Active(slot));
            });
            self.index = Some(index);
            self.index_results();
        }
    }

    /// Enters all results into the index, if there is one.
    fn index_results(&mut self) {
        let first = self.first_rank();
        if let Some(index) = &mut self.index {
            for (place, result) in self.results.iter().enumerate() {
                if let Some((number, _)) = result {
                    index.insert(*number, Place::Finished(first.wrapping_add(place)));
                }
            }
        }
    }

    /// Returns where a future is that has left the queue. The index must have been asked for.
    pub(crate) fn find(&self, number: u64) -> Option<Place> {
        self.index.as_ref()?.get(&number).copied()
    }

    /// Takes a result by its number. The index must have been asked for.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        match self.find(number)? {
            Place::Finished(rank) => {
                self.unfocus();
                self.take_ranked(rank).map(|(_, output)| output)
            }
            Place::Active(_) => None,
        }
    }

    /// Forgets all that is active.
    pub(crate) fn forget_active(&mut self) {
        if let Some(index) = &mut self.index {
            index.retain(|_, place| matches!(place, Place::Finished(_)));
        }
    }

    /// The rank of the result at the front.
    fn first_rank(&self) -> usize {
        self.executed.wrapping_sub(self.results.len())
    }

    /// Takes a result from anywhere.
    fn take_ranked(&mut self, rank: usize) -> Option<(u64, T)> {
        let place = rank.wrapping_sub(self.first_rank());
        let (number, output) = self.results.get_mut(place)?.take()?;
        self.tombstones += 1;
        if let Some(index) = &mut self.index {
            index.remove(&number);
        }
        self.drop_tombstones();
        Some((number, output))
    }

    /// Keeps tombstones away from the front, and drops all of them if they are too many.
    #[cold]
    #[inline(never)]
    fn drop_tombstones(&mut self) {
        while let Some(None) = self.results.front() {
            self.results.pop_front();
            self.tombstones -= 1;
        }
        if self.tombstones > self.len() + TOMBSTONES {
            self.compact();
        }
    }

    /// Removes all tombstones, which gives the results new ranks.
    fn compact(&mut self) {
        let first = self.first_rank();
        let mut rank = first.wrapping_add(self.tombstones);
        let mut focused = self.focused.iter_mut().peekable();
        for (place, result) in self.results.iter().enumerate() {
            if let Some(focused) = focused.next_if(|focused| **focused == first.wrapping_add(place)) {
                *focused = rank;
            }
            rank = rank.wrapping_add(usize::from(result.is_some()));
        }
        self.results.retain(Option::is_some);
        self.tombstones = 0;
        self.index_results();
    }
}

impl<T> Keyed<T> {
    /// Takes the result that has waited longest.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let (number, output) = self.results.pop_front()??;
        if self.tombstones > 0 {
            self.drop_tombstones();
        }
        if let Some(index) = &mut self.index {
            index.remove(&number);
        }
        Some((number, output))
    }
}

impl<T> Finished for Keyed<T> {
    type Output = T;

    #[inline]
    fn started(&mut self, number: u64, slot: usize) {
        if let Some(index) = &mut self.index {
            index.insert(number, Place::Active(slot));
        }
    }

    #[inline]
    fn push(&mut self, number: u64, output: T) -> bool {
        let rank = self.executed;
        self.executed = rank.wrapping_add(1);
        self.results.push_back(Some((number, output)));
        if number < self.focus.end && number >= self.focus.start {
            self.focus_ended += 1;
            self.focused.push_back(rank);
        }
        if let Some(index) = &mut self.index {
            index.insert(number, Place::Finished(rank));
        }
        false
    }

    fn skip(&mut self, number: u64) {
        self.focus_ended += u64::from(self.focus.contains(&number));
        if let Some(index) = &mut self.index {
            index.remove(&number);
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.results.len() - self.tombstones
    }

    #[inline]
    fn due(&self) -> usize {
        self.len() - self.gathered
    }
}

impl<T> Gathering for Keyed<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while let Some(&rank) = self.focused.get(self.gathered) {
            self.gathered += 1;
            let place = rank.wrapping_sub(self.first_rank());
            if let Some(Some((_, output))) = self.results.get(place) {
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
        self.gathered = 0;
    }
}

/// Hashes numbers that mostly follow one another: one multiplication, folded so that every bit counts.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 << 8 | u64::from(byte));
        }
    }
}
