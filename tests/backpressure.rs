//! Backpressure, as exact numbers of files opened while the consumer stands
//! still, and the memory of batches, used again.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::oracle::{self, Item};
use common::scripted::{Act, Scripted};
use common::{until_full, within};
use infeed::{Batch, LastBatch, OnError, Order};

/// Long enough for a granter that would go on to do so.
const MOMENT: Duration = Duration::from_millis(30);

/// Waits until everything that was opened has been decoded, and for a moment
/// more: then nothing else may have been opened.
fn assert_settled(source: &Scripted, opened: u64) {
    source.opened().wait_for(opened);
    source.decoded().wait_for(opened);
    source.opened().stays_at(opened, MOMENT);
}

#[test]
fn standing_still_opens_no_file_too_many() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            for (samples, batch_size, prefetch) in [(100, 4, 2), (100, 5, 1), (30, 3, 4), (9, 2, 8)]
            {
                let source = Scripted::good(samples);
                let builder = source.loader().batch_size(batch_size).prefetch(prefetch);
                let mut loader = builder.order(order).threads(2).build().unwrap();
                watch.on(&loader);
                source.opened().stays_at(0, MOMENT);
                let mut epoch = loader.epoch(0).unwrap();
                for taken in 0..4 {
                    let expected = samples.min((taken + prefetch) * batch_size);
                    assert_settled(&source, expected as u64);
                    assert!(epoch.next().unwrap().unwrap().len() <= batch_size);
                }
            }
        }
    });
}

/// The granter is not woken for each sample, yet grants what there is room for:
/// at the latest when the work that is out runs low.
#[test]
fn a_deep_window_fills_up_again() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let act = |index| if (3..5).contains(&index) { Act::HeldDecode } else { Act::Good };
            let source = Scripted::new((0..100).map(act).collect());
            let builder = source.loader().batch_size(1).prefetch(64).max_file_bytes(1 << 20);
            let mut loader = builder.order(order).threads(2).build().unwrap();
            watch.on(&loader);
            let mut epoch = loader.epoch(0).unwrap();
            for _ in 0..3 {
                epoch.next().unwrap().unwrap();
            }
            // The consumer stands still; what it made room for is to be filled.
            source.opened().wait_for(64);
            source.gate().open();
            assert_settled(&source, 3 + 64);
        }
    });
}

#[test]
fn a_full_window_is_what_the_monitor_says() {
    within(|watch| {
        let source = Scripted::good(60);
        let mut loader = source.loader().batch_size(4).prefetch(3).build().unwrap();
        watch.on(&loader);
        let monitor = loader.monitor();
        let mut epoch = loader.epoch(0).unwrap();
        for taken in 0..5 {
            until_full(&monitor);
            let stats = monitor.stats();
            assert_eq!(stats.stages.read.items, (taken + 3) * 4);
            assert_eq!(stats.stages.transform.items, (taken + 3) * 4);
            assert_eq!(source.opened().get(), (taken + 3) * 4);
            epoch.next().unwrap().unwrap();
        }
    });
}

#[test]
fn unordered_failures_take_no_room() {
    within(|watch| {
        let fails = |index: usize| index % 3 == 1 || (20..30).contains(&index);
        let act = |index| if fails(index) { Act::PixelsError } else { Act::Good };
        let source = Scripted::new((0..100).map(act).collect());
        let builder = source.loader().batch_size(4).prefetch(2).order(Order::Unordered);
        let mut loader = builder.on_error(OnError::skip()).build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        for taken in 0..5 {
            // As many files as have that many good ones among them.
            let good = (0..100).filter(|&index| !fails(index));
            let opened = good.take((taken + 2) * 4).last().unwrap() + 1;
            assert_settled(&source, opened as u64);
            assert_eq!(epoch.next().unwrap().unwrap().len(), 4);
        }
    });
}

#[test]
fn ordered_failures_keep_their_room() {
    within(|watch| {
        let mut acts = vec![Act::Good; 100];
        (0..100).step_by(3).for_each(|index| acts[index] = Act::PixelsPanic);
        let source = Scripted::new(acts);
        let builder = source.loader().batch_size(4).prefetch(2).on_error(OnError::skip());
        let mut loader = builder.build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        for taken in 0..5 {
            assert_settled(&source, (taken + 2) * 4);
            epoch.next().unwrap().unwrap();
        }
    });
}

#[test]
fn the_window_reaches_across_announced_epochs() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            for (last, sizes) in [
                (LastBatch::Keep, &[4, 4, 2][..]),
                (LastBatch::Drop, &[4, 4]),
                (LastBatch::Pad, &[4, 4, 4]),
            ] {
                let source = Scripted::good(10);
                let builder = source.loader().batch_size(4).prefetch(2).last_batch(last);
                let mut loader = builder.order(order).build().unwrap();
                watch.on(&loader);
                let mut epochs = loader.epochs(0..3).unwrap();
                let all: Vec<usize> = (0..3).flat_map(|_| sizes.iter().copied()).collect();
                for taken in 0..all.len() {
                    let ahead: usize = all.iter().take(taken + 2).sum();
                    assert_settled(&source, ahead as u64);
                    assert_eq!(epochs.next().unwrap().unwrap().len(), all[taken]);
                }
                assert!(epochs.next().is_none());
                source.opened().stays_at(all.iter().sum::<usize>() as u64, MOMENT);
            }
        }
    });
}

