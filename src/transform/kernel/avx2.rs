//! x86-64 with AVX2 and F16C.
//!
//! Everything unsafe here is one of two things. *Calling* a function that needs
//! these instructions: the public ones of this file are reached only through
//! [`Isa::Avx2`](super::Isa::Avx2), which exists only where they were detected.
//! *Loading and storing*: through references to arrays of the right length, or,
//! in the two `filter` loops, at an index that the taps' private `end` bounds.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::portable::{self, Scale};
use super::taps::{GROUP, Group, LOW_BITS};
use super::{PAIR_BITS, Pairs, WINDOW_BITS, Windows};

/// Columns that `filter_pairs` computes at once.
const COLUMNS: usize = 8;

pub(super) fn filter_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    // Loads go up to two bytes behind a tap.
    if pairs.step() == 0 || from.len() < pairs.end() + 2 {
        return portable::filter_pairs(from, pairs, 0, to);
    }
    let whole = pairs.len() / COLUMNS * COLUMNS;
    // SAFETY: the instructions are there (see the module), and just checked:
    // every load of 8 bytes at a tap of three channels, or of 4 at a tap of
    // one, ends two bytes behind its tap.
    unsafe {
        match pairs.channels() {
            1 => grey_pairs(from, pairs, to),
            _ => rgb_pairs(from, pairs, to),
        }
    }
    portable::filter_pairs(from, pairs, whole, to);
}

/// # Safety
///
/// `from` has at least `pairs.end() + 2` bytes, and the pairs three channels.
#[target_feature(enable = "avx2")]
unsafe fn rgb_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    let columns = pairs.len();
    let (red, rest) = to.split_at_mut(columns);
    let (green, blue) = rest.split_at_mut(columns);
    let (at, _) = pairs.at().as_chunks::<COLUMNS>();
    let (weights, _) = pairs.weights().as_chunks::<COLUMNS>();
    let planes = red.as_chunks_mut::<COLUMNS>().0.iter_mut();
    let planes = planes.zip(green.as_chunks_mut().0).zip(blue.as_chunks_mut().0);
    // Of two columns' bytes `r0 g0 b0 r1 g1 b1 . .`: the reds, then the greens, as
    // pairs of 16 bits; and the blues.
    let red_green = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, -1, 3, -1, 8, -1, 11, -1, 1, -1, 4, -1, 9, -1, 12, -1,
    ));
    let blues = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        2, -1, 5, -1, 10, -1, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    ));
    let two = |a: u32, b: u32| {
        // SAFETY: as the caller of this function promises.
        unsafe {
            let a = _mm_loadl_epi64(from.as_ptr().add(a as usize).cast());
            let b = _mm_loadl_epi64(from.as_ptr().add(b as usize).cast());
            _mm_unpacklo_epi64(a, b)
        }
    };
    for ((at, weights), ((red, green), blue)) in at.iter().zip(weights).zip(planes) {
        let outer = _mm256_setr_m128i(two(at[0], at[1]), two(at[4], at[5]));
        let inner = _mm256_setr_m128i(two(at[2], at[3]), two(at[6], at[7]));
        let (a, b) = (_mm256_shuffle_epi8(outer, red_green), _mm256_shuffle_epi8(inner, red_green));
        let (c, d) = (_mm256_shuffle_epi8(outer, blues), _mm256_shuffle_epi8(inner, blues));
        let weights = load_pairs(weights);
        store_sums(_mm256_unpacklo_epi64(a, b), weights, red);
        store_sums(_mm256_unpackhi_epi64(a, b), weights, green);
        store_sums(_mm256_unpacklo_epi64(c, d), weights, blue);
    }
}

/// # Safety
///
/// `from` has at least `pairs.end() + 2` bytes, and the pairs one channel.
#[target_feature(enable = "avx2")]
unsafe fn grey_pairs(from: &[u8], pairs: &Pairs, to: &mut [i16]) {
    let (at, _) = pairs.at().as_chunks::<COLUMNS>();
    let (weights, _) = pairs.weights().as_chunks::<COLUMNS>();
    let widen = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1,
    ));
    for ((at, weights), to) in at.iter().zip(weights).zip(to.as_chunks_mut::<COLUMNS>().0) {
        let load = |at: u32| {
            // SAFETY: as the caller of this function promises.
            unsafe { from.as_ptr().add(at as usize).cast::<i32>().read_unaligned() }
        };
        let levels = _mm256_setr_epi32(
            load(at[0]),
            load(at[1]),
            load(at[2]),
            load(at[3]),
            load(at[4]),
            load(at[5]),
            load(at[6]),
            load(at[7]),
        );
        store_sums(_mm256_shuffle_epi8(levels, widen), load_pairs(weights), to);
    }
}

