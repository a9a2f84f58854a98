//! Resizing against the formula, and what else holds of every filter.

use std::ops::Range;

use proptest::prelude::*;

use super::reference::{FILTERS, compare, compare_in, look, noise, rgb, size, weights};
use super::{Form, Look, Reduction, Region, Scaler, Scratch, Transform, Turn, View};
use super::{scaling_bound, scratch_bound};
use crate::config::{Color, Decoding, Filter, Fit, Layout, Normalize, Size};

#[test]
fn every_filter_agrees_with_the_formula() {
    let sides = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (16, 16), (31, 17), (50, 40), (200, 3)];
    let fits = [
        Fit::Stretch,
        Fit::Crop { shorter: None },
        Fit::Crop { shorter: Some(24) },
        Fit::random_crop(),
    ];
    // One scratch for all: what a picture leaves must not reach the next.
    let mut scratch = Scratch::default();
    for (sw, sh) in sides {
        for (tw, th) in [(1, 1), (16, 16), (8, 20), (24, 7), (23, 1)] {
            for fit in fits {
                for filter in FILTERS {
                    for channels in [1, 3] {
                        let form = Form::new(size(sw, sh), channels);
                        compare(form, look(size(tw, th), fit, filter), &mut scratch);
                    }
                }
            }
        }
    }
}

/// The source pixels that some of the `wanted` target pixels weigh.
fn weighed(filter: Filter, from: u32, len: u32, resized: u32, wanted: Range<u32>) -> Range<u32> {
    let taps = wanted.flat_map(|x| weights(filter, from, len, resized, x));
    let taps = taps.filter(|(_, weight)| weight.abs() > 1e-9).map(|(at, _)| at);
    let (least, most) = (taps.clone().min().unwrap(), taps.max().unwrap());
    least..most + 1
}

/// What no target pixel weighs is not decoded, but for a neighbour on each side.
#[test]
fn no_more_is_looked_at_than_is_weighed() {
    let (form, target) = (rgb(size(70, 60)), size(9, 12));
    let mut scratch = Scratch::default();
    for filter in FILTERS {
        for fit in
            [Fit::Crop { shorter: None }, Fit::Crop { shorter: Some(40) }, Fit::random_crop()]
        {
            let transform = Transform::<u8>::new(look(target, fit, filter));
            for position in 0..20 {
                let turn = Turn { epoch: 0, position };
                let view = transform.view(form.size, turn);
                let region = transform.begin(form, turn, &mut scratch);
                let weighed = |from, len, resized, first, count| {
                    weighed(filter, from, len, resized, first..first + count)
                };
                let View { area, resized, left, top, .. } = view;
                let across = weighed(area.left, area.width, resized.width, left, target.width);
                let down = weighed(area.top, area.height, resized.height, top, target.height);
                let check = |from: u32, len: u32, weighed: Range<u32>| {
                    let looked = from..from + len;
                    assert!(
                        (looked.start..=looked.start + 1).contains(&weighed.start)
                            && (looked.end - 1..=looked.end).contains(&weighed.end),
                        "{fit} {filter} {position}: {looked:?} for {weighed:?}"
                    );
                };
                check(region.left, region.width, across);
                check(region.top, region.height, down);
            }
        }
    }
}

/// A bound that is far too high would refuse limits that could be kept.
#[test]
fn the_bound_is_near_what_the_worst_picture_takes() {
    let check = |scratch: &Scratch, bound: u64, what: String| {
        let bytes = scratch.bytes() as u64;
        assert!(bytes <= bound && 2 * bound <= 5 * bytes, "{what}: {bytes} bytes, bound {bound}");
    };
    for filter in FILTERS {
        for (source, target) in [(41, size(40, 41)), (60, size(60, 50)), (90, size(64, 90))] {
            let (form, look) = (rgb(size(source, source)), look(target, Fit::Stretch, filter));
            let transform = Transform::<u8>::new(look);
            let (mut scratch, mut row) = (Scratch::default(), vec![0; transform.row_len()]);
            let pixels = vec![7; form.bytes()];
            transform.apply(&pixels, form, Turn::default(), &mut scratch, &mut row);
            let bound = scratch_bound(target, filter, source);
            check(&scratch, bound, format!("{source} -> {target} {filter}"));
        }
        for (source, side) in [(41, 40), (90, 89), (300, 300)] {
            let (form, scaler) = (rgb(size(source, source)), Scaler::new(side, filter));
            let (mut scratch, scaled) = (Scratch::default(), scaler.scaled(form));
            scaler.begin(form, &mut scratch);
            scaler.push(0, &vec![7; form.bytes()], &mut scratch, &mut vec![0; scaled.bytes()]);
            let bound = scaling_bound(filter, source);
            check(&scratch, bound, format!("{source} -> shorter side {side}, {filter}"));
        }
    }
}

