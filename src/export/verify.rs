//! Whether an export is what it says: files, headers, digests, manifest, counts.

use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use serde::Serialize;

use super::folder::{self, MANIFEST, array_name, temporary};
use super::index::{Index, Part, ShardParts};
use super::journal::Journal;
use super::lines::Saying;
use super::npy::{HEADER, Hasher, Rows};
use super::shards::numbered;
use super::summary::replaced;
use crate::error::{Error, Result};
use crate::regular;

/// What [`verify`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Whether the export has ended. One that has not is a problem of its own; what is
    /// complete of it has been looked at.
    pub ended: bool,
    /// Shards of the whole export.
    pub shards: u64,
    /// Those that are complete, by what the export says.
    pub complete: u64,
    /// Rows of these.
    pub images: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// In the order of files. None: every byte is as it was written.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file's name in the folder.
    pub file: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

/// Reads all of an export and compares it with what it says of itself.
///
/// # Errors
///
/// When the folder holds no export, or `export.json` cannot be read. What is wrong with
/// the rest are [`problems`](Verified::problems).
pub fn verify(out: impl AsRef<Path>) -> Result<Verified> {
    verify_with(out, |_, _| {})
}

/// As [`verify`]; `progress` is called now and then with the bytes that have been read and
/// all there are, by several threads.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_with(out: impl AsRef<Path>, progress: impl Fn(u64, u64) + Sync) -> Result<Verified> {
    let out = out.as_ref();
    let journal = Journal::of(out);
    let (claim, ended) = match Index::read(out)? {
        Some(index) => (index, true),
        None => (unfinished(out, &journal)?, false),
    };
    let recipe = &claim.plan;
    let hint = if ended { ANEW } else { AGAIN };
    let mut problems = Vec::new();
    let jobs = jobs(out, &claim, ended);
    let read = AtomicU64::new(0);
    problems.extend(run(out, &jobs, hint, &read, &progress)?);
    let said = Saying { out, recipe, shards: &claim.shards, hint };
    if ended {
        problems.extend(counts(&claim));
        problems.extend(said.manifest(&claim.manifest));
        problems.extend(said.others()?);
    } else {
        problems.extend(said.records(&journal));
        let complete = claim.shards.iter().map(|shard| shard.shard);
        let missing = recipe.shards().missing(complete);
        let what = match missing.is_empty() {
            true => "all shards are complete, and they have not been joined: run the export \
                     again, or merge it"
                .to_owned(),
            false => format!(
                "the export has not ended: shards {} are missing. Run it again, which goes on \
                 with them",
                numbered(&missing)
            ),
        };
        problems.push(problem(folder::EXPORT, what));
    }
    Ok(Verified {
        ended,
        shards: recipe.shards().count(),
        complete: claim.shards.len() as u64,
        images: claim.images,
        bytes: read.into_inner(),
        problems,
    })
}

/// What to do about an export that has ended.
const ANEW: &str = "Bring it back from a copy, or export anew (overwrite)";
/// What to do about one that has not.
const AGAIN: &str = "Remove the shard's record in .infeed-export and run the export again";

pub(super) fn problem(file: &str, what: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), problem: what.into() }
}

/// What the records of an export say that has not ended.
fn unfinished(out: &Path, journal: &Journal) -> Result<Index> {
    let refused = |reason: &str| Error::config("out", out.display(), reason);
    let plan = journal
        .recipe()?
        .ok_or_else(|| refused("there is no export: neither export.json nor the journal of one"))?;
    let records = journal.claimed(&plan)?;
    let shards = ShardParts::of_all(&plan, records.values());
    let images = sum(records.values().map(|record| record.rows));
    let manifest = Part { file: MANIFEST.to_owned(), bytes: 0, digest: String::new() };
    let (failed, replaced, bytes, failures) = Default::default();
    Ok(Index { plan, images, failed, replaced, bytes, manifest, shards, failures })
}

/// One look at one file.
struct Job<'a> {
    /// What it is called now, and in the end.
    file: String,
    look: Look<'a>,
}

pub(super) enum Look<'a> {
    /// Its header, for so many rows, and its length.
    Header(Rows, u64),
    /// The digest of its bytes from here on.
    Digest(u64, &'a Part),
}

fn jobs<'a>(out: &Path, claim: &'a Index, ended: bool) -> Vec<Job<'a>> {
    let recipe = &claim.plan;
    let arrays = recipe.arrays();
    // Killed in the last step, some may have their names.
    let now = |file: &str| match recipe.single && !ended {
        true => Some(temporary(file)).filter(|name| out.join(name).exists()),
        false => None,
    };
    let mut jobs = Vec::new();
    if recipe.single && ended {
        for (kind, rows) in &arrays {
            let look = Look::Header(rows.clone(), claim.images);
            jobs.push(Job { file: array_name(kind, None), look });
        }
    }
    for shard in &claim.shards {
        for (part, (_, rows)) in shard.files.iter().zip(&arrays) {
            let file = now(&part.file).unwrap_or_else(|| part.file.clone());
            if !recipe.single {
                let look = Look::Header(rows.clone(), shard.rows);
                jobs.push(Job { file: file.clone(), look });
            }
            let from = rows.file_bytes(shard.row);
            jobs.push(Job { file, look: Look::Digest(from, part) });
        }
    }
    jobs
}

