//! The folder of a cache and the names of its files.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs4::{FileExt, TryLockError};

/// What temporary files end in.
const TEMPORARY: &str = ".tmp";

/// Where the file of one configuration is. Files of others lie beside it.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    name: String,
}

impl Place {
    /// Makes the folder if it is not there.
    pub(super) fn new(dir: &Path, key: u128) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Place { dir: dir.to_owned(), name: format!("infeed-{key:032x}.cache") })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The file as it is now; others may put another in its place, and this one
    /// stays readable.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        match File::open(self.path()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A new file that nobody else writes to.
    pub(super) fn temporary(&self) -> io::Result<Temporary> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}.{}-{number}{TEMPORARY}", self.name, std::process::id());
            let path = self.dir.join(name);
            let created = File::options().read(true).write(true).create_new(true).open(&path);
            let file = match created {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // Held until the file is closed: whoever sweeps sees that it is in
            // use. One that has swept it between these lines got it whole.
            let locked = FileExt::try_lock(&file);
            if matches!(locked, Err(TryLockError::WouldBlock)) || !path.exists() {
                continue;
            }
            return Ok(Temporary { file: Arc::new(file), path });
        }
    }

    /// Removes what processes left behind that were killed while writing.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with(&self.name) || !name.ends_with(TEMPORARY) {
                continue;
            }
            let path = entry.path();
            let Ok(file) = File::options().write(true).open(&path) else { continue };
            if FileExt::try_lock(&file).is_ok() && fs::remove_file(&path).is_ok() {
                tracing::debug!(path = %path.display(), "a cache file left half-written is removed");
            }
        }
    }
}

/// A file on its way to its name; dropped before, it is removed.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: Arc<File>,
    path: PathBuf,
}

impl Temporary {
    /// Gives the file its name, in place of whatever had it.
    pub(super) fn rename(mut self, place: &Place) -> io::Result<()> {
        fs::rename(&self.path, place.path())?;
        self.path = PathBuf::new();
        // Nobody writes to it any more, and where locks bind, others may read.
        FileExt::unlock(&*self.file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // If it stays, the next run sweeps it.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_nobody_writes_to_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(&dir.path().join("a/b"), 7).unwrap();
        let dir = dir.path().join("a/b");
        let other = Place::new(&dir, 8).unwrap();
        let (used, others) = (place.temporary().unwrap(), other.temporary().unwrap());
        let left = dir.join(format!("{}.1-1.tmp", place.name));
        fs::write(&left, "half").unwrap();
        place.sweep();
        assert!(used.path.exists() && others.path.exists() && !left.exists());
        assert!(place.open().unwrap().is_none());
        used.rename(&place).unwrap();
        drop(others);
        assert_eq!(names(&dir), vec![place.name.clone()]);
        assert!(place.open().unwrap().is_some());
    }
}
