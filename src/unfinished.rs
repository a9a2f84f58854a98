//! Files that have their name only once they are whole.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file under its temporary name; removed when dropped unfinished.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) writer: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Under a name that no other process has for it, on this machine or another: of
    /// several that write the same file, one comes last and is whole.
    pub(crate) fn unique(path: PathBuf) -> Result<Self> {
        // Its keys are random.
        let random = RandomState::new().hash_one(std::process::id());
        // Not the link is replaced but what it leads to, and nothing that is no file.
        let path = path.canonicalize().unwrap_or(path);
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let other = std::io::Error::other("something else has this name, which stays");
            return Err(refused("it is not a file", &path, other));
        }
        Self::named(path, format!(".{random:016x}"))
    }

    fn named(path: PathBuf, unique: String) -> Result<Self> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(unique);
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary)
            .map_err(|error| refused("the file cannot be made", &path, error))?;
        let writer = BufWriter::with_capacity(1 << 16, file);
        Ok(Unfinished { writer, temporary, path, finished: false })
    }

    /// Brings it to the disk and gives it its name; its size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let finish = |this: &mut Self| {
            this.writer.flush()?;
            let file = this.writer.get_ref();
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            std::fs::rename(&this.temporary, &this.path)?;
            Ok(bytes)
        };
        let bytes = finish(&mut self)
            .map_err(|error| refused("the file cannot be written", &self.path, error))?;
        self.finished = true;
        Ok(bytes)
    }

    /// Gives it its name, without waiting for the disk: what is there stays whole when
    /// the process dies.
    pub(crate) fn replace(mut self) -> Result<()> {
        let flushed = self.writer.flush();
        flushed
            .and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .map_err(|error| refused("the file cannot be written", &self.path, error))?;
        self.finished = true;
        Ok(())
    }

    pub(crate) fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        refused("the file cannot be written", &self.path, std::io::Error::other(error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

/// Why a file or a folder could not be had.
pub(crate) fn refused(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::system(format!("{}: {what}", path.display()), error)
}
