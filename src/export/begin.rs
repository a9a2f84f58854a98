//! What is there when an export starts: nothing, a part of the same one, all of it, or
//! another, which stays.

use std::io::BufReader;
use std::path::Path;

use super::folder::{self, At, names};
use super::index::Index;
use super::journal::{Journal, Records};
use super::lock::Lock;
use super::npy::NpyElement;
use super::options::Export;
use super::origin::Origin;
use super::recipe::Recipe;
use super::run::Exporting;
use crate::config::Shard;
use crate::error::{Error, Result};
use crate::regular;

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
    let listed = loader.listed()?.index;
    let place = Place {
        out: &out,
        journal: &journal,
        recipe: &recipe,
        origin: Origin { listed, source: &*source },
        part,
    };
    let stand = if overwrite { place.anew()? } else { place.stand(resume)? };
    Ok(Exporting::new(loader, source, out, journal, recipe, part, stand))
}

/// What is asked for, and where.
struct Place<'a> {
    out: &'a Path,
    journal: &'a Journal,
    recipe: &'a Recipe,
    origin: Origin<'a>,
    part: Shard,
}

impl Place<'_> {
    fn anew(&self) -> Result<Stand> {
        let Place { out, journal, recipe, part, .. } = *self;
        if !journal.exists() && !Index::is_there(out) {
            self.refuse_files()?;
        }
        let lock = Lock::take(out, journal, part)?;
        // An overwrite that was broken off goes on, so that the same command is right.
        let then = journal.recipe().ok().flatten().filter(|_| !out.join(folder::EXPORT).exists());
        if let Some(then) = then
            && (then == *recipe || then.may_become(recipe))
        {
            let records = journal.records(recipe)?;
            if self.changed(&records)?.is_none() {
                if then != *recipe {
                    journal.change(recipe, part)?;
                }
                return Ok(Stand::Open(records, lock));
            }
        }
        journal.remove_export()?;
        journal.begin(recipe, part)?;
        Ok(Stand::Open(Records::new(), lock))
    }

    fn stand(&self, resume: bool) -> Result<Stand> {
        let Place { out, journal, recipe, part, .. } = *self;
        if let Some(index) = Index::read(out)? {
            return self.ended(index);
        }
        if !journal.exists() {
            self.refuse_files()?;
        } else if !resume && journal.recipe()?.is_some() {
            let reason = "the folder holds an export that has not ended. Go on with it (resume), \
                          choose another folder, or begin anew (overwrite)";
            return Err(Error::config("out", out.display(), reason));
        }
        let lock = Lock::take(out, journal, part)?;
        // It may have ended while this one waited for nothing but its turn.
        if let Some(index) = Index::read(out)? {
            drop(lock);
            return self.ended(index);
        }
        let recorded = journal.recorded()?;
        let then = match journal.recipe()? {
            Some(then) => then,
            None if recorded.is_empty() || part == Shard::WHOLE => {
                self.sweep()?;
                journal.begin(recipe, part)?;
                // Another part may have come first.
                journal.recipe()?.unwrap_or_else(|| recipe.clone())
            }
            None => {
                let reason = "the journal has lost its plan, so what is there cannot be told. \
                              Begin anew (overwrite)";
                return Err(Error::config("out", out.display(), reason));
            }
        };
        let differences = then.differences(recipe);
        if !differences.is_empty() && !then.may_become(recipe) {
            return Err(other(out, "an export that has not ended", &differences));
        }
        let records = journal.records(recipe)?;
        if let Some(changed) = self.changed(&records)? {
            return Err(elsewhere(out, &changed));
        }
        if !differences.is_empty() {
            journal.change(recipe, part)?;
        }
        Ok(Stand::Open(records, lock))
    }

    /// A journal without a plan: an export that was to be overwritten may have left arrays.
    fn sweep(&self) -> Result<()> {
        let Place { out, journal, part, .. } = *self;
        if part == Shard::WHOLE {
            // Nobody else makes a part meanwhile.
            return Ok(journal.sweep(|_| true)?);
        }
        let left = names(out, folder::is_ours)?;
        // Those of another part come after its plan.
        if let (Some(file), None) = (left.first(), journal.recipe()?) {
            let reason = format!(
                "the folder holds {file} of an export that was about to be overwritten. Remove the \
                 folder, or choose another"
            );
            return Err(Error::config("out", out.display(), reason));
        }
        Ok(())
    }

    /// Nobody knows whose they are.
    fn refuse_files(&self) -> Result<()> {
        // Of an export.json that says nothing it is told last.
        let files = names(self.out, folder::is_ours)?;
        let Some(file) = files.iter().find(|name| *name != folder::EXPORT).or(files.first()) else {
            return Ok(());
        };
        let reason = format!(
            "the folder holds {file}, and neither the export.json of an export nor a journal that \
             would say whose it is. Choose another folder, or remove such files yourself"
        );
        Err(Error::config("out", self.out.display(), reason))
    }

    /// An export that has ended is what was asked for, or stays as it is.
    fn ended(&self, index: Index) -> Result<Stand> {
        let Place { out, journal, recipe, .. } = *self;
        let differences = index.plan.differences(recipe);
        if !differences.is_empty() {
            return Err(other(out, "an export", &differences));
        }
        if let Some(changed) = self.changed_since(&index)? {
            return Err(elsewhere(out, &changed));
        }
        Lock::clear(out, journal)?;
        Ok(Stand::Ended(Box::new(index)))
    }

    /// What is another file now than when one of these shards was made. Of our part: other
    /// machines may have the files with other times.
    fn changed(&self, records: &Records) -> Result<Option<String>> {
        for (&shard, record) in records.range(self.recipe.shards().part(self.part)) {
            let Some((_, mut lines)) = self.journal.open(shard)? else { continue };
            let changed = self.origin.changed(record.rows, &mut lines).at(&self.journal.folder)?;
            if changed.is_some() {
                return Ok(changed);
            }
        }
        Ok(None)
    }

    /// The same of an export that has ended.
    fn changed_since(&self, index: &Index) -> Result<Option<String>> {
        let path = self.out.join(folder::MANIFEST);
        // What is missing is for `verify` to tell.
        let Ok((file, _)) = regular::open(&path) else { return Ok(None) };
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let ours = self.recipe.shards().part(self.part);
        for shard in &index.shards {
            if !ours.contains(&shard.shard) {
                Origin::pass_over(shard.rows, &mut lines).at(&path)?;
                continue;
            }
            let changed = self.origin.changed(shard.rows, &mut lines).at(&path)?;
            if changed.is_some() {
                return Ok(changed);
            }
        }
        Ok(None)
    }
}

fn elsewhere(out: &Path, changed: &str) -> Error {
    let reason = format!(
        "the folder holds an export of other files of the same names: {changed}. Give the files \
         that it was begun with, choose another folder, or begin anew (overwrite)"
    );
    Error::config("out", out.display(), reason)
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
