//! Which of the waiting items may start: by weight, by key, and with which number.

#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{poll_next, run};
use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt};
use futures_pool::inline::Slots;
use futures_pool::{InlineSet, PoolMap, Progress, UnorderedSet, prelude::*, yield_when};
use proptest::prelude::*;

/// Futures that finish when they are told to.
#[derive(Clone, Default)]
struct Gates(Rc<RefCell<HashMap<usize, Gate>>>);

#[derive(Default)]
struct Gate {
    is_open: bool,
    waker: Option<Waker>,
}

impl Gates {
    /// Waits for its gate, and is in the list as long as it is active.
    fn wait(&self, id: usize) -> Waiting {
        self.0.borrow_mut().insert(id, Gate::default());
        Waiting { gates: self.clone(), id }
    }

    fn open(&self, id: usize) {
        let waker = {
            let mut gates = self.0.borrow_mut();
            let gate = gates.get_mut(&id).expect("it is active");
            gate.is_open = true;
            gate.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn active(&self) -> BTreeSet<usize> {
        self.0.borrow().keys().copied().collect()
    }
}

struct Waiting {
    gates: Gates,
    id: usize,
}

impl Future for Waiting {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let mut gates = self.gates.0.borrow_mut();
        let gate = gates.get_mut(&self.id).expect("it is active");
        if gate.is_open {
            return Poll::Ready(self.id);
        }
        gate.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gates.0.borrow_mut().remove(&self.id);
    }
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: usize,
    weight: usize,
    key: u8,
}

/// What the options say, done in the simplest way.
struct Reference {
    items: Vec<Item>,
    size: usize,
    per_key: usize,
    look_ahead: usize,
    max_finished: Option<usize>,
    is_ordered: bool,
    pulled: usize,
    aside: Vec<Item>,
    active: Vec<(Item, usize)>,
    /// Results that are held: for an order, by id.
    held: BTreeSet<usize>,
    due: VecDeque<usize>,
    next: usize,
}

impl Reference {
    fn weight(&self, item: Item) -> usize {
        item.weight.clamp(1, self.size)
    }

    fn is_full(&self, key: u8) -> bool {
        self.active.iter().filter(|(item, _)| item.key == key).count() >= self.per_key
    }

    /// The first item in the order of the source whose key is not full, pulled if need be.
    fn head(&mut self) -> Option<Item> {
        loop {
            if let Some(&item) = self.aside.iter().find(|item| !self.is_full(item.key)) {
                return Some(item);
            }
            if self.aside.len() >= self.look_ahead || self.pulled == self.items.len() {
                return None;
            }
            self.aside.push(self.items[self.pulled]);
            self.pulled += 1;
        }
    }

    fn has_result_room(&self, item: Option<Item>) -> bool {
        let defaults = self.size.min(64);
        let (most_due, most_held) = self.max_finished.map_or((defaults, 16 * defaults), |most| (most, most));
        let is_next = self.is_ordered && item.is_some_and(|item| item.id == self.next) && self.due.is_empty();
        self.due.len() <= most_due && self.due.len() + self.held.len() <= most_held || is_next
    }

    /// Starts what may start. Nothing is pulled unless a future of weight 1 could start.
    fn start(&mut self) {
        loop {
            let used: usize = self.active.iter().map(|(_, weight)| weight).sum();
            let known = self.aside.iter().copied().find(|item| !self.is_full(item.key));
            if used >= self.size || !self.has_result_room(known) {
                return;
            }
            let Some(head) = self.head() else { return };
            let weight = self.weight(head);
            if used + weight > self.size || !self.has_result_room(Some(head)) {
                return;
            }
            self.aside.retain(|item| item.id != head.id);
            self.active.push((head, weight));
        }
    }

