//! The cache, through the public API: batches are byte-identical with and
//! without it, what it keeps is exactly what it says, and a file on disk is
//! either whole or not used.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::counted::Counted;
use common::oracle::Item;
use common::scripted::{Act, Scripted};
use common::trees::{jpeg, ppm, tree};
use common::{Gate, LIMIT, eventually, within};
use infeed::source::{Admission, Fingerprint, Listing, ReadFuture, Source};
use infeed::stats::CacheStats;
use infeed::{
    Cache, Cause, Color, Element, Filter, Fit, LastBatch, Layout, Loader, LoaderBuilder, OnError,
    Order, Split, bf16, f16,
};
use tempfile::TempDir;

const SAMPLES: u64 = 22;

/// Pictures of several kinds and shapes, in colour and without, in class folders.
fn pictures() -> TempDir {
    tree((0..SAMPLES as u32).map(|number| {
        let (width, height) = (30 + number % 7 * 5, 26 + number % 4 * 9);
        let class = if number < 12 { "a" } else { "b" };
        match number % 3 {
            0 => (format!("{class}/{number:02}.ppm"), ppm(width, height, number)),
            1 => {
                let encoded = jpeg(width as u16, height as u16, number);
                (format!("{class}/{number:02}.jpg"), encoded)
            }
            _ => {
                let mut encoded = format!("P5 {width} {height} 255\n").into_bytes();
                encoded.extend((0..width * height).map(|at| (at * number / 5) as u8));
                (format!("{class}/{number:02}.pgm"), encoded)
            }
        }
    }))
}

fn builder(source: &Counted) -> LoaderBuilder {
    Loader::source(source.clone()).batch_size(4).size(20, 16).threads(2)
}

/// What an epoch delivers: of each row its sample's index and values, in order.
fn rows<T: Element>(loader: &mut Loader<T>, epoch: u64) -> Vec<(u64, Vec<T>)> {
    let mut rows = Vec::new();
    for batch in loader.epoch(epoch).unwrap() {
        let batch = batch.unwrap();
        let len = batch.as_slice().len() / batch.len();
        let values = batch.as_slice().chunks(len).map(<[T]>::to_vec);
        rows.extend(batch.samples().iter().map(|sample| sample.index()).zip(values));
    }
    rows
}

fn sorted<V>(mut rows: Vec<(u64, V)>) -> Vec<(u64, V)> {
    rows.sort_by_key(|(index, _)| *index);
    rows
}

fn stats<T: Element>(loader: &Loader<T>) -> CacheStats {
    loader.stats().cache.unwrap()
}

fn counts<T: Element>(loader: &Loader<T>) -> (u64, u64) {
    let CacheStats { hits, misses, .. } = stats(loader);
    (hits, misses)
}

/// The files in a cache's folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn is_finished(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "cache")
}

/// The cache's only file.
fn only_file(dir: &TempDir) -> PathBuf {
    let files = files(dir.path());
    assert!(files.len() == 1 && is_finished(&files[0]), "{files:?}");
    files[0].clone()
}

/// The same, while its loader lives: the thread that had the last sample is
/// finishing it.
fn until_finished(dir: &TempDir) {
    eventually("a finished file", LIMIT, || {
        let files = files(dir.path());
        files.len() == 1 && is_finished(&files[0])
    });
}

fn disk(dir: &TempDir) -> Cache {
    Cache::disk(dir.path(), 1 << 30)
}

/// A training and a validation that share the folder share nothing else: both are warm
/// afterwards.
#[test]
fn each_part_of_a_source_has_a_file_of_its_own() {
    within(|_| {
        let (root, dir) = (pictures(), tempfile::tempdir().unwrap());
        let run = |builder: LoaderBuilder| {
            let builder = builder.size(20, 16).cache(disk(&dir));
            let mut loader = builder.build().unwrap();
            let rows = rows(&mut loader, 0).len() as u64;
            (rows, counts(&loader))
        };
        let parts = || {
            let all = || Loader::folder(root.path());
            let split = [Split::train(0.6), Split::validation(0.4)].map(|side| all().split(side));
            let fold = [0, 1].map(|fold| all().subset((fold..SAMPLES).step_by(2)));
            split.into_iter().chain(fold).map(run).collect::<Vec<_>>()
        };
        let cold: u64 = parts().iter().map(|(rows, _)| rows).sum();
        assert_eq!(cold, 2 * SAMPLES);
        for (rows, counts) in parts() {
            assert!(rows > 0 && counts == (rows, 0), "{counts:?} of {rows}");
        }
        assert_eq!(files(dir.path()).len(), 4);
    });
}

