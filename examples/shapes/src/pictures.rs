//! Pictures to learn from: a shape of any place, size and colour on a noisy
//! ground, so that no mean colour tells which.

use std::io;
use std::path::Path;

use crate::random::Random;

/// The folders of the classes.
pub const CLASSES: [&str; 4] = ["circle", "cross", "square", "stripes"];

/// Pixels of a side.
const SIDE: usize = 48;

/// Makes a folder of four class folders with `pictures` each, the same for the
/// same seed. A folder that is there is whole, and stays.
///
/// # Errors
///
/// When it cannot be written.
pub fn make(folder: &Path, pictures: usize, seed: u64) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let mut random = Random::new(seed);
    for (class, name) in CLASSES.iter().enumerate() {
        let class_folder = partial.join(name);
        std::fs::create_dir_all(&class_folder)?;
        for number in 0..pictures {
            std::fs::write(
                class_folder.join(format!("{number:04}.ppm")),
                picture(class, &mut random),
            )?;
        }
    }
    std::fs::rename(partial, folder)
}

fn picture(class: usize, random: &mut Random) -> Vec<u8> {
    let mut color = |low, high| [(); 3].map(|()| random.between(low, high));
    let (ground, shape) = (color(30.0, 110.0), color(140.0, 225.0));
    let radius = random.between(8.0, 16.0);
    let [x, y] = [(); 2].map(|()| random.between(radius, SIDE as f32 - radius));
    let (width, phase) = (radius * random.between(0.25, 0.4), random.between(0.0, 8.0));
    let inside = |dx: f32, dy: f32| match CLASSES[class] {
        "circle" => dx * dx + dy * dy < radius * radius,
        "square" => dx.abs().max(dy.abs()) < 0.9 * radius,
        "cross" => dx.abs().min(dy.abs()) < width && dx.abs().max(dy.abs()) < radius,
        _ => (dx + dy + phase).rem_euclid(8.0) < 4.0 && dx.abs().max(dy.abs()) < radius,
    };
    let mut encoded = format!("P6 {SIDE} {SIDE} 255\n").into_bytes();
    for at in 0..SIDE * SIDE {
        let (column, row) = ((at % SIDE) as f32 + 0.5, (at / SIDE) as f32 + 0.5);
        let color = if inside(column - x, row - y) { shape } else { ground };
        encoded.extend(color.map(|level| (level + random.between(-25.0, 25.0)) as u8));
    }
    encoded
}
