//! What the model will see, as a contact sheet: samples of an epoch, left the
//! picture as it is with what is cut from it, right the row that becomes of it.
//!
//! ```text
//! pick      which samples: by the loader's own plan (pure)
//! tile      one sample: read, decoded, its row made and turned back into levels
//! picture   pixels, scaled and encoded
//! words     what is said of a sample (pure)
//! html      a page that holds its pictures
//! png       a picture, with text drawn into it: canvas
//! ```
//!
//! Crops, flips and changes of colour are not computed again here: the row is made
//! by a [`Preprocessor`](crate::Preprocessor), and [`Choices`] tells what it drew.

mod canvas;
mod html;
mod pick;
mod picture;
mod png;
#[cfg(test)]
mod tests;
mod tile;
mod words;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use picture::Picture;
pub use words::plain;

use crate::builder::LoaderBuilder;
use crate::choices::Choices;
use crate::config::Resolved;
use crate::element::Element;
use crate::error::{CauseKind, Error, Result, Stage};
use crate::source::{indexed, no_image};
use crate::unfinished::Unfinished;

/// Tiles beyond this are no sheet that anybody looks at.
const MOST_TILES: u64 = 2_000;

/// Which samples a [`Sheet`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The epoch. Default 0.
    pub epoch: u64,
    /// The first of this rank's samples in the epoch, counted from 0. Default 0.
    pub from: u64,
    /// How many samples. Default 24; fewer where the epoch ends.
    pub count: u64,
    /// In how many epochs each is shown, from `epoch` on. Default 1.
    pub repeat: u64,
    /// Tiles side by side. Default 0: as many as there is room for, three in a PNG.
    pub columns: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { epoch: 0, from: 0, count: 24, repeat: 1, columns: 0 }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let Options { epoch, count, repeat, columns, .. } = *self;
        let tiles = count.checked_mul(repeat).filter(|tiles| (1..=MOST_TILES).contains(tiles));
        if tiles.is_none() {
            let reason = format!("expected 1 to {MOST_TILES} tiles, count times repeat");
            return Err(Error::config("count", format_args!("{count}, repeat = {repeat}"), reason));
        }
        if epoch.checked_add(repeat).is_none() {
            return Err(Error::config("epoch", epoch, "expected less than the largest number"));
        }
        if columns > 100 {
            return Err(Error::config("columns", columns, "expected 0 (choose) to 100"));
        }
        Ok(())
    }
}

/// A contact sheet of what the model will see ([`LoaderBuilder::sheet`]).
#[derive(Debug)]
pub struct Sheet {
    root: PathBuf,
    config: Resolved,
    options: Options,
    /// Of the source, and of the epoch here.
    samples: u64,
    keys: u64,
    /// Those of one sample side by side.
    tiles: Vec<Tile>,
}

/// One sample in one epoch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tile {
    /// In the source's order.
    pub index: u64,
    /// In the epoch; `None` where the epoch does not have the sample.
    pub position: Option<u64>,
    /// The epoch.
    pub epoch: u64,
    /// Relative to the source's root.
    pub path: PathBuf,
    /// The number of its class.
    pub label: Option<u32>,
    /// The name of its class.
    pub class: Option<String>,
    /// What is to be predicted.
    pub target: Box<[f32]>,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    Row(Box<Shown>),
    Failed(Stage, CauseKind, String),
    /// It does not come in this epoch.
    Absent,
}

/// A sample that became a row.
#[derive(Debug)]
struct Shown {
    choices: Choices,
    /// Upright, scaled down where it is large.
    original: Picture,
    /// The row, one pixel a pixel.
    row: Picture,
}

impl Tile {
    /// What was chosen for the sample; `None` where it failed.
    #[must_use]
    pub fn choices(&self) -> Option<&Choices> {
        match &self.seen {
            Seen::Row(shown) => Some(&shown.choices),
            _ => None,
        }
    }

