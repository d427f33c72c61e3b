//! The law, on the target: no more and no less than `size` futures active, every result once, no wake-up lost.
//!
//! Futures wake themselves, or are woken by an interrupt, which comes also in the middle of polls. Every form of the pool
//! runs on an executor written for this, and on that of embassy. It ends with a failure at the first thing that is wrong,
//! and also if it hangs.

#![no_std]
#![no_main]

mod gauge;
mod jobs;
mod wakes;

use core::cell::{Cell, RefCell};
use core::pin::{Pin, pin};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cortex_m::singleton;
use cortex_m_semihosting::hprintln;
use embassy_executor::raw;
use futures_pool::Key;
use futures_pool::inline::{InlinePool, SlotCount, Slots};
use futures_pool::prelude::*;
use futures_pool_embedded::executor::{self, WOKEN};
use futures_pool_embedded::exit;
use futures_util::stream::Stream;

use crate::gauge::{Gauge, Rules};
use crate::jobs::{Jobs, MIXES, Output};

futures_pool_embedded::report_panics!();

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "alloc")]
    futures_pool_embedded::heap::init();
    wakes::start(cortex_m::Peripherals::take().expect("nobody else takes them").SYST);
    hprintln!("| executor | form | size | futures | times asleep | interrupts in polls |\n|:---|:---|--:|--:|--:|--:|");

    executor::block_on(all_forms("hand-written"), wakes::rest);

    let embassy: &'static raw::Executor =
        singleton!(: raw::Executor = raw::Executor::new(ptr::null_mut())).expect("this is the only one");
    embassy.spawner().spawn(on_embassy().expect("it is spawned once"));
    while !DONE.load(SeqCst) {
        if WOKEN.swap(false, SeqCst) {
            // SAFETY: nobody else polls it.
            unsafe { embassy.poll() }
        } else {
            wakes::rest();
        }
    }
    exit(true)
}

static DONE: AtomicBool = AtomicBool::new(false);

#[embassy_executor::task]
async fn on_embassy() {
    all_forms("embassy").await;
    DONE.store(true, SeqCst);
}

/// Called by embassy's executor when a task is woken.
// SAFETY: it is the one function of this name, with the signature that the executor asks for.
#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    WOKEN.store(true, SeqCst);
}

async fn all_forms(executor: &str) {
    #[cfg(feature = "alloc")]
    for size in [1, 4, 16, 40] {
        with_alloc(executor, size).await;
    }
    inline::<1>(executor).await;
    inline::<4>(executor).await;
    inline::<16>(executor).await;
    inline::<32>(executor).await;
}

#[cfg(feature = "alloc")]
async fn with_alloc(executor: &str, size: usize) {
    use futures_pool::Pool;

    let gauge = &Gauge::new(size, Rules { in_order: true, ..Rules::default() });
    let ordered = || Jobs::new(gauge).pool_map(size, |job| job);
    trial([executor, "pool_map(..)"], gauge, ordered, |_| (), |output| output).await;

    let gauge = &Gauge::new(size, Rules::default());
    let unordered = || Jobs::new(gauge).pool_map(size, |job| job).unordered();
    trial([executor, "pool_map(..).unordered()"], gauge, unordered, |_| (), |output| output).await;

    let gauge = &Gauge::new(size, Rules { queued: true, ..Rules::default() });
    let keys = &Keys::new();
    let pool = || {
        let mut pool = Pool::new(size);
        for (job, key) in Jobs::new(gauge).zip(&keys.0) {
            key.set(Some(pool.spawn_n(job)));
        }
        pool
    };
    trial([executor, "Pool"], gauge, pool, |_| (), |result| keys.check(result)).await;
}

async fn inline<const N: usize>(executor: &str)
where
    Slots<N>: SlotCount,
{
    let rules = Rules { inline: true, ..Rules::default() };
    let gauge = &Gauge::new(N, Rules { in_order: true, ..rules });
    let ordered = || Jobs::new(gauge).pool_map_inline(Slots::<N>, |job| job);
    trial([executor, "pool_map_inline(..)"], gauge, ordered, |_| (), |output| output).await;

    let gauge = &Gauge::new(N, rules);
    let unordered = || Jobs::new(gauge).pool_map_inline(Slots::<N>, |job| job).unordered();
    trial([executor, "pool_map_inline(..).unordered()"], gauge, unordered, |_| (), |output| output).await;

    let gauge = &Gauge::new(N, Rules { queued: true, ..rules });
    let keys = &Keys::new();
    let jobs = &RefCell::new(Jobs::new(gauge));
    let pool = || {
        jobs.replace(Jobs::new(gauge));
        InlinePool::<_, N, 8>::new()
    };
    let top_up = |mut pool: Pin<&mut InlinePool<_, N, 8>>| {
        while !pool.is_full() {
            let Some(job) = jobs.borrow_mut().next() else { break };
            let key = &keys.0[job.index()];
            key.set(pool.as_mut().try_spawn(job).ok());
        }
    };
    trial([executor, "InlinePool"], gauge, pool, top_up, |result| keys.check(result)).await;
}

/// The key of each future.
struct Keys([Cell<Option<Key>>; gauge::MOST]);

impl Keys {
    const fn new() -> Self {
        Self([const { Cell::new(None) }; gauge::MOST])
    }

    fn check(&self, (key, output): (Key, Output)) -> Output {
        assert_eq!(self.0[output.index()].get(), Some(key), "a result came with the key of another");
        output
    }
}

/// Runs a form of the pool to its end, and drops it before completion, with every mix of futures.
async fn trial<S: Stream>(
    name: [&str; 2],
    gauge: &Gauge,
    make: impl Fn() -> S,
    before: impl Fn(Pin<&mut S>),
    output: impl Fn(S::Item) -> Output,
) {
    let (mut futures, seen) = (0, wakes::seen());
    for mix in &MIXES {
        for cut in [None, Some(0), Some(1), Some(gauge.size() + 1)] {
            #[cfg(feature = "alloc")]
            let held = futures_pool_embedded::heap::held();
            gauge.begin(mix);
            {
                let mut stream = pin!(make());
                while gauge.handed() < cut.unwrap_or(usize::MAX) {
                    let Some(item) = gauge.next(stream.as_mut(), &before).await else { break };
                    gauge.hand_over(output(item));
                    if mix.slow {
                        wakes::attend(false);
                        wakes::Sleep::new(3).await;
                    }
                }
                if cut.is_some() {
                    // What is started now is cancelled with the rest.
                    before(stream.as_mut());
                    if let Some(item) = gauge.poll_once(stream.as_mut()).await {
                        gauge.hand_over(output(item));
                    }
                }
            }
            gauge.end(cut.is_some());
            // The wakers of futures that are gone are still to be called.
            wakes::silence().await;
            #[cfg(feature = "alloc")]
            assert_eq!(futures_pool_embedded::heap::held(), held, "memory is left behind");
            futures += gauge.started();
        }
    }
    let seen = wakes::seen() - seen;
    let [executor, form] = name;
    hprintln!("| {executor} | {form} | {} | {futures} | {} | {} |", gauge.size(), seen.rests, seen.in_polls);
    assert!(seen.rests > 0 && seen.in_polls > 0, "the task never slept, or nothing came in the middle of a poll");
}
