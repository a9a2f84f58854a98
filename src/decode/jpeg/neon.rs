//! AArch64 with NEON: as [`idct`](super::idct), to the bit.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs these
//! instructions: the public ones of this file are reached only through
//! [`Isa::Neon`](crate::transform::Isa::Neon), which exists only where they were
//! detected. *Loading and storing*: through references to arrays of the right length.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::block::Coefficients;
use super::idct::{BITS, KEPT, constants::*};

/// A block to samples; see [`idct::whole`](super::idct::whole).
pub(super) fn whole(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    // SAFETY: the instructions are there, see the module.
    unsafe { one_block(block, to, stride) }
}

/// Rows of a block, or columns.
type Rows = [int16x8_t; 8];

#[target_feature(enable = "neon")]
fn one_block(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    let mut rows = [vdupq_n_s16(0); 8];
    let values = block.values.as_chunks::<8>().0.iter().zip(block.quantisers.as_chunks::<8>().0);
    for (row, (values, quantisers)) in rows.iter_mut().zip(values) {
        // SAFETY: 16 bytes are there, twice.
        let (values, quantisers) =
            unsafe { (vld1q_s16(values.as_ptr()), vld1q_s16(quantisers.as_ptr())) };
        *row = vmulq_s16(values, quantisers);
    }
    let columns = transposed(pass::<{ (BITS - KEPT) as i32 }>(rows));
    let rows = transposed(pass::<{ (BITS + KEPT + 3) as i32 }>(columns));
    for (row, to) in rows.into_iter().zip(to.chunks_mut(stride)) {
        let levels = vadd_u8(vreinterpret_u8_s8(vqmovn_s16(row)), vdup_n_u8(128));
        #[allow(clippy::expect_used, reason = "planes are made so, whatever the input")]
        let to: &mut [u8; 8] = to.first_chunk_mut().expect("lines have eight samples at least");
        // SAFETY: 8 bytes are there.
        unsafe { vst1_u8(to.as_mut_ptr(), levels) };
    }
}

/// One pass over columns, in 16 bits from 32.
#[target_feature(enable = "neon")]
fn pass<const SHIFT: i32>(x: Rows) -> Rows {
    let low = sums::<SHIFT>(x.map(|x| vget_low_s16(x)), &x, false);
    let high = sums::<SHIFT>(x.map(|x| vget_high_s16(x)), &x, true);
    let mut rows = x;
    for (row, (low, high)) in rows.iter_mut().zip(low.into_iter().zip(high)) {
        *row = vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
    }
    rows
}

/// Half of the lanes of a pass.
#[target_feature(enable = "neon")]
fn sums<const SHIFT: i32>(x: [int16x4_t; 8], whole: &Rows, high: bool) -> [int32x4_t; 8] {
    let by = |a, b, by: [i16; 2]| vmlal_n_s16(vmull_n_s16(a, by[0]), b, by[1]);
    let half = |whole| if high { vget_high_s16(whole) } else { vget_low_s16(whole) };
    let (add, sub) = (|a, b| vaddq_s32(a, b), |a, b| vsubq_s32(a, b));
    let (outer, inner) = (by(x[2], x[6], EVEN_OUTER), by(x[2], x[6], EVEN_INNER));
    let rounded = |sum| {
        let sum = vshll_n_s16::<{ BITS as i32 }>(half(sum));
        add(sum, vdupq_n_s32(1 << (SHIFT - 1)))
    };
    let sum = rounded(vaddq_s16(whole[0], whole[4]));
    let difference = rounded(vsubq_s16(whole[0], whole[4]));
    let even = [add(sum, outer), add(difference, inner), sub(difference, inner), sub(sum, outer)];
    let (s73, s51) = (vadd_s16(x[7], x[3]), vadd_s16(x[5], x[1]));
    let (z3, z4) = (by(s73, s51, SUM_73), by(s73, s51, SUM_51));
    let odd = [
        add(by(x[7], x[1], ODD_3), z4),
        add(by(x[5], x[3], ODD_2), z3),
        add(by(x[5], x[3], ODD_1), z4),
        add(by(x[7], x[1], ODD_0), z3),
    ];
    let mut sums = [sum; 8];
    for i in 0..4 {
        sums[i] = vshrq_n_s32::<SHIFT>(add(even[i], odd[i]));
        sums[7 - i] = vshrq_n_s32::<SHIFT>(sub(even[i], odd[i]));
    }
    sums
}

/// 8 x 8: each step takes a row and the fourth after it in turn.
#[target_feature(enable = "neon")]
fn transposed(mut x: Rows) -> Rows {
    for _ in 0..3 {
        let before = x;
        for (i, pair) in x.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (a, b) = (before[i], before[i + 4]);
            *pair = [vzip1q_s16(a, b), vzip2q_s16(a, b)];
        }
    }
    x
}
