//! A future that is woken on the thread that polls its pool, and on another one, both at once: neither wake-up may undo the
//! other. The other thread is waited for, so each of these always happens in the same order.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use futures::stream::Stream;
use futures_pool::{ActiveSet, Pool, prelude::*};

use common::{poll_next, run};

/// Wakes here, and elsewhere.
fn wake_twice(waker: &Waker) {
    let other = waker.clone();
    waker.wake_by_ref();
    thread::spawn(move || other.wake()).join().unwrap();
}

type Job = Pin<Box<dyn Future<Output = usize>>>;

on_both_sets! { a_future_that_is_woken_twice_while_it_is_polled_is_polled_again }

fn a_future_that_is_woken_twice_while_it_is_polled_is_polled_again<S: ActiveSet>(set: impl Fn() -> S) {
    // In the first word, in the first block, and in the second.
    for before in [0, 1, 63, 64, 100, 2000] {
        let mut pool: Pool<Job, S> = Pool::with_set(usize::MAX, set());
        for _ in 0..before {
            pool.spawn_n(Box::pin(std::future::pending()));
        }
        let mut polls = 0;
        let key = pool.spawn_n(Box::pin(poll_fn(move |cx| {
            polls += 1;
            if polls == 4 {
                return Poll::Ready(polls);
            }
            wake_twice(cx.waker());
            Poll::Pending
        })));
        assert_eq!(run(pool.wait(key)), Some(4));
    }
}

#[test]
fn a_future_that_is_woken_twice_on_the_way_to_sleep_is_polled_again() {
    /// Has one item; and when it is asked for another, wakes whoever is there.
    struct Wakes<'a> {
        started: bool,
        waker: &'a RefCell<Option<Waker>>,
    }

    impl Stream for Wakes<'_> {
        type Item = ();

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
            if !self.started {
                self.started = true;
                return Poll::Ready(Some(()));
            }
            if let Some(waker) = self.waker.take() {
                wake_twice(&waker);
            }
            Poll::Pending
        }
    }

    let (waker, polls) = (RefCell::new(None), Cell::new(0));
    let job = |()| {
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            if polls.get() == 1 {
                *waker.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(7)
        })
    };
    let mut stream = Wakes { started: false, waker: &waker }.pool_map(2, job);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(7)));
}
