//! The memory bound: from the knobs to the byte budgets and their sum.
//!
//! ```text
//! bound = (prefetch + held_batches) * batch        rows of batches
//!       + encoded                                  files read and not yet decoded
//!       + decode                                   pixels, and what decoders allocate
//!       + scratch                                  a little for each decoder thread
//!       + cache                                    pixels kept in memory
//! ```
//!
//! The index of the source comes on top: a name and about 40 bytes a sample.

use std::fmt;

use serde::Serialize;

use super::{Cache, Config, Limits};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::transform::{scaling_bound, scratch_bound};

/// Bytes that decoding one pixel may take at most in the formats that
/// photographs come in: a progressive JPEG without subsampling keeps 6 and a half
/// of coefficients beside 3 of pixels and 3 of a turned copy; a 16-bit PNG with
/// alpha 8 beside 3.
const DECODE_BYTES_PER_PIXEL: u64 = 13;
/// And where pictures are scaled before they are cut from: the scaled one.
const SCALED_BYTES_PER_PIXEL: u64 = 3;
/// And where decoded pictures are changed before that: the whole picture.
const WHOLE_BYTES_PER_PIXEL: u64 = 3;
/// What a decoder allocates whatever the size: tables, rows, a window of
/// compressed data.
const DECODE_FIXED_BYTES: u64 = 512 << 10;
/// All threads decode pictures of this size at the same time; larger ones take
/// turns.
const PARALLEL_PIXELS: u64 = 4_000_000;
/// What most pictures take: 3 bytes a pixel, and 3 for a turned copy.
const PARALLEL_BYTES_PER_PIXEL: u64 = 6;
/// Files are read ahead up to this many bytes at most.
const READ_AHEAD_BYTES: u64 = 64 << 20;
/// Files waiting for each decoder thread, beside one for each reader: reading
/// is far faster than decoding, so a few keep the decoders fed.
const FILES_AHEAD: u64 = 2;
/// Tables and rows of a decoder and a transform, and the thread's stack as far
/// as it is used.
const THREAD_BYTES: u64 = 1 << 20;
/// A sample in flight beside its bytes: a task, its path, its place.
const TICKET_BYTES: u64 = 2 << 10;
/// Batches ahead that a loader takes at most where the number is left to it.
const MOST_PREFETCH: usize = 4;
/// A memory limit shrinks limits that were left open down to these, not
/// further: below, ordinary photographs would be refused.
const LEAST_FILE_BYTES: u64 = 16 << 20;
const LEAST_PIXELS: u64 = 16_000_000;

/// The worst case of a loader's memory, in bytes. The process itself (code,
/// stacks, allocator) comes on top, about 10 to 20 MB, and the index of the
/// source: a name and about 40 bytes a sample, and about 200 more with a cache
/// on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryBound {
    /// One batch: `batch_size * channels * height * width` elements.
    pub batch_bytes: u64,
    /// All batches: `(prefetch + held_batches) * batch_bytes`.
    pub batches_bytes: u64,
    /// Budget of encoded files: those that are being read, wait for a decoder, or are being
    /// decoded.
    pub encoded_bytes: u64,
    /// Budget of decoded pixels and of what decoders allocate beside them.
    pub decode_bytes: u64,
    /// Scratch of the decoder threads, and what a sample in flight takes beside
    /// its bytes.
    pub scratch_bytes: u64,
    /// Pixels that are kept in memory ([`Cache::Memory`]); 0 without.
    pub cache_bytes: u64,
    /// The sum.
    pub total_bytes: u64,
}

impl fmt::Display for MemoryBound {
    /// The sum spelled out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes = batches {} + encoded files {} + decoding {} + scratch {} + cache {}",
            self.total_bytes,
            self.batches_bytes,
            self.encoded_bytes,
            self.decode_bytes,
            self.scratch_bytes,
            self.cache_bytes
        )
    }
}

/// What a memory limit settles.
pub(super) struct Derived {
    pub(super) prefetch: usize,
    /// Where the loader may go with it; the bound holds for so many.
    pub(super) most_prefetch: usize,
    pub(super) limits: Limits,
    pub(super) memory: MemoryBound,
}

