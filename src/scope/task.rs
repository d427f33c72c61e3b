//! [`Task`], the handle; the cell that it shares with its future; and [`Tracked`], the future as the scope keeps it.

use alloc::boxed::Box;
use core::any::Any;
use core::error::Error;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::task::{Context, Poll, Waker};

use futures_util::future::FusedFuture;
use pin_project::{pin_project, pinned_drop};

use super::control::{Control, Id, Wait};
use super::iterwait::Arrivals;
use crate::key::Key;
use crate::lock::Lock;
use crate::panic::{Panic, contain, contain_and_forget, wake_and_contain};
use crate::sync::{Arc, AtomicU8, AtomicUsize};

/// Why a task has no output.
///
/// # Examples
///
/// ```
/// use futures_pool::{TaskError, local_scope};
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// # futures::executor::block_on(async {
/// local_scope(1, async |pool| {
///     let tasks = pool.map_n([5, 0, 2], async |x| 10 / x);
///     tasks[2].cancel();
///     let mut report = Vec::new();
///     for task in tasks {
///         report.push(match task.await {
///             Ok(tenth) => tenth.to_string(),
///             Err(TaskError::Panicked(panic)) => panic.message().unwrap_or("it panicked").to_owned(),
///             Err(error) => error.to_string(),
///         });
///     }
///     assert_eq!(report, ["2", "attempt to divide by zero", "the task was cancelled"]);
/// })
/// .await;
/// # });
/// ```
#[derive(Debug)]
pub enum TaskError {
    /// It was cancelled, or its scope was dropped or has ended before it could run.
    Cancelled,
    /// It has panicked. (Never without the feature `std`, since a panic cannot be caught there.)
    Panicked(Panic),
}

impl TaskError {
    /// Returns whether the task was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(pending::<()>());
    ///     pool.cancel_all();
    ///     let error = task.await.unwrap_err();
    ///     assert!(error.is_cancelled() && !error.is_panic());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Returns whether the task has panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let error = pool.exec(async { [1, 2].iter().position(|&x| x == 3).unwrap() }).await.unwrap_err();
    ///     assert!(error.is_panic() && !error.is_cancelled());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`](https://doc.rust-lang.org/std/panic/fn.resume_unwind.html).
    ///
    /// # Panics
    ///
    /// If the task has not panicked: see [`is_panic`](Self::is_panic).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let error = pool.exec(async { panic!("out of paper") }).await.map(|()| ()).unwrap_err();
    ///     assert_eq!(error.into_panic().downcast_ref(), Some(&"out of paper"));
    /// })
    /// .await;
    /// # });
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self {
            Self::Panicked(panic) => panic.into_payload(),
            Self::Cancelled => panic!("the task was cancelled, and has not panicked"),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled => None,
            Self::Panicked(panic) => Some(panic),
        }
    }
}

/// The handle of a task in a scope: a future of its output.
///
/// The task runs whether its handle is awaited or not; dropping the handle detaches the task, and its output is dropped
/// when it has finished.
///
/// # Cancel safety
///
/// A handle may be polled by reference (`(&mut task).await`), that `.await` dropped before it completes, and the handle
/// polled again. Inside a task of the same scope, the slot is lent for as long as the handle is awaited; see the
/// [module](super).
///
/// # Panics
///
/// If it is polled again after it has given its result.
///
/// # Examples
///
/// ```
/// use futures_pool::{TaskError, local_scope};
/// use std::future::pending;
///
/// # futures::executor::block_on(async {
/// local_scope(2, async |pool| {
///     let answer = pool.spawn_n(async { 42 });
///     let never = pool.spawn_n(pending::<()>());
///     assert_eq!(answer.await.unwrap(), 42);
///     assert!(never.cancel());
///     assert!(matches!(never.await, Err(TaskError::Cancelled)));
/// })
/// .await;
/// # });
/// ```
#[doc(alias = "JoinHandle")]
pub struct Task<T> {
    number: u64,
    /// `None` once the result was given.
    cell: Option<Arc<Cell<T>>>,
    wait: Wait,
}

