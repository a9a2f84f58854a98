//! A permutation of `0..n` that is computed, not stored: a keyed bijection.
//!
//! A generalised Feistel network (Black and Rogaway, "Ciphers with Arbitrary
//! Finite Domains", 2002) on pairs `(left, right)` of `0..a` and `0..b`, with
//! `a * b` barely above `n`; what falls outside `0..n` is put through it again
//! (cycle walking), which happens to one number in about the square root of `n`.

use crate::random::{Draws, mix, purpose};

/// So many that small permutations come out evenly too; large ones need fewer.
const ROUNDS: usize = 16;

/// A permutation of `0..length` that is decided by a seed and an epoch: the order
/// of [`LoaderBuilder::shuffle`](crate::LoaderBuilder::shuffle). It is computed, not
/// stored: any length takes some 150 bytes, and any position can be asked for.
///
/// ```
/// use infeed::Shuffle;
///
/// let shuffle = Shuffle::new(100_000_000, 7, 0);
/// assert_eq!(size_of_val(&shuffle), 152);
/// assert_ne!(shuffle.at(0), Shuffle::new(100_000_000, 7, 1).at(0));
///
/// let mut all: Vec<u64> = Shuffle::new(10, 7, 0).iter().collect();
/// all.sort();
/// assert!(all.into_iter().eq(0..10));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    length: u64,
    /// Even, so that odd permutations occur as often as even ones.
    a: u64,
    b: u64,
    keys: [u64; ROUNDS],
}

impl Shuffle {
    /// The permutation of `0..length` for this seed and epoch; a length of 2^62 at
    /// most.
    #[must_use]
    pub fn new(length: u64, seed: u64, epoch: u64) -> Self {
        assert!(length <= 1 << 62, "more numbers than can be shuffled: {length}");
        let mut draws = Draws::new(&[seed, epoch, purpose::SHUFFLE]);
        let keys = std::array::from_fn(|_| draws.next());
        let root = length.saturating_sub(1).isqrt() + 1;
        let a = root.next_multiple_of(2);
        Shuffle { length, a, b: length.div_ceil(a), keys }
    }

    /// What stands at `position`.
    ///
    /// # Panics
    ///
    /// When `position` is not below the length.
    #[must_use]
    pub fn at(&self, position: u64) -> u64 {
        assert!(position < self.length, "position {position} of {}", self.length);
        let mut number = position;
        loop {
            number = self.once(number);
            if number < self.length {
                return number;
            }
        }
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        let shuffle = *self;
        (0..self.length).map(move |position| shuffle.at(position))
    }

    fn once(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number % self.a, number / self.a);
        for keys in self.keys.as_chunks::<2>().0 {
            left = added(left, keys[0], right, self.a);
            right = added(right, keys[1], left, self.b);
        }
        right * self.a + left
    }
}

/// `to` plus a number that `from` and the key decide, modulo `modulus`.
fn added(to: u64, key: u64, from: u64, modulus: u64) -> u64 {
    // The upper half of a 128-bit product is even in 0..modulus.
    let shift = ((u128::from(mix(key ^ from)) * u128::from(modulus)) >> 64) as u64;
    let sum = to + shift;
    if sum >= modulus { sum - modulus } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn all(length: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let shuffle = Shuffle::new(length, seed, epoch);
        (0..length).map(|position| shuffle.at(position)).collect()
    }

    #[test]
    fn every_number_once() {
        for length in (0..600).chain([4_095, 4_096, 4_097, 65_537, 99_999]) {
            let mut numbers = all(length, 3, length);
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..length), "{length}");
        }
    }

    #[test]
    fn seed_and_epoch_decide_it() {
        assert_eq!(all(50, 1, 2), all(50, 1, 2));
        assert_ne!(all(50, 1, 2), all(50, 1, 3));
        assert_ne!(all(50, 1, 2), all(50, 2, 2));
        assert_ne!(all(50, 1, 2), all(50, 2, 1));
        assert!(Shuffle::new(50, 1, 2).iter().eq(all(50, 1, 2)));
    }

    /// Chi-square over all permutations of a few numbers.
    #[test]
    fn all_permutations_are_as_frequent() {
        for (length, permutations) in [(2, 2_u32), (3, 6), (4, 24), (5, 120), (6, 720)] {
            let each = 100;
            let mut counts = HashMap::<Vec<u64>, u32>::new();
            for epoch in 0..u64::from(permutations * each) {
                *counts.entry(all(length, 7, epoch)).or_default() += 1;
            }
            assert_eq!(counts.len(), permutations as usize, "{length}");
            let difference = |count: &u32| (f64::from(*count) - f64::from(each)).powi(2);
            let chi: f64 = counts.values().map(difference).sum::<f64>() / f64::from(each);
            // Mean k and variance 2k, nearly normal for large k: five deviations.
            let degrees = f64::from(permutations - 1);
            assert!((chi - degrees).abs() < 5.0 * (2.0 * degrees).sqrt(), "{length}: {chi}");
        }
    }

    /// In longer ones: where a number goes, and which two stand side by side.
    #[test]
    fn places_and_neighbours_are_spread_evenly() {
        for length in [7_u64, 10, 16, 31] {
            let (mut places, mut pairs) = (HashMap::new(), HashMap::new());
            let rounds = 400 * length;
            for epoch in 0..rounds {
                let numbers = all(length, 11, epoch);
                for (place, &number) in numbers.iter().enumerate() {
                    *places.entry((place, number)).or_insert(0_u32) += 1;
                }
                for pair in numbers.windows(2) {
                    *pairs.entry((pair[0], pair[1])).or_insert(0_u32) += 1;
                }
            }
            for (counts, cells, total) in [
                (places.values().collect::<Vec<_>>(), length * length, rounds * length),
                (pairs.values().collect(), length * (length - 1), rounds * (length - 1)),
            ] {
                let expected = total as f64 / cells as f64;
                let difference = |&&count: &&u32| (f64::from(count) - expected).powi(2);
                let chi: f64 = counts.iter().map(difference).sum::<f64>() / expected;
                assert_eq!(counts.len() as u64, cells, "{length}");
                let degrees = cells as f64;
                assert!((chi - degrees).abs() < 6.0 * (2.0 * degrees).sqrt(), "{length}: {chi}");
            }
        }
    }

    /// Even and odd permutations, and numbers of cycles, as in true shuffles.
    #[test]
    fn signs_and_cycles_are_those_of_true_shuffles() {
        for length in [9_u64, 24, 25, 81, 100] {
            let (mut odd, mut cycles, rounds) = (0_u32, 0_u64, 4_000);
            for epoch in 0..rounds {
                let numbers = all(length, 5, epoch);
                let mut seen = vec![false; numbers.len()];
                let mut found = 0;
                for start in 0..numbers.len() {
                    found += u64::from(!seen[start]);
                    let mut at = start;
                    while !std::mem::replace(&mut seen[at], true) {
                        at = numbers[at] as usize;
                    }
                }
                cycles += found;
                odd += u32::from((length - found) % 2 == 1);
            }
            let share = f64::from(odd) / rounds as f64;
            assert!((share - 0.5).abs() < 0.04, "{length}: {share} odd");
            let harmonic: f64 = (1..=length).map(|k| 1.0 / k as f64).sum();
            let mean = cycles as f64 / rounds as f64;
            assert!((mean - harmonic).abs() < 0.15, "{length}: {mean} for {harmonic}");
        }
    }
}
