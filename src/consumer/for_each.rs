//! [`ForEach`]: one item after the other, while the pool makes progress.

use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project::pin_project;

use crate::engine::POLL_BUDGET;
use crate::future::PoolFuture;
use crate::progress::Progress;

/// The machine of `for_each` on a pool's stream.
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
            if item.poll(cx).is_pending() {
                mem::forget(guard);
                let _ = this.stream.poll_progress_with_budget(cx, &mut budget);
                return Poll::Pending;
            }
        }
        drop(guard);
        match ready!(this.stream.as_mut().poll_next_with_budget(cx, &mut budget)) {
            Some(item) => this.item.set(Some((this.f)(item))),
            None => return Poll::Ready(()),
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
