//! Crawls a tree of folders with one pool, and saves what it finds into SQLite with another: work that spawns work.
//!
//! ```text
//! cargo run --release --example crawl
//! cargo run --release --example crawl -- --list-size 1 --save-size 1
//! cargo run --release --example crawl -- --root /usr/include --db crawl.sqlite
//! ```
//!
//! Without `--root`, the tree is one of our own in a temporary directory: 2,000 files and folders, five levels deep. It
//! is `ls_remote.py` of the Python package asyncio-pool, and shows
//!
//! - that the callback of listing a folder may spawn into the pool in which it runs itself, and into another: in Python
//!   that is a deadlock, as soon as all places are held by callbacks that wait for one; here it ends at any size;
//! - that one pool slows the other down: a folder stays in its slot until there is a slot to save the last of its
//!   entries, so what is to be saved never piles up;
//! - that a scope that is given work by another's tasks is the outer one, since it has to end after the other;
//! - that tasks borrow from the function that awaits the scopes, and that an error in one of them can end them all.
//!
//! It checks that the database has all that was found or planted; the exit code is 0 only if so. Folders that cannot be
//! read are reported and counted, and do not change it.

#![expect(clippy::doc_markdown, reason = "SQLite is a name")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use clap::Parser;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures_pool::prelude::*;
use futures_pool::{Scope, scope};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use rusqlite::{Connection, ToSql, params};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// Crawls a tree of folders with one pool, and saves what it finds into SQLite with another.
#[derive(Parser)]
struct Args {
    /// How many folders to list at once, 0 being taken as 1
    #[arg(long, default_value_t = 10)]
    list_size: usize,
    /// How many entries to save at once, 0 being taken as 1
    #[arg(long, default_value_t = 4)]
    save_size: usize,
    /// Crawl this folder, not a tree of our own; symbolic links in it are not followed
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Save into this SQLite file; by default, into memory
    ///
    /// If it is there already, nothing in it is lost. Only the table `crawl_entries` is written, with a new number in
    /// its column `run`; a table of that name with other columns is an error. The run is one transaction: broken off,
    /// it adds nothing.
    #[arg(long, value_name = "FILE", default_value = ":memory:")]
    db: PathBuf,
}

/// How many folders and files our own tree has below its root: four folders in each, down to the fourth level.
const FOLDERS: u32 = 4 + 16 + 64 + 256;
const FILES: u32 = 2_000 - FOLDERS;

/// What is in a folder, or a message that tells why that is not known.
type Listing = Result<Vec<Entry>, String>;

/// What is saved.
struct Entry {
    path: PathBuf,
    kind: &'static str,
    /// Its own, not that of what is in it; `None` if it cannot be told.
    size: Option<i64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.root {
        Some(root) => crawl(root, &args).await.map(drop),
        None => crawl_own(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Crawls a tree of our own; it is an error if that is not what was found.
async fn crawl_own(args: &Args) -> Result<(), Box<dyn Error>> {
    let tree = TempDir::with_prefix("crawl-")?;
    let bytes = plant(tree.path())?;
    let found = crawl(tree.path(), args).await?;
    // The sizes of folders are up to the file system.
    if found.get("file") != Some(&(FILES, bytes)) || folders(&found) != FOLDERS || found.len() != 2 {
        return Err(format!("planted {FOLDERS} folders and {FILES} files of {bytes} bytes, found {found:?}").into());
    }
    println!("checked: and all that was planted");
    Ok(tree.close()?)
}

/// Makes a tree with four folders in each folder, and files of all lengths; returns how many bytes are in them.
fn plant(root: &Path) -> io::Result<i64> {
    let mut parents = vec![root.to_owned()];
    for number in 0..FOLDERS as usize {
        let folder = parents[number / 4].join(format!("folder-{}", number % 4));
        fs::create_dir(&folder)?;
        parents.push(folder);
    }
    for (number, parent) in (0..FILES as usize).zip(parents.iter().cycle()) {
        fs::write(parent.join(format!("file-{number}")), vec![b'.'; number])?;
    }
    Ok((0..i64::from(FILES)).sum())
}

/// The heart of it: crawls a tree and prints a summary; returns what the database has then: all that was found.
async fn crawl(root: &Path, args: &Args) -> Result<Counts, Box<dyn Error>> {
    if !fs::metadata(root).map_err(at(root))?.is_dir() {
        return Err(at(root)("not a folder").into());
    }
    let database = Arc::new(Database::open(&args.db).map_err(at(&args.db))?);
    let (tally, bar) = (Mutex::new(Tally::default()), progress_bar());
    let start = Instant::now();

    scope(args.save_size, async |saver| {
        scope(args.list_size, async |lister| {
            let crawl = Crawl { lister, saver, database: &database, tally: &tally, bar: &bar };
            drop(crawl.lister.spawn_n(crawl.list(root.to_owned())));
        })
        .await; // all is listed
    })
    .await; // all is saved

    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let Tally { found, listed, unread, failure } = tally.into_inner()?;
    if let Some(error) = failure {
        return Err(at(&args.db)(error).into());
    }
    let saved = database.commit().map_err(at(&args.db))?;

    println!("{} in {seconds:.2} s:", root.display());
    println!("{listed:9} folders listed, {} at once", args.list_size.max(1));
    println!("{unread:9} folders could not be read");
    let number: u32 = saved.values().map(|(number, _)| number).sum();
    println!("{number:9} entries saved, {} at once:", args.save_size.max(1));
    for (kind, (number, bytes)) in &saved {
        println!("{number:11} {kind:6} {bytes:15} bytes");
    }
    if listed + unread != 1 + folders(&found) || saved != found {
        return Err(format!("the counts do not match: found {found:?}, in the database {saved:?}").into());
    }
    println!("checked: the database has all that was found");
    Ok(saved)
}

/// A bar that shows how much is saved of what was found; hidden if there is no terminal.
fn progress_bar() -> ProgressBar {
    let template = "{bar:40} {human_len} found, {msg} folders listed, {human_pos} saved";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::new(0).with_style(style).with_message("0")
}

/// What the tasks of both pools have: the context of the callback.
#[derive(Clone)]
struct Crawl<'env> {
    lister: Scope<'env>,
    saver: Scope<'env>,
    database: &'env Arc<Database>,
    tally: &'env Mutex<Tally>,
    bar: &'env ProgressBar,
}

impl<'env> Crawl<'env> {
    /// A task for the lister: lists a folder, then calls back.
    ///
    /// It is in a box, since the callback makes others of its kind: a future cannot have its own type within it.
    fn list(&self, folder: PathBuf) -> BoxFuture<'env, ()> {
        list(folder).callback(listed, self.clone()).boxed()
    }

    /// Records what is in a folder, and returns it.
    fn found(&self, listing: Listing) -> Vec<Entry> {
        let mut tally = lock(self.tally);
        match &listing {
            Ok(_) => tally.listed += 1,
            Err(error) => {
                tally.unread += 1;
                self.bar.suspend(|| eprintln!("not read: {error}"));
            }
        }
        let entries = listing.unwrap_or_default();
        for entry in &entries {
            let (number, bytes) = tally.found.entry(entry.kind.to_owned()).or_default();
            *number += 1;
            *bytes += entry.size.unwrap_or(0);
        }
        self.bar.set_message(HumanCount(tally.listed.into()).to_string());
        self.bar.inc_length(entries.len() as u64);
        entries
    }

    /// A task for the saver. The first error ends it all.
    async fn save(self, entry: Entry) {
        let database = Arc::clone(self.database);
        match blocking(move || database.save(&entry)).await {
            Ok(()) => self.bar.inc(1),
            Err(error) => {
                lock(self.tally).failure.get_or_insert(error);
                self.lister.cancel_all();
                self.saver.cancel_all();
            }
        }
    }
}

/// The callback: spawns the folders in a folder into the one pool, and all that is in it into the other.
///
/// Tasks continue when their handles are dropped.
async fn listed(listing: Listing, crawl: Crawl<'_>) {
    for entry in crawl.found(listing) {
        if entry.kind == "folder" {
            // This is a task of the lister's itself, so it does not wait for a free slot.
            drop(crawl.lister.spawn(crawl.list(entry.path.clone())).await);
        }
        // It is none of the saver's, so it does.
        drop(crawl.saver.spawn(crawl.clone().save(entry)).await);
    }
}

/// Lists a folder.
async fn list(folder: PathBuf) -> Listing {
    blocking(move || {
        let items = fs::read_dir(&folder).and_then(|items| items.map(|item| Ok(Entry::new(&item?))).collect());
        items.map_err(at::<io::Error>(&folder))
    })
    .await
}

/// Does what blocks, on a thread where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("it does not panic")
}

