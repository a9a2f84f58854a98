//! A list as a source: rows, labels and targets under one index, whatever the
//! order and whatever fails.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::path::{Path, PathBuf};

use common::trees::{paths, ppm, tree};
use common::{LIMIT, within_limit};
use infeed::source::Source;
use infeed::{
    Batch, Cache, ErrorKind, LastBatch, List, Loader, LoaderBuilder, NO_LABEL, OnError, Order,
};
use tempfile::TempDir;

const SAMPLES: u32 = 11;

/// Eleven pictures in a folder and two lists of them that say the same: sample
/// `n` has class `n % 3`, but for the last, and the targets of [`targets`].
/// Pictures of `bad` samples cannot be decoded.
fn photos(bad: &[u32]) -> TempDir {
    let picture = |number: u32| match bad.contains(&number) {
        true => b"P6 2 2 255\n".to_vec(),
        false => ppm(2, 2, number),
    };
    let path = |number: u32| format!("photos/{}/{number}.ppm", number % 2);
    let root = tree((0..SAMPLES).map(|number| (path(number), picture(number))));
    let (mut table, mut lines) = ("class,path,vector\n".to_owned(), String::new());
    for number in 0..SAMPLES {
        let (path, [a, b]) = (path(number), target(number));
        let class = (number + 1 < SAMPLES).then_some(number % 3);
        let cell = class.map_or(String::new(), |class| format!("c{class}"));
        table += &format!("{cell},{path},{a} {b}\n");
        let class = class.map(|class| format!("c{class}"));
        let object = serde_json::json!({"path": path, "class": class, "vector": [a, b]});
        lines += &format!("{object}\n");
    }
    std::fs::write(root.path().join("list.csv"), table).unwrap();
    std::fs::write(root.path().join("list.jsonl"), lines).unwrap();
    root
}

fn target(number: u32) -> [f32; 2] {
    [number as f32 / 4.0, -(number as f32)]
}

fn small(list: &Path) -> LoaderBuilder<u8> {
    Loader::list(list).unwrap().dtype::<u8>().size(2, 2).batch_size(4).threads(3)
}

/// Every row says what the list says of its sample, in the batch as in the
/// sample.
fn check(batch: &Batch<u8>) {
    let (labels, targets) = (batch.labels(), batch.targets());
    assert_eq!(targets.shape(), [batch.len(), 2]);
    for (row, sample) in batch.samples().iter().enumerate() {
        let number = sample.index() as u32;
        let name = format!("photos/{}/{number}.ppm", number % 2);
        assert_eq!(sample.path(), Path::new(&name));
        assert_eq!(sample.target(), target(number));
        assert_eq!(targets.row(row).to_vec(), target(number));
        let label = if number + 1 < SAMPLES { i64::from(number % 3) } else { NO_LABEL };
        assert_eq!(labels[row], label);
        let pixels = ppm(2, 2, number);
        let pixels = &pixels[pixels.len() - 12..];
        let images = batch.images();
        let first: Vec<u8> = (0..3).map(|channel| images[[row, channel, 0, 0]]).collect();
        assert_eq!(first, pixels[..3]);
    }
}

/// The indices that an epoch delivers, every batch checked.
fn stream(builder: LoaderBuilder<u8>) -> Vec<u64> {
    within_limit(LIMIT, move |watch| {
        let mut loader = builder.build().unwrap();
        watch.on(&loader);
        assert_eq!(*loader.classes(), ["c0", "c1", "c2"]);
        let mut indices = Vec::new();
        for batch in loader.epochs(0..2).unwrap() {
            let batch = batch.unwrap();
            check(&batch);
            indices.extend(batch.samples().iter().map(infeed::Sample::index));
        }
        indices
    })
}

#[test]
fn targets_line_up_with_rows() {
    let root = photos(&[]);
    for list in ["list.csv", "list.jsonl"] {
        let list = root.path().join(list);
        let twice: Vec<u64> = (0..11).chain(0..11).collect();
        assert_eq!(stream(small(&list)), twice);
        let mut unordered = stream(small(&list).order(Order::Unordered));
        unordered.sort_unstable();
        assert_eq!(unordered, (0..11).flat_map(|index| [index; 2]).collect::<Vec<u64>>());
        let padded = stream(small(&list).last_batch(LastBatch::Pad));
        assert_eq!(padded[8..13], [8, 9, 10, 0, 0], "the last row is padding");
    }
}

#[test]
fn targets_line_up_where_samples_fail() {
    let root = photos(&[1, 4, 10]);
    let list = root.path().join("list.csv");
    for order in [Order::Ordered, Order::Unordered] {
        let small = || small(&list).order(order);
        let mut skipped = stream(small().on_error(OnError::skip()));
        skipped.sort_unstable();
        let good = [0, 2, 3, 5, 6, 7, 8, 9];
        assert_eq!(skipped, good.into_iter().flat_map(|index| [index; 2]).collect::<Vec<u64>>());
        let replaced = stream(small().on_error(OnError::replace()));
        assert_eq!(replaced.len(), 22);
        assert!(replaced.iter().all(|index| good.contains(index)));
    }
}

