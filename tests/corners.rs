//! Corners that no other test turns: how things are printed, what passes a call on, and late wake-ups in great number.
//!
//! What is printed tells the state of a thing; what is inside need not be printable.

mod common;

use std::error::Error;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use futures::channel::mpsc;
use futures::stream::{FusedStream, Stream};
use futures_pool::prelude::*;
use futures_pool::{Pool, Progress, local_scope};

use common::{Wakes, run, yield_now};

/// All futures have finished, the source is pending, and then each slot is woken. The pool looks at no more than so many
/// late wake-ups in a call; yet it comes to rest, and hears the source.
#[test]
fn late_wake_ups_in_great_number_come_to_an_end() {
    let futures = 200;
    let (to, source) = mpsc::unbounded();
    let wakers = Mutex::new(Vec::new());
    let wakers = &wakers;
    let mut stream = source.pool_map(futures, |number: usize| {
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            wakers.lock().unwrap().push(cx.waker().clone());
            if polls == 1 { Poll::Pending } else { Poll::Ready(number) }
        })
    });
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    // Polls for as long as the task is woken; returns how many results there were, and how many calls that took.
    let mut settle = || {
        let (mut results, mut calls) = (0, 0);
        loop {
            let before = wakes.count();
            calls += 1;
            match Pin::new(&mut stream).poll_next(cx) {
                Poll::Ready(Some(_)) => results += 1,
                Poll::Ready(None) => panic!("the source has not ended"),
                Poll::Pending if wakes.count() == before => return (results, calls),
                Poll::Pending => assert!(calls < 10 * futures, "it does not come to rest"),
            }
        }
    };
    let wake_all = || wakers.lock().unwrap().drain(..).for_each(Waker::wake);

    (0..futures).for_each(|number| to.unbounded_send(number).unwrap());
    assert_eq!(settle().0, 0);
    wake_all();
    assert_eq!(settle().0, futures);

    let before = wakes.count();
    wake_all();
    assert_eq!(wakes.count(), before + 1, "the first of them wakes the task, the others only set their bits");
    let (results, calls) = settle();
    assert_eq!(results, 0);
    assert!(calls <= 2 + futures / 32, "{calls} calls for {futures} late wake-ups");

    to.unbounded_send(0).unwrap();
    assert_eq!(settle().0, 0);
    wake_all();
    assert_eq!(settle().0, 1);
}

#[test]
fn streams_print_their_state() {
    let mut stream = (0..3).pool_map(2, ready);
    assert_eq!(format!("{:?}", stream.drive(ready(()))), format!("Drive {{ stream: {stream:?}, .. }}"));
    let stream = stream.for_each(|_| ready(()));
    assert!(format!("{stream:?}").starts_with("ForEach { stream: PoolMap { size: 2, "), "{stream:?}");
    let stream = (0..3).pool_map(2, ready).driven();
    let printed = format!("{stream:?}");
    assert!(
        printed.starts_with("Driven { stream: PoolMap { ") && printed.ends_with("ahead: false, ended: false, .. }")
    );
}

#[test]
fn a_callback_prints_how_far_it_is_and_panics_when_polled_after_its_end() {
    let callback = async |(), number: i32| {
        yield_now().await;
        number
    };
    let mut future = pin!(yield_now().callback(callback, 7));
    let cx = &mut Context::from_waker(Waker::noop());
    for state in ["future", "callback"] {
        assert!(future.as_mut().poll(cx).is_pending());
        assert_eq!(format!("{future:?}"), format!("Callback {{ state: \"{state}\", .. }}"));
    }
    assert_eq!(future.as_mut().poll(cx), Poll::Ready(7));
    assert_eq!(format!("{future:?}"), "Callback { state: \"ended\", .. }");
    assert!(catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).is_ready())).is_err());
}

#[test]
fn itermap_counts_and_continues_without_giving_a_result() {
    let mut pool = Pool::new(2);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut results = pool.itermap(0..3, ready);
    assert_eq!((results.active(), results.finished(), results.size()), (0, 0, 2));
    assert!(Pin::new(&mut results).poll_progress(cx).is_ready());
    assert_eq!((results.active(), results.finished()), (0, 3));
    let mut results = results.keyed();
    assert_eq!(results.size_hint(), (3, Some(3)));
    assert!(!results.is_terminated());
    assert!(Pin::new(&mut results).poll_progress(cx).is_ready());
    let numbers: Vec<_> = std::iter::from_fn(|| match Pin::new(&mut results).poll_next(cx) {
        Poll::Ready(next) => next.map(|(_, number)| number),
        Poll::Pending => panic!("all have finished"),
    })
    .collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(results.is_terminated());
}

#[test]
fn a_scope_and_its_futures_print_their_state() {
    let scope = local_scope(2, async |pool| {
        assert_eq!(format!("{pool:?}"), "Scope { size: 2, waiting: 0, active: 0, .. }");
        assert_eq!(format!("{:?}", pool.join()), format!("Join {{ scope: {pool:?}, .. }}"));
        assert!(format!("{:?}", pool.spawn(ready(()))).starts_with("Spawn { task: "));
        assert!(format!("{:?}", pool.exec(ready(()))).starts_with("Exec { task: "));
        assert_eq!(format!("{:?}", pool.map(0..2, ready)), "Map { running: 0, finished: 0, .. }");
        let task = pool.spawn_n(ready(()));
        assert!(format!("{task:?}").ends_with("is_finished: false, .. }"), "{task:?}");
        let results = pool.itermap(0..2, ready);
        assert_eq!(format!("{results:?}"), "IterWait { running: 2, finished: 0, .. }");
        let results = results.keyed();
        assert_eq!(format!("{results:?}"), "KeyedIterWait(IterWait { running: 2, finished: 0, .. })");
        assert_eq!(results.size_hint(), (2, Some(2)));
        assert!(!results.is_terminated());
    });
    assert_eq!(format!("{scope:?}"), "ScopeFuture { size: 2, waiting: 0, active: 0, .. }");
    run(scope);
}

#[test]
fn why_a_task_stopped_is_told_also_without_a_message() {
    let (panicked, cancelled) = run(local_scope(1, async |pool| {
        let cancelled = pool.spawn_n(pending::<()>());
        assert!(cancelled.cancel());
        (pool.spawn_n(async { panic_any(5) }).await, cancelled.await)
    }));
    let (panicked, cancelled): (Result<(), _>, _) = (panicked, cancelled);
    let (panicked, cancelled) = (panicked.unwrap_err(), cancelled.unwrap_err());
    assert_eq!(panicked.to_string(), "the task panicked");
    let source = panicked.source().expect("the panic");
    assert!(format!("{source:?}").starts_with("Panic { message: None"), "{source:?}");
    assert_eq!(cancelled.to_string(), "the task was cancelled");
    assert!(cancelled.source().is_none());
}
