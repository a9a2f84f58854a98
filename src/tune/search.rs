//! The search: what is measured in which order, and when it is enough.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::ceilings::{Ceiling, Ceilings, Reading, memory};
use super::choice::Grid;
use super::model::{Calibration, Model};
use super::report::{Predicted, Report};
use super::trial::{Bench, Length, Trial};
use super::{
    Choice, Confidence, Doing, Measured, Recommendation, Searched, Timelines, Tried, Tune, other,
};
use crate::batch::Batch;
use crate::config::{Order, Resolved};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::loader::Loader;
use crate::stats::{Bound, Timeline};

/// Deeper is not tried.
const MOST_PREFETCH: usize = 8;
/// Reads in flight for what is about decoding.
const READERS: usize = 16;
/// Batches that a trial counts.
const BATCHES: u64 = 12;
/// A smaller neighbour whose predicted wait is within so much of the target is run:
/// the prediction is not that exact.
const DOUBT: f64 = 0.04;
/// A measured wait up to so many times the target, where none was predicted, is
/// measured once more.
const ONCE_MORE: f64 = 4.0;
/// Rates of the same work that differ by more tell of a noisy machine.
const NOISY: f64 = 0.1;

pub(super) struct Search<'a, T: Element, F> {
    tune: Tune<'a, T>,
    step: F,
    begun: Instant,
    grid: Grid,
    config: Resolved,
    reading: Reading,
    calibrations: Vec<Calibration>,
    model: Model,
    ran: Vec<Ran>,
    ceilings: Ceilings,
    warnings: Vec<String>,
    /// Rates of the same work, at the beginning and in the end.
    repeated: Vec<f64>,
    samples: Option<u64>,
    /// Choices whose trial told nothing.
    failed: Vec<Choice>,
    /// What was found before all settings were run.
    searched: Option<(Choice, f64)>,
}

/// A choice that was run.
struct Ran {
    choice: Choice,
    /// Before it was run.
    predicted: Predicted,
    measured: Measured,
    timeline: Timeline,
    times: usize,
}

impl<'a, T: Element, F: FnMut(&Batch<T>) -> ControlFlow<()>> Search<'a, T, F> {
    pub(super) fn new(mut tune: Tune<'a, T>, step: F) -> Result<Self> {
        let begun = Instant::now();
        tune.builder = tune.builder.again().cache(crate::config::Cache::None);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = tune.cpu_limit.map_or(cores, |limit| limit.min(cores));
        let asked = tune.builder.config.order;
        let fits = |threads: usize, prefetch: usize, order: Order| {
            let builder = tune.builder.again().order(order).prefetch(prefetch);
            builder.threads(threads).readers(READERS).resolve()
        };
        // A memory limit may leave room for fewer of them.
        let threads = (1..=threads).rev().find(|&t| fits(t, 1, asked).is_ok()).unwrap_or(1);
        let config = fits(threads, 1, asked)?;
        let deepest = (2..=MOST_PREFETCH).rev().find(|&depth| fits(threads, depth, asked).is_ok());
        let orders = match fits(threads, 1, other(asked)) {
            Ok(_) => vec![asked, other(asked)],
            Err(_) => vec![asked],
        };
        let grid = Grid::new(asked, orders, threads, deepest.unwrap_or(1));
        let model = Model::new(&[], Vec::new(), config.batch_size);
        Ok(Search {
            tune,
            step,
            begun,
            grid,
            config,
            reading: Reading::default(),
            calibrations: Vec::new(),
            model,
            ran: Vec::new(),
            ceilings: Ceilings::default(),
            warnings: Vec::new(),
            repeated: Vec::new(),
            samples: None,
            failed: Vec::new(),
            searched: None,
        })
    }

    pub(super) fn run(mut self) -> Result<Report> {
        self.list()?;
        self.measure_ceilings()?;
        let mut order = self.config.order;
        // Two loaders at once would take twice the memory.
        while let Some(next) = self.session(order)? {
            order = next;
        }
        self.report()
    }

    /// A part of the time that is left, within bounds in seconds.
    fn part(&self, share: f64, least: f64, most: f64) -> Duration {
        let budget = self.tune.budget.as_secs_f64();
        Duration::from_secs_f64((budget * share).clamp(least, most))
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() > self.tune.budget.mul_f64(0.85)
    }

