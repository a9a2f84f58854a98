//! Order: ordered epochs are what a plain serial loader gives, item by item and
//! byte by byte; unordered ones are the same samples in full batches.

#![allow(clippy::unwrap_used)]

mod common;

use common::cases::{Speed, check, speed};
use common::oracle::{self, Failed, Item};
use common::scripted::{Act, Scripted, Walk, picture};
use common::{trees, within};
use infeed::{ErrorKind, LastBatch, Loader, OnError, Order};
use proptest::prelude::*;

/// What decides them.
#[derive(Clone, Debug)]
struct Work {
    acts: Vec<Act>,
    batch_size: usize,
    last: LastBatch,
    epochs: u64,
}

/// `failing` of ten samples fail.
fn work(failing: u32) -> impl Strategy<Value = Work> {
    let act = prop_oneof![
        10 - failing => Just(Act::Good),
        failing => proptest::sample::select(&Act::FAILING[..]),
    ];
    let last = proptest::sample::select(&[LastBatch::Keep, LastBatch::Drop, LastBatch::Pad][..]);
    let acts = proptest::collection::vec(act, 1..40);
    (acts, 1_usize..9, last, 1_u64..4).prop_map(|(acts, batch_size, last, epochs)| Work {
        acts,
        batch_size,
        last,
        epochs,
    })
}

fn loader(work: &Work, speed: Speed, policy: OnError, order: Order) -> Loader<u8> {
    let source = Scripted::with(work.acts.clone(), Walk::Whole, speed.jitter);
    speed
        .of(source.loader())
        .batch_size(work.batch_size)
        .last_batch(work.last)
        .on_error(policy)
        .order(order)
        .seed(work.acts.len() as u64)
        .build()
        .unwrap()
}

/// All items of all epochs, and the failures that were not told as items.
fn run(loader: &mut Loader<u8>, epochs: u64) -> (Vec<Item>, Vec<Failed>) {
    let mut epochs = loader.epochs(0..epochs).unwrap();
    let items = epochs.by_ref().map(Item::from).collect();
    (items, epochs.failures().iter().map(Failed::from).collect())
}

#[test]
fn ordered_is_the_serial_loader() {
    check(128, (work(2), speed(), 0_u64..30), |watch, (work, speed, budget)| {
        let skip = OnError::Skip { max_failures: infeed::Budget::Count(budget) };
        for policy in [OnError::Fail, OnError::skip(), skip] {
            let mut loader = loader(&work, speed, policy, Order::Ordered);
            watch.on(&loader);
            let range = 0..work.epochs;
            let expected = oracle::serial(&work.acts, work.batch_size, work.last, policy, range);
            assert_eq!(run(&mut loader, work.epochs), expected, "{policy:?}");
        }
    });
}

#[test]
fn a_fraction_is_judged_as_if_the_length_had_been_known() {
    check(64, (work(2), speed(), 0.0..1.0), |watch, (work, speed, fraction)| {
        let policy = OnError::Skip { max_failures: infeed::Budget::Fraction(fraction) };
        let mut loader = loader(&work, speed, policy, Order::Ordered);
        watch.on(&loader);
        let range = 0..work.epochs;
        let expected = oracle::serial(&work.acts, work.batch_size, work.last, policy, range);
        assert_eq!(run(&mut loader, work.epochs), expected);
    });
}

#[test]
fn a_consumer_that_stops_early_leaves_nothing_behind() {
    check(64, (work(1), speed(), 0_usize..12), |watch, (work, speed, stop)| {
        let mut loader = loader(&work, speed, OnError::Fail, Order::Ordered);
        watch.on(&loader);
        let expected =
            |epoch| oracle::serial(&work.acts, work.batch_size, work.last, OnError::Fail, epoch).0;
        let begun: Vec<Item> = loader.epoch(3).unwrap().take(stop).map(Item::from).collect();
        let first = expected(3..4);
        assert_eq!(begun, first[..stop.min(first.len())]);
        let whole: Vec<Item> = loader.epoch(4).unwrap().map(Item::from).collect();
        assert_eq!(whole, expected(4..5));
        let mut announced = loader.epochs(5..7).unwrap();
        announced.by_ref().take(stop).for_each(drop);
        drop(announced);
        let again: Vec<Item> = loader.epoch(5).unwrap().map(Item::from).collect();
        assert_eq!(again, expected(5..6));
    });
}

#[test]
fn substitutes_do_not_depend_on_speed() {
    check(64, (work(2), speed(), speed()), |watch, (work, one, other)| {
        let results = [one, other].map(|speed| {
            let mut loader = loader(&work, speed, OnError::replace(), Order::Ordered);
            watch.on(&loader);
            run(&mut loader, work.epochs)
        });
        assert_eq!(results[0], results[1]);
        let (items, failures) = &results[0];
        let length = oracle::length(work.acts.len(), work.batch_size, work.last);
        let mut replaced = 0;
        for item in items {
            let Item::Batch { index, rows, .. } = item else {
                assert_eq!(*item, Item::run(ErrorKind::NoSubstitute));
                continue;
            };
            let start = *index as usize * work.batch_size;
            assert_eq!(rows.len(), work.batch_size.min(length - start), "a full batch");
            for (row, position) in rows.iter().zip(start..) {
                assert!(!work.acts[row.index as usize].fails());
                assert_eq!(row.position as usize, position);
                assert_eq!(row.values, picture(row.index));
                let planned = position % work.acts.len();
                let expected = work.acts[planned].fails().then_some(planned as u64);
                assert_eq!(row.replaces, expected);
                replaced += u64::from(expected.is_some());
            }
        }
        assert!(failures.len() as u64 >= replaced);
        assert!(failures.iter().all(|failed| failed.substitute.is_some()));
    });
}

