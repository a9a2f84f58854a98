//! Exports as they are made, broken off, resumed, shared, merged and verified: folders
//! are compared byte by byte, and the real NumPy opens them.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![allow(clippy::print_stderr, reason = "what is skipped says so")]
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use infeed::export::{Export, NpyElement, ShardSize, Summary, merge, verify};
use infeed::source::{Admission, Fingerprint, Listing, ReadFuture, Source};
use infeed::{
    Budget, Cause, ErrorKind, Fit, Jitter, LastBatch, Layout, Loader, LoaderBuilder, OnError,
    Sampling, Shard, f16,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use common::command::{INFEED, hearing, infeed, numpy_says, stderr, text, wait};
use common::scripted::Scripted;
use common::trees::{ppm, tree};
use common::{within, within_limit};

/// Pictures in two classes; those whose number `bad` says cannot be decoded.
fn pictures(count: u32, bad: impl Fn(u32) -> bool) -> TempDir {
    tree((0..count).map(|number| {
        let class = if number % 3 == 0 { "a" } else { "b" };
        let mut picture = ppm(12, 10, number);
        if bad(number) {
            picture.truncate(40);
        }
        (format!("{class}/{number:04}.ppm"), picture)
    }))
}

fn builder(root: &Path) -> LoaderBuilder<u8> {
    Loader::folder(root).dtype::<u8>().size(8, 6).batch_size(4)
}

fn samples<T: NpyElement>(builder: LoaderBuilder<T>, out: &Path, samples: u64) -> Export<T> {
    Export::new(builder, out).shard_size(ShardSize::Samples(samples))
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}

#[track_caller]
fn same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (files(one), files(other));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "{what}");
    for (name, bytes) in &one {
        if *bytes != other[name] {
            let text =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
            panic!("{what}: {name} differs:\n{}\n{}", text(bytes), text(&other[name]));
        }
    }
}

fn lines(out: &Path) -> Vec<Value> {
    let manifest = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a loader delivers, row after row: bytes of images, labels, and indices.
fn delivered<T: NpyElement>(builder: LoaderBuilder<T>) -> (Vec<u8>, Vec<i64>, Vec<u64>) {
    let mut loader = builder.build().unwrap();
    let (mut images, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for batch in loader.epoch(0).unwrap() {
        let batch = batch.unwrap();
        images.extend_from_slice(bytemuck::cast_slice(batch.as_slice()));
        labels.extend(batch.labels());
        indices.extend(batch.samples().iter().map(infeed::Sample::index));
    }
    (images, labels, indices)
}

/// An export of one element type in one layout, its raw rows beside it; for the script.
fn case<T: NpyElement>(root: &Path, out: &Path, layout: Layout, single: bool) -> Value {
    let builder = || Loader::folder(root).size(8, 6).batch_size(4).layout(layout).dtype::<T>();
    let name = format!("{}-{layout}-{single}", T::DTYPE);
    let to = out.join(&name);
    samples(builder(), &to, 4).single(single).run().unwrap();
    assert_eq!(verify(&to).unwrap().problems, []);
    let (images, labels, _) = delivered(builder());
    let raw = out.join(format!("{name}.bin"));
    fs::write(&raw, images).unwrap();
    let row = if layout == Layout::Chw { [3, 6, 8] } else { [6, 8, 3] };
    json!({"folder": to, "raw": raw, "dtype": T::DESCR, "row": row, "labels": labels})
}

#[test]
fn numpy_opens_every_type_and_layout() {
    within(|_| {
        let (root, out) = (pictures(10, |_| false), tempfile::tempdir().unwrap());
        let mut cases = Vec::new();
        for layout in [Layout::Chw, Layout::Hwc] {
            for single in [false, true] {
                cases.push(case::<u8>(root.path(), out.path(), layout, single));
                cases.push(case::<f16>(root.path(), out.path(), layout, single));
                cases.push(case::<f32>(root.path(), out.path(), layout, single));
            }
        }
        numpy_says(
            "
import glob
for case in json.loads(sys.argv[1]):
    raw = numpy.fromfile(case['raw'], case['dtype']).reshape([10] + case['row'])
    for mode in (None, 'r'):
        files = sorted(glob.glob(case['folder'] + '/images*.npy'))
        images = [numpy.load(file, mmap_mode=mode) for file in files]
        assert all(i.dtype == raw.dtype and i.flags.c_contiguous for i in images)
        assert [len(i) for i in images] in ([4, 4, 2], [10]), files
        assert numpy.concatenate(images).tobytes() == raw.tobytes(), case
        files = sorted(glob.glob(case['folder'] + '/labels*.npy'))
        labels = numpy.concatenate([numpy.load(file, mmap_mode=mode) for file in files])
        assert labels.dtype == numpy.int64 and labels.tolist() == case['labels']
",
            &Value::Array(cases).to_string(),
        );
        let bf16 = infeed(&["export", text(root.path()), "out", "--dtype", "bf16"]);
        assert_eq!(bf16.status.code(), Some(2));
        assert!(stderr(&bf16).contains("NumPy has no bf16"), "{}", stderr(&bf16));
    });
}

/// Python as the documentation has it.
#[test]
fn the_documentation_loads_an_export() {
    within(|_| {
        let docs = include_str!("../docs/export.md");
        let blocks = docs.split("```python\n").skip(1);
        let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
        let (root, out) = (pictures(10, |_| false), tempfile::tempdir().unwrap());
        samples(builder(root.path()), out.path(), 4).run().unwrap();
        let numpy = format!("out = sys.argv[1]\n{}\nassert first.shape == (3, 6, 8)", blocks[0]);
        numpy_says(&numpy, text(out.path()));
        // With as much of PyTorch as it needs, where there is none.
        let stub = "
import types
try:
    import torch
except ImportError:
    torch = sys.modules['torch'] = types.ModuleType('torch')
    torch.from_numpy = lambda array: array
    torch.utils = types.SimpleNamespace(data=types.SimpleNamespace(Dataset=object))
";
        let says = "
dataset = Exported(sys.argv[1])
labels = [dataset[n][1] for n in range(len(dataset))]
assert len(dataset) == 10 and labels == [0] * 4 + [1] * 6, labels
assert tuple(dataset[9][0].shape) == (3, 6, 8)
expected = numpy.load(f'{sys.argv[1]}/images-00001.npy')[1]
assert (numpy.asarray(dataset[5][0]) == expected).all()
";
        numpy_says(&format!("{stub}{}{says}", blocks[1]), text(out.path()));
    });
}

#[test]
fn a_shard_of_nothing_is_an_array_of_nothing() {
    within(|_| {
        let (root, out) = (pictures(9, |number| number < 3), tempfile::tempdir().unwrap());
        // Sorted by class: a/0000, a/0003, a/0006, b/0001, b/0002, ..
        let builder = || builder(root.path()).on_error(OnError::skip()).batch_size(1);
        for single in [false, true] {
            let to = out.path().join(single.to_string());
            let summary = samples(builder(), &to, 2).single(single).run().unwrap();
            assert_eq!((summary.images, summary.failed, summary.shards), (6, 3, 5));
            assert_eq!(verify(&to).unwrap().problems, []);
        }
        let rows: Vec<Value> =
            lines(&out.path().join("true")).iter().map(|l| l["row"].clone()).collect();
        assert_eq!(rows, [0, 1, 2, 3, 4, 5]);
        numpy_says(
            "
for mode in (None, 'r'):
    shapes = [numpy.load(f'{sys.argv[1]}/false/images-{n:05}.npy', mmap_mode=mode).shape for n in range(5)]
    assert [s[0] for s in shapes] == [1, 1, 1, 2, 1], shapes
    assert numpy.load(f'{sys.argv[1]}/true/images.npy', mmap_mode=mode).shape == (6, 3, 6, 8)
",
            text(out.path()),
        );
        let root = pictures(8, |number| number % 3 == 0);
        let to = out.path().join("gap");
        let skipping = Loader::folder(root.path()).dtype::<u8>().size(8, 6).batch_size(2);
        samples(skipping.on_error(OnError::skip()), &to, 3).run().unwrap();
        assert_eq!(verify(&to).unwrap().problems, []);
        numpy_says(
            "
for mode in (None, 'r'):
    assert numpy.load(f'{sys.argv[1]}/images-00000.npy', mmap_mode=mode).shape == (0, 3, 6, 8)
    assert numpy.load(f'{sys.argv[1]}/labels-00000.npy', mmap_mode=mode).shape == (0,)
",
            text(&to),
        );
    });
}

/// All that is random, and samples that fail.
fn varied(root: &Path, on_error: OnError) -> LoaderBuilder<f32> {
    Loader::folder(root)
        .size(8, 6)
        .batch_size(4)
        .shuffle(7)
        .fit(Fit::random_crop())
        .flip(0.5)
        .jitter(Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 })
        .on_error(on_error)
}

/// Runs until so many images are decoded, and stops; whether it had ended before.
fn broken_off<T: NpyElement>(export: Export<T>, images: u64) -> bool {
    let mut exporting = export.start().unwrap();
    let stop = exporting.stop_handle();
    let done = exporting.run(|progress| {
        if progress.images >= images {
            stop.stop();
        }
    });
    match done {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
            assert!(!exporting.summary().ended);
            false
        }
    }
}