/// Weighs eight pairs and stores the sums in 16 bits.
#[target_feature(enable = "avx2")]
fn store_sums(pairs: __m256i, weights: __m256i, to: &mut [i16; COLUMNS]) {
    let sums = _mm256_srai_epi32::<{ PAIR_BITS as i32 - 7 }>(_mm256_madd_epi16(pairs, weights));
    let (low, high) = (_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    // SAFETY: the array has 16 bytes.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi32(low, high)) };
}

#[target_feature(enable = "avx2")]
fn load_pairs(weights: &[[i16; 2]; COLUMNS]) -> __m256i {
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
}

pub(super) fn blend(upper: &[i16], lower: &[i16], weights: [i16; 2], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { blend_chunks(upper, lower, weights, to) };
    portable::blend(&upper[done..], &lower[done..], weights, &mut to[done..]);
}

/// How many levels are done.
#[target_feature(enable = "avx2")]
fn blend_chunks(upper: &[i16], lower: &[i16], weights: [i16; 2], to: &mut [u8]) -> usize {
    let [above, below] = weights.map(|weight| _mm256_set1_epi16(weight));
    let round = _mm256_set1_epi16(2);
    let (to, _) = to.as_chunks_mut::<32>();
    let rows = upper.as_chunks::<32>().0.iter().zip(lower.as_chunks::<32>().0);
    for (to, (upper, lower)) in to.iter_mut().zip(rows) {
        let half = |at: usize| {
            // SAFETY: each array has 64 bytes, and `at` is 0 or 16 values.
            let (upper, lower) = unsafe {
                let upper = _mm256_loadu_si256(upper.as_ptr().add(at).cast());
                (upper, _mm256_loadu_si256(lower.as_ptr().add(at).cast()))
            };
            let upper = _mm256_mulhi_epi16(upper, above);
            let sum = _mm256_add_epi16(upper, _mm256_mulhi_epi16(lower, below));
            _mm256_srai_epi16::<2>(_mm256_add_epi16(sum, round))
        };
        let packed = _mm256_packus_epi16(half(0), half(16));
        store_levels(_mm256_permute4x64_epi64::<0b11_01_10_00>(packed), to);
    }
    to.len() * 32
}

#[target_feature(enable = "avx2")]
fn store_levels(levels: __m256i, to: &mut [u8; 32]) {
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), levels) };
}

pub(super) fn filter_windows(from: &[u8], windows: &Windows, to: &mut [u8]) {
    let mut done = 0;
    // Loads of 16 bytes go 4 behind a group of 4 taps, filling included.
    if windows.channels() == 3 && from.len() >= windows.filled_end() + 4 {
        // SAFETY: the instructions are there (see the module), and the last
        // load was just checked to end inside `from`.
        done = unsafe { rgb_windows(from, windows, to) };
    }
    portable::filter_windows(from, windows, done, to);
}

