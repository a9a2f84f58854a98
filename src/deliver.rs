//! What the window hands out becomes batches and errors, by the policy on
//! failures. Every face of an epoch goes through here.
//!
//! Failures are judged when the batch that lacks them is delivered, not when
//! they happen, so that in ordered mode the same files give the same items in
//! the same order, whatever the timing.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::batch::Batch;
use crate::config::{OnError, Resolved};
use crate::element::Element;
use crate::error::{Error, Result, SampleError};
use crate::resume::Tracker;
use crate::stats::{EpochCounters, EpochStats};
use crate::window::{Assembled, Assembly, RunId, Taken, Totals, Window};

pub(crate) struct Delivery<T: Element> {
    window: Arc<Window<T>>,
    run: RunId,
    on_error: OnError,
    config: Resolved,
    row_shape: [usize; 3],
    /// Epochs that have not ended; the first is being delivered.
    epochs: Range<u64>,
    /// What is to be told before anything else is taken.
    pending: VecDeque<Told<T>>,
    current: Current,
    tracker: Tracker,
    failures: Vec<SampleError>,
    /// An epoch of which every sample failed ends the run; and a batch, where ranks are
    /// others.
    needs_rows: bool,
    /// Nothing more comes from the window.
    over: bool,
    /// When the clock was last looked at: after whatever takes time.
    now: Instant,
}

enum Told<T: Element> {
    Batch(Batch<T>),
    Error(Error),
    /// The last item. Told behind failures of its batch, it may never be told:
    /// the consumer can turn to the next epoch before.
    End(Error),
}

/// One step of a delivery.
pub(crate) enum Step<T: Element> {
    Item(Result<Batch<T>>),
    EpochEnd,
    End,
}

/// Whether to block, or to leave a waker.
pub(crate) enum Patience<'w> {
    Wait,
    Wake(&'w Waker),
}

/// The epoch being delivered, from the consumer's first call for it.
#[derive(Default)]
struct Current {
    /// Its number; `None` before the first call of all.
    epoch: Option<u64>,
    stats: EpochStats,
    started: Option<Instant>,
    ended: Option<Instant>,
    counters: Option<Arc<EpochCounters>>,
    /// In words, for an epoch that comes to nothing.
    last_failure: String,
    /// Since when the consumer waits for the next batch.
    waiting: Option<Instant>,
    /// When the last item was handed over: until the next call the consumer is
    /// away with it.
    handed_over: Option<Instant>,
    /// No batch has come yet: nothing could be ready, for nothing was announced.
    first: bool,
}

impl<T: Element> Delivery<T> {
    pub(crate) fn new(
        (window, run): (&Arc<Window<T>>, RunId),
        config: &Resolved,
        tracker: Tracker,
        row_shape: [usize; 3],
        epochs: Range<u64>,
    ) -> Self {
        let over = epochs.is_empty();
        Delivery {
            window: Arc::clone(window),
            run,
            on_error: config.on_error,
            config: config.clone(),
            row_shape,
            epochs,
            pending: VecDeque::new(),
            current: Current { first: true, ..Current::default() },
            tracker,
            failures: Vec::new(),
            needs_rows: true,
            over,
            now: Instant::now(),
        }
    }

    /// For who cares for samples alone: a batch that comes to nothing is no error.
    #[cfg(feature = "export")]
    pub(crate) fn pass_over_empty_batches(mut self) -> Self {
        self.needs_rows = false;
        self
    }

