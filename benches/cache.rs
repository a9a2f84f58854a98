//! What the cache is worth: warm images/s without one, from memory and from
//! disk, and the first epoch that fills it, measured in turn on your files.
//!
//! ```sh
//! cargo bench --bench cache -- DIR
//! ```
//!
//! What is measured is the rate of a loader over whole epochs, which a benchmark
//! of one function's time cannot have: hence no criterion.
//!
//! 224 x 224 pixels from a shorter side of 256, `f32`, channels first, batches of
//! 64, ordered, with the mean and deviation of ImageNet.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use infeed::{Cache, Fit, Loader, Normalize, Result};

const ROUNDS: usize = 5;
/// Epochs of one round; those that read and decode take longer.
const EPOCHS: u64 = 2;
const CACHED_EPOCHS: u64 = 12;

fn main() -> Result<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(folder) = folder.map(PathBuf::from) else {
        println!("cache: skipped, as no folder was given: cargo bench --bench cache -- DIR");
        return Ok(());
    };
    let dir = std::env::temp_dir().join(format!("infeed-bench-cache-{}", std::process::id()));
    let measured = measure(&folder, &dir);
    // Whatever became of it, gigabytes are not left behind.
    drop(std::fs::remove_dir_all(&dir));
    measured
}

fn measure(folder: &Path, dir: &Path) -> Result<()> {
    let build = |cache| {
        let Normalize { mean, std } = Normalize::IMAGENET;
        Loader::folder(folder)
            .batch_size(64)
            .size(224, 224)
            .fit(Fit::Crop { shorter: Some(256) })
            .normalize(mean, std)
            .cache(cache)
            .build()
    };
    let mut ways = vec![
        ("no cache", build(Cache::None)?, EPOCHS),
        ("memory", build(Cache::memory(8 << 30))?, CACHED_EPOCHS),
        ("disk", build(Cache::disk(dir, 8 << 30))?, CACHED_EPOCHS),
    ];
    println!(
        "{ROUNDS} rounds in turn, {} threads; images/s are medians",
        ways[0].1.config().threads
    );
    for (name, loader, _) in &mut ways {
        println!("  {name:<9} first epoch {:>8.0}", images_per_second(loader, 1)?);
    }
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, loader, epochs), rates) in ways.iter_mut().zip(&mut rates) {
            rates.push(images_per_second(loader, *epochs)?);
        }
    }
    for rates in &mut rates {
        rates.sort_by(f64::total_cmp);
    }
    let plain = rates[0][ROUNDS / 2];
    for ((name, loader, _), rates) in ways.iter().zip(&rates) {
        let (low, median, high) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("  {name:<9} warm {median:>8.0} ({low:.0} to {high:.0}), {:.1}x", median / plain);
        if let Some(cache) = loader.stats().cache {
            println!("            {} samples in {} bytes", cache.samples, cache.bytes);
        }
    }
    Ok(())
}

fn images_per_second(loader: &mut Loader, epochs: u64) -> Result<f64> {
    let started = Instant::now();
    let mut images = 0;
    for batch in loader.epochs(0..epochs)? {
        let batch = batch?;
        images += batch.len();
        std::hint::black_box(batch.as_slice()[0]);
    }
    Ok(images as f64 / started.elapsed().as_secs_f64())
}
