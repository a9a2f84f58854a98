//! Reads that the operating system does not give back.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// The reads that ran into their timeout and have not returned since.
#[derive(Debug)]
pub(crate) struct StuckReads {
    /// That there are now.
    readers: AtomicUsize,
    reads: Mutex<Vec<Read>>,
}

#[derive(Debug)]
struct Read {
    id: u64,
    path: PathBuf,
    /// Bytes of the budget that it keeps.
    held: u64,
}

impl StuckReads {
    pub(crate) fn new(readers: usize) -> Arc<Self> {
        Arc::new(StuckReads { readers: AtomicUsize::new(readers), reads: Mutex::default() })
    }

    /// There are so many readers from now on.
    pub(crate) fn set_readers(&self, readers: usize) {
        self.readers.store(readers, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Read>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a read, with what it holds of a budget, until the returned guard is
    /// dropped.
    pub(crate) fn add(self: &Arc<Self>, path: PathBuf, held: u64) -> StuckRead {
        let mut reads = self.lock();
        let id = reads.last().map_or(0, |last| last.id + 1);
        tracing::warn!(path = %path.display(), "a read does not come back");
        reads.push(Read { id, path, held });
        StuckRead { all: Arc::clone(self), id }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// What all of them hold of their budget, and the path of the oldest that holds
    /// something of it.
    pub(crate) fn held(&self) -> Option<(u64, PathBuf)> {
        let reads = self.lock();
        let first = reads.iter().find(|read| read.held > 0)?;
        Some((reads.iter().map(|read| read.held).sum(), first.path.clone()))
    }

    /// With half of the readers gone the rest will follow: how many are stuck,
    /// of how many, and the path of the oldest.
    pub(crate) fn too_many(&self) -> Option<(usize, usize, PathBuf)> {
        let reads = self.lock();
        let first = &reads.first()?.path;
        let readers = self.readers.load(Ordering::Relaxed);
        (reads.len() * 2 >= readers).then(|| (reads.len(), readers, first.clone()))
    }
}

/// One stuck read.
#[derive(Debug)]
pub(crate) struct StuckRead {
    all: Arc<StuckReads>,
    id: u64,
}

impl Drop for StuckRead {
    fn drop(&mut self) {
        self.all.lock().retain(|read| read.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_readers_is_too_many() {
        let stuck = StuckReads::new(4);
        let first = stuck.add("a".into(), 0);
        assert_eq!(stuck.too_many(), None);
        let second = stuck.add("b".into(), 7);
        assert_eq!(stuck.too_many(), Some((2, 4, "a".into())));
        assert_eq!(stuck.held(), Some((7, "b".into())));
        drop(first);
        assert_eq!(stuck.too_many(), None);
        drop(second);
        assert_eq!((stuck.count(), stuck.held()), (0, None));
    }
}