// ---- the same bytes

/// Three epochs cached and not, in memory and on disk.
fn same_bytes<T: Element>(
    source: &Counted,
    change: impl Fn(LoaderBuilder) -> LoaderBuilder,
    what: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let make = |cache| {
        let builder = change(builder(source)).flip(0.5).seed(3).dtype::<T>();
        builder.cache(cache).build().unwrap()
    };
    let mut plain = make(Cache::None);
    let expected: Vec<_> = (0..3).map(|epoch| sorted(rows(&mut plain, epoch))).collect();
    assert!(expected[0] != expected[1], "{what}: pictures are mirrored by epoch and position");
    for cache in [Cache::memory(1 << 20), disk(&dir), disk(&dir)] {
        let mut loader = make(cache.clone());
        for (epoch, expected) in expected.iter().enumerate() {
            let found = rows(&mut loader, epoch as u64);
            let found = if what.contains("unordered") { sorted(found) } else { found };
            assert!(found == *expected, "{what}, {cache}, epoch {epoch}");
        }
        let (hits, misses) = counts(&loader);
        assert_eq!(hits + misses, 3 * SAMPLES, "{what}, {cache}");
        assert!(hits >= 2 * SAMPLES, "{what}, {cache}: {hits} hits");
    }
}

#[test]
fn batches_are_byte_identical_for_every_element_type_layout_and_color() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        for layout in [Layout::Chw, Layout::Hwc] {
            for color in [Color::Rgb, Color::Bgr, Color::Grey] {
                let change = |builder: LoaderBuilder| builder.layout(layout).color(color);
                let normal = |builder| match color {
                    Color::Grey => change(builder).normalize([0.4; 3], [0.2; 3]),
                    _ => change(builder).normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]),
                };
                same_bytes::<u8>(&source, change, &format!("u8 {layout} {color}"));
                same_bytes::<f32>(&source, normal, &format!("f32 {layout} {color}"));
                same_bytes::<f16>(&source, normal, &format!("f16 {layout} {color}"));
                same_bytes::<bf16>(&source, normal, &format!("bf16 {layout} {color}"));
            }
        }
    });
}

#[test]
fn batches_are_byte_identical_for_any_fit_filter_order_and_number_of_threads() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let fits = [
            Fit::Stretch,
            Fit::Crop { shorter: Some(24) },
            Fit::Crop { shorter: None },
            Fit::random_crop(),
        ];
        for (number, fit) in fits.into_iter().enumerate() {
            for threads in [1, 5] {
                let filter =
                    [Filter::Bilinear, Filter::OpencvBilinear, Filter::Lanczos][number % 3];
                let change = |builder: LoaderBuilder| {
                    let builder = builder.fit(fit).filter(filter).threads(threads);
                    match fit {
                        Fit::RandomCrop { .. } => builder.cache_side(24),
                        _ => builder,
                    }
                };
                let unordered = |builder| change(builder).order(Order::Unordered);
                same_bytes::<f32>(&source, change, &format!("{fit}, {threads} threads"));
                // Unordered a sample keeps its position, and with it its draws.
                same_bytes::<u8>(&source, unordered, &format!("{fit}, {threads} unordered"));
            }
        }
    });
}

