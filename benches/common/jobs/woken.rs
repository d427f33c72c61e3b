//! Futures that are woken at random, some at a time.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use tokio::runtime::Builder;

use crate::common::{Job, Measured, Total, drive};

/// Waits for its one wake-up, then gives its value. Each time that nothing can make progress, `N` of those in flight
/// are woken, or all if there are fewer; which ones is random, and the same for every contestant that polls in the same
/// order.
pub(crate) struct Woken<const N: usize> {
    value: u64,
    waits: bool,
}

impl<const N: usize> From<u64> for Woken<N> {
    fn from(value: u64) -> Self {
        Self { value, waits: false }
    }
}

impl<const N: usize> Future for Woken<N> {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        WAITING.with_borrow_mut(|waiting| {
            if !self.waits {
                self.waits = true;
                waiting.enter(self.value, cx.waker());
                Poll::Pending
            } else if waiting.has_left(self.value, cx.waker()) {
                Poll::Ready(self.value)
            } else {
                Poll::Pending
            }
        })
    }
}

impl<const N: usize> Job for Woken<N> {
    /// Those that wait are known to one thread only.
    const ANY_THREAD: bool = false;

    fn prepare(items: u64) {
        WAITING.with_borrow_mut(|waiting| {
            assert!(waiting.futures.is_empty(), "a future has finished without its wake-up");
            waiting.woken.clear();
            waiting.woken.resize(index(items), false);
            waiting.random = Rng::with_seed(SEED);
        });
    }

    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        drive::woken(contestant, wake::<N>)
    }

    fn drive_tasks(contestant: impl Future<Output = Total>) -> Measured {
        drive::one_thread(Builder::new_current_thread().on_thread_park(wake::<N>), contestant)
    }
}

const SEED: u64 = 1;

fn index(value: u64) -> usize {
    usize::try_from(value).expect("all items fit into memory")
}

/// The futures in flight that wait for their wake-up.
struct Waiting {
    /// In no order, but that new ones are at the end.
    futures: Vec<(u64, Waker)>,
    /// By value.
    woken: Vec<bool>,
    random: Rng,
}

thread_local! {
    static WAITING: RefCell<Waiting> =
        const { RefCell::new(Waiting { futures: Vec::new(), woken: Vec::new(), random: Rng::with_seed(SEED) }) };
}

impl Waiting {
    fn enter(&mut self, value: u64, waker: &Waker) {
        self.futures.push((value, waker.clone()));
    }

    /// Whether the future was woken. It may be polled although it was not, and may then have another waker.
    fn has_left(&mut self, value: u64, waker: &Waker) -> bool {
        let woken = self.woken[index(value)];
        if !woken {
            let known = self.futures.iter_mut().rfind(|(waits, _)| *waits == value);
            known.expect("it has entered").1.clone_from(waker);
        }
        woken
    }

    fn choose(&mut self) -> Option<Waker> {
        let count = self.futures.len();
        let (value, waker) = (count > 0).then(|| self.futures.swap_remove(self.random.usize(..count)))?;
        self.woken[index(value)] = true;
        Some(waker)
    }
}

fn wake<const N: usize>() {
    for _ in 0..N {
        // Not within the loan: waking runs the contestant's code.
        let Some(waker) = WAITING.with_borrow_mut(Waiting::choose) else { return };
        waker.wake();
    }
}
