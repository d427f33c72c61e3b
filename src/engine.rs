//! The engine: the one state machine behind every form of the pool.
//!
//! Data flows one way: **source → active set → finished → consumer**. The engine takes waiting futures from the source,
//! starts them in the active set, keeps what has finished, refills the freed slots, and only then hands over. Every
//! form, chain or keyed, ordered or not, is a call of [`Engine::poll_until`] with a source and a wish.
//!
//! A source may say that active futures have *lent* their slots, because they wait for others of the same pool: then as
//! many more are active as far as the set is concerned. The scope does; see `scope/control.rs`.
//!
//! # The law
//!
//! 1. **No more**: a future is started only by `fill`, and only while [`has_room`](Engine::has_room).
//! 2. **No less**: a call ends only when there is no room, nothing waits, or its polls are used up. So a freed slot is
//!    filled before a result is handed over.
//! 3. **Fair**: a call polls at most [`POLLS`] futures, those of stages directly below included. The woken ones and the
//!    waiting ones take turns of at most [`TURN`] polls, so neither can keep the others out; and so does a stage below
//!    that is not asked for an item because there is no room. A stage below gets too few polls for all its turns: there,
//!    they go round from call to call.
//! 4. **Nothing is lost**: an output is kept before anything else of the user's runs, and a panic leaves the engine as
//!    it was, less the future that panicked.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use crate::active::PinnedSet;
use crate::finished::Finished;
use crate::source::Source;

/// The most futures that one call polls, those that it starts included.
pub(crate) const POLLS: usize = 64;

/// The most woken futures that are polled before waiting ones are started, and the other way round.
const TURN: usize = 16;

/// With so many polls the woken futures and the waiting ones have a turn each in every call; with fewer, as a stage below
/// others has them, [`Turn`]s go round.
const ENOUGH: usize = 2 * TURN;

/// The most polls of a turn in a call with fewer than [`ENOUGH`]. Not less than this, as `UnorderedSet` keeps the last two
/// for futures that it has passed over.
const SHORT_TURN: usize = 4;

/// What a call is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// To hand over the next result.
    Next,
    /// To go on while none is taken.
    Progress,
    /// To come to something for which it does not matter how many results are held, as nobody could take one meanwhile.
    Until,
}

/// See the [module](self).
#[pin_project]
pub(crate) struct Engine<S, R> {
    #[pin]
    pub(crate) active: S,
    pub(crate) finished: R,
    size: usize,
    /// Another future is started only while fewer than this are active: the size, or 0 while the pool is paused.
    limit: usize,
    /// How many results may be held while a future is started.
    backlog: usize,
    /// Whether the backlog is the size, as long as nobody has set another.
    backlog_is_size: bool,
    /// The number after that of the last future started.
    next: u64,
    /// How many numbers were left out; goes round.
    left_out: usize,
    /// Whose turn is the first in the next call with fewer than [`ENOUGH`] polls: of those who had none in the last.
    next_turn: Turn,
}

impl<S, R: Finished> Engine<S, R> {
    /// Creates an engine. A size of 0 is taken as 1, one that there is no room for as the largest that there is.
    #[inline(always)]
    pub(crate) fn new<F: Future>(size: usize, active: S, finished: R) -> Self
    where
        S: PinnedSet<F>,
    {
        let size = size.clamp(1, active.capacity().min(finished.room()));
        let (limit, backlog) = (size, size);
        Self {
            active,
            finished,
            size,
            limit,
            backlog,
            backlog_is_size: true,
            next: 0,
            left_out: 0,
            next_turn: Turn::Woken,
        }
    }

    /// Returns how many times it has polled futures, those included that were started; goes round.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn polled<F: Future>(&self) -> usize
    where
        S: PinnedSet<F>,
    {
        (self.next as usize).wrapping_sub(self.left_out).wrapping_add(self.active.polled())
    }

