//! Who wakes: an interrupt at irregular times, for timers and for echoes; and the check that no wake-up gets lost.

use core::cell::{Cell, RefCell};
use core::mem;
use core::ops::Sub;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::task::{Context, Poll, Waker};

use cortex_m::asm;
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use futures_pool_embedded::executor::WOKEN;

/// The most timers set at once.
const TIMERS: usize = 96;

/// So many ticks without a call of a pool are a hang.
const HANG: u32 = 10_000;

/// Whether the program is in a call that polls a pool.
pub static IN_POLL: AtomicBool = AtomicBool::new(false);

/// Whether a pool was told to wake the task, and nobody has turned away from it since.
static ATTENDED: AtomicBool = AtomicBool::new(false);

static TABLE: Mutex<RefCell<Table>> = Mutex::new(RefCell::new(Table {
    clock: None,
    random: Random(1),
    now: 0,
    stalled: 0,
    seen: Seen { in_polls: 0, rests: 0 },
    timers: [const { Timer::Free }; TIMERS],
    echoes: [const { None }; 4],
    next_echo: 0,
}));

/// How many futures have woken themselves and were not polled since.
static YIELDED: Mutex<Cell<usize>> = Mutex::new(Cell::new(0));

struct Table {
    clock: Option<SYST>,
    random: Random,
    now: u32,
    /// Ticks since a pool was last polled.
    stalled: u32,
    seen: Seen,
    timers: [Timer; TIMERS],
    /// Wakers that are called again and again.
    echoes: [Option<Waker>; 4],
    next_echo: usize,
}

/// What has happened so far, or between two times.
#[derive(Clone, Copy)]
pub struct Seen {
    /// Interrupts while a pool was polled.
    pub in_polls: u32,
    /// How often the task went to sleep.
    pub rests: u32,
}

enum Timer {
    Free,
    Set {
        due: u32,
        waker: Waker,
    },
    /// Its future is gone, and will be woken all the same.
    Late {
        due: u32,
        waker: Waker,
    },
    /// Its future was woken, and has not been polled yet.
    Fired,
}

/// A sequence of numbers that look random, the same in every run.
pub struct Random(pub u32);

impl Random {
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % end
    }
}

/// Starts the interrupts.
pub fn start(mut clock: SYST) {
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(1000);
    clock.clear_current();
    clock.enable_interrupt();
    clock.enable_counter();
    with_table(|table| table.clock = Some(clock));
}

fn with_table<T>(look: impl FnOnce(&mut Table) -> T) -> T {
    interrupt::free(|cs| look(&mut TABLE.borrow(cs).borrow_mut()))
}

#[cortex_m_rt::exception]
fn SysTick() {
    with_table(Table::tick);
}

impl Table {
    fn tick(&mut self) {
        self.now += 1;
        self.stalled += 1;
        assert!(self.stalled < HANG, "hung: no call of a pool has ended for {HANG} ticks");
        self.seen.in_polls += u32::from(IN_POLL.load(SeqCst));
        for timer in &mut self.timers {
            let (Timer::Set { due, .. } | Timer::Late { due, .. }) = timer else { continue };
            if *due <= self.now {
                match mem::replace(timer, Timer::Free) {
                    Timer::Set { waker, .. } => {
                        *timer = Timer::Fired;
                        waker.wake();
                    }
                    Timer::Late { waker, .. } => waker.wake(),
                    Timer::Free | Timer::Fired => {}
                }
            }
        }
        for waker in self.echoes.iter().flatten() {
            if self.random.below(4) == 0 {
                waker.wake_by_ref();
            }
        }
        // A random time from now on, so that it comes at any instruction.
        let ticks = 200 + self.random.below(2500);
        if let Some(clock) = &mut self.clock {
            clock.set_reload(ticks);
            clock.clear_current();
        }
    }
}

