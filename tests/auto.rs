//! Threads and prefetch depth that are left to the loader follow the consumer.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use infeed::stats::Knob;

use common::paced::{Pace, pass};

/// A loader of as many threads as there are cores gives `threads * 100` images/s.
const PACE: Pace = Pace {
    samples: 1_000_000,
    read: Duration::ZERO,
    decode: Duration::from_millis(10),
    one_in: 0,
    slow: Duration::ZERO,
    working_bytes: 0,
};

#[test]
fn a_slow_consumer_gets_by_with_one_thread_and_one_batch() {
    let mut loader = PACE.loader().batch_size(4).build().unwrap();
    let (auto, monitor) = (loader.config().auto, loader.monitor());
    assert!(auto.threads.is_some() && auto.readers.is_some() && auto.prefetch == Some(4));
    let (begun, mut warm) = (Instant::now(), None);
    // A step of 100 ms for 40 ms of one thread's work.
    for batch in loader.epoch(0).unwrap() {
        drop(batch.unwrap());
        pass(Duration::from_millis(100));
        if begun.elapsed() > Duration::from_secs(4) {
            warm.get_or_insert_with(|| monitor.stats());
        }
        if begun.elapsed() > Duration::from_secs(8) {
            break;
        }
    }
    let stats = monitor.stats();
    assert_eq!((stats.setting.threads, stats.setting.prefetch), (1, 1), "{:#?}", stats.decisions);
    assert!(stats.decisions.len() <= 3, "{:#?}", stats.decisions);
    assert!(stats.decisions.iter().all(|decision| decision.to < decision.from));
    let prefetch = stats.decisions.iter().find(|decision| decision.knob == Knob::Prefetch);
    assert!(prefetch.unwrap().reason.contains("the step waited"));
    let verdict = stats.verdict_since(&warm.unwrap());
    assert!(verdict.wait < 0.03, "{verdict}");
    // One batch in the making and one with the consumer.
    let batches = stats.memory.batches;
    assert_eq!(batches.bytes, 2 * batches.mean_bytes);
}

#[test]
fn what_is_set_stays() {
    let builder = PACE.loader().batch_size(4).threads(3).readers(5).prefetch(2);
    let mut loader = builder.build().unwrap();
    assert_eq!(loader.config().auto, infeed::config::Auto::default());
    for batch in loader.epoch(0).unwrap().take(15) {
        drop(batch.unwrap());
        pass(Duration::from_millis(100));
    }
    let stats = loader.stats();
    let setting = stats.setting;
    assert_eq!((setting.threads, setting.readers, setting.prefetch), (3, 5, 2));
    assert_eq!(stats.decisions, []);
}
