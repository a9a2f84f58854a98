//! A folder that counts what is asked of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use infeed::source::{Admission, Fingerprint, Listing, ReadFuture, Source};
use infeed::{Cause, Folder};

use super::lock;

/// Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    folder: Folder,
    read: Arc<Mutex<Vec<PathBuf>>>,
    looked_at: Arc<Mutex<Vec<PathBuf>>>,
}

impl Counted {
    pub(crate) fn new(root: impl AsRef<Path>) -> Self {
        let (read, looked_at) = Default::default();
        Counted { folder: Folder::new(root.as_ref()), read, looked_at }
    }

    /// The samples whose bytes were asked for since the last call, sorted.
    pub(crate) fn take_read(&self) -> Vec<PathBuf> {
        taken(&self.read)
    }

    /// The samples whose fingerprint was asked for since the last call, sorted.
    pub(crate) fn take_looked_at(&self) -> Vec<PathBuf> {
        taken(&self.looked_at)
    }
}

fn taken(paths: &Mutex<Vec<PathBuf>>) -> Vec<PathBuf> {
    let mut paths = std::mem::take(&mut *lock(paths));
    paths.sort();
    paths
}

impl Source for Counted {
    fn root(&self) -> PathBuf {
        self.folder.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        self.folder.list(listing)
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        lock(&self.read).push(path.to_owned());
        self.folder.read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        lock(&self.looked_at).push(path.to_owned());
        self.folder.fingerprint(path)
    }
}
