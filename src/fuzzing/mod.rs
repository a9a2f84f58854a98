//! What fuzzers call: one function a target, which takes any bytes and panics where what must
//! hold does not. `tests/fuzz` runs them by libFuzzer; the tests here run them on seeds and on
//! what was found once. Compiled for these two alone.
#![allow(clippy::panic, clippy::unreachable, reason = "a rule that does not hold ends the test")]

mod input;
mod list;
mod pixels;
mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use input::Input;
pub use list::list;
pub use pixels::pixels;
pub use state::state;

/// Drives the reorder window as granter, decoders and consumer might, in any order. Nothing is
/// lost, no row is filled twice, ordered batches are in order, no more batches are begun than
/// may be, and once every ticket is back there is an end.
pub fn window(data: &[u8]) {
    crate::window::drive(data);
}

/// Opens a cache on disk over a file that was damaged, over one that was made to deceive, and
/// over any bytes. What is served was stored, the file stays within its limit, and samples that
/// are stored in the place of lost ones are served from then on.
pub fn cache_file(data: &[u8]) {
    crate::cache::open_damaged(data);
}

/// Bytes that were allocated at once since the last call, beyond what was then.
static METER: OnceLock<fn() -> usize> = OnceLock::new();

/// Says how allocations are measured: by the most bytes that were in use since the last call
/// beyond those that were in use then. Without it, memory is not looked at.
pub fn measure_by(meter: fn() -> usize) {
    METER.get_or_init(|| meter);
}

/// See [`measure_by`]; 0 where nobody measures.
pub(crate) fn allocated() -> usize {
    METER.get().map_or(0, |meter| meter())
}

/// A folder for the files of one input, which is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("infeed-fuzz-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let made = std::fs::create_dir_all(&folder);
        assert!(made.is_ok(), "{} cannot be made: {made:?}", folder.display());
        Folder(folder)
    }

    /// Puts a file there, with the folders that it is in.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| std::fs::write(&path, bytes));
        assert!(written.is_ok(), "{} cannot be written: {written:?}", path.display());
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
