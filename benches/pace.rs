//! A loader that is left to itself beside every fixed setting: how long the
//! consumer waits, what it costs in cores and memory.
//!
//! ```sh
//! cargo bench --bench pace -- photos [SECONDS [SVG]]     # 12 seconds a run, and a plot
//! ```
//!
//! The consumer uses no core and takes a quarter, half and all of what the loader
//! delivers when nothing holds it back. Each fixed setting is run once; then the best
//! of them and the loader that is left to itself take turns, and what is told are
//! medians of the differences within a round.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use infeed::stats::{Moment, Stats};
use infeed::{Loader, LoaderBuilder};
use plotters::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        println!("no folder given: cargo bench --bench pace -- photos");
        return Ok(());
    };
    let seconds = arguments.next().map_or(Ok(12.0), |text| text.parse())?;
    let time = Duration::from_secs_f64(seconds);
    let mut plots = Vec::new();
    let cores = std::thread::available_parallelism()?.get();
    let fixed = |threads, prefetch| builder(&folder).threads(threads).prefetch(prefetch);
    // Twice: the first reads the files into memory.
    let mut capacity = 0.0;
    for _ in 0..2 {
        let run = Run::new(fixed(cores, 4), Duration::ZERO, time)?;
        capacity = run.images_per_second;
    }
    println!("capacity {capacity:.0} images/s with {cores} threads, batches of {BATCH}");
    for share in [0.25, 0.5, 1.0] {
        let step = Duration::from_secs_f64(BATCH as f64 / (share * capacity));
        println!(
            "\na consumer of {:.0} %: a step of {:.1} ms",
            100.0 * share,
            1e3 * step.as_secs_f64()
        );
        println!("  threads prefetch     wait    cores  batches    images/s");
        let (mut best, mut least) = ((1, 1), f64::INFINITY);
        for threads in 1..=cores {
            for prefetch in [1, 2, 4] {
                let run = Run::new(fixed(threads, prefetch), step, time)?;
                run.print(&format!("{threads:>7} {prefetch:>8}"));
                // The least that waits hardly longer than any.
                if run.wait < least - 0.005 {
                    (best, least) = ((threads, prefetch), run.wait);
                }
            }
        }
        println!("  the best and auto in turn:");
        let (mut waits, mut used, mut batches) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (threads, prefetch) = best;
            let best = Run::new(fixed(threads, prefetch), step, time)?;
            best.print(&format!("{threads:>7} {prefetch:>8}"));
            let auto = Run::new(builder(&folder), step, time)?;
            auto.print("   auto     auto");
            for decision in &auto.end.decisions {
                println!("      {decision}");
            }
            waits.push(100.0 * (auto.wait - best.wait));
            used.push(auto.cores / best.cores);
            batches.push(auto.batches as f64 - best.batches as f64);
            if round == 0 {
                plots.push((share, step, auto.moments));
            }
        }
        println!(
            "  auto beside the best: wait {:+.1} points, cores x {:.2}, batches {:+}",
            median(waits),
            median(used),
            median(batches)
        );
    }
    if let Some(file) = arguments.next() {
        std::fs::write(file, drawn(&plots)?)?;
    }
    Ok(())
}

const BATCH: usize = 32;
const ROUNDS: usize = 5;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn builder(folder: &Path) -> LoaderBuilder {
    Loader::folder(folder).batch_size(BATCH).size(224, 224)
}

/// One setting beside one consumer.
struct Run {
    /// All of it.
    moments: Vec<Moment>,
    end: Stats,
    /// Of its second half, when what follows the consumer has come to rest.
    wait: f64,
    cores: f64,
    images_per_second: f64,
    batches: u64,
}

