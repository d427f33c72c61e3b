//! Jobs, four at once, in a pool inside the value.

#![no_std]
#![no_main]

use core::pin::pin;

use futures_pool::{inline::Slots, prelude::*};
use futures_pool_embedded::size::{self, JOBS};
use futures_util::stream::StreamExt;

futures_pool_embedded::fail_on_panic!();

#[cortex_m_rt::entry]
fn main() -> ! {
    size::run(async {
        let (mut results, mut sum) = (pin!((0..JOBS).pool_map_inline(Slots::<4>, size::job).unordered()), 0);
        while let Some(result) = results.next().await {
            sum += result;
        }
        sum
    })
}
