//! Batches as tensors of [burn](https://burn.dev), and a loader for its `Learner`
//! (feature `burn`; Rust 1.95, as burn needs). The backend is the program's choice.
//!
//! One batch at a time, in a loop of one's own:
//!
//! ```no_run
//! # use burn_core::tensor::Device;
//! # let device = Device::default();
//! let mut loader = infeed::Loader::folder("photos").size(224, 224).shuffle(7).build()?;
//! for batch in loader.epoch(0)? {
//!     let batch = batch?.into_burn(&device);
//!     let images = batch.images;        // Tensor<4>, [n, 3, 224, 224], in 0.0..=1.0
//!     let labels = batch.labels;        // Tensor<1, Int>, [n]: the class folder's number
//! #   drop((images, labels));
//! }
//! # Ok::<(), infeed::Error>(())
//! ```
//!
//! Or [`BurnLoader`] in the place of the loader that burn's `DataLoaderBuilder` makes:
//!
//! ```no_run
//! # use burn_core::tensor::Device;
//! use std::sync::Arc;
//!
//! use burn_core::data::dataloader::DataLoader;
//! use infeed::burn::{BurnLoader, TensorBatch};
//!
//! # let device = Device::default();
//! let loader = infeed::Loader::folder("photos").size(224, 224).shuffle(7).build()?;
//! let train: Arc<dyn DataLoader<TensorBatch>> = Arc::new(BurnLoader::new(loader, &device));
//! // SupervisedTraining::new(directory, train, validation)
//! # Ok::<(), infeed::Error>(())
//! ```

mod loader;

use burn_core::tensor::{DType, Device, Float, Int, Tensor, TensorData, kind::Basic};
use ndarray::{Array1, Array2};

use crate::batch::Batch;
use crate::element::Element;
use crate::{bf16, f16};

pub use loader::{BurnBatches, BurnLoader};

/// What kind of tensor the images of a batch become: floats become `Tensor<4>` of
/// the batch's own type, [`u8`] levels `Tensor<4, Int>` of 8 bits.
///
/// Levels cross to the device in a quarter of the bytes; there,
/// `images.float().div_scalar(255.0)` makes of them what an `f32` batch holds. Not
/// every backend has tensors of `u8`, [`f16`](struct@f16) or [`bf16`]; of
/// [`f32`] all have.
pub trait BurnElement: Element + burn_core::tensor::Element {
    /// [`Float`] or [`Int`].
    type Kind: Basic + 'static;
}

impl BurnElement for f32 {
    type Kind = Float;
}

impl BurnElement for f16 {
    type Kind = Float;
}

impl BurnElement for bf16 {
    type Kind = Float;
}

impl BurnElement for u8 {
    type Kind = Int;
}

/// A batch as tensors, in this crate's words. What burn's examples of
/// classification call `targets`, the class of each image, are the `labels` here;
/// `targets` are numbers to be predicted.
#[derive(Clone, Debug)]
pub struct TensorBatch<K: Basic = Float> {
    /// The images, as [`Batch::images`]: `[n, 3, height, width]` with
    /// [`Layout::Chw`](crate::Layout::Chw), which burn's convolutions take,
    /// `[n, height, width, 3]` with [`Layout::Hwc`](crate::Layout::Hwc); 1 in place of 3
    /// of grey. Of the batch's own element type, whatever the device's default is.
    pub images: Tensor<4, K>,
    /// The class numbers, `[n]`, of the device's integer type;
    /// [`NO_LABEL`](crate::NO_LABEL), -1, where a sample has none.
    pub labels: Tensor<1, Int>,
    /// What is to be predicted, `[n, k]`, of the device's float type; `k` is 0 where
    /// the source has no targets.
    pub targets: Tensor<2>,
}

impl<T: BurnElement> Batch<T> {
    /// The batch as tensors on `device`. The memory of the images goes over to burn
    /// without a copy; a backend on the CPU keeps it, another copies from it to its
    /// device. The loader allocates other memory for a later batch.
    #[must_use]
    pub fn into_burn(self, device: &Device) -> TensorBatch<T::Kind> {
        let shape = self.images_shape();
        let parts = self.into_parts();
        // The array is in standard order and begins with the vector.
        let (values, _) = parts.images.into_raw_vec_and_offset();
        tensors(values, shape, parts.labels, parts.targets, device)
    }

    /// The batch as tensors on `device`, by one copy of the images. Dropped
    /// afterwards, the batch lends its memory to a later one.
    #[must_use]
    pub fn to_burn(&self, device: &Device) -> TensorBatch<T::Kind> {
        let (labels, targets) = (self.labels().to_owned(), self.targets().to_owned());
        tensors(self.as_slice().to_vec(), self.images_shape(), labels, targets, device)
    }

    fn images_shape(&self) -> [usize; 4] {
        let (n, a, b, c) = self.images().dim();
        [n, a, b, c]
    }
}

fn tensors<T: BurnElement>(
    values: Vec<T>,
    shape: [usize; 4],
    labels: Array1<i64>,
    targets: Array2<f32>,
    device: &Device,
) -> TensorBatch<T::Kind> {
    let (rows, width) = targets.dim();
    let dtype: DType = <T as burn_core::tensor::Element>::dtype();
    let labels = TensorData::new(labels.into_raw_vec_and_offset().0, [rows]);
    let targets = TensorData::new(targets.into_raw_vec_and_offset().0, [rows, width]);
    TensorBatch {
        images: Tensor::from_data(TensorData::new(values, shape), (device, dtype)),
        labels: Tensor::from_data(labels, device),
        targets: Tensor::from_data(targets, device),
    }
}
