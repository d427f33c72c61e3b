//! What the types print. It is for those who look for a stuck pool in a log: the counts, and never a future, a result or a
//! closure, none of which has to be printable.

mod common;

use std::future::{IntoFuture, pending, ready};
use std::pin::pin;

use futures::StreamExt;
use futures_pool::inline::{InlinePool, InlineSet};
use futures_pool::{Pool, SlotSet, TaskError, UnorderedSet, iterwait, local_scope, prelude::*};

use common::{poll, poll_next, run, yield_now};

/// Neither can be printed, nor compared, nor cloned.
struct Mute;

/// Finishes if `n` is odd.
async fn odd(n: u32) -> Mute {
    if n % 2 == 0 {
        pending::<()>().await;
    }
    Mute
}

#[test]
fn what_collects_prints_the_counts_of_its_stream() {
    let printed = format!("{:?}", (0..3).pool_map(2, odd).collect::<Vec<_>>());
    assert!(printed.starts_with("Collect { stream: PoolMap { size: 2, active: 0, finished: 0, .. }"), "{printed}");
}

#[test]
fn a_pool_prints_its_counts() {
    let mut pool = Pool::new(2);
    pool.map_n(0..5, odd);
    assert_eq!(format!("{pool:?}"), "Pool { size: 2, waiting: 5, active: 0, finished: 0, .. }");
    // 0 and 2 hold the slots, 1 is taken.
    assert!(poll_next(&mut pool).is_ready());
    assert_eq!(format!("{pool:?}"), "Pool { size: 2, waiting: 2, active: 2, finished: 0, .. }");

    let mut pool = Pool::new(2);
    let never = pool.spawn_n(odd(0));
    pool.map_n([1, 3], odd);
    assert!(poll(&mut pin!(pool.wait(never))).is_pending());
    assert_eq!(format!("{pool:?}"), "Pool { size: 2, waiting: 0, active: 1, finished: 2, .. }");
}

#[test]
fn the_streams_of_a_pool_print_the_pool() {
    let mut pool = Pool::new(2);
    let stream = pool.itermap([0, 2, 4], odd);
    let inner = "Pool { size: 2, waiting: 3, active: 0, finished: 0, .. }";
    assert_eq!(format!("{stream:?}"), format!("IterMap {{ pool: {inner}, .. }}"));
    assert_eq!(format!("{:?}", stream.keyed()), format!("IterMap {{ pool: {inner}, .. }}"));
}

#[test]
fn the_pool_inside_a_value_prints_its_counts() {
    let mut pool = pin!(InlinePool::<_, 2, 4>::new());
    for n in 0..4 {
        assert!(pool.as_mut().try_spawn(odd(n)).is_ok());
    }
    assert_eq!(format!("{pool:?}"), "InlinePool { size: 2, waiting: 4, active: 0, finished: 0, .. }");
    assert!(poll_next(&mut pool).is_ready());
    assert_eq!(format!("{pool:?}"), "InlinePool { size: 2, waiting: 1, active: 2, finished: 0, .. }");
}

#[test]
fn a_chain_prints_its_counts() {
    let mut stream = pin!([1, 0, 3, 2, 4].into_iter().pool_map(2, odd));
    assert_eq!(format!("{stream:?}"), "PoolMap { size: 2, active: 0, finished: 0, .. }");
    assert!(poll_next(&mut stream).is_ready());
    assert_eq!(format!("{stream:?}"), "PoolMap { size: 2, active: 2, finished: 1, .. }");

    let chain = || [0].into_iter().pool_map(2, odd);
    let inner = "PoolMap { size: 2, active: 0, finished: 0, .. }";
    assert_eq!(format!("{:?}", chain().indexed()), inner);
    assert_eq!(format!("{:?}", chain().batches(|_| true)), format!("Batches {{ stream: {inner}, .. }}"));
    assert_eq!(
        format!("{:?}", chain().batches(|_| true).timeout(pending::<()>)),
        format!("TimedBatches {{ stream: {inner}, .. }}")
    );
}

#[test]
fn an_awaited_chain_prints_how_much_it_has_collected() {
    let inner = "PoolMap { size: 2, active: 1, finished: 0, .. }";
    let mut all = pin!(IntoFuture::into_future([1, 3, 0].into_iter().pool_map(2, odd)));
    assert!(poll(&mut all).is_pending());
    assert_eq!(format!("{all:?}"), format!("Collect {{ stream: {inner}, collected: 2, .. }}"));

    let results = [1, 0].into_iter().pool_map(2, async |n| Ok::<_, Mute>(odd(n).await));
    let mut all = pin!(IntoFuture::into_future(results.fail_fast()));
    assert!(poll(&mut all).is_pending());
    assert_eq!(format!("{all:?}"), format!("TryCollect {{ stream: {inner}, collected: 1, .. }}"));
}

#[test]
fn what_makes_progress_meanwhile_prints_the_stream() {
    let inner = "PoolMap { size: 2, active: 0, finished: 0, .. }";
    let mut stream = pin!([1].into_iter().pool_map(2, odd));
    assert_eq!(format!("{:?}", stream.drive(ready(Mute))), format!("Drive {{ stream: {inner}, .. }}"));

    let mut driven = pin!([1, 3].into_iter().pool_map(1, odd).map(|mute| mute).driven());
    assert!(poll(&mut driven.drive(pending::<()>())).is_pending());
    let printed = format!("{driven:?}");
    assert!(printed.starts_with("Driven { stream: Map { "), "{printed}");
    assert!(printed.ends_with(", ahead: true, ended: false, .. }"), "{printed}");

    let mut each = pin!([1].into_iter().pool_map(2, odd).for_each(|_| pending::<()>()));
    assert_eq!(format!("{each:?}"), format!("ForEach {{ stream: {inner}, busy: false, .. }}"));
    assert!(poll(&mut each).is_pending());
    assert_eq!(format!("{each:?}"), format!("ForEach {{ stream: {inner}, busy: true, .. }}"));
}

