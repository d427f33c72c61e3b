//! What the tests share: a waker that counts, and polling by hand.
//!
//! Tests drain by polling while woken, never by `block_on`: so a lost wake-up fails, and does not hang.

#![allow(dead_code, unreachable_pub)]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::Stream;

/// Counts how often its waker is woken.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Wakes {
    pub fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        let waker = Waker::from(Arc::clone(&wakes));
        (wakes, waker)
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Polls a stream once, with a waker that does nothing.
pub fn poll_next<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future once, with a waker that does nothing.
pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future for as long as it has been woken, and panics if it stops before its end.
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    let (wakes, waker) = Wakes::new();
    let mut future = pin!(future);
    loop {
        let before = wakes.count();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(wakes.count() > before, "pending, and nothing will wake it");
    }
}

/// Polls a future while it is woken, from any thread, this one being parked meanwhile. A lost wake-up is a failure after a while.
#[track_caller]
pub fn run_parked<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread, AtomicUsize);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, SeqCst);
            self.0.unpark();
        }
    }
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        let before = unpark.1.load(SeqCst);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let start = Instant::now();
        while unpark.1.load(SeqCst) == before {
            thread::park_timeout(Duration::from_secs(20));
            assert!(start.elapsed() < Duration::from_secs(20), "a wake-up was lost");
        }
    }
}

/// Wakes itself once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a generic test, a function of the active set's constructor, on every active set.
#[macro_export]
macro_rules! on_both_sets {
    ($($(#[$attr:meta])* $name:ident),* $(,)?) => {
        mod slot_set {
            $($(#[$attr])* #[test] fn $name() { super::$name(|| futures_pool::SlotSet); })*
        }
        mod unordered_set {
            $($(#[$attr])* #[test] fn $name() { super::$name(|| futures_pool::UnorderedSet); })*
        }
    };
}
