//! What an export writes: arrays that NumPy opens, the same bytes every time, a line for every sample.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use infeed::export::{NpyElement, Summary, merge, verify};
use infeed::source::{Admission, Fingerprint, Listing, ReadFuture, Source};
use infeed::{Cause, ErrorKind, LastBatch, Layout, Loader, OnError, Sampling, Shard, f16};
use serde_json::{Value, json};

use crate::common::command::{infeed, numpy_says, stderr, text, wait};
use crate::common::scripted::Scripted;
use crate::common::within;
use crate::{broken_off, builder, delivered, files, lines, pictures, same, samples, varied};

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
        let docs = include_str!("../../docs/export.md");
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