/// Where a task's output goes, and who waits for it.
pub(super) struct Cell<T> {
    number: Number,
    control: Arc<Control>,
    /// One of the following. Rises only; becomes `SETTLED` under the lock.
    status: AtomicU8,
    slot: Lock<Slot<T>>,
}

/// Not started.
const WAITING: u8 = 0;
/// Not started, and somebody is to be told when it is.
const AWAITED: u8 = 1;
/// Started.
const ACTIVE: u8 = 2;
/// Finished, panicked, or cancelled.
const SETTLED: u8 = 3;

struct Slot<T> {
    /// `Some` from when the task is settled until its result is taken.
    result: Option<Result<T, TaskError>>,
    /// A number that rises as tasks end.
    order: usize,
    notify: Notify,
    /// Whether the handle is gone, and nobody wants the result.
    detached: bool,
}

/// Who is told that a task has started, if that was asked for, and that it is settled.
enum Notify {
    Nobody,
    Waker(Waker),
    /// The stream of [`iterwait`](super::iterwait), in which the task has this place.
    Arrivals(Arc<Arrivals>, usize),
}

/// The number of a task, which it gets when it is spawned: after its cell was made, and before anybody else sees the cell.
struct Number {
    low: AtomicUsize,
    #[cfg(not(target_pointer_width = "64"))]
    high: AtomicUsize,
}

impl Number {
    /// Stands for no number yet.
    const NONE: u64 = u64::MAX;

    fn new() -> Self {
        let number = Self {
            low: AtomicUsize::new(0),
            #[cfg(not(target_pointer_width = "64"))]
            high: AtomicUsize::new(0),
        };
        number.set(Self::NONE);
        number
    }

    #[expect(clippy::cast_possible_truncation)]
    fn set(&self, number: u64) {
        self.low.store(number as usize, Relaxed);
        #[cfg(not(target_pointer_width = "64"))]
        self.high.store((number >> 32) as usize, Relaxed);
    }

    fn get(&self) -> u64 {
        let number = self.low.load(Relaxed) as u64;
        #[cfg(not(target_pointer_width = "64"))]
        let number = (self.high.load(Relaxed) as u64) << 32 | number;
        number
    }

    /// Its low bits.
    #[inline(always)]
    fn id(&self) -> Id {
        self.low.load(Relaxed)
    }
}

impl Notify {
    #[inline(always)]
    fn notify(self) {
        if !matches!(self, Self::Nobody) {
            self.notify_somebody();
        }
    }

    fn notify_somebody(self) {
        match self {
            Self::Nobody => {}
            Self::Waker(waker) => wake_and_contain(waker),
            Self::Arrivals(arrivals, place) => arrivals.push(place),
        }
    }
}

impl<T> Cell<T> {
    /// Creates the cell of a task that has yet to be spawned.
    pub(super) fn new(control: Arc<Control>) -> Self {
        let slot = Slot { result: None, order: 0, notify: Notify::Nobody, detached: false };
        Self { number: Number::new(), control, status: AtomicU8::new(WAITING), slot: Lock::new(slot) }
    }

    /// A task that never was.
    pub(super) fn cancelled(number: u64, control: Arc<Control>) -> Self {
        let mut cell = Self::new(control);
        cell.number.set(number);
        *cell.status.get_mut() = SETTLED;
        cell.slot.get_mut().result = Some(Err(TaskError::Cancelled));
        cell
    }

    /// Gives the task its number, as it is spawned.
    pub(super) fn spawned(&self, number: u64) {
        self.number.set(number);
    }

    fn id(&self) -> Id {
        self.number.id()
    }

