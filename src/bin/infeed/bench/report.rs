//! What was measured: one table for people, and JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::measure::{Line, Part, Span, Start};
use super::workload::Workload;
use super::{Plan, shown};
use crate::system;
use crate::units::{Bytes, count, wrapped};

/// What is known of one workload so far.
pub(crate) struct Record {
    pub(crate) workload: Workload,
    pub(crate) start: Option<Start>,
    measured: Vec<(Part, Span)>,
}

impl Record {
    pub(crate) fn new(workload: Workload) -> Self {
        Record { workload, start: None, measured: Vec::new() }
    }

    pub(crate) fn add(&mut self, line: Line) {
        match line {
            Line::Start(start) => self.start = Some(start),
            Line::Measured { part, span } => self.measured.push((part, span)),
        }
    }

    /// The round that is under way, from 1.
    pub(crate) fn round(&self) -> usize {
        let last = self.measured.last().map_or(Part::Read, |(part, _)| *part);
        self.spans(last).count().max(1)
    }

    fn spans(&self, part: Part) -> impl Iterator<Item = &Span> {
        self.measured.iter().filter(move |(of, _)| *of == part).map(|(_, span)| span)
    }

    /// Images a second, round by round.
    fn rates(&self, part: Part) -> Vec<f64> {
        self.spans(part).map(|span| span.rate.images_per_second).collect()
    }

    /// What a loader reached of decode and transform alone, round by round.
    fn efficiencies(&self, loader: Part) -> Vec<f64> {
        let ceilings = self.rates(Part::DecodeAndTransform);
        self.rates(loader).iter().zip(ceilings).map(|(with, without)| with / without).collect()
    }

    /// The longest gap between epochs over the 90th percentile of those inside,
    /// round by round.
    fn epoch_gaps(&self, loader: Part) -> Vec<f64> {
        let gaps = self.spans(loader).filter_map(|span| span.gaps);
        gaps.filter_map(|gaps| Some(gaps.boundary_worst / gaps.inside_p90?)).collect()
    }

    /// What one image costs the cores, in microseconds.
    fn core_microseconds(&self, part: Part) -> Option<f64> {
        median(self.spans(part).filter_map(|span| span.rate.core_microseconds).collect())
    }

    fn json(&self) -> Value {
        let ceiling = |part| {
            let rounds = self.rates(part);
            json!({
                "images_per_second": median(rounds.clone()),
                "core_microseconds_per_image": self.core_microseconds(part),
                "rounds": rounds,
            })
        };
        let loader = |part| {
            let (mut value, rounds) = (ceiling(part), self.efficiencies(part));
            value["efficiency"] = json!(median(rounds.clone()));
            value["efficiency_rounds"] = json!(rounds);
            value["gaps_seconds"] = self.spans(part).filter_map(|span| span.gaps).map(|gaps| {
                json!({ "inside_p90": gaps.inside_p90, "boundary_worst": gaps.boundary_worst })
            }).collect();
            value["epoch_gap"] = json!(median(self.epoch_gaps(part)));
            value
        };
        let start = self.start.as_ref();
        json!({
            "workload": self.workload,
            "description": self.workload.describe(),
            "config": start.map(|start| &start.config),
            "first_images_per_second": start.map(|start| start.first_images_per_second),
            "peak_rss_bytes": start.and_then(|start| start.peak_rss_bytes),
            "ceilings": {
                "read": ceiling(Part::Read),
                "decode": ceiling(Part::Decode),
                "decode_and_transform": ceiling(Part::DecodeAndTransform),
            },
            "loader": {
                "ordered": loader(Part::Ordered),
                "unordered": loader(Part::Unordered),
            },
        })
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        const COLUMNS: [Part; 5] =
            [Part::Read, Part::Decode, Part::DecodeAndTransform, Part::Ordered, Part::Unordered];
        let cells = |value: &dyn Fn(Part) -> Option<f64>, digits: usize| {
            COLUMNS
                .map(|part| match value(part) {
                    Some(value) => format!("{value:>11.digits$}"),
                    None => format!("{:>11}", ""),
                })
                .concat()
        };
        let peak = self.start.as_ref().and_then(|start| start.peak_rss_bytes);
        let peak = peak.map_or("-".to_owned(), |peak| Bytes(peak).to_string());
        let gap = median(self.epoch_gaps(Part::Ordered));
        let gap = gap.map_or("-".to_owned(), |gap| format!("{gap:.2}"));
        let name = self.workload;
        let rates = cells(&|part| median(self.rates(part)), 0);
        writeln!(out, "{name:<14}  images/s {rates} {peak:>12} {gap:>10}")?;
        writeln!(out, "{:<14}  core us  {}", "", cells(&|part| self.core_microseconds(part), 0))?;
        let efficiency = |part| match part {
            Part::Ordered | Part::Unordered => median(self.efficiencies(part)),
            _ => None,
        };
        writeln!(out, "{:<14}  of alone {}", "", cells(&efficiency, 3))
    }
}

