//! What an export comes to: for people, and as JSON.

use std::io::{self, Write};

use infeed::config::Resolved;
use infeed::export::{Summary, WriteStats};
use infeed::stats::{StageStats, Stages};
use infeed::{Dtype, Shard};
use serde_json::{Value, json};

use crate::system::peak_rss_bytes;
use crate::units::{Bytes, count, duration, time};

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) source: String,
    pub(crate) config: Resolved,
    pub(crate) stages: Stages,
    pub(crate) writing: WriteStats,
    pub(crate) shard_samples: u64,
    pub(crate) part: Shard,
    /// Shards that this process has yet to make.
    pub(crate) left: u64,
    pub(crate) summary: Summary,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    /// What ended it, if something did.
    pub(crate) error: Option<String>,
}

impl Report {
    fn images_per_second(&self) -> f64 {
        let images = self.writing.write.items as f64;
        if self.seconds > 0.0 { images / self.seconds } else { 0.0 }
    }

    fn json(&self) -> Value {
        let Summary { images, failed, replaced, .. } = self.summary;
        let mut stages = serde_json::to_value(self.stages).unwrap_or_default();
        stages["write"] = json!(self.writing.write);
        stages["sync"] = json!(self.writing.sync);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "source": self.source,
            "images": images,
            "skipped": failed - replaced,
            "replaced": replaced,
            "written": self.writing.write.items,
            "written_bytes": self.writing.write.bytes,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second(),
            "peak_rss_bytes": peak_rss_bytes(),
            "interrupted": self.interrupted,
            "error": self.error,
            "export": self.summary,
            "part": self.part,
            "shard_samples": self.shard_samples,
            "config": self.config,
            "stages": stages,
            "held_up_seconds": self.writing.held_up.as_secs_f64(),
            "drained_seconds": self.writing.drained.as_secs_f64(),
            "verdict": self.verdict(),
        })
    }

    pub(crate) fn print_json(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &self.json())?;
        writeln!(out)
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Report { summary, config, writing, .. } = self;
        if self.interrupted {
            writeln!(out, "interrupted; until then:")?;
        }
        print_summary(&mut out, summary)?;
        if summary.ended && writing.write.items == 0 {
            return writeln!(out, "  it was complete before; nothing is left to do");
        }
        if summary.resumed > 0 {
            let resumed = count(summary.resumed, "shard was", "shards were");
            writeln!(out, "  {resumed} complete before")?;
        }
        writeln!(
            out,
            "  wrote {} of {} in {}, {:.0} images/s",
            count(writing.write.items, "image", "images"),
            self.source,
            time(self.seconds),
            self.images_per_second()
        )?;
        writeln!(
            out,
            "  {} {} {} {}, {}, {}; {} a shard",
            config.size,
            config.dtype,
            config.layout,
            config.color,
            config.fit,
            config.sampling,
            count(self.shard_samples, "sample", "samples")
        )?;
        if let Some(peak) = peak_rss_bytes() {
            let bound = Bytes(config.memory.total_bytes);
            let peak = Bytes(peak);
            writeln!(out, "  memory {peak} at its peak; the loader takes at most {bound}")?;
        }
        self.print_stages(&mut out)?;
        if writing.write.items > 0 {
            writeln!(out, "  {}", self.verdict())?;
        }
        if let Some(next) = self.next() {
            writeln!(out, "  {next}")?;
        }
        Ok(())
    }

    /// What writing has cost, in words.
    fn verdict(&self) -> String {
        let WriteStats { write, sync, held_up, drained, .. } = self.writing;
        let busy = write.busy.as_secs_f64();
        let cost = format!(
            "writing {} took {} of {} ({}/s), bringing it to the disk {} beside it, {} of it after \
             the last image",
            Bytes(write.bytes),
            duration(write.busy),
            time(self.seconds),
            Bytes(if busy > 0.0 { (write.bytes as f64 / busy) as u64 } else { 0 }),
            duration(sync.busy),
            duration(drained)
        );
        let share = 100.0 * held_up.as_secs_f64() / self.seconds.max(1e-9);
        if share < 0.5 {
            return format!("{cost}; decoding never waited for the disk");
        }
        let waited = format!("decoding waited {share:.0} % of the time for the disk");
        if share < 5.0 {
            return format!("{cost}; {waited}");
        }
        let less = match self.config.dtype {
            Dtype::U8 => "",
            Dtype::F16 => "; u8 would write half",
            _ => "; u8 would write a quarter",
        };
        format!("disk-bound: {cost}; {waited}{less}")
    }

    /// What is to be done now.
    fn next(&self) -> Option<String> {
        let Summary { ended, shards, complete, .. } = self.summary;
        if ended {
            return None;
        }
        let missing = count(shards - complete, "shard is", "shards are");
        let again = "run the same command again, which goes on from there";
        Some(match (self.left, self.part == Shard::WHOLE) {
            (0, false) if shards == complete => format!(
                "all shards are complete: infeed export --merge {} ends the export",
                self.summary.out.display()
            ),
            (0, false) => format!(
                "{missing} still missing, of other parts; when all are there, infeed export \
                 --merge {} ends the export",
                self.summary.out.display()
            ),
            _ => format!("{complete} of {shards} shards are complete; {again}"),
        })
    }

    fn print_stages(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "  stage         items       bytes      busy  waits for input  waits for output"
        )?;
        let own = [("write", self.writing.write), ("sync", self.writing.sync)];
        for (name, stage) in self.stages.iter().into_iter().chain(own) {
            let StageStats { items, bytes, busy, .. } = stage;
            writeln!(
                out,
                "  {name:<10} {items:>8} {:>11} {:>9} {:>16} {:>17}",
                if bytes == 0 { "-".to_owned() } else { Bytes(bytes).to_string() },
                duration(busy),
                duration(stage.waiting_for_input),
                duration(stage.waiting_for_output)
            )?;
        }
        Ok(())
    }
}

fn print_summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { images, failed, replaced, shards, complete, bytes, .. } = *summary;
    let of = match summary.ended {
        true => format!("{}, {}", count(shards, "shard", "shards"), Bytes(bytes)),
        false => format!("{complete} of {}", count(shards, "shard", "shards")),
    };
    let folder = summary.out.display();
    writeln!(out, "{} in {of}, in {folder}", count(images, "image", "images"))?;
    if failed > 0 {
        let failed = count(failed, "sample failed", "samples failed");
        let replaced = match replaced {
            0 => String::new(),
            replaced => format!(", {replaced} of them replaced"),
        };
        writeln!(out, "  {failed}{replaced}; export.json names them")?;
    }
    Ok(())
}

/// What `--merge` has joined.
pub(crate) fn print_merged(summary: &Summary, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match as_json {
        true => {
            serde_json::to_writer_pretty(&mut out, summary)?;
            writeln!(out)
        }
        false => print_summary(&mut out, summary),
    }
}
