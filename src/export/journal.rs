//! What is complete of an export that has not ended: a folder of records, one for
//! each shard, beside the arrays.
//!
//! ```text
//! .infeed-export/plan.json            all that decides the bytes
//! .infeed-export/shard-00012.jsonl    rows, digests and failures; then the manifest's lines
//! .infeed-export/part-0-of-2.lock     held by the process that makes that part
//! ```
//!
//! A record gets its name after the shard's arrays have theirs and are on the disk. So
//! a shard is complete if its record is there and its files are as long as it says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{self, At, Coming, Io, JOURNAL, array_name, temporary, whole};
use super::recipe::Recipe;
use crate::config::Shard;
use crate::digest::{read_hex, write_hex};
use crate::error::{Error, Result};
use crate::regular;

const PLAN: &str = "plan.json";

/// One complete shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) shard: u64,
    /// Of what it was made by ([`Recipe::print`]).
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub(super) recipe: u64,
    pub(super) rows: u64,
    /// Of its rows in each array.
    pub(super) digests: Vec<String>,
    /// Samples that left no row, or another's.
    pub(super) failed: Vec<Value>,
}

/// The records of complete shards, by number.
pub(super) type Records = BTreeMap<u64, Record>;

#[derive(Clone, Debug)]
pub(super) struct Journal {
    out: PathBuf,
    pub(super) folder: PathBuf,
}

impl Journal {
    pub(super) fn of(out: &Path) -> Self {
        Journal { out: out.to_owned(), folder: out.join(JOURNAL) }
    }

