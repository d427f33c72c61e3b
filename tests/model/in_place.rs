//! Drives `InlinePool`, the keyed pool in place.

use std::future::pending;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use futures::Stream;
use futures_pool::inline::{InlinePool, SlotCount, Slots};
use futures_pool::{Key, Progress, prelude::*};

use crate::bench::{Bench, forwarding, slots_for};
use crate::program::{Op, Pick};
use crate::reference::{Call, Outcome, Reference};
use crate::world::{Id, Plan, Scripted, Then, id_of};

pub fn run(size: usize, max_finished: Option<usize>, ops: Vec<Op>, finish: bool) {
    match slots_for(size) {
        1 => KeyedInline::<1, 1>::new(size, max_finished).run(ops, finish),
        3 => KeyedInline::<3, 70>::new(size, max_finished).run(ops, finish),
        5 => KeyedInline::<5, 2>::new(size, max_finished).run(ops, finish),
        _ => KeyedInline::<32, 100>::new(size, max_finished).run(ops, finish),
    }
}

/// Drives a keyed pool in place.
struct KeyedInline<const N: usize, const QUEUE: usize>
where
    Slots<N>: SlotCount,
{
    bench: Bench,
    pool: Pin<Box<InlinePool<Scripted, N, QUEUE>>>,
    /// The keys of the jobs, by id; `None` for those that were given back.
    keys: Vec<Option<Key>>,
}

impl<const N: usize, const QUEUE: usize> KeyedInline<N, QUEUE>
where
    Slots<N>: SlotCount,
{
    fn new(size: usize, max_finished: Option<usize>) -> Self {
        let mut model = Reference::new(N, max_finished, false);
        forwarding(&mut model, N);
        model.bounded_results = true;
        model.set_size(size);
        let mut pool = InlinePool::new();
        pool.set_size(size);
        if let Some(results) = max_finished {
            pool.set_max_finished(results);
        }
        Self { bench: Bench::new(model), pool: Box::pin(pool), keys: vec![] }
    }

    fn push(&mut self, plan: Plan) {
        let Self { bench, pool, keys } = self;
        let id = bench.world.job(plan);
        let fits = bench.model.waiting.len() < QUEUE;
        assert_eq!(pool.is_full(), !fits);
        match pool.as_mut().try_spawn(bench.world.future(id)) {
            Ok(key) => {
                assert!(fits && keys.iter().flatten().all(|&other| other < key));
                keys.push(Some(key));
                bench.model.waiting.push(id);
                bench.must_have_woken();
            }
            Err(future) => {
                assert!(!fits);
                keys.push(None);
                drop(future);
            }
        }
    }

    fn poll(&mut self) -> Outcome {
        let Self { bench, pool, keys } = self;
        bench.call(Call::Next, |cx| {
            let next = ready!(pool.as_mut().poll_next(cx));
            Poll::Ready(Outcome::Ready(next.map(|(key, Ok(id) | Err(id))| {
                assert_eq!(keys[id], Some(key));
                id
            })))
        })
    }

    fn choose(&self, choice: Pick) -> Option<(Id, Key)> {
        let id = choice.index(self.keys.len().max(1));
        self.keys.get(id).copied().flatten().map(|key| (id, key))
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        match op {
            Op::Push(plan) | Op::TrySpawn(plan) => self.push(plan),
            Op::PushMany(plan, count) => (0..count).for_each(|_| self.push(plan)),
            Op::Cancel(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let cancelled = self.bench.model.cancel(id);
                    assert_eq!(self.pool.as_mut().cancel(key), cancelled);
                    self.freed();
                }
            }
            Op::CancelAll => {
                let model = &mut self.bench.model;
                let count = model.len();
                for id in [model.waiting.clone(), model.active.clone()].concat() {
                    model.cancel(id);
                }
                assert_eq!(self.pool.as_mut().cancel_all(), count);
                self.freed();
            }
            Op::Take(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let taken = self.bench.model.take(id);
                    assert_eq!(self.pool.as_mut().take_result(key).map(id_of), taken.then_some(id));
                    self.freed();
                }
            }
            Op::Poll(times) => (0..times).for_each(|_| {
                self.poll();
            }),
            Op::Progress(times) => {
                let Self { bench, pool, .. } = self;
                for _ in 0..times {
                    bench.call(Call::Progress, |cx| pool.as_mut().poll_progress(cx).map(|()| Outcome::Idle));
                }
            }
            Op::Drive => {
                let Self { bench, pool, .. } = self;
                bench.drive(|cx| pin!(pool.drive(pending())).poll(cx));
            }
            _ => {}
        }
    }

    /// After something has left: if something waits that there is room for, the task has been woken.
    fn freed(&mut self) {
        self.bench.woken();
        let model = &self.bench.model;
        if model.has_room() && !model.waiting.is_empty() {
            self.bench.must_have_woken();
        }
    }

    fn compare(&self) {
        let (model, pool) = (&self.bench.model, &self.pool);
        assert_eq!(pool.waiting(), model.waiting.len(), "waiting");
        assert_eq!(pool.active(), model.active.len(), "active");
        assert_eq!(pool.finished(), model.finished.len(), "finished");
        assert_eq!(pool.size(), model.size, "size");
        let left = model.len() + model.finished.len();
        assert_eq!(pool.size_hint(), (left, Some(left)), "size_hint");
        assert_eq!(self.bench.world.alive(), model.len(), "futures alive");
    }

    fn run(mut self, ops: Vec<Op>, finish: bool) {
        for op in ops {
            self.apply(op);
            self.compare();
        }
        if finish {
            for id in 0..self.bench.world.jobs() {
                self.bench.complete(id, Then::Finish);
            }
            while self.poll() != Outcome::Ready(None) {
                if self.bench.parked.is_some() {
                    self.bench.must_have_woken();
                }
                self.compare();
            }
        }
        drop(self.pool);
        self.bench.gone();
    }
}
