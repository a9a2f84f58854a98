//! JPEG: every process, colour and marker, and headers that lie.

use infeed::CauseKind;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, UNSUPPORTED, levels};

/// An encoder's settings.
type Set<'a> = &'a dyn Fn(&mut Encoder<&mut Vec<u8>>);

fn jpeg(width: u16, height: u16, color: ColorType, set: Set<'_>) -> Vec<u8> {
    let channels = match color {
        ColorType::Luma => 1,
        ColorType::Cmyk | ColorType::CmykAsYcck => 4,
        _ => 3,
    };
    let pixels = levels(width.into(), height.into(), channels);
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, 92);
    set(&mut encoder);
    encoder.encode(&pixels, width, height, color).unwrap();
    encoded
}

fn rgb(width: u16, height: u16, set: Set<'_>) -> Vec<u8> {
    jpeg(width, height, ColorType::Rgb, set)
}

fn plain(width: u16, height: u16) -> Vec<u8> {
    rgb(width, height, &|_| {})
}

/// Where the first segment of this marker begins.
pub(super) fn marker(file: &[u8], marker: u8) -> usize {
    let found = file.windows(2).position(|pair| pair == [0xff, marker]);
    found.unwrap_or_else(|| panic!("a segment {marker:#x}"))
}

/// A file with these bytes before its first table.
fn with(file: &[u8], extra: &[u8]) -> Vec<u8> {
    let at = marker(file, 0xdb);
    [&file[..at], extra, &file[at..]].concat()
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len() as u16 + 2;
    [&[0xff, marker], &len.to_be_bytes()[..], content].concat()
}

/// EXIF with nothing but an orientation, in either byte order.
pub(super) fn exif(orientation: u16, little: bool) -> Vec<u8> {
    let number = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut block = if little { b"II".to_vec() } else { b"MM".to_vec() };
    block.extend(number(42));
    block.extend(long(8));
    block.extend(number(1));
    block.extend(number(0x112));
    block.extend(number(3));
    block.extend(long(1));
    block.extend(number(orientation));
    block.extend(number(0));
    block.extend(long(0));
    block
}

fn oriented(width: u16, height: u16, block: &[u8]) -> Vec<u8> {
    let content = [b"Exif\0\0", block].concat();
    let file = plain(width, height);
    [&file[..2], &segment(0xe1, &content), &file[2..]].concat()
}

/// The file with so many bytes of its frame header, from `at` behind the marker on,
/// set to others.
fn framed(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let frame = (0xc0..=0xc2)
        .find_map(|kind| file.windows(3).position(|three| three == [0xff, kind, 0x00]));
    let from = frame.unwrap() + at;
    file[from..from + bytes.len()].copy_from_slice(bytes);
    file
}

pub(super) fn add(files: &mut Files) {
    good(files);
    processes(files);
    metadata(files);
    lies(files);
    bombs(files);
}

fn good(files: &mut Files) {
    use SamplingFactor::{F_1_1, F_1_2, F_1_4, F_2_1, F_2_2, F_4_1, R_4_2_0};
    for (width, height) in [(1, 1), (1, 64), (64, 1), (7, 9), (8, 8), (17, 33), (65_535, 1)] {
        let name = format!("jpeg/{width}x{height}.jpg");
        files.add(name, Fate::Picture(width.into(), height.into()), plain(width, height));
    }
    for (at, factor) in [F_1_1, F_2_1, F_1_2, F_2_2, F_4_1, F_1_4, R_4_2_0].into_iter().enumerate()
    {
        let file = rgb(61, 47, &|encoder| encoder.set_sampling_factor(factor));
        files.add(format!("jpeg/sampling-{at}.jpg"), Fate::Picture(61, 47), file);
        // This encoder gives each component a scan of its own then, and where a side is
        // shared by four.
        let file = rgb(61, 47, &|encoder| {
            encoder.set_sampling_factor(factor);
            encoder.set_optimized_huffman_tables(true);
        });
        files.add(format!("jpeg/separate-{at}.jpg"), Fate::Picture(61, 47), file);
        let file = rgb(61, 47, &|encoder| {
            encoder.set_sampling_factor(factor);
            encoder.set_restart_interval(3);
        });
        files.add(format!("jpeg/restarted-{at}.jpg"), Fate::Picture(61, 47), file);
        let file = rgb(61, 47, &|encoder| {
            encoder.set_sampling_factor(factor);
            encoder.set_progressive(true);
        });
        files.add(format!("jpeg/progressive-{at}.jpg"), Fate::Picture(61, 47), file);
    }
    for interval in [1, 2, 7, 1000] {
        let file = rgb(61, 47, &|encoder| encoder.set_restart_interval(interval));
        files.add(format!("jpeg/restart-{interval}.jpg"), Fate::Picture(61, 47), file);
        let file = rgb(61, 47, &|encoder| {
            encoder.set_restart_interval(interval);
            encoder.set_progressive(true);
        });
        files.add(format!("jpeg/progressive-restart-{interval}.jpg"), Fate::Picture(61, 47), file);
    }
    // Of which the coefficients are no small matter.
    let large = rgb(1000, 800, &|encoder| encoder.set_progressive(true));
    files.add("jpeg/progressive-large.jpg", Fate::Picture(1000, 800), large);
    for scans in [3, 10, 30] {
        let file = rgb(40, 30, &|encoder| encoder.set_progressive_scans(scans));
        files.add(format!("jpeg/scans-{scans}.jpg"), Fate::Picture(40, 30), file);
    }
    let optimised = rgb(61, 47, &|encoder| encoder.set_optimized_huffman_tables(true));
    files.add("jpeg/optimised.jpg", Fate::Picture(61, 47), optimised);
    for (name, color) in
        [("grey", ColorType::Luma), ("cmyk", ColorType::Cmyk), ("ycck", ColorType::CmykAsYcck)]
    {
        let file = jpeg(61, 47, color, &|_| {});
        files.add(format!("jpeg/{name}.jpg"), Fate::Picture(61, 47), file);
        let file = jpeg(61, 47, color, &|encoder| encoder.set_progressive(true));
        files.add(format!("jpeg/progressive-{name}.jpg"), Fate::Picture(61, 47), file);
    }
}

