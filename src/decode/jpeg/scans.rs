//! Components that come in scans of their own (A.2.2), side by side: each scan is a
//! place in the file that goes on by itself, so no more is kept than of a single one.

use std::ops::Range;

use super::bits::Bits;
use super::header::{Component, Header, Part};
use super::plane::{Plane, Samples};
use crate::error::{Cause, CauseKind};

/// One of the scans in work.
pub(super) struct Lane<'h> {
    bits: Bits<'h>,
    members: &'h [usize],
    restarts: Restarts,
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
    /// Of a picture that does not come in one scan.
    pub(super) fn all(header: &'h Header<'h>) -> Vec<Self> {
        let lane = |part: &'h Part<'h>| Lane {
            bits: Bits::new(part.data),
            members: &part.members,
            restarts: Restarts::every(part.restart_interval),
        };
        match &*header.parts {
            [_] => Vec::new(),
            parts => parts.iter().map(lane).collect(),
        }
    }

    /// This scan's share of a row of the picture's units.
    pub(super) fn row(
        &mut self,
        row: &Row,
        planes: &mut [Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) -> Result<(), Cause> {
        match self.members {
            &[alone] => self.blocks(row, alone, planes, samples)?,
            members => {
                for unit in 0..row.across {
                    self.restart(planes)?;
                    for &member in members {
                        let plane = &mut planes[member];
                        let done = match member < row.used && row.needed.contains(&unit) {
                            true => plane.unit(unit, &mut self.bits, samples),
                            false => plane.skip(&mut self.bits, samples.isa()),
                        };
                        done.ok_or_else(|| self.bits.failure())?;
                    }
                }
            }
        }
        samples.finish();
        match self.bits.ran_out() {
            true => Err(self.bits.failure()),
            false => Ok(()),
        }
    }

    /// Of a single component a unit is a block, and there are no more than it has.
    fn blocks(
        &mut self,
        row: &Row,
        member: usize,
        planes: &mut [Plane<'h>],
        samples: &mut Samples<'h, '_>,
    ) -> Result<(), Cause> {
        let (across, down) = planes[member].coded;
        let Component { h, v, .. } = *planes[member].component;
        let first = row.number * v;
        for line in first..down.min(first + v) {
            for column in 0..across {
                self.restart(planes)?;
                let plane = &mut planes[member];
                let done = match member < row.used && row.needed.contains(&(column / h)) {
                    true => plane.block((column, line - first), &mut self.bits, samples),
                    false => plane.skip_block(&mut self.bits),
                };
                done.ok_or_else(|| self.bits.failure())?;
            }
        }
        Ok(())
    }

    /// Passes over a restart marker where one is due.
    fn restart(&mut self, planes: &mut [Plane<'h>]) -> Result<(), Cause> {
        let Some(number) = self.restarts.due() else { return Ok(()) };
        if !self.bits.restart(number) {
            return Err(no_restart());
        }
        self.members.iter().for_each(|&member| planes[member].restart());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use crate::config::{Limits, Size};
    use crate::decode::{Channels, Region};

    fn encoded(size: Size, sampling: SamplingFactor, separate: bool) -> Vec<u8> {
        let Size { width, height } = size;
        let pixels: Vec<u8> = (0..3 * width * height).map(|at| (at * at / 7 + at) as u8).collect();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 85);
        encoder.set_sampling_factor(sampling);
        // This encoder writes a scan for each component then.
        encoder.set_optimized_huffman_tables(separate);
        encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
        let scans = file.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
        assert_eq!(scans, if separate { 3 } else { 1 });
        file
    }

    fn pixels(file: &[u8], by: u32, channels: Channels, wanted: Option<Region>) -> Vec<u8> {
        let mut picture = super::super::open(file, &Limits::default(), false).unwrap();
        assert_eq!(picture.reduce(by), by);
        let (size, mut all) = (picture.size(), Vec::new());
        let wanted = wanted.unwrap_or(Region::whole(size));
        let mut memory = vec![0; picture.rows_bytes(channels)];
        let stride = channels.count() * size.width as usize;
        let columns = channels.count() * wanted.left as usize..;
        picture
            .read_rows(channels, wanted, &mut memory, &mut |top, rows| {
                for (y, row) in (top..).zip(rows.chunks(stride)) {
                    if (wanted.top..wanted.top + wanted.height).contains(&y) {
                        let row = &row[columns.clone()];
                        all.extend(&row[..channels.count() * wanted.width as usize]);
                    }
                }
            })
            .unwrap();
        all
    }

    #[test]
    fn scans_of_their_own_make_the_picture_that_one_scan_makes() {
        use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
        for (width, height) in [(1, 1), (8, 8), (33, 17), (61, 47), (40, 70)] {
            let size = Size { width, height };
            for sampling in [F_1_1, F_2_1, F_1_2, F_2_2] {
                let together = encoded(size, sampling, false);
                let separate = encoded(size, sampling, true);
                for by in [1, 2, 4, 8] {
                    for channels in [Channels::Rgb, Channels::Grey] {
                        let same = pixels(&separate, by, channels, None)
                            == pixels(&together, by, channels, None);
                        assert!(same, "{size} {sampling:?} {by} {channels:?}");
                    }
                }
                let (left, top) = (width / 3, height / 2);
                let region = Region { left, top, width: width - left, height: height - top };
                let same = pixels(&separate, 1, Channels::Rgb, Some(region))
                    == pixels(&together, 1, Channels::Rgb, Some(region));
                assert!(same, "{size} {sampling:?} {region:?}");
            }
        }
    }

    #[test]
    fn a_scan_that_is_cut_repeated_or_missing_is_no_picture() {
        let size = Size { width: 61, height: 47 };
        let file = encoded(size, SamplingFactor::F_2_2, true);
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
