//! Parity with OpenCV and Pillow, in numbers: decoding per format, and both
//! resizes.
//!
//! The fixtures beside this file always run. A larger set of photographs runs
//! when `INFEED_GOLDEN` names a folder with `pixels/`, `stretch512_opencv/` and
//! `shorter256_crop224_pillow/` (PNGs of the same names), and
//! `INFEED_GOLDEN_IMAGES` the folder with the JPEGs they were made from.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use infeed::{Color, Filter, Fit, Layout, Loader, Preprocessor};

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

/// The files of a folder, sorted; an empty folder fails the test.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds nothing to compare", folder.display());
    files
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Rows of 8-bit levels, `[height, width, 3]`.
fn preprocessor(width: u32, height: u32, fit: Fit, filter: Filter) -> Preprocessor<u8> {
    Loader::folder("unused")
        .dtype::<u8>()
        .size(width, height)
        .fit(fit)
        .filter(filter)
        .layout(Layout::Hwc)
        .preprocessor()
        .unwrap()
}

/// What a reference library made: an RGB PNG, read without this crate.
fn expected(path: &Path) -> (u32, u32, Vec<u8>) {
    let picture = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rgb = picture.into_rgb8();
    (rgb.width(), rgb.height(), rgb.into_raw())
}

/// Largest and mean difference, in levels.
fn difference(got: &[u8], want: &[u8]) -> (u8, f64) {
    assert_eq!(got.len(), want.len());
    let off = |(a, b): (&u8, &u8)| a.abs_diff(*b);
    let largest = got.iter().zip(want).map(off).max().unwrap();
    let sum: u64 = got.iter().zip(want).map(off).map(u64::from).sum();
    (largest, sum as f64 / got.len() as f64)
}

/// The row that `preprocessor` makes of the file at `path`.
fn row(preprocessor: &mut Preprocessor<u8>, path: &Path) -> Vec<u8> {
    let mut row = vec![0; preprocessor.row_len()];
    preprocessor
        .preprocess(&fs::read(path).unwrap(), &mut row)
        .unwrap_or_else(|(stage, cause)| panic!("{}: {stage}: {cause}", path.display()));
    row
}

/// How far decoders of the same file may differ: lossless formats and JPEG not
/// at all; lossy WebP interpolates colour its own way.
fn tolerance(name: &str) -> (u8, f64) {
    match name.rsplit('.').next() {
        Some("webp") if name.starts_with("lossy") => (2, 0.1),
        _ => (0, 0.0),
    }
}

#[test]
fn every_format_decodes_as_opencv_has_it() {
    let mut preprocessor = preprocessor(8, 8, Fit::Stretch, Filter::OpencvBilinear);
    let mut worse = Vec::new();
    for path in files(&fixtures("encoded")) {
        let encoded = fs::read(&path).unwrap();
        let (width, height, want) =
            expected(&fixtures("decoded").join(format!("{}.png", name(&path))));
        let (size, got) = preprocessor
            .decode_rgb8(&encoded)
            .unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        assert_eq!((size.width, size.height), (width, height), "{}", path.display());
        let (largest, mean) = difference(got, &want);
        println!("{:22} largest {largest:3}  mean {mean:.4}", name(&path));
        let (most, most_mean) = tolerance(name(&path));
        if largest > most || mean > most_mean {
            worse.push(format!("{}: largest {largest}, mean {mean:.4}", name(&path)));
        }
    }
    assert!(worse.is_empty(), "beyond the tolerance: {worse:#?}");
}

#[test]
fn stretching_is_opencv_to_the_bit() {
    for path in files(&fixtures("stretch")) {
        let (width, height, want) = expected(&path);
        let mut preprocessor = preprocessor(width, height, Fit::Stretch, Filter::OpencvBilinear);
        let got = row(&mut preprocessor, &fixtures("encoded/scene.png"));
        let (largest, mean) = difference(&got, &want);
        println!("stretch {:10} largest {largest}  mean {mean:.5}", stem(&path));
        assert_eq!(largest, 0, "{}", path.display());
    }
}

