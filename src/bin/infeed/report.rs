//! What a run comes to: for people, and as JSON.

use std::io::{self, Write};

use infeed::config::Resolved;
use infeed::stats::{Bound, CacheStats, EpochStats, Level, Stats};
use serde_json::{Value, json};

use crate::system::peak_rss_bytes;
use crate::units::{Bytes, count, duration, time, wrapped};

/// A finished or interrupted run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) source: String,
    pub(crate) config: Resolved,
    pub(crate) epochs: Vec<EpochStats>,
    pub(crate) stats: Stats,
    pub(crate) seconds: f64,
    pub(crate) first_batch_seconds: Option<f64>,
    /// One for each failed sample that is known by name.
    pub(crate) errors: Vec<Value>,
    /// What ended the run, if something did.
    pub(crate) error: Option<String>,
    pub(crate) interrupted: bool,
}

impl Report {
    fn images(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.images).sum()
    }

    fn batches(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.batches).sum()
    }

    fn failed(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.failed).sum()
    }

    fn replaced(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.replaced).sum()
    }

    fn images_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.images() as f64 / self.seconds } else { 0.0 }
    }

    pub(crate) fn json(&self) -> Value {
        let epochs = self.epochs.iter().map(|epoch| {
            let mut value = serde_json::to_value(epoch).unwrap_or_default();
            value["images_per_second"] = json!(epoch.images_per_second());
            value["skipped"] = json!(epoch.failed - epoch.replaced);
            value
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "source": self.source,
            "images": self.images(),
            "batches": self.batches(),
            "skipped": self.failed() - self.replaced(),
            "replaced": self.replaced(),
            "seconds": self.seconds,
            "images_per_second": self.images_per_second(),
            "first_batch_seconds": self.first_batch_seconds,
            "peak_rss_bytes": peak_rss_bytes(),
            "interrupted": self.interrupted,
            "error": self.error,
            "config": self.config,
            "setting": self.stats.setting,
            "decisions": self.stats.decisions,
            "stages": self.stats.stages,
            "verdict": verdict_json(&self.stats),
            "decoders": self.stats.decoders,
            "memory": self.stats.memory,
            "failures": self.stats.failures,
            "stalls": self.stats.stalls,
            "cache": self.stats.cache.as_ref().map(cache_json),
            "epochs": epochs.collect::<Vec<_>>(),
            "errors": self.errors,
        })
    }

    pub(crate) fn print_json(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &self.json())?;
        writeln!(out)
    }

    /// The summary; `made` says what came of it, such as "streamed".
    pub(crate) fn print(&self, digest: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let config = &self.config;
        if self.interrupted {
            writeln!(out, "interrupted; until then:")?;
        }
        writeln!(
            out,
            "{} in {} of {} from {}",
            count(self.images(), "image", "images"),
            count(self.batches(), "batch", "batches"),
            config.batch_size,
            self.source
        )?;
        writeln!(
            out,
            "  {:.0} images/s over {}; first batch after {}",
            self.images_per_second(),
            time(self.seconds),
            self.first_batch_seconds.map_or("-".to_owned(), time)
        )?;
        if self.epochs.len() > 1 {
            self.print_epochs(&mut out)?;
        }
        if self.failed() > 0 {
            self.print_failures(&mut out)?;
        }
        if digest {
            for epoch in &self.epochs {
                writeln!(out, "  epoch {} digest: {}", epoch.epoch, epoch.digest)?;
            }
        }
        if let Some(peak) = peak_rss_bytes() {
            let bound = Bytes(config.memory.total_bytes);
            writeln!(
                out,
                "  memory {} at its peak; the loader takes at most {bound}",
                Bytes(peak)
            )?;
        }
        self.print_memory(&mut out)?;
        if let Some(cache) = &self.stats.cache {
            print_cache(&mut out, cache)?;
        }
        self.print_stages(&mut out)?;
        let pixels = format!(
            "{} {} {} {}, {}, {}, decode {}",
            config.size,
            config.dtype,
            config.layout,
            config.color,
            config.fit,
            config.filter,
            config.decode
        );
        let setting = self.stats.setting;
        let shard = match config.shard.world {
            1 => String::new(),
            _ => format!(" rank {}, uneven {},", config.shard, config.uneven),
        };
        writeln!(
            out,
            "  {pixels}\n  {}, {},{shard} {} threads, {} readers, prefetch {}",
            config.sampling, config.order, setting.threads, setting.readers, setting.prefetch
        )?;
        for decision in &self.stats.decisions {
            writeln!(out, "    {decision}")?;
        }
        if self.images() > 0 {
            let verdict = self.stats.verdict();
            for line in wrapped(&verdict.to_string()).lines() {
                writeln!(out, "  {line}")?;
            }
            let reorder = self.stats.stages.reorder_wait;
            // Beside the verdict, once it is worth a thought.
            if verdict.bound != Bound::Order && reorder.as_secs_f64() > 0.03 * self.seconds {
                let reorder = duration(reorder);
                writeln!(
                    out,
                    "  order: finished images waited {reorder} for one in front of them"
                )?;
            }
        }
        Ok(())
    }

    /// How much of each part of the bound was in use at the most.
    fn print_memory(&self, out: &mut impl Write) -> io::Result<()> {
        let memory = self.stats.memory;
        let of =
            |level: Level| format!("{} of {}", Bytes(level.peak_bytes), Bytes(level.limit_bytes));
        writeln!(
            out,
            "    of it batches {}, files {}, decoding {}",
            of(memory.batches),
            of(memory.encoded),
            of(memory.decode)
        )
    }

    fn print_epochs(&self, out: &mut impl Write) -> io::Result<()> {
        const SHOWN: usize = 8;
        for epoch in self.epochs.iter().take(SHOWN) {
            writeln!(
                out,
                "    epoch {:<3} {:>8} {:>8.0} images/s, first batch after {}",
                epoch.epoch,
                time(epoch.seconds),
                epoch.images_per_second(),
                epoch.first_batch_seconds.map_or("-".to_owned(), time)
            )?;
        }
        if self.epochs.len() > SHOWN {
            let rest = &self.epochs[SHOWN..];
            let mut rates: Vec<f64> = rest.iter().map(EpochStats::images_per_second).collect();
            rates.sort_by(f64::total_cmp);
            let (slowest, fastest) = (rates[0], rates[rates.len() - 1]);
            let more = count(rest.len() as u64, "epoch", "epochs");
            writeln!(out, "    and {more} at {slowest:.0} to {fastest:.0} images/s")?;
        }
        Ok(())
    }

    fn print_failures(&self, out: &mut impl Write) -> io::Result<()> {
        const SHOWN: usize = 5;
        let replaced = match self.replaced() {
            0 => String::new(),
            replaced => format!(", {replaced} of them replaced"),
        };
        let failed = count(self.failed(), "sample failed", "samples failed");
        writeln!(out, "  {failed}{replaced}:")?;
        for error in self.errors.iter().take(SHOWN) {
            let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
            let (path, stage, cause) = (text("path"), text("stage"), text("cause"));
            writeln!(out, "    {path}  {stage}, {cause}: {}", text("message"))?;
        }
        if self.errors.len() > SHOWN {
            writeln!(out, "    and {} more (--json has all)", self.errors.len() - SHOWN)?;
        }
        let undelivered = self.failed().saturating_sub(self.errors.len() as u64);
        if undelivered > 0 {
            writeln!(out, "    and {undelivered} more, of batches that did not come")?;
        }
        Ok(())
    }

    fn print_stages(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "  stage       items      bytes     busy  for input  for output   50 %    90 %    99 %"
        )?;
        for (name, stage) in self.stats.stages.iter() {
            writeln!(
                out,
                "  {name:<9} {:>7} {:>10} {:>8} {:>10} {:>11} {:>6} {:>7} {:>7}",
                stage.items,
                if stage.bytes == 0 { "-".to_owned() } else { Bytes(stage.bytes).to_string() },
                duration(stage.busy),
                duration(stage.waiting_for_input),
                duration(stage.waiting_for_output),
                duration(stage.service.p50),
                duration(stage.service.p90),
                duration(stage.service.p99)
            )?;
        }
        for (name, service) in
            [("waited", self.stats.stages.wait), ("was away", self.stats.stages.step)]
        {
            writeln!(
                out,
                "  the consumer {name:<45} {:>6} {:>7} {:>7}",
                duration(service.p50),
                duration(service.p90),
                duration(service.p99)
            )?;
        }
        Ok(())
    }
}

