//! Fetches a list of pages over HTTP, `--size` of them at once, by `pool_map`.
//!
//! ```text
//! cargo run --release --example fetch
//! cargo run --release --example fetch -- --size 16 --pages 500 --unordered
//! cargo run --release --example fetch -- --url list.txt
//! ```
//!
//! Without `--url`, the pages are those of a server of our own (`server/mod.rs`), on 127.0.0.1: it is slow, uneven, and
//! some pages fail. The example shows
//!
//! - that a page that fails is a result like any other: the others continue, and at the end each result is in the place of
//!   its URL, even with `--unordered`;
//! - that the pool is full: the server counts its requests in flight, and there are never more than `--size`, nor fewer
//!   while there is a page left to ask for, but for the short way from one answer to the next request;
//! - that nothing need be spawned, shared or cloned for it: the futures borrow the client and the URLs from the
//!   function that awaits them, and one thread is enough for them all.
//!
//! It checks that the pages that fail are those that should, each in its place, and that there were never too many
//! requests in flight; the exit code is 0 only if so. With `--url`, it is 0 only if every page was fetched.

mod server;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::{Stream, StreamExt};
use futures_pool::prelude::*;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode, Url};

use server::{Answer, Load, Server};

/// Fetches pages over HTTP, `--size` of them at once, from a server of its own or from a list.
#[derive(Parser)]
struct Args {
    /// How many pages to fetch at once, 0 being taken as 1; each needs an open file, or two if the server is our own
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// How many pages of the example's own server to fetch
    #[arg(long, default_value_t = 3_000, conflicts_with = "url")]
    pages: usize,
    /// Take the results as they come, and put them in order at the end
    #[arg(long)]
    unordered: bool,
    /// Fetch the URLs in this file, one per line; blank lines and those with a '#' first are skipped
    #[arg(long, value_name = "FILE")]
    url: Option<PathBuf>,
}

/// The length of a page, or why there is none.
type Fetched = Result<usize, Failure>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.url {
        Some(file) => fetch_list(file, &args).await,
        None => fetch_own(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Fetches the URLs in `file`; it is an error if any of them fails.
async fn fetch_list(file: &Path, args: &Args) -> Result<(), Box<dyn Error>> {
    let urls = read_list(file)?;
    let client = client().build()?;
    let results = fetch_all(&client, &urls, args).await;
    match results.iter().filter(|result| result.is_err()).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} pages failed", urls.len()).into()),
    }
}

/// Fetches the pages of our own server; it is an error if any of them is not as it should be.
async fn fetch_own(args: &Args) -> Result<(), Box<dyn Error>> {
    let server = Server::start().await?;
    let urls = (0..args.pages).map(|page| server.url(page).parse()).collect::<Result<Vec<Url>, _>>()?;
    let client = client().no_proxy().build()?;
    let results = fetch_all(&client, &urls, args).await;
    let load = server.load();
    print_load(&load, args.size.max(1));
    check(&results, &load, args)?;
    println!("\nchecked: the pages that failed are the planted ones, each in its place and its way");
    Ok(())
}

/// The heart of it: fetches all the URLs, `size` at once, and prints a summary of the results.
async fn fetch_all(client: &Client, urls: &[Url], args: &Args) -> Vec<Fetched> {
    let start = Instant::now();
    let answers = urls.iter().pool_map(args.size, |url| fetch(client, url));
    let results = if args.unordered {
        // As they finish, each with its position among the URLs.
        let mut results: Vec<_> = watch(answers.unordered().indexed(), urls.len()).await;
        results.sort_unstable_by_key(|(position, _)| *position);
        results.into_iter().map(|(_, result)| result).collect()
    } else {
        // In the order of the URLs.
        watch(answers, urls.len()).await
    };
    print_summary(urls, &results, args.size.max(1), start.elapsed());
    results
}

/// Fetches one page.
async fn fetch(client: &Client, url: &Url) -> Fetched {
    let response = client.get(url.clone()).send().await?;
    let status = response.status();
    // Read to its end even if it is not the page: that leaves the connection fit for another use.
    let body = response.bytes().await?;
    if status.is_success() { Ok(body.len()) } else { Err(Failure { kind: Kind::Status(status), cause: None }) }
}

/// A client that asks for each page once: reqwest is not to repeat a request by itself.
fn client() -> reqwest::ClientBuilder {
    Client::builder().retry(reqwest::retry::never()).timeout(Duration::from_secs(30))
}

