//! What the threads add to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::service::{Histogram, Recorder};
use super::{FailureCount, Spread, StageStats, Stages};
use crate::error::SampleError;

/// A sum of times, added to by several threads.
///
/// Like the other counters, read by nobody who draws conclusions about other
/// memory, hence relaxed throughout.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn add(&self, time: Duration) {
        // Mostly nobody has waited, and the line is another thread's.
        if !time.is_zero() {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.0.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Counters of one stage, added to by its threads; on cache lines of their own,
/// since the stages are on different cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    bytes: AtomicU64,
    busy: Time,
    input: Time,
    output: Time,
    memory: Time,
    /// One item each, which is counted here alone.
    service: Recorder,
}

impl Counters {
    pub(crate) fn item(&self, bytes: usize, busy: Duration) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.service.add(busy);
        self.busy(busy);
    }

    pub(crate) fn busy(&self, time: Duration) {
        self.busy.add(time);
    }

    pub(crate) fn input(&self, time: Duration) {
        self.input.add(time);
    }

    pub(crate) fn output(&self, time: Duration) {
        self.output.add(time);
    }

    /// Waiting for output that was for a byte budget.
    pub(crate) fn memory(&self, time: Duration) {
        self.memory.add(time);
        self.output.add(time);
    }

    fn sums(&self) -> StageSums {
        let mut service = Histogram::default();
        self.service.add_to(&mut service);
        let stats = StageStats {
            items: self.service.items(),
            bytes: self.bytes.load(Ordering::Relaxed),
            busy: self.busy.sum(),
            waiting_for_input: self.input.sum(),
            waiting_for_output: self.output.sum(),
            waiting_for_memory: self.memory.sum(),
            service: service.service(),
        };
        StageSums { stats, service }
    }
}

/// A stage's figures, in a form that can be added up.
#[derive(Clone, Debug, Default)]
struct StageSums {
    stats: StageStats,
    service: Histogram,
}

impl StageSums {
    fn add(&mut self, counters: &Counters) {
        let StageSums { stats, service } = counters.sums();
        let sum = &mut self.stats;
        sum.items += stats.items;
        sum.bytes += stats.bytes;
        sum.busy += stats.busy;
        sum.waiting_for_input += stats.waiting_for_input;
        sum.waiting_for_output += stats.waiting_for_output;
        sum.waiting_for_memory += stats.waiting_for_memory;
        self.service.add(&service);
    }

    fn stats(&self) -> StageStats {
        StageStats { service: self.service.service(), ..self.stats }
    }
}

/// The figures of all stages, in a form that can be added up.
#[derive(Clone, Debug, Default)]
struct Sums {
    read: StageSums,
    decode: StageSums,
    transform: StageSums,
    batch: StageSums,
    reorder_wait: Duration,
    first_wait: Duration,
    wait: Histogram,
    step: Histogram,
}

impl Sums {
    fn add(&mut self, epoch: &EpochCounters) {
        self.read.add(&epoch.read);
        self.decode.add(&epoch.decode);
        self.transform.add(&epoch.transform);
        self.batch.add(&epoch.batch);
        self.reorder_wait += epoch.reorder_wait.sum();
        self.first_wait += epoch.first_wait.sum();
        epoch.wait.add_to(&mut self.wait);
        epoch.step.add_to(&mut self.step);
    }

    fn spread(self) -> Spread {
        let Sums { read, decode, transform, step, .. } = self;
        Spread { read: read.service, decode: decode.service, transform: transform.service, step }
    }

    fn stages(&self) -> Stages {
        Stages {
            walk: StageStats::default(),
            read: self.read.stats(),
            decode: self.decode.stats(),
            transform: self.transform.stats(),
            batch: self.batch.stats(),
            reorder_wait: self.reorder_wait,
            first_wait: self.first_wait,
            wait: self.wait.service(),
            step: self.step.service(),
        }
    }
}

/// Counters of one epoch; tickets carry them along.
#[derive(Debug)]
pub(crate) struct EpochCounters {
    pub(crate) number: u64,
    /// When the first ticket could be granted: waiting before that belongs to
    /// nobody.
    pub(crate) opened: Instant,
    pub(crate) read: Counters,
    pub(crate) decode: Counters,
    pub(crate) transform: Counters,
    pub(crate) batch: Counters,
    pub(crate) reorder_wait: Time,
    /// For the first batch of a run.
    first_wait: Time,
    /// How long the consumer waited for each batch, and was away with it.
    wait: Recorder,
    step: Recorder,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
}

impl EpochCounters {
    fn new(number: u64) -> Self {
        EpochCounters {
            number,
            opened: Instant::now(),
            read: Counters::default(),
            decode: Counters::default(),
            transform: Counters::default(),
            batch: Counters::default(),
            reorder_wait: Time::default(),
            first_wait: Time::default(),
            wait: Recorder::default(),
            step: Recorder::default(),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        }
    }

    /// How long somebody has waited for this epoch who began to wait at
    /// `since`.
    pub(crate) fn waited(&self, since: Instant, until: Instant) -> Duration {
        until.saturating_duration_since(since.max(self.opened))
    }

