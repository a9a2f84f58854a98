//! The only file that opens channels and starts threads.
//!
//! ```text
//! infeed-walk        lists the source into the index, then ends
//! infeed-read        the runtime: granter, read tasks; its blocking pool reads
//! infeed-decode-N    decode and transform
//! ```
//!
//! All live from [`LoaderBuilder::build`] to the loader's drop and serve epoch
//! after epoch. Dropping closes the window; the granter returns and with it the
//! senders to the decoders go; the decoders finish the sample in hand and find
//! the queue at its end; every thread is joined. What the operating system
//! does not give back is left behind, counted, with nothing but its buffer.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::augment::Augment;
use crate::batch::Pool;
use crate::builder::LoaderBuilder;
use crate::cache::Cache;
use crate::config::{self, Order, Resolved};
use crate::decode::{Decode, pool::Worker};
use crate::deliver::Delivery;
use crate::element::Element;
use crate::epoch::{Epoch, Epochs};
use crate::error::{Error, Result};
use crate::fence::fence;
use crate::plan::Plan;
use crate::read::budget::ByteBudget;
use crate::read::{Readers, Retries, StuckReads, grant, handoff};
use crate::resume::{Resume, Tracker, begun, save_listing};
use crate::source::{Folder, Index, List, Listing, Source, no_image};
use crate::stats::{Queue, Registry, Stats};
use crate::transform::{Scaler, Transform};
use crate::window::{Shape, Window};

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

/// What handles reach after the loader has gone.
struct Shared<T: Element> {
    plan: Arc<Plan>,
    window: Arc<Window<T>>,
    index: Arc<Index>,
    registry: Arc<Registry>,
    stuck: Arc<StuckReads>,
    cache: Option<Arc<Cache>>,
    config: Resolved,
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

struct Threads {
    walk: JoinHandle<()>,
    /// Never sent to: disconnects when the walk's thread ends.
    walked: Receiver<()>,
    read: JoinHandle<()>,
    decode: Vec<JoinHandle<()>>,
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
        let registry = Arc::new(Registry::default());
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
        let shared = Arc::new(Shared { plan, window, index, registry, stuck, cache, config });
        let threads = Starting { shared: &shared, source: Arc::clone(&source) }
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
    /// come unordered with failing samples.
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
    #[cfg(feature = "burn")]
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
        Monitor(Arc::new(move || shared.stats()))
    }

    /// A handle that stops the loader from elsewhere, such as a handler of
    /// Ctrl-C.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        let window = Arc::clone(&self.shared.window);
        StopHandle(Arc::new(move || window.stop()))
    }
}

impl<T: Element> Shared<T> {
    fn stats(&self) -> Stats {
        let progress = self.index.progress();
        let occupancy = self.window.occupancy();
        Stats {
            listed: progress.listed,
            listing_complete: progress.complete,
            epoch_samples: progress.complete.then(|| self.plan.length(progress.listed)),
            stages: self.registry.stages(),
            queue: Queue {
                waiting: occupancy.waiting,
                making: occupancy.making,
                prefetch: self.config.prefetch,
            },
            cache: self.cache.as_ref().map(|cache| cache.stats()),
            stuck_reads: self.stuck.count(),
        }
    }
}

/// Reads a loader's figures from any thread, also while an epoch runs.
#[derive(Clone)]
pub struct Monitor(Arc<dyn Fn() -> Stats + Send + Sync>);

impl Monitor {
    /// The figures at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        (self.0)()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.stats()).finish()
    }
}

/// Stops a loader from any thread: the iterator that is running, and every later
/// one, yields [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) once and ends.
#[derive(Clone)]
pub struct StopHandle(Arc<dyn Fn() + Send + Sync>);

impl StopHandle {
    /// Stops the loader; harmless when it is stopped or gone already.
    pub fn stop(&self) {
        (self.0)();
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").finish_non_exhaustive()
    }
}

/// What the threads are started from. If one cannot be started, those that run
/// already find the window closed and end by themselves.
struct Starting<'a, T: Element> {
    shared: &'a Arc<Shared<T>>,
    source: Arc<dyn Source>,
}

