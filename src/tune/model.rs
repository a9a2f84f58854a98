//! What each choice will come to, from what was measured alone.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::capacity::{Cost, Costs, Outcome, simulate};
use crate::stats::Sight;

use super::Choice;

/// A run for a consumer that takes no time, with so many threads.
#[derive(Debug)]
pub(super) struct Calibration {
    pub(super) choice: Choice,
    /// Images a second.
    pub(super) rate: f64,
    pub(super) costs: Costs,
}

/// What parts cost, put right so that the miniature says of the calibrations what
/// was measured.
#[derive(Debug)]
pub(super) struct Model {
    batch_size: usize,
    /// By threads, ascending: a thread's time for a sample.
    decode: Vec<(usize, Cost)>,
    /// By readers, ascending: the pace of each.
    read: Vec<(usize, Cost)>,
    assembly: f64,
    /// For a full batch.
    step: Cost,
    /// How full batches are.
    fill: f64,
    /// What has been told since something was learned: a simulation takes
    /// milliseconds, and all choices are looked at before each trial.
    told: RefCell<HashMap<Choice, Outcome>>,
}

/// A step that differs by less is the same.
const SAME_STEP: f64 = 0.02;

impl Model {
    /// `calibrations` by threads, ascending.
    pub(super) fn new(
        calibrations: &[Calibration],
        read: Vec<(usize, Cost)>,
        batch_size: usize,
    ) -> Self {
        let mut model = Model {
            batch_size,
            decode: Vec::new(),
            read,
            assembly: 0.0,
            step: Cost::default(),
            fill: 1.0,
            told: RefCell::default(),
        };
        for calibration in calibrations {
            model.add(calibration);
        }
        model
    }

    /// Another run that decoding limited.
    pub(super) fn add(&mut self, calibration: &Calibration) {
        let Calibration { choice, rate, costs } = calibration;
        if *rate <= 0.0 {
            return;
        }
        self.assembly = costs.assembly;
        self.told.get_mut().clear();
        let costs = Costs { read: self.read_with(choice.readers), cores: f64::MAX, ..*costs };
        // The miniature knows nothing of wake-ups and shared caches: two rounds of
        // scaling put that right.
        let mut decode = costs.decode;
        for _ in 0..2 {
            let told = simulate(&Costs { decode, ..costs }, &choice.plant(self.batch_size));
            decode = decode.scaled((told.images_per_second / rate).clamp(0.5, 2.0));
        }
        self.decode.retain(|(threads, _)| *threads != choice.threads);
        self.decode.push((choice.threads, decode));
        self.decode.sort_by_key(|(threads, _)| *threads);
    }

    /// The consumer's step, once it has been seen.
    pub(super) fn set_step(&mut self, sight: &Sight) {
        let step = sight.costs.step;
        self.fill = sight.fill;
        if (step.mean - self.step.mean).abs() > SAME_STEP * self.step.mean {
            self.step = step;
            self.told.get_mut().clear();
        }
    }

    /// Of the batches as they come.
    pub(super) fn step_seconds(&self) -> f64 {
        self.step.mean * self.fill
    }

    /// Images a second that the consumer would take if it never waited.
    pub(super) fn demand(&self) -> f64 {
        self.batch_size as f64 / (self.step.mean + self.assembly).max(1e-9)
    }

    pub(super) fn predict(&self, choice: Choice) -> Outcome {
        let simulated = || simulate(&self.costs(choice, self.step), &choice.plant(self.batch_size));
        *self.told.borrow_mut().entry(choice).or_insert_with(simulated)
    }

    /// The same for a consumer that takes no time.
    pub(super) fn capacity(&self, choice: Choice) -> f64 {
        let costs = self.costs(choice, Cost::fixed(0.0));
        simulate(&costs, &choice.plant(self.batch_size)).images_per_second
    }

    fn costs(&self, choice: Choice, step: Cost) -> Costs {
        let decode = self.decode_with(choice.threads);
        let (read, assembly) = (self.read_with(choice.readers), self.assembly);
        // What cores are shared among is in what was measured with so many threads.
        Costs { read, decode, on_core: 1.0, assembly, step, cores: f64::MAX }
    }

    /// Of the most readers that were measured and are not more.
    fn read_with(&self, readers: usize) -> Cost {
        let measured = self.read.iter().rev().find(|(measured, _)| *measured <= readers);
        measured.or(self.read.first()).map(|(_, cost)| *cost).unwrap_or_default()
    }

