//! One setting, run.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Choice;
use crate::batch::Batch;
use crate::element::Element;
use crate::epoch::Epochs;
use crate::error::{Error, Result};
use crate::loader::{Loader, Setter};
use crate::stats::{Bound, Knob, Sight, Stats, Timeline, Verdict};

/// What a setting came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measured {
    /// Images a second.
    pub images_per_second: f64,
    /// The part of its time that the consumer waited.
    pub wait: f64,
    /// Cores that the decoder threads used, on average.
    pub cores: f64,
    /// Bytes of batches in the end, those that the consumer has included.
    pub batches_bytes: u64,
    /// What limited.
    pub bound: Bound,
    /// Batches that were counted.
    pub batches: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What a trial tells.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) measured: Measured,
    pub(super) sight: Sight,
    pub(super) verdict: Verdict,
    pub(super) stats: Stats,
    /// Moments of this trial alone.
    pub(super) timeline: Timeline,
}

/// So long, and for so many batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) least: Duration,
    pub(super) batches: u64,
    /// Not longer, if a few have come.
    pub(super) most: Duration,
}

const A_FEW: u64 = 3;
const LEAST_ROWS: u64 = 8;

/// A loader that is set otherwise while it runs.
pub(super) struct Bench<'l, T: Element> {
    epochs: Epochs<'l, T>,
    setter: Setter,
}

/// Epochs that nobody comes to the end of.
const EPOCHS: u64 = 1 << 40;

impl<'l, T: Element> Bench<'l, T> {
    pub(super) fn new(loader: &'l mut Loader<T>) -> Result<Self> {
        let setter = loader.setter();
        Ok(Bench { epochs: loader.epochs(0..EPOCHS)?, setter })
    }

    /// Runs one setting with this consumer.
    pub(super) fn run(
        &mut self,
        choice: Choice,
        length: Length,
        mut step: impl FnMut(&Batch<T>) -> ControlFlow<()>,
    ) -> Result<Option<Trial>> {
        self.setter.set(Knob::Threads, choice.threads);
        self.setter.set(Knob::Readers, choice.readers);
        self.setter.set(Knob::Prefetch, choice.prefetch);
        // What was under way before says nothing.
        let settle = choice.prefetch as u64 + 2;
        let mut taken = 0;
        let (mut before, mut begun, mut rows) = (None, Instant::now(), 0);
        loop {
            let Some(batch) = self.epochs.next() else { return Ok(None) };
            let batch = batch?;
            if step(&batch).is_break() {
                return Err(Error::stopped());
            }
            taken += 1;
            if before.is_none() && (taken >= settle || begun.elapsed() > length.most / 2) {
                (before, begun, taken) = (Some(self.setter.stats()), Instant::now(), 0);
            } else if before.is_some() {
                let spent = begun.elapsed();
                let enough = spent >= length.least && taken >= length.batches;
                rows += batch.len() as u64;
                let enough = enough || (spent >= length.most && taken >= A_FEW);
                // A batch can be a single sample.
                if enough && rows >= LEAST_ROWS {
                    break;
                }
            }
        }
        let stats = self.setter.stats();
        let before = before.unwrap_or_default();
        let mut timeline = self.setter.timeline();
        timeline.moments.retain(|moment| moment.seconds >= before.seconds);
        // The end of an epoch is crossed without a wait: epochs are announced.
        let Some(sight) = Sight::new(&before, &stats) else { return Ok(None) };
        let seconds = begun.elapsed().as_secs_f64();
        let on_core = |stats: &Stats| stats.decoders.unwrap_or_default().on_core;
        let used = match stats.decoders {
            Some(_) => on_core(&stats).saturating_sub(on_core(&before)).as_secs_f64() / seconds,
            None => sight.images_per_second * sight.costs.decode.mean,
        };
        let verdict = stats.verdict_since(&before);
        let measured = Measured {
            images_per_second: sight.images_per_second,
            wait: sight.wait,
            cores: used,
            batches_bytes: stats.memory.batches.bytes,
            bound: verdict.bound,
            batches: taken,
            seconds,
        };
        Ok(Some(Trial { measured, sight, verdict, stats, timeline }))
    }
}
