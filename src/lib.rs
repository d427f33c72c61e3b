#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod active;
mod batches;
mod engine;
mod ext;
mod finished;
mod key;
pub mod map;
#[cfg(feature = "std")]
mod panic;
pub mod pool;
mod source;

pub use crate::active::{ActiveSet, Ended, SlotSet, UnorderedSet};
pub use crate::batches::{Batches, Gather, TimedBatches, yield_when};
pub use crate::ext::{IterPoolExt, StreamPoolExt};
pub use crate::key::{Key, Keys};
#[doc(inline)]
pub use crate::map::PoolMap;
#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use crate::panic::Panic;
#[doc(inline)]
pub use crate::pool::Pool;

/// The extension traits: `use futures_pool::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{IterPoolExt, StreamPoolExt};
}