/// Does the jobs on all cores.
fn run(
    out: &Path,
    jobs: &[Job<'_>],
    hint: &str,
    read: &AtomicU64,
    progress: &(impl Fn(u64, u64) + Sync),
) -> Result<Vec<Problem>> {
    let bytes = |job: &Job<'_>| if let Look::Digest(_, part) = job.look { part.bytes } else { 0 };
    let total = sum(jobs.iter().map(bytes));
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(Job { file, look }) = jobs.get(number) else { return };
            let mut count = |bytes: usize| {
                let bytes = bytes as u64;
                progress(read.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
            };
            let wrong = look.at(&out.join(file), &mut buffer, &mut count);
            if let Err(what) = wrong {
                let problem = problem(file, format!("{what}. {hint}"));
                found.lock().unwrap_or_else(PoisonError::into_inner).push((number, problem));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for number in 0..threads.min(jobs.len()) {
            let builder = Builder::new().name(format!("infeed-verify-{number}"));
            let started = builder.spawn_scoped(scope, work);
            started.map_err(|error| Error::system("a thread cannot be started", error))?;
        }
        Ok::<(), Error>(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    // Of a file that is not there, one is enough.
    found.dedup_by(|one, other| one.1.file == other.1.file);
    Ok(found.into_iter().map(|(_, problem)| problem).collect())
}

impl Look<'_> {
    /// What is wrong, in words.
    pub(super) fn at(
        &self,
        path: &Path,
        buffer: &mut [u8],
        count: &mut impl FnMut(usize),
    ) -> Result<(), String> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => "it is missing".to_owned(),
            io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
            _ => format!("it cannot be read: {error}"),
        };
        let (mut file, _) = regular::open(path).map_err(unreadable)?;
        match self {
            Look::Header(rows, number) => {
                let length = file.metadata().map_err(unreadable)?.len();
                let expected = rows.file_bytes(*number);
                if length != expected {
                    return Err(format!("it has {length} bytes, and should have {expected}"));
                }
                let mut header = [0; HEADER as usize];
                file.read_exact(&mut header).map_err(unreadable)?;
                if header[..] != rows.header(*number) {
                    let shape: Vec<String> = rows.shape.iter().map(usize::to_string).collect();
                    let shape = shape.join(", ");
                    return Err(format!(
                        "its header is not that of ({number}, {shape}) of {} in C order",
                        rows.descr
                    ));
                }
            }
            Look::Digest(from, part) => {
                file.seek(SeekFrom::Start(*from)).map_err(unreadable)?;
                let mut hasher = Hasher::default();
                let mut left = part.bytes;
                while left > 0 {
                    let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    file.read_exact(&mut buffer[..most]).map_err(unreadable)?;
                    hasher.write(&buffer[..most]);
                    left -= most as u64;
                    count(most);
                }
                if hasher.digest() != part.digest {
                    let end = from.saturating_add(part.bytes);
                    return Err(format!("its bytes {from} to {end} are not what was written"));
                }
            }
        }
        Ok(())
    }
}

/// Of numbers that a damaged file may have made of anything.
fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

/// Whether the numbers agree with each other.
fn counts(claim: &Index) -> Vec<Problem> {
    let Index { plan, images, failed, bytes, shards, failures, .. } = claim;
    let rows = sum(shards.iter().map(|shard| shard.rows));
    let made = if plan.skips() { images.saturating_add(*failed) } else { *images };
    let numbers = shards.iter().map(|shard| shard.shard).eq(0..plan.shards().count());
    let files = if plan.single { 1 } else { shards.len() as u64 } * plan.arrays().len() as u64;
    let parts = shards.iter().flat_map(|shard| &shard.files).map(|part| part.bytes);
    let all = sum(parts.chain([files * HEADER, claim.manifest.bytes]));
    let wrong = [
        (!numbers, "the shards are not all there, each once and in order".to_owned()),
        (rows != *images, format!("images is {images}, and the shards have {rows} rows")),
        (made != plan.positions, format!("{made} of {} samples are told of", plan.positions)),
        (
            (*failed, claim.replaced) != (failures.len() as u64, replaced(failures)),
            "failed or replaced is not how many the failures are".to_owned(),
        ),
        (*bytes != all, format!("bytes is {bytes}, and the files have {all}")),
    ];
    let wrong = wrong.into_iter().filter(|(wrong, _)| *wrong);
    wrong.map(|(_, what)| problem(folder::EXPORT, format!("{what}. {ANEW}"))).collect()
}
