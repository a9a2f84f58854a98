//! Files that end early, hold too much, or contradict themselves: no panic, and
//! never a picture of which a part is missing without a word.

use std::fs;
use std::path::Path;

use super::{Channels, Decode, StandardDecoder};
use crate::config::Limits;
use crate::error::{Cause, CauseKind};

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoded");
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    assert!(files.len() > 30, "{} fixtures", files.len());
    files
}

fn fixture(name: &str) -> Vec<u8> {
    fixtures().into_iter().find(|(found, _)| found == name).expect(name).1
}

/// Decodes into a buffer that held something else.
fn decode(decoder: StandardDecoder, encoded: &[u8], dirt: u8) -> Result<Vec<u8>, Cause> {
    let picture = decoder.open(encoded, &Limits::default())?;
    let size = picture.size();
    let mut out = vec![dirt; 3 * size.width as usize * size.height as usize];
    picture.read(Channels::Rgb, &mut out)?;
    Ok(out)
}

fn strict(encoded: &[u8]) -> Result<Vec<u8>, Cause> {
    decode(StandardDecoder::default(), encoded, 17)
}

#[test]
fn a_file_cut_anywhere_is_whole_or_refused() {
    let mut kinds = std::collections::BTreeMap::<_, [usize; 4]>::new();
    for (name, encoded) in fixtures() {
        let whole = strict(&encoded).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        let counts = kinds.entry(name.clone()).or_default();
        for length in 0..encoded.len() {
            match strict(&encoded[..length]) {
                // Only what follows the pixels was cut off.
                Ok(pixels) => {
                    assert!(!name.ends_with(".jpg"), "{name} cut to {length} bytes decodes");
                    assert!(pixels == whole, "{name} cut to {length} bytes loses pixels");
                    counts[0] += 1;
                }
                Err(cause) => match cause.kind() {
                    CauseKind::Truncated => counts[1] += 1,
                    CauseKind::Corrupt => counts[2] += 1,
                    CauseKind::Unsupported if length < 12 => counts[3] += 1,
                    _ => panic!("{name} cut to {length} bytes: {cause}"),
                },
            }
        }
    }
    // Cuts are called by their name, but for the first few bytes.
    for (name, [_, truncated, corrupt, unsupported]) in &kinds {
        println!("{name:22} truncated {truncated:5}  corrupt {corrupt:5}  {unsupported}");
        assert!(*corrupt <= 8, "{name}");
        if name.ends_with(".jpg") {
            assert_eq!((*corrupt, *unsupported), (1, 1), "{name}");
            assert!(*truncated > 100, "{name}");
        }
    }
}

#[test]
fn cut_files_decode_as_far_as_they_go_when_allowed() {
    let lenient = StandardDecoder::default().allow_truncated(true);
    for name in ["420.jpg", "444.jpg", "restart.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg"] {
        let encoded = fixture(name);
        let whole = strict(&encoded).unwrap();
        assert_eq!(decode(lenient, &encoded, 3).unwrap(), whole, "{name}");
        let (mut decoded, mut began) = (0, None);
        for length in 0..encoded.len() {
            let cut = &encoded[..length];
            if let Ok(pixels) = decode(lenient, cut, 3) {
                // Nothing of the buffer's former content shows.
                assert_eq!(pixels, decode(lenient, cut, 200).unwrap(), "{name} cut to {length}");
                decoded += 1;
                began.get_or_insert(length);
            }
        }
        let began = began.unwrap();
        println!("{name}: {decoded} of {} cuts decode, from {began} on", encoded.len());
        assert!(decoded * 10 >= (encoded.len() - began) * 9, "{name}: {decoded} since {began}");
    }
}

#[test]
fn what_follows_the_end_of_the_image_does_not_matter() {
    for name in ["420.jpg", "progressive.jpg", "restart.jpg"] {
        let encoded = fixture(name);
        let whole = strict(&encoded).unwrap();
        for tail in [&b"\0"[..], b"trailing garbage", b"\xff", b"\xff\xd8\xff\xe0", &[0; 5000]] {
            let file = [&encoded[..], tail].concat();
            assert_eq!(strict(&file).unwrap(), whole, "{name} and {} bytes", tail.len());
        }
    }
}

#[test]
fn bytes_between_segments_are_passed_over() {
    let encoded = fixture("420.jpg");
    let whole = strict(&encoded).unwrap();
    let table = encoded.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
    for extra in [&b"\xff"[..], b"\xff\xff\xff", b"abcdefgh", b"\0\0\0\0\0\0"] {
        let file = [&encoded[..table], extra, &encoded[table..]].concat();
        assert_eq!(strict(&file).unwrap(), whole, "{extra:?}");
    }
}

#[test]
fn scans_are_counted_before_pixels_are_read() {
    let encoded = fixture("progressive.jpg");
    let open = |max_scans| {
        let limits = Limits { max_scans, ..Limits::default() };
        StandardDecoder::default().open(&encoded, &limits).map(|_| ())
    };
    let refused = open(2).unwrap_err();
    assert_eq!(refused.kind(), CauseKind::Limit);
    assert!(refused.message().ends_with("scans, max_scans is 2"), "{refused}");
    assert!(open(100).is_ok());
}

#[test]
fn other_kinds_of_jpeg_are_named() {
    let encoded = fixture("444.jpg");
    let frame = encoded.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let refused = |at: usize, value: u8| {
        let mut file = encoded.clone();
        file[frame + at] = value;
        strict(&file).unwrap_err()
    };
    for (at, value, word) in [
        (1, 0xc3, "lossless"),
        (1, 0xc9, "arithmetic"),
        (1, 0xca, "arithmetic"),
        (1, 0xc5, "hierarchical"),
        (4, 12, "12 bits"),
    ] {
        let cause = refused(at, value);
        assert_eq!(cause.kind(), CauseKind::Unsupported, "{cause}");
        assert!(cause.message().contains(word), "{cause}");
    }
    // A width of zero.
    let mut file = encoded.clone();
    file[frame + 7..frame + 9].fill(0);
    assert_eq!(strict(&file).unwrap_err().kind(), CauseKind::Corrupt);
}

#[test]
fn a_second_whole_scan_is_refused() {
    let encoded = fixture("444.jpg");
    let scan = encoded.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let body = &encoded[scan..encoded.len() - 2];
    let file = [&encoded[..scan], &body[..200], body, &[0xff, 0xd9]].concat();
    assert_eq!(strict(&file).unwrap_err().kind(), CauseKind::Corrupt);
}

/// Any byte may be anything: an error or a picture, no panic.
#[test]
fn flipped_bytes_do_not_panic() {
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 8) as usize % below
    };
    for (name, encoded) in fixtures() {
        for _ in 0..60 {
            let mut file = encoded.clone();
            for _ in 0..1 + random(4) {
                let at = random(file.len());
                file[at] = random(256) as u8;
            }
            let decoded = std::panic::catch_unwind(|| {
                let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
                for lenient in [false, true] {
                    let decoder = StandardDecoder::default().allow_truncated(lenient);
                    if let Ok(picture) = decoder.open(&file, &limits) {
                        let size = picture.size();
                        let mut out = vec![0; 3 * (size.width * size.height) as usize];
                        drop(picture.read(Channels::Rgb, &mut out));
                    }
                }
            });
            assert!(decoded.is_ok(), "{name}: a decoder panicked");
        }
    }
}