/// Collects a stream of `total` results and shows how far it is.
async fn watch<T>(results: impl Stream<Item = T>, total: usize) -> Vec<T> {
    let bar = ProgressBar::new(total as u64).with_style(
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} pages, {eta} to go")
            .expect("the template is right"),
    );
    let collected = results
        .enumerate()
        .inspect(|(before, _)| {
            bar.inc(1);
            // No terminal to draw on: a line for each tenth.
            let done = before + 1;
            if bar.is_hidden() && done * 10 / total > before * 10 / total {
                eprintln!("{:3} %: {done} of {total} pages", done * 100 / total);
            }
        })
        .map(|(_, result)| result)
        .collect()
        .await;
    bar.finish_and_clear();
    collected
}

/// Prints what was fetched, how fast, and what failed.
#[expect(clippy::cast_precision_loss, reason = "nobody fetches 2^53 pages")]
fn print_summary(urls: &[Url], results: &[Fetched], size: usize, elapsed: Duration) {
    let (pages, fetched) = (results.len(), results.iter().flatten().count());
    let bytes = HumanBytes(results.iter().flatten().map(|bytes| *bytes as u64).sum());
    let seconds = elapsed.as_secs_f64();
    let rate = pages as f64 / seconds;
    println!("{fetched} of {pages} pages fetched, {size} at once");
    println!("{bytes} in {seconds:.2} s, {rate:.0} pages/s");

    let mut failures = BTreeMap::<Kind, Vec<(usize, &Failure)>>::new();
    for (position, result) in results.iter().enumerate() {
        if let Err(failure) = result {
            failures.entry(failure.kind).or_default().push((position, failure));
        }
    }
    if !failures.is_empty() {
        println!("\nfailed, each in its place, the first of each kind:");
    }
    for (kind, failures) in &failures {
        println!("{:6}  {kind}", failures.len());
        for (position, failure) in failures.iter().take(3) {
            println!("          at {position}: {}: {}", urls[*position], chain(*failure));
        }
    }
}

/// Prints how full the pool was, as the server saw it.
fn print_load(load: &Load, size: usize) {
    println!("\nin flight, as counted by the server:");
    println!("{:6}  at most", load.most);
    if load.requests > size {
        println!("{:6.1}  on average", load.mean());
        println!("{:6.1}  % of the time exactly {size}", load.share_at(size) * 100.0);
        let seconds = load.window.as_secs_f64();
        println!("        in the {seconds:.2} s from the first request's arrival to the last one's");
    } else {
        println!("        (too few requests to keep {size} in flight)");
    }
}

/// Checks that each page was asked for once and failed only if planted, and that there were never too many at once.
fn check(results: &[Fetched], load: &Load, args: &Args) -> Result<(), String> {
    for (page, result) in results.iter().enumerate() {
        let expected = match Answer::of(page) {
            Answer::Page => Ok(server::length(page)),
            Answer::NotFound => Err(Kind::Status(StatusCode::NOT_FOUND)),
            Answer::Broken => Err(Kind::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            Answer::Hangup => Err(Kind::NoAnswer),
            Answer::Half => Err(Kind::CutShort),
        };
        let got = result.as_ref().copied().map_err(|failure| failure.kind);
        if got != expected {
            return Err(format!("at {page}: expected {expected:?}, got {got:?}"));
        }
    }
    let Args { size, pages, .. } = *args;
    if results.len() != pages || load.requests != pages {
        return Err(format!("{} results of {} requests for {pages} pages", results.len(), load.requests));
    }
    if load.most > size.max(1) {
        return Err(format!("{} requests in flight at once, not {size}", load.most));
    }
    Ok(())
}

/// Reads a list of URLs.
fn read_list(file: &Path) -> Result<Vec<Url>, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match Url::parse(line) {
            Ok(url) if url.scheme() == "http" => Ok(url),
            Ok(url) => Err(format!(
                "{name}:{number}: {line}: only http URLs can be fetched, not {}: this example is built without TLS",
                url.scheme()
            )),
            Err(error) => Err(format!("{name}:{number}: {line}: {error}")),
        })
        .collect()
}

/// Why a page was not fetched.
#[derive(Debug)]
struct Failure {
    kind: Kind,
    cause: Option<reqwest::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Status(StatusCode),
    Unreachable,
    NoAnswer,
    CutShort,
    TimedOut,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_timeout() {
            Kind::TimedOut
        } else if error.is_connect() {
            Kind::Unreachable
        } else if error.is_body() || error.is_decode() {
            Kind::CutShort
        } else {
            Kind::NoAnswer
        };
        Self { kind, cause: Some(error.without_url()) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Unreachable => f.write_str("no connection"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::CutShort => f.write_str("body cut short"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_ref()?)
    }
}

/// The error and its causes, in a line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