    /// The next step; `None` only with a waker, which is then left.
    pub(crate) fn step(&mut self, patience: &Patience<'_>) -> Option<Step<T>> {
        self.now = Instant::now();
        if !self.is_over() {
            if self.current.epoch != Some(self.epochs.start) {
                self.tracker.begin(self.epochs.start);
            }
            self.current.call(self.epochs.start, self.now, &self.tracker);
        }
        loop {
            if let Some(told) = self.pending.pop_front() {
                self.current.handed_over = Some(self.now);
                return Some(Step::Item(match told {
                    Told::Batch(batch) => Ok(self.count(batch)),
                    Told::Error(error) => Err(error),
                    Told::End(error) => {
                        self.window.cancel(self.run);
                        Err(error)
                    }
                }));
            }
            if self.over {
                return Some(Step::End);
            }
            self.window.registry().begin_wait(self.current.waiting.unwrap_or(self.now));
            let taken = match patience {
                Patience::Wait => self.window.take_waiting(self.run),
                Patience::Wake(waker) => self.window.take_or_wake(waker, self.run)?,
            };
            self.window.registry().end_wait();
            self.now = Instant::now();
            match taken {
                Taken::Failure(failure) => {
                    self.tracker.failed(failure.key());
                    self.judge(vec![failure]);
                }
                Taken::Batch(assembly, counters) => self.receive(assembly, counters),
                Taken::EpochEnd(totals) => {
                    self.end_epoch();
                    if let Some(error) = self.nothing_delivered(totals) {
                        self.end_run(error);
                        continue;
                    }
                    return Some(Step::EpochEnd);
                }
                Taken::Error(error) => self.end_run(error),
                Taken::Idle => self.over = true,
            }
        }
    }

    /// Makes a batch whole; its failures are judged, and told first.
    fn receive(&mut self, assembly: Assembly<T>, counters: Arc<EpochCounters>) {
        let taken = self.now;
        self.current.take(counters.clone(), taken, assembly.held_back);
        let assembled = match assembly.assemble(self.row_shape.iter().product()) {
            Ok(assembled) => assembled,
            Err(error) => return self.end_run(error),
        };
        let Assembled { epoch, batch: number, buffer, samples, failures } = assembled;
        let index = self.tracker.batches_before() + number;
        let Some(buffer) = buffer else {
            let last = failures.last().map(ToString::to_string).unwrap_or_default();
            self.judge(failures);
            // The consumer goes on waiting for the next.
            self.current.waiting = Some(self.now);
            // Other ranks have this batch, and wait for one another after each.
            if !self.over && self.needs_rows && self.config.shard.world > 1 {
                self.end_run(Error::empty_batch(epoch, Some(index), last));
            }
            return;
        };
        self.judge(failures);
        if self.over {
            return;
        }
        let [a, b, c] = self.row_shape;
        let shape = [samples.len(), a, b, c];
        let state = self.tracker.batch(number, &samples, self.current.stats.failed);
        let layout = self.config.layout;
        let batch = Batch::new(buffer, shape, layout, samples, epoch, index, state);
        self.now = Instant::now();
        counters.batch.item(size_of_val(batch.as_slice()), self.now - taken);
        self.pending.push_back(Told::Batch(batch));
    }

    /// Tells, records or refuses failures.
    fn judge(&mut self, failures: Vec<SampleError>) {
        // Of the whole epoch, also where a part of it was done before.
        let length = if failures.is_empty() { None } else { self.tracker.whole_length() };
        let allowed = self.on_error.budget().allowed(length.unwrap_or(u64::MAX));
        for failure in failures {
            self.window.registry().failed(&failure);
            self.current.stats.failed += 1;
            self.current.last_failure = failure.to_string();
            let failed = self.current.stats.failed.saturating_add(self.tracker.failed_before());
            match self.on_error {
                OnError::Fail => self.pending.push_back(Told::Error(failure.into())),
                OnError::Replace { attempts, .. } if failure.substitute().is_none() => {
                    return self.end_run(Error::no_substitute(attempts, failure));
                }
                _ if allowed.is_some_and(|allowed| failed > allowed) => {
                    let (epoch, budget) = (failure.epoch(), self.on_error.budget().to_string());
                    return self.end_run(Error::budget(epoch, failed, budget, failure));
                }
                _ => self.record(failure),
            }
        }
    }

    fn record(&mut self, failure: SampleError) {
        self.current.stats.replaced += u64::from(failure.substitute().is_some());
        tracing::warn!(
            epoch = failure.epoch(),
            replaced_by = failure.substitute().map(|path| path.display().to_string()),
            "{failure}"
        );
        if self.failures.len() < self.config.failures_kept {
            self.failures.push(failure);
        }
    }

    /// An epoch of which every sample failed has no batch to miss them, and would
    /// look like an end. What is left of one that had batches before may fail
    /// altogether.
    fn nothing_delivered(&self, totals: Totals) -> Option<Error> {
        let Totals { epoch, planned, delivered, .. } = totals;
        let last = || self.current.last_failure.clone();
        (planned > 0 && delivered == 0 && self.needs_rows && !self.tracker.is_begun())
            .then(|| Error::empty_batch(epoch, None, last()))
    }

