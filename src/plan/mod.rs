//! Which sample comes when: a pure function of the source's length, the seed,
//! the epoch and the rank.
//!
//! ```text
//! key         0, 1, 2, ..       what this rank takes in this run of the epoch, in order
//!    |  without what was done before the run was resumed
//! turn        0, 1, 2, ..       what this rank takes in the whole epoch
//!    |  turn * world + rank
//! place       0, 1, 2, ..       of what all ranks take since they have been so many
//!    |  without what was done before, by another number of them
//! position    in the epoch, the same for all ranks: behind its end comes padding
//!    |  shuffled, drawn, or as it is
//! index       of the sample in the source's order
//! ```

mod remaining;
mod shuffle;
#[cfg(test)]
mod tests;
mod weighted;

use std::sync::OnceLock;

use crate::config::{LastBatch, Resolved, Sampling, Shard, Uneven, Weights};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::random::{Draws, purpose};
use crate::source::{Index, Progress};

pub(crate) use remaining::{Done, Remaining};
pub use shuffle::Shuffle;
pub(crate) use weighted::Alias;

/// The exact order of every epoch.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    pub(crate) last_batch: LastBatch,
    pub(crate) sampling: Sampling,
    pub(crate) shard: Shard,
    pub(crate) uneven: Uneven,
    /// Of weighted sampling; known when the walk has ended.
    weights: OnceLock<Result<Alias>>,
    /// The epoch of which a part has been done before.
    pub(crate) begun: OnceLock<Begun>,
}

/// An epoch that goes on where an earlier run stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) epoch: u64,
    /// Positions left when the ranks became as many as they are.
    pub(crate) positions: Remaining,
    /// Of those that are this rank's, the turns that are left.
    pub(crate) turns: Remaining,
    /// Batches of the epoch that were delivered to this rank.
    pub(crate) batches: u64,
    /// Samples of the epoch that failed on it.
    pub(crate) failed: u64,
    /// Turns that were done before batches had the size that they have: the last
    /// batch fills up, or is dropped, as if they had begun there.
    pub(crate) batched_from: u64,
    /// A part was delivered unordered since the ranks are as many as they are:
    /// where one stands says nothing about the others.
    pub(crate) unordered: bool,
    /// Samples of the epoch that were delivered before.
    pub(crate) digest: Digest,
    /// Where it ends here, in turns, if not at its own end.
    pub(crate) until: Option<u64>,
}

/// What stands at a key of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sample(Planned),
    /// The walk has to come further first.
    NotListed,
    /// The epoch has so many keys, and this is behind the last.
    End {
        length: u64,
    },
}

/// A sample in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// In the source's order.
    pub(crate) index: u64,
    /// In the epoch, the same for all ranks; what is random depends on it.
    pub(crate) position: u64,
    /// It only fills up, having been in the epoch before.
    pub(crate) padding: bool,
}

impl Plan {
    pub(crate) fn new(config: &Resolved) -> Self {
        let Resolved { seed, batch_size, last_batch, shard, uneven, .. } = *config;
        let (sampling, weights, begun) =
            (config.sampling.clone(), OnceLock::new(), OnceLock::new());
        Plan { seed, batch_size, last_batch, sampling, shard, uneven, weights, begun }
    }

