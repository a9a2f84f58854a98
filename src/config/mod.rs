//! Every knob, validated in one place, and the memory bound that follows.
//!
//! [`LoaderBuilder`](crate::LoaderBuilder) collects a `Config`; resolving it
//! checks each value, fills in what was left to choose and derives the byte
//! budgets. Nothing else in the crate checks a knob again.

mod augment;
mod bound;
mod check;
mod pixels;
mod policy;
mod sampling;
mod shard;
mod split;
mod words;

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub(crate) use augment::Augmentation;
pub use augment::{Erase, Jitter};
pub use bound::MemoryBound;
pub(crate) use check::MOST_IN_A_BATCH;
pub use pixels::{Color, CropRatio, CropScale, Decoding, Filter, Fit, Layout, Normalize, Size};
pub use policy::{Budget, Cache, LastBatch, Limits, OnError, Order};
pub use sampling::{Sampling, Weights};
pub use shard::{Shard, Uneven};
pub use split::Split;
pub(crate) use split::Subset;

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use crate::source::{Part, SkipList};

/// Side of a batch's images when none is asked for, in pixels.
const DEFAULT_SIDE: u32 = 512;
/// The article's batch, and a common one.
const DEFAULT_BATCH_SIZE: usize = 32;
/// One batch in the making while the next waits: enough to hide a decoder's
/// jitter, and each further one costs a whole batch of memory.
const DEFAULT_PREFETCH: usize = 2;
/// Reads of cached files keep the decoders fed with two; a disk or a network
/// file system wants more in flight, and a waiting read costs next to nothing.
const DEFAULT_READERS: usize = 16;
/// More helps no storage that is known, and each can be a thread.
const MOST_READERS: usize = 64;
/// Less is not felt, and hard to tell from the machine's own noise.
const DEFAULT_WAIT_TARGET: f64 = 0.01;
/// Long enough for a network file system's hiccup, short enough that somebody
/// still looks at the screen.
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a slow first read, and before a read is given up.
const DEFAULT_STALL_REPORT: Duration = Duration::from_secs(30);
/// So many failures are kept in memory; the rest is counted and logged.
const DEFAULT_FAILURES_KEPT: usize = 1_000;

/// The knobs as the user set them. See [`LoaderBuilder`](crate::LoaderBuilder)
/// for what each means.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) split: Option<Split>,
    pub(crate) subset: Option<Subset>,
    pub(crate) skip_list: Option<SkipList>,
    pub(crate) batch_size: usize,
    pub(crate) size: Size,
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
    pub(crate) decode: Decoding,
    pub(crate) augmentation: Augmentation,
    pub(crate) normalize: Normalize,
    pub(crate) layout: Layout,
    pub(crate) color: Color,
    pub(crate) sampling: Sampling,
    /// Or why the environment does not tell.
    pub(crate) shard: Result<Shard>,
    pub(crate) uneven: Uneven,
    pub(crate) order: Order,
    pub(crate) last_batch: LastBatch,
    pub(crate) on_error: OnError,
    pub(crate) allow_truncated: bool,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) readers: usize,
    pub(crate) prefetch: usize,
    pub(crate) wait_target: f64,
    pub(crate) held_batches: usize,
    pub(crate) cache: Cache,
    pub(crate) cache_side: Option<u32>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) max_file_bytes: Option<u64>,
    pub(crate) max_pixels: Option<u64>,
    pub(crate) max_side: u32,
    pub(crate) max_scans: u32,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) stall_report: Option<Duration>,
    pub(crate) failures_kept: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            split: None,
            subset: None,
            skip_list: None,
            batch_size: DEFAULT_BATCH_SIZE,
            size: Size { width: DEFAULT_SIDE, height: DEFAULT_SIDE },
            fit: Fit::default(),
            filter: Filter::default(),
            decode: Decoding::default(),
            augmentation: Augmentation::default(),
            normalize: Normalize::UNIT,
            layout: Layout::default(),
            color: Color::default(),
            sampling: Sampling::default(),
            shard: Ok(Shard::default()),
            uneven: Uneven::default(),
            order: Order::default(),
            last_batch: LastBatch::default(),
            on_error: OnError::default(),
            allow_truncated: false,
            seed: 0,
            threads: 0,
            readers: 0,
            prefetch: 0,
            wait_target: DEFAULT_WAIT_TARGET,
            held_batches: 1,
            cache: Cache::None,
            cache_side: None,
            memory_limit: None,
            max_file_bytes: None,
            max_pixels: None,
            max_side: Limits::default().max_side,
            max_scans: Limits::default().max_scans,
            read_timeout: Some(DEFAULT_READ_TIMEOUT),
            stall_report: Some(DEFAULT_STALL_REPORT),
            failures_kept: DEFAULT_FAILURES_KEPT,
        }
    }
}