/// Without a memory limit, everything as asked for. With one, the budgets
/// shrink first, then the limits on files and pixels where they were left open,
/// then the prefetch depth where it was left open. What is left when nothing had
/// to shrink is for a prefetch depth that may grow.
pub(super) fn derive<T: Element>(
    config: &Config,
    threads: usize,
    readers: usize,
    default_prefetch: usize,
) -> Result<Derived> {
    let parts = Parts::new::<T>(config, threads, readers)?;
    let asked = if config.prefetch == 0 { default_prefetch } else { config.prefetch };
    let defaults = Limits::default();
    let limits = |file: u64, pixels: u64| Limits {
        max_file_bytes: config.max_file_bytes.unwrap_or(file),
        max_pixels: config.max_pixels.unwrap_or(pixels),
        max_side: config.max_side,
        max_scans: config.max_scans,
    };
    let full = limits(defaults.max_file_bytes, defaults.max_pixels);
    let Some(limit) = config.memory_limit else {
        let most_prefetch = if config.prefetch == 0 { MOST_PREFETCH } else { asked };
        let memory = parts.wide(most_prefetch, &full);
        return Ok(Derived { prefetch: asked, most_prefetch, limits: full, memory });
    };
    if config.prefetch == 0 {
        let deeper = (asked..=MOST_PREFETCH).rev();
        let mut deeper = deeper.map(|most| (most, parts.wide(most, &full)));
        if let Some((most_prefetch, memory)) = deeper.find(|(_, bound)| bound.total_bytes <= limit)
        {
            return Ok(Derived { prefetch: asked, most_prefetch, limits: full, memory });
        }
    }
    let least = limits(LEAST_FILE_BYTES, LEAST_PIXELS);
    let lowest = if config.prefetch == 0 { 1 } else { asked };
    for prefetch in (lowest..=asked).rev() {
        let tight = parts.tight(prefetch, &least);
        if tight.total_bytes <= limit {
            let memory = widened(tight, &parts.wide(prefetch, &full), limit);
            let limits = limits(
                defaults.max_file_bytes.min(memory.encoded_bytes),
                defaults
                    .max_pixels
                    .min((memory.decode_bytes - DECODE_FIXED_BYTES) / parts.pixel_bytes),
            );
            return Ok(Derived { prefetch, most_prefetch: prefetch, limits, memory });
        }
    }
    let tight = parts.tight(lowest, &least);
    let reason = format!(
        "the least this configuration can need is {tight}. Raise the limit, or lower batch_size, \
         size, prefetch ({lowest}), cache, max_file_bytes ({}) or max_pixels ({})",
        least.max_file_bytes, least.max_pixels
    );
    Err(Error::config("memory_limit", limit, reason))
}

/// What of the sum does not depend on prefetch depth and limits.
struct Parts {
    batch_size: u64,
    batch_bytes: u64,
    held_batches: u64,
    threads: u64,
    readers: u64,
    scratch_bytes: u64,
    /// What decoding takes for each pixel.
    pixel_bytes: u64,
    cache_bytes: u64,
    /// The least budget of encoded bytes: pixels that are read from disk are
    /// lent memory from it.
    cached_bytes: u64,
}

impl Parts {
    fn new<T: Element>(config: &Config, threads: usize, readers: usize) -> Result<Self> {
        let pixels = u64::from(config.size.width) * u64::from(config.size.height);
        let values = config.color.channels() as u64 * pixels;
        let batch_size = config.batch_size as u64;
        let batch_bytes = values.saturating_mul(size_of::<T>() as u64).saturating_mul(batch_size);
        if batch_bytes > isize::MAX as u64 {
            let reason =
                format!("a batch of {} pixels would take {batch_bytes} bytes", config.size);
            return Err(Error::config("batch_size", config.batch_size, reason));
        }
        let threads = threads as u64;
        let (cache_bytes, cached_bytes) = match config.cache {
            Cache::None => (0, 0),
            Cache::Memory { limit } => (limit, 0),
            Cache::Disk { .. } => (0, config.kept_bytes()),
        };
        let scaling = config.cache_side.map(|_| scaling_bound(config.filter, config.max_side));
        // Each decoder thread makes a sample's levels first where they are kept, or
        // changed; of random crops, scaled pictures are kept, in the budget of
        // decoded pixels.
        let kept = scaling.is_none() && config.cache != Cache::None;
        let levels = if kept || config.augmentation.changes_levels() { values } else { 0 };
        let scratch = scratch_bound(config.size, config.filter, config.max_side)
            + scaling.unwrap_or(0)
            + levels;
        Ok(Parts {
            batch_size,
            batch_bytes,
            held_batches: config.held_batches as u64,
            threads,
            readers: readers as u64,
            scratch_bytes: threads.saturating_mul(THREAD_BYTES.saturating_add(scratch)),
            pixel_bytes: DECODE_BYTES_PER_PIXEL
                + config.cache_side.map_or(0, |_| SCALED_BYTES_PER_PIXEL)
                + if config.augmentation.before_resize > 0 { WHOLE_BYTES_PER_PIXEL } else { 0 },
            cache_bytes,
            cached_bytes,
        })
    }

