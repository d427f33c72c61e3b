//! Drives `Pool`: everything that it can do, on both sets.

use std::future::pending;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use futures_pool::{ActiveSet, Key, Pool, Progress, SlotSet, UnorderedSet};

use crate::bench::{Bench, UNORDERED_SLACK};
use crate::program::{Mode, Op, Pick};
use crate::reference::{Call, Outcome, POLLS, Reference};
use crate::world::{Id, Plan, Scripted, Then, id_of};

pub fn run_slots(size: usize, ops: Vec<Op>, finish: bool) {
    run(size, SlotSet, 0, ops, finish);
}

pub fn run_unordered(size: usize, ops: Vec<Op>, finish: bool) {
    run(size, UnorderedSet, UNORDERED_SLACK, ops, finish);
}

fn run(size: usize, set: impl ActiveSet, slack: usize, ops: Vec<Op>, finish: bool) {
    let mut keyed = Keyed::new(size, set, slack);
    for op in ops {
        keyed.apply(op);
        keyed.compare();
    }
    if finish { keyed.finish() } else { keyed.drop_early() }
}

/// Drives a keyed pool.
struct Keyed<S: ActiveSet> {
    bench: Bench,
    pool: Pool<Scripted, S>,
    /// The keys of the jobs, by id; `None` for those that never got one.
    keys: Vec<Option<Key>>,
    newest: Option<Key>,
}

impl<S: ActiveSet> Keyed<S> {
    fn new(size: usize, set: S, slack: usize) -> Self {
        let mut model = Reference::new(size.max(1), None, false);
        model.slack = slack;
        Self { bench: Bench::new(model), pool: Pool::with_set(size, set), keys: vec![], newest: None }
    }

    fn job(&mut self, plan: Plan) -> Scripted {
        let id = self.bench.world.job(plan);
        self.keys.push(None);
        self.bench.world.future(id)
    }

    fn pushed(&mut self, key: Key) {
        let last = self.keys.len() - 1;
        assert!(self.newest.replace(key) < Some(key), "keys do not rise");
        self.keys[last] = Some(key);
        self.bench.model.waiting.push(last);
        self.bench.must_have_woken();
    }

    fn push(&mut self, plan: Plan) {
        let future = self.job(plan);
        let key = self.pool.spawn_n(future);
        self.pushed(key);
    }

    /// By `map_n`.
    fn push_many(&mut self, plan: Plan, count: usize) {
        let ids = self.jobs(plan, count);
        let Self { bench, pool, keys, newest } = self;
        let given = pool.map_n(ids.iter().copied(), |id| bench.world.future(id));
        assert_eq!(given.len(), count);
        for (&id, key) in ids.iter().zip(given) {
            assert!(newest.replace(key) < Some(key), "keys do not rise");
            keys[id] = Some(key);
            bench.model.waiting.push(id);
        }
        if count > 0 {
            bench.must_have_woken();
        }
    }

    fn poll(&mut self) -> Outcome {
        let Self { bench, pool, keys, .. } = self;
        bench.call(Call::Next, |cx| {
            let next = ready!(Pin::new(pool).poll_next(cx));
            Poll::Ready(Outcome::Ready(next.map(|(key, Ok(id) | Err(id))| {
                assert!(keys[id].is_none_or(|own| own == key), "the key of another");
                id
            })))
        })
    }

    /// Chooses a key, now and then one that is unknown.
    fn choose(&self, choice: Pick) -> Option<(Id, Key)> {
        let id = choice.index(self.keys.len().max(1));
        self.keys.get(id).copied().flatten().map(|key| (id, key))
    }

