//! [`Lending`]: which tasks wait for their own scope, and so lend their slots.
//!
//! A task that waits for its own scope *lends* its slot: it is not active meanwhile, and another task may run. So work
//! that forks and joins needs no slot to wait in, and ends at any size.
//!
//! - The operations that wait (a [`Task`](super::Task), `exec`, `map`, `itermap`, `join`, `idle`, `lend`) know whether they are
//!   polled inside a task of their scope, by the mark that the task leaves while it is polled; the mark names the thread, so
//!   a handle that was moved elsewhere is not mistaken for the task. While it is pending, each is entered as a [`Wait`].
//! - One that was polled with the task's own waker is polled again whenever the task is. So it counts only if the task's
//!   latest poll has polled it: its entry expires when the next poll [begins](Lending::begin_poll). One that was polled with another
//!   waker (by a `FuturesUnordered`, for example) is polled only when it is woken: its entry holds until the operation is over, or
//!   dropped.
//! - When a poll [ends](Lending::end_poll) with a wait entered, the task is lent; with none, it is not any more, and active.
//! - A lent task that is woken is polled, slot or not. When what it waits for has come about, it takes a free slot
//!   [at that moment](Lending::done); if there is none it *claims* one, and the operation stays pending. Claims are served in their
//!   order, before anything that waits to start. Only the thread that polls the scope gives slots away, as it is the one that
//!   starts tasks: where another thread brings it about, the task claims.
//!
//! Each poll in which an entry of the first kind is made has a number of its own, the *turn*, so that one that has expired
//! is known from one that has not.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::mem;
use core::task::Waker;

use hashbrown::HashMap;

use super::control::{Control, Id};
use crate::finished::NumberHasher;

/// What is known of the tasks that wait for their scope.
#[derive(Default)]
pub(super) struct Lending {
    lenders: HashMap<u64, Lender, BuildHasherDefault<NumberHasher>>,
    /// The tasks that claim a slot, in their order.
    claims: BTreeMap<u64, Id>,
    sums: Share,
    /// The turn, and the key, that were given out last.
    last_turn: usize,
    last_key: u64,
}

/// What one task adds to the sums over all of them.
#[derive(Clone, Copy, Default)]
struct Share {
    /// Whether its slot is lent.
    lent: usize,
    /// Whether that is so by `lend`.
    by_lend: usize,
    /// Whether it joins.
    joins: usize,
}

/// A task that waits, or has lent its slot.
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
struct Lender {
    /// The turn of the latest poll.
    turn: usize,
    /// The operations that this poll has entered, with the task's own waker.
    own: Entered,
    /// Those entered with other wakers.
    other: Entered,
    lent: bool,
    claim: Option<Claim>,
    /// Whether the slot was lent when the latest poll began.
    was_lent: bool,
    /// Whether in that poll an operation was entered that had not been, or was over.
    has_moved: bool,
    /// Whether that poll was a second look.
    is_second_look: bool,
}

/// How many operations are entered.
#[derive(Default)]
struct Entered {
    all: usize,
    /// How many of these are by `lend`.
    lends: usize,
    /// How many of these are joins whose end has not come.
    joins: usize,
}

/// A task wants a slot, as something has come about that it has waited for.
pub(super) struct Claim {
    key: u64,
    /// The operations that were polled since, each with its key and turn, and whom to wake when there is a slot.
    wakers: Vec<(u64, usize, Waker)>,
}

type Claims = BTreeMap<u64, Id>;

/// Tells for which task an operation is entered, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) task: Id,
    turn: usize,
}

/// These are not the turns of polls: not entered; entered with a waker that is not the task's own.
const NOT: usize = 0;
const OTHER: usize = 1;

impl Waiter {
    pub(super) const NOBODY: Self = Self { task: 0, turn: NOT };
}

impl Entered {
    fn add(&mut self, is_lend: bool) {
        self.all += 1;
        self.lends += usize::from(is_lend);
    }

    fn remove(&mut self, is_lend: bool) {
        self.all -= 1;
        self.lends -= usize::from(is_lend);
    }
}

