//! Augmentation, through the public API: the same bytes with every cache, on any
//! number of threads and from a preprocessor; transforms of the user's and their
//! failures.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::trees::{jpeg, ppm, tree};
use common::within;
use infeed::{
    Batch, Cache, Cause, CauseKind, Color, Element, Erase, Fit, Jitter, Layout, Loader,
    LoaderBuilder, OnError, Origin, PixelTransform, Random, RowTransform, Stage, bf16, f16,
};
use ndarray::{Array3, ArrayViewMut3, Axis};
use tempfile::TempDir;

const SAMPLES: usize = 12;

/// Pictures of several kinds and shapes, in colour and without.
fn pictures() -> TempDir {
    tree((0..SAMPLES as u32).map(|number| {
        let (width, height) = (30 + number % 7 * 5, 26 + number % 4 * 9);
        match number % 3 {
            0 => (format!("a/{number:02}.ppm"), ppm(width, height, number)),
            1 => (format!("a/{number:02}.jpg"), jpeg(width as u16, height as u16, number)),
            _ => {
                let mut encoded = format!("P5 {width} {height} 255\n").into_bytes();
                encoded.extend((0..width * height).map(|at| (at * number / 5) as u8));
                (format!("b/{number:02}.pgm"), encoded)
            }
        }
    }))
}

fn builder(root: &TempDir) -> LoaderBuilder {
    Loader::folder(root.path()).batch_size(5).size(20, 16).threads(2).seed(3)
}

const JITTER: Jitter = Jitter { brightness: 0.4, contrast: 0.5, saturation: 0.6, hue: 0.2 };

/// Everything that is no code of the user's.
fn everything<T: Element>(builder: LoaderBuilder<T>) -> LoaderBuilder<T> {
    builder.flip(0.5).vflip(0.5).jitter(JITTER).random_grey(0.3).erase(Erase::new(0.5))
}

/// Changes each value by something drawn, if only its place.
fn shuffled<T: Element>(mut row: ArrayViewMut3<'_, T>, random: &mut Random) -> Result<(), Cause> {
    let values = row.as_slice_mut().unwrap();
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at as u64 + 1) as usize);
    }
    Ok(())
}

/// The rows of an epoch, in order.
fn rows<T: Element>(loader: &mut Loader<T>, epoch: u64) -> Vec<Vec<T>> {
    let mut rows = Vec::new();
    for batch in loader.epoch(epoch).unwrap() {
        let batch = batch.unwrap();
        let len = batch.as_slice().len() / batch.len();
        rows.extend(batch.as_slice().chunks(len).map(<[T]>::to_vec));
    }
    assert_eq!(rows.len(), SAMPLES);
    rows
}

// ---- the same bytes

