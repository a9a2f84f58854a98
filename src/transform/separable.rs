//! What separable filters share: source rows come in order, each is filtered
//! horizontally once and kept for as long as a target row needs it, and a target
//! row leaves as soon as its last source row is there.
//!
//! So a picture may arrive whole or band by band, and there are never more than
//! a few of its rows in memory here.

use std::ops::Range;

use super::geometry::Region;
use super::kernel::Isa;

/// One filter, prepared for a picture of a certain shape.
pub(super) trait Pass {
    /// The source rows that a target row is made of; both ends never decrease
    /// from one target row to the next. `None` behind the last.
    fn rows(&self, target: usize) -> Option<Range<usize>>;

    /// The pixels of source rows that are looked at.
    fn columns(&self) -> Range<usize>;

    /// Filters a source row horizontally and keeps it. `from` begins with its
    /// first pixel and may go on behind its last.
    fn filter_row(&mut self, isa: Isa, row: usize, from: &[u8]);

    /// Makes a target row, `[channel, column]` levels, of the rows kept.
    fn combine(&self, isa: Isa, target: usize, line: &mut [u8]);
}

/// The part of the picture that a pass of `height` target rows looks at.
pub(super) fn region<P: Pass>(pass: &P, height: usize) -> Region {
    let ends = pass.rows(0).zip(pass.rows(height.saturating_sub(1)));
    let rows = ends.map_or(0..0, |(first, last)| first.start..last.end);
    let columns = pass.columns();
    Region {
        left: columns.start as u32,
        top: rows.start as u32,
        width: columns.len() as u32,
        height: rows.len() as u32,
    }
}

/// How far a picture has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Target rows that have left.
    pub(super) target: usize,
    /// Source rows that have come.
    pub(super) source: usize,
}

impl Progress {
    /// Takes the next source rows. `from` is called with the number of each one
    /// that is needed and hands on its bytes. Each finished row goes to `emit`,
    /// from top to bottom.
    pub(super) fn push<P: Pass>(
        &mut self,
        isa: Isa,
        pass: &mut P,
        rows: Range<usize>,
        mut from: impl FnMut(usize, &mut dyn FnMut(&[u8])),
        line: &mut [u8],
        mut emit: impl FnMut(usize, &[u8]),
    ) {
        assert_eq!(rows.start, self.source, "rows come in order, from the first on");
        self.source = rows.end;
        for row in rows {
            let Some(needed) = pass.rows(self.target) else { return };
            if row < needed.start {
                continue;
            }
            from(row, &mut |bytes| pass.filter_row(isa, row, bytes));
            while pass.rows(self.target).is_some_and(|needed| needed.end <= row + 1) {
                pass.combine(isa, self.target, line);
                emit(self.target, line);
                self.target += 1;
            }
        }
    }
}

/// Gives `buffer` this length, allocating no more than that, and keeps what it
/// has where that is enough.
pub(super) fn refill<V: Copy + Default>(buffer: &mut Vec<V>, len: usize) {
    if buffer.len() < len {
        buffer.clear();
        buffer.reserve_exact(len);
        buffer.resize(len, V::default());
    }
}