impl Lender {
    fn new(turn: usize) -> Self {
        Self {
            turn,
            own: Entered::default(),
            other: Entered::default(),
            lent: false,
            claim: None,
            was_lent: false,
            has_moved: true,
            is_second_look: false,
        }
    }

    fn share(&self) -> Share {
        Share {
            lent: self.lent.into(),
            by_lend: (self.lent && self.own.lends + self.other.lends > 0).into(),
            joins: (self.own.joins + self.other.joins > 0).into(),
        }
    }

    fn waits(&self) -> bool {
        self.own.all + self.other.all > 0
    }

    /// Returns where an operation is counted, unless its entry has expired.
    fn entered(&mut self, turn: usize) -> Option<&mut Entered> {
        match turn {
            NOT => None,
            OTHER => Some(&mut self.other),
            turn => (turn == self.turn).then_some(&mut self.own),
        }
    }

    /// Enters an operation that was entered as `old`, and returns its new turn.
    fn enter(&mut self, old: usize, is_own: bool, is_lend: bool) -> usize {
        let turn = if is_own { self.turn } else { OTHER };
        if turn != old {
            self.has_moved |= old == NOT;
            self.leave(old, is_lend);
            if is_own { &mut self.own } else { &mut self.other }.add(is_lend);
        }
        turn
    }

    fn leave(&mut self, turn: usize, is_lend: bool) {
        if let Some(entered) = self.entered(turn) {
            entered.remove(is_lend);
        }
    }

    /// Makes the task active. Returns its claim, to be dropped.
    fn stop(&mut self, claims: &mut Claims) -> Option<Claim> {
        self.lent = false;
        let claim = self.claim.take()?;
        claims.remove(&claim.key);
        Some(claim)
    }
}

/// What has become of an operation that is over.
pub(super) enum Regain {
    /// The task has a slot, or needs none.
    Done,
    /// The task claims one: the operation has to be polled again when it has it.
    Claimed,
    /// As before, but a waker is needed.
    Waker,
}

impl Lending {
    /// How many tasks have lent their slots.
    pub(super) fn lent(&self) -> usize {
        self.sums.lent
    }

    /// How many have done so by `lend`.
    pub(super) fn lent_by_lend(&self) -> usize {
        self.sums.by_lend
    }

    /// How many tasks are joining.
    pub(super) fn joining(&self) -> usize {
        self.sums.joins
    }

    /// How many of those that have lent their slots claim one.
    pub(super) fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Returns whether a task has lent its slot, and whether by `lend`.
    pub(super) fn is_lent(&self, task: Id) -> (bool, bool) {
        let share = self.lenders.get(&(task as u64)).map_or_else(Share::default, Lender::share);
        (share.lent > 0, share.by_lend > 0)
    }

    pub(super) fn knows(&self, task: Id) -> bool {
        self.lenders.contains_key(&(task as u64))
    }

    /// How many tasks are known here.
    pub(super) fn lenders(&self) -> usize {
        self.lenders.len()
    }

    /// Changes what is known of a task, and the sums with it: the only place where the number of lent slots changes, apart
    /// from [`forget`](Self::forget) and [`forget_all`](Self::forget_all). A task of which nothing is left to know is forgotten.
    fn change<R>(&mut self, task: Id, f: impl FnOnce(&mut Lender, &mut Claims) -> R) -> Option<R> {
        let lender = self.lenders.get_mut(&(task as u64))?;
        let before = lender.share();
        let result = f(lender, &mut self.claims);
        let after = lender.share();
        self.sums.lent = self.sums.lent + after.lent - before.lent;
        self.sums.by_lend = self.sums.by_lend + after.by_lend - before.by_lend;
        self.sums.joins = self.sums.joins + after.joins - before.joins;
        if !lender.lent && !lender.waits() {
            self.lenders.remove(&(task as u64));
        }
        Some(result)
    }

    fn new_turn(&mut self) -> usize {
        self.last_turn = self.last_turn.wrapping_add(1).max(OTHER + 1);
        self.last_turn
    }

