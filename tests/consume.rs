//! `consume` and `try_for_each`: any consumer, while the pool makes progress.
//!
//! Each consumer is tried on each stream of a pool, by `consume`, where no future is held up; and directly on the stream, where
//! the futures are. So the test of the first could fail.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
#[cfg(feature = "std")]
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
#[cfg(feature = "std")]
use std::thread;

#[cfg(feature = "std")]
use common::run_parked;
use common::{Wakes, poll, run, yield_now};
use futures::channel::{mpsc, oneshot};
use futures::future::{FutureExt, join};
use futures::stream::{self, FusedStream, FuturesUnordered, Stream, StreamExt, TryStreamExt};
use futures_pool::inline::{InlinePool, Slots};
use futures_pool::{Key, Pool, UnorderedSet, prelude::*, yield_when};
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant, sleep, timeout};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Takes 20 ms in two steps, unless it is held up, and tells how long.
async fn fetch(_: u32) -> Duration {
    let start = Instant::now();
    sleep(ms(10)).await;
    sleep(ms(10)).await;
    start.elapsed()
}

/// An item of some stream of futures that were fetched.
trait Fetched {
    /// How long the slowest took, and how many they were.
    fn slowest(self) -> (Duration, usize);
}

impl Fetched for Duration {
    fn slowest(self) -> (Duration, usize) {
        (self, 1)
    }
}

impl Fetched for (usize, Duration) {
    fn slowest(self) -> (Duration, usize) {
        (self.1, 1)
    }
}

impl Fetched for (Key, Duration) {
    fn slowest(self) -> (Duration, usize) {
        (self.1, 1)
    }
}

impl Fetched for Vec<Duration> {
    fn slowest(self) -> (Duration, usize) {
        let len = self.len();
        (self.into_iter().max().unwrap_or_default(), len)
    }
}

/// What a consumer has seen: the slowest, and how many.
type Seen = (Duration, usize);

fn add((slowest, count): Seen, item: impl Fetched) -> Seen {
    let (took, more) = item.slowest();
    (slowest.max(took), count + more)
}

/// The consumer's own work.
async fn store() {
    sleep(ms(100)).await;
}

/// Defines consumers of any stream, each the body of a function of that name.
macro_rules! consumers {
    ($($name:ident($items:ident) $body:block)*) => {
        $(async fn $name<St: Stream<Item: Fetched>>($items: St) -> Seen $body)*

        /// Tests each of them on each stream.
        mod each_consumer {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::on_each_stream!($name);
            })*
        }
    };
}

consumers! {
    fold(items) {
        items.fold((ms(0), 0), async |seen, item| { store().await; add(seen, item) }).await
    }
    try_fold(items) {
        let add = |seen, item| async move { store().await; Ok::<_, ()>(add(seen, item)) };
        items.map(Ok).try_fold((ms(0), 0), add).await.unwrap()
    }
    try_for_each(items) {
        let seen = Cell::default();
        let each = async |item| { seen.set(add(seen.get(), item)); store().await; Ok::<_, ()>(()) };
        items.map(Ok).try_for_each(each).await.unwrap();
        seen.get()
    }
    try_for_each_concurrent(items) {
        let seen = Cell::default();
        let each = async |item| { seen.set(add(seen.get(), item)); store().await; Ok::<_, ()>(()) };
        items.map(Ok).try_for_each_concurrent(2, each).await.unwrap();
        seen.get()
    }
    for_each(items) {
        let seen = Cell::default();
        items.for_each(async |item| { seen.set(add(seen.get(), item)); store().await }).await;
        seen.get()
    }
    chunks(items) {
        let seen = Cell::default();
        items.chunks(10).for_each(async |chunk| {
            seen.set(chunk.into_iter().fold(seen.get(), add));
            store().await;
        }).await;
        seen.get()
    }
    then(items) {
        let all: Vec<_> = items.then(async |item| { store().await; item }).collect().await;
        all.into_iter().fold((ms(0), 0), add)
    }
    forward(items) {
        let (sink, mut received) = mpsc::channel(0);
        let receive = async {
            let mut seen = (ms(0), 0);
            while let Some(item) = received.next().await {
                store().await;
                seen = add(seen, item);
            }
            seen
        };
        let (sent, seen) = join(items.map(Ok).forward(sink), receive).await;
        sent.unwrap();
        seen
    }
    a_loop(items) {
        let mut items = pin!(items);
        let mut seen = (ms(0), 0);
        while let Some(item) = items.next().await {
            store().await;
            seen = add(seen, item);
        }
        seen
    }
    under_another_waker(items) {
        // A `FuturesUnordered` polls only what was woken by a waker of its own.
        let both = FuturesUnordered::new();
        both.push(a_loop(items).map(Some).boxed_local());
        both.push(sleep(ms(5)).map(|()| None).boxed_local());
        both.filter_map(ready).next().await.unwrap()
    }
}

