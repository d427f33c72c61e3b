//! Fetches pages over HTTP, parses them, and stores them in SQLite: three stages chained by `pool_map`, each with a size
//! of its own. Then does the same by `buffer_unordered` of the crate `futures`, and compares.
//!
//! ```text
//! cargo run --release --example pipeline
//! cargo run --release --example pipeline -- --pages 300 --round-trip 20
//! cargo run --release --example pipeline -- --fetch 16 --store 8 --db pages.sqlite
//! ```
//!
//! The pages are those of a server of our own (`server/mod.rs`), on 127.0.0.1: it is slow, uneven, and some pages fail.
//! `filter_map` drops these on the way. Storing is slow on purpose: each page is a transaction, after which it sleeps
//! for `--round-trip` milliseconds, as if the database were on another machine. So the last stage holds up the others.
//!
//! A table shows of each stage, for both ways,
//!
//! - *full*: for how long all its slots were taken, also as a share of the total time;
//! - *active*: how many of its futures were started and not finished, on average over the total time;
//! - *starved*: how many of these had been woken and not been polled since, so that they took up a slot for nothing;
//! - *longest wait*: the longest that one of them was starved.
//!
//! All that is measured here, around the futures ([`Stage::watch`]), and not by the library. More is not better: a fetch
//! whose answer came long ago, and that nobody polls, is active as well. What the server saw tells that apart: how many
//! requests it had in flight, on average until the last one came.
//!
//! While the stages after it are full, a stage of `pool_map` makes progress until it holds as many results as it has
//! slots, and polls its futures even then. One of `buffer_unordered` stalls. So with `--round-trip 20` there are
//! fetches that starve for 0.4 s and more; with a timeout, or a lock that another waits for, that is worse than slow.
//! In time there is little to gain: a tenth as it is set up here, where fetching is about as fast as storing, and next
//! to nothing where one of them is much slower and so decides alone, as with `--round-trip 20` or `--round-trip 1`.
//!
//! It checks that each page that does not fail is stored once, with its title and its size, by both; the exit code is 0
//! only if so.

#![expect(clippy::doc_markdown, reason = "SQLite is a name")]

mod server;

use std::cell::RefCell;
use std::error::Error;
use std::future::{Ready, poll_fn, ready};
use std::iter;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use clap::Parser;
use futures::{StreamExt, stream};
use futures_pool::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, retry};
use rusqlite::Connection;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use server::{Answer, Server};

/// Fetches, parses and stores pages in three stages, by `pool_map` and then by `buffer_unordered`.
#[derive(Parser)]
struct Args {
    /// How many pages to fetch at once, 0 being taken as 1; each needs two open files
    #[arg(long, default_value_t = 64)]
    fetch: usize,
    /// How many pages to parse at once, 0 being taken as 1
    #[arg(long, default_value_t = 8)]
    parse: usize,
    /// How many pages to store at once, 0 being taken as 1
    #[arg(long, default_value_t = 2)]
    store: usize,
    /// How many pages there are; two in twenty-five fail
    #[arg(long, default_value_t = 600)]
    pages: usize,
    /// How many milliseconds it is to the database and back
    #[arg(long, value_name = "MS", default_value_t = 4)]
    round_trip: u64,
    /// Store into this SQLite file; by default, into memory
    ///
    /// If it is there already, nothing in it is lost: its tables `pipeline_runs` and `pipeline_pages` are added to.
    #[arg(long, value_name = "FILE", default_value = ":memory:")]
    db: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match compare(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the job in both ways, one after the other, and prints how they went.
async fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let ours = run("pool_map", by_pool_map, args).await?;
    let theirs = run("buffer_unordered", by_buffer_unordered, args).await?;
    print_table([&ours, &theirs]);
    println!("\nchecked: each way has stored all that does not fail: {}", ours.stored);
    Ok(())
}

/// The heart of it: all stages make progress together, whichever of them is full.
async fn by_pool_map(job: &Job<'_>) {
    let [fetch, parse, store] = &job.stages;
    job.pages()
        .pool_map(fetch.size, |page| fetch.watch(job.fetch(page)))
        .unordered()
        .filter_map(|fetched| ready(job.keep(fetched)))
        .driven() // always after an adaptor of `StreamExt`: without it, the fetches starve here as well
        .pool_map(parse.size, |text| parse.watch(job.parse(text)))
        .unordered()
        .pool_map(store.size, |page| store.watch(job.store(page)))
        .unordered()
        .for_each(|stored| job.log(stored))
        .await;
}

/// The same without the pool: a stage makes progress only while the next one asks it for more.
async fn by_buffer_unordered(job: &Job<'_>) {
    let [fetch, parse, store] = &job.stages;
    stream::iter(job.pages())
        .map(|page| fetch.watch(job.fetch(page)))
        .buffer_unordered(fetch.size)
        .filter_map(|fetched| ready(job.keep(fetched)))
        .map(|text| parse.watch(job.parse(text)))
        .buffer_unordered(parse.size)
        .map(|page| store.watch(job.store(page)))
        .buffer_unordered(store.size)
        .for_each(|stored| job.log(stored))
        .await;
}

/// Does the job in one way; it is an error if the database then has not what it should have.
async fn run<'a>(
    name: &'static str,
    way: impl AsyncFnOnce(&Job<'a>),
    args: &'a Args,
) -> Result<Report<'a>, Box<dyn Error>> {
    let job = Job::new(name, args).await?;
    let start = Instant::now();
    way(&job).await;
    let total = start.elapsed();
    job.bar.finish_and_clear();
    if let Some(error) = job.error.take() {
        return Err(format!("{name}: {error}").into());
    }
    let good = job.pages().filter(|page| Answer::of(*page) == Answer::Page);
    let mut expected: Vec<Page> = good.map(|page| (server::title(page), bytes(server::length(page)))).collect();
    expected.sort_unstable();
    let stored = job.database.load()?;
    if stored != expected {
        let (stored, expected) = (summary(&stored), summary(&expected));
        return Err(format!("{name}: {stored} are stored, but not the right {expected}").into());
    }
    let requests = job.server.load().requests;
    if requests != args.pages {
        return Err(format!("{name}: {requests} requests for {} pages", args.pages).into());
    }
    Ok(Report { stored: summary(&stored), job, total })
}

