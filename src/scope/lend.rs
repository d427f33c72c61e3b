//! [`Scope::lend`].

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project::{pin_project, pinned_drop};

use super::handle::Scope;
use super::lending::Wait;
use crate::future::PoolFuture;

impl<'env, B> Scope<'env, B> {
    /// Runs a future, and lends the slot of the task in which that is done meanwhile: another task may run. The task takes a slot
    /// again, ahead of everything that waits to start, before it continues.
    ///
    /// It is for what a task of this scope waits for without working: a back-off before the next attempt, a lock, a rate
    /// limiter, another scope; and for what another task of this scope has to bring about, by a channel, a `OnceCell`, a `Mutex`,
    /// which otherwise could be waited for in all slots while that task has none. Operations of the scope itself
    /// ([`Task`](super::Task), [`exec`](Self::exec), [`map`](Self::map) and so on) lend by themselves.
    ///
    /// While the future runs, it is polled whenever it is woken, slot or not. Operations of the scope in it need no slot to
    /// continue. Nested, it counts once. Outside of the tasks of this scope, it just runs the future.
    ///
    /// # Cancel safety
    ///
    /// As that of the future, but for the time between its end and the free slot: its output is held back then, and is
    /// dropped with this. So what must not lose a message (`recv` of a channel) is better not lent; and a guard that was
    /// obtained in this way is held while the task waits for its slot.
    ///
    /// # Panics
    ///
    /// If the future does.
    ///
    /// # Examples
    ///
    /// A task that waits before it tries again does not keep others from running:
    ///
    /// ```
    /// use futures_pool::local_scope;
    /// use tokio::time::{Duration, Instant, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let ms = Duration::from_millis;
    /// let start = Instant::now();
    /// local_scope(1, async |pool| {
    ///     let own = pool.clone();
    ///     pool.spawn_n(async move {
    ///         sleep(ms(10)).await; // fails
    ///         own.lend(sleep(ms(1000))).await;
    ///         sleep(ms(10)).await; // succeeds
    ///     });
    ///     pool.map_n(0..50, async |_| sleep(ms(10)).await);
    /// })
    /// .await;
    /// assert_eq!(start.elapsed(), ms(1020)); // not 1520
    /// # }
    /// ```
    pub fn lend<F: Future>(&self, future: F) -> PoolFuture<Lend<'_, 'env, F, F::Output, B>, F::Output> {
        let lend = Lend { scope: self, future: Some(future), output: None, wait: Wait::lend() };
        PoolFuture::new(lend, run::<F, B>)
    }
}

/// The machine of [`Scope::lend`].
#[pin_project(PinnedDrop)]
pub struct Lend<'a, 'env, F, T, B> {
    scope: &'a Scope<'env, B>,
    /// `None` after its end.
    #[pin]
    future: Option<F>,
    /// Its output, while the task waits for a slot.
    output: Option<T>,
    wait: Wait,
}

fn run<F: Future, B>(lend: Pin<&mut Lend<'_, '_, F, F::Output, B>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    let mut this = lend.project();
    let control = this.scope.control();
    if let Some(future) = this.future.as_mut().as_pin_mut() {
        let mark = control.enter_lend();
        let poll = future.poll(cx);
        drop(mark);
        let Poll::Ready(output) = poll else {
            this.wait.begin(control, cx.waker());
            return Poll::Pending;
        };
        *this.output = Some(output);
        this.future.set(None);
    }
    assert!(this.output.is_some(), "`lend` polled after its end");
    if !this.wait.regain(control, cx.waker()) {
        return Poll::Pending;
    }
    this.output.take().map_or(Poll::Pending, Poll::Ready)
}

#[pinned_drop]
impl<F, T, B> PinnedDrop for Lend<'_, '_, F, T, B> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        this.wait.end(this.scope.control());
    }
}

impl<F, T, B> fmt::Debug for Lend<'_, '_, F, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lend").field("has_ended", &self.future.is_none()).finish_non_exhaustive()
    }
}
