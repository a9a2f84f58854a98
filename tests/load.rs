//! Extremes: far more of everything than a machine has use for, and the least of
//! everything that there can be.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::ops::Range;
use std::time::Duration;

use common::scripted::{Act, Scripted, VALUES, picture};
use common::trees::{jpeg, ppm, tree};
use common::{Watch, within, within_limit};
use infeed::{
    Batch, Digest, Error, ErrorKind, LastBatch, Layout, Loader, LoaderBuilder, OnError, Order,
    Split, Uneven,
};

/// A million in a release build; a quarter of it in a debug build, which takes several
/// times as long for each.
const SAMPLES: usize = if cfg!(debug_assertions) { 250_000 } else { 1_000_000 };

/// Far above what it takes, below what a hang would.
const DEADLINE: Duration = Duration::from_secs(120);

/// Of an epoch, in which every row is looked at: its index and its values.
fn epoch(
    watch: &Watch,
    builder: LoaderBuilder<u8>,
    mut row: impl FnMut(u64, &[u8]),
) -> (Digest, u64) {
    let mut loader = builder.build().unwrap();
    watch.on(&loader);
    let mut epoch = loader.epoch(0).unwrap();
    for batch in epoch.by_ref() {
        let batch = batch.unwrap();
        let values = batch.as_slice().chunks_exact(VALUES);
        batch.samples().iter().zip(values).for_each(|(sample, values)| row(sample.index(), values));
    }
    let stats = epoch.stats();
    assert_eq!(stats.images, SAMPLES as u64);
    (stats.digest, stats.batches)
}

fn flooded() -> LoaderBuilder<u8> {
    Scripted::good(SAMPLES).loader().batch_size(4_096).threads(256).prefetch(64).readers(16)
}

#[test]
fn a_flood_of_samples_comes_in_order() {
    within_limit(DEADLINE, |watch| {
        let mut next = 0;
        let check = |index: u64, values: &[u8]| {
            assert_eq!((index, values), (next, &picture(next)[..]));
            next += 1;
        };
        let (digest, batches) = epoch(watch, flooded(), check);
        assert_eq!(next as usize, SAMPLES);
        assert_eq!(batches as usize, SAMPLES.div_ceil(4_096));
        let serial = Scripted::good(SAMPLES).loader().batch_size(100).threads(1).prefetch(1);
        let (expected, _) = epoch(watch, serial.readers(1), |_, _| {});
        assert_eq!(digest, expected);
    });
}

#[test]
fn a_flood_of_samples_comes_once_in_any_order() {
    within_limit(DEADLINE, |watch| {
        let mut came = vec![false; SAMPLES];
        let check = |index: u64, values: &[u8]| {
            assert!(!std::mem::replace(&mut came[index as usize], true), "{index} twice");
            assert_eq!(values, &picture(index)[..]);
        };
        let (digest, _) = epoch(watch, flooded().order(Order::Unordered).shuffle(5), check);
        assert!(came.iter().all(|came| *came));
        let (ordered, _) = epoch(watch, flooded(), |_, _| {});
        assert_eq!((digest.set(), digest.samples()), (ordered.set(), ordered.samples()));
    });
}

/// What epochs come to: each batch's indices, or an error's kind.
fn items(loader: &mut Loader<u8>, epochs: Range<u64>) -> Vec<Result<Vec<u64>, ErrorKind>> {
    let indices = |batch: Batch<u8>| batch.samples().iter().map(|s| s.index()).collect();
    let items = loader.epochs(epochs).unwrap();
    items.map(|item| item.map(indices).map_err(|error: Error| error.kind())).collect()
}

fn least(builder: LoaderBuilder<u8>) -> LoaderBuilder<u8> {
    builder.batch_size(1).threads(1).readers(1).prefetch(1).held_batches(1)
}

