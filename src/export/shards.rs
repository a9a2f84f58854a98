//! Which row lies where: shards are ranges of positions of the first epoch. So a
//! shard depends on nothing but the configuration and its own samples, whoever
//! makes it, in whatever order.

use std::ops::Range;

use crate::config::Shard;
use crate::plan::Remaining;

/// How much one shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardSize {
    /// So many samples, at most 262,144.
    Samples(u64),
    /// As many samples as fit into so many bytes of images, at least 1 and at most
    /// 262,144: their lines of the manifest are in memory until the shard is whole.
    Bytes(u64),
}

/// What a count of bytes is turned into at the most, and what can be asked for.
pub(super) const MOST_ROWS: u64 = 1 << 18;

impl Default for ShardSize {
    /// 256 MiB: large enough that a file's overhead is nothing, and small enough that
    /// little is done again after a kill.
    fn default() -> Self {
        ShardSize::Bytes(256 << 20)
    }
}

impl ShardSize {
    /// In samples of so many bytes; at least 1.
    pub(super) fn rows(self, row_bytes: u64) -> u64 {
        match self {
            ShardSize::Samples(samples) => samples.max(1),
            ShardSize::Bytes(bytes) => (bytes / row_bytes.max(1)).clamp(1, MOST_ROWS),
        }
    }
}

/// Positions `0..positions`, in shards of `size`; the last may be shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards {
    pub(super) positions: u64,
    pub(super) size: u64,
}

impl Shards {
    pub(super) fn count(self) -> u64 {
        self.positions.div_ceil(self.size)
    }

    /// The positions of a shard.
    pub(super) fn range(self, shard: u64) -> Range<u64> {
        let first = shard * self.size;
        first..first.saturating_add(self.size).min(self.positions)
    }

    pub(super) fn of(self, position: u64) -> u64 {
        position / self.size
    }

    /// The shards of one of several processes: a block of neighbours, as long as
    /// every other's to within one.
    pub(super) fn part(self, part: Shard) -> Range<u64> {
        let border = |part: u32, world: u32| {
            (u128::from(self.count()) * u128::from(part) / u128::from(world)) as u64
        };
        border(part.rank, part.world)..border(part.rank + 1, part.world)
    }

    /// The shards that are not `there`, where they ascend, as runs of neighbours: a damaged
    /// plan may tell of more than can be counted one by one.
    pub(super) fn missing(self, there: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
        let (mut missing, mut next) = (Vec::new(), 0);
        for shard in there.chain([self.count()]) {
            if next < shard {
                missing.push(next..shard);
            }
            next = shard.saturating_add(1);
        }
        missing
    }

    /// The positions of these shards, which ascend, as what is left of the epoch: the
    /// last run of neighbours by its beginning, and all before it one by one. And
    /// where they end.
    pub(super) fn left(self, shards: &[u64]) -> (Remaining, u64) {
        let (Some(&first), Some(&last)) = (shards.first(), shards.last()) else {
            return (Remaining::nothing(), 0);
        };
        let gap = shards.windows(2).rposition(|pair| pair[0] + 1 < pair[1]);
        let from = gap.map_or(first, |gap| shards[gap + 1]);
        let before = shards.iter().take_while(|&&shard| shard < from);
        let missing = before.flat_map(|&shard| self.range(shard)).collect();
        (Remaining::new(self.range(from).start, missing), self.range(last).end)
    }
}

/// Runs of numbers in words: `3, 7 to 9`; of many, the first.
pub(super) fn numbered(runs: &[Range<u64>]) -> String {
    const SHOWN: usize = 6;
    let words = runs.iter().take(SHOWN).map(|run| match run.end - run.start {
        1 => run.start.to_string(),
        2 => format!("{}, {}", run.start, run.end - 1),
        _ => format!("{} to {}", run.start, run.end - 1),
    });
    let more = if runs.len() > SHOWN { ", .." } else { "" };
    format!("{}{more}", words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_position_lies_in_one_shard_of_one_part(
            positions in 0_u64..500, size in 1_u64..60, world in 1_u32..9,
        ) {
            let shards = Shards { positions, size };
            let all: Vec<u64> = (0..shards.count()).flat_map(|shard| shards.range(shard)).collect();
            prop_assert_eq!(&all, &(0..positions).collect::<Vec<_>>());
            for shard in 0..shards.count() {
                prop_assert!(!shards.range(shard).is_empty());
                prop_assert!(shards.range(shard).all(|position| shards.of(position) == shard));
            }
            let parts = (0..world).map(|rank| shards.part(Shard { rank, world }));
            let parts: Vec<Range<u64>> = parts.collect();
            let joined: Vec<u64> = parts.iter().cloned().flatten().collect();
            prop_assert_eq!(joined, (0..shards.count()).collect::<Vec<_>>());
            let lengths = parts.iter().map(|part| part.end - part.start);
            let (least, most) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn what_is_left_are_the_positions_of_the_shards(
            positions in 1_u64..300,
            size in 1_u64..40,
            wanted in proptest::collection::btree_set(0_u64..300, 1..12),
        ) {
            let shards = Shards { positions, size };
            let wanted: Vec<u64> =
                wanted.into_iter().filter(|&shard| shard < shards.count()).collect();
            let (left, until) = shards.left(&wanted);
            let expected: Vec<u64> = wanted.iter().flat_map(|&shard| shards.range(shard)).collect();
            let listed: Vec<u64> = (0..left.count(until)).map(|nth| left.at(nth)).collect();
            prop_assert_eq!(listed, expected);
        }

        #[test]
        fn bytes_become_rows_that_fit(bytes in 0_u64..1 << 40, row in 1_u64..1 << 30) {
            let rows = ShardSize::Bytes(bytes).rows(row);
            prop_assert!(rows == 1 || rows * row <= bytes);
            prop_assert!(rows == MOST_ROWS || (rows + 1) * row > bytes);
        }
    }

    #[test]
    fn numbers_are_told_in_runs() {
        let shards = Shards { positions: 26, size: 2 };
        let missing = |there: &[u64]| numbered(&shards.missing(there.iter().copied()));
        assert_eq!(missing(&[0, 1, 2, 4, 5, 6, 10]), "3, 7 to 9, 11, 12");
        assert_eq!(missing(&[1, 3, 5, 7, 9, 11]), "0, 2, 4, 6, 8, 10, ..");
        let even = Shards { positions: 24, size: 2 }.missing([1, 3, 5, 7, 9, 11].into_iter());
        assert_eq!(numbered(&even), "0, 2, 4, 6, 8, 10");
        let all: Vec<u64> = (0..13).collect();
        assert_eq!((missing(&[]), missing(&all)), ("0 to 12".to_owned(), String::new()));
        let many = Shards { positions: u64::MAX, size: 1 }.missing([3].into_iter());
        assert_eq!(many, [0..3, 4..u64::MAX]);
    }
}
