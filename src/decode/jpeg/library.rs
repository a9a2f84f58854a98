//! What the decoder here does not take, by zune-jpeg: four components, odd factors, and
//! progressive files that are not whole.
//! Strict where silence would pass for a picture.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::super::{Channels, Grey, Orientation, Picture};
use super::markers::{Frame, Survey};
use super::orientation;
use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};
use crate::fence::fence;

/// An opened file.
pub(super) struct Library<'a> {
    encoded: &'a [u8],
    /// Its headers are read. It is large.
    decoder: Box<JpegDecoder<ZCursor<&'a [u8]>>>,
    options: DecoderOptions,
    grey: Grey,
    size: Size,
    orientation: Orientation,
    working_bytes: u64,
    /// What has to be done to the file before zune-jpeg reads it right.
    repair: Repair,
}

/// Changes to a copy of the file; only odd files need one.
#[derive(Debug, PartialEq)]
enum Repair {
    None,
    /// The file ends early: an end marker after so many bytes lets the decoder
    /// keep what is there.
    End {
        usable_bytes: usize,
    },
    /// Adobe's marker says that three components are plain RGB. zune-jpeg knows
    /// RGB by its component identifiers, which stand at these places.
    Rgb {
        identifiers: Vec<usize>,
        ids: [u8; 3],
    },
}

impl<'a> Library<'a> {
    pub(super) fn open(
        encoded: &'a [u8],
        survey: &Survey,
        frame: &Frame,
        limits: &Limits,
    ) -> Result<Self, Cause> {
        let size = Size { width: frame.width.into(), height: frame.height.into() };
        let options = DecoderOptions::default()
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .jpeg_set_max_scans(limits.max_scans as usize)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = fresh(encoded, options);
        asked(|| decoder.decode_headers())?;
        let orientation = orientation(decoder.exif().map(Vec::as_slice));

        let repair = match (&frame.components[..], survey.adobe_transform) {
            _ if !survey.complete => Repair::End { usable_bytes: survey.usable_bytes },
            (&[a, b, c], Some(0)) => {
                Repair::Rgb { ids: [a.0, b.0, c.0], identifiers: survey.identifiers.clone() }
            }
            _ => Repair::None,
        };
        let grey = match (frame.components.len(), decoder.input_colorspace(), &repair) {
            (1, ..) => Grey::Only,
            (_, Some(ColorSpace::YCbCr), Repair::None) => Grey::Apart,
            _ => Grey::No,
        };
        let copied = if repair == Repair::None { 0 } else { encoded.len() as u64 + 2 };
        let working_bytes = working_bytes(frame, survey) + copied;
        Ok(Library { encoded, decoder, options, grey, size, orientation, working_bytes, repair })
    }
}

/// A decoder with nothing read yet.
fn fresh(file: &[u8], options: DecoderOptions) -> Box<JpegDecoder<ZCursor<&[u8]>>> {
    Box::new(JpegDecoder::new_with_options(ZCursor::new(file), options))
}

/// Decodes; `strict` refuses what contradicts the format inside the image data,
/// where the decoder would otherwise stop and leave grey.
fn decode(
    mut decoder: Box<JpegDecoder<ZCursor<&[u8]>>>,
    options: DecoderOptions,
    strict: bool,
    out: &mut [u8],
) -> Result<(), Cause> {
    asked(|| decoder.decode_headers())?;
    // Not before: in headers, strictness refuses harmless oddities.
    decoder.set_options(options.set_strict_mode(strict));
    asked(|| decoder.decode_into(out))
}

/// What the decoder says, which panics on a few files that are no pictures.
fn asked<R>(what: impl FnOnce() -> Result<R, DecodeErrors>) -> Result<R, Cause> {
    fence(what)?.map_err(cause)
}

impl Picture for Library<'_> {
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
        self.grey
    }

    fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
        let Library { encoded, decoder, options, repair, .. } = *self;
        let options = options.jpeg_set_out_colorspace(match channels {
            Channels::Rgb => ColorSpace::RGB,
            Channels::Grey => ColorSpace::Luma,
        });
        match repair {
            Repair::None => decode(decoder, options, true, out),
            Repair::End { usable_bytes } => {
                // Rows that the decoder does not reach must not show what the
                // buffer held before.
                out.fill(128);
                let file = [&encoded[..usable_bytes], &[0xff, 0xd9]].concat();
                decode(fresh(&file, options), options, false, out)
            }
            Repair::Rgb { identifiers, ids } => {
                let mut file = encoded.to_vec();
                for place in identifiers {
                    if let Some(channel) = ids.iter().position(|&id| id == file[place]) {
                        file[place] = b"RGB"[channel];
                    }
                }
                decode(fresh(&file, options), options, true, out)
            }
        }
    }
}

/// Progressive files keep every coefficient (16 bits) until the last scan; the others a
/// row of units, before and after upsampling.
fn working_bytes(frame: &Frame, survey: &Survey) -> u64 {
    let count = frame.components.len();
    let (h_max, v_max) = frame.factors();
    let units = u64::from(frame.width).div_ceil(8 * u64::from(h_max));
    let width = units * 8 * u64::from(h_max);
    let row = width * (8 * u64::from(v_max) * 5 * count as u64 + 64);
    let coefficients = if frame.process == 2 {
        (0..count).filter_map(|i| frame.blocks(i)).map(|(w, h)| w * h * 128).sum()
    } else {
        0
    };
    // Metadata is copied out of the header; tables and the rest are small.
    row + coefficients + survey.header_bytes as u64 + (64 << 10)
}

/// zune-jpeg's errors in this crate's words. Its messages are kept: they name
/// what in the file contradicts the format.
fn cause(error: DecodeErrors) -> Cause {
    let kind = match &error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => CauseKind::Truncated,
        DecodeErrors::FormatStatic("Premature end of buffer") => CauseKind::Truncated,
        DecodeErrors::Unsupported(_) => CauseKind::Unsupported,
        _ => CauseKind::Corrupt,
    };
    let message = match kind {
        CauseKind::Truncated => "the image data end early".to_owned(),
        _ => error.to_string().trim_matches('"').to_owned(),
    };
    Cause::new(kind, message).caused_by(error)
}
