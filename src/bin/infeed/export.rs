//! `infeed export`: the batches of one epoch as `.npy` files.

use std::path::Path;

use infeed::export::{NpyElement, NpyWriter};

use crate::args;
use crate::images::Chosen;
use crate::run::Streaming;
use crate::units::{Bytes, count};
use crate::{Exit, Outcome};

pub(crate) fn export<T: NpyElement>(args: &args::Export) -> Outcome {
    if let Some(dir) = args.dir.as_deref().filter(|_| args.knobs.images.takes_all())
        && inside(&args.out, dir)
    {
        let (out, dir) = (args.out.display(), dir.display());
        eprintln!("error: {out} lies inside {dir}, which is read. Choose a folder beside it");
        return Ok(Exit::Misused);
    }
    // Everything about the input is checked before the output is touched.
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    let builder = args.knobs.builder::<T>(source);
    let loader = builder.failures_kept(usize::MAX).build()?;
    if args.overwrite {
        NpyWriter::remove_existing(&args.out)?;
    }
    let mut writer = NpyWriter::create(&args.out).map_err(|error| match error.field() {
        Some("out") => format!("{error}. Choose another folder, or --overwrite").into(),
        _ => Box::<dyn std::error::Error>::from(error),
    })?;
    let mut streaming = Streaming::start(loader, name)?;
    streaming.stream(1, |batch| Ok(writer.write(batch)?));
    // Also after an error or an interrupt: what was written is valid.
    let written = writer.finish()?;
    let exit = streaming.finish(args.json, false)?;
    if !args.json {
        let batches = count(written.batches, "batch", "batches");
        let images = count(written.images, "image", "images");
        println!(
            "  wrote {images} in {batches}, {}, and manifest.jsonl to {}",
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
