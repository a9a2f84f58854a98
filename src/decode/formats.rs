//! Everything but JPEG, by the `image` crate.

use std::error::Error as StdError;
use std::io::{Cursor, ErrorKind};

use image::codecs::png::PngDecoder;
use image::metadata::Orientation as MetaOrientation;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::gif::Screen;
use super::png::{self, Stripped};
use super::{Channels, Grey, Orientation, Picture, check_size, webp};
use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};
use crate::memory::zeroed;

/// What is read, for messages.
const READ: &str = "JPEG, PNG, WebP, GIF, BMP, TIFF and PNM are read";

/// Bytes a decoder may take beyond what the picture's size explains.
const SLACK: u64 = 256 << 10;

/// An opened picture of any format that the `image` crate decodes.
pub(super) struct Other<'a> {
    encoded: &'a [u8],
    format: ImageFormat,
    decoder: Box<dyn ImageDecoder + 'a>,
    size: Size,
    orientation: Orientation,
    working_bytes: u64,
}

impl<'a> Other<'a> {
    pub(super) fn open(encoded: &'a [u8], limits: &Limits) -> Result<Self, Cause> {
        let format = recognise(encoded)?;
        // Sides are checked below, where the message can name the knob. Memory
        // is bounded by the largest allowed picture first, by this one then.
        let mut bounds = image::Limits::no_limits();
        bounds.max_alloc = Some(limits.max_pixels.saturating_mul(16).saturating_add(64 << 20));
        let mut decoder =
            decoder(encoded, format, bounds.clone()).map_err(|error| cause(error, encoded))?;
        let (width, height) = decoder.dimensions();
        let size = Size { width, height };
        check_size(size, limits)?;
        let color = decoder.color_type();
        if !matches!(color, ColorType::Rgb8) && rgb8_of(color).is_none() {
            let message = format!("samples of type {color:?}; integers of 8 and 16 bits are read");
            return Err(Cause::new(CauseKind::Unsupported, message));
        }

        let native = decoder.total_bytes();
        let inner = inner_bytes(format, size, native, encoded.len() as u64) + SLACK;
        bounds.max_alloc = Some(native + inner);
        decoder.set_limits(bounds).map_err(|error| cause(error, encoded))?;
        // Metadata that cannot be read is no reason to lose the picture.
        let orientation = match format {
            ImageFormat::Png => png::exif(encoded).and_then(MetaOrientation::from_exif_chunk),
            ImageFormat::WebP => webp::exif(encoded).and_then(MetaOrientation::from_exif_chunk),
            _ => decoder.orientation().ok(),
        };
        let orientation = orientation.and_then(|found| Orientation::from_exif(found.to_exif()));
        let orientation = orientation.unwrap_or_default();
        // Of a grey picture it is not known yet as what it will be read.
        let copied = if color == ColorType::Rgb8 { 0 } else { native };
        let working_bytes = inner + copied;
        Ok(Other { encoded, format, decoder, size, orientation, working_bytes })
    }
}

impl Picture for Other<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }

    fn grey(&self) -> Grey {
        use ColorType::{L8, L16, La8, La16};
        match self.decoder.color_type() {
            L8 | La8 | L16 | La16 => Grey::Only,
            _ => Grey::No,
        }
    }

    fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
        let Other { encoded, format, decoder, size, .. } = *self;
        let read = |decoder: Box<dyn ImageDecoder + '_>, to: &mut [u8]| {
            decoder.read_image_boxed(to).map_err(|error| cause(error, encoded))
        };
        let native = decoder.color_type();
        let convert = match (channels, native) {
            (Channels::Rgb, ColorType::Rgb8) | (Channels::Grey, ColorType::L8) => {
                return read(decoder, out);
            }
            (Channels::Rgb, _) => rgb8_of(native),
            (Channels::Grey, _) => grey8_of(native),
        };
        let Some(convert) = convert else {
            let message = format!("a picture of {native:?} cannot be read as {channels:?}");
            return Err(Cause::new(CauseKind::Unsupported, message));
        };
        let mut native = zeroed(usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX))?;
        read(decoder, &mut native)?;
        convert(&native, out);
        if let (ImageFormat::Gif, Some(screen)) = (format, Screen::of(encoded)) {
            screen.paint(size.width as usize, out);
        }
        Ok(())
    }
}

fn decoder<'a>(
    encoded: &'a [u8],
    format: ImageFormat,
    bounds: image::Limits,
) -> Result<Box<dyn ImageDecoder + 'a>, ImageError> {
    if format == ImageFormat::Png {
        return Ok(Box::new(PngDecoder::with_limits(Stripped::new(encoded), bounds)?));
    }
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    reader.limits(bounds);
    Ok(Box::new(reader.into_decoder()?))
}

