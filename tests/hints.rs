//! What the streams say about themselves before they are polled: how many items are left, and whether the end was reached.
//! The first is exact wherever the source's is; whoever reserves capacity goes by it.

mod common;

use std::future::{pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::stream::{self, FusedStream, Stream, StreamExt};
use futures_pool::inline::{InlinePool, Slots};
use futures_pool::{Key, Pool, Progress, iterwait, local_scope, prelude::*, yield_when};

use common::{poll_next, run};

/// Checks, item by item, that the hint is exact, and that the end is told by `is_terminated` as well.
#[track_caller]
fn counts_down(stream: impl FusedStream, mut left: usize) {
    let mut stream = pin!(stream);
    while left > 0 {
        assert_eq!((stream.size_hint(), stream.is_terminated()), ((left, Some(left)), false));
        assert!(matches!(poll_next(&mut stream), Poll::Ready(Some(_))));
        left -= 1;
    }
    assert_eq!((stream.size_hint(), poll_next(&mut stream).is_ready()), ((0, Some(0)), true));
    assert_eq!((stream.size_hint(), stream.is_terminated()), ((0, Some(0)), true));
}

#[test]
fn a_chain_counts_down() {
    counts_down((0..5).pool_map(2, ready), 5);
    counts_down((0..5).pool_map(2, ready).unordered(), 5);
    counts_down((0..5).pool_map(2, ready).indexed(), 5);
    counts_down((0..5).pool_map_inline(Slots::<2>, ready), 5);
    counts_down((0..5).pool_map(2, ready).pool_map(3, ready), 5);
    counts_down((0..5).pool_map(2, ready).driven(), 5);
    counts_down((0..0).pool_map(2, ready), 0);
}

#[cfg(feature = "std")]
#[test]
fn a_chain_that_catches_panics_counts_down() {
    counts_down((0..5).pool_map(2, ready).catch_unwind(), 5);
}

#[test]
fn a_pool_counts_down() {
    let mut pool = Pool::new(2);
    pool.map_n(0..5, ready);
    counts_down(&mut pool, 5);
    // The streams of a pool count their own futures alone.
    pool.map_n(0..3, ready);
    counts_down(pool.itermap(0..4, ready), 4);
    counts_down(pool.itermap(0..4, ready).keyed(), 4);
    counts_down(pool, 3);

    let mut pool = pin!(InlinePool::<_, 2, 4>::new());
    for n in 0..4 {
        assert!(pool.as_mut().try_spawn(ready(n)).is_ok());
    }
    counts_down(pool, 4);
}

#[test]
fn the_keys_of_a_pool_count_down() {
    let mut pool = Pool::new(2);
    pool.map_n(0..2, ready);
    let mut keys = pool.map_n(0..3, ready);
    let mut left = 3;
    loop {
        assert_eq!((keys.size_hint(), keys.len()), ((left, Some(left)), left));
        let key = if left == 2 { keys.next_back() } else { keys.next() };
        let Some(key) = key else { break };
        assert_eq!(pool.take_result(key), None);
        assert!(pool.cancel(key));
        left -= 1;
    }
    assert_eq!((left, keys.next_back(), pool.len()), (0, None, 2));
}

#[test]
fn handles_count_down() {
    run(local_scope(2, async |pool| {
        // They are handed over without the scope being polled in between, since all have finished.
        let tasks = pool.map_n(0..4, ready);
        pool.join().await;
        counts_down(iterwait(tasks), 4);
        let tasks = pool.map_n(0..4, ready);
        pool.join().await;
        counts_down(iterwait(tasks).keyed(), 4);

        // Nor does it matter how many of them have finished.
        let tasks = pool.map_n(0..3, ready);
        let mut all = iterwait(tasks).keyed();
        assert_eq!((all.size_hint(), all.is_terminated()), ((3, Some(3)), false));
        assert!(matches!(all.next().await, Some((Key { .. }, Ok(0)))));
        assert_eq!((all.size_hint(), all.is_terminated()), ((2, Some(2)), false));
        counts_down(all, 2);
    }));
}

#[test]
fn batches_of_handles_count_what_is_left() {
    run(local_scope(2, async |pool| {
        let tasks = pool.map_n(0..3, ready);
        let mut batches = pin!(iterwait(tasks).batches(yield_when::all_completed));
        assert_eq!((batches.size(), batches.active(), batches.finished()), (3, 3, 0));
        assert_eq!((batches.size_hint(), batches.is_terminated()), ((1, Some(3)), false));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(batches.as_mut().poll_progress(&mut cx).is_pending());
        pool.join().await;
        assert_eq!(batches.as_mut().poll_progress(&mut cx), Poll::Ready(()));
        assert_eq!(batches.next().await.unwrap().into_iter().flatten().sum::<i32>(), 3);
        assert_eq!((batches.active(), batches.finished(), batches.is_terminated()), (0, 0, true));
    }));
}

#[test]
fn futures_that_run_and_results_that_wait_are_counted_as_well() {
    // The first is stuck: of ten items two are active, three have finished, and the source has five.
    let never = async |n| if n < 1 { pending().await } else { n };
    let mut stream = (0..10).pool_map(2, never).max_finished(3);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((stream.active(), stream.finished()), (1, 4));
    assert_eq!((stream.size_hint(), stream.is_terminated()), ((10, Some(10)), false));
    drop(stream);

    let mut driven = pin!((0..3).pool_map(2, ready).map(|n| n).driven());
    assert!(common::poll(&mut driven.drive(pending::<()>())).is_pending());
    // One is held ahead.
    counts_down(driven, 3);
}

#[test]
fn what_a_source_does_not_know_is_not_known() {
    let unknown = stream::iter(0..4).filter(|n| ready(*n < 2));
    let mut stream = pin!(unknown.pool_map(2, ready));
    assert_eq!(stream.size_hint(), (0, Some(4)));
    assert!(poll_next(&mut stream).is_ready());
    // It has come to its end by now, and one result is left.
    assert_eq!(stream.size_hint(), (1, Some(1)));

    let endless = (0..).pool_map(2, ready);
    assert_eq!(endless.size_hint(), (usize::MAX, None));
}

#[test]
fn a_batch_is_at_least_one_item_and_at_most_all() {
    let batches = (0..4).pool_map(2, ready).batches(|_| false);
    assert_eq!((batches.size_hint(), batches.is_terminated()), ((1, Some(4)), false));
    let mut batches = pin!(batches);
    assert_eq!(poll_next(&mut batches), Poll::Ready(Some(vec![0, 1, 2, 3])));
    assert_eq!((batches.size_hint(), batches.is_terminated()), ((0, Some(0)), true));

    let batches = (0..4).pool_map(2, ready).batches(|n| *n == 1).timeout(pending::<()>);
    assert_eq!((batches.size_hint(), batches.is_terminated()), ((1, Some(4)), false));
    let mut batches = pin!(batches);
    assert!(matches!(poll_next(&mut batches), Poll::Ready(Some(_))));
    assert!(!batches.is_terminated());
    assert!(matches!(poll_next(&mut batches), Poll::Ready(Some(_))));
    assert_eq!((batches.size_hint(), batches.is_terminated()), ((0, Some(0)), true));
}

#[test]
fn a_chain_that_fails_fast_may_end_at_any_item() {
    let fallible = |n| ready(if n == 2 { Err(n) } else { Ok(n) });
    let mut stream = (0..4).pool_map(1, fallible).fail_fast();
    assert_eq!(stream.size_hint(), (1, Some(4)));
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert_eq!((stream.size_hint(), stream.is_terminated()), ((1, Some(3)), false));
    while poll_next(&mut stream) != Poll::Ready(None) {}
    assert_eq!((stream.size_hint(), stream.is_terminated()), ((0, Some(0)), true));
}
