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
    pub backlog: Option<usize>,
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
    /// How many of its polls a call may leave unused, if it wakes its task.
    pub slack: usize,
    /// The largest size that there is room for.
    pub most: usize,
    /// Whether all results count against the default backlog, and no more than `most` are a backlog: there is room for
    /// twice as many results only.
    pub bounded_results: bool,
    /// Whether the futures have the task's own waker. Then all of them are polled in each call, and polls after which a
    /// future goes on being active are free if there are too few.
    pub forwards: bool,
    /// Polls in the present call that count.
    polls: usize,
    /// Polls in the present call that may be free.
    free_polls: usize,
    /// Whether the last poll may be.
    free: bool,
    /// Whether the present call keeps to the backlog.
    bounded: bool,
}

/// What a call of the pool returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    /// With the result that was handed over, if one was.
    Ready(Option<Id>),
    /// A method has returned something else.
    Done,
    Panicked,
}

fn remove(list: &mut Vec<Id>, id: Id) -> bool {
    let place = list.iter().position(|&other| other == id);
    place.map(|place| list.remove(place)).is_some()
}

impl Reference {
    pub fn new(size: usize, backlog: Option<usize>, ordered: bool) -> Self {
        Self {
            size,
            backlog,
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
            slack: 0,
            most: usize::MAX,
            bounded_results: false,
            forwards: false,
            polls: 0,
            free_polls: 0,
            free: false,
            bounded: true,
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len() + self.active.len()
    }

    /// Results whose turn has come.
    pub fn due(&self) -> usize {
        if self.ordered {
            self.in_order.iter().take_while(|id| self.finished.contains(id)).count()
        } else {
            self.finished.len()
        }
    }

    pub fn set_size(&mut self, size: usize) {
        self.size = size.clamp(1, self.most);
    }

    pub fn has_room(&self) -> bool {
        let backlog_is_full = self.bounded
            && match self.backlog {
                None if self.bounded_results => self.finished.len() > self.size,
                None => self.due() > self.size,
                Some(results) if self.bounded_results => self.finished.len() > results.min(self.most),
                Some(results) => self.finished.len() > results,
            };
        self.active.len() < self.size && !self.paused && !backlog_is_full
    }

    /// A call begins.
    pub fn begin(&mut self, bounded: bool) {
        (self.polls, self.free_polls) = (0, 0);
        self.bounded = bounded;
    }

    fn begin_start(&mut self, id: Id) {
        assert_eq!(self.waiting.first(), Some(&id), "not the first that waits");
        assert!(self.has_room(), "started {id} without room");
        self.waiting.remove(0);
        self.in_hand = self.in_hand.filter(|&held| held != id);
    }

    pub fn happened(&mut self, event: Event) {
        match event {
            Event::Polled(id) => {
                self.free = self.forwards && self.active.contains(&id);
                self.polls += usize::from(!self.free);
                self.free_polls += usize::from(self.free);
                assert!(self.polls <= POLLS && self.free_polls <= self.most, "too many polls in one call");
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
            Event::Woken(id) => {
                assert!(self.active.contains(&id));
                if self.woken.iter().all(|&(other, _)| other != id) {
                    self.woken.push((id, 0));
                }
            }
            Event::Ended(id) => {
                if self.free {
                    (self.polls, self.free_polls) = (self.polls + 1, self.free_polls - 1);
                }
                assert!(self.leave(id));
                self.finished.push(id);
                self.executed += 1;
            }
            Event::Panicked(id) => {
                assert!(self.leave(id));
                remove(&mut self.in_order, id);
            }
            Event::ClosurePanicked(id) => self.begin_start(id),
            Event::Dropped(id) => {
                if self.in_hand == Some(id) {
                    remove(&mut self.waiting, id);
                }
                assert!(!self.active.contains(&id), "dropped {id} while it is active");
                assert!(!self.waiting.contains(&id), "dropped {id} while it waits");
            }
        }
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
        remove(&mut self.finished, id)
    }

    /// A call has returned: checks what must hold at rest. `woke` tells whether it woke its task.
    pub fn at_rest(&mut self, outcome: Outcome, woke: bool) {
        // A future in hand has one poll kept for it.
        let polls = self.polls + self.free_polls + usize::from(self.in_hand.is_some());
        let out_of_polls = polls >= POLLS;
        if outcome != Outcome::Panicked {
            let idle = self.has_room() && !self.waiting.is_empty();
            assert!(!idle || out_of_polls, "less than there could be: {} of {}", self.active.len(), self.size);
        }
        match outcome {
            Outcome::Panicked | Outcome::Done => {}
            Outcome::Pending if out_of_polls && !self.forwards => {
                assert!(woke, "out of polls, and did not wake its task");
            }
            Outcome::Pending if woke && polls + self.slack >= POLLS => {}
            Outcome::Pending => {
                assert!(self.woken.is_empty(), "woken and not polled: {:?}", self.woken);
                assert!(self.len() > 0 || self.open, "pending over nothing");
                if self.bounded {
                    assert_eq!(self.due(), 0, "pending with a result");
                }
            }
            Outcome::Ready(Some(id)) => {
                if self.ordered {
                    assert_eq!(self.in_order.first(), Some(&id), "out of order");
                }
                assert!(self.take(id), "{id} was handed over and had not finished");
            }
            Outcome::Ready(None) => {
                assert_eq!(self.len(), 0, "ended with futures left");
                assert!(self.finished.is_empty() || !self.bounded, "ended with results left");
            }
        }
    }
}
