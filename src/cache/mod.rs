//! The cache: decoded pixels kept from epoch to epoch, in memory or on disk.
//!
//! ```text
//! subset     which samples are kept when not all fit (pure)
//! memory     pixels in memory, by index
//! disk       pixels in a file, by path and fingerprint
//! ```
//!
//! What is kept are the final 8-bit levels of a sample's row, in the row's own
//! layout and colour order: what a `u8` batch would hold. From them the elements
//! of any type are made by one conversion, in the first epoch and in later ones,
//! so that a cached sample is byte-identical to a fresh one. The read stage asks
//! here before it reads; the decoder threads store what they made. A failed
//! sample is never stored.

mod disk;
mod memory;
mod subset;

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twox_hash::XxHash3_128;

use crate::config::{self, Color, Resolved, Size};
use crate::decode::Decode;
use crate::error::{Error, Result};
use crate::source::{Admission, Encoded, Fingerprint, ReadFuture, Source, blocking};
use crate::stats::{CacheStats, EpochCounters};
use disk::{Disk, New};
use memory::{Block, Memory};

#[cfg(any(test, fuzzing))]
pub(crate) use disk::open_damaged;
pub(crate) use memory::memory_bytes;

/// Bytes that a cache file takes for one sample of `len` bytes of pixels.
pub(crate) fn file_bytes(len: u64) -> u64 {
    disk::FRAME_BYTES + disk::record_bytes(len)
}

/// The cache as the pipeline sees it.
#[derive(Debug)]
pub(crate) struct Cache {
    store: Store,
    limit: u64,
    /// The budget that pixels from disk are lent memory from.
    lent: u64,
    hits: AtomicU64,
    misses: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
enum Store {
    Memory(Memory),
    Disk(Box<Disk>),
}

/// Which samples have come by, so that a file is finished when all have.
#[derive(Debug, Default)]
struct Seen {
    /// One bit for each sample.
    samples: Vec<u64>,
    count: u64,
    /// So many are to come; unknown during the walk.
    expected: Option<u64>,
    finished: bool,
}

/// The pixels of a cached sample.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Bytes,
    /// Width and height, in pixels.
    pub(crate) size: Size,
}

#[derive(Debug)]
enum Bytes {
    Memory(Arc<Block>),
    /// Memory lent from the budget of encoded bytes.
    Read(Encoded),
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Memory(block) => block,
            Bytes::Read(bytes) => bytes,
        }
    }
}

/// What a look at the disk came to.
enum Looked {
    Here(Encoded),
    /// The sample as it is before it is read.
    Missing(Option<Fingerprint>),
}

impl Kept {
    /// The pixels that were read, or the encoded bytes as they are.
    pub(crate) fn of(read: Encoded) -> Result<Self, Encoded> {
        match read.pixels {
            Some(size) => Ok(Kept { bytes: Bytes::Read(read), size }),
            None => Err(read),
        }
    }
}

