//! The active set: where started futures live until they have finished.
//!
//! A set stores futures, wakes, and polls. It knows nothing of sizes, order or backlog: those are the engine's. What
//! the engine asks of a set is small enough to be one trait, [`PinnedSet`], and a pool is generic over it as a
//! `HashMap` is over its hasher. A set that keeps its futures on the heap may be moved while it holds some; such a one
//! is an [`ActiveSet`].

mod inline;
#[cfg(feature = "alloc")]
mod inside;
#[cfg(feature = "alloc")]
mod ready;
#[cfg(feature = "alloc")]
mod sleeper;
#[cfg(feature = "alloc")]
mod slot;
mod tree;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
mod unordered;

use core::pin::Pin;
use core::task::Context;

pub use self::inline::InlineSet;
#[cfg(feature = "alloc")]
pub(crate) use self::ready::ReadyBits;
#[cfg(feature = "alloc")]
pub use self::slot::SlotSet;
pub use self::tree::{SlotCount, Slots};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use self::unordered::UnorderedSet;

/// Stores the active futures of a pool, and polls those that were woken.
///
/// A set keeps each future at one place, its *slot*, from [`start`](Self::start) until it has finished or is
/// [removed](Self::remove), and remembers the number that the pool gave it. Slots are small integers, reused.
///
/// The output of a future that has finished is given to a closure, `keep`, before the future is dropped: so it is in
/// safety when the future's destructor, which may panic, runs.
///
/// There is seldom a reason to name anything but the default, [`SlotSet`]; [`UnorderedSet`] is there for comparison, and
/// [`InlineSet`] for where there is no allocator.
///
/// Its methods take the set pinned, as there are sets that hold the futures themselves. [`ActiveSet`] is the name for
/// those that do not.
///
/// # For implementors
///
/// The pool relies on the following; each method says more.
///
/// - A wake-up of a future is never lost: after it, `poll_woken` polls that future, or the task given to the last
///   successful `park` is woken.
/// - A woken future is polled after a bounded number of polls of others.
/// - A future that has finished, or was removed, is not polled again, however late it is woken.
/// - If a future panics while it is polled, the set stays usable, and `recover` tells which one it was.
///
/// # Examples
///
/// A set that looks at all of its slots to find those that were woken.
///
/// ```
/// use futures_pool::{PinnedSet, Pool, prelude::*};
/// use std::pin::Pin;
/// use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
/// use std::sync::{Arc, Mutex};
/// use std::task::{Context, Poll, Wake, Waker};
///
/// /// The task that is parked. Whoever takes it wakes it.
/// type Task = Arc<Mutex<Option<Waker>>>;
///
/// /// What the waker of one future sets.
/// struct Flag {
///     woken: AtomicBool,
///     task: Task,
/// }
///
/// impl Wake for Flag {
///     fn wake(self: Arc<Self>) {
///         self.woken.store(true, SeqCst);
///         wake(&self.task);
///     }
/// }
///
/// fn wake(task: &Task) {
///     let waker = task.lock().unwrap().take(); // the lock is not held while the waker is called
///     waker.map(Waker::wake);
/// }
///
/// struct Slot<F> {
///     number: u64,
///     future: Pin<Box<F>>,
///     flag: Arc<Flag>, // not one of the slot's: a waker may outlive its future
/// }
///
/// struct ScanSet<F> {
///     slots: Vec<Option<Slot<F>>>,
///     /// Where to begin to look, so that everyone has a turn.
///     next: usize,
///     /// The slot that is being polled. It is still there if that has panicked.
///     polling: Option<usize>,
///     task: Task,
/// }
///
/// impl<F: Future> ScanSet<F> {
///     fn new() -> Self {
///         Self { slots: Vec::new(), next: 0, polling: None, task: Task::default() }
///     }
///
///     fn is_woken(&self, slot: usize) -> bool {
///         self.slots[slot].as_ref().is_some_and(|slot| slot.flag.woken.load(SeqCst))
///     }
///
///     /// Polls the future in a slot; returns whether it has finished.
///     fn poll(&mut self, index: usize, keep: impl FnOnce(u64, F::Output)) -> bool {
///         let Some(slot) = &mut self.slots[index] else { return false };
///         slot.flag.woken.store(false, SeqCst); // before the poll, during which it may be woken again
///         let waker = Waker::from(Arc::clone(&slot.flag));
///         self.polling = Some(index);
///         let poll = slot.future.as_mut().poll(&mut Context::from_waker(&waker));
///         self.polling = None;
///         let Poll::Ready(output) = poll else { return false };
///         keep(slot.number, output);
///         self.slots[index] = None;
///         true
///     }
/// }
///
/// impl<F: Future> PinnedSet<F> for ScanSet<F> {
///     type Inside = ();
///
///     fn enter(self: Pin<&mut Self>) {
///         *self.task.lock().unwrap() = None;
///     }
///
///     fn len(&self) -> usize {
///         self.slots.iter().flatten().count()
///     }
///
///     fn start(
///         self: Pin<&mut Self>,
///         _: &mut Context<'_>,
///         number: u64,
///         future: F,
///         keep: impl FnOnce(F::Output),
///     ) -> Option<usize> {
///         let this = self.get_mut();
///         let flag = Arc::new(Flag { woken: AtomicBool::new(false), task: Arc::clone(&this.task) });
///         let slot = Some(Slot { number, future: Box::pin(future), flag });
///         let free = this.slots.iter().position(Option::is_none).unwrap_or(this.slots.len());
///         if free == this.slots.len() {
///             this.slots.push(slot);
///         } else {
///             this.slots[free] = slot;
///         }
///         let has_finished = this.poll(free, |_, output| keep(output));
///         (!has_finished).then_some(free)
///     }
///
///     fn poll_woken(
///         self: Pin<&mut Self>,
///         _: &mut Context<'_>,
///         polls: &mut usize,
///         least: usize,
///         keep: impl FnOnce(u64, F::Output),
///     ) -> bool {
///         let this = self.get_mut();
///         let mut keep = Some(keep);
///         while *polls > least {
///             let slots = this.slots.len();
///             let Some(slot) = (0..slots).map(|i| (this.next + i) % slots).find(|&slot| this.is_woken(slot)) else {
///                 break;
///             };
///             this.next = slot + 1;
///             *polls -= 1;
///             if this.poll(slot, |number, output| keep.take().unwrap()(number, output)) {
///                 return true;
///             }
///         }
///         false
///     }
///
///     fn for_each(&self, visit: &mut dyn FnMut(usize, u64)) {
///         for (index, slot) in self.slots.iter().enumerate() {
///             if let Some(slot) = slot {
///                 visit(index, slot.number);
///             }
///         }
///     }
///
///     fn remove(self: Pin<&mut Self>, slot: usize) {
///         self.get_mut().slots[slot] = None;
///     }
///
///     fn clear(self: Pin<&mut Self>) {
///         self.get_mut().slots.clear();
///     }
///
///     fn park(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
///         // In this order: who is woken after the look finds the task.
///         *self.task.lock().unwrap() = Some(cx.waker().clone());
///         !(0..self.slots.len()).any(|slot| self.is_woken(slot))
///     }
///
///     fn wake(&self) {
///         wake(&self.task);
///     }
///
///     fn recover(self: Pin<&mut Self>) -> Option<u64> {
///         let this = self.get_mut();
///         let slot = this.slots[this.polling.take()?].take()?;
///         Some(slot.number)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use tokio::time::{Duration, Instant, sleep};
///
/// let start = Instant::now();
/// let wait = |ms| async move { sleep(Duration::from_millis(ms)).await; ms };
/// assert_eq!([30, 10, 20].into_iter().pool_map(2, wait).with_set(ScanSet::new()).await, [30, 10, 20]);
/// assert_eq!(start.elapsed(), Duration::from_millis(30)); // two at once
///
/// let mut pool = Pool::with_set(2, ScanSet::new());
/// let keys: Vec<_> = pool.map_n([90, 40, 10], wait).collect();
/// assert_eq!(pool.wait(keys[2]).await, Some(10));
/// assert!(pool.cancel(keys[0]));
/// assert_eq!((pool.len(), pool.finished()), (0, 1));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an active set for futures of the type `{F}`",
    label = "not an active set for these futures",
    note = "those of this crate are `SlotSet`, the default, `UnorderedSet`, and `InlineSet`"
)]
pub trait PinnedSet<F: Future> {
    /// What a call that polls futures holds on to until it returns.
    type Inside;