    pub(super) fn new_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    /// A poll of a task begins: what was entered with its own waker expires. Returns wakers, to be dropped.
    pub(super) fn begin_poll(&mut self, task: Id) -> Vec<Waker> {
        let turn = self.new_turn();
        let expired = self.change(task, |lender, _| {
            lender.turn = turn;
            lender.own = Entered::default();
            (lender.was_lent, lender.has_moved) = (lender.lent, false);
            let Some(claim) = &mut lender.claim else { return Vec::new() };
            let (kept, expired) = mem::take(&mut claim.wakers).into_iter().partition(|&(_, turn, _)| turn == OTHER);
            claim.wakers = kept;
            expired
        });
        expired.unwrap_or_default().into_iter().map(|(_, _, waker)| waker).collect()
    }

    /// A poll of a task has ended, and the task has not: it is lent if it waits. Returns whether it has to be polled once
    /// more, and a claim, to be dropped.
    ///
    /// A lent task that was woken by something else may have stopped waiting in the middle of a poll: a timeout polls the
    /// handle first, and then finds that its time is over. One more poll tells whether the handle is still polled.
    pub(super) fn end_poll(&mut self, task: Id) -> (bool, Option<Claim>) {
        let ended = self.change(task, |lender, claims| {
            if !lender.waits() {
                return (false, lender.stop(claims));
            }
            lender.lent = true;
            let unused = lender.claim.take_if(|claim| claim.wakers.is_empty());
            if let Some(claim) = &unused {
                claims.remove(&claim.key);
            }
            let may_have_stopped = lender.was_lent && !lender.has_moved && lender.claim.is_none();
            lender.is_second_look =
                may_have_stopped && !lender.is_second_look && lender.other.all == 0 && lender.own.lends == 0;
            (lender.is_second_look, unused)
        });
        ended.unwrap_or_default()
    }

    /// Enters an operation that is pending in a task that is being polled, and was entered for it as `old`.
    pub(super) fn enter(&mut self, task: Id, old: Waiter, is_own: bool, is_lend: bool) -> Waiter {
        if !self.lenders.contains_key(&(task as u64)) {
            let turn = self.new_turn();
            self.lenders.insert(task as u64, Lender::new(turn));
        }
        let turn = self.change(task, |lender, _| lender.enter(old.turn, is_own, is_lend));
        turn.map_or(Waiter::NOBODY, |turn| Waiter { task, turn })
    }

    /// An operation was dropped, or continues elsewhere. A task that waits for nothing else is active from now on. Returns
    /// what is to be dropped.
    pub(super) fn leave(&mut self, waiter: Waiter, op: Op) -> (Option<Claim>, Option<Waker>) {
        let left = self.change(waiter.task, |lender, claims| {
            lender.leave(waiter.turn, op.is_lend);
            let waker = lender.claim.as_mut().and_then(|claim| {
                let place = claim.wakers.iter().position(|&(other, ..)| other == op.key)?;
                Some(claim.wakers.swap_remove(place).2)
            });
            let claim = if lender.waits() { None } else { lender.stop(claims) };
            (claim, waker)
        });
        left.unwrap_or_default()
    }

    /// An operation is over, and not polled yet: its task takes a free slot, or claims one, if it has none.
    pub(super) fn done(&mut self, waiter: Waiter, has_room: bool) {
        let has_room = has_room && self.claims.is_empty();
        let key = self.new_key();
        self.change(waiter.task, |lender, claims| {
            if !lender.lent || lender.claim.is_some() || lender.entered(waiter.turn).is_none() {
                return;
            }
            if has_room {
                lender.lent = false;
            } else {
                claims.insert(key, waiter.task);
                lender.claim = Some(Claim { key, wakers: Vec::new() });
            }
        });
    }

