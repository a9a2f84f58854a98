//! A picture, one row of units after the other: coefficients, samples, and the lines of
//! pixels that can be had of them.
//!
//! No more of it is in memory than a row of units and the line above, and the
//! coefficients of a progressive file. Only the units that are wanted, and those that
//! their edges are filtered with, are transformed; and of a sequential file nothing is
//! read behind the last line that is wanted.

use std::ops::Range;

use super::super::{Channels, Grey, Orientation, Picture, Region};
use super::header::{Color, Header};
use super::plane::{Plane, Samples};
use super::progressive::Kept;
use super::scans::{Lane, Row};
use super::{cache, kernel, orientation};
use crate::config::Size;
use crate::error::Cause;
use crate::memory::zeroed;
use crate::transform::{Isa, interleave};

/// An opened file.
pub(super) struct Exact<'a> {
    header: Header<'a>,
    /// Whether the file reaches its end; else what is missing is grey.
    complete: bool,
}

impl<'a> Exact<'a> {
    pub(super) fn new(header: Header<'a>, complete: bool) -> Self {
        Exact { header, complete }
    }

    /// Bytes for samples, for upsampled lines, and for a band of pixels.
    fn memory(&self, channels: Channels) -> [usize; 3] {
        let header = &self.header;
        let planes = header.components.iter().map(|component| Plane::bytes(header, component));
        let (width, lines) = (header.size().0, header.side * header.factors.1 + 1);
        let at_once = header.components.len().max(3);
        [planes.sum(), at_once * width, lines * width * channels.count()]
    }
}

impl Picture for Exact<'_> {
    fn size(&self) -> Size {
        let (width, height) = self.header.size();
        Size { width: width as u32, height: height as u32 }
    }

    fn orientation(&self) -> Orientation {
        orientation(self.header.exif)
    }

    fn grey(&self) -> Grey {
        match self.header.color {
            Color::Grey => Grey::Only,
            Color::YCbCr => Grey::Apart,
            Color::Rgb | Color::Cmyk | Color::Ycck => Grey::No,
        }
    }

    fn reduce(&mut self, by: u32) -> u32 {
        let by = [8, 4, 2].into_iter().find(|&of| by >= of).unwrap_or(1);
        self.header.reduce(by as usize);
        by
    }

    fn working_bytes(&self) -> u64 {
        let header = &self.header;
        let kept = if header.progressive { Kept::bytes(header) } else { 0 };
        (self.rows_bytes(Channels::Rgb) + cache::BYTES + header.bytes() + kept) as u64
    }

    fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
        let whole = Region::whole(self.size());
        let mut memory = zeroed(self.rows_bytes(channels))?;
        let stride = self.header.size().0 * channels.count();
        self.read_rows(channels, whole, &mut memory, &mut |top, rows| {
            out[top as usize * stride..][..rows.len()].copy_from_slice(rows);
        })
    }

    fn rows_bytes(&self, channels: Channels) -> usize {
        self.memory(channels).iter().sum()
    }

    fn read_rows(
        self: Box<Self>,
        channels: Channels,
        wanted: Region,
        memory: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        self.decode(Isa::detect(), channels, wanted, memory, rows)
    }
}

impl Exact<'_> {
    pub(super) fn decode(
        &self,
        isa: Isa,
        channels: Channels,
        wanted: Region,
        memory: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        let header = &self.header;
        let [samples, lines, _] = self.memory(channels);
        let (samples, rest) = memory.split_at_mut(samples);
        let (lines, out) = rest.split_at_mut(lines);
        let (across, down) = header.units();
        let (width, height) = header.size();
        let unit_height = header.side * header.factors.1;
        let wanted = Wanted::new(header, wanted);
        let mut reader = Reader::new(self, isa, channels, samples)?;
        let looks_below = reader.used().iter().any(Plane::looks_below);
        let stride = width * channels.count();
        let mut next = 0;
        for unit_row in 0..down {
            let below = (unit_row + 1) * unit_height;
            let needed = below > wanted.first_needed;
            let units = if needed { wanted.units.clone() } else { 0..0 };
            reader.row(&Row { number: unit_row, across, needed: units, used: reader.used })?;
            // What is filtered with the next row of units waits for it.
            let ready = match unit_row + 1 == down {
                true => height,
                false => below - usize::from(looks_below),
            };
            for (y, to) in (next..ready).zip(out.chunks_mut(stride)) {
                if wanted.lines.contains(&y) {
                    let columns = wanted.columns.clone();
                    let count = channels.count();
                    let to = &mut to[count * columns.start..count * columns.end];
                    reader.line(header.color, y, unit_row, columns, lines, to);
                }
            }
            if next < ready {
                rows(next as u32, &out[..(ready - next) * stride]);
            }
            next = ready;
            if next >= wanted.lines.end {
                break;
            }
            reader.keep_last_lines();
        }
        Ok(())
    }
}

