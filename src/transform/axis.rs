//! One axis of a resize with a cut.

use super::geometry::View;
use crate::config::Size;

/// A stretch of source pixels scaled to another length, of which a part is
/// wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// The first source pixel of the stretch.
    pub(super) start: u32,
    /// Source pixels of the stretch: what lies outside does not exist.
    pub(super) source: u32,
    /// The same after scaling.
    pub(super) resized: u32,
    /// The first wanted pixel of the scaled axis.
    pub(super) first: u32,
    /// Wanted pixels.
    pub(super) count: u32,
    /// The last wanted pixel comes first.
    pub(super) mirrored: bool,
}

impl Axis {
    /// The horizontal and the vertical axis of a view.
    pub(super) fn both(view: &View, target: Size) -> (Axis, Axis) {
        let View { area, resized, left, top, flip } = *view;
        let x = Axis {
            start: area.left,
            source: area.width,
            resized: resized.width,
            first: left,
            count: target.width,
            mirrored: flip,
        };
        let y = Axis {
            start: area.top,
            source: area.height,
            resized: resized.height,
            first: top,
            count: target.height,
            mirrored: false,
        };
        (x, y)
    }

    /// The wanted pixels of the scaled axis, in the order of the target.
    pub(super) fn wanted(self) -> impl ExactSizeIterator<Item = u32> {
        let Axis { first, count, mirrored, .. } = self;
        (0..count).map(move |x| first + if mirrored { count - 1 - x } else { x })
    }
}
