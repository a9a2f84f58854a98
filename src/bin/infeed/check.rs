//! `infeed check`: that every sample can be used ([`survey`]), or comes exactly once,
//! by the plan or by what ranks have delivered.

use std::io::Write;
use std::path::Path;

use infeed::{Coverage, Digest};
use serde_json::{Value, json};

use crate::args;
use crate::images::Chosen;
use crate::survey::survey;
use crate::units::count;
use crate::{Exit, Outcome};

pub(crate) fn check(args: &args::Check) -> Outcome {
    match (args.coverage, &args.ranks[..]) {
        (true, _) => coverage(args),
        (false, []) => survey(args),
        (false, _) => ranks(args),
    }
}

/// Counts by the plan.
fn coverage(args: &args::Check) -> Outcome {
    let Chosen { source, name } = args.knobs.images.choose(args.dir.as_deref())?;
    let builder = args.knobs.builder::<f32>(source);
    let coverage = builder.coverage(args.world, 0..args.epochs)?;
    let exact = coverage.is_exact() && coverage.samples > 0;
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut value = serde_json::to_value(&coverage)?;
        value["exact"] = json!(exact);
        serde_json::to_writer_pretty(&mut out, &value)?;
        writeln!(out)?;
    } else {
        print(&mut out, &coverage, &name, exact)?;
    }
    Ok(if exact { Exit::Done } else { Exit::Failed })
}

fn print(
    out: &mut impl Write,
    coverage: &Coverage,
    name: &str,
    exact: bool,
) -> std::io::Result<()> {
    let (samples, ranks) = (
        count(coverage.samples, "sample", "samples"),
        count(coverage.world.into(), "rank", "ranks"),
    );
    writeln!(out, "{samples} of {name}, shared by {ranks}")?;
    writeln!(out, "  epoch  batches a rank       once      never  repeatedly  padding")?;
    for epoch in &coverage.epochs {
        let (least, most) = (epoch.batches.iter().min(), epoch.batches.iter().max());
        let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
        let batches = if least == most { least.to_string() } else { format!("{least} to {most}") };
        writeln!(
            out,
            "  {:>5} {batches:>15} {:>10} {:>10} {:>11} {:>8}",
            epoch.epoch, epoch.once, epoch.never, epoch.repeatedly, epoch.padding
        )?;
        for (what, paths) in
            [("never", &epoch.never_named), ("repeatedly", &epoch.repeatedly_named)]
        {
            for path in paths.iter().take(if coverage.drawn { 0 } else { 3 }) {
                writeln!(out, "         {what}: {}", path.display())?;
            }
        }
    }
    let verdict = match (exact, coverage.drawn, coverage.left_out) {
        (true, true, _) => "drawn with replacement; every rank has as many batches",
        (true, false, 0) => "every sample comes exactly once in every epoch",
        (true, false, _) => {
            "every sample comes exactly once in an epoch, but for the last, which drop leaves out"
        }
        (false, ..) if coverage.samples == 0 => "there is no sample",
        (false, ..) => "not every sample comes exactly once",
    };
    writeln!(out, "  {verdict}")
}

/// Combines what ranks have printed.
fn ranks(args: &args::Check) -> Outcome {
    let ranks: Result<Vec<_>, _> = args.ranks.iter().map(|file| digests(file)).collect();
    let ranks = ranks?;
    let mut epochs: Vec<u64> = ranks.iter().flatten().map(|(epoch, _)| *epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let whole = args.against.as_ref().map(|file| digests(file)).transpose()?;
    let mut equal = true;
    let mut combined = Vec::new();
    for epoch in epochs {
        let of_epoch = ranks.iter().flatten().filter(|(number, _)| *number == epoch);
        let together = Digest::combined(of_epoch.map(|(_, digest)| *digest));
        let known = whole.iter().flatten().find(|(number, _)| *number == epoch);
        let same = known.map(|(_, digest)| {
            digest.set() == together.set() && digest.samples() == together.samples()
        });
        equal &= whole.is_none() || same == Some(true);
        combined.push((epoch, together, same));
    }
    let missing = whole
        .iter()
        .flatten()
        .filter(|(number, _)| combined.iter().all(|(epoch, ..)| epoch != number))
        .map(|(number, _)| *number);
    let missing: Vec<u64> = missing.collect();
    if ranks.iter().all(Vec::is_empty) {
        return Err("the ranks have told of no epoch: nothing was left for them to do, or they \
                    ended before its first batch"
            .into());
    }
    equal &= missing.is_empty();
    let mut out = std::io::stdout().lock();
    if args.json {
        let epochs = combined.iter().map(|(epoch, digest, same)| {
            json!({
                "epoch": epoch,
                "samples": digest.samples(),
                "set": format!("{:016x}", digest.set()),
                "equal": same,
            })
        });
        let equal = whole.is_some().then_some(equal);
        let value = json!({ "epochs": epochs.collect::<Vec<_>>(), "equal": equal });
        serde_json::to_writer_pretty(&mut out, &value)?;
        writeln!(out)?;
    } else {
        let ranks = count(args.ranks.len() as u64, "rank", "ranks");
        for (epoch, digest, same) in combined {
            let verdict = match same {
                None if whole.is_some() => ", of which the other knows nothing",
                None => "",
                Some(true) => ", as of one process",
                Some(false) => ", not as of one process",
            };
            let (samples, set) = (digest.samples(), digest.set());
            writeln!(
                out,
                "epoch {epoch}: {ranks} together {}, set {set:016x}{verdict}",
                count(samples, "sample", "samples")
            )?;
        }
        for epoch in missing {
            writeln!(out, "epoch {epoch}: no rank tells of it, and the one process does")?;
        }
    }
    Ok(if equal { Exit::Done } else { Exit::Failed })
}

/// The epochs in what `infeed run --json` has printed, with their digests.
fn digests(file: &Path) -> Result<Vec<(u64, Digest)>, Box<dyn std::error::Error>> {
    let wrong = |error: &dyn std::fmt::Display| {
        let file = file.display();
        format!("{file}: no digests can be read: {error}. Give what infeed run --json printed")
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let report: Value = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    let Some(epochs) = report["epochs"].as_array() else {
        return Err(wrong(&"there are no epochs in it").into());
    };
    let epochs = epochs.iter().map(|epoch| {
        let number = epoch["epoch"].as_u64().ok_or_else(|| wrong(&"an epoch has no number"))?;
        let digest = serde_json::from_value(epoch["digest"].clone());
        Ok((number, digest.map_err(|error| wrong(&error))?))
    });
    epochs.collect()
}
