//! A block's coefficients: their places (ITU-T T.81, figure A.6) and quantisers (A.3.4).

/// A value of each coefficient, row by row.
pub(super) type Block = [i16; 64];

/// Room for them that any place of 8 bits lies in; the rest is never read.
pub(super) type Room = [i16; 256];

/// Coefficients as they are in a file, and by how much each is multiplied: in 16 bits,
/// as the reference multiplies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coefficients<'a> {
    pub(super) values: &'a Block,
    pub(super) quantisers: &'a Block,
}

impl<'a> Coefficients<'a> {
    #[inline(always)]
    #[allow(clippy::expect_used, reason = "a matter of two lengths that are constants")]
    pub(super) fn new(values: &'a Room, quantisers: &'a Block) -> Self {
        Coefficients { values: values.first_chunk().expect("it has more than 64"), quantisers }
    }

    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> i16 {
        self.values[place].wrapping_mul(self.quantisers[place])
    }
}

/// A block, where it begins in the memory of all planes, and the length of lines there.
pub(super) type Placed<'a> = (Coefficients<'a>, usize, usize);

/// The number of a coefficient that is none, and goes behind the block.
pub(super) const NOWHERE: usize = 64;

/// Where the coefficient goes that is number k in zigzag order (figure A.6).
pub(super) static PLACES: [u8; 128] = {
    let mut places = [NOWHERE as u8; 128];
    let (mut row, mut column, mut k) = (0, 0, 0);
    while k < 64 {
        places[k] = 8 * row + column;
        let up = (row + column) % 2 == 0;
        (row, column) = match (up, row, column) {
            (true, _, 7) => (row + 1, 7),
            (true, 0, _) => (0, column + 1),
            (true, ..) => (row - 1, column + 1),
            (false, 7, _) => (7, column + 1),
            (false, _, 0) => (row + 1, 0),
            (false, ..) => (row + 1, column - 1),
        };
        k += 1;
    }
    places
};

/// Row by row, what is in zigzag order in a file.
pub(super) fn by_rows(quantisers: &[u16; 64]) -> Block {
    let mut block = [0; 64];
    for (&place, &quantiser) in PLACES.iter().zip(quantisers) {
        block[usize::from(place)] = quantiser as i16;
    }
    block
}