const ITEMS: u32 = 24;

/// How many items a consumer can have of 24 that take 20 ms, and how long each took: none is held up.
const UNHINDERED: Seen = (Duration::from_millis(20), ITEMS as usize);

/// Tries a consumer on each stream.
macro_rules! on_each_stream {
    ($consumer:ident) => {{
        use super::*;
        let consumer = stringify!($consumer);
        macro_rules! try_on {
            ($stream:expr) => {
                assert_eq!(
                    $stream.consume(super::$consumer).await,
                    UNHINDERED,
                    "{consumer} on {}",
                    stringify!($stream)
                );
            };
        }
        let chain = || (0..ITEMS).pool_map(4, fetch);
        let all = yield_when::first_completed;
        try_on!(chain());
        try_on!(chain().unordered());
        try_on!(chain().unordered().max_finished(0));
        try_on!(chain().with_set(UnorderedSet));
        try_on!(chain().indexed());
        try_on!(chain().batches(all));
        try_on!(chain().batches(all).timeout(|| Box::pin(sleep(ms(7)))));
        try_on!(stream::iter(0..ITEMS).pool_map(4, fetch));
        try_on!((0..ITEMS).pool_map(4, ready).pool_map(4, fetch));
        try_on!(chain().pool_map(2, ready));
        try_on!(
            chain()
                .then(async |took| {
                    sleep(ms(1)).await;
                    took
                })
                .driven()
        );
        try_on!((0..ITEMS).pool_map_inline(Slots::<4>, fetch));
        let mut pool = Pool::new(4);
        let _ = pool.map_n(0..ITEMS, fetch);
        try_on!(pool);
        try_on!(pool.itermap(0..ITEMS, fetch));
        try_on!(pool.itermap(0..ITEMS, fetch).keyed());
        try_on!(pool.itermap(0..ITEMS, fetch).batches(all));
        let mut pool = pin!(InlinePool::<_, 4, 24>::new());
        (0..ITEMS).for_each(|n| assert!(pool.as_mut().try_spawn(fetch(n)).is_ok()));
        try_on!(pool.as_mut());

        let (slowest, count) = super::$consumer(chain()).await;
        assert!(slowest > ms(50) && count == 24, "{consumer}, called directly: {slowest:?}");
    }};
}
use on_each_stream;

// `try_for_each`.

#[tokio::test(start_paused = true)]
async fn the_pools_own_try_for_each_holds_nothing_up() {
    let slowest = Cell::new(ms(0));
    let try_fetch = async |n| Ok::<_, ()>(fetch(n).await);
    let each = async |took: Duration| {
        slowest.set(slowest.get().max(took));
        store().await;
        Ok(())
    };
    (0..8).pool_map(4, try_fetch).fail_fast().try_for_each(each).await.unwrap();
    (0..8).pool_map(4, try_fetch).unordered().try_for_each(each).await.unwrap();
    (0..8).pool_map(4, try_fetch).pool_map(2, ready).try_for_each(each).await.unwrap();
    (0..8).pool_map(4, try_fetch).map_err(|()| ()).driven().try_for_each(each).await.unwrap();
    Pool::new(4).itermap(0..8, try_fetch).try_for_each(each).await.unwrap();
    (0..8).pool_map_inline(Slots::<4>, try_fetch).try_for_each(each).await.unwrap();
    assert_eq!(slowest.get(), ms(20));

    TryStreamExt::try_for_each((0..8).pool_map(4, try_fetch), each).await.unwrap();
    assert!(slowest.get() > ms(50), "that of `TryStreamExt` does");
}

