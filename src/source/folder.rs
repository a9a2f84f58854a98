//! A folder of image files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

use super::{Admission, Fingerprint, Listing, ReadFuture, Source, file, shortage};
use crate::error::{Cause, Error, Result};

/// Endings that make a file a member, in any case. Membership is by name, so
/// that listing needs no look at a file; what is inside decides the decoder.
pub(crate) const EXTENSIONS: [&str; 14] = [
    "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff",
    "webp",
];

/// All images below a folder.
///
/// * *Order*: the entries of each folder by name as bytes, depth first, files
///   and folders in one order.
/// * *Membership*: by ending (`bmp gif jfif jpe jpeg jpg pbm pgm png pnm ppm
///   tif tiff webp`, any case), or by [`pattern`](Folder::pattern). Symbolic
///   links are followed; a link that leads back to a folder above it is passed
///   over with a warning.
/// * *Labels*: the folders directly below the root, by name as bytes, are
///   classes numbered from 0, as in torchvision's `ImageFolder`. Images
///   directly in the root have no label.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    pattern: Option<GlobMatcher>,
}

impl Folder {
    /// All images below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Folder { root: root.into(), pattern: None }
    }

    /// Only files whose path relative to the root matches `glob` (`*` within a
    /// name, `**` across folders, `{a,b}`), whatever their ending; letters
    /// match in any case.
    ///
    /// # Errors
    ///
    /// When the pattern is not well-formed.
    pub fn pattern(mut self, glob: &str) -> Result<Self> {
        let built = GlobBuilder::new(glob).literal_separator(true).case_insensitive(true).build();
        let glob = built.map_err(|error| Error::config("pattern", glob, error.to_string()))?;
        self.pattern = Some(glob.compile_matcher());
        Ok(self)
    }

    fn is_member(&self, path: &Path) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(path),
            None => path.extension().and_then(OsStr::to_str).is_some_and(|ending| {
                EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known))
            }),
        }
    }

    /// The names of the folders directly below the root, sorted as bytes.
    fn class_folders(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |error: std::io::Error| {
            let remedy = shortage::remedy(&error).unwrap_or("Give a folder of images");
            let reason = format!("the folder cannot be read: {error}. {remedy}");
            Error::source_failed(&self.root, reason, error)
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                names.push(PathBuf::from(entry.file_name()));
            }
        }
        names.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        Ok(names)
    }
}

impl Source for Folder {
    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
        let classes = self.class_folders()?;
        listing.classes(classes.iter().map(|name| name.to_string_lossy().into_owned()).collect());
        let walk = WalkDir::new(&self.root).follow_links(true).min_depth(1).sort_by_file_name();
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => match self.walk_error(error)? {
                    Some(dangling) => {
                        let label = label(&classes, &dangling);
                        if listing.push(&dangling, label).is_break() {
                            break;
                        }
                        continue;
                    }
                    None => continue,
                },
            };
            let path = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
            // Whether it is a regular file is checked when it is opened, as the
            // walk must not look at each: links were looked at on the way.
            if entry.file_type().is_dir() || !self.is_member(path) {
                continue;
            }
            if listing.push(path, label(&classes, path)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        file::read(self.root.join(path), admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        file::fingerprint(&self.root.join(path)).map(Some)
    }
}

impl Folder {
    /// A link that leads nowhere, or to itself, is a sample that will not be found,
    /// if its name makes it a member; a loop is passed over; what else cannot be
    /// walked ends the listing, since nobody knows what is missing.
    fn walk_error(&self, error: walkdir::Error) -> Result<Option<PathBuf>> {
        if let Some(ancestor) = error.loop_ancestor() {
            let (link, to) = (error.path().unwrap_or(&self.root).display(), ancestor.display());
            tracing::warn!("{link} leads back to {to} and is passed over");
            return Ok(None);
        }
        let path = error.path().unwrap_or(&self.root).to_owned();
        let leads_nowhere = |io: &std::io::Error| {
            #[cfg(unix)]
            let itself = io.raw_os_error() == Some(libc::ELOOP);
            #[cfg(not(unix))]
            let itself = false;
            itself || io.kind() == std::io::ErrorKind::NotFound
        };
        let nowhere = error.io_error().is_some_and(leads_nowhere);
        let link = std::fs::symlink_metadata(&path).is_ok_and(|entry| entry.is_symlink());
        if nowhere && link {
            let path = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
            return Ok(self.is_member(&path).then_some(path));
        }
        let remedy = error.io_error().and_then(shortage::remedy);
        let remedy = remedy.unwrap_or("Mend its permissions, or move it away");
        let reason = format!("the folder cannot be walked: {error}. {remedy}");
        Err(Error::source_failed(path, reason, error))
    }
}

/// The number of the first-level folder that `path` lies in.
fn label(classes: &[PathBuf], path: &Path) -> Option<u32> {
    let mut parts = path.iter();
    let class = parts.next()?;
    parts.next()?;
    let found = classes.binary_search_by(|name| name.as_os_str().cmp(class));
    found.ok().and_then(|number| u32::try_from(number).ok())
}
