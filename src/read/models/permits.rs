//! The permits, and the granter, who is woken for one that comes back.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::mpsc::channel;

use crate::read::Permits;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Notify, check, check_all, thread};

/// A granter begins `reads`, and threads end them; the number of readers changes
/// meanwhile.
fn model(readers: usize, reads: usize, changes: &'static [isize]) {
    let (permits, changed) = (Arc::new(Permits::new(readers)), Arc::new(Notify::new()));
    let in_progress = Arc::new(AtomicUsize::new(0));
    let most = readers + changes.iter().filter_map(|&by| usize::try_from(by).ok()).sum::<usize>();
    let (sender, begun) = channel();
    let granter = {
        let (permits, changed) = (Arc::clone(&permits), Arc::clone(&changed));
        let in_progress = Arc::clone(&in_progress);
        thread::spawn(move || {
            block_on(async {
                for read in 0..reads {
                    let permit = loop {
                        match permits.take() {
                            Some(permit) => break permit,
                            None => changed.notified().await,
                        }
                    };
                    // Some are done at once, which gives their right back.
                    if read % 3 == 1 {
                        continue;
                    }
                    permit.keep();
                    assert!(in_progress.fetch_add(1, Ordering::SeqCst) < most);
                    sender.send(read).unwrap();
                }
            });
        })
    };
    let changing = {
        let (permits, changed) = (Arc::clone(&permits), Arc::clone(&changed));
        thread::spawn(move || {
            for &by in changes {
                permits.change(by);
                changed.notify_one();
            }
        })
    };
    for _ in begun {
        in_progress.fetch_sub(1, Ordering::SeqCst);
        permits.give_back();
        changed.notify_one();
    }
    granter.join().unwrap();
    changing.join().unwrap();
    let left = readers as isize + changes.iter().sum::<isize>();
    (0..left).for_each(|_| permits.take().unwrap().keep());
    assert!(permits.take().is_none());
}

#[test]
fn reads_go_on_with_whatever_permits_there_are() {
    check(2_000, || model(1, 4, &[]));
    check(2_000, || model(3, 6, &[-2, 1, -1, 2]));
}

#[test]
fn every_order_of_a_few_steps() {
    check_all(|| model(1, 1, &[1]));
}
