//! Bilinear without antialiasing, in the arithmetic of OpenCV's `INTER_LINEAR`
//! for 8 bits per channel: half-pixel centres, coefficients of 11 bits, edges
//! clamped.
//!
//! For a target pixel `x` the source position is `(x + 0.5) * scale - 0.5`,
//! split into a whole pixel and a fraction `f`; the pixel and its right
//! neighbour weigh `2048 * (1 - f)` and `2048 * f`, rounded half to even.
//! A horizontally filtered value `h` has 11 bits more than a level. Two of them
//! meet in a column as `(((h0 >> 4) * b0 >> 16) + ((h1 >> 4) * b1 >> 16) + 2) >> 2`.

use std::ops::Range;

use super::axis::Axis;
use super::kernel::{self, Isa, PAIR_BITS, Pairs};
use super::separable::{Pass, refill};

/// A whole pixel's weight.
const ONE: i16 = 1 << PAIR_BITS;

/// Two neighbours and their weights, for one target column or row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    /// The first neighbour, in the axis' stretch; -1 before its first pixel.
    at: i32,
    /// The weights of the two neighbours, of a sum of 2048.
    weights: [i16; 2],
}

/// The taps of one axis, its edges as they come.
fn taps(axis: Axis) -> impl ExactSizeIterator<Item = Tap> {
    // OpenCV inverts the ratio of the lengths twice; both roundings matter.
    let scale = 1.0 / (f64::from(axis.resized) / axis.length);
    axis.wanted().map(move |x| {
        let position = ((f64::from(x) + 0.5) * scale - 0.5 + axis.offset) as f32;
        let whole = position.floor();
        let fraction = position - whole;
        let weigh = |part: f32| (part * f32::from(ONE)).round_ties_even() as i16;
        Tap { at: whole as i32, weights: [weigh(1.0 - fraction), weigh(fraction)] }
    })
}

/// A column's tap with its edges settled, its place counted from the row's first
/// pixel: a pixel alone has the whole weight, the last one as the second of a
/// pair.
fn column(tap: Tap, axis: Axis) -> (u32, [i16; 2]) {
    let (start, last) = (axis.start, axis.source as i32 - 1);
    match tap.at {
        _ if last == 0 && start > 0 => (start - 1, [0, ONE]),
        at if at < 0 || last == 0 => (start, [ONE, 0]),
        at if at >= last => (start + last as u32 - 1, [0, ONE]),
        at => (start + at as u32, tap.weights),
    }
}

/// Tables and rows of one thread, used again from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Bilinear {
    columns: Pairs,
    /// Of each target row the source rows and their weights.
    rows: Vec<([u32; 2], [i16; 2])>,
    axes: Option<(usize, u32, Axis, Axis)>,
    /// Two horizontally filtered source rows, `[2, channel, column]`; even rows
    /// in the first, odd ones in the second.
    ring: Vec<i16>,
}

impl Bilinear {
    /// Makes ready for pictures of `width` pixels a row.
    pub(super) fn prepare(&mut self, channels: usize, width: u32, (x, y): (Axis, Axis)) {
        refill(&mut self.ring, 2 * channels * x.count as usize);
        if self.axes == Some((channels, width, x, y)) {
            return;
        }
        self.columns.refill(channels, width, taps(x).map(|tap| column(tap, x)));
        self.rows.clear();
        self.rows.reserve_exact(y.count as usize);
        let last = y.source as i32 - 1;
        self.rows.extend(taps(y).map(|tap| {
            // At an edge both neighbours are the edge, weights unchanged: that
            // rounds differently from one row with the whole weight.
            let row = |at: i32| y.start + at.clamp(0, last) as u32;
            let second = if tap.weights[1] == 0 { tap.at } else { tap.at + 1 };
            ([row(tap.at), row(second)], tap.weights)
        }));
        self.axes = Some((channels, width, x, y));
    }

    fn width(&self) -> usize {
        self.columns.channels() * self.columns.len()
    }

    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes()
            + self.rows.capacity() * size_of::<([u32; 2], [i16; 2])>()
            + self.ring.capacity() * size_of::<i16>()
    }
}

impl Pass for Bilinear {
    fn rows(&self, target: usize) -> Option<Range<usize>> {
        let ([first, second], _) = self.rows.get(target)?;
        Some(*first as usize..*second as usize + 1)
    }

    fn columns(&self) -> Range<usize> {
        self.columns.pixels()
    }

    fn filter_row(&mut self, isa: Isa, row: usize, from: &[u8]) {
        let width = self.width();
        kernel::filter_pairs(isa, from, &self.columns, &mut self.ring[row % 2 * width..][..width]);
    }

    fn combine(&self, isa: Isa, target: usize, line: &mut [u8]) {
        let ([first, second], weights) = self.rows[target];
        let row = |row: u32| &self.ring[row as usize % 2 * line.len()..][..line.len()];
        kernel::blend(isa, row(first), row(second), weights, line);
    }
}

/// The most bytes that [`Bilinear`] allocates for a window of this size.
pub(super) fn bound(width: u64, height: u64) -> u64 {
    Pairs::bound(width)
        + height * size_of::<([u32; 2], [i16; 2])>() as u64
        + 2 * 3 * width * size_of::<i16>() as u64
}
