//! What can befall a file of any format: another name, more behind it, less of it,
//! other bits; and files that are none.

use infeed::CauseKind;
use infeed::CauseKind::{Corrupt, Limit, Truncated, Unsupported};

use super::{DAMAGED, Dice, Fate, Files, UNSUPPORTED};

pub(super) const ANY: &[CauseKind] = &[Corrupt, Truncated, Unsupported];
pub(super) const LIMIT_OR_CORRUPT: &[CauseKind] = &[Limit, Corrupt, Truncated];

/// Files that are whole, one of each kind.
const WHOLE: [&str; 15] = [
    "jpeg/sampling-3.jpg",
    "jpeg/progressive-3.jpg",
    "jpeg/ycck.jpg",
    "jpeg/restart-2.jpg",
    "jpeg/separate-3.jpg",
    "png/color-2-depth-8-37x23.png",
    "png/color-3-depth-4-37x23-interlaced.png",
    "gif/animated.gif",
    "tiff/deflate.tiff",
    "webp/31x17.webp",
    "webp/animated.webp",
    "webp/lossy.webp",
    "webp/lossy-alpha.webp",
    "bmp/24.bmp",
    "pnm/plain.ppm",
];

pub(super) fn add(files: &mut Files) {
    for name in WHOLE {
        let whole = files.0.iter().find(|file| file.name == name);
        let whole = whole.unwrap_or_else(|| panic!("{name}")).clone();
        let (folder, rest) = name.split_once('/').unwrap();
        let (stem, ending) = rest.rsplit_once('.').unwrap();
        let (fate, bytes) = (whole.fate, whole.bytes);
        // The content decides, whatever the name says.
        let other = if ending == "jpg" { "png" } else { "jpg" };
        files.add(format!("mixed/{folder}-{stem}-called.{other}"), fate.clone(), bytes.clone());
        for (what, tail) in
            [("zeros", vec![0; 1_000]), ("text", b"trailing".repeat(50)), ("itself", bytes.clone())]
        {
            let name = format!("mixed/{folder}-{stem}-and-{what}.{ending}");
            files.add(name, fate.clone(), [&bytes[..], &tail].concat());
        }
        for part in 1..12 {
            let cut = bytes.len() * part / 12;
            let name = format!("mixed/{folder}-{stem}-cut-{part:02}.{ending}");
            // What an animation, or a stream, has behind its first picture may go.
            let fate = match (part, ending) {
                (_, "jpg") => DAMAGED,
                _ => Fate::Open,
            };
            files.add(name, fate, bytes[..cut].to_vec());
        }
        let mut dice = Dice(bytes.len() as u32);
        for flip in 0..12 {
            let mut flipped = bytes.clone();
            for _ in 0..=flip / 4 {
                flipped[dice.below(bytes.len())] ^= 1 << dice.below(8);
            }
            files.add(
                format!("mixed/{folder}-{stem}-flip-{flip:02}.{ending}"),
                Fate::Open,
                flipped,
            );
        }
        // A hole of zeros, as a crash of a file system leaves it.
        let mut hole = bytes.clone();
        let (from, to) = (bytes.len() / 3, bytes.len() * 2 / 3);
        hole[from..to].fill(0);
        files.add(format!("mixed/{folder}-{stem}-hole.{ending}"), Fate::Open, hole);
    }
    nothing(files);
}

fn nothing(files: &mut Files) {
    files.add("mixed/empty.jpg", DAMAGED, Vec::new());
    for (name, bytes) in [
        ("text", b"not a picture at all".to_vec()),
        ("page", b"<!doctype html><title>404</title>".to_vec()),
        ("vector", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec()),
        ("document", b"%PDF-1.7\n".to_vec()),
        ("archive", b"PK\x03\x04\x14\0\0\0".to_vec()),
        ("zeros", vec![0; 5_000]),
        ("ones", vec![0xff; 5_000]),
        ("one-byte", vec![0xff]),
        ("avif", b"\0\0\0\x1cftypavif\0\0\0\0".to_vec()),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0".to_vec()),
        ("icon", b"\0\0\x01\0\x01\0\x10\x10\0\0".to_vec()),
        ("quite-ok", b"qoif\0\0\0\x01\0\0\0\x01\x03\0".to_vec()),
        ("radiance", b"#?RADIANCE\n".to_vec()),
    ] {
        let fate = if name == "ones" { Fate::Refused(ANY) } else { UNSUPPORTED };
        files.add(format!("mixed/{name}.jpg"), fate, bytes);
    }
}
