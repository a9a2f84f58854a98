//! The samples found so far, growing while the walk goes on.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::{Listed, Print};
use crate::error::Error;
use crate::sync::{Condvar, Mutex, MutexGuard, Notify};

/// One sample as the source listed it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Relative to the source's root.
    pub(crate) path: PathBuf,
    pub(crate) label: Option<u32>,
    pub(crate) target: Box<[f32]>,
}

/// Append-only. A sample costs its name and about 40 bytes, and 4 for each value
/// of its target: folders are kept once.
#[derive(Debug)]
pub(crate) struct Index {
    state: Mutex<State>,
    first: Condvar,
    /// Shared with the window: wakes the granter.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    folders: Vec<Arc<Path>>,
    /// The number of each folder, while the walk goes on: a list may name them
    /// in any order.
    numbers: HashMap<Arc<Path>, u32>,
    entries: Vec<Compact>,
    /// Row-major, `[entries, target_len]`.
    targets: Vec<f32>,
    /// The first sample's.
    target_len: usize,
    classes: Arc<[String]>,
    print: Print,
    /// After how many samples the print's hash is wanted, and the hash then.
    checkpoint: Option<(u64, Option<u64>)>,
    /// The walk has ended, and how.
    end: Option<Result<(), Error>>,
    /// Why the walk was asked to stop, where a sample could not be taken.
    refused: Option<Error>,
    /// The granter waits for this many samples.
    wanted: Option<usize>,
    closed: bool,
}

impl State {
    /// The number of a folder, which most often is the one before's.
    fn folder(&mut self, folder: &Path) -> u32 {
        let last = self.entries.last().map(|entry| entry.folder);
        if let Some(last) = last.filter(|last| *self.folders[*last as usize] == *folder) {
            return last;
        }
        if let Some(&number) = self.numbers.get(folder) {
            return number;
        }
        let (number, folder) = (self.folders.len() as u32, Arc::<Path>::from(folder));
        self.folders.push(Arc::clone(&folder));
        self.numbers.insert(folder, number);
        number
    }
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

    pub(super) fn push(&self, sample: &Listed<'_>) -> ControlFlow<()> {
        let Listed { path, label, target, bytes, .. } = *sample;
        let mut state = self.lock();
        if state.closed || state.refused.is_some() {
            return ControlFlow::Break(());
        }
        if state.entries.is_empty() {
            state.target_len = target.len();
        } else if target.len() != state.target_len {
            let reason = format!(
                "its target has {} values and the first sample's has {}: all of a source must \
                 have as many",
                target.len(),
                state.target_len
            );
            state.refused = Some(Error::source_unusable(path, reason));
            return ControlFlow::Break(());
        }
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let folder = state.folder(folder);
        let name = path.file_name().unwrap_or_default().into();
        let label = label.unwrap_or(UNLABELLED);
        state.entries.push(Compact { folder, label, name });
        state.print.add(path, bytes);
        let State { print, checkpoint, .. } = &mut *state;
        if let Some((samples, hash)) = checkpoint
            && *samples == print.samples
        {
            *hash = Some(print.hash);
        }
        state.targets.extend_from_slice(target);
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
        state.end = Some(state.refused.take().map_or(end, Err));
        state.entries.shrink_to_fit();
        state.targets.shrink_to_fit();
        state.numbers = HashMap::new();
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
        let index = usize::try_from(index).ok()?;
        let Compact { folder, label, name } = state.entries.get(index)?;
        let path = state.folders[*folder as usize].join(&**name);
        let label = (*label != UNLABELLED).then_some(*label);
        let target = &state.targets[index * state.target_len..][..state.target_len];
        Some(Entry { path, label, target: target.into() })
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

    /// Of samples of these names and classes, listed to the end.
    #[cfg(test)]
    pub(crate) fn of(samples: impl IntoIterator<Item = (String, Option<u32>)>) -> Arc<Index> {
        let index = Index::new(Arc::new(Notify::new()));
        for (name, label) in samples {
            let pushed = super::Listing::new(&index).push(Path::new(&name), label);
            assert!(pushed.is_continue());
        }
        index.finish(Ok(()));
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Arc<Index> {
        Index::new(Arc::new(Notify::new()))
    }

    fn entry(path: &str, label: Option<u32>, target: &[f32]) -> Option<Entry> {
        Some(Entry { path: path.into(), label, target: target.into() })
    }

    #[test]
    fn what_goes_in_comes_out() {
        let index = index();
        for (path, label) in
            [("a/1.jpg", Some(0)), ("b/1.jpg", Some(1)), ("a/2.jpg", Some(0)), ("c.jpg", None)]
        {
            assert!(index.push(&Listed::new(Path::new(path)).label(label)).is_continue());
        }
        assert_eq!(index.entry(1), entry("b/1.jpg", Some(1), &[]));
        assert_eq!(index.entry(2), entry("a/2.jpg", Some(0), &[]));
        assert_eq!(index.entry(3), entry("c.jpg", None, &[]));
        assert_eq!(index.entry(4), None);
        assert_eq!(index.lock().folders.len(), 3, "each folder is kept once");
        assert_eq!(index.progress(), Progress { listed: 4, complete: false });
        index.finish(Ok(()));
        assert!(index.progress().complete);
    }

    #[test]
    fn targets_have_one_length() {
        let index = index();
        let push =
            |path: &str, target: &[f32]| index.push(&Listed::new(Path::new(path)).target(target));
        assert!(push("a", &[1.0, 2.0]).is_continue());
        assert!(push("b", &[3.0, 4.0]).is_continue());
        assert!(push("c", &[5.0]).is_break());
        assert!(push("d", &[5.0, 6.0]).is_break(), "nothing comes behind what was refused");
        index.finish(Ok(()));
        assert_eq!(index.entry(1), entry("b", None, &[3.0, 4.0]));
        assert_eq!(index.entry(2), None);
        let error = index.error().unwrap();
        assert_eq!(error.path(), Some(Path::new("c")));
        assert!(error.to_string().contains("1 values and the first sample's has 2"), "{error}");
    }

    #[test]
    fn a_closed_index_stops_the_walk() {
        let index = index();
        index.close();
        assert!(index.push(&Listed::new(Path::new("a"))).is_break());
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
