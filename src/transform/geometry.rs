//! Where the pixels of a row of the batch come from: pure arithmetic on sizes
//! and on random numbers.

use serde::Serialize;

use crate::config::{CropRatio, CropScale, Fit, Size};
use crate::random::Draws;

/// A rectangle of source pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Columns left of it.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

impl Region {
    /// The whole of a picture.
    #[must_use]
    pub fn whole(size: Size) -> Region {
        Region { left: 0, top: 0, width: size.width, height: size.height }
    }
}

/// A rectangle whose sides may lie within pixels: a part of a picture that was
/// scaled, on the picture before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Area {
    /// Pixels left of it.
    pub left: f64,
    /// Pixels above it.
    pub top: f64,
    /// Its width in pixels.
    pub width: f64,
    /// Its height in pixels.
    pub height: f64,
}

impl Area {
    /// The same on a picture that is so many times as wide and as high.
    pub(crate) fn scaled(self, across: f64, down: f64) -> Area {
        let Area { left, top, width, height } = self;
        let (left, width) = (left * across, width * across);
        Area { left, top: top * down, width, height: height * down }
    }
}

/// A cut, a resize and another cut: an area of the source is scaled to
/// `resized`, of which the window of the wanted size whose top left corner is
/// (`left`, `top`) is kept, mirrored if `flip`. Only the window is ever computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(super) area: Region,
    /// The whole area after scaling, in pixels.
    pub(super) resized: Size,
    /// Columns of the scaled area left of the window.
    pub(super) left: u32,
    /// Rows of the scaled area above the window.
    pub(super) top: u32,
    /// Left and right change places.
    pub(super) flip: bool,
}

impl View {
    /// The view of a picture of `source` pixels, none of whose sides is zero.
    /// `flip` is the probability of mirroring.
    ///
    /// # Panics
    ///
    /// When a side is.
    #[must_use]
    pub(crate) fn new(source: Size, fit: Fit, flip: f64, target: Size, mut draws: Draws) -> View {
        assert!(source.width > 0 && source.height > 0, "a picture of {source} has no pixels");
        let mut area = Region::whole(source);
        let resized = match fit {
            Fit::Stretch => target,
            Fit::Crop { shorter: Some(shorter) } => {
                // Below the target there would be nothing to cut from.
                shorter_to(source, shorter.max(target.width).max(target.height))
            }
            Fit::Crop { shorter: None } => cover(source, target),
            Fit::RandomCrop { scale, ratio } => {
                area = random_area(source, scale, ratio, &mut draws);
                target
            }
        };
        View {
            area,
            resized,
            left: half_to_even(resized.width - target.width),
            top: half_to_even(resized.height - target.height),
            flip: flip > 0.0 && draws.unit() < flip,
        }
    }

    pub(crate) fn flip(&self) -> bool {
        self.flip
    }

    /// The largest side, of 1, 2, 4 and 8, of squares that become a pixel each before
    /// the area is scaled, so that it is not made larger again.
    pub(super) fn most_reduced(&self) -> u32 {
        let View { area, resized, .. } = *self;
        let fits = |by: u64| {
            u64::from(area.width) >= by * u64::from(resized.width)
                && u64::from(area.height) >= by * u64::from(resized.height)
        };
        [8, 4, 2].into_iter().find(|&by| fits(by)).unwrap_or(1) as u32
    }

    /// The part of the source that the window shows.
    pub(crate) fn shown(&self, target: Size) -> Area {
        let View { area, resized, left, top, .. } = *self;
        let across = f64::from(area.width) / f64::from(resized.width);
        let down = f64::from(area.height) / f64::from(resized.height);
        Area {
            left: f64::from(area.left) + f64::from(left) * across,
            top: f64::from(area.top) + f64::from(top) * down,
            width: f64::from(target.width) * across,
            height: f64::from(target.height) * down,
        }
    }
}

/// Rectangles drawn before it is given up.
const ATTEMPTS: usize = 10;

