//! The same small job for the programs whose code is compared in size.

use core::hint::black_box;
use core::pin::pin;
use core::task::Poll;

use futures_util::stream::{Stream, StreamExt};

use crate::executor::block_on;
use crate::exit;

/// How many jobs each program runs.
pub const JOBS: u32 = 8;

/// Waits once, and gives something that the compiler cannot know.
pub async fn job(number: u32) -> u32 {
    let mut waits = true;
    core::future::poll_fn(|cx| {
        if !waits {
            return Poll::Ready(());
        }
        waits = false;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    black_box(number)
}

/// Runs a program to its end. It fails if not every job has added its number.
pub fn run(sum: impl Future<Output = u32>) -> ! {
    #[cfg(feature = "alloc")]
    allocate();
    let sum = block_on(sum, || exit(false));
    exit(sum == (0..JOBS).sum())
}

/// Runs a stream of the jobs to its end, as [`run`] does. It is made only when there is an allocator.
pub fn run_stream<S: Stream<Item = u32>>(results: impl FnOnce() -> S) -> ! {
    run(async {
        let (mut results, mut sum) = (pin!(results()), 0);
        while let Some(result) = results.next().await {
            sum += result;
        }
        sum
    })
}

/// Sees to it that the allocator is in every program, so that it is not in the difference.
#[cfg(feature = "alloc")]
fn allocate() {
    extern crate alloc;

    crate::heap::init();
    let mut bytes = alloc::vec![0u8; black_box(4)];
    bytes.resize(black_box(8), 1);
    black_box(bytes);
}

/// Ends the program with a failure if it panics; to print why would take more code than all the rest.
#[macro_export]
macro_rules! fail_on_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            $crate::exit(false)
        }
    };
}
