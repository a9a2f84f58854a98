//! Decode: encoded bytes to RGB pixels.
//!
//! [`Decode`] is the seam; [`StandardDecoder`] is what loaders use unless told
//! otherwise. Pixels come out as OpenCV's `IMREAD_COLOR` has them: three 8-bit
//! channels, grey repeated, alpha dropped, CMYK converted, of 16 bits the high
//! byte, of an animation the first frame. One difference in order: the EXIF
//! orientation is reported, and whoever asked for the pixels turns them.

#[cfg(test)]
mod damage;
mod formats;
mod jpeg;
mod markers;
mod orient;
pub(crate) mod pool;

pub use orient::Orientation;

use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};

/// How encoded bytes become pixels.
///
/// ```
/// use infeed::decode::{Decode, StandardDecoder};
///
/// // The smallest picture: one white pixel as PPM.
/// let encoded = b"P6 1 1 255\n\xff\xff\xff";
/// let picture = StandardDecoder::default().open(encoded, &infeed::Limits::default())?;
/// let mut pixels = [0; 3];
/// picture.read_rgb8(&mut pixels)?;
/// assert_eq!(pixels, [255; 3]);
/// # Ok::<(), infeed::Cause>(())
/// ```
pub trait Decode: Send + Sync + 'static {
    /// Reads what comes before the pixels and checks `limits`, before memory
    /// for pixels is taken.
    ///
    /// # Errors
    ///
    /// A [`Cause`] of kind `Corrupt`, `Truncated`, `Unsupported` or `Limit`.
    fn open<'a>(&self, encoded: &'a [u8], limits: &Limits) -> Result<Box<dyn Picture + 'a>, Cause>;
}

/// An opened picture: its header is known, its pixels are not decoded yet.
pub trait Picture {
    /// Width and height in pixels, as stored: before the orientation is
    /// applied.
    fn size(&self) -> Size;

    /// How to turn the stored picture upright.
    fn orientation(&self) -> Orientation {
        Orientation::Upright
    }

    /// An upper estimate of the bytes that
    /// [`read_rgb8`](Self::read_rgb8) itself allocates besides `out`, such as
    /// the coefficients of a progressive JPEG.
    fn working_bytes(&self) -> u64;

    /// Writes the pixels as stored: RGB, 8 bits, `[height, width, 3]`,
    /// row-major. `out` has exactly `3 * width * height` bytes, with any
    /// content; after `Ok` every one is written.
    ///
    /// # Errors
    ///
    /// A [`Cause`]; the content of `out` is then unspecified.
    fn read_rgb8(self: Box<Self>, out: &mut [u8]) -> Result<(), Cause>;
}

/// JPEG by zune-jpeg; BMP, GIF, PNG, PNM, TIFF and WebP by the `image` crate.
/// The content decides which, whatever the file is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardDecoder {
    allow_truncated: bool,
}

impl StandardDecoder {
    /// Whether a JPEG that ends early is decoded as far as it goes, the rest
    /// grey, instead of failing. Off by default.
    #[must_use]
    pub fn allow_truncated(mut self, allow: bool) -> Self {
        self.allow_truncated = allow;
        self
    }
}

impl Decode for StandardDecoder {
    fn open<'a>(&self, encoded: &'a [u8], limits: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        if encoded.is_empty() {
            return Err(Cause::new(CauseKind::Corrupt, "the file is empty"));
        }
        if encoded.starts_with(&[0xff, 0xd8]) {
            Ok(Box::new(jpeg::Jpeg::open(encoded, limits, self.allow_truncated)?))
        } else {
            Ok(Box::new(formats::Other::open(encoded, limits)?))
        }
    }
}

/// Refuses a picture that has no pixels, or more than the limits allow.
fn check_size(size: Size, limits: &Limits) -> Result<(), Cause> {
    let Size { width, height } = size;
    if width == 0 || height == 0 {
        return Err(Cause::new(CauseKind::Corrupt, format!("a picture of {size} has no pixels")));
    }
    let (side, pixels) = (width.max(height), u64::from(width) * u64::from(height));
    let over = if side > limits.max_side {
        format!("a side of {side} pixels, max_side is {}", limits.max_side)
    } else if pixels > limits.max_pixels {
        format!("{pixels} pixels ({size}), max_pixels is {}", limits.max_pixels)
    } else {
        return Ok(());
    };
    Err(Cause::new(CauseKind::Limit, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(encoded: &[u8], limits: &Limits) -> Cause {
        StandardDecoder::default().open(encoded, limits).err().expect("must be refused")
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let limits = Limits::default();
        let empty = refusal(b"", &limits);
        assert_eq!((empty.kind(), empty.message()), (CauseKind::Corrupt, "the file is empty"));
        for encoded in [&b"a"[..], b"hello, world", b"%PDF-1.7", &[0; 64]] {
            let unknown = refusal(encoded, &limits);
            assert_eq!(unknown.kind(), CauseKind::Unsupported);
            assert!(unknown.message().contains("JPEG"), "{unknown}");
        }
    }

    #[test]
    fn limits_are_checked_before_pixels_are_read() {
        // The header promises far more than the file holds.
        let encoded = b"P6 40000 30000 255\n";
        let too_many = refusal(encoded, &Limits::default());
        assert_eq!(too_many.kind(), CauseKind::Limit);
        assert!(too_many.message().contains("max_pixels is 100000000"), "{too_many}");
        let too_long = refusal(encoded, &Limits { max_side: 30_000, ..Limits::default() });
        assert!(too_long.message().contains("40000 pixels, max_side is 30000"), "{too_long}");
    }
}