#[test]
fn random_crops_are_what_a_preprocessor_makes_of_the_scaled_picture() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let random = || builder(&source).fit(Fit::random_crop()).flip(0.5).cache_side(25);
        let mut alone = random().preprocessor().unwrap();
        let mut loader = random().cache(Cache::memory(1 << 20)).build().unwrap();
        for epoch in 0..3 {
            for batch in loader.epoch(epoch).unwrap() {
                let batch = batch.unwrap();
                let len = alone.row_len();
                for (sample, row) in batch.samples().iter().zip(batch.as_slice().chunks(len)) {
                    let encoded = fs::read(root.path().join(sample.path())).unwrap();
                    let mut expected = vec![0.0; len];
                    alone.preprocess_as(epoch, sample.position(), &encoded, &mut expected).unwrap();
                    assert!(row == expected, "epoch {epoch}, {}", sample.path().display());
                }
            }
        }
        // And it is not what the unscaled pictures give.
        let mut unscaled = builder(&source).fit(Fit::random_crop()).flip(0.5).build().unwrap();
        assert!(rows(&mut unscaled, 0) != rows(&mut loader, 0));
    });
}

// ---- what is kept

#[test]
fn later_epochs_read_nothing() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let mut loader = builder(&source).cache(Cache::memory(1 << 20)).build().unwrap();
        for epoch in 0..3 {
            let mut batches = loader.epoch(epoch).unwrap();
            batches.by_ref().for_each(|batch| drop(batch.unwrap()));
            let stats = batches.stats();
            let all = (stats.cache_hits, stats.cache_misses);
            assert_eq!(all, if epoch == 0 { (0, SAMPLES) } else { (SAMPLES, 0) });
            assert_eq!(stats.stages.transform.items, SAMPLES);
            assert_eq!(stats.stages.decode.items, all.1);
            drop(batches);
            assert_eq!(source.take_read().len() as u64, all.1);
        }
        let cache = stats(&loader);
        assert_eq!((cache.hits, cache.misses, cache.samples), (2 * SAMPLES, SAMPLES, SAMPLES));
        assert!(cache.bytes <= cache.limit_bytes && (cache.hit_rate() - 2.0 / 3.0).abs() < 1e-9);
        assert!(source.take_looked_at().is_empty(), "in memory nobody asks whether it changed");
    });
}

/// Bytes that a cache counts for each sample of 20 x 16 pixels.
fn bytes_each(source: &Counted, cache: Cache) -> u64 {
    let mut loader = builder(source).cache(cache).build().unwrap();
    rows(&mut loader, 0);
    stats(&loader).bytes / SAMPLES
}

#[test]
fn over_the_limit_the_same_samples_are_kept_whatever_the_threads() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let all: Vec<PathBuf> =
            infeed::source::list(&source).unwrap().into_iter().map(|(path, _)| path).collect();
        let scratch = tempfile::tempdir().unwrap();
        let in_memory = bytes_each(&source, Cache::memory(1 << 20));
        let on_disk = bytes_each(&source, disk(&scratch));
        let _ = (source.take_read(), source.take_looked_at());
        for threads in [1, 2, 7] {
            for order in [Order::Ordered, Order::Unordered] {
                for kept in [1, 9, 21] {
                    let dir = tempfile::tempdir().unwrap();
                    let limit = kept * on_disk + on_disk / 2 + 4096;
                    let memory = Cache::memory(kept * in_memory + in_memory / 2);
                    for cache in [memory, Cache::disk(dir.path(), limit)] {
                        let builder = builder(&source).threads(threads).order(order);
                        let mut loader = builder.cache(cache.clone()).build().unwrap();
                        for epoch in 0..3 {
                            rows(&mut loader, epoch);
                            let mut read = all.clone();
                            if epoch > 0 {
                                read.drain(..kept as usize);
                            }
                            assert_eq!(source.take_read(), read, "{threads} {order} {cache}");
                            // What is not kept is not looked at either.
                            let looked_at = source.take_looked_at();
                            assert!(
                                looked_at.iter().all(|path| all[..kept as usize].contains(path))
                            );
                        }
                        assert_eq!(stats(&loader).samples, kept);
                        drop(loader);
                        if cache == Cache::disk(dir.path(), limit) {
                            assert!(fs::metadata(only_file(&dir)).unwrap().len() <= limit);
                        }
                    }
                }
            }
        }
    });
}

