//! The search: what is measured in which order, and when it is enough.
//!
//! What it comes to in the end is told in `conclusion`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::ceilings::{Ceiling, Ceilings, Reading, memory};
use super::choice::Grid;
use super::model::{Calibration, Model};
use super::record::{Ran, Record};
use super::report::{Predicted, Report};
use super::trial::{Bench, Length, Trial};
use super::{Choice, Doing, Recommendation, Tune, other};
use crate::batch::Batch;
use crate::config::{Order, Resolved};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::loader::Loader;
use crate::random::Draws;
use crate::stats::Bound;

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
/// How often each setting is run where all of them are.
const ROUNDS: usize = 3;
/// And the one that is said to feed the step: among many it may be so by luck, which more
/// trials tell.
const CONFIRMED: usize = 7;

pub(super) struct Search<'a, T: Element, F> {
    pub(super) tune: Tune<'a, T>,
    step: F,
    pub(super) begun: Instant,
    pub(super) grid: Grid,
    pub(super) config: Resolved,
    pub(super) reading: Reading,
    calibrations: Vec<Calibration>,
    pub(super) model: Model,
    pub(super) record: Record,
    pub(super) ceilings: Ceilings,
    /// Rates of the same work, at the beginning and in the end.
    pub(super) repeated: Vec<f64>,
    pub(super) samples: Option<u64>,
    /// What was found before all settings were run, and after how many seconds.
    pub(super) searched: Option<(Choice, f64)>,
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
            record: Record::default(),
            ceilings: Ceilings::default(),
            repeated: Vec::new(),
            samples: None,
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
        self.conclude()
    }

    /// A part of the time that is left, within bounds in seconds.
    fn part(&self, share: f64, least: f64, most: f64) -> Duration {
        let budget = self.tune.budget.as_secs_f64();
        Duration::from_secs_f64((budget * share).clamp(least, most))
    }

    pub(super) fn is_over(&self) -> bool {
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
            self.record.add_failed(choice);
            return Ok(());
        };
        self.model.set_step(&trial.sight);
        // Of the step nothing is known before the first.
        if self.record.all().is_empty() {
            predicted = self.predicted(choice);
        }
        let Trial { measured, timeline, verdict, sight, .. } = trial;
        // What decoding has limited says what decoding costs.
        if verdict.bound == Bound::Decode && measured.wait > 0.2 {
            let rate = sight.images_per_second;
            self.model.add(&Calibration { choice, rate, costs: sight.costs });
        }
        self.record.add(choice, predicted, measured, timeline);
        Ok(())
    }

    /// Images a second and wait: measured where they are, else predicted.
    fn told(&self, choice: Choice) -> (f64, f64) {
        match self.record.get(choice).map(Ran::measured) {
            Some(measured) => (measured.images_per_second, measured.wait),
            None => {
                let outcome = self.model.predict(choice);
                (outcome.images_per_second, outcome.wait)
            }
        }
    }

    /// Once for all choices: each takes a simulation.
    pub(super) fn select(&self) -> Option<Recommendation> {
        let (target, noise) = (self.config.wait_target, self.record.noise());
        self.grid.select(target, noise, |choice| self.told(choice))
    }

    pub(super) fn predicted(&self, choice: Choice) -> Predicted {
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
        self.least_run().or_else(|| self.unconfirmed())
    }

    /// What would be chosen because it feeds the step, while it was not run often enough
    /// for that. Where nothing does, rates are compared, and more trials of one alone
    /// would compare moments.
    fn unconfirmed(&self) -> Option<Choice> {
        let Recommendation { choice, fed } = self.select()?;
        let few = self.record.times(choice).is_some_and(|times| times < CONFIRMED);
        (fed && few).then_some(choice)
    }

    /// One of those that were run least often. In each round another order, lest what
    /// the machine does over time falls on the same settings.
    fn least_run(&self) -> Option<Choice> {
        let last = self.record.all().last().map_or(self.config.order, |ran| ran.choice.order);
        let key = |choice: Choice| {
            let times = self.record.times(choice).filter(|times| *times < ROUNDS)?;
            let Choice { threads, readers, prefetch, order } = choice;
            let place = [times, threads, readers, prefetch].map(|number| number as u64);
            // All of one order before the other: that takes another loader.
            Some((times, order != last, Draws::new(&place).next()))
        };
        let left =
            self.grid.choices().into_iter().filter_map(|choice| Some((key(choice)?, choice)));
        left.min_by_key(|(key, _)| *key).map(|(_, choice)| choice)
    }

    /// `None` when it is sure, or the time is over.
    fn worth_running(&self) -> Option<Choice> {
        if self.is_over() {
            return None;
        }
        let target = self.config.wait_target;
        let Recommendation { choice, fed } = self.select()?;
        match self.record.times(choice) {
            None => return None,
            Some(0) => return Some(choice),
            Some(_) => {}
        }
        // The best so far has been run. A smaller one that the prediction refuses by
        // little may do after all.
        let (rate, _) = self.told(choice);
        let doubtful = self.grid.smaller(choice).into_iter().find(|&smaller| {
            let (other, wait) = self.told(smaller);
            let near = if fed { wait <= target + DOUBT } else { other >= 0.93 * rate };
            self.record.times(smaller) == Some(0) && near
        });
        if doubtful.is_some() {
            return doubtful;
        }
        // A smaller one that was expected to do and did not, by little.
        let hiccup = self.record.all().iter().find(|ran| {
            let wait = ran.measured().wait;
            ran.times() == 1
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
}
