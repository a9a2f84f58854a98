//! x86-64 with AVX2, BMI1 and BMI2: as [`idct`](super::idct), to the bit; and other code,
//! compiled for these instructions.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs these
//! instructions: the public ones of this file are reached only through
//! [`Isa::Avx2`](crate::transform::Isa::Avx2), which exists only where they were detected.
//! *Loading*: through references to arrays of that length.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::block::{Block, Placed};
use super::idct::{BITS, KEPT, constants::*};

/// Two blocks to samples.
pub(super) fn whole(blocks: [Placed<'_>; 2], to: &mut [u8]) {
    // SAFETY: the instructions are there, see the module.
    unsafe { two_blocks(blocks, to) }
}

/// Rows of two blocks, or columns.
type Rows = [__m256i; 8];

#[target_feature(enable = "avx2")]
fn two_blocks(blocks: [Placed<'_>; 2], to: &mut [u8]) {
    let row = |of: [&Block; 2], i: usize| {
        let [a, b] = of.map(|of| load8(&of.as_chunks::<8>().0[i]));
        _mm256_setr_m128i(a, b)
    };
    let values = blocks.map(|(block, ..)| block.values);
    let quantisers = blocks.map(|(block, ..)| block.quantisers);
    let rows = std::array::from_fn(|i| _mm256_mullo_epi16(row(values, i), row(quantisers, i)));
    let columns = transposed(pass::<{ (BITS - KEPT) as i32 }>(rows));
    let rows = transposed(pass::<{ (BITS + KEPT + 3) as i32 }>(columns));
    let middle = _mm256_set1_epi8(-128);
    for (i, rows) in rows.as_chunks::<2>().0.iter().enumerate() {
        // Rows 2i and 2i + 1 of one block, then of the other.
        let levels = _mm256_add_epi8(_mm256_packs_epi16(rows[0], rows[1]), middle);
        let halves = [_mm256_castsi256_si128(levels), _mm256_extracti128_si256::<1>(levels)];
        for (levels, (_, at, stride)) in halves.into_iter().zip(blocks) {
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

/// 8 x 8 of each half: each step takes a row and the fourth after it in turn.
#[target_feature(enable = "avx2")]
fn transposed(mut x: Rows) -> Rows {
    for _ in 0..3 {
        x = std::array::from_fn(|i| match (i % 2, x[i / 2], x[i / 2 + 4]) {
            (0, a, b) => _mm256_unpacklo_epi16(a, b),
            (_, a, b) => _mm256_unpackhi_epi16(a, b),
        });
    }
    x
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

/// Does what is inlined into it, compiled for these instructions.
#[inline(always)]
pub(super) fn compiled<R>(work: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn inner<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    // SAFETY: the instructions are there, see the module.
    unsafe { inner(work) }
}
