//! Batches as the tensors of frameworks, each behind its feature.

#[cfg(feature = "candle")]
pub mod candle;
