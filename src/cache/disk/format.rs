//! What a cache file looks like.
//!
//! ```text
//! block 0      header: magic, key, the configuration in words, checksum
//! blocks 1..   records, each in one or several runs of blocks, in any order
//! index        behind the last block: for each record its sample, its place,
//!              its checksum
//! footer       64 bytes at the file's end: where the index is, its checksum
//! ```
//!
//! All numbers are little-endian; checksums and keys are XXH3. Every byte that is
//! served is covered by a checksum; what pads a record's last block is not read.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Write};

use twox_hash::XxHash3_64;

use super::blocks::{BLOCK, Extent, blocks};
use super::position::{self, Cursor};
use crate::config::Size;
use crate::source::Fingerprint;

const MAGIC: &[u8; 16] = b"infeed cache 1\r\n";
const FOOTER_MAGIC: &[u8; 8] = b"infeed/1";
const FOOTER_BYTES: u64 = 64;
/// An entry of the index without its extents.
const ENTRY_BYTES: usize = 56;
/// The header's block but for what stands around the words.
const WORDS_BYTES: usize = BLOCK as usize - 16 - 16 - 8;

/// What a record may take of the index: in a file that is used again and again
/// one may lie in several pieces.
pub(super) const INDEX_BYTES: u64 = (ENTRY_BYTES + 8 * size_of::<Extent>()) as u64;

/// Bytes that the file has beside records and index.
pub(in crate::cache) const FRAME_BYTES: u64 = BLOCK + FOOTER_BYTES;

/// What a record of `len` bytes counts for, its part of the index included.
pub(in crate::cache) fn record_bytes(len: u64) -> u64 {
    blocks(len) * BLOCK + INDEX_BYTES
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// One record as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Hash of the sample's path.
    pub(super) id: u64,
    /// The sample's place in the source's order when it was stored.
    pub(super) index: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) checksum: u64,
    pub(super) len: u32,
    pub(super) size: Size,
    pub(super) extents: Vec<Extent>,
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) struct Unfit(pub(super) String);

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Unfit(error.to_string())
    }
}

fn unfit<T>(reason: &str) -> Result<T, Unfit> {
    Err(Unfit(reason.to_owned()))
}

/// Writes the header; `words` that do not fit are cut off, as the key covers
/// them whole.
pub(super) fn write_header(file: &File, key: u128, words: &str) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK as usize);
    block.extend_from_slice(MAGIC);
    block.extend_from_slice(&key.to_le_bytes());
    block.extend_from_slice(&words.as_bytes()[..words.len().min(WORDS_BYTES)]);
    block.resize(BLOCK as usize - 8, 0);
    block.extend_from_slice(&checksum(&block).to_le_bytes());
    position::write_all_at(file, &block, 0)
}

fn check_header(file: &File, key: u128) -> Result<(), Unfit> {
    let mut block = [0; BLOCK as usize];
    position::read_exact_at(file, &mut block, 0)?;
    let (content, sum) = block.split_at(BLOCK as usize - 8);
    if &content[..16] != MAGIC {
        return unfit("it is no cache file of this version");
    }
    if checksum(content).to_le_bytes() != sum {
        return unfit("its header is damaged");
    }
    if content[16..32] != key.to_le_bytes() {
        return unfit("it belongs to another configuration");
    }
    Ok(())
}

