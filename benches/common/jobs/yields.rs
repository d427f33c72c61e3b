//! Futures that wake themselves.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::common::Job;

/// Wakes itself `N` times, then gives its value. It has 16 bytes, and `MORE` that are only carried along.
pub(crate) struct Yields<const N: u64, const MORE: usize> {
    value: u64,
    left: u64,
    _more: [u8; MORE],
}

impl<const N: u64, const MORE: usize> From<u64> for Yields<N, MORE> {
    fn from(value: u64) -> Self {
        Self { value, left: N, _more: [0; MORE] }
    }
}

impl<const N: u64, const MORE: usize> Future for Yields<N, MORE> {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.left == 0 {
            return Poll::Ready(self.value);
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<const N: u64, const MORE: usize> Job for Yields<N, MORE> {}
