//! Fast against plain, parts against the whole, to the bit.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::bits::Bits;
use super::block::{Block, Coefficients};
use super::exact::Exact;
use super::header::Header;
use super::huffman::{AcTable, Code, DcTable};
use super::idct;
use super::kernel::{self, compiled};
use crate::config::{Limits, Size};
use crate::decode::{Channels, Picture, Region};
use crate::random::Draws;
use crate::transform::Isa;

/// A picture of any pixels, as a file.
pub(super) fn file(
    size: Size,
    sampling: SamplingFactor,
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let Size { width, height } = size;
    let pixels: Vec<u8> = (0..3 * width * height).map(|at| (at * at / 7 + at) as u8).collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 85);
    encoder.set_sampling_factor(sampling);
    set(&mut encoder);
    encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
    file
}

/// Of a file that this decoder takes, with its sides divided, what is `wanted` or all.
pub(super) fn pixels(file: &[u8], by: u32, channels: Channels, wanted: Option<Region>) -> Vec<u8> {
    let mut picture = super::open(file, &Limits::default(), false).unwrap();
    assert_eq!(picture.reduce(by), by);
    let (size, mut all) = (picture.size(), Vec::new());
    let wanted = wanted.unwrap_or(Region::whole(size));
    let mut memory = vec![0; picture.rows_bytes(channels)];
    let stride = channels.count() * size.width as usize;
    let columns = channels.count() * wanted.left as usize..;
    picture
        .read_rows(channels, wanted, &mut memory, &mut |top, rows| {
            for (y, row) in (top..).zip(rows.chunks(stride)) {
                if (wanted.top..wanted.top + wanted.height).contains(&y) {
                    let row = &row[columns.clone()];
                    all.extend(&row[..channels.count() * wanted.width as usize]);
                }
            }
        })
        .unwrap();
    all
}

/// Two files are the same picture of this size: whole and divided, in colour or not, and in
/// part.
pub(super) fn assert_same(one: &[u8], other: &[u8], size: Size) {
    let same = |by, channels, region| {
        let same = pixels(one, by, channels, region) == pixels(other, by, channels, region);
        assert!(same, "{size} {by} {channels:?} {region:?}");
    };
    for by in [1, 2, 4, 8] {
        for channels in [Channels::Rgb, Channels::Grey] {
            same(by, channels, None);
        }
    }
    let (left, top) = (size.width / 3, size.height / 2);
    let region = Region { left, top, width: size.width - left, height: size.height - top };
    same(1, Channels::Rgb, Some(region));
}

/// Plain Rust, and what this machine has beside it.
fn all() -> Vec<Isa> {
    let mut all = vec![Isa::Portable];
    if Isa::detect() != Isa::Portable {
        all.push(Isa::detect());
    }
    all
}

/// So many, but few for an interpreter.
fn rounds(count: usize) -> std::ops::Range<usize> {
    0..if cfg!(miri) { count.div_ceil(1500) } else { count }
}

/// Below `bound`.
fn below(draws: &mut Draws, bound: usize) -> usize {
    draws.below(bound as u64) as usize
}

fn bytes(draws: &mut Draws, len: usize) -> Vec<u8> {
    (0..len).map(|_| draws.next() as u8).collect()
}

/// Multiplied by nothing.
fn plain(values: &Block) -> Coefficients<'_> {
    Coefficients { values, quantisers: &[1; 64] }
}

/// Coefficients as large as `most`, of which `share` are not zero.
fn block(draws: &mut Draws, most: i16, share: f64) -> Block {
    let mut one = |_| match draws.unit() < share {
        true => {
            (draws.below(2 * u64::from(most.unsigned_abs()) + 1) as i64 - i64::from(most)) as i16
        }
        false => 0,
    };
    std::array::from_fn(&mut one)
}

