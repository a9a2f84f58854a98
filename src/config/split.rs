//! Which samples of a source take part: one side of a split, or those of given
//! indices.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::refuse;
use crate::digest::hash_words;
use crate::error::{Error, Result};
use crate::source::name_hash;

/// The range of the hash that decides: its upper 32 bits.
const WHOLE: f64 = (1_u64 << 32) as f64;

/// One side of a split of a source's samples into two.
///
/// The hash of a sample's path, in the words in which the source tells it, says
/// on which side it is: the same on every machine, also when other samples are
/// added or removed. `train(0.9)` and `validation(0.1)` of one seed have all
/// samples between them and none in common; each has about its share of them.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Loader, Split};
///
/// let count = |split| -> infeed::Result<u64> {
///     let mut loader = Loader::folder(&photos).size(32, 32).split(split).build()?;
///     loader.epoch(0)?.map(|batch| Ok(batch?.len() as u64)).sum()
/// };
/// assert_eq!(count(Split::train(0.7))? + count(Split::validation(0.3))?, 10);
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    side: Side,
    share: f64,
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Hashes from 0 on.
    Train,
    /// Hashes up to the largest.
    Validation,
}

impl Split {
    /// The samples to train on: about `share` of all, above 0 and at most 1.
    #[must_use]
    pub fn train(share: f64) -> Self {
        Split { side: Side::Train, share, seed: 0 }
    }

    /// The samples that are kept from training: about `share` of all, above 0 and
    /// at most 1.
    #[must_use]
    pub fn validation(share: f64) -> Self {
        Split { side: Side::Validation, share, seed: 0 }
    }

    /// Another split of the same shares. Default 0, whatever the loader's own
    /// seed is.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether the sample of this path is on this side.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        // However the path is spelt: `./a.jpg` is `a.jpg`.
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let path: PathBuf = parts.collect();
        let hash = hash(&path, self.seed);
        match self.side {
            Side::Train => hash < (self.share * WHOLE).round() as u64,
            // Rounded as the other side's, so that they meet.
            Side::Validation => hash >= (WHOLE - self.share * WHOLE).round() as u64,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return refuse("split", self, "expected a share above 0 and at most 1");
        }
        Ok(())
    }
}

/// Below 2^32.
fn hash(path: &Path, seed: u64) -> u64 {
    name_hash(path, seed) >> 32
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Train => "train",
            Side::Validation => "validation",
        };
        write!(f, "{side}={}", self.share)?;
        match self.seed {
            0 => Ok(()),
            seed => write!(f, ", seed {seed}"),
        }
    }
}

impl FromStr for Split {
    type Err = Error;

    /// `train=0.9`, `validation=0.1` or `val=0.1`.
    fn from_str(text: &str) -> Result<Self> {
        let split = text.split_once('=').and_then(|(side, share)| {
            let share = share.parse().ok()?;
            match side {
                "train" => Some(Split::train(share)),
                "validation" | "val" => Some(Split::validation(share)),
                _ => None,
            }
        });
        let Some(split) = split else {
            return refuse("split", text, "expected train=SHARE or val=SHARE, such as train=0.9");
        };
        split.check().map(|()| split)
    }
}

impl Serialize for Split {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Indices of a source's samples, ascending. Clones are the same memory.
#[derive(Clone)]
pub(crate) struct Subset(Arc<[u64]>);

impl Subset {
    pub(crate) fn new(indices: impl IntoIterator<Item = u64>) -> Self {
        let mut indices: Vec<u64> = indices.into_iter().collect();
        indices.sort_unstable();
        Subset(indices.into())
    }

    pub(crate) fn indices(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn hash(&self) -> u64 {
        hash_words(self.0.iter().map(|index| index.to_le_bytes()))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.0.is_empty() {
            return refuse("subset", "[]", "it leaves no sample; expected indices of some");
        }
        if let Some(twice) = self.0.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse("subset", twice[0], "it is there twice; expected each index once");
        }
        Ok(())
    }
}

impl fmt::Debug for Subset {
    /// Without the indices, of which there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subset({} indices)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(count: u32) -> impl Iterator<Item = String> {
        (0..count).map(|number| format!("class{}/{number:06}.jpg", number % 7))
    }

