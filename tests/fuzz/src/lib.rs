//! What the targets have in common: how allocations are measured, and which panics end a run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes that are in use.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(size: usize) {
    let live = LIVE.fetch_add(size, Ordering::Relaxed).wrapping_add(size);
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator with the caller's arguments; counting
// touches no block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes in use at once since the last call, beyond those in use then.
#[cfg(fuzzing)]
fn peak() -> usize {
    static BASE: AtomicUsize = AtomicUsize::new(0);
    let live = LIVE.load(Ordering::Relaxed);
    let peak = PEAK.swap(live, Ordering::Relaxed);
    peak.saturating_sub(BASE.swap(live, Ordering::Relaxed))
}

/// Called once, before the first input. A panic of a decoder crate does not end the process:
/// the target fences it, as a loader does, and judges it.
#[cfg(fuzzing)]
pub fn begin() {
    infeed::fuzzing::measure_by(peak);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let others = panic.location().is_some_and(|at| at.file().contains("/registry/src/"));
        match others {
            true => eprintln!("{panic}"),
            false => report(panic),
        }
    }));
}

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($function:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(init: $crate::begin(), |data: &[u8]| $function(data));

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!("this is run by: cargo +nightly fuzz run --fuzz-dir tests/fuzz");
        }
    };
}
