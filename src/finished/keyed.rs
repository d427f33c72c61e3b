//! [`Keyed`]: results as they finish, or by key.
//!
//! Results are the nodes of a doubly linked list in one vector, in the order in which they finished. So the first one,
//! and one from anywhere, is taken out in constant time, and places are reused. Those in *focus*, which an `itermap` or
//! `map_all` waits for, are in a queue of their own besides.
//!
//! The index from numbers to places is made when somebody first asks for a future or a result by its key, and kept from
//! then on: a pool that is only used as a stream does without.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::mem;
use core::ops::Range;

use hashbrown::HashMap;

use super::Finished;

/// The finished results of a [`Pool`](crate::Pool), and where each future is that has left the queue.
pub(crate) struct Keyed<T> {
    nodes: Vec<Node<T>>,
    /// The first of the nodes not in use, which are linked by `next`.
    vacant: usize,
    first: usize,
    last: usize,
    /// The numbers in focus.
    focus: Range<u64>,
    /// How many of these have ended, with or without a result.
    focus_ended: u64,
    /// The nodes of those that have a result, in the order in which they finished.
    focused: VecDeque<usize>,
    /// How many of these were gathered.
    gathered: usize,
    /// How many results there are.
    len: usize,
    /// How many results there ever were.
    executed: usize,
    index: Option<HashMap<u64, Place, BuildHasherDefault<NumberHasher>>>,
}

/// Where a future, or its result, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this slot of the active set.
    Active(usize),
    /// In this node.
    Finished(usize),
}

struct Node<T> {
    number: u64,
    /// `None` if the node is vacant.
    output: Option<T>,
    previous: usize,
    next: usize,
}

/// No node.
const NONE: usize = usize::MAX;

impl<T> Keyed<T> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            vacant: NONE,
            first: NONE,
            last: NONE,
            focus: 0..0,
            focus_ended: 0,
            focused: VecDeque::new(),
            gathered: 0,
            len: 0,
            executed: 0,
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
    pub(crate) fn unfocus(&mut self) {
        self.focus = 0..0;
        self.focus_ended = 0;
        self.focused.clear();
        self.gathered = 0;
    }

    /// Returns how many of the numbers in focus have ended.
    pub(crate) fn focus_ended(&self) -> u64 {
        self.focus_ended
    }

    /// Returns how many results in focus wait to be taken.
    pub(crate) fn focused_len(&self) -> usize {
        self.focused.len()
    }

    /// Takes the first result in focus.
    pub(crate) fn pop_focused(&mut self) -> Option<(u64, T)> {
        let node = self.focused.pop_front()?;
        self.take_node(node)
    }

    /// Makes the index, if there is none yet, from what is active according to `for_each_active`.
    pub(crate) fn need_index(&mut self, for_each_active: impl FnOnce(&mut dyn FnMut(usize, u64))) {
        if self.index.is_none() {
            let mut index = HashMap::default();
            for_each_active(&mut |slot, number| {
                index.insert(number, Place::Active(slot));
            });
            for (place, node) in self.nodes.iter().enumerate() {
                if node.output.is_some() {
                    index.insert(node.number, Place::Finished(place));
                }
            }
            self.index = Some(index);
        }
    }

    /// Returns where a future is that has left the queue. The index must have been asked for.
    pub(crate) fn find(&self, number: u64) -> Option<Place> {
        self.index.as_ref()?.get(&number).copied()
    }

    /// Takes a result by its number. The index must have been asked for.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        match self.find(number)? {
            Place::Finished(node) => {
                self.unfocus();
                self.take_node(node).map(|(_, output)| output)
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

    /// Unlinks a node, and takes what is in it.
    fn take_node(&mut self, node: usize) -> Option<(u64, T)> {
        let Node { number, ref mut output, previous, ref mut next } = self.nodes[node];
        let output = output.take()?;
        let next = mem::replace(next, self.vacant);
        self.vacant = node;
        match previous {
            NONE => self.first = next,
            previous => self.nodes[previous].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => self.nodes[next].previous = previous,
        }
        self.len -= 1;
        if let Some(index) = &mut self.index {
            index.remove(&number);
        }
        Some((number, output))
    }
}

impl<T> Finished for Keyed<T> {
    type Output = T;

    fn started(&mut self, number: u64, slot: usize) {
        if let Some(index) = &mut self.index {
            index.insert(number, Place::Active(slot));
        }
    }

    fn push(&mut self, number: u64, output: T) {
        let filled = Node { number, output: Some(output), previous: self.last, next: NONE };
        let node = match self.vacant {
            NONE => {
                self.nodes.push(filled);
                self.nodes.len() - 1
            }
            node => {
                self.vacant = self.nodes[node].next;
                self.nodes[node] = filled;
                node
            }
        };
        match mem::replace(&mut self.last, node) {
            NONE => self.first = node,
            previous => self.nodes[previous].next = node,
        }
        if self.focus.contains(&number) {
            self.focus_ended += 1;
            self.focused.push_back(node);
        }
        self.len += 1;
        self.executed = self.executed.wrapping_add(1);
        if let Some(index) = &mut self.index {
            index.insert(number, Place::Finished(node));
        }
    }

    fn skip(&mut self, number: u64) {
        self.focus_ended += u64::from(self.focus.contains(&number));
        if let Some(index) = &mut self.index {
            index.remove(&number);
        }
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        match self.first {
            NONE => None,
            node => self.take_node(node),
        }
    }

    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while let Some(&node) = self.focused.get(self.gathered) {
            self.gathered += 1;
            if self.nodes[node].output.as_ref().is_some_and(&mut *when) {
                return true;
            }
        }
        false
    }

    fn ungather(&mut self) {
        self.gathered = 0;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn due(&self) -> usize {
        self.len - self.gathered
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
