//! Futures that wait for tokio's timers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::runtime::Builder;
use tokio::time::{Duration, Sleep, sleep};

use crate::common::{Job, Measured, Total, drive};

/// Sleeps for 1 to 16 ms, then gives its value. The clock is paused: whenever nothing can make progress, tokio puts it
/// forward to the next timer.
///
/// The time runs from the first poll on: who makes a future before a slot is free for it must not gain by that.
#[pin_project]
pub(crate) struct Timer {
    value: u64,
    #[pin]
    sleep: Option<Sleep>,
}

impl From<u64> for Timer {
    fn from(value: u64) -> Self {
        Self { value, sleep: None }
    }
}

impl Future for Timer {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let mut this = self.project();
        loop {
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
                return Poll::Ready(*this.value);
            }
            this.sleep.set(Some(sleep(duration(*this.value))));
        }
    }
}

/// By Fibonacci hashing: neighbours finish in no order.
fn duration(value: u64) -> Duration {
    Duration::from_millis(1 + (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60))
}

impl Job for Timer {
    /// A paused clock needs a runtime with one thread.
    const ANY_THREAD: bool = false;

    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        drive::one_thread(Builder::new_current_thread().enable_time().start_paused(true), contestant)
    }

    fn drive_tasks(contestant: impl Future<Output = Total>) -> Measured {
        Self::drive(contestant)
    }
}
