//! Wakes futures of a pool from another thread, a thousand million times, and checks that no wake-up is lost.
//!
//! ```text
//! cargo run --release --example soak
//! cargo run --release --example soak -- --wakes 1e7 --size 64 --set unordered --seed 7
//! ```
//!
//! For each `--size`, one thread polls a pool, and parks when it is told to. The other wakes futures at random: mostly by
//! the waker of their last poll, now and then once more by one that it had kept, which is late. Futures wake themselves
//! and each other, too, finish after a few polls, and are replaced immediately, so that slots are reused all the time.
//!
//! Each future sits at a desk. Who wakes it first puts a ticket there, and each poll takes all the tickets at its desk.
//! The thread that wakes does so in rounds of random length, and after each it waits until the tickets that it gave are
//! taken; every now and then, all tickets. The program ends with exit code 1
//!
//! - if a ticket lies at its desk for 20 seconds while nobody is woken: a wake-up was lost;
//! - if at rest not as many futures are active as there may be, or ever are more; if a call polls more than 64, or
//!   futures are polled more often than they were started and woken; if a result is missing or there twice;
//! - if the memory that is resident grows by more than 1 MiB after the first tenth. It is read from `/proc`; where there
//!   is none, that is not checked.
//!
//! In between it may take as long as it likes: on one processor, under valgrind, or on a machine that is busy.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{fs, hint, process};

use clap::{Parser, ValueEnum};
use fastrand::Rng;
use futures::Stream;
use futures_pool::prelude::*;
use futures_pool::{PoolMap, SlotSet, UnorderedSet};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Wakes futures of a pool from another thread for a long time, and checks that every wake-up leads to a poll.
#[derive(Parser)]
struct Args {
    /// How many wake-ups by the other thread there are in all, also written 1e9 or `1_000_000_000`; the sizes share them
    #[arg(long, default_value = "1e9", value_parser = parse_count)]
    wakes: u64,
    /// How many futures are active at once; may be given several times [default: 1, 64, 1024]
    #[arg(long = "size", value_name = "SIZE")]
    sizes: Vec<usize>,
    /// The active set of the pool
    #[arg(long, value_enum, default_value_t = Set::Slot)]
    set: Set,
    /// The seed of all that is random but for the threads
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Set {
    /// `SlotSet`, the default of the library
    Slot,
    /// `UnorderedSet`
    Unordered,
}

/// After so long a ticket that nobody takes is one whose wake-up was lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most futures that one call may poll.
const POLLS: u64 = 64;

/// By how many bytes the memory may grow.
const GROWTH: u64 = 1 << 20;

/// How many wakers the other thread keeps, to wake by them when it is too late.
const KEPT: usize = 32;

/// How many turns a thread waits for the other before it sleeps, or lets another one have the processor.
const TURNS: u32 = 128;

/// The longest rounds of wake-ups. The short ones find the other thread asleep, the long ones at work.
const ROUNDS: [usize; 4] = [1, 8, 64, 1024];

fn main() {
    let args = Args::parse();
    let sizes = if args.sizes.is_empty() { &[1, 64, 1024] } else { &args.sizes[..] };
    for size in sizes {
        // 0 is taken as 1, as by the pool.
        soak((*size).max(1), args.wakes.div_ceil(sizes.len() as u64), args.set, args.seed);
    }
    println!("checked: no wake-up is lost, no slot stands empty, no memory is left behind");
}

/// Runs a pool of one size on this thread, and wakes its futures from another one.
fn soak(size: usize, wakes: u64, set: Set, seed: u64) {
    let hall = Hall {
        desks: (0..size).map(|_| Desk::default()).collect(),
        is_enough: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    };
    let mut rng = Rng::with_seed(seed);
    let staff = Staff {
        hall: &hall,
        vacant: RefCell::new((0..size).collect()),
        rng: RefCell::new(rng.fork()),
        started: Cell::new(0),
        polls: Cell::new(0),
        inside: Cell::new(0),
    };
    let other = Waking { hall: &hall, rng: rng.fork(), kept: Vec::new(), woken: Woken::default() };
    let bar = progress_bar(size, wakes);
    let start = Instant::now();
    let (polled, woken) = thread::scope(|scope| {
        let other = scope.spawn(|| other.run(wakes, &bar));
        let numbers = (0..).take_while(|_| !hall.is_enough.load(Relaxed));
        let workers = numbers.pool_map(size, |number| staff.worker(number));
        let polled = match set {
            Set::Slot => poll_all(workers.with_set(SlotSet).unordered(), &staff, rng),
            Set::Unordered => poll_all(workers.with_set(UnorderedSet).unordered(), &staff, rng),
        };
        hall.is_over.store(true, Relaxed);
        (polled, other.join().expect("the other thread does not panic"))
    });
    bar.finish_and_clear();
    report(size, set, &staff, &polled, &woken, start.elapsed());
}

fn progress_bar(size: usize, wakes: u64) -> ProgressBar {
    let template = "size {msg:4} {bar:40} {human_pos}/{human_len} wake-ups, {per_sec}, {eta} to go";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::new(wakes).with_style(style).with_message(size.to_string())
}

/// Ends the program if something is not as it should be. Nothing less would do, as the other thread may sleep for good.
fn check(holds: bool, message: impl FnOnce() -> String) {
    if !holds {
        eprintln!("error: {}", message());
        process::exit(1);
    }
}

/// What both threads know.
struct Hall {
    desks: Vec<Desk>,
    /// The thread that wakes has woken often enough: no more futures are started.
    is_enough: AtomicBool,
    /// All futures have finished.
    is_over: AtomicBool,
}

/// Where a future sits, and after it the next one.
#[derive(Default)]
struct Desk {
    /// How many tickets were ever put here.
    given: AtomicU64,
    /// How many of them were taken; [`VACANT`] if no future sits here.
    taken: AtomicU64,
    /// The waker of the last poll.
    waker: Mutex<Option<Waker>>,
}

const VACANT: u64 = u64::MAX;

impl Desk {
    /// Puts a ticket here, and wakes who sits here. Returns how many tickets there have been.
    ///
    /// The ticket itself orders nothing: it is for the wake-up to make sure that the poll sees it.
    fn wake(&self) -> u64 {
        let given = self.given.fetch_add(1, Relaxed) + 1;
        if let Some(waker) = &*self.waker.lock().unwrap() {
            waker.wake_by_ref();
        }
        given
    }

