//! AArch64 with NEON, which every such machine has.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs
//! these instructions: the public ones of this file are reached only through
//! [`Isa::Neon`](super::Isa::Neon), which exists only where they were detected.
//! *Loading and storing*: through references to arrays of the right length, or,
//! in the `filter` loops, at an index that the taps' private `end` bounds.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::portable::{self, Scale};
use super::taps::{GROUP, LOW_BITS};
use super::{PAIR_BITS, Pairs, WINDOW_BITS, Windows};

/// Columns that the `filter` loops compute at once.
const COLUMNS: usize = 8;

pub(super) fn filter_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    let rgb = pairs.channels() == 3;
    // Of three channels, loads go two bytes behind a tap.
    if pairs.step() == 0 || rgb && from.len() < pairs.end() + 2 {
        return portable::filter_pairs(from, pairs, 0, to);
    }
    let whole = pairs.len() / COLUMNS * COLUMNS;
    // SAFETY: the instructions are there (see the module). Every load of 8 bytes
    // at a tap of three channels ends two bytes behind its tap, as was just
    // checked, and one of 2 bytes at a tap of one channel ends with its tap,
    // which `mod.rs` holds against the row.
    unsafe {
        match rgb {
            true => rgb_pairs(from, pairs, to),
            false => grey_pairs(from, pairs, to),
        }
    }
    portable::filter_pairs(from, pairs, whole, to);
}

/// # Safety
///
/// `from` has at least `pairs.end() + 2` bytes, and the pairs three channels.
#[target_feature(enable = "neon")]
unsafe fn rgb_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    let columns = pairs.len();
    let (red, rest) = to.split_at_mut(columns);
    let (green, blue) = rest.split_at_mut(columns);
    let (at, _) = pairs.at().as_chunks::<COLUMNS>();
    let (weights, _) = pairs.weights().as_chunks::<COLUMNS>();
    let planes = red.as_chunks_mut::<COLUMNS>().0.iter_mut();
    let planes = planes.zip(green.as_chunks_mut().0).zip(blue.as_chunks_mut().0);
    let load = |at: u32| {
        // SAFETY: as the caller of this function promises.
        let bytes = unsafe { vld1_u8(from.as_ptr().add(at as usize)) };
        vcombine_u8(bytes, vdup_n_u8(0))
    };
    for ((at, weights), ((red, green), blue)) in at.iter().zip(weights).zip(planes) {
        // Of eight columns' bytes `r0 g0 b0 r1 g1 b1 . .`: all the first bytes,
        // then all the second ones, and so on.
        let far = |i: usize| vzip1q_u8(load(at[i]), load(at[i + 4]));
        let (even, odd) = ([far(0), far(2)], [far(1), far(3)]);
        let near = |[a, b]: [uint8x16_t; 2]| (vzip1q_u8(a, b), vzip2q_u8(a, b));
        let ((even, even_rest), (odd, odd_rest)) = (near(even), near(odd));
        let (r0_g0, b0_r1) = (vzip1q_u8(even, odd), vzip2q_u8(even, odd));
        let g1_b1 = vzip1q_u8(even_rest, odd_rest);
        let weights = load_pairs(weights);
        store_sums(vget_low_u8(r0_g0), vget_high_u8(b0_r1), weights, red);
        store_sums(vget_high_u8(r0_g0), vget_low_u8(g1_b1), weights, green);
        store_sums(vget_low_u8(b0_r1), vget_high_u8(g1_b1), weights, blue);
    }
}

/// # Safety
///
/// `from` has at least `pairs.end()` bytes, and the pairs one channel and a step
/// of one.
#[target_feature(enable = "neon")]
unsafe fn grey_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    let (at, _) = pairs.at().as_chunks::<COLUMNS>();
    let (weights, _) = pairs.weights().as_chunks::<COLUMNS>();
    for ((at, weights), to) in at.iter().zip(weights).zip(to.as_chunks_mut::<COLUMNS>().0) {
        let at = at.map(|at| from.as_ptr().wrapping_add(at as usize));
        let mut levels = uint8x8x2_t(vdup_n_u8(0), vdup_n_u8(0));
        // SAFETY: as the caller of this function promises.
        unsafe {
            levels = vld2_lane_u8::<0>(at[0], levels);
            levels = vld2_lane_u8::<1>(at[1], levels);
            levels = vld2_lane_u8::<2>(at[2], levels);
            levels = vld2_lane_u8::<3>(at[3], levels);
            levels = vld2_lane_u8::<4>(at[4], levels);
            levels = vld2_lane_u8::<5>(at[5], levels);
            levels = vld2_lane_u8::<6>(at[6], levels);
            levels = vld2_lane_u8::<7>(at[7], levels);
        }
        store_sums(levels.0, levels.1, load_pairs(weights), to);
    }
}

