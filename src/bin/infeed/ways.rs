//! The ways of feeding a loop that `infeed compare` measures, each run in a
//! process of its own so that its peak of memory is its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use clap::ValueEnum;
use infeed::source::{Admission, Fingerprint, Listing, ReadFuture, Source};
use infeed::{Cause, Element, LoaderBuilder, Order, Preprocessor, SkipList, Split};
use serde::{Deserialize, Serialize};

use crate::system::peak_rss_bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// A loop that keeps each result in memory of its own.
    LoopKeeping,
    /// The same loop, dropping each result.
    LoopDropping,
    /// Threads whose results are copied to their caller, in order, and kept.
    CopyingPool,
    LoaderOrdered,
    LoaderUnordered,
}

impl Way {
    pub(crate) const ALL: [Way; 5] = [
        Way::LoopKeeping,
        Way::LoopDropping,
        Way::CopyingPool,
        Way::LoaderOrdered,
        Way::LoaderUnordered,
    ];

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Way::LoopKeeping => "serial loop, results kept",
            Way::LoopDropping => "serial loop, results dropped",
            Way::CopyingPool => "pool, results copied and kept",
            Way::LoaderOrdered => "infeed, ordered",
            Way::LoaderUnordered => "infeed, unordered",
        }
    }
}

/// What one way came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) way: Way,
    pub(crate) images: usize,
    /// The first pass over the files, the loader's start included.
    pub(crate) first_seconds: f64,
    /// Later passes, where the way has any: one that keeps its results has no
    /// memory for a second.
    pub(crate) warm_seconds: Vec<f64>,
    pub(crate) peak_rss_bytes: Option<u64>,
}

impl Figures {
    pub(crate) fn first_images_per_second(&self) -> f64 {
        self.images as f64 / self.first_seconds
    }

    pub(crate) fn warm_images_per_second(&self) -> Option<f64> {
        let passes = self.warm_seconds.len();
        let seconds: f64 = self.warm_seconds.iter().sum();
        (passes > 0).then(|| (self.images * passes) as f64 / seconds)
    }
}

/// The first `images` samples of a source that are not skipped, or of one side of
/// their split. The loader applies the split again, which changes nothing.
#[derive(Clone)]
pub(crate) struct First {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) split: Option<Split>,
    pub(crate) skip: Option<SkipList>,
    pub(crate) images: usize,
}

impl Source for First {
    fn root(&self) -> PathBuf {
        self.source.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        let mut left = self.images;
        let skips = self.skip.as_ref().map(|list| list.below(&self.root()));
        self.source.list(&mut listing.wrap(|listing, sample| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            if self.split.is_some_and(|split| !split.contains(sample.path))
                || skips.as_ref().is_some_and(|skips| skips(sample.path))
            {
                return ControlFlow::Continue(());
            }
            left -= 1;
            listing.push_sample(sample)
        }))
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.source.read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        self.source.fingerprint(path)
    }
}

/// Runs one way over all samples of `source`.
pub(crate) fn measure<T: Element>(
    way: Way,
    source: &First,
    epochs: u64,
    builder: LoaderBuilder<T>,
) -> Result<Figures, Box<dyn Error>> {
    let root = source.root();
    let paths: Vec<PathBuf> =
        infeed::source::list(source)?.into_iter().map(|(path, _)| root.join(path)).collect();
    let seconds = match way {
        Way::LoopKeeping => vec![keep(&paths, &mut builder.preprocessor()?)?],
        Way::LoopDropping => {
            let mut preprocessor = builder.preprocessor()?;
            (0..epochs).map(|_| discard(&paths, &mut preprocessor)).collect::<Result<_, _>>()?
        }
        Way::CopyingPool => vec![copy(&paths, &builder)?],
        Way::LoaderOrdered => load(builder.order(Order::Ordered), epochs)?,
        Way::LoaderUnordered => load(builder.order(Order::Unordered), epochs)?,
    };
    Ok(Figures {
        way,
        images: paths.len(),
        first_seconds: seconds[0],
        warm_seconds: seconds[1..].to_vec(),
        peak_rss_bytes: peak_rss_bytes(),
    })
}

/// One picture in memory of its own.
fn one<T: Element>(path: &Path, preprocessor: &mut Preprocessor<T>) -> Result<Vec<T>, String> {
    let named = |error: &dyn std::fmt::Display| {
        format!("{}: {error}. `infeed compare` needs files that can be read", path.display())
    };
    let encoded = std::fs::read(path).map_err(|error| named(&error))?;
    let mut row = vec![T::default(); preprocessor.row_len()];
    preprocessor.preprocess(&encoded, &mut row).map_err(|(_, cause)| named(&cause))?;
    Ok(row)
}

fn keep<T: Element>(paths: &[PathBuf], preprocessor: &mut Preprocessor<T>) -> Result<f64, String> {
    let started = Instant::now();
    let mut kept = Vec::with_capacity(paths.len());
    for path in paths {
        kept.push(one(path, preprocessor)?);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(std::hint::black_box(kept));
    Ok(seconds)
}

fn discard<T: Element>(
    paths: &[PathBuf],
    preprocessor: &mut Preprocessor<T>,
) -> Result<f64, String> {
    let started = Instant::now();
    for path in paths {
        drop(std::hint::black_box(one(path, preprocessor)?));
    }
    Ok(started.elapsed().as_secs_f64())
}

/// What a pool of processes does, on threads: each result is made in memory of
/// the worker's, copied into memory of the caller's, and put in order.
fn copy<T: Element>(paths: &[PathBuf], builder: &LoaderBuilder<T>) -> Result<f64, Box<dyn Error>> {
    let threads = builder.resolve()?.threads;
    let preprocessors = (0..threads).map(|_| builder.preprocessor());
    let preprocessors = preprocessors.collect::<infeed::Result<Vec<_>>>()?;
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let kept = std::thread::scope(|scope| -> Result<Vec<Vec<T>>, String> {
        let (sender, results) = sync_channel(2 * threads);
        for mut preprocessor in preprocessors {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(at) else { return };
                    // Refused: the caller has gone, after another one's error.
                    if sender.send((at, one(path, &mut preprocessor))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut kept: Vec<Vec<T>> = Vec::with_capacity(paths.len());
        let mut early = BTreeMap::new();
        for (at, result) in results {
            early.insert(at, result?.clone());
            while let Some(result) = early.remove(&kept.len()) {
                kept.push(result);
            }
        }
        Ok(kept)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    drop(std::hint::black_box(kept));
    Ok(seconds)
}

/// Seconds of each epoch. One more is announced than measured, so that the last
/// one, too, prepares the next while it ends.
fn load<T: Element>(builder: LoaderBuilder<T>, epochs: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let started = Instant::now();
    let mut loader = builder.build()?;
    let mut announced = loader.epochs(0..epochs + 1)?;
    let mut ends = Vec::new();
    while let Some(epoch) = announced.next_epoch() {
        for batch in epoch {
            std::hint::black_box(batch?.as_slice()[0]);
        }
        ends.push(started.elapsed().as_secs_f64());
        if ends.len() as u64 == epochs {
            break;
        }
    }
    let starts = std::iter::once(0.0).chain(ends.iter().copied());
    Ok(ends.iter().zip(starts).map(|(end, start)| end - start).collect())
}
