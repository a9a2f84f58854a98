//! The plan, exhaustively in the small: every world from 1 to 7, every batch size
//! from 1 to 65, every number of samples from 0 to 500.

use std::sync::Arc;

use super::*;
use crate::config::{LastBatch, Sampling, Shard, Uneven, Weights};
use crate::source::Index;

const WORLDS: u32 = 7;
const BATCHES: usize = 65;
const SAMPLES: u64 = 500;

fn plan(batch_size: usize, world: u32, rank: u32, uneven: Uneven) -> Plan {
    Plan {
        seed: 7,
        batch_size,
        last_batch: LastBatch::Keep,
        sampling: Sampling::Sequential,
        shard: Shard { rank, world },
        uneven,
        weights: OnceLock::new(),
        begun: OnceLock::new(),
    }
}

fn whole(listed: u64) -> Progress {
    Progress { listed, complete: true }
}

/// What a rank takes of an epoch.
fn taken(plan: &Plan, epoch: u64, samples: u64) -> Vec<Planned> {
    let epoch = plan.epoch(epoch, whole(samples));
    let steps = (0..).map_while(|key| match epoch.step(key) {
        Step::Sample(planned) => Some(planned),
        Step::NotListed => panic!("the walk has ended"),
        Step::End { length } => {
            assert_eq!(length, key);
            None
        }
    });
    steps.collect()
}

/// The epochs of all ranks.
fn ranks(batch_size: usize, world: u32, uneven: Uneven) -> Vec<Plan> {
    (0..world).map(|rank| plan(batch_size, world, rank, uneven)).collect()
}

/// Every rank has as many batches, and together they take every position once;
/// what more there is says that it is padding, and what there is less is less
/// than one a rank.
#[test]
fn ranks_share_every_epoch_exactly() {
    for world in 1..=WORLDS {
        for uneven in [Uneven::Drop, Uneven::Pad] {
            let mut ranks = ranks(1, world, uneven);
            for samples in 0..=SAMPLES {
                let all: Vec<Vec<Planned>> =
                    ranks.iter().map(|plan| taken(plan, 3, samples)).collect();
                let mut seen = vec![0_u32; samples as usize];
                for planned in all.iter().flatten() {
                    assert_eq!(planned.padding, planned.position >= samples);
                    assert_eq!(planned.index, planned.position % samples);
                    if !planned.padding {
                        seen[planned.position as usize] += 1;
                    }
                }
                assert!(seen.iter().all(|&times| times <= 1));
                let missing = seen.iter().filter(|&&times| times == 0).count();
                let padding = all.iter().flatten().filter(|planned| planned.padding).count();
                match uneven {
                    Uneven::Pad => assert!(missing == 0 && padding < world as usize),
                    Uneven::Drop => assert!(padding == 0 && missing < world as usize),
                }
                for (rank, own) in all.iter().enumerate() {
                    let expected = (rank as u64..).step_by(world as usize);
                    assert!(own.iter().map(|p| p.position).eq(expected.take(own.len())));
                }
                // How many batches there are does not depend on the rank.
                for batch_size in 1..=BATCHES {
                    for last in [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad] {
                        ranks.iter_mut().for_each(|plan| {
                            plan.batch_size = batch_size;
                            plan.last_batch = last;
                        });
                        let batches = ranks[0].batches(samples);
                        let (length, size) = (all[0].len() as u64, batch_size as u64);
                        assert_eq!(
                            batches,
                            match last {
                                LastBatch::Drop => length / size,
                                _ => length.div_ceil(size),
                            }
                        );
                        assert!(ranks.iter().all(|plan| plan.batches(samples) == batches));
                    }
                }
                ranks.iter_mut().for_each(|plan| {
                    (plan.batch_size, plan.last_batch) = (1, LastBatch::Keep);
                });
            }
        }
    }
}

/// An empty rank is an epoch of no batches, and not of an endless one.
#[test]
fn fewer_samples_than_ranks() {
    for samples in 0..5 {
        for rank in 0..5 {
            let dropped = taken(&plan(4, 5, rank, Uneven::Drop), 0, samples);
            assert!(dropped.is_empty());
            let padded = taken(&plan(4, 5, rank, Uneven::Pad), 0, samples);
            assert_eq!(padded.len(), usize::from(samples > 0));
            assert!(padded.iter().all(|p| p.padding == (u64::from(rank) >= samples)));
        }
    }
}

