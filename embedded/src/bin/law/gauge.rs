//! What is counted of a pool, by its futures and by its consumer, and what it has to come to.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::Ordering::SeqCst;
use core::task::{Context, Poll};

use futures_pool_embedded::executor::WOKEN;
use futures_util::stream::Stream;

use crate::jobs::{MIXES, Mix, Output, Step};
use crate::wakes::{self, IN_POLL, Random};

/// How many futures there are in a run: more than slots, and more than one call polls.
pub const MOST: usize = 150;

/// The most futures that one call polls.
const POLLS: usize = 64;

/// What is different between the forms of the pool.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// Whether the results come in the order of the futures.
    pub in_order: bool,
    /// Whether futures wait in a queue, not in the source.
    pub queued: bool,
    /// Whether the slots are inside the value. Then every result counts against the bound on results, and of the polls only the
    /// first of each future and that by which it finishes are counted.
    pub inline: bool,
}

/// The counts of one run.
pub struct Gauge {
    size: usize,
    rules: Rules,
    mix: Cell<&'static Mix>,
    made: Cell<usize>,
    started: Cell<usize>,
    active: Cell<usize>,
    finished: Cell<usize>,
    handed: Cell<usize>,
    /// Polls of futures in this call.
    polls: Cell<usize>,
    /// Those that count.
    counted: Cell<usize>,
    /// What has become of each result.
    results: [Cell<Progress>; MOST],
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    None,
    Finished,
    Handed,
}

impl Gauge {
    pub fn new(size: usize, rules: Rules) -> Self {
        Self {
            size,
            rules,
            mix: Cell::new(&MIXES[0]),
            made: Cell::new(0),
            started: Cell::new(0),
            active: Cell::new(0),
            finished: Cell::new(0),
            handed: Cell::new(0),
            polls: Cell::new(0),
            counted: Cell::new(0),
            results: [const { Cell::new(Progress::None) }; MOST],
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn started(&self) -> usize {
        self.started.get()
    }

    pub fn handed(&self) -> usize {
        self.handed.get()
    }

    /// Begins a run.
    pub fn begin(&self, mix: &'static Mix) {
        self.mix.set(mix);
        for count in [&self.made, &self.started, &self.active, &self.finished, &self.handed] {
            count.set(0);
        }
        self.results.iter().for_each(|result| result.set(Progress::None));
    }

    /// Called when the pool was dropped.
    pub fn end(&self, early: bool) {
        wakes::attend(false);
        assert_eq!(self.active.get(), 0, "the pool was dropped, and futures of it live on");
        assert!(early || self.handed.get() == MOST, "only {} results came", self.handed.get());
    }

    pub fn step(&self, random: &mut Random) -> Step {
        let steps = self.mix.get().steps;
        #[expect(clippy::cast_possible_truncation, reason = "there are not so many")]
        let step = steps[random.below(steps.len() as u32) as usize];
        step
    }

    /// Returns the most ticks that a future is to sleep.
    #[expect(clippy::cast_possible_truncation, reason = "there are not so many")]
    pub fn longest(&self) -> u32 {
        self.mix.get().longest * self.size as u32
    }

    /// Called when a future was made.
    pub fn make(&self) {
        add(&self.made, 1);
    }

    /// Called by a future for each poll of it.
    pub fn polled(&self, is_first: bool) {
        assert!(IN_POLL.load(SeqCst), "a future was polled by somebody else");
        add(&self.polls, 1);
        if is_first {
            add(&self.started, 1);
            add(&self.active, 1);
            assert!(self.active.get() <= self.size, "more than {} are active", self.size);
            assert!(self.held() <= self.size, "a future was started above the bound on results");
        }
        add(&self.counted, usize::from(is_first || !self.rules.inline));
    }

    /// Called by a future that has finished.
    pub fn finish(&self, index: usize, is_first: bool) {
        self.active.set(self.active.get() - 1);
        add(&self.finished, 1);
        self.results[index].set(Progress::Finished);
        add(&self.counted, usize::from(!is_first && self.rules.inline));
    }

    /// Called by an active future that is dropped.
    pub fn cancel(&self) {
        self.active.set(self.active.get() - 1);
    }

    /// Called for each result.
    pub fn hand_over(&self, output: Output) {
        let index = output.index();
        assert!(self.results[index].get() == Progress::Finished, "result {index} was handed over twice, or made up");
        assert!(!self.rules.in_order || index == self.handed.get(), "result {index} is not the next");
        self.results[index].set(Progress::Handed);
        add(&self.handed, 1);
    }

    /// Takes the next result. `before` is called before each poll of the stream.
    pub async fn next<S: Stream>(&self, mut stream: Pin<&mut S>, before: impl Fn(Pin<&mut S>)) -> Option<S::Item> {
        poll_fn(|cx| {
            before(stream.as_mut());
            self.poll(stream.as_mut(), cx)
        })
        .await
    }

    /// Takes a result if there is one.
    pub async fn poll_once<S: Stream>(&self, mut stream: Pin<&mut S>) -> Option<S::Item> {
        poll_fn(|cx| match self.poll(stream.as_mut(), cx) {
            Poll::Ready(item) => Poll::Ready(item),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn poll<S: Stream>(&self, stream: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.polls.set(0);
        self.counted.set(0);
        let seen = wakes::seen();
        IN_POLL.store(true, SeqCst);
        let poll = stream.poll_next(cx);
        IN_POLL.store(false, SeqCst);
        let interrupts = (wakes::seen() - seen).in_polls as usize;
        wakes::attend(poll.is_pending());
        wakes::progress();
        self.at_rest(&poll, interrupts);
        poll
    }

    /// How many results could be handed over.
    fn due(&self) -> usize {
        if self.rules.in_order {
            let next = &self.results[self.handed.get()..];
            next.iter().take_while(|result| result.get() == Progress::Finished).count()
        } else {
            self.finished.get() - self.handed.get()
        }
    }

    /// How many results count against the bound on results.
    fn held(&self) -> usize {
        if self.rules.inline { self.finished.get() - self.handed.get() } else { self.due() }
    }

    /// How many futures could be started.
    fn waiting(&self) -> usize {
        (if self.rules.queued { self.made.get() } else { MOST }) - self.started.get()
    }

    /// Checks the law when a call has returned, in which so many interrupts have come.
    fn at_rest<T>(&self, poll: &Poll<Option<T>>, interrupts: usize) {
        let (active, waiting, held, polls) = (self.active.get(), self.waiting(), self.held(), self.counted.get());
        assert!(polls <= POLLS, "one call has polled {polls} times");
        assert!(self.polls.get() <= POLLS + self.size, "one call has polled {} times", self.polls.get());
        let has_room = active < self.size && waiting > 0 && held <= self.size;
        // When the call was about to end, each of them may have woken a future that is gone, which counts as a poll.
        assert!(
            !has_room || polls + interrupts >= POLLS,
            "only {active} of {} are active, {waiting} are waiting, {held} results are held",
            self.size,
        );
        match poll {
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => assert_eq!(self.handed.get(), MOST, "the pool has ended early"),
            Poll::Pending if has_room || polls == POLLS => {
                assert!(WOKEN.load(SeqCst), "a call has used up its polls and not woken itself");
            }
            Poll::Pending => assert_eq!(self.due(), 0, "results are held back"),
        }
    }
}

fn add(count: &Cell<usize>, more: usize) {
    count.set(count.get() + more);
}
