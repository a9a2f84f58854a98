//! Transform: RGB pixels to a row of the batch, in one pass.
//!
//! ```text
//! geometry    sizes -> which window of which scaling (pure)
//! bilinear  } source rows -> finished lines of 8-bit levels, one at a time
//! triangle  }
//! layout      a line -> elements in their places of the batch
//! ```
//!
//! A resize ends in 8 bits, whatever the element type. Each element is written
//! once; between the pixels and the batch there are only a few rows of scratch.

mod axis;
mod bilinear;
mod geometry;
mod layout;
#[cfg(test)]
mod reference;
mod triangle;

use std::fmt;

use axis::Axis;
use geometry::Plan;
use layout::Places;

use crate::config::{Color, Filter, Fit, Layout, Normalize, Size};
use crate::element::Element;

/// What becomes of every picture: immutable, shared by all threads.
pub(crate) struct Transform<T: Element> {
    size: Size,
    fit: Fit,
    filter: Filter,
    places: Places<T>,
}

impl<T: Element> Transform<T> {
    /// Builds the tables. No side of `size` is zero.
    #[must_use]
    pub(crate) fn new(
        size: Size,
        fit: Fit,
        filter: Filter,
        layout: Layout,
        color: Color,
        normalize: Normalize,
    ) -> Self {
        Transform { size, fit, filter, places: Places::new(size, layout, color, &normalize) }
    }

    /// Elements of one picture: `3 * height * width`.
    #[must_use]
    pub(crate) fn row_len(&self) -> usize {
        3 * self.size.height as usize * self.size.width as usize
    }

    /// Writes one picture's row of the batch.
    ///
    /// `pixels` is RGB8 `[source.height, source.width, 3]`, row-major and
    /// upright. `row` has [`row_len`](Self::row_len) elements, every one of
    /// which is written: `[3, height, width]` or `[height, width, 3]`.
    ///
    /// # Panics
    ///
    /// When a length does not fit, or a side of `source` is zero.
    pub(crate) fn apply(&self, pixels: &[u8], source: Size, scratch: &mut Scratch, row: &mut [T]) {
        assert!(source.width > 0 && source.height > 0, "a source of {source} has no pixels");
        let len = 3 * source.width as usize * source.height as usize;
        assert_eq!(pixels.len(), len, "pixels do not fit a source of {source}");
        assert_eq!(row.len(), self.row_len(), "the row does not fit {}", self.size);
        let plan = Plan::new(source, self.fit, self.size);
        let axes = Axis::both(source, plan, self.size);
        let line_len = 3 * self.size.width as usize;
        if scratch.line.len() != line_len {
            scratch.line.clear();
            scratch.line.reserve_exact(line_len);
            scratch.line.resize(line_len, 0);
        }
        let emit = |y: usize, line: &[u8]| self.places.write(y, line, row);
        match self.filter {
            Filter::OpencvBilinear => {
                scratch.bilinear.run(pixels, axes, &mut scratch.line, emit);
            }
            Filter::Bilinear => scratch.triangle.run(pixels, axes, &mut scratch.line, emit),
        }
    }
}

impl<T: Element> fmt::Debug for Transform<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform")
            .field("size", &self.size)
            .field("fit", &self.fit)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// The memory of one thread for its transforms: a few rows, and the weights of
/// the shape seen last. It grows with what it meets and is used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bilinear: bilinear::Bilinear,
    triangle: triangle::Triangle,
    /// One finished line, `[width, 3]`.
    line: Vec<u8>,
}

impl Scratch {
    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bilinear.bytes() + self.triangle.bytes() + self.line.capacity()
    }
}

/// The most bytes that the [`Scratch`] of one thread allocates, used with one
/// transform to `size` by `filter` on pictures whose sides have at most
/// `max_side` pixels.
#[must_use]
pub(crate) fn scratch_bound(size: Size, filter: Filter, max_side: u32) -> u64 {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let rows = match filter {
        Filter::OpencvBilinear => bilinear::bound(width, height),
        Filter::Bilinear => triangle::bound(width, height, max_side.into()),
    };
    rows + 3 * width
}
