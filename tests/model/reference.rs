//! The naive model: lists of ids, moved by the trace, with the law checked at every step.
//!
//! It knows nothing of slots, wakers or windows; it is slow, and meant to be obviously right.

use crate::world::{Event, Id};

/// The most futures that one call may poll.
pub const POLLS: usize = 64;

/// The pool as the contract describes it.
#[allow(clippy::struct_excessive_bools)]
pub struct Reference {
    pub size: usize,
    /// `None`: as many as the size, and in an ordered chain only those whose turn has come.
    pub max_finished: Option<usize>,
    pub ordered: bool,
    pub paused: bool,
    /// Whether the source may still give something, apart from what waits.
    pub open: bool,
    pub waiting: Vec<Id>,
    pub active: Vec<Id>,
    pub finished: Vec<Id>,
    pub executed: usize,
    /// The future that an async method holds until it can start it, and drops with itself.
    pub in_hand: Option<Id>,
    /// All ids taken from waiting whose results were not handed over, in their order; for the ordered chain.
    in_order: Vec<Id>,
    /// Active futures that were woken and not polled since, with the number of polls of others since.
    woken: Vec<(Id, usize)>,
    most_active: usize,
    /// Whether the source has put its task off in the present call.
    source_slept: bool,
    /// Whether the first error is the last result, and whether it has happened.
    pub fail_fast: bool,
    closed: bool,
    /// Whether a panic is a result.
    pub catching: bool,
    /// Results that have joined the batch under way.
    gathered: Vec<Id>,
    /// Whether one of these ends the batch, or the timer has fired since the last one.
    batch_is_due: bool,
    timer_fired: bool,
    /// Whether that was so before the present call, which then hands over and does not poll the pool.
    was_due: bool,
    /// Whether the consumer of `for_each` is at work, so that nothing is handed over.
    pub consumer_is_busy: bool,
    /// Whether futures are started in the order in which they wait.
    pub in_turn: bool,
    /// How many of its polls a call may leave unused, if it wakes its task.
    pub slack: usize,
    /// The largest size that there is room for.
    pub most: usize,
    /// Whether all results count against the default bound on results, and no more than `most` are a bound on results: there is room for
    /// twice as many results only.
    pub bounded_results: bool,
    /// Whether the futures have the task's own waker. Then all of them are polled in each call, and polls after which a
    /// future stays active are free if there are too few.
    pub forwards: bool,
    /// Polls in the present call that count.
    polls: usize,
    /// The most polls of one call that count.
    pub most_polls: usize,
    /// Whether the last thing that this stage did was to hand a result over to the next one, so that it still counts.
    pub just_handed_over: bool,
    /// Polls in the present call that another stage has used up.
    pub elsewhere: usize,
    /// Polls in the present call that may be free.
    free_polls: usize,
    /// Results handed over in the present call, after each of which those polls begin anew.
    handed_over: usize,
    /// Whether the last poll may be.
    free: bool,
    call: Call,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// To hand over a result.
    Next,
    /// To make progress without.
    Progress,
    /// To come to something, whatever the bound on results.
    Until,
}

/// What a call of the pool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    /// With the result that was handed over, if one was.
    Ready(Option<Id>),
    /// With a batch.
    Batch(Vec<Id>),
    /// Nothing is in flight that would have to be polled before a result is taken.
    Idle,
    /// A method has returned something else.
    Done,
    Panicked,
}

fn remove(list: &mut Vec<Id>, id: Id) -> bool {
    let place = list.iter().position(|&other| other == id);
    place.map(|place| list.remove(place)).is_some()
}

