//! The chain form: the machines of `pool_map`, with its options and its views.

#[cfg(feature = "alloc")]
mod admission;
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
use crate::finished::InlineResults;
#[cfg(feature = "alloc")]
use crate::finished::Results;
use crate::source::{Admission, InOrder, InlineActive, Mapped, Numbered, Unweighted};
#[cfg(feature = "alloc")]
use crate::source::{Admitted, Numbers};
use crate::stream::PoolMap;

/// The machine of `pool_map`.
#[cfg(feature = "alloc")]
pub(crate) type OnSlots<It, F, Fut, T> = Chain<Mapped<It, F, Fut>, SlotVec<Fut>, Results<T>>;

/// The machine of `pool_map_inline`.
pub(crate) type Inline<It, F, Fut, T, const N: usize> =
    Chain<Mapped<It, F, Fut>, InlineSlots<Fut, N>, InlineResults<T, N>>;

/// The machine of `pool_map_slot`.
#[cfg(feature = "alloc")]
pub(crate) type OnSlotsNumbered<It, I, F, Fut, T> = Chain<
    Admission<It, Unweighted, InOrder<I>, Numbered<F, Numbers>, alloc::vec::Vec<Admitted>, Fut>,
    SlotVec<Fut>,
    Results<T>,
>;

/// The machine of `pool_map_inline_slot`.
pub(crate) type InlineNumbered<It, I, F, Fut, T, const N: usize> = Chain<
    Admission<It, Unweighted, InOrder<I>, Numbered<F, u32>, InlineActive, Fut>,
    InlineSlots<Fut, N>,
    InlineResults<T, N>,
>;

stages!([M, T] PoolMap<M, T>, T);
