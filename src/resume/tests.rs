//! Runs that stop and go on with other ranks, against a plain list of what is
//! left.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, LastBatch, Order, Resolved, Shard, Uneven};
use crate::digest::Digest;
use crate::plan::{Begun, Done, Plan, Planned, Step};
use crate::source::{Index, Print};

pub(super) fn index(names: impl IntoIterator<Item = String>) -> Arc<Index> {
    Index::of(names.into_iter().map(|name| (name, None)))
}

pub(super) fn numbered(samples: u64) -> Arc<Index> {
    index((0..samples).map(|sample| sample.to_string()))
}

pub(super) fn config(shard: Shard, order: Order, uneven: Uneven) -> Resolved {
    let config = Config { order, uneven, shard: Ok(shard), ..Config::default() };
    config.resolve::<u8>().unwrap()
}

/// The state of a rank that has done so much of what it had left.
fn state(config: &Resolved, begun: &Begun, done: &Done, ended: bool, source: Print) -> State {
    State {
        epoch: begun.epoch,
        batches: begun.batches + 1,
        ended,
        positions: begun.positions.clone(),
        turns: begun.turns.after(done),
        source,
        ..State::new(config)
    }
}

/// What a rank has left, by its plan.
fn left(plan: &Plan, epoch: u64, index: &Index) -> Vec<Planned> {
    let epoch = plan.epoch(epoch, index.progress());
    let steps = (0..).map_while(|key| match epoch.step(key) {
        Step::Sample(planned) => Some(planned),
        _ => None,
    });
    steps.collect()
}

/// One run between two stops.
#[derive(Clone, Debug)]
struct Phase {
    world: u32,
    /// What of its keys each rank does: `true` for those that are done.
    done: Vec<Vec<bool>>,
    /// Ordered, so many by every rank.
    together: Option<usize>,
}