impl Reference {
    pub fn new(size: usize, max_finished: Option<usize>, ordered: bool) -> Self {
        Self {
            size,
            max_finished,
            ordered,
            paused: false,
            open: false,
            waiting: vec![],
            active: vec![],
            finished: vec![],
            executed: 0,
            in_hand: None,
            in_order: vec![],
            woken: vec![],
            most_active: 0,
            source_slept: false,
            fail_fast: false,
            closed: false,
            catching: false,
            gathered: vec![],
            batch_is_due: false,
            timer_fired: false,
            was_due: false,
            consumer_is_busy: false,
            in_turn: true,
            slack: 0,
            most: usize::MAX,
            bounded_results: false,
            forwards: false,
            polls: 0,
            most_polls: POLLS,
            just_handed_over: false,
            elsewhere: 0,
            free_polls: 0,
            handed_over: 0,
            free: false,
            call: Call::Next,
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len() + self.active.len()
    }

    /// Results whose turn has come.
    pub fn due(&self) -> usize {
        if self.ordered {
            let mut finished = self.finished.clone();
            finished.sort_unstable();
            self.in_order.iter().take_while(|id| finished.binary_search(id).is_ok()).count()
        } else {
            self.finished.len()
        }
    }

    pub fn set_size(&mut self, size: usize) {
        self.size = size.clamp(1, self.most);
    }

    /// The most results that may be held while a future is started.
    fn most_held(&self) -> usize {
        match self.max_finished {
            None => self.size,
            Some(results) if self.bounded_results => results.min(self.most),
            Some(results) => results,
        }
    }

    /// Results that count against the bound on results.
    fn held(&self) -> usize {
        if self.bounded_results {
            return self.finished.len();
        }
        if self.max_finished.is_some() {
            return self.held_in_all();
        }
        self.due() - self.gathered.len() + usize::from(self.just_handed_over)
    }

    /// Results not gathered, in turn or not.
    fn held_in_all(&self) -> usize {
        self.finished.len() - self.gathered.len() + usize::from(self.just_handed_over)
    }

    pub fn has_room(&self) -> bool {
        // Where there are few results these need not be counted, which takes long in a chain of many.
        let may_hold = || {
            let few = self.finished.len() < self.most_held();
            few || (self.held() <= self.most_held()
                && (self.max_finished.is_some() || self.held_in_all() <= 16 * self.size))
        };
        let is_open = self.active.len() < self.size && !self.paused && !self.closed;
        is_open && (self.call == Call::Until || may_hold())
    }

    /// A call begins.
    pub fn begin(&mut self, call: Call) {
        (self.polls, self.free_polls, self.elsewhere) = (0, 0, 0);
        self.handed_over = 0;
        self.source_slept = false;
        self.just_handed_over = false;
        self.was_due = call == Call::Next && (self.batch_is_due || self.timer_fired);
        self.call = call;
    }

    /// Whether no future was woken since it was last polled.
    pub fn is_asleep(&self) -> bool {
        self.woken.is_empty()
    }

    /// Whether nothing is in flight, and nothing can be before a result is taken.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && (!self.has_room() || (self.waiting.is_empty() && !self.open))
    }

    /// Whether something may come of it without anything else being done.
    pub fn has_more(&self) -> bool {
        self.len() > 0 || self.open || self.source_slept
    }

    /// Something else has used up one of the call's polls.
    pub fn count_poll(&mut self) {
        self.polls += 1;
    }

    /// The polls of the present call.
    pub fn polls(&self) -> usize {
        self.polls + self.free_polls
    }

    fn begin_start(&mut self, id: Id) {
        if self.in_turn {
            assert_eq!(self.waiting.first(), Some(&id), "not the first that waits");
        }
        assert!(self.has_room(), "started {id} without room");
        assert!(remove(&mut self.waiting, id), "{id} does not wait");
        self.in_hand = self.in_hand.filter(|&held| held != id);
    }

    pub fn happened(&mut self, event: Event) {
        match event {
            Event::Polled(id) => {
                assert!(!self.closed, "polled after the error that is the last result");
                self.free = self.forwards && self.active.contains(&id);
                self.polls += usize::from(!self.free);
                self.free_polls += usize::from(self.free);
                assert!(self.polls <= self.most_polls, "too many polls in one call");
                assert!(
                    self.free_polls <= self.most.saturating_mul(1 + self.handed_over),
                    "too many polls in one call"
                );
                if !self.active.contains(&id) {
                    self.begin_start(id);
                    self.active.push(id);
                    self.in_order.push(id);
                }
                self.woken.retain(|&(other, _)| other != id);
                self.most_active = self.most_active.max(self.active.len());
                let bound = POLLS * (2 * self.most_active + 2);
                for (other, polls) in &mut self.woken {
                    *polls += 1;
                    assert!(*polls <= bound, "{other} was woken, and starves");
                }
            }
            // A future that is about to be dropped may be woken by the destructor of another.
            Event::Woken(id) => {
                if self.active.contains(&id) && self.woken.iter().all(|&(other, _)| other != id) {
                    self.woken.push((id, 0));
                }
            }
            Event::Ended(id) => self.ended(id),
            Event::Failed(id) => {
                self.ended(id);
                if self.fail_fast {
                    self.closed = true;
                    self.open = false;
                    self.waiting.clear();
                    for list in [&mut self.finished, &mut self.in_order] {
                        list.clear();
                        list.push(id);
                    }
                    self.gathered.clear();
                }
            }
            Event::Panicked(id) if self.catching => self.ended(id),
            Event::Panicked(id) => {
                assert!(self.leave(id));
                remove(&mut self.in_order, id);
            }
            Event::ClosurePanicked(id) => self.begin_start(id),
            Event::Dropped(id) => {
                if self.in_hand == Some(id) {
                    remove(&mut self.waiting, id);
                }
                if self.closed {
                    self.leave(id);
                }
                assert!(!self.active.contains(&id), "dropped {id} while it is active");
                assert!(!self.waiting.contains(&id), "dropped {id} while it waits");
            }
            Event::SourceSlept => self.source_slept = true,
            Event::Judged(id, verdict) => {
                assert!(self.finished.contains(&id) && !self.gathered.contains(&id), "judged {id} out of turn");
                self.gathered.push(id);
                self.batch_is_due |= verdict;
            }
            Event::TimerFired => self.timer_fired = true,
            Event::Handed(id) => {
                // `for_each` keeps one poll of the call for what the consumer does with it.
                self.count_poll();
                self.handed_over += 1;
                self.hand_over(id);
            }
            Event::Passed(..) => unreachable!("of two stages"),
        }
    }

