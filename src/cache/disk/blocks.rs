//! Room in the file, in blocks of 4 KiB: who has which, and which are free.
//! Pure.

/// Bytes of a block; records begin at one.
pub(super) const BLOCK: u64 = 4096;

/// Blocks that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    pub(super) start: u32,
    pub(super) blocks: u32,
}

impl Extent {
    pub(super) fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.blocks)
    }
}

/// Blocks that `bytes` bytes take.
pub(super) fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK)
}

/// Which blocks are free. What was given back is used again before the file
/// grows, in pieces if need be, so that the file never has more blocks than were
/// once in use at a time.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The first block behind all that were ever in use.
    end: u64,
    free: Vec<Extent>,
    free_blocks: u64,
}

impl Blocks {
    /// Blocks of which `used` are taken, in any order and without overlap; the
    /// first `reserved` are nobody's.
    pub(super) fn new(reserved: u64, mut used: Vec<Extent>) -> Self {
        used.sort_unstable();
        let mut blocks = Blocks { end: reserved, free: Vec::new(), free_blocks: 0 };
        for extent in used {
            let gap = u64::from(extent.start).saturating_sub(blocks.end);
            if gap > 0 {
                blocks.give_back(&[Extent { start: blocks.end as u32, blocks: gap as u32 }]);
            }
            blocks.end = blocks.end.max(extent.end());
        }
        blocks
    }

    /// The first block behind all that were ever in use.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Room for `wanted` blocks in a file of at most `limit`; `None` when there is
    /// not so much.
    pub(super) fn take(&mut self, wanted: u64, limit: u64) -> Option<Vec<Extent>> {
        let grown = wanted.saturating_sub(self.free_blocks);
        if self.end + grown > limit.min(u64::from(u32::MAX)) {
            return None;
        }
        let (mut taken, mut missing) = (Vec::new(), wanted);
        while missing > 0 {
            let Some(extent) = self.free.pop() else { break };
            let blocks = u64::from(extent.blocks).min(missing) as u32;
            taken.push(Extent { start: extent.start, blocks });
            if blocks < extent.blocks {
                let (start, blocks) = (extent.start + blocks, extent.blocks - blocks);
                self.free.push(Extent { start, blocks });
            }
            self.free_blocks -= u64::from(blocks);
            missing -= u64::from(blocks);
        }
        if missing > 0 {
            taken.push(Extent { start: self.end as u32, blocks: missing as u32 });
            self.end += missing;
        }
        Some(taken)
    }

    pub(super) fn give_back(&mut self, extents: &[Extent]) {
        for &extent in extents {
            self.free_blocks += u64::from(extent.blocks);
            self.free.push(extent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_grows_in_one_piece() {
        let mut blocks = Blocks::new(1, Vec::new());
        assert_eq!(blocks.take(4, 10), Some(vec![Extent { start: 1, blocks: 4 }]));
        assert_eq!(blocks.take(5, 10), Some(vec![Extent { start: 5, blocks: 5 }]));
        assert_eq!(blocks.take(1, 10), None);
        assert_eq!(blocks.take(0, 10), Some(Vec::new()));
        assert_eq!(blocks.take(0, 9), None);
    }

    #[test]
    fn what_an_index_leaves_free_is_used() {
        let used = vec![Extent { start: 6, blocks: 2 }, Extent { start: 2, blocks: 3 }];
        let mut blocks = Blocks::new(1, used);
        assert_eq!(blocks.end(), 8);
        let taken = blocks.take(3, 9).unwrap();
        assert_eq!(taken.iter().map(|extent| u64::from(extent.blocks)).sum::<u64>(), 3);
        let starts: Vec<u32> = taken.iter().map(|extent| extent.start).collect();
        assert_eq!(starts, [5, 1, 8]);
        assert_eq!(blocks.take(1, 9), None);
    }

    proptest! {
        #[test]
        fn no_block_is_had_twice(
            steps in prop::collection::vec((any::<bool>(), 1u64..9), 1..120), limit in 1u64..90,
        ) {
            let mut blocks = Blocks::new(1, Vec::new());
            let mut held: Vec<Vec<Extent>> = Vec::new();
            let mut most = 0;
            for (take, number) in steps {
                if take {
                    let used: u64 = held.iter().flatten().map(|e| u64::from(e.blocks)).sum();
                    match blocks.take(number, limit) {
                        Some(extents) => {
                            let got: u64 = extents.iter().map(|e| u64::from(e.blocks)).sum();
                            prop_assert_eq!(got, number);
                            held.push(extents);
                        }
                        None => prop_assert!(1 + used + number > limit),
                    }
                } else if !held.is_empty() {
                    let extents = held.swap_remove(number as usize % held.len());
                    blocks.give_back(&extents);
                }
                let mut all: Vec<u64> = held
                    .iter()
                    .flatten()
                    .flat_map(|e| u64::from(e.start)..e.end())
                    .collect();
                most = most.max(all.len() as u64);
                all.sort_unstable();
                prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(all.first().is_none_or(|&first| first >= 1));
                prop_assert!(blocks.end() <= (1 + most).min(limit));
            }
        }
    }
}
