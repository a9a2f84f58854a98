//! What whoever collects figures through the `metrics` facade is told.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use infeed::{Loader, OnError};
use metrics::atomics::AtomicU64;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Collected {
    fn of(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        let name = format!("{}{{{}}}", key.name(), labels.collect::<Vec<_>>().join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn told(&self, name: &str) -> u64 {
        let collected = self.0.lock().unwrap();
        collected.get(name).unwrap_or_else(|| panic!("{name}")).load(Ordering::SeqCst)
    }
}

/// Counts what is recorded.
struct Counted(Arc<AtomicU64>);

impl HistogramFn for Counted {
    fn record(&self, seconds: f64) {
        assert!((0.0..60.0).contains(&seconds));
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder for Collected {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Counted(self.of(key))))
    }
}

#[test]
fn the_figures_of_a_run_arrive() {
    let collected = Collected::default();
    metrics::set_global_recorder(collected.clone()).map_err(|_| "a recorder").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..7 {
        let mut picture = b"P6 4 4 255\n".to_vec();
        picture.resize(picture.len() + 48, number);
        std::fs::write(folder.path().join(format!("{number}.ppm")), picture).unwrap();
    }
    std::fs::write(folder.path().join("broken.jpg"), b"no picture").unwrap();
    let builder = Loader::folder(folder.path()).size(16, 16).batch_size(2).threads(1);
    let mut loader = builder.on_error(OnError::skip()).build().unwrap();
    let mut delivered = (0, 0);
    for batch in loader.epochs(0..3).unwrap() {
        delivered = (delivered.0 + 1, delivered.1 + batch.unwrap().len() as u64);
    }
    // What is new since the last look is published now.
    drop(loader);
    assert_eq!(collected.told("infeed_items_total{stage=batch}"), delivered.0);
    assert_eq!(collected.told("infeed_items_total{stage=transform}"), delivered.1);
    assert_eq!(collected.told("infeed_failures_total{stage=decode,cause=unsupported}"), 3);
    assert_eq!(collected.told("infeed_consumer_seconds{of=wait}"), delivered.0);
    assert!(collected.told("infeed_busy_microseconds_total{stage=decode}") > 0);
    let gauge = |name| f64::from_bits(collected.told(name));
    assert!((gauge("infeed_setting{of=threads}") - 1.0).abs() < f64::EPSILON);
    // Of a loader that has gone.
    assert!(gauge("infeed_memory_bytes{of=batches}").abs() < f64::EPSILON);
}
