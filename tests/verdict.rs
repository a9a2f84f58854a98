//! What a running loader says about itself: the culprit by name, what a change
//! brings, and that it says so when nothing comes.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use infeed::stats::{Advice, Bound, Change, Verdict};
use infeed::{LoaderBuilder, Stage};

use common::paced::{Pace, consume};
use common::scripted::{Act, Scripted};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn judged(builder: LoaderBuilder<u8>, step: Duration) -> Verdict {
    let (warm, end) = consume(builder.build().unwrap(), step);
    end.verdict_since(&warm)
}

/// `told` is within a fifth of `measured`.
fn near(told: f64, measured: f64, what: &dyn std::fmt::Display) {
    assert!((told - measured).abs() <= 0.2 * measured, "{told} for {measured}: {what}");
}

/// The advice, once it was taken, brought what it promised.
fn kept(verdict: &Verdict, then: &Verdict) {
    let Advice { wait, images_per_second, .. } = verdict.advice.unwrap();
    near(images_per_second, then.images_per_second, verdict);
    assert!((wait - then.wait).abs() < 0.1, "{wait} for {}: {verdict}", then.wait);
}

const SMALL: Pace = Pace {
    samples: 320,
    read: Duration::ZERO,
    decode: Duration::from_millis(1),
    one_in: 0,
    slow: Duration::ZERO,
    working_bytes: 0,
};

#[test]
fn a_slow_disk_is_named_and_readers_bring_what_was_said() {
    let pace = Pace { read: ms(30), ..SMALL };
    let run = |readers| {
        let loader = pace.loader().batch_size(8).threads(2).prefetch(8).readers(readers);
        judged(loader, ms(20))
    };
    let verdict = run(4);
    assert_eq!(verdict.bound, Bound::Read, "{verdict}");
    let Some(Advice { change: Change::Readers(readers), .. }) = verdict.advice else {
        panic!("{verdict}")
    };
    assert_eq!(readers, 16, "{verdict}");
    kept(&verdict, &run(readers));
    assert!(verdict.to_string().starts_with("read-bound: decoders wait "), "{verdict}");
}

#[test]
fn a_slow_disk_is_named_though_one_thread_has_enough_to_do() {
    // Of eight threads seven sleep all the time.
    let pace = Pace { read: ms(24), decode: ms(10), ..SMALL };
    let loader = pace.loader().batch_size(8).threads(8).prefetch(8).readers(2);
    let verdict = judged(loader, ms(20));
    assert_eq!(verdict.bound, Bound::Read, "{verdict}");
}

#[test]
fn a_slow_decoder_is_named_and_threads_bring_what_was_said() {
    let pace = Pace { decode: ms(10), ..SMALL };
    let run = |threads| judged(pace.loader().batch_size(8).threads(threads), ms(20));
    let verdict = run(2);
    assert_eq!(verdict.bound, Bound::Decode, "{verdict}");
    let Some(Advice { change: Change::Threads(threads), .. }) = verdict.advice else {
        panic!("{verdict}")
    };
    assert!((4..=6).contains(&threads), "{verdict}");
    kept(&verdict, &run(threads));
    assert!(verdict.to_string().contains("more threads it would "), "{verdict}");
}

#[test]
fn a_slow_consumer_is_named_with_what_the_loader_could_do() {
    let pace = Pace { decode: ms(5), ..SMALL };
    let run = |threads, step| judged(pace.loader().batch_size(8).threads(threads), step);
    let verdict = run(4, ms(50));
    assert_eq!(verdict.bound, Bound::Consumer, "{verdict}");
    near(verdict.capacity, run(4, ms(0)).images_per_second, &verdict);
    let Some(Advice { change: Change::Threads(threads), .. }) = verdict.advice else {
        panic!("{verdict}")
    };
    assert!(threads <= 2, "{verdict}");
    let then = run(threads, ms(50));
    assert!(then.wait < 0.05, "{then}");
    kept(&verdict, &then);
}

#[test]
fn a_tight_memory_limit_is_named_and_more_brings_what_was_said() {
    let pace = Pace { decode: ms(10), working_bytes: 400 << 10, ..SMALL };
    let builder = || pace.loader().batch_size(8).threads(4).prefetch(3).max_pixels(64);
    let asked = builder().memory_limit(1).build().unwrap_err().to_string();
    let least = asked.split("can need is ").nth(1).unwrap();
    let least: u64 = least.split(' ').next().unwrap().parse().unwrap();
    let run = |limit| judged(builder().memory_limit(limit), ms(20));
    let verdict = run(least);
    assert_eq!(verdict.bound, Bound::Memory, "{verdict}");
    let Some(Advice { change: Change::Memory(bytes), .. }) = verdict.advice else {
        panic!("{verdict}")
    };
    kept(&verdict, &run(least + bytes));
    assert!(verdict.to_string().contains("for memory"), "{verdict}");
}

