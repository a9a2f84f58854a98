//! JPEG (ITU-T T.81): baseline, extended sequential and progressive files by a decoder
//! made for loading, to libjpeg-turbo's pixels; what it does not take by a library. A *unit*
//! is what T.81 calls an MCU: a block or a few of each component, for the same pixels.
//!
//! ```text
//! markers.rs   the segments of a file: is it whole, how many scans
//! header.rs    what stands beside the image data, if it is taken here
//! bits.rs      the bits of a scan
//! block.rs     a block's coefficients: where each goes, times what
//! huffman.rs   bits -> coefficients of a block
//! cache.rs     tables of codes, kept between files
//! idct.rs      coefficients -> samples of a block
//! color.rs     samples -> upsampled -> pixels
//! kernel.rs    their loops for this machine: avx2.rs, neon.rs, or plain
//! plane.rs     a component's samples, and its lines
//! scans.rs     the scans of a sequential file
//! symbols.rs   codes as progressive files use them
//! progressive.rs   their scans
//! exact.rs     the picture, one row of units after the other
//! library.rs   zune-jpeg for the rest
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
mod library;
pub(super) mod markers;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plane;
mod progressive;
mod scans;
mod symbols;
#[cfg(test)]
mod tests;

use super::{Orientation, Picture, check_size};
use crate::config::{Limits, Size};
use crate::error::{Cause, CauseKind};

use exact::Exact;
use header::Header;
use library::Library;
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
    check_scans(&survey, frame, limits)?;
    if survey.scans == 0 || !survey.complete && !allow_truncated {
        return Err(headless(&survey));
    }
    if let Some(header) = Header::of(&encoded[..survey.usable_bytes]) {
        // Of several scans, which one ended early cannot be seen in the file.
        let all = survey.complete && survey.scans as usize == header.scans.len();
        let taken = match header.progressive {
            true => all && is_whole(&header, allow_truncated)?,
            false => all || header.scans.len() == 1,
        };
        if taken {
            return Ok(Box::new(Exact::new(header, survey.complete)));
        }
    }
    // zune-jpeg makes another picture of these without a word.
    let count = frame.components.len();
    if frame.process != 2 && usize::from(survey.first_scan_components) < count {
        let (kind, what) = match survey.complete {
            false => (CauseKind::Truncated, "that ends early, and cannot be read in part"),
            true if count > 3 => {
                (CauseKind::Unsupported, "that has four; progressive ones are read")
            }
            true => (CauseKind::Corrupt, "of which some is missing, repeated or no code"),
        };
        let message = format!("a sequential JPEG with scans for some of its components, {what}");
        return Err(Cause::new(kind, message));
    }
    Ok(Box::new(Library::open(encoded, &survey, frame, limits)?))
}

/// Whether the scans of a progressive file bring what a picture needs; an error if not, and
/// that is not allowed.
fn is_whole(header: &Header<'_>, allow_truncated: bool) -> Result<bool, Cause> {
    match progressive::is_whole(header)? {
        false if !allow_truncated => {
            let message = "a progressive JPEG of which some scans are missing";
            Err(Cause::new(CauseKind::Truncated, message))
        }
        whole => Ok(whole),
    }
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

fn check_scans(survey: &Survey, frame: &Frame, limits: &Limits) -> Result<(), Cause> {
    if survey.scans > limits.max_scans {
        let over = format!("{} scans, max_scans is {}", survey.scans, limits.max_scans);
        return Err(Cause::new(CauseKind::Limit, over));
    }
    // The decoder would stop at the second scan, with rows unwritten.
    let all_in_first = usize::from(survey.first_scan_components) == frame.components.len();
    if frame.process != 2 && all_in_first && survey.scans > 1 {
        let message = "a second scan follows one that should hold the whole picture";
        return Err(Cause::new(CauseKind::Corrupt, message));
    }
    Ok(())
}
