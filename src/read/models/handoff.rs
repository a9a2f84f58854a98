//! The queue to the decoders.

use shuttle::sync::Barrier;
use shuttle::sync::mpsc::channel;

use crate::read::handoff;
use crate::sync::{check, thread};

const TAKERS: usize = 3;

/// Items are given, and `allow` changes meanwhile; the queue ends when all have
/// been taken, or, `hasty`, before.
fn model(items: u32, allowed: &'static [usize], hasty: bool) {
    let (giver, handoff) = handoff();
    let (sender, taken) = channel();
    let takers: Vec<_> = (0..TAKERS)
        .map(|number| {
            let (taker, taken) = (handoff.taker(number), sender.clone());
            thread::spawn(move || {
                let waiting = || taker.take_waiting().map(|(item, _)| item);
                while let Some(item) = taker.try_take().or_else(waiting) {
                    taken.send(item).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let allowing = handoff.clone();
    let allow = thread::spawn(move || allowed.iter().for_each(|&count| allowing.allow(count)));
    (0..items).for_each(|item| giver.give(item));
    let mut all = Vec::new();
    if !hasty {
        all.extend((0..items).map(|_| taken.recv().unwrap()));
    }
    drop(giver);
    all.extend(std::iter::from_fn(|| taken.recv().ok()));
    all.sort_unstable();
    assert!(all.into_iter().eq(0..items), "each is taken once");
    allow.join().unwrap();
    takers.into_iter().for_each(|taker| taker.join().unwrap());
    assert_eq!(handoff.len(), 0);
}

#[test]
fn everything_given_is_taken_once_before_the_end() {
    check(2_000, || model(5, &[], false));
}

#[test]
fn the_end_is_told_to_all() {
    check(2_000, || model(3, &[1, 3], true));
}

#[test]
fn nobody_is_forgotten_when_fewer_may_work_and_more_again() {
    check(2_000, || model(4, &[1, 3, 0, 2], false));
    check(2_000, || model(4, &[0, 1], false));
    check(2_000, || model(2, &[2, 1], false));
}

#[test]
fn as_many_are_woken_as_there_is_work_for() {
    check(2_000, || {
        // Each item is held until all are taken.
        let (giver, handoff) = handoff();
        let all = std::sync::Arc::new(Barrier::new(TAKERS));
        let (sender, taken) = channel();
        let takers: Vec<_> = (0..TAKERS)
            .map(|number| {
                let (taker, all) = (handoff.taker(number), all.clone());
                let taken = sender.clone();
                thread::spawn(move || {
                    while taker.take_waiting().is_some() {
                        all.wait();
                        taken.send(()).unwrap();
                    }
                })
            })
            .collect();
        (0..2 * TAKERS).for_each(|item| giver.give(item));
        (0..2 * TAKERS).for_each(|_| taken.recv().unwrap());
        drop(giver);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}
