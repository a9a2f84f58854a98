//! One workload, measured in this process: rounds in which the ceilings and the
//! loader take turns.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use infeed::{Loader, LoaderBuilder, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ceilings::Ceilings;
use super::clock::{Clock, Rate};
use super::workload::{Samples, Workload};
use crate::system::peak_rss_bytes;

/// What is measured, in the order of a round: both orders of the loader stand
/// beside the ceiling that they are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Read,
    Decode,
    Ordered,
    DecodeAndTransform,
    Unordered,
}

const ROUND: [Part; 5] =
    [Part::Read, Part::Decode, Part::Ordered, Part::DecodeAndTransform, Part::Unordered];

/// A line from the process that measures to the one that prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Start(Start),
    Measured { part: Part, span: Span },
}

/// What is known once the ordered loader is warm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) config: Value,
    pub(crate) threads: usize,
    /// Of the first epoch, the loader's start included.
    pub(crate) first_images_per_second: f64,
    /// Of the process with nothing in it but the loader.
    pub(crate) peak_rss_bytes: Option<u64>,
}

/// What one turn came to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) rate: Rate,
    /// Of a loader.
    pub(crate) gaps: Option<Gaps>,
}

/// Seconds from batch to batch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Gaps {
    /// The 90th percentile inside an epoch; `None` when it has one batch.
    pub(crate) inside_p90: Option<f64>,
    /// The longest from one epoch into the next.
    pub(crate) boundary_worst: f64,
}

/// What `measure` needs to know besides the workload.
pub(crate) struct Setup {
    pub(crate) samples: Samples,
    pub(crate) rounds: usize,
    pub(crate) epochs: u64,
    pub(crate) threads: usize,
    pub(crate) batch_size: Option<usize>,
}

impl Setup {
    pub(crate) fn builder(&self, workload: Workload) -> LoaderBuilder {
        let builder = workload.builder(self.samples.clone()).threads(self.threads);
        match self.batch_size {
            Some(samples) => builder.batch_size(samples),
            None => builder,
        }
    }
}

/// Prints a [`Line`] for everything measured.
pub(crate) fn measure(workload: Workload, setup: &Setup) -> Result<(), Box<dyn Error>> {
    let builder = || setup.builder(workload);
    // Nothing else takes memory until its peak is known.
    let (mut ordered, start) = start(builder().order(Order::Ordered))?;
    let config = ordered.config().clone();
    tell(&Line::Start(start))?;
    let mut unordered = builder().order(Order::Unordered).build()?;
    let mut ceilings = Ceilings::new(setup.samples.paths().collect(), &config, builder)?;
    // Memory and caches are warm before anything counts.
    span(&mut unordered, 1)?;
    ceilings.decode_and_transform(1)?;
    for _ in 0..setup.rounds {
        for part in ROUND {
            let bare = |rate| Span { rate, gaps: None };
            let span = match part {
                Part::Read => bare(ceilings.read(setup.epochs)?),
                Part::Decode => bare(ceilings.decode(setup.epochs)?),
                Part::DecodeAndTransform => bare(ceilings.decode_and_transform(setup.epochs)?),
                Part::Ordered => span(&mut ordered, setup.epochs)?,
                Part::Unordered => span(&mut unordered, setup.epochs)?,
            };
            tell(&Line::Measured { part, span })?;
        }
    }
    Ok(())
}

/// The loader alone: its start, and one span of warm epochs.
pub(crate) fn loader_only(
    workload: Workload,
    setup: &Setup,
) -> Result<(Start, Span), Box<dyn Error>> {
    let (mut loader, mut start) = start(setup.builder(workload))?;
    let span = span(&mut loader, setup.epochs)?;
    start.peak_rss_bytes = peak_rss_bytes();
    Ok((start, span))
}

/// Builds a loader and warms it up: two epochs, of which the first is timed.
fn start(builder: LoaderBuilder) -> infeed::Result<(Loader, Start)> {
    let started = Instant::now();
    let mut loader = builder.build()?;
    let mut images = 0;
    for batch in loader.epoch(0)? {
        images += batch?.len();
    }
    let first_images_per_second = images as f64 / started.elapsed().as_secs_f64();
    span(&mut loader, 1)?;
    let start = Start {
        config: serde_json::to_value(loader.config()).unwrap_or_default(),
        threads: loader.config().threads,
        first_images_per_second,
        peak_rss_bytes: peak_rss_bytes(),
    };
    Ok((loader, start))
}

/// Epochs over their whole span: from the first batch of one to the first batch
/// of the one `epochs` later. More are announced than that, as many as can be in
/// the making ahead of the consumer: what is under way is the same at both ends.
fn span(loader: &mut Loader, epochs: u64) -> infeed::Result<Span> {
    let mut images = 0;
    let mut clock = None;
    let mut arrivals: Vec<(u64, Instant)> = Vec::new();
    let ahead = loader.config().prefetch as u64;
    for batch in loader.epochs(0..epochs + 1 + ahead)? {
        let batch = batch?;
        std::hint::black_box(batch.as_slice()[0]);
        arrivals.push((batch.epoch(), Instant::now()));
        match clock {
            None => clock = Some(Clock::start()),
            Some(_) => images += batch.len(),
        }
        if batch.epoch() == epochs {
            break;
        }
    }
    let rate = clock.unwrap_or_else(Clock::start).rate(images);
    Ok(Span { rate, gaps: Some(gaps(&arrivals)) })
}

fn gaps(arrivals: &[(u64, Instant)]) -> Gaps {
    let (mut inside, mut boundary_worst) = (Vec::new(), 0.0_f64);
    for pair in arrivals.windows(2) {
        let [(before, from), (after, to)] = [pair[0], pair[1]];
        let gap = (to - from).as_secs_f64();
        if before == after {
            inside.push(gap);
        } else {
            boundary_worst = boundary_worst.max(gap);
        }
    }
    inside.sort_by(f64::total_cmp);
    Gaps { inside_p90: inside.get(inside.len() * 9 / 10).copied(), boundary_worst }
}

/// One line on stdout, at once.
fn tell(line: &Line) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    writeln!(out)?;
    out.flush()
}
