//! Samples to pixels: upsampling as libjpeg's "fancy" method has it, a triangle filter
//! whose rounding alternates, and YCbCr to RGB (ITU-T T.871, 7) with libjpeg's constants
//! of 16 bits. Written so that the compiler does all of it in wide registers.

/// Twice as many samples in both directions, each three parts the nearer and one the
/// further one; of lines, `near` counts three times. The last is written once if `to` is
/// odd.
#[inline(always)]
pub(super) fn double_between(near: &[u8], far: &[u8], to: &mut [u8]) {
    pairs(near, far, [8, 7], to);
}

/// The same along a line.
#[inline(always)]
pub(super) fn double(from: &[u8], to: &mut [u8]) {
    // Four times a sum and its rounding, by 1 or 2 of 4.
    pairs(from, from, [4, 8], to);
}

#[inline(always)]
fn pairs(near: &[u8], far: &[u8], rounding: [u16; 2], to: &mut [u8]) {
    let pair = |near: [u8; 3], far: [u8; 3]| {
        let sum = |i: usize| 3 * u16::from(near[i]) + u16::from(far[i]);
        let this = 3 * sum(1);
        [this + sum(0) + rounding[0], this + sum(2) + rounding[1]].map(|sum| (sum >> 4) as u8)
    };
    let middle = near.windows(3).zip(far.windows(3));
    let middle_to = to.get_mut(2..).unwrap_or_default().as_chunks_mut::<2>().0;
    for ((near, far), to) in middle.zip(middle_to) {
        *to = pair([near[0], near[1], near[2]], [far[0], far[1], far[2]]);
    }
    // At an end the outer one is as the last.
    let last = near.len() - 1;
    for at in [0, last] {
        let three = |line: &[u8]| [at.saturating_sub(1), at, last.min(at + 1)].map(|i| line[i]);
        for (to, level) in to[2 * at..].iter_mut().zip(pair(three(near), three(far))) {
            *to = level;
        }
    }
}

/// A row between two; `bias` is 1 above the nearer row and 2 below it.
pub(super) fn between(near: &[u8], far: &[u8], bias: u32, to: &mut [u8]) {
    for ((to, &near), &far) in to.iter_mut().zip(near).zip(far) {
        *to = ((3 * u32::from(near) + u32::from(far) + bias) >> 2) as u8;
    }
}

/// Each sample so many times.
pub(super) fn repeat(from: &[u8], times: usize, to: &mut [u8]) {
    for (to, &sample) in to.chunks_mut(times).zip(from) {
        to.fill(sample);
    }
}

/// Constants of 16 bits: 1.402 less 1, 1.772 less 2, -0.34414, 1 less 0.71414.
const CR_RED: i16 = 26_345;
const CB_BLUE: i16 = -14_942;
const CB_GREEN: i16 = -22_554;
const CR_GREEN: i16 = 18_734;

/// YCbCr to RGB, lines of each.
#[inline(always)]
pub(super) fn rgb<const N: usize>([luma, cb, cr]: [&[u8]; 3], to: &mut [[u8; N]; 3]) {
    let [red, green, blue] = to;
    let to = red.iter_mut().zip(green).zip(blue);
    for ((((red, green), blue), &y), (&cb, &cr)) in to.zip(luma).zip(cb.iter().zip(cr)) {
        let (y, cb, cr) = (i16::from(y), i16::from(cb) - 128, i16::from(cr) - 128);
        let product = |a: i16, b: i16| i32::from(a) * i32::from(b);
        // The upper 16 bits of a product, rounded, in lanes of 16 bits.
        let upper = |a: i16, b: i16| ((product(2 * a, b) >> 16) as i16 + 1) >> 1;
        let level = |sum: i16| sum.clamp(0, 255) as u8;
        *red = level(y + cr + upper(cr, CR_RED));
        *blue = level(y + 2 * cb + upper(cb, CB_BLUE));
        let sum = product(cb, CB_GREEN) + product(cr, CR_GREEN) + (1 << 15);
        *green = level(y - cr + (sum >> 16) as i16);
    }
}

/// What inks take away of white, lines of each.
pub(super) fn opposites<const N: usize>(inks: [&[u8]; 3], to: &mut [[u8; N]; 3]) {
    for (to, ink) in to.iter_mut().zip(inks) {
        to.iter_mut().zip(ink).for_each(|(to, ink)| *to = 255 - ink);
    }
}

/// Takes that away of what black leaves, with OpenCV's arithmetic.
pub(super) fn darkened<const N: usize>(black: &[u8], levels: &mut [[u8; N]; 3]) {
    for levels in levels {
        for (level, &black) in levels.iter_mut().zip(black) {
            *level = black - ((u16::from(*level) * u16::from(black)) >> 8) as u8;
        }
    }
}