#[test]
fn nothing_is_opened_before_and_after_an_epoch() {
    within(|watch| {
        let source = Scripted::good(20);
        let mut loader = source.loader().batch_size(4).prefetch(2).build().unwrap();
        watch.on(&loader);
        source.opened().stays_at(0, MOMENT);
        let mut epoch = loader.epoch(0).unwrap();
        epoch.next().unwrap().unwrap();
        assert_settled(&source, 12);
        drop(epoch);
        source.opened().stays_at(12, MOMENT);
        // A forgotten epoch is cancelled by the next, which has the whole window.
        std::mem::forget(loader.epoch(1).unwrap());
        assert_settled(&source, 20);
        let epoch = loader.epoch(2).unwrap();
        assert_settled(&source, 28);
        assert_eq!(epoch.map(|batch| batch.unwrap().len()).sum::<usize>(), 20);
        source.opened().stays_at(40, MOMENT);
    });
}

#[test]
fn no_more_reads_at_once_than_readers() {
    within(|watch| {
        for (readers, act) in [(1, Act::HeldTask), (3, Act::HeldTask), (5, Act::HeldThread)] {
            let source = Scripted::new(vec![act; 40]);
            let builder = source.loader().batch_size(10).prefetch(2).readers(readers);
            let mut loader = builder.read_timeout(None).build().unwrap();
            watch.on(&loader);
            let epoch = loader.epoch(0).unwrap();
            source.opened().wait_for(readers as u64);
            source.opened().stays_at(readers as u64, MOMENT);
            source.gate().open();
            assert_eq!(epoch.count(), 4);
        }
    });
}

fn address(batch: &Batch<u8>) -> usize {
    batch.as_slice().as_ptr().addr()
}

#[test]
fn batches_live_in_the_same_memory_epoch_after_epoch() {
    within(|watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let source = Scripted::good(40);
            let builder = source.loader().batch_size(4).prefetch(2).order(order);
            let mut loader = builder.build().unwrap();
            watch.on(&loader);
            let mut seen = HashSet::new();
            for epoch in 0..5 {
                for batch in loader.epoch(epoch).unwrap() {
                    seen.insert(address(&batch.unwrap()));
                }
            }
            assert!(seen.len() <= 3, "prefetch + held_batches, not {}", seen.len());
        }
    });
}

#[test]
fn a_whole_epoch_can_be_kept() {
    within(|watch| {
        let source = Scripted::good(50);
        let mut loader = source.loader().batch_size(4).prefetch(2).build().unwrap();
        watch.on(&loader);
        let kept: Vec<_> = loader.epoch(0).unwrap().map(Result::unwrap).collect();
        let addresses: HashSet<usize> = kept.iter().map(address).collect();
        assert_eq!(addresses.len(), 13, "every batch has its own memory");
        // They stay as they are while another epoch runs, and after the loader.
        assert_eq!(loader.epoch(1).unwrap().count(), 13);
        drop(loader);
        let items: Vec<Item> = kept.into_iter().map(|batch| Item::from(Ok(batch))).collect();
        let acts = [Act::Good; 50];
        assert_eq!(items, oracle::serial(&acts, 4, LastBatch::Keep, OnError::Fail, 0..1).0);
    });
}

#[test]
fn held_batches_do_not_stop_the_loader() {
    within(|watch| {
        let source = Scripted::good(60);
        let builder = source.loader().batch_size(4).prefetch(1).held_batches(3);
        let mut loader = builder.build().unwrap();
        watch.on(&loader);
        let (mut held, mut seen) = (std::collections::VecDeque::new(), HashSet::new());
        for epoch in 0..4 {
            for batch in loader.epoch(epoch).unwrap() {
                let batch = batch.unwrap();
                assert!(held.iter().all(|other| address(other) != address(&batch)));
                seen.insert(address(&batch));
                held.push_back(batch);
                if held.len() == 3 {
                    held.pop_front();
                }
            }
        }
        assert!(seen.len() <= 4, "prefetch + held_batches, not {}", seen.len());
    });
}

#[test]
fn an_array_of_ones_own_leaves_the_pool() {
    within(|watch| {
        let source = Scripted::good(10);
        let mut loader = source.loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        let arrays = loader.epoch(0).unwrap().map(|batch| batch.unwrap().into_array());
        let arrays: Vec<_> = arrays.collect();
        assert_eq!(arrays.iter().map(|array| array.shape()[0]).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(loader.epoch(1).unwrap().count(), 3);
        for (number, array) in arrays.iter().enumerate() {
            let expected: Vec<u8> =
                (number as u64 * 4..10).take(4).flat_map(common::scripted::picture).collect();
            assert_eq!(array.iter().copied().collect::<Vec<u8>>(), expected);
        }
    });
}
