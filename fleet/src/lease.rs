//! The lease of a message: until when the broker gives it to nobody else.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use futures::future::{Either, select};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::warn;

use crate::Failure;

/// A message that is being worked on.
pub(crate) struct Lease<'a> {
    pub(crate) message: &'a Message,
    /// How long the broker waits for a sign of life: the consumer's `ack_wait`.
    pub(crate) length: Duration,
}

impl Lease<'_> {
    /// Works, and renews the lease at each third of its length: in the same future, so that a job which is dropped, or whose
    /// process hangs, keeps its message from nobody.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> T {
        let third = self.length / 3;
        let mut ticks = interval_at(Instant::now() + third, third);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let renewals = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.message.ack_with(AckKind::Progress).await {
                    warn!(%error, "a lease was not renewed");
                }
            }
        };
        match select(pin!(work), pin!(renewals)).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => never,
        }
    }

    /// Tells the broker that the job is done, until it confirms that it knows: an acknowledgement that got lost would mean
    /// that the job is done twice. It gives up once the lease must have run out.
    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match self.message.double_ack().await {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() >= self.length => return Err(error),
                Err(error) => warn!(%error, "an acknowledgement was not confirmed; once more"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Gives the message back; the broker delivers it again, to whoever asks, after `delay`.
    pub(crate) async fn give_back(&self, delay: Option<Duration>) {
        self.tell(AckKind::Nak(delay)).await;
    }

    /// Tells the broker that the message is never to be delivered again.
    pub(crate) async fn discard(&self) {
        self.tell(AckKind::Term).await;
    }

    async fn tell(&self, kind: AckKind) {
        if let Err(error) = self.message.double_ack_with(kind).await {
            warn!(%error, "the message comes again when its lease has run out");
        }
    }
}
