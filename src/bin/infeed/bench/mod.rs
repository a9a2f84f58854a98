//! `infeed bench`: how near the loader comes to what its parts reach alone, on
//! the user's own files.
//!
//! Each workload has a process of its own ([`measure`]), so that its peak of
//! memory is its own; what it measures it tells at once, so that an interrupt
//! loses nothing.

mod ceilings;
mod clock;
pub(crate) mod measure;
mod report;
pub(crate) mod workload;

use std::error::Error;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use infeed::source::Source;
use infeed::{Folder, SkipList};

use crate::stop::Interrupt;
use crate::{Exit, Outcome, args, demo, system};
use measure::{Line, Setup};
use report::{Record, Report};
use workload::{Samples, Workload};

/// What to do about a file that is bad.
const NEEDS_GOOD_FILES: &str = "`infeed bench` needs files that can be read: mend or remove it";

/// Images unless told otherwise: enough for a figure, in memory at once.
const DEFAULT_IMAGES: usize = 2_000;
/// Images that a turn takes at least unless told otherwise, or clocks and
/// schedulers count for too much.
const IMAGES_A_TURN: u64 = 2_000;

pub(crate) fn bench(args: &args::Bench) -> Outcome {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => demo::folder()?,
    };
    let plan = Plan::new(args, dir)?;
    if args.loader_only {
        let &[workload] = &args.workloads[..] else {
            eprintln!(
                "error: --loader-only measures one workload; name it, such as --workload w512"
            );
            return Ok(Exit::Misused);
        };
        let (start, span) = measure::loader_only(workload, &plan.setup(workload)?).map_err(told)?;
        report::print_loader(workload, &plan, &start, &span, args.json)?;
        return Ok(Exit::Done);
    }
    if let (true, &[workload]) = (args.here, &args.workloads[..]) {
        measure::measure(workload, &plan.setup(workload)?).map_err(told)?;
        return Ok(Exit::Done);
    }
    compare_workloads(args, plan)
}

fn compare_workloads(args: &args::Bench, plan: Plan) -> Outcome {
    let interrupt = Interrupt::install(None)?;
    let mut records = Vec::new();
    let mut exit = Exit::Done;
    for &workload in &args.workloads {
        let mut record = Record::new(workload);
        let ended = measure_apart(&plan, &mut record, &interrupt)?;
        if record.start.is_some() {
            records.push(record);
        }
        if ended != Exit::Done {
            exit = ended;
            break;
        }
    }
    if records.is_empty() {
        return Ok(exit);
    }
    let report = Report { plan, records, interrupted: exit == Exit::Interrupted };
    if args.json {
        report.print_json()?
    } else {
        report.print()?
    }
    Ok(exit)
}

/// Which images, how often.
pub(crate) struct Plan {
    dir: PathBuf,
    skip: Option<SkipList>,
    found: usize,
    images: usize,
    rounds: usize,
    epochs: u64,
    threads: usize,
    batch_size: Option<usize>,
}

