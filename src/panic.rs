//! Panics as values: [`Panic`]; and with `std` the future and the source that make items of them.

use alloc::boxed::Box;
use alloc::string::String;
use core::any::Any;
use core::error::Error;
use core::fmt;
use core::mem;
use core::task::Waker;
#[cfg(feature = "std")]
use std::panic::{self, AssertUnwindSafe};

#[cfg(feature = "std")]
pub(crate) use self::catch::{CatchUnwind, Catching};
use crate::lock::Lock;

/// The panic of a future, caught: what [`PoolMap::catch_unwind`](crate::PoolMap::catch_unwind) gives in its place,
/// and what [`TaskError::Panicked`](crate::TaskError::Panicked) carries.
///
/// Without the feature `std` there are none, since a panic cannot be caught there.
///
/// # Examples
///
/// ```
/// use futures_pool::prelude::*;
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// # futures::executor::block_on(async {
/// let mut results = [7].iter().pool_map(1, async |x| panic!("no {x}")).catch_unwind().await;
/// let panic: futures_pool::Panic = results.remove(0).map(|(): ()| ()).unwrap_err();
/// assert_eq!(panic.to_string(), "a future panicked: no 7");
/// # });
/// ```
pub struct Panic {
    /// In a box, so that a result that is hardly ever a panic is not the size of one.
    caught: Box<Caught>,
}

struct Caught {
    /// What the panic was raised with, if it is text.
    message: Option<String>,
    /// Never locked but by its owner: the lock makes a `Panic` `Sync`, which errors are expected to be.
    payload: Lock<Box<dyn Any + Send>>,
}

/// Calls `f`, and catches its panic. Without the feature `std` the panic passes through.
///
/// For what is not seen again after its panic, but for what it shares with others, which is its own affair.
#[inline(always)]
#[cfg_attr(not(feature = "std"), expect(clippy::unnecessary_wraps))]
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    #[cfg(feature = "std")]
    {
        panic::catch_unwind(AssertUnwindSafe(f)).map_err(Panic::new)
    }
    #[cfg(not(feature = "std"))]
    Ok(f())
}

/// Calls `f`, and forgets its panic, whose payload may panic as well when it is dropped.
pub(crate) fn contain_and_forget(f: impl FnOnce()) {
    if let Err(panic) = contain(f) {
        if let Err(again) = contain(|| drop(panic)) {
            mem::forget(again);
        }
    }
}

/// Wakes a task, and forgets the panic of its waker: it is no affair of those who have others to wake, or to count.
pub(crate) fn wake_and_contain(waker: Waker) {
    contain_and_forget(|| waker.wake());
}

impl Panic {
    #[cfg(feature = "std")]
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|&message| message.into())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self { caught: Box::new(Caught { message, payload: Lock::new(payload) }) }
    }

    /// Returns what the panic was raised with, if it is text, as it is with `panic!`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::panic::panic_any;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// let raise = async |x| if x < 0 { panic!("{x} is below 0") } else { panic_any(x) };
    /// let results: Vec<Result<(), _>> = [-1, 1].into_iter().pool_map(1, raise).catch_unwind().await;
    /// assert_eq!(results[0].as_ref().unwrap_err().message(), Some("-1 is below 0"));
    /// assert_eq!(results[1].as_ref().unwrap_err().message(), None); // a number is no text
    /// # });
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.caught.message.as_deref()
    }

    /// Returns what the panic was raised with.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// let raise = async |x: i32| std::panic::panic_any(x);
    /// let mut results = [7].into_iter().pool_map(1, raise).catch_unwind().await;
    /// let payload = results.remove(0).map(|(): ()| ()).unwrap_err().into_payload();
    /// assert_eq!(payload.downcast_ref(), Some(&7));
    /// # });
    /// ```
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.caught.payload.into_inner()
    }

    /// Resumes the panic, as if it had not been caught.
    ///
    /// # Panics
    ///
    /// Always.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// let mut results = [0].iter().pool_map(1, async |x| 10 / x).catch_unwind().await;
    /// let panic = results.remove(0).unwrap_err();
    /// let raised = catch_unwind(AssertUnwindSafe(|| panic.resume())).unwrap_err();
    /// assert!(raised.is::<&str>() || raised.is::<String>()); // what the division has raised
    /// # });
    /// ```
    #[cfg(feature = "std")]
    pub fn resume(self) -> ! {
        panic::resume_unwind(self.into_payload())
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a future panicked")?;
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic").field("message", &self.caught.message).finish_non_exhaustive()
    }
}

impl Error for Panic {}

