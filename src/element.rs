//! The element type of a batch.

use std::fmt;

use half::{bf16, f16};
use serde::{Serialize, Serializer};

use crate::config::Normalize;

mod sealed {
    #[allow(private_bounds)]
    pub trait Sealed: crate::transform::Convert + bytemuck::Zeroable {}
    impl<T: crate::transform::Convert + bytemuck::Zeroable> Sealed for T {}
}

/// What one value of a batch is: [`f32`], [`f16`](struct@f16) or [`bf16`] (normalised, see
/// [`Normalize`]) or [`u8`] (the 8-bit level as it is).
///
/// Resizing ends in 8 bits whatever the element type; an element is a function
/// of the level and the channel alone. So `f32` batches are exactly what
/// normalising `u8` batches would give, and the shorter floats are the nearest
/// to them, ties to even.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + fmt::Debug + Send + Sync + Unpin + 'static
{
    /// The type by name.
    const DTYPE: Dtype;

    /// The value of an 8-bit `level` of channel `channel` (0 red, 1 green,
    /// 2 blue).
    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self;

    /// The value as it is, in 32 bits.
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self {
        (f32::from(level) / 255.0 - normalize.mean[channel]) / normalize.std[channel]
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for f16 {
    const DTYPE: Dtype = Dtype::F16;

    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self {
        f16::from_f32(f32::from_level(level, channel, normalize))
    }

    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }
}

impl Element for bf16 {
    const DTYPE: Dtype = Dtype::Bf16;

    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self {
        bf16::from_f32(f32::from_level(level, channel, normalize))
    }

    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
}

impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;

    fn from_level(level: u8, _channel: usize, _normalize: &Normalize) -> Self {
        level
    }

    fn to_f32(self) -> f32 {
        f32::from(self)
    }
}

/// An element type by name, for reports and command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point (IEEE 754 binary16): 11 bits of precision, largest
    /// value 65,504.
    F16,
    /// 16-bit floating point with the range of [`F32`](Dtype::F32) and 8 bits of
    /// precision.
    Bf16,
    /// 8-bit unsigned.
    U8,
}

impl Dtype {
    /// The name, as the command line takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::U8 => "u8",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Dtype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