/// What both ways do, and with what. Each has its own, so that neither is warmed up by the other.
struct Job<'a> {
    args: &'a Args,
    server: Server,
    client: Client,
    database: Arc<Database>,
    bar: ProgressBar,
    /// The first thing that went wrong and was not planted.
    error: RefCell<Option<String>>,
    /// Fetch, parse, store.
    stages: [Stage; 3],
}

impl<'a> Job<'a> {
    async fn new(name: &'static str, args: &'a Args) -> Result<Self, Box<dyn Error>> {
        let database = Database::open(&args.db, name).map_err(|error| format!("{}: {error}", args.db.display()))?;
        let style = ProgressStyle::with_template("{msg:16} {bar:40} {human_pos}/{human_len} pages, {eta} to go")?;
        Ok(Self {
            args,
            server: Server::start().await?,
            client: Client::builder().no_proxy().retry(retry::never()).timeout(Duration::from_secs(30)).build()?,
            database: Arc::new(database),
            bar: ProgressBar::new(args.pages as u64).with_style(style).with_message(name),
            error: RefCell::default(),
            stages: [args.fetch, args.parse, args.store].map(Stage::new),
        })
    }

    /// The numbers of the pages; no more of them once something has gone wrong.
    fn pages(&self) -> impl Iterator<Item = usize> {
        (0..self.args.pages).take_while(|_| self.error.borrow().is_none())
    }

    /// The first stage.
    async fn fetch(&self, page: usize) -> (usize, reqwest::Result<String>) {
        let text = async {
            let response = self.client.get(self.server.url(page)).send().await?;
            response.error_for_status()?.text().await
        };
        (page, text.await)
    }

    /// Drops a page that failed.
    fn keep(&self, (page, text): (usize, reqwest::Result<String>)) -> Option<String> {
        match &text {
            Err(error) if Answer::of(page) == Answer::Page => self.fail(error),
            Err(_) => self.bar.inc(1),
            Ok(_) => {}
        }
        text.ok()
    }

    /// The second stage, on a thread where it may take its time.
    async fn parse(&self, text: String) -> Page {
        let parse = move || {
            let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
            (title.map_or("", |(title, _)| title).to_owned(), bytes(text.len()))
        };
        spawn_blocking(parse).await.expect("it does not panic")
    }

    /// The third stage: a transaction, and the way to the database and back.
    async fn store(&self, page: Page) -> rusqlite::Result<()> {
        let database = Arc::clone(&self.database);
        spawn_blocking(move || database.save(&page)).await.expect("it does not panic")?;
        sleep(Duration::from_millis(self.args.round_trip)).await;
        Ok(())
    }

    /// What is done about each page at the end.
    fn log(&self, stored: rusqlite::Result<()>) -> Ready<()> {
        match stored {
            Ok(()) => self.bar.inc(1),
            Err(error) => self.fail(&error),
        }
        ready(())
    }

    fn fail(&self, error: &(dyn Error + 'static)) {
        let causes = iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
        self.error.borrow_mut().get_or_insert_with(|| causes.collect::<Vec<_>>().join(": "));
    }
}

/// What is stored of a page: its title, and its size in bytes.
type Page = (String, i64);

fn bytes(length: usize) -> i64 {
    length.try_into().expect("no page is that long")
}

fn summary(pages: &[Page]) -> String {
    format!("{} pages, {} bytes", pages.len(), pages.iter().map(|(_, size)| size).sum::<i64>())
}

/// A run in the database.
struct Database {
    connection: Mutex<Connection>,
    run: i64,
}

impl Database {
    const SAVE: &str = "INSERT INTO pipeline_pages (run, title, size) VALUES (?, ?, ?)";

