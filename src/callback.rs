//! [`CallbackExt`]: work that follows a future in the same slot.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project::pin_project;

use crate::future::PoolFuture;

/// Adds [`callback`](Self::callback) to every future.
///
/// # Examples
///
/// ```
/// use futures_pool::{Pool, prelude::*};
///
/// async fn fetch(page: u32) -> String {
///     format!("page {page}")
/// }
///
/// async fn store(page: String, shelf: &str) -> String {
///     format!("{page} on {shelf}")
/// }
///
/// # futures::executor::block_on(async {
/// let mut pool = Pool::new(1);
/// assert_eq!(pool.exec(fetch(7).callback(store, "the left")).await, "page 7 on the left");
/// # });
/// ```
pub trait CallbackExt: Future {
    /// Calls `cb(output, ctx)` when the future has finished, and awaits what it returns; the output is the callback's.
    ///
    /// To a pool the two are one future: the callback runs in the slot of the future, is counted as active, and is
    /// cancelled with it. So there is one method for `spawn`, `spawn_n`, `exec`, `map` and `pool_map` alike. The
    /// output of a future that can fail is a `Result`, so the callback sees result and error in one. It is not called if
    /// the future panics or is cancelled.
    ///
    /// It is the original's `cb` and `ctx`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the future, or that of the callback if it has come so far.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::prelude::*;
    /// use std::num::ParseIntError;
    ///
    /// async fn parse(text: &str) -> Result<i32, ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// async fn or_else(result: Result<i32, ParseIntError>, otherwise: i32) -> i32 {
    ///     result.unwrap_or(otherwise)
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let numbers = ["1", "x"].into_iter().pool_map(2, |text| parse(text).callback(or_else, -1)).await;
    /// assert_eq!(numbers, [1, -1]);
    /// # });
    /// ```
    #[doc(alias = "then")]
    #[doc(alias = "cb")]
    #[doc(alias = "ctx")]
    fn callback<C, X, Fut, O>(self, cb: C, ctx: X) -> PoolFuture<Callback<Self, C, X, Fut>, O>
    where
        Self: Sized,
        C: FnOnce(Self::Output, X) -> Fut,
        Fut: Future<Output = O>,
    {
        PoolFuture::new(
            Callback { state: State::Future { future: self, callback: Some((cb, ctx)) } },
            run::<Self, C, X, Fut>,
        )
    }
}

impl<F: Future> CallbackExt for F {}

/// A future and its callback. [`CallbackExt::callback`] returns it inside a [`PoolFuture`].
///
/// # Cancel safety
///
/// Dropping it drops the future, or that of the callback if it has come so far.
///
/// # Panics
///
/// If the future, the callback or its future does, and if it is polled again after its end.
///
/// # Examples
///
/// ```
/// use futures_pool::{Callback, Pool, PoolFuture, prelude::*};
/// use std::future::{Ready, ready};
///
/// type Add = fn(u32, u32) -> Ready<u32>;
/// type Job = PoolFuture<Callback<Ready<u32>, Add, u32, Ready<u32>>, u32>;
///
/// struct Worker {
///     pool: Pool<Job>,
/// }
///
/// fn add(output: u32, ctx: u32) -> Ready<u32> {
///     ready(output + ctx)
/// }
///
/// # futures::executor::block_on(async {
/// let mut worker = Worker { pool: Pool::new(2) };
/// assert_eq!(worker.pool.exec(ready(40).callback(add as Add, 2)).await, 42);
/// # });
/// ```
#[must_use = "futures do nothing unless polled: `.await` it"]
#[pin_project]
pub struct Callback<F, C, X, Fut> {
    #[pin]
    state: State<F, C, X, Fut>,
}

#[pin_project(project = Project)]
enum State<F, C, X, Fut> {
    Future {
        #[pin]
        future: F,
        /// `None` once it was called.
        callback: Option<(C, X)>,
    },
    Callback {
        #[pin]
        future: Fut,
    },
    Ended,
}

fn run<F, C, X, Fut>(this: Pin<&mut Callback<F, C, X, Fut>>, cx: &mut Context<'_>) -> Poll<Fut::Output>
where
    F: Future,
    C: FnOnce(F::Output, X) -> Fut,
    Fut: Future,
{
    let mut state = this.project().state;
    loop {
        match state.as_mut().project() {
            Project::Future { future, callback } => {
                let output = ready!(future.poll(cx));
                let Some((callback, ctx)) = callback.take() else { panic!("`Callback` polled after its end") };
                state.set(State::Ended);
                state.set(State::Callback { future: callback(output, ctx) });
            }
            Project::Callback { future } => {
                let output = ready!(future.poll(cx));
                state.set(State::Ended);
                return Poll::Ready(output);
            }
            Project::Ended => panic!("`Callback` polled after its end"),
        }
    }
}

impl<F, C, X, Fut> fmt::Debug for Callback<F, C, X, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Future { .. } => "future",
            State::Callback { .. } => "callback",
            State::Ended => "ended",
        };
        f.debug_struct("Callback").field("state", &state).finish_non_exhaustive()
    }
}
