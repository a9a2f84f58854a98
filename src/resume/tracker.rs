//! How far the consumer has come in an epoch.

use std::sync::Arc;

use super::State;
use crate::batch::Sample;
use crate::config::{Order, Resolved};
use crate::digest::Digest;
use crate::plan::{Begun, Done, Plan};
use crate::source::{Index, Progress};

/// Follows the consumer through epochs.
#[derive(Debug)]
pub(crate) struct Tracker {
    /// What every state of this loader has; the rest is of the epoch under way.
    state: State,
    plan: Arc<Plan>,
    index: Arc<Index>,
    begun: Begun,
    /// Keys of this run of the epoch.
    done: Done,
    digest: Digest,
}

impl Tracker {
    pub(crate) fn new(config: &Resolved, plan: Arc<Plan>, index: Arc<Index>) -> Self {
        let state = State::new(config);
        let (begun, done, digest) = Default::default();
        Tracker { state, plan, index, begun, done, digest }
    }

    /// Epoch `number` begins, or what is left of it.
    pub(crate) fn begin(&mut self, number: u64) {
        let begun = self.plan.begun.get().filter(|begun| begun.epoch == number);
        self.begun = begun.cloned().unwrap_or_else(|| Begun { epoch: number, ..Begun::default() });
        self.done = Done::default();
        self.digest = self.begun.digest;
    }

    /// Whether some of the epoch was delivered before this run of it.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun.positions.taken() + self.begun.turns.taken() > 0
    }

    /// What has been delivered of the epoch.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
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
        if self.state.order == Order::Unordered {
            self.done.add(key);
        }
    }

    /// The batch of this number in this run of the epoch has come, and so many
    /// samples have `failed` in it.
    pub(crate) fn batch(&mut self, number: u64, samples: &[Sample], failed: u64) -> Box<State> {
        let source = self.index.print();
        let length = source.complete.then(|| self.plan.length_of(self.begun.epoch, source.samples));
        match self.state.order {
            Order::Ordered => {
                let end = (number + 1) * self.state.batch_size as u64;
                self.done.up_to(length.map_or(end, |length| end.min(length)));
            }
            Order::Unordered => samples.iter().for_each(|sample| self.done.add(sample.key)),
        }
        for sample in samples.iter().filter(|sample| !sample.is_padding()) {
            self.digest.add(sample.path());
        }
        let (positions, turns) = (self.begun.positions.clone(), self.begun.turns.after(&self.done));
        let world = u64::from(self.state.shard.world);
        let order = if self.begun.unordered { Order::Unordered } else { self.state.order };
        Box::new(State {
            epoch: self.begun.epoch,
            position: positions.taken() + turns.taken() * world,
            batches: self.begun.batches + number + 1,
            failed: self.begun.failed.saturating_add(failed),
            batched_from: self.begun.batched_from,
            weights: self.plan.weights_hash().unwrap_or_default(),
            order,
            ended: length.is_some_and(|length| self.done.count() >= length),
            positions,
            turns,
            digest: self.digest,
            source,
            ..self.state.clone()
        })
    }
}
