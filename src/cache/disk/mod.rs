//! Pixels kept in a file.
//!
//! ```text
//! place      the folder, names, temporary files
//! format     header, index and footer as bytes, checked
//! blocks     room in the file (pure)
//! growing    the file being written
//! position   reading and writing at a position
//! ```
//!
//! A file under its name is never changed. Whoever has something to add copies
//! its blocks into a temporary file, adds records there, and in the end writes an
//! index and renames it; others keep reading the file that they opened. What is
//! read is checked against its checksum and, once per run, against its sample's
//! fingerprint. Nothing is flushed to the device: what a crash of the machine
//! tears, the checksums tell.

mod blocks;
mod format;
#[cfg(any(test, fuzzing))]
mod fuzzed;
mod growing;
mod place;
mod position;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subset::{Key, Subset};
use crate::config::Size;
use crate::source::Fingerprint;
use blocks::{BLOCK, Extent};
use format::{Entry, INDEX_BYTES, Unfit, checksum, read_index};
use growing::Growing;
use place::Place;

pub(super) use format::{FRAME_BYTES, record_bytes};
#[cfg(any(test, fuzzing))]
pub(crate) use fuzzed::open as open_damaged;

/// Hash of a sample's path, by which its record is found.
pub(super) fn id(path: &Path) -> u64 {
    checksum(path.as_os_str().as_encoded_bytes())
}

#[derive(Debug)]
pub(super) struct Disk {
    place: Place,
    key: u128,
    words: String,
    limit: u64,
    /// The file being written. Taken before `state`, by those who store; for as
    /// long as copying the file that it continues takes.
    growing: Mutex<Growing>,
    /// Taken for moments only, by all.
    state: Mutex<State>,
    /// Nothing more is stored: a write has failed.
    stopped: AtomicBool,
    stale: AtomicU64,
    damaged: AtomicU64,
    write_errors: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Where the records are.
    file: Option<Arc<File>>,
    /// By the hash of the sample's path.
    records: HashMap<u64, Slot>,
    subset: Subset,
    /// Blocks of records that were dropped, for the next writer.
    freed: Vec<Extent>,
}

#[derive(Debug)]
enum Slot {
    /// Somebody is writing it, who knows this number.
    Filling(u64),
    Here {
        entry: Arc<Entry>,
        /// The sample's fingerprint was compared in this run.
        verified: bool,
    },
}

/// A record that may be served once it has been checked.
#[derive(Debug)]
pub(super) struct Found {
    id: u64,
    file: Arc<File>,
    entry: Arc<Entry>,
    verified: bool,
}

impl Found {
    /// Bytes of its pixels.
    pub(super) fn len(&self) -> usize {
        self.entry.len as usize
    }

    pub(super) fn size(&self) -> Size {
        self.entry.size
    }

    /// Whether the sample's fingerprint is needed to serve it.
    pub(super) fn is_unverified(&self) -> bool {
        !self.verified
    }
}

/// A sample that is to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct New {
    pub(super) id: u64,
    pub(super) index: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) size: Size,
}

impl Disk {
    /// The cache in `dir` for the configuration that `words` describe and `key`
    /// is the hash of: what a file of an earlier run holds, if it is whole. At
    /// most `limit` bytes; every sample has `each` bytes, where that is known.
    pub(super) fn open(
        dir: &Path,
        key: u128,
        words: String,
        limit: u64,
        each: Option<u64>,
    ) -> io::Result<Self> {
        let place = Place::new(dir, key)?;
        place.sweep();
        let room = limit.saturating_sub(FRAME_BYTES);
        let mut disk = Disk {
            place,
            key,
            words,
            limit,
            growing: Mutex::new(Growing::new()),
            state: Mutex::new(State::empty(room, each)),
            stopped: AtomicBool::new(false),
            stale: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
        };
        match disk.read_file(State::empty(room, each)) {
            Ok(state) => disk.state = Mutex::new(state),
            Err(Unfit(reason)) => {
                disk.damaged.fetch_add(1, Ordering::Relaxed);
                let path = disk.place.path();
                tracing::warn!(path = %path.display(), "the cache is made anew: {reason}");
            }
        }
        Ok(disk)
    }