    /// Why there is no row.
    #[must_use]
    pub fn failure(&self) -> Option<(Stage, CauseKind, &str)> {
        match &self.seen {
            Seen::Failed(stage, cause, message) => Some((*stage, *cause, message)),
            _ => None,
        }
    }
}

impl Sheet {
    /// What it shows, those of one sample one after the other.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Writes it as one HTML file that needs nothing else.
    ///
    /// # Errors
    ///
    /// What `out` says, or an encoder.
    pub fn write_html(&self, mut out: impl Write) -> io::Result<()> {
        html::write(self, &mut out)
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    ///
    /// What `out` says, or the encoder.
    pub fn write_png(&self, mut out: impl Write) -> io::Result<()> {
        png::write(self, &mut out)
    }

    /// Writes it to a file that ends in `.html` or `.png`, which is there whole or
    /// not at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another ending,
    /// [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        let kind = Kind::of(file)?;
        let mut unfinished = Unfinished::unique(file.to_owned())?;
        let written = match kind {
            Kind::Html => self.write_html(&mut unfinished.writer),
            Kind::Png => self.write_png(&mut unfinished.writer),
        };
        written.map_err(|error| unfinished.failed(error))?;
        unfinished.finish().map(|_| ())
    }

    /// Refuses the name of a file that [`save`](Self::save) would refuse, before
    /// there is a sheet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    pub fn check_name(file: impl AsRef<Path>) -> Result<()> {
        Kind::of(file.as_ref()).map(|_| ())
    }

    /// The same, and refuses a file that cannot be made where it is to be.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub fn check_file(file: impl AsRef<Path>) -> Result<()> {
        Self::check_name(&file)?;
        Unfinished::unique(file.as_ref().to_owned()).map(drop)
    }
}

enum Kind {
    Html,
    Png,
}

impl Kind {
    fn of(file: &Path) -> Result<Kind> {
        let ending = file.extension().and_then(OsStr::to_str).unwrap_or_default();
        match &*ending.to_ascii_lowercase() {
            "html" | "htm" => Ok(Kind::Html),
            "png" => Ok(Kind::Png),
            _ => {
                let reason = "expected a name that ends in .html or .png";
                Err(Error::config("out", file.display(), reason))
            }
        }
    }
}

impl<T: Element> LoaderBuilder<T> {
    /// A contact sheet of what the model will see: samples in the order in which a
    /// loader would deliver them, each with its row as a batch would hold it,
    /// normalisation taken back, and what was chosen for it. A sample that fails is a
    /// tile that says why, whatever [`on_error`](Self::on_error) would do about it. Lists the source, and reads no more files than it shows.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::view::Options;
    /// use infeed::{Fit, Loader};
    ///
    /// let builder = Loader::folder(&photos).size(32, 32).fit(Fit::random_crop()).shuffle(7);
    /// let sheet = builder.sheet(&Options { count: 4, ..Options::default() })?;
    /// assert_eq!(sheet.tiles().len(), 4);
    /// sheet.save(photos.as_ref().join("view.html"))?;
    /// # Ok::<(), infeed::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); [`ErrorKind::Config`](crate::ErrorKind::Config)
    /// when the options ask for too much, or for samples behind the epoch's end.
    pub fn sheet(&self, options: &Options) -> Result<Sheet> {
        options.check()?;
        let (config, source) = (self.resolve()?, self.selected());
        let (index, samples) = indexed(&*source, |_| ControlFlow::Continue(()))?;
        if samples == 0 {
            return Err(no_image(source.root()));
        }
        let (picks, keys) = pick::picks(&config, &index, options)?;
        let preprocessor = || self.preprocessor();
        let bench = tile::Bench::new(&*source, &config, Arc::clone(&index), &preprocessor);
        let tiles = bench.tiles(&picks)?;
        Ok(Sheet { root: source.root(), config, options: *options, samples, keys, tiles })
    }
}
