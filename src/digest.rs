//! Which samples were delivered, in one value.

use std::fmt;
use std::hash::Hasher;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_64;

use crate::random::mix;
use crate::source::name_hash;

/// Which samples an epoch has delivered so far, as values that can be compared:
/// two runs, two numbers of threads, a resumed run and an uninterrupted one are
/// the same if these are.
///
/// Samples count by their path relative to the source's root, so that copies of
/// a folder agree; the pixels are not looked at. Padding does not count.
///
/// In JSON: `{"samples": 334, "sequence": "93f1..", "set": "01ac.."}`, the hashes
/// as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    samples: u64,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    sequence: u64,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    set: u64,
}

impl Digest {
    /// How many samples.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// A hash of the samples in the order in which they were delivered.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A hash of the samples in any order, each as often as it was delivered: the
    /// sum of a hash of each.
    #[must_use]
    pub fn set(&self) -> u64 {
        self.set
    }

    /// The samples of several ranks together. Their order among each other is
    /// not known, so [`sequence`](Self::sequence) is 0;
    /// [`set`](Self::set) and [`samples`](Self::samples) are those of one process
    /// that has delivered them all.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Digest, Loader};
    ///
    /// let of = |rank, world| -> infeed::Result<Digest> {
    ///     let mut loader =
    ///         Loader::folder(&photos).size(32, 32).shuffle(7).shard(rank, world).build()?;
    ///     let mut epoch = loader.epoch(0)?;
    ///     for batch in &mut epoch {
    ///         batch?;
    ///     }
    ///     Ok(epoch.stats().digest)
    /// };
    /// let ranks = Digest::combined([of(0, 3)?, of(1, 3)?, of(2, 3)?]);
    /// assert_eq!(ranks.set(), of(0, 1)?.set());
    /// # Ok::<(), infeed::Error>(())
    /// ```
    #[must_use]
    pub fn combined(ranks: impl IntoIterator<Item = Digest>) -> Digest {
        ranks.into_iter().fold(Digest::default(), |sum, rank| Digest {
            samples: sum.samples.saturating_add(rank.samples),
            sequence: 0,
            set: sum.set.wrapping_add(rank.set),
        })
    }

    pub(crate) fn add(&mut self, path: &Path) {
        let hash = name_hash(path, 0);
        self.samples += 1;
        self.sequence = mix(self.sequence ^ hash);
        // Of a hash that has been mixed again, so that no sum cancels.
        self.set = self.set.wrapping_add(mix(hash));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Digest { samples, sequence, set } = self;
        write!(f, "{samples} samples, sequence {sequence:016x}, set {set:016x}")
    }
}

/// A hash of words of 8 bytes, one after the other; of any number, without a copy of them.
pub(crate) fn hash_words(words: impl IntoIterator<Item = [u8; 8]>) -> u64 {
    let mut hasher = XxHash3_64::new();
    words.into_iter().for_each(|word| hasher.write(&word));
    hasher.finish()
}

/// Sixty-four bits are more than a number of JSON holds everywhere.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn write_hex<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

pub(crate) fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Digest {
        let mut digest = Digest::default();
        paths.iter().for_each(|path| digest.add(Path::new(path)));
        digest
    }

    #[test]
    fn order_counts_in_one_value_and_not_in_the_other() {
        let (one, other) = (of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        assert_ne!(one.sequence(), other.sequence());
        assert_eq!((one.set(), one.samples()), (other.set(), 3));
        assert_ne!(one.set(), of(&["a", "b", "b"]).set());
        assert_ne!(of(&["a", "a"]).set(), of(&["b", "b"]).set());
        assert_eq!(Digest::combined([of(&["b"]), of(&["c", "a"])]).set(), one.set());
    }

    /// Changed, no digest that anybody noted would be that of the same run again.
    #[test]
    fn a_digest_stays_what_it_is() {
        let told = of(&["a", "b", "cats/0.jpg"]).to_string();
        assert_eq!(told, "3 samples, sequence d4bb06276501da91, set 300202c2fa103184");
    }

    #[test]
    fn json_keeps_every_bit() {
        let digest = of(&["a", "b"]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(json.contains(&format!("{:016x}", digest.set())), "{json}");
    }
}
