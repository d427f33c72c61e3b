//! [`ForEach`]: one item after the other, while the pool makes progress; to the end, or to the first error.

use core::fmt;
use core::mem;
use core::ops::ControlFlow;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project::pin_project;

use crate::engine::POLL_BUDGET;
use crate::future::{IsFuture, PoolFuture};
use crate::progress::Progress;
use crate::stream::PoolMap;

/// The machine of `for_each` and `try_for_each` on a pool's stream.
#[pin_project]
pub struct ForEach<S, Fut, F> {
    #[pin]
    stream: S,
    f: F,
    /// The future for the current item.
    #[pin]
    item: Option<Fut>,
}

impl<S, Fut, F> ForEach<S, Fut, F>
where
    S: Progress,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = ()>,
{
    pub(crate) fn new(stream: S, f: F) -> PoolFuture<Self, ()> {
        PoolFuture::new(Self { stream, f, item: None }, run::<S, Fut, F>)
    }
}

impl<S, Fut, F> ForEach<S, Fut, F> {
    pub(crate) fn new_try<T, E>(stream: S, f: F) -> PoolFuture<Self, Result<(), E>>
    where
        S: Progress<Item = Result<T, E>>,
        F: FnMut(T) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        PoolFuture::new(Self { stream, f, item: None }, run_try::<S, Fut, F, T, E>)
    }
}

/// To the first error.
impl<M, T, E> PoolMap<M, Result<T, E>> {
    /// Calls `f` with the value of each item, and runs the future that it returns before the next, up to the first error: of an
    /// item, or of `f`; **the pool makes progress meanwhile**, within its bound on results.
    ///
    /// That is what sets it apart from `TryStreamExt::try_for_each`, which leaves everything in flight unpolled while the
    /// consumer is busy. An error of an item ends it when that item's turn has come; with [`fail_fast`](Self::fail_fast), that is
    /// when it happens. For other consumers there is [`consume`](Self::consume).
    ///
    /// It polls at most 64 futures, behind an adaptor [more](crate::PoolMap), then lets other tasks run.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the stream, and the future for the current item.
    ///
    /// # Panics
    ///
    /// If the closure, its future, or a future of the pool does.
    ///
    /// # Errors
    ///
    /// The first error of an item, or of a future of `f`. What is in flight is dropped with the future that has given it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// async fn fetch(page: u32) -> Result<u32, String> {
    ///     if page == 7 { Err(format!("no page {page}")) } else { Ok(page) }
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let mut stored = Vec::new();
    /// let all = (0..).pool_map(4, fetch).try_for_each(|page| {
    ///     stored.push(page);
    ///     async { Ok(()) }
    /// });
    /// assert_eq!(all.await, Err("no page 7".to_owned()));
    /// assert_eq!(stored, [0, 1, 2, 3, 4, 5, 6]);
    /// # });
    /// ```
    pub fn try_for_each<Each, Fut>(self, f: Each) -> PoolFuture<ForEach<Self, Fut, Each>, Result<(), E>>
    where
        Each: FnMut(T) -> Fut,
        Fut: IsFuture<Output = Result<(), E>>,
    {
        ForEach::new_try(self, f)
    }
}

/// Drops a future if its poll panics: it must not be polled again.
struct DropOnUnwind<'a, Fut>(Pin<&'a mut Option<Fut>>);

impl<Fut> Drop for DropOnUnwind<'_, Fut> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

fn run<S, Fut, F>(for_each: Pin<&mut ForEach<S, Fut, F>>, cx: &mut Context<'_>) -> Poll<()>
where
    S: Progress,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = ()>,
{
    run_until::<_, _, _, ()>(for_each, cx, |f, item| ControlFlow::Continue(f(item)), ControlFlow::Continue).map(|_| ())
}

fn run_try<S, Fut, F, T, E>(for_each: Pin<&mut ForEach<S, Fut, F>>, cx: &mut Context<'_>) -> Poll<Result<(), E>>
where
    S: Progress<Item = Result<T, E>>,
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let begin = |f: &mut F, item| match item {
        Ok(item) => ControlFlow::Continue(f(item)),
        Err(error) => ControlFlow::Break(error),
    };
    let end = |result| match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    };
    run_until(for_each, cx, begin, end).map(|error| error.map_or(Ok(()), Err))
}

/// Runs to the end of the stream, or until `begin`, which makes the future for an item, or `end`, which is given its output,
/// breaks.
#[inline(always)]
fn run_until<S, Fut, F, B>(
    for_each: Pin<&mut ForEach<S, Fut, F>>,
    cx: &mut Context<'_>,
    begin: impl Fn(&mut F, S::Item) -> ControlFlow<B, Fut>,
    end: impl Fn(Fut::Output) -> ControlFlow<B>,
) -> Poll<Option<B>>
where
    S: Progress,
    Fut: Future,
{
    let mut this = for_each.project();
    let mut budget = POLL_BUDGET;
    loop {
        if budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // One poll is reserved for the item's future.
        budget -= 1;
        let mut guard = DropOnUnwind(this.item.as_mut());
        if let Some(item) = guard.0.as_mut().as_pin_mut() {
            let Poll::Ready(output) = item.poll(cx) else {
                mem::forget(guard);
                let _ = this.stream.poll_progress_with_budget(cx, &mut budget);
                return Poll::Pending;
            };
            if let ControlFlow::Break(last) = end(output) {
                return Poll::Ready(Some(last));
            }
        }
        drop(guard);
        match ready!(this.stream.as_mut().poll_next_with_budget(cx, &mut budget)) {
            Some(item) => match begin(this.f, item) {
                ControlFlow::Continue(future) => this.item.set(Some(future)),
                ControlFlow::Break(last) => return Poll::Ready(Some(last)),
            },
            None => return Poll::Ready(None),
        }
    }
}

impl<S: fmt::Debug, Fut, F> fmt::Debug for ForEach<S, Fut, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach")
            .field("stream", &self.stream)
            .field("busy", &self.item.is_some())
            .finish_non_exhaustive()
    }
}
