//! Pulls a message from the broker only into a free slot.
//!
//! A client that prefetches has messages that nobody works on yet. Their leases run, and no other worker can have them. Here
//! there is one request at the broker for each slot that is free, for one message. So a worker has no more messages than
//! slots, and a free slot waits for no other one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{BatchConfig, BatchRequestError};
use async_nats::jetstream::{AckKind, Message};
use async_nats::{StatusCode, Subject, Subscriber};
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use crate::Failure;
use crate::broker::Consumer;

/// How long the broker keeps a request for which it has no message. One that is lost, as when its server stops, is made
/// again after this time.
const EXPIRES: Duration = Duration::from_secs(1);
/// How much later than that its end may be heard of.
const SLACK: Duration = Duration::from_millis(250);
/// How long to wait after the broker has refused a request.
const REFUSED: Duration = Duration::from_millis(200);

/// A stream of messages, of which no more than `size` are held, or on their way here, at a time.
pub(crate) struct Pull {
    consumer: Consumer,
    inbox: Subject,
    subscriber: Option<Subscriber>,
    size: usize,
    held: Arc<Held>,
    /// The requests without an answer, by when each must have one. They are all alike, so an answer is that of the oldest.
    asked: VecDeque<Instant>,
    asking: Option<BoxFuture<'static, Result<(), BatchRequestError>>>,
    paused_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// How many messages are held.
#[derive(Default)]
struct Held {
    count: AtomicUsize,
    /// The task that asks for more when there are fewer.
    puller: AtomicWaker,
}

/// A message, which counts as held until this is dropped.
pub(crate) struct Delivery {
    pub(crate) message: Message,
    held: Arc<Held>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.held.count.fetch_sub(1, Ordering::AcqRel);
        self.held.puller.wake();
    }
}

impl Pull {
    /// Subscribes to what the broker sends; it is asked once the stream is polled.
    pub(crate) async fn new(consumer: Consumer, client: &async_nats::Client, size: usize) -> Result<Self, Failure> {
        let inbox = Subject::from(client.new_inbox());
        let subscriber = Some(client.subscribe(inbox.clone()).await?);
        Ok(Self {
            consumer,
            inbox,
            subscriber,
            size,
            held: Arc::default(),
            asked: VecDeque::new(),
            asking: None,
            paused_until: None,
            timer: Box::pin(sleep_until(Instant::now())),
        })
    }

    /// Ends the subscription, so that the broker sends no more; gives back what it had sent already.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before completion, the broker takes those messages back when their leases have run out.
    pub(crate) fn hand_back(&mut self) -> impl Future<Output = usize> + use<> {
        let subscriber = self.subscriber.take();
        let (consumer, held) = (self.consumer.clone(), Arc::clone(&self.held));
        async move {
            let Some(mut subscriber) = subscriber else { return 0 };
            let mut handed_back = 0;
            if subscriber.drain().await.is_ok() {
                while let Some(message) = subscriber.next().await {
                    if message.status.is_none() {
                        let delivery = held.take(consumer.message(message));
                        match delivery.message.ack_with(AckKind::Nak(None)).await {
                            Ok(()) => handed_back += 1,
                            Err(error) => warn!(%error, "a message is given back when its lease has run out"),
                        }
                    }
                }
            }
            handed_back
        }
    }

    fn ask(&mut self, now: Instant) {
        self.asked.push_back(now + EXPIRES + SLACK);
        let (consumer, inbox) = (self.consumer.clone(), self.inbox.clone());
        self.asking = Some(Box::pin(async move {
            let request = BatchConfig { batch: 1, expires: Some(EXPIRES), ..BatchConfig::default() };
            consumer.pull.request_batch(request, inbox).await
        }));
    }

    fn poll_asking(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(asking) = &mut self.asking {
                let asked = ready!(asking.as_mut().poll(cx));
                self.asking = None;
                if let Err(error) = asked {
                    self.asked.pop_back();
                    self.refused(&error.to_string());
                }
            }
            let held = self.held.count.load(Ordering::Acquire);
            if self.paused_until.is_some() || held + self.asked.len() >= self.size {
                return Poll::Ready(());
            }
            self.ask(Instant::now());
        }
    }

    fn refused(&mut self, why: &str) {
        warn!("the broker has refused a request: {why}");
        self.paused_until = Some(Instant::now() + REFUSED);
    }

    /// Ready when it is time to ask again.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.asked.front().copied().into_iter().chain(self.paused_until).min() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.paused_until = self.paused_until.filter(|until| *until > due);
        if self.asked.front().is_some_and(|deadline| *deadline <= due) {
            self.asked.pop_front();
        }
        Poll::Ready(())
    }
}

impl Held {
    fn take(self: &Arc<Self>, message: Message) -> Delivery {
        self.count.fetch_add(1, Ordering::AcqRel);
        Delivery { message, held: Arc::clone(self) }
    }
}

impl Stream for Pull {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let this = &mut *self;
        this.held.puller.register(cx.waker());
        loop {
            let _ = this.poll_asking(cx);
            let Some(subscriber) = &mut this.subscriber else { return Poll::Ready(None) };
            match subscriber.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => {
                    this.asked.pop_front();
                    match message.status {
                        None => return Poll::Ready(Some(this.held.take(this.consumer.message(message)))),
                        // The request has expired.
                        Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {}
                        Some(status) => this.refused(&match message.description {
                            Some(description) => format!("{status}: {description}"),
                            None => status.to_string(),
                        }),
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => ready!(this.poll_timer(cx)),
            }
        }
    }
}