    /// Returns whether no future was started yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.next == 0
    }

    /// Exchanges the active set for another, which must stand for the same.
    pub(crate) fn with_active<F2: Future, S2: PinnedSet<F2>>(self, active: S2) -> Engine<S2, R> {
        let Self { active: _, finished, size, limit, backlog, backlog_is_size, next, left_out, next_turn } = self;
        let mut engine = Engine { active, finished, size, limit, backlog, backlog_is_size, next, left_out, next_turn };
        engine.fit::<F2>();
        engine
    }

    /// Exchanges the results for others, which must stand for the same.
    #[inline(always)]
    pub(crate) fn map_finished<F: Future, R2: Finished>(self, map: impl FnOnce(R) -> R2) -> Engine<S, R2>
    where
        S: PinnedSet<F>,
    {
        let Self { active, finished, size, limit, backlog, backlog_is_size, next, left_out, next_turn } = self;
        let finished = map(finished);
        let mut engine = Engine { active, finished, size, limit, backlog, backlog_is_size, next, left_out, next_turn };
        engine.fit::<F>();
        engine
    }

    /// Keeps size and backlog within what there is room for.
    #[inline(always)]
    fn fit<F: Future>(&mut self)
    where
        S: PinnedSet<F>,
    {
        self.fit_size::<F>(self.size);
        if !self.backlog_is_size {
            self.fit_backlog(self.backlog);
        }
    }

    fn fit_size<F: Future>(&mut self, size: usize)
    where
        S: PinnedSet<F>,
    {
        self.size = size.clamp(1, self.active.capacity().min(self.finished.room()));
        if !self.is_paused() {
            self.limit = self.size;
        }
        if self.backlog_is_size {
            self.backlog = self.size;
        }
    }

    fn fit_backlog(&mut self, results: usize) {
        self.backlog = results.min(self.finished.room());
        self.finished.count_all();
    }

    pub(crate) fn active_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().active
    }

    pub(crate) fn finished_mut(self: Pin<&mut Self>) -> &mut R {
        self.project().finished
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Changes the size. Growing wakes the task that last polled; shrinking lets the surplus finish.
    pub(crate) fn set_size<F: Future>(&mut self, size: usize)
    where
        S: PinnedSet<F>,
    {
        self.fit_size::<F>(size);
        self.active.wake();
    }

    pub(crate) fn backlog(&self) -> usize {
        self.backlog
    }

    /// Changes the backlog. Wakes the task that last polled.
    pub(crate) fn set_backlog<F: Future>(&mut self, results: usize)
    where
        S: PinnedSet<F>,
    {
        self.backlog_is_size = false;
        self.fit_backlog(results);
        self.active.wake();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.limit == 0
    }

    /// Stops starting futures, or starts again, which wakes the task that last polled.
    #[cfg(feature = "alloc")]
    pub(crate) fn set_paused<F: Future>(&mut self, paused: bool)
    where
        S: PinnedSet<F>,
    {
        self.limit = if paused { 0 } else { self.size };
        self.active.wake();
    }

    /// Prints the counts.
    pub(crate) fn debug<F: Future>(&self, name: &str, waiting: Option<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: PinnedSet<F>,
    {
        let mut debug = f.debug_struct(name);
        debug.field("size", &self.size);
        if let Some(waiting) = waiting {
            debug.field("waiting", &waiting);
        }
        debug.field("active", &self.active.len()).field("finished", &self.finished.len()).finish_non_exhaustive()
    }

    /// Returns whether a waiting future may be started, where so many of the active ones have lent their slots.
    fn has_room<F: Future>(&self, lent: usize, call: Call) -> bool
    where
        S: PinnedSet<F>,
    {
        self.active.len().saturating_sub(lent) < self.limit && self.may_hold(call)
    }

    /// Returns whether no more results are held than the backlog allows while a future is started.
    #[inline(always)]
    fn may_hold(&self, call: Call) -> bool {
        call == Call::Until || self.finished.held() <= self.backlog
    }

    /// Polls and fills until `wish` says that it has what it wants.
    ///
    /// - `Ready(true)`: it has.
    /// - `Ready(false)`: it has not, and nothing is active, and nothing waits.
    /// - `Pending`: it has not; the task will be woken, or has been if `polls` is down to 0.
    ///
    /// `polls` is what is left of the caller's [`POLLS`]. `wish` may change what is finished, but not add to it; it is told
    /// whether nothing was polled since it was last asked, so that the call is about to end.
    #[inline(always)]
    pub(crate) fn poll_until<F, Src>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
        call: Call,
        mut wish: impl FnMut(Pin<&mut Self>, &Src, bool) -> bool,
    ) -> Poll<bool>
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        let mut recover = Recover::new(self);
        let mut engine = recover.engine.as_mut();
        let _inside = engine.as_mut().active_mut().enter();
        // Copies, so that they stay in registers for the first round, which is nearly always the only one.
        let (mut left, mut so_far) = (*polls, SoFar::default());
        let first = if left >= ENOUGH {
            let first = engine.as_mut().round(cx, source.as_mut(), &mut left, call, &mut wish, &mut so_far);
            so_far.is_later = true;
            first
        } else {
            None
        };
        let poll = if let Some(poll) = first {
            *polls = left;
            poll
        } else {
            let (poll, left) = engine.more_rounds(cx, source, left, call, &mut wish, so_far);
            *polls = left;
            poll
        };
        mem::forget(recover);
        poll
    }

    /// Goes round until there is something to return: that, and how many polls are left. Where the call has few polls, this
    /// is all of it, and whose turn it is comes first.
    #[cold]
    #[inline(never)]
    fn more_rounds<F, Src>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        mut polls: usize,
        call: Call,
        wish: &mut impl FnMut(Pin<&mut Self>, &Src, bool) -> bool,
        mut so_far: SoFar,
    ) -> (Poll<bool>, usize)
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        if !so_far.is_later {
            so_far.has_few = true;
            self.as_mut().first_turns(cx, source.as_mut(), &mut polls, call, &mut so_far);
        }
        loop {
            if polls > 0 {
                so_far.last_turn = Turn::Woken;
            }
            if let Some(poll) = self.as_mut().round(cx, source.as_mut(), &mut polls, call, wish, &mut so_far) {
                return (poll, polls);
            }
            so_far.is_later = true;
        }
    }

    /// Gives those their turns who come before the woken futures this time.
    fn first_turns<F, Src>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
        call: Call,
        so_far: &mut SoFar,
    ) where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        self.as_mut().close(source.as_mut());
        if self.next_turn == Turn::Waiting {
            so_far.last_turn = Turn::Waiting;
            self.as_mut().fill(cx, source.as_mut(), polls, SHORT_TURN, call, so_far);
        }
        if self.next_turn != Turn::Woken && !so_far.asleep && *polls > 0 {
            so_far.last_turn = Turn::Source;
            so_far.below = Below::attend(cx, source, polls, SHORT_TURN);
        }
    }

    /// One round: a turn for the woken futures, a turn for the waiting ones. Returns what the call is to return, if it
    /// is over.
    #[inline(always)]
    fn round<F, Src>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
        call: Call,
        wish: &mut impl FnMut(Pin<&mut Self>, &Src, bool) -> bool,
        so_far: &mut SoFar,
    ) -> Option<Poll<bool>>
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        let turn = if so_far.has_few { SHORT_TURN } else { TURN };
        let before = *polls;
        self.as_mut().close(source.as_mut());
        // Once there is a result to hand over, the rest of the call is for filling the slots.
        if !so_far.is_later || call != Call::Next || self.finished.due() == 0 {
            self.as_mut().poll_woken(cx, &*source, polls, turn, call);
        }
        let filled = self.as_mut().fill(cx, source.as_mut(), polls, turn, call, so_far);
        self.as_mut().close(source.as_mut());
        if !filled && *polls > 0 {
            return None;
        }
        if so_far.below == Below::Behind {
            // The others have had their turns since it had one. This may be the last round, and no stage below is left with
            // slots that could be filled.
            so_far.below = Below::attend(cx, source.as_mut(), polls, *polls);
        }
        let held = self.finished.held();
        if wish(self.as_mut(), &source, *polls == before) {
            return Some(Poll::Ready(true));
        }
        if self.active.is_empty() && source.is_done() {
            return Some(Poll::Ready(false));
        }
        if !so_far.asleep && so_far.below == Below::Unattended && *polls > 0 {
            so_far.below = Below::attend(cx, source.as_mut(), polls, turn);
            so_far.last_turn = Turn::Source;
        }
        if *polls == 0 {
            *self.project().next_turn = match so_far.last_turn {
                Turn::Woken => Turn::Waiting,
                Turn::Waiting => Turn::Source,
                Turn::Source => Turn::Woken,
            };
            cx.waker().wake_by_ref();
            return Some(Poll::Pending);
        }
        if self.finished.held() < held {
            // What was gathered has made room, and kept the woken futures from having their turn.
            return None;
        }
        if *polls == before {
            if self.active_mut().park(cx) {
                return Some(Poll::Pending);
            }
            // Woken for nothing, maybe: late wake-ups count as well, or this could go on for ever.
            *polls -= 1;
        }
        None
    }

    /// Polls and fills as [`poll_until`](Self::poll_until) does, and hands nothing over: see
    /// [`Progress::poll_progress`](crate::Progress::poll_progress).
    pub(crate) fn poll_progress<F, Src>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
    ) -> Poll<()>
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        let poll = self.as_mut().poll_until(cx, source.as_mut(), polls, Call::Progress, |_, _, _| false);
        let is_full = *polls > 0 && self.active.is_empty() && !self.has_room(source.lent(), Call::Progress);
        if poll.is_ready() || is_full {
            // Nothing of its own is in flight, and nothing more will be before an item is taken. A source may have something
            // in flight also after its end.
            return source.poll_progress(cx, polls);
        }
        Poll::Pending
    }

    /// Drops everything but the last result, once no other is wanted.
    ///
    /// Called before each poll as well, in case a destructor panicked the last time.
    fn close<F: Future, Src: Source<F>>(self: Pin<&mut Self>, source: Pin<&mut Src>)
    where
        S: PinnedSet<F>,
    {
        if self.finished.is_closed() {
            let this = self.project();
            this.finished.drop_rest();
            source.close();
            this.active.clear();
        }
    }

    /// Starts one future, whatever the size and the backlog: one poll.
    #[cfg(feature = "alloc")]
    pub(crate) fn start<F>(self: Pin<&mut Self>, cx: &mut Context<'_>, number: u64, future: F)
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
    {
        let mut recover = Recover::new(self);
        let _inside = recover.engine.as_mut().active_mut().enter();
        recover.engine.as_mut().start_unguarded(cx, number, future);
        mem::forget(recover);
    }

    /// Polls woken futures, until one has finished or their turn is over. It goes on after one has finished where no result
    /// is handed over, and where slots are lent, so that those who want theirs back are heard before the waiting ones; but
    /// not after the last result that is wanted.
    #[inline(always)]
    fn poll_woken<F, Src>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &Src,
        polls: &mut usize,
        turn: usize,
        call: Call,
    ) where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        let mut this = self.project();
        let mut least = polls.saturating_sub(turn);
        loop {
            if source.lent() > 0 {
                // One turn for each, as it may have been woken by the one that has finished last.
                least = polls.saturating_sub(this.active.len().clamp(TURN, POLLS - TURN));
            }
            let keep = |number, output| this.finished.push(number, output);
            let ended = this.active.as_mut().poll_woken(cx, polls, least, keep);
            if !ended || this.finished.is_closed() || (call == Call::Next && source.lent() == 0) {
                break;
            }
        }
    }

    /// Starts waiting futures until there is no room, none waits, or their turn is over; returns `false` for the last.
    #[inline(always)]
    fn fill<F, Src>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
        mut turn: usize,
        call: Call,
        so_far: &mut SoFar,
    ) -> bool
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
        Src: Source<F>,
    {
        let lent = source.lent();
        if so_far.asleep || !self.has_room(lent, call) || self.finished.is_closed() {
            return true;
        }
        while turn > 0 && *polls > 0 {
            turn -= 1;
            // The poll for the future itself is kept back, as the source may use up what is left.
            *polls -= 1;
            let taken = source.as_mut().poll_take(cx, polls);
            so_far.asleep = taken.is_pending();
            // Futures below may be in flight that it will not be woken for unless it is attended again.
            so_far.below = Below::Unattended;
            let Poll::Ready(Some((number, future))) = taken else {
                *polls += 1;
                return true;
            };
            if self.next < number {
                self.as_mut().leave_out(number);
            }
            let ended = self.as_mut().start_unguarded(cx, number, future);
            if lent > 0 || source.lent() > 0 {
                break;
            }
            // Either there is one more that is active, or one more that has finished.
            let has_room =
                if ended { self.may_hold(call) && !self.finished.is_closed() } else { self.active.len() < self.limit };
            if !has_room {
                return true;
            }
        }
        false
    }

    /// Goes on with a number after the next one: those before it belong to items that came to nothing.
    #[cold]
    #[allow(clippy::cast_possible_truncation)]
    fn leave_out(self: Pin<&mut Self>, number: u64) {
        let this = self.project();
        *this.left_out = this.left_out.wrapping_add((number - *this.next) as usize);
        this.finished.leave_out(*this.next..number);
        *this.next = number;
    }

    /// Starts one future: one poll. Returns whether it has finished.
    #[inline(always)]
    fn start_unguarded<F>(self: Pin<&mut Self>, cx: &mut Context<'_>, number: u64, future: F) -> bool
    where
        F: Future<Output = R::Output>,
        S: PinnedSet<F>,
    {
        let this = self.project();
        *this.next = number + 1;
        let keep = |output| this.finished.push(number, output);
        let slot = this.active.start(cx, number, future, keep);
        if let Some(slot) = slot {
            this.finished.started(number, slot);
        }
        slot.is_none()
    }
}

