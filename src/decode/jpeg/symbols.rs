//! Huffman codes in the scans of progressive files: a symbol, and a value where one follows.

use super::bits::Bits;
use super::huffman::{Code, Codes, LOOK, extended};

/// For symbols, and what follows them where that is a value of as many bits as their lower
/// half says. An entry has the bits of a code in its lowest byte and the symbol in the next
/// one; and if the value is in the look, the bits of both instead, and [`VALUED`], and the
/// value in its upper half. It is zero if a code is more than a look.
pub(super) struct Symbols {
    entries: [u32; 1 << LOOK],
    codes: Codes,
}

/// Marks an entry with a value, above the bits that count.
const VALUED: u32 = 1 << 7;

impl Symbols {
    /// Of differences of DC coefficients, which have no more bits than a coefficient.
    pub(super) fn of_dc(code: Code<'_>) -> Option<Self> {
        code.symbols.iter().all(|&symbol| symbol < 16).then(|| Symbols::new(code, true))?
    }

    /// Of AC coefficients.
    pub(super) fn of_values(code: Code<'_>) -> Option<Self> {
        Symbols::new(code, true)
    }

    /// Without values.
    pub(super) fn plain(code: Code<'_>) -> Option<Self> {
        Symbols::new(code, false)
    }

    fn new(code: Code<'_>, values: bool) -> Option<Self> {
        let mut entries = [0; 1 << LOOK];
        let codes = Codes::new(code, |first, looks, length, symbol| {
            let (size, told) = (u32::from(symbol & 15), u32::from(symbol) << 8);
            for (look, entry) in (first..).zip(&mut entries[first..first + looks]) {
                *entry = length | told;
                if values && size > 0 && length + size <= LOOK {
                    let bits = look as u32 >> (LOOK - length - size) & ((1 << size) - 1);
                    let value = u32::from(extended(bits, size) as u16);
                    *entry = (length + size) | VALUED | told | value << 16;
                }
            }
        })?;
        Some(Symbols { entries, codes })
    }

    /// The next symbol; `None` if no code begins so. Needs 16 bits.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let entry = self.entries[bits.peek(LOOK) as usize];
        if entry == 0 {
            return self.codes.symbol(bits);
        }
        bits.skip(entry);
        Some((entry >> 8) as u8)
    }

    /// The next symbol, and its value, which is a zero of no bits. Needs 31 bits.
    #[inline(always)]
    pub(super) fn next_valued(&self, bits: &mut Bits<'_>) -> Option<(u8, i32)> {
        let entry = self.entries[bits.peek(LOOK) as usize];
        if entry & VALUED != 0 {
            bits.skip(entry);
            return Some(((entry >> 8) as u8, entry as i32 >> 16));
        }
        let symbol = self.next(bits)?;
        let size = u32::from(symbol & 15);
        Some((symbol, extended(bits.take(size), size)))
    }
}
