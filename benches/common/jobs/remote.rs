//! Futures that another thread wakes.

use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::common::{Job, Measured, Total, drive};

/// Gives its waker to another thread, which wakes it immediately; then gives its value.
pub(crate) struct Remote {
    value: u64,
    /// The number of the run.
    run: u32,
    waits: bool,
}

impl From<u64> for Remote {
    fn from(value: u64) -> Self {
        Self { value, run: RUN.load(Relaxed), waits: false }
    }
}

impl Remote {
    /// In which run it was woken. A future that is polled without a wake-up has to wait on.
    fn woken(&self) -> &'static AtomicU32 {
        static WOKEN: [AtomicU32; 1 << 22] = [const { AtomicU32::new(0) }; 1 << 22];
        &WOKEN[usize::try_from(self.value).expect("all items fit into memory") % WOKEN.len()]
    }
}

impl Future for Remote {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let woken = self.woken();
        if self.waits && woken.load(Acquire) == self.run {
            return Poll::Ready(self.value);
        }
        self.waits = true;
        let wake_up = WakeUp { woken, run: self.run, waker: cx.waker().clone() };
        WAKING_THREAD.send(wake_up).expect("the thread waits for them for ever");
        Poll::Pending
    }
}

impl Job for Remote {
    fn prepare(_items: u64) {
        RUN.fetch_add(1, Relaxed);
    }

    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        drive::parked(contestant)
    }
}

static RUN: AtomicU32 = AtomicU32::new(0);

struct WakeUp {
    woken: &'static AtomicU32,
    run: u32,
    waker: Waker,
}

/// The same one for all runs: it is parked while nobody sends it anything.
static WAKING_THREAD: LazyLock<Sender<WakeUp>> = LazyLock::new(|| {
    let (sender, wake_ups) = channel();
    thread::spawn(|| {
        for WakeUp { woken, run, waker } in wake_ups {
            woken.store(run, Release);
            waker.wake();
        }
    });
    sender
});