/// Scaled pictures have any size: which of them fit is known only in the end.
#[test]
fn over_the_limit_scaled_pictures_come_to_the_same_subset() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let mut subsets = Vec::new();
        for threads in [1, 2, 7] {
            for limit in [16 << 10, 30 << 10] {
                let builder = builder(&source).fit(Fit::random_crop()).cache_side(26);
                let cache = Cache::memory(limit);
                let mut loader = builder.threads(threads).cache(cache).build().unwrap();
                rows(&mut loader, 0);
                source.take_read();
                rows(&mut loader, 1);
                let read = source.take_read();
                assert!(!read.is_empty() && read.len() < SAMPLES as usize);
                subsets.push((limit, read));
            }
        }
        assert!(subsets.iter().all(|(limit, read)| {
            subsets.iter().filter(|(other, _)| other == limit).all(|(_, other)| other == read)
        }));
    });
}

/// A file that is begun lies in the folder until its loader goes.
#[test]
fn a_full_file_of_scaled_pictures_is_not_begun_anew() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let make = || {
            let builder = builder(&source).fit(Fit::random_crop()).cache_side(26).threads(1);
            builder.cache(Cache::disk(dir.path(), 40 << 10)).build().unwrap()
        };
        let expected = rows(&mut make(), 0);
        let file = only_file(&dir);
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let mut again = make();
        assert!(rows(&mut again, 0) == expected && rows(&mut again, 1) != expected);
        assert!(counts(&again).0 > 0 && stats(&again).samples < SAMPLES);
        only_file(&dir);
        drop(again);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    });
}

// ---- failures, cancelled and overlapping epochs

fn items(loader: &mut Loader<u8>, epochs: std::ops::Range<u64>) -> Vec<Item> {
    loader.epochs(epochs).unwrap().map(Item::from).collect()
}

#[test]
fn failed_samples_are_never_kept() {
    within(|_| {
        let mut acts = vec![Act::Good; 40];
        for (at, act) in Act::FAILING.into_iter().enumerate() {
            acts[3 + 5 * at] = act;
        }
        let failing = Act::FAILING.len() as u64;
        let plain = Scripted::new(acts.clone());
        let cached = Scripted::new(acts);
        for policy in [OnError::Fail, OnError::skip()] {
            let make = |source: &Scripted| source.loader().batch_size(4).on_error(policy);
            let mut expected = make(&plain).build().unwrap();
            let mut loader = make(&cached).cache(Cache::memory(1 << 20)).build().unwrap();
            assert_eq!(items(&mut loader, 0..1), items(&mut expected, 0..1));
            assert_eq!(counts(&loader), (0, 40));
            assert_eq!(items(&mut loader, 1..3), items(&mut expected, 1..3));
            assert_eq!(counts(&loader), (2 * (40 - failing), 40 + 2 * failing));
            assert_eq!(stats(&loader).samples, 40 - failing);
        }
    });
}

#[test]
fn substitutes_are_kept_as_themselves() {
    within(|_| {
        let mut acts = vec![Act::Good; 30];
        for at in [0, 7, 8, 29] {
            acts[at] = Act::FAILING[at % Act::FAILING.len()];
        }
        let (plain, cached) = (Scripted::new(acts.clone()), Scripted::new(acts));
        let make = |source: &Scripted| {
            source.loader().batch_size(4).on_error(OnError::replace()).last_batch(LastBatch::Pad)
        };
        let mut expected = make(&plain).build().unwrap();
        let mut loader = make(&cached).cache(Cache::memory(1 << 20)).build().unwrap();
        assert_eq!(items(&mut loader, 0..6), items(&mut expected, 0..6));
        assert_eq!(stats(&loader).samples, 26);
    });
}

/// Several epochs are under way at once, and a sample in all of them.
#[test]
fn announced_epochs_may_overlap() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        for order in [Order::Ordered, Order::Unordered] {
            let dir = tempfile::tempdir().unwrap();
            for cache in [Cache::memory(1 << 20), disk(&dir)] {
                let make = || builder(&source).dtype::<u8>().order(order).prefetch(32).threads(4);
                let mut loader = make().cache(cache).build().unwrap();
                let all: Vec<_> = {
                    let rows = |batch: infeed::Batch<u8>| {
                        let len = batch.as_slice().len() / batch.len();
                        let values = batch.as_slice().chunks(len).map(<[u8]>::to_vec);
                        let indices = batch.samples().iter().map(|sample| sample.index());
                        indices.zip(values).collect::<Vec<_>>()
                    };
                    let batches = loader.epochs(0..8).unwrap();
                    sorted(batches.flat_map(|batch| rows(batch.unwrap())).collect())
                };
                let once = sorted(rows(&mut make().build().unwrap(), 0));
                let expected: Vec<_> =
                    once.iter().flat_map(|row| std::iter::repeat_n(row.clone(), 8)).collect();
                assert!(all == expected);
                let (hits, misses) = counts(&loader);
                assert_eq!(hits + misses, 8 * SAMPLES);
                assert_eq!(stats(&loader).samples, SAMPLES);
            }
        }
    });
}