#[test]
fn try_for_each_stops_at_the_first_error_of_an_item_or_of_the_consumer() {
    let stored = RefCell::new(vec![]);
    let of_item = (0..9).pool_map(4, async |n| if n == 3 { Err("item") } else { Ok(n) });
    let store = async |n| {
        stored.borrow_mut().push(n);
        Ok(())
    };
    assert_eq!(run(of_item.try_for_each(store)), Err("item"));
    assert_eq!(*stored.borrow(), [0, 1, 2]);

    let alive = Rc::new(());
    let of_consumer = (0..9).pool_map(4, |n| {
        let alive = Rc::clone(&alive);
        async move {
            if n > 2 {
                pending::<()>().await;
            }
            drop(alive);
            Ok(n)
        }
    });
    let store = async |n| {
        yield_now().await;
        if n == 1 { Err("consumer") } else { Ok(()) }
    };
    assert_eq!(run(of_consumer.try_for_each(store)), Err("consumer"));
    assert_eq!(Rc::strong_count(&alive), 1, "what was in flight is dropped");

    assert_eq!(run((0..9).pool_map(4, async |n| Ok::<_, ()>(n)).try_for_each(async |_| Ok(()))), Ok(()));
}

#[test]
fn try_for_each_lets_other_tasks_run() {
    let count = Cell::new(0);
    let mut all = (0..1000).pool_map(4, async |n| Ok::<_, ()>(n)).try_for_each(|_| {
        count.set(count.get() + 1);
        ready(Ok(()))
    });
    assert!(poll(&mut all).is_pending());
    assert!(count.get() <= 64, "{}", count.get());
    assert_eq!(run(all), Ok(()));
    assert_eq!(count.get(), 1000);
}

#[test]
fn after_a_panic_try_for_each_continues_with_the_rest() {
    let stored = RefCell::new(vec![]);
    let mut all = Box::pin((0..5).pool_map(1, async |n| Ok::<_, ()>(n)).try_for_each(async |n| {
        assert_ne!(n, 2);
        stored.borrow_mut().push(n);
        Ok(())
    }));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut all))).is_err());
    assert_eq!(run(all), Ok(()));
    assert_eq!(*stored.borrow(), [0, 1, 3, 4]);
}

// Deadlocks that do not happen.

#[tokio::test(start_paused = true)]
async fn a_mutex_shared_with_the_consumer() {
    let lock = &Mutex::new(());
    let use_it = || async {
        sleep(ms(1)).await;
        let _guard = lock.lock().await;
        sleep(ms(1)).await;
    };
    let work = |x: u32| use_it().map(move |()| x);
    let add = |sum, x| use_it().map(move |()| sum + x);
    let ends = |future| timeout(Duration::from_secs(3600), future);
    assert_eq!(ends((0..20).pool_map(4, work).consume(|items| items.fold(0, add)).boxed_local()).await, Ok(190));
    assert!(ends((0..20).pool_map(4, work).fold(0, add).boxed_local()).await.is_err(), "called directly");
}

// Pull: what leaves the pool, and when.

/// Counts the futures that have started, which are ready immediately.
fn counted(started: &Cell<usize>) -> impl Fn(usize) -> std::future::Ready<usize> {
    |n| {
        started.set(started.get() + 1);
        ready(n)
    }
}

#[test]
fn an_item_leaves_the_pool_when_it_is_asked_for() {
    let started = Cell::new(0);
    let hold = async |mut items: futures_pool::PoolItems<_, _>| {
        assert_eq!(started.get(), 0);
        assert_eq!(items.next().await, Some(0));
        // One was taken, the one about to be taken counts, and with exactly as many as the bound one more is started.
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(started.get(), 1 + 5);
        assert_eq!(items.next().await, Some(1));
        yield_now().await;
        assert_eq!(started.get(), 2 + 5);
        pending::<()>().await;
    };
    let mut consume = Box::pin((0..).pool_map(4, counted(&started)).consume(hold));
    for _ in 0..20 {
        assert!(poll(&mut consume).is_pending());
    }
    assert_eq!(started.get(), 7);
}

