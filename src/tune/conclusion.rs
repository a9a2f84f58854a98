//! What the search came to: the report, its words, and how sure it is.

use std::ops::ControlFlow;
use std::time::Duration;

use super::ceilings::Reading;
use super::record::Ran;
use super::report::Report;
use super::search::Search;
use super::{Choice, Confidence, Recommendation, Searched, Timelines, Tried};
use crate::batch::Batch;
use crate::config::Resolved;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::stats::Bound;

/// Rates of the same work that differ by more tell of a noisy machine.
const NOISY: f64 = 0.1;

impl<T: Element, F: FnMut(&Batch<T>) -> ControlFlow<()>> Search<'_, T, F> {
    pub(super) fn conclude(self) -> Result<Report> {
        let warnings = self.warnings();
        let Some(recommendation) = self.select() else {
            return Err(Error::lost("there is nothing to choose from"));
        };
        let settings: Vec<Tried> =
            self.grid.choices().into_iter().map(|choice| self.tried(choice)).collect();
        let recommended = self.tried(recommendation.choice);
        let wait = |ran: &&Ran| ran.measured().wait;
        let worst = self.record.all().iter().max_by(|a, b| wait(a).total_cmp(&wait(b)));
        let best = self.record.get(recommendation.choice);
        let timelines = Timelines {
            best: best.map(|ran| ran.timeline.clone()).unwrap_or_default(),
            worst: worst.map(|ran| ran.timeline.clone()).unwrap_or_default(),
            worst_choice: worst.map(|ran| ran.choice),
        };
        let searched = self.searched.map(|(choice, seconds)| {
            let notches = self.grid.notches(choice, recommendation.choice);
            Searched { choice, seconds, notches }
        });
        let Resolved { batch_size, size, dtype, layout, color, .. } = self.config;
        let Resolved { wait_target, memory_limit, .. } = self.config;
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            source: self.tune.builder.root().display().to_string(),
            samples: self.samples,
            batch_size,
            image: format!("{size} {dtype} {layout} {color}"),
            cores: self.grid.most_threads(),
            step_seconds: self.model.step_seconds(),
            demand: self.model.demand(),
            wait_target,
            memory_limit,
            verdict: self.verdict(&recommendation, &recommended),
            confidence: confidence(&recommended, &warnings),
            recommendation,
            recommended,
            settings,
            ceilings: self.ceilings,
            warnings,
            seconds: self.begun.elapsed().as_secs_f64(),
            trials: self.record.trials(),
            searched,
            timelines,
        })
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Reading { first, later, mean_bytes, .. } = self.reading;
        if first > 3 * later && first > Duration::from_millis(1) {
            warnings.push(format!(
                "files came from the storage at first ({first:.1?} a read) and from memory later \
                 ({later:.1?}); the figures are for files in memory"
            ));
        }
        if let (Some(samples), Some(free)) = (self.samples, available_memory())
            && samples * mean_bytes > free
        {
            warnings.push(format!(
                "the files take {} MiB and {} MiB of memory are free: in training they come from \
                 the storage, which may be slower than what was measured here",
                (samples * mean_bytes) >> 20,
                free >> 20
            ));
        }
        if let [first, .., last] = self.repeated[..]
            && (first - last).abs() > NOISY * first
        {
            warnings.push(format!(
                "the machine was noisy: the same work gave {first:.0} and {last:.0} images/s"
            ));
        }
        if self.is_over() && !self.tune.exhaustive {
            let reason = "the time was up before it was sure; give it a larger budget";
            warnings.push(reason.to_owned());
        }
        warnings
    }

    fn tried(&self, choice: Choice) -> Tried {
        let ran = self.record.get(choice);
        let builder = self.tune.builder.again().threads(choice.threads).readers(choice.readers);
        let resolved = builder.prefetch(choice.prefetch).order(choice.order).resolve();
        let memory = resolved.map(|resolved| resolved.memory).ok();
        Tried {
            choice,
            predicted: ran.map_or_else(|| self.predicted(choice), |ran| ran.predicted),
            measured: ran.map(Ran::measured),
            memory_bytes: memory.map_or(0, |memory| memory.total_bytes),
            batches_bytes: memory.map_or(0, |memory| memory.batches_bytes),
        }
    }

    fn verdict(&self, recommendation: &Recommendation, recommended: &Tried) -> String {
        let Choice { threads, prefetch, order, .. } = recommendation.choice;
        let s = if threads == 1 { "" } else { "s" };
        let setting = format!("{threads} thread{s} and prefetch {prefetch}, {order}");
        let step = 1e3 * self.model.step_seconds();
        let told = recommended.measured.map_or(
            (recommended.predicted.images_per_second, recommended.predicted.wait),
            |measured| (measured.images_per_second, measured.wait),
        );
        let (rate, wait) = (told.0, 100.0 * told.1);
        let demand = self.model.demand();
        let capacity = self.model.capacity(Choice {
            threads: self.grid.most_threads(),
            readers: self.grid.most_readers(),
            prefetch: self.grid.most_prefetch(),
            order: self.config.order,
        });
        if recommendation.fed {
            return format!(
                "a step of {step:.1} ms is fed by {setting}: it waits {wait:.1} % of the time; the \
                 loader could deliver {capacity:.0} images/s, the step takes {rate:.0}"
            );
        }
        let ran = self.record.get(recommendation.choice).map(Ran::measured);
        let limit = match ran {
            Some(measured) => format!(" ({})", measured.bound.words()),
            None => String::new(),
        };
        let cores = demand / capacity.max(1e-9) * self.grid.most_threads() as f64;
        let help = match ran.map(|measured| measured.bound) {
            Some(Bound::Decode) => format!(
                ". It would take about {cores:.0} cores like these, smaller images, or a cache of \
                 decoded pixels"
            ),
            Some(Bound::Read) => {
                ". A faster storage would help, smaller files, or a cache of decoded pixels"
                    .to_owned()
            }
            _ => String::new(),
        };
        format!(
            "no setting feeds a step of {step:.1} ms, which would take {demand:.0} images/s: at best \
             it gets {rate:.0} and waits {wait:.0} % of the time, with {setting}{limit}{help}"
        )
    }
}

fn confidence(recommended: &Tried, warnings: &[String]) -> Confidence {
    let Some(measured) = recommended.measured else { return Confidence::Low };
    let predicted = recommended.predicted.images_per_second;
    let off = (predicted / measured.images_per_second.max(1e-9) - 1.0).abs();
    match warnings.is_empty() {
        true if off <= 0.1 => Confidence::High,
        _ if off <= 0.2 => Confidence::Fair,
        _ => Confidence::Low,
    }
}

/// Memory that can be had without swapping, where the kernel tells.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