    /// The future's side of it: takes all the tickets, and leaves the waker for those to come.
    fn take(&self, waker: &Waker) {
        // First the waker. A ticket that comes before it is seen below, and one that comes after it wakes this waker.
        match &mut *self.waker.lock().unwrap() {
            Some(left) => left.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.taken.store(self.given.load(Relaxed), Relaxed);
    }

    fn is_taken(&self, given: u64) -> bool {
        self.taken.load(Relaxed) >= given
    }
}

/// What the thread that polls keeps to itself.
struct Staff<'a> {
    hall: &'a Hall,
    vacant: RefCell<Vec<usize>>,
    rng: RefCell<Rng>,
    /// How many futures were started.
    started: Cell<u64>,
    polls: Cell<u64>,
    /// Wake-ups by futures, of themselves and each other.
    inside: Cell<u64>,
}

/// A future that finishes after some polls.
struct Worker<'a> {
    number: u64,
    desk: usize,
    polls_to_go: u32,
    staff: &'a Staff<'a>,
}

impl Staff<'_> {
    fn worker(&self, number: u64) -> Worker<'_> {
        add(&self.started, 1);
        let desk = self.vacant.borrow_mut().pop();
        check(desk.is_some(), || "more futures are started than may be active".into());
        let desk = desk.expect("that was checked");
        Worker { number, desk, polls_to_go: self.rng.borrow_mut().u32(1..=6), staff: self }
    }
}

