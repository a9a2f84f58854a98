//! The figures of a running loader for whoever collects them through the `metrics`
//! facade.
//!
//! ```text
//! infeed_items_total{stage}                       files, samples, batches
//! infeed_bytes_total{stage}
//! infeed_busy_microseconds_total{stage}           thread time
//! infeed_waiting_microseconds_total{stage, for}   for: input, output
//! infeed_failures_total{stage, cause}
//! infeed_stalls_total
//! infeed_queue{of}                                reading, read, decoding, waiting, making
//! infeed_setting{of}                              threads, readers, prefetch
//! infeed_memory_bytes{of}                         batches, encoded, decode
//! infeed_consumer_seconds{of}                     a histogram; wait, step
//! ```
//!
//! All but the last are published ten times a second while something is under way.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::stats::{FailureCount, StageStats, Stats};

/// What has been published: counters grow by what is new.
#[derive(Debug, Default)]
pub(crate) struct Published {
    stages: [StageStats; 5],
    failures: Vec<FailureCount>,
    stalls: u64,
}

impl Published {
    pub(crate) fn publish(&mut self, stats: &Stats) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for ((stage, now), before) in stats.stages.iter().into_iter().zip(&mut self.stages) {
            let grow = |name, now: u64, before: u64| {
                counter!(name, "stage" => stage).increment(now.saturating_sub(before));
            };
            grow("infeed_items_total", now.items, before.items);
            grow("infeed_bytes_total", now.bytes, before.bytes);
            grow("infeed_busy_microseconds_total", micros(now.busy), micros(before.busy));
            let waits = [
                ("input", now.waiting_for_input, before.waiting_for_input),
                ("output", now.waiting_for_output, before.waiting_for_output),
            ];
            for (of, now, before) in waits {
                let waiting =
                    counter!("infeed_waiting_microseconds_total", "stage" => stage, "for" => of);
                waiting.increment(micros(now).saturating_sub(micros(before)));
            }
            *before = now;
        }
        for failure in &stats.failures {
            let FailureCount { stage, cause, samples } = *failure;
            let same = |before: &&mut FailureCount| (before.stage, before.cause) == (stage, cause);
            let before = self.failures.iter_mut().find(same);
            let (stage, cause) = (stage.to_string(), cause.to_string());
            let counter = counter!("infeed_failures_total", "stage" => stage, "cause" => cause);
            match before {
                Some(before) => counter.increment(samples - before.samples),
                None => counter.increment(samples),
            }
        }
        self.failures.clone_from(&stats.failures);
        counter!("infeed_stalls_total").increment(stats.stalls - self.stalls);
        self.stalls = stats.stalls;
        let (queue, setting, memory) = (stats.queue, stats.setting, stats.memory);
        let levels = [
            ("infeed_queue", "reading", queue.reading as u64),
            ("infeed_queue", "read", queue.read as u64),
            ("infeed_queue", "decoding", queue.decoding as u64),
            ("infeed_queue", "waiting", queue.waiting as u64),
            ("infeed_queue", "making", queue.making as u64),
            ("infeed_setting", "threads", setting.threads as u64),
            ("infeed_setting", "readers", setting.readers as u64),
            ("infeed_setting", "prefetch", setting.prefetch as u64),
            ("infeed_memory_bytes", "batches", memory.batches.bytes),
            ("infeed_memory_bytes", "encoded", memory.encoded.bytes),
            ("infeed_memory_bytes", "decode", memory.decode.bytes),
        ];
        for (name, of, level) in levels {
            gauge!(name, "of" => of).set(level as f64);
        }
    }
}

/// The consumer has waited so long for a batch, or was away so long with one.
pub(crate) fn consumer(of: &'static str, time: Duration) {
    histogram!("infeed_consumer_seconds", "of" => of).record(time.as_secs_f64());
}