/// Weighs eight pairs and stores the sums in 16 bits.
#[target_feature(enable = "neon")]
fn store_sums(
    left: uint8x8_t,
    right: uint8x8_t,
    int16x8x2_t(left_weight, right_weight): int16x8x2_t,
    to: &mut [i16; COLUMNS],
) {
    // Products are doubled, and shifted one further: of plain ones the compiler
    // makes moves of bytes to 32 bits, with three instructions for each.
    const SHIFT: i32 = PAIR_BITS as i32 - 7 + 1;
    let [left, right] = [left, right].map(|levels| vreinterpretq_s16_u16(vmovl_u8(levels)));
    let low = vqdmull_s16(vget_low_s16(left), vget_low_s16(left_weight));
    let low = vqdmlal_s16(low, vget_low_s16(right), vget_low_s16(right_weight));
    let high = vqdmlal_high_s16(vqdmull_high_s16(left, left_weight), right, right_weight);
    let sums = vshrn_high_n_s32::<SHIFT>(vshrn_n_s32::<SHIFT>(low), high);
    // SAFETY: the array has 16 bytes.
    unsafe { vst1q_s16(to.as_mut_ptr(), sums) };
}

/// The left weights, and the right ones.
#[target_feature(enable = "neon")]
fn load_pairs(weights: &[[i16; 2]; COLUMNS]) -> int16x8x2_t {
    // SAFETY: the array has 32 bytes.
    unsafe { vld2q_s16(weights.as_ptr().cast()) }
}

pub(super) fn blend(upper: &[i16], lower: &[i16], weights: [i16; 2], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { blend_chunks(upper, lower, weights, to) };
    portable::blend(&upper[done..], &lower[done..], weights, &mut to[done..]);
}

/// How many levels are done.
#[target_feature(enable = "neon")]
fn blend_chunks(upper: &[i16], lower: &[i16], weights: [i16; 2], to: &mut [u8]) -> usize {
    let [above, below] = weights.map(|weight| vdupq_n_s16(weight));
    let (to, _) = to.as_chunks_mut::<16>();
    let rows = upper.as_chunks::<16>().0.iter().zip(lower.as_chunks::<16>().0);
    for (to, (upper, lower)) in to.iter_mut().zip(rows) {
        let half = |at: usize| {
            // SAFETY: each array has 32 bytes, and `at` is 0 or 8 values.
            let (upper, lower) =
                unsafe { (vld1q_s16(upper.as_ptr().add(at)), vld1q_s16(lower.as_ptr().add(at))) };
            // The upper 16 bits of twice the product, halved: those of the
            // product, as both round down. Weights keep clear of saturation.
            let upper = vshrq_n_s16::<1>(vqdmulhq_s16(upper, above));
            vsraq_n_s16::<1>(upper, vqdmulhq_s16(lower, below))
        };
        let levels = vqrshrun_high_n_s16::<2>(vqrshrun_n_s16::<2>(half(0)), half(8));
        // SAFETY: the array has 16 bytes.
        unsafe { vst1q_u8(to.as_mut_ptr(), levels) };
    }
    to.len() * 16
}

pub(super) fn filter_windows(from: &[u8], windows: &Windows, to: &mut [u8]) {
    let mut done = 0;
    // Loads of 16 bytes go 4 behind a group of 4 taps, filling included.
    if windows.channels() == 3 && from.len() >= windows.filled_end() + 4 {
        // SAFETY: the instructions are there (see the module), and the last
        // load was just checked to end inside `from`.
        done = unsafe { rgb_windows(from, windows, to) };
    }
    portable::filter_windows(from, windows, done, to);
}