    /// Returns whether the task has ended.
    fn is_settled(&self) -> bool {
        // In this order: the scope settles what is cancelled with all others, and then takes back that all are.
        self.control.is_cancelled(self.id()) || self.status.load(Acquire) == SETTLED
    }

    /// Records that the task is started, unless it has been cancelled. Returns the status before.
    fn start(&self) -> u8 {
        let update = |status| (status < ACTIVE).then_some(ACTIVE);
        match self.status.fetch_update(AcqRel, Acquire, update) {
            Ok(status) => {
                self.control.count_started();
                status
            }
            Err(status) => status,
        }
    }

    /// Ends a task that has run to its end: what mostly happens, and then as [`settle`](Self::settle) does.
    #[inline(always)]
    fn finish(&self, result: Result<T, TaskError>) {
        let mut result = Some(result);
        let notify = self.slot.with(|slot| {
            if self.status.load(Acquire) != ACTIVE || slot.detached || self.control.is_cancelling() {
                return None;
            }
            self.status.store(SETTLED, Release);
            slot.order = self.control.settled();
            slot.result = result.take();
            self.control.count_ended(self.id());
            Some(mem::replace(&mut slot.notify, Notify::Nobody))
        });
        match notify {
            Some(notify) => notify.notify(),
            None => {
                self.settle(result, SETTLED);
            }
        }
    }

    /// Ends the task, unless it has ended or come as far as `limit`. `None` stands for a cancellation.
    ///
    /// Returns whether it is this call that has ended the task.
    fn settle(&self, result: Option<Result<T, TaskError>>, limit: u8) -> bool {
        // What is not kept is dropped, and those concerned are notified, when the lock is released.
        let mut result = result;
        let settled = self.slot.with(|slot| {
            let mut before = self.status.load(Acquire);
            if before == ACTIVE {
                // Nobody but the holder of the lock changes it any more.
                if limit == ACTIVE {
                    return None;
                }
                self.status.store(SETTLED, Release);
            } else {
                let update = |status| (status < limit).then_some(SETTLED);
                before = self.status.fetch_update(AcqRel, Acquire, update).ok()?;
            }
            let with_all = self.control.is_cancelled(self.id());
            let ended = result.is_some() && before == ACTIVE && !with_all;
            if !slot.detached {
                slot.result = if ended { result.take() } else { Some(Err(TaskError::Cancelled)) };
            }
            slot.order = self.control.settled();
            if ended {
                self.control.count_ended(self.id());
            } else {
                self.control.count_cancelled(self.id(), before == ACTIVE, with_all);
            }
            Some((mem::replace(&mut slot.notify, Notify::Nobody), with_all))
        });
        if result.is_some() {
            // A panic of an output's destructor stays with the task.
            contain_and_forget(|| drop(result));
        }
        let Some((notify, with_all)) = settled else { return false };
        notify.notify();
        !with_all
    }

    /// Cancels the task, unless it has come as far as `limit`.
    fn cancel(&self, limit: u8) -> bool {
        let cancelled = self.settle(None, limit);
        if cancelled {
            self.control.drop_soon(self.number.get());
        }
        cancelled
    }

    /// Settles the task if all tasks were cancelled.
    #[inline(always)]
    fn look_whether_cancelled(&self) {
        if self.control.is_cancelled(self.id()) {
            self.settle(None, SETTLED);
        }
    }

    /// Returns whether the task has ended, or has only been started if that is enough. If not, `waker` will be woken
    /// when it has.
    fn poll(&self, waker: &Waker, start_is_enough: bool) -> bool {
        self.look_whether_cancelled();
        let mut new = None;
        loop {
            let registered = self.slot.with(|slot| {
                let status =
                    if start_is_enough { self.status.fetch_max(AWAITED, AcqRel) } else { self.status.load(Acquire) };
                if status == SETTLED || (start_is_enough && status == ACTIVE) {
                    return Some((true, Notify::Nobody));
                }
                match &slot.notify {
                    Notify::Waker(old) if old.will_wake(waker) => Some((false, Notify::Nobody)),
                    _ => new.take().map(|new| (false, mem::replace(&mut slot.notify, Notify::Waker(new)))),
                }
            });
            match registered {
                // The old waker is dropped here, after the lock.
                Some((done, _)) => return done,
                None => new = Some(waker.clone()),
            }
        }
    }
}

