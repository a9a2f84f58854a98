//! States that do not fit, and what is said of them.

use std::path::Path;
use std::sync::Arc;

use super::state::sampling_words;
use super::tests::{config, index, numbered, refusal, stood};
use super::*;
use crate::config::{MOST_IN_A_BATCH, Order, Resolved, Sampling, Shard, Uneven, Weights};
use crate::plan::{Begun, Plan, Remaining};
use crate::source::{Index, Listing, Print};
use crate::sync::Notify;

/// Two runs of as many ranks: a state of each fits neither.
#[test]
fn states_of_two_runs_are_refused() {
    let index = numbered(20);
    let of = |rank, order| config(Shard { rank, world: 2 }, order, Uneven::Pad);
    let ordered = stood(&of(0, Order::Ordered), 4, false, &index);
    let unordered = stood(&of(1, Order::Unordered), 4, false, &index);
    let both = Resume::from_all([ordered.clone(), unordered.clone()]);
    let told = refusal(both, &of(0, Order::Ordered), &index);
    assert!(told.contains("several runs"), "{told}");
    // One that had ended when the other went on in another order fits, but not one of
    // other positions.
    let ended = State { ended: true, ..ordered };
    let plan = Plan::new(&of(0, Order::Ordered));
    for both in [[ended.clone(), unordered.clone()], [unordered.clone(), ended.clone()]] {
        assert!(begun(&Resume::from_all(both), &of(0, Order::Ordered), &plan, &index).is_ok());
    }
    let positions = Remaining::new(2, Vec::new());
    let both = Resume::from_all([State { positions, ..ended.clone() }, unordered.clone()]);
    let told = refusal(both, &of(0, Order::Ordered), &index);
    assert!(told.contains("several runs"), "{told}");
    // Of two epochs they may be: order can change in between.
    let later = State { epoch: 1, ..unordered };
    let both = Resume::from_all([ended, later]);
    assert!(begun(&both, &of(0, Order::Ordered), &plan, &index).is_ok());
}

#[test]
fn a_state_may_stand_where_padding_ends_and_no_further() {
    let index = numbered(40);
    let config = config(Shard { rank: 0, world: 2 }, Order::Ordered, Uneven::Pad);
    let saved = stood(&config, 8, false, &index);
    // Each of the two ranks has a sample and the largest batch beside the 40.
    let end = 40 + 2 * (MOST_IN_A_BATCH as u64 + 1);
    let at = |mark| Remaining::new(mark, Vec::new());
    let attempts = 1 << 32;
    let check = |state: State, fits: bool| {
        let told = format!("{state:?}");
        let plan = Plan::new(&config);
        assert_eq!(begun(&state.into(), &config, &plan, &index).is_ok(), fits, "{told}");
    };
    for more in [0, 1] {
        let fits = more == 0;
        check(State { turns: at(end / 2 + more), ..saved.clone() }, fits);
        check(State { positions: at(end + more), ..saved.clone() }, fits);
        check(State { batches: end + more, ..saved.clone() }, fits);
        check(State { failed: (end + more) * attempts, ..saved.clone() }, fits);
        check(State { batched_from: 8 + more, ..saved.clone() }, fits);
    }
    check(State { failed: (end + 1) * attempts - 1, ..saved }, true);
}

#[test]
fn a_state_changed_by_hand_is_refused() {
    let index = numbered(40);
    let config = config(Shard { rank: 0, world: 2 }, Order::Ordered, Uneven::Pad);
    let saved = stood(&config, 8, false, &index);
    let far = |mark| Remaining::new(mark, Vec::new());
    for damaged in [
        State { turns: far(1 << 40), ..saved.clone() },
        State { turns: far(u64::MAX), ended: true, ..saved.clone() },
        State { positions: far(1 << 40), ..saved.clone() },
        State { batched_from: 9, ..saved.clone() },
        State { epoch: u64::MAX, ..saved.clone() },
        State { batches: u64::MAX, ..saved.clone() },
        State { failed: u64::MAX, ..saved.clone() },
    ] {
        let told = refusal(damaged, &config, &index);
        assert!(told.contains("damaged"), "{told}");
    }
    // Also where the source has changed, and the next epoch is to begin.
    let last = Resume::from(State { epoch: u64::MAX, ..saved });
    let (last, plan) = (last.allow_changed(Changed::NextEpoch), Plan::new(&config));
    assert!(begun(&last, &config, &plan, &numbered(41)).is_err());
}

