//! A component's samples while a row of units is in work, and the lines that the
//! picture has of them.

use std::ops::Range;

use super::bits::Bits;
use super::block::{Block, Coefficients, Room};
use super::header::{Component, Header};
use super::kernel::{self, compiled};
use super::scans::Coder;
use super::{color, idct};
use crate::transform::Isa;

/// A component's samples of one row of units, below the last line of those above.
pub(super) struct Plane<'h> {
    pub(super) component: &'h Component,
    upsampling: Upsampling,
    /// How many columns and lines of the picture share a sample.
    shares: (usize, usize),
    /// Where it begins in the memory of all planes, where the blocks of the first unit
    /// do (A.2.3), behind the line that is kept of the units above, and the length of
    /// its lines.
    start: usize,
    starts: Vec<usize>,
    stride: usize,
    /// Of the whole component, in samples.
    width: usize,
    height: usize,
    /// Blocks in a row, and rows of them, where it has a scan of its own.
    pub(super) coded: (usize, usize),
}

/// What is between a component's samples and the picture's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upsampling {
    None,
    /// A triangle filter, horizontally, vertically or both.
    Across,
    Down,
    Both,
    /// Each sample as often as it is shared.
    Repeat,
}

impl Upsampling {
    /// As libjpeg chooses: "fancy" by two, where a line has more than two samples and a
    /// block more than one.
    fn new(shares: (usize, usize), width: usize, fancy: bool) -> Self {
        match shares {
            (1, 1) => Upsampling::None,
            _ if !fancy => Upsampling::Repeat,
            (2, 1) if width > 2 => Upsampling::Across,
            (2, 2) if width > 2 => Upsampling::Both,
            (1, 2) => Upsampling::Down,
            _ => Upsampling::Repeat,
        }
    }
}

impl<'h> Plane<'h> {
    /// All of a picture's.
    pub(super) fn all(header: &'h Header<'_>) -> Vec<Self> {
        let mut start = 0;
        let mut plane = |component: &'h Component| {
            let Component { h, v, side, .. } = *component;
            let (across, down) = (header.side * header.factors.0, header.side * header.factors.1);
            let shares = (across / (side * h), down / (side * v));
            let (width, height) = header.samples(component);
            let stride = header.units().0 * side * h;
            let block = |i: usize| start + (1 + i / h * side) * stride + i % h * side;
            let plane = Plane {
                component,
                upsampling: Upsampling::new(shares, width, header.side > 1),
                shares,
                start,
                starts: (0..h * v).map(block).collect(),
                stride,
                width,
                height,
                coded: header.blocks(component),
            };
            start += Plane::bytes(header, component);
            plane
        };
        header.components.iter().map(&mut plane).collect()
    }

    /// Bytes that a component takes of the memory of all planes.
    pub(super) fn bytes(header: &Header<'_>, component: &Component) -> usize {
        let Component { h, v, side, .. } = *component;
        (1 + side * v) * header.units().0 * side * h
    }

    /// Whether its last line of a row of units needs the next row.
    pub(super) fn looks_below(&self) -> bool {
        matches!(self.upsampling, Upsampling::Both | Upsampling::Down)
    }

    /// The blocks of a unit; `None` where that is not what the bits are.
    #[inline]
    pub(super) fn unit(
        &self,
        unit: usize,
        coder: &mut Coder,
        bits: &mut Bits<'_>,
        samples: &mut Samples<'h, '_>,
    ) -> Option<()> {
        compiled!(
            samples.isa,
            match self.component.side {
                // Nothing but the mean is looked at.
                1 => self.blocks(unit, coder, samples, |Coder { dc, ac, before }, block| {
                    ac.skip(dc, bits, before)?;
                    block[0] = *before as i16;
                    Some(0)
                }),
                _ => self.blocks(unit, coder, samples, |Coder { dc, ac, before }, block| ac
                    .block(dc, bits, before, block)),
            }
        )
    }

    /// The block in this column and line of a row of units, of a scan of its own.
    pub(super) fn block(
        &self,
        place: (usize, usize),
        coder: &mut Coder,
        bits: &mut Bits<'_>,
        samples: &mut Samples<'h, '_>,
    ) -> Option<()> {
        let last = coder.ac.block(&coder.dc, bits, &mut coder.before, samples.block())?;
        self.take_block(place, last, samples);
        Some(())
    }

    /// The block in this column and line of a row of units, of which the coefficients are
    /// known, the `last` one in zigzag order.
    pub(super) fn kept_block(
        &self,
        place: (usize, usize),
        kept: &Block,
        last: u32,
        samples: &mut Samples<'h, '_>,
    ) {
        samples.block()[..64].copy_from_slice(kept);
        self.take_block(place, last, samples);
    }

    fn take_block(&self, (column, line): (usize, usize), last: u32, samples: &mut Samples<'h, '_>) {
        let Component { side, quantisers, .. } = self.component;
        let at = self.start + (1 + line * side) * self.stride + column * side;
        samples.take(last, quantisers, at, self.stride, *side);
    }

    /// The blocks of a unit, whatever the bits are.
    pub(super) fn any_unit(
        &self,
        unit: usize,
        coder: &mut Coder,
        bits: &mut Bits<'_>,
        samples: &mut Samples<'h, '_>,
    ) {
        self.blocks(unit, coder, samples, |Coder { dc, ac, before }, block| {
            Some(ac.any_block(dc, bits, before, block))
        });
    }

    /// The blocks of a unit that is not there: grey.
    pub(super) fn no_unit(&self, unit: usize, samples: &mut Samples<'h, '_>) {
        self.blocks(unit, &mut (), samples, |(), _| Some(0));
    }

    /// Samples of the blocks of a unit, of which `read` gives the coefficients and the
    /// place of the last one.
    #[inline(always)]
    fn blocks<C>(
        &self,
        unit: usize,
        coder: &mut C,
        samples: &mut Samples<'h, '_>,
        mut read: impl FnMut(&mut C, &mut Room) -> Option<u32>,
    ) -> Option<()> {
        let Plane { component, starts, stride, .. } = self;
        let Component { h, side, quantisers, .. } = component;
        for start in starts {
            let last = read(coder, samples.block())?;
            samples.take(last, quantisers, *start + side * h * unit, *stride, *side);
        }
        Some(())
    }

    /// Passes over the blocks of a unit.
    pub(super) fn skip(&self, coder: &mut Coder, bits: &mut Bits<'_>, isa: Isa) -> Option<()> {
        let Coder { dc, ac, before } = coder;
        compiled!(isa, self.starts.iter().try_for_each(|_| ac.skip(dc, bits, before)))
    }

    /// Makes ready for the next row of units.
    pub(super) fn keep_last_line(&self, samples: &mut Samples<'h, '_>) {
        let Component { v, side, .. } = *self.component;
        let last = self.start + side * v * self.stride;
        samples.memory.copy_within(last..last + self.stride, self.start);
    }

    /// What the picture's line `y` has of it in these columns, if its samples are not
    /// the picture's in `to`.
    pub(super) fn line<'m>(
        &self,
        y: usize,
        unit_row: usize,
        columns: Range<usize>,
        samples: &'m Samples<'_, '_>,
        to: &'m mut [u8],
    ) -> &'m [u8] {
        let (across, down) = self.shares;
        let near = y / down;
        // Two lines have each line between them: the further one is above or below.
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        let far = far.min(self.height - 1);
        let columns = columns.start / across..columns.end.div_ceil(across);
        let lines = self.component.side * self.component.v;
        let line = |line: usize| {
            // Of this row of units, or the one that was kept.
            let line = (line + 1) - lines * unit_row;
            let line = &samples.memory[self.start + line * self.stride..][..self.width];
            &line[columns.clone()]
        };
        let isa = samples.isa;
        match self.upsampling {
            Upsampling::None => return line(near),
            Upsampling::Across => kernel::double(isa, line(near), to),
            Upsampling::Down => color::between(line(near), line(far), 1 + (y % 2) as u32, to),
            Upsampling::Both => kernel::double_between(isa, line(near), line(far), to),
            Upsampling::Repeat => color::repeat(line(near), across, to),
        }
        to
    }
}

