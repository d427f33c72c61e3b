//! As many requests at once as the server can take, which nobody knows, and which changes: a size that follows the answers.
//!
//! ```text
//! cargo run --release --example adaptive
//! cargo run --release --example adaptive -- --pages 2000
//! ```
//!
//! The server (`server/mod.rs`, on 127.0.0.1) takes 40 ms for a page as long as it has few requests in flight; beyond that,
//! more of them make it slower for all. How many are few changes twice on the way. The client is told neither: it is told
//! that a page should take no longer than 60 ms. It adds to the size for each few pages that come in time, and halves it when
//! one does not (additive increase, multiplicative decrease, as TCP does). The size is a `SharedSize`, which the futures of the
//! pool set while `for_each` has the stream.
//!
//! The same pages are fetched with sizes that are fixed, at the same time, each from a server of its own. No such size is right all
//! the time; the adaptive one is done sooner than the best of them, which the example asserts.
//!
//! The pitfall: halve it once for each round of answers, not for each late one. Those that were sent before the size was
//! halved are late, too.

#[allow(dead_code, reason = "other examples use the rest of it")]
mod server;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::ready;
use std::pin::pin;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_pool::{SharedSize, prelude::*};
use reqwest::Client;
use tokio::time::timeout;

use server::Server;

/// How long a page may take.
const IN_TIME: Duration = Duration::from_millis(60);
/// For so many pages in time, the size grows by one.
const FOR_ONE_MORE: usize = 6;
/// The size to begin with.
const FIRST: usize = 4;
/// What is compared with.
const FIXED: [usize; 5] = [6, 9, 12, 16, 24];

/// Fetches pages with a size that follows the answers, and with fixed sizes
#[derive(Parser)]
struct Args {
    /// How many pages to fetch, by each
    #[arg(long, default_value_t = 900)]
    pages: usize,
}

/// How many requests at once the server can take without slowing down, by the page that is asked for.
fn limit(page: usize, pages: usize) -> usize {
    match page * 5 / pages {
        2 => 6,
        _ => 24,
    }
}

/// Sets the size by how long the answers take.
struct Controller {
    size: SharedSize,
    in_time: Cell<usize>,
    halved: Cell<Instant>,
    start: Instant,
    /// When the size was changed to what.
    changes: RefCell<Vec<(Duration, usize)>>,
}

impl Controller {
    fn new(size: SharedSize) -> Self {
        let start = Instant::now();
        Self { size, in_time: Cell::new(0), halved: Cell::new(start), start, changes: RefCell::default() }
    }

    fn is_in_time(&self) {
        self.in_time.set((self.in_time.get() + 1) % FOR_ONE_MORE);
        if self.in_time.get() == 0 {
            self.set(self.size.get() + 1);
        }
    }

    fn is_late(&self) {
        if self.halved.get().elapsed() > IN_TIME {
            self.halved.set(Instant::now());
            self.in_time.set(0);
            self.set(self.size.get() / 2);
        }
    }

    fn set(&self, size: usize) {
        self.size.set(size);
        self.changes.borrow_mut().push((self.start.elapsed(), self.size.get()));
    }

    /// Prints the size over time.
    fn print(&self, took: Duration) {
        let (changes, step) = (self.changes.borrow(), took / 30);
        println!("   time   size");
        for nth in 0..30 {
            let until = step * nth;
            let size = changes.iter().take_while(|(when, _)| *when <= until).last().map_or(FIRST, |(_, size)| *size);
            println!("{:5} ms  {size:3}  {}", until.as_millis(), "#".repeat(size));
        }
    }
}

async fn fetch(client: &Client, url: String) -> reqwest::Result<usize> {
    let response = client.get(url).send().await?.error_for_status()?;
    Ok(response.bytes().await?.len())
}

/// Fetches all pages, from a server of its own. Returns how long it took.
async fn run(pages: usize, size: SharedSize, controller: Option<&Controller>) -> Result<Duration, Box<dyn Error>> {
    let server = Server::start_limited(move |page| limit(page, pages)).await?;
    let client = Client::builder().no_proxy().build()?;
    let (server, client) = (&server, &client);
    let fetched = (0..pages).pool_map(1, |page| async move {
        let mut answer = pin!(fetch(client, server.url(page)));
        if let Ok(answer) = timeout(IN_TIME, &mut answer).await {
            controller.inspect(|it| it.is_in_time());
            return answer;
        }
        // It is told at once, and not when the answer comes at last.
        controller.inspect(|it| it.is_late());
        answer.await
    });
    let start = Instant::now();
    let mut count = 0;
    let each = |length: usize| {
        count += usize::from(length > 0);
        ready(Ok(()))
    };
    fetched.unordered().resized_by(&size).try_for_each(each).await?;
    assert_eq!(count, pages);
    Ok(start.elapsed())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args { pages } = Args::parse();
    let size = SharedSize::new(FIRST);
    let controller = &Controller::new(size.clone());
    let fixed = FIXED.iter().pool_map(FIXED.len(), |&fixed| run(pages, SharedSize::new(fixed), None));
    let (adaptive, fixed) = tokio::join!(run(pages, size, Some(controller)), fixed.fail_fast().into_future());
    let (adaptive, fixed) = (adaptive?, fixed?);

    controller.print(adaptive);
    println!("\n{pages} pages, adaptive: {:5} ms", adaptive.as_millis());
    for (size, took) in FIXED.iter().zip(&fixed) {
        println!("{pages} pages, size {size:2}:  {:5} ms", took.as_millis());
    }
    let best = fixed.iter().min().ok_or("no fixed size")?;
    if adaptive >= *best {
        return Err("the best fixed size is faster".into());
    }
    println!("\nchecked: faster than the best fixed size, by {:.0} %", 100.0 * (best.div_duration_f64(adaptive) - 1.0));
    Ok(())
}
