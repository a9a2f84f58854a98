//! What each stage did and what it waited for.
//!
//! Every stage counts items and bytes and splits its threads' time in three:
//! busy, waiting for input (the stage before is slower) and waiting for output
//! (the stage behind is slower, or a byte budget is used up). Times of several
//! threads add up, so two busy decoders count two seconds a second.

mod advice;
#[cfg(test)]
mod advice_tests;
mod counters;
mod service;
mod sight;
#[cfg(test)]
pub(crate) mod sight_tests;
mod timeline;
mod verdict;
#[cfg(test)]
mod verdict_tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::error::{CauseKind, Stage};

pub use crate::pace::{Decision, Knob};
pub(crate) use counters::{EpochCounters, Registry};
pub(crate) use service::Histogram;
pub use service::Service;
pub(crate) use sight::Sight;
pub(crate) use timeline::Recording;
pub use timeline::{Moment, Timeline};
pub use verdict::{Advice, Bound, Change, Verdict};

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
    /// The part of `waiting_for_output` that was for a byte budget.
    #[serde(rename = "waiting_for_memory_seconds", serialize_with = "seconds")]
    pub waiting_for_memory: Duration,
    /// How long it worked on single items, waiting not counted.
    pub service: Service,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
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
    /// Of the time that the consumer waited for batches, that for the first one
    /// after `epoch` or `epochs` was called.
    #[serde(rename = "first_wait_seconds", serialize_with = "seconds")]
    pub first_wait: Duration,
    /// How long the consumer waited for each batch.
    #[serde(rename = "consumer_wait")]
    pub wait: Service,
    /// How long the consumer was away with each batch: its step.
    #[serde(rename = "consumer_step")]
    pub step: Service,
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

/// Samples that failed in one stage for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureCount {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub cause: CauseKind,
    /// How many.
    pub samples: u64,
}

/// A part of the memory bound: how much of it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Level {
    /// Bytes in use at this moment.
    pub bytes: u64,
    /// The most that was in use at once: the high-water mark.
    pub peak_bytes: u64,
    /// What there is.
    pub limit_bytes: u64,
    /// Bytes that one holder takes on average; 0 before the first.
    pub mean_bytes: u64,
}

/// The memory of a loader, part by part as its
/// [bound](crate::config::MemoryBound).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Batches, in the making, waiting, kept by the caller, or free to be used
    /// again.
    pub batches: Level,
    /// Files that are being read, wait for a decoder, or are being decoded.
    pub encoded: Level,
    /// Decoded pixels, and what decoders allocate beside them.
    pub decode: Level,
}

/// How many of what work at a moment, and how full the queues between them are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Queue {
    /// Reads in flight.
    pub reading: usize,
    /// Samples that were read and wait for a decoder.
    pub read: usize,
    /// Decoder threads with a sample in hand.
    pub decoding: usize,
    /// Complete batches that wait for the consumer.
    pub waiting: usize,
    /// Batches in the making or waiting.
    pub making: usize,
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

/// Where threads were, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CoreTime {
    /// On a core.
    #[serde(rename = "on_core_seconds", serialize_with = "seconds")]
    pub on_core: Duration,
    /// Ready to go on, while others were on the cores.
    #[serde(rename = "waiting_for_core_seconds", serialize_with = "seconds")]
    pub waiting_for_core: Duration,
}

/// Why the consumer is waiting longer than
/// [`stall_report`](crate::LoaderBuilder::stall_report).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stall {
    /// How long the consumer has been waiting for a batch, in seconds.
    pub waiting_seconds: f64,
    /// The sample that is worked on the longest.
    pub oldest: Option<InWork>,
    /// Whether samples are still being listed.
    pub listing: bool,
    /// Where samples are.
    pub queue: Queue,
    /// How the loader goes about it.
    pub setting: Setting,
}

/// A sample in somebody's hands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InWork {
    /// Where it is.
    pub stage: Stage,
    /// What it is called, as the source lists it.
    pub path: PathBuf,
    /// In the source's order.
    pub index: u64,
    /// For how long, in seconds.
    pub seconds: f64,
    /// It waits for memory, as everybody else does.
    pub for_memory: bool,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Queue { reading, read, decoding, waiting, making } = self.queue;
        let Setting { threads, readers, prefetch, .. } = self.setting;
        write!(f, "no batch for {:.0} s: ", self.waiting_seconds)?;
        match &self.oldest {
            Some(InWork { stage, path, seconds, for_memory, .. }) => {
                let doing = match stage {
                    _ if *for_memory => "everybody waits for memory, the longest for",
                    Stage::Read => "reading",
                    Stage::Decode => "decoding",
                    Stage::Transform => "transforming",
                };
                write!(f, "{doing} {} since {seconds:.0} s; ", path.display())?;
            }
            None if self.listing => f.write_str("samples are still being listed; ")?,
            None => {}
        }
        write!(
            f,
            "{reading} of {readers} readers busy, {read} samples wait for a decoder, {decoding} of \
             {threads} decoders busy, {waiting} batches complete of {making} in the making, \
             prefetch {prefetch}"
        )
    }
}

/// How the loader goes about it at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// Decoder threads that may work.
    pub threads: usize,
    /// Reads in flight at most.
    pub readers: usize,
    /// Batches in the making or waiting, ahead of the one taken last.
    pub prefetch: usize,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Whether batches come in order.
    pub ordered: bool,
    /// Cores that the process may use.
    pub cores: usize,
}

/// How service times are spread, in a form of which differences can be taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) read: Histogram,
    pub(crate) decode: Histogram,
    pub(crate) transform: Histogram,
    pub(crate) step: Histogram,
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
    /// Seconds since the loader was built.
    pub seconds: f64,
    /// How the loader goes about it at this moment.
    pub setting: Setting,
    /// What was decided about those parts of it that follow the consumer: the last
    /// hundred decisions.
    pub decisions: Vec<Decision>,
    /// What each stage did, over all epochs.
    pub stages: Stages,
    #[serde(skip)]
    pub(crate) spread: Spread,
    /// Time of all decoder threads that might work, whether they did or not.
    #[serde(rename = "thread_seconds", serialize_with = "seconds")]
    pub thread_time: Duration,
    /// Of the decoder threads' time, that on a core and that waiting for one, where
    /// the operating system tells (Linux).
    pub decoders: Option<CoreTime>,
    /// The queues at this moment.
    pub queue: Queue,
    /// Memory in use, and the most that was.
    pub memory: MemoryUse,
    /// Why the consumer is waiting so long just now, if it is.
    pub stall: Option<Stall>,
    /// Times that it has waited so long.
    pub stalls: u64,
    /// Failed samples by stage and cause, in the order in which they first came.
    pub failures: Vec<FailureCount>,
    /// The cache; `None` without.
    pub cache: Option<CacheStats>,
    /// Reads that the operating system has not given back after
    /// `read_timeout`.
    pub stuck_reads: usize,
}