#[test]
fn items_that_come_along_with_others_count_until_they_are_asked_for() {
    for size in [1, 4, 16, 40] {
        for count in 1..40 {
            let started = Cell::new(0);
            let mut seen = vec![];
            let mut consume = Box::pin((0..).pool_map(size, counted(&started)).consume(async |mut items| {
                for _ in 0..count {
                    seen.push(items.next().await.unwrap());
                }
                for _ in 0..4 {
                    yield_now().await;
                }
                assert_eq!(started.get(), count + size + 1, "size {size}, {count} taken");
                seen.push(items.next().await.unwrap());
                pending::<()>().await;
            }));
            for _ in 0..20 {
                assert!(poll(&mut consume).is_pending());
            }
            assert_eq!(started.get(), count + 1 + size + 1);
            drop(consume);
            assert_eq!(seen, (0..=count).collect::<Vec<_>>());
        }
    }
}

#[test]
fn items_that_come_along_count_among_those_that_wait_behind_a_stuck_one() {
    let started = Cell::new(0);
    let stuck_at_6 = async |n| {
        started.set(started.get() + 1);
        if n == 6 {
            pending::<()>().await;
        }
    };
    let mut consume = Box::pin((0..).pool_map(2, stuck_at_6).consume(async |mut items| {
        for _ in 0..4 {
            items.next().await;
        }
        pending::<()>().await;
    }));
    for _ in 0..20 {
        assert!(poll(&mut consume).is_pending());
    }
    // One more than 16 * 2 are held, 4 were taken, and one is stuck.
    assert_eq!(started.get(), 33 + 4 + 1);
}

#[test]
fn without_the_items_the_pool_makes_progress_within_its_bounds() {
    let (started, ended, alive) = (Cell::new(0), Cell::new(false), Rc::new(()));
    let stream = (0..).pool_map(4, |n| {
        started.set(started.get() + 1);
        let alive = Rc::clone(&alive);
        async move {
            yield_now().await;
            drop(alive);
            n
        }
    });
    let consume = stream.consume(async |mut items| {
        assert_eq!(items.next().await, Some(0));
        drop(items);
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(started.get(), 1 + 5 + 3, "four may be active where at most four are held");
        ended.set(true);
        "done"
    });
    assert_eq!(run(consume), "done");
    assert!(ended.get());
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn items_that_outlive_the_consumer_have_ended() {
    let alive = Rc::new(());
    let kept = Rc::clone(&alive);
    let stream = (0..3).pool_map(1, move |n| {
        let kept = Rc::clone(&kept);
        async move { (n, kept).0 }
    });
    let mut items = run(stream.consume(async |mut items| {
        assert_eq!(items.size_hint(), (3, Some(3)));
        assert_eq!(items.next().await, Some(0));
        assert!(!items.is_terminated());
        items
    }));
    assert_eq!(Rc::strong_count(&alive), 1, "the stream was dropped");
    assert_eq!(items.size_hint(), (0, Some(0)));
    assert_eq!(run(items.next()), None);
    assert!(items.is_terminated());
}

#[test]
fn the_items_end_with_the_stream() {
    let count = run((0..5).pool_map(2, ready).consume(async |mut items| {
        let mut count = 0;
        while items.next().await.is_some() {
            count += 1;
        }
        assert!(items.is_terminated());
        assert_eq!(items.next().await, None);
        assert_eq!(items.size_hint(), (0, Some(0)));
        count
    }));
    assert_eq!(count, 5);
}

#[test]
fn nothing_is_lost_in_a_pool_that_is_kept() {
    let mut pool = Pool::new(2);
    let keys: Vec<_> = pool.map_n(0..6, ready).collect();
    let first = run(pool.consume(async |mut items| {
        // Asked for, and the question dropped before there is an answer or not.
        drop(items.next());
        assert!(items.next().now_or_never().is_some());
        items.next().await
    }));
    assert_eq!(first, Some((keys[1], 1)));
    let mut rest: Vec<_> = run(pool.consume(StreamExt::collect::<Vec<_>>));
    rest.sort();
    assert_eq!(rest, (2..6).map(|n| (keys[n], n)).collect::<Vec<_>>());

    // Dropped while it waits, under a waker of its own.
    let (send, receive) = oneshot::channel();
    let key = pool.spawn_n(ready(6));
    let _ = run(pool.wait(key));
    let mut pool = Pool::new(1);
    let key = pool.spawn_n(receive);
    {
        let mut consume = Box::pin(pool.consume(async |mut items| {
            FuturesUnordered::from_iter([items.next()]).next().await;
        }));
        assert!(poll(&mut consume).is_pending());
        send.send(7).unwrap();
    }
    assert_eq!(run(pool.next()), Some((key, Ok(7))));
}

// Who is woken.

/// A future for each item, which finishes when it is sent something.
fn doors(count: usize) -> (Vec<oneshot::Sender<usize>>, Vec<oneshot::Receiver<usize>>) {
    (0..count).map(|_| oneshot::channel()).unzip()
}

#[test]
fn whoever_waits_for_an_item_is_woken_once_it_is_there() {
    let (send, receive) = doors(2);
    let polls = Cell::new(0);
    let mut consume = Box::pin(receive.into_iter().pool_map(2, |door| door).unordered().consume(async |mut items| {
        let mut seen = vec![];
        let mut set = FuturesUnordered::new();
        set.push(async {
            while let Some(item) = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                items.poll_next_unpin(cx)
            })
            .await
            {
                seen.push(item.unwrap());
            }
        });
        set.next().await;
        drop(set);
        seen
    }));
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(consume.as_mut().poll(cx).is_pending());
    // (A `FuturesUnordered` that has polled all that it has wakes its task.)
    assert!(consume.as_mut().poll(cx).is_pending());
    let before = wakes.count();
    // Polled for nothing, it has nobody woken.
    assert!(consume.as_mut().poll(cx).is_pending());
    assert_eq!((polls.get(), wakes.count()), (1, before));
    let mut send = send.into_iter();
    send.next().unwrap().send(1).unwrap();
    assert_eq!(wakes.count(), before + 1);
    assert!(consume.as_mut().poll(cx).is_pending());
    assert_eq!(polls.get(), 3);
    send.next().unwrap().send(2).unwrap();
    assert_eq!(consume.as_mut().poll(cx), Poll::Ready(vec![1, 2]));
}