    fn largest_picture(&self, limits: &Limits) -> u64 {
        limits.max_pixels * self.pixel_bytes + DECODE_FIXED_BYTES
    }

    /// Room for all threads to decode at once and for files to be read ahead.
    fn wide(&self, prefetch: usize, limits: &Limits) -> MemoryBound {
        let in_flight = (prefetch as u64).saturating_mul(self.batch_size);
        let files = in_flight.min(self.readers + FILES_AHEAD * self.threads);
        let ahead = READ_AHEAD_BYTES.min(limits.max_file_bytes.saturating_mul(files));
        let pixels = limits.max_pixels.min(PARALLEL_PIXELS);
        let parallel = pixels * PARALLEL_BYTES_PER_PIXEL + DECODE_FIXED_BYTES;
        self.sum(
            prefetch,
            limits.max_file_bytes.max(ahead),
            self.largest_picture(limits).max(parallel.saturating_mul(self.threads)),
        )
    }

    /// Room for the largest file and the largest picture, one at a time.
    fn tight(&self, prefetch: usize, limits: &Limits) -> MemoryBound {
        self.sum(prefetch, limits.max_file_bytes, self.largest_picture(limits))
    }

    fn sum(&self, prefetch: usize, encoded_bytes: u64, decode_bytes: u64) -> MemoryBound {
        let batches = (prefetch as u64).saturating_add(self.held_batches);
        let batches_bytes = self.batch_bytes.saturating_mul(batches);
        let encoded_bytes = encoded_bytes.max(self.cached_bytes);
        let tickets = (prefetch as u64).saturating_mul(self.batch_size);
        let scratch_bytes = self.scratch_bytes.saturating_add(tickets.saturating_mul(TICKET_BYTES));
        MemoryBound {
            batch_bytes: self.batch_bytes,
            batches_bytes,
            encoded_bytes,
            decode_bytes,
            scratch_bytes,
            cache_bytes: self.cache_bytes,
            total_bytes: batches_bytes
                .saturating_add(encoded_bytes)
                .saturating_add(decode_bytes)
                .saturating_add(scratch_bytes)
                .saturating_add(self.cache_bytes),
        }
    }
}

