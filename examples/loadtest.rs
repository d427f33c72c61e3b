//! How much time the pool takes for itself: the load test of the Python package asyncio-pool.
//!
//! ```text
//! cargo run --release --example loadtest -- spawn
//! cargo run --release --example loadtest -- itermap --tasks 10000 --pool-size 100 --json
//! ```
//!
//! Runs `--tasks` futures, each of which sleeps for `--task-duration` seconds, through a pool of `--pool-size` by one
//! of its methods, by the real clock and in one thread. Ideally that takes `tasks * task_duration / pool_size`; what it
//! takes more than that is the overhead: that of the pool, of the runtime and of its timers, which are exact to the
//! millisecond only.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use futures::StreamExt;
use futures_pool::Pool;
use serde::Serialize;

/// Measures the overhead of running many sleeping futures through a pool.
#[derive(Parser)]
struct Args {
    /// The method of the pool to test
    method: Method,
    /// How many futures to run
    #[arg(short, long, default_value_t = 100_000)]
    tasks: u32,
    /// For how many seconds each of them sleeps
    #[arg(short = 'd', long, default_value = "0.2", value_parser = parse_seconds, allow_negative_numbers = true)]
    task_duration: Duration,
    /// How many of them are active at once; 0 is taken as 1
    #[arg(short, long, default_value_t = 1_000)]
    pool_size: u32,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Method {
    /// Wait for a free place for each future, then start it
    Spawn,
    /// Queue all the futures, then run them
    SpawnN,
    /// Map a range of numbers to futures, and collect the results
    Map,
    /// Map a range of numbers to futures, and take the results one by one
    Itermap,
}

/// What came of it, all times in seconds.
#[derive(Serialize)]
struct Figures {
    method: Method,
    tasks: u32,
    task_duration: f64,
    pool_size: u32,
    ideal: f64,
    total: f64,
    overhead: f64,
    /// None if there are no tasks.
    overhead_per_task: Option<f64>,
    /// None if the ideal is no time at all.
    overhead_percent: Option<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    let start = Instant::now();
    let results = run(&args).await;
    let figures = Figures::new(&args, start.elapsed());
    assert_eq!(results, args.tasks as usize, "one result for each task");
    if args.json {
        serde_json::to_writer(io::stdout(), &figures)?;
        writeln!(io::stdout())
    } else {
        figures.print(io::stdout())
    }
}

/// Runs the futures, and returns how many results there are.
async fn run(args: &Args) -> usize {
    let mut pool = Pool::new(args.pool_size as usize);
    let work = |_| sleep(args.task_duration);
    match args.method {
        Method::Spawn => {
            for n in 0..args.tasks {
                pool.spawn(work(n)).await;
            }
            pool.join().await;
            pool.finished()
        }
        Method::SpawnN => {
            for n in 0..args.tasks {
                pool.spawn_n(work(n));
            }
            pool.join().await;
            pool.finished()
        }
        Method::Map => pool.map_all(0..args.tasks, work).await.len(),
        Method::Itermap => pool.itermap(0..args.tasks, work).count().await,
    }
}

/// Sleeps for `duration` from when it is first polled, which is when the pool makes it active.
///
/// A bare [`tokio::time::sleep`] sleeps from when it is called: in a queue, it is soon over.
async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

impl Figures {
    fn new(args: &Args, total: Duration) -> Self {
        let tasks = f64::from(args.tasks);
        let pool_size = args.pool_size.max(1);
        let task_duration = args.task_duration.as_secs_f64();
        let ideal = task_duration * (tasks / f64::from(pool_size));
        let total = total.as_secs_f64();
        let overhead = total - ideal;
        Self {
            method: args.method,
            tasks: args.tasks,
            task_duration,
            pool_size,
            ideal,
            total,
            overhead,
            overhead_per_task: (args.tasks > 0).then(|| overhead / tasks),
            overhead_percent: (ideal > 0.0).then(|| overhead / ideal * 100.0),
        }
    }

    fn print(&self, mut to: impl Write) -> io::Result<()> {
        writeln!(to, "{:15.5} s  ideal time", self.ideal)?;
        writeln!(to, "{:15.5} s  total time", self.total)?;
        writeln!(to, "{:15.5} s  overhead", self.overhead)?;
        match self.overhead_per_task {
            Some(seconds) => writeln!(to, "{:15.5} µs overhead per task", seconds * 1e6)?,
            None => writeln!(to, "{:>15}    overhead per task", "-")?,
        }
        match self.overhead_percent {
            Some(percent) => writeln!(to, "{percent:15.3} %  overhead in percent"),
            None => writeln!(to, "{:>15}    overhead in percent", "-"),
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
