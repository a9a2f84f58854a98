//! What can go wrong, on two levels: one sample, or the whole run.
//!
//! A [`SampleError`] says that one file did not become a row: which, where in
//! the epoch, at which [`Stage`] and for what [`Cause`]. The iterator can go on
//! after it. Every other [`Error`] ends the run.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

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

/// The stage at which a sample failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// Location to encoded bytes.
    Read,
    /// Encoded bytes to RGB pixels.
    Decode,
    /// RGB pixels to the sample's row of its batch.
    Transform,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Transform => "transform",
        })
    }
}

/// Whose fault a failed sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CauseKind {
    /// The file was listed, but is not there any more.
    NotFound,
    /// The operating system or the storage reported an error.
    Io,
    /// The content contradicts its own format.
    Corrupt,
    /// The content ends early.
    Truncated,
    /// The content is well-formed, or may be, but of a kind that is not read.
    Unsupported,
    /// A limit on file bytes, pixels, sides or scans is exceeded.
    Limit,
    /// The read took longer than `read_timeout`.
    TimedOut,
    /// The operating system refused the memory for it.
    Memory,
    /// Code of a decoder or of a plugged-in part panicked.
    Panicked,
    /// A transform of yours does not take this sample.
    Refused,
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CauseKind::NotFound => "not found",
            CauseKind::Io => "I/O error",
            CauseKind::Corrupt => "corrupt",
            CauseKind::Truncated => "truncated",
            CauseKind::Unsupported => "unsupported",
            CauseKind::Limit => "over a limit",
            CauseKind::TimedOut => "timed out",
            CauseKind::Memory => "out of memory",
            CauseKind::Panicked => "panicked",
            CauseKind::Refused => "refused",
        })
    }
}

/// Why a sample failed: a kind to match on, and a message for people.
#[derive(Debug)]
pub struct Cause {
    kind: CauseKind,
    message: String,
    source: Option<BoxError>,
}

impl Cause {
    /// A cause of the given kind; `message` says what was found and, where it
    /// helps, what was expected.
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        Cause { kind, message: message.into(), source: None }
    }

    /// The same cause with the error that led to it, for
    /// [`source`](std::error::Error::source).
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        Cause::new(CauseKind::Panicked, message)
    }

    /// The kind, to match on.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        self.kind
    }

    /// What was found, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => CauseKind::NotFound,
            std::io::ErrorKind::UnexpectedEof => CauseKind::Truncated,
            std::io::ErrorKind::TimedOut => CauseKind::TimedOut,
            std::io::ErrorKind::OutOfMemory => CauseKind::Memory,
            _ => CauseKind::Io,
        };
        Cause::new(kind, error.to_string()).caused_by(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// One sample that did not become a row of its batch.
#[derive(Debug)]
pub struct SampleError(Box<SampleRepr>);

#[derive(Debug)]
struct SampleRepr {
    path: PathBuf,
    index: u64,
    epoch: u64,
    position: u64,
    stage: Stage,
    cause: Cause,
    replaced_by: Option<PathBuf>,
    /// Its number in this run of the epoch on this rank.
    key: u64,
}

impl SampleError {
    pub(crate) fn new(
        path: PathBuf,
        index: u64,
        epoch: u64,
        position: u64,
        stage: Stage,
        cause: Cause,
    ) -> Self {
        let (replaced_by, key) = Default::default();
        SampleError(Box::new(SampleRepr {
            path,
            index,
            epoch,
            position,
            stage,
            cause,
            replaced_by,
            key,
        }))
    }

    pub(crate) fn at_key(mut self, key: u64) -> Self {
        self.0.key = key;
        self
    }

    pub(crate) fn key(&self) -> u64 {
        self.0.key
    }

    pub(crate) fn replaced_by(mut self, path: PathBuf) -> Self {
        self.0.replaced_by = Some(path);
        self
    }

    /// The file, relative to the source's root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The sample's index in the source's order.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.index
    }

    /// The epoch in which it failed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Its position in that epoch, the same for all ranks. Where there is one, the
    /// `position / batch_size`-th batch, ordered, is the one that lacks it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.position
    }

    /// The stage at which it failed.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The file that stands in its place, with
    /// [`OnError::Replace`](crate::OnError::Replace).
    #[must_use]
    pub fn substitute(&self) -> Option<&Path> {
        self.0.replaced_by.as_deref()
    }
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SampleRepr { path, index, stage, cause, .. } = &*self.0;
        write!(f, "sample {index} ({path}), {stage}: {cause}", path = path.display())
    }
}

impl StdError for SampleError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.source()
    }
}

impl Serialize for SampleError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let repr = &*self.0;
        let mut out = serializer.serialize_struct("SampleError", 8)?;
        out.serialize_field("path", &repr.path.to_string_lossy())?;
        out.serialize_field("index", &repr.index)?;
        out.serialize_field("epoch", &repr.epoch)?;
        out.serialize_field("position", &repr.position)?;
        out.serialize_field("stage", &repr.stage)?;
        out.serialize_field("cause", &repr.cause.kind)?;
        out.serialize_field("message", &repr.cause.message)?;
        out.serialize_field(
            "replaced_by",
            &repr.replaced_by.as_ref().map(|path| path.to_string_lossy()),
        )?;
        out.end()
    }
}
