//! What the pool costs compared with its peers, in memory.
//!
//! ```text
//! cargo bench --bench memory    # some seconds; --profile release spares the link-time optimisation
//! ```
//!
//! - **Allocations an item**, reallocations among them: counted in runs of `n` and of `2 * n` items; the difference
//!   over `n`, so that what is allocated once does not count. The workloads are those of `cargo bench --bench peers`,
//!   but for those whose futures themselves allocate.
//! - **Bytes a future**, while it waits and while it is active: what the heap has grown by, over the number of futures.
//!   That number is a power of two, as a queue doubles its capacity when it is full: with one future more it would be up to
//!   twice as much.
//! - **`usize::MAX`** as a size and a bound on results: the bytes of a pool that has just been made, and all that is allocated
//!   while it runs some futures, next to the same with a size that fits.
//!
//! Bytes are those asked for; what the allocator itself adds to each allocation is not among them.

mod allocations;
#[path = "../common/mod.rs"]
mod common;
mod heap;
mod held;
mod unlimited;

fn main() {
    let checks = [allocations::print(), held::print(), unlimited::print()].concat();
    println!("| target | |\n| :----- |-|");
    for (target, met) in checks {
        println!("| {target} | {} |", if met { "met" } else { "**missed**" });
    }
}
