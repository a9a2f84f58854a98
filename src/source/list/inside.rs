//! Whether a list's path lies below its root, so that a list from elsewhere reads
//! nothing but the folder that it was given.

use std::path::{Component, Path, PathBuf};

use crate::source::name::root_names;

/// A list's root.
pub(super) struct Root {
    names: Vec<PathBuf>,
}

impl Root {
    pub(super) fn new(root: &Path) -> Self {
        Root { names: root_names(root) }
    }

    /// By the path's words alone: where links lead, inside the root, is for the
    /// owner of the folder to say. So `..` is refused wherever it stands, as
    /// behind a link it leads elsewhere than its words do.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let below = match path.is_absolute() {
            true => self.names.iter().find_map(|root| path.strip_prefix(root).ok()),
            false => Some(path),
        };
        let inward = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        below.is_some_and(|below| below.components().all(inward))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_root_is_held() {
        let root = Root::new(Path::new("/data/photos"));
        for inside in ["a.jpg", "cats/a.jpg", "./a.jpg", "a..b/..c.jpg", "/data/photos/cats/a.jpg"]
        {
            assert!(root.holds(Path::new(inside)), "{inside}");
        }
        for outside in [
            "../a.jpg",
            "cats/../../a.jpg",
            "cats/..",
            "/etc/passwd",
            "/data/photos/../a.jpg",
            "/data/photos2/a.jpg",
        ] {
            assert!(!root.holds(Path::new(outside)), "{outside}");
        }
        assert!(Root::new(Path::new("/")).holds(Path::new("/data/a.jpg")));
    }

    #[test]
    fn a_root_that_is_a_link_has_two_names() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let root = Root::new(&link);
        assert!(root.holds(&link.join("a.jpg")));
        assert!(root.holds(&real.canonicalize().unwrap().join("a.jpg")));
        assert!(!root.holds(&folder.path().join("a.jpg")));
    }
}
