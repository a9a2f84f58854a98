//! Exports as they are made, broken off, resumed, shared, merged and verified: folders
//! are compared byte by byte, and the real NumPy opens them.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![allow(clippy::print_stderr, reason = "what is skipped says so")]
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod killed;
mod resumed;
mod shared;
mod verified;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use infeed::export::{Export, NpyElement, ShardSize};
use infeed::{ErrorKind, Fit, Jitter, Loader, LoaderBuilder, OnError};
use serde_json::Value;
use tempfile::TempDir;

use common::trees::{ppm, tree};

/// Pictures in two classes; those whose number `bad` says cannot be decoded.
pub(crate) fn pictures(count: u32, bad: impl Fn(u32) -> bool) -> TempDir {
    tree((0..count).map(|number| {
        let class = if number % 3 == 0 { "a" } else { "b" };
        let mut picture = ppm(12, 10, number);
        if bad(number) {
            picture.truncate(40);
        }
        (format!("{class}/{number:04}.ppm"), picture)
    }))
}

pub(crate) fn builder(root: &Path) -> LoaderBuilder<u8> {
    Loader::folder(root).dtype::<u8>().size(8, 6).batch_size(4)
}

pub(crate) fn samples<T: NpyElement>(
    builder: LoaderBuilder<T>,
    out: &Path,
    samples: u64,
) -> Export<T> {
    Export::new(builder, out).shard_size(ShardSize::Samples(samples))
}

/// Every file below a folder with its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
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
pub(crate) fn same(one: &Path, other: &Path, what: &str) {
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

pub(crate) fn lines(out: &Path) -> Vec<Value> {
    let manifest = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a loader delivers, row after row: bytes of images, labels, and indices.
pub(crate) fn delivered<T: NpyElement>(builder: LoaderBuilder<T>) -> (Vec<u8>, Vec<i64>, Vec<u64>) {
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

/// All that is random, and samples that fail.
pub(crate) fn varied(root: &Path, on_error: OnError) -> LoaderBuilder<f32> {
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
pub(crate) fn broken_off<T: NpyElement>(export: Export<T>, images: u64) -> bool {
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
