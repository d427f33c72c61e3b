//! What is known of the call under way, [`Call`], and how many results there are, [`Counts`].
//!
//! Plain values, as the [law](super::law) is: the driver reports to them what has happened, and the law reads them.

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Goal {
    /// To hand over the next result.
    Next,
    /// To make progress while no result is taken.
    Progress,
    /// To reach a condition of the caller's. The bound on results does not apply, as nobody could take one meanwhile.
    Until,
}

/// Who takes turns, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Party {
    Woken,
    Waiting,
    Upstream,
    /// Nobody: what is not wanted any more has to be dropped first.
    Closing,
}

impl Party {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Woken => Self::Waiting,
            Self::Waiting => Self::Upstream,
            Self::Upstream | Self::Closing => Self::Woken,
        }
    }

    pub(super) const fn before(self) -> Self {
        match self {
            Self::Woken | Self::Closing => Self::Upstream,
            Self::Waiting => Self::Woken,
            Self::Upstream => Self::Waiting,
        }
    }
}

/// What is known of the source in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// It may have a future to start.
    Unknown,
    /// It will wake the task when it has one. It is not asked again in this call, as that may cost much each time.
    Pending,
    /// It has none.
    Empty,
    /// What waits must not start before a future has ended: it weighs too much, or its key is full.
    NotEligible,
}

/// How far the pools upstream have come in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Upstream {
    /// There are none.
    Absent,
    /// They were not polled, or a future was taken from them since.
    NotPolled,
    /// They had more to do when their turn was over.
    OutOfBudget,
    /// They have done all that they could.
    UpToDate,
}

/// Why nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Nothing {
    /// The source will wake the task when it has a future.
    Pending,
    /// The source has none.
    Empty,
    /// What waits must not start before a future has ended.
    NotEligible,
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct Call {
    /// How many more futures may be polled in this call.
    pub(super) left: usize,
    /// This turn is over when so many are left.
    pub(super) turn_end: usize,
    pub(super) goal: Goal,
    pub(super) turn: Party,
    /// Whether a future may be woken, and whether the woken ones had their turn.
    pub(super) woken: bool,
    pub(super) had_turn: bool,
    pub(super) source: Source,
    pub(super) upstream: Upstream,
    /// Whether the goal was asked for in this rotation.
    pub(super) just_asked: bool,
    /// How much was left of the budget when the goal was last asked for, or the call began; and whether nothing had been
    /// polled then since the time before.
    pub(super) asked_idle: bool,
    pub(super) asked_at: usize,
}

/// How many results are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counts {
    /// Their turn has come.
    pub(crate) due: usize,
    /// They came ahead of their turn.
    pub(crate) ahead: usize,
}

impl Call {
    /// Returns whether no future was polled since the goal was last asked for, so that the call is about to end.
    pub(crate) fn is_idle(&self) -> bool {
        self.asked_at == self.left
    }

    const NEW: Self = Self {
        left: 0,
        turn_end: 0,
        goal: Goal::Next,
        turn: Party::Woken,
        woken: true,
        had_turn: true,
        source: Source::Unknown,
        upstream: Upstream::Absent,
        just_asked: false,
        asked_idle: false,
        asked_at: 0,
    };

    /// A call begins, with so many polls.
    #[inline]
    pub(crate) fn new(goal: Goal, has_upstream: bool, budget: usize) -> Self {
        let mut call = Self::NEW;
        (call.left, call.goal) = (budget, goal);
        if has_upstream {
            call.upstream = Upstream::NotPolled;
        }
        if goal == Goal::Until {
            call.asked_at = budget;
        }
        call
    }

    /// How many more futures may be polled in this call.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// What is left of the budget, for a source that uses it up itself.
    #[inline]
    pub(crate) fn left_mut(&mut self) -> &mut usize {
        &mut self.left
    }

    /// So many futures were polled.
    #[inline]
    pub(crate) fn polled(&mut self, polls: usize) {
        self.left -= polls;
    }

    /// A poll was reserved, or counted, that is not to count.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        self.left += 1;
    }

    /// Gives a turn of so many polls.
    #[inline]
    pub(super) fn begin_turn(&mut self, polls: usize) {
        self.turn_end = self.left.saturating_sub(polls);
    }

    /// How many more futures may be polled in this turn.
    #[inline]
    pub(crate) fn turn_left(&self) -> usize {
        self.left.saturating_sub(self.turn_end)
    }

    /// Returns whether another future may be polled in this turn.
    #[inline]
    pub(crate) fn has_turn(&self) -> bool {
        self.left > self.turn_end
    }

    /// No future is woken.
    #[inline]
    pub(crate) fn none_woken(&mut self, none: bool) {
        self.woken &= !none;
    }

    /// Those that wait have their turn, and the source was asked for one. It may wake futures, and so may what it starts. With
    /// it the pools upstream were asked, if there are any: futures there may be in flight that do not wake the task unless they
    /// are polled again.
    #[inline]
    pub(crate) fn asked_source(&mut self, has_upstream: bool) {
        (self.turn, self.woken) = (Party::Waiting, true);
        if has_upstream {
            self.upstream = Upstream::NotPolled;
        }
    }

    /// The source had nothing to start.
    #[inline]
    pub(crate) fn nothing_to_start(&mut self, why: Nothing) {
        self.source = match why {
            Nothing::Pending => Source::Pending,
            Nothing::Empty => Source::Empty,
            Nothing::NotEligible => Source::NotEligible,
        };
    }

    /// A future has ended, so what was not eligible may be.
    pub(crate) fn has_ended(&mut self) {
        if self.source == Source::NotEligible {
            self.source = Source::Unknown;
        }
    }

    pub(super) fn upstream_is_behind(&self) -> bool {
        matches!(self.upstream, Upstream::NotPolled | Upstream::OutOfBudget) && self.source != Source::Pending
    }
}
