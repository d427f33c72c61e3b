//! [`Hub`]: what the handles of a scope share with it; and how they hand tasks over.

use alloc::vec::Vec;
use core::mem;

use super::cell::Cell;
use super::control::Control;
use super::task::Task;
use crate::lock::Lock;
use crate::sync::Arc;

/// What the handles of a scope share with it.
pub(super) struct Hub<B> {
    pub(super) control: Arc<Control>,
    pub(super) inbox: Lock<Inbox<B>>,
}

/// The tasks that were spawned since the scope last looked.
pub(super) struct Inbox<B> {
    pub(super) tasks: Vec<B>,
    /// Whether the scope has been told to look.
    pub(super) announced: bool,
    pub(super) accepts: Accepts,
    /// The number of the next task.
    next: u64,
}

/// Whose tasks are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    Everybodys,
    /// Those that tasks of the scope spawn: it was closed.
    Tasks,
    /// The scope has ended.
    Nobodys,
}

/// A task in its box, with its cell.
pub(super) struct Packed<T, B> {
    pub(super) task: B,
    pub(super) cell: Arc<Cell<T>>,
}

/// What has become of what was to be spawned.
enum Pushed<T, P> {
    /// It is in the inbox, and the scope has to be told, or not.
    Yes(Arc<Cell<T>>, bool),
    /// There is no room.
    Full(P),
    /// It is not accepted. It would have had this number.
    Refused(P, u64),
}

impl<B> Inbox<B> {
    /// Takes a task with the next number. Returns whether the scope has to be told.
    #[inline(always)]
    fn push<T>(&mut self, task: B, cell: &Cell<T>, control: &Control) -> bool {
        cell.spawned(self.next);
        self.tasks.push(task);
        self.next += 1;
        control.count_spawned(self.next);
        !mem::replace(&mut self.announced, true)
    }

    /// Returns the number of a task that is not accepted, if it is not.
    #[inline(always)]
    fn refuse(&mut self, control: &Control) -> Option<u64> {
        if self.accepts == Accepts::Everybodys { None } else { self.refuse_others(control) }
    }

    #[cold]
    fn refuse_others(&mut self, control: &Control) -> Option<u64> {
        if self.accepts == Accepts::Tasks && control.polling().is_some() {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

impl<B> Hub<B> {
    pub(super) fn new(control: Arc<Control>) -> Self {
        let inbox = Inbox { tasks: Vec::new(), announced: false, accepts: Accepts::Everybodys, next: 0 };
        Self { control, inbox: Lock::new(inbox) }
    }

    /// Accepts only what tasks of the scope spawn from now on.
    pub(super) fn close(&self) {
        self.inbox.with(|inbox| {
            if inbox.accepts == Accepts::Everybodys {
                inbox.accepts = Accepts::Tasks;
            }
        });
        self.control.wake();
    }

    /// Pushes a task, which `pack` makes of a future; gives the future back if there has to be room and is none.
    #[inline(always)]
    pub(super) fn spawn<F, T>(
        &self,
        future: F,
        only_with_room: bool,
        pack: impl FnOnce(F) -> Packed<T, B>,
    ) -> Result<Task<T>, F> {
        let control = &*self.control;
        let pushed = self.inbox.with(|inbox| {
            if let Some(number) = inbox.refuse(control) {
                return Pushed::Refused(future, number);
            }
            if only_with_room && control.is_full() {
                return Pushed::Full(future);
            }
            let Packed { task, cell } = pack(future);
            let announce = inbox.push(task, &cell, control);
            Pushed::Yes(cell, announce)
        });
        self.pushed(pushed)
    }

    /// Pushes a task that was packed before.
    pub(super) fn spawn_packed<T>(&self, packed: Packed<T, B>) -> Task<T> {
        let control = &*self.control;
        let pushed = self.inbox.with(|inbox| {
            if let Some(number) = inbox.refuse(control) {
                return Pushed::Refused(packed, number);
            }
            let announce = inbox.push(packed.task, &packed.cell, control);
            Pushed::Yes(packed.cell, announce)
        });
        match self.pushed(pushed) {
            Ok(task) => task,
            Err(_) => unreachable!("the queue always has room"),
        }
    }

    /// Reserves a place in the queue by a task that does not count as waiting: its cell is a reserved one. `None`: it is not
    /// accepted.
    pub(super) fn reserve<T>(&self, packed: Packed<T, B>) -> Option<Task<T>> {
        let control = &*self.control;
        let pushed = self.inbox.with(|inbox| {
            if let Some(number) = inbox.refuse(control) {
                return Pushed::Refused(packed, number);
            }
            // Both at once, for those who read the counts.
            let announce = control.count(|counts| {
                counts.reserve();
                inbox.push(packed.task, &packed.cell, control)
            });
            Pushed::Yes(packed.cell, announce)
        });
        let Pushed::Yes(..) = &pushed else { return None };
        self.pushed(pushed).ok()
    }

    #[inline(always)]
    fn pushed<T, P>(&self, pushed: Pushed<T, P>) -> Result<Task<T>, P> {
        match pushed {
            Pushed::Yes(cell, announce) => {
                if announce {
                    self.control.wake();
                }
                Ok(Task::new(cell))
            }
            Pushed::Full(future) => Err(future),
            Pushed::Refused(future, number) => {
                drop(future);
                Ok(Task::new(Arc::new(Cell::cancelled(number, Arc::clone(&self.control)))))
            }
        }
    }
}
