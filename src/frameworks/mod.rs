//! Batches as the tensors of machine-learning frameworks, one file each.

#[cfg(feature = "burn")]
pub mod burn;
#[cfg(feature = "candle")]
pub mod candle;
