//! [`UnorderedSet`]: a `FuturesUnordered` behind the same trait.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use pin_project::pin_project;

use super::{ActiveSet, Ended, Started};

/// An active set made of a [`FuturesUnordered`]: the well-known one, for comparison.
///
/// Every law of the pool holds on it as on [`SlotSet`](crate::SlotSet), against which it is tested, with these
/// differences:
///
/// - it allocates once per future, and costs several times as much time per item and per wake-up;
/// - cancelling an active future looks at every active future;
/// - a future that is started is polled after those that are woken already, so if a call runs out of polls, it may hold
///   a slot without having been polled yet;
/// - it wakes its task more often than needed, when two or more futures wake themselves;
/// - if the destructor of a future that has just finished panics, its output is lost.
///
/// # Examples
///
/// ```
/// use futures_pool::{Pool, UnorderedSet};
/// use std::future::ready;
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::with_set(4, UnorderedSet::default());
/// assert_eq!(pool.exec(ready(7)).await, 7);
/// # });
/// ```
pub struct UnorderedSet<F> {
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
    /// How many futures have not been polled yet.
    unpolled: AtomicUsize,
    /// The slot being polled, or `NONE`.
    polling: AtomicUsize,
}

const NONE: usize = usize::MAX;

/// A future and its slot. Without a future it is the husk of a removed one, which goes as soon as it is polled.
#[pin_project]
struct Tracked<F> {
    #[pin]
    future: Option<F>,
    slot: usize,
    shared: Arc<Shared>,
    polled: bool,
    /// What wakes this entry, to have its husk polled away.
    waker: Option<Waker>,
}

impl<F: Future> Future for Tracked<F> {
    type Output = Option<(usize, F::Output)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let polls = this.shared.polls.load(Relaxed);
        if polls == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.shared.polls.store(polls - 1, Relaxed);
        if !*this.polled {
            *this.polled = true;
            this.shared.unpolled.fetch_sub(1, Relaxed);
        }
        this.shared.polling.store(*this.slot, Relaxed);
        let poll = future.poll(cx);
        this.shared.polling.store(NONE, Relaxed);
        if poll.is_pending() {
            this.waker.get_or_insert_with(|| cx.waker().clone());
        }
        poll.map(|output| Some((*this.slot, output)))
    }
}

impl<F> UnorderedSet<F> {
    /// Creates an empty set.
    pub fn new() -> Self {
        let shared =
            Shared { polls: AtomicUsize::new(0), unpolled: AtomicUsize::new(0), polling: AtomicUsize::new(NONE) };
        Self {
            futures: FuturesUnordered::new(),
            shared: Arc::new(shared),
            numbers: Vec::new(),
            free: Vec::new(),
            task: AtomicWaker::new(),
        }
    }
}

impl<F: Future> ActiveSet<F> for UnorderedSet<F> {
    fn len(&self) -> usize {
        self.numbers.len() - self.free.len()
    }

    fn start(&mut self, _: &mut Context<'_>, number: u64, future: F) -> (usize, Started<F::Output>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.numbers.push(number);
            self.numbers.len() - 1
        });
        self.numbers[slot] = number;
        self.shared.unpolled.fetch_add(1, Relaxed);
        let shared = Arc::clone(&self.shared);
        self.futures.push(Tracked { future: Some(future), slot, shared, polled: false, waker: None });
        (slot, Started::Queued)
    }

    fn poll_woken(&mut self, cx: &mut Context<'_>, polls: &mut usize) -> Option<Ended<F::Output>> {
        self.shared.polls.store(*polls, Relaxed);
        let ended = loop {
            let before = self.shared.polls.load(Relaxed);
            match self.futures.poll_next_unpin(cx) {
                Poll::Ready(Some(Some((slot, output)))) => {
                    break Some(Ended { slot, number: self.numbers[slot], output });
                }
                // A husk.
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) => break None,
                // `FuturesUnordered` stops when two futures have woken themselves, or when it has polled as many as it
                // holds, which does not mean that none is woken.
                Poll::Pending => {
                    let left = self.shared.polls.load(Relaxed);
                    if left == before || left == 0 {
                        break None;
                    }
                }
            }
        };
        *polls = self.shared.polls.load(Relaxed);
        ended
    }

    fn unpolled(&self) -> usize {
        self.shared.unpolled.load(Relaxed)
    }

    fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
        for entry in Pin::new(&self.futures).iter_pin_ref() {
            if entry.future.is_some() {
                visit(entry.slot, self.numbers[entry.slot]);
            }
        }
    }

    fn release(&mut self, slot: usize) {
        // The future is gone: `FuturesUnordered` drops it before it gives the output.
        self.free.push(slot);
    }

    fn remove(&mut self, slot: usize) {
        self.free.push(slot);
        let entry = Pin::new(&mut self.futures)
            .iter_pin_mut()
            .map(Tracked::project)
            .find(|entry| *entry.slot == slot && entry.future.is_some());
        if let Some(mut entry) = entry {
            if !*entry.polled {
                self.shared.unpolled.fetch_sub(1, Relaxed);
            }
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
            entry.future.set(None);
        }
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.free.clear();
        self.shared.unpolled.store(0, Relaxed);
        self.futures = FuturesUnordered::new();
    }

    fn park(&mut self, cx: &mut Context<'_>) -> bool {
        // `poll_next` has registered the task for the futures.
        self.task.register(cx.waker());
        true
    }

    fn wake(&self) {
        self.task.wake();
    }

    fn recover(&mut self) -> Option<u64> {
        // `FuturesUnordered` has dropped the future while the panic passed through it.
        let slot = self.shared.polling.swap(NONE, Relaxed);
        (slot != NONE).then(|| {
            self.free.push(slot);
            self.numbers[slot]
        })
    }
}

impl<F> Default for UnorderedSet<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for UnorderedSet<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnorderedSet").field("active", &(self.numbers.len() - self.free.len())).finish_non_exhaustive()
    }
}