/// How many columns are done.
///
/// # Safety
///
/// Of every window all taps, and 4 bytes more, lie inside `from`.
#[target_feature(enable = "avx2")]
unsafe fn rgb_windows(from: &[u8], windows: &Windows, to: &mut [u8]) -> usize {
    const AT_ONCE: usize = 4;
    let (columns, groups) = (windows.len(), windows.groups());
    let (red, rest) = to.split_at_mut(columns);
    let (green, blue) = rest.split_at_mut(columns);
    // Two taps to each half: their reds, greens, blues as pairs of 16 bits.
    let spread = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
    );
    let high = _mm256_setr_epi8(
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, //
        4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7,
    );
    let low = _mm256_add_epi8(high, _mm256_set1_epi8(2 * GROUP as i8));
    let half = _mm_set1_epi32(1 << (WINDOW_BITS - 1));
    let sums = |at: u32, groups: &[Group]| {
        let mut sums = [_mm256_setzero_si256(); 2];
        let mut at = at as usize;
        for group in groups {
            // SAFETY: the array has 16 bytes, and so has `from` at this index,
            // as the caller of this function promises.
            let (weights, bytes) = unsafe {
                let bytes = _mm_loadu_si128(from.as_ptr().add(at).cast());
                (_mm_loadu_si128(group.as_ptr().cast()), bytes)
            };
            let weights = _mm256_broadcastsi128_si256(weights);
            let values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
            let upper = _mm256_madd_epi16(values, _mm256_shuffle_epi8(weights, high));
            let lower = _mm256_madd_epi16(values, _mm256_shuffle_epi8(weights, low));
            sums = [_mm256_add_epi32(sums[0], upper), _mm256_add_epi32(sums[1], lower)];
            at += 3 * GROUP;
        }
        let both = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(sums[0]), sums[1]);
        let (a, b) = (_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
        _mm_srai_epi32::<{ WINDOW_BITS as i32 }>(_mm_add_epi32(_mm_add_epi32(a, b), half))
    };
    let by_channel = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1);
    let planes = red.as_chunks_mut::<AT_ONCE>().0.iter_mut();
    let planes = planes.zip(green.as_chunks_mut().0).zip(blue.as_chunks_mut().0);
    let (at, _) = windows.at().as_chunks::<AT_ONCE>();
    let weights = windows.weights().chunks_exact((AT_ONCE * groups).max(1));
    for ((at, weights), ((red, green), blue)) in at.iter().zip(weights).zip(planes) {
        let (first, second) = weights.split_at(2 * groups);
        let ((a, b), (c, d)) = (first.split_at(groups), second.split_at(groups));
        let first = _mm_packs_epi32(sums(at[0], a), sums(at[1], b));
        let second = _mm_packs_epi32(sums(at[2], c), sums(at[3], d));
        // Saturates to 0..=255, as the portable path clamps.
        let levels = _mm_shuffle_epi8(_mm_packus_epi16(first, second), by_channel);
        *red = _mm_cvtsi128_si32(levels).to_le_bytes();
        *green = _mm_extract_epi32::<1>(levels).to_le_bytes();
        let blue: &mut [u8; AT_ONCE] = blue;
        *blue = _mm_extract_epi32::<2>(levels).to_le_bytes();
    }
    columns / AT_ONCE * AT_ONCE
}

pub(super) fn sum_rows<'a>(weights: &[i32], row: impl Fn(usize) -> &'a [u8], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { sum_chunks(weights, &row, to) };
    portable::sum_rows(weights, row, done, to);
}

/// How many levels are done.
#[target_feature(enable = "avx2")]
fn sum_chunks<'a>(weights: &[i32], row: &impl Fn(usize) -> &'a [u8], to: &mut [u8]) -> usize {
    const LANES: usize = 32;
    let half = _mm256_set1_epi32(1 << (WINDOW_BITS - 1));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let (to, _) = to.as_chunks_mut::<LANES>();
    for (chunk, to) in to.iter_mut().enumerate() {
        let mut sums = [half; 4];
        for (k, &weight) in weights.iter().enumerate() {
            let weight = _mm256_set1_epi32(weight);
            let (eights, _) = row(k)[chunk * LANES..][..LANES].as_chunks::<8>();
            for (sum, eight) in sums.iter_mut().zip(eights) {
                let product = _mm256_mullo_epi32(widen(eight), weight);
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
        let [a, b, c, d] = sums.map(|sum| _mm256_srai_epi32::<{ WINDOW_BITS as i32 }>(sum));
        let packed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        store_levels(_mm256_permutevar8x32_epi32(packed, order), to);
    }
    to.len() * LANES
}

/// Eight levels in 32 bits each.
#[target_feature(enable = "avx2")]
fn widen(levels: &[u8; 8]) -> __m256i {
    // SAFETY: the array has 8 bytes.
    _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(levels.as_ptr().cast()) })
}

pub(super) fn interleave(planes: [&[u8]; 3], to: &mut [u8]) {
    // SAFETY: the instructions are there (see the module).
    let done = unsafe { interleave_chunks(planes, to) };
    portable::interleave(planes.map(|plane| &plane[done..]), &mut to[3 * done..]);
}

