//! WebP: lossless pictures in simple and extended containers, animations, chunks that lie.

use image::ExtendedColorType;
use image::codecs::webp::WebPEncoder;

use super::jpeg::exif;
use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = [&kind[..], &(content.len() as u32).to_le_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

fn simple(width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
    let channels = u32::from(color.channel_count());
    let mut bytes = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut bytes);
    encoder.encode(&levels(width, height, channels), width, height, color).unwrap();
    bytes
}

/// The chunk of the pixels.
fn pixels(width: u32, height: u32) -> Vec<u8> {
    simple(width, height, ExtendedColorType::Rgb8)[12..].to_vec()
}

/// The extended header; `flags` tell what else there is.
fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let side = |side: u32| side.wrapping_sub(1).to_le_bytes();
    chunk(b"VP8X", &[&[flags, 0, 0, 0], &side(width)[..3], &side(height)[..3]].concat())
}

const ANIMATED: u8 = 2;
const EXIF: u8 = 8;
const PROFILE: u8 = 32;

fn frame(left: u32, top: u32, width: u32, height: u32) -> Vec<u8> {
    let half = |place: u32| (place / 2).to_le_bytes();
    let side = |side: u32| (side - 1).to_le_bytes();
    let head = [&half(left)[..3], &half(top)[..3], &side(width)[..3], &side(height)[..3]].concat();
    chunk(b"ANMF", &[head, vec![100, 0, 0, 0], pixels(width, height)].concat())
}

pub(super) fn add(files: &mut Files) {
    use ExtendedColorType::{L8, La8, Rgb8, Rgba8};
    for (width, height) in [(1, 1), (31, 17), (16_383, 1), (1, 16_383)] {
        let fate = Fate::Picture(width, height);
        files.add(format!("webp/{width}x{height}.webp"), fate, simple(width, height, Rgb8));
    }
    for (name, color) in [("grey", L8), ("grey-alpha", La8), ("rgba", Rgba8)] {
        let fate = Fate::Picture(31, 17);
        files.add(format!("webp/{name}.webp"), fate, simple(31, 17, color));
    }
    let picture = Fate::Picture(31, 17);
    for orientation in 1..=8 {
        let fate = if orientation < 5 { picture.clone() } else { Fate::Picture(17, 31) };
        let block = chunk(b"EXIF", &exif(orientation, true));
        let bytes = file(&[extended(EXIF, 31, 17), pixels(31, 17), block]);
        files.add(format!("webp/exif-{orientation}.webp"), fate, bytes);
    }
    let long = chunk(b"EXIF", &[exif(6, true), vec![0; 3_000_000]].concat());
    let bytes = file(&[extended(EXIF, 31, 17), pixels(31, 17), long]);
    files.add("webp/exif-long.webp", Fate::Open, bytes);
    for (name, bytes) in [("icc", 3_000), ("icc-long", 3_000_000)] {
        let profile = chunk(b"ICCP", &vec![5; bytes]);
        let bytes = file(&[extended(PROFILE, 31, 17), profile, pixels(31, 17)]);
        files.add(format!("webp/{name}.webp"), picture.clone(), bytes);
    }
    // A chunk of four gigabytes, of which three bytes are there.
    let mut claims = file(&[extended(EXIF, 31, 17), pixels(31, 17), chunk(b"EXIF", &[1; 4])]);
    let at = claims.len() - 8;
    claims[at..at + 4].fill(0xff);
    files.add("webp/exif-too-long.webp", picture.clone(), claims);
    let unknown = chunk(b"ODD ", &[1; 70_001]);
    let bytes = file(&[extended(0, 31, 17), unknown, pixels(31, 17)]);
    files.add("webp/unknown.webp", picture.clone(), bytes);
    let animation = chunk(b"ANIM", &[0; 6]);
    let start = [extended(ANIMATED, 31, 17), animation];
    let frames = [frame(0, 0, 31, 17), frame(4, 2, 8, 6)];
    let bytes = file(&[start.to_vec(), frames.to_vec()].concat());
    files.add("webp/animated.webp", picture.clone(), bytes);
    let bytes = file(&[start.to_vec(), vec![frame(4, 2, 8, 6); 3]].concat());
    files.add("webp/small-frame.webp", picture.clone(), bytes);
    let bytes = file(&[start.to_vec(), vec![frame(30, 16, 8, 6)]].concat());
    files.add("webp/frame-beyond.webp", DAMAGED, bytes);
    files.add("webp/no-frame.webp", DAMAGED, file(&start));
    lossy(files);
    lies(files);
}

/// Those of the fixtures, which the encoder here cannot make.
fn lossy(files: &mut Files) {
    let lossy = include_bytes!("../../fixtures/encoded/lossy.webp");
    files.add("webp/lossy.webp", Fate::Picture(67, 45), lossy.to_vec());
    let alpha = include_bytes!("../../fixtures/encoded/alpha.webp");
    files.add("webp/lossy-alpha.webp", Fate::Picture(67, 45), alpha.to_vec());
    // The length of its first part, 19 bits from the sixth on.
    let mut claims = lossy.to_vec();
    claims[20] |= 0xe0;
    claims[21..23].fill(0xff);
    files.add("webp/lossy-part-too-long.webp", DAMAGED, claims);
    // Its sides, 14 bits each.
    for (name, at, side) in [("wider", 26, 16_383), ("taller", 28, 16_383), ("flat", 28, 0)] {
        let mut other = lossy.to_vec();
        other[at..at + 2].copy_from_slice(&u16::to_le_bytes(side));
        files.add(format!("webp/lossy-{name}.webp"), DAMAGED, other);
    }
}

fn lies(files: &mut Files) {
    let plain = simple(31, 17, ExtendedColorType::Rgb8);
    files.add("webp/no-pixels.webp", DAMAGED, file(&[extended(0, 31, 17)]));
    files.add("webp/no-chunk.webp", DAMAGED, file(&[]));
    let other = file(&[extended(0, 40, 30), pixels(31, 17)]);
    files.add("webp/other-size.webp", DAMAGED, other);
    let huge = file(&[extended(0, 1 << 24, 1 << 24), pixels(31, 17)]);
    files.add("webp/huge.webp", Fate::Refused(super::mixed::LIMIT_OR_CORRUPT), huge);
    let wide =
        file(&[extended(ANIMATED, 16_384, 16_384), chunk(b"ANIM", &[0; 6]), frame(0, 0, 8, 6)]);
    files.add("webp/huge-animation.webp", OVER_A_LIMIT, wide);
    // The size in the lossless header itself: 14 bits each.
    let mut large = plain.clone();
    large[21..25].copy_from_slice(&[0xff, 0xff, 0xff, 0x0f]);
    files.add("webp/says-16384.webp", Fate::Refused(super::mixed::LIMIT_OR_CORRUPT), large);
    let mut long = plain.clone();
    long[16..20].copy_from_slice(&0x7fff_fffe_u32.to_le_bytes());
    files.add("webp/chunk-too-long.webp", Fate::Open, long);
    let mut kind = plain.clone();
    kind[12..16].copy_from_slice(b"VP8 ");
    files.add("webp/lossless-called-lossy.webp", DAMAGED, kind);
    files.add("webp/only-a-header.webp", DAMAGED, plain[..12].to_vec());
}
