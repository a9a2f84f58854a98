//! Files, and nothing that has a file's name: to open a FIFO is to wait for who writes into
//! it, and a device may do anything.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Opens a regular file for reading. Of anything else an error tells what it is, see
/// [`is_none`].
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "not a regular file" };
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("it is {what}")));
    }
    Ok((file, metadata))
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