/// Three epochs on one thread without a cache, on three with each of them, and by
/// a preprocessor.
fn same_bytes<T: Element>(root: &TempDir, change: impl Fn(LoaderBuilder<T>) -> LoaderBuilder<T>) {
    let dir = tempfile::tempdir().unwrap();
    let make = || change(everything(builder(root).dtype::<T>())).after_resize(shuffled::<T>);
    let mut plain = make().threads(1).build().unwrap();
    let expected: Vec<_> = (0..3).map(|epoch| rows(&mut plain, epoch)).collect();
    assert!(expected[0] != expected[1] && expected[1] != expected[2]);
    let disk = || Cache::disk(dir.path(), 1 << 30);
    for cache in [Cache::None, Cache::memory(1 << 20), disk(), disk()] {
        let mut loader = make().threads(3).cache(cache.clone()).build().unwrap();
        for (epoch, expected) in expected.iter().enumerate() {
            assert!(rows(&mut loader, epoch as u64) == *expected, "{cache}, epoch {epoch}");
        }
    }
    let mut alone = make().preprocessor().unwrap();
    let mut row = vec![T::default(); alone.row_len()];
    let mut paths: Vec<_> = ["a", "b"]
        .iter()
        .flat_map(|class| std::fs::read_dir(root.path().join(class)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for (position, path) in paths.iter().enumerate() {
        let encoded = std::fs::read(path).unwrap();
        alone.preprocess_as(1, position as u64, &encoded, &mut row).unwrap();
        assert!(row == expected[1][position], "{}", path.display());
    }
}

#[test]
fn bytes_are_the_same_with_every_cache_and_element_type() {
    within(|_| {
        let root = pictures();
        same_bytes::<f32>(&root, |b| b.layout(Layout::Chw).normalize([0.4; 3], [0.2; 3]));
        same_bytes::<u8>(&root, |b| b.layout(Layout::Hwc).color(Color::Bgr));
        same_bytes::<f16>(&root, |b| b.color(Color::Grey).normalize([0.4; 3], [0.2; 3]));
        same_bytes::<bf16>(&root, |b| b.layout(Layout::Hwc).normalize([0.1, 0.2, 0.3], [0.5; 3]));
    });
}

#[test]
fn bytes_are_the_same_of_random_crops() {
    within(|_| {
        let root = pictures();
        let random = |b: LoaderBuilder| b.fit(Fit::random_crop()).cache_side(24);
        same_bytes::<f32>(&root, random);
        same_bytes::<u8>(&root, |b| b.fit(Fit::random_crop()).cache_side(24).layout(Layout::Hwc));
    });
}

/// `f32` is the converted `u8`, and the layouts and colour orders hold the same.
#[test]
fn elements_are_what_the_levels_say() {
    within(|_| {
        let root = pictures();
        fn made<T: Element>(root: &TempDir, layout: Layout, color: Color) -> Vec<Vec<T>> {
            let builder = builder(root).dtype::<T>().layout(layout).color(color);
            let builder = builder.fit(Fit::random_crop()).flip(0.5).vflip(0.5);
            rows(&mut builder.jitter(JITTER).random_grey(0.3).build().unwrap(), 2)
        }
        let levels = made::<u8>(&root, Layout::Chw, Color::Rgb);
        let floats = made::<f32>(&root, Layout::Chw, Color::Rgb);
        let backwards = made::<u8>(&root, Layout::Hwc, Color::Bgr);
        for ((levels, floats), backwards) in levels.into_iter().zip(floats).zip(backwards) {
            let converted: Vec<f32> = levels.iter().map(|&v| f32::from(v) / 255.0).collect();
            assert_eq!(converted, floats);
            let levels = Array3::from_shape_vec((3, 16, 20), levels).unwrap();
            let mut backwards = Array3::from_shape_vec((16, 20, 3), backwards).unwrap();
            backwards.invert_axis(Axis(2));
            assert_eq!(backwards.permuted_axes([2, 0, 1]), levels);
        }
    });
}

/// One augmentation more changes nothing of what the others draw.
#[test]
fn draws_are_independent() {
    within(|_| {
        let root = pictures();
        let base = || builder(&root).dtype::<u8>().fit(Fit::random_crop()).flip(0.5);
        let plain = rows(&mut base().build().unwrap(), 0);
        let turned = rows(&mut base().vflip(1.0).build().unwrap(), 0);
        for (plain, turned) in plain.iter().zip(&turned) {
            let lines: Vec<u8> = plain
                .chunks(320)
                .flat_map(|plane| plane.chunks(20).rev())
                .flatten()
                .copied()
                .collect();
            assert_eq!(lines, *turned);
        }
        let erased = base().erase(Erase::new(0.5)).random_grey(1e-9);
        let erased = rows(&mut erased.build().unwrap(), 0);
        let jitter = base().jitter(JITTER);
        let jittered = rows(&mut jitter.build().unwrap(), 0);
        let both = base().jitter(JITTER).erase(Erase::new(0.5)).vflip(1e-9);
        let both = rows(&mut both.build().unwrap(), 0);
        let mut changed = 0;
        for row in 0..SAMPLES {
            for at in 0..plain[row].len() {
                // Where the one is erased the other is, and nowhere else.
                if erased[row][at] != plain[row][at] {
                    assert_eq!((erased[row][at], both[row][at]), (0, 0));
                    changed += 1;
                } else if plain[row][at] != 0 {
                    assert_eq!(both[row][at], jittered[row][at]);
                }
            }
        }
        assert!(changed > 0 && plain != jittered);
    });
}

// ---- transforms of the user's

/// Remembers the shapes it sees, and whose.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeSet<String>>>);

impl PixelTransform for Seen {
    fn apply(
        &self,
        pixels: ArrayViewMut3<'_, u8>,
        _: &mut Random,
        origin: &Origin<'_>,
    ) -> Result<(), Cause> {
        let (path, shape) = (origin.path().unwrap().display(), pixels.shape().to_vec());
        let seen = format!("{path} {shape:?} {} {}", origin.epoch(), origin.position());
        common::lock(&self.0).insert(seen);
        Ok(())
    }
}

#[test]
fn decoded_pictures_come_whole_and_in_colour() {
    within(|_| {
        let grey = b"P5 4 3 255\nabcdefghijkl".to_vec();
        let root = tree([("a/1.ppm", ppm(7, 5, 1)), ("a/2.pgm", grey)]);
        for (color, channels) in [(Color::Bgr, 3), (Color::Grey, 1)] {
            for side in [None, Some(4)] {
                let seen = Seen::default();
                let mut builder = builder(&root).color(color).before_resize(seen.clone());
                if let Some(side) = side {
                    builder = builder.fit(Fit::random_crop()).cache_side(side);
                }
                let mut loader = builder.build().unwrap();
                loader.epoch(1).unwrap().for_each(|batch| drop(batch.unwrap()));
                let expected = [
                    format!("a/1.ppm [5, 7, {channels}] 1 0"),
                    format!("a/2.pgm [3, 4, {channels}] 1 1"),
                ];
                assert!(common::lock(&seen.0).iter().eq(&expected), "{:?}", seen.0);
            }
        }
    });
}

/// A transform that does nothing changes nothing, and one that draws is the same
/// on any number of threads and in a preprocessor.
#[test]
fn decoded_pictures_are_changed_before_all_else() {
    within(|_| {
        let root = pictures();
        for color in [Color::Rgb, Color::Grey] {
            for fit in [Fit::Stretch, Fit::random_crop()] {
                let base = || everything(builder(&root)).color(color).fit(fit);
                let expected = rows(&mut base().build().unwrap(), 0);
                let nothing = |_: ArrayViewMut3<'_, u8>, _: &mut Random| Ok(());
                let mut same = base().before_resize(nothing).build().unwrap();
                // Lightness is taken before the resize either way.
                assert!(rows(&mut same, 0) == expected, "{color} {fit}");
                let drawn = || base().before_resize(shuffled::<u8>).before_resize(shuffled::<u8>);
                let one = rows(&mut drawn().threads(1).build().unwrap(), 1);
                assert!(one == rows(&mut drawn().threads(3).build().unwrap(), 1));
                assert!(one != rows(&mut base().before_resize(shuffled::<u8>).build().unwrap(), 1));
                let mut alone = drawn().preprocessor().unwrap();
                let mut row = vec![0.0; alone.row_len()];
                let encoded = std::fs::read(root.path().join("a/00.ppm")).unwrap();
                alone.preprocess_as(1, 0, &encoded, &mut row).unwrap();
                assert!(row == one[0], "{color} {fit}");
            }
        }
    });
}

#[test]
fn rows_come_in_their_layout_and_transforms_in_their_order() {
    within(|_| {
        let root = pictures();
        for (layout, shape) in [(Layout::Chw, [3, 16, 20]), (Layout::Hwc, [16, 20, 3])] {
            let first = move |mut row: ArrayViewMut3<'_, f32>, _: &mut Random| {
                assert_eq!(row.shape(), shape);
                row.fill(3.0);
                Ok(())
            };
            let second = |mut row: ArrayViewMut3<'_, f32>, random: &mut Random| {
                row.mapv_inplace(|value| value + 1.0 + random.unit() as f32 / 4.0);
                Ok(())
            };
            let mut loader = builder(&root)
                .layout(layout)
                .after_resize(first)
                .after_resize(second)
                .build()
                .unwrap();
            let rows = rows(&mut loader, 0);
            assert!(rows.iter().flatten().all(|value| (4.0..4.25).contains(value)));
            assert!(rows[0] != rows[1], "each has its own draws");
        }
    });
}

