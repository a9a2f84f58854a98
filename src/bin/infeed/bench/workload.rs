//! The work that `infeed bench` measures, and the samples it is done on.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use infeed::source::{Admission, Listing, ReadFuture, Source};
use infeed::{Filter, Fit, Folder, Loader, LoaderBuilder, Normalize, SkipList};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Stretch to 512x512, not antialiased, values 0 to 1, batches of 32
    W512,
    /// Shorter side to 256, centre 224, ImageNet's normalisation, batches of 64
    W224,
    /// The same, antialiased
    W224Antialias,
    /// Random crop to 224, flip, ImageNet's normalisation, shuffled, batches of 64
    Wtrain,
}

impl Workload {
    pub(crate) const ALL: [Workload; 4] =
        [Workload::W512, Workload::W224, Workload::W224Antialias, Workload::Wtrain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::W512 => "w512",
            Workload::W224 => "w224",
            Workload::W224Antialias => "w224-antialias",
            Workload::Wtrain => "wtrain",
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Workload::W512 => "stretched to 512x512, opencv-bilinear, 0 to 1, batches of 32",
            Workload::W224 => {
                "shorter side to 256, centre 224, opencv-bilinear, ImageNet's normalisation, \
                 batches of 64"
            }
            Workload::W224Antialias => "the same with the antialiased filter, bilinear",
            Workload::Wtrain => {
                "random crop to 224, flip, opencv-bilinear, ImageNet's normalisation, batches of \
                 64, shuffled"
            }
        }
    }

    pub(crate) fn is_shuffled(self) -> bool {
        self == Workload::Wtrain
    }

    pub(crate) fn builder(self, source: impl Source) -> LoaderBuilder {
        let builder = Loader::source(source);
        let Normalize { mean, std } = Normalize::IMAGENET;
        let small = |builder: LoaderBuilder, fit| {
            builder.batch_size(64).size(224, 224).fit(fit).normalize(mean, std)
        };
        let crop = Fit::Crop { shorter: Some(256) };
        match self {
            Workload::W512 => builder.batch_size(32).size(512, 512),
            Workload::W224 => small(builder, crop),
            Workload::W224Antialias => small(builder, crop).filter(Filter::Bilinear),
            Workload::Wtrain => small(builder, Fit::random_crop()).flip(0.5),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The samples of a folder that are not skipped.
pub(crate) fn listed(
    folder: &Folder,
    skip: Option<&SkipList>,
) -> infeed::Result<Vec<(PathBuf, Option<u32>)>> {
    let mut listed = infeed::source::list(folder)?;
    if let Some(list) = skip {
        let skips = list.below(&folder.root());
        listed.retain(|(path, _)| !skips(path));
    }
    Ok(listed)
}

/// The first samples of a folder, listed beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    folder: Folder,
    listed: Vec<(PathBuf, Option<u32>)>,
}

impl Samples {
    /// The first `images` of `folder` that are not skipped, in its order or `shuffled`.
    pub(crate) fn new(
        folder: Folder,
        skip: Option<&SkipList>,
        images: usize,
        shuffled: bool,
    ) -> infeed::Result<Self> {
        let mut listed = listed(&folder, skip)?;
        listed.truncate(images);
        if shuffled {
            // A hash that is the same in every process is as good as a seed.
            listed.sort_by_cached_key(|(path, _)| {
                let mut hasher = DefaultHasher::new();
                path.hash(&mut hasher);
                hasher.finish()
            });
        }
        Ok(Samples { folder, listed })
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let root = self.folder.root();
        self.listed.iter().map(move |(path, _)| root.join(path))
    }
}

impl Source for Samples {
    fn root(&self) -> PathBuf {
        self.folder.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        for (path, label) in &self.listed {
            if listing.push(path, *label).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.folder.read(path, admission)
    }
}