/// A pixel alone, wherever it lies, has no neighbour to be weighed with.
#[test]
fn crops_of_a_pixel_or_two_agree_with_the_formula() {
    let mut scratch = Scratch::default();
    for source in [size(2, 2), size(3, 3), size(4, 3)] {
        for position in 0..60 {
            for filter in FILTERS {
                let look = look(size(5, 4), Fit::random_crop(), filter);
                let turn = Turn { epoch: 0, position };
                compare_in(turn, rgb(source), look, &mut scratch);
            }
        }
    }
}

#[test]
fn a_picture_of_the_wanted_size_is_kept_to_the_bit() {
    let form = rgb(size(37, 29));
    let pixels = noise(form, 5);
    for filter in FILTERS {
        let transform = Transform::<u8>::new(look(form.size, Fit::Stretch, filter));
        let mut row = vec![0; transform.row_len()];
        transform.apply(&pixels, form, Turn::default(), &mut Scratch::default(), &mut row);
        assert_eq!(row, pixels, "{filter}");
    }
}

#[test]
fn white_stays_white_and_black_black() {
    for filter in FILTERS {
        for level in [0, 255] {
            let look = look(size(31, 33), Fit::Stretch, filter);
            let look = Look { layout: Layout::Chw, color: Color::Bgr, ..look };
            let transform = Transform::<u8>::new(look);
            let mut row = vec![9; transform.row_len()];
            let (form, pixels) = (rgb(size(100, 7)), vec![level; 2100]);
            transform.apply(&pixels, form, Turn::default(), &mut Scratch::default(), &mut row);
            assert!(row.iter().all(|&found| found == level), "{filter} {level}");
        }
    }
}

/// Bands of any height, with rows to come or none that count any more, give what
/// the whole picture gives.
#[test]
fn a_picture_may_come_in_bands() {
    let form = rgb(size(61, 47));
    let (pixels, stride) = (noise(form, 3), 3 * 61);
    for filter in FILTERS {
        for fit in [Fit::Stretch, Fit::Crop { shorter: Some(40) }, Fit::random_crop()] {
            let look = Look { flip: 0.5, ..look(size(24, 20), fit, filter) };
            let transform = Transform::<f32>::new(look);
            let (turn, mut scratch) = (Turn { epoch: 2, position: 8 }, Scratch::default());
            let mut whole = vec![0.0; transform.row_len()];
            transform.apply(&pixels, form, turn, &mut scratch, &mut whole);
            assert!(transform.is_complete(&scratch));
            for height in [1, 2, 7, 8, 16, 46] {
                let mut row = vec![9.0; transform.row_len()];
                let region = transform.begin(form, turn, &mut scratch);
                let mut masked = pixels.clone();
                mask(&mut masked, form, region);
                for (band, pixels) in masked.chunks(height * stride).enumerate() {
                    if band * height >= (region.top + region.height) as usize {
                        break;
                    }
                    assert!(!transform.is_complete(&scratch));
                    transform.push(band * height, pixels, &mut scratch, &mut row);
                }
                assert!(transform.is_complete(&scratch), "{filter} {fit} bands of {height}");
                assert_eq!(row, whole, "{filter} {fit} bands of {height}");
            }
        }
    }
}

/// Inverts every pixel outside the region that is said to be looked at.
fn mask(pixels: &mut [u8], form: Form, region: Region) {
    let Region { left, top, width, height } = region;
    for (at, value) in pixels.iter_mut().enumerate() {
        let pixel = (at / form.channels) as u32;
        let (x, y) = (pixel % form.size.width, pixel / form.size.width);
        let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
        *value = if inside { *value } else { !*value };
    }
}

