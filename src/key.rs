//! [`Key`].

/// Identifies one future of a [`Pool`](crate::Pool) or an [`InlinePool`](crate::InlinePool), and later its result; or one
/// [`Task`](crate::Task) of a scope.
///
/// Keys rise in the order of spawning and are never reused within a pool: a stale key finds nothing. A key says nothing
/// about the pool it came from, so one of another pool may find somebody else's result.
///
/// # Examples
///
/// ```
/// use futures_pool::Pool;
/// use std::future::ready;
///
/// let mut pool = Pool::new(4);
/// let first = pool.spawn_n(ready("a"));
/// let second = pool.spawn_n(ready("b"));
/// assert!(first < second);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) u64);
