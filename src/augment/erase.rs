//! A rectangle of a finished row set to zero.

use crate::config::{Erase, Layout, Size};
use crate::random::Draws;
use crate::transform::{Places, Region, random_part};

/// The rectangle of torchvision's `RandomErasing`, if there is to be one: smaller
/// than the picture on both sides.
pub(super) fn drawn(erase: &Erase, picture: Size, draws: &mut Draws) -> Option<Region> {
    let Erase { probability, scale, ratio } = *erase;
    if draws.unit() >= probability {
        return None;
    }
    // Its aspect ratio is height over width, so the picture lies on its side.
    let Size { width, height } = picture;
    let fit = |along, across| along < f64::from(height) && across < f64::from(width);
    let lying = random_part(Size { width: height, height: width }, scale, ratio, fit, draws)?;
    let Region { left, top, width, height } = lying;
    Some(Region { left: top, top: left, width: height, height: width })
}

/// Sets the rectangle to zero in all channels.
pub(super) fn apply<T: Copy + Default>(region: Region, places: &Places, row: &mut [T]) {
    let (layout, size, channels) = (places.layout(), places.size(), places.color().channels());
    let (planes, pixel) = match layout {
        Layout::Chw => (channels, 1),
        Layout::Hwc => (1, channels),
    };
    let (width, height) = (size.width as usize, size.height as usize);
    let (first, count) = (region.left as usize * pixel, region.width as usize * pixel);
    for plane in 0..planes {
        for y in region.top..region.top + region.height {
            let line = (plane * height + y as usize) * width * pixel;
            row[line + first..][..count].fill(T::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Color;

    const PICTURE: Size = Size { width: 224, height: 160 };
    const N: u64 = 40_000;

    fn regions(erase: &Erase, picture: Size) -> Vec<Region> {
        let draw = |position| drawn(erase, picture, &mut Draws::new(&[1, 2, position]));
        (0..N).filter_map(draw).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for value in values {
            sum += value;
            count += 1.0;
        }
        sum / count
    }

    #[test]
    fn as_often_as_it_is_said() {
        for probability in [0.1, 0.5, 0.9] {
            let share = regions(&Erase::new(probability), PICTURE).len() as f64 / N as f64;
            // Five standard deviations; what never fits is one in ten million.
            let deviation = (probability * (1.0 - probability) / N as f64).sqrt();
            assert!((share - probability).abs() < 5.0 * deviation, "{share} for {probability}");
        }
        assert!(regions(&Erase::new(0.0), PICTURE).is_empty());
        assert_eq!(regions(&Erase::new(1.0), PICTURE).len() as u64, N);
    }

    /// Where every rectangle fits: area, ratio and place are each spread evenly
    /// and know nothing of each other.
    #[test]
    fn area_ratio_and_place_are_spread_evenly() {
        let erase = Erase { probability: 1.0, scale: (0.05, 0.25), ratio: (0.5, 2.0) };
        let size = Size { width: 1_000, height: 1_000 };
        let regions = regions(&erase, size);
        let quantities = |region: &Region| {
            let (w, h) = (f64::from(region.width), f64::from(region.height));
            [
                (w * h / 1e6 - 0.05) / 0.2,
                ((h / w).ln() / 2_f64.ln() + 1.0) / 2.0,
                (f64::from(region.left) + 0.5) / (1_001.0 - w),
                (f64::from(region.top) + 0.5) / (1_001.0 - h),
            ]
        };
        let all: Vec<[f64; 4]> = regions.iter().map(quantities).collect();
        for (number, name) in ["area", "ratio", "left", "top"].into_iter().enumerate() {
            let mut counts = [0_u32; 10];
            for quantity in &all {
                counts[((quantity[number] * 10.0) as usize).min(9)] += 1;
            }
            // 4,000 each, with a standard deviation of 60; sides are rounded.
            assert!(counts.iter().all(|count| (3_600..4_400).contains(count)), "{name} {counts:?}");
        }
        // The correlation of independent ones is within 1 / sqrt(N) = 0.005.
        for a in 0..4 {
            for b in 0..a {
                let product = all.iter().map(|q| (q[a] - 0.5) * (q[b] - 0.5));
                let correlation = 12.0 * mean(product);
                assert!(correlation.abs() < 0.03, "{a} and {b}: {correlation}");
            }
        }
    }

    /// Where not every rectangle fits, those that do are as likely as they were:
    /// the shares of a grid over area and ratio, counted by the definition.
    #[test]
    fn what_does_not_fit_is_drawn_again() {
        let erase = Erase { probability: 1.0, scale: (0.3, 0.9), ratio: (0.3, 3.3) };
        const CELLS: usize = 6;
        let cell = |area: f64, ratio: f64| {
            let area = (area - 0.3) / 0.6 * CELLS as f64;
            let ratio = (ratio / 0.3).ln() / 11_f64.ln() * CELLS as f64;
            let at = |cell: f64| (cell.max(0.0) as usize).min(CELLS - 1);
            at(area) * CELLS + at(ratio)
        };
        let (w, h) = (f64::from(PICTURE.width), f64::from(PICTURE.height));
        let mut expected = [0.0; CELLS * CELLS];
        let mut fitting = 0.0;
        const STEPS: usize = 1_200;
        for a in 0..STEPS {
            for r in 0..STEPS {
                let even = |step: usize| (step as f64 + 0.5) / STEPS as f64;
                let (area, ratio) = (0.3 + 0.6 * even(a), 0.3 * 11_f64.powf(even(r)));
                let down = (area * w * h * ratio).sqrt().round_ties_even();
                let across = (area * w * h / ratio).sqrt().round_ties_even();
                if down < h && across < w {
                    // As the rectangle, not the draw, is what can be seen.
                    expected[cell(down * across / (w * h), down / across)] += 1.0;
                    fitting += 1.0;
                }
            }
        }
        let regions = regions(&erase, PICTURE);
        let chance = fitting / (STEPS * STEPS) as f64;
        let nothing = (1.0 - chance).powi(10) * N as f64;
        let missed = N as f64 - regions.len() as f64;
        assert!((missed - nothing).abs() < 5.0 * nothing.sqrt() + 1.0, "{missed} for {nothing}");
        let mut counts = [0.0; CELLS * CELLS];
        for region in &regions {
            assert!(region.width < PICTURE.width && region.height < PICTURE.height);
            let (across, down) = (f64::from(region.width), f64::from(region.height));
            counts[cell(down * across / (w * h), down / across)] += 1.0;
        }
        for (found, expected) in counts.iter().zip(expected) {
            let expected = expected / fitting * regions.len() as f64;
            assert!((found - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{found}: {expected}");
        }
    }

    #[test]
    fn it_is_zero_inside_and_as_it_was_outside() {
        let size = Size { width: 5, height: 4 };
        let region = Region { left: 1, top: 2, width: 3, height: 1 };
        for (layout, color, per_pixel, planes) in [
            (Layout::Chw, Color::Rgb, 1, 3),
            (Layout::Hwc, Color::Bgr, 3, 1),
            (Layout::Chw, Color::Grey, 1, 1),
            (Layout::Hwc, Color::Grey, 1, 1),
        ] {
            let places = Places::new(size, layout, color);
            let mut row = vec![7_u8; places.len()];
            apply(region, &places, &mut row);
            for plane in 0..planes {
                for y in 0..4 {
                    for x in 0..5 {
                        let at = ((plane * 4 + y) * 5 + x) * per_pixel;
                        let inside = y == 2 && (1..4).contains(&x);
                        let expected = if inside { 0 } else { 7 };
                        assert!(row[at..at + per_pixel].iter().all(|&value| value == expected));
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_of_one_pixel_is_left_alone() {
        let size = Size { width: 1, height: 1 };
        let erase = Erase { probability: 1.0, scale: (0.5, 1.0), ratio: (1.0, 1.0) };
        let region = drawn(&erase, size, &mut Draws::new(&[3]));
        assert!(region.is_none_or(|region| region.width == 0 || region.height == 0));
    }
}