#[test]
fn a_transform_that_fails_or_panics_fails_its_sample() {
    within(|_| {
        let root = tree((0..6).map(|number| (format!("a/{number}.ppm"), ppm(7 + number, 5, 1))));
        let fails = |width: usize| match width {
            9 => Err(Cause::new(CauseKind::Refused, "nine")),
            10 => panic!("scripted panic"),
            _ => Ok(()),
        };
        let before = move |pixels: ArrayViewMut3<'_, u8>, _: &mut Random| fails(pixels.dim().1);
        // Rows have no width of their own: it is written into them.
        let mark = |mut pixels: ArrayViewMut3<'_, u8>, _: &mut Random| {
            let width = pixels.dim().1 as u8;
            pixels.fill(width);
            Ok(())
        };
        let after = move |row: ArrayViewMut3<'_, u8>, _: &mut Random| fails(row[[0, 0, 0]].into());
        let base = || builder(&root).dtype::<u8>();
        let late = || base().before_resize(mark).after_resize(after);
        for (what, make) in [
            ("before", &(|| base().before_resize(before)) as &dyn Fn() -> LoaderBuilder<u8>),
            ("after", &late),
        ] {
            for threads in [1, 3] {
                let mut loader = make().threads(threads).on_error(OnError::skip()).build().unwrap();
                let mut epoch = loader.epoch(0).unwrap();
                let delivered: usize = epoch.by_ref().map(|batch| batch.unwrap().len()).sum();
                assert_eq!(delivered, 4, "{what}");
                let failures = epoch.failures();
                assert_eq!(failures.len(), 2);
                for (number, (path, kind, message)) in [
                    ("a/2.ppm", CauseKind::Refused, "nine"),
                    ("a/3.ppm", CauseKind::Panicked, "scripted panic"),
                ]
                .into_iter()
                .enumerate()
                {
                    let failure = &failures[number];
                    assert_eq!(failure.path(), Path::new(path));
                    assert_eq!(failure.stage(), Stage::Transform, "{what}");
                    assert_eq!(
                        (failure.cause().kind(), failure.cause().message()),
                        (kind, message)
                    );
                }
            }
            let mut alone = make().preprocessor().unwrap();
            let mut row = vec![0; alone.row_len()];
            let (stage, cause) = alone.preprocess(&ppm(10, 5, 1), &mut row).unwrap_err();
            assert_eq!((stage, cause.kind()), (Stage::Transform, CauseKind::Panicked));
            alone.preprocess(&ppm(11, 5, 1), &mut row).unwrap();
        }
    });
}