#[test]
fn bytes_depend_on_the_configuration_and_the_samples_alone() {
    within(|_| {
        let root = pictures(61, |number| number % 7 == 2);
        let out = tempfile::tempdir().unwrap();
        for (name, single, on_error) in [
            ("shards", false, OnError::skip()),
            ("shards-replaced", false, OnError::replace()),
            ("single", true, OnError::skip()),
            ("single-replaced", true, OnError::replace()),
        ] {
            let to = |what: &str| out.path().join(format!("{name}-{what}"));
            let export = |builder, to: &Path| samples(builder, to, 5).single(single);
            let whole = to("whole");
            let summary = export(varied(root.path(), on_error), &whole).run().unwrap();
            assert_eq!((summary.shards, summary.ended), (13, true));
            assert!(summary.failed >= 8, "{summary:?}");
            assert_eq!(verify(&whole).unwrap().problems, []);
            let (images, labels, indices) = delivered(varied(root.path(), on_error));
            let told = lines(&whole);
            let index: Vec<u64> = told.iter().map(|line| line["index"].as_u64().unwrap()).collect();
            assert_eq!(index, indices);
            let read = |kind: &str| -> Vec<u8> {
                let files = files(&whole);
                let arrays = files.iter().filter(|(name, _)| name.starts_with(kind));
                arrays.flat_map(|(_, bytes)| bytes[128..].to_vec()).collect()
            };
            assert_eq!(read("images"), images);
            assert_eq!(read("labels"), bytemuck::cast_slice::<i64, u8>(&labels));

            for (batch, threads) in [(1, 1), (3, 2), (64, 3)] {
                let other = varied(root.path(), on_error).batch_size(batch).threads(threads);
                let to = to(&format!("batch-{batch}"));
                export(other, &to).run().unwrap();
                same(&whole, &to, "another batch size");
            }
            // Broken off again and again, each time with other batches.
            for seed in 1..6_u64 {
                let to = to(&format!("broken-{seed}"));
                for round in 0.. {
                    let batch = [1, 7, 4, 3, 16][((seed + round) % 5) as usize];
                    let other = varied(root.path(), on_error).batch_size(batch);
                    if broken_off(export(other, &to), seed * 3 + round) {
                        break;
                    }
                    let complete = verify(&to).unwrap();
                    assert!(!complete.ended && complete.problems.len() == 1, "{complete:?}");
                }
                same(&whole, &to, "broken off");
            }
            if single && on_error == OnError::skip() {
                continue;
            }
            for (world, order) in [(3, [2, 0, 1]), (2, [1, 0, 0])] {
                let to = to(&format!("parts-{world}"));
                for rank in order.into_iter().take(world as usize) {
                    let part =
                        export(varied(root.path(), on_error), &to).part(Shard { rank, world });
                    assert!(!part.run().unwrap().ended);
                }
                assert!(merge(&to).unwrap().ended);
                same(&whole, &to, "parts");
                assert!(merge(&to).unwrap().ended, "once more is no harm");
            }
        }
    });
}

/// As many bytes that they go to the disk directly, where there are such writes.
#[test]
fn rows_of_megabytes_are_the_same_in_shards_parts_and_one_file() {
    within(|_| {
        let (root, out) = (pictures(13, |_| false), tempfile::tempdir().unwrap());
        let builder = || Loader::folder(root.path()).size(511, 500).batch_size(2);
        let (images, _, _) = delivered(builder());
        for single in [false, true] {
            let export = |to: &Path| samples(builder(), to, 4).single(single);
            let whole = out.path().join(format!("whole-{single}"));
            export(&whole).run().unwrap();
            assert_eq!(verify(&whole).unwrap().problems, []);
            let files = files(&whole);
            let arrays = files.iter().filter(|(name, _)| name.starts_with("images"));
            let written: Vec<u8> =
                arrays.flat_map(|(_, bytes)| bytes[128..].iter().copied()).collect();
            assert!(written == images, "{single}");
            let broken = out.path().join(format!("broken-{single}"));
            assert!(!broken_off(export(&broken), 7));
            export(&broken).run().unwrap();
            same(&whole, &broken, "broken off");
            let parts = out.path().join(format!("parts-{single}"));
            std::thread::scope(|scope| {
                for rank in 0..3 {
                    let part = export(&parts).part(Shard { rank, world: 3 });
                    scope.spawn(move || assert!(!part.run().unwrap().ended));
                }
            });
            assert!(merge(&parts).unwrap().ended);
            same(&whole, &parts, "parts");
        }
    });
}

