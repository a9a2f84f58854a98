//! The markers of a JPEG file (ITU-T T.81, annex B), read without decoding:
//! what the frame is, how many scans there are, and whether the file reaches
//! its end-of-image marker.
//!
//! A decoder alone does not answer the last question in time: where the data
//! end, it reads zeros, and zeros decode to something.

/// What a walk over a file's markers found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The first start-of-frame segment.
    pub(super) frame: Option<Frame>,
    /// Scans, counted up to the end of the image or of the file.
    pub(super) scans: u32,
    /// Bytes up to the segment that the file ends in, or all bytes.
    pub(super) usable_bytes: usize,
    /// Whether the end-of-image marker is there.
    pub(super) complete: bool,
}

/// A start-of-frame segment.
#[derive(Debug)]
pub(in crate::decode) struct Frame {
    /// The marker's low four bits: 0 baseline, 1 extended, 2 progressive, 3
    /// and above what is not read.
    pub(in crate::decode) process: u8,
    /// Bits per sample.
    pub(in crate::decode) precision: u8,
    /// Pixels.
    pub(in crate::decode) width: u16,
    /// Pixels; 0 when a later segment is to tell.
    pub(in crate::decode) height: u16,
    /// Components that it describes.
    pub(in crate::decode) components: usize,
}

pub(super) const DHT: u8 = 0xc4;
/// Says how arithmetic codes begin, of which there are none here.
pub(super) const DAC: u8 = 0xcc;
const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DRI: u8 = 0xdd;
pub(super) const APP0: u8 = 0xe0;
pub(super) const APP1: u8 = 0xe1;
pub(super) const APP14: u8 = 0xee;

/// A marker segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// What stands behind its length.
    pub(super) body: &'a [u8],
    /// Where that begins in the file.
    pub(super) at: usize,
}

/// The next thing in a file.
pub(super) enum Found<'a> {
    Segment(Segment<'a>),
    /// The end-of-image marker.
    End,
    /// A segment that goes on behind the file's end; it begins here.
    Cut(usize),
}

/// The segments of a file, those between scans too; markers that stand alone are
/// passed over.
pub(super) struct Segments<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Of a file that begins with a start-of-image marker.
    pub(super) fn of(file: &'a [u8]) -> Self {
        Segments { file, at: 2 }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            let (marker, at) = next_marker(self.file, self.at)?;
            self.at = at;
            match marker {
                EOI => return Some(Found::End),
                // TEM, RST0-7, SOI.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let length = match self.file.get(at..at + 2) {
                Some(bytes) => usize::from(u16::from_be_bytes([bytes[0], bytes[1]])).max(2),
                None => 2,
            };
            let Some(body) = self.file.get(at + 2..at + length) else {
                return Some(Found::Cut(at - 2));
            };
            self.at = at + length;
            return Some(Found::Segment(Segment { marker, body, at: at + 2 }));
        }
    }
}

/// The first start-of-frame segment alone.
pub(in crate::decode) fn frame(file: &[u8]) -> Option<Frame> {
    Survey::walk(file, true).frame
}

impl Survey {
    /// Walks over `file`, which begins with a start-of-image marker.
    ///
    /// Tolerant where decoders are: bytes between segments are passed over,
    /// and so is everything after the end of the image.
    pub(super) fn of(file: &[u8]) -> Survey {
        Survey::walk(file, false)
    }

    fn walk(file: &[u8], to_frame: bool) -> Survey {
        let mut survey = Survey { usable_bytes: file.len(), ..Survey::default() };
        for found in Segments::of(file) {
            let Segment { marker, body, .. } = match found {
                Found::Segment(segment) => segment,
                Found::End => {
                    survey.complete = true;
                    break;
                }
                Found::Cut(at) => {
                    survey.usable_bytes = at;
                    break;
                }
            };
            match marker {
                // DHT, JPG and DAC share the range of the frames.
                0xc0..=0xcf if !matches!(marker, DHT | 0xc8 | DAC) => {
                    survey.see_frame(marker & 15, body);
                }
                SOS if !body.is_empty() => survey.scans = survey.scans.saturating_add(1),
                _ => {}
            }
            if to_frame && survey.frame.is_some() {
                break;
            }
        }
        survey
    }

    fn see_frame(&mut self, process: u8, body: &[u8]) {
        let [precision, h1, h0, w1, w0, count, rest @ ..] = body else {
            return;
        };
        if self.frame.is_some() {
            return;
        }
        self.frame = Some(Frame {
            process,
            precision: *precision,
            width: u16::from_be_bytes([*w1, *w0]),
            height: u16::from_be_bytes([*h1, *h0]),
            components: rest.as_chunks::<3>().0.len().min(usize::from(*count)),
        });
    }
}

/// The next marker at or after `at`, and the place behind it. A zero or another
/// 0xff after a 0xff is no marker: stuffing inside a scan, fill before a marker.
fn next_marker(file: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += find_ff(file.get(at..)?)? + 1;
        match *file.get(at)? {
            0 | 0xff => {}
            marker => return Some((marker, at + 1)),
        }
    }
}

/// The place of the first 0xff. Whole chunks are judged at once, which costs a
/// hundredth of decoding them.
fn find_ff(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    let clean = |chunk: &&[u8; CHUNK]| !chunk.iter().fold(false, |seen, &b| seen | (b == 0xff));
    let start = CHUNK * chunks.iter().take_while(clean).count();
    bytes[start..].iter().position(|&b| b == 0xff).map(|found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_ff_anywhere() {
        for length in 0..100 {
            let mut bytes = vec![7; length];
            assert_eq!(find_ff(&bytes), None);
            for place in (0..length).rev() {
                bytes[place] = 0xff;
                assert_eq!(find_ff(&bytes), Some(place));
            }
        }
    }

    /// A frame of 8 x 16 pixels with one component, a scan, a tail.
    fn file(tail: &[u8]) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 16, 0, 8, 1, 1, 0x11, 0];
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        file.extend(tail);
        file
    }

    #[test]
    fn stuffing_restarts_and_fill_do_not_end_a_scan() {
        let survey = Survey::of(&file(&[1, 0xff, 0, 2, 0xff, 0xd3, 3, 0xff, 0xff, 0xd9, 9, 9]));
        assert!(survey.complete);
        assert_eq!(survey.scans, 1);
        let frame = survey.frame.unwrap();
        assert_eq!((frame.process, frame.width, frame.height), (0, 8, 16));
    }

    #[test]
    fn every_cut_before_the_end_is_seen() {
        let whole = file(&[1, 0xff, 0, 2, 0xff, 0xd9]);
        for length in 2..whole.len() {
            assert!(!Survey::of(&whole[..length]).complete, "cut to {length}");
        }
    }

    #[test]
    fn an_end_marker_inside_a_segment_does_not_count() {
        let survey = Survey::of(&[0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 0, 0, 0xff, 0xda]);
        assert!(!survey.complete);
    }
}
