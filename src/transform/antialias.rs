//! Filters that widen when shrinking, in the arithmetic of Pillow: weights of 22
//! bits, a horizontal pass into 8 bits, a vertical pass into 8 bits.
//!
//! With `scale` source pixels per target pixel and `stretch = max(scale, 1)`,
//! the target pixel `x` has its centre at `(x + 0.5) * scale` and weighs each
//! source pixel `i` within `support * stretch` of it by
//! `kernel((i + 0.5 - centre) / stretch)`, the weights scaled to a sum of one. Of a
//! picture that comes reduced the stretch may begin within a pixel, and so much is added.
//!
//! The kernels: a triangle; Keys' cubic convolution with `a = -1/2` (IEEE
//! Transactions on Acoustics, Speech and Signal Processing 29, 1981); and a sinc
//! windowed by the central lobe of one three times as wide (Lanczos).

use std::f64::consts::PI;
use std::ops::Range;

use super::axis::Axis;
use super::kernel::{self, Isa, WINDOW_BITS, Windows};
use super::separable::{Pass, refill};

/// A kernel, and how far it reaches to each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Triangle,
    Cubic,
    Lanczos,
}

impl Kernel {
    const fn support(self) -> f64 {
        match self {
            Kernel::Triangle => 1.0,
            Kernel::Cubic => 2.0,
            Kernel::Lanczos => 3.0,
        }
    }

