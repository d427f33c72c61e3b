//! What is set up at the broker: the stream that keeps the jobs, and the consumer that all workers share.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{self, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, Message};
use async_nats::{Client, ConnectOptions};

use crate::{Failure, job};

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the broker is, and which of its streams is meant.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The servers, separated by commas
    #[arg(long, value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub(crate) server: String,
    /// The name of the stream
    #[arg(long, default_value = "jobs")]
    pub(crate) stream: String,
}

/// A connection to the broker.
pub(crate) struct Broker {
    pub(crate) client: Client,
    pub(crate) context: Context,
}

impl Broker {
    /// Connects; later it connects again whenever it has to, to whichever server is there.
    pub(crate) async fn connect(servers: &str) -> Result<Self, Failure> {
        let urls: Vec<_> = servers.split(',').map(str::trim).collect();
        let options = ConnectOptions::new()
            .connection_timeout(TIMEOUT)
            .request_timeout(Some(TIMEOUT))
            .reconnect_delay_callback(|_| Duration::from_millis(100));
        let client = options.connect(&urls[..]).await.map_err(|error| {
            format!(
                "no NATS server answers at {servers} ({error}). Start one with `nats-server -js`; if it is missing: \
                 `apt-get install nats-server`, or https://nats.io/download. `fleet demo` starts its own."
            )
        })?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(TIMEOUT);
        Ok(Self { client, context })
    }

    /// The stream, which is made if it is not there: each message is in it until it is acknowledged.
    pub(crate) async fn stream(&self, name: &str, replicas: usize) -> Result<stream::Stream, Failure> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![format!("{name}.*")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            num_replicas: replicas,
            ..stream::Config::default()
        };
        Ok(self.context.get_or_create_stream(config).await?)
    }

    /// The consumer of all jobs, or of a partition. With a `limit`, it is made, or set to that limit; without, it has to be
    /// there.
    pub(crate) async fn consumer(
        &self,
        stream: &str,
        partition: Option<u32>,
        limit: Option<usize>,
        lease: Duration,
    ) -> Result<Consumer, Failure> {
        let stream = self
            .context
            .get_stream(stream)
            .await
            .map_err(|error| format!("there is no stream {stream:?} ({error}); `fleet enqueue` makes it"))?;
        let name = consumer_name(partition);
        let Some(limit) = limit else {
            let pull = stream.get_consumer(&name).await.map_err(|error| {
                format!("there is no consumer {name:?} yet ({error}): tell how many jobs the fleet may run at once, by --fleet")
            })?;
            return Ok(Consumer { pull, context: self.context.clone() });
        };
        let name_of_stream = &stream.cached_info().config.name;
        let limit = i64::try_from(limit.max(1))?;
        let config = pull::Config {
            durable_name: Some(name),
            filter_subject: partition
                .map_or_else(|| format!("{name_of_stream}.*"), |p| job::subject(name_of_stream, p)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: lease,
            // The size of the fleet: of all workers together, no more messages are with them at a time.
            max_ack_pending: limit,
            // Each free slot is a request; those of workers that were killed stay for a while.
            max_waiting: limit.saturating_mul(4).max(512),
            ..pull::Config::default()
        };
        let pull = stream.create_consumer(config).await?;
        Ok(Consumer { pull, context: self.context.clone() })
    }

    /// The server that leads a consumer, in a cluster: it knows who has which message.
    pub(crate) async fn leader(&self, stream: &str, partition: Option<u32>) -> Result<Option<String>, Failure> {
        let stream = self.context.get_stream_no_info(stream).await?;
        let info = stream.consumer_info(consumer_name(partition)).await?;
        Ok(info.cluster.and_then(|cluster| cluster.leader))
    }

    /// What the broker counts.
    pub(crate) async fn counts(&self, stream: &str, partition: Option<u32>) -> Result<Counts, Failure> {
        let stream = self.context.get_stream_no_info(stream).await?;
        let info = stream.consumer_info(consumer_name(partition)).await?;
        Ok(Counts { with_workers: info.num_ack_pending, left: usize::try_from(info.num_pending)? })
    }
}

/// The counts of a consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Delivered, not acknowledged: what all workers have.
    pub(crate) with_workers: usize,
    /// Never delivered yet.
    pub(crate) left: usize,
}

/// The consumer that the workers pull from.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) pull: PullConsumer,
    context: Context,
}

impl Consumer {
    /// How long the broker waits for a sign of life.
    pub(crate) fn lease(&self) -> Duration {
        self.pull.cached_info().config.ack_wait
    }

    /// A message as one that can be acknowledged.
    pub(crate) fn message(&self, message: async_nats::Message) -> Message {
        Message { message, context: self.context.clone() }
    }
}

fn consumer_name(partition: Option<u32>) -> String {
    partition.map_or_else(|| "all".to_owned(), |partition| format!("partition-{partition}"))
}
