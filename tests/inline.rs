//! Pools inside the value: `pool_map_inline` and `InlinePool`. Needs no feature.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Wakes, run, yield_now};
use futures::stream::{self, FusedStream, Stream, StreamExt};
use futures_pool::inline::{InlinePool, InlineSet, SlotCount, Slots};
use futures_pool::{Key, Progress, prelude::*};

fn poll_next<S: Stream>(stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
    stream.poll_next(&mut Context::from_waker(Waker::noop()))
}

fn poll_progress<S: Progress>(stream: Pin<&mut S>) -> Poll<()> {
    stream.poll_progress(&mut Context::from_waker(Waker::noop()))
}

/// Futures that end when they are told to, and a log of which were polled.
#[derive(Clone, Default)]
struct Lab {
    done: Rc<RefCell<Vec<bool>>>,
    polled: Rc<RefCell<Vec<usize>>>,
    alive: Rc<Cell<usize>>,
}

struct Alive(Rc<Cell<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Lab {
    fn job(&self, id: usize) -> impl Future<Output = usize> + use<> {
        let lab = self.clone();
        {
            let mut done = lab.done.borrow_mut();
            let len = done.len().max(id + 1);
            done.resize(len, false);
        }
        lab.alive.set(lab.alive.get() + 1);
        let alive = Alive(Rc::clone(&lab.alive));
        async move {
            let _alive = alive;
            poll_fn(|_| {
                lab.polled.borrow_mut().push(id);
                if lab.done.borrow()[id] { Poll::Ready(id) } else { Poll::Pending }
            })
            .await
        }
    }

    fn finish(&self, ids: impl IntoIterator<Item = usize>) {
        ids.into_iter().for_each(|id| self.done.borrow_mut()[id] = true);
    }

    fn take_polled(&self) -> Vec<usize> {
        self.polled.take()
    }
}

fn with_every_size<const N: usize>()
where
    Slots<N>: SlotCount,
{
    let lab = Lab::default();
    let mut stream = pin!((0..100).pool_map_inline(Slots::<N>, |id| lab.job(id)).unordered());
    assert_eq!(stream.size(), N);
    assert!(poll_next(stream.as_mut()).is_pending());
    assert_eq!((stream.active(), lab.alive.get()), (N, N));
    lab.finish(0..N);
    assert_eq!(poll_next(stream.as_mut()), Poll::Ready(Some(0)));
    assert_eq!((stream.active(), stream.finished()), (N, 0));
}

#[test]
fn exactly_as_many_are_active_as_there_are_slots() {
    with_every_size::<1>();
    with_every_size::<2>();
    with_every_size::<7>();
    with_every_size::<31>();
    with_every_size::<32>();
}

#[test]
fn results_come_in_the_order_of_the_items() {
    let delays = [3, 0, 2, 0, 1, 0, 0, 5, 0, 0];
    let results = RefCell::new(Vec::new());
    let work = async |(id, yields): (usize, usize)| {
        for _ in 0..yields {
            yield_now().await;
        }
        id
    };
    let log = |id| {
        results.borrow_mut().push(id);
        ready(())
    };
    run(delays.into_iter().enumerate().pool_map_inline(Slots::<3>, work).for_each(log));
    assert_eq!(results.take(), (0..10).collect::<Vec<_>>());
    run(delays.into_iter().enumerate().pool_map_inline(Slots::<3>, work).unordered().for_each(log));
    let mut unordered = results.take();
    assert_eq!(unordered.len(), 10);
    assert_ne!(unordered, (0..10).collect::<Vec<_>>());
    unordered.sort_unstable();
    assert_eq!(unordered, (0..10).collect::<Vec<_>>());
}

#[test]
fn behind_a_slow_head_as_many_results_are_held_as_the_max_finished_says() {
    let lab = Lab::default();
    let mut stream = pin!((0..100).pool_map_inline(Slots::<3>, |id| lab.job(id)));
    assert!(poll_next(stream.as_mut()).is_pending());
    for id in 1..100 {
        if id < lab.done.borrow().len() {
            lab.finish([id]);
            assert!(poll_next(stream.as_mut()).is_pending());
        }
    }
    // Three were held when the last ones were started, so five are held now, and the head is alone.
    assert_eq!((stream.active(), stream.finished()), (1, 5));
    lab.finish([0]);
    for id in 0..6 {
        assert_eq!(poll_next(stream.as_mut()), Poll::Ready(Some(id)));
    }
    assert!(poll_next(stream.as_mut()).is_pending());
    assert_eq!(stream.active(), 3);
}

#[test]
fn max_finished_and_size_are_at_most_the_slots() {
    let mut stream = (0..100).pool_map_inline(Slots::<2>, ready).max_finished(usize::MAX);
    stream.set_size(50);
    assert_eq!(stream.size(), 2);
    let mut stream = pin!(stream);
    assert_eq!(poll_progress(stream.as_mut()), Poll::Ready(()));
    assert_eq!(stream.finished(), 3);

    let parse = |text: &str| ready(text.parse::<u8>());
    let mut stream = pin!(["1"; 9].into_iter().pool_map_inline(Slots::<2>, parse).fail_fast().max_finished(usize::MAX));
    assert_eq!(poll_progress(stream.as_mut()), Poll::Ready(()));
    assert_eq!(stream.finished(), 3);

    let mut pool = InlinePool::<std::future::Ready<()>, 4, 1>::new();
    pool.set_size(0);
    pool.set_max_finished(9);
    assert_eq!((pool.size(), pool.max_finished()), (1, 4));
}

#[cfg(feature = "alloc")]
#[test]
fn a_larger_set_does_not_outgrow_the_room_for_results() {
    let lab = Lab::default();
    // The results stay in their ring of four.
    let mut stream = (0..100).pool_map_inline(Slots::<2>, |id| lab.job(id)).with_set(InlineSet::<32>);
    stream.set_size(50);
    let mut stream = pin!(stream.unordered());
    assert!(poll_next(stream.as_mut()).is_pending());
    assert_eq!((stream.active(), stream.size()), (2, 2));
}

/// Waits for ever if `id` is 0. Can be moved between two polls.
fn all_but_the_first(id: u32) -> impl Future<Output = u32> + Unpin {
    poll_fn(move |_| if id == 0 { Poll::Pending } else { Poll::Ready(id) })
}

#[test]
fn in_order_every_result_counts_at_any_size() {
    let mut stream = pin!((0..100).pool_map_inline(Slots::<8>, all_but_the_first));
    stream.set_size(2);
    assert!(poll_next(stream.as_mut()).is_pending());
    // With two held one more is started.
    assert_eq!((stream.active(), stream.finished()), (1, 3));
}

#[test]
fn the_order_can_be_given_up_while_results_are_held() {
    let mut ordered = (0..3).pool_map_inline(Slots::<2>, all_but_the_first);
    assert!(poll_next(Pin::new(&mut ordered)).is_pending());
    assert_eq!((ordered.active(), ordered.finished()), (1, 2));
    let mut stream = ordered.unordered();
    assert_eq!(poll_next(Pin::new(&mut stream)), Poll::Ready(Some(1)));
    assert_eq!(poll_next(Pin::new(&mut stream)), Poll::Ready(Some(2)));
    assert!(poll_next(Pin::new(&mut stream)).is_pending());
    assert_eq!((stream.active(), stream.finished()), (1, 0));
}

#[cfg(feature = "std")]
#[test]
fn panics_are_caught_in_a_chain_in_place() {
    let job = async |id: u32| {
        assert_ne!(id, 1, "a test of panics");
        id
    };
    let mut stream = pin!((0..3).pool_map_inline(Slots::<2>, job).unordered().catch_unwind());
    let results: Vec<_> = run(stream.by_ref().collect());
    assert_eq!(results.into_iter().map(Result::ok).collect::<Vec<_>>(), [Some(0), None, Some(2)]);
}

#[cfg(feature = "alloc")]
#[test]
fn failing_fast_drops_what_is_active_in_a_set_on_the_heap() {
    let live = Rc::new(());
    let jobs = (0..2).map(|id| {
        let live = Rc::clone(&live);
        async move {
            if id == 0 {
                pending::<()>().await;
            }
            drop(live);
            Err::<(), _>(id)
        }
    });
    let mut stream = pin!(jobs.pool_map(2, |job| job).with_set(InlineSet::<2>).fail_fast());
    assert_eq!(poll_next(stream.as_mut()), Poll::Ready(Some(Err(1))));
    assert_eq!(Rc::strong_count(&live), 1);
}

#[test]
fn each_call_polls_every_active_future_once() {
    let lab = Lab::default();
    let mut stream = pin!((0..100).pool_map_inline(Slots::<4>, |id| lab.job(id)).unordered());
    for _ in 0..3 {
        assert!(poll_next(stream.as_mut()).is_pending());
        let mut polled = lab.take_polled();
        polled.sort_unstable();
        assert_eq!(polled, [0, 1, 2, 3]);
    }
    lab.finish([2]);
    assert_eq!(poll_next(stream.as_mut()), Poll::Ready(Some(2)));
    assert_eq!(stream.active(), 4);
}

#[test]
fn all_have_their_turn_though_one_slot_is_always_ready() {
    // Those that are started after the first four finish at their second poll, the first ones at their tenth.
    let polls = RefCell::new([0; 1000]);
    let polls = &polls;
    let mut stream = pin!(
        (0..1000)
            .pool_map_inline(Slots::<4>, |id: usize| {
                poll_fn(move |cx| {
                    polls.borrow_mut()[id] += 1;
                    cx.waker().wake_by_ref();
                    let enough = if id < 4 { 10 } else { 2 };
                    if polls.borrow()[id] >= enough { Poll::Ready(id) } else { Poll::Pending }
                })
            })
            .unordered()
    );
    let mut first = Vec::new();
    for _ in 0..200 {
        if let Poll::Ready(Some(id)) = poll_next(stream.as_mut()) {
            if id < 4 {
                first.push(id);
            }
        }
    }
    assert_eq!(first.len(), 4);
}

#[test]
fn a_set_that_wakes_itself_for_ever_lets_the_task_go_and_one_at_rest_does_not_wake_it() {
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let mut stream = pin!((0..1000).pool_map_inline(Slots::<32>, |_| pending::<()>()));
    assert!(stream.as_mut().poll_next(cx).is_pending());
    assert!(stream.as_mut().poll_next(cx).is_pending());
    assert_eq!(wakes.count(), 0);

    let mut busy = pin!((0..1000).pool_map_inline(Slots::<32>, |_| poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })));
    assert!(busy.as_mut().poll_next(cx).is_pending());
    assert_eq!(wakes.count(), 32);
}

