//! Drawing with replacement, each sample as often as its weight says, in
//! constant time: the alias method (Walker 1977, in the form of Vose 1991).

use crate::digest::hash_words;
use crate::random::{Draws, purpose};

/// 12 bytes a sample.
#[derive(Debug)]
pub(crate) struct Alias {
    /// How much of a sample's column is its own; the rest is another's.
    own: Box<[f64]>,
    other: Box<[u32]>,
    weights_hash: u64,
}

impl Alias {
    /// Of weights that are finite, not negative, and not all zero; fewer than
    /// 2^32 of them.
    pub(crate) fn new(weights: &[f64]) -> Self {
        // By the largest first, so that no sum overflows.
        let largest = weights.iter().fold(0.0, |largest: f64, &weight| largest.max(weight));
        let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
        let scale = weights.len() as f64 / sum;
        let mut own: Box<[f64]> = weights.iter().map(|weight| weight / largest * scale).collect();
        let mut other: Box<[u32]> = (0..weights.len() as u32).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..weights.len() as u32).partition(|&at| own[at as usize] < 1.0);
        while let (Some(&little), Some(&much)) = (small.last(), large.last()) {
            small.pop();
            let rest = own[much as usize] - (1.0 - own[little as usize]);
            other[little as usize] = much;
            own[much as usize] = rest;
            if rest < 1.0 {
                large.pop();
                small.push(much);
            }
        }
        // What is left has its own column but for rounding, which must not bring
        // back a sample of no weight.
        let heaviest = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        for at in small.into_iter().chain(large) {
            match weights[at as usize] > 0.0 {
                true => own[at as usize] = 1.0,
                false => {
                    own[at as usize] = 0.0;
                    other[at as usize] = heaviest.unwrap_or_default() as u32;
                }
            }
        }
        let weights_hash = hash_words(weights.iter().map(|weight| weight.to_le_bytes()));
        Alias { own, other, weights_hash }
    }

    pub(crate) fn weights_hash(&self) -> u64 {
        self.weights_hash
    }

    /// The sample at `position`.
    pub(crate) fn at(&self, seed: u64, epoch: u64, position: u64) -> u64 {
        let mut draws = Draws::new(&[seed, epoch, position, purpose::WEIGHTED]);
        let column = draws.below(self.own.len() as u64) as usize;
        match draws.unit() < self.own[column] {
            true => column as u64,
            false => u64::from(self.other[column]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]
        /// The columns hold each sample's share exactly.
        #[test]
        fn columns_add_up_to_the_weights(
            weights in proptest::collection::vec(0.0_f64..1e6, 1..40), scale in 1e-300_f64..1e300,
        ) {
            let weights: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
            prop_assume!(weights.iter().any(|&weight| weight > 0.0));
            let alias = Alias::new(&weights);
            let mut shares = vec![0.0; weights.len()];
            for (at, (&own, &other)) in alias.own.iter().zip(&alias.other).enumerate() {
                shares[at] += own;
                shares[other as usize] += 1.0 - own;
            }
            let largest = weights.iter().fold(0.0, |a: f64, &b| a.max(b));
            let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
            for (share, weight) in shares.iter().zip(&weights) {
                let expected = weight / largest / sum * weights.len() as f64;
                prop_assert!((share - expected).abs() < 1e-9, "{share} for {expected}");
            }
        }
    }

    #[test]
    fn samples_come_as_often_as_their_weights_say() {
        let weights = [1.0, 0.0, 2.0, 5.0];
        let alias = Alias::new(&weights);
        let mut counts = [0_u32; 4];
        for position in 0..80_000 {
            counts[alias.at(1, 2, position) as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, weight) in counts.iter().zip(weights) {
            let expected = weight * 10_000.0;
            assert!(
                (f64::from(*count) - expected).abs() < 5.0 * expected.sqrt() + 1.0,
                "{counts:?}"
            );
        }
    }
}