impl Future for Worker<'_> {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let staff = self.staff;
        let desk = &staff.hall.desks[self.desk];
        add(&staff.polls, 1);
        desk.take(cx.waker());
        self.polls_to_go -= 1;
        if self.polls_to_go == 0 {
            desk.taken.store(VACANT, Relaxed);
            staff.vacant.borrow_mut().push(self.desk);
            return Poll::Ready(self.number);
        }
        let mut rng = staff.rng.borrow_mut();
        let woken = match rng.u8(..16) {
            0 => Some(desk),
            1 => Some(&staff.hall.desks[rng.usize(..staff.hall.desks.len())]),
            _ => None,
        };
        if let Some(desk) = woken {
            add(&staff.inside, 1);
            desk.wake();
        }
        Poll::Pending
    }
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// Parks the thread that it was made on.
struct Parker {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Parker {
    /// Waits to be woken; for some turns it stays awake, since to sleep takes much longer than to be woken by then.
    fn park(&self, turns: u32) {
        for _ in 0..turns {
            if self.is_woken.load(SeqCst) {
                return;
            }
            hint::spin_loop();
        }
        while !self.is_woken.load(SeqCst) {
            thread::park();
        }
    }
}

/// Polls a stream to its end. Whenever the pool is at rest, checks that its slots are full.
fn poll_all<M: Unpin>(mut stream: PoolMap<M, u64>, staff: &Staff<'_>, mut rng: Rng) -> Polled {
    let parker = Arc::new(Parker { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parker));
    let size = staff.hall.desks.len();
    let mut polled = Polled::default();
    loop {
        parker.is_woken.store(false, SeqCst);
        let before = staff.polls.get();
        let poll = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        let polls = staff.polls.get() - before;
        check(polls <= POLLS, || format!("one call has polled {polls} futures"));
        if let Poll::Ready(Some(number)) = poll {
            polled.results += 1;
            polled.sum = polled.sum.wrapping_add(number);
        }
        let at_rest = match poll {
            Poll::Pending => !parker.is_woken.load(SeqCst),
            // Unless it has used up its polls, of which the late wake-ups cost some, too; or as many results are held as may be.
            Poll::Ready(Some(_)) => polls < POLLS / 2 && stream.finished() < size,
            Poll::Ready(None) => return polled,
        };
        if at_rest {
            polled.checks += 1;
            let active = stream.active();
            let held = staff.started.get() - polled.results - stream.finished() as u64;
            let all = if staff.hall.is_enough.load(Relaxed) { active } else { size };
            check(active == all && active as u64 == held, || {
                format!("at rest, {active} futures are active; the size is {size}, and {held} have not finished")
            });
        }
        if poll.is_pending() {
            // Now and then immediately, so that wake-ups come on the way to sleep.
            parker.park(if rng.u8(..) == 0 { 0 } else { rng.u32(..TURNS) });
        }
    }
}

/// What the thread that polls has seen.
#[derive(Default)]
struct Polled {
    results: u64,
    /// The sum of all results.
    sum: u64,
    /// How often the pool was at rest, and found full.
    checks: u64,
}

/// The thread that wakes.
struct Waking<'a> {
    hall: &'a Hall,
    rng: Rng,
    /// Wakers of some while ago.
    kept: Vec<Waker>,
    woken: Woken,
}

/// What it has done.
#[derive(Default)]
struct Woken {
    /// How many tickets it gave.
    wakes: u64,
    /// How often it woke without a ticket, by a waker that it had kept.
    late: u64,
    /// How many bytes were resident after the first tenth, and at the end.
    memory: Option<(u64, u64)>,
}

