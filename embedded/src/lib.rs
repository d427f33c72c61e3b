//! What the programs share: how they end, an executor, and gauges for memory.
//!
//! Each program runs on an emulated Cortex-M3, prints through the debugger, and ends with an exit code. What goes wrong
//! ends it with a failure: a panic, a fault of the processor, a lost wake-up.

#![no_std]

pub mod executor;
#[cfg(feature = "alloc")]
pub mod heap;
pub mod size;
pub mod stack;

// The critical sections of the allocator.
#[cfg(feature = "alloc")]
use cortex_m as _;
use cortex_m_semihosting::debug;

/// Ends the program.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    unreachable!("the debugger continues");
}

/// Prints panics, and ends the program with a failure then, or if the processor reports a fault.
#[macro_export]
macro_rules! report_panics {
    () => {
        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            cortex_m_semihosting::hprintln!("{}", info);
            $crate::exit(false)
        }

        #[cortex_m_rt::exception]
        // SAFETY: it needs nothing of what it may have interrupted, as the program ends here.
        unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
            panic!("{frame:?}")
        }
    };
}
