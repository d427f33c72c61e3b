//! Turns: woken futures and waiting ones take turns, of 16 polls each, so that neither keep the others out; and what is due
//! is handed over before more is polled than it takes to fill the slots.

mod common;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use futures::future::FutureExt;
use futures::stream::Stream;
use futures_pool::inline::Slots;
use futures_pool::{ActiveSet, Pool, local_scope, prelude::*};

use common::{poll, poll_next, run, yield_now};

/// Is woken all the time, and counts how often it is polled.
async fn restless(polls: impl Deref<Target = Cell<usize>>) {
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}

on_both_sets! {
    waiting_futures_and_a_woken_one_take_turns,
    none_is_left_out_of_those_that_are_always_woken,
}

fn waiting_futures_and_a_woken_one_take_turns<S: ActiveSet>(set: impl FnOnce() -> S) {
    let polls = Rc::new(Cell::new(0));
    let mut pool = Pool::with_set(100, set());
    pool.spawn_n(restless(Rc::clone(&polls)).boxed_local());
    pool.map_n(0..1000, |_| async {}.boxed_local());
    // Turns of 16 that are started, and of 16 polls of the one that is woken.
    assert!(poll(&mut pin!(pool.join())).is_pending());
    let (woken, started) = (polls.get(), pool.executed());
    assert!(woken >= 16 && started >= 16 && woken + started <= 64, "{woken} polls, {started} started");
}

fn none_is_left_out_of_those_that_are_always_woken<S: ActiveSet>(set: impl Fn() -> S) {
    // Also if there are as many as are polled in a turn, or in a call.
    for len in 1..=70 {
        let polls: Vec<Rc<Cell<usize>>> = (0..len).map(|_| Rc::default()).collect();
        let mut pool = Pool::with_set(100, set());
        pool.map_n(&polls, |polls| restless(Rc::clone(polls)).boxed_local());
        for _ in 0..40 {
            assert!(poll(&mut pin!(pool.join())).is_pending());
        }
        // On average it is 64 * 40 / len.
        let least = polls.iter().map(|polls| polls.get()).min().unwrap();
        assert!(least >= 64 * 40 / len / 2, "{least} polls of one of {len}");
    }
}

/// Checks that of a chain whose first item is ready immediately, and whose second one is woken all the time, the latter is
/// polled but once before the first is handed over.
#[track_caller]
fn hands_over_first(polls: &Cell<usize>, stream: impl Stream<Item = usize>) {
    let mut stream = pin!(stream);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(polls.take(), 1);
}

#[test]
fn what_is_due_is_handed_over_before_others_make_progress() {
    let polls = Cell::new(0);
    let job = async |n| match n {
        0 => 0,
        1 => {
            restless(&polls).await;
            1
        }
        _ => pending().await,
    };
    // More than a turn of futures can be started.
    hands_over_first(&polls, (0..99).pool_map(32, job));
    hands_over_first(&polls, (0..99).pool_map(32, job).unordered());
    hands_over_first(&polls, (0..99).pool_map_inline(Slots::<32>, job));
    hands_over_first(&polls, (0..99).pool_map_inline(Slots::<32>, job).unordered());
}

#[test]
fn what_has_come_to_be_due_is_handed_over_before_others_make_progress() {
    // The first ends at its second poll. Then there are free slots for ready ones, more than a turn of them.
    let (polls, first_polls) = (Cell::new(0), Cell::new(0));
    let job = async |n| match n {
        0 => {
            poll_fn(|_| {
                first_polls.set(first_polls.get() + 1);
                if first_polls.get() == 1 { Poll::Pending } else { Poll::Ready(0) }
            })
            .await
        }
        1..32 => {
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                Poll::Pending
            })
            .await
        }
        _ => n,
    };
    let mut stream = pin!((0..99).pool_map_inline(Slots::<32>, job));
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((stream.active(), polls.take()), (32, 31));
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!((stream.finished(), polls.take()), (32, 0));
}

#[test]
fn tasks_that_lend_and_are_woken_all_the_time_do_not_keep_out_those_that_wait() {
    let scope = local_scope(200, async |pool| {
        let never = pool.spawn_n(pending::<()>());
        for _ in 0..100 {
            let own = pool.clone();
            pool.spawn_n(async move {
                // As long as it is pending, the task waits for its own scope, and so lends its slot.
                let mut other = own.spawn_n(pending::<()>());
                loop {
                    poll_fn(|cx| {
                        assert!(Pin::new(&mut other).poll(cx).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                    yield_now().await;
                }
            });
        }
        for _ in 0..100 {
            yield_now().await;
        }
        pool.set_size(400);
        pool.exec(async {}).await.unwrap();
        assert!(never.cancel());
        pool.cancel_all();
    });
    let mut scope = pin!(scope);
    assert!((0..2000).any(|_| poll(&mut scope).is_ready()), "the task was not started");
}

#[test]
fn a_task_that_was_cancelled_while_it_was_woken_does_not_take_another_along() {
    run(local_scope(2, async |pool| {
        // From here on, the scope knows the slots of its tasks.
        let first = pool.spawn(pending::<()>()).await;
        assert!(first.cancel());
        yield_now().await;

        // One is cancelled by the other while both are woken, so it is polled, and gone, before the scope can drop it.
        let victim = pool.spawn(async { while !yield_now().map(|()| false).await {} }).await;
        let key = victim.key();
        let next = Cell::new(None);
        let own = pool.clone();
        let cancels = pool.spawn_n(async move {
            next.set(Some(own.spawn_n(async {
                for _ in 0..10 {
                    yield_now().await;
                }
                7
            })));
            yield_now().await;
            yield_now().await;
            assert!(victim.cancel());
            next.take()
        });
        let next = cancels.await.unwrap().unwrap();
        assert!(next.key() > key);
        assert_eq!(next.await.unwrap(), 7);
    }));
}
