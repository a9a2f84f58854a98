//! Rows to a file past the page cache: a large export would pay for every page there,
//! and push the photographs out that are read.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::npy::{Hasher, write_at};

/// One write: network file systems split it into several that are under way at once.
const BLOCK: usize = 4 << 20;
/// What places in the file and in memory have to be multiples of, whatever the disk.
const ALIGNED: usize = 4096;
/// Copied while it is in cache from having been hashed.
const PIECE: usize = 64 << 10;

/// Appends bytes to a file from a place on, and takes their digest.
pub(super) struct Appender {
    /// The same file, open for direct writes; none where they are not to be had.
    direct: Option<File>,
    hasher: Hasher,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not written yet; it lies in the file at `at`, and
    /// equally far behind a multiple of `ALIGNED` in both.
    start: usize,
    end: usize,
    at: u64,
}

impl Appender {
    /// From `at` on, where about `bytes` are to come. `path` is where the file is now.
    pub(super) fn new(path: &Path, at: u64, bytes: u64) -> Self {
        let direct = if bytes > BLOCK as u64 { direct(path) } else { None };
        let block = bytes.saturating_add(ALIGNED as u64).min(BLOCK as u64) as usize;
        let buffer = vec![0; block.next_multiple_of(ALIGNED) + ALIGNED];
        let start = at as usize % ALIGNED;
        Appender { direct, hasher: Hasher::default(), buffer, start, end: start, at }
    }

    /// `file` is the same file, open for other writes.
    pub(super) fn write(&mut self, file: &File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let end = self.end;
            let room = &mut self.aligned()[end..];
            let (piece, rest) = bytes.split_at(bytes.len().min(room.len()).min(PIECE));
            room[..piece.len()].copy_from_slice(piece);
            let full = piece.len() == room.len();
            self.hasher.write(piece);
            self.end += piece.len();
            bytes = rest;
            if full {
                self.flush(file)?;
            }
        }
        Ok(())
    }

    /// Writes what has come. Afterwards more may.
    pub(super) fn flush(&mut self, file: &File) -> io::Result<()> {
        let (start, end, at) = (self.start, self.end, self.at);
        let mut direct = self.direct.take();
        // The ends share a block with other rows, or with none.
        let body = start.next_multiple_of(ALIGNED).min(end);
        let tail = (end - end % ALIGNED).max(body);
        let bytes = self.aligned();
        let mut from = start;
        if let Some(straight) = direct.as_ref().filter(|_| body < tail) {
            write_at(file, &bytes[start..body], at)?;
            match write_at(straight, &bytes[body..tail], at + (body - start) as u64) {
                Ok(()) => from = tail,
                // The file system wants something else of direct writes, or has none.
                Err(error) if error.kind() == ErrorKind::InvalidInput => direct = None,
                Err(error) => return Err(error),
            }
        }
        write_at(file, &bytes[from..end], at + (from - start) as u64)?;
        self.at += (end - start) as u64;
        self.start = self.at as usize % ALIGNED;
        self.end = self.start;
        self.direct = direct;
        Ok(())
    }

    pub(super) fn digest(&self) -> String {
        self.hasher.digest()
    }

    fn aligned(&mut self) -> &mut [u8] {
        let skipped = self.buffer.as_ptr().align_offset(ALIGNED);
        let block = self.buffer.len() - ALIGNED;
        &mut self.buffer[skipped..][..block]
    }
}

#[cfg(target_os = "linux")]
fn direct(path: &Path) -> Option<File> {
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_DIRECT);
    options.write(true).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &Path) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_there_whatever_the_places_and_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let bytes: Vec<u8> = (0..9_500_000u32).map(|n| (n ^ n >> 7) as u8).collect();
        for at in [0, 128, 4095, 4096, 4 * 4096 + 1] {
            for piece in [9_500_000, 602_112, 4096, 4097, 100_001] {
                let file = File::create(&path).unwrap();
                let mut appender = Appender::new(&path, at, bytes.len() as u64);
                for (n, piece) in bytes.chunks(piece).enumerate() {
                    appender.write(&file, piece).unwrap();
                    if n % 5 == 4 {
                        appender.flush(&file).unwrap();
                    }
                }
                appender.flush(&file).unwrap();
                write_at(&file, &vec![7; at as usize], 0).unwrap();
                let read = std::fs::read(&path).unwrap();
                assert_eq!(read.len(), at as usize + bytes.len(), "{at} {piece}");
                assert!(read[..at as usize].iter().all(|&byte| byte == 7));
                assert!(read[at as usize..] == bytes, "{at} {piece}");
                let mut hasher = Hasher::default();
                hasher.write(&bytes);
                assert_eq!(appender.digest(), hasher.digest());
            }
        }
    }

    #[test]
    fn neighbours_in_one_file_leave_each_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let file = File::create(&path).unwrap();
        let part = 5_000_001;
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (file, path) = (&file, &path);
                scope.spawn(move || {
                    let mut appender = Appender::new(path, n * part, part);
                    let bytes = vec![n as u8 + 1; 70_000];
                    let mut left = part as usize;
                    while left > 0 {
                        let piece = &bytes[..left.min(bytes.len())];
                        appender.write(file, piece).unwrap();
                        left -= piece.len();
                    }
                    appender.flush(file).unwrap();
                });
            }
        });
        let read = std::fs::read(&path).unwrap();
        assert_eq!(read.len() as u64, 4 * part);
        for (n, part) in read.chunks(part as usize).enumerate() {
            assert!(part.iter().all(|&byte| byte == n as u8 + 1), "{n}");
        }
    }

    /// As where a file system opens for direct writes and then wants other places.
    #[test]
    fn where_direct_writes_are_refused_the_others_serve() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let (file, bytes) = (File::create(&path).unwrap(), vec![3; 9_000_000]);
        let mut appender = Appender::new(&path, 128, bytes.len() as u64);
        appender.at += 1;
        appender.write(&file, &bytes).unwrap();
        appender.flush(&file).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert!(read.len() == 9_000_129 && read[129..].iter().all(|&byte| byte == 3));
    }
}
