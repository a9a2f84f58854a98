//! The thread that writes rows while others decode, and the one behind it that makes
//! sure of whole shards on the disk, so that a flush keeps neither from going on.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use serde::Serialize;
use serde_json::Value;

use super::append::Appender;
use super::folder::{At, Coming, Failed, Io, Unnamed, array_name, temporary};
use super::journal::{Journal, Record, name_all};
use super::manifest::{Place, tell};
use super::npy::{HEADER, NpyElement, Rows, write_at};
use super::recipe::Recipe;
use super::shards::Shards;
use crate::batch::{Batch, Sample};
use crate::fence::fence;
use crate::regular;
use crate::source::{Fingerprint, Source};
use crate::stats::StageStats;

/// A look at a file that takes longer waits for a network.
const SLOW: Duration = Duration::from_micros(300);
/// Looks at once, then.
const LOOKERS: usize = 8;

/// What writing did, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WriteStats {
    /// The thread that writes. Items are images; busy is hashing, writing, which is
    /// waiting for the disk where the page cache is left out, and looking at the sources'
    /// files; input is decoding; output is `sync`, when it is two shards behind.
    pub write: StageStats,
    /// The thread that makes sure of shards on the disk. Items are shards; busy is
    /// waiting for what of them is not there yet.
    pub sync: StageStats,
    /// How long finished batches waited for the writing thread: what writing holds
    /// decoding up.
    #[serde(rename = "held_up_seconds", serialize_with = "crate::stats::seconds")]
    pub held_up: Duration,
    /// From the last batch until the last shard was on the disk.
    #[serde(rename = "drained_seconds", serialize_with = "crate::stats::seconds")]
    pub drained: Duration,
}

/// What threads and whoever looks at them share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stats: Mutex<WriteStats>,
    /// Shards that were completed.
    pub(super) complete: AtomicU64,
}

