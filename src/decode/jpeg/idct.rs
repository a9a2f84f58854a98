//! The inverse cosine transform (ITU-T T.81, A.3.3), by the algorithm of Loeffler,
//! Ligtenberg and Moschytz (1989) in the fixed-point arithmetic of libjpeg's accurate
//! integer method: constants of 13 bits, two more bits kept between columns and rows.
//!
//! Values of 16 bits wrap and saturate where libjpeg-turbo's code for AVX2 has them do so,
//! which shows only with coefficients that no picture has.

use super::block::Coefficients;

/// Fractional bits of the constants.
pub(super) const BITS: u32 = 13;
/// Bits that columns leave to rows.
pub(super) const KEPT: u32 = 2;

/// The constants, of 13 bits: pairs that are summed, as in `a * A0 + b * A1`.
pub(super) mod constants {
    const C0_211: i16 = 1730;
    const C0_298: i16 = 2446;
    const C0_390: i16 = 3196;
    const C0_509: i16 = 4176;
    const C0_541: i16 = 4433;
    const C0_601: i16 = 4926;
    const C0_720: i16 = 5906;
    const C0_765: i16 = 6270;
    const C0_850: i16 = 6967;
    const C0_899: i16 = 7373;
    const C1_061: i16 = 8697;
    const C1_175: i16 = 9633;
    const C1_272: i16 = 10426;
    const C1_451: i16 = 11893;
    const C1_501: i16 = 12299;
    const C1_847: i16 = 15137;
    const C1_961: i16 = 16069;
    const C2_053: i16 = 16819;
    const C2_172: i16 = 17799;
    const C2_562: i16 = 20995;
    const C3_072: i16 = 25172;
    const C3_624: i16 = 29692;

    /// Of coefficients 2 and 6.
    pub(crate) const EVEN_OUTER: [i16; 2] = [C0_541 + C0_765, C0_541];
    pub(crate) const EVEN_INNER: [i16; 2] = [C0_541, C0_541 - C1_847];
    /// Of the sums of 7 and 3, and of 5 and 1.
    pub(crate) const SUM_73: [i16; 2] = [C1_175 - C1_961, C1_175];
    pub(crate) const SUM_51: [i16; 2] = [C1_175, C1_175 - C0_390];
    /// Of 7 and 1.
    pub(crate) const ODD_0: [i16; 2] = [C0_298 - C0_899, -C0_899];
    pub(crate) const ODD_3: [i16; 2] = [-C0_899, C1_501 - C0_899];
    /// Of 5 and 3.
    pub(crate) const ODD_1: [i16; 2] = [C2_053 - C2_562, -C2_562];
    pub(crate) const ODD_2: [i16; 2] = [-C2_562, C3_072 - C2_562];

    /// Of four samples, of coefficients 2 and 6; and for the outer and the inner ones of
    /// 7, 5, 3 and 1.
    pub(crate) const HALF_EVEN: [i16; 2] = [C1_847, -C0_765];
    pub(crate) const HALF_OUTER: [i16; 4] = [-C0_509, -C0_601, C0_899, C2_562];
    pub(crate) const HALF_INNER: [i16; 4] = [-C0_211, C1_451, -C2_172, C1_061];
    /// Of two samples.
    pub(crate) const QUARTER: [i16; 4] = [-C0_720, C0_850, -C1_272, C3_624];
}

/// A block's samples into a plane, of which `to` begins at the first one.
#[inline(always)]
pub(super) fn whole(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    transformed(block, sums, 0, to, stride);
}

/// Fewer samples of a block: 4 x 4, each the mean of four of [`whole`] before rounding.
/// The mean of two samples of a cosine is the cosine between them, times that of half
/// their distance: so its coefficient is as good as scaled by that, of which nothing is
/// left of number 4.
#[inline(always)]
pub(super) fn half(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    transformed(block, half_sums, 1, to, stride);
}

/// And 2 x 2, each the mean of sixteen.
#[inline(always)]
pub(super) fn quarter(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    transformed(block, quarter_sums, 2, to, stride);
}

/// Columns and then rows, of which `sums` have so many bits `more`.
#[inline(always)]
fn transformed<const SIDE: usize>(
    block: Coefficients<'_>,
    sums: impl Fn([i16; 8]) -> [i32; SIDE],
    more: u32,
    to: &mut [u8],
    stride: usize,
) {
    let mut columns = [[0_i16; 8]; SIDE];
    for column in 0..8 {
        let column_sums = sums(std::array::from_fn(|row| block.at(8 * row + column)));
        for (row, sum) in columns.iter_mut().zip(column_sums) {
            row[column] = saturated(sum, BITS - KEPT + more);
        }
    }
    let lines = columns.map(sums);
    for (line, to) in lines.into_iter().zip(to.chunks_mut(stride)) {
        to[..SIDE].copy_from_slice(&line.map(|sum| level(sum >> more)));
    }
}