/// A random part of a picture, as torchvision draws it: a share of the area, drawn
/// evenly from `scale`, of an aspect ratio (width over height) whose logarithm is
/// drawn evenly from that of `ratio`, at a place drawn evenly. `None` when none of
/// ten has sides, across and down, that `fit`; what fits lies within the picture.
pub(crate) fn random_part(
    picture: Size,
    scale: (f64, f64),
    ratio: (f64, f64),
    fit: impl Fn(f64, f64) -> bool,
    draws: &mut Draws,
) -> Option<Region> {
    let Size { width, height } = picture;
    let pixels = f64::from(width) * f64::from(height);
    for _ in 0..ATTEMPTS {
        let area = pixels * draws.between(scale.0, scale.1);
        // Not the platform's functions: a part is the same on every machine.
        let drawn = libm::exp(draws.between(libm::log(ratio.0), libm::log(ratio.1)));
        let side = |area: f64| area.sqrt().round_ties_even();
        let (across, down) = (side(area * drawn), side(area / drawn));
        if fit(across, down) {
            let (across, down) = (across as u32, down as u32);
            return Some(Region {
                left: draws.below(u64::from(width - across) + 1) as u32,
                top: draws.below(u64::from(height - down) + 1) as u32,
                width: across,
                height: down,
            });
        }
    }
    None
}

/// The area of torchvision's `RandomResizedCrop`: a random part, and where ten of
/// them do not fit, the largest centred one whose ratio is in range.
fn random_area(source: Size, scale: CropScale, ratio: CropRatio, draws: &mut Draws) -> Region {
    let Size { width, height } = source;
    let (w, h) = (f64::from(width), f64::from(height));
    let (low, high) = (f64::from(ratio.0), f64::from(ratio.1));
    let scale = (f64::from(scale.0), f64::from(scale.1));
    let fit = |across, down| (1.0..=w).contains(&across) && (1.0..=h).contains(&down);
    if let Some(part) = random_part(source, scale, (low, high), fit, draws) {
        return part;
    }
    let round = |side: f64, most: u32| (side.round_ties_even() as u32).clamp(1, most);
    let (across, down) = match w / h {
        own if own < low => (width, round(w / low, height)),
        own if own > high => (round(h * high, width), height),
        _ => (width, height),
    };
    Region { left: (width - across) / 2, top: (height - down) / 2, width: across, height: down }
}

/// The size at which a picture is kept for random crops to be cut from: its
/// shorter side has `side` pixels; a smaller picture stays as it is.
pub(crate) fn kept_size(source: Size, side: u32) -> Size {
    if source.width.min(source.height) <= side { source } else { shorter_to(source, side) }
}

/// The shorter side becomes `shorter`, the longer `floor(shorter * long /
/// short)`, as in torchvision's `Resize` of one number.
fn shorter_to(source: Size, shorter: u32) -> Size {
    if source.width <= source.height {
        let height = scale(source.height, shorter, source.width);
        Size { width: shorter, height }
    } else {
        Size { width: scale(source.width, shorter, source.height), height: shorter }
    }
}

/// The smallest scaling of `source` that covers `target`: one side meets it,
/// the other is at least as long.
fn cover(source: Size, target: Size) -> Size {
    let (w, h) = (u64::from(source.width), u64::from(source.height));
    if u64::from(target.width) * h >= u64::from(target.height) * w {
        let height = scale(source.height, target.width, source.width);
        Size { width: target.width, height }
    } else {
        let width = scale(source.width, target.height, source.height);
        Size { width, height: target.height }
    }
}

/// `floor(side * to / from)`; what no picture can have is cut off at the
/// largest number.
fn scale(side: u32, to: u32, from: u32) -> u32 {
    u32::try_from(u64::from(side) * u64::from(to) / u64::from(from)).unwrap_or(u32::MAX)
}

