//! More slots than one summary of the ready bits has blocks for, which is 65,536: woken ones are found at either end, and
//! no other is polled.

mod common;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_pool::Pool;

use common::Wakes;

const SLOTS: usize = 140_000;

#[test]
fn woken_futures_are_found_among_more_than_a_summary_has_room_for() {
    let wakers = RefCell::new(vec![None::<Waker>; SLOTS]);
    let polled = RefCell::new(Vec::new());
    let mut pool = Pool::new(usize::MAX);
    pool.map_n(0..SLOTS, |n| {
        let (wakers, polled) = (&wakers, &polled);
        poll_fn(move |cx| {
            wakers.borrow_mut()[n] = Some(cx.waker().clone());
            polled.borrow_mut().push(n);
            Poll::<()>::Pending
        })
    });
    let (wakes, waker) = Wakes::new();
    let cx = &mut Context::from_waker(&waker);
    let mut poll_while_woken = || {
        let mut before = usize::MAX;
        while wakes.count() != before {
            before = wakes.count();
            assert!(pin!(pool.join()).poll(cx).is_pending());
        }
        polled.take()
    };
    assert_eq!(poll_while_woken().len(), SLOTS);

    // The first word, the first block, both sides of the end of each summary, and the last slot.
    let some = [0, 63, 64, 1023, 1024, 65_535, 65_536, 66_000, 131_071, 131_072, SLOTS - 1];
    for woken in [&some[..], &some[..1], &some[6..], &some[9..10], &some[4..6]] {
        for &n in woken {
            wakers.borrow()[n].as_ref().unwrap().wake_by_ref();
        }
        let mut polled = poll_while_woken();
        polled.sort_unstable();
        assert_eq!(polled, woken);
    }
    for &n in &some {
        wakers.borrow()[n].as_ref().unwrap().wake_by_ref();
        assert_eq!(poll_while_woken(), [n]);
    }
}
