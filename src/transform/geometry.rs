//! Where the pixels of a row of the batch come from: pure arithmetic on sizes.

use crate::config::{Fit, Size};

/// A resize and a cut: the source is scaled to `resized`, of which the window
/// of the wanted size whose top left corner is (`left`, `top`) is kept. Only
/// the window is ever computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The whole source after scaling, in pixels.
    pub(super) resized: Size,
    /// Columns of the scaled picture left of the window.
    pub(super) left: u32,
    /// Rows of the scaled picture above the window.
    pub(super) top: u32,
}

impl Plan {
    /// The plan for a picture of `source` pixels, none of whose sides is zero.
    #[must_use]
    pub(super) fn new(source: Size, fit: Fit, target: Size) -> Plan {
        let resized = match fit {
            Fit::Stretch => target,
            Fit::Crop { shorter: Some(shorter) } => {
                // Below the target there would be nothing to cut from.
                shorter_to(source, shorter.max(target.width).max(target.height))
            }
            Fit::Crop { shorter: None } => cover(source, target),
        };
        Plan {
            resized,
            left: half_to_even(resized.width - target.width),
            top: half_to_even(resized.height - target.height),
        }
    }
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

    fn crop(source: Size, shorter: Option<u32>, target: Size) -> (Size, u32, u32) {
        let plan = Plan::new(source, Fit::Crop { shorter }, target);
        (plan.resized, plan.left, plan.top)
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
        let plan = Plan::new(size(3, 1000), Fit::Stretch, target);
        assert_eq!(plan, Plan { resized: target, left: 0, top: 0 });
    }

    proptest! {
        #[test]
        fn the_window_lies_inside_and_the_scale_is_smallest(
            w in 1u32..70_000, h in 1u32..70_000, tw in 1u32..2000, th in 1u32..2000,
            shorter in proptest::option::of(1u32..3000),
        ) {
            let (source, target) = (size(w, h), size(tw, th));
            let plan = Plan::new(source, Fit::Crop { shorter }, target);
            prop_assert!(plan.left + tw <= plan.resized.width);
            prop_assert!(plan.top + th <= plan.resized.height);
            if shorter.is_none() {
                prop_assert!(plan.resized.width == tw || plan.resized.height == th);
            }
        }
    }
}