    /// A future finishes. Returns the results that are handed over.
    fn finish(&mut self, id: usize) -> Vec<usize> {
        self.active.retain(|(item, _)| item.id != id);
        if self.is_ordered {
            self.held.insert(id);
            let mut next = self.next + self.due.len();
            while self.held.remove(&next) {
                self.due.push_back(next);
                next += 1;
            }
        } else {
            self.due.push_back(id);
        }
        let mut taken = Vec::new();
        loop {
            self.start();
            let Some(result) = self.due.pop_front() else { return taken };
            self.next += 1;
            taken.push(result);
        }
    }

    fn active(&self) -> BTreeSet<usize> {
        self.active.iter().map(|(item, _)| item.id).collect()
    }
}

#[derive(Clone, Debug)]
struct Case {
    items: Vec<(usize, u8)>,
    size: usize,
    per_key: usize,
    look_ahead: usize,
    max_finished: Option<usize>,
    is_ordered: bool,
    set: u8,
    /// Which future finishes next, or which size it is from then on.
    steps: Vec<(usize, Option<usize>)>,
}

fn cases() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec((0..7_usize, 0..4_u8), 0..40),
        1..8_usize,
        1..4_usize,
        1..6_usize,
        prop::option::of(0..6_usize),
        any::<bool>(),
        0..3_u8,
        prop::collection::vec((any::<usize>(), prop::option::weighted(0.1, 1..9_usize)), 80),
    )
        .prop_map(|(items, size, per_key, look_ahead, max_finished, is_ordered, set, steps)| Case {
            items,
            size,
            per_key,
            look_ahead,
            max_finished,
            is_ordered,
            set,
            steps,
        })
}