/// How many columns are done.
///
/// # Safety
///
/// Of every window all taps, and 4 bytes more, lie inside `from`.
#[target_feature(enable = "neon")]
unsafe fn rgb_windows(from: &[u8], windows: &Windows, to: &mut [u8]) -> usize {
    let (columns, groups) = (windows.len(), windows.groups());
    let (red, rest) = to.split_at_mut(columns);
    let (green, blue) = rest.split_at_mut(columns);
    // The red, green and blue of each tap of a group, in 32 bits each.
    let spread: [uint8x16_t; GROUP] = std::array::from_fn(|tap| {
        let place = |i: usize| match (i / 4, i % 4) {
            (channel @ 0..3, 0) => (3 * tap + channel) as u8,
            _ => 255,
        };
        let places: [u8; 16] = std::array::from_fn(place);
        // SAFETY: the array has 16 bytes.
        unsafe { vld1q_u8(places.as_ptr()) }
    });
    let sums = |column: usize| {
        let mut sums = vdupq_n_s32(HALF);
        let mut at = windows.at()[column] as usize;
        for group in &windows.weights()[column * groups..][..groups] {
            // SAFETY: as the caller of this function promises.
            let bytes = unsafe { vld1q_u8(from.as_ptr().add(at)) };
            let [a, b, c, d] = spread.map(|places| vreinterpretq_s32_u8(vqtbl1q_u8(bytes, places)));
            // SAFETY: the array has 16 bytes, the upper parts before the lower.
            let parts = unsafe { vld1q_s16(group.as_ptr()) };
            let (high, low) = (vget_low_s16(parts), vget_high_s16(parts));
            let weights = vaddw_s16(vshll_n_s16::<{ LOW_BITS as i32 }>(high), low);
            sums = vmlaq_laneq_s32::<0>(sums, a, weights);
            sums = vmlaq_laneq_s32::<1>(sums, b, weights);
            sums = vmlaq_laneq_s32::<2>(sums, c, weights);
            sums = vmlaq_laneq_s32::<3>(sums, d, weights);
            at += 3 * GROUP;
        }
        sums
    };
    let planes = red.as_chunks_mut::<COLUMNS>().0.iter_mut();
    let planes = planes.zip(green.as_chunks_mut().0).zip(blue.as_chunks_mut().0);
    let mut column = 0;
    for ((red, green), blue) in planes {
        let four = |column: usize| levels([0, 1, 2, 3].map(|i| sums(column + i)));
        let (first, second) = (four(column), four(column + 4));
        // From `r g b .` of each column to planes.
        let (even, odd) = (vuzp1q_u8(first, second), vuzp2q_u8(first, second));
        let (red_green, blue_only) = (vuzp1q_u8(even, odd), vuzp2q_u8(even, odd));
        store_eight(vget_low_u8(red_green), red);
        store_eight(vget_high_u8(red_green), green);
        store_eight(vget_low_u8(blue_only), blue);
        column += COLUMNS;
    }
    column
}

#[target_feature(enable = "neon")]
fn store_eight(levels: uint8x8_t, to: &mut [u8; COLUMNS]) {
    // SAFETY: the array has 8 bytes.
    unsafe { vst1_u8(to.as_mut_ptr(), levels) };
}

/// Half a level of a sum of windows, so that the final shift rounds.
const HALF: i32 = 1 << (WINDOW_BITS - 1);

/// Sums of windows as levels. Shifted in two steps that saturate, which clamps
/// as the portable path does.
#[target_feature(enable = "neon")]
fn levels([a, b, c, d]: [int32x4_t; 4]) -> uint8x16_t {
    const REST: i32 = WINDOW_BITS as i32 - 16;
    let first = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(a), b);
    let second = vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(c), d);
    vqshrn_high_n_u16::<REST>(vqshrn_n_u16::<REST>(first), second)
}

pub(super) fn sum_rows<'a>(weights: &[i32], row: impl Fn(usize) -> &'a [u8], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { sum_chunks(weights, &row, to) };
    portable::sum_rows(weights, row, done, to);
}

/// How many levels are done.
#[target_feature(enable = "neon")]
fn sum_chunks<'a>(weights: &[i32], row: &impl Fn(usize) -> &'a [u8], to: &mut [u8]) -> usize {
    const LANES: usize = 32;
    let (to, _) = to.as_chunks_mut::<LANES>();
    for (chunk, to) in to.iter_mut().enumerate() {
        let mut sums = [[vdupq_n_s32(HALF); 4]; 2];
        for (k, &weight) in weights.iter().enumerate() {
            let (halves, _) = row(k)[chunk * LANES..][..LANES].as_chunks::<16>();
            for (sums, levels) in sums.iter_mut().zip(halves) {
                for (sum, four) in sums.iter_mut().zip(widen(levels)) {
                    *sum = vmlaq_n_s32(*sum, vreinterpretq_s32_u32(four), weight);
                }
            }
        }
        for (sums, to) in sums.into_iter().zip(to.as_chunks_mut::<16>().0) {
            // SAFETY: the array has 16 bytes.
            unsafe { vst1q_u8(to.as_mut_ptr(), levels(sums)) };
        }
    }
    to.len() * LANES
}

