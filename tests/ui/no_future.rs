//! Closures that return no future.

use futures_pool::{inline::Slots, prelude::*};
use futures_util::stream;

fn main() {
    let _ = (0..3).pool_map(2, |x| x + 1); //~ `{integer}` is not a future: the closure has to be an async one
    let _ = (0..3).pool_map(2, async |x| x + 1);
    let _ = (0..3).pool_map(2, |x| { std::future::ready(x); }); //~ write `async |item| ..`, or `|item| async move { .. }`
    let _ = (0..3).pool_map(2, std::future::ready::<i32>);
    let _ = stream::iter(0..3).pool_map(2, |x: u8| x); //~ its closure returns `u8`, which is not a future
    let _ = (0..3).pool_map_inline(Slots::<2>, |x: u8| x); //~ the closure has to be an async one
    let _ = stream::iter(0..3).pool_map_inline(Slots::<2>, |x: u8| x); //~ the closure has to be an async one
    let _ = (0..3).pool_map(2, async |x| x).pool_map(2, |x: u8| x); //~ the closure has to be an async one
    let _ = (0..3).pool_map(2, async |x| x).pool_map_inline(Slots::<2>, |x: u8| x); //~ the closure has to be an async one
    let _ = (0..3).pool_map(2, async |x| x).for_each(|x| println!("{x}")); //~ the closure has to be an async one
    let _ = (0..3).pool_map(2, async |x| x).for_each(async |x| println!("{x}"));
}
