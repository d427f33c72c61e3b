//! The pool makes progress while its consumer is busy: `Progress`, `driven`, `drive`, `for_each`, and stages.
//!
//! Each deadlock comes with a twin that shows that `buffer_unordered`, or `buffered`, stops there for ever: on a paused
//! clock, which reaches the limit immediately when nothing is left to do.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::{Wakes, poll_next, run, yield_now};
use futures::channel::oneshot;
use futures::future::FutureExt;
use futures::stream::{self, FusedStream, Stream, StreamExt, TryStreamExt};
use futures_pool::inline::{InlinePool, Slots};
use futures_pool::{Pool, Progress, UnorderedSet, prelude::*, yield_when};
use proptest::prelude::*;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{Duration, Instant, sleep, timeout};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Whether a future ends.
async fn ends(future: impl Future) -> bool {
    timeout(Duration::from_secs(3600), future).await.is_ok()
}

/// Polls progress once.
fn progress<S: Progress + Unpin>(stream: &mut S) -> Poll<()> {
    Pin::new(stream).poll_progress(&mut Context::from_waker(Waker::noop()))
}

// Deadlocks that do not happen.

/// A lock that futures in flight and their consumer share.
#[derive(Clone)]
struct Shared(Arc<Mutex<()>>);

impl Shared {
    fn new() -> Self {
        Self(Arc::default())
    }

    async fn use_it(&self) {
        sleep(ms(1)).await;
        let _guard = self.0.lock().await;
        sleep(ms(1)).await;
    }

    async fn pass(&self, x: u32) -> u32 {
        self.use_it().await;
        x
    }
}

