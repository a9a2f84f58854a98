//! A survey of a source: every file opened once, what is broken and why, and how
//! the rest is made up.
//!
//! ```text
//! reader   one thread's reads
//! look     the threads: read, hash, decode, resize; which sample is next is a counter
//! tally    what was seen -> counts, spreads, copies, mean and deviation (pure)
//! report   the list of broken samples as a table, and as a skip list
//! ```
//!
//! What comes out depends on the files alone, never on threads or timing: sums are
//! of integers, and all is put in the source's order at the end.

mod look;
mod reader;
mod report;
mod tally;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

pub(crate) use reader::Reader;

use crate::builder::LoaderBuilder;
use crate::config::{
    Augmentation, Cache, Color, Config, Decoding, Filter, Fit, Layout, Normalize, Size,
};
use crate::decode::Format;
use crate::element::Element;
use crate::error::{CauseKind, Result, Stage};
use crate::source::SkipList;

/// Rows of the table of sizes.
const SHOWN_SIZES: usize = 8;
/// Pictures of more pixels are counted apart.
const LARGE_PIXELS: u64 = 12_000_000;

/// What a source is made of ([`LoaderBuilder::survey`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// Where the samples' paths start.
    #[serde(serialize_with = "lossy")]
    pub root: PathBuf,
    /// Samples that take part.
    pub samples: u64,
    /// Those that were opened.
    pub opened: u64,
    /// All were; otherwise the survey was stopped, perhaps while the source was
    /// still being listed.
    pub complete: bool,
    /// Samples that would fail, in the source's order.
    pub broken: Vec<Broken>,
    /// The others.
    pub good: Good,
    /// The classes that have a name or a sample, in the order of their numbers; empty where
    /// there are none.
    pub classes: Vec<Class>,
    /// Samples without a class that were opened.
    pub unlabelled: u64,
    /// How the pictures were resized before their levels were counted.
    pub levels: Resized,
    /// What a skip list had left out before.
    #[serde(skip)]
    left_out: Vec<PathBuf>,
}

/// A sample that does not become a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Broken {
    /// In the source's order.
    pub index: u64,
    /// The file, relative to the source's root.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The number of its class.
    pub label: Option<u32>,
    /// The name of its class.
    pub class: Option<String>,
    /// The size of its file, where it can be told.
    pub bytes: Option<u64>,
    /// XXH3-128 of its bytes, where they can be read.
    #[serde(rename = "xxh3_128", serialize_with = "hex_if_some")]
    pub hash: Option<u128>,
    /// The stage at which it fails.
    pub stage: Stage,
    /// Why.
    pub cause: CauseKind,
    /// Why, in words.
    pub message: String,
}

/// What the samples that become rows are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Good {
    /// How many there are.
    pub samples: u64,
    /// Bytes of their files together.
    pub total_bytes: u64,
    /// Bytes of a file.
    pub bytes: Spread,
    /// Formats by content, the most common first.
    pub formats: Vec<Counted>,
    /// Files whose ending promises another format. Nothing goes by the ending, so
    /// they are good.
    pub misnamed: Vec<Misnamed>,
    /// Pixels of an upright picture's width.
    pub width: Spread,
    /// Pixels of its height.
    pub height: Spread,
    /// Pixels of a picture.
    pub pixels: Spread,
    /// The most common sizes.
    pub sizes: Vec<Counted>,
    /// How many different sizes there are.
    pub distinct_sizes: u64,
    /// Pictures of more than 12 million pixels.
    pub large: u64,
    /// How colour is stored, the most common first.
    pub colors: Vec<Counted>,
    /// Pictures that an EXIF tag turns.
    pub turned: u64,
    /// Files of the very same bytes.
    pub duplicates: Duplicates,
    /// Mean and deviation of each channel over all levels after the resize; empty
    /// where there is no picture.
    pub channels: Vec<Channel>,
}

/// The least, the one in the middle and the largest of some numbers; zeros of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub min: u64,
    /// Of an even number the lower of the two in the middle.
    pub median: u64,
    pub max: u64,
}

/// How many samples are of some kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The kind, in words.
    pub what: String,
    /// How many there are.
    pub samples: u64,
}

/// A file that is called otherwise than what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misnamed {
    /// In the source's order.
    pub index: u64,
    /// The file, relative to the source's root.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// By its ending.
    pub promised: Format,
    /// By its bytes.
    pub content: Format,
}

/// Files of the same bytes under several names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Samples that have come before under another name.
    pub extra: u64,
    /// What is there several times, in the source's order.
    pub groups: Vec<Copies>,
}

