//! The futures that a pool is given.

use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use crate::gauge::{Gauge, MOST};
use crate::wakes::{self, Random, Sleep};

/// What a future does before it ends, one of these at a time.
#[derive(Clone, Copy)]
pub enum Step {
    /// It continues.
    Ready,
    /// It wakes itself, twice.
    Yield,
    /// It waits for a timer.
    Sleep,
    /// It wakes itself, and the interrupt will wake it again and again, long after it has ended.
    Echo,
}

/// What the futures of a run do.
pub struct Mix {
    pub steps: &'static [Step],
    /// The most ticks that a future sleeps, for each slot that there is. With few, something is always woken; with many, the
    /// task is at rest in between.
    pub longest: u32,
    /// Whether the consumer turns away from the pool after each result.
    pub slow: bool,
}

pub static MIXES: [Mix; 6] = [
    Mix { steps: &[Step::Sleep], longest: 8, slow: false },
    Mix { steps: &[Step::Sleep], longest: 1, slow: false },
    Mix { steps: &[Step::Yield], longest: 1, slow: false },
    Mix { steps: &[Step::Ready, Step::Yield, Step::Sleep], longest: 8, slow: false },
    Mix { steps: &[Step::Ready, Step::Yield, Step::Sleep, Step::Echo], longest: 8, slow: false },
    Mix { steps: &[Step::Ready, Step::Ready, Step::Yield, Step::Sleep, Step::Echo], longest: 4, slow: true },
];

/// The futures for one run, in their order.
pub struct Jobs<'a> {
    gauge: &'a Gauge,
    next: usize,
}

impl<'a> Jobs<'a> {
    pub fn new(gauge: &'a Gauge) -> Self {
        Self { gauge, next: 0 }
    }
}

impl<'a> Iterator for Jobs<'a> {
    type Item = Job<'a>;

    fn next(&mut self) -> Option<Job<'a>> {
        if self.next == MOST {
            return None;
        }
        let index = self.next;
        self.next += 1;
        self.gauge.make();
        #[expect(clippy::cast_possible_truncation, reason = "there are not so many")]
        let mut random = Random(index as u32 * 7919);
        let steps = random.below(4);
        Some(Job { gauge: self.gauge, index, random, steps, state: State::Waiting, sleep: None, yielded: false })
    }
}

/// See [`Step`].
pub struct Job<'a> {
    gauge: &'a Gauge,
    index: usize,
    random: Random,
    /// How many steps are left.
    steps: u32,
    state: State,
    sleep: Option<Sleep>,
    /// Whether it has woken itself when it was last polled.
    yielded: bool,
}

#[derive(PartialEq)]
enum State {
    Waiting,
    Active,
    Finished,
}

/// The result of one future, and of no other.
#[derive(Clone, Copy)]
pub struct Output(usize);

impl Output {
    pub fn index(self) -> usize {
        self.0
    }
}

impl Job<'_> {
    pub fn index(&self) -> usize {
        self.index
    }

    fn heard(&mut self) {
        if self.yielded {
            self.yielded = false;
            wakes::count_yielded(|count| count - 1);
        }
    }
}

impl Future for Job<'_> {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let this = &mut *self;
        assert!(this.state != State::Finished, "polled after its end");
        let is_first = this.state == State::Waiting;
        this.gauge.polled(is_first);
        this.heard();
        this.state = State::Active;
        loop {
            if let Some(sleep) = &mut this.sleep {
                if pin!(sleep).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.sleep = None;
            }
            if this.steps == 0 {
                this.state = State::Finished;
                this.gauge.finish(this.index, is_first);
                return Poll::Ready(Output(this.index));
            }
            this.steps -= 1;
            let step = this.gauge.step(&mut this.random);
            match step {
                Step::Ready => continue,
                Step::Sleep => {
                    this.sleep = Some(Sleep::random(&mut this.random, this.gauge.longest()));
                    continue;
                }
                Step::Yield => cx.waker().wake_by_ref(),
                Step::Echo => wakes::echo(cx.waker()),
            }
            this.yielded = true;
            wakes::count_yielded(|count| count + 1);
            #[expect(clippy::waker_clone_wake, reason = "wakers are also called by value")]
            cx.waker().clone().wake();
            return Poll::Pending;
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.heard();
        if self.state == State::Active {
            self.gauge.cancel();
        }
    }
}