/// The format by the file's first bytes.
fn recognise(encoded: &[u8]) -> Result<ImageFormat, Cause> {
    use ImageFormat::{Bmp, Gif, Png, Pnm, Tiff, WebP};
    let unsupported = |found: String| Err(Cause::new(CauseKind::Unsupported, found));
    match image::guess_format(encoded) {
        Ok(format @ (Bmp | Gif | Png | Pnm | Tiff | WebP)) => Ok(format),
        Ok(other) => {
            let name = other.extensions_str().first().copied().unwrap_or("another format");
            unsupported(format!("the content is {name}; {READ}"))
        }
        Err(_) => unsupported(format!("the content is no known image; {READ}")),
    }
}

/// An upper estimate of what a decoder allocates besides the picture in its
/// native colour type, `native` bytes.
fn inner_bytes(format: ImageFormat, size: Size, native: u64, encoded: u64) -> u64 {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let rows = 64 * u64::from(size.width);
    match format {
        // Indices of the first frame, and its colours.
        ImageFormat::Gif => 5 * pixels + encoded,
        // A frame of its own and a canvas, four bytes a pixel each.
        ImageFormat::WebP => 8 * pixels + encoded,
        // One strip or tile may be the whole picture.
        ImageFormat::Tiff => native + encoded,
        ImageFormat::Png => rows + encoded,
        _ => rows,
    }
}

/// Converts native samples to levels.
type Convert = fn(&[u8], &mut [u8]);

/// The conversion to lightness alone from a colour type without colour.
fn grey8_of(color: ColorType) -> Option<Convert> {
    /// Of `N` bytes per pixel, the one at `L`.
    fn pick<const N: usize, const L: usize>(native: &[u8], out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(native.as_chunks::<N>().0) {
            *to = from[L];
        }
    }
    let little = cfg!(target_endian = "little");
    Some(match color {
        ColorType::La8 => pick::<2, 0>,
        ColorType::L16 if little => pick::<2, 1>,
        ColorType::L16 => pick::<2, 0>,
        ColorType::La16 if little => pick::<4, 1>,
        ColorType::La16 => pick::<4, 0>,
        _ => return None,
    })
}

/// The conversion from a colour type; `None` when there is none, or none is
/// needed.
fn rgb8_of(color: ColorType) -> Option<Convert> {
    /// Of `N` bytes per pixel, those at `R`, `G` and `B`.
    fn pick<const N: usize, const R: usize, const G: usize, const B: usize>(
        native: &[u8],
        out: &mut [u8],
    ) {
        let (pixels, _) = native.as_chunks::<N>();
        let (out, _) = out.as_chunks_mut::<3>();
        for (to, from) in out.iter_mut().zip(pixels) {
            *to = [from[R], from[G], from[B]];
        }
    }
    // 16-bit samples come in the machine's byte order.
    let little = cfg!(target_endian = "little");
    Some(match color {
        ColorType::L8 => pick::<1, 0, 0, 0>,
        ColorType::La8 => pick::<2, 0, 0, 0>,
        ColorType::Rgba8 => pick::<4, 0, 1, 2>,
        ColorType::L16 if little => pick::<2, 1, 1, 1>,
        ColorType::L16 => pick::<2, 0, 0, 0>,
        ColorType::La16 if little => pick::<4, 1, 1, 1>,
        ColorType::La16 => pick::<4, 0, 0, 0>,
        ColorType::Rgb16 if little => pick::<6, 1, 3, 5>,
        ColorType::Rgb16 => pick::<6, 0, 2, 4>,
        ColorType::Rgba16 if little => pick::<8, 1, 3, 5>,
        ColorType::Rgba16 => pick::<8, 0, 2, 4>,
        _ => return None,
    })
}

/// The `image` crate's errors in this crate's words.
fn cause(error: ImageError, encoded: &[u8]) -> Cause {
    let kind = match &error {
        _ if ends_early(&error) || lacks_end(encoded) => CauseKind::Truncated,
        ImageError::Limits(_) => CauseKind::Limit,
        ImageError::Unsupported(_) => CauseKind::Unsupported,
        _ => CauseKind::Corrupt,
    };
    let message = match kind {
        CauseKind::Truncated => "the file ends early".to_owned(),
        CauseKind::Limit => format!("{error}; the bound follows from max_pixels"),
        _ => error.to_string(),
    };
    Cause::new(kind, message).caused_by(error)
}

/// Whether `error`, or one that led to it, is a read that met the file's end.
fn ends_early(error: &ImageError) -> bool {
    let at_end = |io: &std::io::Error| io.kind() == ErrorKind::UnexpectedEof;
    if let ImageError::IoError(io) = error {
        // Not among the sources, which begin below it.
        return at_end(io);
    }
    let mut below = error.source();
    while let Some(error) = below {
        if error.downcast_ref().is_some_and(at_end) {
            return true;
        }
        below = error.source();
    }
    false
}

/// Whether a file that cannot be decoded is shorter than it says (WebP) or
/// lacks its last byte (GIF); their decoders do not tell this from other damage.
fn lacks_end(encoded: &[u8]) -> bool {
    match encoded {
        [b'R', b'I', b'F', b'F', a, b, c, d, ..] => {
            (encoded.len() as u64) < 8 + u64::from(u32::from_le_bytes([*a, *b, *c, *d]))
        }
        [b'G', b'I', b'F', .., last] => *last != b';',
        _ => false,
    }
}