#[test]
fn every_sampling_and_last_batch_is_exported() {
    within(|_| {
        let (root, out) = (pictures(23, |_| false), tempfile::tempdir().unwrap());
        let weighted: Sampling = "weighted:balanced:37".parse().unwrap();
        for (name, sampling, last) in [
            ("pad", Sampling::Shuffle, LastBatch::Pad),
            ("drop", Sampling::Sequential, LastBatch::Drop),
            ("weighted", weighted, LastBatch::Keep),
        ] {
            let builder = || builder(root.path()).sampling(sampling.clone()).last_batch(last);
            let (images, labels, indices) = delivered(builder());
            let whole = out.path().join(name);
            samples(builder(), &whole, 6).run().unwrap();
            let all = files(&whole);
            let of = |kind: &str| -> Vec<u8> {
                let arrays = all.iter().filter(|(name, _)| name.starts_with(kind));
                arrays.flat_map(|(_, bytes)| bytes[128..].to_vec()).collect()
            };
            assert_eq!(
                (of("images"), of("labels")),
                (images, bytemuck::cast_slice(&labels).to_vec())
            );
            assert_eq!(lines(&whole).len(), indices.len());
            let broken = out.path().join(format!("{name}-broken"));
            let mut images = 1;
            while !broken_off(samples(builder(), &broken, 6), images) {
                images += 3;
            }
            same(&whole, &broken, name);
            let parts = out.path().join(format!("{name}-parts"));
            for rank in 0..3 {
                samples(builder(), &parts, 6).part(Shard { rank, world: 3 }).run().unwrap();
            }
            merge(&parts).unwrap();
            same(&whole, &parts, name);
        }
    });
}

/// A shard that was lost is made again, and nothing else is.
#[test]
fn a_hole_is_filled() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        for single in [false, true] {
            let [whole, holed] =
                ["whole", "holed"].map(|name| out.path().join(format!("{name}-{single}")));
            samples(builder(root.path()), &whole, 4).single(single).run().unwrap();
            let of = || samples(builder(root.path()), &holed, 4).single(single);
            assert!(!broken_off(of(), 34));
            let journal = holed.join(".infeed-export");
            fs::remove_file(journal.join("shard-00002.jsonl")).unwrap();
            fs::remove_file(journal.join("shard-00003.jsonl")).unwrap();
            match single {
                true => fs::remove_file(journal.join("shard-00005.jsonl")).unwrap(),
                // Recorded, and not there.
                false => fs::remove_file(holed.join("labels-00005.npy")).unwrap(),
            }
            let mut exporting = of().start().unwrap();
            let before = exporting.summary();
            assert_eq!(exporting.left(), 10 - before.complete);
            assert!(before.complete >= 4, "{before:?}");
            exporting.run(|_| {}).unwrap();
            let made = exporting.stats().write.items;
            assert_eq!(made, 4 * (10 - before.complete), "complete shards are not made again");
            same(&whole, &holed, "a hole");
        }
    });
}

#[test]
fn what_is_asked_for_must_be_what_was_begun() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let of = || samples(builder(root.path()), &to, 4);
        let refused = |export: Export<u8>, parts: &[&str]| {
            let error = export.start().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        };
        let differ = |what: &str| {
            let size = builder(root.path()).size(9, 6).flip(0.5);
            let told = ["size.width was 8 and is now 9", "flip was 0.0 and is now 0.5", what];
            refused(samples(size, &to, 4), &told);
            refused(samples(builder(root.path()), &to, 5), &["shard_size was 4 and is now 5"]);
            refused(of().single(true), &["single was false and is now true"]);
            let skipping = builder(root.path()).on_error(OnError::replace());
            if what == "an export of" {
                refused(samples(skipping, &to, 4), &["on_error was fail and is now replace"]);
            }
        };
        assert!(!broken_off(of(), 9));
        differ("has not ended");
        refused(of().resume(false), &["has not ended", "resume"]);
        // What changes nothing of the bytes may change.
        let other = builder(root.path()).batch_size(3).threads(2).prefetch(1);
        assert!(!broken_off(samples(other, &to, 4), 2));

        let added = root.path().join("a/9999.ppm");
        fs::write(&added, ppm(12, 10, 1)).unwrap();
        refused(of(), &["source.samples was 20 and is now 21"]);
        fs::remove_file(&added).unwrap();
        fs::rename(root.path().join("a/0000.ppm"), root.path().join("a/0001.ppm")).unwrap();
        refused(of(), &["source.names"]);
        fs::rename(root.path().join("a/0001.ppm"), root.path().join("a/0000.ppm")).unwrap();

        of().run().unwrap();
        differ("an export of");
        let again = of().run().unwrap();
        assert_eq!((again.ended, again.resumed, again.images), (true, 5, 20));
        fs::write(to.join("notes.txt"), "mine").unwrap();
        let smaller = samples(builder(root.path()), &to, 15).overwrite(true).run().unwrap();
        assert_eq!((smaller.shards, smaller.resumed), (2, 0));
        assert!(to.join("notes.txt").exists() && !to.join("images-00002.npy").exists());
        assert_eq!(verify(&to).unwrap().problems, []);

        // Without export.json and journal nobody knows what the files are.
        fs::remove_file(to.join("export.json")).unwrap();
        refused(of(), &["images-00000.npy", "whose it is"]);
        refused(of().overwrite(true), &["images-00000.npy", "whose it is"]);
        assert!(to.join("images-00000.npy").exists());
        fs::write(to.join("export.json"), "{}").unwrap();
        refused(of(), &["It is no export's"]);
        refused(of().overwrite(true), &["images-00000.npy", "whose it is"]);
        // Of another version, of which no more is known.
        fs::write(to.join("export.json"), r#"{"plan": {"infeed": "9", "format": 9}}"#).unwrap();
        refused(of(), &["Another version", "overwrite"]);
        fs::write(to.join("images-1.npy"), "mine").unwrap();
        let again = of().overwrite(true).run().unwrap();
        assert_eq!((again.shards, again.ended), (5, true));
        assert!(to.join("images-1.npy").exists(), "no export has such a file");
        fs::remove_file(to.join("export.json")).unwrap();
        refused(of().overwrite(true).part(Shard { rank: 0, world: 2 }), &["overwrite"]);
        let single = samples(builder(root.path()).on_error(OnError::skip()), &to, 4).single(true);
        refused(single.part(Shard { rank: 0, world: 2 }), &["single file", "replace"]);
        refused(samples(builder(root.path()).shard(0, 2), &to, 4), &["--shard-of"]);
        let unordered = builder(root.path()).order(infeed::Order::Unordered);
        refused(samples(unordered, &to, 4), &["ordered"]);
    });
}

