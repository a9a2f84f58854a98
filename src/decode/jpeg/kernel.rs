//! The loops over bits and samples for each instruction set, chosen at run time. All
//! give the same to the bit.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::bits::Bits;
use super::block::{Block, Places, Room};
use super::huffman::{AcTable, DcTable};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{color, idct};
use crate::transform::Isa;

/// The coefficients of a block, see [`AcTable::block`].
#[inline]
pub(super) fn block(
    isa: Isa,
    tables: (&DcTable, &AcTable),
    bits: &mut Bits<'_>,
    places: &Places,
    before: &mut i32,
    block: &mut Room,
) -> Option<u32> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::block(tables, bits, places, before, block),
        _ => plain_block(tables, bits, places, before, block),
    }
}

/// On its own: among other code its variables would not all be in registers.
#[inline(never)]
fn plain_block(
    (dc, ac): (&DcTable, &AcTable),
    bits: &mut Bits<'_>,
    places: &Places,
    before: &mut i32,
    block: &mut Room,
) -> Option<u32> {
    ac.block(dc, bits, places, before, block)
}

/// Passes over a block, see [`AcTable::skip`].
#[inline]
pub(super) fn skip(
    isa: Isa,
    tables: (&DcTable, &AcTable),
    bits: &mut Bits<'_>,
    before: &mut i32,
) -> Option<()> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::skip(tables, bits, before),
        _ => tables.1.skip(tables.0, bits, before),
    }
}

/// A block to fewer samples, see [`idct::half`] and [`idct::quarter`].
pub(super) fn reduced(isa: Isa, block: &Block, to: &mut [u8], stride: usize, side: usize) {
    match (isa, side) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, 2) => avx2::quarter(block, to, stride),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => avx2::half(block, to, stride),
        (_, 2) => idct::quarter(block, to, stride),
        _ => idct::half(block, to, stride),
    }
}

/// Two blocks to samples: where each begins in `to`, and the length of lines there.
pub(super) fn whole(
    isa: Isa,
    blocks: [&Block; 2],
    to: &mut [u8],
    at: [usize; 2],
    strides: [usize; 2],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::whole(blocks, to, at, strides),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => each(neon::whole, blocks, to, at, strides),
        Isa::Portable => each(idct::whole, blocks, to, at, strides),
    }
}

fn each(
    whole: fn(&Block, &mut [u8], usize),
    blocks: [&Block; 2],
    to: &mut [u8],
    at: [usize; 2],
    strides: [usize; 2],
) {
    for ((block, at), stride) in blocks.into_iter().zip(at).zip(strides) {
        whole(block, &mut to[at..], stride);
    }
}

/// See [`color::double`].
pub(super) fn double(isa: Isa, from: &[u8], to: &mut [u8]) {
    // The ends are other than what is between, and plain.
    let done = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::double(from, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::double(from, to),
        Isa::Portable => 1,
    };
    color::double(from, 0..1, to);
    color::double(from, done..from.len(), to);
}

/// See [`color::double_between`].
pub(super) fn double_between(isa: Isa, near: &[u8], far: &[u8], to: &mut [u8]) {
    let done = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::double_between(near, far, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::double_between(near, far, to),
        Isa::Portable => 1,
    };
    color::double_between(near, far, 0..1, to);
    color::double_between(near, far, done..near.len(), to);
}

/// See [`color::rgb`].
pub(super) fn rgb(isa: Isa, planes: [&[u8]; 3], to: &mut [u8]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::rgb(planes, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::rgb(planes, to),
        Isa::Portable => color::rgb(planes, to),
    }
}
