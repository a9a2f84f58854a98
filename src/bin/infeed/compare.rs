//! `infeed compare`: why is a parallel loader slower than a loop? The same work
//! done in five ways on the user's own files.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use infeed::Element;
use serde_json::json;

use crate::images::Chosen;
use crate::stop::Interrupt;
use crate::units::{Bytes, time, wrapped};
use crate::ways::{Figures, First, Way, measure};
use crate::{Exit, Outcome, args, system};

const DEFAULT_KEPT: u64 = 2 << 30;

pub(crate) fn compare<T: Element>(args: &args::Compare) -> Outcome {
    if args.knobs.takes_a_part() {
        let reason = "all ways take the same images: leave --shard and weighted sampling out";
        return Err(reason.into());
    }
    let chosen = args.knobs.images.choose(args.dir.as_deref())?;
    if let (Some(way), Some(images)) = (args.way, args.images) {
        let (split, skip) = (args.knobs.images.split(), args.knobs.images.skip_list().cloned());
        let source = First { source: chosen.source, split, skip, images };
        let builder = args.knobs.builder_of_some::<T>(source.clone());
        let figures = measure(way, &source, args.epochs, builder)?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(Exit::Done);
    }
    let plan = Plan::new::<T>(args, chosen)?;
    let interrupt = Interrupt::install(None)?;
    let mut figures = Vec::new();
    for way in Way::ALL {
        if !args.json {
            eprint!("{} ..\r", way.describe());
        }
        let outcome = run_way(way, plan.images, &interrupt);
        if interrupt.requested() {
            eprintln!("interrupted during: {}", way.describe());
            break;
        }
        figures.push(outcome?);
    }
    if args.json {
        print_json(&plan, &figures)?;
    } else {
        print_table(&plan, &figures)?;
    }
    Ok(if interrupt.requested() { Exit::Interrupted } else { Exit::Done })
}

/// How many images all ways take.
struct Plan {
    source: String,
    found: usize,
    images: usize,
    sample_bytes: u64,
    keep_bytes: u64,
    config: infeed::config::Resolved,
}

impl Plan {
    fn new<T: Element>(
        args: &args::Compare,
        chosen: Chosen,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let Chosen { source, name } = chosen;
        let mut paths = infeed::source::list(&*source)?;
        if let Some(split) = args.knobs.images.split() {
            paths.retain(|(path, _)| split.contains(path));
        }
        if let Some(list) = args.knobs.images.skip_list() {
            let skips = list.below(&source.root());
            paths.retain(|(path, _)| !skips(path));
        }
        let found = paths.len();
        // The loader's own words where there is nothing to take.
        let config = if found == 0 {
            args.knobs.builder::<T>(source).build()?.config().clone()
        } else {
            args.knobs.builder::<T>(source).resolve()?
        };
        let sample_bytes = config.memory.batch_bytes / config.batch_size as u64;
        let available = system::available_bytes().unwrap_or(u64::MAX);
        let keep_bytes = args.keep_memory.map_or(DEFAULT_KEPT.min(available / 2), |bytes| bytes.0);
        let fit = usize::try_from(keep_bytes / sample_bytes).unwrap_or(usize::MAX);
        if fit == 0 {
            let (keep, sample) = (Bytes(keep_bytes), Bytes(sample_bytes));
            return Err(format!(
                "--keep-memory {keep} holds not one image of {sample}; give more, or a smaller --size"
            )
            .into());
        }
        Ok(Plan { source: name, found, images: found.min(fit), sample_bytes, keep_bytes, config })
    }
}

/// Runs one way in a process of its own: this program, with the same flags. It ends
/// where the user asks to stop.
fn run_way(
    way: Way,
    images: usize,
    interrupt: &Interrupt,
) -> Result<Figures, Box<dyn std::error::Error>> {
    let name = clap::ValueEnum::to_possible_value(&way);
    let name = name.map(|name| name.get_name().to_owned()).unwrap_or_default();
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--way", &name, "--images", &images.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    // It writes its figures at its end, less than a pipe takes.
    while child.try_wait()?.is_none() {
        if interrupt.requested() {
            child.kill()?;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{} did not finish: {}", way.describe(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn print_table(plan: &Plan, figures: &[Figures]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Plan { found, images, config, .. } = plan;
    writeln!(
        out,
        "{images} images of {found} from {}\n{} to {} {}, {} threads",
        plan.source, config.fit, config.size, config.dtype, config.threads
    )?;
    if images < found {
        let (keep, sample) = (Bytes(plan.keep_bytes), Bytes(plan.sample_bytes));
        writeln!(out, "(as many as fit {keep} at {sample} each: --keep-memory takes more)")?;
    }
    writeln!(
        out,
        "\nway                               first  images/s    warm images/s   peak memory"
    )?;
    for figure in figures {
        let warm = figure.warm_images_per_second();
        let peak = figure.peak_rss_bytes.map_or("-".to_owned(), |peak| Bytes(peak).to_string());
        writeln!(
            out,
            "{:<30} {:>8} {:>9.0} {:>16} {:>13}",
            figure.way.describe(),
            time(figure.first_seconds),
            figure.first_images_per_second(),
            warm.map_or("-".to_owned(), |warm| format!("{warm:.0}")),
            peak
        )?;
    }
    if let Some(why) = why(figures, plan) {
        writeln!(out, "\n{}", wrapped(&why))?;
    }
    Ok(())
}

/// One sentence on the table.
fn why(figures: &[Figures], plan: &Plan) -> Option<String> {
    let rate = |way| {
        let figure = figures.iter().find(|figure| figure.way == way)?;
        Some(figure.warm_images_per_second().unwrap_or(figure.first_images_per_second()))
    };
    let (kept, dropped) = (rate(Way::LoopKeeping)?, rate(Way::LoopDropping)?);
    let (pool, loader) = (rate(Way::CopyingPool)?, rate(Way::LoaderOrdered)?);
    Some(format!(
        "Why: results of {} that are kept live in fresh memory, which the system zeroes page by \
         page (the loop that keeps runs at {:.2} of the one that drops); a pool also copies each \
         one to its caller ({:.2} of that loop with {} threads); infeed's threads write each image \
         once, into batches whose memory is used again ({:.2}).",
        Bytes(plan.sample_bytes),
        kept / dropped,
        pool / dropped,
        plan.config.threads,
        loader / dropped
    ))
}

fn print_json(plan: &Plan, figures: &[Figures]) -> Result<(), Box<dyn std::error::Error>> {
    let ways = figures.iter().map(|figure| {
        json!({
            "way": figure.way,
            "images": figure.images,
            "seconds": figure.first_seconds,
            "images_per_second": figure.first_images_per_second(),
            "warm_seconds": figure.warm_seconds,
            "warm_images_per_second": figure.warm_images_per_second(),
            "peak_rss_bytes": figure.peak_rss_bytes,
        })
    });
    let object = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "source": plan.source,
        "found": plan.found,
        "images": plan.images,
        "keep_memory_bytes": plan.keep_bytes,
        "config": plan.config,
        "ways": ways.collect::<Vec<_>>(),
        "why": why(figures, plan),
    });
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &object)?;
    writeln!(out)?;
    Ok(())
}
