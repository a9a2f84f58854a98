//! The changes of colour once more, slow and obvious, by their definitions; the
//! fast ones must agree to the bit. And what is drawn, against its definition.

use super::color::{Change, drawn, take_away};
use crate::config::{Color, Jitter, Layout, Size};
use crate::random::Draws;
use crate::transform::Places;

type Pixel = [u8; 3];

/// A change by a factor, or of the hue by a shift.
#[derive(Clone, Copy, Debug)]
enum Op {
    Brightness(f64),
    Contrast(f64),
    Saturation(f64),
    Hue(f64),
}

fn grey_of([r, g, b]: Pixel) -> u8 {
    (0.2989_f32 * f32::from(r) + 0.587_f32 * f32::from(g) + 0.114_f32 * f32::from(b)).floor() as u8
}

/// `factor * level + (1 - factor) * other`, in single precision.
fn blended(level: u8, other: f32, factor: f64) -> u8 {
    let sum = factor as f32 * f32::from(level) + (1.0 - factor) as f32 * other;
    sum.clamp(0.0, 255.0).floor() as u8
}

fn hue_shifted(pixel: Pixel, shift: f64) -> Pixel {
    let [r, g, b] = pixel.map(|level| f32::from(level) / 255.0);
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let (hue, saturation) = if max == min {
        (0.0, 0.0)
    } else {
        let distance = |level: f32| (max - level) / (max - min);
        let sixths = if r == max {
            distance(b) - distance(g)
        } else if g == max {
            2.0 + distance(r) - distance(b)
        } else {
            4.0 + distance(g) - distance(r)
        };
        ((sixths / 6.0 + 1.0) % 1.0, (max - min) / max)
    };
    let hue = (hue + shift as f32).rem_euclid(1.0);
    let sector = (hue * 6.0).floor();
    let within = hue * 6.0 - sector;
    let share = |share: f32| (max * (1.0 - share)).clamp(0.0, 1.0);
    let (p, q, t) =
        (share(saturation), share(saturation * within), share(saturation * (1.0 - within)));
    let rgb = match sector as u32 % 6 {
        0 => [max, t, p],
        1 => [q, max, p],
        2 => [p, max, t],
        3 => [p, q, max],
        4 => [t, p, max],
        _ => [max, p, q],
    };
    rgb.map(|value| (value * (256.0_f64 - 1e-3) as f32).floor() as u8)
}

fn slow(picture: &mut [Pixel], op: Op) {
    let greys: u64 = picture.iter().map(|&pixel| u64::from(grey_of(pixel))).sum();
    let mean = greys as f32 / picture.len() as f32;
    for pixel in picture {
        *pixel = match op {
            Op::Brightness(factor) => pixel.map(|level| blended(level, 0.0, factor)),
            Op::Contrast(factor) => pixel.map(|level| blended(level, mean, factor)),
            Op::Saturation(factor) => {
                let grey = f32::from(grey_of(*pixel));
                pixel.map(|level| blended(level, grey, factor))
            }
            Op::Hue(shift) => hue_shifted(*pixel, shift),
        }
    }
}

fn fast(op: Op) -> Change {
    match op {
        Op::Brightness(factor) => Change::brightness(factor),
        Op::Contrast(factor) => Change::contrast(factor),
        Op::Saturation(factor) => Change::saturation(factor),
        Op::Hue(shift) => Change::Hue(shift as f32),
    }
}

/// The picture as it lies in a row.
fn row(picture: &[Pixel], layout: Layout, color: Color) -> Vec<u8> {
    let ordered = |pixel: &Pixel| match color {
        Color::Bgr => [pixel[2], pixel[1], pixel[0]],
        _ => *pixel,
    };
    match layout {
        Layout::Hwc => picture.iter().flat_map(ordered).collect(),
        Layout::Chw => (0..3).flat_map(|c| picture.iter().map(move |p| ordered(p)[c])).collect(),
    }
}

