//! What an item costs: instructions, and the most bytes of heap and of stack; and what it costs to wake one of many.
//!
//! The figures are the same in every run, as the emulated clock counts instructions. It fails if one of them is above its
//! limit in [`LIMITS`].

#![no_std]
#![no_main]

use core::arch::asm;
use core::cell::RefCell;
use core::fmt;
use core::hint::black_box;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};

use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_semihosting::{hprint, hprintln};
use futures_pool::inline::{InlinePool, SlotCount, Slots};
use futures_pool::prelude::*;
use futures_pool_embedded::executor::{block_on, nothing_outside};
use futures_pool_embedded::{exit, stack};
use futures_util::stream::{self, StreamExt};

futures_pool_embedded::report_panics!();

/// An item is what this many more of them take, divided by their number.
const ITEMS: u32 = 512;

const SIZES: [usize; 3] = [1, 4, 16];

/// What must not be exceeded where the programs are optimised for speed: form, workload, and at each of the sizes
/// instructions an item, bytes of heap, bytes of stack. A few per cent above what it was when it was last set; the heap is
/// exact.
const LIMITS: &[(&str, &str, [u32; 3], [usize; 3], [usize; 3])] = &[
    (UNORDERED, READY, [240, 240, 240], [120, 248, 600], [820, 820, 820]),
    (UNORDERED, YIELD, [345, 330, 327], [120, 252, 828], [820, 820, 820]),
    (ORDERED, READY, [275, 275, 275], [120, 248, 600], [820, 820, 820]),
    (ORDERED, YIELD, [380, 365, 362], [120, 252, 828], [820, 820, 820]),
    (POOL, READY, [327, 313, 313], [216, 408, 1368], [860, 860, 860]),
    (POOL, YIELD, [476, 421, 416], [216, 348, 1020], [860, 860, 860]),
    (INLINE_UNORDERED, READY, [270, 291, 318], [0; 3], [600, 980, 2520]),
    (INLINE_UNORDERED, YIELD, [345, 380, 428], [0; 3], [600, 980, 2520]),
    (INLINE_ORDERED, READY, [279, 300, 327], [0; 3], [550, 830, 1980]),
    (INLINE_ORDERED, YIELD, [394, 441, 490], [0; 3], [550, 830, 1980]),
    (INLINE_POOL, READY, [308, 325, 355], [0; 3], [570, 930, 2360]),
    (INLINE_POOL, YIELD, [560, 436, 491], [0; 3], [570, 930, 2360]),
];

const READY: &str = "ready";
const YIELD: &str = "yield-1";
const WORKLOADS: [(&str, u8); 2] = [(READY, 0), (YIELD, 1)];

const UNORDERED: &str = "pool_map(..).unordered()";
const ORDERED: &str = "pool_map(..)";
const POOL: &str = "Pool, topped up";
const INLINE_UNORDERED: &str = "pool_map_inline(..).unordered()";
const INLINE_ORDERED: &str = "pool_map_inline(..)";
const INLINE_POOL: &str = "InlinePool, topped up";

/// Runs so many items that yield so often, and returns their sum.
type Run = fn(u32, u8) -> u32;

/// How many bytes the pool or stream itself has that ran last.
static VALUE: AtomicUsize = AtomicUsize::new(0);

/// Returns the sum of a stream, which is pinned where it is made.
macro_rules! sum {
    ($stream:expr) => {{
        let mut stream = pin!($stream);
        VALUE.store(size_of_val(&*stream), Relaxed);
        let run = async {
            let mut sum = 0;
            while let Some(value) = stream.next().await {
                sum += value;
            }
            sum
        };
        block_on(run, wake_one)
    }};
}

/// The contestants at one size.
fn contestants<W: Work, const N: usize>() -> &'static [(&'static str, Run)]
where
    Slots<N>: SlotCount,
{
    &[
        #[cfg(feature = "alloc")]
        (UNORDERED, with_alloc::unordered::<W, N>),
        #[cfg(feature = "alloc")]
        (ORDERED, with_alloc::ordered::<W, N>),
        #[cfg(feature = "alloc")]
        (POOL, with_alloc::pool::<W, N>),
        #[cfg(feature = "alloc")]
        ("futures buffer_unordered", with_alloc::buffer_unordered::<W, N>),
        #[cfg(feature = "alloc")]
        ("futures buffered", with_alloc::buffered::<W, N>),
        (INLINE_UNORDERED, inline_unordered::<W, N>),
        (INLINE_ORDERED, inline_ordered::<W, N>),
        (INLINE_POOL, inline_pool::<W, N>),
        ("by hand, all polled each time", by_hand::<W, N>),
    ]
}

#[cfg(feature = "alloc")]
mod with_alloc {
    use futures_pool::Pool;

    use super::{IterPoolExt, Relaxed, StreamExt, VALUE, Work, block_on, pin, stream, wake_one};

