//! Futures, outputs and sources that keep account of themselves: [`Lab`].
//!
//! Of every future that was made for it, a lab knows whether it waits, is active, has finished or is gone, how often it and
//! its output were dropped, and whether the output was delivered. The futures check the law whenever they are polled, and
//! [`Lab::at_rest`] whenever a call has returned. What is wrong is noted, not asserted, since a pool may catch panics;
//! [`Lab::assert_sound`] tells it.
//!
//! Nothing here holds a lock while it calls anybody.

#![allow(dead_code, unreachable_pub)]

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What one run makes, and what became of it.
#[derive(Clone)]
pub struct Lab(Arc<Mutex<State>>);

struct State {
    seed: u64,
    accounts: Vec<Account>,
    jobs: Vec<Record>,
    /// How many futures were polled since the call began.
    polls: usize,
    /// Whether the call under way need not poll anything.
    exempt: bool,
    /// How many sources are alive.
    sources: usize,
    faults: Vec<String>,
    /// Where a panic is planted, how many calls pass before, and whether it was raised.
    plant: Option<(Site, usize)>,
    fired: bool,
}

/// What is known of one pool.
struct Account {
    size: usize,
    max_finished: MaxFinished,
    /// Whether only results whose turn has come count against the bound on results.
    due_only: bool,
    /// The pool whose results are the items of this one.
    upstream: Option<usize>,
    /// How many items the source has left.
    items: usize,
    active: usize,
    finished: usize,
    delivered: usize,
    /// How many outputs were dropped and not delivered.
    discarded: usize,
    /// How many results were delivered since the call began.
    handed: usize,
    /// The jobs, by number.
    jobs: Vec<usize>,
    /// How many jobs at the front have ended.
    prefix: usize,
    /// How many of these have no result.
    prefix_gone: usize,
}

/// What the bound on results means to the calls under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFinished {
    /// Futures are started whatever it is.
    Ignored,
    /// None is started while more results are held.
    Kept(usize),
    /// That is so for some of the calls.
    KeptAtTimes(usize),
    /// Who is active cannot be told from the account.
    Unknown,
}

/// What is known of one future.
struct Record {
    account: usize,
    number: usize,
    role: Role,
    stage: Stage,
    started: bool,
    plan: Plan,
    open: bool,
    waker: Option<Waker>,
    drops: usize,
    output_drops: usize,
    delivered: usize,
}

/// What a future is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is one of a pool's.
    Pooled,
    /// It is the timer of batches.
    Timer,
    /// The consumer of an item made it.
    Item,
    /// It runs under `drive`.
    Driven,
    /// It follows a pool's future in its slot.
    Callback,
}

/// How far a future has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    Active,
    Finished,
    /// Dropped before it has finished.
    Gone,
}

/// What a future does before it finishes.
#[derive(Clone, Copy, Default)]
struct Plan {
    /// It wakes itself so often,
    yields: u8,
    /// then waits at a door until somebody opens it,
    door: bool,
    /// and at its end opens somebody else's.
    opens: bool,
}

/// Where code of the user's runs, in which a panic may be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The poll of a future that was active already, or was not.
    Poll(Role, Stage),
    /// The destructor of a future that had come so far.
    Drop(Role, Stage),
    /// The destructor of an output that was not delivered.
    OutputDrop,
    /// The closure that makes a future for this role.
    Closure(Role),
    /// The rule of batches.
    When,
    SourceNext,
    SourceHint,
    SourceDrop,
    /// The body of a scope, when it was polled before and when not.
    Body,
    BodyDrop,
    WakerClone,
    WakerWake,
    WakerWakeByRef,
    WakerDrop,
}

/// The payload of a planted panic.
struct Planted(Site);

/// Returns whether a panic is one that was planted.
pub fn is_planted(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Planted>()
}

/// The account of what belongs to no pool.
pub const OUTSIDE: usize = 0;

/// So many polls may be all that a call has: some are kept back for futures of others.
const NEARLY_ALL_POLLS: usize = 40;

