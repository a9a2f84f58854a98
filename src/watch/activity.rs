//! Who has which sample in hand, since when: for the report when nothing comes.
//!
//! A decoder thread stores three numbers for a sample, on a cache line of its
//! own. A read that was not done at once is entered in a list, which costs little
//! beside its task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Stage;
use crate::source::AdmissionClock;
use crate::stats::CoreTime;

#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    decoders: Box<[Slot]>,
    reads: Mutex<Reads>,
}

/// What one decoder thread does.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    /// Since when, in nanoseconds after the start; 0 without a sample.
    since: AtomicU64,
    index: AtomicU64,
    doing: AtomicU8,
    /// Where the kernel tells of the thread's time.
    times: Mutex<Option<PathBuf>>,
}

/// What a thread does with its sample.
const DECODING: u8 = 0;
const TRANSFORMING: u8 = 1;
const WAITING: u8 = 2;

#[derive(Debug, Default)]
struct Reads {
    next: u64,
    /// The first is the oldest.
    under_way: BTreeMap<u64, Read>,
}

#[derive(Debug)]
struct Read {
    index: u64,
    since: Instant,
    clock: Arc<AdmissionClock>,
}

/// A sample in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oldest {
    pub(crate) stage: Stage,
    pub(crate) index: u64,
    pub(crate) since: Instant,
    /// It waits for a byte budget, and so for others.
    pub(crate) for_memory: bool,
}

impl Activity {
    pub(crate) fn new(decoders: usize) -> Arc<Self> {
        let decoders = (0..decoders).map(|_| Slot::default()).collect();
        Arc::new(Activity { started: Instant::now(), decoders, reads: Mutex::default() })
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The read of a sample has begun; it is over when the guard is dropped.
    pub(crate) fn reading(
        self: &Arc<Self>,
        index: u64,
        since: Instant,
        clock: &Arc<AdmissionClock>,
    ) -> ReadInWork {
        let mut reads = self.reads();
        let id = reads.next;
        reads.next += 1;
        reads.under_way.insert(id, Read { index, since, clock: Arc::clone(clock) });
        ReadInWork { id, activity: Arc::clone(self) }
    }

    /// What decoder `number` is known by.
    pub(crate) fn decoder(self: &Arc<Self>, number: usize) -> DecoderInWork {
        DecoderInWork { number, activity: Arc::clone(self) }
    }

    /// Reads that are under way.
    pub(crate) fn reads_under_way(&self) -> usize {
        self.reads().under_way.len()
    }

    /// Decoders with a sample in hand.
    pub(crate) fn decoders_at_work(&self) -> usize {
        self.decoders.iter().filter(|slot| slot.since.load(Ordering::Relaxed) > 0).count()
    }

    /// The sample that is worked on the longest.
    pub(crate) fn oldest(&self) -> Option<Oldest> {
        let decoding = self.decoders.iter().filter_map(|slot| {
            let since = slot.since.load(Ordering::Relaxed);
            let doing = slot.doing.load(Ordering::Relaxed);
            let stage = if doing == TRANSFORMING { Stage::Transform } else { Stage::Decode };
            let for_memory = doing == WAITING;
            let index = slot.index.load(Ordering::Relaxed);
            let since = (since > 0).then(|| self.started + Duration::from_nanos(since))?;
            Some(Oldest { stage, index, since, for_memory })
        });
        let reads = self.reads();
        let reading = reads.under_way.values().map(|&Read { index, since, ref clock }| Oldest {
            stage: Stage::Read,
            index,
            since,
            for_memory: clock.running_since().is_none(),
        });
        // Who waits for memory waits for one of the others.
        decoding.chain(reading).min_by_key(|oldest| (oldest.for_memory, oldest.since))
    }

    /// Where the decoder threads' time went, if the kernel tells.
    pub(crate) fn core_time(&self) -> Option<CoreTime> {
        let mut sum = CoreTime::default();
        for slot in &self.decoders {
            let times = slot.times.lock().unwrap_or_else(PoisonError::into_inner);
            let text = std::fs::read_to_string(times.as_deref()?).ok()?;
            // "time on a core, time waiting for one, times it got one", the first two
            // in nanoseconds: Linux, Documentation/scheduler/sched-stats.
            let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
            sum.on_core += Duration::from_nanos(numbers.next()?);
            sum.waiting_for_core += Duration::from_nanos(numbers.next()?);
        }
        Some(sum)
    }
}

/// A read that is under way.
#[derive(Debug)]
pub(crate) struct ReadInWork {
    id: u64,
    activity: Arc<Activity>,
}

impl Drop for ReadInWork {
    fn drop(&mut self) {
        self.activity.reads().under_way.remove(&self.id);
    }
}

/// A decoder thread's own entry.
#[derive(Debug)]
pub(crate) struct DecoderInWork {
    number: usize,
    activity: Arc<Activity>,
}

impl DecoderInWork {
    /// Called on the thread itself.
    pub(crate) fn begin_thread(&self) {
        // A link to "PID/task/TID", which no other call tells without unsafe code.
        let thread = std::fs::read_link("/proc/thread-self").ok();
        let times = thread.map(|thread| Path::new("/proc").join(thread).join("schedstat"));
        let mut place = self.slot().times.lock().unwrap_or_else(PoisonError::into_inner);
        *place = times.filter(|times| times.exists());
    }