    pub(super) fn unordered<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
        sum!((0..items).pool_map(N, |value| W::new(value, yields)).unordered())
    }

    pub(super) fn ordered<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
        sum!((0..items).pool_map(N, |value| W::new(value, yields)))
    }

    pub(super) fn pool<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
        let mut pool = pin!(Pool::new(N));
        VALUE.store(size_of_val(&*pool), Relaxed);
        let run = async {
            let mut sum = 0;
            for value in 0..items {
                if pool.is_full() {
                    sum += pool.next().await.map_or(0, |(_, value)| value);
                }
                pool.spawn_n(W::new(value, yields));
            }
            while let Some((_, value)) = pool.next().await {
                sum += value;
            }
            sum
        };
        block_on(run, wake_one)
    }

    pub(super) fn buffer_unordered<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
        sum!(stream::iter(0..items).map(|value| W::new(value, yields)).buffer_unordered(N))
    }

    pub(super) fn buffered<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
        sum!(stream::iter(0..items).map(|value| W::new(value, yields)).buffered(N))
    }
}

fn inline_unordered<W: Work, const N: usize>(items: u32, yields: u8) -> u32
where
    Slots<N>: SlotCount,
{
    sum!((0..items).pool_map_inline(Slots::<N>, |value| W::new(value, yields)).unordered())
}

fn inline_ordered<W: Work, const N: usize>(items: u32, yields: u8) -> u32
where
    Slots<N>: SlotCount,
{
    sum!((0..items).pool_map_inline(Slots::<N>, |value| W::new(value, yields)))
}

fn inline_pool<W: Work, const N: usize>(items: u32, yields: u8) -> u32
where
    Slots<N>: SlotCount,
{
    let mut pool = pin!(InlinePool::<_, N, N>::new());
    VALUE.store(size_of_val(&*pool), Relaxed);
    let run = async {
        let mut sum = 0;
        for value in 0..items {
            if pool.len() == N {
                sum += pool.next().await.map_or(0, |(_, value)| value);
            }
            _ = pool.as_mut().try_spawn(W::new(value, yields));
        }
        while let Some((_, value)) = pool.next().await {
            sum += value;
        }
        sum
    };
    block_on(run, wake_one)
}

/// The least that could do: an array, and no wakers of its own. Each future is polled whenever any was woken.
fn by_hand<W: Work, const N: usize>(items: u32, yields: u8) -> u32 {
    let mut works = (0..items).map(|value| W::new(value, yields));
    let (mut active, mut next) = ([const { None::<W> }; N], 0);
    sum!(stream::poll_fn(move |cx| {
        for _ in 0..N {
            next = if next + 1 < N { next + 1 } else { 0 };
            if active[next].is_none() {
                active[next] = works.next();
            }
            if let Some(work) = &mut active[next] {
                if let Poll::Ready(value) = Pin::new(work).poll(cx) {
                    active[next] = None;
                    return Poll::Ready(Some(value));
                }
            }
        }
        if active.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
    }))
}

/// A future that gives a value.
trait Work: Future<Output = u32> + Unpin + 'static {
    /// One that wakes itself so often before, if it is of that kind.
    fn new(value: u32, yields: u8) -> Self;
}

/// Gives its value after it has woken itself so often.
struct Yields {
    value: u32,
    yields: u8,
}

impl Work for Yields {
    fn new(value: u32, yields: u8) -> Self {
        Self { value, yields }
    }
}

