//! Samples to pixels: upsampling as libjpeg's "fancy" method has it, a triangle filter
//! whose rounding alternates, and YCbCr to RGB (ITU-T T.871, 7) with libjpeg's constants
//! of 16 bits.

use std::ops::Range;

/// Twice as many samples, each three parts the nearer and one the further one; of
/// these `samples` of `from`. The last is written once if `to` is odd.
pub(super) fn double(from: &[u8], samples: Range<usize>, to: &mut [u8]) {
    let last = from.len() - 1;
    let sample = |i: usize| u32::from(from[i]);
    for (i, to) in samples.clone().zip(to.chunks_mut(2).skip(samples.start)) {
        let near = 3 * sample(i);
        let pair = [
            if i == 0 { sample(0) } else { (near + sample(i - 1) + 1) >> 2 },
            if i == last { sample(last) } else { (near + sample(i + 1) + 2) >> 2 },
        ];
        to.copy_from_slice(&pair.map(|level| level as u8)[..to.len()]);
    }
}

/// The same in both directions: of rows, `near` counts three times.
pub(super) fn double_between(near: &[u8], far: &[u8], samples: Range<usize>, to: &mut [u8]) {
    let last = near.len() - 1;
    let sum = |i: usize| 3 * u32::from(near[i]) + u32::from(far[i]);
    for (i, to) in samples.clone().zip(to.chunks_mut(2).skip(samples.start)) {
        let this = 3 * sum(i);
        let pair = [
            (this + sum(if i == 0 { 0 } else { i - 1 }) + 8) >> 4,
            (this + sum(if i == last { last } else { i + 1 }) + 7) >> 4,
        ];
        to.copy_from_slice(&pair.map(|level| level as u8)[..to.len()]);
    }
}

/// A row between two; `bias` is 1 above the nearer row and 2 below it.
pub(super) fn between(near: &[u8], far: &[u8], bias: u32, to: &mut [u8]) {
    for ((to, &near), &far) in to.iter_mut().zip(near).zip(far) {
        *to = ((3 * u32::from(near) + u32::from(far) + bias) >> 2) as u8;
    }
}

/// Each sample so many times.
pub(super) fn repeat(from: &[u8], times: usize, to: &mut [u8]) {
    for (to, &sample) in to.chunks_mut(times).zip(from) {
        to.fill(sample);
    }
}

/// Constants of 16 bits: 1.402, 0.34414, 0.71414, 1.772.
const CR_RED: i32 = 91_881;
const CB_GREEN: i32 = 22_554;
const CR_GREEN: i32 = 46_802;
const CB_BLUE: i32 = 116_130;
const HALF: i32 = 1 << 15;

/// A row of YCbCr to RGB, `[pixel, 3]`.
pub(super) fn rgb([luma, cb, cr]: [&[u8]; 3], to: &mut [u8]) {
    let chroma = cb.iter().zip(cr);
    for ((to, &y), (&cb, &cr)) in to.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(chroma) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let red = y + ((CR_RED * cr + HALF) >> 16);
        let green = y + ((-CB_GREEN * cb - CR_GREEN * cr + HALF) >> 16);
        let blue = y + ((CB_BLUE * cb + HALF) >> 16);
        *to = [red, green, blue].map(|level| level.clamp(0, 255) as u8);
    }
}