/// What has to be done for a region.
struct Wanted {
    /// Lines and columns of pixels: those of the region, and to the borders of units.
    lines: Range<usize>,
    columns: Range<usize>,
    /// Units of a row.
    units: Range<usize>,
    /// The first line of pixels whose units count.
    first_needed: usize,
}

impl Wanted {
    fn new(header: &Header<'_>, region: Region) -> Self {
        let (h, v) = header.factors;
        let within = |first: u32, len: u32, all: usize| {
            let first = all.min(first as usize);
            first..all.min(first + len as usize)
        };
        let (width, height) = header.size();
        let lines = within(region.top, region.height, height);
        let columns = within(region.left, region.width, width);
        // Filters look a sample further, which is up to so many pixels.
        let unit = header.side * h;
        let first = columns.start.saturating_sub(2 * h) / unit;
        let behind = (columns.end + 2 * h).div_ceil(unit).min(header.units().0);
        let columns = first * unit..(behind * unit).min(width);
        let first_needed = lines.start.saturating_sub(2 * v);
        Wanted { lines, columns, units: first..behind, first_needed }
    }
}

/// The picture on its way from coefficients to pixels.
struct Reader<'h, 'm> {
    source: Source<'h>,
    planes: Vec<Plane<'h>>,
    /// Of these, as many are transformed.
    used: usize,
    samples: Samples<'h, 'm>,
}

/// Where the coefficients of a row of units come from.
enum Source<'h> {
    Scans(Vec<Lane<'h>>),
    Kept(Kept),
}

impl<'h, 'm> Reader<'h, 'm> {
    fn new(
        picture: &'h Exact<'_>,
        isa: Isa,
        channels: Channels,
        samples: &'m mut [u8],
    ) -> Result<Self, Cause> {
        let header = &picture.header;
        let planes = Plane::all(header);
        let used = match channels {
            Channels::Rgb => planes.len(),
            Channels::Grey => 1,
        };
        let source = match header.progressive {
            true => Source::Kept(Kept::read(header, isa, !picture.complete)?),
            false => Source::Scans(Lane::all(header, !picture.complete)?),
        };
        Ok(Reader { source, planes, used, samples: Samples::new(samples, isa) })
    }

    fn used(&self) -> &[Plane<'h>] {
        &self.planes[..self.used]
    }

    /// The samples of a row of units.
    fn row(&mut self, row: &Row) -> Result<(), Cause> {
        let Reader { source, planes, samples, .. } = self;
        match source {
            Source::Scans(lanes) => {
                lanes.iter_mut().try_for_each(|lane| lane.row(row, planes, samples))
            }
            Source::Kept(kept) => {
                kept.row(row, planes, samples);
                Ok(())
            }
        }
    }

    fn keep_last_lines(&mut self) {
        let Reader { planes, used, samples, .. } = self;
        planes[..*used].iter().for_each(|plane| plane.keep_last_line(samples));
    }

    /// Line `y` of these columns, as pixels; `lines` are for a line of each plane.
    fn line(
        &self,
        color: Color,
        y: usize,
        unit_row: usize,
        columns: Range<usize>,
        lines: &mut [u8],
        to: &mut [u8],
    ) {
        let width = columns.len();
        let planes = self.used();
        if to.len() == width {
            let line = planes[0].line(y, unit_row, columns, &self.samples, &mut lines[..width]);
            to.copy_from_slice(line);
            return;
        }
        let mut found: [&[u8]; 4] = [&[]; 4];
        let spare = lines.len() / planes.len().max(3);
        for ((found, plane), line) in found.iter_mut().zip(planes).zip(lines.chunks_mut(spare)) {
            let columns = columns.clone();
            *found = plane.line(y, unit_row, columns, &self.samples, &mut line[..width]);
        }
        let isa = self.samples.isa();
        match (color, found) {
            (Color::Grey, [grey, ..]) => interleave(isa, [grey; 3], to),
            (Color::Rgb, [r, g, b, _]) => interleave(isa, [r, g, b], to),
            (Color::YCbCr, [y, cb, cr, _]) => kernel::rgb(isa, [y, cb, cr], to),
            (Color::Cmyk, planes) => kernel::cmyk(isa, planes, to),
            (Color::Ycck, planes) => kernel::ycck(isa, planes, to),
        }
    }
}
