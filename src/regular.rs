//! Files, and nothing that has a file's name: to open a FIFO is to wait for who writes into
//! it, and a device may do anything.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a regular file for reading. Of anything else an error of kind
/// [`Unsupported`](io::ErrorKind::Unsupported) tells what it is.
pub(crate) fn open(path: &Path) -> io::Result<File> {
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
    Ok(file)
}

/// All of one.
#[cfg(feature = "export")]
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut open(path)?, &mut bytes)?;
    Ok(bytes)
}