/// Pictures are changed in between, or are another folder's of the same names.
#[test]
fn files_are_those_that_it_was_begun_with() {
    within(|_| {
        let out = tempfile::tempdir().unwrap();
        let refused = |root: &Path, to: &Path, parts: &[&str]| {
            let error = samples(builder(root), to, 4).start().unwrap_err();
            assert_eq!(error.field(), Some("out"), "{error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        };
        for ended in [false, true] {
            let (root, other) = (pictures(20, |_| false), pictures(20, |_| false));
            let to = out.path().join(format!("ended-{ended}"));
            assert!(ended || !broken_off(samples(builder(root.path()), &to, 4), 14));
            assert!(!ended || samples(builder(root.path()), &to, 4).run().unwrap().ended);
            let later = std::time::SystemTime::now() + Duration::from_secs(3600);
            let touched = fs::File::options().write(true).open(other.path().join("a/0000.ppm"));
            touched.unwrap().set_modified(later).unwrap();
            let told = ["a/0000.ppm", "was last changed at", "overwrite"];
            refused(other.path(), &to, &told);
            // The last one of the first shard.
            let picture = root.path().join("a/0009.ppm");
            let modified = fs::metadata(&picture).unwrap().modified().unwrap();
            fs::write(&picture, ppm(14, 10, 9)).unwrap();
            refused(root.path(), &to, &["a/0009.ppm had 373 bytes and has 433 now", "overwrite"]);
            fs::write(&picture, ppm(12, 10, 9)).unwrap();
            let restored = fs::File::options().write(true).open(&picture).unwrap();
            restored.set_modified(modified).unwrap();
            drop(restored);
            assert!(samples(builder(root.path()), &to, 4).run().unwrap().ended);
            // What is told is what helps.
            let anew = samples(builder(other.path()), &to, 4).overwrite(true).run().unwrap();
            assert_eq!((anew.ended, anew.resumed), (true, 0));
            assert_eq!(verify(&to).unwrap().problems, []);
        }
    });
}

/// Whatever an overwrite is broken off at, either command ends with the new export alone.
#[test]
fn an_overwrite_goes_on_and_leaves_nothing_of_the_old() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let old = |to: &Path| samples(builder(root.path()), to, 2).run().unwrap();
        let new = |to: &Path| samples(builder(root.path()), to, 10);
        let whole = out.path().join("whole");
        new(&whole).run().unwrap();
        for overwrite in [false, true] {
            // Killed when so many files of the old one were gone: a journal without a plan.
            for gone in [0, 1, 7, 21] {
                let to = out.path().join(format!("gone-{gone}-{overwrite}"));
                assert_eq!(old(&to).shards, 10);
                fs::create_dir(to.join(".infeed-export")).unwrap();
                fs::remove_file(to.join("export.json")).unwrap();
                let names = files(&to).into_keys().filter(|name| !name.starts_with('.'));
                names.take(gone).for_each(|name| fs::remove_file(to.join(name)).unwrap());
                new(&to).overwrite(overwrite).run().unwrap();
                same(&whole, &to, "an overwrite that was broken off");
            }
            // Stopped when the new one has begun.
            let to = out.path().join(format!("begun-{overwrite}"));
            old(&to);
            assert!(!broken_off(new(&to).overwrite(true), 14));
            let mut again = new(&to).overwrite(overwrite).start().unwrap();
            assert_eq!(again.summary().complete, 1, "what is complete stays");
            again.run(|_| {}).unwrap();
            same(&whole, &to, "an overwrite that goes on");
        }
        // A bad file is left out in the second try, as the error says.
        let to = out.path().join("skips");
        old(&to);
        assert!(!broken_off(new(&to).overwrite(true), 14));
        let skips = builder(root.path()).on_error(OnError::skip());
        let again = samples(skips, &to, 10).overwrite(true).run().unwrap();
        assert_eq!((again.resumed, again.ended), (1, true));
        // A part cannot know whether others are at work.
        let to = out.path().join("part");
        old(&to);
        fs::create_dir(to.join(".infeed-export")).unwrap();
        fs::remove_file(to.join("export.json")).unwrap();
        let error = new(&to).part(Shard { rank: 0, world: 2 }).start().unwrap_err();
        assert!(error.to_string().contains("about to be overwritten"), "{error}");
        // Nor does a stray shard stay that came in between.
        let to = out.path().join("stray");
        assert!(!broken_off(new(&to), 14));
        fs::copy(whole.join("images-00001.npy"), to.join("images-00002.npy")).unwrap();
        new(&to).run().unwrap();
        same(&whole, &to, "a stray shard");
    });
}

/// A folder of which one file cannot be looked at so many times, and each takes a while.
struct Flaky {
    folder: infeed::Folder,
    fails: std::sync::atomic::AtomicU32,
    takes: Duration,
}

impl Source for Flaky {
    fn root(&self) -> PathBuf {
        self.folder.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        self.folder.list(listing)
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.folder.read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        use std::sync::atomic::Ordering::Relaxed;
        if !self.takes.is_zero() {
            wait(self.takes);
        }
        let fails = path.ends_with("0004.ppm")
            && self.fails.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        match fails {
            true => Err(Cause::new(infeed::CauseKind::Io, "not now")),
            false => self.folder.fingerprint(path),
        }
    }
}

/// Once more, and then it is an error: never a line that says the source knows nothing.
#[test]
fn a_file_that_cannot_be_looked_at_is_no_null() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let of = |to: &str, fails: u32, takes: u64| {
            let takes = Duration::from_millis(takes);
            let source =
                Flaky { folder: infeed::Folder::new(root.path()), fails: fails.into(), takes };
            let builder = Loader::source(source).dtype::<u8>().size(8, 6).batch_size(16);
            samples(builder, &out.path().join(to), 4).run()
        };
        let whole = out.path().join("whole");
        of("whole", 0, 0).unwrap();
        for (to, fails, takes) in [("again", 1, 0), ("slow", 0, 1), ("slow-again", 1, 1)] {
            of(to, fails, takes).unwrap();
            same(&whole, &out.path().join(to), to);
        }
        for (to, takes) in [("fails", 0), ("slow-fails", 1)] {
            let error = of(to, 2, takes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::System, "{error}");
            let told = format!("{error:?} {error}");
            for part in ["0004.ppm", "not now", "goes on"] {
                assert!(told.contains(part), "{part} in {told}");
            }
            of(to, 0, 0).unwrap();
            same(&whole, &out.path().join(to), to);
        }
    });
}

