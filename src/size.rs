//! [`SharedSize`]: a size that is set from outside; and [`Follow`], which a pool has that follows one.

#[cfg(feature = "std")]
use alloc::boxed::Box;
#[cfg(feature = "std")]
use alloc::vec::Vec;
#[cfg(feature = "std")]
use core::fmt;
#[cfg(feature = "std")]
use core::panic::RefUnwindSafe;
#[cfg(feature = "std")]
use core::sync::atomic::Ordering::SeqCst;
use core::task::Context;

#[cfg(feature = "std")]
use crate::lock::Lock;
#[cfg(feature = "std")]
use crate::sync::{Arc, AtomicUsize, AtomicWaker, Weak};

/// A size that any number of pools follow, and that can be set from anywhere: from another task or thread, from a future
/// of the pool, while `for_each` or `.await` has the stream.
///
/// A chain follows it by [`resized_by`](crate::PoolMap::resized_by), a [`Pool`](crate::Pool) by
/// [its own](crate::Pool::resized_by). All clones are the same size.
///
/// # Examples
///
/// ```
/// use futures_pool::{SharedSize, prelude::*};
/// use tokio::time::{Duration, Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let size = SharedSize::new(1);
/// let start = Instant::now();
/// let all = (0..9).pool_map(4, async |n| {
///     sleep(Duration::from_millis(10)).await;
///     if n == 2 { size.set(3) } // three at a time from the third on
/// });
/// all.resized_by(&size).await;
/// assert_eq!(start.elapsed().as_millis(), 3 * 10 + 6 / 3 * 10);
/// # }
/// ```
#[cfg(feature = "std")]
#[derive(Clone)]
pub struct SharedSize(Arc<Shared>);

#[cfg(feature = "std")]
struct Shared {
    size: AtomicUsize,
    followers: Lock<Vec<Weak<Follower>>>,
}

/// What wakes the task of a pool that follows.
#[cfg(feature = "std")]
struct Follower {
    task: AtomicWaker,
}

// There is nothing in them that a panic could leave half done.
#[cfg(feature = "std")]
impl RefUnwindSafe for Shared {}
#[cfg(feature = "std")]
impl RefUnwindSafe for Follower {}

#[cfg(feature = "std")]
impl SharedSize {
    /// Creates a size. 0 is taken as 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::SharedSize;
    ///
    /// assert_eq!(SharedSize::new(0).get(), 1);
    /// ```
    pub fn new(size: usize) -> Self {
        Self(Arc::new(Shared { size: AtomicUsize::new(size.max(1)), followers: Lock::new(Vec::new()) }))
    }

    /// Returns the size.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::SharedSize;
    ///
    /// assert_eq!(SharedSize::new(4).get(), 4);
    /// ```
    pub fn get(&self) -> usize {
        self.0.size.load(SeqCst)
    }

    /// Changes the size. 0 is taken as 1.
    ///
    /// Growing wakes the tasks of the pools that follow it; each starts futures when it is polled. Shrinking lets the surplus
    /// finish: until then more futures are active than the new size.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::{SharedSize, prelude::*};
    ///
    /// let size = SharedSize::new(4);
    /// let stream = (0..100).pool_map(1, async |x| x).resized_by(&size);
    /// size.set(8);
    /// assert_eq!(stream.size(), 8);
    /// ```
    pub fn set(&self, size: usize) {
        let size = size.max(1);
        if self.0.size.swap(size, SeqCst) >= size {
            return;
        }
        let mut followers = Vec::new();
        self.0.followers.with(|all| followers.extend(all.iter().filter_map(Weak::upgrade)));
        for follower in followers {
            follower.task.wake();
        }
    }
}

#[cfg(feature = "std")]
impl fmt::Debug for SharedSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedSize").field(&self.get()).finish()
    }
}

/// The size that a pool follows, if it follows one.
#[derive(Default)]
pub(crate) struct Follow {
    #[cfg(feature = "std")]
    followed: Option<Box<Followed>>,
}

#[cfg(feature = "std")]
struct Followed {
    size: SharedSize,
    follower: Arc<Follower>,
    /// The size that the pool has.
    known: usize,
}

impl Follow {
    /// Follows a size from now on.
    #[cfg(feature = "std")]
    pub(crate) fn begin(&mut self, size: &SharedSize) {
        let follower = Arc::new(Follower { task: AtomicWaker::new() });
        size.0.followers.with(|all| {
            all.retain(|follower| follower.strong_count() > 0);
            all.push(Arc::downgrade(&follower));
        });
        // No pool has this one.
        self.followed = Some(Box::new(Followed { size: size.clone(), follower, known: 0 }));
    }

    /// Returns the size that is followed.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "none is"))]
    pub(crate) fn size(&self) -> Option<usize> {
        #[cfg(feature = "std")]
        return self.followed.as_ref().map(|followed| followed.size.get());
        #[cfg(not(feature = "std"))]
        None
    }

    /// Changes the size that is followed, if one is.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, unused_variables, reason = "none is"))]
    pub(crate) fn set(&self, size: usize) {
        #[cfg(feature = "std")]
        if let Some(followed) = &self.followed {
            followed.size.set(size);
        }
    }

    /// Before a pool is polled: returns the size that is followed, if the pool does not have it.
    #[inline]
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "none is followed"))]
    pub(crate) fn changed(&mut self) -> Option<usize> {
        #[cfg(feature = "std")]
        if let Some(followed) = &mut self.followed {
            return followed.changed();
        }
        None
    }

    /// When a pool was polled that has to wait: has its task woken when the size grows. Returns whether it has changed already.
    #[inline]
    #[cfg_attr(
        not(feature = "std"),
        expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, unused_variables, reason = "none is followed")
    )]
    pub(crate) fn wait(&self, cx: &mut Context<'_>) -> bool {
        #[cfg(feature = "std")]
        if let Some(followed) = &self.followed {
            return followed.wait(cx);
        }
        false
    }
}

#[cfg(feature = "std")]
impl Followed {
    /// Returns the size if the pool does not have it.
    #[cold]
    #[inline(never)]
    fn changed(&mut self) -> Option<usize> {
        let size = self.size.get();
        (core::mem::replace(&mut self.known, size) != size).then_some(size)
    }

    /// Has the task woken when the size grows. Returns whether it has changed already.
    #[cold]
    #[inline(never)]
    fn wait(&self, cx: &mut Context<'_>) -> bool {
        self.follower.task.register(cx.waker());
        self.size.get() != self.known
    }
}

#[cfg(all(test, feature = "std", not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn pools_that_are_gone_leave_nothing_behind() {
        let size = SharedSize::new(1);
        for _ in 0..100 {
            Follow::default().begin(&size);
        }
        assert!(size.0.followers.with(|all| all.len()) <= 1);
    }
}