    fn ended(&mut self, id: Id) {
        if self.free {
            (self.polls, self.free_polls) = (self.polls + 1, self.free_polls - 1);
        }
        assert!(self.leave(id));
        self.finished.push(id);
        self.executed += 1;
    }

    /// A result is handed over.
    pub fn hand_over(&mut self, id: Id) {
        if self.ordered {
            assert_eq!(self.in_order.first(), Some(&id), "out of order");
        } else {
            assert_eq!(self.finished.first(), Some(&id), "not the first that has finished");
        }
        assert!(self.take(id), "{id} was handed over and had not finished");
    }

    fn leave(&mut self, id: Id) -> bool {
        self.woken.retain(|&(other, _)| other != id);
        remove(&mut self.active, id)
    }

    /// Takes a future out, before it is dropped.
    pub fn cancel(&mut self, id: Id) -> bool {
        remove(&mut self.in_order, id);
        remove(&mut self.waiting, id) || self.leave(id)
    }

    pub fn take(&mut self, id: Id) -> bool {
        remove(&mut self.in_order, id);
        remove(&mut self.gathered, id);
        remove(&mut self.finished, id)
    }

    /// The batches have been given up; what has joined the last one stays.
    pub fn forget_batch(&mut self) {
        self.gathered.clear();
        self.batch_is_due = false;
    }

    /// A call has returned: checks what must hold at rest. `woke` tells whether it woke its task.
    pub fn at_rest(&mut self, outcome: &Outcome, woke: bool) {
        // A future in hand has one poll kept for it.
        let polls = self.polls() + self.elsewhere + usize::from(self.in_hand.is_some());
        let out_of_polls = polls >= POLLS;
        if matches!(outcome, Outcome::Batch(_)) {
            // What is about to be handed over counts.
            self.gathered.clear();
        }
        if *outcome != Outcome::Panicked {
            let idle = self.has_room() && !self.waiting.is_empty() && !self.source_slept;
            assert!(
                !idle || out_of_polls || self.was_due,
                "less than there could be: {} of {}",
                self.active.len(),
                self.size
            );
            assert!(!self.closed || self.active.is_empty(), "futures are left after the error");
        }
        let timer_fired = self.timer_fired;
        if *outcome != Outcome::Panicked && self.call == Call::Next {
            self.timer_fired = false;
        }
        match outcome {
            Outcome::Panicked | Outcome::Done => {}
            Outcome::Pending if out_of_polls && !self.forwards => {
                // A poll that is kept back may be left over, and nothing to do.
                let may_rest = self.is_asleep() && (!self.has_room() || self.waiting.is_empty());
                assert!(woke || may_rest, "out of polls, and did not wake its task");
            }
            Outcome::Pending if woke && (polls + self.slack >= POLLS || self.was_due) => {}
            Outcome::Pending => {
                assert!(self.woken.is_empty(), "woken and not polled: {:?}", self.woken);
                if self.call == Call::Next && !self.consumer_is_busy {
                    assert!(self.has_more(), "pending over nothing");
                    assert_eq!(self.due() - self.gathered.len(), 0, "pending with a result");
                    assert!(!self.batch_is_due, "pending with a batch");
                }
            }
            Outcome::Idle => {
                assert!(self.is_idle(), "idle with {} active", self.active.len());
            }
            &Outcome::Ready(Some(id)) => self.hand_over(id),
            Outcome::Batch(batch) => {
                let at_end = self.len() == 0 && !self.open;
                assert!(self.batch_is_due || timer_fired || at_end, "a batch before its time");
                self.batch_is_due = false;
                let there = if self.ordered { &self.in_order[..self.due()] } else { &self.finished[..] };
                assert!(!batch.is_empty() && batch == there, "the batch {batch:?} of {there:?}");
                for &id in batch {
                    self.take(id);
                }
            }
            Outcome::Ready(None) => {
                assert_eq!(self.len(), 0, "ended with futures left");
                assert!(self.finished.is_empty() || self.call == Call::Until, "ended with results left");
            }
        }
    }
}
