//! Every path against the portable one, bit for bit, on this machine.

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::config::Normalize;
use crate::element::Element;

/// What this machine has beside the portable path. An empty list would prove
/// nothing where the fast path is known to exist.
fn others() -> Vec<Isa> {
    let fastest = Isa::detect();
    if fastest == Isa::Portable { Vec::new() } else { vec![fastest] }
}

/// The seed's last bit does not count.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn a_machine_of_this_kind_has_more_than_the_portable_path() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
        assert_eq!(others(), [Isa::Avx2]);
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    assert_eq!(others(), [Isa::Neon]);
}

#[test]
fn a_split_weight_is_whole_again() {
    for weight in (-(6 << 20)..=6 << 20).step_by(61).chain([-1, 0, 1, 2047, 2048, -2048, -2049]) {
        let (high, low) = taps::split(weight);
        assert_eq!((i32::from(high) << taps::LOW_BITS) + i32::from(low), weight);
        assert!(i32::from(low).abs() <= weight.abs().min(2048));
    }
}

/// Wide loads rely on it.
#[test]
fn taps_tell_how_far_they_reach() {
    let weights = [1024, 1024];
    let mut pairs = Pairs::default();
    for (channels, width, end) in [(3, 7, 21), (1, 7, 7), (3, 1, 3), (1, 2, 2)] {
        let last = width - width.min(2);
        pairs.refill(channels, width, [(last, weights), (last / 2, weights)].into_iter());
        assert_eq!((pairs.end(), pairs.pixels()), (end, last as usize / 2..width as usize));
        assert_eq!(pairs.step(), if width == 1 { 0 } else { channels });
    }
    let mut windows = Windows::default();
    for (channels, end, filled_end) in [(3, 27, 36), (1, 9, 12)] {
        windows.clear(channels, 3, 5);
        windows.push(1, &[1]);
        assert_eq!((windows.groups(), windows.filled_end()), (2, 9 * channels));
        windows.push(4, &[1, 2, 3, 4, 5]);
        windows.push(2, &[1, 2]);
        assert_eq!((windows.end(), windows.filled_end()), (end, filled_end));
        assert_eq!(windows.pixels(), 1..9);
    }
}

#[test]
#[should_panic = "a tap outside its row"]
fn a_pair_lies_inside_its_row() {
    Pairs::default().refill(1, 7, [(6, [2048, 0])].into_iter());
}

#[test]
#[should_panic = "the row ends before its last tap"]
fn a_row_is_as_long_as_its_pairs_reach() {
    let mut pairs = Pairs::default();
    pairs.refill(1, 7, [(5, [2048, 0])].into_iter());
    filter_pairs(Isa::detect(), &[0; 6], &pairs, &mut [0]);
}

#[test]
#[should_panic = "the row ends before its last tap"]
fn a_row_is_as_long_as_its_windows_reach() {
    let mut windows = Windows::default();
    windows.clear(3, 1, 3);
    windows.push(2, &[1, 2, 3]);
    filter_windows(Isa::detect(), &[0; 14], &windows, &mut [0; 3]);
}

/// All 256 levels, in every place of the period, on every path.
fn every_level<T: Element>(normalize: &Normalize) {
    let scales = Scale::<T>::all(normalize);
    let levels: Vec<u8> = (0..3 * 256 + 50).map(|i| (i / 3) as u8).collect();
    let mut expected = vec![T::default(); levels.len()];
    for (i, (to, &level)) in expected.iter_mut().zip(&levels).enumerate() {
        *to = T::from_level(level, i % 3, normalize);
    }
    for isa in others().into_iter().chain([Isa::Portable]) {
        let mut pixels = vec![T::default(); levels.len()];
        let [a, b, c] = &*scales;
        T::convert_pixels(isa, &levels, [a, b, c], &mut pixels);
        assert_eq!(pixels, expected, "{isa:?} {normalize:?}");
        for (channel, scale) in scales.iter().enumerate() {
            let mut plane = vec![T::default(); levels.len()];
            T::convert(isa, &levels, scale, &mut plane);
            for (got, &level) in plane.iter().zip(&levels) {
                assert_eq!(*got, T::from_level(level, channel, normalize), "{isa:?} {level}");
            }
        }
    }
}

fn every_type(normalize: &Normalize) {
    every_level::<f32>(normalize);
    every_level::<f16>(normalize);
    every_level::<bf16>(normalize);
}

