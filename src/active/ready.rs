//! Ready bits: which slots were woken, and the wakers that say so.
//!
//! Each slot has one bit, in a word that it shares with its neighbours. Waking sets the bit; the poller takes a whole
//! word by one swap, so that up to a word's width of wake-ups cost it one locked operation. Words are in blocks, and above
//! the blocks are summaries, one bit for each block, so that a few woken slots among many are found without looking at
//! every word. The first word has no summary: a small pool searches at it directly, and its wakers save a locked operation.
//!
//! - A waker that finds the task parked wakes it and tells it the slot, and that is all. Any other sets its bit, then the
//!   block's bit in the summary unless it is set already, and then wakes the task if it is parked by now.
//! - The poller takes the summary before the blocks below it. It parks first, and then checks the first word and the
//!   summaries once more.
//!
//! All of these are sequentially consistent. So of a waker that sets a bit and a poller that parks, at least one sees
//! the other: no wake-up is lost. A waker that finds the summary's bit set need not set it, since the poller, who has yet
//! to take it, searches at the block after that.
//!
//! Every word exists twice: what is woken on the polling thread [during a poll](super::local) goes into a half that only the polling
//! thread ever touches, without locked operations, and the poller searches at both before it parks.
//!
//! Blocks are only ever added, so a waker that outlives its future, its slot or the whole pool does no harm.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::SeqCst;
use core::task::{Context, Waker};

use super::local::{LocalBits, PollGuard, PollerId};
use super::parker::{ParkedTask, Parker};
use crate::sync::{Arc, AtomicUsize, Weak, wake_by_slot};

/// Slots in a word, and blocks under a summary. Few where every schedule is tried: a third slot is in a block then.
const WIDTH: usize = if cfg!(all(test, loom)) { 2 } else { usize::BITS as usize };

/// Words in a block.
const WORDS: usize = if cfg!(all(test, loom)) { 2 } else { 16 };

/// How many late wake-ups are skipped at a time.
const LATE: usize = 64;

/// The poller's side of the ready bits.
pub(crate) struct ReadyBits {
    /// The task and the first word, shared with all wakers.
    root: Arc<Root>,
    /// The other words, which are not there as long as one is enough.
    blocks: Vec<Arc<Block>>,
    summaries: Vec<Arc<Bits>>,
    /// Bits taken out of a word and not handed out yet.
    slots: usize,
    /// The slot that the lowest of these bits stands for.
    first_slot: usize,
    /// The words with bits, one bit for each, of the block that was looked at last.
    words: usize,
    /// The number of that block.
    block: usize,
    /// Bits taken out of a summary whose blocks were not looked at yet.
    summary: usize,
    /// The block that the lowest of these bits stands for.
    first_block: usize,
    /// Where to look next: 0 for the first word, `i + 1` for summary `i`.
    next: usize,
    /// The id under which this thread polls the set: the same as in the root.
    poller_id: PollerId,
    parker: Parker,
}

/// One bit for each slot, or each block.
#[derive(Default)]
struct Bits {
    /// Set and taken from anywhere.
    shared: AtomicUsize,
    /// Set and taken by the polling thread alone.
    local: LocalBits,
}

/// The task that polls the set, and the ready bits of the first slots.
struct Root {
    bits: Bits,
    /// The id under which a thread polls the set.
    poller_id: PollerId,
    task: ParkedTask,
}

/// The ready bits of neighbouring slots. The first word of the first block is not in use, as it is in the root.
struct Block {
    words: [Bits; WORDS],
    summary: Arc<Bits>,
    /// This block's bit in the summary.
    summary_bit: usize,
    root: Arc<Root>,
}

/// What the waker of one of the first slots points to.
struct RootWaker {
    root: Arc<Root>,
    slot: usize,
}

/// What the waker of any other slot points to.
struct BlockWaker {
    block: Arc<Block>,
    slot: usize,
}

impl Bits {
    /// Takes all bits.
    #[inline]
    fn take(&self) -> usize {
        let local = self.local.take();
        let shared = if self.shared.load(SeqCst) == 0 { 0 } else { self.shared.swap(0, SeqCst) };
        local | shared
    }

    /// Returns whether a bit is set.
    #[inline]
    fn any(&self) -> bool {
        self.local.get() | self.shared.load(SeqCst) != 0
    }
}

wake_by_slot!(RootWaker, BlockWaker);

impl RootWaker {
    #[inline]
    fn wake_slot(&self) {
        let root = &*self.root;
        if root.poller_id.is_polling() {
            root.bits.local.set(bit(self.slot));
        } else if !root.task.wake_for(self.slot) {
            // What was in the word does not matter: then it takes no loop.
            root.bits.shared.fetch_or(bit(self.slot), SeqCst);
            root.task.wake();
        }
    }
}

impl BlockWaker {
    #[inline]
    fn wake_slot(&self) {
        let block = &*self.block;
        let bits = &block.words[self.slot / WIDTH % WORDS];
        if block.root.poller_id.is_polling() {
            bits.local.set(bit(self.slot));
            block.summary.local.set(block.summary_bit);
        } else if !block.root.task.wake_for(self.slot) {
            bits.shared.fetch_or(bit(self.slot), SeqCst);
            if block.summary.shared.load(SeqCst) & block.summary_bit == 0 {
                block.summary.shared.fetch_or(block.summary_bit, SeqCst);
            }
            block.root.task.wake();
        }
    }
}

/// The bit of a slot in its word.
#[inline]
const fn bit(slot: usize) -> usize {
    1 << (slot % WIDTH)
}

