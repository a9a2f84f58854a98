//! `infeed check` of a folder: every file opened once.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infeed::LoaderBuilder;
use infeed::survey::{Channel, Class, Counted, Good, Progress, Spread, Survey};
use infeed::view::plain;

use crate::images::Chosen;
use crate::stop::Interrupt;
use crate::units::{Bytes, count, duration};
use crate::{Exit, Outcome, args, is_broken_pipe};

/// Broken files, misnamed ones and groups of copies that are named; JSON and the
/// files have all.
const NAMED: usize = 10;
/// Classes that are told one by one.
const CLASSES: usize = 20;

pub(crate) fn survey(args: &args::Check) -> Outcome {
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    // Told now, and not after hours.
    [&args.csv, &args.quarantine].into_iter().flatten().try_for_each(Survey::check_file)?;
    let builder: LoaderBuilder = args.knobs.builder(source);
    let interrupt = Interrupt::install(None)?;
    let (bar, started) = (Bar::new(), Instant::now());
    let survey = builder.survey(|progress| {
        bar.draw(progress);
        match interrupt.requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    drop(bar);
    let files = [
        (&args.csv, Survey::save_csv as fn(&Survey, _) -> _),
        (&args.quarantine, Survey::save_quarantine),
    ];
    let mut unsaved = false;
    for (file, save) in files {
        let Some(file) = file else { continue };
        // A list of some would pass for one of all.
        if !survey.complete {
            eprintln!("stopped before the end: {} is left as it was", path(file));
        } else if let Err(error) = save(&survey, file) {
            // What was found is yet to be told.
            eprintln!("error: {error}");
            unsaved = true;
        }
    }
    let exit = match (survey.complete, survey.broken.is_empty() && !unsaved) {
        (false, _) => Exit::Interrupted,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Done,
    };
    let mut out = std::io::stdout().lock();
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut out, &json(&survey)?)
            .map_err(Into::into)
            .and_then(|()| writeln!(out))
    } else {
        let seconds = started.elapsed();
        let rate = survey.opened as f64 / seconds.as_secs_f64().max(1e-9);
        let opened = count(survey.opened, "file", "files");
        let took = duration(seconds);
        let name = plain(&name);
        writeln!(out, "{opened} of {name}, each opened once in {took} ({rate:.0}/s)")
            .and_then(|()| print(&mut out, &survey, args.quarantine.as_deref()))
    };
    match printed {
        // Nobody reads it, which makes a broken file no good one.
        Err(error) if is_broken_pipe(&error) => Ok(exit),
        printed => printed.map(|()| exit).map_err(Into::into),
    }
}

/// With the flag that the mean and the deviation are for.
fn json(survey: &Survey) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(survey)?;
    value["normalize"] = serde_json::json!(flag(survey));
    Ok(value)
}

/// What `--normalize` takes.
fn flag(survey: &Survey) -> Option<String> {
    let found = survey.normalize()?;
    let shown = survey.good.channels.len();
    let numbers = |numbers: [f32; 3]| {
        numbers[..shown].iter().map(f32::to_string).collect::<Vec<_>>().join(",")
    };
    Some(format!("{}:{}", numbers(found.mean), numbers(found.std)))
}

fn print(out: &mut impl Write, survey: &Survey, quarantine: Option<&Path>) -> std::io::Result<()> {
    print_broken(out, survey, quarantine)?;
    if survey.good.samples > 0 {
        print_good(out, &survey.good)?;
        print_classes(out, &survey.classes, survey.unlabelled)?;
        print_levels(out, survey)?;
    }
    let verdict = match (survey.complete, survey.broken.len() as u64) {
        (false, _) => {
            let samples = count(survey.samples, "file", "files");
            let opened = survey.opened;
            format!("stopped before the end: {opened} of {samples} listed by then were opened")
        }
        (true, 0) => "every file can be used".to_owned(),
        (true, broken) => {
            let passing = survey.broken.iter().filter(|broken| !broken.stays()).count() as u64;
            let passing = match passing {
                0 => String::new(),
                passing => {
                    let files = count(passing, "file", "files");
                    format!(" ({files} without: they may be read another time)")
                }
            };
            let all = count(survey.samples, "file", "files");
            let hint = match quarantine {
                Some(list) => format!("leave them out with --skip-list {}{passing}", path(list)),
                None => "--quarantine FILE lists them for --skip-list".to_owned(),
            };
            format!("{broken} of {all} cannot be used; {hint}")
        }
    };
    writeln!(out, "\n  {verdict}")
}

