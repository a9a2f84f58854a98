//! The bits of a scan (ITU-T T.81, B.1.1.5 and F.2.2.5): stuffed zeros are left out,
//! and behind the last byte before a marker come zeros.

use crate::error::{Cause, CauseKind};

/// A place in a scan, and the bits that come next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    /// Bytes that are not taken in.
    rest: &'a [u8],
    /// The next bits, from the highest on.
    word: u64,
    /// How many of them there are, in its lowest 6 bits; below them may be some of the
    /// next byte.
    count: u32,
    /// How many of them, the last ones, stand in for what is not there.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Bits { rest: data, word: 0, count: 0, made_up: 0 }
    }

    /// Whether more bits were taken than there are.
    pub(super) fn ran_out(&self) -> bool {
        self.count & 63 < self.made_up
    }

    /// An error if more bits were taken than there are.
    pub(super) fn check(&self) -> Result<(), Cause> {
        match self.ran_out() {
            true => Err(self.failure()),
            false => Ok(()),
        }
    }

    /// Whether nothing is behind the bits that were taken in, not even a whole marker.
    pub(super) fn is_over(&self) -> bool {
        self.rest.iter().all(|&byte| byte == 0xff)
    }

    /// Makes sure of 56 bits.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(bytes) = self.rest.first_chunk::<8>() {
            let next = u64::from_be_bytes(*bytes);
            if !has_ff(next) {
                self.word |= next >> (self.count & 63);
                // 63 less the count, in its lowest 6 bits.
                self.rest = &self.rest[(!self.count >> 3 & 7) as usize..];
                self.count |= 56;
                return;
            }
        }
        // By value: what has an address is not kept in registers.
        *self = self.refilled_by_bytes();
    }

    /// Where a byte of all ones is near, or the end.
    #[cold]
    #[inline(never)]
    fn refilled_by_bytes(mut self) -> Self {
        self.count &= 63;
        // What stands below is of the next byte, which is no marker's, and comes again.
        while self.count < 56 {
            let byte = match (self.rest.first(), stuffed(self.rest)) {
                (Some(&0xff), Some(behind)) => {
                    self.rest = behind;
                    0xff
                }
                (None | Some(&0xff), _) => {
                    // Not over all that fills the place before a marker, each time.
                    while let [0xff, 0xff, ..] = self.rest {
                        self.rest = &self.rest[1..];
                    }
                    self.made_up += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.rest = &self.rest[1..];
                    byte
                }
            };
            self.word |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.word >> (64 - count)) as u32
    }

    /// Passes over as many bits as the lowest 6 of `count` say and a refill has made sure
    /// of; what is above them counts for nothing, as it does in shifts.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.word <<= count & 63;
        self.count = self.count.wrapping_sub(count);
    }

    /// Up to 16 bits that a refill has made sure of; here `count` is no more than that.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // In two steps, as a shift by 64 is none.
        let bits = (self.word >> 1 >> (63 - count)) as u32;
        self.skip(count);
        bits
    }

    /// Goes on behind the restart marker of this number (E.2.4), dropping less than a
    /// byte; `false` if it does not come next.
    pub(super) fn restart(&mut self, number: u8) -> bool {
        if self.ran_out() || (self.count & 63) - self.made_up >= 8 {
            return false;
        }
        let fill = self.rest.iter().take_while(|&&byte| byte == 0xff).count();
        if fill == 0 || self.rest.get(fill) != Some(&(0xd0 | number)) {
            return false;
        }
        *self = Bits::new(&self.rest[fill + 1..]);
        true
    }

    /// The same as libjpeg does it whatever comes, dropping all that is left: `false` if
    /// it finds that there are no data until a later marker.
    pub(super) fn resync(&mut self, number: u8) -> bool {
        let mut rest = self.rest;
        loop {
            let found = match rest {
                [] => false,
                [0xff, marker @ 1..=0xfe, behind @ ..] => {
                    match (marker, marker.wrapping_sub(number) & 7) {
                        // The one that is due, or one so far from it that it may as well be.
                        (0xd0..=0xd7, 0 | 3..=5) => {
                            rest = behind;
                            true
                        }
                        // One that is over, or none.
                        (0xd0..=0xd7, 6..) | (..0xc0, _) => {
                            rest = behind;
                            continue;
                        }
                        _ => false,
                    }
                }
                [_, behind @ ..] => {
                    rest = behind;
                    continue;
                }
            };
            *self = Bits::new(rest);
            return found;
        }
    }

    /// Why what was read is no image.
    pub(super) fn failure(&self) -> Cause {
        match self.ran_out() || self.is_over() {
            true => Cause::new(CauseKind::Truncated, "the image data end early"),
            false => Cause::new(CauseKind::Corrupt, "image data that are no block of a picture"),
        }
    }
}

/// What is behind a byte of all ones and its stuffed zero; `None` at a marker and at the
/// end.
fn stuffed(rest: &[u8]) -> Option<&[u8]> {
    let ones = rest.iter().take_while(|&&byte| byte == 0xff).count();
    match rest.get(ones..)? {
        [0, behind @ ..] => Some(behind),
        _ => None,
    }
}

/// Whether one of eight bytes is all ones.
#[inline(always)]
fn has_ff(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    (!word).wrapping_sub(ONES) & word & (ONES << 7) != 0
}
