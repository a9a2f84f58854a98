//! A folder of images as `.npy` files, from the library.
//!
//! ```sh
//! cargo run --release --example export_npy                  # on pictures it makes
//! cargo run --release --example export_npy -- photos out
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};

use infeed::export::{Export, ShardSize, verify};
use infeed::{Fit, Loader};

fn main() -> Result<(), Box<dyn Error>> {
    let made = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (photos, out) = match (arguments.next(), arguments.next()) {
        (Some(photos), Some(out)) => (photos, out),
        (None, None) => (make_pictures(made.path())?, made.path().join("out")),
        _ => return Err("expected the folder of images and the one to write to".into()),
    };

    // Levels rather than floats: a quarter of the disk, and nothing is lost.
    let builder = Loader::folder(&photos)
        .dtype::<u8>()
        .batch_size(64)
        .size(224, 224)
        .fit(Fit::Crop { shorter: Some(256) });
    let mut exporting = Export::new(builder, &out).shard_size(ShardSize::Bytes(4 << 20)).start()?;
    // Killed at any moment, the same program goes on where it stood.
    println!("{} shards are left to make", exporting.left());
    exporting.run(|progress| println!("{} of {} images", progress.images, progress.of))?;
    let summary = exporting.summary();
    println!(
        "{} images in {} shards, {} bytes, in {}",
        summary.images,
        summary.shards,
        summary.bytes,
        out.display()
    );
    for problem in verify(&out)?.problems {
        println!("{problem}");
    }
    Ok(())
}

fn make_pictures(root: &Path) -> std::io::Result<PathBuf> {
    let photos = root.join("photos");
    std::fs::create_dir(&photos)?;
    for number in 0..100_u32 {
        let mut picture = b"P6 300 260 255\n".to_vec();
        picture.extend((0..300 * 260 * 3_u32).map(|at| ((at / 5) ^ number) as u8));
        std::fs::write(photos.join(format!("{number:03}.ppm")), picture)?;
    }
    Ok(photos)
}
