//! Decode: encoded bytes to pixels.
//!
//! [`Decode`] is the seam; [`StandardDecoder`] is what loaders use unless told
//! otherwise. Pixels come out as OpenCV's `IMREAD_COLOR` has them: three 8-bit
//! channels (or one, of a picture without colour), alpha dropped, CMYK
//! converted, of 16 bits the high byte, of an animation the first frame. One
//! difference in order: the EXIF orientation is reported, and whoever asked for
//! the pixels turns them.

#[cfg(test)]
mod damage;
mod describe;
mod formats;
mod gif;
mod jpeg;
mod opened;
mod orient;
mod png;
pub(crate) mod pool;
mod probe;
mod webp;
mod work;

pub use describe::{Format, Stored};
pub(crate) use opened::Opened;
pub use orient::Orientation;

use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};
pub use crate::transform::Region;

/// How encoded bytes become pixels.
///
/// ```
/// use infeed::decode::{Decode, StandardDecoder};
///
/// // The smallest picture: one white pixel as PPM.
/// let encoded = b"P6 1 1 255\n\xff\xff\xff";
/// let picture = StandardDecoder::default().open(encoded, &infeed::Limits::default())?;
/// let mut pixels = [0; 3];
/// picture.read(infeed::decode::Channels::Rgb, &mut pixels)?;
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

    /// What this decoder is called, with every setting and version that decides
    /// its pixels: a cache on disk ([`Cache::Disk`](crate::Cache::Disk)) serves
    /// only pixels of a decoder called the same. `None`, which is the default,
    /// has such a cache refused.
    fn identity(&self) -> Option<String> {
        None
    }
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

    /// Whether the pixels can be had as one channel.
    fn grey(&self) -> Grey {
        Grey::No
    }

    /// Has the picture come smaller, each side divided by `by`, which is 2, 4 or 8, or by
    /// a smaller number of these, and rounded up: every pixel is the mean of a square of
    /// them, counted from the top left corner as stored. Returns the number; from then on
    /// all else tells of the smaller picture. By default 1: it comes as it is, so a
    /// decoder around another one has to hand this on.
    fn reduce(&mut self, by: u32) -> u32 {
        let _ = by;
        1
    }

    /// An upper estimate of the bytes that reading itself allocates besides the
    /// pixels, such as the coefficients of a progressive JPEG.
    fn working_bytes(&self) -> u64;

    /// Writes the pixels as stored, 8 bits, `[height, width, channel]`,
    /// row-major. `out` has exactly so many bytes, with any content; after `Ok`
    /// every one is written. [`Channels::Grey`] is asked for only where
    /// [`grey`](Self::grey) allows it.
    ///
    /// # Errors
    ///
    /// A [`Cause`]; the content of `out` is then unspecified.
    fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause>;

    /// Bytes of the memory that [`read_rows`](Self::read_rows) is given: by
    /// default the whole picture.
    fn rows_bytes(&self, channels: Channels) -> usize {
        channels.count() * self.size().pixels()
    }

    /// Hands the pixels on in bands of whole rows, from the picture's first row
    /// down and without gaps, each while it is in the processor's cache: `rows`
    /// takes the number of a band's first row and its pixels as
    /// [`read`](Self::read) has them. Only `wanted` will be looked at: pixels
    /// outside it may hold anything, and rows below it may be left out. A picture
    /// of which rows are missing or out of order fails.
    ///
    /// By default the whole picture is read into `memory` and is one band.
    ///
    /// # Errors
    ///
    /// A [`Cause`]; what was handed on before counts for nothing.
    fn read_rows(
        self: Box<Self>,
        channels: Channels,
        wanted: Region,
        memory: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        let _ = wanted;
        self.read(channels, memory)?;
        rows(0, memory);
        Ok(())
    }
}

/// What [`Picture::read`] writes for each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Lightness.
    Grey,
}

impl Channels {
    /// Bytes of a pixel.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Channels::Rgb => 3,
            Channels::Grey => 1,
        }
    }

    /// What is best read of `picture`: no colour where it has none, or where
    /// none is wanted and it can be left out.
    pub(crate) fn of(picture: &dyn Picture, wants_grey: bool) -> Channels {
        match picture.grey() {
            Grey::Only => Channels::Grey,
            Grey::Apart if wants_grey => Channels::Grey,
            Grey::Apart | Grey::No => Channels::Rgb,
        }
    }
}

/// Whether a picture's pixels can be had as one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grey {
    /// It has colour, from which lightness would have to be computed.
    No,
    /// It has colour, but lightness is stored apart from it.
    Apart,
    /// It has no colour: read as RGB, all three channels are the same.
    Only,
}

/// JPEG to libjpeg-turbo's pixels, and those of inks to OpenCV's; BMP, GIF, PNG, PNM, TIFF and WebP by the `image` crate.
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
    fn identity(&self) -> Option<String> {
        let (truncated, pixels) = (self.allow_truncated, probe::probe(self));
        Some(format!("standard, allow_truncated {truncated}, pixels {pixels:016x}"))
    }

    fn open<'a>(&self, encoded: &'a [u8], limits: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        if encoded.is_empty() {
            return Err(Cause::new(CauseKind::Corrupt, "the file is empty"));
        }
        if encoded.starts_with(&[0xff, 0xd8]) {
            jpeg::open(encoded, limits, self.allow_truncated)
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