    /// The order of operations is Pillow's, to the last bit.
    fn weigh(self, x: f64) -> f64 {
        match self {
            Kernel::Triangle => (1.0 - x.abs()).max(0.0),
            Kernel::Cubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Kernel::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Kernel::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    let x = x * PI;
    // Not the platform's sine: weights are the same on every machine.
    if x == 0.0 { 1.0 } else { libm::sin(x) / x }
}

/// The weights of one axis.
#[derive(Debug, Default)]
struct Weights {
    exact: Vec<f64>,
    rounded: Vec<i32>,
}

/// Of each target pixel its centre and the source pixels within reach.
fn windows(kernel: Kernel, axis: Axis) -> impl Iterator<Item = (f64, Range<u32>)> {
    let scale = axis.length / f64::from(axis.resized);
    let reach = kernel.support() * scale.max(1.0);
    axis.wanted().map(move |x| {
        let centre = (f64::from(x) + 0.5) * scale + axis.offset;
        let first = (centre - reach + 0.5).max(0.0) as u32;
        (centre, first..((centre + reach + 0.5) as u32).min(axis.source))
    })
}

/// The most source pixels that one target pixel weighs.
fn longest(kernel: Kernel, axis: Axis) -> usize {
    windows(kernel, axis).map(|(_, window)| window.len()).max().unwrap_or(0)
}

impl Weights {
    /// Calls `each` with every target pixel's first source pixel and weights.
    fn each(&mut self, kernel: Kernel, axis: Axis, mut each: impl FnMut(u32, &[i32])) {
        let longest = longest(kernel, axis);
        self.exact.clear();
        self.exact.reserve_exact(longest);
        self.rounded.clear();
        self.rounded.reserve_exact(longest);
        let stretch = (axis.length / f64::from(axis.resized)).max(1.0);
        for (centre, window) in windows(kernel, axis) {
            self.exact.clear();
            self.exact.extend(window.clone().map(|i| {
                // The order of operations is Pillow's, to the last bit.
                kernel.weigh((f64::from(i) - centre + 0.5) * (1.0 / stretch))
            }));
            let sum: f64 = self.exact.iter().sum();
            self.rounded.clear();
            self.rounded.extend(self.exact.iter().map(|weight| {
                let weight = if sum == 0.0 { *weight } else { weight * (1.0 / sum) };
                let scaled = weight * f64::from(1 << WINDOW_BITS);
                (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
            }));
            each(axis.start + window.start, &self.rounded);
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        8 * self.exact.capacity() + 4 * self.rounded.capacity()
    }
}

/// Tables and rows of one thread, used again from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Antialias {
    weights: Weights,
    columns: Windows,
    /// Of each target row the first source row, and where its weights end in
    /// `row_weights`.
    rows: Vec<(u32, u32)>,
    row_weights: Vec<i32>,
    prepared: Option<(Kernel, usize, Axis, Axis)>,
    /// Horizontally filtered source rows, `[slots, channel, column]`, as many as
    /// a target row can need; row `i` lies in slot `i % slots`.
    ring: Vec<u8>,
    slots: usize,
}

impl Antialias {
    pub(super) fn prepare(&mut self, kernel: Kernel, channels: usize, (x, y): (Axis, Axis)) {
        if self.prepared == Some((kernel, channels, x, y)) {
            return;
        }
        let Antialias { weights, columns, rows, row_weights, .. } = self;
        columns.clear(channels, x.count as usize, longest(kernel, x));
        weights.each(kernel, x, |first, weights| columns.push(first, weights));
        self.slots = longest(kernel, y).max(1);
        rows.clear();
        row_weights.clear();
        rows.reserve_exact(y.count as usize);
        row_weights.reserve_exact(y.count as usize * self.slots);
        weights.each(kernel, y, |first, weights| {
            row_weights.extend_from_slice(weights);
            rows.push((first, row_weights.len() as u32));
        });
        refill(&mut self.ring, self.slots * channels * x.count as usize);
        self.prepared = Some((kernel, channels, x, y));
    }

    /// Where the weights of a target row lie.
    fn row(&self, target: usize) -> Option<(usize, Range<usize>)> {
        let &(first, end) = self.rows.get(target)?;
        let start = if target == 0 { 0 } else { self.rows[target - 1].1 };
        Some((first as usize, start as usize..end as usize))
    }

    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let rows = 8 * self.rows.capacity() + 4 * self.row_weights.capacity();
        self.weights.bytes() + self.columns.bytes() + rows + self.ring.capacity()
    }
}

impl Pass for Antialias {
    fn rows(&self, target: usize) -> Option<Range<usize>> {
        let (first, weights) = self.row(target)?;
        Some(first..first + weights.len())
    }

    fn columns(&self) -> Range<usize> {
        self.columns.pixels()
    }

    fn filter_row(&mut self, isa: Isa, row: usize, from: &[u8]) {
        let width = self.columns.channels() * self.columns.len();
        let to = &mut self.ring[row % self.slots * width..][..width];
        kernel::filter_windows(isa, from, &self.columns, to);
    }

    fn combine(&self, isa: Isa, target: usize, line: &mut [u8]) {
        let Some((first, weights)) = self.row(target) else { return };
        let width = line.len();
        let row = |k: usize| &self.ring[(first + k) % self.slots * width..][..width];
        kernel::sum_rows(isa, &self.row_weights[weights], row, line);
    }
}

/// The most bytes that [`Antialias`] allocates for whole pictures whose sides,
/// at most `max_side` pixels, shrink in the same proportion.
pub(super) fn even_bound(kernel: Kernel, max_side: u64) -> u64 {
    // A target pixel reaches `2 * support * scale + 3` source pixels, and there
    // are `source / scale` of them: their product grows with the source alone.
    let support = kernel.support() as u64;
    let reach = 2 * support + 3;
    // Where few pixels are left of a side, rounding may double its scale.
    let slots = 4 * support + 3;
    Windows::bound(max_side, reach + 3)
        + max_side * (8 + 4 * reach)
        + 12 * max_side
        + slots * 3 * max_side
}

/// The most bytes that [`Antialias`] allocates for a window of this size, cut
/// from pictures whose sides have at most `max_side` pixels.
pub(super) fn bound(kernel: Kernel, width: u64, height: u64, max_side: u64) -> u64 {
    let support = kernel.support() as u64;
    // Scaled to less than its window a picture never is.
    let reach = |count: u64| {
        (2 * support * max_side.div_ceil(count.max(1)) + 1).min(max_side.max(2 * support + 1))
    };
    let (across, down) = (reach(width), reach(height));
    Windows::bound(width, across)
        + height * (8 + 4 * down)
        + 12 * across.max(down)
        + down * 3 * width
}

#[cfg(test)]
mod tests {
    use super::super::kernel_of;
    use super::super::reference::{FILTERS, weights};
    use super::*;

    /// To the last bit: half away from zero, as in Pillow.
    #[test]
    fn weights_are_rounded_to_the_nearest() {
        let one = f64::from(1 << WINDOW_BITS);
        let nearest = |(at, weight): (u32, f64)| (at, (one * weight).round() as i32);
        let some = |(_, weight): &(u32, i32)| *weight != 0;
        for filter in FILTERS {
            let Some(kernel) = kernel_of(filter) else { continue };
            for (source, resized) in [(1, 4), (7, 3), (3, 7), (50, 16), (16, 50), (200, 3)] {
                let (start, length) = (5, f64::from(source));
                let (offset, first, count, mirrored) = (0.0, 0, resized, false);
                let axis = Axis { start, source, offset, length, resized, first, count, mirrored };
                let mut x = 0;
                Weights::default().each(kernel, axis, |from, rounded| {
                    let got = (from..).zip(rounded.iter().copied()).filter(some);
                    let wanted = weights(filter, start, source, resized, x).into_iter();
                    let wanted = wanted.map(nearest).filter(some);
                    let (got, wanted) = (got.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
                    assert_eq!(got, wanted, "{filter} {source} -> {resized}, {x}");
                    x += 1;
                });
                assert_eq!(x, resized);
            }
        }
    }
}