#[test]
fn blocks_are_transformed_alike_on_every_path() {
    let mut draws = Draws::new(&[1]);
    for round in rounds(4_000) {
        let most = [20, 300, 2_000, 8_191, i16::MAX][round % 5];
        let share = [0.02, 0.2, 0.9][round % 3];
        let values = [(); 2].map(|()| block(&mut draws, most, share));
        let quantisers = [(); 2].map(|()| block(&mut draws, [1, 40, i16::MAX][round % 3], 1.0));
        let blocks: [_; 2] = std::array::from_fn(|i| Coefficients {
            values: &values[i],
            quantisers: &quantisers[i],
        });
        let strides = [20 + round % 7, 24];
        let at = [3, 700];
        let mut expected = vec![9; 1_000];
        for i in 0..2 {
            idct::whole(blocks[i], &mut expected[at[i]..], strides[i]);
        }
        for isa in all() {
            let mut samples = vec![9; 1_000];
            let placed = std::array::from_fn(|i| (blocks[i], at[i], strides[i]));
            kernel::whole(isa, placed, &mut samples);
            assert_eq!(samples, expected, "{isa:?} {blocks:?}");
        }
    }
}

/// The definition (A.3.3), in floating point.
fn definition(block: &Block) -> [f64; 64] {
    let scale = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let angle = |x: usize, k: usize| ((2 * x + 1) * k) as f64 * std::f64::consts::PI / 16.0;
    std::array::from_fn(|sample| {
        let (y, x) = (sample / 8, sample % 8);
        let parts = (0..64).map(|place| {
            let (v, u) = (place / 8, place % 8);
            let part = scale(u) * scale(v) * f64::from(block[place]);
            part * angle(x, u).cos() * angle(y, v).cos()
        });
        parts.sum::<f64>() / 4.0 + 128.0
    })
}

#[test]
fn blocks_are_transformed_as_the_standard_defines() {
    let mut draws = Draws::new(&[2]);
    for round in rounds(500) {
        let block = block(&mut draws, [5, 60, 200][round % 3], 0.3);
        let mut samples = [0; 64];
        idct::whole(plain(&block), &mut samples, 8);
        for (sample, exact) in samples.into_iter().zip(definition(&block)) {
            let off = (f64::from(sample) - exact.clamp(0.0, 255.0)).abs();
            assert!(off < 1.0, "{sample} for {exact}");
        }
    }
}

#[test]
fn fewer_samples_are_means_of_the_others() {
    let mut draws = Draws::new(&[8]);
    for round in rounds(500) {
        let block = block(&mut draws, [5, 60, 200][round % 3], 0.3);
        let exact = definition(&block);
        for side in [1, 2, 4] {
            let mut samples = [0; 16];
            match side {
                1 => idct::constant(plain(&block), &mut samples, 1, 1),
                _ => kernel::reduced(Isa::Portable, plain(&block), &mut samples, side, side),
            }
            let square = 8 / side;
            for (i, &sample) in samples[..side * side].iter().enumerate() {
                let (y, x) = (i / side * square, i % side * square);
                let of = |k: usize| exact[8 * (y + k / square) + x + k % square];
                let mean = (0..square * square).map(of).sum::<f64>() / (square * square) as f64;
                let off = (f64::from(sample) - mean.clamp(0.0, 255.0)).abs();
                assert!(off < 1.0, "{sample} for {mean}, side {side}");
            }
            for isa in all() {
                let mut again = [0; 16];
                if side > 1 {
                    kernel::reduced(isa, plain(&block), &mut again, side, side);
                    assert_eq!(again, samples, "{isa:?}");
                }
            }
        }
    }
}

#[test]
fn short_ways_are_the_long_one() {
    let mut draws = Draws::new(&[3]);
    for _ in rounds(2_000) {
        let mut block = block(&mut draws, 8_191, 1.0);
        block[8..].fill(0);
        let mut expected = [0; 64];
        idct::whole(plain(&block), &mut expected, 8);
        let mut samples = [0; 64];
        idct::flat(plain(&block), &mut samples, 8);
        assert_eq!(samples, expected);
        block[1..].fill(0);
        idct::whole(plain(&block), &mut expected, 8);
        idct::constant(plain(&block), &mut samples, 8, 8);
        assert_eq!(samples, expected);
    }
}

