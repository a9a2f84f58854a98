//! The locks, condition variables, atomics and threads of the rooms in which
//! threads meet: the standard library's, or, for the models, those of a checker
//! that decides who runs when.

#[cfg(not(all(test, infeed_shuttle)))]
mod chosen {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;
    pub(crate) use tokio::sync::Notify;
}

#[cfg(all(test, infeed_shuttle))]
mod chosen {
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::*;

        /// Others may run. The checker's own is a promise that they do.
        pub(crate) fn yield_now() {
            sleep(std::time::Duration::ZERO);
        }
    }

    /// Tokio's, which the checker does not know: others may run before each call.
    /// No step of it is divided, so its own lock is never held meanwhile.
    #[derive(Debug, Default)]
    pub(crate) struct Notify(tokio::sync::Notify);

    impl Notify {
        pub(crate) fn new() -> Self {
            Notify::default()
        }

        pub(crate) fn notify_one(&self) {
            thread::sleep(std::time::Duration::ZERO);
            self.0.notify_one();
        }

        pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
            thread::sleep(std::time::Duration::ZERO);
            self.0.notified()
        }
    }
}

pub(crate) use chosen::*;

/// Runs a model under `schedules` orders of its threads' steps, and again under as
/// many that let few threads overtake others, which finds what chance seldom does.
/// `INFEED_SCHEDULES` multiplies them. A thread that nobody wakes fails it, and the
/// schedule is printed.
#[cfg(test)]
#[cfg(infeed_shuttle)]
pub(crate) fn check(schedules: usize, model: impl Fn() + Copy + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let times = std::env::var("INFEED_SCHEDULES").map_or(1, |times| times.parse().unwrap());
    let schedules = schedules * times;
    shuttle::Runner::new(RandomScheduler::new(schedules), config()).run(model);
    for depth in [2, 3, 5] {
        let scheduler = PctScheduler::new(depth, schedules.div_ceil(3));
        shuttle::Runner::new(scheduler, config()).run(model);
    }
}

/// Runs a small model under every order of its threads' steps.
#[cfg(test)]
#[cfg(infeed_shuttle)]
pub(crate) fn check_all(model: impl Fn() + Send + Sync + 'static) {
    let scheduler = shuttle::scheduler::DfsScheduler::new(None, false);
    let run = shuttle::Runner::new(scheduler, config()).run(model);
    assert!(run > 1, "one order is none");
}

#[cfg(test)]
#[cfg(infeed_shuttle)]
fn config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = shuttle::MaxSteps::FailAfter(100_000);
    // That orderings of memory are not looked at.
    config.silence_warnings = true;
    config
}