    fn side(split: Split, paths: impl Iterator<Item = String>) -> Vec<String> {
        paths.filter(|path| split.contains(Path::new(path))).collect()
    }

    /// A state is of one subset and refuses another.
    #[test]
    fn subsets_are_told_apart() {
        let hash = |indices: &[u64]| Subset::new(indices.iter().copied()).hash();
        assert_eq!(hash(&[3, 1]), hash(&[1, 3]));
        let all = [hash(&[]), hash(&[0]), hash(&[0, 1]), hash(&[0, 2]), hash(&[1])];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one));
        }
    }

    /// Changed, every split of every user would be another.
    #[test]
    fn a_split_stays_what_it_is() {
        let hashes = ["", "a.jpg", "cats/0.jpg", "cats/1.jpg"].map(|path| hash(Path::new(path), 0));
        assert_eq!(hashes, [755_400_709, 23_668_589, 2_351_370_594, 871_315_494]);
        assert_eq!(hash(Path::new("cats/0.jpg"), 7), 1_871_986_969);
    }

    #[test]
    fn a_path_is_on_one_side_however_it_is_spelt() {
        for path in paths(200) {
            let split = Split::train(0.5);
            let side = split.contains(Path::new(&path));
            for other in [format!("./{path}"), path.replace('/', "/./"), path.replace('/', "//")] {
                assert_eq!(split.contains(Path::new(&other)), side, "{other}");
            }
        }
    }

    #[test]
    fn shares_are_kept_about() {
        const ALL: u32 = 20_000;
        for share in [0.5, 0.1, 0.01] {
            for split in
                [Split::train(share), Split::validation(share), Split::train(share).seed(9)]
            {
                let count = side(split, paths(ALL)).len() as f64;
                let expected = share * f64::from(ALL);
                // Five standard deviations.
                let most = 5.0 * (expected * (1.0 - share)).sqrt();
                assert!((count - expected).abs() < most, "{split}: {count} of {expected}");
            }
        }
        assert_eq!(side(Split::train(1.0), paths(ALL)).len(), ALL as usize);
        assert_eq!(side(Split::validation(1.0), paths(ALL)).len(), ALL as usize);
    }

    #[test]
    fn seeds_split_otherwise() {
        let splits = [0, 1, 2].map(|seed| side(Split::train(0.5).seed(seed), paths(100)));
        assert!(splits[0] != splits[1] && splits[1] != splits[2] && splits[0] != splits[2]);
    }

    #[test]
    fn words_are_read_and_written() {
        for (text, split) in [
            ("train=0.9", Split::train(0.9)),
            ("validation=0.1", Split::validation(0.1)),
            ("train=1", Split::train(1.0)),
        ] {
            assert_eq!(text.parse::<Split>().unwrap(), split);
            assert_eq!(split.to_string(), text);
        }
        assert_eq!("val=0.25".parse::<Split>().unwrap(), Split::validation(0.25));
        assert_eq!(Split::train(0.5).seed(3).to_string(), "train=0.5, seed 3");
        for wrong in
            ["", "train", "0.9", "test=0.1", "train=", "train=x", "train=0", "val=1.5", "val=NaN"]
        {
            assert_eq!(wrong.parse::<Split>().unwrap_err().field(), Some("split"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_sides_are_a_partition(
            paths in prop::collection::hash_set("[a-c]{0,2}/?[0-9a-f]{1,6}", 0..200),
            percent in 1_u32..100,
            seed: u64,
        ) {
            let share = f64::from(percent) / 100.0;
            let (train, validation) = (Split::train(share), Split::validation(1.0 - share));
            for path in &paths {
                let path = Path::new(path);
                let sides = [train, validation].map(|side| side.seed(seed).contains(path));
                prop_assert!(sides[0] != sides[1], "{:?}: {:?}", path, sides);
            }
        }
    }
}
