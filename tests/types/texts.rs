//! What the cases of `tests/types.rs` work on. They are checked, not run.

use tokio::task::yield_now;

#[derive(Debug)]
pub struct Empty;

/// What the items are of, and what else the closures borrow.
pub fn texts() -> (Vec<String>, String) {
    (["a", "bc", "def"].map(String::from).into(), "name".into())
}

pub async fn len(name: &str, word: &str) -> usize {
    yield_now().await;
    name.len() + word.len()
}

pub async fn len_of(name: &str, word: String) -> usize {
    len(name, &word).await
}

pub async fn own(word: String) -> String {
    yield_now().await;
    word
}

/// What it gives is borrowed.
pub async fn fetch(word: &String) -> &str {
    yield_now().await;
    word
}

// The same for `fail_fast`.

pub async fn try_len(name: &str, word: &str) -> Result<usize, Empty> {
    Some(len(name, word).await).filter(|len| *len > 0).ok_or(Empty)
}

pub async fn try_len_of(name: &str, word: String) -> Result<usize, Empty> {
    try_len(name, &word).await
}

pub async fn try_own(word: String) -> Result<String, Empty> {
    Some(own(word).await).filter(|word| !word.is_empty()).ok_or(Empty)
}

pub async fn try_fetch(word: &String) -> Result<&str, Empty> {
    Some(fetch(word).await).filter(|word| !word.is_empty()).ok_or(Empty)
}

/// A callback with a context that is borrowed.
pub async fn add(len: usize, name: &String) -> usize {
    yield_now().await;
    len + name.len()
}