/// What is left to the loader, and how far it may go: it follows the consumer's
/// pace with the least that keeps it fed. Ordered, the batches are the same
/// whatever it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Auto {
    /// Decoder threads, from 1 to so many.
    pub threads: Option<usize>,
    /// Reads in flight, up to so many.
    pub readers: Option<usize>,
    /// Batches ahead, from 1 to so many; the memory bound holds for these.
    pub prefetch: Option<usize>,
}

/// A configuration in which every value is settled: what
/// [`Loader::config`](crate::Loader::config) shows and the command line prints
/// as `config`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Resolved {
    /// Which side of a split takes part, if not all samples do.
    pub split: Option<Split>,
    /// How many samples of the source were chosen by index.
    pub subset: Option<usize>,
    /// A hash of their indices, for the name of a cache on disk.
    #[serde(skip)]
    pub(crate) subset_hash: Option<u64>,
    /// How many paths are on the list of those to be skipped.
    pub skip_list: Option<usize>,
    /// A hash of these paths, for the same.
    #[serde(skip)]
    pub(crate) skip_list_hash: Option<u64>,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Width and height of the images, in pixels.
    pub size: Size,
    /// How a picture comes to the size.
    pub fit: Fit,
    /// How pixels between pixels are found.
    pub filter: Filter,
    /// Whether pictures may come from the decoder smaller than they are.
    pub decode: Decoding,
    /// The probability that left and right change places.
    pub flip: f64,
    /// The probability that top and bottom change places.
    pub vflip: f64,
    /// How far brightness, contrast, saturation and hue are changed.
    pub jitter: Jitter,
    /// The probability that a picture loses its colour.
    pub random_grey: f64,
    /// Rectangles that are set to zero.
    pub erase: Erase,
    /// Transforms of the user's on the decoded picture.
    pub before_resize: usize,
    /// Transforms of the user's on the finished row.
    pub after_resize: usize,
    /// Mean and standard deviation per channel.
    pub normalize: Normalize,
    /// Element type of a batch.
    pub dtype: Dtype,
    /// Order of the axes.
    pub layout: Layout,
    /// Order of the channels.
    pub color: Color,
    /// Which samples an epoch has, in which order.
    pub sampling: Sampling,
    /// The part of each epoch that is taken here.
    pub shard: Shard,
    /// What becomes of samples that the ranks cannot share equally.
    pub uneven: Uneven,
    /// Ordered or unordered.
    pub order: Order,
    /// What becomes of a short last batch.
    pub last_batch: LastBatch,
    /// What to do about a failed sample.
    pub on_error: OnError,
    /// How many samples of an epoch may fail.
    pub max_failures: Budget,
    /// Substitutes tried for one place, with `on_error = replace`; else 0.
    pub replace_attempts: u32,
    /// Whether JPEGs that end early are taken as far as they go.
    pub allow_truncated: bool,
    /// The seed of everything random.
    pub seed: u64,
    /// Decoder threads; where they are [`auto`](Self::auto), those that there are.
    pub threads: usize,
    /// Reads in flight at most, in the beginning.
    pub readers: usize,
    /// Batches in the making or waiting, ahead of the one taken last, in the
    /// beginning.
    pub prefetch: usize,
    /// What of these three follows the consumer.
    pub auto: Auto,
    /// The part of its time that the consumer may wait, which those aim at.
    pub wait_target: f64,
    /// Batches that the caller keeps at once.
    pub held_batches: usize,
    /// Where decoded pixels are kept.
    pub cache: Cache,
    /// Pixels of the shorter side to which pictures are scaled before random
    /// crops are cut from them; what the cache then keeps.
    pub cache_side: Option<u32>,
    /// The limit asked for, in bytes.
    pub memory_limit: Option<u64>,
    /// What one sample may cost.
    pub limits: Limits,
    /// A read that takes longer fails its sample, in seconds.
    #[serde(serialize_with = "serialize_seconds", rename = "read_timeout_seconds")]
    pub read_timeout: Option<Duration>,
    /// A wait for a batch that is longer is reported, in seconds.
    #[serde(serialize_with = "serialize_seconds", rename = "stall_report_seconds")]
    pub stall_report: Option<Duration>,
    /// How many failures are kept in memory.
    pub failures_kept: usize,
    /// The worst case of the loader's memory, part by part.
    pub memory: MemoryBound,
}

