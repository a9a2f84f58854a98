//! Which images a command takes: a folder's or a list's.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use infeed::source::Source;
use infeed::{Folder, List, SkipList, Split};

use crate::demo;

#[derive(Debug, Args)]
pub(crate) struct Images {
    /// The images that FILE lists, with their classes and targets: a table
    /// (.csv, .tsv) or JSON Lines (.jsonl). Paths start at DIR, or where the list
    /// lies
    #[arg(long, value_name = "FILE", help_heading = "Images")]
    list: Option<PathBuf>,

    /// Only files whose path below DIR matches, such as 'train/**/*.jpg'
    #[arg(long, value_name = "GLOB", conflicts_with = "list", help_heading = "Images")]
    pattern: Option<String>,

    /// Only one side of a split by the names of the files: train=0.9 or val=0.1,
    /// which have no image in common
    #[arg(long, value_name = "SIDE=SHARE", help_heading = "Images")]
    split: Option<Split>,

    /// Seed of the split
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        requires = "split",
        help_heading = "Images"
    )]
    split_seed: u64,

    /// Leave out the images that FILE names, one a line, as infeed check
    /// --quarantine writes it
    #[arg(long, value_name = "FILE", value_parser = skip_list(), help_heading = "Images")]
    skip_list: Option<SkipList>,
}

/// Reads the list with the flags, so that a wrong line is a wrong flag.
pub(crate) fn skip_list() -> impl TypedValueParser<Value = SkipList> {
    PathBufValueParser::new().try_map(SkipList::load)
}

/// A source, and what reports call it. The split has yet to be applied.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) name: String,
}

impl Images {
    /// The list, or the folder `dir`, or pictures of our own.
    pub(crate) fn choose(&self, dir: Option<&Path>) -> Result<Chosen, Box<dyn Error>> {
        if let Some(file) = &self.list {
            let list = List::open(file)?;
            let list = match dir {
                Some(dir) => list.relative_to(dir),
                None => list,
            };
            return Ok(Chosen { source: Arc::new(list), name: file.display().to_string() });
        }
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => demo::folder()?,
        };
        let folder = Folder::new(&dir);
        let folder = match &self.pattern {
            Some(pattern) => folder.pattern(pattern)?,
            None => folder,
        };
        Ok(Chosen { source: Arc::new(folder), name: dir.display().to_string() })
    }

    /// The side of a split that was asked for.
    pub(crate) fn split(&self) -> Option<Split> {
        self.split.map(|split| split.seed(self.split_seed))
    }

    /// What is left out by name.
    pub(crate) fn skip_list(&self) -> Option<&SkipList> {
        self.skip_list.as_ref()
    }

    /// Whether every image below a folder is taken, so that what is written there
    /// would be too.
    pub(crate) fn takes_all(&self) -> bool {
        self.list.is_none()
    }
}