impl<T> Task<T> {
    pub(super) fn new(cell: Arc<Cell<T>>) -> Self {
        Self { number: cell.number.get(), cell: Some(cell), wait: Wait::default() }
    }

    /// Cancels the task, unless it has ended; returns whether it has done so.
    ///
    /// The task is counted out and settled immediately: awaited, its handle gives [`TaskError::Cancelled`]. Its future is
    /// dropped before the scope's current or next poll returns. Cancelling it again is harmless, and so is a task that
    /// cancels itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(pending::<()>());
    ///     assert!(task.cancel());
    ///     assert!(!task.cancel());
    ///     assert!(task.is_finished());
    ///     assert_eq!(pool.len(), 0);
    /// })
    /// .await;
    /// # });
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.cancel(SETTLED))
    }

    /// Cancels the task unless it has started.
    pub(super) fn cancel_waiting(&self) {
        if let Some(cell) = &self.cell {
            cell.cancel(ACTIVE);
        }
    }

    /// Returns whether the task has ended: finished, panicked, or cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(async { 7 });
    ///     assert!(!task.is_finished());
    ///     pool.join().await;
    ///     assert!(task.is_finished());
    ///     assert_eq!(task.await.unwrap(), 7); // the result has waited to be taken
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.cell.as_ref().is_none_or(|cell| cell.is_settled())
    }

    /// Returns the key of the task: unique within its scope, and rising in the order of spawning.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let mut first = pool.spawn_n(async { "a" });
    ///     let second = pool.spawn_n(async { "b" });
    ///     assert!(first.key() < second.key());
    ///     let key = first.key();
    ///     assert_eq!((&mut first).await.unwrap(), "a");
    ///     assert_eq!(first.key(), key); // also when the result was given
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn key(&self) -> Key {
        Key(self.number)
    }

    /// The scope's side, unless the result was given.
    pub(super) fn control(&self) -> Option<&Arc<Control>> {
        self.cell.as_ref().map(|cell| &cell.control)
    }

    /// Returns whether the task has started; arranges for `waker` to be woken when it has.
    pub(super) fn poll_started(&self, waker: &Waker) -> bool {
        self.cell.as_ref().is_none_or(|cell| cell.poll(waker, true))
    }

    /// Takes the result, if the task has ended, and the number of its turn in ending.
    pub(super) fn take(&mut self) -> Option<(usize, Result<T, TaskError>)> {
        let cell = self.cell.take()?;
        cell.look_whether_cancelled();
        if cell.status.load(Acquire) != SETTLED {
            self.cell = Some(cell);
            return None;
        }
        self.wait.end(&cell.control);
        // Mostly the future is gone by now, and there is no need to lock, or to count out twice.
        match Arc::try_unwrap(cell) {
            Ok(cell) => {
                let slot = cell.slot.into_inner();
                Some((slot.order, slot.result?))
            }
            Err(cell) => cell.slot.with(|slot| Some((slot.order, slot.result.take()?))),
        }
    }

    /// Has the task's `place` put into `arrivals` when it is settled; returns whether it is settled already.
    pub(super) fn announce(&self, arrivals: &Arc<Arrivals>, place: usize) -> bool {
        let Some(cell) = &self.cell else { return true };
        let notify = Notify::Arrivals(Arc::clone(arrivals), place);
        let (settled, old) = cell.slot.with(|slot| {
            let settled = cell.status.load(Relaxed) == SETTLED;
            (settled, if settled { notify } else { mem::replace(&mut slot.notify, notify) })
        });
        drop(old);
        settled
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Some((_, result)) = this.take() {
                return Poll::Ready(result);
            }
            let Some(cell) = &this.cell else { panic!("`Task` polled after its end") };
            if cell.poll(cx.waker(), false) {
                continue;
            }
            this.wait.begin(&cell.control);
            return Poll::Pending;
        }
    }
}