#[test]
fn levels_converted_are_what_is_written_at_once() {
    let form = rgb(size(50, 40));
    let pixels = noise(form, 8);
    for layout in [Layout::Chw, Layout::Hwc] {
        for color in [Color::Rgb, Color::Bgr, Color::Grey] {
            let normalize = match color {
                Color::Grey => Normalize { mean: [0.4; 3], std: [0.2; 3] },
                _ => Normalize::IMAGENET,
            };
            let look = look(size(33, 21), Fit::Crop { shorter: None }, Filter::Bicubic);
            let look = Look { layout, color, normalize, flip: 0.5, vflip: 0.5, ..look };
            let transform = Transform::<f32>::new(look);
            let mut scratch = Scratch::default();
            let mut levels = vec![0; transform.row_len()];
            transform.begin_levels(form, &mut scratch);
            transform.push_levels(0, &pixels, &mut scratch, &mut levels);
            let mut rows = Vec::new();
            for position in 0..8 {
                let turn = Turn { epoch: 3, position };
                let mut at_once = vec![0.0; transform.row_len()];
                transform.apply(&pixels, form, turn, &mut scratch, &mut at_once);
                let mut converted = vec![9.0; transform.row_len()];
                // Nothing need lie ready in the scratch.
                transform.convert(&levels, turn, &mut Scratch::default(), &mut converted);
                assert_eq!(at_once, converted, "{layout} {color}");
                // Mirrored as levels already.
                let mut as_they_are = vec![0; transform.row_len()];
                transform.begin(form, turn, &mut scratch);
                transform.push_levels(0, &pixels, &mut scratch, &mut as_they_are);
                let mut again = vec![9.0; transform.row_len()];
                transform.convert_as_it_is(&as_they_are, &mut again);
                assert_eq!(at_once, again, "{layout} {color}");
                rows.push(converted);
            }
            assert!(rows.iter().any(|row| *row != rows[0]), "some are mirrored, some not");
        }
    }
}

/// Upside down is the same lines the other way around, and nothing else that is
/// drawn is another.
#[test]
fn upside_down_is_the_lines_from_below() {
    let form = rgb(size(50, 40));
    let pixels = noise(form, 8);
    for (layout, color, planes) in
        [(Layout::Chw, Color::Rgb, 3), (Layout::Hwc, Color::Bgr, 1), (Layout::Chw, Color::Grey, 1)]
    {
        for fit in [Fit::Stretch, Fit::random_crop()] {
            let look =
                Look { layout, color, flip: 0.5, ..look(size(13, 7), fit, Filter::Bilinear) };
            let upright = Transform::<u8>::new(look);
            let turned = Transform::<u8>::new(Look { vflip: 1.0, ..look });
            let (mut scratch, len) = (Scratch::default(), upright.row_len());
            for position in 0..6 {
                let turn = Turn { epoch: 1, position };
                let (mut expected, mut found) = (vec![0; len], vec![9; len]);
                upright.apply(&pixels, form, turn, &mut scratch, &mut expected);
                turned.apply(&pixels, form, turn, &mut scratch, &mut found);
                for plane in found.chunks_mut(len / planes) {
                    let line = plane.len() / 7;
                    let lines: Vec<u8> = plane.chunks(line).rev().flatten().copied().collect();
                    plane.copy_from_slice(&lines);
                }
                assert_eq!(found, expected, "{layout} {color} {fit}, {position}");
            }
        }
    }
}

/// As often as is said, and independent of the horizontal flip.
#[test]
fn flips_are_drawn_apart() {
    let form = rgb(size(2, 2));
    let pixels: Vec<u8> = (0..12).collect();
    let look = Look { flip: 0.25, vflip: 0.75, ..look(form.size, Fit::Stretch, FILTERS[0]) };
    let transform = Transform::<u8>::new(look);
    let (mut scratch, mut row, mut counts) = (Scratch::default(), [0; 12], [0_u32; 4]);
    const N: u32 = 20_000;
    for position in 0..u64::from(N) {
        let turn = Turn { epoch: 5, position };
        transform.apply(&pixels, form, turn, &mut scratch, &mut row);
        // The pixel that has come to the first place.
        counts[usize::from(row[0] / 3)] += 1;
    }
    let expected = [0.75 * 0.25, 0.25 * 0.25, 0.75 * 0.75, 0.25 * 0.75];
    for (count, share) in counts.into_iter().zip(expected) {
        // Five standard deviations of a count.
        let deviation = (f64::from(N) * share * (1.0 - share)).sqrt();
        let off = f64::from(count) - f64::from(N) * share;
        assert!(off.abs() < 5.0 * deviation, "{counts:?}");
    }
}