impl Cache {
    /// The cache that `config` asks for, of what `decoder` makes of the source
    /// called `root`.
    pub(crate) fn open(
        config: &Resolved,
        root: &Path,
        decoder: &dyn Decode,
    ) -> Result<Option<Arc<Self>>> {
        // Scaled pictures are of any shape.
        let each = match config.cache_side {
            None => Some((config.color.channels() * config.size.pixels()) as u64),
            Some(_) => None,
        };
        let (store, limit) = match &config.cache {
            config::Cache::None => return Ok(None),
            config::Cache::Memory { limit } => (Store::Memory(Memory::new(*limit, each)), *limit),
            config::Cache::Disk { dir, limit } => {
                let Some(decoder) = decoder.identity() else {
                    let reason = "the decoder has no identity (Decode::identity), so pixels on \
                                  disk could be another's; keep them in memory";
                    return Err(Error::config("cache", &config.cache, reason));
                };
                let words = words(config, root, &decoder);
                let key = XxHash3_128::oneshot(words.as_bytes());
                let disk = Disk::open(dir, key, words, *limit, each).map_err(|error| {
                    let reason = format!("the folder cannot be made: {error}. Name another");
                    Error::config("cache", &config.cache, reason)
                })?;
                (Store::Disk(Box::new(disk)), *limit)
            }
        };
        let (hits, misses, seen) = Default::default();
        let lent = config.memory.encoded_bytes;
        Ok(Some(Arc::new(Cache { store, limit, lent, hits, misses, seen })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the readers' side

    /// The pixels of a sample, if they are in memory. Never blocks.
    pub(crate) fn at_hand(&self, index: u64) -> Option<Kept> {
        let Store::Memory(memory) = &self.store else { return None };
        let block = memory.get(index)?;
        Some(Kept { size: block.size, bytes: Bytes::Memory(block) })
    }

    /// As [`Source::read`], but the pixels of a sample that is on disk, whole, as
    /// it is now.
    pub(crate) fn read(
        self: &Arc<Self>,
        index: u64,
        path: &Path,
        source: &Arc<dyn Source>,
        admission: Admission,
    ) -> ReadFuture {
        let Store::Disk(disk) = &self.store else { return source.read(path, admission) };
        let id = disk::id(path);
        let found = disk.find(id);
        if found.is_none() && !disk.wants(id, index) {
            return source.read(path, admission);
        }
        let (this, source, path) = (Arc::clone(self), Arc::clone(source), path.to_owned());
        Box::pin(async move {
            let room = match &found {
                Some(found) => admission.admit_pixels(found.len()).await,
                None => None,
            };
            let looked = {
                let (source, path) = (Arc::clone(&source), path.clone());
                blocking(move || Ok(this.look(index, &path, &*source, found.zip(room)))).await?
            };
            let fingerprint = match looked {
                Looked::Here(pixels) => return Ok(pixels),
                Looked::Missing(fingerprint) => fingerprint,
            };
            let mut encoded = source.read(&path, admission).await?;
            encoded.fingerprint = fingerprint;
            Ok(encoded)
        })
    }

    /// Blocks.
    fn look(
        &self,
        index: u64,
        path: &Path,
        source: &dyn Source,
        found: Option<(disk::Found, Encoded)>,
    ) -> Looked {
        // What keeps it from being had will keep the sample from being read.
        let fingerprint = || source.fingerprint(path).ok().flatten();
        let (Store::Disk(disk), Some((found, mut pixels))) = (&self.store, found) else {
            return Looked::Missing(fingerprint());
        };
        let now = if found.is_unverified() { fingerprint() } else { None };
        if disk.read(&found, index, now, &mut pixels) {
            pixels.pixels = Some(found.size());
            return Looked::Here(pixels);
        }
        Looked::Missing(now.or_else(fingerprint))
    }

    /// Counts a sample whose pixels were here, or were not.
    pub(crate) fn count(&self, epoch: &EpochCounters, hit: bool) {
        let (all, epoch) = match hit {
            true => (&self.hits, &epoch.cache_hits),
            false => (&self.misses, &epoch.cache_misses),
        };
        all.fetch_add(1, Ordering::Relaxed);
        epoch.fetch_add(1, Ordering::Relaxed);
    }

    // ---- the decoders' side

    /// Whether the pixels of this sample are to be kept. A sample whose
    /// fingerprint is not known is not kept on disk.
    pub(crate) fn wants(&self, index: u64, path: &Path, fingerprint: Option<Fingerprint>) -> bool {
        match &self.store {
            Store::Memory(memory) => memory.wants(index),
            Store::Disk(disk) => fingerprint.is_some() && disk.wants(disk::id(path), index),
        }
    }

    /// Keeps the pixels of a sample, if they have a place among those that are
    /// kept. On disk only what could be read from there: a picture much longer
    /// than wide may be more than the whole budget. May block.
    pub(crate) fn store(
        &self,
        index: u64,
        path: &Path,
        fingerprint: Option<Fingerprint>,
        size: Size,
        pixels: &[u8],
    ) {
        match &self.store {
            Store::Memory(memory) => memory.store(index, size, pixels),
            Store::Disk(disk) => {
                let Some(fingerprint) = fingerprint.filter(|_| pixels.len() as u64 <= self.lent)
                else {
                    return;
                };
                disk.store(New { id: disk::id(path), index, fingerprint, size }, pixels);
            }
        }
    }

    /// A sample has come by, from the cache or not, or has failed.
    pub(crate) fn note(&self, index: u64) {
        if let Store::Disk(_) = &self.store {
            self.seen().note(index);
        }
    }

    /// The same; when all have, the file is finished. May block.
    pub(crate) fn passed(&self, index: u64) {
        let Store::Disk(disk) = &self.store else { return };
        let due = {
            let mut seen = self.seen();
            seen.note(index);
            seen.take_due()
        };
        if due {
            disk.finish();
        }
    }

    /// The walk has ended: an epoch has so many different samples.
    pub(crate) fn expect(&self, samples: u64) {
        self.seen().expected = Some(samples);
    }

    /// No more samples come: what is not in the file under its name yet is put
    /// there.
    pub(crate) fn close(&self) {
        if let Store::Disk(disk) = &self.store {
            disk.finish();
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let (samples, bytes) = match &self.store {
            Store::Memory(memory) => memory.kept(),
            Store::Disk(disk) => disk.kept(),
        };
        let [stale, damaged, write_errors] = match &self.store {
            Store::Memory(_) => [0; 3],
            Store::Disk(disk) => disk.troubles(),
        };
        CacheStats {
            limit_bytes: self.limit,
            samples,
            bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stale,
            damaged,
            write_errors,
        }
    }
}

impl Seen {
    fn note(&mut self, index: u64) {
        if self.finished {
            return;
        }
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        if self.samples.len() <= word {
            self.samples.resize(word + 1, 0);
        }
        if self.samples[word] & bit == 0 {
            self.samples[word] |= bit;
            self.count += 1;
        }
    }

    /// True once, when all have come by.
    fn take_due(&mut self) -> bool {
        let due = !self.finished && self.expected.is_some_and(|expected| self.count >= expected);
        self.finished |= due;
        due
    }
}

/// Everything that decides the pixels, in words; its hash is the key of a file.
/// Limits are in it, as a sample above them fails and must not be served.
fn words(config: &Resolved, root: &Path, decoder: &str) -> String {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let Resolved { size, fit, filter, decode, layout, color, limits, .. } = config;
    let pixels = match config.cache_side {
        None => format!("size {size}, fit {fit}, layout {layout}, color {color}"),
        // Crops of any size are cut from one file.
        Some(side) if *color == Color::Grey => format!("side {side}, grey"),
        Some(side) => format!("side {side}"),
    };
    // Each part of a source has a file of its own: their samples have the same places, and
    // one would write over the other's.
    let split = config.split.map(|split| split.to_string());
    let subset = config.subset_hash.map(|hash| format!("subset {hash:016x}"));
    let skipped = config.skip_list_hash.map(|hash| format!("skip list {hash:016x}"));
    let part = [split, subset, skipped].into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!(
        "infeed {}\nsource {}\npart {part}\ndecoder {decoder}\n{pixels}\nfilter {filter}\n\
         decode {decode}\nmax_file_bytes {}\nmax_pixels {}\nmax_side {}\nmax_scans {}\n",
        env!("CARGO_PKG_VERSION"),
        // Debug, so that no two paths look the same.
        format_args!("{root:?}"),
        limits.max_file_bytes,
        limits.max_pixels,
        limits.max_side,
        limits.max_scans,
    )
}
