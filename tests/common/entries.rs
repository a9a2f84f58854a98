//! Entries of a file system that are no pictures, whatever they are called.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use infeed::CauseKind;

/// Makes them below `root`: those that become samples, and what becomes of each. `good`
/// is a picture, which links lead to and odd names are given to.
pub(crate) fn make(root: &Path, good: &[u8]) -> Vec<(PathBuf, Option<CauseKind>)> {
    let mut samples = Vec::new();
    let folder = PathBuf::from("entries");
    std::fs::create_dir_all(root.join(&folder)).unwrap();
    let mut sample = |name: &std::ffi::OsStr, fate| {
        samples.push((folder.join(name), fate));
        root.join(&folder).join(name)
    };
    super::trees::pipe(&sample("pipe.jpg".as_ref(), UNSUPPORTED));
    // It stays when its listener has gone.
    #[allow(clippy::disallowed_types, reason = "nobody can connect")]
    drop(
        std::os::unix::net::UnixListener::bind(sample("socket.jpg".as_ref(), UNSUPPORTED)).unwrap(),
    );
    symlink("/dev/zero", sample("device.jpg".as_ref(), UNSUPPORTED)).unwrap();
    symlink("nowhere", sample("dangling.png".as_ref(), Some(CauseKind::NotFound))).unwrap();
    symlink("itself.jpg", sample("itself.jpg".as_ref(), Some(CauseKind::Io))).unwrap();
    std::fs::write(sample("real.ppm".as_ref(), None), good).unwrap();
    symlink("real.ppm", sample("link.ppm".as_ref(), None)).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9 \n\t'\"\\.ppm");
    std::fs::write(sample(odd, None), good).unwrap();
    std::fs::write(sample(format!("{}.ppm", "n".repeat(251)).as_ref(), None), good).unwrap();
    let locked = sample("unreadable.ppm".as_ref(), None);
    std::fs::write(&locked, good).unwrap();
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::read(&locked).is_err() {
        // Else this is the superuser, who reads what nobody may.
        samples.last_mut().unwrap().1 = Some(CauseKind::Io);
    }
    // What follows is no sample: folders, and links that lead in circles.
    std::fs::create_dir(root.join("entries/folder.jpg")).unwrap();
    std::fs::create_dir(root.join("entries/circle")).unwrap();
    symlink("..", root.join("entries/circle/back")).unwrap();
    symlink("itself.txt", root.join("entries/itself.txt")).unwrap();
    samples
}

const UNSUPPORTED: Option<CauseKind> = Some(CauseKind::Unsupported);
