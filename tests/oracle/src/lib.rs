//! infeed's JPEG decoder beside libjpeg-turbo: the same pixels, and in what time.
//!
//! libjpeg-turbo is built from its source with its own SIMD code, which takes a C
//! compiler, cmake and nasm (`apt-get install cmake nasm`), so this is a package of its
//! own that the others do not need.
#![allow(clippy::unwrap_used)]

pub mod compare;
pub mod progressive;
pub mod synthetic;
pub mod turbo;

use infeed::decode::{Channels, Decode, Region, StandardDecoder};
use infeed::{Cause, Limits};

/// Decodes with infeed: pixels of `region` alone, `[row, column, channel]`.
pub fn decode(
    decoder: StandardDecoder,
    file: &[u8],
    channels: Channels,
    region: Option<Region>,
) -> Result<Vec<u8>, Cause> {
    decode_reduced(decoder, file, 1, channels, region)
}

/// The same of a picture whose sides come divided.
pub fn decode_reduced(
    decoder: StandardDecoder,
    file: &[u8],
    by: u32,
    channels: Channels,
    region: Option<Region>,
) -> Result<Vec<u8>, Cause> {
    // As many as any file here has.
    let limits = Limits { max_scans: 1_000, ..Limits::default() };
    let mut picture = decoder.open(file, &limits)?;
    if by > 1 {
        picture.reduce(by);
    }
    let size = picture.size();
    let count = channels.count();
    let whole = Region { left: 0, top: 0, width: size.width, height: size.height };
    let Region { left, top, width, height } = region.unwrap_or(whole);
    let mut memory = vec![0x5a; picture.rows_bytes(channels)];
    let mut pixels = Vec::new();
    let wanted = Region { left, top, width, height };
    picture.read_rows(channels, wanted, &mut memory, &mut |first, rows| {
        for (y, row) in (first..).zip(rows.chunks(count * size.width as usize)) {
            if (top..top + height).contains(&y) {
                let from = count * left as usize;
                pixels.extend_from_slice(&row[from..from + count * width as usize]);
            }
        }
    })?;
    Ok(pixels)
}

/// What of `pixels`, of a picture so wide, is in `region`.
pub fn part(pixels: &[u8], width: usize, count: usize, region: Region) -> Vec<u8> {
    let (left, top) = (region.left as usize, region.top as usize);
    let rows = pixels.chunks(width * count).skip(top).take(region.height as usize);
    rows.flat_map(|row| &row[left * count..(left + region.width as usize) * count])
        .copied()
        .collect()
}

/// Whether a file is a baseline one of one scan.
pub fn is_baseline(file: &[u8]) -> bool {
    let mut at = 2;
    let mut components = 0;
    while let Some(&[0xff, marker, high, low, first]) = file.get(at..).and_then(|f| f.first_chunk())
    {
        match marker {
            0xc0 | 0xc1 => components = file.get(at + 9).copied().unwrap_or(0),
            0xc2 => return false,
            0xda => return components == first,
            _ => {}
        }
        at += 2 + (usize::from(high) << 8 | usize::from(low));
    }
    false
}

/// A sequence of numbers that its seed decides (SplitMix64).
#[derive(Clone)]
pub struct Draws(pub u64);

impl Draws {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() >> 16) as usize % bound
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }

    /// Between the two, both included.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low + 1) as usize) as i32
    }

    /// A region of a picture of this size.
    pub fn region(&mut self, width: usize, height: usize) -> Region {
        let (left, top) = (self.below(width), self.below(height));
        Region {
            left: left as u32,
            top: top as u32,
            width: 1 + self.below(width - left) as u32,
            height: 1 + self.below(height - top) as u32,
        }
    }
}
