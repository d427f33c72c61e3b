//! Order per key within a worker: the only place that knows how it is kept.
//!
//! A job takes its turn as the first thing that its future does, and has it until that ends. The pool starts jobs in the
//! order of the messages, and polls each at once, so the turns of a key are taken in that order.
//!
//! A job that waits for its turn holds a slot. A limit per key that is the pool's own would set it aside and start another
//! one; the rest of the worker would stay as it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Whose turn it is, for each key that is in use.
#[derive(Default)]
pub(crate) struct Turns {
    locks: RefCell<HashMap<u64, Weak<Mutex<()>>>>,
}

impl Turns {
    /// Waits for the turn of a job of `key`: those that asked before have it first.
    pub(crate) async fn take(&self, key: u64) -> OwnedMutexGuard<()> {
        let lock = self.lock(key);
        lock.lock_owned().await
    }

    fn lock(&self, key: u64) -> Arc<Mutex<()>> {
        let mut locks = self.locks.borrow_mut();
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        // Keys that nobody uses any more leave nothing behind for long.
        if locks.len() == locks.capacity() {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(Mutex::new(()));
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use futures_pool::prelude::*;
    use tokio::time::{Duration, Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn jobs_of_a_key_run_in_order_and_others_beside_them() {
        let (turns, log) = (Turns::default(), RefCell::new(Vec::new()));
        let began = Instant::now();
        // The earlier, the longer: without turns, the last of each key would be the first.
        let jobs = (0..12_u64).map(|id| (id, id % 3, Duration::from_millis(120 - 10 * id)));
        stream::iter(jobs)
            .pool_map(12, async |(id, key, work)| {
                let _turn = turns.take(key).await;
                log.borrow_mut().push((key, id, "start"));
                sleep(work).await;
                log.borrow_mut().push((key, id, "end"));
            })
            .unordered()
            .for_each(|()| std::future::ready(()))
            .await;
        for key in 0..3 {
            let of_key: Vec<_> = log.borrow().iter().filter(|entry| entry.0 == key).map(|entry| entry.1).collect();
            assert_eq!(of_key, [key, key, key + 3, key + 3, key + 6, key + 6, key + 9, key + 9]);
        }
        // As long as the longest key takes, not as all of them one after the other.
        assert_eq!(began.elapsed().as_millis(), 120 + 90 + 60 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_dropped_while_it_waits_lets_nobody_overtake() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        let mut second = Box::pin(turns.take(1));
        let mut third = Box::pin(turns.take(1));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(futures::poll!(&mut third).is_pending());
        drop(second);
        assert!(futures::poll!(&mut third).is_pending());
        drop(first);
        assert!(futures::poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn keys_that_are_gone_leave_nothing_behind() {
        let turns = Turns::default();
        for key in 0..10_000 {
            drop(turns.take(key).await);
        }
        assert!(turns.locks.borrow().len() < 100);
    }
}
