//! Bounded by default: what an ordered chain starts, takes from its source, and holds behind a future that does not end.

mod common;

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{poll, yield_now};
use futures::stream::{self, StreamExt};
use futures_pool::{ActiveSet, Pool, prelude::*, yield_when};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

on_both_sets! {
    behind_a_stuck_head_an_endless_source_is_bounded,
    awaited_there_is_no_bound,
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What futures have done.
#[derive(Default)]
struct Counts {
    started: Cell<usize>,
    /// How many results there are, and how many there were at most.
    alive: Cell<usize>,
    most: Cell<usize>,
}

/// A result that counts.
struct Held(Rc<Counts>);

impl Held {
    fn new(counts: &Rc<Counts>) -> Self {
        counts.alive.set(counts.alive.get() + 1);
        counts.most.set(counts.most.get().max(counts.alive.get()));
        Self(Rc::clone(counts))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

/// The first never ends; all others are ready.
fn stuck_head(counts: &Rc<Counts>) -> impl Fn(usize) -> futures::future::LocalBoxFuture<'static, Held> + use<> {
    let counts = Rc::clone(counts);
    move |n| {
        counts.started.set(counts.started.get() + 1);
        let counts = Rc::clone(&counts);
        Box::pin(async move {
            if n == 0 {
                pending::<()>().await;
            }
            Held::new(&counts)
        })
    }
}

/// Polls a future over an endless source until it does nothing any more, which takes a bounded number of polls.
fn exhaust(counts: &Counts, future: impl Future) {
    let mut future = pin!(future);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut same = 0;
    for _ in 0..10_000 {
        let before = counts.started.get();
        assert!(future.as_mut().poll(cx).is_pending());
        same = if counts.started.get() == before { same + 1 } else { 0 };
        if same == 10 {
            return;
        }
    }
    panic!("{} started, and more to come", counts.started.get());
}

fn behind_a_stuck_head_an_endless_source_is_bounded<S: ActiveSet>(set: impl Fn() -> S) {
    for size in [1, 2, 4, 64] {
        let counts = Rc::<Counts>::default();
        let chain = || (0..).pool_map(size, stuck_head(&counts)).with_set(set());
        macro_rules! check {
            ($future:expr, $most:expr) => {
                counts.started.set(0);
                counts.most.set(0);
                exhaust(&counts, $future);
                let (started, most, bound) = (counts.started.get(), counts.most.get(), $most);
                let form = stringify!($future);
                assert!(started <= bound && most <= bound, "{form}, size {size}: {started} started, {most} held");
                // As many as it may: with one slot, that is the head alone.
                assert!(started > 16 * size || size == 1, "{form}, size {size}: only {started} started");
                assert_eq!(counts.alive.get(), 0);
            };
        }
        let bound = 17 * size;
        check!(async { chain().next().await }, bound);
        check!(async { chain().indexed().next().await }, bound);
        check!(async { chain().batches(yield_when::all_completed).next().await }, bound);
        check!(chain().for_each(|_| ready(())), bound);
        check!(chain().consume(|items| items.for_each(|_| ready(()))), bound);
        check!(chain().drive(pending::<()>()), bound);
        check!(chain().map(|held| held).driven().for_each(|_| ready(())), bound);
        check!(chain().take(1_000_000).driven().collect::<Vec<_>>(), bound);
        check!(chain().map(Ok::<_, ()>).driven().try_for_each(|_| ready(Ok(()))), bound);
        check!(chain().pool_map(1, ready).for_each(|_| ready(())), bound);
        check!(stream::iter(0..).pool_map(size, stuck_head(&counts)).for_each(|_| ready(())), bound);
        // A stage behind a stage that is stuck holds no more than the other lets through.
        let behind = (0..).pool_map(size, ready).pool_map(size, stuck_head(&counts)).with_set(set());
        check!(behind.for_each(|_| ready(())), bound);
        let fallible = |n| {
            let held = stuck_head(&counts)(n);
            async move { Ok::<_, ()>(held.await) }
        };
        check!((0..).pool_map(size, fallible).fail_fast().for_each(|_| ready(())), bound);
        // With a bound that was set, every result counts.
        if size == 64 {
            let counts = Rc::<Counts>::default();
            let chain = (0..).pool_map(size, stuck_head(&counts)).with_set(set()).max_finished(5);
            exhaust(&counts, chain.for_each(|_| ready(())));
            assert_eq!((counts.started.get(), counts.most.get()), (7, 6));
        }
    }
}

fn awaited_there_is_no_bound<S: ActiveSet>(set: impl Fn() -> S) {
    let count = 3000;
    macro_rules! check {
        (|$chain:ident| $future:expr, $started:expr) => {
            let counts = Rc::<Counts>::default();
            let $chain = (0..count).pool_map(2, stuck_head(&counts)).with_set(set());
            {
                let mut all = pin!($future);
                for _ in 0..200 {
                    assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
            }
            assert_eq!(counts.started.get(), $started, "{}", stringify!($future));
            assert_eq!(counts.alive.get(), 0);
        };
    }
    check!(|chain| chain.into_future(), count);
    check!(|chain| chain.indexed().into_future(), count);
    check!(|chain| chain.unordered().into_future(), count);
    // Unless one was set.
    check!(|chain| chain.max_finished(usize::MAX).into_future(), count);
    check!(|chain| chain.max_finished(5).into_future(), 7);
    check!(|chain| chain.max_finished(2).into_future(), 4);
}

#[test]
fn awaited_after_it_was_polled_a_chain_keeps_what_it_holds() {
    let polled = |polls| {
        let mut chain = (0..200).pool_map(4, |n| async move {
            if n % 5 == 0 {
                yield_now().await;
                yield_now().await;
            }
            n
        });
        let mut taken = vec![];
        for _ in 0..polls {
            if let Poll::Ready(Some(n)) = chain.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
                taken.push(n);
            }
        }
        (chain, taken)
    };
    for polls in 0..30 {
        let (chain, mut all) = polled(polls);
        all.extend(common::run(chain.into_future()));
        assert_eq!(all, (0..200).collect::<Vec<_>>(), "polled {polls} times");
        let (chain, mut all) = polled(polls);
        all.extend(common::run(chain.unordered().into_future()));
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>(), "polled {polls} times, then unordered");
    }
}

#[test]
fn awaited_each_result_is_in_its_place_whatever_the_order_in_which_they_finish() {
    let mut rng = fastrand::Rng::with_seed(7);
    for len in [0, 1, 2, 63, 64, 65, 500] {
        for size in [1, 3, 64, 1000] {
            let waits: Vec<u8> = (0..len).map(|_| rng.u8(..6)).collect();
            let work = |n: usize| {
                let waits = &waits;
                async move {
                    for _ in 0..waits[n] {
                        yield_now().await;
                    }
                    n.to_string()
                }
            };
            let expected: Vec<_> = (0..len).map(|n| n.to_string()).collect();
            assert_eq!(common::run((0..len).pool_map(size, work).into_future()), expected);
            let mut unordered = common::run((0..len).pool_map(size, work).unordered().into_future());
            unordered.sort_by_key(|n| n.parse::<usize>().unwrap());
            assert_eq!(unordered, expected);
            let fallible = |n| async move { Ok::<_, ()>(work(n).await) };
            assert_eq!(common::run((0..len).pool_map(size, fallible).fail_fast().into_future()), Ok(expected));
        }
    }
}

// What users ran into.

#[tokio::test(start_paused = true)]
async fn pages_until_an_empty_one_are_fetched_by_a_bounded_number_too_many() {
    let requests = Cell::new(0);
    let fetch = async |page: u32| {
        requests.set(requests.get() + 1);
        sleep(ms(if page == 0 { 5000 } else { 10 })).await;
        if page < 10 { vec![page] } else { vec![] }
    };
    let pages: Vec<_> = (0..).pool_map(4, fetch).take_while(|page| ready(!page.is_empty())).collect().await;
    assert_eq!(pages.len(), 10);
    assert!(requests.get() <= 17 * 4, "{} requests", requests.get());

    // Where that is too many, every result counts.
    requests.set(0);
    let bounded = (0..).pool_map(4, fetch).max_finished(4);
    let pages: Vec<_> = bounded.take_while(|page| ready(!page.is_empty())).collect().await;
    assert_eq!(pages.len(), 10);
    assert!(requests.get() <= 10 + 2 * 4, "{} requests", requests.get());
}

#[tokio::test(start_paused = true)]
async fn a_bounded_channel_as_the_source_blocks_its_senders() {
    let sent_while = async |bound: Option<usize>| {
        let (sender, mut receiver) = mpsc::channel::<usize>(4);
        let sent = Cell::new(0);
        let send = async {
            for n in 0.. {
                sender.send(n).await.unwrap();
                sent.set(n + 1);
            }
        };
        let work = async |n| sleep(ms(if n == 0 { 10_000 } else { 1 })).await;
        let source = stream::poll_fn(|cx| receiver.poll_recv(cx));
        let mut jobs = source.pool_map(4, work);
        if let Some(bound) = bound {
            jobs = jobs.max_finished(bound);
        }
        tokio::select! { () = send => {}, _ = jobs.next() => {} }
        sent.get()
    };
    assert!(sent_while(None).await <= 17 * 4 + 4);
    assert!(sent_while(Some(4)).await <= 2 * 4 + 4);
}

#[test]
fn a_pool_and_an_unordered_chain_hold_no_more_than_their_bound() {
    let started = Cell::new(0);
    let count = |n| {
        started.set(started.get() + 1);
        ready(n)
    };
    let mut stream = (0..).pool_map(4, count).unordered();
    for taken in 1..100 {
        assert!(matches!(common::poll_next(&mut stream), Poll::Ready(Some(_))));
        assert!(started.get() <= taken + 5);
    }
    let mut pool = Pool::new(4);
    let _ = pool.map_n(0..200_usize, ready);
    assert!(poll(&mut pool.drive(pending::<()>())).is_pending());
    assert_eq!((pool.finished(), pool.waiting()), (5, 195));
}
