//! A sample's path as the same bytes on every platform.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

/// The path's bytes, its parts separated by `/`.
pub(crate) fn name_bytes(path: &Path) -> Cow<'_, [u8]> {
    let bytes = path.as_os_str().as_encoded_bytes();
    match std::path::MAIN_SEPARATOR {
        '/' => Cow::Borrowed(bytes),
        separator => {
            let slash = |&byte: &u8| if byte == separator as u8 { b'/' } else { byte };
            Cow::Owned(bytes.iter().map(slash).collect())
        }
    }
}

/// A hash of the path, the same on every platform.
pub(crate) fn name_hash(path: &Path, seed: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, &name_bytes(path))
}

/// A root as absolute paths may begin with it: as it is called, and as it is.
pub(super) fn root_names(root: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        std::path::absolute(root).into_iter().chain(root.canonicalize()).collect();
    names.dedup();
    names
}
