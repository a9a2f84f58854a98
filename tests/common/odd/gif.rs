//! GIF: frames smaller than the screen or beyond it, animations, tables that are not
//! there.

use super::bits::Bits;
use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

/// The screen, with a table of 256 colours.
fn screen(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend([0xf7, 0, 0]);
    bytes.extend((0..=255_u8).flat_map(|level| [level, 255 - level, level ^ 0x55]));
    bytes
}

/// A frame at this place, its pixels as codes of nine bits that are never shortened.
fn frame(left: u16, top: u16, width: u16, height: u16, interlaced: bool, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b','];
    for number in [left, top, width, height] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([if interlaced { 0x40 } else { 0 }, 8]);
    blocks(&mut bytes, &codes(pixels));
    bytes
}

/// LZW with a clear before the codes would grow beyond nine bits.
fn codes(pixels: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    for (at, &pixel) in pixels.iter().enumerate() {
        if at % 250 == 0 {
            bits.push(256, 9);
        }
        bits.push(pixel.into(), 9);
    }
    bits.push(257, 9);
    bits.done()
}

fn blocks(bytes: &mut Vec<u8>, data: &[u8]) {
    for block in data.chunks(255) {
        bytes.push(block.len() as u8);
        bytes.extend(block);
    }
    bytes.push(0);
}

fn gif(screen: Vec<u8>, parts: &[Vec<u8>]) -> Vec<u8> {
    [screen, parts.concat(), vec![b';']].concat()
}

/// How a frame is shown: `flags` has the way of disposal and whether `transparent` is.
fn control(flags: u8, transparent: u8) -> Vec<u8> {
    vec![b'!', 0xf9, 4, flags, 10, 0, transparent, 0]
}

pub(super) fn add(files: &mut Files) {
    let picture = |width: u16, height: u16| Fate::Picture(width.into(), height.into());
    for (width, height) in [(1, 1), (31, 17), (65_535, 1), (1, 65_535)] {
        let pixels = levels(width.into(), height.into(), 1);
        let file = gif(screen(width, height), &[frame(0, 0, width, height, false, &pixels)]);
        files.add(format!("gif/{width}x{height}.gif"), picture(width, height), file);
    }
    let (whole, pixels) = (|| screen(31, 17), levels(31, 17, 1));
    let all = frame(0, 0, 31, 17, false, &pixels);
    // Rows 0, 8, 16, then 4, 12, then every second, then the rest.
    let order = (0..17).step_by(8).chain((4..17).step_by(8)).chain((2..17).step_by(4));
    let order = order.chain((1..17).step_by(2));
    let rows: Vec<u8> = order.flat_map(|row: usize| pixels[row * 31..][..31].to_vec()).collect();
    let interlaced = frame(0, 0, 31, 17, true, &rows);
    files.add("gif/interlaced.gif", picture(31, 17), gif(whole(), &[interlaced]));
    let small = frame(5, 3, 8, 6, false, &levels(8, 6, 1));
    files.add("gif/small-frame.gif", picture(31, 17), gif(whole(), std::slice::from_ref(&small)));
    let mut other = whole();
    other[11] = 200;
    files.add(
        "gif/other-background.gif",
        picture(31, 17),
        gif(other, std::slice::from_ref(&small)),
    );
    let beyond = frame(28, 15, 8, 6, false, &levels(8, 6, 1));
    files.add("gif/frame-beyond.gif", Fate::Open, gif(whole(), &[beyond]));
    let animated = [control(4, 0), all.clone(), control(9, 3), small.clone(), small.clone()];
    files.add("gif/animated.gif", picture(31, 17), gif(whole(), &animated));
    let many = vec![all.clone(); 2_000];
    files.add("gif/many-frames.gif", picture(31, 17), gif(whole(), &many));
    let transparent = [control(1, pixels[0]), all.clone()];
    files.add("gif/transparent.gif", Fate::Open, gif(whole(), &transparent));
    let mut comment = vec![b'!', 0xfe];
    blocks(&mut comment, &[b'x'; 100_000]);
    files.add("gif/comment.gif", picture(31, 17), gif(whole(), &[comment, all.clone()]));
    files.add("gif/no-frame.gif", DAMAGED, gif(whole(), &[]));
    files.add("gif/empty-frame.gif", DAMAGED, gif(whole(), &[frame(0, 0, 0, 0, false, &[])]));
    let short = frame(0, 0, 31, 17, false, &pixels[..100]);
    files.add("gif/frame-too-short.gif", DAMAGED, gif(whole(), &[short]));
    let long = frame(0, 0, 31, 17, false, &levels(1_000, 1_000, 1));
    files.add("gif/frame-too-long.gif", Fate::Open, gif(whole(), &[long]));
    let mut no_table = screen(31, 17);
    no_table[10] = 0x70;
    no_table.truncate(13);
    files.add("gif/no-colours.gif", DAMAGED, gif(no_table, std::slice::from_ref(&all)));
    let mut bad_code = all.clone();
    bad_code[10] = 13;
    files.add("gif/code-size.gif", DAMAGED, gif(whole(), &[bad_code]));
    files.add("gif/empty-screen.gif", DAMAGED, gif(screen(0, 0), std::slice::from_ref(&all)));
    files.add("gif/no-end.gif", Fate::Open, [whole(), all.clone()].concat());
    let huge = gif(screen(65_535, 65_535), std::slice::from_ref(&all));
    files.add("gif/huge.gif", OVER_A_LIMIT, huge);
    // A small frame on a screen that is as large as may be.
    files.add("gif/large-screen.gif", picture(6_000, 6_000), gif(screen(6_000, 6_000), &[small]));
    let huge_frame = frame(0, 0, 65_535, 65_535, false, &pixels);
    files.add(
        "gif/huge-frame.gif",
        Fate::Refused(super::mixed::LIMIT_OR_CORRUPT),
        gif(whole(), &[huge_frame]),
    );
    files.add("gif/only-a-signature.gif", DAMAGED, b"GIF89a".to_vec());
}
