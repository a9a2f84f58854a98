//! The levels of a running loader over time.

use serde::Serialize;

use super::{MemoryUse, Queue, Setting, Stats};

/// One look at a running loader. Times are sums since it was built, so the
/// difference of two moments says what happened between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Moment {
    /// Seconds since the loader was built.
    pub seconds: f64,
    /// Rows filled, ahead of the consumer by what waits.
    pub images: u64,
    /// Batches delivered.
    pub batches: u64,
    /// The queues.
    pub queue: Queue,
    /// What was set.
    pub setting: Setting,
    /// Memory in use.
    pub memory: MemoryUse,
    /// Thread time spent reading, in seconds.
    pub read_seconds: f64,
    /// Thread time spent decoding, in seconds.
    pub decode_seconds: f64,
    /// Thread time spent in the transform, in seconds.
    pub transform_seconds: f64,
    /// Time that the consumer waited for batches, in seconds.
    pub wait_seconds: f64,
    /// Time that the consumer was away with batches, in seconds.
    pub step_seconds: f64,
}

impl Moment {
    pub(crate) fn of(stats: &Stats) -> Self {
        let stages = &stats.stages;
        Moment {
            seconds: stats.seconds,
            images: stages.transform.items,
            batches: stages.batch.items,
            queue: stats.queue,
            setting: stats.setting,
            memory: stats.memory,
            read_seconds: stages.read.busy.as_secs_f64(),
            decode_seconds: stages.decode.busy.as_secs_f64(),
            transform_seconds: stages.transform.busy.as_secs_f64(),
            wait_seconds: stages.batch.waiting_for_input.as_secs_f64(),
            step_seconds: stages.batch.waiting_for_output.as_secs_f64(),
        }
    }
}

/// Moments at even distances, from the loader's building to now: at most 512,
/// every other one of which is forgotten, and the distance doubled, when there
/// would be more.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// The moments, the earliest first.
    pub moments: Vec<Moment>,
}

const MOST: usize = 512;

/// A timeline in the making.
#[derive(Debug)]
pub(crate) struct Recording {
    moments: Vec<Moment>,
    /// Seconds between two moments.
    every: f64,
}

impl Recording {
    pub(crate) fn new(every: f64) -> Self {
        Recording { moments: Vec::new(), every }
    }

    pub(crate) fn add(&mut self, moment: Moment) {
        // A tick that comes a little early is not left out.
        let due = |last: &Moment| moment.seconds - last.seconds > 0.9 * self.every;
        if !self.moments.last().is_none_or(due) {
            return;
        }
        if self.moments.len() == MOST {
            let mut odd = false;
            self.moments.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2.0;
        }
        self.moments.push(moment);
    }

    pub(crate) fn timeline(&self) -> Timeline {
        Timeline { moments: self.moments.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_even_distances_in_bounded_memory() {
        let mut recording = Recording::new(0.1);
        for tick in 0..100_000 {
            recording.add(Moment { seconds: f64::from(tick) * 0.1, ..Moment::default() });
        }
        let moments = recording.timeline().moments;
        assert!((MOST / 2..=MOST).contains(&moments.len()));
        assert!(moments[0].seconds < 0.1 && moments[moments.len() - 1].seconds > 9_900.0);
        let gaps: Vec<f64> =
            moments.windows(2).map(|two| two[1].seconds - two[0].seconds).collect();
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        let shortest = gaps.iter().copied().fold(f64::MAX, f64::min);
        assert!(longest <= 2.1 * shortest, "{shortest} to {longest}");
    }
}
