//! PNG: every colour type and depth, plain and interlaced, chunks that lie, and streams
//! that decompress to more than anybody wants.

use super::bits::{crc32, zlib, zlib_of_zeros};
use super::jpeg::exif;
use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u32).to_be_bytes();
    let crc = crc32(&[kind, content]).to_be_bytes();
    [&len, &kind[..], content, &crc].concat()
}

/// A header: `color` is 0 grey, 2 RGB, 3 a palette, 4 grey and alpha, 6 RGB and alpha.
fn header(width: u32, height: u32, depth: u8, color: u8, interlaced: bool) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    chunk(b"IHDR", &[&width[..], &height, &[depth, color, 0, 0, interlaced.into()]].concat())
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE, &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

/// Samples of a pixel.
fn channels(color: u8) -> u32 {
    match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    }
}

/// Lines of these pixels, each behind a filter type of 0.
fn lines(xs: &[u32], ys: &[u32], width: u32, depth: u8, color: u8, all: &[u8]) -> Vec<u8> {
    let samples = channels(color);
    let mut lines = Vec::new();
    for &y in ys.iter().filter(|_| !xs.is_empty()) {
        lines.push(0);
        let (mut byte, mut filled) = (0_u8, 0);
        for &x in xs {
            for sample in 0..samples {
                let level = all[((y * width + x) * samples + sample) as usize];
                match depth {
                    16 => lines.extend([level, level ^ 0x5a]),
                    8 => lines.push(level),
                    _ => {
                        byte |= (level >> (8 - depth)) << (8 - depth - filled);
                        filled += depth;
                        if filled == 8 {
                            lines.push(byte);
                            (byte, filled) = (0, 0);
                        }
                    }
                }
            }
        }
        if filled > 0 {
            lines.push(byte);
        }
    }
    lines
}

fn image(width: u32, height: u32, depth: u8, color: u8, interlaced: bool) -> Vec<u8> {
    let all = levels(width, height, channels(color));
    let every = |start: u32, step: usize, end: u32| (start..end).step_by(step).collect::<Vec<_>>();
    let passes: &[(u32, usize, u32, usize)] = match interlaced {
        false => &[(0, 1, 0, 1)],
        true => &[
            (0, 8, 0, 8),
            (4, 8, 0, 8),
            (0, 4, 4, 8),
            (2, 4, 0, 4),
            (0, 2, 2, 4),
            (1, 2, 0, 2),
            (0, 1, 1, 2),
        ],
    };
    let pass = |&(x, across, y, down): &(u32, usize, u32, usize)| {
        lines(&every(x, across, width), &every(y, down, height), width, depth, color, &all)
    };
    passes.iter().flat_map(pass).collect()
}

fn palette(colors: u32) -> Vec<u8> {
    let color = |number: u32| [number * 37, 255 - number, number * 91].map(|level| level as u8);
    chunk(b"PLTE", &(0..colors).flat_map(color).collect::<Vec<_>>())
}

fn png(width: u32, height: u32, depth: u8, color: u8, interlaced: bool) -> Vec<u8> {
    let mut chunks = vec![header(width, height, depth, color, interlaced)];
    if color == 3 {
        chunks.push(palette(1 << depth));
    }
    chunks.push(chunk(b"IDAT", &zlib(&image(width, height, depth, color, interlaced))));
    file(&chunks)
}

const KINDS: [(u8, &[u8]); 5] =
    [(0, &[1, 2, 4, 8, 16]), (2, &[8, 16]), (3, &[1, 2, 4, 8]), (4, &[8, 16]), (6, &[8, 16])];

pub(super) fn add(files: &mut Files) {
    for (color, depths) in KINDS {
        for &depth in depths {
            for interlaced in [false, true] {
                let way = if interlaced { "-interlaced" } else { "" };
                for (width, height) in [(37, 23), (1, 1), (3, 1)] {
                    let name = format!("png/color-{color}-depth-{depth}-{width}x{height}{way}.png");
                    let bytes = png(width, height, depth, color, interlaced);
                    files.add(name, Fate::Picture(width, height), bytes);
                }
            }
        }
    }
    files.add("png/wide.png", Fate::Picture(65_535, 1), png(65_535, 1, 8, 0, false));
    files.add("png/high.png", Fate::Picture(1, 65_535), png(1, 65_535, 1, 0, false));
    chunks(files);
    lies(files);
    bombs(files);
}

/// A grey picture of 8 bits with these chunks before its data.
fn with(extra: &[Vec<u8>]) -> Vec<u8> {
    let (head, data) = (header(29, 19, 8, 0, false), image(29, 19, 8, 0, false));
    file(&[vec![head], extra.to_vec(), vec![chunk(b"IDAT", &zlib(&data))]].concat())
}

