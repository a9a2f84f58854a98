//! x86-64 with AVX2, BMI1 and BMI2: as [`idct`](super::idct) and [`color`](super::color), to the bit.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs these
//! instructions: the public ones of this file are reached only through
//! [`Isa::Avx2`](crate::transform::Isa::Avx2), which exists only where they were detected.
//! *Loading and storing*: through slices whose length was just checked.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::bits::Bits;
use super::block::{Block, Places, Room};
use super::color;
use super::huffman::{AcTable, DcTable};
use super::idct::{self, BITS, KEPT, constants::*};
use crate::transform::store_pixels;

/// Two blocks to samples: where each begins, and the length of rows there.
pub(super) fn whole(blocks: [&Block; 2], to: &mut [u8], at: [usize; 2], strides: [usize; 2]) {
    // SAFETY: the instructions are there, see the module.
    unsafe { two_blocks(blocks, to, at, strides) }
}

/// Rows of two blocks, or columns.
type Rows = [__m256i; 8];

#[target_feature(enable = "avx2")]
fn two_blocks(blocks: [&Block; 2], to: &mut [u8], at: [usize; 2], strides: [usize; 2]) {
    let [a, b] = blocks.map(|block| block.as_chunks::<8>().0);
    let mut rows = [_mm256_setzero_si256(); 8];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = _mm256_setr_m128i(load8(&a[i]), load8(&b[i]));
    }
    let columns = transposed(pass::<{ (BITS - KEPT) as i32 }>(rows));
    let rows = transposed(pass::<{ (BITS + KEPT + 3) as i32 }>(columns));
    let middle = _mm256_set1_epi8(-128);
    for (i, rows) in rows.as_chunks::<2>().0.iter().enumerate() {
        // Rows 2i and 2i + 1 of one block, then of the other.
        let levels = _mm256_add_epi8(_mm256_packs_epi16(rows[0], rows[1]), middle);
        let halves = [_mm256_castsi256_si128(levels), _mm256_extracti128_si256::<1>(levels)];
        for ((levels, at), stride) in halves.into_iter().zip(at).zip(strides) {
            let at = at + 2 * i * stride;
            store8(&mut to[at..at + 8], levels);
            store8(&mut to[at + stride..at + stride + 8], _mm_unpackhi_epi64(levels, levels));
        }
    }
}

/// One pass over columns, in 16 bits from 32.
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32>(x: Rows) -> Rows {
    let (low, high) = (sums::<SHIFT, false>(&x), sums::<SHIFT, true>(&x));
    std::array::from_fn(|i| _mm256_packs_epi32(low[i], high[i]))
}

/// Half of the lanes of a pass.
#[target_feature(enable = "avx2")]
fn sums<const SHIFT: i32, const HIGH: bool>(x: &Rows) -> Rows {
    let pairs = |a, b| match HIGH {
        false => _mm256_unpacklo_epi16(a, b),
        true => _mm256_unpackhi_epi16(a, b),
    };
    let by = |pairs, by: [i16; 2]| {
        let by = _mm256_set1_epi32(i32::from(by[0]) & 0xffff | i32::from(by[1]) << 16);
        _mm256_madd_epi16(pairs, by)
    };
    // To the upper half of 32 bits, and down again by all but the constants' bits.
    let widened = |a| {
        let upper = pairs(_mm256_setzero_si256(), a);
        _mm256_srai_epi32::<{ 16 - BITS as i32 }>(upper)
    };
    let (add, sub) = (|a, b| _mm256_add_epi32(a, b), |a, b| _mm256_sub_epi32(a, b));
    let x26 = pairs(x[2], x[6]);
    let (outer, inner) = (by(x26, EVEN_OUTER), by(x26, EVEN_INNER));
    let sum = widened(_mm256_add_epi16(x[0], x[4]));
    let difference = widened(_mm256_sub_epi16(x[0], x[4]));
    let rounded = |a| add(a, _mm256_set1_epi32(1 << (SHIFT - 1)));
    let (sum, difference) = (rounded(sum), rounded(difference));
    let even = [add(sum, outer), add(difference, inner), sub(difference, inner), sub(sum, outer)];
    let both = pairs(_mm256_add_epi16(x[7], x[3]), _mm256_add_epi16(x[5], x[1]));
    let (z3, z4) = (by(both, SUM_73), by(both, SUM_51));
    let (x71, x53) = (pairs(x[7], x[1]), pairs(x[5], x[3]));
    let odd = [
        add(by(x71, ODD_3), z4),
        add(by(x53, ODD_2), z3),
        add(by(x53, ODD_1), z4),
        add(by(x71, ODD_0), z3),
    ];
    std::array::from_fn(|i| {
        _mm256_srai_epi32::<SHIFT>(match i {
            0..4 => add(even[i], odd[i]),
            _ => sub(even[7 - i], odd[7 - i]),
        })
    })
}

