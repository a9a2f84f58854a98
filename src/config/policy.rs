//! Knobs that decide how the loader goes about it, and not what a row holds:
//! order, failures, the cache, limits; in the words that the builder, the command
//! line and the JSON reports share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::words::words;

/// Whether batches follow the source's order. Ordered output is byte-identical
/// for any number of threads; unordered output of an epoch is the same set of
/// samples in the order in which they became ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// In the plan's order; a slow sample holds back the ones behind it, up to
    /// the prefetch depth.
    #[default]
    Ordered,
    /// As samples become ready; a slow sample holds back nothing.
    Unordered,
}

words!(Order, "order" { Ordered = "ordered", Unordered = "unordered" });

/// What becomes of the last batch of an epoch when the samples do not fill it.
/// Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastBatch {
    /// It is delivered short.
    #[default]
    Keep,
    /// It is not delivered, and its samples are not read.
    Drop,
    /// It is filled with samples from the epoch's beginning, which say so
    /// ([`Sample::is_padding`](crate::Sample::is_padding)).
    Pad,
}

words!(LastBatch, "last_batch" { Keep = "keep", Drop = "drop", Pad = "pad" });

/// How many samples of one epoch may fail before the run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Budget {
    /// Any number.
    #[default]
    Unlimited,
    /// At most so many samples.
    Count(u64),
    /// At most this fraction of the epoch's samples, in `0.0..=1.0`. It is judged
    /// from the first failure on, as soon as the walk has ended and the number
    /// of samples is known.
    Fraction(f64),
}

impl Budget {
    /// The number of failures that `planned` samples may have; `None` when
    /// there is no bound.
    pub(crate) fn allowed(self, planned: u64) -> Option<u64> {
        match self {
            Budget::Unlimited => None,
            Budget::Count(count) => Some(count),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss
            )]
            Budget::Fraction(fraction) => Some((fraction * planned as f64).floor() as u64),
        }
    }

    pub(crate) fn needs_length(self) -> bool {
        matches!(self, Budget::Fraction(_))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Unlimited => f.write_str("unlimited"),
            Budget::Count(count) => write!(f, "{count}"),
            Budget::Fraction(fraction) => write!(f, "{}%", fraction * 100.0),
        }
    }
}

impl FromStr for Budget {
    type Err = crate::Error;

    /// `20` is a count, `0.5%` a fraction, `unlimited` no bound.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.strip_suffix('%') {
            _ if text == "unlimited" => Some(Budget::Unlimited),
            Some(percent) => {
                percent.trim().parse::<f64>().ok().map(|percent| Budget::Fraction(percent / 100.0))
            }
            None => text.parse().ok().map(Budget::Count),
        };
        parsed.ok_or_else(|| {
            crate::Error::config(
                "max_failures",
                text,
                "expected a count (20), a share (0.5%) or unlimited",
            )
        })
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to do about a sample that fails. Changes results only where samples
/// fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnError {
    /// The iterator yields the error, before the batch that lacks the sample;
    /// calling `next` again goes on.
    #[default]
    Fail,
    /// The sample is left out, counted and named, within `max_failures`.
    /// Ordered, its batch is shorter by one and no other batch changes: one of
    /// which every sample failed does not come, and the others keep their
    /// numbers. Unordered, later samples fill the place.
    Skip {
        /// How many samples of an epoch may be left out.
        max_failures: Budget,
    },
    /// Another sample takes its place, drawn by a function of seed, epoch,
    /// position and attempt, so every batch keeps its size and every run with
    /// the same failures its content.
    Replace {
        /// How many substitutes are tried for one place before the run ends;
        /// at least 1, 8 by default.
        attempts: u32,
        /// How many samples of an epoch may be replaced; every failed
        /// substitute counts too.
        max_failures: Budget,
    },
}

impl OnError {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["fail", "skip", "replace"];

    /// [`OnError::Skip`] without a bound.
    #[must_use]
    pub fn skip() -> Self {
        OnError::Skip { max_failures: Budget::Unlimited }
    }

