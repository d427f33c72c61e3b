//! `fail_fast` and `catch_unwind` in both orders: what ends the chain, and what it gives.

// `catch_unwind` is there with it.
#![cfg(feature = "std")]

mod common;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use common::yield_now;
use futures::stream::{Stream, StreamExt};
use futures_pool::inline::Slots;
use futures_pool::{Panic, UnorderedSet, prelude::*, yield_when};

/// A future that has failed after some polls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Give(u32),
    Fail(&'static str),
    Panic,
    Hang,
}
use Does::{Fail, Give, Hang};

async fn perform((polls, does): (u32, Does)) -> Result<u32, &'static str> {
    for _ in 0..polls {
        yield_now().await;
    }
    match does {
        Give(n) => Ok(n),
        Fail(error) => Err(error),
        Does::Panic => std::panic::resume_unwind(Box::new("panicked")),
        Hang => pending().await,
    }
}

/// Awaits a chain by polling while woken.
fn run<F: IntoFuture>(chain: F) -> F::Output {
    common::run(chain.into_future())
}

type EndsAtBoth = Result<Result<Vec<u32>, &'static str>, Panic>;
type EndsAtPanics = Result<Vec<Result<u32, &'static str>>, Panic>;

#[test]
fn the_first_error_ends_a_chain_that_catches_panics_and_fails_fast() {
    let started = Cell::new(0);
    let f = async |n| {
        started.set(started.get() + 1);
        if n == 3 { Err("three") } else { Ok(n) }
    };
    let ended: EndsAtBoth = run((0..1000).pool_map(4, f).fail_fast().catch_unwind());
    assert_eq!(ended.unwrap(), Err("three"));
    assert_eq!(started.replace(0), 4);

    // In the other order, a panic ends it and an error does not.
    let ended: EndsAtPanics = run((0..1000).pool_map(4, f).catch_unwind().fail_fast());
    let ended = ended.unwrap();
    assert_eq!((started.get(), ended.len(), ended[3]), (1000, 1000, Err("three")));
}

/// Awaits the same in all the ways that there are.
fn each_way(jobs: &[(u32, Does)], check: impl Fn(EndsAtBoth)) {
    let chain = || jobs.iter().copied().pool_map(4, perform);
    check(run(chain().fail_fast().catch_unwind()));
    check(run(chain().unordered().fail_fast().catch_unwind()));
    check(run(chain().fail_fast().catch_unwind().unordered()));
    check(run(chain().fail_fast().catch_unwind().with_set(UnorderedSet)));
    check(run(chain().max_finished(2).fail_fast().catch_unwind()));
    check(run(chain().fail_fast().catch_unwind().max_finished(0)));
    check(run(jobs.iter().copied().pool_map_inline(Slots::<4>, perform).fail_fast().catch_unwind()));
}

#[test]
fn whichever_happens_first_is_the_result() {
    let error_first = [(9, Hang), (5, Does::Panic), (1, Give(1)), (2, Fail("early")), (0, Give(2))];
    each_way(&error_first, |ended| assert_eq!(ended.unwrap(), Err("early")));
    let panic_first = [(9, Hang), (2, Does::Panic), (1, Give(1)), (5, Fail("late")), (0, Give(2))];
    each_way(&panic_first, |ended| assert_eq!(ended.unwrap_err().message(), Some("panicked")));
    let neither = [(3, Give(0)), (0, Give(1)), (2, Give(2)), (1, Give(3)), (0, Give(4))];
    each_way(&neither, |ended| {
        let mut all = ended.unwrap().unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    });
    assert_eq!(
        run(neither.into_iter().pool_map(2, perform).fail_fast().catch_unwind()).unwrap().unwrap(),
        [0, 1, 2, 3, 4]
    );
}

#[test]
fn as_a_stream_the_failure_is_ahead_of_any_order_and_the_last_item() {
    for failure in [Fail("failed"), Does::Panic] {
        let alive = Rc::new(());
        let job = |job| {
            let alive = Rc::clone(&alive);
            async move {
                let result = perform(job).await;
                drop(alive);
                result
            }
        };
        let jobs = [(0, Give(0)), (0, Hang), (0, Give(2)), (3, failure)];
        let mut stream = jobs.into_iter().pool_map(4, job).fail_fast().catch_unwind();
        assert_eq!(common::run(stream.next()).unwrap().unwrap(), Ok(0));
        assert!(stream.size_hint().0 <= 1);
        let last = common::run(stream.next()).unwrap();
        assert!(!matches!(last, Ok(Ok(_))), "{last:?}");
        assert_eq!(Rc::strong_count(&alive), 1, "all others are dropped by then");
        assert!(common::run(stream.next()).is_none());
    }
}

#[test]
fn views_and_consumers_of_it() {
    let jobs = || [(0, Give(0)), (1, Give(1)), (9, Hang), (5, Fail("failed"))].into_iter().pool_map(2, perform);
    let pairs: Vec<_> = common::run(jobs().fail_fast().catch_unwind().indexed().collect());
    assert_eq!(pairs.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1, 3]);
    let batches = jobs().fail_fast().catch_unwind().batches(yield_when::first_error);
    let batches: Vec<_> = common::run(batches.collect());
    assert!(matches!(batches.last().and_then(|batch| batch.last()), Some(Ok(Err("failed")))), "{batches:?}");
    let seen = Cell::new(0);
    let each = async |value: Result<u32, _>| {
        seen.set(seen.get() + value.map_or(100, |n| n + 1));
        Ok(())
    };
    assert!(common::run(jobs().fail_fast().catch_unwind().try_for_each(each)).is_ok());
    assert_eq!(seen.get(), 103);
}