/// Processes of T.81 that are told apart by the frame's marker alone.
fn processes(files: &mut Files) {
    let file = plain(24, 16);
    for (name, kind) in [
        ("lossless", 0xc3),
        ("hierarchical", 0xc5),
        ("hierarchical-progressive", 0xc6),
        ("arithmetic", 0xc9),
        ("arithmetic-progressive", 0xca),
        ("arithmetic-lossless", 0xcb),
    ] {
        files.add(format!("jpeg/{name}.jpg"), UNSUPPORTED, framed(&file, 1, &[kind]));
    }
    files.add("jpeg/12-bit.jpg", UNSUPPORTED, framed(&file, 4, &[12]));
    files.add("jpeg/height-behind-the-data.jpg", UNSUPPORTED, framed(&file, 5, &[0, 0]));
    files.add("jpeg/width-zero.jpg", DAMAGED, framed(&file, 7, &[0, 0]));
}

fn metadata(files: &mut Files) {
    for orientation in 0..=9 {
        for little in [true, false] {
            let turned = (5..=8).contains(&orientation);
            let fate = if turned { Fate::Picture(19, 29) } else { Fate::Picture(29, 19) };
            let order = if little { "ii" } else { "mm" };
            let name = format!("jpeg/exif-{orientation}-{order}.jpg");
            files.add(name, fate, oriented(29, 19, &exif(orientation, little)));
        }
    }
    let upright = Fate::Picture(29, 19);
    for cut in [0, 3, 8, 10, 15] {
        let block = &exif(1, true)[..cut];
        files.add(format!("jpeg/exif-cut-{cut}.jpg"), upright.clone(), oriented(29, 19, block));
    }
    let mut circular = exif(1, true);
    let next = circular.len() - 4;
    circular[next..].copy_from_slice(&8_u32.to_le_bytes());
    files.add("jpeg/exif-circular.jpg", upright.clone(), oriented(29, 19, &circular));
    let profile = rgb(29, 19, &|encoder| encoder.add_icc_profile(&[7; 200_000]).unwrap());
    files.add("jpeg/icc.jpg", upright.clone(), profile);
    let large = rgb(29, 19, &|encoder| {
        encoder.set_progressive(true);
        encoder.add_icc_profile(&vec![7; 4_000_000]).unwrap();
    });
    files.add("jpeg/progressive-icc.jpg", upright.clone(), large);
    let file = plain(29, 19);
    let comment = segment(0xfe, &[b' '; 65_533]);
    files.add("jpeg/comment.jpg", upright.clone(), with(&file, &comment));
    let many: Vec<u8> = (0..5_000).flat_map(|_| segment(0xef, b"nothing")).collect();
    files.add("jpeg/many-segments.jpg", upright.clone(), with(&file, &many));
    files.add("jpeg/filled.jpg", upright.clone(), with(&file, &[0xff; 3_000]));
    for (name, transform) in [("rgb", 0), ("ycc", 1), ("unknown", 9)] {
        let marker = [&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat();
        let fate = if transform == 9 { Fate::Open } else { upright.clone() };
        files.add(format!("jpeg/adobe-{name}.jpg"), fate, with(&file, &segment(0xee, &marker)));
    }
    files.add("jpeg/adobe-short.jpg", upright, with(&file, &segment(0xee, b"Adobe")));
}

fn lies(files: &mut Files) {
    let file = plain(40, 24);
    // A header that says more, or less, than the data hold.
    files.add("jpeg/says-taller.jpg", DAMAGED, framed(&file, 5, &[0, 200]));
    files.add("jpeg/says-wider.jpg", DAMAGED, framed(&file, 7, &[0, 200]));
    files.add("jpeg/says-shorter.jpg", Fate::Open, framed(&file, 5, &[0, 8]));
    for components in [0, 2, 5, 255] {
        let name = format!("jpeg/components-{components}.jpg");
        let kinds = &[CauseKind::Corrupt, CauseKind::Unsupported];
        files.add(name, Fate::Refused(kinds), framed(&file, 9, &[components]));
    }
    files.add("jpeg/sampling-zero.jpg", DAMAGED, framed(&file, 11, &[0]));
    files.add("jpeg/sampling-five.jpg", DAMAGED, framed(&file, 11, &[0x55]));
    files.add("jpeg/no-such-table.jpg", DAMAGED, framed(&file, 12, &[3]));
    let mut second = file.clone();
    let frame = marker(&file, 0xc0);
    let len = usize::from(u16::from_be_bytes([file[frame + 2], file[frame + 3]]));
    second.splice(frame..frame, file[frame..frame + 2 + len].to_vec());
    files.add("jpeg/two-frames.jpg", Fate::Open, second);
    let scan = marker(&file, 0xda);
    files.add("jpeg/no-scan.jpg", DAMAGED, [&file[..scan], &[0xff, 0xd9]].concat());
    files.add("jpeg/no-frame.jpg", DAMAGED, [&file[..frame], &file[frame + 2 + len..]].concat());
    for (name, kind) in [("quantisers", 0xdb), ("codes", 0xc4)] {
        let at = marker(&file, kind);
        let mut short = file.clone();
        short[at + 2..at + 4].copy_from_slice(&2_u16.to_be_bytes());
        files.add(format!("jpeg/no-{name}.jpg"), Fate::Open, short.clone());
        short[at + 2..at + 4].copy_from_slice(&0_u16.to_be_bytes());
        // Without codes it has the usual ones, which are these.
        let fate = if name == "codes" { Fate::Open } else { DAMAGED };
        files.add(format!("jpeg/{name}-of-no-length.jpg"), fate, short.clone());
        short[at + 2..at + 4].copy_from_slice(&u16::MAX.to_be_bytes());
        files.add(format!("jpeg/{name}-too-long.jpg"), DAMAGED, short);
    }
    // More codes of a length than there are.
    let mut crowded = file.clone();
    let at = marker(&file, 0xc4) + 5;
    crowded[at..at + 16].fill(255);
    files.add("jpeg/crowded-codes.jpg", DAMAGED, crowded);
    files.add("jpeg/only-a-start.jpg", DAMAGED, vec![0xff, 0xd8]);
    files.add("jpeg/start-and-end.jpg", DAMAGED, vec![0xff, 0xd8, 0xff, 0xd9]);
    let ones: Vec<u8> = (0..400).flat_map(|_| [0xff, 0x00]).collect();
    let body = &file[..scan + 14];
    files.add("jpeg/data-of-ones.jpg", DAMAGED, [body, &ones, &[0xff, 0xd9]].concat());
    files.add("jpeg/data-of-zeros.jpg", Fate::Open, [body, &[0; 4_000], &[0xff, 0xd9]].concat());
}

fn bombs(files: &mut Files) {
    let file = plain(24, 16);
    files.add("jpeg/huge.jpg", OVER_A_LIMIT, framed(&file, 5, &[0xff, 0xff, 0xff, 0xff]));
    let wide = framed(&file, 5, &[0, 1, 0xff, 0xff]);
    // 65,535 pixels are no more than may be, and far more than there are.
    files.add("jpeg/says-65535-wide.jpg", DAMAGED, wide);
    let progressive = rgb(24, 16, &|encoder| encoder.set_progressive(true));
    let kind = Fate::Refused(&[CauseKind::Limit, CauseKind::Corrupt]);
    files.add("jpeg/huge-progressive.jpg", kind, framed(&progressive, 5, &[0xff; 4]));
    // The last scan, thousands of times: each goes over the whole picture.
    let last = progressive.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (before, scan) = (&progressive[..last], &progressive[last..progressive.len() - 2]);
    let scans: Vec<u8> = (0..5_000).flat_map(|_| scan.to_vec()).collect();
    files.add("jpeg/many-scans.jpg", OVER_A_LIMIT, [before, &scans, &[0xff, 0xd9]].concat());
}
