//! What is asked of sets, streams and results.

use std::future::Ready;

use futures_pool::{ActiveSet, Pool, Progress, SlotSet, inline::Slots, prelude::*};
use futures_util::{StreamExt, stream};

fn makes_progress(_: impl Progress<Item = u8>) {}

fn on_a_set(_: impl ActiveSet) {}

fn main() {
    let _ = (0..3).pool_map_inline(Slots::<0>, async |x| x); //~ a pool inside a value has from 1 to 32 slots
    let _ = (0..3).pool_map_inline(Slots::<33>, async |x| x); //~ a pool inside a value has from 1 to 32 slots
    let _ = (0..3).pool_map_inline(Slots::<32>, async |x| x);
    let _ = (0..3).pool_map_inline(Slots::<4>, async |x| x).batches(|_| true); //~ has no room for a batch; use `pool_map`

    let fallible = async |x: u8| x.checked_add(1).ok_or("full");
    let _ = (0..3).pool_map(2, fallible).fail_fast().fail_fast(); //~ `fail_fast` is called once, before or after `catch_unwind`
    let _ = (0..3).pool_map(2, fallible).catch_unwind().fail_fast();
    let _ = (0..3).pool_map(2, fallible).fail_fast().catch_unwind();
    let _ = (0..3).pool_map(2, fallible).fail_fast().catch_unwind().catch_unwind(); //~ method `catch_unwind` exists

    makes_progress(stream::iter(0..3)); //~ is not a pool's stream, or does not show the pool in it
    makes_progress((0..3).pool_map(2, async |x| x).boxed_local()); //~ hand the stream on as `impl Progress<Item = T>`
    makes_progress((0..3).pool_map(2, async |x| x).map(|x| x));

    on_a_set(4); //~ `{integer}` is not an active set
    on_a_set(SlotSet);
    let _ = Pool::<Ready<()>, _>::with_set(4, 4); //~ they are `SlotSet`, the default, `UnorderedSet`, and `InlineSet::<N>`
    let _ = (0..3).pool_map(2, async |x| x).with_set(4); //~ is not an active set
}