/// Nobody reads what is printed, or it cannot be printed as it is.
#[cfg(unix)]
#[test]
fn what_is_printed_decides_nothing() {
    use std::os::unix::ffi::OsStrExt;

    let (root, out) = (pictures(10, |_| false), tempfile::tempdir().unwrap());
    let to = out.path().join(std::ffi::OsStr::from_bytes(b"out-\xff"));
    let mut command = Command::new(INFEED);
    command.args(["export", text(root.path())]).arg(&to).args(["--size", "8", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["export"]["out"].as_str().unwrap().ends_with("out-\u{fffd}"), "{report}");
    fs::remove_file(to.join("labels-00000.npy")).unwrap();
    let mut command = Command::new(INFEED);
    command.arg("verify").arg(&to).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1), "a damaged export");
}

/// A record says by what it was made.
#[test]
fn records_of_another_export_do_not_count() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let [one, other] = ["one", "other"].map(|name| out.path().join(name));
        let flipped = || builder(root.path()).flip(0.5);
        assert!(!broken_off(samples(builder(root.path()), &one, 4), 14));
        assert!(!broken_off(samples(flipped(), &other, 4), 14));
        for name in ["images-00000.npy", "labels-00000.npy", ".infeed-export/shard-00000.jsonl"] {
            fs::copy(one.join(name), other.join(name)).unwrap();
        }
        let exporting = samples(flipped(), &other, 4).start().unwrap();
        let complete = exporting.summary().complete;
        assert_eq!(exporting.left(), 5 - complete);
        drop(exporting);
        samples(flipped(), &other, 4).run().unwrap();
        let whole = out.path().join("whole");
        samples(flipped(), &whole, 4).run().unwrap();
        same(&whole, &other, "a record of another export");
        // Nothing has failed so far: what becomes of failed samples may change.
        let policy = builder(root.path()).on_error(OnError::skip());
        let summary = samples(policy, &one, 4).run().unwrap();
        assert!(summary.resumed > 0 && summary.ended, "{summary:?}");
    });
}

/// A single file's last step was killed between two names, or its records have a gap.
#[test]
fn verify_tells_no_wrong_of_a_single_file_that_is_to_go_on() {
    within(|_| {
        let root = pictures(30, |number| number % 9 == 1);
        let out = tempfile::tempdir().unwrap();
        let of = || {
            let builder = builder(root.path()).on_error(OnError::skip());
            samples(builder, out.path(), 3).single(true)
        };
        assert!(!broken_off(of(), 20));
        fs::rename(out.path().join(".images.npy.tmp"), out.path().join("images.npy")).unwrap();
        let only = |complete: u64| {
            let found = verify(out.path()).unwrap();
            assert!(found.problems.len() == 1 && !found.ended, "{found:?}");
            assert!(found.problems[0].problem.contains("has not ended"), "{found:?}");
            assert!(found.complete >= complete, "{found:?}");
        };
        only(3);
        fs::remove_file(out.path().join(".infeed-export/shard-00001.jsonl")).unwrap();
        only(1);
        assert!(of().run().unwrap().ended);
        assert_eq!(verify(out.path()).unwrap().problems, []);
    });
}

/// Numbers of a damaged `export.json` are problems, and no panic.
#[test]
fn a_damaged_claim_is_told() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        samples(builder(root.path()), out.path(), 6).run().unwrap();
        let file = out.path().join("export.json");
        let whole: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for place in [
            "/images",
            "/failed",
            "/bytes",
            "/manifest/bytes",
            "/shards/1/row",
            "/shards/1/rows",
            "/shards/1/files/0/bytes",
            "/shards/1/files/1/bytes",
            "/plan/shard_size",
            "/plan/positions",
            "/plan/row_shape/0",
            "/plan/target_len",
        ] {
            for number in [0, 7, u64::MAX / 2, u64::MAX] {
                let mut changed = whole.clone();
                let value = changed.pointer_mut(place).unwrap();
                if *value == json!(number) {
                    continue;
                }
                *value = json!(number);
                fs::write(&file, changed.to_string()).unwrap();
                let told = verify(out.path());
                let told = told.map_or(true, |verified| !verified.problems.is_empty());
                assert!(told, "{place} is {number}");
            }
        }
        // Nothing is read that is no file of the export.
        for name in ["/dev/zero", "../export.json", "images-00000.npy"] {
            let mut changed = whole.clone();
            changed["shards"][1]["files"][0]["file"] = json!(name);
            fs::write(&file, changed.to_string()).unwrap();
            let error = verify(out.path()).unwrap_err().to_string();
            assert!(error.contains("it names other files"), "{error}");
        }
    });
}

/// Nor do those of a journal, whose plan may tell of any number of shards.
#[test]
fn a_damaged_journal_is_told() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let part = Shard { rank: 0, world: 2 };
        samples(builder(root.path()), out.path(), 6).part(part).run().unwrap();
        let plan = out.path().join(".infeed-export/plan.json");
        let whole: Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
        for (place, number) in
            [("positions", u64::MAX), ("shard_size", 1), ("shard_size", u64::MAX)]
        {
            let mut changed = whole.clone();
            changed[place] = json!(number);
            fs::write(&plan, changed.to_string()).unwrap();
            assert!(!verify(out.path()).unwrap().problems.is_empty());
            let error = merge(out.path()).unwrap_err().to_string();
            assert!(error.contains("shards are missing"), "{error}");
        }
        fs::write(&plan, whole.to_string()).unwrap();
        let record = out.path().join(".infeed-export/shard-00001.jsonl");
        let text = fs::read_to_string(&record).unwrap();
        for rows in [7, u64::MAX] {
            fs::write(&record, text.replacen("\"rows\":6", &format!("\"rows\":{rows}"), 1))
                .unwrap();
            let verified = verify(out.path()).unwrap();
            assert_eq!(verified.complete, 1, "{verified:?}");
        }
    });
}