/// 8 x 8 of each half.
#[target_feature(enable = "avx2")]
fn transposed(x: Rows) -> Rows {
    let (low, high) = (|a, b| _mm256_unpacklo_epi16(a, b), |a, b| _mm256_unpackhi_epi16(a, b));
    let a = [
        low(x[0], x[1]),
        low(x[2], x[3]),
        low(x[4], x[5]),
        low(x[6], x[7]),
        high(x[0], x[1]),
        high(x[2], x[3]),
        high(x[4], x[5]),
        high(x[6], x[7]),
    ];
    let (low, high) = (|a, b| _mm256_unpacklo_epi32(a, b), |a, b| _mm256_unpackhi_epi32(a, b));
    let b = [
        low(a[0], a[1]),
        low(a[2], a[3]),
        high(a[0], a[1]),
        high(a[2], a[3]),
        low(a[4], a[5]),
        low(a[6], a[7]),
        high(a[4], a[5]),
        high(a[6], a[7]),
    ];
    std::array::from_fn(|i| {
        let (first, second) = (b[i / 2 * 2], b[i / 2 * 2 + 1]);
        match i % 2 {
            0 => _mm256_unpacklo_epi64(first, second),
            _ => _mm256_unpackhi_epi64(first, second),
        }
    })
}

#[target_feature(enable = "avx2")]
fn load8(from: &[i16; 8]) -> __m128i {
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store8(to: &mut [u8], levels: __m128i) {
    to.copy_from_slice(&_mm_cvtsi128_si64(levels).to_le_bytes());
}

/// Samples at once.
const LANES: usize = 16;

/// See [`color::double`]: the samples from the second one on, as far as it goes; where
/// that is.
pub(super) fn double(from: &[u8], to: &mut [u8]) -> usize {
    // SAFETY: the instructions are there, see the module.
    unsafe { double_middle(from, to) }
}

/// See [`color::double_between`]; as above.
pub(super) fn double_between(near: &[u8], far: &[u8], to: &mut [u8]) -> usize {
    // SAFETY: the instructions are there, see the module.
    unsafe { double_between_middle(near, far, to) }
}

#[target_feature(enable = "avx2")]
fn double_middle(from: &[u8], to: &mut [u8]) -> usize {
    let mut at = 1;
    while at + LANES < from.len() && 2 * (at + LANES) <= to.len() {
        let load = |at: usize| widened(&from[at..]);
        let near = load(at);
        let near = _mm256_add_epi16(near, _mm256_add_epi16(near, near));
        let one = _mm256_set1_epi16(1);
        let even = _mm256_add_epi16(_mm256_add_epi16(near, load(at - 1)), one);
        let odd =
            _mm256_add_epi16(_mm256_add_epi16(near, load(at + 1)), _mm256_add_epi16(one, one));
        store_pairs(_mm256_srli_epi16::<2>(even), _mm256_srli_epi16::<2>(odd), &mut to[2 * at..]);
        at += LANES;
    }
    at
}

#[target_feature(enable = "avx2")]
fn double_between_middle(near: &[u8], far: &[u8], to: &mut [u8]) -> usize {
    let mut at = 1;
    while at + LANES < near.len().min(far.len()) && 2 * (at + LANES) <= to.len() {
        let sum = |at: usize| {
            let near = widened(&near[at..]);
            let twice = _mm256_add_epi16(near, near);
            _mm256_add_epi16(_mm256_add_epi16(near, twice), widened(&far[at..]))
        };
        let this = sum(at);
        let this = _mm256_add_epi16(this, _mm256_add_epi16(this, this));
        let (eight, seven) = (_mm256_set1_epi16(8), _mm256_set1_epi16(7));
        let even = _mm256_add_epi16(_mm256_add_epi16(this, sum(at - 1)), eight);
        let odd = _mm256_add_epi16(_mm256_add_epi16(this, sum(at + 1)), seven);
        store_pairs(_mm256_srli_epi16::<4>(even), _mm256_srli_epi16::<4>(odd), &mut to[2 * at..]);
        at += LANES;
    }
    at
}

/// The first 16 bytes, as 16 bits each.
#[target_feature(enable = "avx2")]
fn widened(from: &[u8]) -> __m256i {
    let from: &[u8; LANES] = from.first_chunk().expect("as many were asked for");
    // SAFETY: 16 bytes are there.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

/// Levels in turn from each.
#[target_feature(enable = "avx2")]
fn store_pairs(even: __m256i, odd: __m256i, to: &mut [u8]) {
    let both = _mm256_or_si256(even, _mm256_slli_epi16::<8>(odd));
    let to: &mut [u8; 2 * LANES] = to.first_chunk_mut().expect("as many were asked for");
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), both) }
}

