//! Turning a picture the way its metadata says it was meant to be seen.

use crate::config::Size;

/// How the stored picture has to be turned to stand upright: the eight values
/// of EXIF's `Orientation` tag, in the tag's order from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// 1: stored as it is meant to be seen.
    #[default]
    Upright,
    /// 2: mirrored left to right.
    FlipHorizontal,
    /// 3: turned by half a circle.
    Rotate180,
    /// 4: mirrored top to bottom.
    FlipVertical,
    /// 5: mirrored along the diagonal from the top left corner.
    Transpose,
    /// 6: turned by a quarter, clockwise.
    Rotate90,
    /// 7: mirrored along the diagonal from the top right corner.
    Transverse,
    /// 8: turned by a quarter, counter-clockwise.
    Rotate270,
}

/// Pixels of one side of the blocks in which sides are swapped, so that the
/// columns read stay in the cache until all their pixels are used.
const BLOCK: usize = 32;

impl Orientation {
    /// The orientation of an EXIF value; `None` outside `1..=8`.
    #[must_use]
    pub fn from_exif(value: u8) -> Option<Self> {
        Some(match value {
            1 => Orientation::Upright,
            2 => Orientation::FlipHorizontal,
            3 => Orientation::Rotate180,
            4 => Orientation::FlipVertical,
            5 => Orientation::Transpose,
            6 => Orientation::Rotate90,
            7 => Orientation::Transverse,
            8 => Orientation::Rotate270,
            _ => return None,
        })
    }

    /// Whether width and height change places.
    #[must_use]
    pub fn swaps_sides(self) -> bool {
        matches!(
            self,
            Orientation::Transpose
                | Orientation::Rotate90
                | Orientation::Transverse
                | Orientation::Rotate270
        )
    }

    /// The size of the upright picture, from the size as stored.
    #[must_use]
    pub fn apply(self, stored: Size) -> Size {
        if self.swaps_sides() {
            Size { width: stored.height, height: stored.width }
        } else {
            stored
        }
    }

    /// Whether the upright picture begins with what is stored last: across, and down.
    pub(super) fn mirrors(self) -> (bool, bool) {
        use Orientation::*;
        let across = matches!(self, FlipHorizontal | Rotate180 | Rotate90 | Transverse);
        (across, matches!(self, FlipVertical | Rotate180 | Rotate270 | Transverse))
    }

    /// Writes the upright picture.
    ///
    /// `pixels` is `[stored.height, stored.width, channel]` of 8 bits, row-major,
    /// of three channels or one; `out` has the same length and the shape
    /// `[height, width, channel]` of [`apply`](Self::apply).
    ///
    /// # Panics
    ///
    /// When a length does not fit the size.
    pub fn turn(self, pixels: &[u8], stored: Size, out: &mut [u8]) {
        assert_eq!(out.len(), pixels.len(), "out does not fit the pixels");
        match pixels.len() {
            0 => {}
            len if len == stored.pixels() => self.turn_pixels::<1>(pixels, stored, out),
            _ => self.turn_pixels::<3>(pixels, stored, out),
        }
    }