/// What [`PoolMap::catch_unwind`](crate::PoolMap::catch_unwind) is made of.
#[cfg(feature = "std")]
mod catch {
    use core::marker::PhantomData;
    use core::pin::Pin;
    use core::task::{Context, Poll};

    use pin_project::pin_project;

    use super::{Panic, contain, contain_and_forget};
    use core::hash::Hash;

    use crate::source::{Admit, Admittable, Head, LookAhead, Source};

    /// A future whose panic is its output.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled: `.await` it"]
    #[pin_project]
    pub struct CatchUnwind<Fut> {
        /// `None` after its end.
        #[pin]
        future: Option<Fut>,
    }

    impl<Fut: Future> Future for CatchUnwind<Fut> {
        type Output = Result<Fut::Output, Panic>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let mut slot = self.project().future;
            let polled = contain(|| {
                let future = slot.as_mut().as_pin_mut().expect("`CatchUnwind` polled after its end");
                future.poll(cx)
            });
            let caught = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => match contain(|| slot.set(None)) {
                    Ok(()) => Ok(output),
                    Err(panic) => {
                        contain_and_forget(|| drop(output));
                        Err(panic)
                    }
                },
                Err(panic) => {
                    // A second panic, out of the destructor of what has panicked before, has nothing to add.
                    contain_and_forget(|| slot.set(None));
                    Err(panic)
                }
            };
            Poll::Ready(caught)
        }
    }

    /// The source of a chain that catches panics.
    #[derive(Debug)]
    #[pin_project]
    pub struct Catching<Src, Fut> {
        #[pin]
        source: Src,
        futures: PhantomData<fn() -> Fut>,
    }

    impl<Src, Fut> Catching<Src, Fut> {
        pub(crate) fn new(source: Src) -> Self {
            Self { source, futures: PhantomData }
        }
    }

    impl<Src: Source<Fut>, Fut> Source<CatchUnwind<Fut>> for Catching<Src, Fut> {
        const HAS_UPSTREAM: bool = Src::HAS_UPSTREAM;
        const ADMITS: bool = Src::ADMITS;

        fn poll_head(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize, size: usize) -> Poll<Admit> {
            self.project().source.poll_head(cx, budget, size)
        }

        fn head(&self) -> Option<Head> {
            self.source.head()
        }

        fn started(self: Pin<&mut Self>, slot: usize, weight: usize) {
            self.project().source.started(slot, weight);
        }

        fn ended(self: Pin<&mut Self>, slot: usize) -> usize {
            self.project().source.ended(slot)
        }

        fn take_lost(self: Pin<&mut Self>) -> Option<u64> {
            self.project().source.take_lost()
        }

        fn waiting(&self) -> usize {
            self.source.waiting()
        }

        fn poll_take<T>(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            budget: &mut usize,
            start: impl FnOnce(u64, CatchUnwind<Fut>) -> T,
        ) -> Poll<Option<T>> {
            let start = |number, future| start(number, CatchUnwind { future: Some(future) });
            self.project().source.poll_take(cx, budget, start)
        }

        fn poll_progress(self: Pin<&mut Self>, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
            self.project().source.poll_progress(cx, budget)
        }

        fn polls_used(&self) -> usize {
            self.source.polls_used()
        }

        fn is_done(&self) -> bool {
            self.source.is_done()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            self.source.size_hint()
        }

        fn close(self: Pin<&mut Self>) {
            self.project().source.close();
        }
    }

    impl<Src: Admittable<Fut>, Fut> Admittable<CatchUnwind<Fut>> for Catching<Src, Fut> {
        type Item = Src::Item;
        type Weighted<W>
            = Catching<Src::Weighted<W>, Fut>
        where
            W: FnMut(&Src::Item) -> usize;

        fn weighted<W: FnMut(&Src::Item) -> usize>(self, weigh: W) -> Self::Weighted<W> {
            Catching::new(self.source.weighted(weigh))
        }

        type PerKey<K, F>
            = Catching<Src::PerKey<K, F>, Fut>
        where
            K: Hash + Eq,
            F: FnMut(&Src::Item) -> K;

        #[track_caller]
        fn per_key<K, F>(self, most: usize, key: F) -> Self::PerKey<K, F>
        where
            K: Hash + Eq,
            F: FnMut(&Src::Item) -> K,
        {
            Catching::new(self.source.per_key(most, key))
        }
    }

    impl<Src: LookAhead, Fut> LookAhead for Catching<Src, Fut> {
        fn set_look_ahead(&mut self, items: usize) {
            self.source.set_look_ahead(items);
        }
    }
}
