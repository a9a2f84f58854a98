//! The filters once more, slow and obvious, in floating point; the fast ones
//! must agree within one level.

use proptest::prelude::*;

use super::{Scratch, Transform, scratch_bound};
use crate::config::{Color, Filter, Fit, Layout, Normalize, Size};
use crate::transform::geometry::Plan;

/// Source pixels and weights of target pixel `x` of the scaled axis.
fn weights(filter: Filter, source: u32, resized: u32, x: u32) -> Vec<(u32, f64)> {
    let scale = f64::from(source) / f64::from(resized);
    let centre = (f64::from(x) + 0.5) * scale;
    // A triangle of half width one is bilinear interpolation; edges differ.
    let stretch = if filter == Filter::Bilinear { scale.max(1.0) } else { 1.0 };
    let weigh = |at: i64| (1.0 - ((at as f64 + 0.5 - centre) / stretch).abs()).max(0.0);
    let around = (centre - stretch).floor() as i64 - 1..=(centre + stretch).ceil() as i64 + 1;
    let last = i64::from(source) - 1;
    let all: Vec<(i64, f64)> = match filter {
        // Beyond the edge there are copies of the edge.
        Filter::OpencvBilinear => around.map(|at| (at.clamp(0, last), weigh(at))).collect(),
        // Beyond the edge there is nothing.
        Filter::Bilinear => {
            around.filter(|at| (0..=last).contains(at)).map(|at| (at, weigh(at))).collect()
        }
    };
    let sum: f64 = all.iter().map(|(_, weight)| weight).sum();
    all.into_iter().map(|(at, weight)| (at as u32, weight / sum)).collect()
}

/// The window's levels before rounding, `[height, width, 3]`.
fn slow(pixels: &[u8], source: Size, fit: Fit, filter: Filter, target: Size) -> Vec<f64> {
    let plan = Plan::new(source, fit, target);
    let mut levels = Vec::new();
    for y in 0..target.height {
        let rows = weights(filter, source.height, plan.resized.height, plan.top + y);
        for x in 0..target.width {
            let columns = weights(filter, source.width, plan.resized.width, plan.left + x);
            for c in 0..3 {
                let level = |&(row, a): &(u32, f64), &(column, b): &(u32, f64)| {
                    let at = 3 * (row as usize * source.width as usize + column as usize) + c;
                    a * b * f64::from(pixels[at])
                };
                let sum: f64 =
                    rows.iter().flat_map(|r| columns.iter().map(move |k| level(r, k))).sum();
                levels.push(sum);
            }
        }
    }
    levels
}

/// Noise, the hardest of pictures, the same for the same seed.
fn noise(source: Size, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let len = 3 * source.width as usize * source.height as usize;
    let step = |_| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

fn compare(source: Size, fit: Fit, filter: Filter, target: Size, scratch: &mut Scratch) {
    let pixels = noise(source, source.width * 31 + source.height);
    let transform =
        Transform::<u8>::new(target, fit, filter, Layout::Hwc, Color::Rgb, Normalize::UNIT);
    let mut row = vec![77; transform.row_len()];
    transform.apply(&pixels, source, scratch, &mut row);
    let expected = slow(&pixels, source, fit, filter, target);
    for (place, (got, want)) in row.iter().zip(&expected).enumerate() {
        let off = (f64::from(*got) - want).abs();
        // Half a level is rounding; each of two passes has one to lose.
        assert!(off < 1.01, "{source} -> {target} {fit} {filter}, at {place}: {got} for {want}");
    }
    let bound = scratch_bound(target, filter, source.width.max(source.height));
    let fresh = {
        let mut scratch = Scratch::default();
        transform.apply(&pixels, source, &mut scratch, &mut row);
        scratch.bytes() as u64
    };
    assert!(fresh <= bound, "{source} -> {target} {filter}: {fresh} bytes, bound {bound}");
}

#[test]
fn both_filters_agree_with_the_formula() {
    let sides = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (16, 16), (31, 17), (50, 40), (200, 3)];
    let fits = [Fit::Stretch, Fit::Crop { shorter: None }, Fit::Crop { shorter: Some(24) }];
    // One scratch for all: what a picture leaves must not reach the next.
    let mut scratch = Scratch::default();
    for (sw, sh) in sides {
        for (tw, th) in [(1, 1), (16, 16), (8, 20), (24, 7), (23, 1)] {
            for fit in fits {
                for filter in [Filter::OpencvBilinear, Filter::Bilinear] {
                    compare(size(sw, sh), fit, filter, size(tw, th), &mut scratch);
                }
            }
        }
    }
}

#[test]
fn a_picture_of_the_wanted_size_is_kept_to_the_bit() {
    let source = size(37, 29);
    let pixels = noise(source, 5);
    for filter in [Filter::OpencvBilinear, Filter::Bilinear] {
        let transform = Transform::<u8>::new(
            source,
            Fit::Stretch,
            filter,
            Layout::Hwc,
            Color::Rgb,
            Normalize::UNIT,
        );
        let mut row = vec![0; transform.row_len()];
        transform.apply(&pixels, source, &mut Scratch::default(), &mut row);
        assert_eq!(row, pixels, "{filter}");
    }
}

#[test]
fn white_stays_white_and_black_black() {
    for filter in [Filter::OpencvBilinear, Filter::Bilinear] {
        for level in [0, 255] {
            let transform = Transform::<u8>::new(
                size(31, 33),
                Fit::Stretch,
                filter,
                Layout::Chw,
                Color::Bgr,
                Normalize::UNIT,
            );
            let mut row = vec![9; transform.row_len()];
            let source = size(100, 7);
            transform.apply(&vec![level; 2100], source, &mut Scratch::default(), &mut row);
            assert!(row.iter().all(|&found| found == level), "{filter} {level}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape_agrees_with_the_formula(
        sw in 1u32..60, sh in 1u32..60, tw in 1u32..40, th in 1u32..40, which in 0usize..6,
    ) {
        let fit = [Fit::Stretch, Fit::Crop { shorter: None }, Fit::Crop { shorter: Some(41) }][which / 2];
        let filter = [Filter::OpencvBilinear, Filter::Bilinear][which % 2];
        compare(size(sw, sh), fit, filter, size(tw, th), &mut Scratch::default());
    }

    /// Long sides shrink to few pixels without the scratch outgrowing its bound.
    #[test]
    fn the_bound_holds_for_long_pictures(long in 1u32..5000, tw in 1u32..8, th in 1u32..8) {
        for source in [size(long, 1), size(1, long)] {
            compare(source, Fit::Stretch, Filter::Bilinear, size(tw, th), &mut Scratch::default());
        }
    }
}
