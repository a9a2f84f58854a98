//! A block's coefficients: their places (ITU-T T.81, figure A.6) and quantisers (A.3.4).

/// Coefficients of a block, row by row.
pub(super) type Block = [i16; 64];

/// Room for them that any place of 8 bits lies in; the rest is never read.
pub(super) type Room = [i16; 256];

pub(super) fn block_of(room: &Room) -> &Block {
    room.first_chunk().expect("it has more than 64")
}

/// Where the coefficient goes that is number k in zigzag order (figure A.6), and its
/// quantiser.
pub(super) struct Places([(u8, i16); 64]);

impl Places {
    /// `quantisers` in zigzag order, as a file has them.
    pub(super) fn new(quantisers: &[u16; 64]) -> Self {
        let mut places = [(0, 0); 64];
        let (mut row, mut column) = (0_i32, 0_i32);
        for (place, &quantiser) in places.iter_mut().zip(quantisers) {
            // As 16 bits have it, which is as the reference multiplies.
            *place = ((8 * row + column) as u8, quantiser as i16);
            let up = (row + column) % 2 == 0;
            (row, column) = match (up, row, column) {
                (true, _, 7) => (row + 1, 7),
                (true, 0, _) => (0, column + 1),
                (true, ..) => (row - 1, column + 1),
                (false, 7, _) => (7, column + 1),
                (false, _, 0) => (row + 1, 0),
                (false, ..) => (row + 1, column - 1),
            };
        }
        Places(places)
    }

    pub(super) fn dc(&self, value: i32) -> i16 {
        (value as i16).wrapping_mul(self.0[0].1)
    }

    #[inline(always)]
    pub(super) fn store(&self, at: usize, value: i32, block: &mut Room) {
        let (place, quantiser) = self.0[at & 63];
        block[usize::from(place)] = (value as i16).wrapping_mul(quantiser);
    }
}
