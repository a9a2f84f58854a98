//! The same pixels as libjpeg-turbo, to the bit.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::PathBuf;

use infeed::CauseKind;
use infeed::decode::{Channels, StandardDecoder};
use infeed_oracle::compare::{self, Outcome};
use infeed_oracle::synthetic::{self, Kind};
use infeed_oracle::turbo::{Encoding, SAMPLINGS, Turbo};
use infeed_oracle::{Draws, decode, decode_reduced, is_baseline, part, progressive};

const GREY: i32 = 3;

/// Fails if infeed decodes `file` otherwise, as a whole or in a few regions.
fn same(name: &str, file: &[u8], regions: usize, turbo: &mut Turbo, draws: &mut Draws) {
    same_reduced(name, file, 1, regions, turbo, draws);
}

/// The same of a picture whose sides come divided.
fn same_reduced(
    name: &str,
    file: &[u8],
    by: u32,
    regions: usize,
    turbo: &mut Turbo,
    draws: &mut Draws,
) {
    turbo.reduce(by);
    let expected = turbo.decode(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(expected.warning, None, "{name}");
    let strict = StandardDecoder::default();
    let pixels = decode_reduced(strict, file, by, Channels::Rgb, None)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    if pixels != expected.pixels {
        let at = pixels.iter().zip(&expected.pixels).position(|(a, b)| a != b).unwrap();
        let (width, place) = (expected.width, at / 3);
        panic!("{name}, 1/{by}: row {}, column {}", place / width, place % width);
    }
    for _ in 0..regions {
        let region = draws.region(expected.width, expected.height);
        let pixels = decode_reduced(strict, file, by, Channels::Rgb, Some(region)).unwrap();
        let expected = part(&expected.pixels, expected.width, 3, region);
        assert!(pixels == expected, "{name}, 1/{by}: {region:?}");
    }
}

#[test]
fn photographs() {
    let Some(folder) = std::env::var_os("INFEED_GOLDEN_IMAGES").map(PathBuf::from) else {
        eprintln!("SKIPPED: INFEED_GOLDEN_IMAGES is not set, so no photographs are compared");
        return;
    };
    let (mut turbo, mut draws, mut count) = (Turbo::decoder(), Draws(1), 0);
    let mut transformer = Turbo::transformer();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        if file.starts_with(&[0xff, 0xd8]) && is_baseline(&file) {
            let name = path.display().to_string();
            same(&name, &file, 3, &mut turbo, &mut draws);
            for by in [2, 4, 8] {
                same_reduced(&name, &file, by, 1, &mut turbo, &mut draws);
            }
            let file = transformer.progressive(&file);
            let name = format!("{name}, progressive");
            same(&name, &file, 1, &mut turbo, &mut draws);
            same_reduced(&name, &file, 2 << (count % 3), 0, &mut turbo, &mut draws);
            count += 1;
        }
    }
    eprintln!("{count} photographs");
    assert!(count > 0);
}

#[test]
fn every_size_sampling_and_setting() {
    let (mut encoder, mut turbo, mut draws) = (Turbo::encoder(), Turbo::decoder(), Draws(2));
    let mut transformer = Turbo::transformer();
    for width in 1..=70 {
        for height in 1..=70 {
            for (number, sampling) in SAMPLINGS.into_iter().enumerate() {
                let turn = width * 71 + height + number;
                // All of them while they are small.
                if turn % 3 > 0 && (width > 20 || height > 20) {
                    continue;
                }
                let how = Encoding {
                    quality: [20, 75, 95, 100][turn % 4],
                    sampling,
                    restart_blocks: [0, 0, 1, 4, 9][turn / 4 % 5],
                    optimize: turn % 2 == 0,
                };
                let grain = draws.below(8);
                let pixels: Vec<u8> = (0..3 * width * height)
                    .map(|i| (i * 5 / width) as u8 ^ (draws.bits() as u8 >> grain))
                    .collect();
                let file = encoder.encode(&pixels, width, height, how);
                let name = format!("{width}x{height} {how:?}");
                same(&name, &file, 2, &mut turbo, &mut draws);
                let by = [2, 4, 8][turn / 7 % 3];
                same_reduced(&name, &file, by, 1, &mut turbo, &mut draws);
                turbo.reduce(1);
                if turn % 5 == 0 {
                    let file = transformer.progressive(&file);
                    let name = format!("{name}, progressive");
                    same(&name, &file, 2, &mut turbo, &mut draws);
                    same_reduced(&name, &file, by, 1, &mut turbo, &mut draws);
                    turbo.reduce(1);
                }
                if sampling == GREY {
                    let grey = decode(StandardDecoder::default(), &file, Channels::Grey, None);
                    let expected = turbo.decode(&file).unwrap().pixels;
                    let expected: Vec<u8> = expected.iter().step_by(3).copied().collect();
                    assert!(grey.unwrap() == expected, "{name}");
                }
            }
        }
    }
}

