//! Drives a scope from outside through its handle: tasks, tasks that await others and so lend their slots, and methods that
//! are begun, continued, and dropped before completion, each by a task of its own.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures_pool::{LocalScope, Task, TaskError, local_scope};

use crate::bench::Bench;
use crate::common::Wakes;
use crate::program::{Mode, Op, Pick};
use crate::reference::{Call, Outcome, Reference};
use crate::world::{Event, Id, Out, Plan, Then, id_of};

/// What has become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ended,
    Panicked,
    Cancelled,
}

/// Somebody who has called an async method of the scope.
struct Caller {
    /// The jobs that the method was called with.
    ids: Vec<Id>,
    on_drop: OnDrop,
    future: Pin<Box<dyn Future<Output = ()>>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// The count of wakes before the last poll.
    before: Option<usize>,
}

impl Caller {
    fn new(ids: Vec<Id>, on_drop: OnDrop, future: impl Future<Output = ()> + 'static) -> Self {
        let (wakes, waker) = Wakes::new();
        Self { ids, on_drop, future: Box::pin(future), wakes, waker, before: None }
    }

    fn is_woken(&self) -> bool {
        self.before.is_none_or(|before| self.wakes.count() > before)
    }

    fn poll(&mut self) -> Poll<()> {
        self.before = Some(self.wakes.count());
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// Which of its jobs a method takes with it when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Waiting,
    All,
    /// Those that it has not taken, so that they have not come to wait.
    Untaken,
}

/// Lets the body of the scope end.
#[derive(Clone, Default)]
struct Door(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Door {
    fn open(&self) {
        self.0.0.set(true);
        let waker = self.0.1.take();
        waker.into_iter().for_each(Waker::wake);
    }

    async fn pass(self) {
        poll_fn(|cx| {
            if self.0.0.get() {
                return Poll::Ready(());
            }
            self.0.1.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

struct Scoped {
    bench: Bench,
    scope: Pin<Box<dyn Future<Output = ()>>>,
    over: bool,
    pool: LocalScope<'static>,
    door: Door,
    /// The handles of the jobs, by id.
    tasks: Vec<Option<Task<Out>>>,
    fates: Vec<Option<Fate>>,
    callers: Vec<Caller>,
    /// Jobs that belong to callers, which may drop them while they wait.
    called: HashSet<Id>,
    /// Jobs that first await others.
    followers: HashSet<Id>,
    /// What methods said of jobs.
    heard: Heard,
    /// Jobs of `map`, which the model cannot tell whether they wait already.
    lazy: HashSet<Id>,
    /// Whether the model knows what waits, and in which order: not while `map` has items that nobody sees, or a task lends
    /// its slot.
    is_exact: bool,
}

/// Results, by job.
#[derive(Clone, Default)]
struct Heard(Rc<RefCell<Vec<(Id, Fate)>>>);

impl Heard {
    fn note(&self, id: Id, result: &Result<Out, TaskError>) {
        self.0.borrow_mut().push((id, Fate::of(id, result)));
    }
}

impl Fate {
    fn of(id: Id, result: &Result<Out, TaskError>) -> Self {
        match result {
            &Ok(out) => {
                assert_eq!(id_of(out), id, "the result of another");
                Self::Ended
            }
            Err(TaskError::Cancelled) => Self::Cancelled,
            Err(error) => {
                assert!(error.is_panic());
                Self::Panicked
            }
        }
    }
}

impl Scoped {
    fn new(size: usize) -> Self {
        let door = Door::default();
        let passing = door.clone();
        let handle = Rc::new(RefCell::new(None));
        let leaving = Rc::clone(&handle);
        let mut scope: Pin<Box<dyn Future<Output = ()>>> = Box::pin(local_scope(size, async move |pool| {
            leaving.replace(Some(pool));
            passing.pass().await;
        }));
        let mut model = Reference::new(size.max(1), None, false);
        model.open = true;
        model.catching = true;
        let bench = Bench::new(model);
        assert!(scope.as_mut().poll(&mut Context::from_waker(&bench.waker)).is_pending());
        let pool = handle.take().expect("the body has been polled");
        Self {
            bench,
            scope,
            over: false,
            pool,
            door,
            tasks: vec![],
            fates: vec![],
            callers: vec![],
            called: HashSet::new(),
            followers: HashSet::new(),
            heard: Heard::default(),
            lazy: HashSet::new(),
            is_exact: true,
        }
    }

    fn job(&mut self, plan: Plan) -> Id {
        self.tasks.push(None);
        self.fates.push(None);
        self.bench.world.job(plan)
    }

    /// Brings model and fates up to date.
    fn settle(&mut self) {
        let model = &mut self.bench.model;
        model.in_turn = self.is_exact;
        for event in self.bench.world.take_events() {
            let mut fate = None;
            let paused = model.paused;
            match event {
                Event::Polled(id) => {
                    assert_eq!(self.fates[id], None, "polled after its end");
                    // It takes its slot again, paused or not.
                    model.paused &= !self.followers.contains(&id);
                }
                Event::Ended(id) | Event::Failed(id) => fate = Some((id, Fate::Ended)),
                Event::Panicked(id) => fate = Some((id, Fate::Panicked)),
                Event::Dropped(id) if self.called.contains(&id) => {
                    model.waiting.retain(|&other| other != id);
                }
                _ => {}
            }
            if let Some((id, fate)) = fate {
                assert_eq!(self.fates[id].replace(fate), None, "{id} has ended twice");
            }
            model.happened(event);
            model.paused = paused;
            // Results are the tasks' own.
            for id in model.finished.clone() {
                model.take(id);
            }
        }
        for (id, fate) in self.heard.0.take() {
            let unknown = self.over || self.lazy.contains(&id);
            let expected = self.fates[id].or(unknown.then_some(Fate::Cancelled));
            assert_eq!(Some(fate), expected, "the fate of {id}");
        }
    }

    fn poll(&mut self) {
        if self.over {
            return;
        }
        self.bench.model.begin(Call::Until);
        let before = self.bench.wakes.count();
        let outcome = self.bench.attempt(|cx| self.scope.as_mut().poll(cx).map(|()| Outcome::Ready(None)));
        self.settle();
        self.bench.parked = (outcome == Outcome::Pending).then_some(before);
        match outcome {
            Outcome::Pending => {}
            Outcome::Ready(None) => {
                self.over = true;
                assert_eq!(self.bench.model.active.len(), 0, "ended with futures left");
                assert!(!self.is_exact || self.bench.model.len() == 0, "ended with futures left");
            }
            other => panic!("{other:?}"),
        }
        // What was cancelled is gone.
        if self.is_exact {
            assert_eq!(self.bench.world.alive(), self.bench.model.len(), "futures alive");
        }
    }

    fn push(&mut self, plan: Plan) {
        let id = self.job(plan);
        let task = self.pool.spawn_n(self.bench.world.future(id));
        self.spawned(id, task);
    }

    fn spawned(&mut self, id: Id, task: Task<Out>) {
        if self.over {
            assert!(task.is_finished(), "spawned after the end");
            self.fates[id] = Some(Fate::Cancelled);
        } else {
            self.bench.model.waiting.push(id);
        }
        self.tasks[id] = Some(task);
    }

    /// A task that awaits another, and then does what a job does.
    fn follow(&mut self, plan: Plan, choice: Pick) {
        let Some(task) = self.choose(choice).and_then(|leader| self.tasks[leader].take()) else { return };
        let id = self.job(plan);
        self.followers.insert(id);
        self.is_exact = false;
        let future = self.bench.world.future(id);
        let task = self.pool.spawn_n(async move {
            let _ = task.await;
            future.await
        });
        self.spawned(id, task);
    }

    fn choose(&self, choice: Pick) -> Option<Id> {
        (!self.tasks.is_empty()).then(|| choice.index(self.tasks.len()))
    }

    fn cancel(&mut self, id: Id) {
        let Some(task) = &self.tasks[id] else { return };
        let model = &self.bench.model;
        let going = self.fates[id].is_none();
        let cancelled = task.cancel();
        // One that awaits another neither waits nor is active.
        let known = model.waiting.contains(&id) || model.active.contains(&id);
        assert!(cancelled == (going && known), "cancelled: {cancelled}");
        if cancelled {
            assert!(task.is_finished());
            self.cancelled(id);
            self.bench.must_have_woken();
        }
    }

    /// Whether a task that has started awaits another, and has not come to the job that the model knows.
    fn awaits(&self, id: Id) -> bool {
        self.followers.contains(&id) && self.tasks[id].as_ref().is_none_or(|task| !task.is_finished())
    }

    fn cancelled(&mut self, id: Id) {
        self.fates[id] = Some(Fate::Cancelled);
        self.bench.model.cancel(id);
    }

    /// Looks at a task, and takes its result if there is one.
    fn look(&mut self, id: Id) {
        let Some(task) = &mut self.tasks[id] else { return };
        let poll = Pin::new(task).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(result) = poll else {
            assert_eq!(self.fates[id], None, "the task of {id} is pending");
            return;
        };
        let fate = Fate::of(id, &result);
        assert_eq!(self.fates[id], Some(fate), "the fate of {id}");
        self.tasks[id] = None;
    }

    /// Makes futures for a method; the model does not know when they come to wait.
    fn of_caller(&mut self, plan: Plan, count: usize) -> Vec<Id> {
        let ids: Vec<Id> = (0..count).map(|_| self.job(plan)).collect();
        self.called.extend(&ids);
        if !self.over {
            self.bench.model.waiting.extend(&ids);
        }
        ids
    }

    fn call(&mut self, polls: usize, ids: &[Id], on_drop: OnDrop, future: impl Future<Output = ()> + 'static) {
        let mut caller = Caller::new(ids.to_vec(), on_drop, future);
        for _ in 0..polls {
            if caller.poll().is_ready() {
                self.settle();
                return;
            }
            self.poll();
        }
        self.callers.push(caller);
        self.settle();
    }

    /// Drops a method before it completes.
    fn abandon(&mut self, caller: Caller) {
        let Caller { ids, on_drop, future, .. } = caller;
        drop(future);
        for id in ids {
            let model = &self.bench.model;
            let waits = model.waiting.contains(&id);
            if match on_drop {
                OnDrop::Waiting => waits,
                OnDrop::All => waits || model.active.contains(&id),
                OnDrop::Untaken => false,
            } {
                self.cancelled(id);
            }
        }
    }

    fn itermap(&mut self, plan: Plan, count: usize, mode: Mode, polls: usize) {
        let ids = self.of_caller(plan, count);
        let (pool, world) = (self.pool.clone(), self.bench.world.clone());
        self.call(polls, &ids.clone(), OnDrop::All, async move {
            let stream = pool.itermap(ids.clone(), |id| world.future(id));
            let results: Vec<Result<Out, TaskError>> = match mode {
                Mode::Flat => stream.collect().await,
                Mode::Keyed => stream.keyed().map(|(_, result)| result).collect().await,
                Mode::Batches => {
                    let batches: Vec<_> = stream.batches(Result::is_err).collect().await;
                    assert!(batches.iter().all(|batch| !batch.is_empty()), "an empty batch");
                    batches.into_iter().flatten().collect()
                }
            };
            assert_eq!(results.len(), ids.len(), "a result for each");
            let mut outs: Vec<Id> = results.into_iter().flatten().map(id_of).collect();
            outs.sort_unstable();
            assert!(outs.windows(2).all(|two| two[0] < two[1]) && outs.iter().all(|id| ids.contains(id)));
        });
    }

    #[allow(clippy::too_many_lines)]
    fn apply(&mut self, op: Op) {
        let jobs = self.bench.world.jobs();
        let (pool, world) = (self.pool.clone(), self.bench.world.clone());
        match op {
            Op::Complete(job, then) if jobs > 0 => world.complete(job.index(jobs), then),
            Op::CompleteMany(count) => {
                (jobs.saturating_sub(count)..jobs).for_each(|id| world.complete(id, Then::Finish));
            }
            Op::Wake(job, abroad) if jobs > 0 => world.wake(job.index(jobs), abroad),
            Op::WakeLate(choice, abroad) => world.wake_late(choice.index(1000), abroad),
            Op::Push(plan) => self.push(plan),
            Op::PushMany(plan, count) => {
                let ids: Vec<Id> = (0..count).map(|_| self.job(plan)).collect();
                let tasks = pool.map_n(ids.iter().copied(), |id| world.future(id));
                ids.into_iter().zip(tasks).for_each(|(id, task)| self.spawned(id, task));
            }
            Op::TrySpawn(plan) => {
                let id = self.job(plan);
                let fits = self.bench.model.len() < self.bench.model.size;
                let exact = self.is_exact && !self.over;
                match pool.try_spawn(world.future(id)) {
                    Ok(task) => {
                        assert!(fits || !exact);
                        self.spawned(id, task);
                    }
                    Err(future) => {
                        assert!(!fits || !exact);
                        drop(future);
                    }
                }
            }
            Op::Follow(plan, leader) => self.follow(plan, leader),
            Op::Cancel(choice) => self.choose(choice).into_iter().for_each(|id| self.cancel(id)),
            Op::CancelAll => {
                let count = pool.cancel_all();
                let model = &self.bench.model;
                assert!(count == model.len() || !self.is_exact, "cancelled {count}");
                for id in [&model.waiting[..], &model.active].concat() {
                    if self.bench.model.active.contains(&id) || !self.lazy.contains(&id) {
                        self.cancelled(id);
                    }
                }
            }
            Op::CancelWaiting => {
                let count = pool.cancel_waiting();
                let waiting = self.bench.model.waiting.clone();
                assert!(count == waiting.len() || !self.is_exact, "cancelled {count}");
                for id in waiting {
                    if self.followers.contains(&id) && self.tasks[id].is_none() {
                        // Nobody can tell whether it has started.
                        self.called.insert(id);
                    }
                    if !self.lazy.contains(&id) && !self.awaits(id) {
                        self.cancelled(id);
                    }
                }
            }
            Op::Take(choice) => self.choose(choice).into_iter().for_each(|id| self.look(id)),
            Op::Detach(choice) => self.choose(choice).into_iter().for_each(|id| drop(self.tasks[id].take())),
            Op::SetSize(size) => {
                self.bench.model.set_size(size);
                pool.set_size(size);
            }
            Op::Pause => {
                self.bench.model.paused = true;
                pool.pause();
            }
            Op::Resume => {
                self.bench.model.paused = false;
                pool.resume();
            }
            Op::Poll(times) => (0..times).for_each(|_| self.poll()),
            Op::Close => self.door.open(),
            Op::Join(polls) => self.call(polls, &[], OnDrop::Waiting, async move { pool.join().await }),
            Op::Idle(polls) => self.call(polls, &[], OnDrop::Waiting, async move { pool.idle().await }),
            Op::Spawn(plan, polls) => {
                let (id, heard) = (self.of_caller(plan, 1)[0], self.heard.clone());
                self.call(polls, &[id], OnDrop::Waiting, async move {
                    let task = pool.spawn(world.future(id)).await;
                    heard.note(id, &task.await);
                });
            }
            Op::Exec(plan, polls) => {
                let (id, heard) = (self.of_caller(plan, 1)[0], self.heard.clone());
                self.call(
                    polls,
                    &[id],
                    OnDrop::Waiting,
                    async move { heard.note(id, &pool.exec(world.future(id)).await) },
                );
            }
            Op::MapAll(plan, count, polls) => {
                self.is_exact = false;
                let (ids, heard) = (self.of_caller(plan, count), self.heard.clone());
                self.lazy.extend(&ids);
                self.call(polls, &ids.clone(), OnDrop::Untaken, async move {
                    let results = pool.map(ids.clone(), |id| world.future(id)).await;
                    assert_eq!(results.len(), ids.len(), "a result for each");
                    for (id, result) in ids.into_iter().zip(&results) {
                        heard.note(id, result);
                    }
                });
            }
            Op::IterMap(plan, count, mode, polls) => self.itermap(plan, count, mode, polls),
            Op::Resumed(choice) if !self.callers.is_empty() => {
                let caller = choice.index(self.callers.len());
                if self.callers[caller].poll().is_ready() {
                    self.callers.swap_remove(caller);
                }
            }
            Op::Abandon(choice) if !self.callers.is_empty() => {
                let caller = self.callers.swap_remove(choice.index(self.callers.len()));
                self.abandon(caller);
            }
            _ => {}
        }
        self.settle();
    }

    fn compare(&self) {
        let (model, pool) = (&self.bench.model, &self.pool);
        if self.is_exact && !self.over {
            assert_eq!(pool.waiting(), model.waiting.len(), "waiting");
            assert_eq!(pool.active(), model.active.len(), "active");
            assert_eq!(pool.len(), model.len(), "len");
            assert_eq!(pool.executed(), model.executed, "executed");
        }
        assert!(pool.active() >= model.active.len(), "active");
        assert_eq!(pool.size(), model.size, "size");
        assert_eq!(pool.is_paused(), model.paused, "is_paused");
        if self.bench.parked.is_some_and(|before| self.bench.wakes.count() == before) {
            let idle = pool.waiting() > 0 && pool.active() < pool.size() && !pool.is_paused();
            assert!(!idle, "less than there could be: {pool:?}");
            assert!(model.is_asleep(), "a wake-up was lost");
        }
    }

    /// Lets everything end, and checks that it does without a wake-up missing.
    fn finish(mut self) {
        self.apply(Op::Resume);
        self.apply(Op::Close);
        self.apply(Op::CompleteMany(usize::MAX));
        while !self.over || !self.callers.is_empty() {
            let scope_is_woken = self.bench.parked.is_none_or(|before| self.bench.wakes.count() > before);
            assert!(
                (scope_is_woken && !self.over) || self.callers.iter().any(Caller::is_woken),
                "stuck: {:?} with {} callers",
                self.pool,
                self.callers.len()
            );
            self.poll();
            self.callers.retain_mut(|caller| !caller.is_woken() || caller.poll().is_pending());
            self.settle();
            self.compare();
        }
        assert_eq!(self.bench.world.alive(), 0);
        assert!(self.pool.is_empty());
        for id in 0..self.tasks.len() {
            self.look(id);
            assert!(self.tasks[id].is_none(), "{id} has no result");
        }
    }

    fn drop_early(mut self) {
        drop(self.scope);
        // Those who still wait for it hear that it has gone.
        for caller in &mut self.callers {
            while caller.is_woken() {
                if caller.poll().is_ready() {
                    break;
                }
            }
        }
        drop((self.callers, self.tasks));
        self.bench.gone();
    }
}

pub fn run(size: usize, ops: Vec<Op>, finish: bool) {
    let mut scoped = Scoped::new(size);
    for op in ops {
        scoped.apply(op);
        scoped.compare();
    }
    if finish { scoped.finish() } else { scoped.drop_early() }
}