/// Sixteen levels in 32 bits each.
#[target_feature(enable = "neon")]
fn widen(levels: &[u8; 16]) -> [uint32x4_t; 4] {
    // SAFETY: the array has 16 bytes.
    let bytes = unsafe { vld1q_u8(levels.as_ptr()) };
    let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
    let four = |half: uint16x8_t| [vmovl_u16(vget_low_u16(half)), vmovl_high_u16(half)];
    let ([a, b], [c, d]) = (four(low), four(high));
    [a, b, c, d]
}

pub(super) fn interleave(planes: [&[u8]; 3], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { interleave_chunks(planes, to) };
    portable::interleave(planes.map(|plane| &plane[done..]), &mut to[3 * done..]);
}

/// How many pixels are done.
#[target_feature(enable = "neon")]
fn interleave_chunks([first, second, third]: [&[u8]; 3], to: &mut [u8]) -> usize {
    let planes = first.as_chunks::<16>().0.iter();
    let planes = planes.zip(second.as_chunks::<16>().0).zip(third.as_chunks::<16>().0);
    let (to, _) = to.as_chunks_mut::<48>();
    for (to, ((a, b), c)) in to.iter_mut().zip(planes) {
        // SAFETY: each array has 16 bytes.
        let [a, b, c] = [a, b, c].map(|p: &[u8; 16]| unsafe { vld1q_u8(p.as_ptr()) });
        // SAFETY: the array has 48 bytes.
        unsafe { vst3q_u8(to.as_mut_ptr(), uint8x16x3_t(a, b, c)) };
    }
    to.len() * 16
}

/// Elements converted at once: a multiple of the vector's 4, of the 16 levels of
/// a load, and of 3 channels.
const PERIOD: usize = 48;

/// Mean and deviation of twelve elements in a row, after which they repeat.
struct Lanes {
    mean: [float32x4_t; 3],
    std: [float32x4_t; 3],
    /// Nothing to subtract or to divide by.
    unit: bool,
}

#[target_feature(enable = "neon")]
fn lanes<T>(scales: &[&Scale<T>; 3]) -> Lanes {
    let spread = |pick: &dyn Fn(&Scale<T>) -> f32| {
        std::array::from_fn(|part| {
            let values: [f32; 4] = std::array::from_fn(|i| pick(scales[(4 * part + i) % 3]));
            // SAFETY: the array has 16 bytes.
            unsafe { vld1q_f32(values.as_ptr()) }
        })
    };
    let unit = scales.iter().all(|scale| scale.mean == 0.0 && scale.std == 1.0);
    Lanes { mean: spread(&|scale| scale.mean), std: spread(&|scale| scale.std), unit }
}

/// Four levels as `(level / 255 - mean) / std`, rounded as those operations
/// are.
///
/// The quotient by 255 is `level / 2^8 + level / (2^8 * 255)`: the first part is
/// exact, and for each of the 256 levels the sum rounds to what the division
/// gives (`tests.rs` looks at all of them), at a fraction of its cost.
#[target_feature(enable = "neon")]
fn normalise<const UNIT: bool>(
    levels: uint32x4_t,
    mean: float32x4_t,
    std: float32x4_t,
) -> float32x4_t {
    let exact = vcvtq_n_f32_u32::<8>(levels);
    let value = vaddq_f32(exact, vmulq_n_f32(exact, 1.0 / 255.0));
    if UNIT { value } else { vdivq_f32(vsubq_f32(value, mean), std) }
}

