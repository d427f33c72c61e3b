//! An async function for items of another type.

use futures_pool::prelude::*;

async fn len(text: &str) -> usize {
    text.len()
}

fn main() {
    let texts = vec![String::from("a")];
    let _ = texts.iter().pool_map(2, len); //~ type mismatch in function arguments
    let _ = texts.iter().pool_map(2, |text| len(text));
}
