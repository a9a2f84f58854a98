//! The only room that opens channels and starts threads, an export's apart.
//!
//! ```text
//! infeed-walk        lists the source into the index, then ends
//! infeed-read        the runtime: granter, read tasks; its blocking pool reads
//! infeed-decode-N    decode and transform
//! infeed-watch       looks at all of that now and then
//! ```
//!
//! All live from [`LoaderBuilder::build`] to the loader's drop and serve epoch
//! after epoch. Dropping closes the window; the granter returns and with it the
//! senders to the decoders go; the decoders finish the sample in hand and find
//! the queue at its end; every thread is joined. What the operating system
//! does not give back is left behind, counted, with nothing but its buffer.

mod controls;
#[cfg(feature = "export")]
mod export;
mod handles;
mod shared;
mod start;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::augment::Augment;
use crate::batch::Pool;
use crate::builder::LoaderBuilder;
use crate::cache::Cache;
use crate::config::{self, Order, Resolved};
use crate::decode::Decode;
use crate::deliver::Delivery;
use crate::element::Element;
use crate::epoch::{Epoch, Epochs};
use crate::error::{Error, Result};
use crate::fence::fence;
use crate::plan::Plan;
use crate::read::budget::ByteBudget;
use crate::read::{Permits, StuckReads, handoff};
use crate::resume::{Resume, Tracker, begun, save_listing};
use crate::source::{Folder, Index, List, Source, no_image};
use crate::stats::{Registry, Stats, Timeline};
use crate::sync::Notify;
use crate::transform::Transform;
use crate::watch::{Activity, Bell};
use crate::window::{Shape, Window};
use controls::Controls;
#[cfg(feature = "tune")]
pub(crate) use handles::Setter;
pub use handles::{Monitor, StopHandle};
use shared::Shared;
use start::{Starting, Threads};

/// How long dropping a loader waits for calls into the operating system (a
/// read, a folder's listing) before it leaves them behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Streams a source of images as fixed-size batches.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::Loader;
///
/// let mut loader = Loader::folder(&photos).batch_size(32).size(64, 64).prefetch(2).build()?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     let images = batch.images();                 // f32, [n, 3, 64, 64], in 0.0..=1.0
///     assert_eq!(images.shape()[1..], [3, 64, 64]);
///     assert_eq!(batch.labels().len(), batch.len());
///     println!("first of the batch: {}", batch.samples()[0].path().display());
/// }
/// # Ok::<(), infeed::Error>(())
/// ```
///
/// Threads and buffers live with the loader and serve epoch after epoch.
/// Dropping it stops and joins every thread, which takes the time of one sample
/// (and, with a cache on disk that has grown, of writing its index);
/// where the operating system does not give a read or a folder back, up to two
/// seconds each, and that thread is left behind.
pub struct Loader<T: Element = f32> {
    shared: Arc<Shared<T>>,
    row_shape: [usize; 3],
    threads: Option<Threads>,
}

/// What a loader is made of; tests put in their own.
pub(crate) struct Parts<T: Element> {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) decoder: Arc<dyn Decode>,
    pub(crate) transform: Arc<Transform<T>>,
    pub(crate) augment: Arc<Augment<T>>,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) config: Resolved,
    pub(crate) resume: Option<Resume>,
}

impl Loader {
    /// A builder over all images below `root`, as [`Folder`] finds them.
    pub fn folder(root: impl AsRef<Path>) -> LoaderBuilder {
        Loader::source(Folder::new(root.as_ref()))
    }

    /// A builder over the images that `file` lists, as [`List`] reads it.
    ///
    /// # Errors
    ///
    /// As [`List::open`].
    pub fn list(file: impl AsRef<Path>) -> Result<LoaderBuilder> {
        Ok(Loader::source(List::open(file.as_ref())?))
    }

    /// A builder over another source.
    pub fn source(source: impl Source) -> LoaderBuilder {
        LoaderBuilder::new(Arc::new(source))
    }
}

