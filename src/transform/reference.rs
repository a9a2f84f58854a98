//! The filters once more, slow and obvious, in floating point; the fast ones
//! must agree within rounding.

use super::{Form, Look, Scratch, Transform, Turn, View, scratch_bound};
use crate::config::{Color, Decoding, Filter, Fit, Layout, Normalize, Size};
use crate::random::{Draws, purpose};

pub(super) const FILTERS: [Filter; 4] =
    [Filter::OpencvBilinear, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

/// A filter's weight `x` target pixels from its centre, and how far it reaches.
fn kernel(filter: Filter, x: f64) -> (f64, f64) {
    let x = x.abs();
    match filter {
        Filter::OpencvBilinear | Filter::Bilinear => ((1.0 - x).max(0.0), 1.0),
        Filter::Bicubic if x < 1.0 => (1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0, 2.0),
        Filter::Bicubic if x < 2.0 => (-0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0, 2.0),
        Filter::Bicubic => (0.0, 2.0),
        Filter::Lanczos if x < 3.0 => (sinc(x) * sinc(x / 3.0), 3.0),
        Filter::Lanczos => (0.0, 3.0),
    }
}

/// Source pixels and weights of target pixel `x` of an area of `source` pixels
/// from `start` on, scaled to `resized`.
pub(super) fn weights(
    filter: Filter,
    start: u32,
    source: u32,
    resized: u32,
    x: u32,
) -> Vec<(u32, f64)> {
    let scale = f64::from(source) / f64::from(resized);
    let centre = (f64::from(x) + 0.5) * scale;
    let stretch = if filter == Filter::OpencvBilinear { 1.0 } else { scale.max(1.0) };
    let weigh = |at: i64| kernel(filter, (at as f64 + 0.5 - centre) / stretch).0;
    let reach = kernel(filter, 0.0).1 * stretch;
    let around = (centre - reach).floor() as i64 - 1..=(centre + reach).ceil() as i64 + 1;
    let last = i64::from(source) - 1;
    let all: Vec<(i64, f64)> = match filter {
        // Beyond the edge there are copies of the edge.
        Filter::OpencvBilinear => around.map(|at| (at.clamp(0, last), weigh(at))).collect(),
        // Beyond the edge there is nothing.
        _ => around.filter(|at| (0..=last).contains(at)).map(|at| (at, weigh(at))).collect(),
    };
    let sum: f64 = all.iter().map(|(_, weight)| weight).sum();
    all.into_iter().map(|(at, weight)| (start + at as u32, weight / sum)).collect()
}

/// The window's levels before the last rounding, `[height, width, channel]`. The
/// antialiased filters round once more, between their passes.
fn slow(pixels: &[u8], form: Form, view: View, filter: Filter, target: Size) -> Vec<f64> {
    let View { area, resized, left, top, flip } = view;
    let (width, channels) = (form.size.width as usize, form.channels);
    let columns: Vec<_> = (0..target.width)
        .map(|x| if flip { target.width - 1 - x } else { x })
        .map(|x| weights(filter, area.left, area.width, resized.width, left + x))
        .collect();
    let across = |row: u32, x: usize, c: usize| {
        let level =
            |at: u32| f64::from(pixels[channels * (row as usize * width + at as usize) + c]);
        let sum: f64 = columns[x].iter().map(|&(at, weight)| weight * level(at)).sum();
        if filter == Filter::OpencvBilinear { sum } else { (sum + 0.5).floor().clamp(0.0, 255.0) }
    };
    let mut levels = Vec::new();
    for y in 0..target.height {
        let rows = weights(filter, area.top, area.height, resized.height, top + y);
        for x in 0..target.width as usize {
            for c in 0..channels {
                let sum: f64 = rows.iter().map(|&(row, weight)| weight * across(row, x, c)).sum();
                levels.push(sum.clamp(0.0, 255.0));
            }
        }
    }
    levels
}

/// Noise, the hardest of pictures, the same for the same seed.
pub(super) fn noise(form: Form, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 24) as u8
    };
    (0..form.bytes()).map(step).collect()
}

pub(super) fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

pub(super) fn rgb(size: Size) -> Form {
    Form::new(size, 3)
}

pub(super) fn look(size: Size, fit: Fit, filter: Filter) -> Look {
    let (layout, color, normalize) = (Layout::Hwc, Color::Rgb, Normalize::UNIT);
    let decode = Decoding::Exact;
    Look { size, fit, filter, decode, flip: 0.0, vflip: 0.0, layout, color, normalize, seed: 9 }
}

pub(super) fn compare(form: Form, look: Look, scratch: &mut Scratch) {
    let turn = Turn { epoch: 1, position: u64::from(form.size.width) };
    compare_in(turn, form, look, scratch);
}

pub(super) fn compare_in(turn: Turn, form: Form, look: Look, scratch: &mut Scratch) {
    let Look { fit, filter, size: target, .. } = look;
    let source = form.size;
    let pixels = noise(form, source.width * 31 + source.height);
    let look = if form.channels == 1 { Look { color: Color::Grey, ..look } } else { look };
    let transform = Transform::<u8>::new(look);
    let mut row = vec![77; transform.row_len()];
    transform.apply(&pixels, form, turn, scratch, &mut row);
    let draws = Draws::new(&[look.seed, turn.epoch, turn.position, purpose::CROP_AND_FLIP]);
    let view = View::new(source, fit, look.flip, target, draws);
    let expected = slow(&pixels, form, view, filter, target);
    for (place, (got, want)) in row.iter().zip(&expected).enumerate() {
        let off = (f64::from(*got) - want).abs();
        // Half a level is rounding; a first pass that rounds a tie the other way
        // costs another, times a weight that can be somewhat above one.
        assert!(off < 1.7, "{source} -> {target} {fit} {filter}, at {place}: {got} for {want}");
    }
    let bound = scratch_bound(target, filter, source.width.max(source.height));
    let fresh = {
        let mut scratch = Scratch::default();
        transform.apply(&pixels, form, turn, &mut scratch, &mut row);
        scratch.bytes() as u64
    };
    assert!(fresh <= bound, "{source} -> {target} {filter}: {fresh} bytes, bound {bound}");
}
