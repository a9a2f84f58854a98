//! The loops over pixels, once for each instruction set, chosen at run time.
//!
//! ```text
//! filter_pairs    a source row -> two-tap sums of each column, 16 bits      (bilinear)
//! blend           two such rows -> a line of levels
//! filter_windows  a source row -> weighted sums of each column, 8 bits      (antialiased)
//! sum_rows        several such rows -> a line of levels
//! interleave      three planes of a line -> pixels
//! convert         levels -> elements of the batch
//! ```
//!
//! Every path computes the same integers, and the same roundings of the same
//! floating-point operations, so a result never depends on the machine;
//! `tests.rs` holds each path against the portable one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod taps;
#[cfg(test)]
mod tests;

pub(crate) use portable::{Scale, Scales};
pub(super) use taps::{Pairs, Windows};

/// Bits of a weight of [`Pairs`].
pub(super) const PAIR_BITS: u32 = 11;
/// Bits of a weight of [`Windows`]: 32, less 8 for the level and 2 for
/// overshoot.
pub(super) const WINDOW_BITS: u32 = 32 - 8 - 2;

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Plain Rust, for any machine.
    Portable,
    /// x86-64 with AVX2, BMI1, BMI2 and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AArch64 with NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// The fastest one of this machine.
    pub(crate) fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("f16c")
        {
            return Isa::Avx2;
        }
        // Its lanes are taken for bytes in the order of memory.
        #[cfg(target_arch = "aarch64")]
        if cfg!(target_endian = "little") && std::arch::is_aarch64_feature_detected!("neon") {
            return Isa::Neon;
        }
        Isa::Portable
    }
}

/// Sums two neighbours for each target column of a source row.
///
/// `from` begins with the row's first pixel, `[pixel, channel]`, and may go on
/// behind its last. `to` is planar, `[channel, column]`; each value is shifted
/// down by 4 bits so that 16 bits hold it.
pub(super) fn filter_pairs(isa: Isa, from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    assert!(from.len() >= pairs.end(), "the row ends before its last tap");
    assert_eq!(to.len(), pairs.channels() * pairs.len(), "a line of another length");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::filter_pairs(from, pairs, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::filter_pairs(from, pairs, to),
        Isa::Portable => portable::filter_pairs(from, pairs, 0, to),
    }
}

/// Blends two rows of [`filter_pairs`] into levels; the weights add up to 2,048.
pub(super) fn blend(isa: Isa, upper: &[i16], lower: &[i16], weights: [i16; 2], to: &mut [u8]) {
    assert!(upper.len() == to.len() && lower.len() == to.len(), "lines of different lengths");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::blend(upper, lower, weights, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::blend(upper, lower, weights, to),
        Isa::Portable => portable::blend(upper, lower, weights, to),
    }
}

/// Sums a window of source pixels for each target column of a source row. As
/// [`filter_pairs`], but ends in levels.
pub(super) fn filter_windows(isa: Isa, from: &[u8], windows: &Windows, to: &mut [u8]) {
    assert!(from.len() >= windows.end(), "the row ends before its last tap");
    assert_eq!(to.len(), windows.channels() * windows.len(), "a line of another length");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::filter_windows(from, windows, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::filter_windows(from, windows, to),
        Isa::Portable => portable::filter_windows(from, windows, 0, to),
    }
}

/// The weighted sum of as many rows as there are weights; `row(k)` is as long as
/// `to`.
pub(super) fn sum_rows<'a>(
    isa: Isa,
    weights: &[i32],
    row: impl Fn(usize) -> &'a [u8],
    to: &mut [u8],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::sum_rows(weights, row, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::sum_rows(weights, row, to),
        Isa::Portable => portable::sum_rows(weights, row, 0, to),
    }
}

/// Three planes into pixels: `to` is `[pixel, 3]`.
pub(crate) fn interleave(isa: Isa, planes: [&[u8]; 3], to: &mut [u8]) {
    assert!(planes.iter().all(|plane| 3 * plane.len() == to.len()), "planes of another length");
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::interleave(planes, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::interleave(planes, to),
        Isa::Portable => portable::interleave(planes, to),
    }
}

/// Turns levels into elements, for each element type.
pub(crate) trait Convert: Copy {
    /// Levels of one channel.
    fn convert(isa: Isa, levels: &[u8], scale: &Scale<Self>, to: &mut [Self]);

    /// Levels of pixels, `[pixel, 3]`, each channel with its own scale.
    fn convert_pixels(isa: Isa, levels: &[u8], scales: [&Scale<Self>; 3], to: &mut [Self]);
}

impl Convert for u8 {
    fn convert(_: Isa, levels: &[u8], _: &Scale<Self>, to: &mut [Self]) {
        to.copy_from_slice(levels);
    }

    fn convert_pixels(_: Isa, levels: &[u8], _: [&Scale<Self>; 3], to: &mut [Self]) {
        to.copy_from_slice(levels);
    }
}

/// The element types that are normalised.
macro_rules! convert {
    ($type:ty, $plane:ident, $pixels:ident) => {
        impl Convert for $type {
            fn convert(isa: Isa, levels: &[u8], scale: &Scale<Self>, to: &mut [Self]) {
                assert_eq!(levels.len(), to.len(), "levels and elements differ in number");
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2::$plane(levels, scale, to),
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => neon::$plane(levels, scale, to),
                    Isa::Portable => portable::convert(levels, scale, to),
                }
            }

            fn convert_pixels(isa: Isa, levels: &[u8], scales: [&Scale<Self>; 3], to: &mut [Self]) {
                assert_eq!(levels.len(), to.len(), "levels and elements differ in number");
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2::$pixels(levels, scales, to),
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => neon::$pixels(levels, scales, to),
                    Isa::Portable => portable::convert_pixels(levels, scales, to),
                }
            }
        }
    };
}

convert!(f32, plane_f32, pixels_f32);
convert!(half::f16, plane_f16, pixels_f16);
convert!(half::bf16, plane_bf16, pixels_bf16);
