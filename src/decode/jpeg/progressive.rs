//! Progressive files (ITU-T T.81, annex G): scans that each bring some bits of some
//! coefficients of all blocks. So all coefficients are kept until the last scan.

use std::ops::Range;

use super::bits::Bits;
use super::block::{Block, PLACES};
use super::cache;
use super::header::{Band, Component, Header, Scan};
use super::kernel::compiled;
use super::plane::{Plane, Samples};
use super::scans::{Restarts, Row, no_restart};
use super::symbols::Symbols;
use crate::error::{Cause, CauseKind};
use crate::memory::zeroed;
use crate::transform::Isa;

/// The coefficients that libjpeg makes up where bits of them are missing.
const SMOOTHED: usize = 10;

/// An error where the scans bring not all bits of these, but for `allow_truncated`, or where
/// they bring bits out of turn. Others are zero where they are missing.
pub(super) fn check(header: &Header<'_>, allow_truncated: bool) -> Result<(), Cause> {
    let corrupt = |message| Err(Cause::new(CauseKind::Corrupt, message));
    // Of each component and coefficient, the lowest bit that is there.
    let mut lowest = vec![[None; 64]; header.components.len()];
    for Scan { members, band, .. } in &header.scans {
        let Band { first, last, high, low } = *band;
        let of_one = first > 0 && first <= last && last < 64 && members.len() == 1;
        if !(of_one || first == 0 && last == 0) || low > 13 {
            return corrupt("a scan of coefficients that no scan may have");
        }
        for member in members {
            for lowest in &mut lowest[member.number][first..=last] {
                match *lowest {
                    None if high == 0 => {}
                    Some(before) if high == before && low + 1 == before => {}
                    _ => return corrupt("a scan of bits that are there, or not yet due"),
                }
                *lowest = Some(low);
            }
        }
    }
    let whole = |lowest: &[_; 64]| lowest[..SMOOTHED].iter().all(|lowest| *lowest == Some(0));
    if !allow_truncated && !lowest.iter().all(whole) {
        let message = "a progressive JPEG of which some scans are missing";
        return Err(Cause::new(CauseKind::Truncated, message));
    }
    Ok(())
}

/// A block, and which of its AC coefficients are not zero: from the lowest bit on, in
/// zigzag order.
type Filled<'k> = (&'k mut u64, &'k mut Block);

/// The coefficients of all components.
pub(super) struct Kept {
    blocks: Vec<Block>,
    /// Apart from them: a scan that has nothing of most blocks looks at no more.
    filled: Vec<u64>,
    /// Of each component, where its blocks begin, and how many are in a row.
    places: Vec<(usize, usize)>,
}

impl Kept {
    /// Bytes that they take, and what reads them.
    pub(super) fn bytes(header: &Header<'_>) -> usize {
        let (across, down) = header.units();
        let of_unit: usize = header.components.iter().map(|c| c.h * c.v).sum();
        (size_of::<Block>() + size_of::<u64>()) * of_unit * across * down + 4 * size_of::<Symbols>()
    }

    /// Reads all scans; of a file that may end, those that are there.
    pub(super) fn read(header: &Header<'_>, isa: Isa, may_end: bool) -> Result<Self, Cause> {
        let (across, down) = header.units();
        let mut count = 0;
        let place = |component: &Component| {
            let (begin, width) = (count, across * component.h);
            count += width * down * component.v;
            (begin, width)
        };
        let places = header.components.iter().map(place).collect();
        let mut kept = Kept { blocks: zeroed(count)?, filled: zeroed(count)?, places };
        for scan in &header.scans {
            match kept.read_scan(scan, header, isa) {
                Err(cause) if may_end && cause.kind() == CauseKind::Truncated => break,
                read => read?,
            }
        }
        Ok(kept)
    }

