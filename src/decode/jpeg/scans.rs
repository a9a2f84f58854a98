//! The scans of a sequential file (A.2), side by side where there are several: each is a
//! place in the file that goes on by itself, so no more is kept than of a single one.

use std::ops::Range;
use std::rc::Rc;

use super::bits::Bits;
use super::cache;
use super::header::{Component, Header, Member, Scan};
use super::huffman::{AcTable, DcTable};
use super::plane::{Plane, Samples};
use crate::error::{Cause, CauseKind};

/// One of the scans in work.
pub(super) struct Lane<'h> {
    bits: Bits<'h>,
    /// The numbers of its components, with their codes.
    members: Vec<(usize, Coder)>,
    restarts: Restarts,
    /// Whether its units are blocks, and no more than the component has (A.2.2).
    by_blocks: bool,
    /// Whether the data may end early; and whether they have.
    may_end: bool,
    ended: bool,
}

/// A component's codes.
pub(super) struct Coder {
    pub(super) dc: Rc<DcTable>,
    pub(super) ac: Rc<AcTable>,
    /// The last block's DC coefficient (F.1.1.5.1).
    pub(super) before: i32,
}

impl Coder {
    fn new(member: &Member<'_>) -> Result<Self, Cause> {
        let Member { dc, ac, .. } = *member;
        Ok(Coder { dc: cache::dc(dc)?, ac: cache::ac(ac)?, before: 0 })
    }
}

/// Where restart markers stand (E.2.4).
pub(super) struct Restarts {
    /// Units between them; 0 if there are none.
    interval: u32,
    /// Units to the next one, and its number.
    units_left: u32,
    number: u8,
}

impl Restarts {
    pub(super) fn every(interval: u32) -> Self {
        Restarts { interval, units_left: interval, number: 0 }
    }

    /// The number of the marker that is to come before the next unit, if one is.
    #[inline]
    pub(super) fn due(&mut self) -> Option<u8> {
        if self.interval == 0 {
            return None;
        }
        let due = (self.units_left == 0).then_some(self.number);
        if due.is_some() {
            self.units_left = self.interval;
            self.number = (self.number + 1) & 7;
        }
        self.units_left -= 1;
        due
    }
}

/// A marker that is due is not there.
pub(super) fn no_restart() -> Cause {
    let message = "a restart marker is missing, or stands in another place";
    Cause::new(CauseKind::Corrupt, message)
}

/// What a row of units is about.
pub(super) struct Row {
    pub(super) number: usize,
    /// Units in it.
    pub(super) across: usize,
    /// Those that are transformed.
    pub(super) needed: Range<usize>,
    /// Planes that are, the first ones.
    pub(super) used: usize,
}

