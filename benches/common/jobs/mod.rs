//! The kinds of futures, each with what wakes them.

mod messages;
mod remote;
mod timer;
mod woken;
mod yields;

pub(crate) use self::messages::{MESSAGES, Messages};
pub(crate) use self::remote::Remote;
pub(crate) use self::timer::Timer;
pub(crate) use self::woken::Woken;
pub(crate) use self::yields::Yields;
