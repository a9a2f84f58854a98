//! A folder of pictures for the examples in this documentation, so that each of
//! them runs.

use std::path::{Path, PathBuf};

/// A folder that is removed when dropped.
#[derive(Debug)]
pub struct Photos(PathBuf);

impl AsRef<Path> for Photos {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Photos {
    fn drop(&mut self) {
        // Left behind, it is a few kilobytes in the folder for temporary files.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Two class folders with a few small pictures each.
///
/// # Panics
///
/// When the folder for temporary files cannot be written.
#[must_use]
pub fn photos() -> Photos {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("infeed-photos-{}-{number}", std::process::id());
    let photos = Photos(std::env::temp_dir().join(name));
    for (class, level) in [("cats", 60_u8), ("dogs", 180)] {
        let folder = photos.0.join(class);
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            (0..5_u8).try_for_each(|number| {
                let mut picture = b"P6 16 12 255\n".to_vec();
                picture.extend((0..16 * 12 * 3).map(|at: u16| level ^ number ^ (at / 48) as u8));
                std::fs::write(folder.join(format!("{number}.ppm")), picture)
            })
        });
        assert!(written.is_ok(), "{} cannot be written: {written:?}", folder.display());
    }
    photos
}
