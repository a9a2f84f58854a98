//! Looks at the process now and then, and ends it when a case takes too long.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use infeed::Monitor;

use crate::done::Done;
use crate::levels::{Levels, Moment};

/// No case takes longer, unless something hangs. It is counted in looks, as a machine that
/// was suspended meanwhile is no hang.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Watch {
    begun: Instant,
    interval: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is under way, for how long, and its latest loader.
    case: Option<(String, Duration)>,
    monitor: Option<Monitor>,
    running: Vec<Moment>,
    /// A look at the process at rest is due.
    due: bool,
    over: bool,
}

impl Watch {
    pub(crate) fn new(interval: Duration) -> Self {
        // With room for all looks, so that they are not taken for a leak.
        let state = State { running: Vec::with_capacity(2_000), ..State::default() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Watch { begun: Instant::now(), interval, state, changed }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, case: String) {
        self.state().case = Some((case, Duration::ZERO));
    }

    /// A monitor keeps what it looks at alive, so it goes with the case.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        let monitor = state.monitor.take();
        state.case = None;
        drop(state);
        drop(monitor);
    }

    pub(crate) fn on(&self, monitor: Monitor) {
        let before = self.state().monitor.replace(monitor);
        drop(before);
    }

    /// Once for each interval.
    pub(crate) fn is_due(&self) -> bool {
        std::mem::take(&mut self.state().due)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Begins to look.
    pub(crate) fn start(self: &Arc<Self>, done: Arc<Done>) -> std::io::Result<JoinHandle<()>> {
        let this = Arc::clone(self);
        Builder::new().name("soak-watch".to_owned()).spawn(move || this.look(&done))
    }

    fn look(&self, done: &Done) {
        let mut state = self.state();
        let (mut images, mut loaders, mut last) = (0, 0, Instant::now());
        loop {
            let wait = self.interval.min(Duration::from_secs(1));
            let (guard, _) = self
                .changed
                .wait_timeout_while(state, wait, |state| !state.over)
                .unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if state.over {
                return;
            }
            let State { case, monitor, .. } = &mut *state;
            if let Some((_, time)) = case {
                *time += wait;
            }
            if let Some((case, _)) = case.as_ref().filter(|(_, time)| *time > DEADLINE) {
                let stats = monitor.as_ref().map(Monitor::stats);
                println!("not done after {DEADLINE:?}: {case}\nits latest loader: {stats:#?}");
                std::process::exit(1);
            }
            let passed = last.elapsed();
            if passed < self.interval {
                continue;
            }
            let (now_images, now_loaders) = (done.images.load(Relaxed), done.loaders.load(Relaxed));
            let moment = Moment {
                seconds: self.seconds(),
                levels: Levels::now(),
                images_per_second: (now_images - images) as f64 / passed.as_secs_f64(),
                loaders_per_second: (now_loaders - loaders) as f64 / passed.as_secs_f64(),
            };
            state.running.push(moment);
            state.due = true;
            (images, loaders, last) = (now_images, now_loaders, Instant::now());
        }
    }

    /// All looks while cases were under way.
    pub(crate) fn finish(&self) -> Vec<Moment> {
        let mut state = self.state();
        state.over = true;
        self.changed.notify_all();
        std::mem::take(&mut state.running)
    }
}