    /// An operation that is over is polled in its task, which may have lent its slot. With `needs_slot`, it takes one before it
    /// continues. Returns a claim, to be dropped.
    #[expect(clippy::too_many_arguments)]
    pub(super) fn regain(
        &mut self,
        waiter: &mut Waiter,
        op: &mut Op,
        is_own: bool,
        needs_slot: bool,
        has_room: bool,
        waker: &Waker,
        new: &mut Option<Waker>,
    ) -> (Regain, Option<Claim>) {
        let first = self.claims.first_key_value().map(|(&key, _)| key);
        let key = self.new_key();
        let regained = self.change(waiter.task, |lender, claims| {
            let own_key = lender.claim.as_ref().map(|claim| claim.key);
            if !lender.lent || !needs_slot || (has_room && (first.is_none() || first == own_key)) {
                lender.leave(waiter.turn, op.is_lend);
                lender.has_moved = true;
                let claim = if lender.lent && needs_slot { lender.stop(claims) } else { None };
                return (Regain::Done, claim);
            }
            waiter.turn = lender.enter(waiter.turn, is_own, op.is_lend);
            let claim = lender.claim.get_or_insert_with(|| {
                claims.insert(key, waiter.task);
                Claim { key, wakers: Vec::new() }
            });
            if op.key == 0 {
                op.key = key << 1;
            }
            match claim.wakers.iter_mut().find(|(other, ..)| *other == op.key) {
                Some((_, turn, old)) if old.will_wake(waker) => *turn = waiter.turn,
                Some((_, turn, old)) => match new {
                    // The old one is dropped later.
                    Some(new) => {
                        mem::swap(old, new);
                        *turn = waiter.turn;
                    }
                    None => return (Regain::Waker, None),
                },
                None => match new.take() {
                    Some(waker) => claim.wakers.push((op.key, waiter.turn, waker)),
                    None => return (Regain::Waker, None),
                },
            }
            (Regain::Claimed, None)
        });
        regained.unwrap_or((Regain::Done, None))
    }

    /// Counts a join of a task in, or out.
    pub(super) fn set_joining(&mut self, waiter: Waiter, joins: bool) {
        self.change(waiter.task, |lender, _| {
            if let Some(entered) = lender.entered(waiter.turn) {
                entered.joins = if joins { entered.joins + 1 } else { entered.joins.saturating_sub(1) };
            }
        });
    }

    /// Gives a free slot to the first that claims one. Returns whom to wake.
    pub(super) fn grant(&mut self) -> Option<impl Iterator<Item = Waker> + use<>> {
        let (_, task) = self.claims.pop_first()?;
        let claim = self.change(task, Lender::stop).flatten();
        Some(claim.into_iter().flat_map(|claim| claim.wakers).map(|(_, _, waker)| waker))
    }

    /// A task has ended. Returns its claim, to be dropped.
    pub(super) fn forget(&mut self, task: Id) -> Option<Claim> {
        let mut lender = self.lenders.remove(&(task as u64))?;
        let share = lender.share();
        self.sums.lent -= share.lent;
        self.sums.by_lend -= share.by_lend;
        self.sums.joins -= share.joins;
        lender.stop(&mut self.claims)
    }

    /// All tasks that there are were cancelled. Returns what is to be dropped.
    pub(super) fn forget_all(&mut self) -> impl Sized + use<> {
        (self.sums, self.claims) = (Share::default(), BTreeMap::new());
        mem::take(&mut self.lenders)
    }
}

/// Enters an operation with the scope inside whose task it is polled.
///
/// The owner takes the entry back with [`end`](Self::end) before this is dropped.
pub(super) struct Wait {
    entry: Entry,
    op: Op,
}

/// What there is of a [`Wait`] that has an owner who knows the rest.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    waiter: Waiter,
}

/// What is known of an operation.
#[derive(Clone, Copy)]
pub(super) struct Op {
    /// Identifies it among those of its task that claim a slot; 0 before it does.
    key: u64,
    is_lend: bool,
}

impl Op {
    /// Awaiting a task with this number.
    pub(super) fn task(number: u64) -> Self {
        Self { key: number << 1 | 1, is_lend: false }
    }
}

impl Wait {
    pub(super) const fn new() -> Self {
        Self { entry: Entry::new(), op: Op { key: 0, is_lend: false } }
    }

