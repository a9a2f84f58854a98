//! A list of image files with what is known of each.

mod classes;
mod inside;
mod json;
mod rows;
mod separated;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Admission, Fingerprint, Listed, Listing, ReadFuture, Source, file};
use crate::error::{Cause, Error, Result};
use classes::Classes;
use inside::Root;
use rows::{Each, Survey, Wrong};

/// The images that a file lists, in its order, with a class, a number or a
/// vector for each.
///
/// ```
/// # let photos = infeed::doc::photos();
/// # let list = photos.as_ref().join("train.csv");
/// std::fs::write(&list, "path,class,number\ncats/0.ppm,cat,0.5\ndogs/1.ppm,dog,2\n")?;
///
/// let mut loader = infeed::Loader::list(&list)?.batch_size(2).size(32, 32).build()?;
/// assert_eq!(*loader.classes(), ["cat", "dog"]);
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     assert_eq!(batch.labels().to_vec(), [0, 1]);
///     assert_eq!(batch.targets().shape(), [2, 1]);       // [n, k]: k is 1 for a number
///     assert_eq!(batch.targets()[[0, 0]], 0.5);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The file's ending says what it is, and its text is UTF-8:
///
/// * `.csv`: the first line names the columns; fields that hold a comma, a quote
///   or a line break are quoted. `.tsv` is the same with tabs.
/// * `.jsonl`, `.ndjson`: one JSON object a line.
///
/// Columns, or keys, in any order; others are ignored (a table that has a `label` or a
/// `target` and none of these beside the path is refused):
///
/// * `path`: the image file, relative to the list's own folder
///   ([`relative_to`](List::relative_to) names another), or absolute. Either way
///   it must lie below that folder, without `..` on the way: a list reads nothing
///   else. A path may come several times, and is as many samples.
/// * `class`: a name or a number. Where every class of the list is a whole number
///   (from 0 to 2147483647, without leading zeros), labels are these numbers, and
///   the classes' names are the numbers from 0 to the largest (none beyond a
///   million). Otherwise the names, sorted as bytes, are numbered from 0. Left
///   empty (`null`), the sample has no label.
/// * `number`, or `vector`: what is to be predicted. A vector is a JSON array; in
///   a table its numbers are separated by spaces or semicolons. Every row has one
///   of the same length, or none has. [`Batch::targets`](crate::Batch::targets)
///   has them as `f32`.
///
/// The whole list is read and checked before the first sample is told, and is in
/// memory until the last is. A row that is wrong is an error with its line.
#[derive(Clone, Debug)]
pub struct List {
    file: PathBuf,
    root: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    /// By this byte.
    Separated(u8),
    JsonLines,
}

impl List {
    /// The images that `file` lists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when its ending is none of
    /// `csv`, `tsv`, `jsonl` and `ndjson`;
    /// [`ErrorKind::Source`](crate::ErrorKind::Source) when it is not there.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self> {
        let file = file.into();
        let ending = file.extension().and_then(OsStr::to_str).unwrap_or_default();
        let format = match &*ending.to_ascii_lowercase() {
            "csv" => Format::Separated(b','),
            "tsv" => Format::Separated(b'\t'),
            "jsonl" | "ndjson" => Format::JsonLines,
            _ => {
                let reason = "expected a list that ends in .csv, .tsv, .jsonl or .ndjson";
                return Err(Error::config("list", file.display(), reason));
            }
        };
        let metadata = std::fs::metadata(&file).map_err(|error| unreadable(&file, error))?;
        if !metadata.is_file() {
            return Err(Error::source_unusable(file, "it is not a file. Give a list of images"));
        }
        let root = match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(List { file, root, format })
    }

    /// Where relative paths start, and below which all paths lie. Default: the
    /// folder that holds the list.
    #[must_use]
    pub fn relative_to(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// The list's file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn each_row(&self, text: &str, each: &mut Each<'_>) -> Result<()> {
        let read = match self.format {
            Format::Separated(separator) => separated::each_row(text, separator, each),
            Format::JsonLines => json::each_row(text, each),
        };
        read.map_err(|wrong| self.wrong(&wrong))
    }

    fn wrong(&self, wrong: &Wrong) -> Error {
        Error::source_unusable(&self.file, wrong.to_string())
    }
}

fn unreadable(file: &Path, error: std::io::Error) -> Error {
    let reason = format!("the list cannot be read: {error}. Give a list of images");
    Error::source_failed(file, reason, error)
}

impl Source for List {
    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Goes over the rows twice: what is wrong with the last is said before the
    /// first is told, and nothing but the text is kept in between.
    fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
        let bytes = std::fs::read(&self.file).map_err(|error| unreadable(&self.file, error))?;
        let text = rows::text(&bytes).map_err(|wrong| self.wrong(&wrong))?;
        let mut survey = Survey::below(Root::new(&self.root));
        self.each_row(text, &mut |row| survey.see(row).map(ControlFlow::Continue))?;
        if survey.is_empty() {
            let reason = "no image was found there. Give a list with a row for each image";
            return Err(Error::source_unusable(&self.file, reason));
        }
        let classes = Classes::new(survey.into_classes());
        listing.classes(classes.names());
        self.each_row(text, &mut |row| {
            let label = row.class.and_then(|class| classes.label(class));
            let sample = Listed::new(Path::new(row.path)).label(label).target(row.target);
            Ok(listing.push_sample(sample))
        })
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        file::read(self.root.join(path), admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        file::fingerprint(&self.root.join(path)).map(Some)
    }
}
