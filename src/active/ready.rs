//! Ready bits: which slots were woken, and the wakers that say so.
//!
//! Each slot has one bit, in a word that it shares with its neighbours. Waking sets the bit; the poller takes a whole
//! word by one swap, so that up to a word's width of wake-ups cost it one locked operation. Above the words are summary
//! words, one bit for each word, so that a few woken slots among many are found without looking at every word. The
//! first word has no summary: a small pool looks at it directly, and its wakers save a locked operation.
//!
//! - A waker sets its bit, then the word's bit in the summary unless it is set already, and then rouses the task if it
//!   sleeps.
//! - The poller takes the summary before the words below it. It lies down first, and then looks at the first word and the
//!   summaries once more.
//!
//! All of these are sequentially consistent. So of a waker that sets a bit and a poller that lies down, at least one sees
//! the other: no wake-up is lost. A waker that finds the summary's bit set need not set it, since the poller, who has yet
//! to take it, looks at the word after that.
//!
//! Every word exists twice: what is woken from [inside](super::inside) of a poll goes into a half that only the polling
//! thread ever touches, without locked operations, and the poller looks at both before it lies down.
//!
//! Words are only ever added, so a waker that outlives its future, its slot or the whole pool does no harm.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::task::Waker;

use super::inside::Inside;
use super::sleeper::{Bed, Sleeper};

/// Slots in a word, and words under a summary.
const WIDTH: usize = usize::BITS as usize;

/// The poller's side of the ready bits.
pub(crate) struct ReadyBits {
    /// The task and the first word, shared with all wakers.
    root: Arc<Root>,
    /// The other words, by slot number divided by the width, less one.
    words: Vec<Arc<Word>>,
    /// The summaries, by word number divided by the width.
    summaries: Vec<Arc<Bits>>,
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
    /// What this thread is known by while it polls the set: the same as in the root.
    mark: usize,
    bed: Bed,
}

/// One bit for each slot, or each word.
#[derive(Default)]
struct Bits {
    /// Set and taken from anywhere.
    outer: AtomicUsize,
    /// Set and taken by the polling thread alone.
    inner: AtomicUsize,
}

/// The task that polls the set, and the ready bits of the first slots.
struct Root {
    bits: Bits,
    /// What a thread that polls the set is known by.
    mark: usize,
    sleeper: Sleeper,
}

/// The ready bits of neighbouring slots.
struct Word {
    bits: Bits,
    summary: Arc<Bits>,
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

impl Bits {
    /// Sets a bit from inside of a poll.
    #[inline(always)]
    fn set_inner(&self, bit: usize) {
        self.inner.store(self.inner.load(Relaxed) | bit, Relaxed);
    }

    /// Takes all bits.
    #[inline(always)]
    fn take(&self) -> usize {
        let inner = self.inner.load(Relaxed);
        if inner != 0 {
            self.inner.store(0, Relaxed);
        }
        let outer = if self.outer.load(SeqCst) == 0 { 0 } else { self.outer.swap(0, SeqCst) };
        inner | outer
    }

    /// Returns whether a bit is set.
    fn any(&self) -> bool {
        self.inner.load(Relaxed) | self.outer.load(SeqCst) != 0
    }
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let root = &*self.root;
        if Inside::is(root.mark) {
            root.bits.set_inner(self.bit);
        } else {
            // What was in the word does not matter: then it takes no loop.
            root.bits.outer.fetch_or(self.bit, SeqCst);
            root.sleeper.rouse();
        }
    }
}

impl Wake for WordWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let word = &*self.word;
        if Inside::is(word.root.mark) {
            word.bits.set_inner(self.bit);
            word.summary.set_inner(word.mark);
        } else {
            word.bits.outer.fetch_or(self.bit, SeqCst);
            if word.summary.outer.load(SeqCst) & word.mark == 0 {
                word.summary.outer.fetch_or(word.mark, SeqCst);
            }
            word.root.sleeper.rouse();
        }
    }
}

/// Takes the lowest bit, which there must be, out of `bits`, and returns its position.
#[inline(always)]
fn lowest(bits: &mut usize) -> usize {
    let position = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    position
}

impl ReadyBits {
    pub(crate) fn new() -> Self {
        let root = Arc::new_cyclic(|root: &Weak<Root>| Root {
            bits: Bits::default(),
            mark: root.as_ptr().addr(),
            sleeper: Sleeper::new(),
        });
        Self {
            mark: root.mark,
            root,
            words: Vec::new(),
            summaries: Vec::new(),
            slots: 0,
            first_slot: 0,
            marked: 0,
            first_word: 0,
            next: 0,
            bed: Bed::new(),
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
                self.summaries.push(Arc::default());
            }
            // The first word leaves its place in the first summary empty.
            self.words.push(Arc::new(Word {
                bits: Bits::default(),
                summary: Arc::clone(&self.summaries[number / WIDTH]),
                mark: 1 << (number % WIDTH),
                root: Arc::clone(&self.root),
            }));
        }
        Waker::from(Arc::new(WordWaker { word: Arc::clone(&self.words[number - 1]), bit }))
    }

    /// Says that the poller is at work and need not be woken.
    #[inline(always)]
    pub(crate) fn unpark(&mut self) {
        self.bed.get_up(&self.root.sleeper);
    }

    /// Says that this thread is about to run futures that may wake themselves and each other.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Inside {
        Inside::enter(self.mark)
    }

    /// Returns a woken slot, if there is one. Every woken slot has its turn within two rounds over all slots.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.slots == 0 && !self.refill() {
            return None;
        }
        Some(self.first_slot + lowest(&mut self.slots))
    }

    /// Takes the bits of the next word that has any.
    #[inline(always)]
    fn refill(&mut self) -> bool {
        if self.summaries.is_empty() {
            self.slots = self.root.bits.take();
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
                self.slots = self.words[word - 1].bits.take();
                self.first_slot = word * WIDTH;
            } else if looks == 0 {
                return false;
            } else {
                looks -= 1;
                let here = self.next;
                self.next = if here < self.summaries.len() { here + 1 } else { 0 };
                if here == 0 {
                    self.slots = self.root.bits.take();
                    self.first_slot = 0;
                } else {
                    self.marked = self.summaries[here - 1].take();
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
        self.bed.lie_down(&self.root.sleeper, waker);
        let woken =
            (self.slots | self.marked) != 0 || self.root.bits.any() || self.summaries.iter().any(|bits| bits.any());
        if woken {
            self.unpark();
        }
        !woken
    }

    /// Wakes the task if it is parked.
    pub(crate) fn wake(&self) {
        self.root.sleeper.rouse();
    }
}

impl Drop for ReadyBits {
    fn drop(&mut self) {
        self.bed.leave(&self.root.sleeper);
    }
}
