//! Part of a source: a split by paths, a subset by indices. What is left out
//! does not exist for anything behind it.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::scripted::{Scripted, Walk};
use common::trees::{paths, ppm, tree};
use common::within;
use infeed::{ErrorKind, LastBatch, Loader, LoaderBuilder, Split};
use tempfile::TempDir;

const PICTURES: u32 = 40;

fn photos() -> TempDir {
    tree((0..PICTURES).map(|number| (format!("{}/{number}.ppm", number % 3), ppm(2, 2, number))))
}

fn small(root: &Path) -> LoaderBuilder<u8> {
    Loader::folder(root).dtype::<u8>().size(2, 2).batch_size(4)
}

fn side(root: &Path, split: Split) -> BTreeSet<PathBuf> {
    paths(&mut small(root).split(split).build().unwrap()).into_iter().collect()
}

#[test]
fn the_sides_of_a_split_have_all_samples_and_none_in_common() {
    let root = photos();
    let root = root.path();
    let (train, validation) = (Split::train(0.75), Split::validation(0.25));
    let (mut left, right) = (side(root, train), side(root, validation));
    assert!(left.is_disjoint(&right));
    assert!((20..40).contains(&left.len()), "{}", left.len());
    left.extend(right.iter().cloned());
    assert_eq!(left.len(), PICTURES as usize);
    assert_ne!(side(root, validation.seed(1)), right);

    // The loader's own seed and threads change nothing of it.
    let again = paths(&mut small(root).split(validation).seed(5).threads(4).build().unwrap());
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), right);
}

#[test]
fn more_files_move_none_to_the_other_side() {
    let root = photos();
    let split = Split::validation(0.3);
    let before = side(root.path(), split);
    for number in PICTURES..2 * PICTURES {
        std::fs::write(root.path().join(format!("0/0{number}.ppm")), ppm(2, 2, number)).unwrap();
    }
    std::fs::remove_file(root.path().join(before.first().unwrap())).unwrap();
    let after = side(root.path(), split);
    let old = |path: &&PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with("04");
    let stayed = after.iter().filter(old).filter(|path| before.contains(*path)).count();
    assert_eq!(stayed, before.len() - 1);
    let added = |path: &&PathBuf| !before.contains(*path);
    assert!(after.iter().filter(added).all(|path| path.starts_with("0")));
}

#[test]
fn what_is_left_is_numbered_anew_and_keeps_its_classes() {
    let root = photos();
    let mut loader = small(root.path())
        .subset([39, 20, 21, 0, 2, 4])
        .last_batch(LastBatch::Pad)
        .build()
        .unwrap();
    assert_eq!(*loader.classes(), ["0", "1", "2"]);
    let all = paths(&mut small(root.path()).build().unwrap());
    let batches: Vec<_> = loader.epoch(0).unwrap().map(Result::unwrap).collect();
    let samples: Vec<_> = batches.iter().flat_map(infeed::Batch::samples).collect();
    let expected = [0, 2, 4, 20, 21, 39, 0, 2];
    assert_eq!(samples.len(), expected.len());
    for (position, (sample, index)) in samples.into_iter().zip(expected).enumerate() {
        assert_eq!(sample.path(), all[index]);
        assert_eq!(sample.index(), position as u64 % 6);
        assert_eq!(
            sample.label().unwrap().to_string(),
            all[index].iter().next().unwrap().to_str().unwrap()
        );
    }
    assert_eq!((loader.samples(), loader.batches()), (Some(6), Some(2)));
    let config = loader.config();
    assert_eq!((config.subset, config.split), (Some(6), None));
}

#[test]
fn a_subset_that_is_complete_does_not_wait_for_the_walk() {
    within(|watch| {
        let source = Scripted::with(vec![Default::default(); 20], Walk::HeldAfter(9), 0);
        let mut loader = source.loader().batch_size(4).subset(5..9).build().unwrap();
        watch.on(&loader);
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.samples()[0].path(), Scripted::path(5));
        common::eventually("the end of the walk", common::LIMIT, || loader.samples() == Some(4));
        source.walk_gate().open();
    });
}

#[test]
fn an_index_that_the_source_does_not_have_ends_the_run() {
    within(|watch| {
        let source = Scripted::good(6);
        let mut loader = source.loader().batch_size(2).subset([0, 1, 6, 9]).build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        assert_eq!(epoch.next().unwrap().unwrap().len(), 2);
        let error = epoch.next().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("subset")));
        assert!(error.to_string().starts_with("subset = 9: the source has 6 samples"), "{error}");
        assert!(epoch.next().is_none());
    });
}

#[test]
fn a_selection_that_leaves_nothing_says_so() {
    let root = photos();
    let error = small(root.path()).split(Split::validation(1e-9)).build().unwrap_err();
    assert_eq!(error.field(), Some("split"));
    assert!(error.to_string().contains("it leaves none of 40 samples"), "{error}");
    assert_eq!(small(root.path()).subset([]).build().unwrap_err().field(), Some("subset"));
    let empty = tempfile::tempdir().unwrap();
    let error = small(empty.path()).subset([3]).build().unwrap_err();
    assert!(error.to_string().contains("no image was found"), "{error}");
}