/// Gives what the limit leaves to the two budgets, three quarters of it to
/// decoding, up to what they would have without a limit.
fn widened(tight: MemoryBound, wide: &MemoryBound, limit: u64) -> MemoryBound {
    let spare = limit - tight.total_bytes;
    let decode_wish = wide.decode_bytes.saturating_sub(tight.decode_bytes);
    let encoded_wish = wide.encoded_bytes.saturating_sub(tight.encoded_bytes);
    let encoded = encoded_wish.min((spare / 4).max(spare.saturating_sub(decode_wish)));
    let decode = decode_wish.min(spare - encoded);
    MemoryBound {
        encoded_bytes: tight.encoded_bytes + encoded,
        decode_bytes: tight.decode_bytes + decode,
        total_bytes: tight.total_bytes + encoded + decode,
        ..tight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(config: &Config) -> Result<Derived> {
        derive::<f32>(config, 2, 16, 2)
    }

    fn small() -> Config {
        Config { max_file_bytes: Some(1 << 20), max_pixels: Some(1_000_000), ..Config::default() }
    }

    #[test]
    fn the_sum_is_the_sum() {
        let Derived { prefetch, memory, .. } = derived(&Config::default()).unwrap();
        assert_eq!(prefetch, 2);
        assert_eq!(memory.batch_bytes, 32 * 3 * 512 * 512 * 4);
        // It may come to be four, and one with the caller.
        assert_eq!(memory.batches_bytes, 5 * memory.batch_bytes);
        let parts = memory.batches_bytes
            + memory.encoded_bytes
            + memory.decode_bytes
            + memory.scratch_bytes
            + memory.cache_bytes;
        assert_eq!(memory.total_bytes, parts);
    }

    /// By hand, for files of 1 MiB, pictures of a million pixels, 16 readers.
    #[test]
    fn budgets_are_what_their_parts_come_to() {
        const MIB: u64 = 1 << 20;
        let of =
            |config: &Config, threads: usize| derive::<f32>(config, threads, 16, 2).unwrap().memory;
        let mut config = Config { prefetch: 2, ..small() };
        let (two, three) = (of(&config, 2), of(&config, 3));
        // As many files as readers and two for each thread, of the 64 that are under way.
        assert_eq!((two.encoded_bytes, three.encoded_bytes), (20 * MIB, 22 * MIB));
        // The largest picture, or one of 6 bytes a pixel for each thread.
        let fixed = 512 << 10;
        assert_eq!(two.decode_bytes, 13_000_000 + fixed);
        assert_eq!(three.decode_bytes, 3 * (6_000_000 + fixed));
        let rows = scratch_bound(config.size, config.filter, config.max_side);
        assert_eq!(two.scratch_bytes, 2 * (MIB + rows) + 64 * 2_048);
        assert_eq!(three.scratch_bytes, 3 * (MIB + rows) + 64 * 2_048);
        config.max_file_bytes = Some(8 * MIB);
        assert_eq!(of(&config, 2).encoded_bytes, 64 * MIB);
        (config.prefetch, config.batch_size) = (1, 4);
        assert_eq!(of(&config, 2).encoded_bytes, 4 * 8 * MIB);
        // Files and pictures of any usual size.
        let memory = of(&Config::default(), 2);
        assert_eq!(memory.encoded_bytes, 256 * MIB);
        assert_eq!(memory.decode_bytes, 1_300_000_000 + fixed);
        let least = derived(&Config { memory_limit: Some(1), ..Config::default() }).err().unwrap();
        let told = "max_file_bytes (16777216) or max_pixels (16000000)";
        assert!(least.to_string().contains(told), "{least}");
    }

    #[test]
    fn what_a_limit_leaves_is_for_a_deeper_prefetch_if_it_is_open() {
        for (prefetch, most) in [(0, 4), (2, 2), (3, 3)] {
            let asked = if prefetch == 0 { 2 } else { prefetch };
            for limit in [None, Some(1 << 40)] {
                let derived = derived(&Config { prefetch, memory_limit: limit, ..small() });
                let Derived { prefetch, most_prefetch, .. } = derived.unwrap();
                assert_eq!((prefetch, most_prefetch), (asked, most));
            }
        }
    }

    #[test]
    fn a_cache_in_memory_is_part_of_the_sum() {
        let without = derived(&small()).unwrap().memory;
        let cached = |cache| Config { cache, ..small() };
        let memory = derived(&cached(Cache::memory(10 << 20))).unwrap().memory;
        let levels = 2 * 3 * 512 * 512;
        assert_eq!((without.cache_bytes, memory.cache_bytes), (0, 10 << 20));
        assert_eq!(memory.total_bytes, without.total_bytes + (10 << 20) + levels);
        assert!(memory.to_string().ends_with("+ cache 10485760"), "{memory}");
        // On disk it takes no memory, but what is read from it has to fit.
        let mut small_files = cached(Cache::disk("x", 10 << 20));
        small_files.max_file_bytes = Some(10);
        let memory = derived(&small_files).unwrap().memory;
        assert_eq!(memory.cache_bytes, 0);
        assert!(memory.encoded_bytes >= 3 * 512 * 512);
    }

    #[test]
    fn levels_that_are_changed_are_part_of_the_sum() {
        let mut config = small();
        let without = derived(&config).unwrap().memory;
        config.augmentation.vflip = 0.5;
        config.augmentation.erase.probability = 0.5;
        assert_eq!(derived(&config).unwrap().memory, without);
        config.augmentation.jitter.brightness = 0.4;
        let levels = 2 * 3 * 512 * 512;
        let memory = derived(&config).unwrap().memory;
        assert_eq!(memory.total_bytes, without.total_bytes + levels);
        // The cache makes the same use of them.
        config.cache = Cache::memory(10 << 20);
        let cached = derived(&config).unwrap().memory;
        assert_eq!(cached.total_bytes, memory.total_bytes + (10 << 20));
    }

    #[test]
    fn whole_pictures_that_are_changed_are_part_of_the_sum() {
        let mut config = small();
        config.augmentation.before_resize = 2;
        let memory = derived(&config).unwrap().memory;
        assert_eq!(memory.decode_bytes, 16 * 1_000_000 + DECODE_FIXED_BYTES);
    }

    #[test]
    fn a_limit_that_the_cache_does_not_fit_names_it() {
        let mut config = Config { cache: Cache::memory(1 << 30), ..small() };
        config.memory_limit = Some(1 << 30);
        let error = derived(&config).err().unwrap();
        assert_eq!(error.field(), Some("memory_limit"));
        assert!(error.to_string().contains("cache 1073741824"), "{error}");
        config.memory_limit = Some(2 << 30);
        assert!(derived(&config).unwrap().memory.total_bytes <= 2 << 30);
    }

    #[test]
    fn one_largest_file_and_picture_always_fit() {
        for limit in [None, Some(3 << 30), Some(1 << 30), Some(640 << 20)] {
            let config = Config { memory_limit: limit, ..Config::default() };
            let Derived { limits, memory, .. } = derived(&config).unwrap();
            assert!(memory.encoded_bytes >= limits.max_file_bytes);
            let largest = limits.max_pixels * DECODE_BYTES_PER_PIXEL + DECODE_FIXED_BYTES;
            assert!(memory.decode_bytes >= largest);
            assert!(limits.max_pixels >= LEAST_PIXELS);
        }
    }

    #[test]
    fn a_limit_is_kept_or_refused_with_the_sum() {
        let mut config = small();
        let free = derived(&config).unwrap().memory;
        let mut kept = 0;
        for limit in (0..free.total_bytes + (8 << 20)).step_by(7 << 20) {
            config.memory_limit = Some(limit);
            match derived(&config) {
                Ok(Derived { prefetch, memory, .. }) => {
                    kept += 1;
                    assert!((1..=2).contains(&prefetch));
                    assert!(memory.total_bytes <= limit, "{memory} above {limit}");
                }
                Err(error) => {
                    assert_eq!(error.field(), Some("memory_limit"));
                    assert!(error.to_string().contains("= batches "), "{error}");
                }
            }
        }
        assert!(kept > 10);
    }

    /// A quarter for files, the rest for pictures, and all of it where they need none.
    #[test]
    fn what_a_limit_spares_is_shared_out() {
        const MIB: u64 = 1 << 20;
        let shared = |max_pixels| {
            let config = Config { prefetch: 2, max_pixels, ..Config::default() };
            let least = Limits { max_file_bytes: LEAST_FILE_BYTES, ..Limits::default() };
            let least = Limits { max_pixels: LEAST_PIXELS, ..least };
            let tight = Parts::new::<f32>(&config, 2, 16).unwrap().tight(2, &least);
            let limit = tight.total_bytes + 40 * MIB;
            let Derived { memory, limits, .. } =
                derived(&Config { memory_limit: Some(limit), ..config }).unwrap();
            assert_eq!((memory.total_bytes, memory.batch_bytes), (limit, tight.batch_bytes));
            assert_eq!(limits.max_file_bytes, memory.encoded_bytes);
            assert_eq!(limits.max_pixels, (memory.decode_bytes - DECODE_FIXED_BYTES) / 13);
            let more = memory.decode_bytes - tight.decode_bytes;
            (memory.encoded_bytes - tight.encoded_bytes, more)
        };
        assert_eq!(shared(None), (10 * MIB, 30 * MIB));
        assert_eq!(shared(Some(LEAST_PIXELS)), (40 * MIB, 0));
    }

    #[test]
    fn an_open_prefetch_gives_way_and_a_stated_one_does_not() {
        let mut config = small();
        let batch = derived(&config).unwrap().memory.batch_bytes;
        config.memory_limit = Some(2 * batch + (80 << 20));
        assert_eq!(derived(&config).unwrap().prefetch, 1);
        config.prefetch = 2;
        assert_eq!(derived(&config).err().unwrap().field(), Some("memory_limit"));
    }
}