impl<T: Element> Loader<T> {
    pub(crate) fn start(parts: Parts<T>) -> Result<Self> {
        let Parts { source, decoder, transform, augment, cache, config, resume } = parts;
        let changed = Arc::new(Notify::new());
        let checkpoint = resume.as_ref().and_then(Resume::listed);
        let index = Index::new(Arc::clone(&changed)).with_checkpoint(checkpoint);
        let registry = Registry::new();
        let row_len = transform.row_len();
        let buffers = config.prefetch + config.held_batches;
        let window = Window::new(
            Shape {
                batch_size: config.batch_size,
                prefetch: config.prefetch,
                ordered: config.order == Order::Ordered,
                decoders: config.threads,
                failures_need_length: config.max_failures.needs_length(),
            },
            Pool::new(config.batch_size * row_len, buffers),
            row_len,
            Arc::clone(&registry),
            changed,
        );
        let plan = Arc::new(Plan::new(&config));
        let row_shape = transform.places().shape();
        let stuck = StuckReads::new(config.readers);
        // Never fuller than `prefetch * batch_size`, since every item holds a ticket.
        let (loaded_giver, loaded) = handoff();
        let permits = Arc::new(Permits::new(config.readers));
        let shared = Arc::new(Shared {
            plan,
            window,
            index,
            registry,
            encoded: ByteBudget::new(config.memory.encoded_bytes),
            permits,
            loaded,
            pixels: ByteBudget::new(config.memory.decode_bytes),
            stuck,
            cache,
            activity: Activity::new(config.threads),
            bell: Bell::new(),
            watched: Shared::<T>::unwatched(),
            controls: Controls::new(&config),
            config,
        });
        let threads = Starting { shared: &shared, source: Arc::clone(&source), loaded_giver }
            .start(decoder, transform, augment)?;
        let loader = Loader { shared, row_shape, threads: Some(threads) };
        // From here on dropping the loader stops everything that was started.
        if loader.shared.index.wait_for_first()? == 0 {
            return Err(no_image(source.root()));
        }
        loader.check_fingerprints(&*source)?;
        if let Some(resume) = resume {
            let Shared { plan, index, config, .. } = &*loader.shared;
            index.wait_for_end()?;
            // The granter does it too, but the states are compared now.
            plan.prepare(index);
            if let Some(error) = plan.error() {
                return Err(error);
            }
            let begun = begun(&resume, config, plan, index)?;
            plan.begun.get_or_init(|| begun);
        }
        Ok(loader)
    }

    /// Refuses a cache on disk over a source that cannot tell what has changed.
    fn check_fingerprints(&self, source: &dyn Source) -> Result<()> {
        let Shared { index, config, .. } = &*self.shared;
        let (config::Cache::Disk { .. }, Some(entry)) = (&config.cache, index.entry(0)) else {
            return Ok(());
        };
        // A sample that is unreadable says nothing about the source.
        let told = fence(|| source.fingerprint(&entry.path)).and_then(|told| told);
        if !matches!(told, Ok(None)) {
            return Ok(());
        }
        let reason = "the source cannot tell whether a sample has changed (Source::fingerprint), \
                      which a cache on disk needs; keep the pixels in memory";
        Err(Error::config("cache", &config.cache, reason))
    }