#[test]
fn every_level_of_every_type() {
    every_type(&Normalize::UNIT);
    every_type(&Normalize::IMAGENET);
    // Too large for 16 bits, too small for them, and beyond all floats.
    every_type(&Normalize { mean: [0.0, 0.5, -3e4], std: [1e-5, 1e7, 1.0] });
    every_type(&Normalize { mean: [0.0, 1e-30, 255.0], std: [1e-38, 1e38, 1e-40] });
    // Level 0 is halfway between two numbers of 16 bits, the smallest included.
    for ulp in [2.0f32.powi(-7), 2.0f32.powi(-10), 2.0f32.powi(-24)] {
        let whole = if ulp < 1e-6 { 0.0 } else { 1.0 };
        let mean = [0.5, 1.5, -2.5].map(|ulps| whole + ulps * ulp);
        every_type(&Normalize { mean, std: [1.0; 3] });
    }
    every_level::<u8>(&Normalize::UNIT);
}

proptest! {
    #[test]
    fn any_normalisation(mean in -2.0f32..2.0, std in 0.001f32..4.0, m in 0.0f32..1.0) {
        every_type(&Normalize { mean: [mean, m, 0.0], std: [std, 1.0, std * m + 0.1] });
    }

    #[test]
    fn pairs(
        width in 1u32..90, columns in 0usize..70, grey: bool, behind in 0usize..20, seed: u32,
    ) {
        let channels = if grey { 1 } else { 3 };
        let random = noise(8 * columns, seed);
        let taps = random.chunks_exact(8).map(|bytes| {
            let weight = i16::from_le_bytes([bytes[0], bytes[1]]).rem_euclid(2049);
            let at = u32::from(bytes[2]) * 256 + u32::from(bytes[3]);
            (at % width.saturating_sub(1).max(1), [2048 - weight, weight])
        });
        let mut pairs = Pairs::default();
        pairs.refill(channels, width, taps);
        let row = noise(channels * width as usize + behind, seed ^ 7);
        let mut expected = vec![0; channels * columns];
        filter_pairs(Isa::Portable, &row, &pairs, &mut expected);
        for isa in others() {
            let mut got = vec![-1; expected.len()];
            filter_pairs(isa, &row, &pairs, &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn blending(len in 0usize..200, above in 0i16..=2048, seed: u32) {
        // What `filter_pairs` can give: 255 * 2048 / 16 at most.
        let row = |seed| -> Vec<i16> {
            let pairs = noise(2 * len, seed);
            let value = |b: &[u8]| (u16::from_le_bytes([b[0], b[1]]) % 32_641) as i16;
            pairs.chunks_exact(2).map(value).collect()
        };
        let (upper, lower) = (row(seed), row(seed ^ 99));
        let mut expected = vec![0; len];
        blend(Isa::Portable, &upper, &lower, [above, 2048 - above], &mut expected);
        for isa in others() {
            let mut got = vec![1; len];
            blend(isa, &upper, &lower, [above, 2048 - above], &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn windows(
        width in 1usize..80, columns in 0usize..40, longest in 1usize..30, grey: bool,
        behind in 0usize..80, seed: u32,
    ) {
        let channels = if grey { 1 } else { 3 };
        let longest = longest.min(width);
        let mut windows = Windows::default();
        windows.clear(channels, columns, longest);
        let random = noise(columns * (2 + 3 * longest), seed);
        for bytes in random.chunks_exact(2 + 3 * longest) {
            let taps = 1 + usize::from(bytes[0]) % longest;
            let first = usize::from(bytes[1]) % (width - taps + 1);
            // Of either sign; sums overshoot on both sides.
            let weight = |b: &[u8]| {
                (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 10) / taps as i32
            };
            let weights: Vec<i32> = bytes[2..].chunks_exact(3).take(taps).map(weight).collect();
            windows.push(first as u32, &weights);
        }
        let row = noise(channels * width + behind, seed ^ 7);
        let mut expected = vec![0; channels * columns];
        filter_windows(Isa::Portable, &row, &windows, &mut expected);
        for isa in others() {
            let mut got = vec![1; expected.len()];
            filter_windows(isa, &row, &windows, &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn sums_of_rows(len in 0usize..150, taps in 1usize..20, seed: u32) {
        let rows: Vec<Vec<u8>> = (0..taps).map(|k| noise(len, seed ^ (2 + 2 * k as u32))).collect();
        let weights: Vec<i32> = noise(3 * taps, seed)
            .chunks_exact(3)
            .map(|b| (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 9) / taps as i32)
            .collect();
        let mut expected = vec![0; len];
        sum_rows(Isa::Portable, &weights, |k| &rows[k], &mut expected);
        for isa in others() {
            let mut got = vec![1; len];
            sum_rows(isa, &weights, |k| &rows[k], &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn interleaving(len in 0usize..150, seed: u32) {
        let planes = [2, 4, 6].map(|plane| noise(len, seed ^ plane));
        let planes = [&planes[0][..], &planes[1], &planes[2]];
        let mut expected = vec![0; 3 * len];
        interleave(Isa::Portable, planes, &mut expected);
        for isa in others() {
            let mut got = vec![1; 3 * len];
            interleave(isa, planes, &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
        }
    }
}
