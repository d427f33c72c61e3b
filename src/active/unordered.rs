//! [`CappedUnordered`]: a `FuturesUnordered` behind the same trait.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker, ready};

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use pin_project::pin_project;

use super::{Entry, Keep, NONE, Set, Woken};

/// What an [`UnorderedSet`](super::UnorderedSet) is.
pub struct CappedUnordered<F> {
    futures: FuturesUnordered<Tracked<F>>,
    shared: Arc<Shared>,
    /// The numbers of the futures, by slot.
    numbers: Vec<u64>,
    /// The slots not in use.
    free: Vec<usize>,
    /// The task to wake on behalf of the pool; `futures` has its own registration, which cannot be reached.
    task: AtomicWaker,
}

/// What the set and its futures tell each other during a poll. Only ever used by the thread that polls.
struct Shared {
    /// How many more futures may be polled.
    polls: AtomicUsize,
    /// The slot being polled, or `NONE`: set on entry, cleared on return, so still set if that panicked.
    polling: AtomicUsize,
}

/// `FuturesUnordered` stops when this many futures have woken themselves. To stop it, futures do so instead of being
/// polled; and then go to the end of its queue. As that may happen to the same ones each time, the last polls of a turn
/// are for those that it has happened to.
const STOP: usize = 2;

/// A future and its slot. Without a future it is the tombstone of one that has gone, and goes as soon as it is polled.
#[pin_project]
struct Tracked<F> {
    #[pin]
    future: Option<F>,
    slot: usize,
    shared: Arc<Shared>,
    /// Whether it was passed over at the end of a turn.
    owed: bool,
    /// What wakes this entry, to have its tombstone polled away; `None` as long as it is going to be polled anyhow.
    waker: Option<Waker>,
}

impl<F: Future> Future for Tracked<F> {
    type Output = Option<(usize, F::Output)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        if this.future.is_some() {
            let polls = this.shared.polls.load(Relaxed);
            if polls == 0 || (polls <= STOP && !*this.owed) {
                *this.owed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *this.owed = false;
            this.shared.polls.store(polls - 1, Relaxed);
            this.waker.get_or_insert_with(|| cx.waker().clone());
        }
        let poll = ready!(self.as_mut().poll_future(cx));
        // Dropped here, in case that panics: `FuturesUnordered` would do it when this has returned, which could then no
        // longer be told from another panic.
        let mut this = self.project();
        this.shared.polling.store(*this.slot, Relaxed);
        this.future.set(None);
        this.shared.polling.store(NONE, Relaxed);
        Poll::Ready(poll)
    }
}

impl<F: Future> Tracked<F> {
    /// Polls the future: `Ready(None)` if there is none.
    fn poll_future(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        this.shared.polling.store(*this.slot, Relaxed);
        let poll = future.poll(cx);
        this.shared.polling.store(NONE, Relaxed);
        poll.map(|output| Some((*this.slot, output)))
    }
}

impl<F> CappedUnordered<F> {
    /// Creates an empty set.
    pub(super) fn new() -> Self {
        Self {
            futures: FuturesUnordered::new(),
            shared: Arc::new(Shared { polls: AtomicUsize::new(0), polling: AtomicUsize::new(NONE) }),
            numbers: Vec::new(),
            free: Vec::new(),
            task: AtomicWaker::new(),
        }
    }

    /// Finds the future in a slot. A new one is found immediately, since `FuturesUnordered` has the newest in front.
    fn entry(&mut self, slot: usize) -> Option<Pin<&mut Tracked<F>>> {
        Pin::new(&mut self.futures).iter_pin_mut().find(|entry| entry.slot == slot && entry.future.is_some())
    }
}

/// A future that was just inserted.
pub struct NewEntry<'a, F> {
    set: &'a mut CappedUnordered<F>,
    slot: usize,
}

impl<F: Future> Entry for NewEntry<'_, F> {
    type Output = F::Output;

    fn slot(&self) -> usize {
        self.slot
    }

    /// `FuturesUnordered` polls it only after all that are woken, however many these are; but it has its slot now. The waker
    /// need do nothing, since that other poll comes whether it is woken or not.
    fn poll(self, _: &mut Context<'_>, outputs: &mut impl Keep<F::Output>) -> Option<Poll<()>> {
        let Self { set, slot } = self;
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(output) = set.entry(slot)?.poll_future(cx) else { return Some(Poll::Pending) };
        outputs.keep(set.numbers[slot], output?.1);
        Pin::new(set).vacate(slot);
        Some(Poll::Ready(()))
    }
}

