//! What a run goes on from: texts that say that they are states.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Input;
use crate::Changed;
use crate::batch::Sample;
use crate::config::{
    Config, LastBatch, MOST_IN_A_BATCH, Order, Resolved, Sampling, Shard, Uneven, Weights,
};
use crate::plan::{Plan, Planned, Step};
use crate::resume::{Resume, State, Tracker, begun};
use crate::source::{Index, Listing};

/// Stands between the states of several ranks.
const BETWEEN: u8 = 0x1e;
/// Bytes of an input in front of the texts.
#[cfg(test)]
pub(super) const HEAD: usize = 6;
/// So many samples are looked at one by one.
const LOOKED_AT: usize = 1 << 12;

/// Goes on from whatever states are read. What is left are samples of the epoch, none twice;
/// a state that is taken on the way says the same of what is left then.
pub fn state(data: &[u8]) {
    let mut input = Input(data);
    let (bits, more) = (input.byte(), input.byte());
    let (samples, batch_size) = (input.below(48) as u64, 1 + input.below(9));
    let world = 1 + u32::from(bits & 3);
    let rank = u32::from(input.byte()) % world;
    let (taken, patched) = (input.byte(), more & 1 == 0);
    let sampling = match bits >> 2 & 3 {
        0 => Sampling::Sequential,
        1 | 2 => Sampling::Shuffle,
        _ => Sampling::Weighted { weights: Weights::Balanced, samples: Some(31) },
    };
    let config = Config {
        shard: Ok(Shard { rank, world }),
        order: [Order::Ordered, Order::Unordered][usize::from(bits >> 4 & 1)],
        uneven: [Uneven::Drop, Uneven::Pad][usize::from(bits >> 5 & 1)],
        last_batch: [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad, LastBatch::Keep]
            [usize::from(bits >> 6)],
        batch_size,
        sampling,
        ..Config::default()
    };
    let config = match config.resolve::<u8>() {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    };
    let index = index(samples);
    let plan = Plan::new(&config);
    plan.prepare(&index);
    if plan.error().is_some() {
        return;
    }
    let texts = input.rest().split(|byte| *byte == BETWEEN);
    let truth = truth(&config, &index);
    let states: Vec<State> = texts.filter_map(|text| parsed(text, patched, &truth)).collect();
    for state in &states {
        let text = serde_json::to_string(state).unwrap_or_default();
        let read = serde_json::from_str::<State>(&text).ok();
        assert_eq!(read.as_ref(), Some(state), "it is read as another than was written");
    }
    let changed = [None, Some(Changed::RestartEpoch), Some(Changed::NextEpoch)];
    let mut resume = Resume::from_all(states);
    if let Some(changed) = changed[usize::from(more >> 1) % 3] {
        resume = resume.allow_changed(changed);
    }
    let Ok(begun) = begun(&resume, &config, &plan, &index) else { return };
    let epoch = begun.epoch;
    plan.begun.get_or_init(|| begun);
    let keys = left(&plan, epoch, &index);
    go_on(&config, plan, &index, epoch, &keys, taken);
}

/// So many samples, of a few classes.
fn index(samples: u64) -> Arc<Index> {
    let index = Index::new(Arc::default());
    for sample in 0..samples {
        let (name, label) = (sample.to_string(), Some((sample % 3) as u32));
        assert!(Listing::new(&index).push(Path::new(&name), label).is_continue());
    }
    index.finish(Ok(()));
    index
}

/// What a state of this loader says of its run.
fn truth(config: &Resolved, index: &Arc<Index>) -> Value {
    let plan = Plan::new(config);
    plan.prepare(index);
    let mut tracker = Tracker::new(config, Arc::new(plan), Arc::clone(index));
    tracker.begin(0);
    serde_json::to_value(tracker.batch(0, &[], 0)).unwrap_or_default()
}

/// A text as a state; of this source and this order, if `patched`, since no one guesses a hash.
fn parsed(text: &[u8], patched: bool, truth: &Value) -> Option<State> {
    if !patched {
        return serde_json::from_slice(text).ok();
    }
    let mut value: Value = serde_json::from_slice(text).ok()?;
    for field in ["version", "seed", "sampling", "weights", "source"] {
        let to = value.as_object_mut()?.entry(field).or_insert(Value::Null);
        *to = truth[field].clone();
    }
    serde_json::from_value(value).ok()
}

/// What a rank has left, by its plan.
fn left(plan: &Plan, epoch: u64, index: &Index) -> Vec<Planned> {
    let progress = index.progress();
    let (length, samples) = (plan.length_of(epoch, progress.listed), progress.listed);
    let positions = plan.positions(samples);
    let most = positions + 2 * (MOST_IN_A_BATCH as u64 + 1);
    assert!(length <= most, "{length} samples are left of {positions}");
    let order = plan.epoch(epoch, progress);
    let (mut keys, mut seen) = (Vec::new(), BTreeSet::new());
    for key in 0..length.min(LOOKED_AT as u64) {
        let Step::Sample(planned) = order.step(key) else { panic!("key {key} of {length}") };
        assert!(planned.index < samples);
        assert_eq!(planned.padding, planned.position >= positions);
        if !planned.padding {
            assert!(seen.insert(planned.position), "position {} twice", planned.position);
        }
        keys.push(planned);
    }
    if !matches!(plan.sampling, Sampling::Weighted { .. }) {
        let real = keys.iter().filter(|planned| !planned.padding);
        let indices: BTreeSet<u64> = real.map(|planned| planned.index).collect();
        assert_eq!(indices.len(), seen.len(), "a sample twice");
    }
    assert_eq!(order.step(length), Step::End { length });
    keys
}

/// Takes a batch, and goes on from the state that comes with it.
fn go_on(
    config: &Resolved,
    plan: Plan,
    index: &Arc<Index>,
    epoch: u64,
    keys: &[Planned],
    taken: u8,
) {
    if keys.is_empty() || keys.len() == LOOKED_AT {
        return;
    }
    let size = config.batch_size.min(keys.len());
    // Unordered, any of those that are under way may come first.
    let (mut batch, mut rest): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for key in 0..keys.len() as u64 {
        let passed = config.order == Order::Unordered && taken >> (key % 8) & 1 == 1;
        match batch.len() < size && !passed {
            true => batch.push(key),
            false => rest.push(key),
        }
    }
    if batch.len() < size {
        return;
    }
    let sample = |key: &u64| {
        let Planned { index, position, padding } = keys[*key as usize];
        let path = index.to_string().into();
        let (label, target, replaces) = (None, Box::default(), None);
        Sample { path, index, position, label, target, padding, replaces, key: *key }
    };
    let samples: Vec<Sample> = batch.iter().map(sample).collect();
    let again = Plan::new(config);
    again.prepare(index);
    let mut tracker = Tracker::new(config, Arc::new(plan), Arc::clone(index));
    tracker.begin(epoch);
    let state = *tracker.batch(0, &samples, 0);
    let begun = match begun(&state.into(), config, &again, index) {
        Ok(begun) => begun,
        Err(error) => panic!("a state that was just taken is refused: {error}"),
    };
    let over = begun.epoch != epoch;
    again.begun.get_or_init(|| begun);
    if over {
        assert!(rest.is_empty(), "the epoch ended with {} samples left", rest.len());
        return;
    }
    let now: Vec<Planned> = left(&again, epoch, index);
    let expected: Vec<Planned> = rest.iter().map(|key| keys[*key as usize]).collect();
    assert_eq!(now, expected, "other samples are left than were");
}
