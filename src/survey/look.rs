//! The threads of a survey.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use twox_hash::XxHash3_128;

use super::tally::{self, Levels, Seen};
use super::{Broken, Class, Progress, Reader, Resized, Survey};
use crate::config::{Color, Resolved};
use crate::decode::{Format, Orientation, Stored};
use crate::error::{Cause, CauseKind, Error, Result, Stage};
use crate::fence::fence;
use crate::preprocess::Preprocessor;
use crate::read::StuckReads;
use crate::source::{Entry, Index, Source, indexed, no_image};
use crate::transform::Turn;

/// What one thread has found.
#[derive(Default)]
struct Found {
    broken: Vec<Broken>,
    seen: Vec<Seen>,
    levels: Levels,
}

/// What the threads share.
struct Work<'a> {
    source: &'a dyn Source,
    index: &'a Index,
    config: &'a Resolved,
    preprocessor: &'a (dyn Fn() -> Preprocessor<u8> + Sync),
    watch: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    samples: u64,
    next: AtomicU64,
    opened: AtomicU64,
    broken: AtomicU64,
    stopped: AtomicBool,
    stuck: Arc<StuckReads>,
}

pub(super) fn look(
    source: &dyn Source,
    config: &Resolved,
    preprocessor: &(dyn Fn() -> Preprocessor<u8> + Sync),
    watch: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Survey> {
    let mut stopped = false;
    let (index, samples) = indexed(source, |samples| {
        let told = watch(Progress { samples, listed: false, opened: 0, broken: 0 });
        stopped |= told.is_break();
        told
    })?;
    if samples == 0 && !stopped {
        return Err(no_image(source.root()));
    }
    let work = Work {
        source,
        index: &index,
        config,
        preprocessor,
        watch,
        samples,
        next: AtomicU64::new(0),
        opened: AtomicU64::new(0),
        broken: AtomicU64::new(0),
        stopped: AtomicBool::new(stopped),
        stuck: StuckReads::new(config.readers),
    };
    let found = work.on_threads()?;
    Ok(work.survey(found))
}

impl Work<'_> {
    fn on_threads(&self) -> Result<Found> {
        let threads = (self.config.threads as u64).min(self.samples).max(1);
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            let mut refused = None;
            for number in 0..threads {
                let name = format!("infeed-survey-{number}");
                let thread = std::thread::Builder::new().name(name.clone());
                match thread.spawn_scoped(scope, || self.run_or_stop()) {
                    Ok(thread) => running.push(thread),
                    Err(error) => {
                        self.stopped.store(true, Ordering::Relaxed);
                        let what = format!("the thread {name} cannot be started");
                        refused = Some(Error::system(what, error));
                        break;
                    }
                }
            }
            let mut all = Found::default();
            for thread in running {
                let lost = |_| Err(Error::lost("a thread of the survey panicked"));
                match thread.join().unwrap_or_else(lost) {
                    Ok(found) => {
                        all.broken.extend(found.broken);
                        all.seen.extend(found.seen);
                        all.levels.merge(&found.levels);
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            refused.map_or(Ok(all), Err)
        })
    }

    /// One thread; where it fails or panics, the others end.
    fn run_or_stop(&self) -> Result<Found> {
        let done = catch_unwind(AssertUnwindSafe(|| self.run()));
        if !matches!(done, Ok(Ok(_))) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        done.unwrap_or_else(|_| Err(Error::lost("a thread of the survey panicked")))
    }

    /// One thread, until nothing is left or nobody wants more.
    fn run(&self) -> Result<Found> {
        let mut reader = Reader::new(self.config, &self.stuck)?;
        let mut preprocessor = (self.preprocessor)();
        let mut row = vec![0; preprocessor.row_len()];
        let channels = if self.config.color == Color::Grey { 1 } else { 3 };
        let mut found = Found::default();
        while !self.stopped.load(Ordering::Relaxed) {
            let progress = Progress {
                samples: self.samples,
                listed: true,
                opened: self.opened.load(Ordering::Relaxed),
                broken: self.broken.load(Ordering::Relaxed),
            };
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = self.index.entry(number) else { break };
            if (self.watch)(progress).is_break() {
                self.stopped.store(true, Ordering::Relaxed);
                break;
            }
            match self.open(number, &entry, &mut reader, &mut preprocessor, &mut row) {
                Ok(seen) => {
                    found.levels.add(&row, channels);
                    found.seen.push(seen);
                }
                Err(broken) => {
                    if broken.cause == CauseKind::TimedOut
                        && let Some((stuck, readers, path)) = self.stuck.too_many()
                    {
                        // The rest would pass for broken.
                        return Err(Error::stuck(stuck, readers, path));
                    }
                    self.broken.fetch_add(1, Ordering::Relaxed);
                    found.broken.push(*broken);
                    // It may have panicked and left anything.
                    preprocessor = (self.preprocessor)();
                }
            }
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn open(
        &self,
        index: u64,
        entry: &Entry,
        reader: &mut Reader,
        preprocessor: &mut Preprocessor<u8>,
        row: &mut [u8],
    ) -> Result<Seen, Box<Broken>> {
        let Entry { path, label, .. } = entry;
        let broken = |bytes, hash, stage, cause: &Cause| {
            let message = cause.message().to_owned();
            let (path, label, cause) = (path.clone(), *label, cause.kind());
            Box::new(Broken { index, path, label, class: None, bytes, hash, stage, cause, message })
        };
        let encoded = reader
            .read(self.source, path)
            .map_err(|cause| broken(self.size_of(path), None, Stage::Read, &cause))?;
        let (bytes, hash) = (encoded.len() as u64, XxHash3_128::oneshot(&encoded));
        let turn = Turn::default();
        let done = fence(|| preprocessor.preprocess_at(Some(path), turn, &encoded, row));
        let done = done.unwrap_or_else(|panic| Err((Stage::Decode, panic)));
        let (size, orientation) =
            done.map_err(|(stage, cause)| broken(Some(bytes), Some(hash), stage, &cause))?;
        let format = Format::of(&encoded);
        let stored = fence(|| Stored::of(&encoded, format)).unwrap_or(Stored::Other);
        let turned = orientation != Orientation::Upright;
        Ok(Seen { index, bytes, hash, size, format, stored, turned })
    }

    /// The size of a file that cannot be read, if that can be told.
    fn size_of(&self, path: &Path) -> Option<u64> {
        let told = fence(|| self.source.fingerprint(path));
        told.ok()?.ok()?.map(|fingerprint| fingerprint.bytes)
    }

    fn survey(&self, found: Found) -> Survey {
        let Found { mut broken, mut seen, levels } = found;
        broken.sort_by_key(|broken| broken.index);
        seen.sort_by_key(|seen| seen.index);
        let (names, labels) = (self.index.classes(), self.index.labels());
        let label = |index: u64| labels.get(index as usize).copied().flatten();
        let all = || broken.iter().map(|broken| broken.index).chain(seen.iter().map(|s| s.index));
        let unlabelled = all().filter(|&index| label(index).is_none()).count() as u64;
        // A source may have numbered its classes and not named them.
        let name = |label: u32| {
            let name = names.get(label as usize).cloned();
            name.unwrap_or_else(|| label.to_string())
        };
        let class = |label| (label, Class { label, name: name(label), good: 0, broken: 0 });
        // Numbers may be far apart.
        let labels = (0..names.len() as u32).chain(all().filter_map(label));
        let mut classes: BTreeMap<u32, Class> = labels.map(class).collect();
        for seen in &seen {
            let class = label(seen.index).and_then(|label| classes.get_mut(&label));
            class.into_iter().for_each(|class| class.good += 1);
        }
        for broken in &mut broken {
            if let Some(class) = broken.label.and_then(|label| classes.get_mut(&label)) {
                class.broken += 1;
                broken.class = Some(class.name.clone());
            }
        }
        let opened = (seen.len() + broken.len()) as u64;
        let path = |index| self.index.entry(index).map(|entry| entry.path).unwrap_or_default();
        let Resolved { size, fit, filter, decode, color, .. } = *self.config;
        Survey {
            root: self.source.root(),
            samples: self.samples,
            opened,
            complete: opened == self.samples && !self.stopped.load(Ordering::Relaxed),
            unlabelled,
            good: tally::good(&seen, &levels, color, path),
            broken,
            classes: classes.into_values().collect(),
            left_out: Vec::new(),
            levels: Resized { size, fit, filter, decode, color },
        }
    }
}