    /// The order of epoch `number`, as far as it is known.
    pub(crate) fn epoch(&self, number: u64, progress: Progress) -> EpochPlan<'_> {
        let Progress { listed, complete } = progress;
        let picks = if complete { Picks::new(self, number, listed) } else { None };
        let known = picks.map(|picks| Known {
            picks,
            positions: self.positions(listed),
            begun: self.begun(number),
            length: self.length_of(number, listed),
        });
        EpochPlan { plan: self, number, listed, known }
    }

    /// The walk has ended: what depends on all samples is computed.
    pub(crate) fn prepare(&self, index: &Index) {
        if let Sampling::Weighted { weights, .. } = &self.sampling {
            self.weights.get_or_init(|| alias(weights, index));
        }
    }

    /// Why no epoch can be planned over this source, if none can.
    pub(crate) fn error(&self) -> Option<Error> {
        self.weights.get().and_then(|weights| weights.as_ref().err().cloned())
    }

    /// A hash of the weights of all samples, where the sampling has some and they are
    /// known.
    pub(crate) fn weights_hash(&self) -> Option<u64> {
        self.weights.get()?.as_ref().ok().map(Alias::weights_hash)
    }

    /// Whether the end of the walk must be known before epoch `number` begins.
    fn needs_the_end(&self, number: u64) -> bool {
        self.sampling != Sampling::Sequential
            || self.shard != Shard::WHOLE
            || self.begun(number).is_some()
    }

    fn begun(&self, number: u64) -> Option<&Begun> {
        self.begun.get().filter(|begun| begun.epoch == number)
    }

    /// Positions of a whole epoch of all ranks, padding not counted.
    pub(crate) fn positions(&self, samples: u64) -> u64 {
        match self.sampling {
            Sampling::Weighted { samples: Some(drawn), .. } if samples > 0 => drawn,
            _ => samples,
        }
    }

    /// Keys of a whole epoch over `samples` samples.
    pub(crate) fn length(&self, samples: u64) -> u64 {
        self.filled(self.shared(self.positions(samples)))
    }

    /// Keys of epoch `number`, of which a part may have been done.
    pub(crate) fn length_of(&self, number: u64, samples: u64) -> u64 {
        match self.begun(number) {
            None => self.length(samples),
            Some(Begun { positions, turns, batched_from, until, .. }) => {
                let of_all = self.shared(positions.count(self.positions(samples)));
                let batched = self.filled(of_all.saturating_sub(*batched_from));
                let left = (batched_from + batched).saturating_sub(turns.taken());
                let left = match self.last_batch {
                    LastBatch::Drop => left,
                    // Padding that came early, unordered, takes the place of nothing.
                    LastBatch::Keep | LastBatch::Pad => left.max(turns.count(of_all)),
                };
                until.map_or(left, |until| left.min(turns.count(until)))
            }
        }
    }

    /// Batches of epoch `number` of which no sample fails.
    pub(crate) fn batches_of(&self, number: u64, samples: u64) -> u64 {
        self.length_of(number, samples).div_ceil(self.size())
    }

    /// Batches of a whole epoch of which no sample fails.
    pub(crate) fn batches(&self, samples: u64) -> u64 {
        self.length(samples).div_ceil(self.size())
    }

    /// Turns of each rank when all of them take `positions`.
    pub(crate) fn shared(&self, positions: u64) -> u64 {
        let world = u64::from(self.shard.world);
        match self.uneven {
            Uneven::Drop => positions / world,
            Uneven::Pad => positions.div_ceil(world),
        }
    }

    /// Keys when so many turns are left.
    fn filled(&self, turns: u64) -> u64 {
        match self.last_batch {
            LastBatch::Keep => turns,
            LastBatch::Drop => turns / self.size() * self.size(),
            LastBatch::Pad => turns.div_ceil(self.size()) * self.size(),
        }
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
        let key = [self.seed, epoch, position, u64::from(attempt), purpose::SUBSTITUTE];
        let drawn = Draws::new(&key).below(others);
        match drawn >= failed && samples > 1 {
            true => drawn + 1,
            false => drawn,
        }
    }

    fn size(&self) -> u64 {
        self.batch_size as u64
    }
}

