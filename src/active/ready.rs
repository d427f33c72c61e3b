//! Ready bits: which slots were woken, and the wakers that say so.
//!
//! Each slot has one bit, in a word that it shares with its neighbours. Waking sets the bit; the poller takes a whole
//! word by one swap, so that up to a word's width of wake-ups cost it one locked operation. Above the words are summary
//! words, one bit for each word, so that a few woken slots among many are found without looking at every word. The
//! first word has no summary: a small pool looks at it directly, and its wakers save a locked operation.
//!
//! The task is told only by a waker that found everything clear above its bit, and only while the poller is parked:
//!
//! - a waker sets its bit; found the word clear: sets the word's bit in the summary; found that clear: wakes the task
//!   if `parked` is set;
//! - the poller registers its task, sets `parked`, and then looks at the first word and the summaries once more.
//!
//! All four of these are sequentially consistent. So of a waker that sets a bit and a poller that parks, at least one
//! sees the other: no wake-up is lost. A waker that found a bit set above its own may leave it at that, since whoever
//! set that bit is on the way to the task, or the poller has yet to take it.
//!
//! Words are only ever added, so a waker that outlives its future, its slot or the whole pool does no harm.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicUsize};
use core::task::Waker;

use futures_util::task::AtomicWaker;

/// Slots in a word, and words under a summary.
const WIDTH: usize = usize::BITS as usize;

/// The poller's side of the ready bits.
pub(crate) struct ReadyBits {
    /// The task and the first word, shared with all wakers.
    root: Arc<Root>,
    /// The other words, by slot number divided by the width, less one.
    words: Vec<Arc<Word>>,
    /// The summaries, by word number divided by the width.
    summaries: Vec<Arc<AtomicUsize>>,
    /// Bits taken out of a word and not handed out yet.
    slots: usize,
    /// The slot that the lowest of these bits stands for.
    first_slot: usize,
    /// Bits taken out of a summary whose words were not looked at yet.
    marked: usize,
    /// The word that the lowest of these bits stands for.
    first_word: usize,
    /// Where to look next: 0 for the first word, `i + 1` for summary `i`.
    next: usize,
    /// Whether the task is registered and no poll has come since.
    parked: bool,
}

/// The task that polls the set, and the ready bits of the first slots.
struct Root {
    bits: AtomicUsize,
    task: AtomicWaker,
    /// Whether the task has to be woken when a bit is set.
    parked: AtomicBool,
}

/// The ready bits of neighbouring slots.
struct Word {
    bits: AtomicUsize,
    summary: Arc<AtomicUsize>,
    /// This word's bit in the summary.
    mark: usize,
    root: Arc<Root>,
}

/// What the waker of one of the first slots points to.
struct RootWaker {
    root: Arc<Root>,
    bit: usize,
}

/// What the waker of any other slot points to.
struct WordWaker {
    word: Arc<Word>,
    bit: usize,
}

impl Root {
    /// Called by a waker that has set a bit and found everything clear above it.
    fn notify(&self) {
        if self.parked.load(SeqCst) {
            self.task.wake();
        }
    }
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.root.bits.fetch_or(self.bit, SeqCst) == 0 {
            self.root.notify();
        }
    }
}

impl Wake for WordWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let word = &*self.word;
        if word.bits.fetch_or(self.bit, SeqCst) == 0 && word.summary.fetch_or(word.mark, SeqCst) == 0 {
            word.root.notify();
        }
    }
}

/// Takes all bits out of a word.
fn take(bits: &AtomicUsize) -> usize {
    if bits.load(Relaxed) == 0 { 0 } else { bits.swap(0, AcqRel) }
}

/// Takes the lowest bit, which there must be, out of `bits`, and returns its position.
fn lowest(bits: &mut usize) -> usize {
    let position = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    position
}

impl ReadyBits {
    pub(crate) fn new() -> Self {
        Self {
            root: Arc::new(Root {
                bits: AtomicUsize::new(0),
                task: AtomicWaker::new(),
                parked: AtomicBool::new(false),
            }),
            words: Vec::new(),
            summaries: Vec::new(),
            slots: 0,
            first_slot: 0,
            marked: 0,
            first_word: 0,
            next: 0,
            parked: false,
        }
    }

    /// Makes the waker of a slot. Slots are asked for in rising order, without gaps; asking again for an earlier one
    /// makes another waker for the same bit.
    pub(crate) fn waker(&mut self, slot: usize) -> Waker {
        let (number, bit) = (slot / WIDTH, 1 << (slot % WIDTH));
        if number == 0 {
            return Waker::from(Arc::new(RootWaker { root: Arc::clone(&self.root), bit }));
        }
        if number > self.words.len() {
            if number / WIDTH == self.summaries.len() {
                self.summaries.push(Arc::new(AtomicUsize::new(0)));
            }
            // The first word leaves its place in the first summary empty.
            self.words.push(Arc::new(Word {
                bits: AtomicUsize::new(0),
                summary: Arc::clone(&self.summaries[number / WIDTH]),
                mark: 1 << (number % WIDTH),
                root: Arc::clone(&self.root),
            }));
        }
        Waker::from(Arc::new(WordWaker { word: Arc::clone(&self.words[number - 1]), bit }))
    }

    /// Says that the poller is at work and need not be woken.
    pub(crate) fn unpark(&mut self) {
        if self.parked {
            self.parked = false;
            self.root.parked.store(false, Relaxed);
        }
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
            self.slots = take(&self.root.bits);
            self.slots != 0
        } else {
            self.look_round()
        }
    }

    /// Looks at the first word and at each summary once, from where it last left off, up to a word that has bits.
    #[cold]
    fn look_round(&mut self) -> bool {
        let mut looks = self.summaries.len() + 1;
        loop {
            if self.marked != 0 {
                let word = self.first_word + lowest(&mut self.marked);
                self.slots = take(&self.words[word - 1].bits);
                self.first_slot = word * WIDTH;
            } else if looks == 0 {
                return false;
            } else {
                looks -= 1;
                let here = self.next;
                self.next = if here < self.summaries.len() { here + 1 } else { 0 };
                if here == 0 {
                    self.slots = take(&self.root.bits);
                    self.first_slot = 0;
                } else {
                    self.marked = take(&self.summaries[here - 1]);
                    self.first_word = (here - 1) * WIDTH;
                }
            }
            if self.slots != 0 {
                return true;
            }
        }
    }

    /// Registers the task to be woken, and looks once more: returns `false` if a slot has been woken already.
    pub(crate) fn park(&mut self, waker: &Waker) -> bool {
        self.root.task.register(waker);
        self.parked = true;
        self.root.parked.store(true, SeqCst);
        let woken = (self.slots | self.marked) != 0
            || self.root.bits.load(SeqCst) != 0
            || self.summaries.iter().any(|summary| summary.load(SeqCst) != 0);
        if woken {
            self.unpark();
        }
        !woken
    }

    /// Wakes the task if it is parked.
    pub(crate) fn wake(&self) {
        if self.parked {
            self.root.task.wake();
        }
    }
}

impl Drop for ReadyBits {
    /// Lets go of the task, which wakers that live longer would otherwise keep in memory.
    fn drop(&mut self) {
        drop(self.root.task.take());
    }
}
