//! [`Drive`]: any future, while the pool makes progress.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use crate::future::PoolFuture;
use crate::progress::Progress;

/// The machine of [`ProgressExt::drive`](super::ProgressExt::drive).
#[pin_project]
pub struct Drive<'a, S: ?Sized, Fut> {
    stream: &'a mut S,
    #[pin]
    future: Fut,
}

impl<'a, S: Progress + Unpin + ?Sized, Fut: Future> Drive<'a, S, Fut> {
    pub(crate) fn new(stream: &'a mut S, future: Fut) -> PoolFuture<Self, Fut::Output> {
        PoolFuture::new(Self { stream, future }, run::<S, Fut>)
    }
}

fn run<S: Progress + Unpin + ?Sized, Fut: Future>(
    drive: Pin<&mut Drive<'_, S, Fut>>,
    cx: &mut Context<'_>,
) -> Poll<Fut::Output> {
    let this = drive.project();
    let poll = this.future.poll(cx);
    if poll.is_pending() {
        let _ = Pin::new(&mut **this.stream).poll_progress(cx);
    }
    poll
}

impl<S: fmt::Debug + ?Sized, Fut> fmt::Debug for Drive<'_, S, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").field("stream", &self.stream).finish_non_exhaustive()
    }
}