/// What is asked for too much of is refused.
#[test]
fn a_shard_has_a_size_that_fits() {
    let root = pictures(3, |_| false);
    let export = samples(builder(root.path()), &root.path().join("out"), 1 << 40);
    let error = export.start().unwrap_err();
    assert!(error.to_string().contains("at most 262144 samples"), "{error}");
    for flags in [&["--single"][..], &["--shard-size", "4"], &["--resume"], &["--no-resume"]] {
        let output = infeed(&[&["export", "--merge", "out"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
    }
}

#[test]
fn verify_finds_what_is_not_as_it_was_written() {
    within(|_| {
        let root = pictures(20, |number| number == 8);
        let out = tempfile::tempdir().unwrap();
        for single in [false, true] {
            let to = out.path().join(format!("out-{single}"));
            let on_error = OnError::skip();
            samples(builder(root.path()).on_error(on_error), &to, 6).single(single).run().unwrap();
            let good = verify(&to).unwrap();
            assert!(good.problems.is_empty() && good.ended, "{good:?}");
            assert_eq!((good.shards, good.complete, good.images), (4, 4, 19));
            let whole = files(&to);
            let change = |name: &str, change: &dyn Fn(&mut Vec<u8>), told: &[&str]| {
                let mut bytes = whole[name].clone();
                change(&mut bytes);
                fs::write(to.join(name), bytes).unwrap();
                let found = verify(&to).unwrap().problems;
                fs::write(to.join(name), &whole[name]).unwrap();
                let problem = found.iter().find(|problem| problem.file == name);
                let problem = problem.unwrap_or_else(|| panic!("{name}: {found:?}")).to_string();
                for part in told {
                    assert!(problem.contains(part), "{part} in {problem}");
                }
                assert!(problem.contains("overwrite"), "what to do: {problem}");
            };
            let number = |kind: &str| match single {
                true => format!("{kind}.npy"),
                false => format!("{kind}-00002.npy"),
            };
            let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
            change(&number("images"), &flip, &["are not what was written"]);
            change(&number("labels"), &flip, &["are not what was written"]);
            change(&number("images"), &|bytes| bytes.truncate(500), &["500 bytes, and should"]);
            change(&number("images"), &|bytes| bytes[20] ^= 1, &["header", "C order"]);
            let manifest = "manifest.jsonl";
            let edit = |old: &'static str, new: &'static str| {
                move |bytes: &mut Vec<u8>| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    assert!(text.contains(old), "{old} in {text}");
                    *bytes = text.replacen(old, new, 1).into_bytes();
                }
            };
            let cut = |bytes: &mut Vec<u8>| {
                let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
                bytes.drain(..=end);
            };
            change(manifest, &cut, &["where row 0 of"]);
            let last = |bytes: &mut Vec<u8>| {
                let end = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
                bytes.truncate(end + 1);
            };
            change(manifest, &last, &["is missing"]);
            change(manifest, &edit("\"label\":1", "\"label\":0"), &["label 0, and 1 in its array"]);
            change(manifest, &edit("0003.ppm", "0004.ppm"), &["not what was written"]);
            let export = "export.json";
            change(export, &edit("\"images\": 19", "\"images\": 18"), &["the shards have 19 rows"]);
            change(export, &edit("\"failed\": 1", "\"failed\": 0"), &["19 of 20 samples"]);

            fs::remove_file(to.join(number("images"))).unwrap();
            let found = verify(&to).unwrap().problems;
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].problem.starts_with("it is missing"), "{found:?}");
            // Nor is what has no length waited for.
            #[cfg(unix)]
            for name in [number("images"), manifest.to_owned(), export.to_owned()] {
                fs::remove_file(to.join(&name)).ok();
                common::trees::pipe(&to.join(&name));
                let told = match verify(&to) {
                    Ok(verified) => format!("{:?}", verified.problems),
                    Err(error) => error.to_string(),
                };
                assert!(told.contains("it is not a regular file"), "{name}: {told}");
                fs::remove_file(to.join(&name)).unwrap();
                fs::write(to.join(&name), &whole[&name]).unwrap();
            }
            fs::write(to.join(number("images")), &whole[&number("images")]).unwrap();
            fs::write(to.join("images-00009.npy"), "").unwrap();
            let found = verify(&to).unwrap().problems;
            assert!(found.len() == 1 && found[0].problem.contains("no part"), "{found:?}");
            fs::remove_file(to.join("images-00009.npy")).unwrap();
            let output = infeed(&["verify", text(&to), "--json"]);
            assert_eq!(output.status.code(), Some(0));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&report["ended"], &report["images"]), (&true.into(), &19.into()));
        }
        let nothing = verify(root.path()).unwrap_err();
        assert!(nothing.to_string().contains("there is no export"), "{nothing}");
    });
}

#[test]
fn parts_do_not_collide_and_the_missing_are_named() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let part = |rank, world| samples(builder(root.path()), &to, 4).part(Shard { rank, world });
        let none = merge(&to).unwrap_err();
        assert!(none.to_string().contains("there is no export"), "{none}");
        let mut first = part(0, 3).start().unwrap();
        for (other, told) in [
            (part(0, 3), "another process exports part 0/3 into this folder now"),
            (part(1, 2), "part 0/3 into this folder now; wait for it, or use as many parts"),
            (part(0, 1), "part 0/3 into this folder now; wait for it, or use as many parts"),
        ] {
            let error = other.start().unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let busy = merge(&to).unwrap_err();
        assert!(busy.to_string().contains("part 0/3"), "{busy}");
        // At the same time.
        let mut third = part(2, 3).start().unwrap();
        std::thread::scope(|scope| {
            let name = std::thread::Builder::new().name("first".to_owned());
            let running = name.spawn_scoped(scope, || first.run(|_| {}).unwrap()).unwrap();
            third.run(|_| {}).unwrap();
            running.join().unwrap();
        });
        let missing = merge(&to).unwrap_err();
        let told = missing.to_string();
        assert!(told.contains("3 of 10 shards are missing: 3 to 5"), "{told}");
        let summary = part(1, 3).run().unwrap();
        assert_eq!((summary.ended, summary.complete, summary.resumed), (false, 10, 7));
        assert!(merge(&to).unwrap().ended);
        let whole = out.path().join("whole");
        samples(builder(root.path()), &whole, 4).run().unwrap();
        same(&whole, &to, "parts");
    });
}

/// Who opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    within(|_| {
        let (root, out) = (pictures(12, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let part = |rank| samples(builder(root.path()), &to, 4).part(Shard { rank, world: 2 });
        let made = |name: &str| {
            let pipe = to.join(name);
            common::trees::pipe(&pipe);
            pipe
        };
        drop(part(0).start().unwrap());
        let locks = ["part-1-of-2", "part-0-of-3", "another"];
        let [own, ..] = locks.map(|name| made(&format!(".infeed-export/{name}.lock")));
        part(0).run().unwrap();
        let refused = |part: Export<u8>, pipe: &Path| {
            let told = part.run().unwrap_err().to_string();
            let name = pipe.file_name().unwrap().to_string_lossy();
            assert!(told.contains("it is not a regular file") && told.contains(&*name), "{told}");
            fs::remove_file(pipe).unwrap();
        };
        refused(part(1), &own);
        let manifest = merge(&to).unwrap_err().to_string();
        assert!(manifest.contains("are missing"), "{manifest}");
        part(1).run().unwrap();
        assert!(merge(&to).unwrap().ended);
        for (single, name) in [(false, "images-00000.npy"), (true, "images.npy")] {
            let to = out.path().join(format!("single-{single}"));
            fs::create_dir(&to).unwrap();
            let export = || samples(builder(root.path()), &to, 4).single(single);
            drop(export().start().unwrap());
            let pipe = to.join(format!(".{name}.tmp"));
            fs::remove_file(&pipe).ok();
            common::trees::pipe(&pipe);
            // What is left half-written of shards is removed; a single file goes on.
            if single {
                let told = export().run().unwrap_err().to_string();
                assert!(told.contains("it is not a regular file") && told.contains(name), "{told}");
                fs::remove_file(&pipe).unwrap();
            }
            assert!(export().run().unwrap().ended);
        }
    });
}

