//! One, ten and ninety of a hundred samples broken, in each policy and order: batches,
//! order and counts are exactly those that are promised.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::collections::BTreeMap;

use common::oracle::{self, Failed, Item};
use common::scripted::{Act, Scripted};
use common::within;
use infeed::{ErrorKind, LastBatch, OnError, Order};

const SAMPLES: usize = 1_000;
const BATCH: usize = 16;

/// So many of a hundred fail, each in a way of its own, spread over all.
fn acts(percent: usize) -> Vec<Act> {
    let act = |at: usize| match (at * 37 + at / 100) % 100 < percent {
        true => Act::FAILING[at % Act::FAILING.len()],
        false => Act::Good,
    };
    (0..SAMPLES).map(act).collect()
}

/// What two epochs tell, and which failures they keep.
fn run(acts: &[Act], policy: OnError, order: Order, threads: usize) -> (Vec<Item>, Vec<Failed>) {
    let source = Scripted::with(acts.to_vec(), Default::default(), threads as u64);
    let builder = source.loader().batch_size(BATCH).order(order).on_error(policy).seed(3);
    let mut loader = builder.threads(threads).failures_kept(100_000).build().unwrap();
    let mut epochs = loader.epochs(0..2).unwrap();
    let items = epochs.by_ref().map(Item::from).collect();
    let failures = epochs.failures().iter().map(Failed::from).collect();
    (items, failures)
}

#[test]
fn ordered_is_the_serial_loader_whatever_is_broken() {
    within(|_| {
        for percent in [1, 10, 90, 100] {
            let acts = acts(percent);
            let broken = acts.iter().filter(|act| act.fails()).count();
            assert_eq!(broken, SAMPLES * percent / 100);
            for policy in [OnError::Fail, OnError::skip()] {
                let expected = oracle::serial(&acts, BATCH, LastBatch::Keep, policy, 0..2);
                for threads in [1, 4] {
                    let found = run(&acts, policy, Order::Ordered, threads);
                    assert_eq!(found, expected, "{percent} %, {policy:?}");
                }
            }
        }
    });
}

#[test]
fn unordered_has_each_good_sample_in_full_batches_whatever_is_broken() {
    within(|_| {
        for percent in [1, 10, 90] {
            let acts = acts(percent);
            let good = acts.iter().filter(|act| !act.fails()).count();
            for policy in [OnError::Fail, OnError::skip()] {
                let (items, skipped) = run(&acts, policy, Order::Unordered, 4);
                let (mut rows, mut sizes) = (BTreeMap::new(), BTreeMap::new());
                let mut failed = skipped;
                for item in items {
                    match item {
                        Item::Batch { epoch, rows: of, .. } => {
                            sizes.entry(epoch).or_insert_with(Vec::new).push(of.len());
                            for row in of {
                                let expected = oracle::row(row.index, row.position, false);
                                assert_eq!(row, expected);
                                *rows.entry((epoch, row.index)).or_insert(0) += 1;
                            }
                        }
                        Item::Failed(error) => failed.push(error),
                        Item::Run(_) => panic!("{item:?}"),
                    }
                }
                assert_eq!((rows.len(), rows.values().max()), (2 * good, Some(&1)));
                for sizes in sizes.values() {
                    let (last, full) = sizes.split_last().unwrap();
                    assert!(full.iter().all(|size| *size == BATCH), "{sizes:?}");
                    assert_eq!(*last, (good + BATCH - 1) % BATCH + 1);
                }
                let told: BTreeMap<_, _> =
                    failed.iter().map(|error| ((error.epoch, error.index), error)).collect();
                let bad = 2 * (SAMPLES - good);
                assert_eq!((told.len(), failed.len()), (bad, bad));
                for ((epoch, index), error) in told {
                    let expected = oracle::failed(acts[index as usize], index, index, epoch);
                    assert_eq!(*error, expected);
                }
            }
        }
    });
}

#[test]
fn replaced_every_batch_is_full_and_every_substitute_is_named() {
    within(|_| {
        for percent in [1, 10, 90] {
            let acts = acts(percent);
            let replace = OnError::Replace { attempts: 300, max_failures: Default::default() };
            let mut before = None;
            for (order, threads) in
                [(Order::Ordered, 1), (Order::Ordered, 4), (Order::Unordered, 4)]
            {
                let (items, failures) = run(&acts, replace, order, threads);
                let mut rows = Vec::new();
                for item in &items {
                    assert!(matches!(item, Item::Batch { .. }), "{item:?}");
                    let epoch = if let Item::Batch { epoch, .. } = item { *epoch } else { 0 };
                    rows.extend(item.rows().iter().map(|row| (epoch, row.position, row.clone())));
                }
                assert_eq!(items.len(), 2 * SAMPLES.div_ceil(BATCH));
                rows.sort();
                assert_eq!(rows.len(), 2 * SAMPLES);
                let mut named: Vec<_> = failures.iter().map(|f| (f.epoch, f.position)).collect();
                named.sort_unstable();
                for (at, (epoch, position, row)) in rows.iter().enumerate() {
                    assert_eq!((*epoch * SAMPLES as u64 + position) as usize, at);
                    let failed = acts[*position as usize].fails();
                    assert_eq!(row.replaces, failed.then_some(*position));
                    assert!(!acts[row.index as usize].fails());
                    // A good one tells of no failure; of the others the first is its own.
                    assert_eq!(named.binary_search(&(*epoch, *position)).is_ok(), failed);
                }
                // Which substitute it is depends on no thread and no order.
                let before = before.get_or_insert_with(|| rows.clone());
                assert_eq!(*before, rows);
            }
        }
        let (items, _) = run(&acts(100), OnError::replace(), Order::Ordered, 4);
        assert_eq!(items, [Item::run(ErrorKind::NoSubstitute)]);
    });
}
