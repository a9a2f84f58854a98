//! A triangle filter that widens when shrinking, in the arithmetic of Pillow's
//! `BILINEAR`: weights of 22 bits, a horizontal pass into 8 bits, a vertical
//! pass into 8 bits.
//!
//! With `scale` source pixels per target pixel and `stretch = max(scale, 1)`,
//! the target pixel `x` has its centre at `(x + 0.5) * scale` and weighs each
//! source pixel `i` within `stretch` of it by `1 - |i + 0.5 - centre| / stretch`,
//! the weights scaled to a sum of one.

use super::axis::Axis;

/// Bits of a weight: 32, less 8 for the level and 2 for overshoot.
const BITS: u32 = 32 - 8 - 2;
/// Half a level, so that the final shift rounds.
const HALF: i32 = 1 << (BITS - 1);
/// Values summed at once in the vertical pass; they stay in registers.
const LANES: usize = 16;

/// The weights of one axis.
#[derive(Debug, Default)]
struct Taps {
    axis: Option<Axis>,
    /// For each target pixel its first source pixel, and where its weights end
    /// in `weights`.
    windows: Vec<(u32, u32)>,
    weights: Vec<i32>,
    exact: Vec<f64>,
}

/// Source pixels that one target pixel can reach.
fn reach(scale: f64) -> usize {
    scale.max(1.0).ceil() as usize * 2 + 1
}

impl Taps {
    fn prepare(&mut self, axis: Axis) {
        if self.axis == Some(axis) {
            return;
        }
        let scale = f64::from(axis.source) / f64::from(axis.resized);
        let stretch = scale.max(1.0);
        // The reach also bounds the weights kept below, so nothing grows twice.
        let reach = reach(scale).min(axis.source as usize);
        self.windows.clear();
        self.weights.clear();
        self.windows.reserve_exact(axis.count as usize);
        self.weights.reserve_exact(axis.count as usize * reach);
        self.exact.reserve_exact(reach.saturating_sub(self.exact.len()));
        for x in axis.first..axis.first + axis.count {
            let centre = (f64::from(x) + 0.5) * scale;
            let first = (centre - stretch + 0.5).max(0.0) as u32;
            let end = ((centre + stretch + 0.5) as u32).min(axis.source);
            self.exact.clear();
            self.exact.extend((first..end).map(|i| {
                // The order of operations is Pillow's, to the last bit.
                let offset = f64::from(i) - centre + 0.5;
                (1.0 - (offset * (1.0 / stretch)).abs()).max(0.0)
            }));
            let sum: f64 = self.exact.iter().sum();
            self.weights.extend(self.exact.iter().map(|weight| {
                let weight = if sum == 0.0 { *weight } else { weight * (1.0 / sum) };
                (0.5 + weight * f64::from(1 << BITS)) as i32
            }));
            self.windows.push((first, self.weights.len() as u32));
        }
        self.axis = Some(axis);
    }

    /// Of each target pixel the first source pixel and the weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut start = 0;
        self.windows.iter().map(move |&(first, end)| {
            let weights = &self.weights[start..end as usize];
            start = end as usize;
            (first as usize, weights)
        })
    }

    /// The most source pixels that a target pixel takes.
    fn longest(&self) -> usize {
        self.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0)
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.windows.capacity() * size_of::<(u32, u32)>()
            + self.weights.capacity() * size_of::<i32>()
            + self.exact.capacity() * size_of::<f64>()
    }
}

/// Tables and rows of one thread, used again from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Triangle {
    columns: Taps,
    rows: Taps,
    /// Horizontally filtered source rows, as many as a target row can need;
    /// row `i` lies in slot `i % slots`.
    ring: Vec<u8>,
}

impl Triangle {
    /// Filters `pixels` (`[y.source, x.source, 3]`) and gives each finished row
    /// of the window, `[x.count, 3]` levels, to `emit`, from top to bottom.
    pub(super) fn run(
        &mut self,
        pixels: &[u8],
        (x, y): (Axis, Axis),
        line: &mut [u8],
        mut emit: impl FnMut(usize, &[u8]),
    ) {
        self.columns.prepare(x);
        self.rows.prepare(y);
        let (stride, width) = (3 * x.source as usize, line.len());
        let slots = self.rows.longest();
        if self.ring.len() < slots * width {
            self.ring.clear();
            self.ring.reserve_exact(slots * width);
            self.ring.resize(slots * width, 0);
        }
        let mut next = 0;
        for (target, (first, weights)) in self.rows.iter().enumerate() {
            // Windows move down only, so rows above this one are done with.
            next = next.max(first);
            while next < first + weights.len() {
                let to = &mut self.ring[next % slots * width..][..width];
                filter_row(&pixels[next * stride..][..stride], &self.columns, to);
                next += 1;
            }
            let rows = |k: usize| &self.ring[(first + k) % slots * width..][..width];
            sum_rows(weights, rows, line);
            emit(target, line);
        }
    }

    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes() + self.rows.bytes() + self.ring.capacity()
    }
}

/// The most bytes that [`Triangle`] allocates for a window of this size, cut
/// from pictures whose sides have at most `max_side` pixels.
pub(super) fn bound(width: u64, height: u64, max_side: u64) -> u64 {
    let taps = |count: u64| {
        let reach = (2 * max_side.div_ceil(count.max(1)) + 1).min(max_side.max(3));
        (reach, count * (8 + 4 * reach) + 8 * reach)
    };
    let ((_, columns), (slots, rows)) = (taps(width), taps(height));
    columns + rows + slots * 3 * width
}

/// Filters one source row: `to` is `[columns, 3]`.
fn filter_row(from: &[u8], columns: &Taps, to: &mut [u8]) {
    let (from, _) = from.as_chunks::<3>();
    let (to, _) = to.as_chunks_mut::<3>();
    for (to, (first, weights)) in to.iter_mut().zip(columns.iter()) {
        let mut sums = [HALF; 3];
        for (pixel, &weight) in from[first..first + weights.len()].iter().zip(weights) {
            for c in 0..3 {
                sums[c] += i32::from(pixel[c]) * weight;
            }
        }
        *to = sums.map(level);
    }
}

/// The weighted sum of as many rows as there are weights.
fn sum_rows<'a>(weights: &[i32], rows: impl Fn(usize) -> &'a [u8], line: &mut [u8]) {
    let (blocks, rest) = line.as_chunks_mut::<LANES>();
    let tail = blocks.len() * LANES;
    for (block, levels) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; LANES];
        for (k, &weight) in weights.iter().enumerate() {
            let Some(values) = rows(k)[block * LANES..].first_chunk::<LANES>() else {
                unreachable!("a row is as long as the line")
            };
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        *levels = sums.map(level);
    }
    for (i, to) in rest.iter_mut().enumerate() {
        let term = |(k, &weight): (usize, &i32)| i32::from(rows(k)[tail + i]) * weight;
        *to = level(HALF + weights.iter().enumerate().map(term).sum::<i32>());
    }
}

fn level(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}
