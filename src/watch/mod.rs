//! A thread that looks at a running loader now and then: it records the levels of
//! the queues, and says so when nothing comes.
//!
//! It sleeps while nothing is under way. No stage waits for it, and without it
//! everything would go on as before.

pub(crate) mod activity;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use activity::{Activity, DecoderInWork, ReadInWork};

/// Between two looks.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// Tells the thread when there is something to look at.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: bool,
    closed: bool,
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Something is under way.
    pub(crate) fn ring(&self) {
        self.set(|state| state.under_way = true);
    }

    /// There will be nothing any more.
    pub(crate) fn close(&self) {
        self.set(|state| state.closed = true);
    }

    fn set(&self, mark: impl FnOnce(&mut State)) {
        mark(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_one();
    }

    /// Calls `look` every now and then until the bell is closed. While `look` says
    /// that nothing is under way, it is not called again before the bell rings.
    pub(crate) fn watch(&self, mut look: impl FnMut() -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed {
            state = match state.under_way {
                false => self.rung.wait(state).unwrap_or_else(PoisonError::into_inner),
                true => {
                    let waited = self.rung.wait_timeout(state, EVERY);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            if state.closed || !state.under_way {
                continue;
            }
            state.under_way = false;
            drop(state);
            let under_way = look();
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.under_way |= under_way;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn it_looks_while_something_is_under_way_and_ends_when_closed() {
        let bell = Bell::new();
        let (sender, looks) = channel();
        std::thread::scope(|scope| {
            let mut left = 0;
            let watch = Arc::clone(&bell);
            scope.spawn(move || {
                watch.watch(|| {
                    left = if left <= 1 { 3 } else { left - 1 };
                    sender.send(()).unwrap();
                    left > 1
                });
            });
            for _ in 0..2 {
                bell.ring();
                for _ in 0..3 {
                    looks.recv().unwrap();
                }
                assert!(looks.try_recv().is_err(), "nothing is under way");
            }
            bell.close();
        });
        assert!(looks.recv().is_err(), "the thread has ended");
    }
}
