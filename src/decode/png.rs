//! A PNG as its decoder sees it: without the chunks that say nothing about pixels.
//!
//! Texts and colour profiles may be compressed a thousandfold, and the decoder keeps
//! all of them from the header on, before anything is charged for it.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// What stands before the first chunk.
const SIGNATURE: usize = 8;
/// A chunk's length, kind and checksum.
const FRAME: usize = 12;

/// The file's bytes in order, some chunks left out.
pub(super) struct Stripped<'a> {
    file: &'a [u8],
    at: usize,
    /// Up to here everything is handed on.
    kept: usize,
}

impl<'a> Stripped<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Stripped { file, at: 0, kept: SIGNATURE.min(file.len()) }
    }

    /// Moves to the next chunk that is handed on.
    fn advance(&mut self) {
        while self.at == self.kept && self.at < self.file.len() {
            let Some((kind, _, end)) = chunk(self.file, self.at) else {
                // Cut off inside of a frame, which the decoder is to tell.
                self.kept = self.file.len();
                return;
            };
            self.kept = end;
            if !is_about_pixels(kind) {
                self.at = end;
            }
        }
    }
}

/// Of the chunk at this place its kind, its content as far as it is there, and where the
/// next begins.
fn chunk(file: &[u8], at: usize) -> Option<(&[u8; 4], &[u8], usize)> {
    let (&len, rest) = file.get(at..)?.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_be_bytes(len) as usize;
    let end = at.saturating_add(FRAME).saturating_add(len).min(file.len());
    Some((kind, &rest[..len.min(rest.len())], end))
}

/// Unknown chunks that are critical are the decoder's to refuse.
fn is_about_pixels(kind: &[u8; 4]) -> bool {
    let ancillary = kind.iter().all(u8::is_ascii_alphabetic) && kind[0].is_ascii_lowercase();
    !ancillary || matches!(kind, b"tRNS" | b"acTL" | b"fcTL" | b"fdAT")
}

/// The content of the first EXIF chunk, wherever it stands.
pub(super) fn exif(file: &[u8]) -> Option<&[u8]> {
    let mut at = SIGNATURE;
    loop {
        match chunk(file, at)? {
            (b"eXIf", content, _) => return Some(content),
            (b"IEND", ..) => return None,
            (_, _, end) => at = end,
        }
    }
}

impl Read for Stripped<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Stripped<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.advance();
        Ok(&self.file[self.at..self.kept])
    }

    fn consume(&mut self, read: usize) {
        self.at += read;
    }
}

/// Asked for by the decoder's type, and not used by it.
impl Seek for Stripped<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of sevens.
    fn chunk(kind: &[u8; 4], len: usize) -> Vec<u8> {
        [&(len as u32).to_be_bytes(), &kind[..], &vec![7; len], b"sum!"].concat()
    }

    fn stripped(file: &[u8], step: usize) -> Vec<u8> {
        let mut reader = Stripped::new(file);
        let (mut all, mut part) = (Vec::new(), vec![0; step]);
        loop {
            match reader.read(&mut part).unwrap() {
                0 => return all,
                read => all.extend(&part[..read]),
            }
        }
    }

    #[test]
    fn chunks_about_pixels_come_and_others_do_not() {
        let (start, pixels) = (b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IDAT", 30));
        let file = [
            start.clone(),
            chunk(b"IHDR", 13),
            chunk(b"tEXt", 100),
            chunk(b"iCCP", 3),
            chunk(b"eXIf", 20),
            chunk(b"tRNS", 4),
            pixels.clone(),
            chunk(b"zTXt", 0),
            pixels.clone(),
            chunk(b"IEND", 0),
        ];
        let kept = [&file[0], &file[1], &file[5], &file[6], &file[8], &file[9]];
        let kept: Vec<u8> = kept.into_iter().flatten().copied().collect();
        for step in [1, 3, 8, 1000] {
            assert_eq!(stripped(&file.concat(), step), kept);
        }
        assert_eq!(exif(&file.concat()), Some(&[7; 20][..]));
        assert_eq!(exif(&file[..4].concat()), None);
        // Behind the end is no part of the picture.
        let behind = [start, chunk(b"IEND", 0), chunk(b"eXIf", 20)].concat();
        assert_eq!(exif(&behind), None);
    }

    #[test]
    fn what_is_cut_off_ends_where_it_ends() {
        let file = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IDAT", 30), chunk(b"tEXt", 9)].concat();
        for cut in 0..=file.len() {
            let kept = match cut {
                // A frame of which less than length and kind are there.
                0..58 => cut,
                _ => 50,
            };
            assert_eq!(stripped(&file[..cut], 7), file[..kept], "cut to {cut}");
        }
        let mut endless = file;
        endless[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(stripped(&endless, 7), endless);
    }
}
