//! The flags as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use infeed::export::ShardSize;
use infeed::{Shard, SkipList};

use crate::bench::workload::Workload;
use crate::images::skip_list;
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
    /// Write the images as .npy files with a manifest; run again after a kill, it
    /// goes on
    Export(Export),
    /// Check that an export is what it says: files, digests, manifest
    Verify(Verify),
    /// Measure loops, a copying pool and the loader on the same files
    Compare(Compare),
    /// Find the smallest setting that keeps a training step fed
    Tune(Tune),
    /// Measure the loader beside what its parts reach alone
    Bench(Bench),
    /// Show what the model will see, as a contact sheet
    View(View),
    /// Open every file once: what is broken, how the rest is made up; or show that
    /// every sample comes exactly once
    Check(Check),
    /// Print a script that completes flags in a shell
    Completions(Completions),
    /// Print the manual page, or write one for each command
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// File to write: .html or .png
    #[arg(short, long, default_value = "infeed-view.html", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Samples to show
    #[arg(long, default_value_t = 24, value_name = "N")]
    pub(crate) count: u64,

    /// The first one in the epoch's order, counted from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) from: u64,

    /// The epoch
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) epoch: u64,

    /// Show each sample in so many epochs, to see how augmentation changes it
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) repeat: u64,

    /// Tiles side by side; 0: as many as there is room for
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) columns: u32,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write the pages of all commands to this folder instead, made if it is not
    /// there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
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
#[command(group(clap::ArgGroup::new("what").args(["coverage", "ranks"])))]
pub(crate) struct Check {
    /// Folder of images; without it, pictures made once in your cache folder
    pub(crate) dir: Option<PathBuf>,

    /// Write the broken files to FILE as CSV, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    pub(crate) csv: Option<PathBuf>,

    /// Write the broken files to FILE as a list that --skip-list takes
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    pub(crate) quarantine: Option<PathBuf>,

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
    #[arg(required_unless_present_any = ["list", "merge"])]
    pub(crate) dir: Option<PathBuf>,

    /// Folder to write to; made if it is not there
    pub(crate) out: PathBuf,

    /// What one shard holds: a number of samples, or bytes of images with a unit,
    /// such as 64MiB [default: 256MiB]
    #[arg(long, value_name = "N|BYTES", value_parser = shard_size, help_heading = "Export")]
    pub(crate) shard_size: Option<ShardSize>,

    /// One images.npy of any size, instead of shards
    #[arg(long, help_heading = "Export")]
    pub(crate) single: bool,

    /// Make one of several parts, I/N from 0 on, or env for what torchrun, mpirun,
    /// srun or a Kubernetes indexed job has set; --merge ends the export
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE, hide_default_value = true, help_heading = "Export")]
    pub(crate) shard_of: Shard,

    /// End an export that parts have made; takes OUT alone
    #[arg(long, conflicts_with_all = ["dir", "list", "shard_of", "shard_size", "single", "overwrite", "resume", "no_resume"], help_heading = "Export")]
    pub(crate) merge: bool,

    /// Go on with an export of the same configuration that has not ended; so it is
    /// unless --no-resume is said
    #[arg(long, overrides_with = "no_resume", help_heading = "Export")]
    pub(crate) resume: bool,

    /// Refuse a folder with an export that has not ended
    #[arg(long, overrides_with = "resume", help_heading = "Export")]
    pub(crate) no_resume: bool,

    /// Begin anew, whatever export is in OUT
    #[arg(long, conflicts_with_all = ["resume", "no_resume"], help_heading = "Export")]
    pub(crate) overwrite: bool,

    /// Print one JSON object on stdout instead of the summary
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) knobs: Knobs,
}

/// A plain number is samples.
fn shard_size(text: &str) -> Result<ShardSize, String> {
    let size = match text.parse::<u64>() {
        Ok(samples) => ShardSize::Samples(samples),
        Err(_) => ShardSize::Bytes(text.parse::<Bytes>()?.0),
    };
    match size {
        ShardSize::Samples(0) | ShardSize::Bytes(0) => Err("expected at least 1".to_owned()),
        size => Ok(size),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Folder of an export
    pub(crate) out: PathBuf,

    /// Print one JSON object on stdout instead of the summary
    #[arg(long)]
    pub(crate) json: bool,
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

    /// Run every setting three times, which takes many minutes
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

    /// Leave out the images that FILE names, as infeed check --quarantine writes it
    #[arg(long, value_name = "FILE", value_parser = skip_list())]
    pub(crate) skip_list: Option<SkipList>,

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