/// As it is started by launchers, in processes at the same time.
#[test]
fn processes_share_an_export() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        let [whole, shared] = ["whole", "shared"].map(|name| out.path().join(name));
        let flags = ["--size", "8", "--shard-size", "3", "--shuffle"];
        let export = |to: &Path, more: &[&str]| {
            let mut command = Command::new(INFEED);
            command.args(["export", text(root.path()), text(to)]).args(flags).args(more);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        assert!(export(&whole, &[]).status().unwrap().success());
        let started: Vec<_> = (0..3)
            .map(|rank: u32| {
                let mut command = export(&shared, &["--shard-of", "env"]);
                command.env("RANK", rank.to_string()).env("WORLD_SIZE", "3").spawn().unwrap()
            })
            .collect();
        for child in started {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains("infeed export --merge"), "{told}");
        }
        let merged = infeed(&["export", "--merge", text(&shared)]);
        assert!(merged.status.success(), "{}", stderr(&merged));
        same(&whole, &shared, "processes");
        let json = infeed(&["export", "--merge", text(&shared), "--json"]);
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&report["shards"], &report["ended"]), (&14.into(), &true.into()));
    });
}

#[test]
fn a_budget_holds_across_interruptions() {
    within(|_| {
        let root = pictures(40, |number| number % 5 == 1);
        let out = tempfile::tempdir().unwrap();
        let export = |failures| {
            let policy = OnError::skip().max_failures(Budget::Count(failures));
            samples(builder(root.path()).on_error(policy), out.path(), 4)
        };
        let mut exporting = export(5).start().unwrap();
        let error = exporting.run(|_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailureBudget, "{error}");
        assert!(exporting.summary().complete > 0);
        let again = export(5).run().unwrap_err();
        assert_eq!(again.kind(), ErrorKind::FailureBudget, "{again}");
        assert_eq!(export(8).run().unwrap().failed, 8);
    });
}

/// A source in memory knows no sizes and times.
#[test]
fn what_a_source_does_not_know_is_null() {
    within(|_| {
        let out = tempfile::tempdir().unwrap();
        let summary: Summary = samples(Scripted::good(9).loader(), out.path(), 4).run().unwrap();
        assert_eq!(summary.images, 9);
        let lines = lines(out.path());
        assert!(lines.iter().all(|line| line["size"].is_null() && line["mtime"].is_null()));
        assert_eq!(verify(out.path()).unwrap().problems, []);
    });
}

