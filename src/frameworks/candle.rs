//! Batches as [candle](candle_core)'s tensors, with the feature `candle`.
//!
//! ```
//! # let photos = infeed::doc::photos();
//! use candle_core::{D, DType, Device};
//! use infeed::Loader;
//!
//! let mut loader = Loader::folder(&photos).batch_size(4).size(32, 32).shuffle(7).build()?;
//! for batch in loader.epoch(0)? {
//!     let batch = batch?.into_candle(&Device::Cpu)?;
//!     assert_eq!(batch.images.dims()[1..], [3, 32, 32]);       // f32 in 0.0..=1.0
//!     assert_eq!(batch.labels.dtype(), DType::I64);
//!     let light = batch.images.flatten_from(1)?.mean(D::Minus1)?;
//!     assert_eq!(light.dims(), batch.labels.dims());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | on the CPU | on another device |
//! | --- | --- | --- |
//! | [`Batch::into_candle`] | no copy; the loader allocates other memory for a later batch | one copy, to the device; the memory serves a later batch |
//! | [`Batch::to_candle`] | one copy; the memory serves a later batch | the same |
//!
//! An [`Element`] becomes candle's type of the same name. The axes are in the order
//! of the batch's [`layout`](Batch::layout): candle's convolutions take
//! [`Layout::Chw`](crate::Layout::Chw), the default.

use candle_core::{Device, Result, Tensor, WithDType};

use crate::batch::{Batch, BatchParts, Sample};
use crate::element::Element;

/// What a batch holds, as candle's tensors: [`Batch::into_candle`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CandleBatch {
    /// As [`Batch::images`]: `[n, 3, height, width]` with
    /// [`Layout::Chw`](crate::Layout::Chw), `[n, height, width, 3]` with
    /// [`Layout::Hwc`](crate::Layout::Hwc); 1 in place of 3 of grey. Of the batch's
    /// element type; contiguous.
    pub images: Tensor,
    /// As [`Batch::labels`]: `[n]` of [`DType::I64`](candle_core::DType::I64),
    /// [`NO_LABEL`](crate::NO_LABEL) where a sample has none.
    pub labels: Tensor,
    /// As [`Batch::targets`]: `[n, k]` of [`DType::F32`](candle_core::DType::F32).
    /// Where `k` is 0 it is on the CPU: not every device can hold nothing.
    pub targets: Tensor,
    /// As [`Batch::samples`].
    pub samples: Vec<Sample>,
}

impl<T: Element + WithDType> Batch<T> {
    /// The batch as candle's tensors on `device`. On [`Device::Cpu`] the images are
    /// not copied: the tensor takes their memory over, and the loader allocates
    /// other for a later batch, which costs a page fault for every 4 KiB of it. On
    /// another device they are copied there, and the memory serves a later batch.
    ///
    /// # Errors
    ///
    /// Those of candle: a device without memory, or without the element type.
    pub fn into_candle(self, device: &Device) -> Result<CandleBatch> {
        if !device.is_cpu() {
            return self.to_candle(device);
        }
        let BatchParts { images, labels, targets, samples } = self.into_parts();
        let (images_shape, targets_shape) = (images.dim(), targets.dim());
        // Whole and in order, so the vectors begin where the arrays do.
        Ok(CandleBatch {
            images: Tensor::from_vec(images.into_raw_vec_and_offset().0, images_shape, device)?,
            labels: Tensor::from_vec(labels.into_raw_vec_and_offset().0, samples.len(), device)?,
            targets: Tensor::from_vec(targets.into_raw_vec_and_offset().0, targets_shape, device)?,
            samples,
        })
    }

    /// The same with one copy of the images: the batch stays, and dropped, its
    /// memory serves a later batch.
    ///
    /// # Errors
    ///
    /// As [`into_candle`](Self::into_candle).
    pub fn to_candle(&self, device: &Device) -> Result<CandleBatch> {
        let targets = self.targets();
        let targets_device = if targets.is_empty() { &Device::Cpu } else { device };
        let (labels, targets_shape) = (self.labels().to_vec(), targets.dim());
        let targets = targets.iter().copied().collect::<Vec<_>>();
        Ok(CandleBatch {
            images: Tensor::from_slice(self.as_slice(), self.images().dim(), device)?,
            labels: Tensor::from_vec(labels, self.len(), device)?,
            targets: Tensor::from_vec(targets, targets_shape, targets_device)?,
            samples: self.samples().to_vec(),
        })
    }
}