impl Lab {
    /// Makes a lab whose futures go by the seed: with 0 all are ready immediately, with 1 all wait at doors, and else
    /// they are of all kinds.
    pub fn new(seed: u64) -> Self {
        let lab = Self(Arc::new(Mutex::new(State {
            seed,
            accounts: Vec::new(),
            jobs: Vec::new(),
            polls: 0,
            exempt: false,
            sources: 0,
            faults: Vec::new(),
            plant: None,
            fired: false,
        })));
        assert_eq!(lab.account(usize::MAX, MaxFinished::Ignored), OUTSIDE);
        lab
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens an account for a pool.
    pub fn account(&self, size: usize, max_finished: MaxFinished) -> usize {
        self.with(|state| {
            state.accounts.push(Account {
                size,
                max_finished,
                due_only: false,
                upstream: None,
                items: 0,
                active: 0,
                finished: 0,
                delivered: 0,
                discarded: 0,
                handed: 0,
                jobs: Vec::new(),
                prefix: 0,
                prefix_gone: 0,
            });
            state.accounts.len() - 1
        })
    }

    /// Has only results whose turn has come count against the bound on results.
    pub fn count_due_only(&self, account: usize) {
        self.with(|state| state.accounts[account].due_only = true);
    }

    /// Says that the results of one pool are the items of another.
    pub fn put_upstream(&self, upstream: usize, account: usize) {
        self.with(|state| state.accounts[account].upstream = Some(upstream));
    }

    pub fn set_max_finished(&self, account: usize, max_finished: MaxFinished) {
        self.with(|state| state.accounts[account].max_finished = max_finished);
    }

    // Making.

    pub fn job(&self, account: usize) -> Job {
        self.job_for(account, Role::Pooled)
    }

    pub fn job_for(&self, account: usize, role: Role) -> Job {
        let id = self.with(|state| {
            let id = state.jobs.len();
            let number = state.accounts[account].jobs.len();
            state.accounts[account].jobs.push(id);
            let plan = plan(state.seed, id as u64);
            state.jobs.push(Record {
                account,
                number,
                role,
                stage: Stage::Waiting,
                started: false,
                plan,
                open: false,
                waker: None,
                drops: 0,
                output_drops: 0,
                delivered: 0,
            });
            id
        });
        Job { lab: self.clone(), id, pinned: PhantomPinned }
    }

    /// Makes a source of so many items.
    pub fn source(&self, account: usize, items: usize) -> Source {
        self.with(|state| {
            state.accounts[account].items += items;
            state.sources += 1;
        });
        Source { lab: self.clone(), account, left: items, next: 0 }
    }

    /// Makes an item of the source, that the library makes itself, known as taken.
    pub fn took_item(&self, account: usize) {
        self.with(|state| state.accounts[account].items -= 1);
    }

    /// Records that an output has come out of its pool.
    #[expect(clippy::needless_pass_by_value, reason = "it goes no further")]
    pub fn deliver(&self, output: Output) {
        self.with(|state| {
            let record = &mut state.jobs[output.id];
            record.delivered += 1;
            let account = record.account;
            if record.delivered > 1 {
                state.faults.push(format!("the output of {} is delivered twice", output.id));
            }
            state.accounts[account].delivered += 1;
            state.accounts[account].handed += 1;
        });
    }

    // Calls.

    /// Says that a call begins that may poll futures.
    pub fn begin_call(&self) {
        self.with(|state| {
            (state.polls, state.exempt) = (0, false);
            for account in &mut state.accounts {
                account.handed = 0;
            }
        });
    }

    /// Says that a call begins after one that has panicked, and that may not have got to hand over what it was to.
    pub fn begin_call_again(&self) {
        self.with(|state| (state.polls, state.exempt) = (0, false));
    }

    /// Says that the call under way need not poll anything.
    pub fn exempt_call(&self) {
        self.with(|state| state.exempt = true);
    }

    /// Checks that no account has less active than it may have, now that a call has returned. If it has used up its polls,
    /// it may have; but it must have returned something, or have woken its task.
    pub fn at_rest(&self, has_woken_or_ended: bool) {
        self.with(|state| {
            let used_up = has_woken_or_ended && state.polls >= NEARLY_ALL_POLLS;
            for index in 0..state.accounts.len() {
                let upstream = state.accounts[index].upstream.map_or(0, |upstream| state.due(upstream));
                let held = state.held(index);
                let account = &state.accounts[index];
                let queued = account.jobs.len() - account.active - account.ended(&state.jobs);
                let waiting = account.items + queued + upstream;
                let full = match account.max_finished {
                    MaxFinished::Ignored => false,
                    MaxFinished::Unknown => true,
                    // The one about to be handed over is included, or the whole batch.
                    MaxFinished::Kept(max_finished) => held + account.handed.min(1) > max_finished,
                    MaxFinished::KeptAtTimes(max_finished) => held + account.handed > max_finished,
                };
                if index != OUTSIDE
                    && !state.exempt
                    && account.active < account.size
                    && waiting > 0
                    && !full
                    && !used_up
                {
                    let what = format!(
                        "at rest, {} of {} are active, {waiting} wait, {held} are held, the max_finished is {:?}",
                        account.active, account.size, account.max_finished
                    );
                    state.faults.push(what);
                }
            }
        });
    }

    /// Opens the door of an active future that waits there; returns whether there was one.
    pub fn open_one(&self, choice: usize) -> bool {
        let waker = self.with(|state| {
            let asleep = state.asleep();
            let id = *asleep.get(choice % asleep.len().max(1))?;
            Some(state.open(id))
        });
        if let Some(waker) = waker {
            waker.into_iter().for_each(Waker::wake);
            return true;
        }
        false
    }

    /// Opens a door at which nobody waits yet, if there is one.
    pub fn open_ahead(&self, choice: usize) {
        self.with(|state| {
            let ahead = state.jobs.iter_mut().filter(|job| job.stage == Stage::Waiting && job.plan.door && !job.open);
            let ahead: Vec<_> = ahead.collect();
            let len = ahead.len().max(1);
            if let Some(job) = ahead.into_iter().nth(choice % len) {
                job.open = true;
            }
        });
    }

    /// Wakes an active future for nothing.
    pub fn wake_one(&self, choice: usize) {
        let waker = self.with(|state| {
            let asleep = state.asleep();
            let id = *asleep.get(choice % asleep.len().max(1))?;
            state.jobs[id].waker.clone()
        });
        waker.iter().for_each(Waker::wake_by_ref);
    }

    // What is.

    /// Returns how many are waiting, active, finished and not delivered, and how many have finished at all, without those
    /// whose outputs were lost.
    pub fn counts(&self, account: usize) -> [usize; 4] {
        self.with(|state| {
            let account = &state.accounts[account];
            let queued = account.jobs.len() - account.active - account.ended(&state.jobs);
            let executed = account.finished - account.discarded;
            [queued, account.active, executed - account.delivered, executed]
        })
    }

    pub fn stage(&self, id: usize) -> Stage {
        self.with(|state| state.jobs[id].stage)
    }

    pub fn number(&self, id: usize) -> usize {
        self.with(|state| state.jobs[id].number)
    }

    pub fn is_delivered(&self, id: usize) -> bool {
        self.with(|state| state.jobs[id].delivered > 0)
    }

    /// Returns those of a pool's futures whose outputs were not delivered, with the stages that they came to.
    pub fn undelivered(&self, account: usize) -> Vec<(usize, Stage)> {
        self.with(|state| {
            let jobs = state.accounts[account].jobs.iter().map(|&id| (id, &state.jobs[id]));
            jobs.filter(|(_, job)| job.delivered == 0).map(|(id, job)| (id, job.stage)).collect()
        })
    }

    /// Returns how many have finished, whatever became of their outputs.
    pub fn executed(&self, account: usize) -> usize {
        self.with(|state| state.accounts[account].finished)
    }

    /// Returns whether a future was ever polled.
    pub fn was_started(&self, id: usize) -> bool {
        self.with(|state| state.jobs[id].started)
    }

    pub fn has_finished(&self, id: usize) -> bool {
        self.with(|state| state.jobs[id].stage == Stage::Finished)
    }

    pub fn made(&self, account: usize) -> usize {
        self.with(|state| state.accounts[account].jobs.len())
    }

    /// Returns how many futures, outputs and sources are left that were not dropped.
    pub fn alive(&self) -> usize {
        self.with(|state| {
            let jobs = state.jobs.iter().filter(|job| job.drops == 0).count();
            let outputs = state.jobs.iter().filter(|job| job.stage == Stage::Finished && job.output_drops == 0).count();
            jobs + outputs + state.sources
        })
    }

    /// Notes that something is wrong.
    pub fn fault(&self, what: impl Into<String>) {
        self.with(|state| state.faults.push(what.into()));
    }

    /// Asserts that nothing was wrong so far, and that nothing was dropped twice.
    #[track_caller]
    pub fn assert_sound(&self, of: &dyn fmt::Display) {
        self.with(|state| {
            assert!(state.faults.is_empty(), "{of}: {:#?}", state.faults);
            for (id, job) in state.jobs.iter().enumerate() {
                assert!(job.drops <= 1, "{of}: {id} is dropped {} times", job.drops);
                assert!(job.output_drops <= 1, "{of}: the output of {id} is dropped {} times", job.output_drops);
            }
        });
    }

    // Panics.

    /// Has the call after so many others at a site panic.
    pub fn plant(&self, site: Site, after: usize) {
        self.with(|state| (state.plant, state.fired) = (Some((site, after)), false));
    }

    /// Returns whether the planted panic was raised.
    pub fn fired(&self) -> bool {
        self.with(|state| state.fired)
    }

    /// Says that code of the user's runs at a site: panics if that was planted.
    pub fn touch(&self, site: Site) {
        let fires = self.with(|state| match &mut state.plant {
            Some((planted, after)) if *planted == site => {
                if *after == 0 {
                    state.plant = None;
                    state.fired = true;
                    return true;
                }
                *after -= 1;
                false
            }
            _ => false,
        });
        if fires {
            resume_unwind(Box::new(Planted(site)));
        }
    }
}

impl State {
    /// Returns how many results of a pool are there whose turn has come.
    fn due(&mut self, account: usize) -> usize {
        let Self { accounts, jobs, .. } = self;
        let account = &mut accounts[account];
        while let Some(&id) = account.jobs.get(account.prefix) {
            match jobs[id].stage {
                Stage::Finished => {}
                Stage::Gone => account.prefix_gone += 1,
                Stage::Waiting | Stage::Active => break,
            }
            account.prefix += 1;
        }
        (account.prefix - account.prefix_gone).saturating_sub(account.delivered + account.discarded)
    }