impl Plan {
    fn new(args: &args::Bench, dir: PathBuf) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::new(&dir);
        let listed = workload::listed(&folder, args.skip_list.as_ref())?;
        if listed.is_empty() {
            // The loader's own words for a folder that holds nothing.
            let builder = infeed::Loader::source(folder.clone());
            drop(match &args.skip_list {
                Some(list) => builder.skip_list(list.clone()).build()?,
                None => builder.build()?,
            });
        }
        let fit = || in_memory(listed.iter().take(DEFAULT_IMAGES).map(|(path, _)| dir.join(path)));
        let images = args.images.unwrap_or_else(fit).min(listed.len());
        let epochs = args.epochs.unwrap_or(IMAGES_A_TURN.div_ceil(images.max(1) as u64).max(2));
        let (found, rounds, threads) = (listed.len(), args.rounds, args.threads);
        let (batch_size, skip) = (args.batch_size, args.skip_list.clone());
        Ok(Plan { dir, skip, found, images, rounds, epochs, threads, batch_size })
    }

    fn setup(&self, workload: Workload) -> infeed::Result<Setup> {
        let folder = Folder::new(&self.dir);
        Ok(Setup {
            samples: Samples::new(folder, self.skip.as_ref(), self.images, workload.is_shuffled())?,
            rounds: self.rounds,
            epochs: self.epochs,
            threads: self.threads,
            batch_size: self.batch_size,
        })
    }

    /// This program, to measure one workload.
    fn command(&self, workload: Workload) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--here", "--workload", workload.name()]);
        for (flag, value) in [
            ("--images", self.images as u64),
            ("--rounds", self.rounds as u64),
            ("--epochs", self.epochs),
            ("--threads", self.threads as u64),
        ] {
            command.args([flag, &value.to_string()]);
        }
        if let Some(samples) = self.batch_size {
            command.args(["--batch-size", &samples.to_string()]);
        }
        if let Some(list) = &self.skip {
            command.arg("--skip-list").arg(list.name());
        }
        command.arg("--").arg(&self.dir);
        Ok(command)
    }
}

/// How many of the files fit into a quarter of the memory that is free, at
/// least one. What cannot be looked at is told when it is read.
fn in_memory(paths: impl Iterator<Item = PathBuf>) -> usize {
    let mut left = system::available_bytes().unwrap_or(u64::MAX) / 4;
    let fits = |path: &PathBuf| {
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    paths.take_while(fits).count().max(1)
}

/// Measures one workload in a process of its own. An error of that process has
/// been told by it.
fn measure_apart(
    plan: &Plan,
    record: &mut Record,
    interrupt: &Interrupt,
) -> Result<Exit, Box<dyn Error>> {
    let mut child = plan.command(record.workload)?.stdout(Stdio::piped()).spawn()?;
    let listened = listen(&mut child, plan, record, interrupt);
    if listened.is_err() || interrupt.requested() {
        child.kill()?;
    }
    let status = child.wait()?;
    listened?;
    if interrupt.requested() || was_interrupted(status) {
        return Ok(Exit::Interrupted);
    }
    match status.code() {
        Some(0) => Ok(Exit::Done),
        Some(2) => Ok(Exit::Misused),
        Some(_) => Ok(Exit::Failed),
        None => Err(format!("{} did not finish: {status}", record.workload).into()),
    }
}

fn listen(
    child: &mut Child,
    plan: &Plan,
    record: &mut Record,
    interrupt: &Interrupt,
) -> Result<(), Box<dyn Error>> {
    let (mut live, watched) = (io::stderr(), io::stderr().is_terminal());
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        record.add(serde_json::from_str::<Line>(&line?)?);
        let (workload, round) = (record.workload, record.round());
        tracing::info!("{workload}: round {round} of {}", plan.rounds);
        if watched {
            write!(live, "{workload}: round {round} of {} ..\r", plan.rounds)?;
        }
        if interrupt.requested() {
            break;
        }
    }
    Ok(())
}

/// An interrupt from the keyboard goes to both processes, and the other one's
/// end may be seen first.
#[cfg(unix)]
fn was_interrupted(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status)
        .is_some_and(|signal| [libc::SIGINT, libc::SIGTERM].contains(&signal))
}

#[cfg(not(unix))]
fn was_interrupted(_: ExitStatus) -> bool {
    false
}

/// An error about a sample, with what to do about it.
fn told(error: Box<dyn Error>) -> Box<dyn Error> {
    match error.downcast_ref::<infeed::Error>() {
        Some(of_sample) if of_sample.sample().is_some() => {
            format!("{of_sample}. {NEEDS_GOOD_FILES}").into()
        }
        _ => error,
    }
}

/// The folder as a source is called in messages.
fn shown(dir: &Path) -> String {
    Folder::new(dir).root().display().to_string()
}
