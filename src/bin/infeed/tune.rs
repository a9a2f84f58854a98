//! `infeed tune`: which setting keeps a training step fed.

use std::io::{self, BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infeed::Element;
use infeed::tune::{Ceiling, Doing, Progress, Report, Tried, Tune};

use crate::args;
use crate::images::Chosen;
use crate::units::{Bytes, wrapped};
use crate::{Exit, Outcome};

pub(crate) fn tune<T: Element>(args: &args::Tune) -> Outcome {
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    let builder = args.knobs.builder::<T>(source);
    let mut told = Told::new();
    let mut tune = Tune::new(builder)
        .budget(args.budget.0)
        .exhaustive(args.exhaustive)
        .progress(|progress| told.tell(&progress));
    if let Some(cores) = args.cpu_limit {
        tune = tune.cpu_limit(cores);
    }
    let mut report = match (&args.step_ms, &args.step_cmd) {
        (_, Some(command)) => {
            let mut step = Stepper::start(command)?;
            let report = tune.run_while(|batch| step.step(batch.len()));
            step.end(command)?;
            report?
        }
        (step, None) => tune.step(step.map_or(Duration::ZERO, |step| step.0))?,
    };
    told.end();
    report.source = name;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    // Last: what was measured is not to be lost with a file that cannot be written.
    if let Some(path) = &args.html {
        report.write_html(path)?;
        if !args.json {
            writeln!(out, "  report: {}", path.display())?;
        }
    }
    Ok(Exit::Done)
}

/// A line on stderr, where that is a terminal.
struct Told(ProgressBar);

impl Told {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Told(bar)
    }

    fn tell(&mut self, progress: &Progress) {
        let doing = match progress.doing {
            Doing::Listing => "listing".to_owned(),
            Doing::Reading => "reading alone".to_owned(),
            Doing::Decoding(1) => "decoding with 1 thread".to_owned(),
            Doing::Decoding(threads) => format!("decoding with {threads} threads"),
            Doing::Running(choice) => choice.to_string(),
            _ => String::new(),
        };
        let (spent, budget) = (progress.spent.as_secs(), progress.budget.as_secs());
        self.0.set_message(format!("{spent} of at most {budget} s: {doing}"));
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// A command that does the steps: it gets a line a batch, and answers one when the
/// step is done.
struct Stepper {
    child: Child,
    batches: ChildStdin,
    done: BufReader<ChildStdout>,
    number: u64,
    /// It has ended, or does not answer as it should.
    lost: bool,
}

impl Stepper {
    fn start(command: &str) -> io::Result<Self> {
        let mut child = Command::new(if cfg!(windows) { "cmd" } else { "sh" })
            .args([if cfg!(windows) { "/C" } else { "-c" }, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("the step command has no input or output");
        let batches = child.stdin.take().ok_or_else(gone)?;
        let done = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        Ok(Stepper { child, batches, done, number: 0, lost: false })
    }

    fn step(&mut self, images: usize) -> ControlFlow<()> {
        let mut line = String::new();
        let number = self.number;
        self.number += 1;
        let told = writeln!(self.batches, "{number} {images}").and_then(|()| self.batches.flush());
        let answered = told.and_then(|()| self.done.read_line(&mut line));
        self.lost |= !answered.is_ok_and(|bytes| bytes > 0);
        if self.lost { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(self, command: &str) -> Result<(), String> {
        let Stepper { mut child, batches, done, lost, number } = self;
        // It finds its input at the end, and its output closed.
        drop((batches, done));
        if !lost {
            drop(child.wait());
            return Ok(());
        }
        let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(format!(
            "the step command `{command}` did not answer each of {number} batches with a line ({how}). \
             It is to read lines from its input, one a batch, and to write a line when the step is \
             done, at once: in Python, print(flush=True)"
        ))
    }
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let samples = match report.samples {
        Some(samples) => format!("{samples} images of "),
        None => String::new(),
    };
    writeln!(
        out,
        "{samples}{}, {}, batches of {}",
        report.source, report.image, report.batch_size
    )?;
    print_ceilings(out, report)?;
    print_settings(out, report)?;
    writeln!(out)?;
    for line in wrapped(&report.verdict).lines() {
        writeln!(out, "  {line}")?;
    }
    let confidence = format!("{:?}", report.confidence).to_lowercase();
    let (trials, seconds) = (report.trials, report.seconds);
    writeln!(out, "  confidence {confidence}, after {trials} trials in {seconds:.0} s")?;
    if let Some(searched) = report.searched {
        let (choice, notches) = (searched.choice, searched.notches);
        writeln!(
            out,
            "  the search alone: {choice}, after {:.0} s; {notches} steps of the grid from the best",
            searched.seconds
        )?;
    }
    for warning in &report.warnings {
        for line in wrapped(&format!("warning: {warning}")).lines() {
            writeln!(out, "  {line}")?;
        }
    }
    writeln!(out, "\n  {}\n", report.recommendation.flags())?;
    for line in report.recommendation.builder().lines() {
        writeln!(out, "      {line}")?;
    }
    writeln!(out)
}

fn print_ceilings(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let ceilings = &report.ceilings;
    writeln!(out, "  alone             images/s")?;
    let mut line = |name: String, ceiling: Ceiling| {
        let bytes = match ceiling.bytes_per_second {
            0.0 => String::new(),
            bytes => format!("  {}/s", Bytes(bytes as u64)),
        };
        writeln!(out, "    {name:<14} {:>9.0}{bytes}", ceiling.images_per_second)
    };
    if let Some(walk) = ceilings.walk {
        line("listing".to_owned(), walk)?;
    }
    for (readers, ceiling) in &ceilings.read {
        let s = if *readers == 1 { "" } else { "s" };
        line(format!("{readers} reader{s}"), *ceiling)?;
    }
    line("decoding".to_owned(), ceilings.decode)?;
    line("transform".to_owned(), ceilings.transform)?;
    line("memory".to_owned(), ceilings.memory)?;
    for (threads, ceiling) in &ceilings.decode_and_transform {
        let s = if *threads == 1 { "" } else { "s" };
        line(format!("{threads} thread{s}"), *ceiling)?;
    }
    Ok(())
}

/// Those that were run, and the one that is recommended.
fn print_settings(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let (step, demand) = (1e3 * report.step_seconds, report.demand);
    writeln!(out, "  a step of {step:.1} ms, which takes {demand:.0} images/s")?;
    writeln!(
        out,
        "    threads readers prefetch order       predicted          measured   cores  memory at most"
    )?;
    for tried in &report.settings {
        let recommended = tried.choice == report.recommendation.choice;
        if tried.measured.is_some() || recommended {
            print_setting(out, tried, if recommended { "->" } else { "" })?;
        }
    }
    Ok(())
}

fn print_setting(out: &mut impl Write, tried: &Tried, mark: &str) -> io::Result<()> {
    let told = |rate: f64, wait: f64| format!("{rate:.0}/s {:>5.1} %", 100.0 * wait);
    let predicted = told(tried.predicted.images_per_second, tried.predicted.wait);
    let (measured, cores) = match tried.measured {
        Some(measured) => {
            (told(measured.images_per_second, measured.wait), format!("{:.2}", measured.cores))
        }
        None => ("-".to_owned(), "-".to_owned()),
    };
    let (choice, memory) = (tried.choice, Bytes(tried.memory_bytes));
    writeln!(
        out,
        " {mark:<2} {:>7} {:>7} {:>8} {:<9} {predicted:>15} {measured:>17} {cores:>7}  {memory}",
        choice.threads, choice.readers, choice.prefetch, choice.order
    )
}