#[test]
fn what_an_epoch_that_was_left_has_made_serves_the_next() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let expected = rows(&mut builder(&source).build().unwrap(), 1);
        let dir = tempfile::tempdir().unwrap();
        for cache in [Cache::memory(1 << 20), disk(&dir)] {
            let mut loader = builder(&source).prefetch(1).cache(cache).build().unwrap();
            let mut epoch = loader.epoch(0).unwrap();
            drop(epoch.next().unwrap().unwrap());
            drop(epoch);
            assert!(rows(&mut loader, 1) == expected);
            let (hits, misses) = counts(&loader);
            // The first batch was there; of the next, what came before the end.
            assert!(hits >= 4 && misses <= 2 * SAMPLES - 4, "{hits} hits, {misses} misses");
            assert_eq!(stats(&loader).samples, SAMPLES);
            assert!(rows(&mut loader, 2) == expected);
        }
        only_file(&dir);
    });
}

// ---- on disk

#[test]
fn a_later_run_reads_no_source_file() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let mut first = builder(&source).cache(disk(&dir)).build().unwrap();
        let expected = rows(&mut first, 0);
        until_finished(&dir);
        // Of its own epochs the later ones look at no source file at all.
        let _ = (source.take_read(), source.take_looked_at());
        assert!(rows(&mut first, 1) == expected);
        assert!(source.take_read().is_empty() && source.take_looked_at().is_empty());
        drop(first);
        // A run of another element type, order and number of threads shares it.
        let make = || builder(&source).threads(3).order(Order::Unordered).dtype::<f16>();
        let mut other = make().cache(disk(&dir)).build().unwrap();
        let _ = (source.take_read(), source.take_looked_at());
        let mut plain = make().build().unwrap();
        let halves = sorted(rows(&mut plain, 0));
        source.take_read();
        for epoch in 0..2 {
            assert!(sorted(rows(&mut other, epoch)) == halves);
            assert!(source.take_read().is_empty());
            let asked = source.take_looked_at().len() as u64;
            assert_eq!(asked, if epoch == 0 { SAMPLES } else { 0 }, "once in a run");
        }
        assert_eq!(counts(&other), (2 * SAMPLES, 0));
        only_file(&dir);
    });
}

#[test]
fn a_changed_source_is_decoded_anew() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let run = || {
            let mut loader = builder(&source).cache(disk(&dir)).build().unwrap();
            source.take_read();
            let rows = rows(&mut loader, 0);
            (rows, source.take_read(), stats(&loader))
        };
        run();
        let earlier = |path: &Path, seconds| {
            let file = fs::File::options().write(true).open(path).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - Duration::from_secs(seconds)).unwrap();
        };
        // Another content of the same size, written at another time; another size
        // at the same time; a file that is gone; one that is new.
        let (same_size, same_time) = (root.path().join("a/00.ppm"), root.path().join("a/03.ppm"));
        fs::write(&same_size, ppm(30, 26, 99)).unwrap();
        earlier(&same_size, 5);
        let modified = fs::metadata(&same_time).unwrap().modified().unwrap();
        fs::write(&same_time, ppm(31, 40, 98)).unwrap();
        fs::File::options().write(true).open(&same_time).unwrap().set_modified(modified).unwrap();
        fs::remove_file(root.path().join("a/06.ppm")).unwrap();
        fs::write(root.path().join("a/05a.ppm"), ppm(40, 40, 97)).unwrap();
        let (found, read, stats) = run();
        let names = ["a/00.ppm", "a/03.ppm", "a/05a.ppm"].map(PathBuf::from);
        assert_eq!(read, names);
        assert_eq!((stats.hits, stats.misses, stats.stale), (SAMPLES - 3, 3, 2));
        assert!(found == rows(&mut builder(&source).build().unwrap(), 0));
        let (again, read, _) = run();
        assert!(again == found && read.is_empty());
    });
}

