//! Many requests with one `reqwest::Client`, and what each of them came to.
//!
//! ```text
//! cargo run --example http_client
//! ```
//!
//! The idea: one client for all, which the futures borrow; it keeps connections open and uses them again. Each result is
//! one of its own: a page that fails holds up no other.
//!
//! The pitfall: `send` is done when the head of the answer is there. Read the body in the same future. If the future
//! gives the `Response`, its slot is free while the body is still on its way, and more are open than `size`.
//!
//! `fetch` is the same with all the trimmings. The pages are those of `server/mod.rs`, on 127.0.0.1.

#[expect(dead_code, reason = "of what the server tells, this needs a part")]
mod server;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use futures_pool::prelude::*;
use reqwest::{Client, retry};

use server::{Answer, Server};

const PAGES: std::ops::Range<usize> = 10..110;
const SIZE: usize = 25;

/// Gets a page; 4xx and 5xx are errors.
async fn get(client: &Client, url: String) -> reqwest::Result<String> {
    client.get(url).send().await?.error_for_status()?.text().await
}

/// Says what became of a request, in a word.
fn kind(result: &reqwest::Result<String>) -> String {
    match result {
        Ok(_) => "fetched".to_owned(),
        Err(error) => match error.status() {
            Some(status) => status.to_string(),
            None if error.is_body() || error.is_decode() => "cut short".to_owned(),
            None => "no answer".to_owned(),
        },
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await?;
    let client = Client::builder().no_proxy().retry(retry::never()).timeout(Duration::from_secs(10)).build()?;

    let pages = PAGES.pool_map(SIZE, |page| get(&client, server.url(page))).await;

    let mut counts = BTreeMap::<_, u32>::new();
    for (page, result) in PAGES.zip(&pages) {
        *counts.entry(kind(result)).or_default() += 1;
        let expected = match Answer::of(page) {
            Answer::Page => "fetched",
            Answer::NotFound => "404 Not Found",
            Answer::Broken => "500 Internal Server Error",
            Answer::Hangup => "no answer",
            Answer::Half => "cut short",
        };
        assert_eq!(kind(result), expected, "page {page}");
        assert!(
            result.as_ref().map_or(true, |text| text.starts_with(&format!("<title>{}</title>", server::title(page))))
        );
    }
    let load = server.load();
    println!("{} requests, at most {} at once: {counts:?}", load.requests, load.most);
    assert!(load.requests == PAGES.len() && load.most <= SIZE);
    Ok(())
}
