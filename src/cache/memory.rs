//! Pixels kept in memory.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subset::{Key, Subset};
use crate::config::Size;
use crate::memory::copied;

/// What a sample costs beside its bytes: its places in the maps, the allocator's
/// share.
const SAMPLE_BYTES: u64 = 192;

/// What a sample of `len` bytes counts for.
pub(crate) fn memory_bytes(len: u64) -> u64 {
    len + SAMPLE_BYTES
}

#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    /// What blocks in use count for, evicted ones that somebody still reads
    /// included.
    held: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    subset: Subset,
    samples: HashMap<u64, Slot>,
}

#[derive(Debug)]
enum Slot {
    /// Somebody is copying it in.
    Filling,
    Here(Arc<Block>),
}

/// The pixels of one sample.
pub(super) struct Block {
    pub(super) size: Size,
    bytes: Box<[u8]>,
    held: Arc<AtomicU64>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.held.fetch_sub(memory_bytes(self.bytes.len() as u64), Ordering::Relaxed);
    }
}

impl Memory {
    /// At most `limit` bytes; every sample has `each` bytes, where that is known.
    pub(super) fn new(limit: u64, each: Option<u64>) -> Self {
        let subset = Subset::new(limit, each.map(memory_bytes));
        let state = State { subset, samples: HashMap::new() };
        Memory { limit, held: Arc::default(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, index: u64) -> Option<Arc<Block>> {
        match self.lock().samples.get(&index) {
            Some(Slot::Here(block)) => Some(Arc::clone(block)),
            _ => None,
        }
    }

    pub(super) fn wants(&self, index: u64) -> bool {
        let state = self.lock();
        state.subset.may_keep(index) && !state.samples.contains_key(&index)
    }

    /// Keeps a copy, unless the sample is kept already or has no place among
    /// those that are.
    pub(super) fn store(&self, index: u64, size: Size, pixels: &[u8]) {
        let (key, cost) = (Key { index, id: 0 }, memory_bytes(pixels.len() as u64));
        let mut state = self.lock();
        let State { subset, samples } = &mut *state;
        if samples.contains_key(&index) {
            return;
        }
        let offer = subset.offer(key, cost);
        for evicted in offer.evicted {
            samples.remove(&evicted.index);
        }
        if !offer.kept {
            return;
        }
        // Evicted ones that are being filled or read are not free yet: then this
        // sample waits for a later epoch.
        if self.held.load(Ordering::Relaxed) + cost > self.limit {
            subset.remove(key);
            return;
        }
        self.held.fetch_add(cost, Ordering::Relaxed);
        samples.insert(index, Slot::Filling);
        drop(state);
        // The kernel zeroes fresh memory page by page: not under the lock.
        let Ok(bytes) = copied(pixels) else {
            // Refused, it is decoded anew, like one that has no place.
            self.held.fetch_sub(cost, Ordering::Relaxed);
            let mut state = self.lock();
            state.samples.remove(&index);
            state.subset.remove(key);
            return;
        };
        let block = Block { size, bytes, held: Arc::clone(&self.held) };
        if let Some(slot) = self.lock().samples.get_mut(&index) {
            *slot = Slot::Here(Arc::new(block));
        }
    }

    /// Samples kept, and the bytes they count for.
    pub(super) fn kept(&self) -> (u64, u64) {
        let state = self.lock();
        (state.subset.len() as u64, state.subset.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size { width: 1, height: 1 };

    fn pixels(index: u64, len: usize) -> Vec<u8> {
        vec![index as u8; len]
    }

    #[test]
    fn what_is_stored_is_had() {
        let memory = Memory::new(10 * memory_bytes(8), Some(8));
        assert!(memory.get(3).is_none() && memory.wants(3) && !memory.wants(10));
        memory.store(3, SIZE, &pixels(3, 8));
        memory.store(3, SIZE, &pixels(4, 8));
        assert_eq!(**memory.get(3).unwrap(), pixels(3, 8));
        assert!(!memory.wants(3));
        assert_eq!(memory.kept(), (1, memory_bytes(8)));
    }

    #[test]
    fn memory_that_is_still_read_counts() {
        let memory = Memory::new(2 * memory_bytes(100), None);
        memory.store(5, SIZE, &pixels(5, 100));
        memory.store(6, SIZE, &pixels(6, 100));
        let read = memory.get(6).unwrap();
        memory.store(1, SIZE, &pixels(1, 100));
        assert!(memory.get(1).is_none() && memory.get(6).is_none());
        assert_eq!(**read, pixels(6, 100));
        drop(read);
        memory.store(1, SIZE, &pixels(1, 100));
        assert!(memory.get(1).is_some());
        assert_eq!(memory.held.load(Ordering::Relaxed), 2 * memory_bytes(100));
    }

    #[test]
    fn threads_store_the_same_samples_as_one() {
        let memory = Memory::new(40 * memory_bytes(64), Some(64));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    for step in 0..100 {
                        let index = (step * 37 + thread * 11) % 100;
                        if memory.wants(index) {
                            memory.store(index, SIZE, &pixels(index, 64));
                        }
                    }
                });
            }
        });
        for index in 0..100 {
            let kept = memory.get(index).map(|block| block.to_vec());
            assert_eq!(kept, (index < 40).then(|| pixels(index, 64)));
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit(
            steps in prop::collection::vec((0u64..30, 0usize..90), 0..100), limit in 0u64..8_000,
        ) {
            let memory = Memory::new(limit, None);
            let mut reading = Vec::new();
            for (index, len) in steps {
                memory.store(index, SIZE, &pixels(index, len));
                reading.extend(memory.get(index));
                reading.truncate(5);
                prop_assert!(memory.held.load(Ordering::Relaxed) <= limit);
                prop_assert!(memory.kept().1 <= limit);
            }
        }
    }
}
