//! What each stage did and what it waited for.
//!
//! Every stage counts items and bytes and splits its threads' time in three:
//! busy, waiting for input (the stage before is slower) and waiting for output
//! (the stage behind is slower, or a byte budget is used up). Times of several
//! threads add up, so two busy decoders count two seconds a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::digest::Digest;

/// One stage's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StageStats {
    /// What passed the stage: files, samples, batches.
    pub items: u64,
    /// Bytes that the stage put out: encoded bytes for `read`, pixels for
    /// `decode`, elements for `transform` and `batch`.
    pub bytes: u64,
    /// Time spent working.
    #[serde(rename = "busy_seconds", serialize_with = "seconds")]
    pub busy: Duration,
    /// Time spent waiting for the stage before.
    #[serde(rename = "waiting_for_input_seconds", serialize_with = "seconds")]
    pub waiting_for_input: Duration,
    /// Time spent waiting for the stage behind, or for a byte budget.
    #[serde(rename = "waiting_for_output_seconds", serialize_with = "seconds")]
    pub waiting_for_output: Duration,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl StageStats {
    fn plus(self, other: Self) -> Self {
        StageStats {
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
            busy: self.busy + other.busy,
            waiting_for_input: self.waiting_for_input + other.waiting_for_input,
            waiting_for_output: self.waiting_for_output + other.waiting_for_output,
        }
    }
}

/// The stages in the order in which data moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stages {
    /// The walk of the source, once per loader. Items are samples found.
    pub walk: StageStats,
    /// Readers. Input is the walk; output is room in the window and in the
    /// budget of encoded bytes: a reader that waits for output is ahead.
    pub read: StageStats,
    /// Decoder threads. Input is a file that has been read; output is the
    /// budget of decoded pixels, and a cache that is being given some.
    pub decode: StageStats,
    /// The same threads, from pixels to the row of the batch.
    pub transform: StageStats,
    /// The consumer's side. Items are batches; busy is the assembly; waiting
    /// for input is the time the consumer waited for a batch; waiting for
    /// output is the time it was away with one.
    pub batch: StageStats,
    /// What order costs: of the time that the consumer waited for a batch
    /// (`batch.waiting_for_input`), that in which decoders stood still with a
    /// window full of samples that were ready, held back by one in front of them
    /// that was not. Zero unordered.
    #[serde(rename = "reorder_wait_seconds", serialize_with = "seconds")]
    pub reorder_wait: Duration,
}

impl Stages {
    /// Stage by stage with its name.
    #[must_use]
    pub fn iter(&self) -> [(&'static str, StageStats); 5] {
        [
            ("walk", self.walk),
            ("read", self.read),
            ("decode", self.decode),
            ("transform", self.transform),
            ("batch", self.batch),
        ]
    }

    fn plus(self, other: Self) -> Self {
        Stages {
            walk: self.walk.plus(other.walk),
            read: self.read.plus(other.read),
            decode: self.decode.plus(other.decode),
            transform: self.transform.plus(other.transform),
            batch: self.batch.plus(other.batch),
            reorder_wait: self.reorder_wait + other.reorder_wait,
        }
    }
}

/// One epoch in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EpochStats {
    /// Number of the epoch.
    pub epoch: u64,
    /// Images delivered.
    pub images: u64,
    /// Batches delivered.
    pub batches: u64,
    /// Samples that failed, replaced ones included.
    pub failed: u64,
    /// Failed samples in whose place another stands.
    pub replaced: u64,
    /// Which samples were delivered; of a resumed epoch also those before.
    pub digest: Digest,
    /// Samples whose pixels came from the cache.
    pub cache_hits: u64,
    /// Samples that were read although there is a cache.
    pub cache_misses: u64,
    /// Seconds from the consumer's first call for it to its end, or to now.
    pub seconds: f64,
    /// Seconds from the consumer's first call for it to its first batch.
    pub first_batch_seconds: Option<f64>,
    /// What each stage did for this epoch.
    pub stages: Stages,
}

impl EpochStats {
    /// Images delivered a second; 0 before the first.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn images_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 }
    }
}

/// How full the window is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Queue {
    /// Complete batches that wait for the consumer.
    pub waiting: usize,
    /// Batches in the making or waiting.
    pub making: usize,
    /// The prefetch depth: the most that `making` can be.
    pub prefetch: usize,
}

/// The cache of decoded pixels in figures, from the loader's building to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// The limit, in bytes.
    pub limit_bytes: u64,
    /// Samples that are kept at this moment.
    pub samples: u64,
    /// Bytes that they count for.
    pub bytes: u64,
    /// Samples whose pixels came from the cache.
    pub hits: u64,
    /// Samples that were read, whether they were kept afterwards or not.
    pub misses: u64,
    /// On disk: samples that had changed since they were kept.
    pub stale: u64,
    /// On disk: samples whose pixels did not match their checksum, and files
    /// that could not be used.
    pub damaged: u64,
    /// On disk: writes that failed; after the first, nothing more is kept.
    pub write_errors: u64,
}

impl CacheStats {
    /// The part of the samples whose pixels came from the cache, in
    /// `0.0..=1.0`; 0 before the first.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            samples => self.hits as f64 / samples as f64,
        }
    }
}

