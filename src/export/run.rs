//! An export under way: decoded here, written and brought to the disk by two threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, ScopedJoinHandle};
use std::time::Instant;

use super::begin::Stand;
use super::folder::{Failed, Io, free_bytes};
use super::journal::{Journal, Records};
use super::lock::Lock;
use super::merge::finish;
use super::npy::NpyElement;
use super::recipe::Recipe;
use super::summary::{Progress, Summary};
use super::writer::{Committer, Lost, Piece, Shared, WriteStats, Writer, open_single};
use crate::config::{Resolved, Shard};
use crate::error::{Error, Result, SampleError};
use crate::loader::{Loader, Monitor, StopHandle};
use crate::plan::Begun;
use crate::source::Source;
use crossbeam_channel::{Sender, bounded};

/// An export that has been looked at, and is to [`run`](Self::run): what
/// [`Export::start`](super::Export::start) returns.
#[derive(Debug)]
pub struct Exporting<T: NpyElement> {
    loader: Loader<T>,
    source: Hidden,
    out: PathBuf,
    journal: Journal,
    recipe: Recipe,
    part: Shard,
    /// Of shards that were complete before.
    records: Records,
    lock: Option<Lock>,
    todo: Vec<u64>,
    shared: Arc<Shared>,
    summary: Summary,
}

/// Not to be shown.
struct Hidden(Arc<dyn Source>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.root().fmt(f)
    }
}

impl<T: NpyElement> Exporting<T> {
    pub(super) fn new(
        loader: Loader<T>,
        source: Arc<dyn Source>,
        out: PathBuf,
        journal: Journal,
        recipe: Recipe,
        part: Shard,
        stand: Stand,
    ) -> Self {
        let shards = recipe.shards().count();
        let (records, lock, summary) = match stand {
            Stand::Ended(index) => {
                (Records::new(), None, Summary { resumed: shards, ..index.summary(&out) })
            }
            Stand::Open(records, lock) => {
                let summary = Summary { out: out.clone(), shards, ..Summary::default() };
                let mut summary = summary.with(&records);
                summary.resumed = summary.complete;
                (records, Some(lock), summary)
            }
        };
        let ours = recipe.shards().part(part);
        let todo: Vec<u64> = match summary.ended {
            true => Vec::new(),
            false => ours.filter(|shard| !records.contains_key(shard)).collect(),
        };
        Exporting {
            loader,
            source: Hidden(source),
            out,
            journal,
            recipe,
            part,
            records,
            lock,
            todo,
            shared: Arc::default(),
            summary,
        }
    }

    /// The configuration with every value settled.
    #[must_use]
    pub fn config(&self) -> &Resolved {
        self.loader.config()
    }