/// What the last batch does to the length, and that padding goes on from the
/// epoch's beginning.
#[test]
fn last_batches() {
    for samples in 0..60 {
        for batch_size in 1..12 {
            let of = |last| {
                let plan = Plan { last_batch: last, ..plan(batch_size, 1, 0, Uneven::Pad) };
                taken(&plan, 0, samples)
            };
            let keep = of(LastBatch::Keep);
            assert!(keep.iter().map(|p| p.index).eq(0..samples));
            let drop = of(LastBatch::Drop);
            assert_eq!(drop, keep[..drop.len()]);
            assert!(drop.len() % batch_size == 0 && keep.len() - drop.len() < batch_size);
            let pad = of(LastBatch::Pad);
            assert_eq!(pad[..keep.len()], keep);
            assert!(pad.len() % batch_size == 0 && pad.len() - keep.len() < batch_size);
            for padding in &pad[keep.len()..] {
                assert!(padding.padding && padding.index == padding.position % samples);
            }
        }
    }
}

/// The order of a shuffled epoch is a permutation, another in each epoch, and the
/// same for all ranks.
#[test]
fn shuffled_epochs_differ() {
    let shuffled = |world, rank| {
        let mut plan = plan(4, world, rank, Uneven::Drop);
        plan.sampling = Sampling::Shuffle;
        plan
    };
    let indices = |plan: &Plan, epoch, samples| -> Vec<u64> {
        taken(plan, epoch, samples).iter().map(|planned| planned.index).collect()
    };
    for samples in 0..=SAMPLES {
        let epochs: Vec<Vec<u64>> =
            (0..4).map(|epoch| indices(&shuffled(1, 0), epoch, samples)).collect();
        for (epoch, order) in epochs.iter().enumerate() {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..samples));
            let differs = |other: &Vec<u64>| other != order;
            assert!(samples < 20 || epochs[..epoch].iter().all(differs), "{samples}");
        }
        let world = 1 + (samples % 7) as u32;
        for rank in 0..world {
            let own = indices(&shuffled(world, rank), 1, samples);
            let expected = epochs[1].iter().skip(rank as usize).step_by(world as usize);
            let expected: Vec<u64> = expected.copied().take(own.len()).collect();
            assert_eq!(own, expected);
        }
    }
}

/// Stopped after any number of batches, an epoch goes on as if it had not been:
/// the same samples in the same places, whether by the same batch or another.
#[test]
fn resumed_at_every_batch() {
    for world in 1..=WORLDS {
        for uneven in [Uneven::Drop, Uneven::Pad] {
            for rank in [0, world - 1] {
                // Other batch sizes stop at some of the places at which 1 does.
                for samples in (0..=SAMPLES).step_by(if world == 1 { 1 } else { 3 }) {
                    let uninterrupted = taken(&plan(1, world, rank, uneven), 0, samples);
                    for stop in 0..=uninterrupted.len() {
                        let resumed = plan(5, world, rank, uneven);
                        let turns = Remaining::new(stop as u64, Vec::new());
                        resumed.begun.get_or_init(|| Begun { turns, ..Begun::default() });
                        let length = resumed.length_of(0, samples) as usize;
                        assert_eq!(length, uninterrupted.len() - stop);
                        let epoch = resumed.epoch(0, whole(samples));
                        for (key, planned) in uninterrupted[stop..].iter().enumerate() {
                            assert_eq!(epoch.step(key as u64), Step::Sample(*planned));
                        }
                        // Other epochs are whole.
                        assert_eq!(resumed.length_of(1, samples), resumed.length(samples));
                    }
                }
            }
        }
    }
}

