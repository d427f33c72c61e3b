//! Futures of a type of their own, for each contestant.
//!
//! In a program, a stream of some type is mostly polled in one place, and the compiler puts its code there. With the
//! same futures for all, what several contestants have in common, such as a `FuturesUnordered` of these futures, would
//! be made once and called from each of them. That costs those who do least most: up to half of their speed.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::{Job, Measured, Total};

/// The same future as another type for each `C`.
#[pin_project]
pub(crate) struct Alone<F, C> {
    #[pin]
    future: F,
    contestant: PhantomData<fn() -> C>,
}

impl<F: From<u64>, C> From<u64> for Alone<F, C> {
    fn from(value: u64) -> Self {
        Self { future: F::from(value), contestant: PhantomData }
    }
}

impl<F: Future, C> Future for Alone<F, C> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F: Job, C: 'static> Job for Alone<F, C> {
    const ANY_THREAD: bool = F::ANY_THREAD;

    fn prepare(items: u64) {
        F::prepare(items);
    }

    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        F::drive(contestant)
    }

    fn drive_tasks(contestant: impl Future<Output = Total>) -> Measured {
        F::drive_tasks(contestant)
    }

    fn drive_tasks_on_two(contestant: impl Future<Output = Total> + Send + 'static) -> Measured {
        F::drive_tasks_on_two(contestant)
    }
}

/// Makes a [`Contestant`](super::Contestant): its origin, its form, its name, and how it runs futures of the type `F`,
/// which within that is a type for it alone.
macro_rules! contestant {
    ($origin:ident, $form:ident, $name:expr, |$size:pat_param, $items:ident| $run:expr) => {{
        struct This;
        fn run<F: $crate::common::Job>($size: usize, $items: u64) -> $crate::common::Measured {
            $run
        }
        $crate::common::Contestant {
            name: $name,
            origin: $crate::common::Origin::$origin,
            form: $crate::common::Form::$form,
            run: run::<$crate::common::Alone<F, This>>,
        }
    }};
}
pub(crate) use contestant;
