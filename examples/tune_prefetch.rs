//! Which prefetch depth keeps a training step fed? Runs a step of a given length
//! over a folder with one depth after the other, and prints how long the step
//! waited for its data.
//!
//! ```sh
//! cargo run --release --example tune_prefetch -- photos 40     # a step of 40 ms
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use infeed::Loader;

/// A step that waits longer than this share of the time is starved.
const ENOUGH: f64 = 0.01;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let made = tempfile::tempdir()?;
    let folder = match arguments.next() {
        Some(folder) => PathBuf::from(folder),
        None => {
            make_pictures(made.path())?;
            made.path().to_owned()
        }
    };
    let step = match arguments.next() {
        Some(milliseconds) => milliseconds.to_string_lossy().parse()?,
        None => 20,
    };
    let step = Duration::from_millis(step);

    println!("a step of {step:?} on batches of 32 at 224x224");
    println!("prefetch  images/s  step waits  memory at most");
    let mut recommended = None;
    for prefetch in [1, 2, 3, 4, 6, 8] {
        let mut loader =
            Loader::folder(&folder).batch_size(32).size(224, 224).prefetch(prefetch).build()?;
        let bound = loader.config().memory.batches_bytes >> 20;
        // The first epoch warms up the page cache and the buffers.
        for batch in loader.epoch(0)? {
            batch?;
        }
        let (rate, waiting) = train(&mut loader, step)?;
        println!("{prefetch:8}  {rate:8.0}  {:8.1} %  {bound:7} MiB of batches", 100.0 * waiting);
        if waiting <= ENOUGH && recommended.is_none() {
            recommended = Some(prefetch);
        }
    }
    match recommended {
        Some(prefetch) => println!("use .prefetch({prefetch})"),
        None => println!("no depth is enough: the decoders are slower than the step"),
    }
    Ok(())
}

/// Images a second, and the share of the time that the step waited for data.
fn train(loader: &mut Loader, step: Duration) -> infeed::Result<(f64, f64)> {
    let mut epoch = loader.epoch(1)?;
    for batch in &mut epoch {
        let batch = batch?;
        train_on(&batch, step);
    }
    let stats = epoch.stats();
    let waited = stats.stages.batch.waiting_for_input.as_secs_f64();
    // Nothing can be ready at the start of an epoch that was not announced.
    let waited = waited - stats.first_batch_seconds.unwrap_or(0.0);
    Ok((stats.images_per_second(), waited.max(0.0) / stats.seconds))
}

/// What a step on a GPU is to the CPU: a wait.
fn train_on(batch: &infeed::Batch, step: Duration) {
    let until = Instant::now() + step;
    let _ = std::hint::black_box(batch.as_slice());
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

fn make_pictures(root: &Path) -> std::io::Result<()> {
    for number in 0..256_u32 {
        let mut picture = b"P6 400 300 255\n".to_vec();
        picture.extend((0..400 * 300 * 3_u32).map(|at| ((at / 7) ^ number) as u8));
        std::fs::write(root.join(format!("{number:03}.ppm")), picture)?;
    }
    Ok(())
}
