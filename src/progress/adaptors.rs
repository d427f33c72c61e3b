//! [`Progress`] of the adaptors of `futures_util`.

use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::future::TryFuture;
use futures_util::stream::{self, Stream, TryStream};

use super::{PoolCounts, Progress};

/// The methods of an adaptor that shows its stream.
macro_rules! progress_of_the_stream {
    () => {
        fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.get_pin_mut().poll_progress(cx)
        }

        fn poll_progress_with_budget(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
            self.get_pin_mut().poll_progress_with_budget(cx, budget)
        }

        fn polls_used(&self) -> usize {
            self.get_ref().polls_used()
        }

        fn visits(&self) -> usize {
            self.get_ref().visits()
        }

        fn counts(&self) -> PoolCounts {
            self.get_ref().counts()
        }
    };
}

/// Passes progress through adaptors that show their one stream. `St: TryStream` is for those whose types ask for it.
macro_rules! pass_through {
    ($($adaptor:ident<St $(: $bound:ident)? $(, $other:ident)*> [$($bounds:tt)*])*) => {$(
        impl<St: Progress $(+ $bound)? $(, $other)*> Progress for stream::$adaptor<St $(, $other)*>
        where
            Self: Stream,
            $($bounds)*
        {
            progress_of_the_stream!();
        }
    )*};
}

pass_through! {
    Enumerate<St> []
    Filter<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    FilterMap<St, Fut, F> [F: FnMut(St::Item) -> Fut, Fut: Future]
    FlatMap<St, U, F> []
    Flatten<St> [St::Item: Stream]
    Fuse<St> []
    Inspect<St, F> [F: FnMut(&St::Item)]
    Map<St, F> []
    Peekable<St> []
    Skip<St> []
    SkipWhile<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    Take<St> []
    TakeUntil<St, Fut> [Fut: Future]
    TakeWhile<St, Fut, F> [F: FnMut(&St::Item) -> Fut, Fut: Future<Output = bool>]
    Then<St, Fut, F> [F: FnMut(St::Item) -> Fut, Fut: Future]

    AndThen<St, Fut, F> [St: TryStream, F: FnMut(St::Ok) -> Fut, Fut: TryFuture<Error = St::Error>]
    ErrInto<St, E> [St: TryStream, St::Error: Into<E>]
    InspectErr<St, F> [St: TryStream, F: FnMut(&St::Error)]
    InspectOk<St, F> [St: TryStream, F: FnMut(&St::Ok)]
    IntoStream<St> [St: TryStream]
    MapErr<St, F> [St: TryStream]
    MapOk<St, F> [St: TryStream]
    OrElse<St, Fut, F> [St: TryStream, F: FnMut(St::Error) -> Fut, Fut: TryFuture<Ok = St::Ok>]
    TryFilterMap<St, Fut, F> []

    TryFlatten<St: TryStream> [St::Ok: TryStream, <St::Ok as TryStream>::Error: From<St::Error>]
    TryFilter<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: Future<Output = bool>]
    TrySkipWhile<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: TryFuture<Ok = bool, Error = St::Error>]
    TryTakeWhile<St: TryStream, Fut, F> [F: FnMut(&St::Ok) -> Fut, Fut: TryFuture<Ok = bool, Error = St::Error>]
}

#[cfg(feature = "alloc")]
pass_through! {
    Chunks<St> []
    ReadyChunks<St> []
    TryChunks<St: TryStream> []
    TryReadyChunks<St: TryStream> []
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pass_through! {
    BufferUnordered<St> [St::Item: Future]
    Buffered<St> [St::Item: Future]
    FlatMapUnordered<St, U, F> [F: FnMut(St::Item) -> U, U: Stream + Unpin]
    FlattenUnordered<St> [St::Item: Stream + Unpin]
    TryBufferUnordered<St: TryStream> [St::Ok: TryFuture]
    TryBuffered<St: TryStream> [St::Ok: TryFuture]
    TryFlattenUnordered<St: TryStream> [St::Ok: TryStream + Unpin, <St::Ok as TryStream>::Error: From<St::Error>]
}

impl<St: Progress, S, Fut, F, B> Progress for stream::Scan<St, S, Fut, F>
where
    F: FnMut(&mut S, St::Item) -> Fut,
    Fut: Future<Output = Option<B>>,
{
    progress_of_the_stream!();
}
