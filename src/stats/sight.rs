//! What has been seen of a loader between two looks at its figures: where its threads'
//! time went, what its parts cost, and who is to blame.
//!
//! Measured, all of it: the part to blame is the one whose threads are busy while the
//! others wait. What another setting would bring is asked of the miniature in
//! [`capacity`](crate::capacity), as a ratio to what it says of the present one,
//! so what it knows nothing of cancels out.

use std::cell::OnceCell;
use std::time::Duration;

use super::{Bound, Level, Service, StageStats, Stages, Stats};
use crate::capacity::{Cost, Costs, Outcome, Plant, simulate};

/// Parts of the time, in `0.0..=1.0`; of threads, of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) threads: usize,
    pub(super) readers: usize,
    pub(super) prefetch: usize,
    pub(super) cores: usize,
    pub(super) busy: f64,
    pub(super) starved: f64,
    pub(super) for_memory: f64,
    pub(super) reading: f64,
    pub(super) reads_for_memory: f64,
    pub(super) reorder: f64,
    pub(super) no_room: f64,
    pub(super) listing: f64,
}

/// The consumer is fed when it waits no more than this.
pub(super) const FED: f64 = 0.01;
/// Readers that are busy for this part of their time are all there are.
const SATURATED: f64 = 0.7;
/// Waits for memory that are worth a word.
pub(super) const FOR_MEMORY: f64 = 0.15;
/// Samples, and batches, before there is anything to judge.
const LEAST: (u64, u64) = (8, 2);

/// What has been seen between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(super) shares: Shares,
    pub(crate) costs: Costs,
    pub(crate) plant: Plant,
    /// How full batches are; costs for a batch are those for a full one.
    #[cfg_attr(not(any(feature = "tune", test)), expect(dead_code, reason = "for tune alone"))]
    pub(crate) fill: f64,
    /// How long reads took.
    #[cfg_attr(not(any(feature = "tune", test)), expect(dead_code, reason = "for tune alone"))]
    pub(crate) read: Service,
    pub(crate) images_per_second: f64,
    pub(crate) wait: f64,
    pub(super) decode: Level,
    pub(super) encoded: Level,
    pub(super) simulated: OnceCell<Outcome>,
}

/// Two looks at the same loader.
struct Between<'s> {
    before: &'s Stats,
    after: &'s Stats,
}

impl Between<'_> {
    fn spent(&self, of: impl Fn(&Stages) -> Duration) -> f64 {
        of(&self.after.stages).saturating_sub(of(&self.before.stages)).as_secs_f64()
    }

    fn items(&self, of: impl Fn(&Stages) -> u64) -> u64 {
        of(&self.after.stages).saturating_sub(of(&self.before.stages))
    }

    /// By the consumer's own clock: what it did between two calls is its step.
    fn consumer_seconds(&self) -> f64 {
        let spent = self.spent(|stages| {
            let StageStats { busy, waiting_for_input, waiting_for_output, .. } = stages.batch;
            busy + waiting_for_input + waiting_for_output
        });
        spent.max(1e-9)
    }

    /// Decoder threads that might work, on average.
    fn threads(&self) -> f64 {
        let wall = self.after.seconds - self.before.seconds;
        let time = self.after.thread_time.saturating_sub(self.before.thread_time).as_secs_f64();
        match wall > 0.0 && time > 0.0 {
            true => (time / wall).max(1.0),
            false => self.after.setting.threads.max(1) as f64,
        }
    }

    fn working(&self) -> f64 {
        self.spent(|stages| stages.decode.busy + stages.transform.busy)
    }

    fn shares(&self) -> Shares {
        let (setting, seconds) = (self.after.setting, self.consumer_seconds());
        let share = |time: f64, of: f64| (time / (seconds * of.max(1.0))).clamp(0.0, 1.0);
        let (threads, readers) = (self.threads(), setting.readers as f64);
        let busy = share(self.working(), threads);
        let waiting = self.spent(|stages| stages.decode.waiting_for_output);
        let for_memory = self.spent(|stages| stages.decode.waiting_for_memory);
        let reads_for_memory = self.spent(|stages| stages.read.waiting_for_memory);
        let no_room = self.spent(|stages| stages.read.waiting_for_output) - reads_for_memory;
        Shares {
            threads: setting.threads,
            readers: setting.readers,
            prefetch: setting.prefetch,
            cores: setting.cores,
            busy,
            // A thread that sleeps all the while does not tell what it waits for.
            starved: (1.0 - busy - share(waiting, threads)).max(0.0),
            for_memory: share(for_memory, threads),
            reading: share(self.spent(|stages| stages.read.busy), readers),
            reads_for_memory: share(reads_for_memory, readers),
            reorder: share(self.spent(|stages| stages.reorder_wait), 1.0),
            no_room: share(no_room, 1.0),
            listing: share(self.spent(|stages| stages.read.waiting_for_input), 1.0),
        }
    }

    fn costs(&self, rows: f64, batches: f64) -> Costs {
        let working = self.working();
        let before = self.before.decoders.unwrap_or_default();
        // Waiting for a core is neither work nor blocked: with fewer threads it goes.
        let (on_core, waited) = match self.after.decoders {
            Some(after) => (
                after.on_core.saturating_sub(before.on_core).as_secs_f64(),
                after.waiting_for_core.saturating_sub(before.waiting_for_core).as_secs_f64(),
            ),
            None => (working, 0.0),
        };
        let alone = (working - waited.min(0.9 * working)).max(1e-9);
        let (now, earlier) = (&self.after.spread, &self.before.spread);
        let decoded = now.decode.since(&earlier.decode).service();
        let kept = now.transform.since(&earlier.transform).service();
        // From a cache nothing is decoded.
        let decode = if decoded.p50.is_zero() { kept } else { decoded };
        Costs {
            // What is in a cache is not read.
            read: Cost::new(
                self.spent(|stages| stages.read.busy) / rows,
                now.read.since(&earlier.read).service(),
            ),
            decode: Cost::new(alone / rows, decode),
            on_core: (on_core / alone).clamp(0.01, 1.0),
            assembly: self.spent(|stages| stages.batch.busy) / batches,
            step: Cost::new(
                self.spent(|stages| stages.batch.waiting_for_output) / batches,
                now.step.since(&earlier.step).service(),
            ),
            cores: self.after.setting.cores.max(1) as f64,
        }
    }
}

