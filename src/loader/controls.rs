//! What of a loader can be set while it runs.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use crate::config::{Order, Resolved};
use crate::element::Element;
use crate::pace::{Decision, Knob, Pace};
use crate::stats::{Setting, Stats};

/// The setting as it is, and who follows the consumer with it.
#[derive(Debug)]
pub(super) struct Controls {
    state: Mutex<State>,
    /// Apart, as it takes its time, and figures are asked for meanwhile.
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct State {
    setting: Setting,
    decisions: VecDeque<Decision>,
    /// When the number of threads changed last, and thread time up to then.
    since: Instant,
    thread_time: Duration,
}

const DECISIONS_KEPT: usize = 100;

impl State {
    fn thread_time(&self) -> Duration {
        self.thread_time + self.since.elapsed() * self.setting.threads as u32
    }
}

impl Controls {
    pub(super) fn new(config: &Resolved) -> Self {
        let Resolved { threads, readers, prefetch, batch_size, order, .. } = *config;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let ordered = order == Order::Ordered;
        let setting = Setting { threads, readers, prefetch, batch_size, ordered, cores };
        let (decisions, thread_time) = Default::default();
        let state = State { setting, decisions, since: Instant::now(), thread_time };
        Controls { state: Mutex::new(state), pace: Mutex::new(Pace::new(config)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn setting(&self) -> Setting {
        self.lock().setting
    }

    /// Time of all threads that might work, whether they did or not.
    pub(super) fn thread_time(&self) -> Duration {
        self.lock().thread_time()
    }

    pub(super) fn decisions(&self) -> Vec<Decision> {
        self.lock().decisions.iter().cloned().collect()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything follows the consumer.
    pub(super) fn is_auto(&self) -> bool {
        self.pace().is_auto()
    }
}

impl<T: Element> Shared<T> {
    /// Lets the pace have its look, and does what it decides.
    pub(super) fn follow(&self, stats: Stats) {
        let Some(decision) = self.controls.pace().look(stats) else { return };
        tracing::debug!(target: "infeed::pace", "{decision}");
        self.set(decision.knob, decision.to);
        let decisions = &mut self.controls.lock().decisions;
        if decisions.len() == DECISIONS_KEPT {
            decisions.pop_front();
        }
        decisions.push_back(decision);
    }

    /// Sets one knob of a running loader.
    pub(super) fn set(&self, knob: Knob, to: usize) {
        let mut controls = self.controls.lock();
        let thread_time = controls.thread_time();
        let State { setting, since, thread_time: sum, .. } = &mut *controls;
        let Setting { threads, readers, prefetch, .. } = setting;
        match knob {
            Knob::Threads => {
                (*sum, *since, *threads) = (thread_time, Instant::now(), to);
                self.loaded.allow(to);
                self.window.set_decoders(to);
            }
            Knob::Readers => {
                self.permits.change(to as isize - *readers as isize);
                self.stuck.set_readers(to);
                *readers = to;
                self.window.wake_granter_for_a_permit();
            }
            Knob::Prefetch => {
                *prefetch = to;
                self.window.set_prefetch(to, to + self.config.held_batches);
            }
        }
    }
}

#[cfg(feature = "tune")]
impl<T: Element> super::handles::Set for Shared<T> {
    fn set(&self, knob: Knob, to: usize) {
        Shared::set(self, knob, to);
    }

    fn stats(&self) -> Stats {
        Shared::stats(self)
    }

    fn timeline(&self) -> crate::stats::Timeline {
        Shared::timeline(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::random::Draws;
    use crate::{Layout, Loader};

    /// Names and pixels of three epochs.
    fn delivered(loader: &mut Loader<u8>) -> Vec<(u64, Vec<u8>)> {
        let mut rows = Vec::new();
        for batch in loader.epochs(0..3).unwrap() {
            let batch = batch.unwrap();
            let len = batch.as_slice().len() / batch.len();
            for (sample, row) in batch.samples().iter().zip(batch.as_slice().chunks(len)) {
                rows.push((sample.index(), row.to_vec()));
            }
        }
        rows
    }

    #[test]
    fn whatever_is_set_while_it_runs_the_batches_are_the_same() {
        let photos = crate::doc::photos();
        let builder = || {
            let builder = Loader::folder(&photos).dtype::<u8>().size(24, 24).layout(Layout::Hwc);
            builder.batch_size(3).shuffle(5).flip(0.5).threads(6).readers(8)
        };
        let plain = delivered(&mut builder().threads(1).prefetch(1).build().unwrap());
        for seed in 0..20 {
            let mut loader = builder().prefetch(4).build().unwrap();
            let (shared, done) = (std::sync::Arc::clone(&loader.shared), AtomicBool::new(false));
            let rows = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut draws = Draws::new(&[seed]);
                    while !done.load(Ordering::Relaxed) {
                        let (knob, most) = match draws.below(3) {
                            0 => (Knob::Threads, 6),
                            1 => (Knob::Readers, 8),
                            _ => (Knob::Prefetch, 4),
                        };
                        shared.set(knob, 1 + draws.below(most) as usize);
                        std::thread::yield_now();
                    }
                });
                let rows = delivered(&mut loader);
                done.store(true, Ordering::Relaxed);
                rows
            });
            assert!(rows == plain, "seed {seed}");
            let memory = loader.stats().memory.batches;
            assert!(memory.peak_bytes <= 5 * memory.mean_bytes, "{memory:?}");
        }
    }

    #[test]
    fn memory_of_batches_that_are_no_longer_ahead_is_given_back() {
        let photos = crate::doc::photos();
        let builder = Loader::folder(&photos).dtype::<u8>().size(8, 8).batch_size(2).prefetch(4);
        let mut loader = builder.build().unwrap();
        delivered(&mut loader);
        let level = |loader: &Loader<u8>| {
            let batches = loader.stats().memory.batches;
            batches.bytes / batches.mean_bytes
        };
        assert!(level(&loader) > 2);
        loader.shared.set(Knob::Prefetch, 1);
        assert_eq!(level(&loader), 2);
        delivered(&mut loader);
        assert_eq!(level(&loader), 2);
    }
}
