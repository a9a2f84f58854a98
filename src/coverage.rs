//! How often each sample comes, counted over all ranks.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::{LastBatch, Resolved, Sampling, Uneven};
use crate::error::{Error, Result};
use crate::plan::{Plan, Planned, Step};
use crate::source::{Index, Source, indexed};

/// Samples that are named of those that never come, and of those that come
/// repeatedly.
const NAMED: usize = 10;

/// How often each sample of a source comes in epochs of all ranks
/// ([`LoaderBuilder::coverage`](crate::LoaderBuilder::coverage)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// Samples of the source.
    pub samples: u64,
    /// Ranks that share an epoch.
    pub world: u32,
    /// Epoch by epoch.
    pub epochs: Vec<EpochCoverage>,
    /// Samples that an epoch leaves out, by `uneven` and `last_batch`.
    pub left_out: u64,
    /// Whether samples are drawn with replacement, so that they come as often as
    /// they come.
    pub drawn: bool,
}

/// One epoch of a [`Coverage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EpochCoverage {
    /// Its number.
    pub epoch: u64,
    /// Batches of each rank.
    pub batches: Vec<u64>,
    /// Samples that come exactly once, padding not counted.
    pub once: u64,
    /// Samples that never come.
    pub never: u64,
    /// Samples that come more than once.
    pub repeatedly: u64,
    /// Rows that only fill up.
    pub padding: u64,
    /// The first few samples that never come.
    pub never_named: Vec<PathBuf>,
    /// The first few samples that come more than once.
    pub repeatedly_named: Vec<PathBuf>,
}

impl Coverage {
    /// Whether every sample comes exactly once in every epoch, but for those that
    /// `drop` leaves out, and every rank has as many batches. Of samples drawn with
    /// replacement only the batches are judged.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.epochs.iter().all(|epoch| {
            let equal = epoch.batches.windows(2).all(|pair| pair[0] == pair[1]);
            let once = epoch.repeatedly == 0 && epoch.never == self.left_out;
            equal && (once || self.drawn)
        })
    }

    /// Counts the epochs of ranks that are configured so.
    pub(crate) fn count(
        source: &dyn Source,
        ranks: &[Resolved],
        epochs: Range<u64>,
    ) -> Result<Self> {
        let (index, samples) = indexed(source, |_| ControlFlow::Continue(()))?;
        let plans: Vec<Plan> = ranks.iter().map(Plan::new).collect();
        for plan in &plans {
            plan.prepare(&index);
            if let Some(error) = plan.error() {
                return Err(error);
            }
        }
        let Some(Resolved { uneven, last_batch, batch_size, sampling, shard, .. }) = ranks.first()
        else {
            return Err(Error::config("world", 0, "expected at least 1 rank"));
        };
        let (world, size) = (u64::from(shard.world), *batch_size as u64);
        let each = match uneven {
            Uneven::Drop => samples / world,
            Uneven::Pad => samples.div_ceil(world),
        };
        let each = match last_batch {
            LastBatch::Keep => each,
            LastBatch::Drop => each / size * size,
            LastBatch::Pad => each.next_multiple_of(size),
        };
        Ok(Coverage {
            samples,
            world: shard.world,
            epochs: epochs.map(|epoch| of_epoch(&plans, epoch, &index)).collect(),
            left_out: samples.saturating_sub(each * world),
            drawn: matches!(sampling, Sampling::Weighted { .. }),
        })
    }
}