    /// Waits for the end of the walk.
    fn list(&mut self) -> Result<()> {
        self.tune.tell(Doing::Listing, self.begun);
        let loader = self.build(self.config.order)?;
        let samples = loader.wait_for_samples()?;
        let batch_size = self.config.batch_size;
        if loader.batches() == Some(0) {
            let reason = format!("there are {samples} samples here, and short batches are dropped");
            return Err(Error::config("batch_size", batch_size, reason));
        }
        let stats = loader.stats();
        self.samples = Some(stats.listed);
        let walk = stats.stages.walk;
        let rate = walk.items as f64 / walk.busy.as_secs_f64().max(1e-9);
        self.ceilings.walk = Some(Ceiling { images_per_second: rate, bytes_per_second: 0.0 });
        Ok(())
    }

    fn measure_ceilings(&mut self) -> Result<()> {
        self.tune.tell(Doing::Reading, self.begun);
        self.reading = Reading::measure(&self.tune.builder, self.part(0.005, 0.05, 0.4))?;
        self.ceilings.read.clone_from(&self.reading.ceilings);
        let batch = self.config.memory.batch_bytes;
        let time = self.part(0.003, 0.02, 0.2);
        let most = self.config.memory_limit.map_or(u64::MAX, |limit| limit / 8);
        self.ceilings.memory = memory(batch, self.config.batch_size, most, time);
        Ok(())
    }

    /// A loader of this order, set to the most.
    fn build(&self, order: Order) -> Result<Loader<T>> {
        let builder = self.tune.builder.again().order(order);
        let builder = builder.threads(self.grid.most_threads());
        let builder = builder.readers(self.grid.most_readers());
        builder.prefetch(self.grid.most_prefetch()).build()
    }

    /// Runs what is worth it of one order; the other one, if that is to be run next.
    fn session(&mut self, order: Order) -> Result<Option<Order>> {
        let mut loader = self.build(order)?;
        let mut bench = Bench::new(&mut loader)?;
        if self.calibrations.is_empty() {
            self.calibrate(&mut bench, order)?;
            let (smallest, largest) = self.ends(order);
            self.trial(&mut bench, largest)?;
            if smallest != largest && !self.is_over() {
                self.trial(&mut bench, smallest)?;
            }
        }
        let next = loop {
            let Some(choice) = self.next() else { break None };
            if choice.order != order {
                break Some(choice.order);
            }
            self.trial(&mut bench, choice)?;
        };
        if next.is_none() && !self.is_over() && order == self.config.order {
            self.repeat(&mut bench, order)?;
        }
        Ok(next)
    }

    /// The least and the most, as far as a difference is expected.
    fn ends(&self, order: Order) -> (Choice, Choice) {
        let least = Choice { threads: 1, readers: READERS, prefetch: 1, order };
        let threads = self.grid.most_threads();
        let prefetch = self.grid.most_prefetch().min(2);
        (least, Choice { threads, prefetch, ..least })
    }

    /// Numbers of threads to measure decoding with: the ends and one between.
    fn threads_to_measure(&self) -> Vec<usize> {
        let most = self.grid.most_threads();
        let between = (most as f64).sqrt().round() as usize;
        let mut threads = vec![1, between, most];
        threads.dedup();
        threads
    }

    fn calibrate(&mut self, bench: &mut Bench<'_, T>, order: Order) -> Result<()> {
        let prefetch = self.grid.most_prefetch().min(4);
        for threads in self.threads_to_measure() {
            self.tune.tell(Doing::Decoding(threads), self.begun);
            let choice = Choice { threads, readers: READERS, prefetch, order };
            let Some(trial) =
                bench.run(choice, self.length(0.03), |_| ControlFlow::Continue(()))?
            else {
                continue;
            };
            let rate = trial.measured.images_per_second;
            if threads == self.grid.most_threads() {
                self.repeated.push(rate);
                self.split(&trial, rate);
            }
            let memory = &self.config.memory;
            let row = memory.batch_bytes as f64 / self.config.batch_size as f64;
            let bytes = rate * row;
            let ceiling = Ceiling { images_per_second: rate, bytes_per_second: bytes };
            self.ceilings.decode_and_transform.push((threads, ceiling));
            self.calibrations.push(Calibration { choice, rate, costs: trial.sight.costs });
        }
        let reads = self.reading.costs();
        self.model = Model::new(&self.calibrations, reads, self.config.batch_size);
        Ok(())
    }

