//! A training loop that learns something: a linear classifier on `ndarray`,
//! fed by class folders.
//!
//! ```sh
//! cargo run --release --example training_loop             # on pictures it makes
//! cargo run --release --example training_loop -- photos   # on class folders of yours
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use infeed::{Batch, Loader};
use ndarray::{Array1, Array2, Axis};

const SIDE: u32 = 16;
const EPOCHS: u64 = 12;
const LEARNING_RATE: f32 = 0.3;

fn main() -> Result<(), Box<dyn Error>> {
    let made = tempfile::tempdir()?;
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => folder.into(),
        None => {
            make_classes(made.path())?;
            made.path().to_owned()
        }
    };

    let mut loader = Loader::folder(&folder)
        .batch_size(16)
        .size(SIDE, SIDE)
        .normalize([0.5; 3], [0.25; 3])
        .shuffle(7)
        .build()?;
    let classes = loader.classes();
    if classes.len() < 2 {
        return Err(format!("{} holds no class folders", folder.display()).into());
    }
    println!("classes: {}", classes.join(", "));

    let mut model = Linear::new(3 * (SIDE * SIDE) as usize, classes.len());
    // Announced together, so that no bubble stands between epochs.
    let mut epochs = loader.epochs(0..EPOCHS)?;
    let mut accuracy = 0.0;
    while let Some(mut epoch) = epochs.next_epoch() {
        let (mut loss, mut correct, mut images) = (0.0, 0, 0);
        for batch in &mut epoch {
            let gradient = Gradient::of(&model, &batch?);
            model.step(&gradient);
            loss += gradient.loss;
            correct += gradient.correct;
            images += gradient.images;
        }
        accuracy = correct as f32 / images as f32;
        println!(
            "epoch {:2}: loss {:.3}, accuracy {:5.1} %, {:.0} images/s",
            epoch.number(),
            loss / images as f32,
            100.0 * accuracy,
            epoch.stats().images_per_second(),
        );
    }
    if made.path() == folder && accuracy < 0.95 {
        return Err(format!("the classes are easy, and only {accuracy} were told apart").into());
    }
    Ok(())
}

/// Logits are `images [n, features] . weights [features, classes] + bias`.
struct Linear {
    weights: Array2<f32>,
    bias: Array1<f32>,
}

struct Gradient {
    weights: Array2<f32>,
    bias: Array1<f32>,
    loss: f32,
    correct: usize,
    images: usize,
}

impl Linear {
    fn new(features: usize, classes: usize) -> Self {
        Linear { weights: Array2::zeros((features, classes)), bias: Array1::zeros(classes) }
    }

    /// Softmax of the logits, `[n, classes]`.
    fn probabilities(&self, images: &ndarray::ArrayView2<'_, f32>) -> Array2<f32> {
        let mut logits = images.dot(&self.weights) + &self.bias;
        for mut row in logits.rows_mut() {
            let largest = row.fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
            row.mapv_inplace(|logit| (logit - largest).exp());
            let sum = row.sum();
            row /= sum;
        }
        logits
    }

    fn step(&mut self, gradient: &Gradient) {
        let rate = LEARNING_RATE / (gradient.images * (SIDE * SIDE) as usize) as f32;
        self.weights.scaled_add(-rate, &gradient.weights);
        self.bias.scaled_add(-rate, &gradient.bias);
    }
}

impl Gradient {
    /// Of the cross-entropy over one batch.
    fn of(model: &Linear, batch: &Batch) -> Self {
        let (n, features) = (batch.len(), model.weights.nrows());
        let images = batch.images();
        let images = images.to_shape((n, features)).expect("a row has so many values");
        let (mut loss, mut correct) = (0.0, 0);
        let mut error = model.probabilities(&images.view());
        for (mut row, &label) in error.rows_mut().into_iter().zip(batch.labels()) {
            let Ok(label) = usize::try_from(label) else { continue };
            loss -= row[label].max(1e-9).ln();
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            correct += usize::from(best.is_some_and(|(class, _)| class == label));
            row[label] -= 1.0;
        }
        let (weights, bias) = (images.t().dot(&error), error.sum_axis(Axis(0)));
        Gradient { weights, bias, loss, correct, images: n }
    }
}

/// Three classes of 60 noisy pictures each, told apart by where the light is.
fn make_classes(root: &Path) -> std::io::Result<()> {
    const SIZE: usize = 48;
    let mut noise = 1_u32;
    for (class, center) in [("left", 8_usize), ("middle", 24), ("right", 40)] {
        std::fs::create_dir_all(root.join(class))?;
        for number in 0..60 {
            let mut picture = format!("P6 {SIZE} {SIZE} 255\n").into_bytes();
            for at in 0..SIZE * SIZE * 3 {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let light = 12_usize.saturating_sub((at / 3 % SIZE).abs_diff(center)) * 8;
                picture.push((light + (noise >> 25) as usize) as u8);
            }
            std::fs::write(root.join(class).join(format!("{number:02}.ppm")), picture)?;
        }
    }
    Ok(())
}