/// Waits for an interrupt, if the task is not woken.
///
/// # Panics
///
/// If a wake-up was lost: a future was woken, the task was not, and is about to sleep; or nothing is left to wake it.
pub fn rest() {
    interrupt::free(|cs| {
        // No interrupt can come in between; but one that is due ends the wait.
        if WOKEN.load(SeqCst) {
            return;
        }
        let table = &mut *TABLE.borrow(cs).borrow_mut();
        let fired = table.timers.iter().filter(|timer| matches!(timer, Timer::Fired)).count();
        let woken = fired + YIELDED.borrow(cs).get();
        assert!(woken == 0 || !ATTENDED.load(SeqCst), "lost wake-up: {woken} futures were woken, the task was not");
        let is_set = |timer: &Timer| matches!(timer, Timer::Set { .. });
        assert!(
            table.timers.iter().any(is_set),
            "lost wake-up: the task sleeps, and no timer is set that could wake it"
        );
        table.seen.rests += 1;
        asm::wfi();
    });
}

/// Says whether the consumer waits for the pool.
pub fn attend(attends: bool) {
    ATTENDED.store(attends, SeqCst);
}

/// Says that a call of a pool has ended.
pub fn progress() {
    with_table(|table| table.stalled = 0);
}

/// Returns what has happened so far.
pub fn seen() -> Seen {
    with_table(|table| table.seen)
}

impl Sub for Seen {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { in_polls: self.in_polls - earlier.in_polls, rests: self.rests - earlier.rests }
    }
}

/// Counts futures that have woken themselves, or have been polled since.
pub fn count_yielded(change: impl FnOnce(usize) -> usize) {
    interrupt::free(|cs| YIELDED.borrow(cs).set(change(YIELDED.borrow(cs).get())));
}

/// Calls a waker again and again, until others have taken its place.
pub fn echo(waker: &Waker) {
    with_table(|table| {
        table.echoes[table.next_echo] = Some(waker.clone());
        table.next_echo = (table.next_echo + 1) % table.echoes.len();
    });
}

/// Waits until all timers have fired, and forgets all wakers.
pub async fn silence() {
    let last = with_table(|table| {
        let due = table.timers.iter().filter_map(|timer| match timer {
            Timer::Set { due, .. } | Timer::Late { due, .. } => Some(due.saturating_sub(table.now)),
            Timer::Free | Timer::Fired => None,
        });
        due.max().unwrap_or(0)
    });
    Sleep::new(last + 1).await;
    with_table(|table| {
        table.echoes = [const { None }; 4];
        let is_free = |timer: &Timer| matches!(timer, Timer::Free);
        assert!(table.timers.iter().all(is_free), "a future that is gone has left a timer");
    });
}

/// A future that ends when a timer has fired.
pub struct Sleep {
    ticks: u32,
    timer: Option<usize>,
    late: bool,
}

impl Sleep {
    pub fn new(ticks: u32) -> Self {
        Self { ticks, timer: None, late: false }
    }

    /// A random time, up to so many ticks. If it is dropped before, half of them call their wakers all the same.
    pub fn random(random: &mut Random, longest: u32) -> Self {
        Self { late: random.below(2) == 0, ..Self::new(1 + random.below(longest)) }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        with_table(|table| {
            let Some(timer) = self.timer else {
                let free = table.timers.iter().position(|timer| matches!(timer, Timer::Free));
                self.timer = free;
                let due = table.now + self.ticks;
                table.timers[free.expect("too many timers")] = Timer::Set { due, waker: cx.waker().clone() };
                return Poll::Pending;
            };
            if let Timer::Set { waker, .. } = &mut table.timers[timer] {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            table.timers[timer] = Timer::Free;
            self.timer = None;
            Poll::Ready(())
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(timer) = self.timer else { return };
        with_table(|table| {
            let timer = &mut table.timers[timer];
            *timer = match mem::replace(timer, Timer::Free) {
                Timer::Set { due, waker } if self.late => Timer::Late { due, waker },
                _ => Timer::Free,
            };
        });
    }
}