    fn open(file: &Path, name: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS pipeline_runs (run INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE IF NOT EXISTS pipeline_pages (run INTEGER, title TEXT, size INTEGER);",
        )?;
        // If there is a table with other columns, this is where it comes out.
        connection.prepare(Self::SAVE)?;
        connection.execute("INSERT INTO pipeline_runs (name) VALUES (?)", [name])?;
        let run = connection.last_insert_rowid();
        Ok(Self { connection: Mutex::new(connection), run })
    }

    /// Saves a page: without a `BEGIN`, that is a transaction.
    fn save(&self, (title, size): &Page) -> rusqlite::Result<()> {
        lock(&self.connection).execute(Self::SAVE, (self.run, title, size)).map(drop)
    }

    fn load(&self) -> rusqlite::Result<Vec<Page>> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare("SELECT title, size FROM pipeline_pages WHERE run = ? ORDER BY title")?;
        query.query_map([self.run], |row| row.try_into())?.collect()
    }
}

/// A stage's size, and what is measured around its futures.
struct Stage {
    size: usize,
    times: RefCell<Times>,
}

struct Times {
    /// How many futures are active, and since when it is so many.
    now_active: u32,
    since: Instant,
    full: Duration,
    /// The times of all futures, taken together.
    active: Duration,
    starved: Duration,
    longest_wait: Duration,
}

impl Stage {
    fn new(size: usize) -> Self {
        let [full, active, starved, longest_wait] = [Duration::ZERO; 4];
        let times = Times { now_active: 0, since: Instant::now(), full, active, starved, longest_wait };
        // `pool_map` takes 0 as 1, but `buffer_unordered` would wait for ever.
        Self { size: size.max(1), times: RefCell::new(times) }
    }

    /// Runs a future of this stage, and measures for how long it is active and how much of that it is starved.
    async fn watch<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(Arc::clone(&alarm));
        self.count(1);
        let output = poll_fn(|cx| {
            let wait = alarm.set(cx.waker());
            let mut times = self.times.borrow_mut();
            times.starved += wait;
            times.longest_wait = times.longest_wait.max(wait);
            drop(times);
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await;
        self.count(-1);
        output
    }

    /// Changes the number of active futures, once it is noted for how long it was what it was.
    fn count(&self, change: i32) {
        let times = &mut *self.times.borrow_mut();
        let passed = times.since.elapsed();
        times.since += passed;
        times.active += passed * times.now_active;
        if times.now_active as usize == self.size {
            times.full += passed;
        }
        times.now_active = times.now_active.saturating_add_signed(change);
    }
}

/// A waker that notes when it was first woken since the last poll, and whom to wake then.
#[derive(Default)]
struct Alarm(Mutex<(Option<Instant>, Option<Waker>)>);

impl Alarm {
    /// Sets it anew, for a poll; returns how long ago it was woken.
    fn set(&self, waker: &Waker) -> Duration {
        let mut alarm = lock(&self.0);
        alarm.1 = Some(waker.clone());
        alarm.0.take().map_or(Duration::ZERO, |woken| woken.elapsed())
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let mut alarm = lock(&self.0);
        alarm.0.get_or_insert_with(Instant::now);
        let waker = alarm.1.clone();
        drop(alarm);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// How one of the ways went.
struct Report<'a> {
    job: Job<'a>,
    total: Duration,
    stored: String,
}

/// Prints what was measured, a column for each way.
fn print_table(reports: [&Report<'_>; 2]) {
    let row = |what: &str, figure: &dyn Fn(&Report<'_>) -> String| {
        let [ours, theirs] = reports.map(figure);
        println!("{what:28}{ours:>20}{theirs:>20}");
    };
    println!("{:28}{:>20}{:>20}", "", "pool_map", "buffer_unordered");
    row("total time", &|report| format!("{:.2} s", report.total.as_secs_f64()));
    for (stage, name) in ["fetch", "parse", "store"].iter().enumerate() {
        println!("{name}, {} at once", reports[0].job.stages[stage].size);
        let row = |what, figure: fn(&Times, Duration) -> String| {
            row(what, &|report| figure(&report.job.stages[stage].times.borrow(), report.total));
        };
        row("  full", |times, total| {
            format!("{:.2} s  {:3.0} %", times.full.as_secs_f64(), times.full.div_duration_f64(total) * 100.0)
        });
        row("  active", |times, total| format!("{:.1}", times.active.div_duration_f64(total)));
        row("  starved", |times, total| format!("{:.1}", times.starved.div_duration_f64(total)));
        row("  longest wait", |times, _| format!("{:.1} ms", times.longest_wait.as_secs_f64() * 1e3));
    }
    row("in flight at the server", &|report| format!("{:.1}", report.job.server.load().mean()));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}
