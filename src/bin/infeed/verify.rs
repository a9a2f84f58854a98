//! `infeed verify`: whether an export is what it says.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infeed::export::{Verified, verify_with};

use crate::args;
use crate::units::{Bytes, count};
use crate::{Exit, Outcome, is_broken_pipe};

pub(crate) fn verify(args: &args::Verify) -> Outcome {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:14} {bytes}/{total_bytes}  {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let verified = verify_with(&args.out, |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    let verified = verified?;
    let exit = if verified.problems.is_empty() { Exit::Done } else { Exit::Failed };
    let mut out = io::stdout().lock();
    let printed = match args.json {
        true => serde_json::to_writer_pretty(&mut out, &verified)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => print(&mut out, &verified),
    };
    match printed {
        // Nobody reads it, which makes a damaged export no whole one.
        Err(error) if is_broken_pipe(&error) => Ok(exit),
        printed => printed.map(|()| exit).map_err(Into::into),
    }
}

fn print(out: &mut impl Write, verified: &Verified) -> io::Result<()> {
    let Verified { shards, complete, images, bytes, problems, .. } = verified;
    for problem in problems {
        writeln!(out, "{problem}")?;
    }
    let read = format!(
        "{} in {complete} of {}, {} read",
        count(*images, "image", "images"),
        count(*shards, "shard", "shards"),
        Bytes(*bytes)
    );
    match problems.len() as u64 {
        0 => writeln!(out, "{read}: all as it was written"),
        problems => writeln!(out, "{read}: {}", count(problems, "problem", "problems")),
    }
}
