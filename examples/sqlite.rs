//! Stores what a pool has fetched in SQLite, by the crate `rusqlite`: a transaction for a batch, not for a row.
//!
//! ```text
//! cargo run --example sqlite
//! ```
//!
//! The idea: three steps in a chain. The pool fetches; `batches` gathers 50 rows, or what there is after a second; a stage
//! of size 1 writes them on a thread where that may block. Fetching continues meanwhile, and the first error ends it all.
//!
//! The pitfall: dropping the future of `spawn_blocking` does not stop the thread. A batch is there as a whole or not at
//! all, but the one under way may be stored even if the chain is dropped.

#![expect(clippy::doc_markdown, reason = "SQLite is a name")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use futures_pool::prelude::*;
use rusqlite::{Connection, params};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, sleep};

const PAGES: u32 = 1_020;
const BATCH: usize = 50;

struct Row {
    page: u32,
    text: String,
}

async fn fetch(page: u32) -> Row {
    sleep(Duration::from_millis(10 + u64::from(page) * 7 % 13)).await;
    Row { page, text: format!("page {page}") }
}

/// Stores a batch in one transaction; returns how many rows that were.
async fn store(connection: &Arc<Mutex<Connection>>, batch: Vec<Row>) -> rusqlite::Result<usize> {
    let connection = Arc::clone(connection);
    let write = move || {
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?; // rolled back if it is dropped
        let mut insert = transaction.prepare("INSERT INTO pages (page, text) VALUES (?, ?)")?;
        for row in &batch {
            insert.execute(params![row.page, row.text])?;
        }
        drop(insert);
        transaction.commit()?;
        Ok(batch.len())
    };
    spawn_blocking(write).await.expect("it does not panic")
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("CREATE TABLE pages (page INTEGER PRIMARY KEY, text TEXT)")?;
    let connection = Arc::new(Mutex::new(connection));

    let mut rows = 0;
    let full = |_: &Row| {
        rows += 1;
        rows % BATCH == 0
    };
    let stored = (0..PAGES)
        .pool_map(16, fetch)
        .unordered()
        .batches(full)
        .timeout(|| sleep(Duration::from_secs(1)))
        .pool_map(1, |batch| store(&connection, batch))
        .fail_fast()
        .await?;
    println!(
        "{} rows in {} transactions of up to {}",
        stored.iter().sum::<usize>(),
        stored.len(),
        stored.iter().max().unwrap_or(&0)
    );

    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    let query = "SELECT count(*), min(page), max(page), sum(text = 'page ' || page) FROM pages";
    let counts: [u32; 4] =
        connection.query_row(query, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    assert_eq!(counts, [PAGES, 0, PAGES - 1, PAGES], "each row is there once, and as it was fetched");
    assert!(stored.len() <= PAGES as usize / BATCH + 1);
    Ok(())
}
