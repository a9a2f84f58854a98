//! Batches as `.npy` files with a manifest.
//!
//! ```text
//! out/images-00000.npy    [n, 3, height, width] or [n, height, width, 3] (grey: 1 for 3),
//!                         f32, f16 or u8
//! out/labels-00000.npy    [n], i64; -1 where a sample has no class
//! out/targets-00000.npy   [n, k], f32; only where the source has targets
//! out/images-00001.npy    ..
//! out/manifest.jsonl      a line a row: index, path, label, target, file, row
//! ```
//!
//! Each file is written under a temporary name in the same folder, brought to
//! the disk and renamed, so a name that is there is whole. The manifest gets its
//! name in the end, from [`NpyWriter::finish`], and names whole files only.

mod npy;

use std::io::Write;
use std::path::{Path, PathBuf};

use ndarray_npy::WriteNpyExt;
use serde::Serialize;

use crate::batch::{Batch, Sample};
use crate::error::{Error, Result};
use crate::unfinished::{Unfinished, refused};

pub use npy::NpyElement;

/// The manifest's name in the folder of an export.
pub const MANIFEST: &str = "manifest.jsonl";

/// Writes batches into a folder.
///
/// ```
/// # let photos = infeed::doc::photos();
/// # let out = tempfile::tempdir()?;
/// # let out = out.path().join("out");
/// use infeed::Loader;
/// use infeed::export::NpyWriter;
///
/// let mut loader = Loader::folder(&photos).batch_size(4).size(32, 32).build()?;
/// let mut writer = NpyWriter::create(&out)?;
/// for batch in loader.epoch(0)? {
///     writer.write(&batch?)?;
/// }
/// let written = writer.finish()?;
/// assert_eq!((written.images, written.batches), (10, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpyWriter {
    folder: PathBuf,
    manifest: Unfinished,
    written: Written,
}

/// What an export has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Written {
    /// Rows of all files.
    pub images: u64,
    /// Files of images, and as many of labels; and of targets, where there are
    /// any.
    pub batches: u64,
    /// Bytes of all files, the manifest included.
    pub bytes: u64,
}

/// One line of the manifest.
#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    path: std::borrow::Cow<'a, str>,
    /// The path's bytes in hexadecimal digits, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    label: Option<u32>,
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    target: &'a [f32],
    file: &'a str,
    row: usize,
}

impl NpyWriter {
    /// Makes `folder` if it is not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the folder holds an
    /// export already; [`ErrorKind::System`](crate::ErrorKind::System) when it
    /// cannot be written.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)
            .map_err(|error| refused("the folder cannot be made", &folder, error))?;
        if let Some(file) = exported(&folder)?.first() {
            let reason = format!("the folder holds {} of an export already", file.display());
            return Err(Error::config("out", folder.display(), reason));
        }
        let manifest = Unfinished::create(folder.join(MANIFEST))?;
        Ok(NpyWriter { folder, manifest, written: Written::default() })
    }

    /// Removes the files that an earlier export left in `folder`, and nothing
    /// else.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or a file not be removed.
    pub fn remove_existing(folder: &Path) -> Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        for file in exported(folder)? {
            let path = folder.join(file);
            std::fs::remove_file(&path)
                .map_err(|error| refused("the file cannot be removed", &path, error))?;
        }
        Ok(())
    }

    /// Writes the next batch's files.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the disk is full or
    /// cannot be written; what is there under its name is whole.
    pub fn write<T: NpyElement>(&mut self, batch: &Batch<T>) -> Result<()> {
        let number = self.written.batches;
        let name = |what| format!("{what}-{number:05}.npy");
        let images = name("images");
        let mut files = vec![Unfinished::create(self.folder.join(&images))?];
        let written = T::write_npy(batch.images(), &mut files[0].writer);
        written.map_err(|error| files[0].failed(error))?;
        files.push(self.array(&name("labels"), &batch.labels())?);
        if !batch.targets().is_empty() {
            files.push(self.array(&name("targets"), &batch.targets())?);
        }
        // None of them gets its name before all are written.
        for file in files {
            self.written.bytes += file.finish()?;
        }
        for (row, sample) in batch.samples().iter().enumerate() {
            let line = serde_json::to_string(&line(sample, &images, row));
            let line = line.map_err(|error| self.manifest.failed(error))?;
            let written = writeln!(self.manifest.writer, "{line}");
            written.map_err(|error| self.manifest.failed(error))?;
        }
        self.written.images += batch.len() as u64;
        self.written.batches += 1;
        Ok(())
    }

    fn array(&self, name: &str, array: &impl WriteNpyExt) -> Result<Unfinished> {
        let mut file = Unfinished::create(self.folder.join(name))?;
        array.write_npy(&mut file.writer).map_err(|error| file.failed(error))?;
        Ok(file)
    }

    /// Gives the manifest its name. Also right after an error or an interrupt:
    /// the export is then shorter, and valid.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(self) -> Result<Written> {
        let NpyWriter { manifest, mut written, .. } = self;
        written.bytes += manifest.finish()?;
        Ok(written)
    }
}

fn line<'a>(sample: &'a Sample, file: &'a str, row: usize) -> Line<'a> {
    let path_bytes = sample.path().to_str().is_none().then(|| {
        let bytes = sample.path().as_os_str().as_encoded_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    let (index, path) = (sample.index(), sample.path().to_string_lossy());
    let (label, target) = (sample.label(), sample.target());
    Line { index, path, path_bytes, label, target, file, row }
}

/// The names in `folder` that an export writes, temporary ones included.
fn exported(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| refused("the folder cannot be read", folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name.to_str().is_some_and(is_ours) {
            names.push(name.into());
        }
    }
    names.sort();
    Ok(names)
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).unwrap_or(name);
    let number = |name: &str| {
        let rest =
            ["images-", "labels-", "targets-"].iter().find_map(|of| name.strip_prefix(of))?;
        rest.strip_suffix(".npy").map(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    name == MANIFEST || number(name).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_an_export_are_ours() {
        for name in [
            "images-00000.npy",
            "labels-00012.npy",
            "targets-00001.npy",
            MANIFEST,
            ".images-00001.npy.tmp",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["images.npy", "images-a.npy", "notes.txt", "labels-1.txt", ".tmp"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