/// See [`color::rgb`].
pub(super) fn rgb(planes: [&[u8]; 3], to: &mut [u8]) {
    // SAFETY: the instructions are there, see the module.
    let done = unsafe { rgb_chunks(planes, to) };
    color::rgb(planes.map(|plane| &plane[done..]), &mut to[3 * done..]);
}

#[target_feature(enable = "avx2")]
fn rgb_chunks([luma, cb, cr]: [&[u8]; 3], to: &mut [u8]) -> usize {
    let chunks = luma.as_chunks::<32>().0.iter().zip(cb.as_chunks::<32>().0);
    let chunks = chunks.zip(cr.as_chunks::<32>().0).zip(to.as_chunks_mut::<96>().0);
    let mut done = 0;
    for (((y, cb), cr), to) in chunks {
        let load = |from: &[u8; 32]| {
            // SAFETY: 32 bytes are there.
            unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
        };
        let [y, cb, cr] = [y, cb, cr].map(load);
        let zero = _mm256_setzero_si256();
        let low = levels([y, cb, cr].map(|a| _mm256_unpacklo_epi8(a, zero)));
        let high = levels([y, cb, cr].map(|a| _mm256_unpackhi_epi8(a, zero)));
        // Unpacking and packing split lanes alike.
        let packed = |i: usize| _mm256_packus_epi16(low[i], high[i]);
        store_pixels([packed(0), packed(1), packed(2)], to);
        done += 32;
    }
    done
}

/// Red, green and blue of 16 pixels, in 16 bits.
#[target_feature(enable = "avx2")]
fn levels([y, cb, cr]: [__m256i; 3]) -> [__m256i; 3] {
    let middle = _mm256_set1_epi16(128);
    let (cb, cr) = (_mm256_sub_epi16(cb, middle), _mm256_sub_epi16(cr, middle));
    let add = |a, b| _mm256_add_epi16(a, b);
    // (2 x c >> 16, plus 1) >> 1 is x c >> 16, rounded. 1.402 is 1 and 0.402 (26,345),
    // 1.772 is 2 less 0.228 (14,942).
    let product = |x, by: i16| {
        let high = _mm256_mulhi_epi16(add(x, x), _mm256_set1_epi16(by));
        _mm256_srai_epi16::<1>(add(high, _mm256_set1_epi16(1)))
    };
    let red = add(add(y, cr), product(cr, 26_345));
    let blue = add(add(y, add(cb, cb)), product(cb, -14_942));
    // -0.71414 is -1 and 0.28586 (18,734).
    let by = _mm256_set1_epi32(-22_554 & 0xffff | 18_734 << 16);
    let half = _mm256_set1_epi32(1 << 15);
    let part =
        |pairs| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, by), half));
    let both = _mm256_packs_epi32(
        part(_mm256_unpacklo_epi16(cb, cr)),
        part(_mm256_unpackhi_epi16(cb, cr)),
    );
    let green = add(_mm256_sub_epi16(y, cr), both);
    [red, green, blue]
}

/// See [`idct::half`]: the same code, in wider registers.
pub(super) fn half(block: &Block, to: &mut [u8], stride: usize) {
    #[target_feature(enable = "avx2")]
    fn wide(block: &Block, to: &mut [u8], stride: usize) {
        idct::half(block, to, stride);
    }
    // SAFETY: the instructions are there, see the module.
    unsafe { wide(block, to, stride) }
}

