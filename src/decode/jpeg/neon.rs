//! AArch64 with NEON: as [`idct`](super::idct) and [`color`], to the bit.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs these
//! instructions: the public ones of this file are reached only through
//! [`Isa::Neon`](crate::transform::Isa::Neon), which exists only where they were
//! detected. *Loading and storing*: through references to arrays of the right length.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::block::Block;
use super::color;
use super::idct::{BITS, KEPT, constants::*};

/// A block to samples; see [`idct::whole`](super::idct::whole).
pub(super) fn whole(block: &Block, to: &mut [u8], stride: usize) {
    // SAFETY: the instructions are there, see the module.
    unsafe { one_block(block, to, stride) }
}

/// Rows of a block, or columns.
type Rows = [int16x8_t; 8];

#[target_feature(enable = "neon")]
fn one_block(block: &Block, to: &mut [u8], stride: usize) {
    let mut rows = [vdupq_n_s16(0); 8];
    for (row, values) in rows.iter_mut().zip(block.as_chunks::<8>().0) {
        // SAFETY: 16 bytes are there.
        *row = unsafe { vld1q_s16(values.as_ptr()) };
    }
    let columns = transposed(pass::<{ (BITS - KEPT) as i32 }>(rows));
    let rows = transposed(pass::<{ (BITS + KEPT + 3) as i32 }>(columns));
    for (row, to) in rows.into_iter().zip(to.chunks_mut(stride)) {
        let levels = vadd_u8(vreinterpret_u8_s8(vqmovn_s16(row)), vdup_n_u8(128));
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

/// 8 x 8.
#[target_feature(enable = "neon")]
fn transposed(x: Rows) -> Rows {
    let mut a = x;
    for i in 0..4 {
        // Pairs of rows: 16 bits of each in turn.
        a[2 * i] = vtrn1q_s16(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = vtrn2q_s16(x[2 * i], x[2 * i + 1]);
    }
    let a = a.map(|a| vreinterpretq_s32_s16(a));
    let mut b = a;
    for i in [0, 1, 4, 5] {
        b[i] = vtrn1q_s32(a[i], a[i + 2]);
        b[i + 2] = vtrn2q_s32(a[i], a[i + 2]);
    }
    let b = b.map(|b| vreinterpretq_s64_s32(b));
    let mut c = b;
    for i in 0..4 {
        c[i] = vtrn1q_s64(b[i], b[i + 4]);
        c[i + 4] = vtrn2q_s64(b[i], b[i + 4]);
    }
    c.map(|c| vreinterpretq_s16_s64(c))
}

/// Samples at once.
const LANES: usize = 8;

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

#[target_feature(enable = "neon")]
fn double_middle(from: &[u8], to: &mut [u8]) -> usize {
    let mut at = 1;
    while at + LANES < from.len() && 2 * (at + LANES) <= to.len() {
        let near = vmull_u8(load(&from[at..]), vdup_n_u8(3));
        let even = vaddq_u16(vaddw_u8(near, load(&from[at - 1..])), vdupq_n_u16(1));
        let odd = vaddq_u16(vaddw_u8(near, load(&from[at + 1..])), vdupq_n_u16(2));
        store_pairs(vshrn_n_u16::<2>(even), vshrn_n_u16::<2>(odd), &mut to[2 * at..]);
        at += LANES;
    }
    at
}

#[target_feature(enable = "neon")]
fn double_between_middle(near: &[u8], far: &[u8], to: &mut [u8]) -> usize {
    let mut at = 1;
    while at + LANES < near.len().min(far.len()) && 2 * (at + LANES) <= to.len() {
        let sum = |at: usize| {
            let near = vmull_u8(load(&near[at..]), vdup_n_u8(3));
            vaddw_u8(near, load(&far[at..]))
        };
        let this = vmulq_n_u16(sum(at), 3);
        let even = vaddq_u16(vaddq_u16(this, sum(at - 1)), vdupq_n_u16(8));
        let odd = vaddq_u16(vaddq_u16(this, sum(at + 1)), vdupq_n_u16(7));
        store_pairs(vshrn_n_u16::<4>(even), vshrn_n_u16::<4>(odd), &mut to[2 * at..]);
        at += LANES;
    }
    at
}

#[target_feature(enable = "neon")]
fn load(from: &[u8]) -> uint8x8_t {
    let from: &[u8; LANES] = from.first_chunk().expect("as many were asked for");
    // SAFETY: 8 bytes are there.
    unsafe { vld1_u8(from.as_ptr()) }
}

/// Levels in turn from each.
#[target_feature(enable = "neon")]
fn store_pairs(even: uint8x8_t, odd: uint8x8_t, to: &mut [u8]) {
    let to: &mut [u8; 2 * LANES] = to.first_chunk_mut().expect("as many were asked for");
    // SAFETY: 16 bytes are there.
    unsafe { vst2_u8(to.as_mut_ptr(), uint8x8x2_t(even, odd)) };
}

/// See [`color::rgb`].
pub(super) fn rgb(planes: [&[u8]; 3], to: &mut [u8]) {
    // SAFETY: the instructions are there, see the module.
    let done = unsafe { rgb_chunks(planes, to) };
    color::rgb(planes.map(|plane| &plane[done..]), &mut to[3 * done..]);
}

#[target_feature(enable = "neon")]
fn rgb_chunks([luma, cb, cr]: [&[u8]; 3], to: &mut [u8]) -> usize {
    let chunks = luma.as_chunks::<LANES>().0.iter().zip(cb.as_chunks::<LANES>().0);
    let chunks = chunks.zip(cr.as_chunks::<LANES>().0);
    let mut done = 0;
    for (((y, cb), cr), to) in chunks.zip(to.as_chunks_mut::<{ 3 * LANES }>().0) {
        let wide = |levels: &[u8; LANES]| {
            // SAFETY: 8 bytes are there.
            vreinterpretq_s16_u16(vmovl_u8(unsafe { vld1_u8(levels.as_ptr()) }))
        };
        let middle = vdupq_n_s16(128);
        let (y, cb, cr) = (wide(y), vsubq_s16(wide(cb), middle), vsubq_s16(wide(cr), middle));
        // 32 bits of a sum of two products, rounded to their upper half: 1.402 is 1 and
        // 0.402, 1.772 is 2 less 0.228, -0.71414 is -1 and 0.28586.
        let sum = |by: [i16; 2]| {
            let half = |cb, cr| vmlal_n_s16(vmull_n_s16(cb, by[0]), cr, by[1]);
            let low = half(vget_low_s16(cb), vget_low_s16(cr));
            let high = half(vget_high_s16(cb), vget_high_s16(cr));
            vcombine_s16(vrshrn_n_s32::<16>(low), vrshrn_n_s32::<16>(high))
        };
        let red = vaddq_s16(vaddq_s16(y, cr), sum([0, 26_345]));
        let green = vaddq_s16(vsubq_s16(y, cr), sum([-22_554, 18_734]));
        let blue = vaddq_s16(vaddq_s16(y, vaddq_s16(cb, cb)), sum([-14_942, 0]));
        let pixels = uint8x8x3_t(vqmovun_s16(red), vqmovun_s16(green), vqmovun_s16(blue));
        // SAFETY: 24 bytes are there.
        unsafe { vst3_u8(to.as_mut_ptr(), pixels) };
        done += LANES;
    }
    done
}
