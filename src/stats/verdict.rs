//! Who waits for whom, and what a change would bring.
//!
//! Which part is to blame is measured: it is the one whose threads are busy while
//! the others wait. What another setting would bring is asked of the miniature in
//! [`capacity`](crate::capacity), as a ratio to what it says of the present one,
//! so what it knows nothing of cancels out.

use std::cell::OnceCell;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Level, Service, StageStats, Stages, Stats};
use crate::capacity::{Cost, Costs, Outcome, Plant, simulate};

/// What holds the others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Bound {
    /// Too little has happened to tell.
    Starting,
    /// The consumer: the loader keeps it fed.
    Consumer,
    /// Decoding and transform: every thread is busy.
    Decode,
    /// Reading: the decoders wait for files.
    Read,
    /// Order: finished samples wait for one in front of them.
    Order,
    /// The prefetch depth: there is no room to work ahead.
    Prefetch,
    /// The memory limit: threads or reads wait for a byte budget.
    Memory,
    /// Listing the source.
    Walk,
}

impl Bound {
    /// In two words, for a progress bar.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Bound::Starting => "starting",
            Bound::Consumer => "consumer-bound",
            Bound::Decode => "decode-bound",
            Bound::Read => "read-bound",
            Bound::Order => "order-bound",
            Bound::Prefetch => "prefetch-bound",
            Bound::Memory => "memory-bound",
            Bound::Walk => "walk-bound",
        }
    }
}

/// What could be set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// So many decoder threads.
    Threads(usize),
    /// So many reads in flight.
    Readers(usize),
    /// So many batches ahead.
    Prefetch(usize),
    /// Batches in the order in which they become ready.
    Unordered,
    /// So many bytes more of memory.
    Memory(u64),
}

/// A change, and what it would bring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// What to set.
    pub change: Change,
    /// The part of its time that the consumer would wait then.
    pub wait: f64,
    /// Images that would be delivered a second.
    pub images_per_second: f64,
}

/// Who waits for whom, with numbers. [`Display`](fmt::Display) has it as a
/// sentence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// What holds the others back.
    pub bound: Bound,
    /// The part of its time that the consumer waits, in `0.0..=1.0`.
    pub wait: f64,
    /// Images delivered a second.
    pub images_per_second: f64,
    /// Images a second that the loader could deliver to a consumer that never
    /// lets it wait.
    pub capacity: f64,
    /// What to change; `None` where nothing that can be set would help.
    pub advice: Option<Advice>,
    /// What would limit behind that, and at how many images a second.
    pub next: Option<(Bound, f64)>,
    /// The figures behind the words.
    #[serde(skip)]
    shares: Shares,
}

/// Parts of the time, in `0.0..=1.0`; of threads, of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shares {
    threads: usize,
    readers: usize,
    prefetch: usize,
    cores: usize,
    busy: f64,
    starved: f64,
    for_memory: f64,
    reading: f64,
    reads_for_memory: f64,
    reorder: f64,
    no_room: f64,
    listing: f64,
}

/// The consumer is fed when it waits no more than this.
const FED: f64 = 0.01;
/// Readers that are busy for this part of their time are all there are.
const SATURATED: f64 = 0.7;
/// Waits for memory that are worth a word.
const FOR_MEMORY: f64 = 0.15;
/// Samples, and batches, before there is anything to judge.
const LEAST: (u64, u64) = (8, 2);
/// Deeper and wider is not proposed.
const MOST_PREFETCH: usize = 16;
const MOST_READERS: usize = 1024;
const MOST_THREADS: usize = 1024;

impl Stats {
    /// Who waited for whom since the loader was built.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict_since(&Stats::default())
    }

    /// What held the others back since `earlier`, which are figures of the same
    /// loader: the first word of the [verdict](Self::verdict_since), which takes
    /// milliseconds to find what a change would bring.
    #[must_use]
    pub fn bound_since(&self, earlier: &Stats) -> Bound {
        Sight::new(earlier, self).map_or(Bound::Starting, |sight| sight.bound(FED))
    }

    /// Who waited for whom since `earlier`, which are figures of the same loader.
    #[must_use]
    pub fn verdict_since(&self, earlier: &Stats) -> Verdict {
        Sight::new(earlier, self).map_or(Verdict::STARTING, |sight| sight.judge())
    }
}