/// One file's content and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// XXH3-128 of the bytes.
    #[serde(rename = "xxh3_128", serialize_with = "hex")]
    pub hash: u128,
    /// Bytes of each.
    pub bytes: u64,
    /// In the source's order.
    pub indices: Vec<u64>,
    /// The files, relative to the source's root.
    #[serde(serialize_with = "all_lossy")]
    pub paths: Vec<PathBuf>,
}

/// One channel of all pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Channel {
    /// `red`, `green`, `blue`, or `grey`.
    pub name: &'static str,
    /// On the scale `0.0..=1.0`.
    pub mean: f64,
    /// On the same scale; of all levels, not of a sample of them.
    pub std: f64,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its number.
    pub label: u32,
    /// Its name.
    pub name: String,
    /// Samples of it that become rows.
    pub good: u64,
    /// Samples of it that do not.
    pub broken: u64,
}

/// How pictures were resized, without augmentation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Resized {
    /// Width and height.
    pub size: Size,
    /// As configured; the whole picture in place of a random part.
    pub fit: Fit,
    /// How pixels between pixels are found.
    pub filter: Filter,
    /// Whether pictures may have come from the decoder smaller than they are.
    pub decode: Decoding,
    /// RGB, or grey where that is configured.
    pub color: Color,
}

/// How far a survey has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Samples listed so far.
    pub samples: u64,
    /// The listing has ended, and files are being opened.
    pub listed: bool,
    /// Samples opened so far.
    pub opened: u64,
    /// Of those, broken ones.
    pub broken: u64,
}

impl<T: Element> LoaderBuilder<T> {
    /// Opens every file once, on as many [`threads`](Self::threads) as a loader has:
    /// what is broken and why, and of the rest formats, sizes, copies, the balance of
    /// classes, and the mean and deviation that [`normalize`](Self::normalize) takes.
    ///
    /// Files are read, decoded and resized as a loader does it, with the same limits;
    /// augmentation is switched off, transforms of yours included, and instead of a
    /// random part the whole picture counts. Each thread holds one file and one
    /// picture, and about 100 bytes are kept of each sample. The result is the same
    /// for any number of threads.
    ///
    /// `watch` is called on all of the threads, before each sample; with
    /// [`ControlFlow::Break`] it ends the survey, which then tells of what has been
    /// opened.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use std::ops::ControlFlow;
    ///
    /// let builder = infeed::Loader::folder(&photos).size(32, 32);
    /// let survey = builder.survey(|_| ControlFlow::Continue(()))?;
    /// assert_eq!((survey.good.samples, survey.broken.len()), (10, 0));
    /// let found = survey.normalize().unwrap();
    /// let loader = builder.normalize(found.mean, found.std).build()?;
    /// # Ok::<(), infeed::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); no broken file is one, but
    /// [`ErrorKind::ReadsStuck`](crate::ErrorKind::ReadsStuck) is when reads do not come back.
    pub fn survey(&self, watch: impl Fn(Progress) -> ControlFlow<()> + Sync) -> Result<Survey> {
        self.resolve()?;
        let fit = match self.config.fit {
            Fit::RandomCrop { .. } => Fit::Stretch,
            fit => fit,
        };
        let color = if self.config.color == Color::Grey { Color::Grey } else { Color::Rgb };
        let plain = Config {
            fit,
            color,
            augmentation: Augmentation::default(),
            normalize: Normalize::UNIT,
            layout: Layout::Chw,
            cache: Cache::None,
            cache_side: None,
            ..self.config.clone()
        };
        let config = plain.resolve::<u8>()?;
        let preprocessor = || self.plain_preprocessor(&config);
        let survey = look::look(&*self.selected(), &config, &preprocessor, &watch)?;
        let left_out = self.config.skip_list.as_ref().map(SkipList::paths).unwrap_or_default();
        Ok(Survey { left_out, ..survey })
    }
}

impl Survey {
    /// What [`LoaderBuilder::normalize`] takes, rounded to four digits behind the
    /// point. `None` where there is no picture, or one channel has the same level
    /// everywhere.
    #[must_use]
    pub fn normalize(&self) -> Option<Normalize> {
        let channels = &self.good.channels;
        let rounded = |of: fn(&Channel) -> f64| {
            let number = |channel: &Channel| ((of(channel) * 1e4).round() / 1e4) as f32;
            match &channels[..] {
                [grey] => Some([number(grey); 3]),
                [red, green, blue] => Some([red, green, blue].map(number)),
                _ => None,
            }
        };
        let (mean, std) = (rounded(|channel| channel.mean)?, rounded(|channel| channel.std)?);
        std.iter().all(|&std| std > 0.0).then_some(Normalize { mean, std })
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn all_lossy<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn hex<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:032x}"))
}

fn hex_if_some<S: Serializer>(hash: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| format!("{hash:032x}")).serialize(serializer)
}
