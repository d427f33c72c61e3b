//! [`TaskError`]: why a task has no output.

use alloc::boxed::Box;
use core::any::Any;
use core::error::Error;
use core::fmt;

use crate::panic::Panic;

/// Why a task has no output.
///
/// # Examples
///
/// ```
/// use futures_pool::{TaskError, local_scope};
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// # futures::executor::block_on(async {
/// local_scope(1, async |pool| {
///     let tasks = pool.map_n([5, 0, 2], async |x| 10 / x);
///     tasks[2].cancel();
///     let mut report = Vec::new();
///     for task in tasks {
///         report.push(match task.await {
///             Ok(tenth) => tenth.to_string(),
///             Err(TaskError::Panicked(panic)) => panic.message().unwrap_or("it panicked").to_owned(),
///             Err(error) => error.to_string(),
///         });
///     }
///     assert_eq!(report, ["2", "attempt to divide by zero", "the task was cancelled"]);
/// })
/// .await;
/// # });
/// ```
#[derive(Debug)]
pub enum TaskError {
    /// It was cancelled, or its scope was dropped or has ended before it could run.
    Cancelled,
    /// It has panicked. (Never without the feature `std`, since a panic cannot be caught there.)
    Panicked(Panic),
}

impl TaskError {
    /// Returns whether the task was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use std::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let task = pool.spawn_n(pending::<()>());
    ///     pool.cancel_all();
    ///     let error = task.await.unwrap_err();
    ///     assert!(error.is_cancelled() && !error.is_panic());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Returns whether the task has panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let error = pool.exec(async { [1, 2].iter().position(|&x| x == 3).unwrap() }).await.unwrap_err();
    ///     assert!(error.is_panic() && !error.is_cancelled());
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`](https://doc.rust-lang.org/std/panic/fn.resume_unwind.html).
    ///
    /// # Panics
    ///
    /// If the task has not panicked: see [`is_panic`](Self::is_panic).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_pool::local_scope;
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// # futures::executor::block_on(async {
    /// local_scope(1, async |pool| {
    ///     let error = pool.exec(async { panic!("out of paper") }).await.map(|()| ()).unwrap_err();
    ///     assert_eq!(error.into_panic().downcast_ref(), Some(&"out of paper"));
    /// })
    /// .await;
    /// # });
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self {
            Self::Panicked(panic) => panic.into_payload(),
            Self::Cancelled => panic!("the task was cancelled, and has not panicked"),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled => None,
            Self::Panicked(panic) => Some(panic),
        }
    }
}
