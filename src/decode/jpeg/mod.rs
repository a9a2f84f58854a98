//! JPEG (ITU-T T.81): baseline, extended sequential and progressive files by a decoder
//! made for loading, to libjpeg-turbo's pixels. A *unit*
//! is what T.81 calls an MCU: a block or a few of each component, for the same pixels.
//!
//! ```text
//! markers.rs   the segments of a file: is it whole, how many scans
//! header.rs    what stands beside the image data
//! bits.rs      the bits of a scan
//! block.rs     a block's coefficients: where each goes, times what
//! huffman.rs   bits -> coefficients of a block
//! usual.rs     codes for a file without
//! cache.rs     tables of codes, kept between files
//! idct.rs      coefficients -> samples of a block
//! color.rs     samples -> upsampled -> pixels
//! kernel.rs    their loops for this machine: avx2.rs, neon.rs, or plain
//! plane.rs     a component's samples, and its lines
//! scans.rs     the scans of a sequential file
//! symbols.rs   codes as progressive files use them
//! progressive.rs   their scans
//! exact.rs     the picture, one row of units after the other
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod bits;
mod block;
mod cache;
mod color;
mod exact;
mod header;
mod huffman;
mod idct;
mod kernel;
pub(super) mod markers;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plane;
mod progressive;
mod scans;
mod symbols;
#[cfg(test)]
mod tests;
mod usual;

use super::{Orientation, Picture, check_size};
use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};

use exact::Exact;
use header::Header;
use markers::{Frame, Survey};

/// Reads what comes before the pixels.
pub(super) fn open<'a>(
    encoded: &'a [u8],
    limits: &Limits,
    allow_truncated: bool,
) -> Result<Box<dyn Picture + 'a>, Cause> {
    let survey = Survey::of(encoded);
    let Some(frame) = &survey.frame else {
        return Err(headless(&survey));
    };
    check_process(frame)?;
    check_size(Size { width: frame.width.into(), height: frame.height.into() }, limits)?;
    if survey.scans > limits.max_scans {
        let over = format!("{} scans, max_scans is {}", survey.scans, limits.max_scans);
        return Err(Cause::new(CauseKind::Limit, over));
    }
    if survey.scans == 0 || !survey.complete && !allow_truncated {
        return Err(headless(&survey));
    }
    let header = Header::of(&encoded[..survey.usable_bytes])?;
    if header.progressive {
        progressive::check(&header, allow_truncated)?;
    } else if header.scans.len() < survey.scans as usize {
        let message = "a scan follows those that hold the whole picture";
        return Err(Cause::new(CauseKind::Corrupt, message));
    } else if header.scans.len() > 1 && !survey.complete {
        // Which one ended early cannot be seen in the file.
        let message = "a JPEG that ends early, and with several scans cannot be read in part";
        return Err(Cause::new(CauseKind::Truncated, message));
    }
    Ok(Box::new(Exact::new(header, survey.complete)))
}

/// How EXIF says to turn a picture.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(image::metadata::Orientation::from_exif_chunk)
        .and_then(|found| Orientation::from_exif(found.to_exif()))
        .unwrap_or_default()
}

/// Why there is no frame, no scan or no end.
fn headless(survey: &Survey) -> Cause {
    match (survey.complete, survey.scans) {
        (true, _) => Cause::new(CauseKind::Corrupt, "a JPEG without image data"),
        (false, 0) => Cause::new(CauseKind::Truncated, "the file ends inside its header"),
        (false, _) => Cause::new(
            CauseKind::Truncated,
            "the file ends inside its image data, before the end-of-image marker",
        ),
    }
}

fn check_process(frame: &Frame) -> Result<(), Cause> {
    let kind = match frame.process {
        0..=2 if frame.precision != 8 => {
            format!("a JPEG of {} bits per sample; 8 are read", frame.precision)
        }
        0..=2 if frame.height == 0 => "a JPEG that tells its height after its data".to_owned(),
        0..=2 => return Ok(()),
        3 => "a lossless JPEG; baseline and progressive are read".to_owned(),
        9..=11 | 13..=15 => {
            "an arithmetic-coded JPEG; baseline and progressive Huffman coding are read".to_owned()
        }
        _ => "a hierarchical JPEG; baseline and progressive are read".to_owned(),
    };
    Err(Cause::new(CauseKind::Unsupported, kind))
}
