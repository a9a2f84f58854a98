//! Reads that the operating system does not give back.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The reads that ran into their timeout and have not returned since.
#[derive(Debug)]
pub(crate) struct StuckReads {
    /// That there are now.
    readers: AtomicUsize,
    paths: Mutex<Vec<(u64, PathBuf)>>,
}

impl StuckReads {
    pub(crate) fn new(readers: usize) -> Arc<Self> {
        Arc::new(StuckReads { readers: AtomicUsize::new(readers), paths: Mutex::default() })
    }

    /// There are so many readers from now on.
    pub(crate) fn set_readers(&self, readers: usize) {
        self.readers.store(readers, Ordering::Relaxed);
    }

    /// Counts a read until the returned guard is dropped.
    pub(crate) fn add(self: &Arc<Self>, path: PathBuf) -> StuckRead {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let id = paths.last().map_or(0, |(id, _)| id + 1);
        tracing::warn!(path = %path.display(), "a read does not come back");
        paths.push((id, path));
        StuckRead { all: Arc::clone(self), id }
    }

    pub(crate) fn count(&self) -> usize {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// With half of the readers gone the rest will follow: how many are stuck,
    /// of how many, and the path of the oldest.
    pub(crate) fn too_many(&self) -> Option<(usize, usize, PathBuf)> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, first) = paths.first()?;
        let readers = self.readers.load(Ordering::Relaxed);
        (paths.len() * 2 >= readers).then(|| (paths.len(), readers, first.clone()))
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
        let mut paths = self.all.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_readers_is_too_many() {
        let stuck = StuckReads::new(4);
        let first = stuck.add("a".into());
        assert_eq!(stuck.too_many(), None);
        let second = stuck.add("b".into());
        assert_eq!(stuck.too_many(), Some((2, 4, "a".into())));
        drop(first);
        assert_eq!(stuck.too_many(), None);
        drop(second);
        assert_eq!(stuck.count(), 0);
    }
}