fn check<S>(
    case: &Case,
    gates: &Gates,
    mut stream: S,
    waiting: impl Fn(&S) -> usize,
    mut resize: impl FnMut(&mut S, usize),
) where
    S: Stream<Item = usize> + Unpin,
{
    let items = case.items.iter().enumerate();
    let mut reference = Reference {
        items: items.map(|(id, &(weight, key))| Item { id, weight, key }).collect(),
        size: case.size,
        per_key: case.per_key,
        look_ahead: case.look_ahead,
        max_finished: case.max_finished,
        is_ordered: case.is_ordered,
        pulled: 0,
        aside: vec![],
        active: vec![],
        held: BTreeSet::new(),
        due: VecDeque::new(),
        next: 0,
    };
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |stream: &mut S| {
        let mut results = vec![];
        loop {
            match stream.poll_next_unpin(&mut cx) {
                Poll::Ready(Some(result)) => results.push(result),
                Poll::Ready(None) => return (results, true),
                Poll::Pending => return (results, false),
            }
        }
    };
    let mut has_ended = poll(&mut stream).1;
    reference.start();
    for &(index, size) in &case.steps {
        assert_eq!(gates.active(), reference.active(), "{case:?}");
        assert_eq!(waiting(&stream), reference.aside.len(), "{case:?}");
        let active = reference.active();
        assert_eq!(has_ended, active.is_empty() && reference.pulled == reference.items.len(), "{case:?}");
        if has_ended {
            return;
        }
        if let Some(size) = size {
            resize(&mut stream, size);
            reference.size = size;
            assert!(poll(&mut stream).0.is_empty());
            reference.start();
            continue;
        }
        let id = *active.iter().nth(index % active.len()).expect("what has not ended is active");
        gates.open(id);
        let results;
        (results, has_ended) = poll(&mut stream);
        assert_eq!(results, reference.finish(id), "{case:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// After each step, the same futures are active, the same number of items is set aside, and the same results came, as by
    /// the simplest way to do it.
    #[test]
    fn what_is_active_is_what_the_rule_says(case in cases()) {
        let gates = Gates::default();
        let items: Vec<Item> =
            case.items.iter().enumerate().map(|(id, &(weight, key))| Item { id, weight, key }).collect();
        let stream = {
            let gates = gates.clone();
            items.into_iter().pool_map(case.size, move |item| gates.wait(item.id))
        };
        let mut stream = stream.weighted(|item| item.weight).per_key(case.per_key, |item| item.key).look_ahead(case.look_ahead);
        if let Some(results) = case.max_finished {
            stream = stream.max_finished(results);
        }
        if !case.is_ordered {
            stream = stream.unordered();
        }
        match case.set {
            0 => check(&case, &gates, stream, PoolMap::waiting, PoolMap::set_size),
            1 => {
                let stream = stream.with_set(UnorderedSet);
                check(&case, &gates, stream, PoolMap::waiting, PoolMap::set_size);
            }
            _ => {
                let stream = stream.with_set(InlineSet::<8>);
                let case = Case { steps: case.steps.iter().map(|&(i, size)| (i, size.map(|size| size.min(8)))).collect(), ..case };
                check(&case, &gates, stream, PoolMap::waiting, PoolMap::set_size);
            }
        }
    }
}

/// Yields once.
async fn once() {
    let mut has_yielded = false;
    std::future::poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// Weights.

#[test]
fn nobody_overtakes_the_one_that_does_not_fit() {
    let gates = Gates::default();
    let weights = [2, 3, 1, 1];
    let mut stream = (0..4).pool_map(4, |id| gates.wait(id)).unordered().weighted(|&id| weights[id]);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((gates.active(), stream.waiting()), (BTreeSet::from([0]), 1));
    gates.open(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!((gates.active(), stream.waiting()), (BTreeSet::from([1, 2]), 0));
}

#[test]
fn weights_are_limited_to_the_size_that_it_is() {
    let gates = Gates::default();
    let mut stream = (0..5).pool_map(4, |id| gates.wait(id)).weighted(|&id| [0, 9, usize::MAX, 3, 1][id]);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(gates.active(), BTreeSet::from([0])); // 0 is taken as 1, 9 as 4
    stream.set_size(2);
    gates.open(0);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(gates.active(), BTreeSet::from([1])); // the one that waited is limited to the new size
    stream.set_size(5);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!((gates.active(), stream.waiting()), (BTreeSet::from([1]), 1)); // it has kept the weight of 2; the next has 5
}

#[test]
fn a_huge_budget_costs_nothing_and_bounds_results_as_64_do() {
    let started = Cell::new(0);
    let count = |item: u64| {
        started.set(started.get() + 1);
        ready(item)
    };
    let mut stream = (0..).pool_map(1_000_000_000_000, count).unordered().weighted(|_| 1 << 20);
    for _ in 0..10 {
        assert!(poll_next(&mut stream).is_ready());
    }
    assert!((10 + 64..=10 + 65).contains(&started.get()), "{}", started.get());

    // In order, behind a future that never finishes: 16 times 64 results.
    started.set(0);
    let stuck = |item: u64| {
        started.set(started.get() + 1);
        if item == 0 { pending().left_future() } else { ready(item).right_future() }
    };
    let mut stream = (0..).pool_map(1_000_000_000_000, stuck).weighted(|_| 1);
    for _ in 0..100 {
        assert!(poll_next(&mut stream).is_pending());
    }
    assert_eq!(started.get(), 1 + 16 * 64 + 1);
}

// Keys.

#[test]
fn with_one_at_a_time_the_items_of_a_key_run_one_after_the_other_in_order() {
    let log = RefCell::new(Vec::new());
    let job = async |(key, number): (char, u32)| {
        log.borrow_mut().push((key, number, true));
        once().await;
        log.borrow_mut().push((key, number, false));
    };
    let jobs = [('a', 0), ('a', 1), ('b', 0), ('a', 2), ('b', 1), ('c', 0)];
    run(IntoFuture::into_future(jobs.into_iter().pool_map(8, job).per_key(1, |job| job.0)));
    for key in ['a', 'b', 'c'] {
        let log = log.borrow();
        let of_key: Vec<_> = log.iter().filter(|entry| entry.0 == key).map(|entry| (entry.1, entry.2)).collect();
        let expected: Vec<_> =
            jobs.iter().filter(|job| job.0 == key).flat_map(|job| [(job.1, true), (job.1, false)]).collect();
        assert_eq!(of_key, expected);
    }
}

#[test]
fn a_freed_key_is_used_before_a_result_is_handed_over() {
    // The future wakes itself, so it finishes in the call in which the source was asked in vain.
    let mut stream = (0..3)
        .pool_map(4, async |item: u32| {
            once().await;
            item
        })
        .unordered()
        .per_key(1, |_| ());
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!((stream.active(), stream.waiting()), (1, 1));
}

#[test]
fn what_is_due_keeps_the_next_one_out_though_its_key_is_free() {
    let gates = Gates::default();
    let mut stream = (0..2).pool_map(2, |id| gates.wait(id)).max_finished(0).per_key(1, |_| ());
    assert!(poll_next(&mut stream).is_pending());
    gates.open(0);
    let mut cx = Context::from_waker(Waker::noop());
    let _ = Pin::new(&mut stream).poll_progress(&mut cx);
    assert_eq!((stream.active(), stream.waiting(), stream.finished()), (0, 1, 1));
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(0)));
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(stream.active(), 1);
}

#[test]
fn an_endless_source_of_one_full_key_is_pulled_as_far_as_look_ahead_says() {
    for (look_ahead, most) in [(None, 16 * 3), (Some(0), 1), (Some(5), 5), (Some(1000), 1000)] {
        let pulled = Cell::new(0);
        let items = std::iter::repeat_with(|| pulled.set(pulled.get() + 1));
        let mut stream = items.pool_map(3, |()| pending::<()>()).per_key(1, |()| ());
        if let Some(items) = look_ahead {
            stream = stream.look_ahead(items);
        }
        // A call sets aside no more than it may poll, and wakes its task as long as there is more to pull.
        let (wakes, waker) = common::Wakes::new();
        let mut cx = Context::from_waker(&waker);
        loop {
            let (before, already) = (wakes.count(), pulled.get());
            assert!(stream.poll_next_unpin(&mut cx).is_pending());
            assert!(pulled.get() - already <= 64);
            if wakes.count() == before {
                break;
            }
        }
        assert_eq!((stream.active(), stream.waiting(), pulled.get()), (1, most, 1 + most));
    }
}

#[test]
fn others_pass_a_full_key_without_taking_its_slots() {
    let gates = Gates::default();
    let mut stream = (0..9).pool_map(3, |id| gates.wait(id)).unordered().per_key(1, |&id| id / 4);
    assert!(poll_next(&mut stream).is_pending());
    assert_eq!(gates.active(), BTreeSet::from([0, 4, 8]));
    assert_eq!(stream.size_hint(), (9, Some(9)));
    for id in [8, 4, 0] {
        gates.open(id);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(id)));
    }
    assert_eq!(gates.active(), BTreeSet::from([1, 5]));
    assert_eq!((stream.size_hint(), stream.is_terminated()), ((6, Some(6)), false));
}