#[test]
fn pixels_that_could_not_be_read_again_take_no_room_on_disk() {
    within(|_| {
        // The long one has more bytes of pixels than its file, the budget here.
        let (long, short) = (jpeg(40, 2000, 1), jpeg(60, 40, 2));
        let most = long.len() as u64;
        assert!(most < 40 * 2000 * 3);
        let root = tree([("a.jpg", long), ("b.jpg", short)]);
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let builder = builder(&source).fit(Fit::random_crop()).cache_side(40);
        let builder = builder.max_file_bytes(most).batch_size(1).prefetch(1);
        let mut loader = builder.cache(disk(&dir)).build().unwrap();
        for epoch in 0..3 {
            rows(&mut loader, epoch);
        }
        assert_eq!((counts(&loader), stats(&loader).samples), ((2, 4), 1));
    });
}

#[test]
fn another_configuration_is_not_served() {
    within(|_| {
        let root = pictures();
        let other_root = pictures();
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let changes: [&dyn Fn(LoaderBuilder) -> LoaderBuilder; 10] = [
            &|builder| builder,
            &|builder| builder.size(16, 20),
            &|builder| builder.fit(Fit::Crop { shorter: None }),
            &|builder| builder.filter(Filter::Bilinear),
            &|builder| builder.layout(Layout::Hwc),
            &|builder| builder.color(Color::Bgr),
            &|builder| builder.allow_truncated(true),
            &|builder| builder.max_pixels(10_000),
            &|builder| builder.max_scans(7),
            &|builder| builder.fit(Fit::random_crop()).cache_side(22),
        ];
        for (number, change) in changes.iter().enumerate() {
            let make = || change(builder(&source));
            let mut loader = make().cache(disk(&dir)).build().unwrap();
            source.take_read();
            let found = rows(&mut loader, 0);
            assert_eq!(source.take_read().len() as u64, SAMPLES, "change {number}");
            assert!(found == rows(&mut make().build().unwrap(), 0));
            drop(loader);
            assert_eq!(files(dir.path()).len(), number + 1);
        }
        // What does not decide pixels shares a file; so do crops of any size.
        let shared: [&dyn Fn(LoaderBuilder) -> LoaderBuilder; 3] = [
            &|builder| builder.normalize([0.5; 3], [0.5; 3]).batch_size(3).seed(9).readers(2),
            &|builder| builder.flip(1.0).last_batch(LastBatch::Pad),
            &|builder| builder.fit(Fit::random_crop()).cache_side(22).size(9, 9).seed(4),
        ];
        for change in shared {
            let mut loader = change(builder(&source)).cache(disk(&dir)).build().unwrap();
            source.take_read();
            rows(&mut loader, 0);
            assert!(source.take_read().is_empty());
        }
        // Another source of the same names does not.
        let other = Counted::new(other_root.path());
        let mut loader = builder(&other).cache(disk(&dir)).build().unwrap();
        rows(&mut loader, 0);
        assert_eq!(other.take_read().len() as u64, SAMPLES);
        drop(loader);
        assert_eq!(files(dir.path()).len(), changes.len() + 1);
    });
}

#[test]
fn a_damaged_file_is_never_served_and_is_mended() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let expected = rows(&mut builder(&source).build().unwrap(), 0);
        let dir = tempfile::tempdir().unwrap();
        let run = || {
            let mut loader = builder(&source).cache(disk(&dir)).build().unwrap();
            assert!(rows(&mut loader, 0) == expected);
            stats(&loader)
        };
        run();
        let file = only_file(&dir);
        let whole = fs::read(&file).unwrap();
        let mut hurt = 0;
        let flips = (0..whole.len()).step_by(whole.len() / 70).chain([whole.len() - 1]);
        let flips = flips.map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            bytes
        });
        let cuts = (0..whole.len()).step_by(whole.len() / 20).map(|len| whole[..len].to_vec());
        for bytes in flips.chain(cuts) {
            fs::write(&file, bytes).unwrap();
            let cache = run();
            assert_eq!(cache.misses > 0, cache.damaged > 0, "{cache:?}");
            hurt += u64::from(cache.damaged > 0);
            let cache = run();
            assert_eq!((cache.hits, cache.misses, cache.damaged), (SAMPLES, 0, 0));
        }
        assert!(hurt >= 40, "{hurt}");
    });
}