/// What has been seen between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    shares: Shares,
    pub(crate) costs: Costs,
    pub(crate) plant: Plant,
    /// How full batches are; costs for a batch are those for a full one.
    #[cfg_attr(not(feature = "tune"), expect(dead_code, reason = "for tune alone"))]
    pub(crate) fill: f64,
    /// How long reads took.
    #[cfg_attr(not(feature = "tune"), expect(dead_code, reason = "for tune alone"))]
    pub(crate) read: Service,
    pub(crate) images_per_second: f64,
    pub(crate) wait: f64,
    decode: Level,
    encoded: Level,
    simulated: OnceCell<Outcome>,
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
    fn capacity(&self, plant: &Plant) -> f64 {
        let free = Costs { step: Cost::fixed(0.0), ..self.costs };
        let now = self.simulated().images_per_second;
        simulate(&free, plant).images_per_second * self.images_per_second / now.max(1e-9)
    }

    fn judge(&self) -> Verdict {
        let bound = self.bound(FED);
        let advice = self.advice(bound);
        let plant = advice.map_or(self.plant, |(_, plant)| plant);
        let advice = advice.map(|(change, plant)| {
            let Outcome { images_per_second, wait, .. } = self.outcome(&plant);
            Advice { change, wait, images_per_second }
        });
        Verdict {
            bound,
            wait: self.wait,
            images_per_second: self.images_per_second,
            capacity: self.capacity(&self.plant).max(self.images_per_second),
            advice,
            next: self.next(bound, &plant),
            shares: self.shares,
        }
    }

    /// The smallest of several changes that keeps the consumer fed, or else the
    /// last that is still worth a tenth.
    fn grown(&self, plants: impl Iterator<Item = Plant>) -> Option<Plant> {
        let (mut best, mut rate) = (None, self.images_per_second);
        for plant in plants {
            let outcome = self.outcome(&plant);
            if outcome.images_per_second > 1.1 * rate || outcome.wait <= FED {
                (best, rate) = (Some(plant), outcome.images_per_second);
            } else if best.is_some() {
                break;
            }
            if outcome.wait <= FED {
                break;
            }
        }
        best
    }

    fn advice(&self, bound: Bound) -> Option<(Change, Plant)> {
        let plant = self.plant;
        let doubled = |from: usize, most: usize| {
            std::iter::successors(Some(from), |&n| Some(n * 2))
                .skip(1)
                .take_while(move |&n| n <= most)
        };
        match bound {
            Bound::Starting | Bound::Walk => None,
            Bound::Consumer => {
                let fewer = (1..plant.threads).map(|threads| Plant { threads, ..plant });
                let mut enough = fewer.filter(|plant| self.outcome(plant).wait <= FED);
                enough.next().map(|plant| (Change::Threads(plant.threads), plant))
            }
            Bound::Decode => {
                // Beyond the cores only what does not need one.
                let most = (self.costs.cores / self.costs.on_core).ceil() as usize;
                let more = (plant.threads + 1..=most.min(MOST_THREADS))
                    .map(|threads| Plant { threads, ..plant });
                let more = self.grown(more)?;
                Some((Change::Threads(more.threads), more))
            }
            Bound::Read => {
                let more = doubled(plant.readers, MOST_READERS);
                let more = self.grown(more.map(|readers| Plant { readers, ..plant }))?;
                Some((Change::Readers(more.readers), more))
            }
            Bound::Order => {
                let unordered = Plant { ordered: false, ..plant };
                let deeper = doubled(plant.prefetch, MOST_PREFETCH);
                let deeper = self.grown(deeper.map(|prefetch| Plant { prefetch, ..plant }));
                match deeper {
                    Some(deeper)
                        if self.outcome(&deeper).wait <= self.outcome(&unordered).wait + FED =>
                    {
                        Some((Change::Prefetch(deeper.prefetch), deeper))
                    }
                    _ => Some((Change::Unordered, unordered)),
                }
            }
            Bound::Prefetch => {
                let deeper = doubled(plant.prefetch, MOST_PREFETCH);
                let deeper = self.grown(deeper.map(|prefetch| Plant { prefetch, ..plant }))?;
                Some((Change::Prefetch(deeper.prefetch), deeper))
            }
            Bound::Memory => self.more_memory(),
        }
    }

    /// As much of the budget that is short as all threads, or all reads, want.
    fn more_memory(&self) -> Option<(Change, Plant)> {
        let (plant, decoding) = (self.plant, self.shares.for_memory >= FOR_MEMORY);
        let (level, wanted) = match decoding {
            true => (self.decode, plant.threads),
            false => (self.encoded, plant.readers + 2 * plant.threads),
        };
        // Not all are of the average size; and of a larger limit decoding gets three
        // quarters, files one.
        let short = (level.mean_bytes * wanted as u64 * 5 / 4).checked_sub(level.limit_bytes)?;
        let bytes = if decoding { short / 3 * 4 } else { short * 4 };
        let plant = match decoding {
            true => Plant { pictures: wanted, ..plant },
            false => Plant { files: wanted, ..plant },
        };
        Some((Change::Memory(bytes), plant))
    }

    /// What limits a plant that has been put right in one respect.
    fn next(&self, bound: Bound, plant: &Plant) -> Option<(Bound, f64)> {
        let Costs { read, decode, on_core, cores, .. } = self.costs;
        let pace = |parallel: f64, each: f64| if each > 0.0 { parallel / each } else { f64::MAX };
        let decoders = (plant.threads.min(plant.pictures) as f64).min(cores / on_core);
        let reads = (bound != Bound::Read, Bound::Read, pace(plant.readers as f64, read.mean));
        let decodes = (bound != Bound::Decode, Bound::Decode, pace(decoders, decode.mean));
        let mut limits = [reads, decodes];
        limits.sort_by(|a, b| a.2.total_cmp(&b.2));
        let limit = limits.into_iter().find(|(other, ..)| *other);
        limit.map(|(_, bound, rate)| (bound, rate)).filter(|(_, rate)| *rate < 1e6)
    }
}

