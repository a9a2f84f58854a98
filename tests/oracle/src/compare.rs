//! Any bytes beside libjpeg-turbo: what that one takes without a word is the same picture
//! here, or refused; and no bytes end in a panic.

use infeed::decode::{Channels, Decode, StandardDecoder};
use infeed::{CauseKind, Limits};

use crate::turbo::Turbo;
use crate::{Draws, decode, decode_reduced, is_baseline, part};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same pixels.
    Alike,
    /// An error here, of what libjpeg-turbo takes.
    Refused,
    /// libjpeg-turbo warns of it.
    Warned,
    /// Not libjpeg-turbo's either.
    Passed,
}

/// Whether a unit is read twice by libjpeg-turbo: its fast loop takes two bytes of all ones
/// before a stuffed zero for a marker, and leaves what it made of the zeros behind it in the
/// coefficients of the careful loop, which reads one byte of all ones.
fn is_read_twice(file: &[u8]) -> bool {
    file.windows(3).any(|bytes| bytes == [0xff, 0xff, 0])
}

/// Decodes a file by both, as a whole, in a region and reduced; how its pixels differ. What
/// is drawn is drawn from what the file holds.
pub fn file(file: &[u8]) -> Result<Outcome, String> {
    let seed = file.iter().fold(0, |seed: u64, &byte| seed.wrapping_mul(31) ^ u64::from(byte));
    let (mut draws, strict) = (Draws(seed), StandardDecoder::default());
    // A few bytes may say that they are a large picture, which takes long.
    let small = Limits { max_pixels: 1 << 20, ..Limits::default() };
    if strict.open(file, &small).is_err_and(|cause| cause.kind() == CauseKind::Limit) {
        return Ok(Outcome::Passed);
    }
    // Never a panic; of any coefficients the pixels are not the same.
    drop(decode_reduced(strict, file, draws.of(&[2, 4, 8]), Channels::Rgb, None));
    drop(decode(strict.allow_truncated(true), file, Channels::Grey, None));
    let ours = decode(strict, file, Channels::Rgb, None);
    if is_read_twice(file) {
        return Ok(Outcome::Passed);
    }
    // A new one: an error leaves something behind.
    let Ok(theirs) = Turbo::decoder().decode(file) else { return Ok(Outcome::Passed) };
    match (ours, theirs.warning) {
        (Ok(pixels), None) => {
            if pixels.len() != theirs.pixels.len() {
                return Err(format!("{} levels and {}", pixels.len(), theirs.pixels.len()));
            }
            let mut levels = pixels.iter().zip(&theirs.pixels).enumerate();
            if let Some((at, (ours, other))) = levels.find(|(_, (ours, other))| ours != other) {
                let (row, column) = (at / 3 / theirs.width, at / 3 % theirs.width);
                return Err(format!("row {row}, column {column}: {ours} and {other}"));
            }
            let region = draws.region(theirs.width, theirs.height);
            let of = decode(strict, file, Channels::Rgb, Some(region));
            if of.ok() != Some(part(&theirs.pixels, theirs.width, 3, region)) {
                return Err(format!("other pixels in {region:?}"));
            }
            Ok(Outcome::Alike)
        }
        // A file without an end is nothing that libjpeg-turbo warns of, if the picture has one.
        (Err(cause), None)
            if cause.kind() == CauseKind::Truncated && !file.ends_with(&[0xff, 0xd9]) =>
        {
            Ok(Outcome::Passed)
        }
        (Err(_), None) => Ok(Outcome::Refused),
        (_, Some(_)) => Ok(Outcome::Warned),
    }
}

/// The same of a file that ends early, where that is allowed.
pub fn cut(file: &[u8]) -> Result<Outcome, String> {
    let lenient = StandardDecoder::default().allow_truncated(true);
    let (true, Ok(pixels)) = (is_baseline(file), decode(lenient, file, Channels::Rgb, None)) else {
        return Ok(Outcome::Passed);
    };
    // Some end before there is anything to show.
    match Turbo::decoder().decode(file) {
        Ok(theirs) if pixels != theirs.pixels => {
            Err(format!("other pixels of the first {} bytes", file.len()))
        }
        Ok(_) => Ok(Outcome::Alike),
        Err(_) => Ok(Outcome::Passed),
    }
}