#[test]
fn in_order_with_any_bound_the_one_whose_turn_is_next_starts() {
    for results in 0..3 {
        let keys = [0, 0, 1, 2, 3, 0, 1, 4, 5, 0];
        let stream = (0..10).pool_map(2, async |id: usize| {
            once().await;
            id
        });
        let stream = stream.per_key(1, |&id| keys[id]).max_finished(results);
        assert_eq!(run(stream.collect::<Vec<_>>()), (0..10).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic = "`per_key` can be called once"]
fn keys_are_set_once() {
    let _ = (0..3).pool_map(2, ready::<u32>).per_key(1, |&item| item).per_key(2, |_| ());
}

#[test]
fn options_after_the_first_poll_are_refused() {
    let polled = || {
        let mut stream = (0..3).pool_map(2, |_: u32| pending::<()>());
        assert!(poll_next(&mut stream).is_pending());
        stream
    };
    assert!(catch_unwind(AssertUnwindSafe(|| polled().weighted(|_| 1))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| polled().per_key(1, |_| 1))).is_err());
}

// Numbers.

/// Runs jobs that each end in a way of their own, and checks the numbers that they were told.
fn check_numbers<S: Stream<Item = usize> + Unpin>(gates: &Gates, told: &RefCell<Vec<usize>>, mut stream: S) {
    let mut poll = || stream.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    assert_eq!(*told.borrow(), [0, 1, 2]);
    gates.open(1);
    assert_eq!(poll(), Poll::Ready(Some(1)));
    assert_eq!(*told.borrow(), [0, 1, 2, 1]); // job 3 has the number of job 1
    gates.open(2);
    gates.open(0);
    let mut ended = [poll(), poll()].map(|poll| poll.map(|id| id.unwrap_or(99)));
    ended.sort_by_key(|poll| match poll {
        Poll::Ready(id) => *id,
        Poll::Pending => 99,
    });
    assert_eq!(ended, [Poll::Ready(0), Poll::Ready(2)]);
    let mut last = told.borrow()[4..].to_vec();
    last.sort_unstable();
    assert_eq!(last, [0, 2]);
}

#[test]
fn numbers_are_the_lowest_that_no_other_active_future_has() {
    let job = |gates: &Gates, told: &Rc<RefCell<Vec<usize>>>| {
        let (gates, told) = (gates.clone(), Rc::clone(told));
        move |slot, id| {
            told.borrow_mut().push(slot);
            gates.wait(id)
        }
    };
    let (gates, told) = (Gates::default(), Rc::default());
    check_numbers(&gates, &told, (0..9).pool_map_slot(3, job(&gates, &told)).unordered());
    let (gates, told) = (Gates::default(), Rc::default());
    let jobs = futures::stream::iter(0..9);
    check_numbers(&gates, &told, jobs.pool_map_slot(3, job(&gates, &told)).unordered().with_set(UnorderedSet));
    let (gates, told) = (Gates::default(), Rc::default());
    check_numbers(&gates, &told, (0..9).pool_map_slot(3, job(&gates, &told)).unordered().with_set(InlineSet::<3>));
    let (gates, told) = (Gates::default(), Rc::default());
    let mut stream = pin!((0..9).pool_map_inline_slot(Slots::<3>, job(&gates, &told)).unordered());
    check_numbers(&gates, &told, stream.as_mut());
    let (gates, told) = (Gates::default(), Rc::default());
    check_numbers(&gates, &told, (0..9).pool_map_slot(9, job(&gates, &told)).unordered().weighted(|_| 3));
}

struct Use<'a>(&'a RefCell<[bool; 2]>, usize);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut()[self.1] = false;
    }
}