#[test]
fn a_set_prints_its_name() {
    assert_eq!(format!("{SlotSet:?} {UnorderedSet:?} {:?}", InlineSet::<3>), "SlotSet UnorderedSet InlineSet");
}

#[test]
fn a_callback_prints_where_it_is() {
    let mut future = pin!(odd(1).callback(async |_, _| yield_now().await, Mute));
    assert_eq!(format!("{future:?}"), "Callback { state: \"future\", .. }");
    assert!(poll(&mut future).is_pending());
    assert_eq!(format!("{future:?}"), "Callback { state: \"callback\", .. }");
    assert!(poll(&mut future).is_ready());
    assert_eq!(format!("{future:?}"), "Callback { state: \"ended\", .. }");
}

#[test]
fn a_scope_prints_its_counts() {
    let mut scope = Box::pin(local_scope(2, async |pool| {
        pool.map_n(0..6, odd);
        pending::<()>().await;
    }));
    assert_eq!(format!("{scope:?}"), "ScopeFuture { size: 2, waiting: 0, active: 0, .. }");
    assert!(poll(&mut scope).is_pending());
    // 0 and 2 hold the slots.
    assert_eq!(format!("{scope:?}"), "ScopeFuture { size: 2, waiting: 3, active: 2, .. }");
}

#[test]
fn handles_print_what_they_are_of() {
    let scope = local_scope(2, async |pool| {
        let inner = "Scope { size: 2, waiting: 1, active: 0, .. }";
        let task = pool.spawn_n(odd(1));
        assert_eq!(format!("{pool:?}"), inner);
        assert_eq!(format!("{:?}", pool.join()), format!("Join {{ scope: {inner}, .. }}"));
        assert_eq!(format!("{task:?}"), "Task { key: Key(0), is_finished: false, .. }");
        pool.join().await;
        assert_eq!(format!("{task:?}"), "Task { key: Key(0), is_finished: true, .. }");

        assert_eq!(format!("{:?}", pool.spawn(odd(1))), "Spawn { task: None, .. }");
        let mut spawn = pool.spawn(odd(1));
        assert!(poll(&mut spawn).is_pending());
        let started = "Some(Task { key: Key(1), is_finished: false, .. })";
        assert_eq!(format!("{spawn:?}"), format!("Spawn {{ task: {started}, .. }}"));
        drop(spawn);

        let mut exec = pool.exec(odd(1));
        assert!(poll(&mut exec).is_pending());
        assert_eq!(format!("{exec:?}"), format!("Exec {{ task: {}, .. }}", started.replace('1', "2")));
        drop(exec);

        let mut map = pool.map([1, 0], odd);
        assert!(poll(&mut map).is_pending());
        assert_eq!(format!("{map:?}"), "Map { running: 2, finished: 0, .. }");
        // 1 has finished, and 0 never will.
        yield_now().await;
        assert!(poll(&mut map).is_pending());
        assert_eq!(format!("{map:?}"), "Map { running: 1, finished: 1, .. }");
        drop(map);
        pool.cancel_all();

        let mut all = iterwait([pool.spawn_n(odd(1)), pool.spawn_n(odd(3)), pool.spawn_n(odd(1))]);
        assert_eq!(format!("{all:?}"), "IterWait { running: 3, finished: 0, .. }");
        assert!(all.next().await.is_some());
        assert_eq!(format!("{all:?}"), "IterWait { running: 0, finished: 2, .. }");
        assert_eq!(format!("{:?}", all.keyed()), "KeyedIterWait(IterWait { running: 0, finished: 2, .. })");
    });
    run(scope);
}

#[test]
fn what_has_stopped_a_task_is_printed() {
    assert_eq!(TaskError::Cancelled.to_string(), "the task was cancelled");
    assert_eq!(format!("{:?}", TaskError::Cancelled), "Cancelled");
}

#[cfg(feature = "std")]
#[test]
fn a_panic_is_printed_with_its_message() {
    let ends = run(local_scope(1, async |pool| {
        let words = pool.exec(async { panic!("out of {}", "words") }).await;
        let plain = pool.exec(async { panic!("plain") }).await;
        let other = pool.exec(async { std::panic::panic_any(7) }).await;
        [words, plain, other]
    }));
    let printed = |end: &Result<(), TaskError>| match end {
        Err(error @ TaskError::Panicked(panic)) => [error.to_string(), panic.to_string(), format!("{panic:?}")],
        _ => panic!("{end:?}"),
    };
    let expected = [
        [
            "the task panicked: out of words",
            "a future panicked: out of words",
            "Panic { message: Some(\"out of words\"), .. }",
        ],
        ["the task panicked: plain", "a future panicked: plain", "Panic { message: Some(\"plain\"), .. }"],
        ["the task panicked", "a future panicked", "Panic { message: None, .. }"],
    ];
    assert_eq!(ends.each_ref().map(printed), expected);
}
