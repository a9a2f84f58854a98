//! How far the consumer has come in an epoch.

use std::sync::Arc;

use super::State;
use super::state::{VERSION, sampling_words};
use crate::batch::Sample;
use crate::config::{Order, Resolved, Shard};
use crate::digest::Digest;
use crate::plan::{Begun, Done, Plan, Remaining};
use crate::source::{Index, Print, Progress};

/// What is the same in every state of a loader.
#[derive(Debug)]
struct Unchanging {
    seed: u64,
    sampling: String,
    order: Order,
    batch_size: usize,
    shard: Shard,
}

/// Where the run stands after a batch.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    unchanging: Arc<Unchanging>,
    epoch: u64,
    positions: Remaining,
    turns: Remaining,
    batches: u64,
    failed: u64,
    ended: bool,
    pub(crate) digest: Digest,
    source: Print,
}

impl Standing {
    pub(crate) fn state(&self) -> State {
        let Unchanging { seed, ref sampling, order, batch_size, shard } = *self.unchanging;
        let consumed = self.turns.mark() - self.turns.missing().len() as u64;
        let begun = self.positions.mark() - self.positions.missing().len() as u64;
        State {
            version: VERSION,
            epoch: self.epoch,
            position: begun + consumed * u64::from(shard.world),
            batches: self.batches,
            failed: self.failed,
            ended: self.ended,
            seed,
            sampling: sampling.clone(),
            order,
            batch_size,
            shard,
            positions: self.positions.clone(),
            turns: self.turns.clone(),
            digest: self.digest,
            source: self.source,
        }
    }
}

/// Follows the consumer through epochs.
#[derive(Debug)]
pub(crate) struct Tracker {
    unchanging: Arc<Unchanging>,
    plan: Arc<Plan>,
    index: Arc<Index>,
    begun: Begun,
    /// Keys of this run of the epoch.
    done: Done,
    batches: u64,
    digest: Digest,
}

impl Tracker {
    pub(crate) fn new(config: &Resolved, plan: Arc<Plan>, index: Arc<Index>) -> Self {
        let unchanging = Arc::new(Unchanging {
            seed: config.seed,
            sampling: sampling_words(config),
            order: config.order,
            batch_size: config.batch_size,
            shard: config.shard,
        });
        let (begun, done, batches, digest) = Default::default();
        Tracker { unchanging, plan, index, begun, done, batches, digest }
    }

    /// Epoch `number` begins, or what is left of it.
    pub(crate) fn begin(&mut self, number: u64) {
        let begun = self.plan.begun.get().filter(|begun| begun.epoch == number);
        self.begun = begun.cloned().unwrap_or_else(|| Begun { epoch: number, ..Begun::default() });
        self.done = Done::default();
        self.batches = self.begun.batches;
        self.digest = self.begun.digest;
    }

    /// Batches of the epoch before this run of it.
    pub(crate) fn batches_before(&self) -> u64 {
        self.begun.batches
    }

    /// Samples of the epoch that failed before this run of it.
    pub(crate) fn failed_before(&self) -> u64 {
        self.begun.failed
    }

    /// Samples of a whole epoch here, once the walk has ended.
    pub(crate) fn whole_length(&self) -> Option<u64> {
        let Progress { listed, complete } = self.index.progress();
        complete.then(|| self.plan.length(listed))
    }

    /// Unordered, a sample has failed for good.
    pub(crate) fn failed(&mut self, key: u64) {
        if self.unchanging.order == Order::Unordered {
            self.done.add(key);
        }
    }

    /// The batch of this number in this run of the epoch has come, and so many
    /// samples have `failed` in it.
    pub(crate) fn batch(&mut self, number: u64, samples: &[Sample], failed: u64) -> Box<Standing> {
        let source = self.index.print();
        let length = source.complete.then(|| self.plan.length_of(self.begun.epoch, source.samples));
        match self.unchanging.order {
            Order::Ordered => {
                let end = (number + 1) * self.unchanging.batch_size as u64;
                self.done.up_to(length.map_or(end, |length| end.min(length)));
            }
            Order::Unordered => samples.iter().for_each(|sample| self.done.add(sample.key)),
        }
        self.batches += 1;
        for sample in samples.iter().filter(|sample| !sample.is_padding()) {
            self.digest.add(sample.path());
        }
        Box::new(Standing {
            unchanging: Arc::clone(&self.unchanging),
            epoch: self.begun.epoch,
            positions: self.begun.positions.clone(),
            turns: self.begun.turns.after(&self.done),
            batches: self.batches,
            failed: self.begun.failed + failed,
            ended: length.is_some_and(|length| self.done.count() >= length),
            digest: self.digest,
            source,
        })
    }
}
