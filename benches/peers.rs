//! What the pool itself costs per future, beside its peers: time and allocations per item.
//!
//! ```text
//! cargo bench --bench peers             # half a minute
//! cargo bench --bench peers -- --quick  # a few seconds, and noisier
//! ```
//!
//! A *cell* is one contestant at one workload and one size: it makes its futures lazily from a range of numbers, holds
//! at most `size` of them at once, and is drained on one thread by `while let Some(item) = stream.next().await`, polled
//! again only after a wake-up. Each run checks how many items came, and their sum: who loses or repeats an item, or
//! forgets to wake, fails.
//!
//! - **Time**: of making, draining and dropping the stream; the median of the rounds. Each round runs every cell once,
//!   one after the other, so that noise hits all alike; the **ratio** to the reference is the median of the ratios
//!   within the rounds. The warm-up settles how many items make a run long enough.
//! - **Allocations**, reallocations among them: in runs of their own, of `n` and of `2 * n` items; the difference over
//!   `n`, so that what is allocated once does not count.
//!
//! The allocator counts in the timed runs, too, as it cannot be exchanged without `unsafe`. That would put those who
//! allocate per item at a disadvantage of some 20 ns, so what counting costs is measured in each round and taken off.
//! It is measured with nothing else to do meanwhile, so it is rather too much that is taken off than too little.
//!
//! Not measured: futures that do work, wake-ups from other threads, executors, memory, the time to the first item. The
//! futures here are 16 bytes and do next to nothing, so that the differences are as large as they get.

use std::alloc::System;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, Ready};
use std::hint::black_box;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use clap::Parser;
use futures::future::FutureExt;
use futures::stream::{self, Stream, StreamExt};
use futures_buffered::BufferedStreamExt;
use futures_pool::prelude::*;
use futures_pool::{ActiveSet, Pool, UnorderedSet, scope};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::JoinSet;

const SIZES: [usize; 3] = [1, 64, 1024];

