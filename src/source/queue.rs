//! [`Queue`]: the futures pushed into a pool and not started.
//!
//! They are numbered as they are pushed, and leave in that order. As long as none of them is cancelled their numbers follow
//! one another, so that a waiting future costs its own size and nothing else; from the first one cancelled until the queue
//! is empty, each is kept with its number.

use alloc::collections::VecDeque;
use core::mem;

use crate::key::Key;

/// The futures pushed into a pool and not started, in their order.
pub(crate) struct Queue<F> {
    futures: Futures<F>,
    /// The number that the next future pushed will get.
    next: u64,
}

enum Futures<F> {
    /// Their numbers follow one another up to the next.
    Dense(VecDeque<F>),
    Sparse(Sparse<F>),
}

/// Futures with their numbers. A cancelled future leaves a tombstone. It is removed when it comes to the front, or when
/// there are more tombstones than futures.
struct Sparse<F> {
    entries: VecDeque<(u64, Option<F>)>,
    /// How many entries are not tombstones.
    len: usize,
}

/// A future of more bytes than this is worth some instructions to keep it in the cache.
const LARGE: usize = 128;

/// So many tombstones are never too many.
const TOMBSTONES: usize = 32;

impl<F> Queue<F> {
    pub(crate) fn new() -> Self {
        Self { futures: Futures::Dense(VecDeque::new()), next: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.futures {
            Futures::Dense(futures) => futures.len(),
            Futures::Sparse(futures) => futures.len,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, future: F) -> Key {
        let number = self.next;
        match &mut self.futures {
            Futures::Dense(futures) => {
                if size_of::<F>() > LARGE && futures.is_empty() {
                    // Back to the beginning of the ring, which is in the cache.
                    futures.clear();
                }
                futures.push_back(future);
            }
            Futures::Sparse(futures) => {
                futures.entries.push_back((number, Some(future)));
                futures.len += 1;
            }
        }
        self.next += 1;
        Key(number)
    }

    /// Pushes a future for each item, and returns the number of the first.
    ///
    /// If the iterator or the closure panics, what was pushed before stays.
    pub(crate) fn extend(&mut self, items: impl Iterator<Item = F>) -> u64 {
        let first = self.next;
        if let Futures::Dense(futures) = &mut self.futures {
            futures.reserve(items.size_hint().0);
        }
        for future in items {
            self.push(future);
        }
        first
    }

    /// Takes a number for a future that does not go through the queue, which must be empty.
    pub(crate) fn claim(&mut self) -> Key {
        debug_assert!(self.len() == 0, "numbers go by the places in the queue");
        let key = Key(self.next);
        self.next += 1;
        key
    }

    /// The number that the next future will get.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        match &self.futures {
            Futures::Dense(_) => (self.first_number()..self.next).contains(&key.0),
            Futures::Sparse(futures) => futures.place(key.0).is_some_and(|place| futures.entries[place].1.is_some()),
        }
    }

    /// Takes one future out of the queue.
    pub(crate) fn remove(&mut self, key: Key) -> Option<F> {
        if !self.contains(key) {
            return None;
        }
        let first = self.first_number();
        if let Futures::Dense(futures) = &mut self.futures {
            let futures = mem::take(futures);
            let len = futures.len();
            let entries = (first..).zip(futures.into_iter().map(Some)).collect();
            self.futures = Futures::Sparse(Sparse { entries, len });
        }
        let Futures::Sparse(futures) = &mut self.futures else { return None };
        let future = futures.remove(key.0);
        self.make_dense();
        future
    }

    /// Takes everything out, and returns it to be dropped.
    pub(crate) fn take_all(&mut self) -> impl Sized + use<F> {
        mem::replace(&mut self.futures, Futures::Dense(VecDeque::new()))
    }

    /// The number of the future at the front; that of the next one pushed if there is none.
    #[inline]
    pub(crate) fn first_number(&self) -> u64 {
        match &self.futures {
            Futures::Dense(futures) => self.next - futures.len() as u64,
            Futures::Sparse(futures) => futures.entries.front().map_or(self.next, |&(number, _)| number),
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, F)> {
        let Futures::Dense(futures) = &mut self.futures else { return self.pop_sparse() };
        let number = self.next - futures.len() as u64;
        futures.pop_front().map(|future| (number, future))
    }

    #[cold]
    fn pop_sparse(&mut self) -> Option<(u64, F)> {
        let Futures::Sparse(futures) = &mut self.futures else { return None };
        let first = futures.pop();
        self.make_dense();
        first
    }

    /// Does without numbers again once the queue is empty.
    fn make_dense(&mut self) {
        if self.len() == 0 {
            self.futures = Futures::Dense(VecDeque::new());
        }
    }
}

impl<F> Sparse<F> {
    fn place(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |&(number, _)| number).ok()
    }

    fn remove(&mut self, number: u64) -> Option<F> {
        let future = self.place(number).and_then(|place| self.entries[place].1.take())?;
        self.len -= 1;
        self.drop_tombstones();
        Some(future)
    }

    fn pop(&mut self) -> Option<(u64, F)> {
        let (number, future) = self.entries.pop_front()?;
        self.len -= 1;
        self.drop_tombstones();
        Some((number, future?))
    }

    /// Keeps tombstones away from the front, so that the front is a future unless the queue is empty. Drops all of them if
    /// they are too many.
    fn drop_tombstones(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.len + TOMBSTONES {
            self.entries.retain(|(_, future)| future.is_some());
            self.entries.shrink_to(2 * self.len);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map from numbers to what is in the queue.
        #[test]
        fn a_queue_is_an_ordered_map(steps in prop::collection::vec((0..10_u8, any::<prop::sample::Index>()), 0..600)) {
            let mut queue = Queue::new();
            let mut map = BTreeMap::new();
            for (step, index) in steps {
                match step {
                    0..4 => {
                        let Key(number) = queue.push(step);
                        prop_assert!(map.insert(number, step).is_none());
                    }
                    4..9 if !map.is_empty() => {
                        // Mostly the later ones, so that tombstones stay.
                        let place = index.index(map.len()).max(map.len().min(3) - 1);
                        let number = *map.keys().nth(place).unwrap();
                        prop_assert_eq!(queue.remove(Key(number)), map.remove(&number));
                        prop_assert_eq!(queue.remove(Key(number)), None);
                    }
                    _ => prop_assert_eq!(queue.pop(), map.pop_first()),
                }
                prop_assert_eq!(queue.len(), map.len());
                prop_assert_eq!(queue.first_number(), map.keys().next().copied().unwrap_or(queue.next_number()));
                prop_assert!(map.keys().all(|&number| queue.contains(Key(number))));
                prop_assert!(!queue.contains(Key(queue.next_number())));
                let places = match &queue.futures {
                    Futures::Dense(futures) => futures.len(),
                    Futures::Sparse(futures) => futures.entries.len(),
                };
                prop_assert!(places <= 2 * map.len() + TOMBSTONES, "tombstones: {}", places - map.len());
            }
        }
    }
}
