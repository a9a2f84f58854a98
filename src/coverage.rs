//! How often each sample comes, counted over all ranks.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::{LastBatch, Resolved, Sampling, Uneven};
use crate::error::{Error, Result};
use crate::plan::{Plan, Planned, Step};
use crate::source::{Index, Source, indexed};

/// Samples that are named of those that never come, and of those that come
/// repeatedly.
const NAMED: usize = 10;

/// How often each sample of a source comes in epochs of all ranks
/// ([`LoaderBuilder::coverage`](crate::LoaderBuilder::coverage)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// Samples of the source.
    pub samples: u64,
    /// Ranks that share an epoch.
    pub world: u32,
    /// Epoch by epoch.
    pub epochs: Vec<EpochCoverage>,
    /// Samples that an epoch leaves out, by `uneven` and `last_batch`.
    pub left_out: u64,
    /// Whether samples are drawn with replacement, so that they come as often as
    /// they come.
    pub drawn: bool,
}

/// One epoch of a [`Coverage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EpochCoverage {
    /// Its number.
    pub epoch: u64,
    /// Batches of each rank.
    pub batches: Vec<u64>,
    /// Samples that come exactly once, padding not counted.
    pub once: u64,
    /// Samples that never come.
    pub never: u64,
    /// Samples that come more than once.
    pub repeatedly: u64,
    /// Rows that only fill up.
    pub padding: u64,
    /// The first few samples that never come.
    pub never_named: Vec<PathBuf>,
    /// The first few samples that come more than once.
    pub repeatedly_named: Vec<PathBuf>,
}

impl Coverage {
    /// Whether every sample comes exactly once in every epoch, but for those that
    /// `drop` leaves out, and every rank has as many batches. Of samples drawn with
    /// replacement only the batches are judged.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.epochs.iter().all(|epoch| {
            let equal = epoch.batches.windows(2).all(|pair| pair[0] == pair[1]);
            let once = epoch.repeatedly == 0 && epoch.never == self.left_out;
            equal && (once || self.drawn)
        })
    }

    /// Counts the epochs of ranks that are configured so.
    pub(crate) fn count(
        source: &dyn Source,
        ranks: &[Resolved],
        epochs: Range<u64>,
    ) -> Result<Self> {
        let (index, samples) = indexed(source, |_| ControlFlow::Continue(()))?;
        let plans: Vec<Plan> = ranks.iter().map(Plan::new).collect();
        for plan in &plans {
            plan.prepare(&index);
            if let Some(error) = plan.error() {
                return Err(error);
            }
        }
        let Some(Resolved { uneven, last_batch, batch_size, sampling, shard, .. }) = ranks.first()
        else {
            return Err(Error::config("world", 0, "expected at least 1 rank"));
        };
        let (world, size) = (u64::from(shard.world), *batch_size as u64);
        let each = match uneven {
            Uneven::Drop => samples / world,
            Uneven::Pad => samples.div_ceil(world),
        };
        let each = match last_batch {
            LastBatch::Keep => each,
            LastBatch::Drop => each / size * size,
            LastBatch::Pad => each.next_multiple_of(size),
        };
        Ok(Coverage {
            samples,
            world: shard.world,
            epochs: epochs.map(|epoch| of_epoch(&plans, epoch, &index)).collect(),
            left_out: samples.saturating_sub(each * world),
            drawn: matches!(sampling, Sampling::Weighted { .. }),
        })
    }
}

fn of_epoch(plans: &[Plan], number: u64, index: &Index) -> EpochCoverage {
    let progress = index.progress();
    let mut times = vec![0_u32; progress.listed as usize];
    let mut coverage = EpochCoverage { epoch: number, ..EpochCoverage::default() };
    for plan in plans {
        coverage.batches.push(plan.batches_of(number, progress.listed));
        let epoch = plan.epoch(number, progress);
        for key in 0.. {
            match epoch.step(key) {
                Step::Sample(Planned { padding: true, .. }) => coverage.padding += 1,
                Step::Sample(Planned { index, .. }) => times[index as usize] += 1,
                Step::NotListed | Step::End { .. } => break,
            }
        }
    }
    for (at, times) in times.into_iter().enumerate() {
        let (count, named) = match times {
            1 => {
                coverage.once += 1;
                continue;
            }
            0 => (&mut coverage.never, &mut coverage.never_named),
            _ => (&mut coverage.repeatedly, &mut coverage.repeatedly_named),
        };
        *count += 1;
        if named.len() < NAMED {
            named.extend(index.entry(at as u64).map(|entry| entry.path));
        }
    }
    coverage
}