/// Name, contestants.
type Workload = (&'static str, fn() -> Vec<Contestant>);

const WORKLOADS: [Workload; 6] = [
    ("ready", contestants::<Yields<0>>),
    ("yield1", contestants::<Yields<1>>),
    ("consumer, ready", consumer_contestants::<Yields<0>>),
    ("consumer, yield1", consumer_contestants::<Yields<1>>),
    ("tasks, ready", task_contestants::<Yields<0>>),
    ("tasks, yield1", task_contestants::<Yields<1>>),
];

/// Drains `items` futures, at most `size` at once.
type Run = fn(size: usize, items: u64) -> Total;

struct Contestant {
    name: &'static str,
    /// The name of the contestant that it is compared with.
    reference: &'static str,
    run: Run,
}

const UNORDERED: &str = "futures `buffer_unordered`";
const ORDERED: &str = "futures `buffered`";

fn contestants<F: Future<Output = u64> + From<u64>>() -> Vec<Contestant> {
    let unordered = |name, run: Run| Contestant { name, reference: UNORDERED, run };
    let ordered = |name, run: Run| Contestant { name, reference: ORDERED, run };
    vec![
        unordered(UNORDERED, |size, items| drain(source::<F>(items).buffer_unordered(size))),
        unordered("futures-buffered `buffered_unordered`", |size, items| {
            drain(source::<F>(items).buffered_unordered(size))
        }),
        unordered("unicycle `FuturesUnordered`, topped up", |size, items| {
            let mut source = lazy::<F>(items);
            let mut active = unicycle::FuturesUnordered::new();
            drain(stream::poll_fn(move |cx| {
                active.extend(source.by_ref().take(size - active.len()));
                active.poll_next_unpin(cx)
            }))
        }),
        unordered("`pool_map(..).unordered()`", |size, items| drain((0..items).pool_map(size, F::from).unordered())),
        unordered("`pool_map(..).unordered()`, `UnorderedSet`", |size, items| {
            drain((0..items).pool_map(size, F::from).with_set(UnorderedSet::default()).unordered())
        }),
        unordered("`Pool`, topped up", |size, items| top_up(Pool::new(size), lazy::<F>(items))),
        unordered("`Pool`, `UnorderedSet`, topped up", |size, items| {
            top_up(Pool::with_set(size, UnorderedSet::default()), lazy::<F>(items))
        }),
        ordered(ORDERED, |size, items| drain(source::<F>(items).buffered(size))),
        ordered("futures-buffered `buffered_ordered`", |size, items| drain(source::<F>(items).buffered_ordered(size))),
        ordered("`pool_map(..)`", |size, items| drain((0..items).pool_map(size, F::from))),
        ordered("`pool_map(..)`, `UnorderedSet`", |size, items| {
            drain((0..items).pool_map(size, F::from).with_set(UnorderedSet::default()))
        }),
    ]
}

const FOR_EACH: &str = "`pool_map(..).unordered()`, `StreamExt::for_each`";

/// A body that is ready at once: what it costs that the pool could go on meanwhile.
fn consumer_contestants<F: Future<Output = u64> + From<u64>>() -> Vec<Contestant> {
    let consumer = |name, run: Run| Contestant { name, reference: FOR_EACH, run };
    vec![
        consumer(FOR_EACH, |size, items| {
            let total = RefCell::default();
            let consumer = StreamExt::for_each((0..items).pool_map(size, F::from).unordered(), add_to(&total));
            finish(consumer.map(|()| total.take()))
        }),
        consumer("`pool_map(..).unordered().for_each`", |size, items| {
            let total = RefCell::default();
            let consumer = (0..items).pool_map(size, F::from).unordered().for_each(add_to(&total));
            finish(consumer.map(|()| total.take()))
        }),
        consumer("`pool_map(..).unordered().driven().for_each`", |size, items| {
            let total = RefCell::default();
            let consumer = (0..items).pool_map(size, F::from).unordered().driven().for_each(add_to(&total));
            finish(consumer.map(|()| total.take()))
        }),
    ]
}

fn add_to(total: &RefCell<Total>) -> impl FnMut(u64) -> Ready<()> {
    |item| {
        total.borrow_mut().add(item);
        std::future::ready(())
    }
}

const JOIN_SET: &str = "tokio `JoinSet`, current thread";

/// Tasks with handles: a wave of four times `size` is spawned and awaited, then the next.
fn task_contestants<F: Future<Output = u64> + From<u64> + Send + 'static>() -> Vec<Contestant> {
    let tasks = |name, run: Run| Contestant { name, reference: JOIN_SET, run };
    vec![
        tasks(JOIN_SET, |size, items| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
            runtime.block_on(async {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    let mut set = JoinSet::new();
                    for item in wave {
                        set.spawn(F::from(item));
                    }
                    while let Some(result) = set.join_next().await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            })
        }),
        tasks("`scope`, `spawn_n`, `Task`", |size, items| {
            finish(scope(size, async |pool| {
                let (mut total, mut tasks) = (Total::default(), Vec::new());
                for wave in waves(size, items) {
                    tasks.extend(wave.map(|item| pool.spawn_n(F::from(item))));
                    for task in tasks.drain(..) {
                        total.add(task.await.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        tasks("`scope`, `spawn`, `Task`", |size, items| {
            finish(scope(size, async |pool| {
                let (mut total, mut tasks) = (Total::default(), Vec::new());
                for wave in waves(size, items) {
                    for item in wave {
                        tasks.push(pool.spawn(F::from(item)).await);
                    }
                    for task in tasks.drain(..) {
                        total.add(task.await.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        tasks("`scope`, `itermap`", |size, items| {
            finish(scope(size, async |pool| {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    let mut results = pool.itermap(wave, F::from);
                    while let Some(result) = results.next().await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        tasks("`scope`, `map`", |size, items| {
            finish(scope(size, async |pool| {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    for result in pool.map(wave, F::from).await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            }))
        }),
    ]
}

fn waves(size: usize, items: u64) -> impl Iterator<Item = Range<u64>> + Clone {
    let wave = 4 * size;
    (0..items).step_by(wave).map(move |start| start..items.min(start + wave as u64))
}

fn lazy<F: From<u64>>(items: u64) -> impl Iterator<Item = F> {
    (0..items).map(F::from)
}

fn source<F: From<u64>>(items: u64) -> impl Stream<Item = F> {
    stream::iter(lazy(items))
}

/// Before each poll, pushes what makes the pool full. Pushing everything at once would measure a long queue instead,
/// which no other contestant has.
fn top_up<F: Future<Output = u64>, S: ActiveSet<F>>(
    mut pool: Pool<F, S>,
    mut source: impl Iterator<Item = F>,
) -> Total {
    drain(stream::poll_fn(move |cx| {
        for future in source.by_ref().take(pool.size() - pool.len()) {
            pool.spawn_n(future);
        }
        let item = ready!(pool.poll_next_unpin(cx));
        Poll::Ready(item.map(|(_key, value)| value))
    }))
}

/// Wakes itself `N` times, then gives its value.
struct Yields<const N: u64> {
    value: u64,
    left: u64,
}

impl<const N: u64> From<u64> for Yields<N> {
    fn from(value: u64) -> Self {
        Self { value, left: N }
    }
}

impl<const N: u64> Future for Yields<N> {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.left == 0 {
            return Poll::Ready(self.value);
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What came out of a run.
#[derive(Debug, Default, PartialEq)]
struct Total {
    count: u64,
    sum: u64,
}

impl Total {
    /// Of the numbers below `items`, each of them once.
    fn expected(items: u64) -> Self {
        Self { count: items, sum: (0..items).sum() }
    }

    fn add(&mut self, item: u64) {
        self.count += 1;
        self.sum += black_box(item);
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Takes all items of a stream, polling it again only after a wake-up.
fn drain(stream: impl Stream<Item = u64>) -> Total {
    let mut stream = pin!(stream);
    finish(async {
        let mut total = Total::default();
        while let Some(item) = stream.next().await {
            total.add(item);
        }
        total
    })
}

/// Runs a future to its end, polling it again only after a wake-up.
fn finish(future: impl Future<Output = Total>) -> Total {
    let mut future = pin!(future);
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(total) = future.as_mut().poll(&mut cx) {
            return total;
        }
        assert!(woken.0.swap(false, Relaxed), "pending, but nobody will wake it");
    }
}

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often `run` allocated or reallocated.
fn allocations<T>(run: impl FnOnce() -> T) -> u32 {
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    u32::try_from(change.allocations + change.reallocations).expect("a few per item")
}

/// What it costs to count an allocation and its release, in nanoseconds: what it costs to do it once more.
fn counting_cost() -> f64 {
    const TIMES: u32 = 50_000;
    let counts = [const { AtomicUsize::new(0) }; 4];
    let count = |which: [usize; 2]| {
        for index in which {
            black_box(&counts)[index].fetch_add(1, SeqCst);
        }
    };
    let start = Instant::now();
    for _ in 0..TIMES {
        drop(black_box(Box::new([0_u8; 64])));
    }
    let once = start.elapsed();
    let start = Instant::now();
    for _ in 0..TIMES {
        count([0, 1]);
        let block = black_box(Box::new([0_u8; 64]));
        count([2, 3]);
        drop(block);
    }
    let twice = start.elapsed();
    nanos_per_item(twice.saturating_sub(once), TIMES)
}

fn nanos_per_item(time: Duration, items: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(items)
}

/// One contestant at one workload and one size, and what was measured of it.
struct Cell {
    contestant: Contestant,
    size: usize,
    items: u32,
    allocations_per_item: f64,
    /// One entry per round.
    nanos_per_item: Vec<f64>,
}

impl Cell {
    /// Counts allocations, then warms up until it knows how many items take between `least` and twice that.
    fn new(contestant: Contestant, size: usize, least: Duration) -> Self {
        let mut cell = Self { contestant, size, items: 8192, allocations_per_item: 0.0, nanos_per_item: Vec::new() };
        let more = allocations(|| cell.run(2 * cell.items)) - allocations(|| cell.run(cell.items));
        cell.allocations_per_item = f64::from(more) / f64::from(cell.items);
        while cell.run(cell.items) < least {
            cell.items *= 2;
        }
        cell
    }

    fn run(&self, items: u32) -> Duration {
        let items = u64::from(items);
        let start = Instant::now();
        let total = (self.contestant.run)(self.size, items);
        let time = start.elapsed();
        assert_eq!(total, Total::expected(items), "{} at size {}", self.contestant.name, self.size);
        time
    }

    fn measure(&mut self, counting_cost: f64) {
        let nanos = nanos_per_item(self.run(self.items), self.items);
        self.nanos_per_item.push(nanos - self.allocations_per_item * counting_cost);
    }

    fn median(&self) -> f64 {
        quartile(self.nanos_per_item.clone(), 2)
    }

    /// The middle half of the rounds, as a part of the median.
    fn spread(&self) -> f64 {
        let [low, high] = [1, 3].map(|part| quartile(self.nanos_per_item.clone(), part));
        (high - low) / self.median()
    }

    /// The median of what this cell took in a round, `reference` having taken 1.
    fn ratio(&self, reference: &Self) -> f64 {
        let rounds = self.nanos_per_item.iter().zip(&reference.nanos_per_item);
        quartile(rounds.map(|(own, other)| own / other).collect(), 2)
    }
}

/// The value that `part` of four quarters of the values do not exceed.
fn quartile(mut values: Vec<f64>, part: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * part / 4]
}

/// All contestants at one workload and one size.
struct Table {
    title: String,
    cells: Vec<Cell>,
}

impl Table {
    fn all(only: &str, sizes: &[usize], least: Duration) -> Vec<Self> {
        let mut tables = Vec::new();
        for (workload, contestants) in WORKLOADS.into_iter().filter(|(name, _)| name.contains(only)) {
            for &size in sizes {
                tables.push(Self {
                    title: format!("`{workload}`, size {size}"),
                    cells: contestants().into_iter().map(|contestant| Cell::new(contestant, size, least)).collect(),
                });
            }
        }
        tables
    }

    fn reference(&self, cell: &Cell) -> &Cell {
        let mut cells = self.cells.iter();
        cells.find(|other| other.contestant.name == cell.contestant.reference).expect("a reference is a contestant")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cells.iter().map(|cell| cell.contestant.name.len()).max().unwrap_or(0);
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| {:width$} | ns/item | allocs/item | ratio |", "contestant")?;
        writeln!(f, "| {:-<width$} | ------: | ----------: | ----: |", "")?;
        for cell in &self.cells {
            let (name, ns, allocs) = (cell.contestant.name, cell.median(), cell.allocations_per_item);
            let ratio = cell.ratio(self.reference(cell));
            writeln!(f, "| {name:width$} | {ns:7.1} | {allocs:11.2} | {ratio:5.2} |")?;
        }
        Ok(())
    }
}

/// Time and allocations per item, beside the peers.
#[derive(Parser)]
struct Options {
    /// Shorter and fewer rounds, within seconds
    #[arg(long)]
    quick: bool,
    /// How many rounds the medians are of
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only the workloads whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// How many futures are held at once, one table each
    #[arg(long, value_delimiter = ',', default_values_t = SIZES)]
    sizes: Vec<usize>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let (rounds, least) = if options.quick { (7, 2) } else { (31, 10) };
    let rounds = options.rounds.unwrap_or(rounds);
    let mut tables = Table::all(&options.only, &options.sizes, Duration::from_millis(least));
    for _ in 0..rounds {
        let counting_cost = counting_cost();
        for cell in tables.iter_mut().flat_map(|table| &mut table.cells) {
            cell.measure(counting_cost);
        }
    }
    for table in &tables {
        println!("{table}");
    }
    let spread = tables.iter().flat_map(|table| &table.cells).map(Cell::spread).fold(0.0, f64::max);
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!(
        "ratio: time over that of {UNORDERED}; for {ORDERED} and those below it, over that; for tasks, over {JOIN_SET};\n\
         for consumers, over {FOR_EACH}.\n\
         Medians of {rounds} rounds; the middle half of a cell's rounds spans at most {:.0} % of its median.\n\
         Arguments of `cargo bench --bench peers --`: {}",
        spread * 100.0,
        if arguments.is_empty() { "none".to_owned() } else { arguments.join(" ") },
    );
}
