//! What can go wrong, on two levels: one sample, or the whole run.
//!
//! A [`SampleError`] says that one file did not become a row: which, where in
//! the epoch, at which [`Stage`] and for what [`Cause`]. The iterator can go on
//! after it. Every other [`Error`] ends the run.

mod sample;

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use sample::{Cause, CauseKind, SampleError, Stage};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a loader could not be built, or why a batch could not be had.
///
/// [`Error::sample`] tells the two levels apart: `Some` is one failed sample,
/// after which the iterator goes on; `None` ends the run.
///
/// Cheap to clone: a source that broke off tells each epoch the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Repr>);

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{0}")]
    Sample(SampleError),
    #[error("{field} = {value}: {reason}")]
    Config { field: &'static str, value: String, reason: String },
    #[error("{path}: {reason}", path = path.display())]
    Source { path: PathBuf, reason: String, source: Option<BoxError> },
    #[error(
        "{failed} of epoch {epoch}'s samples failed, more than the budget of {budget} allows; \
         the last: {last}. Mend or remove the files, or raise the budget"
    )]
    Budget { epoch: u64, failed: u64, budget: String, last: SampleError },
    #[error(
        "every sample of {what} failed, so there is nothing to deliver; the last: {last}. Replace \
         failed samples (on_error = replace), or make batches larger"
    )]
    EmptyBatch { what: String, last: String },
    #[error(
        "no readable substitute after {attempts} attempts; the last: {last}. \
         Most of the source seems unreadable: look at a few of its files"
    )]
    Replace { attempts: u32, last: SampleError },
    #[error(
        "{stuck} of {readers} reads are stuck in the operating system; the first: {path}. \
         Look at the file system that holds it, or raise read_timeout",
        path = path.display()
    )]
    Stuck { stuck: usize, readers: usize, path: PathBuf },
    #[error("{what}; this is a defect of infeed or of code plugged into it, please report it")]
    Lost { what: String },
    #[error("cannot resume: {reason}")]
    Resume { reason: String },
    #[error("the loader was stopped by its stop handle")]
    Stopped,
    #[error(
        "another iteration of the same loader was begun, which cancelled this one; \
         use one after the other, or build a loader for each"
    )]
    Superseded,
    #[error("{what}: {source}")]
    System { what: String, source: std::io::Error },
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Which kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// One sample failed; the iterator goes on.
    Sample,
    /// A knob has a value that cannot be used; the message names the field, the
    /// value and the accepted range.
    Config,
    /// The source is missing, unreadable or holds no image.
    Source,
    /// More samples failed than the budget allows.
    FailureBudget,
    /// All samples of one epoch failed; or, with several ranks, of one batch, without
    /// which this rank would be a batch short.
    EmptyBatch,
    /// Replacing ran out of attempts.
    NoSubstitute,
    /// Too many reads do not come back from the operating system.
    ReadsStuck,
    /// A saved state does not fit the source or the configuration.
    Resume,
    /// A thread or a sample was lost.
    Lost,
    /// A [`StopHandle`](crate::StopHandle) stopped the loader.
    Stopped,
    /// Another iteration of the same loader was begun before this one had ended.
    /// Only adapters that share a loader let that happen.
    Superseded,
    /// The operating system refused a thread, a file or a runtime.
    System,
}

impl Error {
    fn new(repr: Repr) -> Self {
        Error(Arc::new(repr))
    }

    pub(crate) fn config(
        field: &'static str,
        value: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Error::new(Repr::Config { field, value: value.to_string(), reason: reason.into() })
    }

    /// The source as a whole cannot be used: `path` is its root or the folder
    /// in question, `reason` says what is wrong and what to do.
    ///
    /// For implementors of [`Source`](crate::source::Source).
    pub fn source_unusable(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::new(Repr::Source { path: path.into(), reason: reason.into(), source: None })
    }

