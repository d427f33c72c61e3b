//! How much of the stack is used.

use core::arch::asm;

/// What the free stack is filled with.
const PAINT: u32 = 0x5AFE_5AFE;

/// Returns how many bytes of the stack the closure used at most, what it returned included.
///
/// # Panics
///
/// If nothing is left of the stack.
#[inline(never)]
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let bottom = cortex_m_rt::heap_start();
    let top: *mut u32;
    // SAFETY: between the statics and the stack pointer is memory that nobody uses; interrupts, who might, are not enabled
    // in a program that counts.
    unsafe {
        asm!(
            "mov {top}, sp",
            "2: cmp {address}, {top}",
            "it lo",
            "strlo {paint}, [{address}], #4",
            "blo 2b",
            address = inout(reg) bottom => _,
            top = out(reg) top,
            paint = in(reg) PAINT,
            options(nostack),
        );
    }
    let output = run();
    let mut lowest = bottom;
    // SAFETY: as above; it is only read, and has been written.
    while lowest < top && unsafe { lowest.read_volatile() } == PAINT {
        lowest = lowest.wrapping_add(1);
    }
    assert!(lowest > bottom, "stack overflow");
    (output, top as usize - lowest as usize)
}
