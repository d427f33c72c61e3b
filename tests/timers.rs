//! A timer of batches that panics is dropped there and then, and another one takes its place.

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;

use futures_pool::prelude::*;

use common::poll_next;

#[test]
fn a_timer_that_panics_is_dropped() {
    let timers = Cell::new(0);
    let alive = Rc::new(());
    let new_timer = || {
        timers.set(timers.get() + 1);
        let (first, alive) = (timers.get() == 1, Rc::clone(&alive));
        poll_fn(move |_| {
            assert!(!first, "out of time");
            assert_eq!(Rc::strong_count(&alive), 2, "there is another timer");
            Poll::<()>::Pending
        })
    };
    let mut batches =
        Box::pin([()].into_iter().pool_map(1, |()| pending::<()>()).batches(|()| true).timeout(new_timer));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_next(&mut batches))).is_err());
    assert_eq!((timers.get(), Rc::strong_count(&alive)), (1, 1));
    assert!(poll_next(&mut batches).is_pending());
    assert_eq!((timers.get(), Rc::strong_count(&alive)), (2, 2));
}
