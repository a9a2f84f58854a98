//! Folders of pictures.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A picture as PPM: 14 bytes at the least.
pub(crate) fn ppm(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut encoded = format!("P6 {width} {height} 255\n").into_bytes();
    let value = |at: u32| (seed.wrapping_mul(37).wrapping_add(at * 11 + at / 7) % 256) as u8;
    encoded.extend((0..width * height * 3).map(value));
    encoded
}

/// A picture as JPEG.
pub(crate) fn jpeg(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let header = format!("P6 {width} {height} 255\n").len();
    let pixels = &ppm(u32::from(width), u32::from(height), seed)[header..];
    let mut encoded = Vec::new();
    jpeg_encoder::Encoder::new(&mut encoded, 80)
        .encode(pixels, width, height, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    encoded
}

/// A temporary folder with these files, made with their folders.
pub(crate) fn tree<P: AsRef<Path>>(files: impl IntoIterator<Item = (P, Vec<u8>)>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// A pipe, which nobody reads or writes.
#[cfg(unix)]
pub(crate) fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success(), "{}", path.display());
}

/// The paths that a loader's next epoch delivers, in order.
pub(crate) fn paths(loader: &mut infeed::Loader<u8>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for batch in loader.epoch(0).unwrap() {
        let batch = batch.unwrap();
        paths.extend(batch.samples().iter().map(|sample| sample.path().to_owned()));
    }
    assert!(!paths.is_empty());
    paths
}