impl Config {
    /// Checks every knob, fills in what was left open, derives the budgets.
    pub(crate) fn resolve<T: Element>(&self) -> Result<Resolved> {
        self.check::<T>()?;
        let augmentation = self.augmentation;
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        let readers = if self.readers == 0 { DEFAULT_READERS } else { self.readers };
        let bound::Derived { prefetch, most_prefetch, limits, memory } =
            bound::derive::<T>(self, threads, readers, DEFAULT_PREFETCH)?;
        let replace_attempts = match self.on_error {
            OnError::Replace { attempts, .. } => attempts,
            _ => 0,
        };
        Ok(Resolved {
            split: self.split,
            subset: self.subset.as_ref().map(|subset| subset.indices().len()),
            subset_hash: match &self.cache {
                Cache::Disk { .. } => self.subset.as_ref().map(Subset::hash),
                Cache::None | Cache::Memory { .. } => None,
            },
            skip_list: self.skip_list.as_ref().map(SkipList::len),
            skip_list_hash: self.skip_list.as_ref().map(SkipList::hash),
            batch_size: self.batch_size,
            size: self.size,
            fit: self.fit,
            filter: self.filter,
            decode: self.decode,
            flip: augmentation.flip,
            vflip: augmentation.vflip,
            jitter: augmentation.jitter,
            random_grey: augmentation.random_grey,
            erase: augmentation.erase,
            before_resize: augmentation.before_resize,
            after_resize: augmentation.after_resize,
            normalize: self.normalize,
            dtype: T::DTYPE,
            layout: self.layout,
            color: self.color,
            sampling: self.sampling.clone(),
            shard: self.shard.clone()?,
            uneven: self.uneven,
            order: self.order,
            last_batch: self.last_batch,
            on_error: self.on_error,
            max_failures: self.on_error.budget(),
            replace_attempts,
            allow_truncated: self.allow_truncated,
            seed: self.seed,
            threads,
            readers,
            prefetch,
            auto: Auto {
                threads: (self.threads == 0).then_some(threads),
                readers: (self.readers == 0).then_some(MOST_READERS),
                prefetch: (self.prefetch == 0).then_some(most_prefetch),
            },
            wait_target: self.wait_target,
            held_batches: self.held_batches,
            cache: self.cache.clone(),
            cache_side: self.cache_side,
            memory_limit: self.memory_limit,
            limits,
            read_timeout: self.read_timeout,
            stall_report: self.stall_report,
            failures_kept: self.failures_kept,
            memory,
        })
    }

    /// Which samples take part.
    pub(crate) fn part(&self) -> Part {
        let Config { subset, skip_list, split, .. } = self;
        Part { subset: subset.clone(), skip_list: skip_list.clone(), split: *split }
    }

    /// Bytes of the pixels that a cache keeps of a sample, at the least.
    fn kept_bytes(&self) -> u64 {
        let side = self.cache_side.map(|side| Size { width: side, height: side });
        (self.color.channels() * side.unwrap_or(self.size).pixels()) as u64
    }
}

fn refuse<V>(
    field: &'static str,
    value: impl std::fmt::Display,
    reason: impl Into<String>,
) -> Result<V> {
    Err(Error::config(field, value, reason))
}

/// A duration as seconds with a fraction, for reports.
fn serialize_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}