    /// The consumer has waited so long for a batch, the first of a run or not.
    pub(crate) fn consumer_waited(&self, time: Duration, first: bool) {
        self.batch.input(time);
        if first {
            self.first_wait.add(time);
        }
        self.wait.add(time);
        #[cfg(feature = "metrics")]
        crate::watch::metrics::consumer("wait", time);
    }

    /// The consumer was away so long with a batch.
    pub(crate) fn consumer_stepped(&self, time: Duration) {
        self.batch.output(time);
        self.step.add(time);
        #[cfg(feature = "metrics")]
        crate::watch::metrics::consumer("step", time);
    }

    /// Samples whose pixels came from the cache, and those that were read although
    /// there is one.
    pub(crate) fn cached(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.cache_hits), count(&self.cache_misses))
    }

    pub(crate) fn stages(&self) -> Stages {
        let mut sums = Sums::default();
        sums.add(self);
        sums.stages()
    }
}

/// The counters of all epochs; those that nobody counts into any more are
/// folded into one sum, so that a long run keeps a fixed size.
#[derive(Debug)]
pub(crate) struct Registry {
    started: Instant,
    walked: Mutex<StageStats>,
    epochs: Mutex<Epochs>,
    failures: Mutex<Vec<FailureCount>>,
    /// Since when the consumer waits, in nanoseconds after `started`; 0 when it
    /// does not.
    waiting_since: AtomicU64,
}

#[derive(Debug, Default)]
struct Epochs {
    folded: Sums,
    open: Vec<Arc<EpochCounters>>,
}

impl Registry {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Registry {
            started: Instant::now(),
            walked: Mutex::default(),
            epochs: Mutex::default(),
            failures: Mutex::default(),
            waiting_since: AtomicU64::new(0),
        })
    }

    /// Time since the loader was built.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn open(&self, number: u64) -> Arc<EpochCounters> {
        let counters = Arc::new(EpochCounters::new(number));
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let Epochs { folded, open } = &mut *epochs;
        open.retain(|epoch| {
            let in_use = Arc::strong_count(epoch) > 1;
            if !in_use {
                folded.add(epoch);
            }
            in_use
        });
        open.push(Arc::clone(&counters));
        counters
    }

    /// The walk has found so many samples in this time.
    pub(crate) fn walked(&self, items: u64, busy: Duration) {
        let mut walked = self.walked.lock().unwrap_or_else(PoisonError::into_inner);
        (walked.items, walked.busy) = (items, busy);
    }

    pub(crate) fn stages_and_spread(&self) -> (Stages, Spread) {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = epochs.folded.clone();
        for epoch in &epochs.open {
            sums.add(epoch);
        }
        drop(epochs);
        let walk = *self.walked.lock().unwrap_or_else(PoisonError::into_inner);
        (Stages { walk, ..sums.stages() }, sums.spread())
    }

    /// A failed sample was judged.
    pub(crate) fn failed(&self, error: &SampleError) {
        let (stage, cause) = (error.stage(), error.cause().kind());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.iter_mut().find(|count| (count.stage, count.cause) == (stage, cause)) {
            Some(count) => count.samples += 1,
            None => failures.push(FailureCount { stage, cause, samples: 1 }),
        }
    }

    pub(crate) fn failures(&self) -> Vec<FailureCount> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The consumer waits from now on.
    pub(crate) fn begin_wait(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started).as_nanos() as u64;
        self.waiting_since.store(since.max(1), Ordering::Relaxed);
    }

    pub(crate) fn end_wait(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    /// How long the consumer has been waiting, if it waits.
    pub(crate) fn waiting(&self) -> Option<Duration> {
        match self.waiting_since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(self.elapsed().saturating_sub(Duration::from_nanos(since))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_outlive_their_epochs() {
        let registry = Registry::new();
        for number in 0..20 {
            let epoch = registry.open(number);
            epoch.read.item(10, Duration::from_millis(1));
            epoch.decode.input(Duration::from_millis(2));
            epoch.decode.memory(Duration::from_millis(3));
            epoch.consumer_stepped(Duration::from_millis(number));
        }
        let (stages, _) = registry.stages_and_spread();
        assert_eq!((stages.read.items, stages.read.bytes), (20, 200));
        assert_eq!(stages.read.busy, Duration::from_millis(20));
        assert_eq!(stages.decode.waiting_for_input, Duration::from_millis(40));
        assert_eq!(stages.decode.waiting_for_memory, Duration::from_millis(60));
        assert_eq!(stages.decode.waiting_for_output, Duration::from_millis(60));
        assert!(stages.step.p50 > Duration::from_millis(8) && stages.step.p90 < stages.step.p99);
        assert!(registry.epochs.lock().unwrap().open.len() <= 1);
    }

    #[test]
    fn waiting_before_an_epoch_is_not_its_own() {
        let registry = Registry::new();
        let before = Instant::now();
        let epoch = registry.open(0);
        let end = epoch.opened + Duration::from_millis(5);
        assert_eq!(epoch.waited(before, end), Duration::from_millis(5));
        assert_eq!(epoch.waited(end, before), Duration::ZERO);
    }
}
