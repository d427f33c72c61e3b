//! What polls a contestant to its end, and takes the time of it.
//!
//! What is timed is making, draining and dropping the contestant; not the runtime or the thread that it needs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::Total;

/// What came out of a run, and how long it took.
pub(crate) struct Measured {
    pub(crate) total: Total,
    pub(crate) time: Duration,
}

impl Measured {
    async fn of(contestant: impl Future<Output = Total>) -> Self {
        let start = Instant::now();
        let total = contestant.await;
        Self { total, time: start.elapsed() }
    }
}

/// Whether there was a wake-up, on one thread.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// Returns whether there was one since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Relaxed) && self.0.swap(false, Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Polls again only after a wake-up. When there was none, `idle` has to see to it that there is one.
pub(super) fn woken(contestant: impl Future<Output = Total>, mut idle: impl FnMut()) -> Measured {
    let flag = Arc::new(Flag::default());
    poll(contestant, &Waker::from(Arc::clone(&flag)), || {
        if !flag.take() {
            idle();
            assert!(flag.take(), "pending, and nobody will wake it");
        }
    })
}

/// Wakes a thread that is parked.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

/// Polls again only after a wake-up, the thread being parked until then.
pub(super) fn parked(contestant: impl Future<Output = Total>) -> Measured {
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    poll(contestant, &Waker::from(Arc::clone(&unpark)), || {
        while !unpark.woken.swap(false, Acquire) {
            thread::park();
        }
    })
}

fn poll(contestant: impl Future<Output = Total>, waker: &Waker, mut wait: impl FnMut()) -> Measured {
    let mut measured = pin!(Measured::of(contestant));
    let mut cx = Context::from_waker(waker);
    loop {
        if let Poll::Ready(measured) = measured.as_mut().poll(&mut cx) {
            return measured;
        }
        wait();
    }
}

/// A runtime that does all on this thread.
pub(super) fn one_thread(runtime: &mut Builder, contestant: impl Future<Output = Total>) -> Measured {
    runtime.build().expect("a runtime").block_on(Measured::of(contestant))
}

/// A task on a runtime with two threads, whose own tasks can be on either of them.
pub(super) fn two_threads(contestant: impl Future<Output = Total> + Send + 'static) -> Measured {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(Measured::of(contestant)).await.expect("no contestant panics") })
}
