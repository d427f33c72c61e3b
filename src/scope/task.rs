//! [`Task`]: the handle of a task.

use core::fmt;
use core::mem;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};

use futures_util::future::FusedFuture;

use super::arriving::Arrivals;
use super::cell::{Cell, Limit, Notify, SETTLED};
use super::control::Control;
use super::error::TaskError;
use super::lending::{Entry, Op, Waiter};
use crate::key::Key;
use crate::sync::Arc;

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
    wait: Entry,
    /// Whether dropping the handle cancels the task.
    cancels: bool,
}

impl<T> Task<T> {
    pub(super) fn new(cell: Arc<Cell<T>>) -> Self {
        Self { number: cell.number.get(), cell: Some(cell), wait: Entry::new(), cancels: false }
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
        self.cell.as_ref().is_some_and(|cell| cell.cancel(Limit::NotEnded))
    }

    /// Ties the task to its handle: dropping the handle cancels the task, instead of detaching it.
    ///
    /// It is for work that nobody needs when its caller has gone, such as that for a request whose client has closed the
    /// connection. A task that has ended is not affected.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    /// use tokio::time::{Duration, timeout};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// local_scope(1, async |pool| {
    ///     let answer = pool.spawn_n(pending::<()>()).cancel_on_drop();
    ///     assert!(timeout(Duration::from_millis(10), answer).await.is_err());
    ///     assert!(pool.is_empty());
    /// })
    /// .await;
    /// # }
    /// ```
    #[must_use = "dropping it cancels the task"]
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// Cancels the task unless it has started; returns whether it has done so.
    pub(super) fn cancel_waiting(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.cancel(Limit::NotStarted))
    }

    /// Returns whether the task has ended: finished, panicked, or cancelled.
    ///
    /// Inside a task that awaits it and has no slot, the handle may still be [pending](super#lending).
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
        self.cell.as_ref().is_none_or(|cell| cell.poll(waker, Waiter::NOBODY, true))
    }

    /// Takes the result, if the task has ended, and the number of its turn in ending.
    pub(super) fn take(&mut self) -> Option<(usize, Result<T, TaskError>)> {
        let cell = self.cell.take_if(|cell| cell.is_settled_now())?;
        self.wait.end(Op::task(self.number), &cell.control);
        Self::take_result(cell)
    }

    /// Takes the result of a task that has ended.
    #[inline(always)]
    fn take_result(cell: Arc<Cell<T>>) -> Option<(usize, Result<T, TaskError>)> {
        // Mostly the future is gone by now, and there is no need to lock, or to count out twice.
        match Arc::try_unwrap(cell) {
            Ok(cell) => {
                let slot = cell.slot.into_inner();
                Some((slot.order, slot.result?))
            }
            Err(cell) => cell.slot.with(|slot| Some((slot.order, slot.result.take()?))),
        }
    }

    /// Takes back that the task inside which the handle was polled waits for it: another does from now on.
    pub(super) fn hand_over(&mut self) {
        if let Some(cell) = &self.cell {
            self.wait.end(Op::task(self.number), &cell.control);
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
            let Some(cell) = &this.cell else { panic!("`Task` polled after its end") };
            let mut op = Op::task(this.number);
            if cell.is_settled_now() {
                if !this.wait.regain(&mut op, &cell.control, cx.waker()) {
                    return Poll::Pending;
                }
                let result = this.cell.take().and_then(Self::take_result);
                return result.map_or(Poll::Pending, |(_, result)| Poll::Ready(result));
            }
            this.wait.begin(op, &cell.control, cx.waker());
            if !cell.poll(cx.waker(), this.wait.waiter(&cell.control), false) {
                return Poll::Pending;
            }
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
            self.wait.end(Op::task(self.number), &cell.control);
            if self.cancels {
                cell.cancel(Limit::NotEnded);
            }
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