    /// [`OnError::Replace`] with 8 attempts a place and no bound on places.
    #[must_use]
    pub fn replace() -> Self {
        OnError::Replace { attempts: 8, max_failures: Budget::Unlimited }
    }

    /// The same policy with another budget; [`OnError::Fail`] has none and
    /// stays as it is.
    #[must_use]
    pub fn max_failures(self, budget: Budget) -> Self {
        match self {
            OnError::Fail => OnError::Fail,
            OnError::Skip { .. } => OnError::Skip { max_failures: budget },
            OnError::Replace { attempts, .. } => {
                OnError::Replace { attempts, max_failures: budget }
            }
        }
    }

    pub(crate) fn budget(self) -> Budget {
        match self {
            OnError::Fail => Budget::Unlimited,
            OnError::Skip { max_failures } | OnError::Replace { max_failures, .. } => max_failures,
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            OnError::Fail => "fail",
            OnError::Skip { .. } => "skip",
            OnError::Replace { .. } => "replace",
        })
    }
}

impl FromStr for OnError {
    type Err = crate::Error;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "fail" => Ok(OnError::Fail),
            "skip" => Ok(OnError::skip()),
            "replace" => Ok(OnError::replace()),
            _ => Err(crate::Error::config(
                "on_error",
                word,
                format!("expected one of {}", Self::WORDS.join(", ")),
            )),
        }
    }
}

impl Serialize for OnError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where decoded pixels are kept, so that later epochs need not read and decode
/// again. Changes only speed and memory.
///
/// Kept are the final 8-bit levels, so batches are byte-identical to those of a
/// loader without a cache, whatever the element type. Where not all samples fit
/// the limit, the first in the source's order are kept and the others decoded in
/// every epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cache {
    /// Nowhere: every epoch reads and decodes.
    #[default]
    None,
    /// In memory, for as long as the loader lives. A sample that changes
    /// meanwhile is served as it was.
    Memory {
        /// At most so many bytes; part of the memory bound.
        limit: u64,
    },
    /// In one file below a folder, which later runs with the same source (or side of its
    /// split) and the same pixels use again, several at a time. Samples that have changed since,
    /// by size or time of change, are decoded anew, and so is whatever is
    /// damaged. Each run looks at each sample once.
    ///
    /// A run that has something to add, or finds that a sample has changed,
    /// writes the file once more, beside the one that is there: meanwhile the
    /// folder holds up to twice `limit`, and up to `limit` more for every further
    /// process that adds at that moment. Files of other configurations and of
    /// other versions of this library are left alone and never removed; whoever
    /// does not need them deletes them by hand.
    Disk {
        /// The folder, made if it is not there; several configurations can share
        /// it, each with a file of its own.
        dir: PathBuf,
        /// At most so many bytes in that file, and in each copy that is being
        /// completed.
        limit: u64,
    },
}

impl Cache {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["none", "memory", "disk"];

    /// [`Cache::Memory`] of at most `limit` bytes.
    #[must_use]
    pub fn memory(limit: u64) -> Self {
        Cache::Memory { limit }
    }

    /// [`Cache::Disk`] in `dir`, of at most `limit` bytes; up to twice as many,
    /// and more with several processes, while the file is completed.
    #[must_use]
    pub fn disk(dir: impl Into<PathBuf>, limit: u64) -> Self {
        Cache::Disk { dir: dir.into(), limit }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cache::None => f.write_str("none"),
            Cache::Memory { limit } => write!(f, "memory:{limit}"),
            Cache::Disk { dir, limit } => write!(f, "disk:{}:{limit}", dir.display()),
        }
    }
}

impl FromStr for Cache {
    type Err = crate::Error;