/// Killed at moments all over an export, the last step included, it goes on and ends with
/// the same bytes.
#[cfg(unix)]
#[test]
fn fifty_kills_change_no_byte() {
    use std::os::unix::process::ExitStatusExt;

    // `INFEED_KILLS` asks for more.
    let kills = std::env::var("INFEED_KILLS").map_or(50, |kills| kills.parse::<u32>().unwrap());
    within_limit(Duration::from_secs(60 + 2 * u64::from(kills)), move |_| {
        let root = pictures(60, |number| number % 9 == 4);
        let out = tempfile::tempdir().unwrap();
        let command = |to: &Path, single: bool| {
            let mut command = Command::new(INFEED);
            let flags = ["--size", "8", "--batch-size", "5", "--shard-size", "4", "--threads", "2"];
            command.args(["export", text(root.path()), text(to)]).args(flags);
            command.args(["--shuffle", "--flip", "--on-error", "skip"]);
            command.args(single.then_some("--single"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut whole = [false, true].map(|single| {
            let to = out.path().join(format!("whole-{single}"));
            assert!(command(&to, single).status().unwrap().success());
            // Again, as the first start of a program is slower.
            let timed = out.path().join(format!("timed-{single}"));
            let started = Instant::now();
            assert!(command(&timed, single).status().unwrap().success());
            let took = started.elapsed();
            same(&to, &timed, "twice");
            (to, took)
        });
        let mut random = Draws(7);
        let (mut killed, mut journals) = (0, 0);
        for number in 0..kills {
            let single = number % 2 == 1;
            let (whole, took) = &mut whole[usize::from(single)];
            let to = out.path().join(format!("killed-{number}"));
            // Spread evenly, and at random within its part.
            let share = (f64::from(number) + random.unit()) / f64::from(kills);
            let kill_after = |time: Duration| {
                let mut child = command(&to, single).spawn().unwrap();
                wait(time);
                child.kill().unwrap();
                child.wait().unwrap().signal() == Some(9)
            };
            // The machine may have become faster or slower since it was timed: a kill that
            // came too late is done again, sooner.
            let mut landed = kill_after(took.mul_f64(share));
            for _ in 0..8 {
                if landed {
                    break;
                }
                *took = took.mul_f64(0.9);
                fs::remove_dir_all(&to).unwrap();
                landed = kill_after(took.mul_f64(share));
            }
            killed += u32::from(landed);
            if number % 5 == 0 {
                // What goes on is killed as well.
                kill_after(took.mul_f64(random.unit()));
            }
            journals += u32::from(to.join(".infeed-export").exists());
            let started = Instant::now();
            assert!(command(&to, single).status().unwrap().success(), "kill {number}");
            // What is left takes no longer than all of it.
            *took = (*took).max(started.elapsed());
            same(whole, &to, &format!("kill {number} at {share:.2} of {took:?}"));
            fs::remove_dir_all(&to).unwrap();
        }
        eprintln!("{killed} of {kills} were killed, {journals} in the middle");
        // Some kills land before there is a folder.
        assert!(killed > kills / 2 && journals > kills / 5, "{killed}, {journals}");
    });
}

/// So do parts, and what joins them.
#[cfg(unix)]
#[test]
fn killed_parts_and_merges_change_no_byte() {
    use std::os::unix::process::ExitStatusExt;

    within_limit(Duration::from_secs(120), |_| {
        let (root, out) = (pictures(40, |number| number == 9), tempfile::tempdir().unwrap());
        let flags = ["--size", "8", "--shard-size", "3", "--on-error", "skip", "--shuffle"];
        let command = |to: &Path, part: Option<&str>| {
            let mut command = Command::new(INFEED);
            match part {
                Some(part) => {
                    command.args(["export", text(root.path()), text(to), "--shard-of", part]);
                    command.args(flags);
                }
                None => {
                    command.args(["export", "--merge", text(to)]);
                }
            }
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let whole = out.path().join("whole");
        assert!(command(&whole, Some("0/1")).status().unwrap().success());
        // How long each takes here and now.
        let timed = out.path().join("timed");
        let mut took = [Some("1/2"), Some("0/2"), None].map(|part| {
            let started = Instant::now();
            assert!(command(&timed, part).status().unwrap().success());
            started.elapsed()
        });
        let mut random = Draws(3);
        let mut killed = 0;
        for number in 0..12 {
            let to = out.path().join(format!("parts-{number}"));
            for (part, took) in [Some("1/2"), Some("0/2"), None].into_iter().zip(&mut took) {
                let mut child = command(&to, part).spawn().unwrap();
                wait(took.mul_f64(random.unit()));
                child.kill().unwrap();
                match child.wait().unwrap().signal() {
                    Some(9) => killed += 1,
                    _ => *took = took.mul_f64(0.9),
                }
                assert!(command(&to, part).status().unwrap().success(), "{number}, {part:?}");
            }
            same(&whole, &to, &format!("parts {number}"));
        }
        assert!(killed >= 12, "{killed} of 36 kills landed");
    });
}

/// In a single file, a hole behind which rows would lie elsewhere: a picture was mended.
#[test]
fn rows_behind_a_hole_are_made_again_where_they_belong_now() {
    within(|_| {
        let (root, out) = (pictures(30, |number| number % 3 == 1), tempfile::tempdir().unwrap());
        let of = |to: &str, images| {
            let builder = builder(root.path()).on_error(OnError::skip());
            broken_off(samples(builder, &out.path().join(to), 3).single(true), images)
        };
        assert!(!of("mended", 14));
        let journal = out.path().join("mended/.infeed-export");
        fs::remove_file(journal.join("shard-00003.jsonl")).unwrap();
        for number in (1..30).step_by(3) {
            fs::write(root.path().join(format!("b/{number:04}.ppm")), ppm(12, 10, number)).unwrap();
        }
        of("mended", 1);
        while !of("mended", 3) {}
        let found = verify(out.path().join("mended")).unwrap();
        assert!(found.problems.is_empty() && found.images == 30, "{found:?}");
    });
}

/// Numbers that are the same every time (SplitMix64).
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// In a file system of one mebibyte, mounted where nobody else sees it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_no_complete_shard() {
    const SCRIPT: &str = r#"
set -e
mount -t tmpfs -o size=1m none "$1/disk"
echo mounted
head -c 500k /dev/zero > "$1/disk/filler"
set +e
go() { "$INFEED" export "$2" "$1/disk/out" --size 64 --dtype u8 --shard-size 4 $3; }
go "$1" "$2" "$3" > "$1/first.out" 2> "$1/first.err"; echo $? > "$1/first.code"
ls -A "$1/disk/out" > "$1/names"
"$INFEED" verify "$1/disk/out" --json > "$1/verified"
rm "$1/disk/filler"
go "$1" "$2" "$3" > "$1/second.out" 2> "$1/second.err"; echo $? > "$1/second.code"
cp -r "$1/disk/out" "$1/out"
"#;
    within(|_| {
        let root = pictures(60, |_| false);
        for single in ["", "--single"] {
            let out = tempfile::tempdir().unwrap();
            fs::create_dir(out.path().join("disk")).unwrap();
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", SCRIPT, "sh", text(out.path()), text(root.path())]);
            let output = command.arg(single).env("INFEED", INFEED).output();
            let mounted = output.as_ref().is_ok_and(|output| output.stdout == b"mounted\n");
            if !mounted {
                let required = std::env::var_os("INFEED_REQUIRE_TMPFS").is_some();
                assert!(!required, "INFEED_REQUIRE_TMPFS is set: {output:?}");
                eprintln!("skipped: no tmpfs can be mounted by unshare -rm: {output:?}");
                return;
            }
            let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap();
            let told = read("first.err");
            assert_eq!(read("first.code").trim(), "1", "{told}");
            assert!(told.contains("warning: the export needs about"), "{told}");
            for part in ["the disk is full", "bytes, and ", "are free", "same command again"] {
                assert!(told.contains(part), "{part} in {told}");
            }
            let verified: Value = serde_json::from_str(&read("verified")).unwrap();
            let complete = verified["complete"].as_u64().unwrap();
            assert!(complete > 2 && complete < 15, "{verified}");
            assert!(told.contains(&format!("{complete} of 15 shards are complete")), "{told}");
            let problems = verified["problems"].as_array().unwrap();
            assert!(problems.len() == 1 && problems[0]["file"] == "export.json", "{verified}");
            if single.is_empty() {
                assert!(!read("names").contains(".tmp"), "{}", read("names"));
            }
            assert_eq!(read("second.code").trim(), "0", "{}", read("second.err"));
            assert!(read("second.err").contains(&format!("going on: {complete} of 15")));
            let whole = out.path().join("whole");
            let root = text(root.path());
            let flags = ["export", root, text(&whole), "--size", "64", "--dtype", "u8"];
            let mut command = Command::new(INFEED);
            command.args(flags).args(["--shard-size", "4"]);
            command.args(Some(single).filter(|single| !single.is_empty()));
            assert!(command.output().unwrap().status.success());
            same(&whole, &out.path().join("out"), "after a full disk");
        }
    });
}

/// Ctrl-C stops cleanly and says how to go on.
#[cfg(unix)]
#[test]
fn an_interrupted_export_says_how_to_go_on() {
    within(|_| {
        // More than can be made between the line and the signal, however busy the machine.
        let (root, out) = (pictures(3_000, |number| number == 0), tempfile::tempdir().unwrap());
        let to: PathBuf = out.path().join("out");
        // A skipped sample is logged once decoding is under way.
        let mut child = hearing(true)
            .args(["-v", "export", text(root.path()), text(&to), "--size", "8"])
            .args(["--shard-size", "1", "--batch-size", "1", "--on-error", "skip"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut log, &mut String::new()).unwrap();
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        drop(std::io::copy(&mut log, &mut std::io::sink()));
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(told.starts_with("interrupted; until then:"), "{told}");
        assert!(told.contains("run the same command again"), "{told}");
        assert!(!verify(&to).unwrap().ended);
    });
}