fn verdict_json(stats: &Stats) -> Value {
    let verdict = stats.verdict();
    let mut value = serde_json::to_value(verdict).unwrap_or_default();
    value["sentence"] = json!(verdict.to_string());
    value
}

fn cache_json(cache: &CacheStats) -> Value {
    let mut value = serde_json::to_value(cache).unwrap_or_default();
    value["hit_rate"] = json!(cache.hit_rate());
    value
}

fn print_cache(out: &mut impl Write, cache: &CacheStats) -> io::Result<()> {
    writeln!(
        out,
        "  cache {:.1} % hits ({} of {}); it keeps {} in {} of {}",
        100.0 * cache.hit_rate(),
        cache.hits,
        cache.hits + cache.misses,
        count(cache.samples, "image", "images"),
        Bytes(cache.bytes),
        Bytes(cache.limit_bytes)
    )?;
    let troubles = [
        (cache.stale, "changed since"),
        (cache.damaged, "damaged"),
        (cache.write_errors, "not written"),
    ];
    let troubles = troubles.iter().filter(|(number, _)| *number > 0);
    let troubles: Vec<String> = troubles.map(|(number, what)| format!("{number} {what}")).collect();
    if !troubles.is_empty() {
        writeln!(out, "    {}", troubles.join(", "))?;
    }
    Ok(())
}
