//! Every knob, validated in one place, and the memory bound that follows.
//!
//! [`LoaderBuilder`](crate::LoaderBuilder) collects a `Config`; resolving it
//! checks each value, fills in what was left to choose and derives the byte
//! budgets. Nothing else in the crate checks a knob again.

mod augment;
mod bound;
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
pub use pixels::{Color, CropRatio, CropScale, Filter, Fit, Layout, Normalize, Size};
pub use policy::{Budget, Cache, LastBatch, Limits, OnError, Order};
pub use sampling::{Sampling, Weights};
pub use shard::{Shard, Uneven};
pub use split::Split;
pub(crate) use split::Subset;

use crate::cache;
use crate::element::{Dtype, Element};
use crate::error::{Error, Result};

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
/// Long enough for a network file system's hiccup, short enough that somebody
/// still looks at the screen.
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Beyond it a deadline may not be a point in time any more.
const MAX_READ_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// So many failures are kept in memory; the rest is counted and logged.
const DEFAULT_FAILURES_KEPT: usize = 1_000;
/// Threads beyond this are a mistyped number, not a machine.
const MAX_THREADS: usize = 4_096;

/// The knobs as the user set them. See [`LoaderBuilder`](crate::LoaderBuilder)
/// for what each means.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) split: Option<Split>,
    pub(crate) subset: Option<Subset>,
    pub(crate) batch_size: usize,
    pub(crate) size: Size,
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
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
    pub(crate) held_batches: usize,
    pub(crate) cache: Cache,
    pub(crate) cache_side: Option<u32>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) max_file_bytes: Option<u64>,
    pub(crate) max_pixels: Option<u64>,
    pub(crate) max_side: u32,
    pub(crate) max_scans: u32,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) failures_kept: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            split: None,
            subset: None,
            batch_size: DEFAULT_BATCH_SIZE,
            size: Size { width: DEFAULT_SIDE, height: DEFAULT_SIDE },
            fit: Fit::default(),
            filter: Filter::default(),
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
            held_batches: 1,
            cache: Cache::None,
            cache_side: None,
            memory_limit: None,
            max_file_bytes: None,
            max_pixels: None,
            max_side: Limits::default().max_side,
            max_scans: Limits::default().max_scans,
            read_timeout: Some(DEFAULT_READ_TIMEOUT),
            failures_kept: DEFAULT_FAILURES_KEPT,
        }
    }
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
    /// Samples in a batch.
    pub batch_size: usize,
    /// Width and height of the images, in pixels.
    pub size: Size,
    /// How a picture comes to the size.
    pub fit: Fit,
    /// How pixels between pixels are found.
    pub filter: Filter,
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
    /// Decoder threads.
    pub threads: usize,
    /// Reads in flight at most.
    pub readers: usize,
    /// Batches in the making or waiting, ahead of the one taken last.
    pub prefetch: usize,
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
    /// How many failures are kept in memory.
    pub failures_kept: usize,
    /// The worst case of the loader's memory, part by part.
    pub memory: MemoryBound,
}

