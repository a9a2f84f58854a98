//! Several processes in one folder: each has a part of its own, and the parts are of
//! one division.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use fs4::{FileExt, TryLockError};

use super::folder::{At, EXPORT, Io, names};
use super::journal::Journal;
use crate::config::Shard;
use crate::error::{Error, Result};
use crate::regular;

/// Held while a part is made. The file stays, as another may be about to lock it; it
/// goes with the journal.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the journal's folder if it is not there.
    pub(super) fn take(out: &Path, journal: &Journal, part: Shard) -> Result<Self> {
        let name = lock_name(part);
        let path = journal.folder.join(&name);
        let file = loop {
            fs::create_dir_all(&journal.folder).at(&journal.folder)?;
            let file = match regular::open_as(File::options().create(true).append(true), &path) {
                // An export that has just ended took the folder away.
                Err(_) if !journal.exists() => continue,
                opened => opened.at(&path)?.0,
            };
            if locked(&file, &path)? {
                return Err(busy(out, &part.to_string(), "wait for it, or stop it"));
            }
            if path.exists() {
                break file;
            }
        };
        let others = |other: &str| other.ends_with(".lock") && other != name;
        for other in names(&journal.folder, others)? {
            let world = of_lock(&other).map(|part| part.world);
            let path = journal.folder.join(&other);
            if world != Some(part.world) && is_locked(&path)? {
                let other = of_lock(&other).map_or(other, |part| part.to_string());
                return Err(busy(out, &other, "wait for it, or use as many parts"));
            }
        }
        Ok(Lock { _file: file })
    }

    /// The export has ended: its journal goes while nobody else can begin in it.
    pub(super) fn end(self, journal: &Journal) -> Io<()> {
        // Windows removes no folder in which a file is open.
        let held = (!cfg!(windows)).then_some(self);
        journal.remove()?;
        drop(held);
        Ok(())
    }

    /// Removes the journal that an export may have left that was killed when it had ended;
    /// not while somebody else begins anew.
    pub(super) fn clear(out: &Path, journal: &Journal) -> Result<()> {
        if journal.exists()
            && let Ok(lock) = Lock::take(out, journal, Shard::WHOLE)
            && out.join(EXPORT).exists()
        {
            lock.end(journal)?;
        }
        Ok(())
    }
}

fn busy(out: &Path, part: &str, hint: &str) -> Error {
    let reason = format!("another process exports part {part} into this folder now; {hint}");
    Error::config("out", out.display(), reason)
}

/// Tries to lock the file; whether somebody else has.
fn locked(file: &File, path: &Path) -> Io<bool> {
    // A process that this one starts has all of its files, and so their locks, until it
    // runs its own program.
    let mut tries = 20;
    loop {
        match FileExt::try_lock(file) {
            Ok(()) => return Ok(false),
            Err(TryLockError::WouldBlock) if tries == 0 => return Ok(true),
            Err(TryLockError::WouldBlock) => {
                tries -= 1;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Err(TryLockError::Error(error)) => {
                // Some network file systems have no locks.
                tracing::warn!("{}: it cannot be locked: {error}", path.display());
                return Ok(false);
            }
        }
    }
}

fn is_locked(path: &Path) -> Io<bool> {
    match regular::open_as(File::options().append(true), path) {
        Ok((file, _)) => locked(&file, path),
        Err(_) => Ok(false),
    }
}

fn lock_name(Shard { rank, world }: Shard) -> String {
    format!("part-{rank}-of-{world}.lock")
}

fn of_lock(name: &str) -> Option<Shard> {
    let numbers = name.strip_prefix("part-")?.strip_suffix(".lock")?.split_once("-of-")?;
    Some(Shard { rank: numbers.0.parse().ok()?, world: numbers.1.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_soon_given_back_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let open = || File::options().create(true).append(true).open(&path).unwrap();
        let (held, other) = (open(), open());
        assert!(!locked(&held, &path).unwrap());
        assert!(locked(&other, &path).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::park_timeout(Duration::from_millis(20));
                drop(held);
            });
            assert!(!locked(&other, &path).unwrap());
        });
    }
}