#[test]
fn one_of_everything() {
    within(|watch| {
        let pixel = ppm(1, 1, 9);
        let expected = pixel[pixel.len() - 3..].to_vec();
        let root = tree([("1.ppm", pixel.clone())]);
        for order in [Order::Ordered, Order::Unordered] {
            let bytes = pixel.len() as u64;
            let builder = Loader::folder(root.path()).dtype::<u8>().size(1, 1).order(order);
            let builder = least(builder).max_file_bytes(bytes).max_pixels(1).max_side(1);
            let mut loader = builder.build().unwrap();
            watch.on(&loader);
            for number in [0, 7, u64::MAX - 1] {
                let mut epoch = loader.epoch(number).unwrap();
                let batch = epoch.next().unwrap().unwrap();
                assert_eq!(batch.images().shape(), [1, 3, 1, 1]);
                assert_eq!((batch.as_slice(), batch.labels()[0]), (&expected[..], -1));
                assert_eq!((batch.epoch(), batch.digest().samples()), (number, 1));
                assert!(epoch.next().is_none());
            }
            assert_eq!((loader.samples(), loader.batches()), (Some(1), Some(1)));
            assert_eq!(loader.epochs(3..3).unwrap().count(), 0);
            let beyond = loader.epoch(u64::MAX).map(drop).unwrap_err();
            assert_eq!(beyond.field(), Some("epoch"));
        }
    });
}

#[test]
fn one_sample_under_the_most_of_everything() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let many = Scripted::good(1).loader().threads(64).readers(4_096).order(order);
            let deep = many.prefetch(1 << 16).held_batches(1 << 20).batch_size(1);
            let wide = Scripted::good(1).loader().batch_size(1 << 20).prefetch(1).order(order);
            for builder in [deep, wide] {
                let mut loader = builder.build().unwrap();
                watch.on(&loader);
                assert_eq!(items(&mut loader, 0..3), vec![Ok(vec![0]); 3]);
            }
        }
    });
}

/// The least limit of memory that a loader is built with, found by halves.
fn least_limit(builder: impl Fn() -> LoaderBuilder<u8>) -> u64 {
    let (mut refused, mut kept) = (0, builder().resolve().unwrap().memory.total_bytes);
    while kept - refused > 1 {
        let middle = refused + (kept - refused) / 2;
        match builder().memory_limit(middle).resolve() {
            Ok(config) => {
                assert!(config.memory.total_bytes <= middle);
                kept = middle;
            }
            Err(error) => {
                assert_eq!(error.field(), Some("memory_limit"), "{error}");
                refused = middle;
            }
        }
    }
    kept
}

#[test]
fn the_least_memory_changes_nothing() {
    within(|watch| {
        let root = tree((0..40_u16).map(|number| {
            let (width, height) = (60 + number % 7 * 20, 40 + number % 5 * 30);
            (format!("{number:02}.jpg"), jpeg(width, height, number.into()))
        }));
        let most = 180 * 160;
        for order in [Order::Ordered, Order::Unordered] {
            let builder = || {
                let builder = Loader::folder(root.path()).dtype::<u8>().size(24, 24).order(order);
                let builder = builder.batch_size(3).threads(8).readers(16).prefetch(4);
                builder.max_file_bytes(20_000).max_pixels(most)
            };
            let rows = |builder: LoaderBuilder<u8>| {
                let mut loader = builder.build().unwrap();
                watch.on(&loader);
                let mut rows = Vec::new();
                for batch in loader.epochs(0..4).unwrap() {
                    let batch = batch.unwrap();
                    let samples = batch.samples().iter().map(|s| (batch.epoch(), s.index()));
                    let values = batch.as_slice().chunks_exact(24 * 24 * 3).map(<[u8]>::to_vec);
                    rows.extend(samples.zip(values));
                }
                if order == Order::Unordered {
                    rows.sort();
                }
                rows
            };
            let limit = least_limit(builder);
            let error = builder().memory_limit(limit - 1).build().unwrap_err();
            assert_eq!(error.field(), Some("memory_limit"));
            let free = rows(builder());
            assert_eq!(free.len(), 4 * 40);
            assert!(rows(builder().memory_limit(limit)) == free, "{limit} bytes");
        }
    });
}