/// Twice as many samples, one after the other, of sums of `parts` each.
fn doubled(sums: &[u32], parts: u32, rounding: [u32; 2], len: usize) -> Vec<u8> {
    let sample = |i: usize| {
        let (this, odd) = (sums[i / 2], i % 2);
        let beside = if odd == 1 { sums.get(i / 2 + 1) } else { sums[..i / 2].last() };
        ((3 * this + beside.unwrap_or(&this) + rounding[odd]) / (4 * parts)) as u8
    };
    (0..len).map(sample).collect()
}

/// The formula in libjpeg's fixed point.
fn colour(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + (1 << 15)) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + (1 << 15)) >> 16);
    let blue = y + ((116_130 * cb + (1 << 15)) >> 16);
    [red, green, blue].map(|level| level.clamp(0, 255) as u8)
}

#[test]
fn lines_are_upsampled_and_coloured_as_is_written_down() {
    let mut draws = Draws::new(&[4]);
    for len in (1..200).step_by(if cfg!(miri) { 61 } else { 1 }) {
        let [near, far, more] = [0; 3].map(|_| bytes(&mut draws, len));
        let alone: Vec<u32> = near.iter().map(|&near| near.into()).collect();
        let both = alone.iter().zip(&far).map(|(near, &far)| 3 * near + u32::from(far));
        let both: Vec<u32> = both.collect();
        let pixels = near.iter().zip(&far).zip(&more).map(|((&y, &cb), &cr)| colour(y, cb, cr));
        let pixels: Vec<u8> = pixels.flatten().collect();
        for isa in all() {
            for wide in [2 * len - 1, 2 * len] {
                let mut line = vec![1; wide];
                kernel::double(isa, &near, &mut line);
                assert_eq!(line, doubled(&alone, 1, [1, 2], wide), "{isa:?} {len}");
                kernel::double_between(isa, &near, &far, &mut line);
                assert_eq!(line, doubled(&both, 4, [8, 7], wide), "{isa:?} {len}");
            }
            let mut line = vec![1; 3 * len];
            kernel::rgb(isa, [&near, &far, &more], &mut line);
            assert_eq!(line, pixels, "{isa:?} {len}");
        }
    }
}

#[test]
fn every_colour_is_that_of_the_formula() {
    let ramp: Vec<u8> = (0..=255).collect();
    let every = |step| (0..=255).step_by(if cfg!(miri) { 120 } else { step });
    let every_third = every(1).flat_map(|cb| every(3).map(move |cr| (cb, cr)));
    for (cb, cr) in every_third.chain(every(1).map(|cr| (90, cr))) {
        for isa in all() {
            let mut pixels = [0; 768];
            kernel::rgb(isa, [&ramp, &[cb; 256], &[cr; 256]], &mut pixels);
            for (&y, pixel) in ramp.iter().zip(pixels.as_chunks::<3>().0) {
                assert_eq!(*pixel, colour(y, cb, cr), "{isa:?} {y} {cb} {cr}");
            }
        }
    }
}

/// A code of any lengths that are those of a code, for these symbols.
fn code(draws: &mut Draws, mut symbols: Vec<u8>) -> ([u8; 16], Vec<u8>) {
    let mut counts = [0; 16];
    // Codes that are free at each length; one stays so, of all ones.
    let (mut free, mut used) = (1_usize, 0);
    for (length, count) in counts.iter_mut().enumerate() {
        free *= 2;
        let left = symbols.len() - used;
        let most = (free - 1).min(left).min(200);
        let most = if length < 12 { most.min(1 + free / 3) } else { most };
        *count = below(draws, most + 1) as u8;
        free -= usize::from(*count);
        used += usize::from(*count);
    }
    symbols.truncate(used);
    (counts, symbols)
}

