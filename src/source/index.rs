//! The samples found so far, growing while the walk goes on.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Print;
use crate::error::Error;

/// One sample as the source listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the source's root.
    pub(crate) path: PathBuf,
    pub(crate) label: Option<u32>,
}

/// Append-only. A sample costs its name and about 40 bytes: folders are kept
/// once.
#[derive(Debug)]
pub(crate) struct Index {
    state: Mutex<State>,
    first: Condvar,
    /// Shared with the window: wakes the granter.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    folders: Vec<PathBuf>,
    entries: Vec<Compact>,
    classes: Arc<[String]>,
    print: Print,
    /// After how many samples the print's hash is wanted, and the hash then.
    checkpoint: Option<(u64, Option<u64>)>,
    /// The walk has ended, and how.
    end: Option<Result<(), Error>>,
    /// The granter waits for this many samples.
    wanted: Option<usize>,
    closed: bool,
}

#[derive(Debug)]
struct Compact {
    folder: u32,
    /// Above `u32::MAX - 1` samples have no label.
    label: u32,
    name: Box<OsStr>,
}

const UNLABELLED: u32 = u32::MAX;

/// How far the walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) listed: u64,
    pub(crate) complete: bool,
}

impl Index {
    pub(crate) fn new(changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Index { state: Mutex::default(), first: Condvar::new(), changed })
    }

    /// Asks, before the walk begins, for the print after so many samples.
    pub(crate) fn with_checkpoint(self: Arc<Self>, samples: Option<u64>) -> Arc<Self> {
        self.lock().checkpoint =
            samples.map(|samples| (samples, (samples == 0).then_some(Print::default().hash)));
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the walk's side

    pub(super) fn set_classes(&self, names: Vec<String>) {
        self.lock().classes = names.into();
    }

    pub(super) fn push(&self, path: &Path, label: Option<u32>) -> ControlFlow<()> {
        let mut state = self.lock();
        if state.closed {
            return ControlFlow::Break(());
        }
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        if state.folders.last().is_none_or(|last| last != folder) {
            state.folders.push(folder.to_owned());
        }
        let folder = (state.folders.len() - 1) as u32;
        let name = path.file_name().unwrap_or_default().into();
        let label = label.unwrap_or(UNLABELLED);
        state.entries.push(Compact { folder, label, name });
        state.print.add(path, None);
        let State { print, checkpoint, .. } = &mut *state;
        if let Some((samples, hash)) = checkpoint
            && *samples == print.samples
        {
            *hash = Some(print.hash);
        }
        let listed = state.entries.len();
        if listed == 1 {
            self.first.notify_all();
        }
        if state.wanted.is_some_and(|wanted| listed >= wanted) {
            state.wanted = None;
            drop(state);
            self.changed.notify_one();
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn finish(&self, end: Result<(), Error>) {
        let mut state = self.lock();
        state.end = Some(end);
        state.entries.shrink_to_fit();
        drop(state);
        self.first.notify_all();
        self.changed.notify_one();
    }

    /// Asks the walk to stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    // ---- the loader's side

    /// Waits for the first sample or the end of the walk. How many there are
    /// then, or the walk's error.
    pub(crate) fn wait_for_first(&self) -> Result<u64, Error> {
        let mut state = self.lock();
        while state.entries.is_empty() {
            match &state.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(error)) => return Err(error.clone()),
                None => {}
            }
            state = self.first.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state.entries.len() as u64)
    }

    pub(crate) fn progress(&self) -> Progress {
        let state = self.lock();
        Progress { listed: state.entries.len() as u64, complete: matches!(state.end, Some(Ok(()))) }
    }

    /// Of the samples listed so far.
    pub(crate) fn print(&self) -> Print {
        let state = self.lock();
        Print { complete: matches!(state.end, Some(Ok(()))), ..state.print }
    }

    /// The hash of the print that was asked for; `None` where there are fewer
    /// samples.
    pub(crate) fn checkpoint(&self) -> Option<u64> {
        self.lock().checkpoint.and_then(|(_, hash)| hash)
    }

    /// Waits for the end of the walk, or its error.
    pub(crate) fn wait_for_end(&self) -> Result<u64, Error> {
        let mut state = self.lock();
        loop {
            match &state.end {
                Some(Ok(())) => return Ok(state.entries.len() as u64),
                Some(Err(error)) => return Err(error.clone()),
                None => state = self.first.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The granter waits until `wanted` samples are listed. True when they are
    /// already, or the walk has ended, so that there is nothing to wait for.
    pub(crate) fn want(&self, wanted: u64) -> bool {
        let mut state = self.lock();
        if state.end.is_some() || state.entries.len() as u64 >= wanted {
            return true;
        }
        state.wanted = Some(wanted as usize);
        false
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().end.is_some()
    }

    /// The error that ended the walk, if one did.
    pub(crate) fn error(&self) -> Option<Error> {
        match &self.lock().end {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }

    pub(crate) fn entry(&self, index: u64) -> Option<Entry> {
        let state = self.lock();
        let Compact { folder, label, name } = state.entries.get(usize::try_from(index).ok()?)?;
        let path = state.folders[*folder as usize].join(&**name);
        Some(Entry { path, label: (*label != UNLABELLED).then_some(*label) })
    }

    /// The class of each sample listed so far.
    pub(crate) fn labels(&self) -> Vec<Option<u32>> {
        let state = self.lock();
        let label = |entry: &Compact| (entry.label != UNLABELLED).then_some(entry.label);
        state.entries.iter().map(label).collect()
    }

    pub(crate) fn classes(&self) -> Arc<[String]> {
        Arc::clone(&self.lock().classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Arc<Index> {
        Index::new(Arc::new(Notify::new()))
    }

    #[test]
    fn what_goes_in_comes_out() {
        let index = index();
        for (path, label) in
            [("a/1.jpg", Some(0)), ("a/2.jpg", Some(0)), ("b/1.jpg", Some(1)), ("c.jpg", None)]
        {
            assert!(index.push(Path::new(path), label).is_continue());
        }
        assert_eq!(index.entry(1).unwrap(), Entry { path: "a/2.jpg".into(), label: Some(0) });
        assert_eq!(index.entry(2).unwrap(), Entry { path: "b/1.jpg".into(), label: Some(1) });
        assert_eq!(index.entry(3).unwrap(), Entry { path: "c.jpg".into(), label: None });
        assert_eq!(index.entry(4), None);
        assert_eq!(index.progress(), Progress { listed: 4, complete: false });
        index.finish(Ok(()));
        assert!(index.progress().complete);
    }

    #[test]
    fn a_closed_index_stops_the_walk() {
        let index = index();
        index.close();
        assert!(index.push(Path::new("a"), None).is_break());
    }

    #[test]
    fn waiting_ends_with_the_walk() {
        let index = index();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| index.wait_for_first().unwrap());
            index.finish(Ok(()));
            assert_eq!(waiting.join().unwrap(), 0);
        });
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Compact>() <= 24);
    }
}
