//! A component's samples while a row of units is in work, and the lines that the
//! picture has of them.

use std::ops::Range;
use std::rc::Rc;

use super::bits::Bits;
use super::header::{Component, Header};
use super::huffman::{AcTable, Block, DcTable, Places};
use super::{cache, color, idct, kernel};
use crate::error::Cause;
use crate::transform::Isa;

/// A component: its codes, and its samples of one row of units below the last line of
/// those above.
pub(super) struct Plane<'h> {
    component: &'h Component<'h>,
    places: Places,
    dc: Rc<DcTable>,
    ac: Rc<AcTable>,
    upsampling: Upsampling,
    /// How many columns and lines of the picture share a sample.
    shares: (usize, usize),
    /// Where it begins in the memory of all planes, and the length of its lines.
    start: usize,
    stride: usize,
    /// Of the whole component, in samples.
    width: usize,
    height: usize,
    /// The last block's (F.1.1.5.1).
    dc_before: i32,
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
    /// As libjpeg chooses: "fancy" by two, where a line has more than two samples.
    fn new(shares: (usize, usize), width: usize) -> Self {
        match shares {
            (1, 1) => Upsampling::None,
            (2, 1) if width > 2 => Upsampling::Across,
            (2, 2) if width > 2 => Upsampling::Both,
            (1, 2) => Upsampling::Down,
            _ => Upsampling::Repeat,
        }
    }
}

impl<'h> Plane<'h> {
    /// All of a picture's.
    pub(super) fn all(header: &'h Header<'h>) -> Result<Vec<Self>, Cause> {
        let mut start = 0;
        let mut plane = |component: &'h Component<'h>| {
            let Component { h, v, dc, ac, .. } = *component;
            let shares = (header.factors.0 / h, header.factors.1 / v);
            let (width, height) = header.samples(component);
            let plane = Plane {
                component,
                places: Places::new(&component.quantisers),
                dc: cache::dc(dc)?,
                ac: cache::ac(ac)?,
                upsampling: Upsampling::new(shares, width),
                shares,
                start,
                stride: header.units().0 * 8 * h,
                width,
                height,
                dc_before: 0,
            };
            start += Plane::bytes(header, component);
            Ok(plane)
        };
        header.components.iter().map(&mut plane).collect()
    }

    /// Bytes that a component takes of the memory of all planes.
    pub(super) fn bytes(header: &Header<'_>, component: &Component<'_>) -> usize {
        (1 + 8 * component.v) * header.units().0 * 8 * component.h
    }

    /// Whether its last line of a row of units needs the next row.
    pub(super) fn looks_below(&self) -> bool {
        matches!(self.upsampling, Upsampling::Both | Upsampling::Down)
    }

    /// Begins anew (E.2.4).
    pub(super) fn restart(&mut self) {
        self.dc_before = 0;
    }

    /// The last block's DC coefficient.
    pub(super) fn state(&mut self) -> &mut i32 {
        &mut self.dc_before
    }

    /// The blocks of a unit; `None` where that is not what the bits are.
    #[inline]
    pub(super) fn unit(
        &mut self,
        unit: usize,
        bits: &mut Bits<'_>,
        samples: &mut Samples<'_>,
    ) -> Option<()> {
        let Plane { places, dc, ac, dc_before, .. } = self;
        let isa = samples.isa;
        for at in places_of(self.component, self.start, self.stride, unit) {
            let block = samples.block();
            let last = kernel::block(isa, (dc, ac), bits, places, dc_before, block)?;
            samples.take(last, at, self.stride);
        }
        Some(())
    }

    /// The blocks of a unit, whatever the bits are.
    pub(super) fn any_unit(&mut self, unit: usize, bits: &mut Bits<'_>, samples: &mut Samples<'_>) {
        let Plane { places, dc, ac, dc_before, .. } = self;
        for at in places_of(self.component, self.start, self.stride, unit) {
            let block = samples.block();
            let last = ac.any_block(dc, bits, places, dc_before, block);
            samples.take(last, at, self.stride);
        }
    }