/// See [`idct::quarter`].
pub(super) fn quarter(block: &Block, to: &mut [u8], stride: usize) {
    // SAFETY: the instructions are there, see the module.
    let sums = unsafe { quarter_sums(block) };
    for (sums, to) in sums.into_iter().zip(to.chunks_mut(stride)) {
        to[..2].copy_from_slice(&sums.map(|sum| idct::level(sum >> 2)));
    }
}

#[target_feature(enable = "avx2")]
fn quarter_sums(block: &Block) -> [[i32; 2]; 2] {
    let row = |i: usize| load8(&block.as_chunks::<8>().0[i]);
    let [c7, c5, c3, c1] = QUARTER.map(i32::from);
    let pair = |a: i32, b: i32| _mm_set1_epi32(a & 0xffff | b << 16);
    let (outer, inner) = (pair(c7, c5), pair(c3, c1));
    let odd = |x75, x31| _mm_add_epi32(_mm_madd_epi16(x75, outer), _mm_madd_epi16(x31, inner));
    let (x7, x5, x3, x1) = (row(7), row(5), row(3), row(1));
    let low = odd(_mm_unpacklo_epi16(x7, x5), _mm_unpacklo_epi16(x3, x1));
    let high = odd(_mm_unpackhi_epi16(x7, x5), _mm_unpackhi_epi16(x3, x1));
    // To the upper half of 32 bits, and down by one: 15 more.
    let zero = _mm_setzero_si128();
    let first = [_mm_unpacklo_epi16(zero, row(0)), _mm_unpackhi_epi16(zero, row(0))];
    let first = first.map(|first| _mm_srai_epi32::<{ 14 - BITS as i32 }>(first));
    let scaled = |sum| {
        const SHIFT: i32 = (BITS - KEPT + 2) as i32;
        _mm_srai_epi32::<SHIFT>(_mm_add_epi32(sum, _mm_set1_epi32(1 << (SHIFT - 1))))
    };
    let above = [_mm_add_epi32(first[0], low), _mm_add_epi32(first[1], high)].map(scaled);
    let below = [_mm_sub_epi32(first[0], low), _mm_sub_epi32(first[1], high)].map(scaled);
    let by = _mm_setr_epi16(0, QUARTER[3], 0, QUARTER[2], 0, QUARTER[1], 0, QUARTER[0]);
    [above, below].map(|[low, high]| {
        let row = _mm_packs_epi32(low, high);
        let products = _mm_madd_epi16(row, by);
        let sums = _mm_hadd_epi32(products, products);
        let odd = _mm_cvtsi128_si32(_mm_hadd_epi32(sums, sums));
        let first = i32::from(_mm_extract_epi16::<0>(row) as i16) << (BITS + 2);
        [first.wrapping_add(odd), first.wrapping_sub(odd)]
    })
}

/// See [`AcTable::skip`]: the same code, with shifts by any register.
pub(super) fn skip(
    tables: (&DcTable, &AcTable),
    bits: &mut Bits<'_>,
    before: &mut i32,
) -> Option<()> {
    #[target_feature(enable = "bmi1,bmi2")]
    fn with_shifts(
        (dc, ac): (&DcTable, &AcTable),
        bits: &mut Bits<'_>,
        before: &mut i32,
    ) -> Option<()> {
        ac.skip(dc, bits, before)
    }
    // SAFETY: the instructions are there, see the module.
    unsafe { with_shifts(tables, bits, before) }
}

/// See [`AcTable::block`]: the same code, with shifts by any register.
pub(super) fn block(
    tables: (&DcTable, &AcTable),
    bits: &mut Bits<'_>,
    places: &Places,
    before: &mut i32,
    block: &mut Room,
) -> Option<u32> {
    #[target_feature(enable = "bmi1,bmi2")]
    fn with_shifts(
        (dc, ac): (&DcTable, &AcTable),
        bits: &mut Bits<'_>,
        places: &Places,
        before: &mut i32,
        block: &mut Room,
    ) -> Option<u32> {
        ac.block(dc, bits, places, before, block)
    }
    // SAFETY: the instructions are there, see the module.
    unsafe { with_shifts(tables, bits, places, before, block) }
}