/// A conversion to `$type`: `$store` puts eight floats into eight elements.
macro_rules! convert {
    ($plane:ident, $pixels:ident, $type:ty, $store:ident) => {
        pub(super) fn $plane(levels: &[u8], scale: &Scale<$type>, to: &mut [$type]) {
            $pixels(levels, [scale; 3], to);
        }

        pub(super) fn $pixels(levels: &[u8], scales: [&Scale<$type>; 3], to: &mut [$type]) {
            #[target_feature(enable = "neon")]
            fn chunks<const UNIT: bool>(levels: &[u8], lanes: &Lanes, to: &mut [$type]) -> usize {
                let (to, _) = to.as_chunks_mut::<PERIOD>();
                let (levels, _) = levels.as_chunks::<PERIOD>();
                for (to, levels) in to.iter_mut().zip(levels) {
                    let parts = levels.as_chunks::<16>().0.iter().zip(to.as_chunks_mut::<16>().0);
                    for (part, (levels, to)) in parts.enumerate() {
                        let fours = widen(levels);
                        for (i, to) in to.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                            let values = [2 * i, 2 * i + 1].map(|i| {
                                let lane = (4 * part + i) % 3;
                                normalise::<UNIT>(fours[i], lanes.mean[lane], lanes.std[lane])
                            });
                            $store(values, to);
                        }
                    }
                }
                to.len() * PERIOD
            }
            // SAFETY: the instructions are there (see the module).
            let done = unsafe {
                let lanes = lanes(&scales);
                match lanes.unit {
                    true => chunks::<true>(levels, &lanes, to),
                    false => chunks::<false>(levels, &lanes, to),
                }
            };
            // The period keeps the channels of what is left in step.
            portable::convert_pixels(&levels[done..], scales, &mut to[done..]);
        }
    };
}

convert!(plane_f32, pixels_f32, f32, store_f32);
convert!(plane_f16, pixels_f16, half::f16, store_f16);
convert!(plane_bf16, pixels_bf16, half::bf16, store_bf16);

#[target_feature(enable = "neon")]
fn store_f32([low, high]: [float32x4_t; 2], to: &mut [f32; 8]) {
    // SAFETY: the array has 32 bytes.
    unsafe { vst1q_f32_x2(to.as_mut_ptr(), float32x4x2_t(low, high)) };
}

#[target_feature(enable = "neon")]
fn store_f16(values: [float32x4_t; 2], to: &mut [half::f16; 8]) {
    let [low, high] = values.map(|four| to_f16(four));
    // SAFETY: the array has 16 bytes, and any bits are an f16.
    unsafe { vst1q_u16(to.as_mut_ptr().cast(), vcombine_u16(low, high)) };
}

/// The bits of the nearest `f16`, ties to even, as `f16::from_f32` gives them; a
/// level is never NaN. In steps, as the intrinsic for it is not stable in the
/// oldest supported Rust.
#[target_feature(enable = "neon")]
fn to_f16(values: float32x4_t) -> uint16x4_t {
    const INFINITY: u32 = 0x7c00;
    /// `f32` bits of the smallest normal `f16`, `2^-14`.
    const NORMAL: u32 = 113 << 23;
    let magnitude = vabsq_f32(values);
    let bits = vreinterpretq_u32_f32(magnitude);
    // Normal: another exponent bias, 13 bits less, and beyond the largest infinity.
    let odd = vandq_u32(vshrq_n_u32::<13>(bits), vdupq_n_u32(1));
    let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0xfff)));
    let biased = vshrq_n_u32::<13>(vsubq_u32(rounded, vdupq_n_u32(112 << 23)));
    let normal = vminq_u32(biased, vdupq_n_u32(INFINITY));
    // Below: one half has the last place of those, so adding it rounds to them.
    let half = vdupq_n_f32(0.5);
    let sum = vreinterpretq_u32_f32(vaddq_f32(magnitude, half));
    let below = vsubq_u32(sum, vreinterpretq_u32_f32(half));
    let found = vbslq_u32(vcltq_u32(bits, vdupq_n_u32(NORMAL)), below, normal);
    let sign = vshrq_n_u32::<31>(vreinterpretq_u32_f32(values));
    vmovn_u32(vsliq_n_u32::<15>(found, sign))
}

/// Rounds half to even, as `bf16::from_f32` does; a level is never NaN.
#[target_feature(enable = "neon")]
fn store_bf16(values: [float32x4_t; 2], to: &mut [half::bf16; 8]) {
    let [low, high] = values.map(|four| {
        let bits = vreinterpretq_u32_f32(four);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        // The upper half of the sum.
        vaddhn_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)))
    });
    // SAFETY: the array has 16 bytes, and any bits are a bf16.
    unsafe { vst1q_u16(to.as_mut_ptr().cast(), vcombine_u16(low, high)) };
}