/// Takes the lowest bit, which there must be, out of `bits`, and returns its position.
#[inline]
fn lowest(bits: &mut usize) -> usize {
    let position = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    position
}

impl ReadyBits {
    pub(crate) fn new() -> Self {
        let root = Arc::new_cyclic(|root: &Weak<Root>| Root {
            bits: Bits::default(),
            poller_id: PollerId::new(root.as_ptr()),
            task: ParkedTask::new(),
        });
        Self {
            poller_id: root.poller_id,
            root,
            blocks: Vec::new(),
            summaries: Vec::new(),
            slots: 0,
            first_slot: 0,
            words: 0,
            block: 0,
            summary: 0,
            first_block: 0,
            next: 0,
            parker: Parker::new(),
        }
    }

    /// Makes the waker of a slot. Slots are asked for in rising order, without gaps; asking again for an earlier one
    /// makes another waker for the same bit.
    pub(crate) fn waker(&mut self, slot: usize) -> Waker {
        if slot < WIDTH {
            return Waker::from(Arc::new(RootWaker { root: Arc::clone(&self.root), slot }));
        }
        let number = slot / (WIDTH * WORDS);
        if number == self.blocks.len() {
            if number / WIDTH == self.summaries.len() {
                self.summaries.push(Arc::default());
            }
            self.blocks.push(Arc::new(Block {
                words: Default::default(),
                summary: Arc::clone(&self.summaries[number / WIDTH]),
                summary_bit: 1 << (number % WIDTH),
                root: Arc::clone(&self.root),
            }));
        }
        Waker::from(Arc::new(BlockWaker { block: Arc::clone(&self.blocks[number]), slot }))
    }

    /// Says that the poller is at work and need not be woken.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        if let Some(slot) = self.parker.unpark(&self.root.task) {
            self.take_notified(slot);
        }
    }

    /// Takes the slot that the task was told. If it has been woken once more since, it has its bit as well, and one turn is
    /// enough.
    #[inline(never)]
    fn take_notified(&mut self, slot: usize) {
        // Nothing was left when the task was parked.
        (self.slots, self.first_slot) = (bit(slot), slot - slot % WIDTH);
        let shared = match slot / WIDTH {
            0 => &self.root.bits.shared,
            word => &self.blocks[word / WORDS].words[word % WORDS].shared,
        };
        if shared.load(SeqCst) & bit(slot) != 0 {
            shared.fetch_and(!bit(slot), SeqCst);
        }
    }

    /// Says that this thread is about to run futures that may wake themselves and each other.
    #[inline]
    pub(crate) fn enter(&self) -> PollGuard {
        PollGuard::enter(self.poller_id)
    }

    /// Returns a woken slot, if there is one. Every woken slot has its turn within two rounds over all slots.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.slots == 0 && !self.refill() {
            return None;
        }
        Some(self.first_slot + lowest(&mut self.slots))
    }

    /// Takes the bits of the next word that has any.
    #[inline]
    fn refill(&mut self) -> bool {
        if self.summaries.is_empty() {
            self.slots = self.root.bits.take();
            self.slots != 0
        } else {
            self.search()
        }
    }

    /// Looks for bits in the rest of the block, then in the next blocks with bits; then in the first word and in each summary
    /// once, from where the last search ended. Returns whether there are any.
    #[cold]
    fn search(&mut self) -> bool {
        let mut searches = self.summaries.len() + 1;
        loop {
            if self.words != 0 {
                let word = lowest(&mut self.words);
                self.slots = self.blocks[self.block].words[word].take();
                self.first_slot = (self.block * WORDS + word) * WIDTH;
            } else if self.summary != 0 {
                self.block = self.first_block + lowest(&mut self.summary);
                let words = self.blocks[self.block].words.iter().rev();
                self.words = words.fold(0, |words, bits| words << 1 | usize::from(bits.any()));
            } else if searches == 0 {
                return false;
            } else {
                searches -= 1;
                let here = self.next;
                self.next = if here < self.summaries.len() { here + 1 } else { 0 };
                if here == 0 {
                    self.slots = self.root.bits.take();
                    self.first_slot = 0;
                } else {
                    self.summary = self.summaries[here - 1].take();
                    self.first_block = (here - 1) * WIDTH;
                }
            }
            if self.slots != 0 {
                return true;
            }
        }
    }

    /// Does what [`park`](Self::park) does. If all slots are vacant, it skips wake-ups first, all of which are late.
    #[inline(never)]
    pub(super) fn park_task(&mut self, cx: &Context<'_>, are_vacant: bool) -> bool {
        if are_vacant {
            // There may be no end of them.
            for _ in 0..LATE {
                if self.next().is_none() {
                    break;
                }
            }
        }
        self.park(cx.waker())
    }

    /// Registers the task to be woken, and searches once more: returns `false` if a slot has been woken already.
    #[inline]
    pub(crate) fn park(&mut self, waker: &Waker) -> bool {
        self.unpark();
        if (self.slots | self.words | self.summary) != 0 {
            return false;
        }
        self.parker.park(&self.root.task, waker);
        if self.root.bits.any() || self.summaries.iter().any(|bits| bits.any()) {
            self.unpark();
            return false;
        }
        true
    }

    /// Wakes the task if it is parked.
    #[inline]
    pub(crate) fn wake(&self) {
        self.root.task.wake();
    }
}

impl Drop for ReadyBits {
    fn drop(&mut self) {
        self.root.task.forget();
    }
}