    /// The batches of epoch `number`, from its beginning, or from where the loader
    /// was [resumed](LoaderBuilder::resume) in it. Whatever was under way before, an
    /// epoch forgotten half-way included, is cancelled.
    ///
    /// # Errors
    ///
    /// When the loader was stopped or has lost a thread.
    pub fn epoch(&mut self, number: u64) -> Result<Epoch<'_, T>> {
        self.begin_epoch(number)
    }

    /// As [`epoch`](Self::epoch), for adapters that share the loader: the epoch under
    /// way, if somebody still holds it, yields [`Error::superseded`].
    pub(crate) fn begin_epoch(&self, number: u64) -> Result<Epoch<'_, T>> {
        let end = number.checked_add(1).ok_or_else(|| {
            Error::config("epoch", number, "expected less than the largest 64-bit number")
        })?;
        Ok(Epoch::new(self.begin(number..end)?))
    }

    /// The batches of several epochs, one after the other. Work crosses the
    /// boundary: the first batches of an epoch are prepared while the last ones
    /// of the epoch before are used.
    ///
    /// Iterate it for all batches in one go ([`Batch::epoch`](crate::Batch::epoch)
    /// tells them apart), or epoch by epoch with
    /// [`next_epoch`](Epochs::next_epoch):
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// # let mut loader = infeed::Loader::folder(&photos).size(32, 32).build()?;
    /// let mut epochs = loader.epochs(0..3)?;
    /// while let Some(epoch) = epochs.next_epoch() {
    ///     for batch in epoch {
    ///         let batch = batch?;
    ///         // one training step
    ///     }
    ///     // validation, a learning rate schedule
    /// }
    /// # Ok::<(), infeed::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`epoch`](Self::epoch).
    pub fn epochs(&mut self, numbers: Range<u64>) -> Result<Epochs<'_, T>> {
        Ok(Epochs::new(self.begin(numbers)?))
    }

    fn begin(&self, numbers: Range<u64>) -> Result<Delivery<T>> {
        let Shared { plan, window, index, config, stuck, .. } = &*self.shared;
        // Those reads keep their permits, so an epoch might wait for ever.
        if let Some((stuck, readers, path)) = stuck.too_many() {
            return Err(Error::stuck(stuck, readers, path));
        }
        let run = window.begin(numbers.clone())?;
        self.shared.bell.ring();
        let tracker = Tracker::new(config, Arc::clone(plan), Arc::clone(index));
        Ok(Delivery::new((window, run), config, tracker, self.row_shape, numbers))
    }

    /// The configuration with every value settled, the memory bound included.
    #[must_use]
    pub fn config(&self) -> &Resolved {
        &self.shared.config
    }

    /// The names of the classes in the order of their numbers; empty where the
    /// source has none.
    #[must_use]
    pub fn classes(&self) -> Arc<[String]> {
        self.shared.index.classes()
    }

    /// The number of samples of the source, once the walk has ended.
    #[must_use]
    pub fn samples(&self) -> Option<u64> {
        let progress = self.shared.index.progress();
        progress.complete.then_some(progress.listed)
    }

    /// The number of batches of a whole epoch here, once the walk has ended; fewer
    /// come where samples fail: unordered, or when all of one batch do.
    #[must_use]
    pub fn batches(&self) -> Option<u64> {
        self.samples().map(|samples| self.shared.plan.batches(samples))
    }

    /// The number of batches that [`epoch(number)`](Self::epoch) has, once the
    /// walk has ended: those that are left of a resumed epoch, else all.
    #[must_use]
    pub fn batches_of(&self, number: u64) -> Option<u64> {
        self.samples().map(|samples| self.shared.plan.batches_of(number, samples))
    }

    /// The number of samples that [`epoch(number)`](Self::epoch) delivers where
    /// none is skipped, padding included, once the walk has ended.
    #[must_use]
    pub fn samples_of(&self, number: u64) -> Option<u64> {
        self.samples().map(|samples| self.shared.plan.length_of(number, samples))
    }

    /// The samples of a whole epoch here; waits for the end of the walk.
    #[cfg(any(feature = "burn", feature = "tune"))]
    pub(crate) fn wait_for_samples(&self) -> Result<u64> {
        self.shared.index.wait_for_end()?;
        Ok(self.samples().map_or(0, |samples| self.shared.plan.length(samples)))
    }

    /// Whether the loader goes on where an earlier run stood.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.shared.plan.begun.get().is_some()
    }

    /// The first epoch of which something is left: 0, or of a loader that was
    /// [resumed](LoaderBuilder::resume) the one that goes on. A loop from here on
    /// is the same for a new run and a resumed one.
    #[must_use]
    pub fn first_epoch(&self) -> u64 {
        let Some(begun) = self.shared.plan.begun.get() else { return 0 };
        // The walk has ended, or the loader could not have been resumed.
        let over = self.batches_of(begun.epoch) == Some(0);
        begun.epoch + u64::from(over)
    }

    /// Writes the names of the source's samples to a file, one a line, to be kept
    /// beside a [`State`](crate::State): where the source has changed when it is
    /// [resumed](crate::Resume::listing), the error can then say what was added
    /// and removed. Waits for the end of the walk; the file is there whole or not
    /// at all.
    ///
    /// # Errors
    ///
    /// What ended the walk, or [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn save_listing(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.index.wait_for_end()?;
        save_listing(&self.shared.index, file.as_ref())
    }

    /// Figures since the loader was built.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// A handle that reads the figures from elsewhere, such as a progress bar
    /// beside a running epoch.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        let shared = Arc::clone(&self.shared);
        Monitor::new(move || shared.stats())
    }

    /// A handle that sets the loader otherwise while it runs.
    #[cfg(feature = "tune")]
    pub(crate) fn setter(&self) -> Setter {
        let shared = Arc::clone(&self.shared);
        Setter::new(shared)
    }

    /// The levels of the queues over time, from the loader's building to now.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.shared.timeline()
    }

    /// A handle that stops the loader from elsewhere, such as a handler of
    /// Ctrl-C.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        let window = Arc::clone(&self.shared.window);
        StopHandle::new(move || window.stop())
    }
}

impl<T: Element> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.close();
        let Some(Threads { walk, walked, read, decode, watch }) = self.threads.take() else {
            return;
        };
        drop(watch.join());
        // A panic has been told to the consumer by `LostThread`.
        drop(read.join());
        for thread in decode {
            drop(thread.join());
        }
        // What has happened since the last look.
        drop(self.shared.record());
        // No thread stores any more, so what has been made is not lost.
        if let Some(cache) = &self.shared.cache {
            cache.close();
        }
        match walked.recv_timeout(PATIENCE) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                tracing::warn!("listing the source does not come back and is left behind");
            }
            _ => drop(walk.join()),
        }
    }
}

impl<T: Element> fmt::Debug for Loader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("config", self.config())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