/// Weights by classes are another order when the classes are others.
#[test]
fn other_classes_are_another_order_under_weights() {
    let listed = |labels: &[u32]| {
        let names = (0..).map(|at: u64| at.to_string());
        Index::of(names.zip(labels.iter().copied().map(Some)))
    };
    let sampling = Sampling::Weighted { weights: Weights::Balanced, samples: None };
    let config = config(Shard::WHOLE, Order::Ordered, Uneven::Pad);
    let config = Resolved { sampling, ..config };
    let prepared = |index: &Index| {
        let plan = Plan::new(&config);
        plan.prepare(index);
        plan
    };
    let then = listed(&[0, 0, 1, 1]);
    let plan = Arc::new(prepared(&then));
    let mut tracker = Tracker::new(&config, plan, Arc::clone(&then));
    tracker.begin(0);
    let saved = Resume::from(*tracker.batch(0, &[], 0));
    assert!(begun(&saved, &config, &prepared(&then), &then).is_ok());
    let now = listed(&[0, 0, 0, 1]);
    let error = begun(&saved, &config, &prepared(&now), &now).unwrap_err();
    assert!(error.to_string().contains("other weights, by other classes"), "{error}");
}

#[test]
fn another_order_is_refused() {
    let index = numbered(20);
    let config = config(Shard::WHOLE, Order::Ordered, Uneven::Pad);
    let saved = stood(&config, 8, false, &index);
    let seed = refusal(saved.clone(), &Resolved { seed: 9, ..config.clone() }, &index);
    assert!(seed.contains("seed = 0") && seed.contains('9'), "{seed}");
    let shuffled = Resolved { sampling: Sampling::Shuffle, ..config.clone() };
    let sampling = refusal(saved.clone(), &shuffled, &index);
    assert!(sampling.contains("sampling = sequential"), "{sampling}");
    let version = refusal(State { version: 9, ..saved }, &config, &index);
    assert!(version.contains("version 9"), "{version}");
    assert!(refusal(Resume::from_all([]), &config, &index).contains("no state"));
    // Other weights of the same kind.
    let weighted = |weights: &[f64]| Resolved {
        sampling: Sampling::Weighted { weights: Weights::classes(weights), samples: None },
        ..config.clone()
    };
    let (one, other) = (weighted(&[1.0, 2.0]), weighted(&[2.0, 1.0]));
    assert_ne!(sampling_words(&one), sampling_words(&other));
}

