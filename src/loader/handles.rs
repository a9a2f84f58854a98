//! What reaches a running loader from elsewhere.

use std::fmt;
use std::sync::Arc;

use crate::stats::Stats;
#[cfg(feature = "tune")]
use crate::stats::{Knob, Timeline};

/// Reads a loader's figures from any thread, also while an epoch runs.
#[derive(Clone)]
pub struct Monitor(Arc<dyn Fn() -> Stats + Send + Sync>);

impl Monitor {
    pub(super) fn new(stats: impl Fn() -> Stats + Send + Sync + 'static) -> Self {
        Monitor(Arc::new(stats))
    }

    /// The figures at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        (self.0)()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.stats()).finish()
    }
}

/// Sets a running loader otherwise.
#[cfg(feature = "tune")]
#[derive(Clone)]
pub(crate) struct Setter(std::sync::Arc<dyn Set>);

#[cfg(feature = "tune")]
pub(super) trait Set {
    fn set(&self, knob: Knob, to: usize);
    fn stats(&self) -> Stats;
    fn timeline(&self) -> Timeline;
}

#[cfg(feature = "tune")]
impl Setter {
    pub(super) fn new(loader: Arc<dyn Set>) -> Self {
        Setter(loader)
    }

    pub(crate) fn set(&self, knob: Knob, to: usize) {
        self.0.set(knob, to);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.0.stats()
    }

    pub(crate) fn timeline(&self) -> Timeline {
        self.0.timeline()
    }
}

/// Stops a loader from any thread: the iterator that is running, and every later
/// one, yields [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) once and ends.
#[derive(Clone)]
pub struct StopHandle(Arc<dyn Fn() + Send + Sync>);

impl StopHandle {
    pub(super) fn new(stop: impl Fn() + Send + Sync + 'static) -> Self {
        StopHandle(Arc::new(stop))
    }

    /// Stops the loader; harmless when it is stopped or gone already.
    pub fn stop(&self) {
        (self.0)();
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").finish_non_exhaustive()
    }
}
