//! Rows to a file past the page cache: a large export would pay for every page there,
//! and push the photographs out that are read.

use std::fs::File;
use std::io;
use std::path::Path;

use super::folder::is_full;
use super::npy::{Hasher, write_at};

/// One direct write. They lie at multiples of it, whatever stripes a disk may have.
const BLOCK: usize = 4 << 20;
/// What the places and lengths of direct writes, and their memory, are multiples of:
/// the largest that a disk or a page is known to ask for.
const ALIGNED: usize = 64 << 10;
/// Written, or copied, while it is in cache from having been hashed.
const PIECE: usize = 256 << 10;

/// Appends bytes to a file from a place on, and takes their digest.
pub(super) struct Appender {
    direct: Option<Direct>,
    hasher: Hasher,
    at: u64,
}

/// Direct writes, and what waits until they are worth it.
struct Direct {
    /// The same file, open for them.
    file: File,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not written; it begins as far behind a multiple of
    /// `BLOCK` as in the file.
    start: usize,
    end: usize,
}

impl Appender {
    /// From `at` on, where about `bytes` are to come. `path` is where the file is now.
    pub(super) fn new(path: &Path, at: u64, bytes: u64) -> Self {
        let file = if bytes > BLOCK as u64 { open(path) } else { None };
        let direct = file.map(|file| Direct::new(file, at));
        Appender { direct, hasher: Hasher::default(), at }
    }

    /// `file` is the same file, open for writes by way of the cache.
    pub(super) fn write(&mut self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let room = self.direct.as_mut().map_or(PIECE, |direct| direct.room().len());
            let (piece, rest) = left.split_at(left.len().min(room).min(PIECE));
            self.hasher.write(piece);
            left = rest;
            match &mut self.direct {
                Some(direct) => {
                    direct.room()[..piece.len()].copy_from_slice(piece);
                    direct.end += piece.len();
                    if piece.len() == room {
                        self.flush(file)?;
                    }
                }
                None => {
                    write_at(file, piece, self.at)?;
                    self.at += piece.len() as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes what waits. Afterwards more may come.
    pub(super) fn flush(&mut self, file: &File) -> io::Result<()> {
        let Some(mut direct) = self.direct.take() else { return Ok(()) };
        let (start, end, at) = (direct.start, direct.end, self.at);
        // The ends share a page with other rows, or with none.
        let body = start.next_multiple_of(ALIGNED).min(end);
        let tail = (end - end % ALIGNED).max(body);
        let bytes = aligned(&mut direct.buffer);
        write_at(file, &bytes[start..body], at)?;
        let written = match tail > body {
            true => write_at(&direct.file, &bytes[body..tail], at + (body - start) as u64),
            false => Ok(()),
        };
        let (done, refused) = match written {
            Ok(()) => (tail, false),
            Err(error) if is_full(&error) => return Err(error),
            // Whatever it has against direct writes: what is wrong beside that, the
            // others will tell.
            Err(_) => (body, true),
        };
        write_at(file, &bytes[done..end], at + (done - start) as u64)?;
        self.at += (end - start) as u64;
        (direct.start, direct.end) = (end % BLOCK, end % BLOCK);
        self.direct = (!refused).then_some(direct);
        Ok(())
    }

    pub(super) fn digest(&self) -> String {
        self.hasher.digest()
    }
}

impl Direct {
    fn new(file: File, at: u64) -> Self {
        let start = (at % BLOCK as u64) as usize;
        Direct { file, buffer: vec![0; BLOCK + ALIGNED], start, end: start }
    }

    /// Never empty.
    fn room(&mut self) -> &mut [u8] {
        &mut aligned(&mut self.buffer)[self.end..]
    }
}

fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let skipped = buffer.as_ptr().align_offset(ALIGNED);
    &mut buffer[skipped..][..BLOCK]
}

/// Opens a file for direct writes, if it lies on a disk of this machine: over a network
/// each would wait for an answer. And there `fsync` brings to the disk what any way has
/// written.
#[cfg(target_os = "linux")]
fn open(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    // As statfs(2) lists them: ext2 to ext4, XFS, Btrfs, F2FS, and overlays of these.
    const DISKS: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x794c_7630];
    let file = File::options().write(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    // No kind has more bits, whatever the word is.
    let kind = rustix::fs::fstatfs(&file).ok()?.f_type as u32;
    DISKS.contains(&kind).then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn open(_: &Path) -> Option<File> {
    None
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "what is skipped says so")]
mod tests {
    use super::*;

    fn bytes(len: u32) -> Vec<u8> {
        (0..len).map(|n| (n ^ n >> 7) as u8).collect()
    }

    #[test]
    fn what_is_appended_is_there_whatever_the_places_and_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        File::create(&path).unwrap();
        let direct = open(&path).is_some();
        if !direct {
            eprintln!("SKIPPED: {path:?} is on no disk for direct writes, so none is tried");
        }
        let bytes = bytes(9_500_000);
        let block = BLOCK as u64;
        for at in [0, 128, 65_535, 65_536, block - 1, 3 * block + 100_000] {
            for piece in [9_500_000, 602_112, 65_537, 100_001] {
                let file = File::create(&path).unwrap();
                let mut appender = Appender::new(&path, at, bytes.len() as u64);
                for (n, piece) in bytes.chunks(piece).enumerate() {
                    appender.write(&file, piece).unwrap();
                    if n % 5 == 4 {
                        appender.flush(&file).unwrap();
                    }
                }
                appender.flush(&file).unwrap();
                assert_eq!(appender.direct.is_some(), direct, "none was refused");
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

    #[test]
    fn where_direct_writes_are_refused_the_others_serve() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = (folder.path().join("rows"), bytes(9_000_000));
        let file = File::create(&path).unwrap();
        let mut appender = Appender::new(&path, 128, bytes.len() as u64);
        // Not even open for writing.
        appender.direct = Some(Direct::new(File::open(&path).unwrap(), 128));
        appender.write(&file, &bytes).unwrap();
        assert!(appender.direct.is_none());
        appender.flush(&file).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert!(read.len() == 9_000_128 && read[128..] == bytes);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let file = File::create(&path).unwrap();
        let mut appender = Appender::new(&path, 0, 9_000_000);
        // Always full.
        let full = File::options().write(true).open("/dev/full").unwrap();
        appender.direct = Some(Direct::new(full, 0));
        let error = appender.write(&file, &bytes(9_000_000)).unwrap_err();
        assert!(is_full(&error), "{error}");
    }
}