#[test]
fn ready_futures_without_end_let_the_task_go() {
    let (wakes, waker) = Wakes::new();
    let count = Cell::new(0);
    let mut each = pin!(stream::repeat(()).pool_map_inline(Slots::<4>, ready).for_each(|()| {
        count.set(count.get() + 1);
        ready(())
    }));
    assert!(each.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.count(), 1);
    assert!((1..=64).contains(&count.get()));
}

#[test]
fn the_waker_is_that_of_the_last_poll() {
    let waker = RefCell::new(None);
    let future = poll_fn(|cx| {
        *waker.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    });
    let mut stream = pin!(stream::iter([future]).pool_map_inline(Slots::<2>, |future| future));
    let [(first, first_waker), (second, second_waker)] = [Wakes::new(), Wakes::new()];
    for one in [first_waker, second_waker] {
        assert!(stream.as_mut().poll_next(&mut Context::from_waker(&one)).is_pending());
    }
    waker.take().unwrap().wake();
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn pushing_and_cancelling_wake_the_task_that_waits() {
    let (wakes, waker) = Wakes::new();
    let mut pool = pin!(InlinePool::<Pin<Box<dyn Future<Output = u8>>>, 1, 2>::new());
    let mut cx = Context::from_waker(&waker);
    let first = pool.as_mut().try_spawn(Box::pin(pending())).ok().unwrap();
    assert!(pool.as_mut().poll_next(&mut cx).is_pending());
    assert!(pool.as_mut().try_spawn(Box::pin(ready(2))).is_ok());
    assert_eq!(wakes.count(), 1);
    assert!(pool.as_mut().poll_next(&mut cx).is_pending());
    assert!(pool.as_mut().cancel(first));
    assert_eq!(wakes.count(), 2);
    assert!(matches!(pool.as_mut().poll_next(&mut cx), Poll::Ready(Some((_, 2)))));
    assert!(pool.is_terminated());
}

#[test]
fn it_is_the_last_task_that_is_woken() {
    let [(first, first_waker), (second, second_waker)] = [Wakes::new(), Wakes::new()];
    let mut pool = pin!(InlinePool::<_, 1, 2>::new());
    assert!(pool.as_mut().try_spawn(pending::<()>()).is_ok());
    for waker in [first_waker, second_waker] {
        assert!(pool.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(pool.as_mut().try_spawn(pending()).is_ok());
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn taking_a_result_makes_room_for_another() {
    let mut pool = InlinePool::<_, 1, 2>::new();
    pool.set_max_finished(0);
    let mut pool = pin!(pool);
    let [first, second] = [1, 2].map(|value| pool.as_mut().try_spawn(ready(value)).unwrap());
    assert_eq!(poll_progress(pool.as_mut()), Poll::Ready(()));
    assert_eq!((pool.waiting(), pool.finished()), (1, 1));
    assert_eq!(pool.as_mut().take_result(second), None);
    assert_eq!(pool.as_mut().take_result(first), Some(1));
    assert_eq!(poll_progress(pool.as_mut()), Poll::Ready(()));
    assert_eq!(pool.as_mut().take_result(second), Some(2));
}

#[test]
fn a_full_queue_gives_the_future_back_and_loses_nothing() {
    let mut pool = pin!(InlinePool::<_, 2, 3>::new());
    let mut keys = Vec::new();
    let mut refused = 0;
    let mut results = Vec::new();
    for value in 0..100 {
        let mut future = ready(value);
        loop {
            match pool.as_mut().try_spawn(future) {
                Ok(key) => break keys.push(key),
                Err(back) => {
                    assert!(pool.is_full());
                    refused += 1;
                    future = back;
                    results.push(run(pool.next()).unwrap());
                }
            }
        }
    }
    results.extend(run(pool.collect::<Vec<_>>()));
    assert!(refused > 50);
    assert_eq!(results, keys.into_iter().zip(0..100).collect::<Vec<(Key, i32)>>());
}

#[test]
fn keys_rise_and_stale_ones_find_nothing() {
    let mut pool = pin!(InlinePool::<_, 2, 4>::new());
    let [a, b, c] = [1, 2, 3].map(|value| pool.as_mut().try_spawn(ready(value)).unwrap());
    assert!(a < b && b < c);
    assert!(pool.as_mut().cancel(b));
    assert!(!pool.as_mut().cancel(b));
    assert_eq!((pool.len(), pool.waiting(), pool.active()), (2, 2, 0));
    assert_eq!(run(pool.next()), Some((a, 1)));
    assert_eq!(pool.as_mut().take_result(a), None);
    assert!(!pool.as_mut().cancel(c), "finished");
    assert_eq!(pool.as_mut().take_result(c), Some(3));
    assert_eq!(run(pool.next()), None);
}

#[test]
fn cancelling_drops_waiting_and_active_futures_and_keeps_results() {
    let lab = Lab::default();
    let mut pool = pin!(InlinePool::<_, 2, 4>::new());
    let keys = [0, 1, 2, 3].map(|id| pool.as_mut().try_spawn(lab.job(id)).ok().unwrap());
    assert!(poll_next(pool.as_mut()).is_pending());
    lab.finish([0]);
    assert!(poll_progress(pool.as_mut()).is_pending());
    assert_eq!((pool.active(), pool.waiting(), pool.finished()), (2, 1, 1));
    assert!(pool.as_mut().cancel(keys[1]));
    assert_eq!(lab.alive.get(), 2);
    assert_eq!(pool.as_mut().cancel_all(), 2);
    assert_eq!((lab.alive.get(), pool.finished()), (0, 1));
    assert_eq!(run(pool.next()), Some((keys[0], 0)));
    assert_eq!(run(pool.next()), None);
}

#[test]
fn a_panic_frees_the_slot_at_the_first_poll_and_later() {
    for yields in [0, 1] {
        let mut stream = pin!((0..10).pool_map_inline(Slots::<2>, |id| async move {
            for _ in 0..yields {
                yield_now().await;
            }
            if id % 3 == 0 {
                resume_unwind(Box::new(id));
            }
            id
        }));
        let (mut results, mut panics) = (Vec::new(), Vec::new());
        loop {
            match catch_unwind(AssertUnwindSafe(|| poll_next(stream.as_mut()))) {
                Ok(Poll::Ready(None)) => break,
                Ok(Poll::Ready(Some(id))) => results.push(id),
                Ok(Poll::Pending) => {}
                Err(payload) => panics.push(*payload.downcast::<i32>().unwrap()),
            }
            assert!(stream.active() <= 2);
        }
        assert_eq!((results, panics), (vec![1, 2, 4, 5, 7, 8], vec![0, 3, 6, 9]));
    }
}

#[test]
fn closures_that_panic_leave_no_gap_in_the_order() {
    let mut stream = pin!((0..100).pool_map_inline(Slots::<2>, |id| {
        if id % 2 == 1 {
            resume_unwind(Box::new(id));
        }
        ready(id)
    }));
    let mut results = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| poll_next(stream.as_mut()))) {
            Ok(Poll::Ready(None)) => break,
            Ok(Poll::Ready(Some(id))) => results.push(id),
            Ok(Poll::Pending) => panic!("pending over nothing"),
            Err(_) => {}
        }
    }
    assert_eq!(results, (0..100).step_by(2).collect::<Vec<_>>());
}

/// Counts how many were dropped; the one at this place panics.
struct Bomb<'a>(&'a Cell<usize>, usize);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        if self.0.get() == self.1 {
            resume_unwind(Box::new("planned"));
        }
    }
}

