//! A folder as a source: order, membership, labels, and streaming while the walk
//! goes on.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::trees::{paths, ppm, tree};
use common::{Gate, within};
use infeed::source::{Admission, Listing, ReadFuture, Source};
use infeed::{Folder, Loader, LoaderBuilder, NO_LABEL};

fn small(root: &Path) -> LoaderBuilder<u8> {
    Loader::folder(root).dtype::<u8>().size(2, 2).batch_size(4)
}

#[test]
fn entries_come_by_name_as_bytes_depth_first_files_and_folders_in_one_order() {
    let names = ["B.ppm", "a/2.ppm", "a/b/1.ppm", "a/z.ppm", "a.ppm", "b.ppm", "10.ppm", "9.ppm"];
    let root = tree(names.map(|name| (name, ppm(2, 2, 1))));
    within(move |_| {
        let mut loader = small(root.path()).build().unwrap();
        // '.' sorts before a letter, but "a" before "a.ppm"; capitals before
        // small letters, digits before both.
        let expected =
            ["10.ppm", "9.ppm", "B.ppm", "a/2.ppm", "a/b/1.ppm", "a/z.ppm", "a.ppm", "b.ppm"];
        assert_eq!(paths(&mut loader), expected.map(PathBuf::from));
    });
}

#[test]
fn names_decide_membership_in_any_case() {
    let names = ["a.ppm", "b.PPM", "c.Jpg", "d.txt", "e", "f.ppm.bak", "g.webp"];
    let root = tree(names.map(|name| (name, ppm(2, 2, 1))));
    within(move |_| {
        let mut loader = small(root.path()).build().unwrap();
        // Content decides the decoder: all of them are PPM.
        let expected = ["a.ppm", "b.PPM", "c.Jpg", "g.webp"];
        assert_eq!(paths(&mut loader), expected.map(PathBuf::from));
        let folder = Folder::new(root.path()).pattern("*.{txt,bak}").unwrap();
        let mut loader = Loader::source(folder).dtype::<u8>().size(2, 2).build().unwrap();
        assert_eq!(paths(&mut loader), ["d.txt", "f.ppm.bak"].map(PathBuf::from));
    });
    let error = Folder::new("x").pattern("{").unwrap_err();
    assert_eq!(error.field(), Some("pattern"));
}

#[test]
fn first_level_folders_are_the_classes() {
    let names = ["b/1.ppm", "b/deep/a/2.ppm", "a/3.ppm", "C/4.ppm", "5.ppm"];
    let files = names.map(|name| (name, ppm(2, 2, 1)));
    let root = tree(files);
    std::fs::create_dir(root.path().join("empty")).unwrap();
    within(move |_| {
        let mut loader = small(root.path()).batch_size(8).build().unwrap();
        assert_eq!(*loader.classes(), ["C", "a", "b", "empty"]);
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        let labels: Vec<(PathBuf, i64)> = batch
            .samples()
            .iter()
            .map(|sample| sample.path().to_owned())
            .zip(batch.labels().iter().copied())
            .collect();
        let expected = [
            ("5.ppm", NO_LABEL),
            ("C/4.ppm", 0),
            ("a/3.ppm", 1),
            ("b/1.ppm", 2),
            ("b/deep/a/2.ppm", 2),
        ];
        assert_eq!(labels, expected.map(|(path, label)| (PathBuf::from(path), label)));
        assert_eq!(batch.samples()[0].label(), None);
    });
}

/// A folder whose walk stands still after so many samples, until the test has
/// seen enough.
struct Held {
    folder: Folder,
    after: usize,
    gate: Gate,
}

impl Source for Held {
    fn root(&self) -> PathBuf {
        self.folder.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        let mut listed = 0;
        self.folder.list(&mut listing.tap(|_| {
            if listed == self.after {
                self.gate.pass();
            }
            listed += 1;
            ControlFlow::Continue(())
        }))
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.folder.read(path, admission)
    }
}

#[test]
fn the_first_batch_comes_while_the_walk_goes_on() {
    const CLASSES: usize = 100;
    const EACH: usize = 1_000;
    let root = tempfile::tempdir().unwrap();
    let picture = ppm(2, 2, 1);
    for class in 0..CLASSES {
        let folder = root.path().join(format!("{class:03}"));
        std::fs::create_dir(&folder).unwrap();
        for number in 0..EACH {
            std::fs::write(folder.join(format!("{number:04}.ppm")), &picture).unwrap();
        }
    }
    within(move |watch| {
        let gate = Gate::closed();
        let source = Held { folder: Folder::new(root.path()), after: 50_000, gate: gate.clone() };
        let mut loader =
            Loader::source(source).dtype::<u8>().size(2, 2).batch_size(32).build().unwrap();
        watch.on(&loader);
        let monitor = loader.monitor();
        assert_eq!(loader.classes().len(), CLASSES);
        assert_eq!(loader.samples(), None);
        let mut epoch = loader.epoch(0).unwrap();
        let batch = epoch.next().unwrap().unwrap();
        assert_eq!(batch.len(), 32);
        assert_eq!(batch.samples()[31].path(), Path::new("000/0031.ppm"));
        let stats = monitor.stats();
        assert!(!stats.listing_complete && stats.listed <= 50_000, "{stats:?}");
        // With the gate closed still, some way into the epoch.
        for batch in epoch.by_ref().take(99) {
            assert_eq!(batch.unwrap().len(), 32);
        }
        assert!(!monitor.stats().listing_complete);
        gate.open();
        drop(epoch);
        common::eventually("the end of the walk", common::LIMIT, || loader.samples().is_some());
        assert_eq!(loader.samples(), Some(100_000));
        assert_eq!(loader.batches(), Some(3_125));
    });
}