impl<T> FusedFuture for Task<T> {
    fn is_terminated(&self) -> bool {
        self.cell.is_none()
    }
}

// The output is never pinned in the cell.
impl<T> Unpin for Task<T> {}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            self.wait.end(&cell.control);
            let unwanted = cell.slot.with(|slot| {
                slot.detached = true;
                (slot.result.take(), mem::replace(&mut slot.notify, Notify::Nobody))
            });
            drop(unwanted);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("key", &self.key())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// A task's future, with the way to its handle: what a scope keeps, in a box.
///
/// Use it in bounds only.
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project(PinnedDrop)]
pub struct Tracked<F, T> {
    /// `None` after its end.
    #[pin]
    future: Option<F>,
    cell: Arc<Cell<T>>,
}

impl<F, T> Tracked<F, T> {
    pub(super) fn new(future: F, cell: Arc<Cell<T>>) -> Self {
        Self { future: Some(future), cell }
    }
}

impl<F: Future<Output = T>, T> Future for Tracked<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (mut future, cell) = (this.future, this.cell);
        let status = cell.status.load(Relaxed);
        let before = if status < ACTIVE { cell.start() } else { status };
        if before == SETTLED || cell.control.is_cancelled(cell.id()) {
            return Poll::Ready(());
        }
        if !cell.control.regain(cell.id(), cx.waker()) {
            return Poll::Pending;
        }
        let polling = cell.control.enter(cell.id());
        // Outside of the closure, so that a panic of the future's destructor does not take it along.
        let mut output = None;
        let polled = contain(|| {
            if let Some(Poll::Ready(ready)) = future.as_mut().as_pin_mut().map(|future| future.poll(cx)) {
                output = Some(ready);
                future.set(None);
            }
        });
        let result = match (output, polled) {
            (Some(output), polled) => {
                if let Err(panic) = polled {
                    contain_and_forget(|| drop(panic));
                }
                drop(polling);
                Ok(output)
            }
            (None, Err(panic)) => {
                // A second panic, out of the destructor of what has panicked before, has nothing to add.
                contain_and_forget(|| future.set(None));
                drop(polling);
                Err(TaskError::Panicked(panic))
            }
            (None, Ok(())) => {
                drop(polling);
                if cell.is_settled() {
                    return Poll::Ready(());
                }
                cell.control.lend(cell.id());
                if before == AWAITED {
                    // Who has got the handle meanwhile waits for the end, and need not be a waker.
                    let notify = cell.slot.with(|slot| match slot.notify {
                        Notify::Waker(_) => mem::replace(&mut slot.notify, Notify::Nobody),
                        _ => Notify::Nobody,
                    });
                    notify.notify();
                }
                return Poll::Pending;
            }
        };
        cell.finish(result);
        Poll::Ready(())
    }
}

#[pinned_drop]
impl<F, T> PinnedDrop for Tracked<F, T> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        let (mut future, cell) = (this.future, this.cell);
        if cell.number.get() == Number::NONE {
            // It was never spawned, so nobody has counted it.
            return future.set(None);
        }
        if future.is_some() {
            // A panic of a task stays with the task; the others continue.
            contain_and_forget(|| future.set(None));
            // Also when another thread has settled it: that one may have yet to count it out, for which it holds the lock.
            cell.settle(None, SETTLED);
        } else if cell.status.load(Acquire) != SETTLED {
            cell.settle(None, SETTLED);
        }
        // Whatever it has entered, and however late.
        cell.control.forget(cell.id());
    }
}

impl<F, T> fmt::Debug for Tracked<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").finish_non_exhaustive()
    }
}