#[test]
fn what_a_run_that_ended_early_has_made_is_not_lost() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let expected = rows(&mut builder(&source).build().unwrap(), 0);
        let dir = tempfile::tempdir().unwrap();
        let early = || {
            let mut loader = builder(&source).cache(disk(&dir)).build().unwrap();
            drop(loader.epoch(0).unwrap().next().unwrap().unwrap());
            stats(&loader)
        };
        assert_eq!(early().hits, 0);
        let file = only_file(&dir);
        let first = fs::metadata(&file).unwrap().len();
        assert!(early().hits >= 4);
        let mut loader = builder(&source).cache(disk(&dir)).build().unwrap();
        assert!(rows(&mut loader, 0) == expected);
        let (hits, misses) = counts(&loader);
        assert!(hits >= 4 && hits + misses == SAMPLES, "{hits} hits, {misses} misses");
        drop(loader);
        assert!(fs::metadata(only_file(&dir)).unwrap().len() > first);
        let mut loader = builder(&source).cache(disk(&dir)).build().unwrap();
        assert!(rows(&mut loader, 0) == expected);
        assert_eq!(counts(&loader), (SAMPLES, 0));
    });
}

/// Samples that no epoch comes to do not keep the file from being finished.
#[test]
fn the_file_is_finished_when_all_that_an_epoch_has_came_by() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        for last in [LastBatch::Keep, LastBatch::Drop, LastBatch::Pad] {
            let dir = tempfile::tempdir().unwrap();
            let make = builder(&source).last_batch(last).cache(disk(&dir));
            let mut loader = make.build().unwrap();
            rows(&mut loader, 0);
            until_finished(&dir);
            let kept = if last == LastBatch::Drop { SAMPLES / 4 * 4 } else { SAMPLES };
            assert_eq!(stats(&loader).samples, kept);
        }
    });
}

#[test]
fn a_folder_that_goes_away_costs_the_cache_and_nothing_else() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let expected = rows(&mut builder(&source).build().unwrap(), 0);
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("some/where");
        let mut loader = builder(&source).cache(Cache::disk(&place, 1 << 30)).build().unwrap();
        assert!(place.is_dir(), "it is made");
        fs::remove_dir_all(&place).unwrap();
        for epoch in 0..2 {
            assert!(rows(&mut loader, epoch) == expected);
        }
        let cache = stats(&loader);
        assert_eq!((cache.hits, cache.misses, cache.samples), (0, 2 * SAMPLES, 0));
        assert_eq!(cache.write_errors, 1);
    });
}

/// Looking at a sample hangs; reading it would not.
struct Hanging(Counted, Gate);

impl Source for Hanging {
    fn root(&self) -> PathBuf {
        self.0.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        self.0.list(listing)
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.0.read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        if path.ends_with("03.ppm") {
            self.1.pass();
        }
        self.0.fingerprint(path)
    }
}

#[test]
fn a_look_that_hangs_fails_its_sample_in_time() {
    within(|_| {
        let root = pictures();
        let gate = Gate::closed();
        let dir = tempfile::tempdir().unwrap();
        let mut loader = Loader::source(Hanging(Counted::new(root.path()), gate.clone()))
            .size(20, 16)
            .batch_size(4)
            .on_error(OnError::skip())
            .read_timeout(Some(Duration::from_millis(300)))
            .cache(disk(&dir))
            .build()
            .unwrap();
        assert_eq!(rows(&mut loader, 0).len() as u64, SAMPLES - 1);
        assert_eq!(loader.stats().stuck_reads, 1);
        gate.open();
    });
}

// ---- several processes

#[cfg(feature = "cli")]
mod processes {
    use std::process::{Child, Command, Stdio};

    use serde_json::Value;

    use super::*;

