//! What is left of a row of positions of which a part has been done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The positions that are left of `0..end`, in order: a few that were left out,
/// and all from `mark` on. The end is said by whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub(crate) struct Remaining {
    mark: u64,
    /// Ascending, below `mark`.
    missing: Arc<[u64]>,
}

/// How it is written: a rank that is behind the others misses every so many
/// positions, which is one run of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    mark: u64,
    /// From one position of a run to the next, at least 1.
    step: u64,
    /// The first of each run, and how many it has.
    missing: Vec<(u64, u64)>,
}

/// More ranks than that are not looked for.
const LARGEST_STEP: u64 = 1 << 16;

/// Ranks that are behind, of which as many are looked for.
const BEHIND: usize = 64;

/// No more can be missing in a state that was not tampered with.
const MOST_MISSING: u64 = 1 << 24;

impl From<Remaining> for Plain {
    fn from(remaining: Remaining) -> Self {
        let missing = &remaining.missing[..];
        // The step is how far it is from a position to the next of the same rank. Where
        // there is little to shorten it is not looked for.
        let looked_at = if missing.len() < 8 { 0 } else { BEHIND.min(missing.len() - 1) };
        let others = missing.iter().skip(1).take(looked_at).map(|other| other - missing[0]);
        let steps = std::iter::once(1).chain(others.filter(|step| *step <= LARGEST_STEP));
        let runs = steps.map(|step| (step, runs(missing, step)));
        let (step, missing) = runs.min_by_key(|(_, runs)| runs.len()).unwrap_or((1, Vec::new()));
        Plain { mark: remaining.mark, step, missing }
    }
}

/// `positions`, which ascend, as runs that advance by `step`.
fn runs(positions: &[u64], step: u64) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    // The run of each remainder that may go on.
    let mut last = vec![usize::MAX; step as usize];
    for &position in positions {
        let run = &mut last[(position % step) as usize];
        match runs.get_mut(*run) {
            Some((first, count)) if *first + *count * step == position => *count += 1,
            _ => {
                *run = runs.len();
                runs.push((position, 1));
            }
        }
    }
    runs
}

impl TryFrom<Plain> for Remaining {
    type Error = &'static str;

    fn try_from(Plain { mark, step, missing }: Plain) -> Result<Self, Self::Error> {
        let count = missing.iter().try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count));
        if count.is_none_or(|count| count > MOST_MISSING) {
            return Err("more positions are missing than can be");
        }
        let end = |(first, count): &(u64, u64)| {
            let last = count.checked_sub(1)?.checked_mul(step)?.checked_add(*first)?;
            (last < mark).then_some(last)
        };
        if step == 0 || missing.iter().any(|run| end(run).is_none()) {
            return Err("missing positions must lie below the mark");
        }
        let positions = |(first, count)| (0..count).map(move |at| first + at * step);
        let mut missing: Vec<u64> = missing.into_iter().flat_map(positions).collect();
        missing.sort_unstable();
        match missing.is_sorted_by(|a, b| a < b) {
            true => Ok(Remaining { mark, missing: missing.into() }),
            false => Err("a position is missing twice"),
        }
    }
}

impl Remaining {
    /// All from `mark` on, and `missing`, which ascend and lie below it.
    pub(crate) fn new(mark: u64, missing: Vec<u64>) -> Self {
        debug_assert!(missing.is_sorted_by(|a, b| a < b));
        debug_assert!(missing.last().is_none_or(|&last| last < mark));
        Remaining { mark, missing: missing.into() }
    }

    /// Nothing, whatever the end.
    pub(crate) fn nothing() -> Self {
        Remaining::new(u64::MAX, Vec::new())
    }

    /// All from here on are left.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    pub(crate) fn missing(&self) -> &[u64] {
        &self.missing
    }

    /// How many are not left.
    pub(crate) fn taken(&self) -> u64 {
        self.mark - self.missing.len() as u64
    }

    /// The position that comes after `nth` others; goes on behind any end.
    pub(crate) fn at(&self, nth: u64) -> u64 {
        let missing = self.missing.len() as u64;
        match self.missing.get(nth as usize) {
            Some(&position) if nth < missing => position,
            _ => self.mark + (nth - missing),
        }
    }

    /// How many of `0..end` are left.
    pub(crate) fn count(&self, end: u64) -> u64 {
        self.missing.len() as u64 + end.saturating_sub(self.mark)
    }

    /// What is left after the first `count` of them.
    pub(crate) fn advanced(&self, count: u64) -> Self {
        let missing = self.missing.len() as u64;
        if count < missing {
            let missing = self.missing[count as usize..].into();
            return Remaining { mark: self.mark, missing };
        }
        Remaining { mark: self.mark + (count - missing), missing: Arc::default() }
    }

    /// What is left when `done` says which of them, counted from 0, were done.
    pub(crate) fn after(&self, done: &Done) -> Self {
        let rest = self.advanced(done.mark);
        if done.gaps.is_empty() {
            return rest;
        }
        let gaps = done.gaps.iter().map(|&gap| self.at(gap));
        let missing: Vec<u64> = gaps.chain(rest.missing.iter().copied()).collect();
        Remaining::new(rest.mark, missing)
    }
}

