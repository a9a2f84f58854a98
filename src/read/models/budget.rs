//! The byte budget, with threads and tasks that wait together.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::sync::Barrier;

use crate::read::budget::{ByteBudget, Lease};
use crate::sync::{check, thread};

const LIMIT: u64 = 2048;

/// Who asks for bytes.
#[derive(Clone, Copy)]
enum Asks {
    Thread(usize, u64),
    Task(usize, u64),
    /// A task that is dropped while it waits.
    Dropped(usize),
}

fn ask(budget: &Arc<ByteBudget>, asks: Asks, mark: u8) {
    let lease = match asks {
        Asks::Thread(len, extra) => budget.take_waiting(len, extra).unwrap(),
        Asks::Task(len, extra) => block_on(budget.take(len, extra)).unwrap(),
        Asks::Dropped(len) => {
            let mut taking = pin!(budget.take(len, 0));
            drop(taking.as_mut().poll(&mut Context::from_waker(Waker::noop())));
            thread::yield_now();
            return;
        }
    };
    held(budget, lease, mark);
}

fn held(budget: &ByteBudget, mut lease: Lease, mark: u8) {
    let (first, last) = (0, lease.len() - 1);
    lease[first] = mark;
    lease[last] = mark;
    assert!(budget.level().bytes <= LIMIT);
    thread::yield_now();
    assert_eq!((lease[first], lease[last]), (mark, mark), "lent twice");
}

/// Each asks for all of its `requests`, one after the other.
fn model(everybody: &'static [&'static [Asks]]) {
    let budget = ByteBudget::new(LIMIT);
    let threads: Vec<_> = everybody
        .iter()
        .zip(1..)
        .map(|(requests, mark)| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || requests.iter().for_each(|&asks| ask(&budget, asks, mark)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let level = budget.level();
    assert!(level.bytes == 0 && level.peak_bytes <= LIMIT, "{level:?}");
}

#[test]
fn threads_are_served() {
    check(2_000, || {
        model(&[
            &[Asks::Thread(2048, 0), Asks::Thread(600, 1000)],
            &[Asks::Thread(1024, 0), Asks::Thread(1, 0)],
            &[Asks::Thread(500, 1500), Asks::Thread(1024, 0)],
            &[Asks::Thread(700, 0), Asks::Thread(700, 0)],
        ]);
    });
}

#[test]
fn tasks_are_served() {
    check(2_000, || {
        model(&[
            &[Asks::Task(2048, 0), Asks::Task(600, 1000)],
            &[Asks::Task(1024, 0), Asks::Task(1, 0)],
            &[Asks::Task(500, 1500), Asks::Task(1024, 0)],
            &[Asks::Task(700, 0), Asks::Task(700, 0)],
        ]);
    });
}

#[test]
fn threads_and_tasks_are_served_together() {
    check(2_000, || {
        model(&[
            &[Asks::Task(2048, 0), Asks::Thread(600, 1000)],
            &[Asks::Thread(2048, 0), Asks::Task(1, 0)],
            &[Asks::Task(500, 1500), Asks::Task(1024, 0)],
            &[Asks::Thread(700, 0), Asks::Thread(700, 0)],
        ]);
    });
}

#[test]
fn a_task_that_is_dropped_leaves_its_turn_to_another() {
    check(2_000, || {
        model(&[
            &[Asks::Task(2048, 0), Asks::Task(600, 0)],
            &[Asks::Dropped(2048), Asks::Dropped(1)],
            &[Asks::Task(2048, 0), Asks::Dropped(2048)],
            &[Asks::Task(1500, 0)],
        ]);
    });
}

#[test]
fn one_return_serves_all_that_fit() {
    for [threads, tasks] in [[3, 0], [0, 3], [2, 2]] {
        check(1_000, move || {
            let budget = ByteBudget::new(LIMIT);
            let whole = budget.try_take(2048, 0).unwrap();
            let everybody = threads + tasks;
            let served = Arc::new(Barrier::new(everybody));
            let threads: Vec<_> = (0..everybody)
                .map(|number| {
                    let (budget, served) = (Arc::clone(&budget), Arc::clone(&served));
                    thread::spawn(move || {
                        let lease = match number < threads {
                            true => budget.take_waiting(400, 0).unwrap(),
                            false => block_on(budget.take(400, 0)).unwrap(),
                        };
                        // Kept until all have theirs.
                        served.wait();
                        drop(lease);
                    })
                })
                .collect();
            drop(whole);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