/// Lightness before the resize, whether the picture's colour is taken away here
/// or by the decoder.
#[test]
fn colour_is_taken_away_before_the_resize() {
    let form = rgb(size(31, 22));
    let pixels = noise(form, 4);
    let mut grey = vec![0; form.size.pixels()];
    for (to, rgb) in grey.iter_mut().zip(pixels.chunks_exact(3)) {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f64::from);
        *to = (0.299 * r + 0.587 * g + 0.114 * b).round() as u8;
    }
    for filter in FILTERS {
        let look = Look { color: Color::Grey, ..look(size(40, 9), Fit::Stretch, filter) };
        let transform = Transform::<u8>::new(look);
        let (mut ours, mut theirs) = (vec![0; 360], vec![9; 360]);
        let (mut scratch, turn) = (Scratch::default(), Turn::default());
        transform.apply(&pixels, form, turn, &mut scratch, &mut ours);
        let form = Form { channels: 1, ..form };
        transform.apply(&grey, form, turn, &mut scratch, &mut theirs);
        let off = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "{filter}: {off:?}");
    }
}

#[test]
fn a_picture_is_scaled_on_its_own() {
    for channels in [1, 3] {
        let form = Form::new(size(50, 40), channels);
        let scaled_form = Form::new(size(35, 28), channels);
        let pixels = noise(form, 6);
        let color = if channels == 1 { Color::Grey } else { Color::Rgb };
        for filter in FILTERS {
            let look = Look { color, ..look(size(35, 28), Fit::Stretch, filter) };
            let transform = Transform::<u8>::new(look);
            let mut expected = vec![0; transform.row_len()];
            let mut scratch = Scratch::default();
            transform.apply(&pixels, form, Turn::default(), &mut scratch, &mut expected);
            let scaler = Scaler::new(28, filter);
            assert_eq!(scaler.scaled(form), scaled_form);
            let mut scaled = vec![9; expected.len()];
            scaler.begin(form, &mut scratch);
            let (above, below) = pixels.split_at(17 * 50 * channels);
            scaler.push(0, above, &mut scratch, &mut scaled);
            assert!(!scaler.is_complete(&scratch));
            scaler.push(17, below, &mut scratch, &mut scaled);
            assert!(scaler.is_complete(&scratch));
            assert_eq!(scaled, expected, "{filter} of {channels} channels");
            // A picture no larger than that stays as it is.
            let scaler = Scaler::new(40, filter);
            let mut same = vec![9; pixels.len()];
            scaler.begin(form, &mut scratch);
            scaler.push(0, &pixels, &mut scratch, &mut same);
            assert_eq!((scaler.scaled(form), same), (form, pixels.clone()));
        }
    }
}

/// Slopes across, down and along, of which squares of `by` become a pixel each.
fn slopes(form: Form) -> Vec<u8> {
    let Form { size: Size { width, height }, reduction: Reduction { by, first_beyond }, .. } = form;
    let middle = |square: u32, side: u32, beyond: bool| {
        let skipped = if beyond { side.next_multiple_of(by) - side } else { 0 };
        f64::from(square * by) + f64::from(by) / 2.0 - f64::from(skipped)
    };
    let coming = form.coming();
    // Without it, roundings would lie in rows.
    let mut grain = noise(form, 5).into_iter().map(|grain| f64::from(grain) / 256.0 - 0.5);
    let mut pixels = Vec::new();
    for y in 0..coming.height {
        for x in 0..coming.width {
            let across = middle(x, width, first_beyond.0) / f64::from(width);
            let down = middle(y, height, first_beyond.1) / f64::from(height);
            let levels = [across, down, (across + down) / 2.0];
            let level =
                |level: f64| (20.0 + 200.0 * level + grain.next().unwrap_or(0.0)).round() as u8;
            pixels.extend(levels.map(level));
        }
    }
    pixels
}