#[test]
fn unordered_is_the_same_set_in_full_batches() {
    check(128, (work(2), speed()), |watch, (work, speed)| {
        for policy in [OnError::Fail, OnError::skip()] {
            let mut loader = loader(&work, speed, policy, Order::Unordered);
            watch.on(&loader);
            let (items, skipped) = run(&mut loader, work.epochs);
            assert_unordered(&work, policy, items, skipped);
        }
    });
}

fn assert_unordered(work: &Work, policy: OnError, items: Vec<Item>, skipped: Vec<Failed>) {
    let length = oracle::length(work.acts.len(), work.batch_size, work.last);
    let fails = |position: &usize| work.acts[position % work.acts.len()].fails();
    let failing = (0..length).filter(fails).count();
    // An epoch of which everything fails ends the run.
    let nothing = length > 0 && failing == length;
    let epochs = if nothing { 1 } else { work.epochs };
    let mut failed = if policy == OnError::Fail { Vec::new() } else { skipped };
    let mut sizes = vec![Vec::new(); epochs as usize];
    let mut rows = Vec::new();
    let mut ends = 0;
    for item in items {
        assert_eq!(ends, 0, "an error of the run is the last item");
        match item {
            Item::Batch { epoch, index, rows: of } => {
                assert_eq!(index as usize, sizes[epoch as usize].len());
                sizes[epoch as usize].push(of.len());
                rows.extend(of.into_iter().map(|row| (epoch, row)));
            }
            Item::Failed(failure) => failed.push(failure),
            Item::Run(_) => {
                assert_eq!(item, Item::run(ErrorKind::EmptyBatch));
                ends += 1;
            }
        }
    }
    assert_eq!(ends, usize::from(nothing));
    let mut expected_rows = Vec::new();
    let mut expected_failed = Vec::new();
    for epoch in 0..epochs {
        for position in 0..length {
            let at = position % work.acts.len();
            let (act, padding) = (work.acts[at], position >= work.acts.len());
            if act.fails() {
                expected_failed.push(oracle::failed(act, at as u64, position as u64, epoch));
            } else {
                expected_rows.push((epoch, oracle::row(at as u64, position as u64, padding)));
            }
        }
    }
    rows.sort();
    expected_rows.sort();
    assert_eq!(rows, expected_rows);
    failed.sort();
    expected_failed.sort();
    assert_eq!(failed, expected_failed);
    for sizes in sizes {
        let short = sizes.iter().filter(|size| **size != work.batch_size).count();
        let last_is_short = sizes.last().is_some_and(|size| *size != work.batch_size);
        assert_eq!(short, usize::from(last_is_short), "{sizes:?}");
    }
}

#[test]
fn unordered_replaces_keep_the_batches_full() {
    check(48, (work(2), speed()), |watch, (work, speed)| {
        let mut loader = loader(&work, speed, OnError::replace(), Order::Unordered);
        watch.on(&loader);
        let (items, _) = run(&mut loader, work.epochs);
        let no_substitute = Item::run(ErrorKind::NoSubstitute);
        if items.contains(&no_substitute) {
            assert_eq!(items.last(), Some(&no_substitute));
            return;
        }
        let length = oracle::length(work.acts.len(), work.batch_size, work.last);
        for epoch in 0..work.epochs {
            let of = |item: &&Item| matches!(item, Item::Batch { epoch: of, .. } if *of == epoch);
            let rows: Vec<_> = items.iter().filter(of).flat_map(Item::rows).collect();
            let mut positions: Vec<u64> = rows.iter().map(|row| row.position).collect();
            positions.sort_unstable();
            assert_eq!(positions, (0..length as u64).collect::<Vec<_>>());
        }
    });
}

/// Pictures of several formats and sizes, with one that is broken.
fn photographs() -> tempfile::TempDir {
    let files = (0..23_u32).map(|number| {
        let (width, height) = (17 + number * 3, 40 - number);
        let encoded = match number % 3 {
            _ if number == 13 => trees::jpeg(32, 32, 13)[..200].to_vec(),
            0 => trees::ppm(width, height, number),
            _ => trees::jpeg(width as u16, height as u16, number),
        };
        let ending = if number % 3 == 0 { "ppm" } else { "jpg" };
        (format!("{}/{number:02}.{ending}", ["cat", "dog"][(number % 2) as usize]), encoded)
    });
    trees::tree(files)
}

#[test]
fn files_come_out_the_same_for_any_threads_and_prefetch() {
    within(|watch| {
        let photographs = photographs();
        let mut first: Option<Vec<(Vec<u32>, Vec<String>)>> = None;
        for threads in [1, 2, 8] {
            for prefetch in 1..=8 {
                let builder = Loader::folder(photographs.path())
                    .batch_size(4)
                    .size(24, 20)
                    .normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
                    .on_error(OnError::replace());
                let mut loader = builder.threads(threads).prefetch(prefetch).build().unwrap();
                watch.on(&loader);
                let batches = loader.epochs(0..2).unwrap().map(|batch| {
                    let batch = batch.unwrap();
                    let bits = batch.as_slice().iter().map(|value| value.to_bits()).collect();
                    (bits, batch.samples().iter().map(|sample| format!("{sample:?}")).collect())
                });
                let batches: Vec<_> = batches.collect();
                assert_eq!(batches.len(), 12);
                let first = first.get_or_insert_with(|| batches.clone());
                assert!(*first == batches, "other bytes with {threads} threads, {prefetch} ahead");
            }
        }
    });
}
