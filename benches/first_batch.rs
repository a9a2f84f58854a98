//! How long until the first batch of a large folder, beside listing it.
//!
//! ```sh
//! cargo bench --bench first_batch                            # makes 100,000 small files
//! cargo bench --bench first_batch -- path/to/class/folders
//! PYTHON=venv/bin/python cargo bench --bench first_batch     # torchvision's listing beside it
//! ```
#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use infeed::Loader;

const ROUNDS: usize = 5;

/// Lists a folder as torchvision's `ImageFolder` does; prints seconds.
const TORCHVISION: &str = "
import sys, time
from torchvision.datasets import ImageFolder
started = time.perf_counter()
ImageFolder(sys.argv[1])
print(time.perf_counter() - started)
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (folder, _made) = match named {
        Some(folder) => (PathBuf::from(folder), None),
        None => {
            let made = tempfile::tempdir()?;
            many_small_files(made.path())?;
            (made.path().to_owned(), Some(made))
        }
    };
    let mut figures: Vec<[f64; 3]> = Vec::new();
    for round in 0..=ROUNDS {
        let figure = first_batch(&folder)?;
        let listing = torchvision(&folder);
        // The first round warms the cache of folders and files.
        if round > 0 {
            figures.push([figure.0, figure.1, listing.unwrap_or(f64::NAN)]);
        }
    }
    let median = |at: usize| {
        let mut values: Vec<f64> = figures.iter().map(|figure| figure[at] * 1e3).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("median of {ROUNDS} rounds, warm cache, in milliseconds");
    println!("infeed, first batch of 32 at 224x224   {:8.1}", median(0));
    println!("infeed, end of the walk                {:8.1}", median(1));
    match median(2) {
        listing if listing.is_nan() => {
            println!("torchvision: skipped, no Python with torchvision (set PYTHON)");
        }
        listing => println!("torchvision ImageFolder, listing alone {listing:8.1}"),
    }
    Ok(())
}

/// Seconds from building the loader to its first batch, and to the end of the
/// walk.
fn first_batch(folder: &Path) -> infeed::Result<(f64, f64)> {
    let started = Instant::now();
    let mut loader = Loader::folder(folder).batch_size(32).size(224, 224).build()?;
    let first = loader.epoch(0)?.next().transpose()?;
    assert!(first.is_some_and(|batch| !batch.is_empty()));
    let seconds = started.elapsed().as_secs_f64();
    while loader.samples().is_none() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok((seconds, started.elapsed().as_secs_f64()))
}

fn torchvision(folder: &Path) -> Option<f64> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python).args(["-c", TORCHVISION]).arg(folder).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A thousand class folders of a hundred pictures of 8x8 pixels each.
fn many_small_files(root: &Path) -> std::io::Result<()> {
    let mut picture = b"P6 8 8 255\n".to_vec();
    picture.extend(0..192);
    for class in 0..1_000 {
        let folder = root.join(format!("class{class:04}"));
        std::fs::create_dir(&folder)?;
        for number in 0..100 {
            std::fs::write(folder.join(format!("{number:05}.ppm")), &picture)?;
        }
    }
    Ok(())
}
