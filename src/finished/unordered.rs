//! [`Unordered`]: results as they finish.

use alloc::collections::VecDeque;

use super::{Finished, Gathering, IntoUnordered, Order};

/// Results in the order in which the futures finished.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use futures_pool::{PoolMap, map::{Source, Unordered}, prelude::*};
/// use std::pin::pin;
/// use tokio::time::{Duration, sleep};
///
/// /// Asks for results as they finish: the first is that of the fastest.
/// async fn race<Src: Source<Fut>, Fut: Future>(chain: PoolMap<Src, Fut, Unordered<Fut::Output>>) -> Option<Fut::Output> {
///     pin!(chain).next().await
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let run = async |ms| { sleep(Duration::from_millis(ms)).await; ms };
/// assert_eq!(race([30, 10, 20].into_iter().pool_map(3, run).unordered()).await, Some(10));
/// # }
/// ```
#[derive(Debug)]
pub struct Unordered<T> {
    /// The first result, if there was no other when it came: most are handed over at once, and need no queue.
    first: Option<(u64, T)>,
    /// The results after it.
    queue: VecDeque<(u64, T)>,
    /// How many of the first results were gathered.
    gathered: usize,
}

impl<T> Unordered<T> {
    /// Makes room for half as many again: by itself a queue would begin with four and double, which is much for a small
    /// pool.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.queue.reserve_exact((self.queue.len() / 2).max(2));
    }
}

impl<T> Finished for Unordered<T> {
    type Output = T;

    #[inline(always)]
    fn started(&mut self, _: u64, _: usize) {}

    #[inline(always)]
    fn push(&mut self, number: u64, output: T) {
        if self.first.is_none() && self.queue.is_empty() {
            self.first = Some((number, output));
        } else {
            if self.queue.len() == self.queue.capacity() {
                self.grow();
            }
            self.queue.push_back((number, output));
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(u64, T)> {
        if self.first.is_some() { self.first.take() } else { self.queue.pop_front() }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.queue.len() + usize::from(self.first.is_some())
    }

    #[inline(always)]
    fn due(&self) -> usize {
        self.len() - self.gathered
    }
}

impl<T> Gathering for Unordered<T> {
    fn gather(&mut self, when: &mut impl FnMut(&T) -> bool) -> bool {
        while let Some((_, output)) = self.first.iter().chain(&self.queue).nth(self.gathered) {
            self.gathered += 1;
            if when(output) {
                return true;
            }
        }
        false
    }

    fn gathered(&self) -> usize {
        self.gathered
    }

    fn ungather(&mut self) {
        self.gathered = 0;
    }
}

impl<T> Default for Unordered<T> {
    fn default() -> Self {
        Self { first: None, queue: VecDeque::new(), gathered: 0 }
    }
}

impl<T> Order for Unordered<T> {
    type Of<U> = Unordered<U>;
}

impl<T> IntoUnordered for Unordered<T> {
    type Unordered = Self;

    fn into_unordered(self) -> Self {
        self
    }
}