/// A loader in figures, from its building to now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Samples found so far.
    pub listed: u64,
    /// Whether the walk has ended, so that `listed` is all there is.
    pub listing_complete: bool,
    /// Samples of a whole epoch here, on this rank, once the walk has ended.
    pub epoch_samples: Option<u64>,
    /// What each stage did, over all epochs.
    pub stages: Stages,
    /// The window at this moment.
    pub queue: Queue,
    /// The cache; `None` without.
    pub cache: Option<CacheStats>,
    /// Reads that the operating system has not given back after
    /// `read_timeout`.
    pub stuck_reads: usize,
}

/// A sum of times, added to by several threads.
///
/// Like the other counters, read by nobody who draws conclusions about other
/// memory, hence relaxed throughout.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn add(&self, time: Duration) {
        // Mostly nobody has waited, and the line is another thread's.
        if !time.is_zero() {
            self.0.fetch_add(nanoseconds(time), Ordering::Relaxed);
        }
    }

    fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Counters of one stage, added to by its threads; on cache lines of their own,
/// since the stages are on different cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    items: AtomicU64,
    bytes: AtomicU64,
    busy: Time,
    input: Time,
    output: Time,
}

impl Counters {
    pub(crate) fn item(&self, bytes: usize, busy: Duration) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.items(1, busy);
    }

    pub(crate) fn items(&self, items: u64, busy: Duration) {
        self.items.fetch_add(items, Ordering::Relaxed);
        self.busy(busy);
    }

    pub(crate) fn busy(&self, time: Duration) {
        self.busy.add(time);
    }

    pub(crate) fn input(&self, time: Duration) {
        self.input.add(time);
    }

    pub(crate) fn output(&self, time: Duration) {
        self.output.add(time);
    }

    fn stats(&self) -> StageStats {
        StageStats {
            items: self.items.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            busy: self.busy.sum(),
            waiting_for_input: self.input.sum(),
            waiting_for_output: self.output.sum(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Counters of one epoch; tickets carry them along.
#[derive(Debug)]
pub(crate) struct EpochCounters {
    pub(crate) number: u64,
    /// When the first ticket could be granted: waiting before that belongs to
    /// nobody.
    pub(crate) opened: Instant,
    pub(crate) read: Counters,
    pub(crate) decode: Counters,
    pub(crate) transform: Counters,
    pub(crate) batch: Counters,
    pub(crate) reorder_wait: Time,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
}

impl EpochCounters {
    /// How long somebody has waited for this epoch who began to wait at
    /// `since`.
    pub(crate) fn waited(&self, since: Instant, until: Instant) -> Duration {
        until.saturating_duration_since(since.max(self.opened))
    }

    /// Samples whose pixels came from the cache, and those that were read although
    /// there is one.
    pub(crate) fn cached(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.cache_hits), count(&self.cache_misses))
    }

    pub(crate) fn stages(&self) -> Stages {
        Stages {
            walk: StageStats::default(),
            read: self.read.stats(),
            decode: self.decode.stats(),
            transform: self.transform.stats(),
            batch: self.batch.stats(),
            reorder_wait: self.reorder_wait.sum(),
        }
    }
}

/// The counters of all epochs; those that nobody counts into any more are
/// folded into one sum, so that a long run keeps a fixed size.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) walk: Counters,
    epochs: Mutex<Epochs>,
}

#[derive(Debug, Default)]
struct Epochs {
    folded: Stages,
    open: Vec<Arc<EpochCounters>>,
}

impl Registry {
    pub(crate) fn open(&self, number: u64) -> Arc<EpochCounters> {
        let counters = Arc::new(EpochCounters {
            number,
            opened: Instant::now(),
            read: Counters::default(),
            decode: Counters::default(),
            transform: Counters::default(),
            batch: Counters::default(),
            reorder_wait: Time::default(),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        });
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let Epochs { folded, open } = &mut *epochs;
        open.retain(|epoch| {
            let in_use = Arc::strong_count(epoch) > 1;
            if !in_use {
                *folded = folded.plus(epoch.stages());
            }
            in_use
        });
        open.push(Arc::clone(&counters));
        counters
    }

    pub(crate) fn stages(&self) -> Stages {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = epochs.open.iter().fold(epochs.folded, |sum, epoch| sum.plus(epoch.stages()));
        Stages { walk: self.walk.stats(), ..sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_outlive_their_epochs() {
        let registry = Registry::default();
        for number in 0..20 {
            let epoch = registry.open(number);
            epoch.read.item(10, Duration::from_millis(1));
            epoch.decode.input(Duration::from_millis(2));
        }
        let stages = registry.stages();
        assert_eq!((stages.read.items, stages.read.bytes), (20, 200));
        assert_eq!(stages.read.busy, Duration::from_millis(20));
        assert_eq!(stages.decode.waiting_for_input, Duration::from_millis(40));
        assert!(registry.epochs.lock().unwrap().open.len() <= 1);
    }

    #[test]
    fn waiting_before_an_epoch_is_not_its_own() {
        let registry = Registry::default();
        let before = Instant::now();
        let epoch = registry.open(0);
        let end = epoch.opened + Duration::from_millis(5);
        assert_eq!(epoch.waited(before, end), Duration::from_millis(5));
        assert_eq!(epoch.waited(end, before), Duration::ZERO);
    }
}
