//! What a thread does before it sleeps: it lets others run, a few times.
//!
//! Falling asleep and being woken costs several microseconds on both sides.
//! Where samples cost less than that, what the thread waits for has come by the
//! time it has its core again, and where they cost more, the yielding is nothing
//! beside them. It is no spinning: whoever else can run does.

use crate::sync::thread;

#[derive(Debug)]
pub(crate) struct Linger {
    times: u32,
}

impl Linger {
    /// So many times. Where several threads wait for the same thing, once at
    /// most: yielding to one another they would keep each other awake.
    pub(crate) fn new(times: u32) -> Self {
        Linger { times }
    }

    /// Gives the lock back, lets others run, and takes it again; from some time
    /// on, sleeps instead.
    pub(crate) fn wait<G>(
        &mut self,
        guard: G,
        lock: impl FnOnce() -> G,
        sleep: impl FnOnce(G) -> G,
    ) -> G {
        let Some(left) = self.times.checked_sub(1) else { return sleep(guard) };
        self.times = left;
        drop(guard);
        thread::yield_now();
        lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_yields_so_many_times_and_then_sleeps() {
        let (mut linger, mut locked, mut slept) = (Linger::new(2), 0, 0);
        for _ in 0..5 {
            linger.wait((), || locked += 1, |()| slept += 1);
        }
        assert_eq!((locked, slept), (2, 3));
    }
}
