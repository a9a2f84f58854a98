//! From the readers to the decoders: a queue whose threads are woken only when
//! there is work enough for them.
//!
//! Waking a thread costs several microseconds on both sides, which is nothing
//! beside decoding a photograph and more than all the rest where decoding is
//! cheap. So giving wakes one thread at most, and while that one is on its way
//! no other is woken; arrived, it wakes the next if there is still more than it
//! takes itself. The thread that fell asleep last is woken first: its memory is
//! the warmest, and with more threads than work the others sleep on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::linger::Linger;

/// Both ends of a queue.
pub(crate) fn handoff<J>() -> (Giver<J>, Taker<J>) {
    let shared = Arc::new(Handoff { state: Mutex::new(State::default()) });
    (Giver(Arc::clone(&shared)), Taker(shared))
}

/// The end that fills the queue; dropped, it ends it.
#[derive(Debug)]
pub(crate) struct Giver<J>(Arc<Handoff<J>>);

/// An end that empties the queue; each thread has one.
#[derive(Debug)]
pub(crate) struct Taker<J>(Arc<Handoff<J>>);

#[derive(Debug)]
struct Handoff<J> {
    state: Mutex<State<J>>,
}

#[derive(Debug)]
struct State<J> {
    /// Never more than there are tickets, so it needs no bound of its own.
    queue: VecDeque<J>,
    /// Threads with nothing to do, the latest last.
    asleep: Vec<Thread>,
    /// One that was woken and has not come yet.
    waking: bool,
    ended: bool,
}

impl<J> Default for State<J> {
    fn default() -> Self {
        State { queue: VecDeque::new(), asleep: Vec::new(), waking: false, ended: false }
    }
}

impl<J> Handoff<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until this thread is woken for a reason.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        let this = std::thread::current();
        let id = this.id();
        state.asleep.push(this);
        // Whoever is woken for a reason was taken off the list.
        while state.asleep.iter().any(|thread| thread.id() == id) {
            drop(state);
            std::thread::park();
            state = self.lock();
        }
        state.waking = false;
        state
    }
}

impl<J> State<J> {
    /// The thread to be woken, once the lock is free.
    fn next_to_wake(&mut self) -> Option<Thread> {
        if self.waking || self.queue.is_empty() {
            return None;
        }
        let thread = self.asleep.pop()?;
        self.waking = true;
        Some(thread)
    }
}

impl<J> Giver<J> {
    /// Never waits.
    pub(crate) fn give(&self, item: J) {
        let mut state = self.0.lock();
        state.queue.push_back(item);
        let thread = state.next_to_wake();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }
}

impl<J> Drop for Giver<J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        asleep.iter().for_each(Thread::unpark);
    }
}

impl<J> Taker<J> {
    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().queue.len()
    }

    /// The next item, if there is one now.
    pub(crate) fn try_take(&self) -> Option<J> {
        Self::take_from(self.0.lock())
    }

    /// The next item; `None` when the queue has ended and is empty.
    pub(crate) fn take_waiting(&self) -> Option<J> {
        let mut state = self.0.lock();
        let mut linger = Linger::new(1);
        while state.queue.is_empty() && !state.ended {
            state = linger.wait(state, || self.0.lock(), |state| self.0.sleep(state));
        }
        Self::take_from(state)
    }

    fn take_from(mut state: MutexGuard<'_, State<J>>) -> Option<J> {
        let item = state.queue.pop_front();
        let thread = state.next_to_wake();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
        item
    }
}

impl<J> Clone for Taker<J> {
    fn clone(&self) -> Self {
        Taker(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_given_is_taken_once_and_the_end_is_told() {
        let (giver, taker) = handoff();
        let taken = std::thread::scope(|scope| {
            let work = || std::iter::from_fn(|| taker.take_waiting()).collect::<Vec<u32>>();
            let threads: Vec<_> = (0..9).map(|_| scope.spawn(work)).collect();
            (0..10_000).for_each(|item| giver.give(item));
            drop(giver);
            let mut taken = Vec::new();
            for thread in threads {
                let part = thread.join().unwrap();
                assert!(part.is_sorted(), "first in, first out");
                taken.extend(part);
            }
            taken
        });
        let mut sorted = taken;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10_000).collect::<Vec<_>>());
        assert_eq!(taker.try_take(), None);
        assert_eq!(taker.take_waiting(), None);
    }

    #[test]
    fn as_many_threads_are_woken_as_there_is_work_for() {
        // Each item is held until all are, so one thread too few would hang.
        let (giver, taker) = handoff();
        let all = std::sync::Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while taker.take_waiting().is_some() {
                        all.wait();
                    }
                });
            }
            for round in 0..50 {
                (0..6).for_each(|item| giver.give(round * 6 + item));
            }
            drop(giver);
        });
    }
}
