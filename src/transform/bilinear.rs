//! Bilinear without antialiasing, in the arithmetic of OpenCV's `INTER_LINEAR`
//! for 8 bits per channel: half-pixel centres, coefficients of 11 bits, edges
//! clamped.
//!
//! For a target pixel `x` the source position is `(x + 0.5) * scale - 0.5`,
//! split into a whole pixel and a fraction `f`; the pixel and its right
//! neighbour weigh `2048 * (1 - f)` and `2048 * f`, rounded half to even.
//! A horizontally filtered value `h` has 11 bits more than a level. Two of them
//! meet in a column as `(((h0 >> 4) * b0 >> 16) + ((h1 >> 4) * b1 >> 16) + 2) >> 2`.

use super::axis::Axis;

/// Bits of a coefficient.
const BITS: u32 = 11;
/// A whole pixel's weight.
const ONE: i16 = 1 << BITS;

/// Two neighbours and their weights, for one target column or row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    /// The first neighbour; -1 before the first pixel.
    at: i32,
    /// The weights of the two neighbours, of a sum of 2048.
    weights: [i16; 2],
}

/// The taps of one axis, its edges as they come.
fn taps(axis: Axis) -> impl ExactSizeIterator<Item = Tap> {
    // OpenCV inverts the ratio of the lengths twice; both roundings matter.
    let scale = 1.0 / (f64::from(axis.resized) / f64::from(axis.source));
    (0..axis.count).map(move |x| {
        let x = axis.first + x;
        let position = ((f64::from(x) + 0.5) * scale - 0.5) as f32;
        let whole = position.floor();
        let fraction = position - whole;
        let weigh = |part: f32| (part * f32::from(ONE)).round_ties_even() as i16;
        Tap { at: whole as i32, weights: [weigh(1.0 - fraction), weigh(fraction)] }
    })
}

/// A column's tap with its edges settled: a pixel alone has the whole weight,
/// the last one as the second of a pair. `at` becomes a byte index.
fn column(tap: Tap, source: u32) -> Tap {
    let last = source as i32 - 1;
    match tap.at {
        at if at < 0 || last == 0 => Tap { at: 0, weights: [ONE, 0] },
        at if at >= last => Tap { at: 3 * (last - 1), weights: [0, ONE] },
        at => Tap { at: 3 * at, ..tap },
    }
}

/// Tables and rows of one thread, used again from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Bilinear {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    axes: Option<(Axis, Axis)>,
    /// Two horizontally filtered source rows, `[2, width, 3]`, each value
    /// shifted down by 4 bits so that 16 bits hold it.
    ring: Vec<i16>,
}

impl Bilinear {
    /// Filters `pixels` (`[y.source, x.source, 3]`) and gives each finished row
    /// of the window, `[x.count, 3]` levels, to `emit`, from top to bottom.
    pub(super) fn run(
        &mut self,
        pixels: &[u8],
        (x, y): (Axis, Axis),
        line: &mut [u8],
        mut emit: impl FnMut(usize, &[u8]),
    ) {
        self.prepare(x, y);
        let stride = 3 * x.source as usize;
        let last = y.source as i32 - 1;
        let (even, odd) = self.ring.split_at_mut(line.len());
        let slots = [even, odd];
        // The source row in each slot: even rows in the first, odd in the second.
        let mut held = [None; 2];
        for (target, tap) in self.rows.iter().enumerate() {
            // At an edge both neighbours are the edge, weights unchanged: that
            // rounds differently from one row with the whole weight.
            let first = tap.at.clamp(0, last) as usize;
            let second = match tap.weights[1] {
                0 => first,
                _ => (tap.at + 1).clamp(0, last) as usize,
            };
            for source in [first, second] {
                let slot = source % 2;
                if held[slot] != Some(source) {
                    let from = &pixels[source * stride..][..stride];
                    filter_row(from, &self.columns, slots[slot]);
                    held[slot] = Some(source);
                }
            }
            blend(slots[first % 2], slots[second % 2], tap.weights, line);
            emit(target, line);
        }
    }

    fn prepare(&mut self, x: Axis, y: Axis) {
        let ring = 2 * 3 * x.count as usize;
        if self.ring.len() != ring {
            self.ring.clear();
            self.ring.reserve_exact(ring);
            self.ring.resize(ring, 0);
        }
        if self.axes != Some((x, y)) {
            self.columns.clear();
            self.columns.reserve_exact(x.count as usize);
            self.columns.extend(taps(x).map(|tap| column(tap, x.source)));
            self.rows.clear();
            self.rows.reserve_exact(y.count as usize);
            self.rows.extend(taps(y));
            self.axes = Some((x, y));
        }
    }

    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let taps = self.columns.capacity() + self.rows.capacity();
        taps * size_of::<Tap>() + self.ring.capacity() * size_of::<i16>()
    }
}

/// The most bytes that [`Bilinear`] allocates for a window of this size.
pub(super) fn bound(width: u64, height: u64) -> u64 {
    (width + height) * size_of::<Tap>() as u64 + 2 * 3 * width * size_of::<i16>() as u64
}

/// Filters one source row: `to` is `[columns, 3]`.
fn filter_row(from: &[u8], columns: &[Tap], to: &mut [i16]) {
    let (to, _) = to.as_chunks_mut::<3>();
    if from.len() < 6 {
        // A picture one pixel wide has no pairs.
        let level = |c: usize| i16::from(from[c]) << (BITS - 4);
        return to.fill([level(0), level(1), level(2)]);
    }
    for (to, tap) in to.iter_mut().zip(columns) {
        let at = tap.at as usize;
        let Some(pair) = from.get(at..at + 6) else { unreachable!("taps end inside the row") };
        let [left, right] = tap.weights.map(i32::from);
        for c in 0..3 {
            let sum = i32::from(pair[c]) * left + i32::from(pair[c + 3]) * right;
            to[c] = (sum >> 4) as i16;
        }
    }
}

/// Values blended at once.
const LANES: usize = 32;

/// Blends two filtered rows into levels.
fn blend(upper: &[i16], lower: &[i16], weights: [i16; 2], line: &mut [u8]) {
    let ((uppers, u), (lowers, l)) = (upper.as_chunks(), lower.as_chunks());
    let (levels, rest) = line.as_chunks_mut();
    for ((level, upper), lower) in levels.iter_mut().zip(uppers).zip(lowers) {
        blend_lanes(upper, lower, weights, level);
    }
    for ((level, &upper), &lower) in rest.iter_mut().zip(u).zip(l) {
        *level = blend_one(upper, lower, weights);
    }
}

/// Out of line, so that the compiler sees that the weights have 16 bits and
/// multiplies in 16 bits: inlined, it takes four times as long.
#[inline(never)]
fn blend_lanes(
    upper: &[i16; LANES],
    lower: &[i16; LANES],
    weights: [i16; 2],
    levels: &mut [u8; LANES],
) {
    *levels = std::array::from_fn(|i| blend_one(upper[i], lower[i], weights));
}

#[inline(always)]
fn blend_one(upper: i16, lower: i16, [above, below]: [i16; 2]) -> u8 {
    let part = |value: i16, weight: i16| ((i32::from(value) * i32::from(weight)) >> 16) as i16;
    ((part(upper, above) + part(lower, below) + 2) >> 2) as u8
}
