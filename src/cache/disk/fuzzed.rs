//! Files that were damaged, or made to deceive, under the name of a cache's file.
#![allow(clippy::panic, clippy::unreachable, reason = "a rule that does not hold ends the test")]

use std::cell::RefCell;
use std::path::Path;

use super::blocks::BLOCK;
use super::format::checksum;
use super::{Disk, New, id};
use crate::config::Size;
use crate::fuzzing::{Folder, Input, allocated};
use crate::source::Fingerprint;

const KEY: u128 = 42;
pub(super) const SIZE: Size = Size { width: 3, height: 2 };
pub(super) const NOW: Fingerprint = Fingerprint { bytes: 100, version: 1 };
/// Samples that a file may hold.
const MOST: u64 = 5;
/// Bytes at a file's end that say where its index is.
const FOOTER: usize = 64;
/// Bytes of an entry before its extents.
const ENTRY: usize = 56;
/// An entry may claim any length; so much is looked at.
const LOOKED_AT: usize = 1 << 20;

/// The bytes of a sample, of some blocks.
fn pixels(index: u64) -> Vec<u8> {
    bytes(index, 900)
}

/// At least so many bytes that tell of this number.
pub(super) fn bytes(index: u64, least: u64) -> Vec<u8> {
    let len = least + (index * 2777) % 9000;
    (0..len).map(|at| (at * 7 + index * 13 + at / 251) as u8).collect()
}

pub(super) fn name(index: u64) -> u64 {
    id(Path::new(&format!("class/{index}.jpg")))
}

pub(super) fn new(index: u64) -> New {
    New { id: name(index), index, fingerprint: NOW, size: SIZE }
}

fn store(disk: &Disk, index: u64) {
    disk.store(new(index), &pixels(index));
}

fn opened(folder: &Folder, limit: u64, each: Option<u64>) -> Disk {
    match Disk::open(folder.path(), KEY, "words".to_owned(), limit, each) {
        Ok(disk) => disk,
        Err(error) => panic!("a folder that is there cannot be opened: {error}"),
    }
}

fn served(disk: &Disk, index: u64) -> Option<Vec<u8>> {
    let found = disk.find(name(index))?;
    let mut bytes = vec![0; Some(found.len()).filter(|len| *len <= LOOKED_AT)?];
    disk.read(&found, index, Some(NOW), &mut bytes).then_some(bytes)
}

/// A file with so many samples in it.
fn valid(samples: u64) -> Vec<u8> {
    thread_local! {
        static FILES: RefCell<Vec<Option<Vec<u8>>>> = const { RefCell::new(Vec::new()) };
    }
    FILES.with_borrow_mut(|files| {
        files.resize(1 + MOST as usize, None);
        let file = files[samples as usize].get_or_insert_with(|| {
            let folder = Folder::new();
            let disk = opened(&folder, 1 << 30, None);
            (0..samples).for_each(|index| store(&disk, index));
            disk.finish();
            std::fs::read(disk.place.path()).unwrap_or_default()
        });
        file.clone()
    })
}

fn number(bytes: &[u8]) -> usize {
    Input(bytes).number(8) as usize
}

/// Where the index is said to be, if that is inside the file.
fn index_of(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let footer = file.len().checked_sub(FOOTER)?;
    let (at, bytes) = (number(&file[footer..]), number(&file[footer + 8..]));
    let end = at.checked_add(bytes).filter(|end| *end <= footer)?;
    Some(at..end)
}

/// Makes the checksums of header, index and footer right again.
fn seal(file: &mut [u8]) {
    let block = BLOCK as usize;
    if file.len() >= block {
        let sum = checksum(&file[..block - 8]);
        file[block - 8..block].copy_from_slice(&sum.to_le_bytes());
    }
    let Some(index) = index_of(file) else { return };
    let footer = file.len() - FOOTER;
    let sum = checksum(&file[index]);
    file[footer + 24..footer + 32].copy_from_slice(&sum.to_le_bytes());
    let sum = checksum(&file[footer..footer + FOOTER - 8]);
    file[footer + FOOTER - 8..].copy_from_slice(&sum.to_le_bytes());
}

