//! Plain Rust: the reference that the other paths are held against, and what a
//! machine without them runs.

use super::{PAIR_BITS, Pairs, WINDOW_BITS, Windows};
use crate::config::Normalize;
use crate::element::Element;

/// Half a level of a sum of windows, so that the final shift rounds.
const HALF: i32 = 1 << (WINDOW_BITS - 1);

/// How levels of one channel become elements.
#[derive(Clone, Debug)]
pub(crate) struct Scale<T> {
    /// The element of every level.
    pub(super) table: [T; 256],
    pub(super) mean: f32,
    pub(super) std: f32,
}

/// The scales of red, green and blue.
pub(crate) type Scales<T> = [Scale<T>; 3];

impl<T: Element> Scale<T> {
    pub(crate) fn all(normalize: &Normalize) -> Box<Scales<T>> {
        Box::new(std::array::from_fn(|channel| Scale {
            table: std::array::from_fn(|level| T::from_level(level as u8, channel, normalize)),
            mean: normalize.mean[channel],
            std: normalize.std[channel],
        }))
    }
}

/// From column `start` on.
pub(super) fn filter_pairs(from: &[u8], pairs: &Pairs, start: usize, to: &mut [i16]) {
    let (columns, step) = (pairs.len(), pairs.step());
    for (channel, plane) in to.chunks_exact_mut(columns.max(1)).enumerate() {
        let taps = pairs.at().iter().zip(pairs.weights()).zip(plane).skip(start);
        for ((&at, &[left, right]), to) in taps {
            let at = at as usize + channel;
            let sum = i32::from(from[at]) * i32::from(left)
                + i32::from(from[at + step]) * i32::from(right);
            *to = (sum >> (PAIR_BITS - 7)) as i16;
        }
    }
}

pub(super) fn blend(upper: &[i16], lower: &[i16], [above, below]: [i16; 2], to: &mut [u8]) {
    let part = |value: i16, weight: i16| ((i32::from(value) * i32::from(weight)) >> 16) as i16;
    for ((to, &upper), &lower) in to.iter_mut().zip(upper).zip(lower) {
        *to = ((part(upper, above) + part(lower, below) + 2) >> 2) as u8;
    }
}

/// From column `start` on.
pub(super) fn filter_windows(from: &[u8], windows: &Windows, start: usize, to: &mut [u8]) {
    let (columns, channels) = (windows.len(), windows.channels());
    for column in start..columns {
        let mut sums = [HALF; 3];
        let (first, weights) = windows.column(column);
        for (pixel, weight) in from[first..].chunks_exact(channels).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(i32::from(value) * weight);
            }
        }
        for (channel, &sum) in sums[..channels].iter().enumerate() {
            to[channel * columns + column] = level(sum);
        }
    }
}

/// Values summed at once; they stay in registers.
const LANES: usize = 16;

/// From column `start` on.
pub(super) fn sum_rows<'a>(
    weights: &[i32],
    row: impl Fn(usize) -> &'a [u8],
    start: usize,
    to: &mut [u8],
) {
    let mut at = start;
    while at < to.len() {
        let lanes = LANES.min(to.len() - at);
        let mut sums = [HALF; LANES];
        for (k, &weight) in weights.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(&row(k)[at..at + lanes]) {
                *sum = sum.wrapping_add(i32::from(value) * weight);
            }
        }
        for (to, sum) in to[at..at + lanes].iter_mut().zip(sums) {
            *to = level(sum);
        }
        at += lanes;
    }
}

fn level(sum: i32) -> u8 {
    (sum >> WINDOW_BITS).clamp(0, 255) as u8
}

pub(super) fn interleave([first, second, third]: [&[u8]; 3], to: &mut [u8]) {
    let places = to.as_chunks_mut::<3>().0.iter_mut();
    for (((to, &a), &b), &c) in places.zip(first).zip(second).zip(third) {
        *to = [a, b, c];
    }
}

pub(super) fn convert<T: Copy>(levels: &[u8], scale: &Scale<T>, to: &mut [T]) {
    for (to, &level) in to.iter_mut().zip(levels) {
        *to = scale.table[usize::from(level)];
    }
}

pub(super) fn convert_pixels<T: Copy>(levels: &[u8], scales: [&Scale<T>; 3], to: &mut [T]) {
    for (i, (to, &level)) in to.iter_mut().zip(levels).enumerate() {
        *to = scales[i % 3].table[usize::from(level)];
    }
}