#[test]
fn another_task_may_take_over() {
    let (mut send, receive) = doors(1);
    let mut consume =
        Box::pin(receive.into_iter().pool_map(1, |door| door).consume(async |mut items| items.next().await));
    let [(first, first_waker), (second, second_waker)] = [Wakes::new(), Wakes::new()];
    assert!(consume.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
    assert!(consume.as_mut().poll(&mut Context::from_waker(&second_waker)).is_pending());
    send.remove(0).send(7).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
    assert_eq!(run(consume), Some(Ok(7)));
}

#[test]
fn a_consumer_that_never_waits_lets_other_tasks_run() {
    let taken = Cell::new(0);
    let mut consume = Box::pin((0..).pool_map(64, ready).consume(|items| {
        items.for_each(|_: usize| {
            taken.set(taken.get() + 1);
            ready(())
        })
    }));
    let (wakes, waker) = Wakes::new();
    for _ in 0..10 {
        let (before, wakes_before) = (taken.get(), wakes.count());
        assert!(consume.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(taken.get() > before, "no progress");
        assert!(taken.get() - before <= 64, "{} at once", taken.get() - before);
        assert!(wakes.count() > wakes_before, "pending, and nothing will wake it");
    }
}

#[test]
fn the_budget_is_renewed_for_items_under_another_waker() {
    let sum = run((0..1000)
        .pool_map(8, ready)
        .consume(async |items| FuturesUnordered::from_iter([items.fold(0, async |sum, n| sum + n)]).next().await));
    assert_eq!(sum, Some(499_500));
}

#[cfg(feature = "std")]
#[test]
fn the_items_on_another_thread() {
    let doors_and_threads = AtomicUsize::new(0);
    thread::scope(|scope| {
        let stream = (0..200_u32).pool_map(8, async |n| {
            yield_now().await;
            n
        });
        let (send, receive) = oneshot::channel();
        let sum = run_parked(stream.unordered().consume(|items| {
            scope.spawn(|| {
                let sum = run_parked(items.fold(0, async |sum, n| sum + n));
                doors_and_threads.fetch_add(1, SeqCst);
                send.send(sum).unwrap();
            });
            receive
        }));
        assert_eq!(sum, Ok(19_900));
    });
    assert_eq!(doors_and_threads.load(SeqCst), 1);
}

#[test]
fn a_future_of_the_pool_that_asks_for_the_items_finds_them_in_use() {
    type Items = Pin<Box<dyn Stream<Item = &'static str>>>;
    let items: Rc<RefCell<Option<Items>>> = Rc::default();
    let theirs = Rc::clone(&items);
    let stream = (0..1).pool_map(1, move |_| {
        let items = Rc::clone(&theirs);
        poll_fn(move |cx| {
            let mut items = items.borrow_mut();
            let items = items.as_mut().unwrap();
            assert_eq!(items.size_hint(), (0, None));
            assert!(items.as_mut().poll_next(cx).is_pending());
            Poll::Ready("has not waited")
        })
    });
    let alive = Rc::downgrade(&items);
    let mut consume = Box::pin(stream.consume(|stream| {
        *items.borrow_mut() = Some(Box::pin(stream));
        yield_now().then(|()| poll_fn(move |cx| items.borrow_mut().as_mut().unwrap().as_mut().poll_next(cx)))
    }));
    // The pool is polled once the consumer is pending, and by nobody else.
    assert!(poll(&mut consume).is_pending());
    assert_eq!(poll(&mut consume), Poll::Ready(Some("has not waited")));
    drop(consume);
    assert!(alive.upgrade().is_none(), "what holds itself is dropped");
}

// Panics.

#[test]
fn a_panic_of_the_consumer_passes_through_and_the_pool_can_be_used_on() {
    let mut pool = Pool::new(2);
    let _ = pool.map_n(0..4, ready);
    let consumed = catch_unwind(AssertUnwindSafe(|| {
        run(pool.consume(async |mut items| {
            items.next().await;
            panic!("of the consumer");
        }));
    }));
    assert!(consumed.is_err());
    let closure = catch_unwind(AssertUnwindSafe(|| run(pool.consume(|_| -> std::future::Ready<()> { panic!() }))));
    assert!(closure.is_err());
    assert_eq!(run(pool.consume(StreamExt::count)), 3);
}

#[test]
fn a_panic_of_a_future_passes_through_the_consumer_that_can_go_on() {
    let boom = async |n| {
        assert_ne!(n, 1);
        n
    };
    let mut consume = Box::pin((0..4).pool_map(1, boom).consume(StreamExt::collect::<Vec<_>>));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut consume))).is_err());
    assert_eq!(run(consume), [0, 2, 3]);

    // As an item, it does not.
    #[cfg(feature = "std")]
    {
        let caught = (0..4).pool_map(1, boom).catch_unwind();
        let values = caught.consume(|items| items.filter_map(async |n| n.ok()).collect::<Vec<_>>());
        assert_eq!(run(values), [0, 2, 3]);
    }
}

