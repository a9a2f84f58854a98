//! One axis of a resize with a cut.

use super::Form;
use super::geometry::View;
use crate::config::Size;

/// A stretch of source pixels scaled to another length, of which a part is
/// wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// The first source pixel of the stretch.
    pub(super) start: u32,
    /// Source pixels of the stretch: what lies outside does not exist.
    pub(super) source: u32,
    /// Where in the first of them it begins; 0 but of pictures that come reduced.
    pub(super) offset: f64,
    /// How many source pixels it is long; whole but of such pictures.
    pub(super) length: f64,
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
    /// The horizontal and the vertical axis of a view of a picture that comes in this
    /// form.
    pub(super) fn both(view: &View, target: Size, form: Form) -> (Axis, Axis) {
        let View { area, resized, left, top, flip } = *view;
        let Size { width, height } = form.size;
        let (across, down) = form.reduction.first_beyond;
        let stretch = |from: u32, len: u32, side: u32, first_beyond: bool| {
            let by = form.reduction.by;
            // Of the squares, which begin before the picture or with it.
            let from = if first_beyond { from + side.next_multiple_of(by) - side } else { from };
            let (start, part) = (from / by, |pixels: u32| f64::from(pixels) / f64::from(by));
            (start, (from + len).div_ceil(by) - start, part(from % by), part(len))
        };
        let (start, source, offset, length) = stretch(area.left, area.width, width, across);
        let x = Axis {
            start,
            source,
            offset,
            length,
            resized: resized.width,
            first: left,
            count: target.width,
            mirrored: flip,
        };
        let (start, source, offset, length) = stretch(area.top, area.height, height, down);
        let y = Axis {
            start,
            source,
            offset,
            length,
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
