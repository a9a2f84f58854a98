//! Where a run stands, kept in a file and read again.

use std::path::{Path, PathBuf};

use infeed::{Changed, Element, Loader, Resume, Shard, State};

use crate::args::{self, Resuming};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Writes states as they come.
pub(crate) struct Keeper {
    file: PathBuf,
    temporary: PathBuf,
}

impl Keeper {
    pub(crate) fn new(args: &Resuming, shard: Shard) -> Result<Option<Self>> {
        let Some(state) = &args.state else { return Ok(None) };
        let file = for_rank(state, shard);
        if shard.world > 1 && file == *state {
            return Err(format!(
                "--state {}: each of {} ranks needs a file of its own; put {{rank}} into the name",
                state.display(),
                shard.world
            )
            .into());
        }
        let temporary = with_ending(&file, ".tmp");
        Ok(Some(Keeper { file, temporary }))
    }

    /// The names of the samples, to say later what has changed. One rank is enough.
    pub(crate) fn keep_listing<T: Element>(&self, loader: &Loader<T>) -> Result<()> {
        Ok(loader.save_listing(listing(&self.file))?)
    }

    /// Replaces the file, whole at any moment.
    pub(crate) fn keep(&self, state: &State) -> Result<()> {
        let write = || {
            std::fs::write(&self.temporary, serde_json::to_vec_pretty(state)?)?;
            std::fs::rename(&self.temporary, &self.file)
        };
        write().map_err(|error: std::io::Error| {
            format!("{}: the state cannot be written: {error}", self.file.display()).into()
        })
    }
}

/// What the flags say of going on.
pub(crate) fn resume(args: &Resuming, shard: Shard) -> Result<Option<Resume>> {
    let files: Vec<PathBuf> = args.resume.iter().map(|file| for_rank(file, shard)).collect();
    let Some(first) = files.first() else { return Ok(None) };
    let states: Result<Vec<State>> = files.iter().map(|file| read(file)).collect();
    let mut resume = Resume::from_all(states?);
    let listing = listing(first);
    if listing.exists() {
        resume = resume.listing(listing);
    }
    Ok(Some(match args.allow_changed {
        None => resume,
        Some(args::Changed::Restart) => resume.allow_changed(Changed::RestartEpoch),
        Some(args::Changed::Next) => resume.allow_changed(Changed::NextEpoch),
    }))
}

fn read(file: &Path) -> Result<State> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("{}: no state can be read: {error}. Give what --state has kept", file.display())
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?)
}

fn listing(state: &Path) -> PathBuf {
    with_ending(state, ".listing")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The file of one rank, where the name says how it depends on it.
fn for_rank(file: &Path, shard: Shard) -> PathBuf {
    match file.to_str() {
        Some(name) => name.replace("{rank}", &shard.rank.to_string()).into(),
        None => file.to_owned(),
    }
}
