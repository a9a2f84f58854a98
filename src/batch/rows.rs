//! The rows of one batch: contiguous memory that several threads fill at once,
//! each its own row.
//!
//! The unsafe code in which threads meet. Its argument, independent of what the
//! rest of the crate does:
//!
//! * A [`Row`] is given out at most once for each row: [`Rows::claim`] sets the
//!   row's flag, atomically, and refuses when it was set. Rows do not
//!   overlap, so two `Row`s never reach the same element.
//! * Nothing else reads or writes the elements while a `Row` exists: the only
//!   other way to them is [`Rows::into_inner`], which needs the last `Arc`, and
//!   every `Row` holds one. [`Rows::copy_row`] goes through both flags in the
//!   same way.
//! * A row that holds nothing yet is zeroed by whoever claims it first, before
//!   anything can read it; a second flag, changed only by who has the row, says
//!   so. The vector's length covers such rows alone.
//! * Dropping a `Row` drops its `Arc` with release ordering, and unwrapping the
//!   last one acquires, so the owner of the vector sees every write.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Zeroable;

use super::pool::Buffer;
use crate::sync::atomic::{AtomicU8, Ordering};

/// A row's flag: somebody has it.
const CLAIMED: u8 = 1;
/// A row's flag: its elements are initialised.
const WRITTEN: u8 = 2;

/// The memory of one batch while its rows are being filled: `[rows, row_len]`,
/// row-major.
pub(crate) struct Rows<T> {
    /// Start of `buffer`'s memory, taken once; `buffer` is not touched again
    /// before `into_inner`.
    start: NonNull<T>,
    buffer: Buffer<T>,
    row_len: usize,
    flags: Box<[AtomicU8]>,
}

// SAFETY: `Rows` owns its elements through `buffer`, and `start` points into
// them. Moving it to another thread moves only the owner; sharing it gives out
// exclusive, disjoint slices (see the module's argument), which needs `T: Send`.
unsafe impl<T: Send> Send for Rows<T> {}
// SAFETY: as above; a shared `Row` lends out `&[T]`, hence `T: Sync`.
unsafe impl<T: Send + Sync> Sync for Rows<T> {}

/// Without the elements, which threads may be writing.
impl<T> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.flags.len();
        f.debug_struct("Rows").field("rows", &rows).field("row_len", &self.row_len).finish()
    }
}

impl<T: Copy + Zeroable> Rows<T> {
    /// As many rows of `row_len` elements as `buffer` has room for.
    pub(crate) fn new(mut buffer: Buffer<T>, row_len: usize) -> Self {
        let memory = buffer.memory();
        let rows = |elements: usize| elements / row_len.max(1);
        let (rows, written) = (rows(memory.capacity()), rows(memory.len()));
        // Never null. To the capacity, where a slice's pointer reaches to its length.
        let start = NonNull::new(memory.as_mut_ptr()).unwrap_or(NonNull::dangling());
        let flags = (0..rows).map(|row| if row < written { WRITTEN } else { 0 });
        let flags = flags.map(AtomicU8::new).collect();
        Rows { start, buffer, row_len, flags }
    }

    /// Exclusive access to one row; `None` when it is out already or does not
    /// exist. What was not written yet is zeroed, which takes its time: not under a
    /// lock.
    pub(crate) fn claim(self: &Arc<Self>, row: usize) -> Option<Row<T>> {
        let flags = self.flags.get(row)?;
        // Acquire pairs with the release of a row's drop: whoever claims it
        // again sees what was written to it.
        let before = flags.fetch_or(CLAIMED, Ordering::Acquire);
        if before & CLAIMED != 0 {
            return None;
        }
        if before & WRITTEN == 0 {
            // SAFETY: the row exists, and since the flag was not set nobody else has
            // it; the caller will only from here on.
            unsafe { self.zero(row) };
            flags.fetch_or(WRITTEN, Ordering::Relaxed);
        }
        Some(Row { rows: Arc::clone(self), row })
    }

    /// # Safety
    ///
    /// `row < self.flags.len()`, and nobody else reads or writes it.
    unsafe fn zero(&self, row: usize) {
        // SAFETY: by the caller, the row lies inside the memory's capacity and is
        // not accessed by others. Zeroes are values of `T`.
        unsafe { self.start.add(row * self.row_len).write_bytes(0, self.row_len) };
    }

    /// Copies a row of `from` into a row of `self`. False when one of them is
    /// being written.
    pub(crate) fn copy_row(self: &Arc<Self>, to: usize, from: &Arc<Self>, row: usize) -> bool {
        match (self.claim(to), from.claim(row)) {
            (Some(mut to), Some(from)) => {
                to.copy_from_slice(&from);
                true
            }
            _ => false,
        }
    }

