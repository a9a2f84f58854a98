//! Lines of a manifest beside the arrays of labels and targets.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::folder::{self, MANIFEST, temporary};
use super::index::{Part, ShardParts};
use super::journal::Journal;
use super::manifest::Told;
use super::recipe::Recipe;
use super::verify::{Look, Problem, problem};
use crate::batch::NO_LABEL;
use crate::error::Result;
use crate::regular;

/// What the manifest says, beside the arrays.
pub(super) struct Saying<'a> {
    pub(super) out: &'a Path,
    pub(super) recipe: &'a Recipe,
    pub(super) shards: &'a [ShardParts],
    /// What to do.
    pub(super) hint: &'a str,
}

impl Saying<'_> {
    /// The manifest's bytes, then what its lines say.
    pub(super) fn manifest(&self, claim: &Part) -> Vec<Problem> {
        let wrong = |what: String| vec![problem(MANIFEST, format!("{what}. {}", self.hint))];
        let path = self.out.join(MANIFEST);
        let mut file = match regular::open(&path) {
            Ok((file, _)) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return wrong("it is missing".to_owned());
            }
            Err(error) => return wrong(format!("it cannot be read: {error}")),
        };
        for shard in self.shards {
            if let Err(what) = check_lines(shard, &self.labels(shard), &mut file) {
                return wrong(what);
            }
        }
        if file.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
            return wrong("it has more lines than there are rows".to_owned());
        }
        // Where lines agree with the arrays, a path or a size may yet be another.
        let mut bytes = vec![0; 1 << 16];
        match Look::Digest(0, claim).at(&path, &mut bytes, &mut |_| {}) {
            Err(what) => wrong(what),
            Ok(()) => Vec::new(),
        }
    }

    /// The same of the records of an export that has not ended.
    pub(super) fn records(&self, journal: &Journal) -> Vec<Problem> {
        let check = |shard: &ShardParts| {
            let opened = journal.open(shard.shard).ok().flatten();
            let Some((_, mut lines)) = opened else { return Err("it cannot be read".to_owned()) };
            check_lines(shard, &self.labels(shard), &mut lines)
        };
        let wrong = |shard: &ShardParts| {
            let what = check(shard).err()?;
            let file = format!("{}/shard-{:05}.jsonl", folder::JOURNAL, shard.shard);
            Some(problem(&file, format!("{what}. {}", self.hint)))
        };
        self.shards.iter().filter_map(wrong).collect()
    }

    /// The labels and targets of a shard; none where they cannot be read, which has been
    /// told.
    fn labels(&self, shard: &ShardParts) -> Labels {
        let arrays = self.recipe.arrays();
        let read = |kind: usize| {
            let (part, (_, rows)) = (shard.files.get(kind)?, arrays.get(kind)?);
            let path = self.out.join(&part.file);
            let path = if path.exists() { path } else { self.out.join(temporary(&part.file)) };
            let (mut file, _) = regular::open(&path).ok()?;
            let from = rows.file_bytes(shard.row);
            // Room is made for what is there, whatever is claimed.
            let claimed = shard.rows.checked_mul(rows.bytes())?;
            let there = file.metadata().ok()?.len().checked_sub(from)?;
            let fits = part.bytes == claimed && claimed <= there;
            let mut bytes = vec![0; usize::try_from(claimed).ok().filter(|_| fits)?];
            file.seek(SeekFrom::Start(from)).ok()?;
            file.read_exact(&mut bytes).ok().map(|()| bytes)
        };
        Labels { labels: read(1), targets: read(2), target_len: self.recipe.target_len }
    }

    /// Files that look like the export's and are not.
    pub(super) fn others(&self) -> Result<Vec<Problem>> {
        let parts = self.shards.iter().flat_map(|shard| &shard.files);
        let mut known: Vec<&str> = parts.map(|part| &*part.file).collect();
        known.extend([MANIFEST, folder::EXPORT]);
        known.sort_unstable();
        let others = folder::names(self.out, |name| {
            folder::is_ours(name) && known.binary_search(&name).is_err()
        })?;
        let told = |name: &String| problem(name, "it is no part of the export. Remove it");
        Ok(others.iter().map(told).collect())
    }
}

/// Of one shard, as bytes; what cannot be read is not compared.
struct Labels {
    labels: Option<Vec<u8>>,
    targets: Option<Vec<u8>>,
    target_len: usize,
}

/// Reads as many lines as the shard has rows; what is wrong with the first that is not
/// as it should be, in words.
fn check_lines(
    shard: &ShardParts,
    labels: &Labels,
    lines: &mut impl BufRead,
) -> Result<(), String> {
    let images = shard.files.first().map_or("", |part| &*part.file);
    let mut line = String::new();
    for at in 0..shard.rows {
        let row = shard.row.saturating_add(at);
        let place = format!("row {row} of {images}");
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => return Err(format!("the line of {place} is missing")),
            Ok(_) => {}
            Err(error) => return Err(format!("it cannot be read: {error}")),
        }
        let told: Told = serde_json::from_str(&line)
            .map_err(|error| format!("the line of {place} cannot be read: {error}"))?;
        if (told.shard, &*told.file, told.row) != (shard.shard, images, row) {
            let (file, other) = (told.file, told.row);
            return Err(format!("where {place} should be, there is row {other} of {file}"));
        }
        let label = told.label.map_or(NO_LABEL, i64::from);
        if let Some(there) = labels.label(at).filter(|there| *there != label) {
            return Err(format!("{place} has the label {label}, and {there} in its array"));
        }
        if let Some(there) = labels.target(at)
            && !same(&told.target, &there)
        {
            return Err(format!("{place} has another target than in its array"));
        }
    }
    Ok(())
}

/// JSON has no number for what is not finite.
fn same(told: &[Option<f32>], there: &[f32]) -> bool {
    let mut pairs = told.iter().zip(there);
    let agree = |(told, there): (&Option<f32>, &f32)| match told {
        Some(told) => told == there,
        None => !there.is_finite(),
    };
    told.len() == there.len() && pairs.all(agree)
}

impl Labels {
    fn label(&self, at: u64) -> Option<i64> {
        let bytes = self.labels.as_ref()?.chunks_exact(8).nth(at as usize)?;
        Some(bytemuck::pod_read_unaligned(bytes))
    }

    fn target(&self, at: u64) -> Option<Vec<f32>> {
        let bytes = self.targets.as_ref()?.chunks_exact(4 * self.target_len.max(1));
        let values = bytes.clone().nth(at as usize)?.chunks_exact(4);
        Some(values.map(bytemuck::pod_read_unaligned).collect())
    }
}
