//! `export.json`: what an export is, and what it has.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{At, EXPORT, Io, MANIFEST, array_name, whole};
use super::journal::Record;
use super::npy::Rows;
use super::recipe::Recipe;
use crate::error::{Error, Result};
use crate::regular;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) plan: Recipe,
    pub(super) images: u64,
    /// Samples that failed; those in whose place another stands are among them.
    pub(super) failed: u64,
    pub(super) replaced: u64,
    /// Of all arrays and the manifest.
    pub(super) bytes: u64,
    pub(super) manifest: Part,
    pub(super) shards: Vec<ShardParts>,
    pub(super) failures: Vec<Value>,
}

/// Rows in a file, or the whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) file: String,
    /// Without the header.
    pub(super) bytes: u64,
    /// XXH3 of 128 bits, of these bytes.
    pub(super) digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ShardParts {
    pub(super) shard: u64,
    /// The first in its files: 0, unless all shards are in one.
    pub(super) row: u64,
    pub(super) rows: u64,
    pub(super) files: Vec<Part>,
}

impl ShardParts {
    /// Of these records, which ascend.
    pub(super) fn of_all<'a>(
        recipe: &Recipe,
        records: impl Iterator<Item = &'a Record>,
    ) -> Vec<Self> {
        let arrays = recipe.arrays();
        let mut next = 0;
        let parts = records.map(|record| {
            let row = match (recipe.single, recipe.skips()) {
                (false, _) => 0,
                (true, true) => next,
                (true, false) => recipe.shards().range(record.shard).start,
            };
            next = row + record.rows;
            let part = |((kind, rows), digest): (&(&str, Rows), &String)| Part {
                file: array_name(kind, (!recipe.single).then_some(record.shard)),
                bytes: record.rows.saturating_mul(rows.bytes()),
                digest: digest.clone(),
            };
            let files = arrays.iter().zip(&record.digests).map(part).collect();
            ShardParts { shard: record.shard, row, rows: record.rows, files }
        });
        parts.collect()
    }
}

impl Index {
    /// Of an export that has ended; `None` where there is none.
    pub(super) fn read(out: &Path) -> Result<Option<Self>> {
        let path = out.join(EXPORT);
        let bytes = match regular::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.at(&path)?,
        };
        let read = serde_json::from_slice::<Self>(&bytes).map_err(|error| error.to_string());
        let read = read.and_then(|index| match index.plan.wrong().or_else(|| index.wrong()) {
            Some(wrong) => Err(wrong.to_owned()),
            None => Ok(index),
        });
        read.map(Some).map_err(|wrong| {
            let what = match is_an_export(&bytes) {
                true => {
                    "Another version of infeed may have made the export; choose another \
                         folder, or begin anew (overwrite)"
                }
                false => "It is no export's, or damaged: choose another folder, or remove it",
            };
            let reason = format!("{}: it cannot be read: {wrong}. {what}", path.display());
            Error::config("out", out.display(), reason)
        })
    }

    /// What is wrong with one that was read from a file: other names would have files read
    /// that are no export's, or that have no end.
    fn wrong(&self) -> Option<&'static str> {
        let arrays = self.plan.arrays();
        let has_its_own = |shard: &ShardParts| {
            let number = (!self.plan.single).then_some(shard.shard);
            let names = arrays.iter().map(|(kind, _)| array_name(kind, number));
            names.eq(shard.files.iter().map(|part| &*part.file))
        };
        let own = self.manifest.file == MANIFEST && self.shards.iter().all(has_its_own);
        (!own).then_some("it names other files than an export has")
    }

    /// Whether there is an `export.json` that is an export's, of whatever version.
    pub(super) fn is_there(out: &Path) -> bool {
        regular::read(&out.join(EXPORT)).is_ok_and(|bytes| is_an_export(&bytes))
    }

    pub(super) fn write(&self, out: &Path) -> Io<()> {
        whole(out, EXPORT, |to| {
            serde_json::to_writer_pretty(&mut *to, self)?;
            to.write_all(b"\n")
        })
    }
}

fn is_an_export(bytes: &[u8]) -> bool {
    let read = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    read["plan"]["infeed"].is_string() && read["plan"]["format"].is_number()
}