#[test]
fn a_destructor_that_panics_saves_no_other_future() {
    let dropped = Cell::new(0);
    let mut pool = pin!(InlinePool::<_, 4, 4>::new());
    for _ in 0..4 {
        let bomb = Bomb(&dropped, 1);
        let added = pool.as_mut().try_spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        });
        assert!(added.is_ok());
    }
    assert!(poll_next(pool.as_mut()).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| pool.as_mut().cancel_all())).is_err());
    assert_eq!(dropped.get(), 4);
    assert_eq!(pool.len(), 0);
    assert!(pool.as_mut().poll_next(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn dropping_drops_the_futures() {
    let lab = Lab::default();
    {
        let mut stream = pin!((0..100).pool_map_inline(Slots::<8>, |id| lab.job(id)));
        assert!(poll_next(stream.as_mut()).is_pending());
        assert_eq!(lab.alive.get(), 8);
    }
    assert_eq!(lab.alive.get(), 0);
}

#[test]
fn the_options_of_the_chain() {
    let parse = async |text: &str| text.parse::<u8>();
    let mut results =
        pin!(["1", "2", "x", "4"].into_iter().pool_map_inline(Slots::<1>, parse).max_finished(0).fail_fast());
    assert_eq!(run(results.next()), Some(Ok(1)));
    assert_eq!(run(results.next()), Some(Ok(2)));
    assert!(matches!(run(results.next()), Some(Err(_))));
    assert_eq!(run(results.next()), None);

    let mut pairs = pin!(["a", "b"].into_iter().pool_map_inline(Slots::<2>, ready).unordered().indexed());
    assert_eq!(run(pairs.next()), Some((0, "a")));
    assert_eq!(pairs.size_hint(), (1, Some(1)));
    assert_eq!(run(pairs.next()), Some((1, "b")));
    assert!(run(pairs.next()).is_none() && pairs.is_terminated());

    let results = (0..10).pool_map_inline(Slots::<2>, ready).pool_map_inline(Slots::<3>, async |x| x * 2);
    assert_eq!(run(results.collect::<Vec<_>>()), (0..10).map(|x| x * 2).collect::<Vec<_>>());

    let late = (0..10).pool_map_inline(Slots::<2>, ready).filter(|x| ready(x % 2 == 0)).driven();
    assert_eq!(run(late.pool_map_inline(Slots::<2>, ready).collect::<Vec<_>>()), [0, 2, 4, 6, 8]);
}

#[test]
fn stages_of_many_slots_come_to_rest() {
    // Each call polls all futures of both; that does not use up its polls, or it would wake itself for ever.
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let lab = Lab::default();
    let upstream = (0..1000).pool_map_inline(Slots::<32>, async |id| {
        if id >= 32 {
            pending::<()>().await;
        }
        id
    });
    let mut stream = pin!(upstream.pool_map_inline(Slots::<32>, |id| lab.job(id)));
    for _ in 0..8 {
        assert!(stream.as_mut().poll_next(cx).is_pending());
    }
    assert_eq!(stream.active(), 32);
    let before = wakes.count();
    for _ in 0..4 {
        assert!(stream.as_mut().poll_next(cx).is_pending());
    }
    assert_eq!(wakes.count(), before);
}

#[test]
fn the_pool_makes_progress_while_its_consumer_is_busy() {
    let lab = Lab::default();
    let mut stream = pin!((0..4).pool_map_inline(Slots::<2>, |id| lab.job(id)));
    assert!(poll_next(stream.as_mut()).is_pending());
    lab.finish([0, 1]);
    let mut polls = 0;
    run(stream.drive(poll_fn(|cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
    })));
    assert_eq!((stream.active(), stream.finished()), (2, 2));
}

#[test]
fn it_is_send_if_its_parts_are_and_says_its_counts() {
    fn is_send(_: &impl Send) {}
    let stream = (0..4).pool_map_inline(Slots::<2>, ready);
    let pool = InlinePool::<std::future::Ready<()>, 2, 1>::default();
    is_send(&stream);
    is_send(&pool);
    assert_eq!(format!("{stream:?}"), "PoolMap { size: 2, active: 0, finished: 0, .. }");
    assert_eq!(format!("{pool:?}"), "InlinePool { size: 2, waiting: 0, active: 0, finished: 0, .. }");
}

#[test]
fn nothing_is_allocated_for_futures_or_results() {
    // All of it is in the value: two futures, four results, and what tells them apart.
    let stream = (0..4).pool_map_inline(Slots::<2>, |_| ready([0_u8; 1000]));
    let size = size_of_val(&stream);
    assert!((6000..6600).contains(&size), "{size}");
}

#[test]
fn what_fails_fast_keeps_the_order_until_then() {
    let work = async |(id, yields): (usize, usize)| {
        for _ in 0..yields {
            yield_now().await;
        }
        if id < 5 { Ok(id) } else { Err(id) }
    };
    let results = RefCell::new(Vec::new());
    let chain = [3, 0, 1, 2, 0, 9].into_iter().enumerate().pool_map_inline(Slots::<3>, work).fail_fast();
    run(chain.for_each(|result| {
        results.borrow_mut().push(result);
        ready(())
    }));
    assert_eq!(results.take(), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4), Err(5)]);
}

