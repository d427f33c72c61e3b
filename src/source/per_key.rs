//! [`PerKey`]: items of a key start in order, and at most so many of them are active.
//!
//! A key is there from when an item of it is pulled until none of it waits or is active. So there are never more than are
//! active or set aside, however many there were. Those with an item that may start, its first, are in a heap, by the number of
//! that item: the one at its top is the head.

use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::hash::{BuildHasher, Hash};
use std::hash::RandomState;

use hashbrown::HashTable;

use super::Head;
use super::admission::{Pulled, Waiting};

/// By default, so many times the size of items are set aside at most.
const LOOK_AHEAD: usize = 16;

/// See the [module](self).
pub struct PerKey<K, F, I> {
    /// How many futures of a key may be active.
    most: usize,
    key_of: F,
    keys: Vec<KeyState<K, I>>,
    /// Those that stand for no key at present.
    unused: Vec<usize>,
    /// Which one stands for a key.
    index: HashTable<usize>,
    hasher: RandomState,
    /// The number of the first item of each key that may start one.
    eligible: BinaryHeap<Reverse<(u64, usize)>>,
    /// How many items wait.
    len: usize,
    /// How many may be set aside, if that was said.
    look_ahead: Option<usize>,
}

struct KeyState<K, I> {
    /// `None` if it stands for no key.
    key: Option<K>,
    hash: u64,
    active: usize,
    waiting: VecDeque<Pulled<I>>,
}

impl<K, F, I> PerKey<K, F, I> {
    pub(crate) fn new(most: usize, key_of: F) -> Self {
        Self {
            most: most.max(1),
            key_of,
            keys: Vec::new(),
            unused: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            eligible: BinaryHeap::new(),
            len: 0,
            look_ahead: None,
        }
    }

    /// Changes how many items may be set aside, at least 1.
    pub(crate) fn set_look_ahead(&mut self, items: usize) {
        self.look_ahead = Some(items.max(1));
    }
}

impl<K: Hash + Eq, F: FnMut(&I) -> K, I> PerKey<K, F, I> {
    /// Returns what stands for a key.
    fn find(&mut self, key: K) -> usize {
        let hash = self.hasher.hash_one(&key);
        let keys = &mut self.keys;
        if let Some(&index) = self.index.find(hash, |&index| keys[index].key.as_ref() == Some(&key)) {
            return index;
        }
        let index = self.unused.pop().unwrap_or_else(|| {
            keys.push(KeyState { key: None, hash: 0, active: 0, waiting: VecDeque::new() });
            keys.len() - 1
        });
        (keys[index].key, keys[index].hash) = (Some(key), hash);
        self.index.insert_unique(hash, index, |&index| keys[index].hash);
        index
    }

    /// The key has one item more that may start, or none, or none at all.
    fn key_changed(&mut self, index: usize) {
        let state = &mut self.keys[index];
        if let Some(first) = state.waiting.front() {
            if state.active < self.most {
                self.eligible.push(Reverse((first.head.number, index)));
            }
        } else if state.active == 0 {
            let key = state.key.take();
            // The places of many are kept, not those of one that once had many.
            state.waiting.shrink_to(4);
            if let Ok(entry) = self.index.find_entry(state.hash, |&other| other == index) {
                entry.remove();
            }
            self.unused.push(index);
            drop(key);
        }
    }
}

impl<K: Hash + Eq, F: FnMut(&I) -> K, I> Waiting<I> for PerKey<K, F, I> {
    const HAS_KEYS: bool = true;

    fn push(&mut self, item: Pulled<I>) {
        let key = (self.key_of)(&item.item);
        let index = self.find(key);
        let state = &mut self.keys[index];
        state.waiting.push_back(item);
        self.len += 1;
        if state.waiting.len() == 1 {
            self.key_changed(index);
        }
    }

    fn head(&self) -> Option<Head> {
        let Reverse((_, index)) = self.eligible.peek()?;
        self.keys[*index].waiting.front().map(|first| first.head)
    }

    fn pop(&mut self) -> Option<(Pulled<I>, usize)> {
        let Reverse((_, index)) = self.eligible.pop()?;
        let state = &mut self.keys[index];
        let first = state.waiting.pop_front()?;
        state.active += 1;
        self.len -= 1;
        self.key_changed(index);
        Some((first, index))
    }

    fn ended(&mut self, index: usize) {
        let state = &mut self.keys[index];
        state.active -= 1;
        // If it was not full, its first item is in the heap already.
        if state.active + 1 == self.most || state.waiting.is_empty() {
            self.key_changed(index);
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn has_room(&self, size: usize) -> bool {
        self.len < self.look_ahead.unwrap_or(size.saturating_mul(LOOK_AHEAD))
    }

    fn clear(&mut self) {
        self.eligible.clear();
        self.len = 0;
        for state in &mut self.keys {
            state.waiting.clear();
        }
    }
}