    /// What decoding and the transform would reach, each alone.
    fn split(&mut self, trial: &Trial, rate: f64) {
        let stages = &trial.stats.stages;
        let (decode, transform) = (stages.decode, stages.transform);
        let both = (decode.busy + transform.busy).as_secs_f64().max(1e-9);
        let alone = |stage: crate::stats::StageStats| {
            let rate = rate * both / stage.busy.as_secs_f64().max(1e-9);
            let each = stage.bytes as f64 / stage.items.max(1) as f64;
            Ceiling { images_per_second: rate, bytes_per_second: rate * each }
        };
        self.ceilings.decode = alone(decode);
        self.ceilings.transform = alone(transform);
    }

    fn length(&self, share: f64) -> Length {
        let least = self.part(share, 0.2, 2.0);
        Length { least, batches: BATCHES, most: least * 3 }
    }

    /// As many batches as tell something, fewer of them where a step takes long.
    fn trial_length(&self) -> Length {
        let length = self.length(0.035);
        let step = self.model.step_seconds();
        let fit = self.tune.budget.as_secs_f64() / 8.0 / step.max(1e-9);
        Length { batches: length.batches.min(fit as u64).max(3), ..length }
    }

    fn trial(&mut self, bench: &mut Bench<'_, T>, choice: Choice) -> Result<()> {
        self.tune.tell(Doing::Running(choice), self.begun);
        let mut predicted = self.predicted(choice);
        let Some(trial) = bench.run(choice, self.trial_length(), &mut self.step)? else {
            self.failed.push(choice);
            return Ok(());
        };
        self.model.set_step(&trial.sight);
        // Of the step nothing is known before the first.
        if self.ran.is_empty() {
            predicted = self.predicted(choice);
        }
        let Trial { mut measured, timeline, verdict, sight, .. } = trial;
        // What decoding has limited says what decoding costs.
        if verdict.bound == Bound::Decode && measured.wait > 0.2 {
            let rate = sight.images_per_second;
            self.model.add(&Calibration { choice, rate, costs: sight.costs });
        }
        let before = self.ran.iter().position(|ran| ran.choice == choice);
        let (predicted, times) = match before {
            Some(at) => {
                let ran = self.ran.remove(at);
                // A hiccup of the machine only ever adds to the wait.
                if ran.measured.wait < measured.wait {
                    measured = ran.measured;
                }
                (ran.predicted, ran.times + 1)
            }
            None => (predicted, 1),
        };
        self.ran.push(Ran { choice, predicted, measured, timeline, times });
        Ok(())
    }

    fn ran(&self, choice: Choice) -> Option<&Ran> {
        self.ran.iter().find(|ran| ran.choice == choice)
    }

    /// Images a second and wait: measured where they are, else predicted.
    fn told(&self, choice: Choice) -> (f64, f64) {
        match self.ran(choice) {
            Some(Ran { measured, .. }) => (measured.images_per_second, measured.wait),
            None => {
                let outcome = self.model.predict(choice);
                (outcome.images_per_second, outcome.wait)
            }
        }
    }

    /// Once for all choices: each takes a simulation.
    fn select(&self) -> Option<Recommendation> {
        self.grid.select(self.config.wait_target, |choice| self.told(choice))
    }

    fn predicted(&self, choice: Choice) -> Predicted {
        let outcome = self.model.predict(choice);
        let (images_per_second, wait) = (outcome.images_per_second, outcome.wait);
        Predicted { images_per_second, wait, cores: outcome.busy }
    }