#[test]
fn a_consumer_of_many_items_polls_what_is_stuck_only_so_often() {
    let polls = Cell::new(0);
    let polls = &polls;
    let all_but_one_stuck = |id| {
        poll_fn(move |_| {
            polls.set(polls.get() + 1);
            if id < 31 { Poll::Pending } else { Poll::Ready(id) }
        })
    };
    let mut each = pin!((0..1000).pool_map_inline(Slots::<32>, all_but_one_stuck).unordered().for_each(|_| ready(())));
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..3 {
        polls.set(0);
        assert!(each.as_mut().poll(cx).is_pending());
        assert!(polls.get() <= 64 + 8 * 32, "{}", polls.get());
    }
}

#[test]
fn cancelling_all_drops_them_where_they_are() {
    let dropped = Cell::new(0);
    let mut pool = pin!(InlinePool::<_, 2, 4>::new());
    let job = |bomb| async move {
        let _bomb = bomb;
        pending::<()>().await;
    };
    for _ in 0..2 {
        assert!(pool.as_mut().try_spawn(job(Bomb(&dropped, 3))).is_ok());
    }
    assert!(poll_next(pool.as_mut()).is_pending());
    for _ in 0..4 {
        assert!(pool.as_mut().try_spawn(job(Bomb(&dropped, 3))).is_ok());
    }
    // Two are active, four wait; the first of those panics.
    assert!(catch_unwind(AssertUnwindSafe(|| pool.as_mut().cancel_all())).is_err());
    assert_eq!((dropped.get(), pool.len()), (6, 0));
}
