//! Where samples come from: which there are, in what order, and how the bytes
//! of one are read.

mod file;
mod folder;
mod index;
mod list;
mod listing;
mod name;
mod print;
mod select;
mod shortage;
mod skip;

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use crate::config::Size;
use crate::error::{Cause, CauseKind, Error, Result};
use crate::fence::fence;
use crate::memory::Refused;
use crate::read::budget::{ByteBudget, Lease};

pub use folder::Folder;
pub(crate) use index::{Entry, Index, Progress};
pub use list::List;
pub(crate) use listing::indexed;
pub use listing::{Listed, Listing, list};
pub(crate) use name::{name_bytes, name_hash};
pub(crate) use print::Print;
pub(crate) use select::{Part, Selected};
pub use skip::SkipList;
pub(crate) use skip::write_path;

/// A set of encoded images in a stable order.
///
/// [`Folder`] and [`List`] are the ones most people need; implement it to stream
/// from somewhere else.
///
/// ```
/// use std::path::{Path, PathBuf};
/// use infeed::source::{Admission, Listing, ReadFuture, Source};
///
/// /// Images that are in memory already.
/// struct Memory(Vec<std::sync::Arc<[u8]>>);
///
/// impl Source for Memory {
///     fn root(&self) -> PathBuf {
///         PathBuf::from("memory")
///     }
///
///     fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
///         for index in 0..self.0.len() {
///             if listing.push(Path::new(&index.to_string()), None).is_break() {
///                 break;
///             }
///         }
///         Ok(())
///     }
///
///     fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
///         let index: usize = path.to_str().and_then(|name| name.parse().ok()).unwrap();
///         let bytes = self.0[index].clone();
///         Box::pin(async move {
///             let mut encoded = admission.admit(bytes.len() as u64).await?;
///             encoded.copy_from_slice(&bytes);
///             Ok(encoded)
///         })
///     }
/// }
/// ```
pub trait Source: Send + Sync + 'static {
    /// Where the samples' paths start, and what the source is called in messages.
    fn root(&self) -> PathBuf;

    /// Tells all samples, in the source's order, to `listing`; called once, on
    /// a thread of its own, and may take as long as it needs: samples stream
    /// while it goes on. It ends early when [`Listing::push`] says so.
    ///
    /// # Errors
    ///
    /// What keeps the source as a whole from being listed
    /// ([`Error::source_unusable`](crate::Error::source_unusable)). What was
    /// listed before is delivered first.
    fn list(&self, listing: &mut Listing<'_>) -> Result<()>;

    /// Reads the encoded bytes of one sample, in order of no particular kind
    /// and many at a time. Runs as a task on the loader's own runtime: whatever
    /// blocks belongs into [`blocking`]. Memory is asked for once, from
    /// `admission`, when the size is known.
    fn read(&self, path: &Path, admission: Admission) -> ReadFuture;

    /// What tells whether a sample has changed since it was read last: a cache
    /// on disk ([`Cache::Disk`](crate::Cache::Disk)) serves pixels only while it
    /// is the same. `None`, which is the default, says that this source cannot
    /// tell, and such a cache is refused. Called on one of the reader threads,
    /// where it may block, and by [`build`](crate::LoaderBuilder::build).
    ///
    /// # Errors
    ///
    /// Why it cannot be had for this sample; its pixels then come from
    /// [`read`](Self::read), or do not come.
    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        let _ = path;
        Ok(None)
    }
}

/// A source that several share, or whose type is not known.
impl<S: Source + ?Sized> Source for Arc<S> {
    fn root(&self) -> PathBuf {
        (**self).root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
        (**self).list(listing)
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        (**self).read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        (**self).fingerprint(path)
    }
}

/// The state of one sample's bytes: another whenever they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Encoded bytes.
    pub bytes: u64,
    /// When they were written, in nanoseconds; or anything else that changes
    /// when they do, such as the hash of an object's tag.
    pub version: u64,
}

impl Fingerprint {
    /// The fingerprint of a file: its size and the time of its last change.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        let since = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as u64,
            // Before 1970 time counts down from the largest number.
            Err(before) => (before.duration().as_nanos() as u64).wrapping_neg(),
        };
        // Where files have no times, their size alone must do.
        Fingerprint { bytes: metadata.len(), version: metadata.modified().map_or(0, since) }
    }
}

/// The bytes of one sample, or why there are none.
pub type ReadFuture = Pin<Box<dyn Future<Output = Result<Encoded, Cause>> + Send>>;

/// Encoded bytes of one sample, within the loader's budget.
#[derive(Debug)]
pub struct Encoded {
    lease: Lease,
    /// As the sample was before it was read, where somebody asked.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// They are no encoded bytes but cached pixels of this size.
    pub(crate) pixels: Option<Size>,
}

impl Encoded {
    fn new(lease: Lease) -> Self {
        Encoded { lease, fingerprint: None, pixels: None }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.lease
    }
}

impl DerefMut for Encoded {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.lease
    }
}

/// The way to memory for encoded bytes: checks the limit on a file's size and
/// keeps the loader's budget.
#[derive(Clone)]
pub struct Admission {
    budget: Arc<ByteBudget>,
    max_file_bytes: u64,
    pub(crate) clock: Arc<AdmissionClock>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("max_file_bytes", &self.max_file_bytes).finish()
    }
}

