#![cfg_attr(doc, doc = "")]
#![cfg_attr(doc, doc = include_str!("guide/links.txt"))]
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
mod chain;
mod consumer;
mod engine;
mod ext;
mod finished;
mod future;
#[cfg(doc)]
pub mod guide;
pub mod inline;
mod key;
#[cfg(feature = "alloc")]
mod lock;
#[cfg(feature = "alloc")]
mod panic;
#[cfg(feature = "alloc")]
pub mod pool;
mod progress;
mod ring;
#[cfg(all(test, any(loom, shuttle)))]
mod schedules;
#[cfg(feature = "alloc")]
pub mod scope;
mod size;
mod source;
mod stream;
#[cfg(feature = "alloc")]
mod sync;

pub use crate::active::ActiveSet;
#[cfg(feature = "alloc")]
pub use crate::active::SlotSet;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use crate::active::UnorderedSet;
#[cfg(feature = "alloc")]
pub use crate::batches::yield_when;
pub use crate::callback::{Callback, CallbackExt};
#[cfg(feature = "alloc")]
pub use crate::consumer::PoolItems;
pub use crate::consumer::ProgressExt;
pub use crate::ext::{IterPoolExt, StreamPoolExt};
pub use crate::future::PoolFuture;
#[doc(inline)]
pub use crate::inline::{InlinePool, InlineSet};
pub use crate::key::Key;
#[cfg(feature = "alloc")]
pub use crate::panic::Panic;
#[cfg(feature = "alloc")]
#[doc(inline)]
pub use crate::pool::{Keys, Pool};
pub use crate::progress::Progress;
#[cfg(feature = "alloc")]
#[doc(inline)]
pub use crate::scope::{
    LocalScope, LocalTryScope, Scope, Task, TaskError, TryScope, iterwait, local_scope, local_shared, local_try_scope,
};
#[cfg(feature = "std")]
#[doc(inline)]
pub use crate::scope::{scope, shared, try_scope};
#[cfg(feature = "std")]
pub use crate::size::SharedSize;
pub use crate::stream::PoolMap;

/// The extension traits: `use futures_pool::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{CallbackExt, IterPoolExt, ProgressExt, StreamPoolExt};
}
