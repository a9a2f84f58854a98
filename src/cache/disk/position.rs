//! Reading and writing a file at a position, by several threads at once and
//! without the handle's own cursor: where that is moved by every access, nobody
//! can rely on it.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

/// What a copy holds at a time.
const COPY_BYTES: usize = 1 << 20;

/// A position in a file that is nobody else's.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a File, at: u64) -> Self {
        Cursor { file, at }
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = read_at(self.file, bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Cursor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = write_at(self.file, bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    Cursor::new(file, at).read_exact(bytes)
}

pub(super) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    Cursor::new(file, at).write_all(bytes)
}

/// Copies the first `bytes` bytes of a file, or as many as there are.
pub(super) fn copy(from: &File, to: &File, bytes: u64) -> io::Result<()> {
    // The writer's buffer is the one that is copied through.
    let mut to = BufWriter::with_capacity(COPY_BYTES, Cursor::new(to, 0));
    io::copy(&mut Cursor::new(from, 0).take(bytes), &mut to)?;
    to.flush()
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    /// As where every access moves it, the cursor stands anywhere.
    fn lost(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write_all_at(&file, content, 0).unwrap();
        file.seek(SeekFrom::Start(5)).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        Cursor::new(file, 0).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_copied_does_not_depend_on_a_cursor() {
        let whole: Vec<u8> = (0..3 * COPY_BYTES + 7).map(|at| (at % 251) as u8).collect();
        let from = lost(&whole);
        for bytes in [0, 1, COPY_BYTES, 2 * COPY_BYTES + 1, whole.len(), whole.len() + 1] {
            let to = lost(&[]);
            copy(&from, &to, bytes as u64).unwrap();
            assert!(content(&to) == whole[..bytes.min(whole.len())], "{bytes} bytes");
        }
    }

    #[test]
    fn what_is_written_goes_on_where_it_began() {
        let file = lost(&[1; 9]);
        let mut out = Cursor::new(&file, 3);
        out.write_all(&[2; 2]).unwrap();
        write_all_at(&file, &[3], 0).unwrap();
        out.write_all(&[4; 2]).unwrap();
        assert_eq!(content(&file), [3, 1, 1, 2, 2, 4, 4, 1, 1]);
    }
}
