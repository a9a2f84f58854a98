//! An allocator that counts what is taken, and refuses large blocks when told to. Each
//! test binary that wants it declares it:
//! `#[global_allocator] static COUNTING: Counting = Counting;`
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Counting;

/// Bytes that are taken now.
pub(crate) static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most that there were at once.
pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Blocks of [`LARGE_BYTES`] and more so far.
pub(crate) static LARGE: AtomicUsize = AtomicUsize::new(0);
/// The largest of these, in bytes.
pub(crate) static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// Blocks of more bytes are refused.
pub(crate) static REFUSED_ABOVE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Smaller blocks are names, tasks and tables.
pub(crate) const LARGE_BYTES: usize = 48 << 10;

impl Counting {
    /// Counts a block; false when it is refused.
    fn takes(size: usize) -> bool {
        if size > REFUSED_ABOVE.load(Ordering::Relaxed) {
            return false;
        }
        let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
        PEAK.fetch_max(live, Ordering::Relaxed);
        if size >= LARGE_BYTES {
            LARGE.fetch_add(1, Ordering::Relaxed);
            LARGEST.fetch_max(size, Ordering::Relaxed);
        }
        true
    }
}

/// What `body` takes at the most, beyond what was taken before.
pub(crate) fn peak_of<R>(body: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = body();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

// SAFETY: every call goes to the system's allocator with the caller's arguments, or
// tells by a null pointer that there is no memory; counting touches no block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Counting::takes(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !Counting::takes(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both count at the peak, as if it were copied.
        if !Counting::takes(size) {
            return std::ptr::null_mut();
        }
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