#[test]
fn coefficients_are_those_that_are_read_bit_by_bit() {
    let mut draws = Draws::new(&[5]);
    let mut read = 0;
    for _ in rounds(600) {
        let mut symbols: Vec<u8> = (0..=255).filter(|s| s & 15 <= 10 || s & 15 == 15).collect();
        for last in (1..symbols.len()).rev() {
            symbols.swap(last, below(&mut draws, last + 1));
        }
        let (dc_counts, dc_symbols) = code(&mut draws, (0..12).collect());
        let (ac_counts, ac_symbols) = code(&mut draws, symbols);
        let dc = DcTable::new(Code { counts: &dc_counts, symbols: &dc_symbols }).unwrap();
        let ac = AcTable::new(Code { counts: &ac_counts, symbols: &ac_symbols }).unwrap();
        // Stuffed as in a file.
        let raw = bytes(&mut draws, 400);
        let data: Vec<u8> = raw
            .iter()
            .flat_map(|&byte| [byte, 0].into_iter().take(1 + usize::from(byte == 0xff)))
            .collect();
        let plain_bits = &mut Bits::new(&data);
        let (mut plain_before, mut fast_before) = (0, [0; 2]);
        let mut fast_bits = [Bits::new(&data); 2];
        let mut passing = (Bits::new(&data), 0);
        'blocks: for _ in 0..200 {
            let mut expected = [0; 256];
            let last = ac.any_block(&dc, plain_bits, &mut plain_before, &mut expected);
            if plain_bits.ran_out() {
                break;
            }
            for (i, isa) in all().into_iter().enumerate() {
                let mut block = [0; 256];
                let (bits, before) = (&mut fast_bits[i], &mut fast_before[i]);
                let Some(found) = compiled!(isa, ac.block(&dc, bits, before, &mut block)) else {
                    // What is no block, the plain one reads in its own way.
                    assert!(ac.skip(&dc, &mut passing.0, &mut passing.1).is_none(), "{isa:?}");
                    break 'blocks;
                };
                assert_eq!((block, found), (expected, last), "{isa:?}");
                read += 1;
            }
            let (bits, before) = &mut passing;
            ac.skip(&dc, bits, before).unwrap();
            assert_eq!(*before, plain_before);
        }
    }
    assert!(read > 500 || cfg!(miri), "{read} blocks");
}

#[test]
fn lengths_that_are_those_of_no_code_are_refused() {
    let table = |counts: [u8; 16], symbols: &[u8]| {
        AcTable::new(Code { counts: &counts, symbols }).is_some()
    };
    let mut counts = [0; 16];
    assert!(table(counts, &[]), "an empty one is never used");
    counts[0] = 1;
    assert!(table(counts, &[1]));
    assert!(!table(counts, &[]), "a symbol is missing");
    counts[0] = 2;
    assert!(!table(counts, &[1, 2]), "a code of all ones");
    (counts[0], counts[1]) = (1, 2);
    assert!(!table(counts, &[1, 2, 3]));
    assert!(DcTable::new(Code { counts: &[1; 16], symbols: &[16; 16] }).is_none());
}

/// A picture of noise and shapes; for an interpreter, which the encoder keeps busy for
/// too long, one that is there.
fn encoded(
    draws: &mut Draws,
    (width, height): (u16, u16),
    color: ColorType,
    sampling: SamplingFactor,
    restart_interval: u16,
) -> Vec<u8> {
    if cfg!(miri) {
        return include_bytes!("../../../tests/fixtures/encoded/420.jpg").to_vec();
    }
    let channels = if color == ColorType::Luma { 1 } else { 3 };
    let len = usize::from(width) * usize::from(height) * channels;
    let grain = draws.below(8);
    let mut level = |i| (i * 5 / usize::from(width)) as u8 ^ (draws.next() >> (56 + grain)) as u8;
    let pixels: Vec<u8> = (0..len).map(&mut level).collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, [40, 80, 95, 100][draws.below(4) as usize]);
    encoder.set_sampling_factor(sampling);
    if restart_interval > 0 {
        encoder.set_restart_interval(restart_interval);
    }
    encoder.encode(&pixels, width, height, color).unwrap();
    file
}

fn decode(picture: &Exact<'_>, isa: Isa, channels: Channels, region: Region) -> Vec<u8> {
    let mut memory = vec![0x5a; picture.rows_bytes(channels)];
    let mut pixels = Vec::new();
    let stride = picture.size().width as usize * channels.count();
    picture
        .decode(isa, channels, region, &mut memory, &mut |top, rows| {
            assert_eq!(top as usize * stride, pixels.len(), "rows in order");
            pixels.extend_from_slice(rows);
        })
        .unwrap();
    pixels
}

