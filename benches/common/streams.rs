//! The contestants that give results as a stream, or as a loop over one.
//!
//! A set that has no limit of its own is in a loop as its users write it: filled up to `size`, and for each result that
//! comes out, the next future goes in.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Poll, ready};

use futures::future::FutureExt;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use futures_buffered::{BufferedStreamExt, FuturesUnorderedBounded};
use futures_concurrency::concurrent_stream::ConcurrentStream;
use futures_concurrency::future::FutureGroup;
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Pool, UnorderedSet};
use tokio::task::JoinSet;

use super::{Contestant, Job, Measured, Total, contestant, names};

pub(super) fn contestants<F: Job>() -> Vec<Contestant> {
    let mut contestants = unordered::<F>();
    contestants.extend(tasks::<F>());
    contestants.extend(ours::<F>());
    contestants.extend(ordered::<F>());
    contestants
}

fn unordered<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Futures, Unordered, names::BUFFER_UNORDERED, |size, items| {
            drain::<F, _>(|| source::<F>(items).buffer_unordered(size))
        }),
        contestant!(Futures, Unordered, "futures `for_each_concurrent`", |size, items| {
            for_each::<F, _>(async |total| {
                let futures = source::<F>(items);
                let add = |future: F| future.map(|item| Total::add_to(total, item));
                StreamExt::for_each_concurrent(futures, size, add).await;
            })
        }),
        contestant!(Futures, Unordered, "futures `FuturesUnordered`, loop", |size, items| {
            refill::<F, _>(size, items, FuturesUnordered::new, |set, future| set.push(future))
        }),
        contestant!(FuturesBuffered, Unordered, "futures-buffered `buffered_unordered`", |size, items| {
            drain::<F, _>(|| source::<F>(items).buffered_unordered(size))
        }),
        contestant!(FuturesBuffered, Unordered, "futures-buffered `for_each_concurrent`", |size, items| {
            for_each::<F, _>(async |total| {
                let futures = source::<F>(items);
                let add = |future: F| future.map(|item| Total::add_to(total, item));
                BufferedStreamExt::for_each_concurrent(futures, size, add).await;
            })
        }),
        contestant!(FuturesBuffered, Unordered, "futures-buffered `FuturesUnorderedBounded`, loop", |size, items| {
            refill::<F, _>(size, items, || FuturesUnorderedBounded::new(size), |set, future| set.push(future))
        }),
        contestant!(Unicycle, Unordered, "unicycle `FuturesUnordered`, loop", |size, items| {
            refill::<F, _>(size, items, unicycle::FuturesUnordered::new, |set, future| {
                set.push(future);
            })
        }),
        contestant!(FutureQueue, Unordered, "future-queue `future_queue`", |size, items| {
            drain::<F, _>(|| {
                let weighted = stream::iter(0..items).map(|item| (1, move |_| F::from(item)));
                future_queue::StreamExt::future_queue(weighted, size)
            })
        }),
        contestant!(FuturesConcurrency, Unordered, "futures-concurrency `FutureGroup`, loop", |size, items| {
            refill::<F, _>(size, items, FutureGroup::new, |set, future| {
                set.insert(future);
            })
        }),
        contestant!(FuturesConcurrency, Unordered, "futures-concurrency `co().limit().for_each`", |size, items| {
            for_each::<F, _>(async |total| {
                let futures = futures_concurrency::stream::StreamExt::co(source::<F>(items));
                let add = |future: F| async { Total::add_to(total, future.await) };
                futures.limit(NonZeroUsize::new(size)).for_each(add).await;
            })
        }),
    ]
}

fn tasks<F: Job>() -> Vec<Contestant> {
    let one = contestant!(Tokio, Unordered, names::JOIN_SET, |size, items| F::drive_tasks(join_set::<F>(size, items)));
    let two = contestant!(Tokio, Unordered, "tokio `JoinSet`, two threads", |size, items| {
        F::drive_tasks_on_two(join_set::<F>(size, items))
    });
    if F::ANY_THREAD { vec![one, two] } else { vec![one] }
}

