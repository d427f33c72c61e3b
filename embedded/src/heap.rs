//! The allocator, and how many bytes are allocated.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embedded_alloc::LlffHeap;

const BYTES: usize = 32 * 1024;

#[global_allocator]
static HEAP: Counted = Counted { allocator: LlffHeap::empty(), held: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

struct Counted {
    allocator: LlffHeap,
    held: AtomicUsize,
    peak: AtomicUsize,
}

/// Hands the allocator its memory. To be called once, before anything is allocated.
pub fn init() {
    static mut MEMORY: [MaybeUninit<u8>; BYTES] = [MaybeUninit::uninit(); BYTES];
    // SAFETY: nothing else names this memory, and a second call panics.
    unsafe { HEAP.allocator.init(&raw mut MEMORY as usize, BYTES) }
}

/// Returns how many bytes are allocated.
pub fn held() -> usize {
    HEAP.held.load(Relaxed)
}

/// Returns how many more bytes than now were allocated at most while the closure ran.
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = held();
    HEAP.peak.store(before, Relaxed);
    let output = run();
    (output, HEAP.peak.load(Relaxed) - before)
}

// SAFETY: this only counts what the allocator inside does.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = self.held.fetch_add(layout.size(), Relaxed) + layout.size();
        self.peak.fetch_max(held, Relaxed);
        // SAFETY: the caller promises what the allocator asks.
        unsafe { self.allocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller promises what the allocator asks.
        unsafe { self.allocator.dealloc(pointer, layout) }
    }
}