impl Verdict {
    const STARTING: Verdict = Verdict {
        bound: Bound::Starting,
        wait: 0.0,
        images_per_second: 0.0,
        capacity: 0.0,
        advice: None,
        next: None,
        shares: Shares {
            threads: 0,
            readers: 0,
            prefetch: 0,
            cores: 0,
            busy: 0.0,
            starved: 0.0,
            for_memory: 0.0,
            reading: 0.0,
            reads_for_memory: 0.0,
            reorder: 0.0,
            no_room: 0.0,
            listing: 0.0,
        },
    };
}

/// A consumer that waits more than this has hardly a step of its own: what it
/// would wait then says nothing, what it would get does.
const NO_STEP: f64 = 0.9;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { threads, readers, prefetch, cores, .. } = self.shares;
        let (words, wait) = (self.bound.words(), percent(self.wait));
        let shares = &self.shares;
        match self.bound {
            Bound::Starting => return f.write_str("starting: nothing to judge yet"),
            Bound::Consumer => {
                write!(f, "{words}: the step waits {wait} of the time; ")?;
                write!(f, "the loader could deliver {:.0} images/s", self.capacity)?;
                if let Some(Advice { change: Change::Threads(threads), .. }) = self.advice {
                    write!(f, ", and {} would do", counted(threads, "thread"))?;
                }
                return Ok(());
            }
            Bound::Decode => {
                let threads = counted(threads, "thread");
                write!(f, "{words}: {threads} busy {}, ", percent(shares.busy))?;
            }
            Bound::Read => {
                let starved = percent(shares.starved);
                write!(f, "{words}: decoders wait {starved} of the time for files, ")?;
                write!(f, "{} busy {}, ", counted(readers, "reader"), percent(shares.reading))?;
            }
            Bound::Order => {
                let reorder = percent(shares.reorder);
                write!(
                    f,
                    "{words}: finished images wait {reorder} of the time for one in front, "
                )?;
            }
            Bound::Prefetch => {
                let prefetch = counted(prefetch, "batch");
                write!(f, "{words}: with {prefetch} ahead there is no room to work in, ")?;
            }
            Bound::Memory if shares.for_memory >= FOR_MEMORY => {
                let waits = percent(shares.for_memory);
                write!(f, "{words}: decoders wait {waits} of the time for memory, ")?;
            }
            Bound::Memory => {
                let waits = percent(shares.reads_for_memory);
                write!(f, "{words}: reads wait {waits} of the time for memory, ")?;
            }
            Bound::Walk => write!(f, "{words}: samples are not listed as fast as they are used, ")?,
        }
        write!(f, "the step waits {wait} of the time")?;
        if let Some(Advice { change, wait, images_per_second }) = self.advice {
            match change {
                Change::Threads(more) => {
                    let s = if more - threads == 1 { "" } else { "s" };
                    write!(f, "; with {} more thread{s}", more - threads)?;
                }
                Change::Readers(readers) => write!(f, "; with {readers} readers")?,
                Change::Prefetch(prefetch) => write!(f, "; with prefetch {prefetch}")?,
                Change::Unordered => write!(f, "; unordered")?,
                Change::Memory(bytes) => {
                    write!(f, "; with {} MiB more", bytes.div_ceil(1 << 20))?;
                }
            }
            match self.wait > NO_STEP {
                true => write!(f, " it would get about {images_per_second:.0} images/s")?,
                false if wait < 0.01 => f.write_str(" it would hardly wait")?,
                false => write!(f, " it would wait about {}", percent(wait))?,
            }
        } else if self.bound == Bound::Decode && threads >= cores {
            let cores = if cores == 1 {
                "the one core is".to_owned()
            } else {
                format!("all {cores} cores are")
            };
            write!(f, "; {cores} in use: smaller images or a cache would help")?;
        }
        let advised = |bound| match (bound, self.advice) {
            (Bound::Decode, None) => self.bound == Bound::Decode,
            _ => self.advice.is_none(),
        };
        match self.next {
            Some((bound, rate)) if !advised(bound) => {
                let what = if bound == Bound::Read { "reads limit" } else { "decoding limits" };
                write!(f, "; beyond that, {what} at {rate:.0} images/s")
            }
            _ => Ok(()),
        }
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        low if low < 1.0 => "less than 1 %".to_owned(),
        other => format!("{other:.0} %"),
    }
}

fn counted(number: usize, what: &str) -> String {
    match (number, what) {
        (1, what) => format!("1 {what}"),
        (number, "batch") => format!("{number} batches"),
        (number, what) => format!("{number} {what}s"),
    }
}
