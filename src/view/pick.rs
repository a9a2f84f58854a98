//! Which samples a sheet shows: by the plan that a loader would follow.

use std::collections::HashMap;

use super::Options;
use crate::config::{LastBatch, Resolved, Sampling, Shard};
use crate::error::{Error, Result};
use crate::plan::{Plan, Planned, Step};
use crate::source::Index;

/// A sample in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) epoch: u64,
    pub(super) index: u64,
    /// `None` where the epoch does not have it.
    pub(super) position: Option<u64>,
}

/// The samples, those of one side by side, and how many the first epoch has here.
pub(super) fn picks(
    config: &Resolved,
    index: &Index,
    options: &Options,
) -> Result<(Vec<Pick>, u64)> {
    let Options { epoch, from, count, repeat, .. } = *options;
    let plan = planned(config, index)?;
    let progress = index.progress();
    let keys = plan.length_of(epoch, progress.listed);
    if from >= keys {
        let reason = format!("the epoch has {keys} samples here, counted from 0");
        return Err(Error::config("from", from, reason));
    }
    let of_epoch = plan.epoch(epoch, progress);
    let first: Vec<Planned> = (from..from.saturating_add(count))
        .map_while(|key| match of_epoch.step(key) {
            Step::Sample(planned) => Some(planned),
            Step::NotListed | Step::End { .. } => None,
        })
        .collect();
    // Another rank may have it in the next epoch.
    let whole = Resolved { shard: Shard::WHOLE, last_batch: LastBatch::Keep, ..config.clone() };
    let whole = planned(&whole, index)?;
    let wanted: Vec<u64> = first.iter().map(|planned| planned.index).collect();
    let later: Vec<_> = (epoch + 1..epoch + repeat)
        .map(|epoch| (epoch, positions(&whole, index, epoch, &wanted)))
        .collect();
    let mut picks = Vec::new();
    for Planned { index, position, .. } in first {
        picks.push(Pick { epoch, index, position: Some(position) });
        picks.extend(later.iter().map(|(epoch, positions)| {
            let position = positions.get(&index).copied();
            Pick { epoch: *epoch, index, position }
        }));
    }
    Ok((picks, keys))
}

fn planned(config: &Resolved, index: &Index) -> Result<Plan> {
    let plan = Plan::new(config);
    plan.prepare(index);
    plan.error().map_or(Ok(plan), Err)
}

/// Where samples first come in an epoch.
fn positions(plan: &Plan, index: &Index, epoch: u64, wanted: &[u64]) -> HashMap<u64, u64> {
    if plan.sampling == Sampling::Sequential {
        return wanted.iter().map(|&index| (index, index)).collect();
    }
    let mut missing: std::collections::HashSet<u64> = wanted.iter().copied().collect();
    let (of_epoch, mut found) = (plan.epoch(epoch, index.progress()), HashMap::new());
    for key in 0.. {
        let Step::Sample(Planned { index, position, .. }) = of_epoch.step(key) else { break };
        if missing.remove(&index) {
            found.insert(index, position);
        }
        if missing.is_empty() {
            break;
        }
    }
    found
}