/// Half of `n`, a remaining half pixel going to the even neighbour, as Python's
/// `round` has it.
fn half_to_even(n: u32) -> u32 {
    let down = n / 2;
    down + (n % 2) * (down % 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn view(source: Size, fit: Fit, target: Size) -> View {
        View::new(source, fit, 0.0, target, Draws::new(&[]))
    }

    fn crop(source: Size, shorter: Option<u32>, target: Size) -> (Size, u32, u32) {
        let view = view(source, Fit::Crop { shorter }, target);
        assert_eq!(view.area, Region::whole(source));
        (view.resized, view.left, view.top)
    }

    #[test]
    fn the_usual_evaluation_transform() {
        let target = size(224, 224);
        assert_eq!(crop(size(500, 375), Some(256), target), (size(341, 256), 58, 16));
        assert_eq!(crop(size(375, 500), Some(256), target), (size(256, 341), 16, 58));
        assert_eq!(crop(size(256, 256), Some(256), target), (size(256, 256), 16, 16));
    }

    #[test]
    fn half_pixels_go_to_the_even_side() {
        let halves: Vec<u32> = (0..10).map(half_to_even).collect();
        assert_eq!(halves, [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]);
    }

    #[test]
    fn extreme_shapes() {
        let target = size(8, 4);
        assert_eq!(crop(size(1, 1), None, target), (size(8, 8), 0, 2));
        assert_eq!(crop(size(1, 1), Some(8), target), (size(8, 8), 0, 2));
        assert_eq!(crop(size(1, 65_535), Some(8), target), (size(8, 524_280), 0, 262_138));
        assert_eq!(crop(size(65_535, 1), None, target), (size(262_140, 4), 131_066, 0));
        // A shorter side below the target is raised to it.
        assert_eq!(crop(size(10, 10), Some(2), target), (size(8, 8), 0, 2));
        let stretched = view(size(3, 1000), Fit::Stretch, target);
        assert_eq!((stretched.resized, stretched.left, stretched.top), (target, 0, 0));
    }

    proptest! {
        #[test]
        fn the_window_lies_inside_and_the_scale_is_smallest(
            w in 1u32..70_000, h in 1u32..70_000, tw in 1u32..2000, th in 1u32..2000,
            shorter in proptest::option::of(1u32..3000),
        ) {
            let (source, target) = (size(w, h), size(tw, th));
            let view = view(source, Fit::Crop { shorter }, target);
            prop_assert!(view.left + tw <= view.resized.width);
            prop_assert!(view.top + th <= view.resized.height);
            if shorter.is_none() {
                prop_assert!(view.resized.width == tw || view.resized.height == th);
            }
        }

        #[test]
        fn a_random_area_lies_inside(
            w in 1u32..5_000, h in 1u32..5_000, a in 0.001f32..1.0, b in 0.001f32..1.0,
            r in 0.1f32..1.0, s in 1.0f32..10.0, seed in 0u64..1_000,
        ) {
            let source = size(w, h);
            let area = random_area(source, (a.min(b), a.max(b)), (r, s), &mut Draws::new(&[seed]));
            prop_assert!(area.width > 0 && area.left + area.width <= w);
            prop_assert!(area.height > 0 && area.top + area.height <= h);
        }
    }

    /// Shares, ratios and places are spread as they are said to be.
    #[test]
    fn random_areas_are_spread_evenly() {
        let source = size(2_000, 1_500);
        // All of them fit, so none is drawn again.
        let fit = Fit::RandomCrop { scale: (0.1, 0.4), ratio: (0.8, 1.25) };
        let (mut share, mut ratio, mut flips) = (0.0, 0.0, 0);
        let (mut left, mut top) = (0.0, 0.0);
        const N: u32 = 20_000;
        for position in 0..N {
            let draws = Draws::new(&[1, 2, u64::from(position)]);
            let View { area, flip, .. } = View::new(source, fit, 0.25, size(8, 8), draws);
            let (w, h) = (f64::from(area.width), f64::from(area.height));
            let (s, r) = (w * h / 3e6, w / h);
            assert!((0.099..0.401).contains(&s) && (0.79..1.26).contains(&r), "{area:?}");
            share += s;
            ratio += r.ln();
            flips += u32::from(flip);
            left += f64::from(area.left) / f64::from(2_000 - area.width).max(1.0);
            top += f64::from(area.top) / f64::from(1_500 - area.height).max(1.0);
        }
        // Each mean within about five of its standard deviations.
        let mean = |sum: f64| sum / f64::from(N);
        assert!((mean(share) - 0.25).abs() < 0.003, "{}", mean(share));
        assert!(mean(ratio).abs() < 0.005, "{}", mean(ratio));
        assert!((mean(left) - 0.5).abs() < 0.01 && (mean(top) - 0.5).abs() < 0.01);
        assert!((mean(f64::from(flips)) - 0.25).abs() < 0.013, "{flips} flips");
    }

    /// Where not every area fits, those that do are as likely as they were: the
    /// shares of a grid over area and ratio, counted by the definition; and the
    /// place knows nothing of them.
    #[test]
    fn an_area_that_does_not_fit_is_drawn_again() {
        const CELLS: usize = 6;
        const STEPS: usize = 1_000;
        const N: u64 = 40_000;
        let source = size(600, 400);
        let (w, h) = (600.0, 400.0);
        let (scale, ratio) = ((0.3_f32, 1.0_f32), (0.5_f32, 2.0_f32));
        let even = |step: usize| (step as f64 + 0.5) / STEPS as f64;
        let cell = |across: f64, down: f64| {
            let at = |part: f64| ((part * CELLS as f64).max(0.0) as usize).min(CELLS - 1);
            let share = (across * down / (w * h) - 0.3) / 0.7;
            at(share) * CELLS + at(((across / down).log2() + 1.0) / 2.0)
        };
        let (mut expected, mut fitting) = ([0.0; CELLS * CELLS], 0.0);
        for a in 0..STEPS {
            for r in 0..STEPS {
                let (area, ratio) = ((0.3 + 0.7 * even(a)) * w * h, 0.5 * 4_f64.powf(even(r)));
                let across = (area * ratio).sqrt().round_ties_even();
                let down = (area / ratio).sqrt().round_ties_even();
                if across <= w && down <= h {
                    expected[cell(across, down)] += 1.0;
                    fitting += 1.0;
                }
            }
        }
        let share = fitting / (STEPS * STEPS) as f64;
        assert!((0.3..0.7).contains(&share), "many fit and many do not: {share}");
        // The whole picture, of ratio 1.5, when ten do not fit.
        let fallback = (1.0 - share).powi(10);
        let (mut counts, mut places) = ([0.0; CELLS * CELLS], [[0_u32; 10]; 2]);
        let (mut together, mut pairs) = (0.0, 0.0);
        for position in 0..N {
            let area = random_area(source, scale, ratio, &mut Draws::new(&[8, 1, position]));
            let (across, down) = (f64::from(area.width), f64::from(area.height));
            counts[cell(across, down)] += 1.0;
            if w - across > 50.0 && h - down > 50.0 {
                let left = (f64::from(area.left) + 0.5) / (w - across + 1.0);
                let top = (f64::from(area.top) + 0.5) / (h - down + 1.0);
                places[0][(left * 10.0) as usize] += 1;
                places[1][(top * 10.0) as usize] += 1;
                together += (left - 0.5) * (top - 0.5);
                pairs += 1.0;
            }
        }
        for (at, (found, expected)) in counts.iter().zip(expected).enumerate() {
            let whole = if at == cell(w, h) { fallback } else { 0.0 };
            let expected = (expected / fitting * (1.0 - fallback) + whole) * N as f64;
            let off = (found - expected).abs();
            assert!(off < 5.0 * expected.sqrt() + 2.0, "cell {at}: {found} for {expected}");
        }
        for count in places.as_flattened() {
            let expected = pairs / 10.0;
            let off = (f64::from(*count) - expected).abs();
            assert!(off < 5.0 * f64::sqrt(expected) + 0.02 * expected, "{places:?}");
        }
        let correlation = 12.0 * together / pairs;
        assert!(correlation.abs() < 5.0 / f64::sqrt(pairs), "{correlation}");
    }

    #[test]
    fn an_area_that_cannot_fit_is_the_largest_in_the_middle() {
        let ratio = (0.75, 4.0 / 3.0);
        let area = |w, h| random_area(size(w, h), (0.9, 1.0), ratio, &mut Draws::new(&[3]));
        assert_eq!(area(1_000, 10), Region { left: 493, top: 0, width: 13, height: 10 });
        assert_eq!(area(10, 1_000), Region { left: 0, top: 493, width: 10, height: 13 });
        assert_eq!(area(1, 1), Region { left: 0, top: 0, width: 1, height: 1 });
    }

    #[test]
    fn a_part_may_lie_at_either_edge() {
        let picture = size(11, 21);
        let parts = (0..200).map(|seed| {
            // Ten by twenty pixels of one ratio: one column and one row are left over.
            let (area, ratio) = (200.0 / 231.0, 0.5);
            let mut draws = Draws::new(&[seed]);
            random_part(picture, (area, area), (ratio, ratio), |_, _| true, &mut draws)
        });
        let places: std::collections::BTreeSet<(u32, u32)> = parts
            .map(|part| {
                let Region { left, top, width, height } = part.unwrap();
                assert_eq!((width, height), (10, 20));
                (left, top)
            })
            .collect();
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn what_is_shown_lies_where_it_was() {
        // Cut from the middle of a picture that was scaled to a half.
        let target = size(40, 20);
        let shown = view(size(100, 80), Fit::Crop { shorter: Some(40) }, target).shown(target);
        assert_eq!(shown, Area { left: 10.0, top: 20.0, width: 80.0, height: 40.0 });
        // An area of its own, which becomes all of the row, whatever its sides.
        let area = Region { left: 7, top: 3, width: 24, height: 30 };
        let target = size(8, 5);
        let shown = View { area, resized: target, left: 0, top: 0, flip: false }.shown(target);
        assert_eq!(shown, Area { left: 7.0, top: 3.0, width: 24.0, height: 30.0 });
        // On a picture twice as wide and three times as high.
        assert_eq!(
            shown.scaled(2.0, 3.0),
            Area { left: 14.0, top: 9.0, width: 48.0, height: 90.0 }
        );
        // A window inside of the scaled area.
        let inside = View { area, resized: size(12, 10), left: 3, top: 4, flip: true };
        assert!(inside.flip() && !View { flip: false, ..inside }.flip());
        assert_eq!(
            inside.shown(size(6, 2)),
            Area { left: 13.0, top: 15.0, width: 12.0, height: 6.0 }
        );
    }

    #[test]
    fn what_is_reduced_is_not_made_larger_again() {
        let reduced =
            |width, height, target| view(size(width, height), Fit::Stretch, target).most_reduced();
        for by in [1, 2, 4, 8] {
            let (width, height) = (by * 10, by * 20);
            assert_eq!(reduced(width, height, size(10, 20)), by);
            assert_eq!(reduced(width + 1, height + 1, size(10, 20)), by);
            for (width, height) in [(width - 1, height), (width, height - 1)] {
                assert_eq!(reduced(width, height, size(10, 20)), (by / 2).max(1));
            }
        }
        assert_eq!(reduced(10_000, 10_000, size(10, 20)), 8);
        assert_eq!(reduced(10_000, 20, size(10, 20)), 1);
    }

    #[test]
    fn a_picture_is_kept_by_its_shorter_side() {
        assert_eq!(kept_size(size(400, 300), 150), size(200, 150));
        assert_eq!(kept_size(size(300, 400), 150), size(150, 200));
        for small in [size(100, 400), size(150, 400), size(400, 150), size(20, 10)] {
            assert_eq!(kept_size(small, 150), small);
        }
    }
}
