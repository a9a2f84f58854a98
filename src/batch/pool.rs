//! Batch memory, used again: the kernel zeroes fresh memory page by page, which
//! costs several times what filling it does. What has to be fresh is asked for
//! in huge pages, and nothing is written to it before a row of it is claimed: an
//! allocator asked for zeroes writes all of them where it gives out what it had
//! freed, though few rows may come to be filled.

use std::fmt;
use std::sync::{Arc, PoisonError};

use super::pages::advise_huge;
use crate::memory::{Refused, reserved};
use crate::stats::Level;
use crate::sync::{Mutex, MutexGuard};

/// Memory of batches of one size. Taking never waits: what the caller keeps is
/// the caller's, and an empty free list allocates.
pub(crate) struct Pool<T> {
    /// Elements of one buffer.
    elements: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Last in, first out: the buffer whose pages are warmest.
    free: Vec<Vec<T>>,
    /// Buffers in the free list and outside.
    existing: usize,
    /// Buffers that may exist before a returned one is freed instead of kept.
    keep: usize,
    /// The most that there were at once.
    peak: usize,
    /// Nobody will take any more: what comes back is freed.
    closed: bool,
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("elements", &self.elements).finish_non_exhaustive()
    }
}

impl<T> Pool<T> {
    pub(crate) fn new(elements: usize, keep: usize) -> Arc<Self> {
        let state =
            Mutex::new(State { free: Vec::new(), existing: 0, keep, peak: 0, closed: false });
        Arc::new(Pool { elements, state })
    }

    /// A buffer for `elements` values, of which those are there that were before.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Buffer<T>, Refused> {
        let kept = {
            let mut state = self.lock();
            let kept = state.free.pop();
            state.existing += usize::from(kept.is_none());
            kept
        };
        if let Some(memory) = kept {
            return Ok(Buffer { memory, pool: Some(Arc::clone(self)) });
        }
        let mut memory = Vec::new();
        reserved(&mut memory, self.elements).inspect_err(|_| self.forget())?;
        let mut state = self.lock();
        state.peak = state.peak.max(state.existing);
        drop(state);
        advise_huge(memory.spare_capacity_mut());
        Ok(Buffer { memory, pool: Some(Arc::clone(self)) })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of its memory there is; the limit is what is kept.
    pub(crate) fn level(&self) -> Level {
        let each = (self.elements * size_of::<T>()) as u64;
        let state = self.lock();
        Level {
            bytes: state.existing as u64 * each,
            peak_bytes: state.peak as u64 * each,
            limit_bytes: state.keep as u64 * each,
            mean_bytes: each,
        }
    }

    fn put(&self, memory: Vec<T>) {
        let mut state = self.lock();
        if state.existing <= state.keep && !state.closed {
            state.free.push(memory);
        } else {
            state.existing -= 1;
            drop(state);
            drop(memory);
        }
    }

    /// Keeps so many from now on.
    pub(crate) fn keep(&self, buffers: usize) {
        let mut state = self.lock();
        state.keep = buffers;
        let excess = state.existing.saturating_sub(buffers).min(state.free.len());
        state.existing -= excess;
        // The one that came back last is the warmest.
        let coldest: Vec<_> = state.free.drain(..excess).collect();
        drop(state);
        drop(coldest);
    }

    /// Frees what is kept, and from now on whatever comes back: a batch may
    /// outlive its loader by hours.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.existing -= state.free.len();
        let free = std::mem::take(&mut state.free);
        drop(state);
        drop(free);
    }

    fn forget(&self) {
        self.lock().existing -= 1;
    }

    #[cfg(test)]
    pub(crate) fn existing(&self) -> usize {
        self.lock().existing
    }
}

/// One batch's memory; goes back to its pool when dropped.
pub(crate) struct Buffer<T> {
    /// With room for a whole batch; in it are the rows up to the last that ever was
    /// filled.
    memory: Vec<T>,
    pool: Option<Arc<Pool<T>>>,
}

/// Without the elements: there are millions.
impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("elements", &self.memory.capacity()).finish_non_exhaustive()
    }
}

impl<T> Buffer<T> {
    /// For [`Rows`](super::Rows), which fill it.
    pub(super) fn memory(&mut self) -> &mut Vec<T> {
        &mut self.memory
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.memory
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.memory
    }

    /// The memory for good; the pool allocates another when it needs one.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        if let Some(pool) = self.pool.take() {
            pool.forget();
        }
        std::mem::take(&mut self.memory)
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.put(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_buffer_back_is_the_first_out() {
        let pool = Pool::<u32>::new(4, 3);
        let (mut a, b) = (pool.take().unwrap(), pool.take().unwrap());
        a.memory().push(7);
        drop(b);
        drop(a);
        assert_eq!(pool.take().unwrap().as_slice()[0], 7);
        assert_eq!(pool.existing(), 2);
    }

    #[test]
    fn more_than_the_pool_keeps_is_freed() {
        let pool = Pool::<u8>::new(4, 2);
        let held: Vec<_> = (0..10).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.existing(), 10);
        drop(held);
        assert_eq!(pool.existing(), 2);
    }

    #[test]
    fn a_closed_pool_keeps_nothing() {
        let pool = Pool::<u8>::new(4, 2);
        let (held, free) = (pool.take().unwrap(), pool.take().unwrap());
        drop(free);
        pool.close();
        assert_eq!(pool.existing(), 1);
        drop(held);
        assert_eq!(pool.existing(), 0);
    }

    /// An interpreter ends where there is no memory.
    #[cfg(not(miri))]
    #[test]
    fn memory_that_is_refused_is_not_counted() {
        let pool = Pool::<u64>::new(1 << 57, 2);
        assert!(pool.take().is_err());
        assert_eq!(pool.existing(), 0);
    }

    #[test]
    fn memory_given_away_is_not_counted() {
        let pool = Pool::<u8>::new(4, 2);
        assert_eq!(pool.take().unwrap().into_vec().capacity(), 4);
        assert_eq!(pool.existing(), 0);
    }
}