    /// The blocks of a unit that is not there: grey.
    pub(super) fn no_unit(&mut self, unit: usize, samples: &mut Samples<'_>) {
        for at in places_of(self.component, self.start, self.stride, unit) {
            samples.block();
            samples.take(0, at, self.stride);
        }
    }

    /// Passes over the blocks of a unit.
    pub(super) fn skip(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        for _ in 0..self.component.h * self.component.v {
            self.ac.skip(&self.dc, bits, &mut self.dc_before)?;
        }
        Some(())
    }

    /// Makes ready for the next row of units.
    pub(super) fn keep_last_line(&self, samples: &mut Samples<'_>) {
        let last = self.start + 8 * self.component.v * self.stride;
        samples.memory.copy_within(last..last + self.stride, self.start);
    }

    /// What the picture's line `y` has of it in these columns, if its samples are not
    /// the picture's in `to`.
    pub(super) fn line<'m>(
        &self,
        y: usize,
        unit_row: usize,
        columns: Range<usize>,
        samples: &'m Samples<'_>,
        to: &'m mut [u8],
    ) -> &'m [u8] {
        let (across, down) = self.shares;
        let near = y / down;
        // Two lines have each line between them: the further one is above or below.
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        let far = far.min(self.height - 1);
        let columns = columns.start / across..columns.end.div_ceil(across);
        let line = |line: usize| {
            // Of this row of units, or the one that was kept.
            let line = (line + 1) - 8 * self.component.v * unit_row;
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

/// Where a unit's blocks begin (A.2.3), behind the line that is kept of the units above.
fn places_of(
    component: &Component<'_>,
    start: usize,
    stride: usize,
    unit: usize,
) -> impl Iterator<Item = usize> + use<> {
    let (h, v) = (component.h, component.v);
    (0..v).flat_map(move |row| {
        let line = start + (1 + 8 * row) * stride;
        (0..h).map(move |column| line + 8 * (unit * h + column))
    })
}

/// The samples of all planes, and a block that waits for another one: they are
/// transformed in pairs.
pub(super) struct Samples<'m> {
    memory: &'m mut [u8],
    blocks: [Block; 2],
    /// Where the first one begins, and the length of lines there.
    waiting: Option<(usize, usize)>,
    isa: Isa,
}

impl<'m> Samples<'m> {
    pub(super) fn new(memory: &'m mut [u8], isa: Isa) -> Self {
        Samples { memory, blocks: [[0; 64]; 2], waiting: None, isa }
    }

    /// A clear block.
    #[inline]
    fn block(&mut self) -> &mut Block {
        let block = &mut self.blocks[usize::from(self.waiting.is_some())];
        *block = [0; 64];
        block
    }

    /// Takes that block, which now has coefficients up to the `last` in zigzag order and
    /// begins at `at`.
    #[inline]
    fn take(&mut self, last: u32, at: usize, stride: usize) {
        let Samples { memory, blocks, waiting, isa } = self;
        let block = &blocks[usize::from(waiting.is_some())];
        match (last, *waiting) {
            (0, _) => idct::constant(block[0], &mut memory[at..], stride),
            // The second one is beside the first.
            (1, _) => idct::flat(block, &mut memory[at..], stride),
            _ if idct::is_wild_and_flat(block, last) => {
                idct::flat(block, &mut memory[at..], stride)
            }
            (_, None) => *waiting = Some((at, stride)),
            (_, Some((other, other_stride))) => {
                *waiting = None;
                kernel::whole(*isa, blocks, memory, [other, at], [other_stride, stride]);
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
        if let Some((at, stride)) = self.waiting.take() {
            idct::whole(&self.blocks[0], &mut self.memory[at..], stride);
        }
    }
}
