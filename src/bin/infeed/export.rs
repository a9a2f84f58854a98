//! `infeed export`: the batches of one epoch as `.npy` files.

use std::path::Path;

use infeed::export::{NpyElement, NpyWriter};

use crate::args;
use crate::run::Streaming;
use crate::units::{Bytes, count};
use crate::{Exit, Outcome};

pub(crate) fn export<T: NpyElement>(args: &args::Export) -> Outcome {
    if inside(&args.out, &args.dir) {
        let (out, dir) = (args.out.display(), args.dir.display());
        eprintln!("error: {out} lies inside {dir}, which is read. Choose a folder beside it");
        return Ok(Exit::Misused);
    }
    // Everything about the input is checked before the output is touched.
    let builder = args.knobs.builder::<T>(args.knobs.folder(&args.dir)?);
    let loader = builder.failures_kept(usize::MAX).build()?;
    if args.overwrite {
        NpyWriter::remove_existing(&args.out)?;
    }
    let mut writer = NpyWriter::create(&args.out).map_err(|error| match error.field() {
        Some("out") => format!("{error}. Choose another folder, or --overwrite").into(),
        _ => Box::<dyn std::error::Error>::from(error),
    })?;
    let mut streaming = Streaming::start(loader, &args.dir)?;
    streaming.stream(1, |batch| Ok(writer.write(batch)?));
    // Also after an error or an interrupt: what was written is valid.
    let written = writer.finish()?;
    let exit = streaming.finish(args.json, false)?;
    if !args.json {
        let files = count(written.batches, "pair of files", "pairs of files");
        let images = count(written.images, "image", "images");
        println!(
            "  wrote {images} in {files}, {}, and manifest.jsonl to {}",
            Bytes(written.bytes),
            args.out.display()
        );
    }
    Ok(exit)
}

/// Whether writing to `out` would add to what is read from `dir`.
fn inside(out: &Path, dir: &Path) -> bool {
    let Ok(dir) = dir.canonicalize() else { return false };
    // The part of `out` that exists decides where the rest will be.
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let real = absolute.ancestors().find_map(|part| part.canonicalize().ok());
    real.is_some_and(|real| real.starts_with(&dir))
}