    fn turn_pixels<const CHANNELS: usize>(self, pixels: &[u8], stored: Size, out: &mut [u8]) {
        let (width, height) = (stored.width as usize, stored.height as usize);
        assert_eq!(pixels.len(), CHANNELS * width * height, "pixels do not fit the size");
        // Every orientation is an affine walk over the stored picture: where
        // the upright picture starts, and how far a step right or down goes.
        let (right, last_row) = (width - 1, (height - 1) * width);
        let (w, one) = (width as isize, 1);
        let (origin, step_x, step_y) = match self {
            Orientation::Upright => return out.copy_from_slice(pixels),
            Orientation::FlipHorizontal => (right, -one, w),
            Orientation::Rotate180 => (last_row + right, -one, -w),
            Orientation::FlipVertical => (last_row, one, -w),
            Orientation::Transpose => (0, w, one),
            Orientation::Rotate90 => (last_row, -w, one),
            Orientation::Transverse => (last_row + right, -w, -one),
            Orientation::Rotate270 => (right, w, -one),
        };
        let (pixels, _) = pixels.as_chunks::<CHANNELS>();
        let (out, _) = out.as_chunks_mut::<CHANNELS>();
        let out_width = self.apply(stored).width as usize;
        let block = if self.swaps_sides() { BLOCK } else { out_width };
        for (band, rows) in out.chunks_mut(out_width * block.min(BLOCK)).enumerate() {
            for left in (0..out_width).step_by(block) {
                for (line, row) in rows.chunks_exact_mut(out_width).enumerate() {
                    let y = (band * block.min(BLOCK) + line) as isize;
                    let mut from = origin as isize + y * step_y + left as isize * step_x;
                    let end = (left + block).min(out_width);
                    for pixel in &mut row[left..end] {
                        *pixel = pixels[from as usize];
                        from += step_x;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 wide, 2 high: `abc` over `def`.
    const STORED: Size = Size { width: 3, height: 2 };

    fn picture(letters: &str) -> Vec<u8> {
        letters.bytes().filter(u8::is_ascii_lowercase).flat_map(|l| [l, l + 50, l + 100]).collect()
    }

    #[test]
    fn all_eight_on_an_asymmetric_picture() {
        let expected = [
            "abc def", "cba fed", "fed cba", "def abc", "ad be cf", "da eb fc", "fc eb da",
            "cf be ad",
        ];
        for (value, letters) in (1..=8).zip(expected) {
            let orientation = Orientation::from_exif(value).unwrap();
            let mut out = vec![0; 18];
            orientation.turn(&picture("abcdef"), STORED, &mut out);
            assert_eq!(out, picture(letters), "orientation {value}");
            let mut grey = vec![0; 6];
            orientation.turn(b"abcdef", STORED, &mut grey);
            assert_eq!(grey, letters.replace(' ', "").as_bytes(), "orientation {value}");
            let height = letters.split(' ').count() as u32;
            let upright = Size { width: 6 / height, height };
            assert_eq!(orientation.apply(STORED), upright, "orientation {value}");
        }
    }

    #[test]
    fn mirrored_is_what_begins_with_the_last_pixels() {
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            // Lighter to the right alone, then downwards alone.
            for across in [true, false] {
                let stored = Size { width: 2, height: 2 };
                let pixels = if across { [0, 9, 0, 9] } else { [0, 0, 9, 9] };
                let mut out = [0; 4];
                orientation.turn(&pixels, stored, &mut out);
                let (by_column, by_row) = (out[0] != out[1], out[0] != out[2]);
                assert!(by_column != by_row);
                let mirrored =
                    if by_column { orientation.mirrors().0 } else { orientation.mirrors().1 };
                assert_eq!(mirrored, out[0] == 9, "orientation {value}");
            }
        }
    }

    #[test]
    fn blocks_join_without_seams() {
        let stored = Size { width: 71, height: 45 };
        let pixels: Vec<u8> = (0..71 * 45 * 3).map(|i| (i % 251) as u8).collect();
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let mut once = vec![0; pixels.len()];
            orientation.turn(&pixels, stored, &mut once);
            let back = match orientation {
                Orientation::Rotate90 => Orientation::Rotate270,
                Orientation::Rotate270 => Orientation::Rotate90,
                own_inverse => own_inverse,
            };
            let mut twice = vec![0; pixels.len()];
            back.turn(&once, orientation.apply(stored), &mut twice);
            assert_eq!(twice, pixels, "orientation {value}");
        }
    }

    #[test]
    fn other_values_are_none() {
        assert_eq!(Orientation::from_exif(0), None);
        assert_eq!(Orientation::from_exif(9), None);
    }
}
