//! What an export is to do, checked before anything is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::begin::begin;
use super::npy::NpyElement;
use super::run::Exporting;
use super::shards::{MOST_ROWS, ShardSize};
use super::summary::Summary;
use crate::builder::LoaderBuilder;
use crate::config::{OnError, Order, Resolved, Shard};
use crate::error::{Error, Result};

/// Batches that are alive at once beside those in the making: one that is written, one
/// that waits for it, and one that the consumer has in hand.
const HELD: usize = 3;

/// Writes the samples of a loader's first epoch into a folder, as `.npy` files with a
/// manifest.
///
/// ```
/// # let photos = infeed::doc::photos();
/// # let out = tempfile::tempdir()?;
/// # let out = out.path().join("out");
/// use infeed::Loader;
/// use infeed::export::{Export, ShardSize};
///
/// let builder = || Loader::folder(&photos).dtype::<u8>().size(32, 32);
/// let export = || Export::new(builder(), &out).shard_size(ShardSize::Samples(4));
/// let summary = export().run()?;
/// assert_eq!((summary.images, summary.shards), (10, 3));
/// assert!(infeed::export::verify(&out)?.problems.is_empty());
/// // Killed in between, the same would have gone on; now there is nothing left to do.
/// assert_eq!(export().run()?.resumed, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is written depends on the builder's knobs, on the source and on the size of a
/// shard; not on threads, batches, interruptions, or how many processes took part.
#[derive(Debug)]
#[must_use = "an export does nothing until `run` or `start` is called"]
pub struct Export<T: NpyElement> {
    pub(super) builder: LoaderBuilder<T>,
    pub(super) out: PathBuf,
    pub(super) shard_size: ShardSize,
    pub(super) single: bool,
    pub(super) part: Shard,
    pub(super) resume: bool,
    pub(super) overwrite: bool,
}

impl<T: NpyElement> Export<T> {
    /// Of the samples that `builder` says, into the folder `out`, which is made if it is
    /// not there. The memory bound grows by the batches that wait to be written:
    /// [`held_batches`](LoaderBuilder::held_batches) is at least 3.
    pub fn new(builder: LoaderBuilder<T>, out: impl AsRef<Path>) -> Self {
        Export {
            builder,
            out: out.as_ref().to_owned(),
            shard_size: ShardSize::default(),
            single: false,
            part: Shard::WHOLE,
            resume: true,
            overwrite: false,
        }
    }

    /// How much one shard holds. Default 256 MiB of images. Changes results.
    pub fn shard_size(mut self, size: ShardSize) -> Self {
        self.shard_size = size;
        self
    }

    /// One file for all images, `images.npy`, of any size, instead of shards; a shard is
    /// then what is made sure of at once. Default false. Changes results.
    pub fn single(mut self, single: bool) -> Self {
        self.single = single;
        self
    }

    /// The part that this process makes, of several that write into one folder, at the
    /// same time or one after the other: a block of shards. [`merge`](super::merge) then
    /// ends the export. Default the whole, which needs no such step.
    pub fn part(mut self, part: Shard) -> Self {
        self.part = part;
        self
    }

    /// Whether to go on with an export of the same configuration that has not ended.
    /// Default true; with false, that is an error.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Whether to begin anew, whatever export is in the folder; other files there stay.
    /// Default false.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Builds the loader, waits for the end of its walk and looks at what is complete
    /// already; nothing is decoded yet.
    ///
    /// # Errors
    ///
    /// As [`LoaderBuilder::build`]; [`ErrorKind::Config`](crate::ErrorKind::Config) of
    /// the field `out` when the folder holds another export, or another process makes
    /// the same part of this one.
    pub fn start(self) -> Result<Exporting<T>> {
        let config = self.builder.resolve()?;
        self.check(&config)?;
        let Export { builder, out, shard_size, single, part, resume, overwrite } = self;
        let held = config.held_batches.max(HELD);
        let builder = builder.held_batches(held).failures_kept(usize::MAX);
        let export = Export { builder, out, shard_size, single, part, resume, overwrite };
        begin(export)
    }

    /// Does all of it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`Exporting::run`].
    pub fn run(self) -> Result<Summary> {
        let mut exporting = self.start()?;
        exporting.run(|_| {})?;
        Ok(exporting.summary())
    }

    fn check(&self, config: &Resolved) -> Result<()> {
        if let Err(reason) = self.part.check() {
            return Err(Error::config("part", self.part, reason));
        }
        if config.shard != Shard::WHOLE {
            let reason = "an export is shared among processes by blocks of shards, not by ranks: \
                          say which part this one makes (--shard-of)";
            return Err(Error::config("shard", config.shard, reason));
        }
        if config.order != Order::Ordered {
            let reason = "an export is ordered: its bytes are to be the same every time";
            return Err(Error::config("order", config.order, reason));
        }
        if self.builder.resume.is_some() {
            let reason = "an export knows by itself where it stood; leave the state out";
            return Err(Error::config("resume", "a state", reason));
        }
        if let ShardSize::Samples(samples) = self.shard_size
            && samples > MOST_ROWS
        {
            let reason = format!(
                "expected at most {MOST_ROWS} samples: their lines of the manifest are in memory \
                 until the shard is whole. For one file of all images, say single"
            );
            return Err(Error::config("shard_size", samples, reason));
        }
        let parts = self.part.world > 1;
        if self.single && parts && matches!(config.on_error, OnError::Skip { .. }) {
            let reason = "in a single file, the place of a row depends on how many samples before \
                          it were skipped, which other processes do not know: use replace, or \
                          shards";
            return Err(Error::config("on_error", config.on_error, reason));
        }
        if self.overwrite && parts {
            let reason = "one of several processes would remove what others have made: remove the \
                          folder before they start";
            return Err(Error::config("overwrite", true, reason));
        }
        Ok(())
    }

    pub(super) fn source(&self) -> Arc<dyn crate::source::Source> {
        Arc::clone(&self.builder.source)
    }
}