    /// `none`, `memory:BYTES` or `disk:DIR:BYTES`, the bytes as a plain number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = |bytes: &str| bytes.trim().parse::<u64>().ok();
        let parsed = match text.split_once(':') {
            None if text == "none" => Some(Cache::None),
            Some(("memory", limit)) => bytes(limit).map(Cache::memory),
            Some(("disk", rest)) => rest
                .rsplit_once(':')
                .and_then(|(dir, limit)| bytes(limit).map(|limit| Cache::disk(dir, limit))),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let reason = "expected none, memory:BYTES, or disk:DIR:BYTES";
            crate::Error::config("cache", text, reason)
        })
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one sample may cost before it is refused; each is checked before the
/// memory is taken. A sample over a limit fails with
/// [`CauseKind::Limit`](crate::CauseKind::Limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Encoded bytes of one file. Default 256 MiB.
    pub max_file_bytes: u64,
    /// Pixels (width times height) of one picture. Default 100 million.
    pub max_pixels: u64,
    /// Pixels of one side. Default 65,535.
    pub max_side: u32,
    /// Scans of a progressive JPEG; a small file with thousands of scans costs
    /// minutes. Default 100.
    pub max_scans: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_file_bytes: 256 << 20,
            max_pixels: 100_000_000,
            max_side: 65_535,
            max_scans: 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for word in ["unlimited", "20", "0.5%"] {
            assert_eq!(word.parse::<Budget>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn a_fraction_allows_its_floor() {
        assert_eq!(Budget::Fraction(0.5).allowed(5), Some(2));
        assert_eq!(Budget::Count(3).allowed(1), Some(3));
        assert_eq!(Budget::Unlimited.allowed(1), None);
    }

    #[test]
    fn policies_and_their_budgets() {
        for word in OnError::WORDS {
            assert_eq!(word.parse::<OnError>().unwrap().to_string(), *word);
        }
        assert_eq!("drop".parse::<OnError>().unwrap_err().field(), Some("on_error"));
        let few = Budget::Count(3);
        for (policy, with, then) in [
            (OnError::Fail, OnError::Fail, Budget::Unlimited),
            (OnError::skip(), OnError::Skip { max_failures: few }, few),
            (OnError::replace(), OnError::Replace { attempts: 8, max_failures: few }, few),
        ] {
            assert_eq!(policy.max_failures(few), with);
            assert_eq!(with.budget(), then);
            assert_eq!(policy.budget(), Budget::Unlimited);
        }
        assert_eq!(format!("[{:>6}]", OnError::Fail), "[  fail]", "columns stay columns");
        for (budget, needs) in
            [(Budget::Unlimited, false), (few, false), (Budget::Fraction(0.1), true)]
        {
            assert_eq!(budget.needs_length(), needs);
        }
        for (word, budget) in [("0.5%", Budget::Fraction(0.005)), (" 50 %", Budget::Fraction(0.5))]
        {
            assert_eq!(word.parse::<Budget>().unwrap(), budget);
        }
        for wrong in ["", "%", "x", "-1", "1.5"] {
            assert_eq!(wrong.parse::<Budget>().unwrap_err().field(), Some("max_failures"));
        }
    }

    #[test]
    fn caches_have_words() {
        for (word, cache) in [
            ("none", Cache::None),
            ("memory:1000", Cache::memory(1_000)),
            ("disk:a:b:1000", Cache::disk("a:b", 1_000)),
        ] {
            assert_eq!(word.parse::<Cache>().unwrap(), cache);
            assert_eq!(cache.to_string(), word);
        }
        for wrong in ["", "memory", "memory:", "disk:a", "disk:1000", "tape:1", "none:1"] {
            assert_eq!(wrong.parse::<Cache>().unwrap_err().field(), Some("cache"), "{wrong}");
        }
    }

    #[test]
    fn what_reports_say_is_what_can_be_set() {
        let said = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        assert_eq!(said(serde_json::to_value(Budget::Count(7)).unwrap()), "7");
        assert_eq!(said(serde_json::to_value(OnError::replace()).unwrap()), "replace");
        assert_eq!(said(serde_json::to_value(Cache::memory(5)).unwrap()), "memory:5");
    }

    #[test]
    fn limits_are_as_documented() {
        let Limits { max_file_bytes, max_pixels, max_side, max_scans } = Limits::default();
        assert_eq!((max_file_bytes, max_pixels), (268_435_456, 100_000_000));
        assert_eq!((max_side, max_scans), (65_535, 100));
    }
}
