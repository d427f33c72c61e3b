//! How many bytes a future takes, while it waits and while it is active.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use futures_buffered::BufferedStreamExt;
use futures_concurrency::future::FutureGroup;
use futures_pool::prelude::*;
use futures_pool::{Pool, Scope, UnorderedSet, scope};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::common::{Flag, names};
use crate::heap::{Change, change};

/// Never ends: 16 bytes, and `MORE`, written by hand.
struct Stuck<const MORE: usize> {
    _data: [u64; 2],
    _more: [u8; MORE],
}

impl<const MORE: usize> Stuck<MORE> {
    fn new(value: u64) -> Self {
        Self { _data: [value; 2], _more: [0; MORE] }
    }
}

impl<const MORE: usize> Future for Stuck<MORE> {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        Poll::Pending
    }
}

/// Never ends, as the compiler makes futures.
async fn stuck(value: u64) -> u64 {
    pending::<()>().await;
    value
}

/// Prints the tables, and returns what was aimed at and whether it was met.
pub(crate) fn print() -> Vec<(String, bool)> {
    let sizes = [size_of_val(&stuck(0)), size_of::<Stuck<0>>(), size_of::<Stuck<1008>>()];
    let heads = ["`async fn`", "by hand", "by hand"];
    let heads = heads.iter().zip(sizes).map(|(head, size)| format!("{head}, {size} B"));
    let heads = format!("| {} |\n|:---|---:|---:|---:|", heads.collect::<Vec<_>>().join(" | "));

    let columns = [waiting(stuck, 1 << 20), waiting(Stuck::<0>::new, 1 << 20), waiting(Stuck::<1008>::new, 1 << 16)];
    println!("Bytes a waiting future; 2^20 of them, 2^16 of the largest.\n\n| all handed over {heads}");
    rows(&columns);
    let checks = columns[0].iter().enumerate().filter(|(row, _)| *row < OURS).map(|(row, (name, _))| {
        let lazy = *name == LAZY;
        let all = columns.iter().zip(sizes);
        let met = all.into_iter().all(|(column, size)| fits(column[row].1, if lazy { 0 } else { size }));
        (format!("A future that waits costs {} in {name}", if lazy { "nothing" } else { "its own size" }), met)
    });
    let checks = checks.collect();

    let columns = [active(stuck, 1 << 16), active(Stuck::<0>::new, 1 << 16), active(Stuck::<1008>::new, 1 << 16)];
    println!("Bytes an active future, its own included; 2^16 of them.\n\n| all polled once {heads}");
    rows(&columns);
    checks
}

fn rows(columns: &[Vec<(&str, f64)>; 3]) {
    for (row, (name, _)) in columns[0].iter().enumerate() {
        let [one, two, three] = columns.each_ref().map(|column| column[row].1);
        println!("| {name} | {one:.1} | {two:.1} | {three:.1} |");
    }
    println!();
}

fn fits(bytes: f64, size: usize) -> bool {
    bytes < f64::from(u32::try_from(size).expect("it is small")) + 0.5
}

/// So many rows of the first table are ours, and are to meet a target.
const OURS: usize = 3;
const LAZY: &str = "`pool_map(..)`, items not taken yet";

/// Bytes a future, by the name of what holds it.
type Rows = Vec<(&'static str, f64)>;

fn waiting<F: Future<Output = u64> + Send + 'static>(make: fn(u64) -> F, count: u32) -> Rows {
    const SIZE: usize = 64;
    let futures = || (0..count).map(|value| make(value.into()));
    let row = |name, change: Change| (name, bytes(change) / f64::from(count));

    let (mut pushed, mut mapped) = (Pool::new(SIZE), Pool::new(SIZE));
    let push = || {
        for future in futures() {
            pushed.spawn_n(future);
        }
    };
    let lazy = |count: u32| bytes(change(|| settled((0..count).pool_map(SIZE, |value| make(value.into())))).1);
    vec![
        row("`Pool`, `spawn_n`", change(push).1),
        row("`Pool`, `map_n`", change(|| mapped.map_n(0..count, |value| make(value.into()))).1),
        (LAZY, (lazy(count) - lazy(1024)) / f64::from(count)),
        row("`scope`, `spawn_n`", change_of_scope(SIZE, futures())),
        row("futures `FuturesUnordered`", change(|| futures().collect::<FuturesUnordered<_>>()).1),
        row(
            "futures-buffered `FuturesUnordered`",
            change(|| futures().collect::<futures_buffered::FuturesUnordered<_>>()).1,
        ),
        row("unicycle `FuturesUnordered`", change(|| futures().collect::<unicycle::FuturesUnordered<_>>()).1),
        row(names::JOIN_SET, change_of_tasks(futures())),
    ]
}