    /// A handle that reads the loader's figures from elsewhere.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.loader.monitor()
    }

    /// A handle that stops the export from elsewhere: shards that are whole by then are
    /// completed.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.loader.stop_handle()
    }

    /// Samples of a shard, the last one apart.
    #[must_use]
    pub fn shard_samples(&self) -> u64 {
        self.recipe.shard_size
    }

    /// Shards that are left to make here.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.todo.len() as u64
    }

    /// About how many bytes are left to write, and how many are free in the folder,
    /// where the system tells.
    #[must_use]
    pub fn space(&self) -> (u64, Option<u64>) {
        (self.needed(), free_bytes(&self.out))
    }

    /// What is there now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// What writing has cost so far.
    #[must_use]
    pub fn stats(&self) -> WriteStats {
        *self.shared.stats()
    }

    /// Makes what is left, and where this process makes all parts, ends the export.
    /// `progress` is called after each batch. Once: after an error, start another export.
    ///
    /// # Errors
    ///
    /// What ends a run of the loader, a failed sample included
    /// ([`OnError::Fail`](crate::OnError::Fail));
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the disk is full or cannot
    /// be written. Shards that are complete stay, and the same export goes on from there.
    pub fn run(&mut self, progress: impl FnMut(&Progress)) -> Result<()> {
        if self.summary.ended {
            return Ok(());
        }
        let Some(lock) = self.lock.take() else {
            let reason = "an export runs once. Start another, which goes on where this one stood";
            return Err(Error::config("run", "again", reason));
        };
        let made = self.make(progress);
        let looked = self.look();
        // The first error says why.
        made.and(looked)?;
        if self.part == Shard::WHOLE {
            let index = finish(&self.out, &self.journal, &self.recipe, &self.records)
                .map_err(|failed| self.told(failed))?;
            lock.end(&self.journal)?;
            self.summary = Summary { resumed: self.summary.resumed, ..index.summary(&self.out) };
        }
        Ok(())
    }

    /// What is complete now.
    fn look(&mut self) -> Result<()> {
        self.records = self.journal.records(&self.recipe)?;
        let resumed = self.summary.resumed;
        let (out, shards) = (self.out.clone(), self.summary.shards);
        self.summary = Summary { out, shards, resumed, ..Summary::default() }.with(&self.records);
        self.todo.retain(|shard| !self.records.contains_key(shard));
        Ok(())
    }

    fn make(&mut self, mut progress: impl FnMut(&Progress)) -> Result<()> {
        self.journal.forget(&self.todo).map_err(|failed| self.told(failed))?;
        if self.todo.is_empty() {
            return Ok(());
        }
        let shards = self.recipe.shards();
        let (turns, until) = shards.left(&self.todo);
        let of = turns.count(until);
        let part = shards.part(self.part);
        let ours = self.records.range(part).map(|(_, record)| record.failed.len() as u64);
        let begun = Begun { turns, until: Some(until), failed: ours.sum(), ..Begun::default() };
        let single = self.recipe.single.then(|| open_single(&self.out, &self.recipe)).transpose();
        let single = single.map_err(|failed| self.told(failed))?.map(Arc::new);
        let (pieces, written) = bounded(1);
        // With the one that is being brought to the disk, two are not complete yet.
        let (finished, committed) = bounded(1);
        let first = self.todo[0];
        let skips = self.recipe.skips();
        let prints = [true, false].map(|failed| self.recipe.print(failed));
        let writer = Writer {
            out: self.out.clone(),
            arrays: self.recipe.arrays(),
            shards,
            source: Arc::clone(&self.source.0),
            single: single.clone(),
            row: match skips {
                true => self.records.range(..first).map(|(_, record)| record.rows).sum(),
                false => shards.range(first).start,
            },
            fixed: !skips,
            todo: self.todo.iter().copied().collect(),
            lost: Vec::new(),
            prints,
            shared: Arc::clone(&self.shared),
            finished,
        };
        let (out, journal) = (self.out.clone(), self.journal.clone());
        let shared = Arc::clone(&self.shared);
        let committer = Committer { out, journal, single, shared };
        let (complete, loader, shared) = (self.summary.complete, &mut self.loader, &self.shared);
        let made = std::thread::scope(|scope| {
            let started = |error| Error::system("a thread cannot be started", error);
            let writing = Builder::new()
                .name("infeed-write".to_owned())
                .spawn_scoped(scope, move || writer.run(&written))
                .map_err(started)?;
            let committing = Builder::new()
                .name("infeed-sync".to_owned())
                .spawn_scoped(scope, move || committer.run(&committed))
                .map_err(started)?;
            let mut told = Progress { images: 0, of, complete };
            let decoded = decode(loader, begun, &pieces, shared, |images| {
                told.images += images;
                told.complete = complete + shared.complete.load(Ordering::Relaxed);
                progress(&told);
            });
            drop(pieces);
            let decoding_ended = Instant::now();
            let (written, committed) = (joined(writing), joined(committing));
            shared.stats().drained = decoding_ended.elapsed();
            Ok::<Made, Error>(Made { decoded, written, committed })
        })?;
        // Who ended first knows why.
        let failed = match (made.committed?, made.written?) {
            (Err(failed), _) | (Ok(()), Err(failed)) => failed,
            (Ok(()), Ok(())) => return made.decoded.map(drop),
        };
        drop(self.look());
        Err(self.told(failed))
    }

    /// Bytes that the rest takes.
    fn needed(&self) -> u64 {
        let shards = self.recipe.shards();
        let rows = self.todo.iter().map(|&shard| {
            let range = shards.range(shard);
            range.end - range.start
        });
        match self.todo.len() as u64 {
            0 => self.recipe.manifest_bytes(self.summary.images),
            shards => self.recipe.bytes(rows.sum(), shards),
        }
    }

    fn told(&self, failed: Failed) -> Error {
        let Summary { complete, shards, .. } = self.summary;
        let kept = format!("{complete} of {shards} shards are complete and stay.");
        failed.told(&self.out, self.needed(), &kept)
    }
}

struct Made {
    decoded: Result<bool>,
    written: Result<Io<()>>,
    committed: Result<Io<()>>,
}

/// Hands every batch to the writer; whether it took all.
fn decode<T: NpyElement>(
    loader: &mut Loader<T>,
    begun: Begun,
    pieces: &Sender<Piece<T>>,
    shared: &Shared,
    mut progress: impl FnMut(u64),
) -> Result<bool> {
    let mut epoch = loader.rest(begun)?;
    let mut told = 0;
    let mut failed = |failures: &[SampleError]| {
        let new = failures[told..].iter().map(|failure| Lost {
            position: failure.position(),
            told: serde_json::to_value(failure).unwrap_or_default(),
        });
        told = failures.len();
        new.collect()
    };
    while let Some(batch) = epoch.next() {
        let batch = batch?;
        let images = batch.len() as u64;
        let piece = Piece::Batch(batch, failed(epoch.failures()));
        let waiting = Instant::now();
        if pieces.send(piece).is_err() {
            return Ok(false);
        }
        shared.stats().held_up += waiting.elapsed();
        progress(images);
    }
    Ok(pieces.send(Piece::End(failed(epoch.failures()))).is_ok())
}

fn joined(thread: ScopedJoinHandle<'_, Io<()>>) -> Result<Io<()>> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().map_err(|_| Error::lost(format!("the thread {name} panicked")))
}
