//! How often a pool polls its upstream stage: in every call, for as long as anything is woken there, and no more often
//! than that, since the stage may have much to do each time.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures::stream::{Stream, StreamExt};
use futures_pool::inline::Slots;
use futures_pool::{Progress, prelude::*};

use common::{Wakes, poll_next};

/// A stage that counts how often it is polled, and how often it is asked to make progress.
#[derive(Default)]
struct Upstream {
    items: Cell<usize>,
    polls: Cell<usize>,
    progress: Cell<usize>,
}

impl Stream for &Upstream {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        self.polls.set(self.polls.get() + 1);
        if self.items.get() == 0 {
            return Poll::Pending;
        }
        self.items.set(self.items.get() - 1);
        Poll::Ready(Some(()))
    }
}

impl Progress for &Upstream {
    fn poll_progress(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.progress.set(self.progress.get() + 1);
        Poll::Pending
    }
}

impl Upstream {
    fn with(items: usize) -> Self {
        Self { items: Cell::new(items), ..Self::default() }
    }

    /// How often it was polled and asked to make progress since this was last called.
    fn take(&self) -> (usize, usize) {
        (self.polls.take(), self.progress.take())
    }
}

/// Never finishes, and is woken all the time.
async fn restless() {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}

#[test]
fn a_stage_that_is_not_asked_for_an_item_is_attended_once_in_a_call() {
    let upstream = Upstream::with(2);
    // The item that `driven` holds ahead is the last that it takes.
    let mut stream = pin!((&upstream).driven().pool_map(1, |()| restless()));
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((upstream.items.get(), stream.active()), (0, 1));
    upstream.take();
    for _ in 0..4 {
        // 64 polls, so several turns of those above.
        assert!(poll_next(&mut stream).is_pending());
        assert_eq!(upstream.take(), (0, 1));
    }
}

#[test]
fn a_stage_that_has_no_item_is_asked_once_in_a_call() {
    let upstream = Upstream::with(1);
    let mut stream = pin!((&upstream).driven().pool_map(2, |()| restless()));
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(stream.active(), 1);
    upstream.take();
    for _ in 0..4 {
        assert!(poll_next(&mut stream).is_pending());
        // `driven` polls what is upstream whenever it has no item.
        assert_eq!(upstream.take(), (1, 1));
    }
}

/// Futures that wait, and count how often they are polled.
#[derive(Default)]
struct Idle {
    polls: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
}

impl Idle {
    fn job(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
    }

    fn wake_all(&self) {
        self.polls.set(0);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

/// Polls a full stage above one that has 40 woken futures, and counts those that are polled in one call.
#[track_caller]
fn all_are_polled_in_one_call<St: Stream>(idle: &Idle, stream: St) {
    let mut stream = pin!(stream);
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let mut before = usize::MAX;
    while wakes.count() != before {
        before = wakes.count();
        assert!(stream.as_mut().poll_next(cx).is_pending());
    }
    assert_eq!(idle.wakers.borrow().len(), 40);
    idle.wake_all();
    assert!(stream.as_mut().poll_next(cx).is_pending());
    assert_eq!(idle.polls.get(), 40);
}

#[test]
fn all_that_is_woken_upstream_of_a_full_stage_makes_progress_in_one_call() {
    let idle = Idle::default();
    let first_is_ready = async |n: usize| if n == 0 { ready(()).await } else { idle.job().await };
    all_are_polled_in_one_call(&idle, (0..41).pool_map(40, first_is_ready).pool_map(1, |()| pending::<()>()));
    let idle = Idle::default();
    let first_is_ready = async |n: usize| if n == 0 { ready(()).await } else { idle.job().await };
    let upstream = (0..41).pool_map(40, first_is_ready).map(|()| ()).driven();
    all_are_polled_in_one_call(&idle, upstream.pool_map(1, |()| pending::<()>()));
}

#[test]
fn all_that_is_woken_upstream_and_downstream_makes_progress_in_one_call() {
    let (idle, above) = (Idle::default(), Idle::default());
    let first_are_ready = async |n: usize| if n < 10 { ready(()).await } else { idle.job().await };
    let mut stream = pin!((0..50).pool_map(40, first_are_ready).pool_map_inline(Slots::<10>, |()| above.job()));
    while idle.wakers.borrow().len() < 40 || above.wakers.borrow().len() < 10 {
        assert!(poll_next(&mut stream).is_pending());
    }
    assert_eq!(stream.active(), 10);
    above.wake_all();
    idle.wake_all();
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((idle.polls.get(), above.polls.get()), (40, 10));
}