impl Entry {
    fn new(item: &DirEntry) -> Self {
        let kind = match item.file_type() {
            Ok(it) if it.is_dir() => "folder",
            Ok(it) if it.is_file() => "file",
            Ok(it) if it.is_symlink() => "link",
            _ => "other",
        };
        let size = item.metadata().ok().and_then(|it| it.len().try_into().ok());
        Self { path: item.path(), kind, size }
    }
}

/// A table, and the transaction that is a run.
struct Database {
    connection: Mutex<Connection>,
    run: u32,
}

impl Database {
    const SAVE: &str = "INSERT INTO crawl_entries (run, path, kind, size) VALUES (?, ?, ?, ?)";

    fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute_batch(
            "BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS crawl_entries (run INTEGER, path, kind TEXT, size INTEGER);",
        )?;
        // If there is a table with other columns, this is where it comes out.
        connection.prepare(Self::SAVE)?;
        let next = "SELECT ifnull(max(run), 0) + 1 FROM crawl_entries";
        let run = connection.query_row(next, [], |row| row.get(0))?;
        Ok(Self { connection: Mutex::new(connection), run })
    }

    fn save(&self, Entry { path, kind, size }: &Entry) -> rusqlite::Result<()> {
        // A path need not be UTF-8.
        let (text, bytes) = (path.to_str(), path.as_os_str().as_encoded_bytes());
        let path: &dyn ToSql = if text.is_some() { &text } else { &bytes };
        lock(&self.connection).execute(Self::SAVE, params![self.run, path, kind, size])?;
        Ok(())
    }

    /// Ends the run; returns what the database has of it.
    fn commit(&self) -> rusqlite::Result<Counts> {
        let connection = lock(&self.connection);
        connection.execute_batch("COMMIT")?;
        let query = "SELECT kind, count(*), ifnull(sum(size), 0) FROM crawl_entries WHERE run = ? GROUP BY kind";
        let mut query = connection.prepare(query)?;
        let rows = query.query_map([self.run], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.collect()
    }
}

/// How many entries there are of each kind, and the sum of their sizes in bytes.
type Counts = BTreeMap<String, (u32, i64)>;

/// What has happened so far.
#[derive(Default)]
struct Tally {
    found: Counts,
    /// How many folders were listed, and how many could not be.
    listed: u32,
    unread: u32,
    failure: Option<rusqlite::Error>,
}

fn folders(counts: &Counts) -> u32 {
    counts.get("folder").map_or(0, |(number, _)| *number)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}

/// Makes a message that names the path.
fn at<E: Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
