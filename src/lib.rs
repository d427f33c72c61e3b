#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod active;
mod batches;
mod callback;
mod engine;
mod ext;
mod finished;
mod key;
mod lock;
pub mod map;
mod panic;
pub mod pool;
pub mod progress;
mod queue;
pub mod scope;
mod source;

pub use crate::active::{ActiveSet, PinnedSet, SlotSet, UnorderedSet};
pub use crate::batches::{Batches, Counts, Gather, TimedBatches, yield_when};
pub use crate::callback::{Callback, CallbackExt};
pub use crate::ext::{IterPoolExt, StreamPoolExt};
pub use crate::key::{Key, Keys};
#[doc(inline)]
pub use crate::map::PoolMap;
pub use crate::panic::Panic;
#[doc(inline)]
pub use crate::pool::Pool;
#[doc(inline)]
pub use crate::progress::{Progress, ProgressExt};
#[cfg(feature = "std")]
#[doc(inline)]
pub use crate::scope::scope;
#[doc(inline)]
pub use crate::scope::{LocalScope, Scope, Stopped, Task, iterwait, local_scope};

/// The extension traits: `use futures_pool::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{CallbackExt, IterPoolExt, ProgressExt, StreamPoolExt};
}