/// Pixels of every kind: corners of the colour cube, near greys, and noise.
fn pixels(count: usize) -> Vec<Pixel> {
    let mut draws = Draws::new(&[7]);
    let corner = |bits: u64| [bits & 1, bits >> 1 & 1, bits >> 2 & 1].map(|bit| 255 * bit as u8);
    (0..count)
        .map(|number| match number % 4 {
            0 => corner(draws.below(8)),
            1 => {
                let level = draws.below(254) as u8;
                [level, level + draws.below(3) as u8, level]
            }
            _ => [(); 3].map(|()| draws.below(256) as u8),
        })
        .collect()
}

fn ops() -> Vec<Op> {
    let factors = [0.0, 0.1, 0.6, 0.999_999, 1.0, 1.3, 1.4, 2.0, 7.5];
    let shifts = [-0.5, -0.3, -0.1, -1e-9, 0.0, 1e-9, 0.05, 1.0 / 3.0, 0.5];
    let kinds = factors
        .iter()
        .flat_map(|&factor| [Op::Brightness(factor), Op::Contrast(factor), Op::Saturation(factor)]);
    kinds.chain(shifts.map(Op::Hue)).collect()
}

#[test]
fn every_change_is_the_slow_one_to_the_bit() {
    // More than a block of them, and not a whole number of blocks.
    let size = Size { width: 67, height: 9 };
    let picture = pixels(size.pixels());
    for layout in [Layout::Chw, Layout::Hwc] {
        for color in [Color::Rgb, Color::Bgr] {
            let places = Places::new(size, layout, color);
            for op in ops() {
                let mut expected = picture.clone();
                slow(&mut expected, op);
                let mut found = row(&picture, layout, color);
                fast(op).apply(&mut found, &places);
                assert!(found == row(&expected, layout, color), "{op:?} {layout} {color}");
            }
            let expected: Vec<Pixel> = picture.iter().map(|&pixel| [grey_of(pixel); 3]).collect();
            let mut found = row(&picture, layout, color);
            take_away(&mut found, &places);
            assert_eq!(found, row(&expected, layout, color), "grey {layout} {color}");
        }
    }
}

/// A sixth of all colours, by every shift in steps of a hundredth.
#[test]
fn the_hue_turns_as_the_slow_one_for_colours_from_all_over_the_cube() {
    let levels = [0, 1, 2, 30, 51, 85, 102, 127, 128, 170, 200, 253, 254, 255];
    let size = Size { width: 14 * 14, height: 14 };
    let pair = |r: u8| levels.into_iter().flat_map(move |g| levels.map(|b| [r, g, b]));
    let picture: Vec<Pixel> = levels.into_iter().flat_map(pair).collect();
    let places = Places::new(size, Layout::Hwc, Color::Rgb);
    for step in -50..=50 {
        let op = Op::Hue(f64::from(step) / 100.0);
        let mut expected = picture.clone();
        slow(&mut expected, op);
        let mut found = row(&picture, Layout::Hwc, Color::Rgb);
        fast(op).apply(&mut found, &places);
        assert!(found == row(&expected, Layout::Hwc, Color::Rgb), "{op:?}");
    }
}

