//! Which sample comes when: a pure function of the source's length, the seed
//! and the epoch.

use crate::config::LastBatch;
use crate::random::Draws;

/// The exact order of one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    pub(crate) last_batch: LastBatch,
}

/// What stands at a position of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The sample with this index in the source's order; `padding` when it only
    /// fills up the last batch.
    Sample { index: u64, padding: bool },
    /// The walk has to come further first.
    NotListed,
    /// The plan has so many positions, and this is behind the last.
    End { length: u64 },
}

impl Plan {
    /// The step at `position` when `listed` samples are known and the walk has
    /// ended (`complete`) or not. Never changes its answer as the walk goes on,
    /// but for [`Step::NotListed`].
    pub(crate) fn step(&self, position: u64, listed: u64, complete: bool) -> Step {
        if complete {
            let length = self.length(listed);
            return if position >= length {
                Step::End { length }
            } else {
                Step::Sample { index: position % listed, padding: position >= listed }
            };
        }
        match self.wanted(position) <= listed {
            true => Step::Sample { index: position, padding: false },
            false => Step::NotListed,
        }
    }

    /// Samples that must be listed before `position` can be answered during the
    /// walk.
    pub(crate) fn wanted(&self, position: u64) -> u64 {
        match self.last_batch {
            LastBatch::Keep | LastBatch::Pad => position + 1,
            // The samples of a batch that will not be delivered are not read,
            // so a batch is begun only when it is known to fill up.
            LastBatch::Drop => (position / self.size() + 1) * self.size(),
        }
    }

    /// Positions of an epoch over `samples` samples.
    pub(crate) fn length(&self, samples: u64) -> u64 {
        match self.last_batch {
            LastBatch::Keep => samples,
            LastBatch::Drop => samples / self.size() * self.size(),
            LastBatch::Pad => samples.div_ceil(self.size()) * self.size(),
        }
    }

    /// Batches of an epoch over `samples` samples of which none fails.
    pub(crate) fn batches(&self, samples: u64) -> u64 {
        self.length(samples).div_ceil(self.size())
    }

    /// The sample that stands in for a failed one: drawn evenly from the other
    /// `samples`, by (seed, epoch, position, attempt) alone.
    pub(crate) fn substitute(
        &self,
        epoch: u64,
        position: u64,
        attempt: u32,
        failed: u64,
        samples: u64,
    ) -> u64 {
        let others = samples.saturating_sub(1).max(1);
        let drawn = Draws::new(&[self.seed, epoch, position, u64::from(attempt)]).below(others);
        match drawn >= failed && samples > 1 {
            true => drawn + 1,
            false => drawn,
        }
    }

    fn size(&self) -> u64 {
        self.batch_size as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(batch_size: usize, last_batch: LastBatch) -> Plan {
        Plan { seed: 7, batch_size, last_batch }
    }

    /// The whole epoch with the walk ended.
    fn indices(plan: &Plan, samples: u64) -> Vec<u64> {
        (0..)
            .map_while(|position| match plan.step(position, samples, true) {
                Step::Sample { index, padding } => {
                    assert_eq!(padding, position >= samples);
                    Some(index)
                }
                Step::NotListed => panic!("the walk has ended"),
                Step::End { length } => {
                    assert_eq!(length, position);
                    None
                }
            })
            .collect()
    }

    #[test]
    fn every_sample_once_and_in_order() {
        for samples in 1..50 {
            for batch in 1..12 {
                let all: Vec<u64> = (0..samples).collect();
                let keep = indices(&plan(batch, LastBatch::Keep), samples);
                assert_eq!(keep, all);
                let drop = indices(&plan(batch, LastBatch::Drop), samples);
                assert_eq!(drop.len() % batch, 0);
                assert_eq!(drop, all[..drop.len()]);
                assert!(all.len() - drop.len() < batch);
                let pad = indices(&plan(batch, LastBatch::Pad), samples);
                assert_eq!(pad.len() % batch, 0);
                assert_eq!(pad[..all.len()], all);
                assert!(pad.len() - all.len() < batch);
            }
        }
    }

    #[test]
    fn an_answer_given_during_the_walk_stands() {
        for last in [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad] {
            let plan = plan(4, last);
            for samples in 1..30 {
                for position in 0..40 {
                    let end = plan.step(position, samples, true);
                    for listed in 0..=samples {
                        match plan.step(position, listed, false) {
                            Step::NotListed => {}
                            early => assert_eq!(early, end),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_substitute_is_another_sample_and_always_the_same() {
        let plan = plan(4, LastBatch::Keep);
        for samples in 2..40 {
            for failed in 0..samples {
                let drawn = plan.substitute(3, 5, 1, failed, samples);
                assert!(drawn < samples && drawn != failed);
                assert_eq!(drawn, plan.substitute(3, 5, 1, failed, samples));
            }
        }
        assert_eq!(plan.substitute(0, 0, 0, 0, 1), 0);
    }

    #[test]
    fn substitutes_are_spread_evenly() {
        let plan = plan(4, LastBatch::Keep);
        let mut counts = [0_u32; 10];
        for position in 0..9_000 {
            counts[plan.substitute(0, position, 0, 4, 10) as usize] += 1;
        }
        assert_eq!(counts[4], 0);
        // 1,000 expected each, with a standard deviation of about 30.
        assert!(counts.iter().enumerate().all(|(i, &n)| i == 4 || (850..1150).contains(&n)));
    }
}
