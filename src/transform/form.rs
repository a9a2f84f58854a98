//! How a picture's pixels come.

use crate::config::Size;

/// How a picture's pixels come: its size, and 3 channels (red, green, blue) or 1 of
/// lightness; and whether fewer of them come than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) size: Size,
    pub(crate) channels: usize,
    pub(crate) reduction: Reduction,
}

/// A pixel that comes stands for a square of the picture's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reduction {
    /// The side of the square, in pixels.
    pub(crate) by: u32,
    /// Where the picture's side is no multiple of it, the first square goes beyond the
    /// picture instead of the last: across, and down.
    pub(crate) first_beyond: (bool, bool),
}

impl Reduction {
    pub(crate) const NONE: Reduction = Reduction { by: 1, first_beyond: (false, false) };
}

impl Form {
    /// All pixels of a picture.
    pub(crate) fn new(size: Size, channels: usize) -> Form {
        Form { size, channels, reduction: Reduction::NONE }
    }

    /// The form of a picture of this size whose pixels are so many bytes.
    pub(crate) fn of(size: Size, bytes: usize) -> Form {
        Form::new(size, bytes / size.pixels().max(1))
    }

    /// Width and height in pixels that come.
    pub(crate) fn coming(self) -> Size {
        let Size { width, height } = self.size;
        let by = self.reduction.by;
        Size { width: width.div_ceil(by), height: height.div_ceil(by) }
    }

    /// Bytes of a row.
    pub(super) fn stride(self) -> usize {
        self.channels * self.coming().width as usize
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(self) -> usize {
        self.channels * self.coming().pixels()
    }
}