/// The weight of each sample, in a form to draw by.
fn alias(weights: &Weights, index: &Index) -> Result<Alias> {
    let refused =
        |reason: String| Error::config("sampling", format_args!("weighted:{weights}"), reason);
    let labels = index.labels();
    let each = match weights {
        Weights::Samples(each) if each.len() == labels.len() => each.to_vec(),
        Weights::Samples(_) => {
            return Err(refused(format!("the source has {} samples", labels.len())));
        }
        Weights::Balanced | Weights::Classes(_) => {
            if let Some(without) = labels.iter().position(Option::is_none) {
                let path = index.entry(without as u64).map(|entry| entry.path).unwrap_or_default();
                let reason = format!("{} has no class; weigh each sample", path.display());
                return Err(refused(reason));
            }
            let labels: Vec<usize> =
                labels.into_iter().flatten().map(|label| label as usize).collect();
            let classes = labels.iter().max().map_or(0, |&most| most + 1);
            let of_class = match weights {
                Weights::Classes(weights) if weights.len() < classes => {
                    return Err(refused(format!("the source has {classes} classes")));
                }
                Weights::Classes(weights) => weights.to_vec(),
                _ => {
                    let mut counts = vec![0.0; classes];
                    labels.iter().for_each(|&label| counts[label] += 1.0);
                    counts.into_iter().map(|count| 1.0 / count).collect()
                }
            };
            labels.into_iter().map(|label| of_class[label]).collect()
        }
    };
    if !each.is_empty() && each.iter().all(|&weight| weight == 0.0) {
        return Err(refused("every sample has the weight 0".to_owned()));
    }
    Ok(Alias::new(&each))
}

/// The order of one epoch on one rank.
pub(crate) struct EpochPlan<'a> {
    plan: &'a Plan,
    number: u64,
    listed: u64,
    /// Once the walk has ended.
    known: Option<Known<'a>>,
}

struct Known<'a> {
    picks: Picks<'a>,
    positions: u64,
    begun: Option<&'a Begun>,
    length: u64,
}

impl EpochPlan<'_> {
    /// The step at `key`. Never changes its answer as the walk goes on, but for
    /// [`Step::NotListed`].
    pub(crate) fn step(&self, key: u64) -> Step {
        if let Some(known) = &self.known {
            return known.step(self.plan.shard, key);
        }
        match self.wanted(key) <= self.listed {
            true => Step::Sample(Planned { index: key, position: key, padding: false }),
            false => Step::NotListed,
        }
    }

    /// Samples that must be listed before `key` can be answered.
    pub(crate) fn wanted(&self, key: u64) -> u64 {
        if self.plan.needs_the_end(self.number) {
            return u64::MAX;
        }
        let size = self.plan.size();
        match self.plan.last_batch {
            LastBatch::Keep | LastBatch::Pad => key + 1,
            // The samples of a batch that will not be delivered are not read,
            // so a batch is begun only when it is known to fill up.
            LastBatch::Drop => (key / size + 1) * size,
        }
    }
}

impl Known<'_> {
    fn step(&self, shard: Shard, key: u64) -> Step {
        if key >= self.length {
            return Step::End { length: self.length };
        }
        let turn = self.begun.map_or(key, |begun| begun.turns.at(key));
        let place = turn * u64::from(shard.world) + u64::from(shard.rank);
        let position = self.begun.map_or(place, |begun| begun.positions.at(place));
        let index = self.picks.at(position % self.positions);
        Step::Sample(Planned { index, position, padding: position >= self.positions })
    }
}

/// Which sample stands at a position of one epoch.
enum Picks<'a> {
    Sequential,
    Shuffle(Box<Shuffle>),
    Weighted { alias: &'a Alias, seed: u64, epoch: u64 },
}

impl<'a> Picks<'a> {
    /// `None` while weights are not known, or cannot be used.
    fn new(plan: &'a Plan, epoch: u64, samples: u64) -> Option<Self> {
        let seed = plan.seed;
        Some(match plan.sampling {
            Sampling::Sequential => Picks::Sequential,
            Sampling::Shuffle => Picks::Shuffle(Box::new(Shuffle::new(samples, seed, epoch))),
            Sampling::Weighted { .. } => {
                let alias = plan.weights.get()?.as_ref().ok()?;
                Picks::Weighted { alias, seed, epoch }
            }
        })
    }

    fn at(&self, position: u64) -> u64 {
        match self {
            Picks::Sequential => position,
            Picks::Shuffle(shuffle) => shuffle.at(position),
            Picks::Weighted { alias, seed, epoch } => alias.at(*seed, *epoch, position),
        }
    }
}