    /// Called when a call begins that may poll futures, on the thread that will do so.
    fn enter(self: Pin<&mut Self>) -> Self::Inside;

    /// Returns the number of futures held.
    fn len(&self) -> usize;

    /// Returns whether no future is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the most futures that this set can hold. A pool's size is never larger.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Puts a future into a free slot and polls it. Returns the slot, or `None` if the future has finished.
    ///
    /// Only called with `len() < capacity()`.
    fn start(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        number: u64,
        future: F,
        keep: impl FnOnce(F::Output),
    ) -> Option<usize>;

    /// Polls woken futures, each once, until one has finished, none is woken, or `polls` is down to `least`. Returns
    /// whether one has finished; `keep` is given its number, too.
    ///
    /// Takes one off `polls` for each poll of a future. A set that polls futures which were not woken may leave out the last
    /// of those, so that a pool at rest does not use up its polls.
    fn poll_woken(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        polls: &mut usize,
        least: usize,
        keep: impl FnOnce(u64, F::Output),
    ) -> bool;

    /// Returns how many polls `poll_woken` has taken off so far, which goes round: by this
    /// [`driven`](crate::ProgressExt::driven) knows what an adaptor has used up. By default, 0: that is not known.
    fn polled(&self) -> usize {
        0
    }

    /// Calls `visit` with the slot and the number of each future held.
    fn for_each(&self, visit: &mut dyn FnMut(usize, u64));

