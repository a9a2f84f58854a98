//! `infeed export`: the samples of one epoch as `.npy` files.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infeed::export::{Export, NpyElement, Progress};
use infeed::{Error, ErrorKind, OnError, Shard};

use crate::args;
use crate::export_report::{Report, print_merged};
use crate::images::Chosen;
use crate::stop::Interrupt;
use crate::units::Bytes;
use crate::{Exit, Outcome, is_broken_pipe};

/// Redrawing more often is not read by anybody.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) fn export<T: NpyElement>(args: &args::Export) -> Outcome {
    if let Some(dir) = args.dir.as_deref().filter(|_| args.knobs.images.takes_all())
        && inside(&args.out, dir)
    {
        let (out, dir) = (args.out.display(), dir.display());
        eprintln!("error: {out} lies inside {dir}, which is read. Choose a folder beside it");
        return Ok(Exit::Misused);
    }
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    let export = Export::new(args.knobs.builder::<T>(source), &args.out)
        .shard_size(args.shard_size.unwrap_or_default())
        .single(args.single)
        .part(args.shard_of)
        .resume(!args.no_resume)
        .overwrite(args.overwrite);
    // Everything about the input is checked before the output is touched.
    let mut exporting = export.start()?;
    let before = exporting.summary();
    if before.complete > 0 && !before.ended {
        let (complete, shards) = (before.complete, before.shards);
        eprintln!("going on: {complete} of {shards} shards are complete");
    }
    if let (needed, Some(free)) = exporting.space()
        && needed > free
    {
        let (needed, free, out) = (Bytes(needed), Bytes(free), args.out.display());
        eprintln!("warning: the export needs about {needed}, and {out} has {free} free");
    }
    let interrupt = Interrupt::install(Some(exporting.stop_handle()))?;
    let started = Instant::now();
    let mut bar = Bar::new(exporting.monitor(), before.shards);
    let done = exporting.run(|progress| bar.show(progress));
    drop(bar);
    let seconds = started.elapsed().as_secs_f64();
    let summary = exporting.summary();
    // A part that has nothing left is done.
    let made = args.shard_of != Shard::WHOLE && exporting.left() == 0;
    let fails = exporting.config().on_error == OnError::Fail;
    let report = Report {
        source: name,
        config: exporting.config().clone(),
        stages: exporting.monitor().stats().stages,
        writing: exporting.stats(),
        shard_samples: exporting.shard_samples(),
        part: args.shard_of,
        left: exporting.left(),
        seconds,
        // Too late, it changed nothing.
        interrupted: interrupt.requested() && !summary.ended && !made,
        summary,
        error: done.err().and_then(|error| describe(&error, fails)),
    };
    // Threads end before the summary claims that all is done.
    drop(exporting);
    if let Some(error) = &report.error {
        eprintln!("error: {error}");
    }
    let exit = match (report.interrupted, &report.error) {
        (true, _) => Exit::Interrupted,
        (_, Some(_)) => Exit::Failed,
        _ => Exit::Done,
    };
    let printed = if args.json { report.print_json() } else { report.print() };
    match printed {
        // Nobody reads it, which makes a failure no success.
        Err(error) if is_broken_pipe(&error) => Ok(exit),
        printed => printed.map(|()| exit).map_err(Into::into),
    }
}

pub(crate) fn merge(args: &args::Export) -> Outcome {
    let summary = infeed::export::merge(&args.out)?;
    print_merged(&summary, args.json)?;
    Ok(Exit::Done)
}

/// What to tell of an error; `None` where the user asked for the end.
fn describe(error: &Error, fails: bool) -> Option<String> {
    match error.kind() {
        ErrorKind::Stopped => None,
        ErrorKind::Sample if fails => Some(format!(
            "{error}. Mend or remove the file, leave such samples out with --on-error skip, or \
             have others in their place with --on-error replace; the export then goes on"
        )),
        _ => Some(error.to_string()),
    }
}

/// A bar on stderr; nothing where stderr is not a terminal.
struct Bar {
    bar: ProgressBar,
    monitor: infeed::Monitor,
    shards: u64,
    started: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(monitor: infeed::Monitor, shards: u64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:14} {pos}/{len} images  {msg}  ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar { bar, monitor, shards, started: Instant::now(), drawn: None }
    }

    fn show(&mut self, progress: &Progress) {
        if self.bar.is_hidden() || self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let rate = progress.images as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let stats = self.monitor.stats();
        self.bar.set_length(progress.of);
        self.bar.set_position(progress.images);
        self.bar.set_message(format!(
            "{rate:.0}/s  queue {}/{}  {} of {} shards complete",
            stats.queue.waiting, stats.setting.prefetch, progress.complete, self.shards
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Whether writing to `out` would add to what is read from `dir`.
fn inside(out: &Path, dir: &Path) -> bool {
    let Ok(dir) = dir.canonicalize() else { return false };
    // The part of `out` that exists decides where the rest will be.
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let real = absolute.ancestors().find_map(|part| part.canonicalize().ok());
    real.is_some_and(|real| real.starts_with(&dir))
}