/// The samples of all planes, and a block that waits for another one: they are
/// transformed in pairs.
pub(super) struct Samples<'h, 'm> {
    memory: &'m mut [u8],
    blocks: [Room; 2],
    /// The first one's quantisers, where it begins, and the length of lines there.
    waiting: Option<(&'h Block, usize, usize)>,
    isa: Isa,
}

impl<'h, 'm> Samples<'h, 'm> {
    pub(super) fn new(memory: &'m mut [u8], isa: Isa) -> Self {
        Samples { memory, blocks: [[0; 256]; 2], waiting: None, isa }
    }

    /// A clear block.
    #[inline(always)]
    fn block(&mut self) -> &mut Room {
        let block = &mut self.blocks[usize::from(self.waiting.is_some())];
        block[..64].fill(0);
        block
    }

    /// Takes that block, which now has coefficients up to the `last` in zigzag order,
    /// begins at `at` and becomes samples of so many a `side`.
    #[inline]
    fn take(&mut self, last: u32, quantisers: &'h Block, at: usize, stride: usize, side: usize) {
        let Samples { memory, blocks, waiting, isa } = self;
        let block = Coefficients::new(&blocks[usize::from(waiting.is_some())], quantisers);
        match *waiting {
            _ if last == 0 || side == 1 => idct::constant(block, &mut memory[at..], stride, side),
            _ if side < 8 => kernel::reduced(*isa, block, &mut memory[at..], stride, side),
            _ if idct::is_flat(block, last) => idct::flat(block, &mut memory[at..], stride),
            None => *waiting = Some((quantisers, at, stride)),
            Some((first, other, other_stride)) => {
                *waiting = None;
                let first = Coefficients::new(&blocks[0], first);
                kernel::whole(*isa, [(first, other, other_stride), (block, at, stride)], memory);
            }
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    /// Drops a block that waits.
    pub(super) fn forget(&mut self) {
        self.waiting = None;
    }

    /// Transforms what still waits.
    pub(super) fn finish(&mut self) {
        if let Some((quantisers, at, stride)) = self.waiting.take() {
            let block = Coefficients::new(&self.blocks[0], quantisers);
            idct::whole(block, &mut self.memory[at..], stride);
        }
    }
}
