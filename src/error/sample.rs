//! One sample that failed: which, where, at what stage and why.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::BoxError;

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
