//! How long one item takes: a histogram with a fixed size, and what is read off
//! it.
//!
//! Eight buckets to each power of two, so a time is known to within a sixteenth.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::seconds;

/// Buckets to a power of two, as a power of two.
const FINE: u32 = 3;
/// Longer times count as this one: about 18 minutes.
const LONGEST: u32 = 40;
const BUCKETS: usize = ((LONGEST - FINE + 2) << FINE) as usize;

/// The time that single items took: the middle one, and the slow ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Service {
    /// Half of the items took no longer.
    #[serde(rename = "p50_seconds", serialize_with = "seconds")]
    pub p50: Duration,
    /// Nine of ten took no longer.
    #[serde(rename = "p90_seconds", serialize_with = "seconds")]
    pub p90: Duration,
    /// Ninety-nine of a hundred took no longer.
    #[serde(rename = "p99_seconds", serialize_with = "seconds")]
    pub p99: Duration,
}

/// What threads add to.
#[derive(Debug)]
pub(crate) struct Recorder([AtomicU32; BUCKETS]);

/// A sum of recorders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// Empty, or one count for each bucket.
    counts: Vec<u64>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Recorder {
    pub(crate) fn add(&self, time: Duration) {
        self.0[bucket(time)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn items(&self) -> u64 {
        self.0.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }

    pub(crate) fn add_to(&self, histogram: &mut Histogram) {
        histogram.counts.resize(BUCKETS, 0);
        for (sum, count) in histogram.counts.iter_mut().zip(&self.0) {
            *sum += u64::from(count.load(Ordering::Relaxed));
        }
    }
}

impl Histogram {
    #[cfg(test)]
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let recorder = Recorder::default();
        times.into_iter().for_each(|time| recorder.add(time));
        let mut histogram = Histogram::default();
        recorder.add_to(&mut histogram);
        histogram
    }

    fn items(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.resize(BUCKETS, 0);
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// The items since `earlier`, which was the same histogram.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = self.counts.iter().zip(before);
        Histogram { counts: counts.map(|(now, before)| now.saturating_sub(before)).collect() }
    }

    pub(crate) fn service(&self) -> Service {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        Service { p50, p90, p99 }
    }

    /// The time that `share` of the items did not exceed; zero without items.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let items = self.items();
        let mut rank = share * items as f64;
        for (bucket, &count) in self.counts.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && rank <= count {
                let (low, high) = bounds(bucket);
                // Items are taken to lie evenly in their bucket.
                return Duration::from_nanos(low + ((high - low) as f64 * rank / count) as u64);
            }
            rank -= count;
        }
        Duration::ZERO
    }
}

/// Times shorter than eight nanoseconds have buckets of their own; then eight
/// buckets for each doubling.
fn bucket(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min((1 << (LONGEST + 1)) - 1);
    if nanos < 1 << FINE {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let within = (nanos >> (power - FINE)) & ((1 << FINE) - 1);
    (((power - FINE + 1) << FINE) as usize) + within as usize
}

/// The times of a bucket, in nanoseconds: from, and below.
fn bounds(bucket: usize) -> (u64, u64) {
    let fine = 1_u64 << FINE;
    let (octave, within) = ((bucket as u64) >> FINE, (bucket as u64) & (fine - 1));
    match octave {
        0 => (within, within + 1),
        _ => ((fine + within) << (octave - 1), (fine + within + 1) << (octave - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_lies_in_its_bucket(nanos in 0_u64..(1 << (LONGEST + 1))) {
            let (low, high) = bounds(bucket(Duration::from_nanos(nanos)));
            prop_assert!((low..high).contains(&nanos));
            prop_assert!((high - low) * 8 <= low.max(8));
        }

        #[test]
        fn quantiles_are_near_the_sorted_times(
            mut times in proptest::collection::vec(100_u64..1_000_000_000, 1..200),
            share in 0.01_f64..1.0,
        ) {
            let histogram = Histogram::of(times.iter().copied().map(Duration::from_nanos));
            times.sort_unstable();
            let rank = (share * times.len() as f64).ceil() as usize;
            let exact = times[rank.clamp(1, times.len()) - 1] as f64;
            let told = histogram.quantile(share).as_nanos() as f64;
            prop_assert!((told - exact).abs() <= 0.13 * exact, "{told} for {exact}");
        }
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert_eq!(Histogram::default().service(), Service::default());
    }

    #[test]
    fn a_sum_has_the_items_of_both() {
        let ms = Duration::from_millis;
        let mut sum = Histogram::of([ms(1), ms(2)]);
        sum.add(&Histogram::of([ms(64)]));
        assert_eq!(sum, Histogram::of([ms(64), ms(2), ms(1)]));
        assert!(sum.quantile(1.0) > ms(60) && sum.quantile(0.5) < ms(3));
        assert_eq!(sum.since(&Histogram::of([ms(1), ms(2)])), Histogram::of([ms(64)]));
        assert_eq!(sum.since(&Histogram::default()), sum);
    }
}
