//! One axis of a resize with a cut.

use super::geometry::Plan;
use crate::config::Size;

/// A length scaled to another, of which a stretch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Source pixels.
    pub(super) source: u32,
    /// The same after scaling.
    pub(super) resized: u32,
    /// The first wanted pixel of the scaled axis.
    pub(super) first: u32,
    /// Wanted pixels.
    pub(super) count: u32,
}

impl Axis {
    /// The horizontal and the vertical axis of a plan.
    pub(super) fn both(source: Size, plan: Plan, target: Size) -> (Axis, Axis) {
        let x = Axis {
            source: source.width,
            resized: plan.resized.width,
            first: plan.left,
            count: target.width,
        };
        let y = Axis {
            source: source.height,
            resized: plan.resized.height,
            first: plan.top,
            count: target.height,
        };
        (x, y)
    }
}