fn chunks(files: &mut Files) {
    let upright = Fate::Picture(29, 19);
    for orientation in [1, 3, 6, 8, 9] {
        let fate =
            if (5..=8).contains(&orientation) { Fate::Picture(19, 29) } else { upright.clone() };
        let bytes = with(&[chunk(b"eXIf", &exif(orientation, false))]);
        files.add(format!("png/exif-{orientation}.png"), fate, bytes);
    }
    let long = [exif(6, true), vec![0; 3_000_000]].concat();
    files.add("png/exif-long.png", Fate::Open, with(&[chunk(b"eXIf", &long)]));
    let profile = [&b"profile\0\0"[..], &zlib(&[0; 3_000])].concat();
    files.add("png/icc.png", upright.clone(), with(&[chunk(b"iCCP", &profile)]));
    let transparent = chunk(b"tRNS", &[0, 40]);
    files.add("png/transparent.png", upright.clone(), with(&[transparent]));
    files.add("png/gamma.png", upright.clone(), with(&[chunk(b"gAMA", &[0, 0, 0xb1, 0x8f])]));
    files.add("png/unknown.png", upright.clone(), with(&[chunk(b"odDd", &[1; 70_000])]));
    files.add("png/many-chunks.png", upright.clone(), with(&vec![chunk(b"tEXt", b"a\0b"); 9_000]));
    files.add("png/critical-unknown.png", Fate::Open, with(&[chunk(b"ODdD", b"?")]));
    // An animation's first frame is the picture.
    let animated = [chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), frame(0), idat(), frame(1), fdat()];
    let bytes = file(&[vec![header(29, 19, 8, 0, false)], animated.to_vec()].concat());
    files.add("png/animated.png", upright.clone(), bytes);
    // Data in a thousand pieces.
    let data = zlib(&image(29, 19, 8, 0, false));
    let pieces = data.chunks(1).map(|piece| chunk(b"IDAT", piece));
    let bytes = file(&[vec![header(29, 19, 8, 0, false)], pieces.collect()].concat());
    files.add("png/pieces.png", upright, bytes);
}

fn idat() -> Vec<u8> {
    chunk(b"IDAT", &zlib(&image(29, 19, 8, 0, false)))
}

fn frame(number: u32) -> Vec<u8> {
    // Its sequence number, size, place, delay and way of disposal.
    let numbers = [if number == 0 { 0 } else { 1 }, 29, 19, 0, 0];
    let mut content: Vec<u8> = numbers.iter().flat_map(|value: &u32| value.to_be_bytes()).collect();
    content.extend([0, 1, 0, 10, 0, 0]);
    chunk(b"fcTL", &content)
}

fn fdat() -> Vec<u8> {
    chunk(b"fdAT", &[&[0, 0, 0, 2], &zlib(&[0; 30 * 19])[..]].concat())
}

fn lies(files: &mut Files) {
    let data = zlib(&image(29, 19, 8, 0, false));
    let of = |head: Vec<u8>| file(&[head, chunk(b"IDAT", &data)]);
    files.add("png/says-taller.png", DAMAGED, of(header(29, 40, 8, 0, false)));
    files.add("png/says-shorter.png", Fate::Open, of(header(29, 10, 8, 0, false)));
    files.add("png/no-width.png", DAMAGED, of(header(0, 19, 8, 0, false)));
    files.add("png/no-height.png", DAMAGED, of(header(29, 0, 8, 0, false)));
    for (color, depth) in [(0, 3), (2, 4), (3, 16), (5, 8), (7, 8), (6, 1)] {
        let name = format!("png/no-such-{color}-{depth}.png");
        files.add(name, DAMAGED, of(header(29, 19, depth, color, false)));
    }
    files.add("png/no-palette.png", DAMAGED, of(header(29, 19, 8, 3, false)));
    let short = [header(29, 19, 8, 3, false), palette(2), chunk(b"IDAT", &data)];
    files.add("png/palette-too-short.png", Fate::Open, file(&short));
    files.add("png/no-data.png", DAMAGED, file(&[header(29, 19, 8, 0, false)]));
    files.add("png/no-header.png", DAMAGED, file(&[chunk(b"IDAT", &data)]));
    files.add("png/no-end.png", Fate::Open, {
        let whole = of(header(29, 19, 8, 0, false));
        whole[..whole.len() - 12].to_vec()
    });
    let whole = of(header(29, 19, 8, 0, false));
    for (name, at) in [("header", 17), ("data", 60)] {
        let mut file = whole.clone();
        file[at] ^= 0x10;
        files.add(format!("png/checksum-of-{name}.png"), DAMAGED, file);
    }
    let mut long = whole;
    long[33..37].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    files.add("png/chunk-too-long.png", DAMAGED, long);
    files.add("png/only-a-signature.png", DAMAGED, SIGNATURE.to_vec());
}

fn bombs(files: &mut Files) {
    let zeros = |width: u32, height: u32, color: u8, bytes: usize| {
        file(&[header(width, height, 8, color, false), chunk(b"IDAT", &zlib_of_zeros(bytes))])
    };
    files.add("png/huge.png", OVER_A_LIMIT, zeros(0x7fff_ffff, 0x7fff_ffff, 6, 1_000));
    files.add("png/gigapixel.png", OVER_A_LIMIT, zeros(32_000, 32_000, 2, 1_000));
    // Far more data than the picture has use for.
    files.add("png/too-much-data.png", Fate::Open, zeros(29, 19, 0, 200_000_000));
    // 24 megapixels of nothing in 24 kB, which is a picture.
    let side = 4_900;
    files.add("png/nothing.png", Fate::Picture(side, side), {
        zeros(side, side, 0, side as usize * (side as usize + 1))
    });
    for kind in [b"zTXt", b"iCCP"] {
        let content = [&b"x\0\0"[..], &zlib_of_zeros(100_000_000)].concat();
        let name = format!("png/bomb-{}.png", String::from_utf8_lossy(kind));
        files.add(name, Fate::Picture(29, 19), with(&[chunk(kind, &content)]));
    }
    let content = [&b"x\0\x01\0\0\0"[..], &zlib_of_zeros(100_000_000)].concat();
    files.add("png/bomb-iTXt.png", Fate::Picture(29, 19), with(&[chunk(b"iTXt", &content)]));
}
