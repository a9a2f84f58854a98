//! What was run, and what it came to.

use super::report::Predicted;
use super::{Choice, Measured};
use crate::stats::Timeline;

/// A choice that was run, once or more.
pub(super) struct Ran {
    pub(super) choice: Choice,
    /// Before it was run.
    pub(super) predicted: Predicted,
    /// By the consumer's wait, ascending.
    trials: Vec<Measured>,
    /// Of the last trial.
    pub(super) timeline: Timeline,
}

impl Ran {
    pub(super) fn times(&self) -> usize {
        self.trials.len()
    }

    /// The trial in the middle by the consumer's wait; of two the one that waited
    /// less, for a hiccup of the machine only ever adds to the wait.
    pub(super) fn measured(&self) -> Measured {
        self.trials[(self.trials.len() - 1) / 2]
    }
}

#[derive(Default)]
pub(super) struct Record {
    ran: Vec<Ran>,
    /// Choices whose trial told nothing.
    failed: Vec<Choice>,
}

impl Record {
    pub(super) fn all(&self) -> &[Ran] {
        &self.ran
    }

    pub(super) fn get(&self, choice: Choice) -> Option<&Ran> {
        self.ran.iter().find(|ran| ran.choice == choice)
    }

    /// How often it was run; `None` if that tells nothing.
    pub(super) fn times(&self, choice: Choice) -> Option<usize> {
        let failed = self.failed.contains(&choice);
        (!failed).then(|| self.get(choice).map_or(0, Ran::times))
    }

    pub(super) fn trials(&self) -> usize {
        self.ran.iter().map(Ran::times).sum()
    }

    pub(super) fn add_failed(&mut self, choice: Choice) {
        self.failed.push(choice);
    }

    /// Of a choice that was run before, the first prediction stays.
    pub(super) fn add(
        &mut self,
        choice: Choice,
        predicted: Predicted,
        measured: Measured,
        timeline: Timeline,
    ) {
        let at = self.ran.iter().position(|ran| ran.choice == choice);
        let mut ran = match at {
            // The last of them is the one that was run last.
            Some(at) => self.ran.remove(at),
            None => {
                let (trials, timeline) = (Vec::new(), Timeline::default());
                Ran { choice, predicted, trials, timeline }
            }
        };
        let place = ran.trials.partition_point(|trial| trial.wait <= measured.wait);
        ran.trials.insert(place, measured);
        ran.timeline = timeline;
        self.ran.push(ran);
    }

    /// By how much rates of the same choice scatter, as a part of the rate and for
    /// what [`Ran::measured`] says: the pooled standard deviation of the trials of
    /// each choice over the root of their number. Zero where nothing was repeated.
    pub(super) fn noise(&self) -> f64 {
        let (mut squares, mut free, mut times, mut repeated) = (0.0, 0, 0, 0);
        for ran in self.ran.iter().filter(|ran| ran.times() > 1) {
            let rates = || ran.trials.iter().map(|trial| trial.images_per_second);
            let mean = rates().sum::<f64>() / ran.times() as f64;
            squares += rates().map(|rate| (rate / mean.max(1e-9) - 1.0).powi(2)).sum::<f64>();
            free += ran.times() - 1;
            times += ran.times();
            repeated += 1;
        }
        if free == 0 {
            return 0.0;
        }
        let each = times as f64 / f64::from(repeated);
        (squares / free as f64 / each).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Order;
    use crate::stats::Bound;

    fn choice(threads: usize) -> Choice {
        Choice { threads, readers: 16, prefetch: 1, order: Order::Ordered }
    }

    fn record(rates: &[(usize, f64)]) -> Record {
        let mut record = Record::default();
        for &(threads, images_per_second) in rates {
            let predicted = Predicted { images_per_second: 1.0, wait: 0.0, cores: 1.0 };
            let wait = 1.0 - images_per_second / 1000.0;
            let (cores, batches_bytes, batches, seconds) = (1.0, 1, 1, 1.0);
            let bound = Bound::Decode;
            let measured =
                Measured { images_per_second, wait, cores, batches_bytes, bound, batches, seconds };
            record.add(choice(threads), predicted, measured, Timeline::default());
        }
        record
    }

    #[test]
    fn of_two_trials_the_better_counts_and_of_three_the_middle_one() {
        let told = |rates: &[(usize, f64)]| {
            record(rates).get(choice(1)).unwrap().measured().images_per_second
        };
        assert_eq!(told(&[(1, 500.0)]), 500.0);
        assert_eq!(told(&[(1, 300.0), (1, 500.0)]), 500.0);
        assert_eq!(told(&[(1, 300.0), (1, 900.0), (1, 500.0)]), 500.0);
    }

    #[test]
    fn noise_is_what_the_same_choice_scatters_by() {
        assert_eq!(record(&[(1, 100.0), (2, 900.0)]).noise(), 0.0, "nothing was repeated");
        assert_eq!(record(&[(1, 100.0), (1, 100.0), (2, 900.0), (2, 900.0)]).noise(), 0.0);
        // A standard deviation of a tenth, over the root of two trials.
        let tenth = 0.1 / 2f64.sqrt();
        let rates = [(1, 1.0 - tenth), (1, 1.0 + tenth), (2, 5.0 * (1.0 - tenth))];
        let noise = record(&[&rates[..], &[(2, 5.0 * (1.0 + tenth))]].concat()).noise();
        assert!((noise - tenth).abs() < 1e-9, "{noise}");
    }

    #[test]
    fn the_last_one_is_the_one_that_was_run_last() {
        let mut record = record(&[(1, 100.0), (2, 200.0), (1, 100.0)]);
        assert_eq!(record.all().last().unwrap().choice, choice(1));
        assert_eq!((record.trials(), record.times(choice(1))), (3, Some(2)));
        record.add_failed(choice(3));
        assert_eq!((record.times(choice(3)), record.times(choice(4))), (None, Some(0)));
    }

    #[test]
    fn each_choice_counts_by_its_own_trials() {
        // Three trials of a tenth, two of none, one that was not repeated.
        let rates = [(1, 0.9), (1, 1.0), (1, 1.1), (2, 5.0), (2, 5.0), (3, 7.0)];
        let record = record(&rates);
        // Of squares 0.02 to three that are free, over two trials and a half each.
        let expected = (0.02_f64 / 3.0 / 2.5).sqrt();
        assert!((record.noise() - expected).abs() < 1e-9, "{}", record.noise());
        assert_eq!(record.trials(), 6);
        let times = |threads| record.get(choice(threads)).map(Ran::times);
        assert_eq!((times(1), times(3), times(4)), (Some(3), Some(1), None));
        assert_eq!(Record::default().noise(), 0.0);
    }

    #[test]
    fn trials_stand_by_their_waits_and_of_four_the_second_counts() {
        let record = record(&[(1, 500.0), (1, 400.0), (1, 300.0), (1, 200.0)]);
        let ran = record.get(choice(1)).unwrap();
        let rates: Vec<_> = ran.trials.iter().map(|trial| trial.images_per_second).collect();
        assert_eq!(rates, [500.0, 400.0, 300.0, 200.0]);
        assert_eq!(ran.measured().images_per_second, 400.0);
    }
}
