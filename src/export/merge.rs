//! The last step of an export: records become the manifest and `export.json`.

use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use super::folder::{self, At, Failed, Io, MANIFEST, array_name, temporary, whole};
use super::index::{Index, Part, ShardParts};
use super::journal::{Journal, Records};
use super::lock::Lock;
use super::npy::{HEADER, Hasher, write_at};
use super::recipe::Recipe;
use super::shards::numbered;
use super::summary::{Summary, replaced};
use crate::config::Shard;
use crate::error::{Error, Result};
use crate::regular;

/// Ends an export that several processes have made: writes its manifest and
/// `export.json`. An export that has ended is left as it is.
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config) of the field `out` when there is no
/// export, when shards are missing, which it names, or when a process still makes some;
/// [`ErrorKind::System`](crate::ErrorKind::System) when the disk is full or cannot be
/// written.
pub fn merge(out: impl AsRef<Path>) -> Result<Summary> {
    let out = out.as_ref();
    let refused = |reason: String| Error::config("out", out.display(), reason);
    let journal = Journal::of(out);
    if let Some(index) = Index::read(out)? {
        Lock::clear(out, &journal)?;
        return Ok(index.summary(out));
    }
    if !journal.exists() {
        return Err(refused("there is no export. Give the folder that parts wrote to".to_owned()));
    }
    let lock = Lock::take(out, &journal, Shard::WHOLE)?;
    let Some(recipe) = journal.recipe()? else {
        return Err(refused("no part of an export has begun there".to_owned()));
    };
    let records = journal.records(&recipe)?;
    let shards = recipe.shards().count();
    let missing = missing(&recipe, &records);
    if !missing.is_empty() {
        return Err(refused(format!(
            "{} of {shards} shards are missing: {}. Run the parts that make them (--shard-of), \
             which go on with what is missing",
            shards - records.len() as u64,
            numbered(&missing)
        )));
    }
    let index = finish(out, &journal, &recipe, &records).map_err(|failed| {
        let rows = records.values().map(|record| record.rows).sum();
        failed.told(out, recipe.manifest_bytes(rows), "All shards are complete and stay.")
    })?;
    lock.end(&journal)?;
    Ok(index.summary(out))
}

fn missing(recipe: &Recipe, records: &Records) -> Vec<Range<u64>> {
    recipe.shards().missing(records.keys().copied())
}

/// All shards are complete. Each step can be done again, and until `export.json` has its
/// name the journal says that there is something to do.
pub(super) fn finish(
    out: &Path,
    journal: &Journal,
    recipe: &Recipe,
    records: &Records,
) -> Io<Index> {
    let missing = missing(recipe, records);
    if !missing.is_empty() {
        // Somebody took away what was there.
        let what = format!(
            "shards {} are missing. Run the export again, which makes them",
            numbered(&missing)
        );
        return Err(io::Error::other(what)).at(out);
    }
    let arrays = recipe.arrays();
    let images: u64 = records.values().map(|record| record.rows).sum();
    if recipe.single {
        for (kind, rows) in &arrays {
            name_single(
                out,
                &array_name(kind, None),
                &rows.header(images),
                rows.file_bytes(images),
            )?;
        }
    }
    let (mut bytes, mut digest) = (0, Hasher::default());
    whole(out, MANIFEST, |to| {
        let mut buffer = vec![0; 1 << 16];
        for &shard in records.keys() {
            let opened = journal.open(shard).map_err(|Failed { error, .. }| error)?;
            let (_, mut lines) = opened.ok_or_else(|| io::Error::other("a record is damaged"))?;
            loop {
                let read = lines.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                digest.write(&buffer[..read]);
                bytes += read as u64;
                to.write_all(&buffer[..read])?;
            }
        }
        Ok(())
    })?;
    let manifest = Part { file: MANIFEST.to_owned(), bytes, digest: digest.digest() };
    let shards = ShardParts::of_all(recipe, records.values());
    let files = if recipe.single { 1 } else { shards.len() as u64 } * arrays.len() as u64;
    let of_rows: u64 = shards.iter().flat_map(|shard| &shard.files).map(|part| part.bytes).sum();
    let failures: Vec<_> =
        records.values().flat_map(|record| record.failed.iter().cloned()).collect();
    let index = Index {
        plan: recipe.clone(),
        images,
        failed: failures.len() as u64,
        replaced: replaced(&failures),
        bytes: files * HEADER + of_rows + manifest.bytes,
        manifest,
        shards,
        failures,
    };
    // An export that was here before may have had more shards.
    let parts = index.shards.iter().flat_map(|shard| &shard.files);
    let known: HashSet<&str> = parts.map(|part| &*part.file).chain([MANIFEST]).collect();
    journal.sweep(|name| !known.contains(name))?;
    // Every other name is on the disk before this one is there.
    folder::sync_folder(out)?;
    index.write(out)?;
    folder::sync_folder(out)?;
    Ok(index)
}

/// Gives a single file its header, its length and its name, unless it has them.
fn name_single(out: &Path, name: &str, header: &[u8], bytes: u64) -> Io<()> {
    let (path, temporary) = (out.join(name), out.join(temporary(name)));
    if !temporary.exists() {
        return Ok(());
    }
    let (file, _) = regular::open_as(std::fs::File::options().write(true), &temporary).at(&path)?;
    write_at(&file, header, 0)
        .and_then(|()| file.set_len(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, &path))
        .at(&path)
}