/// How many pixels are done.
#[target_feature(enable = "avx2")]
fn interleave_chunks([first, second, third]: [&[u8]; 3], to: &mut [u8]) -> usize {
    let planes = first.as_chunks::<32>().0.iter();
    let planes = planes.zip(second.as_chunks::<32>().0).zip(third.as_chunks::<32>().0);
    let (to, _) = to.as_chunks_mut::<96>();
    for (to, ((a, b), c)) in to.iter_mut().zip(planes) {
        // SAFETY: each array has 32 bytes.
        let load = |p: &[u8; 32]| unsafe { _mm256_loadu_si256(p.as_ptr().cast()) };
        store_pixels([a, b, c].map(load), to);
    }
    to.len() * 32
}

/// Three planes of 32 to pixels. In each half a plane's 16 levels go to the places that
/// they will have in one of three vectors, all different, as 3 and 16 have no divisor in
/// common; then each vector takes from each plane the places of its channel.
#[target_feature(enable = "avx2")]
fn store_pixels(planes: [__m256i; 3], to: &mut [u8; 96]) {
    let spread = |channel: usize| {
        // Level `i` goes to place (3 i + channel) % 16; 11 is the inverse of 3.
        let from: [u8; 16] = std::array::from_fn(|place| ((place + 16 - channel) * 11 % 16) as u8);
        // SAFETY: 16 bytes are there.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    };
    let places = |vector: usize, channel: usize| {
        let of: [u8; 16] =
            std::array::from_fn(|place| if (16 * vector + place) % 3 == channel { 255 } else { 0 });
        // SAFETY: 16 bytes are there.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(of.as_ptr().cast()) })
    };
    let red = _mm256_shuffle_epi8(planes[0], spread(0));
    let green = _mm256_shuffle_epi8(planes[1], spread(1));
    let blue = _mm256_shuffle_epi8(planes[2], spread(2));
    let vector = |i: usize| {
        let two = _mm256_blendv_epi8(red, green, places(i, 1));
        _mm256_blendv_epi8(two, blue, places(i, 2))
    };
    let (a, b, c) = (vector(0), vector(1), vector(2));
    let out = [
        _mm256_permute2x128_si256::<0x20>(a, b),
        _mm256_blend_epi32::<0b1111_0000>(c, a),
        _mm256_permute2x128_si256::<0x31>(b, c),
    ];
    for (to, pixels) in to.as_chunks_mut::<32>().0.iter_mut().zip(out) {
        // SAFETY: 32 bytes are there.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), pixels) }
    }
}

/// Vectors after which the channels of pixels come in the same places again.
const PERIOD: usize = 3;

/// Means and deviations of the elements of one period.
struct Lanes {
    mean: [__m256; PERIOD],
    std: [__m256; PERIOD],
    /// Nothing to subtract or to divide by.
    unit: bool,
}

impl Lanes {
    /// Of one channel.
    #[target_feature(enable = "avx2,f16c")]
    fn plane<T>(scale: &Scale<T>) -> Lanes {
        let (mean, std) = (_mm256_set1_ps(scale.mean), _mm256_set1_ps(scale.std));
        let unit = scale.mean == 0.0 && scale.std == 1.0;
        Lanes { mean: [mean; PERIOD], std: [std; PERIOD], unit }
    }

    /// Of three channels in turn.
    #[target_feature(enable = "avx2,f16c")]
    fn pixels<T>(scales: [&Scale<T>; 3]) -> Lanes {
        let (mut means, mut stds) = ([0.0; 8 * PERIOD], [0.0; 8 * PERIOD]);
        for (i, (mean, std)) in means.iter_mut().zip(&mut stds).enumerate() {
            (*mean, *std) = (scales[i % 3].mean, scales[i % 3].std);
        }
        let load = |values: &[f32; 8 * PERIOD]| {
            [0, 8, 16].map(|at| {
                // SAFETY: 8 of the array's 24 floats from there on.
                unsafe { _mm256_loadu_ps(values.as_ptr().add(at)) }
            })
        };
        let unit = scales.iter().all(|scale| scale.mean == 0.0 && scale.std == 1.0);
        Lanes { mean: load(&means), std: load(&stds), unit }
    }
}

/// Eight levels as `(level / 255 - mean) / std`, rounded as those operations
/// are.
///
/// The quotient by 255 is `level / 2^8 + level / (2^8 * 255)`: the first part is
/// exact, and for each of the 256 levels the sum rounds to what the division
/// gives (`tests.rs` looks at all of them), at a fraction of its cost.
#[target_feature(enable = "avx2,f16c")]
fn normalise<const UNIT: bool>(levels: &[u8; 8], mean: __m256, std: __m256) -> __m256 {
    let level = _mm256_cvtepi32_ps(widen(levels));
    let exact = _mm256_mul_ps(level, _mm256_set1_ps(1.0 / 256.0));
    let rest = _mm256_mul_ps(level, _mm256_set1_ps(1.0 / 256.0 / 255.0));
    let value = _mm256_add_ps(exact, rest);
    if UNIT { value } else { _mm256_div_ps(_mm256_sub_ps(value, mean), std) }
}

/// A conversion to `$type`: `$store` puts eight floats into eight elements.
macro_rules! convert {
    ($plane:ident, $pixels:ident, $chunks:ident, $type:ty, $store:ident) => {
        pub(super) fn $plane(levels: &[u8], scale: &Scale<$type>, to: &mut [$type]) {
            // SAFETY: the instructions are there (see the module).
            let done = unsafe { $chunks(levels, &Lanes::plane(scale), to) };
            portable::convert(&levels[done..], scale, &mut to[done..]);
        }

        pub(super) fn $pixels(levels: &[u8], scales: [&Scale<$type>; 3], to: &mut [$type]) {
            // SAFETY: the instructions are there (see the module).
            let done = unsafe { $chunks(levels, &Lanes::pixels(scales), to) };
            // What is left begins with whichever channel comes next.
            let scales = std::array::from_fn(|i| scales[(done + i) % 3]);
            portable::convert_pixels(&levels[done..], scales, &mut to[done..]);
        }

        /// How many elements are done.
        #[target_feature(enable = "avx2,f16c")]
        fn $chunks(levels: &[u8], lanes: &Lanes, to: &mut [$type]) -> usize {
            #[target_feature(enable = "avx2,f16c")]
            fn all<const UNIT: bool>(levels: &[u8], lanes: &Lanes, to: &mut [$type]) -> usize {
                let (periods, rest) = to.as_chunks_mut::<{ 8 * PERIOD }>();
                let (level_periods, level_rest) = levels.as_chunks::<{ 8 * PERIOD }>();
                for (to, levels) in periods.iter_mut().zip(level_periods) {
                    few::<UNIT>(levels, lanes, to);
                }
                periods.len() * 8 * PERIOD + few::<UNIT>(level_rest, lanes, rest)
            }

            #[target_feature(enable = "avx2,f16c")]
            fn few<const UNIT: bool>(levels: &[u8], lanes: &Lanes, to: &mut [$type]) -> usize {
                let (to, _) = to.as_chunks_mut::<8>();
                let scales = lanes.mean.iter().zip(&lanes.std);
                for ((to, levels), (&mean, &std)) in
                    to.iter_mut().zip(levels.as_chunks::<8>().0).zip(scales)
                {
                    $store(normalise::<UNIT>(levels, mean, std), to);
                }
                to.len() * 8
            }

            match lanes.unit {
                true => all::<true>(levels, lanes, to),
                false => all::<false>(levels, lanes, to),
            }
        }
    };
}

convert!(plane_f32, pixels_f32, chunks_f32, f32, store_f32);
convert!(plane_f16, pixels_f16, chunks_f16, half::f16, store_f16);
convert!(plane_bf16, pixels_bf16, chunks_bf16, half::bf16, store_bf16);

#[target_feature(enable = "avx2,f16c")]
fn store_f32(values: __m256, to: &mut [f32; 8]) {
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), values) };
}

#[target_feature(enable = "avx2,f16c")]
fn store_f16(values: __m256, to: &mut [half::f16; 8]) {
    let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values);
    // SAFETY: the array has 16 bytes, and any bits are an f16.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), halves) };
}

/// Rounds half to even, as `bf16::from_f32` does; a level is never NaN.
#[target_feature(enable = "avx2,f16c")]
fn store_bf16(values: __m256, to: &mut [half::bf16; 8]) {
    let bits = _mm256_castps_si256(values);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let upper = _mm256_srli_epi32::<16>(rounded);
    let (low, high) = (_mm256_castsi256_si128(upper), _mm256_extracti128_si256::<1>(upper));
    // SAFETY: the array has 16 bytes, and any bits are a bf16.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packus_epi32(low, high)) };
}
