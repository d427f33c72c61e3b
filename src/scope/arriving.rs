//! [`Arriving`]: many handles, of which one is told as their tasks end.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::ptr;
use core::task::{Context, Poll, Waker};

use super::control::Control;
use super::error::TaskError;
use super::lending::Waiter;
use super::task::Task;
use crate::lock::Lock;
use crate::panic::wake_and_contain;
use crate::sync::Arc;

/// The places of tasks that have ended, and who is told of them.
#[derive(Default)]
pub(super) struct Arrivals {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    places: VecDeque<usize>,
    waker: Option<Waker>,
    awaited: Awaited,
}

/// What one who waits has to be told before it goes on.
#[derive(Clone, Copy)]
pub(super) struct Awaited {
    /// The task that waits, and the address of its scope's control.
    waiter: Waiter,
    control: usize,
    /// After how many more arrivals it has what it waits for.
    left: usize,
}

impl Default for Awaited {
    fn default() -> Self {
        Self { waiter: Waiter::NOBODY, control: 0, left: 0 }
    }
}

impl Awaited {
    /// A task of this scope waits for so many arrivals.
    pub(super) fn new(control: &Control, waiter: Waiter, left: usize) -> Self {
        Self { waiter, control: address(control), left }
    }

    pub(super) fn is_by_somebody(&self) -> bool {
        self.waiter != Waiter::NOBODY
    }
}

fn address(control: &Control) -> usize {
    ptr::from_ref(control).addr()
}

impl Arrivals {
    /// Called when a task is being settled, before its place is pushed: returns which task of this scope has what it has waited
    /// for by that.
    pub(super) fn count_down(&self, control: &Control) -> Waiter {
        self.state.with(|State { awaited, .. }| {
            awaited.left = awaited.left.saturating_sub(1);
            let is_over = awaited.left == 0 && awaited.control == address(control);
            if is_over { awaited.waiter } else { Waiter::NOBODY }
        })
    }

    /// Called when the task with this place is settled.
    pub(super) fn push(&self, place: usize) {
        let waker = self.state.with(|state| {
            state.places.push_back(place);
            state.waker.take()
        });
        if let Some(waker) = waker {
            wake_and_contain(waker);
        }
    }

    /// Takes all places that there are; if there are none, `waker` will be woken when there are.
    fn poll(&self, taken: &mut VecDeque<usize>, awaited: Awaited, waker: &Waker) {
        let mut new = None;
        loop {
            let (done, old) = self.state.with(|state| {
                if !state.places.is_empty() {
                    mem::swap(&mut state.places, taken);
                    return (true, None);
                }
                state.awaited = awaited;
                match &mut state.waker {
                    Some(registered) if registered.will_wake(waker) => (true, None),
                    registered => match new.take() {
                        Some(new) => (true, registered.replace(new)),
                        None => (false, None),
                    },
                }
            });
            drop(old);
            if done {
                return;
            }
            new = Some(waker.clone());
        }
    }
}

/// Tasks of which we are told as they end.
pub(super) struct Arriving<T> {
    /// The tasks by their places; `None` once the result is taken.
    tasks: Vec<Option<Task<T>>>,
    /// How many there are.
    left: usize,
    arrivals: Arc<Arrivals>,
    /// Places taken out of `arrivals`, whose results are still with their tasks.
    arrived: VecDeque<usize>,
}

impl<T> Arriving<T> {
    pub(super) fn new() -> Self {
        Self { tasks: Vec::new(), left: 0, arrivals: Arc::default(), arrived: VecDeque::new() }
    }

    /// Adds a task. Places rise by one from each task to the next.
    pub(super) fn push(&mut self, task: Task<T>) {
        let place = self.tasks.len();
        self.left += 1;
        if task.announce(&self.arrivals, place) {
            self.arrived.push_back(place);
        }
        self.tasks.push(Some(task));
    }

    /// How many have not ended, or have results that were not taken.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Returns how many tasks there were.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task<T>> {
        self.tasks.iter().flatten()
    }

    /// Takes the next result: the task's place, its number, and the result. `None` if there is no task left.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        awaited: Awaited,
    ) -> Poll<Option<(usize, u64, Result<T, TaskError>)>> {
        loop {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            if self.arrived.is_empty() {
                self.arrivals.poll(&mut self.arrived, awaited, cx.waker());
            }
            let Some(place) = self.arrived.pop_front() else { return Poll::Pending };
            let Some(mut task) = self.tasks.get_mut(place).and_then(Option::take) else { continue };
            let Some((_, result)) = task.take() else {
                // Not ended, then: kept until it has.
                self.tasks[place] = Some(task);
                continue;
            };
            self.left -= 1;
            return Poll::Ready(Some((place, task.key().0, result)));
        }
    }
}