fn phase() -> impl Strategy<Value = Phase> {
    let done = proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..40), 7);
    (1_u32..=7, done, proptest::option::of(0_usize..12)).prop_map(|(world, done, together)| Phase {
        world,
        done,
        together,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    /// However often the ranks stop, wherever each of them stands, and however many
    /// go on: what they have left together is exactly what none has done.
    #[test]
    fn nothing_is_lost_and_nothing_repeated(
        samples in 0_u64..120, phases in proptest::collection::vec(phase(), 1..5),
        unordered in any::<bool>(), drop in any::<bool>(),
    ) {
        let order = if unordered { Order::Unordered } else { Order::Ordered };
        let uneven = if drop { Uneven::Drop } else { Uneven::Pad };
        let index = numbered(samples);
        let mut expected: Vec<u64> = (0..samples).collect();
        let mut states: Vec<State> = Vec::new();
        for phase in phases {
            let mut taken = Vec::new();
            let mut next = Vec::new();
            let mut lengths = Vec::new();
            for rank in 0..phase.world {
                let config = config(Shard { rank, world: phase.world }, order, uneven);
                let plan = Plan::new(&config);
                if !states.is_empty() {
                    let resume = Resume::from_all(states.clone());
                    let begun = begun(&resume, &config, &plan, &index).unwrap();
                    plan.begun.get_or_init(|| begun);
                }
                let begun = plan.begun.get().cloned().unwrap_or_default();
                let keys = left(&plan, begun.epoch, &index);
                prop_assert!(keys.is_sorted_by_key(|planned| planned.position));
                lengths.push(keys.len());
                let mut done = Done::default();
                for (key, planned) in keys.iter().enumerate() {
                    let does = match (phase.together, unordered) {
                        (Some(count), false) => key < count,
                        (_, false) => phase.done[rank as usize].len() > key,
                        (_, true) => phase.done[rank as usize].get(key) == Some(&true),
                    };
                    if does {
                        done.add(key as u64);
                        taken.push(*planned);
                    }
                }
                next.push(state(&config, &begun, &done, false, index.print()));
                let mine = keys.iter().filter(|planned| !planned.padding);
                prop_assert!(mine.clone().all(|p| expected.contains(&p.position)));
            }
            // Who goes on with as many ranks goes on where each stood.
            let same = states.first().is_some_and(|state| state.shard.world == phase.world);
            if !same {
                prop_assert!(lengths.iter().all(|length| *length == lengths[0]));
            }
            let before = expected.len();
            let mut positions: Vec<u64> =
                taken.iter().filter(|p| !p.padding).map(|p| p.position).collect();
            expected.retain(|position| !positions.contains(position));
            positions.sort_unstable();
            let repeated = positions.windows(2).any(|pair| pair[0] == pair[1]);
            prop_assert!(!repeated);
            prop_assert_eq!(expected.len(), before - positions.len());
            states = next;
        }
        // One process takes the rest.
        let config = config(Shard::WHOLE, order, uneven);
        let plan = Plan::new(&config);
        let begun = begun(&Resume::from_all(states), &config, &plan, &index).unwrap();
        let epoch = begun.epoch;
        plan.begun.get_or_init(|| begun);
        let rest = left(&plan, epoch, &index);
        prop_assert!(rest.iter().map(|planned| planned.position).eq(expected));
    }

    /// Where all stood at the same batch, one state says as much as all.
    #[test]
    fn one_state_is_enough_for_ranks_in_step(
        samples in 0_u64..200, world in 1_u32..=7, other in 1_u32..=7, count in 0_u64..60,
        rank in 0_u32..7,
    ) {
        let index = numbered(samples);
        let states: Vec<State> = (0..world)
            .map(|rank| {
                let config = config(Shard { rank, world }, Order::Ordered, Uneven::Pad);
                let mut done = Done::default();
                let length = Plan::new(&config).length(samples);
                done.up_to(count.min(length));
                state(&config, &Begun::default(), &done, false, index.print())
            })
            .collect();
        let config = config(Shard { rank: 0, world: other }, Order::Ordered, Uneven::Pad);
        let plan = Plan::new(&config);
        let one = states[(rank % world) as usize].clone();
        let by_one = begun(&one.into(), &config, &plan, &index).unwrap();
        let by_all = begun(&Resume::from_all(states), &config, &plan, &index).unwrap();
        let rest = |begun: Begun| {
            let plan = Plan::new(&config);
            plan.begun.get_or_init(|| begun);
            left(&plan, 0, &index)
        };
        prop_assert_eq!(rest(by_one), rest(by_all));
    }
}

/// Every number of ranks, stopped after every turn, goes on as every other: what was
/// not taken comes once, in order, whether by the state of one rank or of all.
#[test]
fn every_world_goes_on_as_every_other() {
    for samples in (0..=500).step_by(23) {
        let index = numbered(samples);
        for world in 1..=7 {
            let ranks: Vec<Resolved> = (0..world)
                .map(|rank| config(Shard { rank, world }, Order::Ordered, Uneven::Pad))
                .collect();
            let length = Plan::new(&ranks[0]).length(samples);
            for stop in 0..=length {
                let states: Vec<State> =
                    ranks.iter().map(|rank| stood(rank, stop, false, &index)).collect();
                let taken = (stop * u64::from(world)).min(samples);
                for other in 1..=7 {
                    let resumes = [
                        Resume::from_all(states.clone()),
                        states[stop as usize % states.len()].clone().into(),
                    ];
                    for resume in resumes {
                        let mut seen = vec![0_u8; samples as usize];
                        for rank in 0..other {
                            let shard = Shard { rank, world: other };
                            let config = config(shard, Order::Ordered, Uneven::Pad);
                            let plan = Plan::new(&config);
                            let begun = begun(&resume, &config, &plan, &index).unwrap();
                            plan.begun.get_or_init(|| begun);
                            let own = left(&plan, 0, &index);
                            assert!(own.is_sorted_by_key(|planned| planned.position));
                            for planned in own.iter().filter(|planned| !planned.padding) {
                                seen[planned.position as usize] += 1;
                            }
                        }
                        let (before, after) = seen.split_at(taken as usize);
                        assert!(before.iter().all(|&times| times == 0));
                        assert!(after.iter().all(|&times| times == 1));
                    }
                }
            }
        }
    }
}

/// Where one rank stands says where the others do only if all went in step, from the
/// epoch's beginning.
#[test]
fn one_state_is_not_enough_after_an_unordered_part() {
    let index = numbered(40);
    let rank = |rank, world, order| config(Shard { rank, world }, order, Uneven::Pad);
    let unordered = rank(0, 2, Order::Unordered);
    let mut done = Done::default();
    [0, 1, 4].into_iter().for_each(|turn| done.add(turn));
    let saved = state(&unordered, &Begun::default(), &done, false, index.print());
    let ordered = Resolved { batch_size: 2, ..rank(0, 2, Order::Ordered) };
    let plan = Arc::new(Plan::new(&ordered));
    plan.begun.get_or_init(|| {
        begun(&saved.clone().into(), &ordered, &Plan::new(&ordered), &index).unwrap()
    });
    let mut tracker = Tracker::new(&ordered, Arc::clone(&plan), Arc::clone(&index));
    tracker.begin(0);
    let after = *tracker.batch(0, &[], 0);
    let told = refusal(after.clone(), &rank(0, 1, Order::Ordered), &index);
    assert!(told.contains("the states of all 2"), "{told}");
    let told = refusal(after, &rank(1, 2, Order::Ordered), &index);
    assert!(told.contains("no state of rank 1"), "{told}");
}

/// Unordered, what failed is no part of a batch, and the epoch is no longer for it.
#[test]
fn failed_samples_do_not_lengthen_an_epoch() {
    let index = numbered(10);
    for (last_batch, whole) in [(LastBatch::Drop, 8), (LastBatch::Pad, 12), (LastBatch::Keep, 10)] {
        let config = config(Shard::WHOLE, Order::Unordered, Uneven::Pad);
        let config = Resolved { last_batch, batch_size: 4, ..config };
        // A batch has come, and one sample has failed.
        let mut done = Done::default();
        done.up_to(5);
        let saved = state(&config, &Begun::default(), &done, false, index.print());
        let plan = Plan::new(&config);
        let begun = begun(&saved.into(), &config, &plan, &index).unwrap();
        plan.begun.get_or_init(|| begun);
        assert_eq!(left(&plan, 0, &index).len(), whole - 5, "{last_batch}");
    }
}

/// What fills up the last batch may come before what is slow: then the epoch ends by the
/// batches that it began with, lest ranks have unequally many.
#[test]
fn early_padding_keeps_the_size_of_a_batch() {
    let index = numbered(10);
    let config = config(Shard::WHOLE, Order::Unordered, Uneven::Pad);
    let config = Resolved { last_batch: LastBatch::Pad, batch_size: 4, ..config };
    let mut done = Done::default();
    (4..12).for_each(|turn| done.add(turn));
    let saved = state(&config, &Begun::default(), &done, false, index.print());
    let plan = Plan::new(&config);
    let begun = begun(&saved.clone().into(), &config, &plan, &index).unwrap();
    plan.begun.get_or_init(|| begun);
    let positions = left(&plan, 0, &index).iter().map(|p| p.position).collect::<Vec<_>>();
    assert_eq!(positions, [0, 1, 2, 3]);
    for last_batch in [LastBatch::Pad, LastBatch::Keep] {
        let other = Resolved { batch_size: 3, last_batch, ..config.clone() };
        let told = refusal(saved.clone(), &other, &index);
        assert!(told.contains("in batches of 4"), "{told}");
    }
    // Of other ranks than before, each takes its part of what has not come.
    let one = Resolved { shard: Shard { rank: 0, world: 2 }, batch_size: 3, ..config };
    let plan = Plan::new(&one);
    assert!(super::begun(&Resume::from_all([saved]), &one, &plan, &index).is_ok());
}

/// Padding fills up ranks and batches; where what is done is no more than the samples,
/// none has come.
#[test]
fn without_early_padding_the_size_of_a_batch_may_change() {
    let index = numbered(10);
    let config = config(Shard::WHOLE, Order::Unordered, Uneven::Pad);
    let config = Resolved { batch_size: 5, ..config };
    let saved = stood(&config, 10, false, &index);
    let other = Resolved { batch_size: 3, ..config };
    let plan = Plan::new(&other);
    assert!(super::begun(&saved.into(), &other, &plan, &index).is_ok());
}

/// A run that ended with the epoch's last sample tells of it what it had told.
#[test]
fn an_epoch_that_has_ended_is_told_as_it_was() {
    let index = numbered(20);
    let of = |rank| config(Shard { rank, world: 2 }, Order::Ordered, Uneven::Pad);
    let ended = |rank| State { failed: 3 + u64::from(rank), ..stood(&of(rank), 10, true, &index) };
    let states = Resume::from_all([ended(0), ended(1)]);
    for rank in 0..2 {
        let plan = Plan::new(&of(rank));
        let again = begun(&states, &of(rank), &plan, &index).unwrap();
        assert_eq!((again.epoch, again.batches), (0, 1));
        assert_eq!(again.failed, 3 + u64::from(rank));
        plan.begun.get_or_init(|| again);
        assert_eq!(left(&plan, 0, &index), []);
        assert_eq!(left(&plan, 1, &index).len(), 10);
    }
    // The first of others tells of all.
    let mut digest = Digest::default();
    digest.add(Path::new("0"));
    let both = [0, 1].map(|rank| State { digest, ..ended(rank) });
    for rank in 0..3 {
        let other = config(Shard { rank, world: 3 }, Order::Ordered, Uneven::Pad);
        let plan = Plan::new(&other);
        let again = begun(&Resume::from_all(both.clone()), &other, &plan, &index).unwrap();
        assert_eq!(again.digest.samples(), if rank == 0 { 2 } else { 0 });
    }
}

/// What others have delivered of an epoch is told once: by the first of the ranks that
/// go on, and of those that had begun it.
#[test]
fn the_first_of_other_ranks_tells_what_was_delivered() {
    let index = numbered(40);
    let of = |rank, world| config(Shard { rank, world }, Order::Ordered, Uneven::Pad);
    let digest = |names: [&str; 2]| {
        let mut digest = Digest::default();
        names.iter().for_each(|name| digest.add(Path::new(name)));
        digest
    };
    let in_epoch = |rank, epoch, ended, names| State {
        epoch,
        digest: digest(names),
        ..stood(&of(rank, 2), if ended { 20 } else { 2 }, ended, &index)
    };
    let (first, second) = (["0", "2"], ["1", "3"]);
    // The other stands in the same epoch, or has just ended the one before.
    let beside = in_epoch(1, 5, false, second);
    let before = in_epoch(1, 4, true, second);
    let both = [digest(first), digest(second)];
    for (other, told, samples) in [(beside, &both[..], 36), (before, &both[..1], 38)] {
        let states = Resume::from_all([in_epoch(0, 5, false, first), other]);
        for rank in 0..3 {
            let plan = Plan::new(&of(rank, 3));
            let begun = begun(&states, &of(rank, 3), &plan, &index).unwrap();
            assert_eq!(begun.epoch, 5);
            assert_eq!(begun.positions.count(40), samples);
            let told =
                if rank == 0 { Digest::combined(told.iter().copied()) } else { <_>::default() };
            assert_eq!(begun.digest, told);
        }
    }
    // By the state of one rank, where all stood at the same batch, nobody knows.
    let one = Resume::from(in_epoch(0, 5, false, first));
    let plan = Plan::new(&of(0, 3));
    let begun = begun(&one, &of(0, 3), &plan, &index).unwrap();
    assert_eq!((begun.epoch, begun.digest), (5, Digest::default()));
    assert_eq!(begun.positions.count(40), 36);
}

pub(super) fn refusal(resume: impl Into<Resume>, config: &Resolved, index: &Index) -> String {
    let error = begun(&resume.into(), config, &Plan::new(config), index).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Resume);
    error.to_string()
}

