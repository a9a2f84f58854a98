//! The rows of one batch: contiguous memory that several threads fill at once,
//! each its own row.
//!
//! The unsafe code in which threads meet. Its argument, independent of what the
//! rest of the crate does:
//!
//! * A [`Row`] is given out at most once for each row: [`Rows::claim`] sets the
//!   row's flag with an atomic swap and refuses when it was set. Rows do not
//!   overlap, so two `Row`s never reach the same element.
//! * Nothing else reads or writes the elements while a `Row` exists: the only
//!   other way to them is [`Rows::into_inner`], which needs the last `Arc`, and
//!   every `Row` holds one. [`Rows::copy_row`] goes through both flags in the
//!   same way.
//! * Dropping a `Row` drops its `Arc` with release ordering, and unwrapping the
//!   last one acquires, so the owner of the vector sees every write.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::pool::Buffer;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The memory of one batch while its rows are being filled: `[rows, row_len]`,
/// row-major.
pub(crate) struct Rows<T> {
    /// Start of `buffer`'s elements, taken once; `buffer` is not touched again
    /// before `into_inner`.
    start: NonNull<T>,
    buffer: Buffer<T>,
    row_len: usize,
    claimed: Box<[AtomicBool]>,
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
        let rows = self.claimed.len();
        f.debug_struct("Rows").field("rows", &rows).field("row_len", &self.row_len).finish()
    }
}

impl<T: Copy> Rows<T> {
    /// As many rows of `row_len` elements as `buffer` holds.
    pub(crate) fn new(mut buffer: Buffer<T>, row_len: usize) -> Self {
        let elements = buffer.as_mut_slice();
        let rows = elements.len() / row_len.max(1);
        let start = NonNull::from(elements).cast();
        let claimed = (0..rows).map(|_| AtomicBool::new(false)).collect();
        Rows { start, buffer, row_len, claimed }
    }

    /// Exclusive access to one row; `None` when it is out already or does not
    /// exist.
    pub(crate) fn claim(self: &Arc<Self>, row: usize) -> Option<Row<T>> {
        self.acquire(row)?;
        Some(Row { rows: Arc::clone(self), row })
    }

    /// A row that was claimed and dropped can be claimed again only after this.
    fn release(&self, row: usize) {
        self.claimed[row].store(false, Ordering::Release);
    }

    fn acquire(&self, row: usize) -> Option<()> {
        // Acquire pairs with the release in `release`: whoever claims a row
        // again sees what was written to it.
        (!self.claimed.get(row)?.swap(true, Ordering::Acquire)).then_some(())
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
        Arc::try_unwrap(self).map(|rows| rows.buffer)
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
        self.rows.release(self.row);
    }
}

impl<T: Copy> Deref for Row<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let Rows { start, row_len, .. } = &*self.rows;
        // SAFETY: `row` was checked by `claim`, so the row lies inside the
        // elements, which are initialised and live as long as `rows`. No other
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
    fn rows_are_copied_between_batches() {
        let (from, to) = (rows(2, 3), rows(2, 3));
        from.claim(1).unwrap().copy_from_slice(&[1, 2, 3]);
        assert!(to.copy_row(0, &from, 1));
        assert!(!from.copy_row(1, &from, 1));
        assert_eq!(to.into_inner().unwrap().as_slice(), [1, 2, 3, 0, 0, 0]);
    }

    #[test]
    fn an_empty_row_is_no_trouble() {
        let rows = rows(3, 0);
        assert!(rows.claim(0).is_none());
    }
}
