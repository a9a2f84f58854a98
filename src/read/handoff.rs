//! From the readers to the decoders: a queue whose threads are woken only when
//! there is work enough for them.
//!
//! Waking a thread costs several microseconds on both sides, which is nothing
//! beside decoding a photograph and more than all the rest where decoding is
//! cheap. So giving wakes one thread at most, and while that one is on its way
//! no other is woken; arrived, it wakes the next if there is still more than it
//! takes itself. The thread that fell asleep last is woken first: its memory is
//! the warmest, and with more threads than work the others sleep on.
//!
//! So many threads may work; the others, by number, rest until they may again.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::linger::Linger;
use crate::sync::thread::{self, Thread, ThreadId};
use crate::sync::{Mutex, MutexGuard};

/// Both ends of a queue.
pub(crate) fn handoff<J>() -> (Giver<J>, Handoff<J>) {
    let handoff = Handoff { shared: Arc::new(Mutex::new(State::default())) };
    (Giver(handoff.clone()), handoff)
}

/// What both ends have in common.
#[derive(Debug)]
pub(crate) struct Handoff<J> {
    shared: Arc<Mutex<State<J>>>,
}

/// The end that fills the queue; dropped, it ends it.
#[derive(Debug)]
pub(crate) struct Giver<J>(Handoff<J>);

/// An end that empties the queue; each thread has one.
#[derive(Debug)]
pub(crate) struct Taker<J> {
    handoff: Handoff<J>,
    number: usize,
}

#[derive(Debug)]
struct State<J> {
    /// Never more than there are tickets, so it needs no bound of its own.
    queue: VecDeque<J>,
    /// Threads with nothing to do, the latest last.
    asleep: Vec<Thread>,
    /// Threads that may not work.
    resting: Vec<Thread>,
    /// Threads below this number may work.
    allowed: usize,
    /// One that was woken and has not come yet.
    waking: bool,
    ended: bool,
}

impl<J> Default for State<J> {
    fn default() -> Self {
        State {
            queue: VecDeque::new(),
            asleep: Vec::new(),
            resting: Vec::new(),
            allowed: usize::MAX,
            waking: false,
            ended: false,
        }
    }
}

impl<J> Clone for Handoff<J> {
    fn clone(&self) -> Self {
        Handoff { shared: Arc::clone(&self.shared) }
    }
}

impl<J> Handoff<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// The end of thread `number`.
    pub(crate) fn taker(&self, number: usize) -> Taker<J> {
        Taker { handoff: self.clone(), number }
    }

    /// So many threads may work from now on.
    pub(crate) fn allow(&self, threads: usize) {
        let mut state = self.lock();
        state.allowed = threads;
        let resting = std::mem::take(&mut state.resting);
        drop(state);
        // Those that still may not go back to rest.
        resting.iter().for_each(Thread::unpark);
    }

    /// Until this thread is woken for a reason.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        let id = park_in(&mut state.asleep);
        // Whoever is woken for a reason was taken off the list.
        while state.asleep.iter().any(|thread| thread.id() == id) {
            drop(state);
            thread::park();
            state = self.lock();
        }
        state.waking = false;
        state
    }

    /// Until it may be that this thread may work.
    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        let id = park_in(&mut state.resting);
        // It may have been woken for work, which is another's now.
        let thread = state.next_to_wake();
        drop(state);
        wake(thread);
        state = self.lock();
        while state.resting.iter().any(|thread| thread.id() == id) {
            drop(state);
            thread::park();
            state = self.lock();
        }
        state
    }
}

fn park_in(threads: &mut Vec<Thread>) -> ThreadId {
    let this = thread::current();
    let id = this.id();
    threads.push(this);
    id
}

/// Once the lock is free.
fn wake(thread: Option<Thread>) {
    if let Some(thread) = thread {
        thread.unpark();
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
        wake(thread);
    }
}

impl<J> Drop for Giver<J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let mut threads = std::mem::take(&mut state.asleep);
        threads.append(&mut state.resting);
        drop(state);
        threads.iter().for_each(Thread::unpark);
    }
}

impl<J> Taker<J> {
    /// The next item, if there is one now, and this thread may work.
    pub(crate) fn try_take(&self) -> Option<J> {
        let state = self.handoff.lock();
        (self.number < state.allowed).then(|| Self::take_from(state)).flatten()
    }

    /// The next item, and until when the thread rested if it did; `None` when the
    /// queue has ended and is empty.
    pub(crate) fn take_waiting(&self) -> Option<(J, Option<Instant>)> {
        let mut state = self.handoff.lock();
        let (mut linger, mut rested) = (Linger::new(1), None);
        while !state.ended {
            if self.number >= state.allowed {
                state = self.handoff.rest(state);
                rested = Some(Instant::now());
            } else if state.queue.is_empty() {
                let (lock, sleep) = (|| self.handoff.lock(), |state| self.handoff.sleep(state));
                state = linger.wait(state, lock, sleep);
            } else {
                break;
            }
        }
        Self::take_from(state).map(|item| (item, rested))
    }

    fn take_from(mut state: MutexGuard<'_, State<J>>) -> Option<J> {
        let item = state.queue.pop_front();
        let thread = state.next_to_wake();
        drop(state);
        wake(thread);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_given_is_taken_once_and_the_end_is_told() {
        let (giver, handoff) = handoff();
        let taken = std::thread::scope(|scope| {
            let work = |number| {
                let taker = handoff.taker(number);
                std::iter::from_fn(|| taker.take_waiting()).map(|(item, _)| item).collect()
            };
            let threads: Vec<_> =
                (0..9).map(|number| scope.spawn(move || -> Vec<u32> { work(number) })).collect();
            for item in 0..10_000 {
                // Also while threads are sent to rest and called again.
                if item % 100 == 0 {
                    handoff.allow(1 + item as usize / 100 % 9);
                }
                giver.give(item);
            }
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
        assert_eq!(handoff.taker(0).try_take(), None);
        assert_eq!(handoff.taker(9).take_waiting(), None);
    }

    #[test]
    fn as_many_threads_are_woken_as_there_is_work_for() {
        // Each item is held until all are, so one thread too few would hang.
        let (giver, handoff) = handoff();
        let all = std::sync::Barrier::new(6);
        std::thread::scope(|scope| {
            for number in 0..6 {
                let (taker, all) = (handoff.taker(number), &all);
                scope.spawn(move || {
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

    #[test]
    fn those_that_may_not_work_do_not() {
        let (giver, handoff) = handoff();
        handoff.allow(2);
        (0..100).for_each(|item| giver.give(item));
        assert_eq!(handoff.taker(2).try_take(), None);
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| handoff.taker(5).take_waiting());
            let taker = handoff.taker(1);
            for expected in 0..100 {
                assert_eq!(taker.take_waiting(), Some((expected, None)));
            }
            while handoff.lock().resting.is_empty() {
                std::thread::yield_now();
            }
            // Allowed again, it says until when it was not.
            handoff.allow(6);
            giver.give(100);
            let (item, rested) = resting.join().unwrap().unwrap();
            assert!(item == 100 && rested.is_some_and(|rested| rested <= Instant::now()));
        });
    }
}