    /// Between two numbers of threads that were measured, in proportion.
    fn decode_with(&self, threads: usize) -> Cost {
        let above = self.decode.iter().position(|(measured, _)| *measured >= threads);
        match above {
            Some(0) => self.decode[0].1,
            None => self.decode.last().map(|(_, cost)| *cost).unwrap_or_default(),
            Some(above) => {
                let ((few, cheap), (many, dear)) = (self.decode[above - 1], self.decode[above]);
                let share = (threads - few) as f64 / (many - few) as f64;
                let mean = cheap.mean + (dear.mean - cheap.mean) * share;
                dear.scaled(mean / dear.mean.max(1e-12))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Order;

    fn choice(threads: usize) -> Choice {
        Choice { threads, readers: 16, prefetch: 4, order: Order::Ordered }
    }

    fn calibration(threads: usize, rate: f64, each: f64) -> Calibration {
        let (fixed, cores) = (Cost::fixed, f64::MAX);
        let (read, decode, step) = (fixed(0.0001), fixed(each), fixed(0.0));
        let costs = Costs { read, decode, on_core: 1.0, assembly: 0.0, step, cores };
        Calibration { choice: choice(threads), rate, costs }
    }

    #[test]
    fn what_was_measured_is_what_is_told_and_what_lies_between_lies_between() {
        // Eight threads share what two cores and a half would do alone.
        let measured = [calibration(1, 490.0, 0.002), calibration(8, 1250.0, 0.006)];
        let model = Model::new(&measured, vec![(1, Cost::fixed(0.0001))], 32);
        for (threads, rate) in [(1, 490.0), (8, 1250.0)] {
            let told = model.capacity(choice(threads));
            assert!((told - rate).abs() < 0.03 * rate, "{told} for {rate}");
        }
        let between = model.capacity(choice(3));
        assert!((700.0..1250.0).contains(&between), "{between}");
        // A later run knows better.
        let mut model = model;
        model.add(&calibration(3, 1100.0, 0.003));
        assert!((model.capacity(choice(3)) - 1100.0).abs() < 50.0);
    }

    #[test]
    fn readers_have_the_pace_that_was_measured() {
        let reads = vec![(1, Cost::fixed(0.01)), (16, Cost::fixed(0.02))];
        let model = Model::new(&[calibration(8, 3900.0, 0.002)], reads, 32);
        let with = |readers| model.capacity(Choice { readers, ..choice(8) });
        assert!((with(1) - 100.0).abs() < 5.0, "{}", with(1));
        assert!((with(4) - 400.0).abs() < 20.0, "{}", with(4));
        assert!((with(16) - 800.0).abs() < 40.0, "{}", with(16));
    }

    fn near(told: f64, expected: f64) {
        assert!((told - expected).abs() <= 1e-9 * expected, "{told} for {expected}");
    }

    #[test]
    fn between_two_numbers_of_threads_in_proportion() {
        let model = |decode| Model { decode, ..Model::new(&[], Vec::new(), 32) };
        let measured = vec![(2, Cost::fixed(0.002)), (6, Cost::fixed(0.010))];
        let with = |threads| model(measured.clone()).decode_with(threads).mean;
        near(with(1), 0.002);
        near(with(2), 0.002);
        near(with(3), 0.004);
        near(with(5), 0.008);
        near(with(6), 0.010);
        near(with(9), 0.010);
        assert_eq!(model(Vec::new()).decode_with(3), Cost::default());
        // Where the most readers that are not more were not measured, the fewest were.
        let mut model = model(Vec::new());
        assert_eq!(model.read_with(4), Cost::default());
        model.read = vec![(4, Cost::fixed(0.1)), (16, Cost::fixed(0.2))];
        let means = [1, 4, 15, 16, 99].map(|readers| model.read_with(readers).mean);
        assert_eq!(means, [0.1, 0.1, 0.1, 0.2, 0.2]);
    }

    #[test]
    fn cores_that_were_shared_are_in_what_was_measured() {
        // Four threads on two cores, which gave what two threads give. How long reads took
        // beside them says nothing: that was measured apart.
        let mut four = calibration(4, 990.0, 0.002);
        (four.costs.cores, four.costs.read) = (2.0, Cost::fixed(0.03));
        let model = Model::new(&[four], vec![(1, Cost::fixed(0.0001))], 32);
        let told = model.capacity(choice(4));
        assert!((told - 990.0).abs() < 30.0, "{told}");
    }

    #[test]
    fn a_run_that_delivered_nothing_teaches_nothing() {
        let mut model = Model::new(&[calibration(1, 490.0, 0.002)], Vec::new(), 32);
        let before = model.capacity(choice(1));
        model.add(&calibration(1, 0.0, 0.5));
        near(model.capacity(choice(1)), before);
        // A later one with as many threads takes the place of the earlier.
        model.add(&calibration(1, 245.0, 0.004));
        assert_eq!(model.decode.len(), 1);
        assert!((model.capacity(choice(1)) - 245.0).abs() < 5.0);
        // However wrong its costs are, they are put right by no more than four.
        model.add(&calibration(2, 1e9, 0.004));
        near(model.decode[1].1.mean, 0.001);
        model.add(&calibration(2, 1e-9, 0.004));
        near(model.decode[1].1.mean, 0.016);
    }

    #[test]
    fn the_step_is_that_of_batches_as_they_come() {
        let calibration = Calibration {
            costs: Costs { assembly: 0.01, ..calibration(1, 490.0, 0.002).costs },
            ..calibration(1, 490.0, 0.002)
        };
        let mut model = Model::new(&[calibration], Vec::new(), 32);
        near(model.demand(), 3_200.0);
        let free = model.predict(choice(1));
        let mut sight = crate::stats::sight_tests::plain();
        let mut step = |model: &mut Model, mean, fill| {
            (sight.costs.step, sight.fill) = (Cost::fixed(mean), fill);
            model.set_step(&sight);
        };
        step(&mut model, 0.15, 0.5);
        near(model.step_seconds(), 0.075);
        near(model.demand(), 200.0);
        let stepping = model.predict(choice(1));
        assert!(stepping.images_per_second < 0.5 * free.images_per_second, "{stepping:?}");
        assert!(stepping.wait < 0.01, "{stepping:?}");
        assert!((model.capacity(choice(1)) - free.images_per_second).abs() < 1.0);
        // One that differs by no more than a fiftieth is the same, one by more is not.
        step(&mut model, 0.1529, 0.5);
        near(model.demand(), 200.0);
        step(&mut model, 0.1531, 0.5);
        near(model.demand(), 32.0 / 0.1631);
        assert!(model.predict(choice(1)).images_per_second < stepping.images_per_second);
        step(&mut model, 0.15, 1.0);
        near(model.step_seconds(), 0.15);
    }
}