/// A state of an ordered run in which so many samples were done.
pub(super) fn stood(config: &Resolved, count: u64, ended: bool, index: &Index) -> State {
    let mut done = Done::default();
    done.up_to(count);
    state(config, &Begun::default(), &done, ended, index.print())
}

/// Some ranks have ended an epoch that others have not, or not yet begun the next.
#[test]
fn around_the_end_of_an_epoch() {
    let index = numbered(12);
    let rank = |rank, world| config(Shard { rank, world }, Order::Ordered, Uneven::Pad);
    let at = |number, epoch, count, ended| State {
        epoch,
        ..stood(&rank(number, 2), count, ended, &index)
    };
    let goes_on = |states: [State; 2], config: &Resolved| {
        let plan = Plan::new(config);
        let begun = begun(&Resume::from_all(states), config, &plan, &index)?;
        let epoch = begun.epoch;
        plan.begun.get_or_init(|| begun);
        let positions = left(&plan, epoch, &index).iter().map(|p| p.position).collect::<Vec<_>>();
        Ok::<_, crate::Error>((epoch, positions))
    };
    let whole = rank(0, 1);
    let both = goes_on([at(0, 4, 6, true), at(1, 4, 6, true)], &whole).unwrap();
    assert_eq!(both, (4, Vec::new()));
    let one = goes_on([at(0, 4, 6, true), at(1, 4, 4, false)], &whole).unwrap();
    assert_eq!(one, (4, vec![9, 11]));
    let next = goes_on([at(0, 5, 2, false), at(1, 4, 6, true)], &whole).unwrap();
    assert_eq!(next, (5, vec![1, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    let own = goes_on([at(0, 5, 2, false), at(1, 4, 6, true)], &rank(1, 2)).unwrap();
    assert_eq!(own, (5, vec![1, 3, 5, 7, 9, 11]));
    let apart = goes_on([at(0, 5, 2, false), at(1, 4, 4, false)], &whole).unwrap_err();
    assert!(apart.to_string().contains("several epochs"), "{apart}");
}

#[test]
fn a_state_is_small() {
    let index = numbered(1_000_000 / 1_000);
    let config = config(Shard { rank: 3, world: 4 }, Order::Ordered, Uneven::Pad);
    let saved = State {
        epoch: u64::MAX / 3,
        seed: u64::MAX,
        ..stood(&config, u64::MAX / 7, false, &index)
    };
    let json = serde_json::to_string_pretty(&saved).unwrap();
    assert!(json.len() < 1_000, "{} bytes", json.len());
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), saved);
}
