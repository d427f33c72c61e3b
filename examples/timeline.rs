//! Draws what the slots of a pool do over time, in ours and in others: the two pictures in the README and the guide.
//!
//! ```text
//! cargo run --release --example timeline -- --view ordered --out examples/timeline-ordered.svg
//! cargo run --release --example timeline -- --view unordered --out examples/timeline-unordered.svg
//! cargo run --release --example timeline -- --size 8 --jobs 60 --seed 7 --consumer 5
//! ```
//!
//! Each way gets the same jobs, which are uneven: one has many steps, another few. A step is a timer, which stands for a
//! request that takes so long, on tokio's paused clock: nothing here depends on the machine. A consumer takes each result,
//! and is busy with it for `--consumer` milliseconds. A slot is
//!
//! - *busy*: its future waits for its step, which runs elsewhere;
//! - *starved*: the step is done, and the future woken, but nobody polls it, so that it does not begin its next step;
//! - *finished*: its future has finished, and nothing else is started in its place before that result is taken, though
//!   jobs wait;
//! - *idle*: its last result is taken, and nothing is in it, though jobs wait.
//!
//! Once no job waits any more, an empty slot is no loss, and is not drawn. All this is measured, by the same rule for all:
//! futures note when they are polled, woken and finished ([`Trace::work`]), and the consumer when it takes a result and is
//! done with it ([`Trace::consume`]). Which slot a future is in, nobody tells: it is taken to be in the first that is free,
//! but rather in one whose last result was taken. The figures are shares of the time that slots had something to do.
//!
//! Also counted is what does not show in the slots: how many results were held at most that nobody had taken yet, and how
//! many futures there were at most, started or not. An ordered `pool_map` keeps results, but no slots, behind a slow job. A
//! `JoinSet` has no idle slot, and no future is starved in it; its price is elsewhere. All its tasks are spawned at
//! once here, and each waits for a permit. (If they are spawned as permits come free, the same loop has to take the
//! results, too.) They have to be `'static`, and `Send` but on a `LocalSet`, their results are in no order, and pile up
//! without a bound where the consumer is too slow. There, ours leaves slots empty on purpose, as its bound on results
//! is full: try `--consumer 40`.
//!
//! It checks of each way that all results are there, in order where that is promised, that never more than `--size` futures
//! were active, and that they were busy for exactly as long as their steps take; of ours, that no future was starved,
//! and that no slot was empty while jobs waited, unless the bound on results was full. The exit code is 0 only if so.

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use std::{fmt, future, mem};

use clap::{Parser, ValueEnum};
use fastrand::Rng;
use futures::{StreamExt, stream};
use futures_pool::prelude::*;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordi32;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Draws what the slots of a pool do over time, in ours and in others.
#[derive(Parser)]
struct Args {
    /// Which ways to compare
    #[arg(long, value_enum, default_value_t = View::Unordered)]
    view: View,
    /// Draw into this SVG file; without it, only the figures are printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many futures may be active at once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=32))]
    size: u32,
    /// How many jobs there are
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=500))]
    jobs: u32,
    /// The seed of how long the jobs take
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how many milliseconds the consumer is busy with each result [default: 0 if ordered, 8 if unordered]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=1000))]
    consumer: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum View {
    /// Results in the order of the jobs
    Ordered,
    /// Results as they finish
    Unordered,
}