impl Admission {
    /// For a read that begins at `start`.
    pub(crate) fn new(budget: Arc<ByteBudget>, max_file_bytes: u64, start: Instant) -> Self {
        Admission { budget, max_file_bytes, clock: Arc::new(AdmissionClock::new(start)) }
    }

    /// A buffer of `bytes` bytes of no particular content, once the budget has
    /// room.
    ///
    /// # Errors
    ///
    /// [`CauseKind::Limit`] when a file may not be that large;
    /// [`CauseKind::Memory`] when the operating system refuses the memory.
    pub async fn admit(&self, bytes: u64) -> Result<Encoded, Cause> {
        let len = self.check(bytes)?;
        Ok(self.take(len).await?)
    }

    /// The same without waiting: `None` when the budget has no room now. For
    /// code that is in a blocking call already.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub fn try_admit(&self, bytes: u64) -> Result<Option<Encoded>, Cause> {
        let len = self.check(bytes)?;
        Ok(self.budget.try_take(len, 0)?.map(|lease| self.admitted(lease)))
    }

    /// A buffer for `len` bytes of cached pixels, which no limit on files
    /// concerns; `None` where the budget is too small for it altogether, or the
    /// memory is refused.
    pub(crate) async fn admit_pixels(&self, len: usize) -> Option<Encoded> {
        if len as u64 > self.budget.limit() {
            return None;
        }
        self.take(len).await.ok()
    }

    /// A buffer that fits the budget, once there is room for it.
    async fn take(&self, len: usize) -> Result<Encoded, Refused> {
        if let Some(lease) = self.budget.try_take(len, 0)? {
            return Ok(self.admitted(lease));
        }
        let _waiting = self.clock.wait(len as u64);
        Ok(self.admitted(self.budget.take(len, 0).await?))
    }

    fn admitted(&self, lease: Lease) -> Encoded {
        self.clock.held.fetch_add(lease.charged(), Ordering::Relaxed);
        Encoded::new(lease)
    }

    fn check(&self, bytes: u64) -> Result<usize, Cause> {
        match usize::try_from(bytes) {
            Ok(len) if bytes <= self.max_file_bytes => Ok(len),
            _ => Err(Cause::new(
                CauseKind::Limit,
                format!("{bytes} bytes, more than max_file_bytes = {}", self.max_file_bytes),
            )),
        }
    }
}

/// How long a read has waited for the budget: that is backpressure, and no
/// fault of the storage.
#[derive(Debug)]
pub(crate) struct AdmissionClock {
    start: Instant,
    waiting: AtomicUsize,
    /// Bytes that it waits for, or waited for last.
    wanted: AtomicU64,
    /// Bytes of the budget that it was given.
    held: AtomicU64,
    /// Nanoseconds after `start` at which the last wait ended.
    ended: AtomicU64,
    waited: AtomicU64,
}

impl AdmissionClock {
    pub(crate) fn new(start: Instant) -> Self {
        AdmissionClock {
            start,
            waiting: AtomicUsize::new(0),
            wanted: AtomicU64::new(0),
            held: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    fn wait(&self, bytes: u64) -> impl Drop + '_ {
        struct Waiting<'a>(&'a AdmissionClock, Instant);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                let Waiting(clock, since) = self;
                let now = Instant::now();
                clock.waited.fetch_add((now - *since).as_nanos() as u64, Ordering::Relaxed);
                clock.ended.store((now - clock.start).as_nanos() as u64, Ordering::Relaxed);
                clock.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.wanted.store(bytes, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self, Instant::now())
    }

    /// Since when the storage, rather than the budget, has been the one to wait
    /// for; `None` while it is the budget.
    pub(crate) fn running_since(&self) -> Option<Instant> {
        let ended = std::time::Duration::from_nanos(self.ended.load(Ordering::Relaxed));
        (self.waiting.load(Ordering::Relaxed) == 0).then(|| self.start + ended)
    }

    /// Bytes that it waits for; `None` while it does not.
    pub(crate) fn wanted(&self) -> Option<u64> {
        (self.waiting.load(Ordering::Relaxed) > 0).then(|| self.wanted.load(Ordering::Relaxed))
    }

    /// Bytes of the budget that the read was given.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn waited(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }
}

/// Why a source without samples is of no use.
pub(crate) fn no_image(root: PathBuf) -> Error {
    let reason = "no image was found there. Give a folder that holds images (bmp, gif, \
                  jpg, png, pnm, tiff, webp), or a pattern that matches some";
    Error::source_unusable(root, reason)
}

/// Runs blocking code of a [`Source`] where it may block: in the loader's pool
/// of reader threads.
///
/// # Errors
///
/// What `work` returns; [`CauseKind::Panicked`] when it panics.
pub async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Cause> + Send + 'static,
) -> Result<R, Cause> {
    let spawned = fence(|| tokio::task::spawn_blocking(work))?;
    match spawned.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => Err(Cause::panicked(&*payload)),
            Err(_) => Err(Cause::new(CauseKind::Io, "the read was cancelled")),
        },
    }
}
