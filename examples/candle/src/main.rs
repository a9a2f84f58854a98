//! Training with candle, fed by infeed: a small network learns to tell shapes
//! apart, and a run that is killed goes on exactly where its last checkpoint stood.
//!
//! ```sh
//! cargo run --release -p infeed-example-candle
//! cargo run --release -p infeed-example-candle -- --resume     # after Ctrl-C or kill -9
//! ```
#![allow(clippy::print_stdout)]

mod checkpoint;
mod model;

use std::error::Error;
use std::path::Path;

use candle_core::Device;
use candle_nn::loss::cross_entropy;
use clap::Parser;
use infeed::{Filter, Loader, LoaderBuilder, Split};
use infeed_example_shapes::{CLASSES, Common};

use model::{Model, correct};

const SEED: u64 = 7;
const SIDE: u32 = 32;
const BATCH: usize = 32;
const RATE: f64 = 0.05;

/// Trains a small network with candle on pictures that infeed loads
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Batches between two checkpoints; 0 writes none
    #[arg(long, value_name = "N", default_value_t = 10)]
    checkpoint_every: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { common, checkpoint_every } = Arguments::parse();
    let folder = common.pictures(SEED)?;
    let file = common.path("checkpoint.safetensors");

    let device = Device::Cpu;
    let mut model = Model::new(CLASSES.len(), SEED, &device)?;
    let mut train = builder(&folder).split(Split::train(0.8)).shuffle(SEED).flip(0.5);
    let mut digest = None;
    if common.resume {
        let (tensors, state) = checkpoint::load(&file, &device)?;
        model.restore(&tensors)?;
        digest = Some(state.digest());
        train = train.resume(state);
    } else if file.exists() {
        // Of a run before, which `--resume` would take for this one's.
        std::fs::remove_file(&file)?;
    }
    let mut train = train.build()?;
    let mut validation = builder(&folder).split(Split::validation(0.2)).build()?;

    let first = train.first_epoch();
    let mut epochs = train.epochs(first..common.epochs.max(first))?;
    let mut steps = 0;
    while let Some(mut epoch) = epochs.next_epoch() {
        // Of the epoch's number alone, so that a resumed run has the same.
        let rate = if 3 * epoch.number() < 2 * common.epochs { RATE } else { RATE / 10.0 };
        let (mut loss_sum, mut right, mut images) = (0.0, 0, 0);
        for batch in &mut epoch {
            let batch = batch?;
            let state = batch.state();
            let batch = batch.into_candle(&device)?;
            let logits = model.forward(&batch.images)?;
            let loss = cross_entropy(&logits, &batch.labels)?;
            model.step(&loss, rate)?;
            steps += 1;
            if checkpoint_every > 0 && steps % checkpoint_every == 0 {
                checkpoint::save(&file, &model.tensors(), &state)?;
                println!("checkpoint: epoch {}, batch {}", state.epoch(), state.batches());
            }
            let n = batch.samples.len();
            loss_sum += f64::from(loss.to_scalar::<f32>()?) * n as f64;
            right += correct(&logits, &batch.labels)?;
            images += n;
        }
        let stats = epoch.stats();
        digest = Some(stats.digest);
        // candle has no display of progress of its own; a line an epoch says the same.
        println!(
            "epoch {:2}: loss {:.3}, accuracy {:5.1} %, {:.0} images/s",
            epoch.number(),
            loss_sum / images as f64,
            100.0 * f64::from(right) / images as f64,
            stats.images_per_second(),
        );
    }

    let accuracy = accuracy(&model, &mut validation, &device)?;
    println!("validation accuracy: {accuracy:.4}");
    if let Some(digest) = digest {
        println!("digest: {digest}");
    }
    println!("weights: {:016x}", model.hash()?);
    Ok(common.judge(accuracy)?)
}

/// What training and validation have in common.
fn builder(folder: &Path) -> LoaderBuilder {
    Loader::folder(folder)
        .batch_size(BATCH)
        .size(SIDE, SIDE)
        .filter(Filter::Bilinear)
        .normalize([0.5; 3], [0.25; 3])
}

/// The share of the pictures that the model tells rightly.
fn accuracy(model: &Model, loader: &mut Loader, device: &Device) -> Result<f64, Box<dyn Error>> {
    let (mut right, mut images) = (0, 0);
    for batch in loader.epoch(0)? {
        let batch = batch?.into_candle(device)?;
        right += correct(&model.forward(&batch.images)?, &batch.labels)?;
        images += batch.samples.len();
    }
    Ok(f64::from(right) / images as f64)
}