impl<T: Element> Starting<'_, T> {
    fn start(
        self,
        decoder: Arc<dyn Decode>,
        transform: Arc<Transform<T>>,
        augment: Arc<Augment<T>>,
    ) -> Result<Threads> {
        let Shared { plan, window, index, stuck, cache, config, .. } = &**self.shared;
        // Never fuller than `prefetch * batch_size`, since every item holds a ticket.
        let (loaded_giver, loaded) = handoff();
        let (retry_sender, retry_receiver) = mpsc::unbounded_channel();
        let retries = Retries { attempts: config.replace_attempts, sender: retry_sender };
        let readers = Readers {
            window: Arc::clone(window),
            index: Arc::clone(index),
            source: Arc::clone(&self.source),
            cache: cache.clone(),
            plan: Arc::clone(plan),
            encoded: ByteBudget::new(config.memory.encoded_bytes),
            max_file_bytes: config.limits.max_file_bytes,
            permits: Arc::new(Semaphore::new(config.readers)),
            timeout: config.read_timeout,
            stuck: Arc::clone(stuck),
            loaded: loaded_giver,
            retries: retries.clone(),
        };
        let pixels = ByteBudget::new(config.memory.decode_bytes);
        let workers = (0..config.threads).map(|_| Worker {
            loaded: loaded.clone(),
            decoder: Arc::clone(&decoder),
            transform: Arc::clone(&transform),
            augment: Arc::clone(&augment),
            cache: cache.clone(),
            scaler: config.cache_side.map(|side| Scaler::new(side, config.filter)),
            limits: config.limits,
            pixels: Arc::clone(&pixels),
            retries: retries.clone(),
        });
        let workers: Vec<_> = workers.collect();

        let closing = CloseOnFailure(self.shared);
        let mut decode = Vec::with_capacity(workers.len());
        for (number, worker) in workers.into_iter().enumerate() {
            let name = format!("infeed-decode-{number}");
            decode.push(self.spawn(&name, move || worker.run())?);
        }
        // Made on its own thread: a runtime must not be dropped inside another.
        let (made_sender, made) = bounded(1);
        let read = self.spawn("infeed-read", move || {
            match runtime(readers.permits.available_permits()) {
                Ok(runtime) => {
                    drop(made_sender.try_send(Ok(())));
                    runtime.block_on(grant(Arc::new(readers), retry_receiver));
                    runtime.shutdown_timeout(PATIENCE);
                }
                Err(error) => drop(made_sender.try_send(Err(error))),
            }
        })?;
        made.recv()
            .unwrap_or_else(|gone| Err(std::io::Error::other(gone)))
            .map_err(|error| Error::system("the readers' runtime cannot be made", error))?;
        let (walking, walked) = bounded(0);
        let walk = self.spawn_walk(walking)?;
        std::mem::forget(closing);
        Ok(Threads { walk, walked, read, decode })
    }

    fn spawn_walk(&self, walking: Sender<()>) -> Result<JoinHandle<()>> {
        let (shared, source) = (Arc::clone(self.shared), Arc::clone(&self.source));
        self.spawn("infeed-walk", move || {
            let _walking = walking;
            let Shared { index, registry, .. } = &*shared;
            let started = Instant::now();
            let listed = fence(|| source.list(&mut Listing::new(index)));
            let listed = listed.unwrap_or_else(|panic| {
                Err(Error::lost(format!("listing {} failed: {panic}", source.root().display())))
            });
            registry.walk.items(index.progress().listed, started.elapsed());
            index.finish(listed);
        })
    }

    /// A named thread whose unexpected end is told to the consumer.
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
        let guard = LostThread { window: Arc::clone(&self.shared.window), name: name.to_owned() };
        let work = move || {
            let guard = guard;
            work();
            drop(guard);
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        spawned
            .map_err(|error| Error::system(format!("the thread {name} cannot be started"), error))
    }
}

/// One thread for the tasks, and as many as `readers` that block.
fn runtime(readers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .thread_name("infeed-read")
        .max_blocking_threads(readers)
        .build()
}

/// Lets the threads that were started end when a later one cannot be.
struct CloseOnFailure<'a, T: Element>(&'a Arc<Shared<T>>);

impl<T: Element> Drop for CloseOnFailure<'_, T> {
    fn drop(&mut self) {
        self.0.window.close();
        self.0.index.close();
    }
}

/// Ends the run when its thread panics.
struct LostThread<T: Element> {
    window: Arc<Window<T>>,
    name: String,
}

impl<T: Element> Drop for LostThread<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.window.fail_for_good(&format!("the thread {} panicked", self.name));
        }
    }
}

impl<T: Element> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.window.close();
        self.shared.index.close();
        let Some(Threads { walk, walked, read, decode }) = self.threads.take() else { return };
        // A panic has been told to the consumer by `LostThread`.
        drop(read.join());
        for thread in decode {
            drop(thread.join());
        }
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
