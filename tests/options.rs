//! The options of a chain: when they may be given, and that a later one leaves alone what an earlier one has set.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::pin;
use std::task::Poll;

use futures::stream::StreamExt;
use futures_pool::inline::{InlineSet, Slots};
use futures_pool::{SlotSet, prelude::*};

use common::{poll_next, run};

/// How many futures a chain starts of 40 items and size 2 with these options, if the first is stuck and all others are
/// ready.
macro_rules! started {
    ($($option:tt)*) => {{
        let count = Cell::new(0);
        let make = async |n| {
            count.set(count.get() + 1);
            if n == 0 { pending().await } else { Ok::<usize, ()>(n) }
        };
        assert!(poll_next(&mut pin!((0..40).pool_map(2, make) $($option)*)).is_pending());
        count.get()
    }};
}

#[test]
fn a_max_finished_is_kept_by_the_options_after_it() {
    // By default: the first, and 16 results for each slot that wait for it, and one more.
    assert_eq!(started!(), 34);
    // Where every result counts: the first, and the 5 that fill a bound on results of 4 to beyond its brim.
    assert_eq!(started!(.max_finished(4)), 6);
    assert_eq!(started!(.max_finished(4).fail_fast()), 6);
    assert_eq!(started!(.max_finished(4).with_set(SlotSet)), 6);
    assert_eq!(started!(.max_finished(4).with_set(InlineSet::<8>)), 6);
    assert_eq!(started!(.fail_fast().max_finished(4)), 6);
    #[cfg(feature = "std")]
    assert_eq!(started!(.max_finished(4).catch_unwind()), 6);
    #[cfg(feature = "std")]
    assert_eq!(started!(.catch_unwind().max_finished(4)), 6);
}

#[test]
fn the_max_finished_that_nobody_has_set_goes_with_the_size() {
    let count = Cell::new(0);
    let make = |n: usize| {
        count.set(count.get() + 1);
        ready(n)
    };
    let mut stream = (0..40).pool_map(8, make).unordered();
    assert!(poll_next(&mut stream).is_ready());
    assert_eq!((stream.finished(), count.get()), (8, 9));
    drop(stream);
    count.set(0);
    let mut stream = pin!((0..40).pool_map(8, make).unordered().with_set(InlineSet::<2>));
    assert!(poll_next(&mut stream).is_ready());
    assert_eq!((stream.finished(), count.get()), (2, 3));
}

#[test]
fn a_size_is_no_more_than_the_set_has_room_for() {
    let mut stream = pin!((0..9).pool_map(4, |_| pending::<()>()).with_set(InlineSet::<2>));
    assert_eq!(stream.size(), 2);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((stream.size(), stream.active()), (2, 2));

    let stream = (0..9).pool_map(4, |_| pending::<()>()).with_set(InlineSet::<8>);
    assert_eq!(stream.size(), 4);
}

#[test]
#[should_panic(expected = "`with_set` has to be called before the stream is polled")]
fn a_set_cannot_be_exchanged_after_the_first_poll() {
    let mut stream = (0..9).pool_map(2, ready);
    assert!(poll_next(&mut stream).is_ready());
    let _ = stream.with_set(SlotSet);
}

#[test]
#[should_panic(expected = "`fail_fast` has to be called before the stream is polled")]
fn a_chain_cannot_start_to_fail_fast_after_the_first_poll() {
    let mut stream = (0..9).pool_map(2, |n| ready(Ok::<_, ()>(n)));
    assert!(poll_next(&mut stream).is_ready());
    let _ = stream.fail_fast();
}

#[cfg(feature = "std")]
#[test]
#[should_panic(expected = "`catch_unwind` has to be called before the stream is polled")]
fn panics_cannot_be_caught_from_the_middle_on() {
    let mut stream = (0..9).pool_map(2, ready);
    assert!(poll_next(&mut stream).is_ready());
    let _ = stream.catch_unwind();
}

#[test]
fn results_that_are_held_are_kept_when_the_order_is_given_up() {
    /// Takes one of four results, which all are there, and then the others.
    macro_rules! keeps {
        ($stream:expr) => {
            let mut stream = $stream;
            assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
            assert_eq!(stream.finished(), 3);
            assert_eq!(run(stream.unordered().collect::<Vec<_>>()), [1, 2, 3]);
        };
    }
    keeps!((0..4).pool_map(4, ready));
    keeps!((0..4).pool_map(4, ready).unordered());
    keeps!((0..4).pool_map_inline(Slots::<4>, ready));
    keeps!((0..4).pool_map_inline(Slots::<4>, ready).unordered());
}

#[test]
fn the_rule_of_batches_is_asked_about_the_error_that_ends_the_chain() {
    let asked = RefCell::new(Vec::new());
    let fallible = |n| ready(if n == 2 { Err(n) } else { Ok(n) });
    let batches = (0..4).pool_map(1, fallible).max_finished(0).fail_fast().batches(|result| {
        asked.borrow_mut().push(*result);
        false
    });
    // What came before the error and was not handed over is dropped.
    assert_eq!(run(batches.collect::<Vec<_>>()), [[Err(2)]]);
    assert_eq!(*asked.borrow(), [Ok(0), Ok(1), Err(2)]);
}

#[test]
fn the_order_may_be_given_up_at_any_time() {
    let mut stream = (0..4).pool_map(2, async |n| if n == 0 { pending().await } else { n });
    assert!(poll_next(&mut stream).is_pending());
    let rest = stream.unordered().take(3).collect::<Vec<_>>();
    assert_eq!(run(rest), [1, 2, 3]);
}