#[test]
fn the_future_that_had_a_number_is_dropped_before_another_has_it() {
    let used = RefCell::new([false; 2]);
    let job = |slot: usize, _: u32| {
        assert!(!std::mem::replace(&mut used.borrow_mut()[slot], true), "in use");
        let used = Use(&used, slot);
        async move {
            once().await;
            drop(used);
        }
    };
    run(IntoFuture::into_future((0..100).pool_map_slot(2, job)));
}

#[test]
fn a_smaller_size_leaves_what_is_active_its_numbers() {
    let (gates, told) = (Gates::default(), RefCell::new(Vec::new()));
    let job = |slot, id| {
        told.borrow_mut().push((slot, id));
        gates.wait(id)
    };
    let mut stream = (0..9).pool_map_slot(3, job).unordered();
    assert!(poll_next(&mut stream).is_pending());
    stream.set_size(1);
    for id in [0, 1] {
        gates.open(id);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(id)));
    }
    assert_eq!(*told.borrow(), [(0, 0), (1, 1), (2, 2)]);
    gates.open(2);
    assert_eq!(poll_next(&mut stream), Poll::Ready(Some(2)));
    assert_eq!(told.borrow()[3..], [(0, 3)]);
}

// Panics give back what a future holds.

#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    Weigh,
    Key,
    Make,
    Poll,
    LaterPoll,
    Destructor,
}

struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

struct Job<F> {
    future: Pin<Box<F>>,
    _bomb: Option<PanicOnDrop>,
}

impl<F: Future> Future for Job<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}

