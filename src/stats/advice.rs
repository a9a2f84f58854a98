//! What to set otherwise: the smallest change that helps the part that is to blame, tried
//! on the miniature.

use super::sight::{FED, FOR_MEMORY, Sight};
use super::{Advice, Bound, Change, Verdict};
use crate::capacity::{Costs, Outcome, Plant};

/// Deeper and wider is not proposed.
pub(super) const MOST_PREFETCH: usize = 16;
pub(super) const MOST_READERS: usize = 1024;
pub(super) const MOST_THREADS: usize = 1024;

impl Sight {
    pub(super) fn judge(&self) -> Verdict {
        let bound = self.bound(FED);
        let advice = self.advice(bound);
        let plant = advice.map_or(self.plant, |(_, plant)| plant);
        let advice = advice.map(|(change, plant)| {
            let Outcome { images_per_second, wait, .. } = self.outcome(&plant);
            Advice { change, wait, images_per_second }
        });
        Verdict {
            bound,
            wait: self.wait,
            images_per_second: self.images_per_second,
            capacity: self.capacity(&self.plant).max(self.images_per_second),
            advice,
            next: self.next(bound, &plant),
            shares: self.shares,
        }
    }

    /// The smallest of several changes that keeps the consumer fed, or else the
    /// last that is still worth a tenth.
    fn grown(&self, plants: impl Iterator<Item = Plant>) -> Option<Plant> {
        let (mut best, mut rate) = (None, self.images_per_second);
        for plant in plants {
            let outcome = self.outcome(&plant);
            if outcome.images_per_second > 1.1 * rate || outcome.wait <= FED {
                (best, rate) = (Some(plant), outcome.images_per_second);
            } else if best.is_some() {
                break;
            }
            if outcome.wait <= FED {
                break;
            }
        }
        best
    }

    fn advice(&self, bound: Bound) -> Option<(Change, Plant)> {
        let plant = self.plant;
        let doubled = |from: usize, most: usize| {
            std::iter::successors(Some(from), |&n| Some(n * 2))
                .skip(1)
                .take_while(move |&n| n <= most)
        };
        let deeper = || {
            let deeper = doubled(plant.prefetch, MOST_PREFETCH);
            self.grown(deeper.map(|prefetch| Plant { prefetch, ..plant }))
        };
        match bound {
            Bound::Starting | Bound::Walk => None,
            Bound::Consumer => {
                let fewer = (1..plant.threads).map(|threads| Plant { threads, ..plant });
                let mut enough = fewer.filter(|plant| self.outcome(plant).wait <= FED);
                enough.next().map(|plant| (Change::Threads(plant.threads), plant))
            }
            Bound::Decode => {
                // Beyond the cores only what does not need one.
                let most = (self.costs.cores / self.costs.on_core).ceil() as usize;
                let more = (plant.threads + 1..=most.min(MOST_THREADS))
                    .map(|threads| Plant { threads, ..plant });
                let more = self.grown(more)?;
                Some((Change::Threads(more.threads), more))
            }
            Bound::Read => {
                let more = doubled(plant.readers, MOST_READERS);
                let more = self.grown(more.map(|readers| Plant { readers, ..plant }))?;
                Some((Change::Readers(more.readers), more))
            }
            Bound::Order => {
                let unordered = Plant { ordered: false, ..plant };
                match deeper() {
                    Some(deeper)
                        if self.outcome(&deeper).wait <= self.outcome(&unordered).wait + FED =>
                    {
                        Some((Change::Prefetch(deeper.prefetch), deeper))
                    }
                    _ => Some((Change::Unordered, unordered)),
                }
            }
            Bound::Prefetch => {
                let deeper = deeper()?;
                Some((Change::Prefetch(deeper.prefetch), deeper))
            }
            Bound::Memory => self.more_memory(),
        }
    }

    /// As much of the budget that is short as all threads, or all reads, want.
    fn more_memory(&self) -> Option<(Change, Plant)> {
        let (plant, decoding) = (self.plant, self.shares.for_memory >= FOR_MEMORY);
        let (level, wanted) = match decoding {
            true => (self.decode, plant.threads),
            false => (self.encoded, plant.readers + 2 * plant.threads),
        };
        // Not all are of the average size; and of a larger limit decoding gets three
        // quarters, files one.
        let short = (level.mean_bytes * wanted as u64 * 5 / 4).saturating_sub(level.limit_bytes);
        if short == 0 {
            return None;
        }
        let bytes = if decoding { short.div_ceil(3) * 4 } else { short * 4 };
        let plant = match decoding {
            true => Plant { pictures: wanted, ..plant },
            false => Plant { files: wanted, ..plant },
        };
        Some((Change::Memory(bytes), plant))
    }

    /// What limits a plant that has been put right in one respect.
    pub(super) fn next(&self, bound: Bound, plant: &Plant) -> Option<(Bound, f64)> {
        let Costs { read, decode, on_core, cores, .. } = self.costs;
        let pace = |parallel: f64, each: f64| if each > 0.0 { parallel / each } else { f64::MAX };
        let decoders = (plant.threads.min(plant.pictures) as f64).min(cores / on_core);
        let reads = (bound != Bound::Read, Bound::Read, pace(plant.readers as f64, read.mean));
        let decodes = (bound != Bound::Decode, Bound::Decode, pace(decoders, decode.mean));
        let mut limits = [reads, decodes];
        limits.sort_by(|a, b| a.2.total_cmp(&b.2));
        let limit = limits.into_iter().find(|(other, ..)| *other);
        limit.map(|(_, bound, rate)| (bound, rate)).filter(|(_, rate)| *rate < 1e6)
    }
}