    /// What is to be run next; `None` when it is over.
    fn next(&mut self) -> Option<Choice> {
        let next = if self.searched.is_none() { self.worth_running() } else { None };
        if next.is_some() || !self.tune.exhaustive {
            return next;
        }
        if self.searched.is_none() {
            let seconds = self.begun.elapsed().as_secs_f64();
            self.searched = self.select().map(|found| (found.choice, seconds));
        }
        // All of one order before the other.
        let order = self.ran.last().map_or(self.config.order, |ran| ran.choice.order);
        let mut left = self.grid.choices();
        left.retain(|choice| self.ran(*choice).is_none() && !self.failed.contains(choice));
        left.sort_by_key(|choice| choice.order != order);
        left.first().copied()
    }

    /// `None` when it is sure, or the time is over.
    fn worth_running(&self) -> Option<Choice> {
        if self.is_over() {
            return None;
        }
        let target = self.config.wait_target;
        let Recommendation { choice, fed } = self.select()?;
        if self.ran(choice).is_none() {
            return (!self.failed.contains(&choice)).then_some(choice);
        }
        // The best so far has been run. A smaller one that the prediction refuses by
        // little may do after all.
        let (rate, _) = self.told(choice);
        let doubtful = self.grid.smaller(choice).into_iter().find(|&smaller| {
            let (other, wait) = self.told(smaller);
            let near = if fed { wait <= target + DOUBT } else { other >= 0.93 * rate };
            self.ran(smaller).is_none() && !self.failed.contains(&smaller) && near
        });
        if doubtful.is_some() {
            return doubtful;
        }
        // A smaller one that was expected to do and did not, by little.
        let hiccup = self.ran.iter().find(|ran| {
            let wait = ran.measured.wait;
            ran.times == 1
                && wait > target
                && wait <= ONCE_MORE * target
                && self.model.predict(ran.choice).wait <= target
        });
        hiccup.map(|ran| ran.choice)
    }

    /// The same work as in the beginning, to see whether the machine is the same.
    fn repeat(&mut self, bench: &mut Bench<'_, T>, order: Order) -> Result<()> {
        let threads = self.grid.most_threads();
        let prefetch = self.grid.most_prefetch().min(4);
        self.tune.tell(Doing::Decoding(threads), self.begun);
        let choice = Choice { threads, readers: READERS, prefetch, order };
        if let Some(trial) = bench.run(choice, self.length(0.015), |_| ControlFlow::Continue(()))? {
            self.repeated.push(trial.measured.images_per_second);
        }
        Ok(())
    }

    fn warn(&mut self) {
        let Reading { first, later, mean_bytes, .. } = self.reading;
        if first > 3 * later && first > Duration::from_millis(1) {
            self.warnings.push(format!(
                "files came from the storage at first ({first:.1?} a read) and from memory later \
                 ({later:.1?}); the figures are for files in memory"
            ));
        }
        if let (Some(samples), Some(free)) = (self.samples, available_memory())
            && samples * mean_bytes > free
        {
            self.warnings.push(format!(
                "the files take {} MiB and {} MiB of memory are free: in training they come from \
                 the storage, which may be slower than what was measured here",
                (samples * mean_bytes) >> 20,
                free >> 20
            ));
        }
        if let [first, .., last] = self.repeated[..]
            && (first - last).abs() > NOISY * first
        {
            self.warnings.push(format!(
                "the machine was noisy: the same work gave {first:.0} and {last:.0} images/s"
            ));
        }
        if self.is_over() && !self.tune.exhaustive {
            let reason = "the time was up before it was sure; give it a larger budget";
            self.warnings.push(reason.to_owned());
        }
    }

    fn tried(&self, choice: Choice) -> Tried {
        let ran = self.ran(choice);
        let builder = self.tune.builder.again().threads(choice.threads).readers(choice.readers);
        let resolved = builder.prefetch(choice.prefetch).order(choice.order).resolve();
        let memory = resolved.map(|resolved| resolved.memory).ok();
        Tried {
            choice,
            predicted: ran.map_or_else(|| self.predicted(choice), |ran| ran.predicted),
            measured: ran.map(|ran| ran.measured),
            memory_bytes: memory.map_or(0, |memory| memory.total_bytes),
            batches_bytes: memory.map_or(0, |memory| memory.batches_bytes),
        }
    }