    fn read_scan(&mut self, scan: &Scan<'_>, header: &Header<'_>, isa: Isa) -> Result<(), Cause> {
        let mut pass = Pass::new(scan)?;
        if let [alone] = &*scan.members {
            // Of a single component a unit is a block, and there are no more than it has
            // (A.2.2).
            let (across, down) = header.blocks(&header.components[alone.number]);
            let (begin, width) = self.places[alone.number];
            for line in 0..down {
                let row = begin + line * width..begin + line * width + across;
                let blocks = self.filled[row.clone()].iter_mut().zip(&mut self.blocks[row]);
                compiled!(isa, pass.row(blocks))?;
            }
            return Ok(());
        }
        let (across, down) = header.units();
        for row in 0..down {
            for unit in 0..across {
                pass.restart()?;
                for (at, member) in scan.members.iter().enumerate() {
                    let Component { h, v, .. } = header.components[member.number];
                    let (begin, width) = self.places[member.number];
                    for line in row * v..(row + 1) * v {
                        let first = begin + line * width + unit * h;
                        for block in first..first + h {
                            pass.block(at, (&mut self.filled[block], &mut self.blocks[block]))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The samples of a row of units.
    pub(super) fn row<'h>(&self, row: &Row, planes: &[Plane<'h>], samples: &mut Samples<'h, '_>) {
        for (plane, &(begin, width)) in planes[..row.used].iter().zip(&self.places) {
            let Component { h, v, .. } = *plane.component;
            for line in 0..v {
                let first = begin + (row.number * v + line) * width;
                for column in row.needed.start * h..row.needed.end * h {
                    // The DC coefficient is there, be it zero.
                    let last = (self.filled[first + column] | 1).ilog2();
                    let block = &self.blocks[first + column];
                    plane.kept_block((column, line), block, last, samples);
                }
            }
        }
        samples.finish();
    }
}

/// A scan in work.
struct Pass<'a> {
    band: Band,
    bits: Bits<'a>,
    /// The codes of each member's DC coefficients, or of the only one's AC coefficients.
    codes: Vec<Symbols>,
    /// The last DC coefficient of each member.
    before: Vec<i32>,
    /// Blocks to come that have nothing more in this band (G.1.2.2).
    over: u32,
    restarts: Restarts,
}

impl<'a> Pass<'a> {
    fn new(scan: &Scan<'a>) -> Result<Self, Cause> {
        let Scan { members, band, restart_interval, data } = scan;
        let mut codes = Vec::with_capacity(members.len());
        for member in members {
            let made = match (band.first, band.high) {
                (0, 0) => cache::made(member.dc, Symbols::of_dc)?,
                // Bits alone.
                (0, _) => break,
                (_, 0) => cache::made(member.ac, Symbols::of_values)?,
                _ => cache::made(member.ac, Symbols::plain)?,
            };
            codes.push(made);
        }
        Ok(Pass {
            band: *band,
            bits: Bits::new(data),
            codes,
            before: vec![0; members.len()],
            over: 0,
            restarts: Restarts::every(*restart_interval),
        })
    }

    /// Passes over a restart marker where one is due.
    #[inline]
    fn restart(&mut self) -> Result<(), Cause> {
        let Some(number) = self.restarts.due() else { return Ok(()) };
        if !self.bits.restart(number) {
            return Err(if self.bits.is_over() { self.bits.failure() } else { no_restart() });
        }
        self.before.fill(0);
        self.over = 0;
        Ok(())
    }

    /// A row of blocks of the only member.
    #[inline(always)]
    fn row<'k>(&mut self, blocks: impl Iterator<Item = Filled<'k>>) -> Result<(), Cause> {
        for block in blocks {
            self.restart()?;
            self.block(0, block)?;
        }
        Ok(())
    }

    /// What the scan has of the next block, which is of the member in place `at`.
    #[inline(always)]
    fn block(&mut self, at: usize, block: Filled<'_>) -> Result<(), Cause> {
        // In registers.
        let mut bits = self.bits;
        let done = match (self.band.first, self.band.high) {
            (0, 0) => self.first_dc(at, block, &mut bits),
            (0, _) => {
                bits.refill();
                block.1[0] |= (bits.take(1) << self.band.low) as i16;
                Some(())
            }
            (_, 0) => self.first_ac(block, &mut bits),
            _ => self.more_ac(block, &mut bits),
        };
        self.bits = bits;
        // At once: made-up bits are no coefficients, and what is there may be shown.
        if done.is_none() || bits.ran_out() {
            return Err(bits.failure());
        }
        Ok(())
    }

    /// G.1.2.1.
    #[inline(always)]
    fn first_dc(&mut self, at: usize, block: Filled<'_>, bits: &mut Bits<'_>) -> Option<()> {
        bits.refill();
        let (_, difference) = self.codes[at].next_valued(bits)?;
        self.before[at] = self.before[at].wrapping_add(difference);
        block.1[0] = (self.before[at] << self.band.low) as i16;
        Some(())
    }

    /// G.1.2.2.
    #[inline(always)]
    fn first_ac(&mut self, mut block: Filled<'_>, bits: &mut Bits<'_>) -> Option<()> {
        if self.over > 0 {
            self.over -= 1;
            return Some(());
        }
        let Band { first, last, low, .. } = self.band;
        let codes = &self.codes[0];
        let mut k = first;
        while k <= last {
            bits.refill();
            let (symbol, value) = codes.next_valued(bits)?;
            let run = u32::from(symbol >> 4);
            if symbol & 15 > 0 {
                k += run as usize;
                if k > last {
                    return None;
                }
                fill(&mut block, k, (value << low) as i16);
                k += 1;
            } else if run == 15 {
                k += 16;
            } else {
                self.over = (1 << run) - 1 + bits.take(run);
                return Some(());
            }
        }
        Some(())
    }

    /// A further bit of those that are there, and the highest of others (G.1.2.3).
    #[inline(always)]
    fn more_ac(&mut self, mut block: Filled<'_>, bits: &mut Bits<'_>) -> Option<()> {
        let Band { first, last, low, .. } = self.band;
        let one = 1_i16 << low;
        let mut k = first;
        while k <= last && self.over == 0 {
            bits.refill();
            let symbol = self.codes[0].next(bits)?;
            let (run, size) = (u32::from(symbol >> 4), symbol & 15);
            let value = match (run, size) {
                (15, 0) => 0,
                (_, 0) => {
                    self.over = (1 << run) + bits.take(run);
                    break;
                }
                (_, 1) if bits.take(1) == 1 => one,
                (_, 1) => -one,
                _ => return None,
            };
            k = more_bits(k..last + 1, run, one, &mut block, bits);
            if value != 0 {
                if k > last {
                    return None;
                }
                fill(&mut block, k, value);
            }
            k += 1;
        }
        if self.over > 0 {
            more_bits(k..last + 1, 64, one, &mut block, bits);
            self.over -= 1;
        }
        Some(())
    }
}

/// A coefficient, number `k` in zigzag order.
#[inline(always)]
fn fill((filled, values): &mut Filled<'_>, k: usize, value: i16) {
    values[usize::from(PLACES[k & 63])] = value;
    **filled |= u64::from(value != 0) << (k & 63);
}

/// Goes over so many `zeros`, and over what else is on the way, of each of which there is
/// the bit `one`; to the next zero, or the end.
#[inline(always)]
fn more_bits(
    over: Range<usize>,
    zeros: u32,
    one: i16,
    (filled, values): &mut Filled<'_>,
    bits: &mut Bits<'_>,
) -> usize {
    let (mut k, mut zeros) = (over.start, zeros as usize);
    while k < over.end {
        let before = (**filled >> (k & 63)).trailing_zeros() as usize;
        if before > zeros {
            return over.end.min(k + zeros);
        }
        zeros -= before;
        k += before;
        if k >= over.end {
            break;
        }
        let value = &mut values[usize::from(PLACES[k & 63])];
        bits.refill();
        if bits.take(1) == 1 && *value & one == 0 {
            *value = value.wrapping_add(if *value > 0 { one } else { -one });
        }
        k += 1;
    }
    over.end
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::SamplingFactor;

    use super::super::tests::{assert_same, file, pixels};
    use super::*;
    use crate::config::{Limits, Size};
    use crate::decode::Channels;

    /// What follows the marker of each scan, up to the next scan or the end.
    fn scans(file: &[u8]) -> Vec<&[u8]> {
        let starts = (0..file.len() - 1).filter(|&at| file[at..at + 2] == [0xff, 0xda]);
        let starts: Vec<usize> = starts.chain([file.len() - 2]).collect();
        starts.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect()
    }

    #[test]
    fn scans_in_passes_make_the_picture_that_one_scan_makes() {
        use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
        for (width, height) in [(1, 1), (3, 40), (8, 8), (33, 17), (61, 47)] {
            let size = Size { width, height };
            for sampling in [F_1_1, F_2_1, F_1_2, F_2_2] {
                let together = file(size, sampling, |_| {});
                for (count, restart) in [(3, 0), (10, 0), (30, 5)] {
                    let passes = file(size, sampling, |encoder| {
                        encoder.set_progressive_scans(count);
                        encoder.set_restart_interval(restart);
                    });
                    assert_same(&passes, &together, size);
                }
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_is_shown_where_that_is_allowed() {
        for restart in [0, 5] {
            let file = file(Size { width: 61, height: 47 }, SamplingFactor::F_2_2, |encoder| {
                encoder.set_progressive_scans(4);
                encoder.set_restart_interval(restart);
            });
            let whole = pixels(&file, 1, Channels::Rgb, None);
            let mut nearer = 0;
            for length in 0..file.len() - 2 {
                let strict = super::super::open(&file[..length], &Limits::default(), false);
                assert!(strict.is_err(), "{length} bytes");
                let opened = super::super::open(&file[..length], &Limits::default(), true);
                let Ok(picture) = opened else { continue };
                let mut pixels = vec![0x11; whole.len()];
                picture.read(Channels::Rgb, &mut pixels).unwrap();
                let off = |pixels: &[u8]| -> u64 {
                    pixels.iter().zip(&whole).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
                };
                nearer += u64::from(off(&pixels) < off(&vec![128; whole.len()]));
            }
            assert!(nearer as usize > file.len() / 2, "{nearer} of {}", file.len());
        }
    }

    #[test]
    fn of_a_scan_that_ends_early_one_block_is_made_up() {
        let file = file(Size { width: 1200, height: 16 }, SamplingFactor::F_2_2, |encoder| {
            encoder.set_progressive_scans(6);
        });
        let kept = |file| Kept::read(&Header::of(file).unwrap(), Isa::detect(), true).unwrap();
        for part in scans(&file) {
            let start = part.as_ptr().addr() - file.as_ptr().addr();
            let before = kept(&file[..start]).blocks;
            let after = kept(&file[..start + part.len()]).blocks;
            assert!(before != after);
            for length in (20..part.len()).step_by(1 + part.len() / 20) {
                let cut = kept(&file[..start + length]).blocks;
                let is_other = |&at: &usize| cut[at] != before[at] && cut[at] != after[at];
                assert!((0..cut.len()).filter(is_other).count() <= 1, "{length} bytes");
            }
        }
    }

    #[test]
    fn a_component_without_scans_needs_no_quantisers() {
        let size = Size { width: 24, height: 16 };
        let mut file = file(size, SamplingFactor::F_1_1, |encoder| {
            encoder.set_progressive_scans(4);
        });
        // Of the colours: the table of number 1 becomes another of number 0.
        let at = file.windows(5).position(|five| matches!(five, [0xff, 0xdb, 0, 67, 1])).unwrap();
        let first = file.windows(5).position(|five| matches!(five, [0xff, 0xdb, 0, 67, 0]));
        let first = file[first.unwrap()..][..69].to_vec();
        file[at..at + 69].copy_from_slice(&first);
        let colours =
            scans(&file).into_iter().find(|part| part[5] != first_identifier(&file)).unwrap();
        let end = colours.as_ptr().addr() - file.as_ptr().addr();
        let open = |end, may_end| super::super::open(&file[..end], &Limits::default(), may_end);
        let mut pixels = vec![0; 3 * 24 * 16];
        open(end, true).unwrap().read(Channels::Rgb, &mut pixels).unwrap();
        assert!(pixels.as_chunks::<3>().0.iter().all(|[r, g, b]| r == g && g == b));
        assert_eq!(open(end, false).err().unwrap().kind(), CauseKind::Truncated);
        assert_eq!(open(file.len(), true).err().unwrap().kind(), CauseKind::Corrupt);
    }

    /// The identifier of the first component.
    fn first_identifier(file: &[u8]) -> u8 {
        file[file.windows(2).position(|two| two == [0xff, 0xc2]).unwrap() + 10]
    }

    #[test]
    fn a_scan_that_is_cut_repeated_or_no_scan_is_no_picture() {
        let file = file(Size { width: 61, height: 47 }, SamplingFactor::F_2_2, |encoder| {
            encoder.set_progressive_scans(4);
        });
        let parts = scans(&file);
        let head = &file[..parts[0].as_ptr().addr() - file.as_ptr().addr()];
        let kind = |parts: &[&[u8]]| {
            let file = [head, &parts.concat(), &[0xff, 0xd9]].concat();
            let opened = super::super::open(&file, &Limits::default(), false);
            let read = opened.and_then(|p| p.read(Channels::Rgb, &mut vec![0; 3 * 61 * 47]));
            read.err().map(|cause| cause.kind())
        };
        assert_eq!(kind(&parts), None);
        // The identifier of a scan's first component stands behind their number.
        let of_first = parts.iter().copied().filter(|part| part[5] == parts[0][5]);
        let of_first: Vec<&[u8]> = of_first.collect();
        assert!(of_first.len() < parts.len() && of_first.iter().all(|part| part[4] == 1));
        assert_eq!(kind(&of_first), Some(CauseKind::Truncated), "no colours");
        for at in 0..parts.len() {
            let mut other = parts.clone();
            other.remove(at);
            // The last coefficients may be missing: they are zero then.
            let first = parts[at][2 + usize::from(parts[at][3]) - 3];
            let expected = (usize::from(first) < SMOOTHED).then_some(CauseKind::Truncated);
            assert_eq!(kind(&other), expected, "scan {at} missing");
            let mut other = parts.clone();
            other.insert(at, parts[at]);
            assert_eq!(kind(&other), Some(CauseKind::Corrupt), "scan {at} twice");
            let mut other = parts.clone();
            other[at] = &parts[at][..parts[at].len() / 2];
            assert_eq!(kind(&other), Some(CauseKind::Truncated), "half of scan {at}");
            // Its band and bits are the last three of its header.
            let length = usize::from(parts[at][3]);
            let behind = 2 + length;
            for (place, value) in [(3, 64), (2, 64), (1, 14), (1, 0x55)] {
                let mut changed = parts[at].to_vec();
                changed[behind - place] = value;
                let mut other = parts.clone();
                other[at] = &changed;
                assert_eq!(kind(&other), Some(CauseKind::Corrupt), "scan {at}, {place}");
            }
        }
    }

    /// The fixture's scans bring bits one by one, which the encoder above cannot write.
    #[test]
    fn bits_that_are_missing_are_told() {
        let file = include_bytes!("../../../tests/fixtures/encoded/progressive.jpg");
        let parts = scans(file);
        let head = &file[..parts[0].as_ptr().addr() - file.as_ptr().addr()];
        let (mut middle, mut last) = (0, 0);
        for at in 0..parts.len() {
            let header = &parts[at][..2 + usize::from(parts[at][3])];
            let (high, low) = (header[header.len() - 1] >> 4, header[header.len() - 1] & 15);
            let mut other = parts.clone();
            other.remove(at);
            let file = [head, &other.concat(), &[0xff, 0xd9]].concat();
            let opened = super::super::open(&file, &Limits::default(), false);
            let kind = opened.err().map(|cause| cause.kind());
            match (high, low) {
                // Others refine it.
                (_, 1..) => {
                    assert_eq!(kind, Some(CauseKind::Corrupt), "scan {at}");
                    middle += 1;
                }
                (1.., 0) => {
                    assert_eq!(kind, Some(CauseKind::Truncated), "scan {at}");
                    last += 1;
                }
                _ => {}
            }
            // It is shown all the same where that is allowed, if nothing hangs on it.
            let opened = super::super::open(&file, &Limits::default(), true);
            assert_eq!(opened.is_ok(), kind != Some(CauseKind::Corrupt), "scan {at}");
        }
        assert!(middle > 1 && last > 1, "{middle} and {last} of {} scans", parts.len());
    }
}