#[test]
fn parts_keep_the_targets() {
    let root = photos(&[]);
    let mut loader = small(&root.path().join("list.csv")).build().unwrap();
    let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
    let (images, targets) = (batch.images().to_owned(), batch.targets().to_owned());
    let parts = batch.into_parts();
    assert_eq!((parts.images, parts.targets), (images, targets));
    assert_eq!((parts.labels.len(), parts.samples.len()), (4, 4));
    let mut loader = Loader::folder(root.path()).dtype::<u8>().size(2, 2).build().unwrap();
    let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.targets().shape(), [11, 0], "a folder has none");
    assert!(batch.samples()[0].target().is_empty());
    assert_eq!(batch.into_parts().targets.shape(), [11, 0]);
}

#[test]
fn paths_start_at_the_list_or_where_one_says() {
    let root = tree([("a/1.ppm", ppm(2, 2, 1)), ("2.ppm", ppm(2, 2, 2))]);
    let lists = tempfile::tempdir().unwrap();
    let absolute = root.path().join("a/1.ppm");
    let list = lists.path().join("list.jsonl");
    let line = |path: &Path| format!("{}\n", serde_json::json!({"path": path}));
    let content = [line(&absolute), line(Path::new("2.ppm")), line(Path::new("2.ppm"))].concat();
    std::fs::write(&list, &content).unwrap();
    let source = List::open(&list).unwrap();
    assert_eq!(Source::root(&source), lists.path());
    let source = source.relative_to(root.path());
    assert_eq!(Source::root(&source), root.path());
    let mut loader = Loader::source(source).dtype::<u8>().size(2, 2).build().unwrap();
    assert_eq!(paths(&mut loader), [absolute, "2.ppm".into(), "2.ppm".into()]);
    std::fs::write(root.path().join("list.jsonl"), content).unwrap();
    let mut loader = small(&root.path().join("list.jsonl")).build().unwrap();
    assert_eq!(paths(&mut loader).len(), 3);
    // Where the list lies by itself, the absolute one is not the list's.
    let error = small(&list).build().unwrap_err();
    assert!(error.to_string().contains("line 1: path = "), "{error}");
    // And the others are not there.
    std::fs::write(&list, line(Path::new("2.ppm"))).unwrap();
    let mut loader = small(&list).build().unwrap();
    let error = loader.epoch(0).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.sample().unwrap().path(), Path::new("2.ppm"));
}

#[test]
fn a_list_reads_nothing_outside_of_its_folder() {
    let root = tree([("secret.ppm", ppm(2, 2, 1)), ("photos/1.ppm", ppm(2, 2, 2))]);
    let list = root.path().join("photos/list.csv");
    let absolute = root.path().join("secret.ppm").display().to_string();
    for outside in ["../secret.ppm", "1.ppm/../../secret.ppm", &absolute, "/dev/zero"] {
        std::fs::write(&list, format!("path\n1.ppm\n{outside}\n")).unwrap();
        let error = small(&list).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        let text = error.to_string();
        assert!(text.contains("line 3: path = ") && text.contains("relative_to"), "{text}");
    }
}

#[test]
fn a_wrong_row_is_told_before_anything_is_delivered() {
    let root = photos(&[]);
    let list = root.path().join("list.csv");
    let table = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{table}c0,photos/0/0.ppm,1 2 3\n")).unwrap();
    let error = small(&list).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(error.path(), Some(&*list));
    assert!(error.to_string().contains("line 13: it has a vector of 3"), "{error}");
}

#[test]
fn a_path_may_come_twice_also_with_a_cache() {
    let (root, place) = (tree([("a.ppm", ppm(2, 2, 1)), ("b.ppm", ppm(2, 2, 2))]), photos(&[]));
    let list = root.path().join("list.csv");
    std::fs::write(&list, "path,number\na.ppm,0\nb.ppm,1\na.ppm,2\n").unwrap();
    for cache in [Cache::None, Cache::memory(1 << 20), Cache::disk(place.path(), 1 << 20)] {
        let mut loader = small(&list).cache(cache).build().unwrap();
        let mut targets = Vec::new();
        for batch in loader.epochs(0..3).unwrap() {
            let batch = batch.unwrap();
            targets.extend(batch.targets().iter().copied());
            let images = batch.images();
            let row = |at| images.index_axis(ndarray::Axis(0), at);
            assert_eq!(row(0), row(2));
            assert_ne!(row(0), row(1));
        }
        assert_eq!(targets, [0.0, 1.0, 2.0].repeat(3));
    }
}

#[test]
fn a_missing_picture_fails_its_sample_alone() {
    let root = photos(&[]);
    let list = root.path().join("list.csv");
    std::fs::remove_file(root.path().join("photos/1/3.ppm")).unwrap();
    let mut loader = small(&list).build().unwrap();
    let items: Vec<_> = loader.epoch(0).unwrap().collect();
    let failed: Vec<PathBuf> = items
        .iter()
        .filter_map(|item| item.as_ref().err())
        .map(|error| error.sample().unwrap().path().to_owned())
        .collect();
    assert_eq!(failed, [PathBuf::from("photos/1/3.ppm")]);
    items.iter().flatten().for_each(check);
}