#[test]
fn what_cannot_work_is_refused() {
    let root = tree([("a/1.ppm", ppm(7, 5, 1))]);
    let nothing = |_: ArrayViewMut3<'_, u8>, _: &mut Random| Ok(());
    let cached = builder(&root).before_resize(nothing).cache(Cache::memory(1 << 20));
    let error = cached.build().unwrap_err();
    assert_eq!(error.field(), Some("before_resize"));
    assert!(error.to_string().contains("after_resize"), "{error}");
    let late = builder(&root).after_resize(shuffled::<f32>).dtype::<u8>();
    let error = late.build().unwrap_err();
    assert_eq!(error.field(), Some("after_resize"));
    assert!(error.to_string().contains("call dtype first"), "{error}");
    // The same type is no other.
    let same = builder(&root).after_resize(shuffled::<f32>).dtype::<f32>();
    assert_eq!(same.resolve().unwrap().after_resize, 1);
}

/// Adds the sample's position, which only a transform object is told.
struct Position;

impl RowTransform<f32> for Position {
    fn apply(
        &self,
        mut row: ArrayViewMut3<'_, f32>,
        _: &mut Random,
        origin: &Origin<'_>,
    ) -> Result<(), Cause> {
        row.mapv_inplace(|value| value + origin.position() as f32);
        Ok(())
    }
}