fn print_broken(
    out: &mut impl Write,
    survey: &Survey,
    quarantine: Option<&Path>,
) -> std::io::Result<()> {
    if survey.broken.is_empty() {
        return Ok(());
    }
    let mut causes = std::collections::BTreeMap::<String, u64>::new();
    for broken in &survey.broken {
        *causes.entry(broken.cause.to_string()).or_default() += 1;
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let causes: Vec<String> = causes.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
    writeln!(out, "\n  broken     {}: {}", survey.broken.len(), causes.join(", "))?;
    for broken in survey.broken.iter().take(NAMED) {
        let bytes = broken.bytes.map_or("size unknown".to_owned(), |b| Bytes(b).to_string());
        let hash = broken.hash.map_or(String::new(), |hash| format!(", {hash:032x}"));
        writeln!(out, "    {}  ({bytes}{hash})", path(&broken.path))?;
        writeln!(out, "      {}: {}: {}", broken.stage, broken.cause, plain(&broken.message))?;
    }
    more(out, survey.broken.len(), quarantine.map_or("--json, --csv", |_| "the quarantine list"))
}

/// Whatever a file is called, it does not rule the terminal.
fn path(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

/// That not all are named.
fn more(out: &mut impl Write, all: usize, whole: &str) -> std::io::Result<()> {
    match all.saturating_sub(NAMED) {
        0 => Ok(()),
        left => writeln!(out, "    and {left} more: {whole} has all"),
    }
}

fn print_good(out: &mut impl Write, good: &Good) -> std::io::Result<()> {
    let counted = |all: &[Counted]| {
        let each = all.iter().map(|Counted { what, samples }| format!("{samples} {what}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let Spread { min, median, max } = good.bytes;
    writeln!(out, "\n  good       {}, {} in all", good.samples, Bytes(good.total_bytes))?;
    writeln!(
        out,
        "  file size  {} to {}, {} in the middle",
        Bytes(min),
        Bytes(max),
        Bytes(median)
    )?;
    writeln!(out, "  formats    {}", counted(&good.formats))?;
    if !good.misnamed.is_empty() {
        let called = count(good.misnamed.len() as u64, "file is", "files are");
        writeln!(
            out,
            "  endings    {called} called otherwise than what they hold, which is harmless here"
        )?;
        for misnamed in good.misnamed.iter().take(NAMED) {
            writeln!(out, "    {} is {}", path(&misnamed.path), misnamed.content)?;
        }
        more(out, good.misnamed.len(), "--json")?;
    }
    writeln!(out, "  colour     {}", counted(&good.colors))?;
    if good.turned > 0 {
        let turned = count(good.turned, "picture is", "pictures are");
        writeln!(out, "  turned     {turned} turned upright by an EXIF tag")?;
    }
    let sides =
        |Spread { min, median, max }: Spread| format!("{min} to {max}, {median} in the middle");
    writeln!(out, "  width      {}", sides(good.width))?;
    writeln!(out, "  height     {}", sides(good.height))?;
    let million = |pixels: u64| pixels as f64 / 1e6;
    let Spread { min, median, max } = good.pixels;
    writeln!(
        out,
        "  pixels     {:.2} to {:.2} million, {:.2} in the middle; {} above 12 million",
        million(min),
        million(max),
        million(median),
        good.large
    )?;
    let shown = good.sizes.len() as u64;
    let rest = match good.distinct_sizes - shown {
        0 => String::new(),
        rest => format!(", and {}", count(rest, "other size", "other sizes")),
    };
    let sizes = good.sizes.iter().map(|size| format!("{} ({})", size.what, size.samples));
    writeln!(out, "  sizes      {}{rest}", sizes.collect::<Vec<_>>().join(", "))?;
    let copies = &good.duplicates;
    if copies.extra > 0 {
        let extra = count(copies.extra, "file is a copy", "files are copies");
        writeln!(out, "  copies     {extra} of another, byte for byte")?;
        for group in copies.groups.iter().take(NAMED) {
            let paths: Vec<_> = group.paths.iter().map(|copy| path(copy)).collect();
            let rest = match paths.len().saturating_sub(4) {
                0 => String::new(),
                rest => format!(" = {rest} more"),
            };
            writeln!(out, "    {}{rest}", paths[..paths.len().min(4)].join(" = "))?;
        }
        more(out, copies.groups.len(), "--json")?;
    }
    Ok(())
}

fn print_classes(out: &mut impl Write, classes: &[Class], unlabelled: u64) -> std::io::Result<()> {
    let good: u64 = classes.iter().map(|class| class.good).sum();
    let largest = classes.iter().max_by_key(|class| (class.good, std::cmp::Reverse(class.label)));
    let filled = classes.iter().filter(|class| class.good > 0);
    let (Some(largest), Some(smallest)) = (largest, filled.min_by_key(|class| class.good)) else {
        return Ok(());
    };
    let empty: Vec<String> =
        classes.iter().filter(|class| class.good == 0).map(|class| plain(&class.name)).collect();
    let ratio = largest.good as f64 / smallest.good as f64;
    let all = classes.len();
    match largest.label == smallest.label {
        true => writeln!(out, "\n  classes    {all}")?,
        false => writeln!(
            out,
            "\n  classes    {all}, from {} ({}) to {} ({}), {ratio:.1} times as many",
            smallest.good,
            plain(&smallest.name),
            largest.good,
            plain(&largest.name)
        )?,
    }
    let shown = classes.len().min(CLASSES);
    let wide = classes[..shown].iter().map(|class| plain(&class.name).chars().count());
    let wide = wide.max().unwrap_or(0);
    for class in &classes[..shown] {
        let share = 100.0 * class.good as f64 / good as f64;
        let name = plain(&class.name);
        let broken = match class.broken {
            0 => String::new(),
            broken => format!(", {broken} broken"),
        };
        let pad = wide - name.chars().count();
        writeln!(out, "    {name}{:pad$}  {:>8}  {share:5.1} %{broken}", "", class.good)?;
    }
    if classes.len() > shown {
        writeln!(out, "    and {} more: --json has all", classes.len() - shown)?;
    }
    if !empty.is_empty() {
        let named = empty[..empty.len().min(NAMED)].join(", ");
        writeln!(out, "    without a good image: {} ({named})", empty.len())?;
    }
    if unlabelled > 0 {
        writeln!(out, "    without a class: {}", count(unlabelled, "image", "images"))?;
    }
    Ok(())
}

fn print_levels(out: &mut impl Write, survey: &Survey) -> std::io::Result<()> {
    let levels = &survey.levels;
    writeln!(
        out,
        "\n  levels at {}, {}, {}, decode {}, without augmentation",
        levels.size, levels.fit, levels.filter, levels.decode
    )?;
    let channels = &survey.good.channels;
    let names: String = channels.iter().map(|channel| format!("{:>9}", channel.name)).collect();
    let row = |of: fn(&Channel) -> f64| -> String {
        channels.iter().map(|channel| format!("{:9.4}", of(channel))).collect()
    };
    writeln!(out, "           {names}")?;
    writeln!(out, "    mean   {}", row(|channel| channel.mean))?;
    writeln!(out, "    std    {}", row(|channel| channel.std))?;
    match (flag(survey), survey.normalize()) {
        (Some(flag), Some(found)) => {
            writeln!(out, "    --normalize {flag}")?;
            writeln!(out, "    .normalize({:?}, {:?})", found.mean, found.std)
        }
        _ => writeln!(out, "    a channel is the same everywhere, so it cannot be normalised"),
    }
}

/// A bar on stderr; nothing where stderr is not a terminal.
struct Bar(ProgressBar, Instant);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style("{spinner} {pos} images found"));
        Bar(bar, Instant::now())
    }

    /// From any thread.
    fn draw(&self, progress: Progress) {
        let Bar(bar, started) = self;
        if bar.is_hidden() {
            return;
        }
        let Progress { samples, listed, opened, broken, .. } = progress;
        if !listed {
            bar.set_position(samples);
            return;
        }
        if bar.length().is_none() {
            bar.set_length(samples);
            bar.set_position(0);
            bar.set_style(style("{bar:14} {pos}/{len} images  {msg}  ETA {eta}"));
            bar.reset_eta();
        }
        let rate = opened as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let broken = if broken > 0 { format!("  {broken} broken") } else { String::new() };
        bar.set_message(format!("{rate:.0}/s{broken}"));
        bar.set_position(opened);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