#[test]
fn a_panic_while_items_are_ahead_loses_none_of_the_rest() {
    // Items 0 to 9 are ready; the next one panics when the pool makes progress while the consumer is busy.
    let mut consume = Box::pin((0..30).pool_map(16, async |n| assert_ne!(n, 20)).consume(|items| {
        let busy = Cell::new(true);
        items
            .enumerate()
            .then(move |(place, ())| {
                let wait = place == 4 && busy.replace(false);
                async move {
                    if wait {
                        yield_now().await;
                    }
                }
            })
            .count()
    }));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut consume))).is_err());
    assert_eq!(run(consume), 29);
}

#[test]
fn it_prints_the_stream() {
    let consume = (0..3).pool_map(2, ready).consume(|items| {
        let printed = format!("{items:?}");
        assert_eq!(printed, "PoolItems { stream: Some(PoolMap { size: 2, active: 0, finished: 0, .. }), .. }");
        items.count()
    });
    let printed = format!("{consume:?}");
    assert_eq!(printed, "Consume { stream: Some(PoolMap { size: 2, active: 0, finished: 0, .. }), .. }");
}

#[cfg(feature = "std")]
#[test]
fn it_is_send_when_its_parts_are() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let chain = (0..3).pool_map(2, ready).consume(|items| is_send(items).count());
    assert_eq!(run(is_send(chain)), 3);
    let mut pool = Pool::<std::future::Ready<u8>>::new(2);
    assert_eq!(run(is_send(pool.consume(|items| is_send(items).count()))), 0);
}
