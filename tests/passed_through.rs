//! That whatever stands around a stream of the pool passes on what it is asked: a pin, a reference, a view, a stage. Each is
//! asked in all ways: for an item, to make progress, and for its counts.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures::stream::{Stream, StreamExt};
use futures_pool::inline::InlinePool;
use futures_pool::{Pool, Progress, prelude::*};

use common::poll_next;

/// Asks a stream to make progress.
fn progress(stream: &mut (impl Progress + Unpin)) -> Poll<()> {
    Pin::new(stream).poll_progress(&mut Context::from_waker(Waker::noop()))
}

/// Checks that a stream whose futures have to be polled twice makes progress when it is asked to, by itself and
/// upstream of a stage, and that its items come through that stage. The stream is made anew each time; it has 4 items.
#[track_caller]
fn all_is_passed_on<St: Progress + Unpin>(mut make: impl FnMut() -> St) {
    let mut stream = make();
    assert!(progress(&mut stream).is_pending(), "nothing has been started");
    wake_all();
    assert!(progress(&mut stream).is_ready(), "something is in flight");
    assert!(poll_next(&mut stream).is_ready());

    // A stage that is full, of size 1, and never finishes: what is upstream makes progress all the same.
    FINISHED.set(0);
    let mut driven = pin!(make().driven().pool_map(1, |_| pending::<()>()));
    for _ in 0..4 {
        assert!(poll_next(&mut driven).is_pending());
        wake_all();
    }
    assert_eq!((driven.active(), FINISHED.get()), (1, 4), "items that came through, and futures that made progress");

    let taken = Cell::new(0);
    let mut each = Box::pin(make().driven().for_each(|_| {
        taken.set(taken.get() + 1);
        ready(())
    }));
    let mut ends = || {
        wake_all();
        common::poll(&mut each).is_ready()
    };
    assert!((0..10).any(|_| ends()), "the end did not come through");
    assert!(taken.get() > 0);
}

thread_local! {
    static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    /// How many of these futures have finished.
    static FINISHED: Cell<usize> = const { Cell::new(0) };
}

/// Finishes when it is polled again; [`wake_all`] sees to that.
async fn twice<T>(item: T) -> T {
    let mut polled = false;
    poll_fn(|cx| {
        if polled {
            return Poll::Ready(());
        }
        polled = true;
        WAKERS.with_borrow_mut(|wakers| wakers.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
    FINISHED.set(FINISHED.get() + 1);
    item
}

fn wake_all() {
    WAKERS.take().into_iter().for_each(Waker::wake);
}

#[test]
fn by_a_chain_and_its_views() {
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice)));
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice).indexed()));
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice).driven()));
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice).batches(|n| *n == 2)));
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice).batches(|_| false).timeout(pending::<()>)));
}

#[cfg(feature = "std")]
#[test]
fn by_a_chain_that_catches_panics() {
    all_is_passed_on(|| Box::pin((0..4).pool_map(4, twice).catch_unwind()));
}

#[test]
fn by_a_reference_and_a_pin() {
    let mut streams: Vec<_> = (0..6).map(|_| Box::pin((0..4).pool_map(4, twice))).collect();
    let mut references = streams.iter_mut();
    all_is_passed_on(|| references.next().unwrap());
    let mut streams: Vec<_> = (0..6).map(|_| Box::pin((0..4).pool_map(4, twice))).collect();
    let mut pins = streams.iter_mut().map(|stream| stream.as_mut());
    all_is_passed_on(|| pins.next().unwrap());
}

#[test]
fn by_a_pool_and_its_streams() {
    all_is_passed_on(|| {
        let mut pool = Pool::new(4);
        pool.map_n(0..4, twice);
        pool
    });
    all_is_passed_on(|| {
        let mut pool = Box::pin(InlinePool::<_, 4, 4>::new());
        for n in 0..4 {
            assert!(pool.as_mut().try_spawn(twice(n)).is_ok());
        }
        pool
    });
    let mut pools: Vec<_> = (0..6).map(|_| Pool::new(4)).collect();
    let mut each = pools.iter_mut();
    all_is_passed_on(|| each.next().unwrap().itermap(0..4, twice));
    let mut pools: Vec<_> = (0..6).map(|_| Pool::new(4)).collect();
    let mut each = pools.iter_mut();
    all_is_passed_on(|| each.next().unwrap().itermap(0..4, twice).keyed());
}

/// Checks that a stage directly on a stream gets its items.
macro_rules! directly {
    ($stream:expr) => {
        FINISHED.set(0);
        let mut stage = pin!($stream.pool_map(1, |_| pending::<()>()));
        for _ in 0..4 {
            assert!(poll_next(&mut stage).is_pending());
            wake_all();
        }
        assert_eq!((stage.active(), FINISHED.get()), (1, 4), "{}", stringify!($stream));
    };
}

#[test]
fn to_a_stage_put_directly_on_it() {
    directly!((0..4).pool_map(4, twice));
    directly!((0..4).pool_map(4, twice).indexed());
    directly!((0..4).pool_map(4, twice).batches(|n| *n == 2));
    directly!((0..4).pool_map(4, twice).batches(|n| *n == 2).timeout(pending::<()>));
    let mut pool = Pool::new(4);
    directly!(pool.itermap(0..4, twice));
    directly!(pool.itermap(0..4, twice).keyed());
    let mut pool = Pool::new(4);
    pool.map_n(0..4, twice);
    directly!(pool);
}

#[test]
fn a_stage_lets_go_of_a_source_that_has_ended() {
    struct Counts<'a>(&'a Cell<usize>);

    impl Stream for Counts<'_> {
        type Item = usize;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<usize>> {
            Poll::Ready(None)
        }
    }

    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    let dropped = Cell::new(0);
    let mut stream = Counts(&dropped).pool_map(1, ready);
    assert_eq!(poll_next(&mut stream), Poll::Ready(None));
    assert_eq!(dropped.get(), 1);
    drop(stream);
    assert_eq!(dropped.get(), 1);
}

/// Never ends if `n` is 0.
async fn unless_zero(n: u32) {
    if n == 0 {
        pending::<()>().await;
    }
}

#[test]
fn the_counts_of_the_pool_by_its_streams() {
    let mut pool = Pool::new(3);
    pool.map_n([0, 1, 1, 1], unless_zero);
    let mut stream = pool.itermap([0, 0], unless_zero);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((stream.active(), stream.finished(), stream.size()), (3, 3, 3));
    let mut batches = stream.batches(|()| true);
    assert!(poll_next(&mut batches).is_pending());
    assert_eq!((batches.active(), batches.finished(), batches.size()), (3, 3, 3));
    let timed = batches.timeout(pending::<()>);
    assert_eq!((timed.active(), timed.finished(), timed.size()), (3, 3, 3));

    let mut stream = [0, 1].into_iter().pool_map(5, unless_zero);
    assert!(poll_next(&mut stream).is_pending());
    let stream = stream.indexed();
    assert_eq!((stream.active(), stream.finished(), stream.size()), (1, 1, 5));

    let mut batches = [0, 0, 1].into_iter().pool_map(5, unless_zero).batches(|()| false);
    assert!(poll_next(&mut batches).is_pending());
    assert_eq!((batches.active(), batches.finished(), batches.size()), (2, 1, 5));
    let mut driven = pin!(batches.map(|batch| batch.len()).driven());
    assert!(poll_next(&mut driven).is_pending());
}