#[test]
fn transforms_are_taken_as_objects_too() {
    within(|_| {
        let root = pictures();
        let dark = |mut pixels: ArrayViewMut3<'_, u8>, _: &mut Random| {
            pixels.fill(0);
            Ok(())
        };
        let before: [Box<dyn PixelTransform>; 2] = [Box::new(Seen::default()), Box::new(dark)];
        let shared: Arc<dyn PixelTransform> = Arc::new(dark);
        let after: Box<dyn RowTransform<f32>> = Box::new(Position);
        let again: Arc<dyn RowTransform<f32>> = Arc::new(Position);
        let builder = before.into_iter().fold(builder(&root), LoaderBuilder::before_resize);
        let builder = builder.before_resize(shared).after_resize(after).after_resize(again);
        for (position, row) in rows(&mut builder.build().unwrap(), 0).iter().enumerate() {
            assert!(row.iter().all(|value| *value == 2.0 * position as f32));
        }
    });
}

/// Every choice hangs on the position in the epoch of all ranks: not on the rank, the
/// place in a batch, the order of arrival, or where a run was resumed.
#[test]
fn choices_hang_on_the_global_position() {
    within(|_| {
        let root = pictures();
        let make =
            || everything(builder(&root)).fit(Fit::random_crop()).shuffle(9).after_resize(shuffled);
        type Rows = BTreeMap<(u64, bool), Vec<f32>>;
        let add = |rows: &mut Rows, batch: Batch| {
            let len = batch.as_slice().len() / batch.len();
            for (row, sample) in batch.as_slice().chunks(len).zip(batch.samples()) {
                let key = (sample.position(), sample.is_padding());
                assert!(rows.insert(key, row.to_vec()).is_none());
            }
        };
        let of = |loader: &mut Loader, rows: &mut Rows| {
            loader.epoch(2).unwrap().for_each(|batch| add(rows, batch.unwrap()));
        };
        let mut whole = Rows::new();
        of(&mut make().build().unwrap(), &mut whole);
        assert_eq!(whole.len(), SAMPLES);

        let mut of_ranks = Rows::new();
        (0..3).for_each(|rank| of(&mut make().shard(rank, 3).build().unwrap(), &mut of_ranks));
        assert!(of_ranks == whole);

        let mut unordered = Rows::new();
        let order = infeed::Order::Unordered;
        of(&mut make().order(order).threads(3).build().unwrap(), &mut unordered);
        assert!(unordered == whole);

        let mut resumed = Rows::new();
        let first = make().build().unwrap().epoch(2).unwrap().next().unwrap().unwrap();
        let state = first.state();
        add(&mut resumed, first);
        of(&mut make().batch_size(3).resume(state).build().unwrap(), &mut resumed);
        assert!(resumed == whole);

        let mut alone = make().preprocessor().unwrap();
        let mut row = vec![0.0; alone.row_len()];
        for batch in make().build().unwrap().epoch(2).unwrap() {
            for sample in batch.unwrap().samples() {
                let encoded = std::fs::read(root.path().join(sample.path())).unwrap();
                alone.preprocess_as(2, sample.position(), &encoded, &mut row).unwrap();
                assert!(row == whole[&(sample.position(), false)]);
            }
        }
    });
}

/// A batch's own numbers repeat, and differ from batch to batch and epoch to epoch.
#[test]
fn a_batch_has_random_numbers_of_its_own() {
    within(|_| {
        let root = pictures();
        let numbers = |seed| -> Vec<u64> {
            let mut loader = builder(&root).seed(seed).build().unwrap();
            let epochs = loader.epochs(0..2).unwrap();
            epochs.map(|batch| batch.unwrap().random().next_u64()).collect()
        };
        let (one, other) = (numbers(1), numbers(2));
        assert_eq!(one, numbers(1));
        let distinct: BTreeSet<u64> = one.iter().chain(&other).copied().collect();
        assert_eq!(distinct.len(), one.len() + other.len());
    });
}
