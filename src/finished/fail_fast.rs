//! [`FailFast`]: results up to the first error.

use core::ops::Range;

#[cfg(feature = "alloc")]
use super::Gathering;
use super::{Finished, IntoUnordered};

/// Results in the order of `R`, until the first error happens: then that error alone.
///
/// # Examples
///
/// ```
/// use futures_pool::{PoolMap, map::{FailFast, Ordered, Source}, prelude::*};
///
/// /// Asks for a chain that ends with its first error.
/// async fn load<Src, Fut, T>(chain: PoolMap<Src, Fut, FailFast<Ordered<Fut::Output>, Fut::Output>>) -> Vec<T>
/// where
///     Src: Source<Fut>,
///     Fut: Future<Output = Result<T, std::num::ParseIntError>>,
/// {
///     chain.await.unwrap_or_default()
/// }
///
/// # futures::executor::block_on(async {
/// let parse = async |text: &'static str| text.parse::<u32>();
/// assert_eq!(load(["1", "2"].into_iter().pool_map(2, parse).fail_fast()).await, [1, 2]);
/// assert_eq!(load(["1", "x"].into_iter().pool_map(2, parse).fail_fast()).await, []);
/// # });
/// ```
#[derive(Debug)]
pub struct FailFast<R, T> {
    results: R,
    /// The first error, until it is handed over.
    error: Option<(u64, T)>,
    gathered_error: bool,
    /// Whether an error has happened.
    closed: bool,
}

impl<R, T> FailFast<R, T> {
    pub(crate) fn new(results: R) -> Self {
        Self { results, error: None, gathered_error: false, closed: false }
    }

    fn ungathered_errors(&self) -> usize {
        usize::from(self.error.is_some() && !self.gathered_error)
    }
}

impl<R, U, E> Finished for FailFast<R, Result<U, E>>
where
    R: Finished<Output = Result<U, E>> + Default,
{
    type Output = Result<U, E>;

    fn started(&mut self, number: u64, slot: usize) {
        self.results.started(number, slot);
    }

    fn push(&mut self, number: u64, output: Result<U, E>) {
        if self.closed {
            return;
        }
        if output.is_ok() {
            self.results.push(number, output);
        } else {
            self.closed = true;
            self.error = Some((number, output));
        }
    }

    fn skip(&mut self, number: u64) {
        if !self.closed {
            self.results.skip(number);
        }
    }

    fn leave_out(&mut self, numbers: Range<u64>) {
        self.results.leave_out(numbers);
    }

    fn pop(&mut self) -> Option<(u64, Result<U, E>)> {
        if self.closed { self.error.take() } else { self.results.pop() }
    }

    fn len(&self) -> usize {
        self.results.len() + usize::from(self.error.is_some())
    }

    fn due(&self) -> usize {
        self.results.due() + self.ungathered_errors()
    }

    fn held(&self) -> usize {
        self.results.held()
    }

    fn room(&self) -> usize {
        self.results.room()
    }

    fn count_all(&mut self) {
        self.results.count_all();
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn drop_rest(&mut self) {
        self.results = R::default();
    }

    fn size_hint(&self, (lower, upper): (usize, Option<usize>)) -> (usize, Option<usize>) {
        (lower.min(1), upper)
    }
}

#[cfg(feature = "alloc")]
impl<R, U, E> Gathering for FailFast<R, Result<U, E>>
where
    R: Gathering<Output = Result<U, E>> + Default,
{
    fn gather(&mut self, when: &mut impl FnMut(&Result<U, E>) -> bool) -> bool {
        match &self.error {
            Some((_, error)) if !self.gathered_error => {
                self.gathered_error = true;
                when(error)
            }
            _ => self.results.gather(when),
        }
    }

    fn gathered(&self) -> usize {
        usize::from(self.gathered_error) + self.results.gathered()
    }

    fn ungather(&mut self) {
        self.gathered_error = false;
        self.results.ungather();
    }
}

impl<R, U, E> IntoUnordered for FailFast<R, Result<U, E>>
where
    R: IntoUnordered<Output = Result<U, E>> + Default,
    R::Unordered: Default,
{
    type Unordered = FailFast<R::Unordered, Result<U, E>>;

    fn into_unordered(self) -> Self::Unordered {
        FailFast {
            results: self.results.into_unordered(),
            error: self.error,
            gathered_error: self.gathered_error,
            closed: self.closed,
        }
    }
}
