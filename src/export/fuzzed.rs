//! Folders that say that they are exports.
#![allow(clippy::panic, clippy::unreachable, reason = "a rule that does not hold ends the test")]

use std::path::{Component, Path};

use serde_json::Value;

use super::folder::{EXPORT, JOURNAL, MANIFEST};
use super::index::Index;
use super::journal::Journal;
use super::{merge, verify};
use crate::fuzzing::Folder;

/// Stands in front of each file, and a number behind it says which.
const BETWEEN: u8 = 0x1c;

/// The files that an input may have.
const FILES: [&str; 10] = [
    EXPORT,
    MANIFEST,
    "images-00000.npy",
    "labels-00000.npy",
    "targets-00000.npy",
    "images-00001.npy",
    "labels-00001.npy",
    ".images.npy.tmp",
    "images.npy",
    "labels.npy",
];
const PLAN: &str = "plan.json";

/// Reads the files of an input as an export's, checks them, and ends the export. Bits of `how`
/// choose whether it is ended, and whether records are made to be of the plan.
pub(crate) fn read_any(how: u8, bytes: &[u8]) {
    let folder = Folder::new();
    let journal = Journal::of(folder.path());
    let mut records = Vec::new();
    for part in bytes.split(|byte| *byte == BETWEEN) {
        let Some((number, content)) = part.split_first() else { continue };
        match usize::from(*number) % 16 {
            at @ 0..10 => drop(folder.put(FILES[at], content)),
            10 | 11 => drop(folder.put(&format!("{JOURNAL}/{PLAN}"), content)),
            at => records.push((at as u64 - 12, content.to_vec())),
        }
    }
    let recipe = journal.recipe();
    for (shard, mut content) in records {
        if let (Ok(Some(recipe)), true) = (&recipe, how & 1 == 0) {
            // Nobody guesses a hash.
            let line = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
            if let Ok(mut record) = serde_json::from_slice::<Value>(&content[..line])
                && let Some(fields) = record.as_object_mut()
            {
                let failed = fields.get("failed").and_then(Value::as_array);
                let failed = failed.is_some_and(|failed| !failed.is_empty());
                let print = format!("{:016x}", recipe.print(failed));
                fields.insert("recipe".to_owned(), print.into());
                content.splice(..line, record.to_string().into_bytes());
            }
        }
        folder.put(&format!("{JOURNAL}/shard-{shard:05}.jsonl"), &content);
    }
    let out = folder.path();
    if let Ok(Some(index)) = Index::read(out) {
        let parts = index.shards.iter().flat_map(|shard| &shard.files);
        for part in parts.chain([&index.manifest]) {
            assert!(is_plain(&part.file), "{:?} is outside the folder", part.file);
        }
        drop(index.summary(out));
    }
    let verified = verify(out);
    if let Ok(verified) = &verified {
        for problem in &verified.problems {
            assert!(!problem.problem.is_empty());
        }
    }
    let merged = merge(out);
    if let Ok(summary) = merged {
        assert!(summary.ended);
        let Ok(verified) = verify(out) else { panic!("what was merged is no export") };
        assert!(verified.ended);
    }
}

/// Whether it is the name of a file in a folder.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// The number that a file goes by in an input.
#[cfg(test)]
pub(crate) fn number_of(name: &str) -> Option<u8> {
    let record =
        ["shard-00000.jsonl", "shard-00001.jsonl"].iter().position(|record| *record == name);
    let at = FILES.iter().position(|file| *file == name);
    let at = at.or((name == PLAN).then_some(10)).or(record.map(|record| 12 + record));
    at.map(|at| at as u8)
}
