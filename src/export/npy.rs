//! One array as one `.npy` file, for every element type that NumPy has.

use std::io::{self, Write};

use half::f16;
use ndarray::ArrayView4;
use ndarray_npy::WriteNpyExt;

use crate::element::Element;

/// An element type that NumPy has: all but `bf16`.
pub trait NpyElement: Element {
    /// Writes `array` as a `.npy` file.
    ///
    /// # Errors
    ///
    /// What the writer reports.
    fn write_npy(array: ArrayView4<'_, Self>, writer: &mut dyn Write) -> io::Result<()>;
}

impl NpyElement for f32 {
    fn write_npy(array: ArrayView4<'_, Self>, writer: &mut dyn Write) -> io::Result<()> {
        array.write_npy(writer).map_err(io::Error::other)
    }
}

impl NpyElement for u8 {
    fn write_npy(array: ArrayView4<'_, Self>, writer: &mut dyn Write) -> io::Result<()> {
        array.write_npy(writer).map_err(io::Error::other)
    }
}

/// `ndarray-npy` does not know this type.
impl NpyElement for f16 {
    fn write_npy(array: ArrayView4<'_, Self>, writer: &mut dyn Write) -> io::Result<()> {
        writer.write_all(&header("<f2", array.shape()))?;
        for row in array.rows() {
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            writer.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// The header of format version 1.0 (NumPy's `numpy.lib.format`): magic, version,
/// length, and a Python dictionary padded with spaces so that the data begin at
/// a multiple of 64 bytes.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    const ALIGN: usize = 64;
    let mut header = b"\x93NUMPY\x01\x00\x00\x00".to_vec();
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    let sides = sides.join(", ");
    let dictionary =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}");
    header.extend(dictionary.bytes());
    let padded = (header.len() + 1).next_multiple_of(ALIGN);
    header.resize(padded - 1, b' ');
    header.push(b'\n');
    // Four numbers of at most 20 digits each stay far below 16 bits.
    let length = (header.len() - 10) as u16;
    header[8..10].copy_from_slice(&length.to_le_bytes());
    header
}
