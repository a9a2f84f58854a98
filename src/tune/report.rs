//! What was found, for programs and for people.

use serde::Serialize;

use super::ceilings::Ceilings;
use super::{Choice, Measured, Recommendation};
use crate::stats::Timeline;

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Confidence {
    /// What was recommended was run and came to within a tenth of what was
    /// predicted, and nothing disturbed it.
    High,
    /// It was run and came to within a fifth, or something disturbed it.
    Fair,
    /// It was not run, or came to something else.
    Low,
}

/// What a choice is predicted to come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Predicted {
    /// Images a second.
    pub images_per_second: f64,
    /// The part of its time that the consumer would wait.
    pub wait: f64,
    /// Cores that decoding would use, on average.
    pub cores: f64,
}

/// A choice, what it is predicted to come to, and what it came to if it was run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tried {
    /// The choice.
    #[serde(flatten)]
    pub choice: Choice,
    /// By the ceilings, before it was run.
    pub predicted: Predicted,
    /// By the trial; if there were several, the middle one by the consumer's wait.
    pub measured: Option<Measured>,
    /// The most memory that the loader can take with it, in bytes.
    pub memory_bytes: u64,
    /// The part of that which is for batches.
    pub batches_bytes: u64,
}

/// The levels of the queues over time in two trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timelines {
    /// What was recommended.
    pub best: Timeline,
    /// The one of those that were run in which the consumer waited most, and what
    /// it was.
    pub worst: Timeline,
    /// What that one was.
    pub worst_choice: Option<Choice>,
}

/// What the search would have recommended, beside the best of all settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Searched {
    /// What the search recommended by itself.
    pub choice: Choice,
    /// After how many seconds.
    pub seconds: f64,
    /// How many steps of the grid lie between it and the best, in the respect in
    /// which they are furthest apart.
    pub notches: usize,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of infeed.
    pub version: &'static str,
    /// Where the samples come from.
    pub source: String,
    /// How many there are, once they have all been listed.
    pub samples: Option<u64>,
    /// Samples in a batch.
    pub batch_size: usize,
    /// One image in words: size, element type, layout.
    pub image: String,
    /// Cores that could be used.
    pub cores: usize,
    /// How long the consumer is away with a batch, in seconds.
    pub step_seconds: f64,
    /// Images a second that it would take if it never waited.
    pub demand: f64,
    /// The part of its time that it may wait.
    pub wait_target: f64,
    /// The memory limit that every setting kept to, in bytes.
    pub memory_limit: Option<u64>,
    /// What the parts reach alone.
    pub ceilings: Ceilings,
    /// Every choice.
    pub settings: Vec<Tried>,
    /// What to set.
    pub recommendation: Recommendation,
    /// The same as in `settings`.
    pub recommended: Tried,
    /// The verdict in words.
    pub verdict: String,
    /// How sure that is.
    pub confidence: Confidence,
    /// What disturbed it, or is to be known.
    pub warnings: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many settings were run.
    pub trials: usize,
    /// With [`exhaustive`](super::Tune::exhaustive), what was found without.
    pub searched: Option<Searched>,
    /// What happened in two of them.
    pub timelines: Timelines,
}
