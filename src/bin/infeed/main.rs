//! The `infeed` command line: flags become a builder, the builder a loader, and
//! the library does the rest.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(fuzzing, no_main, allow(dead_code, unreachable_pub))]

mod args;
mod bench;
mod check;
mod compare;
mod completions;
mod demo;
mod export;
mod export_report;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod images;
mod knobs;
mod log;
mod progress;
mod report;
mod run;
mod state;
mod stop;
mod survey;
mod system;
mod tune;
mod units;
mod verify;
mod view;
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

/// Calls a function for the element type that was asked for.
macro_rules! typed {
    ($dtype:expr, $function:path, $args:expr) => {{
        use $function as function;
        match $dtype {
            Dtype::U8 => function::<u8>($args),
            Dtype::F16 => function::<infeed::f16>($args),
            Dtype::Bf16 => function::<infeed::bf16>($args),
            _ => function::<f32>($args),
        }
    }};
}

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
    log::init(cli.verbose);
    let knobs = match &cli.command {
        Command::Run(args) => Some(&args.knobs),
        Command::Export(args) => Some(&args.knobs),
        Command::Compare(args) => Some(&args.knobs),
        Command::Check(args) => Some(&args.knobs),
        Command::Tune(args) => Some(&args.knobs),
        Command::View(args) => Some(&args.knobs),
        Command::Bench(_) | Command::Verify(_) | Command::Completions(_) | Command::Man(_) => None,
    };
    if let Some(Err(reason)) = knobs.map(knobs::Knobs::check) {
        eprintln!("error: {reason}");
        return Ok(Exit::Misused);
    }
    match &cli.command {
        Command::Run(args) => typed!(args.knobs.dtype(), run::run, args),
        Command::Export(args) if args.merge => export::merge(args),
        Command::Export(args) => match args.knobs.dtype() {
            Dtype::U8 => export::export::<u8>(args),
            Dtype::F16 => export::export::<infeed::f16>(args),
            Dtype::Bf16 => {
                eprintln!(
                    "error: NumPy has no bf16. Export --dtype f32 or f16 and convert where it is read"
                );
                Ok(Exit::Misused)
            }
            _ => export::export::<f32>(args),
        },
        Command::Compare(args) => typed!(args.knobs.dtype(), compare::compare, args),
        Command::Tune(args) => typed!(args.knobs.dtype(), tune::tune, args),
        Command::Bench(args) => bench::bench(args),
        Command::View(args) => typed!(args.knobs.dtype(), view::view, args),
        Command::Check(args) => check::check(args),
        Command::Verify(args) => verify::verify(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => completions::man(args),
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
