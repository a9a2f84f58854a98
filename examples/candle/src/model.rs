//! A small convolutional network, and stochastic gradient descent with momentum.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use candle_core::{D, Device, Result, Tensor, Var};

use infeed_example_shapes::Random;

const MOMENTUM: f64 = 0.9;

/// Weights by name, and how fast each moves. candle's own optimisers do not give
/// away what they remember, so the momentum is kept here: without it a resumed run
/// would not go on as the one before.
pub(crate) struct Model {
    weights: BTreeMap<String, Var>,
    velocities: BTreeMap<String, Tensor>,
}

impl Model {
    pub(crate) fn new(classes: usize, seed: u64, device: &Device) -> Result<Self> {
        let mut random = Random::new(seed);
        let mut model = Model { weights: BTreeMap::new(), velocities: BTreeMap::new() };
        let mut layer = |name: &str, shape: &[usize]| {
            let (outputs, inputs) = (shape[0], shape[1..].iter().product::<usize>());
            // He's initialisation, uniform.
            let bound = (6.0 / inputs as f32).sqrt();
            let values = (0..outputs * inputs).map(|_| random.between(-bound, bound)).collect();
            model.add(format!("{name}.weight"), Tensor::from_vec(values, shape, device)?)?;
            model.add(
                format!("{name}.bias"),
                Tensor::from_vec(vec![0_f32; outputs], outputs, device)?,
            )
        };
        layer("conv1", &[16, 3, 3, 3])?;
        layer("conv2", &[32, 16, 3, 3])?;
        layer("conv3", &[64, 32, 3, 3])?;
        layer("linear", &[classes, 64 * 4 * 4])?;
        Ok(model)
    }

    fn add(&mut self, name: String, value: Tensor) -> Result<()> {
        self.velocities.insert(name.clone(), value.zeros_like()?);
        self.weights.insert(name, Var::from_tensor(&value)?);
        Ok(())
    }

    /// Logits, `[n, classes]`, of images `[n, 3, 32, 32]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut values = images.clone();
        for name in ["conv1", "conv2", "conv3"] {
            let bias = self.weights[&format!("{name}.bias")].reshape((1, (), 1, 1))?;
            let kernel = &self.weights[&format!("{name}.weight")];
            values = values.conv2d(kernel, 1, 2, 1, 1)?.broadcast_add(&bias)?.relu()?;
        }
        let weights = self.weights["linear.weight"].t()?;
        values.flatten_from(1)?.matmul(&weights)?.broadcast_add(&self.weights["linear.bias"])
    }

    /// One step down the gradient of `loss`.
    pub(crate) fn step(&mut self, loss: &Tensor, rate: f64) -> Result<()> {
        let gradients = loss.backward()?;
        for (name, weight) in &self.weights {
            let (Some(gradient), Some(velocity)) =
                (gradients.get(weight), self.velocities.get_mut(name))
            else {
                continue;
            };
            *velocity = (velocity.affine(MOMENTUM, 0.0)? + gradient)?;
            weight.set(&(weight.as_tensor() - velocity.affine(rate, 0.0)?)?)?;
        }
        Ok(())
    }

    /// All that the next step depends on, by name.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let weights =
            self.weights.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let velocities = self.velocities.iter();
        weights.chain(velocities.map(|(name, tensor)| (velocity(name), tensor.clone()))).collect()
    }

    /// Takes back what [`tensors`](Self::tensors) gave.
    pub(crate) fn restore(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let find = |name: &str| {
            let missing = || candle_core::Error::CannotFindTensor { path: name.to_owned() };
            tensors.get(name).cloned().ok_or_else(missing)
        };
        for (name, weight) in &self.weights {
            weight.set(&find(name)?)?;
        }
        for (name, kept) in &mut self.velocities {
            *kept = find(&velocity(name))?;
        }
        Ok(())
    }

    /// A hash of the weights' bits.
    pub(crate) fn hash(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for weight in self.weights.values() {
            for value in weight.flatten_all()?.to_vec1::<f32>()? {
                hasher.write_u32(value.to_bits());
            }
        }
        Ok(hasher.finish())
    }
}

fn velocity(name: &str) -> String {
    format!("{name}.velocity")
}

/// How many rows of `logits` are largest where `labels` says.
pub(crate) fn correct(logits: &Tensor, labels: &Tensor) -> Result<u32> {
    let found = logits.argmax(D::Minus1)?.to_dtype(labels.dtype())?;
    found.eq(labels)?.to_dtype(candle_core::DType::U32)?.sum_all()?.to_scalar()
}
