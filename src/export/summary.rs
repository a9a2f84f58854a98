//! How far an export has come, in numbers.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::index::Index;
use super::journal::{Record, Records};

/// How far an export has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The folder; in JSON, what is not UTF-8 is replaced.
    #[serde(serialize_with = "lossy")]
    pub out: PathBuf,
    /// Whether it has ended: the manifest and `export.json` are there.
    pub ended: bool,
    /// Rows of complete shards.
    pub images: u64,
    /// Samples of complete shards that failed, replaced ones included.
    pub failed: u64,
    /// Failed samples in whose place another stands.
    pub replaced: u64,
    /// Shards of the whole export.
    pub shards: u64,
    /// Those that are complete.
    pub complete: u64,
    /// Those that were before this run.
    pub resumed: u64,
    /// Bytes of all files, once it has ended.
    pub bytes: u64,
}

/// What has happened since the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Images that this run has decoded.
    pub images: u64,
    /// Images that it is to make.
    pub of: u64,
    /// Shards of the export that are complete.
    pub complete: u64,
}

impl Summary {
    /// What these say.
    pub(super) fn with(self, records: &Records) -> Self {
        let sum = |of: fn(&Record) -> u64| records.values().map(of).sum();
        Summary {
            complete: records.len() as u64,
            images: sum(|record| record.rows),
            failed: sum(|record| record.failed.len() as u64),
            replaced: sum(|record| replaced(&record.failed)),
            ..self
        }
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// How many of these have another in their place.
pub(super) fn replaced(failed: &[Value]) -> u64 {
    failed.iter().filter(|failed| !failed["replaced_by"].is_null()).count() as u64
}

impl Index {
    pub(super) fn summary(&self, out: &Path) -> Summary {
        let shards = self.shards.len() as u64;
        Summary {
            out: out.to_owned(),
            ended: true,
            images: self.images,
            failed: self.failed,
            replaced: self.replaced,
            shards,
            complete: shards,
            resumed: 0,
            bytes: self.bytes,
        }
    }
}
