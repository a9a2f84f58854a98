//! Texts that say which samples there are: lists, skip lists, and what an export says of itself.

use std::path::{Component, Path};
use std::sync::Arc;

use super::{Folder, Input};
use crate::source::{Index, Listing, Source, write_path};
use crate::{List, SkipList};

/// Reads a list, a skip list, or an export's files. An error, or what is well-formed: samples
/// with names inside of the folder, labels that have classes, finite targets of one length, the same the second time;
/// an export that names no file outside its folder.
pub fn list(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let bytes = input.rest();
    match kind & 7 {
        0 | 5 => listed("list.csv", bytes),
        1 => listed("list.tsv", bytes),
        2 | 6 => listed("list.jsonl", bytes),
        3 => skipped(bytes),
        _ => {
            #[cfg(feature = "export")]
            crate::export::read_any(kind >> 3, bytes);
        }
    }
}

type Sample = (std::path::PathBuf, Option<u32>, Vec<u32>);

fn read(list: &List) -> Option<(Vec<String>, Vec<Sample>)> {
    let index = Index::new(Arc::default());
    let mut samples: Vec<Sample> = Vec::new();
    let told = list.list(&mut Listing::new(&index).tap(|sample| {
        let bits = sample.target.iter().map(|value| value.to_bits());
        samples.push((sample.path.to_owned(), sample.label, bits.collect()));
        std::ops::ControlFlow::Continue(())
    }));
    if let Err(error) = told {
        assert!(samples.is_empty(), "samples were told of a list that is wrong: {error}");
        return None;
    }
    index.finish(told);
    // As a loader has them, whose index keeps folders once.
    for (at, (path, label, target)) in samples.iter().enumerate() {
        let Some(entry) = index.entry(at as u64) else { panic!("sample {at} was not kept") };
        let kept: Vec<u32> = entry.target.iter().map(|value| value.to_bits()).collect();
        assert_eq!((&entry.path, entry.label, &kept), (path, *label, target));
    }
    Some((index.classes().to_vec(), samples))
}

fn listed(name: &str, bytes: &[u8]) {
    let folder = Folder::new();
    let list = match List::open(folder.put(name, bytes)) {
        Ok(list) => list,
        Err(error) => panic!("a list cannot be opened: {error}"),
    };
    let one = read(&list);
    assert_eq!(one, read(&list), "another list the second time");
    let Some((classes, samples)) = one else { return };
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    assert!((1..=lines).contains(&samples.len()), "{} samples", samples.len());
    let root = list.root();
    let real = root.canonicalize().unwrap_or_else(|_| root.clone());
    for (path, label, target) in &samples {
        assert!(path.file_name().is_some(), "{} names no file", path.display());
        let whole = root.join(path);
        let inside = whole.starts_with(&root) || whole.starts_with(&real);
        let inward = whole.components().all(|part| part != Component::ParentDir);
        assert!(inside && inward, "{} is outside of the folder", path.display());
        let named = label.is_none_or(|label| (label as usize) < classes.len());
        assert!(named || classes.is_empty(), "class {label:?} of {}", classes.len());
        assert!(label.is_none_or(|label| label < 1 << 31));
        assert_eq!(target.len(), samples[0].2.len());
        assert!(target.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    }
}

fn skipped(bytes: &[u8]) {
    let folder = Folder::new();
    let Ok(list) = SkipList::load(folder.put("skip.txt", bytes)) else { return };
    let skips = list.below(folder.path());
    let mut text = Vec::new();
    for path in list.paths() {
        assert!(skips(&path), "{} is not found", path.display());
        if path.is_relative() {
            assert!(skips(&folder.path().join(&path)), "{} below the root", path.display());
        }
        let written = write_path(&mut text, &path);
        assert!(written.is_ok());
    }
    assert!(!skips(Path::new("a name that nobody gives")) || !list.is_empty());
    match SkipList::load(folder.put("again.txt", &text)) {
        Ok(again) => assert_eq!((again.paths(), again.hash()), (list.paths(), list.hash())),
        Err(error) => panic!("what was written is not read: {error}"),
    }
}
