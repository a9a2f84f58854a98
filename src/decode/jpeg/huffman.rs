//! Huffman codes (ITU-T T.81, annex C) and the coefficients of a block (F.2.2), by
//! tables made for one look at the next bits.
//!
//! A look at the next [`LOOK`] bits tells of most coefficients all there is to know: how
//! many zeros come before it, its value, and the bits of its code and its value together;
//! and where they are short, of two coefficients at once. What is longer takes a second
//! step.

use std::cell::OnceCell;

use super::bits::Bits;
use super::block::{NOWHERE, PLACES, Room};

/// Bits of a look.
pub(super) const LOOK: u32 = 11;
/// By how many places the end of a block goes on: to the last one or past it.
const END: usize = 63;

/// The symbol of sixteen zeros.
const ZEROS: u8 = 0xf0;

/// A code as a file defines it: how many codes there are of each length from 1 to 16,
/// and the symbols in the order of their codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Code<'a> {
    pub(super) counts: &'a [u8; 16],
    pub(super) symbols: &'a [u8],
}

/// A code's tables for decoding bit by bit (F.2.2.3).
pub(super) struct Codes {
    /// Of each length, behind the last code, as if it had 16 bits.
    ends: [u32; 17],
    /// From a code of a length to the place of its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

/// For differences of DC coefficients. An entry has the bits of code and difference in
/// its lowest byte and the difference in its upper half; or a zero, if that is more than
/// a look.
pub(super) struct DcTable {
    entries: [u32; 1 << LOOK],
    codes: Codes,
}

/// For AC coefficients.
///
/// An entry of `passes` is for passing over coefficients: the bits of as many as a look
/// holds, 6, and by how many places they go on; [`PASSED`] more, if the block ends there.
pub(super) struct AcTable {
    entries: [Entry; 1 << LOOK],
    passes: OnceCell<Box<[u16; 1 << LOOK]>>,
    codes: Codes,
}

/// What a look tells of one or two coefficients. From the lowest bit on: the bits that
/// they take, 6; by how many places the first goes on, 4, and both do, 6; their values, 8
/// and 8. No bits: it takes more than a look. No places for the first: the block ends;
/// [`END`] for both: it ends behind the first.
///
/// Of a single one the value is there twice. Of what takes more than a look they are the
/// symbol and the length of its code, or zeros if that is longer too.
#[derive(Clone, Copy, Default)]
struct Entry(u32);

impl Entry {
    fn new(bits: u32, first: usize, both: usize, values: [u8; 2]) -> Self {
        let values = u32::from(u16::from_le_bytes(values));
        Entry(bits | (first as u32) << 6 | (both as u32) << 10 | values << 16)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 & 63
    }

    #[inline(always)]
    fn first(self) -> usize {
        (self.0 >> 6 & 15) as usize
    }

    #[inline(always)]
    fn both(self) -> usize {
        (self.0 >> 10 & 63) as usize
    }

    #[inline(always)]
    fn values(self) -> [i16; 2] {
        [(self.0 << 8) as i32 >> 24, self.0 as i32 >> 24].map(|value| value as i16)
    }
}

/// More places than looks go on by before a block is over.
const PASSED: usize = 1 << 8;

impl Codes {
    /// And what each code begins: `tell` has a code's first look, the number of looks,
    /// its length and its symbol. `None` when these lengths are not those of a code
    /// (annex C).
    pub(super) fn new(code: Code<'_>, mut tell: impl FnMut(usize, usize, u32, u8)) -> Option<Self> {
        let mut codes = Codes { ends: [0; 17], offsets: [0; 17], symbols: [0; 256] };
        codes.symbols.get_mut(..code.symbols.len())?.copy_from_slice(code.symbols);
        let (mut next, mut symbols) = (0_u32, code.symbols.iter());
        for (length, &count) in (1_u32..).zip(code.counts) {
            let place = code.symbols.len() - symbols.len();
            codes.offsets[length as usize] = place as i32 - next as i32;
            let behind = next + u32::from(count);
            // None is all ones.
            if count > 0 && behind >= 1 << length {
                return None;
            }
            for code in next..behind {
                let symbol = *symbols.next()?;
                if length <= LOOK {
                    let spare = LOOK - length;
                    tell((code << spare) as usize, 1 << spare, length, symbol);
                }
            }
            codes.ends[length as usize] = behind << (16 - length);
            next = behind << 1;
        }
        Some(codes)
    }

    /// The next symbol; `None` if no code begins so. Needs 16 bits.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (symbol, length) = self.search(bits.peek(16))?;
        bits.skip(length);
        Some(symbol)
    }

    /// The symbol and the length of the code that 16 bits begin with.
    #[inline(never)]
    fn search(&self, next: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|&length| next < self.ends[length as usize])?;
        let place = (next >> (16 - length)) as i32 + self.offsets[length as usize];
        Some((self.symbols[place as usize & 255], length))
    }
}

