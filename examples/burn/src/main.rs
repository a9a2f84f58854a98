//! Training with burn's `Learner`, fed by infeed: a small network learns to tell
//! shapes apart, and a run that is killed goes on from the end of its last epoch.
//!
//! ```sh
//! cargo run --release -p infeed-example-burn
//! cargo run --release -p infeed-example-burn -- --resume     # after Ctrl-C or kill -9
//! ```
#![allow(clippy::print_stdout)]

mod checkpoint;
mod model;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use burn::data::dataloader::DataLoader;
use burn::optim::SgdConfig;
use burn::optim::lr_scheduler::step::StepLrSchedulerConfig;
use burn::optim::momentum::MomentumConfig;
use burn::tensor::Device;
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use clap::Parser;
use infeed::burn::{BurnLoader, TensorBatch};
use infeed::{Filter, Loader, LoaderBuilder, Split};
use infeed_example_shapes::{CLASSES, Common};

use checkpoint::{Checkpoints, States, WithState};
use model::Model;

const SEED: u64 = 7;
const SIDE: u32 = 32;
const BATCH: usize = 32;
const RATE: f64 = 0.05;

/// Trains a small network with burn on pictures that infeed loads
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { common } = Arguments::parse();
    let folder = common.pictures(SEED)?;
    let run = common.path("infeed-burn-run");
    let checkpoints = Checkpoints::new(run.join("checkpoint"));
    let states = States::default();

    let mut train = builder(&folder).split(Split::train(0.8)).shuffle(SEED).flip(0.5);
    let mut resumed = None;
    if common.resume {
        let (epoch, state) = checkpoints.last()?;
        states.put(state.clone());
        train = train.resume(state);
        resumed = Some(epoch);
    } else if run.exists() {
        // Checkpoints of a run before, which `--resume` would take for this one's.
        fs::remove_dir_all(&run)?;
    }

    let device = Device::default();
    device.seed(SEED);
    let model = Model::new(CLASSES.len(), &device.clone().autodiff());

    let kept = states.clone();
    let train = BurnLoader::with_batcher(train.build()?, &device, move |batch, device| {
        kept.put(batch.state());
        batch.into_burn(device)
    });
    let validation = builder(&folder).split(Split::validation(0.2)).build()?;
    let validation: Arc<dyn DataLoader<TensorBatch>> =
        Arc::new(BurnLoader::new(validation, &device));

    // A tenth of the rate for the last third of the steps.
    let steps = train.num_items().div_ceil(BATCH) * usize::try_from(common.epochs)?;
    let rates = StepLrSchedulerConfig::new(RATE, steps * 2 / 3).with_gamma(0.1).init()?;
    let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
    let optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();

    let mut training = SupervisedTraining::new(&run, Arc::new(train), Arc::clone(&validation))
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_custom_checkpointers(
            checkpoints.of("model"),
            checkpoints.of("optim"),
            WithState { rates: checkpoints.of("scheduler"), checkpoints, states: states.clone() },
        )
        .with_checkpointing_strategy(KeepLastNCheckpoints::new(2))
        .num_epochs(usize::try_from(common.epochs)?)
        .summary();
    if let Some(epoch) = resumed {
        training = training.checkpoint(epoch);
    }
    let result = training.launch(Learner::new(model, optimizer, rates));
    if let Some(error) = result.error {
        return Err(error.into());
    }
    // The display of progress gives the terminal back.
    drop(result.renderer);
    if result.interrupted.is_some() {
        println!("stopped; --resume goes on from the end of the last whole epoch");
        return Ok(());
    }

    let accuracy = accuracy(&result.model, &*validation)?;
    println!("validation accuracy: {accuracy:.4}");
    if let Some(state) = states.last() {
        println!("digest: {}", state.digest());
    }
    println!("weights: {:016x}", result.model.hash()?);
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
fn accuracy(model: &Model, loader: &dyn DataLoader<TensorBatch>) -> Result<f64, Box<dyn Error>> {
    let (mut right, mut images) = (0, 0);
    for batch in loader.iter() {
        let TensorBatch { images: pictures, labels, .. } = batch?;
        images += pictures.dims()[0];
        let found = model.forward(pictures).argmax(1).squeeze_dim::<1>(1);
        right += found.equal(labels).int().sum().into_scalar::<i64>();
    }
    Ok(right as f64 / images as f64)
}
