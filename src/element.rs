//! The element type of a batch.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::config::Normalize;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
}

/// What one value of a batch is: [`f32`] (normalised, see [`Normalize`]) or
/// [`u8`] (the 8-bit level as it is).
///
/// Resizing ends in 8 bits whatever the element type; an element is a function
/// of the level and the channel alone. So `f32` batches are exactly what
/// normalising `u8` batches would give.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + fmt::Debug + Send + Sync + Unpin + 'static
{
    /// The type by name.
    const DTYPE: Dtype;

    /// The value of an 8-bit `level` of channel `channel` (0 red, 1 green,
    /// 2 blue).
    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn from_level(level: u8, channel: usize, normalize: &Normalize) -> Self {
        (f32::from(level) / 255.0 - normalize.mean[channel]) / normalize.std[channel]
    }
}

impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;

    fn from_level(level: u8, _channel: usize, _normalize: &Normalize) -> Self {
        level
    }
}

/// An element type by name, for reports and command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 8-bit unsigned.
    U8,
}

impl Dtype {
    /// The name, as the command line takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
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
