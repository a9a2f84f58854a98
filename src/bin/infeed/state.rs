//! Where a run stands, kept in a file and read again.

use std::path::{Path, PathBuf};

use infeed::{Changed, Element, Error, ErrorKind, Loader, Resume, Shard, State};

use crate::args::{self, Resuming};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Writes states as they come.
pub(crate) struct Keeper {
    file: PathBuf,
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
        Ok(Some(Keeper { file }))
    }

    /// The names of the samples, to say later what has changed. One rank is enough.
    pub(crate) fn keep_listing<T: Element>(&self, loader: &Loader<T>) -> Result<()> {
        Ok(loader.save_listing(listing(&self.file))?)
    }

    /// Replaces the file, whole at any moment.
    pub(crate) fn keep(&self, state: &State) -> Result<()> {
        Ok(state.save(&self.file)?)
    }
}

/// What the flags say of going on.
pub(crate) fn resume(args: &Resuming, shard: Shard) -> Result<Option<Resume>> {
    let files: Vec<PathBuf> = args.resume.iter().map(|file| for_rank(file, shard)).collect();
    let Some(first) = files.first() else { return Ok(None) };
    let own = files.len() == 1 && *first != args.resume[0];
    let states = files.iter().map(State::load).collect::<std::result::Result<Vec<_>, _>>()?;
    if let Some(state) = states.first().filter(|state| own && state.shard().world != shard.world) {
        return Err(format!(
            "--resume {}: {} ranks saved states, and {} go on; give the files of all, separated by \
             commas",
            args.resume[0].display(),
            state.shard().world,
            shard.world
        )
        .into());
    }
    let mut resume = Resume::from_all(states);
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

/// Why the loader cannot be built, with the files where they are the reason.
pub(crate) fn with_files(error: Error, args: &Resuming) -> Box<dyn std::error::Error> {
    if error.kind() != ErrorKind::Resume {
        return error.into();
    }
    let files: Vec<String> = args.resume.iter().map(|file| file.display().to_string()).collect();
    format!("--resume {}: {error}", files.join(",")).into()
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