impl<'h> Lane<'h> {
    /// All of a picture that may end early or not.
    pub(super) fn all(header: &Header<'h>, may_end: bool) -> Result<Vec<Self>, Cause> {
        let alone = header.components.len() == 1;
        let lane = |scan: &Scan<'h>| {
            let member = |member: &Member<'_>| Ok((member.number, Coder::new(member)?));
            Ok(Lane {
                bits: Bits::new(scan.data),
                members: scan.members.iter().map(member).collect::<Result<_, Cause>>()?,
                restarts: Restarts::every(scan.restart_interval),
                by_blocks: scan.members.len() == 1 && !alone,
                may_end,
                ended: false,
            })
        };
        header.scans.iter().map(lane).collect()
    }

    /// This scan's share of a row of the picture's units.
    pub(super) fn row(
        &mut self,
        row: &Row,
        planes: &[Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) -> Result<(), Cause> {
        if self.by_blocks {
            self.blocks(row, planes, samples)?;
        } else {
            for unit in 0..row.across {
                self.unit(unit, row, planes, samples)?;
            }
        }
        samples.finish();
        if self.may_end { Ok(()) } else { self.bits.check() }
    }

    /// The next unit, in place `unit` of its row; transformed if it is needed.
    #[inline]
    fn unit(
        &mut self,
        unit: usize,
        row: &Row,
        planes: &[Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) -> Result<(), Cause> {
        self.restart()?;
        if self.may_end {
            self.unit_that_may_end(unit, planes, samples);
            return Ok(());
        }
        let Lane { bits, members, .. } = self;
        let needed = row.needed.contains(&unit);
        for (number, coder) in members {
            let plane = &planes[*number];
            let done = match needed && *number < row.used {
                true => plane.unit(unit, coder, bits, samples),
                false => plane.skip(coder, bits, samples.isa()),
            };
            if done.is_none() {
                return Err(bits.failure());
            }
        }
        Ok(())
    }

    /// As libjpeg does at the end of data: bits that are missing are zeros, and units
    /// that are missing as a whole are grey.
    fn unit_that_may_end(
        &mut self,
        unit: usize,
        planes: &[Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) {
        let Lane { bits, members, ended, .. } = self;
        samples.finish();
        if *ended {
            members.iter().for_each(|(number, _)| planes[*number].no_unit(unit, samples));
            return;
        }
        let before = *bits;
        let states: Vec<i32> = members.iter().map(|(_, coder)| coder.before).collect();
        let mut read = |(number, coder): &mut (usize, Coder)| {
            planes[*number].unit(unit, coder, bits, samples).is_some()
        };
        if members.iter_mut().all(&mut read) && !bits.ran_out() {
            return;
        }
        *bits = before;
        samples.forget();
        for ((number, coder), state) in members.iter_mut().zip(states) {
            coder.before = state;
            planes[*number].any_unit(unit, coder, bits, samples);
        }
        *ended = bits.ran_out();
    }

    fn blocks(
        &mut self,
        row: &Row,
        planes: &[Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) -> Result<(), Cause> {
        let number = self.members[0].0;
        let (across, down) = planes[number].coded;
        let Component { h, v, .. } = *planes[number].component;
        let first = row.number * v;
        for line in first..down.min(first + v) {
            for column in 0..across {
                self.restart()?;
                let (plane, coder) = (&planes[number], &mut self.members[0].1);
                let done = match number < row.used && row.needed.contains(&(column / h)) {
                    true => plane.block((column, line - first), coder, &mut self.bits, samples),
                    false => coder.ac.skip(&coder.dc, &mut self.bits, &mut coder.before),
                };
                done.ok_or_else(|| self.bits.failure())?;
            }
        }
        Ok(())
    }

    /// Passes over a restart marker where one is due.
    #[inline]
    fn restart(&mut self) -> Result<(), Cause> {
        let Some(number) = self.restarts.due() else { return Ok(()) };
        if self.may_end {
            self.ended &= !self.bits.resync(number);
        } else if !self.bits.restart(number) {
            return Err(no_restart());
        }
        self.members.iter_mut().for_each(|(_, coder)| coder.before = 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::SamplingFactor;

    use super::super::tests::{assert_same, file};
    use crate::config::{Limits, Size};
    use crate::decode::Channels;

    /// In one scan or in three: this encoder writes a scan for each component where it
    /// makes tables for the file.
    fn scanned(size: Size, sampling: SamplingFactor, separate: bool) -> Vec<u8> {
        let file = file(size, sampling, |encoder| encoder.set_optimized_huffman_tables(separate));
        let scans = file.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
        assert_eq!(scans, if separate { 3 } else { 1 });
        file
    }

    #[test]
    fn scans_of_their_own_make_the_picture_that_one_scan_makes() {
        use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
        for (width, height) in [(1, 1), (8, 8), (33, 17), (61, 47), (40, 70)] {
            let size = Size { width, height };
            for sampling in [F_1_1, F_2_1, F_1_2, F_2_2] {
                let together = scanned(size, sampling, false);
                let separate = scanned(size, sampling, true);
                assert_same(&separate, &together, size);
            }
        }
    }

    #[test]
    fn a_scan_that_is_cut_repeated_or_missing_is_no_picture() {
        let size = Size { width: 61, height: 47 };
        let file = scanned(size, SamplingFactor::F_2_2, true);
        let starts: Vec<usize> =
            (0..file.len() - 1).filter(|&at| file[at..at + 2] == [0xff, 0xda]).collect();
        let end = file.len() - 2;
        let refused = |parts: &[&[u8]]| {
            let file = parts.concat();
            let opened = super::super::open(&file, &Limits::default(), false);
            opened
                .and_then(|picture| picture.read(Channels::Rgb, &mut vec![0; 3 * 61 * 47]))
                .is_err()
        };
        let (first, second) = (&file[..starts[1]], &file[starts[1]..starts[2]]);
        let (last, eoi) = (&file[starts[2]..end], &file[end..]);
        assert!(!refused(&[first, second, last, eoi]));
        assert!(refused(&[first, second, eoi]));
        assert!(refused(&[first, last, eoi]));
        assert!(refused(&[first, second, second, last, eoi]));
        assert!(refused(&[first, second, last, last, eoi]));
        assert!(refused(&[first, second, &last[..last.len() / 2], eoi]));
        assert!(refused(&[&first[..first.len() - 40], second, last, eoi]));
        assert!(refused(&[first, second, last]));
    }
}
