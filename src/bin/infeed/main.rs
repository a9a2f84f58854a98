//! The `infeed` command line: flags become a builder, the builder a loader, and
//! the library does the rest.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod compare;
mod demo;
mod export;
mod knobs;
mod progress;
mod report;
mod run;
mod stop;
mod system;
mod units;
mod ways;

use std::process::ExitCode;

use clap::Parser;
use infeed::{Dtype, ErrorKind};

use args::{Cli, Command};

/// How the program ends, as the shell sees it. Wrong flags are clap's, also 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Misused = 2,
    /// 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

type Outcome = Result<Exit, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match dispatch(&cli) {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&*error) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            match error.downcast_ref::<infeed::Error>().map(infeed::Error::kind) {
                Some(ErrorKind::Config) => Exit::Misused,
                Some(ErrorKind::Stopped) => Exit::Interrupted,
                _ => Exit::Failed,
            }
        }
    };
    ExitCode::from(exit as u8)
}

fn dispatch(cli: &Cli) -> Outcome {
    if cli.verbose {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    match &cli.command {
        Command::Run(args) => match args.knobs.dtype() {
            Dtype::U8 => run::run::<u8>(args),
            _ => run::run::<f32>(args),
        },
        Command::Export(args) => match args.knobs.dtype() {
            Dtype::U8 => export::export::<u8>(args),
            _ => export::export::<f32>(args),
        },
        Command::Compare(args) => match args.knobs.dtype() {
            Dtype::U8 => compare::compare::<u8>(args),
            _ => compare::compare::<f32>(args),
        },
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