impl DcTable {
    pub(super) fn new(code: Code<'_>) -> Option<Self> {
        let mut entries = [0; 1 << LOOK];
        let codes = Codes::new(code, |first, looks, length, symbol| {
            let size = u32::from(symbol);
            if length + size > LOOK {
                return;
            }
            let spare = LOOK - length - size;
            for (look, entry) in (first..).zip(&mut entries[first..first + looks]) {
                let bits = look as u32 >> spare & ((1 << size) - 1);
                let value = extended(bits, size) as u16;
                *entry = (length + size) | u32::from(value) << 16;
            }
        })?;
        // More bits than a coefficient of any process has.
        let known = code.symbols.iter().all(|&symbol| symbol < 16);
        known.then_some(DcTable { entries, codes })
    }

    /// A block's first coefficient from the last one's; `None` if that is none. Leaves
    /// enough for four looks.
    #[inline(always)]
    fn coefficient(&self, bits: &mut Bits<'_>, before: &mut i32) -> Option<()> {
        bits.refill();
        *before = before.wrapping_add(self.difference(bits)?);
        Some(())
    }

    /// The next difference (F.2.2.1).
    #[inline(always)]
    fn difference(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let entry = self.entries[bits.peek(LOOK) as usize];
        if entry != 0 {
            bits.skip(entry);
            return Some(entry as i32 >> 16);
        }
        let size = u32::from(self.codes.symbol(bits)?);
        let difference = extended(bits.take(size), size);
        bits.refill();
        Some(difference)
    }
}

impl AcTable {
    /// What a table takes at most.
    pub(super) const BYTES: usize = size_of::<Self>() + size_of::<[u16; 1 << LOOK]>();

    pub(super) fn new(code: Code<'_>) -> Option<Self> {
        // Bits, places and value of single ones; and those that the value is too long for.
        let mut single = [(0, 0, 0); 1 << LOOK];
        let mut long = [(0, 0); 1 << LOOK];
        let codes = Codes::new(code, |first, looks, length, symbol| {
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            let looks = first..first + looks;
            long[looks.clone()].fill((symbol, length as u8));
            if size == 0 && run < 15 {
                single[looks].fill((length, 0, 0));
            } else if size > 0 && run < 15 && length + size <= LOOK {
                let spare = LOOK - length - size;
                for look in looks {
                    let value = extended(look as u32 >> spare & ((1 << size) - 1), size);
                    if i8::try_from(value).is_ok() {
                        single[look] = (length + size, run + 1, value as u8);
                    }
                }
            }
        })?;
        let mut entries = [Entry::default(); 1 << LOOK];
        for (look, entry) in entries.iter_mut().enumerate() {
            let (bits, on, value) = single[look];
            let (more, further, other) = single[look << bits & ((1 << LOOK) - 1)];
            let all = bits + more;
            *entry = if bits == 0 {
                let (symbol, length) = long[look];
                Entry::new(0, 0, END, [symbol, length])
            } else if on == 0 {
                Entry::new(bits, 0, END, [0; 2])
            } else if more == 0 || all > LOOK {
                Entry::new(bits, on, on, [value; 2])
            } else {
                let both = if further == 0 { END } else { on + further };
                Entry::new(all, on, both, [value, other])
            };
        }
        Some(AcTable { entries, passes: OnceCell::new(), codes })
    }