    fn end_epoch(&mut self) {
        self.current.ended = Some(self.now);
        let stats = self.stats(self.epochs.start);
        let EpochStats { epoch, images, batches, failed, seconds, .. } = stats;
        let images_per_second = stats.images_per_second();
        tracing::debug!(epoch, images, batches, failed, seconds, images_per_second, "epoch ended");
        self.epochs.start = self.epochs.end.min(self.epochs.start + 1);
        self.over |= self.epochs.is_empty();
    }

    fn end_run(&mut self, error: Error) {
        self.current.ended.get_or_insert(self.now);
        self.pending.push_back(Told::End(error));
        self.over = true;
    }

    /// Cancels the rest of the epoch being delivered.
    pub(crate) fn skip_epoch(&mut self) {
        if self.is_over() {
            return;
        }
        let ends = self.pending.drain(..).any(|told| matches!(told, Told::End(_)));
        // What would have ended the run belongs to the epoch that is skipped.
        self.over &= !ends;
        self.window.skip(self.run, self.epochs.start);
        self.now = Instant::now();
        self.end_epoch();
    }

    fn count(&mut self, batch: Batch<T>) -> Batch<T> {
        let Current { stats, started, .. } = &mut self.current;
        stats.images += batch.len() as u64;
        stats.batches += 1;
        stats.digest = batch.digest();
        let since_start = started.map(|started| (self.now - started).as_secs_f64());
        stats.first_batch_seconds = stats.first_batch_seconds.or(since_start);
        batch
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over && self.pending.is_empty()
    }

    /// The epoch being delivered, or to be delivered next.
    pub(crate) fn current_epoch(&self) -> u64 {
        self.epochs.start
    }

    /// The figures of epoch `number`, if it is the one that the consumer called
    /// for last; else nothing has happened in it yet.
    pub(crate) fn stats(&self, number: u64) -> EpochStats {
        let Current { epoch, stats, started, ended, counters, .. } = &self.current;
        if *epoch != Some(number) {
            return EpochStats { epoch: number, ..EpochStats::default() };
        }
        let (cache_hits, cache_misses) =
            counters.as_ref().map(|counters| counters.cached()).unwrap_or_default();
        let until = ended.unwrap_or_else(Instant::now);
        EpochStats {
            epoch: number,
            seconds: started.map_or(0.0, |started| (until - started).as_secs_f64()),
            cache_hits,
            cache_misses,
            stages: counters.as_ref().map(|counters| counters.stages()).unwrap_or_default(),
            ..*stats
        }
    }

    pub(crate) fn failures(&self) -> &[SampleError] {
        &self.failures
    }
}

impl<T: Element> Drop for Delivery<T> {
    fn drop(&mut self) {
        if !self.is_over() {
            self.window.registry().end_wait();
            self.window.cancel(self.run);
        }
    }
}

impl Current {
    /// The consumer calls for the next item.
    fn call(&mut self, epoch: u64, now: Instant, tracker: &Tracker) {
        if self.epoch != Some(epoch) {
            let stats = EpochStats { digest: tracker.digest(), ..EpochStats::default() };
            let first = self.first;
            *self = Current { epoch: Some(epoch), stats, first, ..Current::default() };
        }
        self.started.get_or_insert(now);
        self.waiting.get_or_insert(now);
        if let (Some(since), Some(counters)) = (self.handed_over.take(), &self.counters) {
            counters.consumer_stepped(now - since);
        }
    }

    /// A batch was taken: the waiting is over.
    /// `held_back` says since when order alone had kept decoders from working.
    fn take(&mut self, counters: Arc<EpochCounters>, now: Instant, held_back: Option<Instant>) {
        if let Some(since) = self.waiting.take() {
            counters.consumer_waited(now - since, self.first);
            self.first = false;
            if let Some(held_back) = held_back {
                counters.reorder_wait.add(now.saturating_duration_since(held_back.max(since)));
            }
        }
        self.counters = Some(counters);
    }
}
