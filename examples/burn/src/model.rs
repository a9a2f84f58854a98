//! A small convolutional network, as a `Learner` trains it.

use std::hash::{DefaultHasher, Hasher};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{DataError, Device, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use infeed::burn::TensorBatch;

#[derive(Module, Debug)]
pub(crate) struct Model {
    convolutions: Vec<Conv2d>,
    linear: Linear,
}

impl Model {
    pub(crate) fn new(classes: usize, device: &Device) -> Self {
        let convolution = |inputs, outputs| {
            Conv2dConfig::new([inputs, outputs], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Model {
            convolutions: [(3, 16), (16, 32), (32, 64)].map(|(i, o)| convolution(i, o)).into(),
            linear: LinearConfig::new(64 * 4 * 4, classes).init(device),
        }
    }

    /// Logits, `[n, classes]`, of images `[n, 3, 32, 32]`.
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let convolved = self.convolutions.iter();
        let values = convolved.fold(images, |values, layer| relu(layer.forward(values)));
        self.linear.forward(values.flatten(1, 3))
    }

    fn classify(&self, batch: TensorBatch) -> ClassificationOutput {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, logits, batch.labels)
    }

    /// A hash of the weights' bits.
    pub(crate) fn hash(&self) -> Result<u64, DataError> {
        let mut hasher = DefaultHasher::new();
        let mut add = |values: burn::tensor::TensorData| {
            values.try_to_vec::<f32>().map(|values| {
                values.iter().for_each(|value| hasher.write_u32(value.to_bits()));
            })
        };
        for layer in &self.convolutions {
            add(layer.weight.val().into_data())?;
            layer.bias.as_ref().map_or(Ok(()), |bias| add(bias.val().into_data()))?;
        }
        add(self.linear.weight.val().into_data())?;
        self.linear.bias.as_ref().map_or(Ok(()), |bias| add(bias.val().into_data()))?;
        Ok(hasher.finish())
    }
}

impl TrainStep for Model {
    type Input = TensorBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: TensorBatch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Model {
    type Input = TensorBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: TensorBatch) -> ClassificationOutput {
        self.classify(batch)
    }
}
