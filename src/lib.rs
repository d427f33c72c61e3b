#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod active;
#[cfg(feature = "alloc")]
mod batches;
mod callback;
#[cfg(doc)]
pub mod design;
mod engine;
mod ext;
mod finished;
pub mod inline;
mod key;
#[cfg(feature = "alloc")]
mod lock;
pub mod map;
#[cfg(feature = "alloc")]
mod panic;
#[cfg(feature = "alloc")]
pub mod pool;
pub mod progress;
#[cfg(feature = "alloc")]
mod queue;
mod ring;
#[cfg(all(test, any(loom, shuttle)))]
mod schedules;
#[cfg(feature = "alloc")]
pub mod scope;
mod source;
#[cfg(feature = "alloc")]
mod sync;

#[cfg(feature = "alloc")]
pub use crate::active::SlotSet;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use crate::active::UnorderedSet;
pub use crate::active::{ActiveSet, PinnedSet};
#[cfg(feature = "alloc")]
pub use crate::batches::{Batches, Counts, Gather, TimedBatches, yield_when};
pub use crate::callback::{Callback, CallbackExt};
pub use crate::ext::{IterPoolExt, StreamPoolExt};
#[doc(inline)]
pub use crate::inline::{InlinePool, InlineSet};
pub use crate::key::Key;
#[doc(inline)]
pub use crate::map::PoolMap;
#[cfg(feature = "alloc")]
pub use crate::panic::Panic;
#[cfg(feature = "alloc")]
#[doc(inline)]
pub use crate::pool::{Keys, Pool};
#[doc(inline)]
pub use crate::progress::{Progress, ProgressExt};
#[cfg(feature = "std")]
#[doc(inline)]
pub use crate::scope::scope;
#[cfg(feature = "alloc")]
#[doc(inline)]
pub use crate::scope::{LocalScope, Scope, Stopped, Task, iterwait, local_scope};

/// The extension traits: `use futures_pool::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{CallbackExt, IterPoolExt, ProgressExt, StreamPoolExt};
}
