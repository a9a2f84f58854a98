//! A small folder of photograph-like pictures, so that a newcomer sees it work.
//!
//! The same bytes on every machine: several sizes, both chroma subsamplings,
//! some grey, some turned by an EXIF tag, in class folders.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use etcetera::BaseStrategy;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Part of the folder's name: changes when the pictures do.
const EDITION: &str = "demo-1";
const CLASSES: [&str; 6] = ["dunes", "forest", "harbour", "meadow", "night", "snow"];
const PICTURES: usize = 240;
/// Width and height; the first is by far the most common photograph.
const SIZES: [(usize, usize); 6] =
    [(500, 375), (500, 375), (375, 500), (640, 480), (500, 333), (320, 240)];

/// The folder, made if it is not there.
pub(crate) fn folder() -> Result<PathBuf, Box<dyn Error>> {
    let cache = etcetera::choose_base_strategy().map(|dirs| dirs.cache_dir());
    let parent = cache.unwrap_or_else(|_| std::env::temp_dir()).join("infeed");
    let folder = parent.join(EDITION);
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("no folder was given: making {PICTURES} pictures in {}", folder.display());
    make(&parent, &folder).map_err(|error| {
        let parent = parent.display();
        format!("the pictures cannot be made in {parent}: {error}. Name a folder of images instead")
    })?;
    Ok(folder)
}

/// Makes the pictures beside the folder first, so that the folder is whole or
/// not there.
fn make(parent: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let unfinished = parent.join(format!("{EDITION}.{}", std::process::id()));
    for class in CLASSES {
        std::fs::create_dir_all(unfinished.join(class))?;
    }
    let made = make_all(&unfinished);
    // Somebody else may have been faster; theirs is the same.
    let moved = made.and_then(|()| match std::fs::rename(&unfinished, folder) {
        Err(_) if folder.is_dir() => std::fs::remove_dir_all(&unfinished).map_err(Into::into),
        moved => moved.map_err(Into::into),
    });
    if moved.is_err() {
        drop(std::fs::remove_dir_all(&unfinished));
    }
    moved
}

fn make_all(folder: &Path) -> Result<(), Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), String> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= PICTURES {
                return Ok(());
            }
            picture(folder, number).map_err(|error| error.to_string())?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread that made pictures panicked".to_owned()))
        })
    })?;
    Ok(())
}

fn picture(folder: &Path, number: usize) -> Result<(), Box<dyn Error>> {
    let class = number % CLASSES.len();
    let round = number / CLASSES.len();
    let (width, height) = SIZES[round % SIZES.len()];
    let grey = round % 11 == 5;
    let path = folder.join(CLASSES[class]).join(format!("{}-{round:03}.jpg", CLASSES[class]));
    let mut encoder = Encoder::new_file(path, 92)?;
    encoder.set_sampling_factor(match round % 3 {
        0 => SamplingFactor::R_4_4_4,
        _ => SamplingFactor::R_4_2_0,
    });
    if let Some(orientation) = [6, 8, 3].get(round % 13) {
        encoder.add_app_segment(1, exif(*orientation))?;
    }
    let pixels = scene(width, height, class, number as u32);
    let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
    if grey {
        let luma = |rgb: &[u8]| {
            ((u32::from(rgb[0]) + 2 * u32::from(rgb[1]) + u32::from(rgb[2])) / 4) as u8
        };
        let pixels: Vec<u8> = pixels.chunks_exact(3).map(luma).collect();
        encoder.encode(&pixels, width, height, ColorType::Luma)?;
    } else {
        encoder.encode(&pixels, width, height, ColorType::Rgb)?;
    }
    Ok(())
}

/// The smallest EXIF block that holds an orientation: a big-endian TIFF header
/// and a directory of one entry, tag 0x0112, one 16-bit number.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// A sky, a ground, soft shapes, texture and grain: RGB, `[height, width, 3]`.
fn scene(width: usize, height: usize, class: usize, seed: u32) -> Vec<u8> {
    let palette = [[40, 30, 10], [0, 40, 10], [10, 20, 50], [20, 50, 0], [0, 5, 30], [60, 60, 70]];
    let tint = palette[class];
    let horizon = height * (40 + hash(seed, 1, 1) as usize % 30) / 100;
    let sun = (hash(seed, 2, 2) as usize % width, hash(seed, 3, 3) as usize % (horizon + 1));
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let light = smooth(seed, x, y, 96) / 2 + smooth(seed ^ 77, x, y, 12) / 3;
            let texture = if y > horizon { smooth(seed ^ 99, x, y, 3) / 2 } else { 0 };
            let grain = (hash(seed, x as u32, y as u32) & 31) as i32;
            let distance = (x.abs_diff(sun.0).pow(2) + y.abs_diff(sun.1).pow(2)) as i32;
            let glow = (90 - distance / 60).max(0);
            let base = if y > horizon { 20 } else { 70 };
            for (channel, tint) in (0..).zip(tint) {
                let sky = if y > horizon { 0 } else { 15 * channel };
                let level = base + sky + tint + light + texture + glow + grain;
                pixels.push(level.clamp(0, 255) as u8);
            }
        }
    }
    pixels
}

/// Noise between points of a grid of `cell` pixels, 0 to 127.
fn smooth(seed: u32, x: usize, y: usize, cell: usize) -> i32 {
    let (column, row) = ((x / cell) as u32, (y / cell) as u32);
    let (dx, dy) = ((x % cell) as i32, (y % cell) as i32);
    let corner = |right, down| (hash(seed ^ cell as u32, column + right, row + down) & 127) as i32;
    let cell = cell as i32;
    let top = corner(0, 0) * (cell - dx) + corner(1, 0) * dx;
    let bottom = corner(0, 1) * (cell - dx) + corner(1, 1) * dx;
    (top * (cell - dy) + bottom * dy) / (cell * cell)
}

fn hash(seed: u32, x: u32, y: u32) -> u32 {
    let mut word =
        seed.wrapping_mul(0x9e37_79b9) ^ x.wrapping_mul(0x85eb_ca6b) ^ y.wrapping_mul(0xc2b2_ae35);
    word = (word ^ (word >> 15)).wrapping_mul(0x2c1b_3c6d);
    word = (word ^ (word >> 12)).wrapping_mul(0x297a_2d39);
    word ^ (word >> 15)
}
