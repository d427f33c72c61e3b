//! [`Ends`]: who waits for tasks to end, by `join`, or to come to rest, by `idle`.
//!
//! Whether that has come about is decided under the lock under which tasks are counted: when somebody begins to wait, and
//! whenever the scope [serves](Control::serve) those who do, which it does after each change of the counts and before it rests.
//! So nobody has to wake it in order to be heard.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use super::control::{Control, Id, State};
use super::lending::{Wait, Waiter};
use crate::panic::wake_and_contain;

/// Who waits for what. An entry for which it has come about is gone.
#[derive(Default)]
pub(super) struct Ends {
    /// Joins inside of tasks, which wait for the tasks that do not join.
    inside: Entries,
    /// All other joins.
    outside: Entries,
    idle: Entries,
}

type Entries = BTreeMap<u64, Entry>;

struct Entry {
    waker: Waker,
    /// The task, if it is one of the scope's own.
    waiter: Waiter,
    /// Who is told when it has come about.
    done: Waiter,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Join,
    Idle,
}

impl Ends {
    pub(super) fn len(&self) -> usize {
        self.inside.len() + self.outside.len() + self.idle.len()
    }

    fn entries(&mut self, end: End, is_inside: bool) -> &mut Entries {
        match end {
            End::Join if is_inside => &mut self.inside,
            End::Join => &mut self.outside,
            End::Idle => &mut self.idle,
        }
    }
}

impl State {
    /// Takes out all for whom it has come about, and adds whom to wake.
    pub(super) fn end_waits(&mut self, control: &Control, wakers: &mut Vec<Waker>) {
        let len = self.len(control);
        if len == 0 || self.is_closed {
            let ended = mem::take(&mut self.ends.outside);
            wakers.extend(ended.into_values().map(|entry| entry.waker));
        }
        if !self.ends.inside.is_empty() && (len <= self.lending.joining() || self.is_closed) {
            let ended = mem::take(&mut self.ends.inside);
            for entry in ended.values() {
                self.lending.set_joining(entry.waiter, false);
            }
            self.release(control, ended, wakers);
        }
        if !self.ends.idle.is_empty() {
            self.end_idle(control, wakers);
        }
    }

    fn end_idle(&mut self, control: &Control, wakers: &mut Vec<Waker>) {
        if self.is_idle(control, None) || self.is_closed {
            let ended = mem::take(&mut self.ends.idle);
            self.release(control, ended, wakers);
        } else if self.lending.lent_by_lend() == 1 {
            // It may be the one that waits.
            let itself = |(_, entry): &(&u64, &Entry)| self.is_idle(control, Some(entry.waiter.task));
            let key = self.ends.idle.iter().filter(|(_, entry)| entry.waiter != Waiter::NOBODY).find(itself);
            if let Some(key) = key.map(|(&key, _)| key) {
                let ended = self.ends.idle.remove(&key).map(|entry| (key, entry)).into_iter().collect();
                self.release(control, ended, wakers);
            }
        }
    }

    fn release(&mut self, control: &Control, ended: Entries, wakers: &mut Vec<Waker>) {
        for entry in ended.into_values() {
            self.done(control, entry.done);
            wakers.push(entry.waker);
        }
    }

    /// Returns whether nothing is active, or will be before something else happens; apart from the task that asks.
    fn is_idle(&self, control: &Control, asking: Option<Id>) -> bool {
        let waits = self.counts.waiting(control.spawned()) + self.counts.reserved() > 0;
        if self.lending.claims() > 0 || (waits && !control.is_paused()) {
            return false;
        }
        let itself = asking.map_or((false, false), |task| self.lending.is_lent(task));
        let (is_lent, is_by_lend) = itself;
        let is_active = asking.is_some() && !is_lent;
        self.active() == usize::from(is_active) && self.lending.lent_by_lend() == usize::from(is_by_lend)
    }
}

/// Enters with the scope that an operation waits for an [`End`].
///
/// The owner takes the entry back with [`end`](Self::end) before this is dropped.
pub(super) struct EndWait {
    end: End,
    wait: Wait,
    /// The entry, or 0. If it is gone, what is waited for has come about.
    key: u64,
    task: Option<Id>,
}

impl EndWait {
    pub(super) const fn new(end: End) -> Self {
        Self { end, wait: Wait::new(), key: 0, task: None }
    }

    /// Returns whether what is waited for has come about, and the task in which this is polled has a slot.
    pub(super) fn poll(&mut self, control: &Control, waker: &Waker) -> bool {
        let task = control.polling();
        if self.key != 0 && self.task != task {
            self.end(control);
        }
        self.task = task;
        self.wait.begin(control, waker);
        let (waiter, done) = (self.wait.entered(), self.wait.waiter(control));
        let (end, is_inside) = (self.end, task.is_some());
        let mut new = Some(waker.clone());
        // The entry gets its waker last, so that it is not woken for what this call finds out.
        let (is_over, wakers, old) = control.with(|state| {
            let mut wakers = Vec::new();
            let is_new = self.key == 0;
            if is_new {
                self.key = state.lending.new_key();
                if end == End::Join || !state.is_idle(control, task) {
                    let entry = Entry { waker: Waker::noop().clone(), waiter: Waiter::NOBODY, done };
                    state.ends.entries(end, is_inside).insert(self.key, entry);
                }
            }
            if let Some(entry) = state.ends.entries(end, is_inside).get_mut(&self.key) {
                entry.done = done;
                let old = mem::replace(&mut entry.waiter, waiter);
                let is_other_turn = old != waiter;
                if is_other_turn && end == End::Join {
                    state.lending.set_joining(old, false);
                    state.lending.set_joining(waiter, true);
                }
                if is_new || is_other_turn {
                    state.end_waits(control, &mut wakers);
                }
            }
            let entry = state.ends.entries(end, is_inside).get_mut(&self.key);
            let old = entry.and_then(|entry| new.take().map(|new| mem::replace(&mut entry.waker, new)));
            (old.is_none(), wakers, old)
        });
        drop((old, new));
        for waker in wakers {
            wake_and_contain(waker);
        }
        if !is_over || !self.wait.regain(control, waker) {
            return false;
        }
        self.key = 0;
        true
    }

    pub(super) fn end(&mut self, control: &Control) {
        if self.key != 0 {
            let (end, is_inside) = (self.end, self.task.is_some());
            let entry = control.with(|state| {
                let entry = state.ends.entries(end, is_inside).remove(&self.key);
                if let (Some(entry), End::Join) = (&entry, end) {
                    state.lending.set_joining(entry.waiter, false);
                }
                entry
            });
            drop(entry);
            self.key = 0;
        }
        self.wait.end(control);
    }
}