    /// Drops the future in a slot, which has not finished, and frees the slot.
    fn remove(self: Pin<&mut Self>, slot: usize);

    /// Drops all futures and frees all slots.
    fn clear(self: Pin<&mut Self>);

    /// Arranges for the task of `cx` to be woken when a future is; returns `false` if one has been woken already.
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool;

    /// Wakes the task that [`park`](Self::park) was last called with, if the set has not been polled since.
    fn wake(&self);

    /// Called while a panic passes through: if a future was being polled, drops it, frees its slot, and returns its
    /// number.
    fn recover(self: Pin<&mut Self>) -> Option<u64>;
}

/// A [`PinnedSet`] that may be moved while it holds futures, as these are on the heap: what a [`Pool`](crate::Pool) can be
/// on.
///
/// It is implemented for every `PinnedSet` that is `Unpin`.
///
/// # Examples
///
/// ```
/// use futures_pool::{ActiveSet, Pool, SlotSet, UnorderedSet};
/// use std::future::{Ready, ready};
///
/// async fn sum<S: ActiveSet<Ready<u32>> + Default>() -> u32 {
///     let mut pool = Pool::with_set(2, S::default());
///     pool.map_all(1..=4, ready).await.into_iter().sum()
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(sum::<SlotSet<_>>().await, 10);
/// assert_eq!(sum::<UnorderedSet<_>>().await, 10);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an active set for futures of the type `{F}` that can be moved",
    label = "not an active set, or has to be pinned",
    note = "those of this crate are `SlotSet`, the default, and `UnorderedSet`"
)]
pub trait ActiveSet<F: Future>: PinnedSet<F> + Unpin {}

impl<F: Future, S: PinnedSet<F> + Unpin> ActiveSet<F> for S {}

/// No slot.
const NONE: usize = usize::MAX;

/// Notes, if the poll of a future panics, which slot it is in. Is forgotten otherwise.
struct Panicking<'a> {
    panicked: &'a mut usize,
    slot: usize,
}

impl Drop for Panicking<'_> {
    fn drop(&mut self) {
        *self.panicked = self.slot;
    }
}