impl View {
    fn ways(self) -> &'static [Way] {
        match self {
            Self::Ordered => &[Way::Buffered, Way::PoolMap],
            Self::Unordered => &[Way::BufferUnordered, Way::JoinSet, Way::PoolMapUnordered],
        }
    }

    fn consumer(self) -> u64 {
        match self {
            Self::Ordered => 0,
            Self::Unordered => 8,
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Buffered,
    PoolMap,
    BufferUnordered,
    JoinSet,
    PoolMapUnordered,
}

impl Way {
    fn code(self, size: usize) -> String {
        match self {
            Self::Buffered => format!("jobs.map(work).buffered({size}).for_each(consume)"),
            Self::PoolMap => format!("jobs.pool_map({size}, work).for_each(consume)"),
            Self::BufferUnordered => {
                format!("jobs.map(work).buffer_unordered({size}).for_each(consume)")
            }
            Self::JoinSet => format!("JoinSet, a task for each job; Semaphore::new({size})"),
            Self::PoolMapUnordered => format!("jobs.pool_map({size}, work).unordered().for_each(consume)"),
        }
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::PoolMap | Self::PoolMapUnordered)
    }

    fn is_ordered(self) -> bool {
        matches!(self, Self::Buffered | Self::PoolMap)
    }

    async fn run(self, trace: &Arc<Trace>) {
        let (jobs, size) = (0..trace.jobs.len(), trace.size);
        let work = |job| trace.work(job);
        let consume = |job| trace.consume(job);
        match self {
            Self::Buffered => stream::iter(jobs).map(work).buffered(size).for_each(consume).await,
            Self::PoolMap => jobs.pool_map(size, work).for_each(consume).await,
            Self::BufferUnordered => stream::iter(jobs).map(work).buffer_unordered(size).for_each(consume).await,
            Self::JoinSet => {
                let permits = Arc::new(Semaphore::new(size));
                let mut tasks = JoinSet::new();
                for work in jobs.map(work) {
                    let permits = Arc::clone(&permits);
                    tasks.spawn(async move {
                        let _permit = permits.acquire().await.expect("it is never closed");
                        work.await
                    });
                }
                while let Some(job) = tasks.join_next().await {
                    consume(job.expect("no task panics")).await;
                }
            }
            Self::PoolMapUnordered => jobs.pool_map(size, work).unordered().for_each(consume).await,
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    match compare(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the jobs in each way, one after the other, and shows how that went.
async fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let consumer = args.consumer.unwrap_or(args.view.consumer());
    let mut runs = Vec::new();
    for &way in args.view.ways() {
        let trace = Trace::new(args, Duration::from_millis(consumer));
        way.run(&trace).await;
        runs.push(Run::new(way, &trace));
    }
    print_table(&runs);
    for run in &runs {
        run.check().map_err(|error| format!("{}: {error}", run.code))?;
    }
    println!(
        "\nchecked: in ours no future is starved, and no slot is empty while jobs wait and the bound on results allows it"
    );
    if let Some(file) = &args.out {
        let about = match args.view {
            View::Ordered => "results in the order of the jobs",
            View::Unordered => "results as they finish",
        };
        let consumer = match consumer {
            0 => String::new(),
            _ => format!(", to a consumer that takes {consumer} ms for each"),
        };
        let title = format!("{} uneven jobs, {} at once, {about}{consumer}", args.jobs, args.size);
        draw(&runs, &title, file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// How long the steps of each job take: a few short ones, but every now and then many.
fn schedule(jobs: u32, seed: u64) -> Vec<Vec<Duration>> {
    let mut rng = Rng::with_seed(seed);
    let job = |number| {
        let steps = if number % 10 == 2 { rng.u32(11..=13) } else { rng.u32(1..=4) };
        (0..steps).map(|_| Duration::from_millis(rng.u64(5..=20))).collect()
    };
    (0..jobs).map(job).collect()
}

/// Milliseconds since the start.
type Ms = i32;

#[derive(Clone, Copy, PartialEq)]
enum What {
    Busy,
    Starved,
    Finished,
    Idle,
}

impl What {
    const ALL: [Self; 4] = [Self::Busy, Self::Starved, Self::Finished, Self::Idle];

    fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Starved => "starved",
            Self::Finished => "finished",
            Self::Idle => "idle",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Starved => "starved: woken, but not polled",
            Self::Finished => "finished: keeps its slot until its result is taken",
            Self::Idle => "idle, though jobs wait",
        }
    }

    /// Told apart also by those who see few colours (Okabe and Ito).
    fn colour(self) -> RGBColor {
        match self {
            Self::Busy => RGBColor(86, 180, 233),
            Self::Starved => RGBColor(213, 94, 0),
            Self::Finished => RGBColor(240, 228, 66),
            Self::Idle => RGBColor(200, 200, 200),
        }
    }
}

/// A slot is one thing from one time to another.
struct Span {
    slot: usize,
    what: What,
    from: Ms,
    until: Ms,
}

/// What futures and consumer note.
struct Trace {
    size: usize,
    jobs: Vec<Vec<Duration>>,
    consumer: Duration,
    start: Instant,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    slots: Vec<Slot>,
    spans: Vec<Span>,
    /// In which slots futures were started, and when.
    starts: Vec<(usize, Ms)>,
    /// For each job, when its result was there, and when the consumer took it.
    finished: Vec<Option<Ms>>,
    taken: Vec<Option<Ms>>,
    /// The jobs whose results were taken, in that order.
    order: Vec<usize>,
    /// When the consumer was busy.
    consumer: Vec<(Ms, Ms)>,
    futures: usize,
    most_futures: usize,
    results: usize,
    most_results: usize,
}

#[derive(Clone, Copy)]
enum Slot {
    Taken,
    /// Empty since then; the last result is taken.
    Idle(Ms),
    /// Empty since then, but for the result of this job.
    Finished(Ms, usize),
}

impl Trace {
    fn new(args: &Args, consumer: Duration) -> Arc<Self> {
        let (size, jobs) = (args.size as usize, schedule(args.jobs, args.seed));
        let nothing = vec![None; jobs.len()];
        let slots = vec![Slot::Idle(0); size];
        let log = Log { slots, finished: nothing.clone(), taken: nothing, ..Log::default() };
        Arc::new(Self { size, jobs, consumer, start: Instant::now(), log: Mutex::new(log) })
    }

    fn now(&self) -> Ms {
        self.start.elapsed().as_millis().try_into().expect("it does not take weeks")
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Makes the future of a job, which gives its number.
    fn work(self: &Arc<Self>, job: usize) -> impl Future<Output = usize> + Send + 'static + use<> {
        let held = Held::new(self);
        async move {
            let trace = &held.0;
            let slot = trace.log().start(trace.now());
            let mut work = pin!(async {
                for &step in &trace.jobs[job] {
                    sleep(step).await;
                }
            });
            let alarm = Arc::new(Alarm::default());
            let waker = Waker::from(Arc::clone(&alarm));
            let mut since = trace.now();
            future::poll_fn(|cx| {
                let now = trace.now();
                if let Some(woken) = alarm.set(cx.waker()) {
                    let woken = woken.duration_since(trace.start).as_millis().try_into().expect("less than now");
                    let mut log = trace.log();
                    log.note(slot, What::Busy, since, woken);
                    log.note(slot, What::Starved, woken, now);
                    since = now;
                }
                work.as_mut().poll(&mut Context::from_waker(&waker))
            })
            .await;
            trace.log().finish(slot, job, trace.now());
            job
        }
    }

    /// What is done with each result.
    async fn consume(&self, job: usize) {
        let from = self.now();
        self.log().take(job, from);
        sleep(self.consumer).await;
        self.log().consumer.push((from, self.now()));
    }
}

impl Log {
    fn note(&mut self, slot: usize, what: What, from: Ms, until: Ms) {
        if from < until {
            self.spans.push(Span { slot, what, from, until });
        }
    }

    /// Finds a slot for a future.
    fn start(&mut self, now: Ms) -> usize {
        let is_idle = |slot: &Slot| matches!(slot, Slot::Idle(_));
        let is_free = |slot: &Slot| !matches!(slot, Slot::Taken);
        let slot = self.slots.iter().position(is_idle).or_else(|| self.slots.iter().position(is_free));
        let slot = slot.unwrap_or_else(|| {
            self.slots.push(Slot::Idle(now));
            self.slots.len() - 1
        });
        self.fill(slot, now);
        self.starts.push((slot, now));
        if self.starts.len() == self.finished.len() {
            (0..self.slots.len()).for_each(|slot| self.fill(slot, now));
        }
        slot
    }

    /// Ends what a slot did without a future.
    fn fill(&mut self, slot: usize, now: Ms) {
        match mem::replace(&mut self.slots[slot], Slot::Taken) {
            Slot::Taken => {}
            Slot::Idle(since) => self.note(slot, What::Idle, since, now),
            Slot::Finished(since, _) => self.note(slot, What::Finished, since, now),
        }
    }

    fn finish(&mut self, slot: usize, job: usize, now: Ms) {
        // Once no job waits, slots that are empty are of no interest.
        if self.starts.len() < self.finished.len() {
            self.slots[slot] = Slot::Finished(now, job);
        }
        self.finished[job] = Some(now);
        self.results += 1;
        self.most_results = self.most_results.max(self.results);
    }

    fn take(&mut self, job: usize, now: Ms) {
        let holds = |slot: &Slot| matches!(*slot, Slot::Finished(_, result) if result == job);
        if let Some(slot) = self.slots.iter().position(holds) {
            self.fill(slot, now);
            self.slots[slot] = Slot::Idle(now);
        }
        self.taken[job] = Some(now);
        self.order.push(job);
        self.results -= 1;
    }
}

/// Counts a future for as long as it is there.
struct Held(Arc<Trace>);

impl Held {
    fn new(trace: &Arc<Trace>) -> Self {
        let mut log = trace.log();
        log.futures += 1;
        log.most_futures = log.most_futures.max(log.futures);
        Self(Arc::clone(trace))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.log().futures -= 1;
    }
}

/// A waker that notes when it was first woken since the last poll, and whom to wake then.
#[derive(Default)]
struct Alarm(Mutex<(Option<Instant>, Option<Waker>)>);

impl Alarm {
    /// Sets it anew, for a poll; returns when it was woken.
    fn set(&self, waker: &Waker) -> Option<Instant> {
        let mut alarm = lock(&self.0);
        alarm.1 = Some(waker.clone());
        alarm.0.take()
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}

/// How one of the ways went.
struct Run {
    way: Way,
    code: String,
    size: usize,
    /// The time that all steps take, one after the other.
    steps: Ms,
    /// When the consumer was done with the last result.
    total: Ms,
    log: Log,
}

impl Run {
    fn new(way: Way, trace: &Trace) -> Self {
        let steps: Duration = trace.jobs.iter().flatten().sum();
        Self {
            way,
            code: way.code(trace.size),
            size: trace.size,
            steps: steps.as_millis().try_into().expect("it does not take weeks"),
            total: trace.now(),
            log: mem::take(&mut trace.log()),
        }
    }

    /// The time that all slots together were that.
    fn time(&self, what: What) -> Ms {
        self.log.spans.iter().filter(|span| span.what == what).map(|span| span.until - span.from).sum()
    }

    /// How much of the time of all slots that was, as long as there was something for them to do.
    fn percent(&self, what: What) -> f64 {
        let all: Ms = What::ALL.map(|what| self.time(what)).iter().sum();
        100.0 * f64::from(self.time(what)) / f64::from(all)
    }

    fn check(&self) -> Result<(), String> {
        let mut order = self.log.order.clone();
        if !self.way.is_ordered() {
            order.sort_unstable();
        }
        if !order.iter().copied().eq(0..self.log.finished.len()) {
            return Err(format!("the results are {order:?}"));
        }
        if self.log.slots.len() > self.size {
            return Err(format!("{} futures were active at once", self.log.slots.len()));
        }
        let busy = self.time(What::Busy);
        if busy != self.steps {
            return Err(format!("busy for {busy} ms, but the steps take {} ms", self.steps));
        }
        if !self.way.is_ours() {
            return Ok(());
        }
        for span in &self.log.spans {
            match span.what {
                What::Starved => return Err(span.to_string()),
                What::Finished | What::Idle if self.least_max_finished(span) <= self.size => {
                    return Err(format!("{span}, and the bound on results allows it"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The least bound on results while a slot is one thing: it falls when a result is taken.
    fn least_max_finished(&self, span: &Span) -> usize {
        let taken = self.log.taken.iter().flatten().filter(|&time| (span.from..span.until).contains(time));
        taken.chain([&span.from]).map(|&time| self.max_finished(time)).min().unwrap_or_default()
    }

    /// How many results counted against the bound on results at a time, once all was done that was to do then: in an ordered stream,
    /// those whose turn had come.
    fn max_finished(&self, time: Ms) -> usize {
        let is_there = |job: &usize| self.log.finished[*job].is_some_and(|finished| finished <= time);
        let is_taken = |job: &usize| self.log.taken[*job].is_some_and(|taken| taken <= time);
        let jobs = 0..self.log.finished.len();
        if self.way.is_ordered() {
            jobs.take_while(is_there).filter(|job| !is_taken(job)).count()
        } else {
            jobs.filter(|job| is_there(job) && !is_taken(job)).count()
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} is {} from {} to {} ms", self.slot, self.what.name(), self.from, self.until)
    }
}

fn print_table(runs: &[Run]) {
    print!("{:76}{:>8}", "", "total");
    for what in What::ALL {
        print!("{:>10}", what.name());
    }
    println!("  results held  futures");
    for run in runs {
        print!("{:76}{:5} ms", run.code, run.total);
        for what in What::ALL {
            print!("{:8.1} %", run.percent(what));
        }
        println!("{:14}{:9}", run.log.most_results, run.log.most_futures);
    }
}

/// Pixels; a panel is a heading, its slots, the consumer, and a gap.
const WIDTH: i32 = 1000;
const TITLE: i32 = 36;
const LEGEND: i32 = 34;
const HEADING: i32 = 28;
const SLOT: i32 = 16;
const CONSUMER: i32 = 14;
const GAP: i32 = 14;
const AXIS: i32 = 30;
const MARGIN: i32 = 12;
const LEFT: i32 = 96;
const RIGHT: i32 = 80;

const DARK: RGBColor = RGBColor(70, 70, 70);
const LINES: RGBColor = RGBColor(222, 222, 222);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordi32, RangedCoordi32>>;

/// Draws a panel for each way, all with the same axis.
fn draw(runs: &[Run], title: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    let longest = runs.iter().map(|run| run.total).max().unwrap_or_default().max(1);
    let has_consumer = runs.iter().any(|run| run.log.consumer.iter().any(|(from, until)| from < until));
    let slots = SLOT * i32::try_from(runs[0].size)?;
    let rows = slots + if has_consumer { CONSUMER } else { 0 };
    let panels = (HEADING + rows + GAP) * i32::try_from(runs.len())?;
    let size = (WIDTH.try_into()?, (TITLE + LEGEND + panels + AXIS).try_into()?);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(TITLE + LEGEND);
    draw_head(&head, title, runs)?;
    let (panels, axis) = rest.split_vertically(panels);

    let axis = plot(&axis, longest, 0..AXIS);
    let mut round = (0..8).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10_i32.pow(zeros)));
    let tick = usize::try_from(round.find(|tick| longest / tick < 8).unwrap_or(longest))?;
    let ticks = || (0..=longest).step_by(tick);
    for time in ticks() {
        let unit = if time == 0 { " ms" } else { "" };
        axis.draw(&Text::new(format!("{time}{unit}"), (time, 8), text(18, HPos::Center)))?;
    }
    for (run, area) in runs.iter().zip(panels.split_evenly((runs.len(), 1))) {
        draw_heading(&area, run)?;
        area.draw(&Text::new(count(run.size, "slot"), (LEFT - 10, HEADING + slots / 2), text(18, HPos::Right)))?;
        if has_consumer {
            area.draw(&Text::new("consumer", (LEFT - 10, HEADING + rows - CONSUMER / 2), text(18, HPos::Right)))?;
        }
        let plot = plot(&area, longest, HEADING..HEADING + rows);
        for time in ticks() {
            plot.draw(&PathElement::new([(time, 0), (time, rows)], LINES))?;
        }
        draw_rows(&plot, run, rows)?;
    }
    root.present()?;
    Ok(())
}

/// The part between the margins, in which a unit is a millisecond to the right, and a pixel down.
fn plot<'a>(area: &Canvas<'a>, longest: Ms, down: Range<i32>) -> Plot<'a> {
    let (x, y) = area.get_base_pixel();
    let pixels = (x + LEFT..x + WIDTH - RIGHT, y + down.start..y + down.end);
    area.apply_coord_spec(Cartesian2d::new(0..longest, 0..down.end - down.start, pixels))
}

/// Draws what is said once for all panels.
fn draw_head(area: &Canvas<'_>, title: &str, runs: &[Run]) -> Result<(), Box<dyn Error>> {
    area.draw(&Text::new(title.to_owned(), (MARGIN, TITLE / 2), text(23, HPos::Left)))?;
    let (mut left, y) = (MARGIN, TITLE + LEGEND / 2 - 4);
    for what in What::ALL.into_iter().filter(|&what| runs.iter().any(|run| run.time(what) > 0)) {
        area.draw(&Rectangle::new([(left, y - 7), (left + 14, y + 7)], what.colour().filled()))?;
        area.draw(&Text::new(what.about(), (left + 21, y), text(19, HPos::Left)))?;
        left += 46 + 8 * i32::try_from(what.about().len())?;
    }
    Ok(())
}

/// Draws which way it is, and what came of it.
fn draw_heading(area: &Canvas<'_>, run: &Run) -> Result<(), Box<dyn Error>> {
    let y = HEADING / 2;
    let style = if run.way.is_ours() { FontStyle::Bold } else { FontStyle::Normal };
    let code = ("monospace", 18, style).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(run.code.clone(), (MARGIN, y), code))?;
    let whats = What::ALL.into_iter().filter(|&what| run.time(what) > 0);
    let figures: Vec<_> = whats.map(|what| format!("{:.0} % {}", run.percent(what), what.name())).collect();
    let (futures, results) = (run.log.most_futures, run.log.most_results);
    let figures = format!("{}; holds {}, {}", figures.join(", "), count(futures, "future"), count(results, "result"));
    area.draw(&Text::new(figures, (WIDTH - MARGIN, y), text(19, HPos::Right)))?;
    Ok(())
}

/// Draws the slots, the consumer, and the end.
fn draw_rows(plot: &Plot<'_>, run: &Run, rows: i32) -> Result<(), Box<dyn Error>> {
    for span in &run.log.spans {
        let y = SLOT * i32::try_from(span.slot)?;
        let corners = [(span.from, y), (span.until, y + SLOT - 3)];
        plot.draw(&Rectangle::new(corners, span.what.colour().filled()))?;
    }
    for &(slot, time) in &run.log.starts {
        let y = SLOT * i32::try_from(slot)?;
        plot.draw(&PathElement::new([(time, y), (time, y + SLOT - 3)], WHITE.stroke_width(2)))?;
    }
    for &(from, until) in run.log.consumer.iter().filter(|(from, until)| from < until) {
        let corners = [(from, rows - CONSUMER + 3), (until, rows - 3)];
        plot.draw(&Rectangle::new(corners, DARK.filled()))?;
        plot.draw(&PathElement::new([(from, rows - CONSUMER + 3), (from, rows - 3)], WHITE))?;
    }
    plot.draw(&PathElement::new([(run.total, 0), (run.total, rows)], BLACK.stroke_width(2)))?;
    let total = Text::new(format!("{} ms", run.total), (8, 0), text(20, HPos::Left));
    plot.draw(&(EmptyElement::at((run.total, rows / 2)) + total))?;
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn text(size: u32, x: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(x, VPos::Center))
}