    pub(super) fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// What the export was begun with; `None` where it was not.
    pub(super) fn recipe(&self) -> Result<Option<Recipe>> {
        let path = self.folder.join(PLAN);
        let bytes = match regular::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.at(&path)?,
        };
        let read = serde_json::from_slice::<Recipe>(&bytes).map_err(|error| error.to_string());
        let read = read.and_then(|recipe| match recipe.wrong() {
            Some(wrong) => Err(wrong.to_owned()),
            None => Ok(recipe),
        });
        read.map(Some).map_err(|wrong| {
            let reason = format!(
                "{}: it cannot be read: {wrong}. Another version of infeed may have begun the \
                 export: go on with that one, or begin anew (overwrite)",
                path.display()
            );
            Error::config("out", self.out.display(), reason)
        })
    }

    /// Writes down what the export is begun with, unless somebody else just has.
    pub(super) fn begin(&self, recipe: &Recipe, part: Shard) -> Io<()> {
        let path = self.folder.join(PLAN);
        let name = aside(part);
        let aside = self.folder.join(&name);
        whole(&self.folder, &name, |to| Ok(serde_json::to_writer_pretty(to, recipe)?))?;
        let linked = match fs::hard_link(&aside, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            // Not every file system has links.
            Err(_) if !path.exists() => fs::rename(&aside, &path),
            linked => linked,
        };
        folder::remove(&aside)?;
        linked.at(&path)?;
        folder::sync_folder(&self.folder)?;
        folder::sync_folder(&self.out)
    }

    /// The same in place of what it was begun with.
    pub(super) fn change(&self, recipe: &Recipe, part: Shard) -> Io<()> {
        let (name, path) = (aside(part), self.folder.join(PLAN));
        whole(&self.folder, &name, |to| Ok(serde_json::to_writer_pretty(to, recipe)?))?;
        fs::rename(self.folder.join(name), &path).at(&path)
    }

    /// Shards that have a record, ascending.
    pub(super) fn recorded(&self) -> Io<Vec<u64>> {
        let names = folder::names(&self.folder, |name| recorded(name).is_some())?;
        let mut shards: Vec<u64> = names.iter().filter_map(|name| recorded(name)).collect();
        shards.sort_unstable();
        Ok(shards)
    }

    /// The records of shards that are complete.
    pub(super) fn records(&self, recipe: &Recipe) -> Io<Records> {
        self.records_if(recipe, |record, first| self.has_arrays(recipe, record, first))
    }

    /// What records say, whether their arrays are there or not.
    pub(super) fn claimed(&self, recipe: &Recipe) -> Io<Records> {
        self.records_if(recipe, |_, _| true)
    }

    fn records_if(&self, recipe: &Recipe, whole: impl Fn(&Record, u64) -> bool) -> Io<Records> {
        let mut records = Records::new();
        let prints = [true, false].map(|failed| recipe.print(failed));
        let (shards, arrays) = (recipe.shards(), recipe.arrays().len());
        let mut row = 0;
        for shard in self.recorded()? {
            let Some((record, _)) = self.open(shard)? else { continue };
            if record.recipe != prints[usize::from(record.failed.is_empty())] {
                // Of another export, which was in the folder before.
                continue;
            }
            if shard >= shards.count() {
                continue;
            }
            let range = shards.range(shard);
            if record.rows > range.end - range.start || record.digests.len() != arrays {
                // It is damaged, and its shard made again.
                continue;
            }
            let gap = records.last_key_value().map_or(0, |(last, _)| last + 1) != shard;
            if recipe.single && recipe.skips() && gap {
                // Where its rows lie depends on those before.
                break;
            }
            let first = if recipe.single && !recipe.skips() { range.start } else { row };
            if whole(&record, first) {
                row += record.rows;
                records.insert(shard, record);
            }
        }
        Ok(records)
    }

    /// Whether a shard's arrays are as long as its record says; in a single file its
    /// rows begin at `first`.
    fn has_arrays(&self, recipe: &Recipe, record: &Record, first: u64) -> bool {
        let bytes = |name: &str| fs::metadata(self.out.join(name)).map(|file| file.len()).ok();
        recipe.arrays().iter().all(|(kind, rows)| match recipe.single {
            false => {
                bytes(&array_name(kind, Some(record.shard))) == Some(rows.file_bytes(record.rows))
            }
            true => {
                let name = array_name(kind, None);
                let bytes = bytes(&temporary(&name)).or_else(|| bytes(&name));
                bytes.is_some_and(|bytes| bytes >= rows.file_bytes(first + record.rows))
            }
        })
    }

    /// The record of a shard, and its file from the manifest's lines on; `None` where
    /// there is none that can be read.
    pub(super) fn open(&self, shard: u64) -> Io<Option<(Record, BufReader<File>)>> {
        let path = self.folder.join(record_name(shard));
        let mut file = BufReader::new(regular::open(&path).at(&path)?.0);
        let mut line = String::new();
        file.read_line(&mut line).at(&path)?;
        let record = serde_json::from_str::<Record>(&line).ok();
        Ok(record.filter(|record| record.shard == shard).map(|record| (record, file)))
    }

    /// The shard's arrays have their names and are on the disk.
    pub(super) fn commit(&self, record: &Record, lines: &[u8]) -> Io<()> {
        whole(&self.folder, &record_name(record.shard), |to| {
            serde_json::to_writer(&mut *to, record)?;
            to.write_all(b"\n")?;
            to.write_all(lines)
        })?;
        folder::sync_folder(&self.folder)
    }

    /// These shards are to be made: removes their temporary files that a killed process
    /// has left, and records that are not true any more.
    pub(super) fn forget(&self, shards: &[u64]) -> Io<()> {
        let ours =
            |shard: Option<u64>| shard.is_some_and(|shard| shards.binary_search(&shard).is_ok());
        let whole = |name: &str| {
            name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).map(str::to_owned)
        };
        let array = |name: &str| whole(name).and_then(|name| folder::array_of(&name)).flatten();
        let record = |name: &str| whole(name).and_then(|name| recorded(&name));
        for name in folder::names(&self.out, |name| ours(array(name)))? {
            folder::remove(&self.out.join(name))?;
        }
        for name in folder::names(&self.folder, |name| ours(record(name)) || ours(recorded(name)))?
        {
            folder::remove(&self.folder.join(name))?;
        }
        Ok(())
    }

    /// Removes an export, whether it has ended or not, in an order in which a kill
    /// leaves nothing that could be taken for more than it is: until the next is begun
    /// there is a journal without a plan, which says that arrays are to go.
    pub(super) fn remove_export(&self) -> Io<()> {
        folder::remove(&self.out.join(folder::EXPORT))?;
        self.sweep(|_| true)?;
        for shard in self.recorded()? {
            folder::remove(&self.folder.join(record_name(shard)))?;
        }
        folder::remove(&self.folder.join(PLAN))
    }

    /// Removes those of an export's files beside the journal.
    pub(super) fn sweep(&self, which: impl Fn(&str) -> bool) -> Io<()> {
        for name in folder::names(&self.out, |name| folder::is_ours(name) && which(name))? {
            folder::remove(&self.out.join(name))?;
        }
        Ok(())
    }

    /// The export has ended.
    pub(super) fn remove(&self) -> Io<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(&self.folder),
            _ => Ok(()),
        }
    }
}

/// The arrays of shards are coming to their names.
pub(super) fn name_all(arrays: Vec<Coming>, out: &Path) -> Io<()> {
    arrays.into_iter().try_for_each(Coming::finish)?;
    folder::sync_folder(out)
}

/// A name for the plan that no other part uses.
fn aside(Shard { rank, world }: Shard) -> String {
    format!("{PLAN}.{rank}-of-{world}")
}

fn record_name(shard: u64) -> String {
    format!("shard-{shard:05}.jsonl")
}

/// The shard whose record has this name.
fn recorded(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("shard-")?.strip_suffix(".jsonl")?;
    folder::number_of(digits)
}
