//! One sample that is a file: its bytes, and what tells that it has changed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Admission, Encoded, Fingerprint, ReadFuture, blocking, shortage};
use crate::error::{Cause, CauseKind, Result};
use crate::regular;

/// Reads a file, in one visit to the blocking pool where the budget of encoded
/// bytes has room at once.
pub(super) fn read(path: PathBuf, admission: Admission) -> ReadFuture {
    Box::pin(async move {
        let path = Arc::<Path>::from(path);
        let opening = || {
            let (path, admission) = (Arc::clone(&path), admission.clone());
            blocking(move || open(&path, &admission))
        };
        let (mut file, bytes) = match shortage::waited_out(opening).await? {
            Opened::Read(encoded) => return Ok(encoded),
            Opened::Waiting(file, bytes) => (file, bytes),
        };
        let encoded = admission.admit(bytes).await?;
        blocking(move || fill(&mut file, encoded)).await
    })
}

pub(super) fn fingerprint(path: &Path) -> Result<Fingerprint, Cause> {
    Ok(Fingerprint::of(&std::fs::metadata(path)?))
}

enum Opened {
    Read(Encoded),
    /// The budget of encoded bytes has no room for so many just now.
    Waiting(File, u64),
}

/// Opens a file and, where the budget allows it at once, reads it in the same
/// visit to the blocking pool.
fn open(path: &Path, admission: &Admission) -> Result<Opened, Cause> {
    let (mut file, metadata) =
        regular::open(path).map_err(|error| match regular::is_none(&error) {
            true => Cause::new(CauseKind::Unsupported, error.to_string()),
            false => error.into(),
        })?;
    let bytes = metadata.len();
    match admission.try_admit(bytes)? {
        Some(encoded) => fill(&mut file, encoded).map(Opened::Read),
        None => Ok(Opened::Waiting(file, bytes)),
    }
}

fn fill(file: &mut File, mut encoded: Encoded) -> Result<Encoded, Cause> {
    match file.read_exact(&mut encoded) {
        Ok(()) => Ok(encoded),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            let message = format!("the file had {} bytes when opened and shrank", encoded.len());
            Err(Cause::new(CauseKind::Truncated, message).caused_by(error))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::read::budget::ByteBudget;

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_truncated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo");
        std::fs::write(&path, [7; 100]).unwrap();
        let (mut file, _) = regular::open(&path).unwrap();
        let budget = ByteBudget::new(1_000);
        let encoded = || Admission::new(Arc::clone(&budget), 1_000, Instant::now()).try_admit(100);
        assert!(fill(&mut file, encoded().unwrap().unwrap()).is_ok());
        let (mut file, _) = regular::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(40).unwrap();
        let cause = fill(&mut file, encoded().unwrap().unwrap()).unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Truncated);
        assert_eq!(cause.message(), "the file had 100 bytes when opened and shrank");
    }
}
