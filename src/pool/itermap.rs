//! [`IterMap`]: the results of one `itermap`, as they finish.

use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Pool;
use crate::active::{ActiveSet, SlotSet};
use crate::batches::Gather;
use crate::engine::Goal;
use crate::finished::{Gathering, Keyed};
use crate::key::Key;
use crate::progress::Progress;
use crate::stream::{Look, PoolMap, Want, Wanted};

/// The machine of [`Pool::itermap`]: the results of its futures, as they finish.
///
/// What it leaves when it is dropped stays in the pool.
pub struct IterMap<'a, F: Future, K: ActiveSet = SlotSet> {
    pool: &'a mut Pool<F, K>,
    /// How many futures it began with.
    count: u64,
}

impl<'a, F: Future, K: ActiveSet> IterMap<'a, F, K> {
    pub(super) fn new(pool: &'a mut Pool<F, K>, numbers: Range<u64>) -> PoolMap<Self, F::Output> {
        let count = numbers.end - numbers.start;
        pool.engine.finished.focus(numbers);
        PoolMap::from_parts(Self { pool, count }, run, look)
    }

    /// Polls for what is wanted. Ready when it is done, or all futures of this stream have ended.
    fn poll(&mut self, cx: &mut Context<'_>, budget: &mut usize, wanted: Wanted) -> Poll<()> {
        let count = self.count;
        let poll = match wanted {
            // What it leaves stays in the pool: so each item is taken by itself.
            Wanted::Another | Wanted::Taken => return Poll::Ready(()),
            Wanted::Progress => self.pool.run_beside(cx, budget, Goal::Progress),
            Wanted::Item | Wanted::Collected => self.pool.run_until(cx, budget, &mut |engine, _| {
                engine.finished.focused_len() > 0 || engine.finished.focus_ended() == count
            }),
            Wanted::Due => self.pool.run_until(cx, budget, &mut |engine, _| {
                engine.finished.has_ungathered() || engine.finished.focus_ended() == count
            }),
        };
        poll.map(|_| ())
    }

    fn finished(&mut self) -> &mut Keyed<F::Output> {
        &mut self.pool.engine.finished
    }

    /// Returns how many results are left.
    fn left(&self) -> usize {
        let finished = &self.pool.engine.finished;
        let running = self.count - finished.focus_ended();
        usize::try_from(running).unwrap_or(usize::MAX) + finished.focused_len()
    }
}

fn run<F: Future, K: ActiveSet>(
    machine: Pin<&mut IterMap<'_, F, K>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<F::Output>> {
    let poll = run_keyed(machine, cx, budget, wanted);
    poll.map(|next| next.map(|(_, output)| output))
}

fn run_keyed<F: Future, K: ActiveSet>(
    machine: Pin<&mut IterMap<'_, F, K>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<(Key, F::Output)>> {
    let machine = machine.get_mut();
    machine.poll(cx, budget, wanted).map(|()| match wanted {
        Wanted::Item | Wanted::Collected => {
            machine.finished().pop_focused().map(|(number, output)| (Key(number), output))
        }
        _ => None,
    })
}

fn look<F: Future, K: ActiveSet>(machine: &IterMap<'_, F, K>, _: Want) -> Look {
    let left = machine.left();
    Look {
        size_hint: (left, Some(left)),
        is_terminated: left == 0,
        polls_used: machine.pool.engine.law.polls_used(),
        waiting: machine.pool.waiting(),
        visits: 0,
        counts: machine.pool.counts(),
    }
}

/// The modes of [`Pool::itermap`].
impl<'a, F: Future, K: ActiveSet> PoolMap<IterMap<'a, F, K>, F::Output> {
    /// Gives pairs `(Key, T)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures_pool::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let mut pool = Pool::new(1);
    /// let results: Vec<_> = pool.itermap(["a", "b"], async |x| x).keyed().collect().await;
    /// assert!(results[0].0 < results[1].0);
    /// # });
    /// ```
    pub fn keyed(self) -> PoolMap<IterMap<'a, F, K>, (Key, F::Output)> {
        PoolMap::from_parts(self.machine, run_keyed, look)
    }
}

impl<F: Future, K: ActiveSet> Gather for PoolMap<IterMap<'_, F, K>, F::Output> {
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Due).map(|_| ())
    }

    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.poll(cx, budget, Wanted::Progress).map(|_| ())
    }

    fn gather(self: Pin<&mut Self>, when: &mut impl FnMut(&F::Output) -> bool) -> bool {
        self.get_mut().machine.finished().gather(when)
    }

    fn has_ungathered(&self) -> bool {
        self.machine.pool.engine.finished.has_ungathered()
    }

    fn gathered(&self) -> usize {
        self.machine.pool.engine.finished.gathered()
    }

    fn take_batch(self: Pin<&mut Self>, most: usize) -> Vec<F::Output> {
        let finished = self.get_mut().machine.finished();
        finished.ungather();
        iter::from_fn(|| finished.pop_focused()).take(most).map(|(_, output)| output).collect()
    }

    fn look(&self, want: Want) -> Look {
        self.look(want)
    }
}

impl<F: Future, K: ActiveSet> fmt::Debug for IterMap<'_, F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMap").field("pool", &self.pool).finish_non_exhaustive()
    }
}
