//! What is there when an export starts: nothing, a part of the same one, all of it, or
//! another, which stays.

use std::path::Path;

use super::folder::{self, names};
use super::index::Index;
use super::journal::{Journal, Records};
use super::lock::Lock;
use super::npy::NpyElement;
use super::options::Export;
use super::recipe::Recipe;
use super::run::Exporting;
use crate::config::Shard;
use crate::error::{Error, Result};

/// Where an export stands.
pub(super) enum Stand {
    Ended(Box<Index>),
    /// These shards are complete, and the part is ours.
    Open(Records, Lock),
}

pub(super) fn begin<T: NpyElement>(export: Export<T>) -> Result<Exporting<T>> {
    let source = export.source();
    let Export { builder, out, shard_size, single, part, resume, overwrite } = export;
    let decoder = builder.made_decoder().identity();
    let loader = builder.build()?;
    let [a, b, c] = super::recipe::row_shape(loader.config());
    let row_bytes = (a * b * c * size_of::<T>()) as u64;
    let recipe = Recipe::new(&loader, decoder, shard_size.rows(row_bytes), single)?;
    if recipe.positions == 0 {
        let reason = "it leaves nothing to export: there are fewer samples than in one batch";
        return Err(Error::config("last_batch", loader.config().last_batch, reason));
    }
    let journal = Journal::of(&out);
    std::fs::create_dir_all(&out)
        .map_err(|error| crate::unfinished::refused("the folder cannot be made", &out, error))?;
    let stand = match overwrite {
        true => anew(&out, &journal, &recipe, part)?,
        false => stand(&out, &journal, &recipe, part, resume)?,
    };
    Ok(Exporting::new(loader, source, out, journal, recipe, part, stand))
}

fn anew(out: &Path, journal: &Journal, recipe: &Recipe, part: Shard) -> Result<Stand> {
    let lock = Lock::take(out, journal, part)?;
    journal.remove_export()?;
    journal.begin(recipe, part)?;
    Ok(Stand::Open(Records::new(), lock))
}

fn stand(
    out: &Path,
    journal: &Journal,
    recipe: &Recipe,
    part: Shard,
    resume: bool,
) -> Result<Stand> {
    if let Some(index) = Index::read(out)? {
        return ended(out, journal, recipe, index);
    }
    if !journal.exists() {
        if let Some(file) = names(out, folder::is_ours)?.first() {
            let reason = format!(
                "the folder holds {file} of an export already, and no journal to go on by. Choose \
                 another folder, or begin anew (overwrite)"
            );
            return Err(Error::config("out", out.display(), reason));
        }
    } else if !resume && journal.recipe()?.is_some() {
        let reason = "the folder holds an export that has not ended. Go on with it (resume), \
                      choose another folder, or begin anew (overwrite)";
        return Err(Error::config("out", out.display(), reason));
    }
    let lock = Lock::take(out, journal, part)?;
    // It may have ended while this one waited for nothing but its turn.
    if let Some(index) = Index::read(out)? {
        drop(lock);
        return ended(out, journal, recipe, index);
    }
    let recorded = journal.recorded()?;
    let then = match journal.recipe()? {
        Some(then) => then,
        None if recorded.is_empty() => {
            journal.begin(recipe, part)?;
            // Another part may have come first.
            journal.recipe()?.unwrap_or_else(|| recipe.clone())
        }
        None => {
            let reason = "the journal has lost its plan, so what is there cannot be told. Begin \
                          anew (overwrite)";
            return Err(Error::config("out", out.display(), reason));
        }
    };
    let differences = then.differences(recipe);
    if !differences.is_empty() {
        if !then.may_become(recipe) {
            return Err(other(out, "an export that has not ended", &differences));
        }
        journal.change(recipe, part)?;
    }
    Ok(Stand::Open(journal.records(recipe)?, lock))
}

/// An export that has ended is what was asked for, or stays as it is.
fn ended(out: &Path, journal: &Journal, recipe: &Recipe, index: Index) -> Result<Stand> {
    let differences = index.plan.differences(recipe);
    if !differences.is_empty() {
        return Err(other(out, "an export", &differences));
    }
    Lock::clear(out, journal)?;
    Ok(Stand::Ended(Box::new(index)))
}

fn other(out: &Path, what: &str, differences: &[String]) -> Error {
    const SHOWN: usize = 8;
    let more = match differences.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let shown = differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    let reason = format!(
        "the folder holds {what} of another configuration or source: {shown}{more}. Say the same, \
         choose another folder, or begin anew (overwrite)"
    );
    Error::config("out", out.display(), reason)
}
