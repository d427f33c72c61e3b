//! Who takes part, and whom they are compared with.

use super::Measured;

/// Runs `items` futures, at most `size` at once.
pub(crate) type Run = fn(size: usize, items: u64) -> Measured;

/// A way to run many futures, at most some at once.
#[derive(Clone, Copy)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) origin: Origin,
    pub(crate) form: Form,
    pub(crate) run: Run,
}

/// The crate that a contestant is of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Origin {
    Ours,
    Futures,
    FuturesBuffered,
    Unicycle,
    FutureQueue,
    FuturesConcurrency,
    Tokio,
}

impl Origin {
    pub(crate) const PEERS: [Self; 6] = [
        Self::Futures,
        Self::FuturesBuffered,
        Self::Unicycle,
        Self::FutureQueue,
        Self::FuturesConcurrency,
        Self::Tokio,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "futures-pool",
            Self::Futures => "futures",
            Self::FuturesBuffered => "futures-buffered",
            Self::Unicycle => "unicycle",
            Self::FutureQueue => "future-queue",
            Self::FuturesConcurrency => "futures-concurrency",
            Self::Tokio => "tokio",
        }
    }
}

/// What the results look like. Only contestants of the same form are compared.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// As they finish.
    Unordered,
    /// In the order of the source.
    Ordered,
    /// Handed to a consumer, which is a future for each of them.
    Consumed,
    /// By a handle for each.
    Tasks,
}

impl Form {
    /// The contestant of ours that stands for the form.
    pub(crate) const fn ours(self) -> &'static str {
        match self {
            Self::Unordered => names::POOL_MAP,
            Self::Ordered => names::POOL_MAP_ORDERED,
            Self::Consumed => names::POOL_FOR_EACH,
            Self::Tasks => names::SCOPE,
        }
    }
}

/// The names of contestants that are looked up.
pub(crate) mod names {
    pub(crate) const POOL_MAP: &str = "`pool_map(..).unordered()`";
    pub(crate) const POOL_MAP_ORDERED: &str = "`pool_map(..)`";
    pub(crate) const POOL: &str = "`Pool`, topped up";
    pub(crate) const POOL_FOR_EACH: &str = "`pool_map(..).unordered().for_each`";
    pub(crate) const SCOPE: &str = "`scope`, `spawn_n`, `Task`";
    pub(crate) const BUFFER_UNORDERED: &str = "futures `buffer_unordered`";
    pub(crate) const BUFFERED: &str = "futures `buffered`";
    pub(crate) const JOIN_SET: &str = "tokio `JoinSet`, one thread";
}
