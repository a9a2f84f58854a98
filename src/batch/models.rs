//! Batch memory under many schedules.

use std::sync::Arc;

use super::{Buffer, Pool, Rows};
use crate::sync::{check, check_all, thread};

/// Threads that take, write and give back, while another says how much is kept.
fn pool(close: bool) {
    const THREADS: usize = 3;
    let pool = Pool::<u8>::new(2, 2);
    let threads: Vec<_> = (1..=THREADS as u8)
        .map(|mark| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                for round in 0..2 {
                    let rows = Arc::new(Rows::new(pool.take().unwrap(), 2));
                    rows.claim(0).unwrap().fill(mark);
                    thread::yield_now();
                    let buffer = rows.into_inner().unwrap();
                    assert_eq!(buffer.as_slice(), [mark; 2], "lent twice");
                    match (mark, round) {
                        (1, 1) => drop(buffer.into_vec()),
                        _ => drop(buffer),
                    }
                }
            })
        })
        .collect();
    pool.keep(1);
    assert!(pool.existing() <= THREADS);
    if close {
        pool.close();
    } else {
        pool.keep(3);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let level = pool.level();
    assert!(level.peak_bytes <= 2 * THREADS as u64, "{level:?}");
    if close {
        assert_eq!(level.bytes, 0);
        return;
    }
    // As many as it says are there, and no more.
    let existing = pool.existing();
    let taken: Vec<_> = (0..existing).map(|_| pool.take().unwrap()).collect();
    assert_eq!(pool.existing(), existing);
    drop((pool.take().unwrap(), taken));
}

/// Threads that want the same rows.
fn claims(threads: u8, rows: usize) {
    let memory = Arc::new(Rows::new(Pool::<u8>::new(2 * rows, 1).take().unwrap(), 2));
    let threads: Vec<_> = (1..=threads)
        .map(|mark| {
            let memory = Arc::clone(&memory);
            thread::spawn(move || {
                for row in 0..rows {
                    let Some(mut row) = memory.claim(row) else { continue };
                    row.fill(mark);
                    thread::yield_now();
                    assert_eq!(*row, [mark; 2], "claimed twice");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let memory = memory.into_inner().unwrap();
    assert!(memory.as_slice().chunks(2).all(|row| row[0] > 0 && row[0] == row[1]));
}

/// The owner wants the memory while threads fill its rows.
fn fills(rows: usize) {
    let memory = Arc::new(Rows::new(Pool::<u8>::new(2 * rows, 1).take().unwrap(), 2));
    let threads: Vec<_> = (0..rows)
        .map(|row| {
            let mut row = memory.claim(row).unwrap();
            thread::spawn(move || {
                row[0] = 1;
                thread::yield_now();
                row[1] = 1;
            })
        })
        .collect();
    let memory = memory.into_inner();
    let early = memory.is_ok();
    let full = |memory: &Buffer<u8>| memory.as_slice().iter().all(|&element| element == 1);
    assert!(memory.as_ref().is_ok_and(full) == early, "had while it is being written");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let memory = memory.or_else(Rows::into_inner).unwrap();
    assert!(full(&memory));
}

#[test]
fn no_buffer_is_lent_twice_and_all_are_counted() {
    check(3_000, || pool(false));
    check(3_000, || pool(true));
}

#[test]
fn no_row_is_claimed_twice() {
    check(3_000, || claims(3, 2));
}

#[test]
fn memory_is_had_when_no_row_is_out() {
    check(3_000, || fills(3));
}

#[test]
fn every_order_of_two_threads() {
    check_all(|| claims(2, 1));
    check_all(|| fills(2));
}