/// Batches of one size up to a stop, of any other from there on: the turns that are
/// left, cut off or filled up by the new size.
#[test]
fn resumed_with_every_batch_size() {
    let lasts = [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad];
    for samples in [0, 1, 65, 66, 200, SAMPLES] {
        let turns = taken(&plan(1, 1, 0, Uneven::Pad), 0, samples);
        for before in 1..=BATCHES {
            for stop in (0..=turns.len()).step_by(before) {
                let left = &turns[stop..];
                for (after, last) in (1..=BATCHES).flat_map(|after| lasts.map(|last| (after, last)))
                {
                    let resumed = Plan { last_batch: last, ..plan(after, 1, 0, Uneven::Pad) };
                    let stood = Remaining::new(stop as u64, Vec::new());
                    let batched_from = if after == before { 0 } else { stop as u64 };
                    resumed.begun.get_or_init(|| Begun {
                        turns: stood,
                        batched_from,
                        ..Begun::default()
                    });
                    let length = resumed.length_of(0, samples) as usize;
                    let expected = match last {
                        LastBatch::Keep => left.len(),
                        LastBatch::Drop => left.len() - left.len() % after,
                        LastBatch::Pad => left.len().next_multiple_of(after),
                    };
                    assert_eq!(length, expected);
                    if [1, before, 64].contains(&after) {
                        let again = taken(&resumed, 0, samples);
                        let same = length.min(left.len());
                        assert_eq!(again[..same], left[..same]);
                        assert!(again[same..].iter().all(|planned| planned.padding));
                    }
                }
            }
        }
    }
}

#[test]
fn an_answer_given_during_the_walk_stands() {
    for last in [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad] {
        let plan = Plan { last_batch: last, ..plan(4, 1, 0, Uneven::Pad) };
        for samples in 1..30 {
            let end = plan.epoch(0, whole(samples));
            for listed in 0..=samples {
                let early = plan.epoch(0, Progress { listed, complete: false });
                for key in 0..40 {
                    match early.step(key) {
                        Step::NotListed => assert!(early.wanted(key) > listed),
                        step => assert_eq!(step, end.step(key)),
                    }
                }
            }
        }
    }
}

/// Whatever needs all samples waits for them.
#[test]
fn nothing_is_told_early_that_could_change() {
    let walking = Progress { listed: 30, complete: false };
    let shuffled = Plan { sampling: Sampling::Shuffle, ..plan(4, 1, 0, Uneven::Pad) };
    let begun = plan(4, 1, 0, Uneven::Pad);
    begun.begun.get_or_init(|| Begun { epoch: 2, ..Begun::default() });
    for (plan, epoch) in [(&shuffled, 0), (&plan(4, 2, 0, Uneven::Drop), 0), (&begun, 2)] {
        let epoch = plan.epoch(epoch, walking);
        assert_eq!((epoch.step(0), epoch.wanted(0)), (Step::NotListed, u64::MAX));
    }
    assert!(matches!(begun.epoch(1, walking).step(0), Step::Sample(_)));
}

#[test]
fn a_substitute_is_another_sample_and_always_the_same() {
    let plan = plan(4, 1, 0, Uneven::Pad);
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
    let plan = plan(4, 1, 0, Uneven::Pad);
    let mut counts = [0_u32; 10];
    for position in 0..9_000 {
        counts[plan.substitute(0, position, 0, 4, 10) as usize] += 1;
    }
    assert_eq!(counts[4], 0);
    // 1,000 expected each, with a standard deviation of about 30.
    assert!(counts.iter().enumerate().all(|(i, &n)| i == 4 || (850..1150).contains(&n)));
}

/// Of no samples none is drawn; of any, as many as are wanted.
#[test]
fn as_many_are_drawn_as_are_wanted() {
    let weights = Weights::classes([1.0, 2.0]);
    let weighted = |samples| Sampling::Weighted { weights: weights.clone(), samples };
    let drawn = Plan { sampling: weighted(Some(5)), ..plan(2, 1, 0, Uneven::Pad) };
    assert_eq!([0, 1, 5, 9].map(|samples| drawn.positions(samples)), [0, 5, 5, 5]);
    let all = Plan { sampling: weighted(None), ..plan(2, 1, 0, Uneven::Pad) };
    assert_eq!([0, 1, 5, 9].map(|samples| all.positions(samples)), [0, 1, 5, 9]);
}