#[test]
fn a_region_is_that_part_of_the_whole_on_every_path() {
    let mut draws = Draws::new(&[6]);
    let samplings = [
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_4_0,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_2_0,
    ];
    for round in rounds(600) {
        let side = |draws: &mut Draws| 1 + draws.below(70) as u16;
        let size = (side(&mut draws), side(&mut draws));
        let color = if round % 7 == 0 { ColorType::Luma } else { ColorType::Rgb };
        let interval = [0, 0, 1, 3][round / 4 % 4];
        let file = encoded(&mut draws, size, color, samplings[round % 4], interval);
        let mut picture = Exact::new(Header::of(&file).expect("a baseline file"), true);
        let by = [1, 1, 2, 4, 8][round / 16 % 5];
        if by > 1 {
            assert_eq!(picture.reduce(by), by);
            let of = |side: u16| u32::from(side).div_ceil(by);
            assert_eq!(picture.size(), Size { width: of(size.0), height: of(size.1) });
        }
        assert_regions(&picture, &mut draws);
    }
}

/// Whole or in part, in colour or not, it is the same on every path.
fn assert_regions(picture: &Exact<'_>, draws: &mut Draws) {
    let Size { width, height } = picture.size();
    for channels in [Channels::Rgb, Channels::Grey] {
        let whole = Region::whole(picture.size());
        let expected = decode(picture, Isa::Portable, channels, whole);
        assert_eq!(expected.len(), picture.size().pixels() * channels.count());
        let stride = width as usize * channels.count();
        for isa in all() {
            assert_eq!(decode(picture, isa, channels, whole), expected, "{isa:?}");
            for _ in 0..if cfg!(miri) { 1 } else { 4 } {
                let mut below = |bound: u32| draws.below(bound.into()) as u32;
                let (left, top) = (below(width), below(height));
                let (width, height) = (1 + below(width - left), 1 + below(height - top));
                let region = Region { left, top, width, height };
                let pixels = decode(picture, isa, channels, region);
                for y in top as usize..top as usize + region.height as usize {
                    let from = y * stride + left as usize * channels.count();
                    let line = from..from + region.width as usize * channels.count();
                    let (got, want) = (&pixels[line.clone()], &expected[line]);
                    assert_eq!(got, want, "{isa:?} {width}x{height} {region:?} row {y}");
                }
            }
        }
    }
}

/// The fixtures' inks and passes, which the encoder above cannot write: bits that come one by
/// one, and black.
#[test]
fn regions_of_passes_and_inks_are_those_parts_of_the_whole() {
    if cfg!(miri) {
        return;
    }
    let mut draws = Draws::new(&[11]);
    for file in [
        &include_bytes!("../../../tests/fixtures/encoded/progressive.jpg")[..],
        include_bytes!("../../../tests/fixtures/encoded/progressive-444.jpg"),
        include_bytes!("../../../tests/fixtures/encoded/progressive-grey.jpg"),
        include_bytes!("../../../tests/fixtures/encoded/cmyk.jpg"),
        include_bytes!("../../../tests/fixtures/encoded/ycck.jpg"),
    ] {
        for by in [1, 2, 4, 8] {
            let mut picture = Exact::new(Header::of(file).unwrap(), true);
            picture.reduce(by);
            for _ in 0..5 {
                assert_regions(&picture, &mut draws);
            }
        }
    }
}

/// JFIF, EXIF and Adobe's marker count before the first scan alone.
#[test]
fn what_stands_between_scans_changes_no_colour() {
    let size = Size { width: 20, height: 20 };
    let whole = file(size, SamplingFactor::F_1_1, |encoder| {
        encoder.set_optimized_huffman_tables(true);
    });
    let scan =
        |from: usize| from + whole[from..].windows(2).position(|m| m == [0xff, 0xda]).unwrap();
    let second = scan(scan(0) + 2);
    let adobe = [&[0xff, 0xee, 0, 14][..], b"Adobe\0\x64\0\0\0\0\0"].concat();
    let other = [&whole[..second], &adobe, &whole[second..]].concat();
    assert_eq!(pixels(&other, 1, Channels::Rgb, None), pixels(&whole, 1, Channels::Rgb, None));
}