#[test]
fn epochs_of_no_batch_end_at_once() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            // Fewer samples than a batch has.
            let source = Scripted::good(3);
            let builder = || source.loader().batch_size(4).order(order);
            let mut loader = builder().last_batch(LastBatch::Drop).build().unwrap();
            watch.on(&loader);
            assert_eq!(items(&mut loader, 0..5), []);
            assert_eq!((loader.batches(), source.opened().get()), (Some(0), 0));
            drop(loader);

            // Nothing is left of the epoch that is resumed.
            let mut loader = builder().build().unwrap();
            let state = loader.epoch(4).unwrap().last().unwrap().unwrap().state();
            let mut resumed = builder().resume(state).build().unwrap();
            watch.on(&resumed);
            assert_eq!((resumed.first_epoch(), resumed.batches_of(4)), (5, Some(0)));
            let opened = source.opened().get();
            assert_eq!(resumed.epoch(4).unwrap().count(), 0);
            assert_eq!(source.opened().get(), opened);
            assert_eq!(resumed.epoch(5).unwrap().count(), 1);
        }
    });
}

#[test]
fn one_sample_fills_a_batch() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let builder = Scripted::good(1).loader().batch_size(5).last_batch(LastBatch::Pad);
            let mut loader = builder.order(order).build().unwrap();
            watch.on(&loader);
            let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
            let padding = batch.samples().iter().filter(|sample| sample.is_padding()).count();
            assert_eq!((batch.len(), padding, batch.digest().samples()), (5, 4, 1));
            assert_eq!(batch.as_slice(), picture(0).repeat(5));
        }
    });
}

#[test]
fn more_ranks_than_samples() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let (samples, world) = (3, 7);
            let source = Scripted::good(samples);
            let builder = |rank, world, uneven| {
                source.loader().shard(rank, world).uneven(uneven).batch_size(2).order(order)
            };
            let mut digests = Vec::new();
            for rank in 0..world {
                let mut loader = builder(rank, world, Uneven::Pad).build().unwrap();
                watch.on(&loader);
                let mut epoch = loader.epoch(0).unwrap();
                let batch = epoch.next().unwrap().unwrap();
                let sample = &batch.samples()[0];
                assert_eq!((batch.len(), sample.index()), (1, u64::from(rank) % samples as u64));
                assert_eq!(sample.is_padding(), rank as usize >= samples);
                assert!(epoch.next().is_none());
                digests.push(epoch.stats().digest);
                let mut loader = builder(rank, world, Uneven::Drop).build().unwrap();
                watch.on(&loader);
                assert_eq!(items(&mut loader, 0..2), []);
            }
            let together = Digest::combined(digests);
            let mut alone = builder(0, 1, Uneven::Pad).build().unwrap();
            let whole = alone.epoch(0).unwrap().last().unwrap().unwrap().digest();
            assert_eq!((together.set(), together.samples()), (whole.set(), whole.samples()));
        }
    });
}

#[test]
fn the_only_sample_fails() {
    within(|watch| {
        for (policy, expected) in [
            (OnError::Fail, vec![ErrorKind::Sample, ErrorKind::EmptyBatch]),
            (OnError::skip(), vec![ErrorKind::EmptyBatch]),
            (OnError::replace(), vec![ErrorKind::NoSubstitute]),
        ] {
            for order in [Order::Ordered, Order::Unordered] {
                for act in Act::FAILING {
                    let builder = least(Scripted::new(vec![act]).loader());
                    let mut loader = builder.on_error(policy).order(order).build().unwrap();
                    watch.on(&loader);
                    let told: Vec<_> = expected.iter().map(|kind| Err(*kind)).collect();
                    assert_eq!(items(&mut loader, 0..2), told, "{policy}, {order}, {act:?}");
                }
            }
        }
    });
}

#[test]
fn a_part_of_nothing_is_refused() {
    within(|_| {
        let source = Scripted::good(1);
        let refused = |builder: LoaderBuilder<u8>| {
            builder.build().and_then(|mut loader| loader.epoch(0)?.next().unwrap().map(drop))
        };
        // One of the two sides of a split has the only sample.
        let sides = [Split::train(0.5), Split::validation(0.5)];
        let told: Vec<_> = sides.map(|side| refused(source.loader().split(side))).into();
        assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1, "{told:?}");
        for error in told.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Config);
        }
        let beyond = refused(source.loader().subset([1])).unwrap_err();
        assert_eq!(beyond.field(), Some("subset"));
        assert!(refused(source.loader().subset([0]).layout(Layout::Chw)).is_ok());
    });
}