#[test]
fn batches_of_an_epoch_are_counted() {
    let begun = plan(4, 1, 0, Uneven::Pad);
    let turns = Remaining::new(3, Vec::new());
    begun.begun.get_or_init(|| Begun { epoch: 2, turns, batched_from: 3, ..Begun::default() });
    for samples in 3..20 {
        let batches = |samples: u64| samples.div_ceil(4);
        assert_eq!(begun.batches(samples), batches(samples));
        assert_eq!(begun.batches_of(1, samples), batches(samples));
        assert_eq!(begun.batches_of(2, samples), batches(samples - 3));
    }
}

/// A batch that may not fill up is begun when all of it is listed, and else each sample
/// when it is.
#[test]
fn no_more_is_wanted_than_is_needed() {
    let wanted = |last_batch, sampling: Sampling| {
        let plan = Plan { last_batch, sampling, ..plan(4, 1, 0, Uneven::Pad) };
        let progress = Progress { listed: 0, complete: false };
        let epoch = plan.epoch(0, progress);
        [0, 1, 3, 4, 7, 8].map(|key| epoch.wanted(key))
    };
    for last_batch in [LastBatch::Keep, LastBatch::Pad] {
        assert_eq!(wanted(last_batch, Sampling::Sequential), [1, 2, 4, 5, 8, 9]);
    }
    assert_eq!(wanted(LastBatch::Drop, Sampling::Sequential), [4, 4, 4, 8, 8, 12]);
    assert_eq!(wanted(LastBatch::Keep, Sampling::Shuffle), [u64::MAX; 6]);
}

/// An index of samples of these classes.
fn classes(labels: &[Option<u32>]) -> Arc<Index> {
    Index::of((0..).map(|number: u64| number.to_string()).zip(labels.iter().copied()))
}

/// Classes are weighed as their samples are: by their weight, or so that each class comes
/// as often as another.
#[test]
fn weights_of_classes_are_weights_of_samples() {
    let index = classes(&[0, 2, 0, 0, 2].map(Some));
    let hash = |weights: Weights| alias(&weights, &index).map(|alias| alias.weights_hash());
    let third = 1.0 / 3.0;
    let balanced = Weights::samples(vec![third, 0.5, third, third, 0.5]);
    assert_eq!(hash(Weights::Balanced).unwrap(), hash(balanced).unwrap());
    let each = Weights::samples(vec![4.0, 0.5, 4.0, 4.0, 0.5]);
    // Of a class without samples, and of more than there are.
    for weights in [vec![4.0, 9.0, 0.5], vec![4.0, 9.0, 0.5, 1.0]] {
        assert_eq!(hash(Weights::classes(weights)).unwrap(), hash(each.clone()).unwrap());
    }
    let told = |weights| hash(weights).unwrap_err().to_string();
    assert!(told(Weights::classes([4.0, 9.0])).contains("the source has 3 classes"));
    assert!(told(Weights::classes([0.0, 9.0, 0.0])).contains("every sample has the weight 0"));
    assert!(told(Weights::samples(vec![1.0; 4])).contains("the source has 5 samples"));
    // One of them is enough.
    assert!(hash(Weights::classes([0.0, 0.0, 1.0])).is_ok());
    let partly = classes(&[Some(0), None]);
    let told = alias(&Weights::Balanced, &partly).err().unwrap().to_string();
    assert!(told.contains("1 has no class"), "{told}");
    // Of no samples there is nothing to complain of.
    assert!(alias(&Weights::Balanced, &classes(&[])).is_ok());
}

#[test]
fn weights_that_do_not_fit_are_an_error_of_the_plan() {
    let index = classes(&[Some(0), Some(1)]);
    for (weights, fits) in [(vec![1.0, 2.0], true), (vec![1.0], false)] {
        let weights = Weights::classes(weights);
        let sampling = Sampling::Weighted { weights: weights.clone(), samples: None };
        let plan = Plan { sampling, ..plan(1, 1, 0, Uneven::Pad) };
        assert!(plan.error().is_none() && plan.weights_hash().is_none());
        plan.prepare(&index);
        assert_eq!(plan.error().is_none(), fits);
        let hash = alias(&weights, &index).ok().map(|alias| alias.weights_hash());
        assert_eq!(plan.weights_hash(), hash);
        assert_eq!(hash.is_some(), fits);
    }
}