#[test]
fn cropping_is_pillow_to_the_bit() {
    for (folder, filter) in
        [("crop", Filter::Bilinear), ("bicubic", Filter::Bicubic), ("lanczos", Filter::Lanczos)]
    {
        for path in files(&fixtures(folder)) {
            let (width, height, want) = expected(&path);
            let shorter = stem(&path).split('-').next().unwrap().parse().unwrap();
            let fit = Fit::Crop { shorter: Some(shorter) };
            let mut preprocessor = preprocessor(width, height, fit, filter);
            let got = row(&mut preprocessor, &fixtures("encoded/scene.png"));
            let (largest, mean) = difference(&got, &want);
            println!("{folder} {:10} largest {largest}  mean {mean:.5}", stem(&path));
            assert_eq!(largest, 0, "{}", path.display());
        }
    }
}

/// Lightness of every format, at the picture's own size, as OpenCV's
/// `IMREAD_GRAYSCALE` has it.
#[test]
fn every_format_is_grey_as_opencv_has_it() {
    let mut worse = Vec::new();
    for path in files(&fixtures("encoded")) {
        let wanted = fixtures("grey").join(format!("{}.png", name(&path)));
        let want = image::open(&wanted).unwrap().into_luma8();
        let mut preprocessor = Loader::folder("unused")
            .dtype::<u8>()
            .size(want.width(), want.height())
            .color(Color::Grey)
            .preprocessor()
            .unwrap();
        let got = row(&mut preprocessor, &path);
        let (largest, mean) = difference(&got, want.as_raw());
        println!("{:22} largest {largest:3}  mean {mean:.4}", name(&path));
        // Where colour is weighed, OpenCV's codecs round or truncate, each in its
        // own way; a JPEG's lightness is stored.
        let (most, most_mean) = match tolerance(name(&path)) {
            (0, _) => (1, 0.5),
            tolerance => tolerance,
        };
        if largest > most || mean > most_mean {
            worse.push(format!("{}: largest {largest}, mean {mean:.4}", name(&path)));
        }
    }
    assert!(worse.is_empty(), "beyond the tolerance: {worse:#?}");
}

/// The folder that a variable names; `None`, with a word on stderr, without.
fn golden(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: {variable} is not set, so no photographs are compared");
    }
    folder
}

/// Both golden folders, with the fit and filter that made them.
fn golden_sets(root: &Path) -> [(PathBuf, Preprocessor<u8>); 2] {
    let crop = Fit::Crop { shorter: Some(256) };
    [
        (
            root.join("stretch512_opencv"),
            preprocessor(512, 512, Fit::Stretch, Filter::OpencvBilinear),
        ),
        (root.join("shorter256_crop224_pillow"), preprocessor(224, 224, crop, Filter::Bilinear)),
    ]
}

#[test]
fn photographs_resize_as_the_references_do() {
    let Some(root) = golden("INFEED_GOLDEN") else {
        return;
    };
    for (folder, mut preprocessor) in golden_sets(&root) {
        let (mut most, mut sum, all) = (0, 0.0, files(&folder));
        for path in &all {
            let got = row(&mut preprocessor, &root.join("pixels").join(name(path)));
            let (largest, mean) = difference(&got, &expected(path).2);
            assert!(largest <= 1, "{}: {largest}", path.display());
            most = most.max(largest);
            sum += mean;
        }
        let mean = sum / all.len() as f64;
        println!("{} from pixels: largest {most}, mean {mean:.5}", folder.display());
    }
}

#[test]
fn photographs_decode_and_resize_as_the_references_do() {
    let Some(root) = golden("INFEED_GOLDEN") else {
        return;
    };
    let Some(images) = golden("INFEED_GOLDEN_IMAGES") else {
        return;
    };
    for (folder, mut preprocessor) in golden_sets(&root) {
        let (mut most, mut sum, all) = (0, 0.0, files(&folder));
        for path in &all {
            let jpeg = images.join(stem(path)).with_extension("JPEG");
            let got = row(&mut preprocessor, &jpeg);
            let (largest, mean) = difference(&got, &expected(path).2);
            assert!(largest <= 1, "{}: {largest}", path.display());
            most = most.max(largest);
            sum += mean;
        }
        let mean = sum / all.len() as f64;
        println!("{} from JPEG: largest {most}, mean {mean:.4}", folder.display());
    }
}
