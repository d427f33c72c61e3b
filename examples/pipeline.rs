//! Fetches pages over HTTP, parses them, and stores them in SQLite: three stages chained by `pool_map`, each with a size
//! of its own.
//!
//! ```text
//! cargo run --release --example pipeline
//! cargo run --release --example pipeline -- --fetch 16 --store 1 --round-trip 20
//! cargo run --release --example pipeline -- --pages 2000 --db pages.sqlite
//! ```
//!
//! The pages are those of a server of our own (`server/mod.rs`), on 127.0.0.1: it is slow, uneven, and some pages fail.
//! They are dropped on the way, by `filter_map` and `driven`. Storing is the slowest stage, on purpose: each page is a
//! transaction, after which it sleeps for `--round-trip` milliseconds, as if the database were on another machine. So the
//! last stage holds up those before it.
//!
//! Then the same is done by `buffer_unordered` of the crate `futures`, and a table shows for both, stage by stage
//!
//! - *full*: for how long all slots of the stage were taken;
//! - *active*: how many of its futures had been started and not finished, on average over time;
//! - *snoozing*: how many of those had been woken and not yet been polled again, so that they only took up room;
//! - *longest snooze*: the longest that one of them stood like that.
//!
//! That is measured here, around the future of each stage ([`Stage::watch`]), and not by the library. It is not to be
//! read as "more is better": a fetch whose answer has long arrived, but which nobody polls, is active too. What the
//! server saw tells these apart: how many requests it had in flight, on average until the last one came.
//!
//! The total time is much the same, as long as the last stage always has work; that is the same work for both. What
//! differs is how long a fetch that has been started can be left alone: `pool_map` polls it also while the stages after
//! it are full, `buffer_unordered` only when one of them has room. A timeout, a lease or a lock that such a fetch holds
//! feels the difference.
//!
//! It checks that both databases have each page once that does not fail, with its title and its size; the exit code is 0
//! only if so.

#![expect(clippy::doc_markdown, reason = "SQLite is a name")]

mod server;

use std::cell::{Cell, RefCell};
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
use reqwest::Client;
use rusqlite::{Connection, params};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use server::{Answer, Server};

/// Fetches pages over HTTP, parses them and stores them in SQLite; by `pool_map`, then by `buffer_unordered`.
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
    /// How many pages there are; one in 12 or so fails
    #[arg(long, default_value_t = 600)]
    pages: usize,
    /// How many milliseconds the database is away
    #[arg(long, value_name = "MS", default_value_t = 4)]
    round_trip: u64,
    /// Store into this SQLite file; by default, into memory
    ///
    /// If it is there already, nothing in it is lost. Only the tables `pipeline_runs` and `pipeline_pages` are written,
    /// with a new run for each of the two ways.
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
    println!("\nchecked: both databases have all that does not fail: {}", ours.stored);
    Ok(())
}

/// Does the job in one way; it is an error if the database then has not what it should have.
///
/// Each way has a server, a client and a run of its own in the database, so that neither is warmed up by the other.
async fn run(name: &'static str, way: impl AsyncFnOnce(&Job), args: &Args) -> Result<Report, Box<dyn Error>> {
    let job = Job::new(name, args).await?;
    let start = Instant::now();
    way(&job).await;
    let total = start.elapsed();
    let times = job.stages.each_ref().map(|stage| stage.times.get());
    job.bar.finish_and_clear();
    if let Some(error) = job.error.take() {
        return Err(error.into());
    }

    let good = (0..args.pages).filter(|page| Answer::of(*page) == Answer::Page);
    let mut expected: Vec<_> = good.map(|page| Page::new(&server::title(page), server::length(page))).collect();
    expected.sort_unstable();
    let mut stored = job.database.load()?;
    stored.sort_unstable();
    if stored != expected {
        let (stored, expected) = (summary(&stored), summary(&expected));
        return Err(format!("{name}: stored {stored}, not the right {expected}").into());
    }
    let load = job.server.load();
    if load.requests != args.pages {
        return Err(format!("{name}: {} requests for {} pages", load.requests, args.pages).into());
    }
    Ok(Report { name, total, stored: summary(&stored), in_flight: load.mean(), times })
}