/// Changes a file as an input says.
fn edit(file: &mut Vec<u8>, input: &mut Input<'_>) {
    while !input.is_empty() {
        let kind = input.byte();
        match kind & 7 {
            // A bit or a few, anywhere.
            0..=2 => {
                let (at, change) = (input.number(3) as usize, input.byte());
                let len = file.len().max(1);
                if let Some(byte) = file.get_mut(at % len) {
                    *byte ^= change;
                }
            }
            // A number of the index, or of the footer.
            3..=5 => {
                let Some(index) = index_of(file) else { return };
                let at = match kind & 8 {
                    0 => index.start + input.below(1 + index.len() / 4) * 4,
                    _ => file.len() - FOOTER + input.below(5) * 8,
                };
                let (bytes, value) = match kind >> 4 & 3 {
                    0 => (4, input.number(1)),
                    1 => (4, input.number(4)),
                    2 => (8, input.number(2)),
                    _ => (8, input.number(8)),
                };
                let Some(place) = file.get_mut(at..at + bytes) else { continue };
                place.copy_from_slice(&value.to_le_bytes()[..bytes]);
            }
            // An entry once more, in place of another: two say the same.
            6 => {
                let Some(index) = index_of(file) else { return };
                let entry = |at: usize| index.start + at * (ENTRY + 8);
                let (from, to) = (entry(input.below(4)), entry(input.below(4)));
                let len = if kind & 8 == 0 { ENTRY + 8 } else { 8 };
                if from.max(to) + len <= index.end {
                    file.copy_within(from..from + len, to);
                }
            }
            // It ends early, or late.
            _ => {
                let len = input.number(2) as usize;
                let len = if kind & 8 == 0 { len.min(file.len()) } else { file.len() + len % 97 };
                file.resize(len, 0);
            }
        }
    }
}

/// Opens a cache over a file, reads all, adds to it, closes it and opens it again.
pub(crate) fn open(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let samples = u64::from(bits & 7).min(MOST);
    // What a file says whose checksums are right cannot be told from the truth.
    let (forged, whole) = (bits & 8 != 0, bits & 16 != 0);
    let limit = match bits >> 5 & 3 {
        0 => 1 << 30,
        1 => (8 + u64::from(input.byte()) % 32) * BLOCK,
        2 => u64::from(input.byte()) * 512,
        _ => 1 << 20,
    };
    let each = (bits & 128 != 0).then(|| pixels(0).len() as u64);
    let mut file = valid(samples);
    if whole {
        file = input.rest().to_vec();
    } else {
        edit(&mut file, &mut input);
    }
    if forged {
        seal(&mut file);
    }
    let folder = Folder::new();
    let path = folder.put(&format!("infeed-{KEY:032x}.cache"), &file);
    let is_true = |index: u64, bytes: &[u8]| forged || whole || bytes == pixels(index);

    allocated();
    let disk = opened(&folder, limit, each);
    let most = 16 * file.len() + (64 << 10);
    assert!(allocated() <= most, "a file of {} bytes took more than {most}", file.len());
    let mut stored = Vec::new();
    for index in 0..MOST + 2 {
        if let Some(bytes) = served(&disk, index) {
            assert!(is_true(index, &bytes), "sample {index} has other pixels than were stored");
        }
        if disk.find(name(index)).is_none() {
            store(&disk, index);
            stored.push(index);
        }
    }
    for &index in &stored {
        let now = served(&disk, index);
        let roomy = limit == 1 << 30 && each.is_none() && !forged && !whole;
        assert!(now.is_some() || !roomy, "sample {index} was stored, and is not served");
        assert!(now.is_none_or(|bytes| bytes == pixels(index)), "sample {index} is another");
    }
    disk.finish();
    let [_, _, errors] = disk.troubles();
    assert_eq!(errors, 0, "a write failed");
    let dirty = disk.is_dirty();
    assert!(!dirty);
    drop(disk);
    let len = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let before = file.len() as u64;
    assert!(len <= limit.max(before), "{len} bytes, and the limit is {limit}");

    let again = opened(&folder, limit, each);
    for index in 0..MOST + 2 {
        let now = served(&again, index);
        let of_this_run = stored.contains(&index);
        let good = now.is_none_or(|bytes| match of_this_run {
            true => bytes == pixels(index),
            false => is_true(index, &bytes),
        });
        assert!(good, "sample {index} has other pixels in a later run");
    }
}