#[test]
fn files_that_no_encoder_makes() {
    for kind in [Kind::Usual, Kind::Odd, Kind::Wild] {
        let mut turbo = Turbo::decoder();
        for seed in 0..6_000 {
            let mut draws = Draws(seed);
            let file = synthetic::file(&mut draws, kind);
            let name = format!("{kind:?} of seed {seed}");
            same(&name, &file, 1, &mut turbo, &mut draws);
        }
    }
}

#[test]
fn files_with_scans_for_some_of_their_components() {
    made_files_are_the_same(synthetic::separate);
}

#[test]
fn progressive_files_that_no_encoder_makes() {
    made_files_are_the_same(progressive::file);
}

fn made_files_are_the_same(file: fn(&mut Draws, Kind) -> Vec<u8>) {
    for kind in [Kind::Usual, Kind::Odd, Kind::Mild, Kind::Wild] {
        let mut turbo = Turbo::decoder();
        for seed in 0..3_000 {
            let mut draws = Draws(seed);
            let file = file(&mut draws, kind);
            let name = format!("{kind:?} of seed {seed}");
            same(&name, &file, 1, &mut turbo, &mut draws);
            if kind == Kind::Mild {
                let by = [2, 4, 8][seed as usize % 3];
                same_reduced(&name, &file, by, 1, &mut turbo, &mut draws);
                turbo.reduce(1);
            }
        }
    }
}

/// Of coefficients that pictures have: others may be cut off at other places.
#[test]
fn reduced_files_that_no_encoder_makes() {
    let mut turbo = Turbo::decoder();
    for seed in 0..6_000 {
        let mut draws = Draws(seed);
        let file = synthetic::file(&mut draws, Kind::Mild);
        for by in [2, 4, 8] {
            let name = format!("seed {seed}");
            same_reduced(&name, &file, by, 1, &mut turbo, &mut draws);
        }
    }
}

/// A file that ends early is what libjpeg-turbo shows of it, if that is allowed.
#[test]
fn files_that_end_early() {
    let mut turbo = Turbo::decoder();
    let (mut shown, mut draws) = (0, Draws(3));
    for seed in 0..3_000 {
        let kind = [Kind::Usual, Kind::Odd][seed as usize % 2];
        let file = synthetic::file(&mut Draws(seed), kind);
        let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        let cut = &file[..scan + draws.below(file.len() - scan)];
        let strict = decode(StandardDecoder::default(), cut, Channels::Rgb, None);
        assert_eq!(strict.unwrap_err().kind(), CauseKind::Truncated, "seed {seed}");
        let lenient = StandardDecoder::default().allow_truncated(true);
        if let Ok(pixels) = decode(lenient, cut, Channels::Rgb, None) {
            let expected = turbo.decode(cut).unwrap();
            assert!(pixels == expected.pixels, "{kind:?} of seed {seed}, {} bytes", cut.len());
            shown += 1;
        }
    }
    assert!(shown > 2_000, "{shown}");
}

#[test]
fn files_with_changed_bytes() {
    let (alike, refused) = changed(12_000, synthetic::file);
    assert!(alike > 3_000 && refused < 200, "{alike} alike, {refused} refused");
}

#[test]
fn files_of_several_scans_with_changed_bytes() {
    let (alike, refused) = changed(6_000, synthetic::separate);
    assert!(alike > 1_500 && refused < 150, "{alike} alike, {refused} refused");
}

#[test]
fn progressive_files_with_changed_bytes() {
    let (alike, refused) = changed(12_000, progressive::file);
    assert!(alike > 3_000 && refused < 200, "{alike} alike, {refused} refused");
}

/// What libjpeg-turbo takes without a word is the same picture here, or refused: so many of
/// each. Seeds are always the same.
fn changed(seeds: u64, file: fn(&mut Draws, Kind) -> Vec<u8>) -> (usize, usize) {
    let mut outcomes = Vec::new();
    for seed in 0..seeds {
        let mut draws = Draws(seed);
        let kind = draws.of(&[Kind::Usual, Kind::Usual, Kind::Odd, Kind::Wild]);
        let mut file = file(&mut draws, kind);
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(file.len());
            file[at] = draws.bits() as u8;
        }
        let outcome = compare::file(&file);
        outcomes.push(outcome.unwrap_or_else(|e| panic!("{kind:?} of seed {seed}: {e}")));
    }
    let of = |this| outcomes.iter().filter(|outcome| **outcome == this).count();
    let (alike, refused, warned) = (of(Outcome::Alike), of(Outcome::Refused), of(Outcome::Warned));
    eprintln!("{alike} alike, {refused} refused that libjpeg-turbo takes, {warned} it warns of");
    (alike, refused)
}

/// The same of the files that `guided` found.
#[test]
fn files_that_a_fuzzer_found() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let (mut count, mut alike) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        let outcome = compare::file(&file);
        count += 1;
        alike += usize::from(
            outcome.unwrap_or_else(|e| panic!("{}: {e}", path.display())) == Outcome::Alike,
        );
    }
    eprintln!("{count} files, {alike} alike");
    assert!(alike > 100);
}
