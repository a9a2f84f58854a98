//! Memory: nothing of a picture's size is allocated in steady state, the bound
//! holds, nothing grows. A counting allocator sees every block of this process.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use common::allocator::{Counting, LARGE, LIVE, PEAK};
use common::trees::{jpeg, tree};
use common::within;
use infeed::{Cache, Fit, Loader, LoaderBuilder};
use tempfile::TempDir;

#[global_allocator]
static COUNTING: Counting = Counting;

/// The counters are the process's, so one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Photographs of several sizes.
fn photographs() -> TempDir {
    tree((0..48_u16).map(|number| {
        let (width, height) = (160 + number % 5 * 40, 120 + number % 3 * 60);
        (format!("{number:02}.jpg"), jpeg(width, height, u32::from(number)))
    }))
}

fn loader(root: &TempDir) -> LoaderBuilder {
    Loader::folder(root.path()).size(96, 96).batch_size(8).threads(2)
}

/// A test that has the counters for itself.
fn alone(body: impl FnOnce() + Send + 'static) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    within(|_| body());
}

#[test]
fn steady_state_allocates_nothing_of_a_pictures_size() {
    alone(|| {
        let root = photographs();
        let mut loader = loader(&root).build().unwrap();
        let mut epochs = loader.epochs(0..9).unwrap();
        let mut large = Vec::new();
        while let Some(epoch) = epochs.next_epoch() {
            let before = LARGE.load(Ordering::Relaxed);
            let images: usize = epoch.map(|batch| batch.unwrap().len()).sum();
            assert_eq!(images, 48);
            large.push(LARGE.load(Ordering::Relaxed) - before);
        }
        // Decoding allocates a few rows of its own for each picture, always less
        // than this; the first epochs fill the pools.
        let late: usize = large[4..].iter().sum();
        assert!(late <= 4, "large blocks by epoch: {large:?}");
    });
}

#[test]
fn a_dropped_batch_lends_its_memory_to_a_later_one() {
    alone(|| {
        let root = photographs();
        let mut loader = loader(&root).build().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for batch in loader.epochs(0..10).unwrap() {
            seen.insert(batch.unwrap().as_slice().as_ptr() as usize);
        }
        assert!(seen.len() <= 3, "prefetch 2 and one held: {} buffers", seen.len());
    });
}

#[test]
fn the_bound_holds_and_nothing_grows() {
    for (threads, prefetch, limit) in
        [(1, 1, None), (2, 2, None), (8, 6, None), (4, 2, Some(24 << 20))]
    {
        alone(move || {
            let root = photographs();
            let before = LIVE.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let mut builder = loader(&root)
                .threads(threads)
                .prefetch(prefetch)
                .max_file_bytes(64 << 10)
                .max_pixels(320 * 240);
            if let Some(bytes) = limit {
                builder = builder.memory_limit(bytes);
            }
            let mut loader = builder.build().unwrap();
            let bound = loader.config().memory.total_bytes;
            assert!(limit.is_none_or(|limit| bound <= limit));
            let mut live = Vec::new();
            let mut epochs = loader.epochs(0..60).unwrap();
            while let Some(mut epoch) = epochs.next_epoch() {
                // A consumer that looks at each batch for a while.
                for batch in &mut epoch {
                    let batch = batch.unwrap();
                    std::hint::black_box(batch.as_slice().iter().sum::<f32>());
                }
                live.push(LIVE.load(Ordering::Relaxed) - before);
            }
            let peak = (PEAK.load(Ordering::Relaxed) - before) as u64;
            assert!(peak <= bound, "a peak of {peak} with {threads} threads, bound {bound}");
            // The pools fill up to what happened to be needed at one time: a batch
            // more at a late moment is no leak. A leak of one thing an epoch, be it
            // a single picture, comes to more than this.
            let (early, late) = (live[20..40].iter().max(), live[40..].iter().max());
            let grown = late.unwrap().saturating_sub(*early.unwrap());
            let batches = loader.config().memory.batches_bytes as usize;
            assert!(grown < batches.min(4_000_000), "live bytes by epoch: {live:?}");
        });
    }
}

#[test]
fn a_cache_keeps_within_the_bound_and_then_allocates_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().to_owned();
    for (threads, cache, side) in [
        (2, Cache::memory(600 << 10), None),
        (8, Cache::memory(2 << 20), None),
        (2, Cache::disk(&dir, 1 << 20), None),
        (4, Cache::disk(&dir, 64 << 20), None),
        (4, Cache::memory(600 << 10), Some(100)),
        (2, Cache::disk(&dir, 64 << 20), Some(100)),
    ] {
        alone(move || {
            let root = photographs();
            let before = LIVE.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let mut builder = loader(&root)
                .threads(threads)
                .max_file_bytes(64 << 10)
                .max_pixels(320 * 240)
                .cache(cache.clone());
            if let Some(side) = side {
                builder = builder.fit(Fit::random_crop()).cache_side(side);
            }
            let mut loader = builder.build().unwrap();
            let bound = loader.config().memory.total_bytes;
            let mut large = Vec::new();
            let mut epochs = loader.epochs(0..12).unwrap();
            while let Some(epoch) = epochs.next_epoch() {
                let earlier = LARGE.load(Ordering::Relaxed);
                assert_eq!(epoch.map(|batch| batch.unwrap().len()).sum::<usize>(), 48);
                large.push(LARGE.load(Ordering::Relaxed) - earlier);
            }
            let peak = (PEAK.load(Ordering::Relaxed) - before) as u64;
            assert!(peak <= bound, "{cache}: a peak of {peak}, bound {bound}");
            let late: usize = large[6..].iter().sum();
            assert!(late <= 4, "{cache}: large blocks by epoch: {large:?}");
            let stats = loader.stats().cache.unwrap();
            assert!(stats.hits > 0 && stats.bytes <= stats.limit_bytes);
        });
    }
}

#[test]
fn a_whole_epoch_can_be_kept() {
    alone(|| {
        let root = photographs();
        let mut loader = loader(&root).build().unwrap();
        let all: Vec<_> = loader.epoch(0).unwrap().collect::<infeed::Result<_>>().unwrap();
        assert_eq!(all.len(), 6);
        let kept = all[0].images().to_owned();
        let again = loader.epoch(1).unwrap().next().unwrap().unwrap();
        assert_eq!(again.images(), kept);
        drop(again);
        let before = LIVE.load(Ordering::Relaxed);
        drop(all);
        let freed = before - LIVE.load(Ordering::Relaxed);
        let batch = 8 * 3 * 96 * 96 * 4;
        assert!(freed >= 3 * batch, "beyond what the pool keeps, memory is freed: {freed}");
        drop(loader);
        // A batch outlives its loader, and takes nothing else along.
    });
}

#[test]
fn a_configuration_above_the_limit_is_refused_with_the_sum() {
    let error = Loader::folder("unused").memory_limit(1 << 20).build().unwrap_err();
    assert_eq!(error.field(), Some("memory_limit"));
    let text = error.to_string();
    for part in ["batches", "encoded files", "decoding", "scratch", "cache", "Raise the limit"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
