//! The folder of an export: names, files that get their name once they are whole,
//! and what a full disk is told as.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::regular;
use crate::unfinished::refused;

/// The manifest's name in the folder of an export.
pub const MANIFEST: &str = "manifest.jsonl";
/// What an export is, and what it has: the last file to get its name.
pub(super) const EXPORT: &str = "export.json";
/// The journal of an export that has not ended.
pub(super) const JOURNAL: &str = ".infeed-export";
/// Arrays, in the order in which records tell of them.
pub(super) const KINDS: [&str; 3] = ["images", "labels", "targets"];

/// The file of one kind: of a shard, or of all rows.
pub(super) fn array_name(kind: &str, shard: Option<u64>) -> String {
    match shard {
        Some(shard) => format!("{kind}-{shard:05}.npy"),
        None => format!("{kind}.npy"),
    }
}

/// What a file is called until it is whole.
pub(super) fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}

/// A file that could not be had, and why.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// A step on the way to the disk.
pub(super) type Io<T> = Result<T, Failed>;

/// Says which file an error is about.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Io<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Io<T> {
        self.map_err(|error| Failed { path: path.to_owned(), error })
    }
}

impl Failed {
    pub(super) fn is_full(&self) -> bool {
        is_full(&self.error)
    }

    /// The same for users. `kept` says what stays, `needed` how many bytes the rest
    /// of the export takes.
    pub(super) fn told(self, out: &Path, needed: u64, kept: &str) -> Error {
        if !self.is_full() {
            return refused("it cannot be written", &self.path, self.error);
        }
        let free = match free_bytes(out) {
            Some(free) => format!("{free} are free there"),
            None => "how many are free there is not known".to_owned(),
        };
        let what = match self.error.kind() {
            ErrorKind::QuotaExceeded => "the quota on the disk is used up",
            _ => "the disk is full",
        };
        let what = format!(
            "{what}: the rest of the export needs about {needed} bytes, and {free}. {kept} Make \
             room and run the same command again, which goes on from there"
        );
        refused(&what, &self.path, self.error)
    }
}

/// Whether no room is left, or none for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Any failure, where nothing is being made.
impl From<Failed> for Error {
    fn from(Failed { path, error }: Failed) -> Self {
        refused("it cannot be read or written", &path, error)
    }
}

/// Bytes that can be written below `folder`, where the system tells.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    fs4::available_space(folder).ok()
}

/// Brings the names in `folder` to the disk.
pub(super) fn sync_folder(folder: &Path) -> Io<()> {
    // Windows has no such call.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).at(folder)?;
    #[cfg(not(unix))]
    let _: &Path = folder;
    Ok(())
}

/// A file under its temporary name.
#[derive(Debug)]
pub(super) struct Unnamed {
    pub(super) file: File,
    /// What it will be called.
    pub(super) path: PathBuf,
    pub(super) temporary: PathBuf,
}

/// One on its way to its name; dropped before, it is removed.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) unnamed: Unnamed,
    named: bool,
}

impl Coming {
    pub(super) fn create(folder: &Path, name: &str) -> Io<Self> {
        let (path, temporary) = (folder.join(name), folder.join(temporary(name)));
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        let (file, _) = regular::open_as(&mut options, &temporary).at(&path)?;
        Ok(Coming { unnamed: Unnamed { file, path, temporary }, named: false })
    }

    /// Brings it to the disk and gives it its name.
    pub(super) fn finish(mut self) -> Io<()> {
        let Unnamed { file, path, temporary } = &self.unnamed;
        file.sync_data().and_then(|()| fs::rename(temporary, path)).at(path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.named {
            // What stays is replaced, or swept, by whoever goes on.
            drop(fs::remove_file(&self.unnamed.temporary));
        }
    }
}

/// Writes a whole file by what `fill` puts into it.
pub(super) fn whole(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Io<()> {
    let coming = Coming::create(folder, name)?;
    let mut writer = BufWriter::with_capacity(1 << 16, &coming.unnamed.file);
    fill(&mut writer).and_then(|()| writer.flush()).at(&coming.unnamed.path)?;
    drop(writer);
    coming.finish()
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Io<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}

/// The names in `folder` that satisfy `which`, sorted; none where it is not there.
pub(super) fn names(folder: &Path, which: impl Fn(&str) -> bool) -> Io<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(folder)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.at(folder)?.file_name();
        names.extend(name.to_str().filter(|name| which(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Whether an export writes a file of this name, or a temporary one for it; the
/// journal is not meant.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).unwrap_or(name);
    name == MANIFEST || name == EXPORT || array_of(name).is_some()
}

/// Of an array's file, the number of its shard, if it is one shard's.
pub(super) fn array_of(name: &str) -> Option<Option<u64>> {
    let rest = KINDS.iter().find_map(|kind| name.strip_prefix(kind))?.strip_suffix(".npy")?;
    match rest.strip_prefix('-') {
        None => rest.is_empty().then_some(None),
        Some(digits) => number_of(digits).map(Some),
    }
}

/// The number that is written so, and not otherwise: with five digits or more.
pub(super) fn number_of(digits: &str) -> Option<u64> {
    let number = digits.parse().ok()?;
    (format!("{number:05}") == digits).then_some(number)
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
            "images.npy",
            MANIFEST,
            EXPORT,
            ".images-00001.npy.tmp",
            ".manifest.jsonl.tmp",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "images-a.npy",
            "images-.npy",
            "images-1.npy",
            "images-2024.npy",
            "images-000001.npy",
            "images-+0001.npy",
            "images-0000000000000000000000001.npy",
            "notes.txt",
            "labels-1.txt",
            ".tmp",
            JOURNAL,
        ] {
            assert!(!is_ours(name), "{name}");
        }
        assert_eq!(array_of("labels-123456.npy"), Some(Some(123_456)));
        assert_eq!(array_of("labels-00012.npy"), Some(Some(12)));
    }

    #[test]
    fn a_full_disk_says_what_stays_and_what_to_do() {
        let failed = |kind: ErrorKind| Failed { path: "out/a.npy".into(), error: kind.into() };
        let told = |kind| failed(kind).told(Path::new("."), 700, "2 of 5 shards stay.").to_string();
        for (kind, what) in
            [(ErrorKind::StorageFull, "disk is full"), (ErrorKind::QuotaExceeded, "quota")]
        {
            let told = told(kind);
            for part in ["out/a.npy", what, "700 bytes", "2 of 5 shards stay", "same command"] {
                assert!(told.contains(part), "{part} in {told}");
            }
        }
        assert!(!told(ErrorKind::PermissionDenied).contains("room"));
    }
}