/// FNV-1a of what torchvision 0.29 makes of 30,000 pixels of noise, by
/// `adjust_brightness` and its like on a tensor of `uint8`.
#[test]
fn noise_is_what_torchvision_makes_of_it() {
    let mut state = 7_u32;
    let mut level = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let size = Size { width: 200, height: 150 };
    let noise: Vec<u8> = (0..3 * size.pixels()).map(|_| level()).collect();
    let places = Places::new(size, Layout::Hwc, Color::Rgb);
    let hash = |levels: &[u8]| {
        levels.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &level| {
            (hash ^ u64::from(level)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    const UNCHANGED: u64 = 0x5c01_5b27_59b4_a3a2;
    const GREY: u64 = 0xa582_942f_e858_30c1;
    for (op, expected) in [
        (Op::Brightness(0.0), 0xb419_60eb_9ea1_9a65),
        (Op::Brightness(0.37), 0xfb87_0b1b_ec4c_aa0f),
        (Op::Brightness(0.618_033_988_7), 0xbdc9_87be_76f4_f9d0),
        (Op::Brightness(1.0), UNCHANGED),
        (Op::Brightness(1.25), 0x01b2_22fe_f594_72ec),
        (Op::Brightness(1.9), 0x9b0f_5238_4370_ec18),
        (Op::Contrast(0.0), 0xa92c_732a_6dc3_f665),
        (Op::Contrast(0.37), 0x384a_edb8_e967_09ef),
        (Op::Contrast(0.618_033_988_7), 0xbc00_81dd_9e78_8c94),
        (Op::Contrast(1.0), UNCHANGED),
        (Op::Contrast(1.25), 0x34a1_c30d_130c_3856),
        (Op::Contrast(1.9), 0x0f2c_da41_1913_5d57),
        (Op::Saturation(0.0), GREY),
        (Op::Saturation(0.37), 0x7178_09e8_0e5e_cb0d),
        (Op::Saturation(0.618_033_988_7), 0x0a22_5848_2e9c_33d4),
        (Op::Saturation(1.0), UNCHANGED),
        (Op::Saturation(1.25), 0x5a18_ea88_2ed7_2252),
        (Op::Saturation(1.9), 0x7533_668c_8bba_1e65),
        (Op::Hue(-0.5), 0x0c08_2c81_eb85_5c2c),
        (Op::Hue(-0.1), 0xfd6a_3409_b3b9_d2a2),
        (Op::Hue(-1e-9), UNCHANGED),
        (Op::Hue(0.0), UNCHANGED),
        (Op::Hue(0.05), 0x27d0_473f_c7e6_3b2f),
        (Op::Hue(0.333_333_333_3), 0x6bb1_c9f4_e4c1_da46),
        (Op::Hue(0.5), 0x0c08_2c81_eb85_5c2c),
    ] {
        let mut levels = noise.clone();
        fast(op).apply(&mut levels, &places);
        assert_eq!(hash(&levels), expected, "{op:?}");
    }
    let mut levels = noise;
    take_away(&mut levels, &places);
    assert_eq!(hash(&levels), GREY);
}

/// Worked out by hand from the definitions.
#[test]
fn a_few_pixels_by_hand() {
    let one = |op: Op, pixel: Pixel| {
        let places = Places::new(Size { width: 1, height: 1 }, Layout::Hwc, Color::Rgb);
        let mut levels = pixel;
        fast(op).apply(&mut levels, &places);
        levels
    };
    assert_eq!(one(Op::Brightness(1.5), [10, 101, 200]), [15, 151, 255]);
    // Its grey is 0.2989 * 200 + 0.587 * 100 + 0.114 * 50 = 124.18, cut off: 124.
    assert_eq!(one(Op::Saturation(0.0), [200, 100, 50]), [124; 3]);
    assert_eq!(one(Op::Saturation(0.5), [200, 100, 50]), [162, 112, 87]);
    assert_eq!(one(Op::Contrast(2.0), [200, 100, 50]), [255, 76, 0]);
    // Half around, red is cyan; a third around, green.
    assert_eq!(one(Op::Hue(0.5), [255, 0, 0]), [0, 255, 255]);
    assert_eq!(one(Op::Hue(-0.5), [255, 0, 0]), [0, 255, 255]);
    assert_eq!(one(Op::Hue(0.25), [90, 90, 90]), [90; 3]);
}

#[test]
fn without_colour_only_brightness_and_contrast_change() {
    let places = Places::new(Size { width: 4, height: 1 }, Layout::Chw, Color::Grey);
    let levels = [10, 20, 30, 41];
    let changed = |op: Op| {
        let mut changed = levels;
        fast(op).apply(&mut changed, &places);
        changed
    };
    assert_eq!(changed(Op::Brightness(2.0)), [20, 40, 60, 82]);
    // The mean is 25.25: each level twice, less that.
    assert_eq!(changed(Op::Contrast(2.0)), [0, 14, 34, 56]);
    assert_eq!(changed(Op::Saturation(0.0)), levels);
    assert_eq!(changed(Op::Hue(0.3)), levels);
    let mut taken = levels;
    take_away(&mut taken, &places);
    assert_eq!(taken, levels);
}

fn changes(jitter: &Jitter, position: u64) -> Vec<Change> {
    drawn(jitter, |kind| Draws::new(&[1, 2, position, kind, 6])).collect()
}

/// Its kind, and its factor or shift.
fn told(change: Change) -> (usize, f64) {
    let factor = |blend: super::color::Blend| f64::from(blend.factor());
    match change {
        Change::Brightness(blend) => (0, factor(blend)),
        Change::Contrast(blend) => (1, factor(blend)),
        Change::Saturation(blend) => (2, factor(blend)),
        Change::Hue(shift) => (3, f64::from(shift)),
    }
}

/// Factors are even in their ranges and know nothing of each other; all orders
/// come equally often.
#[test]
fn factors_and_orders_are_spread_evenly() {
    const N: u64 = 24_000;
    let jitter = Jitter { brightness: 0.4, contrast: 1.5, saturation: 0.2, hue: 0.1 };
    let ranges = [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)];
    let mut tenths = [[0_u32; 10]; 4];
    let mut orders = std::collections::BTreeMap::<Vec<usize>, u32>::new();
    let mut products = [0.0; 4];
    for position in 0..N {
        let changes: Vec<_> = changes(&jitter, position).into_iter().map(told).collect();
        let mut shares = [0.0; 4];
        for &(kind, value) in &changes {
            let (low, high) = ranges[kind];
            // The ends as single precision has them.
            assert!((low - 1e-6..high + 1e-6).contains(&value), "{kind}: {value}");
            shares[kind] = (value - low) / (high - low);
            tenths[kind][((shares[kind] * 10.0) as usize).min(9)] += 1;
        }
        for kind in 0..4 {
            products[kind] += (shares[kind] - 0.5) * (shares[(kind + 1) % 4] - 0.5);
        }
        *orders.entry(changes.iter().map(|&(kind, _)| kind).collect()).or_default() += 1;
    }
    // 2,400 each, with a standard deviation of 46.
    assert!(tenths.iter().flatten().all(|count| (2_150..2_650).contains(count)), "{tenths:?}");
    // A correlation of independent ones has a standard deviation of 0.0065.
    assert!(products.iter().all(|sum| (12.0 * sum / N as f64).abs() < 0.033), "{products:?}");
    assert_eq!(orders.len(), 24);
    // 1,000 each: chi-square of 23 degrees is above 60 once in 40,000 times.
    let chi: f64 = orders.values().map(|&n| (f64::from(n) - 1_000.0).powi(2) / 1_000.0).sum();
    assert!(chi < 60.0, "{chi}: {orders:?}");
}

#[test]
fn what_is_off_draws_nothing_and_changes_nothing_of_the_rest() {
    let all = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    for position in 0..200 {
        let whole = changes(&all, position);
        for (off, jitter) in [
            Jitter { brightness: 0.0, ..all },
            Jitter { contrast: 0.0, ..all },
            Jitter { saturation: 0.0, ..all },
            Jitter { hue: 0.0, ..all },
        ]
        .into_iter()
        .enumerate()
        {
            let rest = whole.iter().copied().filter(|&change| told(change).0 != off);
            assert_eq!(changes(&jitter, position), rest.collect::<Vec<_>>());
        }
        assert!(changes(&Jitter::default(), position).is_empty());
    }
}