    fn apply(&mut self, op: Op) {
        let Some(op) = self.bench.common(op) else { return };
        let Self { bench, pool, .. } = self;
        match op {
            Op::Push(plan) => self.push(plan),
            Op::PushMany(plan, count) => self.push_many(plan, count),
            Op::TrySpawn(plan) => {
                let fits = bench.model.len() < bench.model.size;
                let future = self.job(plan);
                match self.pool.try_spawn(future) {
                    Ok(key) => {
                        assert!(fits);
                        self.pushed(key);
                    }
                    Err(future) => {
                        assert!(!fits);
                        drop(future);
                    }
                }
            }
            Op::Cancel(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let cancelled = self.bench.model.cancel(id);
                    assert_eq!(self.pool.cancel(key), cancelled);
                    self.freed();
                }
            }
            Op::CancelAll => {
                let count = bench.model.len();
                for id in [bench.model.waiting.clone(), bench.model.active.clone()].concat() {
                    bench.model.cancel(id);
                }
                assert_eq!(pool.cancel_all(), count);
                self.freed();
            }
            Op::Take(choice) => {
                if let Some((id, key)) = self.choose(choice) {
                    let taken = self.bench.model.take(id);
                    assert_eq!(self.pool.take_result(key).map(id_of), taken.then_some(id));
                    self.freed();
                }
            }
            Op::SetSize(size) => {
                let grows = size > bench.model.size;
                bench.model.set_size(size);
                pool.set_size(size);
                if grows {
                    bench.must_have_woken();
                }
            }
            Op::SetMaxFinished(results) => {
                bench.model.max_finished = Some(results);
                pool.set_max_finished(results);
            }
            Op::Pause => {
                bench.model.paused = true;
                pool.pause();
            }
            Op::Resume => {
                bench.model.paused = false;
                pool.resume();
                bench.must_have_woken();
            }
            Op::Poll(times) => (0..times).for_each(|_| {
                self.poll();
            }),
            Op::Progress(times) => {
                for _ in 0..times {
                    bench.call(Call::Progress, |cx| Pin::new(&mut *pool).poll_progress(cx).map(|()| Outcome::Idle));
                }
            }
            Op::Drive => bench.drive(|cx| pin!(pool.drive(pending())).poll(cx)),
            Op::Join(polls) => {
                let mut join = pin!(pool.join());
                bench.methods(polls, |cx| join.as_mut().poll(cx));
            }
            Op::Wait(choice, polls) => self.wait(choice, polls),
            Op::Spawn(plan, polls) => self.spawn(plan, polls, false),
            Op::Exec(plan, polls) => self.spawn(plan, polls, true),
            Op::MapAll(plan, count, polls) => self.map_all(plan, count, polls),
            Op::IterMap(plan, count, mode, polls) => self.itermap(plan, count, mode, polls),
            _ => {}
        }
    }

    /// After something has left: destructors ran, and if something waits that there is room for, the task has been woken.
    fn freed(&mut self) {
        self.bench.woken();
        let model = &self.bench.model;
        if model.has_room() && !model.waiting.is_empty() {
            self.bench.must_have_woken();
        }
    }

    fn wait(&mut self, choice: Pick, polls: usize) {
        let Some((id, key)) = self.choose(choice) else { return };
        let Self { bench, pool, .. } = self;
        let held = [&bench.model.waiting, &bench.model.active].iter().any(|list| list.contains(&id));
        if held {
            let mut wait = pin!(pool.wait(key));
            let mut got = None;
            bench.methods(polls, |cx| wait.as_mut().poll(cx).map(|result| got = result));
            if let Some(output) = got {
                assert_eq!(id_of(output), id);
                assert!(bench.model.take(id));
            }
        } else {
            let finished = bench.model.take(id);
            let mut wait = pin!(pool.wait(key));
            let result = wait.as_mut().poll(&mut Context::from_waker(&bench.waker));
            assert_eq!(result.map(|output| output.map(id_of)), Poll::Ready(finished.then_some(id)));
        }
    }

    /// `spawn` or `exec`, polled a number of times and dropped.
    fn spawn(&mut self, plan: Plan, polls: usize, exec: bool) {
        let future = self.job(plan);
        let id = self.keys.len() - 1;
        let Self { bench, pool, keys, .. } = self;
        // It comes after all that waits. If it is not started, it is gone again.
        bench.model.waiting.push(id);
        bench.model.in_hand = Some(id);
        let mut got = None;
        if exec {
            let mut exec = pin!(pool.exec(future));
            bench.methods(polls, |cx| exec.as_mut().poll(cx).map(|output| got = Some(output)));
        } else {
            let mut spawn = pin!(pool.spawn(future));
            bench.methods(polls, |cx| spawn.as_mut().poll(cx).map(|key| keys[id] = Some(key)));
        }
        bench.model.waiting.retain(|&other| other != id);
        bench.model.in_hand = None;
        if let Some(output) = got {
            assert_eq!(id_of(output), id);
            assert!(bench.model.take(id));
        }
        bench.woken();
    }

    /// Jobs for a method that takes many.
    fn jobs(&mut self, plan: Plan, count: usize) -> Vec<Id> {
        let first = self.keys.len();
        self.keys.resize(first + count, None);
        (0..count).map(|_| self.bench.world.job(plan)).collect()
    }

    fn map_all(&mut self, plan: Plan, count: usize, polls: usize) {
        let ids = self.jobs(plan, count);
        let Self { bench, pool, .. } = self;
        bench.model.waiting.extend(&ids);
        let world = bench.world.clone();
        let mut map = pin!(pool.map_all(ids.iter().copied(), |id| world.future(id)));
        let mut got = None;
        bench.methods(polls, |cx| map.as_mut().poll(cx).map(|results| got = Some(results)));
        bench.model.waiting.retain(|id| !ids.contains(id));
        if let Some(results) = got {
            let results: Vec<Id> = results.into_iter().map(id_of).collect();
            assert_eq!(results, ids);
            for &id in &ids {
                assert!(bench.model.take(id));
            }
        }
    }

    /// `itermap`, polled a number of times and dropped. What it leaves stays in the pool.
    fn itermap(&mut self, plan: Plan, count: usize, mode: Mode, polls: usize) {
        let ids = self.jobs(plan, count);
        let Self { bench, pool, newest, .. } = self;
        let (world, judging) = (bench.world.clone(), bench.world.clone());
        let others = bench.model.finished.clone();
        bench.model.waiting.extend(&ids);
        let stream = pool.itermap(ids.iter().copied(), |id| world.future(id));
        assert_eq!(stream.size_hint(), (count, Some(count)));
        let mut subject: Box<dyn Stream<Item = Vec<Id>> + Unpin + '_> = match mode {
            Mode::Flat => Box::new(stream.map(|output| vec![id_of(output)])),
            Mode::Keyed => Box::new(stream.keyed().map(|(key, output)| {
                *newest = (*newest).max(Some(key));
                vec![id_of(output)]
            })),
            Mode::Batches => {
                let batches = stream.batches(move |&output| judging.judge(id_of(output)));
                Box::new(batches.map(|batch| batch.into_iter().map(id_of).collect()))
            }
        };
        for _ in 0..polls {
            let mut got = None;
            let over = bench.method(|cx| Pin::new(&mut subject).poll_next(cx).map(|item| got = Some(item)));
            let left = |bench: &Bench| ids.iter().filter(|id| bench.model.finished.contains(id)).count();
            match got {
                Some(Some(items)) => {
                    assert!(!items.is_empty(), "an empty batch");
                    for id in items {
                        assert!(ids.contains(&id) && bench.model.take(id), "{id} is not of this stream");
                    }
                    assert!(!matches!(mode, Mode::Batches) || left(bench) == 0, "a batch without what has finished");
                }
                Some(None) => {
                    let going = [&bench.model.waiting, &bench.model.active];
                    assert!(
                        !going.iter().any(|list| list.iter().any(|id| ids.contains(id))),
                        "ended with futures left"
                    );
                    assert_eq!(left(bench), 0, "ended with results left");
                    break;
                }
                // It has panicked, or waits.
                None if matches!(mode, Mode::Batches) || over => {}
                None => assert!(left(bench) == 0 || bench.model.polls() >= POLLS, "pending with a result"),
            }
            if let Some(&oldest) = bench.model.active.first() {
                bench.complete(oldest, Then::Finish);
            }
        }
        drop(subject);
        bench.model.forget_batch();
        assert!(others.iter().all(|id| bench.model.finished.contains(id)), "it has taken results of others");
    }

    fn compare(&self) {
        let (model, pool) = (&self.bench.model, &self.pool);
        assert_eq!(pool.waiting(), model.waiting.len(), "waiting");
        assert_eq!(pool.active(), model.active.len(), "active");
        assert_eq!(pool.finished(), model.finished.len(), "finished");
        assert_eq!(pool.executed(), model.executed, "executed");
        assert_eq!(pool.size(), model.size, "size");
        assert_eq!(pool.len(), model.len(), "len");
        assert_eq!(pool.is_full(), model.len() >= model.size, "is_full");
        assert_eq!(pool.is_paused(), model.paused, "is_paused");
        let left = model.len() + model.finished.len();
        assert_eq!(pool.size_hint(), (left, Some(left)), "size_hint");
        assert_eq!(self.bench.world.alive(), model.len(), "futures alive");
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Resume);
        for id in 0..self.bench.world.jobs() {
            self.bench.complete(id, Then::Finish);
        }
        loop {
            match self.poll() {
                Outcome::Ready(None) => break,
                Outcome::Pending => self.bench.must_have_woken(),
                _ => {}
            }
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
    }

    fn drop_early(self) {
        drop(self.pool);
        self.bench.gone();
    }
}
