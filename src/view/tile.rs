//! One sample read, decoded, and made into its row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::pick::Pick;
use super::{Picture, Seen, Shown, Tile};
use crate::config::Resolved;
use crate::decode::{Format, Stored};
use crate::element::Element;
use crate::error::{Cause, Error, Result, Stage};
use crate::fence::fence;
use crate::preprocess::Preprocessor;
use crate::read::StuckReads;
use crate::source::{Entry, Index, Source};
use crate::survey::Reader;
use crate::transform::Turn;

/// Pixels of the longer side of an original on the sheet: twice what it is shown at.
const ORIGINAL: u32 = 400;

/// What the tiles are made with.
pub(super) struct Bench<'a, T: Element> {
    source: &'a dyn Source,
    config: &'a Resolved,
    index: Arc<Index>,
    preprocessor: &'a (dyn Fn() -> Result<Preprocessor<T>> + Sync),
}

impl<'a, T: Element> Bench<'a, T> {
    pub(super) fn new(
        source: &'a dyn Source,
        config: &'a Resolved,
        index: Arc<Index>,
        preprocessor: &'a (dyn Fn() -> Result<Preprocessor<T>> + Sync),
    ) -> Self {
        Bench { source, config, index, preprocessor }
    }

    /// All of them, in their order, on as many threads as a loader has.
    pub(super) fn tiles(&self, picks: &[Pick]) -> Result<Vec<Tile>> {
        let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(picks.len())));
        let stuck = StuckReads::new(self.config.readers);
        let work = || -> Result<()> {
            let mut reader = Reader::new(self.config, &stuck)?;
            let mut preprocessor = (self.preprocessor)()?;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(pick) = picks.get(at) else { return Ok(()) };
                let (tile, whole) = self.tile(*pick, &mut reader, &mut preprocessor);
                made.lock().unwrap_or_else(PoisonError::into_inner).push((at, tile));
                if !whole {
                    preprocessor = (self.preprocessor)()?;
                }
            }
        };
        let lost = |_| Err(Error::lost("a thread of the sheet panicked"));
        // Where one fails or panics, the others end.
        let work_or_stop = || {
            let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(lost);
            if done.is_err() {
                next.store(picks.len(), Ordering::Relaxed);
            }
            done
        };
        std::thread::scope(|scope| {
            let threads = (0..self.config.threads.min(picks.len())).map(|number| {
                let name = format!("infeed-view-{number}");
                let thread = std::thread::Builder::new().name(name.clone());
                thread.spawn_scoped(scope, work_or_stop).map_err(|error| {
                    next.store(picks.len(), Ordering::Relaxed);
                    Error::system(format!("the thread {name} cannot be started"), error)
                })
            });
            // All are started before the first is waited for.
            let threads: Vec<_> = threads.collect();
            threads.into_iter().try_for_each(|thread| thread?.join().unwrap_or_else(lost))
        })?;
        let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        made.sort_by_key(|(at, _)| *at);
        Ok(made.into_iter().map(|(_, tile)| tile).collect())
    }

    /// A tile, and whether the preprocessor can be used again.
    fn tile(
        &self,
        pick: Pick,
        reader: &mut Reader,
        preprocessor: &mut Preprocessor<T>,
    ) -> (Tile, bool) {
        let Pick { epoch, index, position } = pick;
        let entry = self.index.entry(index);
        let Entry { path, label, target } =
            entry.unwrap_or(Entry { path: "".into(), label: None, target: [].into() });
        let class = label.and_then(|label| self.index.classes().get(label as usize).cloned());
        let seen = match position {
            None => Ok(Seen::Absent),
            Some(position) => {
                let turn = Turn { epoch, position };
                self.shown(&path, turn, reader, preprocessor)
                    .map(|shown| Seen::Row(Box::new(shown)))
            }
        };
        let whole = seen.is_ok();
        let seen = seen.unwrap_or_else(|(stage, cause)| {
            Seen::Failed(stage, cause.kind(), cause.message().to_owned())
        });
        (Tile { index, position, epoch, path, label, class, target, seen }, whole)
    }

    fn shown(
        &self,
        path: &std::path::Path,
        turn: Turn,
        reader: &mut Reader,
        preprocessor: &mut Preprocessor<T>,
    ) -> Result<Shown, (Stage, Cause)> {
        let read = |cause| (Stage::Read, cause);
        let decode = |cause| (Stage::Decode, cause);
        let encoded = reader.read(self.source, path).map_err(read)?;
        let original = fence(|| {
            let decoded = preprocessor.decode_rgb8(&encoded);
            decoded.map(|(size, pixels)| Picture::within(size, pixels, ORIGINAL))
        });
        let original = original.and_then(|original| original).map_err(decode)?;
        let mut row = vec![T::default(); preprocessor.row_len()];
        let done = fence(|| preprocessor.preprocess_at(Some(path), turn, &encoded, &mut row));
        let (size, _) = done.map_err(decode)??;
        let mut choices = preprocessor.choices(turn.epoch, turn.position, size);
        let stored = fence(|| Stored::of(&encoded, Format::of(&encoded)));
        if stored.is_ok_and(Stored::is_colourless) {
            choices.forget_colour();
        }
        let Resolved { size, layout, color, normalize, .. } = self.config;
        let row = Picture::of_row(&row, *size, *layout, *color, normalize);
        Ok(Shown { choices, original, row })
    }
}
