//! `infeed run`: streams epochs and says how fast.

use std::time::Instant;

use infeed::stats::EpochStats;
use infeed::{Batch, Element, Error, ErrorKind, Loader, OnError};
use serde_json::Value;

use crate::args;
use crate::images::Chosen;
use crate::progress::Progress;
use crate::report::Report;
use crate::state::{self, Keeper};
use crate::stop::Interrupt;
use crate::{Exit, Outcome, is_broken_pipe};

pub(crate) fn run<T: Element>(args: &args::Run) -> Outcome {
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    let mut builder = args.knobs.builder::<T>(source);
    let keeper = Keeper::new(&args.resuming, args.knobs.shard())?;
    if let Some(resume) = state::resume(&args.resuming, args.knobs.shard())? {
        builder = builder.resume(resume);
    }
    let built = builder.failures_kept(usize::MAX).build();
    let loader = built.map_err(|error| state::with_files(error, &args.resuming))?;
    let mut streaming = Streaming::start(loader, name)?;
    if let Some(keeper) = &keeper {
        keeper.keep_listing(&streaming.loader)?;
    }
    streaming.stream(args.epochs, |batch| match &keeper {
        Some(keeper) => Ok(keeper.keep(&batch.state())?),
        None => Ok(()),
    });
    streaming.finish(args.json, args.digest)
}

/// Epochs on their way, and what came of them. Shared by the commands that
/// stream.
pub(crate) struct Streaming<T: Element> {
    loader: Loader<T>,
    source: String,
    interrupt: Interrupt,
    started: Instant,
    first_batch_seconds: Option<f64>,
    seconds: f64,
    epochs: Vec<EpochStats>,
    errors: Vec<Value>,
    error: Option<Box<dyn std::error::Error>>,
}

impl<T: Element> Streaming<T> {
    pub(crate) fn start(loader: Loader<T>, source: String) -> std::io::Result<Self> {
        let interrupt = Interrupt::install(Some(loader.stop_handle()))?;
        Ok(Streaming {
            loader,
            source,
            interrupt,
            started: Instant::now(),
            first_batch_seconds: None,
            seconds: 0.0,
            epochs: Vec::new(),
            errors: Vec::new(),
            error: None,
        })
    }

    /// Hands every batch that is left of `epochs` epochs to `use_batch`, until something goes
    /// wrong or the user has enough.
    pub(crate) fn stream(
        &mut self,
        epochs: u64,
        mut use_batch: impl FnMut(&Batch<T>) -> Result<(), Box<dyn std::error::Error>>,
    ) {
        let first = self.loader.first_epoch();
        if first >= epochs {
            eprintln!("nothing is left: epochs 0 to {} were done before", epochs - 1);
        }
        let mut progress = Progress::new(&self.loader, first..epochs.max(first));
        let fails = self.loader.config().on_error == OnError::Fail;
        let mut announced = match self.loader.epochs(first..epochs.max(first)) {
            Ok(announced) => announced,
            Err(error) => {
                self.error = Some(error.into());
                return;
            }
        };
        'epochs: while let Some(mut epoch) = announced.next_epoch() {
            while let Some(item) = epoch.next() {
                let result = item.map_err(|error| describe(error, fails, &mut self.errors));
                let done = result.and_then(|batch| {
                    progress.batch(batch.len());
                    self.first_batch_seconds
                        .get_or_insert_with(|| self.started.elapsed().as_secs_f64());
                    use_batch(&batch).map_err(Some)
                });
                if let Err(error) = done {
                    self.error = error;
                    self.epochs.push(epoch.stats());
                    break 'epochs;
                }
            }
            self.epochs.push(epoch.stats());
        }
        self.seconds = self.started.elapsed().as_secs_f64();
        let recorded = announced.failures().iter().filter_map(|f| serde_json::to_value(f).ok());
        self.errors.splice(0..0, recorded);
        if let Some(error) = &self.error {
            progress.say(&format!("error: {error}"));
        }
    }

    /// Prints what came of it and says how the program is to end.
    /// `digest` tells the digests too, which JSON always has.
    pub(crate) fn finish(self, as_json: bool, digest: bool) -> Outcome {
        let interrupted = self.interrupt.requested();
        let failed = self.error.is_some();
        let stats = self.loader.stats();
        let report = Report {
            source: self.source,
            config: self.loader.config().clone(),
            stats,
            epochs: self.epochs,
            seconds: self.seconds,
            first_batch_seconds: self.first_batch_seconds,
            errors: self.errors,
            error: self.error.map(|error| error.to_string()),
            interrupted,
        };
        // Threads end before the summary claims that all is done.
        drop(self.loader);
        let exit = match (interrupted, failed) {
            (true, _) => Exit::Interrupted,
            (_, true) => Exit::Failed,
            _ => Exit::Done,
        };
        let printed = if as_json { report.print_json() } else { report.print(digest) };
        match printed {
            // Nobody reads it, which makes a failure no success.
            Err(error) if is_broken_pipe(&error) => Ok(exit),
            printed => printed.map(|()| exit).map_err(Into::into),
        }
    }
}

/// What to tell of an error; `None` where the user asked for the end.
fn describe(
    error: Error,
    fails: bool,
    errors: &mut Vec<Value>,
) -> Option<Box<dyn std::error::Error>> {
    if error.kind() == ErrorKind::Stopped {
        return None;
    }
    let sample = error.sample().or_else(|| error.last_sample());
    errors.extend(sample.and_then(|sample| serde_json::to_value(sample).ok()));
    if error.sample().is_some() && fails {
        let hint = "leave such samples out with --on-error skip, or have others in their place \
                    with --on-error replace";
        return Some(format!("{error}. Mend or remove the file, {hint}").into());
    }
    Some(error.into())
}