/// Writes index and footer behind block `end` and ends the file there.
pub(super) fn write_index<'a>(
    file: &File,
    key: u128,
    end: u64,
    entries: impl Iterator<Item = &'a Entry>,
) -> io::Result<()> {
    let at = end * BLOCK;
    let mut out = BufWriter::new(Cursor::new(file, at));
    let (mut sum, mut records, mut bytes) = (XxHash3_64::new(), 0_u64, 0_u64);
    let mut line = Vec::new();
    for entry in entries {
        line.clear();
        write_entry(&mut line, entry);
        sum.write(&line);
        out.write_all(&line)?;
        records += 1;
        bytes += line.len() as u64;
    }
    let mut footer = Vec::with_capacity(FOOTER_BYTES as usize);
    for number in [at, bytes, records, sum.finish()] {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.extend_from_slice(&key.to_le_bytes());
    footer.extend_from_slice(FOOTER_MAGIC);
    footer.extend_from_slice(&checksum(&footer).to_le_bytes());
    out.write_all(&footer)?;
    out.flush()?;
    drop(out);
    file.set_len(at + bytes + FOOTER_BYTES)
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    let Entry { id, index, fingerprint, checksum, len, size, extents } = entry;
    for number in [*id, *index, fingerprint.bytes, fingerprint.version, *checksum] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in [*len, size.width, size.height, extents.len() as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for extent in extents {
        out.extend_from_slice(&extent.start.to_le_bytes());
        out.extend_from_slice(&extent.blocks.to_le_bytes());
    }
}

/// Checks a file whole, but for its records' content, and tells its entries to
/// `each`. Until it returns `Ok` they count for nothing.
pub(super) fn read_index(file: &File, key: u128, mut each: impl FnMut(Entry)) -> Result<(), Unfit> {
    let len = file.metadata()?.len();
    if len < FRAME_BYTES {
        return unfit("it ends early");
    }
    check_header(file, key)?;
    let mut footer = [0; FOOTER_BYTES as usize];
    position::read_exact_at(file, &mut footer, len - FOOTER_BYTES)?;
    let mut numbers = Numbers(&footer);
    let [at, bytes, records, sum] = std::array::from_fn(|_| numbers.u64());
    let covered = FOOTER_BYTES as usize - 8;
    if &footer[covered - 8..covered] != FOOTER_MAGIC
        || footer[32..48] != key.to_le_bytes()
        || checksum(&footer[..covered]).to_le_bytes() != footer[covered..]
    {
        return unfit("it ends early, or its end is damaged");
    }
    if at.checked_add(bytes).and_then(|end| end.checked_add(FOOTER_BYTES)) != Some(len) {
        return unfit("its index is not where it should be");
    }
    let read = BufReader::new(Cursor::new(file, at).take(bytes));
    let mut index = Index { read, sum: XxHash3_64::new() };
    for _ in 0..records {
        each(index.entry(at / BLOCK)?);
    }
    if index.read.read(&mut [0])? > 0 || index.sum.finish() != sum {
        return unfit("its index is damaged");
    }
    Ok(())
}

/// Reads entries and sums up what was read.
struct Index<R> {
    read: R,
    sum: XxHash3_64,
}

impl<R: Read> Index<R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read.read_exact(&mut bytes)?;
        self.sum.write(&bytes);
        Ok(bytes)
    }

    /// The next entry, whose blocks lie below `end`.
    fn entry(&mut self, end: u64) -> Result<Entry, Unfit> {
        let bytes = self.bytes::<ENTRY_BYTES>()?;
        let mut numbers = Numbers(&bytes);
        let [id, index, file_bytes, version, checksum] = std::array::from_fn(|_| numbers.u64());
        let [len, width, height, count] = std::array::from_fn(|_| numbers.u32());
        let wanted = blocks(u64::from(len));
        let (mut extents, mut found) = (Vec::new(), 0);
        for _ in 0..count {
            let bytes = self.bytes::<8>()?;
            let mut numbers = Numbers(&bytes);
            let extent = Extent { start: numbers.u32(), blocks: numbers.u32() };
            found += u64::from(extent.blocks);
            if extent.start == 0 || extent.blocks == 0 || extent.end() > end || found > wanted {
                return unfit("its index is damaged");
            }
            extents.push(extent);
        }
        if found != wanted {
            return unfit("its index is damaged");
        }
        let fingerprint = Fingerprint { bytes: file_bytes, version };
        let size = Size { width, height };
        Ok(Entry { id, index, fingerprint, checksum, len, size, extents })
    }
}

