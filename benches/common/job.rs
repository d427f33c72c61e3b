//! What a kind of futures has to tell, so that every contestant can run it.

use std::future::Future;

use tokio::runtime::Builder;

use super::{Measured, Total, drive};

/// A future of a workload, made from its number, which is its result, too.
///
/// All of it is `Send`, since tokio's tasks want that.
pub(crate) trait Job: Future<Output = u64> + From<u64> + Send + 'static {
    /// Whether the futures can be on another thread than the one on which they were made.
    const ANY_THREAD: bool = true;

    /// Makes what the futures of a run need, before it is timed.
    fn prepare(_items: u64) {}

    /// Runs a contestant that needs no executor of its own.
    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        drive::woken(contestant, || {})
    }

    /// Runs a contestant that is made of tokio's tasks, on one thread.
    fn drive_tasks(contestant: impl Future<Output = Total>) -> Measured {
        drive::one_thread(&mut Builder::new_current_thread(), contestant)
    }

    /// Runs a contestant that is made of tokio's tasks, on two threads.
    fn drive_tasks_on_two(contestant: impl Future<Output = Total> + Send + 'static) -> Measured {
        assert!(Self::ANY_THREAD, "left out of the contestants");
        drive::two_threads(contestant)
    }
}
