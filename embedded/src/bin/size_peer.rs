//! Jobs, four at once, by `buffer_unordered` of futures.

#![no_std]
#![no_main]

use futures_pool_embedded::size::{self, JOBS};
use futures_util::stream::{self, StreamExt};

futures_pool_embedded::fail_on_panic!();

#[cortex_m_rt::entry]
fn main() -> ! {
    size::run_stream(|| stream::iter(0..JOBS).map(size::job).buffer_unordered(4))
}
