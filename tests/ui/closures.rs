//! An async closure that changes what is around it: each of its futures would borrow from the closure itself.

use futures_pool::prelude::*;

fn main() {
    let mut sum = 0;
    let _ = (0..3).pool_map(2, async |x| x).for_each(async |x| sum += x); //~ captures state from its environment

    // The cure.
    let mut sum = 0;
    let _ = (0..3).pool_map(2, async |x| x).for_each(|x| {
        sum += x;
        std::future::ready(())
    });
}
