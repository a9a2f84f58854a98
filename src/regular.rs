//! Files, and nothing that has a file's name: to open a FIFO is to wait for who writes into
//! it, and a device may do anything.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file for reading. Of anything else an error tells what it is, see
/// [`is_none`].
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    open_as(File::options().read(true), path)
}

/// The same with other options.
pub(crate) fn open_as(options: &mut OpenOptions, path: &Path) -> io::Result<(File, Metadata)> {
    // No waiting, and no terminal that would become this process's.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        // Of a socket, or of a FIFO that nobody reads, to write to it.
        #[cfg(unix)]
        Some(libc::ENXIO) => none("not a regular file"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(none(if metadata.is_dir() { "a folder" } else { "not a regular file" }));
    }
    Ok((file, metadata))
}

fn none(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("it is {what}"))
}

/// Whether an error of [`open`] says that there is no file; the system's own errors of that
/// kind are others.
pub(crate) fn is_none(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported && error.raw_os_error().is_none()
}

/// All of one.
#[cfg(feature = "export")]
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, metadata) = open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(0))?;
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}