    fn confidence(&self, recommended: &Tried) -> Confidence {
        let Some(measured) = recommended.measured else { return Confidence::Low };
        let predicted = recommended.predicted.images_per_second;
        let off = (predicted / measured.images_per_second.max(1e-9) - 1.0).abs();
        match self.warnings.is_empty() {
            true if off <= 0.1 => Confidence::High,
            _ if off <= 0.2 => Confidence::Fair,
            _ => Confidence::Low,
        }
    }

    fn report(mut self) -> Result<Report> {
        self.warn();
        let Some(recommendation) = self.select() else {
            return Err(Error::lost("there is nothing to choose from"));
        };
        let settings: Vec<Tried> =
            self.grid.choices().into_iter().map(|choice| self.tried(choice)).collect();
        let recommended = self.tried(recommendation.choice);
        let worst = self.ran.iter().max_by(|a, b| a.measured.wait.total_cmp(&b.measured.wait));
        let best = self.ran(recommendation.choice);
        let timelines = Timelines {
            best: best.map(|ran| ran.timeline.clone()).unwrap_or_default(),
            worst: worst.map(|ran| ran.timeline.clone()).unwrap_or_default(),
            worst_choice: worst.map(|ran| ran.choice),
        };
        let searched = self.searched.map(|(choice, seconds)| {
            let notches = self.grid.notches(choice, recommendation.choice);
            Searched { choice, seconds, notches }
        });
        let Resolved { batch_size, size, dtype, layout, color, .. } = self.config;
        let Resolved { wait_target, memory_limit, .. } = self.config;
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            source: self.tune.builder.root().display().to_string(),
            samples: self.samples,
            batch_size,
            image: format!("{size} {dtype} {layout} {color}"),
            cores: self.grid.most_threads(),
            step_seconds: self.model.step_seconds(),
            demand: self.model.demand(),
            wait_target,
            memory_limit,
            verdict: self.verdict(&recommendation, &recommended),
            confidence: self.confidence(&recommended),
            recommendation,
            recommended,
            settings,
            ceilings: self.ceilings,
            warnings: self.warnings,
            seconds: self.begun.elapsed().as_secs_f64(),
            trials: self.ran.iter().map(|ran| ran.times).sum(),
            searched,
            timelines,
        })
    }

    fn verdict(&self, recommendation: &Recommendation, recommended: &Tried) -> String {
        let Choice { threads, prefetch, order, .. } = recommendation.choice;
        let s = if threads == 1 { "" } else { "s" };
        let setting = format!("{threads} thread{s} and prefetch {prefetch}, {order}");
        let step = 1e3 * self.model.step_seconds();
        let told = recommended.measured.map_or(
            (recommended.predicted.images_per_second, recommended.predicted.wait),
            |measured| (measured.images_per_second, measured.wait),
        );
        let (rate, wait) = (told.0, 100.0 * told.1);
        let demand = self.model.demand();
        let capacity = self.model.capacity(Choice {
            threads: self.grid.most_threads(),
            readers: self.grid.most_readers(),
            prefetch: self.grid.most_prefetch(),
            order: self.config.order,
        });
        if recommendation.fed {
            return format!(
                "a step of {step:.1} ms is fed by {setting}: it waits {wait:.1} % of the time; the \
                 loader could deliver {capacity:.0} images/s, the step takes {rate:.0}"
            );
        }
        let ran = self.ran(recommendation.choice);
        let limit = match ran {
            Some(ran) => format!(" ({})", ran.measured.bound.words()),
            None => String::new(),
        };
        let cores = demand / capacity.max(1e-9) * self.grid.most_threads() as f64;
        let help = match ran.map(|ran| ran.measured.bound) {
            Some(Bound::Decode) => format!(
                ". It would take about {cores:.0} cores like these, smaller images, or a cache of \
                 decoded pixels"
            ),
            Some(Bound::Read) => {
                ". A faster storage would help, smaller files, or a cache of decoded pixels"
                    .to_owned()
            }
            _ => String::new(),
        };
        format!(
            "no setting feeds a step of {step:.1} ms, which would take {demand:.0} images/s: at best \
             it gets {rate:.0} and waits {wait:.0} % of the time, with {setting}{limit}{help}"
        )
    }
}

/// Memory that can be had without swapping, where the kernel tells.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
