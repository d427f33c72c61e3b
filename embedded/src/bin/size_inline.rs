//! Jobs, four at once, in a pool inside the value.

#![no_std]
#![no_main]

use futures_pool::{inline::Slots, prelude::*};
use futures_pool_embedded::size::{self, JOBS};

futures_pool_embedded::fail_on_panic!();

#[cortex_m_rt::entry]
fn main() -> ! {
    size::run_stream(|| (0..JOBS).pool_map_inline(Slots::<4>, size::job).unordered())
}