#[test]
fn a_reduced_picture_is_shown_in_the_same_place() {
    let fits = [Fit::Stretch, Fit::Crop { shorter: None }, Fit::random_crop()];
    let (mut reduced_by, mut means) = ([0; 9], std::collections::BTreeMap::new());
    for round in 0..240_u32 {
        let (filter, fit) = (FILTERS[round as usize % 4], fits[round as usize / 4 % 3]);
        let look = Look { decode: Decoding::Fast, ..look(size(40, 30), fit, filter) };
        let transform = Transform::<u8>::new(look);
        let turn = Turn { epoch: 0, position: round.into() };
        let full = rgb(size(397 + 7 * (round % 5), 289 + 5 * (round % 9)));
        let by = transform.reduction(full, turn, None);
        reduced_by[by as usize] += 1;
        let first_beyond = (round / 12 % 2 == 1, round / 24 % 2 == 1);
        let form = Form { reduction: Reduction { by, first_beyond }, ..full };
        let rows = [full, form].map(|form| {
            let (mut scratch, mut row) = (Scratch::default(), vec![0; transform.row_len()]);
            let wanted = transform.begin(form, turn, &mut scratch);
            let Size { width, height } = form.coming();
            assert!(wanted.left + wanted.width <= width && wanted.top + wanted.height <= height);
            transform.push(0, &slopes(form), &mut scratch, &mut row);
            assert!(transform.is_complete(&scratch));
            row
        });
        for c in 0..3 {
            // Not at the edges, where filters are cut off.
            let inner = (3..27).flat_map(|y| (3..37).map(move |x| 3 * (40 * y + x) + c));
            let off = inner.map(|at| f64::from(rows[0][at]) - f64::from(rows[1][at]));
            let off: Vec<f64> = off.collect();
            let mean = off.iter().sum::<f64>() / off.len() as f64;
            // A filter's own weights may lean to a side in one picture.
            means.entry((by, first_beyond, c)).or_insert_with(Vec::new).push(mean);
            assert!(off.iter().all(|off| off.abs() <= 2.0), "{filter} {fit} by {by}");
        }
    }
    for (what, means) in means {
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        // A pixel further is half a level or more.
        assert!(mean.abs() < 0.2, "{what:?}: {mean}");
    }
    assert!(reduced_by[2] > 4 && reduced_by[4] > 10 && reduced_by[8] > 10, "{reduced_by:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape_agrees_with_the_formula(
        sw in 1u32..60, sh in 1u32..60, tw in 1u32..40, th in 1u32..40, which in 0usize..16,
        flip in 0u8..2,
    ) {
        let fits = [
            Fit::Stretch,
            Fit::Crop { shorter: None },
            Fit::Crop { shorter: Some(41) },
            Fit::random_crop(),
        ];
        let look = look(size(tw, th), fits[which / 4], FILTERS[which % 4]);
        let look = Look { flip: f64::from(flip), ..look };
        compare(rgb(size(sw, sh)), look, &mut Scratch::default());
    }

    /// Long sides shrink to few pixels without the scratch outgrowing its bound.
    #[test]
    fn the_bound_holds_for_long_pictures(
        long in 1u32..5000, tw in 1u32..8, th in 1u32..8, which in 1usize..4,
    ) {
        for source in [size(long, 1), size(1, long)] {
            let look = look(size(tw, th), Fit::Stretch, FILTERS[which]);
            compare(rgb(source), look, &mut Scratch::default());
        }
    }

    /// Nor when whole pictures are scaled, whatever their shape.
    #[test]
    fn the_bound_holds_for_scaled_pictures(
        w in 1u32..400, h in 1u32..400, long in 1u32..3000, side in 1u32..60, which in 0usize..4,
    ) {
        for source in [size(w, h), size(long, 1 + h % 9), size(1 + w % 9, long)] {
            let (form, scaler) = (rgb(source), Scaler::new(side, FILTERS[which]));
            let (mut scratch, scaled) = (Scratch::default(), scaler.scaled(form));
            prop_assert!(scaled.size.width.min(scaled.size.height) <= side.max(1));
            prop_assert!(scaled.bytes() <= form.bytes());
            scaler.begin(form, &mut scratch);
            scaler.push(0, &vec![7; form.bytes()], &mut scratch, &mut vec![0; scaled.bytes()]);
            prop_assert!(scaler.is_complete(&scratch));
            let bound = scaling_bound(FILTERS[which], source.width.max(source.height));
            let bytes = scratch.bytes() as u64;
            prop_assert!(bytes <= bound, "{source} -> {}: {bytes}, bound {bound}", scaled.size);
        }
    }
}
