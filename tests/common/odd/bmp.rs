//! BMP: depths, masks, runs, rows from the top, headers of all ages.

use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

/// A bitmap of these rows, each padded to four bytes by the caller. `more` stands
/// between the header and the rows: masks, or a palette.
fn bmp(width: i32, height: i32, depth: u16, compression: u32, more: &[u8], rows: &[u8]) -> Vec<u8> {
    let start = 14 + 40 + more.len() as u32;
    let mut bytes = b"BM".to_vec();
    bytes.extend((start + rows.len() as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(start.to_le_bytes());
    bytes.extend(40_u32.to_le_bytes());
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(depth.to_le_bytes());
    bytes.extend(compression.to_le_bytes());
    bytes.extend((rows.len() as u32).to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(more);
    bytes.extend(rows);
    bytes
}

fn rows(width: usize, height: usize, bits: usize) -> Vec<u8> {
    let stride = (width * bits).div_ceil(32) * 4;
    let levels = levels(stride as u32, height as u32, 1);
    levels[..stride * height].to_vec()
}

fn palette(colors: u32) -> Vec<u8> {
    (0..colors).flat_map(|at| [at * 3, 255 - at, at * 7, 0].map(|level| level as u8)).collect()
}

pub(super) fn add(files: &mut Files) {
    let picture = Fate::Picture(31, 17);
    for (width, height) in [(1, 1), (65_535, 1), (1, 65_535)] {
        let pixels = rows(width as usize, height as usize, 24);
        let bytes = bmp(width, height, 24, 0, &[], &pixels);
        let fate = Fate::Picture(width as u32, height as u32);
        files.add(format!("bmp/{width}x{height}.bmp"), fate, bytes);
    }
    for (depth, colors) in [(1, 2), (4, 16), (8, 256), (16, 0), (24, 0), (32, 0)] {
        let rows = rows(31, 17, depth.into());
        let bytes = bmp(31, 17, depth, 0, &palette(colors), &rows);
        files.add(format!("bmp/{depth}.bmp"), picture.clone(), bytes);
        let bytes = bmp(31, -17, depth, 0, &palette(colors), &rows);
        files.add(format!("bmp/{depth}-from-the-top.bmp"), picture.clone(), bytes);
    }
    let mask =
        |masks: [u32; 3]| masks.iter().flat_map(|mask| mask.to_le_bytes()).collect::<Vec<_>>();
    let masks = mask([0xf800, 0x07e0, 0x001f]);
    let bytes = bmp(31, 17, 16, 3, &masks, &rows(31, 17, 16));
    files.add("bmp/masks-565.bmp", picture.clone(), bytes);
    let masks = mask([0xff, 0xff00, 0x00ff_0000]);
    let bytes = bmp(31, 17, 32, 3, &masks, &rows(31, 17, 32));
    files.add("bmp/masks-32.bmp", picture.clone(), bytes);
    let masks = mask([0, 0, 0]);
    let bytes = bmp(31, 17, 16, 3, &masks, &rows(31, 17, 16));
    files.add("bmp/masks-of-nothing.bmp", Fate::Open, bytes);
    let masks = mask([0xa5a5, 0x5a5a, 0xffff]);
    let bytes = bmp(31, 17, 16, 3, &masks, &rows(31, 17, 16));
    files.add("bmp/masks-with-gaps.bmp", Fate::Open, bytes);
    // Runs: a row of one colour each, then the end.
    let runs: Vec<u8> = (0..17_u8).flat_map(|row| [31, row * 9, 0, 0]).chain([0, 1]).collect();
    files.add("bmp/runs.bmp", picture.clone(), bmp(31, 17, 8, 1, &palette(256), &runs));
    let nibbles: Vec<u8> = (0..17_u8).flat_map(|row| [31, row * 15, 0, 0]).chain([0, 1]).collect();
    files.add(
        "bmp/runs-of-nibbles.bmp",
        picture.clone(),
        bmp(31, 17, 4, 2, &palette(16), &nibbles),
    );
    let jumps = [0, 2, 255, 255, 0, 2, 255, 255, 9, 9, 0, 1];
    files.add("bmp/runs-jump-out.bmp", Fate::Open, bmp(31, 17, 8, 1, &palette(256), &jumps));
    files.add("bmp/runs-end-early.bmp", Fate::Open, bmp(31, 17, 8, 1, &palette(256), &[5, 5]));
    let mut old = b"BM".to_vec();
    old.extend([0; 8]);
    old.extend(26_u32.to_le_bytes());
    old.extend(12_u32.to_le_bytes());
    old.extend([31, 0, 17, 0, 1, 0, 24, 0]);
    old.extend(rows(31, 17, 24));
    files.add("bmp/old-header.bmp", picture.clone(), old);
    let wide = bmp(65_535, 1, 8, 0, &palette(256), &rows(65_535, 1, 8));
    files.add("bmp/wide.bmp", Fate::Picture(65_535, 1), wide);
    lies(files);
}

fn lies(files: &mut Files) {
    let data = rows(31, 17, 24);
    let says = |width, height| bmp(width, height, 24, 0, &[], &data);
    files.add("bmp/says-taller.bmp", DAMAGED, says(31, 60));
    files.add("bmp/width-zero.bmp", Fate::Refused(super::mixed::ANY), says(0, 17));
    files.add("bmp/height-zero.bmp", Fate::Refused(super::mixed::ANY), says(31, 0));
    files.add("bmp/width-negative.bmp", DAMAGED, says(-31, 17));
    files.add("bmp/huge.bmp", OVER_A_LIMIT, says(60_000, 60_000));
    files.add(
        "bmp/height-least.bmp",
        Fate::Refused(super::mixed::LIMIT_OR_CORRUPT),
        says(31, i32::MIN),
    );
    files.add("bmp/depth-7.bmp", Fate::Refused(super::mixed::ANY), bmp(31, 17, 7, 0, &[], &data));
    files.add(
        "bmp/compression-9.bmp",
        Fate::Refused(super::mixed::ANY),
        bmp(31, 17, 24, 9, &[], &data),
    );
    files.add(
        "bmp/short-palette.bmp",
        Fate::Open,
        bmp(31, 17, 8, 0, &palette(3), &rows(31, 17, 8)),
    );
    let mut start = says(31, 17);
    start[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    files.add("bmp/data-beyond.bmp", DAMAGED, start);
    let large = bmp(5_000, 5_000, 8, 1, &palette(256), &[0, 1]);
    files.add("bmp/says-25-megapixels.bmp", Fate::Open, large);
    files.add("bmp/only-a-signature.bmp", DAMAGED, b"BM".to_vec());
}
