//! Which setting keeps a training step fed: ceilings are measured, settings
//! predicted from them, the ones that matter run, and the smallest that does is
//! recommended.
//!
//! ```
//! # let photos = infeed::doc::photos();
//! use std::time::Duration;
//! use infeed::Loader;
//! use infeed::tune::Tune;
//!
//! let builder = Loader::folder(&photos).batch_size(4).size(32, 32);
//! let report = Tune::new(builder)
//!     .budget(Duration::from_secs(3))
//!     .step(Duration::from_millis(5))?;
//! println!("{}", report.verdict);
//! println!("{}", report.recommendation.builder());
//! # let folder = tempfile::tempdir().unwrap();
//! report.write_html(folder.path().join("tune.html"))?;    // the same with charts
//! # Ok::<(), infeed::Error>(())
//! ```
//!
//! Around a real training step:
//!
//! ```
//! # let photos = infeed::doc::photos();
//! # fn train(_: &infeed::Batch) {}
//! # use infeed::{Loader, tune::Tune};
//! # let builder = Loader::folder(&photos).batch_size(4).size(32, 32);
//! let report = Tune::new(builder)
//! #   .budget(std::time::Duration::from_secs(3))
//!     .run(|batch| train(batch))?;
//! # Ok::<(), infeed::Error>(())
//! ```
//!
//! A loader is built once for each order, as large as the limits allow, and set
//! otherwise while it runs, so a trial costs seconds and the memory stays warm.

mod ceilings;
mod choice;
mod conclusion;
mod model;
mod page;
mod record;
mod report;
mod search;
mod trial;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::builder::LoaderBuilder;
use crate::config::Order;
use crate::element::Element;
use crate::error::{Error, Result};

pub use ceilings::{Ceiling, Ceilings};
pub use choice::{Choice, Recommendation};
pub use report::{Confidence, Predicted, Report, Searched, Timelines, Tried};
pub use trial::Measured;

use search::Search;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub doing: Doing,
    /// Time spent so far.
    pub spent: Duration,
    /// Time that it may take.
    pub budget: Duration,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// Listing the source, and reading it for the first time.
    Listing,
    /// Reading alone.
    Reading,
    /// Decoding and transform with so many threads, for a consumer that takes no
    /// time.
    Decoding(usize),
    /// Running a setting.
    Running(Choice),
}

/// Finds the smallest setting that keeps a step fed.
#[must_use = "nothing is measured before `step` or `run` is called"]
pub struct Tune<'a, T: Element = f32> {
    builder: LoaderBuilder<T>,
    budget: Duration,
    cpu_limit: Option<usize>,
    exhaustive: bool,
    progress: Option<Box<dyn FnMut(Progress) + 'a>>,
}

impl<T: Element> std::fmt::Debug for Tune<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tune").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl<'a, T: Element> Tune<'a, T> {
    /// Over this loader, whose threads, readers, prefetch depth and order are
    /// those to be found; all else stays as it is. A cache is left out, and what
    /// it would bring with it. A [memory limit](LoaderBuilder::memory_limit) holds
    /// for every setting that is tried.
    pub fn new(builder: LoaderBuilder<T>) -> Self {
        let budget = Duration::from_secs(60);
        Tune { builder, budget, cpu_limit: None, exhaustive: false, progress: None }
    }

    /// How long it may take. Default 60 seconds; it stops earlier when it is sure.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Decoder threads that may be used. Default: as many as there are cores.
    pub fn cpu_limit(mut self, cores: usize) -> Self {
        self.cpu_limit = Some(cores);
        self
    }

    /// Runs every setting, whatever the budget, three times in turn, and recommends
    /// by the medians alone, of seven trials of what is said to feed the step. Takes many
    /// minutes.
    pub fn exhaustive(mut self, exhaustive: bool) -> Self {
        self.exhaustive = exhaustive;
        self
    }

    /// Told what is being done, whenever that changes.
    pub fn progress(mut self, told: impl FnMut(Progress) + 'a) -> Self {
        self.progress = Some(Box::new(told));
        self
    }

    /// For a consumer that is away for `step` with each batch and uses no core
    /// meanwhile, as one that waits for a GPU.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn step(self, step: Duration) -> Result<Report> {
        self.run(|_| {
            let begun = Instant::now();
            while let Some(left) = step.checked_sub(begun.elapsed()).filter(|t| !t.is_zero()) {
                std::thread::park_timeout(left);
            }
        })
    }

    /// For this consumer: `step` is called with each batch, on this thread.
    ///
    /// # Errors
    ///
    /// What ends a run of the loader, a sample that cannot be read included: leave
    /// it out with [`on_error`](LoaderBuilder::on_error). A budget or a limit of
    /// nothing.
    pub fn run(self, mut step: impl FnMut(&Batch<T>)) -> Result<Report> {
        self.run_while(|batch| {
            step(batch);
            ControlFlow::Continue(())
        })
    }

    /// The same for a step that can put an end to it.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`ErrorKind::Stopped`](crate::ErrorKind::Stopped)
    /// when the step says so.
    pub fn run_while(self, step: impl FnMut(&Batch<T>) -> ControlFlow<()>) -> Result<Report> {
        if self.budget < Duration::from_secs(1) {
            let reason = "expected a second at least";
            return Err(Error::config("budget", format_args!("{:?}", self.budget), reason));
        }
        if self.cpu_limit == Some(0) {
            return Err(Error::config("cpu_limit", 0, "expected a core at least"));
        }
        Search::new(self, step)?.run()
    }

    fn tell(&mut self, doing: Doing, begun: Instant) {
        let (spent, budget) = (begun.elapsed(), self.budget);
        if let Some(told) = &mut self.progress {
            told(Progress { doing, spent, budget });
        }
    }
}

/// The other order.
fn other(order: Order) -> Order {
    match order {
        Order::Ordered => Order::Unordered,
        Order::Unordered => Order::Ordered,
    }
}