/// The heart of it: all stages go on together, whichever of them is full.
async fn by_pool_map(job: &Job) {
    let [fetch, parse, store] = &job.stages;
    job.pages()
        .pool_map(fetch.size, |page| fetch.watch(job.fetch(page)))
        .unordered()
        .filter_map(|fetched| ready(job.keep(fetched)))
        .driven() // after an adaptor of `StreamExt`, or what follows would leave the fetches alone while it is busy
        .pool_map(parse.size, |text| parse.watch(job.parse(text)))
        .unordered()
        .pool_map(store.size, |page| store.watch(job.store(page)))
        .unordered()
        .for_each(|stored| job.log(stored))
        .await;
}

/// The same without the pool: a stage goes on only while the one after it asks for more.
async fn by_buffer_unordered(job: &Job) {
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

/// What both ways do, and with what.
struct Job {
    /// How many pages there are.
    pages: usize,
    /// How long it takes to hear from the database.
    round_trip: Duration,
    server: Server,
    client: Client,
    database: Arc<Database>,
    bar: ProgressBar,
    /// The first thing that went wrong and was not planted.
    error: RefCell<Option<String>>,
    /// Fetch, parse, store.
    stages: [Stage; 3],
}

impl Job {
    async fn new(name: &'static str, args: &Args) -> Result<Self, Box<dyn Error>> {
        let database = Database::open(&args.db, name).map_err(|error| format!("{}: {error}", args.db.display()))?;
        let style = ProgressStyle::with_template("{msg:16} {bar:40} {human_pos}/{human_len} pages, {eta} to go")?;
        Ok(Self {
            pages: args.pages,
            round_trip: Duration::from_millis(args.round_trip),
            server: Server::start().await?,
            client: Client::builder().no_proxy().retry(reqwest::retry::never()).build()?,
            database: Arc::new(database),
            bar: ProgressBar::new(args.pages as u64).with_style(style).with_message(name),
            error: RefCell::default(),
            stages: [args.fetch, args.parse, args.store].map(Stage::new),
        })
    }

    /// The numbers of the pages; no more of them once something went wrong.
    fn pages(&self) -> impl Iterator<Item = usize> {
        (0..self.pages).take_while(|_| self.error.borrow().is_none())
    }

    /// The first stage.
    async fn fetch(&self, page: usize) -> (usize, reqwest::Result<String>) {
        let text = async {
            let response = self.client.get(self.server.url(page)).send().await?.error_for_status()?;
            response.text().await
        };
        (page, text.await)
    }

    /// Drops the pages that failed.
    fn keep(&self, (page, text): (usize, reqwest::Result<String>)) -> Option<String> {
        if text.is_err() {
            self.bar.inc(1);
        }
        if let (Err(error), Answer::Page) = (&text, Answer::of(page)) {
            self.fail(error);
        }
        text.ok()
    }

    /// The second stage, on a thread where it may take its time.
    async fn parse(&self, text: String) -> Page {
        let parse = move || {
            let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
            Page::new(title.map_or("", |(title, _)| title), text.len())
        };
        spawn_blocking(parse).await.expect("it does not panic")
    }

    /// The third stage: a transaction, and the way to the database and back.
    async fn store(&self, page: Page) -> rusqlite::Result<()> {
        let database = Arc::clone(&self.database);
        spawn_blocking(move || database.save(&page)).await.expect("it does not panic")?;
        sleep(self.round_trip).await;
        Ok(())
    }

    /// What is done with each page at the end.
    fn log(&self, stored: rusqlite::Result<()>) -> Ready<()> {
        self.bar.inc(1);
        if let Err(error) = stored {
            self.fail(&error);
        }
        ready(())
    }

    fn fail(&self, error: &(dyn Error + 'static)) {
        let causes = iter::successors(Some(error), |&error| error.source());
        let message = || causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        self.error.borrow_mut().get_or_insert_with(message);
    }
}

/// What is stored of a page.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Page {
    title: String,
    /// In bytes.
    size: u32,
}

impl Page {
    fn new(title: &str, size: usize) -> Self {
        Self { title: title.to_owned(), size: size.try_into().expect("no page is that large") }
    }
}

fn summary(pages: &[Page]) -> String {
    format!("{} pages, {} bytes", pages.len(), pages.iter().map(|page| u64::from(page.size)).sum::<u64>())
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

    /// Saves a page: without a `BEGIN`, it is a transaction of its own.
    fn save(&self, Page { title, size }: &Page) -> rusqlite::Result<()> {
        let connection = lock(&self.connection);
        connection.execute(Self::SAVE, params![self.run, title, size])?;
        Ok(())
    }

    /// Returns all pages of this run.
    fn load(&self) -> rusqlite::Result<Vec<Page>> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare("SELECT title, size FROM pipeline_pages WHERE run = ?")?;
        let pages = query.query_map([self.run], |row| Ok(Page { title: row.get(0)?, size: row.get(1)? }))?;
        pages.collect()
    }
}