impl Waking<'_> {
    /// Wakes so often; then on, until all futures have finished.
    fn run(mut self, wakes: u64, bar: &ProgressBar) -> Woken {
        let desks = self.hall.desks.len();
        let (mut early, mut round, mut rounds) = (None, Vec::new(), 0_usize);
        while !self.hall.is_over.load(Relaxed) {
            // So that the first one comes at each moment of the way to sleep.
            for _ in 0..self.rng.u32(..32) {
                hint::spin_loop();
            }
            for _ in 0..self.rng.usize(1..=ROUNDS[rounds % ROUNDS.len()]) {
                let desk = &self.hall.desks[self.rng.usize(..desks)];
                self.keep(desk);
                self.woken.wakes += 1;
                round.push((desk, desk.wake()));
            }
            for (desk, given) in round.drain(..) {
                self.wait(desk, given);
            }
            if rounds % (desks / 64 + 1) == 0 {
                self.wait_for_all();
            }
            rounds += 1;
            if rounds % 256 == 0 {
                bar.set_position(self.woken.wakes.min(wakes));
            }
            if early.is_none() && self.woken.wakes >= wakes / 10 {
                early = resident();
            }
            if self.woken.wakes >= wakes && !self.hall.is_enough.load(Relaxed) {
                self.wait_for_all();
                self.woken.memory = early.zip(resident());
                self.hall.is_enough.store(true, Relaxed);
            }
        }
        self.woken
    }

    /// Now and then, keeps the waker at a desk, and wakes by one that was kept before.
    fn keep(&mut self, desk: &Desk) {
        if self.rng.u8(..) >= 8 {
            return;
        }
        let waker = desk.waker.lock().unwrap().clone();
        self.kept.extend(waker);
        if self.kept.len() > KEPT {
            let late = self.kept.swap_remove(self.rng.usize(..KEPT));
            self.woken.late += 1;
            late.wake();
        }
    }

    fn wait_for_all(&self) {
        for desk in &self.hall.desks {
            self.wait(desk, desk.given.load(Relaxed));
        }
    }

    /// Waits until the tickets at a desk are taken, or nobody is left to take them.
    fn wait(&self, desk: &Desk, given: u64) {
        let mut start = None;
        for turn in 1_u32.. {
            if desk.is_taken(given) || self.hall.is_over.load(Relaxed) {
                return;
            }
            hint::spin_loop();
            if turn % TURNS == 0 {
                let start = start.get_or_insert_with(Instant::now);
                check(start.elapsed() < PATIENCE, || {
                    let wakes = HumanCount(self.woken.wakes);
                    format!("a future was not polled after it was woken; that was about wake-up {wakes}")
                });
                thread::yield_now();
            }
        }
    }
}

/// How many bytes of memory are resident.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? * 1024)
}

/// Checks what there is of a size when it is over, and prints it.
fn report(size: usize, set: Set, staff: &Staff<'_>, polled: &Polled, woken: &Woken, took: Duration) {
    let (started, polls, inside) = (staff.started.get(), staff.polls.get(), staff.inside.get());
    let per_second = u128::from(woken.wakes) * 1_000_000 / took.as_micros().max(1);
    let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
    println!("size {size}, {:.1} s", took.as_secs_f64());
    println!("{:>17}  wake-ups by the other thread, {} a second", count(woken.wakes), count(per_second));
    println!("{:>17}  by futures, of themselves and each other", count(inside));
    println!("{:>17}  late ones", count(woken.late));
    println!("{:>17}  polls", count(polls));
    println!("{:>17}  futures", count(started));
    println!("{:>17}  times at rest, with all slots full", count(polled.checks));
    if let Some((early, end)) = woken.memory {
        println!("{:>17}  resident after the first tenth", HumanBytes(early).to_string());
        println!("{:>17}  resident at the end", HumanBytes(end).to_string());
        check(end <= early + GROWTH, || format!("the memory has grown by more than {}", HumanBytes(GROWTH)));
    }
    check(polled.results == started, || format!("{} results of {started} futures", polled.results));
    let sum = (0..started).fold(0, u64::wrapping_add);
    check(polled.sum == sum, || "a result is missing, and another one there twice".into());
    let starts = match set {
        Set::Slot => started,
        // It polls a future twice to start it.
        Set::Unordered => 2 * started,
    };
    let reasons = starts + woken.wakes + woken.late + inside;
    check(polls <= reasons, || format!("{polls} polls, where there was reason for {reasons}"));
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

fn parse_count(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let (digits, zeros) = digits.split_once(['e', 'E']).unwrap_or((&digits, "0"));
    let number = || {
        let power = 10_u64.checked_pow(zeros.parse().ok()?)?;
        digits.parse::<u64>().ok()?.checked_mul(power)
    };
    number().ok_or_else(|| "not a number such as 1000000, 1_000_000 or 1e6".to_owned())
}
