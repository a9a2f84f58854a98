//! What is kept of a run so that another can go on.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Order, Resolved, Sampling, Shard, Weights};
use crate::digest::{Digest, hash_words, read_hex, write_hex};
use crate::error::{Error, Result};
use crate::plan::Remaining;
use crate::source::Print;
use crate::unfinished::Unfinished;

/// The form of what is written; another when it changes.
pub(super) const VERSION: u32 = 1;

/// Where a run stands after a batch: small, to be kept beside the model, in a file of
/// its own ([`save`](Self::save)) or by serde in any other form. [`LoaderBuilder::resume`](crate::LoaderBuilder::resume)
/// goes on with exactly the next sample, without reading what was consumed.
///
/// Ordered, it is a few hundred bytes. Unordered, samples that overtook others leave
/// gaps, which are listed: mostly far fewer than the `prefetch * batch_size` that are
/// under way at once.
///
/// ```
/// # let photos = infeed::doc::photos();
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("state.json");
/// use infeed::{Loader, State};
///
/// let builder = || Loader::folder(&photos).size(32, 32).batch_size(4).shuffle(7);
/// let mut loader = builder().build()?;
/// let batch = loader.epoch(0)?.next().unwrap()?;
/// batch.state().save(&file)?;
///
/// // In another process, with other threads or another batch size.
/// let mut loader = builder().batch_size(2).resume(State::load(&file)?).build()?;
/// let batch = loader.epoch(loader.first_epoch())?.next().unwrap()?;
/// assert_eq!(batch.samples()[0].position(), 4);
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(super) version: u32,
    pub(super) epoch: u64,
    pub(super) position: u64,
    pub(super) batches: u64,
    pub(super) failed: u64,
    /// This rank has nothing left of the epoch.
    pub(super) ended: bool,
    pub(super) seed: u64,
    pub(super) sampling: String,
    /// Of all weights that it drew by; 0 without any.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub(super) weights: u64,
    /// [`Order::Unordered`] also where only a part of the epoch was.
    pub(super) order: Order,
    pub(super) batch_size: usize,
    /// Turns that were done before batches had this size.
    pub(super) batched_from: u64,
    pub(super) shard: Shard,
    /// Positions of the epoch that were left when the ranks became as many as
    /// `shard` says.
    pub(super) positions: Remaining,
    /// Of those that are this rank's, the turns that are left.
    pub(super) turns: Remaining,
    pub(super) digest: Digest,
    pub(super) source: Print,
}

/// What all versions of a state have.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl State {
    /// Of a loader that has done nothing yet.
    pub(super) fn new(config: &Resolved) -> Self {
        let Resolved { seed, order, batch_size, shard, .. } = *config;
        State {
            version: VERSION,
            epoch: 0,
            position: 0,
            batches: 0,
            failed: 0,
            ended: false,
            seed,
            sampling: sampling_words(config),
            weights: 0,
            order,
            batch_size,
            batched_from: 0,
            shard,
            positions: Remaining::default(),
            turns: Remaining::default(),
            digest: Digest::default(),
            source: Print::default(),
        }
    }

    /// Writes it to a file as JSON. The file is whole at any moment: a process that
    /// is killed leaves the state before, or this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System), with the path, where the file
    /// cannot be written.
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        let mut file = Unfinished::unique(file.as_ref().to_owned())?;
        let json = serde_json::to_vec_pretty(self).map_err(|error| file.failed(error))?;
        file.writer.write_all(&json).map_err(|error| file.failed(error))?;
        file.replace()
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Resume`](crate::ErrorKind::Resume), with the path, where there is
    /// no state in the file.
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let wrong = |error: &dyn std::fmt::Display| {
            Error::resume(format!(
                "{}: no state can be read: {error}. Give a file that a state was saved to",
                file.display()
            ))
        };
        let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            // A state of another version may have other parts.
            let version = serde_json::from_slice::<Versioned>(&bytes).map(|state| state.version);
            match version.is_ok_and(|version| version != VERSION) {
                true => wrong(&"another version of infeed has saved it"),
                false => wrong(&error),
            }
        })
    }

    /// The epoch that is under way.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How much of the epoch's global order has been consumed, in samples of all
    /// ranks, if all stand at the same batch.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Batches of the epoch up to here on this rank, one of which every sample failed
    /// included.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Samples of the epoch that failed on this rank.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Which part of the epoch the run takes.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Which samples were delivered in the epoch so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What of the sampling decides the order, in words; many weights as a hash.
pub(super) fn sampling_words(config: &Resolved) -> String {
    let Sampling::Weighted { weights, samples } = &config.sampling else {
        return config.sampling.to_string();
    };
    let kind = match weights {
        Weights::Balanced => "balanced",
        Weights::Classes(_) => "classes",
        Weights::Samples(_) => "samples",
    };
    let hash = hash_words(weights.given().iter().map(|weight| weight.to_le_bytes()));
    let samples = samples.map(|samples| format!(":{samples}")).unwrap_or_default();
    format!("weighted:{kind}:{hash:016x}{samples}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, numbered, stood};
    use super::*;
    use crate::config::Uneven;
    use crate::error::ErrorKind;

    fn state() -> State {
        let config = config(Shard { rank: 1, world: 2 }, Order::Ordered, Uneven::Pad);
        let stood = stood(&config, 5, false, &numbered(30));
        let mut digest = Digest::default();
        digest.add(Path::new("a.jpg"));
        State { epoch: 4, position: 10, batches: 3, failed: 2, seed: 9, digest, ..stood }
    }

    #[test]
    fn a_file_gives_back_what_was_saved() {
        let (state, folder) = (state(), tempfile::tempdir().unwrap());
        let file = folder.path().join("state.json");
        State { epoch: 3, ..state.clone() }.save(&file).unwrap();
        state.save(&file).unwrap();
        let loaded = State::load(&file).unwrap();
        assert_eq!(loaded, state);
        assert_eq!((loaded.epoch(), loaded.batches(), loaded.failed()), (4, 3, 2));
        assert_eq!((loaded.seed(), loaded.shard()), (9, Shard { rank: 1, world: 2 }));
        assert_eq!((loaded.position(), loaded.digest()), (10, state.digest));
        // Nothing lies beside it.
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_a_state_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let told = || {
            let error = State::load(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resume);
            assert!(error.to_string().contains("state.json"), "{error}");
            error.to_string()
        };
        assert!(told().contains("no state can be read"));
        let whole = serde_json::to_string(&state()).unwrap();
        for (json, why) in [
            (r#"{"version":2,"of":"another form"}"#, "another version of infeed has saved it"),
            (r#"{"version":1,"of":"another form"}"#, "missing field `epoch`"),
            (&whole[..whole.len() - 1], "EOF"),
            ("", "EOF"),
        ] {
            std::fs::write(&file, json).unwrap();
            let told = told();
            assert!(told.contains(why), "{json}: {told}");
        }
    }
}
