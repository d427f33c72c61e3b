//! Jobs one after the other: what the other `size_` programs are compared with.

#![no_std]
#![no_main]

use futures_pool_embedded::size::{self, JOBS};

futures_pool_embedded::fail_on_panic!();

#[cortex_m_rt::entry]
fn main() -> ! {
    size::run(async {
        let mut sum = 0;
        for number in 0..JOBS {
            sum += size::job(number).await;
        }
        sum
    })
}
