//! The folders that are streamed: small files, good and bad, of every format.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat};
use infeed::Loader;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tempfile::TempDir;

use crate::draws::Draws;

/// The folders, and where caches and states go; all of it vanishes with this.
pub(crate) struct Trees {
    root: TempDir,
    pub(crate) trees: Vec<Tree>,
}

pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// That a loader lists.
    pub(crate) samples: u64,
    /// Each is in a class folder.
    pub(crate) classed: bool,
}

impl Trees {
    pub(crate) fn new(seed: u64) -> Result<Self, Box<dyn Error>> {
        let root = tempfile::Builder::new().prefix("infeed-soak-").tempdir()?;
        let mut trees = Vec::new();
        for (number, (name, files, bad)) in
            [("mixed", 60, 6), ("good", 37, 0), ("broken", 18, 2), ("one", 1, 0)]
                .into_iter()
                .enumerate()
        {
            let mut draws = Draws::new(&[seed, number as u64]);
            let folder = root.path().join(name);
            let classed = files > 1;
            for file in 0..files {
                let class = if classed { draws.of(&["a", "b", "b/deep", "c"]) } else { "" };
                fs::create_dir_all(folder.join(class))?;
                let damaged = bad > 0 && draws.one_in(bad);
                make(&folder.join(class).join(format!("{file:02}")), damaged, &mut draws)?;
            }
            if bad > 0 {
                odd_entries(&folder.join("a"))?;
            }
            let coverage = Loader::folder(&folder).coverage(1, 0..1)?;
            let samples = coverage.epochs[0].once;
            trees.push(Tree { root: folder, samples, classed });
        }
        Ok(Trees { root, trees })
    }

    /// Where the work of this number keeps its cache.
    pub(crate) fn cache(&self, work: u64) -> PathBuf {
        self.root.path().join(format!("cache-{work}"))
    }

    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("state-{name}.json"))
    }
}

/// One file, whose ending is not always that of its format.
fn make(stem: &Path, damaged: bool, draws: &mut Draws) -> Result<(), Box<dyn Error>> {
    let (ending, mut bytes) = picture(draws)?;
    if damaged {
        damage(&mut bytes, draws);
    }
    let ending = if draws.one_in(10) { "jpg" } else { ending };
    fs::write(stem.with_extension(ending), bytes)?;
    Ok(())
}

fn picture(draws: &mut Draws) -> Result<(&'static str, Vec<u8>), Box<dyn Error>> {
    let (width, height) = (draws.between(1, 90) as u32, draws.between(1, 70) as u32);
    let (turn, noise) = (draws.below(255) as u32, draws.between(1, 40) as u64);
    let level = |x: u32, y: u32, channel: u32, draws: &mut Draws| {
        (x * 3 + y * 2 + channel * turn + draws.below(noise) as u32) as u8
    };
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([0, 1, 2].map(|channel| level(x, y, channel, draws)))
    });
    let mut bytes = Vec::new();
    if draws.one_in(2) {
        let mut encoder = Encoder::new(&mut bytes, draws.between(20, 100) as u8);
        use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2, F_4_1};
        encoder.set_sampling_factor(draws.of(&[F_1_1, F_2_1, F_1_2, F_2_2, F_4_1]));
        encoder.set_progressive(draws.one_in(4));
        if draws.one_in(4) {
            encoder.set_restart_interval(draws.between(1, 5) as u16);
        }
        let (width, height) = (width as u16, height as u16);
        if draws.one_in(6) {
            let grey = DynamicImage::from(image).to_luma8();
            encoder.encode(&grey, width, height, ColorType::Luma)?;
        } else {
            encoder.encode(&image, width, height, ColorType::Rgb)?;
        }
        return Ok(("jpeg", bytes));
    }
    let (ending, format) = draws.of(&[
        ("png", ImageFormat::Png),
        ("ppm", ImageFormat::Pnm),
        ("bmp", ImageFormat::Bmp),
        ("gif", ImageFormat::Gif),
        ("tif", ImageFormat::Tiff),
        ("webp", ImageFormat::WebP),
    ]);
    let image = match draws.below(4) {
        0 if format == ImageFormat::Png => DynamicImage::from(image).to_luma16().into(),
        1 if format == ImageFormat::Png => DynamicImage::from(image).to_rgba8().into(),
        _ => DynamicImage::from(image),
    };
    image.write_to(&mut std::io::Cursor::new(&mut bytes), format)?;
    Ok((ending, bytes))
}

fn damage(bytes: &mut Vec<u8>, draws: &mut Draws) {
    match draws.below(6) {
        0 => bytes.clear(),
        1 => *bytes = b"not a picture at all".to_vec(),
        2 => {
            // Any byte, the header's too.
            for _ in 0..draws.between(1, 8) {
                let at = draws.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << draws.below(8);
            }
        }
        3 => *bytes = huge(draws),
        _ => bytes.truncate(draws.below(bytes.len() as u64) as usize),
    }
}

/// A header that promises more than there is.
fn huge(draws: &mut Draws) -> Vec<u8> {
    let (width, height) = draws.of(&[(65_000_u32, 65_000_u32), (600, 500)]);
    if draws.one_in(2) {
        return format!("P6 {width} {height} 255\nabc").into_bytes();
    }
    let mut frame = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8];
    frame.extend((height as u16).to_be_bytes());
    frame.extend((width as u16).to_be_bytes());
    frame.extend([1, 1, 0x11, 0, 0xff, 0xd9]);
    frame
}

/// A FIFO, a link that leads nowhere, a folder called as a picture, and a file that
/// may not be read, where that holds for this user.
#[cfg(unix)]
fn odd_entries(folder: &Path) -> Result<(), Box<dyn Error>> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    fs::create_dir_all(folder)?;
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe.jpg")).status();
    if !made.is_ok_and(|status| status.success()) {
        return Err("mkfifo failed".into());
    }
    symlink(folder.join("nowhere"), folder.join("dangling.jpg"))?;
    fs::create_dir(folder.join("folder.jpg"))?;
    let shut = folder.join("shut.jpg");
    fs::write(&shut, b"P5 1 1 255\n0")?;
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o0))?;
    Ok(())
}

#[cfg(not(unix))]
fn odd_entries(_: &Path) -> Result<(), Box<dyn Error>> {
    Ok(())
}
