//! [`Keys`].

use core::iter::FusedIterator;
use core::ops::Range;

use crate::key::Key;

/// The keys of a run of futures, in their order: what [`Pool::map_n`](crate::Pool::map_n) returns.
///
/// It allocates nothing and borrows nothing.
///
/// # Examples
///
/// ```
/// use futures_pool::Pool;
/// use std::future::ready;
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(2);
/// let keys = pool.map_n(["a", "b", "c"], ready);
/// assert_eq!(keys.len(), 3);
/// pool.join().await;
/// let results: Vec<_> = keys.filter_map(|key| pool.take_result(key)).collect();
/// assert_eq!(results, ["a", "b", "c"]);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Keys(pub(crate) Range<u64>);

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        self.0.next().map(Key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The futures were all in memory at once, so their number fits.
        let len = usize::try_from(self.0.end - self.0.start).unwrap_or(usize::MAX);
        (len, Some(len))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Key> {
        self.0.next_back().map(Key)
    }
}

impl ExactSizeIterator for Keys {}

impl FusedIterator for Keys {}
