//! What the integration tests share: a source in memory whose samples behave as
//! a script says, a decoder whose pictures can be computed, a serial loader as
//! the oracle, folders of pictures, odd files, and deadlines.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod allocator;
pub(crate) mod cases;
#[cfg(feature = "cli")]
pub(crate) mod command;
pub(crate) mod counted;
pub(crate) mod draws;
#[cfg(unix)]
pub(crate) mod entries;
pub(crate) mod failed;
pub(crate) mod odd;
pub(crate) mod oracle;
pub(crate) mod paced;
pub(crate) mod reference;
pub(crate) mod scripted;
pub(crate) mod trees;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use infeed::stats::Stats;
use infeed::{Element, Loader, Monitor};
use tokio::sync::watch;

/// No test takes longer, unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a body under a deadline tells about itself, for the message when it does
/// not come back.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Vec<(String, Monitor)>>>);

impl Watch {
    /// The last loader told is the one that is looked at when time is up.
    pub(crate) fn on<T: Element>(&self, loader: &Loader<T>) {
        let monitor = (format!("{:?}", loader.config()), loader.monitor());
        let mut watched = lock(&self.0);
        watched.clear();
        watched.push(monitor);
    }
}

/// Runs `body` on a thread of its own; fails with the loader's figures when it is
/// not done within [`LIMIT`].
pub(crate) fn within<R: Send + 'static>(body: impl FnOnce(&Watch) -> R + Send + 'static) -> R {
    within_limit(LIMIT, body)
}

pub(crate) fn within_limit<R: Send + 'static>(
    limit: Duration,
    body: impl FnOnce(&Watch) -> R + Send + 'static,
) -> R {
    quiet_panics();
    let watch = Watch::default();
    let (done_sender, done) = channel();
    let inside = watch.clone();
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let body = std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let result = body(&inside);
            // The receiver has gone when the time is up.
            drop(done_sender.send(result));
        })
        .unwrap();
    match done.recv_timeout(limit) {
        Ok(result) => {
            body.join().unwrap();
            result
        }
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(body.join().err().unwrap_or_else(|| Box::new("lost")))
        }
        Err(RecvTimeoutError::Timeout) => {
            let watched = lock(&watch.0);
            let last = watched.last().map(|(config, monitor)| (config, monitor.stats()));
            panic!("not done after {limit:?}: {last:#?}");
        }
    }
}

/// Panics that a script asks for are not printed.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let scripted = info
                .payload()
                .downcast_ref::<&str>()
                .is_some_and(|text| text.starts_with("scripted"));
            if !scripted {
                usual(info);
            }
        }));
    });
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts events and lets a test wait for them.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Counter {
    pub(crate) fn add(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn get(&self) -> u64 {
        *lock(&self.count)
    }

    /// Waits until at least `wanted` events have happened; how many then.
    pub(crate) fn wait_for(&self, wanted: u64) -> u64 {
        let count = lock(&self.count);
        let waited = self.changed.wait_timeout_while(count, LIMIT, |count| *count < wanted);
        let (count, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} of {wanted} events", *count);
        *count
    }

    /// Fails when a further event happens within `time`.
    pub(crate) fn stays_at(&self, at: u64, time: Duration) {
        let count = lock(&self.count);
        let waited = self.changed.wait_timeout_while(count, time, |count| *count == at);
        let (count, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*count, at, "events while nothing should happen");
    }
}

/// Closed until it is opened, for threads and for tasks.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    tasks: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Gate { open: Arc::default(), tasks: Arc::new(watch::channel(false).0) }
    }

    pub(crate) fn open(&self) {
        *lock(&self.open.0) = true;
        self.open.1.notify_all();
        self.tasks.send_replace(true);
    }

    /// Blocks the thread until the gate is open.
    pub(crate) fn pass(&self) {
        let open = lock(&self.open.0);
        drop(self.open.1.wait_while(open, |open| !*open));
    }

    /// The same for a task.
    pub(crate) fn pass_task(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut tasks = self.tasks.subscribe();
        async move { drop(tasks.wait_for(|open| *open).await) }
    }
}

/// Yields until `done`, for states of the operating system that nobody tells.
pub(crate) fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < limit, "{what}: not after {limit:?}");
        std::thread::yield_now();
    }
}

/// Waits until every batch that the window has room for is complete, so that the
/// loader has nothing left to do.
pub(crate) fn until_full(monitor: &Monitor) {
    eventually("a full window", LIMIT, || {
        let Stats { queue, setting, .. } = monitor.stats();
        queue.waiting == setting.prefetch && queue.making == setting.prefetch
    });
}
