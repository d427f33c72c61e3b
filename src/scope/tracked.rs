//! [`Tracked`]: a task's future, as the scope keeps it.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::task::{Context, Poll};

use pin_project::{pin_project, pinned_drop};

use super::cell::{ACTIVE, AWAITED, Cell, Limit, Number, RESERVED, SETTLED};
use super::error::TaskError;
use crate::panic::{contain, contain_and_forget};
use crate::sync::Arc;

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
        if before == SETTLED || cell.control.is_cut(cell.id(), true) {
            return Poll::Ready(());
        }
        let polling = cell.control.enter(cell.id(), cx.waker());
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
                if cell.control.end_poll(cell.id()) {
                    cx.waker().wake_by_ref();
                }
                if matches!(before, AWAITED | RESERVED) {
                    cell.tell_of_start();
                }
                return Poll::Pending;
            }
        };
        cell.finish(result);
        Poll::Ready(())
    }
}

/// Settles a task when it is dropped.
struct Settle<'a, T> {
    cell: &'a Cell<T>,
}

impl<T> Drop for Settle<'_, T> {
    fn drop(&mut self) {
        self.cell.settle(None, Limit::NotEnded, false);
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
            // Also when another thread has settled it: that one may have yet to count it out, for which it holds the lock. And
            // also when the destructor panics, which without the standard library passes through.
            let _settle = Settle { cell: &**cell };
            // A panic of a task stays with the task; the others continue.
            contain_and_forget(|| future.set(None));
        } else if cell.status.load(Acquire) != SETTLED {
            cell.settle(None, Limit::NotEnded, false);
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