#[tokio::test(start_paused = true)]
async fn a_mutex_shared_with_the_consumer() {
    let lock = &Shared::new();
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    assert!(ends((0..20).pool_map(4, work).for_each(eat)).await);
    assert!(ends((0..20).pool_map(4, work).unordered().for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).for_each(eat);
    assert!(!ends(twin).await);
}

#[tokio::test(start_paused = true)]
async fn a_semaphore_shared_with_the_consumer() {
    let semaphore = &Semaphore::new(2);
    let work = async |x: u32| {
        let _permits = semaphore.acquire_many(2).await.unwrap();
        sleep(ms(1)).await;
        x
    };
    let eat = async |x| {
        work(x).await;
    };
    assert!(ends((0..20).pool_map(4, work).unordered().for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).for_each(eat);
    assert!(!ends(twin).await);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_channel_shared_with_the_consumer() {
    let (send, mut receive) = mpsc::channel::<u32>(1);
    let receiver = tokio::spawn(async move {
        while receive.recv().await.is_some() {
            sleep(ms(1)).await;
        }
    });
    let send = &send;
    let work = async |x: u32| {
        send.send(x).await.unwrap();
        x
    };
    let eat = async |x| {
        work(x).await;
    };
    assert!(ends((0..20).pool_map(4, work).unordered().for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).for_each(eat);
    assert!(!ends(twin).await);
    receiver.abort();
}

#[tokio::test(start_paused = true)]
async fn two_and_three_stages_that_share_a_mutex() {
    let lock = &Shared::new();
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    assert!(ends((0..20).pool_map(4, work).pool_map(1, work).collect::<Vec<_>>()).await);
    assert!(ends((0..20).pool_map(4, work).unordered().pool_map(2, work).pool_map(1, work).for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).map(work).buffer_unordered(1);
    assert!(!ends(twin.collect::<Vec<_>>()).await);
    let twin = stream::iter(0..20).map(work).buffer_unordered(4).map(work).buffer_unordered(2);
    assert!(!ends(twin.map(work).buffer_unordered(1).for_each(eat)).await);
}

#[tokio::test(start_paused = true)]
async fn adaptors_between_stages() {
    let lock = &Shared::new();
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    let plain = (0..20).pool_map(4, work).enumerate().map(|(_, x)| x).driven().pool_map(1, work);
    assert!(ends(plain.collect::<Vec<_>>()).await);
    // An adaptor with a future of its own, which needs the lock.
    let then = (0..20).pool_map(4, work).then(work).driven().pool_map(1, work).for_each(eat);
    assert!(ends(then).await);
    let filter = (0..20).pool_map(4, work).filter(|_| lock.use_it().map(|()| true));
    assert!(ends(filter.driven().for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).then(work).map(work).buffer_unordered(1);
    assert!(!ends(twin.for_each(eat)).await);
    // And so does ours where `driven` was forgotten, as the docs say.
    let forgotten = (0..20).pool_map(4, work).then(work).for_each(eat);
    assert!(!ends(forgotten).await);
}

#[tokio::test(start_paused = true)]
async fn an_adaptor_that_ends_before_the_upstream_pool() {
    let lock = &Shared::new();
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    // When `take` ends, futures behind the last item have, or are waiting for, the lock that the stage needs.
    let taken = (0..20).pool_map(4, work).take(11).driven().pool_map(1, work);
    let done: Vec<_> = timeout(ms(10_000), taken.collect()).await.expect("continues after the end");
    assert_eq!(done.len(), 11);
    assert!(ends((0..20).pool_map(4, work).take(11).driven().for_each(eat)).await);

    let twin = stream::iter(0..20).map(work).buffer_unordered(4).take(11).map(work).buffer_unordered(1);
    assert!(!ends(twin.collect::<Vec<_>>()).await);
}

#[tokio::test(start_paused = true)]
async fn stages_downstream_of_one_that_has_ended_wait_for_what_is_in_flight_upstream() {
    let lock = &Shared::new();
    // The first item ends the stages above; one of the others has the lock by then.
    let slow_head = async |x| {
        if x == 0 {
            sleep(ms(2)).await;
            return x;
        }
        lock.pass(x).await
    };
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    let first = || (0..3).pool_map(3, slow_head).take(1).driven();
    assert!(ends(first().pool_map(1, ready).for_each(eat)).await);
    assert!(ends(first().pool_map(1, ready).pool_map(1, work).collect::<Vec<_>>()).await);
    // An `itermap` ends before its pool.
    let mut pool = Pool::new(3);
    let _ = pool.map_n(1..3, slow_head);
    assert!(ends(pool.itermap([0], slow_head).pool_map(1, ready).for_each(eat)).await);

    let twin = stream::iter(0..3).map(slow_head).buffer_unordered(3).take(1).map(ready).buffer_unordered(1);
    assert!(!ends(twin.for_each(eat)).await);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_stream_with_a_slow_head() {
    let lock = &Shared::new();
    let slow = async |x| {
        if x % 5 == 0 {
            sleep(ms(10)).await;
        }
        lock.pass(x).await
    };
    let work = async |x| lock.pass(x).await;
    let eat = async |_: u32| lock.use_it().await;
    assert!(ends((0..20).pool_map(4, slow).for_each(eat)).await);
    assert!(ends((0..20).pool_map(4, slow).pool_map(2, work).for_each(eat)).await);

    let twin = stream::iter(0..20).map(slow).buffered(4).for_each(eat);
    assert!(!ends(twin).await);
}

#[tokio::test(start_paused = true)]
async fn a_pool_and_its_itermap_that_share_a_mutex() {
    let lock = &Shared::new();
    let work = |x: u32| lock.pass(x);
    let mut pool = Pool::new(4);
    let _ = pool.map_n(0..20, work);
    assert!(ends(pool.for_each(async |_| lock.use_it().await)).await);
    let mut pool = Pool::new(4);
    assert!(ends(pool.itermap(0..20, work).for_each(async |_| lock.use_it().await)).await);
    assert!(ends(pool.itermap(0..20, work).keyed().pool_map(1, async |_| lock.use_it().await).count()).await);
    let _ = pool.map_n(0..20, work);
    let driven = async {
        while pool.next().await.is_some() {
            pool.drive(lock.use_it()).await;
        }
    };
    assert!(ends(driven).await);

    let mut pool = Pool::new(4);
    let _ = pool.map_n(0..20, work);
    let starved = async {
        while pool.next().await.is_some() {
            lock.use_it().await;
        }
    };
    assert!(!ends(starved).await);
}

#[tokio::test(start_paused = true)]
async fn the_views_share_a_mutex() {
    let lock = &Shared::new();
    let work = async |x| lock.pass(x).await;
    let indexed = (0..20).pool_map(4, work).indexed();
    assert!(ends(indexed.for_each(async |_| lock.use_it().await)).await);
    let batches = (0..20).pool_map(4, work).batches(yield_when::first_completed);
    assert!(ends(batches.for_each(async |_| lock.use_it().await)).await);
    let timed = (0..20).pool_map(4, work).batches(yield_when::all_completed).timeout(|| sleep(ms(3)));
    assert!(ends(timed.for_each(async |_| lock.use_it().await)).await);
    let caught = (0..20).pool_map(4, work).catch_unwind().pool_map(1, async |_| lock.use_it().await);
    assert!(ends(caught.for_each(async |()| lock.use_it().await)).await);
    let caught = (0..20).pool_map(4, work).pool_map(1, work).catch_unwind();
    assert!(ends(caught.for_each(async |_| lock.use_it().await)).await);
    let failing = (0..20).pool_map(4, async |x| Ok::<u32, ()>(lock.pass(x).await));
    assert!(ends(failing.fail_fast().for_each(async |_| lock.use_it().await)).await);
}

// No future is starved.

/// Sleeps twice, and returns how long that took.
async fn two_sleeps<T>(_: T) -> Duration {
    let start = Instant::now();
    sleep(ms(10)).await;
    sleep(ms(10)).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_second_sleep_is_not_held_up_by_a_slow_consumer() {
    let check = async |took: Duration| {
        assert_eq!(took, ms(20));
        sleep(ms(100)).await;
    };
    (0..12).pool_map(4, two_sleeps).for_each(check).await;
    (0..12).pool_map(4, two_sleeps).unordered().for_each(check).await;
    (0..12).pool_map(4, two_sleeps).max_finished(0).for_each(check).await;
    (0..12).pool_map(4, two_sleeps).indexed().for_each(async |(_, took)| check(took).await).await;
    (0..12).pool_map(4, two_sleeps).map(|took| took).driven().for_each(check).await;
    // A stage that is full for a long time.
    let stage = async |took| {
        check(took).await;
        took
    };
    (0..12).pool_map(4, two_sleeps).pool_map(1, stage).for_each(check).await;
    (0..12).pool_map(4, two_sleeps).then(stage).driven().pool_map(1, stage).for_each(check).await;
    let batches = (0..12).pool_map(4, two_sleeps).batches(yield_when::first_completed);
    batches.for_each(async |batch| check(batch[0]).await).await;
    let mut pool = Pool::new(4);
    pool.itermap(0..12, two_sleeps).for_each(check).await;
    let _ = pool.map_n(0..12, two_sleeps);
    pool.for_each(async |(_, took)| check(took).await).await;

    // How it is without: the second sleep ends only when somebody polls again.
    let slowest = Cell::new(ms(0));
    let starved = stream::iter(0..12).map(two_sleeps).buffer_unordered(4);
    starved
        .for_each(async |took| {
            slowest.set(slowest.get().max(took));
            sleep(ms(100)).await;
        })
        .await;
    assert!(slowest.get() > ms(100));
}

// Bounds.

#[test]
fn a_full_max_finished_admits_nothing_and_what_is_in_flight_is_polled() {
    for (size, max_finished) in [(4, 0), (4, 3), (1, 1)] {
        let (started, polls) = (Cell::new(0), Cell::new(0));
        let gate = Cell::new(false);
        let mut stream = (0..).pool_map(size, |x: usize| {
            started.set(started.get() + 1);
            let (polls, gate) = (&polls, &gate);
            poll_fn(move |_| {
                polls.set(polls.get() + 1);
                // The first ones finish immediately; the last one does only later.
                if x < size + max_finished || gate.get() { Poll::Ready(x) } else { Poll::Pending }
            })
        });
        stream = stream.max_finished(max_finished);
        for _ in 0..10 {
            let _ = progress(&mut stream);
        }
        assert!(
            stream.finished() <= size + max_finished,
            "size {size}, max_finished {max_finished}: {}",
            stream.finished()
        );
        assert!(stream.finished() > max_finished, "full");
        assert_eq!(started.get(), stream.finished() + stream.active());
        let before = started.get();
        for _ in 0..10 {
            let _ = progress(&mut stream);
        }
        assert_eq!(started.get(), before, "no more are started");
    }
}

#[test]
fn memory_is_bounded_with_a_consumer_that_never_ends_its_item() {
    let (first, second) = (Cell::new(0), Cell::new(0));
    let work = |count| {
        let count: &Cell<usize> = count;
        async move |x: u64| {
            count.set(count.get() + 1);
            yield_now().await;
            x
        }
    };
    let mut all = pin!((0..).pool_map(8, work(&first)).pool_map(3, work(&second)).for_each(|_| pending::<()>()));
    for _ in 0..1000 {
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    // Of each stage: its bound on results, the item about to be handed over, and those that were active then.
    assert!(second.get() <= 1 + 3 + 1 + 3, "{}", second.get());
    assert!(first.get() <= second.get() + 8 + 1 + 8, "{}", first.get());
    assert!(first.get() >= second.get() + 8 && second.get() >= 4);
}

#[test]
fn progress_is_ready_when_nothing_is_in_flight() {
    let mut empty = (0..0).pool_map(4, async |x: u8| x);
    assert!(progress(&mut empty).is_ready());
    let mut done = (0..3).pool_map(4, async |x| x);
    assert!(progress(&mut done).is_ready());
    assert_eq!((done.active(), done.finished()), (0, 3));
    assert_eq!(poll_next(&mut done), Poll::Ready(Some(0)), "nothing is lost");
    let mut full = (0..).pool_map(4, async |x: u64| x);
    assert!(progress(&mut full).is_ready(), "the max_finished is full");
    assert_eq!((full.active(), full.finished()), (0, 5));
    let mut waits = (0..3).pool_map(4, |_| pending::<()>());
    assert!(progress(&mut waits).is_pending());
    let mut full = (0..3).pool_map(2, |_| pending::<()>());
    assert!(progress(&mut full).is_pending());
    let mut stream = stream::pending::<u8>().pool_map(4, async |x| x);
    assert!(progress(&mut stream).is_pending(), "the source will wake the task");

    let mut pool = Pool::new(2);
    assert!(progress(&mut pool).is_ready());
    let _ = pool.map_n(0..10, |x| ready(x).boxed());
    assert!(progress(&mut pool).is_ready());
    assert_eq!((pool.waiting(), pool.finished()), (7, 3));
    pool.pause();
    assert!(progress(&mut pool).is_ready(), "paused");
    pool.resume();
    assert_eq!(run(pool.collect::<Vec<_>>()).len(), 10);
}

#[test]
fn progress_of_a_stage_is_that_of_the_upstream_stages() {
    let gate = Rc::new(Cell::new(false));
    let polled = Cell::new(0);
    let upstream = (0..3).pool_map(3, |x| {
        let (gate, polled) = (Rc::clone(&gate), &polled);
        poll_fn(move |cx| {
            polled.set(polled.get() + 1);
            if x == 0 || gate.get() {
                return Poll::Ready(x);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    // The stage is full with the first item.
    let mut stage = upstream.pool_map(1, |_| pending::<()>());
    for _ in 0..5 {
        let before = polled.get();
        assert!(progress(&mut stage).is_pending());
        assert!(polled.get() > before, "those upstream are polled while the stage is full");
        assert!(poll_next(&mut stage).is_pending());
    }
    gate.set(true);
    let _ = progress(&mut stage);
    let before = polled.get();
    let _ = progress(&mut stage);
    assert_eq!(polled.get(), before, "all upstream have finished");
}

#[test]
fn all_stages_together_poll_at_most_64_futures_in_a_call() {
    let polls = Cell::new(0_usize);
    let polls = &polls;
    let busy = move |()| {
        let mut left = 50;
        poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let (wakes, waker) = Wakes::new();
    let mut stages = pin!([(); 100].into_iter().pool_map(40, busy).pool_map(20, busy).pool_map(3, busy).for_each(busy));
    loop {
        let (before, woken) = (polls.get(), wakes.count());
        let poll = stages.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polls.get() - before <= 64, "{}", polls.get() - before);
        if poll.is_ready() {
            break;
        }
        assert!(wakes.count() > woken);
    }
    assert_eq!(polls.get(), 4 * 100 * 50);
}

#[test]
fn a_busy_stage_does_not_starve_the_one_before() {
    fn forever(count: &Cell<u64>) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
    let (upstream, downstream) = (Cell::new(0_u64), Cell::new(0_u64));
    let mut all = pin!(
        (0..10)
            .pool_map(4, |x| if x < 2 { ready(()).left_future() } else { forever(&upstream).right_future() })
            .unordered()
            .pool_map(2, |()| forever(&downstream))
            .for_each(ready)
    );
    for _ in 0..100 {
        let (b, a) = (upstream.get(), downstream.get());
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(upstream.get() > b && downstream.get() > a);
    }
    assert!(
        upstream.get() * 10 > downstream.get() && downstream.get() * 10 > upstream.get(),
        "{upstream:?} {downstream:?}"
    );
}

/// However many stages share the polls of a call: each fills its slots, and polls all that is in them.
#[test]
fn busy_stages_do_not_starve_those_before() {
    const SIZE: usize = 20;
    let polls = [(); 6].map(|()| RefCell::new(Vec::new()));
    let stage = |index: usize| {
        let (polls, mut started) = (&polls[index], 0);
        // So many pass to the next stages as these have slots.
        let pass = SIZE * (5 - index);
        move |()| {
            started += 1;
            let is_passed = started <= pass;
            let mut own = None;
            poll_fn(move |cx| {
                if is_passed {
                    return Poll::Ready(());
                }
                let mut polls = polls.borrow_mut();
                let own = *own.get_or_insert(polls.len());
                if own == polls.len() {
                    polls.push(0);
                }
                polls[own] += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }
    };
    let items = [(); 1000].into_iter();
    let mut all = pin!(
        items
            .pool_map(SIZE, stage(0))
            .unordered()
            .pool_map(SIZE, stage(1))
            .unordered()
            .pool_map(SIZE, stage(2))
            .unordered()
            .pool_map(SIZE, stage(3))
            .unordered()
            .pool_map(SIZE, stage(4))
            .unordered()
            .pool_map(SIZE, stage(5))
            .for_each(ready)
    );
    for _ in 0..1000 {
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    for (index, polls) in polls.iter().enumerate() {
        let polls = polls.borrow();
        assert_eq!(polls.len(), SIZE, "stage {index}: not all slots were filled");
        assert!(polls.iter().all(|&polls| polls > 10), "stage {index}: {polls:?}");
    }
}

proptest! {
    #[test]
    fn consumer_and_pool_do_not_starve_each_other(size in 1..100_usize, yields in 0..200_u32, own in 0..5_u32) {
        let (pool, consumer) = (Cell::new(0_u32), Cell::new(0_u32));
        let mut all = pin!((0..50).pool_map(size, async |_| {
            for _ in 0..own {
                pool.set(pool.get() + 1);
                yield_now().await;
            }
        }).unordered().for_each(async |()| {
            for _ in 0..yields {
                consumer.set(consumer.get() + 1);
                yield_now().await;
            }
        }));
        let (wakes, waker) = Wakes::new();
        loop {
            let (before, woken) = ((pool.get(), consumer.get()), wakes.count());
            let poll = all.as_mut().poll(&mut Context::from_waker(&waker));
            let (p, c) = (pool.get() - before.0, consumer.get() - before.1);
            prop_assert!(p + c <= 64, "at most 64 polls");
            if poll.is_ready() {
                break;
            }
            prop_assert!(wakes.count() > woken, "no wake-up is lost");
        }
        prop_assert_eq!((pool.get(), consumer.get()), (50 * own, 50 * yields));
    }

    /// Wake-ups of the consumer and of the pool come in any order, alone and together.
    #[test]
    fn no_wake_up_is_lost(order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(), together in any::<u64>(), size in 1..8_usize) {
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..40 {
            let (send, receive) = oneshot::channel::<()>();
            senders.push(Some(send));
            receivers.push(Some(receive));
        }
        let (items, bodies) = receivers.split_at_mut(20);
        let mut bodies = bodies.iter_mut();
        let done = Cell::new(0);
        let (wakes, waker) = Wakes::new();
        let stream = items.iter_mut().pool_map(size, |item| item.take().unwrap());
        let mut all = pin!(stream.unordered().for_each(|item| {
            item.unwrap();
            let body = bodies.next().unwrap().take().unwrap();
            let done = &done;
            async move {
                body.await.unwrap();
                done.set(done.get() + 1);
            }
        }));
        let mut ended = all.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        for (step, which) in order.into_iter().enumerate() {
            let before = wakes.count();
            let _ = senders[which].take().unwrap().send(());
            if together >> (step % 64) & 1 == 1 {
                continue;
            }
            // Polled only if woken.
            let mut woken = wakes.count() > before;
            woken |= step == 39;
            if woken && !ended {
                ended = all.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
        }
        while !ended {
            let before = wakes.count();
            ended = all.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            prop_assert!(ended || wakes.count() > before, "stuck with {} done", done.get());
        }
        prop_assert_eq!(done.get(), 20);
    }
}

#[test]
fn wake_ups_from_other_threads_of_consumer_and_pool() {
    for _ in 0..50 {
        let mut pool_senders = Vec::new();
        let mut body_senders = Vec::new();
        let (items, bodies): (Vec<_>, Vec<_>) = (0..50)
            .map(|_| {
                let (send, receive) = oneshot::channel::<()>();
                let (body_send, body_receive) = oneshot::channel::<()>();
                pool_senders.push(send);
                body_senders.push(body_send);
                (receive, body_receive)
            })
            .unzip();
        let mut bodies = bodies.into_iter();
        std::thread::scope(|threads| {
            threads.spawn(|| pool_senders.into_iter().for_each(|send| send.send(()).unwrap()));
            threads.spawn(|| body_senders.into_iter().for_each(|send| send.send(()).unwrap()));
            let stream = items.into_iter().pool_map(4, |item| item).unordered();
            futures::executor::block_on(stream.for_each(|_| bodies.next().unwrap().map(Result::unwrap)));
        });
    }
}

#[test]
fn progress_is_pending_while_upstream_stages_have_something_in_flight() {
    let upstream = (0..3).pool_map(3, |x| if x == 0 { ready(x).left_future() } else { pending().right_future() });
    let mut stage = upstream.unordered().pool_map(1, ready).max_finished(0);
    for _ in 0..3 {
        assert!(progress(&mut stage).is_pending());
    }
    assert_eq!((stage.active(), stage.finished()), (0, 1), "nothing of its own is in flight, and nothing more will be");
}

#[test]
fn progress_is_pending_while_something_is_in_flight_upstream_of_a_stage_that_has_ended() {
    let polled = &Cell::new(0);
    let upstream = (0..3).pool_map(3, |x| {
        poll_fn(move |cx| {
            if x == 0 {
                return Poll::Ready(x);
            }
            polled.set(polled.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    let mut stage = upstream.take(1).driven().pool_map(1, ready).pool_map(1, ready);
    assert_eq!(poll_next(&mut stage), Poll::Ready(Some(0)));
    for _ in 0..3 {
        let before = polled.get();
        assert!(progress(&mut stage).is_pending());
        assert!(polled.get() > before);
    }
}

#[test]
fn progress_gathers_the_batch_under_way() {
    let mut batches = (0..10).pool_map(2, ready).batches(yield_when::all_completed);
    let _ = progress(&mut batches);
    assert_eq!(batches.finished(), 10, "what is gathered does not count against the max_finished");
    assert_eq!(poll_next(&mut batches), Poll::Ready(Some((0..10).collect())));
    let mut timed = pin!((0..10).pool_map(2, ready).batches(|x| *x == 4).timeout(pending::<()>));
    let _ = progress(&mut timed);
    assert!(timed.finished() < 10, "a batch is complete, and the max_finished full");
    assert!(poll_next(&mut timed).is_ready());
}

// `driven`.

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_upstream_of_an_adaptor_makes_progress_after_its_end() {
    let done = Cell::new(0);
    let work = async |x: u32| {
        sleep(ms(10)).await;
        sleep(ms(10)).await;
        done.set(done.get() + 1);
        x
    };
    let busy = async |_| {
        sleep(ms(100)).await;
        done.get()
    };
    // The stage has a free slot, and so finds out about the end immediately.
    let seen: Vec<_> = (0..4).pool_map(2, work).take(1).driven().pool_map(2, busy).collect().await;
    assert_eq!(seen, [4], "all that was started, and more while the max_finished was not full, has finished meanwhile");
}

#[test]
fn driven_polls_its_adaptor_one_item_ahead() {
    let (started, passed) = (Cell::new(0), Cell::new(0));
    let stream = (0..20).pool_map(2, async |x| {
        started.set(started.get() + 1);
        x
    });
    let mut driven = stream.max_finished(2).map(|x| {
        passed.set(passed.get() + 1);
        x
    });
    let mut driven = Pin::new(&mut driven).driven();
    assert_eq!(driven.size_hint(), (20, Some(20)));
    assert!(!driven.is_terminated());
    for _ in 0..5 {
        let _ = progress(&mut driven);
    }
    assert_eq!(passed.get(), 1, "one");
    assert!(started.get() <= 1 + 2 + 2);
    assert_eq!(driven.size_hint(), (20, Some(20)));
    let all: Vec<i32> = run(driven.collect());
    assert_eq!(all, (0..20).collect::<Vec<_>>());
}

#[test]
fn driven_polls_the_upstream_pool_on_every_poll() {
    let polled = &Cell::new(0);
    let upstream = (0..6).pool_map(3, |x| {
        poll_fn(move |cx| {
            if x % 2 == 0 {
                return Poll::Ready(x);
            }
            polled.set(polled.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    // Its adaptor has an item without polling the pool, or waits, or has one ahead, or has ended.
    let mut wait = true;
    let then = upstream.unordered().then(|x| {
        wait = !wait;
        if wait { yield_now().map(move |()| x).left_future() } else { ready(x).right_future() }
    });
    let mut driven = pin!(then.take(3).driven());
    let mut items = Vec::new();
    for round in 0..8 {
        let before = polled.get();
        if round % 3 == 2 {
            let _ = progress(&mut driven);
        } else if let Poll::Ready(Some(item)) = poll_next(&mut driven) {
            items.push(item);
        }
        assert!(round == 0 || polled.get() > before, "in round {round}");
    }
    assert_eq!(items, [0, 2, 4]);
    assert_eq!(poll_next(&mut driven), Poll::Ready(None));
}

#[test]
fn a_call_polls_at_most_64_futures_more_behind_an_adaptor() {
    let polls = &Cell::new(0_usize);
    for (size, yields) in [(3, 0), (3, 1), (10, 20), (100, 20), (100, 100)] {
        let work = |x: u32| {
            let mut left = yields;
            poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                if left == 0 {
                    return Poll::Ready(x);
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        };
        let upstream = || (0..500).pool_map(size, work).unordered().map(|x| x).driven();
        let futures: [Pin<Box<dyn Future<Output = ()> + '_>>; 3] = [
            Box::pin(upstream().for_each(async |_| ())),
            Box::pin(upstream().pool_map(5, async |_| ()).for_each(async |()| ())),
            Box::pin(async { drop(upstream().pool_map(5, async |_| ()).await) }),
        ];
        for mut future in futures {
            let (wakes, waker) = Wakes::new();
            loop {
                let before = wakes.count();
                polls.set(0);
                let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polls.get() < 2 * 64, "{} at size {size} with {yields}", polls.get());
                if poll.is_ready() {
                    break;
                }
                assert!(wakes.count() > before);
            }
        }
    }
}

/// One finishes immediately, the others are busy for ever.
fn one_or_busy(polls: &Cell<usize>, x: u32) -> Pin<Box<dyn Future<Output = u32> + '_>> {
    Box::pin(poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        if x == 0 {
            return Poll::Ready(x);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}

/// Returns the most polls of a call, while nothing is handed over.
fn most_polls(polls: &Cell<usize>, stream: impl Stream) -> usize {
    let mut stream = pin!(stream);
    let call = |_| {
        polls.set(0);
        assert!(poll_next(&mut stream).is_pending());
        polls.get()
    };
    (0..100).map(call).max().unwrap()
}

/// Returns the most polls of a call upstream of an adaptor that is upstream of a stage that is full with the one item
/// of the stream.
fn upstream_of_a_full_stage<S: Progress>(polls: &Cell<usize>, stream: S) -> usize {
    most_polls(polls, stream.map(drop).driven().pool_map(1, |()| pending::<()>()))
}

#[test]
fn full_stages_behind_adaptors_leave_a_call_its_bound() {
    let polls = &Cell::new(0);
    let work = |x| one_or_busy(polls, x);
    let chain = || (0..99).pool_map(30, work).unordered();
    let pool = || {
        let mut pool = Pool::new(30);
        let _ = pool.map_n(0..99, work);
        pool
    };
    let in_place = || (0..99).pool_map_inline(Slots::<30>, work).unordered();
    let mut inline_pool = pin!(InlinePool::<_, 32, 99>::new());
    for x in 0..99 {
        assert!(inline_pool.as_mut().try_spawn(work(x % 2)).is_ok());
    }
    let mut chains = [chain(), chain()];
    let [by_reference, pinned] = &mut chains;
    let mut kept = [Pool::new(30), Pool::new(30)];
    let [flat, keyed] = &mut kept;
    let most = [
        ("chain", upstream_of_a_full_stage(polls, chain())),
        ("unordered_set", upstream_of_a_full_stage(polls, chain().with_set(UnorderedSet))),
        ("in place", upstream_of_a_full_stage(polls, in_place())),
        ("in place, indexed", upstream_of_a_full_stage(polls, in_place().indexed())),
        ("inline pool", upstream_of_a_full_stage(polls, inline_pool)),
        ("catch_unwind", upstream_of_a_full_stage(polls, (0..99).pool_map(30, work).catch_unwind())),
        ("indexed", upstream_of_a_full_stage(polls, chain().indexed())),
        ("batches", upstream_of_a_full_stage(polls, chain().batches(|_| true))),
        ("timed batches", upstream_of_a_full_stage(polls, chain().batches(|_| true).timeout(pending::<()>))),
        ("pool", upstream_of_a_full_stage(polls, pool())),
        ("itermap", upstream_of_a_full_stage(polls, flat.itermap(0..99, work))),
        ("keyed itermap", upstream_of_a_full_stage(polls, keyed.itermap(0..99, work).keyed())),
        ("by reference", upstream_of_a_full_stage(polls, by_reference)),
        ("pinned", upstream_of_a_full_stage(polls, Pin::new(pinned))),
        ("two adaptors", upstream_of_a_full_stage(polls, chain().map(|x| x).inspect(|_| ()))),
        ("driven twice", upstream_of_a_full_stage(polls, chain().map(|x| x).driven())),
        ("upstream of a stage", upstream_of_a_full_stage(polls, chain().pool_map(2, ready))),
        (
            "upstream of a stage that catches",
            upstream_of_a_full_stage(polls, chain().pool_map(2, ready).catch_unwind()),
        ),
        ("scan", upstream_of_a_full_stage(polls, chain().scan((), |(), x| ready(Some(x))))),
    ];
    for (form, most) in most {
        let adaptors = if form == "driven twice" { 2 } else { 1 };
        assert!((64..(1 + adaptors) * 64).contains(&most), "{form}: {most}");
    }
}

#[test]
fn busy_stages_on_both_sides_of_an_adaptor_leave_a_call_its_bound() {
    let polls = &Cell::new(0);
    let pass = |x| one_or_busy(polls, 0).map(move |_| x);
    let most = |size: u32| {
        // As many items as the last stage can have, then nothing but busy futures in all of them.
        let upstream = (0..999).pool_map(64, |x| one_or_busy(polls, x / size)).unordered();
        let between = upstream.map(|x| x).driven().pool_map(4, pass).pool_map(4, pass);
        most_polls(polls, between.pool_map(size as usize, |x| one_or_busy(polls, x + 1)))
    };
    let all: Vec<_> = (60..80).map(most).collect();
    assert!(all.iter().all(|most| (64..2 * 64).contains(most)), "{all:?}");
}

#[test]
fn what_was_cancelled_upstream_of_an_adaptor_is_not_taken_for_a_poll() {
    let mut pool = Pool::new(4);
    let _ = pool.map_n(0..10, ready);
    assert_eq!(run(pool.by_ref().take(10).count()), 10);
    let cancelled: Vec<_> = pool.map_n(0..1000, ready).collect();
    let _ = pool.map_n(0..4, ready);
    assert!(cancelled.into_iter().all(|key| pool.cancel(key)));
    let mut stage = pin!(pool.map(|_| ()).driven().pool_map(4, |()| pending::<()>()).unordered());
    assert!(poll_next(&mut stage).is_pending());
    assert_eq!(stage.active(), 4);
}

#[test]
fn an_item_of_an_adaptor_outlives_a_panic_of_the_upstream_pool() {
    // In the very poll in which the adaptor has the item.
    let passed = &Cell::new(false);
    let first_or_panic = |x| {
        poll_fn(move |cx| {
            if x == 0 {
                return Poll::Ready(x);
            }
            assert!(!passed.get());
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let pass = |x| {
        yield_now().map(move |()| {
            passed.set(true);
            x
        })
    };
    let mut driven = pin!((0..2).pool_map(2, first_or_panic).then(pass).driven());
    let mut items = Vec::new();
    let mut panics = 0;
    for _ in 0..9 {
        match catch_unwind(AssertUnwindSafe(|| poll_next(&mut driven))) {
            Ok(Poll::Ready(Some(item))) => items.push(item),
            Ok(_) => {}
            Err(_) => panics += 1,
        }
    }
    assert_eq!((items, panics), (vec![0], 1));
}

#[test]
fn driven_ends_with_its_adaptor() {
    let mut driven = (0..20).pool_map(2, async |x| x).take(3).driven();
    assert_eq!(run(driven.by_ref().collect::<Vec<_>>()), [0, 1, 2]);
    assert!(driven.is_terminated());
    assert_eq!(driven.size_hint(), (0, Some(0)));
    assert_eq!(poll_next(&mut driven), Poll::Ready(None));
    // Found out while the consumer was busy.
    let mut driven = (0..20).pool_map(2, async |x| x).take(0).driven();
    let _ = progress(&mut driven);
    assert!(driven.is_terminated());
}

#[test]
fn progress_passes_through_the_adaptors() {
    /// Checks that progress reaches the upstream pool, and that nothing is lost.
    fn check<S: Progress>(name: &str, polled: &Cell<u32>, stream: S, items: usize) {
        let mut stream = Box::pin(stream);
        let before = polled.get();
        let _ = progress(&mut stream);
        assert!(polled.get() > before, "{name}: nothing was polled");
        assert_eq!(run(stream.driven().collect::<Vec<_>>()).len(), items, "{name}");
    }
    macro_rules! check {
        ($($make:expr => $items:expr;)*) => {$(
            let polled = Cell::new(0);
            let work = async |x: u32| {
                polled.set(polled.get() + 1);
                yield_now().await;
                x
            };
            let pool = (0..6).pool_map(2, work);
            let make = $make;
            check(stringify!($make), &polled, make(pool), $items);
        )*};
    }
    macro_rules! check_try {
        ($($make:expr => $items:expr;)*) => {$(
            let polled = Cell::new(0);
            let work = async |x: u32| {
                polled.set(polled.get() + 1);
                yield_now().await;
                Ok::<u32, u32>(x)
            };
            let pool = (0..6).pool_map(2, work);
            let make = $make;
            check(stringify!($make), &polled, make(pool), $items);
        )*};
    }
    check! {
        |pool| StreamExt::map(pool, ready).buffered(2) => 6;
        |pool| StreamExt::map(pool, ready).buffer_unordered(2) => 6;
        |pool| StreamExt::chunks(pool, 2) => 3;
        |pool| StreamExt::enumerate(pool) => 6;
        |pool| StreamExt::filter(pool, |x| ready(x % 2 == 0)) => 3;
        |pool| StreamExt::filter_map(pool, |x| ready((x > 0).then_some(x))) => 5;
        |pool| StreamExt::map(pool, |x| stream::iter([x, x])).flatten() => 12;
        |pool| StreamExt::flat_map(pool, |x| stream::iter([x, x])) => 12;
        |pool| StreamExt::flat_map_unordered(pool, 2, |x| stream::iter([x, x])) => 12;
        |pool| StreamExt::map(pool, |x| stream::iter([x, x])).flatten_unordered(2) => 12;
        |pool| StreamExt::fuse(pool) => 6;
        |pool| StreamExt::inspect(pool, |_| ()) => 6;
        |pool| StreamExt::map(pool, |x| x + 1) => 6;
        |pool| StreamExt::peekable(pool) => 6;
        |pool| StreamExt::ready_chunks(pool, 1) => 6;
        |pool| StreamExt::scan(pool, 0, |sum, x| { *sum += x; ready((*sum < 10).then_some(*sum)) }) => 4;
        |pool| StreamExt::skip(pool, 2) => 4;
        |pool| StreamExt::skip_while(pool, |x| ready(*x < 2)) => 4;
        |pool| StreamExt::take(pool, 2) => 2;
        |pool| StreamExt::take_until(pool, pending::<()>()) => 6;
        |pool| StreamExt::take_while(pool, |x| ready(*x < 2)) => 2;
        |pool| StreamExt::then(pool, ready) => 6;
    }
    check_try! {
        |pool| TryStreamExt::and_then(pool, |x| ready(Ok(x))) => 6;
        |pool| TryStreamExt::err_into::<u64>(pool) => 6;
        |pool| TryStreamExt::inspect_err(pool, |_| ()) => 6;
        |pool| TryStreamExt::inspect_ok(pool, |_| ()) => 6;
        |pool| TryStreamExt::into_stream(pool) => 6;
        |pool| TryStreamExt::map_err(pool, |error| error + 1) => 6;
        |pool| TryStreamExt::map_ok(pool, |x| x + 1) => 6;
        |pool| TryStreamExt::or_else(pool, |error| ready(Err::<u32, u32>(error))) => 6;
        |pool| TryStreamExt::map_ok(pool, |x| ready(Ok::<u32, u32>(x))).try_buffered(2) => 6;
        |pool| TryStreamExt::map_ok(pool, |x| ready(Ok::<u32, u32>(x))).try_buffer_unordered(2) => 6;
        |pool| TryStreamExt::try_chunks(pool, 2) => 3;
        |pool| TryStreamExt::try_ready_chunks(pool, 1) => 6;
        |pool| TryStreamExt::map_ok(pool, |x| stream::iter([Ok::<u32, u32>(x), Ok(x)])).try_flatten() => 12;
        |pool| TryStreamExt::map_ok(pool, |x| stream::iter([Ok::<u32, u32>(x), Ok(x)])).try_flatten_unordered(2) => 12;
        |pool| TryStreamExt::try_filter(pool, |x| ready(x % 2 == 0)) => 3;
        |pool| TryStreamExt::try_filter_map(pool, |x| ready(Ok((x > 0).then_some(x)))) => 5;
        |pool| TryStreamExt::try_skip_while(pool, |x| ready(Ok(*x < 2))) => 4;
        |pool| TryStreamExt::try_take_while(pool, |x| ready(Ok(*x < 2))) => 2;
    }
}

// Panics and drops.

#[test]
fn a_panic_of_the_consumer_drops_its_item_and_nothing_else() {
    struct Counted(Rc<Cell<u32>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let seen = RefCell::new(Vec::new());
    let mut all = Box::pin((0..5).pool_map(2, async |x| x).for_each(|x| {
        let (seen, counted) = (&seen, Counted(Rc::clone(&dropped)));
        async move {
            let _counted = counted;
            yield_now().await;
            assert_ne!(x, 2, "consumer");
            seen.borrow_mut().push(x);
        }
    }));
    assert!(catch_unwind(AssertUnwindSafe(|| run(all.as_mut()))).is_err());
    assert_eq!(dropped.get(), 3);
    run(all);
    assert_eq!(*seen.borrow(), [0, 1, 3, 4]);
    assert_eq!(dropped.get(), 5);
}

#[test]
fn drive_takes_no_item_and_gives_the_output() {
    let mut stream = (0..10).pool_map(2, async |x| x);
    let out = run(stream.drive(async {
        for _ in 0..5 {
            yield_now().await;
        }
        "out"
    }));
    assert_eq!(out, "out");
    assert_eq!((stream.active(), stream.finished()), (0, 3));
    assert_eq!(run(stream.collect::<Vec<_>>()), (0..10).collect::<Vec<_>>());

    let mut pinned = pin!(stream::iter(0..4).then(async |x| x).pool_map(2, async |x| x));
    assert_eq!(run(pinned.drive(ready(1))), 1);
    assert_eq!(run(pinned.collect::<Vec<_>>()).len(), 4);
    let mut pool = Pool::new(1);
    let key = pool.spawn_n(async {
        yield_now().await;
        7
    });
    assert_eq!(
        run(pool.drive(async {
            yield_now().await;
            yield_now().await;
            8
        })),
        8
    );
    assert_eq!(pool.take_result(key), Some(7));
}

// Types.

#[tokio::test]
async fn a_chain_of_three_stages_with_borrowed_items_inside_tokio_spawn() {
    #[expect(clippy::ptr_arg)]
    async fn fetch(url: &String) -> Result<String, String> {
        tokio::task::yield_now().await;
        Ok(url.clone())
    }
    async fn parse(page: Result<String, String>) -> Option<usize> {
        tokio::task::yield_now().await;
        page.ok().map(|page| page.len())
    }
    let total = tokio::spawn(async {
        let urls: Vec<String> = (0..10).map(|x| "x".repeat(x)).collect();
        let total = std::sync::atomic::AtomicUsize::new(0);
        let add = |length| {
            total.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
            ready(())
        };
        urls.iter().pool_map(4, fetch).pool_map(8, parse).pool_map(2, async |it| it.unwrap()).for_each(add).await;
        urls.iter().pool_map(4, fetch).filter_map(parse).driven().pool_map(2, async |it| it).for_each(add).await;
        total.into_inner()
    });
    assert_eq!(total.await.unwrap(), 90);
}

#[test]
fn driven_many_times_over_polls_what_is_upstream_a_few_times_a_call() {
    /// A stream that never has an item, or one at each poll; counts its polls.
    struct Counted<'a> {
        polls: &'a Cell<usize>,
        items: u32,
    }

    impl Stream for Counted<'_> {
        type Item = u32;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
            self.polls.set(self.polls.get() + 1);
            if self.items == 0 {
                return Poll::Pending;
            }
            self.items -= 1;
            Poll::Ready(Some(self.items))
        }
    }

    impl Progress for Counted<'_> {
        fn poll_progress(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.polls.set(self.polls.get() + 1);
            Poll::Pending
        }
    }

    for (levels, items) in [(1, 0), (4, 0), (40, 0), (1, 5), (40, 5)] {
        let polls = &Cell::new(0);
        let mut stream: Pin<Box<dyn Progress<Item = u32> + '_>> = Box::pin(Counted { polls, items });
        for _ in 0..levels {
            stream = Box::pin(stream.map(|x| x).driven());
        }
        let (mut calls, mut seen) = (0, 0);
        let (wakes, waker) = Wakes::new();
        loop {
            // Progress first, as consumers that are busy do.
            let before = wakes.count();
            assert!(stream.as_mut().poll_progress(&mut Context::from_waker(&waker)).is_pending());
            calls += 1;
            if wakes.count() > before {
                continue;
            }
            calls += 1;
            if stream.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending() {
                break;
            }
            seen += 1;
        }
        assert_eq!(seen, items, "no item is lost, and none is late");
        assert!(polls.get() <= 2 * calls, "{levels} levels: {} polls in {calls} calls", polls.get());
        assert!(calls <= 200, "{levels} levels: {calls} calls");
    }
}