/// A stage's size, and what is measured around its futures.
struct Stage {
    size: usize,
    times: Cell<Times>,
}

#[derive(Clone, Copy)]
struct Times {
    size: usize,
    /// How many futures are active, and since when it is so many.
    active: usize,
    since: Instant,
    /// For how long all slots were taken.
    full: Duration,
    /// For how many seconds futures were active, taken together.
    active_seconds: f64,
    /// For how long futures had been woken and were not polled, taken together.
    snoozed: Duration,
    longest_snooze: Duration,
}

impl Stage {
    fn new(size: usize) -> Self {
        let size = size.max(1); // `pool_map` takes 0 as 1, but `buffer_unordered` would wait for ever
        let (zero, since) = (Duration::ZERO, Instant::now());
        let times =
            Times { size, active: 0, since, full: zero, active_seconds: 0.0, snoozed: zero, longest_snooze: zero };
        Self { size, times: Cell::new(times) }
    }

    /// Runs a future of this stage, and measures how long it is active and how long it snoozes.
    async fn watch<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let alarm = Arc::new(Alarm::default());
        self.count(|active| active + 1);
        let output = poll_fn(|cx| {
            self.snoozed(alarm.set(cx.waker()));
            future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&alarm))))
        })
        .await;
        self.count(|active| active - 1);
        output
    }

    /// Changes the number of active futures, after taking into account for how long it was what it was.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let Times { size, active, since, full, active_seconds, .. } = self.times.get();
        let now = Instant::now();
        let passed = now - since;
        self.times.set(Times {
            active: change(active),
            since: now,
            full: if active == size { full + passed } else { full },
            active_seconds: active_seconds + passed.as_secs_f64() * active as f64,
            ..self.times.get()
        });
    }

    fn snoozed(&self, snooze: Duration) {
        let Times { snoozed, longest_snooze, .. } = self.times.get();
        let (snoozed, longest_snooze) = (snoozed + snooze, longest_snooze.max(snooze));
        self.times.set(Times { snoozed, longest_snooze, ..self.times.get() });
    }
}

/// Passes wake-ups on, and notes when the first one came.
#[derive(Default)]
struct Alarm(Mutex<(Option<Instant>, Option<Waker>)>);

impl Alarm {
    /// Sets it for the next poll; returns for how long a future that is now polled has snoozed.
    fn set(&self, waker: &Waker) -> Duration {
        let mut alarm = lock(&self.0);
        alarm.1 = Some(waker.clone());
        alarm.0.take().map_or(Duration::ZERO, |rang| rang.elapsed())
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
struct Report {
    name: &'static str,
    total: Duration,
    stored: String,
    /// How many requests the server had in flight, on average until the last one came.
    in_flight: f64,
    times: [Times; 3],
}

/// Prints what was measured, a column for each way.
fn print_table(reports: [&Report; 2]) {
    let row = |what: &str, figure: &dyn Fn(&Report) -> String| {
        let [ours, theirs] = reports.map(figure);
        println!("{what:32}{ours:>18}{theirs:>18}");
    };
    row("", &|report| report.name.to_owned());
    row("total time", &|report| format!("{:.2} s", report.total.as_secs_f64()));
    for (stage, name) in ["fetch", "parse", "store"].iter().enumerate() {
        let row = |what, figure: fn(&Times, f64) -> String| {
            row(what, &|report| figure(&report.times[stage], report.total.as_secs_f64()));
        };
        println!("{name}, {} at once", reports[0].times[stage].size);
        row("  full", |times, total| {
            let full = times.full.as_secs_f64();
            format!("{full:.2} s, {:3.0} %", full / total * 100.0)
        });
        row("  active", |times, total| format!("{:.1}", times.active_seconds / total));
        row("  snoozing", |times, total| format!("{:.1}", times.snoozed.as_secs_f64() / total));
        row("  longest snooze", |times, _| format!("{:.1} ms", times.longest_snooze.as_secs_f64() * 1e3));
    }
    row("in flight at the server", &|report| format!("{:.1}", report.in_flight));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}