#[test]
fn order_is_named_where_one_sample_holds_back_the_others() {
    let pace = Pace { decode: ms(1), one_in: 60, slow: ms(120), ..SMALL };
    let verdict = judged(pace.loader().batch_size(4).threads(4), ms(2));
    assert_eq!(verdict.bound, Bound::Order, "{verdict}");
    assert!(verdict.advice.unwrap().images_per_second > 1.2 * verdict.images_per_second);
}

#[test]
fn a_window_too_small_for_the_storage_is_named() {
    // Everything in the window is being read, and no reader more would help.
    let pace = Pace { read: ms(40), samples: 160, ..SMALL };
    let run = |prefetch| {
        let loader = pace.loader().batch_size(4).threads(2).readers(64).prefetch(prefetch);
        judged(loader, ms(1))
    };
    let verdict = run(1);
    assert_eq!(verdict.bound, Bound::Prefetch, "{verdict}");
    let Some(Advice { change: Change::Prefetch(prefetch), .. }) = verdict.advice else {
        panic!("{verdict}")
    };
    assert!(prefetch >= 8, "{verdict}");
    kept(&verdict, &run(prefetch));
}

#[test]
fn a_wait_that_is_too_long_says_where_the_oldest_sample_is() {
    for (act, stage) in [(Act::HeldTask, Stage::Read), (Act::HeldDecode, Stage::Decode)] {
        let mut acts = vec![Act::Good; 20];
        acts[9] = act;
        let source = Scripted::new(acts);
        let loader = source.loader().batch_size(4).threads(2).stall_report(Some(ms(200)));
        let mut loader = loader.build().unwrap();
        let monitor = loader.monitor();
        std::thread::scope(|scope| {
            let consumer = scope.spawn(move || {
                let rows: usize = loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
                (rows, loader.stats())
            });
            let looked = Instant::now();
            let mut stall = None;
            while stall.is_none() && looked.elapsed() < common::LIMIT {
                stall = monitor.stats().stall;
            }
            // The run goes on as if nothing had been.
            source.gate().open();
            let (rows, stats) = consumer.join().unwrap();
            assert_eq!((rows, stats.stalls), (20, 1));
            let stall = stall.unwrap();
            let oldest = stall.oldest.as_ref().unwrap();
            assert_eq!((oldest.stage, oldest.index), (stage, 9), "{stall}");
            assert_eq!(oldest.path, Scripted::path(9));
            assert!(oldest.seconds > 0.1 && stall.waiting_seconds >= 0.2, "{stall}");
            let text = stall.to_string();
            assert!(text.contains(oldest.path.to_str().unwrap()), "{text}");
        });
    }
}

#[test]
fn the_levels_of_a_run_are_recorded() {
    let pace = Pace { decode: ms(4), ..SMALL };
    let mut loader = pace.loader().batch_size(8).threads(2).build().unwrap();
    for batch in loader.epoch(0).unwrap() {
        drop(batch.unwrap());
    }
    let moments = loader.timeline().moments;
    assert!(moments.len() >= 3, "{}", moments.len());
    assert!(moments.is_sorted_by(|a, b| a.seconds < b.seconds && a.images <= b.images));
    assert!(moments.iter().any(|moment| moment.queue.decoding == 2));
    let stats = loader.stats();
    let memory = stats.memory;
    for level in [memory.batches, memory.encoded, memory.decode] {
        assert!(level.peak_bytes > 0 && level.peak_bytes <= level.limit_bytes, "{memory:?}");
    }
    let service = stats.stages.decode.service;
    assert!(service.p50 >= ms(4) && service.p50 <= service.p99, "{service:?}");
}

#[test]
fn failures_are_counted_by_cause() {
    let mut acts = vec![Act::Good; 30];
    (acts[3], acts[4], acts[20]) = (Act::ReadError, Act::OpenError, Act::OpenError);
    let source = Scripted::new(acts);
    let loader = source.loader().batch_size(5).on_error(infeed::OnError::skip());
    let mut loader = loader.build().unwrap();
    assert!(loader.epoch(0).unwrap().all(|batch| batch.is_ok()));
    let failures = loader.stats().failures;
    let counted: Vec<_> =
        failures.iter().map(|count| (count.stage, count.cause, count.samples)).collect();
    let expected =
        [(Stage::Read, infeed::CauseKind::Io, 1), (Stage::Decode, infeed::CauseKind::Corrupt, 2)];
    assert_eq!(counted, expected);
}