fn of_epoch(plans: &[Plan], number: u64, index: &Index) -> EpochCoverage {
    let progress = index.progress();
    let mut times = vec![0_u32; progress.listed as usize];
    let mut coverage = EpochCoverage { epoch: number, ..EpochCoverage::default() };
    for plan in plans {
        coverage.batches.push(plan.batches_of(number, progress.listed));
        let epoch = plan.epoch(number, progress);
        for key in 0.. {
            match epoch.step(key) {
                Step::Sample(Planned { padding: true, .. }) => coverage.padding += 1,
                Step::Sample(Planned { index, .. }) => times[index as usize] += 1,
                Step::NotListed | Step::End { .. } => break,
            }
        }
    }
    for (at, times) in times.into_iter().enumerate() {
        let (count, named) = match times {
            1 => {
                coverage.once += 1;
                continue;
            }
            0 => (&mut coverage.never, &mut coverage.never_named),
            _ => (&mut coverage.repeatedly, &mut coverage.repeatedly_named),
        };
        *count += 1;
        if named.len() < NAMED {
            named.extend(index.entry(at as u64).map(|entry| entry.path));
        }
    }
    coverage
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Shard};
    use crate::source::{Admission, Listing, ReadFuture};

    struct Names(u64);

    impl Source for Names {
        fn root(&self) -> PathBuf {
            "names".into()
        }

        fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
            for number in 0..self.0 {
                assert!(listing.push(Path::new(&number.to_string()), None).is_continue());
            }
            Ok(())
        }

        fn read(&self, _: &Path, _: Admission) -> ReadFuture {
            panic!("nothing is read")
        }
    }

    fn ranks(world: u32, config: &Config) -> Vec<Resolved> {
        let rank = |rank| Config { shard: Ok(Shard { rank, world }), ..config.clone() };
        (0..world).map(|at| rank(at).resolve::<u8>().unwrap()).collect()
    }

    /// Of ten samples, by three ranks in batches of two: what is left out, once, padding,
    /// and the batches of each.
    #[test]
    fn what_comes_and_what_does_not_is_counted() {
        for (uneven, last_batch, left_out, padding, batches) in [
            (Uneven::Pad, LastBatch::Keep, 0, 2, 2),
            (Uneven::Drop, LastBatch::Keep, 1, 0, 2),
            (Uneven::Pad, LastBatch::Drop, 0, 2, 2),
            (Uneven::Drop, LastBatch::Drop, 4, 0, 1),
            (Uneven::Drop, LastBatch::Pad, 0, 2, 2),
        ] {
            let config = Config { uneven, last_batch, batch_size: 2, ..Config::default() };
            let coverage = Coverage::count(&Names(10), &ranks(3, &config), 4..6).unwrap();
            assert!(coverage.is_exact(), "{coverage:?}");
            assert_eq!((coverage.samples, coverage.world), (10, 3));
            assert!(!coverage.drawn);
            let numbers: Vec<u64> = coverage.epochs.iter().map(|epoch| epoch.epoch).collect();
            assert_eq!(numbers, [4, 5]);
            for epoch in &coverage.epochs {
                assert_eq!(epoch.padding, padding, "{coverage:?}");
                assert_eq!(epoch.batches, [batches; 3]);
                assert_eq!(epoch.repeatedly, 0);
                assert_eq!(epoch.once + epoch.never, 10);
                assert_eq!(epoch.never_named.len() as u64, epoch.never);
            }
            assert_eq!(coverage.left_out, left_out, "{coverage:?}");
        }
    }

    /// Two that are both the first of two: half of the samples comes twice.
    #[test]
    fn what_comes_twice_or_never_is_named() {
        let config = Config { batch_size: 4, ..Config::default() };
        let first = ranks(2, &config).remove(0);
        let twice = [first.clone(), first];
        for (samples, each) in [(8, 4), (30, 15)] {
            let coverage = Coverage::count(&Names(samples), &twice, 0..1).unwrap();
            assert!(!coverage.is_exact());
            let [epoch] = &coverage.epochs[..] else { panic!("one epoch") };
            assert_eq!((epoch.once, epoch.never, epoch.repeatedly), (0, each, each));
            // The first ten, by name.
            let named = |first: u64| -> Vec<PathBuf> {
                let all = (0..each).map(|at| PathBuf::from((2 * at + first).to_string()));
                all.take(10).collect()
            };
            assert_eq!(epoch.repeatedly_named, named(0));
            assert_eq!(epoch.never_named, named(1));
        }
    }

    #[test]
    fn exact_is_once_and_as_many_batches_for_all() {
        let epoch = |batches: &[u64], repeatedly, never| EpochCoverage {
            batches: batches.to_vec(),
            repeatedly,
            never,
            ..EpochCoverage::default()
        };
        let of = |left_out, drawn, epochs: &[EpochCoverage]| {
            let epochs = epochs.to_vec();
            Coverage { samples: 10, world: 2, epochs, left_out, drawn }.is_exact()
        };
        let (good, other) = (epoch(&[3, 3], 0, 0), epoch(&[3, 2], 0, 0));
        assert!(of(0, false, &[good.clone(), good.clone()]));
        assert!(!of(0, false, &[good, other.clone()]));
        assert!(!of(0, true, &[other]));
        for (repeatedly, never, left_out, exact) in [
            (1, 0, 0, false),
            (0, 1, 0, false),
            (0, 1, 1, true),
            (0, 0, 1, false),
            (1, 1, 1, false),
        ] {
            let epoch = epoch(&[3, 3], repeatedly, never);
            assert_eq!(of(left_out, false, std::slice::from_ref(&epoch)), exact, "{epoch:?}");
            // Drawn, they come as often as they come.
            assert!(of(left_out, true, &[epoch]));
        }
    }
}