async fn join_set<F: Job>(size: usize, items: u64) -> Total {
    let mut source = lazy::<F>(items);
    let mut set: JoinSet<u64> = JoinSet::new();
    for future in source.by_ref().take(size) {
        set.spawn(future);
    }
    let mut total = Total::default();
    while let Some(item) = set.join_next().await {
        total.add(item.expect("no task panics"));
        if let Some(future) = source.next() {
            set.spawn(future);
        }
    }
    total
}

fn ours<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Ours, Unordered, names::POOL_MAP, |size, items| {
            drain::<F, _>(|| (0..items).pool_map(size, F::from).unordered())
        }),
        contestant!(Ours, Unordered, "`pool_map(..).unordered()`, `UnorderedSet`", |size, items| {
            drain::<F, _>(|| (0..items).pool_map(size, F::from).with_set(UnorderedSet).unordered())
        }),
        contestant!(Ours, Unordered, names::POOL, |size, items| {
            drain::<F, _>(|| top_up(Pool::new(size), lazy::<F>(items)))
        }),
        contestant!(Ours, Unordered, "`Pool`, `UnorderedSet`, topped up", |size, items| {
            drain::<F, _>(|| top_up(Pool::with_set(size, UnorderedSet), lazy::<F>(items)))
        }),
    ]
}

fn ordered<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Futures, Ordered, names::BUFFERED, |size, items| {
            drain::<F, _>(|| source::<F>(items).buffered(size))
        }),
        contestant!(FuturesBuffered, Ordered, "futures-buffered `buffered_ordered`", |size, items| {
            drain::<F, _>(|| source::<F>(items).buffered_ordered(size))
        }),
        contestant!(Ours, Ordered, names::POOL_MAP_ORDERED, |size, items| {
            drain::<F, _>(|| (0..items).pool_map(size, F::from))
        }),
        contestant!(Ours, Ordered, "`pool_map(..)`, `UnorderedSet`", |size, items| {
            drain::<F, _>(|| (0..items).pool_map(size, F::from).with_set(UnorderedSet))
        }),
    ]
}

fn lazy<F: From<u64>>(items: u64) -> impl Iterator<Item = F> {
    (0..items).map(F::from)
}

fn source<F: From<u64>>(items: u64) -> impl Stream<Item = F> {
    stream::iter(lazy(items))
}

/// Makes a stream, and takes all that comes out of it.
fn drain<F: Job, S: Stream<Item = u64>>(make: impl FnOnce() -> S) -> Measured {
    F::drive(async {
        let mut stream = pin!(make());
        let mut total = Total::default();
        while let Some(item) = stream.next().await {
            total.add(item);
        }
        total
    })
}

/// Makes a set and fills it up; for each result, pushes the next future.
fn refill<F: Job, S: Stream<Item = u64> + Unpin>(
    size: usize,
    items: u64,
    make: impl FnOnce() -> S,
    push: impl Fn(&mut S, F),
) -> Measured {
    F::drive(async {
        let mut source = lazy::<F>(items);
        let mut set = make();
        for future in source.by_ref().take(size) {
            push(&mut set, future);
        }
        let mut total = Total::default();
        while let Some(item) = set.next().await {
            total.add(item);
            if let Some(future) = source.next() {
                push(&mut set, future);
            }
        }
        total
    })
}

/// What gives no results, but has its futures do something with them.
fn for_each<F: Job, C: AsyncFnOnce(&Cell<Total>)>(run: C) -> Measured {
    F::drive(async {
        let total = Cell::default();
        run(&total).await;
        total.into_inner()
    })
}

/// Before each poll, pushes what makes the pool full. Pushing everything at once would measure a long queue instead,
/// which no other contestant has.
fn top_up<F: Future<Output = u64>, K: ActiveSet>(
    mut pool: Pool<F, K>,
    mut source: impl Iterator<Item = F>,
) -> impl Stream<Item = u64> {
    stream::poll_fn(move |cx| {
        for future in source.by_ref().take(pool.size() - pool.len()) {
            pool.spawn_n(future);
        }
        let item = ready!(pool.poll_next_unpin(cx));
        Poll::Ready(item.map(|(_key, value)| value))
    })
}