#[test]
fn a_panic_gives_back_the_weight_the_place_and_the_number() {
    use Where::{Destructor, Key, LaterPoll, Make, Weigh};
    for place in [Weigh, Key, Make, Where::Poll, LaterPoll, Destructor] {
        for is_ordered in [true, false] {
            let job = |slot: usize, id: usize| {
                assert_eq!(slot, 0, "the number was not given back");
                assert!(!(id == 1 && place == Make), "in the closure");
                let future = async move {
                    assert!(!(id == 1 && place == Where::Poll), "in the first poll");
                    once().await;
                    assert!(!(id == 1 && place == LaterPoll), "in a later poll");
                    id
                };
                Job { future: Box::pin(future), _bomb: (id == 1 && place == Destructor).then(|| PanicOnDrop) }
            };
            let mut stream = (0..4)
                .pool_map_slot(2, job)
                .weighted(|&id| if id == 1 && place == Weigh { panic!("in the weight") } else { 2 })
                .per_key(1, |&id| assert!(!(id == 1 && place == Key), "in the key"));
            if !is_ordered {
                stream = stream.unordered();
            }
            let (mut results, mut panics) = (vec![], 0);
            for _ in 0..100 {
                match catch_unwind(AssertUnwindSafe(|| poll_next(&mut stream))) {
                    Ok(Poll::Ready(Some(id))) => results.push(id),
                    Ok(Poll::Ready(None)) => break,
                    Ok(Poll::Pending) => {}
                    Err(_) => panics += 1,
                }
            }
            // An output is kept before its future is dropped.
            let expected = if place == Destructor { vec![0, 1, 2, 3] } else { vec![0, 2, 3] };
            assert_eq!((results, panics), (expected, 1), "{place:?}, ordered: {is_ordered}");
            assert!(stream.is_terminated());
        }
    }
}