impl Shared {
    pub(super) fn stats(&self) -> MutexGuard<'_, WriteStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes from decoding.
pub(super) enum Piece<T: NpyElement> {
    /// A batch, and the failures told before it.
    Batch(Batch<T>, Vec<Lost>),
    /// All has come: shards without a further row are over too.
    End(Vec<Lost>),
}

/// A sample that failed.
pub(super) struct Lost {
    pub(super) position: u64,
    pub(super) told: Value,
}

/// Single files under their temporary names, with what they hold already.
pub(super) fn open_single(out: &Path, recipe: &Recipe) -> Io<Vec<Unnamed>> {
    let open = |(kind, _): &(&str, Rows)| {
        let name = array_name(kind, None);
        let (path, temporary) = (out.join(&name), out.join(temporary(&name)));
        if path.exists() && !temporary.exists() {
            std::fs::rename(&path, &temporary).at(&path)?;
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let (file, _) = regular::open_as(&mut options, &temporary).at(&path)?;
        Ok(Unnamed { file, path, temporary })
    };
    recipe.arrays().iter().map(open).collect()
}

/// An array of the shard that is being written.
struct Array {
    rows: Rows,
    /// Its own file, or none where all rows have one.
    own: Option<Coming>,
    appender: Appender,
}

/// The shard that is being written.
struct Current {
    arrays: Vec<Array>,
    rows: u64,
    lines: Vec<u8>,
}

/// A shard of which all rows are written.
pub(super) struct Finished {
    record: Record,
    lines: Vec<u8>,
    own: Vec<Coming>,
}

pub(super) struct Writer {
    pub(super) out: PathBuf,
    pub(super) arrays: Vec<(&'static str, Rows)>,
    pub(super) shards: Shards,
    pub(super) source: Arc<dyn Source>,
    /// The files of all rows, where there are no shards.
    pub(super) single: Option<Arc<Vec<Unnamed>>>,
    /// In a single file, where the next row lies; else not looked at.
    pub(super) row: u64,
    /// Whether failed samples leave a single file's rows where they are.
    pub(super) fixed: bool,
    /// Shards that are to be made, in order.
    pub(super) todo: VecDeque<u64>,
    pub(super) lost: Vec<Lost>,
    /// Of the recipe: for shards in which samples failed, and for others.
    pub(super) prints: [u64; 2],
    pub(super) shared: Arc<Shared>,
    pub(super) finished: Sender<Finished>,
}

impl Writer {
    /// Until all has come, or what comes is broken off: then the shard that is begun
    /// is dropped.
    pub(super) fn run<T: NpyElement>(mut self, pieces: &Receiver<Piece<T>>) -> Io<()> {
        let mut current = None;
        loop {
            let waiting = Instant::now();
            let Ok(piece) = pieces.recv() else { return Ok(()) };
            self.shared.stats().write.waiting_for_input += waiting.elapsed();
            match piece {
                Piece::Batch(batch, lost) => {
                    self.lost.extend(lost);
                    self.batch(&mut current, &batch)?;
                }
                Piece::End(lost) => {
                    self.lost.extend(lost);
                    while !self.todo.is_empty() {
                        self.finish(&mut current)?;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn batch<T: NpyElement>(&mut self, current: &mut Option<Current>, batch: &Batch<T>) -> Io<()> {
        let samples = batch.samples();
        let mut at = 0;
        while at < samples.len() {
            let shard = self.shards.of(samples[at].position());
            let same = |sample: &Sample| self.shards.of(sample.position()) == shard;
            let rows = at..at + samples[at..].iter().take_while(|sample| same(sample)).count();
            while self.todo.front().is_some_and(|&front| front < shard) {
                self.finish(current)?;
            }
            if self.todo.front() != Some(&shard) {
                return Err(self.failed(&format!("a row of shard {shard} came, which is not due")));
            }
            let last = samples[rows.end - 1].position();
            at = rows.end;
            self.append(current, batch, rows)?;
            if last + 1 == self.shards.range(shard).end {
                self.finish(current)?;
            }
        }
        Ok(())
    }

    /// Writes rows of the shard in front.
    fn append<T: NpyElement>(
        &mut self,
        current: &mut Option<Current>,
        batch: &Batch<T>,
        rows: Range<usize>,
    ) -> Io<()> {
        let started = Instant::now();
        let (shard, name) = self.front()?;
        let mut open = match current.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let first = self.first() + open.rows;
        let (labels, targets) = (batch.labels(), batch.targets());
        // Arrays of a batch are contiguous.
        let (labels, targets) = (labels.as_slice(), targets.as_slice());
        let parts: [&[u8]; 3] = [
            bytemuck::cast_slice(batch.as_slice()),
            bytemuck::cast_slice(labels.unwrap_or_default()),
            bytemuck::cast_slice(targets.unwrap_or_default()),
        ];
        let mut bytes = 0;
        for (kind, (array, part)) in open.arrays.iter_mut().zip(parts).enumerate() {
            let row = array.rows.bytes() as usize;
            let part = &part[rows.start * row..rows.end * row];
            let Unnamed { file, path, .. } = self.file(array.own.as_ref(), kind);
            array.appender.write(file, part).at(path)?;
            bytes += part.len() as u64;
        }
        let samples = &batch.samples()[rows.clone()];
        let fingerprints = self.fingerprints(samples, &name)?;
        for ((row, sample), fingerprint) in (first..).zip(samples).zip(fingerprints) {
            let place = Place { shard, file: &name, row };
            tell(&mut open.lines, sample, place, fingerprint).at(&self.out.join(&name))?;
        }
        open.rows += rows.len() as u64;
        *current = Some(open);
        let mut stats = self.shared.stats();
        stats.write.items += rows.len() as u64;
        stats.write.bytes += bytes;
        stats.write.busy += started.elapsed();
        Ok(())
    }

    /// Of the samples' files, as they are now.
    fn fingerprints(&self, samples: &[Sample], name: &str) -> Io<Vec<Option<Fingerprint>>> {
        let look = |sample: &Sample| {
            let look = || fence(|| self.source.fingerprint(sample.path())).and_then(|told| told);
            // Once more: a line without it would pass for one of a source that knows none.
            look().or_else(|_| look()).map_err(|cause| {
                let path = self.source.root().join(sample.path());
                let what = format!(
                    "the size and time of {}, which the manifest has, cannot be told: {cause}. Run \
                     the export again, which goes on from there",
                    path.display()
                );
                Failed { path: self.out.join(name), error: io::Error::other(what) }
            })
        };
        let Some((first, rest)) = samples.split_first() else { return Ok(Vec::new()) };
        let started = Instant::now();
        let mut told = vec![look(first)?];
        if started.elapsed() < SLOW {
            told.extend(rest.iter().map(look).collect::<Io<Vec<_>>>()?);
            return Ok(told);
        }
        // Far away, and several can wait at once.
        let parts = rest.chunks(rest.len().div_ceil(LOOKERS).max(1));
        let parts = std::thread::scope(|scope| {
            let waiting: Vec<_> = parts
                .map(|part| {
                    let look = move || part.iter().map(look).collect::<Io<Vec<_>>>();
                    let name = "infeed-look".to_owned();
                    (part, std::thread::Builder::new().name(name).spawn_scoped(scope, look))
                })
                .collect();
            let joined = waiting.into_iter().map(|(part, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(self.failed("it panicked"))),
                Err(_) => part.iter().map(look).collect(),
            });
            joined.collect::<Io<Vec<_>>>()
        })?;
        told.extend(parts.into_iter().flatten());
        Ok(told)
    }

    /// All rows of the shard in front have come.
    fn finish(&mut self, current: &mut Option<Current>) -> Io<()> {
        let started = Instant::now();
        let (shard, _) = self.front()?;
        let Current { mut arrays, rows, lines } = match current.take() {
            Some(open) => open,
            None => self.open()?,
        };
        for (kind, array) in arrays.iter_mut().enumerate() {
            let Unnamed { file, path, .. } = self.file(array.own.as_ref(), kind);
            array.appender.flush(file).at(path)?;
        }
        self.todo.pop_front();
        self.row = match self.todo.front() {
            Some(&next) if self.fixed => self.shards.range(next).start,
            _ => self.row + rows,
        };
        let end = self.shards.range(shard).end;
        // Stable: several may have been tried for one place.
        self.lost.sort_by_key(|lost| lost.position);
        let later = self.lost.partition_point(|lost| lost.position < end);
        let failed: Vec<Value> = self.lost.drain(..later).map(|lost| lost.told).collect();
        let recipe = self.prints[usize::from(failed.is_empty())];
        let digests = arrays.iter().map(|array| array.appender.digest()).collect();
        let mut own = Vec::new();
        for Array { rows: of, own: file, .. } in arrays {
            let Some(file) = file else { continue };
            let Unnamed { file: header, path, .. } = &file.unnamed;
            write_at(header, &of.header(rows), 0).at(path)?;
            own.push(file);
        }
        let busy = started.elapsed();
        let record = Record { shard, recipe, rows, digests, failed };
        let sent = self.finished.send(Finished { record, lines, own });
        let mut stats = self.shared.stats();
        stats.write.busy += busy;
        stats.write.waiting_for_output += started.elapsed().saturating_sub(busy);
        // It says itself why it has ended.
        sent.map_err(|_| self.failed("the thread that brings shards to the disk has ended"))
    }

    /// The shard in front, and its file of images.
    fn front(&self) -> Io<(u64, String)> {
        let shard = self.todo.front().copied();
        let shard = shard.ok_or_else(|| self.failed("a row came that no shard has"))?;
        let (kind, _) = &self.arrays[0];
        Ok((shard, array_name(kind, self.single.is_none().then_some(shard))))
    }

    fn open(&self) -> Io<Current> {
        let (shard, _) = self.front()?;
        let range = self.shards.range(shard);
        let array = |(kind, (name, rows)): (usize, &(&'static str, Rows))| {
            let own = self.single.is_none();
            let own = own.then(|| Coming::create(&self.out, &array_name(name, Some(shard))));
            let own = own.transpose()?;
            let Unnamed { temporary, .. } = self.file(own.as_ref(), kind);
            let at = HEADER + self.first() * rows.bytes();
            let bytes = (range.end - range.start).saturating_mul(rows.bytes());
            let appender = Appender::new(temporary, at, bytes);
            Ok(Array { rows: rows.clone(), own, appender })
        };
        let arrays = self.arrays.iter().enumerate().map(array).collect::<Io<_>>()?;
        Ok(Current { arrays, rows: 0, lines: Vec::new() })
    }

    /// In its file, the first row of the shard in front.
    fn first(&self) -> u64 {
        if self.single.is_some() { self.row } else { 0 }
    }

    fn failed(&self, what: &str) -> Failed {
        Failed { path: self.out.clone(), error: io::Error::other(what) }
    }

    fn file<'a>(&'a self, own: Option<&'a Coming>, kind: usize) -> &'a Unnamed {
        match (own, &self.single) {
            (Some(own), _) => &own.unnamed,
            (None, Some(single)) => &single[kind],
            #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
            (None, None) => unreachable!("an array has a file of its own, or all have one"),
        }
    }
}

/// Brings finished shards to the disk, and writes down that they are there.
pub(super) struct Committer {
    pub(super) out: PathBuf,
    pub(super) journal: Journal,
    pub(super) single: Option<Arc<Vec<Unnamed>>>,
    pub(super) shared: Arc<Shared>,
}

impl Committer {
    pub(super) fn run(self, finished: &Receiver<Finished>) -> Io<()> {
        loop {
            let waiting = Instant::now();
            let Ok(Finished { record, lines, own }) = finished.recv() else { return Ok(()) };
            let started = Instant::now();
            for Unnamed { file, path, .. } in self.single.iter().flat_map(|files| files.iter()) {
                file.sync_data().at(path)?;
            }
            name_all(own, &self.out)?;
            self.journal.commit(&record, &lines)?;
            self.shared.complete.fetch_add(1, Ordering::Relaxed);
            let mut stats = self.shared.stats();
            stats.sync.items += 1;
            stats.sync.waiting_for_input += started - waiting;
            stats.sync.busy += started.elapsed();
        }
    }
}