/// Takes little-endian numbers off the front. There are always enough.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (number, rest) = self.0.split_at(N);
        self.0 = rest;
        std::array::from_fn(|at| number[at])
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

    fn entry(number: u32) -> Entry {
        Entry {
            id: u64::from(number) << 33,
            index: u64::from(number),
            fingerprint: Fingerprint { bytes: 7, version: u64::MAX },
            checksum: 9,
            len: 2 * BLOCK as u32 + number,
            size: Size { width: 3, height: 4 },
            extents: vec![
                Extent { start: 1 + 3 * number, blocks: 2 },
                Extent { start: 3 + 3 * number, blocks: 1 },
            ],
        }
    }

    fn written(records: u32) -> (File, Vec<Entry>) {
        let file = tempfile::tempfile().unwrap();
        let entries: Vec<Entry> = (1..=records).map(entry).collect();
        write_header(&file, KEY, "the words").unwrap();
        write_index(&file, KEY, 4 + 3 * u64::from(records), entries.iter()).unwrap();
        (file, entries)
    }

    fn read(file: &File, key: u128) -> Result<Vec<Entry>, Unfit> {
        let mut entries = Vec::new();
        read_index(file, key, |entry| entries.push(entry)).map(|()| entries)
    }

    #[test]
    fn what_is_written_is_read() {
        for records in [0, 1, 500] {
            let (file, entries) = written(records);
            assert_eq!(read(&file, KEY).unwrap(), entries);
            assert!(read(&file, KEY ^ 1).unwrap_err().0.contains("configuration"));
        }
    }

    /// Every byte of header, index and footer counts, and so does the length.
    #[test]
    fn nothing_damaged_is_read() {
        let (file, _) = written(3);
        let len = file.metadata().unwrap().len();
        let index_at = 13 * BLOCK;
        let whole: Vec<u64> = (0..BLOCK).chain(index_at..len).collect();
        for at in whole {
            let mut byte = [0];
            position::read_exact_at(&file, &mut byte, at).unwrap();
            for bit in [0x01, 0x80] {
                position::write_all_at(&file, &[byte[0] ^ bit], at).unwrap();
                assert!(read(&file, KEY).is_err(), "byte {at}, bit {bit}");
            }
            position::write_all_at(&file, &byte, at).unwrap();
        }
        assert_eq!(read(&file, KEY).unwrap().len(), 3);
        file.set_len(len + 1).unwrap();
        assert!(read(&file, KEY).is_err());
        for shorter in (0..len).rev().step_by(7) {
            file.set_len(shorter).unwrap();
            assert!(read(&file, KEY).is_err(), "{shorter} of {len} bytes");
        }
    }

    #[test]
    fn an_index_that_points_elsewhere_is_refused() {
        let wrong = [
            Extent { start: 0, blocks: 2 },
            Extent { start: 60, blocks: 2 },
            Extent { start: u32::MAX, blocks: u32::MAX },
            Extent { start: 1, blocks: 1 },
            Extent { start: 1, blocks: 3 },
        ];
        for extent in wrong {
            let file = tempfile::tempfile().unwrap();
            let mut one = entry(0);
            one.len = 2 * BLOCK as u32;
            one.extents = vec![extent];
            write_header(&file, KEY, "").unwrap();
            write_index(&file, KEY, 61, std::iter::once(&one)).unwrap();
            assert!(read(&file, KEY).is_err(), "{extent:?}");
        }
    }

    #[test]
    fn long_words_are_cut_off() {
        let file = tempfile::tempfile().unwrap();
        write_header(&file, KEY, &"x".repeat(10_000)).unwrap();
        write_index(&file, KEY, 1, std::iter::empty()).unwrap();
        assert!(read(&file, KEY).unwrap().is_empty());
        assert_eq!(file.metadata().unwrap().len(), FRAME_BYTES);
    }
}