#[test]
fn a_changed_source_is_refused_by_counts_or_by_names() {
    let folder = tempfile::tempdir().unwrap();
    let listing = folder.path().join("listing");
    let config = config(Shard::WHOLE, Order::Ordered, Uneven::Pad);
    let names = |names: &[&str]| index(names.iter().map(ToString::to_string));
    let then = names(&["a", "b", "c", "d"]);
    let saved = State { epoch: 3, ..stood(&config, 2, false, &then) };
    save_listing(&then, &listing).unwrap();
    let with_listing = || Resume::from(saved.clone()).listing(&listing);
    let now = names(&["a", "c", "d", "e", "f"]);
    let counts = refusal(saved.clone(), &config, &now);
    assert!(counts.contains("it had 4 samples and has 5"), "{counts}");
    let named = refusal(with_listing(), &config, &now);
    assert!(named.contains("2 added (e, f), 1 removed (b)"), "{named}");
    let renamed = names(&["a", "b", "c", "e"]);
    let counts = refusal(saved.clone(), &config, &renamed);
    assert!(counts.contains("4 samples as before, but others"), "{counts}");
    let reordered = names(&["b", "a", "c", "d"]);
    let named = refusal(with_listing(), &config, &reordered);
    assert!(named.contains("the same, but their order"), "{named}");
    let lost = Resume::from(saved.clone()).listing(folder.path().join("none"));
    assert!(refusal(lost, &config, &now).contains("the saved listing: "));

    let plan = Plan::new(&config);
    let goes_on = |changed, index: &Index| {
        let resume = Resume::from(saved.clone()).allow_changed(changed);
        begun(&resume, &config, &plan, index).unwrap()
    };
    let whole = |epoch| Begun { epoch, ..Begun::default() };
    assert_eq!(goes_on(Changed::RestartEpoch, &now), whole(3));
    assert_eq!(goes_on(Changed::NextEpoch, &now), whole(4));
    // What had ended does not come again.
    let ended = State { ended: true, ..saved.clone() };
    let resume = Resume::from(ended).allow_changed(Changed::RestartEpoch);
    assert_eq!(begun(&resume, &config, &plan, &now).unwrap(), whole(4));
    // Unchanged, it goes on where it stood all the same.
    assert_eq!(goes_on(Changed::NextEpoch, &then).turns.mark(), 2);
}

/// Saved while the walk was under way, a state speaks of the samples before.
#[test]
fn a_state_of_the_walk_vouches_for_what_was_listed() {
    let config = config(Shard::WHOLE, Order::Ordered, Uneven::Pad);
    let listed = Print { complete: false, ..numbered(5).print() };
    let saved = State { source: listed, ..stood(&config, 4, false, &numbered(5)) };
    let again = |names: &[&str]| {
        let index = Index::new(Arc::new(Notify::new()));
        let index = index.with_checkpoint(Resume::from(saved.clone()).listed());
        for name in names {
            assert!(Listing::new(&index).push(Path::new(name), None).is_continue());
        }
        index.finish(Ok(()));
        index
    };
    let plan = Plan::new(&config);
    for same in [&["0", "1", "2", "3", "4"][..], &["0", "1", "2", "3", "4", "5"]] {
        let begun = begun(&saved.clone().into(), &config, &plan, &again(same)).unwrap();
        assert_eq!(begun.turns.mark(), 4);
    }
    for other in [&["0", "1", "2", "3"][..], &["0", "1", "2", "4", "3", "5"]] {
        let error = refusal(saved.clone(), &config, &again(other));
        assert!(error.contains("the source has changed"), "{error}");
    }
}

#[test]
fn ranks_without_a_state_are_named() {
    let index = numbered(40);
    let rank = |rank, world, order| config(Shard { rank, world }, order, Uneven::Pad);
    let saved = |number, order| stood(&rank(number, 3, order), 4, false, &index);
    // Another number of ranks, unordered, by one state, or ordered by two.
    let one = refusal(saved(0, Order::Unordered), &rank(0, 2, Order::Unordered), &index);
    assert!(one.contains("the states of all 3"), "{one}");
    let two = [saved(0, Order::Ordered), saved(2, Order::Ordered)];
    let two = refusal(Resume::from_all(two), &rank(0, 2, Order::Ordered), &index);
    assert!(two.contains("these are of rank 0, 2"), "{two}");
    // Another rank's state, unordered.
    let other = refusal(saved(0, Order::Unordered), &rank(1, 3, Order::Unordered), &index);
    assert!(other.contains("no state of rank 1"), "{other}");
    let twice = [saved(1, Order::Ordered), saved(1, Order::Ordered)];
    let twice = refusal(Resume::from_all(twice), &rank(1, 3, Order::Ordered), &index);
    assert!(twice.contains("rank 1 has two states"), "{twice}");
}
