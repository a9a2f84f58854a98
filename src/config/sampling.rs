//! Knobs that decide which samples an epoch has, in which order: the same on
//! every rank.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::Error;

/// Which samples an epoch has, in which order. Changes results.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Sampling {
    /// Every sample once, in the source's order. Streams while the walk goes on.
    #[default]
    Sequential,
    /// Every sample once, in an order that is a true permutation of all of them,
    /// another for every epoch and seed. It is computed, not stored, so that any
    /// number of samples takes no memory. Starts when the walk has ended.
    Shuffle,
    /// Samples drawn independently of each other, each as often as its weight
    /// says: some come several times and some not at all, as in PyTorch's
    /// `WeightedRandomSampler` with replacement. Starts when the walk has ended;
    /// takes 12 bytes a sample.
    Weighted {
        /// How often each is drawn.
        weights: Weights,
        /// Samples of an epoch; `None` has as many as the source.
        samples: Option<u64>,
    },
}

impl Sampling {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["sequential", "shuffle", "weighted"];
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sampling::Sequential => f.write_str("sequential"),
            Sampling::Shuffle => f.write_str("shuffle"),
            Sampling::Weighted { weights, samples: None } => write!(f, "weighted:{weights}"),
            Sampling::Weighted { weights, samples: Some(samples) } => {
                write!(f, "weighted:{weights}:{samples}")
            }
        }
    }
}

impl FromStr for Sampling {
    type Err = Error;

    /// `sequential`, `shuffle`, `weighted:balanced`, or `weighted:1,2,5` with a
    /// weight for each class; either with the number of samples of an epoch
    /// behind it (`weighted:balanced:10000`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            None if text == "sequential" => Some(Sampling::Sequential),
            None if text == "shuffle" => Some(Sampling::Shuffle),
            Some(("weighted", rest)) => match rest.split_once(':') {
                None => Weights::parse(rest)
                    .map(|weights| Sampling::Weighted { weights, samples: None }),
                Some((weights, samples)) => {
                    Weights::parse(weights).zip(samples.parse().ok()).map(|(weights, samples)| {
                        Sampling::Weighted { weights, samples: Some(samples) }
                    })
                }
            },
            _ => None,
        };
        parsed.ok_or_else(|| {
            let reason = "expected sequential, shuffle, weighted:balanced, or weighted:W0,W1,.. \
                          with a weight for each class; behind a weighted one, the samples of an \
                          epoch (weighted:balanced:10000)";
            Error::config("sampling", text, reason)
        })
    }
}

impl Serialize for Sampling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How often a sample is drawn, relative to the others. Only the ratios of
/// weights count; a sample of weight 0 is never drawn.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Weights {
    /// Every class as often as every other, whatever its number of samples.
    Balanced,
    /// A weight for each sample of a class, by the class's number.
    Classes(Arc<[f64]>),
    /// A weight for each sample, by its index in the source's order.
    Samples(Arc<[f64]>),
}

impl Weights {
    /// [`Weights::Classes`] of these.
    pub fn classes(weights: impl Into<Arc<[f64]>>) -> Self {
        Weights::Classes(weights.into())
    }

    /// [`Weights::Samples`] of these.
    pub fn samples(weights: impl Into<Arc<[f64]>>) -> Self {
        Weights::Samples(weights.into())
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "balanced" {
            return Some(Weights::Balanced);
        }
        let weights = text.split(',').map(|weight| weight.trim().parse().ok());
        weights.collect::<Option<Vec<f64>>>().map(Weights::classes)
    }

    /// The weights as they were given; none of [`Weights::Balanced`].
    pub(crate) fn given(&self) -> &[f64] {
        match self {
            Weights::Balanced => &[],
            Weights::Classes(weights) | Weights::Samples(weights) => weights,
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weights::Balanced => f.write_str("balanced"),
            Weights::Classes(weights) => {
                let words: Vec<String> = weights.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(","))
            }
            Weights::Samples(weights) => write!(f, "[{} weights]", weights.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for word in [
            "sequential",
            "shuffle",
            "weighted:balanced",
            "weighted:balanced:500",
            "weighted:1,0.5,2",
            "weighted:1,0.5:10",
        ] {
            assert_eq!(word.parse::<Sampling>().unwrap().to_string(), word);
        }
        for wrong in ["", "random", "weighted", "weighted:", "weighted:a", "weighted:1:x"] {
            assert_eq!(wrong.parse::<Sampling>().unwrap_err().field(), Some("sampling"), "{wrong}");
        }
    }

    #[test]
    fn weights_are_given_and_told() {
        assert_eq!(Weights::Balanced.given(), [0.0; 0]);
        assert_eq!(Weights::classes([1.0, 0.5]).given(), [1.0, 0.5]);
        let samples = Weights::samples([1.0, 0.5, 2.0]);
        assert_eq!(samples.given(), [1.0, 0.5, 2.0]);
        assert_eq!(samples.to_string(), "[3 weights]");
        let weights = Weights::parse(" 1, 0.5");
        assert_eq!(weights, Some(Weights::classes([1.0, 0.5])));
        let sampling = Sampling::Weighted { weights: Weights::Balanced, samples: Some(9) };
        assert_eq!(serde_json::to_value(sampling).unwrap(), "weighted:balanced:9");
    }
}
