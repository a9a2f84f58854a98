//! Which samples are kept when not all fit: the first in the source's order.
//! Pure.
//!
//! Samples come in any order, from many threads. Whatever the order, once all
//! have come the same ones are kept: the longest beginning of the source whose
//! bytes fit. A sample that does not fit raises a *bar*: none at it or behind it
//! is taken from then on, so that a small one does not slip in where a large one
//! before it had no room.

use std::collections::BTreeMap;

/// A sample: its index in the source's order, and what tells apart two that
/// claim the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) index: u64,
    pub(super) id: u64,
}

/// The kept samples and their bytes.
#[derive(Debug)]
pub(super) struct Subset {
    limit: u64,
    /// From this index on nothing is kept.
    bar: u64,
    kept: BTreeMap<Key, u64>,
    bytes: u64,
}

/// What came of offering a sample.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) kept: bool,
    /// These had to go.
    pub(super) evicted: Vec<Key>,
}

impl Subset {
    /// At most `limit` bytes. Where every sample takes `each`, how many fit is
    /// known from the start, and none ever has to go.
    pub(super) fn new(limit: u64, each: Option<u64>) -> Self {
        let bar = each.map_or(u64::MAX, |each| limit / each.max(1));
        Subset { limit, bar, kept: BTreeMap::new(), bytes: 0 }
    }

    /// Whether an offer of this sample could be taken.
    pub(super) fn may_keep(&self, index: u64) -> bool {
        index < self.bar
    }

    /// Offers a sample of `bytes` bytes. One that is kept already stays.
    pub(super) fn offer(&mut self, key: Key, bytes: u64) -> Offer {
        let mut evicted = Vec::new();
        if !self.may_keep(key.index) {
            return Offer { kept: false, evicted };
        }
        if self.kept.contains_key(&key) {
            return Offer { kept: true, evicted };
        }
        self.kept.insert(key, bytes);
        self.bytes += bytes;
        while self.bytes > self.limit {
            let Some((last, bytes)) = self.kept.pop_last() else { break };
            self.bytes -= bytes;
            self.bar = last.index;
            if last == key {
                return Offer { kept: false, evicted };
            }
            evicted.push(last);
        }
        Offer { kept: true, evicted }
    }

    /// Takes a sample out, to be offered again later.
    pub(super) fn remove(&mut self, key: Key) {
        if let Some(bytes) = self.kept.remove(&key) {
            self.bytes -= bytes;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(index: usize) -> Key {
        Key { index: index as u64, id: 0 }
    }

    /// How many of the first samples fit.
    fn fitting(sizes: &[u64], limit: u64) -> usize {
        let sums = sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        });
        sums.take_while(|&sum| sum <= limit).count()
    }

    #[test]
    fn equal_samples_never_have_to_go() {
        let mut subset = Subset::new(35, Some(10));
        for index in [5, 3, 2, 9, 0, 1] {
            let offer = subset.offer(key(index), 10);
            assert_eq!(offer, Offer { kept: index < 3, evicted: Vec::new() });
        }
        assert_eq!((subset.len(), subset.bytes()), (3, 30));
    }

    #[test]
    fn the_limit_may_be_reached() {
        let mut subset = Subset::new(30, None);
        for index in 0..3 {
            assert!(subset.offer(key(index), 10).kept);
        }
        assert!(!subset.offer(key(3), 1).kept);
        assert_eq!((subset.len(), subset.bytes()), (3, 30));
    }

    #[test]
    fn what_is_taken_out_may_come_back() {
        let mut subset = Subset::new(20, None);
        assert!(subset.offer(key(0), 10).kept);
        subset.remove(key(0));
        subset.remove(key(0));
        assert_eq!(subset.bytes(), 0);
        assert!(subset.offer(key(0), 12).kept);
        assert!(subset.offer(key(0), 12).kept);
        assert_eq!(subset.bytes(), 12);
    }

    proptest! {
        #[test]
        fn any_order_comes_to_the_same_beginning(
            (sizes, order) in prop::collection::vec(0u64..50, 0..40).prop_flat_map(|sizes| {
                let order: Vec<usize> = (0..sizes.len()).collect();
                (Just(sizes), Just(order).prop_shuffle())
            }),
            limit in 0u64..600,
        ) {
            let mut subset = Subset::new(limit, None);
            let mut here = std::collections::BTreeSet::new();
            // A second round changes nothing.
            for index in order.iter().chain(&order).copied() {
                let offer = subset.offer(key(index), sizes[index]);
                if offer.kept {
                    here.insert(key(index));
                }
                for gone in offer.evicted {
                    prop_assert!(here.remove(&gone));
                }
                prop_assert!(subset.bytes() <= limit);
            }
            let expected: Vec<Key> = (0..fitting(&sizes, limit)).map(key).collect();
            prop_assert_eq!(here.into_iter().collect::<Vec<_>>(), expected);
        }
    }
}