/// Of an epoch of weighted sampling: more would last for centuries, and what is
/// counted in batches and ranks has room.
const MOST_SAMPLES: u64 = 1 << 48;

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
        let bound::Derived { prefetch, limits, memory } =
            bound::derive::<T>(self, threads, readers, DEFAULT_PREFETCH)?;
        let replace_attempts = match self.on_error {
            OnError::Replace { attempts, .. } => attempts,
            _ => 0,
        };
        Ok(Resolved {
            split: self.split,
            subset: self.subset.as_ref().map(|subset| subset.indices().len()),
            batch_size: self.batch_size,
            size: self.size,
            fit: self.fit,
            filter: self.filter,
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
            held_batches: self.held_batches,
            cache: self.cache.clone(),
            cache_side: self.cache_side,
            memory_limit: self.memory_limit,
            limits,
            read_timeout: self.read_timeout,
            failures_kept: self.failures_kept,
            memory,
        })
    }

    fn check<T: Element>(&self) -> Result<()> {
        self.split.as_ref().map_or(Ok(()), Split::check)?;
        self.subset.as_ref().map_or(Ok(()), Subset::check)?;
        if self.batch_size == 0 || self.batch_size > 1 << 20 {
            return refuse("batch_size", self.batch_size, "expected 1 to 1048576 samples");
        }
        let Size { width, height } = self.size;
        if width == 0 || height == 0 || width > 65_535 || height > 65_535 {
            return refuse("size", self.size, "expected 1 to 65535 pixels a side");
        }
        if let Fit::Crop { shorter: Some(shorter) } = self.fit
            && (shorter < width.max(height) || shorter > 65_535)
        {
            let reason = format!(
                "the shorter side must be at least the larger side of the size, {}, and at most \
                 65535, or the cut would reach beyond the picture",
                width.max(height)
            );
            return refuse("fit", self.fit, reason);
        }
        self.check_sampling()?;
        self.check_augmentation()?;
        self.check_normalize::<T>()?;
        self.check_limits()?;
        self.check_on_error()?;
        self.check_cache()?;
        if self.threads > MAX_THREADS {
            return refuse("threads", self.threads, "expected 0 (one per core) to 4096");
        }
        if self.readers > MAX_THREADS {
            return refuse("readers", self.readers, "expected 0 (choose) to 4096");
        }
        if self.prefetch > 1 << 16 {
            return refuse("prefetch", self.prefetch, "expected 0 (choose) to 65536 batches");
        }
        if self.held_batches == 0 || self.held_batches > 1 << 20 {
            return refuse("held_batches", self.held_batches, "expected 1 to 1048576");
        }
        if self.read_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return refuse("read_timeout", "0", "expected a positive duration, or none");
        }
        if let Some(timeout) = self.read_timeout.filter(|timeout| *timeout > MAX_READ_TIMEOUT) {
            let reason = "expected at most a year, or none to wait for ever";
            return refuse("read_timeout", format_args!("{timeout:?}"), reason);
        }
        Ok(())
    }

    fn check_sampling(&self) -> Result<()> {
        let shard = self.shard.clone()?;
        if let Err(reason) = shard.check() {
            return refuse("shard", shard, reason);
        }
        let skips = matches!(self.on_error, OnError::Skip { .. });
        if shard.world > 1 && self.order == Order::Unordered && skips {
            let reason = "unordered, a rank on which samples are skipped has fewer batches than \
                          the others, which then wait for it. Replace failed samples, or choose \
                          the order ordered";
            return refuse("on_error", self.on_error, reason);
        }
        let Sampling::Weighted { weights, samples } = &self.sampling else { return Ok(()) };
        if *samples == Some(0) {
            return refuse("sampling", &self.sampling, "expected at least 1 sample in an epoch");
        }
        if samples.is_some_and(|samples| samples > MOST_SAMPLES) {
            let reason = format!("expected at most {MOST_SAMPLES} samples in an epoch");
            return refuse("sampling", &self.sampling, reason);
        }
        if !weights.given().iter().all(|weight| weight.is_finite() && *weight >= 0.0) {
            let reason = "expected weights that are finite numbers, 0 or more";
            return refuse("sampling", &self.sampling, reason);
        }
        Ok(())
    }

    fn check_normalize<T: Element>(&self) -> Result<()> {
        let Normalize { mean, std } = self.normalize;
        if self.color == Color::Grey && [mean, std].iter().any(|c| c[1..] != [c[0]; 2]) {
            let reason = "grey batches have one channel: give it one mean and one deviation, three \
                          times";
            return refuse("normalize", format_args!("{mean:?}, {std:?}"), reason);
        }
        if T::DTYPE == Dtype::U8 && self.normalize != Normalize::UNIT {
            let reason = "u8 batches hold the levels as they are; leave mean and std out, or \
                          choose the element type f32";
            return refuse("normalize", format_args!("{mean:?}, {std:?}"), reason);
        }
        if !mean.iter().all(|mean| mean.is_finite()) {
            return refuse("normalize", format_args!("mean {mean:?}"), "expected finite numbers");
        }
        if !std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return refuse("normalize", format_args!("std {std:?}"), "expected positive numbers");
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<()> {
        if let Some(bytes) = self.max_file_bytes
            && (bytes == 0 || bytes > 1 << 40)
        {
            return refuse("max_file_bytes", bytes, "expected 1 byte to 1 TiB");
        }
        if let Some(pixels) = self.max_pixels
            && (pixels == 0 || pixels > 1 << 33)
        {
            return refuse("max_pixels", pixels, "expected 1 to 8589934592 pixels");
        }
        if self.max_side == 0 || self.max_side > 1 << 20 {
            return refuse("max_side", self.max_side, "expected 1 to 1048576 pixels");
        }
        if self.max_scans == 0 {
            return refuse("max_scans", self.max_scans, "expected at least 1 scan");
        }
        Ok(())
    }

    /// Bytes of the pixels that a cache keeps of a sample, at the least.
    fn kept_bytes(&self) -> u64 {
        let side = self.cache_side.map(|side| Size { width: side, height: side });
        (self.color.channels() * side.unwrap_or(self.size).pixels()) as u64
    }

    fn check_cache(&self) -> Result<()> {
        let random = matches!(self.fit, Fit::RandomCrop { .. });
        match self.cache_side {
            Some(side) if !random => {
                let reason = "only random crops are cut from a scaled picture; with this fit the \
                              finished rows are cached. Leave it out";
                return refuse("cache_side", side, reason);
            }
            Some(side) if side == 0 || side > 65_535 => {
                return refuse("cache_side", side, "expected 1 to 65535 pixels");
            }
            None if random && self.cache != Cache::None => {
                let reason = "random crops differ from epoch to epoch, so whole pictures would be \
                              cached: say with cache_side to how many pixels their shorter side is \
                              scaled, which changes results";
                return refuse("cache", &self.cache, reason);
            }
            _ => {}
        }
        let pixels = self.kept_bytes();
        let (limit, least) = match &self.cache {
            Cache::None => return Ok(()),
            Cache::Memory { limit } => (*limit, cache::memory_bytes(pixels)),
            Cache::Disk { limit, .. } => (*limit, cache::file_bytes(pixels)),
        };
        if limit < least || limit > 1 << 50 {
            let reason = format!("expected {least} bytes, which one picture takes there, to 1 PiB");
            return refuse("cache", &self.cache, reason);
        }
        Ok(())
    }

    fn check_on_error(&self) -> Result<()> {
        if let OnError::Replace { attempts, .. } = self.on_error
            && (attempts == 0 || attempts > 1_000)
        {
            return refuse(
                "on_error",
                format_args!("replace, {attempts} attempts"),
                "expected 1 to 1000 attempts",
            );
        }
        if let Budget::Fraction(fraction) = self.on_error.budget()
            && !(0.0..=1.0).contains(&fraction)
        {
            return refuse("max_failures", self.on_error.budget(), "expected 0% to 100%");
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> Error {
        let mut config = Config::default();
        change(&mut config);
        config.resolve::<f32>().unwrap_err()
    }

    #[test]
    fn the_defaults_resolve() {
        let resolved = Config::default().resolve::<f32>().unwrap();
        assert_eq!(resolved.batch_size, 32);
        assert_eq!(resolved.prefetch, 2);
        assert!(resolved.threads >= 1);
    }

    #[test]
    fn every_wrong_value_names_its_field() {
        assert_eq!(refused(|c| c.split = Some(Split::train(f64::NAN))).field(), Some("split"));
        assert_eq!(refused(|c| c.split = Some(Split::validation(0.0))).field(), Some("split"));
        assert_eq!(refused(|c| c.split = Some(Split::train(1.1))).field(), Some("split"));
        assert_eq!(refused(|c| c.subset = Some(Subset::new([]))).field(), Some("subset"));
        let twice = refused(|c| c.subset = Some(Subset::new([4, 1, 4])));
        assert!(twice.to_string().starts_with("subset = 4: it is there twice"), "{twice}");
        assert_eq!(refused(|c| c.batch_size = 0).field(), Some("batch_size"));
        assert_eq!(refused(|c| c.size.width = 0).field(), Some("size"));
        assert_eq!(refused(|c| c.fit = Fit::Crop { shorter: Some(511) }).field(), Some("fit"));
        assert_eq!(refused(|c| c.normalize.std[1] = 0.0).field(), Some("normalize"));
        assert_eq!(refused(|c| c.normalize.mean[1] = f32::NAN).field(), Some("normalize"));
        assert_eq!(refused(|c| c.max_pixels = Some(0)).field(), Some("max_pixels"));
        assert_eq!(refused(|c| c.max_file_bytes = Some(0)).field(), Some("max_file_bytes"));
        assert_eq!(refused(|c| c.max_side = 0).field(), Some("max_side"));
        assert_eq!(refused(|c| c.max_scans = 0).field(), Some("max_scans"));
        assert_eq!(refused(|c| c.threads = 1 << 20).field(), Some("threads"));
        assert_eq!(refused(|c| c.readers = 1 << 20).field(), Some("readers"));
        assert_eq!(refused(|c| c.prefetch = 1 << 20).field(), Some("prefetch"));
        assert_eq!(refused(|c| c.held_batches = 0).field(), Some("held_batches"));
        assert_eq!(
            refused(|c| c.read_timeout = Some(Duration::ZERO)).field(),
            Some("read_timeout")
        );
        for (scale, ratio) in [
            ((0.0, 1.0), (1.0, 1.0)),
            ((0.5, 0.4), (1.0, 1.0)),
            ((0.5, 1.1), (1.0, 1.0)),
            ((0.5, 1.0), (0.0, 1.0)),
            ((0.5, 1.0), (2.0, 1.0)),
            ((0.5, 1.0), (1.0, f32::INFINITY)),
            ((f32::NAN, 1.0), (1.0, 1.0)),
        ] {
            assert_eq!(refused(|c| c.fit = Fit::RandomCrop { scale, ratio }).field(), Some("fit"));
        }
        let grey = refused(|c| (c.color, c.normalize) = (Color::Grey, Normalize::IMAGENET));
        assert_eq!(grey.field(), Some("normalize"));
        let attempts = OnError::Replace { attempts: 0, max_failures: Budget::Unlimited };
        assert_eq!(refused(|c| c.on_error = attempts).field(), Some("on_error"));
        let share = OnError::Skip { max_failures: Budget::Fraction(1.5) };
        assert_eq!(refused(|c| c.on_error = share).field(), Some("max_failures"));
    }

    #[test]
    fn a_cache_of_random_crops_says_what_it_keeps() {
        let random = |c: &mut Config| c.fit = Fit::random_crop();
        let cached = |c: &mut Config| c.cache = Cache::memory(1 << 30);
        let error = refused(|c| {
            random(c);
            cached(c);
        });
        assert_eq!(error.field(), Some("cache"));
        assert!(error.to_string().contains("cache_side"), "{error}");
        for side in [0, 1 << 16] {
            let error = refused(|c| {
                random(c);
                c.cache_side = Some(side);
            });
            assert_eq!(error.field(), Some("cache_side"));
        }
        let error = refused(|c| {
            cached(c);
            c.cache_side = Some(256);
        });
        assert_eq!(error.field(), Some("cache_side"));
        for cache in [Cache::memory(100_000), Cache::disk("x", 100_000), Cache::memory(u64::MAX)] {
            assert_eq!(refused(|c| c.cache = cache).field(), Some("cache"));
        }
    }

    #[test]
    fn levels_are_not_normalised() {
        let config = Config { normalize: Normalize::IMAGENET, ..Config::default() };
        assert_eq!(config.resolve::<u8>().unwrap_err().field(), Some("normalize"));
        assert!(config.resolve::<f32>().is_ok());
    }
}
