//! What the targets have in common: how allocations are measured, and which panics end a run.

#[path = "../../common/allocator.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod allocator;

use allocator::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes in use at once since the last call, beyond those in use then.
#[cfg(fuzzing)]
fn peak() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use allocator::{LIVE, PEAK};

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
