//! The live line while batches stream.

use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infeed::stats::{Bound, Stats};
use infeed::{Element, Loader, Monitor};

/// Redrawing more often is not read by anybody.
const EVERY: Duration = Duration::from_millis(100);

/// What happened longer ago says little about now.
const JUDGED: Duration = Duration::from_secs(5);

/// A bar on stderr; nothing where stderr is not a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    monitor: Monitor,
    /// Images of the epoch that goes on where an earlier run stood.
    resumed: Option<u64>,
    epochs: u64,
    images: u64,
    started: Instant,
    drawn: Option<Instant>,
    /// Figures of some seconds ago, to judge by what happens now.
    earlier: Stats,
    bound: Bound,
}

impl Progress {
    pub(crate) fn new<T: Element>(loader: &Loader<T>, epochs: Range<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Progress {
            bar,
            monitor: loader.monitor(),
            resumed: loader.is_resumed().then(|| loader.samples_of(epochs.start)).flatten(),
            epochs: epochs.end - epochs.start,
            images: 0,
            started: Instant::now(),
            drawn: None,
            earlier: Stats::default(),
            bound: Bound::Starting,
        }
    }

    /// Counts a batch and redraws the line where it is time to.
    pub(crate) fn batch(&mut self, images: usize) {
        self.images += images as u64;
        if self.bar.is_hidden() || self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let stats = self.monitor.stats();
        if let (Some(planned), None) = (stats.epoch_samples, self.bar.length()) {
            let images = match self.resumed {
                Some(first) => first + planned * self.epochs.saturating_sub(1),
                None => planned * self.epochs,
            };
            self.bar.set_length(images);
            self.bar.set_style(style("{bar:14} {pos}/{len} images  {msg}  ETA {eta}"));
        } else if self.bar.length().is_none() {
            self.bar.set_style(style("{spinner} {pos} images  {msg}"));
        }
        let seconds = self.started.elapsed().as_secs_f64();
        // Right after a new beginning there is nothing to judge.
        match stats.bound_since(&self.earlier) {
            Bound::Starting => {}
            bound => self.bound = bound,
        }
        let queue = stats.queue;
        self.bar.set_position(self.images);
        self.bar.set_message(format!(
            "{:.0}/s  queue {}/{}  {}",
            self.images as f64 / seconds.max(1e-9),
            queue.waiting,
            stats.setting.prefetch,
            self.bound.words()
        ));
        if stats.seconds > self.earlier.seconds + JUDGED.as_secs_f64() {
            self.earlier = stats;
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