#[test]
fn components_of_one_identifier_come_in_order() {
    let size = Size { width: 40, height: 24 };
    let usual = file(size, SamplingFactor::F_2_2, |_| {});
    let mut other = usual.clone();
    let at = |marker: u8| usual.windows(2).position(|two| two == [0xff, marker]).unwrap();
    for number in 0..3 {
        other[at(0xc0) + 10 + 3 * number] = 7;
        other[at(0xda) + 5 + 2 * number] = 7;
    }
    assert_same(&other, &usual, size);
}

/// As frames of Motion JPEG come.
#[test]
fn a_file_without_huffman_tables_has_the_usual_ones() {
    let whole = file(Size { width: 40, height: 30 }, SamplingFactor::F_2_2, |_| {});
    let mut bare = whole.clone();
    while let Some(at) = bare.windows(2).position(|m| m == [0xff, 0xc4]) {
        let length = usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]]));
        bare.drain(at..at + 2 + length);
    }
    assert!(bare.len() < whole.len() - 300);
    assert_eq!(pixels(&bare, 1, Channels::Rgb, None), pixels(&whole, 1, Channels::Rgb, None));
}

/// Squares of a smooth picture become their means, whatever its sides.
#[test]
fn a_reduced_picture_has_the_means_of_its_squares() {
    if cfg!(miri) {
        return;
    }
    let mut draws = Draws::new(&[9]);
    for round in rounds(90) {
        let size = (40 + draws.below(70) as u16, 40 + draws.below(70) as u16);
        let (width, height) = (usize::from(size.0), usize::from(size.1));
        let pixels: Vec<u8> = (0..3 * width * height)
            .map(|i| {
                let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
                (60 + x * (1 + c % 2) / 2 + y * (1 + c / 2) / 2) as u8
            })
            .collect();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 97);
        encoder.set_sampling_factor(
            [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_0, SamplingFactor::R_4_2_2][round % 3],
        );
        encoder.encode(&pixels, size.0, size.1, ColorType::Rgb).unwrap();
        for by in [2_usize, 4, 8] {
            let mut picture = Exact::new(Header::of(&file).unwrap(), true);
            picture.reduce(by as u32);
            let whole = Region::whole(picture.size());
            let reduced = decode(&picture, Isa::detect(), Channels::Rgb, whole);
            let across = width.div_ceil(by);
            assert_eq!(reduced.len(), 3 * across * height.div_ceil(by));
            for (i, &level) in reduced.iter().enumerate() {
                let (x, y, c) = (i / 3 % across * by, i / 3 / across * by, i % 3);
                // At a ragged edge the encoder has a say.
                if x + by > width || y + by > height {
                    continue;
                }
                let of = |k: usize| pixels[3 * ((y + k / by) * width + x + k % by) + c];
                let sum: f64 = (0..by * by).map(|k| f64::from(of(k))).sum();
                let off = f64::from(level) - sum / (by * by) as f64;
                assert!(off.abs() < 4.0, "{off} at {x}, {y} of {size:?} by {by}, round {round}");
            }
        }
    }
}

#[test]
fn a_picture_takes_the_memory_of_a_row_of_units() {
    if cfg!(miri) {
        return;
    }
    let mut draws = Draws::new(&[7]);
    let sampling = SamplingFactor::R_4_2_0;
    let file = encoded(&mut draws, (32, 480), ColorType::Rgb, sampling, 0);
    let picture = Exact::new(Header::of(&file).unwrap(), true);
    let (whole, memory) = (3 * 32 * 480, picture.rows_bytes(Channels::Rgb));
    // Seventeen lines of pixels and of lightness, nine of both colours, and some.
    assert!(memory < whole / 14, "{memory} of {whole}");
}