fn active<F: Future<Output = u64> + Send + 'static>(make: fn(u64) -> F, count: u32) -> Rows {
    let size = count as usize;
    let futures = || (0..count).map(|value| make(value.into()));
    let source = || stream::iter(futures());
    let mapped = || (0..count).pool_map(size, |value| make(value.into()));
    let row = |name, change: Change| (name, bytes(change) / f64::from(count));

    let pool = || {
        let mut pool = Pool::new(size);
        for future in futures() {
            pool.spawn_n(future);
        }
        pool
    };
    let weighted = || {
        let closures = stream::iter(0..count).map(|value| (1, move |_| make(value.into())));
        future_queue::StreamExt::future_queue(closures, size)
    };
    vec![
        row(names::POOL_MAP, change(|| settled(mapped().unordered())).1),
        row(names::POOL_MAP_ORDERED, change(|| settled(mapped())).1),
        row(
            "`pool_map(..).unordered()`, `UnorderedSet`",
            change(|| settled(mapped().with_set(UnorderedSet).unordered())).1,
        ),
        row("`Pool`, `spawn_n`", change(|| settled(pool())).1),
        row(names::BUFFER_UNORDERED, change(|| settled(source().buffer_unordered(size))).1),
        row(names::BUFFERED, change(|| settled(source().buffered(size))).1),
        row("futures-buffered `buffered_unordered`", change(|| settled(source().buffered_unordered(size))).1),
        row("futures-buffered `buffered_ordered`", change(|| settled(source().buffered_ordered(size))).1),
        row("unicycle `FuturesUnordered`", change(|| settled(futures().collect::<unicycle::FuturesUnordered<_>>())).1),
        row("future-queue `future_queue`", change(|| settled(weighted())).1),
        row("futures-concurrency `FutureGroup`", change(|| settled(futures().collect::<FutureGroup<_>>())).1),
        row(names::JOIN_SET, change_of_tasks(futures())),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "far less than 2^52")]
fn bytes(change: Change) -> f64 {
    change.held as f64
}

/// What tasks of a scope take, the handles not included; they are never polled.
fn change_of_scope(
    size: usize,
    futures: impl ExactSizeIterator<Item: Future<Output = u64> + Send + 'static>,
) -> Change {
    let spawned = Cell::new(None);
    let body = async |pool: Scope<'static>| {
        let mut tasks = Vec::with_capacity(futures.len());
        let spawn = || tasks.extend(futures.map(|future| pool.spawn_n(future)));
        spawned.set(Some(change(spawn).1));
        pending::<()>().await;
    };
    let mut scope = pin!(scope(size, body));
    let once = scope.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(once.is_pending(), "its tasks never end");
    spawned.take().expect("the body comes first")
}

/// What tasks of tokio take; they are never polled.
fn change_of_tasks(futures: impl Iterator<Item: Future<Output = u64> + Send + 'static>) -> Change {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let _entered = runtime.enter();
    change(|| futures.collect::<JoinSet<_>>()).1
}

/// A stream that was polled until it has nothing more to do.
fn settled<S: Stream>(stream: S) -> Pin<Box<S>> {
    let mut stream = Box::pin(stream);
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        let polled = stream.poll_next_unpin(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "its futures never end");
        if !woken.take() {
            return stream;
        }
    }
}
