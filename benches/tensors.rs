//! What the tensors of the frameworks cost: the share of an epoch that the conversion
//! takes, and what memory given away costs the loader, measured in turn on your files.
//!
//! ```sh
//! cargo bench --features candle,burn,burn-core/flex --bench tensors -- DIR
//! ```
//!
//! or with one of the features, or none; without DIR on pictures it makes.
//!
//! What is measured is whole epochs, which a benchmark of one function's time
//! cannot have: hence no criterion.
//!
//! 224 x 224 pixels, `f32`, channels first, batches of 32, ordered; files in the
//! page cache after a first epoch.
#![allow(missing_docs, clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use infeed::{Batch, Loader};

const ROUNDS: usize = 7;
const PICTURES: u32 = 192;

fn main() -> Result<(), Box<dyn Error>> {
    let made = tempfile::tempdir()?;
    let folder = match std::env::args().skip(1).find(|argument| !argument.starts_with("--")) {
        Some(folder) => folder.into(),
        None => {
            make_pictures(made.path())?;
            made.path().to_owned()
        }
    };
    let mut loader = Loader::folder(&folder).batch_size(32).size(224, 224).build()?;
    epoch(&mut loader, drop_batch)?;
    let ways = ways();
    let mut rounds = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, use_batch), rounds) in ways.iter().zip(&mut rounds) {
            // The loader has memory of its own again, which the last way may have taken.
            epoch(&mut loader, drop_batch)?;
            rounds.push(epoch(&mut loader, *use_batch)?);
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{} pictures, {} threads; medians of {ROUNDS} rounds in turn",
        loader.samples().unwrap_or(0),
        loader.config().threads
    );
    println!(
        "{:<12} {:>10} {:>12} {:>18}",
        "batches are", "epoch", "of dropped", "conversion's share"
    );
    let dropped = &rounds[0];
    for ((name, _), rounds) in ways.iter().zip(&rounds) {
        let seconds = median(rounds.iter().map(|(whole, _)| whole.as_secs_f64()).collect());
        // Round by round, so that a slow moment of the machine counts on both sides.
        let pairs = rounds.iter().zip(dropped);
        let ratio = median(pairs.map(|(way, plain)| way.0.div_duration_f64(plain.0)).collect());
        let share =
            median(rounds.iter().map(|(whole, part)| part.div_duration_f64(*whole)).collect());
        println!("{name:<12} {:>7.1} ms {ratio:>12.3} {:>16.2} %", 1e3 * seconds, 100.0 * share);
    }
    Ok(())
}

type Use = fn(Batch) -> Result<(), Box<dyn Error>>;

/// What becomes of a batch: first of all nothing.
fn ways() -> Vec<(&'static str, Use)> {
    #[cfg_attr(not(any(feature = "burn", feature = "candle")), allow(unused_mut))]
    let mut ways: Vec<(&'static str, Use)> = vec![
        ("dropped", drop_batch),
        ("into_array", |batch| {
            drop(batch.into_array());
            Ok(())
        }),
    ];
    #[cfg(feature = "candle")]
    {
        use candle_core::Device;
        ways.push(("to_candle", |batch| {
            let tensors = batch.to_candle(&Device::Cpu)?;
            drop((tensors, batch));
            Ok(())
        }));
        ways.push(("into_candle", |batch| {
            drop(batch.into_candle(&Device::Cpu)?);
            Ok(())
        }));
    }
    #[cfg(feature = "burn")]
    {
        use burn_core::tensor::Device;
        ways.push(("to_burn", |batch| {
            let tensors = batch.to_burn(&Device::default());
            drop((tensors, batch));
            Ok(())
        }));
        ways.push(("into_burn", |batch| {
            drop(batch.into_burn(&Device::default()));
            Ok(())
        }));
    }
    ways
}

fn drop_batch(_: Batch) -> Result<(), Box<dyn Error>> {
    Ok(())
}

/// How long an epoch takes, and how much of it what becomes of its batches.
fn epoch(
    loader: &mut Loader,
    use_batch: impl Fn(Batch) -> Result<(), Box<dyn Error>>,
) -> Result<(Duration, Duration), Box<dyn Error>> {
    let started = Instant::now();
    let mut used = Duration::ZERO;
    for batch in loader.epoch(0)? {
        let batch = batch?;
        let began = Instant::now();
        use_batch(batch)?;
        used += began.elapsed();
    }
    Ok((started.elapsed(), used))
}

/// JPEGs of 0.2 megapixels, as photographs of a data set often are.
fn make_pictures(folder: &Path) -> Result<(), Box<dyn Error>> {
    const SIZE: (u16, u16) = (500, 400);
    for number in 0..PICTURES {
        let mut noise = number;
        let pixels: Vec<u8> = (0..u32::from(SIZE.0) * u32::from(SIZE.1) * 3)
            .map(|at| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((at / 29 + at / 1_500 + number * 40) % 190 + (noise >> 26)) as u8
            })
            .collect();
        let file = std::fs::File::create(folder.join(format!("{number:03}.jpg")))?;
        let file = std::io::BufWriter::new(file);
        jpeg_encoder::Encoder::new(file, 85).encode(
            &pixels,
            SIZE.0,
            SIZE.1,
            jpeg_encoder::ColorType::Rgb,
        )?;
    }
    Ok(())
}
