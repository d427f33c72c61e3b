//! An executor for one future, and the flag that its waker sets.
//!
//! A task that is not woken is not polled, whatever else ends a wait for an interrupt: so a lost wake-up cannot hide.

use core::pin::pin;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// Whether the task is to be polled.
pub static WOKEN: AtomicBool = AtomicBool::new(false);

static VTABLE: RawWakerVTable = RawWakerVTable::new(|_| RAW, wake, wake, |_| ());
const RAW: RawWaker = RawWaker::new(ptr::null(), &VTABLE);

fn wake(_: *const ()) {
    WOKEN.store(true, SeqCst);
}

/// Polls a future whenever it is woken, and calls `rest` while it is not.
pub fn block_on<T>(future: impl Future<Output = T>, mut rest: impl FnMut()) -> T {
    let mut future = pin!(future);
    // SAFETY: the functions of the table may be called from anywhere, at any time, and have no data.
    let waker = unsafe { Waker::from_raw(RAW) };
    WOKEN.store(true, SeqCst);
    loop {
        if !WOKEN.swap(false, SeqCst) {
            rest();
        } else if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

/// What `rest` is where nothing outside of the future could wake it.
///
/// # Panics
///
/// Always.
pub fn nothing_outside() {
    panic!("lost wake-up: the task sleeps, and nothing will wake it");
}
