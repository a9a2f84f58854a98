//! One array as one `.npy` file: a header of fixed length, so that the number of
//! rows can be put in at the end, and rows by positioned writes.

use std::fs::File;
use std::io;

use half::f16;
use twox_hash::XxHash3_128;

use crate::element::Element;

/// Bytes before the first row: enough for any shape, and a multiple of 64, as
/// NumPy has it.
pub(super) const HEADER: u64 = 128;

mod sealed {
    pub trait Bytes: bytemuck::NoUninit {}
    impl Bytes for u8 {}
    impl Bytes for f32 {}
    impl Bytes for half::f16 {}
}

/// An element type that NumPy has: all but `bf16`.
pub trait NpyElement: Element + sealed::Bytes {
    /// The type in NumPy's words, such as `<f4`.
    const DESCR: &'static str;
}

impl NpyElement for f32 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f4" } else { ">f4" };
}

impl NpyElement for f16 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f2" } else { ">f2" };
}

impl NpyElement for u8 {
    const DESCR: &'static str = "|u1";
}

/// Of the labels.
pub(super) const I64: &str = if cfg!(target_endian = "little") { "<i8" } else { ">i8" };

/// What the rows of an array are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) descr: String,
    /// Without the first axis.
    pub(super) shape: Vec<usize>,
}

impl Rows {
    pub(super) fn bytes(&self) -> u64 {
        // The last digit of a type says its bytes.
        let element = self.descr.bytes().last().map_or(1, |digit| u64::from(digit - b'0'));
        self.shape.iter().fold(element, |bytes, &side| bytes.saturating_mul(side as u64))
    }

    /// The header of format version 1.0 (NumPy's `numpy.lib.format`): magic, version,
    /// length, and a Python dictionary padded with spaces.
    pub(super) fn header(&self, rows: u64) -> Vec<u8> {
        let sides: String = self.shape.iter().map(|side| format!(", {side}")).collect();
        // A tuple of one has a comma.
        let comma = if self.shape.is_empty() { "," } else { "" };
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((HEADER as u16 - 10).to_le_bytes());
        header.extend(
            format!(
                "{{'descr': '{}', 'fortran_order': False, 'shape': ({rows}{sides}{comma}), }}",
                self.descr
            )
            .bytes(),
        );
        debug_assert!(header.len() < HEADER as usize);
        header.resize(HEADER as usize - 1, b' ');
        header.push(b'\n');
        header
    }

    /// Bytes of a whole file.
    pub(super) fn file_bytes(&self, rows: u64) -> u64 {
        // A damaged claim may say anything.
        rows.saturating_mul(self.bytes()).saturating_add(HEADER)
    }
}

/// A digest of rows, as they lie behind the header.
#[derive(Default)]
pub(super) struct Hasher(XxHash3_128);

impl Hasher {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// XXH3, 128 bits, as 32 hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        format!("{:032x}", self.0.finish_128())
    }
}

/// Writes all of `bytes` at a place of the file, whoever else writes elsewhere in it.
pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    {
        let (mut bytes, mut at) = (bytes, at);
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => (bytes, at) = (&bytes[written..], at + written as u64),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_numpy_writes_but_for_its_padding() {
        let rows = |descr: &str, shape: &[usize]| Rows { descr: descr.into(), shape: shape.into() };
        let images = rows("|u1", &[3, 16, 16]);
        let header = images.header(4);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        let expected = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 3, 16, 16), }";
        assert_eq!(text.trim_end_matches([' ', '\n']), expected);
        assert!(header.len() == 128 && header.ends_with(b" \n"));
        assert_eq!((images.bytes(), images.file_bytes(4)), (768, 128 + 4 * 768));
        let labels = rows(I64, &[]);
        assert!(String::from_utf8_lossy(&labels.header(4)).contains("'shape': (4,), }"));
        assert_eq!((labels.bytes(), rows("<f4", &[7]).bytes()), (8, 28));
        // The longest that there can be.
        let longest = rows("<f4", &[3, 65_535, 65_535]).header(u64::MAX);
        assert!(longest.len() == 128 && longest.ends_with(b"\n"));
    }

    #[test]
    fn a_digest_is_of_the_bytes_and_not_of_the_writes() {
        let (mut one, mut two) = (Hasher::default(), Hasher::default());
        one.write(b"abcdef");
        ["ab", "", "cdef"].iter().for_each(|bytes| two.write(bytes.as_bytes()));
        assert_eq!(one.digest(), two.digest());
        // What `xxhsum -H2` says of nothing.
        assert_eq!(Hasher::default().digest(), "99aa06d3014798d86001c324468d497f");
    }
}
