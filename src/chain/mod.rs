//! The chain form: the machines of `pool_map`, with its options and its views.

#[cfg(feature = "alloc")]
mod collect;
mod fail_fast;
mod machine;
mod options;

pub(crate) use self::fail_fast::FailFast;
#[cfg(feature = "std")]
pub(crate) use self::machine::CatchingChain;
pub(crate) use self::machine::{Chain, ChainMachine, PlainChain};
use crate::active::InlineSlots;
#[cfg(feature = "alloc")]
use crate::active::SlotVec;
use crate::consumer::stages;
#[cfg(feature = "alloc")]
use crate::finished::HeapResults;
use crate::finished::InlineResults;
use crate::source::Mapped;
use crate::stream::PoolMap;

/// The machine of `pool_map`.
#[cfg(feature = "alloc")]
pub(crate) type OnSlots<It, F, Fut, T> = Chain<Mapped<It, F, Fut>, SlotVec<Fut>, HeapResults<T>>;

/// The machine of `pool_map_inline`.
pub(crate) type Inline<It, F, Fut, T, const N: usize> =
    Chain<Mapped<It, F, Fut>, InlineSlots<Fut, N>, InlineResults<T, N>>;

stages!([M, T] PoolMap<M, T>, T);