/// What is known of a call.
#[derive(Default)]
struct SoFar {
    /// Whether this is not its first round.
    is_later: bool,
    /// Whether it had fewer than [`ENOUGH`] polls when it began.
    has_few: bool,
    /// Whether the source has said that it will wake the task: it is not asked again in this call, for it may have much
    /// to do each time.
    asleep: bool,
    below: Below,
    /// Who had the last turn, or could have had it; the waiting futures only where they came first.
    last_turn: Turn,
}

/// Those who have their turns in a call, in this order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    Woken,
    Waiting,
    #[default]
    Source,
}

/// How a source that was not asked has gone on by itself.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Below {
    /// It has not, or was asked since.
    #[default]
    Unattended,
    /// Until its turn was over.
    Behind,
    /// As far as it could.
    Attended,
}

impl Below {
    /// Lets a source go on by itself, with at most so many polls; an adaptor may use up more.
    fn attend<F, Src: Source<F>>(
        cx: &mut Context<'_>,
        mut source: Pin<&mut Src>,
        polls: &mut usize,
        most: usize,
    ) -> Self {
        let before = source.polled();
        let turn = most.min(*polls);
        let mut left = turn;
        let _ = source.as_mut().poll_progress(cx, &mut left);
        let used = source.polled().wrapping_sub(before).max(turn - left);
        *polls = polls.saturating_sub(used);
        if left > 0 { Self::Attended } else { Self::Behind }
    }
}

/// Puts the engine in order if a panic passes through. Is forgotten otherwise.
struct Recover<'a, F: Future, S: PinnedSet<F>, R: Finished> {
    engine: Pin<&'a mut Engine<S, R>>,
    futures: PhantomData<fn(F)>,
}

impl<'a, F: Future, S: PinnedSet<F>, R: Finished> Recover<'a, F, S, R> {
    fn new(engine: Pin<&'a mut Engine<S, R>>) -> Self {
        Self { engine, futures: PhantomData }
    }
}

impl<F: Future, S: PinnedSet<F>, R: Finished> Drop for Recover<'_, F, S, R> {
    fn drop(&mut self) {
        let engine = self.engine.as_mut().project();
        if let Some(number) = engine.active.recover() {
            engine.finished.skip(number);
        }
    }
}