    /// Returns how many results count against the bound on results of a pool.
    fn held(&mut self, account: usize) -> usize {
        let due = self.due(account);
        let account = &self.accounts[account];
        if account.due_only { due } else { account.finished - account.delivered - account.discarded }
    }

    fn asleep(&self) -> Vec<usize> {
        let asleep = self.jobs.iter().enumerate();
        let asleep = asleep.filter(|(_, job)| job.stage == Stage::Active && job.waker.is_some() && !job.open);
        asleep.map(|(id, _)| id).collect()
    }

    fn open(&mut self, id: usize) -> Option<Waker> {
        self.jobs[id].open = true;
        self.jobs[id].waker.take()
    }

    /// Records that a future is polled, and checks the law.
    fn polled(&mut self, id: usize) {
        self.polls += 1;
        let account = self.jobs[id].account;
        match self.jobs[id].stage {
            Stage::Active => {}
            Stage::Waiting => {
                let held = self.held(account);
                self.jobs[id].stage = Stage::Active;
                self.jobs[id].started = true;
                let account = &mut self.accounts[account];
                account.active += 1;
                if account.active > account.size {
                    self.faults.push(format!("{} are active, of {}", account.active, account.size));
                }
                if let MaxFinished::Kept(max_finished) = account.max_finished {
                    if held > max_finished {
                        self.faults.push(format!("started while {held} results are held, of {max_finished}"));
                    }
                }
            }
            Stage::Finished | Stage::Gone => self.faults.push(format!("{id} is polled after its end")),
        }
    }

