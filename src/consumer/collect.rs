//! [`CollectItems`]: all items of a pool's stream, in a collection.

use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project::pin_project;

use crate::engine::POLL_BUDGET;
use crate::future::PoolFuture;
use crate::progress::Progress;

/// The machine of `collect` on a pool's stream.
#[pin_project]
pub struct CollectItems<S, C> {
    #[pin]
    stream: S,
    collection: C,
}

impl<S: Progress<Item = T>, T, C: Default + Extend<T>> CollectItems<S, C> {
    pub(crate) fn new(stream: S) -> PoolFuture<Self, C> {
        PoolFuture::new(Self { stream, collection: C::default() }, run::<S, T, C>)
    }
}

fn run<S: Progress<Item = T>, T, C: Default + Extend<T>>(
    collect: Pin<&mut CollectItems<S, C>>,
    cx: &mut Context<'_>,
) -> Poll<C> {
    let mut this = collect.project();
    let mut budget = POLL_BUDGET;
    while let Some(item) = ready!(this.stream.as_mut().poll_next_with_budget(cx, &mut budget)) {
        this.collection.extend(Some(item));
    }
    Poll::Ready(mem::take(this.collection))
}

impl<S: fmt::Debug, C> fmt::Debug for CollectItems<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect").field("stream", &self.stream).finish_non_exhaustive()
    }
}
