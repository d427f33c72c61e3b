//! [`Driven`]: a pool's stream behind adaptors, polled one item ahead.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::pin_project;

use crate::progress::Progress;
use crate::stream::{Look, PoolMap, Want, Wanted};

/// The machine of [`ProgressExt::driven`](super::ProgressExt::driven).
#[pin_project]
pub struct Driven<S, T> {
    #[pin]
    stream: S,
    /// An item that came while the consumer was busy.
    ahead: Option<T>,
    /// Whether the adaptor has ended. The pool upstream may still have futures in flight.
    has_ended: bool,
    /// How often this was polled, and with it all that is upstream; wraps around.
    visits: usize,
}

impl<S: Progress<Item = T>, T> Driven<S, T> {
    pub(super) fn new(stream: S) -> PoolMap<Self, T> {
        PoolMap::from_parts(Self { stream, ahead: None, has_ended: false, visits: 0 }, run::<S, T>, look::<S, T>)
    }

    /// Polls the adaptor, unless an item is ahead, and then the pool upstream. Returns `None` if that has to be polled once more.
    ///
    /// Upstream may be another one of this kind. If the adaptor has polled it, it has polled all that is upstream of it, and
    /// is not polled again in this call: with each of a row of these polling twice, the last would be polled 2ᵏ times.
    fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Option<Poll<()>> {
        let mut this = self.project();
        *this.visits = this.visits.wrapping_add(1);
        let visits = this.stream.visits();
        let mut waits = this.ahead.is_none() && !*this.has_ended;
        if waits && *budget == 0 {
            // Asked now, an adaptor would use polls of which none are left.
            cx.waker().wake_by_ref();
        } else if waits {
            let (most, before) = (*budget, this.stream.polls_used());
            let next = this.stream.as_mut().poll_next_with_budget(cx, budget);
            // An adaptor does not tell the pool upstream how many are left.
            *budget = most.saturating_sub(this.stream.polls_used().wrapping_sub(before));
            if let Poll::Ready(next) = next {
                waits = false;
                *this.has_ended = next.is_none();
                *this.ahead = next;
            }
        }
        if this.stream.visits() != visits {
            return waits.then_some(Poll::Pending);
        }
        // The adaptor may have a future of its own, or have ended, and not have polled the pool at all.
        let upstream = this.stream.poll_progress_with_budget(cx, budget);
        Some(if waits { Poll::Pending } else { upstream })
    }
}

fn run<S: Progress<Item = T>, T>(
    mut driven: Pin<&mut Driven<S, T>>,
    cx: &mut Context<'_>,
    budget: &mut usize,
    wanted: Wanted,
) -> Poll<Option<T>> {
    #[cfg(feature = "alloc")]
    if matches!(wanted, Wanted::Another | Wanted::Taken) {
        return Poll::Ready(None);
    }
    let progress = driven.as_mut().poll_progress(cx, budget);
    if wanted == Wanted::Progress {
        let progress = progress.unwrap_or_else(|| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        return progress.map(|()| None);
    }
    let this = driven.project();
    #[cfg(feature = "alloc")]
    if wanted == Wanted::Due {
        let is_due = this.ahead.is_some() || *this.has_ended;
        return if is_due { Poll::Ready(None) } else { Poll::Pending };
    }
    match this.ahead.take() {
        None if !*this.has_ended => Poll::Pending,
        next => Poll::Ready(next),
    }
}

fn look<S: Progress<Item = T>, T>(driven: &Driven<S, T>, want: Want) -> Look {
    let ahead = usize::from(driven.ahead.is_some());
    let (lower, upper) = if driven.has_ended || want == Want::State { (0, Some(0)) } else { driven.stream.size_hint() };
    // By one call: with each of a row of these asking twice, the last would be asked 2ᵏ times.
    let counts = driven.stream.counts();
    Look {
        size_hint: (lower.saturating_add(ahead), upper.and_then(|upper| upper.checked_add(ahead))),
        is_terminated: driven.has_ended && driven.ahead.is_none(),
        polls_used: counts.polls_used,
        visits: driven.visits,
        waiting: 0,
        counts,
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Driven<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven")
            .field("stream", &self.stream)
            .field("ahead", &self.ahead.is_some())
            .field("ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}