    /// The memory, once no row is out any more; else the rows again.
    pub(crate) fn into_inner(self: Arc<Self>) -> Result<Buffer<T>, Arc<Self>> {
        let mut rows = Arc::try_unwrap(self)?;
        let is_written = |row: &usize| rows.flags[*row].load(Ordering::Relaxed) & WRITTEN != 0;
        let end = (0..rows.flags.len()).rev().find(is_written).map_or(0, |last| last + 1);
        for gap in (0..end).filter(|row| !is_written(row)) {
            // SAFETY: the row exists, and this was the last `Arc`, so nobody has it.
            unsafe { rows.zero(gap) };
        }
        let memory = rows.buffer.memory();
        // SAFETY: rows below `end` have been written or were zeroed just now, and lie
        // inside the capacity.
        unsafe { memory.set_len(memory.len().max(end * rows.row_len)) };
        Ok(rows.buffer)
    }
}

/// Exclusive access to one row; given back when dropped.
#[derive(Debug)]
pub(crate) struct Row<T: Copy> {
    rows: Arc<Rows<T>>,
    row: usize,
}

impl<T: Copy> Drop for Row<T> {
    fn drop(&mut self) {
        self.rows.flags[self.row].fetch_and(!CLAIMED, Ordering::Release);
    }
}

impl<T: Copy> Deref for Row<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let Rows { start, row_len, .. } = &*self.rows;
        // SAFETY: `row` was checked by `claim`, which has initialised it, so the row
        // lies inside the memory, which lives as long as `rows`. No other
        // `Row` reaches them, and `&self` keeps this one from writing.
        unsafe { std::slice::from_raw_parts(start.as_ptr().add(self.row * row_len), *row_len) }
    }
}

impl<T: Copy> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let Rows { start, row_len, .. } = &*self.rows;
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr().add(self.row * row_len), *row_len) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Pool;
    use super::*;

    fn rows(count: usize, row_len: usize) -> Arc<Rows<u32>> {
        Arc::new(Rows::new(Pool::new(count * row_len, 4).take().unwrap(), row_len))
    }

    #[test]
    fn threads_fill_their_rows_at_once() {
        let rows = rows(8, 33);
        std::thread::scope(|scope| {
            for row in 0..8 {
                let mut row_memory = rows.claim(row).unwrap();
                scope.spawn(move || {
                    for (column, value) in row_memory.iter_mut().enumerate() {
                        *value = (row * 100 + column) as u32;
                    }
                });
            }
        });
        let memory = rows.into_inner().unwrap();
        for (at, &value) in memory.as_slice().iter().enumerate() {
            assert_eq!(value as usize, at / 33 * 100 + at % 33);
        }
    }

    #[test]
    fn a_row_is_out_once() {
        let rows = rows(2, 4);
        let first = rows.claim(0).unwrap();
        assert!(rows.claim(0).is_none());
        assert!(rows.claim(2).is_none());
        assert!(rows.claim(1).is_some());
        drop(first);
        assert!(rows.claim(0).is_some());
    }

    #[test]
    fn the_memory_is_had_only_when_no_row_is_out() {
        let rows = rows(2, 4);
        let row = rows.claim(1).unwrap();
        let rows = rows.into_inner().unwrap_err();
        drop(row);
        assert_eq!(rows.into_inner().unwrap().as_slice().len(), 8);
    }

    #[test]
    fn what_was_never_written_is_zero() {
        let pool = Pool::new(5 * 2, 1);
        let filled = |claims: &[usize]| {
            let rows = Arc::new(Rows::new(pool.take().unwrap(), 2));
            let before: Vec<[u32; 2]> = claims
                .iter()
                .map(|&row| {
                    let mut row = rows.claim(row).unwrap();
                    let before = [row[0], row[1]];
                    row.fill(7);
                    before
                })
                .collect();
            (before, rows.into_inner().unwrap())
        };
        let (before, buffer) = filled(&[1]);
        assert_eq!(before, [[0, 0]]);
        assert_eq!(buffer.as_slice(), [0, 0, 7, 7]);
        drop(buffer);
        // The same memory: a gap is closed, what was there stays, the rest is not there.
        let (before, buffer) = filled(&[3, 1]);
        assert_eq!(before, [[0, 0], [7, 7]]);
        assert_eq!(buffer.as_slice(), [0, 0, 7, 7, 0, 0, 7, 7]);
        drop(buffer);
        let (_, buffer) = filled(&[0]);
        assert_eq!(buffer.as_slice(), [7, 7, 7, 7, 0, 0, 7, 7]);
        drop(buffer);
        // Nobody tells what was written to a batch that was cancelled.
        let rows = Arc::new(Rows::new(pool.take().unwrap(), 2));
        rows.claim(4).unwrap().fill(7);
        drop(rows);
        let (before, buffer) = filled(&[4]);
        assert_eq!(before, [[0, 0]]);
        assert_eq!(buffer.into_vec().len(), 10);
    }

    #[test]
    fn rows_are_copied_between_batches() {
        let (from, to) = (rows(2, 3), rows(2, 3));
        from.claim(1).unwrap().copy_from_slice(&[1, 2, 3]);
        assert!(to.copy_row(0, &from, 1));
        assert!(!from.copy_row(1, &from, 1));
        assert_eq!(to.into_inner().unwrap().as_slice(), [1, 2, 3]);
    }

    #[test]
    fn an_empty_row_is_no_trouble() {
        let rows = rows(3, 0);
        assert!(rows.claim(0).is_none());
    }
}
