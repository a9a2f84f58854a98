//! A fingerprint of a source as a whole: which samples it has, in which order.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::name::name_hash;
use crate::digest::{read_hex, write_hex};
use crate::random::mix;

/// Of the samples' names in their order, and of their sizes where the listing has
/// them; not of times, so that copies agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    /// So many samples are in it.
    pub(crate) samples: u64,
    /// They are all there are.
    pub(crate) complete: bool,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub(crate) hash: u64,
}

impl Print {
    /// The next sample of the listing.
    pub(crate) fn add(&mut self, path: &Path, bytes: Option<u64>) {
        self.samples += 1;
        // An unknown size is none that a file can have.
        let bytes = bytes.map_or(0, |bytes| bytes.saturating_add(1));
        self.hash = mix(mix(self.hash ^ name_hash(path, 0)) ^ bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(&str, Option<u64>)]) -> u64 {
        let mut print = Print::default();
        samples.iter().for_each(|(path, bytes)| print.add(Path::new(path), *bytes));
        print.hash
    }

    #[test]
    fn names_order_and_sizes_count() {
        let base = of(&[("a", None), ("b", Some(1))]);
        assert_eq!(base, of(&[("a", None), ("b", Some(1))]));
        for other in [
            of(&[("b", Some(1)), ("a", None)]),
            of(&[("a", None), ("b", Some(2))]),
            of(&[("a", Some(0)), ("b", Some(1))]),
            of(&[("a", None)]),
            of(&[("a", None), ("b", Some(1)), ("c", None)]),
        ] {
            assert_ne!(base, other);
        }
    }
}