impl<F: Future> Set for CappedUnordered<F> {
    type Future = F;
    type Guard = ();
    type Entry<'a>
        = NewEntry<'a, F>
    where
        Self: 'a;

    const KEPT_POLLS: usize = STOP;

    fn enter(self: Pin<&mut Self>) {}

    fn insert(self: Pin<&mut Self>, number: u64, future: F) -> NewEntry<'_, F> {
        let this = self.get_mut();
        let slot = this.free.pop().unwrap_or_else(|| {
            this.numbers.push(number);
            this.numbers.len() - 1
        });
        this.numbers[slot] = number;
        let shared = Arc::clone(&this.shared);
        this.futures.push(Tracked { future: Some(future), slot, shared, owed: false, waker: None });
        NewEntry { set: this, slot }
    }

    fn next_woken(self: Pin<&mut Self>, cx: &mut Context<'_>, polls: usize) -> Woken<NewEntry<'_, F>, F::Output> {
        let this = self.get_mut();
        this.shared.polls.store(polls, Relaxed);
        loop {
            let before = this.shared.polls.load(Relaxed);
            let next = this.futures.poll_next_unpin(cx);
            let left = this.shared.polls.load(Relaxed);
            match next {
                Poll::Ready(Some(Some((slot, output)))) => {
                    this.free.push(slot);
                    return Woken::Finished(slot, this.numbers[slot], output, polls - left);
                }
                // A tombstone.
                Poll::Ready(Some(None)) => {}
                // `FuturesUnordered` stops when two futures have woken themselves, or when it has polled as many as it
                // holds, which does not mean that none is woken.
                Poll::Pending if left != before && left != 0 => {}
                Poll::Ready(None) | Poll::Pending => return Woken::None(polls - left),
            }
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for entry in Pin::new(&self.futures).iter_pin_ref() {
            if entry.future.is_some() {
                visit(entry.slot, self.numbers[entry.slot]);
            }
        }
    }

    fn vacate(self: Pin<&mut Self>, slot: usize) {
        let this = self.get_mut();
        this.free.push(slot);
        if let Some(entry) = this.entry(slot) {
            let mut entry = entry.project();
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
            entry.future.set(None);
        }
    }

    fn clear(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.numbers.clear();
        this.free.clear();
        drop_futures(&mut Pin::new(&mut this.futures).iter_pin_mut());
        this.futures.clear();
    }

    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, _: bool) -> bool {
        let this = self.get_mut();
        // `poll_next` has registered the task for the futures.
        this.task.register(cx.waker());
        true
    }

    fn wake(&self) {
        self.task.wake();
    }

    fn recover(self: Pin<&mut Self>) -> Option<(u64, usize)> {
        let this = self.get_mut();
        let slot = this.shared.polling.swap(NONE, Relaxed);
        (slot != NONE).then(|| {
            // `FuturesUnordered` has dropped the future while the panic passed through it, unless that was the first
            // poll.
            Pin::new(&mut *this).vacate(slot);
            (this.numbers[slot], slot)
        })
    }
}

/// Drops all futures, as a vector would: if the destructor of one panics, the others are dropped all the same.
/// `FuturesUnordered` would leave them.
fn drop_futures<'a, F: 'a>(entries: &mut dyn Iterator<Item = Pin<&'a mut Tracked<F>>>) {
    struct Rest<'a, 'b, F>(&'b mut dyn Iterator<Item = Pin<&'a mut Tracked<F>>>);

    impl<F> Drop for Rest<'_, '_, F> {
        fn drop(&mut self) {
            drop_futures(self.0);
        }
    }

    let rest = Rest(entries);
    for entry in &mut *rest.0 {
        entry.project().future.set(None);
    }
    mem::forget(rest);
}

impl<F> Drop for CappedUnordered<F> {
    fn drop(&mut self) {
        // Nor must what the futures do in their destructors wake the task.
        drop(self.task.take());
        drop_futures(&mut Pin::new(&mut self.futures).iter_pin_mut());
    }
}