    fn slot(&self) -> &Slot {
        &self.activity.decoders[self.number]
    }

    /// The thread has taken a sample.
    pub(crate) fn begin(&self, index: u64, now: Instant) {
        let slot = self.slot();
        let since = now.saturating_duration_since(self.activity.started).as_nanos() as u64;
        slot.index.store(index, Ordering::Relaxed);
        slot.doing.store(DECODING, Ordering::Relaxed);
        slot.since.store(since.max(1), Ordering::Relaxed);
    }

    /// A transform of the user's has it.
    pub(crate) fn transforming(&self) {
        self.slot().doing.store(TRANSFORMING, Ordering::Relaxed);
    }

    /// It waits for memory while `part` runs.
    pub(crate) fn waiting<R>(&self, part: impl FnOnce() -> R) -> R {
        self.slot().doing.store(WAITING, Ordering::Relaxed);
        let result = part();
        self.slot().doing.store(DECODING, Ordering::Relaxed);
        result
    }

    /// It has none.
    pub(crate) fn end(&self) {
        self.slot().since.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sample_is_told_wherever_it_is() {
        let activity = Activity::new(2);
        assert_eq!((activity.oldest(), activity.decoders_at_work()), (None, 0));
        let (first, later) = (Instant::now(), Instant::now() + Duration::from_millis(5));
        let decoder = activity.decoder(1);
        decoder.begin(7, later);
        let clock = Arc::new(AdmissionClock::new(first));
        let read = activity.reading(3, first, &clock);
        let younger = activity.reading(4, later + Duration::from_millis(1), &clock);
        assert_eq!(activity.reads_under_way(), 2);
        let oldest = activity.oldest().unwrap();
        assert_eq!((oldest.stage, oldest.index, oldest.since), (Stage::Read, 3, first));
        drop(read);
        let oldest = activity.oldest().unwrap();
        assert_eq!((oldest.stage, oldest.index), (Stage::Decode, 7));
        decoder.end();
        assert_eq!(activity.oldest().unwrap().index, 4);
        drop(younger);
        assert_eq!(activity.oldest(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_threads_is_told() {
        let activity = Activity::new(1);
        assert_eq!(activity.core_time(), None);
        activity.decoder(0).begin_thread();
        let before = activity.core_time().unwrap();
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < until {
            std::hint::black_box(0);
        }
        let after = activity.core_time().unwrap();
        assert!(after.on_core > before.on_core);
    }
}