impl Run {
    fn new(builder: LoaderBuilder, step: Duration, time: Duration) -> Result<Self, Box<dyn Error>> {
        let mut loader = builder.build()?;
        let monitor = loader.monitor();
        let begun = Instant::now();
        let mut half = None;
        for batch in loader.epochs(0..u64::MAX)? {
            drop(batch?);
            let until = Instant::now() + step;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            if half.is_none() && begun.elapsed() > time / 2 {
                half = Some((monitor.stats(), cpu_seconds()));
            }
            if begun.elapsed() > time {
                break;
            }
        }
        let (end, cpu) = (monitor.stats(), cpu_seconds());
        let (half, cpu_half) = half.ok_or("the run was too short")?;
        let verdict = end.verdict_since(&half);
        let each = end.memory.batches.mean_bytes.max(1);
        Ok(Run {
            moments: loader.timeline().moments,
            wait: verdict.wait,
            cores: (cpu - cpu_half) / (end.seconds - half.seconds),
            images_per_second: verdict.images_per_second,
            batches: end.memory.batches.bytes / each,
            end,
        })
    }

    fn print(&self, setting: &str) {
        println!(
            "  {setting} {:>7.1}% {:>8.2} {:>8} {:>11.0}",
            100.0 * self.wait,
            self.cores,
            self.batches,
            self.images_per_second
        );
    }
}

/// Time that this process has spent on cores.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces; in hundredths of a second.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Threads, prefetch depth and the consumer's wait over time, for each consumer.
fn drawn(plots: &[(f64, Duration, Vec<Moment>)]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (760, 230 * plots.len() as u32));
        let area = area.into_drawing_area();
        area.fill(&WHITE)?;
        for (part, (share, step, moments)) in area.split_evenly((plots.len(), 1)).iter().zip(plots)
        {
            let seconds = moments.last().map_or(1.0, |moment| moment.seconds);
            let levels = moments.iter().map(|m| m.setting.threads.max(m.setting.prefetch));
            let most = levels.max().unwrap_or(1) as f64 + 0.5;
            let step = 1e3 * step.as_secs_f64();
            let title = format!("a consumer of {:.0} % (a step of {step:.0} ms)", 100.0 * share);
            let mut chart = ChartBuilder::on(part)
                .caption(title, ("sans-serif", 15))
                .margin(8)
                .x_label_area_size(30)
                .y_label_area_size(40)
                .right_y_label_area_size(46)
                .build_cartesian_2d(0.0..seconds, 0.0..most)?
                .set_secondary_coord(0.0..seconds, 0.0..100.0);
            chart.configure_mesh().x_desc("seconds").y_desc("threads, batches").draw()?;
            chart.configure_secondary_axes().y_desc("wait in %").draw()?;
            // Of the second before each moment.
            let waits = moments.iter().enumerate().map(|(at, now)| {
                let before = moments[..at].iter().rfind(|m| m.seconds <= now.seconds - 1.0);
                let before = before.copied().unwrap_or_default();
                let wait = now.wait_seconds - before.wait_seconds;
                let all = wait + now.step_seconds - before.step_seconds;
                (now.seconds, 100.0 * wait / all.max(1e-9))
            });
            let grey = RGBColor(150, 150, 150);
            chart
                .draw_secondary_series(AreaSeries::new(waits, 0.0, grey.mix(0.4)))?
                .label("the consumer's wait")
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 4), (x + 14, y + 4)], grey.mix(0.4).filled())
                });
            let (blue, orange) = (RGBColor(0, 114, 178), RGBColor(213, 94, 0));
            let threads = moments.iter().map(|m| (m.seconds, m.setting.threads as f64));
            chart
                .draw_series(LineSeries::new(threads, blue.stroke_width(2)))?
                .label("threads")
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 14, y)], blue.stroke_width(2))
                });
            let batches = moments.iter().map(|m| (m.seconds, m.setting.prefetch as f64));
            chart
                .draw_series(LineSeries::new(batches, orange.stroke_width(2)))?
                .label("prefetch")
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 14, y)], orange.stroke_width(2))
                });
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .border_style(grey)
                .draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}