/// A finished or interrupted bench.
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) records: Vec<Record>,
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Plan { found, images, rounds, epochs, .. } = self.plan;
        if self.interrupted {
            writeln!(out, "interrupted; until then:")?;
        }
        let threads = self.records.iter().find_map(|record| Some(record.start.as_ref()?.threads));
        writeln!(
            out,
            "{images} images of {found} from {}\n{}, medians of {} of {epochs} epochs",
            shown(&self.plan.dir),
            count(threads.unwrap_or(0) as u64, "thread", "threads"),
            count(rounds as u64, "round", "rounds"),
        )?;
        writeln!(
            out,
            "\n{:<14} {:>20} {:>10} {:>10} {:>10} {:>10} {:>12} {:>10}",
            "workload",
            "read",
            "decode",
            "+transform",
            "ordered",
            "unordered",
            "peak memory",
            "epoch gap"
        )?;
        for record in &self.records {
            record.print(&mut out)?;
        }
        writeln!(out)?;
        for record in &self.records {
            writeln!(out, "{:<14}  {}", record.workload, record.workload.describe())?;
        }
        let legend = "Read, decode, and decode with transform: alone, on as many threads as the \
            loader has, files and rows in memory. Ordered and unordered: the loader, warm epochs \
            over their whole span; of alone: over decode with transform in the same round. Core \
            us: microseconds that all threads together worked for an image. Epoch gap: the longest wait for a batch from \
            one epoch into the next, over the 90th percentile inside epochs. Peak memory: of a \
            process with the loader and nothing else.";
        writeln!(out, "\n{}", wrapped(legend))
    }

    pub(crate) fn print_json(&self) -> Result<(), Box<dyn std::error::Error>> {
        let plan = &self.plan;
        let object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().collect::<Vec<_>>().join(" "),
            "machine": system::machine(),
            "source": shown(&plan.dir),
            "found": plan.found,
            "images": plan.images,
            "rounds": plan.rounds,
            "epochs": plan.epochs,
            "interrupted": self.interrupted,
            "workloads": self.records.iter().map(Record::json).collect::<Vec<_>>(),
        });
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &object)?;
        writeln!(out)?;
        Ok(())
    }
}

/// One line on a loader that ran alone.
pub(crate) fn print_loader(
    workload: Workload,
    plan: &Plan,
    start: &Start,
    span: &Span,
    as_json: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let Plan { images, epochs, .. } = *plan;
    if as_json {
        let object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "workload": workload,
            "images": images,
            "epochs": epochs,
            "images_per_second": span.rate.images_per_second,
            "core_microseconds_per_image": span.rate.core_microseconds,
            "first_images_per_second": start.first_images_per_second,
            "peak_rss_bytes": start.peak_rss_bytes,
            "config": start.config,
        });
        writeln!(out, "{object}")?;
    } else {
        let peak = start.peak_rss_bytes.map_or("-".to_owned(), |peak| Bytes(peak).to_string());
        writeln!(
            out,
            "{}: {:.0} images/s over {epochs} warm epochs of {images} images (the first: {:.0}), \
             memory {peak} at its peak",
            workload, span.rate.images_per_second, start.first_images_per_second
        )?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