    /// The wait of `lend`.
    pub(super) const fn lend() -> Self {
        Self { entry: Entry::new(), op: Op { key: 0, is_lend: true } }
    }

    /// See [`Entry::begin`].
    #[inline(always)]
    pub(super) fn begin(&mut self, control: &Control, waker: &Waker) {
        self.entry.begin(self.op, control, waker);
    }

    /// See [`Entry::end`].
    #[inline(always)]
    pub(super) fn end(&mut self, control: &Control) {
        self.entry.end(self.op, control);
    }

    /// See [`Entry::regain`].
    #[inline(always)]
    pub(super) fn regain(&mut self, control: &Control, waker: &Waker) -> bool {
        self.entry.regain(&mut self.op, control, waker)
    }

    /// See [`Entry::waiter`].
    #[inline(always)]
    pub(super) fn waiter(&self, control: &Control) -> Waiter {
        self.entry.waiter(control)
    }

    /// Returns for whom this is entered.
    pub(super) fn entered(&self) -> Waiter {
        self.entry.waiter
    }
}

impl Entry {
    pub(super) const fn new() -> Self {
        Self { waiter: Waiter::NOBODY }
    }

    fn is_entered(&self) -> bool {
        self.waiter.turn != NOT
    }

    /// Enters that the operation is pending: to be called whenever it is about to return so, before it registers its waker with
    /// what it waits for.
    #[inline(always)]
    pub(super) fn begin(&mut self, op: Op, control: &Control, waker: &Waker) {
        let task = control.polling();
        if task.is_some() || self.is_entered() {
            self.begin_in(op, control, task, waker);
        }
    }

    #[cold]
    fn begin_in(&mut self, op: Op, control: &Control, task: Option<Id>, waker: &Waker) {
        let is_own = control.is_polling_with(waker);
        let is_here = task == Some(self.waiter.task);
        if is_here && !is_own && self.waiter.turn == OTHER {
            return;
        }
        if !is_here {
            self.end(op, control);
        }
        if let Some(task) = task {
            self.waiter = control.enter_wait(task, self.waiter, is_own, op.is_lend);
        }
    }

    /// Takes the entry back: the operation is dropped, or its task stops waiting for it.
    #[inline(always)]
    pub(super) fn end(&mut self, op: Op, control: &Control) {
        if self.is_entered() {
            self.end_there(op, control);
        }
    }

    #[cold]
    fn end_there(&mut self, op: Op, control: &Control) {
        let waiter = mem::replace(&mut self.waiter, Waiter::NOBODY);
        drop(control.lending(|lending, _| lending.leave(waiter, op)));
    }

    /// The operation is over: returns whether it may be ready, as its task has a slot. If not, `waker` will be woken when it has.
    #[inline(always)]
    pub(super) fn regain(&mut self, op: &mut Op, control: &Control, waker: &Waker) -> bool {
        !self.is_entered() || self.regain_there(op, control, waker)
    }

    #[cold]
    fn regain_there(&mut self, op: &mut Op, control: &Control, waker: &Waker) -> bool {
        if control.polling() != Some(self.waiter.task) {
            self.end(*op, control);
            return true;
        }
        let (is_own, needs_slot) = (control.is_polling_with(waker), !control.is_lending());
        let mut new = None;
        loop {
            let (regained, dropped) = control.lending(|lending, has_room| {
                lending.regain(&mut self.waiter, op, is_own, needs_slot, has_room, waker, &mut new)
            });
            drop(dropped);
            match regained {
                Regain::Done => {
                    self.waiter = Waiter::NOBODY;
                    return true;
                }
                Regain::Claimed => return false,
                Regain::Waker => new = Some(waker.clone()),
            }
        }
    }

    /// Returns for whom this is entered, who gets a slot or claims one when the operation is [over](Lending::done). Nobody, where
    /// none is needed then.
    #[inline(always)]
    pub(super) fn waiter(&self, control: &Control) -> Waiter {
        if !self.is_entered() || control.is_lending() { Waiter::NOBODY } else { self.waiter }
    }
}
