//! The flags as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::workload::Workload;
use crate::knobs::Knobs;
use crate::units::Bytes;

/// Streams folders of images as batches for training.
#[derive(Debug, Parser)]
#[command(
    name = "infeed",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start with `infeed run`: without a folder it makes a small one and streams that."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log what happens to stderr
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream epochs and say how fast, and what limits
    Run(Run),
    /// Write the batches as .npy files with a manifest
    Export(Export),
    /// Measure loops, a copying pool and the loader on the same files
    Compare(Compare),
    /// Find the smallest setting that keeps a training step fed
    Tune(Tune),
    /// Measure the loader beside what its parts reach alone
    Bench(Bench),
    /// Show that every sample comes exactly once, on one rank or on many
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Epochs to stream, from the first one on; work crosses from one into the next
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: u64,

    /// Say in one value which samples each epoch delivered
    #[arg(long)]
    pub(crate) digest: bool,

    /// Print one JSON object on stdout instead of the summary
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) resuming: Resuming,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Resuming")]
pub(crate) struct Resuming {
    /// Keep in FILE, after every batch, where the run stands, and the names of the
    /// samples in FILE.listing; {rank} in FILE stands for the rank
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Go on from where an earlier run kept that it stood; FILES of all ranks,
    /// separated by commas, where their number has changed
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    pub(crate) resume: Vec<PathBuf>,

    /// Where the source has changed since: begin the epoch again (restart), or the
    /// next one (next)
    #[arg(long, value_name = "HOW", requires = "resume")]
    pub(crate) allow_changed: Option<Changed>,
}

/// The words of [`infeed::Changed`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Changed {
    Restart,
    Next,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["coverage", "ranks"])))]
pub(crate) struct Check {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Count how often each sample comes in an epoch of all ranks; reads nothing
    #[arg(long)]
    pub(crate) coverage: bool,

    /// Ranks to count together, each with the flags given
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) world: u32,

    /// Epochs to count, from the first one on
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: u64,

    /// Combine the digests of several ranks: what `infeed run --json` printed on
    /// each
    #[arg(long, value_name = "FILES", num_args = 1.., value_delimiter = ',', conflicts_with = "dir")]
    pub(crate) ranks: Vec<PathBuf>,

    /// Compare them with those of one process: what `infeed run --json` printed
    #[arg(long, value_name = "FILE", requires = "ranks")]
    pub(crate) against: Option<PathBuf>,

    /// Print one JSON object on stdout instead of the table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Export {
    /// Folder of images; may be left out with --list
    #[arg(required_unless_present = "list")]
    pub(crate) dir: Option<PathBuf>,

    /// Folder to write to; made if it is not there
    pub(crate) out: PathBuf,

    /// Replace an export that is in OUT already
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Print one JSON object on stdout instead of the summary
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("step").required(true).args(["step_ms", "step_cmd"])))]
pub(crate) struct Tune {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Milliseconds that the training step takes for a batch, as one that waits for
    /// a GPU: it uses no core
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub(crate) step_ms: Option<Milliseconds>,

    /// A command that does the steps: it reads a line for each batch (its number and
    /// how many images), and answers with a line when the step is done
    #[arg(long, value_name = "COMMAND")]
    pub(crate) step_cmd: Option<String>,

    /// The most time to take: 60s, 2m; it stops earlier when it is sure
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = budget)]
    pub(crate) budget: Milliseconds,

    /// Decoder threads that may be used [default: one for each core]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) cpu_limit: Option<usize>,

    /// Run every setting, which takes minutes
    #[arg(long)]
    pub(crate) exhaustive: bool,

    /// Write the report as a page too, with charts; it needs nothing beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Print one JSON object on stdout instead of the table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

/// A time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milliseconds(pub(crate) Duration);

fn milliseconds(text: &str) -> Result<Milliseconds, String> {
    let number = text.trim_end_matches("ms").trim().parse::<f64>().ok();
    let time = number.and_then(|number| Duration::try_from_secs_f64(number / 1e3).ok());
    time.map(Milliseconds).ok_or_else(|| "expected milliseconds, such as 40 or 2.5".to_owned())
}

fn budget(text: &str) -> Result<Milliseconds, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number = number.trim().parse::<f64>().ok();
    let time = number.and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
    time.map(Milliseconds).ok_or_else(|| "expected a time, such as 60s or 2m".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Memory for the ways that keep their results, which sets how many images
    /// all ways take [default: 2 GiB, or half of what is free if that is less]
    #[arg(long, value_name = "BYTES")]
    pub(crate) keep_memory: Option<Bytes>,

    /// Epochs of the ways that drop their results; the first is told apart
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) epochs: u64,

    /// Print one JSON object on stdout instead of the table
    #[arg(long)]
    pub(crate) json: bool,

    /// Runs one way and prints its figures; each way has its own process
    #[arg(long, hide = true)]
    pub(crate) way: Option<crate::ways::Way>,

    /// Images that this process takes
    #[arg(long, hide = true, requires = "way")]
    pub(crate) images: Option<usize>,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Workloads to measure, separated by commas [default: all]
    #[arg(
        long = "workload",
        value_name = "NAMES",
        value_delimiter = ',',
        default_values_t = Workload::ALL,
        hide_default_value = true
    )]
    pub(crate) workloads: Vec<Workload>,

    /// Rounds, in which the loader and its parts take turns
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = positive)]
    pub(crate) rounds: usize,

    /// Epochs of a turn; the loader's first epoch comes before them and is not
    /// counted [default: 2, or as many as 2,000 images take]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) epochs: Option<u64>,

    /// Images to take, from the first on [default: 2,000, or as many as fit into
    /// a quarter of the free memory]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) images: Option<usize>,

    /// Decoder threads; 0: one for each core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) threads: usize,

    /// Samples in a batch [default: the workload's]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,

    /// Measure only the loader, in order, on one workload; prints one line
    #[arg(long)]
    pub(crate) loader_only: bool,

    /// Print one JSON object on stdout instead of the table
    #[arg(long)]
    pub(crate) json: bool,

    /// Measures one workload and prints its figures as they come; each workload
    /// has its own process
    #[arg(long, hide = true)]
    pub(crate) here: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "expected a whole number from 1 on".to_owned())
}