    /// The coefficients behind the one in place `at` (F.2.2.2), handed to `store` with
    /// their places in zigzag order, some twice, and what is none with [`NOWHERE`]; the
    /// last place, or `None` if no code begins so or there are more than 63.
    #[inline(always)]
    fn coefficients(
        &self,
        mut at: usize,
        bits: &mut Bits<'_>,
        mut store: impl FnMut(usize, i16),
    ) -> Option<u32> {
        'refilled: loop {
            // The first entry that is more than one or two coefficients inside the block.
            let entry = 'looks: {
                macro_rules! look {
                    () => {
                        let entry = self.entries[bits.peek(LOOK) as usize];
                        let (one, two) = (at + entry.first(), at + entry.both());
                        if two >= 63 {
                            break 'looks entry;
                        }
                        bits.skip(entry.0);
                        store(one, entry.values()[0]);
                        store(two, entry.values()[1]);
                        at = two;
                    };
                }
                // As many as a refill is enough for.
                look!();
                look!();
                look!();
                look!();
                bits.refill();
                continue 'refilled;
            };
            let (length, on, both) = (entry.bits(), entry.first(), entry.both());
            // With the first of two the block may be full: the second is the next one's.
            if length > 0 && at + on < 63 {
                bits.skip(length);
                at += on;
                // An end alone is as likely as one behind a coefficient. Stored where nothing
                // is read, it needs no branch.
                store(if on == 0 { NOWHERE } else { at }, entry.values()[0]);
                if both == END {
                    return Some(at as u32);
                }
                if at + both - on > 63 {
                    return None;
                }
                store(63, entry.values()[1]);
                return Some(63);
            }
            bits.refill();
            let mut symbol = match entry.values() {
                [symbol, of_code] if length == 0 && of_code > 0 => {
                    bits.skip(of_code as u32);
                    symbol as u8
                }
                _ => self.codes.symbol(bits)?,
            };
            let mut zeros = 0;
            while symbol == ZEROS {
                zeros += 16;
                match at + zeros {
                    0..63 => bits.refill(),
                    63 => return Some(at as u32),
                    _ => return None,
                }
                symbol = self.codes.symbol(bits)?;
            }
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                return Some(at as u32);
            }
            at += zeros + run + 1;
            if at > 63 {
                return None;
            }
            store(at, extended(bits.take(size), size) as i16);
            if at == 63 {
                return Some(63);
            }
            bits.refill();
        }
    }

    /// A block's coefficients, each to its place; `block` is clear, `before` the DC
    /// coefficient of the last one. The place of the last one in zigzag order; `None` if
    /// that is no block.
    #[inline(always)]
    pub(super) fn block(
        &self,
        dc: &DcTable,
        bits: &mut Bits<'_>,
        before: &mut i32,
        block: &mut Room,
    ) -> Option<u32> {
        // In registers, for which all has to be inlined: a closure may not be.
        let mut near = *bits;
        let last = match dc.coefficient(&mut near, before) {
            Some(()) => self.coefficients(0, &mut near, |at, value| store(at, value, block)),
            None => None,
        };
        *bits = near;
        block[0] = *before as i16;
        last
    }

    /// The same bit by bit, and of whatever comes what libjpeg makes of it: a code that
    /// is none is a zero, and what goes past the end is the last coefficient.
    pub(super) fn any_block(
        &self,
        dc: &DcTable,
        bits: &mut Bits<'_>,
        before: &mut i32,
        block: &mut Room,
    ) -> u32 {
        let symbol = |codes: &Codes, bits: &mut Bits<'_>| {
            bits.refill();
            let (symbol, length) = codes.search(bits.peek(16)).unwrap_or((0, 17));
            bits.skip(length);
            symbol
        };
        let value = |size: u8, bits: &mut Bits<'_>| {
            let size = u32::from(size);
            extended(bits.take(size), size)
        };
        let size = symbol(&dc.codes, bits);
        *before = before.wrapping_add(value(size, bits));
        block[0] = *before as i16;
        let (mut at, mut last) = (0, 0);
        while at < 63 {
            let symbol = symbol(&self.codes, bits);
            match (u32::from(symbol >> 4), symbol & 15) {
                (15, 0) => at += 16,
                (_, 0) => break,
                (run, size) => {
                    at += run + 1;
                    last = at.min(63);
                    store(last as usize, value(size, bits) as i16, block);
                }
            }
        }
        last
    }

    /// Passes over a block; `None` if that is none.
    #[inline(always)]
    pub(super) fn skip(&self, dc: &DcTable, bits: &mut Bits<'_>, before: &mut i32) -> Option<()> {
        let mut near = *bits;
        let passed = match dc.coefficient(&mut near, before) {
            Some(()) => self.pass(&mut near),
            None => None,
        };
        *bits = near;
        passed
    }

    /// Made only where blocks are passed over.
    #[cold]
    fn new_passes(&self) -> Box<[u16; 1 << LOOK]> {
        let mut passes = Box::new([0; 1 << LOOK]);
        for (look, pass) in passes.iter_mut().enumerate() {
            let (mut passed, mut places) = (0, 0);
            while places < PASSED {
                // Behind what a look holds stand zeros, which are not the file's.
                let entry = self.entries[look << passed & ((1 << LOOK) - 1)];
                if entry.bits() == 0 || passed + entry.bits() > LOOK {
                    break;
                }
                passed += entry.bits();
                places += match entry.both() {
                    END => entry.first() + PASSED,
                    both => both,
                };
            }
            *pass = (places << 6) as u16 | passed as u16;
        }
        passes
    }

    /// Passes over what is behind the first coefficient.
    #[inline(always)]
    fn pass(&self, bits: &mut Bits<'_>) -> Option<()> {
        let passes = self.passes.get_or_init(|| self.new_passes());
        let mut at = 0;
        loop {
            // As many as a refill is enough for.
            for _ in 0..4 {
                let entry = usize::from(passes[bits.peek(LOOK) as usize]);
                let next = at + (entry >> 6);
                // Coefficients may be followed by another block without a word only
                // where they fill this one.
                if entry == 0 || next >= 63 && !(PASSED..PASSED + 63).contains(&next) {
                    bits.refill();
                    return self.coefficients(at, bits, |_, _| {}).map(drop);
                }
                bits.skip(entry as u32);
                if next >= PASSED {
                    return Some(());
                }
                at = next;
            }
            bits.refill();
        }
    }
}

/// A coefficient, number `at` in zigzag order, to its place.
#[inline(always)]
fn store(at: usize, value: i16, block: &mut Room) {
    block[usize::from(PLACES[at & 127])] = value;
}

/// F.2.2.1, EXTEND: `size` bits as a number that may be negative.
pub(super) fn extended(bits: u32, size: u32) -> i32 {
    let half = 1_i32 << size >> 1;
    let value = bits as i32;
    if value < half { value - (1 << size) + 1 } else { value }
}