/// Which of `0, 1, 2, ..` have been done, in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Nothing from here on has been done.
    mark: u64,
    /// Below `mark`, and not done.
    gaps: BTreeSet<u64>,
}

impl Done {
    /// All below `mark`.
    pub(crate) fn up_to(&mut self, mark: u64) {
        self.mark = mark;
        self.gaps.clear();
    }

    pub(crate) fn add(&mut self, number: u64) {
        if number < self.mark {
            self.gaps.remove(&number);
        } else {
            self.gaps.extend(self.mark..number);
            self.mark = number + 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.mark - self.gaps.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(remaining: &Remaining, end: u64) -> Vec<u64> {
        (0..remaining.count(end)).map(|nth| remaining.at(nth)).collect()
    }

    proptest! {
        /// Whatever is done, in steps, the rest is what was not done.
        #[test]
        fn what_was_done_is_what_is_not_left(
            end in 0_u64..60,
            steps in proptest::collection::vec(proptest::collection::vec(0_u64..60, 0..20), 0..4),
            counts in proptest::collection::vec(0_u64..10, 0..4),
        ) {
            let (mut left, mut remaining) = ((0..end).collect::<Vec<_>>(), Remaining::default());
            for step in steps {
                let mut done = Done::default();
                let mut numbers: Vec<u64> =
                    step.into_iter().filter(|&number| number < left.len() as u64).collect();
                numbers.iter().for_each(|&number| done.add(number));
                numbers.sort_unstable();
                numbers.dedup();
                prop_assert_eq!(done.count(), numbers.len() as u64);
                remaining = remaining.after(&done);
                for number in numbers.into_iter().rev() {
                    left.remove(number as usize);
                }
                prop_assert_eq!(listed(&remaining, end), left.clone());
            }
            for count in counts {
                let count = count.min(left.len() as u64);
                remaining = remaining.advanced(count);
                left.drain(..count as usize);
                prop_assert_eq!(listed(&remaining, end), left.clone());
            }
            let written = serde_json::to_string(&remaining).unwrap();
            prop_assert_eq!(serde_json::from_str::<Remaining>(&written).unwrap(), remaining);
        }
    }

    #[test]
    fn what_cannot_be_is_not_read() {
        for wrong in [
            r#"{"mark":3,"step":1,"missing":[[3,1]]}"#,
            r#"{"mark":3,"step":1,"missing":[[1,1],[1,1]]}"#,
            r#"{"mark":9,"step":2,"missing":[[1,4],[5,1]]}"#,
            r#"{"mark":9,"step":4,"missing":[[1,3]]}"#,
            r#"{"mark":9,"step":0,"missing":[[1,1]]}"#,
            r#"{"mark":9,"step":1,"missing":[[1,0]]}"#,
            r#"{"mark":9,"step":18446744073709551615,"missing":[[1,3]]}"#,
            r#"{"mark":18446744073709551615,"step":1,"missing":[[0,99999999999]]}"#,
            r#"{"mark":-1,"step":1,"missing":[]}"#,
            r#"{"mark":1,"step":1}"#,
            r#"{"mark":1,"step":1,"missing":[],"other":2}"#,
        ] {
            assert!(serde_json::from_str::<Remaining>(wrong).is_err(), "{wrong}");
        }
    }

    /// Of several ranks some are a few batches behind: a run for each.
    #[test]
    fn ranks_behind_others_are_a_few_runs() {
        for (world, batch) in [(7, 64), (300, 32)] {
            let behind = [(1, 2), (4, 1), (6, 5)];
            let mark = 10 * batch * world;
            let missing = |position: &u64| {
                let (turn, rank) = (position / world, position % world);
                behind.iter().any(|&(slow, batches)| rank == slow && turn >= (10 - batches) * batch)
            };
            let remaining = Remaining::new(mark, (0..mark).filter(missing).collect());
            let written = serde_json::to_string(&remaining).unwrap();
            assert!(written.len() < 100, "{written}");
            assert_eq!(serde_json::from_str::<Remaining>(&written).unwrap(), remaining);
        }
    }
}
