//! Going on where an earlier run stood.
//!
//! ```text
//! state      what is kept after each batch; written by the user, by serde
//! tracker    how the consumer comes by it, batch after batch
//! check      states and the source as it is now -> what is left of the epoch
//! listing    the source as it was, to name what has changed
//! ```

mod check;
mod listing;
#[cfg(test)]
mod refusal_tests;
mod state;
#[cfg(test)]
mod tests;
mod tracker;

use std::path::{Path, PathBuf};

pub(crate) use check::begun;
pub(crate) use listing::save as save_listing;
pub use state::State;
pub(crate) use tracker::Tracker;

/// From where a loader goes on: one [`State`], or those of all ranks.
///
/// One is enough where the loader has as many ranks as the state, or where all
/// ranks stood at the same batch, ordered. Otherwise give the states of all
/// ranks, in any order, to every rank: also where the [`Digest`](crate::Digest) of the
/// whole epoch is wanted, for one rank's state knows only of its own samples.
///
/// The number of samples that failed, which a budget limits, is a rank's own, and
/// begins anew where the ranks become others.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Changed, Loader, Resume};
///
/// # let mut states = Vec::new();
/// # for rank in 0..2 {
/// #     let mut loader = Loader::folder(&photos).size(32, 32).batch_size(2).shard(rank, 2).build()?;
/// #     states.push(loader.epoch(0)?.next().unwrap()?.state());
/// # }
/// // Two ranks stood somewhere; three go on.
/// let resume = Resume::from_all(states).allow_changed(Changed::RestartEpoch);
/// let mut loader =
///     Loader::folder(&photos).size(32, 32).batch_size(2).shard(0, 3).resume(resume).build()?;
/// for number in loader.first_epoch()..3 {
///     for batch in loader.epoch(number)? {
///         batch?;
///     }
/// }
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resume {
    states: Vec<State>,
    listing: Option<PathBuf>,
    changed: Option<Changed>,
}

/// How a run goes on whose source has other samples than when its state was
/// saved: every order is another then, so the epoch cannot go on where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Changed {
    /// The epoch that was under way begins again, with the samples that there are now.
    /// Those that it had delivered come again.
    RestartEpoch,
    /// The next epoch begins, with the samples that there are now. Those that were
    /// left of the one under way do not come in it.
    NextEpoch,
}

impl From<State> for Resume {
    fn from(state: State) -> Self {
        Resume::from_all([state])
    }
}

impl From<Vec<State>> for Resume {
    fn from(states: Vec<State>) -> Self {
        Resume::from_all(states)
    }
}

impl Resume {
    /// From the states of all ranks.
    #[must_use]
    pub fn from_all(states: impl IntoIterator<Item = State>) -> Self {
        Resume { states: states.into_iter().collect(), listing: None, changed: None }
    }

    /// A file that [`Loader::save_listing`](crate::Loader::save_listing) wrote
    /// beside the state. Where the source has changed, the error then names what
    /// was added and removed.
    #[must_use]
    pub fn listing(mut self, file: impl AsRef<Path>) -> Self {
        self.listing = Some(file.as_ref().to_owned());
        self
    }

    /// How many samples had been listed, where the state was saved before the end of
    /// the walk.
    pub(crate) fn listed(&self) -> Option<u64> {
        let source = self.states.first()?.source;
        (!source.complete).then_some(source.samples)
    }

    /// How to go on where the source has changed. Without it, that is refused.
    #[must_use]
    pub fn allow_changed(mut self, changed: Changed) -> Self {
        self.changed = Some(changed);
        self
    }
}