impl Sight {
    /// The same without the waits for a run's first batch, which no setting takes
    /// away.
    pub(crate) fn steady(earlier: &Stats, now: &Stats) -> Option<Self> {
        let mut now = now.clone();
        let first = now.stages.first_wait.saturating_sub(earlier.stages.first_wait);
        let waited = &mut now.stages.batch.waiting_for_input;
        *waited = waited.saturating_sub(first);
        Sight::new(earlier, &now)
    }

    /// `None` where too little has happened.
    pub(crate) fn new(earlier: &Stats, now: &Stats) -> Option<Self> {
        let between = Between { before: earlier, after: now };
        let batches = between.items(|stages| stages.batch.items);
        let rows = between.items(|stages| stages.transform.items);
        if rows < LEAST.0 || batches < LEAST.1 {
            return None;
        }
        let (setting, memory) = (now.setting, now.memory);
        let holds = |level: Level| match level.mean_bytes {
            0 => usize::MAX,
            each => (level.limit_bytes / each).max(1) as usize,
        };
        let shares = between.shares();
        // A batch may be shorter than it was meant to be.
        let transform = now.stages.transform;
        let row_bytes = (transform.bytes / transform.items.max(1)).max(1);
        let images = between.items(|stages| stages.batch.bytes) as f64 / row_bytes as f64;
        let fill = (images / (batches as usize * setting.batch_size) as f64).clamp(0.01, 1.0);
        let seconds = between.consumer_seconds();
        Some(Sight {
            shares,
            costs: between.costs(rows as f64, batches as f64 * fill),
            fill,
            plant: Plant {
                threads: setting.threads,
                readers: setting.readers,
                prefetch: setting.prefetch,
                batch_size: setting.batch_size,
                ordered: setting.ordered,
                files: holds(memory.encoded),
                pictures: holds(memory.decode),
            },
            read: now.spread.read.since(&earlier.spread.read).service(),
            images_per_second: images / seconds,
            wait: between.spent(|stages| stages.batch.waiting_for_input) / seconds,
            decode: memory.decode,
            encoded: memory.encoded,
            simulated: OnceCell::new(),
        })
    }

    /// For a consumer that may wait so long.
    pub(crate) fn bound(&self, target: f64) -> Bound {
        let Shares { busy, starved, for_memory, reading, .. } = self.shares;
        let Shares { reads_for_memory, reorder, no_room, listing, .. } = self.shares;
        if self.wait <= target {
            Bound::Consumer
        } else if reorder > self.wait / 2.0 {
            Bound::Order
        } else if for_memory >= FOR_MEMORY && for_memory >= starved {
            Bound::Memory
        } else if busy + for_memory >= starved {
            Bound::Decode
        } else if reads_for_memory >= FOR_MEMORY && reads_for_memory >= reading {
            Bound::Memory
        } else if reading >= SATURATED {
            Bound::Read
        } else if no_room > 0.5 {
            Bound::Prefetch
        } else if listing > 0.3 {
            Bound::Walk
        } else {
            Bound::Read
        }
    }

    /// What the miniature says of this plant: asked for once.
    fn simulated(&self) -> Outcome {
        *self.simulated.get_or_init(|| simulate(&self.costs, &self.plant))
    }

    /// What the miniature says of another plant, put right by what it says of
    /// this one.
    pub(crate) fn outcome(&self, plant: &Plant) -> Outcome {
        let then = simulate(&self.costs, plant);
        let ratio = then.images_per_second / self.simulated().images_per_second.max(1e-9);
        let Costs { assembly, step, .. } = self.costs;
        let period = assembly + step.mean;
        let batch = plant.batch_size as f64;
        // Not faster than the consumer, whatever the ratio says.
        let most = if period > 0.0 { batch / period } else { f64::INFINITY };
        let images_per_second = (self.images_per_second * ratio).min(most);
        let wait = (1.0 - period * images_per_second / batch).clamp(0.0, 1.0);
        // Where both are small the miniature knows better than a difference.
        let wait = if then.wait < FED { then.wait.min(wait) } else { wait };
        Outcome { images_per_second, wait, busy: then.busy }
    }

    /// Images a second that the consumer would take if it never waited; of one that
    /// hardly does anything itself, four times of what it gets.
    pub(crate) fn demand(&self) -> f64 {
        let Costs { assembly, step, .. } = self.costs;
        let demand = self.plant.batch_size as f64 / (assembly + step.mean).max(1e-9);
        demand.min(4.0 * self.images_per_second)
    }

    /// What the loader could deliver to a consumer that takes no time.
    pub(super) fn capacity(&self, plant: &Plant) -> f64 {
        let free = Costs { step: Cost::fixed(0.0), ..self.costs };
        let now = self.simulated().images_per_second;
        simulate(&free, plant).images_per_second * self.images_per_second / now.max(1e-9)
    }
}