#[test]
fn a_caught_panic_gives_back_what_the_future_held() {
    let job = |slot: usize, id: usize| async move {
        assert_eq!(slot, 0);
        once().await;
        assert_ne!(id, 1, "in the future");
        id
    };
    let stream = (0..3).pool_map_slot(2, job).catch_unwind().weighted(|_| 2).per_key(1, |_| ()).look_ahead(2);
    let results = run(stream.collect::<Vec<_>>());
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

// With everything else.

#[test]
fn with_views_stages_and_consumers() {
    let job = async |id: u32| {
        once().await;
        id
    };
    let keyed = || (0..9).pool_map(3, job).weighted(|&id| id as usize % 3).per_key(1, |&id| id % 2);
    assert_eq!(run(IntoFuture::into_future(keyed())), (0..9).collect::<Vec<_>>());
    let mut pairs = run(IntoFuture::into_future(keyed().unordered().indexed()));
    pairs.sort_unstable();
    assert_eq!(pairs, (0..9).map(|id| (id as usize, id)).collect::<Vec<_>>());
    let batches = run(keyed().batches(yield_when::all_completed).collect::<Vec<_>>());
    assert_eq!(batches.concat(), (0..9).collect::<Vec<_>>());
    let mut sum = 0;
    run(keyed().for_each(|id| {
        sum += id;
        ready(())
    }));
    assert_eq!(sum, 36);
    let stages = keyed().pool_map(2, job).per_key(1, |_| ()).pool_map(1, job).weighted(|_| 9);
    assert_eq!(run(stages.collect::<Vec<_>>()), (0..9).collect::<Vec<_>>());
    let behind = keyed().filter(|id| ready(id % 3 == 0)).driven().pool_map(2, job).per_key(2, |_| ());
    assert_eq!(run(behind.collect::<Vec<_>>()), [0, 3, 6]);
}

#[test]
fn a_stage_with_keys_keeps_the_pool_upstream_going() {
    let gates = Gates::default();
    let mut stream = (0..9)
        .pool_map(2, async |id: usize| {
            once().await;
            id
        })
        .pool_map(4, |id| gates.wait(id))
        .per_key(1, |_| ())
        .look_ahead(3);
    for _ in 0..20 {
        assert!(poll_next(&mut stream).is_pending());
    }
    // One runs, three are set aside, and upstream has all that its bound lets it have.
    assert_eq!((gates.active(), stream.waiting()), (BTreeSet::from([0]), 3));
    for id in 0..9 {
        gates.open(id);
        let result = (0..20).map(|_| poll_next(&mut stream)).find(Poll::is_ready);
        assert_eq!(result, Some(Poll::Ready(Some(id))));
    }
}

#[test]
fn the_first_error_drops_what_waits() {
    let drops = Rc::new(());
    let items: Vec<_> = (0..10).map(|id| (id, Rc::clone(&drops))).collect();
    let job = async |(id, _held): (u32, Rc<()>)| {
        once().await;
        if id == 0 { Err(id) } else { Ok(id) }
    };
    let mut stream = items.into_iter().pool_map(4, job).per_key(1, |_| ()).fail_fast();
    assert_eq!(run(stream.next()), Some(Err(0)));
    assert_eq!((Rc::strong_count(&drops), stream.waiting()), (1, 0));
    assert_eq!(run(stream.next()), None);
}

#[test]
fn the_options_come_before_fail_fast_or_after_it() {
    let job = async |id: usize| {
        once().await;
        if id == 3 { Err(id) } else { Ok(id) }
    };
    let before = (0..9).pool_map(4, job).weighted(|_| 4).per_key(1, |_| ()).look_ahead(2).fail_fast();
    let after = (0..9).pool_map(4, job).fail_fast().weighted(|_| 4).per_key(1, |_| ()).look_ahead(2);
    assert_eq!(run(before.collect::<Vec<_>>()), [Ok(0), Ok(1), Ok(2), Err(3)]);
    assert_eq!(run(after.collect::<Vec<_>>()), [Ok(0), Ok(1), Ok(2), Err(3)]);
    // One waits for its weight when the error comes.
    let mut stream = (0..9).pool_map(4, job).weighted(|&id| if id == 4 { 4 } else { 1 }).fail_fast();
    while run(stream.next()).is_some_and(|result| result.is_ok()) {}
    assert_eq!((stream.waiting(), stream.is_terminated()), (0, true));
}

#[test]
fn numbers_over_streams_in_stages_and_beyond_a_word() {
    let gates = Gates::default();
    let told = RefCell::new(Vec::new());
    let job = |slot, id| {
        told.borrow_mut().push(slot);
        gates.wait(id)
    };
    let mut stream = (0..300).pool_map_slot(150, job).unordered();
    assert!((0..3).all(|_| poll_next(&mut stream).is_pending()));
    assert_eq!(*told.borrow(), (0..150).collect::<Vec<_>>());
    for id in [140, 70, 1] {
        gates.open(id);
        assert_eq!(poll_next(&mut stream), Poll::Ready(Some(id)));
    }
    assert_eq!(told.borrow()[150..], [140, 70, 1]);

    let pair = |slot, id: u32| ready((slot, id));
    let mut inline = pin!(futures::stream::iter(0..3).pool_map_inline_slot(Slots::<2>, pair));
    assert_eq!(poll_next(&mut inline.as_mut()), Poll::Ready(Some((0, 0))));
    let stage = (0..3).pool_map(2, ready).pool_map_slot(1, pair);
    assert_eq!(run(stage.collect::<Vec<_>>()), [(0, 0), (0, 1), (0, 2)]);
}

#[test]
fn a_source_that_is_pending_is_asked_again_when_it_wakes_the_task() {
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    let mut stream = receiver.pool_map(4, ready::<usize>).weighted(|&item| item).per_key(1, |&item| item);
    let (wakes, waker) = common::Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_next_unpin(&mut cx).is_pending());
    sender.unbounded_send(3).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(stream.poll_next_unpin(&mut cx), Poll::Ready(Some(3)));
    drop(sender);
    assert_eq!(stream.poll_next_unpin(&mut cx), Poll::Ready(None));
}
