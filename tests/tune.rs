//! The recommendation, where the answer is known; a budget that is kept; sources and
//! steps at the edge.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use infeed::tune::{Choice, Report, Tune};
use infeed::{ErrorKind, LastBatch, LoaderBuilder, Order};

use common::paced::Pace;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Takes what its parts say, on as many threads as there are cores.
const PACE: Pace = Pace {
    samples: 400,
    read: Duration::ZERO,
    decode: Duration::from_millis(5),
    one_in: 0,
    slow: Duration::ZERO,
    working_bytes: 0,
};

fn tuned(builder: LoaderBuilder<u8>, step: Duration, seconds: u64) -> Report {
    let budget = Duration::from_secs(seconds);
    let begun = Instant::now();
    let report = Tune::new(builder).budget(budget).step(step).unwrap();
    assert!(begun.elapsed() < budget + Duration::from_secs(2), "{:?}", begun.elapsed());
    serde_json::to_string(&report).unwrap();
    report
}

fn near(told: f64, expected: f64) {
    assert!((told - expected).abs() < 0.15 * expected, "{told} for {expected}");
}

#[test]
fn a_step_that_one_thread_feeds_gets_one_thread() {
    // 200 images/s a thread, and 100 are wanted.
    let report = tuned(PACE.loader().batch_size(8), ms(80), 20);
    let Choice { threads, prefetch, order, .. } = report.recommendation.choice;
    assert!(report.recommendation.fed, "{}", report.verdict);
    assert_eq!((threads, order), (1, Order::Ordered), "{}", report.verdict);
    assert!(prefetch <= 2, "{}", report.verdict);
    let measured = report.recommended.measured.unwrap();
    assert!(measured.wait <= 0.01, "{measured:?}");
    near(report.recommended.predicted.images_per_second, measured.images_per_second);
    let (threads, ceiling) = report.ceilings.decode_and_transform[0];
    assert_eq!(threads, 1);
    near(ceiling.images_per_second, 200.0);
    assert!(report.recommendation.flags().starts_with("--threads 1 "));
    assert!(report.settings.iter().any(|tried| tried.measured.is_none()), "it stops early");
}

#[test]
fn a_step_that_nothing_feeds_is_said_to_be_so() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let report = tuned(PACE.loader().batch_size(8), ms(1), 20);
    assert!(!report.recommendation.fed);
    let measured = report.recommended.measured.unwrap();
    near(measured.images_per_second, 200.0 * cores as f64);
    near(report.recommended.predicted.images_per_second, measured.images_per_second);
    assert!(report.verdict.starts_with("no setting feeds"), "{}", report.verdict);
    assert_eq!(report.recommendation.choice.threads, cores);
}

#[test]
fn readers_are_what_a_slow_storage_gets() {
    // A read takes 40 ms, so 4 readers bring 100 images/s; 200 are wanted.
    let pace = Pace { read: ms(40), decode: ms(1), ..PACE };
    let report = tuned(pace.loader().batch_size(8), ms(40), 20);
    let read = &report.ceilings.read;
    near(read[0].1.images_per_second, 100.0);
    near(read[1].1.images_per_second, 400.0);
    assert!(report.recommendation.fed, "{}", report.verdict);
    assert_eq!(report.recommendation.choice.readers, 16, "{}", report.verdict);
}

#[test]
fn limits_hold() {
    let builder = PACE.loader().batch_size(8);
    let tune = Tune::new(builder).cpu_limit(1).budget(Duration::from_secs(6));
    let report = tune.step(ms(5)).unwrap();
    assert!(report.settings.iter().all(|tried| tried.choice.threads == 1));
    // Room for two batches of a megapixel and not for nine.
    let large = || PACE.loader().batch_size(8).size(1000, 1000);
    let memory = large().prefetch(2).readers(16).resolve().unwrap().memory.total_bytes;
    let tune = Tune::new(large().memory_limit(memory)).budget(Duration::from_secs(6));
    let report = tune.step(ms(5)).unwrap();
    assert!(report.settings.iter().all(|tried| tried.memory_bytes <= memory));
    assert!(report.settings.iter().all(|tried| tried.choice.prefetch <= 2));
}

#[test]
fn single_samples_and_long_steps_are_measured_all_the_same() {
    let pace = Pace { samples: 3, ..PACE };
    let report = tuned(pace.loader().batch_size(1), ms(150), 8);
    assert!(report.recommendation.fed, "{}", report.verdict);
    assert!((report.step_seconds - 0.15).abs() < 0.02, "{}", report.step_seconds);
}

#[test]
fn an_epoch_without_a_batch_is_refused() {
    let builder = Pace { samples: 3, ..PACE }.loader().batch_size(8);
    let error = Tune::new(builder.last_batch(LastBatch::Drop)).step(ms(1)).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("batch_size")), "{error}");
}

#[test]
fn a_step_can_put_an_end_to_it() {
    let mut left = 3;
    let tune = Tune::new(PACE.loader().batch_size(8));
    let error = tune.run_while(|_| {
        left -= 1;
        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((error.unwrap_err().kind(), left), (ErrorKind::Stopped, 0));
}

#[test]
fn a_budget_of_nothing_is_refused() {
    let tune = Tune::new(PACE.loader()).budget(ms(10));
    assert_eq!(tune.step(ms(1)).unwrap_err().field(), Some("budget"));
}