    /// Records that a future has finished. Returns whom it wakes.
    fn finish(&mut self, id: usize) -> Option<Waker> {
        let Record { account, plan, .. } = self.jobs[id];
        self.jobs[id].stage = Stage::Finished;
        self.accounts[account].active -= 1;
        self.accounts[account].finished += 1;
        let next = self.asleep().into_iter().find(|&other| plan.opens && self.jobs[other].role == Role::Pooled)?;
        self.open(next)
    }
}

impl Account {
    /// Returns how many of its jobs have finished or are gone.
    fn ended(&self, jobs: &[Record]) -> usize {
        self.jobs[self.prefix..].iter().filter(|&&id| matches!(jobs[id].stage, Stage::Finished | Stage::Gone)).count()
            + self.prefix
    }
}

fn plan(seed: u64, id: u64) -> Plan {
    match seed {
        0 => Plan::default(),
        1 => Plan { door: true, ..Plan::default() },
        _ => {
            let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            Plan { yields: rng.u8(..3), door: rng.bool(), opens: rng.u8(..3) == 0 }
        }
    }
}

/// A future of a lab's. `!Unpin`, so that nobody may rely on moving it.
pub struct Job {
    lab: Lab,
    id: usize,
    pinned: PhantomPinned,
}

impl Job {
    pub fn id(&self) -> usize {
        self.id
    }
}

impl Future for Job {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let Self { lab, id, .. } = &*self;
        let (role, stage) = lab.with(|state| {
            let before = state.jobs[*id].stage;
            state.polled(*id);
            (state.jobs[*id].role, before)
        });
        lab.touch(Site::Poll(role, stage));
        let mut waker = Some(cx.waker().clone());
        let finished = lab.with(|state| {
            let job = &mut state.jobs[*id];
            if job.plan.yields > 0 {
                job.plan.yields -= 1;
                return None;
            }
            if job.plan.door && !job.open {
                mem::swap(&mut job.waker, &mut waker);
                return Some(Err(waker.take()));
            }
            Some(Ok((state.finish(*id), state.jobs[*id].waker.take())))
        });
        match finished {
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Err(old)) => {
                drop(old);
                Poll::Pending
            }
            Some(Ok((other, own))) => {
                let output = Output { lab: lab.clone(), id: *id };
                other.into_iter().for_each(Waker::wake);
                // By hand: what panics on the way out of a function leaks what that returns.
                drop((own, waker));
                Poll::Ready(output)
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let (role, stage, waker) = self.lab.with(|state| {
            let job = &mut state.jobs[self.id];
            let stage = job.stage;
            job.drops += 1;
            if stage != Stage::Finished {
                job.stage = Stage::Gone;
            }
            let account = job.account;
            let role = job.role;
            let waker = job.waker.take();
            state.accounts[account].active -= usize::from(stage == Stage::Active);
            (role, stage, waker)
        });
        drop(waker);
        self.lab.touch(Site::Drop(role, stage));
    }
}

/// What a [`Job`] returns.
pub struct Output {
    lab: Lab,
    id: usize,
}

impl Output {
    pub fn id(&self) -> usize {
        self.id
    }

    pub fn number(&self) -> usize {
        self.lab.number(self.id)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let delivered = self.lab.with(|state| {
            let job = &mut state.jobs[self.id];
            job.output_drops += 1;
            let (account, delivered) = (job.account, job.delivered > 0);
            state.accounts[account].discarded += usize::from(!delivered);
            delivered
        });
        if !delivered {
            self.lab.touch(Site::OutputDrop);
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output").field(&self.id).finish()
    }
}

/// A source of items: the numbers from 0.
pub struct Source {
    lab: Lab,
    account: usize,
    left: usize,
    next: usize,
}

impl Iterator for Source {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left > 0 {
            // What panics is about an item, which is lost.
            self.left -= 1;
            self.lab.took_item(self.account);
            self.next += 1;
            self.lab.touch(Site::SourceNext);
            return Some(self.next - 1);
        }
        self.lab.touch(Site::SourceNext);
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lab.touch(Site::SourceHint);
        (self.left, Some(self.left))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.lab.with(|state| {
            state.sources -= 1;
            state.accounts[self.account].items -= self.left;
        });
        self.lab.touch(Site::SourceDrop);
    }
}
