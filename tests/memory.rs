//! What a pool holds on to: for as long as it has one result, or one waiting future, that stays, all the others that come
//! and go must leave nothing behind.

use std::alloc::System;
use std::future::{Ready, ready};

use futures::StreamExt;
use futures_pool::{Pool, prelude::*};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A result, and a future, that shows in the figures.
type Block = [u64; 128];

/// How many of these could be in what was allocated since.
fn blocks(region: &Region<'_, System>) -> usize {
    let change = region.change();
    (change.bytes_allocated - change.bytes_deallocated) / size_of::<Block>()
}

// One test, since others at the same time would count as well.
#[test]
fn what_stays_does_not_keep_the_place_of_what_goes() {
    // Results: 50 of 10,000 are left where they are, in the midst of the others.
    let region = Region::new(ALLOCATOR);
    let mut pool = Pool::<Ready<Block>>::new(64);
    let mut left = Vec::new();
    for n in 0..10_000 {
        let key = pool.spawn_n(ready([n; 128]));
        futures::executor::block_on(pool.join());
        if n % 200 == 0 {
            left.push((n, key));
        } else {
            assert_eq!(pool.take_result(key), Some([n; 128]));
        }
    }
    assert_eq!(pool.finished(), 50);
    // A `VecDeque` doubles its capacity.
    assert!(blocks(&region) < 2 * 2 * (50 + 32), "capacity for {} results", blocks(&region));
    assert!(left.into_iter().all(|(n, key)| pool.take_result(key) == Some([n; 128])));

    // The first is left, and the others come and go in hundreds.
    let region = Region::new(ALLOCATOR);
    let mut pool = Pool::<Ready<Block>>::new(64);
    let first = pool.spawn_n(ready([0; 128]));
    for _ in 0..100 {
        let keys = pool.map_n(0..100, |n| ready([n; 128]));
        futures::executor::block_on(pool.join());
        assert!(keys.into_iter().all(|key| pool.take_result(key).is_some()));
    }
    // So many have to be waiting, or to have finished, at a time.
    assert!(blocks(&region) < 2 * 2 * (101 + 32) + 2 * 128, "capacity for {} results", blocks(&region));
    assert_eq!(pool.take_result(first), Some([0; 128]));

    // Waiting futures: the first stays, and all that come after it are cancelled.
    let region = Region::new(ALLOCATOR);
    let mut pool = Pool::<Ready<Block>>::new(1);
    pool.pause();
    let first: Vec<_> = pool.map_n(0..10, |n| ready([n; 128])).collect();
    for n in 0..10_000 {
        let key = pool.spawn_n(ready([n; 128]));
        assert!(pool.cancel(key));
    }
    assert!(blocks(&region) < 2 * 2 * (10 + 32), "capacity for {} futures", blocks(&region));
    assert_eq!((pool.waiting(), first.len()), (10, 10));

    // And many that go leave no more capacity than some few need.
    let keys = pool.map_n(0..10_000, |n| ready([n; 128]));
    assert!(keys.into_iter().all(|key| pool.cancel(key)));
    assert!(blocks(&region) < 2 * 2 * (10 + 32), "capacity for {} futures", blocks(&region));

    // With one result that stays, those of an `itermap` come all the same, in their order.
    let mut pool = Pool::new(64);
    let kept = pool.spawn_n(ready([7; 128]));
    futures::executor::block_on(pool.join());
    let all = pool.itermap(0..300, |n| ready([n; 128])).map(|block| block[0]).collect::<Vec<_>>();
    assert!(futures::executor::block_on(all).into_iter().eq(0..300));
    assert_eq!(pool.take_result(kept), Some([7; 128]));

    // Keys that nobody uses any more leave nothing behind, nor does a run of items of one key: no more are there than are set
    // aside. Once that many were, no item takes another allocation.
    let keys = (0..100_000_u64).chain([0; 1000]).chain(100_000..1_000_000);
    let mut stream = keys.pool_map(64, ready).unordered().per_key(1, |&key| (key, [0_u64; 16]));
    let mut next = || futures::executor::block_on(stream.next());
    assert!((0..1000).all(|_| next().is_some()));
    let region = Region::new(ALLOCATOR);
    assert!((1000..901_000).all(|_| next().is_some()));
    let change = region.change();
    assert!(blocks(&region) < 2, "{change:?}");
    assert!(change.allocations + change.reallocations < 20, "{change:?}");

    // Nor do weights and numbers.
    let weighted = (0..100_000_usize).pool_map_slot(64, |_, item| ready(item)).unordered().weighted(|item| item % 9);
    let mut weighted = std::pin::pin!(weighted);
    let mut next = || futures::executor::block_on(weighted.next());
    assert!((0..1000).all(|_| next().is_some()));
    let region = Region::new(ALLOCATOR);
    assert!((1000..100_000).all(|_| next().is_some()));
    assert_eq!(region.change().allocations, 0);
}