    pub(crate) fn source_failed(
        path: impl Into<PathBuf>,
        reason: impl Into<String>,
        source: impl Into<BoxError>,
    ) -> Self {
        let (reason, source) = (reason.into(), Some(source.into()));
        Error::new(Repr::Source { path: path.into(), reason, source })
    }

    pub(crate) fn budget(epoch: u64, failed: u64, budget: String, last: SampleError) -> Self {
        Error::new(Repr::Budget { epoch, failed, budget, last })
    }

    /// `batch` of the epoch, or the whole epoch, came to nothing.
    pub(crate) fn empty_batch(epoch: u64, batch: Option<u64>, last: String) -> Self {
        let what = match batch {
            Some(batch) => format!("batch {batch} of epoch {epoch}"),
            None => format!("epoch {epoch}"),
        };
        Error::new(Repr::EmptyBatch { what, last })
    }

    pub(crate) fn no_substitute(attempts: u32, last: SampleError) -> Self {
        Error::new(Repr::Replace { attempts, last })
    }

    pub(crate) fn stuck(stuck: usize, readers: usize, path: PathBuf) -> Self {
        Error::new(Repr::Stuck { stuck, readers, path })
    }

    pub(crate) fn lost(what: impl Into<String>) -> Self {
        Error::new(Repr::Lost { what: what.into() })
    }

    pub(crate) fn resume(reason: impl Into<String>) -> Self {
        Error::new(Repr::Resume { reason: reason.into() })
    }

    pub(crate) fn stopped() -> Self {
        Error::new(Repr::Stopped)
    }

    pub(crate) fn superseded() -> Self {
        Error::new(Repr::Superseded)
    }

    /// The thread `name` cannot be started.
    pub(crate) fn no_thread(name: &str, source: std::io::Error) -> Self {
        let remedy = "lower threads, or raise the limits on threads (ulimit -u) and memory";
        Error::system(format!("the thread {name} cannot be started ({remedy})"), source)
    }

    pub(crate) fn system(what: impl Into<String>, source: std::io::Error) -> Self {
        Error::new(Repr::System { what: what.into(), source })
    }

    /// Which kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Repr::Sample(_) => ErrorKind::Sample,
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Source { .. } => ErrorKind::Source,
            Repr::Budget { .. } => ErrorKind::FailureBudget,
            Repr::EmptyBatch { .. } => ErrorKind::EmptyBatch,
            Repr::Replace { .. } => ErrorKind::NoSubstitute,
            Repr::Stuck { .. } => ErrorKind::ReadsStuck,
            Repr::Resume { .. } => ErrorKind::Resume,
            Repr::Lost { .. } => ErrorKind::Lost,
            Repr::Stopped => ErrorKind::Stopped,
            Repr::Superseded => ErrorKind::Superseded,
            Repr::System { .. } => ErrorKind::System,
        }
    }

    /// The failed sample, if this error is about one sample and the iterator
    /// can go on.
    #[must_use]
    pub fn sample(&self) -> Option<&SampleError> {
        match &*self.0 {
            Repr::Sample(sample) => Some(sample),
            _ => None,
        }
    }

    /// The sample whose failure was one too many, if this error ends the run
    /// for that reason.
    #[must_use]
    pub fn last_sample(&self) -> Option<&SampleError> {
        match &*self.0 {
            Repr::Budget { last, .. } | Repr::Replace { last, .. } => Some(last),
            _ => None,
        }
    }

    /// The knob in question, in the builder's words, if this is a
    /// configuration error.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match &*self.0 {
            Repr::Config { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The path this error is about, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Repr::Sample(sample)
            | Repr::Budget { last: sample, .. }
            | Repr::Replace { last: sample, .. } => Some(sample.path()),
            Repr::Source { path, .. } | Repr::Stuck { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl From<SampleError> for Error {
    fn from(sample: SampleError) -> Self {
        Error::new(Repr::Sample(sample))
    }
}