impl Future for Yields {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        if self.yields == 0 {
            return Poll::Ready(self.value);
        }
        self.yields -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Gives its value when it has been told.
struct Waits {
    value: u32,
    /// Its place in the table of those that wait.
    place: Option<usize>,
}

impl Work for Waits {
    fn new(value: u32, _: u8) -> Self {
        Self { value, place: None }
    }
}

impl Future for Waits {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        interrupt::free(|cs| {
            let places = &mut WAITING.borrow(cs).borrow_mut().places;
            if let Some(place) = self.place {
                return if places[place].is_none() { Poll::Ready(self.value) } else { Poll::Pending };
            }
            self.place = places.iter().position(Option::is_none);
            places[self.place.expect("as many places as futures")] = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// The wakers of those that wait; a place is empty when its future has been told.
static WAITING: Mutex<RefCell<Waiting>> = Mutex::new(RefCell::new(Waiting { places: [const { None }; 32], random: 1 }));

struct Waiting {
    places: [Option<Waker>; 32],
    random: u32,
}

/// Tells one of those that wait, at random.
///
/// # Panics
///
/// If none does: then nothing will wake the task.
fn wake_one() {
    interrupt::free(|cs| {
        let waiting = &mut *WAITING.borrow(cs).borrow_mut();
        waiting.random = waiting.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let places = waiting.places.len();
        let first = (waiting.random >> 16) as usize % places;
        for place in 0..places {
            if let Some(waker) = waiting.places[(first + place) % places].take() {
                return waker.wake();
            }
        }
        nothing_outside();
    });
}

struct Figures {
    instructions: u32,
    heap: usize,
    stack: usize,
    value: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {} ({})", self.instructions, self.heap, self.stack, self.value)
    }
}

/// Counts instructions by a timer of the processor, which advances at a steady rate for each.
struct Counter {
    timer: SYST,
    /// How many ticks 1024 instructions take.
    ticks: u32,
}

impl Counter {
    const TOP: u32 = 0x00FF_FFFF;

    fn new(mut timer: SYST) -> Self {
        timer.set_reload(Self::TOP);
        timer.set_clock_source(SystClkSource::Core);
        timer.enable_counter();
        let mut counter = Self { timer, ticks: 1024 };
        let [few, more] =
            [1000, 1000 + 512 * 1024 / 2].map(|rounds| counter.count(|| loop_of_two_instructions(rounds)));
        counter.ticks = (more - few) / 512;
        counter
    }

    /// Returns how many instructions the closure took, and a few.
    fn count(&mut self, run: impl FnOnce()) -> u32 {
        self.timer.clear_current();
        let before = SYST::get_current();
        run();
        // It counts down, from 0 to the top again, and has been set to 0.
        let ticks = before.wrapping_sub(SYST::get_current()) & Self::TOP;
        assert!(!self.timer.has_wrapped(), "too long to be counted");
        u32::try_from(u64::from(ticks) * 1024 / u64::from(self.ticks)).expect("there are fewer instructions than ticks")
    }

    fn figures(&mut self, run: Run, yields: u8) -> Figures {
        let instructions = self.instructions(run, yields);
        let (((), heap), stack) = stack::peak(|| heap_peak(|| _ = black_box(run)(ITEMS, yields)));
        Figures { instructions, heap, stack, value: VALUE.load(Relaxed) }
    }

    fn instructions(&mut self, run: Run, yields: u8) -> u32 {
        let [few, more] = [ITEMS, 2 * ITEMS].map(|items| {
            let expected = items * (items - 1) / 2;
            self.count(|| assert_eq!(black_box(run)(items, yields), expected))
        });
        (more - few) / ITEMS
    }
}

#[inline(never)]
fn loop_of_two_instructions(rounds: u32) {
    // SAFETY: counts down a register.
    unsafe { asm!("2: subs {0}, #1", "bne 2b", inout(reg) rounds => _, options(nomem, nostack)) }
}

fn heap_peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    #[cfg(feature = "alloc")]
    return futures_pool_embedded::heap::peak(run);
    #[cfg(not(feature = "alloc"))]
    (run(), 0)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "alloc")]
    futures_pool_embedded::heap::init();
    let peripherals = cortex_m::Peripherals::take().expect("nobody else takes them");
    let mut counter = Counter::new(peripherals.SYST);
    let mut kept = true;
    hprintln!(
        "Instructions an item / peak bytes of heap / of stack (of which the value itself); opt-level {}.\n",
        env!("OPT_LEVEL")
    );
    hprintln!("| contestant | workload | size {} | size {} | size {} |", SIZES[0], SIZES[1], SIZES[2]);
    hprintln!("|:---|:---|--:|--:|--:|");
    let all = [
        contestants::<Yields, { SIZES[0] }>(),
        contestants::<Yields, { SIZES[1] }>(),
        contestants::<Yields, { SIZES[2] }>(),
    ];
    for (workload, yields) in WORKLOADS {
        for index in 0..all[0].len() {
            let name = all[0][index].0;
            let figures = all.map(|contestants| counter.figures(contestants[index].1, yields));
            hprintln!("| {} | {} | {} | {} | {} |", name, workload, figures[0], figures[1], figures[2]);
            let limits = LIMITS.iter().find(|limits| (limits.0, limits.1) == (name, workload));
            let Some(&(_, _, instructions, heap, stack)) = limits.filter(|_| env!("OPT_LEVEL") == "3") else {
                continue;
            };
            for (at, found) in figures.iter().enumerate() {
                if found.instructions > instructions[at] || found.heap > heap[at] || found.stack > stack[at] {
                    kept = false;
                    let (size, limits) = (SIZES[at], (instructions[at], heap[at], stack[at]));
                    hprintln!("   above the limits at size {}: {} / {} / {}", size, limits.0, limits.1, limits.2);
                }
            }
        }
    }
    hprintln!("\nInstructions an item, where all wait and a random one is woken.\n");
    hprintln!("| contestant | size 1 | size 2 | size 4 | size 8 | size 16 | size 32 |\n|:---|--:|--:|--:|--:|--:|--:|");
    let more = [
        contestants::<Waits, 1>(),
        contestants::<Waits, 2>(),
        contestants::<Waits, 4>(),
        contestants::<Waits, 8>(),
        contestants::<Waits, 16>(),
        contestants::<Waits, 32>(),
    ];
    for (index, (name, _)) in more[0].iter().enumerate() {
        hprint!("| {name} |");
        for contestants in more {
            hprint!(" {} |", counter.instructions(contestants[index].1, 0));
        }
        hprintln!();
    }
    exit(kept)
}