/// [`whole`] of a block with nothing below its first row: all rows are the same.
pub(super) fn flat(block: Coefficients<'_>, to: &mut [u8], stride: usize) {
    let row = sums(std::array::from_fn(|column| block.at(column) << KEPT)).map(level);
    for to in to.chunks_mut(stride).take(8) {
        to[..8].copy_from_slice(&row);
    }
}

/// Whether only the first row has coefficients, `last` being the last one in zigzag order.
/// Not only shorter: extreme ones wrap there where they saturate in [`whole`].
#[inline(always)]
pub(super) fn is_flat(block: Coefficients<'_>, last: u32) -> bool {
    // The places of the first row in zigzag order.
    const FIRST_ROW: u64 = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 14 | 1 << 15 | 1 << 27 | 1 << 28;
    FIRST_ROW >> last & 1 == 1 && block.values[8..].iter().all(|&value| value == 0)
}

/// Any number of samples of a block with nothing but its first coefficient, or the one
/// that is the mean of a block.
pub(super) fn constant(block: Coefficients<'_>, to: &mut [u8], stride: usize, side: usize) {
    let level = level((i32::from(block.at(0) << KEPT)) << BITS);
    for to in to.chunks_mut(stride).take(side) {
        to[..side].fill(level);
    }
}

/// From -128..128 with 18 more bits.
fn level(sum: i32) -> u8 {
    let whole = saturated(sum, BITS + KEPT + 3).clamp(-128, 127);
    (whole + 128) as u8
}

fn saturated(sum: i32, bits: u32) -> i16 {
    let rounded = sum.wrapping_add(1 << (bits - 1)) >> bits;
    rounded.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn pair(a: i16, b: i16, by: [i16; 2]) -> i32 {
    (i32::from(a) * i32::from(by[0])).wrapping_add(i32::from(b) * i32::from(by[1]))
}

/// One column or row.
#[inline(always)]
fn sums(x: [i16; 8]) -> [i32; 8] {
    use constants::*;
    let outer = pair(x[2], x[6], EVEN_OUTER);
    let inner = pair(x[2], x[6], EVEN_INNER);
    let sum = i32::from(x[0].wrapping_add(x[4])) << BITS;
    let difference = i32::from(x[0].wrapping_sub(x[4])) << BITS;
    let even = [
        sum.wrapping_add(outer),
        difference.wrapping_add(inner),
        difference.wrapping_sub(inner),
        sum.wrapping_sub(outer),
    ];
    let (s73, s51) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let (z3, z4) = (pair(s73, s51, SUM_73), pair(s73, s51, SUM_51));
    let odd = [
        pair(x[7], x[1], ODD_3).wrapping_add(z4),
        pair(x[5], x[3], ODD_2).wrapping_add(z3),
        pair(x[5], x[3], ODD_1).wrapping_add(z4),
        pair(x[7], x[1], ODD_0).wrapping_add(z3),
    ];
    std::array::from_fn(|i| match i {
        0..4 => even[i].wrapping_add(odd[i]),
        _ => even[7 - i].wrapping_sub(odd[7 - i]),
    })
}

/// Of 7, 5, 3 and 1.
fn odd(x: [i16; 8], by: [i16; 4]) -> i32 {
    pair(x[7], x[5], [by[0], by[1]]).wrapping_add(pair(x[3], x[1], [by[2], by[3]]))
}

/// One column or row of a half, twice as large.
#[inline(always)]
fn half_sums(x: [i16; 8]) -> [i32; 4] {
    use constants::*;
    let (first, even) = (i32::from(x[0]) << (BITS + 1), pair(x[2], x[6], HALF_EVEN));
    let (sum, difference) = (first.wrapping_add(even), first.wrapping_sub(even));
    let (outer, inner) = (odd(x, HALF_OUTER), odd(x, HALF_INNER));
    [
        sum.wrapping_add(outer),
        difference.wrapping_add(inner),
        difference.wrapping_sub(inner),
        sum.wrapping_sub(outer),
    ]
}

/// Of a quarter, four times as large.
#[inline(always)]
fn quarter_sums(x: [i16; 8]) -> [i32; 2] {
    let (first, odd) = (i32::from(x[0]) << (BITS + 2), odd(x, constants::QUARTER));
    [first.wrapping_add(odd), first.wrapping_sub(odd)]
}