    fn read_file(&self, mut state: State) -> Result<State, Unfit> {
        let Some(file) = self.place.open()? else { return Ok(state) };
        if file.metadata()?.len() > self.limit {
            tracing::warn!(path = %self.place.path().display(), "larger than its limit: made anew");
            return Ok(state);
        }
        let State { records, subset, .. } = &mut state;
        read_index(&file, self.key, |entry| {
            let key = Key { index: entry.index, id: entry.id };
            let offer = subset.offer(key, record_bytes(u64::from(entry.len)));
            for evicted in offer.evicted {
                records.remove(&evicted.id);
            }
            if offer.kept {
                records.insert(entry.id, Slot::Here { entry: Arc::new(entry), verified: false });
            }
        })?;
        state.file = Some(Arc::new(file));
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn growing(&self) -> MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- serving

    /// The record of a sample, unchecked. Does not block.
    pub(super) fn find(&self, id: u64) -> Option<Found> {
        let state = self.state();
        let Some(Slot::Here { entry, verified }) = state.records.get(&id) else { return None };
        let file = Arc::clone(state.file.as_ref()?);
        Some(Found { id, file, entry: Arc::clone(entry), verified: *verified })
    }

    /// Reads the record of sample `index`, whose fingerprint is `now`, into
    /// `pixels`. False when it must not be served. Blocks.
    pub(super) fn read(
        &self,
        found: &Found,
        index: u64,
        now: Option<Fingerprint>,
        pixels: &mut [u8],
    ) -> bool {
        let Found { id, file, entry, verified } = found;
        if !verified && now != Some(entry.fingerprint) {
            self.forget(*id, entry, &self.stale);
            return false;
        }
        let mut rest = &mut pixels[..];
        let read = entry.extents.iter().try_for_each(|extent| {
            let bytes = (u64::from(extent.blocks) * BLOCK).min(rest.len() as u64);
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(bytes as usize);
            rest = behind;
            position::read_exact_at(file, part, u64::from(extent.start) * BLOCK)
        });
        let whole = read.is_ok() && checksum(pixels) == entry.checksum;
        // Only now, as a record that has moved is another one from then on.
        match (whole, verified) {
            (false, _) => self.forget(*id, entry, &self.damaged),
            (true, false) => self.verify(*id, entry, index),
            (true, true) => {}
        }
        whole
    }

    /// The sample is as it was when it was stored, perhaps at another place of
    /// the source's order.
    fn verify(&self, id: u64, entry: &Arc<Entry>, index: u64) {
        let mut state = self.state();
        let State { records, subset, .. } = &mut *state;
        let Some(Slot::Here { entry: here, verified }) = records.get_mut(&id) else { return };
        if !Arc::ptr_eq(here, entry) {
            return;
        }
        *verified = true;
        if entry.index == index {
            return;
        }
        *here = Arc::new(Entry { index, ..Entry::clone(entry) });
        subset.remove(Key { index: entry.index, id });
        if !state.offer(Key { index, id }, record_bytes(u64::from(entry.len))) {
            state.drop_record(id);
        }
    }

    /// Drops a record that must not be served, unless another has taken its
    /// place.
    fn forget(&self, id: u64, entry: &Arc<Entry>, counter: &AtomicU64) {
        let mut state = self.state();
        match state.records.get(&id) {
            Some(Slot::Here { entry: here, .. }) if Arc::ptr_eq(here, entry) => {}
            _ => return,
        }
        counter.fetch_add(1, Ordering::Relaxed);
        state.subset.remove(Key { index: entry.index, id });
        state.drop_record(id);
    }

    // ---- growing

    /// Whether the pixels of a sample would be stored.
    pub(super) fn wants(&self, id: u64, index: u64) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return false;
        }
        let state = self.state();
        state.subset.may_keep(index) && !state.records.contains_key(&id)
    }

    /// Stores the pixels of a sample, unless it is there already or has no place
    /// among those that are. Blocks, the first time for as long as it takes to
    /// copy the file that is continued.
    pub(super) fn store(&self, new: New, pixels: &[u8]) {
        let Ok(len) = u32::try_from(pixels.len()) else { return };
        let Some((writing, extents)) = self.reserve(new, u64::from(len)) else { return };
        let mut rest = pixels;
        let written = extents.iter().try_for_each(|extent| {
            let bytes = (u64::from(extent.blocks) * BLOCK).min(rest.len() as u64);
            let (part, behind) = rest.split_at(bytes as usize);
            rest = behind;
            position::write_all_at(&writing.file, part, u64::from(extent.start) * BLOCK)
        });
        let New { id, index, fingerprint, size } = new;
        let checksum = checksum(pixels);
        let entry = Entry { id, index, fingerprint, checksum, len, size, extents };
        let mut growing = self.growing();
        let mut state = self.state();
        let mine = matches!(state.records.get(&id), Some(Slot::Filling(n)) if *n == writing.number);
        match written {
            Ok(()) if mine && growing.is(&writing) => {
                growing.dirty();
                let entry = Arc::new(entry);
                state.records.insert(id, Slot::Here { entry, verified: true });
                return;
            }
            // Evicted in the meantime, or the file got its index already.
            Ok(()) => {}
            Err(error) => self.broken(&mut growing, &error),
        }
        growing.give_back(&writing, &entry.extents);
        if mine {
            state.records.remove(&id);
            state.subset.remove(Key { index, id });
        }
    }

    /// Room for a record, and the file to write it to.
    fn reserve(&self, new: New, len: u64) -> Option<(growing::Writing, Vec<Extent>)> {
        let New { id, index, .. } = new;
        let (key, bytes) = (Key { index, id }, record_bytes(len));
        let mut growing = self.growing();
        if !self.wants(id, index) {
            return None;
        }
        if growing.may_begin() {
            // Asked first: what has no place is not worth the copying.
            if !self.state().offer(key, bytes) {
                return None;
            }
            if let Err(error) = self.begin(&mut growing) {
                self.broken(&mut growing, &error);
            }
        }
        let writing = growing.writing();
        let mut state = self.state();
        let Some(writing) = writing else {
            state.subset.remove(key);
            return None;
        };
        // Asked again, as it may have had to go while the file was copied.
        let kept = state.offer(key, bytes);
        growing.free(&std::mem::take(&mut state.freed));
        if !kept {
            return None;
        }
        let index = FRAME_BYTES - BLOCK + INDEX_BYTES * state.subset.len() as u64;
        let most = self.limit.saturating_sub(index) / BLOCK;
        let Some(extents) = growing.take(blocks::blocks(len), most) else {
            // Evicted records are still being written where this one would be: it
            // waits for a later epoch.
            state.subset.remove(key);
            return None;
        };
        state.records.insert(id, Slot::Filling(writing.number));
        Some((writing, extents))
    }

    /// Begins a file, with the blocks of the one that it continues.
    fn begin(&self, growing: &mut Growing) -> io::Result<()> {
        let (file, used) = {
            let mut state = self.state();
            state.freed.clear();
            let used = state.entries().flat_map(|entry| entry.extents.iter().copied());
            (state.file.clone(), used.collect())
        };
        let copy = growing.begin(&self.place, self.key, &self.words, file.as_deref(), used)?;
        self.state().file = Some(copy);
        Ok(())
    }

    /// The file cannot grow any further; what it holds is served.
    fn broken(&self, growing: &mut Growing, error: &io::Error) {
        self.write_errors.fetch_add(1, Ordering::Relaxed);
        self.stopped.store(true, Ordering::Relaxed);
        if growing.stop() {
            let path = self.place.path();
            tracing::warn!(path = %path.display(), %error, "the cache stops growing");
        }
    }

    #[cfg(any(test, fuzzing))]
    fn is_dirty(&self) -> bool {
        self.growing().is_dirty()
    }

    /// Gives the file its index and its name, if something is new in it.
    pub(super) fn finish(&self) {
        let mut growing = self.growing();
        if !growing.is_dirty() {
            return;
        }
        let mut entries: Vec<Arc<Entry>> = self.state().entries().map(Arc::clone).collect();
        entries.sort_unstable_by_key(|entry| (entry.index, entry.id));
        let entries = entries.iter().map(|entry| &**entry);
        if let Err(error) = growing.finish(&self.place, self.key, entries) {
            self.broken(&mut growing, &error);
        }
    }

    // ---- figures

    /// Samples kept, and the bytes they count for.
    pub(super) fn kept(&self) -> (u64, u64) {
        let state = self.state();
        (state.subset.len() as u64, state.subset.bytes())
    }

    /// Records whose source had changed; records or files that were damaged;
    /// writes that failed.
    pub(super) fn troubles(&self) -> [u64; 3] {
        [&self.stale, &self.damaged, &self.write_errors].map(|count| count.load(Ordering::Relaxed))
    }
}

impl State {
    fn empty(room: u64, each: Option<u64>) -> Self {
        let subset = Subset::new(room, each.map(record_bytes));
        State { file: None, records: HashMap::new(), subset, freed: Vec::new() }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.records.values().filter_map(|slot| match slot {
            Slot::Here { entry, .. } => Some(entry),
            Slot::Filling(_) => None,
        })
    }

    /// Whether a sample has a place; drops the records that have to go for it.
    fn offer(&mut self, key: Key, bytes: u64) -> bool {
        let offer = self.subset.offer(key, bytes);
        for evicted in offer.evicted {
            self.drop_record(evicted.id);
        }
        offer.kept
    }

    /// Takes a record out; its blocks are free, but for one that is being
    /// written: its writer gives them back.
    fn drop_record(&mut self, id: u64) {
        if let Some(Slot::Here { entry, .. }) = self.records.remove(&id) {
            self.freed.extend_from_slice(&entry.extents);
        }
    }
}

#[cfg(test)]
mod tests;