    /// Enough for a process to be seen at work.
    const MANY: u64 = 600;

    fn many() -> TempDir {
        tree((0..MANY as u32).map(|number| (format!("{number:04}.ppm"), ppm(64, 48, number))))
    }

    fn start(root: &TempDir, dir: &TempDir, more: &[&str]) -> Child {
        let cache = format!("disk:{}:1GiB", dir.path().display());
        Command::new(env!("CARGO_BIN_EXE_infeed"))
            .args(["run", root.path().to_str().unwrap(), "--json", "--size", "64"])
            .args(["--cache", &cache])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn report(child: Child) -> Value {
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The folder holds one file, from which every pixel is served right.
    fn check(root: &TempDir, dir: &TempDir) {
        only_file(dir);
        let make = || Loader::folder(root.path()).size(64, 64).dtype::<u8>();
        let mut loader = make().cache(disk(dir)).build().unwrap();
        assert!(rows(&mut loader, 0) == rows(&mut make().build().unwrap(), 0));
        assert_eq!(counts(&loader), (MANY, 0));
        assert_eq!(stats(&loader).damaged, 0);
    }

    #[test]
    fn processes_that_build_at_once_leave_one_whole_file() {
        within(|_| {
            let (root, dir) = (many(), tempfile::tempdir().unwrap());
            let children: Vec<Child> = (0..3).map(|_| start(&root, &dir, &[])).collect();
            for child in children {
                let report = report(child);
                assert_eq!(report["images"], MANY);
                assert_eq!(report["cache"]["write_errors"], 0);
            }
            check(&root, &dir);
            let shared: Vec<Child> =
                (0..3).map(|_| start(&root, &dir, &["--threads", "2"])).collect();
            for child in shared {
                let report = report(child);
                assert_eq!(report["cache"]["hits"], MANY);
                assert_eq!(report["cache"]["hit_rate"], 1.0);
                assert_eq!(report["epochs"][0]["cache_hits"], MANY);
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_is_killed_while_writing_leaves_nothing_torn() {
        within(|_| {
            let root = many();
            for round in 0..4 {
                let dir = tempfile::tempdir().unwrap();
                let mut child = start(&root, &dir, &["--threads", "1"]);
                // Killed with more and more written.
                eventually("a file being written", LIMIT, || {
                    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |file| file.len());
                    files(dir.path()).iter().map(size).sum::<u64>() > round * 1_000_000
                });
                // SIGKILL; it may be done already.
                child.kill().unwrap();
                child.wait().unwrap();
                let left = files(dir.path());
                assert_eq!(left.len(), 1, "{left:?}");
                let whole = is_finished(&left[0]);
                let report = report(start(&root, &dir, &[]));
                assert_eq!(report["cache"]["damaged"], 0);
                assert_eq!(report["cache"]["misses"], if whole { 0 } else { MANY });
                check(&root, &dir);
            }
        });
    }
}

// ---- what is refused

#[test]
fn a_cache_that_cannot_be_is_refused_when_the_loader_is_built() {
    within(|_| {
        let root = pictures();
        let source = Counted::new(root.path());
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "no folder").unwrap();
        let refused = |builder: LoaderBuilder<u8>| {
            let error = builder.build().unwrap_err();
            assert_eq!(error.field(), Some("cache"), "{error}");
            error.to_string()
        };
        let folder = |cache| builder(&source).dtype::<u8>().cache(cache);
        let message = refused(folder(Cache::disk(blocked.join("below"), 1 << 30)));
        assert!(message.contains("cannot be made"), "{message}");
        // Room for not even one sample.
        refused(folder(Cache::memory(900)));
        refused(folder(Cache::disk(dir.path(), 4096)));
        // A source that cannot tell what has changed, a decoder nobody knows.
        let scripted = Scripted::good(4);
        let message = refused(Loader::source(scripted.clone()).dtype::<u8>().cache(disk(&dir)));
        assert!(message.contains("Source::fingerprint"), "{message}");
        let message = refused(folder(disk(&dir)).decoder(scripted.clone()));
        assert!(message.contains("Decode::identity"), "{message}");
        assert!(scripted.loader().cache(Cache::memory(1 << 20)).build().is_ok());
    });
}
